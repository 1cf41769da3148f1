//! Wrong rules files, each named by its fault, and what a person is told.

use portcullis_policy::{Diagnostics, RuleSet, SourceFile};

fn faults(text: &str) -> Diagnostics {
    match RuleSet::compile(&[SourceFile::new("rules/one.toml", text)]) {
        Ok(_) => panic!("compiles"),
        Err(faults) => faults,
    }
}

fn warnings(text: &str) -> Diagnostics {
    crate::compiled(text).warnings
}

#[test]
fn text_that_is_no_toml_is_pointed_at_and_the_rest_is_still_read() {
    let text = r#"[[route]]
name = login
origin = "app"
mod = "monitor"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: this is not valid TOML
     --> rules/one.toml:2:8
      |
    2 | name = login
      |        ^^^^^ string values must be quoted, expected literal string

    error: unknown key `mod` in a route
     --> rules/one.toml:4:1
      |
    4 | mod = "monitor"
      | ^^^ not known here
      |
      = help: did you mean `mode`?
    "#);
}

#[test]
fn an_unknown_key_gets_the_nearest_known_one() {
    let text = r#"[[route]]
name = "login"
origin = "app"
presett = "strict"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown key `presett` in a route
     --> rules/one.toml:4:1
      |
    4 | presett = "strict"
      | ^^^^^^^ not known here
      |
      = help: did you mean `preset`?
    "#);
}

