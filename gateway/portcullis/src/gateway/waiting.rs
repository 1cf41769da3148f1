//! What a request waits for before it goes on: the beginning of its own body, and a limit's delay.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pingora::prelude::{Error, ErrorType, Result, Session};
use portcullis_policy::model::BodyPrefix;
use portcullis_signals::{BodyEnd, CanonicalRequest};
use portcullis_velocity::InFlight;

use super::Gateway;
use super::body::{expects_continue, stated_length};
use super::enforce::{self, Form};
use super::head::head_of;
use super::reply::{AfterReply, Reply};
use super::request::RequestContext;

/// The beginning of a body that was read before the request goes on.
#[derive(Debug)]
pub struct ReadBody {
    bytes: Vec<u8>,
    end: BodyEnd,
    /// Whether Pingora kept it, and sends it first by itself.
    kept: bool,
}

impl ReadBody {
    /// What is judged of it.
    pub fn prefix(&self) -> BodyPrefix<'_> {
        BodyPrefix { bytes: &self.bytes, end: self.end }
    }

    /// What must be put before the rest of the body.
    pub fn unsent(self) -> Vec<u8> {
        if self.kept { Vec::new() } else { self.bytes }
    }
}

impl Gateway {
    /// Reads the beginning of the body, where the route looks for fields there and the body may be short enough to have
    /// any. It goes on to the origin unchanged.
    pub(super) async fn body_prefix(
        &self,
        session: &mut Session,
        ctx: &RequestContext,
    ) -> Result<std::result::Result<Option<ReadBody>, Box<Reply>>> {
        if !ctx.policy.reads_bodies()
            || self.is_for_sites(session.req_header())
            || session.as_downstream_mut().is_body_empty()
        {
            return Ok(Ok(None));
        }
        let header = session.req_header();
        let route = ctx.policy.rules().plan(&CanonicalRequest::of(&head_of(header, None)));
        let route = ctx.policy.rules().route(route);
        let most = usize::try_from(route.reads.body_bytes).unwrap_or(usize::MAX);
        let stated = stated_length(&header.headers);
        if !route.reads.needs_body() || stated.is_some_and(|stated| stated > most as u64) {
            return Ok(Ok(None));
        }
        let form = Form::of(route.clients, &header.headers);
        if expects_continue(header) {
            session.as_downstream_mut().write_continue_response().await?;
        }
        session.as_downstream_mut().enable_retry_buffering();
        // What comes in one piece may go past what Pingora keeps, unless that much room is left.
        let most = if stated.is_none() { most.min(MAX_UNSTATED) } else { most };
        let read = read(session, most, self.bounds.body_timeout).await?;
        if !read.kept && session.as_downstream_mut().is_body_done() {
            // It came whole, in pieces of no stated length, and more of it than can be sent on.
            let reply = enforce::failed(StatusCode::PAYLOAD_TOO_LARGE, form, ctx.id.as_str());
            return Ok(Err(Box::new(reply.then(AfterReply::Close))));
        }
        Ok(Ok(Some(read)))
    }

    /// Waits by the delay of a limit, if there is one. A request for which there is no room to wait is throttled.
    pub(super) async fn delay(&self, ctx: &mut RequestContext) {
        let Some(judged) = ctx.judged.as_mut() else { return };
        let Some(delay) = judged.decision.delay else { return };
        let Some((_, key)) = judged.limited.delayed.iter().find(|(at, _)| *at == delay.limit) else { return };
        let room = InFlight::wait(Arc::clone(&self.behaviours.in_flight), *key, delay.max_waiting);
        match room {
            Ok(_waiting) => tokio::time::sleep(Duration::from_millis(delay.for_ms.into())).await,
            Err(_) => {
                judged.decision.crowd_out();
                judged.limited.running.clear();
            }
        }
    }
}

/// How much is read of a body of no stated length, in bytes: less than the 64 KiB that Pingora keeps by one frame of
/// HTTP/2 (RFC 9113 §4.2).
const MAX_UNSTATED: usize = 48 << 10;

async fn read(session: &mut Session, most: usize, within: Duration) -> Result<ReadBody> {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() <= most {
            // Whatever is wrong with it, it is the client's body.
            match session.read_request_body().await.map_err(|error| error.into_down())? {
                Some(chunk) => bytes.extend_from_slice(&chunk),
                None => return Ok(BodyEnd::Reached),
            }
        }
        Ok(BodyEnd::Cut)
    };
    let read: std::result::Result<Result<BodyEnd>, _> = pingora_timeout::timeout(within, reading).await;
    let end = match read {
        Ok(end) => end?,
        Err(_) => return Error::e_explain(ErrorType::HTTPStatus(408), "the body did not come in time"),
    };
    let kept = !session.as_downstream_mut().retry_buffer_truncated();
    Ok(ReadBody { bytes, end, kept })
}
