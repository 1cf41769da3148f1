use super::tests::{expression, weighing_rule};
use super::*;
use crate::MachineFault;
use crate::testing::{Asks, rule_set};
use crate::weigh::signal_place;
use portcullis_signals::{OwnSignal, OwnValue, SignalId, Strength};

fn score(thousandths: u16) -> Score {
    Score::thousandths(thousandths)
}

/// A route that challenges from 0.4 and blocks from 0.8, where a tool scores 0.3.
fn route() -> Route {
    let mut route = Route::bare("pay");
    route.thresholds = Thresholds { throttle: None, challenge: Some(score(400)), block: Some(score(800)), ban: None };
    route.weights.signals[signal_place(SignalId::UaTool)] = score(300);
    route.weights.signals[signal_place(SignalId::FingerprintListed)] = score(500);
    route.weights.clearance_credit = score(500);
    route
}

fn tool() -> Asks {
    Asks::default().with_header("user-agent", "curl/8.5.0")
}

fn monitored(rule: Rule) -> Rule {
    Rule { mode: Mode::Monitor, ..rule }
}

#[test]
fn the_first_expression_that_holds_decides() {
    let rules = rule_set(
        route(),
        vec![
            expression("no", "score > 0.9", Action::Ban),
            expression("first", "score > 0.1", Action::StepUp),
            expression("second", "true", Action::Block),
        ],
    );
    let decision = tool().decide(&rules);
    assert_eq!((decision.action, decision.rule, decision.cause), (Action::StepUp, Some(RuleId(1)), Cause::Machine));
    let stepped = Asks { clearance: Some(Clearance::StepUp), ..tool() };
    assert_eq!(stepped.decide(&rules).action, Action::Allow, "who met the first is not asked for the second");
}

#[test]
fn an_expression_that_allows_goes_before_thresholds_and_after_everything_else() {
    let own = &[OwnSignal { name: "staff", value: OwnValue::Bool(true) }];
    let mut strict = route();
    strict.thresholds.block = Some(score(300));
    strict.thresholds.challenge = None;
    let rules = rule_set(strict, vec![expression("staff", "identity.staff", Action::Allow)]);
    assert_eq!(tool().decide(&rules).action, Action::Block);
    let staff = Asks { own, ..tool() };
    assert_eq!((staff.decide(&rules).action, staff.decide(&rules).cause), (Action::Allow, Cause::Machine));
    let banned = Asks { ban: Some(portcullis_signals::Ban { remaining_secs: 5 }), ..staff };
    assert_eq!(banned.decide(&rules).action, Action::Block);
}

#[test]
fn what_a_rule_gives_to_the_score_adds_up_and_meets_the_thresholds() {
    for (effects, total, action) in [
        (&[Effect::Add(score(50))][..], 350, Action::Allow),
        (&[Effect::Add(score(100))], 400, Action::Challenge),
        (&[Effect::Add(score(250)), Effect::Add(score(250))], 800, Action::Block),
        (&[Effect::Add(score(500)), Effect::Add(score(500))], 1000, Action::Block),
        (&[Effect::Lift(score(200))], 300, Action::Allow),
        (&[Effect::Lift(score(450))], 450, Action::Challenge),
        (&[Effect::Lift(score(450)), Effect::Add(score(350))], 800, Action::Block),
        // 1 - 0.7 * 0.5
        (&[Effect::Raise(SignalId::FingerprintListed, Strength::FULL)], 650, Action::Challenge),
        (&[Effect::Raise(SignalId::FingerprintListed, Strength::FULL), Effect::Add(score(200))], 850, Action::Block),
    ] {
        let rules: Vec<_> =
            effects.iter().map(|effect| weighing_rule("gain", "score == 0.3", Action::Allow, *effect)).collect();
        let decision = tool().decide(&rule_set(route(), rules));
        assert_eq!((decision.score, decision.action), (score(total), action), "{effects:?}");
        let reasons: u16 = decision.reasons.iter().map(|reason| reason.points.as_thousandths()).sum();
        let lifts: u16 = decision.lifts.iter().map(|lift| lift.points.as_thousandths()).sum();
        assert_eq!(reasons + lifts, total, "{effects:?}");
        assert_eq!(decision.rule, None);
    }
}

#[test]
fn every_expression_sees_the_score_as_it_was_before_any_of_them() {
    let rules = vec![
        weighing_rule("gain", "true", Action::Allow, Effect::Add(score(100))),
        expression("late", "score > 0.3", Action::Ban),
    ];
    let decision = tool().decide(&rule_set(route(), rules));
    assert_eq!(decision.action, Action::Challenge);
}

#[test]
fn an_expression_without_an_answer_is_left_out_and_told() {
    let rules = rule_set(
        route(),
        vec![expression("age", "identity.age < 7", Action::Block), expression("tool", "score > 0.2", Action::StepUp)],
    );
    let decision = tool().decide(&rules);
    assert_eq!(decision.action, Action::StepUp);
    assert_eq!(decision.faults.as_slice(), [RuleFault { rule: RuleId(0), fault: MachineFault::Absent }]);
    let explained = tool().facts(|facts| rules.explain(facts).to_string());
    assert!(explained.contains("rule `age` is left out: an own signal is absent"), "{explained}");
    assert!(explained.contains("rule `tool` says step_up"), "{explained}");
}

