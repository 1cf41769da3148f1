//! What the counts of distinct values promise, against an exact set.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use portcullis_velocity::{Distinct, Distincts, Key, KeyHasher, Millis, Secret, Window};
use proptest::prelude::*;

const MINUTE: Window = Window::new(Duration::from_secs(60));

fn key(number: u64) -> Key {
    hasher().key(1, &[&number.to_be_bytes()])
}

fn value(number: u64) -> Key {
    hasher().key(2, &[&number.to_be_bytes()])
}

fn hasher() -> KeyHasher {
    KeyHasher::new(Secret([0x5e; 16]))
}

/// Each value's last sighting.
#[derive(Default)]
struct Exact(HashMap<u64, u64>);

impl Exact {
    fn note(&mut self, value: u64, now: u64) {
        self.0.insert(value, now);
    }

    /// How many values were seen less than `ms` before `now`.
    fn count(&self, now: u64, ms: u64) -> u32 {
        self.0.values().filter(|seen| now - **seen < ms).count() as u32
    }
}

#[test]
fn a_value_seen_again_is_one_value() {
    let distincts = Distincts::new(1 << 20);
    for (number, count) in [(1, 1), (1, 1), (2, 2), (1, 2), (3, 3)] {
        assert_eq!(distincts.note(key(1), value(number), MINUTE, Millis(0)).count, count);
    }
    assert_eq!(distincts.note(key(2), value(1), MINUTE, Millis(0)).count, 1);
    assert_eq!(distincts.read(key(1), MINUTE, Millis(0)).count, 3);
    assert_eq!(distincts.read(key(3), MINUTE, Millis(0)), Distinct::default());
}

#[test]
fn up_to_240_values_are_counted_exactly() {
    let distincts = Distincts::new(1 << 20);
    for number in 0..240 {
        let expected = Distinct { count: number as u32 + 1, standard_error: 0 };
        for _ in 0..2 {
            assert_eq!(distincts.note(key(1), value(number), MINUTE, Millis(number)), expected);
        }
        assert_eq!(distincts.read(key(1), MINUTE, Millis(number)), expected);
    }
    assert!(!distincts.note(key(1), value(240), MINUTE, Millis(240)).is_exact());
}

#[test]
fn a_value_counts_for_a_window_after_it_was_seen_last_and_little_longer() {
    let distincts = Distincts::new(1 << 20);
    for number in 0..100 {
        distincts.note(key(1), value(number), MINUTE, Millis(500));
    }
    for number in 0..20 {
        distincts.note(key(1), value(number), MINUTE, Millis(30_500));
    }
    for (now, count) in [(60_499, 100), (62_500, 20), (90_499, 20), (92_500, 0), (u64::MAX, 0)] {
        assert_eq!(distincts.read(key(1), MINUTE, Millis(now)).count, count, "at {now}");
    }
    assert_eq!(distincts.note(key(1), value(1_000), MINUTE, Millis(200_000)).count, 1);
}

#[test]
fn one_key_has_a_count_of_its_own_in_each_window() {
    let distincts = Distincts::new(1 << 20);
    let hour = Window::new(Duration::from_secs(3_600));
    for number in 0..50 {
        for window in [MINUTE, hour] {
            distincts.note(key(1), value(number), window, Millis(number * 10_000));
        }
    }
    assert_eq!(distincts.read(key(1), hour, Millis(500_000)).count, 50);
    assert!(distincts.read(key(1), MINUTE, Millis(500_000)).count <= 6);
}

#[test]
fn the_standard_error_is_as_stated_from_a_thousand_values_to_forty_thousand() {
    for values in [1_000_u64, 10_000, 40_000] {
        let (mut square, mut sum) = (0.0, 0.0);
        let trials = 40;
        for trial in 0..trials {
            let distincts = Distincts::new(0);
            let mut last = Distinct::default();
            for number in 0..values {
                last =
                    distincts.note(key(trial), value(trial << 32 | number), MINUTE, Millis(number * 50_000 / values));
            }
            let error = f64::from(last.count) / values as f64 - 1.0;
            assert!(error.abs() < 0.5, "{error} of {values} in trial {trial}");
            square += error * error;
            sum += error;
        }
        let (deviation, bias) = ((square / trials as f64).sqrt(), sum / trials as f64);
        eprintln!("{values} values: standard error {deviation:.3}, bias {bias:.3}");
        assert!(deviation < 0.12, "{deviation} of {values}");
        assert!(bias.abs() < 0.05, "{bias} of {values}");
    }
}

