//! What is remembered of a user, an API key, a session, a device or a prefix for days: trouble, and long clean use.
//!
//! # Risk
//!
//! | event | adds | half-life | bound |
//! |---|---|---|---|
//! | [`Event::Block`] | 80 | 1 day | 500 together |
//! | [`Event::ChallengeFailed`] | 40 | 1 day | 500 together |
//! | [`Event::AbuseReport`] | 500 | 7 days | 1000 |
//!
//! Risk is the sum in thousandths, 1000 at most. Blocks and failed challenges are refusals of the gateway's own, which
//! must not feed on themselves: all of one key's in ten minutes count as one, the worst of them. **INVARIANT:** however
//! often a key is refused, its refusals come to no more than 500, so a policy that refuses for a risk past 500 alone is
//! never kept going by its own refusals. What a ban refuses is not to be noted at all.
//!
//! # Credit
//!
//! Credit takes days. A day begins with the first clean request after the one before has ended, and lasts 24 hours; one
//! of fewer than twenty clean requests, or with trouble in it, counts for nothing, one of fifty and more for a whole
//! day. Credit is 0 up to three such days, then grows evenly to 1000 at thirty. Days are forgotten with a half-life of
//! 30 days, and no more than 40 are kept. A block halves the days, a failed challenge takes a quarter, and a report of
//! abuse takes all of them.
//!
//! So a month of everyday use is lost within an hour of trouble, and to farm credit takes as long as to earn it.

use std::fmt;

use crate::decay::{left_of, ticks_between};
use crate::key::Key;
use crate::sets::{Claim, Kept, Sets};
use crate::table::Stats;
use crate::time::Millis;

/// The standing of many keys, in memory that was bounded beforehand: some 100 bytes each.
///
/// Where there is no room left, of sixteen keys the one with the least to remember gives way: risk, or half as much
/// credit, or the days begun. Clean use of a key that is new never displaces one that has earned anything, so a flood of
/// new keys displaces new keys.
///
/// Times are the caller's own clock's. To keep it over a restart, see [`Snapshot`](crate::Snapshot).
pub struct Reputation {
    sets: Sets<Entry>,
}

impl Reputation {
    /// Standings of as many keys as fit into `budget_bytes`, at least sixteen.
    pub fn new(budget_bytes: usize) -> Reputation {
        Reputation { sets: Sets::new(Sets::<Entry>::places_in(budget_bytes)) }
    }

    /// A budget, in bytes, in which `keys` keys live with next to none displaced: 99 bytes each.
    pub const fn budget_for(keys: usize) -> usize {
        Sets::<Entry>::budget_for(keys)
    }

    /// Remembers an event, and gives the standing that follows.
    pub fn note(&self, key: Key, event: Event, now: Millis) -> Standing {
        let at = Seconds::of(now);
        let claim = if event == Event::Clean { Claim::AtMost(WORTH_OF_A_DAY) } else { Claim::Least };
        let note = |entry: &mut Entry| {
            entry.advance(at);
            entry.note(event, at);
            entry.standing()
        };
        self.sets.change(key, now, claim, note).unwrap_or_default()
    }

    /// The standing of a key; the default of one of which nothing is remembered. It changes nothing.
    pub fn read(&self, key: Key, now: Millis) -> Standing {
        let read = |entry: &Entry| {
            let mut entry = *entry;
            entry.advance(Seconds::of(now));
            entry.standing()
        };
        self.sets.read(key, read).unwrap_or_default()
    }

    /// The state of the table. Other threads go on meanwhile, so the figures are of about one moment.
    pub fn stats(&self) -> Stats {
        self.sets.stats()
    }

    /// Shows what there is to remember of each key at `now`.
    pub(crate) fn for_each(&self, now: Millis, mut show: impl FnMut(Key, Remembered)) {
        let at = Seconds::of(now);
        self.sets.for_each(|key, entry| {
            let mut entry = *entry;
            entry.advance(at);
            if !entry.is_forgotten() {
                show(key, entry.remembered());
            }
        });
    }

