use std::collections::HashMap;

use cel::{Context, Value};
use portcullis_intel::{Asn, NetworkClass};
use portcullis_signals::{Clearance, LimitReading, OwnSignal, OwnValue, Signals};
use proptest::prelude::*;

use super::*;
use crate::model::{Action, Bound, Cost, Count, KeyPart, Level, Limit, Mode, OnMissing, Over, Route};
use crate::testing::Asks;

const OWN: [OwnSignal<'static>; 5] = [
    OwnSignal { name: "account_age_days", value: OwnValue::Int(3) },
    OwnSignal { name: "spent", value: OwnValue::Double(512.5) },
    OwnSignal { name: "tier", value: OwnValue::Text("gold") },
    OwnSignal { name: "staff", value: OwnValue::Bool(true) },
    OwnSignal { name: "most", value: OwnValue::Int(i64::MAX) },
];

fn asks() -> Asks {
    Asks {
        method: http::Method::POST,
        path: "/v1/pay?amount=501.5&note=a%20b".into(),
        asn: Some(Asn(64500)),
        country: "DE".parse().ok(),
        classes: vec![NetworkClass::Vpn, NetworkClass::Datacenter],
        clearance: Some(Clearance::ProofOfWork),
        user: Some("ann"),
        address_per_minute: 12,
        limits: vec![LimitReading { count: 7, ..LimitReading::default() }],
        own: &OWN,
        ..Asks::default()
    }
    .with_header("user-agent", "curl/8.5.0")
    .with_header("x-amount", "501.5")
    .with_header("cookie", "a=1; sid=s1")
}

