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

/// Requests on one thread and on two, in turn. Of each the quickest round counts: in it the least else ran. By the clock
/// that says what two cores do where both are free; by processor time, whether they hinder each other.
#[expect(clippy::disallowed_methods, reason = "a bench may ask the clock what it measures")]
fn ratio_of_two_threads() {
    const REQUESTS: u32 = 20_000;
    let counters = Counters::new(64 << 20, SECRET);
    let work = |thread: u64| {
        let began = processor_time();
        for number in 0..u64::from(REQUESTS) {
            black_box(request(&counters, (thread << 32) + number % 200, Millis(number)));
        }
        processor_time() - began
    };
    let run = |threads: u64| {
        let began = Instant::now();
        let used: Duration = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
            workers.into_iter().filter_map(|worker| worker.join().ok()).sum()
        });
        (began.elapsed(), used)
    };
    let quickest = |threads| {
        let rounds: Vec<_> = (0..200).map(|_| run(threads)).collect();
        let elapsed = rounds.iter().map(|(elapsed, _)| *elapsed).min().unwrap_or_default();
        (elapsed.as_secs_f64(), rounds.iter().map(|(_, used)| *used).min().unwrap_or_default().as_secs_f64())
    };
    let ((elapsed_one, used_one), (elapsed_two, used_two)) = (quickest(1), quickest(2));
    println!(
        "threads: {:.0} ns a request on one thread; two do {:.2} times as much by the clock, {:.2} by processor time",
        used_one / f64::from(REQUESTS) * 1e9,
        2.0 * elapsed_one / elapsed_two,
        4.0 * used_one / used_two,
    );
}

/// Each call by itself, while a table is made, fills, is full, and all of it ages at once. In processor time, since the
/// machine makes pauses of its own; and each the shorter of two runs, since a virtual machine's are in that too.
fn longest_call() {
    let requests = |counters: &Counters, from: u64, began: u64| {
        let mut calls = Calls::default();
        for number in from..from + MILLION / 2 {
            for scope in 0..6 {
                let key = counters.hasher().key(scope, &[&(number % (MILLION / 2)).to_be_bytes()]);
                calls.time(|| counters.observe_windows(key, [MINUTE, HOUR], 1, Millis(began + number / 100)));
            }
        }
        calls
    };
    let run = || {
        let mut nothing = Calls::default();
        (0..3 * MILLION).for_each(|number| nothing.time(|| number));
        let mut made = Calls::default();
        let mut counters = None;
        made.time(|| counters = Some(Counters::new(256 << 20, SECRET)));
        let counters = counters.unwrap_or_else(|| Counters::new(256 << 20, SECRET));
        let filled = requests(&counters, 0, 0);
        let aged = requests(&counters, MILLION / 2, 10_000_000);
        let distincts = Distincts::new(64 << 20);
        let mut noted = Calls::default();
        for number in 0..3 * MILLION {
            let (key, value) = (client(&counters, number % 10_007), client(&counters, number));
            noted.time(|| distincts.note(key, value, MINUTE, Millis(number / 100)));
        }
        // Kept, so that the second run is given fresh memory too.
        std::mem::forget((counters, distincts));
        [nothing, made, filled, aged, noted]
    };
    let whats = [
        "nothing",
        "making a table of 256 MiB",
        "a new key in two windows, as the table fills and is full",
        "the same, when all of it has aged",
        "a note of a distinct value, of 300 a key",
    ];
    for (what, (first, second)) in whats.into_iter().zip(run().into_iter().zip(run())) {
        first.shorter(&second).print(what);
    }
}

/// What this thread has used of the processor.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), used.tv_nsec.unsigned_abs() as u32)
}

/// How long calls took, in nanoseconds.
#[derive(Default)]
struct Calls {
    all: Vec<u32>,
}

impl Calls {
    fn time<T>(&mut self, call: impl FnOnce() -> T) {
        let began = processor_time();
        black_box(call());
        self.all.push(u32::try_from((processor_time() - began).as_nanos()).unwrap_or(u32::MAX));
    }

    fn shorter(mut self, other: &Calls) -> Calls {
        for (one, other) in self.all.iter_mut().zip(&other.all) {
            *one = (*one).min(*other);
        }
        self
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
