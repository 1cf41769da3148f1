//! The audit record: one line of JSON for a request, through a bounded queue.
//!
//! A record explains a decision by itself: every signal with its share, every counter that was read, the rule
//! that fired, the policy's version. It holds no value of a header, a cookie, a query or a body, so nothing that
//! a client keeps secret can be in it.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use portcullis_policy::model::{Action, Mode};
use portcullis_policy::{Cause, Decision, ShadowWhat};
use serde::Serialize;

use crate::gateway::challenge::Redeem;
use crate::gateway::{Judged, Record};

/// Where audit records go.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// The sink.
    pub sink: Sink,
    /// Which requests are recorded.
    pub scope: Scope,
    /// How many records wait at most; what comes past it is dropped and counted.
    pub queue: usize,
}

/// Where lines are written.
#[derive(Clone, Debug)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// Which requests are recorded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scope {
    /// All.
    All,
    /// Those that were not simply allowed: refused ones, and those that something in monitor mode would refuse.
    #[default]
    NotAllowed,
}

/// The way to the writer.
#[derive(Debug)]
pub struct Audit {
    queue: Option<SyncSender<Vec<u8>>>,
    scope: Scope,
    state: Arc<State>,
}

/// The writer; dropping it after every [`Audit`] waits until the last line is written.
#[derive(Debug)]
pub struct AuditWriter(Option<JoinHandle<()>>);

#[derive(Debug, Default)]
struct State {
    written: AtomicU64,
    dropped: AtomicU64,
    failing: AtomicBool,
}

impl Audit {
    /// Opens the sink and starts its writer.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened or the thread not started.
    pub fn start(settings: &AuditSettings) -> io::Result<(Self, AuditWriter)> {
        let state = Arc::new(State::default());
        let sink: Box<dyn Write + Send> = match &settings.sink {
            Sink::Off => return Ok((Self { queue: None, scope: settings.scope, state }, AuditWriter(None))),
            Sink::Stdout => Box::new(io::stdout()),
            Sink::File(path) => Box::new(open(path)?),
        };
        let (queue, records) = sync_channel(settings.queue.max(1));
        let writers_state = Arc::clone(&state);
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(&records, BufWriter::new(sink), &writers_state))?;
        Ok((Self { queue: Some(queue), scope: settings.scope, state }, AuditWriter(Some(writer))))
    }

    /// Hands a request's record to the writer; never waits.
    pub fn record(&self, record: &Record<'_>) {
        let Some(queue) = &self.queue else { return };
        if self.scope == Scope::NotAllowed && is_plain(record) {
            return;
        }
        let sent = line(record).is_some_and(|line| queue.try_send(line).is_ok());
        if !sent {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records written so far.
    pub fn written(&self) -> u64 {
        self.state.written.load(Ordering::Relaxed)
    }

    /// Records dropped so far.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Whether the last write went well.
    pub fn is_up(&self) -> bool {
        !self.state.failing.load(Ordering::Relaxed)
    }
}

impl Drop for AuditWriter {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn is_plain(record: &Record<'_>) -> bool {
    let quiet = record.decision().is_some_and(|decision| decision.verdict == Action::Allow && decision.shadow.is_empty());
    quiet && record.redeem.is_none() && record.outcome.error.is_none()
}

/// Writes lines as they come, and flushes when none waits.
fn write_all(records: &Receiver<Vec<u8>>, mut sink: BufWriter<Box<dyn Write + Send>>, state: &State) {
    while let Ok(first) = records.recv() {
        let mut failed = write_line(&mut sink, &first, state);
        while let Ok(next) = records.try_recv() {
            failed |= write_line(&mut sink, &next, state);
        }
        failed |= sink.flush().is_err();
        state.failing.store(failed, Ordering::Relaxed);
    }
}

fn write_line(sink: &mut impl Write, line: &[u8], state: &State) -> bool {
    let failed = sink.write_all(line).is_err();
    let counter = if failed { &state.dropped } else { &state.written };
    counter.fetch_add(1, Ordering::Relaxed);
    failed
}

/// The shape of a line; the names are stable.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    route: &'a str,
    action: &'static str,
    verdict: &'static str,
    mode: &'static str,
    score: f64,
    raw_score: f64,
    code: &'static str,
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    reasons: Vec<ReasonLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadow: Vec<ShadowLine<'a>>,
    policy: &'a str,
    method: &'a str,
    host: String,
    path: String,
    http: &'static str,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    asn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<&'static str>,
    claim: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'static str>,
    family: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<String>,
    cleared: bool,
    counters: CountersLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redeem: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    sent_bytes: u64,
    decision_us: u64,
    duration_us: u64,
}

#[derive(Serialize)]
struct ReasonLine {
    signal: &'static str,
    strength: f64,
    points: f64,
}

#[derive(Serialize)]
struct ShadowLine<'a> {
    kind: &'static str,
    name: &'a str,
    action: &'static str,
}

#[derive(Serialize)]
struct CountersLine<'a> {
    address_per_minute: u32,
    prefix_per_minute: u32,
    answers: u32,
    failures: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<LimitLine<'a>>,
}

#[derive(Serialize)]
struct LimitLine<'a> {
    name: &'a str,
    count: u32,
    limit: u32,
    over: bool,
}

