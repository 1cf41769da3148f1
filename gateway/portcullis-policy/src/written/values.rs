//! The keys that `[defaults]` and a `[[route]]` share.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnetwork::IpNetwork;
use portcullis_intel::NetworkClass;
use portcullis_signals::{Group, JsonPointer, NoPointer, SignalId};
use toml::de::DeValue;

use super::Located;
use super::place::{WrittenPlace, place};
use super::reader::{Item, Reader, Section};
use super::rule::{headers, network, text_pattern};
use crate::diagnostics::{Diagnostic, quote};
use crate::model::{Action, AmbiguousPaths, Case, Clients, JsonTest, Mode, Print, Sensitivity, TextPattern};
use crate::presets::{MAX_BAN_TTL, MAX_CLEARANCE_TTL, MAX_DIFFICULTY_BITS, MAX_PUZZLE_COUNT, Preset, Profile};
use crate::score::Score;

/// What a route says of itself, or `[defaults]` of all routes; what is absent is said by the layer below.
#[derive(Debug, Default)]
pub(crate) struct RouteValues {
    pub(crate) origin: Option<Located<Arc<str>>>,
    pub(crate) preset: Option<Located<Preset>>,
    pub(crate) sensitivity: Option<Located<Sensitivity>>,
    pub(crate) mode: Option<Located<Mode>>,
    pub(crate) clients: Option<Located<Clients>>,
    /// `throttle`, `challenge`, `block`, `ban`; none inside is `"off"`.
    pub(crate) thresholds: [Option<Located<Option<Score>>>; 4],
    pub(crate) throttle_per_minute: Option<Located<u32>>,
    pub(crate) difficulty_bits: Option<Located<u8>>,
    pub(crate) puzzle_count: Option<Located<u16>>,
    pub(crate) usual_per_address: Option<Located<u32>>,
    pub(crate) usual_per_prefix: Option<Located<u32>>,
    pub(crate) usual_failed_users: Option<Located<u32>>,
    pub(crate) usual_networks: Option<Located<u32>>,
    pub(crate) usual_paths: Option<Located<u32>>,
    pub(crate) usual_missing_paths: Option<Located<u32>>,
    pub(crate) usual_sequence: Option<Located<u32>>,
    pub(crate) weighing: Weighing,
    pub(crate) profile: Option<Located<Profile>>,
    pub(crate) filters: Vec<FilterEntry>,
    pub(crate) failure: Option<FailureTable>,
    pub(crate) user: Option<Located<WrittenPlace>>,
    pub(crate) account: Option<Located<WrittenPlace>>,
    pub(crate) api_key: Option<Located<WrittenPlace>>,
    pub(crate) session: Option<Located<WrittenPlace>>,
    pub(crate) device: Option<Located<WrittenPlace>>,
    pub(crate) token: Option<Located<WrittenPlace>>,
    pub(crate) inspect_body_bytes: Option<Located<u32>>,
    /// `elevated`, `under_attack`.
    pub(crate) posture: [TighteningTable; 2],
    pub(crate) max_body_bytes: Option<Located<u64>>,
    pub(crate) clearance_ttl: Option<Located<Duration>>,
    pub(crate) ban_ttl: Option<Located<Duration>>,
    pub(crate) ambiguous_paths: Option<Located<AmbiguousPaths>>,
    pub(crate) tell_origin: Option<Vec<Print>>,
    pub(crate) tell_shadow: Option<Vec<IpNetwork>>,
}

/// What counts as failed.
#[derive(Debug, Default)]
pub(crate) struct FailureTable {
    pub(crate) status: Vec<u16>,
    pub(crate) header: Vec<(HeaderName, TextPattern)>,
    pub(crate) json: Vec<(JsonPointer, JsonTest)>,
}

/// How far a posture tightens thresholds.
#[derive(Debug, Default)]
pub(crate) struct TighteningTable {
    /// The share that is taken off them.
    pub(crate) tighten: Option<Located<Score>>,
    /// As those of the route.
    pub(crate) thresholds: [Option<Located<Option<Score>>>; 4],
}

