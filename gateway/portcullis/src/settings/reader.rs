//! Tables of a settings file as they are written, with the place of everything.
//!
//! A reader of a table asks for the keys that it knows; [`Table::finish`] then reports those that nobody asked
//! for. What is wrong is reported and reading goes on, so that one look shows every fault.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use portcullis_policy::{Diagnostic, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use portcullis_signals::wording::quote;

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Diagnostic>);

/// One table, and which of its keys were asked for.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// How messages call it: `[limits]`.
    name: &'static str,
    /// None where the file does not have it.
    entries: Option<&'a DeTable<'a>>,
    place: Range<usize>,
    known: Vec<&'static str>,
}

/// The value of one key.
#[derive(Clone, Debug)]
pub(super) struct Value<'a> {
    pub(super) key: &'static str,
    written: &'a DeValue<'a>,
    pub(super) place: Range<usize>,
}

impl Faults {
    /// Adds a fault at a place.
    pub(super) fn add(&mut self, fault: Diagnostic) {
        self.0.push(fault);
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// All faults, in the order of the text.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.0.sort_by_key(|fault| fault.primary.as_ref().map(|label| label.span));
        self.0
    }
}

/// A place in the settings file, which is the only one of its set.
pub(super) fn span(place: &Range<usize>) -> Span {
    let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    Span { file: 0, start: at(place.start), end: at(place.end) }
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(super) const fn root(entries: &'a DeTable<'a>) -> Self {
        Self { name: "the settings", entries: Some(entries), place: 0..0, known: Vec::new() }
    }

    /// Where the table begins.
    pub(super) const fn place(&self) -> &Range<usize> {
        &self.place
    }

    /// Whether the file has the table.
    pub(super) const fn is_written(&self) -> bool {
        self.entries.is_some()
    }

    /// The value of `key`, where the table has it.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let written = self.entries?.get(key)?;
        Some(Value { key, written: written.get_ref(), place: written.span() })
    }

    /// The value of a key that the table must have.
    pub(super) fn required(&mut self, key: &'static str, example: &str, faults: &mut Faults) -> Option<Value<'a>> {
        let value = self.value(key);
        if value.is_none() {
            let fault = Diagnostic::error(format!("`{key}` is missing in {}", self.name))
                .at(span(&self.place), format!("has no `{key}`"))
                .help(format!("add `{key} = {example}`"));
            faults.add(fault);
        }
        value
    }

    /// A text, where the table has it.
    pub(super) fn text(&mut self, key: &'static str, faults: &mut Faults) -> Option<&'a str> {
        self.value(key)?.text(faults)
    }

    /// A path, taken as relative to `base`.
    pub(super) fn path(&mut self, key: &'static str, base: &Path, faults: &mut Faults) -> Option<PathBuf> {
        self.value(key)?.path(base, faults)
    }

    /// A whole number within bounds, or `default`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        within: RangeInclusive<u64>,
        default: u64,
        faults: &mut Faults,
    ) -> u64 {
        self.value(key).and_then(|value| value.number(within, faults)).unwrap_or(default)
    }

    /// The same as a size of something in memory.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        within: RangeInclusive<u64>,
        default: usize,
        faults: &mut Faults,
    ) -> usize {
        let default = u64::try_from(default).unwrap_or(u64::MAX);
        usize::try_from(self.number(key, within, default, faults)).unwrap_or(usize::MAX)
    }

    /// A time; the key ends in `_ms` or `_secs` and the bounds are in that unit.
    pub(super) fn time(
        &mut self,
        key: &'static str,
        within: RangeInclusive<u64>,
        default: Duration,
        faults: &mut Faults,
    ) -> Duration {
        let value = self.value(key).and_then(|value| value.number(within, faults));
        let unit = if key.ends_with("_ms") { Duration::from_millis } else { Duration::from_secs };
        value.map_or(default, unit)
    }

    /// A share of a whole, or `default`; both and the bounds in thousandths.
    pub(super) fn share(
        &mut self,
        key: &'static str,
        within: RangeInclusive<u16>,
        default: u16,
        faults: &mut Faults,
    ) -> u16 {
        self.value(key).and_then(|value| value.share(within, faults)).unwrap_or(default)
    }

    /// `true` or `false`, where the table has it.
    pub(super) fn flag(&mut self, key: &'static str, faults: &mut Faults) -> Option<bool> {
        self.value(key)?.flag(faults)
    }

    /// One of a few words, or `default`.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        default: T,
        faults: &mut Faults,
    ) -> T {
        self.value(key).and_then(|value| value.choice(words, faults)).unwrap_or(default)
    }

    /// A table in this one; an empty one where it is not written.
    pub(super) fn table(&mut self, key: &'static str, name: &'static str, faults: &mut Faults) -> Table<'a> {
        let value = self.value(key);
        let entries = value.as_ref().and_then(|value| match value.written {
            DeValue::Table(entries) => Some(entries),
            found => {
                let fault = value
                    .wrong("is not a table", found)
                    .help(format!("write {name} on a line of its own, and the keys below it"));
                faults.add(fault);
                None
            }
        });
        Table { name, entries, place: value.map_or(0..0, |value| value.place), known: Vec::new() }
    }

    /// The entries of a table whose keys are names of the user.
    pub(super) fn names(&mut self, key: &'static str, faults: &mut Faults) -> Vec<(&'a str, Value<'a>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Table(entries) = value.written else {
            faults.add(
                value.wrong("is not a table", value.written).help(format!("write `{key} = {{ name = \"...\" }}`")),
            );
            return Vec::new();
        };
        let entry = |(name, item): (&'a toml::Spanned<std::borrow::Cow<'a, str>>, &'a toml::Spanned<DeValue<'a>>)| {
            (name.get_ref().as_ref(), Value { key, written: item.get_ref(), place: item.span() })
        };
        entries.iter().map(entry).collect()
    }

    /// The tables of a list in this one, in the order written.
    pub(super) fn tables(&mut self, key: &'static str, name: &'static str, faults: &mut Faults) -> Vec<Table<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.written else {
            faults.add(
                value
                    .wrong("is not a list of tables", value.written)
                    .help(format!("write {name}, with two brackets on each side")),
            );
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| match item.get_ref() {
                DeValue::Table(entries) => {
                    Some(Table { name, entries: Some(entries), place: item.span(), known: Vec::new() })
                }
                found => {
                    let one = Value { key, written: found, place: item.span() };
                    faults.add(
                        one.wrong("is not a list of tables", found).help(format!("write {name} on a line of its own")),
                    );
                    None
                }
            })
            .collect()
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self, faults: &mut Faults) {
        for key in self.entries.into_iter().flat_map(DeTable::keys) {
            let word = key.get_ref().as_ref();
            if self.known.contains(&word) {
                continue;
            }
            let fault = Diagnostic::error(format!("unknown key {} in {}", quote(word), self.name))
                .at(span(&key.span()), "no such key");
            faults.add(match nearest(word, &self.known) {
                Some(name) => fault.help(format!("did you mean `{name}`?")),
                None => fault.help(format!("known are {}", words(&self.known))),
            });
        }
    }
}

