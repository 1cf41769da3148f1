//! What a token is bound to.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whom and what a puzzle or a clearance is good for, as the caller sees it now.
///
/// A token keeps a digest of these and is accepted only with the same values again. How tolerant
/// that is lies with the caller: a field that is left empty binds nothing. A clearance that shall
/// survive a move from one network to another leaves `network` empty; a puzzle, which lives for
/// minutes, names it.
///
/// All fields are already in canonical form: the host in lower case and without port, the network
/// as the masked prefix bytes with its length.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Binding<'a> {
    /// The site: the host name, or the site key of a widget.
    pub site: &'a str,
    /// The route's name; empty for a token that is good on the whole site.
    pub route: &'a str,
    /// The client's network: prefix bytes or an AS number; empty when the token may travel.
    pub network: &'a [u8],
    /// The family of the user agent, such as `firefox`, and whatever else of the client stays the
    /// same from one connection to the next.
    pub family: &'a [u8],
}

impl Binding<'_> {
    /// The digest that a token carries.
    pub(crate) fn digest(&self) -> BindingDigest {
        let mut hash = Sha256::new();
        absorb(
            &[b"portcullis binding 1", self.site.as_bytes(), self.route.as_bytes(), self.network, self.family],
            |bytes| {
                hash.update(bytes);
            },
        );
        let full: [u8; 32] = hash.finalize().into();
        let mut short = [0; BindingDigest::BYTES];
        for (to, from) in short.iter_mut().zip(full) {
            *to = from;
        }
        BindingDigest(short)
    }
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
        let base = Binding { site: "shop.example", route: "login", network: &[192, 0, 2], family: b"firefox" };
        for (name, other) in [
            ("site", Binding { site: "blog.example", ..base }),
            ("route", Binding { route: "cart", ..base }),
            ("network", Binding { network: &[198, 51, 100], ..base }),
            ("family", Binding { family: b"chrome", ..base }),
            ("a boundary", Binding { site: "shop.examplel", route: "ogin", ..base }),
            ("a field moved", Binding { route: "", network: b"login", ..base }),
        ] {
            assert!(!base.digest().matches(&other.digest()), "{name}");
        }
        assert!(base.digest().matches(&base.digest()));
    }
}
