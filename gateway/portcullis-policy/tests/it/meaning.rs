//! What rules files mean: layers, versions, and what a test says when it fails.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Version};
use portcullis_intel::AddressFacts;
use portcullis_policy::model::{Action, Mode, Print, Sensitivity};
use portcullis_policy::{Origins, RuleSet, SourceFile, run_tests};
use portcullis_signals::{CanonicalRequest, ClientAddr, Facts, RequestHead};

use crate::compiled;

#[test]
fn a_route_lies_over_the_defaults_and_those_over_the_preset() {
    let compiled = compiled(
        r#"
        [defaults]
        origin = "app"
        preset = "strict"
        thresholds = { block = 0.5 }
        ban_ttl = "2h"
        filters = { tor = "block", abuser = "off" }
        [[route]]
        name = "as the defaults"
        paths = ["/a"]
        [[route]]
        name = "one threshold moved"
        paths = ["/b"]
        thresholds = { challenge = 0.3, ban = "off" }
        filters = { tor = { action = "challenge", mode = "monitor" } }
        [[route]]
        name = "a preset of its own"
        paths = ["/c"]
        preset = "relaxed"
        sensitivity = "critical"
        usual = { per_address = "5/1m" }
        "#,
    );
    let shown: Vec<_> = compiled
        .rules
        .routes()
        .iter()
        .map(|route| {
            let all =
                [route.thresholds.throttle, route.thresholds.challenge, route.thresholds.block, route.thresholds.ban];
            (&*route.name, all.map(|score| score.map(|score| score.as_thousandths())))
        })
        .collect();
    let strict = [Some(150), Some(200), Some(500), Some(970)];
    assert_eq!(
        shown,
        [
            ("unrouted", strict),
            ("as the defaults", strict),
            ("one threshold moved", [Some(150), Some(300), Some(500), None]),
            ("a preset of its own", [None, Some(500), Some(800), Some(990)]),
        ]
    );
    let [_, plain, moved, own] = compiled.rules.routes() else { panic!("four routes") };
    assert!(plain.filters.iter().all(|filter| filter.action == Action::Block && filter.mode == Mode::Enforce));
    assert_eq!(plain.filters.len(), 1);
    assert!(moved.filters.iter().all(|filter| filter.action == Action::Challenge && filter.mode == Mode::Monitor));
    assert_eq!(own.sensitivity, Sensitivity::Critical);
    assert_eq!(own.expectation.address_per_minute, 5);
    assert_eq!(own.expectation.prefix_per_minute, 200);
    assert_eq!(own.ban_ttl, Duration::from_secs(7_200));
    assert_eq!(own.puzzle.difficulty_bits, 12);
}

#[test]
fn what_an_origin_is_told_lies_over_the_defaults_as_a_whole() {
    let compiled = compiled(
        r#"
        [defaults]
        origin = "app"
        tell_origin = ["stable", "ja4", "stable"]
        [[route]]
        name = "as the defaults"
        paths = ["/a"]
        [[route]]
        name = "other prints"
        paths = ["/b"]
        tell_origin = ["header-order", "http2", "ja3"]
        [[route]]
        name = "nothing"
        paths = ["/c"]
        tell_origin = []
        "#,
    );
    let told: Vec<&[Print]> = compiled.rules.routes().iter().map(|route| &*route.tell_origin).collect();
    let defaults = &[Print::Ja4, Print::Stable][..];
    assert_eq!(told, [defaults, defaults, &[Print::Ja3, Print::Http2, Print::HeaderOrder], &[]]);
}

#[test]
fn a_version_is_of_the_meaning() {
    let version = |text: &str| compiled(text).rules.version().to_string();
    let plain = version("[[route]]\nname = \"a\"\norigin = \"app\"\n");
    assert_eq!(plain.len(), 16);
    assert_eq!(plain, version("# a comment\n[[route]]\norigin   = 'app'\n\nname=\"a\""));
    assert_eq!(plain, version("[defaults]\npreset = \"balanced\"\n[[route]]\nname = \"a\"\norigin = \"app\"\n"));
    assert_ne!(plain, version("[[route]]\nname = \"a\"\norigin = \"app\"\nban_ttl = \"2h\"\n"));
    assert_ne!(plain, version("[[route]]\nname = \"b\"\norigin = \"app\"\n"));
}

#[test]
fn a_limit_keeps_its_counter_while_its_rate_and_action_are_edited() {
    let counter = |limit: &str| {
        let text = format!(
            "[[route]]\nname = \"a\"\norigin = \"app\"\n[[route.limit]]\nname = \"l\"\nkey = [\"ip\"]\n{limit}"
        );
        let rules = compiled(&text).rules;
        let limit = rules.routes().get(1).unwrap().limits.first().unwrap();
        (limit.counter, limit.levels.first().unwrap().counter)
    };
    let first = counter("rate = \"10/1m\"");
    assert_eq!(first, counter("rate = \"20/1m\"\nover = \"block\"\nmode = \"monitor\""));
    assert_ne!(first, counter("rate = \"10/2m\""));
    assert_ne!(first, counter("rate = \"10/1m\"\ncount = \"failures\""));
}

#[test]
fn a_day_ends_with_its_last_second_and_a_time_at_once() {
    let until = |text: &str| {
        let text = format!("[[rule]]\nname = \"r\"\nwhen = {{ asn = [64500] }}\naction = \"block\"\nuntil = {text}\n");
        compiled(&text).rules.rules().first().unwrap().until
    };
    let new_year = Some(1_798_761_600);
    for text in ["2026-12-31", "\"2026-12-31\"", "2027-01-01T00:00:00Z", "2027-01-01T01:00:00+01:00"] {
        assert_eq!(until(text), new_year, "{text}");
    }
}

