use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address belongs to no ordinary host on the internet.
///
/// From IANA's IPv4 and IPv6 special-purpose address registries (RFC 6890 and its updates), the
/// multicast blocks, and the space outside 2000::/3, which is not allocated (RFC 4291 §2.4). Where
/// ranges of a registry nest, the innermost names the address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SpecialUse {
    /// 0.0.0.0/32 (RFC 1122 §3.2.1.3) and ::/128 (RFC 4291 §2.5.2).
    Unspecified,
    /// 0.0.0.0/8: this network (RFC 791 §3.2).
    ThisNetwork,
    /// 127.0.0.0/8 (RFC 1122 §3.2.1.3) and ::1/128 (RFC 4291 §2.5.3).
    Loopback,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918).
    Private,
    /// fc00::/7: unique local (RFC 4193).
    UniqueLocal,
    /// 100.64.0.0/10: between an access provider and its customers (RFC 6598).
    Shared,
    /// 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291 §2.5.6).
    LinkLocal,
    /// 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 (RFC 5737), 2001:db8::/32 (RFC 3849) and
    /// 3fff::/20 (RFC 9637).
    Documentation,
    /// 198.18.0.0/15 (RFC 2544) and 2001:2::/48 (RFC 5180).
    Benchmarking,
    /// 224.0.0.0/4 (RFC 5771) and ff00::/8 (RFC 4291 §2.7).
    Multicast,
    /// 255.255.255.255/32 (RFC 8190, RFC 919 §7).
    Broadcast,
    /// 192.0.0.0/24 (RFC 6890 §2.1) and 2001::/23 (RFC 2928), less what is named apart.
    ProtocolAssignment,
    /// 192.31.196.0/24, 192.175.48.0/24, 2001:4:112::/48 and 2620:4f:8000::/48: sinks for
    /// reverse DNS (RFC 7534, RFC 7535).
    As112,
    /// 192.52.193.0/24 and 2001:3::/32: multicast tunnels (RFC 7450).
    Amt,
    /// 192.88.99.0/24: relays to 6to4, deprecated (RFC 7526).
    SixToFourRelay,
    /// 2002::/16: IPv6 over IPv4 (RFC 3056).
    SixToFour,
    /// 2001::/32: IPv6 over UDP over IPv4 (RFC 4380).
    Teredo,
    /// 64:ff9b::/96 (RFC 6052) and 64:ff9b:1::/48 (RFC 8215): IPv4 seen through a translator.
    Nat64,
    /// 2001:10::/28 (RFC 4843) and 2001:20::/28 (RFC 7343): hashes of keys, not routed.
    Orchid,
    /// 2001:30::/28: identity tags of drones (RFC 9374).
    DroneId,
    /// 100::/64 (RFC 6666) and 100:0:0:1::/64 (RFC 9780): what is sent there is dropped.
    DiscardOnly,
    /// 5f00::/16: segment identifiers (RFC 9602).
    SegmentRouting,
    /// 240.0.0.0/4 (RFC 1112 §4), and IPv6 outside 2000::/3 that nothing above names.
    Reserved,
}

impl SpecialUse {
    /// The name in logs, audit records and `lookup`: lower case, words joined by `-`.
    pub const fn name(self) -> &'static str {
        match self {
            SpecialUse::Unspecified => "unspecified",
            SpecialUse::ThisNetwork => "this-network",
            SpecialUse::Loopback => "loopback",
            SpecialUse::Private => "private",
            SpecialUse::UniqueLocal => "unique-local",
            SpecialUse::Shared => "shared",
            SpecialUse::LinkLocal => "link-local",
            SpecialUse::Documentation => "documentation",
            SpecialUse::Benchmarking => "benchmarking",
            SpecialUse::Multicast => "multicast",
            SpecialUse::Broadcast => "broadcast",
            SpecialUse::ProtocolAssignment => "protocol-assignment",
            SpecialUse::As112 => "as112",
            SpecialUse::Amt => "amt",
            SpecialUse::SixToFourRelay => "6to4-relay",
            SpecialUse::SixToFour => "6to4",
            SpecialUse::Teredo => "teredo",
            SpecialUse::Nat64 => "nat64",
            SpecialUse::Orchid => "orchid",
            SpecialUse::DroneId => "drone-id",
            SpecialUse::DiscardOnly => "discard-only",
            SpecialUse::SegmentRouting => "segment-routing",
            SpecialUse::Reserved => "reserved",
        }
    }
}

impl fmt::Display for SpecialUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The address that `address` stands for: an IPv4-mapped IPv6 address (`::ffff:192.0.2.1`, RFC 4291
/// §2.5.5.2) is the IPv4 address; every other is itself.
#[inline]
pub const fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => address,
        },
    }
}

/// The special use of `address`, or `None` for an ordinary address. Of the [`canonical`] address.
#[inline]
pub const fn special_use(address: IpAddr) -> Option<SpecialUse> {
    match canonical(address) {
        IpAddr::V4(v4) => special_use_v4(v4),
        IpAddr::V6(v6) => special_use_v6(v6),
    }
}

const fn special_use_v4(address: Ipv4Addr) -> Option<SpecialUse> {
    Some(match address.octets() {
        [0, 0, 0, 0] => SpecialUse::Unspecified,
        [0, ..] => SpecialUse::ThisNetwork,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => SpecialUse::Private,
        [100, 64..=127, ..] => SpecialUse::Shared,
        [127, ..] => SpecialUse::Loopback,
        [169, 254, ..] => SpecialUse::LinkLocal,
        [192, 0, 0, _] => SpecialUse::ProtocolAssignment,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => SpecialUse::Documentation,
        [192, 31, 196, _] | [192, 175, 48, _] => SpecialUse::As112,
        [192, 52, 193, _] => SpecialUse::Amt,
        [192, 88, 99, _] => SpecialUse::SixToFourRelay,
        [198, 18..=19, ..] => SpecialUse::Benchmarking,
        [224..=239, ..] => SpecialUse::Multicast,
        [255, 255, 255, 255] => SpecialUse::Broadcast,
        [240..=255, ..] => SpecialUse::Reserved,
        _ => return None,
    })
}

const fn special_use_v6(address: Ipv6Addr) -> Option<SpecialUse> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => SpecialUse::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => SpecialUse::Loopback,
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, ..] => SpecialUse::Nat64,
        [0x100, 0, 0, 0..=1, ..] => SpecialUse::DiscardOnly,
        [0x2001, 0, ..] => SpecialUse::Teredo,
        [0x2001, 2, 0, ..] => SpecialUse::Benchmarking,
        [0x2001, 3, ..] => SpecialUse::Amt,
        [0x2001, 4, 0x112, ..] | [0x2620, 0x4f, 0x8000, ..] => SpecialUse::As112,
        [0x2001, 0x10..=0x2f, ..] => SpecialUse::Orchid,
        [0x2001, 0x30..=0x3f, ..] => SpecialUse::DroneId,
        [0x2001, 0..=0x1ff, ..] => SpecialUse::ProtocolAssignment,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => SpecialUse::Documentation,
        [0x2002, ..] => SpecialUse::SixToFour,
        [0x5f00, ..] => SpecialUse::SegmentRouting,
        [0xfc00..=0xfdff, ..] => SpecialUse::UniqueLocal,
        [0xfe80..=0xfebf, ..] => SpecialUse::LinkLocal,
        [0xff00..=0xffff, ..] => SpecialUse::Multicast,
        [0x2000..=0x3fff, ..] => return None,
        _ => SpecialUse::Reserved,
    })
}
