//! The audit record: one line of JSON for a request, through a bounded queue.
//!
//! A record explains a decision by itself: every signal with its share, every counter that was read, the rule
//! that fired, the policy's version. It holds no value of a header, a cookie, a query or a body, so nothing that
//! a client keeps secret can be in it.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use portcullis_challenge::Refusal;

use portcullis_fingerprint::Http1Print;
use portcullis_policy::model::{Action, LevelOf, Mode};
use portcullis_policy::{Cause, Decision, RuleId, RuleSet};
use portcullis_signals::Posture;
use serde::Serialize;

use crate::gateway::challenge::{Seen, Step, hex};
use crate::gateway::coverage::header_order;
use crate::gateway::shadow::part;
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
    scope: Scope,
    state: Arc<State>,
}

/// The writer; dropping it after every [`Audit`] waits until the last line is written.
#[derive(Debug)]
pub struct AuditWriter(Option<JoinHandle<()>>);

/// What requests and the writer share.
#[derive(Debug, Default)]
struct State {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    capacity: usize,
    written: AtomicU64,
    dropped: AtomicU64,
    failing: AtomicBool,
    /// Whether the file is to be opened again.
    reopen: AtomicBool,
}

/// Lines that wait for the writer, one behind the other.
#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    records: usize,
    closed: bool,
}

/// How long a line waits at most. To wake the writer for each would cost more than to write it.
const LINGER: Duration = Duration::from_millis(100);

impl Audit {
    /// Opens the sink and starts its writer.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened or the thread not started.
    pub fn start(settings: &AuditSettings) -> Result<(Self, AuditWriter), SinkError> {
        let output = Output::open(&settings.sink)?;
        let capacity = if output.is_some() { settings.queue.max(1) } else { 0 };
        let state = Arc::new(State { capacity, ..State::default() });
        let writer = match output {
            None => None,
            Some(output) => {
                let state = Arc::clone(&state);
                let writer = std::thread::Builder::new().name("audit".to_owned());
                let started = writer.spawn(move || write_all(&state, output));
                Some(started.map_err(|error| SinkError { path: None, error })?)
            }
        };
        Ok((Self { scope: settings.scope, state }, AuditWriter(writer)))
    }

    /// Has the file opened again before the next record, as whoever moved it away expects.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Relaxed);
    }

    /// Hands a request's record to the writer; never waits.
    pub fn record(&self, record: &Record<'_>) {
        if self.state.capacity == 0 || record.judged.is_none() || (self.scope == Scope::NotAllowed && is_plain(record))
        {
            return;
        }
        let kept = line(record).is_some_and(|line| self.state.add(&line));
        if !kept {
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

/// Why audit records cannot be written.
#[derive(Debug)]
pub struct SinkError {
    /// The file; none where they go elsewhere.
    path: Option<PathBuf>,
    error: io::Error,
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write audit records")?;
        if let Some(path) = &self.path {
            write!(f, " to `{}`", path.display())?;
        }
        write!(f, ": {}", self.error)?;
        if self.path.is_some() {
            f.write_str("; let the user of the gateway write there, or set `audit.path` to another file")?;
        }
        Ok(())
    }
}

impl std::error::Error for SinkError {}

/// Opens the file of audit records, which is made where there is none.
fn open(path: &Path) -> Result<File, SinkError> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|error| SinkError { path: Some(path.to_owned()), error })
}

