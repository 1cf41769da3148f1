//! A walk over the first header block of a connection: which fields come, in which order (RFC 7541).

use std::fmt;
use std::ops::Range;

use smallvec::SmallVec;

use crate::huffman::{self, HuffmanError};

/// The most fields of a block that are walked: 256.
///
/// Browsers send 12 to 20 and a cookie in crumbs some dozens; servers stop at 100 or so. Past it,
/// [`HpackError::TooManyFields`].
pub const MAX_FIELDS: usize = 256;

/// The most bytes that the names of a block have together: 32 KiB.
///
/// One byte of a block can name a field of 4 KB again, so a short block can stand for a very long list. Past
/// it, [`HpackError::NamesTooLong`].
pub const MAX_NAME_BYTES: usize = 32 * 1024;

/// Walks `block`, the first header block of its connection, and gives the name of each field to `field`.
///
/// In wire order, pseudo-header fields too. Of values only what is needed to keep the dynamic table right is
/// decoded, and mostly that is nothing: a Huffman code with a fault in a value may go unseen.
///
/// # Errors
///
/// [`HpackError`] at the first fault; the names before it have been given by then.
pub fn walk_header_block(block: &[u8], mut field: impl FnMut(&[u8])) -> Result<(), HpackError> {
    let mut walk = Walk { rest: block, table: Table::default() };
    let (mut fields, mut name_bytes) = (0, 0);
    while let Some(&first) = walk.rest.first() {
        if let 0x20..=0x3f = first {
            if fields > 0 {
                return Err(HpackError::LateSizeUpdate);
            }
            walk.resize()?;
            continue;
        }
        let name = walk.field(first)?;
        let bytes = walk.table.bytes_of(name);
        fields += 1;
        name_bytes += bytes.len();
        if fields > MAX_FIELDS {
            return Err(HpackError::TooManyFields);
        }
        if name_bytes > MAX_NAME_BYTES {
            return Err(HpackError::NamesTooLong);
        }
        field(bytes);
    }
    Ok(())
}

/// Why a header block was not walked to its end. The set is closed and the names are stable.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum HpackError {
    /// The block ends in the middle of a field.
    Truncated,
    /// An integer is longer or larger than any that is needed (RFC 7541 §5.1).
    IntegerTooLarge,
    /// No table has an entry of this number.
    NoSuchEntry,
    /// A name is not in the Huffman code (RFC 7541 §5.2).
    BadHuffman,
    /// The dynamic table was to become larger than was offered (RFC 7541 §6.3).
    TableTooLarge,
    /// The dynamic table changed its size after a field (RFC 7541 §4.2).
    LateSizeUpdate,
    /// More than [`MAX_FIELDS`] fields.
    TooManyFields,
    /// More than [`MAX_NAME_BYTES`] of names.
    NamesTooLong,
}

impl From<HuffmanError> for HpackError {
    fn from(HuffmanError: HuffmanError) -> Self {
        Self::BadHuffman
    }
}

impl fmt::Display for HpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("expected the header block to go on, but it ends inside a field"),
            Self::IntegerTooLarge => f.write_str("expected an integer of at most 32 bits, but found a larger one"),
            Self::NoSuchEntry => f.write_str("expected the number of a table entry, but found one that has none"),
            Self::BadHuffman => f.write_str("expected a name in the Huffman code, but found other bits"),
            Self::TableTooLarge => {
                write!(f, "expected a dynamic table of at most {TABLE_BYTES} bytes, but found a larger one")
            }
            Self::LateSizeUpdate => f.write_str("expected table size updates before the fields, but found one after"),
            Self::TooManyFields => write!(f, "expected at most {MAX_FIELDS} fields, but found more"),
            Self::NamesTooLong => write!(f, "expected at most {MAX_NAME_BYTES} bytes of names, but found more"),
        }
    }
}

impl std::error::Error for HpackError {}

/// A walk under way.
struct Walk<'a> {
    rest: &'a [u8],
    table: Table<'a>,
}

