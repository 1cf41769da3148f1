//! `portcullis explain`: how one request would be decided, step by step; or many that were captured.

pub(super) mod captured;
mod captures;
mod record;
mod replay;
mod shown;
mod summary;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use portcullis_fingerprint::{ClientHello, Ja3Hash, Ja4};
use portcullis_intel::{AddressFacts, Asn, Country, Intel, NetworkClass, canonical};
use portcullis_policy::model::LevelOf;
use portcullis_policy::{Explanation, RouteId, RuleSet, unremarkable_hello};
use portcullis_signals::{
    Ban, Behaviour, Caller, CanonicalRequest, Claim, Clearance, ClientAddr, Conduct, ConnectionJudgement, Facts, Http,
    LimitReading, Outcomes, Posture, RequestHead, Tls, UnixSeconds,
};
use serde_json::{Value, json};

use super::{error_style, intel, known, settings, tell, tell_error};
use crate::cli::{ExplainArgs, OutputFormat};
use crate::rules;
use crate::settings::{from_hex, quote};
use crate::style::style_for;

/// A request written by hand, every part of it read.
struct Written {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    network: AddressFacts,
    hello: Option<ClientHello>,
    ja3: Option<Ja3Hash>,
    ja4: Option<Ja4>,
}

/// Explains one request. Fails where the rules or the request cannot be read, not where it is refused.
pub(crate) fn run(args: &ExplainArgs) -> ExitCode {
    if let Some(file) = &args.captures {
        return captures::run(args, file).map_or_else(|Told| ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let recorded = match (&args.record, &args.id, &args.audit) {
        (Some(file), ..) => Some(record::first(file)),
        (None, Some(id), Some(audit)) => Some(record::of_id(id, audit)),
        _ => None,
    };
    let explained = match recorded {
        Some(record) => record.and_then(|record| explain_record(args, &record)),
        None => explain(args),
    };
    match explained {
        Ok(text) if io::stdout().lock().write_all(text.as_bytes()).is_ok() => ExitCode::SUCCESS,
        Ok(_) | Err(Told) => ExitCode::FAILURE,
    }
}

/// Something is wrong, and has been said.
struct Told;

fn explain(args: &ExplainArgs) -> Result<String, Told> {
    let (rules, intel) = sources(args)?;
    let loaded = rules::load(&rules, None).map_err(|error| {
        tell(error.render(error_style()));
        Told
    })?;
    let (rules, families) = (&loaded.compiled.rules, loaded.families);
    let written = Written::read(args, &intel)?;
    let target = match &written.query {
        Some(query) => format!("{}?{query}", written.path),
        None => written.path.clone(),
    };
    let request = CanonicalRequest::of(&RequestHead {
        method: &written.method,
        target: target.as_bytes(),
        authority: None,
        version: Version::HTTP_11,
        headers: &written.headers,
        raw: None,
    });
    let route = rules.plan(&request);
    let limits = readings(rules, route, &args.over)?;
    let claim = Claim::of(written.headers.get(header::USER_AGENT).map_or(b"", HeaderValue::as_bytes));
    // Where only a fingerprint is given, nothing is known of what else the handshake held.
    let tls = written.tls().filter(|_| args.client_hello.is_some());
    let connection = ConnectionJudgement::of(&families, &claim, tls.as_ref(), None);
    let fields = rules.route(route).reads.fields(&request, None);
    let facts = Facts {
        at: now(),
        http: written.http(),
        tls: written.tls(),
        connection: Some(&connection),
        caller: Caller {
            clearance: args.cleared.then_some(Clearance::ProofOfWork),
            ..rules.route(route).identify.caller(&request, &fields)
        },
        ban: args.banned.then_some(Ban { remaining_secs: 60 }),
        behaviour: Behaviour {
            address_per_minute: args.address_per_minute,
            prefix_per_minute: args.prefix_per_minute.unwrap_or(args.address_per_minute),
            ..Behaviour::default()
        },
        outcomes: Outcomes { attempts: args.answers.max(args.failures), failures: args.failures },
        posture: Posture::Normal,
        conduct: Conduct::default(),
        fields: &fields,
        limits: &limits,
        ..Facts::bare(&request, ClientAddr(canonical(args.ip)), &written.network)
    };
    Ok(shown(args, &loaded.compiled.explain(&facts)))
}

fn shown(args: &ExplainArgs, explanation: &Explanation) -> String {
    match args.format {
        OutputFormat::Text => shown::painted(&explanation.to_string(), style_for(&io::stdout())),
        OutputFormat::Json => format!("{}\n", shown::json(explanation)),
    }
}

/// Explains what was recorded, by the rules that are there now.
fn explain_record(args: &ExplainArgs, record: &Value) -> Result<String, Told> {
    let rules = rules_path(args)?.unwrap_or_else(|| PathBuf::from(USUAL_RULES));
    let loaded = rules::load(&rules, None).map_err(|error| {
        tell(error.render(error_style()));
        Told
    })?;
    let recorded = record::explain(record, &loaded.compiled)?;
    Ok(match args.format {
        OutputFormat::Json => {
            let (explained, remarks) = (shown::json(&recorded.explanation), &recorded.remarks);
            format!("{}\n", json!({ "record": record, "explained": explained, "remarks": remarks }))
        }
        OutputFormat::Text => {
            let remarks: String = recorded.remarks.iter().map(|remark| format!("note: {remark}\n")).collect();
            let text = format!("{}\n{remarks}\n{}", recorded.said, recorded.explanation);
            shown::painted(&text, style_for(&io::stdout()))
        }
    })
}

/// The folder of the rules, and what is known of addresses.
fn sources(args: &ExplainArgs) -> Result<(PathBuf, Arc<Intel>), Told> {
    let Some(config) = config(args) else {
        let rules = args.rules.clone().unwrap_or_else(|| PathBuf::from(USUAL_RULES));
        return Ok((rules, intel(None, &args.databases).ok_or(Told)?));
    };
    let settings = settings(config).ok_or(Told)?;
    let intel = known(settings.intel, &settings.sources, &args.databases).ok_or(Told)?;
    Ok((settings.rules, intel))
}

/// The settings file that was named, or the usual one, where it is there and no rules were named.
fn config(args: &ExplainArgs) -> Option<&Path> {
    let usual = Path::new("portcullis.toml");
    match (&args.config, &args.rules) {
        (Some(config), _) => Some(config),
        (None, None) if usual.is_file() => Some(usual),
        _ => None,
    }
}

/// Where the rules are; none where nothing says so, and they are not in their usual place.
fn rules_path(args: &ExplainArgs) -> Result<Option<PathBuf>, Told> {
    if let Some(config) = config(args) {
        return Ok(Some(settings(config).ok_or(Told)?.rules));
    }
    let usual = || Some(PathBuf::from(USUAL_RULES)).filter(|folder| folder.is_dir());
    Ok(args.rules.clone().or_else(usual))
}

/// Where the rules are unless something says otherwise.
const USUAL_RULES: &str = "rules";

impl Written {
    fn read(args: &ExplainArgs, intel: &Intel) -> Result<Self, Told> {
        let method = parsed("--method", "a method such as `POST`", &args.method)?;
        let (path, query) = match args.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (args.path.as_str(), None),
        };
        if !path.starts_with('/') {
            return Err(wrong("--path", "a path that begins with `/`", path));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, parsed("--host", "a host such as `shop.example`", &args.host)?);
        for field in &args.headers {
            let (name, value) = field.split_once(':').ok_or_else(|| wrong("--header", "`name: value`", field))?;
            let name: HeaderName = parsed("--header", "a header's name before `:`", name.trim())?;
            headers.append(name, parsed("--header", "a header's value behind `:`", value.trim())?);
        }
        let claim = Claim::of(headers.get(header::USER_AGENT).map_or(b"", HeaderValue::as_bytes));
        let hello = match &args.client_hello {
            Some(text) => Some(client_hello(text)?),
            None => (args.ja3.is_some() || args.ja4.is_some()).then(|| unremarkable_hello(claim.family)),
        };
        Ok(Self {
            method,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers,
            network: network(args, intel)?,
            hello,
            ja3: optional("--ja3", "a JA3 hash of 32 hex digits", args.ja3.as_deref())?,
            ja4: optional("--ja4", "a JA4 such as `t13d1516h2_8daaf6152771_02713d6af862`", args.ja4.as_deref())?,
        })
    }

    fn http(&self) -> Http {
        let two = self.hello.as_ref().is_some_and(|hello| hello.alpn.contains(b"h2"));
        if two { Http::Two } else { Http::One }
    }

    fn tls(&self) -> Option<Tls<'_>> {
        let shown = Tls::of(self.hello.as_ref()?);
        Some(Tls { ja3: self.ja3.unwrap_or(shown.ja3), ja4: self.ja4.unwrap_or(shown.ja4), ..shown })
    }
}

