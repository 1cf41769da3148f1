//! Does a lookup cost the same with ten prefixes and with a hundred thousand, and what does all that
//! is known of an address cost?
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench fails by panicking, and reads files")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_intel::{AsnDb, CountryDb, Intel, Prefix, PrefixTable, special_use};

/// Distinct prefixes of common lengths, spread over the space that is used, and one around the
/// address that is looked up.
fn rules_v4(count: u32) -> Vec<(Prefix, u32)> {
    (0..count)
        .map(|n| {
            let address = Ipv4Addr::from_bits((n + 1).wrapping_mul(0x9e37_79b9));
            (Prefix::new(address.into(), 16 + (n % 17) as u8).unwrap(), n)
        })
        .chain([("203.0.113.0/24".parse().unwrap(), count)])
        .collect()
}

fn rules_v6(count: u32) -> Vec<(Prefix, u32)> {
    (0..count)
        .map(|n| {
            let spread = u64::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 3 | 1 << 61;
            let address = Ipv6Addr::from_bits(u128::from(spread) << 64);
            (Prefix::new(address.into(), 32 + (n % 33) as u8).unwrap(), n)
        })
        .chain([("2001:db8::/32".parse().unwrap(), count)])
        .collect()
}

/// The same address through more and more prefixes.
fn through_prefixes(criterion: &mut Criterion) {
    for (family, address) in [("v4", "203.0.113.7"), ("v6", "2001:db8::7")] {
        let address: IpAddr = address.parse().unwrap();
        let mut group = criterion.benchmark_group(format!("through-prefixes-{family}"));
        for count in [10, 1_000, 100_000] {
            let rules = if address.is_ipv4() { rules_v4(count) } else { rules_v6(count) };
            let table = PrefixTable::build(rules);
            eprintln!("{family}, {count} prefixes: {} bytes", table.heap_bytes());
            group.bench_function(count.to_string(), |bencher| {
                bencher.iter(|| black_box(&table).lookup(black_box(address)));
            });
        }
        group.finish();
    }
}

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(20);
    let rules = rules_v4(100_000);
    group.bench_function("100000-prefixes", |bencher| {
        bencher.iter(|| PrefixTable::build(black_box(&rules).iter().copied()));
    });
    group.bench_function("embedded", |bencher| bencher.iter(Intel::embedded));
    group.finish();
}

fn single_databases(criterion: &mut Criterion) {
    let Some((asn, country)) = databases() else { return };
    let mut group = criterion.benchmark_group("databases");
    for (family, address) in [("v4", "8.8.8.8"), ("v6", "2001:4860:4860::8888")] {
        let address: IpAddr = address.parse().unwrap();
        group.bench_function(format!("asn-{family}"), |bencher| {
            bencher.iter(|| black_box(&asn).lookup(black_box(address)).found());
        });
        group.bench_function(format!("country-{family}"), |bencher| {
            bencher.iter(|| black_box(&country).lookup(black_box(address)).found());
        });
    }
    group.finish();
}

fn facts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("facts");
    let intel = match databases() {
        Some((asn, country)) => Intel::embedded().with_asn(asn).with_country(country),
        None => {
            eprintln!("without databases: the shared files are not there");
            Intel::embedded()
        }
    };
    for (name, address) in [
        ("private", "192.168.1.1"),
        ("v4", "8.8.8.8"),
        ("v6", "2001:4860:4860::8888"),
        ("relay-v6", "2a02:26f7:b00a:4000::1"),
    ] {
        let address: IpAddr = address.parse().unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(&intel).lookup(black_box(address)));
        });
    }
    // Another address each time: what the caches of the processor are worth.
    let spread: Vec<IpAddr> = (0..65_536u32)
        .map(|n| IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b9))))
        .filter(|address| special_use(*address).is_none())
        .collect();
    let mut addresses = spread.iter().copied().cycle();
    group.bench_function("v4-spread", |bencher| {
        bencher.iter(|| black_box(&intel).lookup(addresses.next().unwrap()));
    });
    group.finish();
}

fn databases() -> Option<(AsnDb, CountryDb)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/mmdb"));
    let asn = std::fs::read(folder.join("asn-2026-06-17.mmdb")).ok()?;
    let country = std::fs::read(folder.join("country-2026-06-17.mmdb")).ok()?;
    Some((AsnDb::open(asn).unwrap(), CountryDb::open(country).unwrap()))
}

criterion_group!(benches, through_prefixes, build, single_databases, facts);
criterion_main!(benches);