/// What one class of network gets.
#[derive(Debug)]
pub(crate) struct FilterEntry {
    pub(crate) class: NetworkClass,
    pub(crate) toggle: Located<Toggle>,
    pub(crate) mode: Mode,
}

/// How far a class of network matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Toggle {
    /// Not at all.
    Off,
    /// It counts for the score.
    Score,
    /// It counts for the score, and this is done.
    Act(Action),
}

/// Weights, caps and credit.
#[derive(Debug, Default)]
pub(crate) struct Weighing {
    pub(crate) signals: Vec<(SignalId, Located<Score>, Mode)>,
    pub(crate) caps: Vec<(Group, Located<Score>)>,
    pub(crate) connection_cap: Option<Located<Score>>,
    pub(crate) clearance: Option<Located<Score>>,
    pub(crate) history: Option<Located<Score>>,
}

/// The cap that is of two groups.
const CONNECTION: &str = "connection";

/// The names of the thresholds, in the order in which they rise.
pub(crate) const THRESHOLDS: [&str; 4] = ["throttle", "challenge", "block", "ban"];

pub(super) const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("monitor", Mode::Monitor)];

impl RouteValues {
    /// Reads the shared keys of a table.
    pub(super) fn read(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Self {
        let mut values = Self {
            origin: section.take("origin").and_then(|item| reader.name(&item)),
            preset: section.take("preset").and_then(|item| reader.choice(&item, &Preset::NAMED)),
            profile: section.take("profile").and_then(|item| reader.choice(&item, &Profile::NAMED)),
            sensitivity: section.take("sensitivity").and_then(|item| reader.choice(&item, &SENSITIVITIES)),
            mode: section.take("mode").and_then(|item| reader.choice(&item, &MODES)),
            clients: section.take("clients").and_then(|item| reader.choice(&item, &CLIENTS)),
            throttle_per_minute: section.take("throttle_rate").and_then(|item| reader.per_minute(&item)),
            max_body_bytes: section.take("max_body_bytes").and_then(|item| reader.integer(&item, 0..=MAX_BODY)),
            clearance_ttl: section.take("clearance_ttl").and_then(|item| reader.duration(&item, MAX_CLEARANCE_TTL)),
            ban_ttl: section.take("ban_ttl").and_then(|item| reader.duration(&item, MAX_BAN_TTL)),
            inspect_body_bytes: section
                .take("inspect_body_bytes")
                .and_then(|item| reader.integer(&item, 1..=MAX_INSPECTED)),
            ambiguous_paths: section.take("ambiguous_paths").and_then(|item| reader.choice(&item, &AMBIGUOUS)),
            tell_shadow: section.take("tell_shadow").map(|item| reader.values(&item, network)),
            tell_origin: section.take("tell_origin").map(|item| reader.list(&item, |reader, item| print(item, reader))),
            ..Self::default()
        };
        values.weighing.read(section, reader);
        values.read_tables(section, reader);
        values
    }

    fn read_tables(&mut self, section: &mut Section<'_>, reader: &mut Reader<'_>) {
        self.thresholds = thresholds(section, reader);
        if let Some(mut table) = sub(section, reader, "puzzle", "`puzzle`") {
            let (bits, count) = (u64::from(MAX_DIFFICULTY_BITS), u64::from(MAX_PUZZLE_COUNT));
            self.difficulty_bits = table.take("difficulty_bits").and_then(|item| reader.integer(&item, 1..=bits));
            self.puzzle_count = table.take("count").and_then(|item| reader.integer(&item, 1..=count));
            table.finish(reader);
        }
        if let Some(mut table) = sub(section, reader, "usual", "`usual`") {
            self.usual_per_address = table.take("per_address").and_then(|item| reader.per_minute(&item));
            self.usual_per_prefix = table.take("per_prefix").and_then(|item| reader.per_minute(&item));
            let mut number = |key| table.take(key).and_then(|item| reader.integer(&item, 1..=u64::from(u32::MAX)));
            self.usual_failed_users = number("failed_users");
            self.usual_networks = number("networks");
            self.usual_paths = number("paths");
            self.usual_missing_paths = number("missing_paths");
            self.usual_sequence = number("sequence");
            table.finish(reader);
        }
        if let Some(table) = sub(section, reader, "filters", "`filters`") {
            self.filters = table.items().filter_map(|item| filter(&item, reader)).collect();
        }
        if let Some(table) = sub(section, reader, "failure", "`failure`") {
            self.failure = Some(FailureTable::read(table, reader));
        }
        if let Some(mut table) = sub(section, reader, "identify", "`identify`") {
            for (key, slot) in [
                ("user", &mut self.user),
                ("account", &mut self.account),
                ("api_key", &mut self.api_key),
                ("session", &mut self.session),
                ("device", &mut self.device),
                ("token", &mut self.token),
            ] {
                *slot = table.take(key).and_then(|item| place(&item, reader));
            }
            table.finish(reader);
        }
        if let Some(item) = section.take("posture") {
            self.posture = posture(&item, reader);
        }
    }
}

impl Weighing {
    /// Reads the tables `weights`, `caps` and `credit` of `section`.
    pub(super) fn read(&mut self, section: &mut Section<'_>, reader: &mut Reader<'_>) {
        if let Some(table) = sub(section, reader, "weights", "`weights`") {
            let names: Vec<_> = SignalId::ALL.iter().map(|signal| signal.name()).collect();
            for item in table.items() {
                match item.key.parse::<SignalId>() {
                    Ok(signal) => {
                        self.signals.extend(weight(&item, reader).map(|(weight, mode)| (signal, weight, mode)))
                    }
                    Err(_) => reader.unknown_word(item.key_span, "signal", item.key, &names),
                }
            }
        }
        if let Some(table) = sub(section, reader, "caps", "`caps`") {
            let names: Vec<_> = Group::ALL.map(Group::name).into_iter().chain([CONNECTION]).collect();
            for item in table.items() {
                if item.key == CONNECTION {
                    self.connection_cap = reader.score(&item);
                    continue;
                }
                match Group::ALL.into_iter().find(|group| group.name() == item.key) {
                    Some(group) => self.caps.extend(reader.score(&item).map(|cap| (group, cap))),
                    None => reader.unknown_word(item.key_span, "group", item.key, &names),
                }
            }
        }
        if let Some(mut table) = sub(section, reader, "credit", "`credit`") {
            self.clearance = table.take("clearance").and_then(|item| reader.score(&item));
            self.history = table.take("history").and_then(|item| reader.score(&item));
            table.finish(reader);
        }
    }