fn line(record: &Record<'_>) -> Option<Vec<u8>> {
    let judged = record.judged?;
    let mut bytes = Vec::with_capacity(1024);
    serde_json::to_writer(&mut bytes, &shape(record, judged, &judged.decision)).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

fn shape<'a>(record: &'a Record<'_>, judged: &'a Judged, decision: &'a Decision) -> Line<'a> {
    let rules = record.policy.rules();
    let route = rules.route(decision.route);
    let request = record.request;
    let host = request.uri.authority().map(http::uri::Authority::as_str);
    let host = host.or_else(|| request.headers.get(http::header::HOST)?.to_str().ok()).unwrap_or_default();
    let tls = record.conn.tls.as_deref();
    Line {
        time: timestamp(record.began.unix_millis().0),
        request_id: record.id.as_str(),
        route: &route.name,
        action: decision.action.name(),
        verdict: decision.verdict.name(),
        mode: if decision.mode == Mode::Monitor { "monitor" } else { "enforce" },
        score: decimal(decision.score.as_thousandths()),
        raw_score: decimal(decision.raw.as_thousandths()),
        code: decision.code,
        cause: cause_name(decision.cause),
        rule: decision.rule.and_then(|rule| Some(&*rules.rule(rule)?.name)),
        limit: decision.limit.and_then(|at| Some(&*route.limits.get(usize::from(at))?.name)),
        fault: if let Cause::Malformed(fault) = decision.cause { Some(fault.name()) } else { None },
        reasons: decision
            .reasons
            .iter()
            .map(|reason| ReasonLine {
                signal: reason.signal.name(),
                strength: decimal(reason.strength.as_thousandths()),
                points: decimal(reason.points.as_thousandths()),
            })
            .collect(),
        shadow: shadows(record, judged),
        policy: rules.version(),
        method: request.method.as_str(),
        host: clipped(host),
        path: clipped(judged.rewritten.as_deref().unwrap_or_else(|| request.uri.path())),
        http: if record.conn.is_http2() { "2" } else { "1.1" },
        client: judged.client.0.to_string(),
        asn: judged.network.asn.map(|asn| asn.0),
        country: judged.network.country.map(|country| country.to_string()),
        classes: judged.network.classes.iter().map(portcullis_intel::NetworkClass::name).collect(),
        claim: judged.claim.kind.name(),
        client_name: judged.claim.name,
        family: judged.claim.family.name(),
        ja3: tls.map(|tls| tls.ja3.to_string()),
        ja4: tls.map(|tls| tls.ja4.to_string()),
        cleared: judged.cleared,
        counters: counters(judged, route),
        redeem: record.redeem.map(|redeem| match redeem {
            Redeem::Solved(_) => "solved",
            Redeem::Refused(refusal) => refusal.reason(),
        }),
        status: record.outcome.status,
        origin_status: record.origin_status,
        error: record.outcome.error,
        sent_bytes: record.outcome.sent_bytes,
        decision_us: micros(record.decided_in),
        duration_us: micros(record.took),
    }
}

fn counters<'a>(judged: &Judged, route: &'a portcullis_policy::model::Route) -> CountersLine<'a> {
    let limits = route.limits.iter().zip(&judged.limits);
    CountersLine {
        address_per_minute: judged.behaviour.address_per_minute,
        prefix_per_minute: judged.behaviour.prefix_per_minute,
        answers: judged.outcomes.attempts,
        failures: judged.outcomes.failures,
        limits: limits
            .map(|(limit, reading)| LimitLine { name: &limit.name, count: reading.count, limit: limit.limit, over: reading.over })
            .collect(),
    }
}

fn shadows<'a>(record: &'a Record<'_>, judged: &Judged) -> Vec<ShadowLine<'a>> {
    let rules = record.policy.rules();
    let route = rules.route(judged.decision.route);
    let name = |what: ShadowWhat| match what {
        ShadowWhat::Rule(rule) => ("rule", rules.rule(rule).map_or("", |rule| &*rule.name)),
        ShadowWhat::Limit(at) => ("limit", route.limits.get(usize::from(at)).map_or("", |limit| &*limit.name)),
        ShadowWhat::Filter(class) => ("filter", class.name()),
    };
    judged
        .decision
        .shadow
        .iter()
        .map(|shadow| {
            let (kind, name) = name(shadow.what);
            ShadowLine { kind, name, action: shadow.action.name() }
        })
        .collect()
}

const fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Malformed(_) => "malformed",
        Cause::AllowRule => "allow-rule",
        Cause::Ban => "ban",
        Cause::DenyRule => "rule",
        Cause::Filter(_) => "filter",
        Cause::Limit => "limit",
        Cause::Threshold => "score",
        Cause::Clear => "clear",
    }
}

/// The longest host or path in a record, in bytes; what stands past it is cut off.
const MAX_TEXT_BYTES: usize = 1024;

/// Text of a client, cut to a bound; JSON escapes its control characters, and those of C1 become a mark.
fn clipped(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    let (head, _) = text.split_at_checked(end).unwrap_or((text, ""));
    head.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn decimal(thousandths: u16) -> f64 {
    f64::from(thousandths) / 1000.0
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC, to the millisecond.
fn timestamp(unix_ms: u64) -> String {
    let millis = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}
