//! What is in monitor is told to those who may know, and counted.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::rig::Rig;
use crate::{CHROMIUM, OPEN};

const WATCHED: &str = r#"
tell_shadow = ["127.0.0.50", "127.0.0.52/30"]
[[route.rule]]
name = "old clients"
when = { path = ["/old"] }
action = "block"
mode = "monitor"
[[route.rule]]
name = "weighed"
when = { path = ["/old"] }
expr = 'request.header("x-amount").double() > 500.0'
score = "+0.2"
[weights]
ua-tool = { weight = 0.39, mode = "monitor" }
"#;

#[test]
fn what_would_act_is_told_to_clients_that_the_policy_names_and_to_nobody_else() {
    let rig = Rig::start(&format!("{OPEN}{WATCHED}"));
    let told = |last: u8, path: &str, headers: &[(&str, &str)]| {
        let answer = rig.client_from(last).get(path, headers).unwrap();
        assert_eq!(answer.status, 200);
        answer.header("portcullis-shadow").map(str::to_owned)
    };
    let rule = "block;of=rule;name=\"old clients\"";
    assert_eq!(told(50, "/old", CHROMIUM).as_deref(), Some(rule));
    assert_eq!(told(53, "/old", CHROMIUM).as_deref(), Some(rule));
    assert_eq!(told(51, "/old", CHROMIUM), None, "nobody else is told");
    assert_eq!(told(50, "/new", CHROMIUM), None, "where nothing would act there is nothing to tell");
    let curl = told(50, "/new", &[("user-agent", "curl/8.5.0")]);
    assert_eq!(curl.as_deref(), Some("challenge;of=signal;name=\"ua-tool\""));
    // A request is counted before it is recorded.
    rig.audit(5);
    let metrics = rig.metrics();
    let shadow = |kind: &str| metrics.sum_where("portcullis_shadow_total", &[("kind", kind)]);
    assert_eq!((shadow("rule"), shadow("signal"), shadow("limit")), (3.0, 1.0, 0.0));
}

#[test]
fn an_expression_without_an_answer_is_counted_and_one_that_raises_too() {
    let rig = Rig::start(&format!("{OPEN}{WATCHED}"));
    for (amount, status) in [("512.5", 200), ("five", 200)] {
        let headers: Vec<_> = CHROMIUM.iter().copied().chain([("x-amount", amount)]).collect();
        assert_eq!(rig.client().get("/old", &headers).unwrap().status, status);
    }
    let records = rig.audit(2);
    let with = |key: &str| records.iter().find(|record| record[key].is_array()).unwrap();
    let (lifted, left_out) = (with("lifts"), with("rule_faults"));
    let lift = &lifted["lifts"][0];
    assert_eq!((&lift["rule"], &lift["points"]), (&"weighed".into(), &0.2.into()), "{lifted}");
    assert_eq!(lifted["score"], 0.2);
    let fault = &left_out["rule_faults"][0];
    assert_eq!((&fault["rule"], &fault["fault"]), (&"weighed".into(), &"not-a-number".into()), "{left_out}");
    let metrics = rig.metrics();
    assert_eq!(metrics.value("portcullis_rule_lifts_total", &[("route", "all")]), Some(1.0));
    let labels = [("route", "all"), ("fault", "not-a-number")];
    assert_eq!(metrics.value("portcullis_rule_faults_total", &labels), Some(1.0));
}

const HARSH: &str = r#"
[[route]]
name = "watched"
origin = "app"
preset = "strict"
sensitivity = "critical"
mode = "monitor"
filters = { tor = "block", vpn = "block", datacenter = "block" }
thresholds = { throttle = 0.001, challenge = 0.002, block = 0.003, ban = 0.004 }
[[route.limit]]
name = "tight"
key = ["ip"]
over = [{ at = "1/1m", action = "delay" }, { at = "2/1m", action = "throttle" }, { at = "3/1m", action = "ban" }]
[[route.rule]]
name = "everyone"
when = { ip = ["0.0.0.0/0"] }
action = "ban"
[[rule]]
name = "any expression"
expr = 'score >= 0.0'
action = "block"
"#;

/// A gateway that is tried in monitor must be safe to try: no answer is altered, whatever asks and however.
#[test]
fn in_monitor_no_answer_is_ever_altered() {
    let rig = Rig::start(HARSH);
    let direct = portcullis_testkit::Client::new(rig.origin.address());
    let header = prop_oneof![
        Just(("user-agent", "sqlmap/1.8".to_owned())),
        Just(("user-agent", "curl/8.5.0".to_owned())),
        Just(("accept", "text/html".to_owned())),
        Just(("portcullis-action", "allow".to_owned())),
        Just(("x-forwarded-for", "192.0.2.1".to_owned())),
        "[a-zA-Z0-9 ;=,/]{0,40}".prop_map(|value| ("cookie", value)),
        "[ -~]{0,60}".prop_map(|value| ("user-agent", value)),
        "[ -~]{0,60}".prop_map(|value| ("x-anything", value)),
    ];
    let method = prop_oneof![Just("GET"), Just("POST"), Just("PUT"), Just("DELETE"), Just("HEAD")];
    let path = prop_oneof!["/[a-z0-9._-]{0,12}(/[a-z0-9%.]{0,6}){0,3}", "/login\\?[a-z=&]{0,12}"];
    let case = (method, path, proptest::collection::vec(header, 0..5), 2_u8..250);
    let asked = AtomicU32::new(0);
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&case, |(method, path, headers, last)| {
        // What another server would read as another path is refused before any policy is asked.
        prop_assume!(!path.contains('%'));
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.trim())).collect();
        // A field that stands twice and may not is ambiguous framing, which is no verdict of a policy.
        headers.sort_unstable();
        headers.dedup_by_key(|(name, _)| *name);
        let body = if matches!(method, "POST" | "PUT") { &b"a=b"[..] } else { b"" };
        let through = rig.client_from(last).connect().unwrap().request(method, &path, &headers, body);
        let plain = direct.connect().unwrap().request(method, &path, &headers, body);
        let (Ok(through), Ok(plain)) = (&through, &plain) else {
            return Err(TestCaseError::fail(format!("{through:?} {plain:?}")));
        };
        let shown = |answer: &portcullis_testkit::RawResponse| {
            let mut headers = answer.headers.clone();
            headers.retain(|(name, _)| !matches!(name.to_ascii_lowercase().as_str(), "date" | "connection"));
            headers.sort();
            (answer.status, answer.body.clone(), headers)
        };
        prop_assert_eq!(shown(through), shown(plain));
        asked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    ran.unwrap();
    let asked = asked.load(Ordering::Relaxed);
    rig.audit(usize::try_from(asked).unwrap());
    let metrics = rig.metrics();
    let would = metrics.sum_where("portcullis_requests_total", &[("mode", "monitor"), ("action", "ban")]);
    assert_eq!(would, f64::from(asked), "each of them would have been banned");
    assert_eq!(metrics.value("portcullis_table_entries", &[("table", "bans")]), Some(0.0));
}
