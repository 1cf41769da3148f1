//! The commands of the program, run as a person runs them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod captures;
mod rules;
mod scenarios;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use portcullis_testkit::{Answer, Client, Gateway, Origin, ReadyCheck, free_ports, run_to_end, scrape};
use serde_json::Value;

/// What a command did.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str]) -> Ran {
    run_with(args, b"")
}

fn run_with(args: &[&str], stdin: &[u8]) -> Ran {
    let Output { status, stdout, stderr } = run_to_end(Path::new(env!("CARGO_BIN_EXE_portcullis")), args, stdin);
    Ran {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

impl Ran {
    #[track_caller]
    fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "standard output:\n{}standard error:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            let said = self.stdout.contains(word) || self.stderr.contains(word);
            assert!(said, "no {word:?} in standard output:\n{}standard error:\n{}", self.stdout, self.stderr);
        }
        self
    }
}

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file of the shared test data, where it is there.
fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: there is no {}", path.display());
    None
}

/// A folder that is removed with the test.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id())));
        fs::create_dir_all(&folder.0).unwrap();
        for (file, text) in files {
            let path = folder.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn every_captured_hello_has_its_prints() {
    let Some(path) = shared("vectors/clienthello.jsonl") else { return };
    let text = fs::read_to_string(path).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let input: String = rows.iter().map(|row| format!("{}\n", row["client_hello_hex"].as_str().unwrap())).collect();
    let ran = run_with(&["fingerprint"], input.as_bytes());
    let lines: Vec<Value> = ran.expect(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), rows.len());
    for (line, row) in lines.iter().zip(&rows) {
        assert_eq!(line.as_object().unwrap().len(), 17, "{line}");
        assert_eq!(line["ja3"], row["ja3"], "{}", row["name"]);
        assert_eq!(line["ja3_hash"], row["ja3_hash"], "{}", row["name"]);
        assert!(line["ja4"] == row["ja4"] || line["ja4"] == row["ja4_alt"], "{}: {line}", row["name"]);
        assert!(line["ja4_r"] == row["ja4_r"] || !row["ja4_alt"].is_null(), "{}: {line}", row["name"]);
    }
}

#[test]
fn a_line_that_is_no_hello_fails_and_the_others_do_not() {
    let ran = run_with(&["fingerprint"], b"nonsense\n160301\r\n474554202f\n");
    let lines: Vec<Value> = ran.expect(1).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert_eq!(line.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"]);
    }
}

/// What `fingerprint` prints of a capture of the seeds.
fn of_capture(name: &str, code: i32) -> (Vec<Value>, String) {
    let path = repository().join("fuzz/seeds/pcap").join(name).display().to_string();
    let ran = run(&["fingerprint", &path]);
    ran.expect(code);
    (ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), ran.stderr)
}

#[test]
fn every_hello_of_a_capture_has_its_prints_and_its_addresses() {
    let check = |name: &str, expected: &[(&str, u16, u64, u64, &str)]| {
        let (lines, stderr) = of_capture(name, 0);
        let found: Vec<_> = lines
            .iter()
            .map(|line| {
                let text = |key: &str| line[key].as_str().unwrap();
                let number = |key: &str| line[key].as_u64().unwrap();
                assert_eq!(number("server_port"), 443);
                (text("client_addr"), number("client_port") as u16, number("packet"), number("hello"), text("ja4"))
            })
            .collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(stderr, "", "{name}");
    };
    let chromium = "t13d1517h2_8daaf6152771_cb7bf5808d99";
    let curl = "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6";
    let rustls = "t13d101000_61a7ad8aa9b6_3fcd1a44f3e3";
    check("ethernet", &[("192.0.2.7", 50000, 5, 1, curl), ("192.0.2.7", 50001, 11, 1, chromium)]);
    check("ethernet-big-endian-vlan", &[("192.0.2.7", 50002, 4, 1, rustls)]);
    let retry =
        [("2001:db8::7", 50003, 4, 1, curl), ("2001:db8::7", 50003, 5, 2, rustls), ("192.0.2.7", 50004, 9, 1, curl)];
    check("retry-request.pcapng", &retry);
    check("raw-begun-late", &[("192.0.2.7", 50005, 2, 1, curl)]);
}

