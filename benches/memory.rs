//! What it costs to remember behaviour: cohorts, postures, runs of failures, standings, bans, snapshots.
//!
//! Questions: what do the notes and readings of one request cost, on one core and on two that meet at the same route;
//! how long is the longest single call when a minute turns; and how long do a snapshot of a hundred thousand entries
//! and its reading take? The longest calls are printed before the timings.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use portcullis_velocity::{
    BanKind, Bans, Clocks, Cohorts, Event, Extend, FailureRuns, Key, KeyHasher, Millis, Outcome, Reputation,
    RoutePosture, Secret, Seen, Snapshot, UnixMillis,
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    // Not when only some of the timings are asked for by name.
    if std::env::args().skip(1).all(|argument| argument.starts_with('-')) {
        longest_calls();
    }
    time_of_cohorts(&mut criterion);
    time_of_a_posture(&mut criterion);
    time_of_the_rest(&mut criterion);
    time_of_two_cores(&mut criterion);
    time_of_a_snapshot(&mut criterion);
    criterion.final_summary();
}

#[expect(clippy::disallowed_methods, reason = "a bench may ask what time it is")]
fn longest_calls() {
    let (cohorts, posture) = (Cohorts::new(256), RoutePosture::new());
    let keys = keys(10_000);
    let mut longest = [Duration::ZERO; 2];
    for (number, key) in keys.iter().cycle().take(2_000_000).enumerate() {
        // Ten thousand requests a minute, of 300 cohorts in a table for 256.
        let now = Millis(number as u64 * 6);
        let cohort = keys.get(number % 300).copied().unwrap_or(*key);
        let note = || {
            black_box(cohorts.note_request(cohort, *key, Some(*key), now));
        };
        let calls: [&dyn Fn(); 2] = [&note, &|| posture.note(seen(*key), now)];
        for (call, longest) in calls.into_iter().zip(&mut longest) {
            let before = Instant::now();
            call();
            *longest = before.elapsed().max(*longest);
        }
    }
    let [cohort, posture] = longest;
    println!("longest of two million calls over 200 minutes: {cohort:?} a cohort, {posture:?} a posture");
}

fn time_of_cohorts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cohort");
    let keys = keys(10_000);
    let cohorts = Cohorts::new(256);
    let mut turns = (0_u64..).zip(keys.iter().cycle());
    let mut next = move || turns.next().unwrap_or((0, &ZERO));
    let looks: Vec<Key> = keys.iter().take(50).copied().collect();
    let look = |number: u64| looks.get(number as usize % looks.len()).copied().unwrap_or(ZERO);
    group.bench_function("a request, one of 50 cohorts", |bencher| {
        bencher.iter(|| {
            let (number, key) = next();
            cohorts.note_request(look(number), *key, Some(*key), Millis(number / 10))
        });
    });
    let now = Millis(100_000_000);
    group.bench_function("an answer", |bencher| {
        let mut number = 0;
        bencher.iter(|| {
            number += 1;
            cohorts.note_answer(look(number), Outcome::Success, now);
        });
    });
    group.bench_function("a reading", |bencher| bencher.iter(|| cohorts.read(black_box(look(7)), now)));
    group.finish();
}

fn time_of_a_posture(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("posture");
    let keys = keys(10_000);
    let posture = RoutePosture::new();
    let mut turns = (0_u64..).zip(keys.iter().cycle());
    group.bench_function("a request, one of 10000 prefixes, each once a minute", |bencher| {
        bencher.iter(|| {
            let (number, key) = turns.next().unwrap_or((0, &ZERO));
            posture.note(seen(*key), Millis(number * 6));
        });
    });
    group.bench_function("the posture", |bencher| bencher.iter(|| posture.posture(black_box(Millis(0)))));
    group.finish();
}

