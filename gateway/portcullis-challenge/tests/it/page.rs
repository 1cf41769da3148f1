//! The challenge page.

use portcullis_challenge::page::{self, PageInputs};
use portcullis_challenge::{
    CspNonce, ENGLISH, LocalPath, PAGE_HEADERS, PROBLEM_HEADERS, Puzzle, SCRIPT_HEADERS, Strength, return_target,
};
use proptest::prelude::*;

use crate::{HERE, ID, NOW, TTL, ring};

fn puzzle() -> Puzzle {
    Puzzle::issue(&ring(), ID, Strength::BALANCED, &HERE, NOW, TTL)
}

fn render_with(return_to: LocalPath<'_>, reference_id: &str, contact: Option<&str>) -> String {
    let mut out = String::new();
    page::render(
        &PageInputs {
            nonce: &CspNonce::new([1; 16]),
            puzzle: &puzzle(),
            redeem_path: "/.well-known/portcullis/redeem",
            solver_path: "/.well-known/portcullis/solver.js",
            return_to,
            reference_id,
            contact,
            texts: &ENGLISH,
        },
        &mut out,
    );
    out
}

fn render() -> String {
    render_with(return_target("/v1/login?a=b&c=d"), "01JABCDEF", Some("help@shop.example"))
}

#[test]
fn a_page_holds_the_puzzle_and_where_to_go() {
    let page = render();
    for part in [
        format!("data-token=\"{}\"", puzzle().token()),
        format!("data-seed=\"{}\"", puzzle().seed().to_hex()),
        "data-bits=\"16\" data-count=\"80\"".to_owned(),
        "data-redeem=\"/.well-known/portcullis/redeem\"".to_owned(),
        "data-solver=\"/.well-known/portcullis/solver.js\"".to_owned(),
        "data-return=\"/v1/login?a=b&amp;c=d\"".to_owned(),
        "Reference: <strong>01JABCDEF</strong>".to_owned(),
        "Contact: <strong>help@shop.example</strong>".to_owned(),
    ] {
        assert!(page.contains(&part), "{part}");
    }
    assert!(!page.contains("{{") && !page.contains("}}"), "every place is filled");
    assert!(!render_with(LocalPath::ROOT, "1", None).contains("Contact"));
}

#[test]
fn the_page_and_its_worker_are_below_30_kilobytes() {
    let (page, worker) = (render().len(), page::solver().len());
    assert!(page + worker < 30_000, "{page} and {worker}");
}

#[test]
fn every_script_and_style_has_the_nonce_and_none_comes_from_elsewhere() {
    let page = render();
    let markup = page.replace(page::solver(), "");
    for element in ["<script", "<style"] {
        assert!(markup.contains(element));
        for (at, _) in markup.match_indices(element) {
            let tag = markup[at..].split('>').next().unwrap();
            assert_eq!(tag, format!("{element} nonce=\"AQEBAQEBAQEBAQEBAQEBAQ==\""));
        }
    }
    for foreign in ["http:", "https:", "src=", "@import", "url(", "<link", "<img", "<iframe", "style=\""] {
        assert!(!markup.contains(foreign), "{foreign}");
    }
    for attribute in [" onclick=", " onload=", " onerror=", "javascript:"] {
        assert!(!markup.contains(attribute), "{attribute}");
    }
}

#[test]
fn the_policy_allows_the_page_itself_and_nothing_else() {
    insta::assert_snapshot!(page::csp(&CspNonce::new([1; 16])), @"default-src 'none'; script-src 'nonce-AQEBAQEBAQEBAQEBAQEBAQ=='; style-src 'nonce-AQEBAQEBAQEBAQEBAQEBAQ=='; worker-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'");
}

#[test]
fn the_script_needs_no_eval_and_writes_no_markup() {
    for risky in [
        "eval(",
        "Function(",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "WebAssembly.",
        "http://",
        "https://",
    ] {
        assert!(!page::solver().contains(risky), "{risky}");
    }
}

#[test]
fn people_who_cannot_see_or_run_the_script_are_told_what_to_do() {
    let page = render();
    for part in [
        "<html lang=\"en\" dir=\"ltr\">",
        "<title>",
        "<main id=\"challenge\"",
        "<h1>",
        "role=\"status\"",
        "role=\"alert\"",
        "<progress id=\"bar\" max=\"80\" value=\"0\" aria-label=",
        "<noscript><p>The check needs JavaScript",
        "prefers-color-scheme: dark",
        "name=\"viewport\"",
        "id=\"stuck\"",
        "<button id=\"retry\" type=\"button\" hidden>",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn every_generated_response_is_stored_nowhere() {
    for headers in [&PAGE_HEADERS[..], &PROBLEM_HEADERS, &SCRIPT_HEADERS] {
        assert!(headers.contains(&("cache-control", "no-store")));
        assert!(headers.contains(&("x-content-type-options", "nosniff")));
    }
}

/// What attackers put into paths, ids and contacts to get a script onto a page.
const MARKUP: &[&str] = &[
    "/\"><script>alert(1)</script>",
    "/'><img src=x onerror=alert(1)>",
    "/?q=</script><script>alert(1)</script>",
    "/?q=\"onfocus=alert(1) autofocus=\"",
    "/?q=' onmouseover='alert(1)",
    "/?q=`onload=alert(1)",
    "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    "/?q=<!--",
    "/?q=]]>",
    "/?q={{script}}",
    "/?q=${alert(1)}",
    "/?q=&quot;&gt;&lt;script&gt;",
    "/?q=\u{0}<script>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "/\u{2028}alert(1)",
];

fn elements(page: &str) -> usize {
    page.matches('<').count()
}

#[test]
fn nothing_that_a_client_sends_becomes_markup() {
    let plain = render_with(LocalPath::ROOT, "x", Some("x"));
    for text in MARKUP {
        let page = render_with(return_target(text), text, Some(text));
        assert_eq!(elements(&page), elements(&plain), "{text}");
        assert_eq!(page.matches('"').count(), plain.matches('"').count(), "{text}");
        assert!(!page.contains("<script>"), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_becomes_markup(path in "/[ -~]{0,40}", id in ".*", contact in ".*") {
        let plain = render_with(LocalPath::ROOT, "x", Some("x"));
        let page = render_with(return_target(&path), &id, Some(&contact));
        prop_assert_eq!(elements(&page), elements(&plain));
        prop_assert_eq!(page.matches('"').count(), plain.matches('"').count());
    }
}
