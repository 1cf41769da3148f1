//! Fields of a request's body, for those routes that count by them.
//!
//! A client writes the body, and the origin reads it with a parser that is not ours. So a field has a value here only
//! where no parser in use would read another: who sends two, and hopes that the gateway counts the one and the origin
//! takes the other, has sent none. What counts by a field that has no value falls back to the client's prefix, so
//! there is nothing to gain by it.

mod form;
pub(crate) mod json;

use http::{HeaderMap, header};
use smallvec::SmallVec;

pub use json::{JsonPointer, JsonValue, NoPointer};

/// A field of a body that is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BodyField {
    /// A field of a form, `application/x-www-form-urlencoded` (URL Standard §5), by its name.
    Form(Box<str>),
    /// A member of a JSON text (RFC 8259), by its place.
    Json(JsonPointer),
}

/// How far a body was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyEnd {
    /// To its end, as its framing has it.
    Reached,
    /// Up to a bound, and there was more.
    Cut,
}

/// What was found of one wanted field.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Found {
    /// It is not there, or the body is of another type.
    #[default]
    Absent,
    /// It is there more than once, or in a form that parsers read differently.
    Ambiguous,
    /// It is there and no text or whole number: a list, a table, `null`, `true`, a fraction; or a text with a NUL.
    NoText,
    /// The body is longer than what was read, not of its type, or not UTF-8.
    Unreadable,
    /// Its value.
    Text(Box<str>),
}

impl Found {
    /// The value, where there is one that all read alike; an empty one is none.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

/// What was found of the wanted fields of one body, in the order wanted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BodyFields(SmallVec<[Found; 2]>);

impl BodyFields {
    /// Reads the first bytes of a body, which the header fields describe.
    ///
    /// A body that goes on behind those bytes has no field at all, since a second one may stand there; neither has one
    /// that is compressed, not in UTF-8, nested deeper than [`MAX_DEPTH`], or does not keep to its type's grammar.
    /// Time and memory grow with the bytes, not with the nesting. Fields past [`MAX_FIELDS`] are absent.
    pub fn read(headers: &HeaderMap, bytes: &[u8], end: BodyEnd, wanted: &[BodyField]) -> Self {
        let kind = if is_encoded(headers) { None } else { Kind::of(headers) };
        let wanted = wanted.get(..MAX_FIELDS).unwrap_or(wanted);
        let fits = |field: &BodyField| {
            matches!((field, kind), (BodyField::Form(_), Some(Kind::Form)) | (BodyField::Json(_), Some(Kind::Json)))
        };
        if !wanted.iter().any(fits) {
            return Self(wanted.iter().map(|_| Found::Absent).collect());
        }
        if end == BodyEnd::Cut {
            return Self(wanted.iter().map(|_| Found::Unreadable).collect());
        }
        match kind {
            Some(Kind::Form) => Self(form::read(bytes, wanted)),
            Some(Kind::Json) => Self(json_fields(bytes, wanted)),
            None => Self::default(),
        }
    }

    /// What was found of one wanted field.
    pub fn found(&self, at: usize) -> &Found {
        self.0.get(at).unwrap_or(&Found::Absent)
    }

    /// What was found, in the order wanted.
    pub fn iter(&self) -> impl Iterator<Item = &Found> {
        self.0.iter()
    }
}

/// Reads any bytes as a body of either type, as an answer of an origin, and as a token.
///
/// What a fuzzer calls.
pub fn read_any_body(bytes: &[u8]) {
    let Ok(pointer) = "/a/0/b".parse::<JsonPointer>() else { return };
    let wanted = [BodyField::Form("a".into()), BodyField::Json(pointer.clone())];
    for content_type in ["application/json", "application/x-www-form-urlencoded"] {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
        let fields = BodyFields::read(&headers, bytes, BodyEnd::Reached, &wanted);
        debug_assert_eq!(fields.iter().count(), wanted.len());
    }
    json_members(bytes, std::iter::once(&pointer));
    if let Ok(text) = std::str::from_utf8(bytes) {
        query_field(text, "a");
        crate::unverified_claim(text, &pointer);
    }
}

/// What was found of one parameter of a query, which is read as a form is.
pub fn query_field(query: &str, name: &str) -> Found {
    form::read(query.as_bytes(), &[BodyField::Form(name.into())]).into_iter().next().unwrap_or_default()
}

/// What was found of members of a JSON text that need not be whole, such as the beginning of an origin's answer, in the
/// order wanted: the last value of each, up to where the text ends or stops to be JSON. Past [`MAX_FIELDS`] nothing is
/// found.
///
/// Names that stand there twice are no fault here: the origin is trusted, and its last word counts.
pub fn json_members<'p>(
    bytes: &[u8],
    wanted: impl Iterator<Item = &'p JsonPointer>,
) -> SmallVec<[Option<JsonValue>; 2]> {
    let pointers: SmallVec<[Option<&JsonPointer>; MAX_FIELDS]> = wanted.map(Some).collect();
    json::scan(bytes, &pointers).values
}

/// The deepest nesting of a JSON text that is read. Parsers in use allow from 32 to 1000 and more; what a login or an
/// order holds is below ten.
pub const MAX_DEPTH: usize = 64;

/// The most fields that are read of one body.
pub const MAX_FIELDS: usize = 16;

/// What a body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Form,
    Json,
}

impl Kind {
    /// What the one `Content-Type` says; none of a type that is not read, or in another encoding than UTF-8.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::CONTENT_TYPE).iter();
        let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
        let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
        let charset =
            parameters.split(';').filter_map(|parameter| parameter.trim().split_once('=')).find_map(|(name, value)| {
                name.trim().eq_ignore_ascii_case("charset").then_some(value.trim().trim_matches('"'))
            });
        if charset.is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
            return None;
        }
        let essence = essence.trim();
        let is_json = essence.eq_ignore_ascii_case("application/json")
            || essence.eq_ignore_ascii_case("text/json")
            || essence.len().checked_sub(5).and_then(|at| essence.get(at..)).is_some_and(|end| {
                // The structured suffix of RFC 6839 §3.1.
                end.eq_ignore_ascii_case("+json")
            });
        if is_json {
            Some(Self::Json)
        } else {
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded").then_some(Self::Form)
        }
    }
}

/// Whether the body is compressed, or encoded otherwise.
fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    codings.iter().any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

fn json_fields(bytes: &[u8], wanted: &[BodyField]) -> SmallVec<[Found; 2]> {
    let pointers: SmallVec<[Option<&JsonPointer>; MAX_FIELDS]> = wanted
        .iter()
        .map(|field| match field {
            BodyField::Json(pointer) => Some(pointer),
            BodyField::Form(_) => None,
        })
        .collect();
    let scan = json::scan(bytes, &pointers);
    if scan.end != json::ScanEnd::Whole {
        return wanted.iter().map(|_| Found::Unreadable).collect();
    }
    scan.members().map(Found::from).collect()
}

impl From<json::Member> for Found {
    fn from(member: json::Member) -> Self {
        match member {
            json::Member::Absent => Self::Absent,
            json::Member::Ambiguous => Self::Ambiguous,
            json::Member::Value(JsonValue::Text(text)) => Self::Text(text),
            // Other spellings of a number are told apart by some parsers and not by others.
            json::Member::Value(JsonValue::Number(number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::Text(number)
            }
            json::Member::Value(_) => Self::NoText,
        }
    }
}

#[cfg(test)]
mod tests;
