//! The rung without a script: a wait, and seeing whether the cookie came back.

use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_challenge::{
    Clearance, Level, MAX_CLEARANCE_TTL, Proof, RedeemForm, Refusal, Wait, return_target, set_cookie,
};

use super::redeem::{Granted, Redeeming};
use super::{ARRIVED_PATH, ChallengeDesk, OWN_PATHS, Seen, Step, fresh, worth, worth_of};
use crate::gateway::reply::Reply;
use portcullis_challenge::evidence::Signals;

/// What is asked with a wait, or on arrival.
pub(super) struct Ending {
    /// The token of the wait.
    token: String,
    /// Where the person wants to go, on this origin.
    pub(super) return_to: String,
}

impl Ending {
    /// Reads the body of the button, or the query of the refresh.
    pub(super) fn parse(form: &[u8]) -> Result<Self, Refusal> {
        let form = RedeemForm::parse(form)?;
        match form.proof {
            Proof::Wait(token) => {
                Ok(Self { token: token.to_owned(), return_to: own_target(form.return_to.as_deref().unwrap_or("/")) })
            }
            // INVARIANT: a solution is taken from a body only, and elsewhere.
            Proof::Solution(_) => Err(Refusal::Malformed),
        }
    }
}

/// A return path on this origin that is none of the gateway's own, from where there is nothing to come back to.
pub(super) fn own_target(text: &str) -> String {
    let target = return_target(text).as_str();
    if target.starts_with(OWN_PATHS) { "/" } else { target }.to_owned()
}

impl ChallengeDesk {
    /// Ends a wait: with the clearance, or that of the client where it holds a better one.
    pub(super) fn end_wait(&self, ending: &Ending, redeeming: &Redeeming<'_>) -> Result<Granted, Refusal> {
        let (holder, now) = (redeeming.holder, redeeming.now.unix_millis());
        let binding = holder.binding();
        let waited = Wait::redeem(&self.puzzles, &ending.token, &binding, now, &self.waited)?;
        self.ledger.solved(redeeming.family, Level::NoScript, waited.issued_at, now);
        let ttl = waited.clearance_ttl.min(MAX_CLEARANCE_TTL);
        let new = worth(Level::NoScript, None, now.after(ttl));
        let cookie = match redeeming.held.filter(|(held, _)| worth_of(held) > new) {
            Some((held, text)) => set_cookie(holder.scheme(), text, held.expires_at.since(now)),
            None => {
                let keys = self.clearances.load();
                let value = Clearance::for_wait(keys.ring(), fresh()?, &waited, &binding);
                set_cookie(holder.scheme(), &value, ttl)
            }
        };
        let seen = Seen { step: Step::Solved(waited.took()), rung: Level::NoScript, findings: Signals::default() };
        Ok(Granted { cookie, seen })
    }
}

/// Sends a browser on to where it is seen whether it kept the cookie.
pub(super) fn arriving(return_to: &str, cookie: String) -> Reply {
    let target = utf8_percent_encode(return_to, NON_ALPHANUMERIC);
    going_to(format!("{ARRIVED_PATH}?return={target}")).with("set-cookie", cookie)
}

/// Sends a browser on with a `GET` (RFC 9110 §15.4.4).
pub(super) fn going_to(path: String) -> Reply {
    Reply::new(StatusCode::SEE_OTHER)
        .with("cache-control", "no-store")
        .with("referrer-policy", "no-referrer")
        .with("location", path)
}
