//! Bytes of a TLS ClientHello to its JA3 and JA4 fingerprints.
//!
//! ```text
//! bytes ── record::scan ──► handshake message ── ClientHello::parse ──► ClientHello ──► Ja3, Ja4, ja4_r
//! ```
//!
//! Pure: values in, values out. What a client sent stays in the [`ClientHello`] as it was sent, GREASE
//! included; each print leaves out what its definition says.

mod codes;
mod digits;
mod error;
mod hello;
mod http2;
mod ja3;
mod ja4;
mod prints;
pub mod reader;
pub mod record;

pub use codes::{extension, group, is_grease};
pub use error::HelloError;
pub use hello::{AlpnList, ClientHello};
pub use http2::{Http2Print, Priority, Pseudo};
pub use ja3::{Ja3, Ja3Hash, Ja3HashParseError};
pub use ja4::{Ja4, Ja4ParseError, ja4_r};
pub use prints::{Prints, read_any};
pub use record::{HelloLimits, Scan};
