//! Who is counted: a request's parts as keys of the counters.

use std::net::IpAddr;

use portcullis_policy::model::{KeyPart, Limit};
use portcullis_signals::Facts;
use portcullis_velocity::{Key, KeyHasher};
use smallvec::SmallVec;

/// The bytes by which a client is told from others: an IPv4 address whole, an IPv6 address by its /64.
///
/// One subscriber holds a whole /64 (RFC 6177 §2, RIPE-690), so a single address of it says nothing.
pub fn client_bytes(addr: IpAddr) -> SmallVec<[u8; 16]> {
    match addr {
        IpAddr::V4(v4) => SmallVec::from_slice(&v4.octets()),
        IpAddr::V6(v6) => v6.octets().into_iter().take(8).collect(),
    }
}

/// The bytes of a client's prefix: IPv4 /24, IPv6 /56.
pub fn prefix_bytes(addr: IpAddr) -> SmallVec<[u8; 16]> {
    match addr {
        IpAddr::V4(v4) => v4.octets().into_iter().take(3).collect(),
        IpAddr::V6(v6) => v6.octets().into_iter().take(7).collect(),
    }
}

/// The scope of bans on a client's address.
const BAN_SCOPE: u64 = 0x6261_6e2e_6164_6472;

/// The key under which a client is banned.
pub fn ban_key(hasher: &KeyHasher, addr: IpAddr) -> Key {
    hasher.key(BAN_SCOPE, &[&client_bytes(addr)])
}

/// What stands before a part that a request lacks; no part of ours begins with it.
const MISSING: &[u8] = b"\0missing";

/// The key of one limit for one request.
///
/// INVARIANT: a part that the request lacks falls back to the client's prefix, so that leaving out a
/// header or a cookie is never a way to an unlimited key.
pub fn limit_key(hasher: &KeyHasher, limit: &Limit, facts: &Facts<'_>) -> Key {
    let addr = facts.client.0;
    let client = client_bytes(addr);
    let prefix = prefix_bytes(addr);
    let asn = facts.network.asn.map(|asn| asn.0.to_be_bytes());
    let country = facts.network.country;
    let mut parts: SmallVec<[&[u8]; 8]> = SmallVec::new();
    for part in &limit.key {
        let value = match part {
            KeyPart::Ip => Some(client.as_slice()),
            KeyPart::IpPrefix => Some(prefix.as_slice()),
            KeyPart::Asn => asn.as_ref().map(<[u8; 4]>::as_slice),
            KeyPart::Country => country.as_ref().map(|country| country.as_str().as_bytes()),
            KeyPart::Ja4 => facts.tls.as_ref().map(|tls| tls.ja4.as_str().as_bytes()),
            KeyPart::UserAgent => facts.request.header(&http::header::USER_AGENT).map(http::HeaderValue::as_bytes),
            KeyPart::User => facts.caller.user.map(str::as_bytes),
            KeyPart::ApiKey => facts.caller.api_key.map(str::as_bytes),
            KeyPart::Session => facts.caller.session.map(str::as_bytes),
            KeyPart::Path => Some(facts.request.path().as_str().as_bytes()),
            KeyPart::Header(name) => facts.request.header(name).map(http::HeaderValue::as_bytes),
        };
        match value.filter(|value| !value.is_empty()) {
            Some(value) => parts.push(value),
            None => parts.extend([MISSING, prefix.as_slice()]),
        }
    }
    hasher.key(limit.counter, &parts)
}
