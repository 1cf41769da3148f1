//! What a client gains by changing one thing about itself.
//!
//! Each test takes captured clients and changes what costs nothing to change: one header field, or the fingerprint.

use http::{HeaderName, HeaderValue};
use portcullis_policy::Score;
use portcullis_policy::model::Action;
use portcullis_signals::Context;
use serde_json::Value;

use crate::reach::{Captured, captures, decide, group, rules};

/// The most by which one header field can lower a score on a route for browsers: that of one group of evidence.
const BOUND: u16 = 390;

/// What extensions and options of tools put into a User-Agent.
const CLAIMS: [&str; 14] = [
    "",
    "Mozilla/5.0",
    "MyApp/3.1",
    "Dillo/3.0.5",
    "NetSurf/3.10 (Linux)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/49.0.2623.112 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:52.0) Gecko/20100101 Firefox/52.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/60.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) QtWebEngine/5.15.13 Chrome/87.0.4280.144 Safari/537.36",
];

/// A page request of each captured client of these groups; each of them has some.
fn pages(lines: &[Value], groups: &[&str]) -> Vec<Captured> {
    let asked = lines.iter().filter_map(Captured::of);
    let mut pages: Vec<Captured> =
        asked.filter(|asked| asked.kind == "page" && groups.contains(&group(&asked.client, &asked.category))).collect();
    // One page of each client: the captures hold a second one by address, and load tools send many.
    pages.dedup_by(|later, first| later.client == first.client);
    assert!(!pages.is_empty(), "no page is asked for by {groups:?}");
    pages
}

#[test]
fn a_tool_stays_challenged_whatever_it_writes_into_its_user_agent() {
    let Some(lines) = captures() else { return };
    let rules = rules();
    let mut odd = Vec::new();
    for asked in pages(&lines, &["tool"]) {
        for claim in CLAIMS {
            let mut headers = asked.headers.clone();
            headers.insert("user-agent", HeaderValue::from_static(claim));
            let decision = decide(&rules, &asked, &headers, Context::default());
            // A rare browser that no row covers may be one: it is scored, and challenged with the next doubt.
            let rare = claim.starts_with("Dillo") && decision.score >= Score::thousandths(200);
            if decision.verdict < Action::Challenge && !rare {
                odd.push(format!("{} as `{claim}`: {} {:?}", asked.client, decision.score, decision.reasons));
            }
        }
    }
    assert!(odd.is_empty(), "{} pass: {odd:#?}", odd.len());
}

#[test]
fn no_header_that_is_taken_away_lowers_a_score_by_more_than_one_group() {
    let Some(lines) = captures() else { return };
    let rules = rules();
    for asked in pages(&lines, &["tool", "spoofer of headers", "impersonator, full stack"]) {
        let before = decide(&rules, &asked, &asked.headers, Context::default()).score;
        let names: Vec<HeaderName> = asked.headers.keys().filter(|name| *name != "host").cloned().collect();
        for name in names {
            let mut headers = asked.headers.clone();
            headers.remove(&name);
            let after = decide(&rules, &asked, &headers, Context::default()).score;
            assert!(
                after.as_thousandths() + BOUND >= before.as_thousandths(),
                "{} without `{name}`: {before} to {after}",
                asked.client
            );
        }
    }
}

/// What a client may send to be thought well of, or to be let off: hints, wishes, and words of other products.
const HINTS: [(&str, &str); 30] = [
    ("accept-ch", "Sec-CH-UA"),
    ("cache-control", "no-cache"),
    ("device-memory", "8"),
    ("dnt", "1"),
    ("downlink", "10"),
    ("dpr", "2"),
    ("ect", "4g"),
    ("pragma", "no-cache"),
    ("rtt", "50"),
    ("save-data", "on"),
    ("sec-ch-prefers-color-scheme", "dark"),
    ("sec-ch-prefers-reduced-motion", "reduce"),
    ("sec-ch-ua", "\"Chromium\";v=\"156\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"156\""),
    ("sec-ch-ua-arch", "\"x86\""),
    ("sec-ch-ua-bitness", "\"64\""),
    ("sec-ch-ua-full-version-list", "\"Chromium\";v=\"156.0.0.0\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-model", "\"\""),
    ("sec-ch-ua-platform", "\"Windows\""),
    ("sec-ch-ua-platform-version", "\"15.0.0\""),
    ("sec-ch-viewport-width", "1280"),
    ("sec-gpc", "1"),
    ("sec-purpose", "prefetch"),
    ("viewport-width", "1280"),
    ("x-captcha-unavailable", "true"),
    ("x-detector-unavailable", "true"),
    ("x-no-script", "1"),
    ("x-requested-with", "XMLHttpRequest"),
    ("x-skip-challenge", "1"),
    ("x-trusted", "true"),
];

