//! One value of a database record, and what makers mean by it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::asn::Asn;

/// A value as it is written in a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Bool(bool),
    Integer(u64),
    Float(f64),
    Text(&'a str),
    /// A map, a list or bytes: there is something, and it is no single value.
    Other,
}

impl<'a> Scalar<'a> {
    /// Whether the value says anything: `""` and `"-"` are how makers leave a column empty.
    pub(crate) fn is_present(self) -> bool {
        self.text().is_some() || !matches!(self, Scalar::Text(_))
    }

    /// Whether the value says yes: `true`, 1, `"true"`, `"yes"` or `"1"`.
    pub(crate) fn is_true(self) -> bool {
        match self {
            Scalar::Bool(value) => value,
            Scalar::Integer(value) => value == 1,
            Scalar::Float(value) => value == 1.0,
            Scalar::Text(text) => ["true", "yes", "1"].iter().any(|yes| text.trim().eq_ignore_ascii_case(yes)),
            Scalar::Other => false,
        }
    }

    /// The text, without space around it; `None` if it is empty or `-`.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Scalar::Text(text) => Some(text.trim()).filter(|text| !matches!(*text, "" | "-")),
            _ => None,
        }
    }

    /// The number, or the number that a text begins with: 0.0312 of `0.0312 (Elevated)`.
    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Scalar::Integer(value) => Some(value as f64),
            Scalar::Float(value) => Some(value).filter(|value| value.is_finite()),
            Scalar::Text(text) => leading_number(text.trim()),
            Scalar::Bool(_) | Scalar::Other => None,
        }
    }

    /// The AS number: 64500, `"64500"` or `"AS64500"`. 0 means that the address is not routed (RFC 7607).
    pub(crate) fn asn(self) -> Option<Asn> {
        let asn = match self {
            Scalar::Integer(value) => u32::try_from(value).ok().map(Asn),
            Scalar::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        asn.filter(|asn| *asn != Asn(0))
    }

    /// Whether the whole value is `wanted`, in either case.
    pub(crate) fn is(self, wanted: &str) -> bool {
        match self {
            Scalar::Integer(value) => wanted.parse() == Ok(value),
            _ => self.text().is_some_and(|text| text.eq_ignore_ascii_case(wanted)),
        }
    }

    /// Whether `wanted` is one of the parts that `/` joins: `MOB` of `ISP/MOB`.
    pub(crate) fn has(self, wanted: &str) -> bool {
        self.is(wanted)
            || self.text().is_some_and(|text| text.split('/').any(|part| part.trim().eq_ignore_ascii_case(wanted)))
    }
}

fn leading_number(text: &str) -> Option<f64> {
    let end =
        text.bytes().position(|byte| !(byte.is_ascii_digit() || byte == b'.' || byte == b'-')).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(u64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Integer))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Scalar<'de>, E> {
        Ok(u64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(value))
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_say_yes_in_several_ways() {
        for (value, yes) in [
            (Scalar::Bool(true), true),
            (Scalar::Bool(false), false),
            (Scalar::Integer(1), true),
            (Scalar::Integer(2), false),
            (Scalar::Float(1.0), true),
            (Scalar::Text("true"), true),
            (Scalar::Text(" YES "), true),
            (Scalar::Text("1"), true),
            (Scalar::Text("false"), false),
            (Scalar::Text(""), false),
            (Scalar::Text("-"), false),
            (Scalar::Other, false),
        ] {
            assert_eq!(value.is_true(), yes, "{value:?}");
        }
    }

    #[test]
    fn an_empty_text_and_a_dash_say_nothing() {
        for (value, present) in [
            (Scalar::Text("-"), false),
            (Scalar::Text(" "), false),
            (Scalar::Text("SCANNER/SPAM"), true),
            (Scalar::Integer(0), true),
            (Scalar::Bool(false), true),
            (Scalar::Other, true),
        ] {
            assert_eq!(value.is_present(), present, "{value:?}");
        }
    }

    #[test]
    fn a_number_is_read_from_the_beginning_of_a_text() {
        for (value, number) in [
            (Scalar::Text("0.0312 (Elevated)"), Some(0.0312)),
            (Scalar::Text("85"), Some(85.0)),
            (Scalar::Text("-"), None),
            (Scalar::Text("(Low)"), None),
            (Scalar::Text("1.2.3"), None),
            (Scalar::Integer(85), Some(85.0)),
            (Scalar::Float(f64::INFINITY), None),
            (Scalar::Bool(true), None),
        ] {
            assert_eq!(value.number(), number, "{value:?}");
        }
    }

    #[test]
    fn an_as_number_is_a_number_or_a_text() {
        for (value, asn) in [
            (Scalar::Text("AS64500"), Some(64_500)),
            (Scalar::Text("64500"), Some(64_500)),
            (Scalar::Integer(64_500), Some(64_500)),
            (Scalar::Integer(0), None),
            (Scalar::Text("AS0"), None),
            (Scalar::Text("-"), None),
            (Scalar::Integer(1 << 32), None),
            (Scalar::Other, None),
        ] {
            assert_eq!(value.asn(), asn.map(Asn), "{value:?}");
        }
    }

    #[test]
    fn a_part_is_found_in_a_joined_list_and_not_inside_a_word() {
        assert!(Scalar::Text("ISP/MOB").has("mob"));
        assert!(!Scalar::Text("MOBILE").has("MOB"));
        assert!(!Scalar::Text("ISP/MOB").is("MOB"));
        assert!(Scalar::Text("Cellular").is("cellular"));
        assert!(Scalar::Integer(3).is("3"));
    }
}
