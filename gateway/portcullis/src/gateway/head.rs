//! What is read of a request's header by more than one part of the gateway.

use std::borrow::Cow;

use pingora::http::RequestHeader;
use portcullis_signals::RequestHead;

use super::challenge::Holder;
use super::gather::Judged;
use crate::accept::ConnInfo;

/// The path and query that a request asks for.
pub(super) fn target_of(header: &RequestHeader) -> &str {
    header.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
}

/// What a request calls its client; what is no UTF-8 in that is replaced.
pub(super) fn user_agent_of(header: &RequestHeader) -> Cow<'_, str> {
    let value = header.headers.get(http::header::USER_AGENT);
    value.map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default()
}

/// A request's head as it is judged.
pub(super) fn head_of<'a>(header: &'a RequestHeader, raw: Option<&'a [u8]>) -> RequestHead<'a> {
    RequestHead {
        method: &header.method,
        target: header.raw_path(),
        authority: header.uri.authority().map(http::uri::Authority::as_str),
        version: header.version,
        headers: &header.headers,
        raw,
    }
}

/// Who would hold a clearance that is given to this request.
pub(super) fn holder(header: &RequestHeader, conn: &ConnInfo, judged: &Judged) -> Holder {
    let authority = header.uri.authority().map(http::uri::Authority::as_str);
    let host = header.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
    let site = portcullis_signals::Host::of(authority.or(host).unwrap_or_default());
    let site = site.as_ref().map_or("", portcullis_signals::Host::as_str);
    Holder::of(site, judged.client, &judged.network, &judged.claim, judged.scheme).shaking(conn.tls_of(judged.client.0))
}
