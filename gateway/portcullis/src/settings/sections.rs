//! Each table of a settings file, from what is written to what is meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use portcullis_policy::Diagnostic;
use portcullis_signals::ForwardedBy;

use super::reader::{Faults, Table, Value, quote, span};
use super::{
    Alarms, ClientAddress, DEFAULT_ADMIN, Limits, Listener, Memory, Server, Transport, VerdictToken, default_audit,
};
use crate::accept::{AcceptLimits, CertificateFiles};
use crate::audit::{AuditSettings, Scope, Sink};
use crate::gateway::{OnFault, PrintShare};
use crate::logging::LogFormat;
use crate::origins::{HealthSettings, OriginSettings};

/// The longest time that any bound may be: a day. A longer one is a slip of the unit.
const DAY_SECS: u64 = 24 * 60 * 60;

/// Times in milliseconds up to an hour.
const MILLIS: std::ops::RangeInclusive<u64> = 1..=60 * 60 * 1000;

/// The most memory that counters may have: 16 GiB, for some 200 million. More is a slip of the unit.
const MAX_COUNTERS_BYTES: u64 = 16 << 30;

/// An address with its port, in words.
const ADDRESS: &str = "an address with a port";

/// A network, in words.
const NETWORK: &str = "a network";

/// A listener, and where its parts stand.
pub(super) struct WrittenListener {
    pub(super) listener: Listener,
    pub(super) tls: Option<Range<usize>>,
    pub(super) address: Range<usize>,
}

pub(super) fn server(mut table: Table<'_>, faults: &mut Faults) -> Server {
    let default = Server::default();
    let server = Server {
        threads: table.size("threads", 1..=1024, default.threads, faults),
        grace: table.time("grace_secs", 0..=3600, default.grace, faults),
        on_fault: table.choice(
            "on_fault",
            &[("open", OnFault::Open), ("closed", OnFault::Closed)],
            default.on_fault,
            faults,
        ),
    };
    table.finish(faults);
    server
}

pub(super) fn limits(mut table: Table<'_>, grace: Duration, faults: &mut Faults) -> Limits {
    let default = Limits::default();
    let accept = default.accept;
    let send_timeout = table.time("send_timeout_ms", MILLIS, default.send_timeout, faults);
    let max_header_bytes = table.size("max_header_bytes", 1024..=1024 * 1024, default.max_header_bytes, faults);
    let limits = Limits {
        accept: AcceptLimits {
            max_connections: table.size("max_connections", 1..=10_000_000, accept.max_connections, faults),
            max_handshakes: table.size("max_handshakes", 1..=1_000_000, accept.max_handshakes, faults),
            handshake_timeout: table.time("handshake_timeout_ms", MILLIS, accept.handshake_timeout, faults),
            header_timeout: table.time("header_timeout_ms", MILLIS, accept.header_timeout, faults),
            idle_timeout: table.time("idle_timeout_secs", 1..=DAY_SECS, accept.idle_timeout, faults),
            send_timeout,
            max_header_bytes,
            max_hello_bytes: table.size("max_hello_bytes", 512..=64 * 1024, accept.max_hello_bytes, faults),
            // Connections are cut when the process goes, so leave has to be taken before.
            drain_timeout: accept.drain_timeout.min(grace),
        },
        body_timeout: table.time("body_timeout_ms", MILLIS, default.body_timeout, faults),
        send_timeout,
        max_header_bytes,
    };
    table.finish(faults);
    limits
}

pub(super) fn admin(mut table: Table<'_>, faults: &mut Faults) -> (SocketAddr, Range<usize>) {
    let value = table.value("address");
    let place = value.as_ref().map_or(0..0, |value| value.place.clone());
    let addr: Option<SocketAddr> = value.as_ref().and_then(|value| value.parsed(ADDRESS, "127.0.0.1:9090", faults));
    if let (Some(addr), Some(value)) = (addr, value)
        && !addr.ip().is_loopback()
    {
        let warning = Diagnostic::warning("the admin listener can be reached from other machines")
            .at(span(&value.place), "anyone there can read the metrics")
            .help("metrics have no password: use `127.0.0.1`, or let only the scraper through a firewall");
        faults.add(warning);
    }
    table.finish(faults);
    (addr.unwrap_or(DEFAULT_ADMIN), place)
}

