use portcullis_intel::{
    ClassSet, Confidence, Crawler, CrawlerKind, Feed, FeedFormat, FeedSpec, Intel, Merged, NetworkClass, SpecialUse,
    read_feed,
};

use crate::shared;

fn listed(name: &str, class: NetworkClass, percent: u8, path: &str) -> Option<Feed> {
    let spec = FeedSpec::new(name, FeedFormat::Text, class, Confidence::percent(percent));
    Some(read_feed(&spec, &shared(&format!("feeds/cidr-text/{path}"))?, None, 0).unwrap())
}

fn made(name: &str, class: NetworkClass, percent: u8, text: &str) -> Feed {
    let spec = FeedSpec::new(name, FeedFormat::Text, class, Confidence::percent(percent));
    read_feed(&spec, text.as_bytes(), None, 0).unwrap()
}

/// Real lists that contradict each other about the same addresses.
fn contradictory() -> Option<Intel> {
    let mut feeds = portcullis_intel::embedded_feeds();
    feeds.push(listed("x4bnet-vpn", NetworkClass::Vpn, 80, "x4bnet-vpn-ipv4.txt")?);
    feeds.push(listed("x4bnet-datacenter", NetworkClass::Datacenter, 80, "x4bnet-datacenter-ipv4.txt")?);
    let exits = shared("feeds/delimited/tor-exits.csv")?;
    let columns = portcullis_intel::CsvColumns::default();
    let spec = FeedSpec::new("tor-exits", FeedFormat::Csv(columns), NetworkClass::Tor, Confidence::FULL);
    feeds.push(read_feed(&spec, &exits, None, 0).unwrap());
    feeds.push(made("phones", NetworkClass::Mobile, 70, "100.64.0.0/10\n100.128.0.0/16"));
    Some(Intel::default().with_merged(Merged::of(&feeds, 0)))
}

/// The class that a filter consults: the first one in this order, which is the policy's.
fn consulted(classes: ClassSet) -> Option<NetworkClass> {
    use NetworkClass::{Abuser, Crawler, Datacenter, Mobile, Proxy, Relay, Satellite, Tor, Vpn};
    [Tor, Relay, Vpn, Proxy, Crawler, Datacenter, Abuser, Satellite, Mobile]
        .into_iter()
        .find(|class| classes.contains(*class))
}

#[test]
fn an_address_in_contradictory_lists_has_all_classes_and_the_right_one_comes_first() {
    let Some(intel) = contradictory() else { return };
    for (address, wanted, beside, source) in [
        // Apple's relay inside the VPN list.
        ("104.28.28.65", NetworkClass::Relay, NetworkClass::Vpn, "icloud-relay"),
        // Googlebot and Bingbot inside the datacenter list.
        ("66.249.66.1", NetworkClass::Crawler, NetworkClass::Datacenter, "googlebot"),
        ("13.66.139.7", NetworkClass::Crawler, NetworkClass::Datacenter, "bingbot"),
        // A Tor exit inside the datacenter list.
        ("185.220.101.33", NetworkClass::Tor, NetworkClass::Datacenter, "tor-exits"),
    ] {
        let facts = intel.lookup(address.parse().unwrap());
        assert!(facts.classes.contains(beside), "{address}: {:?}", facts.classes);
        assert_eq!(consulted(facts.classes), Some(wanted), "{address}: {:?}", facts.classes);
        let claim = facts.claims.of(wanted).unwrap();
        assert_eq!(intel.source(claim.source).unwrap().name.as_ref(), source, "{address}");
        assert_eq!(facts.claims.classes(), facts.classes, "{address}");
    }
}

