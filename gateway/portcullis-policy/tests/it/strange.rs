//! Text from nowhere: nothing of it may panic, overflow the stack or take long.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_intel::AddressFacts;
use portcullis_policy::compile_any;
use portcullis_signals::{CanonicalRequest, ClientAddr, Facts, RequestHead};
use proptest::prelude::*;

use crate::{compiled, shipped};

fn whole() -> String {
    shipped::files().into_iter().map(|file| file.text).collect()
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for (open, close) in [("[", "]"), ("{a=", "}"), ("a.", ""), ("[[", "]]")] {
        for depth in [70, 90, 1_000, 100_000] {
            let text = format!("x = {}1{}\n", open.repeat(depth), close.repeat(depth));
            assert!(!compile_any(text.as_bytes()).is_empty(), "{open} {depth}");
            let table = format!("{}x = 1\n", open.repeat(depth));
            assert!(!compile_any(table.as_bytes()).is_empty(), "{open} {depth}");
            let header = format!("[{}a]\nx = 1\n", "a.".repeat(depth));
            assert!(!compile_any(header.as_bytes()).is_empty(), "{depth}");
        }
    }
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let text = "#".repeat(17 * 1024 * 1024);
    assert!(compile_any(text.as_bytes()).contains("the file is larger than 16777216 bytes"));
}

#[test]
fn a_file_full_of_faults_is_reported_from_the_top() {
    let text: String = (0..5_000).map(|line| format!("unknown_{line} = 1\n")).collect();
    let said = compile_any(text.as_bytes());
    assert!(said.contains("unknown_0`"));
    assert!(said.ends_with("more\n"));
}

#[test]
fn a_large_file_that_is_no_toml_is_given_up_early() {
    for line in ["what is this\n", "a = 1\n", "[a]\n", "[[route]]\n"] {
        let said = compile_any(line.repeat(50_000).as_bytes());
        assert!(said.starts_with("error: "), "{line}");
    }
}

#[test]
fn routes_for_too_many_requests_are_refused() {
    let list = |letter: &str| (0..200).map(|at| format!("\"{letter}{at}\",")).collect::<String>();
    let route = format!("hosts = [{}]\npaths = [{}]\n", list("h"), list("/p"));
    let said = compile_any(format!("[[route]]\nname = \"a\"\norigin = \"app\"\n{route}").as_bytes());
    assert!(said.contains("40000 combinations of host, path and method"), "{said}");
}

#[test]
fn every_beginning_of_the_shipped_rules_is_read_without_a_panic() {
    let text = whole();
    for end in (0..text.len()).step_by(61) {
        compile_any(text.as_bytes().get(..end).unwrap_or_default());
    }
}

/// What would take hours by a search that goes back, and seconds by one that is quadratic, takes a moment.
#[test]
fn a_megabyte_in_a_header_is_held_against_every_shipped_pattern_and_the_worst_that_can_be_written() {
    let stars = "a*".repeat(40);
    let worst = format!(
        "[[rule]]\nname = \"stars\"\nwhen = {{ user_agent = [\"{stars}b\"], header = {{ x-long = \"{stars}b\" }} }}\naction = \"block\"\n\
         [[rule]]\nname = \"like\"\nexpr = 'request.header(\"x-long\").like(\"{stars}b\") || request.header(\"x-long\").contains(\"aab\")'\naction = \"block\"\n"
    );
    let rules = compiled(&(whole() + &worst)).rules;
    for text in
        ["a".repeat(1 << 20), "Mozilla/5.0 (".repeat(80_000), "curl/".repeat(200_000), ";,=\"\\ ".repeat(180_000)]
    {
        for name in
            ["user-agent", "x-long", "cookie", "accept", "accept-language", "sec-ch-ua", "authorization", "referer"]
        {
            let mut headers = HeaderMap::new();
            headers.insert("x-long", HeaderValue::from_str(&text).unwrap());
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&text).unwrap());
            let decision = decided(&rules, &headers);
            assert!(decision.faults.is_empty(), "{name}: {:?}", decision.faults);
        }
    }
}

/// Decides on a request with these headers.
fn decided(rules: &portcullis_policy::RuleSet, headers: &HeaderMap) -> portcullis_policy::Decision {
    let request = CanonicalRequest::of(&RequestHead {
        method: &Method::GET,
        target: b"/",
        authority: Some("shop.example"),
        version: Version::HTTP_2,
        headers,
        raw: None,
    });
    let network = AddressFacts::bare([192, 0, 2, 7].into());
    rules.decide(&Facts::bare(&request, ClientAddr([192, 0, 2, 7].into()), &network))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn arbitrary_header_fields_are_judged_without_a_panic(
        fields in prop::collection::vec((prop::sample::select(FIELDS), prop::collection::vec(32_u8..=255, 0..60)), 0..8)
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        RULES.with(|rules| decided(rules, &headers));
    }

    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        compile_any(&bytes);
    }

    #[test]
    fn words_of_the_language_in_any_order_are_read_without_a_panic(
        words in prop::collection::vec(prop::sample::select(WORDS), 0..60)
    ) {
        compile_any(words.concat().as_bytes());
    }

    #[test]
    fn the_shipped_rules_with_some_bytes_changed_are_read_without_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = whole().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        let from = cut.index(bytes.len());
        compile_any(&bytes);
        compile_any(bytes.get(from..).unwrap_or_default());
    }
}

thread_local! {
    /// The shipped rules, and expressions over everything that a client sends.
    static RULES: portcullis_policy::RuleSet = compiled(&(whole() + r#"
[[rule]]
name = "everything"
expr = 'request.header("accept").int() > 1 || request.cookie("a").double() < 2.0 || request.param("b").size() > 9 || request.header("cookie").like("*a*b*")'
action = "block"
"#)).rules;
}

const FIELDS: &[&str] = &[
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cookie",
    "connection",
    "content-type",
    "origin",
    "priority",
    "range",
    "referer",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "te",
    "upgrade",
    "x-forwarded-for",
];

const WORDS: &[&str] = &[
    "\n",
    "\n",
    "\n",
    " = ",
    "[[route]]\n",
    "[[route.limit]]\n",
    "[[route.rule]]\n",
    "[[rule]]\n",
    "[[test]]\n",
    "[defaults]\n",
    "[weights]\n",
    "[caps]\n",
    "[lists]\n",
    "name = \"a\"\n",
    "origin = \"app\"\n",
    "paths = [\"/{x}/{*rest}\"]\n",
    "hosts = [\"*.shop.example\"]\n",
    "methods = [\"GET\"]\n",
    "key = [\"ip\"]\n",
    "rate = \"10/1m\"\n",
    "action = \"block\"\n",
    "when = { ip = [\"192.0.2.0/24\"] }\n",
    "when = {}\n",
    "thresholds = { block = 0.1, ban = \"off\" }\n",
    "request = { host = \"a.example\", path = \"/\" }\n",
    "expect = { action = \"allow\" }\n",
    "ua-tool = 0.5\n",
    "until = 2026-01-01\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'''",
    "é",
    "0.5",
    "#",
    "= 1e400\n",
    "ip = 99999999999999999999\n",
    "until = 0000-01-01T00:00:00Z\n",
];
