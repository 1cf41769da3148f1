//! What is known of each source now: for metrics, and for whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::exposition::Exposition;
use crate::settings::IntelSource;

/// The state of every source. Written when one is refreshed, read when metrics are; never by a request.
#[derive(Debug, Default)]
pub struct Board {
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    status: Mutex<SourceStatus>,
    results: [AtomicU64; Outcome::COUNTED.len()],
}

/// The state of one source. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SourceStatus {
    /// How many entries are in force; none where nothing of it is.
    pub entries: Option<u64>,
    /// How many lines or records of it were left out.
    pub skipped: u64,
    /// When what is in force was fetched, or was last said to be unchanged.
    pub fetched_at: Option<u64>,
    /// Why it failed the last time; none where it went well.
    pub error: Option<String>,
}

/// How a refresh went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// What is new is in force.
    Applied,
    /// There is nothing new.
    Unchanged,
    /// What came does not load, or has shrunk too far; the last good one stays.
    Refused(String),
    /// Nothing came; the last good one stays.
    Failed(String),
    /// It was tried too short a time ago, and was not tried again.
    NotDue,
}

impl Outcome {
    const COUNTED: [&'static str; 4] = ["applied", "unchanged", "refused", "failed"];

    /// The name in metrics and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::NotDue => "not-due",
        }
    }

    /// Whether the source is as it should be.
    pub const fn is_good(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Failed(_))
    }
}

impl Board {
    /// A board on which nothing is known of the sources yet.
    pub fn of(sources: &[IntelSource]) -> Self {
        let slot = |source: &IntelSource| Slot {
            name: Arc::clone(&source.name),
            status: Mutex::default(),
            results: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self { slots: sources.iter().map(slot).collect() }
    }

    /// The state of the source with this number in the settings.
    pub fn status(&self, at: usize) -> Option<SourceStatus> {
        self.slots.get(at).map(|slot| slot.status.lock().clone())
    }

    pub(super) fn update(&self, at: usize, change: impl FnOnce(&mut SourceStatus)) {
        if let Some(slot) = self.slots.get(at) {
            change(&mut slot.status.lock());
        }
    }

    pub(super) fn count(&self, at: usize, outcome: &Outcome) {
        let result = Outcome::COUNTED.iter().position(|name| *name == outcome.name());
        if let Some(counter) = result.and_then(|result| self.slots.get(at)?.results.get(result)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the metrics of all sources, `now` in seconds since 1970. Names of sources come from the settings, so
    /// the labels are a closed set.
    pub fn write(&self, text: &mut Exposition, now: u64) {
        if self.slots.is_empty() {
            return;
        }
        let all = || self.slots.iter().map(|slot| (&*slot.name, slot.status.lock().clone(), &slot.results));
        text.gauges(
            "portcullis_intel_age_seconds",
            "Time since what is in force of a source was fetched, or was last said to be unchanged.",
        );
        for (name, status, _) in all() {
            if let Some(fetched) = status.fetched_at {
                text.sample(&[("source", name)], now.saturating_sub(fetched));
            }
        }
        text.gauges(
            "portcullis_intel_entries",
            "Entries of a source that are in force; of a database, nodes of its search tree.",
        );
        for (name, status, _) in all() {
            text.sample(&[("source", name)], status.entries.unwrap_or(0));
        }
        text.gauges("portcullis_intel_skipped", "Lines or records of a source that were left out.");
        for (name, status, _) in all() {
            text.sample(&[("source", name)], status.skipped);
        }
        text.counters("portcullis_intel_refresh_total", "Refreshes of a source, by how they went.");
        for (name, _, results) in all() {
            for (result, count) in Outcome::COUNTED.iter().zip(results) {
                text.sample(&[("source", name), ("result", result)], count.load(Ordering::Relaxed));
            }
        }
    }
}