/// Tries whether audit records can be written to a file, and leaves nothing behind: where there is none, another is made
/// beside it and taken away. What is there and no file, such as a pipe, is not opened.
///
/// # Errors
///
/// Where they cannot.
pub fn try_file(path: &Path) -> Result<(), SinkError> {
    if path.exists() {
        return if path.is_file() { open(path).map(drop) } else { Ok(()) };
    }
    let beside = path.with_file_name(format!(".portcullis-check-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&beside);
    made.and_then(|_| fs::remove_file(&beside)).map_err(|error| SinkError { path: Some(path.to_owned()), error })
}

/// An open sink.
struct Output {
    to: To,
    /// Whether what was written last, by this process or by one that is gone, is not the end of a line.
    is_cut: bool,
}

enum To {
    Stdout,
    File { path: PathBuf, file: File },
}

impl Output {
    fn open(sink: &Sink) -> Result<Option<Self>, SinkError> {
        Ok(match sink {
            Sink::Off => None,
            Sink::Stdout => Some(Self { to: To::Stdout, is_cut: false }),
            Sink::File(path) => Some(Self::file(path)?),
        })
    }

    fn file(path: &Path) -> Result<Self, SinkError> {
        let to = To::File { path: path.to_owned(), file: open(path)? };
        Ok(Self { to, is_cut: ends_within_a_line(path) })
    }

    /// Opens the file anew. Where that cannot be done, the one that is open stays.
    fn reopen(&mut self) {
        if let To::File { path, .. } = &self.to {
            match Self::file(path) {
                Ok(opened) => *self = opened,
                Err(error) => tracing::error!(%error, "the audit file is not opened anew; the one in use stays"),
            }
        }
    }

    /// Writes lines, the first one to the beginning of a line.
    fn write(&mut self, lines: &mut Vec<u8>) -> io::Result<()> {
        if self.is_cut {
            lines.insert(0, b'\n');
        }
        let mut rest = lines.as_slice();
        while let Some(before) = rest.len().checked_sub(1) {
            let written = match &mut self.to {
                To::Stdout => io::stdout().write(rest),
                To::File { file, .. } => file.write(rest),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let last = rest.get(count.saturating_sub(1).min(before));
                    self.is_cut = last != Some(&b'\n');
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match &self.to {
            To::Stdout => io::stdout().flush(),
            To::File { .. } => Ok(()),
        }
    }
}

/// Whether the last byte of a file is not the end of a line.
fn ends_within_a_line(path: &Path) -> bool {
    let last = || {
        let mut file = path.is_file().then(|| File::open(path).ok())??;
        file.seek(SeekFrom::End(-1)).ok()?;
        let mut last = [0];
        file.read_exact(&mut last).ok()?;
        Some(last)
    };
    last().is_some_and(|last| last != *b"\n")
}

fn is_plain(record: &Record<'_>) -> bool {
    let quiet = record.decision().is_some_and(|decision| {
        decision.verdict == Action::Allow && decision.shadow.is_empty() && decision.faults.is_empty()
    });
    quiet && record.seen.is_none() && record.site.is_none() && record.outcome.error.is_none()
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.state.waiting.lock().closed = true;
        self.state.wake.notify_one();
    }
}

impl State {
    /// Puts a line behind those that wait; not so where as many wait as may.
    fn add(&self, line: &[u8]) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.records >= self.capacity {
            return false;
        }
        waiting.lines.extend_from_slice(line);
        waiting.records += 1;
        let urgent = waiting.records == self.capacity / 2;
        drop(waiting);
        if urgent {
            self.wake.notify_one();
        }
        true
    }
}

/// Writes what waits, as often as it lingers long enough, until the last request is over.
fn write_all(state: &State, mut output: Output) {
    let mut lines = Vec::new();
    let mut has_failed = false;
    loop {
        let mut waiting = state.waiting.lock();
        if waiting.records < state.capacity / 2 && !waiting.closed {
            state.wake.wait_for(&mut waiting, LINGER);
        }
        let records = std::mem::take(&mut waiting.records);
        let closed = waiting.closed;
        lines.clear();
        std::mem::swap(&mut lines, &mut waiting.lines);
        drop(waiting);
        if state.reopen.swap(false, Ordering::Relaxed) {
            output.reopen();
        }
        if records > 0 {
            let written = output.write(&mut lines);
            match &written {
                Ok(()) if has_failed => tracing::info!("audit records are written again"),
                Err(error) if !has_failed => tracing::error!(%error, "audit records are not written, and dropped"),
                _ => {}
            }
            has_failed = written.is_err();
            let counter = if has_failed { &state.dropped } else { &state.written };
            counter.fetch_add(u64::try_from(records).unwrap_or(u64::MAX), Ordering::Relaxed);
            state.failing.store(has_failed, Ordering::Relaxed);
        } else if closed {
            return;
        }
    }
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
    /// How the route fared, where that was not as usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    posture: Option<&'static str>,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lifts: Vec<LiftLine<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rule_faults: Vec<RuleFaultLine<'a>>,
    policy: &'a str,
    method: Cow<'a, str>,
    host: Cow<'a, str>,
    path: Cow<'a, str>,
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
    coverage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http2: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http1: Option<String>,
    header_order: String,
    cleared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    counters: CountersLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clearance: Option<ClearanceLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clearance_refused: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<ChallengeLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redeem: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<SiteLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_failed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    sent_bytes: u64,
    decision_us: u64,
    duration_us: u64,
}

/// What a request of a widget or of a site's backend came to.
#[derive(Serialize)]
struct SiteLine<'a> {
    name: &'a str,
    event: &'static str,
}

/// The clearance that a request carried: what names it and its kind, for taking it back, and no part of its code.
#[derive(Serialize)]
struct ClearanceLine {
    id: String,
    cohort: String,
    level: &'static str,
    moved: &'static str,
}

/// One step of a challenge.
#[derive(Serialize)]
struct ChallengeLine {
    step: &'static str,
    rung: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<&'static str>,
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

/// What a rule gave to the score.
#[derive(Serialize)]
struct LiftLine<'a> {
    rule: &'a str,
    points: f64,
}

/// A rule that was left out, since its expression had no answer.
#[derive(Serialize)]
struct RuleFaultLine<'a> {
    rule: &'a str,
    fault: &'static str,
}

