//! Numbers to the digits that prints are made of.

use sha2::{Digest, Sha256};

use crate::codes::is_grease;

/// The text of a print while it is made: on the stack unless it is longer than real clients' are.
pub(crate) struct Text {
    stack: [u8; STACK_BYTES],
    /// All of the text, once it is too long for the stack.
    heap: Vec<u8>,
    len: usize,
}

impl Text {
    pub(crate) const fn new() -> Self {
        Self { stack: [0; STACK_BYTES], heap: Vec::new(), len: 0 }
    }

    /// Makes the text empty, to be used for another print: making one anew means filling the stack with zeros.
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
        self.len = 0;
    }

    /// What was put so far.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        let all = if self.heap.is_empty() { &self.stack[..] } else { &self.heap };
        all.get(..self.len).unwrap_or_default()
    }

    /// What was put from the offset `start` on.
    pub(crate) fn since(&self, start: usize) -> &[u8] {
        self.as_bytes().get(start..).unwrap_or_default()
    }

    /// How many bytes were put so far.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The text. All that is put is ASCII, so nothing is ever lost.
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The text from the offset `start` on.
    pub(crate) fn str_since(&self, start: usize) -> &str {
        str::from_utf8(self.since(start)).unwrap_or_default()
    }

    /// Takes back what was put from the offset `end` on.
    pub(crate) fn cut(&mut self, end: usize) {
        self.len = self.len.min(end);
    }

    /// Puts again what stands between two offsets.
    pub(crate) fn put_again(&mut self, start: usize, end: usize) {
        let to = self.len;
        self.space(end.saturating_sub(start));
        let all = if self.heap.is_empty() { &mut self.stack[..] } else { &mut self.heap };
        // Both ends were put before.
        if end <= to {
            all.copy_within(start..end, to);
        }
    }

    /// Puts one byte.
    #[inline]
    pub(crate) fn put_byte(&mut self, byte: u8) {
        self.space(1).fill(byte);
    }

    /// Puts bytes as they are.
    #[inline]
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
    }

    /// Puts those of `values` that are not GREASE in decimal, with `-` between them.
    #[inline]
    pub(crate) fn put_decimals(&mut self, values: impl ExactSizeIterator<Item = u16>) {
        // Five digits and `-` each, and the last word goes on for two bytes more.
        self.put_words(6 * values.len() + 2, values, |value| {
            let (digits, len) = decimal(value);
            (digits, if is_grease(value) { 0 } else { len + 1 })
        });
    }

    /// Puts `value` in decimal.
    #[inline]
    pub(crate) fn put_decimal(&mut self, value: u16) {
        let (digits, len) = decimal(value);
        let start = self.len;
        self.space(8).copy_from_slice(&digits.to_le_bytes());
        self.len = start + len;
    }

    /// Puts `value` in decimal.
    pub(crate) fn put_long_decimal(&mut self, value: u32) {
        if let Ok(short) = u16::try_from(value) {
            return self.put_decimal(short);
        }
        let mut digits = [0; 10];
        let mut len = 0;
        let mut rest = value;
        for place in digits.iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            len += 1;
            if rest == 0 {
                break;
            }
        }
        self.put_bytes(digits.get(digits.len() - len..).unwrap_or_default());
    }

    /// Puts those of `values` that are `kept`, each as four lowercase hex digits, with `,` between them.
    #[inline]
    pub(crate) fn put_hexes(&mut self, values: impl ExactSizeIterator<Item = u16>, kept: impl Fn(u16) -> bool) {
        // Four digits and `,` each, and the last word goes on for three bytes more.
        self.put_words(5 * values.len() + 3, values, |value| {
            (u64::from(hex_quad(value)) | u64::from(b',') << 32, if kept(value) { 5 } else { 0 })
        });
    }

    /// Puts the first bytes of a word for each of `values`, as many as `word` says, in at most `most` bytes; then
    /// takes the last byte back, which is a separator.
    ///
    /// Each word is written whole and the next one over what is too much of it: writing eight bytes and counting
    /// fewer is several times faster than writing five, and what is left out costs no branch.
    #[inline]
    fn put_words(&mut self, most: usize, values: impl Iterator<Item = u16>, word: impl Fn(u16) -> (u64, usize)) {
        let start = self.len;
        let places = self.space(most);
        let mut end = 0;
        for value in values {
            let (word, put) = word(value);
            if let Some(place) = places.get_mut(end..).and_then(<[u8]>::first_chunk_mut) {
                *place = word.to_le_bytes();
            }
            end += put;
        }
        self.len = start + end.saturating_sub(1);
    }

    /// Puts a name that a stranger chose: visible ASCII as it is save for `,` and `%`, the rest as `%` and hex.
    pub(crate) fn put_name(&mut self, name: &[u8]) {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'%');
        if name.iter().all(plain) {
            return self.put_bytes(name);
        }
        for byte in name {
            if plain(byte) {
                self.put_byte(*byte);
            } else {
                let [high, low] = hex_pair(*byte);
                self.put_bytes(&[b'%', high, low]);
            }
        }
    }

    /// Makes the text `len` bytes longer, and gives their place.
    #[inline]
    fn space(&mut self, len: usize) -> &mut [u8] {
        let start = self.len;
        self.len += len;
        if self.len <= STACK_BYTES && self.heap.is_empty() {
            return self.stack.get_mut(start..self.len).unwrap_or_default();
        }
        self.heap_space(start)
    }

    #[cold]
    fn heap_space(&mut self, start: usize) -> &mut [u8] {
        if self.heap.is_empty() {
            self.heap.extend_from_slice(self.stack.get(..start).unwrap_or_default());
        }
        self.heap.resize(self.len, 0);
        self.heap.get_mut(start..).unwrap_or_default()
    }
}

