//! What went wrong in challenges of other products, tried on the running gateway.
//!
//! | what went wrong | where | tried by |
//! |---|---|---|
//! | any hash minted a token | CVE-2025-24369 in Anubis, and again later | `cve_2025_24369_…` in `challenge` and in the crate's `puzzle` |
//! | one solution minted many tokens | TecharoHQ/anubis#1003 | `a_solution_is_redeemed_exactly_once_by_a_hundred_at_once` |
//! | a solution counted at each replica | CrowdSec's challenge | `at_two_gateways_with_one_key_a_solution_counts_once` |
//! | fields of a code could be shifted | the ALTCHA advisory | the crate's `two_different_field_lists_never_share_their_bytes` |
//! | solutions for later, for elsewhere, of old keys | altcha-org/altcha#57, TecharoHQ/anubis#499 | `a_solution_is_good_for_its_own_site_and_client`, the crate's `puzzle` |
//! | a clearance shared by a botnet, or lost on the way | TecharoHQ/anubis#697, #1146 | `a_clearance_follows_its_holder_and_burns_out_when_it_is_shared` |
//! | a cookie taken elsewhere, or changed | CrowdSec's cookie | `no_byte_of_a_clearance_can_be_changed_and_no_other_token_stands_for_one` |
//! | a token said how it was to be checked | apache/apisix#9809, Kong/kong#4921, CVE-2015-9235 | the same, and the crate's `a_header_that_this_gateway_does_not_write_is_refused` |
//! | a challenge led to another site | GHSA-jhjj-2g64-px7c, CVE-2025-8066 | `the_page_returns_to_its_own_site_only`, `a_wait_leads_nowhere_but_to_its_own_site`, and the parser of both browsers in `browsers` |
//! | a cache handed challenges to others | Anubis, BunkerWeb | `behind_a_cache_nobody_gets_what_another_was_challenged_with` |
//! | a script in the page of the challenge | BunkerWeb | `nothing_of_a_request_becomes_markup_of_the_page` |
//! | a client asked not to be looked at | Prosopo's `detectorUnavailable` | `no_hint_of_a_client_lowers_its_score` |
//! | secrets in addresses | crowdsecurity/crowdsec#4554 | `what_is_secret_counts_in_no_address_and_is_in_no_log` |
//! | the check was the cheapest thing to overload | mCaptcha#186 | `a_flood_of_false_solutions_takes_no_memory_and_no_place` |
//!
//! And what goes wrong without anybody's intent:
//!
//! | what | tried by |
//! |---|---|
//! | work for another route | `work_for_a_cheap_route_opens_no_strict_one_and_lasts_as_the_cheap_route_says` |
//! | a token of another process or key | `a_restart_keeps_clearances_and_lets_no_puzzle_be_redeemed_again`, `a_rotation_of_keys_and_a_restart_lock_nobody_out` |
//! | a megabyte of evidence | `evidence_adds_risk_to_what_follows_and_never_takes_any_away`, the crate's `a_megabyte_of_evidence_is_refused_unread` |
//! | a clock that is wrong by a day | that of a browser in `browsers`, the gateway's in the crate's `a_puzzle_is_good_until_it_expires_and_not_before_it_was_issued` |
//! | no cookies | `without_a_script_a_wait_opens_the_route`, and both browsers in `browsers` |
//! | two tabs at once | `of_two_tabs_neither_takes_the_others_clearance`, and both browsers in `browsers` |

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portcullis_challenge::encode_nonces;
use portcullis_testkit::{Client, Gateway as Program, RawResponse, ReadyCheck, free_port, wait_until};

use crate::CURL;
use crate::challenge::{GUARDED, Puzzle, REDEEM, clearance, get_with, redeem};
use crate::rig::{Rig, scratch_folder, usual_origin};

const OWN: &str = "/.well-known/portcullis/";
const READER: &[(&str, &str)] = &[("user-agent", "curl/8.5.0"), ("accept", "text/html")];

