//! What the counts of requests under way promise.

use std::sync::Arc;
use std::thread;

use portcullis_velocity::{Busy, InFlight, Key, KeyHasher, QueueFull, Secret};

fn client(number: u64) -> Key {
    KeyHasher::new(Secret([0x5e; 16])).key(1, &[&number.to_be_bytes()])
}

#[test]
fn as_many_run_as_may_and_one_more_when_one_ends() {
    let in_flight = InFlight::new(1 << 20, 10);
    let key = client(1);
    let mut running: Vec<_> = (0..3).map(|_| InFlight::run(&in_flight, key, 3).unwrap()).collect();
    assert_eq!(running.iter().map(|running| running.count()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(InFlight::run(&in_flight, key, 3).unwrap_err(), Busy { running: 3 });
    assert!(InFlight::run(&in_flight, client(2), 3).is_ok(), "another key");
    running.pop();
    assert_eq!(in_flight.running(key), 2);
    assert!(InFlight::run(&in_flight, key, 3).is_ok());
    drop(running);
    assert_eq!((in_flight.running(key), in_flight.running(client(2))), (0, 0));
}

#[test]
fn a_limit_of_nothing_admits_nothing_and_a_lowered_one_waits_for_those_that_run() {
    let in_flight = InFlight::new(1 << 20, 10);
    let key = client(1);
    assert_eq!(InFlight::run(&in_flight, key, 0).unwrap_err(), Busy { running: 0 });
    assert_eq!(in_flight.stats().table.occupied, 0);
    let _running = [(); 5].map(|()| InFlight::run(&in_flight, key, u32::MAX).unwrap());
    assert_eq!(InFlight::run(&in_flight, key, 2).unwrap_err(), Busy { running: 5 });
    assert_eq!(InFlight::run(&in_flight, key, 0).unwrap_err(), Busy { running: 5 });
}

#[test]
fn a_request_that_ends_by_a_panic_is_over() {
    let in_flight = InFlight::new(1 << 20, 10);
    let key = client(1);
    let ended = thread::scope(|scope| {
        let request = scope.spawn(|| {
            let _running = InFlight::run(&in_flight, key, 3).unwrap();
            let _waiting = InFlight::wait(&in_flight, key, 3).unwrap();
            std::panic::resume_unwind(Box::new("the request fails"));
        });
        request.join()
    });
    assert!(ended.is_err());
    assert_eq!((in_flight.running(key), in_flight.waiting(key), in_flight.stats().waiting), (0, 0, 0));
}

#[test]
fn guards_outlive_the_call_that_made_them_by_holding_an_arc() {
    let in_flight = Arc::new(InFlight::new(1 << 20, 10));
    let key = client(1);
    let running = InFlight::run(Arc::clone(&in_flight), key, 3).unwrap();
    let request: Box<dyn FnOnce() + Send + 'static> = Box::new(move || drop(running));
    assert_eq!(in_flight.running(key), 1);
    request();
    assert_eq!(in_flight.running(key), 0);
}

#[test]
fn the_queue_is_bounded_for_each_key_and_for_all() {
    let in_flight = InFlight::new(1 << 20, 5);
    let (one, other) = (client(1), client(2));
    let mut of_one: Vec<_> = (0..3).map(|_| InFlight::wait(&in_flight, one, 3).unwrap()).collect();
    assert_eq!(InFlight::wait(&in_flight, one, 3).unwrap_err(), QueueFull::OfKey);
    assert_eq!(InFlight::wait(&in_flight, one, 0).unwrap_err(), QueueFull::OfKey);
    let of_other: Vec<_> = (0..2).map(|_| InFlight::wait(&in_flight, other, 3).unwrap()).collect();
    assert_eq!(InFlight::wait(&in_flight, other, 3).unwrap_err(), QueueFull::OfAll);
    assert_eq!((in_flight.waiting(one), in_flight.waiting(other), in_flight.stats().waiting), (3, 2, 5));
    // A refusal keeps no place.
    of_one.pop();
    assert!(InFlight::wait(&in_flight, other, 3).is_ok());
    drop((of_one, of_other));
    assert_eq!(in_flight.stats().waiting, 0);
}

#[test]
fn who_waits_does_not_run_and_who_runs_does_not_wait() {
    let in_flight = InFlight::new(1 << 20, 5);
    let key = client(1);
    let waiting = InFlight::wait(&in_flight, key, 1).unwrap();
    let running = InFlight::run(&in_flight, key, 1).unwrap();
    assert_eq!((in_flight.running(key), in_flight.waiting(key)), (1, 1));
    drop(waiting);
    assert_eq!((in_flight.running(key), in_flight.waiting(key)), (1, 0));
    drop(running);
}

#[test]
fn x18_a_table_full_of_keys_under_way_loses_none_and_refuses_no_stranger() {
    let in_flight = InFlight::new(0, 5);
    let stats = in_flight.stats();
    assert!(stats.table.capacity * 16 <= stats.table.budget_bytes);
    let offender = InFlight::run(&in_flight, client(0), 1).unwrap();
    let flood: Vec<_> = (1..5_000).map(|number| InFlight::run(&in_flight, client(number), 1).unwrap()).collect();
    assert!(InFlight::run(&in_flight, client(0), 1).is_err(), "its count is kept");
    let stats = in_flight.stats();
    assert!(stats.uncounted_total > 0 && stats.table.evictions_total == 0, "{stats:?}");
    assert_eq!(stats.uncounted_total + stats.table.occupied, 5_000);
    drop(flood);
    drop(offender);
    for number in 0..5_000 {
        assert_eq!(in_flight.running(client(number)), 0, "key {number}");
    }
    // Those that ended make room for others.
    assert!(InFlight::run(&in_flight, client(9_999), 1).is_ok());
    assert_eq!(in_flight.stats().uncounted_total, stats.uncounted_total);
}

#[test]
fn requests_that_come_and_go_in_turn_need_one_slot_each_at_a_time() {
    let in_flight = InFlight::new(0, 5);
    for number in 0..100_000 {
        assert_eq!(InFlight::run(&in_flight, client(number), 1).unwrap().count(), 1);
    }
    let stats = in_flight.stats();
    assert_eq!((stats.uncounted_total, stats.table.evictions_total), (0, 0));
}

#[test]
fn threads_never_have_more_under_way_than_may_be() {
    let in_flight = InFlight::new(1 << 20, 100);
    let key = client(1);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    if let Ok(running) = InFlight::run(&in_flight, key, 2) {
                        assert!(running.count() <= 2 && in_flight.running(key) <= 2);
                    }
                    drop(InFlight::wait(&in_flight, key, 2));
                }
            });
        }
    });
    assert_eq!((in_flight.running(key), in_flight.waiting(key), in_flight.stats().waiting), (0, 0, 0));
}
