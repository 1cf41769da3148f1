//! Captured requests, replayed by `portcullis explain --captures`.
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use portcullis_testkit::ClientHelloBuilder;
use serde_json::{Value, json};

use super::{Folder, Ran, repository, run, run_with, shared};

const CURL: &str = "curl/8.5.0";
const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

fn hello_hex(alpn: &[&[u8]]) -> String {
    ClientHelloBuilder::new().alpn(alpn).build().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request of `client` over HTTP/1.1 as a capture.
fn request(client: &str, conn: u64, method: &str, path: &str, user_agent: &str) -> Value {
    let kind = if path == "/login" { "login" } else { "page" };
    json!({
        "client": client, "category": "cli", "target": "name", "conn": conn, "client_hello_hex": hello_hex(&[]),
        "tls_version": "TLSv1.3", "alpn": null, "resumed": false, "h2": null, "request_kind": kind,
        "http_version": "1.1", "method": method, "path": path,
        "headers": [["Host", "shop.example:8443"], ["User-Agent", user_agent], ["Accept", "*/*"]],
    })
}

/// A request that says it comes from Chrome, over HTTP/2 with these settings.
fn chrome_over_http2(client: &str, settings: &Value) -> Value {
    let mut row = request(client, 0, "GET", "/", CHROME);
    row["category"] = json!("impersonator");
    row["client_hello_hex"] = json!(hello_hex(&[b"h2"]));
    row["alpn"] = json!("h2");
    row["http_version"] = json!("2");
    row["h2"] = json!({
        "settings": settings, "window_update": 15_663_105, "priority": [], "first_stream": 1,
        "pseudo_order": [":method", ":authority", ":scheme", ":path"],
        "headers_priority": { "exclusive": 1, "dep": 0, "weight": 256 },
    });
    row["headers"] = json!([
        [":method", "GET"],
        [":authority", "shop.example"],
        [":scheme", "https"],
        [":path", "/"],
        ["user-agent", CHROME],
        ["accept", "text/html"],
    ]);
    row
}

fn handshake(client: &str, conn: u64) -> Value {
    json!({
        "client": client, "category": "scanner", "target": "name", "conn": conn, "client_hello_hex": hello_hex(&[]),
        "tls_version": null, "alpn": null, "resumed": null, "h2": null, "request_kind": "none",
        "http_version": null, "method": null, "path": null, "headers": [],
    })
}

fn text(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn replay(rows: &[Value], more: &[&str]) -> Ran {
    run_with(&[&["explain", "--captures", "-"], more].concat(), text(rows).as_bytes())
}

fn objects(ran: &Ran) -> Vec<Value> {
    ran.expect(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn signals(object: &Value) -> Vec<&str> {
    object["reasons"].as_array().unwrap().iter().map(|reason| reason["signal"].as_str().unwrap()).collect()
}

#[test]
fn a_captured_request_is_one_object_and_a_handshake_is_none() {
    let rows = [
        handshake("shaker", 0),
        request("curl", 0, "GET", "/", CURL),
        request("other", 0, "GET", "/?q=1", CURL),
        request("curl", 0, "POST", "/login", CURL),
    ];
    let ran = replay(&rows, &[]);
    let objects = objects(&ran);
    // A client's requests come together, in their order.
    let told: Vec<_> = objects.iter().map(|object| (object["line"].as_u64().unwrap(), &object["client"])).collect();
    assert_eq!(told, [(2, &json!("curl")), (4, &json!("curl")), (3, &json!("other"))]);
    let page = &objects[0];
    for (field, value) in [
        ("category", "cli"),
        ("request_kind", "page"),
        ("method", "GET"),
        ("path", "/"),
        ("route", "pages"),
        ("action", "challenge"),
        ("verdict", "challenge"),
        ("code", "API.SCORE_CHALLENGED"),
        ("coverage", "not-a-browser"),
    ] {
        assert_eq!(page[field], value, "{field} of {page}");
    }
    assert!(page["score"].as_f64().unwrap() > 0.3, "{page}");
    assert!(signals(page).contains(&"client-unexpected"), "{page}");
    assert!(page["reasons"][0]["points"].is_f64() && page["reasons"][0]["strength"].is_f64(), "{page}");
    assert_eq!((&objects[1]["route"], &objects[2]["path"]), (&json!("login"), &json!("/?q=1")));
    ran.says(&["the rules that are shipped hold"]);
}

#[test]
fn what_was_captured_of_http2_is_judged() {
    let chrome = json!([[1, 65536], [2, 0], [4, 6_291_456], [6, 262_144]]);
    let other = json!([[3, 100], [4, 65535]]);
    let objects = objects(&replay(&[chrome_over_http2("same", &chrome), chrome_over_http2("other", &other)], &[]));
    assert!(!signals(&objects[0]).contains(&"http2-settings"), "{}", objects[0]);
    assert!(signals(&objects[1]).contains(&"http2-settings"), "{}", objects[1]);
}

#[test]
fn counts_follow_a_client_and_no_other() {
    let login = |client: &str| request(client, 0, "POST", "/login", "MyApp/3.1");
    let many: Vec<_> = (0..11).map(|_| login("busy")).collect();
    let others: Vec<_> = (0..40).map(|client| login(&format!("quiet-{client}"))).collect();
    let objects = objects(&replay(&[many, others].concat(), &[]));
    let codes: Vec<_> = objects.iter().map(|object| object["code"].as_str().unwrap()).collect();
    assert_eq!(codes[10], "API.LIMIT_EXCEEDED");
    assert!(codes[..10].iter().chain(&codes[11..]).all(|code| *code != "API.LIMIT_EXCEEDED"), "{codes:?}");
}

#[test]
fn the_rules_are_those_that_are_named_and_a_ban_holds() {
    let rules = r#"
[[route]]
name = "all"
origin = "app"

[[rule]]
name = "no curl"
when = { user_agent = ["curl/*"] }
action = "ban"
"#;
    let folder = Folder::with("captures-rules", &[("rules/all.toml", rules)]);
    let rows = [
        request("first", 0, "GET", "/", CURL),
        request("first", 1, "GET", "/", "MyApp/3.1"),
        request("second", 0, "GET", "/", "MyApp/3.1"),
    ];
    let ran = replay(&rows, &["--rules", &folder.path("rules")]);
    let objects = objects(&ran);
    let verdicts: Vec<_> = objects.iter().map(|object| object["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["ban", "block", "allow"]);
    assert_eq!(objects[1]["code"], "API.BANNED");
    assert!(!ran.stderr.contains("shipped"), "{}", ran.stderr);
}

#[test]
fn a_summary_counts_clients_and_names_those_judged_amiss() {
    let mut browser = request("curl-in-disguise", 0, "GET", "/", CURL);
    browser["category"] = json!("browser");
    let rows = [
        handshake("shaker", 0),
        handshake("shaker", 1),
        browser,
        request("curl", 0, "GET", "/", CURL),
        request("curl", 1, "POST", "/login", CURL),
    ];
    let folder = Folder::with("captures-summary", &[("clients.jsonl", &text(&rows))]);
    let ran = run(&["explain", "--captures", &folder.path("clients.jsonl"), "--summary"]);
    ran.expect(0).says(&[
        "browsers that were challenged or blocked: 1\n  curl-in-disguise: challenge at 0.",
        "for its page: ",
        "(100.0 % were): none",
        "impersonators that were not challenged: none",
        "clients that only shook hands, so that nothing is judged: 1\n  shaker",
        "3 requests of 3 clients on 5 connections",
    ]);
    let row = ran.stdout.lines().find(|line| line.starts_with("cli")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["cli", "1", "0", "0", "1", "0", "100.0", "%"]);
}

#[test]
fn a_line_that_cannot_be_read_is_named_and_nothing_is_replayed() {
    let sound = request("curl", 0, "GET", "/", CURL);
    let with = |field: &str, value: Value| {
        let mut row = sound.clone();
        row[field] = value;
        row.to_string()
    };
    let without = |field: &str| {
        let mut row = sound.clone();
        row.as_object_mut().unwrap().remove(field);
        row.to_string()
    };
    let with_http2 = |field: &str, value: Value| {
        let mut row = chrome_over_http2("h2", &json!([[1, 65536]]));
        row["h2"][field] = value;
        row.to_string()
    };
    for (line, words) in [
        ("nonsense".to_owned(), "expected one JSON object, but found `nonsense`"),
        ("[1, 2]".to_owned(), "expected one JSON object"),
        ("\u{0}\u{7f}".to_owned(), "expected one JSON object"),
        (without("client"), "expected a text in `client`, but found nothing"),
        (without("request_kind"), "expected one of page, api, login"),
        (with("category", json!("broswer")), "expected one of browser, browser-automated"),
        (with("conn", json!(-1)), "expected a whole number in `conn`, but found `-1`"),
        (with("client_hello_hex", json!("16030")), "expected bytes in hex in `client_hello_hex`"),
        (with("client_hello_hex", json!("474554202f")), "`client_hello_hex` is no ClientHello"),
        (with("client_hello_hex", json!("")), "`client_hello_hex` is no ClientHello"),
        (with("tls_version", json!("TLSv1")), "expected one of TLSv1.2, TLSv1.3 in `tls_version`, but found `TLSv1`"),
        (with("alpn", json!("h3")), "expected one of http/1.1, h2 in `alpn`"),
        (without("resumed"), "in `resumed`, but found nothing"),
        (with("http_version", json!("3")), "expected `1.0`, `1.1` or `2` in `http_version`"),
        (with("method", json!("GE T")), "expected a method such as `GET` in `method`"),
        (with("path", Value::Null), "expected a text in `path`, but found `null`"),
        (with("headers", json!({ "host": "a" })), "expected a list of `[name, value]` in `headers`"),
        (with("headers", json!([["host"]])), "expected a list of `[name, value]` in `headers`"),
        (with("headers", json!([["ho st", "a"]])), "expected a header's name in `headers`, but found `ho st`"),
        (with("headers", json!([["host", "a\r\nb"]])), "expected a value of the header `host`"),
        (with_http2("settings", json!([[70_000, 1]])), "expected a list of `[identifier, value]` in `settings`"),
        (with_http2("window_update", json!("1")), "expected a whole number in `window_update`"),
        (with_http2("priority", json!([{ "stream": 3 }])), "`weight` in `priority`"),
        (with_http2("pseudo_order", json!([":status"])), "in `pseudo_order`"),
        (with_http2("headers_priority", json!({ "dep": 0 })), "in `headers_priority`"),
        (with_http2("headers_priority", json!(5)), "expected an object or `null` in `headers_priority`"),
    ] {
        let ran = run_with(&["explain", "--captures", "-"], format!("{sound}\n\n{line}\n").as_bytes());
        ran.expect(1).says(&["error: line 3 of standard input: ", words, "  = help: "]);
        assert_eq!(ran.stdout, "", "{line}");
        assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn all_faults_are_told_up_to_a_bound() {
    let ran = run_with(&["explain", "--captures", "-", "--summary"], "x\n".repeat(30).as_bytes());
    ran.expect(1).says(&["line 1 of", "line 20 of", "10 more lines of standard input cannot be read"]);
    assert!(!ran.stderr.contains("line 21 of"), "{}", ran.stderr);
}

#[test]
fn what_is_no_file_of_captures_is_refused() {
    run(&["explain", "--captures", "/nonexistent"]).expect(1).says(&["cannot read the captures in `/nonexistent`"]);
    run_with(&["explain", "--captures", "-"], b"\n\n").expect(1).says(&["there are no captures in standard input"]);
    run(&["explain", "--captures", "-", "--rules", "/nonexistent"]).expect(1).says(&["cannot read the rules"]);
}

#[test]
fn captures_and_a_request_written_by_hand_exclude_each_other() {
    for more in [&["--path", "/login"][..], &["-H", "user-agent: a"], &["--banned"], &["--ja4", "x"], &["--ip", "::1"]]
    {
        let ran = run(&[&["explain", "--captures", "-"], more].concat());
        ran.expect(2).says(&["--captures", "cannot be used with", more[0].trim_start_matches("-H")]);
    }
    run(&["explain", "--summary"]).expect(2).says(&["--captures <FILE>"]);
}

/// The verdicts, mildest first.
const VERDICTS: [&str; 6] = ["allow", "throttle", "challenge", "step_up", "block", "ban"];
const CHALLENGE: usize = 2;
const BLOCK: usize = 4;

/// Every client of the zoo by its category and name, with its objects.
fn zoo_clients(objects: &[Value]) -> BTreeMap<(&str, &str), Vec<&Value>> {
    let mut clients: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for object in objects {
        let name = (object["category"].as_str().unwrap(), object["client"].as_str().unwrap());
        clients.entry(name).or_default().push(object);
    }
    clients
}

/// The worst verdict on some of a client's requests, or on all where it made none of these.
fn worst(objects: &[&Value], of: impl Fn(&Value) -> bool) -> usize {
    let rank = |object: &&&Value| VERDICTS.iter().position(|verdict| *verdict == object["verdict"]).unwrap();
    let some = objects.iter().filter(|object| of(object)).map(|object| rank(&object)).max();
    some.or_else(|| objects.iter().map(|object| rank(&object)).max()).unwrap()
}

/// The bars of the shipped rules, over clients that were really captured.
#[test]
fn real_clients_are_told_from_what_they_claim() {
    let Some(path) = shared("zoo/clients.jsonl") else { return };
    let (path, rules) = (path.display().to_string(), repository().join("rules").display().to_string());
    println!("{}", run(&["explain", "--captures", &path, "--summary"]).expect(0).stdout);
    let objects = objects(&run(&["explain", "--captures", &path, "--rules", &rules]));
    let clients = zoo_clients(&objects);
    let asks = |object: &Value| ["page", "api", "login"].iter().any(|kind| object["request_kind"] == *kind);
    let results: Vec<_> = clients.iter().map(|((category, name), all)| (*category, *name, worst(all, asks))).collect();
    let of = |wanted: &str| -> Vec<_> {
        results.iter().filter(|(category, ..)| *category == wanted).map(|(_, name, worst)| (*name, *worst)).collect()
    };

    let (proxied, browsers): (Vec<_>, Vec<_>) =
        of("browser").into_iter().partition(|(name, _)| *name == "chromium-behind-tls-proxy");
    // By their engines: Chromium, Firefox, WebKitGTK with libsoup 3, QtWebEngine.
    let engines = ["chromium", "firefox", "webkitgtk", "epiphany", "surf", "angelfish", "qutebrowser", "konqueror"];
    let (mainstream, niche): (Vec<_>, Vec<_>) =
        browsers.into_iter().partition(|(name, _)| engines.iter().any(|engine| name.starts_with(engine)));
    assert_eq!((proxied.len(), mainstream.len(), niche.len()), (1, 12, 1));
    assert!(proxied.iter().all(|(_, worst)| *worst < BLOCK), "{proxied:?}");
    assert!(mainstream.iter().all(|(_, worst)| *worst < CHALLENGE), "{mainstream:?}");
    assert!(niche.iter().all(|(_, worst)| *worst < BLOCK), "{niche:?}");
    assert!(niche.iter().filter(|(_, worst)| *worst >= CHALLENGE).count() <= 3, "{niche:?}");

    let is_tool = |category: &str| ["library", "cli", "scanner", "loadtool", "crawler"].contains(&category);
    let tools = clients.iter().filter(|((category, _), _)| is_tool(category));
    let tools: Vec<_> =
        tools.map(|((_, name), all)| (*name, worst(all, |object| object["route"] == "pages"))).collect();
    assert_share("tools", &tools, 95);

    let beginnings = include_str!("../../src/commands/explain/header_only.txt");
    let header_only = |name: &str| beginnings.lines().any(|beginning| name.starts_with(beginning));
    let (spoofers, full): (Vec<_>, Vec<_>) = of("impersonator").into_iter().partition(|(name, _)| header_only(name));
    assert_share("header-only impersonators", &spoofers, 100);
    assert_share("full-stack impersonators", &full, 85);
}

#[track_caller]
fn assert_share(what: &str, clients: &[(&str, usize)], percent: usize) {
    let missed: Vec<_> = clients.iter().filter(|(_, worst)| *worst < CHALLENGE).collect();
    let told = clients.len() - missed.len();
    assert!(
        !clients.is_empty() && told * 100 >= clients.len() * percent,
        "{what}: {told} of {}: {missed:?}",
        clients.len()
    );
}
