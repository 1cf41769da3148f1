//! Facts to a decision.
//!
//! The steps, hardest knowledge first; the first that has something to say decides:
//!
//! 1. a malformed request is refused
//! 2. a rule that allows
//! 3. a ban in force
//! 4. the first other rule, those of the route before those of every route
//! 5. the filter of the highest class of the network
//! 6. the hardest level of the limits that are exceeded
//! 7. the thresholds of the score
//!
//! Two actions can be met and then say nothing any more, so that the steps after them are asked: a challenge by
//! a clearance, and a step-up by a clearance of that kind. A throttle holds the address to the route's
//! `throttle_per_minute` and says nothing below it, save that of a limit, which counts by itself.
//! A level that scores raises a signal, and one that delays makes a request wait that is allowed in the end.
//! What is in monitor is noted in [`Decision::shadow`], and the steps go on as if it were not there.
//!
//! The score is worked out behind step 5: what a filter refuses costs no more than that.

use portcullis_intel::{ClassSet, NetworkClass};
use portcullis_signals::{Clearance, Facts, Fault, LimitReading};
use smallvec::SmallVec;

use crate::decision::{Cause, Decision, Delay, Shadow, ShadowWhat, is_scored};
use crate::index::Matches;
use crate::model::{Action, AmbiguousPaths, Clients, Filter, LevelOf, Mode, Over, Route, Thresholds};
use crate::weigh::{Credit, Weighed};
use crate::{RouteId, RuleId, RuleSet, Score};

/// The order in which classes are consulted. A relay's address is neither a VPN nor a data centre, though it
/// stands in one, and so is a crawler in its published range no data centre.
pub(crate) const CLASS_ORDER: [NetworkClass; 9] = [
    NetworkClass::Tor,
    NetworkClass::Relay,
    NetworkClass::Vpn,
    NetworkClass::Proxy,
    NetworkClass::Crawler,
    NetworkClass::Datacenter,
    NetworkClass::Abuser,
    NetworkClass::Satellite,
    NetworkClass::Mobile,
];

/// What one step found.
#[derive(Clone, Copy, Debug)]
struct Finding {
    verdict: Action,
    cause: Cause,
    rule: Option<RuleId>,
    limit: Option<u16>,
    level: Option<u16>,
    retry_after_ms: u32,
}

/// What the limits found.
#[derive(Clone, Copy, Debug, Default)]
struct Limited {
    finding: Option<Finding>,
    /// Holds where nothing behind the limits refuses the request.
    delay: Option<Delay>,
}

type Shadows = SmallVec<[Shadow; 2]>;

impl RuleSet {
    /// Decides on one request: the same facts always give the same decision.
    pub fn decide(&self, facts: &Facts<'_>) -> Decision {
        self.decide_on(self.plan(facts.request), facts)
    }

    /// Decides on one request whose route is known.
    pub fn decide_on(&self, route: RouteId, facts: &Facts<'_>) -> Decision {
        let policy = self.route(route);
        let mut shadow = Shadows::new();
        let asked = Asked { rules: self, route: policy, facts };
        let found = asked.before_score(&self.matching(route, facts), &mut shadow);
        let is_scored = found.is_none_or(|finding| is_scored(finding.cause, enforced(policy.mode, finding)));
        let weighed = if is_scored { self.weigh(route, facts) } else { Weighed::default() };
        let limited = if found.is_none() { asked.limits(&mut shadow) } else { Limited::default() };
        let finding = found
            .or(limited.finding)
            .or_else(|| asked.threshold(weighed.score))
            .unwrap_or(Finding::new(Action::Allow, Cause::Clear));
        let waits = policy.mode == Mode::Enforce && finding.verdict == Action::Allow;
        Decision {
            route,
            action: enforced(policy.mode, finding),
            verdict: finding.verdict,
            mode: policy.mode,
            score: weighed.score,
            raw: weighed.raw,
            reasons: weighed.reasons,
            cause: finding.cause,
            code: finding.cause.code(finding.verdict),
            rule: finding.rule,
            limit: finding.limit,
            level: finding.level,
            delay: limited.delay.filter(|_| waits),
            posture: facts.posture,
            retry_after_ms: finding.retry_after_ms,
            shadow,
        }
    }

    /// The score of one request on a route, with its reasons.
    pub(crate) fn weigh(&self, route: RouteId, facts: &Facts<'_>) -> Weighed {
        // Waiting is dear to nobody: it meets a challenge, and that is all.
        let worked = facts.caller.clearance >= Some(Clearance::ProofOfWork);
        let credit = if worked { Credit::Clearance } else { Credit::None };
        self.scale(route).weigh(&self.signals(route, facts), credit)
    }
}