#[test]
fn a_capture_is_read_from_standard_input_too() {
    let capture = fs::read(repository().join("fuzz/seeds/pcap/ethernet")).unwrap();
    for args in [&["fingerprint"][..], &["fingerprint", "-"]] {
        let ran = run_with(args, &capture);
        assert_eq!(ran.expect(0).stdout.lines().count(), 2);
    }
    let hello = fs::read(repository().join("fuzz/seeds/client_hello/curl")).unwrap();
    let hex: String = hello.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = Folder::with("fingerprint", &[("hellos.txt", &format!("{hex}\n{hex}\n"))]);
    let ran = run(&["fingerprint", &folder.path("hellos.txt")]);
    assert_eq!(ran.expect(0).stdout.lines().count(), 2);
}

#[test]
fn what_a_capture_does_not_hold_is_said_with_a_remedy() {
    let check = |name: &str, code: i32, lines: usize, words: &str| {
        let (found, stderr) = of_capture(name, code);
        assert_eq!(found.len(), lines, "{name}: {found:?}");
        let said = found.iter().any(|line| line["error"].as_str().is_some_and(|error| error.contains(words)));
        assert!(said || stderr.contains(words), "{name}: no {words:?} in {found:?} or {stderr}");
    };
    check("cut-short", 1, 1, "the ClientHello is not complete; the capture cut its packets short, capture again with");
    check("packet-lost", 1, 1, "the ClientHello is not complete; packets of it are missing from the capture");
    check("no-tls", 1, 0, "error: no ClientHello in 4 packets, 4 of them TCP; capture from before");
    check("ends-early", 0, 2, "warning: the capture ends inside a packet; what stands before it was read");
    check("wifi", 1, 0, "found link type 105; capture again on an interface of one of these");
    check("lying-length", 1, 0, "warning: the capture ends inside a packet");
    check("no-header", 1, 0, "its header is neither; capture again with `tcpdump -w`");
    run(&["fingerprint", "no/such/file"])
        .expect(1)
        .says(&["error: cannot open `no/such/file`", "name a file of hex lines"]);
}

#[test]
fn nothing_to_fingerprint_is_no_fault() {
    assert_eq!(run_with(&["fingerprint"], b"").expect(0).stdout, "");
}

#[test]
fn the_shipped_rules_and_the_quickstart_are_right() {
    let rules = repository().join("rules").display().to_string();
    run(&["check", &rules]).expect(0).says(&["rules ", "tests ", " passed, 0 failed", "ok"]);
    run(&["test", &rules]).expect(0);
    let quickstart = repository().join("examples/quickstart/portcullis.toml").display().to_string();
    run(&["check", "--config", &quickstart]).expect(0).says(&[
        "settings ",
        "1 listener, 1 origin",
        " passed, 0 failed",
    ]);
}

#[test]
fn every_default_that_the_quickstart_shows_can_be_written() {
    let text = fs::read_to_string(repository().join("examples/quickstart/portcullis.toml")).unwrap();
    // Takes the `#` off every line that is a value or a table and not a sentence.
    let shown = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let is_setting =
            rest.starts_with("[[") || rest.split_once('=').is_some_and(|(key, _)| !key.trim_end().contains(' '));
        is_setting.then(|| rest.to_owned())
    };
    let lines: Vec<_> = text.lines().map(|line| shown(line).unwrap_or_else(|| line.to_owned())).collect();
    let folder = Folder::with("quickstart", &[("portcullis.toml", &lines.join("\n")), ("a.key", &"ab".repeat(32))]);
    let ran = run(&["check", "--config", &folder.path("portcullis.toml")]);
    // The files that it names are not there; everything else is right.
    ran.expect(1);
    for line in ran.stderr.lines().filter(|line| line.starts_with("error")) {
        assert!(line.contains("cannot read"), "{}", ran.stderr);
    }
}

#[test]
fn the_settings_of_the_image_are_right_with_the_rules_beside_them() {
    let settings = fs::read_to_string(repository().join("examples/docker/portcullis.toml")).unwrap();
    let folder = Folder::with("image", &[("portcullis.toml", &settings), ("rules/README.md", "")]);
    for entry in fs::read_dir(repository().join("rules")).unwrap() {
        let file = entry.unwrap().path();
        fs::copy(&file, folder.0.join("rules").join(file.file_name().unwrap())).unwrap();
    }
    let ran = run(&["check", "--config", &folder.path("portcullis.toml")]);
    ran.expect(0).says(&["1 listener, 1 origin", " passed, 0 failed", "admin listener can be reached"]);
    // No way into a container leads to its loopback.
    assert!(!settings.contains("\"127.0.0.1:"), "{settings}");

    let dockerfile = fs::read_to_string(repository().join("Dockerfile")).unwrap();
    for copied in
        ["/src/rules /etc/portcullis/rules", "/src/examples/docker/portcullis.toml /etc/portcullis/portcullis.toml"]
    {
        assert!(dockerfile.contains(copied), "no {copied:?} in the Dockerfile");
    }
}