impl<'a> Walk<'a> {
    /// Takes the field that begins with the byte `first`, and puts it into the table where it says so.
    fn field(&mut self, first: u8) -> Result<Name<'a>, HpackError> {
        let (prefix_bits, keep) = match first {
            // Indexed (§6.1): name and value are in a table.
            0x80.. => {
                let index = self.integer(7)?;
                return self.table.name(index);
            }
            // Literal with incremental indexing (§6.2.1).
            0x40.. => (6, Keep::Yes),
            // Literal without indexing, or never indexed (§6.2.2, §6.2.3).
            _ => (4, Keep::No),
        };
        let name = match self.integer(prefix_bits)? {
            0 => {
                let name = self.string()?;
                self.table.literal_name(name)?
            }
            index => self.table.name(index)?,
        };
        let value = self.string()?;
        if let Keep::Yes = keep {
            self.table.insert(name.clone(), value)?;
        }
        Ok(name)
    }

    /// Takes a change of the dynamic table's size (§6.3).
    fn resize(&mut self) -> Result<(), HpackError> {
        let bytes = self.integer(5)?;
        if bytes > TABLE_BYTES {
            return Err(HpackError::TableTooLarge);
        }
        self.table.capacity = bytes;
        self.table.evict()
    }

    /// Takes an integer whose first `prefix_bits` share a byte with what comes before (§5.1).
    fn integer(&mut self, prefix_bits: u32) -> Result<usize, HpackError> {
        let mask = 0xff_u8 >> (8 - prefix_bits);
        let first = self.byte()? & mask;
        let mut value = u64::from(first);
        if first == mask {
            let mut shift = 0;
            loop {
                let byte = self.byte()?;
                value += u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
                if shift > MAX_INTEGER_SHIFT {
                    return Err(HpackError::IntegerTooLarge);
                }
            }
        }
        let value = u32::try_from(value).map_err(|_| HpackError::IntegerTooLarge)?;
        usize::try_from(value).map_err(|_| HpackError::IntegerTooLarge)
    }

    /// Takes a string without decoding it (§5.2).
    fn string(&mut self) -> Result<Text<'a>, HpackError> {
        let huffman = self.rest.first().is_some_and(|first| first & 0x80 != 0);
        let len = self.integer(7)?;
        let (encoded, rest) = self.rest.split_at_checked(len).ok_or(HpackError::Truncated)?;
        self.rest = rest;
        Ok(if huffman { Text::Huffman(encoded) } else { Text::Plain(encoded) })
    }

    fn byte(&mut self) -> Result<u8, HpackError> {
        let (first, rest) = self.rest.split_first().ok_or(HpackError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }
}

/// Whether a field goes into the dynamic table.
enum Keep {
    Yes,
    No,
}

/// A string as it stands in the block.
#[derive(Clone, Copy)]
enum Text<'a> {
    Plain(&'a [u8]),
    Huffman(&'a [u8]),
}

impl Text<'_> {
    /// The most bytes that it can have when decoded: the shortest code has five bits.
    const fn most_bytes(self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Huffman(encoded) => encoded.len() * 8 / 5,
        }
    }

    /// How many bytes it has when decoded.
    fn bytes(self) -> Result<usize, HuffmanError> {
        match self {
            Self::Plain(bytes) => Ok(bytes.len()),
            Self::Huffman(encoded) => {
                let mut bytes = 0;
                huffman::decode(encoded, |_| bytes += 1)?;
                Ok(bytes)
            }
        }
    }
}

/// A field's name: where its bytes are.
#[derive(Clone)]
enum Name<'a> {
    /// In the block, or in the static table.
    Whole(&'a [u8]),
    /// Decoded, in [`Table::decoded`].
    Decoded(Range<usize>),
}

