//! Limits, outcomes and bans of the running gateway.

use std::time::Duration;

use crate::rig::Rig;
use crate::{CHROMIUM, CURL, OPEN};

/// Nothing is unusual on the route, so that only its limits act.
const PATIENT: &str = "usual = { per_address = \"1000000/1m\", per_prefix = \"1000000/1m\" }\n";

#[test]
fn a_burst_is_throttled_and_cools_down() {
    let rules = format!(
        "{OPEN}{PATIENT}\n[[route.limit]]\nname = \"burst\"\nkey = [\"ip\"]\nrate = \"5/2s\"\nover = \"throttle\"\n"
    );
    let rig = Rig::start(&rules);
    let mut connection = rig.client().connect().unwrap();
    let answers: Vec<_> = (0..8).map(|_| connection.get("/", CHROMIUM).unwrap()).collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses[..5], [200; 5]);
    assert_eq!(answers[0].header("ratelimit-policy"), Some("\"burst\";q=5;w=2"), "who is let in can pace himself");
    assert_eq!(answers[0].header("ratelimit"), Some("\"burst\";r=4;t=2"));
    let refused = answers.iter().find(|answer| answer.status == 429).expect("the burst is past its limit");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"burst\";q=5;w=2"));
    assert!(refused.header("ratelimit").unwrap().starts_with("\"burst\";r=0;t="));
    assert_eq!(rig.client_from(9).get("/", CHROMIUM).unwrap().status, 200, "another address is not held back");
    portcullis_testkit::wait_until("the limit to cool down", Duration::from_secs(20), || {
        connection.get("/", CHROMIUM).is_ok_and(|answer| answer.status == 200)
    });
}

