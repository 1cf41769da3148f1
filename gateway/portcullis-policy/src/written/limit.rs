//! `[[route.limit]]` as written.

use std::sync::Arc;
use std::time::Duration;

use portcullis_signals::{JsonPointer, Strength};

use super::Located;
use super::place::{PLACES, WrittenPlace, pointer};
use super::reader::{Item, Reader, Section};
use super::values::MODES;
use crate::diagnostics::{Diagnostic, Span, quote};
use crate::model::{Action, Bound, Cost, KeyPart, Limit, Mode, OnMissing, Over, PrefixLengths};
use crate::units::{Rate, show};

/// One limit of a route.
#[derive(Debug)]
pub(crate) struct LimitTable {
    pub(crate) name: Located<Arc<str>>,
    pub(crate) key: Vec<Located<WrittenPart>>,
    pub(crate) on_missing: OnMissing,
    pub(crate) count: Located<WrittenCount>,
    pub(crate) cost: Cost,
    /// From the softest action.
    pub(crate) levels: Vec<LevelTable>,
    pub(crate) budget: Option<Located<Arc<str>>>,
    pub(crate) mode: Mode,
}

/// One level of a limit.
#[derive(Clone, Debug)]
pub(crate) struct LevelTable {
    pub(crate) bound: Located<Bound>,
    pub(crate) over: Located<Over>,
}

/// What a limit counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum WrittenCount {
    Requests,
    Failures,
    Bytes,
    Distinct(WrittenPart),
}

/// One part of a limit's key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum WrittenPart {
    /// What needs no place.
    Known(KeyPart),
    /// A place in the request.
    At(WrittenPlace),
    /// `claim:NAME`: a claim of the identified token.
    Claim(JsonPointer),
}

/// What is past a level, before its own values are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doing {
    Score,
    Delay,
    Act(Action),
}

/// The values of a table that levels are made of: the limit's own, or those of a step.
struct LevelKeys<'a> {
    delay: Option<Item<'a>>,
    max_waiting: Option<Item<'a>>,
    strength: Option<Item<'a>>,
}

impl LimitTable {
    pub(super) fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let name = section.require("name", "\"per address\"", reader).and_then(|item| limit_name(&item, reader));
        let key_item = section.require("key", "[\"ip\"]", reader);
        let key = key_item.map(|item| (item, reader.list(&item, key_part)));
        let on_missing = section.take("on_missing").and_then(|item| reader.choice(&item, &OnMissing::NAMED));
        let count = match section.take("count") {
            Some(item) => count(&item, reader),
            None => Some(Located::new(WrittenCount::Requests, section.span)),
        };
        let cost = match section.take("cost") {
            Some(item) => cost(&item, count.as_ref().map(|count| &count.value), reader),
            None => Some(Cost::Units(1)),
        };
        let levels = levels(&mut section, count.as_ref().map(|count| &count.value), reader);
        let budget = section.take("budget").and_then(|item| reader.name(&item));
        let mode = section.take("mode").and_then(|item| reader.choice(&item, &MODES));
        section.finish(reader);
        let (item, key) = key?;
        if key.is_empty() && item.value.as_array().is_some_and(|list| list.is_empty()) {
            reader.wrong(
                &item,
                "a limit without a key",
                "counts nothing",
                "write `key = [\"ip\"]` to count by address",
            );
        }
        let (levels, cost) = (levels?, cost?);
        check_cost(&levels, &cost, reader);
        Some(Self {
            name: name?,
            key,
            on_missing: on_missing.map(|choice| choice.value).unwrap_or_default(),
            count: count?,
            cost,
            levels,
            budget,
            mode: mode.map_or(Mode::Enforce, |mode| mode.value),
        })
    }
}

/// A limit's name stands in the `RateLimit-Policy` header, which holds ASCII (RFC 9651 §3.3.3).
fn limit_name(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Located<Arc<str>>> {
    let name = reader.name(item)?;
    if !name.value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\') {
        let title = format!("{} cannot name a limit", quote(&name.value));
        reader.wrong(item, title, "not plain ASCII", "clients see it in a header: use letters, digits and spaces");
        return None;
    }
    Some(name)
}