#[test]
fn a_pipe_among_the_rules_is_named_and_not_waited_for() {
    let folder = Folder::with("pipe", &[("rules/a.toml", "[[route]]\nname = \"a\"\norigin = \"app\"\n")]);
    let pipe = folder.path("rules/b.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    run(&["check", &folder.path("rules")]).expect(1).says(&[&format!("`{pipe}` is not a regular file")]);
}

#[test]
fn a_check_tries_where_audit_records_would_go() {
    let settings = |path: &str| {
        format!(
            "[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:8080\"\n[[origin]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\n[audit]\npath = \"{path}\"\n"
        )
    };
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\n";
    let folder = Folder::with(
        "audit",
        &[
            ("missing.toml", &settings("no/audit.jsonl")),
            ("folder.toml", &settings("rules")),
            ("good.toml", &settings("audit.jsonl")),
            ("system.toml", &settings("/proc/audit.jsonl")),
            ("rules/a.toml", rules),
        ],
    );
    let check = |name: &str| run(&["check", "--config", &folder.path(name)]);
    check("missing.toml").expect(1).says(&["no/audit.jsonl`: there is no folder", "not ok: 1 error"]);
    check("folder.toml").expect(1).says(&["it is a folder", "not ok: 1 error"]);
    check("system.toml").expect(1).says(&["cannot write audit records to `/proc/audit.jsonl`", "set `audit.path`"]);
    run(&["run", "--config", &folder.path("system.toml")]).expect(1).says(&["to `/proc/audit.jsonl`"]);
    check("good.toml").expect(0);
    assert!(!Path::new(&folder.path("audit.jsonl")).exists(), "a check leaves nothing behind");
}

#[test]
fn a_check_shows_every_fault_of_settings_and_of_rules() {
    let settings =
        "[[listener]]\nname = \"http\"\nadress = \"127.0.0.1:8080\"\n[limits]\nheader_timeout_ms = \"10s\"\n";
    let rules = "[[route]]\nname = \"a\"\norigin = \"ap\"\nmode = \"enfroce\"\n";
    let good = "[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:8080\"\n[[origin]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\n";
    let folder = Folder::with(
        "faults",
        &[("wrong.toml", settings), ("good.toml", good), ("rules/a.toml", rules), ("rules/b.toml", "[[route]\n")],
    );
    run(&["check", "--config", &folder.path("wrong.toml")]).expect(1).says(&[
        "unknown key `adress`",
        "did you mean `address`?",
        "write `header_timeout_ms = 10000`",
        "wrong.toml:3:1",
        "not ok: 3 errors",
    ]);
    run(&["check", "--config", &folder.path("good.toml")]).expect(1).says(&[
        "a.toml:3:10",
        "a.toml:4:8",
        "b.toml:1:",
        "not ok",
    ]);
    run(&["check", &folder.path("rules")]).expect(1).says(&["a.toml:4:8", "b.toml:1:"]);
}

#[test]
fn a_check_fails_where_a_test_in_the_rules_does() {
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\n[[test]]\nname = \"wrong\"\nrequest = { host = \"shop.example\", path = \"/\" }\nexpect = { action = \"block\" }\n";
    let folder = Folder::with("failing", &[("rules/a.toml", rules)]);
    run(&["check", &folder.path("rules")]).expect(1).says(&[
        "test `wrong` fails",
        "0 passed, 1 failed",
        "not ok: 1 failed test",
    ]);
}

#[test]
fn a_check_tries_the_files_that_the_settings_name() {
    let settings = "rules = \"rules\"\n[[listener]]\nname = \"https\"\naddress = \"127.0.0.1:8443\"\ntls = true\n[[certificate]]\nchain = \"no.crt\"\nkey = \"no.key\"\n[[origin]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\n[intel]\nasn = \"broken.mmdb\"\n[challenge]\nkey_file = \"short.key\"\n";
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\n";
    let folder = Folder::with(
        "files",
        &[("p.toml", settings), ("rules/a.toml", rules), ("broken.mmdb", "not a database"), ("short.key", "abcd")],
    );
    run(&["check", "--config", &folder.path("p.toml")]).expect(1).says(&[
        "no.crt",
        "broken.mmdb",
        "short.key",
        "but found 2",
        "not ok: 3 errors",
    ]);
}

#[test]
fn settings_and_rules_that_are_not_there_are_named() {
    run(&["check", "--config", "/nonexistent/portcullis.toml"])
        .expect(1)
        .says(&["cannot read the settings in `/nonexistent/portcullis.toml`"]);
    run(&["run", "--config", "/nonexistent/portcullis.toml"]).expect(1).says(&["cannot read the settings"]);
    run(&["check", "/nonexistent"]).expect(1).says(&["cannot read the rules in `/nonexistent`"]);
    let folder = Folder::with("empty", &[("README.md", "")]);
    run(&["check", &folder.path("")]).expect(1).says(&["there is no rules file"]);
}

#[test]
fn a_request_is_explained_step_by_step() {
    let rules = repository().join("rules").display().to_string();
    let explain = |more: &[&str]| {
        run(&[
            &["explain", "--rules", &rules, "--method", "POST", "--path", "/login", "-H", "user-agent: curl/8.5.0"],
            more,
        ]
        .concat())
    };
    explain(&["--asn", "64500", "--class", "datacenter"]).expect(0).says(&[
        "login",
        "ua-tool",
        "asn-hosting",
        "API.SCORE_CHALLENGED",
    ]);
    explain(&["--banned"]).expect(0).says(&["API.BANNED"]);
    explain(&["--asn", "AS64511"]).expect(0).says(&["API.RULE_BLOCKED", "a network that was attacking us"]);
    explain(&["--over", "per address"]).expect(0).says(&["API.LIMIT_CHALLENGED", "per address"]);
    let firefox = "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
    let claimed = run(&["explain", "--rules", &rules, "-H", firefox, "--ja4", "t13d1516h2_8daaf6152771_02713d6af862"]);
    let raised = |signal: &str| claimed.expect(0).stdout.lines().any(|line| line.starts_with(signal));
    assert!(raised("header-missing") && !raised("tls-ua-mismatch"), "{}", claimed.stdout);
    explain(&["--over", "per adress"]).expect(1).says(&["has no limit `per adress`", "`per address`"]);
    explain(&["--class", "datacentre"]).expect(1).says(&["expected one of tor", "found `datacentre`"]);
    explain(&["-H", "nonsense"]).expect(1).says(&["expected `name: value` in `--header`"]);
    explain(&["--client-hello", "1603"]).expect(1).says(&["`--client-hello` is no ClientHello"]);
}

#[test]
fn rows_about_browsers_beside_the_rules_are_counted_and_count_in_the_version() {
    let row = |from: u16| {
        let dated = "source = \"capture\"\ndate = \"2026-11-21\"\n[family.tls]\ngrease = true\n";
        format!("[[family]]\nname = \"dillo\"\nfrom = {from}\n{dated}")
    };
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\n";
    let version = |name: &str, files: &[(&str, &str)]| {
        let folder = Folder::with(name, files);
        let checked = run(&["check", &folder.path("")]).expect(0).stdout.clone();
        (checked.lines().find_map(|line| Some(line.split_once("version ")?.1.to_owned())).unwrap(), checked)
    };
    let (plain, _) = version("plain", &[("a.toml", rules)]);
    let both = [("a.toml", rules), ("families/a.toml", &row(2)), ("families/b.toml", &row(3))];
    let (with_rows, checked) = version("rows", &both);
    assert!(checked.contains("families  2 files, 2 rows: in place of all shipped rows of dillo"), "{checked}");
    assert_ne!(plain, with_rows);
    let (other_rows, _) = version("others", &[("a.toml", rules), ("families/a.toml", &row(3))]);
    assert_ne!(with_rows, other_rows);
    let (first, second) = (row(2).replace("dillo", "dilo"), row(3).replace("2026-11-21", "2026-99-99"));
    let faulty = [("a.toml", rules), ("families/a.toml", &*first), ("families/b.toml", &second)];
    let folder = Folder::with("faulty-rows", &faulty);
    run(&["check", &folder.path("")]).expect(1).says(&[
        "unknown family `dilo`",
        "families/a.toml:2:8",
        "did you mean `dillo`?",
        "`2026-99-99` is no day",
        "families/b.toml:5:8",
    ]);
}

#[test]
fn an_address_of_documentation_is_known_as_such() {
    run(&["lookup", "192.0.2.1", "::1"]).expect(0).says(&["192.0.2.1", "special use", "::1"]);
    let ran = run(&["lookup", "2001:db8::1", "--format", "json"]);
    let line: Value = serde_json::from_str(&ran.expect(0).stdout).unwrap();
    assert_eq!(line["address"], "2001:db8::1");
    assert!(line["special_use"].is_string());
    assert!(line.get("asn").is_none());
    run(&["lookup", "no.address"]).expect(2);
    run(&["lookup", "192.0.2.1", "--asn-db", "/nonexistent.mmdb"])
        .expect(1)
        .says(&["cannot read the database in `/nonexistent.mmdb`"]);
}

#[test]
fn an_address_is_looked_up_in_databases() {
    let Some(asn) = shared("data/mmdb/asn-2026-06-17.mmdb") else { return };
    let Some(country) = shared("data/mmdb/country-2026-06-17.mmdb") else { return };
    let ran = run(&[
        "lookup",
        "8.8.8.8",
        "--format",
        "json",
        "--asn-db",
        asn.to_str().unwrap(),
        "--country-db",
        country.to_str().unwrap(),
    ]);
    let line: Value = serde_json::from_str(&ran.expect(0).stdout).unwrap();
    assert_eq!(line["asn"], 15169);
    assert_eq!(line["country"], "US");
}

#[test]
fn an_address_that_is_taken_is_named_before_anything_is_served() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let settings = format!(
        "[[listener]]\nname = \"http\"\naddress = \"{addr}\"\n[[origin]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\n[admin]\naddress = \"127.0.0.1:0\"\n"
    );
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\n";
    let folder = Folder::with("taken", &[("p.toml", &settings), ("rules/a.toml", rules)]);
    run(&["run", "--config", &folder.path("p.toml")])
        .expect(1)
        .says(&[&format!("cannot listen on {addr} for `http`"), "another program has it"]);
}

