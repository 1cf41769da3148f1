//! Giving out a challenge: the page, or problem+json, of the rung that is asked for.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use portcullis_challenge::rung::{Ask, Client, Offer};
use portcullis_challenge::{
    CspNonce, Level, Lifetimes, PAGE_HEADERS, PROBLEM_HEADERS, Puzzle, Refusal, Wait, Work, page, problem,
    return_target,
};
use portcullis_policy::model::Route;
use portcullis_signals::Family;

use super::{ChallengeDesk, Holder, REDEEM_PATH, SOLVER_PATH, Seen, WAIT_PATH, fresh, strength, texts};
use crate::clock::Now;
use crate::gateway::reply::Reply;

/// How long a puzzle may be worked on that a page solves in seconds.
const PUZZLE_TTL: Duration = Duration::from_secs(5 * 60);

/// How long a wait's token is good after the wait.
const WAIT_TTL: Duration = Duration::from_secs(5 * 60);

/// The most hashing that an old phone does well within [`PUZZLE_TTL`]; it does some 50,000 a second.
const QUICK_HASHES: u64 = 8_000_000;

/// One client that is challenged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenged<'a> {
    /// On which route.
    pub(crate) route: &'a Route,
    /// What is asked.
    pub(crate) ask: Ask,
    /// What the client can do.
    pub(crate) client: Client,
    /// Who it is.
    pub(crate) holder: &'a Holder,
    /// Its family, for the ledger.
    pub(crate) family: Family,
    /// What it asked for.
    pub(crate) method: &'a Method,
    /// The path and query that it asked for.
    pub(crate) target: &'a str,
    /// Its request's header.
    pub(crate) headers: &'a HeaderMap,
    /// The name of its request.
    pub(crate) reference_id: &'a str,
    /// When.
    pub(crate) now: Now,
}

/// What a challenged client gets.
#[derive(Debug)]
pub(crate) enum Issued {
    /// The challenge, and what is to be recorded.
    Challenge(Reply, Seen),
    /// A stronger sign-in is the only way.
    StepUp,
}

impl ChallengeDesk {
    /// The challenge for a client: 403, with the page or with problem+json.
    pub(crate) fn challenge(&self, challenged: &Challenged<'_>) -> Result<Issued, Refusal> {
        match challenged.ask.offer(challenged.client) {
            Offer::Page { first, without_script } => self.page(challenged, first, without_script),
            Offer::Problem(level) => self.problem(challenged, level),
            // The policy throttles there, and does not challenge; a program is told what would help.
            Offer::Throttle => self.problem(challenged, Level::ProofOfWork),
            Offer::StepUp => Ok(Issued::StepUp),
        }
    }

    fn puzzle(&self, challenged: &Challenged<'_>, level: Level) -> Result<(Puzzle, Level), Refusal> {
        let work = challenged.ask.work(level.max(Level::ProofOfWork), strength(&challenged.route.puzzle));
        let lifetimes = Lifetimes { puzzle: time_for(&work), clearance: challenged.route.clearance_ttl };
        let level = if work.memory().is_some() { Level::MemoryHard } else { Level::ProofOfWork };
        let now = challenged.now.unix_millis();
        Ok((Puzzle::issue(&self.puzzles, fresh()?, work, &challenged.holder.binding(), now, lifetimes), level))
    }

    /// The page for a person: a puzzle that its script solves, and a wait where no script runs and that will do.
    fn page(&self, challenged: &Challenged<'_>, first: Level, without: Option<Level>) -> Result<Issued, Refusal> {
        let (puzzle, level) = self.puzzle(challenged, first)?;
        let wait = without.map(|_| self.begin_wait(challenged)).transpose()?;
        let nonce = CspNonce::new(fresh()?);
        let mut body = String::new();
        page::render(
            &page::PageInputs {
                nonce: &nonce,
                puzzle: &puzzle,
                memory: puzzle.memory().map(|memory| page::MemoryHard {
                    mebibytes: memory.mebibytes(),
                    passes: memory.passes(),
                    count: memory.count(),
                    difficulty_bits: memory.difficulty_bits(),
                }),
                redeem_path: REDEEM_PATH,
                solver_path: SOLVER_PATH,
                wait: wait.as_ref().map(|wait| page::Wait {
                    token: wait.token(),
                    path: WAIT_PATH,
                    // The page adds a second of its own.
                    secs: u32::try_from(wait.seconds().saturating_sub(1)).unwrap_or(u32::MAX),
                    end: page::WaitEnd::ButtonOrRefresh,
                }),
                asked: match *challenged.method {
                    Method::GET | Method::HEAD => page::Asked::Page,
                    _ => page::Asked::Form,
                },
                return_to: return_target(challenged.target),
                reference_id: challenged.reference_id,
                contact: self.look.contact.as_deref(),
                brand: &self.look.brand,
                texts: texts(challenged.headers),
            },
            &mut body,
        );
        // Who came back from the page without a script is shown the wait first.
        let rung = if challenged.client == Client::WithoutScript { Level::NoScript } else { level };
        let reply = page_reply(StatusCode::FORBIDDEN, &nonce, body);
        Ok(self.shown(challenged, reply.with("content-language", texts(challenged.headers).language), rung))
    }

