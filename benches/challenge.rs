//! What a challenge costs the gateway: checking a solution, checking a clearance with every
//! request, signing a verdict with every request, and refusing what a flood would send.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use base64::Engine as _;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use portcullis_challenge::evidence::{Evidence, Observed};
use portcullis_challenge::siteverify::SiteverifyRequest;
use portcullis_challenge::{
    Binding, Brand, Budget, Budgets, Clearance, CspNonce, ENGLISH, KeyId, KeyRing, Level, Lifetimes, MemoryCost,
    Network, Puzzle, Response, Revocations, Scratch, Seed, SigningKey, Solution, SpentSet, Strength, Tolerance,
    UnixMillis, Verdict, VerdictSigner, VerifiedResponse, Wait, Work, encode_nonces, page, problem, return_target,
    solve, solve_part,
};

const NOW: UnixMillis = UnixMillis(1_760_000_000_000);
const TTL: Duration = Duration::from_secs(300);
const HERE: Binding<'static> = Binding {
    site: "shop.example",
    route: "login",
    network: Network::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 24)), Some(64496)),
    tolerance: Tolerance::System,
    family: b"firefox",
    fingerprint: b"t13d1717h2_5b57614c22b0_3cbfd9057e0d",
};

fn ring() -> KeyRing {
    let key = SigningKey::new(KeyId(7), [0x5a; 32]);
    KeyRing::new(&key, &[SigningKey::new(KeyId(6), [0x5b; 32])]).unwrap_or_else(|error| unreachable!("{error}"))
}

fn id(n: u64) -> [u8; 16] {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (u128::from(mixed) << 64 | u128::from(mixed.rotate_left(32))).to_be_bytes()
}

/// Is a solution of 80 parts checked in 5 µs, and how fast are false ones refused?
fn solutions(c: &mut Criterion) {
    let ring = ring();
    // 80 parts; the difficulty does not matter to the one who checks.
    let strength = Strength::new(8, 80).unwrap_or_default();
    let puzzle = Puzzle::issue(&ring, id(1), strength, &HERE, NOW, TTL);
    let nonces = solve(&puzzle.seed(), strength);
    let good = format!("{}.{}", puzzle.token(), encode_nonces(&nonces));
    let without_work = format!("{}.{}", puzzle.token(), encode_nonces(&[0; 80]));
    let last_part = {
        let mut nonces = nonces;
        if let Some(last) = nonces.last_mut() {
            *last ^= 1;
        }
        format!("{}.{}", puzzle.token(), encode_nonces(&nonces))
    };
    let forged = {
        let mut text = good.clone().into_bytes();
        if let Some(byte) = text.get_mut(40) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        String::from_utf8(text).unwrap_or_default()
    };

    let mut group = c.benchmark_group("solution");
    group.throughput(Throughput::Elements(1));
    let check = |text: &str| Solution::parse(text).and_then(|solution| solution.check_work(&ring, &HERE, NOW)).is_ok();
    assert!(check(&good));
    group.bench_function("80 parts, good", |b| b.iter(|| check(black_box(&good))));
    group.bench_function("refused: the last part is wrong", |b| b.iter(|| check(black_box(&last_part))));
    group.bench_function("refused: no work done", |b| b.iter(|| check(black_box(&without_work))));
    group.bench_function("refused: forged token", |b| b.iter(|| check(black_box(&forged))));
    group.bench_function("refused: not a solution", |b| b.iter(|| check(black_box("solution"))));
    let spent = SpentSet::new(1 << 20);
    let redeem =
        |text: &str| Solution::parse(text).and_then(|solution| solution.verify(&ring, &HERE, NOW, &spent)).is_ok();
    assert!(redeem(&good));
    group.bench_function("refused: 80 parts, spent", |b| b.iter(|| redeem(black_box(&good))));
    group.bench_function("puzzle issued", |b| {
        b.iter(|| Puzzle::issue(&ring, black_box(id(1)), strength, &HERE, NOW, TTL))
    });
    group.finish();
}

