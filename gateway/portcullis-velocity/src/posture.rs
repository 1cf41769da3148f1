//! Whether a route is under attack, by what it has learned of itself.
//!
//! # What is learned and what departs
//!
//! A route learns what a minute of it is like: how many requests, what share of the origin's answers are failures, how
//! scores are spread (in ten bins). Minutes before count for half after 64 minutes, a single minute moves them little,
//! and a minute in a raised posture teaches a sixteenth: an attack does not become usual while it lasts, and what does
//! last for days becomes so in the end. Every five seconds the minute that runs is held against that:
//!
//! ```text
//! failures  = excess of the minute's failures over the usual ratio      (see `Baseline`, strength 20)
//! scores    = (D − 1.36 / sqrt(n) − 0.15) / 0.35       D = the most by which the share of requests at or above a score,
//!                                                          of 0.3 or more, exceeds its usual share
//!                                                          (Kolmogorov–Smirnov, one-sided)
//! rate      = (requests / max(usual, 20) − 3) / 7
//! departure = 1 − (1 − failures) · (1 − scores) · (1 − rate / 2)
//! ```
//!
//! each from 0 to 1, in thousandths. `1.36 / sqrt(n)` is what chance alone exceeds once in twenty (Smirnov 1948). So
//! failures or scores alone may say all; the rate alone, as in a flash sale, raises to [`Posture::Elevated`] at most.
//! Before a route has been known for half an hour, only failures count, against one in ten.
//!
//! # Never a single client
//!
//! **INVARIANT:** what one client does raises no posture. A client is a prefix here, for whoever holds an address holds
//! its neighbours. Each counts for at most [`RoutePosture::MOST_OF_ONE`] requests a minute in all figures, learned ones
//! too, and a figure counts only if at least [`RoutePosture::FEWEST`] different prefixes more than usual gave cause for it
//! in that minute: failed, or had a score that is unusual there. Prefixes are told apart by where their hash falls among 4096 places, so
//! they are never counted as more than they are, and a minute never counts as more than 24,576 requests.
//!
//! # Rising and falling
//!
//! | posture | rises to it at | is kept up by | falls by a step after so long without |
//! |---|---|---|---|
//! | elevated | 0.30 | 0.20 | two minutes |
//! | under attack | 0.75 | 0.50 | five minutes |
//!
//! It rises within five seconds of the evidence. It falls at the end of a minute. What is refused gives no failures any
//! more, but has its score: an attack that is held off still shows in the scores.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::decay::left_of;
use crate::key::Key;
use crate::outcomes::{Baseline, Outcome};
use crate::time::Millis;
use crate::usual::{Lesson, Minute, Usual};

/// How a route is faring as a whole: one for each route, some nine kilobytes.
///
/// To note a request costs some tens of nanoseconds and no lock; what is learned is looked at every five seconds, by one
/// thread for some microseconds, while others go on.
pub struct RoutePosture {
    /// What each prefix has had its share of in this minute: see [`Cell`].
    cells: Box<[AtomicU16]>,
    stripes: [Stripe; STRIPES],
    /// The number of the minute that runs. 0 also before there was any.
    minute: AtomicU64,
    /// When it is next looked at what has been learned.
    look_at_ms: AtomicU64,
    posture: AtomicU8,
    /// The first bin of unusually high scores: of those a usual minute has at most a tenth.
    high_bin: AtomicU8,
    learned: Mutex<Learned>,
}

impl RoutePosture {
    /// Requests of one prefix that count in a minute.
    pub const MOST_OF_ONE: u32 = 6;
    /// Different prefixes that must have given cause, over those that usually do, before a figure counts.
    pub const FEWEST: u32 = 16;

    /// The posture of a route of which nothing is known: normal.
    pub fn new() -> RoutePosture {
        RoutePosture {
            cells: (0..CELLS).map(|_| AtomicU16::new(0)).collect(),
            stripes: Default::default(),
            minute: AtomicU64::new(0),
            look_at_ms: AtomicU64::new(0),
            posture: AtomicU8::new(Posture::Normal as u8),
            high_bin: AtomicU8::new(BINS as u8 / 2),
            learned: Mutex::new(Learned::default()),
        }
    }