fn client_hello(text: &str) -> Result<ClientHello, Told> {
    let bytes = from_hex(text.trim()).ok_or_else(|| wrong("--client-hello", "a ClientHello in hex", text))?;
    // A handshake message begins with its type, 1; a record with its own, 22 (RFC 8446 §4 and §5.1).
    let read = if bytes.first() == Some(&1) { ClientHello::parse(&bytes) } else { ClientHello::from_records(&bytes) };
    read.map_err(|error| {
        tell_error(format_args!("`--client-hello` is no ClientHello: {error}"));
        Told
    })
}

/// What is known of the client's address; what is given by hand goes before what the databases say.
fn network(args: &ExplainArgs, intel: &Intel) -> Result<AddressFacts, Told> {
    let mut facts = intel.lookup(args.ip);
    if args.asn.is_some() || args.country.is_some() || !args.classes.is_empty() {
        // Addresses of documentation stand for whatever is said of them.
        facts.special_use = None;
    }
    if let Some(asn) =
        optional::<Asn>("--asn", "the number of an autonomous system such as `64500`", args.asn.as_deref())?
    {
        facts.classes = facts.classes.union(intel.classes_of(asn));
        facts.asn = Some(asn);
    }
    if let Some(country) = optional::<Country>("--country", "two letters such as `DE`", args.country.as_deref())? {
        facts.country = Some(country);
    }
    let classes: Vec<_> = NetworkClass::ALL.iter().map(|class| class.name()).collect();
    for class in &args.classes {
        facts.classes.insert(parsed("--class", &format!("one of {}", classes.join(", ")), class)?);
    }
    Ok(facts)
}

