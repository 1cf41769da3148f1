//! A fault of the gateway in judging a request, kept to that request.

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::StatusCode;
use pingora::prelude::Session;
use portcullis_policy::RouteId;
use portcullis_policy::model::BodyPrefix;
use portcullis_signals::{CanonicalRequest, Http, RequestHead};

use super::enforce::{self, Form};
use super::gather::{Asked, On};
use super::head::head_of;
use super::reply::{AfterReply, Reply};
use super::request::RequestContext;
use super::{Gateway, OnFault};
use crate::accept::ConnInfo;
use crate::clock::Now;

impl Gateway {
    /// Judges a request; a fault of ours in that ends as the settings say, and the process goes on.
    pub(super) fn judge_guarded(
        &self,
        session: &Session,
        conn: &ConnInfo,
        body: Option<BodyPrefix<'_>>,
        ctx: &mut RequestContext,
    ) -> Result<(), Box<Reply>> {
        let header = session.req_header();
        let raw = session.as_http1().map(|http1| http1.get_headers_raw_bytes());
        let head = head_of(header, raw.as_deref());
        let http = if session.is_http2() { Http::Two } else { Http::One };
        if raw.as_ref().is_some_and(|raw| raw.len() > self.bounds.max_header_bytes) {
            self.judge_asked(Asked::Unreadable, &head, conn, http, ctx.began, ctx);
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
                self.note_fault(ctx);
                ctx.unjudged_route = fault.open_to;
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let refused =
                    || Box::new(enforce::failed(status, Form::Problem, ctx.id.as_str()).then(AfterReply::Close));
                ctx.unjudged_route.map(|_| ()).ok_or_else(refused)
            }
        }
    }

    /// Judges what is asked of a request that goes to no origin. By a fault of ours it is unjudged, however it was judged before.
    pub(super) fn judge_asked(
        &self,
        asked: Asked,
        head: &RequestHead<'_>,
        conn: &ConnInfo,
        http: Http,
        now: Now,
        ctx: &mut RequestContext,
    ) {
        let on = On { policy: &ctx.policy, asked };
        let judged = guarded(|| self.judge_on(on, head, conn, http, None, now), RouteId::default, OnFault::Closed);
        ctx.judged = judged.map_err(|_| self.note_fault(ctx)).ok();
    }

    fn note_fault(&self, ctx: &RequestContext) {
        self.metrics.judgement_fault();
        tracing::error!(request = ctx.id.as_str(), "judging a request failed by a fault of the gateway");
    }
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
