//! Reads a TOML tree table by table and goes on after a fault.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use portcullis_fingerprint::{Ja3Hash, Ja4};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lists::{Lists, Read};
use super::{Located, Whole};
use crate::diagnostics::{Diagnostic, Diagnostics, Span, alternatives, nearest, quote};
use crate::score::Score;
use crate::units::{self, Rate, UnitError};

/// One value in a table or list.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    /// The key it stands under.
    pub(super) key: &'a str,
    /// The value.
    pub(super) value: &'a DeValue<'a>,
    /// Where the value stands.
    pub(super) span: Span,
    /// Where the key stands.
    pub(super) key_span: Span,
}

/// One table, and which of its keys were asked for.
pub(super) struct Section<'a> {
    /// What the table is, with its article: `a route`.
    pub(super) what: &'static str,
    /// Where it begins.
    pub(super) span: Span,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

/// Reads one file, reporting into the diagnostics of all.
pub(super) struct Reader<'d> {
    pub(super) out: &'d mut Diagnostics,
    /// The named lists.
    pub(super) lists: &'d mut Lists,
    pub(super) whole: Whole,
    /// Whether a condition that was read last names lists without a value, so that nothing can meet it.
    pub(super) hollow: bool,
    file: u32,
}

impl<'a> Section<'a> {
    /// The table that a whole file is.
    pub(super) fn of_root(root: &'a Spanned<DeTable<'a>>, file: u32) -> Self {
        Self { what: "a rules file", span: Span { file, start: 0, end: 0 }, table: root.get_ref(), asked: Vec::new() }
    }

    /// The value of a key, which counts as known from here on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.asked.push(key);
        self.peek(key)
    }

    /// The value of a key.
    pub(super) fn peek(&self, key: &str) -> Option<Item<'a>> {
        let (found, value) = self.table.get_key_value(key)?;
        Some(Item {
            key: found.get_ref(),
            value: value.get_ref(),
            span: span(self.span.file, value.span()),
            key_span: span(self.span.file, found.span()),
        })
    }

    /// Every key and value, for tables whose keys are names of the user or of a closed list.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let file = self.span.file;
        let mut items: Vec<_> = self
            .table
            .iter()
            .map(move |(key, value)| Item {
                key: key.get_ref(),
                value: value.get_ref(),
                span: span(file, value.span()),
                key_span: span(file, key.span()),
            })
            .collect();
        items.sort_by_key(|item| item.key_span);
        items.into_iter()
    }

    /// The value of a key that must be there.
    pub(super) fn require(&mut self, key: &'static str, example: &str, reader: &mut Reader<'_>) -> Option<Item<'a>> {
        let item = self.take(key);
        if item.is_none() && reader.whole == Whole::Yes {
            reader.out.push(
                Diagnostic::error(format!("{} without `{key}`", self.what))
                    .at(self.span, format!("`{key}` is missing"))
                    .help(format!("add `{key} = {example}`")),
            );
        }
        item
    }

    /// The items of a list, each read by `read`; those with a fault are left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
        read: impl FnMut(&mut Reader<'_>, &Item<'a>) -> Option<T>,
    ) -> Vec<T> {
        self.take(key).map(|item| reader.list(&item, read)).unwrap_or_default()
    }

    /// The values of a condition, where `"@name"` stands for those of a list.
    pub(super) fn values<T: Clone + 'static>(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
        read: Read<T>,
    ) -> Vec<T> {
        self.take(key).map(|item| reader.values(&item, read)).unwrap_or_default()
    }

    /// The tables of an array of tables: `[[route]]`.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        what: &'static str,
        reader: &mut Reader<'_>,
    ) -> Vec<Section<'a>> {
        let Some(item) = self.take(key) else { return Vec::new() };
        match item.value {
            DeValue::Array(items) => items
                .iter()
                .filter_map(|value| {
                    let item = Item { value: value.get_ref(), span: span(reader.file, value.span()), ..item };
                    reader.section(&item, what)
                })
                .collect(),
            DeValue::Table(_) => {
                reader.out.push(
                    Diagnostic::error(format!("`{key}` stands in single brackets"))
                        .at(item.key_span, "there may be many of these")
                        .help(format!("write it in double brackets, `[[{key}]]`")),
                );
                Vec::new()
            }
            _ => {
                reader.expected(&item, "tables");
                Vec::new()
            }
        }
    }

    /// Reports the keys that nothing asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for item in self.items().filter(|item| !self.asked.contains(&item.key)) {
            let mut fault = Diagnostic::error(format!("unknown key {} in {}", quote(item.key), self.what))
                .at(item.key_span, "not known here");
            fault = match nearest(item.key, &self.asked) {
                Some(name) => fault.help(format!("did you mean `{name}`?")),
                None => fault.help(format!("known here: {}", alternatives(&self.asked))),
            };
            reader.out.push(fault);
        }
    }
}

