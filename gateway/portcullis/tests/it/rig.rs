//! One gateway before one origin, as a person would run them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_testkit::{
    Answer, Client, Gateway, Metrics, Origin, ReadyCheck, RecordedRequest, TestCertificate, Tls, free_ports, scrape,
};

/// A gateway of the real binary with its origin, its rules and its settings in a folder of its own.
pub struct Rig {
    pub gateway: Gateway,
    pub origin: Origin,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub proxied: SocketAddr,
    pub admin: SocketAddr,
    pub folder: PathBuf,
    certificate: TestCertificate,
}

/// The origin of most tests: 401 for `/login` with a wrong password, 200 for everything else.
pub fn usual_origin(request: &RecordedRequest) -> Answer {
    if request.target.starts_with("/login") && request.body != b"right" {
        Answer::status(401)
    } else {
        Answer::ok("hello")
    }
}

impl Rig {
    /// A rig with these rules, and nothing trusted.
    pub fn start(rules: &str) -> Self {
        Self::start_with(rules, "", usual_origin)
    }

    /// A rig with these rules, further settings, and this origin.
    pub fn start_with(
        rules: &str,
        settings: &str,
        answer: impl Fn(&RecordedRequest) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let origin = Origin::start(answer);
        let folder = scratch_folder();
        let certificate = TestCertificate::for_names(&["shop.example"]);
        write(&folder.join("cert.pem"), certificate.certificate_pem());
        write(&folder.join("cert.key"), certificate.key_pem());
        fs::create_dir_all(folder.join("rules")).expect("a folder for the rules");
        write(&folder.join("rules/rules.toml"), rules);
        let [plain, tls, proxied, admin] = free_ports::<4>().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let listeners = format!(
            r#"
rules = "rules"

[[listener]]
name = "plain"
address = "{plain}"
tls = false

[[listener]]
name = "tls"
address = "{tls}"
tls = true

[[listener]]
name = "proxied"
address = "{proxied}"
tls = false
proxy_from = ["127.0.0.0/8"]

[[certificate]]
chain = "cert.pem"
key = "cert.key"

[[origin]]
name = "app"
servers = ["{origin}"]

[admin]
address = "{admin}"

[audit]
path = "audit.jsonl"
allowed = "all"
{settings}
"#,
            origin = origin.address()
        );
        let config = folder.join("portcullis.toml");
        write(&config, &listeners);
        let gateway = run(&folder, admin);
        Self { gateway, origin, plain, tls, proxied, admin, folder, certificate }
    }

    /// Ends the gateway as an operator would, lets `meanwhile` do something to its folder, and runs it again.
    pub fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        assert!(self.gateway.terminate().success(), "{}", self.gateway);
        meanwhile(&self.folder);
        self.gateway = run(&self.folder, self.admin);
    }

    /// Ends the gateway, and runs it again with further variables in its environment.
    pub fn restart_with(&mut self, variables: &[String]) {
        assert!(self.gateway.terminate().success(), "{}", self.gateway);
        let config = self.folder.join("portcullis.toml");
        let binary = env!("CARGO_BIN_EXE_portcullis");
        let mut args: Vec<&str> = variables.iter().map(String::as_str).collect();
        args.extend([binary, "run", "--config", config.to_str().expect("a path in UTF-8")]);
        self.gateway = Gateway::start(Path::new("/usr/bin/env"), &args, &ReadyCheck::http(self.admin, "/ready"));
    }

    /// A client that speaks plaintext.
    pub fn client(&self) -> Client {
        Client::new(self.plain).host("shop.example")
    }

    /// A client with another loopback address.
    pub fn client_from(&self, last: u8) -> Client {
        self.client().from_source(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
    }

    /// A client that speaks TLS.
    pub fn tls_client(&self, alpn: &[&str]) -> Client {
        let tls = Tls::to("shop.example").alpn(alpn).trust(self.certificate.der()).build();
        Client::new(self.tls).host("shop.example").tls(tls)
    }

    /// A client behind a load balancer that names `source` as the client.
    pub fn client_of(&self, source: &str) -> Client {
        let source = SocketAddr::new(source.parse().expect("an address"), 40_000);
        let header = portcullis_testkit::proxy_header::v2(source, local_of(source), &[]);
        Client::new(self.proxied).host("shop.example").preamble(header)
    }

    /// What Prometheus would read.
    pub fn metrics(&self) -> Metrics {
        let metrics = scrape(&format!("http://{}/metrics", self.admin));
        metrics.check().expect("well-formed metrics");
        metrics
    }

    /// Waits until a sample has a value: what a request comes to is counted after its answer.
    pub fn await_count(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        portcullis_testkit::wait_until(name, std::time::Duration::from_secs(10), || {
            self.metrics().value(name, labels) == Some(value)
        });
    }

    /// The audit records so far, once there are at least `count`, in the order in which their requests came: a record is
    /// written after its answer, so two threads may write theirs the other way round.
    pub fn audit(&self, count: usize) -> Vec<serde_json::Value> {
        let path = self.folder.join("audit.jsonl");
        // The last line may be half written.
        let whole = || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.rsplit_once('\n').map_or_else(String::new, |(whole, _)| whole.to_owned())
        };
        portcullis_testkit::wait_until("audit records", std::time::Duration::from_secs(10), || {
            whole().lines().count() >= count
        });
        let text = whole();
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
        let mut records: Vec<serde_json::Value> = lines.collect();
        // Of one millisecond by their ids, which a process counts.
        let came =
            |record: &serde_json::Value| ["time", "request_id"].map(|name| record[name].as_str().map(str::to_owned));
        records.sort_by_key(came);
        records
    }

    /// Replaces the rules.
    pub fn write_rules(&self, rules: &str) {
        let new = self.folder.join("rules/.new");
        write(&new, rules);
        fs::rename(new, self.folder.join("rules/rules.toml")).expect("rules that can be replaced");
    }

    /// Replaces the rules, and waits until that ends with `result`.
    pub fn reload_rules(&self, rules: &str, result: &str) {
        let before = self.reloads(result);
        self.write_rules(rules);
        portcullis_testkit::wait_until("a reload", std::time::Duration::from_secs(20), || {
            self.reloads(result) > before
        });
    }

    /// How many reloads of rules ended so.
    pub fn reloads(&self, result: &str) -> f64 {
        let labels = [("what", "rules"), ("result", result)];
        self.metrics().value("portcullis_config_reloads_total", &labels).unwrap_or(0.0)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn run(folder: &Path, admin: SocketAddr) -> Gateway {
    let config = folder.join("portcullis.toml");
    Gateway::start(
        Path::new(env!("CARGO_BIN_EXE_portcullis")),
        &["run", "--config", config.to_str().expect("a path in UTF-8")],
        &ReadyCheck::http(admin, "/ready"),
    )
}

fn local_of(source: SocketAddr) -> SocketAddr {
    if source.is_ipv4() { ([127, 0, 0, 1], 443).into() } else { ([0, 0, 0, 0, 0, 0, 0, 1], 443).into() }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file that can be written");
}

/// A folder under the target folder that no other test has.
pub fn scratch_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rig-{}-{count}", std::process::id()));
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}
