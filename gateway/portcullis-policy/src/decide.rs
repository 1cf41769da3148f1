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
//! 7. the first rule with an expression
//! 8. the thresholds of the score
//!
//! Of what step 6 finds and what step 7 or else step 8 finds the harder is done: a limit that throttles hides no
//! challenge, and a rule with an expression lets nobody past a limit.
//!
//! Two actions can be met and then say nothing any more, so that the steps after them are asked: a challenge by
//! a clearance, and a step-up by a clearance of that kind. A throttle holds the address to the route's
//! `throttle_per_minute` and says nothing below it, save that of a limit, which counts by itself.
//! A level that scores raises a signal, and one that delays makes a request wait that is allowed in the end.
//! What is in monitor is noted in [`Decision::shadow`], and the steps go on as if it were not there.
//!
//! The score is worked out behind step 5: what a filter refuses costs no more than that. Rules that weigh change it in
//! step 7; each sees the score as it was before any of them, so their order does not matter to it.

use portcullis_intel::{ClassSet, NetworkClass};
use portcullis_signals::{Clearance, Facts, Fault, LimitReading, Posture, Signals};
use smallvec::SmallVec;

use crate::decision::{Cause, Decision, Delay, Lift, RuleFault, Shadow, ShadowWhat, is_scored};
use crate::index::Matches;
use crate::machine::{Effect, Scene};
use crate::model::{Action, AmbiguousPaths, Clients, Filter, LevelOf, Mode, Over, Route, Rule, Thresholds};
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

/// What the rules with an expression found.
#[derive(Default)]
struct Judged {
    finding: Option<Finding>,
    lifts: SmallVec<[Lift; 1]>,
    faults: SmallVec<[RuleFault; 1]>,
}

impl RuleSet {
    /// Decides on one request: the same facts always give the same decision.
    pub fn decide(&self, facts: &Facts<'_>) -> Decision {
        self.decide_on(self.plan(facts.request), facts)
    }

    /// Decides on one request whose route is known.
    pub fn decide_on(&self, route: RouteId, facts: &Facts<'_>) -> Decision {
        self.decide_by(route, facts, &self.matching(route, facts), None)
    }

    /// Decides on one request by those of its rules that hold, and by these signals in place of those that the facts give, where they are stated.
    pub(crate) fn decide_by(
        &self,
        route: RouteId,
        facts: &Facts<'_>,
        matching: &Matches,
        stated: Option<&Signals>,
    ) -> Decision {
        let policy = self.route(route);
        let mut shadow = Shadows::new();
        let asked = Asked { rules: self, route: policy, facts };
        let found = asked.before_score(matching, &mut shadow);
        let is_scored = found.is_none_or(|finding| is_scored(finding.cause, enforced(policy.mode, finding)));
        let (signals, mut weighed) = if is_scored { self.weigh_by(route, facts, stated) } else { Default::default() };
        let limited = if found.is_none() { asked.limits(&mut shadow) } else { Limited::default() };
        let mut judged = Judged::default();
        let found = match found {
            Some(found) => Some(found),
            None => {
                let base = weighed.score;
                if asked.has_machines(matching) {
                    judged = asked.machines(route, matching, &signals, &mut weighed, &mut shadow);
                }
                asked.watch_signals(route, &signals, [base, weighed.score], &mut shadow);
                harder(limited.finding, judged.finding.or_else(|| asked.threshold(weighed.score)))
            }
        };
        let finding = found.unwrap_or(Finding::new(Action::Allow, Cause::Clear));
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
            lifts: judged.lifts,
            faults: judged.faults,
        }
    }

    /// The score of one request on a route, with its reasons, by the signals of its facts or by those that are stated.
    pub(crate) fn weigh_by(&self, route: RouteId, facts: &Facts<'_>, stated: Option<&Signals>) -> (Signals, Weighed) {
        let signals = stated.copied().unwrap_or_else(|| self.signals(route, facts));
        let weighed = self.scale(route).weigh(&signals, credit(facts));
        (signals, weighed)
    }
}

