//! In monitor no response is altered, whatever the policy would have done.

use crate::rig::{Rig, usual_origin};
use crate::{CHROMIUM, CURL};

const RULES: &str = r#"
[[route]]
name = "watched"
paths = ["/{*rest}", "/"]
origin = "app"
preset = "strict"
sensitivity = "critical"
MODE
filters = { datacenter = "block", tor = "block" }

[[route.limit]]
name = "tight"
key = ["ip"]
rate = "1/1h"
over = "block"

[[route.rule]]
name = "everyone"
when = { ip = ["127.0.0.0/8"] }
action = "ban"
"#;

#[test]
fn a_route_in_monitor_answers_as_the_origin_does() {
    let rig = Rig::start(&RULES.replace("MODE", "mode = \"monitor\""));
    let direct = portcullis_testkit::Client::new(rig.origin.address());
    let scanner = &[("user-agent", "sqlmap/1.8"), ("portcullis-score", "0")][..];
    let mut refused = 0;
    for headers in [CHROMIUM, CURL, scanner, &[]] {
        for path in ["/", "/a/b?c=d", "/.env"] {
            for _ in 0..2 {
                let through = rig.client().get(path, headers).unwrap();
                let plain = direct.get(path, headers).unwrap();
                assert_eq!((through.status, &through.body), (plain.status, &plain.body), "{path}");
                let mut through_headers = through.headers.clone();
                let mut plain_headers = plain.headers.clone();
                for headers in [&mut through_headers, &mut plain_headers] {
                    headers.retain(|(name, _)| !matches!(name.to_ascii_lowercase().as_str(), "date" | "connection"));
                    headers.sort();
                }
                assert_eq!(through_headers, plain_headers, "{path}");
                refused += 1;
            }
        }
    }
    let records = rig.audit(refused);
    for record in &records {
        assert_eq!((&record["mode"], &record["action"]), (&"monitor".into(), &"allow".into()), "{record}");
        assert_eq!(record["verdict"], "ban", "{record}");
    }
    let metrics = rig.metrics();
    assert_eq!(metrics.sum("portcullis_requests_total"), refused as f64, "the sum over modes is the requests");
    assert_eq!(metrics.sum_where("portcullis_requests_total", &[("mode", "monitor")]), refused as f64);
    assert_eq!(metrics.value("portcullis_table_entries", &[("table", "bans")]), Some(0.0), "nobody was banned");
}

#[test]
fn a_rule_and_a_limit_in_monitor_only_say_what_they_would_have_done() {
    let rules = RULES.replace("MODE", "").replace("preset = \"strict\"", "preset = \"relaxed\"");
    let rules = rules.replace("over = \"block\"", "over = \"block\"\nmode = \"monitor\"");
    let rules = rules.replace("action = \"ban\"", "action = \"ban\"\nmode = \"monitor\"");
    let rig = Rig::start_with(&rules, "", usual_origin);
    for _ in 0..3 {
        assert_eq!(rig.client().get("/", CHROMIUM).unwrap().status, 200);
    }
    let records = rig.audit(3);
    let last = &records[2];
    assert_eq!(last["action"], "allow");
    let kinds: Vec<_> =
        last["shadow"].as_array().unwrap().iter().map(|shadow| shadow["name"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"everyone") && kinds.contains(&"tight"), "{last}");
    assert!(rig.metrics().sum("portcullis_shadow_total") >= 5.0);
}

#[test]
fn a_bound_on_bodies_is_not_enforced_in_monitor() {
    let rules = RULES.replace("MODE", "mode = \"monitor\"\nmax_body_bytes = 10");
    let rig = Rig::start(&rules);
    let answer = rig.client().connect().unwrap().request("POST", "/a//b", CURL, &[b'x'; 1000]).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(rig.origin.take_requests()[0].target, "/a//b", "what is sent on is what was sent");
}
