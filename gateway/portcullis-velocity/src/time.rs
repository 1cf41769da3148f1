use std::ops::Add;
use std::time::Duration;

/// A point in time: milliseconds since an epoch of the caller's choice.
///
/// A monotonic clock is best. Any clock is safe: where time steps back, a counter goes on at the
/// latest time it has seen; where time leaps forward, what was counted ages.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Millis(pub u64);

impl Millis {
    /// The time that passed from `earlier` to `self`; zero when `earlier` is the later one.
    pub const fn saturating_since(self, earlier: Millis) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Millis {
    type Output = Millis;

    /// The point in time `after` later, to the millisecond; the last there is when it would lie past that.
    fn add(self, after: Duration) -> Millis {
        Millis(self.0.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)))
    }
}
