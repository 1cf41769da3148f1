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

#[test]
fn levels_of_limits_and_a_posture_are_explained() {
    use crate::model::{Bound, Cost, Count, KeyPart, Level, Limit, OnMissing, Over, Tightened};
    use portcullis_signals::{LimitReading, Posture};
    use std::time::Duration;

    let window = Duration::from_secs(60);
    let level = |bound, over| Level { name: "level".into(), counter: 1, bound, over };
    let limit = |name: &str, mode, levels| Limit {
        name: name.into(),
        counter: 1,
        key: vec![KeyPart::Ip],
        on_missing: OnMissing::Refuse,
        count: Count::Requests,
        cost: Cost::Units(1),
        levels,
        mode,
    };
    let mut route = rules().route(crate::RouteId(1)).clone();
    route.weights.signals[signal_place(SignalId::LimitExceeded)] = Score::thousandths(100);
    let tight = Thresholds { challenge: Some(Score::thousandths(300)), ..route.thresholds };
    route.tightened = Tightened { elevated: tight, under_attack: tight };
    route.limits = vec![
        limit(
            "steps",
            Mode::Enforce,
            vec![
                level(Bound::Window { limit: 5, window }, Over::Score(Strength::FULL)),
                level(
                    Bound::Bucket { limit: 10, window, burst: 20 },
                    Over::Delay { at_most: Duration::from_secs(2), max_waiting: 9 },
                ),
                level(Bound::Concurrent { limit: 3 }, Over::Act(Action::Challenge)),
            ],
        ),
        limit("watched", Mode::Monitor, vec![level(Bound::Window { limit: 1, window }, Over::Act(Action::Ban))]),
        limit("keyed", Mode::Monitor, vec![level(Bound::Window { limit: 1, window }, Over::Act(Action::Ban))]),
    ];
    let over = |count| LimitReading { count, over: true, ..LimitReading::default() };
    let unkeyed = LimitReading { unkeyed: true, ..LimitReading::default() };
    let asks = Asks {
        posture: Posture::Elevated,
        clearance: Some(Clearance::ProofOfWork),
        limits: vec![over(5), over(20), over(3), over(1), unkeyed],
        ..Asks::default()
    };
    let explanation = asks.facts(|facts| rule_set(route, vec![]).explain(facts));
    insta::assert_snapshot!(explanation, @r"
    GET shop.example /
    allow on route `login`, by policy 0123456789abcdef

    score 0.080 (0.100 before the credit of a clearance); thresholds in posture `elevated`: challenge 0.300, block 0.800

    signal               group      strength  weight  points
    limit-exceeded       velocity      1.000   0.100   0.080

    steps
      1 malformed request  nothing
      2 allow rules        nothing
      3 bans               nothing
      4 other rules        nothing
      5 filters            nothing
      6 limits             limit `steps` (5 of 5 in 60 s) says score
                           limit `steps` (20 of 20 at once, 10 in 60 s) says delay
                           limit `steps` (3 of 3 at the same time) says challenge, met by a clearance
                           limit `watched` (1 of 1 in 60 s) says ban, in monitor
                           limit `keyed` refuses a request that lacks a part of its key, in monitor
      7 machines           nothing
      8 thresholds         nothing

    smallest change
      with 0.720 more score: block
    ");
}

#[test]
fn the_level_that_decided_is_what_would_turn_it_and_the_nearest_level_is_what_comes_next() {
    use crate::model::{Bound, Cost, Count, KeyPart, Level, Limit, OnMissing, Over};
    use portcullis_signals::LimitReading;
    use std::time::Duration;

    let level = |name: &str, limit, secs, action| Level {
        name: name.into(),
        counter: 1,
        bound: Bound::Window { limit, window: Duration::from_secs(secs) },
        over: Over::Act(action),
    };
    let limit = |name: &str, count, cost, levels| Limit {
        name: name.into(),
        counter: 1,
        key: vec![KeyPart::Ip],
        on_missing: OnMissing::Refuse,
        count,
        cost,
        levels,
        mode: Mode::Enforce,
    };
    let mut route = crate::model::Route::bare("search");
    route.limits = vec![
        limit(
            "per address",
            Count::Requests,
            Cost::Units(5),
            vec![level("per address 1m", 10, 60, Action::Throttle), level("per address 1h", 50, 3_600, Action::Block)],
        ),
        limit("failed", Count::Failures, Cost::Units(1), vec![level("failed", 8, 60, Action::Ban)]),
        limit("sent", Count::Bytes, Cost::Units(1), vec![level("sent", 8, 60, Action::Ban)]),
    ];
    let read = |count| LimitReading { count, ..LimitReading::default() };
    let over = |count| LimitReading { count, over: true, ..LimitReading::default() };
    let unkeyed = LimitReading { unkeyed: true, ..LimitReading::default() };
    for (limits, said) in [
        ([read(5), read(5), read(0), read(0)], "with 2 more requests, by limit `per address 1m`: throttle"),
        ([read(10), read(10), read(0), read(0)], "with the next request, by limit `per address 1m`: throttle"),
        ([read(0), read(46), read(0), read(7)], "with the next request, by limit `per address 1h`: block"),
        ([read(0), read(0), read(7), read(0)], "with one more failure, by limit `failed`: ban"),
        ([over(12), read(20), read(0), read(0)], "within limit `per address 1m`: allow"),
        ([over(60), over(60), read(0), read(0)], "within limit `per address 1h`: throttle"),
        ([read(0), read(0), unkeyed, read(0)], "with all that limit `failed` counts by: allow"),
    ] {
        let asks = Asks { limits: limits.to_vec(), ..Asks::default() };
        let explanation = asks.facts(|facts| rule_set(route.clone(), vec![]).explain(facts));
        assert_eq!(explanation.flip.map(|flip| flip.to_string()).as_deref(), Some(said), "{limits:?}");
    }
}
