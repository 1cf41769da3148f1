//! Crawlers that prove who they are, and those that cannot, by a real name server.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, PTR};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server};
use hickory_server::zone_handler::MessageResponseBuilder;
use portcullis::clock::Clock;
use portcullis::exposition::Exposition;
use portcullis::intel::{CrawlerDns, CrawlerProofs, CrawlerRules};
use portcullis_signals::Proof;
use portcullis_testkit::wait_until;
use portcullis_velocity::Millis;
use tokio::runtime::Runtime;

/// A name server that knows some records, and has no answer to some questions.
#[derive(Clone, Default)]
struct Zone {
    records: HashMap<(Name, RecordType), Vec<Record>>,
    failures: HashMap<Name, Failure>,
    asked: Arc<AtomicU32>,
}

#[derive(Clone, Copy)]
enum Failure {
    /// No answer at all.
    Silent,
    /// It says that it cannot.
    Refused,
}

impl Zone {
    /// Says that an address has this name.
    fn ptr(mut self, address: &str, host: &str) -> Self {
        let name = reverse(address);
        let record = Record::from_rdata(name.clone(), 300, RData::PTR(PTR(host.parse().unwrap())));
        self.records.entry((name, RecordType::PTR)).or_default().push(record);
        self
    }

    /// Says that a name leads to this address.
    fn host(mut self, host: &str, address: &str) -> Self {
        let name: Name = host.parse().unwrap();
        let (kind, data) = match address.parse().unwrap() {
            IpAddr::V4(ip) => (RecordType::A, RData::A(A(ip))),
            IpAddr::V6(ip) => (RecordType::AAAA, RData::AAAA(AAAA(ip))),
        };
        self.records.entry((name.clone(), kind)).or_default().push(Record::from_rdata(name, 300, data));
        self
    }

    fn fails(mut self, name: Name, failure: Failure) -> Self {
        self.failures.insert(name, failure);
        self
    }
}

fn reverse(address: &str) -> Name {
    Name::from(address.parse::<IpAddr>().unwrap())
}

#[async_trait::async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let info = request.request_info().unwrap();
        let (name, kind) = (Name::from(info.query.name().clone()), info.query.query_type());
        let builder = MessageResponseBuilder::from_message_request(request);
        let sent = match (self.failures.get(&name), self.records.get(&(name, kind))) {
            (Some(Failure::Silent), _) => std::future::pending().await,
            (Some(Failure::Refused), _) => {
                handle.send_response(builder.error_msg(info.metadata, ResponseCode::ServFail)).await
            }
            (None, Some(records)) => {
                let metadata = Metadata::response_from_request(info.metadata);
                handle.send_response(builder.build(metadata, records, [], [], [])).await
            }
            (None, None) => handle.send_response(builder.error_msg(info.metadata, ResponseCode::NXDomain)).await,
        };
        sent.unwrap()
    }
}

/// Proofs by what a zone says.
struct Rig {
    runtime: Runtime,
    proofs: Arc<CrawlerProofs>,
    asked: Arc<AtomicU32>,
}

impl Rig {
    fn new(zone: Zone, deadline: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let server: SocketAddr = socket.local_addr().unwrap();
        let asked = Arc::clone(&zone.asked);
        runtime.spawn(async move {
            let mut server = Server::new(zone);
            server.register_socket(tokio::net::UdpSocket::from_std(socket).unwrap());
            server.block_until_done().await
        });
        let dns = CrawlerDns::new(&[server], deadline).unwrap();
        let (proofs, service) = CrawlerProofs::start(CrawlerRules::embedded(), dns, 1024, Clock::start());
        runtime.spawn(async move { service.serve().await });
        Self { runtime, proofs, asked }
    }

    /// Asks, and waits until the question was looked into.
    fn proof(&self, address: &str, crawler: &str) -> Proof {
        let before = self.answers();
        let address = address.parse().unwrap();
        assert_eq!(self.proofs.verify(address, crawler, Millis(0)), Proof::Unverified, "never known at once");
        wait_until("an answer", Duration::from_secs(20), || self.answers() > before);
        self.proofs.verify(address, crawler, Millis(0))
    }

