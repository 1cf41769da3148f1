//! A Pingora proxy that does nothing of its own: what the gateway is measured against.
//!
//! It has what the gateway has, as far as a proxy must: the allocator, the TLS provider, HTTP/2, the
//! size of the read buffer, an origin kept alive, timeouts on the way to it.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use clap::Parser;
use pingora::http::ResponseHeader;
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;
use rustls::crypto::aws_lc_rs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Proxies to one origin, or refuses everything.
#[derive(Debug, Parser)]
struct Args {
    /// Listen here in plaintext.
    #[arg(long)]
    plain: SocketAddr,
    /// Listen here with TLS, for HTTP/1.1 and HTTP/2.
    #[arg(long, requires_all = ["cert", "key"])]
    tls: Option<SocketAddr>,
    /// The certificate chain, a PEM file.
    #[arg(long)]
    cert: Option<String>,
    /// The private key, a PEM file.
    #[arg(long)]
    key: Option<String>,
    /// Send requests here.
    #[arg(long)]
    origin: SocketAddr,
    /// Answer 403 to everything instead.
    #[arg(long)]
    refuse: bool,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    // Pingora would install ring.
    if aws_lc_rs::default_provider().install_default().is_err() {
        return Err("a TLS provider was installed already".into());
    }
    let conf = ServerConf {
        threads: 1,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare::of(&args));
    service.add_listener(listener(args.plain));
    if let (Some(address), Some(cert), Some(key)) = (args.tls, &args.cert, &args.key) {
        let mut settings = TlsSettings::intermediate(cert, key)?;
        settings.enable_h2();
        service.add_listener(listener(address).tls(settings));
    }
    server.add_service(service);
    server.run_forever()
}

fn listener(address: SocketAddr) -> ListenerConfig {
    ListenerConfig::tcp(address.to_string()).l4_buffer(L4BufferSettings::default().read(READ_BUFFER_BYTES))
}

struct Bare {
    origin: SocketAddr,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Forward,
    Refuse,
}

impl Bare {
    fn of(args: &Args) -> Self {
        let mode = if args.refuse { Mode::Refuse } else { Mode::Forward };
        Self { origin: args.origin, mode }
    }
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn request_filter(&self, session: &mut Session, _ctx: &mut Self::CTX) -> Result<bool> {
        if self.mode == Mode::Forward {
            return Ok(false);
        }
        let mut header = ResponseHeader::build(403, Some(3))?;
        header.insert_header("content-type", "application/problem+json")?;
        header.insert_header("content-length", REFUSAL.len())?;
        header.insert_header("cache-control", "no-store")?;
        session.write_response_header(Box::new(header), false).await?;
        session.write_response_body(Some(Bytes::from_static(REFUSAL)), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let mut peer = Box::new(HttpPeer::new(self.origin, false, String::new()));
        peer.options.connection_timeout = Some(CONNECTION_TIMEOUT);
        peer.options.read_timeout = Some(READ_TIMEOUT);
        peer.options.write_timeout = Some(READ_TIMEOUT);
        peer.options.idle_timeout = Some(IDLE_TIMEOUT);
        Ok(peer)
    }
}

/// As the gateway's listeners have it.
const READ_BUFFER_BYTES: usize = 8192;
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const REFUSAL: &[u8] =
    br#"{"title":"Forbidden","status":403,"code":"API.BENCH_BLOCKED","reference":"0123456789abcdef"}"#;
