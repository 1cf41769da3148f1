//! One request: what it carries through its phases, and how it is concluded, once.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pingora::http::RequestHeader;
use pingora::prelude::Session;
use portcullis_policy::RouteId;
use portcullis_policy::model::Route;

use super::Gateway;
use super::answer::Answer;
use super::body::{expects_continue, stated_length};
use super::challenge::Seen;
use super::gather::Judged;
use super::left_open::LeftOpen;
use super::policy::Policy;
use super::record::{Outcome, Record};
use super::sites::SiteSeen;
use crate::accept::ConnInfo;
use crate::clock::Now;
use crate::request_id::RequestId;

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
    pub(super) unjudged_route: Option<RouteId>,
    /// What was read of the body and Pingora does not send by itself.
    pub(super) unsent: Vec<u8>,
    pub(super) body_bytes: u64,
    /// How many servers of its origin no connection could be made to.
    pub(super) unreachable: usize,
    /// Whether the origin was asked.
    pub(super) asked: bool,
    /// Whether the client is still to read an answer of the gateway, and may be sending.
    pub(super) lingers: bool,
    /// Whether its answer was counted.
    pub(super) settled: bool,
    /// Whether the end of its body was passed on.
    pub(super) body_ended: bool,
    /// Bytes of the origin's answer that were passed on.
    pub(super) answer_bytes: u64,
    /// In how many pieces.
    pub(super) answer_pieces: u32,
    /// Whether its end was.
    pub(super) answer_ended: bool,
    /// The time that its client has to end it in, once the answer is whole.
    pub(super) left_open: Option<Box<LeftOpen>>,
    /// Whether its origin's time was over while that waited for the client.
    pub(super) kept_waiting: bool,
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

impl RequestContext {
    /// A request that begins now, before anything is known of it.
    pub(super) fn of(gateway: &Gateway) -> Self {
        Self {
            id: gateway.request_ids.next(),
            began: gateway.clock.started(),
            policy: gateway.policy.load_full(),
            judged: None,
            decided_in: Duration::ZERO,
            answer: None,
            seen: None,
            site: None,
            unjudged_route: None,
            unsent: Vec::new(),
            body_bytes: 0,
            unreachable: 0,
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

    /// The route of the request.
    pub fn route(&self) -> Option<&Route> {
        let route = self.judged.as_ref().map(|judged| judged.decision.route).or(self.unjudged_route)?;
        Some(self.policy.rules().route(route))
    }

    /// The pool that the request goes to.
    pub(super) fn origin(&self) -> Option<&str> {
        self.route()?.origin.as_deref()
    }

    /// The origin's answer, where so much of it has come that it says whether the request failed.
    fn known_answer(&self) -> Option<&Answer> {
        let answer = self.answer.as_ref()?;
        let says = |route: &Route| self.answer_ended || !answer.is_open(route) || answer.has_failed(route);
        self.route().is_none_or(says).then_some(answer)
    }

    /// Whether the client is still to send some of its body, and not to be told to first (RFC 9110 §10.1.1).
    pub(super) fn owes_body(&self, session: &Session) -> bool {
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
    pub(super) fn settle_once(&self, ctx: &mut RequestContext, now: Now) {
        if !std::mem::replace(&mut ctx.settled, true)
            && let Some(judged) = &ctx.judged
        {
            self.settle(&ctx.policy, judged, ctx.known_answer(), now);
        }
    }
}
