//! Who is counted: a request's parts as keys of the counters.

use std::net::IpAddr;

use portcullis_fingerprint::{Ja4, ShortHash};
use portcullis_policy::model::{KeyPart, Limit, Route};
use portcullis_policy::{Keyed, folded};
use portcullis_signals::{Facts, Named, Sharer};
use portcullis_velocity::{BanKind, Key, KeyHasher};
use smallvec::SmallVec;

use super::coverage::header_order;

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

/// The keys of a client, from which those of all its counters follow.
#[derive(Clone, Copy, Debug)]
pub struct ClientKeys {
    /// Of its address.
    pub address: Key,
    /// Of its prefix.
    pub prefix: Key,
}

impl ClientKeys {
    /// The keys of the client at an address.
    pub fn of(hasher: &KeyHasher, addr: IpAddr) -> Self {
        Self { address: address_key(hasher, addr), prefix: hasher.key(Scope::PREFIX.0, &[&prefix_bytes(addr)]) }
    }

    /// The key under which the client is banned.
    pub const fn ban(&self) -> Key {
        self.address.sibling(Scope::BAN.0)
    }
}

/// The keys of one of those who share an address.
#[derive(Clone, Copy, Debug)]
pub struct SharerKeys {
    /// Of all behind the address who look alike.
    pub fingerprint: Key,
    /// Of the one that the request names.
    pub named: Option<Key>,
}

impl SharerKeys {
    /// The keys of one of those at an address.
    pub fn of(hasher: &KeyHasher, addr: IpAddr, sharer: &Sharer<'_>) -> Self {
        let client = client_bytes(addr);
        let claim = &sharer.claim;
        let fingerprint = hasher.key(
            Scope::FINGERPRINT.0,
            &[
                &client,
                sharer.ja4.as_ref().map_or(b"", |ja4| ja4.as_str().as_bytes()),
                claim.kind.name().as_bytes(),
                claim.family_name().as_bytes(),
                &claim.version.to_be_bytes(),
                claim.platform.name().as_bytes(),
                if claim.mobile { b"mobile" } else { b"" },
                claim.name.unwrap_or_default().as_bytes(),
            ],
        );
        let named = sharer.named.map(|named| {
            let (what, name): (&[u8], _) = match named {
                Named::User(name) => (b"user", folded(name)),
                Named::Session(name) => (b"session", name.into()),
            };
            hasher.key(Scope::NAMED.0, &[&client, what, name.as_bytes()])
        });
        Self { fingerprint, named }
    }
}

/// Which thousandth of all clients the one at an address belongs to, the same for as long as the secret is.
pub fn share_of(hasher: &KeyHasher, addr: IpAddr) -> u16 {
    let bytes = hasher.key(Scope::SHARE.0, &[&client_bytes(addr)]).to_bytes();
    let number = bytes.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    u16::try_from(number % 1000).unwrap_or(0)
}

