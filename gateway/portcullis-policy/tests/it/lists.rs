//! Named lists: where they stand, what they are read as, and what becomes of a bad line.

use portcullis_policy::{Compiled, RuleSet, SourceFile, run_tests};

fn files(rules: &str, lists: &[(&str, &str)]) -> Vec<SourceFile> {
    let head = "[[route]]\nname = \"all\"\norigin = \"app\"\nidentify = { user = \"header:x-user\", api_key = \"header:x-api-key\" }\n";
    let rules = SourceFile::new("rules/one.toml", format!("{head}{rules}"));
    let lists = lists.iter().map(|(name, text)| SourceFile::new(format!("rules/lists/{name}"), *text));
    // The rules stand first: a list may come behind whoever names it.
    std::iter::once(rules).chain(lists).collect()
}

fn compiled(rules: &str, lists: &[(&str, &str)]) -> Compiled {
    RuleSet::compile(&files(rules, lists)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(rules: &str, lists: &[(&str, &str)]) -> String {
    RuleSet::compile(&files(rules, lists)).expect_err("has a fault").to_string()
}

fn passes(compiled: &Compiled) {
    for outcome in run_tests(&compiled.rules, &compiled.tests) {
        assert!(outcome.passed(), "{}", outcome.faults);
    }
}

const PARTNERS: &str = "[[rule]]\nname = \"partners\"\nwhen = { ip = [\"@partners\"] }\naction = \"block\"\n";

#[test]
fn one_condition_after_another_reads_a_list_as_its_own() {
    let rules = r#"
        [[rule]]
        name = "network"
        when = { ip = ["@nets", "203.0.113.9"] }
        action = "block"
        [[rule]]
        name = "system"
        when = { asn = ["@systems"] }
        action = "block"
        [[rule]]
        name = "country"
        when = { country = ["@countries"] }
        action = "block"
        [[rule]]
        name = "handshake"
        when = { ja3 = ["@ja3"] }
        action = "block"
        [[rule]]
        name = "client"
        when = { ja4 = ["@ja4"] }
        action = "block"
        [[rule]]
        name = "agent"
        when = { user_agent = ["@agents"] }
        action = "block"
        [[rule]]
        name = "user"
        when = { user = ["@users"] }
        action = "block"
        [[rule]]
        name = "key"
        when = { api_key = ["@keys"] }
        action = "block"
        [[rule]]
        name = "http2"
        when = { http2 = ["@prints"] }
        action = "block"
        [[rule]]
        name = "path"
        when = { path = ["@paths"], method = ["@methods"] }
        action = "block"
    "#;
    let tests: String = [
        ("network", "ip = \"192.0.2.77\""),
        ("network", "ip = \"2001:db8::7\""),
        ("network", "ip = \"203.0.113.9\""),
        ("system", "asn = 64500"),
        ("system", "asn = 64501"),
        ("country", "country = \"DE\""),
        ("handshake", "ja3 = \"e7d705a3286e19ea42f587b344ee6865\""),
        ("client", "ja4 = \"t13d1516h2_8daaf6152771_02713d6af862\""),
        ("agent", "headers = { user-agent = \"BadBot/1.0\" }"),
        ("user", "headers = { x-user = \"ann\" }"),
        ("key", "api_key = \"k#1\""),
        ("http2", "http2 = \"1:65536;4:6291456|15663105|0|m,a,s,p\""),
        ("path", "method = \"PUT\""),
    ]
    .iter()
    .enumerate()
    .map(|(at, (rule, said))| {
        let path = if *rule == "path" { "/old/1" } else { "/" };
        format!(
            "[[test]]\nname = \"{at}\"\nrequest = {{ host = \"shop.example\", path = \"{path}\", {said} }}\nexpect = {{ action = \"block\", rule = \"{rule}\" }}\n"
        )
    })
    .collect();
    let stranger = "[[test]]\nname = \"a stranger\"\nrequest = { host = \"shop.example\", path = \"/\", user = \"bob\", api_key = \"k2\", headers = { user-agent = \"MyApp/1\" } }\nexpect = { action = \"allow\" }\n";
    let compiled = compiled(
        &format!("{rules}{tests}{stranger}"),
        &[
            ("nets.txt", "\u{feff}# ours\r\n192.0.2.0/24   # the office\r\n\r\n; none\r\n2001:db8::/32"),
            ("systems.toml", "reason = \"attacks\"\nvalues = [64500, \"AS64501\"]\n"),
            ("countries.txt", "DE\nFR\n"),
            ("ja3.txt", "e7d705a3286e19ea42f587b344ee6865"),
            ("ja4.txt", "t13d1516h2_8daaf6152771_02713d6af862\n"),
            ("agents.txt", "*badbot*\nevil/*\n"),
            ("users.txt", "ann\n"),
            ("keys.txt", "k#1\n"),
            ("prints.txt", "1:65536;4:6291456|15663105|0|m,a,s,p\n"),
            ("paths.txt", "/old/*\n"),
            ("methods.txt", "PUT\n"),
        ],
    );
    assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
    assert_eq!(compiled.tests.len(), 14);
    passes(&compiled);
}

#[test]
fn a_bad_line_in_the_middle_is_shown_with_its_place() {
    insta::assert_snapshot!(faults(PARTNERS, &[("partners.txt", "192.0.2.0/24\nshop.example\n198.51.100.0/24\n")]), @r#"
    error: `shop.example` cannot be read as `ip`
     --> rules/lists/partners.txt:2:1
      |
    2 | shop.example
      | ^^^^^^^^^^^^ invalid address: shop.example
      |
      = help: write an address or a network, such as "192.0.2.7" or "2001:db8::/32"
    "#);
}

#[test]
fn a_list_that_says_so_is_in_force_but_for_its_bad_lines() {
    let lists = [
        ("partners.txt", "192.0.2.0/24\nshop.example\n198.51.100.9/24\n198.51.100.0/24\n"),
        ("partners.toml", "on_bad_line = \"skip\"\n"),
    ];
    let test = "[[test]]\nname = \"t\"\nrequest = { host = \"shop.example\", path = \"/\", ip = \"198.51.100.1\" }\nexpect = { rule = \"partners\" }\n";
    let compiled = compiled(&format!("{PARTNERS}{test}"), &lists);
    passes(&compiled);
    insta::assert_snapshot!(compiled.warnings, @r#"
    warning: 2 lines of the list `partners` left out
     --> rules/lists/partners.txt:2:1
      |
    2 | shop.example
      | ^^^^^^^^^^^^ invalid address: shop.example
      |
     ::: rules/one.toml:7:16
      |
    7 | when = { ip = ["@partners"] }
      |                ----------- named here
      |
      = help: mend it; the other lines are in force, as `on_bad_line = "skip"` says
    "#);
}

#[test]
fn a_list_without_a_good_line_is_another_file() {
    let lists = [("partners.txt", "<html>\n<body>\n"), ("partners.toml", "on_bad_line = \"skip\"\n")];
    insta::assert_snapshot!(faults(PARTNERS, &lists), @r#"
    error: no line of the list `partners` can be read as `ip`
     --> rules/lists/partners.txt:1:1
      |
    1 | <html>
      | ^^^^^^ invalid address: <html>
      |
     ::: rules/one.toml:7:16
      |
    7 | when = { ip = ["@partners"] }
      |                ----------- named here
      |
      = help: `on_bad_line = "skip"` is for single lines: a list without any good one is another file
    "#);
}

#[test]
fn a_list_that_is_not_there() {
    insta::assert_snapshot!(faults(PARTNERS, &[("partner.txt", "192.0.2.1\n")]), @r#"
    error: there is no list `partners`
     --> rules/one.toml:7:16
      |
    7 | when = { ip = ["@partners"] }
      |                ^^^^^^^^^^^ no such file
      |
      = help: did you mean `@partner`?
    "#);
}

#[test]
fn an_empty_list_is_met_by_nobody() {
    let test = "[[test]]\nname = \"t\"\nrequest = { host = \"shop.example\", path = \"/\", headers = { user-agent = \"MyApp/1\" } }\nexpect = { action = \"allow\" }\n";
    let compiled = compiled(&format!("{PARTNERS}{test}"), &[("partners.txt", "# nobody yet\n")]);
    assert!(compiled.rules.rules().is_empty());
    passes(&compiled);
    insta::assert_snapshot!(compiled.warnings, @r#"
    warning: the list `@partners` is empty
     --> rules/one.toml:7:16
      |
    7 | when = { ip = ["@partners"] }
      |                ^^^^^^^^^^^ no request can meet this
      |
      = help: the rule does nothing until the list has a value
    "#);
}

#[test]
fn an_unknown_key_in_the_head_of_a_list() {
    let lists = [("partners.toml", "on_bad_lines = \"skip\"\nvalues = [\"192.0.2.1\", 1.5]\n")];
    insta::assert_snapshot!(faults(PARTNERS, &lists), @r#"
    error: unknown key `on_bad_lines` in a list
     --> rules/lists/partners.toml:1:1
      |
    1 | on_bad_lines = "skip"
      | ^^^^^^^^^^^^ not known here
      |
      = help: did you mean `on_bad_line`?

    error: expected a text or a number for `values`, but found a number
     --> rules/lists/partners.toml:2:24
      |
    2 | values = ["192.0.2.1", 1.5]
      |                        ^^^ a number, not a text or a number
    "#);
}

#[test]
fn of_many_bad_lines_the_first_are_shown() {
    let text: String = (0..5_000).map(|line| format!("line {line}\n")).collect();
    let shown = faults(PARTNERS, &[("partners.txt", &text)]);
    assert_eq!(shown.matches("error: ").count(), 11, "{shown}");
    assert!(shown.contains("4990 more lines of the list `partners` are wrong"), "{shown}");
}

#[test]
fn a_hundred_thousand_networks_named_by_two_rules_compile_and_are_found() {
    let mut text = String::new();
    for number in 0..100_000_u32 {
        let [_, first, second, third] = number.to_be_bytes();
        text.push_str(&format!("10.{}.{}.{}/32\n", first + 100, second, third));
    }
    let more = "[[rule]]\nname = \"again\"\nwhen = { ip = [\"@partners\"], method = [\"PUT\"] }\naction = \"allow\"\n";
    let test = "[[test]]\nname = \"t\"\nrequest = { host = \"shop.example\", path = \"/\", ip = \"10.101.134.159\" }\nexpect = { rule = \"partners\" }\n";
    let compiled = compiled(&format!("{PARTNERS}{more}{test}"), &[("partners.txt", &text)]);
    assert_eq!(compiled.rules.rules()[0].when.ip.len(), 100_000);
    passes(&compiled);
}

#[test]
fn a_version_is_of_what_lists_hold() {
    let version = |text: &str| compiled(PARTNERS, &[("partners.txt", text)]).rules.version().to_string();
    assert_eq!(version("192.0.2.1\n"), version("# a comment\n192.0.2.1"));
    assert_ne!(version("192.0.2.1\n"), version("192.0.2.2\n"));
}
