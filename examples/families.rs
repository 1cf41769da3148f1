//! Learns a row of a browser family from captures of that browser.
//!
//! ```text
//! cargo run -p portcullis-signals --example families -- --captures FILE --date DAY --client NAME [--client NAME...]
//! ```
//!
//! The captures are lines of JSON, one request each; of them these keys are read: `client`, `client_hello_hex` (the
//! records as sent, in hex), `h2.akamai` (`settings|window|priority|pseudo`), `headers` (pairs of name and value in the
//! order sent), `method`. What all of the browser's hellos and requests have in common is written as rows in the form
//! of `families/browsers.toml`; the `from` of the row is the version that it claims. Learn from the browser itself,
//! never from what pretends to be it, and look the row over: one machine shows one configuration.

#![expect(clippy::disallowed_methods, reason = "a program for people reads a file")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::{env, fs};

use portcullis_fingerprint::{ClientHello, is_grease};
use portcullis_signals::{Claim, Families, HeaderDigest};
use serde_json::Value;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (mut captures, mut date, mut clients) = (None, None, BTreeSet::new());
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next()) {
            ("--captures", Some(file)) => captures = Some(file),
            ("--date", Some(day)) => date = Some(day),
            ("--client", Some(client)) => {
                clients.insert(client);
            }
            _ => return usage(),
        }
    }
    let (Some(captures), Some(date), false) = (captures, date, clients.is_empty()) else { return usage() };
    let text = match fs::read_to_string(&captures) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: cannot read `{captures}`: {error}");
            return ExitCode::FAILURE;
        }
    };
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut learned = Learned::default();
    for line in lines.iter().filter(|line| line["client"].as_str().is_some_and(|name| clients.contains(name))) {
        learned.see(line);
    }
    if learned.requests == 0 {
        eprintln!("error: `{captures}` has no request of these clients");
        return ExitCode::FAILURE;
    }
    let row = learned.row(&captures, &date);
    // What is written here must be readable there.
    if let Err(error) = Families::parse("row", &row) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    print!("{row}");
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: families --captures FILE --date DAY --client NAME [--client NAME...]");
    ExitCode::FAILURE
}

/// What the requests of one browser have in common.
#[derive(Default)]
struct Learned {
    requests: usize,
    claim: Option<Claim>,
    hellos: BTreeSet<String>,
    parsed: Vec<ClientHello>,
    prefaces: BTreeSet<String>,
    priorities: BTreeSet<String>,
    /// By kind of request: each order of names.
    orders: BTreeMap<&'static str, Vec<Vec<String>>>,
}

