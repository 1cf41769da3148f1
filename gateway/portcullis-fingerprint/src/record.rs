//! TLS records to the handshake message that they carry.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::error::HelloError;
use crate::reader::u24;

/// The longest ClientHello that is read, in bytes, its four-byte header included: 64 KiB.
///
/// A browser's hello with a post-quantum key share has 2 KB and the longest in our captures 16 KB;
/// the TLS library behind us stops at 64 KiB too. Past it, [`HelloError::TooLong`].
pub const MAX_HELLO_BYTES: usize = 64 * 1024;

/// The most records that one ClientHello is read from: 64.
///
/// Four full records hold the longest hello, and middleboxes and anti-censorship tools that split one on
/// purpose make a handful. Without a bound, records of one byte would make each call of [`scan`] walk
/// thousands of them. Past it, [`HelloError::TooManyRecords`].
pub const MAX_RECORDS: usize = 64;

/// How much of a hello is read before it is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HelloLimits {
    /// The longest hello, in bytes, its four-byte header included and record headers not.
    pub max_hello_bytes: usize,
    /// The most records that it may come in.
    pub max_records: usize,
}

impl HelloLimits {
    /// The most bytes on the wire that a hello within these limits takes: what a buffer has to hold.
    pub const fn max_wire_bytes(self) -> usize {
        self.max_hello_bytes.saturating_add(RECORD_HEADER_BYTES.saturating_mul(self.max_records))
    }
}

impl Default for HelloLimits {
    /// [`MAX_HELLO_BYTES`] and [`MAX_RECORDS`].
    fn default() -> Self {
        Self { max_hello_bytes: MAX_HELLO_BYTES, max_records: MAX_RECORDS }
    }
}

/// What the first bytes of a connection hold so far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scan<'a> {
    /// All well so far, but the hello has not ended. Ask again with the same bytes and more.
    NeedMore,
    /// The whole hello.
    Complete {
        /// How many bytes of the input the hello's records take.
        consumed: usize,
        /// The handshake message, its four-byte header included, for
        /// [`ClientHello::parse`](crate::ClientHello::parse). Borrowed when it came in one record.
        handshake: Cow<'a, [u8]>,
    },
}

/// Looks for a whole ClientHello at the front of `bytes`, which are all that the peer has sent so far.
///
/// Made to be called again after every read: a call walks at most `limits.max_records` record headers,
/// and copies only the complete hello, and that only when it came in several records (RFC 8446 §5.1).
/// Bytes after the hello's last record are left alone.
///
/// # Errors
///
/// As early as the first byte that rules a hello out. [`HelloError::NotTls`] for the first two bytes of the
/// connection; a more exact one later. Never [`HelloError::Incomplete`].
pub fn scan(bytes: &[u8], limits: HelloLimits) -> Result<Scan<'_>, HelloError> {
    let mut head = Head::default();
    let mut seen = 0;
    let mut rest = bytes;
    for index in 0..limits.max_records {
        let Some(len) = record_len(rest, index)? else {
            return Ok(Scan::NeedMore);
        };
        let (_, after_header) = rest.split_at_checked(RECORD_HEADER_BYTES).unwrap_or_default();
        let record = after_header.split_at_checked(len);
        head.read(record.map_or(after_header, |(fragment, _)| fragment))?;
        seen += len;
        if let Some(hello_len) = head.hello_len() {
            if hello_len > limits.max_hello_bytes {
                return Err(HelloError::TooLong { len: hello_len, limit: limits.max_hello_bytes });
            }
            if seen > hello_len {
                return Err(HelloError::ExtraInRecord { found: seen - hello_len });
            }
        }
        let Some((fragment, after)) = record else {
            return Ok(Scan::NeedMore);
        };
        if head.hello_len() == Some(seen) {
            let consumed = bytes.len() - after.len();
            let handshake = match index {
                0 => Cow::Borrowed(fragment),
                _ => Cow::Owned(join(bytes, seen)),
            };
            return Ok(Scan::Complete { consumed, handshake });
        }
        rest = after;
    }
    Err(HelloError::TooManyRecords { limit: limits.max_records })
}