/// The first 12 hex digits of the SHA-256 of `text`.
pub(crate) fn hash12(text: &[u8]) -> [u8; 12] {
    let mut digits = [0; 12];
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(Sha256::digest(text)) {
        *pair = hex_pair(byte);
    }
    digits
}

/// The decimal digits of `value` and a `-` at the front of a little-endian word, and how many the digits are.
#[inline]
fn decimal(value: u16) -> (u64, usize) {
    let value = u32::from(value);
    let four = value % 10_000;
    let pairs = (four / 100) | ((four % 100) << 16);
    // Both pairs at once: for what is below 100, times 103 over 1024 is a tenth.
    let tens = (pairs.wrapping_mul(103) >> 10) & 0x000f_000f;
    let four = tens | (pairs.wrapping_sub(tens.wrapping_mul(10)) << 8);
    let five = u64::from(value / 10_000) | (u64::from(four) << 8);
    // The last digit stays where it is zero, too.
    let zeros = (five | 1 << 32).trailing_zeros() / 8;
    ((five | u64::from_le_bytes(*b"00000-\0\0")) >> (8 * zeros), 5 - zeros as usize)
}

/// The four lowercase hex digits of `value` as a little-endian word.
#[inline]
fn hex_quad(value: u16) -> u32 {
    let [high, low] = value.to_be_bytes();
    let pair = |byte: u8| u32::from(HEX_PAIRS.get(usize::from(byte)).copied().unwrap_or_default());
    pair(high) | pair(low) << 16
}

/// The two lowercase hex digits of `byte`.
#[inline]
pub(crate) const fn hex_pair(byte: u8) -> [u8; 2] {
    [hex_digit(byte >> 4), hex_digit(byte & 0x0f)]
}

/// The value of a hex digit of either case.
pub(crate) const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The lowercase hex digit of a value below 16, without a branch: nibbles of ciphers are not predictable.
#[inline]
const fn hex_digit(nibble: u8) -> u8 {
    b'0' + nibble + (nibble > 9) as u8 * (b'a' - b'0' - 10)
}