    /// Puts back what was remembered `age_ms` ago, and says whether anything of it still is. A key that has been noted
    /// since keeps what it has.
    pub(crate) fn put_back(&self, key: Key, remembered: &Remembered, age_ms: u64, now: Millis) -> bool {
        let at = Seconds::of(now);
        let age = u32::try_from(age_ms / 1000).unwrap_or(u32::MAX);
        let mut entry = Entry::of(remembered, Seconds(at.0.saturating_sub(age)));
        entry.advance(at);
        if entry.is_forgotten() || self.sets.read(key, |_| ()).is_some() {
            return false;
        }
        let claim = if entry.standing().risk > 0 { Claim::Least } else { Claim::AtMost(entry.worth(now)) };
        self.sets.change(key, now, claim, |held| *held = entry).is_some()
    }
}

impl fmt::Debug for Reputation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reputation").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Event {
    /// A request was blocked for its score or by a rule; not one refused by a ban that stands.
    Block,
    /// A challenge was answered wrongly. One that was not answered is no event.
    ChallengeFailed,
    /// A person, or the origin, says that it was abused.
    AbuseReport,
    /// A request that was allowed and that the origin did not call a failure.
    Clean,
}

/// How a key stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// What is held against it: thousandths, from 0 to 1000.
    pub risk: u32,
    /// What it has earned: thousandths, from 0 to 1000.
    pub credit: u32,
    /// Whether it has been in clean use for some while: twenty clean requests and half an hour of a day without trouble,
    /// or such a day before.
    pub is_regular: bool,
}

/// What is remembered of a key, apart from any clock: what a snapshot holds. Times are seconds before it was taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Remembered {
    pub(crate) refusals: u32,
    pub(crate) abuse: u32,
    pub(crate) days: u32,
    pub(crate) today: u16,
    pub(crate) counted: u16,
    pub(crate) day_age_secs: u32,
    pub(crate) refused_age_secs: u32,
}

/// A key's standing as its place holds it. Points and days are in units of 1/256.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    touched: Seconds,
    refusals: u32,
    abuse: u32,
    days: u32,
    /// When the day that runs began. Of no meaning while `today` is 0.
    day_began: Seconds,
    /// When the refusal was that was counted last. Of no meaning while `counted` is 0.
    refused: Seconds,
    /// Clean requests of the day that runs.
    today: u16,
    /// What the last refusal that was counted added, in whole points.
    counted: u16,
}

impl Entry {
    fn advance(&mut self, now: Seconds) {
        // A clock that was set back by more than an hour is followed: time goes on from where it is now.
        for time in [&mut self.touched, &mut self.day_began, &mut self.refused] {
            if time.0 > now.0.saturating_add(HOUR_SECS) {
                *time = now;
            }
        }
        let age = |sum: u32, from: Seconds, half_life: u32| {
            let tick = u64::from(half_life) / crate::decay::TICKS;
            left_of(u64::from(sum), ticks_between(u64::from(from.0), u64::from(now.0), tick)) as u32
        };
        self.refusals = age(self.refusals, self.touched, DAY_SECS);
        self.abuse = age(self.abuse, self.touched, 7 * DAY_SECS);
        self.days = age(self.days, self.touched, 30 * DAY_SECS);
        let day_ended = self.day_began.0.saturating_add(DAY_SECS);
        if self.today > 0 && now.0 >= day_ended {
            if self.today >= CLEAN_DAY_LEAST {
                let earned = u32::from(self.today.min(CLEAN_DAY_WHOLE)) * UNIT / u32::from(CLEAN_DAY_WHOLE);
                self.days = (self.days + age(earned, Seconds(day_ended), 30 * DAY_SECS)).min(DAYS_KEPT * UNIT);
            }
            self.today = 0;
        }
        self.touched = self.touched.max(now);
    }

    fn note(&mut self, event: Event, now: Seconds) {
        match event {
            Event::Clean => {
                if self.today == 0 {
                    self.day_began = now;
                }
                self.today = self.today.saturating_add(1);
            }
            Event::Block => self.refuse(BLOCK, now),
            Event::ChallengeFailed => self.refuse(CHALLENGE_FAILED, now),
            Event::AbuseReport => {
                self.abuse = (self.abuse + ABUSE_REPORT * UNIT).min(1000 * UNIT);
                (self.days, self.today) = (0, 0);
            }
        }
    }

