//! `[[test]]` as written.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use portcullis_fingerprint::{ClientHello, Http2Print, Ja3Hash, Ja4, Priority, Pseudo};
use portcullis_intel::{Asn, Country, NetworkClass};
use portcullis_signals::{Clearance, Conduct, OwnSignal, OwnValue, Posture, SignalId, Strength};
use toml::de::DeValue;

use super::Located;
use super::reader::{Item, Reader, Section};
use super::route::method;
use super::rule::{class, http2, until};
use crate::diagnostics::{Diagnostic, Span, quote};
use crate::model::Action;
use crate::score::Score;

/// One test of the rules.
#[derive(Clone, Debug)]
pub(crate) struct TestTable {
    pub(crate) span: Span,
    pub(crate) name: Located<Arc<str>>,
    pub(crate) request: TestRequest,
    pub(crate) counters: Counters,
    pub(crate) expect: Expect,
}

/// The request of a test, and what is known of its client.
#[derive(Clone, Debug)]
pub(crate) struct TestRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) ip: IpAddr,
    pub(crate) asn: Option<Asn>,
    pub(crate) country: Option<Country>,
    pub(crate) classes: Vec<NetworkClass>,
    pub(crate) ja3: Option<Ja3Hash>,
    pub(crate) ja4: Option<Ja4>,
    pub(crate) http2: Option<Http2Print>,
    pub(crate) hello: Option<ClientHello>,
    pub(crate) clearance: Option<Clearance>,
    pub(crate) user: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) identity: Vec<(String, Own)>,
    pub(crate) at: u64,
}

/// The value of an own signal.
#[derive(Clone, Debug)]
pub(crate) enum Own {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

impl Own {
    /// The value as facts hold it.
    pub(crate) fn value(&self) -> OwnValue<'_> {
        match self {
            Self::Bool(value) => OwnValue::Bool(*value),
            Self::Int(value) => OwnValue::Int(*value),
            Self::Double(value) => OwnValue::Double(*value),
            Self::Text(value) => OwnValue::Text(value),
        }
    }
}

/// What the counters read when the request of a test comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) address_per_minute: u32,
    pub(crate) prefix_per_minute: u32,
    pub(crate) fingerprint_per_minute: u32,
    pub(crate) named_per_minute: u32,
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
    pub(crate) banned: bool,
    pub(crate) posture: Posture,
    pub(crate) conduct: Conduct,
    pub(crate) limits: Vec<LimitCount>,
}

/// What one limit read.
#[derive(Clone, Debug)]
pub(crate) struct LimitCount {
    pub(crate) name: Located<String>,
    pub(crate) count: u32,
    /// Absent where it follows from the count.
    pub(crate) over: Option<bool>,
    /// Whether a part of the key is missing, of a limit that refuses for it.
    pub(crate) missing: bool,
}

/// What a test expects.
#[derive(Clone, Debug)]
pub(crate) struct Expect {
    /// What is done.
    pub(crate) action: Option<Located<Action>>,
    /// What would be done, were the route not in monitor.
    pub(crate) verdict: Option<Located<Action>>,
    pub(crate) reasons: Vec<Located<SignalId>>,
    pub(crate) route: Option<Located<String>>,
    pub(crate) rule: Option<Located<String>>,
    pub(crate) code: Option<Located<String>>,
    pub(crate) score_min: Option<Located<Score>>,
    pub(crate) score_max: Option<Located<Score>>,
}

impl TestTable {
    pub(super) fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let span = section.span;
        let name = section.require("name", "\"a browser is allowed\"", reader).and_then(|item| reader.name(&item));
        let request = section
            .require("request", "{ host = \"shop.example\", path = \"/\" }", reader)
            .and_then(|item| reader.section(&item, "a test's `request`"))
            .and_then(|section| TestRequest::read(section, reader));
        let counters = section
            .take("counters")
            .and_then(|item| reader.section(&item, "`counters`"))
            .map_or_else(Counters::quiet, |section| Counters::read(section, reader));
        let expect = section
            .require("expect", "{ action = \"allow\" }", reader)
            .and_then(|item| reader.section(&item, "`expect`"))
            .map(|section| Expect::read(section, reader));
        section.finish(reader);
        Some(Self { span, name: name?, request: request?, counters, expect: expect? })
    }
}

