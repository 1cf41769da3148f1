//! `explain` of what happened: an audit record, or the one of a request's id.
//!
//! A record holds what was decided and every signal, count and class that it rests on, and no value that a client keeps
//! secret. So the steps are taken again by the signals of the record; what it does not hold is absent.

use std::fmt::Write as _;
use std::path::Path;

use http::{HeaderMap, HeaderValue, Method, Version, header};
use portcullis_fingerprint::{Ja3Hash, Ja4};
use portcullis_intel::{AddressFacts, Asn, NetworkClass};
use portcullis_policy::model::{LevelOf, Route};
use portcullis_policy::{Compiled, Explanation, unremarkable_hello};
use portcullis_signals::{
    Ban, Behaviour, Caller, CanonicalRequest, Claim, Clearance, ClientAddr, Conduct, Facts, Family, Fault, Http, Kind,
    LimitReading, Outcomes, Posture, RequestHead, SignalId, Signals, Strength, Tls, UnixSeconds,
};
use serde_json::Value;

use super::{Told, tell_error};
use crate::commands::records::{Line, Lines, plain};
use crate::settings::quote;

/// The first record of a file, or of standard input where it is `-`.
pub(super) fn first(path: &Path) -> Result<Value, Told> {
    let mut lines = lines(path)?;
    let blank = |line: &Line| matches!(line, Line::Text(text) if text.trim().is_empty());
    lines.find(|line| !blank(line)).map_or_else(
        || {
            tell_error(format_args!("there is no audit record in `{}`", path.display()));
            Err(Told)
        },
        |line| {
            parsed(&line).ok_or_else(|| {
                tell_error("expected an audit record, one object of JSON a line, but found something else");
                Told
            })
        },
    )
}

/// The record of the request with this id; the last of them, where a file has several.
pub(super) fn of_id(id: &str, path: &Path) -> Result<Value, Told> {
    let mut found = None;
    let holds = |line: &Line| matches!(line, Line::Text(text) if text.contains(id));
    // A line that was cut is none of a record, and keeps no other from being found.
    for record in lines(path)?.filter(holds).filter_map(|line| parsed(&line)) {
        if record.get("request_id").and_then(Value::as_str) == Some(id) {
            found = Some(record);
        }
    }
    found.ok_or_else(|| {
        tell_error(format_args!(
            "no audit record of request {} in `{}`; requests that were simply allowed are recorded where \
             `audit.allowed` is \"all\"",
            quote(id),
            path.display()
        ));
        Told
    })
}

fn lines(path: &Path) -> Result<impl Iterator<Item = Line>, Told> {
    let lines = Lines::open(path).map_err(|error| {
        tell_error(format_args!("cannot open `{}`: {error}", path.display()));
        Told
    })?;
    let path = path.to_owned();
    Ok(lines.map_while(move |line| {
        line.inspect_err(|error| tell_error(format_args!("cannot read `{}`: {error}", path.display()))).ok()
    }))
}

fn parsed(line: &Line) -> Option<Value> {
    let Line::Text(text) = line else { return None };
    let record = serde_json::from_str::<Value>(text).ok()?;
    (record.get("request_id").is_some() && record.get("verdict").is_some()).then_some(record)
}

/// What was recorded of one request, with the steps that these rules take by it.
pub(super) struct Recorded {
    /// What was decided, in words.
    pub(super) said: String,
    /// The steps.
    pub(super) explanation: Explanation,
    /// What the reader must know of how far the two go together.
    pub(super) remarks: Vec<String>,
}

/// Explains a record by the rules.
pub(super) fn explain(record: &Value, compiled: &Compiled) -> Result<Recorded, Told> {
    let rules = &compiled.rules;
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let wrong = |what: &str| {
        tell_error(format_args!("the audit record has no {what} that can be read"));
        Told
    };
    let method: Method = text("method").parse().map_err(|_| wrong("`method`"))?;
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_str(text("host")) {
        headers.insert(header::HOST, host);
    }
    let request = CanonicalRequest::of(&RequestHead {
        method: &method,
        target: text("path").as_bytes(),
        authority: None,
        version: Version::HTTP_11,
        headers: &headers,
        raw: None,
    });
    let request = match Fault::named(text("fault")) {
        Some(fault) => request.with_fault(fault),
        None => request,
    };
    let client = text("client").parse().map_err(|_| wrong("`client`"))?;
    let network = network(record, AddressFacts::bare(client));
    let claim = claim(record);
    let route = rules.route(rules.plan(&request));
    let limits = readings(record, route);
    let hello = unremarkable_hello(claim.family);
    let shown = Tls::of(&hello);
    let (ja3, ja4): (Option<Ja3Hash>, Option<Ja4>) = (text("ja3").parse().ok(), text("ja4").parse().ok());
    let counters = record.get("counters").cloned().unwrap_or_default();
    let count = |key: &str| number(&counters, key);
    let facts = Facts {
        at: at(record),
        http: if text("http") == "2" { Http::Two } else { Http::One },
        tls: ja4.map(|ja4| Tls { ja3: ja3.unwrap_or(shown.ja3), ja4, ..shown }),
        claim,
        caller: Caller { clearance: clearance(record), ..Caller::default() },
        ban: (text("cause") == "ban").then_some(Ban { remaining_secs: 60 }),
        behaviour: Behaviour {
            address_per_minute: count("address_per_minute"),
            prefix_per_minute: count("prefix_per_minute"),
            fingerprint_per_minute: count("fingerprint_per_minute"),
            named_per_minute: count("named_per_minute"),
        },
        outcomes: Outcomes { attempts: count("answers"), failures: count("failures") },
        posture: Posture::ALL.into_iter().find(|posture| posture.name() == text("posture")).unwrap_or_default(),
        conduct: Conduct {
            users: count("users"),
            failed_users: count("failed_users"),
            networks: count("networks"),
            paths: count("paths"),
            missing_paths: count("missing_paths"),
            ..Conduct::default()
        },
        limits: &limits,
        ..Facts::bare(&request, ClientAddr(client), &network)
    };
    let explanation = compiled.explain_as(&facts, &signals(record));
    let remarks = remarks(record, &explanation);
    Ok(Recorded { said: said(record), explanation, remarks })
}