#[derive(Serialize)]
struct CountersLine<'a> {
    address_per_minute: u32,
    prefix_per_minute: u32,
    #[serde(skip_serializing_if = "is_zero")]
    fingerprint_per_minute: u32,
    #[serde(skip_serializing_if = "is_zero")]
    named_per_minute: u32,
    answers: u32,
    failures: u32,
    #[serde(skip_serializing_if = "is_zero")]
    users: u32,
    #[serde(skip_serializing_if = "is_zero")]
    failed_users: u32,
    #[serde(skip_serializing_if = "is_zero")]
    networks: u32,
    paths: u32,
    #[serde(skip_serializing_if = "is_zero")]
    missing_paths: u32,
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
    let tls = record.conn.tls_of(judged.client.0);
    Line {
        time: timestamp(record.began.unix_millis().0),
        request_id: record.id.as_str(),
        route: &route.name,
        action: decision.action.name(),
        verdict: decision.verdict.name(),
        mode: if decision.mode == Mode::Monitor { "monitor" } else { "enforce" },
        posture: (decision.posture != Posture::Normal).then(|| decision.posture.name()),
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
        lifts: decision
            .lifts
            .iter()
            .map(|lift| LiftLine { rule: rule_name(rules, lift.rule), points: decimal(lift.points.as_thousandths()) })
            .collect(),
        rule_faults: decision
            .faults
            .iter()
            .map(|fault| RuleFaultLine { rule: rule_name(rules, fault.rule), fault: fault.fault.name() })
            .collect(),
        policy: rules.version(),
        method: clipped(request.method.as_str()),
        host: clipped(host),
        path: clipped(
            judged
                .target
                .as_deref()
                .map_or_else(|| request.uri.path(), |target| target.split('?').next().unwrap_or_default()),
        ),
        http: if record.conn.is_http2() { "2" } else { "1.1" },
        client: judged.client.0.to_string(),
        asn: judged.network.asn.map(|asn| asn.0),
        country: judged.network.country.map(|country| country.to_string()),
        classes: judged.network.classes.iter().map(portcullis_intel::NetworkClass::name).collect(),
        claim: judged.claim.kind.name(),
        client_name: judged.claim.name,
        family: judged.claim.family.name(),
        coverage: judged.coverage.name(),
        ja3: tls.map(|tls| tls.ja3.to_string()),
        ja4: tls.map(|tls| tls.ja4.to_string()),
        stable: tls.map(|tls| tls.stable().to_string()),
        http2: record.conn.http2_print_of(judged.client.0).map(ToString::to_string),
        http1: record.raw_head.and_then(|head| Some(Http1Print::of(head).ok()?.form())),
        header_order: header_order(&request.headers).to_string(),
        cleared: judged.cleared,
        user: judged.user.map(|user| format!("{user:016x}")),
        counters: counters(judged, route),
        clearance: judged.held.as_ref().map(|held| ClearanceLine {
            id: hex(&held.id),
            cohort: held.cohort.to_string(),
            level: held.level.name(),
            moved: held.moved.name(),
        }),
        clearance_refused: judged.not_held.map(Refusal::reason),
        challenge: record.seen.as_ref().map(challenge),
        site: record.site.map(|seen| SiteLine { name: &seen.site, event: seen.event.name() }),
        redeem: record.seen.and_then(|seen| match seen.step {
            Step::Shown => None,
            Step::Solved(_) | Step::Renewed(_) => Some("solved"),
            Step::Refused(refusal) => Some(refusal.reason()),
        }),
        status: record.outcome.status,
        origin_status: record.origin_status,
        origin_failed: record.origin_failed,
        error: record.outcome.error,
        sent_bytes: record.outcome.sent_bytes,
        decision_us: micros(record.decided_in),
        duration_us: micros(record.took),
    }
}

