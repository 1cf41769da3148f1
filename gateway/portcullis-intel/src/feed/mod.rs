//! Lists of networks with a class: what is wanted of one, what was read from it, and why it was refused.

mod collect;
mod csv;
mod error;
mod json;
mod text;
mod unpack;

use std::sync::Arc;
use std::time::Duration;

use crate::asn::Asn;
use crate::class::NetworkClass;
use crate::confidence::Confidence;
use crate::crawler::Crawler;
use crate::list::LineFault;
use crate::mapping::Mapping;
use crate::prefix::Prefix;

pub use csv::{Column, CsvColumns};
pub use error::FeedError;
pub use json::JsonPlace;
pub use unpack::unpacked;

use collect::Collector;

/// What a feed is called, how it is written, and what its entries mean.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedSpec {
    /// The name in settings and in provenance. Of feeds with the same name the later one holds.
    pub name: Arc<str>,
    /// How the feed is written.
    pub format: FeedFormat,
    /// The class of its entries, where no column says another.
    pub class: NetworkClass,
    /// How sure that is, where no column says so.
    pub confidence: Confidence,
    /// Whose crawler it is, for the published ranges of a crawler.
    pub crawler: Option<Arc<Crawler>>,
    /// The terms it may be used under, to show.
    pub licence: Option<Arc<str>>,
    /// How long after it was loaded it is believed; `None` for always.
    pub time_to_live: Option<Duration>,
    /// Networks that are left out, whatever the feed says.
    pub except_asns: Vec<Asn>,
    /// Bounds past which the feed is refused.
    pub guards: Guards,
}

impl FeedSpec {
    /// A feed without crawler, licence, end and exceptions, with [`Guards::default`].
    pub fn new(name: &str, format: FeedFormat, class: NetworkClass, confidence: Confidence) -> Self {
        FeedSpec {
            name: Arc::from(name),
            format,
            class,
            confidence,
            crawler: None,
            licence: None,
            time_to_live: None,
            except_asns: Vec::new(),
            guards: Guards::default(),
        }
    }

    /// The published ranges of a crawler: no doubt about them.
    pub fn crawler(name: &str, format: FeedFormat, crawler: Crawler) -> Self {
        FeedSpec {
            crawler: Some(Arc::new(crawler)),
            ..FeedSpec::new(name, format, NetworkClass::Crawler, Confidence::FULL)
        }
    }
}

/// How a feed is written. Each may be gzip, which is found out.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedFormat {
    /// One entry a line: an address, a network, `first-last`, `AS64500`, `address:port`, a URL;
    /// `#`, `;` and `//` begin comments.
    Text,
    /// Columns, with or without names in the first line.
    Csv(CsvColumns),
    /// One document.
    Json(JsonPlace),
    /// One document a line; a line of `"type": "metadata"` is no entry.
    JsonLines(JsonPlace),
    /// A database. With a mapping, every network that its rules give a class; without, every network
    /// that has a record.
    Mmdb(Option<Mapping>),
}

/// Bounds past which a feed is refused as a whole and the last good one stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Guards {
    /// The most bytes, unpacked.
    pub most_bytes: usize,
    /// The most entries, dropped ones among them; a range counts as the networks that it is made of.
    pub most_entries: usize,
    /// The fewest entries: a feed that holds nothing is more often broken than right.
    pub fewest_entries: usize,
    /// How much of the entries it may lose between two loads, in percent.
    pub most_shrink_percent: u8,
    /// The shortest IPv4 prefix, in bits. A whole block of one bit less is refused too, if it is
    /// made of several.
    pub shortest_v4: u8,
    /// The same for IPv6.
    pub shortest_v6: u8,
}

impl Default for Guards {
    /// 64 MiB, two million entries, at least one, at most half lost; nothing as wide as an IPv4 /8 or
    /// an IPv6 /18: the widest networks of real lists are half a /8 and a /24.
    fn default() -> Self {
        Guards {
            most_bytes: 64 << 20,
            most_entries: 2_000_000,
            fewest_entries: 1,
            most_shrink_percent: 50,
            shortest_v4: 9,
            shortest_v6: 19,
        }
    }
}

/// A feed that was read and passed its guards.
#[derive(Clone, Debug)]
pub struct Feed {
    pub(crate) name: Arc<str>,
    pub(crate) crawler: Option<Arc<Crawler>>,
    pub(crate) licence: Option<Arc<str>>,
    pub(crate) networks: Vec<(Prefix, Said)>,
    pub(crate) asns: Vec<(Asn, Said)>,
    loaded_unix_secs: u64,
    expires_unix_secs: Option<u64>,
    report: FeedReport,
}

