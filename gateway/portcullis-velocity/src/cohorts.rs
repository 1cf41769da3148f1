//! Clients of one route that look alike, and how they fare against what is usual.
//!
//! # What is looked for
//!
//! An attack that sends one request from each of thousands of addresses shows in no counter of an address. But its
//! requests come from one program, and so look alike: the same ClientHello, HTTP/2 settings, order of fields, often the
//! same networks. All that look alike are a *cohort*, named by a keyed hash of what they share. A cohort that suddenly
//! grows, from many addresses, and fails where others succeed, is that attack.
//!
//! # The formulas
//!
//! Counts are of the clock's minutes, the one that runs and the one before; "now" is the rate that a window of 60 s
//! sliding over the two would show, "usual" the mean of the minutes before with a half-life of 64 minutes (bounded, and
//! taught little by minutes that depart from it). All in whole numbers, from 0 to 1 in thousandths.
//!
//! ```text
//! others   = route's rate now without this cohort / its usual, at least 1 and at most 16
//! expected = cohort's usual · others
//! new      = min(cohort now − expected, route now − route usual)
//! growth   = ((expected + new) / (expected + floor) − 2) / 6          floor = max(10, route usual / 10)
//! failing  = excess of the cohort's failures over the most of: the route's usual ratio, the cohort's own,
//!            and that of all others now                               (see `Baseline`)
//! spread   = (distinct addresses − 16) / 48
//! surge    = spread · max(growth · (0.3 + 0.7 · failing), 0.7 · failing)
//! ```
//!
//! What each is for:
//!
//! - **A flash sale** lets all cohorts grow at once: `others` grows as they do, so what is expected of each does.
//! - **A new version of an app** is a new cohort in every network at once, but it takes the place of another: the route
//!   as a whole does not grow, so nothing of it is `new`.
//! - **An origin that fails everybody** lets `failing` be measured against all others now.
//! - **One client**, however loud, has one address: its `spread` is 0.
//! - **Growth without failures** (a scraper, or a hit) is 0.3 at most; failures decide.
//!
//! Before a route has been known for half an hour there is no growth, and failures count against one in ten. That
//! a cohort is new is no alarm by itself; it is taken for one never seen in all the time the route is known, so what
//! it does becomes usual within an hour or two, not at once.
//!
//! An attack that copies the look of the browser most clients have hides in that cohort's rate and can only fail
//! there; one with many looks is none of these cohorts' business. Both show in the route's own figures:
//! [`RoutePosture`](crate::RoutePosture).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::key::Key;
use crate::outcomes::{Baseline, Outcome, Tally};
use crate::sets::{Claim, Kept, Sets};
use crate::sketch::Sketch;
use crate::table::Stats;
use crate::time::Millis;
use crate::usual::{Lesson, Minute, Usual};

/// The cohorts of one route, in memory that was bounded beforehand: about 300 bytes each.
///
/// When there are more than it holds, the quietest of sixteen gives way; one displaced that comes again is taken for one
/// never seen. So an attacker who invents looks displaces such, and those that honest clients share stay.
pub struct Cohorts {
    sets: Sets<Cohort>,
    route: Route,
}

impl Cohorts {
    /// Room for some `cohorts` of one route, rounded up to whole sets of sixteen. Honest traffic has some dozens.
    pub fn new(cohorts: usize) -> Cohorts {
        Cohorts { sets: Sets::new(cohorts), route: Route::default() }
    }