fn rule_name(rules: &RuleSet, rule: RuleId) -> &str {
    rules.rule(rule).map_or("", |rule| &*rule.name)
}

fn challenge(seen: &Seen) -> ChallengeLine {
    let (took, refusal) = match seen.step {
        Step::Shown => (None, None),
        Step::Solved(took) | Step::Renewed(took) => (Some(took), None),
        Step::Refused(refusal) => (None, Some(refusal.reason())),
    };
    ChallengeLine {
        step: seen.step.name(),
        rung: seen.rung.name(),
        refusal,
        took_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        evidence: seen.findings.iter().map(portcullis_challenge::evidence::Signal::name).collect(),
    }
}

const fn is_zero(count: &u32) -> bool {
    *count == 0
}

fn counters<'a>(judged: &Judged, route: &'a portcullis_policy::model::Route) -> CountersLine<'a> {
    let limits = route.levels().zip(&judged.limited.readings);
    CountersLine {
        address_per_minute: judged.behaviour.address_per_minute,
        prefix_per_minute: judged.behaviour.prefix_per_minute,
        fingerprint_per_minute: judged.behaviour.fingerprint_per_minute,
        named_per_minute: judged.behaviour.named_per_minute,
        answers: judged.outcomes.attempts,
        failures: judged.outcomes.failures,
        users: judged.conduct.users,
        failed_users: judged.conduct.failed_users,
        networks: judged.conduct.networks,
        paths: judged.conduct.paths,
        missing_paths: judged.conduct.missing_paths,
        limits: limits
            .map(|(LevelOf { level, .. }, reading)| LimitLine {
                name: &level.name,
                count: reading.count,
                limit: level.bound.limit(),
                over: reading.over,
            })
            .collect(),
    }
}

