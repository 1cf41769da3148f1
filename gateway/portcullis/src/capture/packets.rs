//! A packet of some link to the TCP segment in it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::Linktype;

/// A link whose packets are read (the LINKTYPE registry of tcpdump.org).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Link {
    /// Ethernet, with or without VLAN tags.
    Ethernet,
    /// Nothing in front of IP.
    RawIp,
    /// A four-byte address family in front of IP: BSD's loopback.
    Loopback,
    /// Linux "cooked", as captures on `any` have it.
    Cooked,
    /// The same, version 2.
    Cooked2,
}

impl Link {
    pub(super) fn of(link: Linktype) -> Option<Self> {
        match link {
            Linktype::ETHERNET => Some(Self::Ethernet),
            // The second is what OpenBSD wrote for the first.
            Linktype::RAW | Linktype(12) | Linktype::IPV4 | Linktype::IPV6 => Some(Self::RawIp),
            Linktype::NULL | Linktype::LOOP => Some(Self::Loopback),
            Linktype::LINUX_SLL => Some(Self::Cooked),
            Linktype::LINUX_SLL2 => Some(Self::Cooked2),
            _ => None,
        }
    }
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// The sequence number of the first byte, of the SYN where there is one (RFC 9293 §3.1).
    pub(super) sequence: u32,
    pub(super) opens: Opens,
    pub(super) payload: &'a [u8],
}

/// Whether a segment opens a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Opens {
    /// SYN without ACK: who sends it is the client.
    AsClient,
    /// SYN with ACK.
    AsServer,
    No,
}

/// The segment in a packet; none where it holds something else, or only a part of one.
pub(super) fn segment(link: Link, packet: &[u8]) -> Option<Segment<'_>> {
    let sliced = match link {
        Link::Ethernet => LaxSlicedPacket::from_ethernet(packet).ok()?,
        Link::RawIp => LaxSlicedPacket::from_ip(packet).ok()?,
        Link::Loopback => LaxSlicedPacket::from_ip(packet.get(4..)?).ok()?,
        Link::Cooked => cooked(packet.get(14..16)?, packet.get(16..)?)?,
        Link::Cooked2 => cooked(packet.get(..2)?, packet.get(20..)?)?,
    };
    let (from, to): (IpAddr, IpAddr) = match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        Some(LaxNetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        _ => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { return None };
    Some(Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        sequence: tcp.sequence_number(),
        opens: match (tcp.syn(), tcp.ack()) {
            (true, false) => Opens::AsClient,
            (true, true) => Opens::AsServer,
            (false, _) => Opens::No,
        },
        payload: tcp.payload(),
    })
}

fn cooked<'a>(protocol: &[u8], rest: &'a [u8]) -> Option<LaxSlicedPacket<'a>> {
    let protocol = u16::from_be_bytes(protocol.try_into().ok()?);
    Some(LaxSlicedPacket::from_ether_type(EtherType(protocol), rest))
}
