//! Plaintext listeners, PROXY headers, admission.

use std::{net::IpAddr, sync::Arc};

use portcullis::accept::{Admission, ListenerSpec, Refusal, TlsStore};
use rustls::version::TLS13;
use tokio::io::AsyncWriteExt;

use crate::{
    client::{config, handshake},
    gate::{Gate, bound, certificate, closed, get},
};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";

/// The version 2 header that says the same as [`LINE`].
fn binary() -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend([192, 0, 2, 7, 198, 51, 100, 1]);
    bytes.extend([56324_u16.to_be_bytes(), 443_u16.to_be_bytes()].concat());
    bytes
}

fn from(network: &str) -> impl FnOnce(&mut ListenerSpec) {
    let networks = vec![network.parse().unwrap()];
    move |spec| spec.proxy_from = Some(networks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_listener_serves_many_requests_of_a_connection() {
    let gate = Gate::start(|_| {});
    let mut stream = gate.connect().await;
    for requests in ["1", "2", "3"] {
        let facts = get(&mut stream).await.facts;
        assert_eq!(facts.of("requests"), requests);
        assert_eq!(facts.of("client"), stream.local_addr().unwrap().to_string());
    }
    assert_eq!(gate.stats.handshake_time.read().count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_a_listed_peer_names_the_client() {
    let gate = Gate::start(from("127.0.0.0/8"));
    for header in [LINE.to_vec(), binary()] {
        for piece in [1, 3, 1000] {
            let mut stream = gate.connect().await;
            for piece in header.chunks(piece) {
                bound(stream.write_all(piece)).await.unwrap();
            }
            let facts = get(&mut stream).await.facts;
            assert_eq!(facts.of("client"), "192.0.2.7:56324", "{}", header.escape_ascii());
            assert_eq!(facts.of("session_client"), "192.0.2.7:56324");
            assert_eq!(facts.of("peer"), "127.0.0.1");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_names_nobody_leaves_the_peer_as_client() {
    let gate = Gate::start(from("127.0.0.0/8"));
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut stream = gate.connect().await;
        bound(stream.write_all(header)).await.unwrap();
        let client = stream.local_addr().unwrap().to_string();
        assert_eq!(get(&mut stream).await.facts.of("client"), client);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_follows_the_header() {
    let (shop, leaf) = certificate(&["shop.example"]);
    let store = Arc::new(TlsStore::from_der(vec![shop]).unwrap());
    let gate = Gate::tls(&store, from("127.0.0.0/8"));
    let client = config(&[&leaf], &[&TLS13], &["http/1.1"]);
    let mut stream = gate.connect().await;
    bound(stream.write_all(LINE)).await.unwrap();
    let mut stream = handshake(&client, "shop.example", stream).await.unwrap();
    let facts = get(&mut stream).await.facts;
    assert_eq!(facts.of("client"), "192.0.2.7:56324");
    assert!(facts.of("ja4").starts_with("t13d"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_peer_is_closed_whatever_it_sends() {
    let gate = Gate::start(from("198.51.100.0/24"));
    for bytes in [LINE, b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n"] {
        let before = gate.stats.refused.count(Refusal::ProxyPeer);
        let mut stream = gate.connect().await;
        // The gate may already have closed.
        let _ = bound(stream.write_all(bytes)).await;
        closed(&mut stream).await;
        gate.until(|stats| stats.refused.count(Refusal::ProxyPeer) == before + 1).await;
    }
    assert_eq!(gate.stats.accepted.value(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_good_header_is_closed() {
    let gate = Gate::start(from("127.0.0.0/8"));
    let mut cut_short = binary();
    cut_short.truncate(20);
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n"[..],
        b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 443\r\n",
        b"PROXY TCP4 192.0.2.7",
        b"\r\n\r\n\0\r\nQUIT\n\x31",
        &cut_short,
        &[b'P'; 200],
    ] {
        let before = gate.stats.refused.count(Refusal::ProxyHeader);
        let mut stream = gate.connect().await;
        bound(stream.write_all(bytes)).await.unwrap();
        let _ = bound(stream.shutdown()).await;
        closed(&mut stream).await;
        gate.until(|stats| stats.refused.count(Refusal::ProxyHeader) == before + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_is_not_looked_for_where_none_was_asked_for() {
    let gate = Gate::start(|_| {});
    let mut stream = gate.connect().await;
    bound(stream.write_all(LINE)).await.unwrap();
    bound(stream.write_all(b"\r\n\r\n")).await.unwrap();
    closed(&mut stream).await;
    gate.until(|stats| stats.open.value() == 0).await;
}

#[derive(Debug)]
struct NotThe(IpAddr);

impl Admission for NotThe {
    fn admits(&self, address: IpAddr) -> bool {
        address != self.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_admitted_is_closed_by_peer_or_by_header() {
    let not_the = |address: &str| -> Option<Arc<dyn Admission>> { Some(Arc::new(NotThe(address.parse().unwrap()))) };
    let gate = Gate::start(|spec| spec.admission = not_the("127.0.0.1"));
    closed(&mut gate.connect().await).await;
    gate.until(|stats| stats.refused.count(Refusal::Address) == 1).await;

    let gate = Gate::start(|spec| {
        from("127.0.0.0/8")(spec);
        spec.admission = not_the("192.0.2.7");
    });
    let mut stream = gate.connect().await;
    bound(stream.write_all(LINE)).await.unwrap();
    closed(&mut stream).await;
    gate.until(|stats| stats.refused.count(Refusal::Address) == 1).await;

    let mut stream = gate.connect().await;
    bound(stream.write_all(b"PROXY TCP4 192.0.2.8 198.51.100.1 1 443\r\n")).await.unwrap();
    assert_eq!(get(&mut stream).await.facts.of("client"), "192.0.2.8:1");
}
