//! Clearances: proof that a client got through a challenge.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::binding::{Binding, Bound};
use crate::evidence::Signals;
use crate::keys::{KeyRing, Purpose};
use crate::network::Move;
use crate::puzzle::in_time;
use crate::refusal::Refusal;
use crate::revocation::Cohort;
use crate::solution::Solved;
use crate::strength::Strength;
use crate::time::UnixMillis;
use crate::token::{self, Fields, Payload};
use crate::wait::Waited;

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
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Transparent => 10,
            Self::NoScript => 20,
            Self::ProofOfWork => 30,
            Self::MemoryHard => 40,
            Self::StepUp => 50,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }
}

/// What a verified clearance says. Only [`Clearance::verify`] makes one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Clearance {
    /// What names it, for revocation and budgets: random bytes, or made of those of the one that it was renewed from.
    pub id: [u8; 16],
    /// The rung that was reached.
    pub level: Level,
    /// The hashing that was done for it; none where it was granted for something else.
    pub work: Option<Strength>,
    /// The kind of client that it was granted to, to be taken back together.
    pub cohort: Cohort,
    /// When the first of its line was granted; renewing keeps it.
    pub granted_at: UnixMillis,
    /// When this one was signed.
    pub issued_at: UnixMillis,
    /// The first moment at which it is no longer good.
    pub expires_at: UnixMillis,
    /// How far its holder has moved since it was signed.
    pub moved: Move,
    /// What the evidence showed that came with the work of its line. It adds risk to all that the holder
    /// does with it, or nothing.
    pub findings: Signals,
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
        let expires_at = now.after(solved.clearance_ttl.min(MAX_CLEARANCE_TTL));
        let terms = Terms {
            id,
            level: solved.level,
            work: Some(solved.work.hashes()),
            granted_at: now,
            issued_at: now,
            expires_at,
            findings: solved.findings,
        };
        terms.seal(ring, binding, Cohort::of(binding))
    }

    /// Signs the clearance for a wait that was waited, otherwise as [`for_work`](Self::for_work).
    #[must_use]
    pub fn for_wait(ring: &KeyRing, id: [u8; 16], waited: &Waited, binding: &Binding<'_>) -> String {
        Self::issue(ring, id, Level::NoScript, binding, waited.redeemed_at, waited.clearance_ttl)
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
        let expires_at = now.after(ttl.min(MAX_CLEARANCE_TTL));
        let findings = Signals::default();
        Terms { id, level, work: None, granted_at: now, issued_at: now, expires_at, findings }.seal(
            ring,
            binding,
            Cohort::of(binding),
        )
    }

    /// Signs the successor of this clearance, before it expires, for a puzzle that was solved in the
    /// background.
    ///
    /// The work may be less than was done at first, down to one [`RENEWAL_DISCOUNT`]th of it; the
    /// successor is then worth what this one is. What it gains in time ends [`MAX_CLEARANCE_TTL`]
    /// after the first of the line was granted. The cohort stays, so that a line cannot leave a cohort
    /// that may yet be taken back. Time is gained only by one that [is due](Self::is_due), and what it is renewed to has
    /// one name, made of its own, however often that is done: a budget begins anew once in a life, or each piece of the
    /// cheaper work would buy a whole one.
    ///
    /// Where more work was done than this one is worth, the successor is good for as long as this one
    /// even when the new work was for less time.
    ///
    /// `None` when the successor would be worth no more than this one, in work, level or time; the client
    /// then keeps what it has until it expires.
    #[must_use]
    pub fn renew(&self, ring: &KeyRing, solved: &Solved, binding: &Binding<'_>) -> Option<String> {
        let done = solved.work.hashes();
        let known = self.work.filter(|work| work.expected_hashes() > done.expected_hashes()).unwrap_or(done);
        let enough = done.expected_hashes().saturating_mul(RENEWAL_DISCOUNT) >= known.expected_hashes();
        let end = self.granted_at.after(MAX_CLEARANCE_TTL);
        let now = solved.redeemed_at;
        let expires_at = now.after(solved.clearance_ttl).min(end).max(self.expires_at);
        let later = self.is_due(now) && expires_at > self.expires_at;
        // What took no work, or an identity, is not renewed by work.
        let same_kind = matches!(self.level, Level::ProofOfWork | Level::MemoryHard) || solved.level > self.level;
        let more = later || self.work.is_some() && !self.covers(known);
        if !enough || !same_kind || !more {
            return None;
        }
        let terms = Terms {
            id: self.successor(),
            level: self.level.max(solved.level),
            work: Some(known),
            granted_at: self.granted_at,
            issued_at: now,
            expires_at,
            // What was seen once is not forgotten by doing better.
            findings: self.findings.and(solved.findings),
        };
        Some(terms.seal(ring, binding, self.cohort))
    }

    /// The name of what this one is renewed to.
    fn successor(&self) -> [u8; 16] {
        let hash = Sha256::new().chain_update(SUCCESSOR).chain_update(self.id).finalize();
        std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
    }

    /// Whether it is time to renew: the last quarter of its life, and something to be gained.
    #[must_use]
    pub fn is_due(&self, now: UnixMillis) -> bool {
        let life = self.expires_at.since(self.issued_at);
        self.expires_at.since(now) <= life / 4 && self.granted_at.after(MAX_CLEARANCE_TTL) > self.expires_at
    }

    /// Whether at least as much work was done for it as `asked`, by hashes in the mean.
    ///
    /// Who granted it asked for the work of one route; a route that asks for more is not opened by it.
    #[must_use]
    pub fn covers(&self, asked: Strength) -> bool {
        self.work.is_some_and(|work| work.expected_hashes() >= asked.expected_hashes())
    }

    /// Whether it opens a route that asks for the rung `least`, and on the rungs of work for `asked`.
    ///
    /// A higher rung opens what a lower one opens. Where work was done for work, its hashes are compared
    /// too: memory that was filled for a cheap route is less than the hashes of a strict one.
    #[must_use]
    pub fn opens(&self, least: Level, asked: Strength) -> bool {
        let is_work = |level| matches!(level, Level::ProofOfWork | Level::MemoryHard);
        let enough = !is_work(self.level) || !is_work(least) || self.covers(asked);
        self.level >= least && enough
    }

    /// Checks the value of a clearance cookie. No table is touched and nothing is allocated.
    ///
    /// A clearance that holds may still be taken back or used up; ask
    /// [`Revocations`](crate::Revocations) and [`Budgets`](crate::Budgets) after this.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] of the first step that did not hold: form, code, time, binding.
    pub fn verify(ring: &KeyRing, value: &str, binding: &Binding<'_>, now: UnixMillis) -> Result<Self, Refusal> {
        let (payload, _) = token::open::<ClearancePayload>(ring, value)?;
        let Terms { id, level, work, granted_at, issued_at, expires_at, findings } = payload.terms;
        in_time(issued_at, expires_at, now)?;
        let moved = payload.bound.admit(binding)?;
        let cohort = payload.cohort;
        Ok(Self { id, level, work, cohort, granted_at, issued_at, expires_at, moved, findings })
    }
}

