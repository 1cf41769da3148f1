//! The connection as Pingora sees it from the first HTTP byte on.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType, l4::stream::Stream as L4Stream, raw_connect::ProxyDigest, tls::SslDigest,
};
use portcullis_fingerprint::{Http2Recorder, Recording};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::{
    clock::{HeaderClock, SendClock},
    conn::{Alpn, ConnInfo},
    corked::Corked,
    stats::{AcceptStats, Cut, Label, Unjudged},
    unread::{HeadCopy, Unread},
};

/// What a gate stream runs over: the socket itself, or TLS over it.
///
/// A type parameter rather than an enum, so that a read is not decided anew each time.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static {
    fn socket(&self) -> &L4Stream;
}

impl Transport for Box<L4Stream> {
    fn socket(&self) -> &L4Stream {
        self
    }
}

impl Transport for TlsStream<Corked<Box<L4Stream>>> {
    fn socket(&self) -> &L4Stream {
        &self.get_ref().0.socket
    }
}

/// An accepted connection with what is known of it, its byte counts and its header clock.
pub(super) struct GateStream<T> {
    transport: T,
    info: Arc<ConnInfo>,
    /// Holds `info` for every [`pingora::proxy::Session`] of the connection.
    proxy_digest: Arc<ProxyDigest>,
    /// Present on TLS; Pingora takes a stream without for plaintext.
    ssl_digest: Option<Arc<SslDigest>>,
    /// Absent on HTTP/2 once the preface has come: Pingora's idle time takes over there.
    clock: Option<HeaderClock>,
    sending: SendClock,
    /// Present on HTTP/2 until the first request is whole.
    recorder: Option<Box<Http2Recorder>>,
    /// Absent on HTTP/2, and where nobody answers what cannot be read.
    head: Option<HeadCopy>,
    /// What is still to be sent in the place of Pingora's answer.
    instead: Option<Bytes>,
    stats: Arc<AcceptStats>,
}

impl<T: Transport> GateStream<T> {
    pub(super) fn new(
        transport: T,
        info: Arc<ConnInfo>,
        ssl_digest: Option<Arc<SslDigest>>,
        clock: HeaderClock,
        sending: SendClock,
        unread: Option<Arc<dyn Unread>>,
        stats: Arc<AcceptStats>,
    ) -> pingora::Result<Self> {
        // The response belongs to the slot's first use, proxying by CONNECT; nobody reads it here.
        let unused = Box::new(pingora::http::ResponseHeader::build_no_case(200, Some(0))?);
        let proxy_digest = ProxyDigest::new(unused, Some(Box::new(Arc::clone(&info))));
        let proxy_digest = Arc::new(proxy_digest);
        let recorder = info.is_http2().then(|| Box::new(Http2Recorder::new()));
        let head = unread.filter(|_| !info.is_http2()).map(HeadCopy::new);
        let clock = Some(clock);
        Ok(Self { transport, info, proxy_digest, ssl_digest, clock, sending, recorder, head, instead: None, stats })
    }

