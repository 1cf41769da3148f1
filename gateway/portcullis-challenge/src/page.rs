//! The challenge page: HTML with its style and script inside, and its Content-Security-Policy. Beside
//! it the page that says that it cannot go on, and the scripts that sites include.
//!
//! Nothing that the client sent is on the page, save the path it asked for, which is a
//! [`LocalPath`], and every value is escaped where it is put in.

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::brand::Brand;
use crate::json;
use crate::nonce::CspNonce;
use crate::puzzle::Puzzle;
use crate::return_target::LocalPath;
use crate::script::bare;
use crate::texts::Texts;

/// All that a challenge page shows.
#[derive(Clone, Copy, Debug)]
pub struct PageInputs<'a> {
    /// The nonce that is also in the policy, [`csp`].
    pub nonce: &'a CspNonce,
    /// The puzzle to solve.
    pub puzzle: &'a Puzzle,
    /// What of the puzzle is memory-hard.
    pub memory: Option<MemoryHard>,
    /// The path to which the solution is posted.
    pub redeem_path: &'a str,
    /// The path from which workers load [`solver`] where the page may not make them itself.
    pub solver_path: &'a str,
    /// What browsers do that run no script; `None` where the route does not allow it.
    pub wait: Option<Wait<'a>>,
    /// What the client asked for.
    pub asked: Asked,
    /// Where the client goes when it is through.
    pub return_to: LocalPath<'a>,
    /// The id under which the request is found in the audit records.
    pub reference_id: &'a str,
    /// How the operator can be reached, in plain text: an address, a telephone number.
    pub contact: Option<&'a str>,
    /// Whose page it is.
    pub brand: &'a Brand,
    /// The texts, in one language.
    pub texts: &'a Texts,
}

/// The memory-hard part of a puzzle: Argon2id (RFC 9106) with one lane, for each part with the part and
/// the nonce as the message and the seed as the salt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MemoryHard {
    /// The memory of one hash, in MiB.
    pub mebibytes: u8,
    /// How often each hash goes over its memory.
    pub passes: u8,
    /// How many parts there are.
    pub count: u8,
    /// How many leading bits of each part's hash must be zero.
    pub difficulty_bits: u8,
}

/// The wait that stands in for the calculation where no script runs.
///
/// The gateway's clock alone counts: what the page shows only keeps people from coming too early.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a> {
    /// The signed token, which comes back in the field `wait`.
    pub token: &'a str,
    /// The path that takes it, by `POST` from the button and by `GET` from the refresh.
    pub path: &'a str,
    /// The seconds after which it can be redeemed. The page adds one, for clocks and slow lines.
    pub secs: u32,
    /// How the wait ends.
    pub end: WaitEnd,
}

/// How a wait ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WaitEnd {
    /// By a button only. This is what WCAG 2.2 asks for to the letter (§2.2.1, failure F40): a page that
    /// somebody reads does not go away by itself.
    Button,
    /// By itself or by the button, whichever is first. What is lost is only the text about the wait, and
    /// what comes is the page that was asked for.
    ButtonOrRefresh,
}

/// What the client asked for when it was challenged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// A page: `GET` or `HEAD`. It opens by itself after the check.
    Page,
    /// To take something in: any other method. It was not passed on. The page says so, and after the check
    /// the person chooses to send it again, which the browser that still holds it does, or to go back.
    Form,
}

/// A page without a puzzle, which says why the check cannot go on.
#[derive(Clone, Copy, Debug)]
pub struct EndInputs<'a> {
    /// The nonce that is also in the policy, [`csp`].
    pub nonce: &'a CspNonce,
    /// What is in the way.
    pub end: End,
    /// Where the link to try again leads.
    pub return_to: LocalPath<'a>,
    /// The id under which the request is found in the audit records.
    pub reference_id: &'a str,
    /// How the operator can be reached, in plain text.
    pub contact: Option<&'a str>,
    /// Whose page it is.
    pub brand: &'a Brand,
    /// The texts, in one language.
    pub texts: &'a Texts,
}

/// What is in the way of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The browser keeps no cookie.
    NoCookies,
    /// What was handed in was not accepted.
    Refused,
    /// There is no rung that this browser can climb.
    Failed,
}

/// Appends the challenge page to `out`.
pub fn render(page: &PageInputs<'_>, out: &mut String) {
    out.reserve(PAGE.len() + STYLE.len() + script(page.memory).len() + EXTRA);
    let frame = Frame::of(page.nonce, page.return_to, page.reference_id, page.contact, page.brand, page.texts);
    for (text, place) in places(PAGE) {
        out.push_str(text);
        fill(page, &frame, place, out);
    }
}

