use std::net::IpAddr;
use std::sync::Arc;

use portcullis_intel::{AddressFacts, AsnDb, ClassSet, CountryDb, Intel, NetworkClass, Prefix, SpecialUse};

use crate::shared;

fn full() -> Option<Intel> {
    let asn = AsnDb::open(shared("mmdb/asn-2026-06-17.mmdb")?).unwrap();
    let country = CountryDb::open(shared("mmdb/country-2026-06-17.mmdb")?).unwrap();
    Some(Intel::embedded().with_asn(asn).with_country(country))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_of_special_use_is_never_looked_up() {
    let Some(intel) = full() else { return };
    // The file does have rows for these; that is why they must not be asked for.
    let country = intel.country().unwrap();
    assert_eq!(country.lookup(address("192.168.1.1")).found().unwrap().as_str(), "AU");
    assert!(country.lookup(address("2001:db8::1")).found().is_some());
    for (text, special) in [
        ("192.168.1.1", SpecialUse::Private),
        ("::ffff:192.168.1.1", SpecialUse::Private),
        ("2001:db8::1", SpecialUse::Documentation),
        ("127.0.0.1", SpecialUse::Loopback),
        ("100.64.0.1", SpecialUse::Shared),
    ] {
        let facts = intel.lookup(address(text));
        assert_eq!(facts, AddressFacts::bare(address(text)));
        assert_eq!(facts.special_use, Some(special), "{text}");
        assert_eq!(facts.country, None, "{text}");
    }
}

#[test]
fn asn_country_and_classes_are_found_together() {
    let Some(intel) = full() else { return };
    let facts = intel.lookup(address("::ffff:8.8.8.8"));
    assert_eq!(facts.asn.unwrap().to_string(), "AS15169");
    assert_eq!(facts.organisation.as_deref(), Some("Google LLC"));
    assert_eq!(facts.country.unwrap().as_str(), "US");
    assert_eq!(facts.classes, ClassSet::of(NetworkClass::Datacenter));
    assert_eq!(facts.prefix, "8.8.8.0/24".parse::<Prefix>().unwrap());
    assert_eq!(facts.special_use, None);
}

#[test]
fn a_range_adds_to_the_classes_of_its_network() {
    let Some(intel) = full() else { return };
    let classes = intel.lookup(address("13.66.139.7")).classes;
    assert!(classes.contains(NetworkClass::Crawler) && classes.contains(NetworkClass::Datacenter));
    assert!(intel.lookup(address("104.28.28.1")).classes.contains(NetworkClass::Relay));
}

#[test]
fn without_databases_only_ranges_give_classes() {
    let intel = Intel::embedded();
    let facts = intel.lookup(address("13.66.139.7"));
    assert_eq!(facts.classes, [NetworkClass::Crawler, NetworkClass::Datacenter].into_iter().collect());
    assert_eq!((facts.asn, facts.organisation, facts.country), (None, None, None));
    let facts = intel.lookup(address("8.8.8.8"));
    assert_eq!(facts, AddressFacts::bare(address("8.8.8.8")));
}

#[test]
fn an_empty_snapshot_knows_only_what_the_address_tells() {
    for text in ["8.8.8.8", "2001:4860:4860::8888", "10.0.0.1"] {
        assert_eq!(Intel::default().lookup(address(text)), AddressFacts::bare(address(text)));
    }
}

#[test]
fn a_new_snapshot_shares_what_did_not_change() {
    let Some(bytes) = shared("mmdb/maxmind-test/GeoLite2-ASN-Test.mmdb") else { return };
    let database = Arc::new(AsnDb::open(bytes).unwrap());
    let old = Intel::embedded().with_asn(Arc::clone(&database));
    let new = old.clone();
    assert!(std::ptr::eq(old.merged(), new.merged()));
    assert!(std::ptr::eq(new.asn().unwrap(), &*database));
    assert_eq!(old.lookup(address("1.128.0.0")), new.lookup(address("1.128.0.0")));
}
