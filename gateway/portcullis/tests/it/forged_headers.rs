//! What a client says in the name of a proxy or of the gateway has no effect.

use crate::rig::Rig;
use crate::{CURL, OPEN, reasons};

/// GHSA-6wcg-mqvh-fcvg: a header meant for a subrequest was honoured in proxy mode.
#[test]
fn a_path_in_a_header_changes_neither_route_nor_verdict() {
    let rules = format!(
        "{OPEN}
[[route]]
name = \"admin\"
paths = [\"/admin/{{*rest}}\"]
origin = \"app\"
[[route.rule]]
name = \"nobody\"
when = {{ ip = [\"127.0.0.0/8\"] }}
action = \"block\"
"
    );
    let rig = Rig::start(&rules);
    for (name, value) in [
        ("X-Original-URI", "/.well-known/x"),
        ("X-Original-URL", "/.well-known/x"),
        ("X-Rewrite-URL", "/"),
        ("X-Forwarded-Uri", "/"),
        ("X-Forwarded-Host", "other.example"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Path", "/"),
        ("X-Forwarded-Prefix", "/"),
        ("X-HTTP-Method-Override", "GET"),
        ("X-Envoy-Original-Path", "/"),
        ("Forwarded", "for=192.0.2.1;host=other.example"),
    ] {
        let mut headers = CURL.to_vec();
        headers.push((name, value));
        let refused = rig.client().get("/admin/users", &headers).unwrap();
        assert_eq!(refused.status, 403, "{name}");
        let passed = rig.client().get("/open", &headers).unwrap();
        assert_eq!(passed.status, 200, "{name}");
        let seen = rig.origin.take_requests();
        assert_eq!(seen.len(), 1, "{name}");
        assert_eq!(seen[0].target, "/open");
        if name != "X-Envoy-Original-Path" {
            assert_eq!(seen[0].header(name), None, "{name} reaches no origin");
        }
    }
}

#[test]
fn an_address_in_a_header_counts_only_from_a_trusted_proxy() {
    let rules = format!(
        "{OPEN}
[[route.rule]]
name = \"the office\"
when = {{ ip = [\"203.0.113.7\"] }}
action = \"block\"
"
    );
    let open = Rig::start(&rules);
    let trusting =
        Rig::start_with(&rules, "[client_address]\ntrusted_proxies = [\"127.0.0.1\"]\n", crate::rig::usual_origin);
    for name in ["X-Forwarded-For", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "Forwarded"] {
        let mut headers = CURL.to_vec();
        headers.push((name, if name == "Forwarded" { "for=203.0.113.7" } else { "203.0.113.7" }));
        assert_eq!(open.client().get("/", &headers).unwrap().status, 200, "{name} of a stranger");
        let seen = open.origin.take_requests();
        assert_eq!(seen[0].headers_named("x-forwarded-for"), ["127.0.0.1"], "{name}");
        for other in ["x-real-ip", "true-client-ip", "cf-connecting-ip", "x-client-ip", "forwarded"] {
            assert_eq!(seen[0].header(other), None, "{other}");
        }
        let trusted = trusting.client().get("/", &headers).unwrap().status;
        assert_eq!(trusted, if name == "X-Forwarded-For" { 403 } else { 200 }, "{name} of a trusted proxy");
    }
    let mut headers = CURL.to_vec();
    headers.push(("X-Forwarded-For", "203.0.113.7, 198.51.100.1"));
    assert_eq!(
        trusting.client().get("/", &headers).unwrap().status,
        200,
        "what stands further left is the client's word"
    );
}

#[test]
fn a_trusted_proxy_is_believed_that_it_was_asked_over_tls() {
    let open = Rig::start(OPEN);
    let trusting =
        Rig::start_with(OPEN, "[client_address]\ntrusted_proxies = [\"127.0.0.1\"]\n", crate::rig::usual_origin);
    for (said, trusted) in [("https", "https"), ("http", "http"), ("https, http", "http"), ("gopher", "http")] {
        let mut headers = CURL.to_vec();
        headers.push(("X-Forwarded-Proto", said));
        for (rig, told) in [(&trusting, trusted), (&open, "http")] {
            assert_eq!(rig.client().get("/", &headers).unwrap().status, 200, "{said}");
            let seen = rig.origin.take_requests();
            assert_eq!(seen[0].headers_named("x-forwarded-proto"), [told], "{said}");
        }
    }
}

#[test]
fn a_verdict_of_the_client_is_stripped_and_held_against_it() {
    let rig = Rig::start(OPEN);
    let mut headers = CURL.to_vec();
    headers.extend([
        ("Portcullis-Score", "0"),
        ("Portcullis-Action", "allow"),
        ("portcullis-verdict", "a.b.c"),
        ("Portcullis-JA4", "t13d1516h2_8daaf6152771_02713d6af862"),
        ("Portcullis-Anything", "1"),
    ]);
    let answer = rig.client().get("/", &headers).unwrap();
    assert_eq!(answer.status, 403, "a tool that forges a verdict is challenged");
    let record = &rig.audit(1)[0];
    assert!(record["reasons"].as_array().unwrap().iter().any(|reason| reason["signal"] == "verdict-forged"));

    let mut browser = crate::CHROMIUM.to_vec();
    browser.extend([("Portcullis-Score", "0"), ("Portcullis-Anything", "1")]);
    assert_eq!(rig.client().get("/", &browser).unwrap().status, 200);
    let seen = rig.origin.take_requests();
    assert_eq!(seen[0].headers_named("portcullis-score"), ["0.300"]);
    assert_eq!(seen[0].header("portcullis-anything"), None);
    assert_eq!(reasons(seen[0].header("portcullis-reasons")), ["verdict-forged"]);
}

/// Names of the prints that an origin can be told.
const PRINTS: [&str; 5] =
    ["Portcullis-JA3", "Portcullis-JA4", "Portcullis-HTTP2", "Portcullis-Header-Order", "Portcullis-Stable"];

#[test]
fn a_print_of_the_client_s_own_is_stripped_and_held_against_it_whether_or_not_the_origin_is_told() {
    let told = format!("{OPEN}tell_origin = [\"ja3\", \"ja4\", \"http2\", \"header-order\", \"stable\"]\n");
    for rules in [OPEN, &told] {
        let rig = Rig::start(rules);
        for name in PRINTS {
            let underscores = name.replace('-', "_");
            for spelling in [name, &name.to_lowercase(), &underscores] {
                let mut headers = crate::CHROMIUM.to_vec();
                headers.push((spelling, "forged"));
                assert_eq!(rig.client().get("/", &headers).unwrap().status, 200, "{spelling}");
                let seen = &rig.origin.take_requests()[0];
                assert_eq!(reasons(seen.header("portcullis-reasons")), ["verdict-forged"], "{spelling}");
                assert!(!seen.headers.iter().any(|(_, value)| value == "forged"), "{spelling}: {:?}", seen.headers);
            }
        }
    }
}

#[test]
fn a_proxy_header_is_believed_only_from_listed_peers() {
    let settings = "
[[listener]]
name = \"elsewhere\"
address = \"127.0.0.1:PORT\"
tls = false
proxy_from = [\"192.0.2.0/24\"]
";
    let [port] = portcullis_testkit::free_ports::<1>();
    let rig = Rig::start_with(OPEN, &settings.replace("PORT", &port.to_string()), crate::rig::usual_origin);
    let listed = rig.client_of("203.0.113.9").get("/", CURL).unwrap();
    assert_eq!(listed.status, 200);
    assert_eq!(rig.audit(1)[0]["client"], "203.0.113.9");
    let header = portcullis_testkit::proxy_header::v1(([203, 0, 113, 9], 1).into(), ([127, 0, 0, 1], 2).into());
    let unlisted = portcullis_testkit::Client::new(([127, 0, 0, 1], port).into()).preamble(header);
    assert!(unlisted.get("/", CURL).is_err(), "a peer that is not listed is cut off");
    let without = portcullis_testkit::Client::new(rig.proxied);
    assert!(without.get("/", CURL).is_err(), "a listener that asks for the header takes no request without it");
}

#[test]
fn no_other_spelling_of_such_a_header_reaches_the_origin() {
    let rig = Rig::start(OPEN);
    let mut headers = crate::CHROMIUM.to_vec();
    let forged = [
        ("X_Forwarded_For", "192.0.2.1"),
        ("X_Real_IP", "192.0.2.1"),
        ("X_Http_Method_Override", "DELETE"),
        ("Content_Length", "5"),
        ("Transfer_Encoding", "chunked"),
        ("Proxy", "http://192.0.2.1/"),
        ("X-Forwarded-Ssl", "on"),
        ("X-Forwarded-Client-Cert", "x"),
        ("X-Scheme", "https"),
        ("X-Host", "other.example"),
        ("X-ClientIP", "192.0.2.1"),
        ("WL-Proxy-Client-IP", "192.0.2.1"),
        ("Remote-User", "root"),
    ];
    headers.extend(forged);
    headers.push(("X_Kept", "1"));
    assert_eq!(rig.client().get("/", &headers).unwrap().status, 200);
    let seen = &rig.origin.take_requests()[0];
    for (name, _) in forged {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x_kept"), Some("1"));
    let mut verdict = crate::CHROMIUM.to_vec();
    verdict.push(("Portcullis_Score", "0"));
    rig.client().get("/", &verdict).unwrap();
    let seen = &rig.origin.take_requests()[0];
    assert_eq!(seen.header("portcullis_score"), None);
    assert_eq!(reasons(seen.header("portcullis-reasons")), ["verdict-forged"]);
}

#[test]
fn a_field_that_stands_twice_is_no_way_around_a_limit_or_a_rule() {
    let rules = format!(
        "{OPEN}identify = {{ api_key = \"header:x-api-key\" }}
[[route.limit]]
name = \"per key\"
key = [\"api_key\"]
rate = \"2/1h\"
over = \"throttle\"
"
    );
    let rig = Rig::start(&rules);
    let statuses: Vec<u16> = (0..4)
        .map(|n| {
            let junk = format!("junk-{n}");
            let mut headers = crate::CHROMIUM.to_vec();
            headers.extend([("x-api-key", junk.as_str()), ("x-api-key", "real")]);
            rig.client().get("/", &headers).unwrap().status
        })
        .collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
    let agents = [("user-agent", "MyApp/3"), ("user-agent", "sqlmap/1.8")];
    assert_eq!(rig.client().get("/", &agents).unwrap().status, 400);
}

#[test]
fn cookies_of_http2_reach_the_origin_as_one_field() {
    let rig = Rig::start(OPEN);
    let headers = [("user-agent", "curl/8.5.0"), ("cookie", "a=1"), ("cookie", "sid=2")];
    assert_eq!(rig.tls_client(&["h2"]).get_h2("/", &headers).unwrap().status, 200);
    assert_eq!(rig.origin.take_requests()[0].headers_named("cookie"), ["a=1; sid=2"]);
}
