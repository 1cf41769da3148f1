//! From a client to the origin and back, with what is seen from outside.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::rig::Rig;
use crate::{CHROMIUM, CURL, OPEN, reasons};

#[test]
fn a_browser_reaches_the_origin_with_its_verdict() {
    let folder = std::env::temp_dir().join(format!("portcullis-verdict-{}.secret", std::process::id()));
    std::fs::write(&folder, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff").unwrap();
    let rig = Rig::start_with(OPEN, &format!("[verdict]\nsecret_file = {folder:?}\n"), crate::rig::usual_origin);
    let answer = rig.client().get("/page?x=1", CHROMIUM).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let seen = rig.origin.take_requests();
    assert_eq!(seen[0].target, "/page?x=1");
    assert_eq!(seen[0].header("portcullis-score"), Some("0.000"));
    assert_eq!(seen[0].header("portcullis-action"), Some("allow"));
    assert_eq!(seen[0].header("portcullis-reasons"), None);
    assert_eq!(seen[0].header("portcullis-request-id").unwrap().len(), 32);
    assert_eq!(seen[0].header("portcullis-verdict").unwrap().split('.').count(), 3);
    assert_eq!(seen[0].header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen[0].header("x-forwarded-proto"), Some("http"));
}

#[test]
fn a_tool_is_scored_and_the_audit_says_why() {
    let rig = Rig::start(OPEN);
    assert_eq!(rig.client().get("/api", CURL).unwrap().status, 200);
    let seen = rig.origin.take_requests();
    assert_eq!(reasons(seen[0].header("portcullis-reasons")), ["ua-tool"]);
    let record = &rig.audit(1)[0];
    assert_eq!(record["route"], "all");
    assert_eq!(record["action"], "allow");
    assert_eq!(record["claim"], "tool");
    assert_eq!(record["client_name"], "curl");
    assert_eq!(record["reasons"][0]["signal"], "ua-tool");
    assert_eq!(record["reasons"][0]["points"], record["score"]);
    assert_eq!(record["counters"]["address_per_minute"], 1);
    assert_eq!(record["request_id"].as_str(), seen[0].header("portcullis-request-id"));
}

#[test]
fn metrics_agree_with_what_was_served() {
    let rig = Rig::start(OPEN);
    for _ in 0..3 {
        rig.client().get("/", CHROMIUM).unwrap();
    }
    rig.client().get("/", CURL).unwrap();
    rig.audit(4);
    let metrics = rig.metrics();
    let labels = [("route", "all"), ("action", "allow"), ("mode", "enforce")];
    assert_eq!(metrics.value("portcullis_requests_total", &labels), Some(4.0));
    assert_eq!(metrics.sum("portcullis_requests_total"), 4.0);
    assert_eq!(metrics.value("portcullis_signals_total", &[("signal", "ua-tool")]), Some(1.0));
    assert_eq!(metrics.value("portcullis_decision_seconds_count", &[]), Some(4.0));
    assert_eq!(metrics.sum_where("portcullis_dependency_up", &[("dependency", "origin")]), 1.0);
    assert!(metrics.sum("portcullis_connections_total") >= 4.0);
}

#[test]
fn tls_and_http2_carry_a_fingerprint() {
    let rig = Rig::start(OPEN);
    for alpn in ["h2", "http/1.1"] {
        let client = rig.tls_client(&[alpn]);
        let answer = if alpn == "h2" { client.get_h2("/", CURL) } else { client.get("/", CURL) }.unwrap();
        assert_eq!(answer.status, 200);
    }
    let records = rig.audit(2);
    assert_eq!(records[0]["http"], "2");
    assert_eq!(records[1]["http"], "1.1");
    for (record, part) in records.iter().zip(["h2", "h1"]) {
        let ja4 = record["ja4"].as_str().unwrap();
        assert!(ja4.starts_with("t13d") && ja4.split('_').next().unwrap().ends_with(part), "{ja4}");
    }
    assert_eq!(rig.origin.take_requests()[0].header("x-forwarded-proto"), Some("https"));
}

#[test]
fn a_browser_claim_with_another_tls_stack_is_a_contradiction() {
    let rig = Rig::start(OPEN);
    let answer = rig.tls_client(&["http/1.1"]).get("/", CHROMIUM).unwrap();
    let record = &rig.audit(1)[0];
    let names: Vec<_> = record["reasons"].as_array().unwrap().iter().map(|reason| &reason["signal"]).collect();
    assert!(names.iter().any(|name| *name == "tls-ua-mismatch"), "{record}");
    assert_eq!(answer.status, 403, "two findings of one passive group challenge");
    assert_eq!(record["action"], "challenge");
}

/// What a trusted proxy in front shows of TLS is its own, and nothing of the client that it names.
#[test]
fn a_client_behind_a_trusted_proxy_is_not_judged_by_the_handshake_of_the_proxy() {
    let trusting = "[client_address]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let rig = Rig::start_with(OPEN, trusting, crate::rig::usual_origin);
    let proxy = rig.tls_client(&["http/1.1"]);
    let mut named = CHROMIUM.to_vec();
    named.push(("x-forwarded-for", "203.0.113.7"));
    assert_eq!(proxy.get("/", &named).unwrap().status, 200);
    assert_eq!(proxy.get("/", CHROMIUM).unwrap().status, 403, "the proxy's own requests are judged by it");
    let records = rig.audit(2);
    let of = |client: &str| records.iter().find(|record| record["client"] == client).unwrap();
    assert_eq!(of("203.0.113.7")["ja4"], serde_json::Value::Null);
    assert!(of("127.0.0.1")["ja4"].is_string());
}

#[test]
fn what_no_route_matches_is_not_found() {
    let rig = Rig::start("[[route]]\nname = \"one\"\npaths = [\"/one\"]\norigin = \"app\"\n");
    let answer = rig.client().get("/two", CHROMIUM).unwrap();
    assert_eq!(answer.status, 404);
    assert!(rig.origin.take_requests().is_empty());
}

#[test]
fn a_denied_network_gets_its_code() {
    let rules = format!(
        "{OPEN}
[[route.rule]]
name = \"no documentation network\"
when = {{ ip = [\"203.0.113.0/24\"] }}
action = \"block\"
"
    );
    let rig = Rig::start(&rules);
    let answer = rig.client_of("203.0.113.9").get("/", CURL).unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let problem = answer.json();
    assert_eq!(problem["code"], "API.RULE_BLOCKED");
    assert_eq!(problem["reference"].as_str(), answer.header("portcullis-request-id"));
    assert!(rig.origin.take_requests().is_empty());
    let page = rig.client_of("203.0.113.9").get("/", CHROMIUM).unwrap();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("API.RULE_BLOCKED"));
    assert_eq!(rig.client_of("203.0.114.9").get("/", CHROMIUM).unwrap().status, 200);
    assert_eq!(rig.audit(1)[0]["rule"], "no documentation network");
}

#[test]
fn an_origin_that_is_down_is_a_bad_gateway_and_comes_back() {
    let [dead] = portcullis_testkit::free_ports::<1>();
    let settings = format!("[[origin]]\nname = \"dead\"\nservers = [\"127.0.0.1:{dead}\"]\n");
    let rules = "[[route]]\nname = \"dead\"\npaths = [\"/\"]\norigin = \"dead\"\n";
    let rig = Rig::start_with(rules, &settings, crate::rig::usual_origin);
    let answer = rig.client().get("/", CURL).unwrap();
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["code"], "API.ORIGIN_FAILED");
    let _back = portcullis_testkit::Origin::start_on(dead, crate::rig::usual_origin);
    assert_eq!(rig.client().get("/", CURL).unwrap().status, 200);
}

#[test]
fn a_rule_for_get_is_for_head_as_a_route_is() {
    let rule = "[[rule]]\nname = \"no get\"\nwhen = { path = [\"/x\"], method = [\"GET\"] }\naction = \"block\"\n";
    let rig = Rig::start(&format!("{OPEN}{rule}"));
    let status = |method: &str| rig.client().connect().unwrap().request(method, "/x", CURL, b"").unwrap().status;
    assert_eq!(["GET", "HEAD", "POST"].map(status), [403, 403, 200]);
}

/// A connection that is refused has taken nothing of the request, whatever its method.
#[test]
fn who_meets_a_dead_server_of_a_pool_is_served_by_another() {
    let [dead] = portcullis_testkit::free_ports::<1>();
    let live = portcullis_testkit::Origin::start(crate::rig::usual_origin);
    let pool = format!("[[origin]]\nname = \"half\"\nservers = [\"127.0.0.1:{dead}\", \"{}\"]\n", live.address());
    let rig = Rig::start_with(&OPEN.replace("\"app\"", "\"half\""), &pool, crate::rig::usual_origin);
    for round in 0..6 {
        assert_eq!(rig.client().get("/", CURL).unwrap().status, 200, "{round}");
        let mut connection = rig.client().connect().unwrap();
        assert_eq!(connection.request("POST", "/x", CURL, b"a body").unwrap().status, 200, "{round}");
    }
    let bodies: Vec<_> = live.take_requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.iter().filter(|body| *body == b"a body").count(), 6);
    let metrics = rig.metrics();
    let server = format!("127.0.0.1:{dead}");
    let up = |server: &str| {
        metrics.value("portcullis_dependency_up", &[("dependency", "origin"), ("name", "half"), ("server", server)])
    };
    assert_eq!((up(&server), up(&live.address().to_string())), (Some(0.0), Some(1.0)));
    let failures = metrics.sum_where("portcullis_origin_connect_failures_total", &[("server", &server)]);
    assert!((1.0..=2.0).contains(&failures), "it is left out for a while, not asked each time: {failures}");
    rig.gateway.wait_for_output("no connection to the server can be made");
}

/// An intermediary sends its own version (RFC 9112 §2.3), and keeps its own connections.
#[test]
fn an_origin_of_http_1_0_is_behind_a_gateway_of_1_1() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!("[[origin]]\nname = \"old\"\nservers = [\"{}\"]\n", origin.local_addr().unwrap());
    thread::spawn(move || {
        for stream in origin.incoming() {
            let (mut stream, mut head) = (stream.unwrap(), [0; 4096]);
            let read = stream.read(&mut head).unwrap_or_default();
            let length = if head.starts_with(b"GET /framed") { "Content-Length: 3\r\n" } else { "" };
            if read > 0 {
                stream.write_all(format!("HTTP/1.0 200 OK\r\n{length}\r\nold").as_bytes()).unwrap();
            }
        }
    });
    let rig = Rig::start_with(&OPEN.replace("\"app\"", "\"old\""), &settings, crate::rig::usual_origin);
    let mut client = rig.client().connect().unwrap();
    for path in ["/framed", "/until-the-end", "/framed"] {
        let answer = client.get(path, CURL).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "old"), "{path}");
        assert!(answer.head.starts_with(b"HTTP/1.1 200 "), "{path}");
    }
}