    /// Counts a request of a cohort, and gives how the cohort fares, this request with it.
    ///
    /// `cohort` is a keyed hash of what its clients share; the more it has of what is hard to change and the same in
    /// every honest client of a kind, the better. `address` is what stands for one client: for IPv6 its /48 or /56, as
    /// one party may hold 65,536 of /64. `user` is whom the request names, if anybody.
    pub fn note_request(&self, cohort: Key, address: Key, user: Option<Key>, now: Millis) -> CohortReading {
        let at = self.route.at(now);
        self.route.running.requests.fetch_add(1, Ordering::Relaxed);
        let route = self.route.shown(at);
        let note = |cohort: &mut Cohort| {
            cohort.advance(at, &self.route, &route);
            cohort.running.requests = cohort.running.requests.saturating_add(1);
            cohort.addresses.note(address);
            if let Some(user) = user {
                cohort.users.note(user);
            }
            cohort.shown(at, &route)
        };
        self.sets.change(cohort, now, Claim::Least, note).unwrap_or_default().against(&route)
    }

    /// Counts what the origin answered to a request of a cohort. The gateway's own refusals are no answers.
    pub fn note_answer(&self, cohort: Key, outcome: Outcome, now: Millis) {
        let at = self.route.at(now);
        let failed = u32::from(outcome == Outcome::Failure);
        self.route.running.answers.fetch_add(1, Ordering::Relaxed);
        if failed > 0 {
            self.route.running.failures.fetch_add(failed, Ordering::Relaxed);
        }
        // One displaced since its request has no answers to be counted.
        if self.sets.read(cohort, |_| ()).is_none() {
            return;
        }
        let route = self.route.shown(at);
        let note = |cohort: &mut Cohort| {
            cohort.advance(at, &self.route, &route);
            cohort.running.answers = cohort.running.answers.saturating_add(1);
            cohort.running.failures = cohort.running.failures.saturating_add(failed);
        };
        self.sets.change(cohort, now, Claim::AtMost(0), note);
    }

    /// How a cohort fares; the default of one of which nothing is known. It changes nothing of the cohort.
    pub fn read(&self, cohort: Key, now: Millis) -> CohortReading {
        let at = self.route.at(now);
        let route = self.route.shown(at);
        let show = |cohort: &Cohort| {
            let mut cohort = *cohort;
            cohort.advance(at, &self.route, &route);
            cohort.shown(at, &route)
        };
        self.sets.read(cohort, show).map(|shown| shown.against(&route)).unwrap_or_default()
    }

    /// The `at_most` cohorts with the greatest surge, and how they fare: for people. Cohorts without any are left out.
    pub fn surging(&self, at_most: usize, now: Millis) -> Vec<(Key, CohortReading)> {
        let at = self.route.at(now);
        let route = self.route.shown(at);
        let mut surging = Vec::new();
        self.sets.for_each(|key, cohort| {
            let mut cohort = *cohort;
            cohort.advance(at, &self.route, &route);
            let reading = cohort.shown(at, &route).against(&route);
            if reading.surge > 0 {
                surging.push((key, reading));
            }
        });
        surging.sort_unstable_by_key(|(key, reading)| (std::cmp::Reverse(reading.surge), *key));
        surging.truncate(at_most);
        surging
    }

    /// The state of the table. Other threads go on meanwhile, so the figures are of about one moment.
    pub fn stats(&self) -> Stats {
        self.sets.stats()
    }
}

impl fmt::Debug for Cohorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cohorts").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// How a cohort fares on its route.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CohortReading {
    /// Requests in the last minute.
    pub per_minute: u32,
    /// Requests in a usual minute of this cohort's.
    pub usual_per_minute: u32,
    /// Different addresses in a minute of the clock, the one that runs or the one before, whichever had more. Standard
    /// error 9.2 %.
    pub addresses: u32,
    /// Different users, likewise.
    pub users: u32,
    /// The origin's answers in the minute that runs and the one before, and the failures among them.
    pub answers: Tally,
    /// Their failure ratio, drawn to the usual one: thousandths.
    pub failure_ratio: u32,
    /// What it was measured against: thousandths.
    pub usual_failure_ratio: u32,
    /// How far the rate is above what would be expected: thousandths, from 0 to 1000.
    pub growth: u32,
    /// How surely it fails more than is usual: thousandths, from 0 to 1000.
    pub failing: u32,
    /// How much of a distributed attack it is: thousandths, from 0 to 1000.
    pub surge: u32,
}

