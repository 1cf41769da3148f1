//! TCP segments to the bytes that clients sent, as far as their hellos go.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;

use portcullis_fingerprint::record::{HelloLimits, Scan, scan};
use portcullis_fingerprint::{ClientHello, HelloError};

use super::Found;
use super::packets::{Opens, Segment};

/// The connections of a capture whose hellos are awaited, and those that are done with.
///
/// Bounded: at most [`MAX_STREAMS`] connections and [`MAX_BUFFERED_BYTES`]; past either, the older half is let go.
#[derive(Default)]
pub(super) struct Streams {
    streams: HashMap<Flow, Stream>,
    /// The number that the next connection gets.
    next: u64,
    buffered: usize,
    hellos: u64,
    let_go: u64,
}

/// Who sends to whom.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Flow {
    from: SocketAddr,
    to: SocketAddr,
}

/// What one side of a connection sent.
struct Stream {
    /// The number of the connection, in the order in which they began.
    number: u64,
    /// The sequence number of the first byte of `bytes`.
    start: u32,
    /// What has come in order and was not read yet.
    bytes: Vec<u8>,
    /// What has come before what it follows, by its distance from `start`.
    early: BTreeMap<usize, Vec<u8>>,
    is_cut: bool,
    hellos: u8,
    is_done: bool,
}

impl Streams {
    /// How many hellos were found, or were begun.
    pub(super) const fn hellos(&self) -> u64 {
        self.hellos
    }

    /// How many connections were let go unread.
    pub(super) const fn let_go(&self) -> u64 {
        self.let_go
    }

    /// Takes a segment of the packet `packet`, which the capture has cut short or not.
    pub(super) fn take_in(
        &mut self,
        segment: &Segment<'_>,
        is_cut: bool,
        packet: u64,
        found: &mut impl FnMut(Found) -> io::Result<()>,
    ) -> io::Result<()> {
        let flow = Flow { from: segment.from, to: segment.to };
        // A SYN takes a number of its own, before the first byte.
        let sequence = match segment.opens {
            Opens::No => segment.sequence,
            Opens::AsClient | Opens::AsServer => segment.sequence.wrapping_add(1),
        };
        let known = self.streams.get(&flow);
        let is_new = match segment.opens {
            Opens::AsClient => {
                known.is_none_or(|stream| stream.hellos == 0 && stream.start != sequence || stream.is_done)
            }
            // The capture began in the middle of this connection, but before its hello.
            _ => known.is_none() && begins_hello(segment.payload),
        };
        if is_new {
            if let Some(old) = self.streams.remove(&flow) {
                self.buffered -= old.buffered();
                self.give_unfinished(&flow, &old, packet, found)?;
            }
            self.make_room();
            self.streams.insert(flow, Stream::new(self.next, sequence));
            self.next += 1;
        }
        let Some(stream) = self.streams.get_mut(&flow).filter(|stream| !stream.is_done) else { return Ok(()) };
        let before = stream.buffered();
        stream.is_cut |= is_cut;
        stream.put(sequence, segment.payload);
        let mut outcome = Ok(());
        while let Some(hello) = stream.next_hello() {
            self.hellos += 1;
            let (client, server) = (flow.from, flow.to);
            let found_one = Found { client, server, packet, nth: stream.hellos, hello, is_cut: stream.is_cut };
            outcome = found(found_one);
            if outcome.is_err() {
                break;
            }
        }
        self.buffered = self.buffered + stream.buffered() - before;
        outcome
    }

    /// Gives the hellos that began and did not end.
    pub(super) fn finish(&mut self, packet: u64, found: &mut impl FnMut(Found) -> io::Result<()>) -> io::Result<()> {
        let mut left: Vec<(Flow, Stream)> = self.streams.drain().collect();
        left.sort_by_key(|(_, stream)| stream.number);
        for (flow, stream) in left {
            self.give_unfinished(&flow, &stream, packet, found)?;
        }
        self.buffered = 0;
        Ok(())
    }

    fn give_unfinished(
        &mut self,
        flow: &Flow,
        stream: &Stream,
        packet: u64,
        found: &mut impl FnMut(Found) -> io::Result<()>,
    ) -> io::Result<()> {
        if stream.is_done || stream.hellos > 0 || !begins_hello(&stream.bytes) {
            return Ok(());
        }
        self.hellos += 1;
        let (client, server, is_cut) = (flow.from, flow.to, stream.is_cut);
        found(Found { client, server, packet, nth: 1, hello: Err(HelloError::Incomplete), is_cut })
    }

    fn make_room(&mut self) {
        while self.streams.len() >= MAX_STREAMS || self.buffered > MAX_BUFFERED_BYTES && !self.streams.is_empty() {
            let oldest = self.streams.values().map(|stream| stream.number).min().unwrap_or_default();
            let middle = oldest + (self.next - oldest) / 2;
            let (mut buffered, mut let_go) = (0, 0);
            self.streams.retain(|_, stream| {
                let stays = stream.number > middle;
                if stays {
                    buffered += stream.buffered();
                } else if !stream.is_done {
                    let_go += 1;
                }
                stays
            });
            self.buffered = buffered;
            self.let_go += let_go;
        }
    }
}

