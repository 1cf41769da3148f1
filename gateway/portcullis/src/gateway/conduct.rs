//! What is remembered of a client, and of those like it, over many requests: read when the next one is judged, noted
//! when one is over.

use std::time::Duration;

use portcullis_policy::model::Action;
use portcullis_policy::{Cause, Decision, folded};
use portcullis_signals::{Conduct, Facts, Strength};
use portcullis_velocity::{CohortReading, Event, Key, Outcome, RunScale, Seen, Standing, Window};
use smallvec::SmallVec;

use super::Gateway;
use super::behaviour::{Behaviours, RouteState};
use super::keys::{ClientKeys, Scope};
use super::policy::RoutePlan;
use crate::clock::Now;

/// Under what the conduct of one request is noted.
#[derive(Clone, Debug)]
pub struct ConductKeys {
    /// The client's address, on this route.
    address: Key,
    /// The client's prefix.
    prefix: Key,
    /// Those who look alike, in the same autonomous system and in any.
    cohort: Key,
    look: Key,
    /// All who look like nobody before, where the client does.
    strangers: Option<Key>,
    /// Whether the request counts for those who look alike.
    share: Share,
    /// The user that the request names, on this host.
    user: Option<Key>,
    /// The path.
    path: Key,
    /// All by which the caller names itself.
    names: SmallVec<[Key; 5]>,
    /// The same, in the client's network.
    regulars: SmallVec<[Key; 5]>,
    /// Whether many people share the address, so that nothing is held against its prefix.
    is_shared: bool,
}

/// Whether a request counts for those who look like its client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Share {
    /// It is one of many.
    Counts,
    /// Its prefix asks more than counts, its client fails so often that this is a matter of its own, or a ban refuses it.
    OfOne,
}

/// Requests a minute of one prefix, and failures of one address in a quarter of an hour, that count for those who look
/// alike: past them nobody brings all of a common browser into disrepute.
const MOST_OF_ONE: u32 = 6;

impl Share {
    /// A prefix that asks more still counts for so much: who is loud everywhere is no less of a crowd.
    fn of(gateway: &Gateway, plan: &RoutePlan, facts: &Facts<'_>, keys: &ClientKeys, now: Now) -> Self {
        if facts.ban.is_some() || facts.outcomes.failures > MOST_OF_ONE {
            return Self::OfOne;
        }
        let counted = || {
            let shared = keys.prefix.sibling(plan.prefix).sibling(SHARED);
            gateway.counters.observe_limited(shared, MINUTE, MOST_OF_ONE, 1, now.millis).is_admitted()
        };
        if facts.behaviour.prefix_per_minute <= MOST_OF_ONE || counted() { Self::Counts } else { Self::OfOne }
    }
}

/// Over how long the requests of a prefix are counted.
const MINUTE: Window = Window::new(Duration::from_secs(60));

/// Over how long users and paths of an address are counted.
const QUARTER: Window = Window::new(Duration::from_secs(15 * 60));

/// Over how long networks of a caller are counted.
const HOUR: Window = Window::new(Duration::from_secs(60 * 60));

/// What is counted beside a key, by number.
const USERS: u64 = 11;
const FAILED_USERS: u64 = 12;
const PATHS: u64 = 13;
const MISSING_PATHS: u64 = 14;
const NETWORKS: u64 = 15;
const RUN: u64 = 16;
const STUFFED: u64 = 17;
const SHARED: u64 = 18;

