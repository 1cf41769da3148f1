//! Networks that change under the running gateway: feeds that are replaced, fetched and forged, and crawlers that prove
//! who they are.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portcullis_testkit::{TestCertificate, wait_until};
use serde_json::Value;

use super::Folder;
use super::feed_server::{FeedServer, ok};
use super::name_server::{Failure, Zone, reverse};
use crate::rig::{Rig, usual_origin};
use crate::{CHROMIUM, OPEN, StopOnDrop};

const BOUND: Duration = Duration::from_secs(20);

/// A public address that is in no list that is compiled in.
const LISTED: &str = "203.0.114.1";

/// Another one, which no test lists.
const STRANGER: &str = "203.0.115.1";

fn refreshes(rig: &Rig, source: &str, result: &str) -> f64 {
    let labels = [("source", source), ("result", result)];
    rig.metrics().value("portcullis_intel_refresh_total", &labels).unwrap_or(0.0)
}

/// Replaces a feed that is a file, and waits until the gateway took it as said.
fn replace(rig: &Rig, text: &str, result: &str) {
    let before = refreshes(rig, "own-vpn", result);
    let beside = rig.folder.join("vpn.new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, rig.folder.join("vpn.txt")).unwrap();
    rig.gateway.reload();
    let what = format!("{:?} to be {result}", text.get(..20.min(text.len())));
    wait_until(&what, BOUND, || refreshes(rig, "own-vpn", result) > before);
}

fn status_from(rig: &Rig, address: &str) -> u16 {
    rig.client_of(address).get("/", CHROMIUM).unwrap().status
}

#[test]
fn a_source_that_is_replaced_under_load_changes_verdicts_without_one_failed_request() {
    let settings = "[[intel.feed]]\nname = \"own-vpn\"\npath = \"vpn.txt\"\nformat = \"text\"\nclass = \"vpn\"\n";
    let rig = Rig::start_with(&format!("{OPEN}filters = {{ vpn = \"block\" }}\n"), settings, usual_origin);
    assert_eq!(status_from(&rig, LISTED), 200, "a feed that is not there refuses nobody");
    let listing: String = (0..64).map(|last| format!("203.0.114.{last}\n")).collect();
    let stop = AtomicBool::new(false);
    let served = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = [(STRANGER, &[200][..]), (LISTED, &[200, 403])]
            .into_iter()
            .map(|(address, wanted)| {
                let (rig, stop, served) = (&rig, &stop, &served);
                scope.spawn(move || {
                    let mut connection = rig.client_of(address).connect().unwrap();
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match connection.get("/", CHROMIUM) {
                            Ok(answer) if wanted.contains(&answer.status) => {
                                served.fetch_add(1, Ordering::Relaxed);
                            }
                            other => {
                                failed.push(format!("{other:?}"));
                                break;
                            }
                        }
                    }
                    failed
                })
            })
            .collect();
        let _stop_in_any_case = StopOnDrop(&stop);
        for (text, result, status) in [
            (listing.clone(), "applied", 403),
            ("<html>not found</html>".to_owned(), "refused", 403),
            (String::new(), "failed", 403),
            ("11.0.0.0/8\n".repeat(64), "refused", 403),
            ("203.0.114.1\n".to_owned(), "refused", 403),
            (listing.replace(LISTED, "203.0.116.1"), "applied", 200),
            ("\0".repeat(4096), "refused", 200),
            (listing.clone(), "applied", 403),
        ] {
            replace(&rig, &text, result);
            assert_eq!(status_from(&rig, LISTED), status, "after {:?}", text.get(..20.min(text.len())));
            assert_eq!(status_from(&rig, STRANGER), 200);
        }
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            let failed = worker.join().unwrap();
            assert!(failed.is_empty(), "{failed:?}");
        }
    });
    assert!(served.load(Ordering::Relaxed) > 100);
    let log = rig.gateway.stderr();
    assert!(log.contains("the last good one stays") && log.contains("own-vpn"), "{log}");
    assert_eq!(rig.metrics().value("portcullis_intel_entries", &[("source", "own-vpn")]), Some(64.0));
}

