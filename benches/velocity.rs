//! What the memory of behaviour costs: time for one observation, bytes for one key.
//!
//! Questions: what does one observation cost, hot and cold; what do six keys in two windows each cost,
//! as one request has them; do two cores hinder each other; how many bytes does a tracked key take, of ten million;
//! does the budget hold under a flood of ten million; how long is the longest single call while a table fills, is full
//! and ages? The last four are printed before the timings. And what do token buckets, requests under way, distinct
//! values and a client's context cost?

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use portcullis_velocity::{
    Bans, Buckets, Content, Contexts, Cookie, Counters, Distincts, InFlight, Key, KeyHasher, Millis, Purpose, Rate,
    RequestNote, Secret, SessionPrints, SetCookie, Window,
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    // Not when only some of the timings are asked for by name.
    if std::env::args().skip(1).all(|argument| argument.starts_with('-')) {
        ratio_of_two_threads();
        memory_of_a_key();
        budget_under_a_flood();
        longest_call();
        contexts_under_a_flood();
    }
    time_of_an_observation(&mut criterion);
    time_of_a_request(&mut criterion);
    time_of_two_cores(&mut criterion);
    time_of_a_ban(&mut criterion);
    time_of_the_others(&mut criterion);
    time_of_a_context(&mut criterion);
    criterion.final_summary();
}

/// Ten million keys, as many as a gateway has budgeted for.
fn memory_of_a_key() {
    let before = resident_bytes();
    let keys = 10 * MILLION;
    let counters = Counters::new(Counters::budget_for(keys as usize), SECRET);
    for number in 0..keys {
        counters.observe(client(&counters, number), MINUTE, 1, Millis(number / 1_000));
    }
    let held =
        (0..keys).filter(|number| counters.peek(client(&counters, *number), MINUTE, Millis(10_000)).count > 0).count();
    let resident = resident_bytes().saturating_sub(before);
    let stats = counters.stats();
    println!(
        "memory: {held} of {keys} keys held, bytes per tracked key: {:.1} by budget, {:.1} resident",
        stats.budget_bytes as f64 / held as f64,
        resident as f64 / held as f64,
    );
    println!("memory: {stats:?}");
}

/// Requests on one thread and on two, in turn, so that what else the machine does falls on both.
fn ratio_of_two_threads() {
    let counters = Counters::new(64 << 20, SECRET);
    let run = |threads: u64| {
        let began = Instant::now();
        thread::scope(|scope| {
            for thread in 0..threads {
                let counters = &counters;
                scope.spawn(move || {
                    for number in 0..50_000 {
                        black_box(request(counters, (thread << 32) + number % 200, Millis(number)));
                    }
                });
            }
        });
        began.elapsed()
    };
    run(2);
    let mut ratios: Vec<f64> = (0..41).map(|_| 2.0 * run(1).as_secs_f64() / run(2).as_secs_f64()).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| ratios.get(ratios.len() * percent / 100).copied().unwrap_or_default();
    println!("threads: two do {:.2} times as much as one (from {:.2} to {:.2})", at(50), at(5), at(95));
}

/// Each call by itself, while a table is made, fills, is full, and all of it ages at once. The same for calls that do
/// nothing, which is what the machine adds by itself.
fn longest_call() {
    let mut calls = Calls::default();
    for number in 0..4 * MILLION {
        calls.time(|| number);
    }
    calls.print("nothing");
    let mut calls = Calls::default();
    let made = Instant::now();
    let counters = Counters::new(256 << 20, SECRET);
    println!("longest: making a table of 256 MiB takes {:?}", made.elapsed());
    for number in 0..2 * MILLION {
        calls.time(|| request(&counters, number, Millis(number / 100)));
    }
    calls.print("a request of new keys, as the table fills and is full");
    let mut calls = Calls::default();
    for number in 0..MILLION {
        calls.time(|| request(&counters, number * 7_919 % (2 * MILLION), Millis(10_000_000 + number / 100)));
    }
    calls.print("a request, after all of it has aged");
    let distincts = Distincts::new(64 << 20);
    let mut calls = Calls::default();
    for number in 0..4 * MILLION {
        let (key, value) = (client(&counters, number % 10_007), client(&counters, number));
        calls.time(|| distincts.note(key, value, MINUTE, Millis(number / 100)));
    }
    calls.print("a note of a distinct value, of 400 a key");
}