impl ConductKeys {
    fn of(gateway: &Gateway, plan: &RoutePlan, facts: &Facts<'_>, keys: &ClientKeys, now: Now) -> Self {
        let hasher = gateway.counters.hasher();
        let host = facts.request.host().as_bytes();
        let caller = &facts.caller;
        let named = |what: &str, name: Option<&str>| {
            name.map(|name| hasher.key(Scope::CALLER.0, &[what.as_bytes(), host, name.as_bytes()]))
        };
        let user = named("user", caller.user.map(folded).as_deref());
        let names = [
            user,
            named("api_key", caller.api_key),
            named("session", caller.session),
            named("token", caller.token),
            named("device", caller.device),
        ];
        let names: SmallVec<[Key; 5]> = names.into_iter().flatten().collect();
        let prefix = keys.prefix.to_bytes();
        let [cohort, look] = cohorts(gateway, facts);
        Self {
            address: keys.address.sibling(plan.address),
            prefix: keys.prefix,
            cohort,
            look,
            strangers: None,
            share: Share::of(gateway, plan, facts, keys, now),
            user,
            path: hasher.key(Scope::VALUE.0, &[facts.request.path().as_str().as_bytes()]),
            regulars: names.iter().map(|name| hasher.key(Scope::REGULAR.0, &[&name.to_bytes(), &prefix])).collect(),
            names,
            is_shared: facts.network.is_shared(),
        }
    }
}

/// The keys of those who look alike, that is, of the same hello, HTTP/2 print and header order: in the same autonomous
/// system, and in any.
fn cohorts(gateway: &Gateway, facts: &Facts<'_>) -> [Key; 2] {
    let ja4 = facts.tls.as_ref().map(|tls| tls.ja4);
    let http2 = facts.http2.map(|print| print.hash().0);
    let mut parts: SmallVec<[&[u8]; 32]> = SmallVec::new();
    parts.push(ja4.as_ref().map_or(b"", |ja4| ja4.as_str().as_bytes()));
    parts.push(http2.as_ref().map_or(b"", |hash| hash.as_slice()));
    // A client may send as many as it likes, and those that people's browsers send are fewer.
    parts.extend(facts.request.headers().keys().take(MOST_NAMES).map(|name| name.as_str().as_bytes()));
    let hasher = gateway.counters.hasher();
    let look = hasher.key(Scope::LOOK.0, &parts);
    let asn = facts.network.asn.map_or([0; 4], |asn| asn.0.to_be_bytes());
    [hasher.key(Scope::COHORT.0, &[&look.to_bytes(), &asn]), look]
}

/// The names of header fields by which clients are told to look alike.
const MOST_NAMES: usize = 48;

impl Gateway {
    /// Notes that a request came, and reads what is remembered of who sends it. What a ban refuses is only read.
    pub(super) fn conduct(
        &self,
        state: &RouteState,
        plan: &RoutePlan,
        facts: &Facts<'_>,
        keys: &ClientKeys,
        now: Now,
    ) -> (Conduct, ConductKeys) {
        let mut keys = ConductKeys::of(self, plan, facts, keys, now);
        let is_banned = facts.ban.is_some();
        let distincts = &self.behaviours.distincts;
        let seen = |key: Key, value: Key| {
            let distinct = if is_banned {
                distincts.read(key, QUARTER, now.millis)
            } else {
                distincts.note(key, value, QUARTER, now.millis)
            };
            distinct.at_least()
        };
        let alike = self.note_cohorts(state, &mut keys, now);
        let history = self.history(&keys, now);
        let mut conduct = Conduct {
            users: keys.user.map_or(0, |user| seen(keys.address.sibling(USERS), user)),
            paths: seen(keys.address.sibling(PATHS), keys.path),
            networks: keys
                .names
                .iter()
                .map(|name| distincts.read(name.sibling(NETWORKS), HOUR, now.millis).at_least())
                .max()
                .unwrap_or(0),
            credit: Strength::thousandths(history.credit),
            reputation: self.standing(&keys, now),
            ..Conduct::default()
        };
        if !is_banned {
            (conduct.sequence, conduct.cohort_sequence) = self.sequences(&keys, facts.request.path().as_str());
        }
        if history.is_regular {
            // Who has long been here under this name is nobody's double, whatever those do that are or look like it.
            conduct.is_regular = true;
            conduct.networks = 0;
            conduct.reputation = Strength::thousandths(history.risk);
        } else {
            conduct.cohort_surge = Strength::thousandths(alike.surge());
            conduct.cohort_growth = Strength::thousandths(alike.growth());
            conduct.cohort_unknown = Strength::thousandths(alike.look.unknown);
        }
        if !self.quiet.is_quiet(plan.address, now.millis) {
            let read = |what: u64| distincts.read(keys.address.sibling(what), QUARTER, now.millis).at_least();
            conduct.failed_users = read(FAILED_USERS);
            conduct.missing_paths = read(MISSING_PATHS);
        }
        if !self.stuffed.is_quiet(plan.address, now.millis) {
            let read = |key: Key| self.counters.peek(key.sibling(STUFFED), QUARTER, now.millis).count;
            conduct.stuffing_success = Strength::thousandths(read(keys.address).max(read(keys.cohort)));
        }
        (conduct, keys)
    }

