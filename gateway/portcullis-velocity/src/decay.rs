//! Forgetting by halves, in whole numbers.
//!
//! A sum that halves in every half-life is kept in ticks, 64 to a half-life: each tick leaves `2^(-1/64)` of it, 98.9 %.
//! Ticks lie on a grid of the clock's, so that it costs nothing to be asked often, and what is left is the same on
//! every machine: no floating point is involved, and what is lost by rounding is less than one unit a step.

/// Ticks in a half-life.
pub(crate) const TICKS: u64 = 64;

/// What is left of a sum after so many ticks, rounded down.
#[inline]
pub(crate) fn left_of(sum: u64, ticks: u64) -> u64 {
    if ticks == 0 {
        return sum;
    }
    let halvings = ticks / TICKS;
    if halvings >= 64 {
        return 0;
    }
    let power = POWERS.get((ticks % TICKS) as usize).copied().unwrap_or(0);
    ((u128::from(sum) * u128::from(power)) >> 32 >> halvings) as u64
}

/// The ticks of length `tick` that began after `then`, up to `now`, all three in one unit. 0 where time stepped back.
#[inline]
pub(crate) const fn ticks_between(then: u64, now: u64, tick: u64) -> u64 {
    (now / tick).saturating_sub(then / tick)
}

/// The powers of `2^(-1/64)`, from the zeroth on, in units of 2^-32.
static POWERS: [u64; TICKS as usize] = powers();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, and bounded by the loop")]
const fn powers() -> [u64; TICKS as usize] {
    // 2^(-1/64) in units of 2^-64.
    const STEP: u128 = 18_248_035_989_933_441_396;
    let mut powers = [0; TICKS as usize];
    let mut power = 1_u128 << 63;
    let mut at = 0;
    while at < powers.len() {
        powers[at] = (power >> 31) as u64;
        power = (power * STEP) >> 64;
        at += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_is_left_after_a_half_life() {
        for (sum, ticks, left) in [
            (1_000, 0, 1_000),
            (1_000, 64, 500),
            (1_000, 128, 250),
            (1_000, 32, 707),
            (1_000, 1, 989),
            (1_000, 640, 0),
            (u64::MAX, 64, u64::MAX / 2),
            (u64::MAX, 64 * 63, 1),
            (u64::MAX, 64 * 64, 0),
            (u64::MAX, u64::MAX, 0),
            (0, 3, 0),
        ] {
            assert_eq!(left_of(sum, ticks), left, "{sum} after {ticks}");
        }
    }

    #[test]
    fn ticks_pass_forwards_only() {
        for (then, now, ticks) in [(0, 9, 0), (9, 10, 1), (10, 9, 0), (0, u64::MAX, u64::MAX / 10)] {
            assert_eq!(ticks_between(then, now, 10), ticks, "{then} to {now}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_power_of_two_within_a_unit(sum in 0_u64..1 << 40, ticks in 0_u64..1_000) {
            let exact = sum as f64 * 2_f64.powf(-(ticks as f64) / 64.0);
            let left = left_of(sum, ticks) as f64;
            prop_assert!((left - exact).abs() <= 1.0 + exact * 1e-8, "{left} for {exact}");
        }
    }
}
