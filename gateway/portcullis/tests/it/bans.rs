//! Bans by hand, and what of them outlives the process.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use portcullis_testkit::{Client, RawResponse, run_to_end, wait_until};
use serde_json::{Value, json};

use crate::rig::Rig;
use crate::{CURL, OPEN};

/// The route for everything, where callers name themselves.
fn rules() -> String {
    format!("{OPEN}identify = {{ user = \"header:x-user\", api_key = \"header:x-api-key\" }}\n")
}

impl Rig {
    /// Asks the admin listener as a script would.
    fn admin(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> RawResponse {
        let client = Client::new(self.admin).host(&self.admin.to_string());
        client.connect().unwrap().request(method, path, headers, body).unwrap()
    }

    /// Bans over HTTP.
    fn ban(&self, order: &Value) -> RawResponse {
        self.admin("POST", "/bans", &[("portcullis-admin", "1")], order.to_string().as_bytes())
    }

    /// Runs `portcullis ban` against this gateway: the exit status, standard output and standard error.
    fn command(&self, args: &[&str]) -> (i32, String, String) {
        let admin = self.admin.to_string();
        let args = [&["ban"], args, &["--admin", &admin]].concat();
        let output = run_to_end(Path::new(env!("CARGO_BIN_EXE_portcullis")), &args, b"");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    #[track_caller]
    fn commands(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.command(args);
        assert_eq!(code, 0, "{args:?}\n{stdout}{stderr}");
        stdout
    }

    fn status_of(&self, user: &str) -> u16 {
        let mut headers = CURL.to_vec();
        headers.push(("x-user", user));
        self.client().get("/", &headers).unwrap().status
    }

    /// Bans listed over HTTP.
    fn listed(&self) -> Vec<Value> {
        self.admin("GET", "/bans", &[], b"").json()["bans"].as_array().unwrap().clone()
    }
}

#[test]
fn a_user_is_banned_listed_and_freed_by_hand() {
    let rig = Rig::start(&rules());
    let _ = rig.commands(&["list"]);
    assert_eq!(rig.commands(&["list"]), "no bans\n");
    assert_eq!((rig.status_of("ann"), rig.status_of("bob")), (200, 200));

    let said = rig.commands(&["add", "user", "ann", "--for", "1h", "--reason", "sells the key"]);
    assert!(said.starts_with("banned user `ann` until 20") && said.ends_with("Z (for another 1h)\n"), "{said}");
    assert_eq!((rig.status_of("ann"), rig.status_of("bob")), (403, 200));
    let refused = rig.client().get("/", &[CURL, &[("x-user", "ann")]].concat()).unwrap();
    assert_eq!(refused.json()["code"], "API.BANNED");
    assert!(!refused.text().contains("sells the key"), "the reason is for the operators");

    let text = rig.commands(&["list"]);
    let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[1][..3], ["user", "ann", "hand"], "{text}");
    assert!(text.contains("sells the key"), "{text}");
    let line: Value = serde_json::from_str(&rig.commands(&["list", "--format", "json"])).unwrap();
    assert_eq!((&line["kind"], &line["name"], &line["by"]), (&json!("user"), &json!("ann"), &json!("hand")));
    assert!((3590..=3600).contains(&line["remaining_secs"].as_u64().unwrap()), "{line}");

    assert_eq!(rig.commands(&["remove", "user", "ann"]), "lifted the ban on user `ann`\n");
    assert_eq!(rig.status_of("ann"), 200);
    let (code, _, stderr) = rig.command(&["remove", "user", "ann"]);
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        "error: there is no such ban on the user\n  = help: `portcullis ban list` shows those that stand\n"
    );
}

