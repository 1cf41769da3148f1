//! What the origin is told, and what a client may not tell it.

use std::net::IpAddr;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, Uri};
use pingora::http::RequestHeader;
use pingora::prelude::{Error, ErrorType, OrErr, Result};
use portcullis_challenge::{Scheme, Verdict};
use portcullis_policy::model::{Mode, Print};
use portcullis_policy::{Decision, RuleSet};
use portcullis_signals::{Host, is_client_address_header, is_portcullis_header};
use smallvec::SmallVec;

use super::Gateway;
use super::coverage::header_order;
use super::gather::Judged;
use super::request::RequestContext;
use crate::accept::ConnInfo;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const SCORE: HeaderName = HeaderName::from_static("portcullis-score");
const ACTION: HeaderName = HeaderName::from_static("portcullis-action");
const REASONS: HeaderName = HeaderName::from_static("portcullis-reasons");
const REQUEST_ID: HeaderName = HeaderName::from_static("portcullis-request-id");
const VERDICT: HeaderName = HeaderName::from_static("portcullis-verdict");
const JA3: HeaderName = HeaderName::from_static("portcullis-ja3");
const JA4: HeaderName = HeaderName::from_static("portcullis-ja4");
const HTTP2: HeaderName = HeaderName::from_static("portcullis-http2");
const HEADER_ORDER: HeaderName = HeaderName::from_static("portcullis-header-order");
const STABLE: HeaderName = HeaderName::from_static("portcullis-stable");

impl Gateway {
    /// Rewrites a request for the origin: the canonical path, the address that was found, the verdict, and the
    /// prints of who sent `asked` that the policy wants told.
    pub(crate) fn prepare(
        &self,
        request: &mut RequestHeader,
        asked: &RequestHeader,
        judged: &Judged,
        ctx: &RequestContext,
        conn: &ConnInfo,
    ) -> Result<()> {
        rewrite(request, |headers| {
            tell_client(headers, judged.client.0, judged.scheme)?;
            let decision = &judged.decision;
            if decision.mode == Mode::Enforce {
                set_host(headers)?;
            }
            headers.insert(SCORE, value(&decision.score.decimal())?);
            headers.insert(ACTION, HeaderValue::from_static(decision.action.name()));
            match decision.reasons.as_slice() {
                [] => {}
                [reason] => drop(headers.insert(REASONS, HeaderValue::from_static(reason.signal.name()))),
                _ => drop(headers.insert(REASONS, value(reasons(decision).as_bytes())?)),
            }
            headers.insert(REQUEST_ID, value(ctx.id.as_str().as_bytes())?);
            if let Some(verdict) = self.verdict(ctx.policy.rules(), judged, ctx) {
                headers.insert(VERDICT, value(verdict.as_bytes())?);
            }
            let route = ctx.policy.rules().route(decision.route);
            if route.failure.needs_body() {
                // Failures are looked for in its text, all of it.
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
                for name in PARTLY {
                    headers.remove(name);
                }
            }
            route
                .tell_origin
                .iter()
                .try_for_each(|print| tell_print(headers, *print, &asked.headers, judged.client.0, conn))
        })?;
        judged.target.as_deref().map_or(Ok(()), |target| set_target(request, target))
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

/// Says one print of the client; nothing where the connection does not have it.
fn tell_print(headers: &mut HeaderMap, print: Print, asked: &HeaderMap, client: IpAddr, conn: &ConnInfo) -> Result<()> {
    let tls = conn.tls_of(client);
    let (name, text) = match print {
        Print::Ja3 => (JA3, tls.map(|tls| tls.ja3.to_string())),
        Print::Ja4 => (JA4, tls.map(|tls| tls.ja4.to_string())),
        // The recorder bounds it to some 3,000 characters; those of real clients have a hundred at most.
        Print::Http2 => (HTTP2, conn.http2_print_of(client).map(ToString::to_string)),
        Print::HeaderOrder => (HEADER_ORDER, Some(header_order(asked).to_string())),
        Print::Stable => (STABLE, tls.map(|tls| tls.stable().to_string())),
    };
    if let Some(text) = text {
        headers.insert(name, value(text.as_bytes())?);
    }
    Ok(())
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
    let scheme = if conn.tls.is_some() { Scheme::Https } else { Scheme::Http };
    rewrite(request, |headers| tell_client(headers, conn.client.ip(), scheme))
}

/// Takes off what a client may not say, and has `tell` add to the header fields what the gateway says.
///
/// The fields are taken out of Pingora's type for it, and their spelling by letter case is let go: keeping it costs
/// a second map of all names, and names mean the same in any case (RFC 9110 §5.1).
fn rewrite(request: &mut RequestHeader, tell: impl FnOnce(&mut HeaderMap) -> Result<()>) -> Result<()> {
    let in_uri = request.uri.path_and_query().is_some_and(|path| path.as_str().as_bytes() == request.raw_path());
    let raw_target = (!in_uri).then(|| SmallVec::<[u8; 64]>::from_slice(request.raw_path()));
    let nothing = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = Parts::from(std::mem::replace(request, nothing));
    strip(&mut parts.headers);
    join_cookies(&mut parts.headers)?;
    tell(&mut parts.headers)?;
    *request = RequestHeader::from(parts);
    raw_target.map_or(Ok(()), |target| request.set_raw_path(&target))
}

/// Says who asks, and how.
fn tell_client(headers: &mut HeaderMap, client: IpAddr, scheme: Scheme) -> Result<()> {
    headers.insert(FORWARDED_FOR, value(&address_text(client))?);
    headers.insert(
        FORWARDED_PROTO,
        HeaderValue::from_static(match scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }),
    );
    Ok(())
}

/// An address as text. Most are of IPv4, and are written without the machinery of formatting.
fn address_text(address: IpAddr) -> SmallVec<[u8; 48]> {
    let mut text = SmallVec::new();
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    text.push(b'.');
                }
                if octet >= 100 {
                    text.push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    text.push(b'0' + octet / 10 % 10);
                }
                text.push(b'0' + octet % 10);
            }
        }
        IpAddr::V6(address) => text.extend_from_slice(address.to_string().as_bytes()),
    }
    text
}