#[test]
fn a_body_past_its_bound_is_refused_before_the_origin_has_it() {
    let rules = format!("{OPEN}max_body_bytes = 1000\n");
    let rig = Rig::start(&rules);
    let answer = rig.client().connect().unwrap().request("POST", "/", CURL, &[b'x'; 1001]).unwrap();
    assert_eq!(answer.status, 413);
    assert!(rig.origin.take_requests().is_empty());
    let fits = rig.client().connect().unwrap().request("POST", "/", CURL, &[b'x'; 1000]).unwrap();
    assert_eq!(fits.status, 200);
}

#[test]
fn who_is_still_uploading_gets_the_refusal() {
    let block = "[[route.rule]]\nname = \"no\"\nwhen = { path = [\"/no*\"] }\naction = \"block\"\n";
    let rig = Rig::start(&format!("{OPEN}max_body_bytes = 1000\n{block}"));
    let body = vec![b'x'; 8 << 20];
    for (path, status) in [("/", 413), ("/no", 403)] {
        for client in [rig.client(), rig.tls_client(&["http/1.1"])] {
            let answer = client.connect().unwrap().request("POST", path, CURL, &body).unwrap();
            assert_eq!(answer.status, status, "{path}");
        }
        let answer = rig.tls_client(&["h2"]).connect_h2().unwrap().request("POST", path, CURL, &body).unwrap();
        assert_eq!(answer.status, status, "{path} over HTTP/2");
    }
    assert!(rig.origin.take_requests().is_empty());
}