#[test]
fn a_banned_address_or_prefix_is_refused_before_tls() {
    let rig = Rig::start(&rules());
    let client = |last: u8| rig.tls_client(&[]).from_source(std::net::Ipv4Addr::new(127, 0, 0, last).into());
    let refused = || rig.metrics().value("portcullis_connections_refused_total", &[("reason", "address")]).unwrap();
    assert_eq!(client(8).get("/", CURL).unwrap().status, 200);
    // IPv4 mapped into IPv6 is the same address.
    rig.commands(&["add", "address", "::ffff:127.0.0.8", "--for", "30m"]);
    assert!(client(8).get("/", CURL).is_err(), "the connection is closed");
    assert_eq!((client(9).get("/", CURL).unwrap().status, refused()), (200, 1.0));
    rig.commands(&["remove", "address", "127.0.0.8"]);
    assert_eq!(client(8).get("/", CURL).unwrap().status, 200);

    rig.commands(&["add", "prefix", "127.0.0.0/24", "--for", "7d"]);
    assert!(client(8).get("/", CURL).is_err() && client(9).get("/", CURL).is_err());
    assert_eq!(refused(), 3.0);
    let other = rig.tls_client(&[]).from_source(std::net::Ipv4Addr::new(127, 0, 1, 8).into());
    assert_eq!(other.get("/", CURL).unwrap().status, 200, "another prefix");
    let key = rig.listed()[0]["key"].as_str().unwrap().to_owned();
    rig.commands(&["remove", "key", &key]);
    assert_eq!(client(8).get("/", CURL).unwrap().status, 200);
}

#[test]
fn those_who_look_alike_are_banned_by_what_audit_records_say_of_them() {
    let rig = Rig::start(&rules());
    let odd: &[(&str, &str)] = &[("x-odd", "1"), ("user-agent", "curl/8.5.0"), ("accept", "*/*")];
    assert_eq!(rig.client().get("/", odd).unwrap().status, 200);
    let order = rig.audit(1)[0]["header_order"].as_str().unwrap().to_owned();
    let said = rig.commands(&["add", "cohort", &format!("plain/{order}"), "--for", "1h"]);
    assert!(said.contains(&order), "{said}");
    assert_eq!(rig.client_from(9).get("/", odd).unwrap().status, 403, "from any address");
    assert_eq!(rig.client().get("/", CURL).unwrap().status, 200);
    rig.commands(&["remove", "cohort", &format!("plain/{order}")]);
    assert_eq!(rig.client().get("/", odd).unwrap().status, 200);
}

#[test]
fn an_autonomous_system_is_banned_by_hand() {
    let database =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/mmdb/maxmind-test/GeoLite2-ASN-Test.mmdb");
    if !Path::new(database).exists() {
        eprintln!("skipped: {database} is absent");
        return;
    }
    let rig = Rig::start_with(&rules(), &format!("[intel]\nasn = {database:?}\n"), crate::rig::usual_origin);
    assert_eq!(rig.client_of("1.128.0.1").get("/", CURL).unwrap().status, 200);
    rig.commands(&["add", "asn", "as1221", "--for", "1h"]);
    assert_eq!(rig.listed()[0]["name"], "AS1221");
    let refused = rig.client_of("1.128.0.1").get("/", CURL).unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("API.BANNED")));
    assert_eq!(rig.client_of("8.8.8.8").get("/", CURL).unwrap().status, 200);
}

/// A ban ends when it says so, however often it refused meanwhile.
#[test]
fn the_refusals_of_a_ban_by_hand_never_extend_it() {
    let rig = Rig::start(&rules());
    let until = rig.ban(&json!({"kind": "user", "name": "ann", "for_secs": 4})).json()["until"].clone();
    for _ in 0..20 {
        if rig.status_of("ann") == 403
            && let Some(line) = rig.listed().first()
        {
            let times = [&until, &line["until"]].map(|time| time.as_str().unwrap().to_owned());
            // Told to the second, so that one moment may be two when it is read at two others.
            assert!(times[1] <= times[0] || line["remaining_secs"].as_u64().unwrap() <= 4, "{times:?}");
        }
    }
    wait_until("the ban to end while it is being refused", Duration::from_secs(20), || rig.status_of("ann") == 200);
    assert!(rig.listed().is_empty());
}

