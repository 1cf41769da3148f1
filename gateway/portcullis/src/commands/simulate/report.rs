//! What came of the clients of a scenario.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use portcullis_policy::Decision;
use portcullis_policy::model::Action;
use portcullis_signals::Posture;
use serde::Serialize;

use super::scenario::{Bar, Clients, Intent, Scenario};

/// What came of the clients of one kind.
#[derive(Debug)]
pub(super) struct Tally {
    name: String,
    intent: Intent,
    bar: Bar,
    allow: u64,
    throttle: u64,
    challenge: u64,
    block: u64,
    /// Requests that met their route in a raised posture, and those of them that met it under attack.
    raised: u64,
    under_attack: u64,
    /// Requests that are held against the bar, and those of them that were challenged or worse.
    judged: u64,
    stopped: u64,
    /// The number of the first request that was challenged or worse, from 1.
    first_stopped: Option<u64>,
    first_at: Option<Duration>,
    /// In how many requests that were challenged or worse each reason had a part.
    reasons: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Of clients that have not come yet.
    pub(super) fn of(kind: &Clients) -> Self {
        Self {
            name: kind.name.clone(),
            intent: kind.intent,
            bar: kind.bar,
            allow: 0,
            throttle: 0,
            challenge: 0,
            block: 0,
            raised: 0,
            under_attack: 0,
            judged: 0,
            stopped: 0,
            first_stopped: None,
            first_at: None,
            reasons: BTreeMap::new(),
        }
    }

    /// Counts a request.
    pub(super) fn count(&mut self, at: Duration, decision: &Decision) {
        *match decision.action {
            Action::Allow => &mut self.allow,
            Action::Throttle => &mut self.throttle,
            Action::Challenge | Action::StepUp => &mut self.challenge,
            Action::Block | Action::Ban => &mut self.block,
        } += 1;
        self.raised += u64::from(decision.posture != Posture::Normal);
        self.under_attack += u64::from(decision.posture == Posture::UnderAttack);
        let number = self.requests();
        let first_at = *self.first_at.get_or_insert(at);
        let is_stopped = decision.action >= Action::Challenge;
        if number > self.bar.after_requests && at >= first_at + self.bar.after {
            self.judged += 1;
            self.stopped += u64::from(is_stopped);
        }
        if is_stopped {
            self.first_stopped.get_or_insert(number);
            for reason in &decision.reasons {
                *self.reasons.entry(reason.signal.name()).or_default() += 1;
            }
            if decision.reasons.is_empty() {
                *self.reasons.entry(decision.code).or_default() += 1;
            }
        }
    }

    fn requests(&self) -> u64 {
        self.allow + self.throttle + self.challenge + self.block
    }

    /// The share that was challenged or worse of the requests that count.
    fn share(&self) -> f64 {
        // Nobody plays 2^53 requests.
        let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        ratio(self.stopped, self.judged)
    }

    /// Whether what was expected came about. Where no request counts nothing did.
    fn holds(&self) -> bool {
        self.judged > 0
            && match self.intent {
                Intent::Honest => self.share() <= self.bar.share,
                Intent::Attack => self.share() >= self.bar.share,
            }
    }

    /// The reasons with the most requests, most first.
    fn main_reasons(&self) -> Vec<(&'static str, u64)> {
        let mut reasons: Vec<_> = self.reasons.iter().map(|(name, count)| (*name, *count)).collect();
        reasons.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        reasons.truncate(MOST_REASONS);
        reasons
    }
}

/// How many reasons are told.
const MOST_REASONS: usize = 5;

/// What came of a scenario.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) tallies: Vec<Tally>,
}

impl Report<'_> {
    /// Whether all that was expected came about.
    pub(super) fn holds(&self) -> bool {
        self.tallies.iter().all(Tally::holds)
    }

    /// One JSON object.
    pub(super) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&ScenarioLine {
            scenario: &self.scenario.name,
            holds: self.holds(),
            lasts_seconds: self.scenario.lasts.as_secs(),
            clients: self.tallies.iter().map(ClientsLine::of).collect(),
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<34}{:>9}{:>8}{:>10}{:>11}{:>8}  challenged or worse",
            self.scenario.name, "requests", "allow", "throttle", "challenge", "block"
        )?;
        for tally in &self.tallies {
            let Tally { name, intent, bar, allow, throttle, challenge, block, .. } = tally;
            let mut bound = match intent {
                Intent::Honest => format!("at most {}", percent(bar.share)),
                Intent::Attack => format!("at least {}", percent(bar.share)),
            };
            if bar.after_requests > 0 {
                write!(bound, " after {} requests", bar.after_requests)?;
            }
            if bar.after > Duration::ZERO {
                write!(bound, " after {} h", bar.after.as_secs() / 3_600)?;
            }
            let missed = if tally.holds() { "" } else { ": MISSED" };
            writeln!(
                f,
                "  {:<7} {name:<24}{:>9}{allow:>8}{throttle:>10}{challenge:>11}{block:>8}  {}, {bound}{missed}",
                intent.name(),
                tally.requests(),
                percent(tally.share()),
            )?;
            if tally.raised > 0 {
                writeln!(f, "{:>10}{} met a raised posture, {} an attack", "", tally.raised, tally.under_attack)?;
            }
            let reasons: Vec<_> = tally.main_reasons().iter().map(|(name, count)| format!("{name} {count}")).collect();
            if let Some(first) = tally.first_stopped {
                writeln!(f, "{:>10}from request {first} on, for {}", "", reasons.join(", "))?;
            }
        }
        Ok(())
    }
}

/// A share in percent, to two places.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

/// The shape of a report as JSON; the names are stable.
#[derive(Serialize)]
struct ScenarioLine<'a> {
    scenario: &'a str,
    holds: bool,
    lasts_seconds: u64,
    clients: Vec<ClientsLine<'a>>,
}

#[derive(Serialize)]
struct ClientsLine<'a> {
    clients: &'a str,
    honest: bool,
    holds: bool,
    requests: u64,
    allow: u64,
    throttle: u64,
    challenge: u64,
    block: u64,
    /// Those that met their route in a raised posture.
    raised: u64,
    /// Those of them that met it under attack.
    under_attack: u64,
    /// Those that are held against what is expected.
    judged: u64,
    /// Those of them that were challenged or worse.
    stopped: u64,
    share: f64,
    expected: f64,
    first_stopped: Option<u64>,
    reasons: BTreeMap<&'static str, u64>,
}

impl<'a> ClientsLine<'a> {
    fn of(tally: &'a Tally) -> Self {
        Self {
            clients: &tally.name,
            honest: tally.intent == Intent::Honest,
            holds: tally.holds(),
            requests: tally.requests(),
            allow: tally.allow,
            throttle: tally.throttle,
            challenge: tally.challenge,
            block: tally.block,
            raised: tally.raised,
            under_attack: tally.under_attack,
            judged: tally.judged,
            stopped: tally.stopped,
            share: (tally.share() * 1e5).round() / 1e5,
            expected: tally.bar.share,
            first_stopped: tally.first_stopped,
            reasons: tally.main_reasons().into_iter().collect(),
        }
    }
}
