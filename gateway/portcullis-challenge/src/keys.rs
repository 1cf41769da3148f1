//! The keys that sign puzzles, waits, clearances and responses, and how they are replaced.

use std::error::Error;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Refusal;

/// The number by which a token names the key that signed it.
///
/// Not secret. A number is used once: a new key gets a new number, else tokens of the old key
/// would be called forged and not merely old.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One secret of 32 bytes, and its number. Printing it shows the number only.
#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    secret: [u8; 32],
}

impl SigningKey {
    /// A key from 32 bytes of good randomness, or of a key derivation function's output.
    #[must_use]
    pub const fn new(id: KeyId, secret: [u8; 32]) -> Self {
        Self { id, secret }
    }

    /// The key's number.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The key that signs now, and older keys whose tokens are still accepted.
///
/// To rotate: build a ring whose current key is new and whose older keys hold the previous one, and
/// drop the previous one when the longest-lived token it signed has expired.
///
/// Each purpose has a subkey of its own, derived once here, so that a puzzle can never pass for a
/// clearance. The keyed states are kept ready: using one is a copy, not a key set-up.
#[derive(Clone)]
pub struct KeyRing {
    current: Subkeys,
    older: Vec<Subkeys>,
}

impl KeyRing {
    /// A ring that signs with `current` and also accepts what `older` signed.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::DuplicateId`] when two keys have the same number.
    pub fn new(current: &SigningKey, older: &[SigningKey]) -> Result<Self, KeyRingError> {
        let mut seen = vec![current.id];
        for key in older {
            if seen.contains(&key.id) {
                return Err(KeyRingError::DuplicateId(key.id));
            }
            seen.push(key.id);
        }
        Ok(Self {
            current: Subkeys::derive(current)?,
            older: older.iter().map(Subkeys::derive).collect::<Result<_, _>>()?,
        })
    }

    /// The number of the key that signs now: the key epoch.
    #[must_use]
    pub const fn current_id(&self) -> KeyId {
        self.current.id
    }

    /// The state that signs for `purpose` now, ready to take a message.
    pub(crate) fn signer(&self, purpose: Purpose) -> Hmac<Sha256> {
        self.current.state(purpose).clone()
    }

    /// The state that checks what key `id` signed for `purpose`, ready to take a message.
    pub(crate) fn checker(&self, id: KeyId, purpose: Purpose) -> Result<Hmac<Sha256>, Refusal> {
        std::iter::once(&self.current)
            .chain(&self.older)
            .find(|key| key.id == id)
            .map(|key| key.state(purpose).clone())
            .ok_or(Refusal::UnknownKey)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<KeyId> = self.older.iter().map(|key| key.id).collect();
        f.debug_struct("KeyRing").field("current", &self.current.id).field("older", &older).finish_non_exhaustive()
    }
}

/// Why a [`KeyRing`] or a subkey could not be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyRingError {
    /// Two keys have this number, so a token could not say which one signed it.
    DuplicateId(KeyId),
    /// The hash function refused the key. HMAC takes keys of every length (RFC 2104 §2), so this
    /// does not happen; it is here so that nothing has to panic.
    KeyRefused,
}

impl fmt::Display for KeyRingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId(id) => write!(f, "two signing keys have the number `{id}`; give each key its own"),
            Self::KeyRefused => f.write_str("the hash function refused the signing key"),
        }
    }
}

impl Error for KeyRingError {}

/// What a key is used for. Each purpose signs with a subkey of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    Puzzle,
    Clearance,
    Wait,
    Response,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Puzzle => b"portcullis puzzle 1",
            Self::Clearance => b"portcullis clearance 1",
            Self::Wait => b"portcullis wait 1",
            Self::Response => b"portcullis response 1",
        }
    }
}

#[derive(Clone)]
struct Subkeys {
    id: KeyId,
    puzzle: Hmac<Sha256>,
    clearance: Hmac<Sha256>,
    wait: Hmac<Sha256>,
    response: Hmac<Sha256>,
}

impl Subkeys {
    fn derive(key: &SigningKey) -> Result<Self, KeyRingError> {
        let subkey = |purpose: Purpose| {
            let mut root = keyed(&key.secret)?;
            root.update(purpose.label());
            keyed(&root.finalize().into_bytes())
        };
        Ok(Self {
            id: key.id,
            puzzle: subkey(Purpose::Puzzle)?,
            clearance: subkey(Purpose::Clearance)?,
            wait: subkey(Purpose::Wait)?,
            response: subkey(Purpose::Response)?,
        })
    }

    const fn state(&self, purpose: Purpose) -> &Hmac<Sha256> {
        match purpose {
            Purpose::Puzzle => &self.puzzle,
            Purpose::Clearance => &self.clearance,
            Purpose::Wait => &self.wait,
            Purpose::Response => &self.response,
        }
    }
}

/// HMAC-SHA256 (RFC 2104) keyed with `secret`.
pub(crate) fn keyed(secret: &[u8]) -> Result<Hmac<Sha256>, KeyRingError> {
    Hmac::new_from_slice(secret).map_err(|_| KeyRingError::KeyRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32, byte: u8) -> SigningKey {
        SigningKey::new(KeyId(id), [byte; 32])
    }

    #[test]
    fn two_keys_of_one_number_are_refused() {
        let error = KeyRing::new(&key(2, 1), &[key(1, 2), key(2, 3)]).unwrap_err();
        assert_eq!(error.to_string(), "two signing keys have the number `2`; give each key its own");
    }

    #[test]
    fn no_secret_is_printed() {
        let ring = KeyRing::new(&key(7, 0xab), &[key(6, 0xcd)]).unwrap();
        let printed = format!("{ring:?} {:?}", key(7, 0xab));
        assert_eq!(printed, "KeyRing { current: KeyId(7), older: [KeyId(6)], .. } SigningKey { id: KeyId(7), .. }");
    }

    #[test]
    fn each_purpose_signs_with_a_subkey_of_its_own() {
        let ring = KeyRing::new(&key(1, 1), &[]).unwrap();
        let tag = |purpose| ring.signer(purpose).chain_update(b"the same message").finalize().into_bytes();
        let root = keyed(&[1; 32]).unwrap().chain_update(b"the same message").finalize().into_bytes();
        let mut tags = vec![root];
        for purpose in [Purpose::Puzzle, Purpose::Clearance, Purpose::Wait, Purpose::Response] {
            assert!(!tags.contains(&tag(purpose)), "{purpose:?}");
            tags.push(tag(purpose));
        }
    }
}