/// The two lowercase hex digits of each byte as a little-endian word: half the work of making them from nibbles.
const HEX_PAIRS: [u16; 256] = {
    let mut pairs = [0; 256];
    let mut rest: &mut [u16] = &mut pairs;
    let mut byte = 0;
    while let Some((pair, after)) = rest.split_first_mut() {
        *pair = u16::from_le_bytes(hex_pair(byte));
        byte = byte.wrapping_add(1);
        rest = after;
    }
    pairs
};

/// Longer than the texts of real clients: OpenSSL's raw forms have 600 bytes.
const STACK_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_the_digits_that_the_standard_library_gives() {
        for value in 0..=u16::MAX {
            let mut decimal = Text::new();
            decimal.put_decimal(value);
            assert_eq!(decimal.as_str(), value.to_string());
            let mut hex = Text::new();
            hex.put_hexes([value].into_iter(), |_| true);
            assert_eq!(hex.as_str(), format!("{value:04x}"));
        }
    }

    #[test]
    fn a_long_value_has_the_digits_that_the_standard_library_gives() {
        for value in [0, 7, 10, 65_535, 65_536, 15_663_105, u32::MAX] {
            let mut decimal = Text::new();
            decimal.put_long_decimal(value);
            assert_eq!(decimal.as_str(), value.to_string());
        }
    }

    #[test]
    fn a_name_is_put_so_that_it_cannot_pass_for_two() {
        for (name, expected) in [
            (&b""[..], &b""[..]),
            (b"sec-ch-ua-platform", b"sec-ch-ua-platform"),
            (b"a,b", b"a%2cb"),
            (b"a%2cb", b"a%252cb"),
            (b"\xff \0", b"%ff%20%00"),
        ] {
            let mut text = Text::new();
            text.put_name(name);
            assert_eq!(text.as_bytes(), expected, "{name:02x?}");
        }
    }

    #[test]
    fn a_list_has_separators_only_between() {
        let check = |values: &[u16], decimals: &[u8], hexes: &[u8]| {
            let (mut decimal, mut hex) = (Text::new(), Text::new());
            decimal.put_decimals(values.iter().copied());
            hex.put_hexes(values.iter().copied(), |_| true);
            assert_eq!((decimal.as_bytes(), hex.as_bytes()), (decimals, hexes));
        };
        check(&[], b"", b"");
        check(&[10], b"10", b"000a");
        check(&[0, 65535, 47], b"0-65535-47", b"0000,ffff,002f");
        check(&[65535; 3], b"65535-65535-65535", b"ffff,ffff,ffff");
        let (mut decimal, mut hex) = (Text::new(), Text::new());
        decimal.put_decimals([0x1a1a, 7, 0xfafa].into_iter());
        assert_eq!(decimal.as_str(), "7", "without GREASE");
        hex.put_hexes([0x1a1a, 7, 0xfafa].into_iter(), |value| value == 0xfafa);
        assert_eq!(hex.as_str(), "fafa");
        hex.put_hexes([7].into_iter(), |_| false);
        assert_eq!(hex.as_str(), "fafa");
    }

    #[test]
    fn a_text_goes_on_when_it_is_too_long_for_the_stack() {
        for first in [0, 1, STACK_BYTES - 8, STACK_BYTES - 1, STACK_BYTES, STACK_BYTES + 1, 5000] {
            let mut text = Text::new();
            text.put_bytes(&vec![b'x'; first]);
            text.put_decimal(47);
            text.put_byte(b',');
            text.put_hexes([0x1301; 300].into_iter(), |_| true);
            let expected = format!("{}47,{}", "x".repeat(first), vec!["1301"; 300].join(","));
            assert_eq!(text.as_str(), expected, "{first}");
            assert_eq!((text.len(), text.since(first)), (expected.len(), &expected.as_bytes()[first..]));
        }
    }
}
