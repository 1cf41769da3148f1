//! The one place where time is read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_challenge::UnixMillis;
use portcullis_signals::UnixSeconds;
use portcullis_velocity::Millis;

/// A clock that never runs backwards, and that also knows the date.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_unix_ms: u64,
}

/// One moment, read once a request and used for everything in it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The moment itself, for durations.
    pub instant: Instant,
    /// Milliseconds since the clock started, for counters.
    pub millis: Millis,
    unix_ms: u64,
}

impl Clock {
    /// Starts a clock. The date is the wall clock's at this moment, and runs on from it steadily: a step
    /// of the wall clock neither revives what has expired nor ends what is good.
    pub fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
    }

    /// The moment at which the clock was started, without reading it.
    pub const fn started(&self) -> Now {
        Now { instant: self.started, millis: Millis(0), unix_ms: self.started_unix_ms }
    }

    /// Reads the clock.
    pub fn now(&self) -> Now {
        let instant = Instant::now();
        let passed = u64::try_from(instant.duration_since(self.started).as_millis()).unwrap_or(u64::MAX);
        Now { instant, millis: Millis(passed), unix_ms: self.started_unix_ms.saturating_add(passed) }
    }
}

impl Now {
    /// Seconds since 1970.
    pub const fn unix(&self) -> UnixSeconds {
        UnixSeconds(self.unix_ms / 1000)
    }

    /// The moment that is later by `passed`.
    pub(crate) fn later(self, passed: Duration) -> Self {
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        Self {
            instant: self.instant + passed,
            millis: Millis(self.millis.0.saturating_add(millis)),
            unix_ms: self.unix_ms.saturating_add(millis),
        }
    }

    /// Milliseconds since 1970.
    pub const fn unix_millis(&self) -> UnixMillis {
        UnixMillis(self.unix_ms)
    }
}
