//! What the running gateway remembers of behaviour: limits of every kind, fields of bodies, attacks by many.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use portcullis_testkit::{Answer, Gate, RawResponse, RecordedRequest};
use serde_json::json;

use crate::rig::{Rig, usual_origin};
use crate::{CHROMIUM, CURL, OPEN};

/// Nothing is unusual on the route, so that only its limits act.
const PATIENT: &str = "usual = { per_address = \"1000000/1m\", per_prefix = \"1000000/1m\", paths = 1000000 }\n";

const JSON: &[(&str, &str)] = &[("user-agent", "ShopApp/3.1"), ("accept", "*/*"), ("content-type", "application/json")];

fn limited(limit: &str) -> String {
    format!("{OPEN}{PATIENT}clients = \"api\"\n[[route.limit]]\nname = \"l\"\n{limit}\n")
}

fn post(rig: &Rig, last: u8, body: &[u8]) -> u16 {
    rig.client_from(last).connect().unwrap().request("POST", "/search", JSON, body).unwrap().status
}

#[test]
fn a_user_named_in_the_body_is_limited_wherever_it_asks_from_and_the_body_goes_on_unchanged() {
    let rules = format!(
        "{OPEN}{PATIENT}clients = \"api\"\nidentify = {{ user = \"json:/email\" }}\n[[route.limit]]\nname = \"l\"\n\
         key = [\"user\"]\nrate = \"2/1h\"\nover = \"throttle\"\n"
    );
    let rig = Rig::start(&rules);
    let ann = br#"{"email":"ann@shop.example","pad":"0123456789"}"#;
    assert_eq!([1, 2, 3].map(|last| post(&rig, 10 + last, ann)), [200, 200, 429]);
    assert_eq!(post(&rig, 14, br#"{"email":"bob@shop.example"}"#), 200);
    assert_eq!(
        post(&rig, 16, br#"{"email":" ANN@Shop.Example "}"#),
        429,
        "no spelling of her name has tries of its own"
    );
    // X36: what two parsers read differently is nobody, and nobody shares the prefix with nobody else.
    let nobody = [
        &br#"{"email":["ann@shop.example"]}"#[..],
        br#"{"email":"x","email":"ann@shop.example"}"#,
        br#"{"email":{"a":1}}"#,
        b"{\"email\":",
    ];
    let statuses = nobody.map(|body| post(&rig, 15, body));
    assert_eq!(statuses, [200, 200, 429, 429]);
    let deep = [&br#"{"a":"#.repeat(10_000)[..], b"1", &b"}".repeat(10_000)[..]].concat();
    assert_eq!(post(&rig, 15, &deep), 429, "ten thousand levels are nobody, too");
    let dave = br#"{"email":"dave@shop.example"}"#;
    let upgrading = ["x", "websocket", "x"].map(|protocol| {
        let headers = [JSON, &[("connection", "Upgrade"), ("upgrade", protocol)]].concat();
        rig.client_from(17).connect().unwrap().request("POST", "/search", &headers, dave).unwrap().status
    });
    assert_eq!(upgrading, [200, 200, 429], "who asks for another protocol is read all the same");
    let bodies: Vec<_> = rig.origin.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies[0], ann, "the origin has the body as it was sent");
    let mut http2 = rig.tls_client(&["h2"]).connect_h2().unwrap();
    let carol = br#"{"email":"carol@shop.example"}"#;
    let sent = (0..3).map(|_| http2.request("POST", "/search", JSON, carol).unwrap().status);
    assert_eq!(sent.collect::<Vec<_>>(), [200, 200, 429]);
    assert_eq!(rig.origin.requests().last().unwrap().body, carol);
}

#[test]
fn a_limit_bans_what_it_counts_by() {
    let rules = format!(
        "{OPEN}{PATIENT}clients = \"api\"\nidentify = {{ user = \"json:/email\" }}\n[[route.limit]]\nname = \"l\"\n\
         key = [\"user\"]\nrate = \"2/1h\"\nover = \"ban\"\n"
    );
    let rig = Rig::start(&rules);
    let ann = br#"{"email":"ann@shop.example"}"#;
    assert_eq!([11, 12, 13].map(|last| post(&rig, last, ann)), [200, 200, 403]);
    assert_eq!(post(&rig, 14, ann), 403, "she is banned wherever she asks from");
    assert_eq!(post(&rig, 13, br#"{"email":"bob@shop.example"}"#), 200, "and nobody else is where she asked from");
    let refused = rig.client_from(15).connect().unwrap().request("POST", "/search", JSON, ann).unwrap();
    assert!(String::from_utf8_lossy(&refused.body).contains("API.BANNED"), "{refused:?}");
}

#[test]
fn a_limit_bans_what_it_counts_by_together_and_neither_part_by_itself() {
    let rules = format!(
        "{OPEN}{PATIENT}clients = \"api\"\nidentify = {{ user = \"header:x-user\" }}\n[[route.limit]]\nname = \"l\"\n\
         key = [\"user\", \"ip_prefix\"]\nrate = \"2/1h\"\nover = \"ban\"\n"
    );
    let mut rig = Rig::start(&rules);
    let ask = |rig: &Rig, user: &str, source: &str| {
        let headers = [CURL, &[("x-user", user)]].concat();
        rig.client_of(source).get("/", &headers).unwrap().status
    };
    let (here, there) = ("198.51.100.7", "203.0.113.7");
    assert_eq!([0; 3].map(|_| ask(&rig, "ann", here)), [200, 200, 403]);
    rig.restart(|_| ());
    let others = [("ann", "198.51.100.99"), ("ann", there), ("bob", here)].map(|(user, from)| ask(&rig, user, from));
    assert_eq!(others, [403, 200, 200], "Ann is banned in that network only, over a restart");
}

/// An origin has worked for a request whose client leaves before the answer, and may have checked a password for it.
#[test]
fn who_leaves_before_the_answer_is_charged_for_it() {
    let cases = [
        ("cost = \"header:x-cost\"", "GET", 429),
        ("count = \"failures\"", "POST", 429),
        ("count = \"failures\"", "GET", 200),
    ];
    for (counted, method, then) in cases {
        let gate = Gate::closed();
        let held = gate.clone();
        let rules = limited(&format!("key = [\"ip\"]\n{counted}\nrate = \"2/1h\"\nover = \"throttle\""));
        let rig = Rig::start_with(&rules, "", move |request: &RecordedRequest| {
            if request.target == "/slow" { Answer::ok("late").held_by(&held) } else { usual_origin(request) }
        });
        for count in 1..=2 {
            let mut leaving = TcpStream::connect(rig.plain).unwrap();
            leaving
                .write_all(format!("{method} /slow HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nContent-Length: 0\r\n\r\n").as_bytes())
                .unwrap();
            rig.origin.wait_for_requests(count);
            drop(leaving);
            rig.audit(count);
        }
        assert_eq!(rig.client().get("/", CURL).unwrap().status, then, "{method}, {counted}");
        gate.open();
    }
}

/// What goes over a WebSocket is bytes like any, and no body.
#[test]
fn a_websocket_is_charged_its_bytes_and_is_as_long_as_its_ends_like() {
    let limit = limited("key = [\"ip\"]\ncount = \"bytes\"\nrate = \"100KiB/1h\"\nover = \"throttle\"");
    let rules = limit.replace("clients = ", "max_body_bytes = 1024\nclients = ");
    let rig = Rig::start_with(&rules, "", |_: &RecordedRequest| {
        Answer::upgrade_and_echo().header("portcullis-report", "praise").header("content-length", "0")
    });
    let mut stream = TcpStream::connect(rig.plain).unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n";
    stream.write_all(format!("{head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n").as_bytes()).unwrap();
    let mut answered = BufReader::new(stream.try_clone().unwrap());
    let told: Vec<_> = answered.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    assert!(told[0].starts_with("HTTP/1.1 101 "), "{told:?}");
    assert!(!told.iter().any(|line| line.to_ascii_lowercase().starts_with("portcullis-report")), "{told:?}");
    let mut echoed = vec![0; 100];
    for round in 0..1200_u32 {
        let sent: Vec<u8> = round.to_be_bytes().repeat(25);
        stream.write_all(&sent).unwrap();
        answered.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, sent);
    }
    stream.shutdown(Shutdown::Both).unwrap();
    assert_eq!(rig.audit(1)[0]["status"], 101);
    assert_eq!(rig.client().get("/", CURL).unwrap().status, 429);
}

/// Who lacks what a limit counts by is counted with his neighbours, who are not banned with him, nor he for them.
#[test]
fn a_limit_that_bans_bans_nobody_for_what_requests_lack() {
    for key in ["[\"device\"]", "[\"header:x-device\"]", "[\"api_key\", \"path\"]"] {
        let limit = format!("[[route.limit]]\nname = \"few\"\nkey = {key}\nrate = \"2/1h\"\nover = \"ban\"\n");
        let identify = "identify = { device = \"header:x-device\", api_key = \"header:x-api-key\" }\n";
        let rig = Rig::start(&format!("{OPEN}{PATIENT}{identify}{limit}"));
        let status = |from: u8, headers: &[(&str, &str)]| {
            rig.client_from(from).get("/", &[CURL, headers].concat()).unwrap().status
        };
        let named = [("x-device", "d"), ("x-api-key", "k")];
        assert_eq!([(); 4].map(|()| status(6, &[])), [200, 200, 403, 403], "{key}");
        assert_eq!(status(7, &[]), 403, "{key}: it is counted with them");
        assert_eq!((status(6, &named), status(7, &named)), (200, 200), "{key}: but not banned");
        let admin = portcullis_testkit::Client::new(rig.admin).host(&rig.admin.to_string());
        let bans = || admin.get("/bans", &[]).unwrap().json()["bans"].as_array().unwrap().len();
        assert_eq!(bans(), 0, "{key}");
        // Who has it is banned by it.
        assert_eq!((status(6, &named), bans()), (403, 1), "{key}");
    }
}

/// Failures are looked for in the text of the answer.
#[test]
fn an_origin_is_asked_for_text_where_failures_are_looked_for_there() {
    for (failure, seen) in [
        ("", (Some("gzip"), Some("bytes=0-1"))),
        ("failure = { json = { \"/ok\" = false } }\n", (Some("identity"), None)),
    ] {
        let rig = Rig::start(&format!("{OPEN}{PATIENT}{failure}"));
        let conditions = ["if-none-match", "if-match", "if-modified-since", "if-unmodified-since", "if-range"];
        let mut headers = [CURL, &[("accept-encoding", "gzip"), ("range", "bytes=0-1")]].concat();
        headers.extend(conditions.map(|name| (name, "\"a\"")));
        rig.client().get("/", &headers).unwrap();
        let asked = rig.origin.take_requests().remove(0);
        for condition in conditions {
            assert_eq!(asked.header(condition).is_some(), failure.is_empty(), "{condition} {failure}");
        }
        assert_eq!((asked.header("accept-encoding"), asked.header("range")), seen, "{failure}");
    }
}

/// An origin that has all of a request keeps its client waiting; one that has not is kept waiting itself.
#[test]
fn who_pauses_in_a_body_is_told_so_and_charged_for_it() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let hasty = format!("[[origin]]\nname = \"hasty\"\nservers = [\"{address}\"]\nread_timeout_ms = 200\n");
    let rules = limited("key = [\"ip\"]\ncost = \"header:x-cost\"\nrate = \"5/1h\"\nover = \"throttle\"");
    let rig = Rig::start_with(&rules.replace("\"app\"", "\"hasty\""), &hasty, usual_origin);
    let http2 = || rig.tls_client(&["h2"]).connect_h2().unwrap();
    let http1 = |rest: &str| {
        let mut client = rig.client().connect().unwrap();
        let head = "POST / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n";
        client.write(format!("{head}Content-Length: 9\r\n{rest}").as_bytes()).unwrap();
        client.read_response().unwrap()
    };
    let late = [
        rig.client().get("/", CURL).unwrap(),
        http2().get("/", CURL).unwrap(),
        http1("\r\nthe whole"),
        http1("Upgrade: x\r\n\r\nthe whole"),
        http1("Expect: 100-continue\r\n\r\n"),
        http2().request("POST", "/", CURL, b"the whole").unwrap(),
        // That it sends no more is all that it does not say.
        http2().request_that_pauses("POST", "/", &[CURL, &[("content-length", "5")]].concat(), b"whole").unwrap(),
    ];
    let paused = [
        http1("\r\nbegun"),
        http1("Expect: 100-continue\r\n\r\nbegun"),
        http1("Expect: the best\r\n\r\n"),
        http1("Upgrade: websocket\r\n\r\nbegun"),
        http2().request_that_pauses("POST", "/", CURL, b"begun").unwrap(),
    ];
    let told = |answer: &RawResponse| (answer.status, answer.json()["code"].as_str().unwrap().to_owned());
    assert_eq!(late.each_ref().map(told), [(); 7].map(|()| (504, "API.ORIGIN_TIMEOUT".to_owned())));
    assert_eq!(paused.each_ref().map(told), [(); 5].map(|()| (408, "API.REQUEST_TIMEOUT".to_owned())));
    // What is charged is charged before it is recorded.
    rig.audit(12);
    assert_eq!(rig.client().get("/", CURL).unwrap().status, 429, "who kept the origin waiting is charged for it");
}

/// RFC 9110 §10.1.1: nobody else waits for `100 Continue`, and one of HTTP/1.0 would take it for the answer.
#[test]
fn only_who_expects_to_be_told_to_continue_is_told() {
    let rig = Rig::start(&format!("{OPEN}{PATIENT}identify = {{ user = \"json:/email\" }}\n"));
    let told = |version: &str, expected: &str| {
        let mut client = rig.client().connect().unwrap();
        let head = format!("POST / HTTP/{version}\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n");
        let body = format!("Content-Type: application/json\r\nContent-Length: 2\r\nExpect: {expected}\r\n\r\n{{}}");
        client.write(format!("{head}{body}").as_bytes()).unwrap();
        let answer = client.read_response().unwrap();
        (answer.status, answer.interim.contains(&100))
    };
    let cases = [("1.1", "100-Continue"), ("1.1", "the best"), ("1.0", "100-continue")];
    assert_eq!(cases.map(|(version, expected)| told(version, expected)), [(200, true), (200, false), (200, false)]);
}

/// RFC 9110 §15.2: an interim answer is not for a client of HTTP/1.0, whatever the origin says in between.
#[test]
fn an_early_hint_is_for_who_knows_what_that_is() {
    let hinting = |_: &RecordedRequest| {
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
        Answer::raw(format!("{hint}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
    };
    let rig = Rig::start_with(OPEN, "", hinting);
    let told = |version: &str| {
        let mut client = rig.client().connect().unwrap();
        let head = format!("GET / HTTP/{version}\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n");
        let answer = client.send_raw(format!("{head}\r\n").as_bytes()).unwrap();
        (answer.status, answer.text(), answer.interim)
    };
    assert_eq!(told("1.1"), (200, "hello".to_owned(), vec![103]));
    assert_eq!(told("1.0"), (200, "hello".to_owned(), vec![]));
}

/// Who has his answer can leave the request open for ever.
#[test]
fn an_answer_counts_as_soon_as_it_is_known() {
    let limit =
        "[[route.limit]]\nname = \"l\"\nkey = [\"ip\"]\ncount = \"failures\"\nrate = \"2/1h\"\nover = \"throttle\"\n";
    for (failure, status) in [("", 401), ("failure = { json = { \"/ok\" = false } }\n", 200)] {
        let rules = format!("{OPEN}{PATIENT}clients = \"api\"\n{failure}{limit}");
        let rig = Rig::start_with(&rules, "", move |_: &RecordedRequest| match status {
            200 => Answer::ok(r#"{"ok":false}"#),
            other => Answer::status(other),
        });
        let headers = [JSON, &[("content-length", "5")]].concat();
        let mut open = [(); 2].map(|()| rig.tls_client(&["h2"]).connect_h2().unwrap());
        for client in &mut open {
            assert_eq!(client.request_that_pauses("POST", "/login", &headers, b"wrong").unwrap().status, status);
        }
        assert_eq!(rig.client().get("/", CURL).unwrap().status, 429, "after {status}");
        assert_eq!(rig.audit(1)[0]["status"], 429, "the others are still under way");
    }
}

#[test]
fn whom_the_origin_reports_stands_worse_and_is_not_told() {
    let rules = format!("{OPEN}{PATIENT}identify = {{ user = \"header:x-user\" }}\n");
    let rig = Rig::start_with(&rules, "", |request: &RecordedRequest| match request.target.as_str() {
        "/spam" => Answer::ok("sent").header("portcullis-report", "abuse"),
        "/other" => Answer::ok("sent").header("portcullis-report", "praise"),
        _ => Answer::ok("hello"),
    });
    let ask = |path: &str, user: &str, source: &str| {
        let headers = [CHROMIUM, &[("x-user", user)]].concat();
        rig.client_of(source).get(path, &headers).unwrap()
    };
    for path in ["/spam", "/other"] {
        let answer = ask(path, if path == "/spam" { "mallory" } else { "bob" }, "198.51.100.7");
        assert_eq!((answer.status, answer.header("portcullis-report")), (200, None), "{path}");
    }
    for (user, source) in [("Mallory", "203.0.113.7"), ("bob", "192.0.2.7")] {
        ask("/", user, source);
    }
    let records = rig.audit(4);
    let raised = |client: &str| {
        let of = records.iter().find(|record| record["client"] == client).unwrap();
        of["reasons"].to_string().contains("reputation")
    };
    assert!(raised("203.0.113.7"), "wherever she asks from: {records:?}");
    assert!(!raised("192.0.2.7"), "any other word is none: {records:?}");
}

#[test]
fn a_body_of_any_size_and_form_reaches_the_origin_whole_where_its_beginning_is_read() {
    let rules = format!("{OPEN}{PATIENT}clients = \"api\"\nidentify = {{ user = \"json:/email\" }}\n");
    let rig = Rig::start(&rules);
    for size in [0, 1, 1000, 60_000, 65_536, 70_000, 300_000] {
        let body: Vec<u8> = (0..size).map(|at| b'a' + (at % 26) as u8).collect();
        drop(rig.origin.take_requests());
        assert_eq!(post(&rig, 20, &body), 200, "{size} bytes");
        assert_eq!(rig.origin.take_requests()[0].body, body, "{size} bytes");
        let mut http2 = rig.tls_client(&["h2"]).connect_h2().unwrap();
        assert_eq!(http2.request("POST", "/search", JSON, &body).unwrap().status, 200, "{size} bytes");
        assert_eq!(rig.origin.take_requests()[0].body, body, "{size} bytes by HTTP/2");
        // In chunks nobody knows beforehand how long it is.
        let mut chunked = b"POST /search HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: ShopApp/3.1\r\n\
            Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
        for part in body.chunks(7_000) {
            chunked.extend(format!("{:x}\r\n", part.len()).bytes());
            chunked.extend_from_slice(part);
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        let status = rig.client_from(21).connect().unwrap().send_raw(&chunked).unwrap().status;
        match status {
            200 => assert_eq!(rig.origin.take_requests()[0].body, body, "{size} bytes in chunks"),
            413 => assert!(size > 65_536, "{size} bytes in chunks"),
            other => panic!("{size} bytes in chunks: {other}"),
        }
    }
}

#[test]
fn only_so_many_are_under_way_and_the_next_comes_in_when_one_is_done() {
    let gate = Gate::closed();
    let held = gate.clone();
    let rules = limited("key = [\"ip\"]\nconcurrency = 2\nover = \"throttle\"");
    let rig = Rig::start_with(&rules, "", move |request: &RecordedRequest| {
        if request.target == "/slow" { Answer::ok("late").held_by(&held) } else { usual_origin(request) }
    });
    thread::scope(|scope| {
        let slow: Vec<_> =
            (0..2).map(|_| scope.spawn(|| rig.client().get("/slow", CHROMIUM).unwrap().status)).collect();
        rig.origin.wait_for_requests(2);
        assert_eq!(rig.client().get("/", CHROMIUM).unwrap().status, 429);
        assert_eq!(rig.client_from(9).get("/", CHROMIUM).unwrap().status, 200, "another address has room");
        gate.open();
        assert_eq!(slow.into_iter().map(|slow| slow.join().unwrap()).collect::<Vec<_>>(), [200, 200]);
    });
    portcullis_testkit::wait_until("room", std::time::Duration::from_secs(20), || {
        rig.client().get("/", CHROMIUM).unwrap().status == 200
    });
}

#[test]
fn a_bucket_holds_a_burst_and_tells_of_itself() {
    let rig = Rig::start(&limited("key = [\"ip\"]\nrate = \"1/1h\"\nburst = 4\nover = \"throttle\""));
    let answers: Vec<_> = (0..6).map(|_| rig.client().get("/", CURL).unwrap()).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 200, 429, 429]);
    assert_eq!(answers[4].header("ratelimit-policy"), Some("\"l\";q=4;w=14400"));
    let wait: u32 = answers[4].header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
}

#[test]
fn different_values_bytes_and_costs_are_counted() {
    let distinct = limited("key = [\"ip\"]\ncount = \"distinct:query:user\"\nrate = \"3/1h\"\nover = \"throttle\"");
    let rig = Rig::start(&distinct);
    let get = |user: u32| rig.client().get(&format!("/?user={user}"), CURL).unwrap().status;
    assert_eq!([1, 2, 3, 1, 2, 4, 5, 3].map(get), [200, 200, 200, 200, 200, 429, 429, 200]);

    let bytes = limited("key = [\"ip\"]\ncount = \"bytes\"\nrate = \"100KiB/1h\"\nover = \"throttle\"");
    let rig = Rig::start_with(&bytes, "", |_: &RecordedRequest| Answer::ok(vec![b'x'; 60 << 10]));
    let statuses: Vec<u16> = (0..3)
        .map(|count| {
            let status = rig.client().get("/", CURL).unwrap().status;
            rig.audit(count + 1);
            status
        })
        .collect();
    assert_eq!(statuses, [200, 200, 429]);

    let costs = limited("key = [\"ip\"]\ncost = \"header:x-cost\"\nrate = \"10/1h\"\nover = \"throttle\"");
    let rig = Rig::start_with(&costs, "", |_: &RecordedRequest| Answer::ok("done").header("x-cost", "7"));
    let statuses: Vec<u16> = (0..3)
        .map(|count| {
            let status = rig.client().get("/", CURL).unwrap().status;
            rig.audit(count + 1);
            status
        })
        .collect();
    assert_eq!(statuses, [200, 200, 429]);
}

#[test]
fn who_has_no_room_to_wait_is_throttled_and_who_has_goes_on() {
    let delaying = |waiting: u32| {
        limited(&format!("key = [\"ip\"]\nrate = \"1/1s\"\nover = \"delay\"\ndelay = \"1s\"\nmax_waiting = {waiting}"))
    };
    let rig = Rig::start(&delaying(10));
    assert_eq!((0..4).map(|_| rig.client().get("/", CURL).unwrap().status).collect::<Vec<_>>(), [200; 4]);
    rig.reload_rules(&delaying(1), "applied");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| rig.client().get("/", CURL).unwrap().status)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(statuses.contains(&429) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn failures_that_stand_in_a_header_or_in_the_body_count() {
    let rules = format!(
        "{OPEN}{PATIENT}clients = \"api\"\nfailure = {{ json = {{ \"/ok\" = false }}, header = {{ x-login = \"denied*\" }} }}\n\
         [[route.limit]]\nname = \"l\"\nkey = [\"ip\"]\ncount = \"failures\"\nrate = \"2/1h\"\nover = \"throttle\"\n"
    );
    let rig = Rig::start_with(&rules, "", |request: &RecordedRequest| match request.target.as_str() {
        "/body" => Answer::ok(r#"{"ok":false}"#),
        "/header" => Answer::ok("{}").header("x-login", "denied: password"),
        _ => Answer::ok(r#"{"ok":true}"#),
    });
    let get = |path: &str, records: usize| {
        let status = rig.client().get(path, CURL).unwrap().status;
        rig.audit(records);
        status
    };
    let asked = ["/good", "/body", "/good", "/header", "/good"];
    let statuses: Vec<u16> = asked.iter().enumerate().map(|(at, path)| get(path, at + 1)).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429]);
}

#[test]
fn who_asks_for_one_number_after_the_other_is_told_from_who_browses() {
    let rules = format!("{OPEN}usual = {{ per_address = \"1000000/1m\", per_prefix = \"1000000/1m\" }}\n");
    let rig = Rig::start(&rules);
    for number in 0..120 {
        rig.client_from(30).get(&format!("/items/{}", 1000 + number), CHROMIUM).unwrap();
        rig.client_from(31).get(&format!("/items/{}", number * 37 % 120), CHROMIUM).unwrap();
    }
    let records = rig.audit(240);
    let raised = |client: &str| {
        let of = records.iter().filter(|record| record["client"] == client);
        of.filter(|record| record["reasons"].to_string().contains("enumeration")).count()
    };
    assert!(raised("127.0.0.30") > 20, "{}", raised("127.0.0.30"));
    assert_eq!(raised("127.0.0.31"), 0);
}

/// One request from each of hundreds of networks shows in no counter of an address: those that look alike do.
#[test]
fn an_attack_of_one_client_stack_from_everywhere_is_contained_and_a_browser_beside_it_is_not() {
    let rules = "[[route]]\nname = \"login\"\npaths = [\"/login\"]\norigin = \"app\"\nsensitivity = \"critical\"\n\
         preset = \"balanced\"\nclients = \"mixed\"\nfailure = { status = [401] }\nidentify = { user = \"json:/user\" }\n";
    let rig = Rig::start(rules);
    let tried = AtomicU32::new(0);
    let attempt = |number: u32| {
        let source = format!("{}.{}.{}.7", 20 + number / 60_000, number / 250 % 240, number % 250);
        let body = json!({ "user": format!("user{number}"), "password": "123456" }).to_string();
        let mut connection = rig.client_of(&source).connect().unwrap();
        tried.fetch_add(1, Ordering::Relaxed);
        connection.request("POST", "/login", JSON, body.as_bytes()).unwrap().status
    };
    let statuses: Vec<u16> = (0..900).map(attempt).collect();
    let behind = &statuses[200..];
    let contained = behind.iter().filter(|status| **status != 401).count();
    assert!(contained * 100 >= behind.len() * 90, "{contained} of {} were contained: {statuses:?}", behind.len());
    let beside = rig.client_of("198.18.7.7").get("/login", CHROMIUM).unwrap().status;
    let records = rig.audit(901);
    assert_eq!(beside, 401, "the origin has answered it: {:?}", records.last());
    assert!(records[0].get("posture").is_none(), "{}", records[0]);
    let mut next = 900..;
    portcullis_testkit::wait_until("a raised posture in the audit", std::time::Duration::from_secs(20), || {
        next.next().map(&attempt);
        rig.audit(0).iter().any(|record| record["posture"].is_string())
    });
    let metrics = rig.metrics();
    let raised = metrics.sum_where("portcullis_route_posture", &[("route", "login"), ("posture", "normal")]);
    assert!(raised <= 1.0);
    for table in ["counters", "buckets", "distinct", "failure_runs", "standings", "in_flight", "bans"] {
        assert!(metrics.value("portcullis_table_capacity", &[("table", table)]).unwrap() > 0.0, "{table}");
        if table != "in_flight" {
            assert!(metrics.value("portcullis_table_evictions_total", &[("table", table)]).is_some(), "{table}");
        }
    }
}
