//! What token buckets promise.

use std::thread;
use std::time::Duration;

use portcullis_velocity::{Buckets, Key, KeyHasher, Millis, Rate, Secret, Verdict};
use proptest::prelude::*;

fn client(number: u64) -> Key {
    KeyHasher::new(Secret([0x5e; 16])).key(1, &[&number.to_be_bytes()])
}

fn per_second(amount: u32, burst: u32) -> Rate {
    Rate::new(amount, Duration::from_secs(1), burst)
}

#[test]
fn a_full_bucket_gives_its_burst_at_once_and_then_its_rate() {
    let buckets = Buckets::new(1 << 20);
    let (key, rate) = (client(1), per_second(10, 25));
    let admitted = |from: u64, until: u64| {
        (from..until).filter(|now| buckets.take(key, rate, 1, Millis(*now)).is_admitted()).count()
    };
    assert_eq!(admitted(0, 1), 1);
    assert_eq!((0..100).filter(|_| buckets.take(key, rate, 1, Millis(0)).is_admitted()).count(), 24);
    assert_eq!(admitted(1, 1_001), 10);
    assert_eq!(admitted(1_001, 61_001), 600);
}

#[test]
fn the_figures_for_the_headers_are_those_of_the_bucket() {
    let buckets = Buckets::new(1 << 20);
    let (key, rate) = (client(1), per_second(2, 4));
    for (now, cost, verdict, remaining, retry_after_ms, reset_ms) in [
        (0, 1, Verdict::Admit, 3, 0, 500),
        (0, 3, Verdict::Admit, 0, 0, 2_000),
        (0, 1, Verdict::Refuse, 0, 500, 2_000),
        (0, 4, Verdict::Refuse, 0, 2_000, 2_000),
        (100, 1, Verdict::Refuse, 0, 400, 1_900),
        (499, 1, Verdict::Refuse, 0, 1, 1_501),
        (500, 1, Verdict::Admit, 0, 0, 2_000),
        (1_700, 5, Verdict::Refuse, 2, 2_000, 800),
        (1_700, 0, Verdict::Admit, 2, 0, 800),
        (9_999, 0, Verdict::Admit, 4, 0, 0),
    ] {
        let draw = buckets.take(key, rate, cost, Millis(now));
        let seen = (draw.verdict, draw.remaining, draw.retry_after_ms, draw.reset_ms);
        assert_eq!(seen, (verdict, remaining, retry_after_ms, reset_ms), "{cost} at {now}");
    }
    assert_eq!((rate.burst(), rate.fills_in()), (4, Duration::from_secs(2)));
}

#[test]
fn x31_refusals_take_nothing_so_who_keeps_trying_recovers_as_soon_as_who_waits() {
    let buckets = Buckets::new(1 << 20);
    let (key, rate) = (client(1), per_second(1, 1));
    assert!(buckets.take(key, rate, 1, Millis(0)).is_admitted());
    for now in 0..1_000 {
        let draw = buckets.take(key, rate, 1, Millis(now));
        assert_eq!((draw.verdict, now + draw.retry_after_ms), (Verdict::Refuse, 1_000), "at {now}");
    }
    assert!(buckets.take(key, rate, 1, Millis(1_000)).is_admitted());
}

#[test]
fn peeking_takes_nothing_and_no_slot() {
    let buckets = Buckets::new(1 << 20);
    let rate = per_second(1, 5);
    for _ in 0..10 {
        assert_eq!(buckets.peek(client(1), rate, 1, Millis(0)).remaining, 5);
    }
    buckets.take(client(1), rate, 6, Millis(0));
    buckets.take(client(1), rate, 0, Millis(0));
    buckets.give_back(client(1), rate, 1, Millis(0));
    assert_eq!(buckets.stats().occupied, 0);
}