/// What is done about a verdict. A route in monitor lets everything through but requests whose framing or host
/// is ambiguous: what the origin would make of those, nobody knows.
const fn enforced(mode: Mode, finding: Finding) -> Action {
    match (mode, finding.cause) {
        (Mode::Enforce, _) | (_, Cause::Malformed(Fault::Framing(_) | Fault::Host(_))) => finding.verdict,
        (Mode::Monitor, _) => Action::Allow,
    }
}

/// One request on one route.
pub(crate) struct Asked<'a, 'f> {
    pub(crate) rules: &'a RuleSet,
    pub(crate) route: &'a Route,
    pub(crate) facts: &'a Facts<'f>,
}

impl Asked<'_, '_> {
    /// The steps that know what to do without a score.
    fn before_score(&self, matching: &Matches, shadow: &mut Shadows) -> Option<Finding> {
        self.malformed()
            .or_else(|| self.allow_rule(matching, shadow))
            .or_else(|| self.ban())
            .or_else(|| self.other_rule(matching, shadow))
            .or_else(|| self.filter(shadow))
    }

    fn malformed(&self) -> Option<Finding> {
        let fault = self.facts.request.fault()?;
        let tolerated = matches!(fault, Fault::Path(_)) && self.route.ambiguous_paths == AmbiguousPaths::Allow;
        (!tolerated).then_some(Finding::new(Action::Block, Cause::Malformed(fault)))
    }

    fn allow_rule(&self, matching: &Matches, shadow: &mut Shadows) -> Option<Finding> {
        for id in matching {
            let Some(rule) = self.rules.rule(*id).filter(|rule| rule.action == Action::Allow) else { continue };
            match rule.mode {
                Mode::Enforce => return Some(Finding::by_rule(*id, Action::Allow, Cause::AllowRule)),
                Mode::Monitor => shadow.push(Shadow { what: ShadowWhat::Rule(*id), action: Action::Allow }),
            }
        }
        None
    }

    /// A banned client is blocked: to ban it again would never let the ban end.
    fn ban(&self) -> Option<Finding> {
        let ban = self.facts.ban?;
        let retry_after_ms = ban.remaining_secs.saturating_mul(1000);
        Some(Finding { retry_after_ms, ..Finding::new(Action::Block, Cause::Ban) })
    }

    /// The first other rule decides among the rules, even where it then has nothing to say: whoever wrote a
    /// challenge before a block meant that who meets the challenge may pass.
    fn other_rule(&self, matching: &Matches, shadow: &mut Shadows) -> Option<Finding> {
        for id in matching {
            let Some(rule) = self.rules.rule(*id).filter(|rule| rule.action != Action::Allow) else { continue };
            let acts = self.acts(rule.action);
            match (rule.mode, acts) {
                (Mode::Enforce, Some(action)) => {
                    let found = Finding::by_rule(*id, action, Cause::DenyRule);
                    return Some(Finding { retry_after_ms: self.held_for_ms(action), ..found });
                }
                (Mode::Enforce, None) => return None,
                (Mode::Monitor, Some(action)) => shadow.push(Shadow { what: ShadowWhat::Rule(*id), action }),
                (Mode::Monitor, None) => {}
            }
        }
        None
    }

    fn filter(&self, shadow: &mut Shadows) -> Option<Finding> {
        let filter = self.consulted_filter()?;
        let action = self.acts(filter.action)?;
        match filter.mode {
            Mode::Enforce => {
                let found = Finding::new(action, Cause::Filter(filter.class));
                Some(Finding { retry_after_ms: self.held_for_ms(action), ..found })
            }
            Mode::Monitor => {
                shadow.push(Shadow { what: ShadowWhat::Filter(filter.class), action });
                None
            }
        }
    }

    /// The filter for the highest class of the network; a lower class is not asked, even where this one has none.
    pub(crate) fn consulted_filter(&self) -> Option<&Filter> {
        let class = highest_class(self.facts.classes())?;
        self.route.filters.iter().find(|filter| filter.class == class)
    }

    /// The levels that are exceeded, or whose key is missing and refused for that, each with its place among all of the
    /// route and what it read.
    pub(crate) fn exceeded(&self) -> impl Iterator<Item = (u16, LevelOf<'_>, LimitReading)> {
        let readings = self.route.levels().zip(self.facts.limits.iter().copied());
        (0_u16..)
            .zip(readings)
            .filter(|(_, (_, reading))| reading.over || reading.unkeyed)
            .map(|(at, (level, reading))| (at, level, reading))
    }

