//! Answers that the gateway gives itself.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::prelude::{Result, Session};
use std::time::Duration;

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
    /// It serves the next request.
    Keep,
    /// It is closed when the client has had the time to read the answer.
    Close,
    /// It is closed at once: what follows on it cannot be told apart, or does not come.
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

/// How long a client may take to send what is thrown away.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

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

    /// Writes the answer.
    pub async fn send(self, session: &mut Session) -> Result<()> {
        match self.connection {
            AfterReply::Keep if comes_soon(session) => throw_away(session, MAX_DRAINED_BYTES).await,
            AfterReply::Keep => {}
            AfterReply::Close | AfterReply::Cut => session.set_keepalive(None),
        }
        let head_only = session.req_header().method == http::Method::HEAD;
        let bodiless = self.body.is_empty() || head_only;
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = self.status;
        parts.headers = self.fields;
        if self.status != StatusCode::NO_CONTENT {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        session.write_response_header(Box::new(ResponseHeader::from(parts)), bodiless).await?;
        if !bodiless {
            session.write_response_body(Some(self.body), true).await?;
        }
        if self.connection != AfterReply::Cut {
            throw_away(session, MAX_LINGERED_BYTES).await;
        }
        Ok(())
    }
}

/// Whether a request's body is short, as far as it says, and not held back until the client is told to continue.
fn comes_soon(session: &Session) -> bool {
    let headers = &session.req_header().headers;
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_held_back = headers.contains_key(EXPECT) && session.response_written().is_none();
    !is_held_back && length.is_none_or(|length: usize| length <= MAX_DRAINED_BYTES)
}

/// Reads what is left of a request's body, up to a bound.
async fn throw_away(session: &mut Session, most: usize) {
    if session.as_downstream_mut().is_body_done() {
        return;
    }
    let mut left = most;
    let read = async {
        while let Ok(Some(chunk)) = session.read_request_body().await {
            match left.checked_sub(chunk.len()) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // A client that takes longer is not waited for.
    let _ = pingora_timeout::timeout(DRAIN_TIMEOUT, read).await;
}
