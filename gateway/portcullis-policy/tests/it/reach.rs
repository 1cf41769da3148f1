//! How far the shipped rules tell real clients apart: every captured client against them.
//!
//! Each client's requests go in order through the same core that live traffic goes through, from an address of which
//! nothing is known; what the gateway would remember of it is kept here. A client counts by the hardest action on any
//! of its requests. Half of the clients, by a hash of their names, were held out when rows and weights were made; both
//! halves stand in the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_fingerprint::{ClientHello, Http2Print, Priority, Pseudo, is_grease};
use portcullis_intel::AddressFacts;
use portcullis_policy::model::{Action, Clients};
use portcullis_policy::{Decision, RuleSet, Score};
use portcullis_signals::{
    CanonicalRequest, Claim, ClientAddr, ConnectionJudgement, Context, Facts, Families, Http, RequestHead, Tls,
    TlsVersion, UnixSeconds,
};
use serde_json::Value;

use crate::shipped;

/// The lines of the captures; none, and a word of it on standard error, where they are not there.
pub(crate) fn captures() -> Option<Vec<Value>> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/zoo/clients.jsonl");
    let Ok(text) = std::fs::read_to_string(file) else {
        eprintln!("skipped: there is no `{file}`");
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

pub(crate) fn rules() -> RuleSet {
    RuleSet::compile(&shipped::files()).unwrap_or_else(|faults| panic!("{faults}")).rules
}

/// One captured request.
pub(crate) struct Captured {
    pub(crate) client: String,
    pub(crate) category: String,
    conn: (String, u64),
    pub(crate) kind: String,
    method: Method,
    path: String,
    pub(crate) headers: HeaderMap,
    hello: Option<ClientHello>,
    tls12: bool,
    print: Option<Http2Print>,
    http2: bool,
}

impl Captured {
    /// The same request by another client's connection.
    pub(crate) fn with_connection_of(&self, other: &Self) -> Self {
        Self {
            client: self.client.clone(),
            category: self.category.clone(),
            conn: other.conn.clone(),
            kind: self.kind.clone(),
            method: self.method.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            hello: other.hello.clone(),
            tls12: other.tls12,
            print: other.print.clone(),
            http2: other.http2,
        }
    }

    /// Reads one line; none where the client asked for nothing.
    pub(crate) fn of(line: &Value) -> Option<Self> {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let kind = text("request_kind");
        if kind == "none" || kind == "js-signals" {
            return None;
        }
        let mut headers = HeaderMap::new();
        for pair in line["headers"].as_array()? {
            let (name, value) = (pair[0].as_str()?, pair[1].as_str()?);
            if name.starts_with(':') {
                continue;
            }
            headers
                .append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        let version = text("http_version");
        let http2 = version.starts_with('2');
        let hex = text("client_hello_hex");
        let bytes: Vec<u8> =
            (0..hex.len() / 2).filter_map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()).collect();
        Some(Self {
            client: text("client"),
            category: text("category"),
            conn: (text("target"), line["conn"].as_u64()?),
            kind,
            method: text("method").parse().ok()?,
            path: text("path"),
            headers,
            hello: ClientHello::from_records(&bytes).ok(),
            tls12: text("tls_version") == "TLSv1.2",
            print: http2.then(|| print(&line["h2"])).flatten(),
            http2,
        })
    }
}

fn print(h2: &Value) -> Option<Http2Print> {
    let mut parts = h2["akamai"].as_str()?.split('|');
    let settings = parts.next()?.split(';').filter_map(|pair| {
        let (id, value) = pair.split_once(':')?;
        Some((id.parse().ok()?, value.parse().ok()?))
    });
    let settings = settings.collect();
    let window_increment = parts.next()?.parse().ok()?;
    let pseudo = parts.nth(1)?.split(',').filter_map(|letter| {
        Some(match letter {
            "m" => Pseudo::Method,
            "a" => Pseudo::Authority,
            "s" => Pseudo::Scheme,
            "p" => Pseudo::Path,
            _ => return None,
        })
    });
    let priority = &h2["headers_priority"];
    let headers_priority = priority["weight"].as_u64().map(|weight| Priority {
        stream: 1,
        exclusive: priority["exclusive"].as_u64() == Some(1),
        depends_on: 0,
        weight: u16::try_from(weight).unwrap_or(16),
    });
    Some(Http2Print { settings, window_increment, headers_priority, pseudo: pseudo.collect(), ..Http2Print::default() })
}

/// What the gateway would remember of one client.
#[derive(Default)]
struct Memory {
    context: Context,
    conns: BTreeSet<(String, u64)>,
    orders: BTreeSet<Vec<u16>>,
    prints: BTreeSet<Vec<u16>>,
    cookie_set: bool,
    returned: bool,
}

impl Memory {
    /// What a connection shows at its start.
    fn connect(&mut self, asked: &Captured) {
        let Some(hello) = asked.hello.as_ref().filter(|_| self.conns.insert(asked.conn.clone())) else { return };
        let steady = |kind: &&u16| !is_grease(**kind) && !matches!(**kind, 0 | 21 | 35 | 41 | 42);
        let mut order: Vec<u16> = hello.extensions.iter().filter(steady).copied().collect();
        self.orders.insert(order.clone());
        order.extend(hello.cipher_suites.iter().filter(|suite| !is_grease(**suite)));
        order.sort_unstable();
        self.prints.insert(order);
        self.context.hellos = self.context.hellos.saturating_add(1);
        self.context.hello_orders = u8::try_from(self.orders.len()).unwrap_or(u8::MAX);
    }

    /// What the request adds once it is answered. Every answer of the captures set a cookie.
    fn answer(&mut self, asked: &Captured) {
        self.returned |= asked.headers.contains_key("cookie");
        if self.returned {
            self.context.cookieless = 0;
        } else if self.cookie_set {
            self.context.cookieless = self.context.cookieless.saturating_add(1);
        }
        self.cookie_set = true;
        if asked.kind == "page" {
            self.context.pages = self.context.pages.saturating_add(1);
        } else {
            self.context.other_requests = self.context.other_requests.saturating_add(1);
        }
    }
}

/// Decides on one request as live traffic would be.
pub(crate) fn decide(rules: &RuleSet, asked: &Captured, headers: &HeaderMap, context: Context) -> Decision {
    let request = CanonicalRequest::of(&RequestHead {
        method: &asked.method,
        target: asked.path.as_bytes(),
        authority: (!headers.contains_key("host")).then_some("shop.example"),
        version: if asked.http2 { Version::HTTP_2 } else { Version::HTTP_11 },
        headers,
        raw: None,
    });
    let network = AddressFacts::bare("203.0.113.5".parse().unwrap());
    let claim = Claim::of(headers.get("user-agent").map_or(b"", HeaderValue::as_bytes));
    let version = if asked.tls12 { TlsVersion::Tls12 } else { TlsVersion::Tls13 };
    let tls = asked.hello.as_ref().map(|hello| Tls { version, ..Tls::of(hello) });
    let connection = ConnectionJudgement::of(Families::shipped(), &claim, tls.as_ref(), asked.print.as_ref());
    let route = rules.plan(&request);
    let limits = vec![portcullis_signals::LimitReading::default(); rules.route(route).levels().count()];
    rules.decide(&Facts {
        at: UnixSeconds(1_795_000_000),
        http: if asked.http2 { Http::Two } else { Http::One },
        tls,
        http2: asked.print.as_ref(),
        connection: Some(&connection),
        context,
        limits: &limits,
        ..Facts::bare(&request, ClientAddr("203.0.113.5".parse().unwrap()), &network)
    })
}

/// How one client fared.
struct Fate {
    client: String,
    group: &'static str,
    action: Action,
    /// The hardest action on routes for browsers; none where it asked none of them.
    on_pages: Option<Action>,
    /// The highest score, and on what.
    score: Score,
    reasons: String,
}

impl Fate {
    fn is_in_second_half(&self) -> bool {
        // FNV-1a, so that the halves are the same on every machine.
        let hash = self
            .client
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        hash >> 33 & 1 == 1
    }
}

pub(crate) fn group(client: &str, category: &str) -> &'static str {
    match category {
        "browser" if client == "chromium-behind-tls-proxy" => "browser behind a TLS proxy",
        "browser" if client == "netsurf" => "browser, niche",
        "browser" => "browser, mainstream",
        "browser-automated" => "browser, automated",
        "impersonator" if is_header_only(client) => "spoofer of headers",
        "impersonator" => "impersonator, full stack",
        _ => "tool",
    }
}

