use super::*;
use crate::model::{Action, Case, Filter, Mode, Route, Rule, TextPattern, When};
use crate::testing::{Asks, rule_set};
use crate::weigh::signal_place;
use http::HeaderName;
use portcullis_intel::NetworkClass;
use portcullis_signals::Clearance;

fn rules() -> RuleSet {
    let score = Score::thousandths;
    let mut route = Route::bare("login");
    route.weights.signals[signal_place(SignalId::UaTool)] = score(400);
    route.weights.signals[signal_place(SignalId::AsnHosting)] = score(250);
    route.weights.clearance_credit = score(200);
    route.thresholds.challenge = Some(score(400));
    route.thresholds.block = Some(score(800));
    route.filters = vec![Filter { class: NetworkClass::Datacenter, action: Action::Challenge, mode: Mode::Monitor }];
    let partner = Rule {
        name: "partner".into(),
        route: Some(1),
        when: When {
            header: vec![(
                HeaderName::from_static("x-partner"),
                TextPattern { pieces: vec!["yes".into()], case: Case::Sensitive },
            )],
            ..When::default()
        },
        action: Action::Allow,
        machine: None,
        mode: Mode::Enforce,
        until: None,
        owner: None,
        reason: None,
    };
    rule_set(route, vec![partner])
}

fn asks() -> Asks {
    let asks = Asks { path: "/v1/login".into(), classes: vec![NetworkClass::Datacenter], ..Asks::default() };
    asks.with_header("user-agent", "curl/8.5.0")
}

fn explained(asks: &Asks) -> String {
    asks.facts(|facts| {
        let explanation = rules().explain(facts);
        assert_eq!(explanation.decision, rules().decide(facts), "to explain is to decide");
        explanation.to_string()
    })
}

#[test]
fn a_challenge_is_explained() {
    insta::assert_snapshot!(explained(&asks()), @r"
    GET shop.example /v1/login
    challenge on route `login`, API.SCORE_CHALLENGED, by policy 0123456789abcdef

    score 0.550; thresholds: challenge 0.400, block 0.800

    signal               group      strength  weight  points
    ua-tool              claim         1.000   0.400   0.338
    asn-hosting          network       1.000   0.250   0.212

    steps
      1 malformed request  nothing
      2 allow rules        nothing
      3 bans               nothing
      4 other rules        nothing
      5 filters            class `datacenter` is consulted and says challenge, in monitor
      6 limits             nothing
      7 machines           nothing
    > 8 thresholds         score 0.550 has reached challenge

    smallest change
      without `ua-tool`, which gave 0.338: allow
    ");
}

#[test]
fn a_request_that_a_rule_allows_is_explained() {
    insta::assert_snapshot!(explained(&asks().with_header("x-partner", "yes")), @r"
    GET shop.example /v1/login
    allow on route `login`, by policy 0123456789abcdef

    score 0.550; thresholds: challenge 0.400, block 0.800

    signal               group      strength  weight  points
    ua-tool              claim         1.000   0.400   0.338
    asn-hosting          network       1.000   0.250   0.212

    steps
      1 malformed request  nothing
    > 2 allow rules        rule `partner` of this route says allow
    - 3 bans               not asked
    - 4 other rules        not asked
    - 5 filters            class `datacenter` is consulted and says challenge, in monitor
    - 6 limits             not asked
    - 7 machines           not asked
    - 8 thresholds         score 0.550 has reached challenge

    smallest change
      without rule `partner`: challenge
    ");
}

#[test]
fn a_clearance_is_explained() {
    insta::assert_snapshot!(explained(&Asks { clearance: Some(Clearance::ProofOfWork), ..asks() }), @r"
    GET shop.example /v1/login
    allow on route `login`, by policy 0123456789abcdef

    score 0.440 (0.550 before the credit of a clearance); thresholds: challenge 0.400, block 0.800

    signal               group      strength  weight  points
    ua-tool              claim         1.000   0.400   0.271
    asn-hosting          network       1.000   0.250   0.169

    steps
      1 malformed request  nothing
      2 allow rules        nothing
      3 bans               nothing
      4 other rules        nothing
      5 filters            class `datacenter` is consulted and says challenge, in monitor
      6 limits             nothing
      7 machines           nothing
      8 thresholds         score 0.440 has reached challenge, met by a clearance

    smallest change
      with 0.360 more score: block
    ");
}

#[test]
fn what_a_filter_refuses_is_explained_with_the_score_that_was_not_needed() {
    let blocking = Filter { class: NetworkClass::Tor, action: Action::Block, mode: Mode::Enforce };
    let classes = vec![NetworkClass::Datacenter, NetworkClass::Tor];
    let mut route = rules().route(crate::RouteId(1)).clone();
    route.filters.push(blocking);
    let explanation = Asks { classes, ..asks() }.facts(|facts| rule_set(route, vec![]).explain(facts));
    insta::assert_snapshot!(explanation, @r"
    GET shop.example /v1/login
    block on route `login`, API.TOR_BLOCKED, by policy 0123456789abcdef

    score 0.550, which was not needed; thresholds: challenge 0.400, block 0.800

    signal               group      strength  weight  points
    ua-tool              claim         1.000   0.400   0.338
    asn-hosting          network       1.000   0.250   0.212
    net-tor              network       1.000   0.000   0.000

    steps
      1 malformed request  nothing
      2 allow rules        nothing
      3 bans               nothing
      4 other rules        nothing
    > 5 filters            class `tor` is consulted and says block
                           not consulted beside it: `datacenter`
    - 6 limits             not asked
    - 7 machines           not asked
    - 8 thresholds         score 0.550 has reached challenge

    smallest change
      were its network no `tor`: challenge
    ");
}

#[test]
fn a_class_without_a_filter_is_explained() {
    let lines = |classes: &[NetworkClass], off: bool| {
        let mut route = rules().route(crate::RouteId(1)).clone();
        route.filters.clear();
        if off {
            route.expectation.networks = portcullis_intel::ClassSet::EMPTY;
        }
        let asks = Asks { classes: classes.to_vec(), ..asks() };
        let explanation = asks.facts(|facts| rule_set(route, vec![]).explain(facts));
        explanation.steps.iter().find(|step| step.name == "filters").unwrap().notes.join("; ")
    };
    use NetworkClass::{Datacenter, Relay, Vpn};
    for (classes, off, said) in [
        (&[][..], false, ""),
        (&[Datacenter], false, "class `datacenter` is consulted, and only counts for the score"),
        (&[Datacenter], true, "class `datacenter` is consulted, and its filter is off"),
        (
            &[Vpn, Relay, Datacenter],
            false,
            "class `relay` is consulted, and lets by; not consulted beside it: `vpn`, `datacenter`",
        ),
    ] {
        assert_eq!(lines(classes, off), said, "{classes:?}");
    }
}
