use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_testkit::{Answer, Client, Gate, Http1, Origin};

#[test]
fn a_request_is_recorded_byte_for_byte() {
    let origin = Origin::start(|_| Answer::ok("hello").header("X-Origin", "yes"));
    let mut client = Client::new(origin.address()).connect().unwrap();
    let wire = b"PUT /a%2Fb/../c;d?e=%00 HTTP/1.1\r\nhOST: shop.example\r\nX-A: 1\r\nx-b:  2 \r\nX-a: 3\r\nContent-Length: 3\r\n\r\nxyz";
    let response = client.send_raw(wire).unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.header("x-origin"), Some("yes"));

    let requests = origin.take_requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.head, &wire[..wire.len() - 3]);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/a%2Fb/../c;d?e=%00"));
    assert_eq!(request.version, "HTTP/1.1");
    assert_eq!(request.headers[0], ("hOST".to_owned(), "shop.example".to_owned()));
    assert_eq!(request.headers_named("x-a"), ["1", "3"]);
    assert_eq!(request.header("X-B"), Some("2"));
    assert_eq!(request.body, b"xyz");
    assert!(origin.requests().is_empty(), "taken requests are forgotten");
}

#[test]
fn a_connection_is_kept_and_pipelined_requests_stay_apart() {
    let origin = Origin::start(|request| Answer::ok(request.target.clone()));
    let mut client = Client::new(origin.address()).connect().unwrap();
    client
        .write(b"POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
        .unwrap();
    for target in ["/1", "/2"] {
        let response = client.read_response().unwrap();
        assert_eq!(response.text(), target);
        assert!(Http1::stays_open_after(&response));
    }
    client.get("/3", &[]).unwrap();
    let seen: Vec<_> =
        origin.requests().into_iter().map(|request| (request.connection, request.target, request.body)).collect();
    assert_eq!(
        seen,
        [(1, "/1".to_owned(), b"abc".to_vec()), (1, "/2".to_owned(), vec![]), (1, "/3".to_owned(), vec![])]
    );
    assert_eq!(origin.connections(), 1);
}

#[test]
fn answers_of_every_kind_are_read() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/chunked" => Answer::ok("in one chunk").header("Transfer-Encoding", "chunked"),
        "/empty" => Answer::status(204),
        "/close" => Answer::ok("last").header("Connection", "close"),
        "/until-close" => Answer::raw("HTTP/1.1 200 OK\r\n\r\nto the end"),
        "/interim" => Answer::raw("HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
        "/hang-up" => Answer::hang_up(),
        _ => Answer::status(404).body("none"),
    });
    let get = |path: &str| Client::new(origin.address()).get(path, &[]);
    for (path, status, body) in [
        ("/chunked", 200, "in one chunk"),
        ("/empty", 204, ""),
        ("/close", 200, "last"),
        ("/until-close", 200, "to the end"),
        ("/interim", 200, "x"),
        ("/other", 404, "none"),
    ] {
        let response = get(path).unwrap();
        assert_eq!((response.status, response.text().as_str()), (status, body), "{path}");
    }
    assert_eq!(get("/interim").unwrap().interim, [103]);
    assert_eq!(get("/hang-up").unwrap_err().kind(), ErrorKind::UnexpectedEof);

    let mut client = Client::new(origin.address()).connect().unwrap();
    let head = client.request("HEAD", "/other", &[], b"").unwrap();
    assert_eq!((head.status, head.header("content-length"), head.text().as_str()), (404, Some("4"), ""));
    assert_eq!(client.get("/other", &[]).unwrap().text(), "none", "no body was sent after HEAD");
}

#[test]
fn a_held_answer_waits_for_its_gate_and_holds_up_nobody_else() {
    let gate = Gate::closed();
    let held_by = gate.clone();
    let origin = Origin::start(move |request| match request.target.as_str() {
        "/held" => Answer::ok("held").held_by(&held_by),
        _ => Answer::ok("free"),
    });
    let client = Client::new(origin.address());
    let mut waiting = client.connect().unwrap();
    waiting.write(b"GET /held HTTP/1.1\r\n\r\n").unwrap();
    origin.wait_for_requests(1);
    assert_eq!(client.get("/", &[]).unwrap().text(), "free");
    gate.open();
    assert_eq!(waiting.read_response().unwrap().text(), "held");
}

#[test]
fn an_upgraded_connection_echoes() {
    let origin = Origin::start(|_| Answer::upgrade_and_echo().header("Upgrade", "websocket"));
    let mut client = Client::new(origin.address()).connect().unwrap();
    let response = client.get("/", &[("Connection", "Upgrade"), ("Upgrade", "websocket")]).unwrap();
    assert_eq!(response.status, 101);
    client.write(b"ping").unwrap();
    client.finish_writing().unwrap();
    assert_eq!(client.read_to_close().unwrap(), b"ping");
}

#[test]
fn what_is_not_http_is_recorded_as_malformed() {
    let origin = Origin::start(|_| Answer::ok(""));
    for wire in ["GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"] {
        let response = Client::new(origin.address()).connect().unwrap().send_raw(wire.as_bytes()).unwrap();
        assert_eq!(response.status, 400, "{wire:?}");
    }
    assert_eq!(origin.malformed().len(), 3);
    assert!(origin.requests().is_empty());
}

#[test]
fn a_stopped_origin_can_come_back_on_its_port() {
    let origin = Origin::start(|_| Answer::ok("first"));
    let address = origin.address();
    let client = Client::new(address);
    assert_eq!(client.get("/", &[]).unwrap().text(), "first");
    drop(origin);
    assert_eq!(client.get("/", &[]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let _origin = Origin::start_on(address.port(), |_| Answer::ok("second"));
    assert_eq!(client.get("/", &[]).unwrap().text(), "second");
}

#[test]
fn a_client_connects_from_its_source_and_says_its_preamble_first() {
    let origin = Origin::start(|_| Answer::ok(""));
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let client = Client::new(origin.address()).from_source(source).preamble(b"GET /preamble HTTP/1.1\r\n\r\n".to_vec());
    let mut connection = client.connect().unwrap();
    connection.get("/", &[("Host", "other.example")]).unwrap();
    origin.wait_for_requests(2);
    let requests = origin.requests();
    assert_eq!(requests[0].target, "/preamble");
    assert_eq!(requests[0].peer, connection.local_addr().unwrap());
    assert_eq!(requests[1].peer.ip(), source);
    assert_eq!(requests[1].headers_named("host"), ["other.example"]);
}

#[test]
fn a_silent_server_is_a_timeout_not_a_hang() {
    let gate = Gate::closed();
    let origin = Origin::start(move |_| Answer::ok("").held_by(&gate));
    let error = Client::new(origin.address()).bound(Duration::from_millis(50)).get("/", &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}
