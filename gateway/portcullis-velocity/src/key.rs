use std::fmt;
use std::hash::Hasher as _;
use std::str::FromStr;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// The key of the hash that turns identifiers into [`Key`]s: 16 random bytes.
///
/// Whoever knows it can find identifiers that collide, and can test guesses against stored keys.
/// Bans that outlive the process need the same secret in the next one.
#[derive(Clone, Copy)]
pub struct Secret(pub [u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who is counted, by which counter: a 128-bit keyed hash of a scope and its parts.
///
/// In a table of counters a key is told from the sixteen others that could be where it is by 56 of its
/// bits: that any of ten million distinct keys is ever taken for another has a probability of
/// 10⁷ · 16 / 2⁵⁶, two in a thousand million. Bans compare all 128 bits.
///
/// Written as 32 hexadecimal digits, so that a person can name a ban.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// Chooses the place in a table.
    pub(crate) place: u64,
    /// Tells the keys of one place apart.
    pub(crate) tag: u64,
}

impl Key {
    /// The key of another counter of the same things, without hashing them again.
    ///
    /// Siblings lie beside each other in a table, so reading several of them costs few cache misses. `scope` is
    /// the identity of the counter; 0 is the key itself. That they differ is as sure as for keys hashed apart.
    #[must_use]
    pub const fn sibling(self, scope: u64) -> Key {
        // An odd constant without a pattern (the golden ratio of 2^64) spreads small numbers over all bits.
        let spread = scope.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The lower half of `place` names the set that siblings have in common.
        Key { place: self.place ^ (spread & 0xffff_ffff_0000_0000), tag: self.tag ^ spread }
    }

    /// The key as 16 bytes, as [`Key::from_bytes`] reads it.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.bits().to_be_bytes()
    }

    /// The key that [`Key::to_bytes`] wrote.
    pub const fn from_bytes(bytes: [u8; 16]) -> Key {
        Key::from_bits(u128::from_be_bytes(bytes))
    }

    const fn bits(self) -> u128 {
        (self.place as u128) << 64 | self.tag as u128
    }

    const fn from_bits(bits: u128) -> Key {
        Key { place: (bits >> 64) as u64, tag: bits as u64 }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.bits())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl FromStr for Key {
    type Err = ParseKeyError;

    /// Reads the 32 hexadecimal digits that `Display` writes.
    fn from_str(text: &str) -> Result<Key, ParseKeyError> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseKeyError);
        }
        u128::from_str_radix(text, 16).map(Key::from_bits).map_err(|_| ParseKeyError)
    }
}

/// A text that is not a [`Key`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParseKeyError;

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a key of 32 hexadecimal digits")
    }
}

impl std::error::Error for ParseKeyError {}

/// Makes [`Key`]s: SipHash-1-3 with a 128-bit output under a [`Secret`].
///
/// SipHash is a pseudorandom function for those who do not know the secret (Aumasson and Bernstein,
/// "SipHash: a fast short-input PRF", 2012), so nobody outside can aim keys at one place of a table.
#[derive(Clone, Copy)]
pub struct KeyHasher {
    start: SipHasher13,
}

impl KeyHasher {
    /// A hasher under `secret`. The same secret gives the same keys, in every process.
    pub fn new(secret: Secret) -> KeyHasher {
        KeyHasher { start: SipHasher13::new_with_key(&secret.0) }
    }

    /// The key of `parts` in `scope`, where `scope` is the identity of a counter, limit or kind of ban.
    ///
    /// Each part is hashed after its length, so ("ab", "c") and ("a", "bc") differ, as do ("a") and
    /// ("a", ""). An empty part is a value like any other. Any length is taken; the cost is linear.
    #[inline]
    pub fn key(&self, scope: u64, parts: &[&[u8]]) -> Key {
        let length = parts.iter().fold(LENGTH_BYTES, |sum, part| sum.saturating_add(LENGTH_BYTES + part.len()));
        if length > GATHERED_BYTES {
            return self.key_of_long(scope, parts);
        }
        // Eight bytes at once are hashed as quickly as one, so that gathering the parts first is worth it.
        let mut gathered = Gathered { bytes: [0; GATHERED_BYTES], len: 0 };
        gathered.put(&scope.to_le_bytes());
        for part in parts {
            gathered.put(&(part.len() as u64).to_le_bytes());
            gathered.put(part);
        }
        let (place, tag) = self.start.hash(gathered.as_bytes()).as_u64();
        Key { place, tag }
    }

    /// The same for parts of any length.
    fn key_of_long(&self, scope: u64, parts: &[&[u8]]) -> Key {
        let mut hasher = self.start;
        hasher.write(&scope.to_le_bytes());
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        let (place, tag) = hasher.finish128().as_u64();
        Key { place, tag }
    }
}

/// Bytes that are put one behind the other, as long as there is room.
struct Gathered {
    bytes: [u8; GATHERED_BYTES],
    len: usize,
}

impl Gathered {
    #[inline]
    fn put(&mut self, part: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + part.len()) {
            place.copy_from_slice(part);
            self.len += part.len();
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Up to how many bytes the parts are gathered: nearly all identifiers have fewer.
const GATHERED_BYTES: usize = 512;
/// Bytes of the scope, and of the length before each part.
const LENGTH_BYTES: usize = size_of::<u64>();

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_parts_give_different_keys() {
        let hasher = KeyHasher::new(Secret([1; 16]));
        let keys = [
            hasher.key(1, &[b"ab", b"c"]),
            hasher.key(1, &[b"a", b"bc"]),
            hasher.key(1, &[b"abc"]),
            hasher.key(1, &[b"abc", b""]),
            hasher.key(1, &[b"", b"abc"]),
            hasher.key(1, &[]),
            hasher.key(1, &[b""]),
            hasher.key(2, &[b"abc"]),
            KeyHasher::new(Secret([2; 16])).key(1, &[b"abc"]),
        ];
        for (i, left) in keys.iter().enumerate() {
            for (j, right) in keys.iter().enumerate() {
                assert_eq!(left == right, i == j, "{i} and {j}");
            }
        }
    }

    #[test]
    fn a_key_survives_being_written_and_read() {
        let key = KeyHasher::new(Secret([1; 16])).key(1, &[b"192.0.2.1"]);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(Key::from_bytes(key.to_bytes()), key);
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        let digits = "0".repeat(31);
        for text in ["", "12", &format!("+{digits}"), &format!("{digits}g"), &format!("{digits}00")] {
            assert_eq!(text.parse::<Key>(), Err(ParseKeyError), "{text}");
        }
    }

    #[test]
    fn a_key_does_not_depend_on_how_its_parts_are_read() {
        let hasher = KeyHasher::new(Secret([1; 16]));
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(2 * GATHERED_BYTES).collect();
        for length in 0..bytes.len() {
            let (first, rest) = bytes[..length].split_at(length / 3);
            let parts = [first, b"", rest];
            assert_eq!(hasher.key(1, &parts), hasher.key_of_long(1, &parts), "{length}");
        }
        for count in 0..GATHERED_BYTES {
            let parts = vec![&b""[..]; count];
            assert_eq!(hasher.key(1, &parts), hasher.key_of_long(1, &parts), "{count} empty parts");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret([0xab; 16]);
        let printed = format!("{secret:?} {:?}", KeyHasher::new(secret));
        assert_eq!(printed, "Secret(..) KeyHasher(..)");
    }
}
