//! The PROXY protocol header, versions 1 and 2: bytes in, addresses out.
//!
//! Source: "The PROXY protocol, versions 1 & 2", HAProxy, `doc/proxy-protocol.txt`; version 1 is its
//! §2.1 and version 2 its §2.2. This module parses only; who may send a header is decided by the
//! listener.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// The longest version 1 line in bytes, its CR LF included (§2.1); a longer one is refused.
pub const MAX_LINE_BYTES: usize = 107;

/// The longest version 2 payload in bytes, addresses and TLVs together; a longer one is refused.
///
/// The field could say 65535. Addresses need at most 216, and what load balancers add (authority,
/// unique id, endpoint ids) stays far below this.
pub const MAX_PAYLOAD_BYTES: u16 = 4096;

/// How far the bytes of a connection reach into its PROXY header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parsed {
    /// What is there is the beginning of a header, and the header goes on.
    NeedMore,
    /// The header is whole; the connection's own bytes start at `consumed`.
    Complete {
        /// Length of the header in bytes.
        consumed: usize,
        /// What the header says.
        header: Header,
    },
}

/// What a PROXY header says about the connection that it precedes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Header {
    /// The sender speaks for itself (`LOCAL`), or does not name a TCP client (`UNKNOWN`, `UNSPEC`,
    /// datagrams, Unix sockets): the address of the socket stands.
    Local,
    /// The sender relays a TCP connection.
    Relay {
        /// Who connected to the sender.
        source: SocketAddr,
        /// Where to.
        destination: SocketAddr,
    },
}

/// Why bytes are not a PROXY header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyError {
    /// The first bytes are neither `PROXY ` nor the version 2 signature.
    Missing,
    /// The version 1 line does not end within [`MAX_LINE_BYTES`].
    LongLine,
    /// A field of the version 1 line is absent or not of its form.
    Field(&'static str),
    /// The version 2 header states another version in its high nibble.
    Version(u8),
    /// The version 2 header states a command that is neither `LOCAL` nor `PROXY`.
    Command(u8),
    /// The version 2 header states an unassigned family or transport.
    Family(u8),
    /// The version 2 payload is longer than [`MAX_PAYLOAD_BYTES`].
    LongPayload(u16),
    /// The version 2 payload is shorter than the addresses of its family.
    ShortPayload {
        /// Bytes that the family needs.
        expected: u16,
        /// Bytes that the header announces.
        found: u16,
    },
}

/// Reads the PROXY header at the start of `bytes`.
///
/// # Errors
///
/// A [`ProxyError`] as soon as the bytes can no longer become a header. Never reads past
/// [`MAX_LINE_BYTES`], or 16 + [`MAX_PAYLOAD_BYTES`], bytes.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    if starts_alike(bytes, SIGNATURE) {
        return parse_binary(bytes);
    }
    if starts_alike(bytes, PREFIX) {
        return parse_line(bytes);
    }
    Err(ProxyError::Missing)
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "expected a PROXY header, but found other bytes"),
            Self::LongLine => {
                write!(f, "expected the PROXY line to end within {MAX_LINE_BYTES} bytes")
            }
            Self::Field(field) => write!(f, "expected a valid `{field}` in the PROXY line"),
            Self::Version(found) => {
                write!(f, "expected version 2 in the PROXY header, but found {found}")
            }
            Self::Command(found) => {
                write!(f, "expected command 0 or 1 in the PROXY header, but found {found}")
            }
            Self::Family(found) => {
                write!(f, "expected a known family and transport in the PROXY header, but found {found:#04x}")
            }
            Self::LongPayload(found) => {
                write!(f, "expected at most {MAX_PAYLOAD_BYTES} bytes after the PROXY header, but found {found}")
            }
            Self::ShortPayload { expected, found } => {
                write!(f, "expected {expected} bytes of addresses in the PROXY header, but found {found}")
            }
        }
    }
}

impl std::error::Error for ProxyError {}

