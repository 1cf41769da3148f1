//! The accept path: from a socket to HTTP, with everything learned on the way kept on the connection.
//!
//! ```text
//! accept ─► peer admitted? ─► PROXY header ─► ClientHello ─► TLS ─► GateStream ─► Pingora's HttpProxy
//!                │ filter        │ proxy_protocol  │ read, put back  │ header clock
//!                └── refused     └── client        └── JA3, JA4      └── ConnInfo
//! ```
//!
//! Listening, buffers, socket options, hand-over on upgrade and HTTP itself are Pingora's. Everything
//! before the first HTTP byte stands under one deadline, and every wait and number has its bound in
//! [`AcceptLimits`].

mod app;
mod certificates;
mod clock;
mod conn;
mod corked;
mod cuttable;
mod filter;
pub mod proxy_protocol;
mod stats;
mod stream;
mod tls;
mod unread;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ipnetwork::IpNetwork;
use pingora::{
    apps::HttpServerOptions,
    listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions},
    protocols::{TcpKeepalive, http::v2::server::default_h2_options},
    proxy::{HttpProxy, ProxyHttp},
    server::configuration::ServerConf,
    services::listening::Service,
};

pub(crate) use self::conn::Agreed;
pub use self::{
    app::GateApp,
    certificates::{Certificate, CertificateError, CertificateFault, CertificateFiles},
    conn::{Alpn, ConnInfo, PeerAddr, TlsInfo, TlsVersion},
    cuttable::cut_request_at,
    filter::Admission,
    stats::{
        AcceptStats, Counter, Cut, Gauge, Handshake, HandshakeFailure, HelloFault, Histogram, HistogramReading,
        Http2Unread, Label, Refusal, Tally, Unjudged,
    },
    tls::{TlsError, TlsStore, install_crypto_provider},
    unread::{HEAD_BYTES, Unread, UnreadAnswer},
};
use self::{app::ProxyHeader, cuttable::Cuttable, filter::PeerFilter};

/// Makes the listening services of one proxy.
pub struct Acceptor<P> {
    app: P,
    server: Arc<ServerConf>,
    http2: Http2Limits,
    stats: Arc<AcceptStats>,
}

/// One address to listen on, and how.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// Its name, in [`ConnInfo::listener`] and in logs.
    pub name: Arc<str>,
    /// The address to bind. One address belongs to one listener.
    pub addr: SocketAddr,
    /// What to speak TLS with; absent for plaintext HTTP/1.
    pub tls: Option<Arc<TlsStore>>,
    /// Who may, and then must, begin each connection with a PROXY header; absent for no such header.
    /// Anyone else is closed, so an empty list closes everyone.
    pub proxy_from: Option<Vec<IpNetwork>>,
    /// Who is let in at all: asked about the client, once for each connection.
    pub admission: Option<Arc<dyn Admission>>,
    /// Who answers requests of HTTP/1 that cannot be read; absent for Pingora's bare 400.
    pub unread: Option<Arc<dyn Unread>>,
    /// The bounds.
    pub limits: AcceptLimits,
}

/// The bounds of a listener. Past each of them the connection is closed and counted in [`AcceptStats`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AcceptLimits {
    /// Connections open in all, those of the other listeners of this [`Acceptor`] included.
    ///
    /// Default 16,384: an idle connection costs some 50 KiB, so that is 800 MiB.
    pub max_connections: usize,
    /// Connections before their first HTTP byte in all; one that says nothing counts for
    /// `handshake_timeout`. Default 4,096.
    pub max_handshakes: usize,
    /// From accept to the end of the handshake, the PROXY header and ClientHello included. Default 10 s.
    pub handshake_timeout: Duration,
    /// For a whole HTTP/1 request header: from the end of the handshake, and for the later ones from
    /// their first byte; for an HTTP/2 preface. Default 10 s.
    pub header_timeout: Duration,
    /// From the end of an HTTP/1 request to the first byte of the next. Default 75 s.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of one piece of an answer; a connection that has room for nothing is cut after
    /// four times that. Default 30 s.
    pub send_timeout: Duration,
    /// The largest header section of an HTTP/1 request that is read: longer ones that come fast are read, too, and
    /// refused. Default 32 KiB.
    pub max_header_bytes: usize,
    /// Length of the ClientHello message, records not counted. Default 16 KiB; those of browsers with
    /// post-quantum keys have 2.
    pub max_hello_bytes: usize,
    /// How long clients may go on with open connections once the service no longer listens, each next
    /// response telling them to close. Default 2 s.
    pub drain_timeout: Duration,
}

