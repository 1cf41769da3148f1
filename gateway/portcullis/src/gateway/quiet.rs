//! Which routes have had no failed answer lately, so that nobody's failures need to be looked up there.

use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_velocity::Millis;

use super::policy::OUTCOME_WINDOW;

/// When each route last saw a failed answer. Routes that share a place are quiet together or not at all.
#[derive(Debug)]
pub struct QuietRoutes([AtomicU64; PLACES]);

const PLACES: usize = 256;

impl Default for QuietRoutes {
    fn default() -> Self {
        Self([const { AtomicU64::new(NEVER) }; PLACES])
    }
}

/// Where no failed answer was ever seen.
const NEVER: u64 = u64::MAX;

impl QuietRoutes {
    /// Notes a failed answer on the route whose scope is `scope`.
    pub fn note_failure(&self, scope: u64, now: Millis) {
        self.place(scope).store(now.0, Ordering::Relaxed);
    }

    /// Whether the route has had no failed answer for as long as failures are remembered.
    pub fn is_quiet(&self, scope: u64, now: Millis) -> bool {
        let last = self.place(scope).load(Ordering::Relaxed);
        // One window and a tenth: the count of a window reaches back by up to one bucket more.
        last == NEVER || u128::from(now.0.saturating_sub(last)) * 10 > OUTCOME_WINDOW.as_millis() * 11
    }

    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    fn place(&self, scope: u64) -> &AtomicU64 {
        &self.0[usize::from(scope.to_le_bytes()[0])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_quiet_until_a_failure_and_again_when_it_is_forgotten() {
        let routes = QuietRoutes::default();
        assert!(routes.is_quiet(7, Millis(0)));
        routes.note_failure(7, Millis(1_000));
        assert!(!routes.is_quiet(7, Millis(1_000)));
        assert!(!routes.is_quiet(7, Millis(900_000)));
        assert!(routes.is_quiet(7, Millis(1_000 + 990_001)));
        assert!(routes.is_quiet(8, Millis(1_000)));
    }
}
