use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use maxminddb::{MaxMindDbError, PathElement};
use serde::de::IgnoredAny;

use crate::asn::Asn;
use crate::class::NetworkClass;
use crate::confidence::Confidence;
use crate::country::Country;
use crate::mmdb::Record;
use crate::scalar::Scalar;

/// Which fields of a database's records say what of an address.
///
/// Of several paths for one thing the first that holds it is believed. All rules are asked; a class
/// that several find has the surest confidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    /// Where the AS number stands.
    pub asn: Vec<FieldPath>,
    /// Where the name of the organisation stands.
    pub organisation: Vec<FieldPath>,
    /// Where the two letters of the country stand.
    pub country: Vec<FieldPath>,
    /// What gives an address a class.
    pub rules: Vec<ClassRule>,
}

/// A condition on one field, and the class that it gives.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassRule {
    /// The field.
    pub path: FieldPath,
    /// What must hold of it.
    pub test: FieldTest,
    /// The class that the address then has.
    pub class: NetworkClass,
    /// How sure that is.
    pub confidence: Confidence,
    /// A field of the record that says how sure it is; where it is absent, `confidence` holds.
    pub measured: Option<Measure>,
}

/// A field that holds a confidence, and its value for full confidence: 99 or 100 of MaxMind, 3 of
/// IPinfo.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The field.
    pub path: FieldPath,
    /// Its value for full confidence, above 0.
    pub full: f64,
}

/// What must hold of a field. Texts are compared in either case, and `""` and `"-"` are absent.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldTest {
    /// It says yes: `true`, 1, `"true"`, `"yes"`.
    True,
    /// It is this text.
    Equals(Box<str>),
    /// It is one of these texts.
    In(Vec<Box<str>>),
    /// One of its parts, which `/` joins, is one of these texts.
    Has(Vec<Box<str>>),
    /// One element of the list is one of these texts.
    Any(Vec<Box<str>>),
    /// The number, or the number that the text begins with, is at least this.
    AtLeast(f64),
    /// It is there.
    Exists,
}

impl FieldTest {
    /// The operators, as settings write them.
    pub const OPERATORS: [&str; 7] = ["true", "eq", "in", "has", "any", "gte", "exists"];

    /// The test that `op` and its `values` write: `true`, `eq`, `in`, `has`, `any`, `gte` or `exists`.
    ///
    /// # Errors
    ///
    /// An unknown operator, or values that it cannot take.
    pub fn parse(op: &str, values: &[&str]) -> Result<Self, MappingError> {
        let texts = || values.iter().map(|value| Box::from(*value)).collect::<Vec<Box<str>>>();
        let wrong = |wants| MappingError::Values { op: op.to_owned(), wants };
        match (op, values) {
            ("true", []) => Ok(FieldTest::True),
            ("exists", []) => Ok(FieldTest::Exists),
            ("true" | "exists", _) => Err(wrong("no value")),
            ("eq", [value]) => Ok(FieldTest::Equals(Box::from(*value))),
            ("eq", _) => Err(wrong("one value")),
            ("in" | "has" | "any", []) => Err(wrong("one value or more")),
            ("in", _) => Ok(FieldTest::In(texts())),
            ("has", _) => Ok(FieldTest::Has(texts())),
            ("any", _) => Ok(FieldTest::Any(texts())),
            ("gte", [value]) => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(FieldTest::AtLeast(number)),
                _ => Err(wrong("a number")),
            },
            ("gte", _) => Err(wrong("one number")),
            _ => Err(MappingError::Op { op: op.to_owned() }),
        }
    }

    fn holds(&self, value: Scalar<'_>) -> bool {
        match self {
            FieldTest::True => value.is_true(),
            FieldTest::Equals(text) => value.is(text),
            FieldTest::In(texts) | FieldTest::Any(texts) => texts.iter().any(|text| value.is(text)),
            FieldTest::Has(texts) => texts.iter().any(|text| value.has(text)),
            FieldTest::AtLeast(least) => value.number().is_some_and(|number| number >= *least),
            FieldTest::Exists => value.is_present(),
        }
    }
}

