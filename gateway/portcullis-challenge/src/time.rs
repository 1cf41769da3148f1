//! Wall-clock time, always an argument.

use std::fmt;
use std::time::Duration;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Wall-clock time, because tokens outlive the process and are checked by other machines.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The time `span` later; it stops at the largest time there is.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The time in whole seconds, rounded down, as JWT (RFC 7519 §2, NumericDate) writes it.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms since 1970", self.0)
    }
}

/// How far ahead of this machine's clock a token's time of issue may lie.
///
/// Machines that share keys differ by a few seconds. Past this a token is not yet valid: either a
/// clock is badly wrong, and then its expiry cannot be trusted either, or it is an experiment.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stops_at_its_ends() {
        assert_eq!(UnixMillis(u64::MAX).after(Duration::from_secs(1)), UnixMillis(u64::MAX));
        assert_eq!(UnixMillis(1).after(Duration::MAX), UnixMillis(u64::MAX));
        assert_eq!(UnixMillis(1).since(UnixMillis(5)), Duration::ZERO);
    }
}
