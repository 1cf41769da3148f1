//! From a session to facts, and from facts to a verdict.

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use portcullis_challenge::{Clearance, Refusal, Scheme};
use portcullis_fingerprint::Http2Print;
use portcullis_intel::{AddressFacts, Intel, NetworkClass};
use portcullis_policy::model::{BodyPrefix, KeyPart};
use portcullis_policy::{Cause, Decision, Keyed, RouteId, model};
use portcullis_signals::{
    Ban, Behaviour, Caller, CanonicalRequest, Claim, ClientAddr, Conduct, ConnectionJudgement, Coverage, Facts,
    Families, Http, Kind, Outcomes, OwnSignal, PeerAddr, Proof, RequestHead, Tls,
};
use portcullis_velocity::{BanKind, Key, Window};
use smallvec::SmallVec;

use super::Gateway;
use super::challenge::{evidence_of, falls_back, level_of, opens, posture_for};
use super::conduct::ConductKeys;
use super::keys::{ClientKeys, SharerKeys, facts_ban_key, limit_ban_key, limit_key, part_ban_kind, user_number};
use super::limits::Limited;
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
    /// What the limits of the route found.
    pub limited: Limited,
    /// What is remembered of the client, and of those like it.
    pub conduct: Conduct,
    /// Under what the conduct of the request is noted; none where the route is not known.
    pub conduct_keys: Option<ConductKeys>,
    /// What the origin's answer is counted under.
    pub charges: Charges,
    /// The canonical path and the query, where they differ from what was sent and the route enforces.
    pub target: Option<String>,
    /// How the client speaks, with the gateway or with a trusted proxy before it.
    pub scheme: Scheme,
    /// Whether the client holds a clearance that is enough here.
    pub cleared: bool,
    /// What stands for the user in audit records; none where the request names none.
    pub user: Option<u64>,
    /// The clearance that it carries, enough or not, where that is good.
    pub held: Option<Clearance>,
    /// Why the one that it carries is not.
    pub not_held: Option<Refusal>,
    /// Who is to be banned, where that was decided.
    pub to_ban: Option<(BanKind, Key)>,
    /// What the request is remembered by when it is over.
    pub recall: Option<Recall>,
}

/// By what a request is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct On<'a> {
    /// The policy.
    pub(crate) policy: &'a Policy,
    /// What of the request.
    pub(crate) asked: Asked,
}

/// What is judged of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// What it says.
    Itself,
    /// What it says, on this route and not its own.
    On(RouteId),
    /// What could be told of it, as it could not be read.
    Unreadable,
}

/// What was counted before a request, and is charged after it.
struct Past {
    charges: Charges,
    limited: Limited,
    conduct_keys: Option<ConductKeys>,
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
    /// Set by the first request.
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

/// What was known of a connection's address, and by which snapshot.
struct KnownNetwork {
    facts: AddressFacts,
    // A connection may last for days: it is not to keep a snapshot in memory that was replaced long ago.
    by: Weak<Intel>,
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
}

impl Gateway {
    /// Gathers the facts of a request and decides. `body` is the beginning of its body, where the route reads that.
    pub(crate) fn judge(
        &self,
        policy: &Policy,
        head: &RequestHead<'_>,
        conn: &ConnInfo,
        http: Http,
        body: Option<BodyPrefix<'_>>,
        now: Now,
    ) -> Box<Judged> {
        self.judge_on(On { policy, asked: Asked::Itself }, head, conn, http, body, now)
    }

