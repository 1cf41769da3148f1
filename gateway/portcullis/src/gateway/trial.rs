//! Rules on trial: a share of clients is judged by them first, and what they refuse is counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use http::HeaderMap;
use portcullis_policy::model::{Action, Rollout};
use portcullis_policy::{Cause, Decision};
use portcullis_signals::PeerAddr;
use portcullis_velocity::KeyHasher;

use super::Gateway;
use super::keys::{share_of, slot_of};
use super::policy::Policy;
use crate::accept::ConnInfo;

/// A policy that a share of clients is judged by.
#[derive(Debug)]
pub struct Trial {
    policy: Arc<Policy>,
    /// In thousandths of all clients.
    share: u16,
}

/// What a policy refused while somebody watched it, client by client: whoever floods a path that new rules rightly refuse
/// is one client, however much he asks.
#[derive(Debug)]
pub struct Watch {
    on: AtomicBool,
    /// Clients share a slot by chance, where there are many.
    slots: Box<[Slot]>,
}

/// The requests of the clients of one slot.
#[derive(Debug, Default)]
struct Slot {
    requests: AtomicU32,
    refused: AtomicU32,
}

/// How many clients a policy judged while it was watched, and what it refused of their requests; banned clients and
/// malformed requests left out: no policy is asked about them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Watched {
    /// Clients, as far as slots tell them apart.
    pub clients: u64,
    /// Their requests.
    pub requests: u64,
    /// Those of them that did not go to the origin.
    pub refused: u64,
    /// The mean over clients of the share of each that was refused, in thousandths, those left out that were refused most.
    pub share: u64,
}

/// How many clients are told apart. Of more each slot holds several, which blurs the share and does not move it.
const SLOTS: usize = 1024;

/// Of so many clients one is left out, and at least one: the one that was refused most.
const LEFT_OUT: usize = 20;

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

impl Default for Watch {
    fn default() -> Self {
        Self { on: AtomicBool::default(), slots: (0..SLOTS).map(|_| Slot::default()).collect() }
    }
}

impl Watch {
    /// Begins anew to count.
    pub fn begin(&self) {
        for slot in &self.slots {
            slot.requests.store(0, Ordering::Relaxed);
            slot.refused.store(0, Ordering::Relaxed);
        }
        self.on.store(true, Ordering::Relaxed);
    }

    /// Counts no more.
    pub fn end(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    /// Notes what was decided on a client, whose slot is asked for only while somebody watches.
    pub fn note(&self, slot: impl FnOnce() -> usize, decision: &Decision) {
        if !self.on.load(Ordering::Relaxed) || matches!(decision.cause, Cause::Ban | Cause::Malformed(_)) {
            return;
        }
        let Some(slot) = self.slots.get(slot() % SLOTS) else { return };
        slot.requests.fetch_add(1, Ordering::Relaxed);
        if decision.action != Action::Allow {
            slot.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted since it began.
    pub fn read(&self) -> Watched {
        // Refused ones first: then they are seldom more than all.
        let read = self.slots.iter().map(|slot| {
            let refused = u64::from(slot.refused.load(Ordering::Relaxed));
            (refused, u64::from(slot.requests.load(Ordering::Relaxed)))
        });
        let asked: Vec<_> = read.filter(|(_, requests)| *requests > 0).collect();
        Watched::of(&asked)
    }
}

impl Watched {
    /// What was refused and asked in each slot.
    fn of(slots: &[(u64, u64)]) -> Self {
        let mut shares: Vec<_> =
            slots.iter().map(|(refused, requests)| (refused * 1000 / (*requests).max(1)).min(1000)).collect();
        shares.sort_unstable();
        let counted = shares.get(..shares.len().saturating_sub(1 + shares.len() / LEFT_OUT)).unwrap_or_default();
        let clients = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Self {
            clients: clients(slots.len()),
            requests: slots.iter().map(|(_, requests)| requests).sum(),
            refused: slots.iter().map(|(refused, _)| refused).sum(),
            share: counted.iter().sum::<u64>() / clients(counted.len()).max(1),
        }
    }

    /// Whether more was refused than new rules may refuse.
    pub const fn is_past(self, bounds: &Rollout) -> bool {
        self.requests >= bounds.min_requests as u64 && self.share > bounds.max_refused.as_thousandths() as u64
    }
}

impl Gateway {
    /// The policy that judges a client; who it is, is asked only while one is on trial.
    pub(crate) fn policy_for(&self, conn: &ConnInfo, headers: &HeaderMap) -> Arc<Policy> {
        let trial = self.trial.load();
        let client = || self.trusted.client(PeerAddr(conn.client.ip()), headers).0;
        match trial.as_ref().filter(|trial| is_in(trial, self.counters.hasher(), client())) {
            Some(trial) => Arc::clone(&trial.policy),
            None => self.policy.load_full(),
        }
    }

    /// Notes what a policy decided on a client, where the policy is watched.
    pub(super) fn watch(&self, policy: &Policy, client: IpAddr, decision: &Decision) {
        policy.watch().note(|| slot_of(self.counters.hasher(), client), decision);
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
    fn rules_are_past_their_bounds_by_the_share_of_clients_that_they_refuse() {
        let bounds = Rollout { max_refused: Score::thousandths(250), min_requests: 100, ..Rollout::default() };
        let each = |clients: usize, refused, requests| vec![(refused, requests); clients];
        for (what, slots, past) in [
            ("nobody asks", vec![], false),
            ("too few to know", each(9, 11, 11), false),
            ("everything is refused", each(10, 10, 10), true),
            ("a quarter of what each asks", each(40, 25, 100), false),
            ("a little more", each(40, 26, 100), true),
            ("one floods what is refused", [each(1, 1_000_000, 1_000_000), each(100, 0, 1)].concat(), false),
            ("one in twenty does", [each(5, 9000, 9000), each(95, 0, 1)].concat(), false),
            ("one asks more than all others, and is let in", [each(1, 0, 1_000_000), each(50, 2, 2)].concat(), true),
            ("two clients, and one is refused", vec![(500, 500), (0, 1)], false),
            ("two clients, and both are", vec![(500, 500), (1, 1)], true),
            ("there is one client", vec![(500, 500)], false),
        ] {
            assert_eq!(Watched::of(&slots).is_past(&bounds), past, "{what}");
        }
        let all = Watched::of(&each(100, 10, 10));
        assert_eq!((all.clients, all.requests, all.refused, all.share), (100, 1000, 1000, 1000));
        assert!(!all.is_past(&Rollout::default()), "nothing is taken back unasked");
    }
}