/// What a feed says of an entry.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Said {
    pub(crate) class: NetworkClass,
    pub(crate) confidence: Confidence,
}

impl Feed {
    /// The name in settings and in provenance.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// When it was read, in seconds since 1970-01-01 UTC.
    pub fn loaded_unix_secs(&self) -> u64 {
        self.loaded_unix_secs
    }

    /// From when on it is not believed any more, in seconds since 1970-01-01 UTC; `None` for never.
    pub fn expires_unix_secs(&self) -> Option<u64> {
        self.expires_unix_secs
    }

    /// What was read, dropped and passed over.
    pub fn report(&self) -> &FeedReport {
        &self.report
    }
}

/// What became of the lines of a feed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FeedReport {
    /// How many bytes there were, unpacked.
    pub bytes: usize,
    /// How many networks of IPv4.
    pub v4: usize,
    /// How many networks of IPv6.
    pub v6: usize,
    /// How many autonomous systems.
    pub asns: usize,
    /// What was left out on purpose.
    pub dropped: Dropped,
    /// How many lines, or values of a JSON document, are no entry.
    pub skipped: usize,
    /// The first of them.
    pub first_skipped: Vec<LineFault>,
    /// When the maker wrote it, in seconds since 1970-01-01 UTC, if the feed says so.
    pub published_unix_secs: Option<u64>,
    /// Whose it is, if the feed says so.
    pub copyright: Option<String>,
}

impl FeedReport {
    /// How many entries count.
    pub fn entries(&self) -> usize {
        self.v4 + self.v6 + self.asns
    }
}

/// Entries that were left out on purpose, by reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dropped {
    /// Private, bogon and other space of [`special_use`](crate::special_use).
    pub special_use: usize,
    /// `0.0.0.0/0` and `::/0`.
    pub default_route: usize,
    /// AS numbers that no public network may use: [`Asn::is_reserved`].
    pub reserved_asn: usize,
    /// AS numbers that the settings except.
    pub excepted: usize,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> usize {
        self.special_use + self.default_route + self.reserved_asn + self.excepted
    }
}

/// Reads a feed, plain or gzip. `previous` is how many entries its last load had; `now_unix_secs` is
/// when it was fetched, in seconds since 1970-01-01 UTC.
///
/// Of the same entry given twice both count in the report, and the surer one later.
///
/// # Errors
///
/// When the feed is past a guard, is an HTML page, or cannot be read as its format. The caller then
/// keeps the last good one.
pub fn read_feed(
    spec: &FeedSpec,
    bytes: &[u8],
    previous: Option<usize>,
    now_unix_secs: u64,
) -> Result<Feed, FeedError> {
    let bytes = unpacked(bytes, spec.guards.most_bytes)?;
    let mut collector = Collector::new(spec);
    let database = matches!(spec.format, FeedFormat::Mmdb(_));
    let content = bytes.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(&bytes);
    if !database && content.trim_ascii_start().starts_with(b"<") {
        return Err(FeedError::Html);
    }
    let length = bytes.len();
    match &spec.format {
        FeedFormat::Text => text::read(content, &mut collector)?,
        FeedFormat::Csv(columns) => csv::read(content, columns, &mut collector)?,
        FeedFormat::Json(place) => json::read_document(content, place, &mut collector)?,
        FeedFormat::JsonLines(place) => json::read_lines(content, place, &mut collector)?,
        FeedFormat::Mmdb(mapping) => collect::read_database(bytes.into_owned(), mapping.as_ref(), &mut collector)?,
    }
    let (networks, asns, report) = collector.finish(length, previous)?;
    let life = spec.time_to_live.map(|life| now_unix_secs.saturating_add(life.as_secs()));
    Ok(Feed {
        name: Arc::clone(&spec.name),
        crawler: spec.crawler.clone(),
        licence: spec.licence.clone(),
        networks,
        asns,
        loaded_unix_secs: now_unix_secs,
        expires_unix_secs: life,
        report,
    })
}

/// Reads any bytes in every format, as fuzzing and its corpus test do. Nothing may panic.
pub fn read_feed_any(bytes: &[u8]) {
    for format in [
        FeedFormat::Text,
        FeedFormat::Csv(CsvColumns::default()),
        FeedFormat::Json(JsonPlace::default()),
        FeedFormat::JsonLines(JsonPlace::default()),
        FeedFormat::Mmdb(None),
        FeedFormat::Mmdb(Some(crate::preset::Preset::Any.mapping())),
    ] {
        let mut spec = FeedSpec::new("any", format, NetworkClass::Abuser, Confidence::FULL);
        spec.guards.most_bytes = 1 << 20;
        spec.guards.most_entries = 10_000;
        let _ = read_feed(&spec, bytes, None, 0);
    }
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
