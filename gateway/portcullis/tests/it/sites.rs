//! Sites that are not proxied: the widget's requests and the backend's calls, at the running gateway.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use portcullis_challenge::{Seed, Strength, encode_nonces, solve};
use portcullis_testkit::{Client, Gateway as Program, RawResponse, ReadyCheck, free_port, run_to_end, wait_until};
use serde_json::Value;

use crate::OPEN;
use crate::rig::{Rig, scratch_folder, usual_origin};

const PATHS: &str = "/.well-known/portcullis/site/";
const SHOP: &str = "https://shop.example";
const SECRET: &str = "5ec2e700000000000000000000000000shop";
const BLOG_SECRET: &str = "5ec2e700000000000000000000000000blog";
const TRIAL_SECRET: &str = "5ec2e70000000000000000000000000trial";

/// What a current Chromium sends with the widget's requests, apart from the origin.
const WIDGET: &[(&str, &str)] = &[
    ("sec-ch-ua-platform", "\"Linux\""),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\""),
    ("content-type", "application/x-www-form-urlencoded"),
    ("sec-ch-ua-mobile", "?0"),
    ("accept", "*/*"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9"),
];

/// Three sites: one that is for use, another, and one in monitor.
const SITES: &str = r#"
[[site]]
name = "shop"
key = "pk_shop"
secret_file = "shop.secret"
origins = ["https://shop.example", "https://*.shop.example"]
testing_origins = ["http://localhost:*"]
preset = "relaxed"
route = "form"

[[site]]
name = "blog"
key = "pk_blog"
secret_file = "blog.secret"
origins = ["https://blog.example"]
preset = "relaxed"
monthly_allowance = 1

[[site]]
name = "trial"
key = "pk_trial"
secret_file = "trial.secret"
origins = ["https://shop.example"]
preset = "relaxed"
mode = "monitor"
route = "form"
"#;

const RULES: &str = r#"
[[route]]
name = "form"
hosts = ["www.shop.example"]
origin = "app"
filters = { vpn = "block", abuser = "block" }

[[route.rule]]
name = "nobody from there"
when = { ip = ["192.0.2.66"] }
action = "block"

[[route.rule]]
name = "the office"
when = { ip = ["11.1.1.9"] }
action = "allow"

[[route]]
name = "all"
paths = ["/{*rest}", "/"]
origin = "app"
# The bodies of this route are read before its requests go on; those of widgets and backends are not among them.
identify = { user = "form:site", account = "form:secret" }
"#;

/// A gateway with sites, whose file stands in a folder of its own.
struct Sites {
    rig: Rig,
    folder: PathBuf,
}

impl Sites {
    fn start() -> Self {
        Self::start_with(SITES)
    }

    fn start_with(sites: &str) -> Self {
        Self::start_without(sites, "nothing")
    }

    /// The same without one of the files, which is gone before the gateway starts.
    fn start_without(sites: &str, gone: &str) -> Self {
        let folder = scratch_folder();
        for (name, text) in [
            ("sites.toml", sites),
            ("shop.secret", SECRET),
            ("blog.secret", BLOG_SECRET),
            ("trial.secret", TRIAL_SECRET),
            ("vpn.txt", "11.1.1.0/24\n"),
            ("abuser.txt", "11.2.2.0/24\n"),
        ] {
            if name != gone {
                fs::write(folder.join(name), text).unwrap();
            }
        }
        let at = |name: &str| folder.join(name).display().to_string();
        let feed = |class: &str| {
            format!(
                "[[intel.feed]]\nname = \"{class}\"\npath = \"{}\"\nformat = \"text\"\nclass = \"{class}\"\n",
                at(&format!("{class}.txt"))
            )
        };
        let settings = format!(
            "[sites]\nfile = \"{}\"\nhosts = [\"challenge.shop.example\"]\n{}{}",
            at("sites.toml"),
            feed("vpn"),
            feed("abuser")
        );
        Self { rig: Rig::start_with(RULES, &settings, usual_origin), folder }
    }

    fn write_sites(&self, sites: &str) {
        let new = self.folder.join(".new");
        fs::write(&new, sites).unwrap();
        fs::rename(new, self.folder.join("sites.toml")).unwrap();
    }

