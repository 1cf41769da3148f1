//! Named lists: values that stand in files of their own, `lists/partners.toml` or `lists/partners.txt`.
//!
//! A list has no type by itself. Each condition that names it, `ip = ["@partners"]`, reads its lines as it reads its
//! own values, so a line that is wrong for one use is shown with its place and the same words. A list is read once for
//! each kind of condition, however many rules name it.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use toml::de::DeValue;

use super::reader::{self, Item, Reader, Section};
use crate::diagnostics::{Diagnostic, Severity, SourceFile, Span, nearest, quote};

/// Every list, and what was read of them so far.
#[derive(Default)]
pub(super) struct Lists {
    files: Arc<[SourceFile]>,
    by_name: BTreeMap<Box<str>, List>,
    /// By list and condition. What is in it is the list's values as the condition has them.
    read: HashMap<(Box<str>, Box<str>), Rc<dyn Any>>,
}

/// One list.
#[derive(Default)]
struct List {
    on_bad_line: OnBadLine,
    entries: Rc<Vec<Entry>>,
    span: Option<Span>,
    named: Named,
}

/// Whether any condition names a list.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Named {
    #[default]
    None,
    Some,
}

/// One value.
struct Entry {
    span: Span,
    /// Absent where the value is the very text of its place.
    text: Option<Box<str>>,
}

/// What becomes of a set with a line that is no value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum OnBadLine {
    /// The set does not compile.
    #[default]
    Fail,
    /// The line is left out, with a warning.
    Skip,
}

/// How a list file is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// A table with `values`.
    Toml,
    /// One value a line.
    Lines,
}

/// The name of the list that a file holds, where it stands in a folder `lists`.
pub(super) fn list_of(file: &str) -> Option<(&str, Form)> {
    let (folder, name) = file.rsplit_once('/')?;
    if folder != LISTS_FOLDER && !folder.ends_with("/lists") {
        return None;
    }
    match name.rsplit_once('.')? {
        (stem, "toml") => Some((stem, Form::Toml)),
        (stem, "txt") => Some((stem, Form::Lines)),
        _ => None,
    }
}

impl Lists {
    pub(super) fn of(files: Arc<[SourceFile]>) -> Self {
        Self { files, ..Self::default() }
    }

    /// Takes over the lines of a file. A TOML file of the same name is their head.
    pub(super) fn add_lines(&mut self, name: &str, file: u32, text: &str) {
        let mut entries = Vec::new();
        // A byte order mark is no part of the first value.
        let mark = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        let mut start = mark;
        let text = text.get(mark..).unwrap_or_default();
        for line in text.split_inclusive('\n') {
            let value = uncommented(line);
            let trimmed = value.trim_start();
            let at = start + value.len() - trimmed.len();
            let trimmed = trimmed.trim_end();
            if !trimmed.is_empty() {
                entries.push(Entry { span: reader::span(file, at..at + trimmed.len()), text: None });
            }
            start += line.len();
        }
        self.append(name, entries, Span { file, start: 0, end: 0 });
    }

    /// Takes over a TOML file.
    pub(super) fn add_table(&mut self, name: &str, mut section: Section<'_>, reader: &mut Reader<'_>) {
        let on_bad_line = section.take("on_bad_line").and_then(|item| reader.choice(&item, &ON_BAD_LINE));
        let _owner = section.take("owner").and_then(|item| reader.name(&item));
        let _reason = section.take("reason").and_then(|item| reader.text(&item));
        let entries = section.list("values", reader, |reader, item| {
            let text = match item.value {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.as_str().to_owned(),
                _ => {
                    reader.expected(item, "a text or a number");
                    return None;
                }
            };
            Some(Entry { span: item.span, text: Some(text.into()) })
        });
        let span = section.span;
        section.finish(reader);
        self.append(name, entries, span);
        if let Some(list) = self.by_name.get_mut(name) {
            list.on_bad_line = on_bad_line.map_or(OnBadLine::Fail, |choice| choice.value);
        }
    }

