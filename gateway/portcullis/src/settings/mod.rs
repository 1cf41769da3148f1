//! The settings file: what stands outside of the policy, such as addresses, files and bounds.
//!
//! As written it is TOML with places in it; [`Settings`] is what it means and cannot hold a wrong value. All
//! faults of a file are found at once. Paths in it are relative to the file.

mod challenge;
mod identity;
mod intel;
mod reader;
mod secrets;
mod sections;
mod sites;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use portcullis_policy::{Diagnostic, Diagnostics, Severity, SourceFile, Style};
use portcullis_signals::ForwardedBy;
use toml::de::DeTable;

pub use intel::{Content, CrawlerDnsSettings, DatabaseContent, IntelSource, IntelSources, Place};
pub(crate) use reader::quote;
pub(crate) use secrets::from_hex;
pub use secrets::{MIN_SECRET_BYTES, Secret, SecretError, read_secret, read_secrets};
pub use sites::{LoadedSites, SitesError, SitesSettings};

use crate::accept::{AcceptLimits, CertificateFiles};
use crate::audit::{AuditSettings, Scope, Sink};
use crate::gateway::challenge::Look;
use crate::gateway::{OnFault, PrintShare};
use crate::identity::IdentitySettings;
use crate::logging::LogFormat;
use crate::origins::OriginSettings;
use reader::{Faults, Table};

/// Everything that the settings say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the rules.
    pub rules: PathBuf,
    /// Where clients are listened to; at least one.
    pub listeners: Vec<Listener>,
    /// Certificates for the listeners with TLS; the first is served when no name fits.
    pub certificates: Vec<CertificateFiles>,
    /// Bounds on what clients may use up.
    pub limits: Limits,
    /// Whose word is taken for a client's address.
    pub client_address: ClientAddress,
    /// The pools of origin servers.
    pub origins: Vec<OriginSettings>,
    /// Databases of addresses.
    pub intel: IntelFiles,
    /// Databases and feeds with a name, a meaning and guards of their own.
    pub sources: IntelSources,
    /// Bounds on what is remembered.
    pub memory: Memory,
    /// The folder of what outlives the process; none where nothing does.
    pub state: Option<PathBuf>,
    /// What there is an alarm about.
    pub alarms: Alarms,
    /// How challenges are signed.
    pub challenge: Challenge,
    /// How verdicts for origins are signed; none where they are not.
    pub verdict: Option<VerdictToken>,
    /// Where own signals come from.
    pub identity: IdentitySettings,
    /// The sites that are not proxied; none where there are none.
    pub sites: Option<SitesSettings>,
    /// Where audit records go.
    pub audit: AuditSettings,
    /// Where metrics and health are served.
    pub admin: SocketAddr,
    /// The process.
    pub server: Server,
    /// What log lines look like.
    pub log: LogFormat,
}

/// One address that clients are listened to on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// The name, in logs and audit records; unique.
    pub name: Arc<str>,
    /// The address; unique.
    pub addr: SocketAddr,
    /// What is spoken on it.
    pub transport: Transport,
    /// Who may, and must, begin each connection with a PROXY header; none for no such header.
    pub proxy_from: Option<Vec<IpNetwork>>,
}

/// What is spoken on a listener beneath HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Nothing.
    Plain,
    /// TLS.
    Tls,
}

/// Bounds on what clients may use up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Those of connections.
    pub accept: AcceptLimits,
    /// How long a client may pause within a request body.
    pub body_timeout: Duration,
    /// How long a client may take none of an answer.
    pub send_timeout: Duration,
    /// The largest header section.
    pub max_header_bytes: usize,
}

/// Whose word is taken for a client's address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientAddress {
    /// The networks of proxies that are believed.
    pub trusted_proxies: Vec<IpNetwork>,
    /// The header that they write.
    pub header: ForwardedBy,
}

/// Databases of addresses, as MMDB files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IntelFiles {
    /// From address to autonomous system.
    pub asn: Option<PathBuf>,
    /// From address to country.
    pub country: Option<PathBuf>,
}

