//! JA3: what a client offers in the order in which it offers it, and the MD5 of that.

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};

use crate::digits::{Text, hex_pair, hex_value};
use crate::hello::ClientHello;
use crate::lists::sorted_extensions;

/// The JA3 of a hello: its text and the hash of that text.
///
/// Defined by the salesforce/ja3 README: `version,ciphers,extensions,groups,point formats`, each list in
/// wire order, in decimal, joined by `-`, without GREASE. Of a repeated extension the first one's list counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ja3 {
    /// The text, such as `771,4865-4866,0-11-10,29-23,0`. ASCII digits, `-` and `,`.
    pub text: String,
    /// The MD5 of the text.
    pub hash: Ja3Hash,
}

impl Ja3 {
    /// The JA3 of `hello`. Where the text is not wanted, [`Ja3Hash::of`] allocates nothing.
    pub fn of(hello: &ClientHello) -> Self {
        let mut text = Text::new();
        let hash = Ja3Hash::written_into(&mut text, hello);
        Self { text: text.as_str().to_owned(), hash }
    }

    /// The JA3N of `hello`: its JA3 with the extensions sorted by number.
    ///
    /// Browsers that shuffle their extensions have a JA3 of chance and one JA3N. The form that "TLS Fingerprint"
    /// (tlsfingerprint.io) calls normalised.
    pub fn normalized(hello: &ClientHello) -> Self {
        Self::pair(hello, &sorted_extensions(hello), &mut Text::new()).1
    }

    /// [`Ja3::of`] and [`Ja3::normalized`], which differ in the middle only.
    pub(crate) fn pair(hello: &ClientHello, sorted_extensions: &[u16], text: &mut Text) -> (Self, Self) {
        text.clear();
        write_front(hello, text);
        let front = text.len();
        let digest = Md5::new_with_prefix(text.as_bytes());
        let ja3 = |text: &str, digest: Md5| Self { text: text.to_owned(), hash: Ja3Hash(digest.finalize().into()) };
        text.put_decimals(hello.extensions.iter().copied());
        let middle = text.len();
        write_back(hello, text);
        let original = ja3(text.as_str(), digest.clone().chain_update(text.since(front)));
        let end = text.len();
        text.put_again(0, front);
        text.put_decimals(sorted_extensions.iter().copied());
        text.put_again(middle, end);
        let normalized = ja3(text.str_since(end), digest.chain_update(text.since(end + front)));
        (original, normalized)
    }
}

/// The MD5 of a JA3 text, by which lists name a client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ja3Hash(pub [u8; 16]);

impl Ja3Hash {
    /// The JA3 hash of `hello`, without keeping its text.
    pub fn of(hello: &ClientHello) -> Self {
        Self::written_into(&mut Text::new(), hello)
    }

    /// The same, with the text left in `text`.
    pub(crate) fn written_into(text: &mut Text, hello: &ClientHello) -> Self {
        text.clear();
        write_front(hello, text);
        text.put_decimals(hello.extensions.iter().copied());
        write_back(hello, text);
        Self(Md5::digest(text.as_bytes()).into())
    }
}

/// 32 lowercase hex digits.
impl fmt::Display for Ja3Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 32];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = hex_pair(byte);
        }
        f.pad(str::from_utf8(&text).unwrap_or_default())
    }
}

/// From 32 hex digits of either case.
impl FromStr for Ja3Hash {
    type Err = Ja3HashParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().count() != 32 {
            return Err(Ja3HashParseError::Length { found: text.chars().count() });
        }
        let mut hash = [0; 16];
        for (index, digit) in text.chars().enumerate() {
            let value = u8::try_from(digit).ok().and_then(hex_value).ok_or(Ja3HashParseError::Digit { digit })?;
            if let Some(byte) = hash.get_mut(index / 2) {
                *byte = *byte << 4 | value;
            }
        }
        Ok(Self(hash))
    }
}

/// Why some text is not a JA3 hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ja3HashParseError {
    /// It does not have 32 characters.
    Length {
        /// How many it has.
        found: usize,
    },
    /// A character is not a hex digit.
    Digit {
        /// That character.
        digit: char,
    },
}

impl fmt::Display for Ja3HashParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => {
                write!(f, "expected the 32 hex digits of a JA3 hash, but found {found} characters")
            }
            Self::Digit { digit } => write!(f, "expected the 32 hex digits of a JA3 hash, but found `{digit}`"),
        }
    }
}