    fn append(&mut self, name: &str, entries: Vec<Entry>, span: Span) {
        let list = self.by_name.entry(name.into()).or_default();
        let mut all = std::mem::take(&mut list.entries);
        match Rc::get_mut(&mut all) {
            Some(all) => all.extend(entries),
            None => all = Rc::new(entries),
        }
        list.entries = all;
        list.span.get_or_insert(span);
    }

    /// The lists that no condition names, each with the start of its file.
    pub(super) fn unused(&self) -> Vec<(Box<str>, Span)> {
        let unused = self.by_name.iter().filter(|(_, list)| list.named == Named::None);
        unused.filter_map(|(name, list)| Some((name.clone(), list.span?))).collect()
    }

    fn text<'a>(&self, files: &'a [SourceFile], entry: &'a Entry) -> &'a str {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let of_file = || files.get(place(entry.span.file))?.text.get(place(entry.span.start)..place(entry.span.end));
        entry.text.as_deref().or_else(of_file).unwrap_or_default()
    }
}

/// How a value of a condition is read.
pub(super) type Read<T> = fn(&mut Reader<'_>, &Item<'_>) -> Option<T>;

impl Reader<'_> {
    /// The values of a condition: its own, and in place of `"@name"` those of the list.
    pub(super) fn values<T: Clone + 'static>(&mut self, item: &Item<'_>, read: Read<T>) -> Vec<T> {
        let mut values = Vec::new();
        let faults = self.out.entries().len();
        let mut named = None;
        let _ = self.list(item, |reader, one| {
            match one.value.as_str().and_then(|text| text.strip_prefix('@')) {
                Some(name) => {
                    named = Some((one.span, quote(one.value.as_str().unwrap_or_default())));
                    values.extend(reader.values_of_list(name, one, read).iter().cloned());
                }
                None => values.extend(read(reader, one)),
            }
            None::<()>
        });
        if values.len() > MAX_VALUES {
            let help = format!("a condition may have {MAX_VALUES} values, those of its lists counted");
            self.wrong(item, format!("{} has too many values", quote(item.key)), format!("{}", values.len()), help);
        }
        if let Some((span, name)) = named.filter(|_| values.is_empty() && self.out.entries().len() == faults) {
            self.hollow = true;
            self.out.push(
                Diagnostic::warning(format!("the list {name} is empty"))
                    .at(span, "no request can meet this")
                    .help("the rule does nothing until the list has a value"),
            );
        }
        values
    }

    fn values_of_list<T: Clone + 'static>(&mut self, name: &str, at: &Item<'_>, read: Read<T>) -> Rc<Vec<T>> {
        let Some(list) = self.lists.by_name.get_mut(name) else {
            let names: Vec<&str> = self.lists.by_name.keys().map(AsRef::as_ref).collect();
            let mut fault = Diagnostic::error(format!("there is no list {}", quote(name))).at(at.span, "no such file");
            fault = match nearest(name, &names) {
                Some(near) => fault.help(format!("did you mean `@{near}`?")),
                None => fault.help(format!("write one value a line into `lists/{name}.txt` beside the rules")),
            };
            self.out.push(fault);
            return Rc::default();
        };
        list.named = Named::Some;
        let (entries, on_bad_line) = (Rc::clone(&list.entries), list.on_bad_line);
        let key = (name.into(), at.key.into());
        if let Some(known) = self.lists.read.get(&key).and_then(|known| Rc::clone(known).downcast().ok()) {
            return known;
        }
        let first = self.out.entries().len();
        let files = Arc::clone(&self.lists.files);
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries.iter() {
            let value = DeValue::String(self.lists.text(&files, entry).into());
            let item = Item { key: at.key, value: &value, span: entry.span, key_span: entry.span };
            values.extend(read(self, &item));
        }
        self.sum_up(name, at, first, values.len(), on_bad_line);
        let values = Rc::new(values);
        self.lists.read.insert(key, Rc::<Vec<T>>::clone(&values));
        values
    }

    /// Turns what was said about lines since `first` into as much as a person wants to read.
    fn sum_up(&mut self, name: &str, at: &Item<'_>, first: usize, good: usize, on_bad_line: OnBadLine) {
        let said = self.out.split_off(first);
        let (mut faults, warnings): (Vec<_>, Vec<_>) =
            said.into_iter().partition(|entry| entry.severity == Severity::Error);
        for warning in warnings.into_iter().take(MAX_BAD_LINES) {
            self.out.push(warning);
        }
        let count = faults.len();
        let Some(place) = faults.first().and_then(|fault| fault.primary.clone()) else { return };
        if on_bad_line == OnBadLine::Fail {
            faults.truncate(MAX_BAD_LINES);
            faults.into_iter().for_each(|fault| self.out.push(fault));
            if count > MAX_BAD_LINES {
                let more = count - MAX_BAD_LINES;
                self.out.push(
                    Diagnostic::error(format!("{more} more lines of the list {} are wrong", quote(name)))
                        .at(at.span, format!("read as `{}`", at.key))
                        .help("is this the right list?"),
                );
            }
        } else if good == 0 {
            self.out.push(
                Diagnostic::error(format!("no line of the list {} can be read as `{}`", quote(name), at.key))
                    .at(place.span, place.text)
                    .beside(at.span, "named here")
                    .help("`on_bad_line = \"skip\"` is for single lines: a list without any good one is another file"),
            );
        } else {
            let lines = if count == 1 { "a line".to_owned() } else { format!("{count} lines") };
            self.out.push(
                Diagnostic::warning(format!("{lines} of the list {} left out", quote(name)))
                    .at(place.span, place.text)
                    .beside(at.span, "named here")
                    .help("mend it; the other lines are in force, as `on_bad_line = \"skip\"` says"),
            );
        }
    }
}

