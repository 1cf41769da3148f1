//! A gateway in this process whose every answer is what it knows of the connection.

use std::{collections::HashMap, net::SocketAddr, os::fd::IntoRawFd, sync::Arc, time::Duration};

use async_trait::async_trait;
use pingora::{
    modules::http::HttpModules,
    prelude::{HttpPeer, Result, Session},
    proxy::ProxyHttp,
    server::{Fds, configuration::ServerConf},
    services::Service,
};
use portcullis::accept::{
    AcceptLimits, AcceptStats, Acceptor, Certificate, ConnInfo, Http2Limits, ListenerSpec, TlsStore,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
};

/// Longer than anything here takes; a test that waits this long has failed.
const BOUND: Duration = Duration::from_secs(20);

/// The largest header list in HTTP/2.
pub(crate) const MAX_HEADER_BYTES: usize = 8 * 1024;

pub(crate) struct Gate {
    pub(crate) addr: SocketAddr,
    pub(crate) stats: Arc<AcceptStats>,
    stop: watch::Sender<bool>,
    service: JoinHandle<()>,
}

impl Gate {
    /// Starts a plaintext listener on a free port, after `change` has had its say.
    pub(crate) fn start(change: impl FnOnce(&mut ListenerSpec)) -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let addr = socket.local_addr().unwrap();
        let mut spec = ListenerSpec {
            name: "front".into(),
            addr,
            tls: None,
            proxy_from: None,
            admission: None,
            unread: None,
            limits: AcceptLimits::default(),
        };
        change(&mut spec);
        let stats = Arc::<AcceptStats>::default();
        let conf = Arc::new(ServerConf::default());
        let http2 = Http2Limits { max_header_bytes: MAX_HEADER_BYTES, ..Http2Limits::default() };
        let acceptor = Acceptor::new(Echo, &conf, http2, Arc::clone(&stats));
        let mut service = acceptor.service(spec);
        // As on an upgrade: the service finds its socket in the table and binds nothing.
        let mut fds = Fds::new();
        fds.add(addr.to_string(), socket.into_raw_fd());
        let fds = Arc::new(parking_lot::Mutex::new(fds));
        let (stop, stopped) = watch::channel(false);
        let service = tokio::spawn(async move { service.start_service(Some(fds), stopped, 1).await });
        Self { addr, stats, stop, service }
    }

    pub(crate) fn tls(store: &Arc<TlsStore>, change: impl FnOnce(&mut ListenerSpec)) -> Self {
        Self::start(|spec| {
            spec.tls = Some(Arc::clone(store));
            change(spec);
        })
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let stream = bound(TcpStream::connect(self.addr)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Waits until `seen` holds of the counts.
    pub(crate) async fn until(&self, seen: impl Fn(&AcceptStats) -> bool) {
        bound(async {
            while !seen(&self.stats) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Stops to listen, as on SIGTERM.
    pub(crate) fn stop(&self) {
        self.stop.send(true).unwrap();
    }

    /// Waits for the service's end, its clean-up included.
    pub(crate) async fn ended(self) {
        bound(self.service).await.unwrap();
    }
}

/// Waits for `work`, but not for ever.
pub(crate) async fn bound<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(BOUND, work).await.expect("took far too long")
}

/// A certificate for `names` that signs itself.
pub(crate) fn certificate(names: &[&str]) -> (Certificate, CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let leaf = made.cert.der().clone();
    (Certificate { chain: vec![leaf.clone()], key }, leaf)
}

/// What an answer says of the connection.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Facts(HashMap<String, String>);

impl Facts {
    pub(crate) fn parse(body: &str) -> Self {
        let pairs = body.lines().map(|line| line.split_once('=').unwrap());
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(crate) fn of(&self, name: &str) -> &str {
        &self.0[name]
    }
}

/// One HTTP/1.1 answer: its head, and what its body says.
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) facts: Facts,
}

/// Asks once over HTTP/1.1 and reads the whole answer.
pub(crate) async fn get(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Answer {
    bound(stream.write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n")).await.unwrap();
    bound(stream.flush()).await.unwrap();
    read_answer(stream).await
}

pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut bytes = Vec::new();
    bound(async {
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_ascii_lowercase();
                let length = head.split_once("content-length: ").unwrap().1;
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if body.len() >= length {
                    return Answer { head, facts: Facts::parse(body) };
                }
            }
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed instead of answering");
        }
    })
    .await
}

/// Reads until the other side closes; how it does that does not matter.
pub(crate) async fn closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = Vec::new();
    while let Ok(1..) = bound(stream.read_buf(&mut bytes)).await {}
}

#[derive(Clone)]
struct Echo;

#[async_trait]
impl ProxyHttp for Echo {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, (): &mut ()) -> Result<()> {
        ConnInfo::of(session).unwrap().begin_request();
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<bool> {
        while session.read_request_body().await?.is_some() {}
        let body = facts(session);
        let mut head = pingora::http::ResponseHeader::build(200, Some(1))?;
        head.insert_header("content-length", body.len())?;
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some(body.into()), true).await?;
        Ok(true)
    }

    async fn logging(&self, session: &mut Session, _: Option<&pingora::Error>, (): &mut ()) {
        ConnInfo::of(session).unwrap().end_request();
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        unreachable!("every request is answered before")
    }
}

fn facts(session: &Session) -> String {
    let info = ConnInfo::of(session).unwrap();
    let cached = info.cache.get_or_init(|| Arc::new(info.requests()));
    let mut facts = vec![
        ("listener", info.listener.to_string()),
        ("peer", info.peer.0.ip().to_string()),
        ("client", info.client.to_string()),
        ("session_client", session.client_addr().unwrap().to_string()),
        ("requests", info.requests().to_string()),
        ("first_seen_at_request", cached.downcast_ref::<u64>().unwrap().to_string()),
        ("read", info.bytes_read().to_string()),
        ("written", info.bytes_written().to_string()),
        ("http2", info.is_http2().to_string()),
    ];
    if let Some(tls) = &info.tls {
        facts.extend([
            ("version", tls.version.name().to_owned()),
            ("ja3", tls.ja3.to_string()),
            ("ja4", tls.ja4.to_string()),
            ("stable", tls.stable().to_string()),
            ("http2_print", info.http2_print().map_or_else(|| "none".to_owned(), ToString::to_string)),
            ("alpn", tls.alpn.map_or("none", |alpn| alpn.name()).to_owned()),
            ("resumed", tls.resumed.to_string()),
            ("group", tls.group.map_or_else(|| "none".to_owned(), |group| format!("{group:?}"))),
            ("server_name", tls.server_name.as_deref().unwrap_or("none").to_owned()),
        ]);
    }
    facts.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}
