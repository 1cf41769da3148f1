//! The least that can be said of a document: that it is what it should be, and how many entries it has.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use portcullis_intel::probe_database;

use super::refresh::{Loaded, Loader};
use crate::settings::{Content, FeedFormat, IntelSource};

/// Counts the entries of documents and keeps none: for who fetches and does not look up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally;

impl Loader for Tally {
    type Part = ();

    fn load(&self, source: &IntelSource, bytes: &[u8]) -> Result<Loaded<()>, String> {
        let database = match &source.content {
            Content::Database(_) => true,
            Content::Feed(feed) => feed.format == FeedFormat::Mmdb,
        };
        let entries = if database {
            let report = probe_database(bytes.to_vec()).map_err(|error| error.to_string())?;
            u64::from(report.records)
        } else {
            count(&String::from_utf8_lossy(bytes))
        };
        if entries == 0 {
            return Err("it has no entry".to_owned());
        }
        Ok(Loaded { part: (), entries, skipped: 0 })
    }

    fn put(&self, _at: usize, _part: Option<()>) {}

    fn publish(&self) {}
}

/// How many words of a text are networks, addresses or autonomous systems.
fn count(text: &str) -> u64 {
    let words = text.split(|letter: char| letter.is_whitespace() || "\",;|{}[]<>'".contains(letter));
    let is_entry = |word: &str| {
        let number = word.strip_prefix("AS").or_else(|| word.strip_prefix("asn:"));
        let contains_separator = word.contains(['.', ':']);
        number.is_some_and(|number| number.parse::<u32>().is_ok())
            || (contains_separator && (word.parse::<IpNetwork>().is_ok() || word.parse::<IpAddr>().is_ok()))
    };
    // In `"asn":64496` the number stands alone behind a colon.
    let numbered = text.matches("\"asn\":").count();
    u64::try_from(words.filter(|word| is_entry(word)).count().saturating_add(numbered)).unwrap_or(u64::MAX)
}
