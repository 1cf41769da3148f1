//! Pools of origin servers: round robin over those that are healthy.
//!
//! A server to which no connection can be made is left out for a while, and then tried by one request at a time. Where none
//! is left, those are tried all the same.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pingora::lb::health_check::{HttpHealthCheck, TcpHealthCheck};
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backend, Backends, LoadBalancer, discovery};
use pingora::prelude::{Error, HttpPeer};
use pingora::services::background::{GenBackgroundService, background_service};
use pingora::upstreams::peer::ALPN;
use portcullis_velocity::Millis;

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
    /// Servers whose last connection was not made. With none, a request need not look up its own.
    out: AtomicUsize,
}

struct Pool {
    balancer: Arc<LoadBalancer<RoundRobin>>,
    servers: HashMap<SocketAddr, Server>,
    // One server needs no selection, and every request would pay for it.
    only: Option<SocketAddr>,
    settings: OriginSettings,
    unavailable: AtomicU64,
}

/// How connections to one server go.
#[derive(Debug, Default)]
struct Server {
    /// When the last one failed, or when it was left to one request to try another; zero where the last one was made.
    failed_at: AtomicU64,
    failures: AtomicU64,
}

/// How long a server is left out to which no connection could be made, in milliseconds.
const REST_MS: u64 = 10_000;

