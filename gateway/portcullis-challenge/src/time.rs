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

impl UnixMillis {
    /// The date and the time of day, UTC, in the proleptic Gregorian calendar.
    pub(crate) fn civil(self) -> Civil {
        let (days, millis) = (self.0 / DAY_MILLIS, self.0 % DAY_MILLIS);
        // Years are counted from a 1st of March, so that the leap day is the last of its year. Day 0 is
        // then the 1st of March of year 0, 719,468 days before 1970; eras have 400 years and 146,097 days.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // Five months of 153 days, twice and a half.
        let from_march = (5 * day + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let small = |number: u64| u8::try_from(number).unwrap_or(0);
        Civil {
            year: era * 400 + year + u64::from(month <= 2),
            month: small(month),
            day: small(day - (153 * from_march + 2) / 5 + 1),
            hour: small(millis / 3_600_000),
            minute: small(millis / 60_000 % 60),
            second: small(millis / 1_000 % 60),
            millis: u16::try_from(millis % 1_000).unwrap_or(0),
        }
    }
}

/// A date and a time of day. Written as RFC 3339 writes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Civil {
    pub(crate) year: u64,
    pub(crate) month: u8,
    pub(crate) day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    millis: u16,
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, millis } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

const DAY_MILLIS: u64 = 86_400_000;

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
    fn a_time_is_written_as_its_date() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_760_000_000_000, "2025-10-09T08:53:20.000Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(UnixMillis(millis).civil().to_string(), text);
        }
        _ = UnixMillis(u64::MAX).civil().to_string();
    }

    #[test]
    fn time_stops_at_its_ends() {
        assert_eq!(UnixMillis(u64::MAX).after(Duration::from_secs(1)), UnixMillis(u64::MAX));
        assert_eq!(UnixMillis(1).after(Duration::MAX), UnixMillis(u64::MAX));
        assert_eq!(UnixMillis(1).since(UnixMillis(5)), Duration::ZERO);
    }
}
