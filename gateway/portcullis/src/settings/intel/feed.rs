//! `[[intel.feed]]`: a list of networks or autonomous systems, and what its entries are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_intel::{
    Asn, Column, Crawler, CrawlerKind, CsvColumns, FeedFormat, FeedSpec, Guards, JsonPlace, NetworkClass,
};
use portcullis_policy::Diagnostic;

use super::{Common, Content, DAY_SECS, IntelSource, Place, class, confidence};
use crate::settings::reader::{Faults, Table, Value, quote, span};
use crate::settings::sections::Unique;

/// How old a feed that is fetched may be unless the settings say otherwise: a month, after which what it says of
/// addresses is more often wrong than right.
pub(super) const FETCHED_TTL: Duration = Duration::from_secs(30 * DAY_SECS);

/// The largest feed that is fetched unless the settings say otherwise: 64 MiB, some four million lines.
const MAX_FEED_BYTES: u64 = 64 << 20;

pub(super) fn feed(mut table: Table<'_>, base: &Path, names: &mut Unique, faults: &mut Faults) -> Option<IntelSource> {
    let common = Common::read(&mut table, "tor", "intel/own.txt", MAX_FEED_BYTES, (base, names), faults);
    let format = format(&mut table, faults);
    let class = class(&mut table, faults);
    if class.is_none() {
        table.required("class", "\"vpn\"", faults);
    }
    let crawler = crawler(&mut table, class, faults);
    let is_limited = table.value("ttl_secs").is_some();
    let ttl = table.time("ttl_secs", 0..=365 * DAY_SECS, Duration::ZERO, faults);
    let is_fetched = matches!(common.place, Place::Url(_));
    let confidence = confidence(&mut table, faults);
    // What is missing was reported, and then nothing is made of these settings.
    let format = format.unwrap_or(FeedFormat::Text);
    let spec = FeedSpec {
        crawler: crawler.map(Arc::new),
        licence: common.licence.as_deref().map(Arc::from),
        time_to_live: if is_limited {
            Some(ttl).filter(|ttl| !ttl.is_zero())
        } else {
            is_fetched.then_some(FETCHED_TTL)
        },
        except_asns: except_asns(&mut table, faults),
        guards: guards(&mut table, common.max_bytes, faults),
        ..FeedSpec::new(&common.name, format, class.unwrap_or(NetworkClass::Crawler), confidence)
    };
    table.finish(faults);
    Some(common.of(Content::Feed(spec)))
}

/// How the feed is written.
fn format(table: &mut Table<'_>, faults: &mut Faults) -> Option<FeedFormat> {
    const FORMATS: [&str; 5] = ["text", "csv", "json", "jsonl", "mmdb"];
    let name = table.choice("format", &FORMATS.map(|word| (word, Some(word))), None, faults);
    if name.is_none() {
        table.required("format", "\"text\"", faults);
    }
    let mut columns_table = table.table("columns", "`columns`", faults);
    let columns = CsvColumns {
        delimiter: table.value("delimiter").and_then(|value| delimiter(&value, faults)),
        ..columns(&mut columns_table, faults)
    };
    let has_columns = columns != CsvColumns::default();
    columns_table.finish(faults);
    let place = JsonPlace {
        pointer: table.text("pointer", faults).map_or(Vec::new(), pointer),
        key: table.text("key", faults).map(Box::from),
    };
    let has_place = place != JsonPlace::default();
    let name = name?;
    let mut misplaced = |keys: &str, of: &str| {
        let warning = Diagnostic::warning(format!("{keys} are of {of}, and this feed is in `{name}`"));
        let warning = warning.at(span(table.place()), "they say nothing here");
        faults.add(warning.help("leave them out, or write the format that the feed has"));
    };
    if has_columns && name != "csv" {
        misplaced("`columns` and `delimiter`", "feeds in `csv`");
    }
    if has_place && !matches!(name, "json" | "jsonl") {
        misplaced("`pointer` and `key`", "feeds in `json` and `jsonl`");
    }
    Some(match name {
        "csv" => FeedFormat::Csv(columns),
        "json" => FeedFormat::Json(place),
        "jsonl" => FeedFormat::JsonLines(place),
        "mmdb" => FeedFormat::Mmdb(None),
        _ => FeedFormat::Text,
    })
}

