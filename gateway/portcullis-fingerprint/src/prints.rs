//! All the prints of one hello.

use crate::error::HelloError;
use crate::hello::ClientHello;
use crate::ja3::Ja3;
use crate::ja4::{Ja4, ja4_r};
use crate::record::CLIENT_HELLO;

/// Every print of one ClientHello.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prints {
    /// The JA3 text and its hash.
    pub ja3: Ja3,
    /// The JA4.
    pub ja4: Ja4,
    /// The JA4 without what comes and goes with resumption: see [`Ja4::stable`].
    pub ja4_stable: Ja4,
    /// The JA4 before hashing: see [`ja4_r`].
    pub ja4_r: String,
}

impl Prints {
    /// The prints of `hello`.
    pub fn of(hello: &ClientHello) -> Self {
        let (ja4, ja4_stable) = Ja4::pair(hello);
        Self { ja3: Ja3::of(hello), ja4, ja4_stable, ja4_r: ja4_r(hello) }
    }
}

/// Reads a ClientHello from `bytes` and makes all its prints.
///
/// `bytes` are the TLS records as sent, or the bare handshake message: the first byte says which.
///
/// # Errors
///
/// Whatever [`ClientHello::from_records`] or [`ClientHello::parse`] says.
pub fn read_any(bytes: &[u8]) -> Result<Prints, HelloError> {
    let hello = match bytes.first() {
        Some(&CLIENT_HELLO) => ClientHello::parse(bytes),
        _ => ClientHello::from_records(bytes),
    };
    hello.map(|hello| Prints::of(&hello))
}
