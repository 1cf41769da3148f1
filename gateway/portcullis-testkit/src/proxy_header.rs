//! PROXY protocol headers, as a load balancer would send them before the first byte.
//!
//! Source: the PROXY protocol specification of HAProxy, §2.1 (version 1) and §2.2 (version 2).

use std::net::{IpAddr, SocketAddr};

/// A version 1 header for a TCP connection from `source` to `destination`.
///
/// # Panics
///
/// When one is IPv4 and the other IPv6.
#[must_use]
pub fn v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = match (source.ip(), destination.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        _ => panic!("expected addresses of one family, but found {source} and {destination}"),
    };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// A version 1 header that names no address.
#[must_use]
pub fn v1_unknown() -> Vec<u8> {
    b"PROXY UNKNOWN\r\n".to_vec()
}

/// A version 2 header for a TCP connection from `source` to `destination`, followed by `tlvs`
/// (type and value of each).
///
/// # Panics
///
/// When one is IPv4 and the other IPv6, or the values are longer than 65,535 bytes in all.
#[must_use]
pub fn v2(source: SocketAddr, destination: SocketAddr, tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    let family = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            block.extend(from.octets().into_iter().chain(to.octets()));
            TCP_OVER_IPV4
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            block.extend(from.octets().into_iter().chain(to.octets()));
            TCP_OVER_IPV6
        }
        _ => panic!("expected addresses of one family, but found {source} and {destination}"),
    };
    block.extend(source.port().to_be_bytes());
    block.extend(destination.port().to_be_bytes());
    for (kind, value) in tlvs {
        block.push(*kind);
        block.extend(length(value).to_be_bytes());
        block.extend_from_slice(value);
    }
    v2_of(COMMAND_PROXY, family, &block)
}

/// A version 2 header of the proxy's own connection, such as a health check.
#[must_use]
pub fn v2_local() -> Vec<u8> {
    v2_of(COMMAND_LOCAL, UNSPECIFIED, &[])
}

fn v2_of(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(length(block).to_be_bytes());
    header.extend_from_slice(block);
    header
}

fn length(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).expect("a PROXY header field is at most 65,535 bytes")
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const COMMAND_LOCAL: u8 = 0x20;
const COMMAND_PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_that_another_parser_reads() {
        for (source, destination) in [("192.0.2.1:4711", "192.0.2.2:443"), ("[2001:db8::1]:4711", "[2001:db8::2]:443")]
        {
            let (source, destination): (SocketAddr, SocketAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());

            let text = v1(source, destination);
            let read = ppp::v1::Header::try_from(text.as_slice()).unwrap();
            let addresses = match read.addresses {
                ppp::v1::Addresses::Tcp4(a) => (
                    (IpAddr::V4(a.source_address), a.source_port),
                    (IpAddr::V4(a.destination_address), a.destination_port),
                ),
                ppp::v1::Addresses::Tcp6(a) => (
                    (IpAddr::V6(a.source_address), a.source_port),
                    (IpAddr::V6(a.destination_address), a.destination_port),
                ),
                ppp::v1::Addresses::Unknown => panic!("the header names addresses"),
            };
            assert_eq!(addresses, ((source.ip(), source.port()), (destination.ip(), destination.port())));

            let bytes = v2(source, destination, &[(0x02, b"shop.example")]);
            let read = ppp::v2::Header::try_from(bytes.as_slice()).unwrap();
            let addresses = match read.addresses {
                ppp::v2::Addresses::IPv4(a) => (
                    (IpAddr::V4(a.source_address), a.source_port),
                    (IpAddr::V4(a.destination_address), a.destination_port),
                ),
                ppp::v2::Addresses::IPv6(a) => (
                    (IpAddr::V6(a.source_address), a.source_port),
                    (IpAddr::V6(a.destination_address), a.destination_port),
                ),
                other => panic!("the header names addresses, not {other:?}"),
            };
            assert_eq!(addresses, ((source.ip(), source.port()), (destination.ip(), destination.port())));
            assert_eq!(read.tlvs().count(), 1);
            assert_eq!(read.len(), bytes.len());
        }
    }

    #[test]
    fn headers_without_an_address_are_read_as_such() {
        let text = v1_unknown();
        let read = ppp::v1::Header::try_from(text.as_slice()).unwrap();
        assert_eq!(read.addresses, ppp::v1::Addresses::Unknown);
        let bytes = v2_local();
        let read = ppp::v2::Header::try_from(bytes.as_slice()).unwrap();
        assert_eq!(read.command, ppp::v2::Command::Local);
    }
}