/// The answer of an expression for the request of [`asks`], whose score is 0.4.
fn answer(text: &str) -> Result<bool, MachineFault> {
    let program = compile(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    let mut route = Route::bare("pay");
    route.limits = vec![Limit {
        name: "per address".into(),
        counter: 1,
        key: vec![KeyPart::Ip],
        on_missing: OnMissing::default(),
        count: Count::Requests,
        cost: Cost::Units(1),
        levels: vec![Level {
            name: "per address".into(),
            counter: 1,
            bound: Bound::Window { limit: 10, window: std::time::Duration::from_secs(60) },
            over: Over::Act(Action::Throttle),
        }],
        mode: Mode::Enforce,
    }];
    let mut signals = Signals::default();
    signals.raise(SignalId::UaTool, Strength::FULL);
    signals.raise(SignalId::AsnHosting, Strength::thousandths(250));
    asks().facts(|facts| {
        let scene = Scene { facts, route: &route, signals: &signals, score: Score::thousandths(400) };
        program.holds(&scene)
    })
}

#[test]
fn an_expression_reads_what_is_known_of_a_request() {
    for text in [
        "score > 0.3 && score < 0.5 && score == 0.4",
        "score > 0.3 && identity.account_age_days < 7 && request.header(\"x-amount\").double() > 500.0",
        "signals[\"ua-tool\"] == 1.0 && signals.ua_tool == 1.0 && signals[\"net-tor\"] == 0.0",
        "signals.asn_hosting == 0.25",
        "facts.ip == '192.0.2.1' && facts.asn == 64500 && facts.country == 'DE'",
        "facts.country in ['DE', 'AT'] && !(facts.country in ['FR'])",
        "'vpn' in facts.class && !('tor' in facts.class) && size(facts.class) == 2",
        "facts.class.exists(c, c == 'vpn') && facts.class.all(c, c != 'tor') && facts.class.exists_one(c, c == 'vpn')",
        "facts.ja3 == '' && facts.ja4 == '' && facts.http2 == '' && facts.tls_version == ''",
        "facts.claim == 'tool' && facts.client_name == 'curl' && facts.crawler == '' && !facts.crawler_verified",
        "facts.at == 1800000000 && facts.at % 60 == 0",
        "counters.address_per_minute == 12 && counters.prefix_per_minute == 1 && counters.failures == 0",
        "counters.attempts + counters.named_per_minute + counters.fingerprint_per_minute == 0",
        "counters.limits['per address'] == 7 && counters.limits['other'] == 0",
        "caller.user == 'ann' && caller.api_key == '' && caller.session == '' && caller.clearance == 'proof_of_work'",
        "request.method == 'POST' && request.host == 'shop.example' && request.path == '/v1/pay'",
        "request.query.contains('amount=') && request.param('amount').double() == 501.5",
        "request.header('X-Amount') == '501.5' && request.has_header('x-amount')",
        "request.header('x-none') == '' && !request.has_header('x-none') && request.cookie('sid') == 's1'",
        "request.header('user-agent').startsWith('curl/') && request.path.endsWith('pay')",
        "request.header('user-agent').like('curl/8.*') && !request.path.like('/v1')",
        "'CURL'.lowerAscii() == 'curl' && size('äö') == 2 && 'ab'.size() == 2",
        "identity.spent > 500 && identity.tier == 'gold' && identity.staff && identity['staff']",
        "has(identity.tier) && !has(identity.age)",
        "identity.tier != 5 && 1 == 1.0 && 2 > 1.5 && int('12') == 12 && int(2.9) == 2 && double(2) == 2.0",
        "(facts.asn > 0 ? 1 : 2) == 1 && -1 < 0 && 7 / 2 == 3 && -7 % 3 == -1 && 1.5 * 2.0 == 3.0",
        "[1, 2, 3].exists(x, x > 2 && [4].exists(y, y > x)) && [1, 2].all(x, x < 3)",
        "true || identity.nothing == 1",
        "identity.nothing == 1 || true",
        "!(false && identity.nothing == 1) && !(identity.nothing == 1 && false)",
        "[identity.account_age_days, 9].exists(x, x == 9)",
        "\"\"\"a\"b\"\"\" != 'x' && r'\\d' == '\\\\d' && 'ä' == '\\u00e4'",
    ] {
        assert_eq!(answer(text), Ok(true), "{text}");
    }
}

#[test]
fn a_header_is_read_whole_and_a_parameter_as_a_form_is() {
    let headers = |lines: &[(&'static str, &'static [u8])]| -> http::HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), http::HeaderValue::from_bytes(value).unwrap()))
            .collect()
    };
    use super::eval::{header, parameter};
    for (lines, text) in [
        (&[("x-role", &b"evil"[..])][..], "evil"),
        (&[("x-role", b"x"), ("x-role", b"evil")], "x, evil"),
        (&[("x-role", b"BadBot/1 \xff")], "BadBot/1 \u{fffd}"),
        (&[("x-role", "BadBot/1 ü".as_bytes())], "BadBot/1 ü"),
        (&[("x-other", b"evil")], ""),
    ] {
        assert_eq!(header(&headers(lines), &http::HeaderName::from_static("x-role")), text);
    }
    for (query, text) in [
        ("role=evil", "evil"),
        ("role=%65vil", "evil"),
        ("%72ole=evil", "evil"),
        ("role=a+b", "a b"),
        ("role=x&role=evil", "x"),
        ("other=1", ""),
        ("role", ""),
    ] {
        let asks = Asks { path: format!("/?{query}"), ..Asks::default() };
        asks.facts(|facts| assert_eq!(parameter(facts.request, "role"), text, "{query}"));
    }
}

#[test]
fn what_has_no_answer_is_a_fault_of_its_kind() {
    use MachineFault::{Absent, DivisionByZero, NotANumber, Overflow, WrongType};
    for (text, fault) in [
        ("identity.nothing == 1", Absent),
        ("identity.nothing", Absent),
        ("!identity.nothing", Absent),
        ("true && identity.nothing > 1", Absent),
        ("identity.tier < 7", WrongType),
        ("identity.tier", WrongType),
        ("identity.staff > 1", WrongType),
        ("identity.tier + 1 == 2", WrongType),
        ("identity.account_age_days * 1.5 > 1.0", WrongType),
        ("request.header('x-none').double() > 1.0", NotANumber),
        ("request.header('user-agent').int() > 1", NotANumber),
        ("'NaN'.double() > 1.0", NotANumber),
        ("'inf'.double() > 1.0", NotANumber),
        ("'1e999'.double() > 1.0", NotANumber),
        ("identity.most + 1 > 0", Overflow),
        ("-identity.most - 2 < 0", Overflow),
        ("identity.most * 2 > 0", Overflow),
        ("int(1.0e30) > 0", Overflow),
        ("1 / counters.failures == 0", DivisionByZero),
        ("1 % counters.failures == 0", DivisionByZero),
        ("[1, 2].all(x, identity.nothing == x)", Absent),
    ] {
        assert_eq!(answer(text), Err(fault), "{text}");
    }
}

