//! Reading `application/x-www-form-urlencoded` (WHATWG URL §5.1), from strangers.

use std::borrow::Cow;

/// A form that cannot be read: a broken percent-encoding, text that is not UTF-8, too many fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unreadable;

/// The fields of a form, in order, as they stand there: names and values still encoded.
///
/// The standard decodes anything; what it would have to guess at is refused here instead.
pub(crate) fn fields(body: &str) -> impl Iterator<Item = (&str, &str)> {
    body.split('&').filter(|field| !field.is_empty()).map(|field| field.split_once('=').unwrap_or((field, "")))
}

/// A name or a value without its encoding.
pub(crate) fn decode(text: &str) -> Result<Cow<'_, str>, Unreadable> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next())? << 4 | hex(bytes.next())?,
            _ => byte,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Unreadable)
}

fn hex(digit: Option<u8>) -> Result<u8, Unreadable> {
    digit.and_then(|digit| char::from(digit).to_digit(16)).and_then(|value| u8::try_from(value).ok()).ok_or(Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_decoded_or_refused() {
        for (text, decoded) in [
            ("", Ok("")),
            ("abc-._~", Ok("abc-._~")),
            ("a+b%20c%2B", Ok("a b c+")),
            ("%C3%A9", Ok("é")),
            ("%", Err(Unreadable)),
            ("%2", Err(Unreadable)),
            ("%zz", Err(Unreadable)),
            ("%+1", Err(Unreadable)),
            ("%ff", Err(Unreadable)),
            ("%c0%af", Err(Unreadable)),
        ] {
            assert_eq!(decode(text).as_deref(), decoded.as_ref().map(|text| *text), "{text}");
        }
    }

    #[test]
    fn fields_come_in_order_and_empty_ones_not_at_all() {
        let all: Vec<_> = fields("a=1&&b&=c&d=e=f&").collect();
        assert_eq!(all, [("a", "1"), ("b", ""), ("", "c"), ("d", "e=f")]);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            for (name, value) in fields(&text) {
                _ = (decode(name), decode(value));
            }
        }
    }
}
