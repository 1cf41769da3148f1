//! What follows from a request for the next ones of its client: a ban, and what the origin answered.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use portcullis_policy::model::{Action, Cost, Limit, Route};
use portcullis_velocity::{BanKind, Event, Extend, Millis};
use smallvec::SmallVec;

use super::Gateway;
use super::conduct::Ended;
use super::gather::Judged;
use super::policy::Policy;
use crate::clock::Now;

/// What the origin answered, as far as later requests are judged by it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whether it sets a cookie (RFC 6265 §4.1).
    pub sets_cookie: bool,
    /// Whether it is a page: 200, and HTML.
    pub is_page: bool,
    /// Whether the route calls it failed, by its status and header; where that is a matter of its body, by what came of
    /// that.
    pub failed: bool,
    /// Whether it goes on as long as its ends like: another protocol, or a stream of events.
    pub is_endless: bool,
    /// The beginning of its body, where the route looks there for failures.
    pub body: Vec<u8>,
    /// What it costs by its header, for each limit that asks for it.
    pub costs: SmallVec<[(u16, u32); 1]>,
}

impl Answer {
    /// What the final header of an answer shows.
    pub(crate) fn of(response: &ResponseHeader, route: &Route) -> Self {
        let status = response.status.as_u16();
        let cost = |(at, limit): (u16, &Limit)| {
            matches!(limit.cost, Cost::Header(_)).then(|| (at, limit.cost.of(&response.headers)))
        };
        Self {
            status,
            sets_cookie: response.headers.contains_key(header::SET_COOKIE),
            is_page: response.status == StatusCode::OK && is_of(&response.headers, HTML),
            failed: route.failure.failed(status, &response.headers, b""),
            is_endless: response.status == StatusCode::SWITCHING_PROTOCOLS || is_of(&response.headers, EVENTS),
            costs: (0_u16..).zip(&route.limits).filter_map(cost).collect(),
            body: Vec::new(),
        }
    }

    /// An answer of which the status is known, and whether it is a page that sets a cookie.
    pub(crate) fn played(status: u16, route: &Route) -> Self {
        let failed = route.failure.failed(status, &HeaderMap::new(), b"");
        Self { status, failed, ..Self::default() }
    }

    /// Takes in a part of the body, up to a bound.
    pub(crate) fn take_body(&mut self, part: &[u8]) {
        let room = MAX_ANSWER_BODY.saturating_sub(self.body.len());
        self.body.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    /// What it costs under the limit at this place.
    pub(super) fn cost_of(&self, limit: u16) -> u32 {
        self.costs.iter().find(|(at, _)| *at == limit).map_or(1, |(_, cost)| *cost)
    }

    /// Whether its body has yet to show if it failed.
    pub(super) fn is_open(&self, route: &Route) -> bool {
        !self.failed && !self.is_endless && self.body.len() < MAX_ANSWER_BODY && route.failure.needs_body()
    }

    pub(super) fn has_failed(&self, route: &Route) -> bool {
        self.failed || (route.failure.needs_body() && route.failure.failed(self.status, &HeaderMap::new(), &self.body))
    }
}

/// How much of an answer's body is looked at for failures.
const MAX_ANSWER_BODY: usize = 16 << 10;

impl Gateway {
    /// Bans who is to be banned where that was decided: the client, or what a limit counted by.
    ///
    /// A trusted proxy that names no client stands for many; it is refused now and never banned.
    pub(crate) fn ban_if_decided(&self, policy: &Policy, judged: &Judged, now: Now) {
        let Some((kind, key)) = judged.to_ban else { return };
        let is_place = matches!(kind, BanKind::Address | BanKind::Prefix | BanKind::Other);
        if judged.decision.action != Action::Ban || is_place && self.trusted.trusts(judged.client.0) {
            return;
        }
        let route = judged.decision.route;
        let ttl = policy.rules().route(route).ban_ttl;
        let until = now.millis.0.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        self.bans.impose(kind, key, Millis(until), route.0, Extend::ToTheLater, now.millis);
    }