/// A cohort as its place holds it.
#[derive(Clone, Copy, Default)]
struct Cohort {
    /// The number of the minute that runs, plus one; 0 for a cohort that is new.
    minute: u64,
    running: Minute,
    last: Minute,
    last_addresses: u32,
    last_users: u32,
    addresses: Sketch,
    users: Sketch,
    usual: Usual,
}

impl Cohort {
    /// Moves on to the minute that runs.
    #[inline]
    fn advance(&mut self, at: At, route: &Route, shown: &ShownRoute) {
        if self.minute != at.minute + 1 {
            self.turn(at, route, shown);
        }
    }

    #[inline(never)]
    fn turn(&mut self, at: At, route: &Route, shown: &ShownRoute) {
        if self.minute == 0 {
            self.usual = Usual::unseen_beside(&route.learned.lock().usual);
            self.minute = at.minute + 1;
            return;
        }
        let passed = (at.minute + 1).saturating_sub(self.minute);
        self.minute = at.minute + 1;
        if passed == 0 {
            // The route's clock was set back; the minute that ran goes on under its new number.
            return;
        }
        let usual = shown.usual_failure_ratio.max(self.usual_failure_ratio(shown));
        let fails = Baseline::new(usual, PRIOR_ANSWERS).excess_of(self.running.tally());
        let lesson = if fails >= DEPARTS { Lesson::Little } else { Lesson::Full };
        self.usual.learn(self.running, shown.floor(), lesson);
        self.usual.pass(passed - 1);
        let ended = std::mem::take(&mut self.running);
        let (addresses, users) = (self.addresses.estimate(), self.users.estimate());
        (self.addresses, self.users) = (Sketch::default(), Sketch::default());
        (self.last, self.last_addresses, self.last_users) =
            if passed == 1 { (ended, addresses, users) } else { (Minute::default(), 0, 0) };
    }

    fn shown(&self, at: At, route: &ShownRoute) -> Shown {
        Shown {
            per_minute: at.sliding(self.running.requests, self.last.requests),
            usual_per_minute: self.usual.per_minute(),
            addresses: self.addresses.estimate().max(self.last_addresses),
            users: self.users.estimate().max(self.last_users),
            answers: self.running.plus(self.last).tally(),
            usual_failure_ratio: self.usual_failure_ratio(route),
        }
    }

    /// What a cohort usually fails is known from thousands of answers only. Until then it is what its route does.
    fn usual_failure_ratio(&self, route: &ShownRoute) -> u32 {
        self.usual.failure_ratio_drawn_to(Baseline::new(route.usual_failure_ratio, OWN_ANSWERS))
    }
}

impl Kept for Cohort {
    fn worth(&self, now: Millis) -> u32 {
        let silent = (now.0 / MINUTE_MS + 1).saturating_sub(self.minute);
        let usual = self.usual.per_minute() >> (silent / 64).min(31);
        let recent = if silent <= 1 { self.running.requests.saturating_add(self.last.requests) } else { 0 };
        usual.saturating_add(recent)
    }

    fn touched(&self) -> u64 {
        self.minute
    }
}

/// A cohort's own figures, for which its lock was held.
#[derive(Clone, Copy, Default)]
struct Shown {
    per_minute: u32,
    usual_per_minute: u32,
    addresses: u32,
    users: u32,
    answers: Tally,
    usual_failure_ratio: u32,
}

