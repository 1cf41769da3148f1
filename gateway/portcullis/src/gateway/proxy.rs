//! The gateway as Pingora's proxy: the order in which a request is served.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::EXPECT;
use http::{StatusCode, Version};
use pingora::ErrorSource;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::{Error, ErrorType, HttpPeer, ProxyHttp, Result, Session};
use pingora::proxy::FailToProxy;
use portcullis_challenge::rung::Client;
use portcullis_challenge::{Level, MAX_CLEARANCE_TTL, set_cookie};
use portcullis_policy::model::{Action, BodyPrefix, Mode, Route};
use portcullis_policy::{Cause, RouteId};
use portcullis_signals::{CanonicalRequest, Http, PeerAddr, RequestHead};

use super::answer::Answer;
use super::body::{expects_continue, is_bodiless, is_final, may_upgrade, stated_length};
use super::challenge::{Challenged, Holder, Issued, OWN_PATHS, Seen, asking};
use super::enforce::{self, Form};
use super::gather::Judged;
use super::left_open::LeftOpen;
use super::policy::Policy;
use super::record::{Outcome, Record};
use super::refusal::Refused;
use super::reply::{AfterReply, Reply, linger};
use super::sites::SiteSeen;
use super::upstream;
use super::waiting::ReadBody;
use super::{Gateway, OnFault, shadow};
use crate::accept::ConnInfo;
use crate::clock::Now;
use crate::origins::PeerKind;
use crate::request_id::RequestId;

/// The door through which proxied requests come.
#[derive(Clone, Debug)]
pub struct Door(Arc<Gateway>);

/// What one request carries through its phases.
#[derive(Debug)]
pub struct RequestContext {
    /// Its name.
    pub id: RequestId,
    /// When it began.
    pub began: Now,
    /// The policy that it is judged by, to its end.
    pub policy: Arc<Policy>,
    /// What was found and decided; none before, and none for the gateway's own paths.
    pub judged: Option<Box<Judged>>,
    /// How long gathering and deciding took.
    pub decided_in: Duration,
    /// What the origin answered; none where it was not asked or did not answer.
    pub answer: Option<Answer>,
    /// What was seen of a challenge.
    pub seen: Option<Seen>,
    /// What a request of a widget or of a site's backend came to.
    pub site: Option<SiteSeen>,
    /// The route of a request that goes on though judging it failed.
    unjudged_route: Option<RouteId>,
    /// What was read of the body and Pingora does not send by itself.
    unsent: Vec<u8>,
    body_bytes: u64,
    /// Whether the origin was asked.
    asked: bool,
    /// Whether the client is still to read an answer of the gateway, and may be sending.
    lingers: bool,
    /// Whether its answer was counted.
    settled: bool,
    /// Whether the end of its body was passed on.
    body_ended: bool,
    /// Bytes of the origin's answer that were passed on.
    pub(super) answer_bytes: u64,
    /// In how many pieces.
    answer_pieces: u32,
    /// Whether its end was.
    answer_ended: bool,
    /// The time that its client has to end it in, once the answer is whole.
    left_open: Option<Box<LeftOpen>>,
    /// Whether its origin's time was over while that waited for the client.
    kept_waiting: bool,
}

impl Drop for RequestContext {
    /// Pingora concludes a request by `logging`. One that was left open to the end of its time is dropped before that, as
    /// is one that is open when the process ends.
    fn drop(&mut self) {
        if let Some(open) = self.left_open.take()
            && !std::thread::panicking()
        {
            open.conclude(self);
        }
    }
}

impl Door {
    /// A door of this gateway.
    pub const fn new(gateway: Arc<Gateway>) -> Self {
        Self(gateway)
    }
}

#[async_trait]
impl ProxyHttp for Door {
    type CTX = RequestContext;

