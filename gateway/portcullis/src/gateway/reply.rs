//! Answers that the gateway gives itself.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::prelude::{Result, Session};
use std::time::Duration;

use super::body::{expects_continue, stated_length};

/// One answer: status, header fields in order, body.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    fields: HeaderMap,
    body: Bytes,
    connection: AfterReply,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AfterReply {
    /// It serves the next request, where the body of this one was read to its end before the answer.
    Keep,
    /// It is closed when the client has had the time to read the answer; of HTTP/2 the stream is.
    Close,
    /// It is closed at once: what follows on it cannot be told apart.
    Cut,
}

/// How many fields most answers have at most, those that Pingora adds included.
const FIELDS: usize = 12;

/// How much of a request's body is read and thrown away before an answer, so that the connection can serve the next
/// request.
const MAX_DRAINED_BYTES: usize = 64 * 1024;

/// How much of it is read and thrown away behind an answer: a connection that is closed while bytes of its client are
/// unread is reset, and the answer lost with it (RFC 9112 §9.6).
const MAX_LINGERED_BYTES: usize = 16 << 20;

/// How long a client may take to send what is thrown away, before an answer and again behind it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What a piece of a body counts for beside its bytes, so that many small ones are not free.
const PIECE_BYTES: usize = 64;

impl Reply {
    /// An answer without header fields or body; no cache may keep it.
    pub fn new(status: StatusCode) -> Self {
        Self { status, fields: HeaderMap::with_capacity(FIELDS), body: Bytes::new(), connection: AfterReply::Keep }
    }

    /// Adds a header field, or puts it in the place of the one of that name.
    ///
    /// A value that no field may have is left out; what is put in one here is visible ASCII.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = match value.into() {
            Cow::Borrowed(value) => Ok(HeaderValue::from_static(value)),
            Cow::Owned(value) => HeaderValue::from_maybe_shared(Bytes::from(value)),
        };
        if let Ok(value) = value {
            self.fields.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Adds header fields that never change.
    #[must_use]
    pub fn with_all(self, fields: &[(&'static str, &'static str)]) -> Self {
        fields.iter().fold(self, |reply, (name, value)| reply.with(name, *value))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets what becomes of the connection behind the answer.
    #[must_use]
    pub const fn then(mut self, connection: AfterReply) -> Self {
        self.connection = connection;
        self
    }

    /// The status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether [`linger`] is to be called behind it.
    pub fn lingers(&self) -> bool {
        self.connection != AfterReply::Cut
    }

    /// The answer as it goes over an HTTP/1 connection that is closed behind it, and how many bytes of that are its body;
    /// none where it answers a HEAD. `date` is that of RFC 9110 §6.6.1.
    pub fn to_last_of_http1(&self, date: &str, is_head: bool) -> (Bytes, usize) {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut bytes = Vec::with_capacity(512 + self.body.len());
        bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16()).as_bytes());
        for (name, value) in &self.fields {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        let length = self.body.len();
        let ours = format!("content-length: {length}\r\ndate: {date}\r\nconnection: close\r\n\r\n");
        bytes.extend_from_slice(ours.as_bytes());
        let sent = if is_head { 0 } else { length };
        bytes.extend_from_slice(self.body.get(..sent).unwrap_or_default());
        (bytes.into(), sent)
    }

    /// Writes the answer.
    pub async fn send(self, session: &mut Session) -> Result<()> {
        let is_kept = self.connection == AfterReply::Keep && session.get_keepalive().is_some();
        // INVARIANT: behind a body that could not be read the next request is not looked for.
        let is_sound = !is_kept || !comes_soon(session) || throw_away(session, MAX_DRAINED_BYTES).await;
        if self.connection != AfterReply::Keep || !is_sound {
            session.set_keepalive(None);
        }
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = self.status;
        parts.headers = self.fields;
        if self.status != StatusCode::NO_CONTENT {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        let is_bodiless = self.body.is_empty() || session.req_header().method == http::Method::HEAD;
        session.write_response_header(Box::new(ResponseHeader::from(parts)), is_bodiless).await?;
        session.write_response_body((!is_bodiless).then_some(self.body), true).await
    }
}

/// Reads what a client goes on sending behind an answer, for as long as it may need to read that.
pub async fn linger(session: &mut Session) {
    throw_away(session, MAX_LINGERED_BYTES).await;
}

/// Whether a request's body may be short, and is not held back until the client is told to continue.
fn comes_soon(session: &Session) -> bool {
    let header = session.req_header();
    !expects_continue(header) && stated_length(&header.headers).is_none_or(|length| length <= MAX_DRAINED_BYTES as u64)
}

/// Reads what is left of a request's body, up to a bound; false where it is no body.
async fn throw_away(session: &mut Session, most: usize) -> bool {
    if session.as_downstream_mut().is_body_done() {
        return true;
    }
    let mut left = most;
    let read = async {
        loop {
            match session.read_request_body().await {
                Ok(Some(piece)) => match left.checked_sub(piece.len() + PIECE_BYTES) {
                    Some(less) => left = less,
                    None => return true,
                },
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    };
    // A client that takes longer is not waited for, and its connection is closed.
    pingora_timeout::timeout(DRAIN_TIMEOUT, read).await.unwrap_or(true)
}