    /// Counts a request for those who look like its client, or only reads how they fare.
    fn note_cohorts(&self, state: &RouteState, keys: &mut ConductKeys, now: Now) -> Alike {
        let cohorts = &state.cohorts;
        cohorts.in_posture(state.posture.posture(now.millis));
        let read = |key: Key| cohorts.read(key, now.millis);
        let (cohort, look) = match keys.share {
            Share::OfOne => (read(keys.cohort), read(keys.look)),
            Share::Counts => (
                cohorts.note_look(keys.cohort, keys.prefix, keys.user, now.millis),
                cohorts.note_request(keys.look, keys.prefix, keys.user, now.millis),
            ),
        };
        // Whoever gives each of his clients another look, by a header field of any name, makes none of them a crowd. But
        // all of them are new.
        // Who is one on a route that knows nobody yet is no measure of those who come later.
        let kind: &[u8] = if look.unknown > 0 { b"unknown" } else { b"alone" };
        let strangers = (look.stranger > 0).then(|| self.counters.hasher().key(Scope::STRANGERS.0, &[kind]));
        let noted = strangers.map(|key| match keys.share {
            Share::OfOne => read(key),
            Share::Counts => cohorts.note_stranger(key, keys.prefix, keys.user, now.millis),
        });
        keys.strangers = strangers;
        Alike { cohort, look, strangers: noted.unwrap_or_default() }
    }

    /// What the caller has earned in its network: what the least known of its names has. Who names nobody has nothing.
    fn history(&self, keys: &ConductKeys, now: Now) -> Standing {
        let standings = keys.regulars.iter().map(|key| self.behaviours.reputation.read(*key, now.millis));
        let least = |one: Standing, other: Standing| Standing {
            risk: one.risk.max(other.risk),
            credit: one.credit.min(other.credit),
            is_regular: one.is_regular && other.is_regular,
        };
        standings.reduce(least).unwrap_or_default()
    }

    /// How many of its requests in a row asked for the number that follows the one before, of paths that are the same but
    /// for that; and how many numbers those who look like it went through together.
    fn sequences(&self, keys: &ConductKeys, path: &str) -> (u32, u32) {
        let Some((before, number, behind)) = last_number(path) else { return (0, 0) };
        let key = |who: Key| {
            let parts = [&who.to_bytes()[..], before.as_bytes(), behind.as_bytes()];
            self.counters.hasher().key(Scope::VALUE.0, &parts)
        };
        let Behaviours { sequences, shared_sequences, .. } = &self.behaviours;
        let alike = keys.strangers.unwrap_or(keys.look);
        (sequences.note(key(keys.address), number), shared_sequences.note(key(alike), keys.address, number))
    }

    /// How bad the names of a caller, and its prefix, are; the worst of them.
    fn standing(&self, keys: &ConductKeys, now: Now) -> Strength {
        let prefix = (!keys.is_shared).then_some(keys.prefix);
        let risks = keys.names.iter().copied().chain(prefix);
        let worst = risks.map(|key| self.behaviours.reputation.read(key, now.millis).risk).max();
        Strength::thousandths(worst.unwrap_or(0))
    }

