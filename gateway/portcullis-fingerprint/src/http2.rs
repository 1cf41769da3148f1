//! What an HTTP/2 client shows up to its first request.

use std::fmt;

use smallvec::SmallVec;

/// The HTTP/2 print of a connection: what the client chose to send, in the order in which it sent it.
///
/// [`Display`](fmt::Display) writes `settings|window|priority|pseudo-headers`, the form that is usual since
/// "Passive Fingerprinting of HTTP/2 Clients" (Black Hat Europe 2017): `1:65536;4:6291456|15663105|0|m,a,s,p`.
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
    /// The first request's pseudo-header fields.
    pub pseudo: SmallVec<[Pseudo; 4]>,
    /// Names of the first request's other header fields.
    pub header_names: Vec<Box<[u8]>>,
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
        match self {
            Self::Method => 'm',
            Self::Authority => 'a',
            Self::Scheme => 's',
            Self::Path => 'p',
            Self::Protocol => 'r',
        }
    }
}

impl fmt::Display for Http2Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (id, value)) in self.settings.iter().enumerate() {
            write!(f, "{}{id}:{value}", if at > 0 { ";" } else { "" })?;
        }
        write!(f, "|{}|", self.window_increment)?;
        if self.priorities.is_empty() {
            f.write_str("0")?;
        }
        for (at, Priority { stream, exclusive, depends_on, weight }) in self.priorities.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{stream}:{}:{depends_on}:{weight}", u8::from(*exclusive))?;
        }
        f.write_str("|")?;
        for (at, pseudo) in self.pseudo.iter().enumerate() {
            write!(f, "{}{}", if at > 0 { "," } else { "" }, pseudo.letter())?;
        }
        Ok(())
    }
}
