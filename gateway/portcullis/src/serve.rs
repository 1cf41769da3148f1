//! From settings to a running gateway, and from a signal to its end.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use pingora::apps::http_app::HttpServer;
use pingora::listeners::ListenerConfig;
use pingora::server::configuration::ServerConf;
use pingora::server::{ListenFds, RunArgs, RuntimeOpts, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora::services::Service;
use pingora::services::background::{BackgroundService, background_service};
use pingora::services::listening;
use portcullis_challenge::{KeyRing, KeyRingError, VerdictKeyError, VerdictSigner};
use portcullis_intel::PrefixTable;
use portcullis_signals::{Claim, TrustedProxies};
use portcullis_velocity::{Bans, Contexts, Counters, SessionPrints};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use crate::accept::{AcceptStats, Acceptor, Admission, Http2Limits, ListenerSpec, TlsError, TlsStore, Unread};
use crate::admin::Admin;
use crate::audit::{Audit, AuditWriter, SinkError};
use crate::clock::Clock;
use crate::gateway::challenge::{ChallengeDesk, ClearanceKeys, Rings, signing_key};
use crate::gateway::sites::{Sites, SitesWatch};
use crate::gateway::{Behaviours, ClientMemory, Door, Gateway, Policy, PrintAlarms, QuietRoutes, RequestBounds};
use crate::identity::{Identity, IdentityError};
use crate::intel::crawlers::CrawlerService;
use crate::intel::fetch::FetcherError;
use crate::intel::{CrawlerProofs, Networks, RefreshService};
use crate::metrics::{Metrics, Readiness, Reload};
use crate::origins::{HealthPathError, HealthService, Origins};
use crate::reload::Reloader;
use crate::request_id::RequestIds;
use crate::rules::LoadedRules;
use crate::settings::{SecretError, Settings, SitesError, Transport, VerdictToken, read_secret};
use crate::state::{StateFolder, StateService, Writing};
use crate::{logging, random};

/// A gateway that can be run: everything is loaded and every address is bound.
pub struct Serving {
    server: Server,
    gateway: Arc<Gateway>,
    audit: AuditWriter,
    addresses: Vec<Address>,
    /// What outlives the process, if anything does.
    state: Option<Arc<StateFolder>>,
    /// Told when a person made or lifted a ban.
    bans_changed: Arc<Notify>,
}

/// An address that is listened on.
#[derive(Clone, Debug)]
pub struct Address {
    /// What for.
    pub name: Arc<str>,
    /// The address, with the port that was bound.
    pub addr: SocketAddr,
}

/// Why a gateway cannot run.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind {
        /// What it is for.
        name: Arc<str>,
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A certificate cannot be served.
    Tls(TlsError),
    /// What is fetched cannot be fetched safely.
    Fetcher(FetcherError),
    /// A secret cannot be read.
    Secret(SecretError),
    /// The audit sink cannot be opened.
    Audit(SinkError),
    /// A health check cannot be made.
    Health(HealthPathError),
    /// The operating system gives no random bytes.
    Random(random::Unavailable),
    /// A key cannot be used for challenges.
    ChallengeKey(KeyRingError),
    /// The sites that are not proxied cannot be used.
    Sites(SitesError),
    /// A secret cannot be used for verdicts.
    VerdictKey(VerdictKeyError),
    /// Tokens cannot be verified.
    Identity(IdentityError),
    /// The metrics cannot be made.
    Metrics(prometheus::Error),
    /// No runtime can be started.
    Runtime(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { name, addr, error } => {
                write!(f, "cannot listen on {addr} for `{name}`: {error}")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        f.write_str("; another program has it, so stop that one or choose another port")
                    }
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; ports below 1024 need a privilege, so choose a higher one")
                    }
                    io::ErrorKind::AddrNotAvailable => f.write_str("; this machine does not have the address"),
                    _ => Ok(()),
                }
            }
            Self::Tls(error) => error.fmt(f),
            Self::Fetcher(error) => error.fmt(f),
            Self::Secret(error) => error.fmt(f),
            Self::Audit(error) => error.fmt(f),
            Self::Health(error) => error.fmt(f),
            Self::Random(error) => error.fmt(f),
            Self::ChallengeKey(error) => write!(f, "cannot sign challenges: {error}"),
            // Whoever shows it says that it is an error.
            Self::Sites(error) => f.write_str(error.to_string().trim_start_matches("error: ")),
            Self::VerdictKey(error) => write!(f, "cannot sign verdicts: {error}"),
            Self::Identity(error) => write!(f, "cannot verify tokens: {error}"),
            Self::Metrics(error) => write!(f, "cannot make the metrics: {error}"),
            Self::Runtime(error) => write!(f, "cannot start a runtime: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What ends a gateway, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// SIGTERM and SIGQUIT let requests end; SIGINT does not.
    Gracefully,
    /// Every signal ends it at once.
    AtOnce,
}