    /// Notes how a request ended. `failed` says whether the route calls the origin's answer failed; none where the origin
    /// did not answer.
    pub(super) fn settle_conduct(
        &self,
        state: &RouteState,
        plan: &RoutePlan,
        keys: &ConductKeys,
        decision: &Decision,
        ended: Ended,
        now: Now,
    ) {
        if decision.cause == Cause::Ban {
            return;
        }
        let outcome = ended.failed.map(|failed| if failed { Outcome::Failure } else { Outcome::Success });
        let score = decision.score.as_thousandths();
        state.posture.note(Seen { prefix: keys.prefix, score, outcome }, now.millis);
        let was_blocked = matches!(decision.action, Action::Block | Action::Ban);
        if was_blocked {
            self.note_standing(keys, Event::Block, now);
        }
        let Some(outcome) = outcome else { return };
        if keys.share == Share::Counts {
            for key in keys.strangers.iter().chain([&keys.cohort]) {
                state.cohorts.note_look_answer(*key, outcome, now.millis);
            }
            state.cohorts.note_answer(keys.look, outcome, now.millis);
        }
        if outcome == Outcome::Failure || !self.quiet.is_quiet(plan.address, now.millis) {
            self.note_runs(plan, keys, outcome, now);
        }
        let distincts = &self.behaviours.distincts;
        match outcome {
            Outcome::Failure => {
                if let Some(user) = keys.user {
                    distincts.note(keys.address.sibling(FAILED_USERS), user, QUARTER, now.millis);
                }
            }
            Outcome::Success => {
                for name in &keys.names {
                    distincts.note(name.sibling(NETWORKS), keys.prefix, HOUR, now.millis);
                    self.behaviours.reputation.note(*name, Event::Clean, now.millis);
                }
                for regular in &keys.regulars {
                    self.behaviours.reputation.note(*regular, Event::Clean, now.millis);
                }
            }
        }
        if ended.is_missing || outcome == Outcome::Failure {
            self.quiet.note_failure(plan.address, now.millis);
            distincts.note(keys.address.sibling(MISSING_PATHS), keys.path, QUARTER, now.millis);
        }
    }

    /// Notes trouble with a caller: with its names in its network, and with its prefix where that is its own. A name as such
    /// only an origin can report: anybody can be refused under the name of a stranger.
    pub(super) fn note_standing(&self, keys: &ConductKeys, event: Event, now: Now) {
        let names: &[Key] = if event == Event::AbuseReport { &keys.names } else { &[] };
        for name in names.iter().chain(&keys.regulars) {
            self.behaviours.reputation.note(*name, event, now.millis);
        }
        if !keys.is_shared {
            self.behaviours.reputation.note(keys.prefix, event, now.millis);
        }
    }

    /// A run of failures of many users that a success ends is an alarm of its own.
    fn note_runs(&self, plan: &RoutePlan, keys: &ConductKeys, outcome: Outcome, now: Now) {
        let alike = (keys.share == Share::Counts).then_some((keys.cohort, RunScale::COHORT));
        for (key, scale) in [(keys.address, RunScale::CLIENT)].into_iter().chain(alike) {
            let run = self.behaviours.runs.note(key.sibling(RUN), keys.user, outcome, now.millis);
            let breadth = run.breadth(scale);
            if outcome == Outcome::Success && breadth > 0 {
                self.stuffed.note_failure(plan.address, now.millis);
                self.counters.observe(key.sibling(STUFFED), QUARTER, breadth, now.millis);
                self.metrics.stuffing_success();
                tracing::warn!(
                    failures = run.failures,
                    users = run.users,
                    "failures of many users ended in a success: a stolen password may have worked"
                );
            }
        }
    }
}

/// How those fare who look like the client of a request.
#[derive(Clone, Copy, Debug, Default)]
struct Alike {
    /// In its autonomous system.
    cohort: CohortReading,
    /// In any.
    look: CohortReading,
    /// All who look like nobody before; nothing where the client does not.
    strangers: CohortReading,
}

impl Alike {
    fn surge(&self) -> u32 {
        self.most(|fares| fares.surge)
    }

