//! Where a client goes after a challenge: a path on the same origin, or the root.

use std::fmt;

/// A path, with or without a query, that a browser resolves to the origin it is on, whatever
/// normalises it on the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalPath<'a>(&'a str);

impl<'a> LocalPath<'a> {
    /// The root, `/`.
    pub const ROOT: LocalPath<'static> = LocalPath("/");

    /// Takes `text` when it is a path on the same origin in every reading, else `None`.
    ///
    /// The path must begin with one slash and hold, raw and also once decoded, no second slash
    /// beside another, no backslash, no dot segment and no control character. What a browser and a
    /// server could read in two ways is refused, not repaired: repairs are how `/..//host` became
    /// a foreign host elsewhere. At most [`MAX_RETURN_BYTES`].
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_RETURN_BYTES || !text.bytes().all(is_plain) {
            return None;
        }
        let (path, _) = text.split_once('?').unwrap_or((text, ""));
        let decoded = decode_once(path)?;
        (is_local(path) && is_local(&decoded) && !holds_encoded_separator(&decoded)).then_some(Self(text))
    }

    /// The path as text, ASCII only.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for LocalPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The path to return to after a challenge: `text` when it is one, else the root.
#[must_use]
pub fn return_target(text: &str) -> LocalPath<'_> {
    LocalPath::parse(text).unwrap_or(LocalPath::ROOT)
}

/// Visible ASCII, without what no URL holds raw (RFC 3986 §2) and without a fragment.
///
/// `|`, `^`, `{`, `}` and `` ` `` are not of RFC 3986 either, but browsers send them as they are.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>')
}

/// Whether a path stays on its origin in this very form.
fn is_local(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    !path.contains("//")
        && !path.contains('\\')
        && !path.chars().any(char::is_control)
        && rest.split('/').all(|segment| segment != "." && segment != "..")
}

/// Whether one more decoding would bring a separator or a dot to light.
fn holds_encoded_separator(decoded: &str) -> bool {
    decoded.as_bytes().windows(3).any(|triple| {
        matches!(triple, [b'%', b'2', b'f' | b'F' | b'e' | b'E'] | [b'%', b'5', b'c' | b'C'] | [b'%', b'0', _])
    })
}

/// Decodes percent-encodings once. `None` when one is broken or the result is not UTF-8.
fn decode_once(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The longest path to return to. Past it the client goes to the root: a longer one would make up
/// most of the page.
pub const MAX_RETURN_BYTES: usize = 2048;

#[cfg(test)]
#[expect(clippy::string_slice, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_on_the_same_origin_is_kept() {
        for path in [
            "/",
            "/v1/login",
            "/v1/login/",
            "/a.b/..c/.d/e..",
            "/search?q=a%20b&next=//other.example/&u=https://other.example/",
            "/search?text=line%0D%0Aline&discount=50%",
            "/caf%C3%A9",
            "/a%2Fb",
            "/javascript:alert(1)",
            "/@other.example",
            "/:80",
            "/x?",
            "/it's",
        ] {
            assert_eq!(return_target(path).as_str(), path);
        }
    }

    #[test]
    fn whatever_could_lead_elsewhere_goes_to_the_root() {
        for text in HOSTILE {
            assert_eq!(return_target(text), LocalPath::ROOT, "{text:?}");
        }
        let long = format!("/{}", "a".repeat(MAX_RETURN_BYTES));
        assert_eq!(return_target(&long), LocalPath::ROOT, "one byte too long");
        assert_eq!(return_target(&long[..MAX_RETURN_BYTES]).as_str().len(), MAX_RETURN_BYTES, "just short enough");
    }

    /// Open redirects and injections that have worked somewhere: schemes, authorities, dot
    /// segments that normalise to an authority, encodings, controls, names in other scripts.
    const HOSTILE: &[&str] = &[
        "",
        " ",
        "v1/login",
        "?next",
        "#top",
        // Schemes.
        "https://other.example/",
        "http:other.example",
        "HTTPS:/other.example",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "\u{1}javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox(1)",
        "blob:https://other.example/1",
        "file:///etc/passwd",
        // Authorities.
        "//other.example",
        "///other.example",
        "////other.example",
        "/\\other.example",
        "\\\\other.example",
        "\\/other.example",
        "/\\/other.example",
        "/\t/other.example",
        "/\n/other.example",
        "/\r\n/other.example",
        "/ /other.example",
        "//other.example%2f..",
        "//user@other.example/",
        "//[2001:db8::1]/",
        "//3221225985/",
        // What becomes an authority by normalising.
        "/..//other.example",
        "/.//other.example",
        "/././/other.example",
        "/a/..//other.example",
        "/a/../../other.example",
        "/../other.example",
        "/..",
        "/.",
        "/a/..",
        "/..\\other.example",
        "/a//other.example",
        "/a\\..\\other.example",
        // Encodings.
        "/%2f/other.example",
        "/%2F%2Fother.example",
        "/%2fother.example",
        "/%5cother.example",
        "/%5C/other.example",
        "/a%5c..",
        "/%2e%2e//other.example",
        "/%2e%2e/%2fother.example",
        "/%2E%2e/other.example",
        "/.%2e/other.example",
        "/%2e",
        "/%09/other.example",
        "/%0d%0aSet-Cookie:%20a=b",
        "/%0aLocation:%20//other.example",
        "/%00/other.example",
        "/a%00",
        "/%252f%252fother.example",
        "/%252e%252e/other.example",
        "/%255cother.example",
        "/%250d%250aSet-Cookie:a=b",
        "/%c0%af%c0%afother.example",
        "/%c0%ae%c0%ae/other.example",
        "/%ff",
        "/%C2%85other.example",
        "/%zz",
        "/%2",
        "/%",
        // Controls, raw.
        "/a\r\nSet-Cookie: a=b",
        "/a\0",
        "/a\u{7f}",
        "/a\u{85}",
        "/a?b\r\nLocation: //other.example",
        "/a?b\tc",
        // Other scripts: full-width slash and dots, and a name that maps to ASCII.
        "/\u{ff0f}other.example",
        "\u{ff0f}\u{ff0f}other.example",
        "/\u{3002}\u{3002}/other.example",
        "//\u{24de}ther.example",
        "/caf\u{e9}",
        "/\u{202e}moc",
        // Markup.
        "/\"><script>alert(1)</script>",
        "/<img src=x>",
        "/a b",
        "/a#b",
    ];

    proptest! {
        #[test]
        fn what_is_kept_is_local_raw_and_decoded(text in "[/\\\\.%25fFeEcC0dDaA?a:@ \t]{0,24}") {
            let kept = return_target(&text).as_str();
            prop_assert!(kept == "/" || kept == text);
            let path = kept.split('?').next().unwrap();
            for form in [path.to_owned(), decode_once(path).unwrap()] {
                prop_assert!(form.starts_with('/') && !form.starts_with("//") && !form.contains('\\'), "{}", form);
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            _ = return_target(&text);
        }
    }
}