impl std::error::Error for Ja3HashParseError {}

fn write_front(hello: &ClientHello, out: &mut Text) {
    out.put_decimal(hello.legacy_version);
    out.put_byte(b',');
    out.put_decimals(hello.cipher_suites.iter().copied());
    out.put_byte(b',');
}

fn write_back(hello: &ClientHello, out: &mut Text) {
    out.put_byte(b',');
    out.put_decimals(hello.groups.iter().copied());
    out.put_byte(b',');
    out.put_decimals(hello.point_formats.iter().copied().map(u16::from));
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn the_text_is_five_fields_whatever_the_hello_has() {
        let check = |hello: &ClientHello, text: &str| {
            let ja3 = Ja3::of(hello);
            assert_eq!(ja3.text, text);
            assert_eq!(ja3.hash, Ja3Hash::of(hello), "the hash of {text}, streamed");
        };
        let mut hello = ClientHello { legacy_version: 769, ..ClientHello::default() };
        check(&hello, "769,,,,");
        hello.cipher_suites = smallvec![0x1a1a, 47, 0x00ff];
        check(&hello, "769,47-255,,,");
        hello.extensions = smallvec![0xfafa, 10, 11, 0x0a0a];
        hello.groups = smallvec![0x3a3a, 29, 23];
        hello.point_formats = smallvec![0, 1, 2];
        check(&hello, "769,47-255,10-11,29-23,0-1-2");
        hello.cipher_suites = (0x0a00..=0x0fff).collect();
        let ja3 = Ja3::of(&hello);
        assert_eq!(ja3.hash, Ja3Hash::of(&hello), "a text of {} bytes, streamed", ja3.text.len());
    }

    #[test]
    fn the_normalized_form_is_the_same_in_any_order() {
        let mut hello = ClientHello {
            legacy_version: 771,
            cipher_suites: smallvec![4866, 4865],
            extensions: smallvec![0x5a5a, 65281, 0, 43, 10, 5],
            ..ClientHello::default()
        };
        let ja3n = Ja3::normalized(&hello);
        assert_eq!(ja3n.text, "771,4866-4865,0-5-10-43-65281,,", "ciphers keep their order");
        hello.extensions.reverse();
        assert_eq!(Ja3::normalized(&hello), ja3n);
        assert_ne!(Ja3::of(&hello), ja3n);
    }

    #[test]
    fn the_hash_of_the_published_example_is_the_published_hash() {
        // The worked example of the salesforce/ja3 README.
        let hello = ClientHello {
            legacy_version: 769,
            cipher_suites: smallvec![47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            extensions: smallvec![0, 10, 11],
            groups: smallvec![23, 24, 25],
            point_formats: smallvec![0],
            ..ClientHello::default()
        };
        assert_eq!(Ja3Hash::of(&hello).to_string(), "ada70206e40642a3e4461f35503241d5");
        let bare = ClientHello {
            extensions: smallvec![],
            groups: smallvec![],
            point_formats: smallvec![],
            cipher_suites: smallvec![4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99],
            ..hello
        };
        assert_eq!(Ja3Hash::of(&bare).to_string(), "de350869b8c85de67a350c8d186f11e6");
    }

    #[test]
    fn a_hash_is_read_back_from_either_case() {
        let hash: Ja3Hash = "ada70206e40642a3e4461f35503241d5".parse().unwrap();
        assert_eq!("ADA70206E40642A3E4461F35503241D5".parse(), Ok(hash));
        assert_eq!(hash.to_string(), "ada70206e40642a3e4461f35503241d5");
    }

    #[test]
    fn what_is_no_hash_is_refused_with_a_reason() {
        for (text, message) in [
            ("", "expected the 32 hex digits of a JA3 hash, but found 0 characters"),
            ("771,47,,,", "expected the 32 hex digits of a JA3 hash, but found 9 characters"),
            ("xda70206e40642a3e4461f35503241d5", "expected the 32 hex digits of a JA3 hash, but found `x`"),
            ("éda70206e40642a3e4461f35503241d5", "expected the 32 hex digits of a JA3 hash, but found `é`"),
        ] {
            assert_eq!(text.parse::<Ja3Hash>().unwrap_err().to_string(), message);
        }
    }
}
