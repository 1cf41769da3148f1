//! What the gateway answers itself, in an origin's place, and what it adds to an origin's answer by that origin's word.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Result, Session};
use portcullis_challenge::rung::Client;
use portcullis_challenge::{Level, MAX_CLEARANCE_TTL, set_cookie};
use portcullis_policy::model::{Action, Mode, Route};
use portcullis_policy::{Cause, RouteId};

use super::body::stated_length;
use super::challenge::{Challenged, Issued, OWN_PATHS, Seen, asking};
use super::enforce::{self, Form};
use super::gather::Judged;
use super::head::{holder, target_of};
use super::refusal::Refused;
use super::reply::{AfterReply, Reply};
use super::request::RequestContext;
use super::{Gateway, shadow};
use crate::accept::ConnInfo;

impl Gateway {
    /// The answer that the gateway gives itself; none where the request goes to the origin.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        conn: &ConnInfo,
        ctx: &mut RequestContext,
    ) -> Result<Option<Reply>> {
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
            && let Some(reply) = self.challenge_path(session, conn, ctx).await?
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

    /// Says with an answer of the gateway which request it is to, and what a shadowed rule would have done; and who may read
    /// it.
    pub(super) fn marked(&self, reply: Reply, headers: &HeaderMap, ctx: &RequestContext) -> Reply {
        let reply = reply.with("portcullis-request-id", ctx.id.as_str().to_owned());
        let told = ctx.judged.as_ref().and_then(|judged| shadow::header(ctx.policy.rules(), judged));
        let told = told.as_ref().and_then(|told| told.to_str().ok()).map(str::to_owned);
        let reply = told.into_iter().fold(reply, |reply, told| reply.with(shadow::SHADOW_NAME, told));
        self.challenge.readable(headers, reply)
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
    pub(super) fn vouched(&self, session: &Session, response: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
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
}

/// Whether a request states a body that is larger than its route takes.
fn too_long(header: &RequestHeader, route: &Route) -> bool {
    route.mode == Mode::Enforce && stated_length(&header.headers).is_some_and(|length| length > route.max_body_bytes)
}
