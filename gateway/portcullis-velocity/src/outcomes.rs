//! How much a failure ratio says, given how few answers it rests on.
//!
//! # The model
//!
//! Each client has a failure ratio of its own, and those of a route's honest clients spread around the route's usual
//! ratio `m` as a beta distribution does, with the strength `s` of that many answers: `Beta(s·m, s·(1 − m))`. After `f`
//! failures in `n` answers what is known of a client's ratio is again a beta distribution (the beta-binomial model;
//! Gelman et al., "Bayesian Data Analysis", 3rd edition, §2.4), with
//!
//! ```text
//! mean      = (f + s·m) / (n + s)
//! variance  = mean · (1 − mean) / (n + s + 1)
//! lower     = mean − 2 · sqrt(variance)
//! excess    = (lower − m) / max((1 − m) / 2, 0.15), between 0 and 1
//! ```
//!
//! The ratio is thus drawn to the usual one, the more the fewer answers there are, and the excess asks what can be
//! said for sure: where the true ratio at least lies, but for one case in some forty. It is 0 while that is not above
//! the usual ratio, and 1 from half the way between the usual one and nothing but failures on (but no less than 0.15
//! above: where nearly all fail, one that fails altogether is hardly worse). At a usual ratio of 0.1
//! and a strength of 10, one failure of one is an excess of 0, three of four 0, eight of eight 0.38, and forty of fifty 1.
//!
//! Where `m` and `s` come from data it is called empirical Bayes: [`Baseline::fitted`] takes them from many clients'
//! tallies by the method of moments (Kleinman, "Proportions with extraneous variance", 1973). All of it is in whole
//! numbers, the same on every machine.

/// Answers of the origin, and how many of them were failures by the route's own definition.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// How many answers there were.
    pub answers: u32,
    /// How many of them failed. More than there were answers are taken for as many answers.
    pub failures: u32,
}

/// What an origin answered to one request, by the route's own definition of failure.
///
/// Only an origin's own answer is an outcome: what the gateway refused has none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Anything the route does not call a failure.
    Success,
    /// What the route calls a failure: a login refused, a card declined.
    Failure,
}

/// The failure ratio that is usual, and how firmly it is held against few answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Baseline {
    /// Thousandths, from 0 to 1000.
    usual: u32,
    /// Answers, from 1 to [`Baseline::STRONGEST`].
    strength: u32,
}

impl Baseline {
    /// The greatest strength. Past it no client's answers would change anything.
    pub const STRONGEST: u32 = 1_000_000;

    /// A usual ratio in thousandths, held as firmly as so many answers. What is out of range becomes the nearest in range.
    pub const fn new(usual_thousandths: u32, strength_answers: u32) -> Baseline {
        let usual = if usual_thousandths > 1000 { 1000 } else { usual_thousandths };
        let strength = match strength_answers {
            0 => 1,
            _ if strength_answers > Self::STRONGEST => Self::STRONGEST,
            _ => strength_answers,
        };
        Baseline { usual, strength }
    }

    /// The usual failure ratio, in thousandths.
    pub const fn usual(self) -> u32 {
        self.usual
    }

    /// How many answers a client must have given before its own ratio weighs as much as the usual one.
    pub const fn strength(self) -> u32 {
        self.strength
    }

    /// The failure ratio of a tally, drawn to the usual one: in thousandths, rounded down.
    pub const fn ratio_of(self, tally: Tally) -> u32 {
        (self.mean(tally) / 1000) as u32
    }

    /// What the failure ratio of a tally at least is, but for one case in some forty: in thousandths, rounded down.
    pub const fn least_of(self, tally: Tally) -> u32 {
        let mean = self.mean(tally);
        let variance = mean * (MILLION - mean) / (tally.answers() + self.strength as u64 + 1);
        // Rounded up, so that rounding never makes an excess.
        let deviation = variance.isqrt() + 1;
        (mean.saturating_sub(2 * deviation) / 1000) as u32
    }

