//! Presets of the operator: what they are made of, and where their values are said to stand.

use portcullis_policy::model::Puzzle;
use portcullis_policy::{Layer, RouteId, RuleSet, SourceFile, run_tests};

use crate::compiled;

const PRESETS: &str = r#"
[[preset]]
name = "checkout"
like = "shop"
thresholds = { block = 0.45, ban = "off" }

[[preset]]
name = "shop"
like = "strict"
thresholds = { challenge = 0.25 }
puzzle = { difficulty_bits = 18 }

[[preset]]
name = "plain"

[defaults]
origin = "app"
preset = "shop"
thresholds = { block = 0.5 }

[[route]]
name = "as the defaults"
paths = ["/a"]

[[route]]
name = "pay"
paths = ["/pay"]
preset = "checkout"
puzzle = { count = 100 }

[[route]]
name = "plain"
paths = ["/plain"]
preset = "plain"

[[test]]
name = "a tool is challenged where the preset is stricter"
request = { host = "shop.example", path = "/pay", headers = { user-agent = "curl/8.5.0" } }
expect = { action = "challenge", route = "pay" }

[[test]]
name = "and is let by where it is not"
request = { host = "shop.example", path = "/plain", headers = { user-agent = "curl/8.5.0" } }
expect = { action = "allow", route = "plain" }
"#;

#[test]
fn a_preset_takes_from_the_one_that_it_is_like_whatever_it_does_not_say() {
    let compiled = compiled(PRESETS);
    let thousandths = |score: Option<portcullis_policy::Score>| score.map(|score| score.as_thousandths());
    for (route, rising, bits, count) in [
        (1, [Some(150), Some(250), Some(500), Some(970)], 18, 120),
        (2, [Some(150), Some(250), Some(450), None], 18, 100),
        (3, [Some(300), Some(350), Some(600), Some(970)], 16, 80),
    ] {
        let route = compiled.rules.route(RouteId(route));
        let scores = &route.thresholds;
        let found = [scores.throttle, scores.challenge, scores.block, scores.ban].map(thousandths);
        assert_eq!(found, rising, "{}", route.name);
        assert_eq!(route.puzzle, Puzzle { difficulty_bits: bits, count }, "{}", route.name);
    }
    assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
}

#[test]
fn tests_in_rules_are_judged_by_presets_of_the_operator() {
    let compiled = compiled(PRESETS);
    for outcome in run_tests(&compiled.rules, &compiled.tests) {
        assert!(outcome.passed(), "{}", outcome.faults);
    }
}

#[test]
fn a_value_of_a_preset_is_said_to_stand_where_it_is_written() {
    let compiled = compiled(PRESETS);
    let layers = compiled.layers(RouteId(2));
    let found = |key: &str| {
        let value = layers.iter().find(|value| value.key == key).unwrap();
        (value.value.as_str(), value.layer, value.place.as_deref())
    };
    for (key, value, layer, place) in [
        ("thresholds.throttle", "0.150", Layer::Preset, None),
        ("thresholds.challenge", "0.250", Layer::Preset, Some("rules/one.toml:10")),
        ("thresholds.block", "0.450", Layer::Preset, Some("rules/one.toml:5")),
        ("puzzle.difficulty_bits", "18", Layer::Preset, Some("rules/one.toml:11")),
        ("puzzle.count", "100", Layer::Route, Some("rules/one.toml:29")),
    ] {
        assert_eq!(found(key), (value, layer, place), "{key}");
    }
}

#[test]
fn a_preset_may_stand_in_another_file_and_behind_what_names_it() {
    let files = [
        SourceFile::new("rules/a.toml", "[[route]]\nname = \"a\"\norigin = \"app\"\npreset = \"late\"\n"),
        SourceFile::new("rules/b.toml", "[[preset]]\nname = \"late\"\nthresholds = { block = 0.7 }\n"),
    ];
    let compiled = RuleSet::compile(&files).unwrap();
    assert_eq!(compiled.rules.routes()[1].thresholds.block, Some(portcullis_policy::Score::thousandths(700)));
}

#[test]
fn the_name_of_a_preset_is_no_part_of_the_meaning_and_its_numbers_are() {
    let of = |name: &str, block: &str| {
        compiled(&format!(
            "[[preset]]\nname = \"{name}\"\nthresholds = {{ block = {block} }}\n[[route]]\nname = \"a\"\norigin = \"app\"\npreset = \"{name}\"\n"
        ))
        .rules
    };
    let (one, renamed, moved) = (of("one", "0.7"), of("other", "0.7"), of("one", "0.65"));
    assert_eq!(one.version(), renamed.version());
    assert_ne!(one.version(), moved.version());
    let difference = one.difference(&moved);
    assert!(difference.contains(&"route `a`: thresholds.block 0.700 -> 0.650".to_owned()), "{difference:?}");
}

#[test]
fn ten_thousand_presets_each_like_the_next_are_resolved() {
    let mut text = String::from("[[route]]\nname = \"a\"\norigin = \"app\"\npreset = \"p0\"\n");
    for number in 0..10_000 {
        text.push_str(&format!("[[preset]]\nname = \"p{number}\"\nlike = \"p{}\"\n", number + 1));
    }
    text.push_str("[[preset]]\nname = \"p10000\"\nthresholds = { block = 0.7 }\n");
    let thresholds = compiled(&text).rules.routes()[1].thresholds;
    assert_eq!(thresholds.block, Some(portcullis_policy::Score::thousandths(700)));
}

#[test]
fn lint_tells_of_a_preset_that_nothing_names() {
    let text = "[[preset]]\nname = \"idle\"\n[[route]]\nname = \"a\"\norigin = \"app\"\n";
    let said = compiled(text).lint(portcullis_signals::UnixSeconds(0)).to_string();
    assert!(said.contains("nothing uses the preset `idle`") && said.contains("rules/one.toml:2:8"), "{said}");
}