fn asking(client: &Client, path: &str, more: &[(&str, &str)]) -> RawResponse {
    client.get(path, &[CURL, more].concat()).unwrap()
}

#[test]
fn at_two_gateways_with_one_key_a_solution_counts_once() {
    let key = scratch_folder().join("challenge.key");
    fs::write(&key, "5a".repeat(32)).unwrap();
    let settings = format!("[challenge]\nkey_file = \"{}\"", key.display());
    let [one, other] = [(); 2].map(|()| Rig::start_with(GUARDED, &settings, usual_origin));
    let solution = Puzzle::of(&one.client().get("/", CURL).unwrap()).solution();
    let early = redeem(&other.client(), &solution);
    assert_eq!((early.status, early.header("set-cookie")), (403, None), "not where it was not given out");
    let cookie = clearance(&redeem(&one.client(), &solution));
    let replay = redeem(&other.client(), &solution);
    assert_eq!((replay.status, replay.header("set-cookie")), (403, None));
    assert_eq!(replay.json()["code"], "unknown-key");
    // A request is counted when it is over, which is after its answer.
    wait_until("both to be counted", Duration::from_secs(10), || {
        other.metrics().value("portcullis_challenges_total", &[("outcome", "unknown-key")]) == Some(2.0)
    });
    assert_eq!(get_with(&other.client(), &cookie).status, 200, "the clearance is good at both");
}

#[test]
fn a_solution_is_good_for_its_own_site_and_client() {
    let rig = Rig::start(GUARDED);
    let client = rig.client();
    let body = Puzzle::of(&client.get("/", CURL).unwrap()).solution();
    let browser = crate::CHROMIUM;
    for (whose, answer) in [
        ("another site", redeem(&client.clone().host("other.example"), &body)),
        ("another network", redeem(&rig.client_of("198.51.100.5"), &body)),
        ("another client", client.connect().unwrap().request("POST", REDEEM, browser, body.as_bytes()).unwrap()),
    ] {
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{whose}");
        assert_eq!(answer.json()["code"], "other-binding", "{whose}");
    }
    assert_eq!(redeem(&client, &body).status, 204, "and it was not used up by them");
}

#[test]
fn no_byte_of_a_clearance_can_be_changed_and_no_other_token_stands_for_one() {
    let rig = Rig::start(GUARDED);
    let client = rig.client();
    let puzzle = Puzzle::of(&client.get("/", CURL).unwrap());
    let solution = puzzle.solution();
    let cookie = clearance(&redeem(&client, &solution));
    assert_eq!(get_with(&client, &cookie).status, 200);
    let (name, value) = cookie.split_once('=').unwrap();
    let mut forged: Vec<String> = (0..value.len())
        .map(|at| {
            let mut bytes = value.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        })
        .filter(|text| text != value)
        .collect();
    let token = solution.trim_start_matches("solution=").split('.').next().unwrap();
    // {"alg":"none"}, {"alg":"HS256"} and {"alg":"none","jku":"https://evil.example/"}, each before {"level":9}.
    let jwt = |header: &str, signature: &str| format!("{header}.eyJsZXZlbCI6OX0.{signature}");
    forged.extend([
        jwt("eyJhbGciOiJub25lIn0", ""),
        jwt("eyJhbGciOiJIUzI1NiJ9", "AAAA"),
        jwt("eyJhbGciOiJub25lIiwiamt1IjoiaHR0cHM6Ly9ldmlsLmV4YW1wbGUvIn0", ""),
        token.to_owned(),
        value.chars().skip(1).collect(),
        format!("{value}A"),
        format!("{value}="),
        String::new(),
        "null".to_owned(),
    ]);
    for text in &forged {
        assert_eq!(get_with(&client, &format!("{name}={text}")).status, 403, "{text}");
    }
    let refused = |reason: &str| rig.metrics().value("portcullis_clearances_refused_total", &[("reason", reason)]);
    assert!(refused("forged").unwrap() > 100.0, "nearly all of them fail by their code");
}