    /// Solves a widget's challenge, and gives the response.
    fn response(&self, key: &str, origin: &str) -> String {
        let client = self.rig.client();
        let redeemed = post(&client, "redeem", origin, &self.solution(&client, key, origin));
        assert_eq!(redeemed.status, 200, "{}", redeemed.text());
        assert_eq!(redeemed.json()["expires_in_secs"], 300);
        redeemed.json()["response"].as_str().unwrap().to_owned()
    }

    /// The body of a redeem, solved.
    fn solution(&self, client: &Client, key: &str, origin: &str) -> String {
        let issued = post(client, "challenge", origin, &format!("site={key}"));
        assert_eq!(issued.status, 200, "{}", issued.text());
        assert_eq!(issued.header("access-control-allow-origin"), Some(origin));
        solution(key, &issued.json())
    }

    fn verify(&self, body: &str) -> Value {
        verify_by(&self.rig.client(), body)
    }

    fn usage(&self, site: &str) -> Value {
        let args = ["sites", "usage", "--format", "json", "--admin", &self.rig.admin.to_string()];
        let output = run_to_end(Path::new(env!("CARGO_BIN_EXE_portcullis")), &args, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.find(|line| line["site"] == site).unwrap()
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn solution(key: &str, puzzle: &Value) -> String {
    let number = |name: &str| puzzle[name].as_u64().unwrap();
    let strength = Strength::new(number("difficulty_bits").try_into().unwrap(), number("count").try_into().unwrap());
    let seed = Seed::from_hex(puzzle["seed"].as_str().unwrap()).unwrap();
    let nonces = encode_nonces(&solve(&seed, strength.unwrap()));
    format!("site={key}&solution={}.{nonces}&evidence=%7B%7D", puzzle["token"].as_str().unwrap())
}

fn post(client: &Client, path: &str, origin: &str, body: &str) -> RawResponse {
    let mut headers = WIDGET.to_vec();
    if !origin.is_empty() {
        headers.push(("origin", origin));
    }
    client.connect().unwrap().request("POST", &format!("{PATHS}{path}"), &headers, body.as_bytes()).unwrap()
}

fn verify_by(client: &Client, body: &str) -> Value {
    let kind = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
    let headers = [("user-agent", "python-requests/2.32.3"), ("accept", "*/*"), ("content-type", kind)];
    let answer =
        client.connect().unwrap().request("POST", &format!("{PATHS}siteverify"), &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

fn error_of(answer: &Value) -> &str {
    assert_eq!((&answer["success"], &answer["verified"]), (&Value::Bool(false), &Value::Bool(false)), "{answer}");
    answer["error-codes"][0].as_str().unwrap_or("none")
}

#[test]
fn a_solved_challenge_is_verified_once_by_the_sites_own_backend() {
    let sites = Sites::start();
    let first = sites.response("pk_shop", SHOP);
    assert_eq!(error_of(&sites.verify(&format!("secret={BLOG_SECRET}&response={first}"))), "invalid-input-response");
    assert_eq!(error_of(&sites.verify(&format!("secret={SECRET}x&response={first}"))), "invalid-input-secret");
    assert_eq!(
        error_of(&sites.verify(&format!("secret={SECRET}&response={first}&sitekey=pk_blog"))),
        "invalid-input-response"
    );
    let good = sites.verify(&format!("secret={SECRET}&response={first}&remoteip=192.0.2.7&sitekey=pk_shop"));
    assert_eq!((&good["success"], &good["status"]), (&Value::Bool(true), &"API.USER_VERIFIED".into()), "{good}");
    assert_eq!((&good["hostname"], &good["error-codes"]), (&"shop.example".into(), &Value::Array(Vec::new())));
    assert!(good["challenge_ts"].as_str().unwrap().ends_with('Z') && good["score"].is_number(), "{good}");
    assert_eq!(error_of(&sites.verify(&format!("secret={SECRET}&response={first}"))), "timeout-or-duplicate");
    // As Prosopo's clients ask, and from a page below the host.
    let second = sites.response("pk_shop", "https://www.shop.example");
    let good = sites.verify(&format!(r#"{{"secret":"{SECRET}","token":"{second}","ip":"192.0.2.7"}}"#));
    assert_eq!((&good["verified"], &good["hostname"]), (&Value::Bool(true), &"www.shop.example".into()), "{good}");
    let usage = sites.usage("shop");
    assert_eq!((&usage["solved"], &usage["counted"], &usage["siteverify_calls"]), (&2.into(), &2.into(), &4.into()));
    let records = sites.rig.audit(9);
    let metrics = sites.rig.metrics();
    let value = |name: &str, outcome: &str| metrics.value(name, &[("site", "shop"), ("outcome", outcome)]);
    assert_eq!(value("portcullis_site_challenges_total", "shown"), Some(2.0));
    assert_eq!(value("portcullis_site_challenges_total", "solved"), Some(2.0));
    assert_eq!(value("portcullis_siteverify_total", "verified"), Some(2.0));
    assert_eq!(value("portcullis_siteverify_total", "timeout-or-duplicate"), Some(1.0));
    let events: Vec<&str> = records.iter().filter_map(|record| record["site"]["event"].as_str()).collect();
    assert!(events.contains(&"shown") && events.contains(&"solved") && events.contains(&"verified"), "{events:?}");
    assert!(!fs::read_to_string(sites.rig.folder.join("audit.jsonl")).unwrap().contains("5ec2e7"), "no secret is told");
}

#[test]
fn a_puzzle_is_for_pages_of_the_sites_own_origins() {
    let sites = Sites::start();
    let client = sites.rig.client();
    for (key, origin, code) in [
        ("pk_other", SHOP, "site-key-unknown"),
        ("", SHOP, "site-key-unknown"),
        ("pk_shop", "https://evil.example", "origin-not-allowed"),
        ("pk_shop", "http://shop.example", "origin-not-allowed"),
        ("pk_shop", "https://shop.example.evil.example", "origin-not-allowed"),
        ("pk_shop", "null", "origin-not-allowed"),
        ("pk_shop", "", "origin-missing"),
        ("pk_blog", SHOP, "origin-not-allowed"),
    ] {
        for path in ["challenge", "redeem"] {
            let refused = post(&client, path, origin, &format!("site={key}&solution=a.b"));
            assert_eq!((refused.status, &refused.json()["code"]), (403, &code.into()), "{key} {origin}");
            assert_eq!(refused.header("access-control-allow-origin"), None, "{key} {origin}");
            assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        }
    }
    let allowed = post(&client, "challenge", "http://localhost:5173", "site=pk_shop");
    assert_eq!(allowed.header("access-control-allow-origin"), Some("http://localhost:5173"));
    assert_eq!((allowed.header("vary"), allowed.header("access-control-allow-credentials")), (Some("origin"), None));
    let mut connection = client.connect().unwrap();
    assert_eq!(connection.get(&format!("{PATHS}challenge"), WIDGET).unwrap().status, 405);
}

#[test]
fn a_solution_is_worth_nothing_to_another_site_or_a_second_time() {
    let sites = Sites::start();
    let client = sites.rig.client();
    let refused = |body: &str, status: u16, code: &str| {
        let answer = post(&client, "redeem", SHOP, body);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()), "{body:.60}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(SHOP), "the page may read why");
    };
    let trial = sites.solution(&client, "pk_trial", SHOP);
    refused(&trial.replace("pk_trial", "pk_shop"), 403, "other-binding");
    let good = sites.solution(&client, "pk_shop", SHOP);
    let (head, _) = good.split_once("&evidence").unwrap();
    refused(&format!("{}AAAA", head.get(..head.len() - 4).unwrap()), 403, "unsolved");
    refused(&format!("{}AAAA", head.get(..head.len() - 4).unwrap()), 403, "unsolved");
    refused("site=pk_shop&solution=a.b", 400, "malformed");
    refused("site=pk_shop&wait=a.b", 400, "malformed");
    let from_elsewhere = post(&sites.rig.client_of("192.0.2.200"), "redeem", SHOP, &good);
    assert_eq!((from_elsewhere.status, &from_elsewhere.json()["code"]), (403, &"other-binding".into()));
    assert_eq!(post(&client, "redeem", SHOP, &good).status, 200);
    refused(&good, 403, "spent");
    let usage = sites.usage("shop");
    assert_eq!((&usage["solved"], &usage["failed_redeems"]), (&1.into(), &1.into()), "each counts once: {usage}");
}

#[test]
fn a_response_is_verified_exactly_once_by_a_hundred_calls_at_once() {
    let sites = Sites::start();
    let body = format!("secret={SECRET}&response={}", sites.response("pk_shop", SHOP));
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| answers.lock().unwrap().push(sites.verify(&body)));
        }
    });
    let answers = answers.into_inner().unwrap();
    let good = answers.iter().filter(|answer| answer["success"] == true).count();
    let spent = answers.iter().filter(|answer| answer["error-codes"][0] == "timeout-or-duplicate").count();
    assert_eq!((good, spent), (1, 99));
}

#[test]
fn an_allowance_that_is_used_up_outlives_a_restart_and_is_not_for_trials() {
    let mut sites = Sites::start();
    const BLOG: &str = "https://blog.example";
    let response = sites.response("pk_blog", BLOG);
    let client = sites.rig.client();
    let ask = |client: &Client| post(client, "challenge", BLOG, "site=pk_blog");
    let refused = ask(&client);
    assert_eq!((refused.status, &refused.json()["code"]), (403, &"allowance-used-up".into()));
    assert_eq!(refused.header("access-control-allow-origin"), Some(BLOG), "the page may read why");
    assert_eq!(
        sites.verify(&format!("secret={BLOG_SECRET}&response={response}"))["success"],
        true,
        "what was solved counts"
    );
    sites.response("pk_shop", "http://localhost:3000");
    assert_eq!(sites.usage("shop")["counted"], 0, "where the widget is tried nothing is counted");
    sites.rig.restart(|folder| assert!(folder.join("state/sites.usage").is_file()));
    assert_eq!(ask(&sites.rig.client()).json()["code"], "allowance-used-up");
    let usage = sites.usage("blog");
    assert_eq!((&usage["solved"], &usage["allowance"], &usage["siteverify_calls"]), (&1.into(), &1.into(), &1.into()));
    let stale = sites.verify(&format!("secret={BLOG_SECRET}&response={response}"));
    assert_eq!(error_of(&stale), "invalid-input-response", "no response outlives the process that knows what was used");
    sites.rig.restart(|folder| fs::write(folder.join("state/sites.usage"), "{").unwrap());
    assert!(
        sites.rig.folder.join("state/sites.usage.refused").is_file(),
        "what cannot be read is kept to be looked at"
    );
    assert_eq!(ask(&sites.rig.client()).status, 200);
}

#[test]
fn nobody_uses_up_an_allowance_without_working() {
    let sites = Sites::start();
    let client = sites.rig.client();
    for _ in 0..5 {
        let asked = post(&client, "challenge", SHOP, "site=pk_shop");
        let puzzle: Value = asked.json();
        let undone = format!("site=pk_shop&solution={}.AAAA", puzzle["token"].as_str().unwrap());
        assert_eq!(post(&client, "redeem", SHOP, &undone).json()["code"], "unsolved");
    }
    let usage = sites.usage("shop");
    assert_eq!((&usage["failed_redeems"], &usage["counted"]), (&1.into(), &1.into()), "{usage}");
}

#[test]
fn filters_and_rules_say_no_before_a_puzzle_and_again_at_siteverify() {
    let sites = Sites::start();
    let asked =
        |visitor: &str, key: &str| post(&sites.rig.client_of(visitor), "challenge", SHOP, &format!("site={key}"));
    for (visitor, key, code) in [
        ("11.1.1.7", "pk_shop", Some("API.VPN_BLOCKED")),
        ("11.1.1.7", "pk_shop", Some("API.VPN_BLOCKED")),
        ("11.2.2.7", "pk_shop", Some("API.ABUSER_BLOCKED")),
        ("192.0.2.66", "pk_shop", Some("API.RULE_BLOCKED")),
        ("11.1.1.9", "pk_shop", None),
        ("192.0.2.7", "pk_shop", None),
        ("11.1.1.7", "pk_trial", None),
    ] {
        let answer = asked(visitor, key);
        assert_eq!(answer.header("access-control-allow-origin"), Some(SHOP));
        match code {
            Some(code) => assert_eq!((answer.status, &answer.json()["code"]), (403, &code.into()), "{visitor}"),
            None => assert_eq!(answer.status, 200, "{visitor} {key}: {}", answer.text()),
        }
    }
    let blocked = sites.usage("shop");
    assert_eq!(blocked["enforced_blocks"], 3, "a visitor who asks again is counted once: {blocked}");

    let call = |secret: &str, key: &str, ip: &str| {
        sites.verify(&format!("secret={secret}&response={}{ip}", sites.response(key, SHOP)))
    };
    for (secret, key, ip, success, status) in [
        (SECRET, "pk_shop", "&remoteip=11.1.1.7", false, "API.VPN_BLOCKED"),
        (SECRET, "pk_shop", "&remoteip=11.2.2.7:4711", false, "API.ABUSER_BLOCKED"),
        (SECRET, "pk_shop", "&ip=192.0.2.66", false, "API.RULE_BLOCKED"),
        (SECRET, "pk_shop", "&remoteip=11.1.1.9", true, "API.USER_VERIFIED"),
        (SECRET, "pk_shop", "&remoteip=unknown", true, "API.USER_VERIFIED"),
        (SECRET, "pk_shop", "", true, "API.USER_VERIFIED"),
        (TRIAL_SECRET, "pk_trial", "&remoteip=11.1.1.7", true, "API.VPN_BLOCKED"),
    ] {
        let answer = call(secret, key, ip);
        assert_eq!((&answer["success"], &answer["status"]), (&success.into(), &status.into()), "{ip}: {answer}");
    }
    assert_eq!(sites.usage("shop")["enforced_blocks"], 6);
    assert_eq!(sites.usage("trial")["enforced_blocks"], 0, "monitor blocks nothing");
    // The filters do not wait for the response.
    let bad = sites.verify(&format!("secret={SECRET}&response=x&remoteip=11.1.1.7"));
    assert_eq!((&bad["success"], &bad["status"]), (&false.into(), &"API.VPN_BLOCKED".into()));
    assert_eq!(
        error_of(&sites.verify(&format!("secret={TRIAL_SECRET}&response=x&remoteip=11.1.1.7"))),
        "invalid-input-response"
    );
    // Without an address only one thing is held against who calls.
    for (caller, success, status) in
        [("11.1.1.7", true, "API.USER_VERIFIED"), ("11.2.2.7", false, "API.ABUSER_BLOCKED")]
    {
        let body = format!("secret={SECRET}&response={}", sites.response("pk_shop", SHOP));
        let answer = verify_by(&sites.rig.client_of(caller), &body);
        assert_eq!((&answer["success"], &answer["status"]), (&success.into(), &status.into()), "{caller}: {answer}");
    }
}

#[test]
fn a_filter_without_its_data_lets_visitors_pass_and_the_others_go_on() {
    let sites = Sites::start_without(SITES, "vpn.txt");
    for (ip, success, status) in [
        ("11.1.1.7", true, "API.USER_VERIFIED"),
        ("11.2.2.7", false, "API.ABUSER_BLOCKED"),
        ("192.0.2.66", false, "API.RULE_BLOCKED"),
    ] {
        let answer =
            sites.verify(&format!("secret={SECRET}&response={}&remoteip={ip}", sites.response("pk_shop", SHOP)));
        assert_eq!((&answer["success"], &answer["status"]), (&success.into(), &status.into()), "{ip}: {answer}");
    }
    let asked = post(&sites.rig.client_of("11.1.1.7"), "challenge", SHOP, "site=pk_shop");
    assert_eq!(asked.status, 200, "{}", asked.text());
}

/// Moves the time of a gateway that runs.
struct Time(PathBuf);

impl Time {
    /// Runs the gateway anew with a clock that can be moved; none where Debian's `faketime` is not installed.
    fn of(sites: &mut Sites) -> Option<Self> {
        let folders = fs::read_dir("/usr/lib").ok()?.flatten();
        let library = folders.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
        let Some(library) = library else {
            eprintln!("skipped: faketime is not installed");
            return None;
        };
        let time = Self(sites.folder.join("time"));
        time.set(0);
        sites.rig.restart_with(&[
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", time.0.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
        ]);
        Some(time)
    }

    /// So many seconds after it was started, and as long as the test has taken.
    fn set(&self, secs: u64) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("+{secs}\n")).unwrap();
        fs::rename(new, &self.0).unwrap();
    }
}

