//! Pools of origin servers: round robin over those that are healthy.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pingora::lb::health_check::{HttpHealthCheck, TcpHealthCheck};
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backends, LoadBalancer, discovery};
use pingora::prelude::HttpPeer;
use pingora::services::background::{GenBackgroundService, background_service};
use pingora::upstreams::peer::ALPN;

/// One pool, as the settings name it.
#[derive(Clone, Debug)]
pub struct OriginSettings {
    /// The name that routes use.
    pub name: Arc<str>,
    /// Its servers; at least one.
    pub servers: Vec<SocketAddr>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long the origin may be silent.
    pub read_timeout: Duration,
    /// How long it may refuse to take bytes.
    pub write_timeout: Duration,
    /// How long an idle connection to it is kept.
    pub idle_timeout: Duration,
    /// The name in its certificate, where it speaks TLS.
    pub tls_name: Option<String>,
    /// How its health is checked; none checks only by trying.
    pub health: Option<HealthSettings>,
}

/// How the health of a pool is checked.
#[derive(Clone, Debug)]
pub struct HealthSettings {
    /// What is asked for, by GET; a server is healthy when it answers 200. None connects only.
    pub path: Option<String>,
    /// The Host of that request.
    pub host: String,
    /// How often.
    pub interval: Duration,
    /// After how many failures in a row a server is left out.
    pub failures: usize,
    /// After how many successes in a row it is back.
    pub successes: usize,
}

/// All pools.
pub struct Origins {
    pools: HashMap<Arc<str>, Pool>,
}

struct Pool {
    balancer: Arc<LoadBalancer<RoundRobin>>,
    // One server needs no selection, and every request would pay for it.
    only: Option<SocketAddr>,
    settings: OriginSettings,
    unavailable: AtomicU64,
}

/// What checks the health of one pool in the background.
pub type HealthService = GenBackgroundService<LoadBalancer<RoundRobin>>;

/// Why a health check could not be set up.
#[derive(Debug)]
pub struct HealthPathError {
    /// The pool.
    pub origin: Arc<str>,
    /// The path that is none.
    pub path: String,
}

impl fmt::Display for HealthPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "health path `{}` of origin `{}` is not a path; write one such as `/healthz`", self.path, self.origin)
    }
}

impl std::error::Error for HealthPathError {}

impl Origins {
    /// Builds the pools, and the services that check their health, which the caller runs.
    pub fn build(settings: &[OriginSettings]) -> Result<(Self, Vec<HealthService>), HealthPathError> {
        let mut services = Vec::new();
        let mut pools = HashMap::new();
        for origin in settings {
            let service = health_service(origin)?;
            let only = match (origin.servers.as_slice(), &origin.health) {
                ([server], None) => Some(*server),
                _ => None,
            };
            let pool =
                Pool { balancer: service.task(), only, settings: origin.clone(), unavailable: AtomicU64::new(0) };
            pools.insert(Arc::clone(&origin.name), pool);
            services.push(service);
        }
        Ok((Self { pools }, services))
    }

    /// The next server of a pool; none when the pool is unknown or none of its servers is healthy.
    pub fn peer(&self, pool: &str, kind: PeerKind) -> Option<Box<HttpPeer>> {
        let pool = self.pools.get(pool)?;
        let Some(server) = pool.next() else {
            pool.unavailable.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let settings = &pool.settings;
        let name = settings.tls_name.clone().unwrap_or_default();
        let mut peer = HttpPeer::new(server, settings.tls_name.is_some(), name);
        let options = &mut peer.options;
        options.connection_timeout = Some(settings.connect_timeout);
        options.total_connection_timeout = Some(settings.connect_timeout.saturating_mul(2));
        options.idle_timeout = Some(settings.idle_timeout);
        options.write_timeout = Some(settings.write_timeout);
        // An upgraded connection may rest as long as its ends like.
        options.read_timeout = (kind == PeerKind::Request).then_some(settings.read_timeout);
        options.alpn = ALPN::H1;
        Some(Box::new(peer))
    }

    /// Every server with its pool and whether it is healthy.
    pub fn health(&self) -> Vec<(Arc<str>, String, bool)> {
        let mut rows: Vec<_> = self
            .pools
            .iter()
            .flat_map(|(name, pool)| {
                let backends = pool.balancer.backends();
                let all = backends.get_backend();
                all.iter()
                    .map(|backend| (Arc::clone(name), backend.addr.to_string(), backends.ready(backend)))
                    .collect::<Vec<_>>()
            })
            .collect();
        rows.sort();
        rows
    }

    /// How often each pool had no healthy server for a request.
    pub fn unavailable(&self) -> Vec<(Arc<str>, u64)> {
        let mut rows: Vec<_> = self
            .pools
            .iter()
            .map(|(name, pool)| (Arc::clone(name), pool.unavailable.load(Ordering::Relaxed)))
            .collect();
        rows.sort();
        rows
    }
}

/// What a connection to an origin is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerKind {
    /// A request and its answer.
    Request,
    /// A connection that becomes something else, such as a WebSocket.
    Upgrade,
}

impl Pool {
    fn next(&self) -> Option<SocketAddr> {
        if let Some(server) = self.only {
            return Some(server);
        }
        let chosen = self.balancer.select(b"", self.settings.servers.len().max(1))?;
        chosen.addr.as_inet().copied()
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.pools.keys()).finish()
    }
}

fn health_service(origin: &OriginSettings) -> Result<HealthService, HealthPathError> {
    let servers = origin.servers.iter().filter_map(|server| pingora::lb::Backend::new(&server.to_string()).ok());
    let mut balancer = LoadBalancer::from_backends(Backends::new(discovery::Static::new(servers.collect())));
    if let Some(health) = &origin.health {
        balancer.health_check_frequency = Some(health.interval);
        balancer.parallel_health_check = true;
        match &health.path {
            Some(path) => {
                let mut check = HttpHealthCheck::new(&health.host, origin.tls_name.is_some());
                check.consecutive_failure = health.failures;
                check.consecutive_success = health.successes;
                check.reuse_connection = true;
                let uri = path
                    .parse()
                    .map_err(|_| HealthPathError { origin: Arc::clone(&origin.name), path: path.clone() })?;
                check.req.set_uri(uri);
                balancer.set_health_check(Box::new(check));
            }
            None => {
                let mut check = TcpHealthCheck::new();
                check.consecutive_failure = health.failures;
                check.consecutive_success = health.successes;
                balancer.set_health_check(check);
            }
        }
    }
    let name = format!("health of origin {}", origin.name);
    Ok(background_service(&name, balancer))
}
