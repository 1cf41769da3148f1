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
//! others   = (route's rate now without this cohort + 4) / (its usual + 4), at least 1 and at most 16
//! expected = cohort's usual · others
//! new      = min(cohort now − expected, route now − route usual)
//! growth   = ((expected + new) / (expected + floor · others) − 2) / 6  floor = max(2, route usual / 10)
//! failing  = excess of the cohort's failures over the most of: the route's usual ratio, the cohort's own,
//!            and that of all others now                               (see `Baseline`)
//! lasting  = the same of the last hours (half-life 256 min, 256 answers at most) over the most of: that of all others
//!            in these hours and now, and the cohort's own usual ratio, but no more than two of three
//! spread   = (distinct addresses in an hour − 16) / 48
//! surge    = spread · max(failing · (0.7 + 0.3 · growth), (lasting − 0.3) / 0.7)
//! ```
//!
//! What each is for:
//!
//! - **A flash sale** lets all cohorts grow at once: `others` grows as they do, so what is expected of each does.
//! - **A new version of an app** is a new cohort in every network at once, but it takes the place of another: the route
//!   as a whole does not grow, so nothing of it is `new`.
//! - **An origin that fails everybody** lets `failing` be measured against all others now.
//! - **One client**, however loud, has one address: its `spread` is 0.
//! - **Growth without failures** (a scraper, or a hit) is no surge; failures decide. Where success is what is abused
//!   (accounts, codes by SMS, stock), [`CohortReading::growth`] itself says it.
//! - **People differ**: those of one look may well fail half as often again as those of another, for hours. So `lasting`
//!   says nothing until it is a good part of the way.
//! - **A few tries an hour from each of hundreds of addresses** make no minute remarkable: `lasting` knows hours. It also
//!   remembers what a cohort did that is held off and has no answers any more. Of others only those count that do
//!   not fail like that themselves, so an attack does not become the measure of itself.
//!
//! Before a route has been known for half an hour there is no growth, and failures count against one in ten. A minute of
//! several times the usual rate teaches little, as one of failures does, and one in which a cohort grew into a crowd
//! hardly anything: an attack that lasts is still one after a day. That
//! a cohort is new is no alarm by itself; it is taken for one never seen in all the time the route is known, so what
//! it does becomes usual within an hour or two, not at once.
//!
//! An attack that copies the look of the browser most clients have hides in that cohort's rate and can only fail
//! there. One with many looks, each of them new, is a cohort of strangers ([`Cohorts::note_stranger`]); one with many that
//! it showed before, in calm times, is none. Both show in the route's own figures: [`RoutePosture`](crate::RoutePosture).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::decay::left_of;
use crate::key::Key;
use crate::outcomes::{Baseline, Outcome, Tally};
use crate::posture::Posture;
use crate::sets::{Claim, Kept, Sets};
use crate::sketch::Sketch;
use crate::table::Stats;
use crate::time::Millis;
use crate::usual::{Lesson, Minute, Usual};

