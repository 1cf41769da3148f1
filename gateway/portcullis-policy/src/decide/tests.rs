use super::*;
use crate::model::{Bound, Cost, Count, KeyPart, Level, Limit, Machine, OnMissing, Rule, TextPattern, When};
use crate::testing::{Asks, rule_set};
use crate::weigh::signal_place;
use portcullis_signals::{Ban, Posture, SignalId};
use proptest::prelude::*;
use std::time::Duration;

/// A rule that holds where the header `name` says `yes`.
fn rule(name: &'static str, action: Action, mode: Mode) -> Rule {
    let yes = TextPattern { pieces: vec!["yes".into()], case: crate::model::Case::Sensitive };
    Rule {
        name: name.into(),
        route: None,
        when: When { header: vec![(http::HeaderName::from_static(name), yes)], ..When::default() },
        action,
        machine: None,
        mode,
        until: None,
        owner: None,
        reason: None,
    }
}

/// A rule with an expression and nothing else.
pub(super) fn expression(name: &str, text: &str, action: Action) -> Rule {
    weighing_rule(name, text, action, Effect::Act)
}

/// A rule with an expression that does this.
pub(super) fn weighing_rule(name: &str, text: &str, action: Action, effect: Effect) -> Rule {
    let program = crate::machine::compile(text).unwrap();
    Rule {
        name: name.into(),
        route: None,
        when: When::default(),
        action,
        machine: Some(Machine { text: text.into(), effect, program: program.into() }),
        mode: Mode::Enforce,
        until: None,
        owner: None,
        reason: None,
    }
}

fn limit(name: &str, over: Action, mode: Mode) -> Limit {
    Limit {
        name: name.into(),
        counter: 1,
        key: vec![KeyPart::Ip],
        on_missing: OnMissing::Prefix,
        count: Count::Requests,
        cost: Cost::Units(1),
        levels: vec![level(10, Over::Act(over))],
        mode,
    }
}

fn level(limit: u32, over: Over) -> Level {
    Level { name: "level".into(), counter: 1, bound: Bound::Window { limit, window: Duration::from_secs(60) }, over }
}

fn over(retry_after_ms: u32) -> LimitReading {
    LimitReading { count: 10, over: true, retry_after_ms, ..LimitReading::default() }
}

fn score(thousandths: u16) -> Score {
    Score::thousandths(thousandths)
}

/// A route that throttles 30 requests a minute from 0.2, challenges from 0.4, blocks from 0.8 and bans from 0.95.
fn strict() -> Route {
    let mut route = Route::bare("login");
    route.thresholds = Thresholds {
        throttle: Some(score(200)),
        challenge: Some(score(400)),
        block: Some(score(800)),
        ban: Some(score(950)),
    };
    route.throttle_per_minute = 30;
    route.weights.clearance_credit = score(500);
    route
}

/// `strict`, with a weight for the User-Agent that `tool` sends: what the raw score then is.
fn weighing(weight: u16) -> Route {
    let mut route = strict();
    route.weights.signals[signal_place(SignalId::UaTool)] = score(weight);
    route
}

fn tool() -> Asks {
    Asks::default().with_header("user-agent", "curl/8.5.0")
}

const STEPS: [&str; 8] = ["malformed", "allow-rule", "ban", "rule", "filter", "limit", "machine", "threshold"];

/// A request that gives each of these steps something to say, on [`every_step`].
fn asking(steps: &[&str]) -> Asks {
    let mut asks = Asks::default();
    for step in steps {
        match *step {
            "malformed" => asks.path = "/a%2fb".into(),
            "allow-rule" => asks = asks.with_header("x-allow", "yes"),
            "ban" => asks.ban = Some(Ban { remaining_secs: 90 }),
            "rule" => asks = asks.with_header("x-deny", "yes"),
            "filter" => asks.classes.push(NetworkClass::Tor),
            "machine" => asks = asks.with_header("x-machine", "yes"),
            "limit" => asks.limits = vec![over(700)],
            "threshold" => asks = asks.with_header("user-agent", "curl/8.5.0"),
            other => panic!("{other}"),
        }
    }
    asks
}

