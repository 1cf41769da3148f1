//! The lists that prints are made of, made once for all of them.

use smallvec::SmallVec;

use crate::codes::is_grease;
use crate::hello::ClientHello;

/// Some lists of a hello without GREASE, in wire order and sorted.
pub(crate) struct Lists {
    pub(crate) ciphers: SmallVec<[u16; 64]>,
    pub(crate) sorted_ciphers: SmallVec<[u16; 64]>,
    pub(crate) extensions: SmallVec<[u16; 32]>,
    pub(crate) sorted_extensions: SmallVec<[u16; 32]>,
    pub(crate) schemes: SmallVec<[u16; 64]>,
}

impl Lists {
    pub(crate) fn of(hello: &ClientHello) -> Self {
        let ciphers: SmallVec<[u16; 64]> = without_grease(&hello.cipher_suites).collect();
        let extensions: SmallVec<[u16; 32]> = without_grease(&hello.extensions).collect();
        let mut sorted_ciphers = SmallVec::from_slice(&ciphers);
        let mut sorted_extensions = SmallVec::from_slice(&extensions);
        sorted_ciphers.sort_unstable();
        sorted_extensions.sort_unstable();
        let schemes = without_grease(&hello.signature_algorithms).collect();
        Self { ciphers, sorted_ciphers, extensions, sorted_extensions, schemes }
    }

    /// The extensions that `left_out` does not name, sorted.
    pub(crate) fn sorted_extensions_without(&self, left_out: &[u16]) -> SmallVec<[u16; 32]> {
        self.sorted_extensions.iter().copied().filter(|extension| !left_out.contains(extension)).collect()
    }
}

pub(crate) fn without_grease(values: &[u16]) -> impl Iterator<Item = u16> {
    values.iter().copied().filter(|value| !is_grease(*value))
}