/// The cohorts of one route, in memory that was bounded beforehand: about 350 bytes each.
///
/// When there are more than it holds, the quietest of sixteen gives way; one displaced that comes again is taken for one
/// never seen. So an attacker who invents looks displaces such, and those that honest clients share stay, also where these
/// are few: for days after it was there in calm times a look is worth more than one that came once.
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
        self.route.at(now);
        self.route.running.requests.fetch_add(1, Ordering::Relaxed);
        self.note_look(cohort, address, user, now)
    }

    /// Counts a request that is counted already for another cohort, which tells clients apart more finely or more
    /// coarsely, and gives how this one fares.
    pub fn note_look(&self, cohort: Key, address: Key, user: Option<Key>, now: Millis) -> CohortReading {
        let at = self.route.at(now);
        let route = self.route.shown(at);
        let note = |cohort: &mut Cohort| {
            cohort.advance(at, &self.route, &route);
            cohort.running.requests = cohort.running.requests.saturating_add(1);
            cohort.addresses.note(address);
            if let Some(user) = user {
                cohort.users.note(user);
            }
            let reading = cohort.shown(at, &route).against(&route);
            cohort.departs = reading.lasting >= DEPARTS;
            cohort.crowds |= reading.crowding() >= CROWD;
            reading
        };
        self.sets.change(cohort, now, Claim::Least, note).unwrap_or_default()
    }

    /// Counts a request for all strangers together, as one cohort, and gives how these fare. It is counted for its own look
    /// already, which says whether it is one: [`CohortReading::stranger`].
    ///
    /// Who gives each of his clients a look of its own makes none of them a crowd, but a crowd of strangers. While there is
    /// one, and for a quarter of an hour after, no look becomes known.
    pub fn note_stranger(&self, strangers: Key, address: Key, user: Option<Key>, now: Millis) -> CohortReading {
        let reading = self.note_look(strangers, address, user, now);
        if reading.surge.max(reading.crowding()) >= CROWD {
            self.route.crowded.fetch_max(now.0 / MINUTE_MS + 1, Ordering::Relaxed);
        }
        reading
    }

    /// Says in which posture the route is: what is seen in a raised one for the first time is not known by that.
    pub fn in_posture(&self, posture: Posture) {
        // It is asked for with every request, and changes seldom.
        if self.route.posture.load(Ordering::Relaxed) != posture as u8 {
            self.route.posture.store(posture as u8, Ordering::Relaxed);
        }
    }

    /// Counts what the origin answered to a request of a cohort. The gateway's own refusals are no answers.
    pub fn note_answer(&self, cohort: Key, outcome: Outcome, now: Millis) {
        self.route.at(now);
        let failed = u32::from(outcome == Outcome::Failure);
        self.route.running.answers.fetch_add(1, Ordering::Relaxed);
        if failed > 0 {
            self.route.running.failures.fetch_add(failed, Ordering::Relaxed);
        }
        let departs = self.note_look_answer(cohort, outcome, now);
        if !departs {
            self.route.running.kept_answers.fetch_add(1, Ordering::Relaxed);
            self.route.running.kept_failures.fetch_add(failed, Ordering::Relaxed);
        }
    }

    /// Counts an answer to a request of [`Cohorts::note_look`]. Says whether the cohort has been failing for long.
    pub fn note_look_answer(&self, cohort: Key, outcome: Outcome, now: Millis) -> bool {
        let at = self.route.at(now);
        let failed = u32::from(outcome == Outcome::Failure);
        // One displaced since its request has no answers to be counted.
        if self.sets.read(cohort, |_| ()).is_none() {
            return false;
        }
        let route = self.route.shown(at);
        let note = |cohort: &mut Cohort| {
            cohort.advance(at, &self.route, &route);
            cohort.running.answers = cohort.running.answers.saturating_add(1);
            cohort.running.failures = cohort.running.failures.saturating_add(failed);
            cohort.departs
        };
        self.sets.change(cohort, now, Claim::AtMost(0), note).unwrap_or(false)
    }

    /// How a cohort fares; the default of one of which nothing is known. It changes nothing of the cohort.
    pub fn read(&self, cohort: Key, now: Millis) -> CohortReading {
        let at = self.route.at(now);
        let route = self.route.shown(at);
        let show = |cohort: &Cohort| {
            let mut cohort = *cohort;
            cohort.advance(at, &self.route, &route);
            cohort.shown(at, &route).against(&route)
        };
        self.sets.read(cohort, show).unwrap_or_default()
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

    /// What the route as a whole has learned, for a snapshot: its usual figures, answers and failures of the last hours.
    pub(crate) fn learned(&self) -> (Usual, [u64; 2]) {
        let learned = self.route.learned.lock();
        (learned.usual, [learned.past.answers, learned.past.failures])
    }

    /// Puts back what the route had learned, unless more has been learned since.
    pub(crate) fn put_back_learned(&self, usual: Usual, past: [u64; 2], age_minutes: u64, now: Millis) {
        let mut learned = self.route.learned.lock();
        let usual = usual.aged(age_minutes);
        if usual.knows_more_than(&learned.usual) {
            learned.usual = usual;
            learned.past = Past::of(past, age_minutes, now);
            if learned.usual.is_warm() {
                self.route.calm_minutes.store(CALM_MINUTES, Ordering::Relaxed);
            }
            self.route.publish(&learned);
        }
    }

    /// Shows what there is to remember of each cohort.
    pub(crate) fn for_each(&self, now: Millis, mut show: impl FnMut(Key, RememberedCohort)) {
        self.sets.for_each(|key, cohort| {
            let mut past = cohort.past;
            past.advance(now.0 / MINUTE_MS);
            let [_, requests, ..] = cohort.usual.sums();
            if requests > 0 || past.answers > 0 {
                let past = [past.answers, past.failures];
                show(key, RememberedCohort { usual: cohort.usual, past, calm_minutes: cohort.calm_minutes });
            }
        });
    }

    /// Puts back a cohort, where it has not come since and there is room.
    pub(crate) fn put_back(&self, key: Key, remembered: RememberedCohort, age_minutes: u64, now: Millis) {
        if self.sets.read(key, |_| ()).is_some() {
            return;
        }
        let cohort = Cohort {
            minute: now.0 / MINUTE_MS + 1,
            usual: remembered.usual.aged(age_minutes),
            past: Past::of(remembered.past, age_minutes, now),
            calm_minutes: remembered.calm_minutes.min(KNOWN_MINUTES),
            ..Cohort::default()
        };
        self.sets.change(key, now, Claim::AtMost(cohort.worth(now)), |held| *held = cohort);
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
    /// Different addresses in an hour of the clock, the one that runs or the one before, whichever had more. Standard
    /// error 9.2 %.
    pub addresses: u32,
    /// Different users in a minute of the clock, likewise.
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
    /// How surely it has failed more than is usual over hours: thousandths, from 0 to 1000.
    pub lasting: u32,
    /// How much of a crowd it is, by its addresses: thousandths, from 0 to 1000.
    pub spread: u32,
    /// How much of a distributed attack it is: thousandths, from 0 to 1000.
    pub surge: u32,
    /// How surely it was not on the route before: thousandths, 0 from four minutes on in which it was there while the
    /// posture was normal. Nothing is unknown to a route that has had no calm half hour yet.
    pub unknown: u32,
    /// How surely it is one of the strangers ([`Cohorts::note_stranger`]): as `unknown` says, and on a route that knows
    /// nobody yet whatever is no crowd by itself.
    pub stranger: u32,
}

impl CohortReading {
    /// How much of a crowd has come of a sudden: thousandths, from 0 to 1000.
    pub const fn crowding(&self) -> u32 {
        self.growth * self.spread / 1000
    }
}

/// What of a cohort outlives a process. `past` is of answers and failures, in units of 1/256.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RememberedCohort {
    pub(crate) usual: Usual,
    pub(crate) past: [u64; 2],
    pub(crate) calm_minutes: u8,
}

