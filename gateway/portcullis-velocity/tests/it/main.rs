//! The promises of the crate, kept from outside.

mod buckets;
mod cohorts;
mod contexts;
mod counters;
mod distinct;
mod in_flight;
mod posture;
mod session_prints;
mod traffic;

use std::thread;
use std::time::Duration;

use portcullis_velocity::{Bans, Counters, Key, Limited, Millis, Secret, Verdict, Window};
use proptest::prelude::*;

const SECRET: Secret = Secret([0x5e; 16]);
const MINUTE: Window = Window::new(Duration::from_secs(60));

fn counters(budget_bytes: usize) -> Counters {
    Counters::new(budget_bytes, SECRET)
}

fn client(counters: &Counters, number: u64) -> Key {
    counters.hasher().key(1, &[&number.to_be_bytes()])
}

#[test]
fn x18_memory_is_bounded_and_an_offender_is_not_forgotten_in_a_flood_of_new_keys() {
    const FLOOD: u64 = 1_000_000;
    let counters = counters(8 << 20);
    let capacity = counters.stats().capacity;
    assert!(capacity * 80 <= 8 << 20, "{capacity} slots of 80 bytes");
    assert!(capacity * 80 > (8 << 20) * 95 / 100, "the budget is put to use: {capacity} slots");

    // Two hundred offenders, at their limit before the flood begins.
    let offenders: Vec<Key> = (0..200).map(|number| client(&counters, number)).collect();
    for offender in &offenders {
        for _ in 0..20 {
            assert!(counters.observe_limited(*offender, MINUTE, 20, 1, Millis(0)).is_admitted());
        }
    }
    thread::scope(|scope| {
        for half in 0..2 {
            let counters = &counters;
            scope.spawn(move || {
                for number in (half..FLOOD).step_by(2) {
                    let now = Millis(number * 30_000 / FLOOD);
                    let stranger = client(counters, 1_000_000 + number);
                    let limited = counters.observe_limited(stranger, MINUTE, 20, 1, now);
                    assert_eq!((limited.verdict, limited.count), (Verdict::Admit, 1), "stranger {number}");
                }
            });
        }
    });
    for (number, offender) in offenders.iter().enumerate() {
        let limited = counters.observe_limited(*offender, MINUTE, 20, 1, Millis(30_000));
        assert_eq!((limited.verdict, limited.count), (Verdict::Refuse, 20), "offender {number}");
    }
    let stats = counters.stats();
    assert_eq!((stats.capacity, stats.budget_bytes), (capacity, 8 << 20));
    assert!(stats.occupied <= capacity && stats.evictions_total > 0, "{stats:?}");
}

#[test]
fn a_flood_of_large_amounts_does_not_displace_a_frequent_visitor() {
    let counters = counters(64 << 10);
    let visitor = client(&counters, 0);
    for _ in 0..10 {
        counters.observe(visitor, MINUTE, 1, Millis(0));
    }
    for number in 1..50_000 {
        counters.observe(client(&counters, number), MINUTE, 1_000_000, Millis(1));
    }
    assert_eq!(counters.peek(visitor, MINUTE, Millis(1)).count, 10);
}

#[test]
fn x18_an_offender_that_is_only_refused_is_not_displaced_by_keys_that_count_more() {
    let counters = counters(16 << 10);
    let offender = client(&counters, 0);
    for _ in 0..100 {
        counters.observe_limited(offender, MINUTE, 2, 1, Millis(0));
    }
    for number in 1..5_000 {
        for _ in 0..10 {
            counters.observe(client(&counters, number), MINUTE, 1, Millis(10));
        }
    }
    assert_eq!(counters.peek(offender, MINUTE, Millis(10)).count, 2);
}

#[test]
fn a_hundred_thousand_clients_below_their_limit_are_never_limited() {
    let counters = counters(Counters::budget_for(100_000));
    let second = Window::new(Duration::from_secs(1));
    let mut now = 0;
    for round in 0..5 {
        for number in 0..100_000 {
            // 100,000 requests a second in all: one a second from each.
            now += number % 100 / 99;
            let limited = counters.observe_limited(client(&counters, number), second, 20, 1, Millis(now));
            assert!(limited.is_admitted(), "client {number} in round {round}");
        }
    }
    assert!(counters.stats().evictions_total < 500, "of 500,000 observations: {:?}", counters.stats());
}

#[test]
fn x31_refusals_are_not_counted_so_who_keeps_trying_recovers() {
    let counters = counters(1 << 20);
    let key = client(&counters, 1);
    let mut admitted = 0;
    for second in 0..600 {
        let limited = counters.observe_limited(key, MINUTE, 10, 1, Millis(second * 1_000));
        admitted += u32::from(limited.is_admitted());
        assert!(limited.count <= 10);
    }
    assert!((100..=110).contains(&admitted), "{admitted} of 600, 10 a minute");
}

