//! The challenge desk: it gives out puzzles and waits, takes in solutions, and knows clearances.
//!
//! ```text
//! challenged ──► issue ──► page or problem+json ──► the client works, or waits
//!                                                      │
//! next request ◄── clearance ◄── cookie ◄── redeem, wait, renew
//! ```

mod clearance;
mod issue;
mod keys;
mod ledger;
mod memory_hard;
mod own;
mod redeem;
mod renew;
mod revoke;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use portcullis_challenge::evidence::Signals;
use portcullis_challenge::{
    Binding, Brand, Budget, Budgets, Clearance, KeyRing, KeyRingError, Level, Network, Refusal, Revocations, Scheme,
    SpentSet, Strength, Texts, UnixMillis,
};
use portcullis_intel::AddressFacts;
use portcullis_policy::model;
use portcullis_signals::{Claim, ClientAddr};

use super::reply::Reply;
use crate::accept::TlsInfo;
use crate::clock::Now;
use crate::random;
pub(crate) use clearance::{asking, evidence_of, falls_back, level_of, opens, posture_for, stands_beside_a_wait};
pub(crate) use issue::{Challenged, Issued};
pub use keys::ClearanceKeys;
pub(crate) use keys::signing_key;
pub(crate) use ledger::Ledger;
pub(crate) use revoke::{hex, id};

/// What the gateway's own paths begin with, on every host.
pub const OWN_PATHS: &str = "/.well-known/portcullis/";

/// Where solutions are posted.
pub const REDEEM_PATH: &str = "/.well-known/portcullis/redeem";

/// Where the solver's script is.
pub const SOLVER_PATH: &str = "/.well-known/portcullis/solver.js";

/// Where a wait is ended.
pub const WAIT_PATH: &str = "/.well-known/portcullis/wait";

/// Where it is seen whether the cookie came back.
pub const ARRIVED_PATH: &str = "/.well-known/portcullis/arrived";

/// Where a clearance is renewed.
pub const RENEW_PATH: &str = "/.well-known/portcullis/renew";

/// Where the script is that renews.
pub const RENEWAL_SCRIPT_PATH: &str = "/.well-known/portcullis/renew.js";

/// Gives out puzzles, takes in solutions, and knows clearances.
#[derive(Debug)]
pub struct ChallengeDesk {
    /// Shared with the threads that check memory-hard solutions.
    puzzles: Arc<KeyRing>,
    clearances: ArcSwap<ClearanceKeys>,
    spent: Arc<SpentSet>,
    /// Apart from that of puzzles: waits take no work, and are not to take the places of what does.
    waited: SpentSet,
    budgets: Budgets,
    revocations: ArcSwap<Revocations>,
    memory_hard: Arc<memory_hard::Checks>,
    ledger: Ledger,
    look: Look,
}

/// What people see of a challenge, and who may read it.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Whom a person may ask who cannot pass.
    pub contact: Option<String>,
    /// Name, logo and colour of the operator.
    pub brand: Brand,
    /// The origins whose scripts may read challenges and redeem, as `Origin` fields say them.
    pub origins: Vec<String>,
    /// Where a stronger sign-in is, where there is one.
    pub sign_in: Option<String>,
}

/// The keys of a desk, in two rings as puzzles and clearances have different lives.
#[derive(Debug)]
pub struct Rings {
    /// Signs puzzles and waits. Made anew by each process: the spent set begins empty, so that a puzzle which
    /// outlived a restart could be redeemed a second time.
    pub puzzles: KeyRing,
    /// Signs clearances. Where it is kept, clearances outlive a restart.
    pub clearances: ClearanceKeys,
}

/// How many clearances are counted at once: 8 MiB.
const COUNTED_CLEARANCES: usize = 1 << 16;

/// Whom a puzzle or a clearance is for, as this request shows it.
#[derive(Clone, Debug)]
pub struct Holder {
    site: String,
    network: Network,
    family: &'static str,
    print: HandshakePrint,
    scheme: Scheme,
}

