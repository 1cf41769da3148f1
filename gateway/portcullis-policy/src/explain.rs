//! Why a request is decided as it is, for a person.

mod counters;
mod flip;
mod layers;
mod near;

use std::fmt;
use std::sync::Arc;

use portcullis_intel::NetworkClass;
use portcullis_signals::{Facts, Group, Posture, SignalId, Signals, Strength};

use crate::conditions::Subject;
use crate::decide::{Asked, CLASS_ORDER, highest_class};
use crate::decision::{Cause, Decision};
use crate::index::Matches;
use crate::machine::{Effect, Scene};
use crate::model::{Action, LevelOf, Mode, Over, Rule, Thresholds};
use crate::weigh::Weighed;
use crate::{RouteId, RuleSet, Score};

pub use counters::Counter;
pub use flip::{Change, Flip};
pub(crate) use layers::value;
pub use layers::{Layer, Provided};

use counters::Read;
use flip::Turning;

/// How many rules that nearly held one step names.
const MAX_NEAR: usize = 3;

/// Why one request is decided as it is. `Display` writes it for a terminal.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The version of the policy.
    pub version: Arc<str>,
    /// Method, host and canonical path.
    pub request: String,
    /// The name of the route.
    pub route: Arc<str>,
    /// The decision, the very one that [`RuleSet::decide`] returns.
    pub decision: Decision,
    /// Every signal that is present, in the order of the list.
    pub signals: Vec<Weighing>,
    /// Every counter that was read, those of the route's limits last.
    pub counters: Vec<Counter>,
    /// Every step, in the order of precedence.
    pub steps: Vec<Step>,
    /// The route's thresholds, in the posture of the decision.
    pub thresholds: Thresholds,
    /// The score; where the decision did without it, what it would have been.
    pub score: Score,
    /// The same before the credit of a clearance.
    pub raw: Score,
    /// The smallest single change after which the verdict would be another; none where no single one is enough.
    pub flip: Option<Flip>,
    /// The values of the route with the layers that they came from: see [`Compiled::explain`](crate::Compiled::explain).
    pub layers: Vec<Provided>,
}

/// One signal of a request with what it weighs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Weighing {
    /// The signal.
    pub signal: SignalId,
    /// How strongly it is present.
    pub strength: Strength,
    /// The score that it alone gives at full strength on this route.
    pub weight: Score,
    /// Whether it counts.
    pub mode: Mode,
    /// Its share of the score.
    pub points: Score,
}

/// One step of the precedence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// What the step asks.
    pub name: &'static str,
    /// What came of it.
    pub outcome: StepOutcome,
    /// What it found, a line each.
    pub notes: Vec<String>,
}

/// What came of one step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StepOutcome {
    /// It had nothing to say.
    Pass,
    /// It decided.
    Decide,
    /// An earlier step had decided.
    NotAsked,
}

impl RuleSet {
    /// Decides on one request and says why, step by step.
    ///
    /// What a step would have found is noted for those after the decisive one, too.
    pub fn explain(&self, facts: &Facts<'_>) -> Explanation {
        self.explain_by(facts, None)
    }

    pub(crate) fn explain_by(&self, facts: &Facts<'_>, stated: Option<&Signals>) -> Explanation {
        let id = self.plan(facts.request);
        let route = self.route(id);
        let matching = self.matching(id, facts);
        let decision = self.decide_by(id, facts, &matching, stated);
        let asked = Asked { rules: self, route, facts };
        let request = facts.request;
        let (signals, weighed) = self.weigh_by(id, facts, stated);
        let turning = Turning {
            rules: self,
            route: id,
            facts,
            matching: &matching,
            signals: &signals,
            stated,
            decision: &decision,
        };
        Explanation {
            version: Arc::clone(self.version()),
            request: format!("{} {} {}", request.method(), request.host(), request.path().as_str()),
            route: Arc::clone(&route.name),
            signals: self.weighings(id, &signals, &weighed),
            flip: turning.smallest(),
            layers: Vec::new(),
            counters: counters::counters(route, facts),
            steps: asked.steps(id, &matching, &decision, &signals, weighed.score),
            thresholds: *route.thresholds_in(facts.posture),
            score: if decision.lifts.is_empty() { weighed.score } else { decision.score },
            raw: if decision.lifts.is_empty() { weighed.raw } else { decision.raw },
            decision,
        }
    }

