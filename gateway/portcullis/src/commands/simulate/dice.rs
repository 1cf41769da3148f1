//! Chance that is the same every time.

use std::time::Duration;

/// A source of numbers that look random and follow from its seed: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice of their own for each of these numbers together.
    pub(super) fn of(seed: [u64; 3]) -> Self {
        let mut dice = Self(0);
        for part in seed {
            dice.0 ^= part;
            dice.0 = dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, and 0 where that is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let scaled = ((self.next() >> 32) * u64::from(bound)) >> 32;
        u32::try_from(scaled).unwrap_or(0)
    }

    /// Whether something of this chance, from 0 to 1, happens.
    pub(super) fn happens(&mut self, chance: f64) -> bool {
        self.share() < chance
    }

    /// How long until the next of events that come by chance, so long apart on average (exponential).
    pub(super) fn until_next(&mut self, apart: Duration) -> Duration {
        apart.mul_f64(-(1.0 - self.share()).ln())
    }

    /// Between half of it and half as much again.
    pub(super) fn about(&mut self, length: Duration) -> Duration {
        length.mul_f64(0.5 + self.share())
    }

    /// From 0 to below 1.
    pub(super) fn share(&mut self) -> f64 {
        f64::from(self.below(1 << 30)) / f64::from(1_u32 << 30)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_of_one_seed_fall_alike_and_of_another_otherwise() {
        let falls = |seed| -> Vec<u32> {
            let mut dice = Dice::of(seed);
            (0..64).map(|_| dice.below(1000)).collect()
        };
        assert_eq!(falls([1, 2, 3]), falls([1, 2, 3]));
        assert_ne!(falls([1, 2, 3]), falls([1, 3, 2]));
        assert!(falls([1, 2, 3]).iter().all(|fall| *fall < 1000));
    }

    #[test]
    fn chance_comes_out_as_it_is_stated() {
        let mut dice = Dice::of([7, 7, 7]);
        let happened = (0..10_000).filter(|_| dice.happens(0.25)).count();
        assert!((2_300..2_700).contains(&happened), "{happened}");
        let waited: Duration = (0..10_000).map(|_| dice.until_next(Duration::from_secs(1))).sum();
        assert!((9_500..10_500).contains(&waited.as_secs()), "{waited:?}");
        assert!(!dice.happens(0.0) && dice.happens(1.0));
        assert_eq!(dice.below(0), 0);
    }
}
