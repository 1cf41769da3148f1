use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use portcullis_intel::{
    Confidence, CsvColumns, Feed, FeedError, FeedFormat, FeedReport, FeedSpec, Intel, JsonPlace, Merged, NetworkClass,
    Preset, read_feed, read_feed_any,
};
use proptest::prelude::*;

use crate::{shared, shared_path};

fn text() -> FeedFormat {
    FeedFormat::Text
}

fn csv() -> FeedFormat {
    FeedFormat::Csv(CsvColumns::default())
}

fn json() -> FeedFormat {
    FeedFormat::Json(JsonPlace::default())
}

fn lines() -> FeedFormat {
    FeedFormat::JsonLines(JsonPlace::default())
}

fn spec(format: FeedFormat) -> FeedSpec {
    FeedSpec::new("listed", format, NetworkClass::Abuser, Confidence::percent(90))
}

fn read(format: FeedFormat, bytes: &[u8]) -> Result<Feed, FeedError> {
    read_feed(&spec(format), bytes, None, 1_000)
}

/// Networks of IPv4, of IPv6, AS numbers, dropped entries, skipped lines.
type Counts = (usize, usize, usize, usize, usize);

fn counts(report: &FeedReport) -> Counts {
    (report.v4, report.v6, report.asns, report.dropped.total(), report.skipped)
}