    /// Counts what the origin answered, for the next requests of the client; none where it was not asked or gave no
    /// answer. What it comes to in bytes is counted by [`Gateway::transferred`].
    pub(crate) fn settle(&self, policy: &Policy, judged: &Judged, answer: Option<&Answer>, now: Now) {
        let route = policy.rules().route(judged.decision.route);
        let failed = answer.map(|answer| answer.has_failed(route));
        if let Some((answer, failed)) = answer.zip(failed) {
            self.charge(policy, judged.decision.route, &judged.charges, failed, now);
            self.charge_limits(&route.limits, &judged.limited, answer, failed, now);
        }
        if let Some((plan, keys)) = policy.plan(judged.decision.route).zip(judged.conduct_keys.as_ref()) {
            let is_missing = answer.is_some_and(|answer| matches!(answer.status, 404 | 410));
            self.settle_conduct(&plan.state, plan, keys, &judged.decision, Ended { failed, is_missing }, now);
        }
        if let Some(recall) = &judged.recall {
            self.memory.remember(recall, answer, now.millis);
        }
    }

    /// Charges the limits of a request whose client left, or kept the origin waiting, before that had answered: it has
    /// worked for it all the same. What it would have answered nobody knows. For limits it has `failed` where it was an
    /// attempt, as who guesses passwords of a session need not read what comes of each.
    pub(crate) fn charge_abandoned(&self, policy: &Policy, judged: &Judged, failed: bool, now: Now) {
        let route = policy.rules().route(judged.decision.route);
        self.charge_limits(&route.limits, &judged.limited, &Answer::default(), failed, now);
    }

    /// Counts the bytes of the bodies of a request and of its answer, when both are over.
    pub(crate) fn transferred(&self, policy: &Policy, judged: &Judged, bytes: u64, now: Now) {
        let route = policy.rules().route(judged.decision.route);
        self.charge_bytes(&route.limits, &judged.limited, bytes, now);
    }

    /// Notes that the origin says it was abused by a request.
    pub(crate) fn note_report(&self, judged: &Judged, now: Now) {
        if let Some(keys) = &judged.conduct_keys {
            self.note_standing(keys, Event::AbuseReport, now);
        }
    }
}

fn is_of(headers: &HeaderMap, media_type: &[u8]) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.get(..media_type.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(media_type))
}

const HTML: &[u8] = b"text/html";
const EVENTS: &[u8] = b"text/event-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_html_that_was_found() {
        let route = Route::bare("all");
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
            let answer = Answer::of(&response, &route);
            assert_eq!(
                (answer.status, answer.is_page, answer.sets_cookie),
                (status, is_page, false),
                "{status} {kind}"
            );
            response.insert_header(header::SET_COOKIE, "sid=1").unwrap();
            assert!(Answer::of(&response, &route).sets_cookie);
        }
        let bare = ResponseHeader::build(200, None).unwrap();
        assert!(!Answer::of(&bare, &route).is_page);
    }

    #[test]
    fn an_answer_is_open_while_more_of_it_could_show_a_failure() {
        let mut route = Route::bare("all");
        route.failure.json = vec![("/ok".parse().unwrap(), portcullis_policy::model::JsonTest::Bool(false))];
        for (status, kind, come, is_open) in [
            (200, "application/json", 0, true),
            (200, "application/json", MAX_ANSWER_BODY - 1, true),
            (200, "application/json", MAX_ANSWER_BODY, false),
            (200, "text/event-stream; charset=utf-8", 0, false),
            (101, "", 0, false),
        ] {
            let mut response = ResponseHeader::build(status, None).unwrap();
            response.insert_header(header::CONTENT_TYPE, kind).unwrap();
            let mut answer = Answer::of(&response, &route);
            answer.take_body(&vec![b' '; come]);
            assert_eq!(answer.is_open(&route), is_open, "{status} {kind} {come}");
        }
    }
}
