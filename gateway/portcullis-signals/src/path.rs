//! The one canonical form of a path, used for matching and for forwarding.

use std::borrow::Cow;

/// A path in the normal form of RFC 3986 §6.2.2, with duplicate slashes merged.
///
/// Percent-encoded unreserved characters are decoded, the hex digits of what stays encoded are upper
/// case, dot segments are removed, and every run of slashes is one. The form is idempotent: the
/// canonical form of a canonical path is itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CanonicalPath<'a> {
    text: Cow<'a, str>,
    ambiguity: Option<Ambiguity>,
}

/// What makes a path mean different things to different readers.
///
/// Servers disagree on each of these, so a rule that matched one reading could be passed by another
/// (CVE-2019-9901, CVE-2021-29492). Routes refuse such paths unless they say otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ambiguity {
    /// `%2f`: a slash for some readers, a letter of a segment for others.
    EncodedSlash,
    /// `\` or `%5c`: a slash for some readers.
    Backslash,
    /// `%00`: the end of the path for some readers.
    EncodedNul,
    /// `;`: the start of a parameter that some readers cut off (RFC 3986 §3.3).
    Parameter,
    /// `#` in a request target, where it has no meaning (RFC 9112 §3.2).
    Fragment,
    /// A percent sign without two hex digits behind it.
    BrokenEncoding,
    /// Encoded bytes that are not UTF-8, such as the overlong `%c0%af`.
    NotUtf8,
    /// An encoded or bare control character.
    Control,
    /// An encoded percent sign before two hex digits: decoded twice by some readers.
    DoubleEncoding,
}

impl Ambiguity {
    /// The stable name that reasons and audit records use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EncodedSlash => "encoded-slash",
            Self::Backslash => "backslash",
            Self::EncodedNul => "encoded-nul",
            Self::Parameter => "path-parameter",
            Self::Fragment => "fragment",
            Self::BrokenEncoding => "broken-percent-encoding",
            Self::NotUtf8 => "not-utf8",
            Self::Control => "control-character",
            Self::DoubleEncoding => "double-encoding",
        }
    }
}

impl<'a> CanonicalPath<'a> {
    /// Brings a path, as it stood in the request target, into its canonical form.
    ///
    /// A path that is canonical already is borrowed, without a copy.
    pub fn of(raw: &'a str) -> Self {
        if is_canonical(raw.as_bytes()) {
            return Self { text: Cow::Borrowed(raw), ambiguity: None };
        }
        let (decoded, ambiguity) = decode_unreserved(raw.as_bytes());
        Self { text: Cow::Owned(remove_dot_segments(&decoded)), ambiguity }
    }

    /// The canonical text; it begins with a slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first thing found that readers disagree on, if any.
    pub const fn ambiguity(&self) -> Option<Ambiguity> {
        self.ambiguity
    }

    /// Whether the canonical form differs from what was sent.
    pub fn is_rewritten(&self) -> bool {
        matches!(self.text, Cow::Owned(_))
    }
}

/// Whether nothing of `path` would be changed, decided in one pass.
fn is_canonical(path: &[u8]) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut previous = 0_u8;
    for &byte in path {
        let plain = matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'~'
            | b'.' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@');
        if !plain || (previous == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        previous = byte;
    }
    true
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Decodes unreserved characters, puts hex digits in upper case, and notes what is ambiguous.
fn decode_unreserved(path: &[u8]) -> (String, Option<Ambiguity>) {
    let mut text = String::with_capacity(path.len());
    let mut encoded = Vec::new();
    let mut ambiguity = None;
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let value = match *tail {
                [high, low, ..] => hex_value(high).zip(hex_value(low)).map(|(high, low)| high << 4 | low),
                _ => None,
            };
            let Some(value) = value else {
                ambiguity = ambiguity.or(Some(Ambiguity::BrokenEncoding));
                text.push_str("%25");
                continue;
            };
            rest = tail.get(2..).unwrap_or_default();
            if value >= 0x80 {
                encoded.push(value);
            }
            ambiguity = ambiguity.or(encoded_ambiguity(value, rest));
            if is_unreserved(value) {
                text.push(char::from(value));
            } else {
                push_encoded(&mut text, value);
            }
        } else {
            ambiguity = ambiguity.or(bare_ambiguity(byte));
            if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>') {
                text.push(char::from(byte));
            } else {
                if byte >= 0x80 {
                    encoded.push(byte);
                }
                push_encoded(&mut text, byte);
            }
        }
    }
    if std::str::from_utf8(&encoded).is_err() {
        ambiguity = ambiguity.or(Some(Ambiguity::NotUtf8));
    }
    (text, ambiguity)
}