impl Serving {
    /// Loads what the settings name, binds every address, and puts everything together.
    ///
    /// Where `tls` is given, it takes the place of the certificates in the settings.
    ///
    /// # Errors
    ///
    /// The first thing that keeps the gateway from running. A database of addresses does not.
    pub fn start(settings: &Settings, rules: LoadedRules, tls: Option<Arc<TlsStore>>) -> Result<Self, StartError> {
        let tls = match tls {
            None if settings.speaks_tls() => {
                Some(Arc::new(TlsStore::load(&settings.certificates).map_err(StartError::Tls)?))
            }
            given => given,
        };
        let sockets = bind_all(settings)?;
        let (origins, health) = Origins::build(&settings.origins).map_err(StartError::Health)?;
        let (audit, writer) = Audit::start(&settings.audit).map_err(StartError::Audit)?;
        let clock = Clock::start();
        let (networks, refused) = networks(settings, clock)?;
        let (crawlers, crawler_service) = crawlers(settings, clock);
        let known = Known { networks: &networks, crawlers, clock };
        let (state, secret) = state(settings)?;
        let gateway = Arc::new(gateway(settings, rules, origins, audit, known, secret)?);
        if let Some(state) = &state {
            state.restore(&gateway);
        }
        if let Some(tls) = &tls {
            gateway.metrics.certificates_expire(tls.expires_at());
        }
        if refused {
            gateway.metrics.reloaded("intel", Reload::Refused);
        }

        let conf = conf(settings);
        let mut server = Server::new_with_opt_and_conf(None, conf);
        server.bootstrap();
        let mut serving = Self {
            server,
            gateway,
            audit: writer,
            addresses: Vec::new(),
            state: state.map(Arc::new),
            bans_changed: Arc::new(Notify::new()),
        };
        serving.listen(settings, tls.as_ref(), sockets, health);
        serving.keep_up(settings, tls, networks, crawler_service);
        Ok(serving)
    }

    /// Every address that is listened on; the admin listener is the last.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Adds a service that runs as long as the gateway.
    pub fn add_service(&mut self, service: impl Service + 'static) {
        self.server.add_service(service);
    }

    /// Serves until the process is told to end, and then until the last audit record is written.
    pub fn run(self, stop: Stop) {
        let Self { server, gateway, audit, addresses, state, bans_changed: _ } = self;
        for address in &addresses {
            tracing::info!(listener = %address.name, addr = %address.addr, "listening");
        }
        let signal = Signals { stop, gateway: Arc::clone(&gateway) };
        server.run(RunArgs { shutdown_signal: Box::new(signal) });
        if let Some(state) = state {
            state.save(&gateway, Writing::AtTheEnd);
        }
        drop(gateway);
        finish(audit);
        tracing::info!("ended");
    }

    fn listen(
        &mut self,
        settings: &Settings,
        tls: Option<&Arc<TlsStore>>,
        sockets: Sockets,
        health: Vec<HealthService>,
    ) {
        let stats = Arc::new(AcceptStats::default());
        let limits = settings.limits.accept;
        let door = Door::new(Arc::clone(&self.gateway));
        let http2 =
            Http2Limits { idle_timeout: limits.idle_timeout, max_header_bytes: settings.limits.max_header_bytes };
        let acceptor = Acceptor::new(door, &self.server.configuration, http2, Arc::clone(&stats));
        let admission: Arc<dyn Admission> = Arc::<Gateway>::clone(&self.gateway);
        let unread: Arc<dyn Unread> = Arc::<Gateway>::clone(&self.gateway);
        for (listener, socket) in settings.listeners.iter().zip(sockets.listeners) {
            let spec = ListenerSpec {
                name: Arc::clone(&listener.name),
                addr: socket.addr,
                tls: tls.cloned().filter(|_| listener.transport == Transport::Tls),
                proxy_from: listener.proxy_from.clone(),
                admission: Some(Arc::clone(&admission)),
                unread: Some(Arc::clone(&unread)),
                limits,
            };
            self.add_listener(acceptor.service(spec), Arc::clone(&listener.name), socket);
        }
        let proxies = settings.client_address.trusted_proxies.as_slice().into();
        let admin = Admin::new(Arc::clone(&self.gateway), stats, proxies, Arc::clone(&self.bans_changed));
        let admin = HttpServer::new_app(admin);
        let mut service = listening::Service::new("admin".to_owned(), admin);
        service.threads = Some(1);
        service.add_listener(ListenerConfig::tcp(sockets.admin.addr.to_string()));
        self.add_listener(service, "admin".into(), sockets.admin);
        for service in health {
            self.server.add_service(service);
        }
    }