/// The longest time that a clearance may be good for, counted from the first of its line; a longer
/// one is cut to it. A clearance is a bearer token, and a day is long enough to copy one.
pub const MAX_CLEARANCE_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// How much less work renewing takes than a clearance that is new. It shall not be felt in the
/// background of a page, and still cost a farm that keeps thousands alive.
pub const RENEWAL_DISCOUNT: u64 = 4;

/// Before the name of a clearance, where that of its successor is made of it.
const SUCCESSOR: &[u8] = b"portcullis clearance successor\0";

/// Difficulty and number of parts, as a puzzle's token carries them.
const WORK_BYTES: usize = 1 + 2;
/// No strength has a difficulty or a number of parts of zero, so this one is free.
const NO_WORK: (u8, u16) = (0, 0);

/// What a clearance grants.
#[derive(Clone, Copy, Debug)]
struct Terms {
    id: [u8; 16],
    level: Level,
    work: Option<Strength>,
    granted_at: UnixMillis,
    issued_at: UnixMillis,
    expires_at: UnixMillis,
    findings: Signals,
}

impl Terms {
    fn seal(self, ring: &KeyRing, binding: &Binding<'_>, cohort: Cohort) -> String {
        token::seal(ring, &ClearancePayload { terms: self, cohort, bound: binding.bound() }).0
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ClearancePayload {
    terms: Terms,
    cohort: Cohort,
    bound: Bound,
}

impl Payload for ClearancePayload {
    const PURPOSE: Purpose = Purpose::Clearance;
    const BYTES: usize = 16 + 1 + WORK_BYTES + 4 + 8 + 8 + 8 + 4 + Bound::BYTES;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.terms.id);
        out.push(self.terms.level.code());
        let (bits, count) = self.terms.work.map_or(NO_WORK, |work| (work.difficulty_bits(), work.count()));
        out.push(bits);
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&self.cohort.0.to_be_bytes());
        out.extend_from_slice(&self.terms.granted_at.0.to_be_bytes());
        out.extend_from_slice(&self.terms.issued_at.0.to_be_bytes());
        out.extend_from_slice(&self.terms.expires_at.0.to_be_bytes());
        out.extend_from_slice(&self.terms.findings.bits().to_be_bytes());
        self.bound.write(out);
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields.take()?;
        let level = Level::from_code(fields.byte()?)?;
        let work = match (fields.byte()?, u16::from_be_bytes(fields.take()?)) {
            NO_WORK => None,
            (bits, count) => Some(Strength::new(bits, count).ok()?),
        };
        let cohort = Cohort(u32::from_be_bytes(fields.take()?));
        let granted_at = fields.time()?;
        let issued_at = fields.time()?;
        let expires_at = fields.time()?;
        let findings = Signals::from_bits(u32::from_be_bytes(fields.take()?));
        let terms = Terms { id, level, work, granted_at, issued_at, expires_at, findings };
        Some(Self { terms, cohort, bound: Bound::read(fields)? })
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
