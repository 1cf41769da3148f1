//! Answers for programs: `application/problem+json` (RFC 9457).

use crate::json;
use crate::puzzle::Puzzle;
use crate::refusal::Refusal;

/// One problem, as it is told to a client that is a program.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The kind of problem, a URI reference: [`CHALLENGE`], [`REDEEM`], or the caller's own.
    pub kind: &'a str,
    /// The kind in a few words, the same each time.
    pub title: &'a str,
    /// The status code of the response.
    pub status: u16,
    /// What happened this time and what to do, for people.
    pub detail: &'a str,
    /// The stable code, for programs: member `code`. Left out when empty.
    pub code: &'a str,
    /// The id under which the request is found in the audit records: member `reference`.
    pub reference_id: &'a str,
    /// What can be done to get through. Left out when there is nothing.
    pub challenge: Option<Offer<'a>>,
}

/// A puzzle that is offered to a program.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The puzzle.
    pub puzzle: &'a Puzzle,
    /// The path to which the solution is posted.
    pub redeem_path: &'a str,
}

impl<'a> Problem<'a> {
    /// The answer to a request that is challenged: 403, with the puzzle.
    #[must_use]
    pub const fn challenge(puzzle: &'a Puzzle, redeem_path: &'a str, reference_id: &'a str) -> Self {
        Self {
            kind: CHALLENGE,
            title: "Proof of work required",
            status: 403,
            detail: "Solve the puzzle in `challenge`, post the solution to `redeem`, and repeat the request with the cookie from the answer.",
            code: "challenge",
            reference_id,
            challenge: Some(Offer { puzzle, redeem_path }),
        }
    }

    /// The answer to a widget that gets no puzzle, or no response for the one that it solved.
    #[must_use]
    pub const fn site(status: u16, code: &'a str, detail: &'a str, reference_id: &'a str) -> Self {
        Self { kind: SITE, title: "Not let through", status, detail, code, reference_id, challenge: None }
    }

    /// The answer to a redeem that was refused. The status says whose turn it is: 503 when the
    /// gateway is busy, 413 for what is too large, 400 for what is not a solution, else 403.
    #[must_use]
    pub const fn redeem(refusal: Refusal, detail: &'a str, reference_id: &'a str) -> Self {
        let status = match refusal {
            Refusal::Malformed => 400,
            Refusal::TooLarge => 413,
            Refusal::Busy => 503,
            _ => 403,
        };
        Self {
            kind: REDEEM,
            title: "Solution not accepted",
            status,
            detail,
            code: refusal.reason(),
            reference_id,
            challenge: None,
        }
    }
}

/// Appends the problem as JSON to `out`.
pub fn render(problem: &Problem<'_>, out: &mut String) {
    out.push_str("{\"type\":");
    json::push_string(out, problem.kind);
    out.push_str(",\"title\":");
    json::push_string(out, problem.title);
    out.push_str(",\"status\":");
    json::push_number(out, problem.status.into());
    out.push_str(",\"detail\":");
    json::push_string(out, problem.detail);
    if !problem.code.is_empty() {
        out.push_str(",\"code\":");
        json::push_string(out, problem.code);
    }
    out.push_str(",\"reference\":");
    json::push_string(out, problem.reference_id);
    if let Some(offer) = &problem.challenge {
        out.push_str(",\"challenge\":");
        push_offer(out, offer.puzzle, Some(offer.redeem_path));
    }
    out.push('}');
}

/// Appends a puzzle and where to redeem it, as the member `challenge` has it, for a page that renews.
pub fn render_offer(offer: &Offer<'_>, out: &mut String) {
    push_offer(out, offer.puzzle, Some(offer.redeem_path));
}

/// Appends a puzzle alone, for a widget, which knows where to redeem it.
pub fn render_puzzle(puzzle: &Puzzle, out: &mut String) {
    push_offer(out, puzzle, None);
}

fn push_offer(out: &mut String, puzzle: &Puzzle, redeem_path: Option<&str>) {
    out.push_str("{\"algorithm\":");
    json::push_string(out, puzzle.algorithm().name());
    out.push_str(",\"difficulty_bits\":");
    json::push_number(out, puzzle.strength().difficulty_bits().into());
    out.push_str(",\"count\":");
    json::push_number(out, puzzle.strength().count().into());
    if let Some(memory) = puzzle.memory() {
        for (name, number) in [
            (",\"memory_mebibytes\":", memory.mebibytes()),
            (",\"memory_passes\":", memory.passes()),
            (",\"memory_count\":", memory.count()),
            (",\"memory_difficulty_bits\":", memory.difficulty_bits()),
        ] {
            out.push_str(name);
            json::push_number(out, number.into());
        }
    }
    out.push_str(",\"seed\":");
    json::push_string(out, &puzzle.seed().to_hex());
    out.push_str(",\"token\":");
    json::push_string(out, puzzle.token());
    if let Some(path) = redeem_path {
        out.push_str(",\"redeem\":");
        json::push_string(out, path);
    }
    out.push_str(",\"expires_unix_secs\":");
    json::push_number(out, puzzle.expires_at().as_secs());
    out.push('}');
}

/// The type of the problem "a puzzle has to be solved first".
pub const CHALLENGE: &str = "/.well-known/portcullis/problems/challenge";
/// The type of the problem "the solution was not accepted".
pub const REDEEM: &str = "/.well-known/portcullis/problems/redeem";
/// The type of the problem "the site key, its filters or its allowance say no".
pub const SITE: &str = "/.well-known/portcullis/problems/site";
