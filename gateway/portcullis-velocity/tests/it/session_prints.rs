//! Prints seen under sessions.

use std::collections::BTreeMap;
use std::thread;

use portcullis_velocity::{Key, KeyHasher, Millis, Secret, SessionPrints};
use proptest::prelude::*;

const SEGMENT_MS: u64 = 150_000;
const MEMORY_MS: u64 = 900_000;

fn session(number: u64) -> Key {
    KeyHasher::new(Secret([0x5e; 16])).key(2, &[&number.to_be_bytes()])
}

#[test]
fn different_prints_under_one_session_are_counted_once_each_up_to_seven() {
    let prints = SessionPrints::new(0);
    for (print, count) in [(9, 1), (9, 1), (0, 2), (9, 2), (1 << 40, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 7)] {
        assert_eq!(prints.note(session(1), print, Millis(0)), count, "print {print}");
    }
    assert_eq!(prints.note(session(2), 9, Millis(0)), 1, "another session");
    assert_eq!(prints.stats().occupied, 2);
}

#[test]
fn a_print_is_forgotten_after_fifteen_minutes_and_not_while_it_is_seen() {
    let prints = SessionPrints::new(0);
    prints.note(session(1), 1, Millis(0));
    for (now, count) in [(MEMORY_MS - SEGMENT_MS, 2), (MEMORY_MS - 1, 2), (MEMORY_MS, 1), (0, 1), (u64::MAX, 1), (0, 1)]
    {
        assert_eq!(prints.note(session(1), 2, Millis(now)), count, "at {now}");
    }
}

#[test]
fn a_flood_of_invented_sessions_stays_in_the_budget_and_does_not_displace_those_in_use() {
    const FLOOD: u64 = 500_000;
    let prints = SessionPrints::new(1 << 20);
    let before = prints.stats();
    assert!(before.capacity * 56 <= before.budget_bytes && before.capacity * 56 > before.budget_bytes * 95 / 100);
    for number in 0..200 {
        for _ in 0..20 {
            prints.note(session(number), 1, Millis(0));
        }
    }
    for number in 0..FLOOD {
        let now = Millis(number * 300_000 / FLOOD);
        assert_eq!(prints.note(session(1_000_000 + number), 1, now), 1, "invented session {number}");
    }
    for number in 0..200 {
        assert_eq!(prints.note(session(number), 2, Millis(300_000)), 2, "session {number}");
    }
    let stats = prints.stats();
    assert_eq!((stats.capacity, stats.budget_bytes), (before.capacity, 1 << 20));
    assert!(stats.occupied <= stats.capacity && stats.evictions_total > FLOOD / 2, "{stats:?}");
}

#[test]
fn prints_from_two_threads_are_counted_together() {
    let prints = SessionPrints::new(1 << 20);
    thread::scope(|scope| {
        for thread in 0..2 {
            let prints = &prints;
            scope.spawn(move || {
                for turn in 0..50_000_u64 {
                    prints.note(session(turn % 1_000), thread, Millis(turn / 1_000));
                }
            });
        }
    });
    for number in 0..1_000 {
        assert_eq!(prints.note(session(number), 0, Millis(50)), 2, "session {number}");
    }
    assert_eq!(prints.stats().occupied, 1_000);
}

proptest! {
    #[test]
    fn the_count_is_that_of_all_prints_in_the_memory_up_to_seven(
        steps in prop::collection::vec((0_u64..9, 0_u64..200_000), 1..200),
    ) {
        let prints = SessionPrints::new(0);
        let mut seen = BTreeMap::new();
        let mut now = 0;
        for (print, gap) in steps {
            now += gap;
            seen.insert(print, now);
            let remembered = |then: u64| now / SEGMENT_MS < then / SEGMENT_MS + MEMORY_MS / SEGMENT_MS;
            let expected = seen.values().filter(|then| remembered(**then)).count().min(7);
            prop_assert_eq!(usize::from(prints.note(session(1), print, Millis(now))), expected);
        }
    }

    #[test]
    fn any_times_and_prints_are_taken(steps in prop::collection::vec((any::<u64>(), any::<u64>()), 1..60)) {
        let prints = SessionPrints::new(0);
        for (noted, (now, print)) in (1..).zip(steps) {
            let count = prints.note(session(1), print, Millis(now));
            prop_assert!((1..=noted.min(7)).contains(&count));
        }
    }
}