impl Stream {
    const fn new(number: u64, start: u32) -> Self {
        Self { number, start, bytes: Vec::new(), early: BTreeMap::new(), is_cut: false, hellos: 0, is_done: false }
    }

    fn buffered(&self) -> usize {
        self.bytes.len() + self.early.values().map(Vec::len).sum::<usize>()
    }

    /// Puts what a segment carries where its sequence number says; what was there already stays (RFC 9293 §3.10).
    fn put(&mut self, sequence: u32, payload: &[u8]) {
        let Ok(offset) = usize::try_from(sequence.wrapping_sub(self.start)) else { return };
        // Beyond what a hello needs, or from before the start: a distance of nearly 2^32.
        if payload.is_empty() || offset > WINDOW_BYTES {
            return;
        }
        if offset > self.bytes.len() {
            if self.early.len() < MAX_EARLY_SEGMENTS {
                self.early.entry(offset).or_insert_with(|| payload.to_vec());
            }
            return;
        }
        self.append(offset, payload);
        while let Some(next) = self.early.first_entry().filter(|next| *next.key() <= self.bytes.len()) {
            let (offset, payload) = next.remove_entry();
            self.append(offset, &payload);
        }
    }

    /// Appends what of `payload` goes past the end of what is there.
    fn append(&mut self, offset: usize, payload: &[u8]) {
        let new = self.bytes.len().checked_sub(offset).and_then(|known| payload.get(known..));
        self.bytes.extend_from_slice(new.unwrap_or_default());
    }

    /// The next hello that is whole, or that is none after all. Nothing while more is awaited, and after the last.
    fn next_hello(&mut self) -> Option<Result<ClientHello, HelloError>> {
        if self.is_done {
            return None;
        }
        if self.hellos > 0 {
            self.skip_change_cipher_spec()?;
        }
        let (consumed, hello) = match scan(&self.bytes, HelloLimits::default()) {
            Ok(Scan::NeedMore) => return None,
            Ok(Scan::Complete { consumed, handshake }) => (consumed, ClientHello::parse(&handshake)),
            // What follows the first hello is mostly no second one, and a connection need not be of TLS.
            Err(error) => {
                let is_said = self.hellos == 0 && !matches!(error, HelloError::NotTls { .. });
                self.close();
                return is_said.then_some(Err(error));
            }
        };
        self.hellos += 1;
        self.consume(consumed);
        if hello.is_err() || self.hellos == MAX_HELLOS {
            self.close();
        }
        Some(hello)
    }

    /// Passes over the records that some clients send between their hellos (RFC 8446 appendix D.4). None where one of
    /// them is not whole.
    fn skip_change_cipher_spec(&mut self) -> Option<()> {
        while self.bytes.first() == Some(&CHANGE_CIPHER_SPEC) {
            let [_, _, _, high, low] = *self.bytes.first_chunk()?;
            let record = 5 + usize::from(u16::from_be_bytes([high, low]));
            if self.bytes.len() < record {
                return None;
            }
            self.consume(record);
        }
        Some(())
    }

    /// Lets go of the first `len` bytes.
    fn consume(&mut self, len: usize) {
        self.bytes.drain(..len.min(self.bytes.len()));
        self.start = self.start.wrapping_add(u32::try_from(len).unwrap_or_default());
        let early = std::mem::take(&mut self.early);
        self.early =
            early.into_iter().filter_map(|(offset, payload)| Some((offset.checked_sub(len)?, payload))).collect();
    }

    fn close(&mut self) {
        self.is_done = true;
        (self.bytes, self.early) = (Vec::new(), BTreeMap::new());
    }
}

/// Whether a client's first bytes could be a record with a ClientHello: as far as they go.
fn begins_hello(bytes: &[u8]) -> bool {
    match bytes {
        [22, 3, _, _, _, 1, ..] => true,
        [22, 3, ..] => bytes.len() <= 5,
        _ => false,
    }
}

