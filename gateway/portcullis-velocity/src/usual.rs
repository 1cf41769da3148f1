//! What a minute is usually like, learned from the minutes before.
//!
//! Each minute that is over counts for half after 64 minutes more. What is kept are sums: of requests, answers and
//! failures, and of the minutes themselves, each weighed by its age. So `requests / minutes` is the exponentially
//! weighted mean without the bias that one begun from zero has (Kingma and Ba, "Adam", 2014, §3), and the sum of the
//! minutes, at most 92.8, says how much is known.

use crate::decay::left_of;
use crate::outcomes::{Baseline, Tally};

/// What happened in one minute.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Minute {
    pub(crate) requests: u32,
    pub(crate) answers: u32,
    pub(crate) failures: u32,
}

impl Minute {
    pub(crate) const fn tally(self) -> Tally {
        Tally { answers: self.answers, failures: self.failures }
    }

    pub(crate) const fn plus(self, other: Minute) -> Minute {
        Minute {
            requests: self.requests.saturating_add(other.requests),
            answers: self.answers.saturating_add(other.answers),
            failures: self.failures.saturating_add(other.failures),
        }
    }
}

/// Sums over the minutes before, in units of 2^-16, each minute weighed by its age.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Usual {
    minutes: u64,
    requests: u64,
    answers: u64,
    failures: u64,
}

/// How much a minute that is over may teach.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lesson {
    /// As much as any.
    Full,
    /// A sixteenth: what departs from the usual is not to become usual while it is looked at, nor never.
    Little,
    /// A sixty-fourth: what comes as a crowd is to be told from the usual for a day, and no longer after some.
    Least,
}

impl Usual {
    /// Of one never seen in all the time of which `other` knows.
    pub(crate) const fn unseen_beside(other: &Usual) -> Usual {
        Usual { minutes: other.minutes, requests: 0, answers: 0, failures: 0 }
    }

    /// The sums: of minutes, requests, answers and failures.
    pub(crate) const fn sums(&self) -> [u64; 4] {
        [self.minutes, self.requests, self.answers, self.failures]
    }

    /// What such sums say; not more minutes than there can be.
    pub(crate) const fn of_sums([minutes, requests, answers, failures]: [u64; 4]) -> Usual {
        Usual { minutes: if minutes < MINUTES_MAX { minutes } else { MINUTES_MAX }, requests, answers, failures }
    }

    /// The same, believed less: as after so many minutes in which nothing was learned, not that nothing happened.
    pub(crate) fn aged(&self, minutes: u64) -> Usual {
        Usual::of_sums(self.sums().map(|sum| left_of(sum, minutes)))
    }

    /// Whether more is known than by another.
    pub(crate) const fn knows_more_than(&self, other: &Usual) -> bool {
        self.minutes > other.minutes
    }

    /// Passes minutes in which nothing happened.
    pub(crate) fn pass(&mut self, minutes: u64) {
        if minutes == 0 {
            return;
        }
        self.minutes = MINUTES_MAX - left_of(MINUTES_MAX.saturating_sub(self.minutes), minutes);
        self.requests = left_of(self.requests, minutes);
        self.answers = left_of(self.answers, minutes);
        self.failures = left_of(self.failures, minutes);
    }

    /// Learns from a minute that is over.
    ///
    /// Once enough is known, a minute counts for no more than four times the usual and `floor` requests, so that no
    /// single one moves what is usual by much.
    pub(crate) fn learn(&mut self, minute: Minute, floor: u32, lesson: Lesson) {
        let known = self.minutes.max(1);
        let mean = |sum: u64| u64::try_from(u128::from(sum) * u128::from(ONE) / u128::from(known)).unwrap_or(u64::MAX);
        let (requests, answers, failures) = (mean(self.requests), mean(self.answers), mean(self.failures));
        let most =
            if self.is_warm() { requests.saturating_mul(4).saturating_add(u64::from(floor) * ONE) } else { u64::MAX };
        let seen = u64::from(minute.requests.max(minute.answers)) * ONE;
        let taken = |count: u32| {
            let count = u128::from(count) * u128::from(ONE);
            if seen <= most { count as u64 } else { (count * u128::from(most) / u128::from(seen)) as u64 }
        };
        let weigh = |usual: u64, count: u64| match lesson {
            Lesson::Full => count,
            Lesson::Little => usual - usual / 16 + count / 16,
            Lesson::Least => usual - usual / 64 + count / 64,
        };
        let learned = [
            weigh(requests, taken(minute.requests)),
            weigh(answers, taken(minute.answers)),
            weigh(failures, taken(minute.failures)),
        ];
        self.pass(1);
        for (sum, learned) in [&mut self.requests, &mut self.answers, &mut self.failures].into_iter().zip(learned) {
            *sum = sum.saturating_add(learned);
        }
    }

