//! Clearances: proof that a client got through a challenge.

use std::time::Duration;

use crate::binding::{Binding, BindingDigest};
use crate::keys::{KeyRing, Purpose};
use crate::puzzle::in_time;
use crate::refusal::Refusal;
use crate::solution::Solved;
use crate::strength::Strength;
use crate::time::UnixMillis;
use crate::token::{self, Fields, Payload};

/// The rung of the ladder that a client reached. A higher one is worth more.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Level {
    /// Checks that the client did not notice.
    Transparent,
    /// A wait that the gateway timed, or a button, without a script.
    NoScript,
    /// Proof of work by hashing.
    ProofOfWork,
    /// Proof of work that takes memory as well.
    MemoryHard,
    /// A sign-in at an identity provider.
    StepUp,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 5] = [Self::Transparent, Self::NoScript, Self::ProofOfWork, Self::MemoryHard, Self::StepUp];

    /// The stable name, for audit lines and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transparent => "transparent",
            Self::NoScript => "no-script",
            Self::ProofOfWork => "proof-of-work",
            Self::MemoryHard => "memory-hard",
            Self::StepUp => "step-up",
        }
    }

    /// What a token carries. Ten apart, so that a rung can be put in between.
    const fn code(self) -> u8 {
        match self {
            Self::Transparent => 10,
            Self::NoScript => 20,
            Self::ProofOfWork => 30,
            Self::MemoryHard => 40,
            Self::StepUp => 50,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }
}

/// What a verified clearance says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clearance {
    /// The random bytes that name it, for revocation and budgets.
    pub id: [u8; 16],
    /// The rung that was reached.
    pub level: Level,
    /// The work that was done for it; none where it was granted for something else.
    pub work: Option<Strength>,
    /// When it was granted.
    pub issued_at: UnixMillis,
    /// The first moment at which it is no longer good.
    pub expires_at: UnixMillis,
}

impl Clearance {
    /// Signs the clearance for a redeemed puzzle and returns the value of its cookie: letters, digits,
    /// `-` and `_` only.
    ///
    /// Level, work, time and lifetime are those of `solved`: nothing of the request that redeems
    /// can change what the work was worth. `id` is 16 fresh random bytes.
    #[must_use]
    pub fn for_work(ring: &KeyRing, id: [u8; 16], solved: &Solved, binding: &Binding<'_>) -> String {
        let now = solved.redeemed_at;
        Self {
            id,
            level: solved.level,
            work: Some(solved.strength),
            issued_at: now,
            expires_at: now.after(solved.clearance_ttl.min(MAX_CLEARANCE_TTL)),
        }
        .seal(ring, binding)
    }

    /// Signs a clearance for which no work was done, otherwise as [`for_work`](Self::for_work).
    ///
    /// `id` is 16 fresh random bytes. `ttl` is at most [`MAX_CLEARANCE_TTL`].
    #[must_use]
    pub fn issue(
        ring: &KeyRing,
        id: [u8; 16],
        level: Level,
        binding: &Binding<'_>,
        now: UnixMillis,
        ttl: Duration,
    ) -> String {
        Self { id, level, work: None, issued_at: now, expires_at: now.after(ttl.min(MAX_CLEARANCE_TTL)) }
            .seal(ring, binding)
    }

    fn seal(self, ring: &KeyRing, binding: &Binding<'_>) -> String {
        token::seal(ring, &ClearancePayload { clearance: self, binding: binding.digest() }).0
    }

    /// Whether at least as much work was done for it as `asked`, by hashes in the mean.
    ///
    /// Who granted it asked for the work of one route; a route that asks for more is not opened by it.
    #[must_use]
    pub fn covers(&self, asked: Strength) -> bool {
        self.work.is_some_and(|work| work.expected_hashes() >= asked.expected_hashes())
    }

    /// Checks the value of a clearance cookie. No table is touched and nothing is allocated.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] of the first step that did not hold: form, code, time, binding.
    pub fn verify(ring: &KeyRing, value: &str, binding: &Binding<'_>, now: UnixMillis) -> Result<Self, Refusal> {
        let (payload, _) = token::open::<ClearancePayload>(ring, value)?;
        in_time(payload.clearance.issued_at, payload.clearance.expires_at, now)?;
        if !payload.binding.matches(&binding.digest()) {
            return Err(Refusal::OtherBinding);
        }
        Ok(payload.clearance)
    }
}

/// The longest time that a clearance may be good for; a longer one is cut to it. A clearance is a
/// bearer token, and a day is long enough to copy one.
pub const MAX_CLEARANCE_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Difficulty and number of parts, as a puzzle's token carries them.
const WORK_BYTES: usize = 1 + 2;
/// No strength has a difficulty or a number of parts of zero, so this one is free.
const NO_WORK: (u8, u16) = (0, 0);

#[derive(Clone, Copy, Debug)]
pub(crate) struct ClearancePayload {
    clearance: Clearance,
    binding: BindingDigest,
}

impl Payload for ClearancePayload {
    const PURPOSE: Purpose = Purpose::Clearance;
    const BYTES: usize = 16 + 1 + WORK_BYTES + 8 + 8 + BindingDigest::BYTES;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.clearance.id);
        out.push(self.clearance.level.code());
        let (bits, count) = self.clearance.work.map_or(NO_WORK, |work| (work.difficulty_bits(), work.count()));
        out.push(bits);
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&self.clearance.issued_at.0.to_be_bytes());
        out.extend_from_slice(&self.clearance.expires_at.0.to_be_bytes());
        out.extend_from_slice(&self.binding.0);
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields.take()?;
        let level = Level::from_code(fields.byte()?)?;
        let work = match (fields.byte()?, u16::from_be_bytes(fields.take()?)) {
            NO_WORK => None,
            (bits, count) => Some(Strength::new(bits, count).ok()?),
        };
        let issued_at = UnixMillis(u64::from_be_bytes(fields.take()?));
        let expires_at = UnixMillis(u64::from_be_bytes(fields.take()?));
        let clearance = Clearance { id, level, work, issued_at, expires_at };
        Some(Self { clearance, binding: BindingDigest(fields.take()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_read_back() {
        assert!(Level::ALL.is_sorted());
        for level in Level::ALL {
            assert_eq!(Level::from_code(level.code()), Some(level));
        }
        assert_eq!(Level::from_code(0), None);
    }
}