    /// Puts `other` over this.
    pub(super) fn append(&mut self, other: Self) {
        self.signals.extend(other.signals);
        self.caps.extend(other.caps);
        self.connection_cap = other.connection_cap.or(self.connection_cap);
        self.clearance = other.clearance.or(self.clearance);
        self.history = other.history.or(self.history);
    }
}

/// `ua-tool = 0.3`, or `ua-tool = { weight = 0.3, mode = "monitor" }`.
fn weight(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<(Located<Score>, Mode)> {
    if !item.value.is_table() {
        return Some((reader.score(item)?, Mode::Enforce));
    }
    let mut table = reader.section(item, "a weight")?;
    let weight = table.require("weight", "0.30", reader).and_then(|item| reader.score(&item));
    let mode = table.take("mode").and_then(|item| reader.choice(&item, &MODES));
    table.finish(reader);
    Some((weight?, mode.map_or(Mode::Enforce, |mode| mode.value)))
}

fn sub<'a>(
    section: &mut Section<'a>,
    reader: &mut Reader<'_>,
    key: &'static str,
    what: &'static str,
) -> Option<Section<'a>> {
    section.take(key).and_then(|item| reader.section(&item, what))
}

fn score_or_off(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Located<Option<Score>>> {
    if item.value.as_str() == Some("off") {
        return Some(Located::new(None, item.span));
    }
    if let Some(text) = item.value.as_str() {
        let title = format!("expected a number from 0 to 1 for {}, but found a text", quote(item.key));
        let help = if text.parse::<f64>().is_ok() { "leave out the quotes" } else { "write a number, or \"off\"" };
        reader.wrong(item, title, "neither a number nor `off`", help);
        return None;
    }
    Some(reader.score(item)?.map(Some))
}

/// `tor = "block"`, or `tor = { action = "block", mode = "monitor" }`.
fn filter(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<FilterEntry> {
    let class = NetworkClass::ALL.into_iter().find(|class| class.name() == item.key);
    if class == Some(NetworkClass::Relay) {
        reader.out.push(
            Diagnostic::error("there is no filter for `relay`")
                .at(item.key_span, "a privacy relay is let by")
                .help("to refuse its people write a rule: `when = { class = [\"relay\"] }`"),
        );
        return None;
    }
    let Some(class) = class else {
        let names = NetworkClass::ALL.map(NetworkClass::name);
        let filtered: Vec<_> = names.into_iter().filter(|name| *name != NetworkClass::Relay.name()).collect();
        reader.unknown_word(item.key_span, "class of network", item.key, &filtered);
        return None;
    };
    if item.value.is_str() {
        let toggle = reader.choice(item, &TOGGLES)?;
        return Some(FilterEntry { class, toggle, mode: Mode::Enforce });
    }
    let mut table = reader.section(item, "a filter")?;
    let toggle = table.require("action", "\"block\"", reader).and_then(|item| reader.choice(&item, &TOGGLES));
    let mode_item = table.take("mode");
    let mode = mode_item.and_then(|item| reader.choice(&item, &MODES)).map_or(Mode::Enforce, |mode| mode.value);
    table.finish(reader);
    let toggle = toggle?;
    if mode == Mode::Monitor && matches!(toggle.value, Toggle::Off | Toggle::Score) {
        let class = class.name();
        reader.out.push(
            Diagnostic::error(format!("the filter for `{class}` does nothing that could be monitored"))
                .at(toggle.span, "refuses nobody")
                .help(format!(
                    "take `mode` out, or monitor what is to come: `{class} = {{ action = \"block\", mode = \"monitor\" }}`"
                )),
        );
        return None;
    }
    Some(FilterEntry { class, toggle, mode })
}

/// One of the prints that an origin can be told.
fn print(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Print> {
    Some(reader.choice(item, &Print::ALL.map(|print| (print.name(), print)))?.value)
}

/// `"off"`, or `{ elevated = { tighten = 0.1 }, under_attack = { tighten = 0.3, thresholds = { challenge = 0.1 } } }`.
fn posture(item: &Item<'_>, reader: &mut Reader<'_>) -> [TighteningTable; 2] {
    if item.value.as_str() == Some("off") {
        let off =
            || TighteningTable { tighten: Some(Located::new(Score::ZERO, item.span)), ..TighteningTable::default() };
        return [off(), off()];
    }
    if item.value.is_str() {
        let help =
            "write \"off\", or what tightens: { elevated = { tighten = 0.1 }, under_attack = { tighten = 0.3 } }";
        reader.wrong(item, "`posture` is a table, or `off`", "neither of them", help);
        return Default::default();
    }
    let Some(mut table) = reader.section(item, "`posture`") else { return Default::default() };
    let postures = POSTURES.map(|(key, what)| {
        let mut posture = TighteningTable::default();
        if let Some(mut inner) = table.take(key).and_then(|item| reader.section(&item, what)) {
            posture.tighten = inner.take("tighten").and_then(|item| reader.score(&item));
            posture.thresholds = thresholds(&mut inner, reader);
            inner.finish(reader);
        }
        posture
    });
    table.finish(reader);
    postures
}

fn thresholds(section: &mut Section<'_>, reader: &mut Reader<'_>) -> [Option<Located<Option<Score>>>; 4] {
    let mut read = [None; 4];
    if let Some(mut table) = sub(section, reader, "thresholds", "`thresholds`") {
        for (name, threshold) in THRESHOLDS.iter().zip(&mut read) {
            *threshold = table.take(name).and_then(|item| score_or_off(&item, reader));
        }
        table.finish(reader);
    }
    read
}

impl FailureTable {
    fn read(mut table: Section<'_>, reader: &mut Reader<'_>) -> Self {
        let failure = Self {
            status: table.list("status", reader, |reader, item| Some(reader.integer(item, 100..=599)?.value)),
            header: headers(&mut table, reader),
            json: table
                .take("json")
                .and_then(|item| reader.section(&item, "`json` of `failure`"))
                .map(|members| members.items().filter_map(|item| json_test(&item, reader)).collect())
                .unwrap_or_default(),
        };
        if table.items().next().is_none() {
            reader.out.push(
                Diagnostic::error("`failure` says nothing")
                    .at(table.span, "no answer would count as failed")
                    .help("name at least one: `status = [401, 403]`, `header = { x-login = \"failed*\" }` or `json = { \"/ok\" = false }`"),
            );
        }
        table.finish(reader);
        failure
    }
}

/// `"/ok" = false`.
fn json_test(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<(JsonPointer, JsonTest)> {
    let pointer: JsonPointer = match item.key.parse() {
        Ok(pointer) => pointer,
        Err(fault) => {
            let help = match fault {
                NoPointer::NoSlash => format!("begin at the top: \"/{}\"", item.key.replace('.', "/")),
                _ => "write the names with a slash before each: \"/error/code\"".to_owned(),
            };
            let title = format!("{} is no member of a JSON body", quote(item.key));
            reader.out.push(Diagnostic::error(title).at(item.key_span, fault.to_string()).help(help));
            return None;
        }
    };
    let test = match item.value {
        DeValue::Boolean(value) => JsonTest::Bool(*value),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => JsonTest::Number(number),
            Err(_) => {
                reader.wrong(
                    item,
                    "a number that is too large",
                    "more than 64 bits",
                    "compare a text or a smaller one",
                );
                return None;
            }
        },
        DeValue::String(text) if &**text == "*" => JsonTest::Present,
        DeValue::String(_) => JsonTest::Text(text_pattern(reader, item, Case::Sensitive)?),
        _ => {
            let title = format!("{} cannot be compared with this", quote(item.key));
            let help = "write `true`, `false`, a whole number, a text with `*` for any run of characters, or \"*\" for whatever is there";
            reader.wrong(item, title, "neither a text, a whole number, `true` nor `false`", help);
            return None;
        }
    };
    Some((pointer, test))
}

/// The postures that tighten, with what they are called in faults.
const POSTURES: [(&str, &str); 2] = [("elevated", "`elevated`"), ("under_attack", "`under_attack`")];

/// The most of a body that may be looked at: it is held back from the origin for so long.
pub(crate) const MAX_INSPECTED: u64 = 1 << 16;

pub(super) const SENSITIVITIES: [(&str, Sensitivity); 4] = [
    ("low", Sensitivity::Low),
    ("normal", Sensitivity::Normal),
    ("high", Sensitivity::High),
    ("critical", Sensitivity::Critical),
];

pub(super) const CLIENTS: [(&str, Clients); 4] = [
    ("browser", Clients::Browser),
    ("api", Clients::Api),
    ("mixed", Clients::Mixed),
    ("unattended", Clients::Unattended),
];

pub(super) const AMBIGUOUS: [(&str, AmbiguousPaths); 2] =
    [("refuse", AmbiguousPaths::Refuse), ("allow", AmbiguousPaths::Allow)];

pub(super) const TOGGLES: [(&str, Toggle); 4] = [
    ("off", Toggle::Off),
    ("score", Toggle::Score),
    ("challenge", Toggle::Act(Action::Challenge)),
    ("block", Toggle::Act(Action::Block)),
];

/// The largest body limit that may be written: 1 TiB, past which it is a slip.
const MAX_BODY: u64 = 1 << 40;
