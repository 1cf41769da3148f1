//! Prints: what the origin is told of them, what the audit holds, and whether they still tell clients apart.

use std::net::SocketAddr;

use portcullis_testkit::{Client, Metrics, Tls, free_ports, proxy_header};

use crate::rig::{Rig, usual_origin};
use crate::{CHROMIUM, CURL, OPEN};

const TOLD: &str = "tell_origin = [\"ja3\", \"ja4\", \"http2\", \"header-order\", \"stable\"]\n";

const HEADERS: [&str; 5] =
    ["portcullis-ja3", "portcullis-ja4", "portcullis-http2", "portcullis-header-order", "portcullis-stable"];

#[test]
fn an_origin_is_told_the_prints_that_the_policy_names_and_the_audit_has_the_same() {
    let rig = Rig::start(&format!("{OPEN}{TOLD}"));
    assert_eq!(rig.tls_client(&["h2"]).get_h2("/", CURL).unwrap().status, 200);
    let seen = &rig.origin.take_requests()[0];
    let record = &rig.audit(1)[0];
    for (header, key) in HEADERS.into_iter().zip(["ja3", "ja4", "http2", "header_order", "stable"]) {
        assert_eq!(seen.headers_named(header).len(), 1, "{header}");
        assert_eq!(seen.header(header), record[key].as_str(), "{header}");
    }
    assert_eq!(seen.header("portcullis-ja3").unwrap().len(), 32);
    assert!(seen.header("portcullis-ja4").unwrap().starts_with("t13d"));
    assert_eq!(seen.header("portcullis-http2").unwrap().split('|').count(), 4);
    // The hash of `user-agent,accept`.
    assert_eq!(seen.header("portcullis-header-order"), Some(ORDER));
    assert!(seen.header("portcullis-stable").unwrap().starts_with("pc1_"));
    assert_eq!(record["coverage"], "not-a-browser");
}

/// How the names were written: with a body that both the print and the origin's answer wait for.
#[test]
fn the_form_of_an_http1_header_is_in_its_record() {
    let rig = Rig::start(OPEN);
    let headers = [("User-Agent", "ShopApp/3.1"), ("accept", "*/*"), ("X-APP-ID", "7")];
    rig.client().connect().unwrap().request("POST", "/", &headers, b"{}").unwrap();
    let record = &rig.audit(1)[0];
    let form = record["http1"].as_str().unwrap();
    assert!(form.starts_with("1.1|") && form.ends_with("|-"), "{form}");
    let cases = form.split('|').nth(1).unwrap();
    assert!(cases.contains("tlu"), "{form}");
    rig.tls_client(&["h2"]).get_h2("/", CURL).unwrap();
    assert!(rig.audit(2)[1]["http1"].is_null());
}

/// The first 12 digits of the SHA-256 of `user-agent,accept`.
const ORDER: &str = "5594a17e7e7e";

