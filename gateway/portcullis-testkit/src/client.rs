//! Where a client connects to, from where, and what it says first.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::http1::Http1;
use crate::http2::Http2;
use crate::message::RawResponse;
use crate::tls::Tls;

/// A recipe for connections to one listener.
#[derive(Clone, Debug)]
pub struct Client {
    target: SocketAddr,
    source: Option<IpAddr>,
    host: String,
    tls: Option<Tls>,
    preamble: Vec<u8>,
    bound: Duration,
}

impl Client {
    /// Plaintext connections to `target`, for the host `shop.example`, with a bound of ten seconds
    /// on each wait.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            source: None,
            host: "shop.example".to_owned(),
            tls: None,
            preamble: Vec::new(),
            bound: Duration::from_secs(10),
        }
    }

    /// Connects from this address, for instance 127.0.0.9 of the loopback network.
    #[must_use]
    pub fn from_source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Names this host in `Host` and `:authority`.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Speaks TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sends these bytes first, before TLS: a PROXY header, for instance.
    #[must_use]
    pub fn preamble(mut self, bytes: Vec<u8>) -> Self {
        self.preamble = bytes;
        self
    }

    /// Waits at most this long for a connection and for each read.
    #[must_use]
    pub fn bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Connects, and shakes hands when the client speaks TLS.
    ///
    /// # Errors
    ///
    /// What the system or rustls says; a wait past the bound is [`io::ErrorKind::TimedOut`].
    pub fn connect(&self) -> io::Result<Http1> {
        Http1::over(self.open()?, self.tls.as_ref(), &self.host)
    }

    /// Connects, shakes hands and starts HTTP/2; without TLS by prior knowledge.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub fn connect_h2(&self) -> io::Result<Http2> {
        Http2::over(self.open()?, self.tls.as_ref(), &self.host, self.bound)
    }

    /// Sends one GET over HTTP/1.1 on a connection of its own.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`] and [`Http1::read_response`].
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> io::Result<RawResponse> {
        self.connect()?.get(path, headers)
    }

    /// Sends one GET over HTTP/2 on a connection of its own.
    ///
    /// # Errors
    ///
    /// As [`Client::connect_h2`] and [`Http2::request`].
    pub fn get_h2(&self, path: &str, headers: &[(&str, &str)]) -> io::Result<RawResponse> {
        self.connect_h2()?.get(path, headers)
    }

    fn open(&self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.target), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect_timeout(&self.target.into(), self.bound)?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.bound))?;
        stream.set_write_timeout(Some(self.bound))?;
        stream.write_all(&self.preamble)?;
        Ok(stream)
    }
}