/// The length that the record header at the front of `bytes` states, once its five bytes are there.
///
/// The minor version is not looked at: "MUST be ignored for all purposes" (RFC 8446 §5.1).
fn record_len(bytes: &[u8], index: usize) -> Result<Option<usize>, HelloError> {
    let mut header = bytes.iter().copied();
    let Some(content_type) = header.next() else {
        return Ok(None);
    };
    if content_type != HANDSHAKE {
        return Err(match index {
            0 => HelloError::NotTls { at: 0, found: content_type },
            _ => HelloError::UnexpectedRecord { content_type },
        });
    }
    let Some(major) = header.next() else {
        return Ok(None);
    };
    if major != MAJOR_VERSION {
        return Err(HelloError::NotTls { at: 1, found: major });
    }
    let (Some(_minor), Some(high), Some(low)) = (header.next(), header.next(), header.next()) else {
        return Ok(None);
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        0 => Err(HelloError::EmptyRecord),
        len if len > MAX_FRAGMENT_BYTES => Err(HelloError::RecordTooLong { len }),
        len => Ok(Some(len)),
    }
}

/// The fragments of a hello of `len` bytes in one piece. [`scan`] has already found every record whole.
fn join(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut joined = Vec::with_capacity(len);
    let mut rest = bytes;
    while joined.len() < len {
        let Some(([_, _, _, high, low], after_header)) = rest.split_first_chunk() else {
            break;
        };
        let fragment_len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((fragment, after)) = after_header.split_at_checked(fragment_len) else {
            break;
        };
        joined.extend_from_slice(fragment);
        rest = after;
    }
    joined
}

/// The handshake header, `msg_type` and a three-byte length, which may itself be split (RFC 8446 §4).
#[derive(Default)]
struct Head {
    bytes: SmallVec<[u8; HANDSHAKE_HEADER_BYTES]>,
}

impl Head {
    /// Takes what is still missing of the header from the front of a fragment.
    fn read(&mut self, fragment: &[u8]) -> Result<(), HelloError> {
        let missing = HANDSHAKE_HEADER_BYTES - self.bytes.len();
        self.bytes.extend(fragment.iter().copied().take(missing));
        match self.bytes.first() {
            Some(&found) if found != CLIENT_HELLO => Err(HelloError::NotClientHello { found }),
            _ => Ok(()),
        }
    }

    /// The length of the whole message, this header included, once the header is there.
    fn hello_len(&self) -> Option<usize> {
        match *self.bytes.as_slice() {
            [_, high, middle, low] => Some(HANDSHAKE_HEADER_BYTES + u24([high, middle, low])),
            _ => None,
        }
    }
}

