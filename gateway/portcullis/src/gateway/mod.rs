//! The gateway: what it knows, and how it serves a request.
//!
//! A request passes through here as the drawing in the design: `gather` makes facts and asks the policy, `own_answer`
//! answers in the origin's place by the words of `enforce`, `upstream` tells the origin what was found, `proxy` joins
//! them to Pingora, and `request` concludes it: `record` says what happened, once, to metrics and audit alike.

mod answer;
mod behaviour;
mod body;
pub mod challenge;
mod conduct;
pub(crate) mod coverage;
mod enforce;
mod gather;
mod guard;
mod head;
mod keys;
mod left_open;
mod limits;
mod memory;
mod own_answer;
mod policy;
mod proxy;
mod quiet;
mod record;
mod refusal;
mod reply;
mod request;
pub(crate) mod shadow;
pub mod sites;
mod subject;
mod trial;
mod unread;
mod upstream;
mod waiting;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use portcullis_challenge::VerdictSigner;
use portcullis_intel::Intel;
use portcullis_signals::TrustedProxies;
use portcullis_velocity::{BanKind, Bans, Counters};

use crate::accept::Admission;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::identity::Identity;
use crate::intel::{Board, CrawlerProofs};
use crate::metrics::Metrics;
use crate::origins::Origins;
use crate::request_id::RequestIds;
use challenge::ChallengeDesk;

pub use answer::Answer;
pub use behaviour::{Behaviours, RouteState};
pub use coverage::{PrintAlarms, PrintShare};
pub use gather::Judged;
pub use memory::{ClientMemory, Recall};
pub use policy::Policy;
pub use proxy::Door;
pub use quiet::QuietRoutes;
pub use record::{Outcome, Record};
pub use subject::{Subject, SubjectError};
pub use trial::{Trial, Watched};
pub use unread::name_any_fault;

/// Everything that serving a request reads or counts.
#[derive(Debug)]
pub struct Gateway {
    /// The policy in force; swapped whole by a reload.
    pub policy: ArcSwap<Policy>,
    /// A policy that a share of clients is judged by before the others.
    pub trial: ArcSwapOption<Trial>,
    /// What is known of addresses; swapped whole.
    pub intel: Arc<ArcSwap<Intel>>,
    /// How the sources of that fare.
    pub sources: Arc<Board>,
    /// Which crawlers are what they say.
    pub crawlers: Arc<CrawlerProofs>,
    /// Whose word is taken for a client's address.
    pub trusted: TrustedProxies,
    /// Counts over sliding windows.
    pub counters: Counters,
    /// What browsers did before.
    pub memory: ClientMemory,
    /// Bans in force.
    pub bans: Bans,
    /// What is under way, what differed, what failed, and who stands how.
    pub behaviours: Behaviours,
    /// Which routes have had no failed answer lately.
    pub quiet: QuietRoutes,
    /// Which routes have had no failures of many users lately that ended in a success.
    pub stuffed: QuietRoutes,
    /// Whether prints still tell clients apart.
    pub prints: PrintAlarms,
    /// Puzzles and clearances.
    pub challenge: ChallengeDesk,
    /// Sites that are not proxied; none where the settings name none.
    pub sites: Option<sites::Sites>,
    /// Signs verdicts for origins; none where the settings say so.
    pub verdicts: Option<VerdictSigner>,
    /// Reads what the operator's own systems know of callers.
    pub identity: Identity,
    /// The pools of origin servers.
    pub origins: Origins,
    /// Audit records.
    pub audit: Audit,
    /// What Prometheus sees.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Clock,
    /// Names of requests.
    pub request_ids: RequestIds,
    /// Bounds on one request.
    pub bounds: RequestBounds,
}

/// Bounds on one request, from the settings.
#[derive(Clone, Copy, Debug)]
pub struct RequestBounds {
    /// How long a client may pause within a body.
    pub body_timeout: std::time::Duration,
    /// How long a client may take none of an answer.
    pub send_timeout: std::time::Duration,
    /// The largest header section, in bytes.
    pub max_header_bytes: usize,
    /// What becomes of a request whose judgement failed by a fault of ours.
    pub on_fault: OnFault,
}

/// What becomes of a request whose judgement failed by a fault of ours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnFault {
    /// It goes to the origin unjudged.
    Open,
    /// It is refused with 500.
    #[default]
    Closed,
}

impl Admission for Gateway {
    /// A banned client is refused before it has sent a byte.
    fn admits(&self, address: IpAddr) -> bool {
        let now = self.clock.now().millis;
        let hasher = self.counters.hasher();
        let is_banned = self.bans.check(keys::ban_key(hasher, address), now).is_some()
            || self.bans.has_any(BanKind::Prefix) && {
                let key = keys::ban_key_of(hasher, BanKind::Prefix, &keys::prefix_bytes(address));
                self.bans.check_as(BanKind::Prefix, key, now).is_some()
            };
        // A ban of a time when the address was no trusted proxy would shut out everybody behind it.
        !is_banned || self.trusted.trusts(address)
    }
}
