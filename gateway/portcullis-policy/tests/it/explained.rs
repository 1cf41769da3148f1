//! What explain says beyond the steps: what nearly held, what would turn the verdict, where values come from.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_intel::{AddressFacts, Asn, NetworkClass};
use portcullis_policy::{Compiled, Explanation, Layer, RouteId};
use portcullis_signals::{Ban, Behaviour, CanonicalRequest, ClientAddr, Facts, LimitReading, RequestHead, UnixSeconds};

use crate::compiled;

const RULES: &str = r#"
[defaults]
origin = "app"
thresholds = { throttle = "off", challenge = 0.4, block = 0.8 }
ban_ttl = "2h"
[weights]
ua-tool = 0.3
asn-hosting = 0.25
[[rule]]
name = "partner"
when = { ip = ["192.0.2.0/24"], header = { x-partner = "yes" } }
action = "allow"
[[rule]]
name = "last year"
when = { asn = [64500] }
action = "block"
until = 2020-12-31
[[rule]]
name = "this decade"
when = { asn = [64503] }
action = "block"
until = 2030-12-31
[[rule]]
name = "bad network"
when = { asn = [64501] }
action = "block"
[[route]]
name = "login"
paths = ["/login"]
preset = "strict"
thresholds = { challenge = 0.3 }
filters = { tor = "block" }
weights = { ua-tool = 0.2 }
[[route.limit]]
name = "per address"
key = ["ip"]
rate = "10/1m"
over = "block"
[[route]]
name = "api"
paths = ["/api"]
[[route.rule]]
name = "gain"
expr = "facts.asn == 64502"
score = "+0.2"
"#;

/// One request.
#[derive(Clone, Copy)]
struct Ask<'a> {
    path: &'a str,
    agent: &'static str,
    asn: u32,
    classes: &'a [NetworkClass],
    partner: bool,
    banned: bool,
    count: u32,
}

const PLAIN: Ask<'static> =
    Ask { path: "/", agent: "MyApp/1", asn: 64496, classes: &[], partner: false, banned: false, count: 0 };

fn explain(compiled: &Compiled, ask: Ask<'_>) -> Explanation {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    set("host", "shop.example");
    set("user-agent", ask.agent);
    if ask.partner {
        set("x-partner", "yes");
    }
    let request = CanonicalRequest::of(&RequestHead {
        method: &Method::GET,
        target: ask.path.as_bytes(),
        authority: None,
        version: Version::HTTP_11,
        headers: &headers,
        raw: None,
    });
    let client = [192, 0, 2, 7].into();
    let mut network = AddressFacts::bare(client);
    network.asn = Some(Asn(ask.asn));
    ask.classes.iter().for_each(|class| network.classes.insert(*class));
    let limits = [LimitReading { count: ask.count, over: ask.count >= 10, unkeyed: false, retry_after_ms: 500 }];
    compiled.explain(&Facts {
        at: UnixSeconds(1_800_000_000),
        ban: ask.banned.then_some(Ban { remaining_secs: 60 }),
        behaviour: Behaviour { address_per_minute: 1, prefix_per_minute: 1, ..Behaviour::default() },
        limits: &limits,
        ..Facts::bare(&request, ClientAddr(client), &network)
    })
}