/// How long calls took, in nanoseconds.
#[derive(Default)]
struct Calls {
    all: Vec<u32>,
}

impl Calls {
    fn time<T>(&mut self, call: impl FnOnce() -> T) {
        let began = Instant::now();
        black_box(call());
        self.all.push(u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }

    fn print(mut self, what: &str) {
        self.all.sort_unstable();
        let last = self.all.len().saturating_sub(1);
        let at = |share: f64| {
            Duration::from_nanos(self.all.get((last as f64 * share) as usize).map_or(0, |ns| u64::from(*ns)))
        };
        let long = self.all.iter().filter(|ns| **ns > 1_000_000).count();
        println!(
            "longest: {what}: median {:?}, 999,999 of a million within {:?}, longest {:?}, {long} over 1 ms",
            at(0.5),
            at(0.999_999),
            at(1.0),
        );
    }
}

fn budget_under_a_flood() {
    let before = resident_bytes();
    let counters = Counters::new(64 << 20, SECRET);
    let offenders: Vec<Key> = (0..1_000).map(|number| client(&counters, number)).collect();
    for offender in &offenders {
        for _ in 0..20 {
            counters.observe_limited(*offender, MINUTE, 20, 1, Millis(0));
        }
    }
    let refused = (0..10 * MILLION)
        .filter(|number| {
            let stranger = client(&counters, MILLION + number);
            !counters.observe_limited(stranger, MINUTE, 20, 1, Millis(number / 400)).is_admitted()
        })
        .count();
    let kept = offenders.iter().filter(|key| counters.peek(**key, MINUTE, Millis(25_000)).count == 20).count();
    println!(
        "flood: {} keys through a budget of {} bytes: {} resident; {refused} strangers refused; {kept} of 1000 offenders kept their count",
        10 * MILLION,
        64 << 20,
        resident_bytes().saturating_sub(before),
    );
    println!("flood: {:?}", counters.stats());
}

fn time_of_an_observation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("observe");
    let counters = Counters::new(256 << 20, SECRET);
    let key = client(&counters, 1);
    group.bench_function("hash of an address", |bencher| {
        let mut number = 0;
        bencher.iter(|| {
            number += 1;
            client(&counters, number)
        });
    });
    let mut now = 0;
    group.bench_function("one hot key, hashed before", |bencher| {
        bencher.iter(|| {
            now += 1;
            counters.observe(black_box(key), MINUTE, 1, Millis(now))
        });
    });
    for keys in [1_000, 1_000_000] {
        group.bench_function(format!("one of {keys} keys, with its hash"), |bencher| {
            let mut number = 0_u64;
            bencher.iter(|| {
                now += u64::from(number.is_multiple_of(16));
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                counters.observe(client(&counters, (number >> 33) % keys), MINUTE, 1, Millis(now))
            });
        });
    }
    let key = client(&counters, u64::MAX);
    group.bench_function("refused by a limit, with its retry-after", |bencher| {
        bencher.iter(|| {
            now += 1;
            counters.observe_limited(black_box(key), MINUTE, 100, 1, Millis(now))
        });
    });
    let full = Counters::new(8 << 20, SECRET);
    group.bench_function("a new key in a full table", |bencher| {
        let mut number = 0;
        bencher.iter(|| {
            number += 1;
            full.observe(client(&full, number), MINUTE, 1, Millis(number / 1_000))
        });
    });
    group.finish();
}

/// Six keys in two windows each, hashed and observed, as one request of a busy route has them.
fn request(counters: &Counters, number: u64, now: Millis) -> u32 {
    let number = number.to_be_bytes();
    let keys = [0, 1, 2, 3, 4, 5].map(|scope| counters.hasher().key(scope, &[&number]));
    counters.warm(&keys);
    keys.into_iter()
        .map(|key| {
            let [minute, hour] = counters.observe_windows(key, [MINUTE, HOUR], 1, now);
            minute.count + hour.count
        })
        .sum()
}

