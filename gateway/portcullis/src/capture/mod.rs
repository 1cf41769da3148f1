//! Captures of traffic (pcap, pcapng) to the ClientHellos in them.
//!
//! ```text
//! file ── pcap-parser ──► packets ── etherparse ──► TCP segments ── Streams ──► bytes of a client ──► ClientHello
//! ```
//!
//! For a person who has a capture and wants to know what the clients in it are. Not on the path of live traffic,
//! where the gateway has the bytes already.

mod packets;
mod streams;

use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;

use pcap_parser::traits::{PcapNGPacketBlock as _, PcapReaderIterator};
use pcap_parser::{Block, LegacyPcapReader, Linktype, PcapBlockOwned, PcapError, PcapNGReader};
use portcullis_fingerprint::{ClientHello, HelloError};

use self::packets::{Link, segment};
use self::streams::Streams;

/// A ClientHello in a capture, or why there is none where one began.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who sent it.
    pub client: SocketAddr,
    /// To whom.
    pub server: SocketAddr,
    /// The number of the packet that ended it, from 1, as Wireshark counts; of the last one where none did.
    pub packet: u64,
    /// 1, or 2 for the second hello after a HelloRetryRequest (RFC 8446 §4.1.4).
    pub nth: u8,
    /// What was read.
    pub hello: Result<ClientHello, HelloError>,
    /// Whether the capture left out bytes of the packets that it is in (the snap length).
    pub is_cut: bool,
}

/// What a capture held besides hellos.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// How many packets were read.
    pub packets: u64,
    /// How many of them were TCP over IP.
    pub segments: u64,
    /// How many ClientHellos were read, or were begun.
    pub hellos: u64,
    /// How many connections were let go unread, because too many were open at once.
    pub let_go: u64,
    /// Whether the file ends inside a packet.
    pub ends_early: bool,
}

/// Why a capture was not read to its end.
#[derive(Debug)]
pub enum CaptureError {
    /// It is no capture, or its header is broken.
    NotACapture,
    /// Packets are of a link of this number, which is not read (the LINKTYPE registry of tcpdump.org).
    Link(i32),
    /// A block of the file is longer than [`MAX_BLOCK_BYTES`].
    BlockTooLong {
        /// The number of the packet before it.
        after: u64,
    },
    /// The file is broken.
    Broken {
        /// The number of the packet before the fault.
        after: u64,
    },
    /// The file could not be read, or what was found could not be written.
    Io(io::Error),
}

impl From<io::Error> for CaptureError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotACapture => f.write_str(
                "expected a pcap or pcapng file, but its header is neither; capture again with `tcpdump -w`",
            ),
            Self::Link(number) => write!(
                f,
                "expected packets of Ethernet, Linux cooked, loopback or raw IP, but found link type {number}; \
                 capture again on an interface of one of these"
            ),
            Self::BlockTooLong { after } => write!(
                f,
                "expected a block of at most {MAX_BLOCK_BYTES} bytes after packet {after}, but found a longer one; \
                 `editcap` of Wireshark can split the file before it"
            ),
            Self::Broken { after } => write!(
                f,
                "expected a packet after packet {after}, but the file is broken there; `pcapfix` or `editcap` of \
                 Wireshark may mend it"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CaptureError {}

/// Whether `bytes` are the first bytes of a capture, or may yet be.
pub fn begins_capture(bytes: &[u8]) -> Begins {
    let magics = MAGICS.iter().filter(|magic| magic.iter().zip(bytes).all(|(magic, byte)| magic == byte));
    match (magics.count(), bytes.len()) {
        (0, _) => Begins::Otherwise,
        (_, 4..) => Begins::Capture,
        _ => Begins::MaybeCapture,
    }
}

/// What some bytes are the beginning of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begins {
    /// A capture.
    Capture,
    /// A capture, if the bytes to come say so.
    MaybeCapture,
    /// Something else.
    Otherwise,
}

/// Reads a capture to its end, and gives every ClientHello to `found`.
///
/// In the order in which they end; those that do not end, last. Of a connection the hello that opens it is read, and
/// the one that answers a HelloRetryRequest. Memory is bounded whatever the file says.
///
/// # Errors
///
/// [`CaptureError`], and whatever `found` says. What stands before the fault has been given by then.
pub fn read(input: impl Read, mut found: impl FnMut(Found) -> io::Result<()>) -> Result<Summary, CaptureError> {
    let mut input = FullReads { input, failure: None };
    let outcome = read_packets(&mut input, &mut found);
    match input.failure.take() {
        Some(error) => Err(error.into()),
        None => outcome,
    }
}