    /// Notes a request that is over.
    #[inline]
    pub fn note(&self, seen: Seen, now: Millis) {
        self.look_if_due(now);
        // As in `sketch.rs`: both halves of the key, spread.
        let bits = (seen.prefix.place ^ seen.prefix.tag.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (Some(cell), Some(stripe)) =
            (self.cells.get((bits >> (64 - CELL_BITS)) as usize), self.stripes.get((bits >> 40) as usize % STRIPES))
        else {
            return;
        };
        let bin = (usize::from(seen.score) * BINS / 1000).min(BINS - 1);
        let failed = seen.outcome == Some(Outcome::Failure);
        let high = bin >= usize::from(self.high_bin.load(Ordering::Relaxed));
        let epoch = self.minute.load(Ordering::Relaxed) as u8;
        let mut before = Cell::default();
        let share = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            before = Cell::of(bits).in_minute(epoch);
            before.with(failed, high).map(Cell::bits)
        });
        if share.is_err() {
            return;
        }
        let count = |counter: &AtomicU32, is: bool| {
            if is {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        count(&stripe.requests, true);
        count(&stripe.answers, seen.outcome.is_some());
        count(&stripe.failures, failed);
        count(&stripe.prefixes, before.requests == 0);
        count(&stripe.failing_prefixes, failed && !before.failed);
        count(&stripe.high_prefixes, high && !before.high);
        if let Some(bin) = stripe.bins.get(bin) {
            bin.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The posture. It is looked at anew where five seconds have passed since it last was.
    #[inline]
    pub fn posture(&self, now: Millis) -> Posture {
        self.look_if_due(now);
        Posture::of(self.posture.load(Ordering::Relaxed))
    }

    /// The posture, and the figures that led to it when it was last looked at.
    pub fn read(&self, now: Millis) -> PostureReading {
        self.look_if_due(now);
        self.learned.lock().reading
    }

    /// What has been learned, for a snapshot.
    pub(crate) fn remembered(&self) -> RememberedPosture {
        let learned = self.learned.lock();
        RememberedPosture { usual: learned.usual, scores: learned.scores }
    }

    /// Puts back what was learned before, unless more has been learned since. The posture itself rises again by itself.
    pub(crate) fn put_back(&self, remembered: &RememberedPosture, age_minutes: u64) {
        let mut learned = self.learned.lock();
        let usual = remembered.usual.aged(age_minutes);
        if usual.knows_more_than(&learned.usual) {
            learned.usual = usual;
            learned.scores = remembered.scores.map(|sum| left_of(sum, age_minutes));
            self.high_bin.store(learned.high_bin(), Ordering::Relaxed);
        }
    }

    #[inline]
    fn look_if_due(&self, now: Millis) {
        let due = self.look_at_ms.load(Ordering::Relaxed);
        if now.0 >= due || due - now.0 > BACK_MS {
            self.look(now);
        }
    }

    #[inline(never)]
    fn look(&self, now: Millis) {
        // Who comes second goes on with what there is.
        let Some(mut learned) = self.learned.try_lock() else { return };
        let learned = &mut *learned;
        let (running, minute) = (self.minute.load(Ordering::Relaxed), now.0 / MINUTE_MS);
        self.look_at_ms.store(now.0.saturating_add(LOOK_MS), Ordering::Relaxed);
        if !learned.has_begun {
            learned.has_begun = true;
            learned.reading.since = now;
            self.minute.store(minute, Ordering::Relaxed);
            return;
        }
        if minute < running {
            // A clock set back: the figures of the minute that ran are of no minute.
            self.minute.store(minute, Ordering::Relaxed);
            self.take();
            learned.reading.since = learned.reading.since.min(now);
            learned.kept_up = learned.kept_up.min(now);
            return;
        }
        if minute == running {
            learned.look(&self.sums(), now, now);
        } else {
            self.minute.store(minute, Ordering::Relaxed);
            let ended = self.take();
            let end = Millis(minute.min(running + 1) * MINUTE_MS);
            learned.look(&ended, end, now);
            let idle = minute - running - 1;
            learned.fall(now);
            learned.learn(&ended, idle);
            self.high_bin.store(learned.high_bin(), Ordering::Relaxed);
        }
        self.posture.store(learned.reading.posture as u8, Ordering::Relaxed);
    }

    /// The figures of the minute that runs.
    fn sums(&self) -> Sums {
        self.summed(|count| count.load(Ordering::Relaxed))
    }

    /// The same, and a new minute begins.
    fn take(&self) -> Sums {
        self.summed(|count| count.swap(0, Ordering::Relaxed))
    }

    fn summed(&self, of: impl Fn(&AtomicU32) -> u32) -> Sums {
        let mut sums = Sums::default();
        for stripe in &self.stripes {
            sums.minute.requests += of(&stripe.requests);
            sums.minute.answers += of(&stripe.answers);
            sums.minute.failures += of(&stripe.failures);
            sums.prefixes += of(&stripe.prefixes);
            sums.failing_prefixes += of(&stripe.failing_prefixes);
            sums.high_prefixes += of(&stripe.high_prefixes);
            for (sum, bin) in sums.bins.iter_mut().zip(&stripe.bins) {
                *sum += of(bin);
            }
        }
        sums
    }
}

impl Default for RoutePosture {
    fn default() -> RoutePosture {
        RoutePosture::new()
    }
}

impl fmt::Debug for RoutePosture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutePosture").field("reading", &self.learned.lock().reading).finish_non_exhaustive()
    }
}

/// What a route is prepared for. A policy says what follows from it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Posture {
    /// What is usual.
    #[default]
    Normal = 0,
    /// Something is not as usual.
    Elevated = 1,
    /// An attack by many.
    UnderAttack = 2,
}

