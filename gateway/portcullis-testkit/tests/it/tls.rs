use std::io::{BufReader, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use portcullis_testkit::{Client, TestCertificate, Tls};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

/// Serves TLS until the test's process ends: `ok` over HTTP/1.1; the path, a header and a trailer
/// over HTTP/2.
fn serve(certificate: &TestCertificate) -> SocketAddr {
    let key = PrivateKeyDer::from_pem_reader(BufReader::new(certificate.key_pem().as_bytes())).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that refuses the certificate ends the handshake, as it should.
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        serve_h2(stream).await;
                        return;
                    }
                    let mut buffer = [0; 1024];
                    while let Ok(1..) = stream.read(&mut buffer).await {
                        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await);
                    }
                });
            }
        });
    });
    address
}

async fn serve_h2(stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let seen = request.headers().get("x-sent").cloned().unwrap_or_else(|| HeaderValue::from_static("none"));
        let response = Response::builder().status(201).header("x-seen", seen).body(()).unwrap();
        let mut stream = respond.send_response(response, false).unwrap();
        stream.send_data(Bytes::from(request.uri().to_string()), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-trailer", "end".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    }
}

#[test]
fn a_handshake_reports_what_was_agreed() {
    let certificate = TestCertificate::for_names(&["shop.example"]);
    let address = serve(&certificate);
    for (options, version, alpn) in [
        (Tls::to("shop.example"), "TLSv1_3", None),
        (Tls::to("shop.example").only_tls12(), "TLSv1_2", None),
        (Tls::to("shop.example").only_tls13().alpn(&["http/1.1"]), "TLSv1_3", Some("http/1.1")),
        (Tls::to("shop.example").trust(certificate.der()), "TLSv1_3", None),
    ] {
        let mut connection = Client::new(address).tls(options.build()).connect().unwrap();
        let facts = connection.tls().unwrap();
        assert_eq!(format!("{:?}", facts.version), version);
        assert_eq!(facts.alpn.as_deref(), alpn);
        assert_eq!(facts.certificate.as_ref(), Some(certificate.der()));
        assert!(!facts.resumed);
        assert_eq!(connection.get("/", &[]).unwrap().text(), "ok");
        assert_eq!(connection.get("/", &[]).unwrap().text(), "ok", "the connection is kept");
    }
}

#[test]
fn a_certificate_that_is_not_the_trusted_one_is_refused() {
    let address = serve(&TestCertificate::for_names(&["shop.example"]));
    let other = TestCertificate::for_names(&["shop.example"]);
    let tls = Tls::to("shop.example").trust(other.der()).build();
    assert_eq!(Client::new(address).tls(tls).connect().unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn the_second_connection_resumes_unless_told_otherwise() {
    let address = serve(&TestCertificate::for_names(&["shop.example"]));
    for (options, resumed) in [(Tls::to("shop.example"), true), (Tls::to("shop.example").without_resumption(), false)] {
        let client = Client::new(address).tls(options.build());
        // The ticket of TLS 1.3 arrives with the first response.
        client.get("/", &[]).unwrap();
        assert_eq!(client.connect().unwrap().tls().unwrap().resumed, resumed);
    }
}

#[test]
fn http2_carries_many_requests_on_one_connection() {
    let address = serve(&TestCertificate::for_names(&["shop.example"]));
    let tls = Tls::to("shop.example").alpn(&["h2"]).build();
    let mut connection = Client::new(address).host("api.shop.example").tls(tls).connect_h2().unwrap();
    assert_eq!(connection.tls().unwrap().alpn.as_deref(), Some("h2"));

    let response = connection.get("/a?b=c", &[("x-sent", "value")]).unwrap();
    assert_eq!((response.status, response.text().as_str()), (201, "https://api.shop.example/a?b=c"));
    assert_eq!(response.header("x-seen"), Some("value"));
    assert_eq!(response.trailers, [("x-trailer".to_owned(), "end".to_owned())]);

    let responses = connection.get_all(&["/1", "/2", "/3"], &[]).unwrap();
    let paths: Vec<_> =
        responses.iter().map(|response| response.text().split_off("https://api.shop.example".len())).collect();
    assert_eq!(paths, ["/1", "/2", "/3"]);
}
