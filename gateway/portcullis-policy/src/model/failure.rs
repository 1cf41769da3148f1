//! What counts as a failed attempt.

use http::{HeaderMap, HeaderName};
use portcullis_signals::{JsonPointer, JsonValue, json_members};

use super::TextPattern;

/// Which answers of the origin count as failed: those of which any of these holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Failure {
    /// Status codes, in rising order.
    pub status: Vec<u16>,
    /// Header fields, any value of which matches.
    pub header: Vec<(HeaderName, TextPattern)>,
    /// Members of a JSON body.
    pub json: Vec<(JsonPointer, JsonTest)>,
}

/// What a member of a JSON body is compared with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JsonTest {
    /// Is this.
    Bool(bool),
    /// Is this number, as it is written.
    Number(i64),
    /// Is a text of this pattern.
    Text(TextPattern),
    /// Is there, and not `null`.
    Present,
}

impl Failure {
    /// Whether the beginning of the answer's body must be at hand.
    pub fn needs_body(&self) -> bool {
        !self.json.is_empty()
    }

    /// Whether an answer counts as failed. A JSON member counts where it stands within `body`, the beginning of the
    /// body; of a body that is compressed, or no JSON, none does.
    pub fn failed(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> bool {
        self.status.contains(&status)
            || self
                .header
                .iter()
                .any(|(name, pattern)| headers.get_all(name).iter().any(|value| pattern.matches(value.as_bytes())))
            || (self.needs_body() && self.failed_by_body(body))
    }

    fn failed_by_body(&self, body: &[u8]) -> bool {
        let found = json_members(body, self.json.iter().map(|(pointer, _)| pointer));
        self.json.iter().zip(found).any(|((_, test), value)| value.is_some_and(|value| test.holds(&value)))
    }
}

impl JsonTest {
    fn holds(&self, value: &JsonValue) -> bool {
        match (self, value) {
            (Self::Present, value) => *value != JsonValue::Null,
            (Self::Bool(wanted), JsonValue::Bool(found)) => wanted == found,
            (Self::Number(wanted), JsonValue::Number(found)) => found.parse() == Ok(*wanted),
            (Self::Text(pattern), JsonValue::Text(text)) => pattern.matches(text.as_bytes()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Case;
    use http::HeaderValue;

    fn text(text: &str) -> TextPattern {
        crate::patterns::pattern(text, Case::Sensitive).unwrap()
    }

    #[test]
    fn an_answer_fails_by_status_header_or_body() {
        let pointer = |text: &str| text.parse::<JsonPointer>().unwrap();
        let failure = Failure {
            status: vec![401],
            header: vec![(HeaderName::from_static("x-login"), text("fail*"))],
            json: vec![
                (pointer("/ok"), JsonTest::Bool(false)),
                (pointer("/code"), JsonTest::Number(7)),
                (pointer("/state"), JsonTest::Text(text("denied*"))),
                (pointer("/error"), JsonTest::Present),
            ],
        };
        for (status, header, body, failed) in [
            (401, "", "", true),
            (403, "", "", false),
            (200, "failed", "", true),
            (200, "did fail", "", false),
            (200, "", r#"{"ok":false}"#, true),
            (200, "", r#"{"ok":"false"}"#, false),
            (200, "", r#"{"ok":true,"error":null}"#, false),
            (200, "", r#"{"code":7}"#, true),
            (200, "", r#"{"code":7.5}"#, false),
            (200, "", r#"{"code":"7"}"#, false),
            (200, "", r#"{"state":"denied: password"}"#, true),
            (200, "", r#"{"error":{"id":1}}"#, true),
            (200, "", r#"{"ok":false,"rest":"is cut o"#, true),
            (200, "", r#"{"rest":"is cut o"#, false),
            (200, "", "\u{1f}\u{8b}", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-login", HeaderValue::from_static(header));
            assert_eq!(failure.failed(status, &headers, body.as_bytes()), failed, "{status} {header} {body}");
        }
        assert!(!Failure::default().failed(500, &HeaderMap::new(), b"{}"));
    }
}
