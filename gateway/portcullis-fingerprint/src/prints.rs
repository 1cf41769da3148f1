//! All the prints of one hello.

use crate::digits::Text;
use crate::error::HelloError;
use crate::hello::ClientHello;
use crate::ja3::{Ja3, Ja3Hash};
use crate::ja4::{Ja4, Raw};
use crate::lists::Sorted;
use crate::stable::StablePrint;

/// Every print of one ClientHello.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prints {
    /// The JA3 text and its hash.
    pub ja3: Ja3,
    /// The JA3 with sorted extensions: see [`Ja3::normalized`].
    pub ja3n: Ja3,
    /// The JA4.
    pub ja4: Ja4,
    /// The JA4 in its original order: see [`Ja4::original`].
    pub ja4_o: Ja4,
    /// The JA4 before hashing: see [`ja4_r`](crate::ja4_r).
    pub ja4_r: String,
    /// The JA4 in its original order before hashing: see [`ja4_ro`](crate::ja4_ro).
    pub ja4_ro: String,
    /// What the client is, whatever changes with the connection.
    pub stable: StablePrint,
}

impl Prints {
    /// The prints of `hello`.
    pub fn of(hello: &ClientHello) -> Self {
        let lists = Sorted::of(hello);
        let text = &mut Text::new();
        let (ja3, ja3n) = Ja3::pair(hello, &lists.extensions, text);
        let raw = Raw::sorted(hello, &lists, text);
        let (ja4, ja4_r) = (raw.hash(), raw.text().to_owned());
        let raw = Raw::original(hello, text);
        let (ja4_o, ja4_ro) = (raw.hash(), raw.text().to_owned());
        let stable = StablePrint::with_ciphers(&ja4_o.b_bytes(), hello, &lists.extensions, text);
        Self { ja3, ja3n, ja4, ja4_o, ja4_r, ja4_ro, stable }
    }
}

/// The two prints by which lists that others made name a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListedPrints {
    /// The JA3 hash.
    pub ja3: Ja3Hash,
    /// The JA4.
    pub ja4: Ja4,
}

impl ListedPrints {
    /// The prints of `hello`. Allocates nothing for the hellos that real clients send.
    pub fn of(hello: &ClientHello) -> Self {
        let text = &mut Text::new();
        let ja3 = Ja3Hash::written_into(text, hello);
        Self { ja3, ja4: Raw::sorted(hello, &Sorted::of(hello), text).hash() }
    }
}

/// Reads a ClientHello from `bytes` and makes all its prints.
///
/// `bytes` are the TLS records as sent, or the bare handshake message: the first byte says which.
///
/// # Errors
///
/// Whatever [`ClientHello::from_any`] says.
pub fn read_any(bytes: &[u8]) -> Result<Prints, HelloError> {
    ClientHello::from_any(bytes).map(|hello| Prints::of(&hello))
}
