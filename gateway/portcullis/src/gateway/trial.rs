//! Rules on trial: a share of clients is judged by them first, and what they refuse is counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portcullis_policy::model::{Action, Rollout};
use portcullis_policy::{Cause, Decision};
use portcullis_velocity::KeyHasher;

use super::Gateway;
use super::keys::share_of;
use super::policy::Policy;

/// A policy that a share of clients is judged by.
#[derive(Debug)]
pub struct Trial {
    policy: Arc<Policy>,
    /// In thousandths of all clients.
    share: u16,
}

/// What a policy refused while somebody watched it.
#[derive(Debug, Default)]
pub struct Watch {
    on: AtomicBool,
    requests: AtomicU64,
    refused: AtomicU64,
}

/// How many requests a policy judged while it was watched, and refused of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Watched {
    /// Requests, those of banned clients and malformed ones left out: no policy is asked about them.
    pub requests: u64,
    /// Those of them that did not go to the origin.
    pub refused: u64,
}

impl Trial {
    /// Puts a policy on trial with a share of clients, in thousandths.
    pub const fn new(policy: Arc<Policy>, share: u16) -> Self {
        Self { policy, share }
    }

    /// The policy on trial.
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }
}

impl Watch {
    /// Begins anew to count.
    pub fn begin(&self) {
        self.requests.store(0, Ordering::Relaxed);
        self.refused.store(0, Ordering::Relaxed);
        self.on.store(true, Ordering::Relaxed);
    }

    /// Counts no more.
    pub fn end(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    /// Notes what was decided.
    pub fn note(&self, decision: &Decision) {
        if !self.on.load(Ordering::Relaxed) || matches!(decision.cause, Cause::Ban | Cause::Malformed(_)) {
            return;
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        if decision.action != Action::Allow {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted since it began.
    pub fn read(&self) -> Watched {
        // Refused ones first: then they are never more than all.
        let refused = self.refused.load(Ordering::Relaxed);
        Watched { refused, requests: self.requests.load(Ordering::Relaxed) }
    }
}

impl Watched {
    /// Whether more was refused than new rules may refuse.
    pub const fn is_past(self, bounds: &Rollout) -> bool {
        let most = bounds.max_refused.as_thousandths() as u64;
        self.requests >= bounds.min_requests as u64 && self.refused * 1000 > most * self.requests
    }
}

impl Gateway {
    /// The policy that judges a client; who it is, is asked only while one is on trial.
    pub(crate) fn policy_for(&self, client: impl FnOnce() -> IpAddr) -> Arc<Policy> {
        let trial = self.trial.load();
        match trial.as_ref().filter(|trial| is_in(trial, self.counters.hasher(), client())) {
            Some(trial) => Arc::clone(&trial.policy),
            None => self.policy.load_full(),
        }
    }
}

fn is_in(trial: &Trial, hasher: &KeyHasher, client: IpAddr) -> bool {
    share_of(hasher, client) < trial.share
}

#[cfg(test)]
mod tests {
    use portcullis_policy::Score;

    use super::*;

    #[test]
    fn rules_are_past_their_bounds_by_their_share_of_refusals() {
        let bounds = Rollout { max_refused: Score::thousandths(250), min_requests: 100, ..Rollout::default() };
        for (requests, refused, past) in [
            (0, 0, false),
            (99, 99, false),
            (100, 25, false),
            (100, 26, true),
            (1_000_000, 250_000, false),
            (1_000_000, 250_001, true),
        ] {
            assert_eq!(Watched { requests, refused }.is_past(&bounds), past, "{refused} of {requests}");
        }
        assert!(
            !Watched { requests: 1000, refused: 1000 }.is_past(&Rollout::default()),
            "nothing is taken back unasked"
        );
    }
}