/// The dynamic table (RFC 7541 §2.3.2), names only, of one block: what is evicted is only passed over.
struct Table<'a> {
    /// Oldest first.
    entries: SmallVec<[Entry<'a>; 24]>,
    /// How many of the entries, from the front, have been evicted.
    evicted: usize,
    /// The size of those that have not, in bytes. An upper bound: see [`Entry::size`].
    size: usize,
    /// The most that the size may be.
    capacity: usize,
    /// The names that came in the Huffman code, one after the other.
    decoded: SmallVec<[u8; 512]>,
}

impl Default for Table<'_> {
    fn default() -> Self {
        Self { entries: SmallVec::new(), evicted: 0, size: 0, capacity: TABLE_BYTES, decoded: SmallVec::new() }
    }
}

struct Entry<'a> {
    name: Name<'a>,
    /// The value, until its length was needed.
    value: Option<Text<'a>>,
    /// The size as the standard counts it (§4.1), in bytes; where `value` is still there, at most that.
    size: usize,
}

impl<'a> Table<'a> {
    fn bytes_of(&self, name: Name<'a>) -> &[u8] {
        match name {
            Name::Whole(bytes) => bytes,
            Name::Decoded(range) => self.decoded.get(range).unwrap_or_default(),
        }
    }

    /// The name of the entry `index` of both tables (§2.3.3).
    fn name(&self, index: usize) -> Result<Name<'a>, HpackError> {
        let place = index.checked_sub(1).ok_or(HpackError::NoSuchEntry)?;
        if let Some(name) = STATIC_NAMES.get(place) {
            return Ok(Name::Whole(name.as_bytes()));
        }
        let age = place - STATIC_NAMES.len();
        let place = self.entries.len().checked_sub(age + 1).filter(|place| *place >= self.evicted);
        let entry = place.and_then(|place| self.entries.get(place));
        entry.map(|entry| entry.name.clone()).ok_or(HpackError::NoSuchEntry)
    }

    fn literal_name(&mut self, name: Text<'a>) -> Result<Name<'a>, HuffmanError> {
        match name {
            Text::Plain(bytes) => Ok(Name::Whole(bytes)),
            Text::Huffman(encoded) => {
                let start = self.decoded.len();
                huffman::decode(encoded, |byte| self.decoded.push(byte))?;
                Ok(Name::Decoded(start..self.decoded.len()))
            }
        }
    }

    fn insert(&mut self, name: Name<'a>, value: Text<'a>) -> Result<(), HpackError> {
        let size = ENTRY_BYTES + self.bytes_of(name.clone()).len() + value.most_bytes();
        self.entries.push(Entry { name, value: Some(value), size });
        self.size += size;
        self.evict()
    }

    /// Evicts the oldest entries until the rest fit (§4.3, §4.4).
    ///
    /// Values are decoded here and only here, each at most once, and only where the most that they can be does not
    /// fit: a browser's first request does not fill the table.
    fn evict(&mut self) -> Result<(), HpackError> {
        if self.size <= self.capacity {
            return Ok(());
        }
        for entry in self.entries.iter_mut().skip(self.evicted) {
            if let Some(value) = entry.value.take() {
                let too_much = value.most_bytes() - value.bytes()?;
                entry.size -= too_much;
                self.size -= too_much;
            }
        }
        while self.size > self.capacity {
            let Some(entry) = self.entries.get(self.evicted) else { break };
            self.size -= entry.size;
            self.evicted += 1;
        }
        Ok(())
    }
}

/// The size of the dynamic table, in bytes: what holds until a server's settings say otherwise (RFC 9113 §6.5.2).
const TABLE_BYTES: usize = 4096;
/// What an entry counts for besides its name and value (RFC 7541 §4.1).
const ENTRY_BYTES: usize = 32;
/// Where the fifth byte after the prefix stands: 2^32 needs no more.
const MAX_INTEGER_SHIFT: u32 = 28;