    fn answers(&self) -> u32 {
        let mut text = Exposition::default();
        self.proofs.write(&mut text);
        let text = text.finish();
        let counts = text.lines().filter_map(|line| line.strip_prefix("portcullis_crawler_proofs_total{"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum()
    }
}

const AMPLE: Duration = Duration::from_secs(15);

#[test]
fn a_name_below_the_crawlers_domain_that_leads_back_proves_it() {
    let zone = Zone::default()
        .ptr("66.249.66.1", "crawl-66-249-66-1.googlebot.com.")
        .host("crawl-66-249-66-1.googlebot.com.", "66.249.66.1")
        .ptr("2001:4860:4801:10::1", "crawl-2001-4860-4801-10--1.googlebot.com.")
        .host("crawl-2001-4860-4801-10--1.googlebot.com.", "2001:4860:4801:10::1")
        .ptr("157.55.39.1", "other.msn.com.")
        .ptr("157.55.39.1", "msnbot-157-55-39-1.search.msn.com.")
        .host("msnbot-157-55-39-1.search.msn.com.", "157.55.39.9")
        .host("msnbot-157-55-39-1.search.msn.com.", "157.55.39.1");
    let rig = Rig::new(zone, AMPLE);
    assert_eq!(rig.proof("66.249.66.1", "googlebot"), Proof::Verified);
    assert_eq!(rig.proof("2001:4860:4801:10::1", "googlebot"), Proof::Verified);
    assert_eq!(rig.proof("157.55.39.1", "bingbot"), Proof::Verified);
    assert_eq!(rig.proof("66.249.66.1", "bingbot"), Proof::Forged, "it is another crawler");
    let mapped = "::ffff:66.249.66.1".parse().unwrap();
    assert_eq!(rig.proofs.verify(mapped, "googlebot", Millis(0)), Proof::Verified);
    // What is known is not asked again until it expires.
    let asked = rig.asked.load(Ordering::Relaxed);
    for _ in 0..100 {
        assert_eq!(rig.proofs.verify(mapped, "googlebot", Millis(0)), Proof::Verified);
    }
    assert_eq!(rig.asked.load(Ordering::Relaxed), asked);
    assert_eq!(rig.proofs.verify(mapped, "googlebot", Millis(7 * 3600 * 1000)), Proof::Unverified);
}

/// GHSA-q54j-5484-pvjm: whoever has an address writes its name, so the name alone is no proof.
#[test]
fn a_forged_name_is_no_proof() {
    let zone = Zone::default()
        // The real host, which is elsewhere.
        .ptr("8.8.4.1", "crawl-66-249-66-1.googlebot.com.")
        .host("crawl-66-249-66-1.googlebot.com.", "66.249.66.1")
        // A host that there is not.
        .ptr("8.8.4.2", "x.googlebot.com.")
        // Names that only look like it, and do lead back.
        .ptr("8.8.4.3", "crawl.googlebot.com.evil.example.")
        .host("crawl.googlebot.com.evil.example.", "8.8.4.3")
        .ptr("8.8.4.4", "evilgooglebot.com.")
        .host("evilgooglebot.com.", "8.8.4.4")
        // A customer of a cloud, with a name that leads back.
        .ptr("8.8.4.5", "5.4.8.8.bc.googleusercontent.com.")
        .host("5.4.8.8.bc.googleusercontent.com.", "8.8.4.5")
        // The right name only in the other family.
        .ptr("8.8.4.7", "six.googlebot.com.")
        .host("six.googlebot.com.", "2001:4860:4801:10::1");
    let rig = Rig::new(zone, AMPLE);
    for last in 1..=7 {
        let address = format!("8.8.4.{last}");
        assert_eq!(rig.proof(&address, "googlebot"), Proof::Forged, "{address}");
    }
}

#[test]
fn no_answer_is_no_proof_of_either() {
    let zone = Zone::default()
        .fails(reverse("8.8.4.1"), Failure::Silent)
        .ptr("8.8.4.2", "slow.googlebot.com.")
        .fails("slow.googlebot.com.".parse().unwrap(), Failure::Silent)
        .fails(reverse("8.8.4.3"), Failure::Refused)
        .ptr("8.8.4.4", "broken.googlebot.com.")
        .fails("broken.googlebot.com.".parse().unwrap(), Failure::Refused);
    let rig = Rig::new(zone, Duration::from_millis(300));
    for last in 1..=4 {
        let address = format!("8.8.4.{last}");
        assert_eq!(rig.proof(&address, "googlebot"), Proof::Unverified, "{address}");
    }
}

#[test]
fn nobody_is_asked_about_what_nobody_can_prove() {
    let rig = Rig::new(Zone::default(), AMPLE);
    for (address, crawler) in [
        ("66.249.66.1", "curl"),
        ("66.249.66.1", "gptbot"),
        ("127.0.0.1", "googlebot"),
        ("10.0.0.1", "googlebot"),
        ("192.0.2.1", "googlebot"),
        ("::1", "googlebot"),
    ] {
        assert_eq!(rig.proofs.verify(address.parse().unwrap(), crawler, Millis(0)), Proof::Unverified);
    }
    // One that is asked shows that the others were not.
    assert_eq!(rig.proof("66.249.66.1", "googlebot"), Proof::Forged);
    assert_eq!(rig.asked.load(Ordering::Relaxed), 1);
    assert_eq!(
        CrawlerProofs::silent().verify("66.249.66.1".parse().unwrap(), "googlebot", Millis(0)),
        Proof::Unverified
    );
}

#[test]
fn a_flood_of_claims_asks_within_bounds_and_never_waits() {
    let rig = Rig::new(Zone::default().fails(reverse("8.8.4.1"), Failure::Silent), AMPLE);
    // Nobody takes a question any more, so every one is dropped.
    drop(rig.runtime);
    for number in 0..5_000_u32 {
        let address = IpAddr::V4((0x0800_0000 + number).into());
        assert_eq!(rig.proofs.verify(address, "googlebot", Millis(0)), Proof::Unverified);
    }
    let mut text = Exposition::default();
    rig.proofs.write(&mut text);
    let text = text.finish();
    assert!(text.contains("portcullis_crawler_questions_dropped_total 5000"), "{text}");
}
