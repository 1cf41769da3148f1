//! From a decision to an answer: every status code of the gateway stands here.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::prelude::Result;
use portcullis_challenge::return_target;
use portcullis_policy::model::{Action, Clients, Route};
use portcullis_policy::{Cause, Decision, rate_limit, rate_limit_policy};
use portcullis_signals::{Fault, LimitReading};

use super::refusal::{self, Refused};
use super::reply::{AfterReply, Reply};

/// What form a refusal takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// A page for a person.
    Page,
    /// problem+json for a program.
    Problem,
}

impl Form {
    /// The form that a route's clients and a request's `Accept` ask for.
    pub fn of(clients: Clients, headers: &HeaderMap) -> Self {
        let accepts_html = || {
            let accept = headers.get(header::ACCEPT).map_or(&b""[..], |value| value.as_bytes());
            accept.windows(9).any(|window| window.eq_ignore_ascii_case(b"text/html"))
        };
        match clients {
            Clients::Browser => Self::Page,
            Clients::Api | Clients::Unattended => Self::Problem,
            Clients::Mixed if accepts_html() => Self::Page,
            Clients::Mixed => Self::Problem,
        }
    }
}

/// A refusal that needs no puzzle.
pub fn refuse(decision: &Decision, limits: &[LimitReading], refused: &Refused<'_>) -> Reply {
    match (decision.action, decision.cause) {
        (_, Cause::Malformed(fault)) => malformed(fault, refused.reference_id),
        (Action::Throttle, _) => throttled(decision, limits, refused),
        (Action::StepUp, _) => step_up(decision.code, refused),
        _ => refusal::told(StatusCode::FORBIDDEN, "Refused", "this request was refused", decision.code, refused),
    }
}

/// 400, with what is wrong with the request.
pub fn malformed(fault: Fault, reference_id: &str) -> Reply {
    let code = Cause::Malformed(fault).code(Action::Block);
    let said = match fault {
        Fault::Framing(fault) if fault.is_unreadable() => "the request cannot be read",
        _ => "the request can be read in more than one way",
    };
    let detail = format!("{said}: {}", fault.name());
    let then = if matches!(fault, Fault::Framing(_)) { AfterReply::Cut } else { AfterReply::Close };
    told(StatusCode::BAD_REQUEST, "Malformed request", &detail, code, Form::Problem, reference_id).then(then)
}

/// 401, with what is lacking (RFC 9470 §3).
pub fn step_up(code: &str, refused: &Refused<'_>) -> Reply {
    refusal::told(
        StatusCode::UNAUTHORIZED,
        "Stronger authentication required",
        "sign in again with a stronger method, and repeat the request",
        code,
        refused,
    )
    .with("www-authenticate", "Bearer error=\"insufficient_user_authentication\"")
}

/// The header by which an origin says that it has just checked a stronger sign-in, in an answer of its own.
pub const VOUCHED: &str = "portcullis-level";

/// The header by which an origin says, with `abuse`, that the caller of a request abuses it.
pub const REPORTED: &str = "portcullis-report";

/// Tells a client of its limits in an answer of the origin (draft-ietf-httpapi-ratelimit-headers-10), unless the origin
/// tells it of its own.
pub fn tell_limits(
    response: &mut ResponseHeader,
    policy: &HeaderValue,
    route: &Route,
    limits: &[LimitReading],
) -> Result<()> {
    let [policy_name, state_name] = ["ratelimit-policy", "ratelimit"];
    if [policy_name, state_name].iter().any(|name| response.headers.contains_key(*name)) {
        return Ok(());
    }
    response.insert_header(policy_name, policy.clone())?;
    rate_limit(route, limits).map_or(Ok(()), |state| response.insert_header(state_name, state))
}

/// 405 to a TRACE: an origin that serves it echoes what only the origin is to be told (RFC 9110 §9.3.8).
pub fn no_trace() -> Reply {
    Reply::new(StatusCode::METHOD_NOT_ALLOWED)
        .with("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        .with("cache-control", "no-store")
}

/// Sends a person to the stronger sign-in, which is told where to come back to.
pub fn to_sign_in(sign_in: &str, target: &str) -> Reply {
    let joint = if sign_in.contains('?') { '&' } else { '?' };
    let target =
        percent_encoding::utf8_percent_encode(return_target(target).as_str(), percent_encoding::NON_ALPHANUMERIC);
    Reply::new(StatusCode::SEE_OTHER)
        .with("cache-control", "no-store")
        .with("referrer-policy", "no-referrer")
        .with("location", format!("{sign_in}{joint}return={target}"))
}

/// 429, with the time to wait (RFC 9110 §10.2.3) and the limit's state (draft-ietf-httpapi-ratelimit-headers).
fn throttled(decision: &Decision, limits: &[LimitReading], refused: &Refused<'_>) -> Reply {
    let wait_secs = u64::from(decision.retry_after_ms).div_ceil(1000).max(1);
    let detail = format!("too many requests; try again in {wait_secs} s");
    let route = refused.route;
    let reply = refusal::told(StatusCode::TOO_MANY_REQUESTS, "Too many requests", &detail, decision.code, refused)
        .with("retry-after", wait_secs.to_string());
    if decision.limit.is_none() {
        return reply;
    }
    let fields = [("ratelimit-policy", rate_limit_policy(route)), ("ratelimit", rate_limit(route, limits))];
    let told = fields.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    told.fold(reply, |reply, (name, value)| reply.with(name, value))
}

/// An answer in the built-in words, in the form asked for.
pub fn told(status: StatusCode, title: &str, detail: &str, code: &str, form: Form, reference_id: &str) -> Reply {
    let (route, headers) = (&*NOWHERE, &HeaderMap::new());
    refusal::told(status, title, detail, code, &Refused { route, headers, form, reference_id })
}

/// A route that says nothing.
static NOWHERE: LazyLock<Route> = LazyLock::new(|| Route::bare("nowhere"));

/// The answer to a request that failed on its way, whoever is to blame.
pub fn failed(status: StatusCode, form: Form, reference_id: &str) -> Reply {
    let (title, detail, code) = match status {
        StatusCode::BAD_REQUEST => ("Bad request", "the request could not be read to its end", "API.BAD_REQUEST"),
        StatusCode::REQUEST_TIMEOUT => {
            ("Request timed out", "the request body did not come in time", "API.REQUEST_TIMEOUT")
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            ("Request body too large", "the request body is larger than this route takes", "API.BODY_TOO_LARGE")
        }
        StatusCode::URI_TOO_LONG => {
            ("Path too long", "the canonical form of the path is too long", "API.PATH_TOO_LONG")
        }
        StatusCode::INTERNAL_SERVER_ERROR => {
            ("Internal fault", "the gateway failed at this request", "API.INTERNAL_FAULT")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            ("Unavailable", "the gateway cannot serve this now; try again", "API.UNAVAILABLE")
        }
        StatusCode::GATEWAY_TIMEOUT => ("Origin timed out", "the origin did not answer in time", "API.ORIGIN_TIMEOUT"),
        _ => ("Origin unreachable", "no origin server could be reached", "API.ORIGIN_FAILED"),
    };
    told(status, title, detail, code, form, reference_id)
}

/// The answer where no route matches.
pub fn unrouted(form: Form, reference_id: &str) -> Reply {
    told(StatusCode::NOT_FOUND, "Not found", "nothing is served here", "API.NO_ROUTE", form, reference_id)
}