fn every_step(mode: Mode) -> RuleSet {
    let mut route = weighing(850);
    route.mode = mode;
    route.filters = vec![Filter { class: NetworkClass::Tor, action: Action::Block, mode: Mode::Enforce }];
    route.limits = vec![limit("per address", Action::Throttle, Mode::Enforce)];
    let machine = expression("machine", "request.header('x-machine') == 'yes'", Action::StepUp);
    let rules =
        vec![rule("x-deny", Action::Block, Mode::Enforce), rule("x-allow", Action::Allow, Mode::Enforce), machine];
    rule_set(route, rules)
}

#[test]
fn each_step_alone_decides() {
    for (step, verdict, code) in [
        ("malformed", Action::Block, "API.MALFORMED_REQUEST"),
        ("allow-rule", Action::Allow, ""),
        ("ban", Action::Block, "API.BANNED"),
        ("rule", Action::Block, "API.RULE_BLOCKED"),
        ("filter", Action::Block, "API.TOR_BLOCKED"),
        ("limit", Action::Throttle, "API.LIMIT_EXCEEDED"),
        ("machine", Action::StepUp, "API.RULE_STEP_UP"),
        ("threshold", Action::Block, "API.SCORE_BLOCKED"),
    ] {
        let decision = asking(&[step]).decide(&every_step(Mode::Enforce));
        assert_eq!((decision.cause.name(), decision.verdict, decision.code), (step, verdict, code));
        assert_eq!(decision.action, verdict);
    }
    let decision = asking(&[]).decide(&every_step(Mode::Enforce));
    assert_eq!((decision.cause, decision.action, decision.code), (Cause::Clear, Action::Allow, ""));
}