#[test]
fn an_unknown_key_that_is_near_to_nothing_gets_the_list() {
    let text = r#"[[route]]
name = "login"
origin = "app"
[[route.limit]]
name = "l"
key = ["ip"]
rate = "10/1m"
zebra = 1
"#;
    insta::assert_snapshot!(faults(text), @r"
    error: unknown key `zebra` in a limit
     --> rules/one.toml:8:1
      |
    8 | zebra = 1
      | ^^^^^ not known here
      |
      = help: known here: `name`, `key`, `on_missing`, `count`, `cost`, `rate`, `burst`, `concurrency`, `over`, `delay`, `max_waiting`, `strength`, `budget` or `mode`
    ");
}

#[test]
fn an_unknown_table() {
    let text = r#"[default]
mode = "monitor"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown key `default` in a rules file
     --> rules/one.toml:1:2
      |
    1 | [default]
      |  ^^^^^^^ not known here
      |
      = help: did you mean `defaults`?
    "#);
}

#[test]
fn an_unknown_word() {
    let text = r#"[[route]]
name = "login"
origin = "app"
preset = "stric"
mode = "dry-run"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown value `stric` for `preset`
     --> rules/one.toml:4:10
      |
    4 | preset = "stric"
      |          ^^^^^^^ not known here
      |
      = help: did you mean `strict`?
      = help: known: `relaxed`, `balanced` or `strict`

    error: unknown value `dry-run` for `mode`
     --> rules/one.toml:5:8
      |
    5 | mode = "dry-run"
      |        ^^^^^^^^^ not known here
      |
      = help: did you mean `monitor`?
      = help: known: `enforce` or `monitor`
    "#);
}

#[test]
fn a_word_of_another_product() {
    let text = r#"[[rule]]
name = "r"
when = { asn = [64500] }
action = "deny"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown value `deny` for `action`
     --> rules/one.toml:4:10
      |
    4 | action = "deny"
      |          ^^^^^^ not known here
      |
      = help: did you mean `block`?
      = help: known: `allow`, `throttle`, `challenge`, `step_up`, `block` or `ban`
    "#);
}

#[test]
fn a_number_where_a_text_belongs() {
    let text = r#"[[route]]
name = 7
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: expected a text for `name`, but found a number
     --> rules/one.toml:2:8
      |
    2 | name = 7
      |        ^ a number, not a text
    "#);
}

#[test]
fn a_text_where_a_list_belongs() {
    let text = r#"[[route]]
name = "login"
origin = "app"
methods = "POST"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: expected a list for `methods`, but found a text
     --> rules/one.toml:4:11
      |
    4 | methods = "POST"
      |           ^^^^^^ a text, not a list
      |
      = help: put it in brackets: `methods = [...]`
    "#);
}

#[test]
fn a_route_without_a_name() {
    let text = r#"[[route]]
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: a route without `name`
     --> rules/one.toml:1:1
      |
    1 | [[route]]
      | ^^^^^^^^^ `name` is missing
      |
      = help: add `name = "login"`
    "#);
}

#[test]
fn a_route_without_an_origin() {
    let text = r#"[[route]]
name = "login"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: route `login` has no origin
     --> rules/one.toml:2:8
      |
    2 | name = "login"
      |        ^^^^^^^ where do its requests go?
      |
      = help: add `origin = "..."` to the route, or to `[defaults]` for all routes
    "#);
}

#[test]
fn a_route_in_single_brackets() {
    let text = r#"[route]
name = "login"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `route` stands in single brackets
     --> rules/one.toml:1:2
      |
    1 | [route]
      |  ^^^^^ there may be many of these
      |
      = help: write it in double brackets, `[[route]]`
    "#);
}

#[test]
fn thresholds_out_of_order() {
    let text = r#"[[route]]
name = "login"
origin = "app"
thresholds = { challenge = 0.6, block = 0.4 }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: route `login` blocks before it challenges
     --> rules/one.toml:4:41
      |
    4 | thresholds = { challenge = 0.6, block = 0.4 }
      |                            ---          ^^^ not above 0.600
      |                            |
      |                            `challenge` starts here
      |
      = help: raise `block`, or lower `challenge`
    "#);
}

#[test]
fn a_threshold_above_the_next_one_of_the_preset() {
    let text = r#"[[route]]
name = "login"
origin = "app"
preset = "strict"
thresholds = { challenge = 0.45 }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: route `login` blocks before it challenges
     --> rules/one.toml:5:28
      |
    5 | thresholds = { challenge = 0.45 }
      |                            ^^^^ not below 0.400: the preset `strict` blocks at 0.400
      |
      = help: raise `block`, or lower `challenge`
    "#);
}

#[test]
fn a_percentage_for_a_score() {
    let text = r#"[[route]]
name = "login"
origin = "app"
thresholds = { block = 60 }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `block` is out of range
     --> rules/one.toml:4:24
      |
    4 | thresholds = { block = 60 }
      |                        ^^ not from 0 to 1
      |
      = help: write 0.60: scores, weights and caps go from 0 to 1
    "#);
}

#[test]
fn a_negative_weight_and_one_too_fine() {
    let text = r#"[weights]
ua-tool = -0.1
ua-empty = 0.33333
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `ua-tool` is out of range
     --> rules/one.toml:2:11
      |
    2 | ua-tool = -0.1
      |           ^^^^ not from 0 to 1
      |
      = help: scores, weights and caps go from 0 to 1

    error: `ua-empty` is too fine
     --> rules/one.toml:3:12
      |
    3 | ua-empty = 0.33333
      |            ^^^^^^^ more than three decimals
      |
      = help: write 0.333: scores are kept in thousandths
    "#);
}

#[test]
fn an_unknown_signal_and_an_unknown_group() {
    let text = r#"[weights]
ua-toll = 0.3
[caps]
network = 0.39
header = 0.2
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown signal `ua-toll`
     --> rules/one.toml:2:1
      |
    2 | ua-toll = 0.3
      | ^^^^^^^ not known here
      |
      = help: did you mean `ua-tool`?

    error: unknown group `header`
     --> rules/one.toml:5:1
      |
    5 | header = 0.2
      | ^^^^^^ not known here
      |
      = help: did you mean `headers`?
    "#);
}

#[test]
fn a_rate_without_a_window_and_one_with_a_strange_unit() {
    let text = r#"[[route]]
name = "login"
origin = "app"
[[route.limit]]
name = "a"
key = ["ip"]
rate = 10
[[route.limit]]
name = "b"
key = ["ip"]
rate = "10/1min"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `rate` has no window
     --> rules/one.toml:7:8
      |
    7 | rate = 10
      |        ^^ in how long?
      |
      = help: write "10/1m" for so many in a minute

    error: `10/1min` is no rate
      --> rules/one.toml:11:8
       |
    11 | rate = "10/1min"
       |        ^^^^^^^^^ `min` is no unit
       |
       = help: write a count and a window, such as "10/1m"; the units are s, m, h and d
    "#);
}

#[test]
fn a_window_longer_than_a_day() {
    let text = r#"[[route]]
name = "login"
origin = "app"
[[route.limit]]
name = "a"
key = ["ip"]
rate = "10/2d"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `10/2d` is no rate
     --> rules/one.toml:7:8
      |
    7 | rate = "10/2d"
      |        ^^^^^^^ longer than 1d
      |
      = help: a window is from 1s to 1d
    "#);
}

#[test]
fn a_duration_without_a_unit() {
    let text = r#"[[route]]
name = "login"
origin = "app"
ban_ttl = 3600
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `ban_ttl` has no unit
     --> rules/one.toml:4:11
      |
    4 | ban_ttl = 3600
      |           ^^^^ of what?
      |
      = help: write "3600s" for seconds; the units are s, m, h and d
    "#);
}

#[test]
fn a_usual_rate_by_the_hour() {
    let text = r#"[[route]]
name = "login"
origin = "app"
usual = { per_address = "600/1h" }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `per_address` is counted by the minute
     --> rules/one.toml:4:25
      |
    4 | usual = { per_address = "600/1h" }
      |                         ^^^^^^^^ in 1h, not in 1m
      |
      = help: write it as a rate in `1m`
    "#);
}

#[test]
fn a_limit_by_a_user_that_nothing_identifies() {
    let text = r#"[[route]]
name = "login"
origin = "app"
[[route.limit]]
name = "a"
key = ["user"]
rate = "10/1m"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: limit `a` counts by `user`, which nothing identifies
     --> rules/one.toml:6:8
      |
    6 | key = ["user"]
      |        ^^^^^^ route `login` does not say where it stands
      |
      = help: add `identify = { user = "header:..." }` to the route, or to `[defaults]`
    "#);
}

#[test]
fn a_limit_without_a_key() {
    let text = r#"[[route]]
name = "login"
origin = "app"
[[route.limit]]
name = "a"
key = []
rate = "10/1m"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: a limit without a key
     --> rules/one.toml:6:7
      |
    6 | key = []
      |       ^^ counts nothing
      |
      = help: write `key = ["ip"]` to count by address
    "#);
}

#[test]
fn a_place_in_a_json_body_that_does_not_begin_at_the_top() {
    let text = r#"[[route]]
name = "login"
origin = "app"
identify = { user = "json:user.email" }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `json:user.email` is no place in a request
     --> rules/one.toml:4:21
      |
    4 | identify = { user = "json:user.email" }
      |                     ^^^^^^^^^^^^^^^^^ does not begin with `/`
      |
      = help: begin at the top, with a slash before each name: "json:/user/email"
    "#);
}

#[test]
fn a_place_that_is_none() {
    let text = r#"[[route]]
name = "login"
origin = "app"
identify = { user = "x-user" }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `x-user` is no place in a request
     --> rules/one.toml:4:21
      |
    4 | identify = { user = "x-user" }
      |                     ^^^^^^^^ names no place
      |
      = help: write one of "header:NAME", "cookie:NAME", "query:NAME", "form:NAME", "json:/NAME", "jwt:header:authorization/CLAIM"
    "#);
}

#[test]
fn an_expression_with_an_unknown_name() {
    let text = r#"[[route]]
name = "login"
origin = "app"
[[route.rule]]
name = "large purchase"
expr = 'scor > 0.3 && identity.spent > 500'
action = "step_up"
[[rule]]
name = "many lines"
expr = """
  facts.country == 'DE'
  && facts.cuntry != 'FR'
"""
action = "block"
[[rule]]
name = "escapes"
expr = "facts.country == \"DE\" && fcts.asn > 0"
action = "block"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown variable `scor`
     --> rules/one.toml:6:9
      |
    6 | expr = 'scor > 0.3 && identity.spent > 500'
      |         ^^^^ not known here
      |
      = help: did you mean `score`?

    error: unknown variable `facts.cuntry`
      --> rules/one.toml:12:12
       |
    12 |   && facts.cuntry != 'FR'
       |            ^^^^^^ not known here
       |
       = help: did you mean `facts.country`?

    error: unknown variable `fcts.asn`
      --> rules/one.toml:17:8
       |
    17 | expr = "facts.country == \"DE\" && fcts.asn > 0"
       |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `fcts.asn`: not known here
       |
       = help: did you mean `facts.asn`?
    "#);
}

#[test]
fn a_rule_without_conditions() {
    let text = r#"[[rule]]
name = "all"
when = {}
action = "block"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: a rule without conditions
     --> rules/one.toml:3:8
      |
    3 | when = {}
      |        ^^ holds for every request
      |
      = help: name at least one condition; what is for every request is the route's `thresholds` or `mode`
    "#);
}

#[test]
fn an_address_inside_a_network() {
    let text = r#"[[rule]]
name = "r"
when = { ip = ["192.0.2.7/24"] }
action = "block"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `192.0.2.7/24` is an address inside a network
     --> rules/one.toml:3:16
      |
    3 | when = { ip = ["192.0.2.7/24"] }
      |                ^^^^^^^^^^^^^^ bits are set behind the prefix
      |
      = help: write "192.0.2.0/24" for the network, or "192.0.2.7" for the address
    "#);
}

#[test]
fn no_address_at_all() {
    let text = r#"[[rule]]
name = "r"
when = { ip = ["192.0.2.300", "shop.example"] }
action = "block"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `192.0.2.300` cannot be read as `ip`
     --> rules/one.toml:3:16
      |
    3 | when = { ip = ["192.0.2.300", "shop.example"] }
      |                ^^^^^^^^^^^^^ invalid address: 192.0.2.300
      |
      = help: write an address or a network, such as "192.0.2.7" or "2001:db8::/32"

    error: `shop.example` cannot be read as `ip`
     --> rules/one.toml:3:31
      |
    3 | when = { ip = ["192.0.2.300", "shop.example"] }
      |                               ^^^^^^^^^^^^^^ invalid address: shop.example
      |
      = help: write an address or a network, such as "192.0.2.7" or "2001:db8::/32"
    "#);
}

#[test]
fn a_country_and_a_fingerprint_that_are_none() {
    let text = r#"[[rule]]
name = "r"
when = { country = ["Germany"], ja4 = ["t13d1516h2"], ja3 = ["xyz"] }
action = "block"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `Germany` cannot be read as `country`
     --> rules/one.toml:3:21
      |
    3 | when = { country = ["Germany"], ja4 = ["t13d1516h2"], ja3 = ["xyz"] }
      |                     ^^^^^^^^^ expected a country as two letters, such as `DE`, but found `Germany`
      |
      = help: a country is its two letters (ISO 3166-1), such as "DE"

    error: `t13d1516h2` cannot be read as `ja4`
     --> rules/one.toml:3:40
      |
    3 | when = { country = ["Germany"], ja4 = ["t13d1516h2"], ja3 = ["xyz"] }
      |                                        ^^^^^^^^^^^^ expected a JA4 such as `t13d1516h2_8daaf6152771_e5627efa2ab1`, but found 10 characters instead of 36
      |
      = help: a JA4 looks like `t13d1516h2_8daaf6152771_02713d6af862`

    error: `xyz` cannot be read as `ja3`
     --> rules/one.toml:3:62
      |
    3 | when = { country = ["Germany"], ja4 = ["t13d1516h2"], ja3 = ["xyz"] }
      |                                                              ^^^^^ expected the 32 hex digits of a JA3 hash, but found 3 characters
      |
      = help: a JA3 hash is the MD5 of a JA3 text; `portcullis fingerprint` prints it as `ja3_hash`
    "#);
}

#[test]
fn an_empty_list_of_conditions() {
    let text = r#"[[rule]]
name = "r"
when = { ip = [], asn = [64500] }
action = "block"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `ip` is an empty list
     --> rules/one.toml:3:15
      |
    3 | when = { ip = [], asn = [64500] }
      |               ^^ no request can meet it
      |
      = help: take the key out where it does not matter, or name at least one value
    "#);
}

#[test]
fn a_day_that_is_none() {
    let text = r#"[[rule]]
name = "r"
when = { asn = [64500] }
action = "block"
until = 2026-12-31T18:00:00
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `2026-12-31T18:00:00` is no point in time
     --> rules/one.toml:5:9
      |
    5 | until = 2026-12-31T18:00:00
      |         ^^^^^^^^^^^^^^^^^^^ neither a day nor a time with an offset
      |
      = help: write a day such as 2026-12-31, or a time with its offset such as 2026-12-31T18:00:00Z
    "#);
}

#[test]
fn overlapping_routes() {
    let text = r#"[[route]]
name = "login"
origin = "app"
paths = ["/users/{id}"]
methods = ["POST"]
[[route]]
name = "users"
origin = "app"
paths = ["/users/{name}"]
methods = ["GET", "POST"]
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: routes `login` and `users` overlap
     --> rules/one.toml:9:10
      |
    4 | paths = ["/users/{id}"]
      |          ------------- first here
    ...
    9 | paths = ["/users/{name}"]
      |          ^^^^^^^^^^^^^^^ `POST` `/users/{name}` on any host again
      |
      = help: tell them apart by host, path or method; the more specific route is taken first
    "#);
}

#[test]
fn a_path_named_twice_in_one_route() {
    let text = r#"[[route]]
name = "login"
origin = "app"
paths = ["/a", "/a"]
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: route `login` names the same requests twice
     --> rules/one.toml:4:16
      |
    4 | paths = ["/a", "/a"]
      |          ----  ^^^^ any method `/a` on any host again
      |          |
      |          first here
      |
      = help: name each host, path and method once
    "#);
}

#[test]
fn two_routes_of_one_name() {
    let text = r#"[[route]]
name = "login"
origin = "app"
paths = ["/a"]
[[route]]
name = "login"
origin = "app"
paths = ["/b"]
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: two routes are named `login`
     --> rules/one.toml:6:8
      |
    2 | name = "login"
      |        ------- first here
    ...
    6 | name = "login"
      |        ^^^^^^^ again here
      |
      = help: give each a name of its own: records and metrics tell them apart by it
    "#);
}

#[test]
fn two_limits_of_one_name() {
    let text = r#"[[route]]
name = "login"
origin = "app"
[[route.limit]]
name = "a"
key = ["ip"]
rate = "10/1m"
[[route.limit]]
name = "a"
key = ["ip"]
rate = "20/1m"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: two limits are named `a`
     --> rules/one.toml:9:8
      |
    5 | name = "a"
      |        --- first here
    ...
    9 | name = "a"
      |        ^^^ again here
      |
      = help: give each a name of its own: records and metrics tell them apart by it
    "#);
}

#[test]
fn a_route_with_the_name_of_the_catch_all() {
    let text = r#"[[route]]
name = "unrouted"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: the name `unrouted` is taken
     --> rules/one.toml:2:8
      |
    2 | name = "unrouted"
      |        ^^^^^^^^^^ this is the route of requests that no other takes
      |
      = help: give the route another name; what is for unrouted requests stands in `[defaults]`
    "#);
}

#[test]
fn a_host_with_a_port_and_one_that_is_any() {
    let text = r#"[[route]]
name = "login"
origin = "app"
hosts = ["shop.example:443", "*", "https://shop.example"]
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `shop.example:443` is no host
     --> rules/one.toml:4:10
      |
    4 | hosts = ["shop.example:443", "*", "https://shop.example"]
      |          ^^^^^^^^^^^^^^^^^^ holds a port
      |
      = help: leave the port out: a route is for every port

    error: `*` is no host
     --> rules/one.toml:4:30
      |
    4 | hosts = ["shop.example:443", "*", "https://shop.example"]
      |                              ^^^ any host
      |
      = help: leave `hosts` out: a route without hosts is for any

    error: `https://shop.example` is no host
     --> rules/one.toml:4:35
      |
    4 | hosts = ["shop.example:443", "*", "https://shop.example"]
      |                                   ^^^^^^^^^^^^^^^^^^^^^^ holds a scheme
      |
      = help: write the name alone, such as "api.shop.example"
    "#);
}

#[test]
fn path_patterns_that_match_nothing() {
    let text = r#"[[route]]
name = "login"
origin = "app"
paths = ["login", "/a//b", "/a/*", "/{*rest}/b", "/v{n}", "/a;b"]
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `login` is no path pattern
     --> rules/one.toml:4:10
      |
    4 | paths = ["login", "/a//b", "/a/*", "/{*rest}/b", "/v{n}", "/a;b"]
      |          ^^^^^^^ does not begin with `/`
      |
      = help: a pattern is for the whole path: "/v1/login"

    error: `/a//b` is no path pattern
     --> rules/one.toml:4:19
      |
    4 | paths = ["login", "/a//b", "/a/*", "/{*rest}/b", "/v{n}", "/a;b"]
      |                   ^^^^^^^ no request has this path
      |
      = help: paths are matched in their canonical form; the like of `/a/b` is

    error: `/a/*` is no path pattern
     --> rules/one.toml:4:28
      |
    4 | paths = ["login", "/a//b", "/a/*", "/{*rest}/b", "/v{n}", "/a;b"]
      |                            ^^^^^^ a bare star
      |
      = help: write `{name}` for one segment, or a last `{*rest}` for all that follow

    error: `/{*rest}/b` is no path pattern
     --> rules/one.toml:4:36
      |
    4 | paths = ["login", "/a//b", "/a/*", "/{*rest}/b", "/v{n}", "/a;b"]
      |                                    ^^^^^^^^^^^^ a rest that is not last
      |
      = help: `{*rest}` takes all that follows, so nothing can stand behind it

    error: `/v{n}` is no path pattern
     --> rules/one.toml:4:50
      |
    4 | paths = ["login", "/a//b", "/a/*", "/{*rest}/b", "/v{n}", "/a;b"]
      |                                                  ^^^^^^^ a brace inside a segment
      |
      = help: a parameter stands for a whole segment: "/users/{id}"

    error: `/a;b` is no path pattern
     --> rules/one.toml:4:59
      |
    4 | paths = ["login", "/a//b", "/a/*", "/{*rest}/b", "/v{n}", "/a;b"]
      |                                                           ^^^^^^ means different paths to different servers
      |
      = help: leave out `;`, `\`, `#` and encoded slashes
    "#);
}

#[test]
fn a_method_in_lower_case() {
    let text = r#"[[route]]
name = "login"
origin = "app"
methods = ["post"]
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `post` is no method
     --> rules/one.toml:4:12
      |
    4 | methods = ["post"]
      |            ^^^^^^ methods are in upper case
      |
      = help: write "POST"
    "#);
}

#[test]
fn a_filter_for_an_unknown_class() {
    let text = r#"[[route]]
name = "login"
origin = "app"
filters = { tr = "block", relay = "block", vpn = "allow" }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown class of network `tr`
     --> rules/one.toml:4:13
      |
    4 | filters = { tr = "block", relay = "block", vpn = "allow" }
      |             ^^ not known here
      |
      = help: did you mean `tor`?
      = help: known: `tor`, `vpn`, `proxy`, `datacenter`, `abuser`, `crawler`, `satellite` or `mobile`

    error: there is no filter for `relay`
     --> rules/one.toml:4:27
      |
    4 | filters = { tr = "block", relay = "block", vpn = "allow" }
      |                           ^^^^^ a privacy relay is let by
      |
      = help: to refuse its people write a rule: `when = { class = ["relay"] }`

    error: unknown value `allow` for `vpn`
     --> rules/one.toml:4:50
      |
    4 | filters = { tr = "block", relay = "block", vpn = "allow" }
      |                                                  ^^^^^^^ not known here
      |
      = help: did you mean `off`?
      = help: known: `off`, `score`, `challenge` or `block`
    "#);
}

#[test]
fn a_filter_that_has_nothing_to_monitor() {
    let text = r#"[[route]]
name = "login"
origin = "app"
filters = { tor = { action = "score", mode = "monitor" }, vpn = { action = "count" } }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: the filter for `tor` does nothing that could be monitored
     --> rules/one.toml:4:30
      |
    4 | filters = { tor = { action = "score", mode = "monitor" }, vpn = { action = "count" } }
      |                              ^^^^^^^ refuses nobody
      |
      = help: take `mode` out, or monitor what is to come: `tor = { action = "block", mode = "monitor" }`

    error: unknown value `count` for `action`
     --> rules/one.toml:4:76
      |
    4 | filters = { tor = { action = "score", mode = "monitor" }, vpn = { action = "count" } }
      |                                                                            ^^^^^^^ not known here
      |
      = help: did you mean `score`?
      = help: known: `off`, `score`, `challenge` or `block`
    "#);
}

#[test]
fn an_unknown_profile() {
    let text = r#"[defaults]
origin = "app"
profile = "ecommerce"
[[route]]
name = "login"
profile = "bank"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown value `ecommerce` for `profile`
     --> rules/one.toml:3:11
      |
    3 | profile = "ecommerce"
      |           ^^^^^^^^^^^ not known here
      |
      = help: did you mean `e-commerce`?
      = help: known: `consumer`, `e-commerce` or `financial`

    error: unknown value `bank` for `profile`
     --> rules/one.toml:6:11
      |
    6 | profile = "bank"
      |           ^^^^^^ not known here
      |
      = help: known: `consumer`, `e-commerce` or `financial`
    "#);
}

#[test]
fn an_unknown_crawler_and_an_unknown_class_in_a_rule() {
    let text = r#"[[rule]]
name = "r"
when = { crawler = ["serch", "googlebot"], class = ["hosting"] }
action = "block"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown value `serch` for `crawler`
     --> rules/one.toml:3:21
      |
    3 | when = { crawler = ["serch", "googlebot"], class = ["hosting"] }
      |                     ^^^^^^^ not known here
      |
      = help: did you mean `search`?
      = help: known: `search`, `ai`, `preview`, `monitoring` or `other`

    error: unknown value `googlebot` for `crawler`
     --> rules/one.toml:3:30
      |
    3 | when = { crawler = ["serch", "googlebot"], class = ["hosting"] }
      |                              ^^^^^^^^^^^ not known here
      |
      = help: known: `search`, `ai`, `preview`, `monitoring` or `other`

    error: unknown value `hosting` for `class`
     --> rules/one.toml:3:53
      |
    3 | when = { crawler = ["serch", "googlebot"], class = ["hosting"] }
      |                                                     ^^^^^^^^^ not known here
      |
      = help: did you mean `datacenter`?
    "#);
}

#[test]
fn an_unknown_client_and_an_unknown_claim_in_a_rule() {
    let text = r#"[[rule]]
name = "r"
when = { claim = ["tol"], client_name = ["culr", "no such thing at all"] }
action = "block"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown value `tol` for `claim`
     --> rules/one.toml:3:19
      |
    3 | when = { claim = ["tol"], client_name = ["culr", "no such thing at all"] }
      |                   ^^^^^ not known here
      |
      = help: did you mean `tool`?

    error: unknown client `culr`
     --> rules/one.toml:3:42
      |
    3 | when = { claim = ["tol"], client_name = ["culr", "no such thing at all"] }
      |                                          ^^^^^^ not known here
      |
      = help: did you mean `curl`?

    error: unknown client `no such thing at all`
     --> rules/one.toml:3:50
      |
    3 | when = { claim = ["tol"], client_name = ["culr", "no such thing at all"] }
      |                                                  ^^^^^^^^^^^^^^^^^^^^^^ not known here
      |
      = help: write a `client_name` of the audit records, such as "curl", or use `user_agent`
    "#);
}

#[test]
fn a_list_of_no_crawlers() {
    let text = r#"[[rule]]
name = "r"
when = { crawler = [] }
action = "block"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `crawler` is an empty list
     --> rules/one.toml:3:20
      |
    3 | when = { crawler = [] }
      |                    ^^ no request can meet it
      |
      = help: take the key out where it does not matter, or name at least one value
    "#);
}

#[test]
fn a_status_that_is_none() {
    let text = r#"[[route]]
name = "login"
origin = "app"
failure = { status = [40] }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `status` is out of range
     --> rules/one.toml:4:23
      |
    4 | failure = { status = [40] }
      |                       ^^ not from 100 to 599
      |
      = help: write a number from 100 to 599
    "#);
}

#[test]
fn a_print_that_no_origin_can_be_told_gets_the_nearest_one() {
    let text = r#"[defaults]
tell_origin = ["ja4", "header_order", 7]
[[route]]
name = "login"
origin = "app"
tell_origin = "ja3"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: unknown value `header_order` for `tell_origin`
     --> rules/one.toml:2:23
      |
    2 | tell_origin = ["ja4", "header_order", 7]
      |                       ^^^^^^^^^^^^^^ not known here
      |
      = help: did you mean `header-order`?
      = help: known: `ja3`, `ja4`, `http2`, `header-order` or `stable`

    error: expected a text for `tell_origin`, but found a number
     --> rules/one.toml:2:39
      |
    2 | tell_origin = ["ja4", "header_order", 7]
      |                                       ^ a number, not a text

    error: expected a list for `tell_origin`, but found a text
     --> rules/one.toml:6:15
      |
    6 | tell_origin = "ja3"
      |               ^^^^^ a text, not a list
      |
      = help: put it in brackets: `tell_origin = [...]`
    "#);
}

#[test]
fn a_puzzle_that_is_too_much_work() {
    let text = r#"[[route]]
name = "login"
origin = "app"
puzzle = { difficulty_bits = 24, count = 200 }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: the puzzle is more work than a client can do
     --> rules/one.toml:4:42
      |
    4 | puzzle = { difficulty_bits = 24, count = 200 }
      |                                          ^^^ 200 parts of 24 bits are 3355443200 hashes
      |
      = help: keep to 268435456 hashes: each bit less halves them
    "#);
}

#[test]
fn a_test_with_an_unknown_signal_and_an_unknown_route() {
    let text = r#"[[route]]
name = "login"
origin = "app"
[[test]]
name = "t"
request = { host = "shop.example", path = "/" }
expect = { route = "logn", reasons = ["ua-tol"] }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: there is no route `logn`
     --> rules/one.toml:7:20
      |
    7 | expect = { route = "logn", reasons = ["ua-tol"] }
      |                    ^^^^^^ named by no file
      |
      = help: did you mean `login`?

    error: unknown signal `ua-tol`
     --> rules/one.toml:7:39
      |
    7 | expect = { route = "logn", reasons = ["ua-tol"] }
      |                                       ^^^^^^^^ not known here
      |
      = help: did you mean `ua-tool`?
    "#);
}

#[test]
fn a_test_that_expects_nothing() {
    let text = r#"[[route]]
name = "login"
origin = "app"
[[test]]
name = "t"
request = { host = "shop.example", path = "/?q=1" }
expect = {}
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `/?q=1` is no path
     --> rules/one.toml:6:43
      |
    6 | request = { host = "shop.example", path = "/?q=1" }
      |                                           ^^^^^^^ not the path of a request
      |
      = help: write the path with its `/`; what stands behind `?` belongs in `query`

    error: a test that expects nothing
     --> rules/one.toml:7:10
      |
    7 | expect = {}
      |          ^^ always passes
      |
      = help: write `expect = { action = "allow" }`
    "#);
}

#[test]
fn a_table_that_stands_twice_in_one_file() {
    let text = r#"[defaults]
mode = "monitor"
[defaults]
mode = "enforce"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    error: `defaults` stands twice
     --> rules/one.toml:3:2
      |
    1 | [defaults]
      |  -------- first here
    2 | mode = "monitor"
    3 | [defaults]
      |  ^^^^^^^^ again here
      |
      = help: a key, or a table in single brackets, stands once

    error: `mode` stands twice
     --> rules/one.toml:4:1
      |
    2 | mode = "monitor"
      | ---- first here
    3 | [defaults]
    4 | mode = "enforce"
      | ^^^^ again here
      |
      = help: a key, or a table in single brackets, stands once
    "#);
}

#[test]
fn a_weight_above_its_cap_is_warned_of() {
    let text = r#"[weights]
ua-tool = 0.6
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(warnings(text), @r#"
    warning: signal `ua-tool` never gives its weight
     --> rules/one.toml:2:11
      |
    2 | ua-tool = 0.6
      |           ^^^ the group `claim` is capped at 0.390
      |
      = help: lower the weight, or raise the cap
    "#);
}

#[test]
fn a_bare_word_as_a_user_agent_is_warned_of() {
    let text = r#"[[rule]]
name = "r"
when = { user_agent = ["sqlmap"] }
action = "block"
[[route]]
name = "login"
origin = "app"
"#;
    insta::assert_snapshot!(warnings(text), @r#"
    warning: the pattern `sqlmap` is for a User-Agent that is exactly this
     --> rules/one.toml:3:24
      |
    3 | when = { user_agent = ["sqlmap"] }
      |                        ^^^^^^^^ no star in it
      |
      = help: write "*sqlmap*" for every User-Agent that holds it
    "#);
}

#[test]
fn a_challenge_for_unattended_clients_is_warned_of() {
    let text = r#"[[route]]
name = "login"
origin = "app"
clients = "unattended"
[[route.limit]]
name = "a"
key = ["ip"]
rate = "10/1m"
over = "challenge"
"#;
    insta::assert_snapshot!(warnings(text), @r#"
    warning: route `login` has unattended clients, which are not challenged
     --> rules/one.toml:9:8
      |
    9 | over = "challenge"
      |        ^^^^^^^^^^^ throttles instead
      |
      = help: write `throttle` or `block`, or change `clients`
    "#);
}

#[test]
fn no_route_is_warned_of() {
    let text = r#"[defaults]
mode = "monitor"
"#;
    insta::assert_snapshot!(warnings(text), @r#"
    warning: no route is written, so nothing is forwarded but by the origin of `defaults`
     |
     = help: write a `[[route]]` with a `name` and an `origin`
    "#);
}

#[test]
fn a_table_that_stands_twice_in_two_files_is_shown_in_both() {
    let files = [
        SourceFile::new("rules/a.toml", "[defaults]\norigin = \"app\"\n"),
        SourceFile::new("rules/b.toml", "[defaults]\nmode = \"monitor\"\n[[route]]\nname = \"a\"\n"),
    ];
    let faults = RuleSet::compile(&files).unwrap_err();
    insta::assert_snapshot!(faults, @r#"
    error: `[defaults]` stands twice
     --> rules/b.toml:1:1
      |
    1 | [defaults]
      | ^^^^^^^^^^ again here
      |
     ::: rules/a.toml:1:1
      |
    1 | [defaults]
      | ---------- first here
      |
      = help: put both into one; a value that is for some routes only belongs to those routes
    "#);
}

#[test]
fn every_fault_of_every_file_is_reported_at_once() {
    let files = [
        SourceFile::new("rules/a.toml", "[defaults]\nmode = \"on\"\npreset = 3\n"),
        SourceFile::new("rules/b.toml", "[[route]]\nname = \"a\"\npaths = [\"a\"]\n[[rule]]\naction = \"block\"\n"),
        SourceFile::new("rules/c.toml", "x = \n[[rule]]\nname = \"b\"\n"),
    ];
    let faults = RuleSet::compile(&files).unwrap_err();
    let places: Vec<_> = faults
        .errors()
        .filter_map(|fault| faults.position(fault.primary.as_ref()?.span))
        .map(|(file, line, column)| format!("{file}:{line}:{column}"))
        .collect();
    assert_eq!(
        places,
        [
            "rules/a.toml:2:8",
            "rules/a.toml:3:10",
            "rules/b.toml:3:10",
            "rules/b.toml:4:1",
            "rules/b.toml:4:1",
            "rules/c.toml:1:5"
        ]
    );
}

#[test]
fn colour_is_asked_for_and_never_the_default() {
    let faults = faults("x = 1");
    assert!(!faults.to_string().contains('\u{1b}'));
    assert!(faults.render(portcullis_policy::Style::Colour).contains('\u{1b}'));
}

#[test]
fn two_equal_thresholds_are_out_of_order_too() {
    let text = "[defaults]\nthresholds = { challenge = 0.5, block = 0.5 }\n[[route]]\nname = \"a\"\norigin = \"app\"\n";
    let faults = faults(text);
    let titles: Vec<_> = faults.errors().map(|fault| fault.title.as_str()).collect();
    assert_eq!(titles, ["`defaults` blocks as soon as it challenges"]);
}