/// A cache before the gateway that keeps whatever it may for ten minutes.
const CACHE: &str = "
daemon off;
master_process off;
pid FOLDER/nginx.pid;
error_log stderr crit;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    proxy_cache_path FOLDER/cache keys_zone=one:1m;
    server {
        listen 127.0.0.1:PORT;
        location = /cache-ready { return 200; }
        location / {
            proxy_pass http://GATEWAY;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection '';
            proxy_cache one;
            proxy_cache_valid any 10m;
            add_header x-cache $upstream_cache_status always;
        }
    }
}
";

#[test]
fn behind_a_cache_nobody_gets_what_another_was_challenged_with() {
    if Command::new("nginx").arg("-v").output().is_err() {
        eprintln!("skipped: no nginx is installed");
        return;
    }
    let rig = Rig::start(GUARDED);
    let (port, folder) = (free_port(), scratch_folder());
    let filled = CACHE.replace("PORT", &port.to_string()).replace("FOLDER", folder.to_str().unwrap());
    let conf = folder.join("nginx.conf");
    fs::write(&conf, filled.replace("GATEWAY", &rig.plain.to_string())).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let arguments = ["-p", folder.to_str().unwrap(), "-e", "stderr", "-c", conf.to_str().unwrap()];
    let _cache = Program::start(Path::new("nginx"), &arguments, &ReadyCheck::http(address, "/cache-ready"));
    let client = Client::new(address).host("shop.example");
    let missed = |answer: &RawResponse| {
        assert_ne!(answer.header("x-cache"), Some("HIT"), "{}", answer.text());
        assert!(answer.header("set-cookie").is_none_or(|_| answer.header("cache-control") == Some("no-store")));
    };

    let [first, second] = [(); 2].map(|()| asking(&client, "/", &[]));
    let puzzles = [&first, &second].map(|answer| {
        missed(answer);
        Puzzle::of(answer).solution()
    });
    assert_ne!(puzzles[0], puzzles[1], "each has a puzzle of its own");
    let [page, again] = [(); 2].map(|()| client.get("/", READER).unwrap());
    missed(&again);
    assert_eq!((page.status, again.status), (403, 403));
    assert_ne!(page.body, again.body);

    let paid = redeem(&client, &puzzles[0]);
    missed(&paid);
    let cookie = clearance(&paid);
    let held = [("cookie", cookie.as_str())];
    // The same address for who has a clearance and for who has none, one after the other.
    let arrived = format!("{OWN}arrived?return=%2F");
    let (on, off) = (asking(&client, &arrived, &held), asking(&client, &arrived, &[]));
    assert_eq!((on.status, off.status), (303, 403));
    missed(&on);
    missed(&off);
    for path in ["renew.js", "solver.js"] {
        let [_, script] = [(); 2].map(|()| asking(&client, &format!("{OWN}{path}"), &held));
        assert_eq!((script.status, script.header("set-cookie")), (200, None), "{path}");
        assert_eq!(
            script.header("x-cache") == Some("HIT"),
            path == "renew.js",
            "only what is the same for all is kept"
        );
    }
    let open = asking(&client, "/after", &held);
    assert_eq!((open.status, open.header("set-cookie")), (200, None), "what can be kept holds nobody's cookie");
}

