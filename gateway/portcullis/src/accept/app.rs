//! From an accepted socket to a connection that Pingora's proxy serves.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::{
    apps::{HttpServerApp, ServerApp},
    protocols::{ALPN, GetSocketDigest, SocketDigest, Stream, l4::stream::Stream as L4Stream, tls::SslDigest},
    proxy::{HttpProxy, ProxyHttp},
    server::ShutdownWatch,
};
use portcullis_fingerprint::{
    ClientHello, HelloError, HelloLimits,
    record::{self, Scan},
};
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Sleep, sleep, sleep_until},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    AcceptLimits, Admission, TlsStore,
    clock::{HeaderClock, Patience, SendClock},
    conn::{ConnInfo, PeerAddr, TlsInfo},
    corked::Corked,
    cuttable::Cuttable,
    proxy_protocol::{self, Header, Parsed},
    stats::{AcceptStats, Handshake, HandshakeFailure, HelloFault, Refusal},
    stream::{GateStream, Transport},
    unread::Unread,
};

/// The application of one listener: it takes up connections and hands them to the proxy of `P`.
pub struct GateApp<P> {
    pub(super) listener: Arc<str>,
    pub(super) tls: Option<Arc<TlsStore>>,
    pub(super) proxy_header: ProxyHeader,
    /// Asked about the client that a PROXY header names; about the peer the filter has asked.
    pub(super) admission: Option<Arc<dyn Admission>>,
    pub(super) unread: Option<Arc<dyn Unread>>,
    pub(super) limits: AcceptLimits,
    pub(super) stats: Arc<AcceptStats>,
    pub(super) http: Arc<HttpProxy<P>>,
    /// The same, for HTTP/2.
    pub(super) http2: Arc<Cuttable<P>>,
}

/// Whether the connections of a listener begin with a PROXY header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ProxyHeader {
    Absent,
    Required,
}

#[async_trait]
impl<P> ServerApp for GateApp<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        self.stats.accepted.increment();
        let opened = Instant::now();
        // A plain endpoint gives the bare socket, and listeners here have no other.
        let socket = stream.into_any().downcast::<L4Stream>().ok()?;
        let Some(_open) = self.stats.open.enter(self.limits.max_connections) else {
            self.stats.refused.add(Refusal::ConnectionCap);
            return None;
        };
        match self.establish(socket, opened).await {
            Ok(stream) => {
                if stream.selected_alpn_proto() == Some(ALPN::H2) {
                    self.http2.process_new(stream, shutdown).await;
                } else {
                    self.http.process_new(stream, shutdown).await;
                }
            }
            Err(failure) => self.count(failure),
        }
        None
    }

    /// Lets clients take leave before idle connections are cut: until then, each next response
    /// carries `Connection: close`, and HTTP/2 clients have their GOAWAY.
    async fn cleanup(&self) {
        let began = Instant::now();
        while self.stats.open.value() > 0 && began.elapsed() < self.limits.drain_timeout {
            sleep(DRAIN_STEP).await;
        }
        self.http.http_cleanup().await;
    }
}

impl<P> GateApp<P> {
    /// Everything before the first HTTP byte.
    async fn establish(&self, mut socket: Box<L4Stream>, opened: Instant) -> Result<Stream, Failure> {
        let peer = peer_of(&socket).ok_or(Failure::Refused(Refusal::Gone))?;
        if self.tls.is_none() && self.proxy_header == ProxyHeader::Absent {
            let info = self.info(&socket, peer, peer, opened, None);
            return self.stream(socket, info, None, opened, None);
        }

        let place = self.stats.handshaking.enter(self.limits.max_handshakes);
        let _under_way = place.ok_or(Failure::Refused(Refusal::HandshakeCap))?;
        let mut timer = Box::pin(sleep_until((opened + self.limits.handshake_timeout).into()));
        let mut ahead = BytesMut::with_capacity(AHEAD_BYTES);
        let client = match self.proxy_header {
            ProxyHeader::Absent => peer,
            ProxyHeader::Required => {
                let client = in_time(timer.as_mut(), read_client(&mut socket, &mut ahead, peer))
                    .await
                    .unwrap_or(Err(Failure::Refused(Refusal::ProxyHeader)))?;
                self.admit(client)?;
                tell_pingora(&mut socket, client);
                client
            }
        };
        let Some(store) = &self.tls else {
            socket.rewind(&ahead);
            let info = self.info(&socket, peer, client, opened, None);
            return self.stream(socket, info, None, Instant::now(), Some(timer));
        };

        // Boxed, because it is large and soon over, and the connection may live long.
        let handshake = Box::pin(self.handshake(store, socket, ahead));
        let (stream, hello) =
            in_time(timer.as_mut(), handshake).await.unwrap_or(Err(Failure::Handshake(HandshakeFailure::Timeout)))?;
        let (socket, connection) = stream.get_ref();
        let ssl_digest = ssl_digest(connection);
        let tls = Box::new(TlsInfo::of(hello, connection));
        let info = self.info(&socket.socket, peer, client, opened, Some(tls));
        let now = Instant::now();
        self.stats.handshakes.add(kind(connection));
        self.stats.handshake_time.observe(now - opened);
        self.stream(stream, info, Some(ssl_digest), now, Some(timer))
    }

