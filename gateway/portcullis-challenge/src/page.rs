//! The challenge page: HTML with its style and script inside, and its Content-Security-Policy.
//!
//! Nothing that the client sent is on the page, save the path it asked for, which is a
//! [`LocalPath`], and every value is escaped where it is put in.

use std::sync::LazyLock;

use crate::json;
use crate::nonce::CspNonce;
use crate::puzzle::Puzzle;
use crate::return_target::LocalPath;
use crate::texts::Texts;

/// All that a page shows.
#[derive(Clone, Copy, Debug)]
pub struct PageInputs<'a> {
    /// The nonce that is also in the policy, [`csp`].
    pub nonce: &'a CspNonce,
    /// The puzzle to solve.
    pub puzzle: &'a Puzzle,
    /// The path to which the solution is posted.
    pub redeem_path: &'a str,
    /// The path from which workers load [`solver`].
    pub solver_path: &'a str,
    /// Where the client goes when it is through.
    pub return_to: LocalPath<'a>,
    /// The id under which the request is found in the audit records.
    pub reference_id: &'a str,
    /// How the operator can be reached, in plain text: an address, a telephone number.
    pub contact: Option<&'a str>,
    /// The texts, in one language.
    pub texts: &'a Texts,
}

/// The script of the page, which is also the script of its workers. Serve it under the path that is
/// given as `solver_path`, with [`SCRIPT_HEADERS`](crate::SCRIPT_HEADERS).
///
/// It is sent twice for each challenge, so it is sent without its indentation and comments.
pub fn solver() -> &'static str {
    static BARE: LazyLock<String> = LazyLock::new(|| bare(SOLVER));
    &BARE
}

/// Appends the page to `out`.
pub fn render(page: &PageInputs<'_>, out: &mut String) {
    out.reserve(TEMPLATE.len() + solver().len() + EXTRA);
    for (text, place) in places(TEMPLATE) {
        out.push_str(text);
        fill(page, place, out);
    }
}

/// The value of the `Content-Security-Policy` field for a page with this nonce.
///
/// Nothing is allowed but the page's own script and style, workers and requests on the same origin.
/// No `unsafe-eval`, no framing, no base URL, no third party.
#[must_use]
pub fn csp(nonce: &CspNonce) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; worker-src 'self'; \
         connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
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

fn fill(page: &PageInputs<'_>, place: &str, out: &mut String) {
    let texts = page.texts;
    let strength = page.puzzle.strength();
    match place {
        // Ours, whole, and without a place for anything of a client.
        "script" => out.push_str(solver()),
        "difficulty_bits" => json::push_number(out, strength.difficulty_bits().into()),
        "count" => json::push_number(out, strength.count().into()),
        "seed" => out.push_str(&page.puzzle.seed().to_hex()),
        "token" => push_escaped(out, page.puzzle.token()),
        "nonce" => push_escaped(out, page.nonce.as_str()),
        "redeem" => push_escaped(out, page.redeem_path),
        "solver" => push_escaped(out, page.solver_path),
        "return" => push_escaped(out, page.return_to.as_str()),
        "reference_id" => push_escaped(out, page.reference_id),
        "contact_line" => push_contact(page, out),
        _ => push_escaped(out, text(texts, place).unwrap_or_default()),
    }
}

fn text(texts: &Texts, place: &str) -> Option<&'static str> {
    Some(match place {
        "language" => texts.language,
        "direction" => texts.direction,
        "title" => texts.title,
        "heading" => texts.heading,
        "what" => texts.what,
        "why" => texts.why,
        "privacy" => texts.privacy,
        "progress_label" => texts.progress_label,
        "starting" => texts.starting,
        "progress" => texts.progress,
        "sending" => texts.sending,
        "done" => texts.done,
        "no_script" => texts.no_script,
        "no_cookies" => texts.no_cookies,
        "failed" => texts.failed,
        "offline" => texts.offline,
        "refused" => texts.refused,
        "retry" => texts.retry,
        "reference" => texts.reference,
        _ => return None,
    })
}

fn push_contact(page: &PageInputs<'_>, out: &mut String) {
    if let Some(contact) = page.contact {
        out.push_str("<p>");
        push_escaped(out, page.texts.contact);
        out.push_str(" <strong>");
        push_escaped(out, contact);
        out.push_str("</strong></p>");
    }
}

/// Appends `text` for use in HTML text and in quoted attributes. Control characters, which no value
/// of ours holds, are left out: some of them end an attribute for some parser.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
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

/// A script without the space before its lines and without the lines that are comments.
fn bare(script: &str) -> String {
    let mut out = String::with_capacity(script.len());
    for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The script as it is written. It has no text or comment that runs over several lines.
const SOLVER: &str = include_str!("../assets/solver.js");
const TEMPLATE: &str = include_str!("../assets/page.html");
/// Room for the values.
const EXTRA: usize = 6 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_template_is_known() {
        let known = [
            "script",
            "difficulty_bits",
            "count",
            "seed",
            "token",
            "nonce",
            "redeem",
            "solver",
            "return",
            "reference_id",
            "contact_line",
            "",
        ];
        for (_, place) in places(TEMPLATE) {
            assert!(known.contains(&place) || text(&crate::ENGLISH, place).is_some(), "{place}");
        }
        assert_eq!(places(TEMPLATE).filter(|(_, place)| place.is_empty()).count(), 1);
    }

    #[test]
    fn the_script_cannot_end_its_element_early() {
        let script = SOLVER.to_ascii_lowercase();
        assert!(!script.contains("</script") && !script.contains("<!--") && !script.contains("{{"));
        assert!(!solver().contains('`') && !script.contains("/*"), "no text or comment over several lines");
    }
}