impl Posture {
    /// All of them, from the calmest.
    pub const ALL: [Posture; 3] = [Posture::Normal, Posture::Elevated, Posture::UnderAttack];

    /// Its name in policies, metrics and audit records.
    pub const fn name(self) -> &'static str {
        match self {
            Posture::Normal => "normal",
            Posture::Elevated => "elevated",
            Posture::UnderAttack => "under_attack",
        }
    }

    const fn of(bits: u8) -> Posture {
        match bits {
            0 => Posture::Normal,
            1 => Posture::Elevated,
            _ => Posture::UnderAttack,
        }
    }
}

impl fmt::Display for Posture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request that is over, as far as a route's posture depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Who asked: a keyed hash of the prefix that one party may hold, as of IPv4 a /24 and of IPv6 a /48.
    pub prefix: Key,
    /// The score the request had, in thousandths; more than 1000 is taken for 1000.
    pub score: u16,
    /// What the origin answered; none where it was not asked.
    pub outcome: Option<Outcome>,
}

/// A posture and what led to it. Ratios and departures are thousandths, from 0 to 1000.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PostureReading {
    /// The posture.
    pub posture: Posture,
    /// Since when.
    pub since: Millis,
    /// How far the route departs from what is usual, all in all.
    pub departure: u32,
    /// How far its failures do.
    pub failures: u32,
    /// How far its scores do.
    pub scores: u32,
    /// How far its rate does.
    pub rate: u32,
    /// Requests of the minute looked at, of each prefix its share.
    pub per_minute: u32,
    /// Requests of a usual minute.
    pub usual_per_minute: u32,
    /// The failure ratio of the minute looked at, drawn to the usual one.
    pub failure_ratio: u32,
    /// The usual failure ratio.
    pub usual_failure_ratio: u32,
    /// Different prefixes in the minute looked at; not more than there were.
    pub prefixes: u32,
}

/// What of a posture outlives a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RememberedPosture {
    pub(crate) usual: Usual,
    pub(crate) scores: [u64; SCORE_BINS],
}

/// The number of bins of scores.
pub(crate) const SCORE_BINS: usize = BINS;

/// What a route has learned of itself.
#[derive(Default)]
struct Learned {
    usual: Usual,
    /// Requests by score, in units of 2^-16, each minute weighed by its age as those in `usual` are.
    scores: [u64; BINS],
    reading: PostureReading,
    /// When there was last reason to keep the posture up.
    kept_up: Millis,
    has_begun: bool,
}

impl Learned {
    /// Looks at the figures of a minute, which are of the time up to `until`, and raises the posture where they say so.
    fn look(&mut self, sums: &Sums, until: Millis, now: Millis) {
        let usual = Baseline::new(self.usual.failure_ratio(), PRIOR_ANSWERS);
        let departures = self.departures(sums, usual);
        let reading = &mut self.reading;
        *reading = PostureReading {
            posture: reading.posture,
            since: reading.since,
            departure: departures.all(),
            failures: departures.failures,
            scores: departures.scores,
            rate: departures.rate,
            per_minute: sums.minute.requests,
            usual_per_minute: self.usual.per_minute(),
            failure_ratio: usual.ratio_of(sums.minute.tally()),
            usual_failure_ratio: usual.usual(),
            prefixes: sums.prefixes,
        };
        let raised = match reading.departure {
            UNDER_ATTACK_AT.. => Posture::UnderAttack,
            ELEVATED_AT.. => Posture::Elevated,
            _ => Posture::Normal,
        };
        if raised > reading.posture {
            (reading.posture, reading.since) = (raised, now);
        }
        if reading.departure >= Self::kept_up_by(reading.posture) {
            self.kept_up = until;
        }
    }

