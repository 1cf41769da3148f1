//! Puzzles: work that is asked for, and the token that proves what was asked.

use std::time::Duration;

use crate::binding::{Binding, BindingDigest};
use crate::clearance::Level;
use crate::keys::{KeyRing, Purpose};
use crate::refusal::Refusal;
use crate::strength::{Algorithm, Strength};
use crate::time::{CLOCK_SKEW, UnixMillis};
use crate::token::{self, Fields, Payload};
use crate::work::Seed;

/// One puzzle, as it is shown to a client.
///
/// The gateway keeps nothing of it: all that is needed to check a solution comes back in the token.
#[derive(Clone, Debug)]
pub struct Puzzle {
    token: String,
    seed: Seed,
    payload: PuzzlePayload,
}

impl Puzzle {
    /// Makes a puzzle for the client that `binding` describes.
    ///
    /// `id` is 16 fresh random bytes: single use hangs on no two puzzles sharing one. `ttl` is the
    /// time to solve it in, from `now`, at most [`MAX_PUZZLE_TTL`].
    #[must_use]
    pub fn issue(
        ring: &KeyRing,
        id: [u8; 16],
        strength: Strength,
        binding: &Binding<'_>,
        now: UnixMillis,
        ttl: Duration,
    ) -> Self {
        let payload = PuzzlePayload {
            id,
            algorithm: Algorithm::Sha256,
            strength,
            issued_at: now,
            expires_at: now.after(ttl.min(MAX_PUZZLE_TTL)),
            binding: binding.digest(),
        };
        let (token, tag) = token::seal(ring, &payload);
        Self { token, seed: Seed(tag), payload }
    }

    /// The signed token, which a solution must carry. Letters, digits, `-` and `_` only.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What the parts are made from.
    #[must_use]
    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// The random bytes that name this puzzle, for audit lines.
    #[must_use]
    pub const fn id(&self) -> [u8; 16] {
        self.payload.id
    }

    /// The function to work with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.payload.algorithm
    }

    /// How much work it is.
    #[must_use]
    pub const fn strength(&self) -> Strength {
        self.payload.strength
    }

    /// The first moment at which a solution comes too late.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.payload.expires_at
    }
}

/// The longest time that a puzzle may be open; a longer one is cut to it.
///
/// It bounds how long a solution can be hoarded and how long the spent set must remember it. The
/// strictest preset takes an old phone some ten minutes.
pub const MAX_PUZZLE_TTL: Duration = Duration::from_secs(30 * 60);

/// What a puzzle's token says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PuzzlePayload {
    pub(crate) id: [u8; 16],
    pub(crate) algorithm: Algorithm,
    pub(crate) strength: Strength,
    pub(crate) issued_at: UnixMillis,
    pub(crate) expires_at: UnixMillis,
    pub(crate) binding: BindingDigest,
}

impl PuzzlePayload {
    /// The rung that a solution of this puzzle reaches.
    pub(crate) const fn level(&self) -> Level {
        match self.algorithm {
            Algorithm::Sha256 => Level::ProofOfWork,
        }
    }
}

impl Payload for PuzzlePayload {
    const PURPOSE: Purpose = Purpose::Puzzle;
    const BYTES: usize = 16 + 1 + 1 + 2 + 8 + 8 + BindingDigest::BYTES;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id);
        out.push(self.algorithm.code());
        out.push(self.strength.difficulty_bits());
        out.extend_from_slice(&self.strength.count().to_be_bytes());
        out.extend_from_slice(&self.issued_at.0.to_be_bytes());
        out.extend_from_slice(&self.expires_at.0.to_be_bytes());
        out.extend_from_slice(&self.binding.0);
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            id: fields.take()?,
            algorithm: Algorithm::from_code(fields.byte()?)?,
            // Checked again although signed: a puzzle without work must not exist in any build.
            strength: Strength::new(fields.byte()?, u16::from_be_bytes(fields.take()?)).ok()?,
            issued_at: UnixMillis(u64::from_be_bytes(fields.take()?)),
            expires_at: UnixMillis(u64::from_be_bytes(fields.take()?)),
            binding: BindingDigest(fields.take()?),
        })
    }
}

/// Refuses a token outside of its time: `expires_at` itself is already too late.
pub(crate) fn in_time(issued_at: UnixMillis, expires_at: UnixMillis, now: UnixMillis) -> Result<(), Refusal> {
    if now >= expires_at {
        Err(Refusal::Expired)
    } else if issued_at > now.after(CLOCK_SKEW) {
        Err(Refusal::NotYetValid)
    } else {
        Ok(())
    }
}