    /// Of the levels that are exceeded, the hardest action decides, and of those alike the first written.
    /// Waiting helps when the last of them admits the request again. The longest delay holds.
    fn limits(&self, shadow: &mut Shadows) -> Limited {
        let mut hardest: Option<Finding> = None;
        let mut delay: Option<Delay> = None;
        let mut wait = 0;
        for (place, LevelOf { at, limit, level }, reading) in self.exceeded() {
            let (cause, over) =
                if reading.unkeyed { (Cause::LimitKey, Over::Act(Action::Block)) } else { (Cause::Limit, level.over) };
            let action = match over {
                Over::Act(action) => action,
                Over::Delay { at_most, max_waiting } if limit.mode == Mode::Enforce => {
                    let at_most = u32::try_from(at_most.as_millis()).unwrap_or(u32::MAX);
                    // Where nobody knows when there will be room, as for what is under way, it waits its longest.
                    let for_ms =
                        if reading.retry_after_ms == 0 { at_most } else { reading.retry_after_ms.min(at_most) };
                    if delay.is_none_or(|other| for_ms > other.for_ms) {
                        delay = Some(Delay { limit: at, for_ms, max_waiting });
                    }
                    continue;
                }
                Over::Delay { .. } | Over::Score(_) => continue,
            };
            // A limit counts by itself, so its throttle is not held to another rate.
            let Some(action) = self.unmet(action) else { continue };
            if limit.mode == Mode::Monitor {
                note_limit(shadow, at, action);
                continue;
            }
            wait = wait.max(reading.retry_after_ms);
            if hardest.is_none_or(|found| action > found.verdict) {
                hardest = Some(Finding { limit: Some(at), level: Some(place), ..Finding::new(action, cause) });
            }
        }
        Limited { finding: hardest.map(|found| Finding { retry_after_ms: wait, ..found }), delay }
    }

    fn threshold(&self, score: Score) -> Option<Finding> {
        let thresholds = self.route.thresholds_in(self.facts.posture);
        let action = thresholds.reached(score)?;
        // What a clearance has met leaves the throttle below it in force.
        let throttled = thresholds.throttle.is_some_and(|throttle| score >= throttle);
        let action = self.acts(action).or_else(|| if throttled { self.acts(Action::Throttle) } else { None })?;
        Some(Finding { retry_after_ms: self.held_for_ms(action), ..Finding::new(action, Cause::Threshold) })
    }

    /// What an action comes to for this client; none where it has met it.
    pub(crate) fn unmet(&self, action: Action) -> Option<Action> {
        let clearance = self.facts.caller.clearance;
        match action {
            Action::Challenge if clearance.is_some() => None,
            Action::Challenge if self.route.clients == Clients::Unattended => Some(Action::Throttle),
            Action::StepUp if clearance >= Some(Clearance::StepUp) => None,
            Action::Allow => None,
            other => Some(other),
        }
    }

    /// What an action comes to now: a throttle is nothing to an address below the route's rate.
    pub(crate) fn acts(&self, action: Action) -> Option<Action> {
        self.unmet(action).filter(|action| *action != Action::Throttle || self.is_above_rate())
    }

    fn is_above_rate(&self) -> bool {
        self.facts.requests_per_minute() > self.route.throttle_per_minute
    }

    /// When the address would be admitted again, had its requests come evenly over the last minute.
    fn held_for_ms(&self, action: Action) -> u32 {
        if action != Action::Throttle {
            return 0;
        }
        let count = u64::from(self.facts.requests_per_minute()).max(1);
        // One more than the excess must have left the window, to make room for the request to come.
        let leaving = (count + 1).saturating_sub(u64::from(self.route.throttle_per_minute)).min(count);
        u32::try_from((60_000 * leaving).div_ceil(count)).unwrap_or(60_000)
    }
}

/// Notes the hardest level of a limit in monitor.
fn note_limit(shadow: &mut Shadows, at: u16, action: Action) {
    let what = ShadowWhat::Limit(at);
    match shadow.last_mut().filter(|last| last.what == what) {
        Some(last) => last.action = last.action.max(action),
        None => shadow.push(Shadow { what, action }),
    }
}

/// The class that is consulted for an address.
pub(crate) fn highest_class(classes: ClassSet) -> Option<NetworkClass> {
    if classes.is_empty() {
        return None;
    }
    CLASS_ORDER.into_iter().find(|class| classes.contains(*class))
}

impl Finding {
    const fn new(verdict: Action, cause: Cause) -> Self {
        Self { verdict, cause, rule: None, limit: None, level: None, retry_after_ms: 0 }
    }

    const fn by_rule(rule: RuleId, verdict: Action, cause: Cause) -> Self {
        Self { rule: Some(rule), ..Self::new(verdict, cause) }
    }
}

impl Thresholds {
    /// The hardest action that a score has reached; a score equal to a threshold has reached it.
    pub fn reached(&self, score: Score) -> Option<Action> {
        [
            (self.ban, Action::Ban),
            (self.block, Action::Block),
            (self.challenge, Action::Challenge),
            (self.throttle, Action::Throttle),
        ]
        .into_iter()
        .find_map(|(threshold, action)| (score >= threshold?).then_some(action))
    }
}

#[cfg(test)]
mod tests;
