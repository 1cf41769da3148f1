//! What the widget asks for: a puzzle, and a response for its solution.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use pingora::prelude::{Result, Session};
use portcullis_challenge::evidence::{Findings, Observed};
use portcullis_challenge::problem::{self, Problem};
use portcullis_challenge::rung::{Ask, Audience, PageMemory, Posture as Alarm, SignIn};
use portcullis_challenge::site::{Environment, Gate, Origin, SiteKey, SiteMode};
use portcullis_challenge::siteverify::render_response;
use portcullis_challenge::{
    Billable, Binding, Level, Lifetimes, MAX_REDEEM_BYTES, Network, PROBLEM_HEADERS, Proof, Puzzle, RESPONSE_TTL,
    RedeemForm, Refusal, Response, Solved, Strength, UnixMillis,
};
use portcullis_policy::RouteId;
use portcullis_signals::{Http, Posture};
use sha2::{Digest, Sha256};

use super::usage::{Event, SiteState};
use super::verdict::{Verdict, mode, with_evidence};
use super::{SiteSeen, SiteTable, Sites, plain_field, route_of};
use crate::accept::ConnInfo;
use crate::clock::Now;
use crate::gateway::body::read_body;
use crate::gateway::gather::Asked;
use crate::gateway::head::{head_of, user_agent_of};
use crate::gateway::reply::Reply;
use crate::gateway::request::RequestContext;
use crate::gateway::{Gateway, Judged, keys};
use crate::random;

/// How long a puzzle may be worked on: the strictest preset takes an old phone some ten minutes.
const PUZZLE_TTL: Duration = Duration::from_secs(15 * 60);

/// The longest request for a puzzle: a site key.
const MAX_CHALLENGE_BYTES: usize = 512;

/// Over how long a visitor who gets no puzzle is counted as one block, and one who solves none as one failed redeem.
const COUNTED_EVERY: Duration = Duration::from_secs(60 * 60);

/// A widget's request of which the site and the origin are known and allowed.
struct Admitted<'a> {
    site: &'a SiteKey,
    state: &'a SiteState,
    environment: Environment,
    /// As the browser wrote it, and checked to be one.
    origin: String,
    route: RouteId,
    mode: SiteMode,
}

impl Gateway {
    /// Gives a puzzle to a page of a site, when its key, its allowance, and the site's route say that it may have one.
    pub(super) async fn site_challenge(
        &self,
        sites: &Sites,
        session: &mut Session,
        conn: &ConnInfo,
        ctx: &mut RequestContext,
    ) -> Result<Reply> {
        let body = read_body(session, MAX_CHALLENGE_BYTES, self.bounds.body_timeout).await?;
        let now = self.clock.now();
        let table = sites.table.load();
        let admitted = match self.admit(sites, &table, session, &body, Counting::Allowance, ctx) {
            Ok(admitted) => admitted,
            Err(reply) => return Ok(*reply),
        };
        let (site, state) = (admitted.site, admitted.state);
        self.judge_visitor(&admitted, session, conn, ctx, now);
        let Some(judged) = &ctx.judged else { return Ok(admitted.busy(ctx)) };
        let score = judged.decision.score.as_thousandths();
        let verdict = Verdict::of(&judged.decision).with_score(site, score);
        match (verdict, admitted.mode) {
            (Verdict::Block(code), SiteMode::Enforce) => {
                let id = hourly_id(self, site, judged, now);
                state.bill(Billable::EnforcedBlock, admitted.environment, id, now.unix_millis(), &sites.counted);
                if matches!(Verdict::of(&judged.decision), Verdict::Block(_)) {
                    self.ban_if_decided(&ctx.policy, judged, now);
                } else {
                    // It is the preset that says so, not the route.
                    set_aside(ctx);
                }
                return Ok(admitted.blocked(code, ctx));
            }
            (Verdict::Throttle(code, wait_ms), SiteMode::Enforce) => return Ok(admitted.throttled(code, wait_ms, ctx)),
            _ => set_aside(ctx),
        }
        let Some(judged) = &ctx.judged else { return Ok(admitted.busy(ctx)) };
        let Ok(id) = random::bytes() else { return Ok(admitted.busy(ctx)) };
        let strength = strength(site, score, judged.decision.posture);
        let lifetimes = Lifetimes { puzzle: PUZZLE_TTL, clearance: RESPONSE_TTL };
        let binding = binding(site, judged);
        let puzzle = Puzzle::issue(&sites.ring, id, strength, &binding, now.unix_millis(), lifetimes);
        let mut text = String::new();
        problem::render_puzzle(&puzzle, &mut text);
        let reply = admitted.allowed(StatusCode::OK, text);
        ctx.site = Some(seen(admitted.site, admitted.state, Event::Shown));
        Ok(reply)
    }