    /// Takes note of plaintext that has just been read.
    ///
    /// All bytes pass here in order, and before the request that they make up is handed on: so when a request is
    /// judged, the print of its connection is there. An error when they are pieces too many.
    fn note_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.info.count_read(bytes.len());
        if self.recorder.is_some() {
            self.record(bytes);
        }
        if let Some(head) = &mut self.head {
            head.note_read(self.info.turn(), bytes);
        }
        let Some(clock) = &mut self.clock else { return Ok(()) };
        if !self.info.is_http2() {
            if clock.note_read(self.info.turn(), bytes.len()) {
                return Err(self.cut(Cut::ScatteredHeader));
            }
        } else if self.info.bytes_read() >= HTTP2_PREFACE_BYTES {
            self.clock = None;
        }
        Ok(())
    }

    /// Records what an HTTP/2 client sends up to its first request.
    #[cold]
    fn record(&mut self, bytes: &[u8]) {
        let Some(recorder) = &mut self.recorder else { return };
        match recorder.feed(bytes) {
            Recording::NeedMore => return,
            Recording::Done(print) => self.info.keep_http2_print(print),
            Recording::GaveUp(reason) => {
                self.stats.http2_unread.add(reason.into());
                // INVARIANT: who makes the recorder give up, as no browser does, is judged by an empty print rather
                // than by none.
                self.info.keep_http2_print(Box::default());
            }
        }
        self.recorder = None;
    }

    /// Sees to it that a request that cannot be read has a better answer than `bytes`, by which Pingora is about to begin
    /// its own.
    fn note_answer(&mut self, bytes: &[u8]) {
        if self.info.is_http2() {
            return;
        }
        let turn = self.info.turn();
        // What answers while a header is due is Pingora, which has not shown the request to anybody.
        if self.clock.as_mut().is_some_and(|clock| clock.take_due(turn)) && self.info.bytes_read() > 0 {
            self.answer_unread(turn, Unjudged::of(bytes));
        }
    }

    #[cold]
    fn answer_unread(&mut self, turn: u64, status: Unjudged) {
        let head = self.head.as_ref().filter(|_| status == Unjudged::BadRequest);
        let answer = head.and_then(|head| head.answer(turn, &self.info));
        if !answer.as_ref().is_some_and(|answer| answer.is_judged) {
            self.stats.unjudged.add(status);
        }
        self.instead = answer.map(|answer| answer.bytes);
    }

    /// Sends what goes in the place of Pingora's answer, of which nothing is sent then.
    #[cold]
    fn poll_instead(&mut self, mut rest: Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !rest.is_empty() {
            let polled = Pin::new(&mut self.transport).poll_write(cx, &rest);
            let written = match self.sent(polled, cx) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.instead = Some(rest);
                    return Poll::Pending;
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.info.count_written(written);
            rest.advance(written);
        }
        self.instead = Some(rest);
        Poll::Ready(Ok(()))
    }

    /// What is polled of the transport's sending side; an error when it has been waiting for the client too long.
    fn sent<R>(&mut self, polled: Poll<io::Result<R>>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.sending.rest();
            return polled;
        }
        ready!(self.sending.poll_over(cx));
        Poll::Ready(Err(self.cut(Cut::SlowReader)))
    }

    /// The error by which a connection is cut.
    #[cold]
    fn cut(&self, cut: Cut) -> io::Error {
        self.stats.cut.add(cut);
        io::Error::new(io::ErrorKind::TimedOut, cut.name())
    }
}

impl<T: Transport> AsyncRead for GateStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.transport).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => Poll::Ready(this.note_read(buf.filled().get(before..).unwrap_or_default())),
            Poll::Pending => {
                let Some(clock) = &mut this.clock else { return Poll::Pending };
                let cut = ready!(clock.poll_over(this.info.turn(), cx));
                Poll::Ready(Err(this.cut(cut)))
            }
            failed => failed,
        }
    }
}

impl<T: Transport> AsyncWrite for GateStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.note_answer(buf);
        if let Some(instead) = this.instead.take() {
            return this.poll_instead(instead, cx).map_ok(|()| buf.len());
        }
        let polled = Pin::new(&mut this.transport).poll_write(cx, buf);
        let written = ready!(this.sent(polled, cx))?;
        this.info.count_written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.note_answer(bufs.first().map_or(&[], |first| first));
        if let Some(instead) = this.instead.take() {
            return this.poll_instead(instead, cx).map_ok(|()| bufs.iter().map(|buf| buf.len()).sum());
        }
        let polled = Pin::new(&mut this.transport).poll_write_vectored(cx, bufs);
        let written = ready!(this.sent(polled, cx))?;
        this.info.count_written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.transport).poll_flush(cx);
        this.sent(polled, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.transport).poll_shutdown(cx);
        this.sent(polled, cx)
    }
}

#[async_trait]
impl<T: Transport> Shutdown for GateStream<T> {
    async fn shutdown(&mut self) {
        // A client that is gone already cannot be told, and nothing depends on it.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl<T: Transport> UniqueID for GateStream<T> {
    fn id(&self) -> UniqueIDType {
        self.transport.socket().id()
    }
}

impl<T: Transport> Ssl for GateStream<T> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ssl_digest.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.info.tls.as_ref()?.alpn.map(|alpn| match alpn {
            Alpn::Http1 => ALPN::H1,
            Alpn::Http2 => ALPN::H2,
        })
    }
}

impl<T: Transport> GetTimingDigest for GateStream<T> {
    /// Nothing: Pingora asks for it with each request, nobody reads it, and it would be an allocation.
    /// The times are in [`ConnInfo`].
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.transport.socket().get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.transport.socket().get_write_pending_time()
    }
}

impl<T: Transport> GetProxyDigest for GateStream<T> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.proxy_digest))
    }
}

impl<T: Transport> GetSocketDigest for GateStream<T> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.transport.socket().get_socket_digest()
    }
}

/// Looking ahead is not offered: only cleartext HTTP/2 would need it, and that is not spoken.
impl<T: Transport> Peek for GateStream<T> {}

impl<T> fmt::Debug for GateStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GateStream").field(&self.info).finish()
    }
}

/// `PRI * HTTP/2.0`, two line ends, `SM`, two line ends (RFC 9113 §3.4).
const HTTP2_PREFACE_BYTES: u64 = 24;
