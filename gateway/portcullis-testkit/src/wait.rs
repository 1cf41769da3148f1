//! Waiting for an event, with a bound.

use std::thread;
use std::time::{Duration, Instant};

/// Polls `condition` until it holds.
///
/// # Panics
///
/// When `bound` has passed and the condition does not hold; the message names `what`.
#[track_caller]
pub fn wait_until(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, bound, || condition().then_some(()));
}

/// Polls `attempt` until it gives a value, and returns that value.
///
/// # Panics
///
/// When `bound` has passed without a value; the message names `what`.
#[track_caller]
pub fn wait_for<T>(what: &str, bound: Duration, attempt: impl FnMut() -> Option<T>) -> T {
    match poll(bound, attempt) {
        Some(value) => value,
        None => panic!("waited {bound:?} for {what}"),
    }
}

/// Polls `attempt` until it gives a value, or until `bound` has passed.
pub(crate) fn poll<T>(bound: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if start.elapsed() >= bound {
            return None;
        }
        // Not a guess at how long something takes: the pause only leaves the core to the other side.
        thread::sleep(POLL_PAUSE);
    }
}

const POLL_PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_polled_until_it_holds() {
        let mut polls = 0;
        wait_until("three polls", Duration::from_secs(5), || {
            polls += 1;
            polls == 3
        });
        assert_eq!(polls, 3);
    }

    #[test]
    #[should_panic(expected = "for a condition that never holds")]
    fn the_bound_ends_the_wait() {
        wait_until("a condition that never holds", Duration::from_millis(5), || false);
    }
}
