//! What the program says of rules, and of what they decided.

use serde_json::{Value, json};

use super::{Folder, repository, run, run_with};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_shipped_rules_pass_lint_and_every_part_of_them_is_reached_by_a_test() {
    let rules = repository().join("rules").display().to_string();
    run(&["lint", &rules, "--deny-warnings"]).expect(0).says(&["ok"]);
    let ran = run(&["test", &rules, "--coverage", "--deny-warnings"]);
    let covered = ran.expect(0).stdout.lines().find_map(|line| line.strip_prefix("coverage  ")).unwrap().to_owned();
    for part in covered.split(", ") {
        let (reached, all) = part.split_once(" of ").unwrap();
        assert_eq!(reached, all.split(' ').next().unwrap(), "{covered}");
    }
}

#[test]
fn the_schema_and_the_page_beside_the_rules_are_what_the_program_writes() {
    let read = |name: &str| std::fs::read_to_string(repository().join("rules").join(name)).unwrap();
    assert!(run(&["schema"]).expect(0).stdout == read("schema.json"));
    assert!(run(&["schema", "--reference"]).expect(0).stdout == read("REFERENCE.md"));
}

const FAULTY: &str = "[[route]]\nname = \"a\"\norigin = \"app\"\nmode = \"of\"\n";

#[test]
fn findings_are_told_to_programs_with_their_places() {
    let folder = Folder::with("findings", &[("a.toml", FAULTY)]);
    let ran = run(&["check", &folder.path(""), "--format", "json"]);
    let told = lines(&ran.expect(1).stdout);
    assert_eq!(ran.stderr, "");
    let [finding, summed] = &told[..] else { panic!("{told:?}") };
    assert_eq!(finding["severity"], "error");
    assert!(finding["file"].as_str().unwrap().ends_with("a.toml"));
    let place: Vec<_> = ["line", "column", "end_line", "end_column"].iter().map(|key| &finding[*key]).collect();
    assert_eq!(place, [4, 8, 4, 12]);
    assert!(!finding["message"].as_str().unwrap().is_empty());
    assert_eq!((&summed["ok"], &summed["errors"]), (&json!(false), &json!(1)));
    let missing = run(&["lint", &folder.path("none"), "--format", "json"]);
    assert!(lines(&missing.expect(1).stdout)[0]["message"].as_str().unwrap().starts_with("cannot read the rules"));
}

#[test]
fn what_is_probably_not_meant_fails_where_warnings_are_denied() {
    let text = "[[route]]\nname = \"a\"\norigin = \"app\"\n[[rule]]\nname = \"past\"\nwhen = { asn = [64500] }\naction = \"block\"\nuntil = 2020-01-01\n";
    let folder = Folder::with("past", &[("a.toml", text)]);
    let path = folder.path("");
    run(&["check", &path]).expect(0).says(&["ok"]);
    run(&["lint", &path]).expect(0).says(&["rule `past` has expired", "ok: 1 warning"]);
    run(&["lint", &path, "--deny-warnings"]).expect(1).says(&["not ok: 1 warning"]);
    run(&["test", &path, "--coverage"]).expect(0).says(&["no test reaches rule `past`", "0 of 1 rule"]);
}

#[test]
fn lists_beside_the_rules_are_read_and_a_bad_line_follows_the_list_s_own_setting() {
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\n[[rule]]\nname = \"p\"\nwhen = { ip = [\"@partners\"] }\naction = \"allow\"\n\
        [[test]]\nname = \"a partner\"\nrequest = { host = \"shop.example\", path = \"/\", ip = \"192.0.2.9\" }\nexpect = { rule = \"p\" }\n";
    let lines = "192.0.2.0/24 # the office\nnonsense\n";
    let strict = Folder::with("lists-strict", &[("a.toml", rules), ("lists/partners.txt", lines)]);
    run(&["check", &strict.path("")]).expect(1).says(&["lists/partners.txt:2:1", "cannot be read as `ip`"]);
    let head = ("lists/partners.toml", "on_bad_line = \"skip\"\n");
    let mild = Folder::with("lists-mild", &[("a.toml", rules), ("lists/partners.txt", lines), head]);
    run(&["check", &mild.path("")]).expect(0).says(&["lists     2 files", "1 passed, 0 failed", "left out"]);
    run(&["check", &mild.path("a.toml")]).expect(0).says(&["1 passed"]);
    run(&["explain", "--rules", &mild.path(""), "--ip", "192.0.2.9"])
        .expect(0)
        .says(&["rule `p` of every route says allow"]);
}