fn time_of_a_request(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("six keys in two windows");
    for clients in [100, 100_000] {
        let counters = Counters::new(256 << 20, SECRET);
        group.bench_function(format!("{clients} clients"), |bencher| {
            let mut number = 0;
            bencher.iter(|| {
                number += 1;
                request(&counters, number % clients, Millis(number / 20))
            });
        });
    }
    group.finish();
}

/// The same work on one thread, on each of two that share a table, and on each of two with a table of
/// its own. The third is what the machine makes of two threads; the second should not differ from it.
fn time_of_two_cores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("20000 requests on each thread");
    group.sample_size(30);
    for (name, threads, tables) in
        [("one thread", 1, 1), ("two threads, one table", 2, 1), ("two threads, a table each", 2, 2)]
    {
        let tables: Vec<Counters> = (0..tables).map(|_| Counters::new(64 << 20, SECRET)).collect();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                thread::scope(|scope| {
                    for (thread, counters) in (0..threads).zip(tables.iter().cycle()) {
                        scope.spawn(move || {
                            for number in 0..20_000 {
                                // Two hundred clients of each thread: hot, so that locks show.
                                black_box(request(counters, (thread << 32) + number % 200, Millis(number)));
                            }
                        });
                    }
                });
            });
        });
    }
    group.finish();
}

fn time_of_a_ban(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check of a ban");
    let counters = Counters::new(1 << 20, SECRET);
    let bans = Bans::new(100_000);
    let key = client(&counters, u64::MAX);
    group.bench_function("no bans at all", |bencher| bencher.iter(|| bans.check(black_box(key), Millis(0))));
    for number in 0..50_000 {
        bans.ban(client(&counters, number), Millis(1_000_000), 1, Millis(0));
    }
    group.bench_function("50000 bans", |bencher| bencher.iter(|| bans.check(black_box(key), Millis(0))));
    group.finish();
}

fn time_of_the_others(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("others");
    let hasher = KeyHasher::new(SECRET);
    let keys: Vec<Key> = (0..100_000_u64).map(|number| hasher.key(2, &[&number.to_be_bytes()])).collect();
    let mut scattered = (0..keys.len()).map(|number| number * 7_919 % keys.len()).cycle();
    let mut next = || scattered.next().and_then(|at| keys.get(at)).copied();
    let mut now = 0;
    let buckets = Buckets::new(Buckets::budget_for(keys.len()));
    let rate = Rate::new(20, Duration::from_secs(1), 40);
    group.bench_function("a token of one of 100000 keys", |bencher| {
        bencher.iter(|| {
            now += 1;
            next().map(|key| buckets.take(key, rate, 1, Millis(now / 64)))
        });
    });
    let in_flight = InFlight::new(InFlight::budget_for(keys.len()), 1_000);
    group.bench_function("a request under way and over, one of 100000 keys", |bencher| {
        bencher.iter(|| next().map(|key| InFlight::run(&in_flight, key, 100).map(drop)));
    });
    for values in [3, 100, 10_000_u64] {
        let distincts = Distincts::new(256 << 20);
        let values: Vec<Key> = (0..values).map(|number| hasher.key(3, &[&number.to_be_bytes()])).collect();
        let mut number = 0;
        group.bench_function(format!("one of {} distinct values, one of 1000 keys", values.len()), |bencher| {
            bencher.iter(|| {
                now += 1;
                number += 1;
                let key = keys.get(number * 7_919 % 1_000).zip(values.get(number * 7_907 / 1_000 % values.len()));
                key.map(|(key, value)| distincts.note(*key, *value, HOUR, Millis(now / 64)))
            });
        });
    }
    group.finish();
}

