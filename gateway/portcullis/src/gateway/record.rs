//! What happened to a request, said once, to metrics, audit and log alike.

use std::time::Duration;

use pingora::http::RequestHeader;
use portcullis_policy::Decision;

use super::challenge::Seen;
use super::gather::Judged;
use super::policy::Policy;
use super::request::RequestContext;
use super::sites::SiteSeen;
use crate::accept::ConnInfo;
use crate::clock::Now;
use crate::request_id::RequestId;

/// One request, when it is over.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its name.
    pub id: &'a RequestId,
    /// When it began.
    pub began: Now,
    /// How long it took in all.
    pub took: Duration,
    /// How long gathering and deciding took.
    pub decided_in: Duration,
    /// The request as sent; for names of paths and methods, never for values of headers.
    pub request: &'a RequestHeader,
    /// The connection.
    pub conn: &'a ConnInfo,
    /// The policy it was judged by.
    pub policy: &'a Policy,
    /// What was found and decided; none where judging failed.
    pub judged: Option<&'a Judged>,
    /// What the origin answered.
    pub origin_status: Option<u16>,
    /// Whether the route calls that answer failed.
    pub origin_failed: Option<bool>,
    /// What was seen of a challenge.
    pub seen: Option<Seen>,
    /// What a request of a widget or of a site's backend came to.
    pub site: Option<&'a SiteSeen>,
    /// The header section as it came over HTTP/1; for its form, never for its values.
    pub raw_head: Option<&'a [u8]>,
    /// How it ended.
    pub outcome: Outcome<'a>,
}

/// How a request ended on the client's side.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// The status that was sent; none where the client was gone before.
    pub status: Option<u16>,
    /// Bytes of the body that were sent.
    pub sent_bytes: u64,
    /// What went wrong, in a word of a closed list.
    pub error: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// The record of a request that is over.
    pub fn of(
        request: &'a RequestHeader,
        conn: &'a ConnInfo,
        ctx: &'a RequestContext,
        now: Now,
        raw_head: Option<&'a [u8]>,
        outcome: Outcome<'a>,
    ) -> Self {
        Self {
            id: &ctx.id,
            began: ctx.began,
            took: now.instant.duration_since(ctx.began.instant),
            decided_in: ctx.decided_in,
            request,
            conn,
            policy: &ctx.policy,
            judged: ctx.judged.as_deref(),
            origin_status: ctx.answer.as_ref().map(|answer| answer.status),
            origin_failed: ctx.answer.as_ref().zip(ctx.route()).map(|(answer, route)| answer.has_failed(route)),
            seen: ctx.seen,
            site: ctx.site.as_ref(),
            raw_head,
            outcome,
        }
    }

    /// The decision, where there is one.
    pub fn decision(&self) -> Option<&'a Decision> {
        self.judged.map(|judged| &judged.decision)
    }

    /// The name of the route, or `unrouted`.
    pub fn route(&self) -> &'a str {
        self.decision().map_or("unrouted", |decision| &self.policy.rules().route(decision.route).name)
    }
}
