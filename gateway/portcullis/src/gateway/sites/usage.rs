//! What is counted of a site: its usage of the month, which an allowance is held against, and what Prometheus sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use portcullis_challenge::site::{Environment, Gate, SiteKey};
use portcullis_challenge::siteverify::ErrorCode;
use portcullis_challenge::{Billable, Counts, SpentSet, UnixMillis, Usage};
use serde::{Deserialize, Serialize};

use super::Sites;
use crate::exposition::Exposition;

/// What one request of a widget, or one call of a backend, came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A puzzle was issued.
    Shown,
    /// It was solved.
    Solved,
    /// A redeem was refused.
    Refused,
    /// The visitor was blocked, before a puzzle or after it.
    Blocked,
    /// The visitor was to come again later.
    Throttled,
    /// The key, the origin or the allowance said no.
    Shut(Gate),
    /// Siteverify said yes.
    Verified,
    /// It said no because of filters, rules or score.
    VerifyBlocked,
    /// It said yes, though filters, rules or score say no: the site or the route is in monitor.
    VerifyWouldBlock,
    /// It said no because of the call or the response.
    NotVerified(ErrorCode),
}

impl Event {
    const ALL: [Self; 19] = [
        Self::Shown,
        Self::Solved,
        Self::Refused,
        Self::Blocked,
        Self::Throttled,
        Self::Shut(Gate::UnknownKey),
        Self::Shut(Gate::NoOrigin),
        Self::Shut(Gate::OtherOrigin),
        Self::Shut(Gate::Allowance),
        Self::Verified,
        Self::VerifyBlocked,
        Self::VerifyWouldBlock,
        Self::NotVerified(ErrorCode::MissingSecret),
        Self::NotVerified(ErrorCode::InvalidSecret),
        Self::NotVerified(ErrorCode::MissingResponse),
        Self::NotVerified(ErrorCode::InvalidResponse),
        Self::NotVerified(ErrorCode::TimeoutOrDuplicate),
        Self::NotVerified(ErrorCode::BadRequest),
        Self::NotVerified(ErrorCode::Internal),
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Solved => "solved",
            Self::Refused => "refused",
            Self::Blocked | Self::VerifyBlocked => "blocked",
            Self::Throttled => "throttled",
            Self::Shut(gate) => gate.reason(),
            Self::Verified => "verified",
            Self::VerifyWouldBlock => "would-block",
            Self::NotVerified(code) => code.name(),
        }
    }

    /// Whether it is of a backend's call and not of a widget.
    pub const fn is_of_backend(self) -> bool {
        matches!(self, Self::Verified | Self::VerifyBlocked | Self::VerifyWouldBlock | Self::NotVerified(_))
    }

    /// Whether it happens where no site is known.
    const fn is_nameless(self) -> bool {
        matches!(
            self,
            Self::Shut(Gate::UnknownKey)
                | Self::NotVerified(
                    ErrorCode::MissingSecret
                        | ErrorCode::InvalidSecret
                        | ErrorCode::MissingResponse
                        | ErrorCode::BadRequest
                )
        )
    }
}

/// What is counted of one site.
#[derive(Debug, Default)]
pub(super) struct SiteState {
    usage: Mutex<Arc<Usage>>,
    events: [AtomicU64; Event::ALL.len()],
}

impl SiteState {
    /// Counts an event.
    pub(super) fn note(&self, event: Event) {
        let at = Event::ALL.iter().position(|known| *known == event);
        if let Some(counter) = at.and_then(|at| self.events.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts what is billed of the challenge that `id` names, once; nothing of a page where the widget is tried.
    pub(super) fn bill(&self, what: Billable, of: Environment, id: [u8; 16], now: UnixMillis, once: &SpentSet) {
        if of == Environment::Production {
            self.usage().record(what, id, now, once);
        }
    }

    pub(super) fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.usage.lock())
    }

    fn events(&self) -> impl Iterator<Item = (Event, u64)> {
        Event::ALL.into_iter().zip(&self.events).map(|(event, count)| (event, count.load(Ordering::Relaxed)))
    }
}

/// What was counted of one site in a month.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SiteUsage {
    /// The internal name.
    pub site: String,
    /// The month (UTC), as in `2030-01`.
    pub month: String,
    /// Challenges that were solved.
    pub solved: u64,
    /// Puzzles of which a redeem failed.
    pub failed_redeems: u64,
    /// Challenges that were refused by filters, rules or score.
    pub enforced_blocks: u64,
    /// The three together, which the allowance is for.
    pub counted: u64,
    /// The allowance of a month; none for no limit.
    pub allowance: Option<u64>,
    /// Calls of siteverify, which count for nothing.
    pub siteverify_calls: u64,
}