#[test]
fn nothing_of_a_request_becomes_markup_of_the_page() {
    let rig = Rig::start(GUARDED);
    let evil = "\"><script>alert(1)</script><img src=x onerror=alert(2)>";
    let targets = [
        "/?q=<script>alert(1)</script>",
        "/?q=\"onfocus=alert(1)\"autofocus=\"",
        "/?</script><script>alert(1)</script>",
        "/'><img/src=x/onerror=alert(2)>",
        "/%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/${alert(1)}{{7*7}}<%=7*7%>",
        "/?q=javascript:alert(1)",
        "/?--%3E%3Cscript%3Ealert(1)",
        "/?q=%22onfocus=alert(1)%20autofocus=%22",
        "/a'onfocus='alert(1)",
        "/",
    ];
    let (mut pages, mut last) = (0, 1);
    for target in targets {
        for (host, agent, other) in
            [("shop.example", evil, evil), ("shop.example", "curl/8.5.0", evil), (evil, "curl/8.5.0", "")]
        {
            let head = format!(
                "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: text/html\r\n\
                 Accept-Language: {other}\r\nReferer: {other}\r\nX-Request-Id: {other}\r\nCookie: a={other}\r\n\r\n"
            );
            // Each is a client of its own, as what it did before would count.
            last += 1;
            let answer = rig.client_from(last).connect().unwrap().send_raw(head.as_bytes()).unwrap();
            let text = answer.text();
            for markup in ["<script>alert", "<img", "\"onfocus", "=\"javascript:", "<%="] {
                assert!(!text.contains(markup), "{target} {host} {agent}: {markup}");
            }
            assert_eq!(answer.header("set-cookie"), None);
            if answer.status == 403 && answer.header("content-type").unwrap().starts_with("text/html") {
                pages += 1;
                let policy = answer.header("content-security-policy").unwrap();
                assert!(policy.contains("frame-ancestors 'none'") && policy.contains("script-src 'nonce-"), "{policy}");
                assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
                assert_eq!(answer.header("x-frame-options"), Some("DENY"));
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            }
        }
    }
    assert!(pages >= 6, "{pages} pages were looked at");
}

#[test]
fn no_hint_of_a_client_lowers_its_score() {
    let rig = Rig::start(GUARDED);
    let mut records = 0;
    let mut score = |path: &str, headers: &[(&str, &str)]| {
        let answer = asking(&rig.client(), path, headers);
        records += 1;
        let record = rig.audit(records).pop().unwrap();
        (record["raw_score"].as_f64().unwrap(), answer.status)
    };
    let (plain, status) = score("/", &[]);
    assert_eq!(status, 403);
    for hint in [
        ("detector-unavailable", "true"),
        ("x-detector-unavailable", "1"),
        ("x-captcha-passed", "1"),
        ("x-skip-challenge", "true"),
        ("x-bot-score", "0"),
        ("cf-bot-score", "99"),
        ("cf-verified-bot", "true"),
        ("x-verified-bot", "googlebot"),
        ("portcullis-score", "0.000"),
        ("portcullis-action", "allow"),
        ("portcullis-level", "step-up"),
        ("portcullis-verdict", "e30.e30.AAAA"),
        ("portcullis-reasons", ""),
        ("x-real-ip", "192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("true-client-ip", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1;proto=https"),
        ("x-forwarded-proto", "https"),
        ("via", "1.1 cache.example"),
        ("x-ja4", "t13d1516h2_8daaf6152771_b0da82dd1658"),
        ("x-ssl-client-verify", "SUCCESS"),
        ("dnt", "1"),
        ("sec-gpc", "1"),
        ("save-data", "on"),
        ("device-memory", "8"),
        ("downlink", "10"),
        ("ect", "4g"),
        ("rtt", "50"),
        ("viewport-width", "1280"),
        ("sec-purpose", "prefetch"),
        ("purpose", "preview"),
        ("x-requested-with", "XMLHttpRequest"),
        ("from", "bot@shop.example"),
        ("signature-agent", "\"https://bot.example\""),
        ("authorization", "Bearer made-up"),
        ("cookie", "portcullis=made-up"),
        ("cookie", "detectorUnavailable=true; portcullis-passes=9; cleared=1"),
    ] {
        let (hinted, status) = score("/", &[hint]);
        assert!(hinted >= plain && status == 403, "{hint:?}: {hinted} below {plain}");
    }
    for query in ["detectorUnavailable=true", "challenge=off", "difficulty_bits=0&count=0", "score=0&action=allow"] {
        let (hinted, status) = score(&format!("/?{query}"), &[]);
        assert!(hinted >= plain && status == 403, "{query}: {hinted} below {plain}");
    }
}

