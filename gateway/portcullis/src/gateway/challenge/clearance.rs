//! The clearance that a request carries, and whether it is enough.

use std::time::Duration;

use portcullis_challenge::evidence::Findings;
use portcullis_challenge::rung::{Ask, Audience, Client, Ladder, PageMemory, Posture, SignIn};
use portcullis_challenge::{Clearance, Level, Refusal, Scheme, cookie_name};
use portcullis_policy::model::{Clients, Route, Thresholds};
use portcullis_policy::{Decision, Score};
use portcullis_signals::{self as signals, CanonicalRequest, Facts};

use super::{ChallengeDesk, HandshakePrint, Holder, binding, family, network, strength, worth_of};
use crate::accept::TlsInfo;
use crate::clock::Now;

impl ChallengeDesk {
    /// The clearance that a request carries, where it holds for this client, was not taken back and is not used up; none
    /// where the request carries none. Of several that hold it is the one of most worth.
    pub(crate) fn clearance(
        &self,
        facts: &Facts<'_>,
        tls: Option<&TlsInfo>,
        scheme: Scheme,
        now: Now,
    ) -> Result<Option<Clearance>, Refusal> {
        let name = cookie_name(scheme);
        if facts.request.every_cookie(name).next().is_none() {
            return Ok(None);
        }
        let network = network(facts.client, facts.network);
        let print = HandshakePrint::of(tls);
        let binding = binding(facts.request.host(), network, family(&facts.claim), &print);
        let (keys, revocations) = (self.clearances.load(), self.revocations.load());
        let (mut held, mut refused) = (None, None);
        for value in facts.request.every_cookie(name).take(MOST_COOKIES) {
            // INVARIANT: no table is touched before the code held.
            let found = Clearance::verify(keys.ring(), value, &binding, now.unix_millis())
                .and_then(|found| revocations.check(&found).map(|()| found));
            match found {
                Ok(found) => held = held.filter(|held| worth_of(held) >= worth_of(&found)).or(Some(found)),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        let Some(held) = held else { return refused.map_or(Ok(None), Err) };
        self.budgets.charge(&held, &network, now.unix_millis())?;
        Ok(Some(held))
    }

    /// Whether a clearance that was just signed is good: its name may have burnt out in other hands, or been taken back.
    pub(super) fn is_usable(&self, value: &str, holder: &Holder, now: Now) -> bool {
        let at = now.unix_millis();
        Clearance::verify(self.clearances.load().ring(), value, &holder.binding(), at).is_ok_and(|clearance| {
            self.revocations.load().check(&clearance).is_ok() && !self.budgets.is_burnt(&clearance, at)
        })
    }

    /// The text of the clearance `held` among those that a request of `holder` carries.
    pub(super) fn text_of<'a>(
        &self,
        held: &Clearance,
        request: &CanonicalRequest<'a>,
        holder: &Holder,
        now: Now,
    ) -> Option<&'a str> {
        let (keys, binding) = (self.clearances.load(), holder.binding());
        let is_held = |value: &&str| {
            let found = Clearance::verify(keys.ring(), value, &binding, now.unix_millis());
            found.is_ok_and(|found| found == *held)
        };
        request.every_cookie(cookie_name(holder.scheme())).take(MOST_COOKIES).find(is_held)
    }
}

/// How many cookies of the clearance's name are looked at. Over plaintext a sibling host can set one too, and is not to
/// lock anybody out by that; each that is looked at costs a code.
const MOST_COOKIES: usize = 4;

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
///
/// `posture` is the one that counts for it: see [`posture_for`].
pub(crate) fn opens(
    clearance: &Clearance,
    route: &Route,
    raw: Score,
    posture: signals::Posture,
    sign_in: SignIn,
) -> bool {
    let ask = asking(route, raw, posture, sign_in);
    let least = if clearance.level <= Level::NoScript {
        ask.least(Client::Browser)
    } else {
        Ask { audience: Audience::Programs, ..ask }.least(Client::Program)
    };
    clearance.opens(least, strength(&route.puzzle))
}

/// The posture that counts for a clearance, of a route that has been in `posture` for so long.
///
/// Who did the work, or waited, before an attack began keeps what it was worth. A wait since then was waited elsewhere,
/// as the page of a route under attack offers none.
pub(crate) fn posture_for(
    clearance: &Clearance,
    posture: signals::Posture,
    lasting: impl FnOnce() -> Duration,
    now: Now,
) -> signals::Posture {
    let waited = clearance.level <= Level::NoScript && posture != signals::Posture::Normal;
    let since = waited && now.unix_millis().since(clearance.granted_at) < lasting();
    if since { posture } else { signals::Posture::Normal }
}

/// Whether a decision made without a clearance takes the place of the one made with it, where the clearance is not enough.
///
/// A challenge does: there is a rung to climb. What is refused without it had the credit of work, and keeps that where
/// the work was that of the route.
pub(crate) fn falls_back(without: &Decision, clearance: &Clearance, route: &Route) -> bool {
    without.verdict == portcullis_policy::model::Action::Challenge || !clearance.covers(strength(&route.puzzle))
}

/// Whether a clearance that is held is at least as good on a route as a wait is: another wait, or the route's own work.
pub(crate) fn stands_beside_a_wait(held: &Clearance, route: &Route) -> bool {
    !matches!(held.level, Level::ProofOfWork | Level::MemoryHard) || held.covers(strength(&route.puzzle))
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
    fn a_wait_counts_where_it_is_from_before_the_posture() {
        use portcullis_challenge::{Binding, KeyId, KeyRing, SigningKey, UnixMillis};
        use signals::Posture::{Elevated, Normal, UnderAttack};

        let ring = KeyRing::new(&SigningKey::new(KeyId(1), [1; 32]), &[]).unwrap();
        let now = crate::clock::Clock::start().now();
        for (level, ago, posture, lasting, counts) in [
            (Level::NoScript, 60, UnderAttack, 59, Normal),
            (Level::NoScript, 60, UnderAttack, 60, Normal),
            (Level::NoScript, 60, UnderAttack, 61, UnderAttack),
            (Level::NoScript, 60, Elevated, 61, Elevated),
            (Level::NoScript, 60, Normal, 3600, Normal),
            (Level::ProofOfWork, 60, UnderAttack, 3600, Normal),
        ] {
            let granted = UnixMillis(now.unix_millis().0 - ago * 1000);
            let hour = Duration::from_secs(3600);
            let value = Clearance::issue(&ring, [1; 16], level, &Binding::default(), granted, hour);
            let held = Clearance::verify(&ring, &value, &Binding::default(), now.unix_millis()).unwrap();
            let found = posture_for(&held, posture, || Duration::from_secs(lasting), now);
            assert_eq!(found, counts, "{level:?}, {posture:?} for {lasting} s");
        }
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
