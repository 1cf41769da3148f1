//! `[[rule]]` and `[[route.rule]]` as written.

use std::ops::Range;
use std::sync::Arc;

use http::HeaderName;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use portcullis_intel::{Asn, Country, NetworkClass};
use portcullis_signals::{CanonicalPath, Claim, CrawlerKind, Kind, Strength};
use toml::de::DeValue;

use super::Located;
use super::reader::{self, Item, Reader, Section};
use super::route::method;
use super::test::ACTIONS;
use super::values::MODES;
use crate::diagnostics::{Diagnostic, nearest, quote};
use crate::machine::{self, Fault, Machine, Program};
use crate::model::{Action, Case, Effect, Mode, TextPattern, When};
use crate::patterns::pattern;
use crate::score::Score;

/// One access rule.
#[derive(Debug)]
pub(crate) struct RuleTable {
    pub(crate) name: Located<Arc<str>>,
    pub(crate) when: When,
    /// Whether `when` names lists without a value, so that no request can meet it.
    pub(crate) hollow: bool,
    pub(crate) action: Located<Action>,
    pub(crate) machine: Option<Located<Machine>>,
    /// The limits that the expression reads, each with its place.
    pub(crate) limits: Vec<Located<Box<str>>>,
    pub(crate) mode: Mode,
    pub(crate) until: Option<u64>,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) reason: Option<Arc<str>>,
}

impl RuleTable {
    pub(super) fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let name = section.require("name", "\"partner\"", reader).and_then(|item| reader.name(&item));
        let effect = effect(&mut section, reader);
        let mode = section.take("mode").and_then(|item| reader.choice(&item, &MODES));
        let until = section.take("until").and_then(|item| until(&item, reader));
        let owner = section.take("owner").and_then(|item| reader.name(&item));
        let reason = section.take("reason").and_then(|item| reader.text(&item));
        let written = section.take("expr");
        let program = written.as_ref().map(|item| expression(item, reader));
        reader.hollow = false;
        let when = match section.take("when") {
            Some(item) => reader.section(&item, "`when`").map(|section| conditions(section, reader)),
            None if written.is_some() => Some(When::default()),
            None => section.require("when", "{ ip = [\"192.0.2.0/24\"] }", reader).and(None),
        };
        section.finish(reader);
        let (action, effect) = effect?;
        let mut limits = Vec::new();
        let machine = match (program, effect) {
            (None, Effect::Act) => None,
            (None, effect) => Some(Located::new(Machine::always(effect), action.span)),
            (Some(program), effect) => {
                let (text, program, start) = program?;
                let place = |at: &Range<usize>| {
                    start.map_or(text.span, |start| reader::span(text.span.file, start + at.start..start + at.end))
                };
                limits = program.limits.iter().map(|(name, at)| Located::new(name.clone(), place(at))).collect();
                Some(Located::new(Machine { text: text.value, effect, program: Arc::new(program) }, text.span))
            }
        };
        Some(Self {
            name: name?,
            when: when?,
            hollow: reader.hollow,
            action,
            limits,
            machine,
            mode: mode.map_or(Mode::Enforce, |mode| mode.value),
            until,
            owner: owner.map(|owner| owner.value),
            reason: reason.map(|reason| reason.value.into()),
        })
    }
}