impl Holder {
    /// The holder that a request shows.
    pub fn of(site: &str, client: ClientAddr, known: &AddressFacts, claim: &Claim, scheme: Scheme) -> Self {
        Self {
            site: site.to_owned(),
            network: network(client, known),
            family: family(claim),
            print: HandshakePrint::default(),
            scheme,
        }
    }

    /// The same, bound to the handshake of the client's own connection too.
    #[must_use]
    pub fn shaking(self, tls: Option<&TlsInfo>) -> Self {
        Self { print: HandshakePrint::of(tls), ..self }
    }

    pub(crate) fn binding(&self) -> Binding<'_> {
        binding(&self.site, self.network, self.family, &self.print)
    }

    /// How the client's side speaks.
    pub(crate) const fn scheme(&self) -> Scheme {
        self.scheme
    }
}

fn binding<'a>(site: &'a str, network: Network, family: &'a str, print: &'a HandshakePrint) -> Binding<'a> {
    Binding { site, network, family: family.as_bytes(), fingerprint: print.bytes(), ..Binding::default() }
}

/// What of a handshake stays the same over the connections of a client, resumed ones too: the stable print without its
/// part of application protocols, of which browsers offer others for a WebSocket. Nothing where there was none, or it was
/// a proxy's.
#[derive(Clone, Copy, Debug, Default)]
struct HandshakePrint(Option<[u8; 24]>);

impl HandshakePrint {
    fn of(tls: Option<&TlsInfo>) -> Self {
        Self(tls.map(|tls| {
            let print = tls.stable();
            let mut bytes = [0; 24];
            let parts = print.ciphers().bytes().chain(print.extensions().bytes());
            for (place, byte) in bytes.iter_mut().zip(parts) {
                *place = byte;
            }
            bytes
        }))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], <[u8; 24]>::as_slice)
    }
}

fn network(client: ClientAddr, known: &AddressFacts) -> Network {
    Network::of(client.0, known.asn.map(|asn| asn.0))
}

/// What of the User-Agent stays the same while a clearance lasts: the tool's name or the browser family.
fn family(claim: &Claim) -> &'static str {
    claim.name.unwrap_or_else(|| claim.family.name())
}

/// The strength of a route's puzzle, the same when it is asked for and when it is looked for.
fn strength(puzzle: &model::Puzzle) -> Strength {
    Strength::new(puzzle.difficulty_bits, puzzle.count).unwrap_or(Strength::BALANCED)
}

impl ChallengeDesk {
    /// A desk that signs with `rings` and remembers `capacity` spent puzzles, and as many waits. `salt` is random.
    pub fn new(rings: Rings, capacity: usize, look: Look, salt: u64) -> Self {
        Self {
            puzzles: Arc::new(rings.puzzles),
            clearances: ArcSwap::from_pointee(rings.clearances),
            spent: Arc::new(SpentSet::new(capacity)),
            waited: SpentSet::new(capacity),
            budgets: Budgets::new(COUNTED_CLEARANCES, Budget::default(), salt),
            revocations: ArcSwap::default(),
            memory_hard: Arc::new(memory_hard::Checks::for_this_machine()),
            ledger: Ledger::default(),
            look,
        }
    }

    /// Has other keys sign clearances from now on; whether they were other ones. Who holds what the ones before signed
    /// keeps it.
    ///
    /// # Errors
    ///
    /// Where the hash function refuses a key.
    pub fn rotate(&self, keys: ClearanceKeys) -> Result<bool, KeyRingError> {
        let running = self.clearances.load();
        if keys.begins(&running) {
            return Ok(false);
        }
        self.clearances.store(Arc::new(keys.after(&running)?));
        Ok(true)
    }

