use std::time::Duration;

use crate::time::Millis;

/// A sliding window: the events of the last `length` count, from 100 ms to about 49 days.
///
/// # What the count is worth
///
/// A counter divides its window into `B` buckets and takes the events of the one bucket that straddles the window's
/// edge to be spread evenly over it. `B` is 110, and 55 once a bucket has held more than 15 events. (A counter returns
/// to 110 when everything it held has left the window.) Past 255 events buckets count in units of a power of two, none
/// of which is more than 1/128 of the largest bucket in the window: past 255 by 128ths, that is. What does not fill a
/// unit waits beside the buckets and goes into the next, so that no sum is ever off by more than one unit, and what is
/// still wholly in the window is exact.
///
/// - **For random (Poisson) arrivals**, `n` in a window, the count stays within 1 % plus two events of the exact one.
///   The error has a standard deviation of at most `sqrt(n / 4B)`: 0.5 events of 100, 2.2 of 1,000, 7 of 10,000.
/// - **For evenly spread arrivals** it is within two events and a unit; while the window's edge passes the bucket in
///   which they began or ended, within `n / 4B` more: 0.3 % of `n`, 0.5 % for busy counters.
/// - **For any arrivals whatever**, bursts and pauses, the error averaged over time is at most 1 % of the average
///   count: an event leaves evenly over the time of its bucket, not at once, so it is counted wrongly for at most half
///   a bucket, 1/2B of a window. At one moment the count lies between the exact counts of two windows, one `1/B`
///   shorter and one `1/B` longer, give or take a unit. No counter of this size is within 1 % of any arrivals at
///   any moment: that takes some `B` log² `n` bits (Datar, Gionis, Indyk, Motwani, "Maintaining stream statistics over
///   sliding windows", SIAM Journal on Computing 31, 2002).
///
/// Times are exact to 1 ms.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Window {
    length_ms: u32,
}

impl Window {
    /// The shortest window. Past it a bucket would be no longer than the clock's millisecond.
    pub const SHORTEST: Duration = Duration::from_millis(100);
    /// The longest window: what 32 bits of milliseconds hold.
    pub const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

    /// A window of `length` in whole milliseconds. A length out of range becomes the nearest in range.
    pub const fn new(length: Duration) -> Window {
        let millis = length.as_millis();
        if millis < Self::SHORTEST.as_millis() {
            Window { length_ms: 100 }
        } else if millis > Self::LONGEST.as_millis() {
            Window { length_ms: u32::MAX }
        } else {
            Window { length_ms: millis as u32 }
        }
    }

    /// How far back the window reaches.
    pub const fn length(self) -> Duration {
        Duration::from_millis(self.length_ms as u64)
    }

    /// A window of this length, unless it is none.
    pub(crate) const fn from_ms(length_ms: u32) -> Option<Window> {
        if length_ms == 0 { None } else { Some(Window { length_ms }) }
    }

    pub(crate) const fn length_ms(self) -> u32 {
        self.length_ms
    }

    /// Changes a key's tag, so that one key has a counter of its own in each window.
    pub(crate) const fn salt(self) -> u64 {
        (self.length_ms as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Where `now` falls among the fine buckets of this window.
    #[inline]
    pub(crate) fn moment(self, now: Millis) -> Moment {
        let length = u64::from(self.length_ms);
        let ticks = now.0.min(u64::MAX / BUCKETS) * BUCKETS;
        let fine = ticks / length;
        if fine > LAST_FINE {
            return Moment { fine: LAST_FINE, part: 0, length };
        }
        Moment { fine, part: ticks % length, length }
    }
}

/// A point in time on the scale of one window: `fine` whole buckets, each `length` ticks long, and
/// `part` ticks of the next. A tick is 1/110 ms, so that buckets need no rounding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) fine: u64,
    pub(crate) part: u64,
    pub(crate) length: u64,
}

/// Fine buckets in a window. 110 is the most for which bucket, window edge and growth by pairs fit into 112 places (see
/// `cell.rs`).
pub(crate) const BUCKETS: u64 = 110;

/// The last bucket there is: 42 bits, as many as a slot has room for. For a window of 100 ms that is 126 years after the
/// epoch, for one of a minute 76,000 years. Later than that nothing ages.
pub(crate) const LAST_FINE: u64 = (1 << 42) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_out_of_range_becomes_the_nearest_in_range() {
        for (length, becomes) in [
            (Duration::ZERO, Window::SHORTEST),
            (Duration::from_millis(99), Window::SHORTEST),
            (Duration::from_millis(101), Duration::from_millis(101)),
            (Duration::MAX, Window::LONGEST),
        ] {
            assert_eq!(Window::new(length).length(), becomes, "{length:?}");
        }
    }

    #[test]
    fn the_last_moments_of_all_do_not_overflow() {
        for length in [Window::SHORTEST, Window::LONGEST] {
            for now in [u64::MAX, u64::MAX - 1, u64::MAX / BUCKETS, u64::MAX / BUCKETS + 1] {
                assert!(Window::new(length).moment(Millis(now)).fine <= LAST_FINE);
            }
        }
    }
}
