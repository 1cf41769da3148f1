//! What Prometheus sees. Every name of a metric stands here; labels come from closed sets.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use portcullis_challenge::{Level, SOLVE_SECONDS};
use portcullis_intel::NetworkClass;
use portcullis_policy::model::{Action, Mode};
use portcullis_signals::{Coverage, Family, Posture, SignalId};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::accept::{AcceptStats, Label, Tally};
use crate::exposition::Exposition;
use crate::gateway::challenge::{Seen, Step};
use crate::gateway::coverage::{Reason, has_header_order};
use crate::gateway::shadow::part;
use crate::gateway::{Gateway, Judged, Record};

/// The metrics that are counted where things happen.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    responses: [IntCounter; 6],
    decision_seconds: Histogram,
    request_seconds: Histogram,
    score: Histogram,
    signals: Vec<IntCounter>,
    evidence: [IntCounter; 3],
    claims: [[IntCounter; 2]; Family::ALL.len()],
    shadow: IntCounterVec,
    lifts: IntCounterVec,
    rule_faults: IntCounterVec,
    challenges: IntCounterVec,
    challenge_steps: IntCounterVec,
    challenge_evidence: IntCounterVec,
    clearances_refused: IntCounterVec,
    solve_seconds: HistogramVec,
    faults: IntCounter,
    stuffing: IntCounter,
    classes: [AtomicU64; NetworkClass::ALL.len()],
    reloads: IntCounterVec,
    reloaded: IntGaugeVec,
    policy: IntGaugeVec,
    trial: IntGaugeVec,
    ready: IntGauge,
    snapshot_reads: IntCounterVec,
    snapshot_writes: IntCounterVec,
    snapshot_bytes: IntGauge,
    certificate_expiry: IntGauge,
    snapshot_written: IntGauge,
}

/// The counters of one route, found without a look-up. Each is made when it is first needed, so that ten
/// thousand routes do not show a hundred thousand zeros.
#[derive(Debug, Default)]
pub struct RouteMeters {
    requests: [OnceLock<IntCounter>; ACTIONS.len() * 2],
}

const ACTIONS: [Action; 6] =
    [Action::Allow, Action::Throttle, Action::Challenge, Action::StepUp, Action::Block, Action::Ban];

/// Upper bounds for decisions, in seconds: a decision takes a microsecond or so.
const DECISION_BUCKETS: [f64; 9] = [5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2.5e-5, 1e-4, 1e-3, 1e-2];