#[test]
fn a_crawler_is_known_by_name_and_kind() {
    let Some(intel) = contradictory() else { return };
    for (address, name, kind) in [
        ("66.249.66.1", "googlebot", CrawlerKind::Search),
        ("4.151.71.176", "openai", CrawlerKind::Ai),
        ("31.13.24.1", "meta", CrawlerKind::Preview),
    ] {
        let crawler = intel.lookup(address.parse().unwrap()).crawler.unwrap();
        assert_eq!(*crawler, Crawler { kind, name: name.into() }, "{address}");
    }
    assert_eq!(intel.lookup("185.220.101.33".parse().unwrap()).crawler, None);
}

#[test]
fn shared_space_of_providers_has_no_class_and_counts_as_shared() {
    let Some(intel) = contradictory() else { return };
    let facts = intel.lookup("100.64.0.1".parse().unwrap());
    assert_eq!((facts.special_use, facts.classes), (Some(SpecialUse::Shared), ClassSet::EMPTY));
    assert!(facts.is_shared());
    for (address, shared) in
        [("100.128.0.1", true), ("104.28.28.1", true), ("66.249.66.1", false), ("10.0.0.1", false), ("9.9.9.9", false)]
    {
        assert_eq!(intel.lookup(address.parse().unwrap()).is_shared(), shared, "{address}");
    }
}

#[test]
fn the_surest_claim_stands_for_a_class_and_every_claim_is_explained() {
    let feeds = [
        made("wide", NetworkClass::Vpn, 60, "8.8.0.0/16"),
        made("narrow", NetworkClass::Vpn, 90, "8.8.8.0/24\n8.8.8.0/24"),
        made("other", NetworkClass::Proxy, 10, "8.8.8.8"),
    ];
    let intel = Intel::default().with_merged(Merged::of(&feeds, 0));
    let explained = intel.explain("8.8.8.8".parse().unwrap());
    assert_eq!(explained.evidence.len(), 3);
    let claim = explained.facts.claims.of(NetworkClass::Vpn).unwrap();
    assert_eq!((claim.confidence.as_percent(), intel.source(claim.source).unwrap().name.as_ref()), (90, "narrow"));
    let outside = intel.lookup("8.8.9.9".parse().unwrap());
    assert_eq!(outside.claims.of(NetworkClass::Vpn).unwrap().confidence.as_percent(), 60);
}

#[test]
fn a_live_feed_takes_the_place_of_the_one_of_its_name() {
    let mut feeds = portcullis_intel::embedded_feeds();
    let live = FeedSpec::crawler(
        "googlebot",
        FeedFormat::Text,
        Crawler { kind: CrawlerKind::Search, name: "googlebot".into() },
    );
    feeds.push(read_feed(&live, b"9.9.9.9", None, 0).unwrap());
    let intel = Intel::default().with_merged(Merged::of(&feeds, 0));
    assert!(intel.lookup("9.9.9.9".parse().unwrap()).crawler.is_some());
    assert!(!intel.lookup("66.249.66.1".parse().unwrap()).classes.contains(NetworkClass::Crawler));
}

#[test]
fn a_lookup_of_what_was_met_before_allocates_nothing() {
    let (Some(asn), Some(country)) = (shared("mmdb/asn-2026-06-17.mmdb"), shared("mmdb/country-2026-06-17.mmdb"))
    else {
        return;
    };
    let Some(intel) = contradictory() else { return };
    let intel = intel
        .with_asn(portcullis_intel::AsnDb::open(asn).unwrap())
        .with_country(portcullis_intel::CountryDb::open(country).unwrap());
    let addresses: Vec<std::net::IpAddr> = (0..2_000_u32)
        .map(|n| std::net::IpAddr::V4(n.wrapping_mul(0x9e37_79b9).into()))
        .chain(["2a02:26f7:b00a:4000::1", "66.249.66.1"].map(|text| text.parse().unwrap()))
        .collect();
    let all = || addresses.iter().filter(|address| intel.lookup(**address).asn.is_some()).count();
    let met = all();
    assert!(met > 1_000, "{met}");
    let seen = allocation_counter::measure(|| {
        all();
    });
    assert_eq!(seen.count_total, 0);
}
