//! Where databases and feeds of addresses come from, and how far each is trusted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use portcullis_intel::NetworkClass;
use portcullis_policy::{Diagnostic, Diagnostics, SourceFile};

use super::reader::{Faults, Table, Value, quote, span};
use super::sections::{Unique, name};
use super::{IntelFiles, parse};

/// Everything under `[intel]` but the two files of [`IntelFiles`].
#[derive(Clone, Debug, Eq, PartialEq)]
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
#[derive(Clone, Debug, Eq, PartialEq)]
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
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// An MMDB database, whose fields are given a meaning.
    Database(DatabaseContent),
    /// A list of networks or autonomous systems.
    Feed(FeedContent),
}

/// How the records of a database are read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DatabaseContent {
    /// The name of a preset; without one, that for the database's type.
    pub preset: Option<&'static str>,
    /// Paths to the AS number, in place of the preset's.
    pub asn: Vec<String>,
    /// Paths to the organisation, in place of the preset's.
    pub organisation: Vec<String>,
    /// Paths to the country, in place of the preset's.
    pub country: Vec<String>,
    /// What gives a class, in place of the preset's rules.
    pub rules: Vec<MappingRule>,
}

/// A condition on a field of a record, and the class that it gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MappingRule {
    /// The field: keys joined by dots, `[]` behind a list.
    pub path: String,
    /// The condition, one of [`OPERATORS`].
    pub op: &'static str,
    /// What the condition compares with.
    pub values: Vec<String>,
    /// The class.
    pub class: NetworkClass,
    /// How sure that is, in thousandths.
    pub confidence: u16,
}

/// How a feed is read, and what its entries are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedContent {
    /// How it is written.
    pub format: FeedFormat,
    /// The class of its entries, where an entry does not say its own.
    pub class: NetworkClass,
    /// The crawler whose addresses these are, of a feed of class `crawler`: its name, and what it comes for.
    pub crawler: Option<(String, &'static str)>,
    /// Autonomous systems that the feed names and that are left out.
    pub except_asns: Vec<u32>,
    /// How sure it is, in thousandths.
    pub confidence: u16,
    /// How old it may be and still be believed; none for ever.
    pub ttl: Option<Duration>,
    /// The most entries; a feed with more is refused.
    pub max_entries: u64,
    /// The shortest IPv4 prefix, in bits; a feed with a shorter one is refused.
    pub min_prefix: u8,
    /// The same for IPv6.
    pub min_prefix_v6: u8,
    /// The columns of a feed in `csv`.
    pub columns: Columns,
    /// What separates columns; none where it is to be found out.
    pub delimiter: Option<char>,
    /// Where the entries are in a feed in `json`, as keys joined by `/` (RFC 6901); none where they are to be found.
    pub pointer: Option<String>,
    /// The key that holds the network in an entry in `json` or `jsonl`; none for those that are usual.
    pub key: Option<String>,
}

/// How a feed is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FeedFormat {
    /// One entry a line.
    Text,
    /// Columns.
    Csv,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// A database in which every network that has a record is an entry.
    Mmdb,
}

/// Where in a line of `csv` things stand: the name of a column, or its number from 0.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Columns {
    /// An address or a network.
    pub network: Option<String>,
    /// The first address of a range.
    pub start: Option<String>,
    /// The last address of a range.
    pub end: Option<String>,
    /// An autonomous system.
    pub asn: Option<String>,
    /// A class.
    pub class: Option<String>,
    /// A confidence.
    pub confidence: Option<String>,
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

impl FeedFormat {
    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Mmdb => "mmdb",
        }
    }
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
            Content::Feed(feed) => feed.ttl,
        }
    }
}

/// The default set, as a user would write it.
pub const DEFAULT_SET: &str = include_str!("../../assets/default-intel.toml");