#[test]
fn a_banned_client_is_turned_away_before_it_has_said_anything() {
    let [http, admin] = free_ports::<2>();
    let origin = Origin::start(|_| Answer::ok("hello"));
    let settings = format!(
        "[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:{http}\"\n[[origin]]\nname = \"app\"\nservers = [\"{}\"]\n[admin]\naddress = \"127.0.0.1:{admin}\"\n",
        origin.address()
    );
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\n[[route.rule]]\nname = \"trap\"\nwhen = { path = [\"/.env\"] }\naction = \"ban\"\n";
    let folder = Folder::with("ban", &[("p.toml", &settings), ("rules/a.toml", rules)]);
    let ready = ReadyCheck::http(([127, 0, 0, 1], admin).into(), "/ready");
    let args = ["run", "--config", &folder.path("p.toml")];
    let _gateway = Gateway::start(Path::new(env!("CARGO_BIN_EXE_portcullis")), &args, &ready);
    let client = |last| Client::new(([127, 0, 0, 1], http).into()).from_source([127, 0, 0, last].into());

    assert_eq!(client(8).get("/.env", &[]).unwrap().status, 403);
    assert!(client(8).get("/", &[]).is_err(), "its connection is closed without an answer");
    assert!(client(9).get("/.env", &[]).is_ok_and(|answer| answer.status == 403), "another one is heard");
    let metrics = scrape(&format!("http://127.0.0.1:{admin}/metrics"));
    let refused = metrics.value("portcullis_connections_refused_total", &[("reason", "address")]);
    assert_eq!(refused, Some(1.0));
}