/// The names of the static table (RFC 7541 appendix A); the first has the index 1.
#[rustfmt::skip]
const STATIC_NAMES: [&str; 61] = [
    ":authority", ":method", ":method", ":path", ":path", ":scheme", ":scheme", ":status", ":status", ":status",
    ":status", ":status", ":status", ":status", "accept-charset", "accept-encoding", "accept-language",
    "accept-ranges", "accept", "access-control-allow-origin", "age", "allow", "authorization", "cache-control",
    "content-disposition", "content-encoding", "content-language", "content-length", "content-location",
    "content-range", "content-type", "cookie", "date", "etag", "expect", "expires", "from", "host", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "link", "location",
    "max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh", "retry-after",
    "server", "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent", "vary", "via",
    "www-authenticate",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(block: &[u8]) -> Result<Vec<String>, HpackError> {
        let mut names = Vec::new();
        walk_header_block(block, |name| names.push(String::from_utf8_lossy(name).into_owned())).map(|()| names)
    }

    #[track_caller]
    fn check(block: &[u8], expected: &[&str]) {
        assert_eq!(names(block).unwrap(), expected, "{block:02x?}");
    }

    /// A literal with a name and a value, neither in the Huffman code; into the table where `first` says so.
    fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        for text in [name, value] {
            assert!(text.len() < 127 + 128 * 128);
            match u8::try_from(text.len()) {
                Ok(len @ 0..127) => bytes.push(len),
                _ => {
                    let rest = text.len() - 127;
                    bytes.push(127);
                    bytes.push(u8::try_from(rest % 128).unwrap() | 0x80);
                    bytes.push(u8::try_from(rest / 128).unwrap());
                }
            }
            bytes.extend_from_slice(text);
        }
        bytes
    }

    #[test]
    fn the_examples_of_the_appendix_are_walked() {
        // RFC 7541 C.2.1 to C.2.4, C.3.1 and C.4.1.
        check(b"\x40\x0acustom-key\x0dcustom-header", &["custom-key"]);
        check(b"\x04\x0c/sample/path", &[":path"]);
        check(b"\x10\x08password\x06secret", &["password"]);
        check(&[0x82], &[":method"]);
        let first = [":method", ":scheme", ":path", ":authority"];
        check(b"\x82\x86\x84\x41\x0fwww.example.com", &first);
        let huffman = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        check(huffman, &first);
        // C.4.3's literal, whose name is in the Huffman code.
        check(b"\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", &["custom-key"]);
    }

    #[test]
    fn the_integers_of_the_appendix_are_read() {
        // RFC 7541 C.1: 10 and 1337 after five bits, 42 after eight.
        for (bytes, prefix_bits, value) in [(&[0x0a][..], 5, 10), (&[0x1f, 0x9a, 0x0a], 5, 1337), (&[42], 8, 42)] {
            let mut walk = Walk { rest: bytes, table: Table::default() };
            assert_eq!(walk.integer(prefix_bits), Ok(value));
        }
    }

    #[test]
    fn both_tables_are_looked_up() {
        check(&[0x81, 0x80 | 16, 0x80 | 61], &[":authority", "accept-encoding", "www-authenticate"]);
        // Two entries; then the newest is 62 and the older 63; one more moves them on.
        let block = [literal(0x40, b"x-a", b"1"), literal(0x40, b"x-b", b"2"), vec![0x80 | 62, 0x80 | 63]].concat();
        check(&block, &["x-a", "x-b", "x-b", "x-a"]);
        let more = [block, vec![0x7e, 1, b'3', 0x80 | 63]].concat();
        check(&more, &["x-a", "x-b", "x-b", "x-a", "x-b", "x-b"]);
        // A name in the Huffman code is found again, too.
        check(b"\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x01v\xbe", &["custom-key", "custom-key"]);
        // What is not to be kept is not.
        let kept = [literal(0x00, b"x-a", b"1"), vec![0x80 | 62]].concat();
        assert_eq!(names(&kept), Err(HpackError::NoSuchEntry));
    }

    #[test]
    fn the_oldest_entries_go_when_the_table_is_full() {
        let full = |value: usize| {
            let mut block = literal(0x40, b"x-a", b"1"); // 36 bytes
            block.extend(literal(0x40, b"x-b", &vec![b'v'; value])); // 35 and the value
            block.push(0x80 | 63);
            names(&block)
        };
        assert_eq!(full(4096 - 36 - 35).unwrap(), ["x-a", "x-b", "x-a"]);
        assert_eq!(full(4096 - 36 - 35 + 1), Err(HpackError::NoSuchEntry));
        // An entry larger than the table leaves it empty (§4.4).
        let too_large = [literal(0x40, b"x-c", &[b'v'; 5000]), vec![0x80 | 62]].concat();
        assert_eq!(names(&too_large), Err(HpackError::NoSuchEntry));
    }

    #[test]
    fn a_value_in_the_huffman_code_counts_with_its_plain_length() {
        // `X` has eight bits and `a` five: of 2000 bytes of code, 2000 plain bytes or 3200.
        let with = |letter: u8, plain: usize| {
            let code = huffman::encode(&vec![letter; plain]);
            let mut block = literal(0x40, b"x-a", b"1");
            let second = block.len();
            block.extend(literal(0x40, b"x-b", &code));
            // The length's first byte, after the name, says that the value is in the code.
            block[second + 5] |= 0x80;
            block.push(0x80 | 63);
            names(&block)
        };
        let room = 4096 - 36 - 35;
        assert_eq!(with(b'X', room).unwrap(), ["x-a", "x-b", "x-a"]);
        assert_eq!(with(b'X', room + 1), Err(HpackError::NoSuchEntry));
        assert_eq!(with(b'a', room).unwrap(), ["x-a", "x-b", "x-a"]);
        assert_eq!(with(b'a', room + 1), Err(HpackError::NoSuchEntry));
    }

    #[test]
    fn a_size_update_stands_in_front_and_empties_the_table_that_it_makes_too_small() {
        check(&[0x20, 0x82], &[":method"]);
        check(&[0x3f, 0xe1, 0x1f, 0x82], &[":method"]);
        assert_eq!(names(&[0x3f, 0xe2, 0x1f, 0x82]), Err(HpackError::TableTooLarge));
        assert_eq!(names(&[0x82, 0x20]), Err(HpackError::LateSizeUpdate));
        let nothing_fits = [vec![0x20], literal(0x40, b"x-a", b"1"), vec![0x80 | 62]].concat();
        assert_eq!(names(&nothing_fits), Err(HpackError::NoSuchEntry));
    }

    #[test]
    fn what_is_broken_is_refused() {
        for (block, error) in [
            (&[0x80][..], HpackError::NoSuchEntry),
            (&[0x80 | 62], HpackError::NoSuchEntry),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0x07], HpackError::NoSuchEntry),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], HpackError::IntegerTooLarge),
            (&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80], HpackError::IntegerTooLarge),
            (&[0xff; 4000], HpackError::IntegerTooLarge),
            (&[0x3f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], HpackError::IntegerTooLarge),
            (&[0xff], HpackError::Truncated),
            (&[0x40], HpackError::Truncated),
            (&[0x40, 0x05, b'a'], HpackError::Truncated),
            (&[0x40, 0x01, b'a'], HpackError::Truncated),
            (&[0x40, 0x01, b'a', 0x02, b'b'], HpackError::Truncated),
            (&[0x40, 0x81, 0x00, 0x00], HpackError::BadHuffman),
            (&[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00], HpackError::BadHuffman),
        ] {
            assert_eq!(names(block), Err(error), "{block:02x?}");
            assert!(error.to_string().starts_with("expected"), "{error}");
        }
    }

    #[test]
    fn a_short_block_cannot_stand_for_an_endless_list() {
        check(&[0x82; MAX_FIELDS], &[":method"; MAX_FIELDS]);
        assert_eq!(names(&[0x82; MAX_FIELDS + 1]), Err(HpackError::TooManyFields));
        let bomb = [literal(0x40, &[b'n'; 4000], b""), vec![0x80 | 62; 20]].concat();
        assert_eq!(names(&bomb), Err(HpackError::NamesTooLong));
    }
}
