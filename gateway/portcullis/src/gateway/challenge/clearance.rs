//! The clearance that a request carries, and whether it is enough.

use portcullis_challenge::evidence::Findings;
use portcullis_challenge::rung::{Ask, Audience, Client, Ladder, PageMemory, Posture, SignIn};
use portcullis_challenge::{Clearance, Level, Refusal, Scheme, cookie_name};
use portcullis_policy::model::{Clients, Route, Thresholds};
use portcullis_policy::{Decision, Score};
use portcullis_signals::{self as signals, Facts};

use super::{ChallengeDesk, HandshakePrint, binding, family, network, strength};
use crate::accept::TlsInfo;
use crate::clock::Now;

impl ChallengeDesk {
    /// The clearance that a request carries, where it holds for this client, was not taken back and is not used up; none
    /// where the request carries none.
    pub(crate) fn clearance(
        &self,
        facts: &Facts<'_>,
        tls: Option<&TlsInfo>,
        scheme: Scheme,
        now: Now,
    ) -> Result<Option<Clearance>, Refusal> {
        let Some(value) = facts.request.cookie(cookie_name(scheme)) else { return Ok(None) };
        let network = network(facts.client, facts.network);
        let print = HandshakePrint::of(tls);
        let binding = binding(facts.request.host(), network, family(&facts.claim), &print);
        // INVARIANT: no table is touched before the code held.
        let clearance = Clearance::verify(self.clearances.load().ring(), value, &binding, now.unix_millis())?;
        self.revocations.load().check(&clearance)?;
        self.budgets.charge(&clearance, &network, now.unix_millis())?;
        Ok(Some(clearance))
    }
}

/// What a clearance is to the policy.
pub(crate) fn level_of(clearance: &Clearance) -> Option<signals::Clearance> {
    Some(match clearance.level {
        Level::NoScript => signals::Clearance::NoScript,
        Level::ProofOfWork => signals::Clearance::ProofOfWork,
        Level::MemoryHard => signals::Clearance::MemoryHard,
        Level::StepUp => signals::Clearance::StepUp,
        _ => return None,
    })
}

/// How clearly the evidence spoke that came with a clearance.
pub(crate) fn evidence_of(clearance: &Clearance) -> signals::Strength {
    signals::Strength::thousandths(Findings::of(clearance.findings).risk_thousandths().into())
}

/// Whether a clearance opens a route at this score.
///
/// A wait is good wherever the page offers one. INVARIANT: work that was done for a cheap route opens none that asks for
/// more, whatever else might stand in for it there.
pub(crate) fn opens(clearance: &Clearance, route: &Route, raw: Score, sign_in: SignIn) -> bool {
    // Not by the posture: who did the work before an attack began keeps what it was worth.
    let ask = asking(route, raw, signals::Posture::Normal, sign_in);
    let least = if clearance.level <= Level::NoScript {
        ask.least(Client::Browser)
    } else {
        Ask { audience: Audience::Programs, ..ask }.least(Client::Program)
    };
    clearance.opens(least, strength(&route.puzzle))
}

/// Whether a decision made without a clearance takes the place of the one made with it, where the clearance is not enough.
///
/// A challenge does: there is a rung to climb. What is refused without it had the credit of work, and keeps that where
/// the work was that of the route.
pub(crate) fn falls_back(without: &Decision, clearance: &Clearance, route: &Route) -> bool {
    without.verdict == portcullis_policy::model::Action::Challenge || !clearance.covers(strength(&route.puzzle))
}

/// What is asked of a client that is challenged on a route. `raw` is the score before any credit.
pub(crate) fn asking(route: &Route, raw: Score, posture: signals::Posture, sign_in: SignIn) -> Ask {
    Ask {
        score_thousandths: raw.as_thousandths(),
        ladder: ladder(&route.thresholds),
        posture: match posture {
            signals::Posture::Normal => Posture::Calm,
            signals::Posture::Elevated => Posture::Raised,
            signals::Posture::UnderAttack => Posture::UnderAttack,
        },
        audience: match route.clients {
            Clients::Browser => Audience::People,
            Clients::Api => Audience::Programs,
            Clients::Mixed => Audience::Both,
            Clients::Unattended => Audience::Unattended,
        },
        sign_in,
        page_memory: PageMemory::Solves,
    }
}

/// The rungs between the scores at which a route challenges and blocks: a wait stands in for work in the lower half, and
/// in the last quarter the work takes memory. Below, where a rule or a limit challenges, a wait is asked for.
fn ladder(thresholds: &Thresholds) -> Ladder {
    let block = thresholds.block.or(thresholds.ban).map_or(1000, Score::as_thousandths);
    let challenge = thresholds.challenge.map_or(block / 2, Score::as_thousandths).min(block);
    let span = block - challenge;
    Ladder {
        wait_from: 0,
        work_from: challenge,
        wait_up_to: challenge + span / 2,
        memory_from: block - span / 4,
        step_up_from: block,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(challenge: Option<u16>, block: Option<u16>) -> Thresholds {
        let score = |at: u16| Score::thousandths(at);
        Thresholds { throttle: None, challenge: challenge.map(score), block: block.map(score), ban: None }
    }

    #[test]
    fn the_rungs_stand_between_challenge_and_block() {
        for (challenge, block, rungs) in [
            (Some(350), Some(600), (350, 475, 538, 600)),
            (Some(200), Some(400), (200, 300, 350, 400)),
            (Some(500), Some(800), (500, 650, 725, 800)),
            (Some(400), None, (400, 700, 850, 1000)),
            (None, Some(600), (300, 450, 525, 600)),
            (None, None, (500, 750, 875, 1000)),
            (Some(600), Some(600), (600, 600, 600, 600)),
        ] {
            let ladder = ladder(&thresholds(challenge, block));
            let found = (ladder.work_from, ladder.wait_up_to, ladder.memory_from, ladder.step_up_from);
            assert_eq!(found, rungs, "{challenge:?} to {block:?}");
            assert!(ladder.wait_from <= ladder.work_from && ladder.work_from <= ladder.memory_from);
        }
    }
}