/// Appends the page that says why the check cannot go on to `out`. It has no script.
pub fn render_end(page: &EndInputs<'_>, out: &mut String) {
    out.reserve(END.len() + STYLE.len() + EXTRA);
    let frame = Frame::of(page.nonce, page.return_to, page.reference_id, page.contact, page.brand, page.texts);
    for (text, place) in places(END) {
        out.push_str(text);
        match (place, page.end) {
            ("end", End::NoCookies) => push_escaped(out, page.texts.no_cookies),
            ("end", End::Refused) => push_escaped(out, page.texts.refused),
            ("end", End::Failed) => push_escaped(out, page.texts.failed),
            _ => frame.fill(place, out),
        }
    }
}

/// The value of the `Content-Security-Policy` field for a page with this nonce.
///
/// Nothing is allowed but the page's own script and style, workers that it makes itself or loads from its
/// origin, requests to its origin, and a logo from there or inside the page. No `unsafe-eval`, no framing,
/// no base URL, no third party.
#[must_use]
pub fn csp(nonce: &CspNonce) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; worker-src 'self' blob:; \
         connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
}

/// The script of workers that may not be made from a blob. Serve it under the path that is given as
/// `solver_path`, with [`SCRIPT_HEADERS`](crate::SCRIPT_HEADERS).
pub fn solver() -> &'static str {
    static SCRIPT: LazyLock<String> = LazyLock::new(|| bare(SOLVER) + "portcullisWorker(portcullisSolver());\n");
    &SCRIPT
}

/// The script that renews a clearance before it ends, `renew.js`, for sites that include it. Serve it beside
/// the other paths of the protocol, with [`LIBRARY_HEADERS`](crate::LIBRARY_HEADERS).
pub fn renewal() -> &'static str {
    static SCRIPT: LazyLock<String> = LazyLock::new(|| enclosed("", &[SOLVER, RUN, EVIDENCE, RENEW]));
    &SCRIPT
}

/// The script of the widget, `widget.js`, which speaks the language of `texts`. Serve it beside the other
/// paths of the protocol, with [`LIBRARY_HEADERS`](crate::LIBRARY_HEADERS).
#[must_use]
pub fn widget(texts: &Texts) -> String {
    static SCRIPT: LazyLock<String> = LazyLock::new(|| enclosed("\n", &[SOLVER, RUN, EVIDENCE, WIDGET]));
    let mut said = String::from("var TEXT={");
    for (comma, (key, text)) in [
        ("lang", texts.language),
        ("dir", texts.direction),
        ("idle", texts.widget_idle),
        ("working", texts.widget_working),
        ("done", texts.widget_done),
        ("failed", texts.widget_failed),
        ("retry", texts.retry),
    ]
    .into_iter()
    .enumerate()
    {
        if comma > 0 {
            said.push(',');
        }
        json::push_string(&mut said, key);
        said.push(':');
        json::push_string(&mut said, text);
    }
    said.push_str("};\n");
    let (open, rest) = SCRIPT.split_once("\n\n").unwrap_or(("", &SCRIPT));
    format!("{open}\n{said}{rest}")
}

/// The script of the page; what only memory-hard puzzles need is sent with those only.
fn script(memory: Option<MemoryHard>) -> &'static str {
    static PLAIN: LazyLock<String> = LazyLock::new(|| enclosed("", &[SOLVER, RUN, EVIDENCE, CHALLENGE]));
    static HARD: LazyLock<String> = LazyLock::new(|| enclosed("", &[SOLVER, MEMORY, RUN, EVIDENCE, CHALLENGE]));
    if memory.is_some() { &HARD } else { &PLAIN }
}

/// Scripts as one, whose names nothing outside can see; `first` stands before them.
fn enclosed(first: &str, scripts: &[&str]) -> String {
    let mut out = format!("(function(){{'use strict';\n{first}");
    out.extend(scripts.iter().map(|script| bare(script)));
    out.push_str("})();\n");
    out
}

/// What both pages show.
#[derive(Clone, Copy)]
struct Frame<'a> {
    nonce: &'a CspNonce,
    return_to: LocalPath<'a>,
    reference_id: &'a str,
    contact: Option<&'a str>,
    brand: &'a Brand,
    texts: &'a Texts,
}

impl<'a> Frame<'a> {
    const fn of(
        nonce: &'a CspNonce,
        return_to: LocalPath<'a>,
        reference_id: &'a str,
        contact: Option<&'a str>,
        brand: &'a Brand,
        texts: &'a Texts,
    ) -> Self {
        Self { nonce, return_to, reference_id, contact, brand, texts }
    }