/// A record as the gateway writes it of a request that a limit blocked.
fn record(id: &str) -> String {
    json!({
        "time": "2026-11-21T12:00:00.000Z", "request_id": id, "route": "login", "action": "block", "verdict": "block",
        "mode": "enforce", "score": 0.475, "raw_score": 0.475, "code": "API.LIMIT_BLOCKED", "cause": "limit",
        "limit": "per address", "policy": "0123456789abcdef", "method": "POST", "host": "shop.example", "path": "/login",
        "http": "2", "client": "203.0.113.9", "asn": 64500, "classes": ["datacenter"], "claim": "tool",
        "client_name": "curl", "family": "other", "coverage": "not-a-browser", "cleared": false,
        "reasons": [
            { "signal": "ua-tool", "strength": 1.0, "points": 0.259 },
            { "signal": "asn-hosting", "strength": 1.0, "points": 0.216 },
        ],
        "counters": {
            "address_per_minute": 51, "prefix_per_minute": 51, "answers": 0, "failures": 0, "paths": 1,
            "limits": [{ "name": "per address", "count": 51, "limit": 50, "over": true }],
        },
    })
    .to_string()
}

const LOGIN: &str = "[defaults]\norigin = \"app\"\n[[route]]\nname = \"login\"\npaths = [\"/login\"]\nclients = \"api\"\n\
    [[route.limit]]\nname = \"per address\"\nkey = [\"ip\"]\nrate = \"50/1m\"\nover = \"block\"\n";

#[test]
fn a_record_is_explained_step_by_step_and_found_by_its_request_s_id() {
    let audit = format!("{}\n{}\n", record("aaaa"), record("bbbb"));
    let folder = Folder::with("record", &[("rules/a.toml", LOGIN), ("audit.jsonl", &audit)]);
    let (rules, audit) = (folder.path("rules"), folder.path("audit.jsonl"));
    let words = [
        "request bbbb of 2026-11-21T12:00:00.000Z",
        "block on route `login`, API.LIMIT_BLOCKED, by limit `per address`, score 0.475",
        "the rules here are of version",
        "ua-tool              claim         1.000   0.300",
        "> 6 limits             limit `per address` (51 of 50 in 60 s) says block",
        "within limit `per address`: challenge",
        "thresholds.challenge         0.350",
    ];
    run(&["explain", "--rules", &rules, "--id", "bbbb", "--audit", &audit]).expect(0).says(&words);
    let piped =
        run_with(&["explain", "--rules", &rules, "--record", "-", "--format", "json"], record("cccc").as_bytes());
    let told: Value = serde_json::from_str(&piped.expect(0).stdout).unwrap();
    let explained = &told["explained"];
    assert_eq!((&explained["action"], &explained["code"]), (&json!("block"), &json!("API.LIMIT_BLOCKED")));
    assert_eq!(explained["signals"].as_array().unwrap().len(), 2);
    assert_eq!(explained["steps"][5]["outcome"], "decide");
    assert_eq!(explained["smallest_change"]["verdict"], "challenge");
    assert_eq!(told["remarks"].as_array().unwrap().len(), 1, "{}", told["remarks"]);
    let unknown = run(&["explain", "--rules", &rules, "--id", "dddd", "--audit", &audit]);
    unknown.expect(1).says(&["no audit record of request `dddd`"]);
    run_with(&["explain", "--rules", &rules, "--record", "-"], b"nonsense")
        .expect(1)
        .says(&["expected an audit record"]);
    run(&["explain", "--rules", &rules, "--id", "bbbb"]).expect(2);
}

