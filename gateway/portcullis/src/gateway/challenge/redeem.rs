//! Taking in solutions.

use std::sync::Arc;

use http::StatusCode;
use portcullis_challenge::evidence::{Findings, Observed};
use portcullis_challenge::{
    Algorithm, Clearance, MAX_CLEARANCE_TTL, PROBLEM_HEADERS, Proof, RedeemForm, Refusal, Solved, problem, set_cookie,
};
use portcullis_signals::Family;

use super::{ChallengeDesk, Holder, Seen, Step, fresh, worth, worth_of};
use crate::clock::Now;
use crate::gateway::reply::Reply;

/// Who redeems, and by what request.
#[derive(Clone, Debug)]
pub(crate) struct Redeeming<'a> {
    /// Who it is.
    pub(crate) holder: &'a Holder,
    /// Its family, for the ledger.
    pub(crate) family: Family,
    /// The header field `User-Agent`.
    pub(crate) user_agent: &'a str,
    /// The clearance that the request carries, and which is good, with its text.
    pub(crate) held: Option<(Clearance, &'a str)>,
    /// The name of the request.
    pub(crate) reference_id: &'a str,
    /// When.
    pub(crate) now: Now,
}

/// The cookie that a redeem ends with, and what is to be recorded.
pub(super) struct Granted {
    pub(super) cookie: String,
    pub(super) seen: Seen,
}

impl ChallengeDesk {
    /// Takes in a solution: 204 with the clearance as a cookie, or problem+json that says why not.
    pub(crate) async fn redeem(&self, body: Vec<u8>, redeeming: &Redeeming<'_>) -> (Reply, Seen) {
        match self.grant_for_work(body, redeeming).await {
            Ok(Granted { cookie, seen }) => {
                let reply =
                    Reply::new(StatusCode::NO_CONTENT).with("cache-control", "no-store").with("set-cookie", cookie);
                (reply, seen)
            }
            Err(refusal) => (refused(refusal, redeeming.reference_id), Seen::refused(refusal)),
        }
    }

    async fn grant_for_work(&self, body: Vec<u8>, redeeming: &Redeeming<'_>) -> Result<Granted, Refusal> {
        let body: Arc<[u8]> = body.into();
        let form = RedeemForm::parse(&body)?;
        // Before the puzzle is spent: without random bytes it may be handed in again.
        let id = fresh()?;
        let mut solved = self.solved(&form, &body, redeeming).await?;
        let observed = Observed::of(&solved, redeeming.user_agent);
        solved.findings = Findings::beside(form.evidence.as_deref(), &observed).signals();
        let now = redeeming.now.unix_millis();
        self.ledger.solved(redeeming.family, solved.level, solved.issued_at, now);
        Ok(self.clearance_for(&solved, id, redeeming))
    }

    /// Checks a solution; one that takes memory in its turn and beside the threads that serve.
    async fn solved(
        &self,
        form: &RedeemForm<'_>,
        body: &Arc<[u8]>,
        redeeming: &Redeeming<'_>,
    ) -> Result<Solved, Refusal> {
        // What is waited for is handed in elsewhere.
        let Proof::Solution(solution) = form.proof else { return Err(Refusal::Malformed) };
        let (holder, now) = (redeeming.holder, redeeming.now);
        // INVARIANT: the code held before anything costs memory or a turn.
        if solution.algorithm(&self.puzzles)? == Algorithm::Argon2id {
            let (ring, spent) = (Arc::clone(&self.puzzles), Arc::clone(&self.spent));
            return self.memory_hard.verify(ring, spent, holder.clone(), Arc::clone(body), now).await;
        }
        solution.verify(&self.puzzles, &holder.binding(), now.unix_millis(), &self.spent)
    }

    /// The clearance for some work, or the one that is held already where that is worth more: of two tabs, neither
    /// takes from the other what it earned.
    fn clearance_for(&self, solved: &Solved, id: [u8; 16], redeeming: &Redeeming<'_>) -> Granted {
        let (holder, now) = (redeeming.holder, redeeming.now.unix_millis());
        let keys = self.clearances.load();
        let binding = holder.binding();
        let seen = Seen { step: Step::Solved(solved.took()), rung: solved.level, findings: solved.findings };
        let granted = |value: String, ttl, seen| Granted { cookie: set_cookie(holder.scheme(), &value, ttl), seen };
        let ttl = solved.clearance_ttl.min(MAX_CLEARANCE_TTL);
        let new = worth(solved.level, Some(solved.work.hashes()), now.after(ttl));
        let Some((held, text)) = redeeming.held.filter(|(held, _)| worth_of(held) > new) else {
            return granted(Clearance::for_work(keys.ring(), id, solved, &binding), ttl, seen);
        };
        let renewed = held.renew(keys.ring(), solved, &binding);
        match renewed.filter(|renewed| self.is_usable(renewed, holder, redeeming.now)) {
            Some(renewed) => {
                let left = held.granted_at.after(MAX_CLEARANCE_TTL).since(now);
                granted(
                    renewed,
                    ttl.max(held.expires_at.since(now)).min(left),
                    Seen { step: Step::Renewed(solved.took()), ..seen },
                )
            }
            None => granted(text.to_owned(), held.expires_at.since(now), seen),
        }
    }
}

/// The answer to what was not accepted.
pub(super) fn refused(refusal: Refusal, reference_id: &str) -> Reply {
    let detail = refusal.to_string();
    let problem = problem::Problem::redeem(refusal, &detail, reference_id);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut body = String::new();
    problem::render(&problem, &mut body);
    Reply::new(status).with_all(&PROBLEM_HEADERS).body(body)
}
