use crate::asn_classes::{AsnClasses, parse_asn_classes, parse_asn_list};
use crate::class::{ClassSet, NetworkClass};
use crate::list::parse_prefix_list;
use crate::table::PrefixTable;

impl AsnClasses {
    /// The classes that are in the binary; sources and licences stand in `data/README.md`.
    pub fn embedded() -> Self {
        let mut not_datacenter = parse_asn_list(NOT_DATACENTER).entries;
        not_datacenter.sort_unstable();
        let datacenter = parse_asn_list(DATACENTER)
            .entries
            .into_iter()
            .filter(|asn| not_datacenter.binary_search(asn).is_err())
            .map(|asn| (asn, NetworkClass::Datacenter));
        let vpn = parse_asn_list(VPN).entries.into_iter().map(|asn| (asn, NetworkClass::Vpn));
        let seed = parse_asn_classes(SEED).entries;
        AsnClasses::new(seed.into_iter().chain(datacenter).chain(vpn).map(|(asn, class)| (asn, ClassSet::of(class))))
    }
}

/// The address ranges with a class that are in the binary: privacy relays, and crawlers whose
/// operators publish where they come from. Sources and licences stand in `data/README.md`.
pub fn embedded_ranges() -> PrefixTable<ClassSet> {
    let rules = RANGES.iter().flat_map(|(class, text)| {
        parse_prefix_list(text).entries.into_iter().map(|prefix| (prefix, ClassSet::of(*class)))
    });
    PrefixTable::layered(rules, ClassSet::union)
}

const SEED: &str = include_str!("../data/asn-classes-seed.csv");
const DATACENTER: &str = include_str!("../data/x4bnet-datacenter-asn.txt");
const NOT_DATACENTER: &str = include_str!("../data/asn-not-datacenter.txt");
const VPN: &str = include_str!("../data/x4bnet-vpn-asn.txt");

const RANGES: [(NetworkClass, &str); 7] = [
    (NetworkClass::Relay, include_str!("../data/icloud-relay-ipv4.txt")),
    (NetworkClass::Relay, include_str!("../data/icloud-relay-ipv6.txt")),
    (NetworkClass::Crawler, include_str!("../data/googlebot-ipv4.txt")),
    (NetworkClass::Crawler, include_str!("../data/googlebot-ipv6.txt")),
    (NetworkClass::Crawler, include_str!("../data/bingbot-ipv4.txt")),
    (NetworkClass::Crawler, include_str!("../data/duckduckbot-ipv4.txt")),
    (NetworkClass::Crawler, include_str!("../data/openai-ipv4.txt")),
];

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::asn::Asn;
    use crate::special::special_use;

    #[test]
    fn every_line_of_the_embedded_data_is_read() {
        assert_eq!(parse_asn_classes(SEED).faults, []);
        for text in [DATACENTER, NOT_DATACENTER, VPN] {
            assert_eq!(parse_asn_list(text).faults, []);
        }
        for (_, text) in RANGES {
            assert_eq!(parse_prefix_list(text).faults, []);
        }
    }

    #[test]
    fn the_embedded_data_stays_below_a_mebibyte() {
        let lists = [SEED, DATACENTER, NOT_DATACENTER, VPN];
        let bytes: usize = lists.iter().map(|text| text.len()).sum::<usize>()
            + RANGES.iter().map(|(_, text)| text.len()).sum::<usize>();
        assert!(bytes < 1 << 20, "{bytes}");
    }

    #[test]
    fn a_network_is_dropped_only_where_it_is_listed() {
        let datacenter = parse_asn_list(DATACENTER).entries;
        let embedded = AsnClasses::embedded();
        for asn in parse_asn_list(NOT_DATACENTER).entries {
            assert!(datacenter.contains(&asn), "{asn} is not in the list any more");
            assert!(!embedded.classes(asn).contains(NetworkClass::Datacenter), "{asn}");
        }
    }

    #[test]
    fn known_networks_have_their_classes() {
        let embedded = AsnClasses::embedded();
        for (asn, classes) in [
            (14_593, &[NetworkClass::Satellite][..]),
            (21_928, &[NetworkClass::Mobile]),
            (16_509, &[NetworkClass::Datacenter]),
            (9_009, &[NetworkClass::Vpn, NetworkClass::Datacenter]),
            (401_401, &[NetworkClass::Vpn]),
            // Access providers: one that no list names, and two that one list names wrongly.
            (3_320, &[]),
            (29_119, &[]),
            (37_170, &[]),
        ] {
            let found: Vec<_> = embedded.classes(Asn(asn)).iter().collect();
            assert_eq!(found, classes, "AS{asn}");
        }
    }

    #[test]
    fn no_reserved_network_has_a_class() {
        for (asn, classes) in AsnClasses::embedded().iter() {
            assert!(!asn.is_reserved(), "{asn} {classes:?}");
        }
        assert_eq!(AsnClasses::embedded().classes(Asn(64_500)), ClassSet::EMPTY);
    }

    #[test]
    fn known_addresses_have_their_classes() {
        let ranges = embedded_ranges();
        for (address, classes) in [
            ("104.28.28.1", &[NetworkClass::Relay][..]),
            ("::ffff:104.28.28.1", &[NetworkClass::Relay]),
            ("2a02:26f7:b00a:4000::1", &[NetworkClass::Relay]),
            ("13.66.139.7", &[NetworkClass::Crawler]),
            ("2001:4860:4801:2::7", &[NetworkClass::Crawler]),
            ("4.144.182.50", &[NetworkClass::Crawler]),
            ("4.144.182.51", &[]),
            ("4.151.71.176", &[NetworkClass::Crawler]),
            ("192.0.2.1", &[]),
            ("2001:db8::1", &[]),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let found: Vec<_> = ranges.lookup(address).unwrap_or_default().iter().collect();
            assert_eq!(found, classes, "{address}");
        }
    }

    #[test]
    fn no_embedded_range_is_of_special_use() {
        for (_, text) in RANGES {
            for prefix in parse_prefix_list(text).entries {
                assert_eq!(special_use(prefix.address()), None, "{prefix}");
            }
        }
    }
}
