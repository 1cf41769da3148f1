//! Work that takes memory: Argon2id (RFC 9106).
//!
//! A farm hashes SHA-256 on hardware that is a thousand times faster than a page's script; memory
//! it has to buy as everybody does.

use std::error::Error;
use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::work::Seed;

/// How much memory-hard work a puzzle asks for: so many parts, each of so many leading zero bits of
/// an Argon2id hash.
///
/// The client fills the memory `count × 2^difficulty_bits` times in the mean, the gateway `count`
/// times to check it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct MemoryCost {
    mebibytes: u8,
    passes: u8,
    count: u8,
    difficulty_bits: u8,
}

impl MemoryCost {
    /// Two parts of 8 MiB, filled 128 times in the mean: a third of a second of one core in native code;
    /// the gateway pays some 5 ms.
    pub const USUAL: Self = Self { mebibytes: 8, passes: 1, count: 2, difficulty_bits: 6 };

    /// A cost of `count` parts, each of `difficulty_bits` leading zero bits of Argon2id over
    /// `mebibytes` MiB in `passes` passes and one lane.
    ///
    /// # Errors
    ///
    /// [`MemoryCostError`] when a number is out of its range, or the whole is past
    /// [`MAX_CHECKED_MEBIBYTES`] or [`MAX_FILLED_MEBIBYTES`].
    pub const fn new(mebibytes: u8, passes: u8, count: u8, difficulty_bits: u8) -> Result<Self, MemoryCostError> {
        if mebibytes == 0 || mebibytes > MAX_MEBIBYTES {
            return Err(MemoryCostError::Mebibytes(mebibytes));
        }
        if passes == 0 || passes > MAX_PASSES {
            return Err(MemoryCostError::Passes(passes));
        }
        if count == 0 || count > MAX_MEMORY_COUNT {
            return Err(MemoryCostError::Count(count));
        }
        if difficulty_bits == 0 || difficulty_bits > MAX_MEMORY_BITS {
            return Err(MemoryCostError::Difficulty(difficulty_bits));
        }
        let cost = Self { mebibytes, passes, count, difficulty_bits };
        if cost.checked_mebibytes() > MAX_CHECKED_MEBIBYTES {
            return Err(MemoryCostError::Checked(cost.checked_mebibytes()));
        }
        if cost.filled_mebibytes() > MAX_FILLED_MEBIBYTES {
            return Err(MemoryCostError::Filled(cost.filled_mebibytes()));
        }
        Ok(cost)
    }

    /// The memory of one hash, in MiB.
    #[must_use]
    pub const fn mebibytes(self) -> u8 {
        self.mebibytes
    }

    /// How often each hash goes over its memory.
    #[must_use]
    pub const fn passes(self) -> u8 {
        self.passes
    }

    /// How many parts there are.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.count
    }

    /// How many leading bits of each part's hash must be zero.
    #[must_use]
    pub const fn difficulty_bits(self) -> u8 {
        self.difficulty_bits
    }

    /// What is filled to check a solution, in MiB.
    #[must_use]
    pub const fn checked_mebibytes(self) -> u32 {
        self.mebibytes as u32 * self.passes as u32 * self.count as u32
    }

    /// What is filled to find a solution in the mean, in MiB.
    #[must_use]
    pub const fn filled_mebibytes(self) -> u32 {
        self.checked_mebibytes() << self.difficulty_bits
    }

    pub(crate) const fn to_bytes(self) -> [u8; Self::BYTES] {
        [self.mebibytes, self.passes, self.count, self.difficulty_bits]
    }

    /// Zeros are no cost at all; `None` is none that this gateway writes.
    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Option<Self>> {
        match bytes {
            [0, 0, 0, 0] => Some(None),
            [mebibytes, passes, count, bits] => Self::new(mebibytes, passes, count, bits).ok().map(Some),
        }
    }

    pub(crate) const BYTES: usize = 4;
}

/// Why a [`MemoryCost`] is not one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemoryCostError {
    /// The memory is out of range.
    Mebibytes(u8),
    /// The number of passes is out of range.
    Passes(u8),
    /// The number of parts is out of range.
    Count(u8),
    /// The difficulty is out of range.
    Difficulty(u8),
    /// All are in range, and together they cost this many MiB to check.
    Checked(u32),
    /// All are in range, and together they cost this many MiB to solve.
    Filled(u32),
}

impl fmt::Display for MemoryCostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mebibytes(found) => write!(f, "expected 1 to {MAX_MEBIBYTES} MiB, but found {found}"),
            Self::Passes(found) => write!(f, "expected 1 to {MAX_PASSES} passes, but found {found}"),
            Self::Count(found) => write!(f, "expected 1 to {MAX_MEMORY_COUNT} parts, but found {found}"),
            Self::Difficulty(found) => {
                write!(f, "expected a difficulty of 1 to {MAX_MEMORY_BITS} bits, but found {found}")
            }
            Self::Checked(found) => write!(
                f,
                "expected at most {MAX_CHECKED_MEBIBYTES} MiB to be filled by the check, but found {found}; lower the memory, the passes or the number of parts"
            ),
            Self::Filled(found) => write!(
                f,
                "expected at most {MAX_FILLED_MEBIBYTES} MiB to be filled by the client, but found {found}; lower the difficulty"
            ),
        }
    }
}