    /// Reads the ClientHello, puts it back, and goes through the handshake.
    async fn handshake(
        &self,
        store: &TlsStore,
        mut socket: Box<L4Stream>,
        mut ahead: BytesMut,
    ) -> Result<(TlsStream<Corked<Box<L4Stream>>>, ClientHello), Failure> {
        let hello = read_hello(&mut socket, &mut ahead, self.limits.max_hello_bytes).await?;
        socket.rewind(&ahead);
        drop(ahead);
        let accepted = TlsAcceptor::from(store.config()).accept(Corked::new(socket)).await;
        let mut stream = accepted.map_err(|error| Failure::Handshake(handshake_failure(&error)))?;
        let (socket, connection) = stream.get_mut();
        if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            // All that is left to send is the ticket.
            socket.hold();
        } else {
            // The client waits for the last message of the handshake.
            socket.release();
            socket.flush().await.map_err(|error| Failure::Handshake(handshake_failure(&error)))?;
        }
        Ok((stream, hello))
    }

    fn admit(&self, client: SocketAddr) -> Result<(), Failure> {
        match &self.admission {
            Some(admission) if !admission.admits(client.ip()) => Err(Failure::Refused(Refusal::Address)),
            _ => Ok(()),
        }
    }

    fn info(
        &self,
        socket: &L4Stream,
        peer: SocketAddr,
        client: SocketAddr,
        opened: Instant,
        tls: Option<Box<TlsInfo>>,
    ) -> Arc<ConnInfo> {
        let listener = Arc::clone(&self.listener);
        let accepted_at = socket.established_ts;
        Arc::new(ConnInfo::new(listener, PeerAddr(peer), client, accepted_at, opened, tls))
    }

    fn stream(
        &self,
        transport: impl Transport,
        info: Arc<ConnInfo>,
        ssl_digest: Option<Arc<SslDigest>>,
        header_due_from: Instant,
        timer: Option<Pin<Box<Sleep>>>,
    ) -> Result<Stream, Failure> {
        let patience = Patience {
            header: self.limits.header_timeout,
            idle: self.limits.idle_timeout,
            looked_at: self.limits.most_looked_at(),
        };
        let clock = HeaderClock::new(patience, header_due_from.into(), timer);
        let sending = SendClock::new(self.limits.most_blocked());
        let unread = self.unread.clone();
        match GateStream::new(transport, info, ssl_digest, clock, sending, unread, Arc::clone(&self.stats)) {
            Ok(stream) => Ok(Box::new(stream)),
            Err(_) => Err(Failure::Refused(Refusal::Gone)),
        }
    }

    fn count(&self, failure: Failure) {
        tracing::debug!(listener = &*self.listener, ?failure, "connection not established");
        match failure {
            Failure::Refused(refusal) => self.stats.refused.add(refusal),
            Failure::Handshake(failure) => self.stats.handshake_failures.add(failure),
            Failure::Hello(fault) => {
                self.stats.hello_faults.add(fault);
                self.stats.handshake_failures.add(HandshakeFailure::Hello);
            }
        }
    }
}

/// Why there is no connection to serve.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Refused(Refusal),
    Hello(HelloFault),
    Handshake(HandshakeFailure),
}

/// What `work` gives, or nothing when `timer` runs out first.
async fn in_time<F: Future>(timer: Pin<&mut Sleep>, work: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = timer => None,
    }
}

