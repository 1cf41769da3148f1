//! A real Prometheus scrapes the gateway.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portcullis_testkit::{Client, free_ports};

use crate::rig::Rig;
use crate::{CURL, OPEN};

/// A process that ends with its test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn prometheus_scrapes_what_was_counted() {
    if Command::new("prometheus").arg("--version").output().is_err() {
        eprintln!("skipped: no Prometheus is installed");
        return;
    }
    let rig = Rig::start(OPEN);
    for _ in 0..3 {
        rig.client().get("/", CURL).unwrap();
    }
    rig.audit(3);
    let config = rig.folder.join("prometheus.yml");
    let settings = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: portcullis\n    static_configs:\n      - targets: ['{}']\n",
        rig.admin
    );
    fs::write(&config, settings).unwrap();
    let [port] = free_ports::<1>();
    let _server = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", rig.folder.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Server)
        .unwrap();
    let ask = |query: &str| {
        let answer =
            Client::new(([127, 0, 0, 1], port).into()).get(&format!("/api/v1/query?query={query}"), &[]).ok()?;
        if answer.status != 200 {
            return None;
        }
        let value = answer.json()["data"]["result"][0]["value"][1].as_str()?.to_owned();
        Some(value)
    };
    portcullis_testkit::wait_until("a scrape", Duration::from_secs(30), || {
        ask("sum(portcullis_requests_total)").as_deref() == Some("3")
    });
    assert_eq!(ask("up").as_deref(), Some("1"));
    assert_eq!(ask("portcullis_signals_total%7Bsignal%3D%22ua-tool%22%7D").as_deref(), Some("3"));
    assert_eq!(ask("count(portcullis_policy_info)").as_deref(), Some("1"));
}