/// The keys of a pointer: joined by `/`, in which `~1` stands for a slash and `~0` for a tilde (RFC 6901).
fn pointer(text: &str) -> Vec<Box<str>> {
    let text = text.strip_prefix('/').unwrap_or(text);
    text.split('/').map(|key| key.replace("~1", "/").replace("~0", "~").into()).collect()
}

/// Whose crawlers have the addresses of a feed; what they come for is `search` unless it is written.
fn crawler(table: &mut Table<'_>, class: Option<NetworkClass>, faults: &mut Faults) -> Option<Crawler> {
    let written = table.value("crawler");
    let kinds = CrawlerKind::ALL.map(|kind| (kind.name(), kind));
    let kind = table.choice("crawler_kind", &kinds, CrawlerKind::Search, faults);
    let value = written?;
    if class.is_some_and(|class| class != NetworkClass::Crawler) {
        let fault = value.fault("is for a feed of crawlers", "and this one has another class");
        faults.add(fault.help("write `class = \"crawler\"`, or leave `crawler` out"));
    }
    Some(Crawler { kind, name: value.text(faults)?.to_ascii_lowercase().into() })
}

fn except_asns(table: &mut Table<'_>, faults: &mut Faults) -> Vec<Asn> {
    let Some(value) = table.value("except_asns") else { return Vec::new() };
    let numbers = value.items();
    let asn = |item: &Value<'_>| {
        let word = item.word(faults)?;
        let number = word.strip_prefix("AS").unwrap_or(&word).parse().ok().map(Asn);
        if number.is_none() {
            let fault = item.fault(&format!("has {}", quote(&word)), "not an autonomous system");
            faults.add(fault.help("write one as in `\"AS64496\"`"));
        }
        number
    };
    numbers.iter().filter_map(asn).collect()
}

fn columns(table: &mut Table<'_>, faults: &mut Faults) -> CsvColumns {
    let mut column = |key| table.value(key).and_then(|value| value.word(faults)).map(column);
    let (network, start, end) = (column("network"), column("start"), column("end"));
    let (asn, class, confidence) = (column("asn"), column("class"), column("confidence"));
    if start.is_some() != end.is_some() {
        let fault = Diagnostic::error("`columns` has one end of a range").at(span(table.place()), "and the other?");
        faults.add(fault.help("name both `start` and `end`"));
    }
    CsvColumns { delimiter: None, network, range: start.zip(end), asn, class, confidence }
}

/// A column by its place, from 0, or its name in the first line.
fn column(word: String) -> Column {
    word.parse().map_or_else(|_| Column::Name(word.into()), Column::Index)
}

fn delimiter(value: &Value<'_>, faults: &mut Faults) -> Option<u8> {
    let text = value.text(faults)?;
    match text.as_bytes() {
        [byte @ (b',' | b';' | b'|' | b'\t')] => Some(*byte),
        _ => {
            let fault = value.fault(&format!("cannot be {}", quote(text)), "not a delimiter");
            faults.add(fault.help("write `,`, `;`, `|` or `\\t`, or leave the key out"));
            None
        }
    }
}

fn guards(table: &mut Table<'_>, max_bytes: u64, faults: &mut Faults) -> Guards {
    let usual = Guards::default();
    let mut bits =
        |key, most: u64, usual: u8| u8::try_from(table.number(key, 1..=most, usual.into(), faults)).unwrap_or(usual);
    let (shortest_v4, shortest_v6) =
        (bits("min_prefix", 32, usual.shortest_v4), bits("min_prefix_v6", 128, usual.shortest_v6));
    Guards {
        most_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
        most_entries: table.size("max_entries", 1..=100_000_000, usual.most_entries, faults),
        shortest_v4,
        shortest_v6,
        ..usual
    }
}