    /// Adds what goes on beside requests.
    fn keep_up(
        &mut self,
        settings: &Settings,
        tls: Option<Arc<TlsStore>>,
        networks: Networks,
        crawlers: Option<CrawlerService>,
    ) {
        let sources_changed = Arc::new(Notify::new());
        let reloader = Reloader::new(Arc::clone(&self.gateway), tls, settings, Arc::clone(&sources_changed));
        self.server.add_service(background_service("reload", reloader));
        self.server.add_service(background_service("housekeeping", Housekeeping(Arc::clone(&self.gateway))));
        if self.gateway.sites.is_some() {
            let watch = SitesWatch::new(Arc::clone(&self.gateway));
            self.server.add_service(background_service("sites", watch));
        }
        if let Some(state) = &self.state {
            let (state, gateway, changed) =
                (Arc::clone(state), Arc::clone(&self.gateway), Arc::clone(&self.bans_changed));
            self.server.add_service(background_service("state", StateService { state, gateway, changed }));
        }
        let refresh = RefreshService::new(networks.refresher, self.gateway.clock, sources_changed);
        self.server.add_service(background_service("intel", refresh));
        if let Some(service) = crawlers {
            self.server.add_service(background_service("crawlers", service));
        }
    }

    fn add_listener(&mut self, service: impl Service + 'static, name: Arc<str>, socket: Socket) {
        self.addresses.push(Address { name, addr: socket.addr });
        self.server.add_service(Bound { service, socket: Some(socket) });
    }
}

/// A gateway that judges requests and serves none: no address, no origin, no audit record, and nothing known of
/// networks but what is compiled in.
///
/// # Errors
///
/// Where the operating system gives no random bytes.
pub(crate) fn unserved(rules: LoadedRules) -> Result<Gateway, StartError> {
    let settings = Settings::bare(PathBuf::new());
    let (origins, _) = Origins::build(&settings.origins).map_err(StartError::Health)?;
    let (audit, _) = Audit::start(&settings.audit).map_err(StartError::Audit)?;
    let clock = Clock::start();
    let (networks, _) = networks(&settings, clock)?;
    let known = Known { networks: &networks, crawlers: Arc::new(CrawlerProofs::silent()), clock };
    gateway(&settings, rules, origins, audit, known, fresh_secret()?)
}

/// What outlives the process, and the secret of its keyed hashes. Without a folder for it nothing does.
fn state(settings: &Settings) -> Result<(Option<StateFolder>, portcullis_velocity::Secret), StartError> {
    let Some(folder) = &settings.state else { return Ok((None, fresh_secret()?)) };
    match StateFolder::open(folder) {
        Ok((state, secret)) => Ok((Some(state), secret)),
        Err(error) => {
            tracing::warn!(%error, "a restart will forget bans and standings; set `memory.state` to a folder of the gateway's own");
            Ok((None, fresh_secret()?))
        }
    }
}

fn fresh_secret() -> Result<portcullis_velocity::Secret, StartError> {
    random::bytes().map(portcullis_velocity::Secret).map_err(StartError::Random)
}

/// What a gateway knows of networks from the start.
struct Known<'a> {
    networks: &'a Networks,
    crawlers: Arc<CrawlerProofs>,
    clock: Clock,
}

/// What is known of networks by the settings, and whether a database in them was refused.
fn networks(settings: &Settings, clock: Clock) -> Result<(Networks, bool), StartError> {
    let now = clock.now().unix().0;
    let (networks, faults) = Networks::open(&settings.intel, &settings.sources, now).map_err(StartError::Fetcher)?;
    for fault in &faults {
        tracing::error!(%fault, "a database of addresses is not in use; what it would say is not known");
    }
    Ok((networks, !faults.is_empty()))
}

/// Who says which crawlers are what they say; nobody where no name server is known.
fn crawlers(settings: &Settings, clock: Clock) -> (Arc<CrawlerProofs>, Option<CrawlerService>) {
    CrawlerProofs::from_settings(&settings.sources.crawlers, clock).unwrap_or_else(|error| {
        tracing::error!(%error, "crawlers are not asked for by DNS; only published ranges prove them");
        (Arc::new(CrawlerProofs::silent()), None)
    })
}