impl SiteUsage {
    pub(super) fn of(site: &SiteKey, state: &SiteState, now: UnixMillis) -> Self {
        let counts = state.usage().counts(now);
        Self {
            site: site.name.clone(),
            month: format!("{:04}-{:02}", 1970 + counts.month / 12, counts.month % 12 + 1),
            solved: counts.solved,
            failed_redeems: counts.failed_redeems,
            enforced_blocks: counts.enforced_blocks,
            counted: counts.billed(),
            allowance: site.monthly_allowance,
            siteverify_calls: counts.siteverify_calls,
        }
    }
}

/// What was counted, as it is kept over a restart.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeptUsage {
    /// The version of this form: 1.
    version: u32,
    sites: BTreeMap<String, KeptCounts>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeptCounts {
    /// Months since January 1970.
    month: u32,
    solved: u64,
    failed_redeems: u64,
    enforced_blocks: u64,
    siteverify_calls: u64,
}

const VERSION: u32 = 1;

impl KeptUsage {
    /// The text of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What a file holds; none where it is none of ours.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|kept: &Self| kept.version == VERSION)
    }
}

impl Sites {
    /// What is to be kept over a restart.
    pub fn kept(&self, now: UnixMillis) -> KeptUsage {
        let states = self.states.lock();
        let kept = |(name, state): (&String, &Arc<SiteState>)| {
            let Counts { month, solved, failed_redeems, enforced_blocks, siteverify_calls } = state.usage().counts(now);
            (name.clone(), KeptCounts { month, solved, failed_redeems, enforced_blocks, siteverify_calls })
        };
        KeptUsage { version: VERSION, sites: states.iter().map(kept).collect() }
    }

    /// Goes on counting where an earlier process ended. What is of another month ends with the first look at it.
    pub fn resume(&self, kept: KeptUsage) {
        let mut states = self.states.lock();
        for (name, counts) in kept.sites {
            let KeptCounts { month, solved, failed_redeems, enforced_blocks, siteverify_calls } = counts;
            let counts = Counts { month, solved, failed_redeems, enforced_blocks, siteverify_calls };
            let state = states.entry(name).or_default();
            *state.usage.lock() = Arc::new(Usage::resume(counts));
        }
    }

    /// Writes what Prometheus sees of sites.
    pub fn write(&self, text: &mut Exposition, now: UnixMillis) {
        let table = self.table.load();
        for (family, help, of_backend) in [
            ("portcullis_site_challenges_total", "Requests of widgets, by what became of them.", false),
            ("portcullis_siteverify_total", "Calls of siteverify, by what they were answered.", true),
        ] {
            text.counters(family, help);
            let mut samples = |site: &str, state: &SiteState, nameless: bool| {
                let events = state.events().filter(|(event, _)| event.is_of_backend() == of_backend);
                for (event, count) in events.filter(|(event, _)| event.is_nameless() == nameless) {
                    text.sample(&[("site", site), ("outcome", event.name())], count);
                }
            };
            samples("", &self.nameless, true);
            for (name, state) in &table.states {
                samples(name, state, false);
            }
        }
        let usage = self.usage(now);
        text.gauges("portcullis_site_usage", "What was counted of a site in this month (UTC).");
        for site in &usage {
            for (what, count) in [
                (Billable::Solved, site.solved),
                (Billable::FailedRedeem, site.failed_redeems),
                (Billable::EnforcedBlock, site.enforced_blocks),
            ] {
                text.sample(&[("site", &site.site), ("what", what.name())], count);
            }
        }
        text.gauges("portcullis_site_allowance", "What may be counted of a site in a month.");
        for site in &usage {
            if let Some(allowance) = site.allowance {
                text.sample(&[("site", &site.site)], allowance);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_counted_under_a_place_of_its_own() {
        let state = SiteState::default();
        for event in Event::ALL {
            state.note(event);
        }
        assert!(state.events().all(|(_, count)| count == 1));
        for gate in Gate::ALL {
            assert!(Event::ALL.contains(&Event::Shut(gate)));
        }
        for code in ErrorCode::ALL {
            assert!(Event::ALL.contains(&Event::NotVerified(code)));
        }
    }

    #[test]
    fn what_is_kept_reads_back_and_nothing_else_does() {
        let kept = KeptUsage {
            version: VERSION,
            sites: [(
                "shop".to_owned(),
                KeptCounts { month: 683, solved: 1, failed_redeems: 2, enforced_blocks: 3, siteverify_calls: 4 },
            )]
            .into(),
        };
        let bytes = kept.to_bytes();
        assert_eq!(KeptUsage::from_bytes(&bytes).map(|read| read.to_bytes()), Some(bytes.clone()));
        for length in 0..bytes.len() {
            assert!(KeptUsage::from_bytes(bytes.get(..length).unwrap()).is_none(), "{length}");
        }
        assert!(KeptUsage::from_bytes(b"{\"version\":2,\"sites\":{}}").is_none());
    }
}