/// A line without its comment. A comment begins a line, or stands behind a space: a value may hold `#` and `;`.
fn uncommented(line: &str) -> &str {
    let is_comment = |at: usize| match line.as_bytes().get(at) {
        Some(b'#') => at == 0 || line.as_bytes().get(at - 1).is_some_and(u8::is_ascii_whitespace),
        Some(b';') => line.get(..at).is_some_and(|before| before.trim().is_empty()),
        _ => false,
    };
    let end = line.match_indices(['#', ';']).map(|(at, _)| at).find(|at| is_comment(*at));
    end.and_then(|end| line.get(..end)).unwrap_or(line)
}

/// The folder beside the rules that holds lists.
pub const LISTS_FOLDER: &str = "lists";

const BYTE_ORDER_MARK: char = '\u{feff}';

/// How many lines of one list are shown that are wrong.
const MAX_BAD_LINES: usize = 10;

/// How many values one condition may have. Each takes some tens of bytes, for each rule that names it.
const MAX_VALUES: usize = 1_000_000;

/// The words of `on_bad_line`.
pub(super) const ON_BAD_LINE: [(&str, OnBadLine); 2] = [("fail", OnBadLine::Fail), ("skip", OnBadLine::Skip)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_file_in_the_folder_of_lists() {
        for (file, list) in [
            ("rules/lists/partners.txt", Some(("partners", Form::Lines))),
            ("lists/partners.toml", Some(("partners", Form::Toml))),
            ("rules/partners.toml", None),
            ("rules/blacklists/partners.toml", None),
            ("rules/lists/partners.csv", None),
            ("lists.toml", None),
        ] {
            assert_eq!(list_of(file), list, "{file}");
        }
    }

    #[test]
    fn a_comment_begins_a_line_or_stands_behind_a_space() {
        for (line, value) in [
            ("192.0.2.1 # the office", "192.0.2.1 "),
            ("# all", ""),
            ("  ; all", "  "),
            ("a#b;c", "a#b;c"),
            ("Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (X11; Linux)"),
            ("", ""),
        ] {
            assert_eq!(uncommented(line), value, "{line}");
        }
    }
}
