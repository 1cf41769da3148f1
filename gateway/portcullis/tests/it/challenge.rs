//! The challenge of the running gateway: for programs over raw sockets, for people in a real browser.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use portcullis_challenge::{MemoryCost, Scratch, Seed, Strength, encode_nonces, solve};
use portcullis_testkit::{Client, Gateway, RawResponse, ReadyCheck};

use crate::CURL;
use crate::rig::{Rig, usual_origin};

pub const REDEEM: &str = "/.well-known/portcullis/redeem";

/// A route on which a tool is challenged, with puzzles that a debug build solves quickly.
pub const GUARDED: &str = r#"
[[route]]
name = "guarded"
paths = ["/{*rest}", "/"]
origin = "app"
clients = "mixed"
thresholds = { throttle = 0.05, challenge = 0.10, block = 0.90 }
puzzle = { difficulty_bits = 6, count = 8 }
"#;

pub struct Puzzle {
    token: String,
    seed: Seed,
    strength: Strength,
    /// What of it takes memory.
    pub memory: Option<MemoryCost>,
}

impl Puzzle {
    pub fn of(answer: &RawResponse) -> Self {
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("portcullis-action"), Some("challenge"));
        Self::read(&answer.json()["challenge"])
    }

    /// The puzzle in a member `challenge`.
    pub fn read(challenge: &serde_json::Value) -> Self {
        let text = |name: &str| challenge[name].as_str().unwrap().to_owned();
        let number = |name: &str| challenge[name].as_u64().unwrap();
        assert_eq!(text("redeem"), REDEEM);
        Self {
            token: text("token"),
            seed: Seed::from_hex(&text("seed")).unwrap(),
            strength: Strength::new(number("difficulty_bits").try_into().unwrap(), number("count").try_into().unwrap())
                .unwrap(),
            memory: challenge.get("memory_count").map(|_| {
                let number = |name: &str| number(name).try_into().unwrap();
                let [mebibytes, passes] = ["memory_mebibytes", "memory_passes"].map(number);
                let [count, bits] = ["memory_count", "memory_difficulty_bits"].map(number);
                MemoryCost::new(mebibytes, passes, count, bits).unwrap()
            }),
        }
    }

    pub fn solution(&self) -> String {
        let mut nonces = solve(&self.seed, self.strength);
        if let Some(cost) = self.memory {
            nonces.extend(Scratch::new(cost).solve(&self.seed, cost));
        }
        self.with(&nonces)
    }

    /// The nonces of the hashing alone, and none that take memory.
    pub fn hashing_only(&self) -> String {
        let mut nonces = solve(&self.seed, self.strength);
        nonces.extend(vec![0; self.memory.map_or(0, |cost| cost.count().into())]);
        self.with(&nonces)
    }

    fn with(&self, nonces: &[u32]) -> String {
        format!("solution={}.{}", self.token, encode_nonces(nonces))
    }
}

pub fn redeem(client: &Client, body: &str) -> RawResponse {
    client.connect().unwrap().request("POST", REDEEM, CURL, body.as_bytes()).unwrap()
}

