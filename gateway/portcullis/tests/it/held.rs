//! What a client cannot hold for ever: connections, and those to the origin behind them.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use portcullis_testkit::{Answer, RecordedRequest, wait_until};
use serde_json::json;

use crate::rig::{Rig, usual_origin};
use crate::{CURL, OPEN};

const BOUND: Duration = Duration::from_secs(30);

/// An origin that answers before it has read the body, with nothing at `/empty`. It ends what it says at `/events` when it
/// is told to, and says of what request a connection is given up.
fn hasty_origin(may_end: Receiver<()>, given_up: Sender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let may_end = Arc::new(Mutex::new(may_end));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, may_end, given_up) = (stream.unwrap(), Arc::clone(&may_end), given_up.clone());
            thread::spawn(move || {
                let mut head = BufReader::new(&stream).lines().map_while(Result::ok);
                let asked = head.next().unwrap();
                head.find(String::is_empty).unwrap();
                if asked.contains(" /events ") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
                    may_end.lock().unwrap().recv().unwrap();
                    stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").unwrap();
                } else if asked.contains(" /empty ") {
                    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
                } else {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
                    stream.write_all(answer).unwrap();
                }
                // It goes on reading, as one that wants the rest does.
                std::io::copy(&mut stream, &mut std::io::sink()).ok();
                given_up.send(asked).ok();
            });
        }
    });
    address
}

/// RFC 9113 §8.1: nothing but the gateway ends such a request, which holds a connection to the origin. A byte now and then
/// keeps none.
#[test]
fn who_leaves_an_answered_request_open_has_it_ended_for_him_and_nothing_else() {
    let ((end, may_end), (given_up, is_given_up)) = (mpsc::channel(), mpsc::channel());
    let address = hasty_origin(may_end, given_up);
    let settings = format!(
        "[[origin]]\nname = \"hasty\"\nservers = [\"{address}\"]\n\
         [limits]\nbody_timeout_ms = 1000\nsend_timeout_ms = 200\n"
    );
    let rig = Rig::start_with(&OPEN.replace("\"app\"", "\"hasty\""), &settings, usual_origin);
    let http2 = || rig.tls_client(&["h2"]).connect_h2().unwrap();
    let [mut listening, mut ending, mut silent, mut dripping] = [(); 4].map(|()| http2());
    let listening = thread::spawn(move || listening.request_that_pauses("POST", "/events", CURL, b"").unwrap().text());
    assert_eq!(ending.request_that_pauses("POST", "/ending", CURL, b"begun").unwrap().status, 200);
    ending.end();
    assert_eq!(ending.get("/get", CURL).unwrap().status, 200);
    let but_for_its_end = [CURL, &[("content-length", "5")]].concat();
    assert_eq!(silent.request_that_pauses("POST", "/silent", &but_for_its_end, b"whole").unwrap().status, 200);
    assert_eq!(silent.request_that_pauses("POST", "/empty", CURL, b"").unwrap().status, 204);
    assert_eq!(dripping.request_that_pauses("POST", "/dripping", CURL, b"begun").unwrap().status, 200);

    const NO_ERROR: u32 = 0;
    let mut slowly = rig.client().connect().unwrap();
    let head = "POST /slowly HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n";
    slowly.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(slowly.read_response().unwrap().status, 200);
    wait_until("the open ones to be ended", BOUND, || {
        let is_over = slowly.write(b"1\r\nx\r\n").is_err();
        (silent.go_on(b""), dripping.go_on(b"x"), is_over) == (vec![NO_ERROR; 2], vec![NO_ERROR], true)
    });
    let mut held = HashSet::from(["/silent", "/empty", "/dripping", "/slowly"]);
    while !held.is_empty() {
        let given_up = is_given_up.recv_timeout(BOUND).expect("the connections to the origin are held no more");
        held.remove(given_up.split(' ').nth(1).unwrap());
    }
    assert_eq!(silent.get("/get", CURL).unwrap().status, 200, "the connection serves others");
    let records = rig.audit(7);
    let mut told: Vec<_> = records.iter().map(|record| ["path", "status", "error"].map(|key| &record[key])).collect();
    told.sort_by_key(|[path, ..]| path.as_str());
    let as_told = |path: &str, status: u16, error: Option<&str>| [json!(path), json!(status), json!(error)];
    let late = Some("ReadTimedout");
    let expected = [
        as_told("/dripping", 200, late),
        as_told("/empty", 204, late),
        as_told("/ending", 200, None),
        as_told("/get", 200, None),
        as_told("/get", 200, None),
        as_told("/silent", 200, late),
        as_told("/slowly", 200, late),
    ];
    assert_eq!(told, expected.each_ref().map(|record| record.each_ref()));
    end.send(()).unwrap();
    assert_eq!(listening.join().unwrap(), "firstlast", "an answer takes as long as its origin likes");
}