#[test]
fn responses_last_five_minutes_puzzles_a_quarter_of_an_hour_and_usage_a_month() {
    let mut sites = Sites::start();
    let Some(time) = Time::of(&mut sites) else { return };
    let client = sites.rig.client();
    let [used, late] = [(); 2].map(|()| sites.response("pk_shop", SHOP));
    let [solved, stale] = [(); 2].map(|()| sites.solution(&client, "pk_shop", SHOP));
    sites.response("pk_blog", "https://blog.example");
    let verify = |response: &str| sites.verify(&format!("secret={SECRET}&response={response}"));
    time.set(280);
    assert_eq!(verify(&used)["success"], true);
    time.set(301);
    assert_eq!(error_of(&verify(&late)), "timeout-or-duplicate");
    let redeemed = post(&client, "redeem", SHOP, &solved);
    assert_eq!(redeemed.status, 200, "{}", redeemed.text());
    time.set(901);
    let refused = post(&client, "redeem", SHOP, &stale);
    assert_eq!((refused.status, &refused.json()["code"]), (403, &"expired".into()));
    let usage = sites.usage("shop");
    assert_eq!((&usage["solved"], &usage["failed_redeems"]), (&3.into(), &1.into()), "{usage}");
    let ask = || post(&client, "challenge", "https://blog.example", "site=pk_blog");
    assert_eq!(ask().json()["code"], "allowance-used-up");
    time.set(32 * 24 * 60 * 60);
    assert_eq!(ask().status, 200, "the next month has an allowance of its own");
    let next = sites.usage("shop");
    assert!(next["counted"] == 0 && next["siteverify_calls"] == 0 && next["month"] != usage["month"], "{next}");
}