impl TestRequest {
    fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let host = section.require("host", "\"shop.example\"", reader).and_then(|item| header_value(&item, reader));
        let path = section.require("path", "\"/\"", reader).and_then(|item| path(&item, reader));
        let mut headers = HeaderMap::new();
        headers.extend(host.clone().map(|host| (header::HOST, host)));
        if let Some(table) = section.take("headers").and_then(|item| reader.section(&item, "`headers`")) {
            table.items().for_each(|item| read_header(&item, &mut headers, reader));
        }
        let text = |item: Item<'_>, reader: &mut Reader<'_>| reader.text(&item).map(|text| text.value.to_owned());
        let request = Self {
            method: section
                .take("method")
                .and_then(|item| method(reader, &item))
                .map_or(Method::GET, |method| method.value),
            path: path.clone().unwrap_or_default(),
            query: section.take("query").and_then(|item| text(item, reader)),
            headers,
            ip: section
                .take("ip")
                .and_then(|item| reader.parsed(&item, "write an address, such as \"192.0.2.7\""))
                .unwrap_or(DEFAULT_IP),
            asn: section
                .take("asn")
                .and_then(|item| reader.integer(&item, 0..=u64::from(u32::MAX)))
                .map(|asn| Asn(asn.value)),
            country: section
                .take("country")
                .and_then(|item| reader.parsed(&item, "a country is its two letters, such as \"DE\"")),
            classes: section.list("class", reader, class),
            ja3: section.take("ja3").and_then(|item| reader.ja3(&item)),
            ja4: section.take("ja4").and_then(|item| reader.ja4(&item)),
            http2: section.take("http2").and_then(|item| http2_print(&item, reader)),
            hello: section.take("client_hello").and_then(|item| client_hello(&item, reader)),
            clearance: section
                .take("clearance")
                .and_then(|item| reader.choice(&item, &CLEARANCES))
                .map(|rung| rung.value),
            user: section.take("user").and_then(|item| text(item, reader)),
            account: section.take("account").and_then(|item| text(item, reader)),
            api_key: section.take("api_key").and_then(|item| text(item, reader)),
            session: section.take("session").and_then(|item| text(item, reader)),
            device: section.take("device").and_then(|item| text(item, reader)),
            token: section.take("token").and_then(|item| text(item, reader)),
            body: section.take("body").and_then(|item| text(item, reader)),
            identity: section
                .take("identity")
                .and_then(|item| reader.section(&item, "`identity`"))
                .map(|table| table.items().filter_map(|item| own(&item, reader)).take(OwnSignal::MOST).collect())
                .unwrap_or_default(),
            at: section.take("at").and_then(|item| until(&item, reader)).unwrap_or(0),
        };
        section.finish(reader);
        host.and(path).map(|_| request)
    }
}

impl Counters {
    /// The first request of a stranger; it is counted itself.
    fn quiet() -> Self {
        Self { address_per_minute: 1, prefix_per_minute: 1, ..Self::default() }
    }

    fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Self {
        let mut number = |key, least: u32| {
            let item = section.take(key);
            item.and_then(|item| reader.integer(&item, 0..=u64::from(u32::MAX))).map_or(least, |number| number.value)
        };
        let mut counters = Self {
            address_per_minute: number("address_per_minute", 1),
            prefix_per_minute: number("prefix_per_minute", 1),
            fingerprint_per_minute: number("fingerprint_per_minute", 0),
            named_per_minute: number("named_per_minute", 0),
            attempts: number("attempts", 0),
            failures: number("failures", 0),
            conduct: Conduct {
                users: number("users", 0),
                failed_users: number("failed_users", 0),
                networks: number("networks", 0),
                paths: number("paths", 0),
                missing_paths: number("missing_paths", 0),
                sequence: number("sequence", 0),
                cohort_sequence: number("cohort_sequence", 0),
                ..Conduct::default()
            },
            ..Self::default()
        };
        let mut strength = |key| {
            let item = section.take(key);
            let score = item.and_then(|item| reader.score(&item)).map_or(0, |score| score.value.as_thousandths());
            Strength::thousandths(score.into())
        };
        counters.conduct.cohort_surge = strength("cohort_surge");
        counters.conduct.cohort_growth = strength("cohort_growth");
        counters.conduct.cohort_unknown = strength("cohort_unknown");
        counters.conduct.credit = strength("credit");
        counters.conduct.stuffing_success = strength("stuffing_success");
        counters.conduct.reputation = strength("reputation");
        let postures = Posture::ALL.map(|posture| (posture.name(), posture));
        let posture = section.take("posture").and_then(|item| reader.choice(&item, &postures));
        counters.posture = posture.map(|posture| posture.value).unwrap_or_default();
        counters.conduct.is_regular = section.take("regular").and_then(|item| reader.flag(&item)).unwrap_or(false);
        counters.banned = section.take("banned").and_then(|item| reader.flag(&item)).unwrap_or(false);
        if let Some(table) = section.take("limits").and_then(|item| reader.section(&item, "`limits`")) {
            counters.limits = table.items().filter_map(|item| LimitCount::read(&item, reader)).collect();
        }
        section.finish(reader);
        counters
    }
}

