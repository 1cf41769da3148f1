use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::asn::Asn;
use crate::mmdb::{Answer, Database, DatabaseError, DatabaseInfo};
use crate::special::canonical;

/// A database from address to autonomous system.
///
/// Reads `autonomous_system_number` and `autonomous_system_organization` (GeoLite2-ASN, GeoIP2-ISP,
/// DB-IP, ip-location-db), or `asn` and `as_name` (IPinfo).
#[derive(Debug)]
pub struct AsnDb {
    database: Database,
    unreadable: AtomicU64,
}

/// The autonomous system of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AsnEntry<'a> {
    /// Its number, never 0.
    pub asn: Asn,
    /// Who runs it, as the database writes it; never empty.
    pub organisation: Option<&'a str>,
}

impl AsnDb {
    /// Opens the bytes of an MMDB file and looks up some addresses.
    ///
    /// # Errors
    ///
    /// When the bytes are no MMDB, every record tried is damaged, or none holds an AS number.
    pub fn open(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        let database = Database::open(bytes)?;
        let tally = database.probe(|address| entry(&database, address));
        database.check(tally, "an AS number", "`autonomous_system_number` or `asn`")?;
        Ok(AsnDb { database, unreadable: AtomicU64::new(0) })
    }

    /// The autonomous system of the [`canonical`] form of `address`.
    #[inline]
    pub fn lookup(&self, address: IpAddr) -> Answer<AsnEntry<'_>> {
        let answer = entry(&self.database, canonical(address));
        if matches!(answer, Answer::Unreadable) {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// How many lookups met a damaged record since the database was opened.
    pub fn unreadable_total(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// What the database says of itself.
    pub fn info(&self) -> DatabaseInfo {
        self.database.info()
    }
}

/// The autonomous system of a canonical address.
#[inline]
pub(crate) fn entry(database: &Database, address: IpAddr) -> Answer<AsnEntry<'_>> {
    database.answer(address, |record| Ok(record.decode::<AsnRecord<'_>>()?.and_then(AsnRecord::entry)))
}

/// A record as written. The two makers' keys do not meet in one record; if they did, the first
/// would hold.
#[derive(Deserialize)]
struct AsnRecord<'a> {
    #[serde(default)]
    autonomous_system_number: Number,
    #[serde(default, borrow)]
    autonomous_system_organization: Text<'a>,
    #[serde(default)]
    asn: Number,
    #[serde(default, borrow)]
    as_name: Text<'a>,
}

impl<'a> AsnRecord<'a> {
    fn entry(self) -> Option<AsnEntry<'a>> {
        Some(AsnEntry {
            asn: self.autonomous_system_number.0.or(self.asn.0)?,
            organisation: self.autonomous_system_organization.0.or(self.as_name.0),
        })
    }
}

/// An AS number as any maker writes it: an integer of any width, `"AS64500"` or `"64500"`. What is
/// neither, such as ipapi.is' map under `asn`, is no number, and does not spoil the record.
#[derive(Default)]
struct Number(Option<Asn>);

/// A text, or something else under the same key, which is no text.
#[derive(Default)]
struct Text<'a>(Option<&'a str>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AS number")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
        // 0 means that the address is not routed (RFC 7607).
        Ok(Number(u32::try_from(value).ok().filter(|number| *number != 0).map(Asn)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
        self.visit_u64(u64::try_from(value).unwrap_or(0))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Number, E> {
        Ok(Number(value.parse().ok().filter(|asn| *asn != Asn(0))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Some(beginning(value, MAX_ORGANISATION_BYTES)).filter(|name| !name.is_empty())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

/// The longest beginning of `text` that is no longer than `at_most` bytes.
fn beginning(text: &str, at_most: usize) -> &str {
    (0..=at_most.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// Names of public databases stay below 128 bytes. The name is kept per connection and written to
/// every audit record, so a longer one is cut.
const MAX_ORGANISATION_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for (text, at_most, kept) in
            [("shop", 256, "shop"), ("shop", 4, "shop"), ("shop", 3, "sho"), ("aé", 2, "a"), ("é", 1, ""), ("", 0, "")]
        {
            assert_eq!(beginning(text, at_most), kept, "`{text}` to {at_most}");
        }
    }
}