#[test]
fn after_a_burst_small_counts_are_soon_exact_again() {
    let distincts = Distincts::new(1 << 20);
    for number in 0..50_000 {
        distincts.note(key(1), value(number), MINUTE, Millis(1_000));
    }
    // Thirty values a minute from then on.
    let mut last = Distinct::default();
    for second in 1..150 {
        last = distincts.note(key(1), value(100_000 + second / 2), MINUTE, Millis(1_000 + second * 1_000));
        if second > 64 {
            assert!(last.count < 100, "{last:?} after {second} seconds");
        }
    }
    assert!(last.is_exact() && last.count.abs_diff(31) <= 1, "{last:?}");
}

#[test]
fn a_clock_that_steps_back_or_leaps_forward_does_no_harm() {
    let distincts = Distincts::new(1 << 20);
    for many in [5, 100] {
        let key = key(many);
        for number in 0..many {
            distincts.note(key, value(number), MINUTE, Millis(10_000_000));
        }
        let count = |now| u64::from(distincts.read(key, MINUTE, Millis(now)).count);
        assert_eq!((count(9_999_999), count(0)), (many, many));
        // Set back by hours: they are as old as they were, and age from there.
        assert_eq!(u64::from(distincts.note(key, value(0), MINUTE, Millis(1_000_000)).count), many);
        assert_eq!((count(1_059_000), count(1_063_000)), (many, 0));
        assert_eq!(distincts.note(key, value(7), MINUTE, Millis(u64::MAX)).count, 1);
        distincts.note(key, value(8), MINUTE, Millis(1_000_000));
        assert_eq!(distincts.note(key, value(9), MINUTE, Millis(1_070_000)).count, 1);
    }
}

#[test]
fn x18_a_flood_stays_in_the_budget_refuses_no_stranger_and_forgets_no_offender() {
    let distincts = Distincts::new(1 << 20);
    let stats = distincts.stats();
    assert_eq!(stats.few.budget_bytes + stats.many.budget_bytes, 1 << 20);
    assert!(stats.few.capacity * 72 + stats.many.capacity * 1_024 <= 1 << 20);
    for offender in 0..50 {
        for number in 0..40 {
            distincts.note(key(offender), value(number), MINUTE, Millis(0));
        }
    }
    for number in 0..300_000 {
        let seen = distincts.note(key(1_000 + number), value(number), MINUTE, Millis(number / 10));
        assert_eq!(seen.count, 1, "stranger {number}");
    }
    for offender in 0..50 {
        assert_eq!(distincts.read(key(offender), MINUTE, Millis(30_000)).count, 40, "offender {offender}");
    }
    let stats = distincts.stats();
    assert!(stats.few.evictions_total > 0 && stats.many.evictions_total == 0, "{stats:?}");
}

#[test]
fn a_key_displaced_among_those_of_many_goes_on_from_twelve() {
    let distincts = Distincts::new(0);
    let (many, capacity) = (20, distincts.stats().many.capacity);
    for number in 0..many {
        distincts.note(key(0), value(number), MINUTE, Millis(0));
    }
    for other in 1..capacity * 4 {
        for number in 0..30 {
            distincts.note(key(other), value(number), MINUTE, Millis(1));
        }
    }
    assert!(distincts.stats().many.evictions_total > 0);
    let read = distincts.read(key(0), MINUTE, Millis(2)).count;
    assert!(read == 12 || read == 20, "{read}");
    let noted = distincts.note(key(0), value(19), MINUTE, Millis(2)).count;
    assert!(noted == 13 || noted == 20, "{noted}");
}

#[test]
fn notes_from_several_threads_add_up() {
    let distincts = Distincts::new(1 << 20);
    thread::scope(|scope| {
        for part in 0..4 {
            let distincts = &distincts;
            scope.spawn(move || {
                for number in 0..3_000_u64 {
                    distincts.note(key(number % 50), value(part * 10 + number / 50 % 10), MINUTE, Millis(number));
                }
            });
        }
    });
    for number in 0..50 {
        assert_eq!(distincts.read(key(number), MINUTE, Millis(3_000)).count, 40, "key {number}");
    }
}