impl LimitCount {
    fn read(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let mut section = reader.section(item, "a limit's counter")?;
        let count = section.take("count").and_then(|item| reader.integer(&item, 0..=u64::from(u32::MAX)));
        let over = section.take("over").and_then(|item| reader.flag(&item));
        let missing = section.take("missing").and_then(|item| reader.flag(&item)).unwrap_or(false);
        section.finish(reader);
        Some(Self {
            missing,
            name: Located::new(item.key.to_owned(), item.key_span),
            count: count.map_or(0, |count| count.value),
            over,
        })
    }
}

impl Expect {
    fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Self {
        let span = section.span;
        let text = |item: Item<'_>, reader: &mut Reader<'_>| reader.text(&item).map(|text| text.map(str::to_owned));
        let expect = Self {
            action: section.take("action").and_then(|item| reader.choice(&item, &ACTIONS)),
            verdict: section.take("verdict").and_then(|item| reader.choice(&item, &ACTIONS)),
            reasons: section.list("reasons", reader, signal),
            route: section.take("route").and_then(|item| text(item, reader)),
            rule: section.take("rule").and_then(|item| text(item, reader)),
            code: section.take("code").and_then(|item| text(item, reader)),
            score_min: section.take("score_min").and_then(|item| reader.score(&item)),
            score_max: section.take("score_max").and_then(|item| reader.score(&item)),
        };
        if section.items().next().is_none() {
            reader.out.push(
                Diagnostic::error("a test that expects nothing")
                    .at(span, "always passes")
                    .help("write `expect = { action = \"allow\" }`"),
            );
        }
        section.finish(reader);
        expect
    }
}

