//! Numbers to the digits that prints are made of, and a hash that takes them as they come.

/// Where the text of a print goes: into memory, or straight into a hash.
pub(crate) trait Sink {
    /// Takes the first `len` bytes of `word`.
    ///
    /// All the text comes in such words: copying eight bytes and counting fewer is several times faster than
    /// copying two or five.
    fn put_word(&mut self, word: [u8; 8], len: usize);

    /// Puts one byte.
    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.put_word([byte, 0, 0, 0, 0, 0, 0, 0], 1);
    }

    /// Puts `values` in decimal, with `-` between them.
    #[inline]
    fn put_decimals(&mut self, mut values: impl Iterator<Item = u16>) {
        if let Some(first) = values.next() {
            self.put_decimal(first);
        }
        for value in values {
            self.put_byte(b'-');
            self.put_decimal(value);
        }
    }

    /// Puts `value` in decimal.
    #[inline]
    fn put_decimal(&mut self, value: u16) {
        let (digits, len) = decimal(value);
        self.put_word(digits, len);
    }

    /// Puts `values`, each as four lowercase hex digits, with `,` between them.
    #[inline]
    fn put_hexes(&mut self, mut values: impl Iterator<Item = u16>) {
        if let Some(first) = values.next() {
            let [a, b, c, d] = hex_quad(first);
            self.put_word([a, b, c, d, 0, 0, 0, 0], 4);
        }
        for value in values {
            let [a, b, c, d] = hex_quad(value);
            self.put_word([b',', a, b, c, d, 0, 0, 0], 5);
        }
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put_word(&mut self, word: [u8; 8], len: usize) {
        let end = self.len() + len;
        self.extend_from_slice(&word);
        self.truncate(end);
    }
}

/// A hash over text that comes in crumbs, which it gathers on the stack: no allocation, however long the text.
///
/// The digest keeps a buffer too, but taking every crumb into it costs more than the hashing itself.
pub(crate) struct HashSink<D> {
    digest: D,
    gathered: [u8; GATHERED_BYTES],
    // INVARIANT: at most `GATHERED_BYTES`.
    len: usize,
}

impl<D: sha2::Digest> HashSink<D> {
    pub(crate) fn new() -> Self {
        Self { digest: D::new(), gathered: [0; GATHERED_BYTES], len: 0 }
    }

    /// The digest of all that was put in.
    pub(crate) fn finish(mut self) -> sha2::digest::Output<D> {
        self.flush();
        self.digest.finalize()
    }

    fn flush(&mut self) {
        self.digest.update(self.gathered.get(..self.len).unwrap_or_default());
        self.len = 0;
    }
}

impl<D: sha2::Digest> Sink for HashSink<D> {
    #[inline]
    fn put_word(&mut self, word: [u8; 8], len: usize) {
        if self.len + word.len() > GATHERED_BYTES {
            self.flush();
        }
        if let Some(place) = self.gathered.get_mut(self.len..self.len + word.len()) {
            place.copy_from_slice(&word);
            self.len += len;
        }
    }
}

/// The decimal digits of `value` at the front of a word, and how many they are.
#[inline]
fn decimal(value: u16) -> ([u8; 8], usize) {
    let digit = |power: u16| u64::from(value / power % 10) + u64::from(b'0');
    let all_five = digit(10_000) | digit(1000) << 8 | digit(100) << 16 | digit(10) << 24 | digit(1) << 32;
    let zeros = [10, 100, 1000, 10_000].into_iter().map(|power| u8::from(value < power)).sum::<u8>();
    ((all_five >> (8 * u32::from(zeros))).to_le_bytes(), 5 - usize::from(zeros))
}

/// The four lowercase hex digits of `value`.
#[inline]
fn hex_quad(value: u16) -> [u8; 4] {
    let [high, low] = value.to_be_bytes();
    let ([a, b], [c, d]) = (hex_pair(high), hex_pair(low));
    [a, b, c, d]
}

/// The two lowercase hex digits of `byte`.
#[inline]
pub(crate) fn hex_pair(byte: u8) -> [u8; 2] {
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
fn hex_digit(nibble: u8) -> u8 {
    b'0' + nibble + u8::from(nibble > 9) * (b'a' - b'0' - 10)
}

/// Eight blocks of either hash: each list of nearly every client fits.
const GATHERED_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_the_digits_that_the_standard_library_gives() {
        for value in 0..=u16::MAX {
            let mut decimal = Vec::new();
            decimal.put_decimal(value);
            assert_eq!(decimal, value.to_string().as_bytes());
            let mut hex = Vec::new();
            hex.put_hexes([value].into_iter());
            assert_eq!(hex, format!("{value:04x}").as_bytes());
        }
    }

    #[test]
    fn a_list_has_separators_only_between() {
        let check = |values: &[u16], decimals: &[u8], hexes: &[u8]| {
            let (mut decimal, mut hex) = (Vec::new(), Vec::new());
            decimal.put_decimals(values.iter().copied());
            hex.put_hexes(values.iter().copied());
            assert_eq!((&decimal[..], &hex[..]), (decimals, hexes));
        };
        check(&[], b"", b"");
        check(&[10], b"10", b"000a");
        check(&[0, 65535, 47], b"0-65535-47", b"0000,ffff,002f");
    }
}