    /// Lowers the posture, a step at a time, where nothing has kept it up for long enough.
    fn fall(&mut self, now: Millis) {
        loop {
            let (lower, dwell_ms) = match self.reading.posture {
                Posture::Normal => return,
                Posture::Elevated => (Posture::Normal, ELEVATED_DWELL_MS),
                Posture::UnderAttack => (Posture::Elevated, UNDER_ATTACK_DWELL_MS),
            };
            let due = self.kept_up.max(self.reading.since).0.saturating_add(dwell_ms);
            if now.0 < due {
                return;
            }
            (self.reading.posture, self.reading.since) = (lower, Millis(due));
        }
    }

    /// The departure that keeps a posture up.
    const fn kept_up_by(posture: Posture) -> u32 {
        match posture {
            Posture::Normal | Posture::Elevated => ELEVATED_KEPT_UP_BY,
            Posture::UnderAttack => UNDER_ATTACK_KEPT_UP_BY,
        }
    }

    /// Learns from a minute that is over, and from the idle ones after it.
    fn learn(&mut self, ended: &Sums, idle: u64) {
        let (lesson, part) = match self.reading.posture {
            Posture::Normal => (Lesson::Full, 1),
            Posture::Elevated | Posture::UnderAttack => (Lesson::Little, 16),
        };
        self.usual.learn(ended.minute, RATE_FLOOR, lesson);
        self.usual.pass(idle);
        for (usual, count) in self.scores.iter_mut().zip(&ended.bins) {
            *usual = left_of(*usual, idle.saturating_add(1)).saturating_add((u64::from(*count) << 16) / part);
        }
    }

    fn departures(&self, sums: &Sums, usual: Baseline) -> Departures {
        let share = |of: u32, thousandths: u32| (u64::from(of) * u64::from(thousandths)).div_ceil(1000) as u32;
        let enough = |prefixes: u32, usually: u32, departure: u32| {
            if prefixes >= usually.saturating_add(RoutePosture::FEWEST) { departure } else { 0 }
        };
        let failing = share(sums.minute.answers, usual.usual());
        let failures = enough(sums.failing_prefixes, failing, usual.excess_of(sums.minute.tally()));
        if !self.usual.is_warm() {
            return Departures { failures, scores: 0, rate: 0 };
        }
        let high = share(sums.minute.requests, self.high_share());
        Departures {
            failures,
            scores: enough(sums.high_prefixes, high, self.score_departure(&sums.bins)),
            rate: enough(sums.prefixes, 0, self.rate_departure(sums.minute.requests)),
        }
    }

    fn rate_departure(&self, requests: u32) -> u32 {
        let usual = u64::from(self.usual.per_minute().max(RATE_FLOOR));
        scaled(u64::from(requests) * 1000 / usual, RATE)
    }

    fn score_departure(&self, bins: &[u32; BINS]) -> u32 {
        let now_all: u64 = bins.iter().map(|count| u64::from(*count)).sum();
        let usual_all: u128 = self.scores.iter().map(|count| u128::from(*count)).sum();
        if now_all == 0 || usual_all == 0 {
            return 0;
        }
        let (mut now, mut usual, mut most) = (0_u64, 0_u128, 0_u64);
        for (count, usually) in bins.iter().zip(&self.scores).skip(FIRST_HIGH_BIN).rev() {
            now += u64::from(*count);
            usual += u128::from(*usually);
            let usual_share = (usual * 1000 / usual_all) as u64;
            most = most.max((now * 1000 / now_all).saturating_sub(usual_share));
        }
        // 1.36 / sqrt(n), in thousandths.
        let chance = (1_849_600 / now_all).isqrt();
        scaled(most.saturating_sub(chance), SCORES)
    }

    /// The share of requests that usually have a high score: thousandths, at most a tenth.
    fn high_share(&self) -> u32 {
        let sum = |scores: &[u64]| scores.iter().map(|count| u128::from(*count)).sum::<u128>();
        let high = self.scores.get(usize::from(self.high_bin())..).unwrap_or_default();
        (sum(high) * 1000 / sum(&self.scores).max(1)) as u32
    }