pub(super) fn signal(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Located<SignalId>> {
    let text = reader.text(item)?;
    if let Ok(signal) = text.value.parse() {
        return Some(Located::new(signal, item.span));
    }
    let names: Vec<_> = SignalId::ALL.iter().map(|signal| signal.name()).collect();
    reader.unknown_word(item.span, "signal", text.value, &names);
    None
}

fn own(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<(String, Own)> {
    let value = match item.value {
        DeValue::Boolean(value) => Some(Own::Bool(*value)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Own::Int),
        DeValue::Float(number) => number.as_str().parse().ok().filter(|number: &f64| !number.is_nan()).map(Own::Double),
        DeValue::String(text) => Some(Own::Text(text.to_string())),
        _ => None,
    };
    if value.is_none() {
        reader.expected(item, "a text, a number, `true` or `false`");
    }
    Some((item.key.to_owned(), value?))
}

fn path(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.text(item)?.value;
    if !text.starts_with('/') || text.contains('?') {
        let help = "write the path with its `/`; what stands behind `?` belongs in `query`";
        reader.wrong(item, format!("{} is no path", quote(text)), "not the path of a request", help);
        return None;
    }
    Some(text.to_owned())
}

fn header_value(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<HeaderValue> {
    let text = reader.text(item)?.value;
    let value = HeaderValue::from_str(text).ok();
    if value.is_none() {
        let title = format!("{} cannot stand in a header", quote(text));
        reader.wrong(item, title, "holds a control character", "write one line of visible characters");
    }
    value
}

fn read_header(item: &Item<'_>, headers: &mut HeaderMap, reader: &mut Reader<'_>) {
    let Ok(name) = item.key.parse::<HeaderName>() else {
        let title = format!("{} is no header", quote(item.key));
        reader
            .out
            .push(Diagnostic::error(title).at(item.key_span, "no name of a header").help("write it as it is sent"));
        return;
    };
    if name == header::HOST {
        let fault = Diagnostic::error("the host of a test stands among its headers").at(item.key_span, "not here");
        reader.out.push(fault.help("write it as `host` of the request"));
        return;
    }
    headers.extend(header_value(item, reader).map(|value| (name, value)));
}

/// The print of an HTTP/2 client that displays itself as the text.
fn http2_print(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Http2Print> {
    let text = http2(reader, item)?;
    let print = parse_print(&text).filter(|print| *print.to_string() == *text);
    if print.is_none() {
        let help =
            "an HTTP/2 print looks like `1:65536;4:6291456|15663105|0|m,a,s,p`; audit records hold it as `http2`";
        reader.wrong(item, format!("{} is no HTTP/2 print", quote(&text)), "cannot be read", help);
    }
    print
}

fn parse_print(text: &str) -> Option<Http2Print> {
    let mut parts = text.split('|');
    let (settings, window, priorities, pseudo) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let listed = |text: &str, mark: char| -> Vec<String> {
        text.split(mark).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let setting = |part: &String| {
        let (id, value) = part.split_once(':')?;
        Some((id.parse().ok()?, value.parse().ok()?))
    };
    let priority = |part: &String| {
        let mut numbers = part.split(':').map(|number| number.parse::<u32>().ok());
        Some(Priority {
            stream: numbers.next()??,
            exclusive: numbers.next()?? == 1,
            depends_on: numbers.next()??,
            weight: u16::try_from(numbers.next()??).ok()?,
        })
    };
    let letter = |part: &String| {
        let all = [Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path];
        all.into_iter().find(|pseudo| pseudo.letter().to_string() == *part)
    };
    let priorities = if priorities == "0" { Vec::new() } else { listed(priorities, ',') };
    Some(Http2Print {
        settings: listed(settings, ';').iter().map(setting).collect::<Option<_>>()?,
        window_increment: window.parse().ok()?,
        priorities: priorities.iter().map(priority).collect::<Option<_>>()?,
        pseudo: listed(pseudo, ',').iter().map(letter).collect::<Option<_>>()?,
        ..Http2Print::default()
    })
}

/// The bytes of a ClientHello in hex: a handshake message, or the records around it.
fn client_hello(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<ClientHello> {
    let text = reader.text(item)?.value;
    let digits: Vec<u8> = text
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .filter_map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let clean = text.chars().all(|letter| letter.is_whitespace() || letter.is_ascii_hexdigit());
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    let read = if bytes.first() == Some(&HANDSHAKE_RECORD) {
        ClientHello::from_records(&bytes)
    } else {
        ClientHello::parse(&bytes)
    };
    match read {
        Ok(hello) if clean && rest.is_empty() => Some(hello),
        Ok(_) => {
            reader.wrong(
                item,
                "`client_hello` is not in hex",
                "holds something else",
                "write two hex digits for each byte",
            );
            None
        }
        Err(fault) => {
            let help = "write its bytes in hex; `portcullis fingerprint` takes the same";
            reader.wrong(item, "`client_hello` is no ClientHello", fault, help);
            None
        }
    }
}

/// The content type of a TLS record that holds a handshake message (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Who asks where a test does not say: an address of documentation (RFC 5737).
const DEFAULT_IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

pub(super) const CLEARANCES: [(&str, Clearance); 4] = [
    ("no_script", Clearance::NoScript),
    ("proof_of_work", Clearance::ProofOfWork),
    ("memory_hard", Clearance::MemoryHard),
    ("step_up", Clearance::StepUp),
];

/// The actions, as tests and rules name them.
pub(crate) const ACTIONS: [(&str, Action); 6] = [
    ("allow", Action::Allow),
    ("throttle", Action::Throttle),
    ("challenge", Action::Challenge),
    ("step_up", Action::StepUp),
    ("block", Action::Block),
    ("ban", Action::Ban),
];
