use std::net::IpAddr;

use portcullis_intel::{
    Answer, ClassRule, Confidence, DatabaseError, FieldTest, Intel, Mapping, MmdbSource, NetworkClass, Preset,
    Statement,
};

use crate::{shared, shared_path};

fn open(path: &str) -> Option<MmdbSource> {
    Some(MmdbSource::open(path, shared(&format!("mmdb/{path}.mmdb"))?).unwrap())
}

/// An address, and the classes that a source gives it, each with its confidence in percent.
type Row<'a> = (&'a str, &'a [(&'a str, u8)]);

#[track_caller]
fn check(path: &str, rows: &[Row<'_>]) {
    let Some(source) = open(path) else { return };
    for (address, classes) in rows {
        let found = source.classes(address.parse().unwrap()).found().unwrap_or_default();
        let found: Vec<_> = found.iter().map(|(class, sure)| (class.name(), sure.as_percent())).collect();
        assert_eq!(found, *classes, "{path}: {address}");
    }
    assert_eq!(source.unreadable_total(), 0, "{path}");
}

#[test]
fn maxmind_anonymous_ip_is_read() {
    check(
        "maxmind-test/GeoIP2-Anonymous-IP-Test",
        &[
            ("1.2.0.1", &[("vpn", 90)]),
            ("1.124.213.1", &[("tor", 90), ("vpn", 90)]),
            ("81.2.69.1", &[("tor", 90), ("vpn", 90), ("proxy", 90), ("datacenter", 90)]),
            ("71.160.223.9", &[("datacenter", 90)]),
            ("6.1.0.4", &[("proxy", 90)]),
            ("2001:480:3a::1", &[("proxy", 90)]),
            ("9.9.9.9", &[]),
        ],
    );
}

#[test]
fn maxmind_anonymous_plus_says_how_sure_it_is() {
    check(
        "maxmind-test/GeoIP-Anonymous-Plus-Test",
        &[("1.2.0.0", &[("vpn", 90)]), ("1.2.0.1", &[("vpn", 30)]), ("1.2.0.2", &[("vpn", 100)])],
    );
}

#[test]
fn every_record_of_residential_proxy_is_a_proxy() {
    check(
        "maxmind-test/GeoIP-Residential-Proxy-Test",
        &[
            ("1.2.0.4", &[("proxy", 83)]),
            ("21.4.181.221", &[("proxy", 1)]),
            ("2001:480:725b:17e::1", &[("proxy", 90)]),
            ("1.2.0.5", &[]),
        ],
    );
}

#[test]
fn a_high_ip_risk_is_an_abuser() {
    check(
        "maxmind-test/GeoIP2-IP-Risk-Test",
        &[
            ("214.2.3.1", &[("vpn", 90)]),
            ("214.2.3.5", &[("tor", 90), ("vpn", 90), ("proxy", 90), ("abuser", 91)]),
            ("214.2.3.6", &[("abuser", 86)]),
            ("6.1.2.1", &[("vpn", 96), ("abuser", 76)]),
            ("7.1.2.2", &[("datacenter", 90)]),
            ("55.0.0.1", &[]),
            ("55.0.0.4", &[("abuser", 100)]),
        ],
    );
}

#[test]
fn connection_types_are_read() {
    check(
        "maxmind-test/GeoIP2-Connection-Type-Test",
        &[("1.0.0.1", &[]), ("1.0.1.1", &[("mobile", 80)]), ("214.78.120.1", &[("satellite", 80)])],
    );
    check("maxmind-test/GeoIP2-ISP-Test", &[("149.101.100.1", &[("mobile", 80)]), ("1.128.0.1", &[])]);
}

#[test]
fn enterprise_traits_are_read() {
    let rows: &[Row<'_>] = &[
        ("67.43.156.1", &[("crawler", 80)]),
        ("149.101.100.1", &[("mobile", 80)]),
        ("1.124.213.1", &[("mobile", 80)]),
        ("214.78.120.1", &[("satellite", 80)]),
        ("214.214.214.220", &[("datacenter", 80)]),
        ("214.214.214.221", &[("datacenter", 80)]),
        ("214.214.214.216", &[]),
    ];
    check("maxmind-test/GeoIP2-Enterprise-Test", rows);
    let Some(source) = open("maxmind-test/GeoIP2-Enterprise-Test") else { return };
    let intel = Intel::default().with_databases([source.into()]);
    let facts = intel.lookup("89.160.20.113".parse().unwrap());
    assert_eq!((facts.asn.unwrap().0, facts.country.unwrap().as_str()), (29_518, "SE"));
}

#[test]
fn ipinfo_is_read_with_texts_and_with_flags() {
    let rows: &[Row<'_>] = &[
        ("192.0.2.1", &[("vpn", 90), ("datacenter", 90)]),
        ("192.0.2.16", &[("proxy", 90)]),
        ("192.0.2.32", &[("tor", 90)]),
        ("192.0.2.48", &[("relay", 90)]),
        ("192.0.2.64", &[("datacenter", 90)]),
        ("192.0.2.80", &[]),
    ];
    check("synthetic-vendor/ipinfo-privacy", rows);
    let classes = |rows: &[Row<'_>]| rows.iter().map(|(_, classes)| classes.len()).sum::<usize>();
    let Some(source) = open("synthetic-vendor/ipinfo-privacy-bool") else { return };
    let found: usize = rows
        .iter()
        .map(|(address, _)| source.classes(address.parse().unwrap()).found().unwrap_or_default().len())
        .sum();
    assert_eq!(found, classes(rows));
    check(
        "synthetic-vendor/ipinfo-plus",
        &[
            ("192.0.2.1", &[("vpn", 90), ("datacenter", 90)]),
            ("198.51.100.1", &[("mobile", 90)]),
            ("203.0.113.1", &[("satellite", 90)]),
        ],
    );
}

#[test]
fn other_makers_are_read() {
    check("synthetic-vendor/dbip-isp", &[("192.0.2.1", &[("datacenter", 80)]), ("198.51.100.1", &[("mobile", 80)])]);
    // Every record of this file has a fraud score of 85.
    check(
        "synthetic-vendor/ip2proxy-px12",
        &[
            ("192.0.2.1", &[("vpn", 90), ("datacenter", 80), ("abuser", 85)]),
            ("192.0.2.16", &[("tor", 90), ("datacenter", 80), ("abuser", 85)]),
            ("192.0.2.32", &[("datacenter", 90), ("abuser", 85)]),
            ("192.0.2.48", &[("proxy", 90), ("abuser", 85)]),
            ("192.0.2.80", &[("abuser", 85), ("crawler", 90)]),
            ("192.0.2.96", &[("proxy", 90), ("abuser", 85), ("mobile", 80)]),
            ("192.0.2.112", &[("datacenter", 80), ("abuser", 85), ("relay", 90)]),
        ],
    );
    check(
        "synthetic-vendor/ipapi-is-flags",
        &[
            ("192.0.2.0", &[("vpn", 90)]),
            ("192.0.2.16", &[("proxy", 90)]),
            ("192.0.2.32", &[("tor", 90)]),
            ("192.0.2.48", &[("abuser", 90)]),
            ("192.0.2.64", &[("datacenter", 90)]),
            ("192.0.2.80", &[("mobile", 90)]),
            ("192.0.2.96", &[("satellite", 90)]),
            ("192.0.2.112", &[("crawler", 90)]),
        ],
    );
    check(
        "synthetic-vendor/spur-context",
        &[
            ("192.0.2.1", &[("vpn", 90), ("datacenter", 80)]),
            ("192.0.2.16", &[("proxy", 90), ("mobile", 80)]),
            ("192.0.2.32", &[("tor", 90), ("satellite", 80)]),
        ],
    );
}

#[test]
fn a_mapping_in_place_of_the_preset_says_what_fields_mean() {
    let path = "mmdb/maxmind-test/GeoIP2-Connection-Type-Test.mmdb";
    let Some(bytes) = shared(path) else { return };
    let rule = ClassRule {
        path: "connection_type".parse().unwrap(),
        test: FieldTest::parse("has", &["DSL", "Corporate"]).unwrap(),
        class: NetworkClass::Datacenter,
        confidence: Confidence::percent(7),
        measured: None,
    };
    let source = MmdbSource::with_mapping("own", bytes, Mapping { rules: vec![rule], ..Mapping::default() }).unwrap();
    let classes = |address: &str| source.classes(address.parse().unwrap()).found();
    assert_eq!(classes("1.0.0.1"), Some(vec![(NetworkClass::Datacenter, Confidence::percent(7))]));
    assert_eq!(classes("1.0.1.1"), Some(vec![]));
    assert_eq!(source.classes("250.0.0.1".parse().unwrap()), Answer::Absent);
}

#[test]
fn a_whole_database_gives_every_address_its_network_and_says_who_said_so() {
    let (Some(asn), Some(country)) = (open("asn-2026-06-17"), open("country-2026-06-17")) else { return };
    let (sample, countries) = (asn.sample(), country.sample());
    assert!(sample.asns > 3_000 && sample.unreadable == 0, "{sample:?}");
    assert!(countries.countries > 3_000 && countries.asns == 0, "{countries:?}");
    let intel = Intel::embedded().with_databases([asn.into(), country.into()]);
    let explained = intel.explain("8.8.8.8".parse().unwrap());
    let said: Vec<_> = explained
        .evidence
        .iter()
        .map(|evidence| (intel.source(evidence.source).unwrap().name.to_string(), evidence.statement.clone()))
        .collect();
    let by = |name: &str| said.iter().filter(|(source, _)| source == name).map(|(_, said)| said).collect::<Vec<_>>();
    assert!(matches!(by("asn-2026-06-17")[..], [Statement::Asn(asn), Statement::Organisation(_)] if asn.0 == 15_169));
    assert!(matches!(by("country-2026-06-17")[..], [Statement::Country(_)]));
    assert!(matches!(by("datacenter-asns")[..], [Statement::Class { class: NetworkClass::Datacenter, .. }]));
    assert!(intel.explain("10.0.0.1".parse().unwrap()).evidence.is_empty());
}

#[test]
fn every_database_of_the_tests_is_answered_under_every_preset() {
    let addresses: Vec<IpAddr> = (0..500_u32)
        .map(|n| IpAddr::V4(n.wrapping_mul(0x9e37_79b9).into()))
        .chain(["2001:480::1", "2001:db8::1", "::1", "1.2.0.1", "192.0.2.1"].map(|text| text.parse().unwrap()))
        .collect();
    let mut refused = 0;
    for folder in ["maxmind-test", "maxmind-bad", "synthetic-vendor"] {
        let Ok(files) = std::fs::read_dir(shared_path("mmdb").join(folder)) else {
            eprintln!("skipped: {folder} is not there");
            return;
        };
        let files =
            files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "mmdb"));
        for path in files {
            let bytes = std::fs::read(&path).unwrap();
            match MmdbSource::open("own", bytes.clone()) {
                Ok(_) => {}
                Err(error) => {
                    refused += 1;
                    assert!(!matches!(error, DatabaseError::Compressed), "{}: {error}", path.display());
                    assert!(error.to_string().starts_with("expected "), "{}: {error}", path.display());
                }
            }
            for preset in [Preset::Any, Preset::Spur] {
                if let Ok(source) = MmdbSource::with_mapping("own", bytes.clone(), preset.mapping()) {
                    for address in &addresses {
                        let _ = source.classes(*address);
                    }
                }
            }
            portcullis_intel::read_feed_any(&bytes);
        }
    }
    assert!(refused >= 10, "{refused}");
}