/// Upper bounds for requests, in seconds.
const REQUEST_BUCKETS: [f64; 12] = [5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Upper bounds for scores: tenths.
const SCORE_BUCKETS: [f64; 10] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Errors
    ///
    /// Where two metrics have one name, which a test would show.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| -> prometheus::Result<Histogram> {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
            let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let responses = counters("portcullis_responses_total", "Responses sent, by class of status.", &["class"])?;
        let signals = counters("portcullis_signals_total", "Requests on which a signal was present.", &["signal"])?;
        let evidence = counters(
            "portcullis_evidence_requests_total",
            "Judged requests, by what there was to judge their client by.",
            &["evidence"],
        )?;
        let claims = counters(
            "portcullis_browser_claims_total",
            "Judged requests that claim to be of a browser, by whether rows say what that browser sends.",
            &["family", "coverage"],
        )?;
        let faults = IntCounter::new(
            "portcullis_judgement_faults_total",
            "Requests whose judgement failed by a fault of the gateway.",
        )?;
        registry.register(Box::new(faults.clone()))?;
        let stuffing = IntCounter::new(
            "portcullis_stuffing_successes_total",
            "Runs of failures of many users that ended in a success.",
        )?;
        registry.register(Box::new(stuffing.clone()))?;
        let ready = IntGauge::new("portcullis_ready", "Whether requests are served.")?;
        registry.register(Box::new(ready.clone()))?;
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let snapshot_reads = counters(
            "portcullis_snapshot_reads_total",
            "Snapshots of bans and standings looked for at the start, by what became of them.",
            &["result"],
        )?;
        let snapshot_writes =
            counters("portcullis_snapshot_writes_total", "Snapshots of bans and standings written.", &["result"])?;
        for result in SnapshotRead::ALL {
            snapshot_reads.with_label_values(&[result.name()]);
        }
        for result in [WRITTEN, FAILED] {
            snapshot_writes.with_label_values(&[result]);
        }
        let solve_seconds = HistogramVec::new(
            HistogramOpts::new(
                "portcullis_challenge_solve_seconds",
                "Time from a challenge to its solution, by the rung that was reached and the family of the client.",
            )
            .buckets(SOLVE_SECONDS.to_vec()),
            &["rung", "family"],
        )?;
        registry.register(Box::new(solve_seconds.clone()))?;
        Ok(Self {
            requests: counters(
                "portcullis_requests_total",
                "Requests, by route, verdict and whether it was enforced.",
                &["route", "action", "mode"],
            )?,
            responses: STATUS_CLASSES.map(|class| responses.with_label_values(&[class])),
            decision_seconds: histogram(
                "portcullis_decision_seconds",
                "Time to gather the facts of a request and to decide.",
                &DECISION_BUCKETS,
            )?,
            request_seconds: histogram(
                "portcullis_request_seconds",
                "Time from the header of a request to the end of its response.",
                &REQUEST_BUCKETS,
            )?,
            score: histogram("portcullis_score", "Risk scores.", &SCORE_BUCKETS)?,
            signals: SignalId::ALL.iter().map(|signal| signals.with_label_values(&[signal.name()])).collect(),
            evidence: EVIDENCE.map(|name| evidence.with_label_values(&[name])),
            claims: Family::ALL.map(|family| {
                [Coverage::Covered, Coverage::Uncovered]
                    .map(|coverage| claims.with_label_values(&[family.name(), coverage.name()]))
            }),
            shadow: counters(
                "portcullis_shadow_total",
                "Requests that a rule, limit, filter or signal in monitor mode would have acted on.",
                &["route", "kind", "action"],
            )?,
            lifts: counters(
                "portcullis_rule_lifts_total",
                "Requests whose score a rule with an expression, or one that weighs, raised.",
                &["route"],
            )?,
            rule_faults: counters(
                "portcullis_rule_faults_total",
                "Rules left out of a request, since their expression had no answer for it.",
                &["route", "fault"],
            )?,
            challenges: counters("portcullis_challenges_total", "Challenges, by what became of them.", &["outcome"])?,
            challenge_steps: counters(
                "portcullis_challenge_steps_total",
                "Steps of challenges, by the rung that was asked for or reached and the family of the client.",
                &["step", "rung", "family"],
            )?,
            challenge_evidence: counters(
                "portcullis_challenge_evidence_total",
                "What the evidence showed that came with solutions; `none` where it showed nothing.",
                &["evidence", "family"],
            )?,
            clearances_refused: counters(
                "portcullis_clearances_refused_total",
                "Requests whose clearance was not good, by why.",
                &["reason"],
            )?,
            solve_seconds,
            faults,
            stuffing,
            classes: [const { AtomicU64::new(0) }; NetworkClass::ALL.len()],
            reloads: counters(
                "portcullis_config_reloads_total",
                "Reloads, by what was reloaded and how it went.",
                &["what", "result"],
            )?,
            reloaded: gauges(
                "portcullis_config_last_reload_successful",
                "Whether the last reload went well.",
                &["what"],
            )?,
            policy: gauges("portcullis_policy_info", "The policy in force.", &["version"])?,
            trial: gauges(
                "portcullis_policy_trial_info",
                "The policy that a share of clients is judged by.",
                &["version"],
            )?,
            ready,
            snapshot_reads,
            snapshot_writes,
            certificate_expiry: gauge(
                "portcullis_certificate_expiry_timestamp_seconds",
                "When the first of the certificates in use expires; 0 where there is none.",
            )?,
            snapshot_bytes: gauge("portcullis_snapshot_bytes", "The size of the last snapshot written.")?,
            snapshot_written: gauge(
                "portcullis_snapshot_last_write_timestamp_seconds",
                "When the last snapshot was written, in seconds since 1970; 0 for never.",
            )?,
            registry,
        })
    }

    /// Notes when the first of the certificates in use expires.
    pub fn certificates_expire(&self, at: SystemTime) {
        let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.certificate_expiry.set(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));
    }

    /// Counts a request that is over.
    pub fn record(&self, record: &Record<'_>) {
        let class = record.outcome.status.map_or(0, |status| usize::from(status / 100).min(5));
        if let Some(responses) = self.responses.get(class) {
            responses.inc();
        }
        self.decision_seconds.observe(record.decided_in.as_secs_f64());
        self.request_seconds.observe(record.took.as_secs_f64());
        let Some(judged) = record.judged else { return };
        if let Some(seen) = &record.seen {
            self.saw(seen, judged.claim.family);
        }
        if let Some(refusal) = judged.not_held {
            self.clearances_refused.with_label_values(&[refusal.reason()]).inc();
        }
        self.covered(record, judged);
        for (class, counter) in NetworkClass::ALL.iter().zip(&self.classes) {
            if judged.network.classes.contains(*class) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        let decision = &judged.decision;
        if decision.is_scored() {
            self.score.observe(f64::from(decision.score.as_thousandths()) / 1000.0);
        }
        for reason in &decision.reasons {
            if let Some(counter) = self.signals.get(usize::from(reason.signal.ordinal())) {
                counter.inc();
            }
        }
        if let Some(meters) = record.policy.meters(decision.route) {
            meters.count(self, record.route(), decision.verdict, decision.mode);
        }
        let rules = record.policy.rules();
        for shadow in &decision.shadow {
            let (kind, _) = part(rules, rules.route(decision.route), shadow.what);
            self.shadow.with_label_values(&[record.route(), kind, shadow.action.name()]).inc();
        }
        if !decision.lifts.is_empty() {
            self.lifts.with_label_values(&[record.route()]).inc();
        }
        for fault in &decision.faults {
            self.rule_faults.with_label_values(&[record.route(), fault.fault.name()]).inc();
        }
    }

    /// Counts what there was to judge a client by.
    fn covered(&self, record: &Record<'_>, judged: &Judged) {
        let client = judged.client.0;
        let there = [
            record.conn.tls_of(client).is_some(),
            record.conn.http2_print_of(client).is_some(),
            has_header_order(&record.request.headers),
        ];
        for (counter, there) in self.evidence.iter().zip(there) {
            if there {
                counter.inc();
            }
        }
        let coverage = match judged.coverage {
            Coverage::Covered => 0,
            Coverage::Uncovered => 1,
            Coverage::NotABrowser => return,
        };
        let family = Family::ALL.iter().position(|family| *family == judged.claim.family);
        if let Some(counter) = family.and_then(|family| self.claims.get(family)?.get(coverage)) {
            counter.inc();
        }
    }

    /// Counts a step of a challenge.
    fn saw(&self, seen: &Seen, family: Family) {
        let (rung, family) = (seen.rung.name(), family.name());
        self.challenge_steps.with_label_values(&[seen.step.name(), rung, family]).inc();
        let outcome = match seen.step {
            Step::Shown => "issued",
            Step::Solved(_) => "solved",
            Step::Renewed(_) => "renewed",
            Step::Refused(refusal) => refusal.reason(),
        };
        self.challenges.with_label_values(&[outcome]).inc();
        let (Step::Solved(took) | Step::Renewed(took)) = seen.step else { return };
        if matches!(seen.step, Step::Solved(_)) {
            self.solve_seconds.with_label_values(&[rung, family]).observe(took.as_secs_f64());
        }
        if seen.rung == Level::NoScript {
            // No script, no evidence.
            return;
        }
        if seen.findings.is_empty() {
            self.challenge_evidence.with_label_values(&["none", family]).inc();
        }
        for signal in seen.findings.iter() {
            self.challenge_evidence.with_label_values(&[signal.name(), family]).inc();
        }
    }

    /// Counts a judgement that failed by a fault of the gateway.
    pub fn judgement_fault(&self) {
        self.faults.inc();
    }

    /// Counts a run of failures of many users that ended in a success.
    pub fn stuffing_success(&self) {
        self.stuffing.inc();
    }

    /// Counts a reload of `what`.
    pub fn reloaded(&self, what: &'static str, result: Reload) {
        let (name, good) = match result {
            Reload::Applied => ("applied", 1),
            Reload::Unchanged => ("unchanged", 1),
            Reload::Refused => ("refused", 0),
            Reload::Trial => ("trial", 1),
            Reload::TakenBack => ("taken_back", 0),
        };
        self.reloads.with_label_values(&[what, name]).inc();
        self.reloaded.with_label_values(&[what]).set(good);
    }

    /// Says which policy is in force.
    pub fn policy_version(&self, version: &str) {
        self.policy.reset();
        self.policy.with_label_values(&[version]).set(1);
    }

    /// Says which policy a share of clients is judged by, if any.
    pub fn policy_on_trial(&self, version: Option<&str>) {
        self.trial.reset();
        if let Some(version) = version {
            self.trial.with_label_values(&[version]).set(1);
        }
    }

    /// Says whether requests are served.
    pub fn set_ready(&self, ready: Readiness) {
        self.ready.set(i64::from(ready == Readiness::Ready));
    }

    /// Whether requests are served.
    pub fn is_ready(&self) -> bool {
        self.ready.get() == 1
    }

    /// Counts a snapshot that was looked for.
    pub fn snapshot_read(&self, result: SnapshotRead) {
        self.snapshot_reads.with_label_values(&[result.name()]).inc();
    }

    /// Counts a snapshot that was to be written.
    pub fn snapshot_written(&self, result: SnapshotWrite) {
        match result {
            SnapshotWrite::Written { bytes, unix_secs } => {
                self.snapshot_writes.with_label_values(&[WRITTEN]).inc();
                self.snapshot_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
                self.snapshot_written.set(i64::try_from(unix_secs).unwrap_or(i64::MAX));
            }
            SnapshotWrite::Failed => self.snapshot_writes.with_label_values(&[FAILED]).inc(),
        }
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// # Errors
    ///
    /// Where a family of the registry cannot be written.
    pub fn render(&self, gateway: &Gateway, accept: &AcceptStats) -> prometheus::Result<String> {
        let mut text = Exposition::behind(TextEncoder::new().encode_to_string(&self.registry.gather())?);
        write_accept(&mut text, accept);
        write_memory(&mut text, gateway);
        write_challenges(&mut text, gateway);
        write_classes(&mut text, &self.classes);
        write_postures(&mut text, gateway);
        write_prints(&mut text, gateway);
        gateway.sources.write(&mut text, gateway.clock.now().unix().0);
        gateway.crawlers.write(&mut text);
        if let Some(sites) = &gateway.sites {
            sites.write(&mut text, gateway.clock.now().unix_millis());
        }
        write_dependencies(&mut text, gateway);
        text.gauges("portcullis_build_info", "The version of the gateway.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        Ok(text.finish())
    }
}

/// How a reload went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reload {
    /// What is new is in force.
    Applied,
    /// Nothing differs.
    Unchanged,
    /// What is new is wrong; the last good one stays.
    Refused,
    /// What is new is in force for a share of clients.
    Trial,
    /// What was new refused too much; the one before is in force again.
    TakenBack,
}

/// What became of the snapshot of an earlier process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SnapshotRead {
    /// It is remembered.
    Restored,
    /// There is none.
    Absent,
    /// It is not right, and was set aside.
    Refused,
}

