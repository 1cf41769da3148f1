use std::fmt;

use crate::key::Key;
use crate::outcomes::Outcome;
use crate::sets::{Claim, Kept, Sets};
use crate::table::Stats;
use crate::time::Millis;

/// Failures in a row, and the success that ends them: the mark of a stolen password that was found to work.
///
/// Who tries other people's passwords fails and fails, each time as another user, and then gets in. Who forgot a
/// password fails some times as the same user, and then gets in. A run therefore knows how many different users failed
/// in it, and it is those that [`FailureRun::breadth`] weighs.
///
/// Runs are kept per [`Key`] of the caller's making. Two are of use on a route: that of a client (its address, its
/// prefix), and that of a cohort of clients that look alike ([`Cohorts`](crate::Cohorts)), which finds the one success
/// of an attack that comes from each address but once. Where honest clients look the same their successes end the run
/// time and again, so it stays short and says nothing.
///
/// A run is forgotten half an hour after its last failure. Memory is bounded: in a full set of sixteen the shortest
/// run gives way, so a flood of keys that fail once displaces such keys.
pub struct FailureRuns {
    sets: Sets<Run>,
}

impl FailureRuns {
    /// Runs of as many keys as fit into `budget_bytes`, at least sixteen.
    pub fn new(budget_bytes: usize) -> FailureRuns {
        FailureRuns { sets: Sets::new(Sets::<Run>::places_in(budget_bytes)) }
    }

    /// A budget, in bytes, in which `keys` keys that fail live with next to none displaced: 91 bytes each.
    pub const fn budget_for(keys: usize) -> usize {
        Sets::<Run>::budget_for(keys)
    }

    /// Notes what the origin answered, and gives the run: as it stands after a failure, and as it ended with a success.
    ///
    /// `user` is whom the request named, if anybody. A success ends the run, so it is given once.
    pub fn note(&self, key: Key, user: Option<Key>, outcome: Outcome, now: Millis) -> FailureRun {
        let stands = |run: &Run| run.failures > 0 && now.0.saturating_sub(run.touched_ms) < MEMORY_MS;
        match outcome {
            Outcome::Success => {
                // Most successes end no run: look before anything is written.
                if !self.sets.read(key, stands).unwrap_or(false) {
                    return FailureRun::default();
                }
                let end = |run: &mut Run| std::mem::take(run).shown();
                self.sets.change(key, now, Claim::AtMost(0), end).unwrap_or_default()
            }
            Outcome::Failure => {
                let fail = |run: &mut Run| {
                    if !stands(run) {
                        *run = Run::default();
                    }
                    run.fail(user);
                    run.touched_ms = run.touched_ms.max(now.0);
                    run.shown()
                };
                self.sets.change(key, now, Claim::Least, fail).unwrap_or_default()
            }
        }
    }

    /// The run of a key as it stands. It changes nothing.
    pub fn read(&self, key: Key, now: Millis) -> FailureRun {
        self.sets.read(key, |run| run.at(now)).unwrap_or_default()
    }

    /// The state of the table. Other threads go on meanwhile, so the figures are of about one moment.
    pub fn stats(&self) -> Stats {
        self.sets.stats()
    }
}

impl fmt::Debug for FailureRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailureRuns").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FailureRun {
    /// How many. It stops at 65,535.
    pub failures: u32,
    /// As how many different users, about: exact to one up to 8, within a fifth up to 100; it stops at some 270. Four
    /// failures that named nobody count for one user.
    pub users: u32,
}

impl FailureRun {
    /// How surely a success after this run is one of many tries at many accounts: in thousandths.
    ///
    /// 0 up to `scale.from` different users, 1000 from `scale.full` on.
    pub const fn breadth(self, scale: RunScale) -> u32 {
        if self.users <= scale.from || scale.full <= scale.from {
            return if self.users > scale.from { 1000 } else { 0 };
        }
        let share = (self.users - scale.from) as u64 * 1000 / (scale.full - scale.from) as u64;
        if share > 1000 { 1000 } else { share as u32 }
    }
}

/// From how many different users on a run counts, and from how many on in full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RunScale {
    /// So many users and fewer say nothing.
    pub from: u32,
    /// So many users and more say all.
    pub full: u32,
}

impl RunScale {
    /// For the run of one client. A family behind one address may fail as two or three users in half an hour.
    pub const CLIENT: RunScale = RunScale { from: 3, full: 8 };
    /// For the run of a cohort. Where half of all honest logins failed, eight in a row would fail in 1 of 256 runs, and
    /// sixteen in 1 of 65,536.
    pub const COHORT: RunScale = RunScale { from: 12, full: 30 };
}

/// A run as its place holds it.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    touched_ms: u64,
    /// A bit for each of 64 places that a user's hash may fall to.
    users: u64,
    failures: u16,
    /// Failures that named nobody.
    unnamed: u16,
}

impl Run {
    fn fail(&mut self, user: Option<Key>) {
        self.failures = self.failures.saturating_add(1);
        match user {
            Some(user) => self.users |= 1 << ((user.place ^ user.tag).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58),
            None => self.unnamed = self.unnamed.saturating_add(1),
        }
    }

    fn at(&self, now: Millis) -> FailureRun {
        if now.0.saturating_sub(self.touched_ms) < MEMORY_MS { self.shown() } else { FailureRun::default() }
    }

