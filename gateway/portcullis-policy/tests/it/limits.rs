//! Limits, identities, failures and postures: what they mean as written, and what a person is told of wrong ones.

use http::{HeaderMap, HeaderValue, Method, Version, header};
use portcullis_policy::model::{
    Action, BodyPrefix, Bound, Charged, Cost, Count, FieldSource, KeyPart, Limit, OnMissing, Over, Place,
    PrefixLengths, Route,
};
use portcullis_policy::{Diagnostics, RuleSet, SourceFile, rate_limit, rate_limit_policy, run_tests};
use portcullis_signals::{BodyEnd, CanonicalRequest, LimitReading, Posture, RequestHead, Strength};
use std::time::Duration;

use crate::compiled;

fn faults(text: &str) -> Diagnostics {
    match RuleSet::compile(&[SourceFile::new("rules/one.toml", text)]) {
        Ok(_) => panic!("compiles"),
        Err(faults) => faults,
    }
}

/// A route `login` with these keys, and one limit by address with those.
fn with(route: &str, limit: &str) -> String {
    format!(
        "[[route]]\nname = \"login\"\norigin = \"app\"\n{route}\n[[route.limit]]\nname = \"l\"\nkey = [\"ip\"]\n{limit}\n"
    )
}

/// The route `login` of rules.
fn login(text: &str) -> Route {
    compiled(text).rules.routes().iter().find(|route| &*route.name == "login").unwrap().clone()
}