fn shadows<'a>(record: &'a Record<'_>, judged: &Judged) -> Vec<ShadowLine<'a>> {
    let rules = record.policy.rules();
    let route = rules.route(judged.decision.route);
    judged
        .decision
        .shadow
        .iter()
        .map(|shadow| {
            let (kind, name) = part(rules, route, shadow.what);
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
        Cause::LimitKey => "limit-key",
        Cause::Machine => "machine",
        Cause::Threshold => "score",
        Cause::Clear => "clear",
    }
}

/// The longest host or path in a record, in bytes; what stands past it is cut off.
const MAX_TEXT_BYTES: usize = 1024;

/// Text of a client, cut to a bound; JSON escapes its control characters, and those of C1 become a mark.
fn clipped(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT_BYTES && text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control()) {
        return Cow::Borrowed(text);
    }
    let kept = text.char_indices().take_while(|(at, letter)| at + letter.len_utf8() <= MAX_TEXT_BYTES);
    Cow::Owned(kept.map(|(_, letter)| if letter.is_control() { '\u{fffd}' } else { letter }).collect())
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("portcullis-audit-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        /// The writer last, as it waits for the end of the other when it is dropped.
        fn start(&self) -> Started {
            let sink = Sink::File(self.0.join("audit.jsonl"));
            let (audit, _writer) = Audit::start(&AuditSettings { sink, scope: Scope::All, queue: 8 }).unwrap();
            Started { audit, _writer }
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    struct Started {
        audit: Audit,
        _writer: AuditWriter,
    }

    /// Writes one record, and waits until that was tried.
    fn record(audit: &Audit, line: &str) {
        let tried = || audit.written() + audit.dropped();
        let before = tried();
        assert!(audit.state.add(line.as_bytes()));
        while tried() == before {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_left_when_that_is_asked_for() {
        let scratch = Scratch::new("moved");
        let started = scratch.start();
        let audit = &started.audit;
        record(audit, "one\n");
        fs::rename(scratch.0.join("audit.jsonl"), scratch.0.join("audit.1")).unwrap();
        record(audit, "two\n");
        audit.reopen();
        record(audit, "three\n");
        assert_eq!((scratch.read("audit.1").as_str(), scratch.read("audit.jsonl").as_str()), ("one\ntwo\n", "three\n"));
        // Where it cannot be opened, the one in use stays.
        fs::remove_file(scratch.0.join("audit.jsonl")).unwrap();
        fs::create_dir(scratch.0.join("audit.jsonl")).unwrap();
        audit.reopen();
        record(audit, "four\n");
        assert_eq!((audit.written(), audit.dropped(), audit.is_up()), (4, 0, true));
    }

    #[test]
    fn a_record_begins_a_line_where_the_one_before_could_not_be_written() {
        let scratch = Scratch::new("full");
        symlink("/dev/full", scratch.0.join("audit.jsonl")).unwrap();
        let started = scratch.start();
        let audit = &started.audit;
        record(audit, "lost\n");
        assert!(!audit.is_up());
        fs::remove_file(scratch.0.join("audit.jsonl")).unwrap();
        fs::write(scratch.0.join("audit.jsonl"), "half a rec").unwrap();
        audit.reopen();
        record(audit, "one\n");
        record(audit, "two\n");
        assert_eq!(scratch.read("audit.jsonl"), "half a rec\none\ntwo\n");
        assert_eq!((audit.written(), audit.dropped(), audit.is_up()), (2, 1, true));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let path = Path::new("/proc/audit.jsonl");
        for error in [open(path).unwrap_err(), try_file(path).unwrap_err()] {
            let error = error.to_string();
            assert!(error.starts_with("cannot write audit records to `/proc/audit.jsonl`: "), "{error}");
        }
    }

    #[test]
    fn to_try_a_file_leaves_nothing_behind_and_waits_for_no_pipe() {
        let scratch = Scratch::new("tried");
        let path = |name: &str| scratch.0.join(name);
        fs::write(path("there"), "a\n").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for name in ["there", "pipe", "missing"] {
            try_file(&path(name)).unwrap();
        }
        assert_eq!((scratch.read("there").as_str(), fs::read_dir(&scratch.0).unwrap().count()), ("a\n", 2));
    }
}