/// Whether an impersonator copies the header of a browser and no more, as `explain --captures` has it.
fn is_header_only(client: &str) -> bool {
    include_str!("../../../portcullis/src/commands/explain/header_only.txt")
        .lines()
        .any(|beginning| client.starts_with(beginning))
}

fn fates(lines: &[Value]) -> Vec<Fate> {
    let rules = rules();
    let mut clients: BTreeMap<String, Vec<Captured>> = BTreeMap::new();
    for asked in lines.iter().filter_map(Captured::of) {
        clients.entry(asked.client.clone()).or_default().push(asked);
    }
    let fates = clients.into_iter().map(|(client, requests)| {
        let mut memory = Memory::default();
        let mut fate = Fate {
            group: group(&client, &requests[0].category),
            client,
            action: Action::Allow,
            on_pages: None,
            score: Score::ZERO,
            reasons: String::new(),
        };
        for asked in &requests {
            memory.connect(asked);
            let decision = decide(&rules, asked, &asked.headers, memory.context);
            if rules.route(decision.route).clients == Clients::Browser {
                fate.on_pages = fate.on_pages.max(Some(decision.verdict));
            }
            if decision.score > fate.score {
                fate.score = decision.score;
                fate.reasons = asked.kind.clone();
                for reason in &decision.reasons {
                    let _ = write!(fate.reasons, " {} {}", reason.signal, reason.points);
                }
            }
            fate.action = fate.action.max(decision.verdict);
            memory.answer(asked);
        }
        fate
    });
    fates.collect()
}

