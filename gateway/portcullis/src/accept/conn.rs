//! What is known of one connection, and travels on it.

use std::{
    any::Any,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use pingora::proxy::Session;
use portcullis_fingerprint::{ClientHello, Http2Print, Ja3Hash, Ja4, ListedPrints, StablePrint, extension, is_grease};
use rustls::{NamedGroup, ServerConnection};

/// The address that holds the other end of the socket: a client, or a load balancer in front of it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PeerAddr(pub SocketAddr);

/// Everything that accepting a connection taught about it; one for each connection.
pub struct ConnInfo {
    /// The name of the listener that took it up.
    pub listener: Arc<str>,
    /// Who holds the other end of the socket.
    pub peer: PeerAddr,
    /// Who asks: the peer, or whom a PROXY header of a listed peer named. IPv4-mapped addresses are
    /// written as IPv4.
    pub client: SocketAddr,
    /// When it was accepted, by the wall clock.
    pub accepted_at: SystemTime,
    /// The same by the steady clock, for durations.
    pub opened: Instant,
    /// What TLS taught; absent on a plaintext listener.
    pub tls: Option<Box<TlsInfo>>,
    http2: OnceLock<Box<Http2Print>>,
    /// A place for what the gateway looks up once a connection, such as the facts about its address.
    pub cache: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// Twice the number of requests begun, less one while one is under way. Only the task that serves
    /// an HTTP/1 connection writes it; on HTTP/2 it only counts.
    turn: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
}

/// What the TLS handshake of a connection taught.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    /// The version agreed on.
    pub version: TlsVersion,
    /// The first ClientHello, as sent.
    pub hello: ClientHello,
    /// The JA3 hash of it.
    pub ja3: Ja3Hash,
    /// The JA4 of it.
    pub ja4: Ja4,
    /// The application protocol agreed on; absent when the client offered none, which means HTTP/1.1.
    pub alpn: Option<Alpn>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The group in which the keys were agreed; absent for a TLS 1.2 resumption.
    pub group: Option<NamedGroup>,
    /// The host name that the client asked for, in lower case and checked to be one.
    pub server_name: Option<Box<str>>,
    stable: OnceLock<StablePrint>,
}

/// How a handshake ended, as far as requests are judged by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    /// The version agreed on.
    pub(crate) version: TlsVersion,
    /// The application protocol agreed on.
    pub(crate) alpn: Option<Alpn>,
    /// Whether an earlier session was resumed.
    pub(crate) resumed: bool,
}

/// A TLS version that is spoken here.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl From<TlsVersion> for portcullis_signals::TlsVersion {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::Tls12 => Self::Tls12,
            TlsVersion::Tls13 => Self::Tls13,
        }
    }
}

/// An application protocol that is spoken here (RFC 7301).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Alpn {
    /// `http/1.1`
    Http1,
    /// `h2`
    Http2,
}

impl ConnInfo {
    /// The connection on which `session` came, in any callback and for HTTP/1 and HTTP/2 alike.
    ///
    /// Absent only for sessions that no listener of this gateway accepted.
    pub fn of(session: &Session) -> Option<&Arc<Self>> {
        session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }

    /// Notes that a request's header is whole; the header clock stands still from here.
    ///
    /// To be called before a request is judged: a connection that never says so is cut when its header
    /// time is over.
    pub fn begin_request(&self) {
        if self.is_http2() {
            self.turn.fetch_add(2, Relaxed);
        } else {
            // A single task writes, so load and store are enough.
            self.turn.store(self.turn() | 1, Relaxed);
        }
    }

    /// Notes that a request is over; the time until the next one counts from here.
    ///
    /// To be called in `logging`, which runs for every request over HTTP/1 that was begun.
    pub fn end_request(&self) {
        let turn = self.turn();
        if turn & 1 == 1 {
            self.turn.store(turn + 1, Relaxed);
        }
    }

    /// How many requests were begun on this connection, the present one included.
    pub fn requests(&self) -> u64 {
        self.turn().div_ceil(2)
    }

    /// What TLS taught of the client at `client`: nothing where the connection is that of a proxy which named it.
    pub fn tls_of(&self, client: IpAddr) -> Option<&TlsInfo> {
        self.tls.as_deref().filter(|_| self.client.ip() == client)
    }

    /// The HTTP/2 print of the client at `client`: none where the connection is that of a proxy which named it.
    pub fn http2_print_of(&self, client: IpAddr) -> Option<&Http2Print> {
        self.http2_print().filter(|_| self.client.ip() == client)
    }