/// Bounds on what is remembered. All of it is in memory, and none of it grows past these.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Memory {
    /// The memory of counters.
    pub counters_bytes: usize,
    /// The memory of what browsers did before.
    pub clients_bytes: usize,
    /// The memory of the connections that sessions came by.
    pub sessions_bytes: usize,
    /// The memory of token buckets.
    pub buckets_bytes: usize,
    /// The memory of how many different values were seen.
    pub distinct_bytes: usize,
    /// The memory of failures in a row.
    pub runs_bytes: usize,
    /// The memory of the standing of callers and prefixes.
    pub reputation_bytes: usize,
    /// The memory of requests under way, where a limit counts them.
    pub in_flight_bytes: usize,
    /// Requests that wait by a limit's delay, at once.
    pub max_waiting: u32,
    /// Bans in force at once.
    pub max_bans: usize,
    /// Redeemed puzzles that are remembered until they expire.
    pub max_spent_puzzles: usize,
}

/// What there is an alarm about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Alarms {
    /// The share of connections past which one value of a print tells clients no longer apart.
    pub print_share: PrintShare,
}

/// How challenges are signed, and what they look like.
#[derive(Clone, Debug, Default)]
pub struct Challenge {
    /// The file with the keys, one a line, the first of which signs; without one a random key is made, and a restart voids
    /// clearances.
    pub key_file: Option<PathBuf>,
    /// What people see of it, and who may read it.
    pub look: Look,
}

/// How verdicts for origins are signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerdictToken {
    /// The file with the secret that origins share.
    pub secret_file: PathBuf,
    /// The name of the secret, in the token's header.
    pub key_id: String,
    /// Who signs, in the token's claims.
    pub issuer: String,
}

/// The process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Server {
    /// Worker threads of each listener.
    pub threads: usize,
    /// How long requests may take to end after the process was asked to.
    pub grace: Duration,
    /// What becomes of a request whose judgement failed by a fault of the gateway.
    pub on_fault: OnFault,
}

/// Settings, and what is probably not meant as it is written.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Warnings only.
    pub warnings: Diagnostics,
}

/// Why there are no settings.
#[derive(Debug)]
pub enum SettingsError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// Everything that is wrong with it.
    Faulty(Diagnostics),
}

impl SettingsError {
    /// The faults as text for people; ends in a line feed.
    pub fn render(&self, style: Style) -> String {
        match self {
            Self::Unreadable(path, error) => {
                format!("error: cannot read the settings in `{}`: {error}\n", path.display())
            }
            Self::Faulty(diagnostics) => diagnostics.render(style),
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::Plain).trim_end())
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Reads a settings file.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, and every fault in it.
    pub fn load(path: &Path) -> Result<Loaded, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|error| SettingsError::Unreadable(path.to_owned(), error))?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::read(SourceFile::new(path.display().to_string(), text), base).map_err(SettingsError::Faulty)
    }

    /// Reads the text of a settings file whose paths are relative to `base`.
    ///
    /// # Errors
    ///
    /// Every fault in it.
    pub fn read(file: SourceFile, base: &Path) -> Result<Loaded, Diagnostics> {
        parse(file, |root, faults| Self::of(root, base, faults))
            .map(|(settings, warnings)| Loaded { settings, warnings })
    }

    fn of(mut root: Table<'_>, base: &Path, faults: &mut Faults) -> Self {
        let rules = root.path("rules", base, faults).unwrap_or_else(|| base.join("rules"));
        let server = sections::server(root.table("server", "`[server]`", faults), faults);
        let limits = sections::limits(root.table("limits", "`[limits]`", faults), server.grace, faults);
        let (admin, admin_place) = sections::admin(root.table("admin", "`[admin]`", faults), faults);
        let listeners = sections::listeners(&mut root, &admin_place, admin, faults);
        let certificates =
            sections::certificates(root.tables("certificate", "`[[certificate]]`", faults), &listeners, base, faults);
        let client_address =
            sections::client_address(root.table("client_address", "`[client_address]`", faults), faults);
        let origins = sections::origins(root.tables("origin", "`[[origin]]`", faults), &listeners, faults);
        let (intel, sources) = intel::intel(root.table("intel", "`[intel]`", faults), base, faults);
        let (memory, state) = sections::memory(root.table("memory", "`[memory]`", faults), base, faults);
        let settings = Self {
            rules,
            limits,
            certificates,
            client_address,
            origins,
            intel,
            sources,
            memory,
            state: Some(state),
            alarms: sections::alarms(root.table("alarms", "`[alarms]`", faults), faults),
            challenge: challenge::challenge(root.table("challenge", "`[challenge]`", faults), base, faults),
            verdict: sections::verdict(root.table("verdict", "`[verdict]`", faults), base, faults),
            identity: identity::read(root.table("identity", "`[identity]`", faults), base, faults),
            sites: sites::sites(root.table("sites", "`[sites]`", faults), base, faults),
            audit: sections::audit(root.table("audit", "`[audit]`", faults), base, faults),
            log: sections::log(root.table("log", "`[log]`", faults), faults),
            listeners: listeners.into_iter().map(|written| written.listener).collect(),
            admin,
            server,
        };
        root.finish(faults);
        settings
    }

    /// Settings of a gateway that listens nowhere, goes to no origin and records nothing; to be built upon.
    pub(crate) fn bare(rules: PathBuf) -> Self {
        Self {
            sources: IntelSources::none(&rules),
            rules,
            listeners: Vec::new(),
            certificates: Vec::new(),
            limits: Limits::default(),
            client_address: ClientAddress { trusted_proxies: Vec::new(), header: ForwardedBy::XForwardedFor },
            origins: Vec::new(),
            intel: IntelFiles::default(),
            memory: Memory { counters_bytes: 16 << 20, ..Memory::default() },
            state: None,
            alarms: Alarms::default(),
            challenge: Challenge::default(),
            verdict: None,
            identity: IdentitySettings::default(),
            sites: None,
            audit: AuditSettings { sink: Sink::Off, ..default_audit() },
            admin: DEFAULT_ADMIN,
            server: Server::default(),
            log: LogFormat::Text,
        }
    }

    /// Whether any listener speaks TLS.
    pub fn speaks_tls(&self) -> bool {
        self.listeners.iter().any(|listener| listener.transport == Transport::Tls)
    }
}