#[test]
fn a_shadow_report_says_whom_it_would_have_hit_and_who_turned_out_to_be_somebody() {
    let line = |client: &str, more: Value| {
        let mut line = json!({
            "time": "2026-11-21T12:00:00.000Z", "route": "login", "action": "allow", "verdict": "allow",
            "mode": "enforce", "client": client, "claim": "browser",
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    };
    let hit = json!({ "shadow": [{ "kind": "rule", "name": "old", "action": "block" }], "user": "00ff" });
    let audit = [
        line("192.0.2.1", hit.clone()),
        line("192.0.2.2", hit),
        line("192.0.2.1", json!({ "redeem": "solved" })),
        line("192.0.2.2", json!({ "user": "00ff", "origin_failed": false })),
    ]
    .join("\n");
    let folder = Folder::with("shadow", &[("audit.jsonl", &audit)]);
    run(&["shadow", "report", &folder.path("audit.jsonl")]).expect(0).says(&[
        "4 records",
        "rules\n  `old` on route `login` would block 2 requests (50.0 %) of 2 clients and 1 user",
        "later 1 client solved a challenge, and 1 logged in",
    ]);
    let told = lines(&run(&["shadow", "report", "--format", "json", &folder.path("audit.jsonl")]).expect(0).stdout);
    assert_eq!((&told[0]["requests"], &told[0]["clients_solved_later"]), (&json!(2), &json!(1)));
    assert_eq!(told[1]["records"], 4);
    run(&["shadow", "report", &folder.path("none")]).expect(1).says(&["cannot read"]);
}

#[test]
fn rules_where_nobody_reads_them_and_own_signals_that_nobody_gives_are_told() {
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\n[[rule]]\nname = \"young\"\n\
        expr = 'has(identity.acount_age) && identity.acount_age < 3'\naction = \"challenge\"\n";
    let settings = "rules = \"rules\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:8080\"\n[[origin]]\nname = \"app\"\n\
        servers = [\"127.0.0.1:3000\"]\n[identity]\nheaders_from = [\"10.0.0.0/8\"]\nheaders = { account_age = \"x-age\" }\n";
    let folder = Folder::with(
        "overlooked",
        &[("p.toml", settings), ("rules/a.toml", rules), ("rules/more/b.toml", rules), ("rules/C.TOML", rules)],
    );
    run(&["check", "--config", &folder.path("p.toml")]).expect(0).says(&[
        "rules/more` is not read",
        "rules/C.TOML` is not read",
        "no request has the own signal `acount_age`",
        "did you mean `account_age`?",
        "ok: 3 warnings",
    ]);
}

#[test]
fn records_that_were_cut_or_forged_are_read_as_far_as_they_go() {
    let record = r#"{"time":"1\u001b[31m","request_id":"r1","route":"login","action":"allow","verdict":"allow","mode":"enforce","score":0,"policy":"p","method":"GET","host":"shop.example","path":"/","client":"192.0.2.1","claim":"tool","cleared":false,"shadow":[{"kind":"rule","name":"old\u001b[2J","action":"block"}]}"#;
    let cut = record.get(..60).unwrap();
    let folder = Folder::with(
        "cut",
        &[
            ("audit.jsonl", &format!("{cut}\n{record}\n{cut}")),
            ("rules/a.toml", "[[route]]\nname = \"login\"\norigin = \"app\"\n"),
        ],
    );
    let audit = folder.path("audit.jsonl");
    let report = run(&["shadow", "report", &audit]);
    report.expect(0);
    assert!(report.stdout.contains("`old?[2J` on route `login` would block 1 request"), "{}", report.stdout);
    let explained = run(&["explain", "--rules", &folder.path("rules"), "--id", "r1", "--audit", &audit]);
    explained.expect(0);
    assert!(explained.stdout.contains("request r1 of 1?[31m\n"), "{}", explained.stdout);
}