fn key_part(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Located<WrittenPart>> {
    let text = reader.text(item)?.value;
    part(text, item, "part of a limit's key", reader).map(|part| Located::new(part, item.span))
}

/// One part by its name; `what` says what it is a part of.
fn part(text: &str, item: &Item<'_>, what: &'static str, reader: &mut Reader<'_>) -> Option<WrittenPart> {
    if let Some((_, known)) = PARTS.iter().find(|(name, _)| *name == text) {
        return Some(WrittenPart::Known(known.clone()));
    }
    if let Some(lengths) = text.strip_prefix("ip/") {
        return prefix(lengths, item, reader).map(|lengths| WrittenPart::Known(KeyPart::Prefix(lengths)));
    }
    let (found, shown) = match text.strip_prefix("claim:") {
        Some(claim) => {
            let claim = claim.trim();
            let pointed = if claim.starts_with('/') { claim.to_owned() } else { format!("/{claim}") };
            (Some(pointer(&pointed).map(WrittenPart::Claim)), "claim")
        }
        None => (WrittenPlace::parse(text).map(|found| found.map(WrittenPart::At)), "place in a request"),
    };
    match found {
        Some(Ok(part)) => Some(part),
        Some(Err((fault, help))) => {
            reader.wrong(item, format!("{} is no {shown}", quote(text)), fault, help);
            None
        }
        None => {
            let names: Vec<_> =
                PARTS.iter().map(|(name, _)| *name).chain(["ip/24/56", "claim:NAME"]).chain(PLACES).collect();
            reader.unknown_word(item.span, what, text, &names);
            None
        }
    }
}

/// `24/56`: how many bits of an IPv4 and of an IPv6 address count.
fn prefix(text: &str, item: &Item<'_>, reader: &mut Reader<'_>) -> Option<PrefixLengths> {
    let mut wrong = |fault: &str, help: String| {
        reader.wrong(item, format!("{} is no prefix", quote(&format!("ip/{text}"))), fault, help);
    };
    let Some((v4, v6)) = text.split_once('/') else {
        let (v4, v6) = match text.parse::<u8>() {
            Ok(bits @ 33..=128) => (24, bits),
            Ok(bits @ 8..=32) => (bits, 56),
            _ => (24, 56),
        };
        wrong("an address is of IPv4 or of IPv6", format!("write the bits of both, of IPv4 first: \"ip/{v4}/{v6}\""));
        return None;
    };
    let bits = |text: &str| text.parse::<u8>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (bits(v4), bits(v6)) {
        (Some(v4 @ 8..=32), Some(v6 @ 16..=128)) => Some(PrefixLengths { v4, v6 }),
        (Some(v4 @ 33..=128), Some(v6 @ 8..=32)) => {
            wrong("the other way round", format!("IPv4 stands first: \"ip/{v6}/{v4}\""));
            None
        }
        _ => {
            wrong("bits that are not there", "of IPv4 write 8 to 32, of IPv6 16 to 128: \"ip/24/56\"".to_owned());
            None
        }
    }
}

fn count(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Located<WrittenCount>> {
    let text = reader.text(item)?.value;
    if let Some(name) = text.strip_prefix("distinct:") {
        let part = part(name.trim(), item, "value to tell apart", reader)?;
        return Some(Located::new(WrittenCount::Distinct(part), item.span));
    }
    match text {
        "requests" => Some(Located::new(WrittenCount::Requests, item.span)),
        "failures" => Some(Located::new(WrittenCount::Failures, item.span)),
        "bytes" => Some(Located::new(WrittenCount::Bytes, item.span)),
        "cost" => {
            let help = "leave `count` out, and say what one request costs: `cost = 5`, or `cost = \"header:x-cost\"`";
            reader.wrong(item, "`cost` is not a thing to count", "counts requests, each by its cost", help);
            None
        }
        "distinct" => {
            let help = "say of what: `count = \"distinct:user\"`";
            reader.wrong(item, "`distinct` needs to know of what", "different what?", help);
            None
        }
        other => {
            let title = format!("unknown value {} for `count`", quote(other));
            let mut fault = Diagnostic::error(title).at(item.span, "not known here");
            if let Some(near) = crate::diagnostics::nearest(other, &COUNTS) {
                fault = fault.help(format!("did you mean `{near}`?"));
            }
            let known = crate::diagnostics::alternatives(&COUNTS);
            reader.out.push(fault.help(format!("known: {known}")));
            None
        }
    }
}

fn cost(item: &Item<'_>, count: Option<&WrittenCount>, reader: &mut Reader<'_>) -> Option<Cost> {
    let (what, help) = match count {
        Some(WrittenCount::Bytes) => ("bytes", "take `cost` out: every byte is one"),
        Some(WrittenCount::Distinct(_)) => ("different values", "take `cost` out: every value is one"),
        Some(WrittenCount::Requests | WrittenCount::Failures) | None => ("", ""),
    };
    if !what.is_empty() {
        reader.wrong(item, format!("a limit of {what} with a cost"), "costs nothing", help);
        return None;
    }
    let Some(text) = item.value.as_str() else {
        return reader.integer(item, 1..=MAX_COST).map(|cost| Cost::Units(cost.value));
    };
    match WrittenPlace::parse(text) {
        Some(Ok(WrittenPlace::Header(name))) => Some(Cost::Header(name)),
        Some(Err((fault, help))) => {
            reader.wrong(item, format!("{} is no cost", quote(text)), fault, help);
            None
        }
        _ => {
            let help = "write a number, or the header in which the origin tells it: \"header:x-cost\"";
            reader.wrong(item, format!("{} is no cost", quote(text)), "neither a number nor a header", help);
            None
        }
    }
}

/// The levels of a limit: of `rate`, `burst` and `concurrency` with one `over`, or of the steps of `over`.
fn levels(section: &mut Section<'_>, count: Option<&WrittenCount>, reader: &mut Reader<'_>) -> Option<Vec<LevelTable>> {
    let (rate, burst, concurrency) = (section.take("rate"), section.take("burst"), section.take("concurrency"));
    let over = section.take("over");
    let keys = LevelKeys::take(section);
    let mut levels = Vec::new();
    if let Some(item) = over.filter(|item| item.value.is_array()) {
        let above = [rate, burst, concurrency, keys.delay, keys.max_waiting, keys.strength];
        for stray in above.into_iter().flatten() {
            reader.wrong(
                &stray,
                format!("{} stands beside steps", quote(stray.key)),
                "for which of them?",
                "put it into the steps of `over`, each with what is its own",
            );
        }
        let steps = reader.list(&item, |reader, item| step(reader, item, count));
        if item.value.as_array().is_some_and(|list| list.is_empty()) {
            reader.wrong(&item, "`over` has no step", "does nothing", "write `over = \"throttle\"`, or name steps");
            return None;
        }
        levels.extend(steps.into_iter().flatten());
    } else {
        let bounds = bounds([rate, burst, concurrency], count, reader);
        if rate.is_none() && concurrency.is_none() {
            section.require("rate", "\"10/1m\"", reader);
        }
        let doing = match over {
            Some(item) => reader.choice(&item, &DOING)?,
            None => Located::new(Doing::Act(Action::Throttle), section.span),
        };
        let over = keys.over(doing, reader)?;
        levels.extend(bounds.into_iter().map(|bound| LevelTable { bound, over }));
    }
    if levels.is_empty() {
        return None;
    }
    if let Some(past) = levels.get(Limit::MAX_LEVELS) {
        let title = format!("a limit with more than {} levels", Limit::MAX_LEVELS);
        let help = "each level is a counter that every request looks at: leave some out, or write a second limit";
        reader.out.push(Diagnostic::error(title).at(past.bound.span, "one too many").help(help));
        return None;
    }
    levels.sort_by_key(|level| level.over.value.hardness());
    check_rise(&levels, reader);
    Some(levels)
}

fn step(reader: &mut Reader<'_>, item: &Item<'_>, count: Option<&WrittenCount>) -> Option<Vec<LevelTable>> {
    let mut section = reader.section(item, "a step")?;
    let (at, burst, concurrency) = (section.take("at"), section.take("burst"), section.take("concurrency"));
    if at.is_none() && concurrency.is_none() {
        section.require("at", "\"10/1m\"", reader);
    }
    let action = section.require("action", "\"throttle\"", reader).and_then(|item| reader.choice(&item, &DOING));
    let keys = LevelKeys::take(&mut section);
    section.finish(reader);
    let bounds = bounds([at, burst, concurrency], count, reader);
    let over = keys.over(action?, reader)?;
    Some(bounds.into_iter().map(|bound| LevelTable { bound, over }).collect())
}

/// The bounds that a rate or several, a burst and a number at the same time give.
fn bounds(
    [rate, burst, concurrency]: [Option<Item<'_>>; 3],
    count: Option<&WrittenCount>,
    reader: &mut Reader<'_>,
) -> Vec<Located<Bound>> {
    let unit = if count == Some(&WrittenCount::Bytes) { Unit::Bytes } else { Unit::Ones };
    let mut rates: Vec<Located<Rate>> = Vec::new();
    if let Some(item) = rate {
        if item.value.is_array() {
            rates = reader.list(&item, |reader, item| unit.rate(item, reader));
            if item.value.as_array().is_some_and(|list| list.is_empty()) {
                let title = format!("{} is an empty list", quote(item.key));
                reader.wrong(&item, title, "admits everything", "name at least one rate, such as \"10/1m\"");
            }
        } else {
            rates.extend(unit.rate(&item, reader));
        }
    }
    for (at, rate) in rates.iter().enumerate() {
        if let Some(before) = rates.iter().take(at).find(|before| before.value.window == rate.value.window) {
            reader.out.push(
                Diagnostic::error(format!("two rates in {}", show(rate.value.window)))
                    .at(rate.span, "again here")
                    .beside(before.span, "first here")
                    .help("the lower one always holds: take the other out, or give each its step in `over`"),
            );
        }
    }
    let burst = burst.and_then(|item| burst_of(&item, &rates, count, reader));
    let mut bounds: Vec<Located<Bound>> = rates
        .into_iter()
        .map(|rate| {
            rate.map(|Rate { count, window }| match burst {
                Some(burst) => Bound::Bucket { limit: count, window, burst },
                None => Bound::Window { limit: count, window },
            })
        })
        .collect();
    if let Some(item) = concurrency {
        if matches!(count, None | Some(WrittenCount::Requests)) {
            let limit = reader.integer(&item, 1..=u64::from(u32::MAX));
            bounds.extend(limit.map(|limit| limit.map(|limit| Bound::Concurrent { limit })));
        } else {
            let help = "only requests are under way at the same time: leave `count` out, or write a limit of its own";
            reader.wrong(&item, "`concurrency` of what is no request", "cannot be counted", help);
        }
    }
    bounds
}

fn burst_of(
    item: &Item<'_>,
    rates: &[Located<Rate>],
    count: Option<&WrittenCount>,
    reader: &mut Reader<'_>,
) -> Option<u32> {
    let (title, help) = match (rates, count) {
        (_, Some(WrittenCount::Distinct(_))) => {
            ("different values do not come in a burst", "take `burst` out: a window counts them")
        }
        (_, Some(WrittenCount::Bytes)) => {
            ("bytes have no burst", "take `burst` out: a window counts them, and admits the whole rate at once")
        }
        ([], _) => ("`burst` without a rate", "say how fast the bucket fills: `rate = \"10/1m\"`"),
        ([_], _) => return reader.integer(item, 1..=u64::from(u32::MAX)).map(|burst| burst.value),
        _ => ("`burst` beside several rates", "write a limit for each rate, or steps: each may have its `burst`"),
    };
    reader.wrong(item, title, "a bucket holds so much at once, and fills at one rate", help);
    None
}

/// What a rate counts.
#[derive(Clone, Copy)]
enum Unit {
    Ones,
    Bytes,
}

impl Unit {
    fn rate(self, item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Located<Rate>> {
        match self {
            Self::Ones => reader.rate(item),
            Self::Bytes => reader.byte_rate(item),
        }
    }
}

impl<'a> LevelKeys<'a> {
    fn take(section: &mut Section<'a>) -> Self {
        Self {
            delay: section.take("delay"),
            max_waiting: section.take("max_waiting"),
            strength: section.take("strength"),
        }
    }

    fn over(&self, doing: Located<Doing>, reader: &mut Reader<'_>) -> Option<Located<Over>> {
        let strays = match doing.value {
            Doing::Score => [self.delay, self.max_waiting, None],
            Doing::Delay => [self.strength, None, None],
            Doing::Act(_) => [self.delay, self.max_waiting, self.strength],
        };
        for stray in strays.into_iter().flatten() {
            let owner = if stray.key == "strength" { "score" } else { "delay" };
            reader.wrong(
                &stray,
                format!("{} without the action `{owner}`", quote(stray.key)),
                "says nothing here",
                format!("take it out, or write `{owner}` for what is done"),
            );
        }
        let over = match doing.value {
            Doing::Act(action) => Over::Act(action),
            Doing::Score => {
                let strength = self.strength.map(|item| reader.score(&item));
                let strength = match strength {
                    Some(read) => read?.value.as_thousandths().into(),
                    None => 1000,
                };
                Over::Score(Strength::thousandths(strength))
            }
            Doing::Delay => {
                let at_most = match self.delay {
                    Some(item) => reader.duration(&item, MAX_DELAY)?.value,
                    None => DELAY,
                };
                let max_waiting = match self.max_waiting {
                    Some(item) => reader.integer(&item, 1..=MAX_WAITING)?.value,
                    None => WAITING,
                };
                Over::Delay { at_most, max_waiting }
            }
        };
        Some(Located::new(over, doing.span))
    }
}

/// Reports a harder action that comes no later than a milder one in the same window.
fn check_rise(levels: &[LevelTable], reader: &mut Reader<'_>) {
    for (at, harder) in levels.iter().enumerate() {
        let same = |level: &&LevelTable| {
            std::mem::discriminant(&level.bound.value) == std::mem::discriminant(&harder.bound.value)
                && level.bound.value.rate_window() == harder.bound.value.rate_window()
        };
        let milder = levels.iter().take(at).filter(same).find(|milder| {
            milder.over.value.hardness() < harder.over.value.hardness()
                && milder.bound.value.limit() >= harder.bound.value.limit()
        });
        let Some(milder) = milder else { continue };
        let (soft, hard) = (milder.over.value.name(), harder.over.value.name());
        let title = format!("a limit says `{hard}` no later than `{soft}`");
        reader.out.push(
            Diagnostic::error(title)
                .at(harder.bound.span, format!("not above {}", milder.bound.value.limit()))
                .beside(milder.bound.span, format!("`{soft}` begins here"))
                .help(format!("raise where it says `{hard}`, or take `{soft}` out: it never comes to it")),
        );
    }
}

/// Reports a cost that a level never admits.
fn check_cost(levels: &[LevelTable], cost: &Cost, reader: &mut Reader<'_>) {
    let Cost::Units(units) = cost else { return };
    let counts = |level: &&LevelTable| !matches!(level.bound.value, Bound::Concurrent { .. });
    for level in levels.iter().filter(counts).filter(|level| level.bound.value.limit() < *units) {
        reader.out.push(
            Diagnostic::error("a limit that admits nothing")
                .at(level.bound.span, format!("less than the {units} that one request costs"))
                .help("raise it, or lower `cost`"),
        );
    }
}

impl LimitTable {
    /// The actions of its levels with where they stand.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (Action, Span)> {
        self.levels.iter().filter_map(|level| match level.over.value {
            Over::Act(action) => Some((action, level.over.span)),
            Over::Score(_) | Over::Delay { .. } => None,
        })
    }
}

const PARTS: [(&str, KeyPart); 20] = [
    ("ip", KeyPart::Ip),
    ("ip_prefix", KeyPart::IpPrefix),
    ("asn", KeyPart::Asn),
    ("country", KeyPart::Country),
    ("ja3", KeyPart::Ja3),
    ("ja4", KeyPart::Ja4),
    ("http2", KeyPart::Http2),
    ("user_agent", KeyPart::UserAgent),
    ("client", KeyPart::Client),
    ("header_order", KeyPart::HeaderOrder),
    ("user", KeyPart::User),
    ("account", KeyPart::Account),
    ("api_key", KeyPart::ApiKey),
    ("session", KeyPart::Session),
    ("device", KeyPart::Device),
    ("token", KeyPart::Token),
    ("route", KeyPart::Route),
    ("host", KeyPart::Host),
    ("method", KeyPart::Method),
    ("path", KeyPart::Path),
];

const COUNTS: [&str; 4] = ["requests", "failures", "bytes", "distinct:user"];

pub(super) const DOING: [(&str, Doing); 6] = [
    ("score", Doing::Score),
    ("delay", Doing::Delay),
    ("throttle", Doing::Act(Action::Throttle)),
    ("challenge", Doing::Act(Action::Challenge)),
    ("block", Doing::Act(Action::Block)),
    ("ban", Doing::Act(Action::Ban)),
];

/// How long a request waits at most, where nothing is said.
const DELAY: Duration = Duration::from_secs(2);

/// The longest wait that may be written: past it clients give up and ask again.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(30);

/// How many requests of a limit may be waiting, where nothing is said.
const WAITING: u32 = 100;

/// The most that may be written: each holds a connection and its memory.
pub(crate) const MAX_WAITING: u64 = 10_000;

/// The highest cost of one request that may be written.
pub(crate) const MAX_COST: u64 = 1_000_000;