#[test]
fn every_real_feed_is_read() {
    for (path, format, expected) in [
        ("cidr-text/x4bnet-datacenter-ipv6.txt", text(), (0, 8_752, 0, 0, 0)),
        ("cidr-text/ipranges-cloudflare-ipv4.txt", text(), (15, 0, 0, 0, 0)),
        ("cidr-text/spamhaus-drop.excerpt.txt", text(), (60, 0, 0, 0, 0)),
        ("asn/x4bnet-vpn-asn.txt", text(), (0, 0, 15, 0, 0)),
        ("asn/brianhama-bad-asn-list.csv", csv(), (0, 0, 742, 0, 0)),
        ("asn/bgptools-tag-satnet.excerpt.csv", csv(), (0, 0, 15, 0, 0)),
        ("asn/asn-classes-seed.csv", csv(), (0, 0, 107, 0, 0)),
        ("delimited/avastel-proxy-blocklist-8days.txt", csv(), (300, 0, 0, 0, 0)),
        ("jsonl/spamhaus-drop_v4.excerpt.json", lines(), (60, 0, 0, 0, 0)),
        ("jsonl/spamhaus-asndrop.excerpt.json", lines(), (0, 0, 10, 0, 0)),
        ("json/cloudflare.json", json(), (15, 7, 0, 0, 0)),
        ("json/fastly.json", json(), (19, 2, 0, 0, 0)),
        ("json/amazonbot.sample.json", json(), (5, 0, 0, 0, 0)),
    ] {
        let Some(bytes) = shared(&format!("feeds/{path}")) else { return };
        let feed = read(format, &bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(counts(feed.report()), expected, "{path}: {:?}", feed.report().first_skipped);
    }
}

#[test]
fn no_line_of_a_large_real_feed_is_lost() {
    for (path, format, header_lines) in [
        ("cidr-text/x4bnet-datacenter-ipv4.txt", text(), 0),
        ("cidr-text/x4bnet-vpn-ipv4.txt", text(), 0),
        ("cidr-text/ipranges-apple-proxy-ipv6.txt", text(), 0),
        ("cidr-text/ipfire-2022-satellite.txt", text(), 0),
        ("proxy/monosans-all.txt", text(), 0),
        ("proxy/monosans-socks5.txt", text(), 0),
        ("delimited/cloud-ranges-2026-10-26.csv", csv(), 1),
        ("delimited/tor-exits.csv", csv(), 1),
    ] {
        let Some(bytes) = shared(&format!("feeds/{path}")) else { return };
        let report = read(format, &bytes).unwrap_or_else(|error| panic!("{path}: {error}")).report().clone();
        let rows = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let rows = rows.filter(|line| !line.starts_with(b"#")).count() - header_lines;
        assert_eq!(report.entries() + report.dropped.total() + report.skipped, rows, "{path}: {report:?}");
        assert_eq!(report.skipped, 0, "{path}: {:?}", report.first_skipped);
    }
}

#[test]
fn every_json_file_has_entries_and_none_is_mistaken() {
    for name in [
        "googlebot",
        "googlesc",
        "googleutf",
        "google",
        "gcp",
        "applebot",
        "openai-combined.sample",
        "hetzner",
        "oci",
        "linode.trimmed",
        "aws-ip-ranges.trimmed",
        "zscaler",
    ] {
        let Some(bytes) = shared(&format!("feeds/json/{name}.json")) else { return };
        let report = read(json(), &bytes).unwrap_or_else(|error| panic!("{name}: {error}")).report().clone();
        assert!(report.v4 + report.v6 >= 6, "{name}: {report:?}");
        assert_eq!((report.asns, report.skipped), (0, 0), "{name}: {:?}", report.first_skipped);
    }
}

#[test]
fn ranges_are_the_same_as_addresses_and_as_integers() {
    // These are no lists of a class but of everybody, which a guard refuses.
    let mut of_all = spec(csv());
    of_all.guards.shortest_v4 = 1;
    of_all.guards.shortest_v6 = 1;
    for (as_text, as_numbers) in [("asn-ipv4", "asn-ipv4-num"), ("asn-ipv6", "asn-ipv6-num")] {
        let Some(one) = shared(&format!("feeds/range-csv/{as_text}.sample.csv")) else { return };
        let Some(other) = shared(&format!("feeds/range-csv/{as_numbers}.sample.csv")) else { return };
        let (one, other) = (read_feed(&of_all, &one, None, 0).unwrap(), read_feed(&of_all, &other, None, 0).unwrap());
        assert!(one.report().entries() > 1_700, "{:?}", one.report());
        assert_eq!(one.report().skipped, 0, "{:?}", one.report().first_skipped);
        // Teredo and what else is special stands at the head of the IPv6 file only in one of the two.
        let difference = one.report().entries().abs_diff(other.report().entries());
        assert!(difference * 4 < one.report().entries(), "{:?} {:?}", one.report(), other.report());
    }
    let Some(bytes) = shared("feeds/range-csv/tor-geoip.excerpt") else { return };
    let report = read_feed(&of_all, &bytes, None, 0).unwrap().report().clone();
    assert!(report.v4 > 300 && report.skipped == 0, "{report:?}");
}

#[test]
fn a_database_is_a_feed_of_the_networks_that_it_has_or_that_its_mapping_finds() {
    let Some(bytes) = shared("mmdb/maxmind-test/GeoIP-Residential-Proxy-Test.mmdb") else { return };
    let report = read(FeedFormat::Mmdb(None), &bytes).unwrap().report().clone();
    assert_eq!((report.v4, report.v6), (15, 14), "{report:?}");
    let Some(bytes) = shared("mmdb/maxmind-test/GeoIP2-Connection-Type-Test.mmdb") else { return };
    let mapping = Preset::MaxmindConnectionType.mapping();
    let feed = read(FeedFormat::Mmdb(Some(mapping)), &bytes).unwrap();
    let intel = Intel::default().with_merged(Merged::of([&feed], 0));
    for (address, class) in [("1.0.1.1", Some("mobile")), ("214.78.120.1", Some("satellite")), ("1.0.0.1", None)] {
        let classes = intel.lookup(address.parse().unwrap()).classes;
        assert_eq!(classes.iter().next().map(NetworkClass::name), class, "{address}");
    }
}

#[test]
fn a_feed_in_gzip_is_the_feed() {
    let plain = b"8.8.8.0/24\n9.9.9.9\n";
    let packed = gzip(plain);
    assert_eq!(counts(read(text(), &packed).unwrap().report()), (2, 0, 0, 0, 0));
    let error = read(text(), &packed[..packed.len() - 6]).unwrap_err();
    assert!(matches!(error, FeedError::Gzip { .. }), "{error}");
    let mut bounded = spec(text());
    bounded.guards.most_bytes = 1 << 20;
    let bomb = gzip(&vec![b'\n'; 64 << 20]);
    assert_eq!(read_feed(&bounded, &bomb, None, 0).unwrap_err(), FeedError::TooLarge { most_bytes: 1 << 20 });
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn junk_is_skipped_and_counted_and_the_rest_is_read() {
    let Some(bytes) = shared("feeds/hostile/mixed-garbage.txt") else { return };
    let report = read(text(), &bytes).unwrap().report().clone();
    assert_eq!((report.v4, report.v6, report.asns), (6, 0, 0), "{report:?}");
    let dropped = report.dropped;
    assert_eq!((dropped.default_route, dropped.reserved_asn), (2, 2), "{dropped:?}");
    // A private range of six networks, two addresses for documentation of IPv6 and one of IPv4.
    assert!(dropped.special_use >= 4, "{dropped:?}");
    assert_eq!(report.skipped, 8, "{report:?}");
    assert_eq!(report.first_skipped.len(), 5);
    assert_eq!(
        report.first_skipped[0].to_string(),
        "line 6: expected an address, a network, a range or an AS number, but found `1.2.3.4/33`"
    );
}

#[test]
fn hostile_documents_are_refused_by_name() {
    for (path, format, wanted) in [
        ("truncated.json", json(), "expected JSON, but found otherwise: EOF while parsing"),
        ("deep-nesting.json", json(), "expected JSON, but found otherwise: recursion limit exceeded"),
        ("empty.txt", text(), "expected at least 1 entries, but found 0"),
        ("empty.txt", csv(), "expected at least 1 entries, but found 0"),
        ("empty.txt", json(), "expected JSON, but found otherwise: EOF while parsing"),
        ("empty.txt", FeedFormat::Mmdb(None), "expected an MMDB file"),
    ] {
        let Some(bytes) = shared(&format!("feeds/hostile/{path}")) else { return };
        let error = read(format, &bytes).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{path}: {error}");
    }
}

/// A database of nodes that each lead twice to the next, and the last to `end`: 2^nodes paths in some hundred bytes.
fn doubling_database(ip_version: u16, nodes: u32, record_bits: u16, end: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for node in 1..=nodes {
        let to = (if node < nodes { node } else { end }).to_be_bytes();
        match record_bits {
            24 => bytes.extend([&to[1..], &to[1..]].concat()),
            28 => bytes.extend([&to[1..], &[to[0] << 4 | to[0]], &to[1..]].concat()),
            _ => bytes.extend([to, to].concat()),
        }
    }
    // The separator, one empty record, and the metadata.
    bytes.extend([0; 16]);
    bytes.extend(b"\xe0\xab\xcd\xefMaxMind.com\xe9");
    let mut entry = |key: &str, value: &[u8]| {
        bytes.push(0x40 | u8::try_from(key.len()).unwrap());
        bytes.extend(key.as_bytes());
        bytes.extend(value);
    };
    let short = |value: u16| [&[0xa2][..], &value.to_be_bytes()].concat();
    entry("node_count", &[&[0xc4][..], &nodes.to_be_bytes()].concat());
    entry("record_size", &short(record_bits));
    entry("ip_version", &short(ip_version));
    entry("database_type", b"\x41x");
    entry("languages", b"\x00\x04");
    entry("binary_format_major_version", &short(2));
    entry("binary_format_minor_version", &short(0));
    entry("build_epoch", b"\x01\x02\x01");
    entry("description", b"\xe0");
    bytes
}

#[test]
fn a_database_with_more_paths_than_can_be_walked_is_refused() {
    for record_bits in [24, 28, 32] {
        for (ip_version, nodes) in [(4, 32), (6, 128)] {
            // To no record, and to one that is outside of the file.
            for end in [nodes, nodes + 16 + 9_999] {
                let bytes = doubling_database(ip_version, nodes, record_bits, end);
                let error = read(FeedFormat::Mmdb(None), &bytes).unwrap_err().to_string();
                let said = ["leads to the same nodes over and over", "invalid"];
                assert!(said.iter().any(|said| error.contains(said)), "{record_bits} bits, IPv{ip_version}: {error}");
            }
        }
        // So few that they can be.
        let error = read(FeedFormat::Mmdb(None), &doubling_database(4, 2, record_bits, 2)).unwrap_err().to_string();
        assert!(!error.contains("over and over"), "{error}");
    }
}

#[test]
fn a_web_page_is_no_list() {
    for page in ["<!DOCTYPE html><html>", "\u{feff}\n  <html><body>8.8.8.8", "<?xml version=\"1.0\"?>"] {
        for format in [text(), csv(), json(), lines()] {
            assert_eq!(read(format, page.as_bytes()).unwrap_err(), FeedError::Html, "{page}");
        }
    }
}

#[test]
fn a_feed_past_a_guard_is_refused_and_says_so() {
    let mut small = spec(text());
    small.guards.most_entries = 2;
    small.guards.most_bytes = 100;
    for (bytes, previous, message) in [
        (
            "8.8.8.8\n8.8.4.4\n9.9.9.9\n",
            None,
            "expected at most 2 entries, but found more; raise `max_entries` if that is right",
        ),
        (
            "2001:db8::1-2001:db8::ffff\n",
            None,
            "expected at most 2 entries, but found more; raise `max_entries` if that is right",
        ),
        (&"#".repeat(101), None, "expected at most 100 bytes, but found more; raise `max_bytes` if that is right"),
        ("8.0.0.0/8\n", None, "expected networks no wider than a `/9`, but found `8.0.0.0/8`"),
        ("2a00::/18\n", None, "expected networks no wider than a `/19`, but found `2a00::/18`"),
        (
            "8.128.0.0/9\n8.0.0.0/9\n",
            None,
            "expected less than the whole of `8.0.0.0/8`, but several entries cover it together",
        ),
        (
            "8.8.8.8\n",
            Some(3),
            "expected to lose at most 50 percent of 3 entries, but found 1; raise `max_shrink_percent` if that is right",
        ),
        (
            "x\n",
            None,
            "expected at least 1 entries, but found 0, and 1 lines that are none, the first in line 1: expected an \
             address, a network, a range or an AS number, but found `x`",
        ),
    ] {
        let error = read_feed(&small, bytes.as_bytes(), previous, 0).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    assert!(read_feed(&small, b"8.8.8.8\n", Some(2), 0).is_ok(), "half of it may go");
    assert!(read_feed(&small, b"8.0.0.0/9\n9.128.0.0/9\n", None, 0).is_ok(), "two halves of two blocks");
}

#[test]
fn private_space_and_default_routes_never_get_into_a_list() {
    let Some(bytes) = shared("feeds/cidr-text/firehol_level1.excerpt.netset") else { return };
    let feed = read(text(), &bytes).unwrap();
    assert!(feed.report().dropped.special_use >= 8, "{:?}", feed.report());
    assert_eq!(feed.report().skipped, 0, "{:?}", feed.report().first_skipped);
    let feed = read(text(), b"0.0.0.0/0\n::/0\n10.0.0.0/8\nAS64500\n8.8.8.8\n").unwrap();
    assert_eq!(feed.report().dropped.total(), 4);
    let intel = Intel::default().with_merged(Merged::of([&feed], 0));
    assert!(intel.lookup("9.9.9.9".parse().unwrap()).classes.is_empty());
    assert!(!intel.lookup("8.8.8.8".parse().unwrap()).classes.is_empty());
}

#[test]
fn a_csv_says_class_and_confidence_itself() {
    let rows = "network,class,confidence\n8.8.8.0/24,vpn,0.5\n9.9.9.0/24,tor,80\n7.7.7.7,hosting,1\n6.6.6.6,vpn,x\n";
    let feed = read(csv(), rows.as_bytes()).unwrap();
    assert_eq!(counts(feed.report()), (2, 0, 0, 0, 2));
    let intel = Intel::default().with_merged(Merged::of([&feed], 0));
    let claim = |address: &str, class| intel.lookup(address.parse().unwrap()).claims.of(class).unwrap().confidence;
    assert_eq!(claim("8.8.8.8", NetworkClass::Vpn), Confidence::percent(50));
    assert_eq!(claim("9.9.9.9", NetworkClass::Tor), Confidence::percent(80));
}

#[test]
fn the_number_beside_a_network_is_no_entry() {
    let list = r#"[{"asn": 15169, "prefix": "8.8.8.0/24"}, {"asn": "AS13335", "name": "x"}, {"asn": null}]"#;
    assert_eq!(counts(read(json(), list.as_bytes()).unwrap().report()), (1, 0, 1, 0, 0));
    let named = FeedFormat::Json(JsonPlace { pointer: vec!["a".into(), "*".into()], key: Some("net".into()) });
    let list = r#"{"a": {"x": [{"net": "8.8.8.0/24", "ip": "9.9.9.9"}]}, "b": {"net": "7.7.7.7"}}"#;
    assert_eq!(counts(read(named, list.as_bytes()).unwrap().report()), (1, 0, 0, 0, 0));
}

#[test]
fn what_a_maker_says_of_the_list_is_kept() {
    let Some(bytes) = shared("feeds/jsonl/spamhaus-drop_v4.excerpt.json") else { return };
    let report = read(lines(), &bytes).unwrap().report().clone();
    assert_eq!(report.published_unix_secs, Some(1_744_682_874));
    assert_eq!(report.copyright.as_deref(), Some("(c) 2025 The Spamhaus Project SLU"));
}

#[test]
fn a_feed_past_its_time_is_not_believed() {
    let spec = FeedSpec { time_to_live: Some(Duration::from_secs(60)), ..spec(text()) };
    let feed = read_feed(&spec, b"8.8.8.8", None, 1_000).unwrap();
    for (now, believed) in [(1_000, true), (1_059, true), (1_060, false), (u64::MAX, false)] {
        let merged = Merged::of([&feed], now);
        assert_eq!(merged.next_expiry_unix_secs(), believed.then_some(1_060), "{now}");
        let intel = Intel::default().with_merged(merged);
        assert_eq!(!intel.lookup("8.8.8.8".parse().unwrap()).classes.is_empty(), believed, "{now}");
    }
}

#[test]
fn every_seed_of_the_fuzzer_is_answered() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/feed");
    let mut seeds = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        read_feed_any(&std::fs::read(file.unwrap().path()).unwrap());
        seeds += 1;
    }
    assert!(seeds >= 10, "{seeds}");
    let Ok(hostile) = std::fs::read_dir(shared_path("feeds/hostile")) else { return };
    for file in hostile {
        read_feed_any(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

#[test]
fn every_beginning_of_a_feed_is_answered() {
    let whole = b"a,b\n8.8.8.8,\"x\"\n[{\"prefix\": \"8.8.8.0/24\"}]\nhttp://[2a00::1]:80\n\xff\n1.0.0.0-1.0.0.9\nAS1";
    for end in 0..=whole.len() {
        read_feed_any(&whole[..end]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_feed_any(&bytes);
    }

    #[test]
    fn lines_like_those_of_feeds_are_answered(text in "([0-9a-f:./,;\" #AS\\[\\]{}-]{0,24}\n){0,12}") {
        read_feed_any(text.as_bytes());
    }

    #[test]
    fn a_range_has_the_class_from_end_to_end_and_nowhere_else(first: u32, length in 0_u32..100_000) {
        use std::net::{IpAddr, Ipv4Addr};
        let last = first.saturating_add(length);
        let line = format!("{}-{}", Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last));
        let mut spec = spec(text());
        spec.guards.fewest_entries = 0;
        let feed = read_feed(&spec, line.as_bytes(), None, 0).unwrap();
        let intel = Intel::default().with_merged(Merged::of([&feed], 0));
        let middle = first + length.min(last - first) / 2;
        for (address, inside) in [(first.checked_sub(1), false), (Some(first), true), (Some(middle), true), (Some(last), true), (last.checked_add(1), false)] {
            let Some(address) = address else { continue };
            let facts = intel.lookup(IpAddr::V4(Ipv4Addr::from_bits(address)));
            prop_assert_eq!(!facts.classes.is_empty(), inside && facts.special_use.is_none(), "{}", line);
        }
    }
}
