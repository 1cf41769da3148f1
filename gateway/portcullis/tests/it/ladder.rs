//! The rungs of the challenge on the running gateway, and what becomes of a clearance.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use portcullis_testkit::{Answer, Client, RawResponse, run_to_end, wait_until};
use serde_json::Value;

use crate::challenge::{GUARDED, Puzzle, REDEEM, clearance, get_with, redeem};
use crate::rig::{Rig, usual_origin};
use crate::{CHROMIUM, CURL};

const OWN: &str = "/.well-known/portcullis/";

/// What a browser asks for a page with, and says no more: it scores as a tool.
const READER: &[(&str, &str)] = &[("user-agent", "curl/8.5.0"), ("accept", "text/html")];

fn with<'a>(headers: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [headers, more].concat()
}

fn send(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> RawResponse {
    client.connect().unwrap().request(method, path, headers, body.as_bytes()).unwrap()
}

/// The value of a hidden field of a page.
fn field(page: &RawResponse, name: &str) -> String {
    let text = page.text();
    let (_, rest) = text.split_once(&format!("name=\"{name}\" value=\"")).expect("a field of the page");
    rest.split('"').next().unwrap().to_owned()
}

fn cookie_of(answer: &RawResponse) -> String {
    answer.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
}

fn pay(client: &Client, path: &str) -> String {
    clearance(&redeem(client, &Puzzle::of(&client.get(path, CURL).unwrap()).solution()))
}

fn command(rig: &Rig, args: &[&str]) -> String {
    let admin = rig.admin.to_string();
    let output = run_to_end(Path::new(env!("CARGO_BIN_EXE_portcullis")), &[args, &["--admin", &admin]].concat(), b"");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A rule that challenges everybody: without a doubt of its own, so that the wait is the shortest.
const BY_RULE: &str = r#"
[[route]]
name = "people"
paths = ["/{*rest}", "/"]
origin = "app"
clients = "browser"
puzzle = { difficulty_bits = 6, count = 8 }
thresholds = { throttle = "off", challenge = 0.90, block = 0.99, ban = "off" }

[[route.rule]]
name = "everybody"
when = { method = ["GET", "POST"] }
action = "challenge"

[[route]]
name = "api"
paths = ["/api"]
origin = "app"
clients = "api"
puzzle = { difficulty_bits = 6, count = 8 }
thresholds = { throttle = "off", challenge = 0.90, block = 0.99, ban = "off" }

[[route.rule]]
name = "programs"
when = { method = ["GET"] }
action = "challenge"
"#;

#[test]
fn without_a_script_a_wait_opens_the_route() {
    let rig = Rig::start(BY_RULE);
    let client = rig.client();
    let wait = format!("{OWN}wait");
    let page = client.get("/shop?item=1", CHROMIUM).unwrap();
    assert_eq!(page.status, 403);
    let refresh = format!("url={wait}?wait=");
    assert!(page.text().contains(&refresh), "the page goes on by itself where no script runs");
    assert_eq!(field(&page, "return"), "/shop?item=1");

    let early = format!("wait={}&return=%2Fshop%3Fitem%3D1", field(&page, "wait"));
    let again = send(&client, "POST", &wait, CHROMIUM, &early);
    let began = Instant::now();
    assert_eq!((again.status, again.header("set-cookie")), (403, None), "too early");
    let token = field(&again, "wait");
    assert_eq!(field(&again, "return"), "/shop?item=1");
    let spent = send(&client, "POST", &wait, CHROMIUM, &early);
    assert_eq!((spent.status, spent.header("set-cookie")), (403, None), "still too early");
    let elsewhere = format!("wait={token}&return=https://evil.example/");
    let foreign = send(&rig.client_of("198.51.100.5"), "POST", &wait, CHROMIUM, &elsewhere);
    assert_eq!((foreign.status, foreign.header("set-cookie")), (403, None), "another client's wait");

    // The gateway's own clock counts it; the page says a second more.
    let secs: u64 =
        again.text().split_once("refresh\" content=\"").unwrap().1.split(';').next().unwrap().parse().unwrap();
    assert!((4..=16).contains(&secs), "{secs}");
    wait_until("the wait to be over", Duration::from_secs(30), || began.elapsed() > Duration::from_secs(secs));
    let through = client.get(&format!("{wait}?wait={token}&return=%2Fshop%3Fitem%3D1"), CHROMIUM).unwrap();
    assert_eq!((through.status, through.header("cache-control")), (303, Some("no-store")));
    let arrived = through.header("location").unwrap().to_owned();
    let cookie = cookie_of(&through);
    let held = with(CHROMIUM, &[("cookie", &cookie)]);

    let on = client.get(&arrived, &held).unwrap();
    assert_eq!((on.status, on.header("location")), (303, Some("/shop?item=1")));
    let off = client.get(&arrived, &with(READER, &[("accept-language", "de")])).unwrap();
    assert_eq!((off.status, off.header("location")), (403, None), "cookies off are said, once");
    assert!(off.text().contains("lang=\"de\"") && off.text().contains("href=\"/shop?item=1\""));
    assert_eq!(client.get("/shop?item=1", &held).unwrap().status, 200);
    let late = client.get(&format!("{wait}?wait={token}&return=%2Fshop"), &held).unwrap();
    assert_eq!((late.status, late.header("location")), (303, Some("/shop")), "the button and the refresh came both");
    assert_eq!(client.get("/api", &held).unwrap().status, 403, "nothing but work is taken there");

    let solved = [("step", "solved"), ("rung", "no-script"), ("family", "chromium")];
    rig.await_count("portcullis_challenge_steps_total", &solved, 1.0);
    rig.await_count("portcullis_challenges_total", &[("outcome", "too-early")], 2.0);
    let log = fs::read_to_string(rig.folder.join("audit.jsonl")).unwrap() + &rig.gateway.stderr();
    assert!(!log.contains(&token), "no token is in a record");
}

#[test]
fn a_wait_leads_nowhere_but_to_its_own_site() {
    let rig = Rig::start(BY_RULE);
    for target in ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/a/..//b"] {
        let encoded: String = target.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let cookie = pay(&rig.client(), "/api");
        let headers = with(CURL, &[("cookie", &cookie)]);
        let answer = rig.client().get(&format!("{OWN}arrived?return={encoded}"), &headers).unwrap();
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{target}");
    }
    let own = rig.client().get(&format!("{OWN}arrived?return={OWN}arrived"), CURL).unwrap();
    assert!(own.text().contains("href=\"/\""), "never to where there is nothing to come back to");
    for (method, path, status) in [
        ("GET", "redeem?solution=a.b", 405),
        ("GET", "wait?solution=a.b", 400),
        ("GET", "wait", 400),
        ("GET", "renew", 405),
        ("POST", "arrived", 405),
        ("PUT", "wait", 405),
    ] {
        let answer = send(&rig.client(), method, &format!("{OWN}{path}"), CURL, "");
        assert_eq!((answer.status, answer.header("set-cookie")), (status, None), "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
    }
}

#[test]
fn a_form_that_meets_the_challenge_is_not_redirected() {
    let rig = Rig::start(BY_RULE);
    let answer = send(&rig.client(), "POST", "/form", READER, "a=b");
    assert_eq!((answer.status, answer.header("location")), (403, None));
    assert!(answer.text().contains("id=\"form\"") && answer.text().contains("id=\"resend\""));
    assert!(!rig.client().get("/form", READER).unwrap().text().contains("id=\"resend\""), "a page is only asked for");
    assert!(rig.origin.requests().is_empty());
}

#[test]
fn the_page_speaks_the_language_that_is_asked_for() {
    let settings =
        "[challenge]\nname = \"Shop <&>\"\nlogo = \"/logo.svg\"\ncolour = \"#8a1c1c\"\ncontact = \"help@shop.example\"";
    let rig = Rig::start_with(BY_RULE, settings, usual_origin);
    for (asked, language, direction) in [
        ("ar", "ar", "rtl"),
        ("de-AT, en;q=0.5", "de", "ltr"),
        ("tlh", "en", "ltr"),
        ("", "en", "ltr"),
        ("\"><script>", "en", "ltr"),
    ] {
        let page = rig.client().get("/", &with(READER, &[("accept-language", asked)])).unwrap();
        let text = page.text();
        assert!(text.contains(&format!("lang=\"{language}\" dir=\"{direction}\"")), "{asked}");
        assert_eq!(page.header("content-language"), Some(language), "{asked}");
        assert!(page.header("vary").unwrap().contains("accept-language"));
        assert!(text.contains("Shop &lt;&amp;&gt;") && text.contains("src=\"/logo.svg\"") && text.contains("#8a1c1c"));
        assert!(text.contains("help@shop.example"));
        assert!(page.body.len() < 30 * 1024, "{} bytes in {language}", page.body.len());
    }
}

/// What is doubtful for a tool is the top of the ladder here.
const HIGH: &str = r#"
[[route]]
name = "high"
paths = ["/high"]
origin = "app"
clients = "mixed"
thresholds = { throttle = "off", challenge = 0.10, block = 0.35, ban = "off" }
puzzle = { difficulty_bits = 6, count = 8 }
"#;

#[test]
fn at_high_risk_the_work_takes_memory_and_lower_rungs_do_not_open() {
    let rig = Rig::start(&format!("{GUARDED}{HIGH}"));
    let client = rig.client();
    let low = pay(&client, "/");
    let status = |path: &str, cookie: &str| client.get(path, &with(CURL, &[("cookie", cookie)])).unwrap().status;
    assert_eq!((status("/", &low), status("/high", &low)), (200, 403), "another rung is asked for");
    let asked = client.get("/high", &with(CURL, &[("cookie", &low)])).unwrap();
    assert_eq!(asked.json()["challenge"]["algorithm"], "argon2id");
    let page = client.get("/high", READER).unwrap();
    assert!(page.text().contains("data-memory=\"8 1 2 6\""), "the page solves it too");
    assert!(!page.text().contains("name=\"wait\""), "and nothing stands in for it");
    assert!(page.body.len() < 30 * 1024, "{} bytes", page.body.len());

    let puzzle = Puzzle::of(&asked);
    let hashes_only = redeem(&client, &puzzle.hashing_only());
    assert_eq!((hashes_only.status, &hashes_only.json()["code"]), (403, &"unsolved".into()));
    let right = puzzle.solution();
    assert_eq!(redeem(&client, &right).json()["code"], "spent", "a wrong solution uses its puzzle up");

    let body = Puzzle::of(&client.get("/high", CURL).unwrap()).solution();
    let cookies = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let answer = redeem(&client, &body);
                if answer.status == 204 {
                    cookies.lock().unwrap().push(clearance(&answer));
                }
            });
        }
    });
    let cookies = cookies.into_inner().unwrap();
    assert_eq!(cookies.len(), 1);
    assert_eq!((status("/", &cookies[0]), status("/high", &cookies[0])), (200, 200), "the higher opens the lower");
    let solved = [("step", "solved"), ("rung", "memory-hard"), ("family", "other")];
    rig.await_count("portcullis_challenge_steps_total", &solved, 1.0);
}

