//! How many different values there were, in 76 bytes.

use crate::key::Key;

/// A HyperLogLog of 128 registers of four bits, which counts from none to four million different values.
///
/// The estimate has a standard error of `1.04 / sqrt(128)`, 9.2 % (Flajolet, Fusy, Gandouet and Meunier, "HyperLogLog:
/// the analysis of a near-optimal cardinality estimation algorithm", 2007, with its constant for 128 registers). Up to
/// 320 it comes from the registers not yet touched instead, as there (§4, "small range correction"): the number of
/// draws that leave `v` of 128 places untouched is expected to be the sum of `128 / k` for `k` from `v + 1` to 128,
/// which is exact where the logarithm that is usual is an approximation.
///
/// Both sums are carried along, so that to read it costs nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sketch {
    /// Sixteen registers to a word. A register is the highest rank that a value in it had: the zero bits its hash
    /// begins with, and one.
    words: [u64; WORDS],
    /// The sum of `2^(15 - register)`.
    inverse: u32,
    /// The expected draws to leave as many registers untouched as there are, in units of 1/256.
    draws: u32,
    untouched: u8,
}

impl Sketch {
    /// Puts a value in. The same value changes nothing.
    #[inline]
    pub(crate) fn note(&mut self, value: Key) {
        // `place` and `tag` are two halves of one keyed hash, but siblings differ in few bits of either: fold, and
        // spread by an odd constant without a pattern (the golden ratio of 2^64).
        let mut bits = (value.place ^ value.tag.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits ^= bits >> 32;
        let register = (bits & (REGISTERS - 1)) as u32;
        let rank = u64::from((bits >> REGISTER_BITS).trailing_zeros() + 1).min(RANK_MAX);
        let Some(word) = self.words.get_mut((register / 16) as usize) else { return };
        let shift = register % 16 * 4;
        let held = *word >> shift & RANK_MAX;
        if rank <= held {
            return;
        }
        *word ^= (held ^ rank) << shift;
        if held == 0 {
            self.draws += 256 * REGISTERS as u32 / u32::from(self.untouched).max(1);
            self.untouched = self.untouched.saturating_sub(1);
        }
        self.inverse = self.inverse.saturating_sub((1 << (RANK_MAX - held)) - (1 << (RANK_MAX - rank)));
    }

    /// About how many different values were put in.
    #[inline]
    pub(crate) fn estimate(&self) -> u32 {
        let estimate = SCALE / self.inverse.max(1);
        if self.untouched > 0 && estimate <= SMALL { (self.draws + 128) / 256 } else { estimate }
    }
}

impl Default for Sketch {
    fn default() -> Sketch {
        Sketch { words: [0; WORDS], inverse: (REGISTERS as u32) << RANK_MAX, draws: 0, untouched: REGISTERS as u8 }
    }
}

const REGISTERS: u64 = 128;
const REGISTER_BITS: u32 = REGISTERS.trailing_zeros();
const WORDS: usize = REGISTERS as usize / 16;
const RANK_MAX: u64 = 15;
/// `alpha · 128² · 2^15`, with `alpha = 0.7213 / (1 + 1.079 / 128)`.
const SCALE: u32 = 384_007_922;
/// Two and a half values a register: up to there the untouched registers say more.
const SMALL: u32 = 320;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyHasher, Secret};

    /// The estimates for `values` different values, of two hundred secrets.
    fn estimates(values: u32) -> Vec<f64> {
        let of = |secret| {
            let hasher = KeyHasher::new(Secret([secret; 16]));
            let mut sketch = Sketch::default();
            for value in 0..values {
                sketch.note(hasher.key(1, &[&value.to_be_bytes()]));
                sketch.note(hasher.key(1, &[&(value / 2).to_be_bytes()]));
            }
            f64::from(sketch.estimate())
        };
        (0..200).map(of).collect()
    }

    #[test]
    fn the_error_is_as_stated() {
        for values in [10, 50, 128, 300, 350, 1_000, 5_000, 40_000] {
            let errors: Vec<f64> = estimates(values).iter().map(|of| of / f64::from(values) - 1.0).collect();
            let mean = errors.iter().sum::<f64>() / 200.0;
            let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / 200.0).sqrt();
            // Ten per cent around the crossing of the two ways to count, where both are at their worst.
            // A whole number cannot be nearer than half of one.
            assert!(mean.abs() < 0.03 + 0.5 / f64::from(values), "{values} values: mean {mean}");
            assert!(deviation < 0.115, "{values} values: deviation {deviation}");
        }
    }

    #[test]
    fn few_values_are_counted_nearly_exactly() {
        for values in [0, 1, 2, 4] {
            let estimates = estimates(values);
            let right = estimates.iter().filter(|estimate| (**estimate - f64::from(values)).abs() <= 1.0).count();
            assert!(right >= 195, "{values} values: {right} of 200");
        }
    }

    #[test]
    fn siblings_are_different_values() {
        let key = KeyHasher::new(Secret([1; 16])).key(1, &[]);
        let mut sketch = Sketch::default();
        for scope in 0..2_000 {
            sketch.note(key.sibling(scope));
        }
        assert!((1_400..2_600).contains(&sketch.estimate()), "{}", sketch.estimate());
    }

    #[test]
    fn the_fullest_sketch_says_what_it_can() {
        let mut sketch = Sketch { words: [u64::MAX; WORDS], inverse: REGISTERS as u32, draws: 178_000, untouched: 0 };
        sketch.note(Key { place: 0, tag: 0 });
        assert_eq!(sketch.estimate(), SCALE / 128);
    }
}