    /// Nothing: what Pingora puts here by itself, a compression that is off, would still be asked about each request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    fn new_ctx(&self) -> RequestContext {
        RequestContext {
            id: self.0.request_ids.next(),
            began: self.0.clock.started(),
            policy: self.0.policy.load_full(),
            judged: None,
            decided_in: Duration::ZERO,
            answer: None,
            seen: None,
            site: None,
            unjudged_route: None,
            unsent: Vec::new(),
            body_bytes: 0,
            asked: false,
            lingers: false,
            settled: false,
            body_ended: false,
            answer_bytes: 0,
            answer_pieces: 0,
            answer_ended: false,
            left_open: None,
            kept_waiting: false,
        }
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        let Some(conn) = ConnInfo::of(session).cloned() else {
            return Error::e_explain(ErrorType::InternalError, "a session that no listener accepted");
        };
        conn.begin_request();
        self.begin(session, &conn, ctx);
        self.bound(session);
        let body = match self.0.body_prefix(session, ctx).await? {
            Ok(body) => body,
            Err(reply) => return send(*reply, session, ctx).await.map(|()| true),
        };
        let prefix = body.as_ref().map(ReadBody::prefix);
        if let Err(reply) = self.0.judge_guarded(session, &conn, prefix, ctx) {
            return send(*reply, session, ctx).await.map(|()| true);
        }
        if let Some(judged) = &ctx.judged {
            self.0.watch(&ctx.policy, judged.client.0, &judged.decision);
        }
        ctx.unsent = body.map(ReadBody::unsent).unwrap_or_default();
        match self.0.answer(session, &conn, ctx).await? {
            Some(reply) => {
                let reply = reply.with("portcullis-request-id", ctx.id.as_str().to_owned());
                let told = ctx.judged.as_ref().and_then(|judged| shadow::header(ctx.policy.rules(), judged));
                let told = told.as_ref().and_then(|told| told.to_str().ok()).map(str::to_owned);
                let reply = told.into_iter().fold(reply, |reply, told| reply.with(shadow::SHADOW_NAME, told));
                let reply = self.0.challenge.readable(&session.req_header().headers, reply);
                send(reply, session, ctx).await.map(|()| true)
            }
            None => Ok(false),
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        ctx.body_ended |= end_of_stream;
        if ctx.left_open.as_ref().is_some_and(|open| open.is_over()) {
            return Err(Error::new_down(ErrorType::ReadTimedout));
        }
        if !ctx.unsent.is_empty() {
            let mut first = std::mem::take(&mut ctx.unsent);
            first.extend_from_slice(body.as_deref().unwrap_or_default());
            *body = Some(first.into());
        }
        ctx.body_bytes = ctx.body_bytes.saturating_add(body.as_ref().map_or(0, |chunk| chunk.len() as u64));
        // What goes over a WebSocket is no body, however much it is.
        let is_too_long = |route: &Route| {
            route.mode == Mode::Enforce && ctx.body_bytes > route.max_body_bytes && !session.was_upgraded()
        };
        if ctx.route().is_some_and(is_too_long) {
            return Error::e_explain(ErrorType::HTTPStatus(413), "the request body is larger than the route takes");
        }
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        let pool = ctx.route().and_then(|route| route.origin.as_deref()).unwrap_or_default();
        let kind = if may_upgrade(session) { PeerKind::Upgrade } else { PeerKind::Request };
        self.0
            .origins
            .peer(pool, kind)
            .ok_or_else(|| Error::explain(ErrorType::HTTPStatus(502), format!("no healthy server in origin `{pool}`")))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        ctx.asked = true;
        // Where another server is asked, it is sent the body from the beginning.
        ctx.body_bytes = 0;
        if session.req_header().version < Version::HTTP_11 {
            // To this it means nothing (RFC 9110 §10.1.1), and the request goes on as one of HTTP/1.1.
            request.remove_header(&EXPECT);
        }
        match (&ctx.judged, ConnInfo::of(session)) {
            (Some(judged), Some(conn)) => self.0.prepare(request, session.req_header(), judged, ctx, conn),
            (None, Some(conn)) => upstream::prepare_unjudged(request, conn),
            (_, None) => Ok(()),
        }
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        // The gateway's own, whatever the origin's is (RFC 9112 §2.3); to upgrade is no part of an older one.
        if response.status != StatusCode::SWITCHING_PROTOCOLS {
            response.set_version(Version::HTTP_11);
        }
        if is_final(response.status) {
            ctx.answer = ctx.route().map(|route| Answer::of(response, route));
            if let Some(told) = ctx.judged.as_ref().and_then(|judged| shadow::header(ctx.policy.rules(), judged)) {
                response.insert_header(shadow::SHADOW, told)?;
            }
            let report = response.remove_header(enforce::REPORTED);
            if let (true, Some(judged)) = (report.is_some_and(|word| word.as_bytes() == b"abuse"), &ctx.judged) {
                self.0.note_report(judged, self.0.clock.now());
            }
            self.0.vouched(session, response, ctx)?;
            if let (Some(judged), Some(route)) = (&ctx.judged, ctx.route())
                && judged.decision.mode == Mode::Enforce
                && let Some(told) = ctx.policy.plan(judged.decision.route).and_then(|plan| plan.told_limits.as_ref())
            {
                enforce::tell_limits(response, told, route, &judged.limited.readings)?;
            }
            let is_open = ctx.answer.as_ref().zip(ctx.route()).is_some_and(|(answer, route)| answer.is_open(route));
            if !is_open {
                self.0.settle_once(ctx, self.0.clock.now());
            }
            if is_bodiless(session.req_header(), response) {
                ctx.answer_ended = true;
                self.bound_rest(session, ctx);
            }
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        if let Some(part) = body {
            ctx.answer_bytes = ctx.answer_bytes.saturating_add(part.len() as u64);
            ctx.answer_pieces = ctx.answer_pieces.saturating_add(1);
        }
        let looks = ctx.route().is_some_and(|route| route.failure.needs_body());
        if let (true, Some(part), Some(answer)) = (looks, body.as_ref(), ctx.answer.as_mut()) {
            answer.take_body(part);
        }
        if end_of_stream {
            ctx.answer_ended = true;
            if !ctx.settled {
                self.0.settle_once(ctx, self.0.clock.now());
            }
            self.bound_rest(session, ctx);
        }
        Ok(None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut RequestContext) -> FailToProxy {
        ctx.kept_waiting = was_kept_waiting(error, session, ctx);
        let status = failure_status(error, ctx.kept_waiting);
        if let Some(status) = status
            && answered(session).is_none()
        {
            let clients = ctx.route().map(|route| route.clients).unwrap_or_default();
            let form = Form::of(clients, &session.req_header().headers);
            let reply = enforce::failed(status, form, ctx.id.as_str())
                .with("portcullis-request-id", ctx.id.as_str().to_owned())
                .then(AfterReply::Close);
            if let Err(unsent) = send(reply, session, ctx).await {
                tracing::debug!(%unsent, "an error answer could not be written");
            }
        }
        FailToProxy { error_code: status.map_or(0, |status| status.as_u16()), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut RequestContext) {
        let Some(conn) = ConnInfo::of(session) else { return };
        ctx.left_open = None;
        let raw_head = session.as_http1().map(|http1| http1.get_headers_raw_bytes());
        let outcome = Outcome {
            status: answered(session).map(|status| status.as_u16()),
            sent_bytes: session.body_bytes_sent() as u64,
            error: error.map(|error| error.etype().as_str()),
        };
        let by_client = error.is_some_and(|error| error.esource() == &ErrorSource::Downstream);
        let request = session.req_header();
        self.0.conclude(Over { request, conn, raw_head: raw_head.as_deref(), outcome, by_client }, ctx);
        if ctx.lingers {
            // What is only read on is not under way.
            ctx.judged = None;
            linger(session).await;
        }
        // The clock of the next request's header stands still until here.
        if let Some(conn) = ConnInfo::of(session) {
            conn.end_request();
        }
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &RequestContext, _error: &Error) -> bool {
        // The record of the request says it, once.
        true
    }
}

impl Door {
    /// Has a request begin now, under the policy of now: its context was made when the connection began to wait.
    fn begin(&self, session: &Session, conn: &ConnInfo, ctx: &mut RequestContext) {
        ctx.began = self.0.clock.now();
        if self.0.trial.load().is_none() {
            let policy = self.0.policy.load();
            if !Arc::ptr_eq(&policy, &ctx.policy) {
                ctx.policy = Arc::clone(&policy);
            }
            return;
        }
        let headers = &session.req_header().headers;
        ctx.policy = self.0.policy_for(|| self.0.trusted.client(PeerAddr(conn.client.ip()), headers).0);
    }

    /// Bounds how long the client of a request whose answer is whole may leave it open.
    fn bound_rest(&self, session: &Session, ctx: &mut RequestContext) {
        if !ctx.body_ended && ctx.left_open.is_none() {
            ctx.left_open = LeftOpen::bound(&self.0, session, ctx.answer_pieces);
        }
    }

    /// Sets how long a client may pause within a body, and refuse to read, and what it is not told. How long it may pause
    /// between requests is the stream's to know.
    fn bound(&self, session: &mut Session) {
        let may_rest = may_upgrade(session);
        session.set_read_timeout((!may_rest).then_some(self.0.bounds.body_timeout));
        session.set_write_timeout(Some(self.0.bounds.send_timeout));
        // Who speaks HTTP/1.0 takes an interim answer for the answer (RFC 9110 §15.2).
        let is_old = session.req_header().version < Version::HTTP_11;
        session.as_downstream_mut().set_ignore_info_resp(is_old);
    }
}

impl RequestContext {
    /// The route of the request.
    pub fn route(&self) -> Option<&Route> {
        let route = self.judged.as_ref().map(|judged| judged.decision.route).or(self.unjudged_route)?;
        Some(self.policy.rules().route(route))
    }

    /// The origin's answer, where so much of it has come that it says whether the request failed.
    fn known_answer(&self) -> Option<&Answer> {
        let answer = self.answer.as_ref()?;
        let says = |route: &Route| self.answer_ended || !answer.is_open(route) || answer.has_failed(route);
        self.route().is_none_or(says).then_some(answer)
    }

    /// Whether the client is still to send some of its body, and not to be told to first (RFC 9110 §10.1.1).
    fn owes_body(&self, session: &Session) -> bool {
        let header = session.req_header();
        let is_whole =
            self.body_ended || stated_length(&header.headers).is_some_and(|length| self.body_bytes >= length);
        let has_begun = self.body_bytes > 0 || !self.unsent.is_empty();
        let was_told = || session.response_written().is_some_and(|interim| interim.status == StatusCode::CONTINUE);
        !is_whole && (has_begun || !expects_continue(header) || was_told())
    }
}

/// A request that is over.
#[derive(Clone, Copy)]
pub(super) struct Over<'a> {
    /// As it was sent.
    pub(super) request: &'a RequestHeader,
    /// By which connection.
    pub(super) conn: &'a ConnInfo,
    /// The header section as it came over HTTP/1.
    pub(super) raw_head: Option<&'a [u8]>,
    /// How it ended.
    pub(super) outcome: Outcome<'a>,
    /// Whether its client ended it before its time.
    pub(super) by_client: bool,
}

impl Gateway {
    /// Counts and records a request that is over.
    pub(super) fn conclude(&self, over: Over<'_>, ctx: &mut RequestContext) {
        let now = self.clock.now();
        // What its client did not end before is all that there is of an answer.
        ctx.answer_ended |= !over.by_client;
        self.settle_once(ctx, now);
        if let Some(judged) = &ctx.judged {
            let is_abandoned = ctx.known_answer().is_none() && ctx.asked && (over.by_client || ctx.kept_waiting);
            if is_abandoned {
                // What is safe (RFC 9110 §9.2.1) tries nothing out, and is often left.
                self.charge_abandoned(&ctx.policy, judged, !over.request.method.is_safe(), now);
            }
            if is_abandoned || ctx.answer.is_some() {
                let moved = ctx.body_bytes.saturating_add(over.outcome.sent_bytes);
                self.transferred(&ctx.policy, judged, moved, now);
            }
        }
        let record = Record::of(over.request, over.conn, ctx, now, over.raw_head, over.outcome);
        self.metrics.record(&record);
        self.audit.record(&record);
    }

    /// Counts what the origin answered, once: as soon as it is known, for a client can make the end of its request and of
    /// the answer wait.
    fn settle_once(&self, ctx: &mut RequestContext, now: Now) {
        if !std::mem::replace(&mut ctx.settled, true)
            && let Some(judged) = &ctx.judged
        {
            self.settle(&ctx.policy, judged, ctx.known_answer(), now);
        }
    }

    /// Judges a request; a fault of ours in that ends as the settings say, and the process goes on.
    fn judge_guarded(
        &self,
        session: &Session,
        conn: &ConnInfo,
        body: Option<BodyPrefix<'_>>,
        ctx: &mut RequestContext,
    ) -> Result<(), Box<Reply>> {
        let header = session.req_header();
        let raw = session.as_http1().map(|http1| http1.get_headers_raw_bytes());
        if raw.as_ref().is_some_and(|raw| raw.len() > self.bounds.max_header_bytes) {
            return Err(Box::new(
                enforce::told(
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    "Header section too large",
                    "the header section of the request is larger than this gateway takes",
                    "API.HEADERS_TOO_LARGE",
                    Form::Problem,
                    ctx.id.as_str(),
                )
                .then(AfterReply::Close),
            ));
        }
        let head = head_of(header, raw.as_deref());
        let http = if session.is_http2() { Http::Two } else { Http::One };
        let plan = || ctx.policy.rules().plan(&CanonicalRequest::of(&head));
        let judge = || self.judge(&ctx.policy, &head, conn, http, body, ctx.began);
        let judged = guarded(judge, plan, self.bounds.on_fault);
        ctx.decided_in = ctx.began.instant.elapsed();
        match judged {
            Ok(judged) => {
                ctx.judged = Some(judged);
                Ok(())
            }
            Err(fault) => {
                self.metrics.judgement_fault();
                tracing::error!(request = ctx.id.as_str(), "judging a request failed by a fault of the gateway");
                ctx.unjudged_route = fault.open_to;
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let refused =
                    || Box::new(enforce::failed(status, Form::Problem, ctx.id.as_str()).then(AfterReply::Close));
                ctx.unjudged_route.map(|_| ()).ok_or_else(refused)
            }
        }
    }

    /// The answer that the gateway gives itself; none where the request goes to the origin.
    async fn answer(&self, session: &mut Session, conn: &ConnInfo, ctx: &mut RequestContext) -> Result<Option<Reply>> {
        let policy = Arc::clone(&ctx.policy);
        let Some(judged) = &ctx.judged else { return Ok(None) };
        let route = policy.rules().route(judged.decision.route);
        let refusable = matches!(judged.decision.cause, Cause::Ban | Cause::Malformed(_));
        if !refusable && let Some(reply) = self.site_path(session, conn, ctx).await? {
            return Ok(Some(reply));
        }
        let own = session.req_header().uri.path().starts_with(OWN_PATHS);
        if own
            && !refusable
            && let Some(reply) = self.own_path(session, conn, ctx).await?
        {
            // It is answered whatever the score is, and recorded so.
            if let Some(judged) = &mut ctx.judged {
                judged.decision.set_aside();
            }
            return Ok(Some(reply));
        }
        self.delay(ctx).await;
        let Some(judged) = &ctx.judged else { return Ok(None) };
        let header = session.req_header();
        let decision = &judged.decision;
        let unrouted = decision.route == RouteId(0) && route.origin.is_none();
        if decision.action == Action::Allow && !unrouted {
            if header.method == http::Method::TRACE {
                return Ok(Some(enforce::no_trace()));
            }
            return Ok(too_long(header, route).then(|| {
                let form = Form::of(route.clients, &header.headers);
                enforce::failed(StatusCode::PAYLOAD_TOO_LARGE, form, ctx.id.as_str()).then(AfterReply::Close)
            }));
        }
        let form = Form::of(route.clients, &header.headers);
        if decision.action == Action::Challenge {
            if let Some(reply) = self.challenge.preflight(&header.method, &header.headers) {
                return Ok(Some(reply));
            }
            let (reply, seen) = self.challenged(header, conn, judged, route, form, ctx);
            ctx.seen = seen;
            return Ok(Some(reply));
        }
        if decision.action == Action::StepUp {
            return Ok(Some(self.step_up(header, judged, route, form, ctx)));
        }
        self.ban_if_decided(&policy, judged, ctx.began);
        Ok(Some(if decision.action == Action::Allow {
            enforce::unrouted(form, ctx.id.as_str())
        } else {
            let headers = &header.headers;
            let refused = Refused { route, headers, form, reference_id: ctx.id.as_str() };
            enforce::refuse(decision, &judged.limited.readings, &refused)
        }))
    }

    fn challenged(
        &self,
        header: &RequestHeader,
        conn: &ConnInfo,
        judged: &Judged,
        route: &Route,
        form: Form,
        ctx: &RequestContext,
    ) -> (Reply, Option<Seen>) {
        let issued = self.challenge.challenge(&Challenged {
            route,
            ask: asking(route, judged.decision.raw, judged.decision.posture, self.sign_in()),
            client: if form == Form::Page { Client::Browser } else { Client::Program },
            holder: &holder(header, conn, judged),
            family: judged.claim.family,
            method: &header.method,
            target: target_of(header),
            headers: &header.headers,
            reference_id: ctx.id.as_str(),
            now: ctx.began,
        });
        match issued {
            Ok(Issued::Challenge(reply, seen)) => (reply, Some(seen)),
            Ok(Issued::StepUp) => (self.step_up(header, judged, route, form, ctx), None),
            Err(_) => (enforce::failed(StatusCode::SERVICE_UNAVAILABLE, form, ctx.id.as_str()), None),
        }
    }

    /// Sends a person to where a stronger sign-in is, and tells everybody else that one is needed.
    fn step_up(
        &self,
        header: &RequestHeader,
        judged: &Judged,
        route: &Route,
        form: Form,
        ctx: &RequestContext,
    ) -> Reply {
        let asks_for_page = form == Form::Page && matches!(header.method, http::Method::GET | http::Method::HEAD);
        match self.challenge.sign_in().filter(|_| asks_for_page) {
            Some(sign_in) => enforce::to_sign_in(sign_in, target_of(header)),
            None => {
                let headers = &header.headers;
                let refused = Refused { route, headers, form, reference_id: ctx.id.as_str() };
                enforce::step_up(judged.decision.code, &refused)
            }
        }
    }

    /// Takes an origin's word for it that the client has signed in by a stronger method: the clearance for that goes with
    /// the answer, and the word no further.
    fn vouched(&self, session: &Session, response: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
        if self.challenge.sign_in().is_none() {
            return Ok(());
        }
        let Some(word) = response.remove_header(enforce::VOUCHED) else { return Ok(()) };
        let (Some(judged), Some(conn), Some(route)) = (&ctx.judged, ConnInfo::of(session), ctx.route()) else {
            return Ok(());
        };
        if word.as_bytes() != b"step-up" || route.mode != Mode::Enforce {
            return Ok(());
        }
        let holder = holder(session.req_header(), conn, judged);
        let ttl = route.clearance_ttl.min(MAX_CLEARANCE_TTL);
        match self.challenge.vouch(&holder, Level::StepUp, ttl, self.clock.now()) {
            Ok(value) => response.append_header("set-cookie", set_cookie(holder.scheme(), &value, ttl)).map(|_| ()),
            // There is none this time, and the sign-in is asked for again.
            Err(_) => Ok(()),
        }
    }

    /// Serves the paths that belong to the gateway on every host.
    async fn own_path(
        &self,
        session: &mut Session,
        conn: &ConnInfo,
        ctx: &mut RequestContext,
    ) -> Result<Option<Reply>> {
        self.challenge_path(session, conn, ctx).await
    }
}

/// Sends an answer, and notes whether its client is given the time to read it.
async fn send(reply: Reply, session: &mut Session, ctx: &mut RequestContext) -> Result<()> {
    ctx.lingers = reply.lingers();
    reply.send(session).await
}

fn target_of(header: &RequestHeader) -> &str {
    header.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
}

/// What a request calls its client; what is no UTF-8 in that is replaced.
pub(super) fn user_agent_of(header: &RequestHeader) -> Cow<'_, str> {
    let value = header.headers.get(http::header::USER_AGENT);
    value.map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default()
}

/// A request's head as it is judged.
pub(super) fn head_of<'a>(header: &'a RequestHeader, raw: Option<&'a [u8]>) -> RequestHead<'a> {
    RequestHead {
        method: &header.method,
        target: header.raw_path(),
        authority: header.uri.authority().map(http::uri::Authority::as_str),
        version: header.version,
        headers: &header.headers,
        raw,
    }
}

/// Whether a request states a body that is larger than its route takes.
fn too_long(header: &RequestHeader, route: &Route) -> bool {
    route.mode == Mode::Enforce && stated_length(&header.headers).is_some_and(|length| length > route.max_body_bytes)
}

pub(super) fn holder(header: &RequestHeader, conn: &ConnInfo, judged: &Judged) -> Holder {
    let authority = header.uri.authority().map(http::uri::Authority::as_str);
    let host = header.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
    let site = portcullis_signals::Host::of(authority.or(host).unwrap_or_default());
    let site = site.as_ref().map_or("", portcullis_signals::Host::as_str);
    Holder::of(site, judged.client, &judged.network, &judged.claim, judged.scheme).shaking(conn.tls_of(judged.client.0))
}

/// A request could not be judged, by a fault of ours.
#[derive(Debug, Eq, PartialEq)]
struct Fault {
    /// The route by which it goes on unjudged; none where it is refused.
    open_to: Option<RouteId>,
}

/// Judges a request. A panic in that ends no worker: the request is refused, or goes on unjudged where the settings
/// say so and it can be told where to.
fn guarded<T>(judge: impl FnOnce() -> T, plan: impl FnOnce() -> RouteId, on_fault: OnFault) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(judge)).map_err(|_| Fault {
        open_to: match on_fault {
            OnFault::Open => catch_unwind(AssertUnwindSafe(plan)).ok(),
            OnFault::Closed => None,
        },
    })
}

