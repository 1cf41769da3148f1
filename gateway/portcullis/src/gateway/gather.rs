//! From a session to facts, and from facts to a verdict.

use std::sync::{Arc, OnceLock};

use portcullis_challenge::Scheme;
use portcullis_fingerprint::Http2Print;
use portcullis_intel::{AddressFacts, Intel};
use portcullis_policy::{Decision, RouteId, model};
use portcullis_signals::{
    Ban, Behaviour, Caller, CanonicalRequest, Claim, ClientAddr, ConnectionJudgement, Context, Coverage, Facts,
    Families, Http, LimitReading, Outcomes, PeerAddr, RequestHead, Tls,
};
use portcullis_velocity::{Key, Window};
use smallvec::SmallVec;

use super::Gateway;
use super::keys::{ClientKeys, SharerKeys, limit_key};
use super::memory::{Asking, Connection, Recall};
use super::policy::{OUTCOME_WINDOW, Policy, RoutePlan, VELOCITY_WINDOW};
use crate::accept::ConnInfo;
use crate::clock::Now;

/// What was found about a request, and what was decided.
#[derive(Debug)]
pub struct Judged {
    /// The verdict.
    pub decision: Decision,
    /// Who asks.
    pub client: ClientAddr,
    /// What is known of the client's network.
    pub network: AddressFacts,
    /// What the client says it is.
    pub claim: Claim,
    /// Whether rows say what that looks like.
    pub coverage: Coverage,
    /// How busy it has been.
    pub behaviour: Behaviour,
    /// What the origin answered before.
    pub outcomes: Outcomes,
    /// One reading for each limit of the route.
    pub limits: SmallVec<[LimitReading; 4]>,
    /// What the origin's answer is counted under.
    pub charges: Charges,
    /// The canonical path and the query, where they differ from what was sent and the route enforces.
    pub target: Option<String>,
    /// Whether the client holds a clearance.
    pub cleared: bool,
    /// What the request is remembered by when it is over.
    pub recall: Option<Recall>,
}

/// Whether a request counts towards the velocity of its client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Counting {
    On,
    Off,
}

/// What need not be found out again for the next request of a connection.
#[derive(Default)]
struct Remembered {
    network: OnceLock<KnownNetwork>,
    claim: OnceLock<(Box<[u8]>, Claim)>,
    connection: OnceLock<KnownConnection>,
    met: OnceLock<()>,
}

impl Remembered {
    fn of(conn: &ConnInfo) -> Option<&Self> {
        conn.cache.get_or_init(|| Arc::new(Self::default())).downcast_ref()
    }

    /// Whether this is the first request of the connection, also where several come at once.
    fn meets(conn: &ConnInfo) -> Connection {
        let first =
            Self::of(conn).is_some_and(|remembered| remembered.met.get().is_none() && remembered.met.set(()).is_ok());
        if first { Connection::New } else { Connection::Known }
    }

    /// The claim of a User-Agent; the first of a connection is kept, and nearly always it is the only one.
    fn claim(conn: &ConnInfo, user_agent: &[u8]) -> Claim {
        let Some(remembered) = Self::of(conn) else { return Claim::of(user_agent) };
        let (first, claim) = remembered.claim.get_or_init(|| (Box::from(user_agent), Claim::of(user_agent)));
        if **first == *user_agent { *claim } else { Claim::of(user_agent) }
    }

    /// What the connection shows beside a claim; that of its first request is kept, under the rows of that time.
    fn connection<'a>(
        conn: &'a ConnInfo,
        families: &Arc<Families>,
        claim: &Claim,
        shown: &Shown<'_>,
    ) -> Option<&'a ConnectionJudgement> {
        let fresh = || KnownConnection {
            judgement: shown.judged(families, claim),
            by: Arc::clone(families),
            whose: shown.whose,
        };
        let known = Self::of(conn)?.connection.get_or_init(fresh);
        let same = known.whose == shown.whose && *known.judgement.claim() == *claim;
        (same && Arc::ptr_eq(&known.by, families)).then_some(&known.judgement)
    }
}

/// What a connection shows beside the claim of its first request, and by which rows.
struct KnownConnection {
    judgement: ConnectionJudgement,
    by: Arc<Families>,
    whose: Whose,
}

/// What the connection shows of the client: nothing where it is that of a proxy which named the client.
struct Shown<'a> {
    whose: Whose,
    tls: Option<Tls<'a>>,
    http2: Option<&'a Http2Print>,
}

/// Whose connection a request came by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whose {
    Clients,
    Proxys,
}

impl<'a> Shown<'a> {
    fn of(conn: &'a ConnInfo, client: ClientAddr) -> Self {
        let whose = if client.0 == conn.client.ip() { Whose::Clients } else { Whose::Proxys };
        let tls = conn.tls_of(client.0).map(|tls| Tls {
            version: tls.version.into(),
            hello: &tls.hello,
            ja3: tls.ja3,
            ja4: tls.ja4,
            resumed: tls.resumed,
        });
        Self { whose, tls, http2: conn.http2_print_of(client.0) }
    }

