//! JA4: what a TLS client offers, sorted, so that a shuffled hello gives the same print.

use std::fmt;
use std::str::FromStr;

use crate::codes::{extension, is_grease};
use crate::digits::{Text, hash12, hex_pair};
use crate::hello::ClientHello;
use crate::lists::{Sorted, without_grease};

/// A JA4, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`: 36 ASCII characters in three parts.
///
/// Defined by FoxIO-LLC/ja4, `technical_details/JA4.md`. What [`Ja4::of`] makes is always of TLS over TCP
/// (`t`); what is read from text may also be of QUIC (`q`) or DTLS (`d`), as lists hold them.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
// INVARIANT: ASCII, and of the form that `from_str` checks.
pub struct Ja4([u8; 36]);

impl Ja4 {
    /// The JA4 of `hello`. Allocates nothing for the hellos that real clients send.
    pub fn of(hello: &ClientHello) -> Self {
        Raw::sorted(hello, &Sorted::of(hello), &mut Text::new()).hash()
    }

    /// The JA4 of `hello` in its original order (`JA4_o`): nothing sorted, server name and ALPN not left out.
    ///
    /// As `technical_details/JA4.md` has it under "Raw Output". A browser that shuffles its extensions has
    /// another one on each connection; a client that claims to be one and does not shuffle has not.
    pub fn original(hello: &ClientHello) -> Self {
        Raw::original(hello, &mut Text::new()).hash()
    }

    /// The whole print.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The readable part: protocol, version, server name, counts, ALPN. `t13d1516h2`
    pub fn a(&self) -> &str {
        self.as_str().get(..10).unwrap_or_default()
    }

    /// The part of the cipher suites. `8daaf6152771`
    pub fn b(&self) -> &str {
        self.as_str().get(11..23).unwrap_or_default()
    }

    /// The part of the extensions and signature schemes. `e5627efa2ab1`
    pub fn c(&self) -> &str {
        self.as_str().get(24..).unwrap_or_default()
    }

    /// The part of the cipher suites, as bytes.
    pub(crate) fn b_bytes(&self) -> [u8; 12] {
        self.0.get(B..).and_then(|rest| rest.first_chunk().copied()).unwrap_or_default()
    }

    fn put(&mut self, at: usize, part: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + part.len()) {
            place.copy_from_slice(part);
        }
    }
}

/// A JA4 before hashing: its text, and where its parts begin.
pub(crate) struct Raw<'t> {
    text: &'t Text,
    /// Where the extensions begin.
    extensions: usize,
    ciphers_empty: bool,
    extensions_empty: bool,
}

impl<'t> Raw<'t> {
    /// The lists sorted, without server name and ALPN, which change with the request. Written into `text`.
    pub(crate) fn sorted(hello: &ClientHello, lists: &Sorted, text: &'t mut Text) -> Self {
        let kept = |extension| !matches!(extension, extension::SERVER_NAME | extension::ALPN);
        Self::new(hello, (&lists.ciphers, |_| true), (&lists.extensions, kept), text)
    }

    /// The lists in wire order, and all of them. Written into `text`.
    pub(crate) fn original(hello: &ClientHello, text: &'t mut Text) -> Self {
        let told = |value| !is_grease(value);
        Self::new(hello, (&hello.cipher_suites, told), (&hello.extensions, told), text)
    }

    /// Of the ciphers and of the extensions, what is to be kept.
    #[inline]
    fn new(
        hello: &ClientHello,
        ciphers: (&[u16], impl Fn(u16) -> bool),
        extensions: (&[u16], impl Fn(u16) -> bool),
        text: &'t mut Text,
    ) -> Self {
        text.clear();
        text.put_bytes(&part_a(hello));
        text.put_byte(b'_');
        text.put_hexes(ciphers.0.iter().copied(), ciphers.1);
        let ciphers_empty = text.len() == B;
        text.put_byte(b'_');
        let start = text.len();
        text.put_hexes(extensions.0.iter().copied(), extensions.1);
        let extensions_empty = text.len() == start;
        // No `_` where there are no signature schemes, which stay in wire order.
        let end = text.len();
        text.put_byte(b'_');
        text.put_hexes(hello.signature_algorithms.iter().copied(), |scheme| !is_grease(scheme));
        if text.len() == end + 1 {
            text.cut(end);
        }
        Self { text, extensions: start, ciphers_empty, extensions_empty }
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        self.text.as_str()
    }