    fn fill(&self, place: &str, out: &mut String) {
        match place {
            "nonce" => push_escaped(out, self.nonce.as_str()),
            "return" => push_escaped(out, self.return_to.as_str()),
            "reference_id" => push_escaped(out, self.reference_id),
            "contact_line" => self.push_contact(out),
            "brand" => self.push_brand(out),
            "title_brand" => {
                if let Some(name) = &self.brand.name {
                    out.push_str(" – ");
                    push_escaped(out, name);
                }
            }
            "style" => {
                for (text, place) in places(STYLE) {
                    out.push_str(text);
                    self.push_colour(place, out);
                }
            }
            _ => push_escaped(out, self.texts.named(place).unwrap_or_default()),
        }
    }

    fn push_contact(&self, out: &mut String) {
        if let Some(contact) = self.contact {
            out.push_str("<p>");
            push_escaped(out, self.texts.contact);
            out.push_str(" <strong>");
            push_escaped(out, contact);
            out.push_str("</strong></p>\n");
        }
    }

    fn push_brand(&self, out: &mut String) {
        let Brand { name, logo, .. } = self.brand;
        if name.is_none() && logo.is_none() {
            return;
        }
        out.push_str("<header>");
        if let Some(logo) = logo {
            // The name stands beside it, so to a screen reader it would only be said twice.
            out.push_str("<img alt=\"\" src=\"");
            push_escaped(out, logo.as_str());
            out.push_str("\">");
        }
        if let Some(name) = name {
            out.push_str("<span>");
            push_escaped(out, name);
            out.push_str("</span>");
        }
        out.push_str("</header>\n");
    }

    fn push_colour(&self, place: &str, out: &mut String) {
        let colour = self.brand.colour;
        let shown = match place {
            "key_light" => colour.light,
            "on_light" => colour.light.text_on(),
            "key_dark" => colour.dark,
            "on_dark" => colour.dark.text_on(),
            _ => return,
        };
        // Writing to a string cannot fail.
        _ = write!(out, "{shown}");
    }
}

fn fill(page: &PageInputs<'_>, frame: &Frame<'_>, place: &str, out: &mut String) {
    let strength = page.puzzle.strength();
    match place {
        // Ours, whole, and without a place for anything of a client.
        "script" => out.push_str(script(page.memory)),
        "memory" => push_memory(page.memory, out),
        "difficulty_bits" => json::push_number(out, strength.difficulty_bits().into()),
        "count" => json::push_number(out, strength.count().into()),
        "seed" => out.push_str(&page.puzzle.seed().to_hex()),
        "token" => push_escaped(out, page.puzzle.token()),
        "redeem" => push_escaped(out, page.redeem_path),
        "solver" => push_escaped(out, page.solver_path),
        "wait_secs" => json::push_number(out, page.wait.map_or(0, |wait| shown_secs(&wait))),
        "refresh" => push_refresh(page, out),
        "plain" => push_plain(page, out),
        "form" => {
            if page.asked == Asked::Form {
                push_form(page.texts, out);
            }
        }
        _ => frame.fill(place, out),
    }
}

fn push_memory(memory: Option<MemoryHard>, out: &mut String) {
    let Some(MemoryHard { mebibytes, passes, count, difficulty_bits }) = memory else { return };
    // Writing to a string cannot fail.
    _ = write!(out, "{mebibytes} {passes} {count} {difficulty_bits}");
}

/// The seconds that the page shows and waits: one more than the gateway does.
fn shown_secs(wait: &Wait<'_>) -> u64 {
    u64::from(wait.secs) + 1
}

/// The timed refresh of browsers that run no script.
fn push_refresh(page: &PageInputs<'_>, out: &mut String) {
    let Some(wait) = page.wait.filter(|wait| wait.end == WaitEnd::ButtonOrRefresh) else { return };
    out.push_str("<meta http-equiv=\"refresh\" content=\"");
    json::push_number(out, shown_secs(&wait));
    out.push_str(";url=");
    push_escaped(out, wait.path);
    out.push_str("?wait=");
    push_query_value(out, wait.token);
    out.push_str("&amp;return=");
    push_query_value(out, page.return_to.as_str());
    out.push_str("\">");
}