    fn shown(&self) -> FailureRun {
        // Linear counting by the expected draws, as in `sketch.rs`.
        let untouched = self.users.count_zeros();
        let named = ((untouched + 1..=64).map(|left| 64 * 256 / left).sum::<u32>() + 128) / 256;
        let failures = u32::from(self.failures);
        FailureRun { failures, users: (named + u32::from(self.unnamed).div_ceil(4)).min(failures) }
    }
}

impl Kept for Run {
    fn worth(&self, now: Millis) -> u32 {
        self.at(now).failures
    }

    fn touched(&self) -> u64 {
        self.touched_ms
    }
}

/// How long a run is remembered after its last failure: 30 minutes.
const MEMORY_MS: u64 = 1_800_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{KeyHasher, Secret};

    fn key(of: u64) -> Key {
        KeyHasher::new(Secret([2; 16])).key(of, &[])
    }

    fn runs() -> FailureRuns {
        FailureRuns::new(1 << 20)
    }

    #[test]
    fn a_success_ends_a_run_and_gives_it_once() {
        let runs = runs();
        for user in 0..5 {
            runs.note(key(1), Some(key(100 + user)), Outcome::Failure, Millis(user * 1_000));
        }
        let ended = runs.note(key(1), Some(key(7)), Outcome::Success, Millis(5_000));
        assert_eq!(ended.failures, 5);
        assert!((4..=5).contains(&ended.users), "{ended:?}");
        assert_eq!(runs.note(key(1), Some(key(7)), Outcome::Success, Millis(5_000)), FailureRun::default());
        assert_eq!(runs.note(key(1), None, Outcome::Failure, Millis(5_000)).failures, 1);
    }

    #[test]
    fn a_forgotten_password_is_no_stuffing_and_many_accounts_are() {
        for (name, users, tries, is_stuffing) in [
            ("one user who forgot", 1, 9, false),
            ("a family", 3, 9, false),
            ("a dozen accounts", 12, 12, true),
            ("a dozen accounts thrice each", 12, 36, true),
        ] {
            let runs = runs();
            for number in 0..tries {
                runs.note(key(1), Some(key(100 + number % users)), Outcome::Failure, Millis(0));
            }
            let breadth = runs.note(key(1), Some(key(5)), Outcome::Success, Millis(0)).breadth(RunScale::CLIENT);
            assert_eq!(breadth > 0, is_stuffing, "{name}: {breadth}");
        }
    }

    #[test]
    fn failures_that_name_nobody_count_for_a_quarter() {
        let runs = runs();
        for _ in 0..40 {
            runs.note(key(1), None, Outcome::Failure, Millis(0));
        }
        assert_eq!(runs.read(key(1), Millis(0)), FailureRun { failures: 40, users: 10 });
    }

    #[test]
    fn a_run_is_forgotten_half_an_hour_after_its_last_failure() {
        let runs = runs();
        for minute in [0, 29, 58] {
            runs.note(key(1), None, Outcome::Failure, Millis(minute * 60_000));
        }
        for (minute, failures) in [(58, 3), (0, 3), (87, 3), (88, 0)] {
            assert_eq!(runs.read(key(1), Millis(minute * 60_000)).failures, failures, "minute {minute}");
        }
        let ended = runs.note(key(1), None, Outcome::Success, Millis(88 * 60_000));
        assert_eq!(ended, FailureRun::default());
        assert_eq!(runs.note(key(1), None, Outcome::Failure, Millis(90 * 60_000)).failures, 1);
    }

    #[test]
    fn the_breadth_grows_between_the_ends_of_the_scale() {
        for (users, scale, breadth) in [
            (0, RunScale::CLIENT, 0),
            (3, RunScale::CLIENT, 0),
            (4, RunScale::CLIENT, 200),
            (8, RunScale::CLIENT, 1000),
            (12, RunScale::COHORT, 0),
            (21, RunScale::COHORT, 500),
            (u32::MAX, RunScale::COHORT, 1000),
            (5, RunScale { from: 5, full: 5 }, 0),
            (6, RunScale { from: 5, full: 0 }, 1000),
        ] {
            assert_eq!(FailureRun { failures: users, users }.breadth(scale), breadth, "{users} on {scale:?}");
        }
    }

    #[test]
    fn x18_a_flood_of_single_failures_does_not_end_a_run() {
        let runs = FailureRuns::new(8 << 10);
        for user in 0..50 {
            runs.note(key(1), Some(key(user)), Outcome::Failure, Millis(0));
        }
        for stranger in 0..50_000 {
            runs.note(key(1_000 + stranger), None, Outcome::Failure, Millis(1));
        }
        let stats = runs.stats();
        assert!(stats.occupied <= stats.capacity && stats.budget_bytes <= 8 << 10, "{stats:?}");
        assert_eq!(runs.read(key(1), Millis(1)).failures, 50);
    }

    proptest! {
        #[test]
        fn any_times_are_taken_and_users_never_pass_failures(
            notes in prop::collection::vec((any::<u64>(), 0_u64..100, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let runs = FailureRuns::new(0);
            for (now, user, named, fails) in notes {
                let outcome = if fails { Outcome::Failure } else { Outcome::Success };
                let run = runs.note(key(user % 3), named.then(|| key(user)), outcome, Millis(now));
                prop_assert!(run.users <= run.failures.max(1), "{run:?}");
            }
        }
    }
}