/// Everything that serving a request reads or counts, from the settings.
fn gateway(
    settings: &Settings,
    rules: LoadedRules,
    origins: Origins,
    audit: Audit,
    known: Known<'_>,
    secret: portcullis_velocity::Secret,
) -> Result<Gateway, StartError> {
    let metrics = Arc::new(Metrics::new().map_err(StartError::Metrics)?);
    metrics.policy_version(rules.compiled.rules.version());
    if !rules.compiled.warnings.is_empty() {
        tracing::warn!("the rules have warnings\n{}", rules.compiled.warnings);
    }
    let trusted = settings.client_address.trusted_proxies.iter().map(|network| (*network, ()));
    let memory = settings.memory;
    // The tables of known clients are made when first asked, which is not to be the first request.
    let _ = Claim::of(b"warm-up");
    let sites = sites(settings, &rules)?;
    Ok(Gateway {
        sites,
        policy: ArcSwap::from_pointee(Policy::new(rules.compiled.rules, rules.families)),
        trial: ArcSwapOption::empty(),
        intel: Arc::clone(&known.networks.snapshot),
        sources: Arc::clone(known.networks.refresher.board()),
        crawlers: known.crawlers,
        trusted: TrustedProxies::new(PrefixTable::build(trusted), settings.client_address.header),
        counters: Counters::new(memory.counters_bytes, secret),
        memory: ClientMemory {
            contexts: Contexts::new(memory.clients_bytes),
            sessions: SessionPrints::new(memory.sessions_bytes),
        },
        bans: Bans::new(memory.max_bans),
        challenge: ChallengeDesk::new(
            Rings { puzzles: puzzle_ring()?, clearances: clearance_keys(settings)? },
            memory.max_spent_puzzles,
            settings.challenge.look.clone(),
            u64::from_ne_bytes(random::bytes().map_err(StartError::Random)?),
        ),
        verdicts: settings.verdict.as_ref().map(verdict_signer).transpose()?,
        identity: Identity::load(&settings.identity).map_err(StartError::Identity)?,
        origins,
        behaviours: Behaviours::new(&memory),
        quiet: QuietRoutes::default(),
        stuffed: QuietRoutes::default(),
        prints: PrintAlarms::new(settings.alarms.print_share),
        audit,
        metrics,
        clock: known.clock,
        request_ids: RequestIds::new(random::bytes().map_err(StartError::Random)?),
        bounds: RequestBounds {
            body_timeout: settings.limits.body_timeout,
            send_timeout: settings.limits.send_timeout,
            max_header_bytes: settings.limits.max_header_bytes,
            on_fault: settings.server.on_fault,
        },
    })
}

/// The sites that are not proxied, if there are any.
fn sites(settings: &Settings, rules: &LoadedRules) -> Result<Option<Sites>, StartError> {
    let Some(written) = &settings.sites else { return Ok(None) };
    let routes: Vec<&str> = rules.compiled.rules.routes().iter().map(|route| &*route.name).collect();
    let loaded = written.load(&routes).map_err(StartError::Sites)?;
    if !loaded.warnings.is_empty() {
        tracing::warn!("the sites have warnings\n{}", loaded.warnings);
    }
    let ring = puzzle_ring()?;
    Ok(Some(Sites::new(written.clone(), loaded, ring, settings.memory.max_spent_puzzles)))
}

/// The keys that clearances are signed with: those that are kept in a file, if one is set.
fn clearance_keys(settings: &Settings) -> Result<ClearanceKeys, StartError> {
    let keys = match &settings.challenge.key_file {
        Some(path) => ClearanceKeys::read(path).map_err(StartError::Secret)?,
        None => {
            tracing::warn!("`challenge.key_file` is not set, so a restart voids the clearances that clients hold");
            ClearanceKeys::of(random::bytes().map_err(StartError::Random)?)
        }
    };
    keys.map_err(StartError::ChallengeKey)
}

fn puzzle_ring() -> Result<KeyRing, StartError> {
    let secret = random::bytes().map_err(StartError::Random)?;
    KeyRing::new(&signing_key(secret), &[]).map_err(StartError::ChallengeKey)
}

/// How long the token of a verdict is good: until the request has reached the origin.
const VERDICT_TTL: Duration = Duration::from_secs(60);

fn verdict_signer(token: &VerdictToken) -> Result<VerdictSigner, StartError> {
    let secret = read_secret(&token.secret_file).map_err(StartError::Secret)?;
    VerdictSigner::new(&token.key_id, secret.bytes(), &token.issuer, VERDICT_TTL).map_err(StartError::VerdictKey)
}