#[test]
fn a_fault_of_an_expression_points_at_its_place() {
    let mut shown = String::new();
    for text in [
        "",
        "score >",
        "score > 0.3 &&& true",
        "score > 0.3)",
        "score > 'a",
        "scor > 0.3",
        "facts.contry == 'DE'",
        "fact.country == 'DE'",
        "facts",
        "facts.class == 'tor'",
        "'torr' in facts.class",
        "facts.claim == 'robot'",
        "facts.country == 'Germany'",
        "signals['ua-tol'] > 0.5",
        "signals.uatool > 0.5",
        "'ua-tool' in signals",
        "score",
        "score + 1",
        "score + 1 > 1.0",
        "facts.asn == 'AS64500'",
        "facts.country < 5",
        "!score",
        "score > 0.3 && facts.country",
        "true > false",
        "score ? true : 1 > 0",
        "request.header(facts.country) == ''",
        "request.header('a b') == ''",
        "request.heder('x') == ''",
        "request.path.matches('(a+)+$')",
        "[1, 2].map(x, x + 1) == [2, 3]",
        "[1, 'a'].exists(x, x == 1)",
        "request.path.exists(x, x == 'a')",
        "facts.class.exists(1, true)",
        "has(facts.country)",
        "size(facts.asn) > 1",
        "foo(1) == 1",
        "startsWith(facts.country, 'D')",
        "score > 1u",
        "facts.country == null",
        "facts.country == b'a'",
        "{'a': 1}['a'] == 1",
        "[1] == [1]",
        "counters.limits[facts.country] > 1",
        "facts['country'] == 'DE'",
        "request.path.like('')",
        "request.path.like(facts.country)",
        "facts.asn % 2.0 == 0.0",
        "for > 1",
        "score.x > 1",
        "int(true) == 1",
        "facts.country in 'DE'",
    ] {
        let fault = compile(text).expect_err(text);
        let at = text.get(fault.at.clone()).unwrap_or("?");
        shown.push_str(&format!("{text}\n  {}\n  [{at}] {}\n  {}\n", fault.title, fault.label, fault.help));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_place_is_counted_in_bytes_behind_letters_of_several() {
    let text = "facts.country == 'DE' && 'äöü' == 'x' && scor > 1.0";
    assert_eq!(text.get(compile(text).unwrap_err().at), Some("scor"));
}

#[test]
fn an_expression_that_would_take_long_is_refused_when_it_is_compiled() {
    let items = |count: usize| vec!["1"; count].join(", ");
    for text in [
        "(".repeat(100_000),
        format!("{}1 > 0{}", "(".repeat(500), ")".repeat(500)),
        format!("{}true", "!".repeat(2_000)),
        format!("{}1 < 0", "- ".repeat(500)),
        format!("score{} > 0.0", ".a".repeat(1_000)),
        format!("1{} > 0", " + 1".repeat(400)),
        format!("{}true", "true ? true : ".repeat(200)),
        format!("true{}", " && true".repeat(250)),
        format!("[{}].exists(x, x == 2)", items(65)),
        format!("[{0}].exists(x, [{0}].exists(y, [{0}].exists(z, x + y == z)))", items(30)),
        format!("[{}].exists(x, request.path.contains('a'))", items(45)),
        format!("'{}' == 'a'", "a".repeat(10_000)),
    ] {
        assert!(compile(&text).is_err(), "{text:.60}");
    }
}

#[test]
fn an_expression_at_its_bounds_is_read_on_a_small_stack() {
    // A test runs on two mebibytes, as a worker of the gateway does.
    for text in [
        format!("{}1 > 0{}", "(".repeat(12), ")".repeat(12)),
        format!("{}true", "!".repeat(12)),
        format!("score{} > 0.0", ".a".repeat(150)),
        format!("1{} > 0", " + 1".repeat(150)),
        format!("{}true", "true ? true : ".repeat(75)),
        format!("true{}", " && true".repeat(75)),
        format!("{}1", "[".repeat(12)),
        "1 ".repeat(1_000),
        "a.b(".repeat(12),
    ] {
        let _ = compile(&text);
    }
}

/// Conditions of CEL alone, over the variables that both interpreters are given.
fn condition() -> impl Strategy<Value = String> {
    let whole = prop_oneof![
        (-5_i64..6).prop_map(|number| number.to_string()),
        Just("facts.asn".to_owned()),
        Just("counters.failures".to_owned()),
        Just("identity.account_age_days".to_owned()),
        Just("identity.most".to_owned()),
    ];
    let whole = whole.prop_recursive(2, 8, 2, |inner| {
        (inner.clone(), proptest::sample::select(vec!["+", "-", "*", "/", "%"]), inner)
            .prop_map(|(one, by, other)| format!("({one} {by} {other})"))
    });
    let pointed = prop_oneof![
        (-5_i32..6).prop_map(|number| format!("{number}.5")),
        Just("score".to_owned()),
        Just("identity.spent".to_owned()),
        Just("double(facts.asn)".to_owned()),
    ];
    let text = proptest::sample::select(vec!["'DE'", "''", "'gold'", "facts.country", "identity.tier", "request.path"]);
    let by = || proptest::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let leaf = prop_oneof![
        (whole.clone(), by(), whole.clone()).prop_map(|(one, by, other)| format!("{one} {by} {other}")),
        (pointed.clone(), by(), pointed).prop_map(|(one, by, other)| format!("{one} {by} {other}")),
        (text.clone(), by(), text.clone()).prop_map(|(one, by, other)| format!("{one} {by} {other}")),
        (text.clone(), proptest::sample::select(vec!["startsWith", "endsWith", "contains"]), text.clone())
            .prop_map(|(one, test, other)| format!("{one}.{test}({other})")),
        (text.clone(), text).prop_map(|(one, other)| format!("{one} in ['AT', {other}]")),
        (whole.clone(), whole).prop_map(|(one, other)| format!("[1, {one}].exists(x, x > {other})")),
        Just("identity.staff".to_owned()),
        Just("has(identity.tier)".to_owned()),
        Just("has(identity.nothing)".to_owned()),
        Just("identity.nothing == 1".to_owned()),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(3, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(if_, one, other)| format!("({if_} ? {one} : {other})")),
        ]
    })
}