    /// How far the failure ratio of a tally is surely above the usual one: in thousandths, from 0 to 1000.
    ///
    /// More failures among as many answers never make it less, and more successes never make it more.
    pub const fn excess_of(self, tally: Tally) -> u32 {
        let above = self.least_of(tally).saturating_sub(self.usual) as u64;
        let half_way = (1000 - self.usual) as u64 / 2;
        let excess = above * 1000 / if half_way < LEAST_WAY { LEAST_WAY } else { half_way };
        if excess > 1000 { 1000 } else { excess as u32 }
    }

    /// The baseline of which the tallies of many clients would be typical; none where fewer than three have answers.
    ///
    /// With `N` answers in all, `m` the failures among them and `p` a client's own ratio, the spread between clients
    /// is `S = Σ n·(p − m)²`, the correlation within a client
    /// `r = (S/(m·(1 − m)) − (k − 1)) / (N − Σn²/N − (k − 1))` for `k` clients, and the strength `1/r − 1`.
    pub fn fitted(tallies: impl IntoIterator<Item = Tally>) -> Option<Baseline> {
        let tallies: Vec<Tally> = tallies.into_iter().filter(|tally| tally.answers() > 0).take(CLIENTS_MAX).collect();
        let clients = tallies.len() as u128;
        if clients < 3 {
            return None;
        }
        let total: u128 = tallies.iter().map(|tally| u128::from(tally.answers())).sum();
        let failures: u128 = tallies.iter().map(|tally| u128::from(tally.failures)).sum();
        let squares: u128 = tallies.iter().map(|tally| u128::from(tally.answers()).pow(2)).sum();
        // Millionths of a ratio, and of its square.
        let usual = failures * u128::from(MILLION) / total;
        let mixed = usual * (u128::from(MILLION) - usual) / u128::from(MILLION);
        let spread: u128 = tallies.iter().map(|tally| tally.spread(usual)).sum();
        // S / (m·(1 − m)), and what of it chance alone makes.
        let ratio = spread.checked_div(mixed).unwrap_or(0);
        let within = clients - 1;
        let room = total.saturating_sub(squares / total).saturating_sub(within);
        // A thousand times finer than whole clients, for the division that follows.
        let strength = match ratio.saturating_sub(within * 1000) {
            0 => u128::from(Self::STRONGEST),
            above => (room * 1000 / above).saturating_sub(1),
        };
        Some(Baseline::new((usual / 1000) as u32, u32::try_from(strength).unwrap_or(u32::MAX)))
    }

    /// The mean of what is known of the ratio, in millionths.
    const fn mean(self, tally: Tally) -> u64 {
        let known = tally.failures as u64 * MILLION + self.strength as u64 * self.usual as u64 * 1000;
        known / (tally.answers() + self.strength as u64)
    }
}

impl Tally {
    const fn answers(self) -> u64 {
        if self.answers > self.failures { self.answers as u64 } else { self.failures as u64 }
    }

    /// `n·(p − m)²` in thousandths of a millionth, for `m` in millionths.
    fn spread(self, usual: u128) -> u128 {
        let own = u128::from(self.failures) * u128::from(MILLION) / u128::from(self.answers());
        u128::from(self.answers()) * own.abs_diff(usual).pow(2) / 1000
    }
}

