//! The challenge page.

use portcullis_challenge::page::{self, Asked, End, EndInputs, MemoryHard, PageInputs, Wait, WaitEnd};
use portcullis_challenge::{
    Brand, Colour, CspNonce, ENGLISH, LIBRARY_HEADERS, LocalPath, Logo, PAGE_HEADERS, PROBLEM_HEADERS, Puzzle,
    SCRIPT_HEADERS, Strength, Texts, return_target,
};
use proptest::prelude::*;

use crate::{HERE, ID, NOW, TTL, ring};

fn puzzle() -> Puzzle {
    Puzzle::issue(&ring(), ID, Strength::BALANCED, &HERE, NOW, TTL)
}

fn inputs<'a>(nonce: &'a CspNonce, puzzle: &'a Puzzle, brand: &'a Brand, texts: &'a Texts) -> PageInputs<'a> {
    PageInputs {
        nonce,
        puzzle,
        memory: None,
        redeem_path: "/.well-known/portcullis/redeem",
        solver_path: "/.well-known/portcullis/solver.js",
        wait: None,
        asked: Asked::Page,
        return_to: return_target("/v1/login?a=b&c=d"),
        reference_id: "01JABCDEF",
        contact: Some("help@shop.example"),
        brand,
        texts,
    }
}

fn rendered(change: impl FnOnce(&mut PageInputs<'_>)) -> String {
    let (nonce, puzzle, brand) = (CspNonce::new([1; 16]), puzzle(), Brand::default());
    let mut page = inputs(&nonce, &puzzle, &brand, &ENGLISH);
    change(&mut page);
    let mut out = String::new();
    page::render(&page, &mut out);
    out
}

fn render() -> String {
    rendered(|_| {})
}

fn render_end(end: End) -> String {
    let mut out = String::new();
    page::render_end(
        &EndInputs {
            nonce: &CspNonce::new([1; 16]),
            end,
            return_to: return_target("/v1/login?a=b&c=d"),
            reference_id: "01JABCDEF",
            contact: Some("help@shop.example"),
            brand: &brand(),
            texts: &ENGLISH,
        },
        &mut out,
    );
    out
}

fn brand() -> Brand {
    Brand {
        name: Some("Shop & Sons".to_owned()),
        logo: Some(Logo::parse("data:image/svg+xml;base64,PHN2Zy8+").unwrap()),
        colour: Colour::parse("#ffee00").unwrap(),
    }
}

const WAIT: Wait<'_> = Wait { token: "AQID-_", path: "/.well-known/portcullis/wait", secs: 5, end: WaitEnd::Button };

/// A page without its scripts.
fn markup(page: &str) -> String {
    let mut out = String::new();
    let mut rest = page;
    while let Some((before, script)) = rest.split_once("<script") {
        let (tag, after) = script.split_once('>').unwrap();
        out += &format!("{before}<script{tag}>");
        rest = after.split_once("</script>").unwrap().1;
    }
    out + rest
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
    assert!(!page.contains("{{") && !markup(&page).contains("}}"), "every place is filled");
    assert!(!rendered(|page| page.contact = None).contains("Contact"));
}

/// In every language, with all that a page can show, a worker that could not be made by the page included.
#[test]
fn the_page_and_its_worker_are_below_30_kilobytes() {
    for texts in Texts::all() {
        let page = rendered(|page| {
            page.texts = texts;
            page.wait = Some(Wait { end: WaitEnd::ButtonOrRefresh, ..WAIT });
            page.asked = Asked::Form;
        });
        let (page, worker) = (page.len(), page::solver().len());
        assert!(page + worker < 30_000, "{page} and {worker} in {}", texts.language);
    }
}

/// A memory-hard page has no need of the worker's path: it makes its workers, or works itself.
#[test]
fn a_memory_hard_page_is_below_30_kilobytes() {
    let memory = Some(MemoryHard { mebibytes: 8, passes: 1, count: 2, difficulty_bits: 5 });
    for texts in Texts::all() {
        let page = rendered(|page| {
            page.texts = texts;
            page.memory = memory;
            page.wait = Some(WAIT);
            page.asked = Asked::Form;
        });
        assert!(page.contains("data-memory=\"8 1 2 5\"") && page.contains("function portcullisMemory()"));
        assert!(page.len() < 30_000, "{} in {}", page.len(), texts.language);
    }
    assert!(!render().contains("function portcullisMemory()") && render().contains("data-memory=\"\""));
}

#[test]
fn the_widget_is_below_20_kilobytes_in_every_language() {
    for texts in Texts::all() {
        let widget = page::widget(texts);
        assert!(widget.len() < 20_000, "{} in {}", widget.len(), texts.language);
        assert!(widget.starts_with(&format!(
            "(function(){{'use strict';\nvar TEXT={{\"lang\":\"{}\",\"dir\":\"{}\",",
            texts.language, texts.direction
        )));
    }
    assert!(page::renewal().len() < 15_000, "{}", page::renewal().len());
}

#[test]
fn every_script_and_style_has_the_nonce_and_nothing_comes_from_elsewhere() {
    let whole = rendered(|page| {
        page.wait = Some(Wait { end: WaitEnd::ButtonOrRefresh, ..WAIT });
        page.asked = Asked::Form;
    });
    for page in [render(), whole, render_end(End::Failed)] {
        let markup = markup(&page);
        for element in ["<script", "<style"] {
            for (at, _) in markup.match_indices(element) {
                let tag = markup[at..].split('>').next().unwrap();
                assert_eq!(tag, format!("{element} nonce=\"AQEBAQEBAQEBAQEBAQEBAQ==\""));
            }
        }
        assert!(markup.contains("<style"));
        let markup = markup.replace("<link rel=\"icon\" href=\"data:,\">", "");
        for foreign in ["http:", "https:", "@import", "url(", "<link", "<iframe", "<object", "style=\"", "href=\"//"] {
            assert!(!markup.contains(foreign), "{foreign}");
        }
        for attribute in [" onclick=", " onload=", " onerror=", "javascript:"] {
            assert!(!markup.contains(attribute), "{attribute}");
        }
    }
    assert!(!markup(&render()).contains("src="));
}

#[test]
fn the_policy_allows_the_page_itself_and_nothing_else() {
    insta::assert_snapshot!(page::csp(&CspNonce::new([1; 16])), @"default-src 'none'; script-src 'nonce-AQEBAQEBAQEBAQEBAQEBAQ=='; style-src 'nonce-AQEBAQEBAQEBAQEBAQEBAQ=='; worker-src 'self' blob:; connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'");
}

#[test]
fn no_script_needs_eval_or_writes_markup() {
    let page = render();
    for script in [page.as_str(), page::solver(), page::renewal(), &page::widget(&ENGLISH)] {
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
            assert!(!script.contains(risky), "{risky}");
        }
    }
}