/// What was decided, in one line.
fn said(record: &Value) -> String {
    let text = |key: &str| plain(record.get(key).and_then(Value::as_str).unwrap_or_default());
    let mut said = format!("{} on route {}", text("action"), quote(&text("route")));
    // A text takes whatever is written to it.
    if text("action") != text("verdict") {
        let _ = write!(said, " in monitor, else {}", text("verdict"));
    }
    for (lead, key) in [(", ", "code"), (", by rule ", "rule"), (", by limit ", "limit")] {
        match &*text(key) {
            "" => {}
            found if key == "code" => said.push_str(&format!("{lead}{found}")),
            found => said.push_str(&format!("{lead}{}", quote(found))),
        }
    }
    let score = record.get("score").and_then(Value::as_f64).unwrap_or_default();
    let _ = write!(said, ", score {score:.3}, by policy {}", text("policy"));
    format!("request {} of {}\n{said}", text("request_id"), text("time"))
}

fn remarks(record: &Value, explanation: &Explanation) -> Vec<String> {
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut remarks = Vec::new();
    if text("policy") != &*explanation.version {
        remarks.push(format!("the rules here are of version {}, not those that decided", explanation.version));
    }
    let decision = &explanation.decision;
    if decision.verdict.name() != text("verdict") || *explanation.route != *text("route") {
        remarks.push(format!(
            "by what the record holds the rules here say {} on route {}: values of headers, cookies, queries, bodies and \
             own signals, and clean use before, are not recorded, and count as absent",
            decision.verdict.name(),
            quote(&explanation.route)
        ));
    }
    remarks
}

/// The clearance that met the route, by the rung that it is of where the record says so.
fn clearance(record: &Value) -> Option<Clearance> {
    let is_cleared = record.get("cleared") == Some(&Value::Bool(true));
    let level = record.pointer("/clearance/level").and_then(Value::as_str).unwrap_or_default();
    let rung = match level {
        "no-script" => Clearance::NoScript,
        "memory-hard" => Clearance::MemoryHard,
        "step-up" => Clearance::StepUp,
        _ => Clearance::ProofOfWork,
    };
    is_cleared.then_some(rung)
}

fn number(of: &Value, key: &str) -> u32 {
    of.get(key).and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
}

fn at(record: &Value) -> UnixSeconds {
    let time = record.get("time").and_then(Value::as_str).and_then(|time| time.parse::<jiff::Timestamp>().ok());
    UnixSeconds(time.and_then(|time| u64::try_from(time.as_second()).ok()).unwrap_or_default())
}

fn network(record: &Value, mut facts: AddressFacts) -> AddressFacts {
    facts.special_use = None;
    facts.asn = record.get("asn").and_then(Value::as_u64).and_then(|asn| u32::try_from(asn).ok()).map(Asn);
    facts.country = record.get("country").and_then(Value::as_str).and_then(|country| country.parse().ok());
    let classes = record.get("classes").and_then(Value::as_array).into_iter().flatten();
    for class in classes.filter_map(Value::as_str).filter_map(|class| class.parse::<NetworkClass>().ok()) {
        facts.classes.insert(class);
    }
    facts
}

fn claim(record: &Value) -> Claim {
    let text = |key: &str| record.get(key).and_then(Value::as_str);
    let unknown = Claim::of(b"");
    Claim {
        kind: Kind::ALL.into_iter().find(|kind| Some(kind.name()) == text("claim")).unwrap_or(unknown.kind),
        family: Family::ALL.into_iter().find(|family| Some(family.name()) == text("family")).unwrap_or(unknown.family),
        name: Claim::known_names().into_iter().find(|name| Some(*name) == text("client_name")),
        ..unknown
    }
}

fn signals(record: &Value) -> Signals {
    let mut signals = Signals::default();
    for reason in record.get("reasons").and_then(Value::as_array).into_iter().flatten() {
        let signal = reason.get("signal").and_then(Value::as_str).and_then(|name| name.parse::<SignalId>().ok());
        let strength = reason.get("strength").and_then(Value::as_f64).unwrap_or_default();
        if let Some(signal) = signal {
            // A strength is a share of one, with three decimals.
            signals.raise(signal, Strength::thousandths((strength.clamp(0.0, 1.0) * 1000.0).round() as u32));
        }
    }
    signals
}

fn readings(record: &Value, route: &Route) -> Vec<LimitReading> {
    let read = record.pointer("/counters/limits").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let reading = |LevelOf { limit, level, .. }: LevelOf<'_>| {
        let of = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some(&*level.name);
        let found = read.iter().find(of);
        LimitReading {
            count: found.map(|found| number(found, "count")).unwrap_or_default(),
            over: found.and_then(|found| found.get("over")?.as_bool()).unwrap_or_default(),
            unkeyed: text("cause") == "limit-key" && text("limit") == &*limit.name,
            retry_after_ms: 0,
        }
    };
    route.levels().map(reading).collect()
}
