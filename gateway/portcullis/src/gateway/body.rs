//! What messages say of their bodies, and the reading of one that is for the gateway itself.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, UPGRADE};
use http::{HeaderMap, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorType, Result, Session};

/// The bytes that a body is said to have (RFC 9110 §8.6); none where it is not said, or in no number.
pub(super) fn stated_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a request asks to be told to go on before it sends its body (RFC 9110 §10.1.1), which HTTP/1.0 does not know.
pub(super) fn expects_continue(header: &RequestHeader) -> bool {
    let expected = header.headers.get(EXPECT);
    header.version >= Version::HTTP_11
        && expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether a request becomes a connection of its own where the origin agrees, which rests as long as its ends like. A
/// WebSocket is what Pingora passes on; what has a body is an ordinary request first.
pub(super) fn may_upgrade(session: &mut Session) -> bool {
    let asked = session.req_header().headers.get(UPGRADE);
    asked.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && session.is_upgrade_req()
        && session.as_downstream_mut().is_body_empty()
}

/// Whether an answer is no interim one (RFC 9110 §15.2). Behind one that switches protocols no other follows.
pub(super) fn is_final(status: StatusCode) -> bool {
    !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
}

/// Whether an answer is whole with its header (RFC 9112 §6.3). A length may stand there several times, if it is the same
/// (RFC 9110 §8.6).
pub(super) fn is_bodiless(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let length = response.headers.get(CONTENT_LENGTH).map(|value| value.as_bytes());
    request.method == Method::HEAD
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || response.status != StatusCode::SWITCHING_PROTOCOLS
            && length.is_some_and(|length| length.split(|byte| *byte == b',').all(|part| part.trim_ascii() == b"0"))
}

/// Reads a whole body of at most `most` bytes; one byte more is kept, so that its excess shows.
pub(super) async fn read_body(session: &mut Session, most: usize, within: Duration) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let read = async {
        while let Some(chunk) = session.read_request_body().await? {
            let room = (most + 1).saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if body.len() > most {
                break;
            }
        }
        Ok(())
    };
    match pingora_timeout::timeout(within, read).await {
        Ok(read) => read.map(|()| body),
        Err(_) => Error::e_explain(ErrorType::HTTPStatus(408), "the body did not come in time"),
    }
}