#[test]
fn of_every_two_steps_the_earlier_decides() {
    let rules = every_step(Mode::Enforce);
    let mut pairs = 0;
    for (at, earlier) in STEPS.iter().enumerate() {
        for later in &STEPS[at + 1..] {
            // Of a limit and what follows the harder decides: here a step-up or a block, and the limit throttles.
            let decides =
                if matches!((*earlier, *later), ("limit", "machine" | "threshold")) { later } else { earlier };
            for asks in [asking(&[earlier, later]), asking(&[later, earlier])] {
                let decision = asks.decide(&rules);
                assert_eq!(decision.cause.name(), *decides, "{earlier} and {later}");
                assert_eq!(decision, asking(&[earlier, later]).decide(&rules));
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, 28);
}

#[test]
fn the_score_is_told_whatever_step_decides_but_a_filter() {
    for step in STEPS.into_iter().filter(|step| *step != "filter") {
        let decision = asking(&[step, "threshold"]).decide(&every_step(Mode::Enforce));
        assert_eq!(decision.score, score(850), "{step}");
        assert_eq!(decision.reasons[0].signal, SignalId::UaTool, "{step}");
    }
}

#[test]
fn what_a_filter_refuses_is_not_scored_and_what_it_would_refuse_is() {
    for (mode, filter_mode, told) in [
        (Mode::Enforce, Mode::Enforce, None),
        (Mode::Monitor, Mode::Enforce, Some(score(850))),
        (Mode::Enforce, Mode::Monitor, Some(score(850))),
    ] {
        let mut route = weighing(850);
        route.mode = mode;
        route.filters = vec![Filter { class: NetworkClass::Tor, action: Action::Block, mode: filter_mode }];
        let decision = asking(&["filter", "threshold"]).decide(&rule_set(route, vec![]));
        assert_eq!(decision.is_scored(), told.is_some(), "{mode:?} {filter_mode:?}");
        assert_eq!(decision.score, told.unwrap_or(Score::ZERO), "{mode:?} {filter_mode:?}");
        assert_eq!(decision.reasons.is_empty(), told.is_none(), "{mode:?} {filter_mode:?}");
    }
}

#[test]
fn each_class_has_codes_of_its_own() {
    for (class, name) in [
        (NetworkClass::Tor, "TOR"),
        (NetworkClass::Vpn, "VPN"),
        (NetworkClass::Proxy, "PROXY"),
        (NetworkClass::Datacenter, "DATACENTER"),
        (NetworkClass::Abuser, "ABUSER"),
        (NetworkClass::Crawler, "CRAWLER"),
        (NetworkClass::Satellite, "SATELLITE"),
        (NetworkClass::Mobile, "MOBILE"),
    ] {
        for (action, suffix) in [(Action::Block, "BLOCKED"), (Action::Challenge, "CHALLENGED")] {
            let mut route = strict();
            route.filters = vec![Filter { class, action, mode: Mode::Enforce }];
            let decision = Asks { classes: vec![class], ..Asks::default() }.decide(&rule_set(route, vec![]));
            assert_eq!((decision.action, decision.cause), (action, Cause::Filter(class)));
            assert_eq!(decision.code, format!("API.{name}_{suffix}"));
        }
    }
}

#[test]
fn a_throttle_holds_who_shares_an_address_by_what_tells_them_apart() {
    let rules = rule_set(weighing(250), vec![]);
    for (class, address_per_minute, named_per_minute, action) in [
        (NetworkClass::Datacenter, 31, 1, Action::Throttle),
        (NetworkClass::Mobile, 31, 1, Action::Allow),
        (NetworkClass::Mobile, 31, 31, Action::Throttle),
        (NetworkClass::Mobile, 31 * 32, 1, Action::Throttle),
    ] {
        let asks = Asks { classes: vec![class], address_per_minute, named_per_minute, ..tool() };
        let decision = asks.decide(&rules);
        assert_eq!(decision.action, action, "{class} {address_per_minute} {named_per_minute}");
    }
}

#[test]
fn a_score_equal_to_a_threshold_has_reached_it() {
    for (weight, action) in [
        (0, Action::Allow),
        (199, Action::Allow),
        (200, Action::Throttle),
        (399, Action::Throttle),
        (400, Action::Challenge),
        (799, Action::Challenge),
        (800, Action::Block),
        (949, Action::Block),
        (950, Action::Ban),
        (1000, Action::Ban),
    ] {
        let asks = Asks { address_per_minute: 31, ..tool() };
        assert_eq!(asks.decide(&rule_set(weighing(weight), vec![])).action, action, "at {weight}");
    }
    assert_eq!(Route::bare("open").thresholds.reached(Score::ONE), None);
}

#[test]
fn a_throttle_that_holds_nobody_lets_nobody_past_the_rules_behind_it() {
    let before = |action| {
        rule_set(strict(), vec![rule("x-first", action, Mode::Enforce), rule("x-deny", Action::Block, Mode::Enforce)])
    };
    let both = || Asks::default().with_header("x-first", "yes").with_header("x-deny", "yes");
    for (first, address_per_minute, clearance, action, name) in [
        (Action::Throttle, 1, None, Action::Block, "x-deny"),
        (Action::Throttle, 31, None, Action::Throttle, "x-first"),
        (Action::Challenge, 1, None, Action::Challenge, "x-first"),
        (Action::Challenge, 1, Some(Clearance::ProofOfWork), Action::Allow, ""),
    ] {
        let (asks, rules) = (Asks { address_per_minute, clearance, ..both() }, before(first));
        let decision = asks.decide(&rules);
        let decided = decision.rule.and_then(|rule| rules.rule(rule)).map_or("", |rule| &*rule.name);
        assert_eq!((decision.action, decided), (action, name), "{first:?} at {address_per_minute}");
    }
}

#[test]
fn a_throttle_lets_an_address_ask_at_the_rate_of_the_route() {
    let rules = rule_set(weighing(250), vec![]);
    for (per_minute, action, retry_after_ms) in [
        (1, Action::Allow, 0),
        (30, Action::Allow, 0),
        // Two of 31 must leave the window.
        (31, Action::Throttle, 3871),
        (60, Action::Throttle, 31_000),
        (u32::MAX, Action::Throttle, 60_000),
    ] {
        let decision = Asks { address_per_minute: per_minute, ..tool() }.decide(&rules);
        assert_eq!((decision.action, decision.retry_after_ms), (action, retry_after_ms), "at {per_minute}");
    }
}

#[test]
fn a_clearance_meets_a_challenge_and_nothing_else() {
    use Action::{Allow, Ban, Block, Challenge, StepUp, Throttle};
    let holding = |clearance| Asks { clearance, address_per_minute: 31, ..Asks::default() };
    for (written, none, proof, step_up) in [
        (Challenge, Challenge, Allow, Allow),
        (Throttle, Throttle, Throttle, Throttle),
        (StepUp, StepUp, StepUp, Allow),
        (Block, Block, Block, Block),
        (Ban, Ban, Ban, Ban),
    ] {
        let by_rule = rule_set(strict(), vec![rule("x-deny", written, Mode::Enforce)]);
        let mut route = strict();
        route.limits = vec![limit("limit", written, Mode::Enforce)];
        let by_limit = rule_set(route, vec![]);
        let mut route = strict();
        route.filters = vec![Filter { class: NetworkClass::Vpn, action: written, mode: Mode::Enforce }];
        let by_filter = rule_set(route, vec![]);
        for (clearance, action) in [
            (None, none),
            (Some(Clearance::ProofOfWork), proof),
            (Some(Clearance::MemoryHard), proof),
            (Some(Clearance::StepUp), step_up),
        ] {
            let asks = holding(clearance);
            assert_eq!(asks.clone().with_header("x-deny", "yes").decide(&by_rule).action, action, "rule {written:?}");
            assert_eq!(
                Asks { limits: vec![over(1)], ..asks.clone() }.decide(&by_limit).action,
                action,
                "limit {written:?}"
            );
            assert_eq!(
                Asks { classes: vec![NetworkClass::Vpn], ..asks }.decide(&by_filter).action,
                action,
                "filter {written:?}"
            );
        }
    }
}

#[test]
fn a_clearance_lowers_the_score_and_leaves_the_throttle() {
    for (weight, per_minute, score_left, action) in [
        (790, 1, 395, Action::Allow),
        (790, 31, 395, Action::Throttle),
        // 0.9 halved has still reached the challenge, which is met, but not the rate.
        (900, 1, 450, Action::Allow),
        (900, 31, 450, Action::Throttle),
    ] {
        let asks = Asks { clearance: Some(Clearance::ProofOfWork), address_per_minute: per_minute, ..tool() };
        let decision = asks.decide(&rule_set(weighing(weight), vec![]));
        assert_eq!((decision.score, decision.raw, decision.action), (score(score_left), score(weight), action));
        let cause = if action == Action::Allow { Cause::Clear } else { Cause::Threshold };
        assert_eq!(decision.cause, cause);
    }
    let mut route = weighing(900);
    route.weights.clearance_credit = score(100);
    let asks = Asks { clearance: Some(Clearance::StepUp), ..tool() };
    assert_eq!(asks.decide(&rule_set(route, vec![])).action, Action::Block, "0.81 is a block, cleared or not");
}

#[test]
fn a_challenge_that_is_met_leaves_the_steps_after_it() {
    let mut route = weighing(0);
    route.limits = vec![limit("limit", Action::Block, Mode::Enforce)];
    let rules = rule_set(
        route,
        vec![rule("x-deny", Action::Challenge, Mode::Enforce), rule("x-tag", Action::Block, Mode::Enforce)],
    );
    let asks = Asks { clearance: Some(Clearance::ProofOfWork), ..Asks::default() }.with_header("x-deny", "yes");
    // The first rule decides among rules; the limit is another matter.
    assert_eq!(asks.clone().with_header("x-tag", "yes").decide(&rules).action, Action::Allow);
    let decision = Asks { limits: vec![over(5)], ..asks }.decide(&rules);
    assert_eq!((decision.action, decision.cause), (Action::Block, Cause::Limit));
}

#[test]
fn of_a_limit_and_the_score_the_harder_decides_and_of_two_alike_the_limit() {
    use Action::{Block, Challenge, Throttle};
    for (weight, over_limit, action, cause) in [
        (300, Throttle, Throttle, Cause::Limit),
        (500, Throttle, Challenge, Cause::Threshold),
        (500, Challenge, Challenge, Cause::Limit),
        (850, Challenge, Block, Cause::Threshold),
        (300, Block, Block, Cause::Limit),
    ] {
        let mut route = weighing(weight);
        route.limits = vec![limit("limit", over_limit, Mode::Enforce)];
        let decision = Asks { limits: vec![over(700)], ..tool() }.decide(&rule_set(route, vec![]));
        assert_eq!((decision.action, decision.cause), (action, cause), "{weight} and {over_limit:?}");
        assert_eq!(decision.retry_after_ms > 0, action == Throttle || cause == Cause::Limit);
    }
}

#[test]
fn unattended_clients_are_throttled_where_others_are_challenged() {
    let mut route = weighing(500);
    route.clients = Clients::Unattended;
    route.limits = vec![limit("limit", Action::Challenge, Mode::Enforce)];
    route.filters = vec![Filter { class: NetworkClass::Vpn, action: Action::Challenge, mode: Mode::Enforce }];
    let rules = rule_set(route, vec![rule("x-deny", Action::Challenge, Mode::Enforce)]);
    let slow = Asks::default();
    let fast = Asks { address_per_minute: 31, ..Asks::default() };
    for (asks, code) in [
        (fast.clone().with_header("x-deny", "yes"), "API.RULE_THROTTLED"),
        (Asks { classes: vec![NetworkClass::Vpn], ..fast.clone() }, "API.VPN_THROTTLED"),
        (fast.with_header("user-agent", "curl/8.5.0"), "API.SCORE_THROTTLED"),
        (Asks { limits: vec![over(5)], ..slow.clone() }, "API.LIMIT_EXCEEDED"),
    ] {
        let decision = asks.decide(&rules);
        assert_eq!((decision.action, decision.code), (Action::Throttle, code));
        assert!(decision.retry_after_ms > 0, "{code}");
    }
    assert_eq!(slow.with_header("user-agent", "curl/8.5.0").decide(&rules).action, Action::Allow);
}

#[test]
fn only_the_highest_class_is_consulted() {
    use NetworkClass::{Abuser, Crawler, Datacenter, Mobile, Proxy, Relay, Satellite, Tor, Vpn};
    let order = [Tor, Relay, Vpn, Proxy, Crawler, Datacenter, Abuser, Satellite, Mobile];
    let mut all = strict();
    all.filters = order.map(|class| Filter { class, action: Action::Block, mode: Mode::Enforce }).to_vec();
    let all = rule_set(all, vec![]);
    for (at, higher) in order.iter().enumerate() {
        let mut others = strict();
        others.filters = order.map(|class| Filter { class, action: Action::Block, mode: Mode::Enforce }).to_vec();
        others.filters.retain(|filter| filter.class != *higher);
        let others = rule_set(others, vec![]);
        for lower in &order[at + 1..] {
            let asks = Asks { classes: vec![*lower, *higher], ..Asks::default() };
            assert_eq!(asks.decide(&all).cause, Cause::Filter(*higher), "{higher:?} with {lower:?}");
            assert_eq!(asks.decide(&others).cause, Cause::Clear, "{higher:?} is off, and hides {lower:?}");
        }
    }
}

#[test]
fn of_the_limits_exceeded_the_hardest_action_decides() {
    let mut route = strict();
    route.limits = vec![
        limit("a", Action::Throttle, Mode::Enforce),
        limit("b", Action::Challenge, Mode::Enforce),
        limit("c", Action::Challenge, Mode::Enforce),
        limit("d", Action::Ban, Mode::Monitor),
    ];
    let rules = rule_set(route, vec![]);
    let fine = LimitReading::default();
    for (readings, action, limit, retry_after_ms) in [
        (vec![], Action::Allow, None, 0),
        (vec![fine; 4], Action::Allow, None, 0),
        (vec![over(9)], Action::Throttle, Some(0), 9),
        (vec![over(9), fine, over(5)], Action::Challenge, Some(2), 9),
        (vec![over(9), over(10), over(5), over(99)], Action::Challenge, Some(1), 10),
        (vec![fine, fine, fine, over(99)], Action::Allow, None, 0),
        (vec![fine, fine, fine, fine, over(99)], Action::Allow, None, 0),
    ] {
        let decision = Asks { limits: readings, ..Asks::default() }.decide(&rules);
        assert_eq!((decision.action, decision.limit, decision.retry_after_ms), (action, limit, retry_after_ms));
    }
}

#[test]
fn rules_of_the_route_go_before_those_of_every_route() {
    let mut of_route = rule("x-deny", Action::Challenge, Mode::Enforce);
    of_route.route = Some(1);
    let mut of_another = rule("x-deny", Action::Ban, Mode::Enforce);
    of_another.route = Some(0);
    let everywhere = rule("x-deny", Action::Block, Mode::Enforce);
    let rules = rule_set(strict(), vec![of_another, everywhere, of_route]);
    let decision = Asks::default().with_header("x-deny", "yes").decide(&rules);
    assert_eq!((decision.action, decision.rule), (Action::Challenge, Some(RuleId(2))));
}

#[test]
fn a_rule_ends_at_its_time() {
    let mut timed = rule("x-deny", Action::Block, Mode::Enforce);
    timed.until = Some(1000);
    let rules = rule_set(strict(), vec![timed]);
    for (at, action) in [(0, Action::Block), (999, Action::Block), (1000, Action::Allow), (u64::MAX, Action::Allow)] {
        let asks = Asks { at, ..Asks::default() }.with_header("x-deny", "yes");
        assert_eq!(asks.decide(&rules).action, action, "at {at}");
    }
}

#[test]
fn what_is_in_monitor_is_noted_and_decides_nothing() {
    let mut route = strict();
    route.filters = vec![Filter { class: NetworkClass::Tor, action: Action::Block, mode: Mode::Monitor }];
    route.limits = vec![limit("limit", Action::Throttle, Mode::Monitor)];
    let rules = rule_set(
        route,
        vec![rule("x-allow", Action::Allow, Mode::Monitor), rule("x-deny", Action::Ban, Mode::Monitor)],
    );
    let asks = asking(&["allow-rule", "rule", "filter", "limit"]);
    let decision = asks.decide(&rules);
    assert_eq!((decision.action, decision.verdict, decision.cause), (Action::Allow, Action::Allow, Cause::Clear));
    let expected = [
        (ShadowWhat::Rule(RuleId(0)), Action::Allow),
        (ShadowWhat::Rule(RuleId(1)), Action::Ban),
        (ShadowWhat::Filter(NetworkClass::Tor), Action::Block),
        (ShadowWhat::Limit(0), Action::Throttle),
    ];
    assert_eq!(decision.shadow.to_vec(), expected.map(|(what, action)| Shadow { what, action }));
}

#[test]
fn a_route_in_monitor_refuses_only_what_cannot_be_read() {
    let rules = every_step(Mode::Monitor);
    for step in STEPS {
        let (watched, enforced) = (asking(&[step]).decide(&rules), asking(&[step]).decide(&every_step(Mode::Enforce)));
        assert_eq!(watched.action, Action::Allow, "{step}");
        assert_eq!((watched.verdict, watched.code), (enforced.verdict, enforced.code), "{step}");
    }
    let mut no_host = Asks::default();
    no_host.headers.retain(|(name, _)| *name != "host");
    let framing = Asks::default().with_header("content-length", "1").with_header("transfer-encoding", "chunked");
    for asks in [no_host, framing] {
        let decision = asks.decide(&rules);
        assert_eq!((decision.action, decision.code), (Action::Block, "API.MALFORMED_REQUEST"));
    }
}

#[test]
fn an_ambiguous_path_is_refused_where_the_route_does_not_say_otherwise() {
    let mut route = strict();
    for (says, cause) in [(AmbiguousPaths::Refuse, "malformed"), (AmbiguousPaths::Allow, "clear")] {
        route.ambiguous_paths = says;
        assert_eq!(asking(&["malformed"]).decide(&rule_set(route.clone(), vec![])).cause.name(), cause);
    }
    let no_allowance = asking(&["malformed", "allow-rule"]).decide(&every_step(Mode::Enforce));
    assert_eq!(no_allowance.action, Action::Block);
}

fn any_asks() -> impl Strategy<Value = Asks> {
    let clearance = proptest::option::of(proptest::sample::select(vec![Clearance::ProofOfWork, Clearance::StepUp]));
    (proptest::sample::subsequence(STEPS.to_vec(), 0..=STEPS.len()), clearance, 0_u32..100)
        .prop_map(|(steps, clearance, address_per_minute)| Asks { clearance, address_per_minute, ..asking(&steps) })
}

fn any_filters() -> impl Strategy<Value = Vec<Filter>> {
    let action = proptest::sample::select(vec![Action::Challenge, Action::Block]);
    let filter = (proptest::sample::select(NetworkClass::ALL.to_vec()), action).prop_map(|(class, action)| Filter {
        class,
        action,
        mode: Mode::Monitor,
    });
    proptest::collection::vec(filter, 0..8)
}

proptest! {
    #[test]
    fn filters_in_monitor_alter_nothing(
        asks in any_asks(), filters in any_filters(),
        classes in proptest::sample::subsequence(NetworkClass::ALL.to_vec(), 0..=9),
    ) {
        let asks = Asks { classes, ..asks };
        let mut route = weighing(450);
        let without = asks.decide(&rule_set(route.clone(), vec![]));
        route.filters = filters;
        let mut with = asks.decide(&rule_set(route, vec![]));
        with.shadow = without.shadow.clone();
        prop_assert_eq!(with, without);
    }

    #[test]
    fn where_nothing_is_known_of_an_address_no_filter_refuses(asks in any_asks(), filters in any_filters()) {
        let asks = Asks { classes: Vec::new(), ..asks };
        let mut route = weighing(450);
        let without = asks.decide(&rule_set(route.clone(), vec![]));
        route.filters = filters.into_iter().map(|filter| Filter { mode: Mode::Enforce, ..filter }).collect();
        prop_assert_eq!(asks.decide(&rule_set(route, vec![])), without);
    }

    #[test]
    fn in_monitor_no_readable_request_is_altered(asks in any_asks()) {
        prop_assert_eq!(asks.decide(&every_step(Mode::Monitor)).action, Action::Allow);
    }

    #[test]
    fn the_same_facts_give_the_same_decision(asks in any_asks()) {
        prop_assert_eq!(asks.decide(&every_step(Mode::Enforce)), asks.decide(&every_step(Mode::Enforce)));
    }

    #[test]
    fn a_higher_score_never_gets_a_milder_action(one in 0_u16..=1000, other in 0_u16..=1000, asks in any_asks()) {
        let (low, high) = (one.min(other), one.max(other));
        let decide = |weight| asks.clone().with_header("user-agent", "curl/8.5.0").decide(&rule_set(weighing(weight), vec![]));
        prop_assert!(decide(low).action <= decide(high).action);
    }
}

/// A limit of several levels with the same key: one that scores, delays, throttles and challenges.
fn levelled() -> Route {
    let mut route = strict();
    route.weights.signals[signal_place(SignalId::LimitExceeded)] = score(250);
    let mut levels = limit("levels", Action::Throttle, Mode::Enforce);
    levels.levels = vec![
        level(5, Over::Score(portcullis_signals::Strength::thousandths(800))),
        level(10, Over::Delay { at_most: Duration::from_secs(2), max_waiting: 7 }),
        level(20, Over::Act(Action::Throttle)),
        level(40, Over::Act(Action::Challenge)),
        level(80, Over::Act(Action::Ban)),
    ];
    route.limits = vec![limit("other", Action::Throttle, Mode::Enforce), levels];
    route
}

/// The readings of [`levelled`] where so many levels are exceeded, with a time to wait.
fn passed(levels: usize, retry_after_ms: u32) -> Vec<LimitReading> {
    std::iter::once(LimitReading::default())
        .chain((0..5).map(|at| if at < levels { over(retry_after_ms) } else { LimitReading::default() }))
        .collect()
}

#[test]
fn the_hardest_level_that_is_exceeded_decides() {
    let rules = rule_set(levelled(), vec![]);
    for (levels, action, level, delay_ms, scored) in [
        (0, Action::Allow, None, None, 0),
        (1, Action::Allow, None, None, 200),
        (2, Action::Allow, None, Some(1500), 200),
        (3, Action::Throttle, Some(3), None, 200),
        (4, Action::Challenge, Some(4), None, 200),
        (5, Action::Ban, Some(5), None, 200),
    ] {
        let decision = Asks { limits: passed(levels, 1500), ..Asks::default() }.decide(&rules);
        assert_eq!((decision.action, decision.level, decision.score), (action, level, score(scored)), "{levels}");
        assert_eq!(decision.limit, level.map(|_| 1), "{levels}");
        let delay = delay_ms.map(|for_ms| Delay { limit: 1, for_ms, max_waiting: 7 });
        assert_eq!(decision.delay, delay, "{levels}");
        let place = level.and_then(|at| rules.route(RouteId(1)).level(at)).map(|level| level.at);
        assert_eq!(place, level.map(|_| 1));
    }
}

#[test]
fn a_delay_is_as_long_as_the_limit_says_and_no_longer_than_its_bound() {
    let rules = rule_set(levelled(), vec![]);
    for (retry_after_ms, for_ms) in [(1, 1), (1999, 1999), (2000, 2000), (60_000, 2000), (0, 2000)] {
        let decision = Asks { limits: passed(2, retry_after_ms), ..Asks::default() }.decide(&rules);
        assert_eq!(decision.delay.map(|delay| delay.for_ms), Some(for_ms), "{retry_after_ms}");
    }
}

#[test]
fn only_what_is_allowed_in_the_end_waits() {
    let rules = rule_set(
        levelled(),
        vec![rule("x-deny", Action::Block, Mode::Enforce), rule("x-allow", Action::Allow, Mode::Enforce)],
    );
    let asks = Asks { limits: passed(2, 900), ..Asks::default() };
    assert!(asks.decide(&rules).delay.is_some());
    assert_eq!(asks.clone().with_header("x-deny", "yes").decide(&rules).delay, None);
    assert_eq!(asks.clone().with_header("x-allow", "yes").decide(&rules).delay, None, "a partner does not wait");
    let banned = Asks { ban: Some(Ban { remaining_secs: 1 }), ..asks.clone() };
    assert_eq!(banned.decide(&rules).delay, None);
    let mut blocking = levelled();
    blocking.thresholds.block = Some(score(200));
    let decision = asks.decide(&rule_set(blocking, vec![]));
    assert_eq!((decision.action, decision.delay), (Action::Block, None));
}

#[test]
fn a_clearance_that_meets_a_level_leaves_the_milder_ones() {
    let rules = rule_set(levelled(), vec![]);
    let asks = Asks { limits: passed(4, 300), clearance: Some(Clearance::ProofOfWork), ..Asks::default() };
    let decision = asks.decide(&rules);
    assert_eq!((decision.action, decision.level), (Action::Throttle, Some(3)));
}

#[test]
fn a_limit_in_monitor_neither_scores_nor_delays_and_is_noted_once() {
    let mut route = levelled();
    route.limits[1].mode = Mode::Monitor;
    let decision = Asks { limits: passed(5, 300), ..Asks::default() }.decide(&rule_set(route, vec![]));
    assert_eq!((decision.action, decision.score, decision.delay), (Action::Allow, Score::ZERO, None));
    assert_eq!(decision.shadow.to_vec(), [Shadow { what: ShadowWhat::Limit(1), action: Action::Ban }]);
    let mut route = levelled();
    route.mode = Mode::Monitor;
    let decision = Asks { limits: passed(2, 300), ..Asks::default() }.decide(&rule_set(route, vec![]));
    assert_eq!((decision.action, decision.delay), (Action::Allow, None), "in monitor nobody waits");
}

#[test]
fn a_request_without_a_key_is_refused_where_the_limit_says_so() {
    let rules = rule_set(levelled(), vec![]);
    let unkeyed = LimitReading { unkeyed: true, ..LimitReading::default() };
    let mut limits = passed(3, 300);
    limits[0] = unkeyed;
    let decision = Asks { limits, ..Asks::default() }.decide(&rules);
    assert_eq!((decision.action, decision.cause, decision.limit), (Action::Block, Cause::LimitKey, Some(0)));
    assert_eq!(decision.code, "API.LIMIT_KEY_MISSING");
}

#[test]
fn a_posture_tightens_the_thresholds() {
    let mut route = weighing(350);
    route.tightened.elevated = Thresholds { challenge: Some(score(360)), ..route.thresholds };
    route.tightened.under_attack =
        Thresholds { challenge: Some(score(280)), block: Some(score(350)), ..route.thresholds };
    let rules = rule_set(route, vec![]);
    for (posture, action) in
        [(Posture::Normal, Action::Allow), (Posture::Elevated, Action::Allow), (Posture::UnderAttack, Action::Block)]
    {
        let decision = Asks { posture, ..tool() }.decide(&rules);
        assert_eq!((decision.action, decision.posture, decision.score), (action, posture, score(350)));
    }
}

#[test]
fn levels_and_postures_take_no_memory() {
    let rules = rule_set(levelled(), vec![]);
    let asks = Asks { limits: passed(4, 300), posture: Posture::Elevated, ..Asks::default() };
    asks.facts(|facts| {
        std::hint::black_box(rules.decide(facts));
        let seen = allocation_counter::measure(|| {
            std::hint::black_box(rules.decide(facts));
        });
        assert_eq!(seen.count_total, 0);
    });
}
