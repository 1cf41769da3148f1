use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_intel::SpecialUse::*;
use portcullis_intel::{Prefix, SpecialUse, canonical, special_use};

/// The ranges of IANA's special-purpose registries, the multicast blocks, and, as
/// `Reserved`, the space that RFC 4291 leaves. `None` is ordinary space inside a range.
const REGISTRY: [(&str, Option<SpecialUse>); 59] = [
    ("0.0.0.0/8", Some(ThisNetwork)),
    ("0.0.0.0/32", Some(Unspecified)),
    ("10.0.0.0/8", Some(Private)),
    ("100.64.0.0/10", Some(Shared)),
    ("127.0.0.0/8", Some(Loopback)),
    ("169.254.0.0/16", Some(LinkLocal)),
    ("172.16.0.0/12", Some(Private)),
    ("192.0.0.0/24", Some(ProtocolAssignment)),
    ("192.0.0.0/29", Some(ProtocolAssignment)),
    ("192.0.0.8/32", Some(ProtocolAssignment)),
    ("192.0.0.9/32", Some(ProtocolAssignment)),
    ("192.0.0.10/32", Some(ProtocolAssignment)),
    ("192.0.0.170/31", Some(ProtocolAssignment)),
    ("192.0.2.0/24", Some(Documentation)),
    ("192.31.196.0/24", Some(As112)),
    ("192.52.193.0/24", Some(Amt)),
    ("192.88.99.0/24", Some(SixToFourRelay)),
    ("192.88.99.2/32", Some(SixToFourRelay)),
    ("192.168.0.0/16", Some(Private)),
    ("192.175.48.0/24", Some(As112)),
    ("198.18.0.0/15", Some(Benchmarking)),
    ("198.51.100.0/24", Some(Documentation)),
    ("203.0.113.0/24", Some(Documentation)),
    ("224.0.0.0/4", Some(Multicast)),
    ("240.0.0.0/4", Some(Reserved)),
    ("255.255.255.255/32", Some(Broadcast)),
    ("::/0", Some(Reserved)),
    ("::/128", Some(Unspecified)),
    ("::1/128", Some(Loopback)),
    ("64:ff9b::/96", Some(Nat64)),
    ("64:ff9b:1::/48", Some(Nat64)),
    ("100::/64", Some(DiscardOnly)),
    ("100:0:0:1::/64", Some(DiscardOnly)),
    ("2000::/3", None),
    ("2001::/23", Some(ProtocolAssignment)),
    ("2001::/32", Some(Teredo)),
    ("2001:1::1/128", Some(ProtocolAssignment)),
    ("2001:1::2/128", Some(ProtocolAssignment)),
    ("2001:1::3/128", Some(ProtocolAssignment)),
    ("2001:2::/48", Some(Benchmarking)),
    ("2001:3::/32", Some(Amt)),
    ("2001:4:112::/48", Some(As112)),
    ("2001:10::/28", Some(Orchid)),
    ("2001:20::/28", Some(Orchid)),
    ("2001:30::/28", Some(DroneId)),
    ("2001:db8::/32", Some(Documentation)),
    ("2002::/16", Some(SixToFour)),
    ("2620:4f:8000::/48", Some(As112)),
    ("3fff::/20", Some(Documentation)),
    ("4000::/2", Some(Reserved)),
    ("5f00::/16", Some(SegmentRouting)),
    ("8000::/2", Some(Reserved)),
    ("fc00::/7", Some(UniqueLocal)),
    ("fd00::/8", Some(UniqueLocal)),
    ("fe00::/9", Some(Reserved)),
    ("fe80::/10", Some(LinkLocal)),
    ("fec0::/10", Some(Reserved)),
    ("ff00::/8", Some(Multicast)),
    ("ff02::/16", Some(Multicast)),
];

/// What the registry says: the innermost of its ranges.
fn by_registry(address: IpAddr) -> Option<SpecialUse> {
    REGISTRY
        .iter()
        .map(|(text, special)| (text.parse::<Prefix>().unwrap(), *special))
        .filter(|(prefix, _)| prefix.contains(address))
        .max_by_key(|(prefix, _)| prefix.length())
        .and_then(|(_, special)| special)
}

/// The first and last address of a range, and the ones before and after it where there are any.
fn edges(prefix: Prefix) -> Vec<IpAddr> {
    let length = u32::from(prefix.length());
    match prefix.address() {
        IpAddr::V4(address) => {
            let first = address.to_bits();
            let last = first | u32::MAX.checked_shr(length).unwrap_or(0);
            [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)]
                .into_iter()
                .flatten()
                .map(|bits| Ipv4Addr::from_bits(bits).into())
                .collect()
        }
        IpAddr::V6(address) => {
            let first = address.to_bits();
            let last = first | u128::MAX.checked_shr(length).unwrap_or(0);
            [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)]
                .into_iter()
                .flatten()
                .map(|bits| Ipv6Addr::from_bits(bits).into())
                .collect()
        }
    }
}

#[test]
fn every_range_of_the_registries_holds_at_its_edges_and_not_beyond() {
    for (text, _) in REGISTRY {
        for address in edges(text.parse().unwrap()) {
            // IPv4-mapped space lies beside ranges of ::/0 and is IPv4.
            if canonical(address) == address {
                assert_eq!(special_use(address), by_registry(address), "{address}, edge of {text}");
            }
        }
    }
}

#[test]
fn an_address_is_named_by_what_it_is_for() {
    for (address, special) in [
        ("127.0.0.1", Some(Loopback)),
        ("192.168.1.1", Some(Private)),
        ("172.15.255.255", None),
        ("172.32.0.0", None),
        ("100.63.255.255", None),
        ("100.64.0.1", Some(Shared)),
        ("100.128.0.0", None),
        ("169.254.169.254", Some(LinkLocal)),
        ("0.0.0.0", Some(Unspecified)),
        ("0.1.2.3", Some(ThisNetwork)),
        ("255.255.255.254", Some(Reserved)),
        ("8.8.8.8", None),
        ("::", Some(Unspecified)),
        ("::1", Some(Loopback)),
        ("::2", Some(Reserved)),
        ("::192.0.2.1", Some(Reserved)),
        ("::ffff:127.0.0.1", Some(Loopback)),
        ("::ffff:192.168.1.1", Some(Private)),
        ("::ffff:8.8.8.8", None),
        ("::ffff:0:8.8.8.8", Some(Reserved)),
        ("64:ff9b::8.8.8.8", Some(Nat64)),
        ("64:ff9b:0:1::", Some(Reserved)),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some(Teredo)),
        ("2002:c000:204::1", Some(SixToFour)),
        ("2001:200::1", None),
        ("2001:4860:4860::8888", None),
        ("2001:db8::1", Some(Documentation)),
        ("3fff:1000::", None),
        ("fd12:3456:789a::1", Some(UniqueLocal)),
        ("fe80::1", Some(LinkLocal)),
        ("fec0::1", Some(Reserved)),
        ("ff02::1", Some(Multicast)),
    ] {
        assert_eq!(special_use(address.parse().unwrap()), special, "{address}");
    }
}

#[test]
fn an_ipv4_mapped_address_is_the_ipv4_address_and_no_other_is() {
    for (address, meant) in [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("::192.0.2.1", "::192.0.2.1"),
        ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.1"),
        ("::fffe:c000:201", "::fffe:c000:201"),
        ("2001:db8::ffff:192.0.2.1", "2001:db8::ffff:192.0.2.1"),
    ] {
        let meant: IpAddr = meant.parse().unwrap();
        assert_eq!(canonical(address.parse().unwrap()), meant, "{address}");
    }
}