pub(super) fn listeners(
    root: &mut Table<'_>,
    admin_place: &Range<usize>,
    admin: SocketAddr,
    faults: &mut Faults,
) -> Vec<WrittenListener> {
    let before = faults.count();
    let tables = root.tables("listener", "`[[listener]]`", faults);
    if tables.is_empty() && faults.count() == before {
        let example = "add\n[[listener]]\nname = \"https\"\naddress = \"0.0.0.0:8443\"\ntls = true";
        faults.add(Diagnostic::error("there is no `[[listener]]`, so nobody could connect").help(example));
    }
    let mut names = Unique::default();
    let mut addresses = Addresses { seen: vec![(admin, admin_place.clone())] };
    tables.into_iter().filter_map(|table| listener(table, &mut names, &mut addresses, faults)).collect()
}

fn listener(
    mut table: Table<'_>,
    names: &mut Unique,
    addresses: &mut Addresses,
    faults: &mut Faults,
) -> Option<WrittenListener> {
    let name = name(&mut table, "https", names, faults);
    let addr = table.required("address", "\"0.0.0.0:8443\"", faults).and_then(|value| {
        let addr: SocketAddr = value.parsed(ADDRESS, "0.0.0.0:8443", faults)?;
        addresses.check(addr, &value, faults);
        Some((addr, value.place))
    });
    let tls = table.value("tls");
    let tls_place = tls.as_ref().map(|value| value.place.clone());
    let speaks_tls = table.flag("tls", faults).unwrap_or(false);
    let proxy_from = table.value("proxy_from").map(|value| networks(&value, faults));
    table.finish(faults);
    let (addr, address) = addr?;
    let listener = Listener {
        name: name?,
        addr,
        transport: if speaks_tls { Transport::Tls } else { Transport::Plain },
        proxy_from,
    };
    Some(WrittenListener { listener, tls: tls_place.filter(|_| speaks_tls), address })
}

/// Networks that are a condition for something; an empty list would be one that nobody meets.
fn networks(value: &Value<'_>, faults: &mut Faults) -> Vec<IpNetwork> {
    const EXAMPLE: &str = "192.0.2.0/24";
    let Some(items) = value.list(EXAMPLE, faults) else { return Vec::new() };
    let networks: Vec<_> = items.iter().filter_map(|item| item.parsed(NETWORK, EXAMPLE, faults)).collect();
    if items.is_empty() {
        faults.add(
            value
                .fault("is empty", "nobody is in it")
                .help(format!("name a network as in `[\"{EXAMPLE}\"]`, or leave the key out")),
        );
    }
    networks
}

pub(super) fn certificates(
    tables: Vec<Table<'_>>,
    listeners: &[WrittenListener],
    base: &Path,
    faults: &mut Faults,
) -> Vec<CertificateFiles> {
    let first = tables.first().map(|table| table.place().clone());
    let tls = listeners.iter().find_map(|listener| listener.tls.clone());
    match (&first, &tls) {
        (None, Some(place)) => {
            let example = "add\n[[certificate]]\nchain = \"certs/shop.example.crt\"\nkey = \"certs/shop.example.key\"";
            let fault = Diagnostic::error("a listener speaks TLS, but there is no `[[certificate]]`")
                .at(span(place), "needs a certificate");
            faults.add(fault.help(example));
        }
        (Some(place), None) => {
            let warning = Diagnostic::warning("no listener speaks TLS, so no certificate is served")
                .at(span(place), "not used")
                .help("write `tls = true` in the `[[listener]]` that is to serve it");
            faults.add(warning);
        }
        _ => {}
    }
    tables.into_iter().filter_map(|table| certificate(table, base, faults)).collect()
}

fn certificate(mut table: Table<'_>, base: &Path, faults: &mut Faults) -> Option<CertificateFiles> {
    let chain =
        table.required("chain", "\"certs/shop.example.crt\"", faults).and_then(|value| value.path(base, faults));
    let key = table.required("key", "\"certs/shop.example.key\"", faults).and_then(|value| value.path(base, faults));
    table.finish(faults);
    Some(CertificateFiles { chain: chain?, key: key? })
}