impl Error for MemoryCostError {}

/// The memory that hashes are made in, to be used again: it is the largest thing that a check needs.
///
/// Where it lives bounds how many checks run at once, and with that the gateway's memory and time:
/// one for each check that may.
pub struct Scratch(Vec<Block>);

impl Scratch {
    /// Memory for every cost up to that of `cost`; one for a larger cost grows it.
    #[must_use]
    pub fn new(cost: MemoryCost) -> Self {
        Self(vec![Block::new(); blocks(cost)])
    }

    /// Finds the nonces of all parts, one after the other, on this thread: what a client does.
    #[must_use]
    pub fn solve(&mut self, seed: &Seed, cost: MemoryCost) -> Vec<u32> {
        (0..cost.count)
            .map(|part| (0..=u32::MAX).find(|&nonce| self.holds(seed, cost, part, nonce)).unwrap_or(u32::MAX))
            .collect()
    }

    /// Whether `nonce` solves `part`.
    pub(crate) fn holds(&mut self, seed: &Seed, cost: MemoryCost, part: u8, nonce: u32) -> bool {
        let mut hash = [0; 32];
        // Out of range it cannot be; an error solves nothing.
        self.hash(seed, cost, part, nonce, &mut hash).is_ok()
            && u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]).leading_zeros()
                >= u32::from(cost.difficulty_bits)
    }

    fn hash(&mut self, seed: &Seed, cost: MemoryCost, part: u8, nonce: u32, out: &mut [u8; 32]) -> argon2::Result<()> {
        let needed = blocks(cost);
        if self.0.len() < needed {
            self.0.resize(needed, Block::new());
        }
        let kibibytes = u32::from(cost.mebibytes) * 1024;
        let params = Params::new(kibibytes, u32::from(cost.passes), 1, Some(out.len()))?;
        let mut message = [0; 8];
        message[..4].copy_from_slice(&u32::from(part).to_be_bytes());
        message[4..].copy_from_slice(&nonce.to_be_bytes());
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
            &message,
            &seed.0,
            out,
            self.0.get_mut(..needed).unwrap_or_default(),
        )
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("kibibytes", &self.0.len()).finish()
    }
}

/// The 1 KiB blocks of one hash.
fn blocks(cost: MemoryCost) -> usize {
    usize::from(cost.mebibytes) * 1024
}

/// The most memory of one hash: what a phone's browser gives a page without complaint.
pub const MAX_MEBIBYTES: u8 = 64;
/// The most passes over it.
pub const MAX_PASSES: u8 = 4;
/// The most memory-hard parts.
pub const MAX_MEMORY_COUNT: u8 = 16;
/// The greatest difficulty of a memory-hard part.
pub const MAX_MEMORY_BITS: u8 = 10;
/// The most that checking one solution may fill, in MiB: some 20 ms of one core.
pub const MAX_CHECKED_MEBIBYTES: u32 = 64;
/// The most that solving may fill in the mean, in MiB: some 5 s of one core in native code.
pub const MAX_FILLED_MEBIBYTES: u32 = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_out_of_range_is_refused() {
        assert_eq!(MemoryCost::new(8, 1, 2, 6), Ok(MemoryCost::USUAL));
        for ((mebibytes, passes, count, bits), error) in [
            ((0, 1, 1, 1), "expected 1 to 64 MiB, but found 0"),
            ((65, 1, 1, 1), "expected 1 to 64 MiB, but found 65"),
            ((1, 0, 1, 1), "expected 1 to 4 passes, but found 0"),
            ((1, 5, 1, 1), "expected 1 to 4 passes, but found 5"),
            ((1, 1, 0, 1), "expected 1 to 16 parts, but found 0"),
            ((1, 1, 17, 1), "expected 1 to 16 parts, but found 17"),
            ((1, 1, 1, 0), "expected a difficulty of 1 to 10 bits, but found 0"),
            ((1, 1, 1, 11), "expected a difficulty of 1 to 10 bits, but found 11"),
            (
                (33, 1, 2, 1),
                "expected at most 64 MiB to be filled by the check, but found 66; lower the memory, the passes or the number of parts",
            ),
            (
                (64, 1, 1, 9),
                "expected at most 16384 MiB to be filled by the client, but found 32768; lower the difficulty",
            ),
        ] {
            assert_eq!(MemoryCost::new(mebibytes, passes, count, bits).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_cost_reads_back_and_nothing_else_does() {
        assert_eq!(MemoryCost::from_bytes(MemoryCost::USUAL.to_bytes()), Some(Some(MemoryCost::USUAL)));
        assert_eq!(MemoryCost::from_bytes([0; 4]), Some(None));
        for bytes in [[0, 1, 1, 1], [1, 0, 0, 0], [255; 4]] {
            assert_eq!(MemoryCost::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_found_nonce_solves_its_part_and_smaller_ones_do_not() {
        let cost = MemoryCost::new(1, 1, 2, 2).unwrap();
        let mut scratch = Scratch::new(cost);
        let seed = Seed([9; 32]);
        for (part, nonce) in (0..).zip(scratch.solve(&seed, cost)) {
            assert!(scratch.holds(&seed, cost, part, nonce));
            assert!((0..nonce).all(|smaller| !scratch.holds(&seed, cost, part, smaller)));
        }
    }
}