#[test]
fn x31_a_refusal_does_not_move_the_time_at_which_one_is_admitted_again() {
    let counters = counters(1 << 20);
    let key = client(&counters, 1);
    for _ in 0..10 {
        counters.observe_limited(key, MINUTE, 10, 1, Millis(5_000));
    }
    let refused = counters.observe_limited(key, MINUTE, 10, 1, Millis(5_000));
    let until = 5_000 + refused.retry_after_ms;
    let empty = 5_000 + refused.reset_ms;
    for now in (5_000..until).step_by(100) {
        let limited = counters.observe_limited(key, MINUTE, 10, 1, Millis(now));
        assert_eq!((limited.verdict, now + limited.retry_after_ms), (Verdict::Refuse, until), "at {now}");
        assert_eq!(now + limited.reset_ms, empty, "at {now}");
    }
    assert!(counters.observe_limited(key, MINUTE, 10, 1, Millis(until)).is_admitted());
}

#[test]
fn x31_a_client_that_only_met_refusals_is_clean_when_its_ban_is_over() {
    let (counters, bans) = (counters(1 << 20), Bans::new(100));
    let key = client(&counters, 1);
    for _ in 0..11 {
        if !counters.observe_limited(key, MINUTE, 10, 1, Millis(0)).is_admitted() {
            bans.ban(key, Millis(120_000), 1, Millis(0));
        }
    }
    for now in (0..120_000).step_by(500) {
        assert!(bans.check(key, Millis(now)).is_some(), "at {now}");
    }
    assert_eq!(bans.check(key, Millis(120_000)), None);
    assert_eq!(counters.peek(key, MINUTE, Millis(120_000)).count, 0);
    assert!(counters.observe_limited(key, MINUTE, 10, 1, Millis(120_000)).is_admitted());
}

#[test]
fn x19_a_key_with_an_empty_or_no_part_is_limited_like_any_other() {
    let counters = counters(1 << 20);
    for parts in [&[][..], &[&b""[..]]] {
        let key = counters.hasher().key(1, parts);
        for _ in 0..3 {
            assert!(counters.observe_limited(key, MINUTE, 3, 1, Millis(0)).is_admitted());
        }
        assert!(!counters.observe_limited(key, MINUTE, 3, 1, Millis(0)).is_admitted(), "{parts:?}");
    }
}

#[test]
fn attempts_are_known_when_they_are_observed() {
    let counters = counters(1 << 20);
    let (limit, attempts) = (counters.hasher().key(1, &[b"a"]), counters.hasher().key(2, &[b"a"]));
    for _ in 0..50 {
        counters.observe(attempts, MINUTE, 1, Millis(0));
        counters.observe_limited(limit, MINUTE, 10, 1, Millis(0));
    }
    assert_eq!(counters.peek(limit, MINUTE, Millis(0)).count, 10);
    assert_eq!(counters.peek(attempts, MINUTE, Millis(0)).count, 50);
}

#[test]
fn one_key_has_a_counter_of_its_own_in_each_window() {
    let counters = counters(1 << 20);
    let key = client(&counters, 1);
    let hour = Window::new(Duration::from_secs(3_600));
    counters.observe(key, MINUTE, 2, Millis(0));
    counters.observe(key, hour, 5, Millis(0));
    let counts = |now| (counters.peek(key, MINUTE, now).count, counters.peek(key, hour, now).count);
    assert_eq!(counts(Millis(0)), (2, 5));
    assert_eq!(counts(Millis(61_000)), (0, 5));
    assert_eq!(counts(Millis(3_660_000)), (0, 0));
}

#[test]
fn a_limit_admits_exactly_as_many_as_it_says() {
    let counters = counters(1 << 20);
    for (number, (limit, amount, admitted)) in
        [(0, 1, 0), (1, 1, 1), (100, 1, 100), (100, 30, 3), (10, 11, 0), (u32::MAX, u32::MAX, 1)]
            .into_iter()
            .enumerate()
    {
        let key = client(&counters, number as u64);
        let count =
            (0..200).filter(|_| counters.observe_limited(key, MINUTE, limit, amount, Millis(0)).is_admitted()).count();
        assert_eq!(count, admitted, "limit {limit}, amount {amount}");
    }
}

#[test]
fn what_is_more_than_the_limit_is_told_to_wait_a_window_and_leaves_no_trace() {
    let counters = counters(1 << 20);
    let limited = counters.observe_limited(client(&counters, 1), MINUTE, 10, 11, Millis(0));
    let expected = Limited { verdict: Verdict::Refuse, count: 0, retry_after_ms: 60_000, reset_ms: 0 };
    assert_eq!(limited, expected);
    assert_eq!(counters.stats().occupied, 0);
}