    /// Whether enough minutes are known to call anything unusual.
    pub(crate) const fn is_warm(&self) -> bool {
        self.minutes >= WARM_MINUTES * ONE
    }

    /// Requests in a usual minute, in thousandths.
    pub(crate) fn per_minute_thousandths(&self) -> u64 {
        (u128::from(self.requests) * 1000 / u128::from(self.minutes.max(1))).try_into().unwrap_or(u64::MAX)
    }

    /// Requests in a usual minute, rounded up.
    pub(crate) fn per_minute(&self) -> u32 {
        u32::try_from(self.requests.div_ceil(self.minutes.max(1))).unwrap_or(u32::MAX)
    }

    /// The usual failure ratio in thousandths, drawn to 100 while few answers are known.
    pub(crate) fn failure_ratio(&self) -> u32 {
        self.failure_ratio_drawn_to(FIRST)
    }

    /// The usual failure ratio in thousandths, drawn to another one.
    pub(crate) fn failure_ratio_drawn_to(&self, other: Baseline) -> u32 {
        let whole = |sum: u64| u32::try_from(sum / ONE).unwrap_or(u32::MAX);
        other.ratio_of(Tally { answers: whole(self.answers), failures: whole(self.failures) })
    }
}

/// The unit of the sums.
const ONE: u64 = 1 << 16;
/// What the sum of the minutes comes to in the end, `1 / (1 − 2^(-1/64))`: 92.8.
const MINUTES_MAX: u64 = 92_832 * ONE / 1_000;
/// Minutes to know before anything is called unusual, each for what it still weighs: half an hour and some minutes.
const WARM_MINUTES: u64 = 30;
/// What is believed of failures before anything is known: one in ten, as firmly as two hundred answers would say it.
const FIRST: Baseline = Baseline::new(100, 200);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minute(requests: u32, failures: u32) -> Minute {
        Minute { requests, answers: requests, failures }
    }

    fn learned(minutes: u32, each: Minute) -> Usual {
        let mut usual = Usual::default();
        for _ in 0..minutes {
            usual.learn(each, 10, Lesson::Full);
        }
        usual
    }

    #[test]
    fn the_usual_is_the_mean_from_the_first_minute_on() {
        for minutes in [1, 5, 60, 5_000] {
            let usual = learned(minutes, minute(100, 20));
            assert!((99..=101).contains(&usual.per_minute()), "{minutes}: {}", usual.per_minute());
        }
        assert_eq!(Usual::default().per_minute(), 0);
    }

    #[test]
    fn enough_is_known_after_half_an_hour() {
        for (minutes, warm) in [(0, false), (30, false), (34, false), (37, true), (10_000, true)] {
            assert_eq!(learned(minutes, minute(1, 0)).is_warm(), warm, "{minutes}");
        }
        let mut idle = Usual::default();
        idle.pass(37);
        assert!(idle.is_warm(), "that nothing happened is known too");
    }

    #[test]
    fn half_of_the_usual_is_left_after_an_hour_and_four_minutes() {
        let mut usual = learned(1_000, minute(1_000, 0));
        usual.pass(64);
        assert!((490..=510).contains(&usual.per_minute()), "{}", usual.per_minute());
        usual.pass(u64::MAX);
        assert_eq!(usual.per_minute(), 0);
    }

    #[test]
    fn one_minute_moves_little_and_a_departure_less() {
        let usual = learned(1_000, minute(100, 10));
        for (lesson, most) in [(Lesson::Full, 106), (Lesson::Little, 101)] {
            let mut after = usual;
            after.learn(minute(1_000_000, 1_000_000), 10, lesson);
            assert!((100..=most).contains(&after.per_minute()), "{lesson:?}: {}", after.per_minute());
            assert!(after.failure_ratio() < 160, "{lesson:?}: {}", after.failure_ratio());
        }
    }

    #[test]
    fn what_lasts_becomes_usual_even_if_it_teaches_little() {
        let mut usual = learned(1_000, minute(100, 10));
        for _ in 0..60 * 48 {
            usual.learn(minute(1_000, 600), 10, Lesson::Little);
        }
        assert!(usual.per_minute() > 800, "{}", usual.per_minute());
        assert!(usual.failure_ratio() > 500, "{}", usual.failure_ratio());
    }

    proptest! {
        #[test]
        fn any_minutes_are_taken(
            minutes in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>()), 0..100),
        ) {
            let mut usual = Usual::default();
            for (requests, answers, failures, gap) in minutes {
                usual.pass(gap % 70);
                usual.learn(Minute { requests, answers, failures }, requests, if gap % 2 == 0 { Lesson::Full } else { Lesson::Little });
                prop_assert!(usual.failure_ratio() <= 1000);
                prop_assert!(usual.minutes <= MINUTES_MAX);
            }
        }
    }
}