    fn growth(&self) -> u32 {
        self.most(CohortReading::crowding)
    }

    /// The strangers count by how surely the client is one.
    fn most(&self, of: impl Fn(&CohortReading) -> u32) -> u32 {
        of(&self.cohort).max(of(&self.look)).max(of(&self.strangers) * self.look.stranger / 1000)
    }
}

/// The last number in a path, and what stands before and behind it.
fn last_number(path: &str) -> Option<(&str, u64, &str)> {
    let is_digit = |letter: char| letter.is_ascii_digit();
    let end = path.rfind(is_digit)?.checked_add(1)?;
    let (head, behind) = path.split_at_checked(end)?;
    let before = head.trim_end_matches(is_digit);
    let number = head.get(before.len()..)?.parse().ok()?;
    Some((before, number, behind))
}

/// How a request ended at the origin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    /// Whether the route calls the answer failed; none where there was none.
    pub failed: Option<bool>,
    /// Whether the origin knows no such thing: 404 or 410.
    pub is_missing: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_of_a_path_is_told_from_the_rest() {
        for (path, found) in [
            ("/items/42", Some(("/items/", 42, ""))),
            ("/v1/items/42/price", Some(("/v1/items/", 42, "/price"))),
            ("/v1/items", Some(("/v", 1, "/items"))),
            ("/items/a7f", Some(("/items/a", 7, "f"))),
            ("/", None),
            ("/items/99999999999999999999999", None),
            ("/ü/7é", Some(("/ü/", 7, "é"))),
        ] {
            assert_eq!(last_number(path), found, "{path}");
        }
    }

    #[test]
    fn x36_clean_use_of_an_own_account_buys_nothing_elsewhere_or_for_another() {
        let gateway = crate::serve::unserved(crate::rules::shipped().unwrap()).unwrap();
        let hasher = gateway.counters.hasher();
        let name = |name: &str| hasher.key(Scope::CALLER.0, &[b"user", b"shop.example", name.as_bytes()]);
        let keys = |names: &[&str], network: u8| {
            let prefix = hasher.key(0, &[&[network]]);
            let names: SmallVec<[Key; 5]> = names.iter().map(|of| name(of)).collect();
            ConductKeys {
                address: prefix,
                prefix,
                cohort: prefix,
                look: prefix,
                strangers: None,
                share: Share::Counts,
                user: names.first().copied(),
                path: prefix,
                regulars: names
                    .iter()
                    .map(|name| hasher.key(Scope::REGULAR.0, &[&name.to_bytes(), &prefix.to_bytes()]))
                    .collect(),
                names,
                is_shared: false,
            }
        };
        let begun = gateway.clock.now();
        let own = keys(&["mallory"], 1);
        for half_hour in 0..60 * 48 {
            let now = begun.later(Duration::from_secs(half_hour * 1_800));
            for _ in 0..2 {
                gateway.behaviours.reputation.note(own.regulars[0], Event::Clean, now.millis);
            }
        }
        let later = begun.later(Duration::from_secs(60 * 86_400));
        let earned = |names: &[&str], network: u8| gateway.history(&keys(names, network), later);
        assert!(earned(&["mallory"], 1).is_regular && earned(&["mallory"], 1).credit > 900);
        for (what, names, network) in [
            ("another account from there", &["ann"][..], 1),
            ("another account in the own session", &["ann", "mallory"], 1),
            ("the own account from elsewhere", &["mallory"], 2),
            ("nobody", &[], 1),
        ] {
            assert_eq!(earned(names, network), Standing::default(), "{what}");
        }
        gateway.note_standing(&own, Event::Block, later);
        assert!(earned(&["mallory"], 1).credit < 700, "and one block takes half of it");
        let elsewhere = || gateway.standing(&keys(&["mallory"], 3), later);
        assert_eq!(elsewhere(), Strength::default(), "anybody can be refused under a name");
        gateway.note_standing(&own, Event::AbuseReport, later);
        assert!(elsewhere() > Strength::default(), "whom it is that the origin means, it knows");
    }
}