#[test]
fn asking_counts_nothing() {
    let counters = counters(1 << 20);
    let key = client(&counters, 1);
    for _ in 0..3 {
        counters.observe(key, MINUTE, 1, Millis(0));
    }
    for (limit, verdict) in [(2, Verdict::Refuse), (3, Verdict::Refuse), (4, Verdict::Admit)] {
        let limited = counters.peek_limited(key, MINUTE, limit, 1, Millis(0));
        assert_eq!((limited.verdict, limited.count), (verdict, 3), "limit {limit}");
        assert_eq!(limited.retry_after_ms == 0, limited.is_admitted(), "limit {limit}");
    }
    counters.observe(client(&counters, 2), MINUTE, 0, Millis(0));
    assert_eq!(counters.stats().occupied, 1);
}

#[test]
fn a_clock_that_steps_back_or_leaps_forward_does_no_harm() {
    let counters = counters(1 << 20);
    let key = client(&counters, 1);
    counters.observe(key, MINUTE, 5, Millis(1_000_000));
    for (now, count) in [(999_999, 5), (0, 5), (1_000_000, 5), (1_061_000, 0), (u64::MAX, 0)] {
        assert_eq!(counters.peek(key, MINUTE, Millis(now)).count, count, "at {now}");
    }
    assert_eq!(counters.observe(key, MINUTE, 1, Millis(0)).count, 6);
    assert_eq!(counters.observe(key, MINUTE, 1, Millis(u64::MAX)).count, 1);
    assert_eq!(counters.observe(key, MINUTE, 1, Millis(0)).count, 2);
}

#[test]
fn observations_from_several_threads_add_up() {
    let counters = counters(1 << 20);
    let keys: Vec<Key> = (0..10).map(|number| client(&counters, number)).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..5_000 {
                    counters.observe(keys[turn % 10], MINUTE, 1, Millis(turn as u64));
                }
            });
        }
    });
    for key in keys {
        assert_eq!(counters.peek(key, MINUTE, Millis(5_000)).count, 2_000);
    }
}

#[test]
fn threads_that_meet_at_a_new_key_share_one_counter() {
    let counters = counters(1 << 20);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..5_000 {
                    counters.observe(client(&counters, number), MINUTE, 1, Millis(0));
                }
            });
        }
    });
    for number in 0..5_000 {
        let count = counters.peek(client(&counters, number), MINUTE, Millis(0)).count;
        assert_eq!(count, 4, "key {number}");
    }
    assert_eq!(counters.stats().occupied, 5_000);
}

#[test]
fn the_smallest_and_oddest_budgets_work() {
    for budget in [0, 1, 16 << 10, 100_000, (1 << 20) + 7] {
        let counters = counters(budget);
        let stats = counters.stats();
        assert!(stats.capacity > 0 && stats.capacity * 80 <= stats.budget_bytes, "{budget}: {stats:?}");
        for number in 0..2_000 {
            assert_eq!(counters.observe(client(&counters, number), MINUTE, 1, Millis(0)).count, 1);
        }
        assert!(counters.stats().occupied <= stats.capacity, "{budget}");
    }
}

proptest! {
    #[test]
    fn who_waits_as_long_as_told_is_admitted(
        limit in 1_u32..300,
        length_ms in 100_u64..100_000,
        gaps in prop::collection::vec(0_u64..100, 1..200),
    ) {
        let counters = counters(64 << 10);
        let window = Window::new(Duration::from_millis(length_ms));
        let key = client(&counters, 1);
        let mut now = 1_000;
        for gap in gaps {
            now += gap * length_ms / 5_000;
            let limited = counters.observe_limited(key, window, limit, 1, Millis(now));
            prop_assert!(limited.count <= limit);
            prop_assert!(limited.reset_ms >= limited.retry_after_ms);
            if !limited.is_admitted() {
                let then = now + limited.retry_after_ms;
                prop_assert!(!counters.peek_limited(key, window, limit, 1, Millis(then - 1)).is_admitted());
                prop_assert!(counters.peek_limited(key, window, limit, 1, Millis(then)).is_admitted());
            }
        }
    }

    #[test]
    fn any_times_and_amounts_are_taken(
        steps in prop::collection::vec((any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>()), 1..60),
    ) {
        let counters = counters(16 << 10);
        for (now, amount, limit, length) in steps {
            let window = Window::new(Duration::from_millis(u64::from(length)));
            let key = client(&counters, u64::from(length % 3));
            counters.observe(key, window, amount, Millis(now));
            counters.observe_limited(key, window, limit, amount, Millis(now));
            counters.peek_limited(key, MINUTE, limit, amount, Millis(now));
            counters.observe(key, MINUTE, amount, Millis(now));
        }
    }
}
