//! From what is written to what is meant. Every fault is told at once.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, Method};
use portcullis_intel::NetworkClass;
use portcullis_policy::{Diagnostic, Diagnostics, SourceFile, Span, Style};
use toml::Spanned;

use super::{Arrivals, Bar, Clients, Intent, Moves, Prints, Request, Scenario, Users};
use crate::commands::explain::captured::Kind;
use crate::commands::simulate::networks::{self, Networks};
use crate::commands::simulate::stacks::Stacks;
use crate::commands::simulate::text::{PLACES, Text};
use crate::commands::simulate::units::{LENGTH, PACE, apart, length};
use crate::commands::simulate::written::{
    AnswerTable, ClientsTable, ExpectTable, FileTable, NetworkTable, RequestTable, StackTable, UsersTable,
};
use crate::settings::quote;

/// Why a scenario cannot be played.
#[derive(Debug)]
pub(in crate::commands::simulate) enum ScenarioFault {
    /// A text for people.
    Told(String),
    /// Everything that is wrong in a file.
    Faulty(Diagnostics),
}

impl ScenarioFault {
    /// What is wrong, as text for people; ends in a line feed.
    pub(in crate::commands::simulate) fn render(&self, style: Style) -> String {
        match self {
            Self::Told(text) => format!("error: {text}\n"),
            Self::Faulty(faults) => faults.render(style),
        }
    }
}

/// Reads a scenario and what it names.
///
/// # Errors
///
/// Where a file cannot be read, or something in one is wrong.
pub(in crate::commands::simulate) fn load(path: &Path) -> Result<Scenario, ScenarioFault> {
    let mut stage = Stage::default();
    let main = Reader::open(path)?;
    let table = main.table()?;
    let mut reader = main;
    let name = reader.wanted(table.name.as_ref(), "name").map(|name| name.get_ref().clone());
    let lasts = reader.wanted(table.lasts.as_ref(), "lasts").and_then(|lasts| reader.length(lasts));
    if let Some(captures) = &table.captures {
        stage.read_captures(&reader.beside(captures.get_ref()))?;
    }
    if let Some(background) = &table.background {
        let mut other = Reader::open(&reader.beside(background.get_ref()))?;
        let background = other.table()?;
        if let Some(captures) = &background.captures {
            stage.read_captures(&other.beside(captures.get_ref()))?;
        }
        other.add(&background, lasts.unwrap_or_default(), &mut stage);
        other.done()?;
    }
    reader.add(&table, lasts.unwrap_or_default(), &mut stage);
    reader.done()?;
    Ok(Scenario {
        name: name.unwrap_or_default(),
        seed: table.seed,
        lasts: lasts.unwrap_or_default(),
        intel: stage.networks.intel().map_err(ScenarioFault::Told)?,
        stacks: stage.stacks,
        kinds: stage.kinds,
    })
}

/// Who and what there is so far.
#[derive(Default)]
struct Stage {
    stacks: Stacks,
    networks: Networks,
    kinds: Vec<Clients>,
}

impl Stage {
    fn read_captures(&mut self, path: &Path) -> Result<(), ScenarioFault> {
        let text = read(path)?;
        self.stacks = Stacks::of_captures(&text).map_err(|(line, fault)| {
            ScenarioFault::Told(format!("line {line} of {}: {fault}", quote(&path.display().to_string())))
        })?;
        Ok(())
    }
}

/// One file, and what is wrong in it.
struct Reader {
    path: PathBuf,
    text: String,
    faults: Diagnostics,
}

/// The largest file, in bytes: captures of some dozens of stacks.
const MAX_BYTES: u64 = 16 << 20;

fn read(path: &Path) -> Result<String, ScenarioFault> {
    let told =
        |what: String| ScenarioFault::Told(format!("cannot read {}: {what}", quote(&path.display().to_string())));
    let length = fs::metadata(path).map_err(|error| told(error.to_string()))?.len();
    if length > MAX_BYTES {
        return Err(told(format!("it has more than {MAX_BYTES} bytes")));
    }
    fs::read_to_string(path).map_err(|error| told(error.to_string()))
}

impl Reader {
    fn open(path: &Path) -> Result<Self, ScenarioFault> {
        let text = read(path)?;
        let file = SourceFile::new(path.display().to_string(), text.clone());
        Ok(Self { path: path.to_owned(), text, faults: Diagnostics::of([file].into()) })
    }

