//! Writing JSON strings by hand (RFC 8259 §7).

/// Appends `text` as a JSON string with its quotes.
///
/// Escaped beyond what RFC 8259 asks for: DEL and the C1 controls, the line separators U+2028 and
/// U+2029, and `<`, `>`, `&`, so that the text is harmless to a terminal or inside HTML as well.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    // Nearly every text is plain; then it is copied as a whole.
    if text.bytes().all(is_plain) {
        out.push_str(text);
    } else {
        for c in text.chars() {
            push_char(out, c);
        }
    }
    out.push('"');
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

fn push_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
            out.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                out.push(char::from_digit(u32::from(c) >> shift & 0xf, 16).unwrap_or('0'));
            }
        }
        _ => out.push(c),
    }
}

/// Appends a whole number.
pub(crate) fn push_number(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// Appends thousandths as a decimal from 0 to 1, always with three places: one length, no rounding.
pub(crate) fn push_thousandths(out: &mut String, thousandths: u16) {
    let thousandths = thousandths.min(1000);
    out.push(if thousandths == 1000 { '1' } else { '0' });
    out.push('.');
    for unit in [100, 10, 1] {
        out.push(char::from_digit(u32::from(thousandths / unit % 10), 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_break_out_of_a_string_is_escaped() {
        for (text, json) in [
            ("login", r#""login""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("line\r\n\ttab\0", r#""line\r\n\ttab\u0000""#),
            ("</script>&", r#""\u003c/script\u003e\u0026""#),
            ("\u{7f}\u{9b}\u{2028}é", r#""\u007f\u009b\u2028é""#),
        ] {
            let mut out = String::new();
            push_string(&mut out, text);
            assert_eq!(out, json);
        }
    }

    proptest! {
        #[test]
        fn every_text_reads_back(text in ".*") {
            let mut out = String::new();
            push_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
