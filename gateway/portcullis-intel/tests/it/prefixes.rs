use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_intel::{Prefix, PrefixTable};
use proptest::prelude::*;

/// The value of the longest prefix around `address`; of equal ones, the last.
fn naive(rules: &[(Prefix, u16)], address: IpAddr) -> Option<u16> {
    rules
        .iter()
        .filter(|(prefix, _)| prefix.contains(address))
        .max_by_key(|(prefix, _)| prefix.length())
        .map(|(_, value)| *value)
}

fn check(rules: &[(&str, u16)], rows: &[(&str, Option<u16>)]) {
    let rules: Vec<(Prefix, u16)> = rules.iter().map(|(prefix, value)| (prefix.parse().unwrap(), *value)).collect();
    let table = PrefixTable::build(rules.iter().copied());
    for (address, value) in rows {
        let address = address.parse().unwrap();
        assert_eq!(table.lookup(address), *value, "{address}");
        assert_eq!(naive(&rules, address), *value, "{address}, naively");
    }
}

#[test]
fn the_longest_prefix_wins_whatever_the_order() {
    let rows = [
        ("203.0.112.255", Some(1)),
        ("203.0.113.0", Some(2)),
        ("203.0.113.127", Some(2)),
        ("203.0.113.128", Some(3)),
        ("203.0.113.129", Some(4)),
        ("203.0.113.130", Some(3)),
        ("203.0.113.255", Some(3)),
        ("203.0.114.0", Some(1)),
        ("204.0.0.0", None),
        ("::ffff:203.0.113.129", Some(4)),
        ("2001:db8::1", None),
    ];
    let mut rules = [("203.0.0.0/8", 1), ("203.0.113.0/24", 2), ("203.0.113.128/25", 3), ("203.0.113.129/32", 4)];
    check(&rules, &rows);
    rules.reverse();
    check(&rules, &rows);
}

#[test]
fn prefixes_longer_than_64_win_over_shorter_ones() {
    check(
        &[("2001:db8::/32", 1), ("2001:db8::/64", 2), ("2001:db8::/65", 3), ("2001:db8::7/128", 4)],
        &[
            ("2001:db8::7", Some(4)),
            ("2001:db8::8", Some(3)),
            ("2001:db8::7fff:ffff:ffff:ffff", Some(3)),
            ("2001:db8::8000:0:0:0", Some(2)),
            ("2001:db8:0:1::", Some(1)),
            ("2001:db9::", None),
        ],
    );
}

#[test]
fn the_ends_of_the_address_space_are_prefixes_like_others() {
    check(
        &[("0.0.0.0/0", 1), ("0.0.0.0/32", 2), ("255.255.255.255/32", 3), ("::/0", 4)],
        &[
            ("0.0.0.0", Some(2)),
            ("0.0.0.1", Some(1)),
            ("255.255.255.254", Some(1)),
            ("255.255.255.255", Some(3)),
            ("::", Some(4)),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(4)),
        ],
    );
    check(
        &[("255.255.255.255/32", 3), ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", 5)],
        &[
            ("255.255.255.254", None),
            ("255.255.255.255", Some(3)),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", None),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(5)),
        ],
    );
}

#[test]
fn an_empty_table_knows_nothing() {
    let table = PrefixTable::<u16>::default();
    assert!(table.is_empty());
    assert_eq!(table.heap_bytes(), 0);
    check(&[], &[("192.0.2.1", None), ("255.255.255.255", None), ("2001:db8::1", None)]);
}

#[test]
fn of_the_same_prefix_given_twice_the_later_value_holds() {
    let rules =
        [("192.0.2.0/24", 1), ("192.0.2.0/24", 2)].map(|(prefix, value)| (prefix.parse::<Prefix>().unwrap(), value));
    let table = PrefixTable::build(rules);
    assert_eq!(table.lookup("192.0.2.1".parse().unwrap()), Some(2));
}