    fn judged(&self, families: &Families, claim: &Claim) -> ConnectionJudgement {
        ConnectionJudgement::of(families, claim, self.tls.as_ref(), self.http2)
    }
}

/// How the client's side speaks, by which the cookie of a clearance has its name.
pub(super) fn scheme(conn: &ConnInfo) -> Scheme {
    if conn.tls.is_some() { Scheme::Https } else { Scheme::Http }
}

/// What was known of a connection's address, and by which snapshot.
struct KnownNetwork {
    facts: AddressFacts,
    by: Arc<Intel>,
}

/// The numbers of the counters that stand beside that of a client's requests.
const ANSWERS: u64 = 1;
const FAILURES: u64 = 2;

/// The counters that the origin's answer goes to.
#[derive(Debug)]
pub struct Charges {
    /// Every answer since the first failed one.
    pub answers: Key,
    /// Failed ones.
    pub failures: Key,
    /// Whether there were failed ones before.
    pub failing: bool,
    /// Failed ones, under the route's limits on failures.
    pub limits: SmallVec<[(Key, Window); 2]>,
}

impl Gateway {
    /// Gathers the facts of a request and decides.
    pub(crate) fn judge(
        &self,
        policy: &Policy,
        head: &RequestHead<'_>,
        conn: &ConnInfo,
        http: Http,
        now: Now,
    ) -> Judged {
        let request = CanonicalRequest::of(head);
        let client = self.trusted.client(PeerAddr(conn.client.ip()), head.headers);
        let network = self.network(conn, client);
        let user_agent = request.header(&http::header::USER_AGENT).map_or(&b""[..], http::HeaderValue::as_bytes);
        let claim = Remembered::claim(conn, user_agent);
        let route = policy.rules().plan(&request);
        let keys = ClientKeys::of(self.counters.hasher(), client.0);
        let shown = Shown::of(conn, client);
        let judged_now;
        let connection = match Remembered::connection(conn, policy.families(), &claim, &shown) {
            Some(known) => known,
            None => {
                judged_now = shown.judged(policy.families(), &claim);
                &judged_now
            }
        };
        let mut facts = Facts {
            at: now.unix(),
            request: &request,
            http,
            tls: shown.tls,
            client,
            network: &network,
            claim,
            http2: shown.http2,
            connection: Some(connection),
            context: Context::default(),
            caller: caller(&policy.rules().route(route).identify, &request),
            ban: self.ban_of(&keys, now),
            behaviour: Behaviour::default(),
            outcomes: Outcomes::default(),
            limits: &[],
        };
        let met = Remembered::meets(conn);
        let asking = Asking {
            client: client.0,
            claim: &facts.claim,
            session: facts.caller.session,
            headers: head.headers,
            tls: conn.tls_of(client.0),
            connection: met,
        };
        let recall;
        (facts.context, recall) = self.memory.recall(self.counters.hasher(), &asking, now.millis);
        facts.caller.clearance =
            self.challenge.clearance(&facts, scheme(conn), &policy.rules().route(route).puzzle, now);
        let counting = if facts.ban.is_some() { Counting::Off } else { Counting::On };
        let sharer = facts.sharer().map(|sharer| SharerKeys::of(self.counters.hasher(), client.0, &sharer));
        let (behaviour, outcomes, mut charges) = self.read_behaviour(policy.plan(route), &keys, sharer, counting, now);
        let limits = self.read_limits(policy, route, &facts, &keys, now, &mut charges);
        facts.behaviour = behaviour;
        facts.outcomes = outcomes;
        facts.limits = &limits;
        let decision = policy.rules().decide_on(route, &facts);
        let cleared = facts.caller.clearance.is_some();
        let enforced = decision.mode == model::Mode::Enforce;
        let target = (enforced && request.is_rewritten()).then(|| canonical_target(&request));
        let coverage = connection.coverage();
        if met == Connection::New && shown.whose == Whose::Clients {
            self.prints.note(conn, client, head.headers, now.millis);
        }
        Judged {
            decision,
            client,
            claim,
            coverage,
            behaviour,
            outcomes,
            charges,
            target,
            cleared,
            limits,
            network,
            recall,
        }
    }

    /// What is known of the client's network: looked up once a connection where the connection is the client's own.
    fn network(&self, conn: &ConnInfo, client: ClientAddr) -> AddressFacts {
        let intel = self.intel.load();
        if client.0 != conn.client.ip() {
            return intel.lookup(client.0);
        }
        let known = Remembered::of(conn)
            .map(|remembered| {
                let fresh = || KnownNetwork { facts: intel.lookup(client.0), by: Arc::clone(&intel) };
                remembered.network.get_or_init(fresh)
            })
            .filter(|known| Arc::ptr_eq(&known.by, &intel));
        known.map_or_else(|| intel.lookup(client.0), |known| known.facts.clone())
    }

    fn ban_of(&self, keys: &ClientKeys, now: Now) -> Option<Ban> {
        let ban = self.bans.check(keys.ban(), now.millis)?;
        let remaining_ms = ban.until.0.saturating_sub(now.millis.0);
        Some(Ban { remaining_secs: u32::try_from(remaining_ms.div_ceil(1000)).unwrap_or(u32::MAX) })
    }