/// A cohort as its place holds it.
#[derive(Clone, Copy, Default)]
struct Cohort {
    /// The number of the minute that runs, plus one; 0 for a cohort that is new.
    minute: u64,
    running: Minute,
    last: Minute,
    /// Addresses of the hour before the one that runs.
    last_addresses: u32,
    last_users: u32,
    /// Addresses of the hour that runs.
    addresses: Sketch,
    users: Sketch,
    usual: Usual,
    /// Answers of the last hours, without the minute that runs.
    past: Past,
    /// Minutes of a normal posture in which it was seen; no more than are of use.
    calm_minutes: u8,
    /// Whether it has been failing for long.
    departs: bool,
    /// Whether it has been a crowd in the minute that runs.
    crowds: bool,
}

/// Answers and failures of the last hours, those of 256 minutes ago for half: in units of 1/256.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    tick: u64,
    answers: u64,
    failures: u64,
}

impl Past {
    /// What was past so many minutes ago.
    fn of(sums: [u64; 2], age_minutes: u64, now: Millis) -> Past {
        let [answers, failures] = sums.map(|sum| left_of(sum, age_minutes / PAST_TICK_MINUTES));
        Past { tick: now.0 / MINUTE_MS / PAST_TICK_MINUTES, answers, failures: failures.min(answers) }
    }

    fn advance(&mut self, minute: u64) {
        let tick = minute / PAST_TICK_MINUTES;
        let passed = tick.saturating_sub(self.tick);
        self.answers = left_of(self.answers, passed);
        self.failures = left_of(self.failures, passed);
        self.tick = tick;
    }

    fn add(&mut self, tally: Tally) {
        self.answers = self.answers.saturating_add(u64::from(tally.answers) << PAST_UNIT_BITS);
        self.failures = self.failures.saturating_add(u64::from(tally.failures) << PAST_UNIT_BITS);
    }

    /// Forgets what is past so many answers, so that it takes no longer to be believed again than to be doubted.
    fn bound(&mut self, most: u64) {
        let most = most << PAST_UNIT_BITS;
        if self.answers > most {
            self.failures = (u128::from(self.failures) * u128::from(most) / u128::from(self.answers)) as u64;
            self.answers = most;
        }
    }

