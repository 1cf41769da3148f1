//! Which crawlers prove who they are, and under which domains: a data file of the project.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;

/// The crawlers that prove by reverse DNS who they are.
#[derive(Clone, Debug, Default)]
pub struct CrawlerRules {
    rules: Vec<CrawlerRule>,
    names: HashMap<String, CrawlerId>,
}

/// The number of a rule.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CrawlerId(pub(super) u16);

/// How one operator's crawlers prove who they are.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CrawlerRule {
    /// What they call themselves, in lower case.
    pub names: Vec<String>,
    /// The domains below which the names of their addresses stand; in `a-*.b.c` all that is below `b.c` is one label
    /// which begins with `a-`.
    pub domains: Vec<String>,
    /// Where the operator says so.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    crawler: Vec<CrawlerRule>,
}

/// Why rules mean nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RulesError {
    /// The file is not what it should be.
    Malformed(String),
    /// A name of a crawler stands twice.
    NameTwice(String),
    /// A domain is none of an operator's own.
    Domain(String),
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => f.write_str(error),
            Self::NameTwice(name) => write!(f, "the crawler `{name}` stands twice"),
            Self::Domain(domain) => {
                write!(f, "`{domain}` is not a domain of two labels or more, in lower case, as `googlebot.com`")
            }
        }
    }
}

impl std::error::Error for RulesError {}

impl CrawlerRules {
    /// The rules in the program; none where its file is faulty, which a test would show.
    pub fn embedded() -> Self {
        Self::parse(EMBEDDED).unwrap_or_default()
    }

    /// Rules from the text of a file.
    ///
    /// # Errors
    ///
    /// The first fault in it.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let File { crawler: rules } = toml::from_str(text).map_err(|error| RulesError::Malformed(error.to_string()))?;
        let mut names = HashMap::new();
        for (rule, id) in rules.iter().zip(0_u16..) {
            // Below a domain of one label stands everyone.
            if let Some(domain) = rule.domains.iter().find(|domain| !is_domain(domain)) {
                return Err(RulesError::Domain(domain.clone()));
            }
            for name in &rule.names {
                if names.insert(name.clone(), CrawlerId(id)).is_some() {
                    return Err(RulesError::NameTwice(name.clone()));
                }
            }
        }
        Ok(Self { rules, names })
    }

    /// The rule for a crawler of this name, in lower case.
    pub fn find(&self, name: &str) -> Option<CrawlerId> {
        self.names.get(name).copied()
    }

    /// The rule with this number.
    pub fn rule(&self, id: CrawlerId) -> Option<&CrawlerRule> {
        self.rules.get(usize::from(id.0))
    }

    /// The domains below which the names of a crawler's addresses stand.
    pub(super) fn domains(&self, id: CrawlerId) -> &[String] {
        self.rule(id).map_or(&[], |rule| &rule.domains)
    }

    /// The first name of a crawler.
    pub(super) fn name(&self, id: CrawlerId) -> &str {
        self.rule(id).and_then(|rule| rule.names.first()).map_or("", String::as_str)
    }
}

const EMBEDDED: &str = include_str!("../../../assets/crawlers.toml");

fn is_domain(domain: &str) -> bool {
    let fits = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let (start, domain) = domain.split_once("*.").unwrap_or(("x", domain));
    fits(start) && domain.contains('.') && domain.split('.').all(fits)
}

/// Whether a host name, which may end in a dot, is below a domain of a rule; the domain itself is not.
pub(super) fn is_below(host: &str, domain: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if let Some((start, domain)) = domain.split_once("*.") {
        let label = host.split_once('.').filter(|(_, rest)| rest.eq_ignore_ascii_case(domain)).map(|(label, _)| label);
        let head = label.and_then(|label| label.get(..start.len()));
        return head.is_some_and(|head| head.eq_ignore_ascii_case(start));
    }
    let host = host.as_bytes();
    let domain = domain.as_bytes();
    let Some(at) = host.len().checked_sub(domain.len() + 1).filter(|at| *at > 0) else { return false };
    host.get(at) == Some(&b'.') && host.get(at + 1..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_in_the_program_are_sound_and_say_where_they_are_from() {
        let rules = CrawlerRules::parse(EMBEDDED).unwrap();
        assert!(rules.find("googlebot").is_some() && rules.find("bingbot").is_some());
        assert_eq!(rules.find("curl"), None);
        for rule in &rules.rules {
            assert!(rule.source.starts_with("https://"), "{rule:?}");
            assert!(!rule.domains.is_empty() && !rule.names.is_empty(), "{rule:?}");
            // Customers of clouds have names there, which lead back to their machines.
            for shared in ["googleusercontent.com", "amazonaws.com", "cloudapp.net"] {
                assert!(!rule.domains.iter().any(|domain| domain == shared), "{rule:?}");
            }
        }
    }

    #[test]
    fn a_host_is_below_a_domain_by_whole_labels() {
        for (host, below) in [
            ("crawl-66-249-66-1.googlebot.com.", true),
            ("crawl-66-249-66-1.googlebot.com", true),
            ("CRAWL.GoogleBot.COM.", true),
            ("a.b.googlebot.com", true),
            ("googlebot.com.", false),
            (".googlebot.com.", false),
            ("evilgooglebot.com", false),
            ("googlebot.com.evil.example.", false),
            ("crawl.googlebot.com.evil.example.", false),
            ("com", false),
            ("", false),
        ] {
            assert_eq!(is_below(host, "googlebot.com"), below, "{host}");
        }
        for (host, below) in [
            ("rate-limited-proxy-66-249-90-77.google.com.", true),
            ("Rate-Limited-Proxy-66-249-90-77.GOOGLE.com", true),
            // Whoever tells Google to fetch something comes from there.
            ("google-proxy-66-249-81-1.google.com.", false),
            ("rate-limited-proxy-1.evil.google.com.", false),
            ("rate-limited-proxy-1.google.com.evil.example.", false),
            ("rate-limited.google.com.", false),
            ("google.com.", false),
            ("", false),
        ] {
            assert_eq!(is_below(host, "rate-limited-proxy-*.google.com"), below, "{host}");
        }
    }

    #[test]
    fn rules_that_would_prove_too_much_are_refused() {
        let rule =
            |names: &str, domains: &str| format!("[[crawler]]\nnames = {names}\ndomains = {domains}\nsource = \"\"\n");
        for (text, said) in [
            (rule("[\"a\"]", "[\"com\"]"), "`com` is not a domain"),
            (rule("[\"a\"]", "[\"\"]"), "`` is not a domain"),
            (rule("[\"a\"]", "[\".googlebot.com\"]"), "is not a domain"),
            (rule("[\"a\"]", "[\"*.googlebot.com\"]"), "is not a domain"),
            (rule("[\"a\"]", "[\"a-*.com\"]"), "is not a domain"),
            (rule("[\"a\"]", "[\"a-*b.googlebot.com\"]"), "is not a domain"),
            (rule("[\"a\", \"a\"]", "[\"shop.example\"]"), "the crawler `a` stands twice"),
            ("[[crawler]]\nname = 1".to_owned(), "unknown field"),
        ] {
            let error = CrawlerRules::parse(&text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
