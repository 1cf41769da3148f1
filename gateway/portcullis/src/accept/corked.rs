//! A socket that sends what TLS says last along with what HTTP says first.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket with a write buffer, which during a TLS handshake is emptied only before the client is waited for.
///
/// A TLS 1.3 handshake ends with the session ticket, for which no client waits. Flushed at once it would be a
/// packet of its own, and a system call is dear; kept back, it leaves with the first bytes that HTTP writes.
#[derive(Debug)]
pub(super) struct Corked<S> {
    pub(super) socket: S,
    cork: Cork,
}

/// When the write buffer is emptied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cork {
    /// Before each read, because the client may wait for what is in it; not on a flush.
    UntilRead,
    /// On the first flush after a write.
    UntilWrite,
    /// On each flush.
    Pulled,
}

impl<S> Corked<S> {
    /// `socket` before its handshake.
    pub(super) const fn new(socket: S) -> Self {
        Self { socket, cork: Cork::UntilRead }
    }

    /// Ends the handshake; what is in the write buffer is not waited for, and goes out with the next write.
    pub(super) const fn hold(&mut self) {
        self.cork = Cork::UntilWrite;
    }

    /// Ends the handshake; the next flush sends what is in the write buffer.
    pub(super) const fn release(&mut self) {
        self.cork = Cork::Pulled;
    }

    const fn note_write(&mut self) {
        if matches!(self.cork, Cork::UntilWrite) {
            self.cork = Cork::Pulled;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.cork == Cork::UntilRead {
            ready!(Pin::new(&mut this.socket).poll_flush(cx))?;
        }
        Pin::new(&mut this.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.note_write();
        Pin::new(&mut this.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.note_write();
        Pin::new(&mut this.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.cork {
            Cork::UntilRead | Cork::UntilWrite => Poll::Ready(Ok(())),
            Cork::Pulled => Pin::new(&mut this.socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncWriteExt, BufStream, DuplexStream, duplex};

    use super::*;

    fn pair() -> (Corked<BufStream<DuplexStream>>, DuplexStream) {
        let (near, far) = duplex(1024);
        (Corked::new(BufStream::new(near)), far)
    }

    /// What is there to read, without waiting.
    fn there(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
        let mut bytes = [0; 64];
        let mut buf = ReadBuf::new(&mut bytes);
        let _ = Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
        buf.filled().to_vec()
    }

    async fn say(stream: &mut Corked<BufStream<DuplexStream>>, bytes: &[u8]) {
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
    }

    #[tokio::test]
    async fn in_a_handshake_all_is_sent_before_the_client_is_waited_for() {
        let (mut near, mut far) = pair();
        say(&mut near, b"hello").await;
        assert_eq!(there(&mut far), b"");
        assert_eq!(there(&mut near), b"");
        assert_eq!(there(&mut far), b"hello");
    }

    #[tokio::test]
    async fn what_is_held_leaves_with_the_next_write_and_not_before() {
        let (mut near, mut far) = pair();
        say(&mut near, b"ticket, ").await;
        near.hold();
        near.flush().await.unwrap();
        assert_eq!(there(&mut near), b"");
        assert_eq!(there(&mut far), b"", "neither a flush nor a read sends it");
        say(&mut near, b"response").await;
        assert_eq!(there(&mut far), b"ticket, response");
        say(&mut near, b"more").await;
        assert_eq!(there(&mut far), b"more");
    }

    #[tokio::test]
    async fn what_is_released_leaves_on_a_flush() {
        let (mut near, mut far) = pair();
        say(&mut near, b"finished").await;
        near.release();
        near.flush().await.unwrap();
        assert_eq!(there(&mut far), b"finished");
    }

    #[tokio::test]
    async fn what_is_held_leaves_before_the_end() {
        let (mut near, mut far) = pair();
        say(&mut near, b"ticket").await;
        near.hold();
        near.shutdown().await.unwrap();
        assert_eq!(there(&mut far), b"ticket");
    }
}