impl SnapshotRead {
    const ALL: [Self; 3] = [Self::Restored, Self::Absent, Self::Refused];

    const fn name(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Absent => "absent",
            Self::Refused => "refused",
        }
    }
}

/// What became of a snapshot of this process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SnapshotWrite {
    /// It is on the disk.
    Written {
        /// Its size.
        bytes: usize,
        /// When, in seconds since 1970.
        unix_secs: u64,
    },
    /// It is not; the one before stays.
    Failed,
}

/// Whether requests are served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Readiness {
    /// They are.
    Ready,
    /// Not yet, or no longer.
    Unready,
}

/// The results of writing a snapshot.
const WRITTEN: &str = "written";
const FAILED: &str = "failed";

/// What there can be to judge a client by, in the order in which it is counted.
const EVIDENCE: [&str; 3] = ["client_hello", "http2_print", "header_order"];

const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl RouteMeters {
    fn count(&self, metrics: &Metrics, route: &str, action: Action, mode: Mode) {
        let at =
            ACTIONS.iter().position(|known| *known == action).unwrap_or(0) * 2 + usize::from(mode == Mode::Monitor);
        if let Some(cell) = self.requests.get(at) {
            let mode = if mode == Mode::Monitor { "monitor" } else { "enforce" };
            cell.get_or_init(|| metrics.requests.with_label_values(&[route, action.name(), mode])).inc();
        }
    }
}

