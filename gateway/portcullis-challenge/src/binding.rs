//! What a token is bound to.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::network::{Move, Network, Tolerance};
use crate::refusal::Refusal;
use crate::token::Fields;

/// Whom and what a puzzle or a clearance is good for, as the caller sees it now.
///
/// A token keeps a digest of `site`, `route`, `family` and `fingerprint`, and is accepted only with
/// the same values again; a field that is left empty binds nothing. The network it keeps as it is,
/// and `tolerance` says how far from there it may be used: people change masts, and a dual-stack
/// client comes over IPv4 once and over IPv6 the next time.
///
/// All fields are already in canonical form: the host in lower case and without port.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Binding<'a> {
    /// The site: the host name, or the internal name of a widget's site key.
    pub site: &'a str,
    /// The route's name; empty for a token that is good on the whole site.
    pub route: &'a str,
    /// Where the client is.
    pub network: Network,
    /// How far from where the token was issued it is accepted. Not part of the token.
    pub tolerance: Tolerance,
    /// The family of the user agent, such as `firefox`.
    pub family: &'a [u8],
    /// What of the handshake stays the same from one connection of a client to the next: a
    /// fingerprint without the parts that a resumed session adds.
    pub fingerprint: &'a [u8],
}

impl Binding<'_> {
    /// The digest of what must be the same again.
    fn digest(&self) -> BindingDigest {
        digest(&[b"portcullis binding 2", self.site.as_bytes(), self.route.as_bytes(), self.family, self.fingerprint])
    }

    /// What a token keeps of it.
    pub(crate) fn bound(&self) -> Bound {
        Bound { who: self.digest(), network: self.network }
    }
}

/// What a token keeps of a binding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    who: BindingDigest,
    pub(crate) network: Network,
}

impl Bound {
    pub(crate) const BYTES: usize = BindingDigest::BYTES + Network::BYTES;

    /// Whether the token is good for `binding`, and how far its holder moved.
    pub(crate) fn admit(&self, binding: &Binding<'_>) -> Result<Move, Refusal> {
        let moved = self.network.moved_to(&binding.network);
        if self.who.matches(&binding.digest()) && binding.tolerance.accepts(moved) {
            Ok(moved)
        } else {
            Err(Refusal::OtherBinding)
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.who.0);
        out.extend_from_slice(&self.network.to_bytes());
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self { who: BindingDigest(fields.take()?), network: Network::from_bytes(fields.take()?)? })
    }
}

/// The digest of a list of fields of any length.
pub(crate) fn digest(fields: &[&[u8]]) -> BindingDigest {
    let mut hash = Sha256::new();
    absorb(fields, |bytes| hash.update(bytes));
    let full: [u8; 32] = hash.finalize().into();
    let mut short = [0; BindingDigest::BYTES];
    for (to, from) in short.iter_mut().zip(full) {
        *to = from;
    }
    BindingDigest(short)
}

/// The first 128 bits of the SHA-256 of a binding: more than enough against a second preimage, and
/// the tokens that carry it travel with every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BindingDigest(pub(crate) [u8; Self::BYTES]);

impl BindingDigest {
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Writes `fields` so that no two different lists write the same bytes: each one's length first.
///
/// Without the lengths, what one field loses at its end the next could gain at its start, and a
/// code over one list would be good for another.
fn absorb(fields: &[&[u8]], mut sink: impl FnMut(&[u8])) {
    for field in fields {
        sink(&(field.len() as u64).to_be_bytes());
        sink(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn absorbed(fields: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        absorb(&fields.iter().map(Vec::as_slice).collect::<Vec<_>>(), |bytes| out.extend_from_slice(bytes));
        out
    }

    /// Fields over a tiny alphabet that holds the bytes of lengths, so that ambiguities are likely.
    fn fields() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..12), 0..5)
    }

    proptest! {
        /// The ALTCHA splice: two different field lists must never share the authenticated bytes.
        #[test]
        fn two_different_field_lists_never_share_their_bytes(one in fields(), other in fields()) {
            prop_assert_eq!(one == other, absorbed(&one) == absorbed(&other));
        }

        /// The same, for lists that differ only in where one field ends and the next begins.
        #[test]
        fn moving_a_boundary_changes_the_bytes(all in proptest::collection::vec(any::<u8>(), 0..40), a in 0_usize..40, b in 0_usize..40) {
            let (a, b) = (a.min(all.len()), b.min(all.len()));
            let split = |at: usize| vec![all[..at].to_vec(), all[at..].to_vec()];
            prop_assert_eq!(a == b, absorbed(&split(a)) == absorbed(&split(b)));
        }
    }

    #[test]
    fn every_field_changes_the_digest() {
        let base = Binding { site: "shop.example", route: "login", family: b"firefox", ..Binding::default() };
        for (name, other) in [
            ("site", Binding { site: "blog.example", ..base }),
            ("route", Binding { route: "cart", ..base }),
            ("family", Binding { family: b"chrome", ..base }),
            ("a boundary", Binding { site: "shop.examplel", route: "ogin", ..base }),
            ("fingerprint", Binding { fingerprint: b"t13d1516h2", ..base }),
            ("a field moved", Binding { family: b"", fingerprint: b"firefox", ..base }),
        ] {
            assert!(!base.digest().matches(&other.digest()), "{name}");
        }
        assert!(base.digest().matches(&base.digest()));
    }
}