#[test]
fn no_hint_that_a_tool_sends_lowers_its_score() {
    let Some(lines) = captures() else { return };
    let rules = rules();
    let mut odd = Vec::new();
    for asked in pages(&lines, &["tool"]) {
        let before = decide(&rules, &asked, &asked.headers, Context::default()).score;
        let mut check = |hints: &[(&'static str, &'static str)]| {
            let mut headers = asked.headers.clone();
            // What a tool says already is another test's to change.
            for (name, value) in hints.iter().filter(|(name, _)| !asked.headers.contains_key(*name)) {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let after = decide(&rules, &asked, &headers, Context::default()).score;
            if after < before {
                odd.push(format!("{} with {hints:?}: {before} to {after}", asked.client));
            }
        };
        HINTS.iter().for_each(|hint| check(&[*hint]));
        check(&HINTS);
    }
    assert!(odd.is_empty(), "{}: {odd:#?}", odd.len());
}

/// A program that copies a browser's header to the letter is still none on the wire, whatever version it claims.
#[test]
fn a_perfect_header_over_the_connection_of_a_tool_is_challenged() {
    let Some(lines) = captures() else { return };
    let rules = rules();
    let mut odd = Vec::new();
    let tools = pages(&lines, &["tool"]);
    for browser in pages(&lines, &["browser, mainstream"]) {
        let user_agent = browser.headers["user-agent"].to_str().unwrap().to_owned();
        let mut claims = vec![user_agent.clone()];
        for version in ["45", "58", "65", "72", "79", "85", "95", "115", "125", "133", "145", "170"] {
            claims.push(user_agent.replace("156.", &format!("{version}.")).replace("153.", &format!("{version}.")));
        }
        for tool in &tools {
            for claim in &claims {
                let borrowed = browser.with_connection_of(tool);
                let mut headers = borrowed.headers.clone();
                headers.insert("user-agent", HeaderValue::from_str(claim).unwrap());
                let decision = decide(&rules, &borrowed, &headers, Context::default());
                // WebKitGTK has no TLS library of its own: over HTTP/1.1 it is what any client of GnuTLS is. It is
                // scored for that, and no more: builds with libsoup 2 are in people's hands.
                let gnutls = claim.contains("Version/60.5") && decision.score >= Score::thousandths(100);
                if decision.verdict < Action::Challenge && !gnutls {
                    odd.push(format!("{} as `{claim}`: {} {:?}", tool.client, decision.score, decision.reasons));
                }
            }
        }
    }
    odd.sort();
    odd.dedup();
    assert!(odd.is_empty(), "{} pass: {odd:#?}", odd.len());
}

/// The fingerprint of a browser earns a tool nothing, and that of a tool blocks no browser by itself.
#[test]
fn no_fingerprint_alone_allows_or_blocks() {
    let Some(lines) = captures() else { return };
    let rules = rules();
    let browsers = pages(&lines, &["browser, mainstream"]);
    let tools = pages(&lines, &["tool"]);
    for tool in &tools {
        for browser in &browsers {
            let borrowed = tool.with_connection_of(browser);
            let decision = decide(&rules, &borrowed, &borrowed.headers, Context::default());
            assert!(decision.verdict >= Action::Challenge, "{} by {}: {}", tool.client, browser.client, decision.score);
            // Another browser's TLS and HTTP/2 under a browser's own header, as a proxy on its way makes it.
            let inspected = browser.with_connection_of(tool);
            let decision = decide(&rules, &inspected, &inspected.headers, Context::default());
            assert!(decision.verdict <= Action::Challenge, "{} by {}: {}", browser.client, tool.client, decision.score);
        }
    }
    assert!(decide(&rules, &browsers[0], &browsers[0].headers, Context::default()).score < Score::ONE);
}

/// What a browser sends for a rare kind of request is judged by other rows, so a program may name one.
#[test]
fn no_kind_of_request_is_a_way_past() {
    let Some(lines) = captures() else { return };
    let rules = rules();
    let socket = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("origin", "https://shop.example"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "VQQ85NhIM4DrhMsVU6aGRQ=="),
    ];
    let worker = [("accept", "*/*"), ("sec-fetch-dest", "worker"), ("sec-fetch-mode", "same-origin")];
    let sound = [("accept", "*/*"), ("sec-fetch-dest", "audio"), ("sec-fetch-mode", "no-cors")];
    let unheard = [("sec-fetch-dest", "oracle"), ("sec-fetch-mode", "cors")];
    let report = [("content-type", "application/reports+json")];
    let relayed = [("sec-fetch-dest", "empty"), ("sec-fetch-mode", "navigate")];
    let kinds = [&socket[..], &worker, &sound, &unheard, &report, &relayed];
    let changed = |asked: &Captured, fields: &[(&'static str, &'static str)]| {
        let mut headers = asked.headers.clone();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        decide(&rules, asked, &headers, Context::default())
    };
    let mut odd = Vec::new();
    for asked in pages(&lines, &["tool", "spoofer of headers"]) {
        for fields in kinds {
            for claim in ["", CLAIMS[7], CLAIMS[9]] {
                let mut fields = fields.to_vec();
                if !claim.is_empty() {
                    fields.push(("user-agent", claim));
                }
                let decision = changed(&asked, &fields);
                if decision.verdict < Action::Challenge {
                    odd.push(format!("{} with {fields:?}: {} {:?}", asked.client, decision.score, decision.reasons));
                }
            }
        }
    }
    // A login that was challenged stays so.
    for asked in lines.iter().filter_map(Captured::of) {
        let driven = group(&asked.client, &asked.category) == "impersonator, full stack" && asked.kind == "login";
        if !driven || decide(&rules, &asked, &asked.headers, Context::default()).verdict < Action::Challenge {
            continue;
        }
        for fields in kinds {
            let decision = changed(&asked, fields);
            if decision.verdict < Action::Challenge {
                odd.push(format!(
                    "{} logs in with {fields:?}: {} {:?}",
                    asked.client, decision.score, decision.reasons
                ));
            }
        }
    }
    assert!(odd.is_empty(), "{} pass: {odd:#?}", odd.len());
}