const MILLION: u64 = 1_000_000;
/// How far above the usual ratio an excess is full, at least: thousandths.
const LEAST_WAY: u64 = 150;
/// Clients that a fit looks at: far more than it needs, and few enough for an instant.
const CLIENTS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn tally(failures: u32, answers: u32) -> Tally {
        Tally { answers, failures }
    }

    #[test]
    fn one_failure_of_one_visitor_means_little_and_forty_of_fifty_mean_much() {
        let baseline = Baseline::new(100, 10);
        for (failures, answers, ratio, excess) in [
            (0, 0, 100, 0),
            (0, 1_000, 0, 0),
            (1, 1, 181, 0),
            (3, 4, 285, 0),
            (5, 6, 375, 88),
            (8, 8, 500, 377),
            (20, 20, 700, 966),
            (40, 50, 683, 1000),
            (10, 100, 100, 0),
            (20, 100, 190, 35),
            (u32::MAX, u32::MAX, 999, 1000),
            (u32::MAX, 0, 999, 1000),
        ] {
            let tally = tally(failures, answers);
            assert_eq!(baseline.ratio_of(tally), ratio, "{failures} of {answers}");
            assert_eq!(baseline.excess_of(tally), excess, "{failures} of {answers}");
        }
    }

    #[test]
    fn what_is_usual_on_a_route_is_no_excess_there() {
        for (usual, failures, answers, is_excess) in
            [(500, 30, 60, false), (500, 40, 60, true), (20, 10, 60, true), (990, 60, 60, false), (1000, 60, 60, false)]
        {
            let excess = Baseline::new(usual, 10).excess_of(tally(failures, answers));
            assert_eq!(excess > 0, is_excess, "{failures} of {answers} at {usual}: {excess}");
        }
    }

    #[test]
    fn a_baseline_out_of_range_becomes_the_nearest_in_range() {
        for (usual, strength, becomes) in [(0, 0, (0, 1)), (1001, u32::MAX, (1000, 1_000_000)), (7, 8, (7, 8))] {
            let baseline = Baseline::new(usual, strength);
            assert_eq!((baseline.usual(), baseline.strength()), becomes);
        }
    }

    #[test]
    fn a_fit_finds_how_much_clients_differ() {
        // Half of the clients fail 2 of 20, half 6 of 20: little more than chance alone would make of one ratio for all.
        let differing = (0..200).map(|client| tally(if client % 2 == 0 { 2 } else { 6 }, 20));
        let fitted = Baseline::fitted(differing).unwrap();
        assert_eq!(fitted.usual(), 200);
        // r = (200·20·0.01/0.16 − 199) / (4000 − 20 − 199) = 51 / 3781.
        assert_eq!(fitted.strength(), 73);

        let alike = Baseline::fitted((0..200).map(|_| tally(4, 20))).unwrap();
        assert_eq!((alike.usual(), alike.strength()), (200, Baseline::STRONGEST));

        let all_or_nothing = Baseline::fitted((0..200).map(|client| tally(client % 2 * 20, 20))).unwrap();
        assert_eq!((all_or_nothing.usual(), all_or_nothing.strength()), (500, 1));
    }

    #[test]
    fn a_fit_needs_three_clients_with_answers() {
        for (tallies, is_some) in [
            (vec![], false),
            (vec![tally(1, 2); 2], false),
            (vec![tally(0, 0); 9], false),
            (vec![tally(1, 2); 3], true),
            (vec![tally(0, 5); 3], true),
            (vec![tally(5, 5); 3], true),
            (vec![tally(u32::MAX, 0); 3], true),
        ] {
            assert_eq!(Baseline::fitted(tallies.iter().copied()).is_some(), is_some, "{tallies:?}");
        }
    }

    proptest! {
        #[test]
        fn more_failures_never_look_better_and_more_successes_never_worse(
            usual in 0_u32..=1000, strength in 1_u32..10_000, answers in 0_u32..100_000, share in 0_u32..=1000,
        ) {
            let baseline = Baseline::new(usual, strength);
            let failures = (u64::from(answers) * u64::from(share) / 1000) as u32;
            let here = tally(failures, answers);
            let worse = tally(failures + 1, answers.max(failures + 1));
            let better = tally(failures, answers + 1);
            prop_assert!(baseline.ratio_of(worse) >= baseline.ratio_of(here));
            prop_assert!(baseline.ratio_of(better) <= baseline.ratio_of(here));
            // A thousandth of the ratio, by which rounding may move it, is up to seven of the excess.
            let slack = 7;
            prop_assert!(baseline.excess_of(worse) + slack >= baseline.excess_of(here));
            prop_assert!(baseline.excess_of(better) <= baseline.excess_of(here) + slack);
        }

        #[test]
        fn any_tallies_are_taken(
            usual in any::<u32>(), strength in any::<u32>(), tallies in prop::collection::vec((any::<u32>(), any::<u32>()), 0..20),
        ) {
            let baseline = Baseline::new(usual, strength);
            let tallies = tallies.into_iter().map(|(answers, failures)| Tally { answers, failures });
            for tally in tallies.clone() {
                prop_assert!(baseline.ratio_of(tally) <= 1000);
                prop_assert!(baseline.least_of(tally) <= baseline.ratio_of(tally));
                prop_assert!(baseline.excess_of(tally) <= 1000);
            }
            Baseline::fitted(tallies);
        }
    }
}
