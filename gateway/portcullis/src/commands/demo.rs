//! `portcullis demo`: an origin, the gateway in front of it and example rules, all in one process.

mod origin;
mod tour;

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::http_app::HttpServer;
use pingora::services::listening;
use portcullis_policy::{RuleSet, SourceFile};
use portcullis_signals::ForwardedBy;
use rustls_pki_types::PrivateKeyDer;

use super::{error_style, tell, tell_error};
use crate::accept::{Certificate, TlsStore};
use crate::audit::{AuditSettings, Scope, Sink};
use crate::cli::DemoArgs;
use crate::logging::LogFormat;
use crate::origins::OriginSettings;
use crate::serve::{Serving, Stop};
use crate::settings::{
    Alarms, Challenge, ClientAddress, IntelFiles, Limits, Listener, Memory, Server, Settings, Transport,
};
use crate::{logging, random, rules};

/// The shipped rules and those of the demo, by the names of their files.
const RULES: &[(&str, &str)] = &[
    ("access.toml", include_str!("../../../../rules/access.toml")),
    ("defaults.toml", include_str!("../../../../rules/defaults.toml")),
    ("checkout.toml", include_str!("demo/checkout.toml")),
    ("routes.toml", include_str!("../../../../rules/routes.toml")),
];

/// Runs the demo until the process is told to end.
pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    if let Err(error) = logging::start(LogFormat::Text) {
        tell_error(error);
        return ExitCode::FAILURE;
    }
    match start(args) {
        Ok((serving, folder)) => {
            let written = write!(io::stdout().lock(), "{}", tour::text(serving.addresses(), &folder.rules()));
            if written.is_err() {
                return ExitCode::FAILURE;
            }
            serving.run(Stop::AtOnce);
            ExitCode::SUCCESS
        }
        Err(Told) => ExitCode::FAILURE,
    }
}

/// Something is wrong, and has been said.
struct Told;

fn told(error: impl std::fmt::Display) -> Told {
    tell_error(error);
    Told
}

fn start(args: &DemoArgs) -> Result<(Serving, Folder), Told> {
    let folder = Folder::make().map_err(|error| told(format_args!("cannot write the example rules: {error}")))?;
    let origin = free_address().map_err(|error| told(format_args!("cannot find a port for the origin: {error}")))?;
    let settings = settings(args, origin, &folder.rules())?;
    let loaded = rules::load(&settings.rules, Some(&settings.origins)).map_err(|error| {
        tell(error.render(error_style()));
        Told
    })?;
    let tls = TlsStore::from_der(vec![certificate()?]).map_err(told)?;
    let mut serving = Serving::start(&settings, loaded, Some(Arc::new(tls))).map_err(|error| {
        let told = told(error);
        tell("  = help: `portcullis demo --port-base 18080` takes three ports from 18080 on\n");
        told
    })?;
    let mut service = listening::Service::new("demo origin".to_owned(), HttpServer::new_app(origin::Shop));
    service.threads = Some(1);
    service.add_tcp(&origin.to_string());
    serving.add_service(service);
    Ok((serving, folder))
}

fn settings(args: &DemoArgs, origin: SocketAddr, rules: &Path) -> Result<Settings, Told> {
    let ports = match args.port_base {
        None => [args.http_port, args.https_port, args.admin_port],
        Some(base) => match (base.checked_add(1), base.checked_add(2)) {
            (Some(second), Some(third)) => [base, second, third],
            _ => return Err(told(format_args!("there are not three ports from {base} on"))),
        },
    };
    let [http, https, admin] = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listener = |name: &str, addr, transport| Listener { name: name.into(), addr, transport, proxy_from: None };
    Ok(Settings {
        rules: rules.to_owned(),
        listeners: vec![listener("http", http, Transport::Plain), listener("https", https, Transport::Tls)],
        certificates: Vec::new(),
        limits: Limits::default(),
        // So that one machine can play many clients, each with an address of its own.
        client_address: ClientAddress {
            trusted_proxies: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).ip().into()],
            header: ForwardedBy::XForwardedFor,
        },
        origins: origins(origin)?,
        intel: IntelFiles::default(),
        memory: Memory { counters_bytes: 16 << 20, ..Memory::default() },
        alarms: Alarms::default(),
        challenge: Challenge::default(),
        verdict: None,
        audit: AuditSettings { sink: Sink::Stdout, scope: Scope::All, queue: 1024 },
        admin,
        server: Server { grace: Duration::ZERO, ..Server::default() },
        log: LogFormat::Text,
    })
}

/// A pool for every origin that the example rules name: all of them are the one demo origin.
fn origins(addr: SocketAddr) -> Result<Vec<OriginSettings>, Told> {
    let files: Vec<_> = RULES.iter().map(|(name, text)| SourceFile::new(*name, *text)).collect();
    let compiled = RuleSet::compile(&files).map_err(|diagnostics| {
        tell(diagnostics.render(error_style()));
        Told
    })?;
    let pool = |name: &Arc<str>| OriginSettings {
        name: Arc::clone(name),
        servers: vec![addr],
        connect_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(30),
        tls_name: None,
        health: None,
    };
    Ok(compiled.origins.iter().map(|origin| pool(&origin.name)).collect())
}

/// A certificate for this machine, made in memory and never written.
fn certificate() -> Result<Certificate, Told> {
    let names = ["localhost", "shop.example", "*.shop.example", "127.0.0.1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| told(format_args!("cannot make a certificate: {error}")))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|error| told(format_args!("cannot make a certificate: {error}")))?;
    Ok(Certificate { chain: vec![made.cert.der().clone()], key })
}

/// A port that is free at this moment.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A folder of this demo's own, with the example rules to edit. It is removed with the demo.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Self> {
        let name = u64::from_be_bytes(random::bytes().map_err(io::Error::other)?);
        let folder = Self(std::env::temp_dir().join(format!("portcullis-demo-{name:016x}")));
        // Fails where there is one already, so nobody else can have put anything into it.
        fs::create_dir(&folder.0)?;
        fs::create_dir(folder.rules())?;
        for (name, text) in RULES {
            fs::write(folder.rules().join(name), text)?;
        }
        Ok(folder)
    }

    fn rules(&self) -> PathBuf {
        self.0.join("rules")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of its temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use portcullis_policy::run_tests;

    use super::*;

    #[test]
    fn the_rules_of_the_demo_compile_and_pass_their_tests() {
        let files: Vec<_> = RULES.iter().map(|(name, text)| SourceFile::new(*name, *text)).collect();
        let compiled = RuleSet::compile(&files).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
        for outcome in run_tests(&compiled.rules, &compiled.tests) {
            assert!(outcome.passed(), "{}", outcome.faults);
        }
    }
}
