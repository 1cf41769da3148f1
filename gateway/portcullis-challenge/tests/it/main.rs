//! What the crate promises to those who use it: tokens that nobody forges, puzzles that count once,
//! a page that reflects nothing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test fails by panicking")]

mod budget;
mod clearance;
mod evidence;
mod memory;
mod page;
mod problem;
mod puzzle;
mod redeem;
mod siteverify;
mod verdict;
mod wait;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_challenge::{Binding, KeyId, KeyRing, Network, SigningKey, Tolerance, UnixMillis};

const NOW: UnixMillis = UnixMillis(1_760_000_000_000);
const TTL: Duration = Duration::from_secs(300);
const ID: [u8; 16] = *b"sixteen bytes id";
const HERE: Binding<'static> = Binding {
    site: "shop.example",
    route: "login",
    network: Network::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), Some(64496)),
    tolerance: Tolerance::System,
    family: b"firefox",
    fingerprint: b"t13d1717h2_5b57614c22b0",
};

fn key(id: u32) -> SigningKey {
    let mut secret = [0x5a; 32];
    secret[..4].copy_from_slice(&id.to_be_bytes());
    SigningKey::new(KeyId(id), secret)
}

fn ring() -> KeyRing {
    KeyRing::new(&key(7), &[]).unwrap()
}

/// What a client could make of `HERE`: the same but for one thing.
fn elsewhere() -> [(&'static str, Binding<'static>); 5] {
    [
        ("site", Binding { site: "blog.example", ..HERE }),
        ("route", Binding { route: "cart", ..HERE }),
        ("network", Binding { network: network("198.51.100.1", 64497), ..HERE }),
        ("family", Binding { family: b"chrome", ..HERE }),
        ("fingerprint", Binding { fingerprint: b"t13d1516h2_8daaf6152771", ..HERE }),
    ]
}

/// A network; 0 is an unknown autonomous system.
fn network(address: &str, asn: u32) -> Network {
    Network::of(address.parse().unwrap(), (asn != 0).then_some(asn))
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