    /// The ring that puzzles, waits and responses are signed with.
    pub fn puzzle_ring(&self) -> &KeyRing {
        &self.puzzles
    }

    /// The puzzles that were redeemed and not yet forgotten.
    pub fn spent(&self) -> &SpentSet {
        &self.spent
    }

    /// The waits that were redeemed and not yet forgotten.
    pub const fn waited(&self) -> &SpentSet {
        &self.waited
    }

    /// How much the clearances in use were used.
    pub const fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// What became of the challenges that were shown.
    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The clearance for what somebody else vouches for.
    pub(crate) fn vouch(&self, holder: &Holder, level: Level, ttl: Duration, now: Now) -> Result<String, Refusal> {
        let keys = self.clearances.load();
        Ok(Clearance::issue(keys.ring(), fresh()?, level, &holder.binding(), now.unix_millis(), ttl))
    }

    /// Where a stronger sign-in is, where there is one.
    pub(crate) fn sign_in(&self) -> Option<&str> {
        self.look.sign_in.as_deref()
    }

    /// Has scripts of the origins that the operator names read an answer of the gateway (Fetch §3.3).
    pub(crate) fn readable(&self, headers: &HeaderMap, reply: Reply) -> Reply {
        let Some(origin) = self.allowed_origin(headers) else { return reply };
        reply
            .with("access-control-allow-origin", origin.to_owned())
            .with("access-control-allow-credentials", "true")
            .with("access-control-expose-headers", EXPOSED)
            .with("vary", "accept, accept-language, cookie, origin, user-agent")
    }

    /// The origin of a request, where the operator names it: never one that is only said.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<&str> {
        if self.look.origins.is_empty() {
            return None;
        }
        let said = headers.get(http::header::ORIGIN)?.as_bytes();
        self.look.origins.iter().map(String::as_str).find(|origin| origin.as_bytes() == said)
    }
}

/// What of an answer's header a script of another origin may read.
const EXPOSED: &str = "portcullis-action, portcullis-request-id, ratelimit, ratelimit-policy, retry-after";

/// The texts in the language that a request asks for.
fn texts(headers: &HeaderMap) -> &'static Texts {
    let field = headers.get(http::header::ACCEPT_LANGUAGE).and_then(|field| field.to_str().ok());
    Texts::negotiate(field.unwrap_or_default())
}

/// One step of one challenge, as the record of its request says it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// What happened.
    pub step: Step,
    /// The rung that was asked for or reached; the lowest where no token held.
    pub rung: Level,
    /// What the evidence showed.
    pub findings: Signals,
}

/// What happened to a challenge.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// It was shown.
    Shown,
    /// It ended with a clearance, so long after it was shown.
    Solved(Duration),
    /// A clearance was renewed, so long after that was offered.
    Renewed(Duration),
    /// It was not accepted.
    Refused(Refusal),
}

impl Step {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Solved(_) => "solved",
            Self::Renewed(_) => "renewed",
            Self::Refused(_) => "refused",
        }
    }
}

impl Seen {
    fn refused(refusal: Refusal) -> Self {
        Self { step: Step::Refused(refusal), rung: Level::Transparent, findings: Signals::default() }
    }

    fn shown(rung: Level) -> Self {
        Self { step: Step::Shown, rung, findings: Signals::default() }
    }
}

/// How much a clearance is worth: a higher rung, then more work, then a longer life.
fn worth(level: Level, work: Option<Strength>, expires_at: UnixMillis) -> (Level, u64, u64) {
    (level, work.map_or(0, Strength::expected_hashes), expires_at.0)
}

fn worth_of(clearance: &Clearance) -> (Level, u64, u64) {
    worth(clearance.level, clearance.work, clearance.expires_at)
}

/// Sixteen fresh random bytes, or that the gateway is too busy to have any.
fn fresh() -> Result<[u8; 16], Refusal> {
    random::bytes().map_err(|random::Unavailable| Refusal::Busy)
}