#[test]
fn a_megabyte_is_refused_and_the_next_call_is_answered() {
    let sites = Sites::start();
    let client = sites.rig.client();
    let long = "A".repeat(1 << 20);
    for (path, body) in [
        ("challenge", format!("site={long}")),
        ("redeem", format!("site=pk_shop&solution={long}")),
        ("redeem", format!("site=pk_shop&solution=a.b&evidence={long}")),
        ("siteverify", format!("secret={SECRET}&response={long}")),
        ("siteverify", "[".repeat(1 << 20)),
    ] {
        let mut headers = WIDGET.to_vec();
        headers.push(("origin", SHOP));
        let answer = client.connect().unwrap().request("POST", &format!("{PATHS}{path}"), &headers, body.as_bytes());
        // It may be cut off before it was read to its end.
        if let Ok(answer) = answer {
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        }
    }
    for (query, status) in [("?secret=s", 400), ("", 200)] {
        let path = format!("{PATHS}siteverify{query}");
        let answer = client.connect().unwrap().request("POST", &path, &[], b"secret=s&response=r").unwrap();
        assert_eq!(answer.status, status, "{query}");
    }
    assert_eq!(sites.verify(&format!("secret={SECRET}&response={}", sites.response("pk_shop", SHOP)))["success"], true);
}