#[test]
fn a_restart_forgets_no_ban() {
    let rules = format!(
        "{}ban_ttl = \"1h\"\n[[route.rule]]\nname = \"trap\"\nwhen = {{ path = [\"/.env\"] }}\naction = \"ban\"\n",
        rules()
    );
    let mut rig = Rig::start(&rules);
    rig.commands(&["add", "user", "ann", "--for", "1h", "--reason", "ü"]);
    rig.commands(&["add", "address", "127.0.0.7", "--for", "1h"]);
    assert_eq!(rig.ban(&json!({"kind": "user", "name": "bob", "for_secs": 1})).status, 200);
    assert_eq!(rig.client_from(8).get("/.env", CURL).unwrap().status, 403);
    let state = rig.folder.join("state");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    rig.restart(|_| {
        assert_eq!((mode(&state), mode(&state.join("hash.key"))), (0o700, 0o600));
        let snapshot = fs::read(state.join("memory.snapshot")).unwrap();
        assert!(snapshot.starts_with(b"portcull"));
    });
    wait_until("the shortest ban to end", Duration::from_secs(20), || rig.status_of("bob") == 200);
    assert_eq!((rig.status_of("ann"), rig.status_of("eve")), (403, 200));
    assert!(rig.client_from(7).get("/", CURL).is_err() && rig.client_from(8).get("/", CURL).is_err());
    let listed = rig.listed();
    assert_eq!(listed.len(), 3, "{listed:?}");
    let ann = listed.iter().find(|line| line["name"] == "ann").unwrap();
    assert_eq!((&ann["reason"], &ann["kind"]), (&json!("ü"), &json!("user")));
    let trapped = listed.iter().find(|line| line["by"] == "policy").unwrap();
    assert_eq!((&trapped["kind"], trapped.get("name")), (&json!("address"), None));
    let reads = |result| rig.metrics().value("portcullis_snapshot_reads_total", &[("result", result)]);
    assert_eq!((reads("restored"), reads("absent"), reads("refused")), (Some(1.0), Some(0.0), Some(0.0)));
    // A ban of the policy's has no name, and is lifted by that of its address or by its key.
    rig.commands(&["remove", "address", "127.0.0.8"]);
    assert_eq!(rig.client_from(8).get("/", CURL).unwrap().status, 200);
}

/// Who is started in a gateway's place need not wait for its last request.
#[test]
fn a_gateway_that_is_asked_to_end_writes_its_bans_before_its_last_request_is_over() {
    let rules = format!(
        "{}ban_ttl = \"1h\"\n[[route.rule]]\nname = \"trap\"\nwhen = {{ path = [\"/.env\"] }}\naction = \"ban\"\n",
        rules()
    );
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let mut rig = Rig::start_with(&rules, "", move |request| {
        if request.target == "/held" {
            let _ = held.lock().unwrap().recv();
        }
        portcullis_testkit::Answer::ok("hello")
    });
    // Let go of before the origin, which waits for its answers.
    let release = release;
    let snapshot = rig.folder.join("state/memory.snapshot");
    let size = || fs::metadata(&snapshot).map_or(0, |file| file.len());
    wait_until("the first snapshot", Duration::from_secs(20), || size() > 0);
    let empty = size();
    let waiting = rig.client();
    let waiting =
        std::thread::spawn(move || waiting.get("/held", CURL).map(|answer| answer.status).unwrap_or_default());
    wait_until("the request", Duration::from_secs(20), || !rig.origin.requests().is_empty());
    assert_eq!(rig.client_from(8).get("/.env", CURL).unwrap().status, 403);
    rig.gateway.begin_termination();
    wait_until("the ban to be written", Duration::from_secs(20), || size() > empty);
    assert!(!waiting.is_finished());
    release.send(()).unwrap();
    assert_eq!(waiting.join().unwrap(), 200);
    assert!(rig.gateway.wait_exit(Duration::from_secs(30)).success());
}

/// Somebody who bans by hand need not wait for the next minute, nor for a graceful end.
#[test]
fn a_ban_by_hand_outlives_even_a_gateway_that_is_killed() {
    let rig = Rig::start(&rules());
    rig.commands(&["add", "user", "ann", "--for", "1h"]);
    wait_until("the snapshot behind the first", Duration::from_secs(20), || {
        rig.metrics().value("portcullis_snapshot_writes_total", &[("result", "written")]) >= Some(2.0)
    });
    assert!(rig.metrics().value("portcullis_snapshot_bytes", &[]).unwrap() > 50.0);
    let copy = rig.folder.join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["hash.key", "memory.snapshot"] {
        fs::copy(rig.folder.join("state").join(name), copy.join(name)).unwrap();
    }
    let settings = format!("[memory]\nstate = {:?}\n", copy);
    let next = Rig::start_with(&rules(), &settings, crate::rig::usual_origin);
    assert_eq!((next.status_of("ann"), next.status_of("bob")), (403, 200));
}