#[test]
fn of_two_tabs_neither_takes_the_others_clearance() {
    let rules = format!(
        "{}{GUARDED}",
        GUARDED
            .replace("guarded", "cheap")
            .replace(r#""/{*rest}", "/""#, r#""/cheap""#)
            .replace("6, count = 8", "1, count = 1")
    );
    let rig = Rig::start(&rules);
    let client = rig.client();
    let cheap = Puzzle::of(&client.get("/cheap", CURL).unwrap());
    let strict = pay(&client, "/");
    let second = send(&client, "POST", REDEEM, &with(CURL, &[("cookie", &strict)]), &cheap.solution());
    assert_eq!(second.status, 204);
    let kept = clearance(&second);
    assert_eq!(get_with(&client, &kept).status, 200, "what the first tab earned is still there");
    assert_eq!(get_with(&client, &strict).status, 200);
    // The other way about the better one takes the place.
    let strict = Puzzle::of(&client.get("/", CURL).unwrap());
    let cheap = pay(&client, "/cheap");
    assert_eq!(get_with(&client, &cheap).status, 403);
    let better = clearance(&send(&client, "POST", REDEEM, &with(CURL, &[("cookie", &cheap)]), &strict.solution()));
    assert_eq!(get_with(&client, &better).status, 200);
}

/// Routes of one score: on one the work takes memory and few hashes, on the others many, or as many parts as can be.
const UNEVEN: &str = r#"
[[route]]
name = "many-hashes"
paths = ["/many-hashes"]
origin = "app"
clients = "mixed"
thresholds = { throttle = "off", challenge = 0.10, block = 0.90, ban = "off" }
puzzle = { difficulty_bits = 8, count = 60 }

[[route]]
name = "many-parts"
paths = ["/many-parts"]
origin = "app"
clients = "mixed"
thresholds = { throttle = "off", challenge = 0.10, block = 0.35, ban = "off" }
puzzle = { difficulty_bits = 1, count = 256 }
"#;

#[test]
fn memory_that_was_filled_for_a_cheap_route_opens_none_that_asks_for_more_hashes() {
    let rig = Rig::start(&format!("{GUARDED}{HIGH}{UNEVEN}"));
    let client = rig.client();
    let status = |path: &str, cookie: &str| client.get(path, &with(CURL, &[("cookie", cookie)])).unwrap().status;
    let memory = pay(&client, "/high");
    assert_eq!((status("/high", &memory), status("/many-hashes", &memory)), (200, 403));
    // Both works together open both, whatever the times for which they are good.
    let hashes = Puzzle::of(&client.get("/many-hashes", CURL).unwrap()).solution();
    let both = clearance(&send(&client, "POST", REDEEM, &with(CURL, &[("cookie", &memory)]), &hashes));
    assert_eq!((status("/high", &both), status("/many-hashes", &both)), (200, 200));
}

#[test]
fn the_most_parts_and_memory_beside_them_are_asked_for_and_enough() {
    let rig = Rig::start(&format!("{GUARDED}{UNEVEN}"));
    let client = rig.client();
    let asked = client.get("/many-parts", CURL).unwrap();
    assert_eq!(asked.json()["challenge"]["algorithm"], "argon2id");
    let cookie = clearance(&redeem(&client, &Puzzle::of(&asked).solution()));
    assert_eq!(client.get("/many-parts", &with(CURL, &[("cookie", &cookie)])).unwrap().status, 200);
}

#[test]
fn a_cookie_that_a_sibling_host_has_set_locks_nobody_out() {
    let rig = Rig::start(&format!("{GUARDED}{UNEVEN}"));
    let client = rig.client();
    let status = |path: &str, cookies: &str| client.get(path, &with(CURL, &[("cookie", cookies)])).unwrap().status;
    let (cheap, dear) = (pay(&client, "/"), pay(&client, "/many-hashes"));
    assert_eq!(status("/many-hashes", &format!("portcullis=tossed; {cheap}; {dear}")), 200, "the best one counts");
    assert_eq!(status("/many-hashes", &format!("{dear}; portcullis=tossed; {cheap}")), 200);
    assert_eq!(status("/", &["portcullis=tossed; "; 40].concat()), 403, "and their number is bounded");
    // What the client has earned is found among them where it is given back.
    let solution = Puzzle::of(&client.get("/", CURL).unwrap()).solution();
    let tossed = format!("portcullis=tossed; {dear}");
    let kept = clearance(&send(&client, "POST", REDEEM, &with(CURL, &[("cookie", &tossed)]), &solution));
    assert_eq!(status("/many-hashes", &kept), 200);
}

#[test]
fn a_wait_is_not_in_vain_for_who_holds_the_work_of_a_cheaper_route() {
    let rig = Rig::start(&format!("{GUARDED}{UNEVEN}"));
    let client = rig.client();
    let cheap = pay(&client, "/");
    let held = with(READER, &[("cookie", &cheap)]);
    let page = client.get("/many-hashes", &held).unwrap();
    assert_eq!(page.status, 403);
    let asked = Instant::now();
    wait_until("the wait to be over", Duration::from_secs(30), || asked.elapsed() > Duration::from_secs(16));
    let body = format!("wait={}&return=%2Fmany-hashes", field(&page, "wait"));
    let waited = send(&client, "POST", &format!("{OWN}wait"), &held, &body);
    assert_eq!(waited.status, 303);
    let cookie = cookie_of(&waited);
    assert_eq!(client.get("/many-hashes", &with(READER, &[("cookie", &cookie)])).unwrap().status, 200);
}

#[test]
fn what_any_page_can_have_its_readers_ask_for_is_not_held_against_them() {
    let rig = Rig::start(GUARDED);
    let client = rig.client();
    // Of the last of so many requests.
    let stands_worse = |requests: usize| {
        let records = rig.audit(requests);
        let reasons = records.last().unwrap()["reasons"].as_array().unwrap();
        reasons.iter().any(|reason| reason["signal"] == "reputation")
    };
    for _ in 0..5 {
        assert_eq!(client.get(&format!("{OWN}wait?wait=made-up"), CURL).unwrap().status, 400);
        assert_eq!(redeem(&client, "solution=made.up").status, 400);
    }
    let puzzle = client.get("/", CURL).unwrap().json()["challenge"]["token"].as_str().unwrap().to_owned();
    assert!(!stands_worse(11));
    assert_eq!(redeem(&client, &format!("solution={puzzle}.AAAA")).json()["code"], "unsolved");
    client.get("/", CURL).unwrap();
    assert!(stands_worse(13), "work of its own that was left undone is");
}

#[test]
fn a_clearance_is_renewed_in_its_last_quarter_and_not_when_it_was_taken_back() {
    let rig = Rig::start(&format!("{GUARDED}clearance_ttl = \"12s\"\n"));
    let client = rig.client();
    let renew = |cookie: &str| send(&client, "POST", &format!("{OWN}renew"), &with(CURL, &[("cookie", cookie)]), "");
    assert_eq!(send(&client, "POST", &format!("{OWN}renew"), CURL, "").status, 204, "nothing to renew");
    assert_eq!(renew("portcullis=made-up").status, 204);
    let first = pay(&client, "/");
    let early = renew(&first);
    let secs = early.json()["ask_again_secs"].as_u64().unwrap();
    assert!((1..=10).contains(&secs), "{secs}");
    assert_eq!(early.header("cache-control"), Some("no-store"));
    let asked = Instant::now();
    wait_until("the last quarter", Duration::from_secs(30), || asked.elapsed() > Duration::from_secs(secs));
    let answer = renew(&first);
    assert_eq!(answer.status, 200, "it is good to its end");
    let offered = answer.json()["challenge"].clone();
    assert_eq!((&offered["difficulty_bits"], &offered["count"]), (&4.into(), &8.into()), "a quarter of the work");
    let body = Puzzle::read(&offered).solution();
    let second = clearance(&send(&client, "POST", REDEEM, &with(CURL, &[("cookie", &first)]), &body));
    assert_ne!(first, second);
    assert_eq!(get_with(&client, &second).status, 200, "it is worth what the first was");
    rig.await_count("portcullis_challenges_total", &[("outcome", "renewed")], 1.0);

    let again = Puzzle::read(&renew(&first).json()["challenge"]).solution();
    let id = rig.audit(9)[7]["clearance"]["id"].as_str().unwrap().to_owned();
    command(&rig, &["clearance", "revoke", "--id", &id]);
    assert_eq!(renew(&second).status, 204, "what was taken back is not renewed");
    let kept = clearance(&send(&client, "POST", REDEEM, &with(CURL, &[("cookie", &first)]), &again));
    assert_eq!(kept, first, "nobody is given a dead one for his own");

    let puzzle = Puzzle::of(&client.get("/", CURL).unwrap());
    command(&rig, &["clearance", "revoke", "--all"]);
    // Solved anew, with the old cookie at hand: it is worth nothing.
    let third = clearance(&send(&client, "POST", REDEEM, &with(CURL, &[("cookie", &first)]), &puzzle.solution()));
    assert_eq!(get_with(&client, &third).status, 200);
}

#[test]
fn clearances_are_taken_back_by_name_and_by_kind_over_a_restart() {
    let key = crate::rig::scratch_folder().join("challenge.key");
    fs::write(&key, "5a".repeat(32)).unwrap();
    let mut rig = Rig::start_with(GUARDED, &format!("[challenge]\nkey_file = \"{}\"", key.display()), usual_origin);
    let client = rig.client();
    assert_eq!(command(&rig, &["clearance", "list"]), "nothing is taken back\n");
    let [first, second] = [pay(&client, "/"), pay(&client, "/")];
    assert_eq!((get_with(&client, &first).status, get_with(&client, &second).status), (200, 200));
    let named = |records: &[Value], name: &str| {
        let lines: Vec<_> = records.iter().filter_map(|line| line["clearance"][name].as_str()).collect();
        lines.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()
    };
    let records = rig.audit(6);
    let ids = named(&records, "id");
    let said = command(&rig, &["clearance", "revoke", "--id", &ids[0]]);
    assert_eq!(said, format!("took back the clearance {}\n", ids[0]));
    assert_eq!((get_with(&client, &first).status, get_with(&client, &second).status), (403, 200));
    let refused = [("reason", "revoked")];
    rig.await_count("portcullis_clearances_refused_total", &refused, 1.0);

    rig.restart(|_| {});
    assert_eq!((get_with(&client, &first).status, get_with(&client, &second).status), (403, 200), "it is remembered");
    let cohort = named(&records, "cohort");
    command(&rig, &["clearance", "revoke", "--cohort", &cohort[0]]);
    assert_eq!(get_with(&client, &second).status, 403);
    assert_eq!(get_with(&client, &pay(&client, "/")).status, 200, "who climbs again is let through");
    let list = command(&rig, &["clearance", "list"]);
    assert!(list.contains(&ids[0]) && list.contains(&cohort[0]), "{list}");

    let spoilt = "nonsense\n";
    rig.restart(|folder| fs::write(folder.join("state/clearances.revoked"), spoilt).unwrap());
    assert!(rig.gateway.stderr().contains("is refused and set aside"));
    let aside = fs::read_to_string(rig.folder.join("state/clearances.revoked.refused")).unwrap();
    assert_eq!(aside, spoilt);
}

#[test]
fn an_order_to_take_back_that_a_page_may_have_sent_is_refused() {
    let rig = Rig::start(GUARDED);
    let ask = |host: &str, headers: &[(&str, &str)], body: &str| {
        send(&Client::new(rig.admin).host(host), "POST", "/clearances/revoked", headers, body)
    };
    let (own, change) = (rig.admin.to_string(), [("portcullis-admin", "1")]);
    for (host, headers, body, status) in [
        (own.as_str(), &[][..], "{\"all\":true}", 403),
        ("evil.example", &change, "{\"all\":true}", 403),
        (&own, &change, "{}", 400),
        (&own, &change, "{\"all\":true,\"cohort\":\"00c0ffee\"}", 400),
        (&own, &change, "{\"id\":\"00\"}", 400),
        (&own, &change, "{\"cohort\":\"00c0ffe\"}", 400),
        (&own, &change, "{\"everything\":true}", 400),
        (&own, &change, "{\"all\":true}", 200),
    ] {
        assert_eq!(ask(host, headers, body).status, status, "{host} {body}");
    }
}

#[test]
fn a_rotation_of_keys_and_a_restart_lock_nobody_out() {
    let key = crate::rig::scratch_folder().join("challenge.key");
    let [old, new] = ["5a", "a5"].map(|byte| byte.repeat(32));
    fs::write(&key, &old).unwrap();
    let mut rig = Rig::start_with(GUARDED, &format!("[challenge]\nkey_file = \"{}\"", key.display()), usual_origin);
    let client = rig.client();
    let by_old = pay(&client, "/");
    let open = Puzzle::of(&client.get("/", CURL).unwrap());
    let reloaded = |result: &str, before: f64| {
        let labels = [("what", "challenge_keys"), ("result", result)];
        rig.gateway.reload();
        wait_until("the reload", Duration::from_secs(20), || {
            rig.metrics().value("portcullis_config_reloads_total", &labels).unwrap_or(0.0) > before
        });
    };
    fs::write(&key, &new).unwrap();
    reloaded("applied", 0.0);
    assert_eq!(get_with(&client, &by_old).status, 200, "what the old key signed is believed");
    let by_new = clearance(&redeem(&client, &open.solution()));
    assert_eq!(get_with(&client, &by_new).status, 200, "a puzzle that was open is taken");
    fs::write(&key, "not a key").unwrap();
    reloaded("refused", 0.0);
    assert_eq!(get_with(&client, &by_new).status, 200);
    fs::write(&key, format!("{new}\n{old}\n")).unwrap();
    reloaded("unchanged", 0.0);
    rig.restart(|_| {});
    assert_eq!((get_with(&client, &by_old).status, get_with(&client, &by_new).status), (200, 200), "both lines count");
    fs::write(&key, &new).unwrap();
    rig.restart(|_| {});
    assert_eq!((get_with(&client, &by_old).status, get_with(&client, &by_new).status), (403, 200), "one line is gone");
}

/// TecharoHQ/anubis#697 and #1146: a solved challenge was shared over a botnet, and one that was bound to its address broke
/// for who roams.
#[test]
fn a_clearance_follows_its_holder_and_burns_out_when_it_is_shared() {
    let rig = Rig::start(GUARDED);
    let home = rig.client_of("192.0.2.7");
    let cookie = pay(&home, "/");
    assert_eq!(get_with(&rig.client_of("192.0.2.99"), &cookie).status, 200, "another address of the same network");
    assert_eq!(get_with(&rig.client_of("2001:db8:0:100::7"), &cookie).status, 200, "the same client over IPv6");
    assert_eq!(get_with(&rig.client_of("198.51.100.5"), &cookie).status, 403, "another network");
    let statuses: Vec<_> =
        (2..22).map(|n| get_with(&rig.client_of(&format!("2001:db8:0:{n}00::7")), &cookie).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "twelve prefixes in all: {statuses:?}");
    assert_eq!(get_with(&home, &cookie).status, 403, "its budget is spent");
    assert_eq!(rig.metrics().value("portcullis_clearances_burnt_total", &[]), Some(1.0));
    let renew = send(&home, "POST", &format!("{OWN}renew"), &with(CURL, &[("cookie", &cookie)]), "");
    assert_eq!(renew.status, 204, "what has burnt out is not renewed");
    assert_eq!(get_with(&home, &pay(&home, "/")).status, 200, "who is challenged again gets through");
}

#[test]
fn a_clearance_is_of_one_kind_of_handshake_whatever_protocol_is_offered() {
    let rig = Rig::start(GUARDED);
    let client = rig.tls_client(&["http/1.1"]);
    let cookie = pay(&client, "/");
    assert!(cookie.starts_with("__Host-portcullis="), "{cookie}");
    assert_eq!(get_with(&client, &cookie).status, 200, "another connection, a resumed one at that");
    assert_eq!(get_with(&rig.tls_client(&[]), &cookie).status, 200, "as browsers do for a WebSocket");
    let h2 = rig.tls_client(&["h2", "http/1.1"]).get_h2("/", &with(CURL, &[("cookie", &cookie)])).unwrap();
    assert_eq!(h2.status, 200);
    let bare = cookie.trim_start_matches("__Host-");
    assert_eq!(get_with(&rig.client(), bare).status, 403, "without any handshake it is another client");
}

#[test]
fn evidence_adds_risk_to_what_follows_and_never_takes_any_away() {
    let rig = Rig::start(GUARDED);
    let client = rig.client();
    let mut asked = 0;
    let mut score_of = |evidence: &str| {
        let puzzle = Puzzle::of(&client.get("/", CURL).unwrap());
        let cookie = clearance(&redeem(&client, &format!("{}{evidence}", puzzle.solution())));
        assert_eq!(get_with(&client, &cookie).status, 200, "{evidence}");
        asked += 3;
        let record = rig.audit(asked).pop().unwrap();
        let reasons = record["reasons"].as_array().unwrap();
        let said = reasons.iter().any(|reason| reason["signal"] == "script-evidence");
        (record["raw_score"].as_f64().unwrap(), said)
    };
    let (plain, said) = score_of("");
    assert!(!said);
    let clean = r#"&evidence={"v":1,"webdriver":false,"automation":[],"odd":[],"ua":"curl/8.5.0","cores":64}"#;
    assert_eq!(score_of(clean), (plain, false), "all the right answers are worth nothing");
    let (raised, said) = score_of(r#"&evidence={"v":1,"webdriver":true,"ua":"curl/8.5.0"}"#);
    assert!(said && raised > plain, "{raised} over {plain}");
    let (raised, said) = score_of("&evidence=nonsense");
    assert!(said && raised > plain, "{raised} over {plain}");
    let found = [("evidence", "js-webdriver"), ("family", "other")];
    assert_eq!(rig.metrics().value("portcullis_challenge_evidence_total", &found), Some(1.0));
    let redeems: Vec<_> = rig.audit(12).into_iter().filter(|line| line["path"] == REDEEM).collect();
    let evidence: Vec<_> = redeems.iter().map(|line| line["challenge"]["evidence"].clone()).collect();
    assert_eq!(evidence[2], serde_json::json!(["js-webdriver"]));
    assert!(redeems.iter().all(|line| line["challenge"]["took_ms"].is_u64()));
    let megabyte = format!("solution=a.b&evidence={}", "x".repeat(1 << 20));
    if let Ok(answer) = client.connect().unwrap().request("POST", REDEEM, CURL, megabyte.as_bytes()) {
        assert_eq!((answer.status, answer.header("set-cookie")), (413, None));
    }
}

const KINDS: &str = r#"
[[route]]
name = "api"
paths = ["/api"]
origin = "app"
clients = "api"
thresholds = { throttle = 0.05, challenge = 0.10, block = 0.90 }
puzzle = { difficulty_bits = 6, count = 8 }

[[route]]
name = "feed"
paths = ["/feed"]
origin = "app"
clients = "unattended"
throttle_rate = "3/1m"
thresholds = { throttle = 0.05, challenge = 0.10, block = 0.90 }
"#;

#[test]
fn programs_get_no_html_and_what_nobody_attends_to_meets_no_challenge() {
    let rig = Rig::start(KINDS);
    let answer = rig.client().get("/api", READER).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (403, Some("application/problem+json")));
    let statuses: Vec<_> = (0..6).map(|_| rig.client().get("/feed", READER).unwrap()).collect();
    assert_eq!(statuses[0].status, 200);
    let last = statuses.last().unwrap();
    assert_eq!((last.status, last.header("content-type")), (429, Some("application/problem+json")), "it is throttled");
    assert!(statuses.iter().all(|answer| answer.header("portcullis-action").is_none()));
}

#[test]
fn scripts_of_named_origins_may_read_a_challenge_and_no_others() {
    let rig = Rig::start_with(GUARDED, "[challenge]\norigins = [\"https://app.shop.example\"]", usual_origin);
    let client = rig.client();
    let ask = |origin: &str| client.get("/", &with(CURL, &[("origin", origin)])).unwrap();
    let read = ask("https://app.shop.example");
    assert_eq!(read.status, 403);
    assert_eq!(read.header("access-control-allow-origin"), Some("https://app.shop.example"));
    assert_eq!(read.header("access-control-allow-credentials"), Some("true"));
    assert!(read.header("vary").unwrap().contains("origin"));
    for origin in ["https://evil.example", "null", "https://app.shop.example.evil.example", "https://APP.shop.example"]
    {
        assert_eq!(ask(origin).header("access-control-allow-origin"), None, "{origin}");
    }
    let body = Puzzle::of(&read).solution();
    let paid = send(&client, "POST", REDEEM, &with(CURL, &[("origin", "https://app.shop.example")]), &body);
    assert_eq!((paid.status, paid.header("access-control-allow-credentials")), (204, Some("true")));
    let preflight = |origin: &str| {
        let asks =
            [("origin", origin), ("access-control-request-method", "PUT"), ("access-control-request-headers", "x-a")];
        send(&client, "OPTIONS", "/", &with(CURL, &asks), "")
    };
    let may = preflight("https://app.shop.example");
    assert_eq!((may.status, may.header("access-control-allow-methods")), (204, Some("PUT")));
    assert_eq!(may.header("access-control-allow-headers"), Some("x-a"));
    assert_eq!(preflight("https://evil.example").status, 403);
    assert!(rig.origin.requests().is_empty(), "no question went further");
    // Where nobody is named, nobody reads.
    let rig = Rig::start(GUARDED);
    let answer = rig.client().get("/", &with(CURL, &[("origin", "https://app.shop.example")])).unwrap();
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn a_stronger_sign_in_is_linked_and_the_origin_vouches_for_it() {
    let rules = r#"
[[route]]
name = "transfer"
paths = ["/transfer"]
origin = "app"
clients = "mixed"

[[route.rule]]
name = "strong"
when = { path = ["/transfer"] }
action = "step_up"

[[route]]
name = "sign-in"
paths = ["/sign-in"]
origin = "app"
"#;
    let origin = |request: &portcullis_testkit::RecordedRequest| match &*request.target {
        "/sign-in" => Answer::ok("welcome").header("portcullis-level", "step-up"),
        _ => Answer::ok("hello"),
    };
    let rig = Rig::start_with(rules, "[challenge]\nsign_in = \"/sign-in\"", origin);
    let sent = rig.client().get("/transfer", READER).unwrap();
    assert_eq!((sent.status, sent.header("location")), (303, Some("/sign-in?return=%2Ftransfer")));
    let told = rig.client().get("/transfer", CURL).unwrap();
    assert_eq!(told.status, 401);
    assert!(told.header("www-authenticate").unwrap().contains("insufficient_user_authentication"));
    assert_eq!(send(&rig.client(), "POST", "/transfer", READER, "a=b").status, 401, "a form is not redirected");
    let forged = with(READER, &[("portcullis-level", "step-up")]);
    assert_eq!(rig.client().get("/transfer", &forged).unwrap().status, 303, "a client's word is nothing");
    let signed_in = rig.client().get("/sign-in", READER).unwrap();
    assert_eq!(signed_in.header("portcullis-level"), None, "the word goes no further");
    let cookie = cookie_of(&signed_in);
    assert_eq!(rig.client().get("/transfer", &with(READER, &[("cookie", &cookie)])).unwrap().status, 200);
    assert_eq!(
        rig.client_of("198.51.100.5").get("/transfer", &with(CURL, &[("cookie", &cookie)])).unwrap().status,
        401
    );
    // Where no sign-in is set, nobody's word is taken.
    let rig = Rig::start_with(rules, "", origin);
    assert_eq!(rig.client().get("/sign-in", READER).unwrap().header("set-cookie"), None);
}
