//! Puzzles: work that is asked for, and the token that proves what was asked.

use std::time::Duration;

use crate::binding::{Binding, Bound};
use crate::clearance::{Level, MAX_CLEARANCE_TTL};
use crate::keys::{KeyRing, Purpose};
use crate::memory::MemoryCost;
use crate::refusal::Refusal;
use crate::strength::{Algorithm, Strength, Work};
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
    /// `id` is 16 fresh random bytes: single use hangs on no two puzzles sharing one. `lifetimes`
    /// begin at `now` for the puzzle, and when it is redeemed for the clearance.
    ///
    /// `ring` is best one that no other process and no later one has: what was redeemed is known to
    /// one [`SpentSet`](crate::SpentSet) only, and where that is empty again every puzzle that was
    /// signed with a kept key could be redeemed again.
    #[must_use]
    pub fn issue(
        ring: &KeyRing,
        id: [u8; 16],
        work: impl Into<Work>,
        binding: &Binding<'_>,
        now: UnixMillis,
        lifetimes: impl Into<Lifetimes>,
    ) -> Self {
        let lifetimes = lifetimes.into();
        let payload = PuzzlePayload {
            id,
            work: work.into(),
            issued_at: now,
            expires_at: now.after(lifetimes.puzzle.min(MAX_PUZZLE_TTL)),
            clearance_ttl: Millis32::of(lifetimes.clearance.min(MAX_CLEARANCE_TTL)),
            bound: binding.bound(),
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
        self.payload.work.algorithm()
    }

    /// How much hashing it is; of a memory-hard puzzle the part that comes first.
    #[must_use]
    pub const fn strength(&self) -> Strength {
        self.payload.work.hashes()
    }

    /// How much memory-hard work it is beside that.
    #[must_use]
    pub const fn memory(&self) -> Option<MemoryCost> {
        self.payload.work.memory()
    }

    /// The first moment at which a solution comes too late.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.payload.expires_at
    }
}

/// How long a puzzle and the clearance for it are good.
///
/// The clearance's is signed into the puzzle: the route that asked for the work says what it is
/// worth, not the path that the solution is posted to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetimes {
    /// The time to solve the puzzle in, at most [`MAX_PUZZLE_TTL`].
    pub puzzle: Duration,
    /// The time that the clearance is good for, at most [`MAX_CLEARANCE_TTL`].
    pub clearance: Duration,
}

/// A clearance that is good for as long as there was time to solve the puzzle.
impl From<Duration> for Lifetimes {
    fn from(both: Duration) -> Self {
        Self { puzzle: both, clearance: both }
    }
}

/// The longest time that a puzzle may be open; a longer one is cut to it.
///
/// It bounds how long a solution can be hoarded and how long the spent set must remember it. The
/// strictest preset takes an old phone some ten minutes.
pub const MAX_PUZZLE_TTL: Duration = Duration::from_secs(30 * 60);

/// A span in whole milliseconds, as a token carries it: up to 49 days, far past every bound here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Millis32(u32);

impl Millis32 {
    pub(crate) fn of(span: Duration) -> Self {
        Self(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.0.into())
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.take().map(|bytes| Self(u32::from_be_bytes(bytes)))
    }
}

/// What a puzzle's token says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PuzzlePayload {
    pub(crate) id: [u8; 16],
    pub(crate) work: Work,
    pub(crate) issued_at: UnixMillis,
    pub(crate) expires_at: UnixMillis,
    pub(crate) clearance_ttl: Millis32,
    pub(crate) bound: Bound,
}

impl PuzzlePayload {
    /// The rung that a solution of this puzzle reaches.
    pub(crate) const fn level(&self) -> Level {
        match self.work.algorithm() {
            Algorithm::Sha256 => Level::ProofOfWork,
            Algorithm::Argon2id => Level::MemoryHard,
        }
    }
}

impl Payload for PuzzlePayload {
    const PURPOSE: Purpose = Purpose::Puzzle;
    const BYTES: usize = 16 + 1 + 1 + 2 + MemoryCost::BYTES + 8 + 8 + 4 + Bound::BYTES;

    fn write(&self, out: &mut Vec<u8>) {
        let hashes = self.work.hashes();
        out.extend_from_slice(&self.id);
        out.push(self.work.algorithm().code());
        out.push(hashes.difficulty_bits());
        out.extend_from_slice(&hashes.count().to_be_bytes());
        out.extend_from_slice(&self.work.memory().map_or([0; MemoryCost::BYTES], MemoryCost::to_bytes));
        out.extend_from_slice(&self.issued_at.0.to_be_bytes());
        out.extend_from_slice(&self.expires_at.0.to_be_bytes());
        self.clearance_ttl.write(out);
        self.bound.write(out);
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields.take()?;
        let algorithm = Algorithm::from_code(fields.byte()?)?;
        // Checked again although signed: a puzzle without work must not exist in any build.
        let hashes = Strength::new(fields.byte()?, u16::from_be_bytes(fields.take()?)).ok()?;
        let work = Work::new(hashes, MemoryCost::from_bytes(fields.take()?)?);
        if work.algorithm() != algorithm {
            return None;
        }
        Some(Self {
            id,
            work,
            issued_at: fields.time()?,
            expires_at: fields.time()?,
            clearance_ttl: Millis32::read(fields)?,
            bound: Bound::read(fields)?,
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