impl Learned {
    fn see(&mut self, line: &Value) {
        let fields: Vec<(String, String)> = line["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair[0].as_str()?.to_ascii_lowercase(), pair[1].as_str()?.to_owned())))
            .filter(|(name, _)| HeaderDigest::judged().any(|judged| judged == name))
            .collect();
        let value = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let Some(claim) = value("user-agent").map(|text| Claim::of(text.as_bytes())) else { return };
        // A browser may have helpers that speak for themselves: what claims something else is none of it.
        if self.claim.is_some_and(|known| known.family != claim.family) || !claim.kind.is_browser() {
            return;
        }
        self.claim = Some(claim);
        self.requests += 1;
        let hex = line["client_hello_hex"].as_str().unwrap_or_default();
        if self.hellos.insert(hex.to_owned())
            && let Some(hello) = bytes(hex).and_then(|bytes| ClientHello::from_records(&bytes).ok())
        {
            self.parsed.push(hello);
        }
        if let Some(print) = line.pointer("/h2/akamai").and_then(Value::as_str) {
            self.prefaces.insert(print.to_owned());
        }
        if let Some(exclusive) = line.pointer("/h2/headers_priority/exclusive").and_then(Value::as_u64) {
            self.priorities.insert(if exclusive == 1 { "exclusive" } else { "plain" }.to_owned());
        }
        let form = line["method"].as_str() == Some("POST");
        let kind = match (value("sec-fetch-mode"), value("sec-fetch-dest")) {
            _ if value("upgrade").is_some() => "socket",
            (Some("navigate"), Some("empty")) => "relayed",
            (Some("same-origin"), Some("empty")) if value("upgrade-insecure-requests").is_some() => "relayed",
            (Some("navigate"), Some("object" | "embed")) => "embedded",
            (Some("navigate"), _) if form => "form",
            (Some("navigate"), _) => "navigation_order",
            (Some(_), Some("audio" | "video")) => "media",
            (Some(_), Some("worker" | "sharedworker" | "serviceworker")) => "worker",
            (Some(_), Some("empty")) => "call",
            (Some(_), _) => "script_order",
            (None, _) => "order",
        };
        self.orders.entry(kind).or_default().push(fields.into_iter().map(|(name, _)| name).collect());
    }

    fn row(&self, source: &str, date: &str) -> String {
        let claim = self.claim.unwrap_or(Claim::ABSENT);
        let mut text = format!(
            "[[family]]\nname   = \"{}\"\nfrom   = {}\nsource = \"captures: {source}\"\ndate   = \"{date}\"\n",
            claim.family_name(),
            claim.version
        );
        self.tls(&mut text);
        self.http2(&mut text);
        self.headers(&mut text);
        text
    }

    fn tls(&self, text: &mut String) {
        let Some(first) = self.parsed.first() else { return };
        let real = |list: &[u16]| -> Vec<u16> { list.iter().copied().filter(|value| !is_grease(*value)).collect() };
        let common = |read: fn(&ClientHello) -> &[u16]| -> Vec<u16> {
            let all = |value: &u16| self.parsed.iter().all(|hello| read(hello).contains(value));
            real(read(first)).into_iter().filter(all).collect()
        };
        let ciphers: BTreeSet<String> =
            self.parsed.iter().map(|hello| joined(&real(&hello.cipher_suites), "-")).collect();
        let orders: BTreeSet<Vec<u16>> = self.parsed.iter().map(|hello| steady(&real(&hello.extensions))).collect();
        let mut extensions = steady(&common(|hello| &hello.extensions));
        extensions.sort_unstable();
        text.push_str("[family.tls]\n");
        text.push_str(&format!("grease     = {}\n", self.parsed.iter().all(ClientHello::has_grease)));
        text.push_str(&format!(
            "tls13      = {}\n",
            self.parsed.iter().all(|hello| hello.supported_versions.contains(&0x0304))
        ));
        let alpn: Vec<String> = first.alpn.iter().map(|name| format!("{:?}", String::from_utf8_lossy(name))).collect();
        text.push_str(&format!("alpn       = [{}]\n", alpn.join(", ")));
        text.push_str(&format!("extensions = [{}]\n", joined(&extensions, ", ")));
        text.push_str(&format!("groups     = [{}]\n", joined(&common(|hello| &hello.groups), ", ")));
        let lists: Vec<String> = ciphers.iter().map(|list| format!("{list:?}")).collect();
        text.push_str(&format!("ciphers    = [{}]\n", lists.join(", ")));
        if self.parsed.len() > 1 && orders.len() == self.parsed.len() {
            text.push_str("shuffled   = true\n");
        }
    }

    fn http2(&self, text: &mut String) {
        let parts: Vec<Vec<&str>> = self.prefaces.iter().map(|print| print.split('|').collect()).collect();
        let Some([_, window, _, pseudo]) = parts.first().and_then(|parts| <[&str; 4]>::try_from(parts.as_slice()).ok())
        else {
            return;
        };
        let exact: BTreeSet<String> =
            parts.iter().filter_map(|parts| parts.first()).map(|frame| format!("{frame:?}")).collect();
        text.push_str(&format!("[family.http2]\npseudo   = \"{}\"\nwindow   = {window}\n", pseudo.replace(',', "")));
        text.push_str(&format!("exact    = [{}]\n", Vec::from_iter(exact).join(", ")));
        if let (1, Some(priority)) = (self.priorities.len(), self.priorities.first()) {
            text.push_str(&format!("priority = \"{priority}\"\n"));
        }
    }

    fn headers(&self, text: &mut String) {
        text.push_str("[family.headers]\n");
        let all: Vec<&Vec<String>> = self.orders.values().flatten().collect();
        if let Some(first) = all.first() {
            let always: Vec<&String> =
                first.iter().filter(|name| all.iter().all(|order| order.contains(name))).collect();
            text.push_str(&format!("always = {always:?}\n"));
        }
        let (tables, plain): (Vec<_>, Vec<_>) = self.orders.iter().partition(|(kind, _)| !kind.ends_with("order"));
        for (kind, orders) in plain {
            text.push_str(&format!("{kind} = {:?}\n", merged(orders)));
        }
        for (kind, orders) in tables {
            text.push_str(&format!("[family.headers.{kind}]\norders = [{:?}]\n", merged(orders)));
        }
    }
}

/// One order in which all the orders hold; of names that stand in no one order to each other, those that do.
fn merged(orders: &[Vec<String>]) -> Vec<String> {
    let names: BTreeSet<&String> = orders.iter().flatten().collect();
    let place = |order: &Vec<String>, name: &String| order.iter().position(|known| known == name);
    let before = |one: &String, other: &String| {
        orders.iter().any(|order| place(order, one).zip(place(order, other)).is_some_and(|(one, other)| one < other))
    };
    let steady: Vec<&String> = names
        .iter()
        .copied()
        .filter(|one| !names.iter().any(|other| before(one, other) && before(other, one)))
        .collect();
    let mut left = steady;
    let mut line = Vec::new();
    while let Some(at) = left.iter().position(|one| !left.iter().any(|other| other != one && before(other, one))) {
        line.push(left.remove(at).clone());
    }
    line
}

/// Extensions that do not change with the connection: without server name, pre-shared key and padding.
fn steady(extensions: &[u16]) -> Vec<u16> {
    extensions.iter().copied().filter(|extension| !matches!(extension, 0 | 21 | 41 | 42)).collect()
}

fn joined(numbers: &[u16], between: &str) -> String {
    numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(between)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    Some(digits?.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect())
}