#[test]
fn an_expression_in_monitor_says_what_it_would_have_done() {
    for (rule, action) in [
        (expression("block", "score > 0.2", Action::Block), Some(Action::Block)),
        (expression("allow", "score > 0.2", Action::Allow), Some(Action::Allow)),
        (expression("no", "score > 0.9", Action::Block), None),
        (weighing_rule("gain", "true", Action::Allow, Effect::Add(score(100))), Some(Action::Challenge)),
        (weighing_rule("gain", "true", Action::Allow, Effect::Add(score(50))), None),
        (weighing_rule("lift", "true", Action::Allow, Effect::Lift(score(900))), Some(Action::Block)),
        (
            weighing_rule("raise", "true", Action::Allow, Effect::Raise(SignalId::FingerprintListed, Strength::FULL)),
            Some(Action::Challenge),
        ),
    ] {
        let plain = tool().decide(&rule_set(route(), vec![]));
        let decision = tool().decide(&rule_set(route(), vec![monitored(rule.clone())]));
        let shadow = action.map(|action| Shadow { what: ShadowWhat::Rule(RuleId(0)), action });
        assert_eq!(decision.shadow.as_slice(), shadow.as_slice(), "{rule:?}");
        assert_eq!((decision.action, decision.score, &decision.reasons), (plain.action, plain.score, &plain.reasons));
    }
}

#[test]
fn an_expression_is_asked_only_where_the_conditions_of_its_rule_hold() {
    let mut rule = expression("class", "true", Action::Block);
    rule.when.class = vec![NetworkClass::Vpn];
    let rules = rule_set(route(), vec![rule]);
    assert_eq!(Asks::default().decide(&rules).action, Action::Allow);
    assert_eq!(Asks { classes: vec![NetworkClass::Vpn], ..Asks::default() }.decide(&rules).action, Action::Block);
}

#[test]
fn a_signal_in_monitor_weighs_nothing_and_says_what_it_would_do() {
    for (weight, action) in [(300, None), (500, Some(Action::Challenge)), (900, Some(Action::Block))] {
        let mut watching = route();
        watching.weights.signals[signal_place(SignalId::UaTool)] = score(weight);
        let counted = tool().decide(&rule_set(watching.clone(), vec![]));
        watching.weights.monitored = vec![SignalId::UaTool];
        let decision = tool().decide(&rule_set(watching, vec![]));
        assert_eq!((decision.action, decision.score), (Action::Allow, Score::ZERO));
        assert!(decision.reasons.is_empty());
        let shadow = action.map(|action| Shadow { what: ShadowWhat::Signal(SignalId::UaTool), action });
        assert_eq!(decision.shadow.as_slice(), shadow.as_slice());
        assert_eq!(action.unwrap_or(Action::Allow), counted.action);
    }
}

/// A policy where every part is in monitor but the route, and one where none of them is.
fn watching() -> [RuleSet; 2] {
    let rules = [
        expression("machine", "score >= 0.0", Action::Block),
        weighing_rule("gain", "true", Action::Allow, Effect::Add(score(500))),
        Rule {
            machine: None,
            when: crate::model::When { class: vec![NetworkClass::Tor], ..Default::default() },
            ..expression("allow", "true", Action::Allow)
        },
        Rule {
            machine: None,
            when: crate::model::When { class: vec![NetworkClass::Vpn], ..Default::default() },
            ..expression("deny", "true", Action::Ban)
        },
    ];
    let mut plain = route();
    plain.weights.signals.fill(Score::ZERO);
    plain.weights.signals[signal_place(SignalId::UaTool)] = score(450);
    let mut watched = plain.clone();
    watched.weights.signals[signal_place(SignalId::AsnHosting)] = score(900);
    watched.weights.monitored = vec![SignalId::AsnHosting];
    watched.filters = vec![Filter { class: NetworkClass::Datacenter, action: Action::Block, mode: Mode::Monitor }];
    [rule_set(plain, vec![]), rule_set(watched, rules.map(monitored).to_vec())]
}

proptest::proptest! {
    #[test]
    fn what_is_in_monitor_alters_neither_what_is_done_nor_the_score(
        classes in proptest::sample::subsequence(vec![NetworkClass::Tor, NetworkClass::Vpn, NetworkClass::Datacenter], 0..=3),
        agent in proptest::sample::select(vec!["curl/8.5.0", "Shop/1.0"]),
        clearance in proptest::option::of(proptest::prelude::Just(Clearance::ProofOfWork)),
    ) {
        let [plain, watched] = watching();
        let asks = Asks { classes, clearance, ..Asks::default() }.with_header("user-agent", agent);
        let (plain, watched) = (asks.decide(&plain), asks.decide(&watched));
        proptest::prop_assert_eq!(&plain.shadow[..], &[]);
        proptest::prop_assert!(!watched.shadow.is_empty());
        proptest::prop_assert_eq!(plain, Decision { shadow: Shadows::new(), ..watched });
    }
}