    fn weighings(&self, id: RouteId, signals: &Signals, weighed: &Weighed) -> Vec<Weighing> {
        let points = |signal| weighed.reasons.iter().find(|reason| reason.signal == signal).map(|reason| reason.points);
        signals
            .iter()
            .map(|(signal, strength)| Weighing {
                signal,
                strength,
                weight: self.route(id).weights.of(signal),
                mode: if self.route(id).weights.monitored.contains(&signal) { Mode::Monitor } else { Mode::Enforce },
                points: points(signal).unwrap_or(Score::ZERO),
            })
            .collect()
    }
}

impl Asked<'_, '_> {
    fn steps(
        &self,
        id: RouteId,
        matching: &Matches,
        decision: &Decision,
        signals: &Signals,
        score: Score,
    ) -> Vec<Step> {
        let machines = matches!(decision.cause, Cause::Machine | Cause::Threshold | Cause::Clear);
        let decided = if machines { decision.score } else { score };
        let decisive = match decision.cause {
            Cause::Malformed(_) => 0,
            Cause::AllowRule => 1,
            Cause::Ban => 2,
            Cause::DenyRule => 3,
            Cause::Filter(_) => 4,
            Cause::Limit | Cause::LimitKey => 5,
            Cause::Machine => 6,
            Cause::Threshold => 7,
            Cause::Clear => usize::MAX,
        };
        let found = [
            ("malformed request", self.fault_notes()),
            ("allow rules", self.rule_notes(id, matching, |action| action == Action::Allow)),
            ("bans", self.ban_notes()),
            ("other rules", self.rule_notes(id, matching, |action| action != Action::Allow)),
            ("filters", self.filter_notes()),
            ("limits", self.limit_notes()),
            ("machines", self.machine_notes(matching, signals, score)),
            ("thresholds", self.threshold_notes(decided)),
        ];
        let outcome = |at: usize| match at.cmp(&decisive) {
            std::cmp::Ordering::Less => StepOutcome::Pass,
            std::cmp::Ordering::Equal => StepOutcome::Decide,
            std::cmp::Ordering::Greater => StepOutcome::NotAsked,
        };
        (0..).zip(found).map(|(at, (name, notes))| Step { name, outcome: outcome(at), notes }).collect()
    }

    fn fault_notes(&self) -> Vec<String> {
        self.facts.request.fault().map(|fault| fault.name().to_owned()).into_iter().collect()
    }

    fn rule_notes(&self, id: RouteId, matching: &Matches, wanted: impl Fn(Action) -> bool) -> Vec<String> {
        let rules = matching
            .iter()
            .filter_map(|id| self.rules.rule(*id))
            .filter(|rule| rule.machine.is_none() && wanted(rule.action));
        let mut first: Option<&str> = None;
        let held = rules.map(|rule| {
            let scope = if rule.route.is_some() { "of this route" } else { "of every route" };
            let remark = match first {
                Some(first) => format!(", not asked behind `{first}`"),
                None => self.remark(rule.action, rule.mode).to_owned(),
            };
            let acts = self.acts(rule.action).is_some() || self.stops(rule.action);
            first = first.or_else(|| (rule.mode == Mode::Enforce && acts).then_some(&*rule.name));
            format!("rule `{}` {scope} says {}{remark}", rule.name, rule.action.name())
        });
        held.chain(self.near_notes(id, &wanted)).collect()
    }

    /// The rules that hold for want of one condition only; the first few.
    fn near_notes(&self, id: RouteId, wanted: impl Fn(Action) -> bool) -> Vec<String> {
        let subject = Subject::of(self.facts);
        let concerns = |rule: &&Rule| {
            rule.machine.is_none() && wanted(rule.action) && rule.route.is_none_or(|route| route == id.0)
        };
        let near = self.rules.rules().iter().filter(concerns).filter_map(|rule| {
            let name = &rule.name;
            Some(match near::missed(rule, &subject)? {
                "until" => format!("nearly: rule `{name}`, which has expired"),
                missed => format!("nearly: rule `{name}`, all but its `{missed}`"),
            })
        });
        near.take(MAX_NEAR).collect()
    }