/// The status of the answer that a client was given; an interim one (RFC 9110 §15.2) is none.
fn answered(session: &Session) -> Option<StatusCode> {
    let status = session.response_written()?.status;
    is_final(status).then_some(status)
}

/// Whether it is its client that an origin was waiting for when its time was over. Each piece of a body that is passed on
/// begins that time anew.
fn was_kept_waiting(error: &Error, session: &Session, ctx: &RequestContext) -> bool {
    error.etype() == &ErrorType::ReadTimedout && error.esource() == &ErrorSource::Upstream && ctx.owes_body(session)
}

/// The status that tells a client of a failure; none where the client is gone.
fn failure_status(error: &Error, kept_waiting: bool) -> Option<StatusCode> {
    match error.etype() {
        ErrorType::HTTPStatus(code) => StatusCode::from_u16(*code).ok(),
        _ if kept_waiting => Some(StatusCode::REQUEST_TIMEOUT),
        ErrorType::ReadTimedout | ErrorType::ConnectTimedout | ErrorType::WriteTimedout
            if error.esource() == &ErrorSource::Upstream =>
        {
            Some(StatusCode::GATEWAY_TIMEOUT)
        }
        ErrorType::ReadTimedout if error.esource() == &ErrorSource::Downstream => Some(StatusCode::REQUEST_TIMEOUT),
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed
            if error.esource() == &ErrorSource::Downstream =>
        {
            None
        }
        _ => match error.esource() {
            ErrorSource::Upstream => Some(StatusCode::BAD_GATEWAY),
            ErrorSource::Downstream => Some(StatusCode::BAD_REQUEST),
            ErrorSource::Internal | ErrorSource::Unset => Some(StatusCode::BAD_GATEWAY),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_cannot_be_judged_fails_as_the_settings_say() {
        let route = RouteId(7);
        let faulty = || -> u8 { panic!("a fault in judging") };
        let fault = |open_to| Err(Fault { open_to });
        assert_eq!(guarded(|| 1, || route, OnFault::Closed), Ok(1));
        assert_eq!(guarded(faulty, || route, OnFault::Closed), fault(None));
        assert_eq!(guarded(faulty, || route, OnFault::Open), fault(Some(route)));
        assert_eq!(guarded(faulty, || panic!("another"), OnFault::Open), fault(None), "it goes nowhere unknown");
    }
}