#[test]
fn what_the_settings_name_is_fetched_and_decides_and_is_told_to_the_audit() {
    let certificate = TestCertificate::for_names(&["127.0.0.1"]);
    let server = FeedServer::start(&certificate, |head, stream| match head {
        head if head.starts_with("GET /vpn ") => ok(stream, "", "203.0.114.0/30\n10.0.0.0/8\n0.0.0.0/0\n"),
        // What another server says with a redirect is not gone to where the address is not public.
        _ => redirect_to_metadata(stream),
    });
    let folder = Folder::new();
    let ca = folder.write("ca.pem", certificate.certificate_pem()).display().to_string();
    let feed = |name: &str, path: &str| {
        format!(
            "[[intel.feed]]\nname = \"{name}\"\nurl = \"{}\"\nformat = \"text\"\nclass = \"vpn\"\n",
            server.url(path)
        )
    };
    let settings = format!(
        "[intel]\nca_file = \"{ca}\"\nmirrors = [\"127.0.0.0/8\"]\n{}{}",
        feed("vpn", "/vpn"),
        feed("elsewhere", "/elsewhere")
    );
    let rig = Rig::start_with(&format!("{OPEN}filters = {{ vpn = \"block\" }}\n"), &settings, usual_origin);
    wait_until("both fetches", BOUND, || {
        refreshes(&rig, "vpn", "applied") > 0.0 && refreshes(&rig, "elsewhere", "failed") > 0.0
    });
    let metrics = rig.metrics();
    assert_eq!(metrics.value("portcullis_intel_entries", &[("source", "vpn")]), Some(1.0));
    assert_eq!(metrics.value("portcullis_intel_skipped", &[("source", "vpn")]), Some(2.0));
    assert_eq!(status_from(&rig, LISTED), 403);
    assert_eq!(status_from(&rig, STRANGER), 200);
    assert_eq!(status_from(&rig, "10.1.2.3"), 200, "special use is no class");
    let records = rig.audit(3);
    assert_eq!(rig.metrics().value("portcullis_network_class_requests_total", &[("class", "vpn")]), Some(1.0));
    assert_eq!(records[0]["classes"], Value::from(vec!["vpn"]));
    assert_eq!(records[0]["code"], Value::from("API.VPN_BLOCKED"));
    assert_eq!(server.requests().iter().filter(|head| head.contains("169.254.169.254")).count(), 0);
}

/// Sends whoever asks to an address of the machine's own network (X22).
fn redirect_to_metadata(stream: &mut super::feed_server::Stream) -> std::io::Result<()> {
    use std::io::Write as _;
    stream.write_all(
        b"HTTP/1.1 302 Found\r\nLocation: https://169.254.169.254/latest/meta-data\r\nContent-Length: 0\r\n\r\n",
    )
}

#[test]
fn crawlers_prove_themselves_to_the_running_gateway_and_forgers_do_not() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let zone = Zone::default()
        .ptr("203.0.114.1", "203-0-114-1.spider.yandex.com.")
        .host("203-0-114-1.spider.yandex.com.", "203.0.114.1")
        // X21: whoever has the address wrote this, and the name does not lead back.
        .ptr("203.0.114.2", "203-0-114-2.spider.yandex.com.")
        .host("203-0-114-2.spider.yandex.com.", "203.0.114.1")
        .fails(reverse("203.0.114.3"), Failure::Silent);
    let server = zone.serve(&runtime);
    let settings = format!(
        "[intel.crawlers]\nservers = [\"{server}\"]\ntimeout_ms = 500\n\
         [[intel.feed]]\nname = \"hosting\"\npath = \"hosting.txt\"\nformat = \"text\"\nclass = \"datacenter\"\n"
    );
    let rig = Rig::start_with(&format!("{OPEN}filters = {{ datacenter = \"block\" }}\n"), &settings, usual_origin);
    fs::write(rig.folder.join("hosting.txt"), "203.0.114.0/24\n").unwrap();
    rig.gateway.reload();
    wait_until("the feed", BOUND, || refreshes(&rig, "hosting", "applied") > 0.0);

    let bot = [("user-agent", "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"), ("accept", "*/*")];
    let get = |address: &str| rig.client_of(address).get("/", &bot).unwrap();
    let proofs =
        |proof: &str| rig.metrics().value("portcullis_crawler_proofs_total", &[("proof", proof)]).unwrap_or_default();
    for (address, proof, before, after) in [
        ("203.0.114.1", "verified", 403, 200),
        ("203.0.114.2", "forged", 403, 403),
        ("203.0.114.3", "unverified", 403, 403),
    ] {
        assert_eq!(get(address).status, before, "{address}: nothing is known yet, and nobody waits");
        wait_until(proof, BOUND, || proofs(proof) > 0.0);
        assert_eq!(get(address).status, after, "{address}: {proof}");
    }
    // Without the filter the forger is scored, and told from one of whom nothing is known.
    rig.reload_rules(OPEN, "applied");
    assert_eq!(get("203.0.114.1").status, 200);
    assert_eq!(get("203.0.114.2").status, 403, "a challenge");
    let records = rig.audit(8);
    let last = records.last().unwrap();
    assert!(last["reasons"].to_string().contains("crawler-forged"), "{last}");
    let proven = &records[records.len() - 2];
    assert!(!proven["reasons"].to_string().contains("ua-crawler"), "{proven}");
    assert!(proven["classes"].to_string().contains("crawler"), "{proven}");
}