    /// Takes in a solution, and gives the response that the form carries.
    pub(super) async fn site_redeem(
        &self,
        sites: &Sites,
        session: &mut Session,
        conn: &ConnInfo,
        ctx: &mut RequestContext,
    ) -> Result<Reply> {
        let body = read_body(session, MAX_REDEEM_BYTES, self.bounds.body_timeout).await?;
        let now = self.clock.now();
        let table = sites.table.load();
        // What was issued may be redeemed: the allowance was asked then.
        let admitted = match self.admit(sites, &table, session, &body, Counting::Nothing, ctx) {
            Ok(admitted) => admitted,
            Err(reply) => return Ok(*reply),
        };
        self.judge_visitor(&admitted, session, conn, ctx, now);
        let Some(judged) = &ctx.judged else { return Ok(admitted.busy(ctx)) };
        let binding = binding(admitted.site, judged);
        let (solved, evidence) = match redeem(sites, &body, &binding, now.unix_millis()) {
            Ok(redeemed) => redeemed,
            Err((refusal, counts)) => {
                if counts == Counts::Once {
                    // It took no work to fail, and nobody uses up an allowance by that.
                    let id = hourly_id(self, admitted.site, judged, now);
                    let (of, at) = (admitted.environment, now.unix_millis());
                    admitted.state.bill(Billable::FailedRedeem, of, id, at, &sites.counted);
                }
                set_aside(ctx);
                return Ok(admitted.refused(refusal, ctx));
            }
        };
        let user_agent = user_agent_of(session.req_header());
        let findings = Findings::beside(evidence.as_deref(), &Observed::of(&solved, &user_agent));
        // What the score comes to is siteverify's to say, to the backend; here it would teach the client.
        let verdict = Verdict::of(&judged.decision);
        if let (Verdict::Block(code), SiteMode::Enforce) = (verdict, admitted.mode) {
            let (of, at) = (admitted.environment, now.unix_millis());
            admitted.state.bill(Billable::EnforcedBlock, of, solved.id, at, &sites.counted);
            return Ok(admitted.blocked(code, ctx));
        }
        let text = admitted.response(sites, &solved, findings, judged, now);
        admitted.state.bill(Billable::Solved, admitted.environment, solved.id, now.unix_millis(), &sites.counted);
        let reply = admitted.allowed(StatusCode::OK, text);
        ctx.site = Some(seen(admitted.site, admitted.state, Event::Solved));
        set_aside(ctx);
        Ok(reply)
    }

    /// Finds the site of a widget's request, and asks it whether the page may use it.
    fn admit<'a>(
        &self,
        sites: &Sites,
        table: &'a SiteTable,
        session: &Session,
        body: &[u8],
        counting: Counting,
        ctx: &mut RequestContext,
    ) -> std::result::Result<Admitted<'a>, Box<Reply>> {
        // The request itself is answered, whatever the route of its host would have done.
        set_aside(ctx);
        let key = plain_field(body, "site").unwrap_or_default();
        let Some((site, state)) = table.with_state(table.keys.by_public(key)) else {
            sites.nameless.note(Event::Shut(Gate::UnknownKey));
            ctx.site = Some(SiteSeen { site: String::new(), event: Event::Shut(Gate::UnknownKey) });
            return Err(Box::new(shut(Gate::UnknownKey, ctx)));
        };
        let origin = origin(&session.req_header().headers);
        let counted = match counting {
            Counting::Allowance => state.usage().counts(self.clock.now().unix_millis()).billed(),
            Counting::Nothing => 0,
        };
        match site.admit(origin, counted) {
            Ok(environment) => {
                let rules = ctx.policy.rules();
                let route = route_of(rules, site);
                let (origin, mode) = (origin.unwrap_or_default().to_owned(), mode(site, rules, route));
                Ok(Admitted { site, state, environment, origin, route, mode })
            }
            Err(gate) => {
                ctx.site = Some(seen(site, state, Event::Shut(gate)));
                let reply = shut(gate, ctx);
                // Only a page of the site is told why.
                Err(Box::new(match (gate, origin) {
                    (Gate::Allowance, Some(origin)) => with_origin(reply, origin),
                    _ => reply,
                }))
            }
        }
    }

    /// Judges a visitor by the site's route. A fault of ours in that leaves what was found of the request itself.
    fn judge_visitor(
        &self,
        admitted: &Admitted<'_>,
        session: &Session,
        conn: &ConnInfo,
        ctx: &mut RequestContext,
        now: Now,
    ) {
        let raw = session.as_http1().map(|http1| http1.get_headers_raw_bytes());
        let head = head_of(session.req_header(), raw.as_deref());
        let http = if session.is_http2() { Http::Two } else { Http::One };
        self.judge_asked(Asked::On(admitted.route), &head, conn, http, now, ctx);
    }
}