    /// What the client showed of HTTP/2 up to its first request: absent on HTTP/1, empty where it could not be read.
    pub fn http2_print(&self) -> Option<&Http2Print> {
        self.http2.get().map(Box::as_ref)
    }

    pub(crate) fn keep_http2_print(&self, print: Box<Http2Print>) {
        // The stream records once.
        let _ = self.http2.set(print);
    }

    /// Bytes read from the client so far, after decryption.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Relaxed)
    }

    /// Bytes written to the client so far, before encryption.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Relaxed)
    }

    /// Whether the connection speaks HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.alpn == Some(Alpn::Http2))
    }

    pub(crate) fn new(
        listener: Arc<str>,
        peer: PeerAddr,
        client: SocketAddr,
        accepted_at: SystemTime,
        opened: Instant,
        tls: Option<Box<TlsInfo>>,
    ) -> Self {
        Self {
            listener,
            peer,
            client,
            accepted_at,
            opened,
            tls,
            http2: OnceLock::new(),
            cache: OnceLock::new(),
            turn: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
        }
    }

    /// Odd while a request is under way, even between two; it changes with each of them.
    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Relaxed)
    }

    // Only the stream writes these two, so load and store are enough.
    pub(super) fn count_read(&self, bytes: usize) {
        self.bytes_read.store(self.bytes_read().wrapping_add(bytes as u64), Relaxed);
    }

    pub(super) fn count_written(&self, bytes: usize) {
        self.bytes_written.store(self.bytes_written().wrapping_add(bytes as u64), Relaxed);
    }
}

impl fmt::Debug for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnInfo")
            .field("listener", &self.listener)
            .field("peer", &self.peer.0)
            .field("client", &self.client)
            .field("ja4", &self.tls.as_ref().map(|tls| tls.ja4))
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}

impl TlsInfo {
    /// What the finished handshake of `connection` adds to the hello that began it.
    pub(super) fn of(hello: ClientHello, connection: &ServerConnection) -> Self {
        let agreed = Agreed {
            version: match connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
            alpn: connection.alpn_protocol().and_then(Alpn::from_wire),
            resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        };
        Self {
            group: connection.negotiated_key_exchange_group().map(|group| group.name()),
            server_name: connection.server_name().map(Box::from),
            ..Self::new(hello, agreed)
        }
    }

    /// What a handshake taught of which only the hello and this much of its end are known.
    pub(crate) fn new(hello: ClientHello, Agreed { version, alpn, resumed }: Agreed) -> Self {
        let ListedPrints { ja3, ja4 } = ListedPrints::of(&hello);
        Self { version, ja3, ja4, hello, alpn, resumed, group: None, server_name: None, stable: OnceLock::new() }
    }

    /// The print that stays the same over the connections of one client; made when first asked for.
    pub fn stable(&self) -> StablePrint {
        *self.stable.get_or_init(|| StablePrint::of(&self.hello))
    }

    /// The order of the extensions as a number (FNV-1a): the same for two hellos whose extensions stand in the same
    /// order, whatever GREASE they hold, and whether or not they resume or are padded.
    pub fn extension_order(&self) -> u64 {
        let told = |kind: &&u16| !matches!(**kind, extension::PRE_SHARED_KEY | extension::PADDING);
        self.hello.extensions.iter().filter(told).fold(0xcbf2_9ce4_8422_2325, |order, kind| {
            let kind = if is_grease(*kind) { 0x0a0a } else { *kind };
            (order ^ u64::from(kind)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

impl TlsVersion {
    /// `TLSv1.2` or `TLSv1.3`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

impl Alpn {
    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }

    pub(crate) fn from_wire(name: &[u8]) -> Option<Self> {
        [Self::Http1, Self::Http2].into_iter().find(|alpn| alpn.name().as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_tell_waiting_from_working_and_count_requests() {
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        let info =
            ConnInfo::new("https".into(), PeerAddr(address), address, SystemTime::UNIX_EPOCH, Instant::now(), None);
        assert_eq!((info.requests(), info.turn() & 1), (0, 0));
        info.end_request();
        assert_eq!(info.requests(), 0, "an end without a beginning is no request");
        info.begin_request();
        info.begin_request();
        assert_eq!((info.requests(), info.turn() & 1), (1, 1));
        info.end_request();
        assert_eq!((info.requests(), info.turn() & 1), (1, 0));
        info.begin_request();
        assert_eq!(info.requests(), 2);
    }
}
