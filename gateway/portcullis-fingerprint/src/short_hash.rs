//! A short name for a long print.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::digits::{Text, hex_pair, hex_value};

/// The first six bytes of the SHA-256 of a print's text, written as 12 lowercase hex digits.
///
/// Enough to tell clients apart, and few enough that anybody can make another text of the same hash: a reason
/// to look closer, never a proof.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShortHash(pub [u8; 6]);

impl ShortHash {
    pub(crate) fn of(text: &Text) -> Self {
        let digest = <[u8; 32]>::from(Sha256::digest(text.as_bytes()));
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 12];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = hex_pair(byte);
        }
        f.pad(str::from_utf8(&text).unwrap_or_default())
    }
}

/// From 12 hex digits of either case.
impl FromStr for ShortHash {
    type Err = ShortHashParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 6];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != hash.len() || !rest.is_empty() {
            return Err(ShortHashParseError);
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low)) else {
                return Err(ShortHashParseError);
            };
            *byte = high << 4 | low;
        }
        Ok(Self(hash))
    }
}

/// Some text is not a short hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShortHashParseError;

impl fmt::Display for ShortHashParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected the 12 hex digits of a print's hash, but found something else")
    }
}

impl std::error::Error for ShortHashParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_front_of_the_sha_256() {
        let mut text = Text::new();
        text.put_bytes(b"abc");
        let hash = ShortHash::of(&text);
        // FIPS 180-2, appendix B.1.
        assert_eq!(hash.to_string(), "ba7816bf8f01");
        assert_eq!("BA7816BF8F01".parse(), Ok(hash));
        for text in ["", "ba7816bf8f0", "ba7816bf8f011", "ba7816bf8f0g", "ba7816bf8fé"] {
            assert_eq!(text.parse::<ShortHash>(), Err(ShortHashParseError), "{text}");
        }
    }
}
