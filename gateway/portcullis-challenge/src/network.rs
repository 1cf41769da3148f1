//! Where a client is, and how far a token may travel.

use std::net::IpAddr;

/// The network that a client is in: its prefix, and the autonomous system that routes it where that
/// is known.
///
/// The prefix is the /24 of an IPv4 address and the /56 of an IPv6 address: what one household or
/// one office has, and no more than that, so that a token tells of its holder's address no more than
/// it must.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Network {
    /// 4 or 6; 0 for [`Network::ANYWHERE`].
    version: u8,
    prefix: [u8; PREFIX_BYTES],
    /// 0 when unknown: that number is reserved (RFC 7607).
    asn: u32,
}

impl Network {
    /// No network: for what is bound to none.
    pub const ANYWHERE: Self = Self { version: 0, prefix: [0; PREFIX_BYTES], asn: 0 };

    /// The network of an address. An IPv4 address that is mapped into IPv6 (RFC 4291 §2.5.5.2) is
    /// taken for what it is.
    #[must_use]
    pub const fn of(address: IpAddr, asn: Option<u32>) -> Self {
        let asn = match asn {
            Some(asn) => asn,
            None => 0,
        };
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self { version: 4, prefix: [a, b, c, 0, 0, 0, 0], asn }
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, ..] = address.octets();
                Self { version: 6, prefix: [a, b, c, d, e, f, g], asn }
            }
        }
    }

    /// What a client did that was here and is at `now`.
    #[must_use]
    pub fn moved_to(&self, now: &Self) -> Move {
        if self.version == now.version && self.prefix == now.prefix {
            Move::Stayed
        } else if self.version == 0 || now.version == 0 {
            Move::Elsewhere
        } else if self.asn != 0 && now.asn != 0 {
            if self.asn == now.asn { Move::SameSystem } else { Move::Elsewhere }
        } else if self.version != now.version {
            Move::OtherVersion
        } else {
            Move::Elsewhere
        }
    }

    /// The autonomous system, where it is known.
    pub(crate) const fn system(&self) -> Option<u32> {
        if self.asn == 0 { None } else { Some(self.asn) }
    }

    /// Version and prefix in one number.
    pub(crate) const fn prefix_number(&self) -> u64 {
        let [a, b, c, d, e, f, g] = self.prefix;
        u64::from_be_bytes([self.version, a, b, c, d, e, f, g])
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let number = u128::from(self.prefix_number()) << 32 | u128::from(self.asn);
        if let Some(tail) = number.to_be_bytes().last_chunk::<{ Self::BYTES }>() {
            bytes = *tail;
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let [version, a, b, c, d, e, f, g, asn @ ..] = bytes;
        matches!(version, 0 | 4 | 6).then_some(Self {
            version,
            prefix: [a, b, c, d, e, f, g],
            asn: u32::from_be_bytes(asn),
        })
    }

    pub(crate) const BYTES: usize = 1 + PREFIX_BYTES + 4;
}

/// How far a client moved since its token was issued.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Move {
    /// Not at all, or within its prefix.
    Stayed,
    /// To another prefix of the same autonomous system: another mast, another address of the same
    /// provider, from IPv4 to IPv6.
    SameSystem,
    /// From IPv4 to IPv6 or back, where one of the autonomous systems is unknown. A dual-stack client
    /// does that from one connection to the next (RFC 8305).
    OtherVersion,
    /// To another network.
    Elsewhere,
}

impl Move {
    /// The stable name, for audit lines and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stayed => "stayed",
            Self::SameSystem => "same-system",
            Self::OtherVersion => "other-version",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// How far the holder of a token may move with it. How often is the matter of
/// [`Budgets`](crate::Budgets).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tolerance {
    /// Within the prefix.
    Prefix,
    /// Within the autonomous system; where that is unknown, within the prefix or between IPv4 and IPv6.
    #[default]
    System,
    /// Everywhere: only the budget says when it is too often.
    Anywhere,
}

impl Tolerance {
    /// Whether a client that moved so far keeps its token.
    #[must_use]
    pub const fn accepts(self, moved: Move) -> bool {
        match self {
            Self::Prefix => matches!(moved, Move::Stayed),
            Self::System => !matches!(moved, Move::Elsewhere),
            Self::Anywhere => true,
        }
    }
}

/// The bytes of a /56; a /24 uses three of them.
const PREFIX_BYTES: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, asn: u32) -> Network {
        Network::of(address.parse().unwrap(), (asn != 0).then_some(asn))
    }

    #[test]
    fn a_move_is_judged_by_prefix_then_by_autonomous_system() {
        for (from, to, moved) in [
            (("192.0.2.1", 64496), ("192.0.2.200", 64496), Move::Stayed),
            // The same prefix, of which the data now says something else.
            (("192.0.2.1", 64496), ("192.0.2.1", 64497), Move::Stayed),
            (("192.0.2.1", 0), ("192.0.2.9", 0), Move::Stayed),
            (("2001:db8:0:1::1", 0), ("2001:db8:0:ff::2", 0), Move::Stayed),
            (("::ffff:192.0.2.1", 0), ("192.0.2.2", 0), Move::Stayed),
            (("192.0.2.1", 64496), ("198.51.100.1", 64496), Move::SameSystem),
            (("192.0.2.1", 64496), ("2001:db8::1", 64496), Move::SameSystem),
            (("2001:db8::1", 64496), ("2001:db8:0:100::1", 64496), Move::SameSystem),
            (("192.0.2.1", 0), ("2001:db8::1", 0), Move::OtherVersion),
            (("192.0.2.1", 64496), ("2001:db8::1", 0), Move::OtherVersion),
            (("192.0.2.1", 64496), ("198.51.100.1", 64497), Move::Elsewhere),
            (("192.0.2.1", 64496), ("2001:db8::1", 64497), Move::Elsewhere),
            (("192.0.2.1", 0), ("198.51.100.1", 0), Move::Elsewhere),
            (("192.0.2.1", 64496), ("198.51.100.1", 0), Move::Elsewhere),
        ] {
            let (from, to) = (network(from.0, from.1), network(to.0, to.1));
            assert_eq!(from.moved_to(&to), moved, "{from:?} to {to:?}");
            assert_eq!(to.moved_to(&from), moved, "and back");
        }
        assert_eq!(Network::ANYWHERE.moved_to(&Network::ANYWHERE), Move::Stayed);
        assert_eq!(Network::ANYWHERE.moved_to(&network("192.0.2.1", 0)), Move::Elsewhere);
    }

    #[test]
    fn a_network_reads_back_from_its_bytes() {
        for network in [network("192.0.2.1", 64496), network("2001:db8:1:2:3::1", 0), Network::ANYWHERE] {
            assert_eq!(Network::from_bytes(network.to_bytes()), Some(network));
        }
        assert_eq!(Network::from_bytes([5; Network::BYTES]), None);
    }

    #[test]
    fn each_tolerance_accepts_what_it_says() {
        for (tolerance, accepted) in [(Tolerance::Prefix, 1), (Tolerance::System, 3), (Tolerance::Anywhere, 4)] {
            let moves = [Move::Stayed, Move::SameSystem, Move::OtherVersion, Move::Elsewhere];
            assert_eq!(moves.into_iter().filter(|moved| tolerance.accepts(*moved)).count(), accepted, "{tolerance:?}");
        }
    }
}
