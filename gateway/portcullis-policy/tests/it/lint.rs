//! What compiles and is probably not meant, and what no test reaches.

use portcullis_policy::{RuleSet, SourceFile, run_tests};
use portcullis_signals::UnixSeconds;

use crate::compiled;

/// The first of January 2027.
const NOW: UnixSeconds = UnixSeconds(1_798_761_600);

fn lint(text: &str) -> String {
    compiled(&format!("[defaults]\norigin = \"app\"\n{text}")).lint(NOW).to_string()
}

#[test]
fn what_is_shipped_has_nothing_to_complain_of() {
    let compiled = RuleSet::compile(&crate::shipped::files()).unwrap();
    assert_eq!(compiled.lint(NOW).to_string(), "");
    let coverage = compiled.coverage(&run_tests(&compiled.rules, &compiled.tests));
    assert!(coverage.is_full(), "{}", compiled.uncovered(&coverage));
}

#[test]
fn a_rule_past_its_day() {
    insta::assert_snapshot!(lint(r#"
[[rule]]
name = "old"
when = { asn = [64500] }
action = "block"
until = 2026-12-01
"#), @r#"
    warning: rule `old` has expired
     --> rules/one.toml:5:8
      |
    5 | name = "old"
      |        ^^^^^ ended 30 days ago
      |
      = help: take it out, or give it another `until`
    "#);
}

#[test]
fn a_rule_behind_one_that_holds_wherever_it_holds() {
    insta::assert_snapshot!(lint(r#"
[[rule]]
name = "network"
when = { ip = ["192.0.2.0/24"] }
action = "block"
[[rule]]
name = "half of it, and a tool"
when = { ip = ["192.0.2.0/25"], user_agent = ["curl/*"] }
action = "challenge"
"#), @r#"
    warning: rule `half of it, and a tool` never decides
     --> rules/one.toml:9:8
      |
    5 | name = "network"
      |        --------- asked first
    ...
    9 | name = "half of it, and a tool"
      |        ^^^^^^^^^^^^^^^^^^^^^^^^ `network` is asked first, and holds wherever this holds
      |
      = help: take it out, or let the first one hold for less
    "#);
}

#[test]
fn two_rules_that_contradict_each_other() {
    insta::assert_snapshot!(lint(r#"
[[rule]]
name = "refused"
when = { country = ["DE", "FR"] }
action = "block"
[[rule]]
name = "challenged"
when = { country = ["FR", "DE"] }
action = "challenge"
"#), @r#"
    warning: rules `refused` and `challenged` contradict each other
     --> rules/one.toml:9:8
      |
    5 | name = "refused"
      |        --------- asked first
    ...
    9 | name = "challenged"
      |        ^^^^^^^^^^^^ `refused` is asked first, and holds wherever this holds
      |
      = help: keep the one that is meant
    "#);
}

#[test]
fn an_address_that_is_refused_and_allowed() {
    insta::assert_snapshot!(lint(r#"
[[rule]]
name = "attackers"
when = { ip = ["198.51.100.9", "203.0.113.0/24"] }
action = "block"
[[rule]]
name = "partners"
when = { ip = ["198.51.100.0/24"] }
action = "allow"
"#), @r#"
    warning: rule `attackers` refuses what rule `partners` allows
     --> rules/one.toml:5:8
      |
    5 | name = "attackers"
      |        ^^^^^^^^^^^ 198.51.100.9/32 is let in before this is asked
    ...
    9 | name = "partners"
      |        ---------- lets it in
      |
      = help: take the address out of one of the two; rules that allow are asked first
    "#);
}

#[test]
fn an_exception_from_a_refusal_is_meant() {
    assert_eq!(
        lint(
            r#"
[[rule]]
name = "attackers"
when = { ip = ["198.51.100.0/24"] }
action = "block"
[[rule]]
name = "one of them"
when = { ip = ["198.51.100.9"] }
action = "allow"
"#
        ),
        ""
    );
}

#[test]
fn what_is_asked_apart_does_not_overshadow() {
    for (first, second) in [
        ("when = { asn = [64500] }\naction = \"block\"", "when = { asn = [64501] }\naction = \"block\""),
        (
            "when = { asn = [64500] }\naction = \"block\"\nmode = \"monitor\"",
            "when = { asn = [64500] }\naction = \"challenge\"",
        ),
        (
            "when = { asn = [64500] }\naction = \"block\"\nuntil = 2027-06-01",
            "when = { asn = [64500] }\naction = \"block\"",
        ),
        (
            "when = { asn = [64500] }\naction = \"challenge\"",
            "when = { asn = [64500] }\nexpr = \"score > 0.5\"\naction = \"block\"",
        ),
        (
            "when = { crawler = [\"search\"] }\naction = \"allow\"",
            "when = { crawler = [\"search\"] }\naction = \"block\"",
        ),
        (
            "when = { header = { x-a = \"1\" }, asn = [64500] }\naction = \"block\"",
            "when = { header = { x-a = \"*\" }, asn = [64500] }\naction = \"block\"",
        ),
    ] {
        let shown = lint(&format!("[[rule]]\nname = \"a\"\n{first}\n[[rule]]\nname = \"b\"\n{second}\n"));
        assert_eq!(shown, "", "{first} and {second}");
    }
}

#[test]
fn a_rule_of_a_route_is_asked_before_those_of_all() {
    let shown = lint(
        r#"
[[rule]]
name = "every"
when = { asn = [64500] }
action = "block"
[[route]]
name = "login"
[[route.rule]]
name = "one"
when = { asn = [64500] }
action = "challenge"
"#,
    );
    assert_eq!(shown, "", "a targeted override is meant");
}

#[test]
fn an_expression_behind_a_rule_that_refuses() {
    insta::assert_snapshot!(lint(r#"
[[rule]]
name = "network"
when = { ip = ["192.0.2.0/24"] }
action = "block"
[[rule]]
name = "more of it"
when = { ip = ["192.0.2.0/24"] }
expr = "score > 0.5"
score = "+0.2"
"#), @r#"
    warning: rule `more of it` never decides
     --> rules/one.toml:9:8
      |
    5 | name = "network"
      |        --------- asked first
    ...
    9 | name = "more of it"
      |        ^^^^^^^^^^^^ `network` is asked first, and holds wherever this holds
      |
      = help: take it out, or let the first one hold for less
    "#);
}

#[test]
fn rules_that_no_request_of_their_route_can_meet() {
    insta::assert_snapshot!(lint(r#"
[[route]]
name = "login"
paths = ["/login"]
methods = ["POST"]
[[route.rule]]
name = "reads"
when = { method = ["GET"] }
action = "block"
[[route.rule]]
name = "elsewhere"
when = { path = ["/v1/*"] }
action = "block"
"#), @r#"
    warning: rule `reads` never holds
     --> rules/one.toml:9:8
      |
    9 | name = "reads"
      |        ^^^^^^^ route `login` has no request of such a method
      |
      = help: change the condition, or move the rule out of the route

    warning: rule `elsewhere` never holds
      --> rules/one.toml:13:8
       |
    13 | name = "elsewhere"
       |        ^^^^^^^^^^^ route `login` has no request of such a path
       |
       = help: change the condition, or move the rule out of the route
    "#);
}

#[test]
fn expressions_that_are_always_the_same() {
    insta::assert_snapshot!(lint(r#"
[[rule]]
name = "never"
expr = "1 > 2 && score > 0.5"
action = "block"
[[rule]]
name = "always"
expr = "true || score > 0.5"
score = "+0.1"
"#), @r#"
    warning: rule `never` never holds
     --> rules/one.toml:5:8
      |
    5 | name = "never"
      |        ^^^^^^^ its expression is always false
      |
      = help: let the expression ask for something of the request, or take the rule out

    warning: rule `always` holds for every request
     --> rules/one.toml:9:8
      |
    9 | name = "always"
      |        ^^^^^^^^ its expression is always true
      |
      = help: let the expression ask for something of the request, or take the rule out
    "#);
}

#[test]
fn rules_that_let_in_whoever_says_so() {
    insta::assert_snapshot!(lint(r#"
[[rule]]
name = "our app"
when = { user_agent = ["shop-app/*"] }
action = "allow"
[[rule]]
name = "a secret header"
expr = 'request.header("x-internal") == "1"'
action = "allow"
[[rule]]
name = "our app from our network"
when = { user_agent = ["shop-app/*"], asn = [64500] }
action = "allow"
[[rule]]
name = "health"
when = { path = ["/health"] }
action = "allow"
[[rule]]
name = "the admin"
when = { user = ["admin"] }
action = "allow"
[[rule]]
name = "staff"
expr = 'has(identity.staff) && identity.staff && request.has_header("x-internal")'
action = "allow"
"#), @r#"
    warning: rule `our app` lets everybody in who says so
     --> rules/one.toml:5:8
      |
    5 | name = "our app"
      |        ^^^^^^^^^ rests on what a client sends
      |
      = help: add what a client cannot choose: its address, its network, an own signal

    warning: rule `a secret header` lets everybody in who says so
     --> rules/one.toml:9:8
      |
    9 | name = "a secret header"
      |        ^^^^^^^^^^^^^^^^^ rests on what a client sends
      |
      = help: add what a client cannot choose: its address, its network, an own signal

    warning: rule `our app from our network` never decides
      --> rules/one.toml:13:8
       |
     5 | name = "our app"
       |        --------- asked first
    ...
    13 | name = "our app from our network"
       |        ^^^^^^^^^^^^^^^^^^^^^^^^^^ `our app` is asked first, and holds wherever this holds
       |
       = help: take it out, or let the first one hold for less

    warning: rule `the admin` lets everybody in who says so
      --> rules/one.toml:21:8
       |
    21 | name = "the admin"
       |        ^^^^^^^^^^^ rests on what a client sends
       |
       = help: add what a client cannot choose: its address, its network, an own signal
    "#);
}

#[test]
fn a_protected_route_without_a_limit_in_force() {
    insta::assert_snapshot!(lint(r#"
[[route]]
name = "login"
paths = ["/login"]
sensitivity = "critical"
[[route]]
name = "account"
paths = ["/account"]
sensitivity = "high"
[[route.limit]]
name = "per address"
key = ["ip"]
rate = "10/1m"
mode = "monitor"
"#), @r#"
    warning: route `login` has no limit in force
     --> rules/one.toml:5:8
      |
    5 | name = "login"
      |        ^^^^^^^ its sensitivity is `critical`, and it has no limit
      |
      = help: add a `[[route.limit]]`, or lower the `sensitivity`

    warning: route `account` has no limit in force
     --> rules/one.toml:9:8
      |
    9 | name = "account"
      |        ^^^^^^^^^ its sensitivity is `high`, and it has limits in monitor only
      |
      = help: add a `[[route.limit]]`, or lower the `sensitivity`
    "#);
}

#[test]
fn a_list_that_nothing_names() {
    let files = [
        SourceFile::new("rules/one.toml", "[[route]]\nname = \"a\"\norigin = \"app\"\n"),
        SourceFile::new("rules/lists/partners.txt", "# ours\n192.0.2.1\n"),
    ];
    insta::assert_snapshot!(RuleSet::compile(&files).unwrap().lint(NOW), @r#"
    warning: nothing uses the list `partners`
     --> rules/lists/partners.txt:1:1
      |
    1 | # ours
      | ^ this file
      |
      = help: name it in a rule as `"@partners"`, or take the file away
    "#);
}

#[test]
fn ten_thousand_rules_are_not_held_against_each_other() {
    let rules: String = (0..10_000)
        .map(|asn| format!("[[rule]]\nname = \"r{asn}\"\nwhen = {{ asn = [{asn}] }}\naction = \"block\"\n"))
        .collect();
    assert!(lint(&rules).contains("10000 rules are too many to hold against each other"));
}

#[test]
fn what_no_test_reaches_is_told_with_its_place() {
    let compiled = compiled(
        r#"
[defaults]
origin = "app"
thresholds = { throttle = "off", challenge = "off", block = "off" }
[[rule]]
name = "reached"
when = { asn = [64500] }
action = "block"
[[rule]]
name = "weighs"
expr = "facts.asn == 64501"
signal = "net-tor"
[[rule]]
name = "watched"
when = { asn = [64502] }
action = "block"
mode = "monitor"
[[rule]]
name = "missed"
when = { asn = [64503] }
action = "block"
[[route]]
name = "login"
paths = ["/login"]
[[route.limit]]
name = "per address"
key = ["ip"]
rate = "10/1m"
[[route]]
name = "search"
paths = ["/search"]
[[route.limit]]
name = "per prefix"
key = ["ip_prefix"]
rate = "10/1m"
[[test]]
name = "1"
request = { host = "shop.example", path = "/login", asn = 64500 }
expect = { action = "block" }
[[test]]
name = "2"
request = { host = "shop.example", path = "/login", asn = 64501 }
expect = { reasons = ["net-tor"] }
[[test]]
name = "3"
request = { host = "shop.example", path = "/login", asn = 64502 }
counters = { limits = { "per address" = { over = true } } }
expect = { action = "throttle" }
"#,
    );
    let outcomes = run_tests(&compiled.rules, &compiled.tests);
    assert!(outcomes.iter().all(|outcome| outcome.passed()));
    let coverage = compiled.coverage(&outcomes);
    insta::assert_snapshot!(compiled.uncovered(&coverage), @r#"
    warning: no test reaches rule `missed`
      --> rules/one.toml:19:8
       |
    19 | name = "missed"
       |        ^^^^^^^^ decides in no `[[test]]`
       |
       = help: write a test whose request meets its conditions, and that expects what it does

    warning: no test reaches route `search`
      --> rules/one.toml:30:8
       |
    30 | name = "search"
       |        ^^^^^^^^ takes no request of a `[[test]]`
       |
       = help: write a test whose request it takes

    warning: no test reaches limit `per prefix`
      --> rules/one.toml:33:8
       |
    33 | name = "per prefix"
       |        ^^^^^^^^^^^^ is exceeded in no `[[test]]`
       |
       = help: write a test with `counters = { limits = { "per prefix" = { over = true } } }`
    "#);
}
