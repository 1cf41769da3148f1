//! Facts to signals.

use portcullis_intel::{ClassSet, NetworkClass};

use crate::claim::{Family, Hints};
use crate::coherence::{self, Channel, ConnectionJudgement};
use crate::families::{Coverage, Families};
use crate::headers::{Field, HeaderDigest};
use crate::signal::{SignalId, Signals, Strength};
use crate::{Conduct, Facts, Kind, Posture, Proof, UsualConduct};

/// What is usual on a route, against which behaviour is judged.
///
/// A policy derives it from the route's sensitivity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expectation {
    /// Requests a minute from one address that are still usual.
    pub address_per_minute: u32,
    /// Requests a minute from one prefix that are still usual.
    pub prefix_per_minute: u32,
    /// How many answers of an address must be seen before its failures weigh as much as the route's
    /// baseline: the strength of the prior, in answers.
    pub prior_answers: u32,
    /// Which clients the route is for.
    pub clients: ExpectedClients,
    /// The classes of network that count against a client.
    pub networks: ClassSet,
    /// How many users, networks and paths are usual.
    pub conduct: UsualConduct,
}

impl Expectation {
    /// The classes of network that count against a client where nothing else is said: those that hide who asks, or
    /// where no people are.
    pub const NETWORKS: ClassSet = ClassSet::of(NetworkClass::Tor)
        .union(ClassSet::of(NetworkClass::Vpn))
        .union(ClassSet::of(NetworkClass::Proxy))
        .union(ClassSet::of(NetworkClass::Datacenter))
        .union(ClassSet::of(NetworkClass::Abuser));
}

/// Which clients a route is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ExpectedClients {
    /// Any: what says that it is a program is judged as one.
    #[default]
    Any,
    /// People in browsers.
    Browsers,
}

/// How much it counts, in thousandths, that a route for browsers is asked by a niche browser that no row covers: below
/// every shipped challenge by itself.
const UNCOVERED_NICHE: u32 = 600;

/// The failure ratio that is taken as usual before an address has shown its own, in thousandths.
const BASELINE_FAILURE: u64 = 100;

/// The smoothed failure ratio below which nothing is said, and the one at which all is said, in thousandths.
const FAILURE_RANGE: (u64, u64) = (300, 800);

/// How many failures it takes before the ratio counts in full.
const FULL_FAILURES: u64 = 8;

