//! The shape of an audit record.

use std::borrow::Cow;

use portcullis_challenge::Refusal;
use portcullis_fingerprint::Http1Print;
use portcullis_policy::model::{LevelOf, Mode};
use portcullis_policy::{Cause, Decision, RuleId, RuleSet};
use portcullis_signals::Posture;
use serde::Serialize;

use crate::gateway::challenge::{Seen, Step, hex};
use crate::gateway::coverage::header_order;
use crate::gateway::shadow::part;
use crate::gateway::{Judged, Record};

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

/// The record of a request as a line of JSON, with its end; none where the request was not judged.
pub(super) fn line(record: &Record<'_>) -> Option<Vec<u8>> {
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