pub(super) fn client_address(mut table: Table<'_>, faults: &mut Faults) -> ClientAddress {
    let value = table.value("trusted_proxies");
    let items = value.as_ref().and_then(|value| value.list("192.0.2.0/24", faults)).unwrap_or_default();
    let mut trusted_proxies = Vec::with_capacity(items.len());
    for item in &items {
        let Some(network): Option<IpNetwork> = item.parsed(NETWORK, "192.0.2.0/24", faults) else { continue };
        if network.prefix() == 0 {
            let fault = item.fault("believes everyone", "every address is in it");
            faults.add(
                fault.help("name the proxies in front of the gateway only: whoever is believed can take any address"),
            );
        }
        trusted_proxies.push(network);
    }
    let headers = [("x-forwarded-for", ForwardedBy::XForwardedFor), ("forwarded", ForwardedBy::Forwarded)];
    let written = table.value("header");
    let header = table.choice("header", &headers, ForwardedBy::default(), faults);
    if let (Some(written), true, ForwardedBy::Forwarded) = (written, items.is_empty(), header) {
        let warning = Diagnostic::warning("`header` is not read, because no proxy is trusted")
            .at(span(&written.place), "nobody's word is taken")
            .help("name the proxies that write it, as in `trusted_proxies = [\"192.0.2.0/24\"]`");
        faults.add(warning);
    }
    table.finish(faults);
    ClientAddress { trusted_proxies, header }
}

pub(super) fn origins(
    tables: Vec<Table<'_>>,
    listeners: &[WrittenListener],
    faults: &mut Faults,
) -> Vec<OriginSettings> {
    let mut names = Unique::default();
    tables.into_iter().filter_map(|table| origin(table, listeners, &mut names, faults)).collect()
}

fn origin(
    mut table: Table<'_>,
    listeners: &[WrittenListener],
    names: &mut Unique,
    faults: &mut Faults,
) -> Option<OriginSettings> {
    const EXAMPLE: &str = "127.0.0.1:8080";
    let name = name(&mut table, "shop-api", names, faults);
    let servers = table
        .required("servers", "[\"127.0.0.1:8080\"]", faults)
        .map(|value| servers(&value, EXAMPLE, listeners, faults));
    let host = table.text("host", faults);
    let tls_value = table.value("tls");
    let tls = table.flag("tls", faults).unwrap_or(false);
    if let (Some(value), None, true) = (&tls_value, host, tls) {
        let fault =
            Diagnostic::error("an origin with TLS needs its `host`").at(span(&value.place), "whose certificate?");
        faults.add(fault.help("add `host = \"api.shop.example\"`, the name in its certificate"));
    }
    let connect_timeout = table.time("connect_timeout_ms", MILLIS, Duration::from_secs(2), faults);
    let read_timeout = table.time("read_timeout_ms", MILLIS, Duration::from_secs(60), faults);
    let write_timeout = table.time("write_timeout_ms", MILLIS, Duration::from_secs(30), faults);
    let idle_timeout = table.time("idle_timeout_secs", 1..=DAY_SECS, Duration::from_secs(60), faults);
    let health = table.table("health", "`[origin.health]`", faults);
    let health = health.is_written().then(|| self::health(health, host, faults));
    table.finish(faults);
    Some(OriginSettings {
        name: name?,
        servers: servers?,
        connect_timeout,
        read_timeout,
        write_timeout,
        idle_timeout,
        tls_name: host.filter(|_| tls).map(str::to_owned),
        health,
    })
}

fn servers(value: &Value<'_>, example: &str, listeners: &[WrittenListener], faults: &mut Faults) -> Vec<SocketAddr> {
    let Some(items) = value.list(example, faults) else { return Vec::new() };
    if items.is_empty() {
        faults.add(value.fault("is empty", "no server in it").help(format!("write `servers = [\"{example}\"]`")));
    }
    let mut servers = Vec::with_capacity(items.len());
    for item in &items {
        let Some(server): Option<SocketAddr> = item.parsed(ADDRESS, example, faults) else { continue };
        if server.port() == 0 || servers.contains(&server) {
            let (how, label) = if server.port() == 0 {
                ("has port 0", "no server listens there")
            } else {
                ("has a server twice", "already in the list")
            };
            faults.add(item.fault(how, label).help("name each server once, with its port"));
        }
        if let Some(own) = listeners.iter().find(|own| reaches(server, own.listener.addr)) {
            faults.add(
                item.fault("has a listener of this gateway", "requests would come back for ever")
                    .beside(span(&own.address), "listened to here")
                    .help("name the address of the service behind the gateway"),
            );
        }
        servers.push(server);
    }
    servers
}

/// Whether who connects to `server` comes to the listener at `own`, as far as the settings tell.
///
/// Of a listener on every address, only that it has those of this machine's loopback is known.
fn reaches(server: SocketAddr, own: SocketAddr) -> bool {
    // To connect to no address in particular is to connect to this machine.
    let ip = match server.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let is_there = own.ip().to_canonical() == ip || (covers(own.ip(), ip) && ip.is_loopback());
    own.port() != 0 && own.port() == server.port() && is_there
}