    fn begin_wait(&self, challenged: &Challenged<'_>) -> Result<Wait, Refusal> {
        let lifetimes = Lifetimes { puzzle: WAIT_TTL, clearance: challenged.route.clearance_ttl };
        let (span, now) = (challenged.ask.wait(), challenged.now.unix_millis());
        Ok(Wait::begin(&self.puzzles, fresh()?, span, &challenged.holder.binding(), now, lifetimes))
    }

    /// The same for a program.
    fn problem(&self, challenged: &Challenged<'_>, level: Level) -> Result<Issued, Refusal> {
        let (puzzle, level) = self.puzzle(challenged, level)?;
        let mut body = String::new();
        let problem = problem::Problem::challenge(&puzzle, REDEEM_PATH, challenged.reference_id);
        problem::render(&problem, &mut body);
        let reply = Reply::new(StatusCode::FORBIDDEN).with_all(&PROBLEM_HEADERS).body(body);
        Ok(self.shown(challenged, reply, level))
    }

    fn shown(&self, challenged: &Challenged<'_>, reply: Reply, rung: Level) -> Issued {
        self.ledger.shown(challenged.family, rung, challenged.now.unix_millis());
        Issued::Challenge(reply.with("portcullis-action", "challenge"), Seen::shown(rung))
    }

    /// The page that says why the check cannot go on.
    pub(super) fn end(
        &self,
        end: page::End,
        return_to: &str,
        headers: &HeaderMap,
        reference_id: &str,
    ) -> Result<Reply, Refusal> {
        let nonce = CspNonce::new(fresh()?);
        let mut body = String::new();
        page::render_end(
            &page::EndInputs {
                nonce: &nonce,
                end,
                return_to: return_target(return_to),
                reference_id,
                contact: self.look.contact.as_deref(),
                brand: &self.look.brand,
                texts: texts(headers),
            },
            &mut body,
        );
        Ok(page_reply(StatusCode::FORBIDDEN, &nonce, body).with("content-language", texts(headers).language))
    }

    /// The answer to the question of a browser whether a script may ask at all (Fetch §4.8), where the operator lets it:
    /// that question never carries a clearance, so a challenge of it could never be met.
    pub(crate) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Reply> {
        let asked = headers.get("access-control-request-method").filter(|_| method == Method::OPTIONS)?;
        self.allowed_origin(headers)?;
        // The request that follows is judged by itself.
        let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
        let reply = Reply::new(StatusCode::NO_CONTENT)
            .with("cache-control", "no-store")
            .with("access-control-allow-methods", text(asked)?);
        let names = headers.get("access-control-request-headers").and_then(text);
        Some(match names {
            Some(names) => reply.with("access-control-allow-headers", names),
            None => reply,
        })
    }
}

fn page_reply(status: StatusCode, nonce: &CspNonce, body: String) -> Reply {
    Reply::new(status).with_all(&PAGE_HEADERS).with("content-security-policy", page::csp(nonce)).body(body)
}

/// How long a client may take for some work: a phone of ten years ago takes ten minutes for a strict puzzle.
fn time_for(work: &Work) -> Duration {
    let quick = work.memory().is_none() && work.hashes().expected_hashes() <= QUICK_HASHES;
    if quick { PUZZLE_TTL } else { portcullis_challenge::MAX_PUZZLE_TTL }
}

#[cfg(test)]
mod tests {
    use portcullis_challenge::{MemoryCost, Strength};

    use super::*;

    #[test]
    fn who_has_more_to_do_has_more_time() {
        for (hashes, memory, minutes) in [
            (Strength::RELAXED, None, 5),
            (Strength::BALANCED, None, 5),
            (Strength::STRICT, None, 30),
            (Strength::RELAXED, Some(MemoryCost::USUAL), 30),
        ] {
            let work = Work::new(hashes, memory);
            assert_eq!(time_for(&work).as_secs() / 60, minutes, "{work:?}");
        }
    }
}
