//! How much work a puzzle asks for.

use std::error::Error;
use std::fmt;

use crate::memory::{MAX_MEMORY_COUNT, MemoryCost};

/// The function that the work is done with. The number is what a token carries.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Many small searches for a SHA-256 hash (FIPS 180-4) with leading zero bits.
    Sha256,
    /// The same, and then a few searches for an Argon2id hash (RFC 9106) with leading zero bits.
    Argon2id,
}

impl Algorithm {
    /// The name in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Argon2id => "argon2id",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Argon2id => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Sha256),
            2 => Some(Self::Argon2id),
            _ => None,
        }
    }
}

/// How much work a puzzle asks for: so many parts, each of so many leading zero bits.
///
/// Many small parts and not one large one: the time of the whole is then nearly the same for
/// everyone (its spread is `1/√count` of it), and progress is steady and can be shown.
///
/// The work is `count × 2^difficulty_bits` hashes in the mean.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Strength {
    difficulty_bits: u8,
    count: u16,
}

impl Strength {
    /// 60 parts of 3 hexadecimal zeros: a quarter of a million hashes, a fraction of a second.
    pub const RELAXED: Self = Self { difficulty_bits: 12, count: 60 };
    /// 80 parts of 4 hexadecimal zeros: 5.2 million hashes, one to four seconds.
    pub const BALANCED: Self = Self { difficulty_bits: 16, count: 80 };
    /// 120 parts of 5 hexadecimal zeros: 126 million hashes, a minute or more on two cores.
    pub const STRICT: Self = Self { difficulty_bits: 20, count: 120 };

    /// A strength of `count` parts of `difficulty_bits` leading zero bits each.
    ///
    /// # Errors
    ///
    /// [`StrengthError`] when a number is out of its range, or both together are more work than
    /// [`MAX_EXPECTED_HASHES`].
    pub const fn new(difficulty_bits: u8, count: u16) -> Result<Self, StrengthError> {
        if difficulty_bits < MIN_DIFFICULTY_BITS || difficulty_bits > MAX_DIFFICULTY_BITS {
            return Err(StrengthError::Difficulty(difficulty_bits));
        }
        if count < MIN_COUNT || count > MAX_COUNT {
            return Err(StrengthError::Count(count));
        }
        let strength = Self { difficulty_bits, count };
        if strength.expected_hashes() > MAX_EXPECTED_HASHES {
            return Err(StrengthError::TooMuch(strength.expected_hashes()));
        }
        Ok(strength)
    }

    /// How many leading bits of each part's hash must be zero.
    #[must_use]
    pub const fn difficulty_bits(self) -> u8 {
        self.difficulty_bits
    }

    /// How many parts there are.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.count
    }

    /// How many hashes the whole takes in the mean.
    #[must_use]
    pub const fn expected_hashes(self) -> u64 {
        (self.count as u64) << self.difficulty_bits
    }
}

impl Default for Strength {
    fn default() -> Self {
        Self::BALANCED
    }
}

/// All that a puzzle asks for: hashing, and on the memory-hard rung filling memory as well.
///
/// The hashing of a memory-hard puzzle is its entry fee. A check costs the gateway milliseconds there,
/// and a client that hands in nonsense has paid for them before.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Work {
    hashes: Strength,
    memory: Option<MemoryCost>,
}

impl Work {
    /// Work of `hashes`, and of `memory` where that is asked for: [`MAX_PARTS`] at most.
    #[must_use]
    pub const fn new(hashes: Strength, memory: Option<MemoryCost>) -> Self {
        Self { hashes, memory }
    }

    /// The memory-hard work that is usual: a relaxed puzzle and [`MemoryCost::USUAL`].
    pub const MEMORY_HARD: Self = Self { hashes: Strength::RELAXED, memory: Some(MemoryCost::USUAL) };

    /// The hashing.
    #[must_use]
    pub const fn hashes(self) -> Strength {
        self.hashes
    }

    /// The memory-hard part.
    #[must_use]
    pub const fn memory(self) -> Option<MemoryCost> {
        self.memory
    }

    /// The name of the whole.
    #[must_use]
    pub const fn algorithm(self) -> Algorithm {
        if self.memory.is_some() { Algorithm::Argon2id } else { Algorithm::Sha256 }
    }
}

impl From<Strength> for Work {
    fn from(hashes: Strength) -> Self {
        Self { hashes, memory: None }
    }
}

/// Why a [`Strength`] is not one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StrengthError {
    /// The difficulty is out of range.
    Difficulty(u8),
    /// The number of parts is out of range.
    Count(u16),
    /// Both are in range, and together they ask for this many hashes.
    TooMuch(u64),
}

impl fmt::Display for StrengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Difficulty(bits) => write!(
                f,
                "expected a difficulty of {MIN_DIFFICULTY_BITS} to {MAX_DIFFICULTY_BITS} bits, but found {bits}"
            ),
            Self::Count(count) => write!(f, "expected {MIN_COUNT} to {MAX_COUNT} parts, but found {count}"),
            Self::TooMuch(hashes) => write!(
                f,
                "expected at most {MAX_EXPECTED_HASHES} hashes in all, but found {hashes}; lower the difficulty or the number of parts"
            ),
        }
    }
}

impl Error for StrengthError {}

/// The least difficulty. Zero bits would be solved by every nonce, that is, by no work.
pub const MIN_DIFFICULTY_BITS: u8 = 1;
/// The greatest difficulty. A nonce has 32 bits; at 24 bits the chance that none of them solves a
/// part is e^-256, and one part already takes a phone the better part of a minute.
pub const MAX_DIFFICULTY_BITS: u8 = 24;
/// The least number of parts.
pub const MIN_COUNT: u16 = 1;
/// The greatest number of parts. Checking costs one hash a part, so this bounds what a false
/// solution can cost the gateway: some 15 µs.
pub const MAX_COUNT: u16 = 256;
/// The most parts of one puzzle: those that are hashed, and those that take memory.
pub const MAX_PARTS: usize = MAX_COUNT as usize + MAX_MEMORY_COUNT as usize;
/// The greatest work that may be asked for: 2^28 hashes, some two minutes for a good laptop. More
/// than that is a "no" that does not say so.
pub const MAX_EXPECTED_HASHES: u64 = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_in_range() {
        for preset in [Strength::RELAXED, Strength::BALANCED, Strength::STRICT] {
            assert_eq!(Strength::new(preset.difficulty_bits, preset.count), Ok(preset));
        }
    }

    #[test]
    fn a_strength_out_of_range_is_refused() {
        for (bits, count, error) in [
            (0, 80, "expected a difficulty of 1 to 24 bits, but found 0"),
            (25, 80, "expected a difficulty of 1 to 24 bits, but found 25"),
            (255, 80, "expected a difficulty of 1 to 24 bits, but found 255"),
            (16, 0, "expected 1 to 256 parts, but found 0"),
            (16, 257, "expected 1 to 256 parts, but found 257"),
            (
                24,
                80,
                "expected at most 268435456 hashes in all, but found 1342177280; lower the difficulty or the number of parts",
            ),
        ] {
            assert_eq!(Strength::new(bits, count).unwrap_err().to_string(), error, "{bits} bits, {count} parts");
        }
    }
}