/// What a rule does: its action, a signal that it raises, or what it gives to the score.
fn effect(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<(Located<Action>, Effect)> {
    let action = section.take("action");
    let signal = section.take("signal");
    let strength = section.take("strength");
    let score = section.take("score");
    let said: Vec<_> = [action, signal, score].into_iter().flatten().collect();
    if let [first, second, ..] = *said {
        let title = format!("a rule with both {} and {}", quote(first.key), quote(second.key));
        reader.out.push(
            Diagnostic::error(title)
                .at(second.key_span, "does a second thing")
                .beside(first.key_span, "does this")
                .help("make two rules of it"),
        );
        return None;
    }
    if let Some(item) = strength.filter(|_| signal.is_none()) {
        let fault = Diagnostic::error("`strength` without `signal`").at(item.key_span, "of which signal?");
        reader.out.push(fault.help("add `signal = \"...\"`, or take it out"));
    }
    if let Some(item) = signal {
        let signal = super::test::signal(reader, &item)?;
        let strength = strength.and_then(|item| reader.score(&item));
        let strength =
            strength.map_or(Strength::FULL, |share| Strength::thousandths(share.value.as_thousandths().into()));
        return Some((Located::new(Action::Allow, signal.span), Effect::Raise(signal.value, strength)));
    }
    if let Some(item) = score {
        return Some((Located::new(Action::Allow, item.span), gain(&item, reader)?));
    }
    match action {
        Some(item) => Some((reader.choice(&item, &ACTIONS)?, Effect::Act)),
        None => {
            let _ = section.require("action", "\"block\"", reader);
            None
        }
    }
}

/// What a rule gives to the score: `"+0.2"` on top, or `">=0.6"` at least.
fn gain(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Effect> {
    let help = "write \"+0.2\" to add to the score, or \">=0.6\" to lift it to at least that";
    let Some(text) = item.value.as_str() else {
        reader.wrong(item, "what a rule gives to the score is a text", "add it, or lift the score to it?", help);
        return None;
    };
    let trimmed = text.trim();
    let title = format!("{} is no gain of a score", quote(text));
    if trimmed.starts_with(['-', '<']) {
        reader.wrong(item, title, "a rule never lowers a score", help);
        return None;
    }
    let number =
        |text: &str| reader::thousandths(text.trim().parse().ok().filter(|number| (0.0..=1.0).contains(number))?);
    let effect = match (trimmed.strip_prefix('+'), trimmed.strip_prefix(">=")) {
        (Some(more), _) => number(more).map(Effect::Add),
        (_, Some(least)) => number(least).map(Effect::Lift),
        _ => None,
    };
    match effect {
        Some(Effect::Add(points) | Effect::Lift(points)) if points == Score::ZERO => {
            reader.wrong(item, title, "changes nothing", help);
            None
        }
        Some(Effect::Add(points)) if points > MOST_ADDED => {
            let help = format!("a rule adds at most {MOST_ADDED}; \">={points}\" lifts the score to at least that");
            reader.wrong(item, title, "too much for one rule", help);
            None
        }
        None => {
            reader.wrong(item, title, "no number from 0 to 1 with a sign", help);
            None
        }
        found => found,
    }
}

/// An expression with its text, and where the text begins in the file; none of it where the text has escapes.
fn expression(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<(Located<Arc<str>>, Program, Option<usize>)> {
    let text = reader.text(item)?;
    let start = reader.start_of_text(item, text.value);
    match machine::compile(text.value) {
        Ok(program) => Some((Located::new(text.value.into(), item.span), program, start)),
        Err(fault) => {
            let Fault { title, at, label, help } = fault;
            let place = start.map_or(item.span, |start| reader::span(item.span.file, start + at.start..start + at.end));
            let label = if start.is_some() {
                label
            } else {
                format!("{}: {label}", quote(text.value.get(at).unwrap_or_default()))
            };
            reader.out.push(Diagnostic::error(title).at(place, label).help(help));
            None
        }
    }
}

/// The most that one rule adds to a score: two doubts more are still no certainty.
const MOST_ADDED: Score = Score::thousandths(500);

fn conditions(mut section: Section<'_>, reader: &mut Reader<'_>) -> When {
    let span = section.span;
    let before = reader.out.entries().len();
    let when = When {
        ip: section.values("ip", reader, network),
        asn: section.values("asn", reader, asn),
        country: section.values("country", reader, |reader, item| {
            reader.parsed::<Country>(item, "a country is its two letters (ISO 3166-1), such as \"DE\"")
        }),
        class: section.values("class", reader, class),
        crawler: section.values("crawler", reader, crawler),
        claim: section.values("claim", reader, |reader, item| {
            Some(reader.choice(item, &Kind::ALL.map(|kind| (kind.name(), kind)))?.value)
        }),
        client_name: section.values("client_name", reader, client_name),
        ja3: section.values("ja3", reader, |reader, item| reader.ja3(item)),
        ja4: section.values("ja4", reader, |reader, item| reader.ja4(item)),
        http2: section.values("http2", reader, http2),
        user: section.values("user", reader, exact),
        api_key: section.values("api_key", reader, exact),
        user_agent: section.values("user_agent", reader, user_agent),
        path: section.values("path", reader, path),
        method: section.values("method", reader, |reader, item| Some(method(reader, item)?.value)),
        header: headers(&mut section, reader),
    };
    for item in section.items().filter(|item| item.value.as_array().is_some_and(|list| list.is_empty())) {
        let help = "take the key out where it does not matter, or name at least one value";
        reader.wrong(&item, format!("{} is an empty list", quote(item.key)), "no request can meet it", help);
    }
    let empty = section.items().next().is_none();
    section.finish(reader);
    if empty && reader.out.entries().len() == before {
        reader.out.push(
            Diagnostic::error("a rule without conditions")
                .at(span, "holds for every request")
                .help("name at least one condition; what is for every request is the route's `thresholds` or `mode`"),
        );
    }
    when
}

pub(super) fn network(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<IpNetwork> {
    let network: IpNetwork =
        reader.parsed(item, "write an address or a network, such as \"192.0.2.7\" or \"2001:db8::/32\"")?;
    if network.ip() != network.network() {
        let title = format!("{} is an address inside a network", quote(&network.to_string()));
        let (base, length) = (network.network(), network.prefix());
        let help = format!("write \"{base}/{length}\" for the network, or \"{}\" for the address", network.ip());
        reader.wrong(item, title, "bits are set behind the prefix", help);
        return None;
    }
    Some(network)
}

fn asn(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Asn> {
    if item.value.is_str() {
        return reader.parsed(item, "write the number, such as 64500");
    }
    Some(Asn(reader.integer(item, 0..=u64::from(u32::MAX))?.value))
}

/// The name of a class of networks.
pub(super) fn class(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<NetworkClass> {
    let known = NetworkClass::ALL.map(|class| (class.name(), class));
    Some(reader.choice(item, &known)?.value)
}

/// What a crawler comes for.
fn crawler(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<CrawlerKind> {
    Some(reader.choice(item, &CrawlerKind::ALL.map(|kind| (kind.name(), kind)))?.value)
}

/// The name of a client, in the words of the audit record.
fn client_name(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<&'static str> {
    let word = reader.text(item)?.value;
    let names: Vec<&'static str> = Claim::known_names().collect();
    let known = names.iter().find(|name| **name == word).copied();
    if known.is_none() {
        // The list is too long to show: its names are those that audit records have.
        let help = nearest(word, &names).map_or_else(
            || "write a `client_name` of the audit records, such as \"curl\", or use `user_agent`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        reader.wrong(item, format!("unknown client {}", quote(word)), "not known here", help);
    }
    known
}

fn user_agent(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<TextPattern> {
    let pattern = text_pattern(reader, item, Case::Insensitive)?;
    let text = item.value.as_str().unwrap_or_default();
    // A bare word is a slip more often than a User-Agent.
    if !text.contains(['*', '/', ' ']) {
        reader.out.push(
            Diagnostic::warning(format!("the pattern {} is for a User-Agent that is exactly this", quote(text)))
                .at(item.span, "no star in it")
                .help(format!("write \"*{text}*\" for every User-Agent that holds it")),
        );
    }
    Some(pattern)
}

fn path(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<TextPattern> {
    let text = reader.text(item)?.value;
    if !text.starts_with(['/', '*']) && !text.is_empty() {
        let title = format!("the path pattern {} matches nothing", quote(text));
        reader.wrong(item, title, "does not begin with `/`", format!("write \"/{text}\" or \"*{text}\""));
        return None;
    }
    if let Some((label, help)) = never_a_path(text) {
        reader.wrong(item, format!("the path pattern {} matches nothing", quote(text)), label, help);
        return None;
    }
    text_pattern(reader, item, Case::Sensitive)
}

/// Why no path in its canonical form is matched by a pattern, and what to write.
fn never_a_path(pattern: &str) -> Option<(&'static str, String)> {
    if pattern.contains('?') {
        let help = "a path has no query: take `?` and all behind it out; an expression asks for `request.query`";
        return Some(("a query is no part of a path", help.to_owned()));
    }
    // Of what stands around a star nobody knows what it is a part of.
    if pattern.contains('*') {
        return None;
    }
    let canonical = CanonicalPath::of(pattern);
    let differs = canonical.ambiguity().is_none() && canonical.as_str() != pattern;
    let help = || format!("paths are compared in their canonical form, which is {}", quote(canonical.as_str()));
    differs.then(|| ("no request has this path", help()))
}

/// The print of an HTTP/2 client: settings, window, priorities and pseudo-headers, with bars between them.
pub(super) fn http2(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Box<str>> {
    let text = reader.text(item)?.value;
    let plain = |letter: char| letter.is_ascii_digit() || ":;,|masp".contains(letter);
    if text.split('|').count() != 4 || !text.chars().all(plain) {
        let help =
            "an HTTP/2 print looks like `1:65536;4:6291456|15663105|0|m,a,s,p`; audit records hold it as `http2`";
        reader.wrong(item, format!("{} is no HTTP/2 print", quote(text)), "not four parts with bars between", help);
        return None;
    }
    Some(text.into())
}

/// A text that is compared as a whole: a user, an API key.
fn exact(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Box<str>> {
    let text = reader.text(item)?.value;
    if text.is_empty() || text.len() > MAX_EXACT_BYTES || text.chars().any(char::is_control) {
        let help = format!("write 1 to {MAX_EXACT_BYTES} bytes on one line; it is compared as a whole");
        reader.wrong(item, format!("{} cannot be met", quote(item.key)), "empty, too long or of many lines", help);
        return None;
    }
    Some(text.into())
}

/// The longest user or API key, in bytes.
const MAX_EXACT_BYTES: usize = 1024;

pub(super) fn text_pattern(reader: &mut Reader<'_>, item: &Item<'_>, case: Case) -> Option<TextPattern> {
    let text = reader.text(item)?;
    match pattern(text.value, case) {
        Ok(pattern) => Some(pattern),
        Err(fault) => {
            let help = "a pattern is for the whole text; `*` stands for any run of characters";
            reader.wrong(item, format!("{} is no pattern", quote(text.value)), fault, help);
            None
        }
    }
}

pub(super) fn headers(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Vec<(HeaderName, TextPattern)> {
    let table = section.take("header").and_then(|item| reader.section(&item, "`header`"));
    let Some(table) = table else { return Vec::new() };
    let items = table.items();
    items
        .filter_map(|item| {
            let Ok(name) = item.key.parse::<HeaderName>() else {
                let title = format!("{} is no header", quote(item.key));
                reader.out.push(
                    Diagnostic::error(title).at(item.key_span, "no name of a header").help("write it as it is sent"),
                );
                return None;
            };
            Some((name, text_pattern(reader, &item, Case::Sensitive)?))
        })
        .collect()
}

/// A date, whose day still counts, or a date and time with an offset; in seconds since 1970.
pub(super) fn until(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<u64> {
    let text = match item.value {
        DeValue::Datetime(value) => value.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => {
            reader.expected(item, "a date");
            return None;
        }
    };
    let time = text.parse::<Timestamp>().ok().or_else(|| end_of_day(&text));
    let Some(second) = time.and_then(|time| u64::try_from(time.as_second()).ok()) else {
        let help = "write a day such as 2026-12-31, or a time with its offset such as 2026-12-31T18:00:00Z";
        reader.wrong(
            item,
            format!("{} is no point in time", quote(&text)),
            "neither a day nor a time with an offset",
            help,
        );
        return None;
    };
    Some(second)
}

fn end_of_day(text: &str) -> Option<Timestamp> {
    // A civil date also reads out of a date and time, which says more than a day.
    let date = text.parse::<Date>().ok().filter(|_| text.len() == "2026-12-31".len())?;
    Some(date.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}