proptest! {
    #[test]
    fn the_count_is_that_of_the_window_or_of_a_thirtieth_more(
        length_ms in 1_000_u64..100_000,
        notes in prop::collection::vec((0_u64..300, 0_u64..100), 1..600),
        after in 0_u64..1_100,
    ) {
        let distincts = Distincts::new(0);
        let window = Window::new(Duration::from_millis(length_ms));
        let (mut exact, mut now) = (Exact::default(), 12_345);
        for (number, gap) in notes {
            now += if gap > 97 { length_ms / 3 } else { gap * length_ms / 20_000 };
            exact.note(number, now);
            let seen = distincts.note(key(1), value(number), window, Millis(now));
            prop_assert_eq!(seen, distincts.read(key(1), window, Millis(now)));
            let (least, most) = (exact.count(now, length_ms), exact.count(now, length_ms + length_ms / 30 + 2));
            if most <= 240 && seen.is_exact() {
                // Two values in twelve millions are taken for one.
                prop_assert!(seen.count <= most && seen.count + 1 >= least, "{least} {seen:?} {most}");
            }
            let slack = 5 * seen.standard_error + 1;
            prop_assert!(least <= seen.count + slack && seen.count <= most + slack, "{least} {seen:?} {most}");
        }
        now += after * length_ms / 1_000;
        let read = distincts.read(key(1), window, Millis(now));
        let (least, most) = (exact.count(now, length_ms), exact.count(now, length_ms + length_ms / 30 + 2));
        let slack = 5 * read.standard_error + 1;
        prop_assert!(least <= read.count + slack && read.count <= most + slack, "{least} {read:?} {most}");
    }

    #[test]
    fn estimates_are_within_five_of_their_standard_errors(
        values in 1_u64..8_000,
        windows in 1_u64..4,
        seed: u64,
    ) {
        let distincts = Distincts::new(0);
        let mut exact = Exact::default();
        let mut now = 0;
        for number in 0..values {
            now = number * 60_000 * windows / values;
            let number = seed.wrapping_add(number * 3 / 4);
            exact.note(number, now);
            distincts.note(key(1), value(number), MINUTE, Millis(now));
        }
        let read = distincts.read(key(1), MINUTE, Millis(now));
        let (least, most) = (exact.count(now, 60_000), exact.count(now, 62_002));
        let slack = 5 * read.standard_error + 1;
        prop_assert!(least <= read.count + slack && read.count <= most + slack, "{least} {read:?} {most}");
        prop_assert!(u64::from(read.standard_error) <= u64::from(read.count) / 6 + 1, "{read:?}");
    }

    #[test]
    fn any_times_and_windows_are_taken(steps in prop::collection::vec((any::<u64>(), any::<u32>(), any::<u64>()), 1..100)) {
        let distincts = Distincts::new(0);
        for (now, length, number) in steps {
            let window = Window::new(Duration::from_millis(u64::from(length)));
            for now in [now, now >> 30] {
                let seen = distincts.note(key(u64::from(length % 2)), value(number % 40), window, Millis(now));
                prop_assert!(seen.count >= 1);
                distincts.note(key(9), value(number), MINUTE, Millis(now));
                distincts.read(key(9), window, Millis(now));
            }
        }
    }
}

#[test]
fn a_value_is_known_while_it_counts_and_asking_changes_nothing() {
    let distincts = Distincts::new(1 << 20);
    let hasher = KeyHasher::new(Secret([7; 16]));
    let window = Window::new(Duration::from_secs(60));
    let (key, value) = (|n: u32| hasher.key(1, &[&n.to_be_bytes()]), |n: u32| hasher.key(2, &[&n.to_be_bytes()]));
    for most in [3, 100] {
        for n in 0..most {
            distincts.note(key(most), value(n), window, Millis(1_000));
        }
        let before = distincts.read(key(most), window, Millis(1_000));
        for n in 0..most * 2 {
            assert_eq!(distincts.knows(key(most), value(n), window, Millis(1_000)), n < most, "{n} of {most}");
        }
        assert_eq!(distincts.read(key(most), window, Millis(1_000)), before);
        assert!(!distincts.knows(key(most), value(0), window, Millis(200_000)), "long ago");
    }
}