    fn table(&self) -> Result<FileTable, ScenarioFault> {
        toml::from_str(&self.text).map_err(|error: toml::de::Error| {
            let mut faults = self.faults.clone();
            let fault = Diagnostic::error("the scenario cannot be read");
            faults.push(fault.at(span(error.span().unwrap_or(0..0)), error.message()));
            ScenarioFault::Faulty(faults)
        })
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    fn done(self) -> Result<(), ScenarioFault> {
        if self.faults.has_errors() { Err(ScenarioFault::Faulty(self.faults)) } else { Ok(()) }
    }

    fn fault(&mut self, title: String, at: Range<usize>, label: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Diagnostic::error(title).at(span(at), label).help(help));
    }

    fn wrong<T>(&mut self, value: &Spanned<T>, what: &str, help: impl Into<String>) {
        self.fault(format!("expected {what}"), value.span(), "this is none", help);
    }

    fn wanted<'a, T>(&mut self, value: Option<&'a Spanned<T>>, key: &str) -> Option<&'a Spanned<T>> {
        if value.is_none() {
            self.fault(format!("the scenario has no `{key}`"), 0..0, "in this file", format!("write `{key} = \"…\"`"));
        }
        value
    }

    fn length(&mut self, text: &Spanned<String>) -> Option<Duration> {
        let read = length(text.get_ref());
        if read.is_none() {
            self.wrong(text, LENGTH, "as in `lasts = \"2h\"`");
        }
        read
    }

    /// The one of these whose name is written.
    fn named<T: Copy>(&mut self, written: &Spanned<String>, all: &[(&str, T)]) -> Option<T> {
        let found = all.iter().find(|(name, _)| name == written.get_ref()).map(|(_, one)| *one);
        if found.is_none() {
            let names: Vec<_> = all.iter().map(|(name, _)| quote(name)).collect();
            self.wrong(written, &format!("one of {}", names.join(", ")), "write one of these");
        }
        found
    }

    fn text(&mut self, written: &Spanned<String>) -> Option<Text> {
        Text::parse(written.get_ref())
            .map_err(|place| {
                self.fault(format!("there is no place {}", quote(&place)), written.span(), "here", {
                    format!("the places are {PLACES}")
                });
            })
            .ok()
    }

    fn share(&mut self, written: &Spanned<f64>) -> f64 {
        if !(0.0..=1.0).contains(written.get_ref()) {
            self.wrong(written, "a share from 0 to 1", "as in `0.25`");
        }
        *written.get_ref()
    }

    fn add(&mut self, table: &FileTable, lasts: Duration, stage: &mut Stage) {
        for stack in &table.stack {
            self.add_stack(stack, &mut stage.stacks);
        }
        for network in &table.network {
            self.add_network(network, &mut stage.networks);
        }
        for clients in &table.clients {
            if let Some(clients) = self.clients(clients, lasts, stage) {
                stage.kinds.push(clients);
            }
        }
    }

    fn add_stack(&mut self, table: &StackTable, stacks: &mut Stacks) {
        if stacks.find(table.name.get_ref()).is_some() {
            let name = quote(table.name.get_ref());
            self.fault(format!("there are two stacks {name}"), table.name.span(), "the second", "rename one");
        } else if stacks.add_like(table.name.get_ref(), table.like.get_ref(), &table.headers, &table.without).is_none()
        {
            self.unknown("stack", &table.like, stacks.names());
        }
    }

    fn add_network(&mut self, table: &NetworkTable, networks: &mut Networks) {
        let mut classes = Vec::new();
        for class in &table.class {
            let all = NetworkClass::ALL.map(|class| (class.name(), class));
            classes.extend(self.named(class, &all));
        }
        if networks.find(table.name.get_ref()).is_some() || networks.len() >= networks::MOST {
            let what = format!("a network of another name, and at most {} networks", networks::MOST);
            self.wrong(&table.name, &what, "rename it, or leave it out");
            return;
        }
        let name = table.name.get_ref().clone();
        let Some(prefix) = &table.prefix else { return networks.add(name, table.asn, classes) };
        let read = prefix.get_ref().split_once('/').and_then(|(address, bits)| {
            let bits: u8 = bits.parse().ok()?;
            address.parse().ok().filter(|_| (24..=32).contains(&bits))
        });
        match read {
            Some(address) => networks.add_at(name, table.asn, classes, address),
            None => self.wrong(prefix, "an IPv4 network from /24 to /32", "as in `198.51.100.0/28`"),
        }
    }

    fn unknown<'a>(&mut self, what: &str, name: &Spanned<String>, known: impl Iterator<Item = &'a str>) {
        let known: Vec<_> = known.map(quote).collect();
        let known =
            if known.is_empty() { "there is none".to_owned() } else { format!("there are {}", known.join(", ")) };
        self.fault(format!("there is no {what} {}", quote(name.get_ref())), name.span(), "named here", known);
    }

    fn clients(&mut self, table: &ClientsTable, lasts: Duration, stage: &mut Stage) -> Option<Clients> {
        if stage.kinds.iter().any(|kind| kind.name == *table.name.get_ref()) {
            self.wrong(&table.name, "clients of another name", "rename them");
        }
        let intent = if table.honest { Intent::Honest } else { Intent::Attack };
        let count = self.at_least_one(Some(&table.count), 1);
        let addresses = self.at_least_one(table.addresses.as_ref(), count);
        let per_prefix = self.at_least_one(table.per_prefix.as_ref(), 1);
        if let Some(written) = table.per_prefix.as_ref().filter(|_| per_prefix > 250) {
            self.wrong(written, "at most 250 addresses", "a /24 has no more of use");
        }
        let mut dealt = Vec::new();
        for name in &table.networks {
            match stage.networks.find(name.get_ref()) {
                Some(network) => dealt.push(network),
                None => self.unknown("network", name, stage.networks.names()),
            }
        }
        let mut stacks = Vec::new();
        for name in &table.stacks {
            match stage.stacks.find(name.get_ref()) {
                Some(stack) => stacks.push(stack),
                None => self.unknown("stack", name, stage.stacks.names()),
            }
        }
        if stacks.is_empty() || dealt.is_empty() {
            self.wrong(&table.name, "clients with a stack and a network", "name some in `stacks` and `networks`");
            return None;
        }
        let addresses = stage.networks.deal(&dealt, addresses, per_prefix.clamp(1, 250)).or_else(|| {
            let most = networks::PREFIXES;
            self.wrong(
                &table.name,
                &format!("at most {most} prefixes of each network"),
                "spread them over more networks",
            );
            None
        })?;
        let requests: Vec<_> =
            table.request.iter().filter_map(|request| self.request(request, &stacks, stage)).collect();
        if requests.is_empty() {
            self.wrong(&table.name, "clients with requests", "add `[[clients.request]]`");
        }
        let apart = apart(table.pace.get_ref());
        if apart.is_none() {
            self.wrong(&table.pace, PACE, "as in `pace = \"2/1h\"`");
        }
        let hours = table.hours.as_ref().map(|hours| {
            let [from, until] = *hours.get_ref();
            if from >= until || until > 24 {
                self.wrong(hours, "two hours from 0 to 24, the first before the second", "as in `[8, 18]`");
            }
            (u64::from(from), u64::from(until))
        });
        Some(Clients {
            name: table.name.get_ref().clone(),
            intent,
            count,
            addresses,
            moves: self.or(&table.moves, &[("keep", Moves::Keep), ("each_visit", Moves::EachVisit)], Moves::Keep),
            stacks,
            prints: self.or(&table.prints, &[("stack", Prints::Stack), ("client", Prints::Client)], Prints::Stack),
            users: table.users.as_ref().map_or(Users::Own, |users| self.users(users)),
            from: table.from.as_ref().and_then(|from| self.length(from)).unwrap_or_default(),
            until: table.until.as_ref().and_then(|until| self.length(until)).unwrap_or(lasts),
            apart: apart?,
            arrivals: self.or(
                &table.arrivals,
                &[("even", Arrivals::Even), ("random", Arrivals::Random)],
                Arrivals::Even,
            ),
            hours,
            gap: table.gap.as_ref().and_then(|gap| self.length(gap)).unwrap_or(Duration::from_secs(1)),
            requests,
            bar: table.expect.as_ref().map_or(intent.bar(), |expect| self.bar(expect, intent)),
        })
    }

    fn at_least_one(&mut self, written: Option<&Spanned<u32>>, without: u32) -> u32 {
        let Some(written) = written else { return without };
        if *written.get_ref() == 0 || *written.get_ref() > MOST_CLIENTS {
            self.wrong(written, &format!("a number from 1 to {MOST_CLIENTS}"), "write how many");
        }
        (*written.get_ref()).clamp(1, MOST_CLIENTS)
    }

    fn or<T: Copy>(&mut self, written: &Option<Spanned<String>>, all: &[(&str, T)], without: T) -> T {
        written.as_ref().and_then(|written| self.named(written, all)).unwrap_or(without)
    }

    fn users(&mut self, table: &UsersTable) -> Users {
        let of = table.of.unwrap_or(0);
        let all = [("own", Users::Own), ("new", Users::New), ("next", Users::Next(of)), ("any", Users::Any(of))];
        let users = self.named(&table.which, &all).unwrap_or(Users::Own);
        if matches!(users, Users::Next(0) | Users::Any(0)) {
            self.wrong(&table.which, "how many users there are", "write `of = 1000` beside it");
        }
        users
    }

    fn bar(&mut self, table: &Spanned<ExpectTable>, intent: Intent) -> Bar {
        let at = table.span();
        let written = table.get_ref();
        let usual = intent.bar();
        let (share, other, help) = match intent {
            Intent::Honest => (written.at_most, written.at_least, "honest clients have `at_most`"),
            Intent::Attack => (written.at_least, written.at_most, "attackers have `at_least`"),
        };
        let after = written.after.as_deref().map(length);
        if other.is_some() || after == Some(None) || !(0.0..=1.0).contains(&share.unwrap_or(0.0)) {
            self.fault("expected a share from 0 to 1, and a length of time".to_owned(), at, "this is none", help);
        }
        // Who states a time means it instead of the first requests.
        let first = if after.is_some() { 0 } else { usual.after_requests };
        Bar {
            share: share.unwrap_or(usual.share),
            after_requests: written.after_requests.unwrap_or(first),
            after: after.flatten().unwrap_or(usual.after),
        }
    }

    fn request(&mut self, table: &RequestTable, stacks: &[usize], stage: &Stage) -> Option<Request> {
        let kinds = [Kind::Page, Kind::Api, Kind::Login].map(|kind| (kind.name(), kind));
        let like = self.named(&table.like, &kinds)?;
        for stack in stacks.iter().filter_map(|at| stage.stacks.stack(*at)) {
            if stack.template(like).is_none() {
                let what = format!("a request that stack {} was captured with", quote(&stack.name));
                self.wrong(&table.like, &what, "capture one, or take another stack");
            }
        }
        let usual = if like == Kind::Login { Method::POST } else { Method::GET };
        let method = table.method.as_ref().map_or(Some(usual), |method| {
            let read = method.get_ref().parse().ok();
            if read.is_none() {
                self.wrong(method, "a method such as `POST`", "write one in capitals");
            }
            read
        });
        if !table.path.get_ref().starts_with('/') {
            self.wrong(&table.path, "a path that begins with `/`", "as in `/api/v1/items/{any:1000}`");
        }
        let (answers, answer) = self.answers(&table.answer);
        Some(Request {
            like,
            method: method?,
            path: self.text(&table.path)?,
            headers: self.fields(&table.headers, |name| HeaderName::from_bytes(name.as_bytes()).is_ok()),
            body: self.fields(&table.body, |_| true),
            chance: table.chance.as_ref().map_or(1.0, |chance| self.share(chance)),
            times: table.times.unwrap_or(1).min(MOST_CLIENTS),
            answers,
            answer,
        })
    }

    fn fields(
        &mut self,
        written: &BTreeMap<String, Spanned<String>>,
        is_name: impl Fn(&str) -> bool,
    ) -> Vec<(String, Text)> {
        let mut fields = Vec::new();
        for (name, value) in written {
            if !is_name(name) {
                self.wrong(value, "a header's name before it", "as in `x-api-key`");
            }
            fields.extend(self.text(value).map(|text| (name.clone(), text)));
        }
        fields
    }

    fn answers(&mut self, tables: &[AnswerTable]) -> (Vec<(f64, u16)>, u16) {
        let Some((last, before)) = tables.split_last() else { return (Vec::new(), 200) };
        let mut sum = 0.0;
        let mut answers = Vec::new();
        for table in before {
            if let Some(share) = &table.share {
                sum += self.share(share);
                if sum > 1.0 {
                    self.wrong(share, "shares of at most 1 together", "make one smaller");
                }
            }
            answers.push((sum, table.status));
        }
        (answers, last.status)
    }
}

/// How many clients of a kind there may be: more do not tell more, and take long.
const MOST_CLIENTS: u32 = 100_000;

fn span(at: Range<usize>) -> Span {
    // Files are bounded, so every offset fits.
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file: 0, start: offset(at.start), end: offset(at.end) }
}
