//! Waits: the rung for clients that run no script.
//!
//! The page is shown with a token that says from when on it is good; a timed refresh or a form's
//! button brings it back. Waiting costs a person some seconds once. A farm can begin many waits at the
//! same time, so it costs it a connection and a delay for each clearance and no more: a wait stands in
//! for work where there is little doubt, and nowhere else.

use std::time::Duration;

use crate::binding::{Binding, Bound};
use crate::clearance::MAX_CLEARANCE_TTL;
use crate::keys::{KeyRing, Purpose};
use crate::puzzle::{Lifetimes, MAX_PUZZLE_TTL, Millis32, in_time};
use crate::refusal::Refusal;
use crate::spent::SpentSet;
use crate::time::UnixMillis;
use crate::token::{self, Fields, Payload};

/// One wait, as it is shown to a client.
#[derive(Clone, Debug)]
pub struct Wait {
    token: String,
    payload: WaitPayload,
}

impl Wait {
    /// Begins a wait of `span`, within [`MIN_WAIT`] and [`MAX_WAIT`], for the client that `binding`
    /// describes.
    ///
    /// `id` is 16 fresh random bytes. `lifetimes.puzzle` is how long the token is good after the wait:
    /// minutes, as whoever reads slowly must not be late.
    #[must_use]
    pub fn begin(
        ring: &KeyRing,
        id: [u8; 16],
        span: Duration,
        binding: &Binding<'_>,
        now: UnixMillis,
        lifetimes: Lifetimes,
    ) -> Self {
        let not_before = now.after(span.clamp(MIN_WAIT, MAX_WAIT));
        let payload = WaitPayload {
            id,
            issued_at: now,
            not_before,
            not_after: not_before.after(lifetimes.puzzle.min(MAX_PUZZLE_TTL)),
            clearance_ttl: Millis32::of(lifetimes.clearance.min(MAX_CLEARANCE_TTL)),
            bound: binding.bound(),
        };
        Self { token: token::seal(ring, &payload).0, payload }
    }

    /// The signed token, which has to be handed in. Letters, digits, `-` and `_` only.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// How long the client is asked to wait, in whole seconds, rounded up and with one second more:
    /// a client that counts from when it got the page and comes a little early must not begin anew.
    #[must_use]
    pub const fn seconds(&self) -> u64 {
        let span = self.payload.not_before.since(self.payload.issued_at);
        span.as_secs() + if span.subsec_nanos() > 0 { 2 } else { 1 }
    }

    /// The first moment at which the token is good.
    #[must_use]
    pub const fn ready_at(&self) -> UnixMillis {
        self.payload.not_before
    }

    /// The first moment at which it is too late.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.payload.not_after
    }

    /// Checks the text of a token and redeems it: once, and not before its time.
    ///
    /// One that comes too early is used up with that, so that trying costs the wait that was already
    /// waited; the caller begins a new one. `spent` is a set for waits alone: as waits take no work,
    /// they must not take the places of puzzles, which do. When that set is full, a token that comes
    /// too early is refused all the same and may be brought again in its time.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] of the first step that did not hold: form, code, time, binding, single use.
    pub fn redeem(
        ring: &KeyRing,
        text: &str,
        binding: &Binding<'_>,
        now: UnixMillis,
        spent: &SpentSet,
    ) -> Result<Waited, Refusal> {
        let (payload, _) = token::open::<WaitPayload>(ring, text)?;
        in_time(payload.issued_at, payload.not_after, now)?;
        payload.bound.admit(binding)?;
        let once = spent.spend(payload.id, payload.not_after, now).map_err(Refusal::from);
        if now < payload.not_before {
            return Err(Refusal::TooEarly);
        }
        once?;
        Ok(Waited {
            id: payload.id,
            issued_at: payload.issued_at,
            clearance_ttl: payload.clearance_ttl.duration(),
            redeemed_at: now,
        })
    }
}

/// A wait that was waited to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Waited {
    /// The random bytes that name the wait.
    pub id: [u8; 16],
    /// When it began.
    pub issued_at: UnixMillis,
    /// How long the clearance for it is good, as the route that asked for it said.
    pub clearance_ttl: Duration,
    /// When it was handed in.
    pub redeemed_at: UnixMillis,
}

impl Waited {
    /// How long it took from showing the page to handing in.
    #[must_use]
    pub const fn took(&self) -> Duration {
        self.redeemed_at.since(self.issued_at)
    }
}

/// The shortest wait. Less than a second is not told from a slow network.
pub const MIN_WAIT: Duration = Duration::from_secs(1);
/// The longest wait. After that people have left.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitPayload {
    id: [u8; 16],
    issued_at: UnixMillis,
    not_before: UnixMillis,
    not_after: UnixMillis,
    clearance_ttl: Millis32,
    bound: Bound,
}

impl Payload for WaitPayload {
    const PURPOSE: Purpose = Purpose::Wait;
    const BYTES: usize = 16 + 8 + 8 + 8 + 4 + Bound::BYTES;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.issued_at.0.to_be_bytes());
        out.extend_from_slice(&self.not_before.0.to_be_bytes());
        out.extend_from_slice(&self.not_after.0.to_be_bytes());
        self.clearance_ttl.write(out);
        self.bound.write(out);
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            id: fields.take()?,
            issued_at: fields.time()?,
            not_before: fields.time()?,
            not_after: fields.time()?,
            clearance_ttl: Millis32::read(fields)?,
            bound: Bound::read(fields)?,
        })
    }
}
