//! An HTTP/2 client.

use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{self, SendRequest};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::message::RawResponse;
use crate::tls::{Tls, TlsFacts};

/// One connection. It is driven while a request is under way, not in between.
#[derive(Debug)]
pub struct Http2 {
    runtime: Runtime,
    send: SendRequest<Bytes>,
    /// The bodies that have not ended.
    paused: Vec<SendStream<Bytes>>,
    tls: Option<TlsFacts>,
    host: String,
    bound: Duration,
}

impl Http2 {
    pub(crate) fn over(stream: TcpStream, tls: Option<&Tls>, host: &str, bound: Duration) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let started = runtime.block_on(in_time(bound, async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            match tls {
                None => Ok((start(stream).await?, None)),
                Some(tls) => {
                    let stream = TlsConnector::from(tls.config.clone()).connect(tls.name.clone(), stream).await?;
                    let facts = TlsFacts::of(stream.get_ref().1)?;
                    Ok((start(stream).await?, Some(facts)))
                }
            }
        }));
        let (send, tls) = started?;
        Ok(Self { runtime, send, paused: Vec::new(), tls, host: host.to_owned(), bound })
    }

    /// Sends a GET with these headers.
    ///
    /// # Errors
    ///
    /// As [`Http2::request`].
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<RawResponse> {
        self.request("GET", path, headers, b"")
    }

    /// Sends a request with these headers and this body, and waits for the whole response.
    ///
    /// # Errors
    ///
    /// What h2 says of the stream or connection; [`io::ErrorKind::TimedOut`] past the bound.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<RawResponse> {
        self.exchange(method, path, headers, body, Body::Whole)
    }

    /// The same, with a body that does not end behind its first bytes: see [`Http2::go_on`] and [`Http2::end`].
    ///
    /// # Errors
    ///
    /// As [`Http2::request`].
    pub fn request_that_pauses(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        first: &[u8],
    ) -> io::Result<RawResponse> {
        self.exchange(method, path, headers, first, Body::Begun)
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        sent: Body,
    ) -> io::Result<RawResponse> {
        let request = self.build(method, path, headers)?;
        let (send, bound) = (self.send.clone(), self.bound);
        let exchange = exchange(send, request, Bytes::copy_from_slice(body), sent);
        let (response, stream) = self.runtime.block_on(in_time(bound, exchange))?;
        if sent == Body::Begun {
            self.paused.push(stream);
        }
        Ok(response)
    }

    /// Sends more of each body that has not ended, if there is any, drives the connection for a moment, and says by what
    /// code (RFC 9113 §7) the streams were reset on which no more can be sent, in the order of their requests.
    pub fn go_on(&mut self, more: &[u8]) -> Vec<u32> {
        let Self { runtime, paused, .. } = self;
        for stream in paused.iter_mut().filter(|_| !more.is_empty()) {
            // That it cannot be sent shows in what is returned.
            drop(stream.send_data(Bytes::copy_from_slice(more), false));
        }
        runtime.block_on(async {
            let mut codes = Vec::new();
            for stream in paused {
                let reset = timeout(MOMENT, poll_fn(|cx| stream.poll_reset(cx))).await;
                codes.extend(reset.ok().and_then(Result::ok).map(u32::from));
            }
            codes
        })
    }

    /// Ends each body that has not ended.
    pub fn end(&mut self) {
        for mut stream in self.paused.drain(..) {
            // On one that was reset there is nothing to end.
            drop(stream.send_data(Bytes::new(), true));
        }
    }

    /// Sends a GET for each path at once, each on a stream of its own, and waits for all of them.
    /// The responses stand in the order of the paths.
    ///
    /// # Errors
    ///
    /// As [`Http2::request`], for the first that fails.
    pub fn get_all(&mut self, paths: &[&str], headers: &[(&str, &str)]) -> io::Result<Vec<RawResponse>> {
        let requests: Vec<_> = paths.iter().map(|path| self.build("GET", path, headers)).collect::<io::Result<_>>()?;
        let (send, bound) = (self.send.clone(), self.bound);
        self.runtime.block_on(in_time(bound, async {
            let streams: Vec<_> = requests
                .into_iter()
                .map(|request| tokio::spawn(exchange(send.clone(), request, Bytes::new(), Body::Whole)))
                .collect();
            let mut responses = Vec::new();
            for stream in streams {
                responses.push(stream.await.map_err(io::Error::other)??.0);
            }
            Ok(responses)
        }))
    }

    /// What the handshake agreed on, when this connection speaks TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    fn build(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Request<()>> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut request = Request::builder().method(method).uri(format!("{scheme}://{}{path}", self.host));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).map_err(io::Error::other)
    }
}

async fn start<S>(stream: S) -> io::Result<SendRequest<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) = client::handshake(stream).await.map_err(io::Error::other)?;
    // A fault of the connection is also the fault of every stream on it, and is seen there.
    tokio::spawn(async move { drop(connection.await) });
    Ok(send)
}

/// For how long a connection is driven between two requests.
const MOMENT: Duration = Duration::from_millis(2);

/// What is sent of a request's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Body {
    Whole,
    Begun,
}

async fn exchange(
    send: SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
    sent: Body,
) -> io::Result<(RawResponse, SendStream<Bytes>)> {
    let is_whole = sent == Body::Whole;
    let mut send = send.ready().await.map_err(io::Error::other)?;
    let (response, mut stream) = send.send_request(request, is_whole && body.is_empty()).map_err(io::Error::other)?;
    if !body.is_empty() {
        stream.send_data(body, is_whole).map_err(io::Error::other)?;
    }
    let (parts, mut incoming) = response.await.map_err(io::Error::other)?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk.map_err(io::Error::other)?;
        incoming.flow_control().release_capacity(chunk.len()).map_err(io::Error::other)?;
        body.extend_from_slice(&chunk);
    }
    let trailers = incoming.trailers().await.map_err(io::Error::other)?.unwrap_or_default();
    let response = RawResponse {
        status: parts.status.as_u16(),
        headers: pairs(&parts.headers),
        body,
        trailers: pairs(&trailers),
        interim: Vec::new(),
        head: Vec::new(),
    };
    Ok((response, stream))
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

async fn in_time<T>(bound: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(bound, work).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {bound:?}"))),
    }
}