fn time_of_the_rest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("keys");
    let keys = keys(100_000);
    let now = Millis(1_000_000);
    let reputation = Reputation::new(Reputation::budget_for(keys.len()));
    let runs = FailureRuns::new(FailureRuns::budget_for(keys.len()));
    for key in &keys {
        reputation.note(*key, Event::Clean, now);
    }
    // Beyond any order the memory's prefetch could guess: 7,919 is a prime.
    let many = keys.len();
    let mut scattered = (0..many).map(move |number| number * 7_919 % many).cycle();
    let mut next = move || scattered.next().and_then(|at| keys.get(at)).copied().unwrap_or(ZERO);
    group.bench_function("a clean request of one of 100000", |bencher| {
        bencher.iter(|| reputation.note(next(), Event::Clean, now));
    });
    group.bench_function("the standing of one of 100000", |bencher| bencher.iter(|| reputation.read(next(), now)));
    group.bench_function("a success where few failed", |bencher| {
        bencher.iter(|| runs.note(next(), None, Outcome::Success, now));
    });
    group.bench_function("a failure of one of 100000", |bencher| {
        bencher.iter(|| {
            let key = next();
            runs.note(key, Some(key), Outcome::Failure, now)
        });
    });
    let bans = Bans::new(100_000);
    bans.impose(BanKind::Ja4, ZERO, Millis(u64::MAX), 1, Extend::Never, now);
    group.bench_function("a ban of a kind of which there is none", |bencher| {
        bencher.iter(|| bans.check_as(BanKind::User, black_box(ZERO), now));
    });
    group.finish();
}

/// The same work on one thread, and on each of two at one route: the ratio is what the second core is worth.
fn time_of_two_cores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("20000 requests on each thread, cohort and posture of one route");
    group.sample_size(30);
    let keys = keys(10_000);
    for (name, threads) in [("one thread", 1), ("two threads", 2)] {
        let (cohorts, posture) = (Cohorts::new(256), RoutePosture::new());
        let mut began = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                began += 120_000;
                thread::scope(|scope| {
                    for thread in 0..threads {
                        let (cohorts, posture, keys) = (&cohorts, &posture, &keys);
                        scope.spawn(move || {
                            for (number, key) in (0_usize..20_000).zip(keys.iter().cycle().skip(thread * 5_000)) {
                                let cohort = keys.get((number + thread * 25) % 50).copied().unwrap_or(*key);
                                let now = Millis(began + number as u64 * 6);
                                black_box(cohorts.note_request(cohort, *key, Some(*key), now));
                                cohorts.note_answer(cohort, Outcome::Success, now);
                                posture.note(seen(*key), now);
                            }
                        });
                    }
                });
            });
        });
    }
    group.finish();
}

fn time_of_a_snapshot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot of 50000 standings and 50000 bans");
    group.sample_size(20);
    let hasher = hasher();
    let at = Clocks { now: Millis(1_000_000), unix: UnixMillis(1_790_000_000_000) };
    let (reputation, bans) = (Reputation::new(Reputation::budget_for(50_000)), Bans::new(100_000));
    for key in keys(50_000) {
        reputation.note(key, Event::Block, at.now);
        bans.impose(BanKind::Address, key, Millis(2_000_000), 1, Extend::Never, at.now);
    }
    let bytes = Snapshot::take(&reputation, &bans, at).to_bytes(&hasher);
    println!("snapshot: {} bytes", bytes.len());
    group.bench_function("taken and written", |bencher| {
        bencher.iter(|| Snapshot::take(&reputation, &bans, at).to_bytes(&hasher));
    });
    group.bench_function("read and put back", |bencher| {
        bencher.iter(|| {
            let (reputation, bans) = (Reputation::new(Reputation::budget_for(50_000)), Bans::new(100_000));
            Snapshot::from_bytes(&bytes, &hasher).map(|snapshot| snapshot.restore(&reputation, &bans, at))
        });
    });
    group.finish();
}

fn seen(prefix: Key) -> Seen {
    Seen { prefix, score: 120, outcome: Some(Outcome::Success) }
}

fn keys(many: u32) -> Vec<Key> {
    (0..many).map(|number| hasher().key(1, &[&number.to_be_bytes()])).collect()
}

fn hasher() -> KeyHasher {
    KeyHasher::new(Secret([0x5e; 16]))
}

const ZERO: Key = Key::from_bytes([0; 16]);