impl Facts<'_> {
    /// Judges the facts, each signal by itself.
    pub fn signals(&self, expectation: &Expectation) -> Signals {
        let digest = HeaderDigest::of(self.request.headers());
        let fresh;
        let judged = match self.connection.filter(|judged| *judged.claim() == self.claim) {
            Some(judged) => judged,
            None => {
                fresh = ConnectionJudgement::of(Families::shipped(), &self.claim, self.tls.as_ref(), self.http2);
                &fresh
            }
        };
        let opens_socket = coherence::opens_socket(self.request.method(), &digest, self.http);
        let mut signals = if opens_socket { *judged.socket_signals() } else { *judged.signals() };
        let hints = digest
            .value(Field::SecChUa)
            .map(|brands| Hints::of(Some(brands), digest.value(Field::SecChUaMobile), None));
        let kind = hints.as_ref().map_or(self.claim, |hints| self.claim.with_hints(hints)).kind;
        self.judge_claim(kind, expectation.clients, judged.coverage(), &digest, &mut signals);
        let method = self.request.method();
        let channel = Channel { tls: self.tls.is_some(), http: self.http };
        coherence::judge_fields(judged, hints.as_ref(), method, &digest, channel, &mut signals);
        coherence::judge_context(
            &self.claim,
            judged.shuffles(),
            method,
            &digest,
            &self.context,
            self.http,
            &mut signals,
        );
        self.judge_network(expectation.networks, &mut signals);
        self.judge_behaviour(expectation, &mut signals);
        if digest.claims_a_verdict() {
            signals.raise(SignalId::VerdictForged, Strength::FULL);
        }
        signals
    }

    fn judge_claim(
        &self,
        kind: Kind,
        expected: ExpectedClients,
        coverage: Coverage,
        digest: &HeaderDigest<'_>,
        signals: &mut Signals,
    ) {
        let proof = self.crawler().map_or(Proof::Unverified, |crawler| crawler.proof);
        let signal = match kind {
            Kind::Absent => Some(SignalId::UaEmpty),
            Kind::Tool | Kind::Library => Some(SignalId::UaTool),
            Kind::Scanner => Some(SignalId::UaScanner),
            Kind::AutomatedBrowser => Some(SignalId::UaAutomated),
            Kind::Crawler if proof != Proof::Verified => Some(SignalId::UaCrawler),
            Kind::Crawler | Kind::Browser | Kind::App | Kind::Unknown => None,
        };
        if let Some(signal) = signal {
            signals.raise(signal, Strength::FULL);
        }
        if expected == ExpectedClients::Browsers {
            let strength = match kind {
                // Anybody can claim a browser that no row covers; one that asks for anything at all, as programs do,
                // has nothing of a browser but the name.
                Kind::Browser if self.claim.family == Family::Niche && coverage == Coverage::Uncovered => {
                    let anything = digest.value(Field::Accept).is_none_or(|accept| accept.starts_with(b"*/*"));
                    if anything { Strength::FULL } else { Strength::thousandths(UNCOVERED_NICHE) }
                }
                Kind::Browser | Kind::AutomatedBrowser => Strength::NONE,
                Kind::Crawler if proof == Proof::Verified => Strength::NONE,
                _ => Strength::FULL,
            };
            signals.raise(SignalId::ClientUnexpected, strength);
        }
    }

    /// A privacy relay and a proven crawler run in data centres; neither is held against them.
    fn judge_network(&self, counted: ClassSet, signals: &mut Signals) {
        if self.crawler_proof == Proof::Forged && self.crawler().is_some_and(|crawler| crawler.proof == Proof::Forged) {
            signals.raise(SignalId::CrawlerForged, Strength::FULL);
        }
        let classes = self.classes();
        if classes.is_empty() {
            return;
        }
        let excused = classes.contains(NetworkClass::Relay) || classes.contains(NetworkClass::Crawler);
        for (class, signal, excusable) in [
            (NetworkClass::Datacenter, SignalId::AsnHosting, true),
            (NetworkClass::Vpn, SignalId::NetVpn, true),
            (NetworkClass::Tor, SignalId::NetTor, false),
            (NetworkClass::Proxy, SignalId::NetProxy, false),
            (NetworkClass::Abuser, SignalId::NetAbuser, false),
            (NetworkClass::Crawler, SignalId::NetCrawler, false),
            (NetworkClass::Satellite, SignalId::NetSatellite, false),
            (NetworkClass::Mobile, SignalId::NetMobile, false),
        ] {
            if classes.contains(class) && counted.contains(class) && !(excusable && excused) {
                signals.raise(signal, Strength::FULL);
            }
        }
    }

    fn judge_behaviour(&self, expectation: &Expectation, signals: &mut Signals) {
        signals.raise(SignalId::VelocityIp, excess(self.requests_per_minute(), expectation.address_per_minute));
        signals
            .raise(SignalId::VelocityPrefix, excess(self.prefix_requests_per_minute(), expectation.prefix_per_minute));
        signals.raise(SignalId::OutcomeFailures, failing(self, expectation));
        if self.conduct != Conduct::default() {
            self.judge_conduct(&expectation.conduct, signals);
        }
    }

    fn judge_conduct(&self, usual: &UsualConduct, signals: &mut Signals) {
        let conduct = &self.conduct;
        // Behind a shared address so many more are usual of it.
        let of_address = |count: u32| self.per_client(count);
        // Of an office many log in at once, and few of them fail.
        let failing_users = ratio_above(conduct.failed_users.into(), conduct.users.max(conduct.failed_users).into());
        let spraying = excess(of_address(conduct.failed_users), usual.failed_users).min(failing_users);
        let enumeration = excess(of_address(conduct.paths), usual.paths)
            .max(excess(of_address(conduct.missing_paths), usual.missing_paths))
            .max(excess(conduct.sequence, usual.sequence))
            // New orders, too, are looked at one after the other, but not far more of them than ever.
            .max(excess(conduct.cohort_sequence, usual.sequence).min(conduct.cohort_growth));
        let unknown = match self.posture {
            Posture::UnderAttack => conduct.cohort_unknown,
            Posture::Normal | Posture::Elevated => Strength::NONE,
        };
        for (signal, strength) in [
            (SignalId::StuffingSuccess, conduct.stuffing_success),
            (SignalId::DistinctUsers, spraying),
            (SignalId::DistinctNetworks, excess(conduct.networks, usual.networks)),
            (SignalId::Enumeration, enumeration),
            (SignalId::CohortSurge, conduct.cohort_surge),
            (SignalId::CohortGrowth, conduct.cohort_growth),
            (SignalId::CohortUnknown, unknown),
            (SignalId::Reputation, conduct.reputation),
            (SignalId::ScriptEvidence, conduct.evidence),
        ] {
            signals.raise(signal, strength);
        }
    }
}

/// How far a count is above what is usual: nothing up to it, everything at four times as much.
fn excess(count: u32, usual: u32) -> Strength {
    let above = u64::from(count.saturating_sub(usual));
    let span = u64::from(usual.max(1)) * 3;
    Strength::thousandths(u32::try_from(above * 1000 / span).unwrap_or(u32::MAX))
}

/// How far the client's failure ratio is above the usual one, with shrinkage towards it.
///
/// The ratio is `(failures + prior × baseline) / (answers + prior)`, the mean of a beta posterior, so that
/// one failure of one visitor means little and forty of fifty mean much.
fn failing(facts: &Facts<'_>, expectation: &Expectation) -> Strength {
    let failures = u64::from(facts.outcomes.failures);
    let attempts = u64::from(facts.outcomes.attempts).max(failures);
    if failures < 2 {
        return Strength::NONE;
    }
    let prior = u64::from(expectation.prior_answers);
    let above = above_range((failures * 1000 + prior * BASELINE_FAILURE) / (attempts + prior).max(1));
    let certain = failures.min(FULL_FAILURES);
    Strength::thousandths(u32::try_from(above * certain / FULL_FAILURES).unwrap_or(1000))
}

/// How far a bare ratio of failures is above the usual one.
fn ratio_above(failures: u64, of: u64) -> Strength {
    Strength::thousandths(u32::try_from(above_range(failures * 1000 / of.max(1))).unwrap_or(1000))
}

/// Where a ratio in thousandths stands between that which says nothing and that which says all, in thousandths.
fn above_range(ratio: u64) -> u64 {
    let (none, full) = FAILURE_RANGE;
    ratio.saturating_sub(none).min(full - none) * 1000 / (full - none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excess_grows_from_the_usual_to_four_times_as_much() {
        for (count, usual, thousandths) in [
            (0, 60, 0),
            (60, 60, 0),
            (61, 60, 5),
            (150, 60, 500),
            (240, 60, 1000),
            (10_000, 60, 1000),
            (5, 0, 1000),
            (u32::MAX, u32::MAX, 0),
        ] {
            assert_eq!(excess(count, usual), Strength::thousandths(thousandths), "{count} of {usual}");
        }
    }
}