impl<'d> Reader<'d> {
    pub(super) fn new(file: u32, out: &'d mut Diagnostics, lists: &'d mut Lists) -> Self {
        Self { out, lists, whole: Whole::Yes, hollow: false, file }
    }

    /// Reports text that is no TOML, and says where.
    pub(super) fn syntax(&mut self, fault: &toml::de::Error, root: &Spanned<DeTable<'_>>, text: &str) -> Span {
        let at = fault.span().unwrap_or_default();
        let place = span(self.file, at.clone());
        if fault.message() == "duplicate key" {
            let key = text.get(at.clone()).unwrap_or_default();
            let mut said = Diagnostic::error(format!("{} stands twice", quote(key))).at(place, "again here");
            let name = key.trim_matches(['"', '\'']);
            let before = earlier_key(root.get_ref(), name, at.start).or_else(|| earlier_header(text, name, at.start));
            if let Some(before) = before {
                said = said.beside(span(self.file, before), "first here");
            }
            self.out.push(said.help("a key, or a table in single brackets, stands once"));
        } else {
            self.out.push(Diagnostic::error("this is not valid TOML").at(place, fault.message()));
        }
        place
    }

    /// Reports a value of the wrong type.
    pub(super) fn expected(&mut self, item: &Item<'_>, expected: &str) {
        let found = kind(item.value);
        self.out.push(
            Diagnostic::error(format!("expected {expected} for {}, but found {found}", quote(item.key)))
                .at(item.span, format!("{found}, not {expected}")),
        );
    }

    /// Reports a value that is wrong, with a remedy.
    pub(super) fn wrong(
        &mut self,
        item: &Item<'_>,
        title: impl Into<String>,
        label: impl Display,
        help: impl Into<String>,
    ) {
        self.out.push(Diagnostic::error(title).at(item.span, label.to_string()).help(help));
    }

    /// A table.
    pub(super) fn section<'a>(&mut self, item: &Item<'a>, what: &'static str) -> Option<Section<'a>> {
        if let DeValue::Table(table) = item.value {
            return Some(Section { what, span: item.span, table, asked: Vec::new() });
        }
        self.expected(item, "a table");
        None
    }

    /// A list.
    pub(super) fn list<'a, T>(
        &mut self,
        item: &Item<'a>,
        mut read: impl FnMut(&mut Self, &Item<'a>) -> Option<T>,
    ) -> Vec<T> {
        let DeValue::Array(values) = item.value else {
            let found = kind(item.value);
            let fault = Diagnostic::error(format!("expected a list for {}, but found {found}", quote(item.key)))
                .at(item.span, format!("{found}, not a list"))
                .help(format!("put it in brackets: `{} = [...]`", item.key));
            self.out.push(fault);
            return Vec::new();
        };
        let each =
            values.iter().map(|value| Item { value: value.get_ref(), span: span(self.file, value.span()), ..*item });
        let each: Vec<_> = each.collect();
        each.iter().filter_map(|item| read(self, item)).collect()
    }