/// The bounds of HTTP/2 connections, the same on all listeners of an [`Acceptor`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Http2Limits {
    /// For how long a connection may have no open stream. Default 75 s.
    pub idle_timeout: Duration,
    /// The size of a header list: bytes of names and values, and 32 more for each field (RFC 9113 §6.5.2).
    /// A request past it is answered 431. Default 32 KiB.
    pub max_header_bytes: usize,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self { idle_timeout: AcceptLimits::default().idle_timeout, max_header_bytes: 32 * 1024 }
    }
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_handshakes: 4_096,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            send_timeout: Duration::from_secs(30),
            max_header_bytes: 32 * 1024,
            max_hello_bytes: 16 * 1024,
            drain_timeout: Duration::from_secs(2),
        }
    }
}

impl AcceptLimits {
    /// How many bytes may be looked at to read one request header, as each piece of it has all of them looked at again:
    /// as many as the largest one takes in pieces of 256 bytes, and small ones in pieces of any size.
    fn most_looked_at(&self) -> u64 {
        let most = self.max_header_bytes as u64;
        most.saturating_mul(most / 512 + 64)
    }

    /// How long a connection may have room for nothing. A system that holds much for a slow client tells of room late, so
    /// that is longer than for one piece of an answer.
    const fn most_blocked(&self) -> Duration {
        self.send_timeout.saturating_mul(4)
    }
}

impl<P> Acceptor<P>
where
    P: ProxyHttp + Clone + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    /// An acceptor for `app`, whose listeners count into `stats`.
    ///
    /// Pingora takes its process-wide cryptography here: see [`install_crypto_provider`].
    pub fn new(app: P, server: &Arc<ServerConf>, http2: Http2Limits, stats: Arc<AcceptStats>) -> Self {
        install_crypto_provider();
        Self { app, server: Arc::clone(server), http2, stats }
    }

    /// The service that listens as `spec` says; to be added to a Pingora server.
    pub fn service(&self, spec: ListenerSpec) -> Service<GateApp<P>> {
        let filter = PeerFilter {
            proxy_from: spec.proxy_from,
            admission: spec.admission.clone(),
            stats: Arc::clone(&self.stats),
        };
        let http = Arc::new(self.proxy());
        let app = GateApp {
            listener: Arc::clone(&spec.name),
            tls: spec.tls,
            proxy_header: match filter.proxy_from {
                Some(_) => ProxyHeader::Required,
                None => ProxyHeader::Absent,
            },
            admission: spec.admission,
            unread: spec.unread,
            limits: spec.limits,
            stats: Arc::clone(&self.stats),
            http2: Arc::new(Cuttable { http: Arc::clone(&http), stats: Arc::clone(&self.stats) }),
            http,
        };
        let buffer = L4BufferSettings::default().read(READ_BUFFER_BYTES);
        let mut service = Service::new(spec.name.to_string(), app);
        let mut options = TcpSocketOptions::default();
        options.tcp_keepalive = Some(keepalive());
        let listener = ListenerConfig::tcp(spec.addr.to_string());
        service.add_listener(listener.l4_buffer(buffer).tcp_socket_options(options));
        if filter.proxy_from.is_some() || filter.admission.is_some() {
            service.set_connection_filter(Arc::new(filter));
        }
        service
    }

    /// A proxy with connections to origins of its own. Each service has threads of its own, and a connection that
    /// the threads of another one wait on costs half a request more to be woken for.
    fn proxy(&self) -> HttpProxy<P> {
        let mut http = HttpProxy::new(self.app.clone(), Arc::clone(&self.server));
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(self.http2.idle_timeout);
        http.server_options = Some(options);
        let mut http2 = default_h2_options();
        http2.max_header_list_size(u32::try_from(self.http2.max_header_bytes).unwrap_or(u32::MAX));
        http.h2_options = Some(http2);
        http.handle_init_modules();
        http
    }
}

/// How a client that vanished without a word is found out, after two minutes: a WebSocket may rest for ever.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(15),
        count: 4,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    }
}

/// Bytes read from a socket at once. Pingora's 64 KiB would be most of an idle connection's memory, and
/// brings nothing for requests of usual size.
const READ_BUFFER_BYTES: usize = 8 * 1024;