/// The mappings of known makers.
pub const PRESETS: [&str; 19] = [
    "maxmind-asn",
    "maxmind-country",
    "maxmind-city",
    "maxmind-enterprise",
    "maxmind-anonymous-ip",
    "maxmind-anonymous-plus",
    "maxmind-connection-type",
    "maxmind-isp",
    "maxmind-ip-risk",
    "maxmind-residential-proxy",
    "ipinfo-lite",
    "ipinfo-privacy",
    "ipinfo-plus",
    "db-ip",
    "ip2proxy",
    "ipapi-is",
    "spur",
    "ip-location-db",
    "any",
];

/// The conditions of a mapping rule.
pub const OPERATORS: [&str; 7] = ["true", "eq", "in", "has", "any", "gte", "exists"];

const FORMATS: [(&str, FeedFormat); 5] = [
    ("text", FeedFormat::Text),
    ("csv", FeedFormat::Csv),
    ("json", FeedFormat::Json),
    ("jsonl", FeedFormat::Jsonl),
    ("mmdb", FeedFormat::Mmdb),
];

const DAY_SECS: u64 = 24 * 60 * 60;

/// How often a source may be looked for. Shorter, and its operator shuts the gateway out; longer is a slip of the unit.
const REFRESH_SECS: std::ops::RangeInclusive<u64> = 300..=30 * DAY_SECS;

/// The largest document that may be allowed: 4 GiB. It is read into memory.
const MAX_BYTES: u64 = 4 << 30;

/// The largest database unless the settings say otherwise: 256 MiB, four times a City database.
const DATABASE_BYTES: u64 = 256 << 20;

/// The largest feed unless the settings say otherwise: 64 MiB, some four million lines.
const FEED_BYTES: u64 = 64 << 20;

/// Half of a source may go away unless the settings say otherwise; more is taken for a bad download.
const MAX_SHRINK: u16 = 500;