/// A hello, and a second one after a HelloRetryRequest: there is no third (RFC 8446 §4.1.4).
const MAX_HELLOS: u8 = 2;
/// The content type of a change_cipher_spec record (RFC 8446 §5.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
/// How far from the start of a stream bytes are kept: as far as the longest hello goes, and some.
const WINDOW_BYTES: usize = 128 * 1024;
/// The most segments of a stream that wait for one before them.
const MAX_EARLY_SEGMENTS: usize = 64;
/// The most connections that are followed at once.
const MAX_STREAMS: usize = 65_536;
/// The most bytes that they hold together: 64 MiB.
const MAX_BUFFERED_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = include_bytes!("../../../../fuzz/seeds/client_hello/curl");
    const OTHER: &[u8] = include_bytes!("../../../../fuzz/seeds/client_hello/rustls");

    /// Segments of one connection: where each stands in the stream, which begins at `isn` + 1, and what it carries.
    fn found(isn: u32, segments: &[(u32, &[u8])]) -> Vec<Found> {
        let mut streams = Streams::default();
        let mut all = Vec::new();
        let (from, to) = ("192.0.2.7:50000".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
        let mut keep = |one| {
            all.push(one);
            Ok(())
        };
        let syn = Segment { from, to, sequence: isn, opens: Opens::AsClient, payload: &[] };
        streams.take_in(&syn, false, 1, &mut keep).unwrap();
        for (index, (offset, payload)) in segments.iter().enumerate() {
            let sequence = isn.wrapping_add(1).wrapping_add(*offset);
            let segment = Segment { from, to, sequence, opens: Opens::No, payload };
            streams.take_in(&segment, false, index as u64 + 2, &mut keep).unwrap();
        }
        streams.finish(99, &mut keep).unwrap();
        all
    }

    #[track_caller]
    fn check(isn: u32, segments: &[(u32, &[u8])], packet: u64) {
        let all = found(isn, segments);
        let [one] = &all[..] else { panic!("{} found: {all:?}", all.len()) };
        assert_eq!(one.hello, ClientHello::from_records(HELLO));
        assert_eq!((one.packet, one.nth), (packet, 1));
    }

    #[test]
    fn a_hello_is_joined_whatever_its_segments_do() {
        let (a, rest) = HELLO.split_at(100);
        let (b, c) = rest.split_at(100);
        for isn in [0, 7, u32::MAX - 150, u32::MAX] {
            check(isn, &[(0, HELLO)], 2);
            check(isn, &[(0, a), (100, b), (200, c)], 4);
            check(isn, &[(200, c), (100, b), (0, a)], 4);
            check(isn, &[(0, a), (0, a), (200, c), (200, c), (100, b)], 6);
            check(isn, &[(0, a), (50, &HELLO[50..150]), (120, &HELLO[120..])], 4);
            check(isn, &[(0, HELLO), (0, HELLO), (u32::MAX - 5, b"keep-alive")], 2);
        }
        let bytes: Vec<(u32, &[u8])> = HELLO.chunks(1).enumerate().map(|(at, byte)| (at as u32, byte)).collect();
        check(9, &bytes, HELLO.len() as u64 + 1);
    }

    #[test]
    fn a_second_hello_is_found_behind_change_cipher_spec() {
        let both = [HELLO, b"\x14\x03\x03\0\x01\x01", OTHER, b"\x17\x03\x03\0\x01x"].concat();
        for size in [1, 6, 100, both.len()] {
            let segments: Vec<(u32, &[u8])> =
                both.chunks(size).enumerate().map(|(at, piece)| ((at * size) as u32, piece)).collect();
            let all = found(5, &segments);
            let hellos: Vec<_> = all.iter().map(|one| (one.nth, one.hello.clone())).collect();
            assert_eq!(
                hellos,
                [(1, ClientHello::from_records(HELLO)), (2, ClientHello::from_records(OTHER))],
                "{size}"
            );
        }
    }

    #[test]
    fn what_is_no_hello_is_passed_over_and_what_breaks_off_is_told() {
        assert!(found(1, &[]).is_empty());
        assert!(found(1, &[(0, b"GET / HTTP/1.1\r\n\r\n")]).is_empty());
        assert!(found(1, &[(5, b"late and alone")]).is_empty());
        let cut: Vec<_> =
            found(1, &[(0, &HELLO[..100]), (200, &HELLO[200..])]).into_iter().map(|one| one.hello).collect();
        assert_eq!(cut, [Err(HelloError::Incomplete)]);
        let empty_record: Vec<_> = found(1, &[(0, b"\x16\x03\x01\0\0")]).into_iter().map(|one| one.hello).collect();
        assert_eq!(empty_record, [Err(HelloError::EmptyRecord)]);
    }

    #[test]
    fn connections_past_the_bound_are_let_go_oldest_first() {
        let mut streams = Streams::default();
        let to = "192.0.2.1:443".parse().unwrap();
        let from = |index: usize| SocketAddr::from(([10, (index >> 16) as u8, (index >> 8) as u8, index as u8], 50000));
        let mut hellos = 0;
        let mut count = |_| {
            hellos += 1;
            Ok(())
        };
        for index in 0..MAX_STREAMS + 10 {
            let syn = Segment { from: from(index), to, sequence: 0, opens: Opens::AsClient, payload: &[] };
            streams.take_in(&syn, false, 1, &mut count).unwrap();
        }
        assert!(streams.streams.len() <= MAX_STREAMS && streams.let_go() > 0);
        let last = Segment { from: from(MAX_STREAMS + 9), to, sequence: 1, opens: Opens::No, payload: HELLO };
        streams.take_in(&last, false, 2, &mut count).unwrap();
        assert_eq!((hellos, streams.buffered), (1, 0));
    }
}
