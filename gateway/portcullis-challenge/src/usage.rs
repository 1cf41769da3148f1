//! What is counted for a site key.

use parking_lot::Mutex;
use std::time::Duration;

use crate::spent::SpentSet;
use crate::time::UnixMillis;

/// What counts against a site key's allowance. Each counts once for one challenge.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Billable {
    /// A challenge was solved.
    Solved,
    /// A visitor's redeems failed, of puzzles that were ours.
    FailedRedeem,
    /// The site's filters, rules or score said no, in enforce mode.
    EnforcedBlock,
}

impl Billable {
    /// Everything that counts.
    pub const ALL: [Self; 3] = [Self::Solved, Self::FailedRedeem, Self::EnforcedBlock];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::FailedRedeem => "failed-redeem",
            Self::EnforcedBlock => "enforced-block",
        }
    }
}

/// What was counted in one month.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// The month, counted from January 1970.
    pub month: u32,
    /// Challenges that were solved.
    pub solved: u64,
    /// Puzzles of which a redeem failed.
    pub failed_redeems: u64,
    /// Challenges that were refused by filters, rules or score.
    pub enforced_blocks: u64,
    /// Calls of siteverify. They count against nothing.
    pub siteverify_calls: u64,
}

impl Counts {
    /// What counts against the allowance.
    #[must_use]
    pub const fn billed(&self) -> u64 {
        self.solved.saturating_add(self.failed_redeems).saturating_add(self.enforced_blocks)
    }
}

/// The counts of one site key, in the calendar month (UTC) that is running.
#[derive(Debug, Default)]
pub struct Usage(Mutex<Counts>);

impl Usage {
    /// Counts that go on from `counts`, after a restart.
    #[must_use]
    pub const fn resume(counts: Counts) -> Self {
        Self(Mutex::new(counts))
    }

    /// Counts `what` of the challenge that is named `id`, if it was not counted before, and says whether.
    ///
    /// `id` comes from an authenticated token whose work was done, or is one for a visitor and an hour: nobody
    /// counts up another's allowance with tokens that he made himself, nor by failing again and again. `once` is a set for this alone;
    /// when it is full nothing is counted, and the set says so.
    pub fn record(&self, what: Billable, id: [u8; 16], now: UnixMillis, once: &SpentSet) -> bool {
        // Of one challenge each kind has a name of its own in the set.
        let mut name = id;
        if let Some(byte) = name.get_mut(8) {
            *byte ^= 1 + what as u8;
        }
        if once.spend(name, now.after(COUNTED_FOR), now).is_err() {
            return false;
        }
        self.with(now, |counts| match what {
            Billable::Solved => add_one(&mut counts.solved),
            Billable::FailedRedeem => add_one(&mut counts.failed_redeems),
            Billable::EnforcedBlock => add_one(&mut counts.enforced_blocks),
        });
        true
    }

    /// Counts a call of siteverify.
    pub fn record_siteverify(&self, now: UnixMillis) {
        self.with(now, |counts| add_one(&mut counts.siteverify_calls));
    }

    /// What was counted in the month of `now`.
    #[must_use]
    pub fn counts(&self, now: UnixMillis) -> Counts {
        let mut read = Counts::default();
        self.with(now, |counts| read = *counts);
        read
    }

    fn with(&self, now: UnixMillis, act: impl FnOnce(&mut Counts)) {
        let mut counts = self.0.lock();
        let month = month(now);
        // A clock that steps back over midnight goes on counting in the month that had begun. One that was ahead by more
        // was wrong, and must not leave an allowance used up for years.
        let was_ahead = month >= EARLIEST_MONTH && counts.month > month.saturating_add(1);
        if month > counts.month || was_ahead {
            *counts = Counts { month, ..Counts::default() };
        }
        act(&mut counts);
    }
}

/// How long a challenge is known to be counted: the longest that a puzzle is open and then its
/// response can be verified, and as much again.
const COUNTED_FOR: Duration = Duration::from_secs(70 * 60);

/// January 2026. A clock that says an earlier time has not been set yet, and is no reason to begin anew.
const EARLIEST_MONTH: u32 = (2026 - 1970) * 12;

/// Counts kept over a restart are a file's, which may say anything.
const fn add_one(count: &mut u64) {
    *count = count.saturating_add(1);
}

fn month(now: UnixMillis) -> u32 {
    let civil = now.civil();
    let months = (civil.year.saturating_sub(1970)) * 12 + u64::from(civil.month) - 1;
    u32::try_from(months).unwrap_or(u32::MAX)
}