#[test]
fn the_smallest_change_that_turns_a_verdict_is_told() {
    let compiled = compiled(RULES);
    let datacenter = &[NetworkClass::Datacenter];
    let tool = Ask { agent: "curl/8.5.0", ..PLAIN };
    let lines: Vec<String> = [
        ("nothing", PLAIN),
        ("a tool", tool),
        ("a tool from a data centre", Ask { classes: datacenter, ..tool }),
        ("the same at login", Ask { classes: datacenter, path: "/login", ..tool }),
        ("a partner whose network is bad", Ask { asn: 64501, partner: true, ..PLAIN }),
        ("a bad network", Ask { asn: 64501, ..PLAIN }),
        ("banned", Ask { banned: true, ..PLAIN }),
        ("tor at login", Ask { classes: &[NetworkClass::Tor], path: "/login", ..PLAIN }),
        ("over a limit", Ask { path: "/login", count: 10, ..PLAIN }),
        ("near a limit", Ask { path: "/login", count: 9, ..PLAIN }),
        ("a tool that a rule weighs", Ask { path: "/api", asn: 64502, ..tool }),
        ("malformed", Ask { path: "/a%2fb", ..PLAIN }),
    ]
    .into_iter()
    .map(|(what, ask)| {
        let found = explain(&compiled, ask);
        let flip = found.flip.map_or_else(|| "nothing single".to_owned(), |flip| flip.to_string());
        format!("{what}, {}: {flip}", found.decision.verdict.name())
    })
    .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    nothing, allow: with 0.400 more score: challenge
    a tool, allow: with 0.100 more score: challenge
    a tool from a data centre, challenge: without `asn-hosting`, which gave 0.216: allow
    the same at login, block: without `ua-tool`, which gave 0.178: allow
    a partner whose network is bad, allow: without rule `partner`: block
    a bad network, block: without rule `bad network`: allow
    banned, block: once the ban is over: allow
    tor at login, block: were its network no `tor`: allow
    over a limit, block: within limit `per address`: allow
    near a limit, allow: with 2 more requests, by limit `per address`: block
    a tool that a rule weighs, challenge: without `ua-tool`, which gave 0.300: allow
    malformed, block: nothing single
    ");
}

#[test]
fn a_rule_that_nearly_held_is_told_with_what_it_wanted() {
    let compiled = compiled(RULES);
    let notes = |ask, step: &str| {
        let found = explain(&compiled, ask);
        found.steps.into_iter().find(|found| found.name == step).unwrap().notes.join("; ")
    };
    assert_eq!(notes(PLAIN, "allow rules"), "nearly: rule `partner`, all but its `header`");
    assert_eq!(notes(Ask { asn: 64500, ..PLAIN }, "other rules"), "nearly: rule `last year`, which has expired");
    assert_eq!(notes(PLAIN, "other rules"), "");
    assert_eq!(notes(Ask { partner: true, ..PLAIN }, "allow rules"), "rule `partner` of every route says allow");
}