/// A header field's value. Everything put in one here is visible ASCII, so this does not fail.
fn value(text: &[u8]) -> Result<HeaderValue> {
    HeaderValue::from_bytes(text).or_err(ErrorType::InvalidHTTPHeader, "a field of ours has no visible ASCII")
}

/// Joins what HTTP/2 sends as several cookie fields, as HTTP/1.1 knows one only (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<()> {
    if headers.len() == headers.keys_len() {
        return Ok(());
    }
    let crumbs: SmallVec<[&[u8]; 8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = (crumbs.len() > 1).then(|| HeaderValue::from_bytes(&crumbs.join(&b"; "[..])));
    drop(crumbs);
    if let Some(joined) = joined {
        let joined = joined.or_err(ErrorType::InvalidHTTPHeader, "cookies that are no field's value")?;
        headers.insert(COOKIE, joined);
    }
    Ok(())
}

/// Takes off what a client may not tell an origin: verdicts, other people's addresses, and headers by which
/// some frameworks put another path, method or user in place of the one that was judged.
fn strip(headers: &mut HeaderMap) {
    let found: SmallVec<[HeaderName; 4]> = headers.keys().filter(|name| speaks_for_others(name)).cloned().collect();
    for name in &found {
        headers.remove(name);
    }
}

fn speaks_for_others(name: &HeaderName) -> bool {
    // Of what a browser sends, little begins with one of these.
    if !matches!(
        name.as_str().as_bytes(),
        [b'x' | b'p' | b'f' | b'c' | b't' | b'r' | b'w' | b'z', ..]
            | [b'a', b'l', ..]
            | [b'd' | b'i', b'o' | b'n', ..]
            | [b'h', b't', ..]
    ) {
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

/// Fields by which a client is answered with less than all of what it asks for (RFC 9110 §13.1, §14.2).
const PARTLY: [HeaderName; 6] = [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

/// Fields that frame a message, which no other spelling may feign.
const FRAMING: [HeaderName; 4] = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, COOKIE];

fn rewrites_the_request(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-")
        || matches!(
            name.as_str(),
            "proxy"
                | "remote-user"
                | "x-remote-user"
                | "x-original-path"
                | "x-envoy-original-path"
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

/// Puts the one form of the host, by which the route was found, in place of what was sent.
fn set_host(headers: &mut HeaderMap) -> Result<()> {
    let sent = headers.get(HOST).and_then(|sent| sent.to_str().ok());
    if let Some(host) = sent.and_then(Host::forwarded) {
        headers.insert(HOST, value(host.as_bytes())?);
    }
    Ok(())
}

/// Puts the canonical target in place of what was sent.
fn set_target(request: &mut RequestHeader, target: &str) -> Result<()> {
    let uri = target
        .parse::<Uri>()
        .map_err(|_| Error::explain(ErrorType::HTTPStatus(414), "the canonical path is too long"))?;
    request.set_uri(uri);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_that_speaks_for_others_is_found_by_its_first_letters_too() {
        for name in [
            "forwarded-for",
            "remote-addr",
            "http-client-ip",
            "do-connecting-ip",
            "x-nf-client-connection-ip",
            "incap-client-ip",
            "x-sucuri-clientip",
            "cdn-src-ip",
            "ali-cdn-real-ip",
            "z-forwarded-for",
            "cloudfront-viewer-address",
            "client-ip",
            "true-client-ip",
            "wl-proxy-client-ip",
            "fly-client-ip",
            "x-remote-user",
            "x-original-path",
            "x-envoy-original-path",
            "incap_client_ip",
        ] {
            assert!(speaks_for_others(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["accept", "authorization", "host", "date", "dnt", "if-match", "http2-settings", "zone", "cookie"] {
            assert!(!speaks_for_others(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn an_address_reads_as_it_is_usually_written() {
        for address in ["0.0.0.0", "9.10.99.100", "192.0.2.255", "2001:db8::1", "::ffff:192.0.2.1"] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(address_text(parsed).as_slice(), address.as_bytes());
        }
    }
}