pub fn clearance(answer: &RawResponse) -> String {
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Max-Age="), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

pub fn get_with(client: &Client, cookie: &str) -> RawResponse {
    let mut headers = CURL.to_vec();
    headers.push(("cookie", cookie));
    client.get("/", &headers).unwrap()
}

#[test]
fn a_program_pays_and_reaches_the_origin() {
    let rig = Rig::start(GUARDED);
    let client = rig.client();
    let puzzle = Puzzle::of(&client.get("/", CURL).unwrap());
    let paid = redeem(&client, &puzzle.solution());
    assert!((200..300).contains(&paid.status), "{}", paid.text());
    assert_eq!(paid.header("cache-control"), Some("no-store"));
    let cookie = clearance(&paid);
    assert_eq!(get_with(&client, &cookie).status, 200);
    assert_eq!(rig.origin.take_requests().len(), 1);
    let elsewhere = get_with(&rig.client_of("198.51.100.5"), &cookie);
    assert_eq!(elsewhere.status, 403, "a clearance is bound to its network");
    let other_site = get_with(&rig.client().host("other.example"), &cookie);
    assert_eq!(other_site.status, 403, "a clearance is bound to its site");
    let mut browser = crate::CHROMIUM.to_vec();
    browser.retain(|(name, _)| !matches!(*name, "accept-language" | "accept-encoding"));
    browser.push(("cookie", &cookie));
    assert_eq!(client.get("/", &browser).unwrap().status, 403, "a clearance is bound to the kind of client");
    rig.await_count("portcullis_challenges_total", &[("outcome", "solved")], 1.0);
    let records = rig.audit(2);
    let redeemed = records.iter().find(|record| record["path"] == REDEEM).unwrap();
    assert_eq!((&redeemed["action"], &redeemed["verdict"]), (&"allow".into(), &"allow".into()), "it was answered");
}

#[test]
fn behind_a_trusted_proxy_that_ends_tls_the_cookie_is_that_of_tls() {
    let settings = "[client_address]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let rig = Rig::start_with(GUARDED, settings, crate::rig::usual_origin);
    let client = rig.client();
    let mut headers = CURL.to_vec();
    headers.extend([("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https")]);
    let puzzle = Puzzle::of(&client.get("/", &headers).unwrap());
    let paid = client.connect().unwrap().request("POST", REDEEM, &headers, puzzle.solution().as_bytes()).unwrap();
    let set = paid.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-") && set.contains("; Secure"), "{set}");
    let cookie = clearance(&paid);
    headers.push(("cookie", &cookie));
    assert_eq!(client.get("/", &headers).unwrap().status, 200);
}

/// Two routes: one with the cheapest puzzle there is and a clearance of ten minutes, one that asks for more.
const CHEAP_AND_STRICT: &str = r#"
[[route]]
name = "cheap"
paths = ["/cheap"]
origin = "app"
clients = "mixed"
thresholds = { throttle = 0.05, challenge = 0.10, block = 0.90 }
puzzle = { difficulty_bits = 1, count = 1 }
clearance_ttl = "10m"

[[route]]
name = "strict"
paths = ["/{*rest}", "/"]
origin = "app"
clients = "mixed"
thresholds = { throttle = 0.05, challenge = 0.10, block = 0.90 }
puzzle = { difficulty_bits = 6, count = 8 }
clearance_ttl = "2h"
"#;

#[test]
fn work_for_a_cheap_route_opens_no_strict_one_and_lasts_as_the_cheap_route_says() {
    let rig = Rig::start(CHEAP_AND_STRICT);
    let client = rig.client();
    let pay = |path: &str, max_age: &str| {
        let paid = redeem(&client, &Puzzle::of(&client.get(path, CURL).unwrap()).solution());
        let cookie = paid.header("set-cookie").unwrap();
        assert!(cookie.contains(max_age), "{path}: {cookie}");
        clearance(&paid)
    };
    let status = |path: &str, cookie: &str| {
        let mut headers = CURL.to_vec();
        headers.push(("cookie", cookie));
        client.get(path, &headers).unwrap().status
    };
    let cheap = pay("/cheap", "Max-Age=600;");
    assert_eq!(status("/cheap", &cheap), 200);
    assert_eq!(status("/", &cheap), 403, "a clearance for less work than is asked");
    let strict = pay("/", "Max-Age=7200;");
    assert_eq!(status("/", &strict), 200);
    assert_eq!(status("/cheap", &strict), 200, "a clearance for more work than is asked");
}

#[test]
fn a_restart_keeps_clearances_and_lets_no_puzzle_be_redeemed_again() {
    let key = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("challenge-{}.key", std::process::id()));
    fs::write(&key, "5a".repeat(32)).unwrap();
    let settings = format!("[challenge]\nkey_file = \"{}\"", key.display());
    let mut rig = Rig::start_with(GUARDED, &settings, usual_origin);
    let client = rig.client();
    let solution = Puzzle::of(&client.get("/", CURL).unwrap()).solution();
    let cookie = clearance(&redeem(&client, &solution));
    rig.gateway.terminate();
    let config = rig.folder.join("portcullis.toml");
    rig.gateway = Gateway::start(
        Path::new(env!("CARGO_BIN_EXE_portcullis")),
        &["run", "--config", config.to_str().unwrap()],
        &ReadyCheck::http(rig.admin, "/ready"),
    );
    fs::remove_file(&key).unwrap();
    assert_eq!(get_with(&client, &cookie).status, 200, "the key of clearances is kept");
    let again = redeem(&client, &solution);
    assert_eq!((again.status, again.header("set-cookie")), (403, None));
    assert_eq!(again.json()["code"], "unknown-key");
}

/// TecharoHQ/anubis#1003: one solved challenge minted many tokens.
#[test]
fn a_solution_is_redeemed_exactly_once_by_a_hundred_at_once() {
    let rig = Rig::start(GUARDED);
    let client = rig.client();
    let body = Puzzle::of(&client.get("/", CURL).unwrap()).solution();
    let cookies = Mutex::new(HashSet::new());
    let codes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let answer = redeem(&client, &body);
                match answer.status {
                    200..300 => drop(cookies.lock().unwrap().insert(clearance(&answer))),
                    _ => codes.lock().unwrap().push(answer.json()["code"].as_str().unwrap().to_owned()),
                }
            });
        }
    });
    assert_eq!(cookies.lock().unwrap().len(), 1);
    let codes = codes.into_inner().unwrap();
    assert_eq!(codes, vec!["spent".to_owned(); 99]);
}