#[test]
fn a_cost_known_afterwards_goes_into_debt_of_one_burst_at_most() {
    let buckets = Buckets::new(1 << 20);
    let (key, rate) = (client(1), per_second(10, 10));
    assert_eq!(buckets.charge(key, rate, 4, Millis(0)).remaining, 6);
    let charged = buckets.charge(key, rate, 8, Millis(0));
    assert_eq!((charged.verdict, charged.remaining, charged.reset_ms), (Verdict::Refuse, 0, 1_200));
    assert_eq!(buckets.peek(key, rate, 1, Millis(0)).retry_after_ms, 300);
    assert!(!buckets.peek(key, rate, 0, Millis(199)).is_admitted(), "in debt");
    assert!(buckets.peek(key, rate, 0, Millis(200)).is_admitted(), "empty");
    assert_eq!(buckets.charge(key, rate, u32::MAX, Millis(0)).reset_ms, 2_000);
}

#[test]
fn what_is_given_back_can_be_taken_again_and_never_overflows() {
    let buckets = Buckets::new(1 << 20);
    let (key, rate) = (client(1), per_second(10, 10));
    buckets.take(key, rate, 8, Millis(0));
    buckets.give_back(key, rate, 5, Millis(0));
    assert_eq!(buckets.peek(key, rate, 1, Millis(0)).remaining, 7);
    buckets.give_back(key, rate, u32::MAX, Millis(0));
    assert_eq!(buckets.peek(key, rate, 1, Millis(0)).remaining, 10);
}

#[test]
fn a_rate_of_nothing_admits_nothing_and_one_without_time_admits_every_burst() {
    let buckets = Buckets::new(1 << 20);
    for (rate, cost, admitted) in [
        (Rate::new(0, Duration::from_secs(1), 5), 1, 0),
        (Rate::new(5, Duration::from_secs(1), 0), 1, 0),
        (Rate::new(5, Duration::ZERO, 5), 5, 100),
        (Rate::new(5, Duration::ZERO, 5), 6, 0),
        (Rate::new(1, Duration::MAX, u32::MAX), 1, 0),
        (Rate::new(u32::MAX, Duration::from_secs(1), u32::MAX), u32::MAX, 100),
    ] {
        let count = (0..100).filter(|now| buckets.take(client(1), rate, cost, Millis(*now)).is_admitted()).count();
        assert_eq!(count, admitted, "{rate:?}, {cost}");
    }
}

#[test]
fn a_clock_set_back_neither_fills_nor_freezes_a_bucket() {
    let buckets = Buckets::new(1 << 20);
    let (key, rate) = (client(1), per_second(1, 10));
    for _ in 0..10 {
        buckets.take(key, rate, 1, Millis(5_000_000));
    }
    // A little, as between threads: it goes on at the latest time.
    let draw = buckets.take(key, rate, 1, Millis(4_999_500));
    assert_eq!((draw.verdict, draw.retry_after_ms), (Verdict::Refuse, 1_000));
    // By an hour: it goes on from there.
    let draw = buckets.take(key, rate, 1, Millis(1_400_000));
    assert_eq!((draw.verdict, draw.retry_after_ms), (Verdict::Refuse, 1_000));
    assert!(buckets.take(key, rate, 1, Millis(1_401_000)).is_admitted());
    // To the end of time and back.
    for _ in 0..20 {
        buckets.take(key, rate, 1, Millis(u64::MAX));
    }
    assert!(!buckets.take(key, rate, 1, Millis(1_402_000)).is_admitted());
    assert!(buckets.take(key, rate, 1, Millis(1_403_000)).is_admitted());
}

#[test]
fn x18_a_flood_stays_in_the_budget_refuses_no_stranger_and_resets_no_offender() {
    const FLOOD: u64 = 500_000;
    let buckets = Buckets::new(1 << 20);
    let rate = Rate::new(20, Duration::from_secs(60), 20);
    let capacity = buckets.stats().capacity;
    assert!(capacity * 24 <= 1 << 20 && capacity * 24 > (1 << 20) * 9 / 10, "{capacity} slots of 24 bytes");
    for offender in 0..200 {
        for _ in 0..40 {
            buckets.take(client(offender), rate, 1, Millis(0));
        }
    }
    thread::scope(|scope| {
        for half in 0..2 {
            let buckets = &buckets;
            scope.spawn(move || {
                for number in (half..FLOOD).step_by(2) {
                    let draw = buckets.take(client(1_000 + number), rate, 1, Millis(number * 2_000 / FLOOD));
                    assert_eq!((draw.verdict, draw.remaining), (Verdict::Admit, 19), "stranger {number}");
                }
            });
        }
    });
    for offender in 0..200 {
        assert!(!buckets.peek(client(offender), rate, 1, Millis(2_000)).is_admitted(), "offender {offender}");
    }
    let stats = buckets.stats();
    assert!(stats.occupied <= capacity && stats.evictions_total > 0, "{stats:?}");
}

