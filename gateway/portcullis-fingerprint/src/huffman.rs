//! The Huffman code of HPACK (RFC 7541 §5.2): decoding only.

use std::fmt;

/// Decodes `encoded`, giving each byte to `put`.
///
/// # Errors
///
/// [`HuffmanError`] where the padding is none (RFC 7541 §5.2). Bytes before the fault have been given by then.
pub(crate) fn decode(encoded: &[u8], mut put: impl FnMut(u8)) -> Result<(), HuffmanError> {
    // The bits that are still to be read, from the left; zeros after them.
    let mut bits = 0_u64;
    let mut count = 0_u32;
    let mut rest = encoded.iter();
    loop {
        while count <= 56 {
            let Some(byte) = rest.next() else { break };
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        if count == 0 {
            return Ok(());
        }
        let (symbol, len) = next_symbol(bits);
        if len > count {
            // What is left is no whole code: padding, which is less than a byte and all ones.
            return if count < 8 && bits.leading_ones() == count { Ok(()) } else { Err(HuffmanError) };
        }
        let Some(byte) = symbol else { return Err(HuffmanError) };
        put(byte);
        bits <<= len;
        count -= len;
    }
}

/// Some bytes are not in the Huffman code: the end-of-string symbol, or padding that is long or not all ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HuffmanError;

impl fmt::Display for HuffmanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not in the Huffman code")
    }
}

/// The symbol whose code stands at the left of `bits`, and how long the code is. None is the end of the string.
#[inline]
fn next_symbol(bits: u64) -> (Option<u8>, u32) {
    let [first, ..] = bits.to_be_bytes();
    match SHORT.get(usize::from(first)) {
        Some(&(symbol, len)) if len > 0 => (Some(symbol), u32::from(len)),
        _ => next_long_symbol(bits),
    }
}

/// The same for codes of more than eight bits, which no lowercase name needs.
#[cold]
fn next_long_symbol(bits: u64) -> (Option<u8>, u32) {
    for (len, row) in (0_u32..).zip(&BY_LEN).skip(9) {
        // Fits: at most 30 bits are left.
        let code = u32::try_from(bits >> (64 - len)).unwrap_or(u32::MAX);
        if let Some(place) = code.checked_sub(row.first_code).filter(|place| *place < row.count) {
            let symbol = usize::try_from(row.first_place + place).ok().and_then(|place| BY_CODE.get(place)).copied();
            return (symbol.and_then(|symbol| u8::try_from(symbol).ok()), len);
        }
    }
    (None, MAX_CODE_BITS)
}

/// The codes of one length, which are numbered in a row.
#[derive(Clone, Copy)]
struct Row {
    first_code: u32,
    count: u32,
    /// Where the symbol of the first code stands in [`BY_CODE`].
    first_place: u32,
}

/// How many bits the code of each symbol has (RFC 7541 appendix B); the last is the end of the string.
///
/// The code is canonical: in the order of their lengths, and of their numbers where those are equal, symbols
/// have codes that count up. So the lengths are all there is to know.
#[rustfmt::skip]
const CODE_BITS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// The longest code.
const MAX_CODE_BITS: u32 = 30;

/// The symbols in the order of their codes.
const BY_CODE: [u16; 257] = by_code();

/// The codes by their length in bits.
const BY_LEN: [Row; 31] = by_len();

