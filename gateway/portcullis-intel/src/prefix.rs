use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;

use crate::special::canonical;

/// A network: an address and how many of its leading bits count (CIDR, RFC 4632 §3.1).
///
/// Always canonical: bits past the length are zero, and a network of IPv4-mapped addresses is the
/// IPv4 network. So equal networks are equal values.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The network that `address` is counted with: /24 of IPv4, /56 of IPv6.
    ///
    /// Whoever holds one address of it can most often take another: an IPv6 household gets a /56
    /// (RFC 6177), and IPv4 pools and small hosting orders come in blocks of up to a /24, the
    /// longest that is routed.
    pub fn of(address: IpAddr) -> Self {
        match canonical(address) {
            IpAddr::V4(v4) => Prefix::v4(v4, TRACKED_LENGTH_V4),
            IpAddr::V6(v6) => Prefix::v6(v6, TRACKED_LENGTH_V6),
        }
    }

    /// The network of `length` bits around `address`; bits past the length are dropped.
    ///
    /// # Errors
    ///
    /// A length above 32 for IPv4 or 128 for IPv6.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        match address {
            IpAddr::V4(_) if length > 32 => Err(PrefixError::Length { length, most: 32 }),
            IpAddr::V6(_) if length > 128 => Err(PrefixError::Length { length, most: 128 }),
            IpAddr::V4(v4) => Ok(Prefix::v4(v4, length)),
            IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), length.checked_sub(96)) {
                (Some(v4), Some(length)) => Ok(Prefix::v4(v4, length)),
                _ => Ok(Prefix::v6(v6, length)),
            },
        }
    }

    /// The network of this one address: /32 or /128.
    pub fn host(address: IpAddr) -> Self {
        match canonical(address) {
            IpAddr::V4(v4) => Prefix::v4(v4, 32),
            IpAddr::V6(v6) => Prefix::v6(v6, 128),
        }
    }

    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits count: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether the [`canonical`] form of `address` is in this network.
    ///
    /// IPv4 and IPv6 are apart: `::/0` holds no IPv4-mapped address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, canonical(address)) {
            (IpAddr::V4(own), IpAddr::V4(v4)) => Prefix::v4(v4, self.length).address == own,
            (IpAddr::V6(own), IpAddr::V6(v6)) => Prefix::v6(v6, self.length).address == own,
            _ => false,
        }
    }

    // INVARIANT: `length` is at most 32 here and at most 128 below.
    fn v4(address: Ipv4Addr, length: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        Prefix { address: Ipv4Addr::from_bits(address.to_bits() & mask).into(), length }
    }

    fn v6(address: Ipv6Addr, length: u8) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        Prefix { address: Ipv6Addr::from_bits(address.to_bits() & mask).into(), length }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({self})")
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `192.0.2.0/24`, or one address; bits past the length are dropped.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let unreadable = || PrefixError::Text { text: text.to_owned() };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| unreadable())?;
        match length {
            None => Ok(Prefix::host(address)),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Prefix::new(address, digits.parse().map_err(|_| unreadable())?)
            }
            Some(_) => Err(unreadable()),
        }
    }
}

impl From<IpNetwork> for Prefix {
    fn from(network: IpNetwork) -> Self {
        match network {
            IpNetwork::V4(v4) => Prefix::v4(v4.ip(), v4.prefix()),
            IpNetwork::V6(v6) => match (v6.ip().to_ipv4_mapped(), v6.prefix().checked_sub(96)) {
                (Some(mapped), Some(length)) => Prefix::v4(mapped, length),
                _ => Prefix::v6(v6.ip(), v6.prefix()),
            },
        }
    }
}

/// Why something is not a network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PrefixError {
    /// The text is neither an address nor an address with a length.
    Text {
        /// What was found.
        text: String,
    },
    /// The length is longer than the address.
    Length {
        /// The length, in bits.
        length: u8,
        /// The longest of this address family, in bits.
        most: u8,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Text { text } => write!(
                f,
                "expected an address or a network such as `192.0.2.0/24` or `2001:db8::/32`, but \
                 found `{text}`"
            ),
            PrefixError::Length { length, most } => {
                write!(f, "expected a length of at most `/{most}`, but found `/{length}`")
            }
        }
    }
}

impl std::error::Error for PrefixError {}

const TRACKED_LENGTH_V4: u8 = 24;
const TRACKED_LENGTH_V6: u8 = 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_with_its_24_or_56() {
        for (address, prefix) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("255.255.255.255", "255.255.255.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2ff:a:b:c:d", "2001:db8:1:200::/56"),
            ("::", "::/56"),
        ] {
            assert_eq!(Prefix::of(address.parse().unwrap()).to_string(), prefix, "{address}");
        }
    }

    #[test]
    fn a_network_is_read_and_written_in_its_canonical_form() {
        for (text, written) in [
            ("192.0.2.1/24", Some("192.0.2.0/24")),
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("192.0.2.1/0", Some("0.0.0.0/0")),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("2001:db8::1/0", Some("::/0")),
            ("::ffff:192.0.2.1/120", Some("192.0.2.0/24")),
            ("::ffff:192.0.2.1", Some("192.0.2.1/32")),
            ("::ffff:0.0.0.0/96", Some("0.0.0.0/0")),
            ("::ffff:0.0.0.0/95", Some("::fffe:0:0/95")),
            ("192.0.2.0/33", None),
            ("2001:db8::/129", None),
            ("192.0.2.0/", None),
            ("192.0.2.0/+8", None),
            ("192.0.2.0/999", None),
            ("192.0.2/24", None),
            ("192.0.02.0/24", None),
            ("fe80::1%eth0", None),
            ("", None),
        ] {
            let read = text.parse::<Prefix>().ok().map(|prefix| prefix.to_string());
            assert_eq!(read.as_deref(), written, "`{text}`");
            if let (Some(written), Ok(network)) = (written, text.parse::<IpNetwork>()) {
                assert_eq!(Prefix::from(network).to_string(), written, "`{text}`");
            }
        }
    }

    #[test]
    fn a_network_contains_its_first_and_last_address_and_not_their_neighbours() {
        for (network, address, inside) in [
            ("192.0.2.0/25", "192.0.2.0", true),
            ("192.0.2.0/25", "192.0.2.127", true),
            ("192.0.2.0/25", "192.0.2.128", false),
            ("192.0.2.0/25", "192.0.1.255", false),
            ("192.0.2.0/25", "::ffff:192.0.2.1", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "2001:db8::", false),
            ("::/0", "2001:db8::", true),
            ("::/0", "::ffff:192.0.2.1", false),
            ("2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db8::/32", "2001:db9::", false),
        ] {
            let network: Prefix = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn the_errors_say_what_was_expected() {
        assert_eq!(
            "192.0.2.0/33".parse::<Prefix>().unwrap_err().to_string(),
            "expected a length of at most `/32`, but found `/33`"
        );
        assert_eq!(
            "shop.example".parse::<Prefix>().unwrap_err().to_string(),
            "expected an address or a network such as `192.0.2.0/24` or `2001:db8::/32`, but \
             found `shop.example`"
        );
    }
}
