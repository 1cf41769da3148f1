//! Renewing a clearance in the background of a page, before it ends.

use http::StatusCode;
use portcullis_challenge::{
    Clearance, Level, Lifetimes, MIN_DIFFICULTY_BITS, PROBLEM_HEADERS, Puzzle, RENEWAL_DISCOUNT, Refusal, Strength,
    problem,
};

use super::{ChallengeDesk, Holder, REDEEM_PATH, fresh};
use crate::clock::Now;
use crate::gateway::reply::Reply;

/// How long renewing may take: a page in the background works with one core, slowly.
const RENEWAL_TTL: std::time::Duration = std::time::Duration::from_secs(10 * 60);

impl ChallengeDesk {
    /// What a page is told that asks to renew `held`: nothing to do, when to ask again, or a puzzle.
    pub(super) fn renewal(&self, held: Option<&Clearance>, holder: &Holder, now: Now) -> Result<Reply, Refusal> {
        let nothing = Reply::new(StatusCode::NO_CONTENT).with("cache-control", "no-store");
        let at = now.unix_millis();
        let Some((held, work)) = held.and_then(|held| Some((held, renewable(held)?))) else { return Ok(nothing) };
        let life = held.expires_at.since(held.issued_at);
        if !held.is_due(at) {
            let until_due = held.expires_at.since(at).saturating_sub(life / 4);
            // Nothing is gained any more at the end of the line.
            if until_due.is_zero() {
                return Ok(nothing);
            }
            return Ok(json(format!("{{\"ask_again_secs\":{}}}", until_due.as_secs() + 1)));
        }
        let lifetimes = Lifetimes { puzzle: RENEWAL_TTL, clearance: life };
        let puzzle = Puzzle::issue(&self.puzzles, fresh()?, work, &holder.binding(), at, lifetimes);
        let mut body = String::from("{\"challenge\":");
        problem::render_offer(&problem::Offer { puzzle: &puzzle, redeem_path: REDEEM_PATH }, &mut body);
        body.push('}');
        Ok(json(body))
    }
}

/// The work that renews a clearance: as much less as a renewal may be. None for what took no work.
fn renewable(held: &Clearance) -> Option<Strength> {
    let known = held.work.filter(|_| matches!(held.level, Level::ProofOfWork | Level::MemoryHard))?;
    let bits = RENEWAL_DISCOUNT.ilog2();
    let easier = known.difficulty_bits().saturating_sub(u8::try_from(bits).unwrap_or(0)).max(MIN_DIFFICULTY_BITS);
    Strength::new(easier, known.count()).ok()
}

fn json(body: String) -> Reply {
    Reply::new(StatusCode::OK).with_all(&PROBLEM_HEADERS).with("content-type", "application/json").body(body)
}