impl Shown {
    fn against(self, route: &ShownRoute) -> CohortReading {
        let others = Tally {
            answers: route.answers.answers.saturating_sub(self.answers.answers),
            failures: route.answers.failures.saturating_sub(self.answers.failures),
        };
        let others_fail = Baseline::new(route.usual_failure_ratio, PRIOR_ANSWERS).ratio_of(others);
        let usual = route.usual_failure_ratio.max(self.usual_failure_ratio).max(others_fail);
        let baseline = Baseline::new(usual, PRIOR_ANSWERS);
        let (growth, failing) = (self.growth(route), baseline.excess_of(self.answers));
        let spread = u64::from(scaled(self.addresses, ADDRESSES));
        let strongest =
            (u64::from(growth) * (300_000 + 700 * u64::from(failing)) / 1_000_000).max(u64::from(failing) * 700 / 1000);
        CohortReading {
            per_minute: self.per_minute,
            usual_per_minute: self.usual_per_minute,
            addresses: self.addresses,
            users: self.users,
            answers: self.answers,
            failure_ratio: baseline.ratio_of(self.answers),
            usual_failure_ratio: usual,
            growth,
            failing,
            surge: (spread * strongest / 1000) as u32,
        }
    }

    fn growth(&self, route: &ShownRoute) -> u32 {
        if !route.is_warm {
            return 0;
        }
        let [now, usual] = [self.per_minute, self.usual_per_minute].map(u64::from);
        let others_now = u64::from(route.per_minute).saturating_sub(now);
        let others_usual = u64::from(route.usual_per_minute).saturating_sub(usual);
        let others = match others_usual {
            0 => 1000,
            _ => (others_now * 1000 / others_usual).clamp(1000, 16_000),
        };
        let expected = usual * others / 1000;
        let new = now
            .saturating_sub(expected)
            .min(u64::from(route.per_minute).saturating_sub(u64::from(route.usual_per_minute)));
        let level = (expected + new) * 1000 / (expected + u64::from(route.floor()));
        scaled(u32::try_from(level).unwrap_or(u32::MAX), GROWTH)
    }
}

/// A route as a whole: what runs in atomics, what was learned behind a lock that is taken once a minute.
#[derive(Default)]
struct Route {
    running: Running,
    /// The number of the minute that runs, plus one; 0 before there was any.
    minute: AtomicU64,
    last_requests: AtomicU32,
    last_answers: AtomicU32,
    last_failures: AtomicU32,
    usual_per_minute: AtomicU32,
    usual_failure_ratio: AtomicU32,
    is_warm: AtomicBool,
    learned: Mutex<Learned>,
}

/// What every request writes, apart from what every request reads.
#[derive(Default)]
#[repr(align(128))]
struct Running {
    requests: AtomicU32,
    answers: AtomicU32,
    failures: AtomicU32,
}

#[derive(Default)]
struct Learned {
    usual: Usual,
}

impl Route {
    /// Where `now` falls in the minutes of the route, which is moved on to it.
    #[inline]
    fn at(&self, now: Millis) -> At {
        let (minute, into_ms) = (now.0 / MINUTE_MS, now.0 % MINUTE_MS);
        let running = self.minute.load(Ordering::Relaxed);
        if minute + 1 == running {
            return At { minute, into_ms };
        }
        if minute + 1 < running && running - (minute + 1) <= BACK_MINUTES {
            // An answer that took long, or a clock set back a little.
            return At { minute: running - 1, into_ms: 0 };
        }
        self.turn(minute, into_ms)
    }

    #[inline(never)]
    fn turn(&self, minute: u64, into_ms: u64) -> At {
        let mut learned = self.learned.lock();
        let running = self.minute.load(Ordering::Relaxed);
        if running == 0 || running > minute + 1 + BACK_MINUTES {
            // The first request, or a clock set back: the minute that ran goes on under its new number.
            self.minute.store(minute + 1, Ordering::Relaxed);
            self.publish(&learned.usual);
            return At { minute, into_ms };
        }
        let passed = (minute + 1).saturating_sub(running);
        if passed == 0 {
            // Another thread was first.
            return At { minute: running - 1, into_ms: if running - 1 == minute { into_ms } else { 0 } };
        }
        let ended = Minute {
            requests: self.running.requests.swap(0, Ordering::Relaxed),
            answers: self.running.answers.swap(0, Ordering::Relaxed),
            failures: self.running.failures.swap(0, Ordering::Relaxed),
        };
        let fails = Baseline::new(learned.usual.failure_ratio(), PRIOR_ANSWERS).excess_of(ended.tally());
        let lesson = if fails >= DEPARTS { Lesson::Little } else { Lesson::Full };
        let floor = floor(learned.usual.per_minute());
        learned.usual.learn(ended, floor, lesson);
        learned.usual.pass(passed - 1);
        let last = if passed == 1 { ended } else { Minute::default() };
        self.last_requests.store(last.requests, Ordering::Relaxed);
        self.last_answers.store(last.answers, Ordering::Relaxed);
        self.last_failures.store(last.failures, Ordering::Relaxed);
        self.publish(&learned.usual);
        self.minute.store(minute + 1, Ordering::Relaxed);
        At { minute, into_ms }
    }