    /// The JA4 of the text.
    pub(crate) fn hash(&self) -> Ja4 {
        let bytes = self.text.as_bytes();
        let mut ja4 = Ja4([b'_'; 36]);
        ja4.put(0, bytes.get(..A_BYTES).unwrap_or_default());
        let ciphers = bytes.get(B..self.extensions - 1).unwrap_or_default();
        ja4.put(B, &if self.ciphers_empty { NOTHING } else { hash12(ciphers) });
        let extensions = self.text.since(self.extensions);
        ja4.put(C, &if self.extensions_empty { NOTHING } else { hash12(extensions) });
        ja4
    }
}

/// The JA4 before hashing, lists sorted: `t13d…_ciphers_extensions_signature schemes` (`JA4_r`).
pub fn ja4_r(hello: &ClientHello) -> String {
    Raw::sorted(hello, &Sorted::of(hello), &mut Text::new()).text().to_owned()
}

/// The JA4 before hashing, in its original order (`JA4_ro`): see [`Ja4::original`].
pub fn ja4_ro(hello: &ClientHello) -> String {
    Raw::original(hello, &mut Text::new()).text().to_owned()
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ja4({})", self.as_str())
    }
}

/// From the 36 characters, lowercase as every tool writes them.
impl FromStr for Ja4 {
    type Err = Ja4ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = text.chars().count();
        let Ok(bytes) = <[u8; 36]>::try_from(text.as_bytes()) else {
            return Err(Ja4ParseError::Length { found });
        };
        for (place, (character, byte)) in text.chars().zip(bytes).enumerate() {
            if !fits(place, byte) {
                return Err(Ja4ParseError::Character { place: place + 1, character });
            }
        }
        let ja4 = Self(bytes);
        match ja4.a().get(1..3) {
            Some(version) if VERSIONS.iter().any(|(_, known)| known == version.as_bytes()) || version == "00" => {
                Ok(ja4)
            }
            _ => Err(Ja4ParseError::Version),
        }
    }
}

/// Why some text is not a JA4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ja4ParseError {
    /// It does not have 36 characters.
    Length {
        /// How many it has.
        found: usize,
    },
    /// A character cannot stand where it stands.
    Character {
        /// Its place, counted from 1.
        place: usize,
        /// That character.
        character: char,
    },
    /// The second and third characters name no version.
    Version,
}

impl fmt::Display for Ja4ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a JA4 such as `t13d1516h2_8daaf6152771_e5627efa2ab1`, but found ")?;
        match self {
            Self::Length { found } => write!(f, "{found} characters instead of 36"),
            Self::Character { place, character } => write!(f, "`{character}` in place {place}"),
            Self::Version => f.write_str("no TLS version in places 2 and 3"),
        }
    }
}

impl std::error::Error for Ja4ParseError {}

/// Whether `byte` can stand at the offset `place` of a JA4.
const fn fits(place: usize, byte: u8) -> bool {
    match place {
        0 => matches!(byte, b't' | b'q' | b'd'),
        3 => matches!(byte, b'd' | b'i'),
        1 | 2 => byte.is_ascii_digit() || byte.is_ascii_lowercase(),
        4..=7 => byte.is_ascii_digit(),
        8 | 9 => byte.is_ascii_alphanumeric(),
        10 | 23 => byte == b'_',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    }
}

fn part_a(hello: &ClientHello) -> [u8; A_BYTES] {
    let [version_0, version_1] = version(hello.highest_version());
    let server_name = if hello.has_extension(extension::SERVER_NAME) { b'd' } else { b'i' };
    let [ciphers_0, ciphers_1] = count(without_grease(&hello.cipher_suites).count());
    let [extensions_0, extensions_1] = count(without_grease(&hello.extensions).count());
    let [alpn_0, alpn_1] = alpn_ends(hello.alpn.first().unwrap_or_default());
    [b't', version_0, version_1, server_name, ciphers_0, ciphers_1, extensions_0, extensions_1, alpn_0, alpn_1]
}

