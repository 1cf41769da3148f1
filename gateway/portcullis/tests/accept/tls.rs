//! ClientHello, handshake, certificates.

use std::{path::PathBuf, sync::Arc};

use portcullis::accept::{
    CertificateFault, CertificateFiles, Handshake, HandshakeFailure, HelloFault, TlsError, TlsStore,
};
use rustls::{
    ClientConfig,
    version::{TLS12, TLS13},
};
use tokio::io::AsyncWriteExt;

use crate::{
    client::{Shape, Shaped, config, connect, handshake, hello, shown},
    gate::{Facts, Gate, bound, certificate, closed, get},
};

/// A gate for `shop.example` and a client that trusts it.
fn shop(alpn: &[&str]) -> (Gate, Arc<ClientConfig>) {
    let (shop, leaf) = certificate(&["shop.example"]);
    let store = Arc::new(TlsStore::from_der(vec![shop]).unwrap());
    (Gate::tls(&store, |_| {}), config(&[&leaf], &[&TLS13, &TLS12], alpn))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_handshake_taught_reaches_the_request() {
    let (gate, client) = shop(&["http/1.1"]);
    let mut stream = connect(&gate, &client, "shop.example").await;
    let facts = get(&mut stream).await.facts;
    for (name, value) in [
        ("listener", "front"),
        ("peer", "127.0.0.1"),
        ("version", "TLSv1.3"),
        ("alpn", "http/1.1"),
        ("resumed", "false"),
        ("group", "X25519MLKEM768"),
        ("server_name", "shop.example"),
        ("http2", "false"),
        ("requests", "1"),
    ] {
        assert_eq!(facts.of(name), value, "{name}");
    }
    assert!(facts.of("ja4").starts_with("t13d"), "{}", facts.of("ja4"));
    assert_eq!(facts.of("ja3").len(), 32);
    assert_eq!(facts.of("client"), stream.get_ref().0.local_addr().unwrap().to_string());
    assert_eq!(facts.of("session_client"), facts.of("client"));
    assert_eq!(gate.stats.handshakes.count(Handshake::Full), 1);
    assert_eq!(gate.stats.handshake_time.read().count, 1);
    assert_eq!(gate.stats.handshaking.value(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_finds_what_the_first_put_on_the_connection() {
    let (gate, client) = shop(&["http/1.1"]);
    let mut stream = connect(&gate, &client, "shop.example").await;
    let first = get(&mut stream).await.facts;
    let second = get(&mut stream).await.facts;
    assert_eq!(second.of("requests"), "2");
    assert_eq!(second.of("first_seen_at_request"), "1");
    let count = |facts: &Facts, name| facts.of(name).parse::<u64>().unwrap();
    let request = "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n".len() as u64;
    assert_eq!(count(&first, "read"), request);
    assert_eq!(count(&second, "read"), 2 * request);
    assert_eq!(count(&first, "written"), 0);
    assert!(count(&second, "written") > 200);
    assert_eq!(gate.stats.accepted.value(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_gives_the_same_print_in_whatever_pieces_it_comes() {
    let (gate, client) = shop(&["http/1.1"]);
    // A client that resumes would send another hello the second time.
    let mut client = (*client).clone();
    client.resumption = rustls::client::Resumption::disabled();
    let client = Arc::new(client);
    let mut stream = connect(&gate, &client, "shop.example").await;
    let whole = get(&mut stream).await.facts;
    for shape in [
        Shape::Drip(1),
        Shape::Drip(2),
        Shape::Drip(7),
        Shape::Drip(64),
        Shape::Drip(1000),
        Shape::Records(40),
        Shape::Records(100),
        Shape::Records(999),
    ] {
        let stream = Shaped::new(gate.connect().await, shape);
        let mut stream = handshake(&client, "shop.example", stream).await.unwrap();
        let facts = get(&mut stream).await.facts;
        // rustls shuffles its extensions, so that the JA3 changes each time.
        assert_eq!(facts.of("ja4"), whole.of("ja4"), "{shape:?}");
        assert_eq!(facts.of("stable"), whole.of("stable"), "{shape:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_hello_are_closed_and_counted_by_fault() {
    let (gate, client) = shop(&["http/1.1"]);
    let hello = hello(&client);
    let mut lying = hello.clone();
    lying[5 + 4 + 2 + 32] = 33; // a session id longer than the 32 bytes it may have
    let long = [&[0x16, 3, 1, 0x40, 0, 1, 0, 0x50, 0][..], &[0; 64]].concat();
    for (bytes, fault) in [
        (&hello[..hello.len() / 2], HelloFault::Truncated),
        (&hello[..3], HelloFault::Truncated),
        (&long, HelloFault::TooLong),
        (b"GET / HTTP/1.1\r\n\r\n", HelloFault::NotTls),
        (b"\0", HelloFault::NotTls),
        (&[0x16, 3, 1, 0, 4, 2, 0, 0, 0], HelloFault::Malformed),
        (&lying, HelloFault::Malformed),
    ] {
        let before = gate.stats.hello_faults.count(fault);
        let mut stream = gate.connect().await;
        bound(stream.write_all(bytes)).await.unwrap();
        if fault == HelloFault::Truncated {
            bound(stream.shutdown()).await.unwrap();
        }
        closed(&mut stream).await;
        gate.until(|stats| stats.hello_faults.count(fault) == before + 1).await;
    }
    gate.until(|stats| stats.handshake_failures.count(HandshakeFailure::Hello) == 7).await;
    assert_eq!(gate.stats.handshakes.count(Handshake::Full), 0);
    gate.until(|stats| stats.open.value() == 0 && stats.handshaking.value() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_is_counted_by_reason() {
    let (gate, client) = shop(&["spdy/3"]);
    assert!(handshake(&client, "shop.example", gate.connect().await).await.is_err());
    gate.until(|stats| stats.handshake_failures.count(HandshakeFailure::Alpn) == 1).await;

    let stranger = config(&[], &[&TLS13], &["h2"]);
    assert!(handshake(&stranger, "shop.example", gate.connect().await).await.is_err());
    gate.until(|stats| stats.handshake_failures.count(HandshakeFailure::Alert) == 1).await;

    drop(gate.connect().await);
    gate.until(|stats| stats.handshake_failures.count(HandshakeFailure::Closed) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_tls_are_spoken_and_resumed_by_ticket() {
    let (shop, leaf) = certificate(&["shop.example"]);
    let store = Arc::new(TlsStore::from_der(vec![shop]).unwrap());
    let gate = Gate::tls(&store, |_| {});
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        let client = config(&[&leaf], &[version], &["http/1.1"]);
        let mut prints = Vec::new();
        for resumed in ["false", "true"] {
            let mut stream = connect(&gate, &client, "shop.example").await;
            let facts = get(&mut stream).await.facts;
            assert_eq!(facts.of("version"), name);
            assert_eq!(facts.of("resumed"), resumed, "{name}");
            prints.push((facts.of("ja4").to_owned(), facts.of("stable").to_owned()));
        }
        assert_eq!(prints[0].1, prints[1].1, "the stable print of {name}");
    }
    assert_eq!(gate.stats.handshakes.count(Handshake::Resumed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_agreed_on_first_and_carries_the_same_facts() {
    let (gate, client) = shop(&["h2", "http/1.1"]);
    let stream = connect(&gate, &client, "shop.example").await;
    let (mut requests, connection) = bound(h2::client::handshake(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::get("https://shop.example/").body(()).unwrap();
        let (answer, _) = requests.send_request(request, true).unwrap();
        let mut body = bound(answer).await.unwrap().into_body();
        let mut bytes = Vec::new();
        while let Some(chunk) = bound(body.data()).await {
            bytes.extend(chunk.unwrap());
        }
        let facts = Facts::parse(std::str::from_utf8(&bytes).unwrap());
        assert_eq!((facts.of("alpn"), facts.of("http2")), ("h2", "true"));
        assert!(facts.of("ja4").contains("h2_"), "{}", facts.of("ja4"));
        // What the h2 library sends of itself, also before it is asked for a second request.
        assert_eq!(facts.of("http2_print"), "|00|0|m,s,a,p");
    }
    drop(requests);
    bound(connection).await.unwrap().unwrap();
    gate.until(|stats| stats.open.value() == 0).await;
    assert_eq!(gate.stats.accepted.value(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_alpn_speaks_http1() {
    let (gate, client) = shop(&[]);
    let mut stream = connect(&gate, &client, "shop.example").await;
    assert_eq!(get(&mut stream).await.facts.of("alpn"), "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_name_picks_the_certificate() {
    let (one, one_leaf) = certificate(&["one.example"]);
    let (many, many_leaf) = certificate(&["*.two.example"]);
    let store = Arc::new(TlsStore::from_der(vec![one, many]).unwrap());
    let gate = Gate::tls(&store, |_| {});
    let client = config(&[&one_leaf, &many_leaf], &[&TLS13], &["h2"]);
    for (name, leaf) in [("one.example", &one_leaf), ("www.two.example", &many_leaf)] {
        assert_eq!(shown(&connect(&gate, &client, name).await), *leaf, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_serve_the_next_handshake_and_old_connections_go_on() {
    let (old, old_leaf) = certificate(&["shop.example"]);
    let (new, new_leaf) = certificate(&["shop.example"]);
    let store = Arc::new(TlsStore::from_der(vec![old]).unwrap());
    let gate = Gate::tls(&store, |_| {});
    let client = || config(&[&old_leaf, &new_leaf], &[&TLS13], &["http/1.1"]);
    let mut before = connect(&gate, &client(), "shop.example").await;
    assert_eq!(shown(&before), old_leaf);

    store.replace_der(vec![new]).unwrap();
    let mut after = connect(&gate, &client(), "shop.example").await;
    assert_eq!(shown(&after), new_leaf);
    get(&mut before).await;
    get(&mut after).await;

    assert!(store.replace_der(vec![]).is_err());
    assert_eq!(shown(&connect(&gate, &client(), "shop.example").await), new_leaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_resumed_across_a_change_of_certificates() {
    let (old, leaf) = certificate(&["shop.example"]);
    let store = Arc::new(TlsStore::from_der(vec![old]).unwrap());
    let gate = Gate::tls(&store, |_| {});
    let client = config(&[&leaf], &[&TLS13], &["http/1.1"]);
    get(&mut connect(&gate, &client, "shop.example").await).await;
    store.replace_der(vec![certificate(&["shop.example"]).0]).unwrap();
    let facts = get(&mut connect(&gate, &client, "shop.example").await).await.facts;
    assert_eq!(facts.of("resumed"), "true");
}

/// A certificate for `shop.example` in files of `folder`.
fn write(folder: &str) -> (CertificateFiles, rustls_pki_types::CertificateDer<'static>) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let files = CertificateFiles { chain: folder.join("chain.pem"), key: folder.join("key.pem") };
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    std::fs::write(&files.chain, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_again_and_a_faulty_one_changes_nothing() {
    let (files, first) = write("reload");
    let store = Arc::new(TlsStore::load(std::slice::from_ref(&files)).unwrap());
    let gate = Gate::tls(&store, |_| {});
    let (_, second) = write("reload");
    let serves = async |leaf: &_| {
        let client = config(&[&first, &second], &[&TLS13], &["h2"]);
        assert_eq!(shown(&connect(&gate, &client, "shop.example").await), *leaf);
    };
    serves(&first).await;
    store.reload().unwrap();
    serves(&second).await;

    // The certificate is a third one now, the key still that of the second.
    let key = std::fs::read(&files.key).unwrap();
    write("reload");
    std::fs::write(&files.key, key).unwrap();
    let error = store.reload().unwrap_err();
    assert!(error.to_string().contains("is not that of the certificate"), "{error}");
    serves(&second).await;

    std::fs::write(&files.chain, "no certificate").unwrap();
    let text = store.reload().unwrap_err().to_string();
    assert!(text.starts_with("expected a certificate in PEM form in `"), "{text}");
    assert!(text.ends_with("chain.pem`, but found none"), "{text}");
    serves(&second).await;

    std::fs::remove_file(&files.key).unwrap();
    write_chain_only(&files);
    let TlsError::Certificates(error) = store.reload().unwrap_err() else { unreachable!() };
    assert!(matches!(&error.faults[..], [CertificateFault::Unreadable { path, .. }] if *path == files.key));
    serves(&second).await;
}

fn write_chain_only(files: &CertificateFiles) {
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    std::fs::write(&files.chain, made.cert.pem()).unwrap();
}