fn write_accept(text: &mut Exposition, accept: &AcceptStats) {
    text.counters("portcullis_connections_total", "Connections accepted.").sample(&[], accept.accepted.value());
    text.gauges("portcullis_connections", "Connections open now.").sample(&[], accept.open.value());
    text.gauges("portcullis_handshakes_in_progress", "Connections before their first HTTP byte now.")
        .sample(&[], accept.handshaking.value());
    tally(
        text,
        "portcullis_connections_refused_total",
        "Connections closed before their handshake.",
        "reason",
        &accept.refused,
    );
    tally(text, "portcullis_handshakes_total", "TLS handshakes that succeeded.", "kind", &accept.handshakes);
    tally(
        text,
        "portcullis_handshake_failures_total",
        "TLS handshakes that failed.",
        "reason",
        &accept.handshake_failures,
    );
    tally(text, "portcullis_hello_faults_total", "ClientHellos that could not be read.", "fault", &accept.hello_faults);
    tally(
        text,
        "portcullis_http2_unread_total",
        "HTTP/2 connections of which there is no print.",
        "reason",
        &accept.http2_unread,
    );
    tally(
        text,
        "portcullis_unjudged_answers_total",
        "Requests that were answered before they could be judged.",
        "status",
        &accept.unjudged,
    );
    tally(text, "portcullis_connections_cut_total", "Connections cut by their clients' fault.", "reason", &accept.cut);
    let times = accept.handshake_time.read();
    text.histogram(
        "portcullis_handshake_seconds",
        "Time from accept to the end of a TLS handshake that succeeded.",
        &times.cumulative,
        times.count,
        times.sum_seconds,
    );
}