/// An absent or empty key falls back to the prefix; it is never unlimited.
#[test]
fn a_key_that_is_left_out_is_not_unlimited() {
    let rules = format!(
        "{OPEN}identify = {{ api_key = \"header:x-api-key\" }}
[[route.limit]]
name = \"per key\"
key = [\"api_key\"]
rate = \"3/1m\"
over = \"throttle\"
"
    );
    let rig = Rig::start(&rules);
    let statuses: Vec<u16> = (0..6).map(|_| rig.client().get("/", CURL).unwrap().status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    let mut empty = CURL.to_vec();
    empty.push(("x-api-key", ""));
    assert_eq!(rig.client().get("/", &empty).unwrap().status, 429, "an empty key is no key");
    assert_eq!(rig.client_from(77).get("/", CURL).unwrap().status, 429, "a neighbour without a key shares the prefix");
    let mut named = CURL.to_vec();
    named.push(("x-api-key", "k-1"));
    assert_eq!(rig.client().get("/", &named).unwrap().status, 200);
}

#[test]
fn failing_logins_raise_the_score_of_that_client_only() {
    let rules = "[[route]]\nname = \"login\"\npaths = [\"/login\"]\norigin = \"app\"\nsensitivity = \"critical\"\npreset = \"balanced\"\nclients = \"api\"\nfailure = { status = [401] }\nusual = { per_address = \"1000/1m\", per_prefix = \"1000/1m\" }\n";
    let rig = Rig::start(rules);
    let try_login = |client: portcullis_testkit::Client, password: &[u8]| {
        let headers = [("user-agent", "ShopApp/3.1"), ("content-type", "application/json")];
        client.connect().unwrap().request("POST", "/login", &headers, password).unwrap().status
    };
    let statuses: Vec<u16> = (0..20).map(|_| try_login(rig.client_from(5), b"wrong")).collect();
    assert_eq!(statuses[..4], [401; 4], "a few failures are human");
    assert_eq!(statuses[19], 403, "{statuses:?}");
    assert_eq!(try_login(rig.client_from(6), b"right"), 200, "another client is not held back");
    let records = rig.audit(21);
    // A request is recorded after its answer, so records of two connections may change places.
    let last = records.iter().rfind(|record| record["status"] == 403).unwrap();
    assert_eq!(last["reasons"][0]["signal"], "outcome-failures", "{last}");
    assert_eq!(last["counters"]["failures"], last["counters"]["answers"]);
    let refused = statuses.iter().filter(|status| **status == 403).count() as u64;
    assert_eq!(last["counters"]["failures"].as_u64().unwrap(), 20 - refused, "own refusals are no failures");
}

#[test]
fn a_ban_holds_and_its_refusals_do_not_extend_it() {
    let rules = format!(
        "{OPEN}{PATIENT}ban_ttl = \"3s\"
[[route.rule]]
name = \"trap\"
when = {{ path = [\"/.env\"] }}
action = \"ban\"
"
    );
    let rig = Rig::start(&rules);
    assert_eq!(rig.client_from(8).get("/", CURL).unwrap().status, 200);
    assert_eq!(rig.client_from(8).get("/.env", CURL).unwrap().status, 403);
    let banned = rig.client_from(8).get("/", CURL);
    assert!(banned.as_ref().map_or(true, |answer| answer.status == 403), "a banned client is refused");
    assert_eq!(rig.client_from(9).get("/", CURL).unwrap().status, 200);
    portcullis_testkit::wait_until("the ban to end while it is being refused", Duration::from_secs(20), || {
        rig.client_from(8).get("/", CURL).is_ok_and(|answer| answer.status == 200)
    });
}

/// Once a ban is over, a client that met nothing but its refusals is clean.
#[test]
fn refusals_of_a_ban_use_up_no_limit() {
    let rules = format!(
        "{OPEN}{PATIENT}ban_ttl = \"2s\"
[[route.limit]]
name = \"few\"
key = [\"ip\"]
rate = \"5/1h\"
over = \"throttle\"
[[route.rule]]
name = \"trap\"
when = {{ path = [\"/.env\"] }}
action = \"ban\"
"
    );
    let settings = "[client_address]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let rig = Rig::start_with(&rules, settings, crate::rig::usual_origin);
    let mut headers = CURL.to_vec();
    headers.push(("x-forwarded-for", "198.51.100.66"));
    assert_eq!(rig.client().get("/.env", &headers).unwrap().status, 403);
    let mut connection = rig.client().connect().unwrap();
    for _ in 0..20 {
        assert_eq!(connection.get("/", &headers).unwrap().json()["code"], "API.BANNED");
    }
    portcullis_testkit::wait_until("the ban to end", Duration::from_secs(20), || {
        connection.get("/", &headers).is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn behind_an_address_that_providers_share_each_is_counted_by_its_name_and_fingerprint() {
    let rules = format!("{OPEN}identify = {{ user = \"header:x-user\", session = \"cookie:sid\" }}\n");
    let settings = "[client_address]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let rig = Rig::start_with(&rules, settings, crate::rig::usual_origin);
    let mut connection = rig.client().connect().unwrap();
    let mut ask = |address: &'static str, user: &'static str, client: &[(&'static str, &'static str)]| {
        let mut headers = client.to_vec();
        headers.extend([("x-forwarded-for", address), ("x-user", user)]);
        assert_eq!(connection.get("/", &headers).unwrap().status, 200);
    };
    let (shared, own) = ("100.64.0.7", "198.51.100.7");
    ask(shared, "ann", CURL);
    ask(shared, "ann", CURL);
    ask(shared, "bob", CURL);
    ask(shared, "ann", CHROMIUM);
    ask(own, "ann", CURL);
    let counts: Vec<_> = rig
        .audit(5)
        .iter()
        .map(|record| {
            ["address_per_minute", "fingerprint_per_minute", "named_per_minute"]
                .map(|counter| record["counters"][counter].as_u64().unwrap_or(0))
        })
        .collect();
    assert_eq!(counts, [[1, 1, 1], [2, 2, 2], [3, 3, 1], [4, 1, 3], [1, 0, 0]]);
}

/// A flood of strangers neither grows memory past its budget, nor locks others out, nor frees an offender.
#[test]
fn many_strangers_leave_memory_and_limits_as_they_are() {
    let rules =
        format!("{OPEN}\n[[route.limit]]\nname = \"l\"\nkey = [\"ip\"]\nrate = \"20/1h\"\nover = \"throttle\"\n");
    let settings = "[memory]\ncounters_bytes = 1048576\n[client_address]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let rig = Rig::start_with(&rules, settings, crate::rig::usual_origin);
    let mut connection = rig.client().connect().unwrap();
    let mut ask = |address: &str| {
        let mut headers = CURL.to_vec();
        headers.push(("x-forwarded-for", address));
        connection.get("/", &headers).unwrap().status
    };
    let offender = "198.51.100.66";
    for _ in 0..40 {
        ask(offender);
    }
    assert_eq!(ask(offender), 429);
    for n in 0..20_000_u32 {
        let [_, b, c, d] = n.to_be_bytes();
        assert_eq!(ask(&format!("100.{}.{c}.{d}", 128 + b)), 200, "stranger {n}");
    }
    assert_eq!(ask(offender), 429, "the flood did not reset the offender");
    assert_eq!(ask("192.0.2.200"), 200, "a stranger is served when the table is full");
    let metrics = rig.metrics();
    let labels = [("table", "counters")];
    let entries = metrics.value("portcullis_table_entries", &labels).unwrap();
    assert!(entries <= metrics.value("portcullis_table_capacity", &labels).unwrap());
    assert!(metrics.value("portcullis_table_evictions_total", &labels).unwrap() > 0.0);
}
