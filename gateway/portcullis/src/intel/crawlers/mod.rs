//! Crawlers that prove who they are, by forward-confirmed reverse DNS.
//!
//! The names of an address are what whoever has the address wrote, so they prove nothing alone. A name below the
//! crawler's own domain that leads back to the address does: only the crawler's operator can write that.
//!
//! A request never waits: it gets the answer of before, or [`Proof::Unverified`], and the question is asked for the
//! next one. What is not answered in time is unverified, too; only an answer can say that a claim is forged.

mod cache;
mod dns;
mod rules;
mod turns;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use portcullis_intel::{canonical, special_use};
use portcullis_signals::Proof;
use portcullis_velocity::Millis;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::exposition::Exposition;
use crate::settings::CrawlerDnsSettings;
use cache::{Cache, State};
pub use dns::{CrawlerDns, DnsError};
pub use rules::{CrawlerId, CrawlerRule, CrawlerRules, RulesError};
use turns::{Turn, Turns};

/// How long an answer is believed. Operators move addresses within days, so a proof holds for hours; a forger keeps an
/// address for minutes; and what was not answered is asked again soon.
const fn ttl(proof: Proof) -> Duration {
    match proof {
        Proof::Verified => Duration::from_secs(6 * 60 * 60),
        Proof::Unverified => Duration::from_secs(60),
        Proof::Forged => Duration::from_secs(30 * 60),
    }
}

/// Questions that may wait for an answer. Past it a question is dropped, and asked with a later request.
const QUEUE: usize = 1024;

/// Questions that are asked at once, so that a flood of claims does not become one of DNS.
const AT_ONCE: usize = 32;

/// What is known of claims, and the questions that are to be asked.
#[derive(Debug)]
pub struct CrawlerProofs {
    rules: CrawlerRules,
    cache: Cache,
    questions: Option<mpsc::Sender<Question>>,
    turns: Turns,
    dropped: AtomicU64,
    answers: [AtomicU64; Proof::ALL.len()],
}

/// A claim that is to be looked into.
#[derive(Debug)]
struct Question {
    address: IpAddr,
    crawler: CrawlerId,
    /// Given back with the question, whatever became of it.
    _turn: Turn,
}

impl CrawlerProofs {
    /// Proofs by these rules, and the service that asks for them. Without the service every claim is unverified.
    pub fn start(
        rules: CrawlerRules,
        dns: CrawlerDns,
        max_entries: usize,
        clock: Clock,
    ) -> (Arc<Self>, CrawlerService) {
        let (ask, questions) = mpsc::channel(QUEUE);
        let proofs = Arc::new(Self::new(rules, max_entries, Some(ask)));
        let service = CrawlerService {
            proofs: Arc::clone(&proofs),
            dns: Arc::new(dns),
            clock,
            questions: Mutex::new(Some(questions)),
        };
        (proofs, service)
    }

    /// Proofs as the settings say, and the service that asks for them if they say so.
    ///
    /// # Errors
    ///
    /// Where the system's name servers are not to be known.
    pub fn from_settings(
        settings: &CrawlerDnsSettings,
        clock: Clock,
    ) -> Result<(Arc<Self>, Option<CrawlerService>), DnsError> {
        let rules = CrawlerRules::embedded();
        if !settings.enabled {
            return Ok((Arc::new(Self::new(rules, 0, None)), None));
        }
        let dns = CrawlerDns::new(&settings.servers, settings.timeout)?;
        let (proofs, service) = Self::start(rules, dns, settings.max_entries, clock);
        Ok((proofs, Some(service)))
    }

    /// Proofs that ask nobody: every claim is unverified.
    pub fn silent() -> Self {
        Self::new(CrawlerRules::embedded(), 0, None)
    }