/// Takes the PROXY header off the front of the connection, and says who the client is.
async fn read_client(socket: &mut L4Stream, ahead: &mut BytesMut, peer: SocketAddr) -> Result<SocketAddr, Failure> {
    const FAULT: Failure = Failure::Refused(Refusal::ProxyHeader);
    loop {
        if socket.read_buf(ahead).await.unwrap_or(0) == 0 {
            return Err(FAULT);
        }
        match proxy_protocol::parse(ahead) {
            Ok(Parsed::NeedMore) => {}
            Ok(Parsed::Complete { consumed, header }) => {
                ahead.advance(consumed);
                return Ok(match header {
                    Header::Local => peer,
                    Header::Relay { source, .. } => canonical(source),
                });
            }
            Err(_) => return Err(FAULT),
        }
    }
}

/// Reads until `ahead` holds the ClientHello; more than that may be there, too.
async fn read_hello(
    socket: &mut L4Stream,
    ahead: &mut BytesMut,
    max_hello_bytes: usize,
) -> Result<ClientHello, Failure> {
    let limits = HelloLimits { max_hello_bytes, ..HelloLimits::default() };
    loop {
        // Something may be there already, behind the PROXY header.
        match record::scan(ahead, limits).map_err(hello_fault)? {
            Scan::Complete { handshake, .. } => {
                return ClientHello::parse(&handshake).map_err(hello_fault);
            }
            Scan::NeedMore => {}
        }
        match socket.read_buf(ahead).await {
            Ok(0) | Err(_) if ahead.is_empty() => {
                return Err(Failure::Handshake(HandshakeFailure::Closed));
            }
            Ok(0) | Err(_) => return Err(Failure::Hello(HelloFault::Truncated)),
            Ok(_) => {}
        }
    }
}

fn hello_fault(error: HelloError) -> Failure {
    Failure::Hello(match error {
        HelloError::NotTls { .. } => HelloFault::NotTls,
        HelloError::TooLong { .. } | HelloError::TooManyRecords { .. } => HelloFault::TooLong,
        _ => HelloFault::Malformed,
    })
}

fn handshake_failure(error: &io::Error) -> HandshakeFailure {
    use rustls::Error;
    match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(Error::PeerIncompatible(_)) => HandshakeFailure::Incompatible,
        Some(Error::NoApplicationProtocol) => HandshakeFailure::Alpn,
        Some(Error::AlertReceived(_)) => HandshakeFailure::Alert,
        Some(
            Error::PeerMisbehaved(_)
            | Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::DecryptError
            | Error::PeerSentOversizedRecord,
        ) => HandshakeFailure::Misbehaved,
        Some(_) => HandshakeFailure::Other,
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => HandshakeFailure::Closed,
            _ => HandshakeFailure::Other,
        },
    }
}

fn kind(connection: &ServerConnection) -> Handshake {
    match connection.handshake_kind() {
        Some(HandshakeKind::Resumed) => Handshake::Resumed,
        Some(HandshakeKind::FullWithHelloRetryRequest) => Handshake::Retried,
        _ => Handshake::Full,
    }
}

/// What Pingora wants to know of TLS; that it is there at all keeps HTTP/2 to those who agreed on it.
fn ssl_digest(connection: &ServerConnection) -> Arc<SslDigest> {
    let suite = connection.negotiated_cipher_suite();
    let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("");
    let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("");
    Arc::new(SslDigest::new(cipher, version, None, None, Vec::new()))
}

fn peer_of(socket: &L4Stream) -> Option<SocketAddr> {
    socket.get_socket_digest()?.peer_addr()?.as_inet().copied().map(canonical)
}

/// Makes `session.client_addr()` give the client in place of the peer.
fn tell_pingora(socket: &mut L4Stream, client: SocketAddr) {
    let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
    // It is new, so nothing is set yet.
    let _ = digest.peer_addr.set(Some(client.into()));
    socket.set_socket_digest(digest);
}

/// A listener on `[::]` sees IPv4 clients as `::ffff:192.0.2.1`; lists and counters know them as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Room for a PROXY header and a ClientHello: today's browsers send some 1,800 bytes.
const AHEAD_BYTES: usize = 2048;

/// How often the end of a drain is looked for.
const DRAIN_STEP: Duration = Duration::from_millis(20);