    /// The first bin from which on a usual minute has at most a tenth of its requests.
    fn high_bin(&self) -> u8 {
        let all: u128 = self.scores.iter().map(|count| u128::from(*count)).sum();
        let mut above = 0_u128;
        let low = self.scores.iter().rev().take_while(|count| {
            above += u128::from(**count);
            above * 10 <= all
        });
        (BINS - low.count()).max(FIRST_HIGH_BIN) as u8
    }
}

/// How far the figures of a minute depart from the usual: thousandths.
#[derive(Clone, Copy)]
struct Departures {
    failures: u32,
    scores: u32,
    rate: u32,
}

impl Departures {
    fn all(self) -> u32 {
        let left = |departure: u32| u64::from(1000 - departure.min(1000));
        let left = left(self.failures) * left(self.scores) * left(self.rate / 2) / 1_000_000;
        1000 - left as u32
    }
}

/// The figures of a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    minute: Minute,
    prefixes: u32,
    failing_prefixes: u32,
    high_prefixes: u32,
    bins: [u32; BINS],
}

/// A part of the figures of the minute that runs, on cache lines of its own, so that cores do not wait for each other.
#[derive(Default)]
#[repr(align(128))]
struct Stripe {
    requests: AtomicU32,
    answers: AtomicU32,
    failures: AtomicU32,
    prefixes: AtomicU32,
    failing_prefixes: AtomicU32,
    high_prefixes: AtomicU32,
    bins: [AtomicU32; BINS],
}

/// What the prefixes that fall to one place have had in a minute.
///
/// Eight bits name the minute, so that nothing need be cleared when the next one begins. One that was last touched
/// exactly 256 minutes ago is taken for one of this minute; it counts for less then, never for more.
#[derive(Clone, Copy, Default)]
struct Cell {
    minute: u8,
    requests: u8,
    failed: bool,
    high: bool,
}

impl Cell {
    const fn of(bits: u16) -> Cell {
        Cell {
            minute: (bits >> 8) as u8,
            requests: bits as u8 & 0x0f,
            failed: bits & 0x10 != 0,
            high: bits & 0x20 != 0,
        }
    }

    const fn bits(self) -> u16 {
        (self.minute as u16) << 8 | (self.high as u16) << 5 | (self.failed as u16) << 4 | self.requests as u16
    }

    const fn in_minute(self, minute: u8) -> Cell {
        if self.minute == minute { self } else { Cell { minute, requests: 0, failed: false, high: false } }
    }

    /// With one more request, unless it has had its share.
    const fn with(self, failed: bool, high: bool) -> Option<Cell> {
        if self.requests as u32 >= RoutePosture::MOST_OF_ONE {
            return None;
        }
        Some(Cell { requests: self.requests + 1, failed: self.failed || failed, high: self.high || high, ..self })
    }
}

/// Where a figure lies between one that says nothing and one that says all: thousandths.
fn scaled(figure: u64, (none, all): (u64, u64)) -> u32 {
    (figure.saturating_sub(none).min(all - none) * 1000 / (all - none)) as u32
}

const MINUTE_MS: u64 = 60_000;
/// How often what has been learned is looked at.
const LOOK_MS: u64 = 5_000;
/// How long before the next look a time may be, as that of a request that took long. A clock set back by more is followed.
const BACK_MS: u64 = 10 * MINUTE_MS;
const CELL_BITS: u32 = 12;
const CELLS: usize = 1 << CELL_BITS;
const STRIPES: usize = 4;
/// Bins of scores, of a hundred thousandths each.
const BINS: usize = 10;
/// Scores below 300 thousandths are never high, whatever is usual: a doubt that many share is no attack, and what raises
/// a posture is not to be what the posture brought about.
const FIRST_HIGH_BIN: usize = 3;
/// How firmly the usual failure ratio is held against a minute's: as so many answers.
const PRIOR_ANSWERS: u32 = 20;
/// Requests a minute below which a route's rate is never out of the ordinary.
const RATE_FLOOR: u32 = 20;
/// A rate in thousandths of the usual: up to three times says nothing, ten times says all.
const RATE: (u64, u64) = (3_000, 10_000);
/// Thousandths by which more requests than usual have a high score: up to 150 says nothing, 500 says all.
const SCORES: (u64, u64) = (150, 500);
const ELEVATED_AT: u32 = 300;
const ELEVATED_KEPT_UP_BY: u32 = 200;
const UNDER_ATTACK_AT: u32 = 750;
const UNDER_ATTACK_KEPT_UP_BY: u32 = 500;
const ELEVATED_DWELL_MS: u64 = 120_000;
const UNDER_ATTACK_DWELL_MS: u64 = 300_000;
