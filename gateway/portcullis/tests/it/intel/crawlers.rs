//! Crawlers that prove who they are, and those that cannot, by a real name server.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portcullis::clock::Clock;
use portcullis::exposition::Exposition;
use portcullis::intel::{CrawlerDns, CrawlerProofs, CrawlerRules};
use portcullis_signals::Proof;
use portcullis_testkit::wait_until;
use portcullis_velocity::Millis;
use tokio::runtime::Runtime;

use super::name_server::{Failure, Zone, reverse};

/// Proofs by what a zone says.
struct Rig {
    runtime: Runtime,
    proofs: Arc<CrawlerProofs>,
    asked: Arc<AtomicU32>,
}

impl Rig {
    fn new(zone: Zone, deadline: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let asked = Arc::clone(&zone.asked);
        let server = zone.serve(&runtime);
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