    fn publish(&self, usual: &Usual) {
        self.usual_per_minute.store(usual.per_minute(), Ordering::Relaxed);
        self.usual_failure_ratio.store(usual.failure_ratio(), Ordering::Relaxed);
        self.is_warm.store(usual.is_warm(), Ordering::Relaxed);
    }

    #[inline]
    fn shown(&self, at: At) -> ShownRoute {
        let load = |count: &AtomicU32| count.load(Ordering::Relaxed);
        ShownRoute {
            per_minute: at.sliding(load(&self.running.requests), load(&self.last_requests)),
            answers: Tally {
                answers: load(&self.running.answers).saturating_add(load(&self.last_answers)),
                failures: load(&self.running.failures).saturating_add(load(&self.last_failures)),
            },
            usual_per_minute: load(&self.usual_per_minute),
            usual_failure_ratio: load(&self.usual_failure_ratio),
            is_warm: self.is_warm.load(Ordering::Relaxed),
        }
    }
}

/// A route's figures at one moment.
#[derive(Clone, Copy)]
struct ShownRoute {
    per_minute: u32,
    answers: Tally,
    usual_per_minute: u32,
    usual_failure_ratio: u32,
    is_warm: bool,
}

impl ShownRoute {
    fn floor(&self) -> u32 {
        floor(self.usual_per_minute)
    }
}

/// A minute by its number, and how much of it has passed.
#[derive(Clone, Copy)]
struct At {
    minute: u64,
    into_ms: u64,
}

impl At {
    /// What a window of a minute that slides over the minute that runs and the one before would count, if the one
    /// before was even.
    fn sliding(self, running: u32, last: u32) -> u32 {
        running.saturating_add((u64::from(last) * (MINUTE_MS - self.into_ms) / MINUTE_MS) as u32)
    }
}

/// Requests a minute below which no cohort of a route is worth a word.
fn floor(route_per_minute: u32) -> u32 {
    (route_per_minute / 10).max(10)
}

/// Where a figure lies between one that says nothing and one that says all: thousandths.
fn scaled(figure: u32, (none, all): (u32, u32)) -> u32 {
    let above = u64::from(figure.saturating_sub(none)) * 1000;
    (above / u64::from(all - none)).min(1000) as u32
}

const MINUTE_MS: u64 = 60_000;
/// How firmly the usual failure ratio of a route is held against a cohort's own: as so many answers.
const PRIOR_ANSWERS: u32 = 20;
/// How firmly it is held against what a cohort has been failing for long.
const OWN_ANSWERS: u32 = 2_000;
/// An excess of failures from which on a minute teaches little of what is usual: thousandths.
const DEPARTS: u32 = 200;
/// Distinct addresses a minute up to which a cohort is nobody's attack, and from which on it may be in full.
const ADDRESSES: (u32, u32) = (16, 64);
/// A rate in thousandths of what is expected: up to twice says nothing, eight times says all.
const GROWTH: (u32, u32) = (2_000, 8_000);
/// Minutes that a time may be before the latest one, as that of a request that took long; it is taken for the latest
/// then. A clock set back by more is followed.
const BACK_MINUTES: u64 = 10;
