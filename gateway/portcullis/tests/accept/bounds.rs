//! Numbers and times that are not to be exceeded, and the end of a service.

use std::{sync::Arc, time::Duration};

use h2::client::SendRequest;
use portcullis::accept::{AcceptLimits, Cut, HandshakeFailure, ListenerSpec, Refusal, TlsStore, Unjudged};
use rustls::version::TLS13;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::interval,
};

use crate::{
    client::{config, connect},
    gate::{Gate, MAX_HEADER_BYTES, bound, certificate, closed, get, read_answer},
};

fn limits(change: impl FnOnce(&mut AcceptLimits)) -> impl FnOnce(&mut ListenerSpec) {
    move |spec| change(&mut spec.limits)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_cap_a_connection_is_closed_at_once() {
    let gate = Gate::start(limits(|limits| limits.max_connections = 1));
    let mut first = gate.connect().await;
    get(&mut first).await;
    closed(&mut gate.connect().await).await;
    gate.until(|stats| stats.refused.count(Refusal::ConnectionCap) == 1).await;
    get(&mut first).await;

    drop(first);
    gate.until(|stats| stats.open.value() == 0).await;
    get(&mut gate.connect().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_handshake_cap_a_connection_is_closed_at_once() {
    let (shop, leaf) = certificate(&["shop.example"]);
    let store = Arc::new(TlsStore::from_der(vec![shop]).unwrap());
    let gate = Gate::tls(&store, limits(|limits| limits.max_handshakes = 1));
    let client = config(&[&leaf], &[&TLS13], &["http/1.1"]);
    // One whose handshake is over takes no place.
    let mut served = connect(&gate, &client, "shop.example").await;
    get(&mut served).await;

    let silent = gate.connect().await;
    gate.until(|stats| stats.handshaking.value() == 1).await;
    closed(&mut gate.connect().await).await;
    gate.until(|stats| stats.refused.count(Refusal::HandshakeCap) == 1).await;

    drop(silent);
    gate.until(|stats| stats.handshaking.value() == 0).await;
    get(&mut connect(&gate, &client, "shop.example").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_has_its_time_and_no_more() {
    let (shop, _) = certificate(&["shop.example"]);
    let store = Arc::new(TlsStore::from_der(vec![shop]).unwrap());
    let gate = Gate::tls(&store, limits(|limits| limits.handshake_timeout = millis(150)));
    let mut silent = gate.connect().await;
    let mut slow = gate.connect().await;
    let mut beat = interval(millis(20));
    for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0] {
        beat.tick().await;
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
    }
    closed(&mut silent).await;
    closed(&mut slow).await;
    gate.until(|stats| stats.handshake_failures.count(HandshakeFailure::Timeout) == 2).await;
    assert_eq!(gate.stats.open.value(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_header_has_its_time_and_no_more() {
    let gate = Gate::start(|spec| {
        spec.proxy_from = Some(vec!["127.0.0.0/8".parse().unwrap()]);
        spec.limits.handshake_timeout = millis(100);
    });
    let mut stream = gate.connect().await;
    bound(stream.write_all(b"PROXY TCP4 ")).await.unwrap();
    closed(&mut stream).await;
    gate.until(|stats| stats.refused.count(Refusal::ProxyHeader) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_keeps_dripping_is_cut_first_or_later() {
    let gate = Gate::start(limits(|limits| limits.header_timeout = millis(200)));
    let drip = async |before: usize| {
        let mut stream = gate.connect().await;
        for _ in 0..before {
            get(&mut stream).await;
        }
        bound(stream.write_all(b"GET / HTTP/1.1\r\nx-long: ")).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let dripping = tokio::spawn(async move {
            let mut beat = interval(millis(20));
            while write.write_all(b"x").await.is_ok() {
                beat.tick().await;
            }
        });
        closed(&mut read).await;
        bound(dripping).await.unwrap();
    };
    drip(0).await;
    gate.until(|stats| stats.cut.count(Cut::SlowHeader) == 1).await;
    drip(2).await;
    gate.until(|stats| stats.cut.count(Cut::SlowHeader) == 2).await;
    assert_eq!(gate.stats.cut.count(Cut::Idle), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_cut_before_its_first_request_and_after_an_idle_time() {
    let gate = Gate::start(limits(|limits| {
        limits.header_timeout = millis(100);
        limits.idle_timeout = millis(100);
    }));
    closed(&mut gate.connect().await).await;
    gate.until(|stats| stats.cut.count(Cut::SlowHeader) == 1).await;
    let mut stream = gate.connect().await;
    get(&mut stream).await;
    closed(&mut stream).await;
    gate.until(|stats| stats.cut.count(Cut::Idle) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_no_slow_header() {
    let gate = Gate::start(limits(|limits| {
        limits.header_timeout = millis(100);
        limits.idle_timeout = millis(100);
    }));
    let mut stream = gate.connect().await;
    let head = b"POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 8\r\n\r\n";
    bound(stream.write_all(head)).await.unwrap();
    let mut beat = interval(millis(50));
    for _ in 0..8 {
        beat.tick().await;
        bound(stream.write_all(b"x")).await.unwrap();
    }
    assert_eq!(read_answer(&mut stream).await.facts.of("requests"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_that_sends_no_preface_is_cut() {
    let (shop, leaf) = certificate(&["shop.example"]);
    let store = Arc::new(TlsStore::from_der(vec![shop]).unwrap());
    let gate = Gate::tls(&store, limits(|limits| limits.header_timeout = millis(100)));
    let client = config(&[&leaf], &[&TLS13], &["h2"]);
    let mut stream = connect(&gate, &client, "shop.example").await;
    closed(&mut stream).await;
    gate.until(|stats| stats.cut.count(Cut::SlowHeader) == 1).await;

    // With the preface the clock is off: the gate's settings come, and the connection stays.
    let mut stream = connect(&gate, &client, "shop.example").await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    bound(stream.write_all(preface)).await.unwrap();
    let mut frame = [0; 9];
    bound(stream.read_exact(&mut frame)).await.unwrap();
    let mut beat = interval(millis(100));
    for _ in 0..3 {
        beat.tick().await;
    }
    assert_eq!((gate.stats.open.value(), gate.stats.cut.count(Cut::SlowHeader)), (1, 1));
}

/// A gate, and a connection to it that speaks HTTP/2.
async fn http2() -> (Gate, SendRequest<bytes::Bytes>) {
    let (shop, leaf) = certificate(&["shop.example"]);
    let store = Arc::new(TlsStore::from_der(vec![shop]).unwrap());
    let gate = Gate::tls(&store, |_| {});
    let stream = connect(&gate, &config(&[&leaf], &[&TLS13], &["h2"]), "shop.example").await;
    let (requests, connection) = bound(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    (gate, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_request_whose_header_is_too_large_is_refused() {
    let (_gate, mut requests) = http2().await;
    for (length, status) in [(MAX_HEADER_BYTES - 512, 200), (MAX_HEADER_BYTES + 1, 431), (100, 200)] {
        let request = http::Request::get("https://shop.example/").header("x-long", "x".repeat(length));
        requests = bound(requests.ready()).await.unwrap();
        let (answer, _) = requests.send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(bound(answer).await.unwrap().status().as_u16(), status, "{length} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_over_http2_is_answered_unjudged_and_counted() {
    let (gate, mut requests) = http2().await;
    let request = http::Request::connect("shop.example:443").body(()).unwrap();
    let (answer, _) = requests.send_request(request, true).unwrap();
    assert_eq!(bound(answer).await.unwrap().status().as_u16(), 405);
    assert_eq!(gate.stats.unjudged.count(Unjudged::MethodNotAllowed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_a_busy_client_is_told_and_an_idle_one_cut() {
    let gate = Gate::start(limits(|limits| limits.drain_timeout = millis(500)));
    let mut busy = gate.connect().await;
    let mut idle = gate.connect().await;
    assert!(!get(&mut busy).await.head.contains("connection: close"));
    get(&mut idle).await;
    gate.stop();
    let answer = get(&mut busy).await;
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    closed(&mut busy).await;
    closed(&mut idle).await;
    gate.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_connections_the_end_comes_at_once() {
    let gate = Gate::start(limits(|limits| limits.drain_timeout = Duration::from_secs(3600)));
    get(&mut gate.connect().await).await;
    gate.until(|stats| stats.open.value() == 0).await;
    gate.stop();
    gate.ended().await;
}