#[test]
fn origins_are_listed_and_a_strange_one_is_reported() {
    let file = [SourceFile::new(
        "rules/one.toml",
        "[defaults]\norigin = \"shop\"\n[[route]]\nname = \"a\"\norigin = \"app\"\n",
    )];
    let named: Vec<_> = RuleSet::compile(&file).unwrap().origins.into_iter().map(|origin| origin.name).collect();
    assert_eq!(named.iter().map(|name| &**name).collect::<Vec<_>>(), ["shop", "app"]);
    let faults = RuleSet::compile_for(&file, Origins::Known(&["shop", "apps"])).unwrap_err();
    insta::assert_snapshot!(faults, @r#"
    error: unknown origin `app`
     --> rules/one.toml:5:10
      |
    5 | origin = "app"
      |          ^^^^^ not among the origins of the settings
      |
      = help: did you mean `apps`?
    "#);
}

#[test]
fn a_test_that_fails_points_at_what_was_expected_and_says_what_was_found() {
    let compiled = compiled(
        r#"[[route]]
name = "login"
origin = "app"

[[test]]
name    = "a tool is blocked"
request = { host = "shop.example", path = "/", headers = { user-agent = "curl/8.5.0" }, class = ["datacenter"] }
expect  = { action = "block", reasons = ["ua-tool", "net-tor"], score_max = 0.4, route = "unrouted" }
"#,
    );
    let outcomes = run_tests(&compiled.rules, &compiled.tests);
    let [outcome] = outcomes.as_slice() else { panic!("one test") };
    assert!(!outcome.passed());
    insta::assert_snapshot!(outcome.faults, @r#"
    error: test `a tool is blocked` fails
     --> rules/one.toml:8:22
      |
    8 | expect  = { action = "block", reasons = ["ua-tool", "net-tor"], score_max = 0.4, route = "unrouted" }
      |                      ^^^^^^^ found `challenge`
      |
      = help: route `login`, decided by threshold, score 0.475: ua-tool 0.259, asn-hosting 0.216

    error: test `a tool is blocked` fails
     --> rules/one.toml:8:53
      |
    8 | expect  = { action = "block", reasons = ["ua-tool", "net-tor"], score_max = 0.4, route = "unrouted" }
      |                                                     ^^^^^^^^^ not among the reasons
      |
      = help: route `login`, decided by threshold, score 0.475: ua-tool 0.259, asn-hosting 0.216

    error: test `a tool is blocked` fails
     --> rules/one.toml:8:90
      |
    8 | expect  = { action = "block", reasons = ["ua-tool", "net-tor"], score_max = 0.4, route = "unrouted" }
      |                                                                                          ^^^^^^^^^^ found `login`
      |
      = help: route `login`, decided by threshold, score 0.475: ua-tool 0.259, asn-hosting 0.216

    error: test `a tool is blocked` fails
     --> rules/one.toml:8:77
      |
    8 | expect  = { action = "block", reasons = ["ua-tool", "net-tor"], score_max = 0.4, route = "unrouted" }
      |                                                                             ^^^ found 0.475
      |
      = help: route `login`, decided by threshold, score 0.475: ua-tool 0.259, asn-hosting 0.216
    "#);
}

/// Which of four conditions hold, and whether the rule does: between conditions all must hold, within one any will do.
#[test]
fn all_conditions_of_a_rule_must_hold_and_of_the_values_of_one_any_will_do() {
    let rules = |when: &str| {
        compiled(&format!(
            "[[route]]\nname = \"all\"\norigin = \"app\"\n[[rule]]\nname = \"r\"\nwhen = {{ {when} }}\naction = \"block\"\n"
        ))
        .rules
    };
    let both = "country = [\"DE\", \"FR\"], user_agent = [\"curl/*\", \"wget/*\"]";
    let fields = "header = { x-a = \"1\", x-b = \"2*\" }";
    for (when, country, headers, holds) in [
        (both, "DE", &[("user-agent", "curl/8")][..], true),
        (both, "FR", &[("user-agent", "WGET/1")], true),
        (both, "DE", &[("user-agent", "fetch/1")], false),
        (both, "AT", &[("user-agent", "curl/8")], false),
        (both, "AT", &[("user-agent", "fetch/1")], false),
        (both, "DE", &[], false),
        (fields, "DE", &[("x-a", "1"), ("x-b", "2")], true),
        (fields, "DE", &[("x-a", "1"), ("x-b", "20")], true),
        (fields, "DE", &[("x-a", "1")], false),
        (fields, "DE", &[("x-b", "2")], false),
        (fields, "DE", &[("x-a", "1"), ("x-b", "3")], false),
        // A pattern is for the whole text, and a value that merely holds it is another.
        (fields, "DE", &[("x-a", "11"), ("x-b", "2")], false),
        (fields, "DE", &[("x-a", "1 1"), ("x-b", "2")], false),
        (fields, "DE", &[("x-a", "1"), ("x-b", "12")], false),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let request = CanonicalRequest::of(&RequestHead {
            method: &Method::GET,
            target: b"/",
            authority: Some("shop.example"),
            version: Version::HTTP_2,
            headers: &map,
            raw: None,
        });
        let mut network = AddressFacts::bare([192, 0, 2, 7].into());
        network.country = country.parse().ok();
        let decision = rules(when).decide(&Facts::bare(&request, ClientAddr([192, 0, 2, 7].into()), &network));
        assert_eq!(decision.rule.is_some(), holds, "{when}: {country} {headers:?}");
    }
}