fn limit(text: &str) -> Limit {
    login(&with("", text)).limits.into_iter().next().unwrap()
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn rates_bursts_and_numbers_at_the_same_time_are_levels() {
    let window = |limit, window| Bound::Window { limit, window: secs(window) };
    for (text, bounds) in [
        (r#"rate = "10/1m""#, vec![window(10, 60)]),
        (r#"rate = ["10/1m", "100/1h"]"#, vec![window(10, 60), window(100, 3600)]),
        ("rate = \"10/1m\"\nburst = 20", vec![Bound::Bucket { limit: 10, window: secs(60), burst: 20 }]),
        ("concurrency = 5", vec![Bound::Concurrent { limit: 5 }]),
        ("rate = \"10/1m\"\nconcurrency = 5", vec![window(10, 60), Bound::Concurrent { limit: 5 }]),
        ("count = \"bytes\"\nrate = \"1MiB/1h\"", vec![window(1024, 3600)]),
    ] {
        let limit = limit(text);
        assert_eq!(limit.levels.iter().map(|level| level.bound).collect::<Vec<_>>(), bounds, "{text}");
        assert!(limit.levels.iter().all(|level| level.over == Over::Act(Action::Throttle)), "{text}");
    }
}

#[test]
fn steps_are_levels_from_the_softest() {
    let text = r#"
over = [
    { at = "100/1m", action = "ban" },
    { at = "5/1m", action = "score", strength = 0.5 },
    { at = ["20/1m", "60/1h"], action = "throttle" },
    { at = "10/1m", burst = 3, action = "delay", delay = "3s", max_waiting = 7 },
    { concurrency = 4, action = "challenge" },
    { at = "8/1m", action = "delay" },
]"#;
    let limit = limit(text);
    let found: Vec<_> = limit.levels.iter().map(|level| (&*level.name, level.bound.limit(), level.over)).collect();
    let groups: Vec<_> = limit.groups().map(<[_]>::len).collect();
    assert_eq!(groups, [1, 2, 2, 1, 1]);
    let delay = |secs_at_most, max_waiting| Over::Delay { at_most: secs(secs_at_most), max_waiting };
    assert_eq!(
        found,
        [
            ("l 1m", 5, Over::Score(Strength::thousandths(500))),
            ("l 1m", 3, delay(3, 7)),
            ("l 1m 2", 8, delay(2, 100)),
            ("l 1m 3", 20, Over::Act(Action::Throttle)),
            ("l 1h", 60, Over::Act(Action::Throttle)),
            ("l at once", 4, Over::Act(Action::Challenge)),
            ("l 1m 4", 100, Over::Act(Action::Ban)),
        ]
    );
}

#[test]
fn levels_have_counters_of_their_own_which_an_edit_of_a_rate_leaves_alone() {
    let counters = |text: &str| limit(text).levels.iter().map(|level| level.counter).collect::<Vec<_>>();
    let one = counters(r#"rate = ["10/1m", "100/1h"]"#);
    assert_ne!(one[0], one[1]);
    assert_eq!(one, counters(r#"rate = ["20/1m", "300/1h"]"#));
    assert_eq!(one[..1], counters(r#"rate = "20/1m""#)[..]);
    assert_ne!(one[..1], counters("rate = \"20/1m\"\nburst = 5")[..]);
    let steps = counters(r#"over = [{ at = "5/1m", action = "delay" }, { at = "9/1m", action = "block" }]"#);
    assert_ne!(steps[0], steps[1]);
}

#[test]
fn a_limit_is_charged_when_it_is_known_what_it_counts() {
    for (text, count, charged) in [
        ("", Count::Requests, Charged::AtRequest),
        ("count = \"failures\"", Count::Failures, Charged::AtAnswer),
        ("cost = 5", Count::Requests, Charged::AtRequest),
        ("cost = \"header:x-cost\"", Count::Requests, Charged::AtAnswer),
        ("count = \"distinct:path\"", Count::Distinct(KeyPart::Path), Charged::AtRequest),
    ] {
        let limit = limit(&format!("rate = \"10/1m\"\n{text}"));
        assert_eq!((limit.count.clone(), limit.charged()), (count, charged), "{text}");
    }
    assert_eq!(limit("rate = \"10/1m\"\ncost = 5").cost, Cost::Units(5));
}

#[test]
fn every_part_of_a_key_has_one_spelling() {
    let route = r#"identify = { user = "json:/user/email", account = "header:x-account", api_key = "query:key", session = "cookie:sid", device = "form:device", token = "header:authorization" }"#;
    let text = with(route, "rate = \"10/1m\"");
    let keys = r#"key = ["ip", "ip_prefix", "ip/24/48", "asn", "country", "ja3", "ja4", "http2", "user_agent", "client", "header_order", "user", "account", "api_key", "session", "device", "token", "route", "host", "method", "path", "header:x-tenant", "cookie:c", "query:q", "form:f", "json:/a/0", "claim:sub", "claim:realm/tenant", "jwt:cookie:id/sub"]"#;
    let route = login(&text.replace("key = [\"ip\"]", keys));
    let key = &route.limits[0].key;
    assert_eq!(key[2], KeyPart::Prefix(PrefixLengths { v4: 24, v6: 48 }));
    assert_eq!(key.len(), 29);
    let sources: Vec<_> = key[21..]
        .iter()
        .map(|part| match part {
            KeyPart::At(Place::Field(at)) => format!("{:?}", route.reads.fields[usize::from(*at)]),
            other => format!("{other:?}"),
        })
        .collect();
    insta::assert_snapshot!(sources.join("\n"), @r#"
    At(Header("x-tenant"))
    At(Cookie("c"))
    Query("q")
    Body(2)
    Body(3)
    Claim { token: Header("authorization"), claim: "/sub" }
    Claim { token: Header("authorization"), claim: "/realm/tenant" }
    Claim { token: Cookie("id"), claim: "/sub" }
    "#);
    insta::assert_debug_snapshot!(route.reads.body, @r#"
    [
        Json(
            "/user/email",
        ),
        Form(
            "device",
        ),
        Form(
            "f",
        ),
        Json(
            "/a/0",
        ),
    ]
    "#);
    assert_eq!(route.reads.body_bytes, 65_536);
    assert!(route.reads.needs_body());
    assert!(!login(&with("", "rate = \"10/1m\"")).reads.needs_body());
}

#[test]
fn fields_of_the_request_become_its_caller() {
    let text = with(
        r#"identify = { user = "json:/user/email", account = "jwt:header:authorization/tenant", api_key = "query:key", token = "header:authorization" }"#,
        "rate = \"10/1m\"",
    );
    let route = login(&text);
    assert!(matches!(route.reads.fields.first(), Some(FieldSource::Body(0))));
    // {"alg":"none"} and {"tenant":"acme","jti":"t-1"}
    let token = "eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJhY21lIiwianRpIjoidC0xIn0.c2ln";
    let check = |authorization: &str, body: &str, expected: [Option<&str>; 4]| {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("shop.example"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        let request = CanonicalRequest::of(&RequestHead {
            method: &Method::POST,
            target: b"/login?key=k%31",
            authority: None,
            version: Version::HTTP_11,
            headers: &headers,
            raw: None,
        });
        let body = BodyPrefix { bytes: body.as_bytes(), end: BodyEnd::Reached };
        let fields = route.reads.fields(&request, Some(body));
        let caller = route.identify.caller(&request, &fields);
        assert_eq!([caller.user, caller.account, caller.api_key, caller.token], expected);
        let blind = route.reads.fields(&request, None);
        assert_eq!(route.identify.caller(&request, &blind).user, None, "without the body");
    };
    let bearer = format!("Bearer {token}");
    check(&bearer, r#"{"user":{"email":"ann"}}"#, [Some("ann"), Some("acme"), Some("k1"), Some("t-1")]);
    check("Bearer opaque", r#"{"user":{"email":["ann"]}}"#, [None, None, Some("k1"), Some("opaque")]);
}

#[test]
fn limits_of_one_budget_count_together() {
    let route = |name: &str, budget: &str, cost: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\npaths = [\"/{name}\"]\norigin = \"app\"\n[[route.limit]]\nname = \"credits\"\nkey = [\"ip\"]\nrate = \"100/1d\"\n{budget}\n{cost}\n"
        )
    };
    let counters = |budget: &str| {
        let rules = compiled(&format!("{}{}", route("chat", budget, "cost = 5"), route("embed", budget, ""))).rules;
        let limits = rules.routes().iter().flat_map(|route| &route.limits);
        limits.map(|limit| (limit.counter, limit.levels[0].counter)).collect::<Vec<_>>()
    };
    let shared = counters("budget = \"ai\"");
    assert_eq!(shared[0], shared[1]);
    let apart = counters("");
    assert_ne!(apart[0], apart[1]);
}

#[test]
fn a_posture_tightens_by_a_share_and_never_loosens() {
    let of = |route: &str, posture: Posture| {
        let route = login(&format!("[[route]]\nname = \"login\"\norigin = \"app\"\n{route}\n"));
        let thresholds = route.thresholds_in(posture);
        [thresholds.throttle, thresholds.challenge, thresholds.block, thresholds.ban]
            .map(|score| score.map(|score| score.as_thousandths()))
    };
    use Posture::{Elevated, Normal, UnderAttack};
    for (route, posture, thresholds) in [
        ("", Normal, [Some(300), Some(350), Some(600), Some(970)]),
        ("", Elevated, [Some(270), Some(315), Some(540), Some(970)]),
        ("", UnderAttack, [Some(210), Some(245), Some(420), Some(970)]),
        // A share takes `block` down to 0.4 at most.
        ("preset = \"strict\"", UnderAttack, [Some(105), Some(140), Some(400), Some(970)]),
        ("preset = \"relaxed\"", UnderAttack, [None, Some(350), Some(560), Some(990)]),
        ("posture = \"off\"", UnderAttack, [Some(300), Some(350), Some(600), Some(970)]),
        (
            "posture = { elevated = { thresholds = { challenge = 0.2 } } }",
            Elevated,
            [None, Some(200), Some(540), Some(970)],
        ),
        ("posture = { elevated = { tighten = 0.5 } }", Elevated, [Some(150), Some(175), Some(400), Some(970)]),
        ("posture = { elevated = { tighten = 0.5 } }", UnderAttack, [Some(210), Some(245), Some(420), Some(970)]),
        (
            "posture = { under_attack = { thresholds = { throttle = \"off\", challenge = 0.0, block = 0.3 } } }\nthresholds = { throttle = \"off\" }",
            UnderAttack,
            [None, Some(0), Some(300), Some(970)],
        ),
    ] {
        assert_eq!(of(route, posture), thresholds, "{route} {posture:?}");
    }
}

#[test]
fn a_program_that_is_nothing_else_passes_while_a_balanced_route_is_elevated() {
    let text = r#"
[[route]]
name = "api"
origin = "app"
clients = "api"
[[test]]
name = "elevated"
request = { host = "shop.example", path = "/", headers = { user-agent = "curl/8.5.0" } }
counters = { posture = "elevated" }
expect = { action = "allow", score_min = 0.3 }
[[test]]
name = "under attack"
request = { host = "shop.example", path = "/", headers = { user-agent = "curl/8.5.0" } }
counters = { posture = "under_attack" }
expect = { action = "challenge" }
"#;
    let compiled = compiled(text);
    let told: Vec<_> =
        run_tests(&compiled.rules, &compiled.tests).iter().map(|outcome| outcome.faults.to_string()).collect();
    assert_eq!(told.concat(), "");
}

#[test]
fn tests_of_rules_say_what_levels_and_memory_read() {
    let text = r#"
[[route]]
name = "login"
origin = "app"
identify = { user = "json:/email" }
[[route.limit]]
name = "steps"
key = ["user"]
on_missing = "refuse"
over = [{ at = "5/1m", action = "score" }, { at = "10/1m", action = "throttle" }, { at = "20/1m", action = "block" }]

[[test]]
name = "below"
request = { host = "shop.example", path = "/", headers = { user-agent = "Shop/1" } }
counters = { limits = { steps = { count = 5 } } }
expect = { action = "allow", score_max = 0.0 }
[[test]]
name = "softly"
request = { host = "shop.example", path = "/", headers = { user-agent = "Shop/1" } }
counters = { limits = { steps = { count = 6 } } }
expect = { action = "challenge", reasons = ["limit-exceeded"] }
[[test]]
name = "hard"
request = { host = "shop.example", path = "/", headers = { user-agent = "Shop/1" } }
counters = { limits = { steps = { count = 20, over = true } } }
expect = { action = "block", code = "API.LIMIT_BLOCKED" }
[[test]]
name = "no user"
request = { host = "shop.example", path = "/", headers = { user-agent = "Shop/1" } }
counters = { limits = { steps = { missing = true } } }
expect = { action = "block", code = "API.LIMIT_KEY_MISSING" }
[[test]]
name = "what is remembered"
request = { host = "shop.example", path = "/", headers = { user-agent = "Shop/1", content-type = "application/json" }, body = '{"email":"ann"}' }
counters = { cohort_surge = 1.0, cohort_growth = 1.0, cohort_unknown = 1.0, posture = "under_attack", stuffing_success = 1.0, reputation = 1.0, users = 100, failed_users = 100, networks = 90, paths = 9000, missing_paths = 1, sequence = 2 }
expect = { action = "block", reasons = ["cohort-surge", "cohort-growth", "cohort-unknown", "stuffing-success", "reputation", "distinct-users", "distinct-networks", "enumeration"] }
"#;
    let compiled = compiled(text);
    let told: Vec<_> =
        run_tests(&compiled.rules, &compiled.tests).iter().map(|outcome| outcome.faults.to_string()).collect();
    assert_eq!(told.concat(), "");
}

#[test]
fn a_client_is_told_of_what_it_uses_up_and_of_nothing_else() {
    let text = with(
        "",
        r#"rate = ["10/1m", "100/1h"]
[[route.limit]]
name = "bytes"
key = ["ip"]
count = "bytes"
rate = "1MiB/1h"
[[route.limit]]
name = "bucket"
key = ["ip"]
rate = "10/1m"
burst = 20
[[route.limit]]
name = "open"
key = ["ip"]
concurrency = 5
[[route.limit]]
name = "failures"
key = ["ip"]
count = "failures"
rate = "3/1m"
[[route.limit]]
name = "hidden"
key = ["ip"]
rate = "3/1m"
over = "block"
[[route.limit]]
name = "watched"
key = ["ip"]
rate = "3/1m"
mode = "monitor"
"#,
    );
    let route = login(&text);
    insta::assert_snapshot!(rate_limit_policy(&route).unwrap(), @r#"
    "l 1m";q=10;w=60, "l 1h";q=100;w=3600, "bytes";q=1048576;qu="content-bytes";w=3600, "bucket";q=20;w=120, "open";q=5;qu="concurrent-requests"
    "#);
    let read = |count| LimitReading { count, ..LimitReading::default() };
    let over = LimitReading { count: 100, over: true, retry_after_ms: 1500, ..LimitReading::default() };
    let readings = [read(4), over, read(1000), read(20), read(2), read(1), read(1), read(1)];
    insta::assert_snapshot!(rate_limit(&route, &readings).unwrap(), @r#"
    "l 1m";r=6;t=60, "l 1h";r=0;t=2, "bytes";r=24576;t=3600, "bucket";r=0;t=120, "open";r=3
    "#);
    assert_eq!(rate_limit(&route, &[]), None);
    assert_eq!(rate_limit_policy(&Route::bare("open")), None);
}

#[test]
fn on_missing_says_what_becomes_of_a_request_without_a_part() {
    for (text, on_missing) in [
        ("", OnMissing::Prefix),
        ("on_missing = \"prefix\"", OnMissing::Prefix),
        ("on_missing = \"skip\"", OnMissing::Skip),
        ("on_missing = \"refuse\"", OnMissing::Refuse),
    ] {
        assert_eq!(limit(&format!("rate = \"10/1m\"\n{text}")).on_missing, on_missing);
    }
}

#[test]
fn a_failure_is_a_status_a_header_or_a_member_of_the_body() {
    let of = |text: &str| login(&format!("[[route]]\nname = \"login\"\norigin = \"app\"\n{text}\n")).failure;
    let fails = |text: &str, status: u16, body: &str| of(text).failed(status, &HeaderMap::new(), body.as_bytes());
    assert!(fails("", 401, ""), "as shipped");
    assert!(!fails(r#"failure = { json = { "/ok" = false } }"#, 401, ""), "without `status` none counts");
    assert!(fails(r#"failure = { json = { "/ok" = false } }"#, 200, r#"{"ok":false}"#));
    assert!(fails(r#"failure = { json = { "/code" = 7, "/error" = "*" } }"#, 200, r#"{"error":{}}"#));
    assert!(fails(r#"failure = { status = [500], json = { "/state" = "denied*" } }"#, 200, r#"{"state":"denied."}"#));
}

#[test]
fn parts_of_a_key_that_are_none() {
    let text = with("", "rate = \"10/1m\"").replace(
        "key = [\"ip\"]",
        r#"key = [
    "ipp",
    "ip/24",
    "ip/64",
    "ip/48/24",
    "ip/24/200",
    "header:",
    "cookie:a b",
    "query:a=b",
    "form:",
    "json:email",
    "json:/a~2",
    "jwt:header:authorization",
    "jwt:json:/token/sub",
    "claim:sub",
    "token",
    "device",
    "zebra",
]"#,
    );
    insta::assert_snapshot!(faults(&text), @r#"
    error: unknown part of a limit's key `ipp`
     --> rules/one.toml:8:5
      |
    8 |     "ipp",
      |     ^^^^^ not known here
      |
      = help: did you mean `ip`?

    error: `ip/24` is no prefix
     --> rules/one.toml:9:5
      |
    9 |     "ip/24",
      |     ^^^^^^^ an address is of IPv4 or of IPv6
      |
      = help: write the bits of both, of IPv4 first: "ip/24/56"

    error: `ip/64` is no prefix
      --> rules/one.toml:10:5
       |
    10 |     "ip/64",
       |     ^^^^^^^ an address is of IPv4 or of IPv6
       |
       = help: write the bits of both, of IPv4 first: "ip/24/64"

    error: `ip/48/24` is no prefix
      --> rules/one.toml:11:5
       |
    11 |     "ip/48/24",
       |     ^^^^^^^^^^ the other way round
       |
       = help: IPv4 stands first: "ip/24/48"

    error: `ip/24/200` is no prefix
      --> rules/one.toml:12:5
       |
    12 |     "ip/24/200",
       |     ^^^^^^^^^^^ bits that are not there
       |
       = help: of IPv4 write 8 to 32, of IPv6 16 to 128: "ip/24/56"

    error: `header:` is no place in a request
      --> rules/one.toml:13:5
       |
    13 |     "header:",
       |     ^^^^^^^^^ no name behind the colon
       |
       = help: name it: "header:x"

    error: `cookie:a b` is no place in a request
      --> rules/one.toml:14:5
       |
    14 |     "cookie:a b",
       |     ^^^^^^^^^^^^ `a b` is no name of a cookie
       |
       = help: write such as "cookie:sid"

    error: `query:a=b` is no place in a request
      --> rules/one.toml:15:5
       |
    15 |     "query:a=b",
       |     ^^^^^^^^^^^ `a=b` is no parameter
       |
       = help: write such as "query:key"

    error: `form:` is no place in a request
      --> rules/one.toml:16:5
       |
    16 |     "form:",
       |     ^^^^^^^ no name behind the colon
       |
       = help: name it: "form:x"

    error: `json:email` is no place in a request
      --> rules/one.toml:17:5
       |
    17 |     "json:email",
       |     ^^^^^^^^^^^^ does not begin with `/`
       |
       = help: begin at the top, with a slash before each name: "json:/email"

    error: `json:/a~2` is no place in a request
      --> rules/one.toml:18:5
       |
    18 |     "json:/a~2",
       |     ^^^^^^^^^^^ a `~` that neither `0` nor `1` follows
       |
       = help: write the names with a slash before each: "json:/user/email"; `~1` is a slash in a name, `~0` a tilde

    error: `jwt:header:authorization` is no place in a request
      --> rules/one.toml:19:5
       |
    19 |     "jwt:header:authorization",
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^ no claim is named
       |
       = help: write where the token stands, and the claim behind a slash: "jwt:header:authorization/sub"

    error: `jwt:json:/token/sub` is no place in a request
      --> rules/one.toml:20:5
       |
    20 |     "jwt:json:/token/sub",
       |     ^^^^^^^^^^^^^^^^^^^^^ a token does not stand in a body
       |
       = help: write where the token stands, and the claim behind a slash: "jwt:header:authorization/sub"

    error: limit `l` counts by a claim of the token, which nothing identifies
      --> rules/one.toml:21:5
       |
    21 |     "claim:sub",
       |     ^^^^^^^^^^^ route `login` does not say where it stands
       |
       = help: add `identify = { token = "header:authorization" }` to the route, or to `[defaults]`

    error: limit `l` counts by `token`, which nothing identifies
      --> rules/one.toml:22:5
       |
    22 |     "token",
       |     ^^^^^^^ route `login` does not say where it stands
       |
       = help: add `identify = { token = "header:authorization" }` to the route, or to `[defaults]`

    error: limit `l` counts by `device`, which nothing identifies
      --> rules/one.toml:23:5
       |
    23 |     "device",
       |     ^^^^^^^^ route `login` does not say where it stands
       |
       = help: add `identify = { device = "header:..." }` to the route, or to `[defaults]`

    error: unknown part of a limit's key `zebra`
      --> rules/one.toml:24:5
       |
    24 |     "zebra",
       |     ^^^^^^^ not known here
       |
       = help: known: `ip`, `ip_prefix`, `asn`, `country`, `ja3`, `ja4`, `http2`, `user_agent`, `client`, `header_order`, `user`, `account`, `api_key`, `session`, `device`, `token`, `route`, `host`, `method`, `path`, `ip/24/56`, `claim:NAME`, `header:NAME`, `cookie:NAME`, `query:NAME`, `form:NAME`, `json:/NAME` or `jwt:header:authorization/CLAIM`
    "#);
}

#[test]
fn rates_and_bursts_that_do_not_go_together() {
    let text = with(
        "",
        r#"rate = ["10/1m", "20/1m"]
burst = 5
[[route.limit]]
name = "a"
key = ["ip"]
rate = []
[[route.limit]]
name = "b"
key = ["ip"]
burst = 5
concurrency = 0
[[route.limit]]
name = "c"
key = ["ip"]
count = "failures"
concurrency = 5
[[route.limit]]
name = "d"
key = ["ip"]
count = "distinct:path"
rate = "10/1m"
burst = 5
[[route.limit]]
name = "e"
key = ["ip"]
[[route.limit]]
name = "f"
key = ["ip"]
rate = ["1/1s", "2/2s", "3/3s", "4/4s", "5/5s", "6/6s", "7/7s", "8/8s", "9/9s"]
"#,
    );
    insta::assert_snapshot!(faults(&text), @r#"
    error: two rates in 1m
     --> rules/one.toml:8:18
      |
    8 | rate = ["10/1m", "20/1m"]
      |         -------  ^^^^^^^ again here
      |         |
      |         first here
      |
      = help: the lower one always holds: take the other out, or give each its step in `over`

    error: `burst` beside several rates
     --> rules/one.toml:9:9
      |
    9 | burst = 5
      |         ^ a bucket holds so much at once, and fills at one rate
      |
      = help: write a limit for each rate, or steps: each may have its `burst`

    error: `rate` is an empty list
      --> rules/one.toml:13:8
       |
    13 | rate = []
       |        ^^ admits everything
       |
       = help: name at least one rate, such as "10/1m"

    error: `burst` without a rate
      --> rules/one.toml:17:9
       |
    17 | burst = 5
       |         ^ a bucket holds so much at once, and fills at one rate
       |
       = help: say how fast the bucket fills: `rate = "10/1m"`

    error: `concurrency` is out of range
      --> rules/one.toml:18:15
       |
    18 | concurrency = 0
       |               ^ not from 1 to 4294967295
       |
       = help: write a number from 1 to 4294967295

    error: `concurrency` of what is no request
      --> rules/one.toml:23:15
       |
    23 | concurrency = 5
       |               ^ cannot be counted
       |
       = help: only requests are under way at the same time: leave `count` out, or write a limit of its own

    error: different values do not come in a burst
      --> rules/one.toml:29:9
       |
    29 | burst = 5
       |         ^ a bucket holds so much at once, and fills at one rate
       |
       = help: take `burst` out: a window counts them

    error: a limit without `rate`
      --> rules/one.toml:30:1
       |
    30 | [[route.limit]]
       | ^^^^^^^^^^^^^^^ `rate` is missing
       |
       = help: add `rate = "10/1m"`

    error: a limit with more than 8 levels
      --> rules/one.toml:36:73
       |
    36 | rate = ["1/1s", "2/2s", "3/3s", "4/4s", "5/5s", "6/6s", "7/7s", "8/8s", "9/9s"]
       |                                                                         ^^^^^^ one too many
       |
       = help: each level is a counter that every request looks at: leave some out, or write a second limit
    "#);
}

#[test]
fn bytes_without_a_unit_and_units_without_bytes() {
    let text = with(
        "",
        r#"count = "bytes"
rate = "50/1h"
[[route.limit]]
name = "a"
key = ["ip"]
count = "bytes"
rate = "50MB/1h"
burst = 3
[[route.limit]]
name = "b"
key = ["ip"]
rate = "50MiB/1h"
[[route.limit]]
name = "c"
key = ["ip"]
count = "bytes"
rate = "5000GiB/1h"
"#,
    );
    insta::assert_snapshot!(faults(&text), @r#"
    error: `50/1h` is no rate of bytes
     --> rules/one.toml:9:8
      |
    9 | rate = "50/1h"
      |        ^^^^^^^ the unit is missing
      |
      = help: write an amount and a window, such as "50MiB/1h"; amounts are in KiB, MiB and GiB, up to 4095GiB

    error: `50MB/1h` is no rate of bytes
      --> rules/one.toml:14:8
       |
    14 | rate = "50MB/1h"
       |        ^^^^^^^^^ `MB` is no unit
       |
       = help: write an amount and a window, such as "50MiB/1h"; amounts are in KiB, MiB and GiB, up to 4095GiB

    error: bytes have no burst
      --> rules/one.toml:15:9
       |
    15 | burst = 3
       |         ^ a bucket holds so much at once, and fills at one rate
       |
       = help: take `burst` out: a window counts them, and admits the whole rate at once

    error: `50MiB/1h` is no rate
      --> rules/one.toml:19:8
       |
    19 | rate = "50MiB/1h"
       |        ^^^^^^^^^^ the count is no whole number from 1
       |
       = help: write a count and a window, such as "10/1m"; the units are s, m, h and d

    error: `5000GiB/1h` is no rate of bytes
      --> rules/one.toml:24:8
       |
    24 | rate = "5000GiB/1h"
       |        ^^^^^^^^^^^^ more than can be counted
       |
       = help: write an amount and a window, such as "50MiB/1h"; amounts are in KiB, MiB and GiB, up to 4095GiB
    "#);
}

#[test]
fn counts_and_costs_that_are_none() {
    let text = with(
        "",
        r#"rate = "10/1m"
count = "cost"
[[route.limit]]
name = "a"
key = ["ip"]
rate = "10/1m"
count = "distinct"
[[route.limit]]
name = "b"
key = ["ip"]
rate = "10/1m"
count = "request"
[[route.limit]]
name = "c"
key = ["ip"]
rate = "10/1m"
count = "distinct:usr"
[[route.limit]]
name = "d"
key = ["ip"]
rate = "10/1m"
count = "distinct:user"
[[route.limit]]
name = "e"
key = ["ip"]
rate = "10/1m"
cost = 11
[[route.limit]]
name = "f"
key = ["ip"]
rate = "10/1m"
cost = 0
[[route.limit]]
name = "g"
key = ["ip"]
rate = "10/1m"
cost = "x-cost"
[[route.limit]]
name = "h"
key = ["ip"]
rate = "10MiB/1m"
count = "bytes"
cost = 2
"#,
    );
    insta::assert_snapshot!(faults(&text), @r#"
    error: `cost` is not a thing to count
     --> rules/one.toml:9:9
      |
    9 | count = "cost"
      |         ^^^^^^ counts requests, each by its cost
      |
      = help: leave `count` out, and say what one request costs: `cost = 5`, or `cost = "header:x-cost"`

    error: `distinct` needs to know of what
      --> rules/one.toml:14:9
       |
    14 | count = "distinct"
       |         ^^^^^^^^^^ different what?
       |
       = help: say of what: `count = "distinct:user"`

    error: unknown value `request` for `count`
      --> rules/one.toml:19:9
       |
    19 | count = "request"
       |         ^^^^^^^^^ not known here
       |
       = help: did you mean `requests`?
       = help: known: `requests`, `failures`, `bytes` or `distinct:user`

    error: unknown value to tell apart `usr`
      --> rules/one.toml:24:9
       |
    24 | count = "distinct:usr"
       |         ^^^^^^^^^^^^^^ not known here
       |
       = help: did you mean `user`?

    error: limit `d` counts by `user`, which nothing identifies
      --> rules/one.toml:29:9
       |
    29 | count = "distinct:user"
       |         ^^^^^^^^^^^^^^^ route `login` does not say where it stands
       |
       = help: add `identify = { user = "header:..." }` to the route, or to `[defaults]`

    error: a limit that admits nothing
      --> rules/one.toml:33:8
       |
    33 | rate = "10/1m"
       |        ^^^^^^^ less than the 11 that one request costs
       |
       = help: raise it, or lower `cost`

    error: `cost` is out of range
      --> rules/one.toml:39:8
       |
    39 | cost = 0
       |        ^ not from 1 to 1000000
       |
       = help: write a number from 1 to 1000000

    error: `x-cost` is no cost
      --> rules/one.toml:44:8
       |
    44 | cost = "x-cost"
       |        ^^^^^^^^ neither a number nor a header
       |
       = help: write a number, or the header in which the origin tells it: "header:x-cost"

    error: a limit of bytes with a cost
      --> rules/one.toml:50:8
       |
    50 | cost = 2
       |        ^ costs nothing
       |
       = help: take `cost` out: every byte is one
    "#);
}

#[test]
fn steps_that_are_none() {
    let text = with(
        "",
        r#"rate = "10/1m"
over = [{ at = "10/1m", action = "throttle" }]
[[route.limit]]
name = "a"
key = ["ip"]
over = []
[[route.limit]]
name = "b"
key = ["ip"]
over = [{ action = "throttle" }, { at = "10/1m" }, { at = "10/1m", action = "allow" }, "throttle"]
[[route.limit]]
name = "c"
key = ["ip"]
over = [{ at = "10/1m", action = "block" }, { at = "20/1m", action = "throttle" }]
[[route.limit]]
name = "d"
key = ["ip"]
rate = "10/1m"
over = "slow"
[[route.limit]]
name = "e"
key = ["ip"]
over = [{ at = "10/1m", action = "throttle", rate = "5/1m" }]
"#,
    );
    insta::assert_snapshot!(faults(&text), @r#"
    error: `rate` stands beside steps
     --> rules/one.toml:8:8
      |
    8 | rate = "10/1m"
      |        ^^^^^^^ for which of them?
      |
      = help: put it into the steps of `over`, each with what is its own

    error: `over` has no step
      --> rules/one.toml:13:8
       |
    13 | over = []
       |        ^^ does nothing
       |
       = help: write `over = "throttle"`, or name steps

    error: a step without `at`
      --> rules/one.toml:17:9
       |
    17 | over = [{ action = "throttle" }, { at = "10/1m" }, { at = "10/1m", action = "allow" }, "throttle"]
       |         ^^^^^^^^^^^^^^^^^^^^^^^ `at` is missing
       |
       = help: add `at = "10/1m"`

    error: a step without `action`
      --> rules/one.toml:17:34
       |
    17 | over = [{ action = "throttle" }, { at = "10/1m" }, { at = "10/1m", action = "allow" }, "throttle"]
       |                                  ^^^^^^^^^^^^^^^^ `action` is missing
       |
       = help: add `action = "throttle"`

    error: unknown value `allow` for `action`
      --> rules/one.toml:17:77
       |
    17 | over = [{ action = "throttle" }, { at = "10/1m" }, { at = "10/1m", action = "allow" }, "throttle"]
       |                                                                             ^^^^^^^ not known here
       |
       = help: known: `score`, `delay`, `throttle`, `challenge`, `block` or `ban`

    error: expected a table for `over`, but found a text
      --> rules/one.toml:17:88
       |
    17 | over = [{ action = "throttle" }, { at = "10/1m" }, { at = "10/1m", action = "allow" }, "throttle"]
       |                                                                                        ^^^^^^^^^^ a text, not a table

    error: a limit says `block` no later than `throttle`
      --> rules/one.toml:21:16
       |
    21 | over = [{ at = "10/1m", action = "block" }, { at = "20/1m", action = "throttle" }]
       |                ^^^^^^^ not above 20                ------- `throttle` begins here
       |
       = help: raise where it says `block`, or take `throttle` out: it never comes to it

    error: unknown value `slow` for `over`
      --> rules/one.toml:26:8
       |
    26 | over = "slow"
       |        ^^^^^^ not known here
       |
       = help: known: `score`, `delay`, `throttle`, `challenge`, `block` or `ban`

    error: unknown key `rate` in a step
      --> rules/one.toml:30:46
       |
    30 | over = [{ at = "10/1m", action = "throttle", rate = "5/1m" }]
       |                                              ^^^^ not known here
       |
       = help: known here: `at`, `burst`, `concurrency`, `action`, `delay`, `max_waiting` or `strength`
    "#);
}

#[test]
fn delays_and_strengths_out_of_place_or_range() {
    let text = with(
        "",
        r#"rate = "10/1m"
delay = "2s"
[[route.limit]]
name = "a"
key = ["ip"]
rate = "10/1m"
over = "delay"
delay = "5m"
[[route.limit]]
name = "b"
key = ["ip"]
rate = "10/1m"
over = "delay"
max_waiting = 0
[[route.limit]]
name = "c"
key = ["ip"]
rate = "10/1m"
over = "score"
strength = 2
[[route.limit]]
name = "d"
key = ["ip"]
rate = "10/1m"
over = "delay"
strength = 0.5
[[route.limit]]
name = "e"
key = ["ip"]
rate = "10/1m"
on_missing = "unlimited"
"#,
    );
    insta::assert_snapshot!(faults(&text), @r#"
    error: `delay` without the action `delay`
     --> rules/one.toml:9:9
      |
    9 | delay = "2s"
      |         ^^^^ says nothing here
      |
      = help: take it out, or write `delay` for what is done

    error: `5m` is no duration
      --> rules/one.toml:15:9
       |
    15 | delay = "5m"
       |         ^^^^ longer than 30s
       |
       = help: write such as "30s", "15m", "2h" or "1d", up to 30s

    error: `max_waiting` is out of range
      --> rules/one.toml:21:15
       |
    21 | max_waiting = 0
       |               ^ not from 1 to 10000
       |
       = help: write a number from 1 to 10000

    error: `strength` is out of range
      --> rules/one.toml:27:12
       |
    27 | strength = 2
       |            ^ not from 0 to 1
       |
       = help: write 0.02: scores, weights and caps go from 0 to 1

    error: `strength` without the action `score`
      --> rules/one.toml:33:12
       |
    33 | strength = 0.5
       |            ^^^ says nothing here
       |
       = help: take it out, or write `score` for what is done

    error: unknown value `unlimited` for `on_missing`
      --> rules/one.toml:38:14
       |
    38 | on_missing = "unlimited"
       |              ^^^^^^^^^^^ not known here
       |
       = help: known: `prefix`, `skip` or `refuse`
    "#);
}

#[test]
fn a_budget_that_counts_in_two_ways() {
    let text = with(
        "",
        r#"rate = "10/1m"
budget = "credits"
[[route]]
name = "other"
origin = "app"
paths = ["/other"]
[[route.limit]]
name = "l"
key = ["ip"]
rate = "20/1m"
budget = "credits"
"#,
    );
    insta::assert_snapshot!(faults(&text), @r#"
    error: the budget `credits` is not one
      --> rules/one.toml:18:10
       |
     9 | budget = "credits"
       |          --------- than here
    ...
    18 | budget = "credits"
       |          ^^^^^^^^^ counts otherwise, or another rate
       |
       = help: give both the same `key`, `count` and rates; `cost` and actions may differ
    "#);
}

#[test]
fn a_posture_that_loosens_does_not_rise_or_is_none() {
    let text = r#"[[route]]
name = "login"
origin = "app"
posture = { elevated = { thresholds = { challenge = 0.4 } }, under_attack = { thresholds = { block = "off" } } }
[[route]]
name = "a"
origin = "app"
paths = ["/a"]
posture = { under_attack = { thresholds = { block = 0.1 } } }
[[route]]
name = "b"
origin = "app"
paths = ["/b"]
posture = { attack = { tighten = 0.1 }, elevated = { tighten = 10 } }
[[route]]
name = "c"
origin = "app"
paths = ["/c"]
posture = "on"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: route `login` in posture `elevated` is milder than otherwise
     --> rules/one.toml:4:53
      |
    4 | posture = { elevated = { thresholds = { challenge = 0.4 } }, under_attack = { thresholds = { block = "off" } } }
      |                                                     ^^^ otherwise the route challenges at 0.350
      |
      = help: a posture only tightens: lower `challenge`, or take it out

    error: route `login` in posture `under_attack` is milder than otherwise
     --> rules/one.toml:4:102
      |
    4 | posture = { elevated = { thresholds = { challenge = 0.4 } }, under_attack = { thresholds = { block = "off" } } }
      |                                                                                                      ^^^^^ otherwise the route blocks at 0.600
      |
      = help: a posture only tightens: lower `block`, or take it out

    error: route `a` in posture `under_attack` blocks before it challenges
     --> rules/one.toml:9:53
      |
    9 | posture = { under_attack = { thresholds = { block = 0.1 } } }
      |                                                     ^^^ not above 0.245: the posture by itself challenges at 0.245
      |
      = help: raise `block`, or lower `challenge`

    error: unknown key `attack` in `posture`
      --> rules/one.toml:14:13
       |
    14 | posture = { attack = { tighten = 0.1 }, elevated = { tighten = 10 } }
       |             ^^^^^^ not known here
       |
       = help: known here: `elevated` or `under_attack`

    error: `tighten` is out of range
      --> rules/one.toml:14:64
       |
    14 | posture = { attack = { tighten = 0.1 }, elevated = { tighten = 10 } }
       |                                                                ^^ not from 0 to 1
       |
       = help: write 0.10: scores, weights and caps go from 0 to 1

    error: `posture` is a table, or `off`
      --> rules/one.toml:19:11
       |
    19 | posture = "on"
       |           ^^^^ neither of them
       |
       = help: write "off", or what tightens: { elevated = { tighten = 0.1 }, under_attack = { tighten = 0.3 } }
    "#);
}

#[test]
fn a_failure_that_is_none() {
    let text = r#"[[route]]
name = "login"
origin = "app"
failure = {}
[[route]]
name = "a"
origin = "app"
paths = ["/a"]
failure = { json = { "error.code" = 7, "/x" = 1.5 }, header = { "x y" = "a" } }
[[route]]
name = "b"
origin = "app"
paths = ["/b"]
failure = { statuses = [401] }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `failure` says nothing
     --> rules/one.toml:4:11
      |
    4 | failure = {}
      |           ^^ no answer would count as failed
      |
      = help: name at least one: `status = [401, 403]`, `header = { x-login = "failed*" }` or `json = { "/ok" = false }`

    error: `error.code` is no member of a JSON body
     --> rules/one.toml:9:22
      |
    9 | failure = { json = { "error.code" = 7, "/x" = 1.5 }, header = { "x y" = "a" } }
      |                      ^^^^^^^^^^^^ does not begin with `/`
      |
      = help: begin at the top: "/error/code"

    error: `/x` cannot be compared with this
     --> rules/one.toml:9:47
      |
    9 | failure = { json = { "error.code" = 7, "/x" = 1.5 }, header = { "x y" = "a" } }
      |                                               ^^^ neither a text, a whole number, `true` nor `false`
      |
      = help: write `true`, `false`, a whole number, a text with `*` for any run of characters, or "*" for whatever is there

    error: `x y` is no header
     --> rules/one.toml:9:65
      |
    9 | failure = { json = { "error.code" = 7, "/x" = 1.5 }, header = { "x y" = "a" } }
      |                                                                 ^^^^^ no name of a header
      |
      = help: write it as it is sent

    error: unknown key `statuses` in `failure`
      --> rules/one.toml:14:13
       |
    14 | failure = { statuses = [401] }
       |             ^^^^^^^^ not known here
       |
       = help: did you mean `status`?
    "#);
}
