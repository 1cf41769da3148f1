use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What a crawler comes for. Policy may treat the kinds apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CrawlerKind {
    /// To make an index that people search.
    Search,
    /// To train a language model, or to answer somebody who asks one.
    Ai,
    /// To show what a link in a message or post leads to.
    Preview,
    /// To see whether a site is up, and how fast it is.
    Monitoring,
    /// For anything else: archives, marketing, feeds; and what does not say what for.
    Other,
}

impl CrawlerKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [CrawlerKind; 5] =
        [CrawlerKind::Search, CrawlerKind::Ai, CrawlerKind::Preview, CrawlerKind::Monitoring, CrawlerKind::Other];

    /// The name in settings, rules and audit records: lower case, one word.
    pub const fn name(self) -> &'static str {
        match self {
            CrawlerKind::Search => "search",
            CrawlerKind::Ai => "ai",
            CrawlerKind::Preview => "preview",
            CrawlerKind::Monitoring => "monitoring",
            CrawlerKind::Other => "other",
        }
    }
}

impl fmt::Display for CrawlerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CrawlerKind {
    type Err = UnknownCrawlerKind;

    fn from_str(text: &str) -> Result<Self, UnknownCrawlerKind> {
        CrawlerKind::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownCrawlerKind { text: text.to_owned() })
    }
}

/// The text is not the name of a kind of crawler.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownCrawlerKind {
    text: String,
}

impl fmt::Display for UnknownCrawlerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no kind of crawler is called `{}`; there are `search`, `ai`, `preview`, `monitoring`, `other`",
            self.text
        )
    }
}

impl std::error::Error for UnknownCrawlerKind {}

/// Whose crawler a published address range belongs to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Crawler {
    /// What it comes for.
    pub kind: CrawlerKind,
    /// The name its operator gives it, lower case: `googlebot`.
    pub name: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_by_its_own_name() {
        for kind in CrawlerKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!(
            "seo".parse::<CrawlerKind>().unwrap_err().to_string(),
            "no kind of crawler is called `seo`; there are `search`, `ai`, `preview`, `monitoring`, `other`"
        );
    }
}