/// Does redeeming stay as cheap in a set that is half full of a million?
fn spent(c: &mut Criterion) {
    let mut group = c.benchmark_group("spent set");
    let spent = SpentSet::new(1 << 20);
    let mut next = 0_u64;
    for _ in 0..1 << 19 {
        next += 1;
        _ = spent.spend(id(next), UnixMillis(NOW.0 + next), NOW);
    }
    // The clock moves with the redeems, so that the set stays half full.
    group.bench_function("one in, one expired", |b| {
        b.iter_batched(
            || {
                next += 1;
                next
            },
            |n| spent.spend(id(n), UnixMillis(NOW.0 + n), UnixMillis(NOW.0 + n - (1 << 19))),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// Does a flood of false solutions, each of them another, stay above 100,000 a second on one core, with
/// no table growing?
fn flood(c: &mut Criterion) {
    let ring = ring();
    let strength = Strength::new(16, 80).unwrap_or_default();
    let spent = SpentSet::new(1 << 20);
    // What an attacker has: good tokens, and nonces that cost nothing.
    let solutions: Vec<String> = (0..4096_u64)
        .map(|n| {
            let puzzle = Puzzle::issue(&ring, id(n), strength, &HERE, NOW, TTL);
            format!("{}.{}", puzzle.token(), encode_nonces(&[u32::try_from(n).unwrap_or(0); 80]))
        })
        .collect();
    let mut group = c.benchmark_group("flood");
    group.throughput(Throughput::Elements(solutions.len() as u64)).sample_size(20);
    group.bench_function("false solutions, each another", |b| {
        b.iter(|| {
            let good = solutions
                .iter()
                .filter(|text| {
                    Solution::parse(text).and_then(|solution| solution.verify(&ring, &HERE, NOW, &spent)).is_ok()
                })
                .count();
            assert_eq!(good, 0);
        });
    });
    group.finish();
    assert!(spent.is_empty(), "a flood leaves nothing behind");
}

/// What does the gateway pay to check a memory-hard solution, and a flood that paid the entry fee?
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn memory_hard(c: &mut Criterion) {
    let mut group = c.benchmark_group("memory-hard");
    group.sample_size(10);
    let cost = MemoryCost::USUAL;
    let mut scratch = Scratch::new(cost);
    let seed = Seed([7; 32]);
    // The client's price is 2^bits of these a part, the gateway's is one a part.
    let one = MemoryCost::new(8, 1, 1, 1).unwrap_or(cost);
    let begun = Instant::now();
    let hashes: u64 =
        (0..20_u8).flat_map(|n| scratch.solve(&Seed([n; 32]), one)).map(|nonce| u64::from(nonce) + 1).sum();
    let each = begun.elapsed() / u32::try_from(hashes).unwrap_or(u32::MAX).max(1);
    eprintln!(
        "one hash of 8 MiB takes {each:.1?}; a usual solution takes {} in the mean, and checking it {}",
        u32::from(cost.count()) << cost.difficulty_bits(),
        cost.count()
    );
    group.bench_function("two hashes of 8 MiB in the mean", |b| b.iter(|| scratch.solve(black_box(&seed), one)));

    let ring = ring();
    let work = Work::new(Strength::new(8, 60).unwrap_or_default(), Some(cost));
    let puzzle = Puzzle::issue(&ring, id(1), work, &HERE, NOW, TTL);
    let mut nonces = solve(&puzzle.seed(), work.hashes());
    nonces.extend([0, 0]);
    let text = format!("{}.{}", puzzle.token(), encode_nonces(&nonces));
    let spent = SpentSet::new(1 << 10);
    group.bench_function("refused: fee paid, and used up", |b| {
        b.iter(|| {
            Solution::parse(black_box(&text))
                .and_then(|solution| solution.verify_memory_hard(&ring, &HERE, NOW, &spent, &mut scratch))
                .is_ok()
        });
    });
    group.finish();
}

/// What do the other doors cost: a wait, a widget's response, a call of siteverify, evidence?
fn other_doors(c: &mut Criterion) {
    let ring = ring();
    let mut group = c.benchmark_group("other doors");
    let full = SpentSet::new(0);
    let wait = Wait::begin(&ring, id(1), Duration::from_secs(5), &HERE, NOW, Lifetimes::from(TTL));
    let later = UnixMillis(NOW.0 + 6_000);
    group.bench_function("wait checked", |b| {
        b.iter(|| Wait::redeem(&ring, black_box(wait.token()), &HERE, later, &full).is_ok());
    });
    let signals =
        Evidence::default().judge(&Observed { user_agent: "", expected_hashes: 0, took: Duration::ZERO }).signals();
    let response = Response {
        id: id(2),
        hostname: "www.shop.example",
        level: Level::ProofOfWork,
        score_thousandths: 120,
        signals,
        network: HERE.network,
        solved_at: NOW,
    }
    .issue(&ring, "shop");
    group.bench_function("response checked", |b| {
        b.iter(|| VerifiedResponse::redeem(&ring, black_box(&response), "shop", NOW, &full).is_ok());
    });
    let call = format!("secret=sk_0123456789abcdefghijklmnop&response={response}&remoteip=192.0.2.1");
    group.bench_function("siteverify read", |b| {
        b.iter(|| {
            SiteverifyRequest::parse("application/x-www-form-urlencoded", black_box(call.as_bytes()), "").is_ok()
        });
    });
    let seen = Observed { user_agent: USER_AGENT, expected_hashes: 5_242_880, took: Duration::from_secs(2) };
    group.bench_function("evidence read and judged", |b| {
        b.iter(|| Evidence::parse(black_box(EVIDENCE)).map(|evidence| evidence.judge(&seen).risk_thousandths()));
    });
    group.finish();
}

const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const EVIDENCE: &str = r#"{"v":1,"by":"page","webdriver":false,"automation":[],"odd":[],"ua":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36","platform":"Linux x86_64","languages":["en-US","en"],"hints":{"brands":["Not:A-Brand/8","Chromium/156"],"mobile":false,"platform":"Linux"},"viewport":[1050,605,1050,748,1366,768],"touch":0,"cores":2,"work":{"ms":1800,"hashes":5242880,"workers":2,"from":"blob"},"differs":[],"interaction":{"variant":"page","trigger":"load","ms":1900,"focus":0,"blur":0,"keys":0,"pointer":3,"clicks":0,"hidden":0,"visible":true}}"#;

/// What does each request pay that carries a clearance, and each that goes to an origin?
fn every_request(c: &mut Criterion) {
    let ring = ring();
    let mut group = c.benchmark_group("request");
    let clearance = Clearance::issue(&ring, id(1), Level::ProofOfWork, &HERE, NOW, TTL);
    group.bench_function("clearance verified", |b| {
        b.iter(|| Clearance::verify(&ring, black_box(&clearance), &HERE, NOW))
    });
    if let Ok(verified) = Clearance::verify(&ring, &clearance, &HERE, NOW) {
        let budgets = Budgets::new(1 << 16, Budget { requests: u32::MAX - 1, ..Budget::default() }, 7);
        let mut revocations = Revocations::default();
        for n in 0..1_000 {
            _ = revocations.revoke(id(n + 2), NOW);
        }
        group.bench_function("budget charged", |b| b.iter(|| budgets.charge(black_box(&verified), &HERE.network, NOW)));
        group.bench_function("revocation asked, of a thousand", |b| b.iter(|| revocations.check(black_box(&verified))));
        group.bench_function("clearance verified, asked and charged", |b| {
            b.iter(|| {
                let clearance = Clearance::verify(&ring, black_box(&clearance), &HERE, NOW)?;
                revocations.check(&clearance)?;
                budgets.charge(&clearance, &HERE.network, NOW)
            });
        });
    }

    if let Ok(signer) = VerdictSigner::new("v1", &[7; 32], "portcullis", Duration::from_secs(60)) {
        let allowed = Verdict {
            request_id: "01J9ZQ4Y8M6T3K2C5D7E9F1G3H",
            score_thousandths: 12,
            action: "allow",
            route: "login",
            reasons: &[],
            client: Some([192, 0, 2, 7].into()),
            issued_at: NOW,
        };
        let reasons = ["ua-tool", "asn-hosting", "velocity-ip"];
        let doubtful = Verdict { score_thousandths: 412, reasons: &reasons, ..allowed };
        group.bench_function("verdict signed", |b| b.iter(|| signer.sign(black_box(&allowed))));
        group.bench_function("verdict signed, three reasons", |b| b.iter(|| signer.sign(black_box(&doubtful))));
    }
    group.finish();
}

/// What does it cost to show a challenge?
fn shown(c: &mut Criterion) {
    let ring = ring();
    let puzzle = Puzzle::issue(&ring, id(1), Strength::BALANCED, &HERE, NOW, TTL);
    let (nonce, brand) = (CspNonce::new([1; 16]), Brand::default());
    let mut group = c.benchmark_group("shown");
    let mut out = String::new();
    group.bench_function("page", |b| {
        b.iter(|| {
            out.clear();
            let inputs = page::PageInputs {
                nonce: &nonce,
                puzzle: &puzzle,
                memory: None,
                redeem_path: "/.well-known/portcullis/redeem",
                solver_path: "/.well-known/portcullis/solver.js",
                wait: None,
                asked: page::Asked::Page,
                return_to: return_target("/v1/login"),
                reference_id: "01J9ZQ4Y8M6T3K2C5D7E9F1G3H",
                contact: None,
                brand: &brand,
                texts: &ENGLISH,
            };
            page::render(&inputs, &mut out);
            out.len()
        });
    });
    group.bench_function("problem", |b| {
        b.iter(|| {
            out.clear();
            problem::render(&problem::Problem::challenge(&puzzle, "/.well-known/portcullis/redeem", "1"), &mut out);
            out.len()
        });
    });
    group.finish();
}

/// Millions of hashes a second of the page's script in one thread of Chromium; none where that is not installed.
fn page_rate() -> Option<f64> {
    let (solver, _) = page::solver().split_once("function portcullisWorker")?;
    let measure = "var search = portcullisSolver(), seed = new Int32Array(8), part = 0;
        function rate(ms) {
          var began = performance.now(), hashes = 0;
          for (; performance.now() - began < ms; hashes += 20000) search(seed, part++, 31, 0, 20000);
          return hashes / (performance.now() - began) / 1000;
        }
        rate(300);
        document.getElementById('rate').textContent = 'rate ' + rate(1500) + ' ';";
    let text = format!("<!doctype html><p id=rate></p><script>{solver}{measure}</script>");
    let address = format!("data:text/html;base64,{}", base64::engine::general_purpose::STANDARD.encode(text));
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom", &address];
    let output = std::process::Command::new("chromium").args(arguments).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.split_once("rate ")?.1.split(' ').next()?.parse().ok()
}

/// How fast is a native solver, beside which the page's script has to be seen?
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock and what the page was measured to do")]
fn native_solver(c: &mut Criterion) {
    let ring = ring();
    let puzzle = Puzzle::issue(&ring, id(1), Strength::BALANCED, &HERE, NOW, TTL);
    let seed = puzzle.seed();
    // The hashes of one part: the nonces up to the one that solves it.
    let hashes = u64::from(solve_part(&seed, 0, 16).unwrap_or(0)) + 1;
    let begun = Instant::now();
    let mut tried = 0_u32;
    while begun.elapsed() < Duration::from_millis(500) {
        black_box(solve_part(black_box(&seed), 0, 16));
        tried = tried.saturating_add(u32::try_from(hashes).unwrap_or(u32::MAX));
    }
    let rate = f64::from(tried) / begun.elapsed().as_secs_f64() / 1e6;
    eprintln!("native solver: {rate:.1} million hashes a second on one core");
    match page_rate() {
        Some(page) => eprintln!(
            "the page's script: {page:.2} million hashes a second on one core of headless Chromium: a native solver is {:.1} \
             times as fast",
            rate / page
        ),
        None => eprintln!("the page's script: not measured, as no Chromium is installed"),
    }
    let mut group = c.benchmark_group("native solver");
    group.throughput(Throughput::Elements(hashes)).sample_size(20);
    group.bench_function("hashes", |b| b.iter(|| solve_part(black_box(&seed), 0, 16)));
    group.finish();
}

criterion_group!(benches, solutions, flood, memory_hard, spent, every_request, other_doors, shown, native_solver);
criterion_main!(benches);