/// The two characters of a version ("TLS and DTLS Version").
fn version(value: u16) -> [u8; 2] {
    VERSIONS.iter().find(|(known, _)| *known == value).map_or(*b"00", |(_, name)| *name)
}

/// Two decimal digits, at most 99 ("Number of Ciphers").
fn count(count: usize) -> [u8; 2] {
    let count = u8::try_from(count.min(99)).unwrap_or(99);
    [b'0' + count / 10, b'0' + count % 10]
}

/// The first and last character of a protocol's name ("ALPN Extension Value").
///
/// Where either end is not an ASCII letter or digit: the first and last digit of the name in hex.
/// No name, or an empty one, gives `00`.
fn alpn_ends(protocol: &[u8]) -> [u8; 2] {
    let (Some(&first), Some(&last)) = (protocol.first(), protocol.last()) else {
        return *b"00";
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last];
    }
    let ([high, _], [_, low]) = (hex_pair(first), hex_pair(last));
    [high, low]
}

/// What stands for the hash of nothing.
pub(crate) const NOTHING: [u8; 12] = [b'0'; 12];

/// How long the readable part is.
const A_BYTES: usize = 10;
/// Where the part of the cipher suites begins.
const B: usize = A_BYTES + 1;
/// Where the part of the extensions begins.
const C: usize = B + 13;

/// The versions that have a name; any other is `00`.
const VERSIONS: [(u16, [u8; 2]); 9] = [
    (0x0304, *b"13"),
    (0x0303, *b"12"),
    (0x0302, *b"11"),
    (0x0301, *b"10"),
    (0x0300, *b"s3"),
    (0x0002, *b"s2"),
    (0xfeff, *b"d1"),
    (0xfefd, *b"d2"),
    (0xfefc, *b"d3"),
];

#[cfg(test)]
mod tests {
    use smallvec::{SmallVec, smallvec};

    use super::*;