    /// The same of what is asked.
    pub(crate) fn judge_on(
        &self,
        On { policy, asked }: On<'_>,
        head: &RequestHead<'_>,
        conn: &ConnInfo,
        http: Http,
        body: Option<BodyPrefix<'_>>,
        now: Now,
    ) -> Box<Judged> {
        let request = match asked {
            Asked::Unreadable => CanonicalRequest::unreadable(head),
            Asked::Itself | Asked::On(_) => CanonicalRequest::of(head),
        };
        let client = self.trusted.client(PeerAddr(conn.client.ip()), head.headers);
        let mut network = self.network(conn, client);
        let user_agent = request.header(&http::header::USER_AGENT).map_or(&b""[..], http::HeaderValue::as_bytes);
        let claim = Remembered::claim(conn, user_agent);
        let crawler_proof = self.crawler_proof(&claim, client, &mut network, now);
        let route_id = match asked {
            Asked::On(route) => route,
            Asked::Itself | Asked::Unreadable => policy.rules().plan(&request),
        };
        let route = policy.rules().route(route_id);
        let keys = ClientKeys::of(self.counters.hasher(), client.0);
        let shown = Shown::of(conn, client);
        let judged_now = OnceCell::new();
        let connection = Remembered::connection(conn, policy.families(), &claim, &shown)
            .unwrap_or_else(|| judged_now.get_or_init(|| shown.judged(policy.families(), &claim)));
        let fields = route.reads.fields(&request, body);
        let known = self.identity.read(conn.client.ip(), &request);
        let own: SmallVec<[OwnSignal<'_>; 4]> =
            known.iter().map(|(name, own)| OwnSignal { name, value: own.value() }).collect();
        let mut facts = Facts {
            at: now.unix(),
            http,
            tls: shown.tls,
            crawler_proof,
            http2: shown.http2,
            connection: Some(connection),
            caller: Caller { own: &own, ..route.identify.caller(&request, &fields) },
            fields: &fields,
            ..Facts::claiming(claim, &request, client, &network)
        };
        facts.ban = self.ban_of(route, &facts, &keys, now);
        let met = Remembered::meets(conn);
        let recall = self.recall(&mut facts, head, conn, met, now);
        let scheme = self.scheme(conn, head.headers);
        let held = self.challenge.clearance(&facts, conn.tls_of(client.0), scheme, now);
        let (held, not_held) = held.map_or_else(|refusal| (None, Some(refusal)), |held| (held, None));
        facts.caller.clearance = held.as_ref().and_then(level_of);
        let past = self.read_past(policy, route_id, &mut facts, &keys, now);
        facts.limits = &past.limited.readings;
        facts.conduct.evidence = held.as_ref().map(evidence_of).unwrap_or_default();
        let decision = self.decide(policy, route_id, &mut facts, held.as_ref(), now);
        let cleared = facts.caller.clearance.is_some();
        let user = facts.caller.user.map(|user| user_number(self.counters.hasher(), user));
        let to_ban = (decision.action == model::Action::Ban && decision.cause != Cause::Ban)
            .then(|| self.to_ban(route, &decision, &facts, &keys))
            .flatten();
        let (behaviour, outcomes, conduct) = (facts.behaviour, facts.outcomes, facts.conduct);
        let enforced = decision.mode == model::Mode::Enforce;
        let target = (enforced && request.is_rewritten()).then(|| canonical_target(&request));
        let coverage = connection.coverage();
        if met == Connection::New && shown.whose == Whose::Clients {
            self.prints.note(conn, client, head.headers, now.millis);
        }
        let Past { charges, mut limited, conduct_keys } = past;
        if decision.action != model::Action::Allow {
            // What is refused is not under way.
            limited.running.clear();
        }
        Box::new(Judged {
            decision,
            client,
            claim,
            coverage,
            behaviour,
            outcomes,
            conduct,
            charges,
            limited,
            conduct_keys,
            target,
            scheme,
            cleared,
            user,
            held,
            not_held,
            to_ban,
            network,
            recall,
        })
    }

    /// Decides; where the clearance is not enough for what the route asks at this score, as if there were none.
    fn decide(
        &self,
        policy: &Policy,
        route_id: RouteId,
        facts: &mut Facts<'_>,
        held: Option<&Clearance>,
        now: Now,
    ) -> Decision {
        let decision = policy.rules().decide_on(route_id, facts);
        let route = policy.rules().route(route_id);
        let lasting = || policy.plan(route_id).map_or(Duration::MAX, |plan| plan.state.posture_lasts(now.millis));
        let is_short = |held: &&Clearance| {
            let posture = posture_for(held, decision.posture, lasting, now);
            !opens(held, route, decision.raw, posture, self.sign_in())
        };
        let Some(held) = held.filter(is_short) else { return decision };
        let level = facts.caller.clearance.take();
        let without = policy.rules().decide_on(route_id, facts);
        if falls_back(&without, held, route) {
            return without;
        }
        facts.caller.clearance = level;
        decision
    }

    /// Whom a ban is on: what the limit counts by that says so, where one does; else the client's address. Who lacks what a
    /// limit counts by is counted with his neighbours, and nobody is banned for those.
    fn to_ban(
        &self,
        route: &model::Route,
        decision: &Decision,
        facts: &Facts<'_>,
        keys: &ClientKeys,
    ) -> Option<(BanKind, Key)> {
        let limit = decision.limit.and_then(|at| route.limits.get(usize::from(at)));
        let hasher = self.counters.hasher();
        let on_address = Some((BanKind::Address, keys.ban()));
        let Some(limit) = limit else { return on_address };
        match limit.key.as_slice() {
            [KeyPart::Ip] => on_address,
            _ if limit.lacks_a_part(route, facts) => None,
            [part] if part_ban_kind(part).is_some() => {
                part_ban_kind(part).and_then(|kind| Some((kind, facts_ban_key(hasher, kind, facts)?)))
            }
            _ => match limit_key(hasher, keys, limit, route, facts) {
                Keyed::Under(key) => Some((BanKind::Other, limit_ban_key(key))),
                Keyed::Skip | Keyed::Refuse => on_address,
            },
        }
    }

    /// What is remembered of the client's earlier requests, and what this one is noted by.
    fn recall(
        &self,
        facts: &mut Facts<'_>,
        head: &RequestHead<'_>,
        conn: &ConnInfo,
        connection: Connection,
        now: Now,
    ) -> Option<Recall> {
        let asking = Asking {
            client: facts.client.0,
            claim: &facts.claim,
            session: facts.caller.session,
            headers: head.headers,
            tls: conn.tls_of(facts.client.0),
            connection,
        };
        let (context, recall) = self.memory.recall(self.counters.hasher(), &asking, now.millis);
        facts.context = context;
        recall
    }

    /// Counts the request, and reads what was counted before.
    fn read_past(&self, policy: &Policy, route: RouteId, facts: &mut Facts<'_>, keys: &ClientKeys, now: Now) -> Past {
        let plan = policy.plan(route);
        let counting = if facts.ban.is_some() { Counting::Off } else { Counting::On };
        let sharer = facts.sharer().map(|sharer| SharerKeys::of(self.counters.hasher(), facts.client.0, &sharer));
        let (behaviour, outcomes, charges) = self.read_behaviour(plan, keys, sharer, counting, now);
        facts.behaviour = behaviour;
        facts.outcomes = outcomes;
        let mut conduct_keys = None;
        if let Some(plan) = plan {
            facts.posture = plan.state.posture(now.millis);
            let (conduct, keys) = self.conduct(&plan.state, plan, facts, keys, now);
            facts.conduct = conduct;
            conduct_keys = Some(keys);
        }
        let limited = self.read_limits(policy, route, facts, keys, now);
        Past { charges, limited, conduct_keys }
    }

    /// How the client speaks, by which the cookie of a clearance has its name.
    fn scheme(&self, conn: &ConnInfo, headers: &http::HeaderMap) -> Scheme {
        let is_https = conn.tls.is_some() || self.trusted.says_https(PeerAddr(conn.client.ip()), headers);
        if is_https { Scheme::Https } else { Scheme::Http }
    }

    /// What is known of the client's network: looked up once a connection where the connection is the client's own.
    fn network(&self, conn: &ConnInfo, client: ClientAddr) -> AddressFacts {
        let intel = self.intel.load();
        if client.0 != conn.client.ip() {
            return intel.lookup(client.0);
        }
        let known = Remembered::of(conn)
            .map(|remembered| {
                let fresh = || KnownNetwork { facts: intel.lookup(client.0), by: Arc::downgrade(&intel) };
                remembered.network.get_or_init(fresh)
            })
            .filter(|known| std::ptr::eq(known.by.as_ptr(), Arc::as_ptr(&intel)));
        known.map_or_else(|| intel.lookup(client.0), |known| known.facts.clone())
    }

    /// Whether name servers confirm a claim to be a crawler, which then is among the classes of its network.
    fn crawler_proof(&self, claim: &Claim, client: ClientAddr, network: &mut AddressFacts, now: Now) -> Proof {
        let named = claim.name.filter(|_| claim.kind == Kind::Crawler);
        let Some(name) = named.filter(|_| !network.classes.contains(NetworkClass::Crawler)) else {
            return Proof::Unverified;
        };
        let proof = self.crawlers.verify(client.0, name, now.millis);
        if proof == Proof::Verified {
            network.classes.insert(NetworkClass::Crawler);
        }
        proof
    }

    /// The ban in force on the client: on its address, on anything else that it is known by, or on what a limit of the
    /// route counts it by.
    pub(super) fn ban_of(&self, route: &model::Route, facts: &Facts<'_>, keys: &ClientKeys, now: Now) -> Option<Ban> {
        let on_address = self.bans.check(keys.ban(), now.millis);
        let ban = on_address
            .or_else(|| self.ban_by_name(facts, now))
            .or_else(|| self.ban_by_limit(route, facts, keys, now))?;
        let remaining_ms = ban.until.0.saturating_sub(now.millis.0);
        Some(Ban { remaining_secs: u32::try_from(remaining_ms.div_ceil(1000)).unwrap_or(u32::MAX) })
    }

    fn ban_by_name(&self, facts: &Facts<'_>, now: Now) -> Option<portcullis_velocity::Ban> {
        BanKind::ALL.into_iter().filter(|kind| self.bans.has_any(*kind)).find_map(|kind| {
            let key = facts_ban_key(self.counters.hasher(), kind, facts)?;
            self.bans.check_as(kind, key, now.millis)
        })
    }

    fn ban_by_limit(
        &self,
        route: &model::Route,
        facts: &Facts<'_>,
        keys: &ClientKeys,
        now: Now,
    ) -> Option<portcullis_velocity::Ban> {
        if !self.bans.has_any(BanKind::Other) {
            return None;
        }
        route.limits.iter().find_map(|limit| {
            let Keyed::Under(key) = limit_key(self.counters.hasher(), keys, limit, route, facts) else { return None };
            self.bans.check_as(BanKind::Other, limit_ban_key(key), now.millis)
        })
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
        let prefix = keys.prefix.sibling(scope(|plan| plan.prefix));
        // What each of them would wait for is waited for once.
        let named = sharer.and_then(|sharer| sharer.named).map(|named| named.sibling(address));
        let looks = sharer.map(|sharer| sharer.fingerprint.sibling(address));
        let warmed: SmallVec<[Key; 4]> = [Some(requests), Some(prefix), looks, named].into_iter().flatten().collect();
        self.counters.warm(&warmed);
        let velocity = Window::new(VELOCITY_WINDOW);
        // INVARIANT: what a ban refuses counts for nothing, so that who waits it out is clean.
        let read = |key| match counting {
            Counting::On => self.counters.observe(key, velocity, 1, now.millis).count,
            Counting::Off => self.counters.peek(key, velocity, now.millis).count,
        };
        let behaviour = Behaviour {
            address_per_minute: read(requests),
            prefix_per_minute: read(prefix),
            fingerprint_per_minute: looks.map_or(0, read),
            named_per_minute: named.map_or(0, read),
        };
        let mut charges =
            Charges { answers: requests.sibling(ANSWERS), failures: requests.sibling(FAILURES), failing: false };
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

    /// Counts an answer of the origin, and whether the route calls it failed.
    ///
    /// Answers are counted from a client's first failure on: before it there is no ratio to know.
    pub(crate) fn charge(&self, policy: &Policy, route: RouteId, charges: &Charges, failed: bool, now: Now) {
        let outcome = Window::new(OUTCOME_WINDOW);
        if failed || charges.failing {
            self.counters.observe(charges.answers, outcome, 1, now.millis);
        }
        if failed {
            self.quiet.note_failure(policy.plan(route).map_or(0, |plan| plan.address), now.millis);
            self.counters.observe(charges.failures, outcome, 1, now.millis);
        }
    }
}

fn canonical_target(request: &CanonicalRequest<'_>) -> String {
    let path = request.path().as_str();
    request.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}
