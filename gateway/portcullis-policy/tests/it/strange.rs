//! Text from nowhere: nothing of it may panic, overflow the stack or take long.

use portcullis_policy::compile_any;
use proptest::prelude::*;

use crate::shipped;

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

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