/// Whether the allowance of the month is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Counting {
    Allowance,
    Nothing,
}

impl Admitted<'_> {
    fn allowed(&self, status: StatusCode, body: String) -> Reply {
        let reply = Reply::new(status)
            .with("content-type", "application/json")
            .with("cache-control", "no-store")
            .with("x-content-type-options", "nosniff")
            .body(body);
        with_origin(reply, &self.origin)
    }

    /// The response that the page's form carries to the site's backend.
    fn response(&self, sites: &Sites, solved: &Solved, findings: Findings, judged: &Judged, now: Now) -> String {
        let response = Response {
            // The puzzle's own, so that what becomes of one challenge is counted once.
            id: solved.id,
            hostname: Origin::parse(&self.origin).map_or("", |origin| origin.host()),
            level: solved.level,
            score_thousandths: with_evidence(judged.decision.score.as_thousandths(), findings),
            signals: findings.signals(),
            network: Network::of(judged.client.0, judged.network.asn.map(|asn| asn.0)),
            solved_at: now.unix_millis(),
        };
        let mut text = String::new();
        render_response(&response.issue(&sites.ring, &audience(self.site, self.environment)), &mut text);
        text
    }

    fn blocked(&self, code: &str, ctx: &mut RequestContext) -> Reply {
        ctx.site = Some(seen(self.site, self.state, Event::Blocked));
        with_origin(told(StatusCode::FORBIDDEN, code, "this visitor is not let through", ctx), &self.origin)
    }

    fn throttled(&self, code: &str, wait_ms: u32, ctx: &mut RequestContext) -> Reply {
        ctx.site = Some(seen(self.site, self.state, Event::Throttled));
        let wait_secs = u64::from(wait_ms).div_ceil(1000).max(1);
        let detail = format!("too many requests; try again in {wait_secs} s");
        let reply = told(StatusCode::TOO_MANY_REQUESTS, code, &detail, ctx).with("retry-after", wait_secs.to_string());
        with_origin(reply, &self.origin)
    }

    fn refused(&self, refusal: Refusal, ctx: &mut RequestContext) -> Reply {
        ctx.site = Some(seen(self.site, self.state, Event::Refused));
        let detail = refusal.to_string();
        let problem = Problem::redeem(refusal, &detail, ctx.id.as_str());
        with_origin(problem_reply(&problem), &self.origin)
    }

    /// The operating system gives no random bytes, or the request could not be judged at all.
    fn busy(&self, ctx: &mut RequestContext) -> Reply {
        self.refused(Refusal::Busy, ctx)
    }
}

fn seen(site: &SiteKey, state: &SiteState, event: Event) -> SiteSeen {
    state.note(event);
    SiteSeen { site: site.name.clone(), event }
}

/// Leaves what was found of a request, and takes the verdict on it away.
pub(super) fn set_aside(ctx: &mut RequestContext) {
    if let Some(judged) = &mut ctx.judged {
        judged.decision.set_aside();
    }
}

fn shut(gate: Gate, ctx: &RequestContext) -> Reply {
    told(StatusCode::FORBIDDEN, gate.reason(), &gate.to_string(), ctx)
}