/// How old a feed that is fetched may be unless the settings say otherwise: a month, after which what it says of
/// addresses is more often wrong than right.
const FETCHED_TTL: Duration = Duration::from_secs(30 * DAY_SECS);

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
        sources.extend(source(written, base, &mut names, faults));
    }
    for written in table.tables("feed", "`[[intel.feed]]`", faults) {
        sources.extend(feed(written, base, &mut names, faults));
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

fn source(mut table: Table<'_>, base: &Path, names: &mut Unique, faults: &mut Faults) -> Option<IntelSource> {
    let name = name(&mut table, "vendor", names, faults);
    let place = place(&mut table, "intel/vendor.mmdb", base, faults);
    let presets = PRESETS.map(|preset| (preset, Some(preset)));
    let content = DatabaseContent {
        preset: table.choice("preset", &presets, None, faults),
        asn: paths(&mut table, "asn", faults),
        organisation: paths(&mut table, "organisation", faults),
        country: paths(&mut table, "country", faults),
        rules: table
            .tables("rule", "`[[intel.source.rule]]`", faults)
            .into_iter()
            .filter_map(|rule| mapping_rule(rule, faults))
            .collect(),
    };
    let source = IntelSource {
        name: name.unwrap_or_default(),
        refresh: table.time("refresh_secs", REFRESH_SECS, Duration::from_secs(DAY_SECS), faults),
        max_bytes: table.number("max_bytes", 1..=MAX_BYTES, DATABASE_BYTES, faults),
        max_shrink: table.share("max_shrink", 0..=1000, MAX_SHRINK, faults),
        licence: table.text("licence", faults).map(str::to_owned),
        content: Content::Database(content),
        place: place.unwrap_or(Place::File(PathBuf::new())),
    };
    table.finish(faults);
    Some(source)
}

fn mapping_rule(mut table: Table<'_>, faults: &mut Faults) -> Option<MappingRule> {
    let path = table.required("path", "\"traits.user_type\"", faults).and_then(|value| value.text(faults));
    let ops = OPERATORS.map(|op| (op, op));
    let op = table.choice("op", &ops, "true", faults);
    let values = match table.value("value") {
        None => Vec::new(),
        Some(value) => value.words(faults),
    };
    let place = table.place().clone();
    let (needs, has) = (!matches!(op, "true" | "exists"), !values.is_empty());
    if needs != has {
        let (label, help) = if needs {
            ("has nothing to compare with", format!("add `value = \"hosting\"` beside `op = \"{op}\"`"))
        } else {
            ("compares with nothing", format!("leave `value` out: `op = \"{op}\"` needs none"))
        };
        faults.add(
            Diagnostic::error(format!("`op = \"{op}\"` and `value` do not fit")).at(span(&place), label).help(help),
        );
    }
    let class = class(&mut table, faults);
    let confidence = table.share("confidence", 10..=1000, 1000, faults);
    if class.is_none() {
        table.required("class", "\"vpn\"", faults);
    }
    table.finish(faults);
    Some(MappingRule { path: path?.to_owned(), op, values, class: class?, confidence })
}

fn feed(mut table: Table<'_>, base: &Path, names: &mut Unique, faults: &mut Faults) -> Option<IntelSource> {
    let name = name(&mut table, "tor", names, faults);
    let place = place(&mut table, "intel/own.txt", base, faults);
    let formats = FORMATS.map(|(word, format)| (word, Some(format)));
    let format = table.choice("format", &formats, None, faults);
    if format.is_none() {
        table.required("format", "\"text\"", faults);
    }
    let columns = columns(table.table("columns", "`columns`", faults), faults);
    let class = class(&mut table, faults);
    if class.is_none() {
        table.required("class", "\"vpn\"", faults);
    }
    let crawler = crawler(&mut table, class, faults);
    let is_fetched = matches!(place, Some(Place::Url(_)));
    let ttl = table.value("ttl_secs").is_some();
    let written = table.time("ttl_secs", 0..=365 * DAY_SECS, Duration::ZERO, faults);
    let content = FeedContent {
        format: format.unwrap_or(FeedFormat::Text),
        class: class.unwrap_or(NetworkClass::Crawler),
        crawler,
        except_asns: except_asns(&mut table, faults),
        confidence: table.share("confidence", 10..=1000, 1000, faults),
        ttl: if ttl { Some(written).filter(|ttl| !ttl.is_zero()) } else { is_fetched.then_some(FETCHED_TTL) },
        max_entries: table.number("max_entries", 1..=100_000_000, 1_000_000, faults),
        min_prefix: bits(&mut table, "min_prefix", 1..=32, 8, faults),
        min_prefix_v6: bits(&mut table, "min_prefix_v6", 1..=128, 19, faults),
        columns,
        delimiter: table.value("delimiter").and_then(|value| delimiter(&value, faults)),
        pointer: table.text("pointer", faults).map(str::to_owned),
        key: table.text("key", faults).map(str::to_owned),
    };
    let source = IntelSource {
        name: name.unwrap_or_default(),
        refresh: table.time("refresh_secs", REFRESH_SECS, Duration::from_secs(DAY_SECS), faults),
        max_bytes: table.number("max_bytes", 1..=MAX_BYTES, FEED_BYTES, faults),
        max_shrink: table.share("max_shrink", 0..=1000, MAX_SHRINK, faults),
        licence: table.text("licence", faults).map(str::to_owned),
        content: Content::Feed(content),
        place: place.unwrap_or(Place::File(PathBuf::new())),
    };
    table.finish(faults);
    // What is missing was reported, and then nothing is made of these settings.
    Some(source)
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

fn class(table: &mut Table<'_>, faults: &mut Faults) -> Option<NetworkClass> {
    let classes = NetworkClass::ALL.map(|class| (class.name(), Some(class)));
    table.choice("class", &classes, None, faults)
}

/// Whose crawlers have the addresses of a feed; what they come for is `search` unless it is written.
fn crawler(table: &mut Table<'_>, class: Option<NetworkClass>, faults: &mut Faults) -> Option<(String, &'static str)> {
    let written = table.value("crawler");
    let kinds = ["search", "ai", "preview", "monitoring"].map(|kind| (kind, kind));
    let kind = table.choice("crawler_kind", &kinds, "search", faults);
    let value = written?;
    if class.is_some_and(|class| class != NetworkClass::Crawler) {
        let fault = value.fault("is for a feed of crawlers", "and this one has another class");
        faults.add(fault.help("write `class = \"crawler\"`, or leave `crawler` out"));
    }
    Some((value.text(faults)?.to_owned(), kind))
}

fn except_asns(table: &mut Table<'_>, faults: &mut Faults) -> Vec<u32> {
    let Some(value) = table.value("except_asns") else { return Vec::new() };
    value
        .words(faults)
        .iter()
        .filter_map(|word| {
            let number = word.strip_prefix("AS").unwrap_or(word).parse().ok();
            if number.is_none() {
                let fault = value.fault(&format!("has {}", quote(word)), "not an autonomous system");
                faults.add(fault.help("write one as in `\"AS64496\"`"));
            }
            number
        })
        .collect()
}

/// One text or several.
fn paths(table: &mut Table<'_>, key: &'static str, faults: &mut Faults) -> Vec<String> {
    table.value(key).map_or(Vec::new(), |value| value.words(faults))
}

fn columns(mut table: Table<'_>, faults: &mut Faults) -> Columns {
    let mut column = |key| table.value(key).and_then(|value| value.word(faults));
    let columns = Columns {
        network: column("network"),
        start: column("start"),
        end: column("end"),
        asn: column("asn"),
        class: column("class"),
        confidence: column("confidence"),
    };
    if columns.start.is_some() != columns.end.is_some() {
        let fault = Diagnostic::error("`columns` has one end of a range").at(span(table.place()), "and the other?");
        faults.add(fault.help("name both `start` and `end`"));
    }
    table.finish(faults);
    columns
}

fn delimiter(value: &Value<'_>, faults: &mut Faults) -> Option<char> {
    let text = value.text(faults)?;
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter @ (',' | ';' | '|' | '\t')), None) => Some(letter),
        _ => {
            let fault = value.fault(&format!("cannot be {}", quote(text)), "not a delimiter");
            faults.add(fault.help("write `,`, `;`, `|` or `\\t`, or leave the key out"));
            None
        }
    }
}

