//! The smallest single change that would turn a verdict.

use std::fmt;

use portcullis_intel::NetworkClass;
use portcullis_signals::{Caller, Clearance, Facts, Posture, SignalId, Signals};

use crate::decide::Asked;
use crate::decision::{Cause, Decision};
use crate::index::Matches;
use crate::model::{Action, Cost, Count, LevelOf, Mode, Over};
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
    /// The level of this name not being exceeded; of a limit with one level, its name.
    WithinLimit(u16, String),
    /// The parts being there that the limit of this name counts by.
    WithLimitKey(u16, String),
    /// The signal not being raised, which gave so many points.
    WithoutSignal(SignalId, Score),
    /// A solved challenge.
    Clearance,
    /// So much more score.
    MoreScore(Score),
    /// So many more requests, which exceed the level of this name.
    MoreRequests(u32, String),
    /// So many more failures, which exceed the level of this name.
    MoreFailures(u32, String),
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict.name();
        match &self.change {
            Change::WithoutRule(_, name) => write!(f, "without rule `{name}`: {verdict}"),
            Change::WithoutBan => write!(f, "once the ban is over: {verdict}"),
            Change::WithoutClass(class) => write!(f, "were its network no `{}`: {verdict}", class.name()),
            Change::WithinLimit(_, name) => write!(f, "within limit `{name}`: {verdict}"),
            Change::WithLimitKey(_, name) => write!(f, "with all that limit `{name}` counts by: {verdict}"),
            Change::WithoutSignal(signal, points) => write!(f, "without `{signal}`, which gave {points}: {verdict}"),
            Change::Clearance => write!(f, "with a solved challenge: {verdict}"),
            Change::MoreScore(more) => write!(f, "with {more} more score: {verdict}"),
            Change::MoreRequests(1, name) => write!(f, "with the next request, by limit `{name}`: {verdict}"),
            Change::MoreRequests(count, name) => write!(f, "with {count} more requests, by limit `{name}`: {verdict}"),
            Change::MoreFailures(1, name) => write!(f, "with one more failure, by limit `{name}`: {verdict}"),
            Change::MoreFailures(count, name) => write!(f, "with {count} more failures, by limit `{name}`: {verdict}"),
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
    /// The signals in place of those that the facts give, where only they are known.
    pub(super) stated: Option<&'a Signals>,
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
            Cause::Limit => self.within_limit(self.decision.level?),
            Cause::LimitKey => self.with_limit_key(self.decision.limit?),
            Cause::Threshold => self.without_signal().or_else(|| self.with_clearance()).or_else(|| self.without_lift()),
            Cause::Clear => self.nearest(),
        }
    }

    fn flip(&self, change: Change, other: &Decision) -> Option<Flip> {
        (other.verdict != self.decision.verdict).then_some(Flip { change, verdict: other.verdict })
    }

    fn again(&self, facts: &Facts<'_>) -> Decision {
        self.rules.decide_by(self.route, facts, &self.rules.matching(self.route, facts), self.stated)
    }

    fn without_rule(&self, id: RuleId) -> Option<Flip> {
        let left: Matches = self.matching.iter().copied().filter(|rule| *rule != id).collect();
        let name = self.rules.rule(id)?.name.to_string();
        self.flip(Change::WithoutRule(id, name), &self.rules.decide_by(self.route, self.facts, &left, self.stated))
    }

    fn without_class(&self, class: NetworkClass) -> Option<Flip> {
        let mut network = self.facts.network.clone();
        network.classes = network.classes.without(class);
        self.flip(Change::WithoutClass(class), &self.again(&Facts { network: &network, ..*self.facts }))
    }

    /// Were the level not exceeded that decided, and none of its limit that says the same.
    fn within_limit(&self, level: u16) -> Option<Flip> {
        let route = self.rules.route(self.route);
        let decisive = route.level(level)?;
        let mut readings = self.facts.limits.to_vec();
        for (reading, LevelOf { at, level, .. }) in readings.iter_mut().zip(route.levels()) {
            reading.over &= at != decisive.at || level.over != decisive.level.over;
        }
        let other = self.again(&Facts { limits: &readings, ..*self.facts });
        self.flip(Change::WithinLimit(decisive.at, decisive.level.name.to_string()), &other)
    }

    fn with_limit_key(&self, limit: u16) -> Option<Flip> {
        let route = self.rules.route(self.route);
        let mut readings = self.facts.limits.to_vec();
        for (reading, level) in readings.iter_mut().zip(route.levels()) {
            reading.unkeyed &= level.at != limit;
        }
        let name = route.limits.get(usize::from(limit))?.name.to_string();
        let other = self.again(&Facts { limits: &readings, ..*self.facts });
        self.flip(Change::WithLimitKey(limit, name), &other)
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
        let posture = if self.facts.conduct.is_regular { Posture::Normal } else { self.facts.posture };
        let thresholds = asked.route.thresholds_in(posture);
        let rising = [thresholds.throttle, thresholds.challenge, thresholds.block, thresholds.ban];
        let by_score = rising.into_iter().flatten().filter(|threshold| *threshold > score).find_map(|threshold| {
            let verdict = asked.verdict_of(threshold)?;
            let more = threshold.minus(score);
            Some((u64::from(more.as_thousandths()), Flip { change: Change::MoreScore(more), verdict }))
        });
        let by_limit =
            asked.route.levels().zip(self.facts.limits).filter_map(|(LevelOf { limit, level, .. }, reading)| {
                let Over::Act(action) = level.over else { return None };
                let verdict = asked.acts_past(action).filter(|_| limit.mode == Mode::Enforce)?;
                let Cost::Units(units) = limit.cost else { return None };
                let admits = level.bound.limit();
                let room = admits.saturating_sub(reading.count);
                let name = level.name.to_string();
                let (more, change) = match limit.count {
                    // This request is counted, and the last of those to come is the first that finds no room.
                    Count::Requests => {
                        let more = (room / units.max(1)).saturating_add(1);
                        (more, Change::MoreRequests(more, name))
                    }
                    // With as many failures as the limit admits the next request is one too many.
                    Count::Failures => {
                        let more = room.div_ceil(units.max(1)).max(1);
                        (more, Change::MoreFailures(more, name))
                    }
                    // How many of these a request brings, nobody knows before.
                    Count::Bytes | Count::Distinct(_) => return None,
                };
                let share = u64::from(more) * u64::from(units) * 1_000 / u64::from(admits.max(1));
                Some((share, Flip { change, verdict }))
            });
        by_score.into_iter().chain(by_limit).min_by_key(|(share, _)| *share).map(|(_, flip)| flip)
    }
}