#[test]
fn the_paths_are_short_on_the_gateways_own_hosts_and_the_origins_elsewhere() {
    let sites = Sites::start();
    let own = sites.rig.client().host("challenge.shop.example");
    let widget = own.get("/widget.js?lang=de", &[]).unwrap();
    assert_eq!((widget.status, widget.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert_eq!(widget.header("cross-origin-resource-policy"), Some("cross-origin"));
    assert!(widget.text().contains("portcullis-widget") && widget.text().contains("\"de\""));
    assert!(widget.body.len() < 20 * 1024, "{} bytes", widget.body.len());
    assert_eq!(sites.rig.client().get(&format!("{PATHS}widget.js"), &[]).unwrap().status, 200);
    for path in ["/siteverify", "/recaptcha/api/siteverify", "/turnstile/v0/siteverify"] {
        let answer = own.connect().unwrap().request("POST", path, &[], b"response=r").unwrap();
        assert_eq!(error_of(&answer.json()), "missing-input-secret", "{path}");
        let elsewhere = sites.rig.client().connect().unwrap().request("POST", path, &[], b"response=r").unwrap();
        assert!(!elsewhere.text().contains("error-codes"), "{path} is the origin's on its own host");
    }
}

#[test]
fn sites_reload_whole_or_not_at_all() {
    let sites = Sites::start();
    let reloads = |result: &str| {
        let labels = [("what", "sites"), ("result", result)];
        sites.rig.metrics().value("portcullis_config_reloads_total", &labels).unwrap_or(0.0)
    };
    let replace = |text: &str, result: &str| {
        let before = reloads(result);
        sites.write_sites(text);
        wait_until("a reload", Duration::from_secs(20), || reloads(result) > before);
    };
    let response = sites.response("pk_shop", SHOP);
    wait_until("the watch", Duration::from_secs(20), || reloads("unchanged") > 0.0);
    replace(&SITES.replace("pk_shop", "pk shop"), "refused");
    assert!(sites.rig.gateway.stderr().contains("is not a public key"), "{}", sites.rig.gateway);
    sites.response("pk_shop", SHOP);
    replace(&SITES.replace("pk_shop", "pk_new"), "applied");
    let client = sites.rig.client();
    assert_eq!(post(&client, "challenge", SHOP, "site=pk_shop").json()["code"], "site-key-unknown");
    sites.response("pk_new", SHOP);
    let verified = sites.verify(&format!("secret={SECRET}&response={response}"));
    assert_eq!(verified["success"], true, "tokens are bound to the internal name, and a key may be replaced");
    assert_eq!(sites.usage("shop")["solved"], 3, "a reload forgets no count");
    fs::write(sites.folder.join("shop.secret"), "5ec2e700000000000000000000000other\n").unwrap();
    let before = reloads("applied");
    sites.rig.gateway.reload();
    wait_until("a reload", Duration::from_secs(20), || reloads("applied") > before);
    assert_eq!(error_of(&sites.verify(&format!("secret={SECRET}&response=x"))), "invalid-input-secret");
}

#[test]
fn check_shows_the_faults_of_sites_and_run_does_not_start_with_them() {
    let folder = scratch_folder();
    fs::create_dir_all(folder.join("rules")).unwrap();
    fs::write(folder.join("rules/rules.toml"), OPEN).unwrap();
    fs::write(folder.join("sites.toml"), "[[site]]\nname = \"shop\"\norigin = [\"shop.example\"]\nroute = \"al\"\n")
        .unwrap();
    fs::write(
        folder.join("portcullis.toml"),
        "rules = \"rules\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n[[origin]]\nname = \"app\"\n\
         servers = [\"127.0.0.1:1\"]\n[sites]\nfile = \"sites.toml\"\n",
    )
    .unwrap();
    let config = folder.join("portcullis.toml");
    for command in ["check", "run"] {
        let output = run_to_end(
            Path::new(env!("CARGO_BIN_EXE_portcullis")),
            &[command, "--config", config.to_str().unwrap()],
            b"",
        );
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{command}");
        for words in ["`key` is missing", "did you mean `origins`?", "did you mean `all`?", "sites.toml:3:1"] {
            assert!(told.contains(words), "{command}: {told}");
        }
    }
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn the_example_of_a_form_that_is_not_proxied_is_right() {
    let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/siteverify"));
    let folder = scratch_folder();
    fs::create_dir_all(folder.join("rules")).unwrap();
    for name in ["portcullis.toml", "sites.toml", "rules/rules.toml"] {
        fs::copy(example.join(name), folder.join(name)).unwrap();
    }
    fs::write(folder.join("sign-up.secret"), "5a".repeat(32)).unwrap();
    let config = folder.join("portcullis.toml");
    let output =
        run_to_end(Path::new(env!("CARGO_BIN_EXE_portcullis")), &["check", "--config", config.to_str().unwrap()], b"");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 site") && !told.contains("error"), "{told}");
    let _ = fs::remove_dir_all(folder);
}

/// A program that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A form on another origin, open in a browser. Its page sends it, and its backend is a stock client of reCAPTCHA.
struct Form {
    backend: Client,
    _running: (Running, Program),
}

impl Form {
    /// What the backend made of each time that the form was sent.
    fn outcomes(&self) -> Value {
        self.backend.get("/outcomes", &[]).unwrap().json()
    }
}

/// Opens the form. None where something is not installed.
fn form_in(browser: &str, arguments: impl FnOnce(&Path) -> Vec<String>, sites: &Sites) -> Option<Form> {
    let installed = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    // What `.ci/run` installs comes first. A Python of the developer's own may stand before the system's, without its
    // packages.
    let python =
        [concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/siteverify/bin/python3"), "python3", "/usr/bin/python3"]
            .into_iter()
            .find(|python| installed(Command::new(python).args(["-c", "import flask_wtf"])));
    let (Some(python), true) = (python, Command::new(browser).arg("--version").output().is_ok()) else {
        eprintln!("skipped: {browser} or Flask-WTF is not installed");
        return None;
    };
    let (port, form) = (free_port(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/sites/form.py"));
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/siteverify");
    let gateway = format!("http://{}{PATHS}", sites.rig.plain);
    let secret = sites.folder.join("shop.secret").display().to_string();
    let ready = ReadyCheck::http(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "/outcomes");
    let backend = Program::start(
        Path::new(python),
        &[form, example, &port.to_string(), &gateway, "pk_shop", &secret],
        &ready.within(Duration::from_secs(60)),
    );
    let profile = sites.folder.join("profile");
    fs::create_dir_all(&profile).unwrap();
    let mut arguments = arguments(&profile);
    arguments.push(format!("http://localhost:{port}/"));
    let mut browser = Command::new(browser);
    browser.args(arguments).env("HOME", &profile).stdout(Stdio::null()).stderr(Stdio::null());
    let browser = browser.spawn().map(Running).unwrap();
    Some(Form { backend: Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port))), _running: (browser, backend) })
}

/// The form's own origin is where it is in use.
fn with_form() -> Sites {
    let sites = SITES.replacen("\"https://shop.example\"", "\"http://localhost:*\"", 1);
    Sites::start_with(&sites.replacen("testing_origins = [\"http://localhost:*\"]\n", "", 1))
}

fn check_form(sites: &Sites, form: &Form) {
    wait_until("the form to be sent", Duration::from_secs(90), || !form.outcomes()[0].is_null());
    let outcomes = form.outcomes();
    assert_eq!(outcomes[0]["status"], 200, "{outcomes}");
    assert!(outcomes[0]["body"].as_str().unwrap().contains("Welcome, Ann"), "{outcomes}");
    let usage = sites.usage("shop");
    assert_eq!((&usage["solved"], &usage["siteverify_calls"]), (&1.into(), &1.into()), "{usage}");
    let labels = [("site", "shop"), ("outcome", "verified")];
    sites.rig.await_count("portcullis_siteverify_total", &labels, 1.0);
}

fn chromium(profile: &Path) -> Vec<String> {
    let mut arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
        .map(str::to_owned)
        .to_vec();
    // Without it the browser prints the page and ends.
    arguments.push("--remote-debugging-port=0".to_owned());
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments
}

#[test]
fn a_form_of_another_origin_is_solved_in_chromium_and_verified_by_a_stock_client() {
    let sites = with_form();
    if let Some(form) = form_in("chromium", chromium, &sites) {
        check_form(&sites, &form);
    }
}

#[test]
fn a_form_of_an_origin_that_the_site_does_not_name_is_not_sent_in_chromium() {
    let sites = Sites::start_with(&SITES.replacen("testing_origins = [\"http://localhost:*\"]\n", "", 1));
    let Some(form) = form_in("chromium", chromium, &sites) else { return };
    let challenges = |outcome| {
        let labels = [("site", "shop"), ("outcome", outcome)];
        sites.rig.metrics().value("portcullis_site_challenges_total", &labels).unwrap_or(0.0)
    };
    wait_until("the widget to ask", Duration::from_secs(90), || challenges("origin-not-allowed") > 0.0);
    assert_eq!((challenges("shown"), form.outcomes()), (0.0, Value::Array(Vec::new())));
}

#[test]
fn a_form_of_another_origin_is_solved_in_firefox_and_verified_by_a_stock_client() {
    let sites = with_form();
    let arguments = |profile: &Path| {
        ["--headless", "--no-remote", "--profile", profile.to_str().unwrap()].map(str::to_owned).to_vec()
    };
    if let Some(form) = form_in("firefox-esr", arguments, &sites) {
        check_form(&sites, &form);
    }
}