fn encoded_ambiguity(value: u8, rest: &[u8]) -> Option<Ambiguity> {
    match value {
        b'/' => Some(Ambiguity::EncodedSlash),
        b'\\' => Some(Ambiguity::Backslash),
        0 => Some(Ambiguity::EncodedNul),
        b';' => Some(Ambiguity::Parameter),
        b'%' if matches!(*rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()) => {
            Some(Ambiguity::DoubleEncoding)
        }
        1..=0x1f | 0x7f => Some(Ambiguity::Control),
        _ => None,
    }
}

const fn bare_ambiguity(byte: u8) -> Option<Ambiguity> {
    match byte {
        b'\\' => Some(Ambiguity::Backslash),
        b';' => Some(Ambiguity::Parameter),
        b'#' => Some(Ambiguity::Fragment),
        0..=0x20 | 0x7f => Some(Ambiguity::Control),
        _ => None,
    }
}

fn push_encoded(text: &mut String, value: u8) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    text.push('%');
    for nibble in [value >> 4, value & 0x0f] {
        text.push(HEX.get(usize::from(nibble)).copied().unwrap_or('0'));
    }
}

/// Removes dot segments and empty segments (RFC 3986 §5.2.4); a last empty segment keeps its slash.
///
/// The characters of a segment are looked at, never those of its encoded form: `%2e` was decoded before.
fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_slash = true;
    for segment in path.split('/') {
        ends_in_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut text = String::with_capacity(path.len() + 1);
    for segment in &kept {
        text.push('/');
        text.push_str(segment);
    }
    if ends_in_slash || text.is_empty() {
        text.push('/');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_has_one_canonical_form() {
        for (raw, canonical) in [
            ("/", "/"),
            ("", "/"),
            ("/v1/login", "/v1/login"),
            ("/v1//login", "/v1/login"),
            ("//v1/login", "/v1/login"),
            ("/v1/./login", "/v1/login"),
            ("/v1/x/../login", "/v1/login"),
            ("/../../v1/login", "/v1/login"),
            ("/v1/%2e%2E/v2", "/v2"),
            ("/%76%31/login", "/v1/login"),
            ("/v1/login/", "/v1/login/"),
            ("/v1/login/.", "/v1/login/"),
            ("/v1/login/..", "/v1/"),
            ("/.hidden", "/.hidden"),
            ("/a%20b", "/a%20b"),
            ("/%c3%a9", "/%C3%A9"),
            ("/~user", "/~user"),
            ("/%7euser", "/~user"),
            ("/a:b@c", "/a:b@c"),
            ("/V1/Login", "/V1/Login"),
        ] {
            let path = CanonicalPath::of(raw);
            assert_eq!(path.as_str(), canonical, "of {raw}");
            assert_eq!(path.ambiguity(), None, "of {raw}");
        }
    }

    #[test]
    fn what_readers_disagree_on_is_named() {
        for (raw, ambiguity) in [
            ("/a%2fb", Ambiguity::EncodedSlash),
            ("/a%2Fb", Ambiguity::EncodedSlash),
            ("/a%5cb", Ambiguity::Backslash),
            ("/a\\b", Ambiguity::Backslash),
            ("/admin%00.png", Ambiguity::EncodedNul),
            ("/admin;x=1/users", Ambiguity::Parameter),
            ("/admin%3bx", Ambiguity::Parameter),
            ("/a#b", Ambiguity::Fragment),
            ("/a%zz", Ambiguity::BrokenEncoding),
            ("/a%2", Ambiguity::BrokenEncoding),
            ("/%c0%af", Ambiguity::NotUtf8),
            ("/%e0%80%af", Ambiguity::NotUtf8),
            ("/a%0d%0ab", Ambiguity::Control),
            ("/a%252fb", Ambiguity::DoubleEncoding),
            ("/%252e%252e/", Ambiguity::DoubleEncoding),
        ] {
            assert_eq!(CanonicalPath::of(raw).ambiguity(), Some(ambiguity), "of {raw}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own_canonical_form(raw in "/[ -~]{0,60}") {
            let once = CanonicalPath::of(&raw);
            let twice = CanonicalPath::of(once.as_str());
            prop_assert_eq!(once.as_str(), twice.as_str());
        }

        #[test]
        fn no_canonical_path_holds_a_dot_segment_or_an_empty_one(raw in "(/|\\.|%2e|%2f|a|//|%2E%2E|;|\\\\){0,24}") {
            let path = CanonicalPath::of(&raw);
            let text = path.as_str();
            prop_assert!(text.starts_with('/'));
            let inner = text.strip_prefix('/').unwrap();
            let inner = inner.strip_suffix('/').unwrap_or(inner);
            if !inner.is_empty() {
                prop_assert!(inner.split('/').all(|segment| !matches!(segment, "" | "." | "..")), "{}", text);
            }
        }
    }
}