fn bits(
    table: &mut Table<'_>,
    key: &'static str,
    within: std::ops::RangeInclusive<u64>,
    default: u8,
    faults: &mut Faults,
) -> u8 {
    u8::try_from(table.number(key, within, default.into(), faults)).unwrap_or(default)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<IntelSources, String> {
        IntelSources::read(SourceFile::new("portcullis.toml", text), Path::new("/etc/portcullis"))
            .map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_source_and_a_feed_mean_what_they_say() {
        let text = r#"
            [intel]
            asn = "asn.mmdb"
            data = "data"
            ca_file = "ca.pem"
            contact = "ops@shop.example"
            mirrors = ["10.1.2.0/24"]
            [[intel.source]]
            name = "vendor"
            path = "vendor.mmdb"
            preset = "maxmind-city"
            country = ["country.iso_code", "registered_country.iso_code"]
            max_shrink = 0.25
            licence = "bought"
            rule = [
                { path = "is_vpn", class = "vpn" },
                { path = "usage", op = "in", value = ["DCH", "CDN"], class = "datacenter", confidence = 0.8 },
                { path = "risk", op = "gte", value = 75.5, class = "abuser" },
            ]
            [[intel.feed]]
            name = "bots"
            url = "https://lists.shop.example/bots?key=1"
            format = "csv"
            class = "crawler"
            crawler = "examplebot"
            crawler_kind = "ai"
            columns = { start = 0, end = 1, confidence = "sure" }
            delimiter = ";"
            refresh_secs = 600
            ttl_secs = 0
            max_bytes = 1_000
            max_entries = 10
            min_prefix = 16
            except_asns = ["AS64496", 64497]
            [[intel.feed]]
            name = "tor"
            url = "https://lists.shop.example/tor"
            format = "text"
            class = "tor"
            [intel.crawlers]
            servers = ["127.0.0.1:5353"]
            timeout_ms = 500
        "#;
        let intel = read(text).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(intel.data, Path::new("/etc/portcullis/data"));
        assert_eq!(intel.ca_file.as_deref(), Some(Path::new("/etc/portcullis/ca.pem")));
        assert_eq!((intel.contact.as_deref(), intel.mirrors.len()), (Some("ops@shop.example"), 1));
        assert_eq!((intel.crawlers.enabled, intel.crawlers.timeout), (true, Duration::from_millis(500)));
        let vendor = intel.find("vendor").unwrap();
        assert_eq!(vendor.place, Place::File("/etc/portcullis/vendor.mmdb".into()));
        assert_eq!((vendor.max_shrink, vendor.max_bytes, vendor.ttl()), (250, DATABASE_BYTES, None));
        let Content::Database(database) = &vendor.content else { panic!("{vendor:?}") };
        assert_eq!((database.preset, database.country.len()), (Some("maxmind-city"), 2));
        let rules: Vec<_> = database
            .rules
            .iter()
            .map(|rule| (&*rule.path, rule.op, rule.values.join(" "), rule.class, rule.confidence))
            .collect();
        assert_eq!(
            rules,
            [
                ("is_vpn", "true", String::new(), NetworkClass::Vpn, 1000),
                ("usage", "in", "DCH CDN".to_owned(), NetworkClass::Datacenter, 800),
                ("risk", "gte", "75.5".to_owned(), NetworkClass::Abuser, 1000),
            ]
        );
        let bots = intel.find("bots").unwrap();
        assert!(bots.is_fetched());
        assert_eq!((bots.refresh, bots.max_bytes, bots.ttl()), (Duration::from_secs(600), 1_000, None));
        let Content::Feed(feed) = &bots.content else { panic!("{bots:?}") };
        assert_eq!(feed.crawler, Some(("examplebot".to_owned(), "ai")));
        assert_eq!((feed.format, feed.class, feed.confidence), (FeedFormat::Csv, NetworkClass::Crawler, 1000));
        assert_eq!((feed.max_entries, feed.min_prefix, feed.min_prefix_v6), (10, 16, 19));
        assert_eq!((feed.delimiter, &feed.except_asns[..]), (Some(';'), &[64496, 64497][..]));
        let columns = (feed.columns.start.as_deref(), feed.columns.end.as_deref(), feed.columns.confidence.as_deref());
        assert_eq!(columns, (Some("0"), Some("1"), Some("sure")));
        assert_eq!(intel.find("tor").unwrap().ttl(), Some(FETCHED_TTL));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_a_remedy() {
        let source = |lines: &str| format!("[[intel.source]]\nname = \"a\"\npath = \"a.mmdb\"\n{lines}");
        let feed = |lines: &str| {
            format!("[[intel.feed]]\nname = \"a\"\npath = \"a\"\nformat = \"text\"\nclass = \"vpn\"\n{lines}")
        };
        for (text, said) in [
            ("[[intel.feed]]\nname = \"a\"\nclass = \"vpn\"\nformat = \"text\"".to_owned(), "neither a `path` nor a `url`"),
            (feed("url = \"https://lists.shop.example/\""), "has a `path` and a `url`"),
            (
                "[[intel.feed]]\nname = \"a\"\nurl = \"http://key@lists.shop.example\"\nclass = \"vpn\"\nformat = \"text\""
                    .to_owned(),
                "is not an `https` URL",
            ),
            ("[[intel.feed]]\nname = \"a\"\npath = \"a\"\nformat = \"text\"".to_owned(), "`class` is missing in `[[intel.feed]]`"),
            ("[[intel.feed]]\nname = \"a\"\npath = \"a\"\nclass = \"vpn\"".to_owned(), "`format` is missing"),
            ("[[intel.feed]]\npath = \"a\"\nclass = \"vpn\"\nformat = \"text\"".to_owned(), "`name` is missing"),
            (feed("refresh_secs = 60"), "write a whole number from 300 to 2592000"),
            (feed("refresh_secs = \"1h\""), "write `refresh_secs = 3600`"),
            (feed("max_shrink = 50"), "write a number from 0 to 1"),
            (feed("min_prefix = 33"), "write a whole number from 1 to 32"),
            (feed("confidence = 0"), "write a number from 0.01 to 1"),
            (feed("colums = { network = 0 }"), "did you mean `columns`?"),
            (feed("columns = { start = 0 }"), "name both `start` and `end`"),
            (feed("delimiter = \":\""), "not a delimiter"),
            (feed("crawler = \"googlebot\""), "is for a feed of crawlers"),
            (feed("except_asns = [\"AS\"]"), "not an autonomous system"),
            (feed("") + &feed(""), "the name `a` is used twice"),
            (source("") + &feed(""), "the name `a` is used twice"),
            (source("class = \"vpn\""), "unknown key `class`"),
            (source("preset = \"maxmind-asm\""), "did you mean `maxmind-asn`?"),
            (source("rule = [{ class = \"vpn\" }]"), "`path` is missing in `[[intel.source.rule]]`"),
            (source("rule = [{ path = \"a\" }]"), "`class` is missing"),
            (source("rule = [{ path = \"a\", op = \"eq\", class = \"vpn\" }]"), "has nothing to compare with"),
            (source("rule = [{ path = \"a\", value = \"b\", class = \"vpn\" }]"), "compares with nothing"),
            ("[intel]\ncontact = \"me (at home)\"".to_owned(), "is not an address to write to"),
            ("[intel]\nmirrors = [\"mirror\"]".to_owned(), "is not a network"),
            ("[intel.crawlers]\nservers = [\"127.0.0.1\"]".to_owned(), "is not an address with a port"),
            ("[limits]\nmax_connections = 1".to_owned(), "unknown key `limits`"),
        ] {
            let faults = read(&text).map(|intel| panic!("{text} was taken: {intel:?}")).unwrap_err();
            assert!(faults.contains(said), "{said:?} is not in\n{faults}");
            assert!(faults.contains("help: "), "no remedy in\n{faults}");
        }
    }

    #[test]
    fn a_key_in_a_url_is_not_repeated() {
        let text = "[[intel.feed]]\nname = \"a\"\nurl = \"http://lists.shop.example/?key=geheim\"\nformat = \"text\"\n\
                    class = \"vpn\"";
        let fault = read(text).unwrap_err();
        // The excerpt of the file shows it to whoever has the file; the messages themselves do not.
        let own: String = fault.lines().filter(|line| !line.contains(" | ")).collect();
        assert!(!own.contains("geheim"), "{fault}");
    }

    #[test]
    fn the_default_set_is_sound_free_to_use_and_gives_way_to_the_users_own() {
        let set = read(DEFAULT_SET).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(set.sources.len() > 20);
        for source in &set.sources {
            assert!(source.is_fetched() && source.licence.is_some(), "{source:?}");
            let Place::Url(url) = &source.place else { panic!("{source:?}") };
            assert!(!url.contains("key=") && !url.contains("token="), "{url}");
        }
        for class in [NetworkClass::Relay, NetworkClass::Tor, NetworkClass::Vpn, NetworkClass::Datacenter] {
            let has = |source: &&IntelSource| matches!(&source.content, Content::Feed(feed) if feed.class == class);
            assert!(set.sources.iter().any(|source| has(&source)), "no feed of {class}");
        }
        let own = "[intel]\ndefault_set = true\n[[intel.feed]]\nname = \"tor-exits\"\npath = \"tor.txt\"\n\
                   format = \"text\"\nclass = \"tor\"";
        let both = read(own).unwrap();
        assert_eq!(both.sources.len(), set.sources.len());
        assert!(!both.find("tor-exits").unwrap().is_fetched());
    }
}