fn health(mut table: Table<'_>, host: Option<&str>, faults: &mut Faults) -> HealthSettings {
    let path = table.value("path");
    let text = path.as_ref().and_then(|value| value.text(faults));
    if let (Some(value), Some(text)) = (&path, text)
        && (!text.starts_with('/') || text.parse::<http::uri::PathAndQuery>().is_err())
    {
        faults.add(
            value
                .fault("is not a path", "does not begin with `/`, or cannot be asked for")
                .help("write one as in `/healthz`"),
        );
    }
    let health = HealthSettings {
        path: text.map(str::to_owned),
        host: host.unwrap_or("localhost").to_owned(),
        interval: table.time("interval_secs", 1..=3600, Duration::from_secs(5), faults),
        failures: table.size("failures", 1..=100, 2, faults),
        successes: table.size("successes", 1..=100, 1, faults),
    };
    table.finish(faults);
    health
}

/// Bounds on what is remembered, and the folder of what outlives the process.
pub(super) fn memory(mut table: Table<'_>, base: &Path, faults: &mut Faults) -> (Memory, PathBuf) {
    let state = table.path("state", base, faults).unwrap_or_else(|| base.join("state"));
    let default = Memory::default();
    let memory = Memory {
        counters_bytes: table.size("counters_bytes", 1 << 20..=MAX_COUNTERS_BYTES, default.counters_bytes, faults),
        clients_bytes: table.size("clients_bytes", 1 << 20..=MAX_COUNTERS_BYTES, default.clients_bytes, faults),
        sessions_bytes: table.size("sessions_bytes", 1 << 20..=MAX_COUNTERS_BYTES, default.sessions_bytes, faults),
        buckets_bytes: table.size("buckets_bytes", 1 << 20..=MAX_COUNTERS_BYTES, default.buckets_bytes, faults),
        distinct_bytes: table.size("distinct_bytes", 1 << 20..=MAX_COUNTERS_BYTES, default.distinct_bytes, faults),
        runs_bytes: table.size("runs_bytes", 1 << 20..=MAX_COUNTERS_BYTES, default.runs_bytes, faults),
        reputation_bytes: table.size(
            "reputation_bytes",
            1 << 20..=MAX_COUNTERS_BYTES,
            default.reputation_bytes,
            faults,
        ),
        in_flight_bytes: table.size("in_flight_bytes", 1 << 16..=MAX_COUNTERS_BYTES, default.in_flight_bytes, faults),
        max_waiting: waiting(&mut table, default.max_waiting, faults),
        max_bans: table.size("max_bans", 1..=100_000_000, default.max_bans, faults),
        max_spent_puzzles: table.size("max_spent_puzzles", 1000..=100_000_000, default.max_spent_puzzles, faults),
    };
    table.finish(faults);
    (memory, state)
}

fn waiting(table: &mut Table<'_>, default: u32, faults: &mut Faults) -> u32 {
    u32::try_from(table.number("max_waiting", 0..=1_000_000, default.into(), faults)).unwrap_or(default)
}

pub(super) fn alarms(mut table: Table<'_>, faults: &mut Faults) -> Alarms {
    let default = Alarms::default();
    // Only one value can have more than half, so an alarm does not go to and fro between two.
    let print_share = table.share("print_share", 500..=1000, default.print_share.0, faults);
    table.finish(faults);
    Alarms { print_share: PrintShare(print_share) }
}

pub(super) fn verdict(mut table: Table<'_>, base: &Path, faults: &mut Faults) -> Option<VerdictToken> {
    let secret_file = table.path("secret_file", base, faults);
    let enabled = table.value("enabled");
    let is_enabled = table.flag("enabled", faults).unwrap_or(secret_file.is_some());
    if let (Some(value), None, true) = (enabled, &secret_file, is_enabled) {
        let fault = Diagnostic::error("verdicts cannot be signed without a secret")
            .at(span(&value.place), "has no `secret_file`");
        faults.add(fault.help("make one with `openssl rand -hex 32`, and name its file with `secret_file`"));
    }
    let key_id = token(&mut table, "key_id", "1", faults);
    let issuer = token(&mut table, "issuer", "portcullis", faults);
    table.finish(faults);
    secret_file.filter(|_| is_enabled).map(|secret_file| VerdictToken { secret_file, key_id, issuer })
}