    fn tally(self) -> Tally {
        let whole = |sum: u64| u32::try_from(sum >> PAST_UNIT_BITS).unwrap_or(u32::MAX);
        Tally { answers: whole(self.answers), failures: whole(self.failures) }
    }
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
        let began = self.minute.saturating_sub(1);
        self.minute = at.minute + 1;
        if passed == 0 {
            // The route's clock was set back; the minute that ran goes on under its new number.
            return;
        }
        let usual = shown.usual_failure_ratio.max(self.usual_failure_ratio(shown));
        let fails = Baseline::new(usual, PRIOR_ANSWERS).excess_of(self.running.tally());
        let departs = fails >= DEPARTS || self.departs;
        let crowds = std::mem::take(&mut self.crowds);
        let lesson = match (crowds, departs || shown.departs) {
            (true, _) => Lesson::Least,
            (false, true) => Lesson::Little,
            (false, false) => Lesson::Full,
        };
        self.usual.learn(self.running, floor(shown.usual_per_minute), lesson);
        self.usual.pass(passed - 1);
        if shown.is_calm && !departs && !crowds {
            self.calm_minutes = self.calm_minutes.saturating_add(1).min(KNOWN_MINUTES);
        }
        let ended = std::mem::take(&mut self.running);
        self.past.advance(at.minute);
        self.past.add(ended.tally());
        self.past.bound(PAST_ANSWERS);
        let users = self.users.estimate();
        self.users = Sketch::default();
        (self.last, self.last_users) = if passed == 1 { (ended, users) } else { (Minute::default(), 0) };
        let hours = (at.minute / HOUR_MINUTES).saturating_sub(began / HOUR_MINUTES);
        if hours > 0 {
            self.last_addresses = if hours == 1 { self.addresses.estimate() } else { 0 };
            self.addresses = Sketch::default();
        }
    }

    fn shown(&self, at: At, route: &ShownRoute) -> Shown {
        Shown {
            per_minute: at.sliding(self.running.requests, self.last.requests),
            usual_per_minute: self.usual.per_minute(),
            usual_thousandths: self.usual.per_minute_thousandths(),
            addresses: self.addresses.estimate().max(self.last_addresses),
            users: self.users.estimate().max(self.last_users),
            answers: self.running.plus(self.last).tally(),
            usual_failure_ratio: self.usual_failure_ratio(route),
            past: sum(self.past.tally(), self.running.tally()),
            calm_minutes: self.calm_minutes,
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
        // A look that was there in calm times outlives those that are made up, each for one request.
        let known = u32::from(self.calm_minutes) >> (silent / DAY_MINUTES).min(31);
        usual.saturating_add(recent).saturating_add(known)
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
    usual_thousandths: u64,
    addresses: u32,
    users: u32,
    answers: Tally,
    usual_failure_ratio: u32,
    past: Tally,
    calm_minutes: u8,
}

impl Shown {
    fn against(self, route: &ShownRoute) -> CohortReading {
        let others = without(route.answers, self.answers);
        let others_fail = Baseline::new(route.usual_failure_ratio, PRIOR_ANSWERS).ratio_of(others);
        let usual = route.usual_failure_ratio.max(self.usual_failure_ratio).max(others_fail);
        let baseline = Baseline::new(usual, PRIOR_ANSWERS);
        let (growth, failing, lasting) = (self.growth(route), baseline.excess_of(self.answers), self.lasting(route));
        let spread = scaled(self.addresses, ADDRESSES);
        let strongest =
            (u64::from(failing) * (700 + 300 * u64::from(growth) / 1000) / 1000).max(scaled(lasting, LASTING).into());
        let unseen = u32::from(KNOWN_MINUTES.saturating_sub(self.calm_minutes)) * 1000 / u32::from(KNOWN_MINUTES);
        let unknown = if route.knows { unseen } else { 0 };
        let is_alone = !route.knows && self.addresses <= ADDRESSES.0;
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
            lasting,
            spread,
            surge: (u64::from(spread) * strongest / 1000) as u32,
            unknown,
            stranger: if is_alone { 1000 } else { unknown },
        }
    }

    /// How surely it has failed more than others over hours. What it does itself is usual up to two failures of three: a
    /// program may try an old token first, but whom nearly all is refused for hours is not let go on for its persistence.
    fn lasting(&self, route: &ShownRoute) -> u32 {
        let others = OTHERS.ratio_of(without(route.past, self.past));
        // Where the origin fails everybody, it does so now.
        let now = Baseline::new(others, PRIOR_ANSWERS).ratio_of(without(route.answers, self.answers));
        let own = self.usual_failure_ratio.min(USUAL_FAILURES_MOST);
        Baseline::new(others.max(now).max(own), PRIOR_ANSWERS).excess_of(self.past)
    }

    fn growth(&self, route: &ShownRoute) -> u32 {
        if !route.is_warm {
            return 0;
        }
        let [now, usual] = [self.per_minute, self.usual_per_minute].map(u64::from);
        let others_now = u64::from(route.per_minute).saturating_sub(now);
        let others_usual = u64::from(route.usual_per_minute).saturating_sub(usual);
        let others = ((others_now + FEW) * 1000 / (others_usual + FEW)).clamp(1000, 16_000);
        // In thousandths of a request, since on a quiet route whole ones are coarse.
        let expected = self.usual_thousandths.saturating_mul(others) / 1000;
        let new = (now * 1000)
            .saturating_sub(expected)
            .min(u64::from(route.per_minute).saturating_sub(u64::from(route.usual_per_minute)) * 1000);
        let floor = u64::from(LEAST_FLOOR.max(route.usual_per_minute / 10)) * others;
        let level = expected.saturating_add(new).saturating_mul(1000) / expected.saturating_add(floor).max(1);
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
    /// Whether the minute before the one that runs had several times the usual rate.
    departs: AtomicBool,
    past_answers: AtomicU32,
    past_failures: AtomicU32,
    posture: AtomicU8,
    /// The number of the last minute in which strangers were a crowd, plus one.
    crowded: AtomicU64,
    /// Calm minutes that there were; no more than are of use.
    calm_minutes: AtomicU8,
    learned: Mutex<Learned>,
}

/// What every request writes, apart from what every request reads.
#[derive(Default)]
#[repr(align(128))]
struct Running {
    requests: AtomicU32,
    answers: AtomicU32,
    failures: AtomicU32,
    /// Those of cohorts that have not been failing for long.
    kept_answers: AtomicU32,
    kept_failures: AtomicU32,
}

#[derive(Default)]
struct Learned {
    usual: Usual,
    /// Answers of the last hours, of cohorts that have not been failing for long.
    past: Past,
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
            self.publish(&learned);
            return At { minute, into_ms };
        }
        let passed = (minute + 1).saturating_sub(running);
        if passed == 0 {
            // Another thread was first.
            return At { minute: running - 1, into_ms: if running - 1 == minute { into_ms } else { 0 } };
        }
        if self.is_calm(At { minute, into_ms }) {
            let calm = self.calm_minutes.load(Ordering::Relaxed).saturating_add(1).min(CALM_MINUTES);
            self.calm_minutes.store(calm, Ordering::Relaxed);
        }
        let ended = Minute {
            requests: self.running.requests.swap(0, Ordering::Relaxed),
            answers: self.running.answers.swap(0, Ordering::Relaxed),
            failures: self.running.failures.swap(0, Ordering::Relaxed),
        };
        let fails = Baseline::new(learned.usual.failure_ratio(), PRIOR_ANSWERS).excess_of(ended.tally());
        let usual = learned.usual.per_minute();
        let floor = floor(usual);
        let is_busy = learned.usual.is_warm() && ended.requests > usual.saturating_mul(3).saturating_add(floor);
        let lesson = if fails >= DEPARTS || is_busy { Lesson::Little } else { Lesson::Full };
        learned.usual.learn(ended, floor, lesson);
        learned.usual.pass(passed - 1);
        learned.past.advance(minute);
        learned.past.add(Tally {
            answers: self.running.kept_answers.swap(0, Ordering::Relaxed),
            failures: self.running.kept_failures.swap(0, Ordering::Relaxed),
        });
        learned.past.bound(ROUTE_ANSWERS);
        self.departs.store(is_busy, Ordering::Relaxed);
        let last = if passed == 1 { ended } else { Minute::default() };
        self.last_requests.store(last.requests, Ordering::Relaxed);
        self.last_answers.store(last.answers, Ordering::Relaxed);
        self.last_failures.store(last.failures, Ordering::Relaxed);
        self.publish(&learned);
        self.minute.store(minute + 1, Ordering::Relaxed);
        At { minute, into_ms }
    }

    fn publish(&self, Learned { usual, past }: &Learned) {
        let past = past.tally();
        self.past_answers.store(past.answers, Ordering::Relaxed);
        self.past_failures.store(past.failures, Ordering::Relaxed);
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
            past: Tally {
                answers: load(&self.past_answers).saturating_add(load(&self.running.kept_answers)),
                failures: load(&self.past_failures).saturating_add(load(&self.running.kept_failures)),
            },
            is_warm: self.is_warm.load(Ordering::Relaxed),
            departs: self.departs.load(Ordering::Relaxed),
            is_calm: self.is_calm(at),
            knows: self.calm_minutes.load(Ordering::Relaxed) >= CALM_MINUTES,
        }
    }
}