#[test]
fn a_hundred_thousand_clients_below_their_rate_are_never_refused() {
    let buckets = Buckets::new(Buckets::budget_for(100_000));
    let rate = per_second(20, 20);
    for round in 0..5 {
        for number in 0..100_000 {
            let draw = buckets.take(client(number), rate, 1, Millis(round * 1_000 + number / 100));
            assert!(draw.is_admitted(), "client {number} in round {round}");
        }
    }
}

#[test]
fn threads_that_share_a_bucket_get_no_more_than_it_holds() {
    let buckets = Buckets::new(1 << 20);
    let rate = per_second(1, 1_000);
    let admitted: usize = thread::scope(|scope| {
        let takers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| (0..1_000).filter(|_| buckets.take(client(1), rate, 1, Millis(7)).is_admitted()).count())
            })
            .collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).sum()
    });
    assert_eq!(admitted, 1_000);
}

proptest! {
    #[test]
    fn no_span_of_time_admits_more_than_its_burst_and_what_came_back(
        amount in 1_u32..2_000,
        per_ms in 1_u64..100_000,
        burst in 1_u32..50,
        steps in prop::collection::vec((0_u64..2_000, 1_u32..8), 1..200),
    ) {
        let buckets = Buckets::new(16 << 10);
        let rate = Rate::new(amount, Duration::from_millis(per_ms), burst);
        let (mut now, mut log) = (0, Vec::new());
        for (gap, cost) in steps {
            now += gap * per_ms / u64::from(amount) / 500;
            let draw = buckets.take(client(1), rate, cost, Millis(now));
            if draw.is_admitted() {
                log.push((now, u64::from(cost)));
            } else if cost <= burst {
                prop_assert!(draw.retry_after_ms > 0 && draw.retry_after_ms <= draw.reset_ms);
                let then = Millis(now + draw.retry_after_ms);
                prop_assert!(buckets.peek(client(1), rate, cost, then).is_admitted());
                let before = Millis(now + draw.retry_after_ms - 1);
                prop_assert!(!buckets.peek(client(1), rate, cost, before).is_admitted());
            }
        }
        for (first, (start, _)) in log.iter().enumerate() {
            let mut sum = 0;
            for (end, cost) in &log[first..] {
                sum += cost;
                // One more for what was there in part. The rate is kept to a nanosecond.
                let came_back = (end - start) as f64 * f64::from(amount) / per_ms as f64 * (1.0 + 1e-3);
                prop_assert!(sum as f64 <= f64::from(burst) + came_back + 1e-3, "{sum} from {start} to {end}");
            }
        }
    }

    #[test]
    fn any_times_rates_and_costs_are_taken(
        steps in prop::collection::vec((any::<u64>(), any::<u32>(), any::<u64>(), any::<u32>(), any::<u32>()), 1..60),
    ) {
        let buckets = Buckets::new(0);
        for (now, amount, per_ms, burst, cost) in steps {
            let rate = Rate::new(amount, Duration::from_millis(per_ms >> (amount % 64)), burst);
            let key = client(u64::from(cost % 3));
            for draw in [
                buckets.take(key, rate, cost, Millis(now)),
                buckets.take(key, rate, cost % 5, Millis(now >> 22)),
                buckets.charge(key, rate, cost, Millis(now)),
                buckets.peek(key, rate, cost, Millis(now)),
            ] {
                prop_assert!(draw.remaining <= rate.burst());
                prop_assert_eq!(draw.retry_after_ms == 0 || draw.verdict == Verdict::Refuse, true);
            }
            buckets.give_back(key, rate, cost, Millis(now));
        }
    }
}