    /// A text.
    pub(super) fn text<'a>(&mut self, item: &Item<'a>) -> Option<Located<&'a str>> {
        if let DeValue::String(text) = item.value {
            return Some(Located::new(text, item.span));
        }
        self.expected(item, "a text");
        None
    }

    /// Where the letters of a text begin in the file, behind its quotation marks; none where it has escapes, so that
    /// what is read is not what stands there.
    pub(super) fn start_of_text(&self, item: &Item<'_>, text: &str) -> Option<usize> {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let file = self.out.files().get(place(item.span.file))?;
        let (start, end) = (place(item.span.start), place(item.span.end));
        let written = file.text.get(start..end)?;
        let at = written.find(text)?;
        // Marks and, in texts of many lines, the first line feed.
        let marks = |part: &str| part.chars().all(|letter| matches!(letter, '"' | '\'' | '\n' | '\r'));
        let fits = marks(written.get(..at)?) && marks(written.get(at + text.len()..)?);
        fits.then_some(start + at)
    }

    /// A name that people and records use.
    pub(super) fn name(&mut self, item: &Item<'_>) -> Option<Located<Arc<str>>> {
        let text = self.text(item)?;
        let trimmed = text.value.trim();
        let fault = if trimmed.is_empty() {
            Some("empty")
        } else if trimmed.chars().any(char::is_control) {
            Some("holds a control character")
        } else if trimmed.chars().count() > MAX_NAME_CHARS {
            Some("too long")
        } else {
            None
        };
        if let Some(fault) = fault {
            let help = format!("a name has 1 to {MAX_NAME_CHARS} characters on one line");
            self.wrong(item, format!("{} is no name", quote(item.key)), fault, help);
            return None;
        }
        Some(Located::new(trimmed.into(), item.span))
    }

    /// A whole number in a range.
    pub(super) fn integer<T>(&mut self, item: &Item<'_>, range: RangeInclusive<u64>) -> Option<Located<T>>
    where
        T: TryFrom<u64>,
    {
        let DeValue::Integer(number) = item.value else {
            self.expected(item, "a whole number");
            return None;
        };
        let value = u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|value| range.contains(value));
        let Some(value) = value.and_then(|value| T::try_from(value).ok()) else {
            let (low, high) = (range.start(), range.end());
            let title = format!("{} is out of range", quote(item.key));
            self.wrong(
                item,
                title,
                format!("not from {low} to {high}"),
                format!("write a number from {low} to {high}"),
            );
            return None;
        };
        Some(Located::new(value, item.span))
    }

    /// A yes or no.
    pub(super) fn flag(&mut self, item: &Item<'_>) -> Option<bool> {
        if let DeValue::Boolean(value) = item.value {
            return Some(*value);
        }
        self.expected(item, "`true` or `false`");
        None
    }

    /// A score: a number from 0 to 1 with at most three decimals.
    pub(super) fn score(&mut self, item: &Item<'_>) -> Option<Located<Score>> {
        let number = match item.value {
            DeValue::Float(number) => number.as_str().parse::<f64>().unwrap_or(f64::NAN),
            DeValue::Integer(number) => {
                i32::from_str_radix(number.as_str(), number.radix()).map_or(f64::INFINITY, f64::from)
            }
            _ => {
                self.expected(item, "a number from 0 to 1");
                return None;
            }
        };
        if !(0.0..=1.0).contains(&number) {
            let percent = (1.0..=100.0).contains(&number);
            let help = if percent {
                format!("write {:.2}: scores, weights and caps go from 0 to 1", number / 100.0)
            } else {
                "scores, weights and caps go from 0 to 1".to_owned()
            };
            self.wrong(item, format!("{} is out of range", quote(item.key)), "not from 0 to 1", help);
            return None;
        }
        let Some(score) = thousandths(number) else {
            let help = format!("write {number:.3}: scores are kept in thousandths");
            self.wrong(item, format!("{} is too fine", quote(item.key)), "more than three decimals", help);
            return None;
        };
        Some(Located::new(score, item.span))
    }

    /// One word out of a closed list.
    pub(super) fn choice<T: Copy>(&mut self, item: &Item<'_>, known: &[(&'static str, T)]) -> Option<Located<T>> {
        let text = self.text(item)?;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == text.value) {
            return Some(Located::new(*value, item.span));
        }
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let title = format!("unknown value {} for {}", quote(text.value), quote(item.key));
        self.unknown(item.span, title, text.value, &names);
        None
    }

    /// Reports a word that is in no closed list of `what`.
    pub(super) fn unknown_word(&mut self, place: Span, what: &str, word: &str, names: &[&str]) {
        self.unknown(place, format!("unknown {what} {}", quote(word)), word, names);
    }

    fn unknown(&mut self, place: Span, title: String, word: &str, names: &[&str]) {
        let mut fault = Diagnostic::error(title).at(place, "not known here");
        let near = nearest(word, names);
        if let Some(name) = near {
            fault = fault.help(format!("did you mean `{name}`?"));
        }
        // A long list beside the one that was meant hides it.
        if near.is_none() || names.len() <= MAX_LISTED_NAMES {
            fault = fault.help(format!("known: {}", alternatives(names)));
        }
        self.out.push(fault);
    }

    /// A duration up to `longest`.
    pub(super) fn duration(&mut self, item: &Item<'_>, longest: Duration) -> Option<Located<Duration>> {
        if let DeValue::Integer(number) = item.value {
            let title = format!("{} has no unit", quote(item.key));
            let help = format!("write \"{}s\" for seconds; the units are s, m, h and d", number.as_str());
            self.wrong(item, title, "of what?", help);
            return None;
        }
        let text = self.text(item)?;
        match units::duration(text.value, longest) {
            Ok(duration) => Some(Located::new(duration, item.span)),
            Err(fault) => {
                let help = format!("write such as \"30s\", \"15m\", \"2h\" or \"1d\", up to {}", units::show(longest));
                self.wrong(item, format!("{} is no duration", quote(text.value)), fault, help);
                None
            }
        }
    }

    /// A rate such as `10/1m`.
    pub(super) fn rate(&mut self, item: &Item<'_>) -> Option<Located<Rate>> {
        if let DeValue::Integer(number) = item.value {
            let title = format!("{} has no window", quote(item.key));
            self.wrong(
                item,
                title,
                "in how long?",
                format!("write \"{}/1m\" for so many in a minute", number.as_str()),
            );
            return None;
        }
        let text = self.text(item)?;
        match Rate::parse(text.value) {
            Ok(rate) => Some(Located::new(rate, item.span)),
            Err(fault) => {
                let help = match &fault {
                    UnitError::TooLong(_) => "a window is from 1s to 1d",
                    _ => "write a count and a window, such as \"10/1m\"; the units are s, m, h and d",
                };
                self.wrong(item, format!("{} is no rate", quote(text.value)), fault, help);
                None
            }
        }
    }

    /// A rate of bytes such as `50MiB/1h`, in units of 1024 bytes.
    pub(super) fn byte_rate(&mut self, item: &Item<'_>) -> Option<Located<Rate>> {
        let text = self.text(item)?;
        match Rate::parse_bytes(text.value) {
            Ok(rate) => Some(Located::new(rate, item.span)),
            Err(fault) => {
                let help = match &fault {
                    UnitError::TooLong(_) => "a window is from 1s to 1d",
                    _ => {
                        "write an amount and a window, such as \"50MiB/1h\"; amounts are in KiB, MiB and GiB, up to 4095GiB"
                    }
                };
                self.wrong(item, format!("{} is no rate of bytes", quote(text.value)), fault, help);
                None
            }
        }
    }

    /// A rate whose window must be a minute, because that is how it is counted.
    pub(super) fn per_minute(&mut self, item: &Item<'_>) -> Option<Located<u32>> {
        let rate = self.rate(item)?;
        if rate.value.window != Duration::from_secs(60) {
            let title = format!("{} is counted by the minute", quote(item.key));
            let window = units::show(rate.value.window);
            self.wrong(item, title, format!("in {window}, not in 1m"), "write it as a rate in `1m`");
            return None;
        }
        Some(rate.map(|rate| rate.count))
    }

    /// A text that `T` reads.
    pub(super) fn parsed<T>(&mut self, item: &Item<'_>, help: &str) -> Option<T>
    where
        T: std::str::FromStr<Err: Display>,
    {
        let text = self.text(item)?;
        match text.value.parse() {
            Ok(value) => Some(value),
            Err(fault) => {
                self.wrong(item, format!("{} cannot be read as {}", quote(text.value), quote(item.key)), fault, help);
                None
            }
        }
    }

    /// A JA3 hash.
    pub(super) fn ja3(&mut self, item: &Item<'_>) -> Option<Ja3Hash> {
        self.parsed(item, "a JA3 hash is the MD5 of a JA3 text; `portcullis fingerprint` prints it as `ja3_hash`")
    }

    /// A JA4.
    pub(super) fn ja4(&mut self, item: &Item<'_>) -> Option<Ja4> {
        self.parsed(item, "a JA4 looks like `t13d1516h2_8daaf6152771_02713d6af862`")
    }
}