/// What is seen where the script does not run.
fn push_plain(page: &PageInputs<'_>, out: &mut String) {
    let texts = page.texts;
    let Some(wait) = page.wait else {
        out.push_str("<noscript><p>");
        push_escaped(out, texts.no_script);
        out.push_str("</p></noscript>\n<p class=\"script\">");
        push_escaped(out, texts.failed);
        out.push_str("</p>\n");
        return;
    };
    out.push_str("<p>");
    let (before, after) = texts.wait.split_once("{seconds}").unwrap_or((texts.wait, ""));
    push_escaped(out, before);
    json::push_number(out, shown_secs(&wait));
    push_escaped(out, after);
    out.push_str("</p>\n");
    if wait.end == WaitEnd::ButtonOrRefresh {
        out.push_str("<noscript><p>");
        push_escaped(out, texts.wait_by_itself);
        out.push_str("</p></noscript>\n");
    }
    out.push_str("<form id=\"wait\" method=\"post\" action=\"");
    push_escaped(out, wait.path);
    out.push_str("\"><input type=\"hidden\" name=\"wait\" value=\"");
    push_escaped(out, wait.token);
    out.push_str("\"><input type=\"hidden\" name=\"return\" value=\"");
    push_escaped(out, page.return_to.as_str());
    out.push_str("\"><button>");
    push_escaped(out, texts.wait_button);
    out.push_str("</button></form>\n");
}

/// What is said and can be done when something was being sent.
fn push_form(texts: &Texts, out: &mut String) {
    out.push_str("<p id=\"form\">");
    push_escaped(out, texts.form);
    out.push_str("</p>\n<div id=\"again\" hidden><p>");
    push_escaped(out, texts.form_done);
    out.push_str("</p>\n<button id=\"resend\" type=\"button\">");
    push_escaped(out, texts.resend);
    out.push_str("</button><button id=\"back\" type=\"button\">");
    push_escaped(out, texts.back);
    out.push_str("</button></div>\n");
}

/// Splits a template into texts, each with the name of the place after it. The last has none.
fn places(template: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = Some(template);
    std::iter::from_fn(move || {
        let template = rest.take()?;
        let found = template
            .split_once("{{")
            .and_then(|(text, after)| after.split_once("}}").map(|(name, after)| (text, name, after)));
        Some(match found {
            Some((text, name, after)) => {
                rest = Some(after);
                (text, name)
            }
            None => (template, ""),
        })
    })
}

/// Appends `text` for use in HTML text and in quoted attributes. Control characters, which no value
/// of ours holds, are left out: some of them end an attribute for some parser.
pub fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '`' => out.push_str("&#96;"),
            _ if c.is_control() => {}
            _ => out.push(c),
        }
    }
}

/// Appends `text` as a value in a query: all but unreserved characters percent-encoded (RFC 3986 §2.3).
fn push_query_value(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            _ = write!(out, "%{byte:02X}");
        }
    }
}

const SOLVER: &str = include_str!("../assets/solver.js");
const MEMORY: &str = include_str!("../assets/memory.js");
const RUN: &str = include_str!("../assets/run.js");
const EVIDENCE: &str = include_str!("../assets/evidence.js");
const CHALLENGE: &str = include_str!("../assets/page.js");
const RENEW: &str = include_str!("../assets/renew.js");
const WIDGET: &str = include_str!("../assets/widget.js");
const PAGE: &str = include_str!("../assets/page.html");
const END: &str = include_str!("../assets/end.html");
const STYLE: &str = include_str!("../assets/page.css");
/// Room for the values.
const EXTRA: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_templates_is_known() {
        const PAGE_PLACES: &[&str] = &[
            "script",
            "memory",
            "difficulty_bits",
            "count",
            "seed",
            "token",
            "redeem",
            "solver",
            "wait_secs",
            "refresh",
            "plain",
            "form",
        ];
        const BOTH: &[&str] = &["nonce", "return", "reference_id", "contact_line", "brand", "title_brand", "style", ""];
        const COLOURS: &[&str] = &["key_light", "on_light", "key_dark", "on_dark", ""];
        let is_text = |place| crate::ENGLISH.named(place).is_some();
        for (_, place) in places(PAGE) {
            assert!(PAGE_PLACES.contains(&place) || BOTH.contains(&place) || is_text(place), "{place}");
        }
        for (_, place) in places(END) {
            assert!(place == "end" || BOTH.contains(&place) || is_text(place), "{place}");
        }
        for (_, place) in places(STYLE) {
            assert!(COLOURS.contains(&place), "{place}");
        }
        for template in [PAGE, END, STYLE] {
            assert_eq!(places(template).filter(|(_, place)| place.is_empty()).count(), 1);
        }
    }

    #[test]
    fn no_script_can_end_its_element_early() {
        let hard = MemoryHard { mebibytes: 8, passes: 1, count: 2, difficulty_bits: 5 };
        for script in [script(None), script(Some(hard)), solver(), renewal(), &widget(&crate::ENGLISH)] {
            let script = script.to_ascii_lowercase();
            assert!(!script.contains("</script") && !script.contains("<!--") && !script.contains("{{"));
        }
    }
}