    fn refuse(&mut self, points: u16, now: Seconds) {
        self.today = 0;
        let again = self.counted > 0 && now.0.saturating_sub(self.refused.0) < REFUSALS_APART_SECS;
        let counted = if again { points.saturating_sub(self.counted) } else { points };
        if counted == 0 {
            return;
        }
        self.refusals = (self.refusals + u32::from(counted) * UNIT).min(REFUSALS_MOST * UNIT);
        self.days -= if points == BLOCK { self.days / 2 } else { self.days / 4 };
        self.counted = points;
        if !again {
            self.refused = now;
        }
    }

    fn standing(&self) -> Standing {
        let beyond = self.days.saturating_sub(CREDIT_DAYS.0 * UNIT);
        Standing {
            risk: ((self.refusals + self.abuse) / UNIT).min(1000),
            credit: (beyond * 1000 / ((CREDIT_DAYS.1 - CREDIT_DAYS.0) * UNIT)).min(1000),
            is_regular: self.days >= UNIT / 4
                || self.today >= CLEAN_DAY_LEAST && self.touched.0.saturating_sub(self.day_began.0) >= REGULAR_SECS,
        }
    }

    /// Whether nothing is left that could change a standing.
    fn is_forgotten(&self) -> bool {
        self.refusals < UNIT && self.abuse < UNIT && self.days < UNIT / 4 && self.today == 0
    }

    fn remembered(&self) -> Remembered {
        let age = |time: Seconds| self.touched.0.saturating_sub(time.0);
        Remembered {
            refusals: self.refusals,
            abuse: self.abuse,
            days: self.days,
            today: self.today,
            counted: self.counted,
            day_age_secs: age(self.day_began),
            refused_age_secs: age(self.refused),
        }
    }

    /// What was remembered at `then`; no more of anything than can come about.
    fn of(remembered: &Remembered, then: Seconds) -> Entry {
        let before = |age: u32| Seconds(then.0.saturating_sub(age));
        Entry {
            touched: then,
            refusals: remembered.refusals.min(REFUSALS_MOST * UNIT),
            abuse: remembered.abuse.min(1000 * UNIT),
            days: remembered.days.min(DAYS_KEPT * UNIT),
            day_began: before(remembered.day_age_secs),
            refused: before(remembered.refused_age_secs),
            today: remembered.today,
            counted: remembered.counted.min(BLOCK),
        }
    }
}

impl Kept for Entry {
    fn worth(&self, now: Millis) -> u32 {
        let mut entry = *self;
        entry.advance(Seconds::of(now));
        if entry.is_forgotten() {
            return 0;
        }
        let Standing { risk, credit, .. } = entry.standing();
        let begun = (entry.days / UNIT * 4).max(u32::from(entry.today > 0) * WORTH_OF_A_DAY);
        risk.max(credit / 2).max(begun)
    }

    fn touched(&self) -> u64 {
        u64::from(self.touched.0)
    }
}

/// A time in seconds, ten years later than the caller's own clock says, so that what was remembered before that clock
/// began has a time too.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Seconds(u32);

impl Seconds {
    fn of(time: Millis) -> Seconds {
        Seconds(u32::try_from(time.0 / 1000).unwrap_or(u32::MAX).saturating_add(TEN_YEARS_SECS))
    }
}

