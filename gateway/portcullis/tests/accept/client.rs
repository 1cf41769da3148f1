//! TLS clients, some of which write in odd ways.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::gate::{Gate, bound};

/// A client that trusts `roots` and nobody else.
pub(crate) fn config(
    roots: &[&CertificateDer<'static>],
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add((*root).clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Goes through the handshake with the server `name` on `stream`.
pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<ClientConfig>,
    name: &'static str,
    stream: S,
) -> io::Result<TlsStream<S>> {
    let name = ServerName::try_from(name).unwrap();
    bound(TlsConnector::from(Arc::clone(config)).connect(name, stream)).await
}

pub(crate) async fn connect(gate: &Gate, config: &Arc<ClientConfig>, name: &'static str) -> TlsStream<TcpStream> {
    handshake(config, name, gate.connect().await).await.unwrap()
}

/// The first certificate that the server showed.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// The records of a ClientHello.
pub(crate) fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("shop.example").unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// How the first flight is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// So many bytes at a time.
    Drip(usize),
    /// In records of so many bytes.
    Records(usize),
}

impl Shape {
    pub(crate) fn apply(self, flight: &[u8]) -> VecDeque<Vec<u8>> {
        match self {
            Self::Drip(len) => flight.chunks(len).map(<[u8]>::to_vec).collect(),
            Self::Records(len) => flight[5..]
                .chunks(len)
                .map(|fragment| {
                    let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
                    [&flight[..3], &length, fragment].concat()
                })
                .collect(),
        }
    }
}

/// A socket whose first write takes a shape.
pub(crate) struct Shaped {
    stream: TcpStream,
    shape: Option<Shape>,
    pieces: VecDeque<Vec<u8>>,
}

impl Shaped {
    pub(crate) fn new(stream: TcpStream, shape: Shape) -> Self {
        Self { stream, shape: Some(shape), pieces: VecDeque::new() }
    }

    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(piece) = self.pieces.front_mut() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, piece))?;
            piece.drain(..written);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Shaped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pieces(cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Shaped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pieces(cx))?;
        match self.shape.take() {
            Some(shape) => {
                self.pieces = shape.apply(buf);
                Poll::Ready(Ok(buf.len()))
            }
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pieces(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