/// What the library's own interpreter says; none where it has no answer.
fn oracle(text: &str) -> Option<bool> {
    let map = |pairs: Vec<(&str, Value)>| {
        Value::from(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<HashMap<_, _>>())
    };
    let mut context = Context::default();
    context.add_variable_from_value("score", 0.4);
    context.add_variable_from_value("facts", map(vec![("asn", 64500_i64.into()), ("country", "DE".into())]));
    context.add_variable_from_value("counters", map(vec![("failures", 0_i64.into())]));
    context.add_variable_from_value("request", map(vec![("path", "/v1/pay".into())]));
    let own = OWN.map(|own| {
        let value = match own.value {
            OwnValue::Bool(value) => value.into(),
            OwnValue::Int(value) => value.into(),
            OwnValue::Double(value) => value.into(),
            OwnValue::Text(value) => value.into(),
        };
        (own.name, value)
    });
    context.add_variable_from_value("identity", map(own.to_vec()));
    match cel::Program::compile(text).unwrap().execute(&context) {
        Ok(Value::Bool(value)) => Some(value),
        Ok(other) => panic!("{text} gives {other:?}"),
        Err(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_program_answers_as_the_interpreter_of_the_library_does(text in condition()) {
        // Some conditions are refused: both sides of a list or a comparison must fit here.
        if compile(&text).is_ok() {
            prop_assert_eq!(answer(&text).ok(), oracle(&text), "{}", text);
        }
    }

    #[test]
    fn words_of_expressions_in_any_order_are_read_without_a_panic(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "score", "facts", ".", "country", "signals", "[", "]", "(", ")", "{", "}", "'ua-tool'", "\"", "'", "&&", "||",
            "!", "-", "?", ":", ",", "in", "exists", "has", "request", "header", "1", "0.5", "u", "==", "<", "ä", "`",
            "\\", "//", "\n", "identity", "x", "true", "for",
        ]), 0..24),
        glue in proptest::sample::select(vec!["", " "]),
    ) {
        let text = words.join(glue);
        if let Err(fault) = compile(&text) {
            prop_assert!(text.get(fault.at.clone()).is_some(), "{:?} of {:?}", fault, text);
            prop_assert!(!fault.title.is_empty() && !fault.label.is_empty() && !fault.help.is_empty());
        }
    }

    #[test]
    fn arbitrary_text_is_read_without_a_panic(text in "\\PC{0,60}") {
        let _ = compile(&text);
    }
}