    /// Counts the request, and reads how busy its client has been and how it fared.
    fn read_behaviour(
        &self,
        plan: Option<&RoutePlan>,
        keys: &ClientKeys,
        sharer: Option<SharerKeys>,
        counting: Counting,
        now: Now,
    ) -> (Behaviour, Outcomes, Charges) {
        let scope = |scope: fn(&RoutePlan) -> u64| plan.map_or(0, scope);
        let address = scope(|plan| plan.address);
        let requests = keys.address.sibling(address);
        let velocity = Window::new(VELOCITY_WINDOW);
        // INVARIANT: what a ban refuses counts for nothing, so that who waits it out is clean.
        let read = |key| match counting {
            Counting::On => self.counters.observe(key, velocity, 1, now.millis).count,
            Counting::Off => self.counters.peek(key, velocity, now.millis).count,
        };
        let behaviour = Behaviour {
            address_per_minute: read(requests),
            prefix_per_minute: read(keys.prefix.sibling(scope(|plan| plan.prefix))),
            fingerprint_per_minute: sharer.map_or(0, |sharer| read(sharer.fingerprint.sibling(address))),
            named_per_minute: sharer.and_then(|sharer| sharer.named).map_or(0, |named| read(named.sibling(address))),
        };
        let mut charges = Charges {
            answers: requests.sibling(ANSWERS),
            failures: requests.sibling(FAILURES),
            failing: false,
            limits: SmallVec::new(),
        };
        let mut outcomes = Outcomes::default();
        if !self.quiet.is_quiet(address, now.millis) {
            let outcome = Window::new(OUTCOME_WINDOW);
            outcomes.failures = self.counters.peek(charges.failures, outcome, now.millis).count;
            charges.failing = outcomes.failures > 0;
            if charges.failing {
                outcomes.attempts = self.counters.peek(charges.answers, outcome, now.millis).count;
            }
        }
        (behaviour, outcomes, charges)
    }

    fn read_limits(
        &self,
        policy: &Policy,
        route: RouteId,
        facts: &Facts<'_>,
        keys: &ClientKeys,
        now: Now,
        charges: &mut Charges,
    ) -> SmallVec<[LimitReading; 4]> {
        let Some(plan) = policy.plan(route) else { return SmallVec::new() };
        let limits = policy.rules().route(route).limits.iter().zip(&plan.limits);
        limits
            .map(|(limit, window)| {
                let key = limit_key(self.counters.hasher(), keys, limit, facts);
                let read = match limit.count {
                    // INVARIANT: as for velocity, what a ban refuses counts for nothing.
                    model::Count::Requests if facts.ban.is_some() => {
                        self.counters.peek_limited(key, *window, limit.limit, 1, now.millis)
                    }
                    model::Count::Requests => self.counters.observe_limited(key, *window, limit.limit, 1, now.millis),
                    model::Count::Failures => {
                        charges.limits.push((key, *window));
                        self.counters.peek_limited(key, *window, limit.limit, 1, now.millis)
                    }
                };
                LimitReading {
                    count: read.count,
                    over: !read.is_admitted(),
                    retry_after_ms: u32::try_from(read.retry_after_ms).unwrap_or(u32::MAX),
                }
            })
            .collect()
    }

    /// Counts an answer of the origin, and whether the route calls it failed.
    ///
    /// Answers are counted from a client's first failure on: before it there is no ratio to know.
    pub(crate) fn charge(&self, policy: &Policy, route: RouteId, charges: &Charges, status: u16, now: Now) {
        let outcome = Window::new(OUTCOME_WINDOW);
        let failed = policy.rules().route(route).failure.status.contains(&status);
        if failed || charges.failing {
            self.counters.observe(charges.answers, outcome, 1, now.millis);
        }
        if failed {
            self.quiet.note_failure(policy.plan(route).map_or(0, |plan| plan.address), now.millis);
            self.counters.observe(charges.failures, outcome, 1, now.millis);
            for (key, window) in &charges.limits {
                self.counters.observe(*key, *window, 1, now.millis);
            }
        }
    }
}

fn canonical_target(request: &CanonicalRequest<'_>) -> String {
    let path = request.path().as_str();
    request.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// Whose request it is, by what the route says of where that stands.
pub(crate) fn caller<'a>(identify: &model::Identify, request: &CanonicalRequest<'a>) -> Caller<'a> {
    let read = |place: &Option<model::Place>| {
        let value = match place.as_ref()? {
            model::Place::Header(name) => request.only_header(name).and_then(|value| value.to_str().ok()),
            model::Place::Cookie(name) => request.cookie(name),
            model::Place::Query(name) => request.query_value(name),
        };
        value.filter(|value| !value.is_empty())
    };
    Caller {
        user: read(&identify.user),
        api_key: read(&identify.api_key),
        session: read(&identify.session),
        clearance: None,
        own: &[],
    }
}