#[test]
fn what_is_secret_counts_in_no_address_and_is_in_no_log() {
    let rig = Rig::start(GUARDED);
    let client = rig.client();
    let solution = Puzzle::of(&client.get("/", CURL).unwrap()).solution();
    let post = |path: &str| client.connect().unwrap().request("POST", path, CURL, b"").unwrap();
    for path in [format!("{REDEEM}?{solution}"), format!("{OWN}wait?{solution}"), format!("{OWN}wait?wait={solution}")]
    {
        let answer = post(&path);
        assert_eq!((answer.status, answer.header("set-cookie")), (400, None), "{path}");
    }
    assert_eq!(client.get(&format!("{REDEEM}?{solution}"), CURL).unwrap().status, 405);
    let cookie = clearance(&redeem(&client, &solution));
    let value = cookie.split_once('=').unwrap().1;
    for path in [format!("/?{cookie}"), format!("/?token={value}"), format!("/?__Host-portcullis={value}")] {
        assert_eq!(client.get(&path, CURL).unwrap().status, 403, "{path}");
    }
    assert_eq!(post(&format!("{OWN}renew?{cookie}")).status, 204, "nothing to renew");
    rig.audit(9);
    let nonces = solution.rsplit('.').next().unwrap();
    let written = fs::read_to_string(rig.folder.join("audit.jsonl")).unwrap() + &rig.gateway.stderr();
    for secret in [value, nonces, solution.trim_start_matches("solution=")] {
        assert!(!written.contains(secret), "{secret}");
    }
}

#[test]
fn a_flood_of_false_solutions_takes_no_memory_and_no_place() {
    let rig = Rig::start(GUARDED);
    let held = |rig: &Rig| rig.metrics().value("portcullis_table_entries", &[("table", "spent_puzzles")]).unwrap();
    let open = solution_without_work(&rig);
    let flood = |count: usize| {
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let (client, open) = (rig.client_from(10 + thread), &open);
                scope.spawn(move || {
                    let mut connection = client.connect().unwrap();
                    for n in 0..count {
                        let body = if n % 2 == 0 { open.clone() } else { format!("solution={n:040}.{n:040}") };
                        let answer = match connection.request("POST", REDEEM, CURL, body.as_bytes()) {
                            Ok(answer) => answer,
                            // Whoever floods may be hung up on.
                            Err(_) => {
                                connection = client.connect().unwrap();
                                continue;
                            }
                        };
                        assert!((400..500).contains(&answer.status), "{}", answer.status);
                        assert_eq!(answer.header("set-cookie"), None);
                        if answer.header("connection") == Some("close") {
                            connection = client.connect().unwrap();
                        }
                    }
                });
            }
        });
    };
    flood(200);
    let before = rig.gateway.rss_bytes();
    flood(1000);
    let grown = rig.gateway.rss_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    assert_eq!(held(&rig), 0.0, "a false solution takes no place");
    let honest = rig.client();
    let cookie = clearance(&redeem(&honest, &Puzzle::of(&honest.get("/", CURL).unwrap()).solution()));
    assert_eq!(get_with(&honest, &cookie).status, 200, "and keeps nobody out");
}

/// A solution of a puzzle that the gateway gave out, with nonces that cost nothing.
fn solution_without_work(rig: &Rig) -> String {
    let answer = rig.client().get("/", CURL).unwrap();
    let token = answer.json()["challenge"]["token"].as_str().unwrap().to_owned();
    format!("solution={token}.{}", encode_nonces(&[0; 8]))
}