/// How many known names are listed beside the nearest one.
const MAX_LISTED_NAMES: usize = 8;

/// The longest name, in characters: it becomes a label of metrics.
const MAX_NAME_CHARS: usize = 100;

/// The place of a range of bytes. Files are bounded, so every offset fits.
pub(super) fn span(file: u32, range: Range<usize>) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: offset(range.start), end: offset(range.end) }
}

/// What a value is, in words that TOML's own page uses.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A number from 0 to 1 as a score, where it has at most three decimals.
pub(super) fn thousandths(number: f64) -> Option<Score> {
    // Through its text, since a float is no whole number of thousandths and is not cast to one.
    let text = format!("{number:.3}");
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let score = digits.parse().ok().map(Score::thousandths)?;
    let exact = (number - f64::from(score.as_thousandths()) / 1000.0).abs() < 1e-9;
    exact.then_some(score)
}

/// The last place before `limit` where `key` stands as a key.
fn earlier_key(table: &DeTable<'_>, key: &str, limit: usize) -> Option<Range<usize>> {
    let mut best: Option<Range<usize>> = None;
    let mut note = |range: Range<usize>| {
        if range.start < limit && best.as_ref().is_none_or(|best| best.start < range.start) {
            best = Some(range);
        }
    };
    for (name, value) in table.iter() {
        if name.get_ref() == key {
            note(name.span());
        }
        let inner = match value.get_ref() {
            DeValue::Table(inner) => earlier_key(inner, key, limit),
            DeValue::Array(values) => values
                .iter()
                .filter_map(|value| value.get_ref().as_table())
                .filter_map(|inner| earlier_key(inner, key, limit))
                .max_by_key(|range| range.start),
            _ => None,
        };
        if let Some(range) = inner {
            note(range);
        }
    }
    best
}

/// The last place before `limit` where `key` stands as the header of a table. A table that is opened again takes the
/// place of its first header in the tree, so the tree does not tell.
fn earlier_header(text: &str, key: &str, limit: usize) -> Option<Range<usize>> {
    let at = text.get(..limit)?.rfind(&format!("[{key}]"))? + 1;
    Some(at..at + key.len())
}