/// Reads version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n` (§2.1).
fn parse_line(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let head = bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes);
    let Some(newline) = head.iter().position(|&byte| byte == b'\n') else {
        return if head.len() == MAX_LINE_BYTES { Err(ProxyError::LongLine) } else { Ok(Parsed::NeedMore) };
    };
    let line = head
        .get(PREFIX.len()..newline)
        .and_then(|line| line.strip_suffix(b"\r"))
        .ok_or(ProxyError::Field("line end"))?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Field("line"))?;
    let header = match line.split_once(' ') {
        Some(("TCP4", rest)) => relay::<Ipv4Addr>(rest)?,
        Some(("TCP6", rest)) => relay::<Ipv6Addr>(rest)?,
        // The receiver must ignore what follows UNKNOWN.
        Some(("UNKNOWN", _)) => Header::Local,
        None if line == "UNKNOWN" => Header::Local,
        _ => return Err(ProxyError::Field("protocol")),
    };
    Ok(Parsed::Complete { consumed: newline + 1, header })
}

/// Reads the four fields after `TCP4` or `TCP6`; exactly one space stands between two of them.
fn relay<A>(fields: &str) -> Result<Header, ProxyError>
where
    A: FromStr,
    std::net::IpAddr: From<A>,
{
    let mut fields = fields.split(' ');
    let mut address = |name| {
        let text = fields.next().ok_or(ProxyError::Field(name))?;
        text.parse::<A>().map(std::net::IpAddr::from).map_err(|_| ProxyError::Field(name))
    };
    let source = address("source address")?;
    let destination = address("destination address")?;
    let mut port = |name| fields.next().and_then(port).ok_or(ProxyError::Field(name));
    let source = SocketAddr::new(source, port("source port")?);
    let destination = SocketAddr::new(destination, port("destination port")?);
    match fields.next() {
        None => Ok(Header::Relay { source, destination }),
        Some(_) => Err(ProxyError::Field("line end")),
    }
}

/// A decimal port without sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// Reads version 2: signature, version and command, family and transport, length, payload (§2.2).
fn parse_binary(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let Some((_, rest)) = bytes.split_first_chunk::<12>() else { return Ok(Parsed::NeedMore) };
    let Some((&[version_command], rest)) = rest.split_first_chunk() else {
        return Ok(Parsed::NeedMore);
    };
    if version_command >> 4 != 2 {
        return Err(ProxyError::Version(version_command >> 4));
    }
    let local = match version_command & 0x0f {
        0 => true,
        1 => false,
        command => return Err(ProxyError::Command(command)),
    };
    let Some((&[family], rest)) = rest.split_first_chunk() else { return Ok(Parsed::NeedMore) };
    if family >> 4 > 3 || family & 0x0f > 2 {
        return Err(ProxyError::Family(family));
    }
    let Some((&length, rest)) = rest.split_first_chunk() else { return Ok(Parsed::NeedMore) };
    let length = u16::from_be_bytes(length);
    if length > MAX_PAYLOAD_BYTES {
        return Err(ProxyError::LongPayload(length));
    }
    // The addresses of a LOCAL header are to be ignored, so their length does not matter.
    let expected = if local { 0 } else { address_bytes(family) };
    if length < expected {
        return Err(ProxyError::ShortPayload { expected, found: length });
    }
    let Some(payload) = rest.get(..usize::from(length)) else { return Ok(Parsed::NeedMore) };
    let header = if local { Header::Local } else { relayed(family, payload) };
    Ok(Parsed::Complete { consumed: BINARY_HEADER_BYTES + usize::from(length), header })
}

/// The addresses of `family` at the start of `payload`; TLVs may follow and are passed over.
fn relayed(family: u8, payload: &[u8]) -> Header {
    match family {
        TCP_OVER_IPV4 => four_fields::<4>(payload),
        TCP_OVER_IPV6 => four_fields::<16>(payload),
        _ => None,
    }
    .map_or(Header::Local, |(source, destination)| Header::Relay { source, destination })
}

