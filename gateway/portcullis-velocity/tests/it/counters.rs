//! What counters promise of several windows at once, and of accuracy, limits and floods.

use std::thread;
use std::time::Duration;

use portcullis_velocity::{Counters, Key, Millis, Secret, Verdict, Window};
use proptest::prelude::*;

const MINUTE: Window = Window::new(Duration::from_secs(60));
const HOUR: Window = Window::new(Duration::from_secs(3_600));
const WINDOWS: [Window; 3] = [MINUTE, HOUR, Window::new(Duration::from_secs(86_400))];

fn counters(budget_bytes: usize) -> Counters {
    Counters::new(budget_bytes, Secret([0x5e; 16]))
}

fn client(counters: &Counters, number: u64) -> Key {
    counters.hasher().key(1, &[&number.to_be_bytes()])
}

#[test]
fn several_windows_at_once_count_as_one_after_the_other() {
    let (together, apart) = (counters(64 << 10), counters(64 << 10));
    for number in 0..5_000 {
        let key = client(&together, number % 700);
        let (amount, now) = (number as u32 % 4, Millis(number * 40));
        let readings = together.observe_windows(key, WINDOWS, amount, now);
        assert_eq!(readings, WINDOWS.map(|window| apart.observe(key, window, amount, now)), "request {number}");
    }
    assert_eq!(together.stats(), apart.stats());
}

#[test]
fn warming_changes_nothing() {
    let counters = counters(64 << 10);
    let keys: Vec<Key> = (0..100).map(|number| client(&counters, number)).collect();
    counters.warm(&keys);
    assert_eq!(counters.stats().occupied, 0);
    counters.observe_windows(keys[0], WINDOWS, 1, Millis(0));
    counters.warm(&keys);
    assert_eq!((counters.stats().occupied, counters.peek(keys[0], MINUTE, Millis(0)).count), (3, 1));
}

#[test]
fn of_several_limits_all_count_or_none() {
    let counters = counters(1 << 20);
    let key = client(&counters, 1);
    let limits = [(MINUTE, 5), (HOUR, 8)];
    let verdicts = |now| counters.observe_limited_windows(key, limits, 1, Millis(now)).map(|limited| limited.verdict);
    for _ in 0..5 {
        assert_eq!(verdicts(0), [Verdict::Admit, Verdict::Admit]);
    }
    for _ in 0..100 {
        assert_eq!(verdicts(0), [Verdict::Refuse, Verdict::Admit]);
    }
    assert_eq!(counters.peek(key, HOUR, Millis(0)).count, 5, "what the minute refuses the hour does not count");
    for _ in 0..3 {
        assert_eq!(verdicts(61_000), [Verdict::Admit, Verdict::Admit]);
    }
    assert_eq!(verdicts(61_000), [Verdict::Admit, Verdict::Refuse]);
    assert_eq!(counters.peek(key, MINUTE, Millis(61_000)).count, 3);
    let told = counters.observe_limited_windows(key, limits, 1, Millis(61_000)).map(|limited| limited.retry_after_ms);
    assert_eq!(told[0], 0);
    assert!((3_539_000 - 70_000..=3_539_000 + 70_000).contains(&told[1]), "{told:?}");
}

#[test]
fn threads_that_share_several_limits_get_no_more_than_the_least() {
    let counters = counters(1 << 20);
    let key = client(&counters, 1);
    let admitted: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let ask = || counters.observe_limited_windows(key, [(HOUR, 1_000), (MINUTE, 500)], 1, Millis(7));
                    (0..1_000).filter(|_| ask().iter().all(|limited| limited.is_admitted())).count()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(admitted, 500);
    assert!(counters.peek(key, HOUR, Millis(7)).count >= 500);
}

#[test]
fn a_hundred_thousand_clients_in_turn_far_below_twenty_a_second_are_never_refused() {
    // Those that a sketch shared by all would refuse: together they send 100,000 requests a second.
    let counters = counters(Counters::budget_for(200_000));
    let limits = [(Window::new(Duration::from_secs(1)), 20), (MINUTE, 600)];
    for round in 0..4 {
        for number in 0..100_000 {
            let now = Millis(round * 1_000 + number / 100);
            let limited = counters.observe_limited_windows(client(&counters, number), limits, 1, now);
            assert!(limited.iter().all(|limited| limited.is_admitted()), "client {number} in round {round}");
        }
    }
    assert!(counters.stats().evictions_total < 4_000, "of 800,000 observations: {:?}", counters.stats());
}

#[test]
fn x18_who_has_many_keys_keeps_its_own_count_and_has_no_stranger_refused() {
    const FLOOD: u64 = 1_000_000;
    let counters = counters(4 << 20);
    let limits = [(MINUTE, 20), (HOUR, 200)];
    // The attacker's own network, over its limit, and refused for as long as the flood lasts.
    let attacker = counters.hasher().key(2, &[b"198.51.100.0/24"]);
    let (mut attacker_refused, mut asked) = (0, 0);
    for number in 0..FLOOD {
        let now = Millis(number * 20_000 / FLOOD);
        if number % 1_000 == 0 {
            asked += 1;
            let limited = counters.observe_limited_windows(attacker, limits, 1, now);
            attacker_refused += u64::from(!limited[0].is_admitted());
        }
        let stranger = counters.observe_limited_windows(client(&counters, number), limits, 1, now);
        assert!(stranger.iter().all(|limited| limited.is_admitted()), "stranger {number}");
    }
    assert_eq!(asked - attacker_refused, 20, "the attacker's network is admitted as often as its limit says");
    let stats = counters.stats();
    assert!(stats.evictions_total > 0 && stats.capacity * 80 <= 4 << 20, "{stats:?}");
}

#[test]
fn odd_windows_and_costs_are_taken() {
    let counters = counters(1 << 20);
    let windows = [Duration::ZERO, Duration::from_nanos(1), Duration::MAX].map(Window::new);
    for amount in [0, 1, u32::MAX, u32::MAX] {
        for now in [0, u64::MAX, 1, u64::MAX / 2, 0] {
            counters.observe_windows(client(&counters, 1), windows, amount, Millis(now));
            let limits = windows.map(|window| (window, amount));
            counters.observe_limited_windows(client(&counters, 2), limits, amount, Millis(now));
        }
    }
    assert_eq!(
        counters.observe_windows(client(&counters, 1), windows, u32::MAX, Millis(0)).map(|r| r.count),
        [u32::MAX; 3]
    );
}

proptest! {
    /// Random arrivals at a rate that wanders a little, against an exact log.
    #[test]
    fn the_error_of_a_count_is_at_most_one_percent_and_two_events(
        rates in prop::collection::vec(20_u64..27, 8..16),
        scale in 1_u64..80,
        seed: u64,
    ) {
        let counters = counters(16 << 10);
        let key = client(&counters, 1);
        let mut random = seed;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        // Each rate for ten seconds, the arrivals at random moments of them.
        let mut log: Vec<u64> = Vec::new();
        for (part, rate) in (0_u64..).zip(&rates) {
            log.extend((0..rate * scale).map(|_| part * 10_000 + next() % 10_000));
        }
        log.sort_unstable();
        for (index, now) in log.iter().enumerate() {
            let count = u64::from(counters.observe(key, MINUTE, 1, Millis(*now)).count);
            if index % (log.len() / 20) == 0 {
                let exact = log[..=index].iter().rev().take_while(|then| now - **then < 60_000).count() as u64;
                prop_assert!(count.abs_diff(exact) <= 2 + exact / 100, "{count}, exactly {exact}, at {now}");
            }
        }
    }
}
