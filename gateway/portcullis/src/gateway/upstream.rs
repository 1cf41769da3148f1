//! What the origin is told, and what a client may not tell it.

use http::Uri;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use pingora::http::RequestHeader;
use pingora::prelude::{Error, ErrorType, Result};
use portcullis_challenge::Verdict;
use portcullis_policy::{Decision, RuleSet};
use portcullis_signals::{is_client_address_header, is_portcullis_header};
use smallvec::SmallVec;

use super::Gateway;
use super::gather::Judged;
use super::proxy::RequestContext;
use crate::accept::ConnInfo;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const SCORE: HeaderName = HeaderName::from_static("portcullis-score");
const ACTION: HeaderName = HeaderName::from_static("portcullis-action");
const REASONS: HeaderName = HeaderName::from_static("portcullis-reasons");
const REQUEST_ID: HeaderName = HeaderName::from_static("portcullis-request-id");
const VERDICT: HeaderName = HeaderName::from_static("portcullis-verdict");

impl Gateway {
    /// Rewrites a request for the origin: the canonical path, the address that was found, the verdict.
    pub(crate) fn prepare(
        &self,
        request: &mut RequestHeader,
        judged: &Judged,
        ctx: &RequestContext,
        conn: &ConnInfo,
    ) -> Result<()> {
        strip(request);
        join_cookies(request)?;
        if let Some(target) = &judged.target {
            set_target(request, target)?;
        }
        request.insert_header(FORWARDED_FOR, judged.client.0.to_string())?;
        request.insert_header(
            FORWARDED_PROTO,
            HeaderValue::from_static(if conn.tls.is_some() { "https" } else { "http" }),
        )?;
        let decision = &judged.decision;
        request.insert_header(SCORE, decision.score.to_string())?;
        request.insert_header(ACTION, HeaderValue::from_static(decision.action.name()))?;
        if !decision.reasons.is_empty() {
            request.insert_header(REASONS, reasons(decision))?;
        }
        request.insert_header(REQUEST_ID, ctx.id.as_str())?;
        if let Some(verdict) = self.verdict(ctx.policy.rules(), judged, ctx) {
            request.insert_header(VERDICT, verdict)?;
        }
        Ok(())
    }

    fn verdict(&self, rules: &RuleSet, judged: &Judged, ctx: &RequestContext) -> Option<String> {
        let decision = &judged.decision;
        let signer = self.verdicts.as_ref()?;
        let reasons: SmallVec<[&str; 8]> = decision.reasons.iter().map(|reason| reason.signal.name()).collect();
        Some(signer.sign(&Verdict {
            score_thousandths: decision.score.as_thousandths(),
            action: decision.action.name(),
            route: &rules.route(decision.route).name,
            request_id: ctx.id.as_str(),
            reasons: &reasons,
            client: Some(judged.client.0),
            issued_at: ctx.began.unix_millis(),
        }))
    }
}

/// The reasons as a list of tokens (RFC 9651 §3.1), strongest first.
fn reasons(decision: &Decision) -> String {
    let mut text = String::with_capacity(decision.reasons.len() * 20);
    for reason in &decision.reasons {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(reason.signal.name());
    }
    text
}

/// Rewrites a request that could not be judged: what a client may not say is taken off all the same.
pub(crate) fn prepare_unjudged(request: &mut RequestHeader, conn: &ConnInfo) -> Result<()> {
    strip(request);
    join_cookies(request)?;
    request.insert_header(FORWARDED_FOR, conn.client.ip().to_string())?;
    request
        .insert_header(FORWARDED_PROTO, HeaderValue::from_static(if conn.tls.is_some() { "https" } else { "http" }))?;
    Ok(())
}

/// Joins what HTTP/2 sends as several cookie fields, as HTTP/1.1 knows one only (RFC 9113 §8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    if request.headers.len() == request.headers.keys_len() {
        return Ok(());
    }
    let crumbs: SmallVec<[&[u8]; 8]> = request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = (crumbs.len() > 1).then(|| crumbs.join(&b"; "[..]));
    drop(crumbs);
    if let Some(joined) = joined {
        request.insert_header(COOKIE, joined)?;
    }
    Ok(())
}

/// Takes off what a client may not tell an origin: verdicts, other people's addresses, and headers by which
/// some frameworks put another path, method or user in place of the one that was judged.
fn strip(request: &mut RequestHeader) {
    let found: SmallVec<[HeaderName; 4]> =
        request.headers.keys().filter(|name| speaks_for_others(name)).cloned().collect();
    for name in &found {
        request.remove_header(name);
    }
}

fn speaks_for_others(name: &HeaderName) -> bool {
    // Of what a browser sends, next to nothing begins with one of these letters.
    if !matches!(name.as_str().as_bytes().first(), Some(b'x' | b'p' | b'f' | b'c' | b't' | b'r' | b'w')) {
        return false;
    }
    if name.as_str().contains('_') {
        // CGI and what follows it (RFC 3875 §4.1.18) cannot tell an underscore from a hyphen.
        let hyphens = HeaderName::from_bytes(name.as_str().replace('_', "-").as_bytes());
        return hyphens.is_ok_and(|name| {
            FRAMING.contains(&name) || name == FORWARDED_FOR || name == FORWARDED_PROTO || speaks_for_others(&name)
        });
    }
    // These two are written over right after.
    if *name == FORWARDED_FOR || *name == FORWARDED_PROTO {
        return false;
    }
    is_portcullis_header(name) || is_client_address_header(name) || rewrites_the_request(name)
}

/// Fields that frame a message, which no other spelling may feign.
const FRAMING: [HeaderName; 4] = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, COOKIE];

fn rewrites_the_request(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-")
        || matches!(
            name.as_str(),
            "proxy"
                | "remote-user"
                | "x-original-url"
                | "x-original-uri"
                | "x-original-method"
                | "x-original-host"
                | "x-rewrite-url"
                | "x-host"
                | "x-scheme"
                | "x-http-method-override"
                | "x-http-method"
                | "x-method-override"
        )
}

/// Puts the canonical target in place of what was sent.
fn set_target(request: &mut RequestHeader, target: &str) -> Result<()> {
    let uri = target
        .parse::<Uri>()
        .map_err(|_| Error::explain(ErrorType::HTTPStatus(414), "the canonical path is too long"))?;
    request.set_uri(uri);
    Ok(())
}
