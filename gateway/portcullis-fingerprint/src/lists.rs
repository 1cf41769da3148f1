//! The lists that prints are made of.

use smallvec::SmallVec;

use crate::codes::is_grease;
use crate::hello::ClientHello;

/// The ciphers and extensions of a hello without GREASE, sorted once for all prints that want them so.
pub(crate) struct Sorted {
    pub(crate) ciphers: SmallVec<[u16; 64]>,
    pub(crate) extensions: SmallVec<[u16; 32]>,
}

impl Sorted {
    pub(crate) fn of(hello: &ClientHello) -> Self {
        let mut ciphers: SmallVec<[u16; 64]> = without_grease(&hello.cipher_suites).collect();
        ciphers.sort_unstable();
        Self { ciphers, extensions: sorted_extensions(hello) }
    }
}

/// The extensions of a hello without GREASE, sorted.
pub(crate) fn sorted_extensions(hello: &ClientHello) -> SmallVec<[u16; 32]> {
    let mut extensions: SmallVec<[u16; 32]> = without_grease(&hello.extensions).collect();
    extensions.sort_unstable();
    extensions
}

pub(crate) fn without_grease(values: &[u16]) -> impl Iterator<Item = u16> {
    values.iter().copied().filter(|value| !is_grease(*value))
}