impl<'a> Value<'a> {
    /// A fault of this value: `max_connections` is not a number, found a text.
    fn wrong(&self, how: &str, found: &DeValue<'_>) -> Diagnostic {
        self.fault(how, &format!("found {}", kind(found)))
    }

    /// A fault of this value, with what is said about its place.
    pub(super) fn fault(&self, how: &str, label: &str) -> Diagnostic {
        Diagnostic::error(format!("`{}` {how}", self.key)).at(span(&self.place), label)
    }

    /// The value as text.
    pub(super) fn text(&self, faults: &mut Faults) -> Option<&'a str> {
        match self.written {
            DeValue::String(text) if !text.is_empty() => Some(text.as_ref()),
            DeValue::String(_) => {
                faults.add(self.fault("is empty", "nothing in it").help("write something, or leave the key out"));
                None
            }
            found => {
                faults.add(self.wrong("is not a text", found).help("write it in quotes"));
                None
            }
        }
    }

    /// The value as a text, or a number as it is written.
    pub(super) fn word(&self, faults: &mut Faults) -> Option<String> {
        match self.written {
            DeValue::Integer(number) => Some(number.as_str().to_owned()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            _ => self.text(faults).map(str::to_owned),
        }
    }

    /// Where it is written.
    pub(super) const fn place(&self) -> &Range<usize> {
        &self.place
    }

    /// The values of a list, or the one value that is written without brackets.
    pub(super) fn items(&self) -> Vec<Value<'a>> {
        match self.written {
            DeValue::Array(items) => {
                items.iter().map(|item| Value { key: self.key, written: item.get_ref(), place: item.span() }).collect()
            }
            written => vec![Value { key: self.key, written, place: self.place.clone() }],
        }
    }

    /// The words of a list, or the one word that is written without brackets.
    pub(super) fn words(&self, faults: &mut Faults) -> Vec<String> {
        self.items().iter().filter_map(|item| item.word(faults)).collect()
    }

    /// The value as a path.
    pub(super) fn path(&self, base: &Path, faults: &mut Faults) -> Option<PathBuf> {
        self.text(faults).map(|path| base.join(path))
    }

    /// The value as whatever can be read from its text.
    pub(super) fn parsed<T: FromStr>(&self, what: &str, example: &str, faults: &mut Faults) -> Option<T> {
        let text = self.text(faults)?;
        let parsed = text.trim().parse().ok();
        if parsed.is_none() {
            let fault = Diagnostic::error(format!("{} in `{}` is not {what}", quote(text), self.key));
            faults.add(fault.at(span(&self.place), format!("not {what}")).help(format!("write it as in `{example}`")));
        }
        parsed
    }

    /// The values of a list.
    pub(super) fn list(&self, example: &str, faults: &mut Faults) -> Option<Vec<Value<'a>>> {
        match self.written {
            DeValue::Array(items) => {
                let item = |item: &'a Spanned<DeValue<'a>>| Value {
                    key: self.key,
                    written: item.get_ref(),
                    place: item.span(),
                };
                Some(items.iter().map(item).collect())
            }
            found => {
                faults.add(self.wrong("is not a list", found).help(format!("write it in brackets: `[\"{example}\"]`")));
                None
            }
        }
    }

    /// The value as a whole number within bounds.
    fn number(&self, within: RangeInclusive<u64>, faults: &mut Faults) -> Option<u64> {
        let (least, most) = (*within.start(), *within.end());
        let range = format!("write a whole number from {least} to {most}");
        let number = match self.written {
            DeValue::Integer(written) => i128::from_str_radix(&written.as_str().replace('_', ""), written.radix()).ok(),
            DeValue::String(text) => {
                let fault = self.wrong("is not a number", self.written);
                faults.add(match in_unit(self.key, text) {
                    Some(number) => fault.help(format!("the unit is in the key: write `{} = {number}`", self.key)),
                    None => fault.help(range),
                });
                return None;
            }
            found => {
                faults.add(self.wrong("is not a whole number", found).help(range));
                return None;
            }
        };
        let number = number.and_then(|number| u64::try_from(number).ok()).filter(|number| within.contains(number));
        if number.is_none() {
            faults.add(self.fault("is out of range", &format!("not from {least} to {most}")).help(range));
        }
        number
    }

    /// The value as a share of a whole, in thousandths like its bounds.
    fn share(&self, within: RangeInclusive<u16>, faults: &mut Faults) -> Option<u16> {
        let (least, most) = (f64::from(*within.start()) / 1000.0, f64::from(*within.end()) / 1000.0);
        let range = format!("write a number from {least} to {most}");
        let number: Option<f64> = match self.written {
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
            DeValue::Integer(number) => i32::from_str_radix(number.as_str(), number.radix()).ok().map(f64::from),
            found => {
                faults.add(self.wrong("is not a number", found).help(range));
                return None;
            }
        };
        let Some(number) = number.filter(|number| (least..=most).contains(number)) else {
            faults.add(self.fault("is out of range", &format!("not from {least} to {most}")).help(range));
            return None;
        };
        // Through its text, since a float is no whole number of thousandths and is not cast to one.
        let digits: String = format!("{number:.3}").chars().filter(char::is_ascii_digit).collect();
        let thousandths = digits.parse::<u16>().ok()?;
        if (number - f64::from(thousandths) / 1000.0).abs() > 1e-9 {
            let fault = self.fault("is too fine", "more than three decimals");
            faults.add(fault.help(format!("{range}, in thousandths")));
            return None;
        }
        Some(thousandths)
    }

    fn flag(&self, faults: &mut Faults) -> Option<bool> {
        match self.written {
            DeValue::Boolean(flag) => Some(*flag),
            found => {
                faults.add(
                    self.wrong("is neither true nor false", found).help("write `true` or `false`, without quotes"),
                );
                None
            }
        }
    }

    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)], faults: &mut Faults) -> Option<T> {
        let text = self.text(faults)?;
        let known: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let fault = self.fault(&format!("cannot be {}", quote(text)), "no such choice");
            faults.add(match nearest(text, &known) {
                Some(word) => fault.help(format!("did you mean `{word}`?")),
                None => fault.help(format!("write {}", either(&known))),
            });
        }
        chosen
    }
}

