//! What the running gateway recorded, explained by its own rules.

use std::path::Path;

use portcullis_testkit::run_to_end;
use serde_json::Value;

use crate::rig::Rig;
use crate::{CHROMIUM, OPEN};

const RULES: &str = r#"
[[route.limit]]
name = "per address"
key = ["ip"]
rate = "3/1m"
over = "block"
[[route.rule]]
name = "old"
when = { path = ["/old"] }
action = "challenge"
[[route.rule]]
name = "weighed"
expr = 'request.path == "/weighed"'
score = "+0.2"
"#;

fn explained(rig: &Rig, args: &[&str]) -> Value {
    let rules = rig.folder.join("rules").display().to_string();
    let args = [&["explain", "--rules", &rules, "--format", "json"], args].concat();
    let ran = run_to_end(Path::new(env!("CARGO_BIN_EXE_portcullis")), &args, b"");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn every_record_of_the_gateway_is_explained_as_it_was_decided() {
    let rig = Rig::start(&format!("{OPEN}{RULES}"));
    let curl = &[("user-agent", "curl/8.5.0")][..];
    let asked = [
        (2, "/", CHROMIUM),
        (3, "/", curl),
        (4, "/old", CHROMIUM),
        (5, "/weighed", curl),
        (6, "/", CHROMIUM),
        (6, "/", CHROMIUM),
        (6, "/", CHROMIUM),
        (6, "/", CHROMIUM),
    ];
    let mut ids: Vec<_> = asked
        .iter()
        .map(|(last, path, headers)| {
            let answer = rig.client_from(*last).get(path, headers).unwrap();
            answer.header("portcullis-request-id").map(str::to_owned)
        })
        .collect();
    let malformed = [
        "GET /a%2fb HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        "GET /a/../b HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "no request\r\n\r\n",
    ];
    for (head, last) in malformed.iter().zip(7..) {
        let mut connection = rig.client_from(last).connect().unwrap();
        let answer = connection.send_raw(head.as_bytes()).unwrap();
        assert_eq!(answer.status, 400, "{head:?}");
        ids.push(answer.header("portcullis-request-id").map(str::to_owned));
    }
    let records = rig.audit(asked.len() + malformed.len());
    let audit = rig.folder.join("audit.jsonl").display().to_string();
    let mut causes = Vec::new();
    // Who is refused is told what to ask for; records stand in the order in which requests ended.
    let refused =
        records.iter().filter(|record| record["action"] != "allow").map(|record| record["request_id"].as_str());
    assert!(refused.clone().count() >= 2);
    assert!(refused.into_iter().all(|id| ids.iter().any(|told| told.as_deref() == id)), "{ids:?}");
    for record in &records {
        let id = record["request_id"].as_str().unwrap();
        let found = explained(&rig, &["--id", id, "--audit", &audit]);
        assert_eq!(found["remarks"].as_array().unwrap().len(), 0, "{found}");
        let steps = &found["explained"];
        for key in ["action", "verdict", "route", "policy", "score", "raw_score", "code"] {
            assert_eq!(steps[key], record[key], "{key} of {found}");
        }
        let points = |list: &Value, name: &str| -> Vec<(String, Value)> {
            let entry = |entry: &Value| (entry[name].as_str().unwrap().to_owned(), entry["points"].clone());
            let mut all: Vec<_> = list.as_array().into_iter().flatten().map(entry).collect();
            all.sort_by(|one, other| one.0.cmp(&other.0));
            all
        };
        assert_eq!(points(&steps["signals"], "signal"), points(&record["reasons"], "signal"), "{found}");
        causes.push(record["cause"].as_str().unwrap().to_owned());
    }
    assert!(["limit", "rule", "malformed"].iter().all(|cause| causes.iter().any(|found| found == cause)), "{causes:?}");
}