fn tally<L: Label>(text: &mut Exposition, name: &'static str, help: &str, label: &str, tally: &Tally<L>) {
    text.counters(name, help);
    for (value, count) in tally.iter() {
        text.sample(&[(label, value.name())], count);
    }
}

fn write_memory(text: &mut Exposition, gateway: &Gateway) {
    let behaviours = &gateway.behaviours;
    let distincts = behaviours.distincts.stats();
    let in_flight = behaviours.in_flight.stats();
    let tables = [
        ("counters", gateway.counters.stats()),
        ("buckets", behaviours.buckets.stats()),
        ("distinct", distincts.few),
        ("distinct_many", distincts.many),
        ("failure_runs", behaviours.runs.stats()),
        ("standings", behaviours.reputation.stats()),
        ("in_flight", in_flight.table),
        ("clients", gateway.memory.contexts.stats()),
        ("sessions", gateway.memory.sessions.stats()),
    ];
    let bans = gateway.bans.stats();
    let (spent, waited) = (gateway.challenge.spent(), gateway.challenge.waited());
    text.gauges("portcullis_table_entries", "Entries in a table.");
    for (name, stats) in &tables {
        text.sample(&[("table", name)], stats.occupied);
    }
    text.sample(&[("table", "bans")], bans.held).sample(&[("table", "spent_puzzles")], spent.len());
    text.sample(&[("table", "spent_waits")], waited.len());
    text.gauges("portcullis_table_capacity", "Entries that a table holds at most.");
    for (name, stats) in &tables {
        text.sample(&[("table", name)], stats.capacity);
    }
    text.sample(&[("table", "bans")], bans.capacity).sample(&[("table", "spent_puzzles")], spent.capacity());
    text.sample(&[("table", "spent_waits")], waited.capacity());
    text.counters("portcullis_table_evictions_total", "Entries that gave way to others while they still counted.");
    for (name, stats) in &tables {
        text.sample(&[("table", name)], stats.evictions_total);
    }
    text.sample(&[("table", "bans")], bans.replaced_total);
    text.gauges("portcullis_requests_waiting", "Requests that wait by the delay of a limit.")
        .sample(&[], in_flight.waiting);
    text.counters("portcullis_in_flight_uncounted_total", "Requests let through uncounted, since the table was full.")
        .sample(&[], in_flight.uncounted_total);
    text.gauges("portcullis_counters_budget_bytes", "The bound of the counters' memory.")
        .sample(&[], gateway.counters.stats().budget_bytes);
    text.counters("portcullis_audit_records_total", "Audit records written.").sample(&[], gateway.audit.written());
    text.counters(
        "portcullis_audit_dropped_total",
        "Audit records dropped since the queue was full or the file could not be written.",
    )
    .sample(&[], gateway.audit.dropped());
}