/// How messages call a value of the wrong kind.
const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What a person meant who wrote `"10s"` where the key has the unit.
fn in_unit(key: &str, text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    let (times, over) = match key.rsplit('_').next()? {
        "ms" => match unit.as_str() {
            "" | "ms" => (1, 1),
            "s" | "sec" | "secs" => (1000, 1),
            "m" | "min" => (60_000, 1),
            _ => return None,
        },
        "secs" => match unit.as_str() {
            "" | "s" | "sec" | "secs" => (1, 1),
            "ms" if number.is_multiple_of(1000) => (1, 1000),
            "m" | "min" => (60, 1),
            "h" => (3600, 1),
            _ => return None,
        },
        "bytes" => match unit.as_str() {
            "" | "b" => (1, 1),
            "k" | "kb" | "kib" => (1 << 10, 1),
            "m" | "mb" | "mib" => (1 << 20, 1),
            "g" | "gb" | "gib" => (1 << 30, 1),
            _ => return None,
        },
        _ if unit.is_empty() => (1, 1),
        _ => return None,
    };
    number.checked_mul(times).map(|number| number / over)
}

/// The longest word that may be a misspelled key, in bytes.
const MAX_WORD_BYTES: usize = 80;

/// The known name that a person most likely meant.
pub(super) fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = word.to_lowercase().replace('-', "_");
    if plain.len() > MAX_WORD_BYTES {
        return None;
    }
    // A third of the letters may be wrong; and a name whose unit was left out is meant whatever its length.
    let allowed = (plain.chars().count() / 3).max(1);
    names
        .iter()
        .map(|name| {
            let stem = ["_ms", "_secs", "_bytes"].into_iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name);
            (strsim::osa_distance(&plain, name).min(strsim::osa_distance(&plain, stem)), *name)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn words(names: &[impl Display]) -> String {
    joined(names, "and")
}

fn either(names: &[impl Display]) -> String {
    joined(names, "or")
}

fn joined(names: &[impl Display], last: &str) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push_str(if at + 1 == names.len() { " " } else { ", " });
            if at + 1 == names.len() {
                text.push_str(last);
                text.push(' ');
            }
        }
        text.push_str(&format!("`{name}`"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_with_its_unit_is_turned_into_the_unit_of_the_key() {
        for (key, text, number) in [
            ("header_timeout_ms", "10s", Some(10_000)),
            ("header_timeout_ms", "250", Some(250)),
            ("idle_timeout_secs", "5 min", Some(300)),
            ("idle_timeout_secs", "1500ms", None),
            ("counters_bytes", "64MiB", Some(64 << 20)),
            ("max_bans", "7", Some(7)),
            ("max_bans", "7k", None),
            ("header_timeout_ms", "soon", None),
            ("header_timeout_ms", "99999999999999999999s", None),
        ] {
            assert_eq!(in_unit(key, text), number, "{key} = {text}");
        }
    }

    #[test]
    fn a_name_without_its_unit_is_understood() {
        let names = ["connect_timeout_ms", "read_timeout_ms", "idle_timeout_secs"];
        for (word, name) in [
            ("connect_timeout", Some("connect_timeout_ms")),
            ("idle-timeout", Some("idle_timeout_secs")),
            ("raed_timeout_ms", Some("read_timeout_ms")),
            ("colour", None),
        ] {
            assert_eq!(nearest(word, &names), name, "{word}");
        }
    }
}