fn read_packets(
    input: &mut impl Read,
    found: &mut impl FnMut(Found) -> io::Result<()>,
) -> Result<Summary, CaptureError> {
    let mut reader = open(input)?;
    let mut streams = Streams::default();
    let mut summary = Summary::default();
    let mut section = Section::default();
    let mut capacity = BUFFER_BYTES;
    loop {
        if section.is_block_too_short(reader.data()) {
            return Err(CaptureError::Broken { after: summary.packets });
        }
        match reader.next() {
            Ok((len, block)) => {
                if let Some(packet) = section.packet(&block) {
                    summary.packets += 1;
                    let link = Link::of(packet.link).ok_or(CaptureError::Link(packet.link.0))?;
                    if let Some(segment) = segment(link, packet.bytes) {
                        summary.segments += 1;
                        streams.take_in(&segment, packet.is_cut, summary.packets, found)?;
                    }
                }
                reader.consume(len);
            }
            Err(PcapError::Eof) => break,
            // A capture that was stopped, or goes on yet.
            Err(PcapError::UnexpectedEof) => {
                summary.ends_early = true;
                break;
            }
            Err(PcapError::Incomplete(_)) => {
                // What cannot be filled is grown, as what is too small.
                if reader.refill().is_err() {
                    grow(&mut *reader, &mut capacity, &summary)?;
                }
            }
            Err(PcapError::BufferTooSmall) => {
                grow(&mut *reader, &mut capacity, &summary)?;
                let _ = reader.refill();
            }
            Err(_) => return Err(CaptureError::Broken { after: summary.packets }),
        }
    }
    streams.finish(summary.packets, found)?;
    (summary.hellos, summary.let_go) = (streams.hellos(), streams.let_go());
    Ok(summary)
}

fn open<'r>(input: &'r mut impl Read) -> Result<Box<dyn PcapReaderIterator + 'r>, CaptureError> {
    let mut magic = [0; 4];
    let got = input.read(&mut magic)?;
    let read = magic.get(..got).unwrap_or_default();
    let whole = FullReads { input: io::Cursor::new(read.to_vec()).chain(input), failure: None };
    if read == SECTION_MAGIC {
        PcapNGReader::new(BUFFER_BYTES, whole).map(|reader| Box::new(reader) as Box<dyn PcapReaderIterator>)
    } else {
        LegacyPcapReader::new(BUFFER_BYTES, whole).map(|reader| Box::new(reader) as Box<dyn PcapReaderIterator>)
    }
    .map_err(|_| CaptureError::NotACapture)
}

fn grow(reader: &mut dyn PcapReaderIterator, capacity: &mut usize, summary: &Summary) -> Result<(), CaptureError> {
    *capacity *= 2;
    if *capacity > MAX_BLOCK_BYTES || !reader.grow(*capacity) {
        return Err(CaptureError::BlockTooLong { after: summary.packets });
    }
    Ok(())
}

/// A packet as the file has it.
struct Packet<'a> {
    link: Linktype,
    bytes: &'a [u8],
    /// Whether the packet was longer than its bytes here.
    is_cut: bool,
}

/// What a file says about the packets to come.
#[derive(Default)]
struct Section {
    /// The links of its interfaces, by number.
    links: Vec<Linktype>,
    /// How the numbers of a pcapng section are written; none in a pcap file, and before the first section.
    byte_order: Option<ByteOrder>,
}

#[derive(Clone, Copy)]
enum ByteOrder {
    Little,
    Big,
}

impl Section {
    /// Whether the block at the front of `data` says that it is shorter than the least that a block is.
    ///
    /// The capture's reader takes that off the length unasked, for some types of blocks.
    fn is_block_too_short(&self, data: &[u8]) -> bool {
        let (Some(byte_order), Some([kind @ .., l0, l1, l2, l3])) = (self.byte_order, data.first_chunk::<8>()) else {
            return false;
        };
        let len = [*l0, *l1, *l2, *l3];
        let len = match byte_order {
            ByteOrder::Little => u32::from_le_bytes(len),
            ByteOrder::Big => u32::from_be_bytes(len),
        };
        kind != SECTION_MAGIC && len < LEAST_BLOCK_BYTES
    }