/// Pingora bounds how long a body takes to be sent, and not how long a header does.
#[test]
fn who_takes_none_of_his_answers_is_cut_and_all_are_recorded() {
    let long = "x".repeat(500_000);
    let settings = "[limits]\nsend_timeout_ms = 300\n";
    let rig = Rig::start_with(OPEN, settings, move |_: &RecordedRequest| Answer::ok("").header("x-long", &long));
    let mut stream = TcpStream::connect(rig.plain).unwrap();
    let audit = rig.folder.join("audit.jsonl");
    let recorded = || fs::read_to_string(&audit).unwrap_or_default().lines().count();
    let cut = || rig.metrics().value("portcullis_connections_cut_total", &[("reason", "slow_reader")]);
    let mut asked = 0;
    wait_until("the one who reads nothing to be cut", BOUND, || {
        if recorded() == asked {
            // When it is cut, this fails.
            let head = b"HEAD / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
            drop(stream.write_all(head));
            asked += 1;
        }
        cut() == Some(1.0)
    });
    rig.audit(rig.origin.requests().len());
}

/// What of an answer was not waited for does not say that a password was right.
#[test]
fn who_leaves_before_the_part_of_an_answer_that_tells_is_taken_to_have_failed() {
    let ((end, may_end), (given_up, _)) = (mpsc::channel(), mpsc::channel());
    let settings = format!("[[origin]]\nname = \"hasty\"\nservers = [\"{}\"]\n", hasty_origin(may_end, given_up));
    let limit =
        "[[route.limit]]\nname = \"l\"\nkey = [\"ip\"]\ncount = \"failures\"\nrate = \"2/1h\"\nover = \"throttle\"\n";
    let rules = format!("{OPEN}clients = \"api\"\nfailure = {{ json = {{ \"/ok\" = false }} }}\n{limit}");
    let rig = Rig::start_with(&rules.replace("\"app\"", "\"hasty\""), &settings, usual_origin);
    for count in 1..=2 {
        let mut leaving = TcpStream::connect(rig.plain).unwrap();
        let head = "POST /events HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nContent-Length: 0\r\n\r\n";
        leaving.write_all(head.as_bytes()).unwrap();
        let mut answer = BufReader::new(leaving).lines().map(Result::unwrap);
        assert!(answer.any(|line| line == "first"));
        drop(answer);
        assert_eq!(rig.audit(count)[count - 1]["status"], 200);
    }
    assert_eq!(rig.client().get("/", CURL).unwrap().status, 429);
    drop(end);
}

/// With each piece of it a header is read from its beginning.
#[test]
fn a_header_of_a_thousand_pieces_is_cut_before_its_time() {
    let rig = Rig::start_with(OPEN, "[limits]\nheader_timeout_ms = 60000\n", usual_origin);
    let mut stream = TcpStream::connect(rig.plain).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let cut = || rig.metrics().value("portcullis_connections_cut_total", &[("reason", "scattered_header")]);
    wait_until("the header to be cut", BOUND, || {
        // When it is cut, this fails.
        drop(stream.write_all(&[b'a'; 20_000]));
        cut() == Some(1.0)
    });
}

/// RFC 9293 §3.8.4: a client that vanishes without a word is found out, as what rests may rest for ever.
#[cfg(target_os = "linux")]
#[test]
fn the_system_asks_after_clients_that_say_nothing() {
    let rig = Rig::start(OPEN);
    let mut client = rig.client().connect().unwrap();
    assert_eq!(client.get("/", CURL).unwrap().status, 200);
    let port = |port: u16| format!("0100007F:{port:04X}");
    let (local, remote) = (port(rig.plain.port()), port(client.local_addr().unwrap().port()));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = row.into_iter().find(|row| row[1] == local && row[2] == remote).expect("the connection is in the table");
    assert!(row[5].starts_with("02:"), "its timer is one that asks: {row:?}");
}