/// The handshake type of a ClientHello (RFC 8446 §4).
pub(crate) const CLIENT_HELLO: u8 = 1;
/// The content type of a handshake record (RFC 8446 §5.1).
pub(crate) const HANDSHAKE: u8 = 22;
/// The high byte of the version of every SSL 3.0 and TLS record.
const MAJOR_VERSION: u8 = 3;
/// Content type, version and length.
const RECORD_HEADER_BYTES: usize = 5;
/// `msg_type` and length.
const HANDSHAKE_HEADER_BYTES: usize = 4;
/// The most that a plaintext record carries: 2^14 (RFC 8446 §5.1).
const MAX_FRAGMENT_BYTES: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fragment: &[u8]) -> Vec<u8> {
        let len = u16::try_from(fragment.len()).unwrap();
        [&[HANDSHAKE, 3, 1], &len.to_be_bytes()[..], fragment].concat()
    }

    fn hello(body_len: usize) -> Vec<u8> {
        let [.., high, middle, low] = body_len.to_be_bytes();
        let mut message = vec![CLIENT_HELLO, high, middle, low];
        message.resize(4 + body_len, 0xee);
        message
    }

    fn look(bytes: &[u8]) -> Result<Scan<'_>, HelloError> {
        scan(bytes, HelloLimits::default())
    }

    #[test]
    fn what_is_no_hello_is_refused_at_the_first_wrong_byte() {
        let check = |good: &[u8], bad: u8, error: HelloError| {
            assert_eq!(look(good), Ok(Scan::NeedMore), "before {bad:#04x}: {good:02x?}");
            assert_eq!(look(&[good, &[bad]].concat()), Err(error), "{good:02x?} then {bad:#04x}");
        };
        check(&[], b'G', HelloError::NotTls { at: 0, found: b'G' });
        check(&[], 0x15, HelloError::NotTls { at: 0, found: 0x15 });
        check(&[], 0x80, HelloError::NotTls { at: 0, found: 0x80 });
        check(&[0x16], 0x02, HelloError::NotTls { at: 1, found: 0x02 });
        check(&[0x16, 3, 1, 0], 0, HelloError::EmptyRecord);
        check(&[0x16, 3, 1, 0x40], 1, HelloError::RecordTooLong { len: 0x4001 });
        check(&[0x16, 3, 1, 0, 40], 2, HelloError::NotClientHello { found: 2 });
        check(&[0x16, 3, 1, 1, 0, 1, 1, 0], 0, HelloError::TooLong { len: 0x1_0004, limit: MAX_HELLO_BYTES });
        check(&[0x16, 3, 1, 0, 7, 1, 0, 0], 2, HelloError::ExtraInRecord { found: 1 });
        check(&record(&[1]), 0x15, HelloError::UnexpectedRecord { content_type: 0x15 });
        check(&record(&[1, 0, 0, 9]), 0x14, HelloError::UnexpectedRecord { content_type: 0x14 });
        check(&[&record(&[1]), &[0x16, 3, 3, 0][..]].concat(), 0, HelloError::EmptyRecord);
    }

    #[test]
    fn any_minor_record_version_is_read() {
        for minor in [0, 1, 3, 4, 0xff] {
            let mut bytes = record(&hello(3));
            bytes[2] = minor;
            assert!(matches!(look(&bytes), Ok(Scan::Complete { .. })), "3.{minor}");
        }
    }

    #[test]
    fn a_hello_in_one_record_is_borrowed_and_what_follows_is_left() {
        let message = hello(60);
        let mut bytes = record(&message);
        let consumed = bytes.len();
        bytes.extend_from_slice(&[0x14, 3, 3, 0, 1, 1]);
        let Ok(Scan::Complete { consumed: told, handshake: Cow::Borrowed(handshake) }) = look(&bytes) else {
            panic!("not complete and borrowed: {:?}", look(&bytes));
        };
        assert_eq!((told, handshake), (consumed, &message[..]));
    }

    #[test]
    fn a_hello_is_joined_whatever_the_size_of_its_records() {
        let message = hello(59);
        for size in 1..=message.len() {
            let bytes: Vec<u8> = message.chunks(size).flat_map(record).collect();
            let complete = Scan::Complete { consumed: bytes.len(), handshake: Cow::Borrowed(&message[..]) };
            assert_eq!(look(&bytes), Ok(complete), "records of {size}");
            for end in 0..bytes.len() {
                assert_eq!(look(&bytes[..end]), Ok(Scan::NeedMore), "records of {size}, {end} bytes");
            }
        }
    }

    #[test]
    fn one_record_too_many_is_refused() {
        let check = |records: usize, holds: bool| {
            let message = hello(records - 4);
            let bytes: Vec<u8> = message.chunks(1).flat_map(record).collect();
            assert_eq!(matches!(look(&bytes), Ok(Scan::Complete { .. })), holds, "{records} records");
        };
        check(MAX_RECORDS, true);
        check(MAX_RECORDS + 1, false);
        let bytes: Vec<u8> = hello(100).chunks(1).take(MAX_RECORDS).flat_map(record).collect();
        assert_eq!(look(&bytes), Err(HelloError::TooManyRecords { limit: MAX_RECORDS }));
    }

    #[test]
    fn the_longest_hello_fits_and_one_byte_more_does_not() {
        let check = |len: usize, holds: bool| {
            let bytes: Vec<u8> = hello(len - 4).chunks(MAX_FRAGMENT_BYTES).flat_map(record).collect();
            assert!(!holds || bytes.len() <= HelloLimits::default().max_wire_bytes());
            assert_eq!(matches!(look(&bytes), Ok(Scan::Complete { .. })), holds, "{len} bytes");
        };
        check(MAX_HELLO_BYTES, true);
        check(MAX_HELLO_BYTES + 1, false);
    }
}