/// Where a field stands in a record: keys joined by dots, `[]` behind a list of which any element
/// may be meant: `traits.user_type`, `tunnels[].type`. A lone `.` is the record itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldPath {
    // INVARIANT: at most `MAX_STEPS`, and `Each` at most once.
    steps: Box<[Step]>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Key(Box<str>),
    Each,
}

impl FromStr for FieldPath {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let wrong = || MappingError::Path { text: text.to_owned() };
        let mut steps = Vec::new();
        if text != "." {
            for part in text.split('.') {
                let (key, each) = part.strip_suffix("[]").map_or((part, false), |key| (key, true));
                if key.is_empty() || key.contains(['[', ']']) {
                    return Err(wrong());
                }
                steps.push(Step::Key(Box::from(key)));
                if each {
                    steps.push(Step::Each);
                }
            }
        }
        let lists = steps.iter().filter(|step| **step == Step::Each).count();
        if lists > 1 || steps.len() > MAX_STEPS {
            return Err(wrong());
        }
        Ok(FieldPath { steps: steps.into() })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str(".");
        }
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Key(key) => write!(f, "{}{key}", if at == 0 { "" } else { "." })?,
                Step::Each => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

impl FieldPath {
    /// Whether `wanted` holds of the field, of any of its elements if it is a list.
    fn any(&self, record: &Record<'_>, wanted: impl Fn(Scalar<'_>) -> bool) -> Result<bool, MaxMindDbError> {
        let Some(list) = self.steps.iter().position(|step| *step == Step::Each) else {
            return Ok(self.one(record, 0)?.is_some_and(wanted));
        };
        for index in 0..MAX_ELEMENTS {
            let head = self.elements(index);
            match record.decode_path::<IgnoredAny>(head.get(..=list).unwrap_or_default()) {
                Ok(Some(_)) => {}
                // The list has ended, or is none.
                Ok(None) | Err(MaxMindDbError::Decoding { .. }) => break,
                Err(error) => return Err(error),
            }
            if self.one(record, index)?.is_some_and(&wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The field, `index` standing for the element of a list.
    fn one<'a>(&self, record: &Record<'a>, index: usize) -> Result<Option<Scalar<'a>>, MaxMindDbError> {
        let elements = self.elements(index);
        match record.decode_path::<Scalar<'a>>(elements.get(..self.steps.len()).unwrap_or_default()) {
            // Something else stands on the way, as a text where another maker has a map.
            Err(MaxMindDbError::Decoding { .. }) => Ok(None),
            value => value,
        }
    }

    fn elements(&self, index: usize) -> [PathElement<'_>; MAX_STEPS] {
        std::array::from_fn(|at| match self.steps.get(at) {
            Some(Step::Key(key)) => PathElement::Key(key),
            Some(Step::Each) | None => PathElement::Index(index),
        })
    }
}

/// What a mapping makes of one record.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mapped {
    pub(crate) asn: Option<Asn>,
    pub(crate) organisation: Option<Arc<str>>,
    pub(crate) country: Option<Country>,
    // INVARIANT: each class once.
    pub(crate) classes: Box<[(NetworkClass, Confidence)]>,
}

impl Mapped {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Mapped::default()
    }
}

impl Mapping {
    /// What the fields of `record` say.
    pub(crate) fn map(&self, record: &Record<'_>) -> Result<Mapped, MaxMindDbError> {
        let mut found = [None::<Confidence>; NetworkClass::ALL.len()];
        for rule in &self.rules {
            if !rule.path.any(record, |value| rule.test.holds(value))? {
                continue;
            }
            let measured = match &rule.measured {
                Some(measure) => measure.read(record)?,
                None => None,
            };
            if let Some(surest) = found.get_mut(rule.class as usize) {
                *surest = (*surest).max(Some(measured.unwrap_or(rule.confidence)));
            }
        }
        Ok(Mapped {
            asn: first(&self.asn, record, Scalar::asn)?,
            organisation: first(&self.organisation, record, |value| {
                value.text().map(|name| Arc::from(beginning(name, MAX_ORGANISATION_BYTES)))
            })?,
            country: first(&self.country, record, |value| value.text().and_then(Country::known))?,
            classes: NetworkClass::ALL
                .into_iter()
                .zip(found)
                .filter_map(|(class, held)| Some((class, held?)))
                .collect(),
        })
    }
}