/// What would tell one device from another on other sites too.
#[test]
fn no_script_reads_what_identifies_a_device() {
    let page = render();
    for script in [page.as_str(), page::renewal(), &page::widget(&ENGLISH)] {
        for trait_of_device in [
            "canvas",
            "getContext",
            "AudioContext",
            "WebGL",
            "WEBGL",
            "getBattery",
            "mediaDevices",
            "RTCPeerConnection",
            "deviceMemory",
            "DateTimeFormat",
            "getTimezoneOffset",
            "localStorage",
            "indexedDB",
            "document.fonts",
            "getHighEntropyValues",
            "keyCode",
            ".key)",
            "clientX",
        ] {
            assert!(!script.contains(trait_of_device), "{trait_of_device}");
        }
    }
}

#[test]
fn people_who_cannot_see_or_run_the_script_are_told_what_to_do() {
    let page = render();
    for part in [
        "<html lang=\"en\" dir=\"ltr\">",
        "<title>Checking your browser</title>",
        "<main id=\"challenge\"",
        "<h1>",
        "role=\"status\"",
        "role=\"alert\"",
        "<progress id=\"bar\" max=\"80\" value=\"0\" aria-label=",
        "<noscript><p>The check needs JavaScript",
        "prefers-color-scheme: dark",
        "name=\"viewport\"",
        "<div id=\"plain\" class=\"stuck\">",
        "<button id=\"retry\" type=\"button\" hidden>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http-equiv"), "a page without a wait stays");
}

#[test]
fn a_page_in_another_language_says_so_and_runs_its_way() {
    let page = rendered(|page| page.texts = Texts::negotiate("ar-EG, en;q=0.5"));
    assert!(page.contains("<html lang=\"ar\" dir=\"rtl\">"));
    assert!(page.contains("<h1>لحظة من فضلك</h1>"));
    assert!(!markup(&page).contains("moment"));
}