/// The symbol and length of the code that begins each byte, where the code has at most eight bits; else 0.
const SHORT: [(u8, u8); 256] = short();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler: a wrong index does not compile")]
const fn by_code() -> [u16; 257] {
    let mut symbols = [0; 257];
    let (mut place, mut len) = (0, 1);
    while len <= MAX_CODE_BITS {
        let mut symbol = 0;
        while symbol < 257 {
            if CODE_BITS[symbol as usize] as u32 == len {
                symbols[place] = symbol;
                place += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    symbols
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler: a wrong index does not compile")]
const fn by_len() -> [Row; 31] {
    let mut rows = [Row { first_code: 0, count: 0, first_place: 0 }; 31];
    let (mut code, mut place, mut len) = (0, 0, 1);
    while len < rows.len() {
        let mut count = 0;
        let mut symbol = 0;
        while symbol < CODE_BITS.len() {
            if CODE_BITS[symbol] as usize == len {
                count += 1;
            }
            symbol += 1;
        }
        rows[len] = Row { first_code: code, count, first_place: place };
        code = (code + count) << 1;
        place += count;
        len += 1;
    }
    rows
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler: a wrong index does not compile")]
const fn short() -> [(u8, u8); 256] {
    let mut table = [(0, 0); 256];
    let mut len = 1;
    while len <= 8 {
        let row = BY_LEN[len];
        let mut index = 0;
        while index < row.count {
            let symbol = BY_CODE[(row.first_place + index) as usize] as u8;
            let first = (row.first_code + index) << (8 - len);
            let mut byte = first;
            while byte < first + (1 << (8 - len)) {
                table[byte as usize] = (symbol, len as u8);
                byte += 1;
            }
            index += 1;
        }
        len += 1;
    }
    table
}

/// Encodes, for tests: the code of each byte of `plain`, then ones to the end of the byte.
#[cfg(test)]
pub(crate) fn encode(plain: &[u8]) -> Vec<u8> {
    let mut bits = String::new();
    for byte in plain {
        let place = BY_CODE.iter().position(|symbol| *symbol == u16::from(*byte)).unwrap();
        let len = usize::from(CODE_BITS[usize::from(*byte)]);
        let row = BY_LEN[len];
        let code = row.first_code + u32::try_from(place).unwrap() - row.first_place;
        bits.push_str(&format!("{code:0len$b}"));
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    let byte = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).unwrap(), 2).unwrap();
    bits.as_bytes().chunks(8).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoded: &[u8]) -> Result<Vec<u8>, HuffmanError> {
        let mut plain = Vec::new();
        decode(encoded, |byte| plain.push(byte)).map(|()| plain)
    }

    #[test]
    fn the_codes_are_those_of_the_appendix() {
        // Rows of RFC 7541 appendix B: the first and last of their kinds, and some between.
        for (symbol, code, len) in [
            (b'0', 0x0, 5),
            (b't', 0x9, 5),
            (b' ', 0x14, 6),
            (b'u', 0x2d, 6),
            (b':', 0x5c, 7),
            (b'z', 0x7b, 7),
            (b'&', 0xf8, 8),
            (b'Z', 0xfd, 8),
            (b'!', 0x3f8, 10),
            (b'|', 0x7fc, 11),
            (b'#', 0xffa, 12),
            (0, 0x1ff8, 13),
            (b'\\', 0x7_fff0, 19),
            (249, 0xfff_fffe, 28),
            (10, 0x3fff_fffc, 30),
            (22, 0x3fff_fffe, 30),
        ] {
            let bits = u64::from(code as u32) << (64 - len);
            assert_eq!(next_symbol(bits), (Some(symbol), len), "{symbol}");
        }
        assert_eq!(next_symbol(0x3fff_ffff_u64 << 34), (None, 30), "the end of the string");
    }

    #[test]
    fn the_examples_of_the_appendix_are_decoded() {
        // RFC 7541 C.4.1 to C.4.3 and C.6.1.
        for (encoded, plain) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf], "custom-value"),
            (&[0x64, 0x02], "302"),
            (&[], ""),
        ] {
            assert_eq!(decoded(encoded), Ok(plain.as_bytes().to_vec()), "{plain}");
        }
    }

    #[test]
    fn every_byte_is_decoded_after_every_other() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                assert_eq!(decoded(&encode(&[first, second, b'a'])), Ok(vec![first, second, b'a']));
            }
        }
    }

    #[test]
    fn padding_is_ones_and_less_than_a_byte() {
        // `a` is 00011.
        assert_eq!(decoded(&[0b0001_1111]), Ok(b"a".to_vec()));
        for bad in [
            &[0b0001_1110][..],
            &[0b0001_1000],
            &[0xff],
            &[0b0001_1111, 0xff],
            &[0b0001_1111, 0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xfc],
        ] {
            assert_eq!(decoded(bad), Err(HuffmanError), "{bad:02x?}");
        }
    }
}