impl Route {
    fn is_calm(&self, at: At) -> bool {
        self.posture.load(Ordering::Relaxed) == Posture::Normal as u8 && !self.is_crowded(at)
    }

    /// Whether there is a crowd of strangers, or was one lately. One of a clock that was set back since is none.
    fn is_crowded(&self, at: At) -> bool {
        let crowded = self.crowded.load(Ordering::Relaxed);
        crowded > 0 && crowded <= at.minute + 1 + BACK_MINUTES && at.minute < crowded + CROWDED_MINUTES
    }
}

/// A route's figures at one moment.
#[derive(Clone, Copy)]
struct ShownRoute {
    per_minute: u32,
    answers: Tally,
    usual_per_minute: u32,
    usual_failure_ratio: u32,
    past: Tally,
    is_warm: bool,
    departs: bool,
    is_calm: bool,
    /// Whether it has been calm for long enough to know who belongs there.
    knows: bool,
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

fn without(all: Tally, one: Tally) -> Tally {
    Tally { answers: all.answers.saturating_sub(one.answers), failures: all.failures.saturating_sub(one.failures) }
}

fn sum(one: Tally, other: Tally) -> Tally {
    Tally { answers: one.answers.saturating_add(other.answers), failures: one.failures.saturating_add(other.failures) }
}

/// Requests a minute up to which one minute may teach, beside four times the usual.
fn floor(route_per_minute: u32) -> u32 {
    (route_per_minute / 10).max(10)
}

/// Where a figure lies between one that says nothing and one that says all: thousandths.
fn scaled(figure: u32, (none, all): (u32, u32)) -> u32 {
    let above = u64::from(figure.saturating_sub(none)) * 1000;
    (above / u64::from(all - none)).min(1000) as u32
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MINUTES: u64 = 60;
const DAY_MINUTES: u64 = 24 * HOUR_MINUTES;
/// The tick of the answers of the last hours: 64 of them are a half-life of 256 minutes.
const PAST_TICK_MINUTES: u64 = 4;
const PAST_UNIT_BITS: u32 = 8;
/// Answers of the last hours that count for a cohort at most. A cohort that failed all of them is taken for an honest one
/// again after some four hundred successes, or within a day of silence.
const PAST_ANSWERS: u64 = 256;
/// Answers of the last hours that count for a route at most: of a busy one they are of minutes, as those of its cohorts.
const ROUTE_ANSWERS: u64 = 2_048;
/// What others are believed to fail before they are known: one in ten, as firmly as two hundred answers would say it.
const OTHERS: Baseline = Baseline::new(100, 200);
/// Failures that a cohort may be used to, however long it has been: thousandths.
const USUAL_FAILURES_MOST: u32 = 667;
/// From how much surge or crowding on strangers are a crowd: thousandths.
const CROWD: u32 = 300;
/// How long after that no look becomes known.
const CROWDED_MINUTES: u64 = 15;
/// Calm minutes from which on a route knows who belongs there.
const CALM_MINUTES: u8 = 30;
/// Minutes of a normal posture from which on a look is known.
const KNOWN_MINUTES: u8 = 4;
/// Requests a minute that others always may have had, so that the first of them are no growth without measure.
const FEW: u64 = 4;
/// Requests a minute below which no cohort of a route is worth a word.
const LEAST_FLOOR: u32 = 2;
/// How firmly the usual failure ratio of a route is held against a cohort's own: as so many answers.
const PRIOR_ANSWERS: u32 = 20;
/// How firmly it is held against what a cohort has been failing for long.
const OWN_ANSWERS: u32 = 2_000;
/// An excess of failures from which on a minute teaches little of what is usual: thousandths.
const DEPARTS: u32 = 200;
/// Distinct addresses an hour up to which a cohort is nobody's attack, and from which on it may be in full.
const ADDRESSES: (u32, u32) = (16, 64);
/// A lasting excess of failures: up to 300 thousandths people may differ, and from 1000 on nothing is left to doubt.
const LASTING: (u32, u32) = (300, 1_000);
/// A rate in thousandths of what is expected: up to twice says nothing, eight times says all.
const GROWTH: (u32, u32) = (2_000, 8_000);
/// Minutes that a time may be before the latest one, as that of a request that took long; it is taken for the latest
/// then. A clock set back by more is followed.
const BACK_MINUTES: u64 = 10;
