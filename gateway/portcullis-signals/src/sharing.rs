//! Addresses that many people share, and who is counted there.

use portcullis_fingerprint::Ja4;

use crate::{Claim, Facts};

/// Who asks from an address that many people share, as far as one of them is told from another.
///
/// Nothing of it is proven: who changes it is counted anew. That is why the address goes on counting beside it, and the
/// fingerprint beside a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sharer<'a> {
    /// The JA4 of its connection; none over plaintext.
    pub ja4: Option<Ja4>,
    /// What it says it is. With `ja4` it is the fingerprint, which all that use one browser on one system have in common.
    pub claim: Claim,
    /// By what it names itself, where the route identifies that.
    pub named: Option<Named<'a>>,
}

/// By what a caller names itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Named<'a> {
    /// The user, who stays the same over sessions.
    User(&'a str),
    /// The session.
    Session(&'a str),
}

/// How many times as much as of one client is usual from a shared address, and from its prefix.
///
/// A carrier puts dozens to thousands of subscribers behind an address, of whom few ask one site in the same minute.
const SHARED_ADDRESS: u32 = 32;

/// How many times as much as of one client is usual from those behind one address who look alike.
const SHARED_FINGERPRINT: u32 = 8;

impl<'a> Facts<'a> {
    /// Who is counted beside the address, where it is shared; none where the address is the client's own.
    ///
    /// An API key names no person: an application may carry one key on every phone.
    pub fn sharer(&self) -> Option<Sharer<'a>> {
        self.network.is_shared().then(|| Sharer {
            ja4: self.tls.as_ref().map(|tls| tls.ja4),
            claim: self.claim,
            named: self.caller.user.map(Named::User).or(self.caller.session.map(Named::Session)),
        })
    }

    /// Requests in the last minute that are held against the client, this one counted.
    ///
    /// From an address of its own these are all of the address. Where the address is shared, those under its name, or so
    /// many as one of those who look alike, or one of those behind the address, has on average: the most of them, so that
    /// no name that a client makes up brings it below what it had without.
    pub fn requests_per_minute(&self) -> u32 {
        let behaviour = self.behaviour;
        if !self.network.is_shared() {
            return behaviour.address_per_minute;
        }
        behaviour
            .named_per_minute
            .max(behaviour.fingerprint_per_minute / SHARED_FINGERPRINT)
            .max(behaviour.address_per_minute / SHARED_ADDRESS)
    }

    /// Requests of the client's prefix in the last minute that are held against it, this one counted.
    pub fn prefix_requests_per_minute(&self) -> u32 {
        self.per_client(self.behaviour.prefix_per_minute)
    }

    /// What a count of the client's address comes to for one of those behind it.
    pub(crate) fn per_client(&self, count: u32) -> u32 {
        if self.network.is_shared() { count / SHARED_ADDRESS } else { count }
    }
}
