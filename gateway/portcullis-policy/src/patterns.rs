//! Text to the patterns of rules.

use std::fmt;

use crate::model::{Case, TextPattern};

/// The longest pattern, in bytes. What it is held against is not longer than a header field.
const MAX_PATTERN_BYTES: usize = 1024;

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PatternError {
    /// It is empty.
    Empty,
    /// It is longer than a pattern may be.
    TooLong,
    /// It holds a control character, which no header field and no canonical path does.
    Control,
}

/// Reads a pattern for a whole text: `*` stands for any run of characters.
pub(crate) fn pattern(text: &str, case: Case) -> Result<TextPattern, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(PatternError::Control);
    }
    let mut pieces: Vec<Box<str>> = Vec::new();
    let mut parts = text.split('*').peekable();
    while let Some(part) = parts.next() {
        // Stars that stand together are one star.
        let inner = !pieces.is_empty() && parts.peek().is_some();
        if !(inner && part.is_empty()) {
            pieces.push(part.into());
        }
    }
    Ok(TextPattern { pieces, case })
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty pattern matches nothing"),
            Self::TooLong => write!(f, "longer than {MAX_PATTERN_BYTES} bytes"),
            Self::Control => f.write_str("holds a control character"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_cut_at_its_stars() {
        for (text, pieces) in [
            ("curl/8.5.0", &["curl/8.5.0"][..]),
            ("curl/*", &["curl/", ""]),
            ("*bot*", &["", "bot", ""]),
            ("a*b*c", &["a", "b", "c"]),
            ("*", &["", ""]),
            ("**", &["", ""]),
            ("a***b", &["a", "b"]),
        ] {
            let pattern = pattern(text, Case::Sensitive).unwrap();
            assert_eq!(pattern.pieces.iter().map(|piece| &**piece).collect::<Vec<_>>(), pieces, "{text}");
        }
        assert_eq!(pattern("", Case::Sensitive), Err(PatternError::Empty));
        assert_eq!(pattern("a\nb", Case::Sensitive), Err(PatternError::Control));
        assert_eq!(pattern(&"x".repeat(1025), Case::Sensitive), Err(PatternError::TooLong));
    }
}
