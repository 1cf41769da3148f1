//! What browsers say about themselves.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use portcullis_challenge::evidence::{Evidence, EvidenceError, MAX_EVIDENCE_BYTES, Observed, Signal, Signals};
use proptest::prelude::*;
use serde_json::{Value, json};

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";

/// What a Chromium with a person before it sends.
fn honest() -> Value {
    json!({
        "v": 1, "by": "page", "webdriver": false, "automation": [], "odd": [], "ua": CHROME,
        "platform": "Linux x86_64", "languages": ["en-US", "en"],
        "hints": { "brands": ["Not:A-Brand/8", "Chromium/156"], "mobile": false, "platform": "Linux" },
        "viewport": [1050, 605, 1050, 748, 1366, 768], "touch": 0, "cores": 2,
        "work": { "ms": 1800, "hashes": 5_242_880, "workers": 2, "from": "blob" }, "differs": [],
        "interaction": { "variant": "page", "trigger": "load", "ms": 1900, "focus": 0, "blur": 0, "keys": 0,
            "pointer": 3, "clicks": 0, "hidden": 0, "visible": true },
    })
}

const SEEN: Observed<'static> =
    Observed { user_agent: CHROME, expected_hashes: 5_242_880, took: Duration::from_millis(2_000) };

fn judged(evidence: &Value, observed: &Observed<'_>) -> Vec<&'static str> {
    let evidence = Evidence::parse(&evidence.to_string()).unwrap();
    evidence.judge(observed).iter().map(|(name, _)| name).collect()
}

/// `honest` with other members in the place of its own.
fn with(changes: &Value) -> Value {
    let mut evidence = honest();
    for (name, value) in changes.as_object().unwrap() {
        evidence[name] = value.clone();
    }
    evidence
}

#[test]
fn an_honest_browser_shows_nothing() {
    assert_eq!(judged(&honest(), &SEEN), Vec::<&str>::new());
    let evidence = Evidence::parse(&honest().to_string()).unwrap();
    assert_eq!(evidence.judge(&SEEN).risk_thousandths(), 0);
    assert_eq!((evidence.cores, evidence.touch, evidence.webdriver), (Some(2), Some(0), Some(false)));
    assert_eq!(evidence.interaction.unwrap().pointer, 3);
}

#[test]
fn each_contradiction_has_its_signal() {
    let windows = CHROME.replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64");
    for (changes, signals) in [
        (json!({"webdriver": true}), &["js-webdriver"][..]),
        (json!({"webdriver": null}), &[]),
        (json!({"automation": ["selenium"]}), &["js-automation-global"]),
        (json!({"odd": ["webdriver-own", "webdriver-patched"]}), &["js-webdriver-hidden"]),
        (json!({"odd": ["permissions-patched"]}), &["js-patched"]),
        (json!({"odd": ["notifications"]}), &["js-permissions"]),
        (json!({"odd": ["plugins-fake"]}), &["js-plugins"]),
        (json!({"odd": ["languages-none"]}), &["js-languages"]),
        (json!({"odd": ["engine", "chrome-missing", "hints-missing"]}), &["js-engine"]),
        (json!({"odd": ["something-new"]}), &[]),
        (json!({"ua": windows, "platform": "Win32", "hints": null}), &["js-user-agent-differs"]),
        (json!({"ua": FIREFOX, "hints": null}), &["js-user-agent-differs"]),
        (json!({"hints": {"brands": ["Chromium/120"], "platform": "Linux"}}), &["js-hints-contradict"]),
        (json!({"hints": {"brands": ["Chromium/156"], "platform": "Windows"}}), &["js-hints-contradict"]),
        (json!({"hints": {"brands": ["HeadlessChrome/156"], "platform": "Linux"}}), &["js-headless-name"]),
        (json!({"hints": null}), &[]),
        (json!({"platform": "Win32"}), &["js-hints-contradict"]),
        (json!({"differs": ["cores"]}), &["js-worker-differs"]),
        (json!({"differs": null}), &[]),
        (json!({"viewport": [1280, 720, 1920, 1080, 1366, 768]}), &["js-viewport"]),
        (json!({"viewport": [0, 0, 0, 0, 1366, 768]}), &["js-viewport"]),
        // Zoomed out, maximised with a border, a phone, and none told.
        (json!({"viewport": [2100, 1210, 1050, 748, 1366, 768]}), &[]),
        (json!({"viewport": [1366, 700, 1382, 784, 1366, 768]}), &[]),
        (json!({"viewport": [390, 664, 390, 844, 390, 844]}), &[]),
        (json!({"viewport": [null, null, null, null, null, null]}), &[]),
        (json!({"work": {"ms": 60_000, "hashes": 5_242_880}}), &["js-work-contradicts"]),
        (json!({"work": {"ms": 1_800, "hashes": 80}}), &["js-work-contradicts"]),
        (json!({"work": {}}), &[]),
        (json!({"interaction": {"ms": 0}, "work": {"ms": 3_900, "hashes": 5_242_880}}), &["js-work-contradicts"]),
    ] {
        assert_eq!(judged(&with(&changes), &SEEN), signals, "{changes}");
    }
    let headless = CHROME.replace("Chrome/", "HeadlessChrome/");
    let seen = Observed { user_agent: &headless, ..SEEN };
    assert_eq!(judged(&with(&json!({"ua": headless})), &seen), ["js-headless-name"]);
}

/// What the script counts of a person, and what it cannot come to.
#[test]
fn the_counts_of_a_person_are_held_against_each_other() {
    let (contradicts, none) = (&["js-interaction-contradicts"][..], &["js-interaction-none"][..]);
    for (changes, signals) in [
        (json!({}), &[][..]),
        (json!({"pointer": 4}), &[]),
        (json!({"pointer": 5}), contradicts),
        (json!({"keys": 300}), &[]),
        (json!({"keys": 200, "clicks": 101}), contradicts),
        (json!({"keys": u32::MAX, "clicks": u32::MAX, "pointer": u32::MAX}), contradicts),
        (json!({"ms": null, "keys": 9000, "pointer": 3000}), &[]),
        (json!({"focus": 3, "blur": 3}), &[]),
        (json!({"blur": 4}), &[]),
        (json!({"blur": 5}), contradicts),
        // Beside the challenge such a page may hold anything, and what a newer script says is not known here.
        (json!({"variant": "inline", "blur": 50}), &[]),
        (json!({"variant": "wall", "trigger": "magic"}), &[]),
        (json!({"trigger": null, "variant": 7}), &[]),
        // A tab that was opened in the background, one that was left, keys in a window that is covered, and one in
        // which a ghost moves.
        (json!({"visible": false, "pointer": 0}), &[]),
        (json!({"visible": false, "hidden": 1}), &[]),
        (json!({"visible": false, "pointer": 0, "keys": 3, "clicks": 1}), &[]),
        (json!({"visible": false}), contradicts),
        // Who comes from the address bar by keyboard pressed no key in the page; who sends a form did something.
        (json!({"trigger": "focus", "focus": 1, "pointer": 0}), &[]),
        (json!({"trigger": "submit", "keys": 9, "pointer": 0}), &[]),
        (json!({"trigger": "submit", "clicks": 1, "pointer": 0}), &[]),
        (json!({"trigger": "submit", "pointer": 0}), none),
    ] {
        let mut interaction = honest()["interaction"].clone();
        for (name, value) in changes.as_object().unwrap() {
            interaction[name] = value.clone();
        }
        assert_eq!(judged(&with(&json!({"interaction": interaction})), &SEEN), signals, "{changes}");
    }
}

/// Some browsers on phones have the names of shops in them, and no two send such letters in the same bytes.
#[test]
fn a_name_in_other_letters_is_compared_by_the_rest() {
    for (said, header, same) in [
        ("Lynx/1.0 ??", "Lynx/1.0 \u{5fae}\u{4fe1}", true),
        ("Lynx/1.0 ??", "Lynx/1.0 \u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}", true),
        ("Caf?/1.0", "Caf\u{fffd}/1.0", true),
        ("Caf?/1.0", "Caf\u{fffd}/2.0", false),
        ("Lynx/1.0", "Lynx/1.0 \u{5fae}", false),
    ] {
        let seen = Observed { user_agent: header, ..SEEN };
        let found = judged(&with(&json!({"ua": said})), &seen);
        assert_eq!(!found.contains(&"js-user-agent-differs"), same, "{said} {header}: {found:?}");
    }
}

/// Work that no script does in that time was done by something else.
#[test]
fn work_is_held_against_the_cores_that_are_claimed() {
    for (cores, hashes, took_ms, fast) in [
        (2, 5_242_880, 1_800, false),
        (2, 5_242_880, 100, false),
        (2, 5_242_880, 50, true),
        (16, 5_242_880, 50, false),
        (2, 125_829_120, 1_000, true),
        (2, 125_829_120, 30_000, false),
        // Over in one round trip: it says nothing.
        (2, 245_760, 1, false),
        (0, 5_242_880, 100, true),
    ] {
        let seen = Observed { expected_hashes: hashes, took: Duration::from_millis(took_ms), ..SEEN };
        let evidence = with(&json!({"cores": cores, "work": null, "interaction": null}));
        let signals = judged(&evidence, &seen);
        assert_eq!(
            signals == ["js-solved-too-fast"],
            fast,
            "{cores} cores, {hashes} hashes in {took_ms} ms: {signals:?}"
        );
    }
}

#[test]
fn a_firefox_that_resists_fingerprinting_may_say_another_system() {
    let to_servers = FIREFOX.replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64");
    let evidence = with(&json!({"ua": FIREFOX, "hints": null, "differs": []}));
    assert_eq!(judged(&evidence, &Observed { user_agent: &to_servers, ..SEEN }), Vec::<&str>::new());
    let older = FIREFOX.replace("153", "128");
    assert_eq!(judged(&evidence, &Observed { user_agent: &older, ..SEEN }), ["js-user-agent-differs"]);
}

#[test]
fn evidence_that_is_too_large_or_none_is_refused_and_says_so() {
    let long = format!("{{\"ua\":\"{}\"}}", "a".repeat(MAX_EVIDENCE_BYTES));
    let deep = "[".repeat(MAX_EVIDENCE_BYTES);
    for (text, error) in [
        (long.as_str(), EvidenceError::TooLarge),
        ("", EvidenceError::Malformed),
        ("null", EvidenceError::Malformed),
        ("[]", EvidenceError::Malformed),
        ("{\"webdriver\":true", EvidenceError::Malformed),
        (&deep, EvidenceError::Malformed),
    ] {
        assert_eq!(Evidence::parse(text), Err(error), "{text:.20}");
        assert_eq!(error.findings().iter().collect::<Vec<_>>(), [("js-unreadable", 300)]);
    }
}

#[test]
fn members_of_another_type_are_absent() {
    let odd = json!({
        "webdriver": "true", "automation": "selenium", "odd": {"a": 1}, "ua": 7, "platform": [], "languages": [1, "en"],
        "hints": "x", "viewport": [1, 2, 3], "touch": -1, "cores": 1e300, "work": [], "differs": "ua", "interaction": 3,
    });
    let evidence = Evidence::parse(&odd.to_string()).unwrap();
    assert_eq!(evidence, Evidence { languages: vec!["en".to_owned()], ..Evidence::default() });
    assert_eq!(judged(&odd, &SEEN), Vec::<&str>::new());
}

#[test]
fn signals_read_back_from_a_tokens_number() {
    for signal in Signal::ALL {
        assert_eq!(Signals::from_bits(1 << signal as u32).iter().collect::<Vec<_>>(), [signal]);
    }
    assert_eq!(Signals::from_bits(u32::MAX).iter().count(), Signal::ALL.len());
    assert_eq!(Signals::from_bits(u32::MAX).bits(), 0x3_ffff);
}

/// What the page's script writes is what is read here.
#[test]
fn every_contradiction_that_the_page_names_is_known() {
    let script = include_str!("../../assets/evidence.js");
    let names: Vec<&str> = script
        .split("note('")
        .chain(script.split("odd.push('"))
        .filter_map(|rest| rest.split_once('\'').map(|(name, _)| name))
        .filter(|name| name.contains('-') || ["engine", "notifications"].contains(name))
        .filter(|name| !name.contains(' '))
        .collect();
    assert!(names.len() >= 11, "{names:?}");
    for name in names {
        let evidence = Evidence::parse(&json!({ "odd": [name] }).to_string()).unwrap();
        assert_eq!(evidence.odd.len(), 1, "{name}");
        assert!(!evidence.judge(&SEEN).signals().is_empty(), "{name}");
    }
    for member in [
        "webdriver",
        "automation",
        "odd",
        "ua",
        "platform",
        "languages",
        "hints",
        "viewport",
        "touch",
        "cores",
        "work",
        "differs",
        "interaction",
    ] {
        assert!(script.contains(&format!("{member}:")), "{member}");
    }
}

/// The names of members within members.
const MEMBERS: &str =
    "(brands|platform|ms|hashes|workers|mobile|variant|trigger|focus|blur|keys|pointer|clicks|hidden|visible)";

/// Any JSON that is like evidence: the names and values that matter, in any mixture.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "(HeadlessChrome/1|Chrome/156|Firefox/153|Windows|Linux|selenium|engine|webdriver-own|[a-z]{0,5})"
            .prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 20, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..7).prop_map(Value::from),
            proptest::collection::vec((MEMBERS, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    let name = "(webdriver|automation|odd|ua|platform|languages|hints|viewport|touch|cores|work|differs|interaction)";
    proptest::collection::vec((name, value), 0..8).prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    /// A client once could ask to be let off (Prosopo's `detectorUnavailable`): whatever is sent, the risk
    /// is never below that of sending nothing.
    #[test]
    fn nothing_that_is_sent_lowers_the_risk(evidence in anything(), took_ms in 0_u64..100_000) {
        let seen = Observed { took: Duration::from_millis(took_ms), ..SEEN };
        let nothing = Evidence::default().judge(&seen).risk_thousandths();
        if let Ok(evidence) = Evidence::parse(&evidence.to_string()) {
            let risk = evidence.judge(&seen).risk_thousandths();
            prop_assert!(risk <= 1000);
            // The cores that are claimed may explain how quick it was; not claiming any is believed as the most.
            prop_assert!(risk >= nothing);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".*") {
        if let Ok(evidence) = Evidence::parse(&text) {
            _ = evidence.judge(&SEEN);
        }
    }

    #[test]
    fn every_prefix_of_evidence_is_refused(at in 0_usize..900) {
        let text = honest().to_string();
        let cut = &text[..at.min(text.len() - 1)];
        prop_assert_eq!(Evidence::parse(cut), Err(EvidenceError::Malformed));
    }
}

/// What the page would have sent, from what a recording page read of a real client.
fn captured(js: &Value) -> Value {
    let text = |name: &str| js[name].as_str().unwrap_or_default();
    let mut odd = Vec::new();
    if !text("wd_own").is_empty() {
        odd.push("webdriver-own");
    }
    // The getter of Playwright's stealth plug-in has no name.
    if text("wd_desc") != "none" && !text("wd_desc").contains("webdriver") {
        odd.push("webdriver-patched");
    }
    if !text("permfn").contains("native code") {
        odd.push("permissions-patched");
    }
    if text("perm") == "denied" && text("permq") == "prompt" {
        odd.push("notifications");
    }
    let keys = text("keys");
    let automation: Vec<&str> = [("cdc_", "chromedriver"), ("playwright", "playwright"), ("__pw", "playwright")]
        .into_iter()
        .filter(|(mark, _)| keys.contains(mark))
        .map(|(_, tool)| tool)
        .collect();
    let hints = js["uad"].as_str().and_then(|hints| serde_json::from_str::<Value>(hints).ok()).map(|hints| {
        let brand =
            |brand: &Value| format!("{}/{}", brand["brand"].as_str().unwrap(), brand["version"].as_str().unwrap());
        json!({
            "brands": hints["brands"].as_array().unwrap().iter().map(brand).collect::<Vec<_>>(),
            "mobile": hints["mobile"], "platform": hints["platform"],
        })
    });
    let sizes = |name: &str| text(name).split(',').map(|size| size.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let (outer, screen) = (sizes("outer"), sizes("screen"));
    // User agent, platform, cores and languages, as the worker was told them.
    let worker: Vec<&str> = text("worker").split('|').collect();
    let cores = js["hc"].to_string();
    let differs: Vec<&str> = [
        ("ua", worker.first(), text("ua")),
        ("cores", worker.get(2), &cores),
        ("languages", worker.get(3), text("langs")),
    ]
    .into_iter()
    .filter(|(_, told, page)| told.is_some_and(|told| told != page))
    .map(|(name, ..)| name)
    .collect();
    json!({
        "webdriver": js["webdriver"], "automation": automation, "odd": odd, "ua": js["ua"], "platform": js["platform"],
        "languages": text("langs").split(',').collect::<Vec<_>>(), "hints": hints,
        "viewport": [outer[2], outer[3], outer[0], outer[1], screen[0], screen[1]], "cores": js["hc"], "differs": differs,
    })
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the captures are a file beside the repository")]
fn real_browsers_show_nothing_and_most_automated_ones_do() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/zoo/clients.jsonl");
    let Ok(captures) = fs::read_to_string(path) else {
        eprintln!("no captures at {path}: not checked");
        return;
    };
    let mut shown: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for line in captures.lines() {
        let capture: Value = serde_json::from_str(line).unwrap();
        if capture["js"].is_object() {
            let header = |name: &str| {
                let fields = capture["headers"].as_array().unwrap();
                fields
                    .iter()
                    .find(|field| field[0].as_str().unwrap().eq_ignore_ascii_case(name))
                    .map(|field| field[1].as_str().unwrap())
            };
            let seen = Observed {
                user_agent: header("user-agent").unwrap(),
                expected_hashes: 0,
                took: Duration::from_secs(2),
            };
            let name = |member: &str| capture[member].as_str().unwrap().to_owned();
            shown.insert((name("category"), name("client")), judged(&captured(&capture["js"]), &seen));
        }
    }
    let of = |kind: &str| shown.iter().filter(|((category, _), _)| category == kind).collect::<Vec<_>>();
    for ((_, client), signals) in of("browser") {
        assert!(signals.is_empty(), "{client} is a real browser, and shows {signals:?}");
    }
    let automated = of("browser-automated");
    let missed: Vec<&str> =
        automated.iter().filter(|(_, signals)| signals.is_empty()).map(|((_, client), _)| client.as_str()).collect();
    for ((_, client), signals) in &automated {
        eprintln!("{client}: {signals:?}");
    }
    insta::assert_snapshot!(format!("{} of {} told apart; missed: {}", automated.len() - missed.len(), automated.len(), missed.join(", ")), @"14 of 17 told apart; missed: drissionpage, firefox-headless, nodriver");
}