#[test]
fn every_value_of_a_route_tells_where_it_came_from() {
    let compiled = compiled(RULES);
    let found = explain(&compiled, Ask { path: "/login", agent: "curl/8.5.0", count: 3, ..PLAIN });
    let shown = found.to_string().replace(&*found.version, "VERSION");
    insta::assert_snapshot!(shown, @r"
    GET shop.example /login
    allow on route `login`, by policy VERSION

    score 0.200; thresholds: throttle 0.150, challenge 0.300, block 0.400, ban 0.970

    signal               group      strength  weight  points
    ua-tool              claim         1.000   0.200   0.200

    counters
      limit `per address` 3 of 10 in 60 s

    steps
      1 malformed request  nothing
      2 allow rules        nearly: rule `partner`, all but its `header`
      3 bans               nothing
      4 other rules        nothing
      5 filters            nothing
      6 limits             nothing
      7 machines           nothing
      8 thresholds         score 0.200 has reached throttle, and the address is below the throttle's rate

    smallest change
      with 0.100 more score: challenge

    values of the route, and where they come from
      origin                       app                      defaults, rules/one.toml:3
      sensitivity                  normal                   shipped
      mode                         enforce                  shipped
      clients                      mixed                    shipped
      throttle_rate                30/1m                    shipped
      usual.per_address            240/1m                   sensitivity
      usual.per_prefix             2400/1m                  sensitivity
      usual.failed_users           10                       sensitivity
      usual.networks               8                        sensitivity
      usual.paths                  600                      sensitivity
      usual.missing_paths          30                       sensitivity
      usual.sequence               60                       sensitivity
      clearance_ttl                1h                       shipped
      ban_ttl                      2h                       defaults, rules/one.toml:5
      max_body_bytes               10485760                 shipped
      ambiguous_paths              refuse                   shipped
      failure                      401, 403, 404            shipped
      posture.elevated             throttle 0.135, challenge 0.270, block 0.400, ban 0.970 shipped
      posture.under_attack         throttle 0.105, challenge 0.210, block 0.400, ban 0.970 shipped
      tell_shadow                  none                     shipped
      tell_origin                  none                     shipped
      credit.clearance             0.500                    shipped
      credit.history               0.300                    shipped
      thresholds.throttle          0.150                    preset
      thresholds.challenge         0.300                    route, rules/one.toml:31
      thresholds.block             0.400                    preset
      thresholds.ban               0.970                    preset
      puzzle.difficulty_bits       20                       preset
      puzzle.count                 120                      preset
      filters.tor                  block                    route, rules/one.toml:32
      filters.vpn                  score                    shipped
      filters.proxy                score                    shipped
      filters.crawler              off                      shipped
      filters.datacenter           score                    shipped
      filters.abuser               block                    shipped
      filters.satellite            off                      shipped
      filters.mobile               off                      shipped
      weights.ua-tool              0.200                    route, rules/one.toml:33
    ");
}

#[test]
fn weights_of_signals_that_are_absent_are_left_to_programs() {
    let text = format!("{RULES}\n[caps]\nclaim = 0.5\ntls = 0.5\n").replace("asn-hosting = 0.25", "asn-hosting = 0.11");
    let found = explain(&compiled(&text), Ask { path: "/login", agent: "curl/8.5.0", ..PLAIN });
    let keys = |found: &Explanation| {
        let keys = found.layers.iter().map(|layer| layer.key.clone());
        keys.filter(|key| key.starts_with("weights.") || key.starts_with("caps.")).collect::<Vec<_>>()
    };
    assert_eq!(keys(&found), ["weights.ua-tool", "weights.asn-hosting", "caps.claim", "caps.tls"]);
    let shown = found.to_string();
    for (words, is_said) in [
        ("weights.ua-tool", true),
        ("caps.claim", true),
        ("weights.asn-hosting", false),
        ("caps.tls", false),
        ("and 2 weights and caps of signals that are absent", true),
    ] {
        assert_eq!(shown.contains(words), is_said, "{words} in {shown}");
    }
}

#[test]
fn layers_are_those_that_decide() {
    let compiled = compiled(RULES);
    let layer = |route: u32, key: &str| {
        let found = compiled.layers(RouteId(route)).into_iter().find(|found| found.key == key).unwrap();
        (found.value, found.layer)
    };
    for (route, key, value, of) in [
        (1, "thresholds.challenge", "0.300", Layer::Route),
        (1, "thresholds.block", "0.400", Layer::Preset),
        (2, "thresholds.challenge", "0.400", Layer::Defaults),
        (2, "thresholds.ban", "0.970", Layer::Preset),
        (1, "ban_ttl", "2h", Layer::Defaults),
        (1, "clearance_ttl", "1h", Layer::Shipped),
        (1, "usual.per_address", "240/1m", Layer::Sensitivity),
        (1, "weights.ua-tool", "0.200", Layer::Route),
        (1, "filters.tor", "block", Layer::Route),
        (2, "filters.tor", "score", Layer::Shipped),
        (0, "origin", "app", Layer::Defaults),
    ] {
        assert_eq!(layer(route, key), (value.to_owned(), of), "{route} {key}");
    }
    let layers = compiled.layers(RouteId(2));
    assert!(layers.iter().all(|found| found.key != "weights.ua-tool"), "a weight as shipped is no news");
    assert!(compiled.layers(RouteId(9)).is_empty());
}