impl Measure {
    fn read(&self, record: &Record<'_>) -> Result<Option<Confidence>, MaxMindDbError> {
        let value = self.path.one(record, 0)?.and_then(Scalar::number);
        Ok(value.and_then(|value| Confidence::from_share((value / self.full).clamp(0.0, 1.0))))
    }
}

fn first<'a, T>(
    paths: &[FieldPath],
    record: &Record<'a>,
    read: impl Fn(Scalar<'a>) -> Option<T>,
) -> Result<Option<T>, MaxMindDbError> {
    for path in paths {
        if let Some(value) = path.one(record, 0)?.and_then(&read) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The longest beginning of `text` that is no longer than `at_most` bytes.
fn beginning(text: &str, at_most: usize) -> &str {
    (0..=at_most.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// Why a part of a mapping means nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MappingError {
    /// There is no such operator.
    Op {
        /// What was written.
        op: String,
    },
    /// The operator cannot take these values.
    Values {
        /// The operator.
        op: String,
        /// What it takes.
        wants: &'static str,
    },
    /// The path is not one.
    Path {
        /// What was written.
        text: String,
    },
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MappingError::Op { op } => {
                write!(f, "no operator is called `{op}`; there are `true`, `eq`, `in`, `has`, `any`, `gte`, `exists`")
            }
            MappingError::Values { op, wants } => write!(f, "the operator `{op}` takes {wants}"),
            MappingError::Path { text } => write!(
                f,
                "expected a path of at most {MAX_STEPS} keys such as `traits.user_type` or \
                 `tunnels[].type`, with one list at most, but found `{text}`"
            ),
        }
    }
}

impl std::error::Error for MappingError {}

/// The deepest field that a known database has stands three keys deep.
const MAX_STEPS: usize = 8;

/// Lists of known databases have few elements; what stands further back is not looked at.
const MAX_ELEMENTS: usize = 32;

/// Names of public databases stay below 128 bytes. The name is kept per connection and written to
/// every audit record, so a longer one is cut.
const MAX_ORGANISATION_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_keys_and_at_most_one_list() {
        for (text, good) in [
            ("is_vpn", true),
            ("traits.user_type", true),
            ("tunnels[].type", true),
            ("risks[]", true),
            (".", true),
            ("a.b.c.d.e.f.g.h", true),
            ("a.b.c.d.e.f.g.h.i", false),
            ("", false),
            ("a..b", false),
            (".a", false),
            ("a[].b[]", false),
            ("a[0]", false),
            ("[]", false),
        ] {
            let path = text.parse::<FieldPath>();
            assert_eq!(path.is_ok(), good, "`{text}`");
            if let Ok(path) = path {
                assert_eq!(path.to_string(), text);
            }
        }
    }

    #[test]
    fn a_test_is_read_from_its_operator_and_values() {
        for (op, values, message) in [
            ("true", &[][..], None),
            ("exists", &[], None),
            ("eq", &["VPN"], None),
            ("has", &["DCH", "CDN"], None),
            ("gte", &["75"], None),
            ("gte", &["high"], Some("the operator `gte` takes a number")),
            ("gte", &["inf"], Some("the operator `gte` takes a number")),
            ("eq", &[], Some("the operator `eq` takes one value")),
            ("any", &[], Some("the operator `any` takes one value or more")),
            ("true", &["x"], Some("the operator `true` takes no value")),
            (
                "is",
                &["x"],
                Some("no operator is called `is`; there are `true`, `eq`, `in`, `has`, `any`, `gte`, `exists`"),
            ),
        ] {
            let error = FieldTest::parse(op, values).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), message, "{op} {values:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for (text, at_most, kept) in
            [("shop", 256, "shop"), ("shop", 4, "shop"), ("shop", 3, "sho"), ("aé", 2, "a"), ("é", 1, ""), ("", 0, "")]
        {
            assert_eq!(beginning(text, at_most), kept, "`{text}` to {at_most}");
        }
    }
}