#[test]
fn a_snapshot_that_is_not_right_is_refused_and_set_aside() {
    let mut rig = Rig::start(&rules());
    rig.commands(&["add", "user", "ann", "--for", "1h"]);
    let state = rig.folder.join("state");
    for change in [
        (|snapshot: &Path, _| {
            let mut bytes = fs::read(snapshot).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(snapshot, bytes).unwrap();
        }) as fn(&Path, &Path),
        |snapshot, _| fs::write(snapshot, "portcull").unwrap(),
        |_, secret| fs::write(secret, "0".repeat(32)).unwrap(),
        |_, secret| fs::write(secret, "not a secret").unwrap(),
    ] {
        rig.commands(&["add", "user", "ann", "--for", "1h"]);
        let mut broken = Vec::new();
        rig.restart(|_| {
            let snapshot = state.join("memory.snapshot");
            change(&snapshot, &state.join("hash.key"));
            broken = fs::read(snapshot).unwrap();
        });
        assert_eq!(rig.status_of("ann"), 200, "it starts empty");
        let refused = rig.metrics().value("portcullis_snapshot_reads_total", &[("result", "refused")]);
        assert_eq!(refused, Some(1.0));
        assert_eq!(fs::read(state.join("memory.snapshot.refused")).unwrap(), broken);
        rig.gateway.wait_for_output("the snapshot is refused and set aside");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_a_warning() {
    let rig = Rig::start_with(&rules(), "[memory]\nstate = \"cert.pem\"\n", crate::rig::usual_origin);
    rig.gateway.wait_for_output("a restart will forget bans and standings");
    rig.commands(&["add", "user", "ann", "--for", "1h"]);
    assert_eq!((rig.status_of("ann"), rig.status_of("bob")), (403, 200));
}

#[test]
fn a_trusted_proxy_is_never_banned() {
    let settings = "[client_address]\ntrusted_proxies = [\"127.0.0.1\", \"2001:db8::7\"]\n";
    let rig = Rig::start_with(&rules(), settings, crate::rig::usual_origin);
    for (kind, name) in [
        ("address", "127.0.0.1"),
        ("address", "::ffff:127.0.0.1"),
        ("prefix", "127.0.0.0/24"),
        ("address", "2001:db8::1"),
        ("prefix", "2001:db8::/56"),
    ] {
        let answer = rig.ban(&json!({"kind": kind, "name": name, "for_secs": 60}));
        assert_eq!(answer.status, 409, "{name}: {}", answer.text());
        assert!(answer.json()["error"].as_str().unwrap().contains("a trusted proxy"), "{}", answer.text());
    }
    assert_eq!(rig.ban(&json!({"kind": "address", "name": "198.51.100.7", "for_secs": 60})).status, 200);
    let behind = |address| rig.client().get("/", &[CURL, &[("x-forwarded-for", address)]].concat()).unwrap().status;
    assert_eq!((behind("198.51.100.7"), behind("198.51.100.8")), (403, 200));
}

/// What an operator can get wrong, and what a web page in an operator's browser can send.
#[test]
fn the_admin_listener_refuses_what_is_wrong_and_what_a_page_could_send() {
    let rig = Rig::start(&rules());
    let own = rig.admin.to_string();
    let may = [("portcullis-admin", "1")];
    let body = br#"{"kind":"user","name":"ann","for_secs":60}"#;
    let large = vec![b' '; 20_000];
    let named = [("host", "evil.example:9090"), ("portcullis-admin", "1")];
    for (method, path, headers, body, status, says) in [
        ("POST", "/bans", &[][..], &body[..], 403, "needs the header `portcullis-admin: 1`"),
        ("POST", "/bans", &[("portcullis-admin", "0")], body, 403, "needs the header"),
        ("DELETE", "/bans/user/ann", &[], b"", 403, "needs the header"),
        ("POST", "/bans", &named, body, 403, "any web page could lead here"),
        ("GET", "/bans", &named, b"", 403, "any web page could lead here"),
        ("OPTIONS", "/bans", &[], b"", 405, "cannot be done here"),
        ("PUT", "/bans", &may, body, 405, "cannot be done here"),
        ("POST", "/bans/user/ann", &may, body, 405, "cannot be done here"),
        ("DELETE", "/bans", &may, b"", 405, "cannot be done here"),
        ("DELETE", "/bans/user", &may, b"", 400, "the name is missing"),
        ("DELETE", "/bans/user/%ff", &may, b"", 400, "no UTF-8"),
        ("DELETE", "/bans/key/1", &may, b"", 400, "32 hexadecimal digits"),
        ("DELETE", "/bans/user/ann", &may, b"", 404, "no such ban"),
        ("GET", "/bans?limit=0", &[], b"", 400, "takes 1 to 10000"),
        ("POST", "/bans", &may, &large, 413, "more than 16384 bytes"),
        ("POST", "/bans", &may, b"kind=user", 400, "the body is no ban"),
        ("POST", "/bans", &may, br#"{"kind":"user","name":"a","for_secs":1,"extra":1}"#, 400, "unknown field `extra`"),
        ("POST", "/bans", &may, br#"{"kind":"user","name":"a"}"#, 400, "either `for_secs`, in seconds, or `until`"),
        ("POST", "/bans", &may, br#"{"kind":"user","name":"a","for_secs":0}"#, 400, "an end in the future"),
        ("POST", "/bans", &may, br#"{"kind":"user","name":"a","until":"soon"}"#, 400, "2030-01-31T12:00:00Z"),
        ("POST", "/bans", &may, br#"{"kind":"user","name":"a\u0000","for_secs":1}"#, 400, "control characters"),
        ("POST", "/bans", &may, br#"{"kind":"user","name":["a"],"for_secs":1}"#, 400, "the body is no ban"),
        (
            "POST",
            "/bans",
            &may,
            br#"{"kind":"prefix","name":"192.0.0.0/16","for_secs":1}"#,
            400,
            "IPv4 by /24 and IPv6 by /56",
        ),
        ("POST", "/bans", &may, br#"{"kind":"asn","name":"ASX","for_secs":1}"#, 400, "AS64500"),
    ] {
        let answer = rig.admin(method, path, headers, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert!(answer.text().contains(says), "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.headers_named("access-control-allow-origin"), Vec::<&str>::new());
    }
    assert!(rig.listed().is_empty(), "nothing was banned");
    assert_eq!(rig.admin("GET", "/bans", &[("host", &own)], b"").status, 200);
    assert_eq!(rig.admin("GET", "/metrics", &[("host", "portcullis.internal")], b"").status, 200);
}

#[test]
fn the_command_line_says_what_is_wrong() {
    let rig = Rig::start(&rules());
    for (args, code, says) in [
        (&["add", "usr", "ann", "--for", "1h"][..], 2, "similar value exists: 'user'"),
        (&["add", "user", "ann"], 2, "--for <TIME>"),
        (&["add", "user", "ann", "--for", "1w"], 2, "as in `1h` or `7d`"),
        (&["add", "prefix", "192.0.2.0/25", "--for", "1h"], 1, "ban `192.0.2.0/24`"),
        (&["add", "user", "ann", "--for", "9999d"], 1, "ten years at most"),
        (&["remove", "country", "Germany"], 1, "as in `DE`"),
    ] {
        let (found, _, stderr) = rig.command(args);
        assert_eq!(found, code, "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
    let config = rig.folder.join("portcullis.toml").display().to_string();
    let binary = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = run_to_end(binary, &["ban", "list", "--config", &config], b"");
    assert_eq!(output.stdout, b"no bans\n", "the settings say where the gateway is");
    let [port] = portcullis_testkit::free_ports::<1>();
    let output = run_to_end(binary, &["ban", "list", "--admin", &format!("127.0.0.1:{port}")], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is it running?"));
}
