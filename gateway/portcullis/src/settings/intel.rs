//! Where databases and feeds of addresses come from, and how far each is trusted.

mod database;
mod feed;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use portcullis_intel::{Confidence, FeedSpec, NetworkClass};
use portcullis_policy::{Diagnostic, Diagnostics, SourceFile};

use super::reader::{Faults, Table, Value, span};
use super::sections::{Unique, name};
use super::{IntelFiles, parse};
pub use database::DatabaseContent;

/// Everything under `[intel]` but the two files of [`IntelFiles`].
#[derive(Clone, Debug, PartialEq)]
pub struct IntelSources {
    /// The folder for what is fetched.
    pub data: PathBuf,
    /// Certificates (PEM) to trust for fetching in place of the public ones.
    pub ca_file: Option<PathBuf>,
    /// Whom operators of feeds may write to; told to them with each fetch.
    pub contact: Option<String>,
    /// Networks of special use that a `url` may lead to.
    pub mirrors: Vec<IpNetwork>,
    /// The databases and feeds, databases first; names are unique.
    pub sources: Vec<IntelSource>,
    /// How crawlers are asked for by DNS.
    pub crawlers: CrawlerDnsSettings,
}

/// One database or feed.
#[derive(Clone, Debug, PartialEq)]
pub struct IntelSource {
    /// The name: in logs, metrics, provenance, and of the files in the data folder.
    pub name: Arc<str>,
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub content: Content,
    /// How often it is looked for anew.
    pub refresh: Duration,
    /// The largest document, in bytes.
    pub max_bytes: u64,
    /// The share of its entries that it may lose from one time to the next, in thousandths.
    pub max_shrink: u16,
    /// Under which terms it is given, in words.
    pub licence: Option<String>,
}

/// Where a source is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// At an `https` URL, which may hold a user's key.
    Url(String),
}

/// What a source is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// An MMDB database, whose fields are given a meaning.
    Database(DatabaseContent),
    /// A list of networks or autonomous systems.
    Feed(FeedSpec),
}

/// How crawlers are asked for by DNS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CrawlerDnsSettings {
    /// Whether they are.
    pub enabled: bool,
    /// The name servers; none for those of the system.
    pub servers: Vec<std::net::SocketAddr>,
    /// The time for one proof, all questions together.
    pub timeout: Duration,
    /// How many answers are remembered.
    pub max_entries: usize,
}

impl Default for CrawlerDnsSettings {
    fn default() -> Self {
        Self { enabled: true, servers: Vec::new(), timeout: Duration::from_secs(3), max_entries: 16_384 }
    }
}

impl IntelSources {
    /// No source at all, with the data folder relative to `base`.
    pub fn none(base: &Path) -> Self {
        Self {
            data: base.join("intel"),
            ca_file: None,
            contact: None,
            mirrors: Vec::new(),
            sources: Vec::new(),
            crawlers: CrawlerDnsSettings::default(),
        }
    }

    /// Reads a file that has an `[intel]` section and nothing else. Paths are relative to `base`.
    ///
    /// # Errors
    ///
    /// Every fault in it.
    pub fn read(file: SourceFile, base: &Path) -> Result<Self, Diagnostics> {
        let read = |mut root: Table<'_>, faults: &mut Faults| {
            let (_, sources) = intel(root.table("intel", "`[intel]`", faults), base, faults);
            root.finish(faults);
            sources
        };
        parse(file, read).map(|(sources, _)| sources)
    }

    /// The default set: what is fetched when nothing else is named, all of it free to use by its terms.
    ///
    /// Nothing is in it where the file in the program is faulty, which a test would show.
    pub fn default_set(base: &Path) -> Self {
        Self::read(SourceFile::new("default set", DEFAULT_SET), base).unwrap_or_else(|_| Self::none(base))
    }

    /// The source of this name.
    pub fn find(&self, name: &str) -> Option<&IntelSource> {
        self.sources.iter().find(|source| &*source.name == name)
    }
}

impl IntelSource {
    /// Whether the source is fetched, and not in a file of the user's own.
    pub const fn is_fetched(&self) -> bool {
        matches!(self.place, Place::Url(_))
    }

    /// How old it may be and still be believed; none for ever.
    pub const fn ttl(&self) -> Option<Duration> {
        match &self.content {
            Content::Database(_) => None,
            Content::Feed(feed) => feed.time_to_live,
        }
    }
}

/// The default set, as a user would write it.
pub const DEFAULT_SET: &str = include_str!("../../assets/default-intel.toml");

const DAY_SECS: u64 = 24 * 60 * 60;

/// How often a source may be looked for. Shorter, and its operator shuts the gateway out; longer is a slip of the unit.
const REFRESH_SECS: std::ops::RangeInclusive<u64> = 300..=30 * DAY_SECS;

/// The largest document that may be allowed: 4 GiB. It is read into memory.
const MAX_BYTES: u64 = 4 << 30;

/// Half of a source may go away unless the settings say otherwise; more is taken for a bad download.
const MAX_SHRINK: u16 = 500;