    fn ban_notes(&self) -> Vec<String> {
        self.facts.ban.map(|ban| format!("banned for {} more seconds", ban.remaining_secs)).into_iter().collect()
    }

    fn filter_notes(&self) -> Vec<String> {
        let Some(class) = highest_class(self.facts.classes()) else { return Vec::new() };
        let name = class.name();
        let note = match self.consulted_filter() {
            Some(filter) => {
                let remark = self.remark(filter.action, filter.mode);
                format!("class `{name}` is consulted and says {}{remark}", filter.action.name())
            }
            None if class == NetworkClass::Relay => format!("class `{name}` is consulted, and lets by"),
            None if self.route.expectation.networks.contains(class) => {
                format!("class `{name}` is consulted, and only counts for the score")
            }
            None => format!("class `{name}` is consulted, and its filter is off"),
        };
        let hidden: Vec<_> = CLASS_ORDER
            .into_iter()
            .filter(|lower| *lower != class && self.facts.classes().contains(*lower))
            .map(|lower| format!("`{}`", lower.name()))
            .collect();
        let hidden = (!hidden.is_empty()).then(|| format!("not consulted beside it: {}", hidden.join(", ")));
        std::iter::once(note).chain(hidden).collect()
    }

    fn limit_notes(&self) -> Vec<String> {
        self.exceeded()
            .map(|(_, LevelOf { limit, level, .. }, reading)| {
                let name = &limit.name;
                let remark = match (limit.mode, level.over) {
                    (Mode::Monitor, _) => ", in monitor",
                    (_, Over::Act(action)) if self.unmet(action).is_none() => ", met by a clearance",
                    (_, Over::Act(action)) if self.unmet(action) != Some(action) => {
                        ", which is a throttle for unattended clients"
                    }
                    _ => "",
                };
                if reading.unkeyed {
                    return format!("limit `{name}` refuses a request that lacks a part of its key{remark}");
                }
                let read = Read { count: reading.count, bound: level.bound };
                format!("limit `{name}` ({read}) says {}{remark}", level.over.name())
            })
            .collect()
    }

    /// What each rule with an expression says; those that do not hold are named too, since the expression is why.
    fn machine_notes(&self, matching: &Matches, signals: &Signals, score: Score) -> Vec<String> {
        let scene = Scene { facts: self.facts, route: self.route, signals, score };
        let rules = matching.iter().filter_map(|id| self.rules.rule(*id));
        rules
            .filter_map(|rule| {
                let machine = rule.machine.as_ref()?;
                let name = &rule.name;
                Some(match machine.program.holds(&scene) {
                    Ok(false) => format!("rule `{name}` does not hold"),
                    Err(fault) => format!("rule `{name}` is left out: {fault}"),
                    Ok(true) => {
                        let does = match machine.effect {
                            Effect::Act => format!("says {}", rule.action.name()),
                            Effect::Raise(signal, strength) => format!("raises `{signal}` to {strength}"),
                            Effect::Add(points) => format!("adds {points}"),
                            Effect::Lift(least) => format!("lifts the score to {least}"),
                        };
                        format!("rule `{name}` {does}{}", self.remark(rule.action, rule.mode))
                    }
                })
            })
            .collect()
    }

    fn threshold_notes(&self, score: Score) -> Vec<String> {
        self.route
            .thresholds_in(self.facts.posture)
            .reached(score)
            .map(|action| format!("score {score} has reached {}{}", action.name(), self.remark(action, Mode::Enforce)))
            .into_iter()
            .collect()
    }

