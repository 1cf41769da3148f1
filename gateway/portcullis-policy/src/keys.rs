//! The key of a limit for one request.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderValue, header};
use portcullis_fingerprint::header_order_hash;
use portcullis_signals::Facts;
use smallvec::SmallVec;

use crate::model::{KeyPart, Limit, OnMissing, PrefixLengths, Route};

/// What a limit counts a request under.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keyed<T> {
    /// Under this.
    Under(T),
    /// Under nothing: it lacks a part, and the limit is not asked then.
    Skip,
    /// Under nothing: it lacks a part, and the limit refuses it for that.
    Refuse,
}

/// The address by which a client is told from others: an IPv4 address whole, an IPv6 address by its /64.
const CLIENT: PrefixLengths = PrefixLengths { v4: 32, v6: 64 };

/// The client's prefix, which stands in for what is missing.
const PREFIX: PrefixLengths = PrefixLengths { v4: 24, v6: 56 };

/// What stands before the prefix where a part is missing. No value of a request holds a NUL, so none says the same.
const MISSING: &[u8] = b"\0missing";

/// The bytes of one part: borrowed of the request, or made here.
enum Part<'a> {
    Of(&'a [u8]),
    Folded(Cow<'a, str>),
    /// The first bytes of these count.
    Made([u8; 16], usize),
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Of(bytes) => bytes,
            Self::Folded(name) => name.as_bytes(),
            Self::Made(bytes, len) => bytes.get(..*len).unwrap_or(bytes),
        }
    }

    fn made<const N: usize>(bytes: [u8; N]) -> Self {
        let mut made = [0; 16];
        for (slot, byte) in made.iter_mut().zip(bytes) {
            *slot = byte;
        }
        Self::Made(made, N.min(16))
    }

    fn address(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => Self::made(v4.octets()),
            IpAddr::V6(v6) => Self::made(v6.octets()),
        }
    }
}

impl Limit {
    /// Hands the parts of the limit's key for a request to `hash`, without taking memory for keys of up to six parts.
    ///
    /// INVARIANT: what a request lacks is replaced by the client's prefix, unless the limit says otherwise, so leaving
    /// out a header or a cookie is never a way to an unlimited key.
    pub fn key_of<T>(&self, route: &Route, facts: &Facts<'_>, hash: impl FnOnce(&[&[u8]]) -> T) -> Keyed<T> {
        let mut parts: SmallVec<[Part<'_>; 8]> = SmallVec::new();
        for part in &self.key {
            match (part.value(route, facts), self.on_missing) {
                (Some(value), _) => parts.push(value),
                (None, OnMissing::Prefix) => {
                    parts.extend([Part::Of(MISSING), Part::address(PREFIX.of(facts.client.0))]);
                }
                (None, OnMissing::Skip) => return Keyed::Skip,
                (None, OnMissing::Refuse) => return Keyed::Refuse,
            }
        }
        let slices: SmallVec<[&[u8]; 8]> = parts.iter().map(Part::bytes).collect();
        Keyed::Under(hash(&slices))
    }

    /// Whether a request lacks some of what it is counted by, so that it is counted with its neighbours.
    pub fn lacks_a_part(&self, route: &Route, facts: &Facts<'_>) -> bool {
        self.key.iter().any(|part| part.value(route, facts).is_none())
    }
}

impl KeyPart {
    /// Hands the part of one request to `hash`; none where the request lacks it.
    pub fn value_of<T>(&self, route: &Route, facts: &Facts<'_>, hash: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.value(route, facts).map(|value| hash(value.bytes()))
    }

    fn value<'a>(&self, route: &'a Route, facts: &'a Facts<'_>) -> Option<Part<'a>> {
        let text = |text: Option<&'a str>| text.map(|text| Part::Of(text.as_bytes()));
        let request = facts.request;
        let value = match self {
            Self::Ip => Part::address(CLIENT.of(facts.client.0)),
            Self::IpPrefix => Part::address(PREFIX.of(facts.client.0)),
            Self::Prefix(lengths) => Part::address(lengths.of(facts.client.0)),
            Self::Asn => Part::made(facts.network.asn?.0.to_be_bytes()),
            Self::Country => Part::Of(facts.network.country.as_ref()?.as_str().as_bytes()),
            Self::Ja3 => Part::Of(facts.tls.as_ref()?.ja3.0.as_slice()),
            Self::Ja4 => Part::Of(facts.tls.as_ref()?.ja4.as_str().as_bytes()),
            Self::Http2 => Part::made(facts.http2?.hash().0),
            Self::UserAgent => Part::Of(request.only_header(&header::USER_AGENT).map(HeaderValue::as_bytes)?),
            Self::Client => text(facts.claim.name.or(Some(facts.claim.family_name())))?,
            Self::HeaderOrder => {
                Part::made(header_order_hash(request.headers().keys().map(|name| name.as_str().as_bytes())).0)
            }
            Self::User => Part::Folded(folded(facts.caller.user?)),
            Self::Account => Part::Folded(folded(facts.caller.account?)),
            Self::ApiKey => text(facts.caller.api_key)?,
            Self::Session => text(facts.caller.session)?,
            Self::Device => text(facts.caller.device)?,
            Self::Token => text(facts.caller.token)?,
            Self::Route => Part::Of(route.name.as_bytes()),
            Self::Host => Part::Of(request.host().as_bytes()),
            Self::Method => Part::Of(request.method().as_str().as_bytes()),
            Self::Path => Part::Of(request.path().as_str().as_bytes()),
            Self::At(place) => text(place.read(request, facts.fields))?,
        };
        Some(value).filter(|value| !value.bytes().is_empty())
    }
}

/// What one origin or another takes off around a name: space, control characters, and marks of no width.
fn is_unseen(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// The name of a user or an account as it is counted: without space or what cannot be seen around it, in lower case.
///
/// Origins look up `Ann@shop.example` and `ann@shop.example` as one, so that every spelling of a name would have the tries
/// of an account of its own. Where an origin tells them apart, two people share a count.
pub fn folded(name: &str) -> Cow<'_, str> {
    let name = name.trim_matches(is_unseen);
    if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.to_lowercase())
}

#[cfg(test)]
mod tests;