    /// The worked example of `technical_details/JA4.md`, in an order of the wire.
    fn example() -> ClientHello {
        ClientHello {
            legacy_version: 0x0303,
            cipher_suites: smallvec![
                0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                0x009d, 0x002f, 0x0035,
            ],
            extensions: smallvec![
                0x3a3a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
                0xff01, 0x000b, 0x000a, 0x0015, 0xfafa,
            ],
            signature_algorithms: smallvec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,],
            supported_versions: smallvec![0x7a7a, 0x0304, 0x0303],
            ..ClientHello::default()
        }
    }

    #[test]
    fn the_worked_example_of_the_text_holds() {
        let print = Ja4::of(&example());
        assert_eq!((print.b(), print.c()), ("8daaf6152771", "e5627efa2ab1"));
        assert_eq!(print.as_str(), "t13d151600_8daaf6152771_e5627efa2ab1", "it offers no ALPN as built here");
        assert_eq!(
            ja4_r(&example()),
            "t13d151600_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9\
             _0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01\
             _0403,0804,0401,0503,0805,0501,0806,0601"
        );
    }

    #[test]
    fn the_original_order_of_the_worked_example_is_hashed_as_the_text_says() {
        let print = Ja4::original(&example());
        assert_eq!((print.b(), print.c()), ("acb858a92679", "18f69afefd3d"));
        assert_eq!(
            ja4_ro(&example()),
            "t13d151600_1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035\
             _001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015\
             _0403,0804,0401,0503,0805,0501,0806,0601"
        );
        assert_eq!(Ja4::original(&ClientHello::default()).as_str(), "t00i000000_000000000000_000000000000");
    }

    #[test]
    fn order_and_grease_change_nothing() {
        let mut shuffled = example();
        shuffled.cipher_suites.reverse();
        shuffled.extensions.reverse();
        shuffled.signature_algorithms.insert(0, 0x4a4a);
        assert_eq!(Ja4::of(&shuffled), Ja4::of(&example()));
    }

    #[test]
    fn the_order_of_signature_schemes_is_part_of_the_print() {
        let mut other = example();
        other.signature_algorithms.reverse();
        assert_ne!(Ja4::of(&other).c(), Ja4::of(&example()).c());
    }

    #[test]
    fn a_version_has_two_characters() {
        let check = |supported: &[u16], legacy_version: u16, expected: &str| {
            let hello = ClientHello {
                legacy_version,
                supported_versions: SmallVec::from_slice(supported),
                ..ClientHello::default()
            };
            assert_eq!(Ja4::of(&hello).a().get(1..3), Some(expected), "{supported:04x?}, {legacy_version:04x}");
        };
        check(&[], 0x0304, "13");
        check(&[], 0x0303, "12");
        check(&[], 0x0302, "11");
        check(&[], 0x0301, "10");
        check(&[], 0x0300, "s3");
        check(&[], 0x0002, "s2");
        check(&[], 0xfefd, "d2");
        check(&[], 0x0200, "00");
        check(&[], 0x0305, "00");
        check(&[0x0303, 0x0304], 0x0303, "13");
        check(&[0xfafa, 0x0303, 0x0302], 0x0301, "12");
        check(&[0xfafa], 0x0303, "12");
    }

    #[test]
    fn an_alpn_gives_its_first_and_last_character() {
        for (protocol, expected) in [
            (&b"h2"[..], b"h2"),
            (b"http/1.1", b"h1"),
            (b"x", b"xx"),
            (b"", b"00"),
            (b"\xab", b"ab"),
            (b"\xab\xcd", b"ad"),
            (b"\x30\xab", b"3b"),
            (b"\x30\x31\xab\xcd", b"3d"),
            (b"\x30\xab\xcd\x31", b"01"),
            (b"a-", b"6d"),
            (b" a", b"21"),
        ] {
            assert_eq!(&alpn_ends(protocol), expected, "{protocol:02x?}");
        }
    }

    #[test]
    fn a_count_stays_at_99() {
        let check = |values: u16, expected: &str| {
            let hello = ClientHello {
                cipher_suites: (0xc000..0xc000 + values).collect(),
                extensions: (0x100..0x100 + values).collect(),
                ..ClientHello::default()
            };
            assert_eq!(Ja4::of(&hello).a().get(4..8), Some(expected), "{values} values");
        };
        check(0, "0000");
        check(7, "0707");
        check(99, "9999");
        check(100, "9999");
        check(300, "9999");
    }

    #[test]
    fn a_hello_with_nothing_to_hash_has_zeros() {
        let mut hello = ClientHello { legacy_version: 0x0301, ..ClientHello::default() };
        assert_eq!(Ja4::of(&hello).as_str(), "t10i000000_000000000000_000000000000");
        assert_eq!(ja4_r(&hello), "t10i000000__");
        hello.extensions = smallvec![0, 16, 0x0a0a];
        assert_eq!(Ja4::of(&hello).as_str(), "t10d000200_000000000000_000000000000");
    }

    #[test]
    fn a_print_is_read_back_and_what_is_none_is_refused() {
        let check = |text: &str, message: Option<&str>| match (text.parse::<Ja4>(), message) {
            (Ok(ja4), None) => assert_eq!(ja4.to_string(), text),
            (Err(error), Some(message)) => {
                assert!(error.to_string().ends_with(message), "{text}: {error}")
            }
            (other, _) => panic!("{text}: {other:?}"),
        };
        check("t13d1516h2_8daaf6152771_e5627efa2ab1", None);
        check("q13i0310h3_55b375c5d22e_cd85d2d88918", None);
        check("ts3i460000_234845559c90_000000000000", None);
        check("t00i0000Zz_000000000000_000000000000", None);
        check("", Some("but found 0 characters instead of 36"));
        check("t13d1516h2", Some("but found 10 characters instead of 36"));
        check("x13d1516h2_8daaf6152771_e5627efa2ab1", Some("but found `x` in place 1"));
        check("t13x1516h2_8daaf6152771_e5627efa2ab1", Some("but found `x` in place 4"));
        check("t14d1516h2_8daaf6152771_e5627efa2ab1", Some("but found no TLS version in places 2 and 3"));
        check("t13d15-6h2_8daaf6152771_e5627efa2ab1", Some("but found `-` in place 7"));
        check("t13d1516h2-8daaf6152771_e5627efa2ab1", Some("but found `-` in place 11"));
        check("t13d1516h2_8DAAF6152771_e5627efa2ab1", Some("but found `D` in place 13"));
        check("t13d1516é_8daaf6152771_e5627efa2ab1", Some("but found `é` in place 9"));
    }
}
