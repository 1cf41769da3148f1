//! The one type that slices bytes from strangers.

use std::fmt;

use smallvec::{Array, SmallVec};

/// What is left of some bytes from the wire, taken from the front, field by field.
///
/// Every method takes the name that the standard gives the field, so that a failure can say where.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left, without taking it.
    pub const fn remaining(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes the next `len` bytes of `field`.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overrun`] when fewer are left.
    pub const fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], ReadError> {
        match self.bytes.split_at_checked(len) {
            Some((head, rest)) => {
                self.bytes = rest;
                Ok(head)
            }
            None => Err(self.overrun(field, Expected::Bytes(len))),
        }
    }

    /// Takes one byte.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overrun`] when none is left.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ReadError> {
        self.array::<1>(field, Expected::Bytes(1)).map(|[value]| value)
    }

    /// Takes two bytes, most significant first.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overrun`] when fewer are left.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, ReadError> {
        self.array(field, Expected::Bytes(2)).map(u16::from_be_bytes)
    }

    /// Takes a vector with a length of one byte, and gives a reader of its contents.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overrun`] when the length, or as many bytes as it says, are not there.
    pub fn vec8(&mut self, field: &'static str) -> Result<Self, ReadError> {
        let [len] = self.array(field, Expected::Length(1))?;
        self.take(field, usize::from(len)).map(Self::new)
    }

    /// Takes a vector with a length of two bytes, and gives a reader of its contents.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overrun`] when the length, or as many bytes as it says, are not there.
    pub fn vec16(&mut self, field: &'static str) -> Result<Self, ReadError> {
        let len = u16::from_be_bytes(self.array(field, Expected::Length(2))?);
        self.take(field, usize::from(len)).map(Self::new)
    }

    /// Takes a vector with a length of three bytes, and gives a reader of its contents.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overrun`] when the length, or as many bytes as it says, are not there.
    pub fn vec24(&mut self, field: &'static str) -> Result<Self, ReadError> {
        let len = u24(self.array(field, Expected::Length(3))?);
        self.take(field, len).map(Self::new)
    }

    /// All that is left, as two-byte values in wire order.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overrun`] when an odd byte stands at the end.
    pub fn u16_list<A: Array<Item = u16>>(self, field: &'static str) -> Result<SmallVec<A>, ReadError> {
        let (pairs, odd) = self.bytes.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(ReadError::Overrun { field, expected: Expected::Bytes(2), found: odd.len() });
        }
        Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
    }

    /// All that is left, byte by byte.
    pub fn u8_list<A: Array<Item = u8>>(self) -> SmallVec<A> {
        SmallVec::from_slice(self.bytes)
    }

    /// Asks that nothing be left of `field`.
    ///
    /// # Errors
    ///
    /// [`ReadError::Trailing`] when something is.
    pub const fn finish(&self, field: &'static str) -> Result<(), ReadError> {
        match self.bytes.len() {
            0 => Ok(()),
            found => Err(ReadError::Trailing { field, found }),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str, expected: Expected) -> Result<[u8; N], ReadError> {
        match self.bytes.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.bytes = rest;
                Ok(*head)
            }
            None => Err(self.overrun(field, expected)),
        }
    }

    const fn overrun(&self, field: &'static str, expected: Expected) -> ReadError {
        ReadError::Overrun { field, expected, found: self.bytes.len() }
    }
}

/// Why some bytes are not the message that they say they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadError {
    /// A field, or the length before it, goes past the end of what holds it.
    Overrun {
        /// The field's name in the standard.
        field: &'static str,
        /// What was to come next.
        expected: Expected,
        /// How many bytes were left.
        found: usize,
    },
    /// Bytes are left over where a field ends.
    Trailing {
        /// The field's name in the standard.
        field: &'static str,
        /// How many bytes were left.
        found: usize,
    },
    /// A vector is longer than the standard lets it be.
    TooLong {
        /// The field's name in the standard.
        field: &'static str,
        /// The most bytes that it may have.
        most: usize,
        /// How many it says it has.
        found: usize,
    },
}

/// What a reader was about to take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// A length of so many bytes, before a vector.
    Length(usize),
    /// So many bytes.
    Bytes(usize),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overrun { field, expected, found } => {
                write!(f, "expected {expected} in `{field}`, but found {}", Expected::Bytes(*found))
            }
            Self::Trailing { field, found } => {
                write!(f, "expected `{field}` to end, but found {} more", Expected::Bytes(*found))
            }
            Self::TooLong { field, most, found } => {
                write!(f, "expected at most {} in `{field}`, but found {found}", Expected::Bytes(*most))
            }
        }
    }
}

impl std::error::Error for ReadError {}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(width) => write!(f, "a {width}-byte length"),
            Self::Bytes(1) => f.write_str("1 byte"),
            Self::Bytes(count) => write!(f, "{count} bytes"),
        }
    }
}

/// The value of three bytes, most significant first.
pub(crate) fn u24([high, middle, low]: [u8; 3]) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_field_and_what_was_there() {
        let check = |bytes: &[u8], read: fn(&mut Reader<'_>) -> Result<(), ReadError>, message: &str| {
            let error = read(&mut Reader::new(bytes)).unwrap_err();
            assert_eq!(error.to_string(), message, "{bytes:02x?}");
        };
        let suites: fn(&mut Reader<'_>) -> Result<(), ReadError> = |reader| {
            let list = reader.vec16("cipher_suites")?.u16_list::<[u16; 4]>("cipher_suites");
            list.map(|_| ())
        };
        check(&[0x00], suites, "expected a 2-byte length in `cipher_suites`, but found 1 byte");
        check(&[], suites, "expected a 2-byte length in `cipher_suites`, but found 0 bytes");
        check(&[0, 4, 1, 2], suites, "expected 4 bytes in `cipher_suites`, but found 2 bytes");
        check(&[0, 3, 1, 2, 3], suites, "expected 2 bytes in `cipher_suites`, but found 1 byte");
        check(&[], |r| r.u8("msg_type").map(|_| ()), "expected 1 byte in `msg_type`, but found 0 bytes");
        check(&[9], |r| r.vec8("alpn").map(|_| ()), "expected 9 bytes in `alpn`, but found 0 bytes");
        check(&[0, 0], |r| r.vec24("body").map(|_| ()), "expected a 3-byte length in `body`, but found 2 bytes");
        check(&[0], |r| r.finish("extensions"), "expected `extensions` to end, but found 1 byte more");
    }

    #[test]
    fn a_failed_read_takes_nothing() {
        let mut reader = Reader::new(&[7, 8]);
        assert!(reader.take("random", 3).is_err());
        assert_eq!(reader.u16("legacy_version"), Ok(0x0708));
        assert!(reader.is_empty());
    }
}
