//! The first bytes of a connection to the prints of its client.
//!
//! ```text
//!                                                                     ┌──► Ja3, JA3N
//! bytes ── record::scan ──► handshake message ── ClientHello::parse ──┼──► Ja4, JA4_r, JA4_o, JA4_ro
//!   │                                                                 ├──► StablePrint
//!   │ after TLS                                                       └──► Grease
//!   ├── Http2Recorder ──► Http2Print
//!   ├── Http1Print::of ─► Http1Print ──┐
//!   └── names of the fields ───────────┴──► header_order
//! ```
//!
//! Pure: values in, values out. What a client sent stays in the [`ClientHello`] as it was sent, GREASE
//! included; each print leaves out what its definition says. JA3 and JA4 are for comparing with lists that others
//! made; a [`StablePrint`] is for telling whether two connections are of one client. Of the JA4 family only the
//! print of TLS clients is here: the others have another licence.

mod codes;
mod digits;
mod error;
mod grease;
mod header_order;
mod hello;
mod hpack;
mod http1;
mod http2;
mod huffman;
mod ja3;
mod ja4;
mod lists;
mod prints;
pub mod reader;
pub mod record;
mod recorder;
mod short_hash;
mod stable;

pub use codes::{extension, group, is_grease, is_grease_protocol, is_grease_psk_mode};
pub use error::HelloError;
pub use grease::Grease;
pub use header_order::{header_order, header_order_hash, varies_with_the_request};
pub use hello::{AlpnList, ClientHello};
pub use hpack::{HpackError, MAX_FIELDS, MAX_NAME_BYTES, walk_header_block};
pub use http1::{HeaderCase, Http1Error, Http1Print, MAX_HEAD_BYTES, MAX_HEAD_FIELDS, Oddity};
pub use http2::{Http2Print, Priority, Pseudo};
pub use ja3::{Ja3, Ja3Hash, Ja3HashParseError};
pub use ja4::{Ja4, Ja4ParseError, ja4_r, ja4_ro};
pub use prints::{ListedPrints, Prints, read_any};
pub use record::{HelloLimits, Scan};
pub use recorder::{Http2GiveUp, Http2Recorder, MAX_RECORDED_BYTES, MAX_RECORDED_FRAMES, MAX_SETTINGS, Recording};
pub use short_hash::{ShortHash, ShortHashParseError};
pub use stable::{StablePrint, StablePrintParseError};
