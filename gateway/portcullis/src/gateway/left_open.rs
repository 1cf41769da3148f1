//! Requests whose clients have their whole answer, and do not say that they are over.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::prelude::Session;

use super::record::Outcome;
use super::request::{Over, RequestContext};
use super::{Gateway, RequestBounds};
use crate::accept::{ConnInfo, cut_request_at};

/// A connection to the origin is held for such a request, so it has a time to end in.
///
/// Over HTTP/2 it is dropped then, and this is what is needed to conclude it all the same. Over HTTP/1, where a pause has
/// a time of its own, it fails by the next piece of its body.
pub struct LeftOpen {
    due: Instant,
    gateway: Arc<Gateway>,
    conn: Arc<ConnInfo>,
    request: RequestHeader,
}

impl LeftOpen {
    /// Bounds a request whose answer was passed on in so many pieces. None where no listener accepted it.
    pub(super) fn bound(gateway: &Arc<Gateway>, session: &Session, pieces: u32) -> Option<Box<Self>> {
        let conn = ConnInfo::of(session)?;
        let due = gateway.clock.now().instant + time_to_end(&gateway.bounds, pieces);
        cut_request_at(due);
        let request = session.req_header().clone();
        Some(Box::new(Self { due, gateway: Arc::clone(gateway), conn: Arc::clone(conn), request }))
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.gateway.clock.now().instant >= self.due
    }

    /// Concludes a request that was dropped.
    pub(super) fn conclude(&self, ctx: &mut RequestContext) {
        let outcome = Outcome {
            status: ctx.answer.as_ref().map(|answer| answer.status),
            sent_bytes: ctx.answer_bytes,
            error: Some(ErrorType::ReadTimedout.as_str()),
        };
        let over = Over { request: &self.request, conn: &self.conn, raw_head: None, outcome, by_client: true };
        self.gateway.conclude(over, ctx);
    }
}

/// As long as a client may pause in a body, and take for what is still on its way to it: Pingora takes at most five
/// pieces out of its pipe at once, and sends each within `send_timeout`.
fn time_to_end(bounds: &RequestBounds, pieces: u32) -> Duration {
    bounds.body_timeout + bounds.send_timeout * pieces.min(5)
}

impl fmt::Debug for LeftOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeftOpen").field("due", &self.due).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::OnFault;
    use super::*;

    #[test]
    fn what_is_on_its_way_to_the_client_has_its_time_first() {
        let secs = Duration::from_secs;
        let bounds = RequestBounds {
            body_timeout: secs(30),
            send_timeout: secs(10),
            max_header_bytes: 1024,
            on_fault: OnFault::Closed,
        };
        let times = [0, 1, 5, 6, u32::MAX].map(|pieces| time_to_end(&bounds, pieces));
        assert_eq!(times, [30, 40, 80, 80, 80].map(secs));
    }
}
