use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_intel::{Answer, Asn, AsnDb, Country, CountryDb, DatabaseError, probe_database};
use proptest::prelude::*;

use crate::{shared, shared_path};

/// Some ten thousand addresses of both families, and none of them chosen.
fn many_addresses() -> impl Iterator<Item = IpAddr> {
    let v4 = (0..7_000u32).map(|n| IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(0x85eb_ca6b))));
    let v6 = (0..3_000u128)
        .map(|n| IpAddr::V6(Ipv6Addr::from_bits(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))));
    v4.chain(v6)
}

fn asn_db(path: &str) -> Option<AsnDb> {
    Some(AsnDb::open(shared(path)?).unwrap())
}

fn country_db(path: &str) -> Option<CountryDb> {
    Some(CountryDb::open(shared(path)?).unwrap())
}

/// An address, and the number and name that a database has for it.
type AsnRow<'a> = (&'a str, Option<(u32, Option<&'a str>)>);

#[track_caller]
fn check_asn(db: &AsnDb, rows: &[AsnRow<'_>]) {
    for (address, row) in rows {
        let found = db.lookup(address.parse().unwrap()).found();
        let found = found.as_ref().map(|entry| (entry.asn, entry.organisation.as_deref()));
        assert_eq!(found, row.map(|(asn, name)| (Asn(asn), name)), "{address}");
    }
}

#[track_caller]
fn check_country(db: &CountryDb, rows: &[(&str, Option<&str>)]) {
    for (address, country) in rows {
        let found = db.lookup(address.parse().unwrap()).found();
        assert_eq!(found.as_ref().map(Country::as_str), *country, "{address}");
    }
}

#[test]
fn geolite2_asn_rows_are_read() {
    let Some(db) = asn_db("mmdb/maxmind-test/GeoLite2-ASN-Test.mmdb") else { return };
    check_asn(
        &db,
        &[
            ("1.0.0.1", Some((15_169, Some("Google Inc.")))),
            ("1.128.0.0", Some((1_221, Some("Telstra Pty Ltd")))),
            ("::ffff:1.128.0.0", Some((1_221, Some("Telstra Pty Ltd")))),
            ("12.81.92.0", Some((7_018, Some("AT&T Services")))),
            ("12.81.96.0", Some((7_018, None))),
            ("15.1.2.3", Some((71, Some("Hewlett-Packard Company")))),
            ("14.255.255.255", None),
        ],
    );
    assert_eq!(db.info().kind, "GeoLite2-ASN");
    assert!(db.info().covers_ipv6);
    assert_eq!(db.unreadable_total(), 0);
}

#[test]
fn ipinfo_writes_the_number_as_text_and_the_country_as_a_name_beside_the_code() {
    let path = "mmdb/synthetic-vendor/ipinfo-lite.mmdb";
    let Some(db) = asn_db(path) else { return };
    check_asn(
        &db,
        &[
            ("192.0.2.1", Some((64_500, Some("Example Hosting LLC")))),
            ("2001:db8::1", Some((64_501, Some("Example Telecom")))),
        ],
    );
    let Some(db) = country_db(path) else { return };
    check_country(&db, &[("192.0.2.1", Some("DE")), ("2001:db8::1", Some("JP"))]);
    assert_eq!(db.unreadable_total(), 0);
}

#[test]
fn a_map_where_another_maker_has_the_number_itself_is_looked_into() {
    let Some(db) = asn_db("mmdb/synthetic-vendor/ipapi-is-flags.mmdb") else { return };
    check_asn(&db, &[("192.0.2.1", Some((64_500, Some("Example"))))]);
    assert_eq!(db.unreadable_total(), 0);
}

#[test]
fn the_country_of_use_comes_before_the_country_of_registration() {
    let Some(db) = country_db("mmdb/maxmind-test/GeoLite2-Country-Test.mmdb") else { return };
    check_country(
        &db,
        &[
            ("2.125.160.216", Some("GB")),
            ("67.43.156.1", Some("BT")),
            ("81.2.69.142", Some("GB")),
            ("89.160.20.112", Some("SE")),
            ("2a02:d500::1", None),
            ("203.0.112.1", None),
        ],
    );
    assert_eq!(db.unreadable_total(), 0);
}

#[test]
fn a_record_with_only_a_country_of_registration_has_that_country() {
    let Some(db) = country_db("mmdb/maxmind-test/GeoIP2-Enterprise-Test.mmdb") else { return };
    check_country(&db, &[("5.83.124.1", Some("RO")), ("74.209.24.1", Some("US"))]);
}

#[test]
fn a_whole_asn_database_answers() {
    let Some(db) = asn_db("mmdb/asn-2026-06-17.mmdb") else { return };
    check_asn(
        &db,
        &[
            ("8.8.8.8", Some((15_169, Some("Google LLC")))),
            ("2001:4860:4860::8888", Some((15_169, Some("Google LLC")))),
            ("2001:db8::1", None),
        ],
    );
    let found = many_addresses().filter(|address| db.lookup(*address).found().is_some()).count();
    assert!(found > 3_000, "{found}");
    assert_eq!(db.unreadable_total(), 0);
}

#[test]
fn an_ipv6_address_is_not_covered_by_an_ipv4_database() {
    let Some(db) = country_db("mmdb/country-ipv4only-pddl-2026-06-17.mmdb") else { return };
    assert!(!db.info().covers_ipv6);
    let address: IpAddr = "2001:4860:4860::8888".parse().unwrap();
    assert_eq!(db.lookup(address), Answer::NotCovered);
    assert_eq!(db.lookup(address).found(), None);
    check_country(&db, &[("8.8.8.8", Some("US")), ("::ffff:8.8.8.8", Some("US"))]);
    assert_eq!(db.unreadable_total(), 0);
}

#[test]
fn every_test_database_opens_or_says_why_and_never_panics() {
    for folder in ["maxmind-test", "maxmind-bad", "synthetic-vendor"] {
        let Ok(files) = std::fs::read_dir(shared_path("mmdb").join(folder)) else {
            eprintln!("skipped: {folder} is not there");
            continue;
        };
        for file in files.map(|file| file.unwrap().path()) {
            if file.extension().is_none_or(|extension| extension != "mmdb") {
                continue;
            }
            let bytes = std::fs::read(&file).unwrap();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let report = probe_database(bytes.clone());
            let asn = AsnDb::open(bytes.clone());
            let country = CountryDb::open(bytes);
            match &report {
                Err(error) => {
                    assert_eq!(asn.as_ref().err(), Some(error), "{name}");
                    assert_eq!(country.as_ref().err(), Some(error), "{name}");
                }
                Ok(report) => {
                    assert!(asn.is_ok() || report.asns == 0, "{name} {asn:?}");
                    assert!(country.is_ok() || report.countries == 0, "{name} {country:?}");
                }
            }
            for address in many_addresses() {
                if let Ok(db) = &asn {
                    let _ = db.lookup(address);
                }
                if let Ok(db) = &country {
                    let _ = db.lookup(address);
                }
            }
        }
    }
}

#[test]
fn a_damaged_record_is_no_data_and_is_counted() {
    let Some(mut bytes) = shared("mmdb/maxmind-test/GeoLite2-ASN-Test.mmdb") else { return };
    let name = b"Telstra Pty Ltd";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    // No text in UTF-8 has this byte.
    *bytes.get_mut(at).unwrap() = 0xff;
    let db = AsnDb::open(bytes).unwrap();
    let damaged: IpAddr = "1.128.0.0".parse().unwrap();
    assert_eq!(db.unreadable_total(), 0);
    assert_eq!(db.lookup(damaged), Answer::Unreadable);
    assert_eq!(db.lookup(damaged).found(), None);
    assert_eq!(db.unreadable_total(), 2);
    check_asn(&db, &[("1.0.0.1", Some((15_169, Some("Google Inc."))))]);
    assert_eq!(db.unreadable_total(), 2);
}

#[test]
fn damage_beside_what_is_read_does_no_harm() {
    let path = "mmdb/maxmind-test/GeoIP2-City-Test-Broken-Double-Format.mmdb";
    let Some(db) = country_db(path) else { return };
    check_country(&db, &[("2.125.160.216", Some("GB"))]);
    assert_eq!(db.unreadable_total(), 0);
}

#[test]
fn a_database_of_another_kind_is_refused_by_what_it_lacks() {
    let Some(bytes) = shared("mmdb/country-2026-06-17.mmdb") else { return };
    let error = AsnDb::open(bytes).unwrap_err().to_string();
    assert!(error.starts_with("expected an AS number under `autonomous_system_number` or `asn`"), "{error}");
    assert!(error.ends_with("name a database that holds it"), "{error}");
    let Some(bytes) = shared("mmdb/asn-2026-06-17.mmdb") else { return };
    let error = CountryDb::open(bytes).unwrap_err();
    assert!(matches!(error, DatabaseError::Lacks { wanted: "a country", .. }), "{error}");
}

#[test]
fn what_is_no_database_is_refused_with_a_remedy() {
    for (bytes, message) in [
        (&b"\x1f\x8b\x08\x00"[..], "expected an MMDB file, but found a gzip file; unpack it first"),
        (
            &b""[..],
            "expected an MMDB file, but could not read this one: invalid database: could not find \
             MaxMind DB metadata in file; fetch it again",
        ),
        (
            &b"<!DOCTYPE html>"[..],
            "expected an MMDB file, but could not read this one: invalid database: could not find \
             MaxMind DB metadata in file; fetch it again",
        ),
    ] {
        assert_eq!(AsnDb::open(bytes.to_vec()).unwrap_err().to_string(), message);
        assert_eq!(CountryDb::open(bytes.to_vec()).unwrap_err().to_string(), message);
    }
}

#[test]
fn every_truncation_of_a_database_is_answered() {
    let Some(bytes) = shared("mmdb/maxmind-test/MaxMind-DB-test-ipv4-24.mmdb") else { return };
    for end in 0..bytes.len() {
        let _ = probe_database(bytes.get(..end).unwrap().to_vec());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut marked = b"\xab\xcd\xefMaxMind.com".to_vec();
        marked.extend(&bytes);
        let _ = probe_database(bytes);
        let _ = probe_database(marked);
    }

    #[test]
    fn a_database_with_changed_bytes_is_answered(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        file in prop::sample::select(vec![
            "mmdb/maxmind-test/GeoLite2-ASN-Test.mmdb",
            "mmdb/maxmind-test/GeoLite2-Country-Test.mmdb",
            "mmdb/synthetic-vendor/ipinfo-lite.mmdb",
        ]),
    ) {
        if let Some(mut bytes) = shared(file) {
            for (at, byte) in changes {
                *at.get_mut(&mut bytes) = byte;
            }
            let _ = probe_database(bytes);
        }
    }
}
