//! What the counters read for a request.

use std::fmt;

use portcullis_signals::Facts;

use crate::model::{Bound, LevelOf, Route};

/// What one counter read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Counter {
    /// Its name, as tests of rules name it; of a limit that of its level.
    pub name: Box<str>,
    /// What it read. This request is among the requests of the last minute, and in a limit that counts them.
    pub count: u32,
    /// Of a limit, the most that it admits.
    pub bound: Option<Bound>,
    /// Whether that is exceeded.
    pub over: bool,
}

/// Every counter that facts hold, and then those of the limits of a route.
pub(super) fn counters(route: &Route, facts: &Facts<'_>) -> Vec<Counter> {
    let (behaviour, outcomes, conduct) = (facts.behaviour, facts.outcomes, facts.conduct);
    let known = [
        ("address_per_minute", behaviour.address_per_minute),
        ("prefix_per_minute", behaviour.prefix_per_minute),
        ("fingerprint_per_minute", behaviour.fingerprint_per_minute),
        ("named_per_minute", behaviour.named_per_minute),
        ("attempts", outcomes.attempts),
        ("failures", outcomes.failures),
        ("users", conduct.users),
        ("failed_users", conduct.failed_users),
        ("networks", conduct.networks),
        ("paths", conduct.paths),
        ("missing_paths", conduct.missing_paths),
        ("sequence", conduct.sequence),
        ("cohort_sequence", conduct.cohort_sequence),
    ];
    let known = known.map(|(name, count)| Counter { name: name.into(), count, bound: None, over: false });
    let limits = route.levels().zip(facts.limits).map(|(LevelOf { level, .. }, reading)| Counter {
        name: level.name.as_ref().into(),
        count: reading.count,
        bound: Some(level.bound),
        over: reading.over,
    });
    known.into_iter().chain(limits).collect()
}

impl Counter {
    /// Whether it says something of the requests before, or of a limit that the steps do not tell.
    pub(super) fn is_news(&self) -> bool {
        let counts_this = self.bound.is_some() || self.name.ends_with("_per_minute");
        self.count > u32::from(counts_this) && !self.over
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, count, bound, .. } = self;
        match bound {
            None => write!(f, "{name:<24} {count}"),
            Some(bound) => write!(f, "limit `{name}` {}", Read { count: *count, bound: *bound }),
        }
    }
}

/// A count beside its bound, in words.
pub(super) struct Read {
    pub(super) count: u32,
    pub(super) bound: Bound,
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count;
        match self.bound {
            Bound::Window { limit, window } => write!(f, "{count} of {limit} in {} s", window.as_secs()),
            Bound::Bucket { limit, window, burst } => {
                write!(f, "{count} of {burst} at once, {limit} in {} s", window.as_secs())
            }
            Bound::Concurrent { limit } => write!(f, "{count} of {limit} at the same time"),
        }
    }
}