fn credit(facts: &Facts<'_>) -> Credit {
    // Waiting is dear to nobody: it meets a challenge, and that is all.
    let worked = facts.caller.clearance.filter(|clearance| *clearance >= Clearance::ProofOfWork);
    Credit { clearance: worked, history: facts.conduct.credit }
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
            let Some(rule) = self.rules.rule(*id).filter(|rule| is_access(rule) && rule.action == Action::Allow) else {
                continue;
            };
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

    /// The first other rule decides among the rules, even where a client has met what it asks for: whoever wrote a
    /// challenge before a block meant that who meets the challenge may pass. A throttle that the address is below has
    /// been met by nobody, so the rules behind it are asked: it lets nobody past a block.
    fn other_rule(&self, matching: &Matches, shadow: &mut Shadows) -> Option<Finding> {
        for id in matching {
            let Some(rule) = self.rules.rule(*id).filter(|rule| is_access(rule) && rule.action != Action::Allow) else {
                continue;
            };
            let acts = self.acts(rule.action);
            match (rule.mode, acts) {
                (Mode::Enforce, Some(action)) => {
                    let found = Finding::by_rule(*id, action, Cause::DenyRule);
                    return Some(Finding { retry_after_ms: self.held_for_ms(action), ..found });
                }
                (Mode::Enforce, None) if self.stops(rule.action) => return None,
                (Mode::Monitor, Some(action)) => shadow.push(Shadow { what: ShadowWhat::Rule(*id), action }),
                (_, None) => {}
            }
        }
        None
    }

    /// Whether a rule of this action keeps those behind it from being asked where it has nothing to say itself.
    pub(crate) fn stops(&self, action: Action) -> bool {
        self.unmet(action) != Some(Action::Throttle)
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

    fn has_machines(&self, matching: &Matches) -> bool {
        matching.iter().any(|id| self.rules.rule(*id).is_some_and(|rule| rule.machine.is_some()))
    }

    /// The first rule with an expression that holds and does something decides; those that weigh change the score.
    fn machines(
        &self,
        route: RouteId,
        matching: &Matches,
        signals: &Signals,
        weighed: &mut Weighed,
        shadow: &mut Shadows,
    ) -> Judged {
        let mut judged = Judged::default();
        let scene = Scene { facts: self.facts, route: self.route, signals, score: weighed.score };
        let mut decided = false;
        let mut raised = *signals;
        let mut lifting: SmallVec<[(RuleId, Effect); 4]> = SmallVec::new();
        for id in matching {
            let Some(rule) = self.rules.rule(*id) else { continue };
            let Some(machine) = &rule.machine else { continue };
            match machine.program.holds(&scene) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(fault) => {
                    judged.faults.push(RuleFault { rule: *id, fault });
                    continue;
                }
            }
            match (rule.mode, machine.effect) {
                (Mode::Monitor, Effect::Act) => {
                    let action =
                        if rule.action == Action::Allow { Some(Action::Allow) } else { self.acts(rule.action) };
                    shadow.extend(action.map(|action| Shadow { what: ShadowWhat::Rule(*id), action }));
                }
                (Mode::Monitor, effect) => {
                    let score = self.would_weigh(route, effect, signals, weighed.score);
                    let action = self.moved(weighed.score, score);
                    shadow.extend(action.map(|action| Shadow { what: ShadowWhat::Rule(*id), action }));
                }
                // As among access rules, the first decides even where the client has met what it asks for.
                (Mode::Enforce, Effect::Act) if !decided => {
                    decided = true;
                    judged.finding = self.by_machine(*id, rule.action);
                }
                (Mode::Enforce, Effect::Act) => {}
                (Mode::Enforce, effect) => {
                    if let Effect::Raise(signal, strength) = effect {
                        raised.raise(signal, strength);
                    }
                    lifting.push((*id, effect));
                }
            }
        }
        if raised != *signals {
            *weighed = self.rules.scale(route).weigh(&raised, credit(self.facts));
        }
        for (rule, effect) in lifting {
            let lifted = effect.lifted(weighed.score);
            let points = lifted.minus(weighed.score);
            weighed.score = lifted;
            weighed.raw = effect.lifted(weighed.raw);
            judged.lifts.push(Lift { rule, points });
        }
        judged
    }

    fn by_machine(&self, id: RuleId, action: Action) -> Option<Finding> {
        let action = if action == Action::Allow { action } else { self.acts(action)? };
        let found = Finding::by_rule(id, action, Cause::Machine);
        Some(Finding { retry_after_ms: self.held_for_ms(action), ..found })
    }

    /// The score, were one effect in force.
    fn would_weigh(&self, route: RouteId, effect: Effect, signals: &Signals, score: Score) -> Score {
        match effect {
            Effect::Act => score,
            Effect::Raise(signal, strength) => {
                let mut raised = *signals;
                raised.raise(signal, strength);
                self.rules.scale(route).weigh(&raised, credit(self.facts)).score.max(score)
            }
            Effect::Add(_) | Effect::Lift(_) => effect.lifted(score),
        }
    }

    /// Notes the signals in monitor that would have changed what the score does, before and behind the machines.
    fn watch_signals(&self, route: RouteId, signals: &Signals, [base, score]: [Score; 2], shadow: &mut Shadows) {
        for (signal, with) in self.rules.scale(route).watched(signals, credit(self.facts)) {
            let action = self.moved(score, Effect::Add(with.minus(base)).lifted(score));
            shadow.extend(action.map(|action| Shadow { what: ShadowWhat::Signal(signal), action }));
        }
    }

    /// What a higher score would do that the lower one does not.
    fn moved(&self, from: Score, to: Score) -> Option<Action> {
        self.verdict_of(to).filter(|action| Some(*action) > self.verdict_of(from))
    }

    fn threshold(&self, score: Score) -> Option<Finding> {
        let posture = if self.facts.conduct.is_regular { Posture::Normal } else { self.facts.posture };
        let thresholds = self.route.thresholds_in(posture);
        let action = thresholds.reached(score)?;
        // What a clearance has met leaves the throttle below it in force.
        let throttled = thresholds.throttle.is_some_and(|throttle| score >= throttle);
        let action = self.acts(action).or_else(|| if throttled { self.acts(Action::Throttle) } else { None })?;
        Some(Finding { retry_after_ms: self.held_for_ms(action), ..Finding::new(action, Cause::Threshold) })
    }

    /// What the thresholds say of a score.
    pub(crate) fn verdict_of(&self, score: Score) -> Option<Action> {
        self.threshold(score).map(|finding| finding.verdict)
    }

    /// What a limit comes to past it, which counts by itself.
    pub(crate) fn acts_past(&self, action: Action) -> Option<Action> {
        self.unmet(action)
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

/// The harder one; of two alike the limit's, which says for how long to wait.
fn harder(limited: Option<Finding>, scored: Option<Finding>) -> Option<Finding> {
    match (limited, scored) {
        (Some(limit), Some(score)) => Some(if score.verdict > limit.verdict { score } else { limit }),
        (limit, score) => limit.or(score),
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

/// Whether a rule is asked before the score.
const fn is_access(rule: &Rule) -> bool {
    rule.machine.is_none()
}

impl Effect {
    /// A score with this effect on it.
    pub(crate) fn lifted(self, score: Score) -> Score {
        match self {
            Self::Act | Self::Raise(..) => score,
            Self::Add(points) => Score::thousandths(score.as_thousandths() + points.as_thousandths()),
            Self::Lift(least) => score.max(least),
        }
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

#[cfg(test)]
mod machine_tests;