fn conf(settings: &Settings) -> ServerConf {
    ServerConf {
        threads: settings.server.threads,
        grace_period_seconds: Some(settings.server.grace.as_secs()),
        // What has not ended within the grace is cut.
        graceful_shutdown_timeout_seconds: Some(1),
        upstream_keepalive_pool_size: 512,
        ..ServerConf::default()
    }
}

/// A socket that is bound and listens, and its address.
struct Socket {
    listener: TcpListener,
    addr: SocketAddr,
}

/// The sockets of a gateway, those of its listeners in the order of the settings.
struct Sockets {
    listeners: Vec<Socket>,
    admin: Socket,
}

/// Connections that wait to be accepted; the system cuts it to its own bound.
const BACKLOG: u32 = 65_535;

/// Binds every address at once, so that one that is taken shows before anything is served.
fn bind_all(settings: &Settings) -> Result<Sockets, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(StartError::Runtime)?;
    let _inside = runtime.enter();
    // From here on SIGHUP no longer ends the process, though nobody listens to it yet.
    let _ = signal(SignalKind::hangup());
    let bind = |name: &Arc<str>, addr: SocketAddr| {
        bind(addr).map_err(|error| StartError::Bind { name: Arc::clone(name), addr, error })
    };
    let listeners =
        settings.listeners.iter().map(|listener| bind(&listener.name, listener.addr)).collect::<Result<_, _>>()?;
    Ok(Sockets { listeners, admin: bind(&"admin".into(), settings.admin)? })
}

fn bind(addr: SocketAddr) -> io::Result<Socket> {
    let socket = if addr.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    // Connections of an earlier run that linger do not keep the address.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    let addr = listener.local_addr()?;
    Ok(Socket { listener, addr })
}

/// A listening service whose address was bound before.
struct Bound<S> {
    service: S,
    socket: Option<Socket>,
}

#[async_trait]
impl<S: Service> Service for Bound<S> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let (Some(fds), Some(socket)) = (&fds, self.socket.take()) {
            use std::os::fd::IntoRawFd;
            // Pingora looks here for the address before it binds, and owns the descriptor from then on.
            fds.lock().add(socket.addr.to_string(), socket.listener.into_raw_fd());
        }
        self.service.start_service(fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }

    fn runtime_opts_override(&self, global: &RuntimeOpts) -> Option<RuntimeOpts> {
        self.service.runtime_opts_override(global)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.service.listen_addresses()
    }
}

/// What is done now and then.
struct Housekeeping(Arc<Gateway>);

/// How often expired bans are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

#[async_trait]
impl BackgroundService for Housekeeping {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut ticks = interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = shutdown.changed() => return,
                _ = ticks.tick() => {
                    let now = self.0.clock.now();
                    self.0.bans.sweep(now.millis);
                    self.0.challenge.forget_revoked(now.unix_millis());
                    let left_out = logging::take_left_out();
                    if left_out > 0 {
                        tracing::warn!(left_out, "lines of libraries were left out of the log");
                    }
                }
            }
        }
    }
}

/// Waits for a signal to end.
struct Signals {
    stop: Stop,
    gateway: Arc<Gateway>,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let graceful = tokio::select! {
            () = arrival(SignalKind::terminate()) => true,
            () = arrival(SignalKind::quit()) => true,
            () = arrival(SignalKind::interrupt()) => false,
        };
        self.gateway.metrics.set_ready(Readiness::Unready);
        if graceful && self.stop == Stop::Gracefully {
            tracing::info!("asked to end; requests under way may finish");
            ShutdownSignal::GracefulTerminate
        } else {
            ShutdownSignal::FastShutdown
        }
    }
}

async fn arrival(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, ?kind, "a signal cannot be received");
            std::future::pending::<()>().await;
        }
    }
}

/// How long the last audit records may take to be written.
const LAST_RECORDS: Duration = Duration::from_secs(3);

/// Waits for the last audit records. Bounded, since a connection that outlived the runtimes could hold on to
/// the queue.
fn finish(audit: AuditWriter) {
    let (done, wait) = mpsc::channel::<()>();
    let waiter = std::thread::Builder::new().name("audit end".to_owned()).spawn(move || {
        drop(audit);
        drop(done);
    });
    if waiter.is_ok() && wait.recv_timeout(LAST_RECORDS) == Err(mpsc::RecvTimeoutError::Timeout) {
        tracing::warn!("the last audit records were not written in time");
    }
}