#[test]
fn values_of_nested_prefixes_can_be_combined() {
    let rules = [
        ("192.0.2.1/32", 4),
        ("192.0.2.0/24", 2),
        ("192.0.0.0/16", 1),
        ("192.0.2.0/24", 8),
        ("2001:db8::/32", 1),
        ("2001:db8::1/128", 2),
        ("2001:db8::/96", 4),
    ]
    .map(|(prefix, value)| (prefix.parse::<Prefix>().unwrap(), value));
    let table = PrefixTable::layered(rules, |outer: u8, inner| outer | inner);
    for (address, value) in [
        ("192.0.2.1", 15),
        ("192.0.2.2", 11),
        ("192.0.3.1", 1),
        ("2001:db8::1", 7),
        ("2001:db8::2", 5),
        ("2001:db8::1:0:0:1", 1),
    ] {
        assert_eq!(table.lookup(address.parse().unwrap()), Some(value), "{address}");
    }
}

#[test]
fn a_large_table_takes_at_most_sixteen_bytes_a_rule() {
    let rules = (0..100_000u32).map(|n| {
        let address = Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b9));
        (Prefix::new(address.into(), 24).unwrap(), n as u16)
    });
    let bytes = PrefixTable::build(rules).heap_bytes();
    assert!(bytes <= 1_600_000, "{bytes}");
}

#[test]
fn a_crowded_network_is_searched_as_rightly_as_a_sparse_one() {
    let rules: Vec<(Prefix, u16)> =
        (0..4096u16).map(|n| (Prefix::host(Ipv4Addr::new(192, 0, (n >> 7) as u8, (n << 1) as u8).into()), n)).collect();
    let table = PrefixTable::build(rules.iter().copied());
    for (prefix, value) in &rules {
        let IpAddr::V4(address) = prefix.address() else { panic!("not IPv4: {prefix}") };
        assert_eq!(table.lookup(address.into()), Some(*value), "{address}");
        let after = Ipv4Addr::from_bits(address.to_bits() + 1);
        assert_eq!(table.lookup(after.into()), None, "{after}");
    }
}

/// Addresses of which many share leading bits, so that prefixes nest and touch.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = (prop::sample::select(vec![0u32, 0xc000_0200, 0xcb00_7100, 0xffff_ff00]), 0u32..=0x1ff)
        .prop_map(|(base, low)| IpAddr::V4(Ipv4Addr::from_bits(base.wrapping_add(low))));
    let v6 = (prop::sample::select(vec![0u128, 0x2001_0db8, 0xffff_ffff]), 0u128..4, 0u128..4, 0u128..4).prop_map(
        |(base, high, middle, low)| IpAddr::V6(Ipv6Addr::from_bits(base << 96 | high << 64 | middle << 62 | low)),
    );
    prop_oneof![v4, v6, any::<Ipv4Addr>().prop_map(IpAddr::V4), any::<Ipv6Addr>().prop_map(IpAddr::V6)]
}

fn rule() -> impl Strategy<Value = (Prefix, u16)> {
    (address(), 0u8..=128, 0u16..4).prop_map(|(address, length, value)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (Prefix::new(address, length % (most + 1)).unwrap(), value)
    })
}

proptest! {
    #[test]
    fn the_table_answers_as_a_naive_search_does(
        rules in prop::collection::vec(rule(), 0..80),
        addresses in prop::collection::vec(address(), 0..60),
    ) {
        let table = PrefixTable::build(rules.iter().copied());
        let starts = rules.iter().map(|(prefix, _)| prefix.address());
        for address in addresses.iter().copied().chain(starts) {
            prop_assert_eq!(table.lookup(address), naive(&rules, address), "{}", address);
        }
    }

    #[test]
    fn many_rules_in_one_block_answer_as_a_naive_search_does(
        lows in prop::collection::vec((0u32..4096, 20u8..=32, 0u16..3), 40..300),
    ) {
        let rules: Vec<(Prefix, u16)> = lows
            .iter()
            .map(|(low, length, value)| {
                let address = Ipv4Addr::from_bits(0xc000_0000 | low);
                (Prefix::new(address.into(), *length).unwrap(), *value)
            })
            .collect();
        let table = PrefixTable::build(rules.iter().copied());
        for low in (0..4096).step_by(7) {
            let address = Ipv4Addr::from_bits(0xc000_0000 | low).into();
            prop_assert_eq!(table.lookup(address), naive(&rules, address), "{}", address);
        }
    }
}