/// The unit of points and of days.
const UNIT: u32 = 256;
const BLOCK: u16 = 80;
const CHALLENGE_FAILED: u16 = 40;
const ABUSE_REPORT: u32 = 500;
/// Points that the gateway's own refusals make at most.
const REFUSALS_MOST: u32 = 500;
/// Refusals less than ten minutes after one that was counted are one with it.
const REFUSALS_APART_SECS: u32 = 600;
/// Clean requests that make a day count, and those that make it count in full.
const CLEAN_DAY_LEAST: u16 = 20;
const CLEAN_DAY_WHOLE: u16 = 50;
/// For how long a key must have been in clean use to be a regular one.
const REGULAR_SECS: u32 = 1_800;
/// Clean days up to which there is no credit, and from which on there is all of it.
const CREDIT_DAYS: (u32, u32) = (3, 30);
const DAYS_KEPT: u32 = 40;
/// What a key is worth keeping of which only a day has begun: less than any with risk, or with a day's credit.
const WORTH_OF_A_DAY: u32 = 2;
const HOUR_SECS: u32 = 3_600;
const DAY_SECS: u32 = 86_400;
const TEN_YEARS_SECS: u32 = 3_650 * DAY_SECS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{KeyHasher, Secret};

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;

    fn key(of: u64) -> Key {
        KeyHasher::new(Secret([6; 16])).key(of, &[])
    }

    /// Clean use on each of so many days, of so many requests a day, from day `from` on.
    fn use_cleanly(reputation: &Reputation, of: u64, days: std::ops::Range<u64>, requests: u64) {
        for day in days {
            for request in 0..requests {
                reputation.note(key(of), Event::Clean, Millis(day * DAY + request * 1_000));
            }
        }
    }

    #[test]
    fn an_entry_takes_28_bytes() {
        assert_eq!(size_of::<Entry>(), 28);
        assert_eq!(Reputation::budget_for(16_000) / 16_000, 99);
    }

    #[test]
    fn each_event_adds_what_is_stated_and_is_half_forgotten_in_its_time() {
        for (event, risk, half_life_days) in
            [(Event::Block, 80, 1), (Event::ChallengeFailed, 40, 1), (Event::AbuseReport, 500, 7), (Event::Clean, 0, 1)]
        {
            let reputation = Reputation::new(1 << 20);
            assert_eq!(reputation.note(key(1), event, Millis(DAY)).risk, risk, "{event:?}");
            assert_eq!(reputation.read(key(2), Millis(DAY)), Standing::default());
            let later = reputation.read(key(1), Millis(DAY + half_life_days * DAY)).risk;
            assert!(later.abs_diff(risk / 2) <= 1, "{event:?}: {later}");
            assert_eq!(reputation.read(key(1), Millis(DAY + 12 * half_life_days * DAY)).risk, 0, "{event:?}");
        }
    }

    #[test]
    fn x31_refusals_in_a_row_count_once_and_never_reach_more_than_500() {
        let reputation = Reputation::new(1 << 20);
        for second in 0..599 {
            assert_eq!(reputation.note(key(1), Event::Block, Millis(second * 1_000)).risk, 80, "second {second}");
        }
        let mut risk = 0;
        for second in 599..DAY / 1_000 {
            risk = reputation.note(key(1), Event::Block, Millis(second * 1_000)).risk;
            assert!(risk <= 500, "second {second}: {risk}");
        }
        assert!(risk > 450, "{risk}");
        assert!(reputation.read(key(1), Millis(2 * DAY)).risk <= 250);
    }

    #[test]
    fn of_refusals_in_a_row_the_worst_counts() {
        let reputation = Reputation::new(1 << 20);
        for (event, risk) in [(Event::ChallengeFailed, 40), (Event::Block, 80), (Event::ChallengeFailed, 80)] {
            assert_eq!(reputation.note(key(1), event, Millis(0)).risk, risk, "{event:?}");
        }
    }

    #[test]
    fn credit_takes_days_and_many_requests() {
        for (days, requests, least, most) in [
            (1, 10_000, 0, 0),
            (3, 10_000, 0, 0),
            (100, 19, 0, 0),
            (10, 50, 170, 270),
            (10, 25, 0, 90),
            (60, 50, 950, 1000),
        ] {
            let reputation = Reputation::new(1 << 20);
            use_cleanly(&reputation, 1, 0..days, requests);
            let credit = reputation.read(key(1), Millis(days * DAY)).credit;
            assert!((least..=most).contains(&credit), "{days} days of {requests}: {credit}");
        }
    }

    #[test]
    fn a_key_is_regular_after_half_an_hour_of_clean_use_and_trouble_ends_that() {
        let reputation = Reputation::new(1 << 20);
        let minute = |minute: u64| Millis(minute * 60_000);
        for (at, is_regular) in [(0, false), (19, false), (29, false), (30, true), (60, true)] {
            let standing = (0..10).map(|_| reputation.note(key(1), Event::Clean, minute(at))).last().unwrap();
            assert_eq!(standing.is_regular, is_regular, "minute {at}");
        }
        assert!(!reputation.note(key(1), Event::Block, minute(61)).is_regular);
        for at in [0, 100] {
            assert!(!reputation.note(key(2), Event::Clean, minute(at)).is_regular, "two requests");
        }
        use_cleanly(&reputation, 3, 0..1, 20);
        assert!(reputation.read(key(3), Millis(5 * DAY)).is_regular, "it was on a day before");
        assert!(!reputation.read(key(3), Millis(200 * DAY)).is_regular, "which is forgotten");
    }

    #[test]
    fn a_day_cannot_be_hurried() {
        let reputation = Reputation::new(1 << 20);
        for request in 0..1_000_000 {
            reputation.note(key(1), Event::Clean, Millis(request * 80));
        }
        assert_eq!(reputation.read(key(1), Millis(DAY * 2)).credit, 0);
    }

    #[test]
    fn credit_is_lost_at_once_and_fades_unused() {
        for (event, least, most) in [
            (Event::Clean, 950, 1000),
            (Event::ChallengeFailed, 850, 930),
            (Event::Block, 500, 650),
            (Event::AbuseReport, 0, 0),
        ] {
            let reputation = Reputation::new(1 << 20);
            use_cleanly(&reputation, 1, 0..80, 50);
            let standing = reputation.note(key(1), event, Millis(80 * DAY));
            assert!((least..=most).contains(&standing.credit), "{event:?}: {standing:?}");
        }
        let reputation = Reputation::new(1 << 20);
        use_cleanly(&reputation, 1, 0..80, 50);
        for (days, least, most) in [(90, 850, 1000), (110, 500, 650), (400, 0, 0)] {
            let credit = reputation.read(key(1), Millis(days * DAY)).credit;
            assert!((least..=most).contains(&credit), "day {days}: {credit}");
        }
    }

    #[test]
    fn an_hour_of_trouble_takes_what_a_month_has_earned() {
        let reputation = Reputation::new(1 << 20);
        use_cleanly(&reputation, 1, 0..30, 50);
        for minute in 0..60 {
            reputation.note(key(1), Event::Block, Millis(30 * DAY + minute * 60_000));
        }
        assert_eq!(reputation.read(key(1), Millis(30 * DAY + HOUR)).credit, 0);
    }

    #[test]
    fn a_day_with_trouble_in_it_counts_for_nothing() {
        let reputation = Reputation::new(1 << 20);
        for day in 0..60 {
            use_cleanly(&reputation, 1, day..day + 1, 50);
            reputation.note(key(1), Event::ChallengeFailed, Millis(day * DAY + HOUR));
        }
        assert_eq!(reputation.read(key(1), Millis(60 * DAY)).credit, 0);
    }

    #[test]
    fn x18_a_flood_of_new_keys_displaces_neither_offenders_nor_those_with_credit() {
        let reputation = Reputation::new(64 << 10);
        use_cleanly(&reputation, 1, 0..60, 50);
        for report in 0..2 {
            reputation.note(key(2), Event::AbuseReport, Millis(60 * DAY + report));
        }
        for stranger in 0..100_000 {
            let event = if stranger % 2 == 0 { Event::Clean } else { Event::Block };
            reputation.note(key(100 + stranger), event, Millis(60 * DAY + HOUR));
        }
        let stats = reputation.stats();
        assert!(stats.occupied <= stats.capacity && stats.budget_bytes <= 64 << 10, "{stats:?}");
        assert!(reputation.read(key(1), Millis(60 * DAY + HOUR)).credit > 950);
        assert!(reputation.read(key(2), Millis(60 * DAY + HOUR)).risk > 950);
    }

    #[test]
    fn a_clock_set_back_neither_revives_nor_freezes_anything() {
        let reputation = Reputation::new(1 << 20);
        reputation.note(key(1), Event::AbuseReport, Millis(365 * DAY));
        assert_eq!(reputation.read(key(1), Millis(0)).risk, 500);
        reputation.note(key(1), Event::Clean, Millis(0));
        assert!(reputation.read(key(1), Millis(7 * DAY)).risk <= 251);
    }

    proptest! {
        #[test]
        fn any_events_at_any_times_keep_within_the_range(
            events in prop::collection::vec((any::<u64>(), 0_u8..4, 0_u64..3, any::<bool>()), 0..200),
        ) {
            let reputation = Reputation::new(0);
            for (now, event, of, small) in events {
                let event = [Event::Block, Event::ChallengeFailed, Event::AbuseReport, Event::Clean][usize::from(event)];
                let now = Millis(if small { now % (100 * DAY) } else { now });
                let standing = reputation.note(key(of), event, now);
                prop_assert!(standing.risk <= 1000 && standing.credit <= 1000, "{standing:?}");
                prop_assert_eq!(reputation.read(key(of), now), standing);
            }
        }
    }
}
