//! The smallest single change that would turn a verdict.

use std::fmt;

use portcullis_intel::NetworkClass;
use portcullis_signals::{Caller, Clearance, Facts, SignalId, Signals};

use crate::decide::Asked;
use crate::decision::{Cause, Decision};
use crate::index::Matches;
use crate::model::{Action, Mode};
use crate::{RouteId, RuleId, RuleSet, Score};

/// A change to one request after which the verdict is another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flip {
    /// What would have to be different, and nothing else.
    pub change: Change,
    /// What the verdict would be then.
    pub verdict: Action,
}

/// What would have to be different.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// The rule of this name not being there.
    WithoutRule(RuleId, String),
    /// The ban being over.
    WithoutBan,
    /// The network not being of this class.
    WithoutClass(NetworkClass),
    /// The limit of this name not being exceeded.
    WithinLimit(u16, String),
    /// The signal not being raised, which gave so many points.
    WithoutSignal(SignalId, Score),
    /// A solved challenge.
    Clearance,
    /// So much more score.
    MoreScore(Score),
    /// So many more requests, which exceed the limit of this name.
    MoreRequests(u32, String),
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict.name();
        match &self.change {
            Change::WithoutRule(_, name) => write!(f, "without rule `{name}`: {verdict}"),
            Change::WithoutBan => write!(f, "once the ban is over: {verdict}"),
            Change::WithoutClass(class) => write!(f, "were its network no `{}`: {verdict}", class.name()),
            Change::WithinLimit(_, name) => write!(f, "within limit `{name}`: {verdict}"),
            Change::WithoutSignal(signal, points) => write!(f, "without `{signal}`, which gave {points}: {verdict}"),
            Change::Clearance => write!(f, "with a solved challenge: {verdict}"),
            Change::MoreScore(more) => write!(f, "with {more} more score: {verdict}"),
            Change::MoreRequests(1, name) => write!(f, "with the next request, by limit `{name}`: {verdict}"),
            Change::MoreRequests(count, name) => write!(f, "with {count} more requests, by limit `{name}`: {verdict}"),
        }
    }
}

/// One decision, and what it takes to decide again.
pub(super) struct Turning<'a, 'f> {
    pub(super) rules: &'a RuleSet,
    pub(super) route: RouteId,
    pub(super) facts: &'a Facts<'f>,
    pub(super) matching: &'a Matches,
    pub(super) signals: &'a Signals,
    pub(super) decision: &'a Decision,
}

impl Turning<'_, '_> {
    /// The smallest change of the kind that turns this verdict; none where no single one does.
    pub(super) fn smallest(&self) -> Option<Flip> {
        match self.decision.cause {
            // Another request would be another request.
            Cause::Malformed(_) => None,
            Cause::AllowRule | Cause::DenyRule | Cause::Machine => self.without_rule(self.decision.rule?),
            Cause::Ban => self.flip(Change::WithoutBan, &self.again(&Facts { ban: None, ..*self.facts })),
            Cause::Filter(class) => self.without_class(class),
            Cause::Limit => self.within_limit(self.decision.limit?),
            Cause::Threshold => self.without_signal().or_else(|| self.with_clearance()).or_else(|| self.without_lift()),
            Cause::Clear => self.nearest(),
        }
    }

    fn flip(&self, change: Change, other: &Decision) -> Option<Flip> {
        (other.verdict != self.decision.verdict).then_some(Flip { change, verdict: other.verdict })
    }

    fn again(&self, facts: &Facts<'_>) -> Decision {
        self.rules.decide_on(self.route, facts)
    }

    fn without_rule(&self, id: RuleId) -> Option<Flip> {
        let left: Matches = self.matching.iter().copied().filter(|rule| *rule != id).collect();
        let name = self.rules.rule(id)?.name.to_string();
        self.flip(Change::WithoutRule(id, name), &self.rules.decide_among(self.route, self.facts, &left))
    }

    fn without_class(&self, class: NetworkClass) -> Option<Flip> {
        let mut network = self.facts.network.clone();
        network.classes = network.classes.without(class);
        self.flip(Change::WithoutClass(class), &self.again(&Facts { network: &network, ..*self.facts }))
    }

    fn within_limit(&self, limit: u16) -> Option<Flip> {
        let mut readings = self.facts.limits.to_vec();
        readings.get_mut(usize::from(limit))?.over = false;
        let name = self.rules.route(self.route).limits.get(usize::from(limit))?.name.to_string();
        let other = self.again(&Facts { limits: &readings, ..*self.facts });
        self.flip(Change::WithinLimit(limit, name), &other)
    }

    /// Of the signals that turn it alone, the one that gave the fewest points.
    fn without_signal(&self) -> Option<Flip> {
        self.decision.reasons.iter().rev().find_map(|reason| {
            let mut left = Signals::default();
            let others = self.signals.iter().filter(|(signal, _)| *signal != reason.signal);
            others.for_each(|(signal, strength)| left.raise(signal, strength));
            let other = self.rules.decide_by(self.route, self.facts, self.matching, Some(&left));
            self.flip(Change::WithoutSignal(reason.signal, reason.points), &other)
        })
    }

    fn with_clearance(&self) -> Option<Flip> {
        if self.facts.caller.clearance.is_some() {
            return None;
        }
        let caller = Caller { clearance: Some(Clearance::ProofOfWork), ..self.facts.caller };
        self.flip(Change::Clearance, &self.again(&Facts { caller, ..*self.facts }))
    }

    fn without_lift(&self) -> Option<Flip> {
        self.decision.lifts.iter().find_map(|lift| self.without_rule(lift.rule))
    }

    /// What is nearest of what would be done: by more score, or by more requests.
    fn nearest(&self) -> Option<Flip> {
        let asked = Asked { rules: self.rules, route: self.rules.route(self.route), facts: self.facts };
        let score = self.decision.score;
        let thresholds = &asked.route.thresholds;
        let rising = [thresholds.throttle, thresholds.challenge, thresholds.block, thresholds.ban];
        let by_score = rising.into_iter().flatten().filter(|threshold| *threshold > score).find_map(|threshold| {
            let verdict = asked.verdict_of(threshold)?;
            let more = threshold.minus(score);
            Some((u64::from(more.as_thousandths()), Flip { change: Change::MoreScore(more), verdict }))
        });
        let by_limit = asked.route.limits.iter().zip(self.facts.limits).filter_map(|(limit, reading)| {
            let verdict = asked.acts_past(limit.over).filter(|_| limit.mode == Mode::Enforce)?;
            // The request that finds as many as the limit admits is one too many.
            let more = limit.limit.saturating_sub(reading.count).max(1);
            let share = u64::from(more) * 1_000 / u64::from(limit.limit.max(1));
            Some((share, Flip { change: Change::MoreRequests(more, limit.name.to_string()), verdict }))
        });
        by_score.into_iter().chain(by_limit).min_by_key(|(share, _)| *share).map(|(_, flip)| flip)
    }
}
