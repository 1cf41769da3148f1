//! What an HTTP/2 client shows up to its first request.

use std::fmt;

use smallvec::SmallVec;

use crate::digits::Text;
use crate::short_hash::ShortHash;

/// The HTTP/2 print of a connection: what the client chose to send, in the order in which it sent it.
///
/// [`Display`](fmt::Display) writes `settings|window|priority|pseudo-headers`, the form that is usual since
/// "Passive Fingerprinting of HTTP/2 Clients" (Black Hat Europe 2017): `1:65536;4:6291456|15663105|0|m,a,s,p`,
/// with `00` for a WINDOW_UPDATE that did not come and `0` for PRIORITY frames that did not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Http2Print {
    /// Identifier and value of each setting of the first SETTINGS frame (RFC 9113 §6.5.1).
    pub settings: SmallVec<[(u16, u32); 8]>,
    /// The increment of the first WINDOW_UPDATE of the whole connection (§6.9); 0 where none came.
    pub window_increment: u32,
    /// PRIORITY frames that came before the first request (RFC 7540 §6.3).
    pub priorities: SmallVec<[Priority; 4]>,
    /// The priority that the first HEADERS frame carried.
    pub headers_priority: Option<Priority>,
    /// The stream of the first request: 1 unless the client used streams for something else before.
    pub first_stream: u32,
    /// The first request's pseudo-header fields.
    pub pseudo: SmallVec<[Pseudo; 4]>,
}

impl Http2Print {
    /// The hash of the print's usual form, which is also its [`Display`](fmt::Display).
    pub fn hash(&self) -> ShortHash {
        ShortHash::of(&self.text())
    }

    fn text(&self) -> Text {
        let mut out = Text::new();
        for (at, (id, value)) in self.settings.iter().enumerate() {
            if at > 0 {
                out.put_byte(b';');
            }
            out.put_decimal(*id);
            out.put_byte(b':');
            out.put_long_decimal(*value);
        }
        out.put_byte(b'|');
        match self.window_increment {
            // Lists write "none came" so.
            0 => out.put_bytes(b"00"),
            increment => out.put_long_decimal(increment),
        }
        out.put_byte(b'|');
        if self.priorities.is_empty() {
            out.put_byte(b'0');
        }
        for (at, Priority { stream, exclusive, depends_on, weight }) in self.priorities.iter().enumerate() {
            if at > 0 {
                out.put_byte(b',');
            }
            out.put_long_decimal(*stream);
            out.put_byte(b':');
            out.put_byte(b'0' + u8::from(*exclusive));
            out.put_byte(b':');
            out.put_long_decimal(*depends_on);
            out.put_byte(b':');
            out.put_decimal(*weight);
        }
        out.put_byte(b'|');
        for (at, pseudo) in self.pseudo.iter().enumerate() {
            if at > 0 {
                out.put_byte(b',');
            }
            out.put_byte(pseudo.letter_byte());
        }
        out
    }
}

/// The priority of a stream (RFC 7540 §5.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Priority {
    /// The stream that it is for.
    pub stream: u32,
    /// Whether the dependency is exclusive.
    pub exclusive: bool,
    /// The stream that it depends on.
    pub depends_on: u32,
    /// The weight, 1 to 256.
    pub weight: u16,
}

/// A pseudo-header field of a request (RFC 9113 §8.3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pseudo {
    /// `:method`
    Method,
    /// `:authority`
    Authority,
    /// `:scheme`
    Scheme,
    /// `:path`
    Path,
    /// `:protocol` (RFC 8441)
    Protocol,
}

impl Pseudo {
    /// The letter that prints use.
    pub const fn letter(self) -> char {
        self.letter_byte() as char
    }

    /// The pseudo-header field of this name, if there is one.
    pub const fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b":method" => Some(Self::Method),
            b":authority" => Some(Self::Authority),
            b":scheme" => Some(Self::Scheme),
            b":path" => Some(Self::Path),
            b":protocol" => Some(Self::Protocol),
            _ => None,
        }
    }

    const fn letter_byte(self) -> u8 {
        match self {
            Self::Method => b'm',
            Self::Authority => b'a',
            Self::Scheme => b's',
            Self::Path => b'p',
            Self::Protocol => b'r',
        }
    }
}

impl fmt::Display for Http2Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    fn print() -> Http2Print {
        Http2Print {
            settings: smallvec![(1, 65536), (2, 0), (4, 6_291_456), (6, 262_144)],
            window_increment: 15_663_105,
            pseudo: smallvec![Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path],
            ..Http2Print::default()
        }
    }

    #[test]
    fn the_usual_form_has_four_parts() {
        assert_eq!(print().to_string(), "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p");
        assert_eq!(Http2Print::default().to_string(), "|00|0|");
        let priority = |stream, weight| Priority { stream, exclusive: stream == 5, depends_on: 0, weight };
        let with = Http2Print { priorities: smallvec![priority(3, 201), priority(5, 256)], ..Http2Print::default() };
        assert_eq!(with.to_string(), "|00|3:0:0:201,5:1:0:256|");
    }

    #[test]
    fn the_hash_is_of_the_text() {
        let print = print();
        // `printf '1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p' | sha256sum`
        assert_eq!(print.hash().to_string(), "b95b8e312a5e");
    }
}