/// CVE-2025-24369: the server believed what the client said of the work.
#[test]
fn cve_2025_24369_only_the_asked_work_is_taken() {
    let rig = Rig::start(GUARDED);
    let client = rig.client();
    let fresh = || Puzzle::of(&client.get("/", CURL).unwrap());
    let with_nonces = |puzzle: &Puzzle, nonces: &[u32]| format!("solution={}.{}", puzzle.token, encode_nonces(nonces));
    let puzzle = fresh();
    let good = solve(&puzzle.seed, puzzle.strength);
    let easier = solve(&puzzle.seed, Strength::new(1, puzzle.strength.count()).unwrap());
    let mut long = good.clone();
    long.push(0);
    let mut twisted = good.clone();
    twisted.rotate_left(1);
    let solved = puzzle.solution();
    for (what, body) in [
        ("no work at all", with_nonces(&puzzle, &vec![0; good.len()])),
        ("work of lower difficulty", with_nonces(&puzzle, &easier)),
        ("a part missing", with_nonces(&puzzle, &good[1..])),
        ("no parts", with_nonces(&puzzle, &[])),
        ("a part too many", with_nonces(&puzzle, &long)),
        ("parts in another order", with_nonces(&puzzle, &twisted)),
        ("another puzzle's work", with_nonces(&fresh(), &good)),
        ("a lowered difficulty beside it", format!("difficulty_bits=1&{}", with_nonces(&puzzle, &easier))),
        ("a lowered difficulty behind it", format!("{}&difficulty_bits=1", with_nonces(&puzzle, &easier))),
        ("no parts asked for beside it", format!("count=0&{}", with_nonces(&puzzle, &[]))),
        ("a second solution beside it", format!("solution=&{solved}")),
        ("half a nonce", solved.chars().take(solved.len() - 3).collect()),
        ("nothing", String::new()),
        ("a megabyte", format!("solution={}", "A".repeat(1 << 20))),
        (
            "another token",
            format!("solution={}x.{}", puzzle.token.chars().skip(1).collect::<String>(), encode_nonces(&good)),
        ),
    ] {
        let answer = client.connect().unwrap().request("POST", REDEEM, CURL, body.as_bytes());
        let Ok(answer) = answer else {
            assert_eq!(what, "a megabyte", "only that may be cut off");
            continue;
        };
        assert!((400..500).contains(&answer.status), "{what}: {}", answer.status);
        assert_eq!(answer.header("set-cookie"), None, "{what}");
    }
    assert_eq!(redeem(&client, &solved).status / 100, 2, "the right work is still taken");
}

/// GHSA-jhjj-2g64-px7c: the page sends a browser nowhere but to a path of its own site.
#[test]
fn the_page_returns_to_its_own_site_only() {
    let rig = Rig::start(GUARDED);
    for target in [
        "//evil.example/",
        "/\\evil.example",
        "/x/..//evil.example",
        "/%5cevil.example",
        "/%2f%2fevil.example",
        "/a?next=javascript:alert(1)",
    ] {
        let mut connection = rig.client().connect().unwrap();
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: text/html\r\n\r\n"
        );
        let answer = connection.send_raw(head.as_bytes()).unwrap();
        let page = answer.text();
        for end in ["=\"//", "=\"/\\", "=\"javascript:", "=\"http"] {
            assert!(!page.contains(end), "{target} is in the page");
        }
        if answer.status == 403 {
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        }
    }
}

#[test]
fn a_challenge_is_kept_by_no_cache_and_reflects_nothing() {
    let rig = Rig::start(GUARDED);
    let script = "\"><script>alert(1)</script>";
    let headers = [
        ("user-agent", "curl/<script>alert(1)"),
        ("accept", "text/html"),
        ("referer", script),
        ("accept-language", script),
    ];
    let answer = rig.client().get("/%22%3E%3Cscript%3Ealert(1)?q=<script>alert(1)</script>", &headers);
    if let Ok(answer) = answer {
        assert!(answer.header("cache-control").unwrap().contains("no-store"));
        assert!(!answer.text().contains("<script>alert"));
    }
    let page = rig.client().get("/?a=b", &headers).unwrap();
    assert_eq!(page.status, 403);
    assert!(page.header("cache-control").unwrap().contains("no-store"));
    assert_eq!(page.header("set-cookie"), None);
    assert!(!page.text().contains("<script>alert"));
    assert!(page.body.len() < 30 * 1024, "{} bytes", page.body.len());
}

/// A person's browser meets the page, solves it without being asked for anything, and is at the origin.
#[test]
fn a_real_browser_solves_the_page_and_reaches_the_origin() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
    else {
        eprintln!("skipped: no Chromium is installed");
        return;
    };
    // Every current Chromium says that it is headless; that alone is enough for this route.
    let rules = GUARDED.replace("difficulty_bits = 6, count = 8", "difficulty_bits = 12, count = 60");
    let rig = Rig::start_with(&rules, "", |_| {
        portcullis_testkit::Answer::ok("<!doctype html><title>through</title><p id=t>the origin's own page")
            .header("content-type", "text/html")
    });
    let profile = rig.folder.join("profile");
    let url = format!("http://{}/shop?item=1", rig.plain);
    let mut running = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--remote-debugging-port=0", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(&url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Browser)
        .unwrap();
    let arrived = || rig.origin.requests().iter().any(|request| request.target == "/shop?item=1");
    portcullis_testkit::wait_until("the browser to reach the origin", Duration::from_secs(60), arrived);
    assert!(running.0.try_wait().unwrap().is_none(), "the browser is still open");
    rig.await_count("portcullis_challenges_total", &[("outcome", "solved")], 1.0);
}

/// A browser that ends with its test.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