/// One server of a pool, as it is shown.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ServerHealth {
    /// The pool.
    pub origin: Arc<str>,
    /// Its address.
    pub server: String,
    /// Whether its checks are passed or, where there are none, the last connection to it was made.
    pub is_up: bool,
    /// Connections to it that could not be made.
    pub failures: u64,
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
            let pool = Pool {
                balancer: service.task(),
                servers: origin.servers.iter().map(|server| (*server, Server::default())).collect(),
                only,
                settings: origin.clone(),
                unavailable: AtomicU64::new(0),
            };
            pools.insert(Arc::clone(&origin.name), pool);
            services.push(service);
        }
        Ok((Self { pools, out: AtomicUsize::new(0) }, services))
    }

    /// The next server of a pool, where `now` is asked for if there is a choice; none when the pool is unknown or none of its servers is healthy.
    pub fn peer(&self, pool: &str, kind: PeerKind, now: impl FnOnce() -> Millis) -> Option<Box<HttpPeer>> {
        let pool = self.pools.get(pool)?;
        let Some(server) = pool.next(now) else {
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

    /// Notes that no connection could be made to a server of a pool. Says how many servers the pool has.
    pub fn unreachable(&self, pool: &str, server: SocketAddr, why: &Error, now: Millis) -> usize {
        let Some(pool) = self.pools.get(pool) else { return 0 };
        if let Some(known) = pool.servers.get(&server) {
            known.failures.fetch_add(1, Ordering::Relaxed);
            if known.failed_at.swap(now.0.max(1), Ordering::Relaxed) == 0 {
                self.out.fetch_add(1, Ordering::Relaxed);
                let why = why.etype().as_str();
                tracing::warn!(origin = %pool.settings.name, %server, why, "no connection to the server can be made");
            }
        }
        pool.servers.len()
    }

    /// Notes that a connection was made to a server of a pool.
    pub fn reached(&self, pool: &str, server: SocketAddr) {
        if self.out.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some(pool) = self.pools.get(pool) else { return };
        let Some(known) = pool.servers.get(&server) else { return };
        if known.failed_at.swap(0, Ordering::Relaxed) != 0 {
            self.out.fetch_sub(1, Ordering::Relaxed);
            tracing::info!(origin = %pool.settings.name, %server, "connections to the server are made again");
        }
    }

    /// Every server, and how it fares.
    pub fn health(&self) -> Vec<ServerHealth> {
        let mut rows: Vec<_> = self.pools.iter().flat_map(|(name, pool)| pool.health(name)).collect();
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
    fn next(&self, now: impl FnOnce() -> Millis) -> Option<SocketAddr> {
        if let Some(server) = self.only {
            return Some(server);
        }
        let now = now();
        let most = self.servers.len().max(1);
        let is_open = |server: &Backend| {
            server.addr.as_inet().and_then(|addr| self.servers.get(addr)).is_none_or(|server| server.may_be_tried(now))
        };
        // One turn, also where none is open: a second would skip a server.
        let healthy = Cell::new(None);
        let chosen = self.balancer.select_with(b"", most, |server, is_healthy| {
            if is_healthy && healthy.get().is_none() {
                healthy.set(server.addr.as_inet().copied());
            }
            is_healthy && is_open(server)
        });
        let address = |server: &Backend| server.addr.as_inet().copied();
        // Others take turns meanwhile, so that one that is open may have been passed by.
        let passed_by = || {
            let backends = self.balancer.backends();
            backends.get_backend().iter().find(|server| backends.ready(server) && is_open(server)).and_then(address)
        };
        chosen.as_ref().and_then(address).or_else(passed_by).or(healthy.get())
    }

    fn health(&self, name: &Arc<str>) -> Vec<ServerHealth> {
        let backends = self.balancer.backends();
        let row = |backend: &Backend| {
            let known = backend.addr.as_inet().and_then(|addr| self.servers.get(addr));
            // Where its health is checked, that says it sooner than the next request does.
            let is_reached = self.settings.health.is_some()
                || known.is_none_or(|known| known.failed_at.load(Ordering::Relaxed) == 0);
            ServerHealth {
                origin: Arc::clone(name),
                server: backend.addr.to_string(),
                is_up: backends.ready(backend) && is_reached,
                failures: known.map_or(0, |known| known.failures.load(Ordering::Relaxed)),
            }
        };
        backends.get_backend().iter().map(row).collect()
    }
}

impl Server {
    /// Whether a request may be sent there: one at a time after each rest, until a connection is made.
    fn may_be_tried(&self, now: Millis) -> bool {
        let failed_at = self.failed_at.load(Ordering::Relaxed);
        failed_at == 0
            || now.0.saturating_sub(failed_at) >= REST_MS
                && self
                    .failed_at
                    .compare_exchange(failed_at, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.pools.keys()).finish()
    }
}

fn health_service(origin: &OriginSettings) -> Result<HealthService, HealthPathError> {
    let servers = origin.servers.iter().filter_map(|server| Backend::new(&server.to_string()).ok());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(servers: &[&str]) -> Origins {
        let servers = servers.iter().map(|server| server.parse().unwrap()).collect();
        let second = Duration::from_secs(1);
        let settings = OriginSettings {
            name: "app".into(),
            servers,
            connect_timeout: second,
            read_timeout: second,
            write_timeout: second,
            idle_timeout: second,
            tls_name: None,
            health: None,
        };
        let (origins, services) = Origins::build(&[settings]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for service in services {
            runtime.block_on(service.task().update()).unwrap();
        }
        origins
    }

    fn refused() -> Box<Error> {
        Error::new_up(pingora::ErrorType::ConnectRefused)
    }

    fn asked(origins: &Origins, now: u64) -> String {
        origins.peer("app", PeerKind::Request, || Millis(now)).unwrap().to_string()
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_left_out_and_tried_by_one_request_at_a_time() {
        let origins = pool(&["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"]);
        let dead = "192.0.2.2:80";
        let of_dead = |now| (0..30).filter(|_| asked(&origins, now).contains(dead)).count();
        assert_eq!(of_dead(5), 10);
        assert_eq!(origins.unreachable("app", dead.parse().unwrap(), &refused(), Millis(5)), 3);
        assert_eq!((of_dead(5), of_dead(5 + REST_MS - 1)), (0, 0));
        assert_eq!((of_dead(5 + REST_MS), of_dead(5 + REST_MS + 1)), (1, 0), "one request tries");
        let health = origins.health();
        let told: Vec<_> = health.iter().map(|server| (&*server.server, server.is_up, server.failures)).collect();
        assert_eq!(told, [("192.0.2.1:80", true, 0), (dead, false, 1), ("192.0.2.3:80", true, 0)]);
        origins.reached("app", dead.parse().unwrap());
        assert_eq!(of_dead(5 + REST_MS + 2), 10);
        assert!(origins.health().iter().all(|server| server.is_up));
    }

    /// As when others take turns at the same time.
    #[test]
    fn a_server_that_is_left_out_is_not_met_by_many_at_once() {
        let origins = pool(&["192.0.2.1:80", "192.0.2.2:80"]);
        let dead = "192.0.2.2:80";
        origins.unreachable("app", dead.parse().unwrap(), &refused(), Millis(5));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| assert!(!asked(&origins, 6).contains(dead))));
            }
        });
    }

    #[test]
    fn where_no_server_can_be_reached_they_are_tried_all_the_same() {
        let origins = pool(&["192.0.2.1:80", "192.0.2.2:80"]);
        for server in ["192.0.2.1:80", "192.0.2.2:80"] {
            origins.unreachable("app", server.parse().unwrap(), &refused(), Millis(0));
        }
        assert_ne!(asked(&origins, 1), asked(&origins, 1));
        assert_eq!(origins.unreachable("no such pool", "192.0.2.1:80".parse().unwrap(), &refused(), Millis(0)), 0);
    }
}