/// Two addresses of `N` bytes, then their two ports, all in network order.
fn four_fields<const N: usize>(payload: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    std::net::IpAddr: From<[u8; N]>,
{
    let (source, rest) = payload.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, _) = rest.split_first_chunk()?;
    let socket = |address: [u8; N], port: [u8; 2]| SocketAddr::new(address.into(), u16::from_be_bytes(port));
    Some((socket(*source, *source_port), socket(*destination, *destination_port)))
}

/// How many bytes of addresses a family has (§2.2).
const fn address_bytes(family: u8) -> u16 {
    match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    }
}

/// Whether the shorter of the two is a prefix of the longer.
fn starts_alike(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(a, b)| a == b)
}

const PREFIX: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const BINARY_HEADER_BYTES: usize = 16;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relay_of(source: &str, destination: &str) -> Header {
        Header::Relay { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn binary(version_command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version_command, family]);
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn ipv4_payload() -> Vec<u8> {
        [&[192, 0, 2, 1, 198, 51, 100, 1][..], &[0xdc, 0x04, 0x01, 0xbb]].concat()
    }

    fn ipv6_payload() -> Vec<u8> {
        let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let destination: Ipv6Addr = "2001:db8::2".parse().unwrap();
        [&source.octets()[..], &destination.octets(), &[0x80, 0, 0, 80]].concat()
    }

    fn whole_headers() -> Vec<(Vec<u8>, Header)> {
        let v4 = relay_of("192.0.2.1:56324", "198.51.100.1:443");
        let v6 = relay_of("[2001:db8::1]:32768", "[2001:db8::2]:80");
        let tlv = [ipv4_payload(), vec![0x04, 0, 3, 1, 2, 3]].concat();
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(), v4),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 32768 80\r\n".to_vec(), v6),
            (b"PROXY UNKNOWN\r\n".to_vec(), Header::Local),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Header::Local),
            (binary(0x21, 0x11, &ipv4_payload()), v4),
            (binary(0x21, 0x11, &tlv), v4),
            (binary(0x21, 0x21, &ipv6_payload()), v6),
            (binary(0x20, 0x00, &[]), Header::Local),
            (binary(0x20, 0x11, &[1, 2]), Header::Local),
            (binary(0x21, 0x00, &[9; 5]), Header::Local),
            (binary(0x21, 0x12, &ipv4_payload()), Header::Local),
            (binary(0x21, 0x31, &[b'/'; 216]), Header::Local),
        ]
    }

    #[test]
    fn whole_headers_are_read_and_the_bytes_after_them_left_alone() {
        for (bytes, header) in whole_headers() {
            let consumed = bytes.len();
            let wanted = Ok(Parsed::Complete { consumed, header });
            assert_eq!(parse(&bytes), wanted, "{}", bytes.escape_ascii());
            let followed = [&bytes[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(parse(&followed), wanted, "{} and more", bytes.escape_ascii());
        }
    }

    #[test]
    fn every_prefix_of_a_header_asks_for_more() {
        for (bytes, _) in whole_headers() {
            for end in 0..bytes.len() {
                let prefix = &bytes[..end];
                assert_eq!(parse(prefix), Ok(Parsed::NeedMore), "{}", prefix.escape_ascii());
            }
        }
    }

    #[test]
    fn a_faulty_line_is_refused_with_the_field_at_fault() {
        let check = |line: &str, error: ProxyError| {
            assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
        };
        for line in ["GET / HTTP/1.1\r\n", "proxy TCP4", "PROXX", "\r\n\r\n\0\r\nQUIX"] {
            check(line, ProxyError::Missing);
        }
        for (line, field) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n", "line end"),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n", "line end"),
            ("PROXY TCP5 192.0.2.1 198.51.100.1 56324 443\r\n", "protocol"),
            ("PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "protocol"),
            ("PROXY \r\n", "protocol"),
            ("PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n", "source address"),
            ("PROXY TCP4 192.0.02.1 198.51.100.1 56324 443\r\n", "source address"),
            ("PROXY TCP4 2001:db8::1 198.51.100.1 56324 443\r\n", "source address"),
            ("PROXY TCP6 2001:db8::1%eth0 2001:db8::2 1 2\r\n", "source address"),
            ("PROXY TCP4 192.0.2.1  198.51.100.1 56324 443\r\n", "destination address"),
            ("PROXY TCP4 192.0.2.1\r\n", "destination address"),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n", "source port"),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n", "source port"),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 01 443\r\n", "source port"),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n", "destination port"),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 \r\n", "destination port"),
        ] {
            check(line, ProxyError::Field(field));
        }
        assert_eq!(parse(b"PROXY \xff\xfe\r\n"), Err(ProxyError::Field("line")));
    }

    #[test]
    fn a_line_that_does_not_end_is_refused_at_its_bound() {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(MAX_LINE_BYTES - 1, b'x');
        assert_eq!(parse(&line), Ok(Parsed::NeedMore));
        line.push(b'x');
        assert_eq!(parse(&line), Err(ProxyError::LongLine));
        line.extend(b"\r\n");
        assert_eq!(parse(&line), Err(ProxyError::LongLine));
    }

    #[test]
    fn a_faulty_binary_header_is_refused_as_soon_as_it_shows() {
        let start = |fields: &[u8]| [SIGNATURE, fields].concat();
        for (bytes, error) in [
            (start(&[0x11]), ProxyError::Version(1)),
            (start(&[0x31]), ProxyError::Version(3)),
            (start(&[0x22]), ProxyError::Command(2)),
            (start(&[0x21, 0x41]), ProxyError::Family(0x41)),
            (start(&[0x21, 0x13]), ProxyError::Family(0x13)),
            (start(&[0x21, 0x11, 0x10, 0x01]), ProxyError::LongPayload(4097)),
            (start(&[0x21, 0x11, 0, 11]), ProxyError::ShortPayload { expected: 12, found: 11 }),
            (start(&[0x21, 0x21, 0, 35]), ProxyError::ShortPayload { expected: 36, found: 35 }),
            (start(&[0x21, 0x31, 0, 99]), ProxyError::ShortPayload { expected: 216, found: 99 }),
        ] {
            assert_eq!(parse(&bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn an_error_says_what_was_expected_and_what_was_found() {
        for (error, text) in [
            (ProxyError::Field("source port"), "expected a valid `source port` in the PROXY line"),
            (
                ProxyError::ShortPayload { expected: 12, found: 11 },
                "expected 12 bytes of addresses in the PROXY header, but found 11",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_never_consume_past_their_end(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            lead in 0..3usize,
        ) {
            let lead = [&b""[..], PREFIX, SIGNATURE][lead];
            let bytes = [lead, &bytes].concat();
            if let Ok(Parsed::Complete { consumed, .. }) = parse(&bytes) {
                prop_assert!(consumed <= bytes.len());
            }
        }

        #[test]
        fn what_another_implementation_writes_is_read(
            source: [u8; 4], destination: [u8; 4], ports: [u16; 2],
        ) {
            let addresses = ppp::v2::IPv4::new(source, destination, ports[0], ports[1]);
            let bytes = ppp::v2::Builder::with_addresses(
                ppp::v2::Version::Two | ppp::v2::Command::Proxy,
                ppp::v2::Protocol::Stream,
                addresses,
            ).build().unwrap();
            let header = Header::Relay {
                source: (source, ports[0]).into(),
                destination: (destination, ports[1]).into(),
            };
            prop_assert_eq!(parse(&bytes), Ok(Parsed::Complete { consumed: bytes.len(), header }));
            let line = ppp::v1::Addresses::new_tcp4(source, destination, ports[0], ports[1]).to_string();
            let wanted = Parsed::Complete { consumed: line.len(), header };
            prop_assert_eq!(parse(line.as_bytes()), Ok(wanted));
        }
    }
}