    /// What keeps an action from being done as it is written.
    fn remark(&self, action: Action, mode: Mode) -> &'static str {
        match (mode, self.acts(action)) {
            (Mode::Monitor, _) => ", in monitor",
            (_, None) if action == Action::Challenge && self.facts.caller.clearance.is_some() => ", met by a clearance",
            (_, None) if action == Action::StepUp => ", met by a clearance",
            (_, None) if action != Action::Allow => ", and the address is below the throttle's rate",
            (_, Some(acts)) if acts != action => ", which is a throttle for unattended clients",
            _ => "",
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decision = &self.decision;
        writeln!(f, "{}", self.request)?;
        write!(f, "{} on route `{}`", decision.action.name(), self.route)?;
        if decision.action != decision.verdict {
            write!(f, " in monitor, else {}", decision.verdict.name())?;
        }
        if !decision.code.is_empty() {
            write!(f, ", {}", decision.code)?;
        }
        writeln!(f, ", by policy {}\n", self.version)?;
        self.write_score(f)?;
        let mut news = self.counters.iter().filter(|counter| counter.is_news()).peekable();
        if news.peek().is_some() {
            writeln!(f, "\ncounters")?;
        }
        news.try_for_each(|counter| writeln!(f, "  {counter}"))?;
        writeln!(f, "\nsteps")?;
        for (number, step) in (1..).zip(&self.steps) {
            let (mark, silent) = match step.outcome {
                StepOutcome::Decide => ('>', ""),
                StepOutcome::Pass => (' ', "nothing"),
                StepOutcome::NotAsked => ('-', "not asked"),
            };
            let mut notes = step.notes.iter();
            let first = notes.next().map_or(silent, String::as_str);
            writeln!(f, "{mark} {number} {:<18} {first}", step.name)?;
            for note in notes {
                writeln!(f, "{:23}{note}", "")?;
            }
        }
        if let Some(flip) = &self.flip {
            writeln!(f, "\nsmallest change\n  {flip}")?;
        }
        self.write_layers(f)
    }
}

impl Explanation {
    /// The values of the route. Weights and caps of what is absent played no part, and would bury those that did.
    fn write_layers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.layers.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nvalues of the route, and where they come from")?;
        let (shown, left_out): (Vec<_>, Vec<_>) = self.layers.iter().partition(|provided| self.concerns(&provided.key));
        shown.iter().try_for_each(|provided| writeln!(f, "  {provided}"))?;
        match left_out.len() {
            0 => Ok(()),
            count => writeln!(f, "  and {count} weights and caps of signals that are absent"),
        }
    }

    /// Whether a value is one that such a request has to do with.
    fn concerns(&self, key: &str) -> bool {
        let mut raised = self.signals.iter().map(|weighing| weighing.signal);
        match key.split_once('.') {
            Some(("weights", name)) => raised.any(|signal| signal.name() == name),
            Some(("caps", "connection")) => raised.any(|signal| matches!(signal.group(), Group::Tls | Group::Http2)),
            Some(("caps", name)) => raised.any(|signal| signal.group().name() == name),
            _ => true,
        }
    }

    fn write_score(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "score {}", self.score)?;
        if self.raw != self.score {
            write!(f, " ({} before the credit of a clearance)", self.raw)?;
        }
        if !self.decision.is_scored() {
            write!(f, ", which was not needed")?;
        }
        let thresholds = &self.thresholds;
        let mut lead = match decision_posture(&self.decision) {
            None => "; thresholds: ".to_owned(),
            Some(posture) => format!("; thresholds in posture `{posture}`: "),
        };
        for (threshold, action) in [
            (thresholds.throttle, Action::Throttle),
            (thresholds.challenge, Action::Challenge),
            (thresholds.block, Action::Block),
            (thresholds.ban, Action::Ban),
        ] {
            if let Some(threshold) = threshold {
                write!(f, "{lead}{} {threshold}", action.name())?;
                lead.clear();
                lead.push_str(", ");
            }
        }
        writeln!(f)?;
        if !self.signals.is_empty() {
            writeln!(f, "\nsignal               group      strength  weight  points")?;
        }
        for weighing in &self.signals {
            let Weighing { signal, strength, weight, mode, points } = weighing;
            let mode = if *mode == Mode::Monitor { "  in monitor" } else { "" };
            // `Strength` and `Score` do not pad themselves.
            let (strength, weight, points) = (strength.to_string(), weight.to_string(), points.to_string());
            writeln!(
                f,
                "{:<20} {:<10} {strength:>8} {weight:>7} {points:>7}{mode}",
                signal.name(),
                signal.group().name()
            )?;
        }
        Ok(())
    }
}

/// The posture of a decision, where it is not the normal one.
fn decision_posture(decision: &Decision) -> Option<&'static str> {
    (decision.posture != Posture::Normal).then(|| decision.posture.name())
}

#[cfg(test)]
mod tests;
