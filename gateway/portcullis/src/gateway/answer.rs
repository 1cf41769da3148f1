//! What follows from a request for the next ones of its client: a ban, and what the origin answered.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use portcullis_policy::Cause;
use portcullis_policy::model::Action;

use super::Gateway;
use super::gather::Judged;
use super::keys::ban_key;
use super::policy::Policy;
use crate::clock::Now;

/// What the origin answered, as far as later requests are judged by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whether it sets a cookie (RFC 6265 §4.1).
    pub sets_cookie: bool,
    /// Whether it is a page: 200, and HTML.
    pub is_page: bool,
}

impl Answer {
    /// What the final header of an answer shows.
    pub(crate) fn of(response: &ResponseHeader) -> Self {
        Self {
            status: response.status.as_u16(),
            sets_cookie: response.headers.contains_key(header::SET_COOKIE),
            is_page: response.status == StatusCode::OK && is_html(&response.headers),
        }
    }
}

impl Gateway {
    /// Bans the client of a request where that was decided.
    ///
    /// A trusted proxy that names no client stands for many; it is refused now and never banned.
    pub(crate) fn ban_if_decided(&self, policy: &Policy, judged: &Judged, now: Now) {
        let decision = &judged.decision;
        if decision.action != Action::Ban || decision.cause == Cause::Ban || self.trusted.trusts(judged.client.0) {
            return;
        }
        let ttl = policy.rules().route(decision.route).ban_ttl;
        let until = now.millis.0.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let key = ban_key(self.counters.hasher(), judged.client.0);
        self.bans.ban(key, portcullis_velocity::Millis(until), decision.route.0, now.millis);
    }

    /// Counts what the origin answered, for the next requests of the client; none where it was not asked or gave no
    /// answer.
    pub(crate) fn settle(&self, policy: &Policy, judged: &Judged, answer: Option<&Answer>, now: Now) {
        if let Some(answer) = answer {
            self.charge(policy, judged.decision.route, &judged.charges, answer.status, now);
        }
        if let Some(recall) = &judged.recall {
            self.memory.remember(recall, answer, now.millis);
        }
    }
}

fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.get(..HTML.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(HTML))
}

const HTML: &[u8] = b"text/html";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_html_that_was_found() {
        for (status, kind, is_page) in [
            (200, "text/html", true),
            (200, "Text/HTML; charset=utf-8", true),
            (200, "text/plain", false),
            (200, "", false),
            (404, "text/html", false),
            (304, "text/html", false),
        ] {
            let mut response = ResponseHeader::build(status, None).unwrap();
            response.insert_header(header::CONTENT_TYPE, kind).unwrap();
            let answer = Answer::of(&response);
            assert_eq!(
                (answer.status, answer.is_page, answer.sets_cookie),
                (status, is_page, false),
                "{status} {kind}"
            );
            response.insert_header(header::SET_COOKIE, "sid=1").unwrap();
            assert!(Answer::of(&response).sets_cookie);
        }
        let bare = ResponseHeader::build(200, None).unwrap();
        assert!(!Answer::of(&bare).is_page);
    }
}
