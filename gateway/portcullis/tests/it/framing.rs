//! Requests that two readers could read differently: 400, and the connection is closed.

use std::net::Ipv4Addr;
use std::time::Duration;

use portcullis::accept::HEAD_BYTES;
use portcullis_testkit::{Answer, Http1};

use crate::OPEN;
use crate::rig::Rig;

/// Sends `bytes` with a second request behind them, and checks that one 400 and nothing else comes back. Says whether it
/// did.
fn refused(rig: &Rig, bytes: &[u8], what: &str) -> bool {
    let mut connection = rig.client().connect().unwrap();
    let mut all = bytes.to_vec();
    all.extend_from_slice(b"GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    connection.write(&all).unwrap();
    let answer = connection.read_to_close().unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 400") || text.is_empty(), "{what}: {text}");
    assert_eq!(text.matches("HTTP/1.1 ").count(), usize::from(!text.is_empty()), "{what}: {text}");
    assert!(text.is_empty() || text.contains("\"code\":\"API.MALFORMED_REQUEST\""), "{what}: {text}");
    let seen = rig.origin.take_requests();
    assert!(seen.is_empty(), "{what} reached the origin: {:?}", seen[0].target);
    !text.is_empty()
}

#[test]
fn ambiguous_framing_never_reaches_the_origin() {
    let rig = Rig::start(OPEN);
    let post = "POST / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n";
    let mut answers = 0;
    for (what, rest) in [
        ("a length beside an encoding", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("an encoding beside a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        ("two lengths that differ", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("two lengths that are equal", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("a list of lengths", "Content-Length: 5, 5\r\n\r\nhello"),
        ("a signed length", "Content-Length: +5\r\n\r\nhello"),
        ("a length in hex", "Content-Length: 0x5\r\n\r\nhello"),
        ("a length that overflows", "Content-Length: 18446744073709551621\r\n\r\nhello"),
        ("an unknown encoding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("an encoding twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a list of encodings", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("chunked, then identity", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("identity", "Transfer-Encoding: identity\r\n\r\n"),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ("a folded header", "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
        ("a bare line feed", "X-A: b\nContent-Length: 0\r\n\r\n"),
        ("a bare carriage return", "X-A: b\rc\r\nContent-Length: 0\r\n\r\n"),
        ("a NUL", "X-A: b\0c\r\nContent-Length: 0\r\n\r\n"),
        ("a second host", "Host: other.example\r\nContent-Length: 0\r\n\r\n"),
    ] {
        answers += u32::from(refused(&rig, format!("{post}{rest}").as_bytes(), what));
    }
    for (what, head) in [
        ("no host", "GET / HTTP/1.1\r\nUser-Agent: x\r\n\r\n"),
        (
            "an encoding in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("an authority that is not the host", "GET http://other.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
        ("a host with a path", "GET / HTTP/1.1\r\nHost: shop.example/x\r\n\r\n"),
        ("a chunk size that is none", "POST / HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"),
    ] {
        answers += u32::from(refused(&rig, head.as_bytes(), what));
    }
    assert_eq!(rig.client().get("/fine", crate::CURL).unwrap().status, 200);
    portcullis_testkit::wait_until("every refusal to be counted", Duration::from_secs(10), || {
        rig.metrics().sum_where("portcullis_requests_total", &[("action", "block")]) == f64::from(answers)
    });
    assert_eq!(rig.metrics().value("portcullis_unjudged_answers_total", &[("status", "400")]), Some(0.0));
}

#[test]
fn a_request_whose_body_fails_before_it_is_judged_is_recorded_and_counted_as_any_other() {
    let rules = format!("{OPEN}identify = {{ user = \"json:/user\" }}\nfailure = {{ status = [401] }}\n");
    let rig = Rig::start(&rules);
    let post = "POST /a HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nContent-Type: application/json\r\n";
    for (rest, answered) in [
        ("Content-Length: 50\r\n\r\n{\"us", false),
        ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", true),
        ("Expect: 100-continue\r\nContent-Length: 50\r\n\r\n", false),
    ] {
        let mut connection = rig.client().connect().unwrap();
        connection.write(format!("{post}{rest}").as_bytes()).unwrap();
        connection.finish_writing().unwrap();
        let answer = connection.read_to_close().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer).contains("HTTP/1.1 400 "), answered, "{rest}");
    }
    let records = rig.audit(3);
    assert_eq!(records.len(), 3);
    for record in &records {
        assert_eq!((&record["path"], &record["route"]), (&"/a".into(), &"all".into()));
        assert!(record["error"].is_string(), "{record}");
    }
    assert_eq!(records[2]["counters"]["address_per_minute"], 3);
    assert!(rig.origin.take_requests().is_empty());
    rig.await_count("portcullis_requests_total", &[("route", "all"), ("action", "allow"), ("mode", "enforce")], 3.0);
}

#[test]
fn a_head_that_is_too_large_is_recorded_as_any_other() {
    let rig = Rig::start(OPEN);
    let long = "x".repeat(40 << 10);
    let answer = rig.client().get("/a", &[("user-agent", "curl/8.5.0"), ("x-long", &long)]).unwrap();
    assert_eq!(answer.status, 431);
    let record = &rig.audit(1)[0];
    assert_eq!((&record["status"], &record["fault"]), (&431.into(), &"header-section".into()));
    assert_eq!((&record["path"], &record["client"]), (&"/a".into(), &"127.0.0.1".into()));
}

#[test]
fn a_host_is_forwarded_in_the_form_that_the_route_was_found_by() {
    let rig = Rig::start(OPEN);
    let get = |host: &str| {
        let mut connection = rig.client().connect().unwrap();
        connection
            .write(format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: curl/8.5.0\r\n\r\n").as_bytes())
            .unwrap();
        connection.read_response().unwrap().status
    };
    for (host, forwarded) in [
        ("SHOP.example.", "shop.example"),
        ("Shop.Example:8443", "shop.example:8443"),
        ("shop.example:80", "shop.example:80"),
    ] {
        assert_eq!(get(host), 200);
        assert_eq!(rig.origin.take_requests()[0].header("host"), Some(forwarded));
    }
    assert_eq!(get("shop.example:99999"), 400);
    let headers = [("user-agent", "curl/8.5.0")];
    let mut http2 = rig.tls_client(&["h2"]).host("SHOP.example.").connect_h2().unwrap();
    assert_eq!(http2.get("/", &headers).unwrap().status, 200);
    assert_eq!(rig.origin.take_requests()[0].header("host"), Some("shop.example"));
}

/// What a test sends that cannot be read, and what is to be told of it: a method, a path and a fault.
const UNREADABLE: [(&str, &str, &str, &str); 23] = [
    ("GET /a HTTP/3.7\r\nHost: shop.example\r\n\r\n", "GET", "/a", "request-line"),
    ("\u{16}\u{3}\u{1}\u{2}", "-", "/", "request-line"),
    ("\u{16}\u{3}\u{1}\0\u{4}\u{1}\0\0\u{3}\u{3}", "-", "/", "request-line"),
    ("SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6", "/", "request-line"),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI", "*", "request-line"),
    ("GET /a?q=<b> HTTP/1.1\r\nHost: shop.example\r\n\r\n", "GET", "/a", "target"),
    ("GET /a HTTP/1.1\r\nHost: shop.example\r\n \r\nA: b\0\r\n\r\n", "GET", "/a", "folded-header"),
    ("GET /a b HTTP/1.1\r\nHost: shop.example\r\nA : b\r\n\r\n", "GET", "/a%20b", "header-line"),
    ("GET /a HTTP/3.7", "GET", "/a", "request-line"),
    ("GET /a HTTP/1.1\r\nHost: u@shop.example\r\n\r\n", "GET", "/a", "host-invalid"),
    ("GET / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: a\u{1}\r\n\r\n", "GET", "/", "header-line"),
    ("G(T /a HTTP/1.1\r\nHost: shop.example\r\n\r\n", "-", "/a", "request-line"),
    ("GET /a HTTP/1.1\r\nHost: shop.example\r\nno header line\r\n\r\n", "GET", "/a", "header-line"),
    ("GET /a HTTP/1.1\r\nHost : shop.example\r\n\r\n", "GET", "/a", "header-line"),
    ("GET /a HTTP/1.1\r\nHost: shop.example\r\nA: b\r\n c\r\n\r\n", "GET", "/a", "folded-header"),
    ("GET /a HTTP/1.1\r\nHost: shop.example\r\nA: b\0c\r\n\r\n", "GET", "/a", "bare-control"),
    ("GET /a HTTP/1.1\r\nHost: shop.example\r\nHost: b.example\r\n\r\n", "GET", "/a", "ambiguous-host"),
    (
        "POST /a?token=secret HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nab\r\ncd",
        "POST",
        "/a",
        "duplicate-length",
    ),
    (
        "PUT /a HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "PUT",
        "/a",
        "unknown-encoding",
    ),
    (
        "POST /a HTTP/1.0\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST",
        "/a",
        "unknown-encoding",
    ),
    ("GET http://b.example/a HTTP/1.1\r\nHost: shop.example\r\n\r\n", "GET", "/a", "ambiguous-host"),
    ("CONNECT b.example:1 HTTP/1.1\r\nHost: shop.example\r\n\r\n", "CONNECT", "/", "target"),
    ("HEAD /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: x\r\n\r\n", "HEAD", "/a", "invalid-length"),
];

#[test]
fn who_sends_what_cannot_be_read_is_told_why_and_recorded() {
    let rig = Rig::start_with(OPEN, "[client_address]\ntrusted_proxies = [\"127.0.0.5\"]\n", crate::rig::usual_origin);
    let mut records = 0_u8;
    for (bytes, method, path, fault) in UNREADABLE {
        for client in [rig.client(), rig.tls_client(&["http/1.1"])] {
            // Each from another network, as who sends much of this gets his score.
            let address = Ipv4Addr::new(127, 1, records, 1);
            let mut connection = client.from_source(address.into()).connect().unwrap();
            // One is read before it, so that what is told is not that of the first.
            assert_eq!(connection.get("/before", crate::CURL).unwrap().status, 200);
            connection.write(bytes.as_bytes()).unwrap();
            let text = String::from_utf8(connection.read_to_close().unwrap()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{bytes:?}: {text}");
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            assert_eq!((field("connection"), field("server")), (Some("close"), None), "{text}");
            assert_eq!(field("content-type"), Some("application/problem+json"), "{text}");
            assert!(field("date").unwrap().ends_with(" GMT"), "{text}");
            records += 2;
            let record = rig.audit(records.into()).pop().unwrap();
            let id = record["request_id"].as_str().unwrap();
            assert_eq!(field("portcullis-request-id"), Some(id), "{text}");
            if method == "HEAD" {
                assert!(body.is_empty() && field("content-length") != Some("0"), "{text}");
            } else {
                assert_eq!(field("content-length"), Some(body.len().to_string().as_str()), "{text}");
                let problem: serde_json::Value = serde_json::from_str(body).unwrap();
                assert_eq!(problem["code"], "API.MALFORMED_REQUEST");
                assert_eq!(problem["reference"].as_str(), Some(id));
                assert!(problem["detail"].as_str().unwrap().ends_with(&format!(": {fault}")), "{bytes:?}: {text}");
            }
            let told = ["method", "path", "fault", "cause", "action", "client"].map(|name| record[name].as_str());
            let address = address.to_string();
            let wanted = [method, path, fault, "malformed", "block", &address].map(Some);
            assert_eq!((told, &record["status"]), (wanted, &serde_json::json!(400)), "{bytes:?}");
            assert!(!record.to_string().contains("secret"), "{record}");
        }
    }
}

#[test]
fn who_sends_what_cannot_be_read_is_believed_no_address() {
    let trusted = "[client_address]\ntrusted_proxies = [\"127.0.0.5\"]\n";
    let rig = Rig::start_with(OPEN, trusted, crate::rig::usual_origin);
    let forwarded = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let head = |rest: &str| format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{}{rest}", forwarded("192.0.2.7"));
    let proxys = format!("Host: b.example\r\n{}", forwarded("198.51.100.9"));
    let long = format!("Pad: {}\r\n", "x".repeat(HEAD_BYTES));
    let mut records = 0;
    for (last, rest, client) in [
        (5, format!("{proxys}\r\n"), Some("198.51.100.9")),
        (6, format!("{proxys}\r\n"), Some("127.0.0.6")),
        (6, format!("{long}{proxys}\r\n"), Some("127.0.0.6")),
        (6, format!("{proxys}no header line\r\n\r\n"), Some("127.0.0.6")),
        // The line of the proxy itself is not among what is kept, has not come, or cannot be read.
        (5, format!("{long}{proxys}\r\n"), None),
        (5, "no header line\r\n".to_owned(), None),
        (5, format!("{proxys}no header line\r\n\r\n"), None),
        (5, "X-Forwarded-For: a\u{1}, 198.51.100.9\r\n\r\n".to_owned(), None),
        (5, " , 198.51.100.9\r\n\r\n".to_owned(), None),
        (5, format!(" \r\n{proxys}\r\n"), None),
    ] {
        let before = rig.metrics().value("portcullis_unjudged_answers_total", &[("status", "400")]).unwrap();
        let mut connection = rig.client_from(last).connect().unwrap();
        connection.write(head(&rest).as_bytes()).unwrap();
        let text = String::from_utf8(connection.read_to_close().unwrap()).unwrap();
        assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("\"code\":\"API.MALFORMED_REQUEST\""), "{text}");
        if let Some(client) = client {
            records += 1;
            assert_eq!(rig.audit(records).pop().unwrap()["client"], client, "{last} {rest:?}");
        }
        let after = rig.metrics().value("portcullis_unjudged_answers_total", &[("status", "400")]).unwrap();
        assert_eq!(after - before, f64::from(u8::from(client.is_none())), "{last} {rest:?}");
    }
    assert_eq!(rig.audit(records).len(), records);
}

#[test]
fn an_answer_400_of_the_origin_is_passed_on() {
    let rig = Rig::start_with(OPEN, "", |_| Answer::status(400).body("says the origin"));
    let mut connection = rig.client().connect().unwrap();
    for _ in 0..3 {
        let answer = connection.get("/", crate::CURL).unwrap();
        assert_eq!((answer.status, &*answer.body), (400, &b"says the origin"[..]));
    }
    connection
        .write(
            b"POST / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nExpect: 100-continue\r\n\
              Connection: close\r\nContent-Length: 2\r\n\r\nhi",
        )
        .unwrap();
    let text = String::from_utf8(connection.read_to_close().unwrap()).unwrap();
    assert!(text.contains("HTTP/1.1 400 ") && text.ends_with("says the origin"), "{text}");
}

/// RUSTSEC-2026-0033: bytes behind a request for an upgrade are not a second request.
#[test]
fn what_stands_behind_an_upgrade_is_not_a_request() {
    let rig = Rig::start(OPEN);
    let mut connection = rig.client().connect().unwrap();
    connection
        .write(
            b"GET /up HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n\
              GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        )
        .unwrap();
    let answer = connection.read_response().unwrap();
    assert_eq!(answer.status, 200);
    assert!(rig.origin.take_requests().iter().all(|request| request.target == "/up"));
}

/// Pingora takes a body that it cannot read for one that is over.
#[test]
fn behind_a_body_that_cannot_be_read_nothing_is_a_request() {
    let rig = Rig::start(&format!(
        "{OPEN}[[route.rule]]\nname = \"no\"\nwhen = {{ path = [\"/no\"] }}\naction = \"block\"\n"
    ));
    let head =
        "POST /no HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut connection = rig.client().connect().unwrap();
    connection.write(format!("{head}ZZ\r\n").as_bytes()).unwrap();
    let answer = connection.read_response().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (403, Some("close")));
    // Whether this can still be written depends on who is first.
    let _ = connection.write(b"GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(connection.read_to_close().unwrap(), b"");
    assert!(rig.origin.take_requests().is_empty());
}

#[test]
fn a_trace_is_refused_as_any_other_request() {
    let rig =
        Rig::start(&format!("{OPEN}[[route.rule]]\nname = \"no\"\nwhen = {{ path = [\"/no\"] }}\naction = \"ban\"\n"));
    let trace = "TRACE / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n";
    refused(&rig, format!("{trace}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n").as_bytes(), "TRACE");
    let ask = |client: &mut Http1, path| client.request("TRACE", path, crate::CURL, b"").unwrap().status;
    // Who is banned can connect no more, so that both are connected before.
    let mut clients = [(); 2].map(|()| rig.client().connect().unwrap());
    assert_eq!(clients.each_mut().map(|client| ask(client, "/")), [405; 2]);
    assert_eq!(ask(&mut clients[0], "/no"), 403);
    assert_eq!(ask(&mut clients[1], "/"), 403, "a ban that a rule asks for is one");
}

#[test]
fn connect_is_not_served() {
    let rig = Rig::start(OPEN);
    let mut connection = rig.client().connect().unwrap();
    connection.write(b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n").unwrap();
    let text = String::from_utf8_lossy(&connection.read_to_close().unwrap()).into_owned();
    assert!(text.starts_with("HTTP/1.1 405"), "{text}");
    assert!(rig.origin.take_requests().is_empty());
    assert_eq!(rig.metrics().value("portcullis_unjudged_answers_total", &[("status", "405")]), Some(1.0));
}