/// The `[intel]` section: the two files of old, and all the rest.
pub(super) fn intel(mut table: Table<'_>, base: &Path, faults: &mut Faults) -> (IntelFiles, IntelSources) {
    let files = IntelFiles { asn: table.path("asn", base, faults), country: table.path("country", base, faults) };
    let none = IntelSources::none(base);
    let data = table.path("data", base, faults).unwrap_or(none.data);
    let ca_file = table.path("ca_file", base, faults);
    let contact = table.value("contact").and_then(|value| contact(&value, faults));
    let mirrors = table.value("mirrors").and_then(|value| value.list("10.1.2.0/24", faults)).unwrap_or_default();
    let mirrors = mirrors.iter().filter_map(|item| item.parsed("a network", "10.1.2.0/24", faults)).collect();
    let with_default_set = table.flag("default_set", faults).unwrap_or(false);
    let mut names = Unique::default();
    let mut sources: Vec<IntelSource> = Vec::new();
    for written in table.tables("source", "`[[intel.source]]`", faults) {
        sources.extend(database::source(written, base, &mut names, faults));
    }
    for written in table.tables("feed", "`[[intel.feed]]`", faults) {
        sources.extend(feed::feed(written, base, &mut names, faults));
    }
    let crawlers = crawlers(table.table("crawlers", "`[intel.crawlers]`", faults), faults);
    table.finish(faults);
    let mut all = IntelSources { data, ca_file, contact, mirrors, sources, crawlers };
    if with_default_set {
        // A source of the same name is the user's own version of it.
        let own = |source: &IntelSource| all.find(&source.name).is_some();
        let rest: Vec<_> = IntelSources::default_set(base).sources.into_iter().filter(|source| !own(source)).collect();
        all.sources.extend(rest);
    }
    (files, all)
}

/// What a database and a feed have in common.
struct Common {
    name: Arc<str>,
    place: Place,
    refresh: Duration,
    max_bytes: u64,
    max_shrink: u16,
    licence: Option<String>,
}

impl Common {
    /// `example` and `path` are what a name and a path may look like, for who left them out.
    fn read(
        table: &mut Table<'_>,
        example: &'static str,
        path: &str,
        max_bytes: u64,
        (base, names): (&Path, &mut Unique),
        faults: &mut Faults,
    ) -> Self {
        Self {
            // What is missing was reported, and then nothing is made of these settings.
            name: name(table, example, names, faults).unwrap_or_default(),
            place: place(table, path, base, faults).unwrap_or(Place::File(PathBuf::new())),
            refresh: table.time("refresh_secs", REFRESH_SECS, Duration::from_secs(DAY_SECS), faults),
            max_bytes: table.number("max_bytes", 1..=MAX_BYTES, max_bytes, faults),
            max_shrink: table.share("max_shrink", 0..=1000, MAX_SHRINK, faults),
            licence: table.text("licence", faults).map(str::to_owned),
        }
    }

    fn of(self, content: Content) -> IntelSource {
        let Self { name, place, refresh, max_bytes, max_shrink, licence } = self;
        IntelSource { name, place, content, refresh, max_bytes, max_shrink, licence }
    }
}

fn class(table: &mut Table<'_>, faults: &mut Faults) -> Option<NetworkClass> {
    let classes = NetworkClass::ALL.map(|class| (class.name(), Some(class)));
    table.choice("class", &classes, None, faults)
}

/// How sure a source is, in whole percent.
fn confidence(table: &mut Table<'_>, faults: &mut Faults) -> Confidence {
    let thousandths = table.share("confidence", 10..=1000, 1000, faults);
    Confidence::percent(u8::try_from(thousandths / 10).unwrap_or(100))
}

/// Where a source is: `path` or `url`, one of them.
fn place(table: &mut Table<'_>, example: &str, base: &Path, faults: &mut Faults) -> Option<Place> {
    let (path, url) = (table.value("path"), table.value("url"));
    match (path, url) {
        (Some(path), None) => path.path(base, faults).map(Place::File),
        (None, Some(url)) => {
            let text = url.text(faults)?;
            let host = text.parse::<http::Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
            if host.is_none_or(|uri| uri.host().is_none_or(str::is_empty)) {
                // A URL may hold a key, so it is not repeated; the place shows it to whoever has the file.
                let fault = url.fault("is not an `https` URL", "does not begin with `https://` and a host");
                faults.add(fault.help("what is fetched decides about clients, so it is fetched over HTTPS only"));
                return None;
            }
            Some(Place::Url(text.to_owned()))
        }
        (Some(path), Some(url)) => {
            let fault = Diagnostic::error("a source has a `path` and a `url`")
                .at(span(&url.place), "which of them?")
                .beside(span(&path.place), "or this");
            faults.add(fault.help("keep one; what is fetched from a `url` is kept in the data folder"));
            None
        }
        (None, None) => {
            let fault = Diagnostic::error("a source has neither a `path` nor a `url`")
                .at(span(table.place()), "read from where?");
            faults.add(fault.help(format!("add `path = \"{example}\"`, or a `url`")));
            None
        }
    }
}

/// A contact goes into a header field, between parentheses.
fn contact(value: &Value<'_>, faults: &mut Faults) -> Option<String> {
    let text = value.text(faults)?;
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'\\');
    if text.len() > 128 || !text.bytes().all(fits) {
        let fault = value.fault("is not an address to write to", "has spaces, parentheses, or more than 128 bytes");
        faults.add(fault.help("write one as in `ops@shop.example`, or a URL"));
        return None;
    }
    Some(text.to_owned())
}

fn crawlers(mut table: Table<'_>, faults: &mut Faults) -> CrawlerDnsSettings {
    const EXAMPLE: &str = "127.0.0.1:53";
    let default = CrawlerDnsSettings::default();
    let servers = table.value("servers");
    let items = servers.and_then(|value| value.list(EXAMPLE, faults)).unwrap_or_default();
    let settings = CrawlerDnsSettings {
        enabled: table.flag("dns", faults).unwrap_or(default.enabled),
        servers: items.iter().filter_map(|item| item.parsed("an address with a port", EXAMPLE, faults)).collect(),
        timeout: table.time("timeout_ms", 100..=60_000, default.timeout, faults),
        max_entries: table.size("max_entries", 64..=10_000_000, default.max_entries, faults),
    };
    table.finish(faults);
    settings
}