    fn new(rules: CrawlerRules, max_entries: usize, questions: Option<mpsc::Sender<Question>>) -> Self {
        Self {
            rules,
            cache: Cache::with_room_for(max_entries),
            questions,
            turns: Turns::default(),
            dropped: AtomicU64::new(0),
            answers: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Which crawlers prove who they are, and how.
    pub const fn rules(&self) -> &CrawlerRules {
        &self.rules
    }

    /// What is known of the claim of `address` to be `crawler`, a name in lower case as in `googlebot`. Where nothing
    /// is, it is asked for, and known to a later call. Never waits.
    pub fn verify(&self, address: IpAddr, crawler: &str, now: Millis) -> Proof {
        let Some(crawler) = self.rules.find(crawler) else { return Proof::Unverified };
        let address = canonical(address);
        // Public name servers know nothing of them, and are not to be told of them.
        if special_use(address).is_some() {
            return Proof::Unverified;
        }
        let Some(questions) = &self.questions else { return Proof::Unverified };
        match self.cache.look(address, crawler, now) {
            Some(State::Known(proof)) => proof,
            Some(State::Asked) => Proof::Unverified,
            None => {
                // Before it is asked: the answer may be there before the next line.
                self.cache.keep(address, crawler, State::Asked, now, ASKED_TTL);
                let turn = self.turns.take(address);
                let asked =
                    turn.is_some_and(|turn| questions.try_send(Question { address, crawler, _turn: turn }).is_ok());
                if !asked {
                    self.cache.keep(address, crawler, State::Asked, now, Duration::ZERO);
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Proof::Unverified
            }
        }
    }

    fn answer(&self, question: &Question, proof: Proof, now: Millis) {
        self.cache.keep(question.address, question.crawler, State::Known(proof), now, ttl(proof));
        if let Some(counter) = self.answers.get(proof as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        tracing::debug!(
            address = %question.address,
            crawler = self.rules.name(question.crawler),
            proof = proof.name(),
            "a claim was looked into"
        );
    }

    /// Writes the metrics.
    pub fn write(&self, text: &mut Exposition) {
        text.counters("portcullis_crawler_proofs_total", "Claims to be a crawler that were looked into by DNS.");
        for (proof, count) in Proof::ALL.iter().zip(&self.answers) {
            text.sample(&[("proof", proof.name())], count.load(Ordering::Relaxed));
        }
        text.counters(
            "portcullis_crawler_questions_dropped_total",
            "Claims that were not looked into since too many waited.",
        )
        .sample(&[], self.dropped.load(Ordering::Relaxed));
    }
}

/// How long a question counts as asked. Longer than any takes, so that one that was lost is asked again.
const ASKED_TTL: Duration = Duration::from_secs(120);

/// Asks the questions of [`CrawlerProofs`], for as long as the gateway runs.
pub struct CrawlerService {
    proofs: Arc<CrawlerProofs>,
    dns: Arc<CrawlerDns>,
    clock: Clock,
    questions: Mutex<Option<mpsc::Receiver<Question>>>,
}

impl fmt::Debug for CrawlerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrawlerService").finish_non_exhaustive()
    }
}

impl CrawlerService {
    /// Asks until nobody can ask any more. Runs once; a second call returns at once.
    pub async fn serve(&self) {
        let Some(mut questions) = self.questions.lock().take() else { return };
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        let mut under_way = JoinSet::new();
        while let Some(question) = questions.recv().await {
            // Those that are done are let go of, so that the set does not grow.
            while under_way.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else { return };
            let (proofs, dns, clock) = (Arc::clone(&self.proofs), Arc::clone(&self.dns), self.clock);
            under_way.spawn(async move {
                let domains = proofs.rules.domains(question.crawler);
                let proof = timeout(dns.deadline(), dns.prove(question.address, domains)).await;
                proofs.answer(&question, proof.unwrap_or(Proof::Unverified), clock.now().millis);
                drop(permit);
            });
        }
        while under_way.join_next().await.is_some() {}
    }
}

#[async_trait]
impl BackgroundService for CrawlerService {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            _ = shutdown.changed() => {}
            () = self.serve() => {}
        }
    }
}
