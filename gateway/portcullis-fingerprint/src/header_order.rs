//! The order in which a client sends its header fields, for HTTP/1 and HTTP/2 alike.

use crate::digits::Text;
use crate::short_hash::ShortHash;

/// The header-order print of some field names: lowercase, in the order of the wire, joined by `,`.
///
/// Names that depend on what is asked for rather than on who asks are left out, so that one client has one print
/// for one kind of request; see [`varies_with_the_request`]. Repeated names stay repeated. A byte that cannot
/// stand in a name is written as `%` and two hex digits.
pub fn header_order<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> String {
    text(names).as_str().to_owned()
}

/// The hash of [`header_order`], without keeping its text.
pub fn header_order_hash<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> ShortHash {
    ShortHash::of(&text(names))
}

/// Whether a field comes and goes with what is asked for: it is left out of a header-order print.
///
/// What a session carries (`cookie`, `authorization`), where it came from (`referer`, `origin`), what a cache
/// holds or must not (`if-…`, `range`, `cache-control`, `pragma`), and what a body needs (`content-…`,
/// `transfer-encoding`, `expect`, `te`, `trailer`). In any case of letters.
pub fn varies_with_the_request(name: &[u8]) -> bool {
    // The first letter rules most names out without comparing them all.
    let candidates: &[&[u8]] = match name.first().map(u8::to_ascii_lowercase) {
        Some(b'a') => &[b"authorization"],
        Some(b'c') => &[b"cookie", b"cache-control", b"content-length", b"content-type", b"content-encoding"],
        Some(b'e') => &[b"expect"],
        Some(b'i') => &[b"if-modified-since", b"if-none-match", b"if-match", b"if-unmodified-since", b"if-range"],
        Some(b'o') => &[b"origin"],
        Some(b'p') => &[b"pragma"],
        Some(b'r') => &[b"referer", b"range"],
        Some(b't') => &[b"te", b"trailer", b"transfer-encoding"],
        _ => &[],
    };
    candidates.iter().any(|candidate| candidate.eq_ignore_ascii_case(name))
}

fn text<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Text {
    let mut text = Text::new();
    for name in names.into_iter().filter(|name| !varies_with_the_request(name)) {
        if text.len() > 0 {
            text.put_byte(b',');
        }
        if name.iter().any(u8::is_ascii_uppercase) {
            text.put_name(&name.to_ascii_lowercase());
        } else {
            text.put_name(name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_counts_and_case_and_request_do_not() {
        let check = |names: &[&str], text: &str| {
            let bytes = || names.iter().map(|name| name.as_bytes());
            assert_eq!(header_order(bytes()), text);
            let mut expected = Text::new();
            expected.put_bytes(text.as_bytes());
            assert_eq!(header_order_hash(bytes()), ShortHash::of(&expected), "{text}");
        };
        check(&[], "");
        check(&["Host", "User-Agent", "Accept"], "host,user-agent,accept");
        check(&["accept", "host", "user-agent"], "accept,host,user-agent");
        check(&["host", "Cookie", "Referer", "accept", "cookie", "If-None-Match", "Content-Type"], "host,accept");
        check(&["accept", "accept"], "accept,accept");
        check(&["a,b", "caf\u{e9}"], "a%2cb,caf%c3%a9");
    }
}