    /// The packet in a block, if it holds one; what a block says of packets to come is noted.
    fn packet<'a>(&mut self, block: &'a PcapBlockOwned<'_>) -> Option<Packet<'a>> {
        let (link, bytes, original_len) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.links = vec![header.network];
                return None;
            }
            PcapBlockOwned::NG(Block::SectionHeader(header)) => {
                self.links.clear();
                self.byte_order = Some(if header.big_endian() { ByteOrder::Big } else { ByteOrder::Little });
                return None;
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                if self.links.len() < MAX_INTERFACES {
                    self.links.push(interface.linktype);
                }
                return None;
            }
            PcapBlockOwned::Legacy(packet) => (0, packet.data, packet.origlen),
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                (usize::try_from(packet.if_id).ok()?, packet.packet_data(), packet.origlen)
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => (0, packet.packet_data(), packet.origlen),
            PcapBlockOwned::NG(_) => return None,
        };
        let is_cut = usize::try_from(original_len).is_ok_and(|original_len| bytes.len() < original_len);
        Some(Packet { link: *self.links.get(link)?, bytes, is_cut })
    }
}

/// A reader that fills what it is given as far as the input goes, and keeps the fault that ended it.
///
/// The capture's reader asks once for its header and takes what comes; and it does not tell a fault from the end.
struct FullReads<R> {
    input: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for FullReads<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            }
        }
        Ok(filled)
    }
}

/// The longest block that is read: 16 MiB. Packets have at most 256 KB; what is longer holds notes or secrets.
pub const MAX_BLOCK_BYTES: usize = 16 << 20;
/// What is read at once.
const BUFFER_BYTES: usize = 1 << 20;
/// The type and the length, which stands at both ends.
const LEAST_BLOCK_BYTES: u32 = 12;
/// The most interfaces of a section that are told apart.
const MAX_INTERFACES: usize = 1024;
/// The type of the block that a pcapng file begins with.
const SECTION_MAGIC: &[u8] = b"\x0a\x0d\x0d\x0a";
/// The first bytes of captures: pcapng; pcap with microseconds and nanoseconds in either byte order; the form with
/// longer packet headers.
const MAGICS: [&[u8; 4]; 6] = [
    b"\x0a\x0d\x0d\x0a",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\xc3\xd4",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x34\xcd\xb2\xa1",
];

#[cfg(test)]
mod tests {
    use super::*;

    const ETHERNET: &[u8] = include_bytes!("../../../../fuzz/seeds/pcap/ethernet");

    #[test]
    fn the_first_bytes_say_whether_it_is_a_capture() {
        for magic in MAGICS {
            assert_eq!(begins_capture(magic), Begins::Capture);
            for end in 0..3 {
                assert_eq!(begins_capture(&magic[..end]), Begins::MaybeCapture, "{magic:02x?} to {end}");
            }
        }
        for other in [&b"16"[..], b"\n16", b"\xd4\xc3\xb2\xb2", b"\x1f"] {
            assert_eq!(begins_capture(other), Begins::Otherwise, "{other:02x?}");
        }
    }

    #[test]
    fn a_block_shorter_than_any_is_refused() {
        let section = |order: fn(u32) -> [u8; 4]| {
            [&order(0x0a0d_0d0a)[..], &order(28), &order(0x1a2b_3c4d), &[0; 12], &order(28)].concat()
        };
        for (order, len) in [(u32::to_le_bytes as fn(u32) -> [u8; 4], 4), (u32::to_be_bytes, 11), (u32::to_le_bytes, 0)]
        {
            // Process information, and a type that nobody knows.
            for kind in [0x8000_0001, 0xbe] {
                let file = [section(order), order(kind).to_vec(), order(len).to_vec(), vec![0; 40]].concat();
                let error = read(&file[..], |_| Ok(())).unwrap_err();
                assert!(matches!(error, CaptureError::Broken { after: 0 }), "{kind:x}, {len}: {error}");
            }
        }
    }

    #[test]
    fn a_packet_without_end_is_refused_and_takes_bounded_memory() {
        let mut head = ETHERNET[..24].to_vec();
        head.extend_from_slice(&[0; 8]);
        head.extend_from_slice(&[0xff, 0xff, 0xff, 0x7f].repeat(2));
        let error = read(head.chain(io::repeat(0)), |_| Ok(())).unwrap_err();
        assert!(matches!(error, CaptureError::BlockTooLong { after: 0 }), "{error}");
    }

    #[test]
    fn a_fault_of_the_file_and_of_the_reader_of_the_answers_are_told() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        for end in [0, 10, 24, 100, ETHERNET.len()] {
            let error = read(ETHERNET[..end].chain(Failing), |_| Ok(())).unwrap_err();
            assert_eq!(error.to_string(), "the disk is gone", "after {end} bytes");
        }
        let error = read(ETHERNET, |_| Err(io::Error::other("the pipe is closed"))).unwrap_err();
        assert_eq!(error.to_string(), "the pipe is closed");
    }
}
