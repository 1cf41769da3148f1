//! GREASE, list by list: values that mean nothing, by which some clients keep servers tolerant.

use crate::codes::{is_grease, is_grease_protocol, is_grease_psk_mode};
use crate::hello::ClientHello;

/// How many GREASE values each list of a hello holds (RFC 8701 §3.1).
///
/// A client either sends them in the same lists each time or not at all; which value it is is chance.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Grease {
    /// Among the cipher suites.
    pub cipher_suites: usize,
    /// Among the extensions' types.
    pub extensions: usize,
    /// Among the groups.
    pub groups: usize,
    /// Among the groups of the key shares.
    pub key_shares: usize,
    /// Among the versions.
    pub versions: usize,
    /// Among the signature schemes.
    pub signature_algorithms: usize,
    /// Among the ways of using a pre-shared key.
    pub psk_modes: usize,
    /// Among the application protocols.
    pub alpn: usize,
}

impl Grease {
    /// The GREASE of `hello`.
    pub fn of(hello: &ClientHello) -> Self {
        let count = |list: &[u16]| list.iter().filter(|value| is_grease(**value)).count();
        Self {
            cipher_suites: count(&hello.cipher_suites),
            extensions: count(&hello.extensions),
            groups: count(&hello.groups),
            key_shares: count(&hello.key_share_groups),
            versions: count(&hello.supported_versions),
            signature_algorithms: count(&hello.signature_algorithms),
            psk_modes: hello.psk_modes.iter().filter(|mode| is_grease_psk_mode(**mode)).count(),
            alpn: hello.alpn.iter().filter(|protocol| is_grease_protocol(protocol)).count(),
        }
    }

    /// Whether any list holds any.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn each_list_is_counted_by_itself() {
        let hello = ClientHello {
            cipher_suites: smallvec![0x1a1a, 0x1301],
            extensions: smallvec![0x2a2a, 0, 0x3a3a],
            groups: smallvec![29],
            key_share_groups: smallvec![0x4a4a],
            supported_versions: smallvec![0x0304],
            signature_algorithms: smallvec![0x5a5a, 0x6a6a, 0x7a7a],
            psk_modes: smallvec![1, 0x0b],
            ..ClientHello::default()
        };
        let expected = Grease {
            cipher_suites: 1,
            extensions: 2,
            key_shares: 1,
            signature_algorithms: 3,
            psk_modes: 1,
            ..Grease::default()
        };
        assert_eq!(Grease::of(&hello), expected);
        assert!(expected.is_any() && !Grease::of(&ClientHello::default()).is_any());
    }
}