#[test]
fn the_demo_serves_and_cleans_up_after_itself() {
    let [http, https, admin] = free_ports::<3>();
    let ports = [http, https, admin].map(|port| port.to_string());
    let args = ["demo", "--http-port", &ports[0], "--https-port", &ports[1], "--admin-port", &ports[2]];
    let ready = ReadyCheck::http(([127, 0, 0, 1], admin).into(), "/ready");
    let mut demo = Gateway::start(Path::new(env!("CARGO_BIN_EXE_portcullis")), &args, &ready);
    let said = demo.stdout();
    let rules = said.lines().find_map(|line| line.trim().strip_prefix("rules ")).unwrap().trim();
    let rules = PathBuf::from(rules.split(' ').next().unwrap());
    assert!(rules.join("access.toml").exists(), "{said}");

    let client = Client::new(([127, 0, 0, 1], http).into()).host("localhost");
    let answer = client.get("/api/items", &[("user-agent", "curl/8.5.0")]).unwrap();
    assert_eq!(answer.status, 200);
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["reasons"], "ua-tool");
    assert_eq!(client.get("/", &[("user-agent", "sqlmap/1.8")]).unwrap().status, 403);
    assert_eq!(client.get("/checkout", &[("user-agent", "MyApp/3.1")]).unwrap().status, 403);

    assert!(demo.terminate().success());
    assert!(!rules.exists());
}