/// What the limits of the route read: nothing, but those that were named are passed.
fn readings(rules: &RuleSet, route: RouteId, over: &[String]) -> Result<Vec<LimitReading>, Told> {
    let route = rules.route(route);
    for name in over {
        if route.limits.iter().all(|limit| *limit.name != **name) {
            let known: Vec<_> = route.limits.iter().map(|limit| quote(&limit.name)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            tell_error(format_args!("route {} has no limit {}; it has {known}", quote(&route.name), quote(name)));
            return Err(Told);
        }
    }
    let reading = |LevelOf { limit, level, .. }: LevelOf<'_>| {
        let is_over = over.iter().any(|name| **name == *limit.name);
        LimitReading {
            count: if is_over { level.bound.limit() } else { 1 },
            over: is_over,
            retry_after_ms: if is_over { 1000 } else { 0 },
            ..LimitReading::default()
        }
    };
    Ok(route.levels().map(reading).collect())
}

fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn optional<T: FromStr>(option: &str, what: &str, text: Option<&str>) -> Result<Option<T>, Told> {
    text.map(|text| parsed(option, what, text)).transpose()
}

fn parsed<T: FromStr>(option: &str, what: &str, text: &str) -> Result<T, Told> {
    text.parse().map_err(|_| wrong(option, what, text))
}

fn wrong(option: impl Display, what: &str, text: &str) -> Told {
    tell_error(format_args!("expected {what} in `{option}`, but found {}", quote(text)));
    Told
}

#[cfg(test)]
mod tests {
    use portcullis_signals::Family;

    use super::*;

    #[test]
    fn the_unremarkable_hello_is_that_of_the_claimed_family() {
        for family in [Family::Chromium, Family::Firefox, Family::Safari, Family::Other] {
            let hello = unremarkable_hello(family);
            assert!(hello.alpn.contains(b"h2"), "{family:?}");
            assert_eq!(hello.has_grease(), matches!(family, Family::Chromium | Family::Safari), "{family:?}");
        }
    }
}