fn table(fates: &[&Fate]) -> String {
    let mut text = String::new();
    let groups: BTreeSet<&str> = fates.iter().map(|fate| fate.group).collect();
    let _ = writeln!(text, "{:<28}{:>8}{:>8}{:>11}{:>8}", "", "clients", "allow", "challenge", "block");
    for group in groups {
        let of =
            |test: fn(Action) -> bool| fates.iter().filter(|fate| fate.group == group && test(fate.action)).count();
        let _ = writeln!(
            text,
            "{group:<28}{:>8}{:>8}{:>11}{:>8}",
            of(|_| true),
            of(|action| action < Action::Challenge),
            of(|action| action == Action::Challenge),
            of(|action| action > Action::Challenge),
        );
    }
    text
}

#[test]
fn the_shipped_rules_tell_captured_clients_apart() {
    let Some(lines) = captures() else { return };
    let fates = fates(&lines);
    let all: Vec<&Fate> = fates.iter().collect();
    let (second, first): (Vec<&Fate>, Vec<&Fate>) = fates.iter().partition(|fate| fate.is_in_second_half());
    println!("all clients\n{}\none half\n{}\nthe other half\n{}", table(&all), table(&first), table(&second));
    for fate in &fates {
        println!("{:<28}{:<34}{:?} {}: {}", fate.group, fate.client, fate.action, fate.score, fate.reasons);
    }
    for half in [&all, &first, &second] {
        let reaches = |group: &str, percent: usize, action: fn(&Fate) -> Action| {
            let members: Vec<_> = half.iter().filter(|fate| fate.group == group).collect();
            let caught = members.iter().filter(|fate| action(fate) >= Action::Challenge).count();
            assert!(caught * 100 >= members.len() * percent, "{caught} of {} are challenged: {group}", members.len());
        };
        reaches("tool", 95, |fate| fate.on_pages.unwrap_or(fate.action));
        reaches("spoofer of headers", 100, |fate| fate.on_pages.unwrap_or(fate.action));
        reaches("impersonator, full stack", 85, |fate| fate.action);
    }
    let worst = |group: &str| fates.iter().filter(|fate| fate.group == group).map(|fate| fate.action).max();
    assert!(worst("browser, mainstream") < Some(Action::Challenge));
    assert!(worst("browser behind a TLS proxy") <= Some(Action::Challenge));
    assert!(worst("browser, niche") <= Some(Action::Challenge));
    let niche = fates.iter().filter(|fate| fate.group == "browser, niche" && fate.action >= Action::Challenge).count();
    assert!(niche <= 3, "{niche} niche browsers were challenged");
}
