//! The keys that sign clearances, and how they are replaced while clients hold what the old ones signed.

use std::path::Path;

use portcullis_challenge::{KeyId, KeyRing, KeyRingError, SigningKey};
use sha2::{Digest, Sha256};

use crate::settings::{Secret, SecretError, read_secrets};

/// The keys of clearances: the first signs, and what any of them signed is believed.
#[derive(Clone, Debug)]
pub struct ClearanceKeys {
    keys: Vec<SigningKey>,
    ring: KeyRing,
}

/// The most keys that are believed at once: that many replacements within the life of a clearance.
const MOST_KEYS: usize = 8;

impl ClearanceKeys {
    /// One key, for this process.
    ///
    /// # Errors
    ///
    /// Where the hash function refuses the key.
    pub fn of(secret: [u8; 32]) -> Result<Self, KeyRingError> {
        Self::made(vec![signing_key(secret)])
    }

    /// The keys of a file, one a line: the first signs.
    ///
    /// # Errors
    ///
    /// As of [`read_secrets`]; keys that are there are never refused.
    pub fn read(path: &Path) -> Result<Result<Self, KeyRingError>, SecretError> {
        // A line may hold more than the 32 bytes of a key; all of them count.
        let key = |secret: &Secret| signing_key(Sha256::digest(secret.bytes()).into());
        read_secrets(path).map(|secrets| Self::made(secrets.iter().map(key).collect()))
    }

    /// These keys in place of `before`, whose keys are still believed: who holds what they signed keeps it.
    ///
    /// # Errors
    ///
    /// Where the hash function refuses a key.
    pub fn after(self, before: &Self) -> Result<Self, KeyRingError> {
        Self::made(self.keys.into_iter().chain(before.keys.iter().cloned()).collect())
    }

    /// The ring of them.
    pub const fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Whether these are the same keys in the same order as those of `other`, as far as these go.
    pub fn begins(&self, other: &Self) -> bool {
        let ids = |keys: &Self| keys.keys.iter().map(SigningKey::id).collect::<Vec<_>>();
        ids(other).starts_with(&ids(self))
    }

    fn made(all: Vec<SigningKey>) -> Result<Self, KeyRingError> {
        let mut keys: Vec<SigningKey> = Vec::with_capacity(all.len());
        for key in all {
            if keys.len() < MOST_KEYS && keys.iter().all(|known| known.id() != key.id()) {
                keys.push(key);
            }
        }
        let (first, older) = keys.split_first().ok_or(KeyRingError::KeyRefused)?;
        let ring = KeyRing::new(first, older)?;
        Ok(Self { keys, ring })
    }
}

/// A key whose number changes with it and does not tell of it.
pub(crate) fn signing_key(secret: [u8; 32]) -> SigningKey {
    let number = Sha256::new().chain_update(b"portcullis challenge key number").chain_update(secret).finalize();
    let number = number.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    SigningKey::new(KeyId(number), secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(keys: &ClearanceKeys) -> Vec<u32> {
        keys.keys.iter().map(|key| key.id().0).collect()
    }

    #[test]
    fn a_new_key_signs_and_the_ones_before_are_still_believed() {
        let keys: Vec<_> = (0..10).map(|n| ClearanceKeys::of([n; 32]).unwrap()).collect();
        let mut running = keys[0].clone();
        for key in &keys[1..] {
            running = key.clone().after(&running).unwrap();
            assert_eq!(running.ring().current_id(), key.ring().current_id());
        }
        assert_eq!(running.keys.len(), MOST_KEYS, "the oldest is let go");
        assert_eq!(ids(&running)[1], ids(&keys[8])[0]);
        let back = keys[8].clone().after(&running).unwrap();
        assert_eq!((ids(&back)[0], ids(&back)[1]), (ids(&keys[8])[0], ids(&keys[9])[0]), "an old one signs again");
        assert_eq!(back.keys.len(), MOST_KEYS, "and stands in the ring once");
    }

    #[test]
    fn what_is_in_force_is_known_again() {
        let [a, b] = [1, 2].map(|n| ClearanceKeys::of([n; 32]).unwrap());
        let running = b.clone().after(&a).unwrap();
        assert!(b.begins(&running) && !a.begins(&running));
    }
}
