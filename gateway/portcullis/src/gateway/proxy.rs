//! The gateway as Pingora's proxy: the order in which a request is served.

use std::os::fd::RawFd;
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
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyWarnLogContext};
use pingora::upstreams::peer::Peer;
use portcullis_policy::model::{Mode, Route};

use super::answer::Answer;
use super::body::{is_bodiless, is_final, may_upgrade};
use super::enforce::{self, Form};
use super::left_open::LeftOpen;
use super::record::Outcome;
use super::reply::{AfterReply, Reply, linger};
use super::request::{Over, RequestContext};
use super::waiting::ReadBody;
use super::{Gateway, shadow, upstream};
use crate::accept::ConnInfo;
use crate::origins::PeerKind;

/// The door through which proxied requests come.
#[derive(Clone, Debug)]
pub struct Door(Arc<Gateway>);

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
        RequestContext::of(&self.0)
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        let Some(conn) = ConnInfo::of(session).cloned() else {
            return Error::e_explain(ErrorType::InternalError, "a session that no listener accepted");
        };
        conn.begin_request();
        self.begin(session, &conn, ctx);
        self.bound(session);
        let body = match self.0.body_prefix(session, ctx).await {
            Ok(Ok(body)) => body,
            failed => {
                // Judged by the rest of it, so that it is counted and recorded as any other.
                let _unsent = self.0.judge_guarded(session, &conn, None, ctx);
                if let Some(judged) = &ctx.judged {
                    self.0.watch(&ctx.policy, judged.client.0, &judged.decision);
                    self.0.ban_if_decided(&ctx.policy, judged, ctx.began);
                }
                return match failed {
                    Ok(Err(reply)) => send(*reply, session, ctx).await.map(|()| true),
                    failed => failed.map(|_| true),
                };
            }
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
                let reply = self.0.marked(reply, &session.req_header().headers, ctx);
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
        let pool = ctx.origin().unwrap_or_default();
        let kind = if may_upgrade(session) { PeerKind::Upgrade } else { PeerKind::Request };
        self.0
            .origins
            .peer(pool, kind, || self.0.clock.now().millis)
            .ok_or_else(|| Error::explain(ErrorType::HTTPStatus(502), format!("no healthy server in origin `{pool}`")))
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        peer: &HttpPeer,
        _fd: RawFd,
        _digest: Option<&Digest>,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        // One that was kept counts as well: who is let through to try a server may be given it.
        if let (Some(pool), Some(server)) = (ctx.origin(), peer.address().as_inet()) {
            self.0.origins.reached(pool, *server);
        }
        Ok(())
    }

    /// Nothing of the request was sent, so that another server may be asked, whatever its method (RFC 9110 §9.2.2).
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.unreachable += 1;
        if let (Some(pool), Some(server)) = (ctx.origin(), peer.address().as_inet()) {
            let servers = self.0.origins.unreachable(pool, *server, &error, self.0.clock.now().millis);
            error.set_retry(ctx.unreachable < servers);
        }
        error
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

    /// That a server cannot be reached is logged once, and by which request is nobody's matter.
    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &RequestContext,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
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
        ctx.policy = self.0.policy_for(conn, headers);
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

/// Sends an answer, and notes whether its client is given the time to read it.
async fn send(reply: Reply, session: &mut Session, ctx: &mut RequestContext) -> Result<()> {
    ctx.lingers = reply.lingers();
    reply.send(session).await
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