/// A text that stands in a token, of the characters that the token's signer takes.
fn token(table: &mut Table<'_>, key: &'static str, default: &str, faults: &mut Faults) -> String {
    let Some(value) = table.value(key) else { return default.to_owned() };
    let Some(text) = value.text(faults) else { return default.to_owned() };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'/');
    if text.len() > 64 || !text.bytes().all(fits) {
        faults.add(
            value
                .fault(
                    "has other characters than letters, digits, `.`, `-`, `_`, `:` and `/`, or more than 64",
                    "not a plain name",
                )
                .help(format!("write one as in `{default}`")),
        );
    }
    text.to_owned()
}

pub(super) fn audit(mut table: Table<'_>, base: &Path, faults: &mut Faults) -> AuditSettings {
    let default = default_audit();
    let path = table.text("path", faults);
    let enabled = table.flag("enabled", faults).unwrap_or(true);
    let scope = table.choice("allowed", &[("all", Scope::All), ("none", Scope::NotAllowed)], default.scope, faults);
    let queue = table.size("queue", 1..=10_000_000, default.queue, faults);
    table.finish(faults);
    let sink = match path {
        _ if !enabled => Sink::Off,
        None | Some("-") => Sink::Stdout,
        Some(path) => Sink::File(base.join(path)),
    };
    AuditSettings { sink, scope, queue }
}

pub(super) fn log(mut table: Table<'_>, faults: &mut Faults) -> LogFormat {
    let format =
        table.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)], LogFormat::default(), faults);
    table.finish(faults);
    format
}

/// The name of a listener or origin: letters, digits, `-`, `_` and `.`, since it is a label of metrics.
pub(super) fn name(table: &mut Table<'_>, example: &str, names: &mut Unique, faults: &mut Faults) -> Option<Arc<str>> {
    let value = table.required("name", &format!("\"{example}\""), faults)?;
    let text = value.text(faults)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() > 64 || !text.bytes().all(fits) {
        let fault = value
            .fault("has other characters than letters, digits, `-`, `_` and `.`, or more than 64", "not a plain name");
        faults.add(fault.help(format!("write one as in `{example}`")));
        return None;
    }
    names.check(text, &value, "name", faults);
    Some(text.into())
}

/// Values that may stand only once, and where each of them does.
#[derive(Default)]
pub(super) struct Unique {
    seen: Vec<(String, Range<usize>)>,
}

impl Unique {
    pub(super) fn check(&mut self, text: &str, value: &Value<'_>, what: &str, faults: &mut Faults) {
        match self.seen.iter().find(|(seen, _)| seen == text) {
            Some((_, first)) => {
                let fault = Diagnostic::error(format!("the {what} {} is used twice", quote(text)))
                    .at(span(&value.place), "again here")
                    .beside(span(first), "first used here");
                faults.add(fault.help(format!("give each its own {what}")));
            }
            None => self.seen.push((text.to_owned(), value.place.clone())),
        }
    }
}

/// Addresses that are listened on, and where each of them stands; that of the admin listener may stand nowhere.
struct Addresses {
    seen: Vec<(SocketAddr, Range<usize>)>,
}

impl Addresses {
    fn check(&mut self, addr: SocketAddr, value: &Value<'_>, faults: &mut Faults) {
        let Some((seen, first)) = self.seen.iter().find(|(seen, _)| collide(*seen, addr)) else {
            return self.seen.push((addr, value.place.clone()));
        };
        let is_default = *first == (0..0);
        let fault = if *seen == addr {
            let fault = Diagnostic::error(format!("the address `{addr}` is used twice"));
            fault.at(span(&value.place), "again here")
        } else {
            let fault = Diagnostic::error(format!("the address `{addr}` collides with `{seen}`"));
            fault.at(span(&value.place), "cannot be listened on as well")
        };
        let fault = if is_default {
            fault.help("the admin listener has it unless `[admin]` says otherwise")
        } else {
            fault.beside(span(first), "first used here")
        };
        faults.add(fault.help(if *seen == addr { "give each its own address" } else { "give each its own port" }));
    }
}

/// Whether two listeners cannot both have their address.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    let overlap = a.to_canonical() == b.to_canonical() || covers(a, b) || covers(b, a);
    // Port 0 stands for any free one, so it is never taken twice.
    one.port() != 0 && one.port() == other.port() && overlap
}

/// Whether `all` stands for every address, `ip` among them: `0.0.0.0` for those of IPv4, and `::` for those of both.
fn covers(all: IpAddr, ip: IpAddr) -> bool {
    match all {
        IpAddr::V4(all) => all.is_unspecified() && ip.to_canonical().is_ipv4(),
        IpAddr::V6(all) => all.is_unspecified(),
    }
}