/// A number for who asks, where clients are told apart by few numbers: an address of IPv4, and of IPv6 the /48 that one
/// customer is given at most.
pub fn slot_of(hasher: &KeyHasher, addr: IpAddr) -> usize {
    let bytes = client_bytes(addr);
    let site = bytes.get(..6).unwrap_or(&bytes);
    let bytes = hasher.key(Scope::SLOT.0, &[site]).to_bytes();
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// What stands for a user in audit records: a number that tells users apart and does not tell their names.
pub fn user_number(hasher: &KeyHasher, user: &str) -> u64 {
    let bytes = hasher.key(Scope::USER.0, &[user.as_bytes()]).to_bytes();
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The key under which what is not an address is banned: its kind, and its name in the form that [`BanKind`] tells of.
pub fn ban_key_of(hasher: &KeyHasher, kind: BanKind, name: &[u8]) -> Key {
    hasher.key(Scope::BAN_OF_KIND.0, &[kind.name().as_bytes(), name])
}

/// The key under which a request would be banned by something else than its address; none where it does not have that.
pub fn facts_ban_key(hasher: &KeyHasher, kind: BanKind, facts: &Facts<'_>) -> Option<Key> {
    let text = |text: Option<&str>| text.map(|text| ban_key_of(hasher, kind, text.as_bytes()));
    let name = |name: Option<&str>| name.map(|name| ban_key_of(hasher, kind, folded(name).as_bytes()));
    match kind {
        BanKind::Prefix => Some(ban_key_of(hasher, kind, &prefix_bytes(facts.client.0))),
        BanKind::User => name(facts.caller.user),
        BanKind::Account => name(facts.caller.account),
        BanKind::ApiKey => text(facts.caller.api_key),
        BanKind::Session => text(facts.caller.session),
        BanKind::Device => text(facts.caller.device),
        BanKind::Token => text(facts.caller.token),
        BanKind::Ja3 => facts.tls.as_ref().map(|tls| ban_key_of(hasher, kind, tls.ja3.to_string().as_bytes())),
        BanKind::Ja4 => facts.tls.as_ref().map(|tls| ban_key_of(hasher, kind, tls.ja4.as_str().as_bytes())),
        BanKind::Asn => facts.network.asn.map(|asn| ban_key_of(hasher, kind, &asn.0.to_be_bytes())),
        BanKind::Country => text(facts.network.country.as_ref().map(|country| country.as_str())),
        BanKind::Http2 => facts.http2.map(|print| ban_key_of(hasher, kind, print.to_string().as_bytes())),
        BanKind::Cohort => {
            let ja4 = facts.tls.as_ref().map(|tls| &tls.ja4);
            Some(ban_key_of(hasher, kind, cohort_name(ja4, header_order(facts.request.headers())).as_bytes()))
        }
        // An address has a key of its own, and what else a limit counts by is that limit's.
        BanKind::Address | BanKind::Other => None,
    }
}

/// What those who look alike are called where they are banned: their JA4, `plain` without TLS, and the order of their fields.
pub fn cohort_name(ja4: Option<&Ja4>, order: ShortHash) -> String {
    format!("{}/{order}", ja4.map_or("plain", Ja4::as_str))
}

/// The key under which what a limit counts by is banned, where that has no kind of its own: several things together, say.
/// It holds wherever that limit counts.
pub const fn limit_ban_key(counted: Key) -> Key {
    counted.sibling(Scope::BAN.0)
}

/// The kind of ban on what a part of a limit's key is of; none where that is the address, or nothing that has a kind.
pub const fn part_ban_kind(part: &KeyPart) -> Option<BanKind> {
    Some(match part {
        KeyPart::IpPrefix => BanKind::Prefix,
        KeyPart::User => BanKind::User,
        KeyPart::Account => BanKind::Account,
        KeyPart::ApiKey => BanKind::ApiKey,
        KeyPart::Session => BanKind::Session,
        KeyPart::Device => BanKind::Device,
        KeyPart::Token => BanKind::Token,
        KeyPart::Ja3 => BanKind::Ja3,
        KeyPart::Ja4 => BanKind::Ja4,
        KeyPart::Http2 => BanKind::Http2,
        KeyPart::Asn => BanKind::Asn,
        KeyPart::Country => BanKind::Country,
        KeyPart::Ip
        | KeyPart::Prefix(_)
        | KeyPart::UserAgent
        | KeyPart::Client
        | KeyPart::HeaderOrder
        | KeyPart::Route
        | KeyPart::Host
        | KeyPart::Method
        | KeyPart::Path
        | KeyPart::At(_) => return None,
    })
}

/// The key under which the client at an address is banned.
pub fn ban_key(hasher: &KeyHasher, addr: IpAddr) -> Key {
    address_key(hasher, addr).sibling(Scope::BAN.0)
}

fn address_key(hasher: &KeyHasher, addr: IpAddr) -> Key {
    hasher.key(Scope::ADDRESS.0, &[&client_bytes(addr)])
}

/// What a key is of, hashed into it: the same parts make another key in every scope.
///
/// All scopes stand here, so that no two are the same; a limit's is its counter.
pub(super) struct Scope(pub(super) u64);

impl Scope {
    /// The address of a client.
    const ADDRESS: Self = Self(1);
    /// The prefix of a client.
    const PREFIX: Self = Self(2);
    /// The ban of a client.
    const BAN: Self = Self(3);
    /// What a client did before.
    pub(super) const CONTEXT: Self = Self(4);
    /// The session that a request carries.
    pub(super) const SESSION: Self = Self(5);
    /// The print of a connection.
    pub(super) const PRINT: Self = Self(6);
    /// Those behind a shared address who look alike.
    const FINGERPRINT: Self = Self(7);
    /// The one behind a shared address whom a request names.
    const NAMED: Self = Self(8);
    /// Clients of a route that look alike.
    pub(super) const COHORT: Self = Self(9);
    /// A caller by what it names itself.
    pub(super) const CALLER: Self = Self(10);
    /// A value that is counted once.
    pub(super) const VALUE: Self = Self(11);
    /// A ban of another kind than that of an address.
    const BAN_OF_KIND: Self = Self(12);
    /// The share of clients that a client belongs to.
    const SHARE: Self = Self(17);
    /// The slot in which what a policy refuses a client is counted.
    const SLOT: Self = Self(18);
    /// A user, in audit records.
    const USER: Self = Self(16);
    /// A caller by what it names itself, in its network.
    pub(super) const REGULAR: Self = Self(13);
    /// Clients of a route that look alike, in whatever network.
    pub(super) const LOOK: Self = Self(14);
    /// All clients of a route that look like nobody before.
    pub(super) const STRANGERS: Self = Self(17);
}

/// The key of one limit for one request; none where the limit is not asked, or refuses, for want of a part.
pub fn limit_key(hasher: &KeyHasher, keys: &ClientKeys, limit: &Limit, route: &Route, facts: &Facts<'_>) -> Keyed<Key> {
    match limit.key.as_slice() {
        [KeyPart::Ip] => Keyed::Under(keys.address.sibling(limit.counter)),
        [KeyPart::IpPrefix] => Keyed::Under(keys.prefix.sibling(limit.counter)),
        _ => limit.key_of(route, facts, |parts| hasher.key(limit.counter, parts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_signals::Claim;
    use portcullis_velocity::Secret;

    #[test]
    fn each_share_of_clients_has_about_as_many() {
        let hasher = KeyHasher::new(Secret([7; 16]));
        let shares: Vec<u16> = (0..10_000_u32).map(|n| share_of(&hasher, std::net::Ipv4Addr::from(n).into())).collect();
        assert!(shares.iter().all(|share| *share < 1000));
        let tenth = shares.iter().filter(|share| **share < 100).count();
        assert!((850..1150).contains(&tenth), "{tenth} of 10,000");
        assert_ne!(user_number(&hasher, "ann"), user_number(&hasher, "bob"));
    }

    #[test]
    fn who_shares_an_address_is_told_apart_by_what_it_shows_and_by_its_name_there() {
        let hasher = KeyHasher::new(Secret([7; 16]));
        let address: IpAddr = [100, 64, 0, 1].into();
        let plain = Sharer { ja4: None, claim: Claim::of(b"curl/8.5.0"), named: Some(Named::User("ann")) };
        let of = |address, sharer: &Sharer<'_>| SharerKeys::of(&hasher, address, sharer);
        let first = of(address, &plain);
        let print = "t13d1516h2_8daaf6152771_02713d6af862".parse().unwrap();
        for (other, address, same_fingerprint, same_name) in [
            (plain, address, true, true),
            (plain, [100, 64, 0, 2].into(), false, false),
            (Sharer { ja4: Some(print), ..plain }, address, false, true),
            (Sharer { claim: Claim::of(b"Wget/1.21"), ..plain }, address, false, true),
            (Sharer { named: Some(Named::User("bob")), ..plain }, address, true, false),
            (Sharer { named: Some(Named::Session("ann")), ..plain }, address, true, false),
            (Sharer { named: None, ..plain }, address, true, false),
        ] {
            let keys = of(address, &other);
            assert_eq!(keys.fingerprint == first.fingerprint, same_fingerprint, "{other:?}");
            assert_eq!(keys.named == first.named, same_name, "{other:?}");
        }
    }
}
