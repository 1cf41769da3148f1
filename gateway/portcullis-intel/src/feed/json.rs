use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::collect::{Collector, Entry};
use super::error::FeedError;
use super::text;
use crate::asn::Asn;

/// Where the entries of a JSON document stand. By default everywhere: texts under a key that speaks
/// of prefixes, networks, ranges or addresses, and all texts of a bare list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct JsonPlace {
    /// The keys on the way to the entries; lists are walked through, `*` is any key.
    pub pointer: Vec<Box<str>>,
    /// The only key that entries stand under.
    pub key: Option<Box<str>>,
}

/// Reads one document.
pub(super) fn read_document(bytes: &[u8], place: &JsonPlace, collector: &mut Collector<'_>) -> Result<(), FeedError> {
    match walk(bytes, place, collector) {
        Ok(()) => Ok(()),
        Err(Stop::Guard(error)) => Err(error),
        Err(Stop::Syntax(reason)) => Err(FeedError::Json { reason }),
    }
}

/// Reads one document a line. A line that is none is skipped and counted.
pub(super) fn read_lines(bytes: &[u8], place: &JsonPlace, collector: &mut Collector<'_>) -> Result<(), FeedError> {
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        collector.at_line(number);
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if let Ok(about) = serde_json::from_slice::<About>(line)
            && about.kind.as_deref() == Some("metadata")
        {
            collector.report.published_unix_secs = about.timestamp;
            collector.report.copyright = about.copyright;
            continue;
        }
        match walk(line, place, collector) {
            Ok(()) => {}
            Err(Stop::Guard(error)) => return Err(error),
            Err(Stop::Syntax(reason)) => collector.skip(&format!("expected JSON, but found otherwise: {reason}")),
        }
    }
    Ok(())
}

/// The last line of Spamhaus' lists.
#[derive(Deserialize)]
struct About {
    #[serde(rename = "type")]
    kind: Option<String>,
    timestamp: Option<u64>,
    copyright: Option<String>,
}

enum Stop {
    Guard(FeedError),
    Syntax(String),
}

fn walk(bytes: &[u8], place: &JsonPlace, collector: &mut Collector<'_>) -> Result<(), Stop> {
    let mut failure = None;
    // The parser goes no deeper than 128 levels, so neither does the walk.
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let walk = Walk {
        pointer: &place.pointer,
        key: place.key.as_deref(),
        under: if place.pointer.is_empty() && place.key.is_some() { Under::Nothing } else { Under::Entries },
        collector,
        failure: &mut failure,
    };
    let walked = walk.deserialize(&mut parser).and_then(|()| parser.end());
    match (failure, walked) {
        (Some(error), _) => Err(Stop::Guard(error)),
        (None, Err(error)) => Err(Stop::Syntax(error.to_string())),
        (None, Ok(())) => Ok(()),
    }
}

/// What a text at this place is.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Under {
    Nothing,
    Entries,
}

struct Walk<'w, 'c, 's> {
    pointer: &'w [Box<str>],
    key: Option<&'w str>,
    under: Under,
    collector: &'c mut Collector<'s>,
    failure: &'c mut Option<FeedError>,
}

impl<'w> Walk<'w, '_, '_> {
    fn add<E: Error>(&mut self, entry: Entry) -> Result<(), E> {
        self.collector.add(entry, None).map_err(|error| {
            *self.failure = Some(error);
            E::custom("past a guard")
        })
    }

    /// Whether texts under `key` are entries.
    fn speaks_of_networks(&self, key: &str) -> bool {
        match self.key {
            Some(wanted) => key == wanted,
            None => {
                let key = key.to_ascii_lowercase();
                key.starts_with("ip") || ["prefix", "cidr", "range", "address"].iter().any(|part| key.contains(part))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        if self.under == Under::Nothing || !self.pointer.is_empty() || value.trim().is_empty() {
            return Ok(());
        }
        match text::entry(value) {
            Some(entry) => self.add(entry),
            None => {
                self.collector.skip_text(value);
                Ok(())
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Walk { pointer, key, under, collector, failure } = self;
        while seq.next_element_seed(Walk { pointer, key, under, collector, failure })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let met = self.collector.met();
        let mut network = None;
        let Walk { pointer, key, collector, failure, .. } = self;
        while let Some(name) = map.next_key::<String>()? {
            let here = Walk { pointer, key, under: Under::Nothing, collector, failure };
            match pointer.split_first() {
                Some((step, rest)) if **step == *name || &**step == "*" => {
                    let under = if key.is_some() { Under::Nothing } else { Under::Entries };
                    map.next_value_seed(Walk { pointer: rest, under, ..here })?;
                }
                Some(_) => {
                    map.next_value::<IgnoredAny>()?;
                }
                None if here.speaks_of_networks(&name) => {
                    map.next_value_seed(Walk { under: Under::Entries, ..here })?;
                }
                None if key.is_none() && ASN_KEYS.contains(&name.as_str()) => {
                    network = map.next_value::<AsnValue>()?.0.or(network);
                }
                None => map.next_value_seed(here)?,
            }
        }
        // The number of an object that names addresses says whose they are; it is no entry itself.
        match network {
            Some(asn) if collector.met() == met => {
                Walk { pointer, key, under: Under::Entries, collector, failure }.add(Entry::Asn(asn))
            }
            _ => Ok(()),
        }
    }
}

/// An AS number as a number or a text; anything else is none.
struct AsnValue(Option<Asn>);

impl<'de> Deserialize<'de> for AsnValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).map(Asn);
        Ok(AsnValue(number.or_else(|| value.as_str()?.parse().ok())))
    }
}

const ASN_KEYS: [&str; 3] = ["asn", "as_number", "autonomous_system_number"];