#[test]
fn an_origin_is_told_no_print_that_is_not_asked_for_and_none_that_there_is_not() {
    let rules = format!(
        "[defaults]\n{TOLD}{OPEN}
[[route]]
name = \"some\"
paths = [\"/some\"]
origin = \"app\"
tell_origin = [\"ja4\"]
[[route]]
name = \"none\"
paths = [\"/none\"]
origin = \"app\"
tell_origin = []
"
    );
    let told = |rig: &Rig, client: &Client, path: &str| -> Vec<&'static str> {
        assert_eq!(client.get(path, CURL).unwrap().status, 200, "{path}");
        let seen = &rig.origin.take_requests()[0];
        HEADERS.into_iter().filter(|name| seen.header(name).is_some()).collect()
    };
    let rig = Rig::start(&rules);
    let tls = rig.tls_client(&["http/1.1"]);
    let without_http2 = ["portcullis-ja3", "portcullis-ja4", "portcullis-header-order", "portcullis-stable"];
    assert_eq!(told(&rig, &tls, "/"), without_http2);
    assert_eq!(told(&rig, &tls, "/some"), ["portcullis-ja4"]);
    assert!(told(&rig, &tls, "/none").is_empty());
    assert_eq!(told(&rig, &rig.client(), "/"), ["portcullis-header-order"]);
    assert!(told(&rig, &rig.client(), "/some").is_empty());
    let silent = Rig::start(OPEN);
    assert!(told(&silent, &silent.tls_client(&["http/1.1"]), "/").is_empty());
}

#[test]
fn metrics_tell_what_there_was_to_judge_by_and_which_browsers_are_known() {
    let rig = Rig::start(OPEN);
    let tls = rig.tls_client(&["h2"]);
    tls.connect_h2().unwrap().get_all(&["/", "/a", "/b"], CURL).unwrap();
    rig.tls_client(&["http/1.1"]).get("/", CURL).unwrap();
    rig.client().get("/", CHROMIUM).unwrap();
    rig.client()
        .get("/", &[("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:9.0) Gecko/20100101 Firefox/9.0")])
        .unwrap();
    rig.client().get("/", &[("user-agent", "Mozilla/5.0 (X11; U; Linux x86_64) Ladybird/1.0")]).unwrap();
    let records = rig.audit(7);
    let metrics = rig.metrics();
    for (evidence, expected) in [("client_hello", 4.0), ("http2_print", 3.0), ("header_order", 7.0)] {
        let labels = [("evidence", evidence)];
        assert_eq!(metrics.value("portcullis_evidence_requests_total", &labels), Some(expected), "{evidence}");
    }
    assert_eq!(metrics.sum("portcullis_requests_total"), 7.0);
    let claims = |coverage: &str| records.iter().filter(|record| record["coverage"] == coverage).count();
    assert_eq!(claims("not-a-browser"), 4);
    for coverage in ["covered", "uncovered"] {
        let counted = metrics.sum_where("portcullis_browser_claims_total", &[("coverage", coverage)]);
        assert_eq!(counted, claims(coverage) as f64, "{coverage}");
    }
    let labels = [("family", "chromium"), ("coverage", "covered")];
    assert_eq!(metrics.value("portcullis_browser_claims_total", &labels), Some(1.0));
    assert!(claims("uncovered") > 0, "a Firefox of 2012 has no row");
}

/// A gateway whose TLS listener takes the clients' addresses from PROXY headers.
struct Proxied {
    rig: Rig,
    tls: SocketAddr,
}

impl Proxied {
    fn start() -> Self {
        let [port] = free_ports::<1>();
        let tls = SocketAddr::from(([127, 0, 0, 1], port));
        let settings = format!(
            "\n[[listener]]\nname = \"balanced\"\naddress = \"{tls}\"\ntls = true\nproxy_from = [\"127.0.0.0/8\"]\n\
             [alarms]\nprint_share = 0.8\n"
        );
        Self { rig: Rig::start_with(OPEN, &settings, usual_origin), tls }
    }

    /// Connections, each of another network, whose hello offers `alpn(n)`.
    fn connect(&self, connections: u16, alpn: impl Fn(u16) -> String) {
        for n in 0..connections {
            let [high, low] = n.to_be_bytes();
            let header = proxy_header::v2(([100, high, low, 9], 40_000).into(), ([127, 0, 0, 1], 443).into(), &[]);
            let tls = Tls::to("shop.example").alpn(&[&alpn(n), "http/1.1"]).without_resumption().build();
            let client = Client::new(self.tls).tls(tls).preamble(header);
            let mut connection = client.connect().unwrap();
            // The second request of a connection is counted no more.
            for _ in 0..2 {
                assert_eq!(connection.get("/", CURL).unwrap().status, 200, "connection {n}");
            }
        }
    }
}

fn alarm(metrics: &Metrics, print: &str, reason: &str) -> Option<f64> {
    metrics.value("portcullis_print_alarm", &[("print", print), ("reason", reason)])
}

#[test]
fn one_hello_on_nearly_all_connections_of_many_networks_is_an_alarm_that_is_said_once() {
    let proxied = Proxied::start();
    proxied.connect(499, |n| if n.is_multiple_of(9) { format!("x{n}") } else { "h9".to_owned() });
    let quiet = proxied.rig.metrics();
    assert_eq!(alarm(&quiet, "ja4", "dominant"), Some(0.0), "499 connections are too few");
    assert_eq!(quiet.value("portcullis_print_top_share", &[("print", "ja4")]), Some(0.0));

    proxied.connect(101, |_| "h9".to_owned());
    let metrics = proxied.rig.metrics();
    assert_eq!(alarm(&metrics, "ja4", "dominant"), Some(1.0));
    assert_eq!(alarm(&metrics, "ja4", "degenerate"), Some(0.0));
    assert_eq!(alarm(&metrics, "header_order", "dominant"), Some(1.0));
    assert_eq!(alarm(&metrics, "http2", "dominant"), Some(0.0), "nobody spoke HTTP/2");
    let share = metrics.value("portcullis_print_top_share", &[("print", "ja4")]).unwrap();
    assert!((0.9..0.92).contains(&share), "{share} of what 544 of 600 are");
    let said = "one value of a print is on too many connections";
    proxied.rig.gateway.wait_for_output(said);
    let log = proxied.rig.gateway.stderr();
    assert_eq!(log.matches(said).count(), 2, "once for JA4, once for the order of headers: {log}");
    assert!(log.contains("t13d") && log.contains("print=\"ja4\""), "{log}");
}

#[test]
fn many_hellos_are_no_alarm_and_neither_are_those_of_one_network() {
    let proxied = Proxied::start();
    proxied.connect(600, |n| format!("{}h", char::from(b'a' + u8::try_from(n % 3).unwrap())));
    let metrics = proxied.rig.metrics();
    assert_eq!(alarm(&metrics, "ja4", "dominant"), Some(0.0));
    let share = metrics.value("portcullis_print_top_share", &[("print", "ja4")]);
    assert_eq!(share, Some(0.333));
    assert_eq!(alarm(&metrics, "header_order", "dominant"), Some(1.0), "their headers stand in one order");

    let rig = Rig::start(OPEN);
    let client = rig.tls_client(&["http/1.1"]);
    for _ in 0..600 {
        // It is throttled before long, and counted all the same.
        client.get("/", CURL).unwrap();
    }
    let metrics = rig.metrics();
    // The first has no session to resume, which a JA4 tells.
    let share = metrics.value("portcullis_print_top_share", &[("print", "ja4")]);
    assert_eq!(share, Some(0.998));
    assert_eq!(metrics.sum("portcullis_print_alarm"), 0.0, "one busy client is no fault of a print");
}
