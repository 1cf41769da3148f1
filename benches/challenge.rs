//! What a challenge costs the gateway: checking a solution, checking a clearance with every
//! request, signing a verdict with every request, and refusing what a flood would send.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use portcullis_challenge::{
    Binding, Brand, Clearance, CspNonce, ENGLISH, KeyId, KeyRing, Level, Puzzle, SigningKey, Solution, SpentSet,
    Strength, UnixMillis, Verdict, VerdictSigner, encode_nonces, page, problem, return_target, solve, solve_part,
};

const NOW: UnixMillis = UnixMillis(1_760_000_000_000);
const TTL: Duration = Duration::from_secs(300);
const HERE: Binding<'static> =
    Binding { site: "shop.example", route: "login", network: &[192, 0, 2, 24], family: b"firefox" };

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

/// What does each request pay that carries a clearance, and each that goes to an origin?
fn every_request(c: &mut Criterion) {
    let ring = ring();
    let mut group = c.benchmark_group("request");
    let clearance = Clearance::issue(&ring, id(1), Level::ProofOfWork, &HERE, NOW, TTL);
    group.bench_function("clearance verified", |b| {
        b.iter(|| Clearance::verify(&ring, black_box(&clearance), &HERE, NOW))
    });

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

/// How fast is a native solver, beside which the page's script has to be seen?
fn native_solver(c: &mut Criterion) {
    let ring = ring();
    let puzzle = Puzzle::issue(&ring, id(1), Strength::BALANCED, &HERE, NOW, TTL);
    let seed = puzzle.seed();
    // The hashes of one part: the nonces up to the one that solves it.
    let hashes = u64::from(solve_part(&seed, 0, 16).unwrap_or(0)) + 1;
    let mut group = c.benchmark_group("native solver");
    group.throughput(Throughput::Elements(hashes)).sample_size(20);
    group.bench_function("hashes", |b| b.iter(|| solve_part(black_box(&seed), 0, 16)));
    group.finish();
}

criterion_group!(benches, solutions, spent, every_request, shown, native_solver);
criterion_main!(benches);