#[test]
fn who_was_told_to_continue_is_told_why_not_to() {
    let rules = format!("{OPEN}max_body_bytes = 1000\n");
    let rig = Rig::start_with(&rules, "[limits]\nbody_timeout_ms = 200\n", crate::rig::usual_origin);
    let too_long = format!("3e9\r\n{}\r\n", "x".repeat(1001));
    for (sent, line, code) in [
        (too_long.as_str(), "HTTP/1.1 413 Payload Too Large\r\n", "API.BODY_TOO_LARGE"),
        ("", "HTTP/1.1 408 Request Timeout\r\n", "API.REQUEST_TIMEOUT"),
    ] {
        let mut stream = TcpStream::connect(rig.plain).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = "POST / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
                    Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut interim = [0; CONTINUE.len()];
        stream.read_exact(&mut interim).unwrap();
        assert_eq!(interim, CONTINUE);
        stream.write_all(sent.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(line) && answer.contains(code), "{answer}");
    }
    let records = rig.audit(2);
    let statuses: Vec<_> = records.iter().map(|record| record["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [413, 408]);
}

#[test]
fn termination_lets_the_gateway_end_well() {
    let mut rig = Rig::start(OPEN);
    rig.client().get("/", CURL).unwrap();
    assert!(rig.gateway.terminate().success());
    assert_eq!(rig.audit(1).len(), 1, "the last record is written before the end");
}

#[test]
fn a_denied_autonomous_system_gets_its_code() {
    let database =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/mmdb/maxmind-test/GeoLite2-ASN-Test.mmdb");
    if !std::path::Path::new(database).exists() {
        eprintln!("skipped: {database} is absent");
        return;
    }
    let rules =
        format!("{OPEN}\n[[route.rule]]\nname = \"not from there\"\nwhen = {{ asn = [1221] }}\naction = \"block\"\n");
    let rig = Rig::start_with(&rules, &format!("[intel]\nasn = {database:?}\n"), crate::rig::usual_origin);
    let refused = rig.client_of("1.128.0.1").get("/", CHROMIUM).unwrap();
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("API.RULE_BLOCKED"));
    assert_eq!(rig.client_of("8.8.8.8").get("/", CHROMIUM).unwrap().status, 200);
    let record = &rig.audit(2)[0];
    assert_eq!((&record["asn"], &record["rule"]), (&1221.into(), &"not from there".into()));
}