fn contexts_under_a_flood() {
    let before = resident_bytes();
    let contexts = Contexts::new(64 << 20);
    let hasher = KeyHasher::new(SECRET);
    let readers: Vec<Key> = (0..1_000_u64).map(|number| hasher.key(2, &[&number.to_be_bytes()])).collect();
    for reader in &readers {
        for _ in 0..4 {
            contexts.note_request(*reader, page(Millis(0)), Millis(0));
        }
    }
    for number in 0..10 * MILLION {
        let now = Millis(number / 20);
        contexts.note_request(hasher.key(3, &[&number.to_be_bytes()]), page(now), now);
    }
    let kept = readers.iter().filter(|key| contexts.read(**key, Millis(500_000)).pages == 4).count();
    println!(
        "contexts: {} keys through a budget of {} bytes: {} resident; {kept} of 1000 readers of four pages kept",
        10 * MILLION,
        64 << 20,
        resident_bytes().saturating_sub(before),
    );
    println!("contexts: {:?}", contexts.stats());
}

fn time_of_a_context(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("context");
    let hasher = KeyHasher::new(SECRET);
    let keys: Vec<Key> = (0..100_000_u64).map(|number| hasher.key(2, &[&number.to_be_bytes()])).collect();
    // Beyond any order the memory's prefetch could guess: 7,919 is a prime.
    let mut scattered = (0..keys.len()).map(|number| number * 7_919 % keys.len()).cycle();
    let mut next = || scattered.next().and_then(|at| keys.get(at)).copied();
    let contexts = Contexts::new(Contexts::budget_for(keys.len()));
    for key in &keys {
        contexts.note_request(*key, page(Millis(0)), Millis(0));
        contexts.note_hello(*key, 1, Millis(0));
    }
    let mut now = 0;
    group.bench_function("one read, one of 100000 keys", |bencher| {
        bencher.iter(|| next().map(|key| contexts.read(key, Millis(now))));
    });
    group.bench_function("one read and one note, one of 100000 keys", |bencher| {
        bencher.iter(|| {
            now += 1;
            next().map(|key| {
                let context = contexts.read(key, Millis(now / 64));
                contexts.note_request(key, page(Millis(now / 64)), Millis(now / 64));
                context
            })
        });
    });
    let hot = hasher.key(2, &[]);
    group.bench_function("one read and one note, one hot key", |bencher| {
        bencher.iter(|| {
            now += 1;
            contexts.note_request(black_box(hot), page(Millis(now / 64)), Millis(now / 64));
            contexts.read(black_box(hot), Millis(now / 64))
        });
    });
    group.bench_function("a hello, one of 100000 keys", |bencher| {
        bencher.iter(|| {
            now += 1;
            next().map(|key| contexts.note_hello(key, now, Millis(now / 64)))
        });
    });
    let full = Contexts::new(1 << 20);
    group.bench_function("a new client in a full table", |bencher| {
        let mut number = 0_u64;
        bencher.iter(|| {
            number += 1;
            let now = Millis(number / 1_000);
            full.note_request(hasher.key(4, &[&number.to_be_bytes()]), page(now), now);
        });
    });
    let prints = SessionPrints::new(SessionPrints::budget_for(keys.len()));
    group.bench_function("a session's print, one of 100000 keys", |bencher| {
        bencher.iter(|| {
            now += 1;
            next().map(|key| prints.note(key, 7, Millis(now / 64)))
        });
    });
    group.finish();
}

fn page(now: Millis) -> RequestNote {
    RequestNote {
        arrived: now,
        purpose: Purpose::Navigation,
        cookie: Cookie::Absent,
        set_cookie: SetCookie::Sent,
        content: Content::Page,
    }
}

fn client(counters: &Counters, number: u64) -> Key {
    counters.hasher().key(1, &[&u128::from(number).to_be_bytes()])
}

/// Bytes of this process in memory, or 0 where the system does not say.
#[expect(clippy::disallowed_methods, reason = "a bench may ask the system what it measures")]
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

const MILLION: u64 = 1_000_000;
const SECRET: Secret = Secret([0x5e; 16]);
const MINUTE: Window = Window::new(Duration::from_secs(60));
const HOUR: Window = Window::new(Duration::from_secs(3_600));