#[test]
fn a_wait_ends_by_a_button_and_by_itself_only_where_that_is_wanted() {
    let by_button = rendered(|page| page.wait = Some(WAIT));
    for part in [
        "the check is a wait of 6 seconds",
        "<form id=\"wait\" method=\"post\" action=\"/.well-known/portcullis/wait\">",
        "<input type=\"hidden\" name=\"wait\" value=\"AQID-_\">",
        "<input type=\"hidden\" name=\"return\" value=\"/v1/login?a=b&amp;c=d\">",
        "<button>Open the page</button>",
        "animation: appear 0s 6s forwards",
    ] {
        assert!(by_button.contains(part), "{part}");
    }
    assert!(!by_button.contains("http-equiv") && !by_button.contains("opens by itself.</p></noscript>"));

    let by_itself = rendered(|page| page.wait = Some(Wait { end: WaitEnd::ButtonOrRefresh, ..WAIT }));
    assert!(by_itself.contains("<form id=\"wait\""));
    assert!(by_itself.contains(
        "<noscript><meta http-equiv=\"refresh\" content=\"6;url=/.well-known/portcullis/wait?wait=AQID-_&amp;return=%2Fv1%2Flogin%3Fa%3Db%26c%3Dd\">"
    ));
    assert!(by_itself.contains("the page then opens by itself.</p></noscript>"));
}

#[test]
fn a_form_that_meets_a_check_is_not_lost_without_a_word() {
    let page = rendered(|page| page.asked = Asked::Form);
    for part in [
        "<p id=\"form\">You were sending something to the site. It has not arrived",
        "<div id=\"again\" hidden>",
        "<button id=\"resend\" type=\"button\">Send it again</button>",
        "<button id=\"back\" type=\"button\">Back to the form</button>",
    ] {
        assert!(page.contains(part), "{part}");
        assert!(!render().contains(part), "{part}");
    }
}

#[test]
fn a_brand_is_shown_and_its_colour_can_be_read() {
    let brand = brand();
    let (nonce, puzzle) = (CspNonce::new([1; 16]), puzzle());
    let mut page = String::new();
    page::render(&inputs(&nonce, &puzzle, &brand, &ENGLISH), &mut page);
    for part in [
        "<title>Checking your browser – Shop &amp; Sons</title>",
        "<header><img alt=\"\" src=\"data:image/svg+xml;base64,PHN2Zy8+\"><span>Shop &amp; Sons</span></header>",
        "--key: #7f7700; --on-key: #ffffff;",
        "--key: #ffee00; --on-key: #000000;",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!render().contains("<header>"));
}

#[test]
fn an_end_says_why_and_has_a_reference_and_no_script() {
    for (end, text) in [
        (End::NoCookies, "Your browser does not keep cookies"),
        (End::Refused, "The site did not accept the result"),
        (End::Failed, "The check could not run"),
    ] {
        let page = render_end(end);
        for part in [
            text,
            "<a class=\"button\" href=\"/v1/login?a=b&amp;c=d\">Try again</a>",
            "Reference: <strong>01JABCDEF</strong>",
            "help@shop.example",
            "Shop &amp; Sons",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<script") && !page.contains("{{") && !page.contains("http-equiv"));
    }
}

#[test]
fn every_answer_to_one_client_is_stored_nowhere() {
    for headers in [&PAGE_HEADERS[..], &PROBLEM_HEADERS, &SCRIPT_HEADERS] {
        assert!(headers.contains(&("cache-control", "no-store")));
        assert!(headers.contains(&("x-content-type-options", "nosniff")));
    }
    assert!(LIBRARY_HEADERS.contains(&("vary", "accept-language")), "the same for all who speak the language");
    assert!(!LIBRARY_HEADERS.iter().any(|(name, _)| *name == "set-cookie"));
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

/// A page with each text in each place that takes one.
fn with_texts(return_to: LocalPath<'_>, id: &str, contact: &str) -> String {
    let brand = Brand { name: Some(contact.to_owned()), ..Brand::default() };
    let (nonce, puzzle) = (CspNonce::new([1; 16]), puzzle());
    let wait = Some(Wait { token: id, path: "/wait", secs: 1, end: WaitEnd::ButtonOrRefresh });
    let mut out = String::new();
    page::render(
        &PageInputs {
            return_to,
            reference_id: id,
            contact: Some(contact),
            wait,
            ..inputs(&nonce, &puzzle, &brand, &ENGLISH)
        },
        &mut out,
    );
    out
}

#[test]
fn nothing_that_a_client_sends_becomes_markup() {
    let plain = with_texts(LocalPath::ROOT, "x", "x");
    for text in MARKUP {
        let page = with_texts(return_target(text), text, text);
        assert_eq!(elements(&page), elements(&plain), "{text}");
        assert_eq!(page.matches('"').count(), plain.matches('"').count(), "{text}");
        assert!(!page.contains("<script>"), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_becomes_markup(path in "/[ -~]{0,40}", id in ".*", contact in ".*") {
        let plain = with_texts(LocalPath::ROOT, "x", "x");
        let page = with_texts(return_target(&path), &id, &contact);
        prop_assert_eq!(elements(&page), elements(&plain));
        prop_assert_eq!(page.matches('"').count(), plain.matches('"').count());
    }
}
