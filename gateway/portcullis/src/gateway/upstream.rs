//! What the origin is told, and what a client may not tell it.

use http::header::{HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use pingora::Result;
use pingora::http::RequestHeader;
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
        if let Some(path) = &judged.rewritten {
            set_path(request, path);
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

/// Takes off what a client may not tell an origin: verdicts, other people's addresses, and headers by which
/// some frameworks put another path or method in place of the one that was judged.
fn strip(request: &mut RequestHeader) {
    let found: SmallVec<[HeaderName; 4]> =
        request.headers.keys().filter(|name| speaks_for_others(name)).cloned().collect();
    for name in &found {
        request.remove_header(name);
    }
}

fn speaks_for_others(name: &HeaderName) -> bool {
    // Of what a browser sends, next to nothing begins with one of these letters.
    if !matches!(name.as_str().as_bytes().first(), Some(b'x' | b'p' | b'f' | b'c' | b't')) {
        return false;
    }
    // These two are written over right after.
    if *name == FORWARDED_FOR || *name == FORWARDED_PROTO {
        return false;
    }
    is_portcullis_header(name) || is_client_address_header(name) || rewrites_the_request(name)
}

fn rewrites_the_request(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "x-original-url"
            | "x-original-uri"
            | "x-original-method"
            | "x-rewrite-url"
            | "x-forwarded-uri"
            | "x-forwarded-path"
            | "x-forwarded-prefix"
            | "x-forwarded-method"
            | "x-forwarded-host"
            | "x-forwarded-server"
            | "x-forwarded-port"
            | "x-forwarded-scheme"
            | "x-http-method-override"
            | "x-http-method"
            | "x-method-override"
    )
}

fn set_path(request: &mut RequestHeader, path: &str) {
    let text = match request.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if let Ok(target) = PathAndQuery::try_from(text) {
        let mut parts = request.uri.clone().into_parts();
        parts.path_and_query = Some(target);
        if let Ok(uri) = Uri::from_parts(parts) {
            request.set_uri(uri);
        }
    }
}