fn write_challenges(text: &mut Exposition, gateway: &Gateway) {
    let desk = &gateway.challenge;
    text.counters(
        "portcullis_challenges_abandoned_total",
        "Challenges that were shown and not solved while they could be, by the rung shown and the family of the client.",
    );
    for (family, rung, count) in desk.ledger().abandoned(gateway.clock.now().unix_millis()) {
        text.sample(&[("rung", rung.name()), ("family", family.name())], count);
    }
    let budgets = desk.budgets();
    text.counters(
        "portcullis_clearances_burnt_total",
        "Clearances used more often, or from more places, than one client does.",
    )
    .sample(&[], budgets.burnt_total());
    text.counters("portcullis_clearances_displaced_total", "Clearances whose count was given up for another's.")
        .sample(&[], budgets.displaced_total());
    text.counters(
        "portcullis_clearances_uncounted_total",
        "Requests with a clearance that found no place to be counted at.",
    )
    .sample(&[], budgets.uncounted_total());
    text.gauges("portcullis_clearances_revoked", "Clearances and kinds of client that are taken back now.")
        .sample(&[], desk.revocations().len());
}

fn write_classes(text: &mut Exposition, classes: &[AtomicU64; NetworkClass::ALL.len()]) {
    text.counters(
        "portcullis_network_class_requests_total",
        "Requests from networks of a class; one may be of several.",
    );
    for (class, count) in NetworkClass::ALL.iter().zip(classes) {
        text.sample(&[("class", class.name())], count.load(Ordering::Relaxed));
    }
}

fn write_postures(text: &mut Exposition, gateway: &Gateway) {
    let policy = gateway.policy.load();
    let now = gateway.clock.now().millis;
    text.gauges("portcullis_route_posture", "How a route fares: 1 for its posture, 0 for the others.");
    for (route, plan) in policy.rules().routes().iter().zip(policy.plans()) {
        let posture = plan.state.posture(now);
        for known in Posture::ALL {
            text.sample(&[("route", &route.name), ("posture", known.name())], u8::from(posture == known));
        }
    }
}

fn write_prints(text: &mut Exposition, gateway: &Gateway) {
    let readings = gateway.prints.read(gateway.clock.now().millis);
    text.gauges(
        "portcullis_print_alarm",
        "Whether a print does not tell clients apart: one value, or one that says nothing, is on too many connections.",
    );
    for reading in &readings {
        for reason in Reason::ALL {
            let raised = u8::from(reading.alarm == Some(reason));
            text.sample(&[("print", reading.print), ("reason", reason.name())], raised);
        }
    }
    text.gauges(
        "portcullis_print_top_share",
        "The share of connections that the most frequent value of a print has; 0 where they were fewer than 500.",
    );
    for reading in &readings {
        text.sample(&[("print", reading.print)], f64::from(reading.top_share) / 1000.0);
    }
}

fn write_dependencies(text: &mut Exposition, gateway: &Gateway) {
    text.gauges("portcullis_dependency_up", "Whether something that the gateway leans on is well.");
    let servers = gateway.origins.health();
    for server in &servers {
        let labels = [("dependency", "origin"), ("name", &*server.origin), ("server", &server.server)];
        text.sample(&labels, u8::from(server.is_up));
    }
    text.sample(&[("dependency", "audit"), ("name", "sink"), ("server", "")], u8::from(gateway.audit.is_up()));
    text.counters("portcullis_origin_connect_failures_total", "Connections to servers of origins that were not made.");
    for server in &servers {
        text.sample(&[("origin", &*server.origin), ("server", &server.server)], server.failures);
    }
    text.counters("portcullis_origin_unavailable_total", "Requests for which no server of an origin was healthy.");
    for (origin, count) in gateway.origins.unavailable() {
        text.sample(&[("origin", &origin)], count);
    }
}
