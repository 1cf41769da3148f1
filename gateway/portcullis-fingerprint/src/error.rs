//! Why some bytes are not a ClientHello.

use std::fmt;

use crate::reader::ReadError;

/// Why no ClientHello was read.
///
/// "Not enough yet" while bytes still come is not an error: see [`Scan::NeedMore`](crate::record::Scan::NeedMore).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HelloError {
    /// The peer does not speak TLS.
    NotTls {
        /// The offset of the first byte that no TLS client sends: 0 or 1.
        at: usize,
        /// That byte.
        found: u8,
    },
    /// The bytes ended before the hello did.
    Incomplete,
    /// A record carries no bytes, which the standard forbids for a handshake (RFC 8446 §5.1).
    EmptyRecord,
    /// A record says that it carries more than the standard allows (RFC 8446 §5.1).
    RecordTooLong {
        /// The length that it states, in bytes.
        len: usize,
    },
    /// A record of another kind stands in the middle of the hello.
    UnexpectedRecord {
        /// Its content type: 20 change_cipher_spec, 21 alert, 23 application_data, …
        content_type: u8,
    },
    /// The hello is spread over more records than are read.
    TooManyRecords {
        /// How many are read.
        limit: usize,
    },
    /// The hello is longer than is read.
    TooLong {
        /// The length that it states, in bytes, its header included.
        len: usize,
        /// How many bytes are read.
        limit: usize,
    },
    /// The first handshake message is not a ClientHello.
    NotClientHello {
        /// Its type.
        found: u8,
    },
    /// The record that ends the hello goes on with another message.
    ///
    /// A client has nothing to say before the server has answered, so no real client does this.
    ExtraInRecord {
        /// How many bytes stand after the hello in its last record.
        found: usize,
    },
    /// A length inside the hello lies.
    Read(ReadError),
}

impl From<ReadError> for HelloError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotTls { at: 0, found } => {
                write!(f, "not TLS: expected a handshake record (0x16), but found 0x{found:02x}")?;
                f.write_str(guess(found))
            }
            Self::NotTls { found, .. } => {
                write!(f, "not TLS: expected the record version to begin with 0x03, but found 0x{found:02x}")
            }
            Self::Incomplete => f.write_str("the ClientHello is not complete"),
            Self::EmptyRecord => f.write_str("expected at least 1 byte in `TLSPlaintext.fragment`, but found 0 bytes"),
            Self::RecordTooLong { len } => {
                write!(f, "expected at most 16384 bytes in `TLSPlaintext.fragment`, but found {len}")
            }
            Self::UnexpectedRecord { content_type } => {
                write!(f, "expected the ClientHello to go on, but found a record of content type {content_type}")
            }
            Self::TooManyRecords { limit } => {
                write!(f, "expected a ClientHello in at most {limit} records, but found more")
            }
            Self::TooLong { len, limit } => {
                write!(f, "expected a ClientHello of at most {limit} bytes, but found {len}")
            }
            Self::NotClientHello { found } => {
                write!(f, "expected a ClientHello (handshake type 1), but found handshake type {found}")
            }
            Self::ExtraInRecord { found } => {
                write!(f, "expected the record to end with the ClientHello, but it goes on for {found} more")
            }
            Self::Read(ref error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HelloError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            _ => None,
        }
    }
}

/// What a peer may be speaking that begins with `first`, as the end of a message.
const fn guess(first: u8) -> &'static str {
    match first {
        b'P' => ", as of plain HTTP or a PROXY header",
        b'A'..=b'Z' | b'a'..=b'z' => ", as of plain HTTP",
        0x0d => ", as of a PROXY header, version 2",
        0x14 | 0x15 | 0x17 => ", a TLS record of another kind",
        0x80..=0xff => ", as of an SSLv2 hello, which is not accepted",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_a_person_what_was_sent_instead() {
        for (found, message) in [
            (b'G', "not TLS: expected a handshake record (0x16), but found 0x47, as of plain HTTP"),
            (b'P', "not TLS: expected a handshake record (0x16), but found 0x50, as of plain HTTP or a PROXY header"),
            (0x0d, "not TLS: expected a handshake record (0x16), but found 0x0d, as of a PROXY header, version 2"),
            (0x15, "not TLS: expected a handshake record (0x16), but found 0x15, a TLS record of another kind"),
            (
                0x80,
                "not TLS: expected a handshake record (0x16), but found 0x80, as of an SSLv2 hello, which is not accepted",
            ),
            (0x00, "not TLS: expected a handshake record (0x16), but found 0x00"),
        ] {
            assert_eq!(HelloError::NotTls { at: 0, found }.to_string(), message);
        }
    }
}