/// Reads a file with `read`, and sorts what it finds wrong. Warnings come with what was read.
fn parse<T>(file: SourceFile, read: impl FnOnce(Table<'_>, &mut Faults) -> T) -> Result<(T, Diagnostics), Diagnostics> {
    let (root, malformed) = DeTable::parse_recoverable(&file.text);
    let mut faults = Faults::default();
    for error in &malformed {
        let place = error.span().unwrap_or_default();
        faults.add(Diagnostic::error("this is not valid TOML").at(reader::span(&place), error.message()));
    }
    // What a broken line hides would only be reported as missing.
    let meant = malformed.is_empty().then(|| read(Table::root(root.get_ref()), &mut faults));
    let found = faults.into_sorted();
    let sound = found.iter().all(|fault| fault.severity == Severity::Warning);
    drop(root);
    let mut diagnostics = Diagnostics::of(Arc::new([file]));
    for fault in found {
        diagnostics.push(fault);
    }
    match meant {
        Some(meant) if sound => Ok((meant, diagnostics)),
        _ => Err(diagnostics),
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            accept: AcceptLimits::default(),
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            max_header_bytes: 32 * 1024,
        }
    }
}

impl Default for Memory {
    /// 64 MiB of counters, some 800,000; a hundred thousand bans, and as many puzzles.
    fn default() -> Self {
        Self {
            counters_bytes: 64 << 20,
            clients_bytes: 16 << 20,
            sessions_bytes: 8 << 20,
            buckets_bytes: 8 << 20,
            distinct_bytes: 32 << 20,
            runs_bytes: 4 << 20,
            reputation_bytes: 16 << 20,
            in_flight_bytes: 1 << 20,
            max_waiting: 1000,
            max_bans: 100_000,
            max_spent_puzzles: 100_000,
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, grace: Duration::from_secs(5), on_fault: OnFault::default() }
    }
}

/// Where metrics and health are served unless the settings say otherwise: on this machine only.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// The audit records unless the settings say otherwise: on standard output, without what was simply allowed.
pub fn default_audit() -> AuditSettings {
    AuditSettings { sink: Sink::Stdout, scope: Scope::default(), queue: 8192 }
}