fn told(status: StatusCode, code: &str, detail: &str, ctx: &RequestContext) -> Reply {
    problem_reply(&Problem::site(status.as_u16(), code, detail, ctx.id.as_str()))
}

fn problem_reply(problem: &Problem<'_>) -> Reply {
    let mut body = String::new();
    problem::render(problem, &mut body);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::FORBIDDEN);
    Reply::new(status).with_all(&PROBLEM_HEADERS).body(body)
}

/// Lets pages of this origin, which was allowed, read the answer.
fn with_origin(reply: Reply, origin: &str) -> Reply {
    reply.with("access-control-allow-origin", origin.to_owned()).with("vary", "origin")
}

/// The one origin that a request names.
fn origin(headers: &HeaderMap) -> Option<&str> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next().filter(|_| origins.next().is_none())?;
    origin.to_str().ok()
}

/// Whom a response is for. What was solved where the widget is tried says so, and counts for nothing.
pub(super) fn audience(site: &SiteKey, environment: Environment) -> String {
    match environment {
        Environment::Production => site.name.clone(),
        // A name has no `+`.
        Environment::Testing => format!("{}+testing", site.name),
    }
}

fn binding<'a>(site: &'a SiteKey, judged: &Judged) -> Binding<'a> {
    let family = judged.claim.name.unwrap_or_else(|| judged.claim.family.name());
    Binding {
        site: &site.name,
        network: Network::of(judged.client.0, judged.network.asn.map(|asn| asn.0)),
        family: family.as_bytes(),
        ..Binding::default()
    }
}

/// The work of the preset, and more of it for a doubtful score or a route in trouble.
fn strength(site: &SiteKey, score_thousandths: u16, posture: Posture) -> Strength {
    let ask = Ask {
        score_thousandths,
        ladder: site.preset.ladder(),
        posture: match posture {
            Posture::Normal => Alarm::Calm,
            Posture::Elevated => Alarm::Raised,
            Posture::UnderAttack => Alarm::UnderAttack,
        },
        audience: Audience::People,
        sign_in: SignIn::Absent,
        page_memory: PageMemory::Absent,
    };
    ask.work(Level::ProofOfWork, site.preset.strength()).hashes()
}

/// A failed redeem: why, and whether it is one that is counted.
type NotRedeemed = (Refusal, Counts);

/// Whether a failed redeem counts against the site.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Counts {
    Never,
    /// The puzzle was ours and its work was not done in time.
    Once,
}

/// Checks a solution, and takes out the evidence beside it.
fn redeem(
    sites: &Sites,
    body: &[u8],
    binding: &Binding<'_>,
    now: UnixMillis,
) -> std::result::Result<(Solved, Option<String>), NotRedeemed> {
    let form = RedeemForm::parse(body).map_err(|refusal| (refusal, Counts::Never))?;
    let Proof::Solution(solution) = form.proof else { return Err((Refusal::Malformed, Counts::Never)) };
    match solution.verify(&sites.ring, binding, now, &sites.puzzles) {
        Ok(solved) => Ok((solved, form.evidence.map(std::borrow::Cow::into_owned))),
        Err(refusal) => Err((refusal, counts(refusal))),
    }
}

/// What counts as a failed redeem: work that was not done, or too late. A solution that is sent twice was counted when it
/// was good, and what is another site's or another visitor's is not this site's to pay.
const fn counts(refusal: Refusal) -> Counts {
    match refusal {
        // The code held before either was found.
        Refusal::Unsolved | Refusal::Expired => Counts::Once,
        _ => Counts::Never,
    }
}

/// The name under which a visitor who gets no puzzle, or solves none, is counted once an hour, so that nobody uses up an
/// allowance by asking again and again. It is a hash under the process's secret.
fn hourly_id(gateway: &Gateway, site: &SiteKey, judged: &Judged, now: Now) -> [u8; 16] {
    let key = keys::ban_key(gateway.counters.hasher(), judged.client.0).to_string();
    let hour = now.unix().0 / COUNTED_EVERY.as_secs();
    let digest =
        Sha256::new().chain_update(key).chain_update(hour.to_be_bytes()).chain_update(site.name.as_bytes()).finalize();
    let mut id = [0; 16];
    id.iter_mut().zip(digest).for_each(|(byte, of)| *byte = of);
    id
}
