//! Does a lookup cost the same with ten prefixes and with a hundred thousand, and what does all that
//! is known of an address cost?
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench fails by panicking, and reads files")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use portcullis_intel::{
    AsnDb, Confidence, CountryDb, CsvColumns, Feed, FeedFormat, FeedSpec, Intel, JsonPlace, Merged, NetworkClass,
    Prefix, PrefixTable, embedded_feeds, read_feed, special_use,
};

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

/// A list of `count` networks of IPv4, spread over the space that is used, as text.
fn list(count: u32) -> Vec<u8> {
    let mut text = String::new();
    for n in 0..count {
        let address = Ipv4Addr::from_bits((n + 1).wrapping_mul(0x9e37_79b9));
        text.push_str(&format!("{address}/{}\n", 20 + n % 13));
    }
    text.into_bytes()
}

fn feed(name: &str, format: FeedFormat, class: NetworkClass, bytes: &[u8]) -> Feed {
    let mut spec = FeedSpec::new(name, format, class, Confidence::percent(80));
    // The made list covers most of all addresses, thinly.
    spec.guards.shortest_v4 = 1;
    read_feed(&spec, bytes, None, 0).unwrap()
}

/// Every feed of the shared files that has a class.
fn real_feeds() -> Vec<Feed> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/feeds"));
    let mut feeds = embedded_feeds();
    let text = FeedFormat::Text;
    let csv = FeedFormat::Csv(CsvColumns::default());
    let json = FeedFormat::Json(JsonPlace::default());
    for (file, format, class) in [
        ("cidr-text/x4bnet-datacenter-ipv4.txt", &text, NetworkClass::Datacenter),
        ("cidr-text/x4bnet-datacenter-ipv6.txt", &text, NetworkClass::Datacenter),
        ("cidr-text/x4bnet-vpn-ipv4.txt", &text, NetworkClass::Vpn),
        ("cidr-text/x4bnet-vpn-ipv6.txt", &text, NetworkClass::Vpn),
        ("cidr-text/ipfire-2022-satellite.txt", &text, NetworkClass::Satellite),
        ("cidr-text/ipfire-2022-anonymous.txt", &text, NetworkClass::Proxy),
        ("cidr-text/ipfire-2022-drop.txt", &text, NetworkClass::Abuser),
        ("cidr-text/spamhaus-drop.excerpt.txt", &text, NetworkClass::Abuser),
        ("cidr-text/firehol_level1.excerpt.netset", &text, NetworkClass::Abuser),
        ("proxy/monosans-all.txt", &text, NetworkClass::Proxy),
        ("delimited/avastel-proxy-blocklist-8days.txt", &csv, NetworkClass::Proxy),
        ("delimited/tor-exits.csv", &csv, NetworkClass::Tor),
        ("json/gcp.json", &json, NetworkClass::Datacenter),
        ("json/aws-ip-ranges.trimmed.json", &json, NetworkClass::Datacenter),
        ("json/oci.json", &json, NetworkClass::Datacenter),
        ("json/linode.trimmed.json", &json, NetworkClass::Datacenter),
        ("json/hetzner.json", &json, NetworkClass::Datacenter),
        ("json/zscaler.json", &json, NetworkClass::Datacenter),
    ] {
        let Ok(bytes) = std::fs::read(folder.join(file)) else { continue };
        feeds.push(feed(file, format.clone(), class, &bytes));
    }
    feeds
}

/// Is one full lookup of another random address each time at most 600 ns, and flat from ten entries
/// of feeds to a million? The median is what counts.
fn lookup_through_feeds(criterion: &mut Criterion) {
    let Some((asn, country)) = databases() else { return };
    let base = Intel::default().with_asn(asn).with_country(country);
    let addresses: Vec<IpAddr> = (0..65_536_u64)
        .map(|n| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .map(|bits| match bits % 5 {
            0 => IpAddr::V6(Ipv6Addr::from_bits(u128::from(bits >> 3 | 1 << 61) << 64)),
            _ => IpAddr::V4(Ipv4Addr::from_bits((bits >> 20) as u32)),
        })
        .filter(|address| special_use(*address).is_none())
        .collect();
    let mut group = criterion.benchmark_group("lookup");
    let mut run = |name: &str, merged: Merged| {
        eprintln!("{name}: {} boundaries, {} bytes", merged.boundaries(), merged.heap_bytes());
        let intel = base.clone().with_merged(merged);
        addresses.iter().for_each(|address| drop(intel.lookup(*address)));
        let mut next = addresses.iter().cycle();
        group.bench_function(name, |bencher| bencher.iter(|| black_box(&intel).lookup(*next.next().unwrap())));
    };
    run("all real feeds", Merged::of(&real_feeds(), 0));
    for count in [10, 1_000, 100_000, 1_000_000] {
        let made = feed("made", FeedFormat::Text, NetworkClass::Vpn, &list(count));
        run(&format!("{count} entries"), Merged::of([&made], 0));
    }
    group.finish();
}

/// Is a million entries read and merged in less than two seconds?
fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    let text = list(1_000_000);
    let made = feed("made", FeedFormat::Text, NetworkClass::Vpn, &text);
    let real = real_feeds();
    group.bench_function("a million entries", |bencher| bencher.iter(|| Merged::of([black_box(&made)], 0)));
    group.bench_function("a million entries and all real feeds", |bencher| {
        bencher.iter(|| Merged::of(real.iter().chain([&made]), 0));
    });
    group.bench_function("read a million lines", |bencher| {
        bencher.iter_batched(
            || (),
            |()| feed("made", FeedFormat::Text, NetworkClass::Vpn, black_box(&text)),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn databases() -> Option<(AsnDb, CountryDb)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/mmdb"));
    let asn = std::fs::read(folder.join("asn-2026-06-17.mmdb")).ok()?;
    let country = std::fs::read(folder.join("country-2026-06-17.mmdb")).ok()?;
    Some((AsnDb::open(asn).unwrap(), CountryDb::open(country).unwrap()))
}

criterion_group!(benches, through_prefixes, build, single_databases, facts, lookup_through_feeds, merge);
criterion_main!(benches);
