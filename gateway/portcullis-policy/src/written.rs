//! Rules files as they are written: each value right by itself, and where it stood.
//!
//! What the values mean together is the business of [`crate::compile`].

mod limit;
mod lists;
mod place;
mod reader;
mod route;
mod rule;
mod test;
mod values;
pub(crate) mod words;

use portcullis_fingerprint::{Ja3Hash, Ja4};

use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::model::Rollout;

pub(crate) use limit::{LevelTable, LimitTable, MAX_COST, MAX_DELAY, MAX_WAITING, WrittenCount, WrittenPart};
pub(crate) use place::WrittenPlace;
pub(crate) use route::RouteTable;
pub(crate) use rule::RuleTable;
pub(crate) use test::{ACTIONS, Expect, TestRequest, TestTable};
pub(crate) use values::{MAX_INSPECTED, RouteValues, THRESHOLDS, TighteningTable, Toggle, Weighing};

pub use lists::LISTS_FOLDER;
use lists::{Form, Lists, list_of};
use reader::{Reader, Section};

/// A value and where it stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> Located<T> {
    pub(crate) const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: change(self.value), span: self.span }
    }
}

/// All rules files together, as written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// `[defaults]`, which says nothing where it is not written.
    pub(crate) defaults: RouteValues,
    /// `[weights]`, `[caps]` and `[credit]`.
    pub(crate) weighing: Weighing,
    /// Every `[[route]]`.
    pub(crate) routes: Vec<RouteTable>,
    /// Every `[[rule]]` that is for all routes.
    pub(crate) rules: Vec<RuleTable>,
    /// `lists.ja3`.
    pub(crate) ja3: Vec<Ja3Hash>,
    /// `lists.ja4`.
    pub(crate) ja4: Vec<Ja4>,
    /// `[rollout]`.
    pub(crate) rollout: Rollout,
    /// Every `[[test]]`.
    pub(crate) tests: Vec<TestTable>,
    /// The lists that nothing names, each with the start of its file.
    pub(crate) unused_lists: Vec<(Box<str>, Span)>,
    /// Whether every file could be read whole, so that what is missing is missing indeed.
    pub(crate) whole: Whole,
    once: Vec<(&'static str, Span)>,
}

/// Whether files could be read whole.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Whole {
    /// They could.
    #[default]
    Yes,
    /// Some text was no TOML and was left out.
    No,
}

/// How many places that are not TOML are shown of one file. Past that it is another kind of file.
const MAX_SYNTAX_FAULTS: usize = 100;

/// The largest rules file, in bytes: a hundred thousand networks take two million.
const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

impl Written {
    /// Reads every file and reports every fault that a value has by itself.
    pub(crate) fn read(diagnostics: &mut Diagnostics) -> Self {
        let files = diagnostics.files().clone();
        let mut written = Self::default();
        let mut lists = Lists::of(files.clone());
        let mut rules = Vec::new();
        // Lists first: a rule may name one of any file.
        for (index, file) in (0_u32..).zip(files.iter()) {
            if file.text.len() > MAX_FILE_BYTES {
                let span = Span { file: index, start: 0, end: 0 };
                diagnostics.push(
                    Diagnostic::error(format!("the file is larger than {MAX_FILE_BYTES} bytes"))
                        .at(span, format!("{} bytes", file.text.len()))
                        .help("divide it: rules may stand in any number of files"),
                );
                continue;
            }
            match list_of(&file.name) {
                Some((name, Form::Lines)) => lists.add_lines(name, index, &file.text),
                Some((name, Form::Toml)) => written.read_list(name, index, &file.text, diagnostics, &mut lists),
                None => rules.push((index, &file.text)),
            }
        }
        for (index, text) in rules {
            written.read_toml(index, text, diagnostics, &mut lists, Self::read_root);
        }
        written.unused_lists = lists.unused();
        written
    }

    fn read_list(&mut self, name: &str, index: u32, text: &str, diagnostics: &mut Diagnostics, lists: &mut Lists) {
        // A head names no list itself, so what it is read with is not the table of all lists.
        self.read_toml(index, text, diagnostics, &mut Lists::default(), |_, mut section, reader| {
            section.what = "a list";
            lists.add_table(name, section, reader);
        });
    }

    fn read_toml(
        &mut self,
        index: u32,
        text: &str,
        diagnostics: &mut Diagnostics,
        lists: &mut Lists,
        read: impl FnOnce(&mut Self, Section<'_>, &mut Reader<'_>),
    ) {
        let (root, faults) = toml::de::DeTable::parse_recoverable(text);
        let mut reader = Reader::new(index, diagnostics, lists);
        let broken: Vec<_> =
            faults.iter().take(MAX_SYNTAX_FAULTS).map(|fault| reader.syntax(fault, &root, text)).collect();
        if let Some(fault) = faults.get(MAX_SYNTAX_FAULTS) {
            let left = faults.len() - MAX_SYNTAX_FAULTS;
            reader.out.push(
                Diagnostic::error(format!("{left} more places are not valid TOML"))
                    .at(reader::span(index, fault.span().unwrap_or_default()), "from here on")
                    .help("is this a rules file?"),
            );
        }
        if !broken.is_empty() {
            self.whole = Whole::No;
            reader.whole = Whole::No;
        }
        let before = reader.out.entries().len();
        let section = Section::of_root(&root, index);
        read(self, section, &mut reader);
        // What was made of a broken line says nothing that its own fault does not say better.
        diagnostics.forget_echoes(before, text, &broken);
    }

    fn read_root(&mut self, mut root: Section<'_>, reader: &mut Reader<'_>) {
        if let Some(mut section) = root.take("defaults").and_then(|item| reader.section(&item, "`defaults`")) {
            let span = section.span;
            let values = RouteValues::read(&mut section, reader);
            section.finish(reader);
            if self.first("[defaults]", span, reader) {
                self.defaults = values;
            }
        }
        self.read_weighing(&mut root, reader);
        for section in root.tables("route", "a route", reader) {
            self.routes.extend(RouteTable::read(section, reader));
        }
        for section in root.tables("rule", "a rule", reader) {
            self.rules.extend(RuleTable::read(section, reader));
        }
        if let Some(mut section) = root.take("lists").and_then(|item| reader.section(&item, "`lists`")) {
            self.ja3.extend(section.values("ja3", reader, |reader, item| reader.ja3(item)));
            self.ja4.extend(section.values("ja4", reader, |reader, item| reader.ja4(item)));
            section.finish(reader);
        }
        if let Some(section) = root.take("rollout").and_then(|item| reader.section(&item, "`rollout`")) {
            let span = section.span;
            let rollout = rollout(section, reader);
            if self.first("[rollout]", span, reader) {
                self.rollout = rollout;
            }
        }
        for section in root.tables("test", "a test", reader) {
            self.tests.extend(TestTable::read(section, reader));
        }
        check_format(&mut root, reader);
        root.finish(reader);
    }

    fn read_weighing(&mut self, root: &mut Section<'_>, reader: &mut Reader<'_>) {
        let mut read = Weighing::default();
        for (key, shown) in [("weights", "[weights]"), ("caps", "[caps]"), ("credit", "[credit]")] {
            if let Some(item) = root.peek(key).filter(|item| item.value.is_table()) {
                self.first(shown, item.span, reader);
            }
        }
        read.read(root, reader);
        self.weighing.append(read);
    }

    /// Notes a table that may stand once in all files; says where it stood before.
    fn first(&mut self, name: &'static str, span: Span, reader: &mut Reader<'_>) -> bool {
        if let Some((_, before)) = self.once.iter().find(|(known, _)| *known == name) {
            reader.out.push(
                Diagnostic::error(format!("`{name}` stands twice"))
                    .at(span, "again here")
                    .beside(*before, "first here")
                    .help("put both into one; a value that is for some routes only belongs to those routes"),
            );
            return false;
        }
        self.once.push((name, span));
        true
    }
}

/// Refuses a file of a format in which the same words may mean something else.
fn check_format(root: &mut Section<'_>, reader: &mut Reader<'_>) {
    let Some(item) = root.take("format") else { return };
    let Some(found) = reader.integer::<u32>(&item, 1..=u64::from(u32::MAX)) else { return };
    if found.value != FORMAT {
        reader.out.push(
            Diagnostic::error(format!("this file is in format {}, which is not known here", found.value))
                .at(found.span, format!("known is {FORMAT}"))
                .help("run the version that it is written for; in another the same rules may mean something else"),
        );
    }
}

/// The format of rules files: it goes up when rules that compiled before come to mean something else.
pub(crate) const FORMAT: u32 = 1;

/// `[rollout]`.
fn rollout(mut section: Section<'_>, reader: &mut Reader<'_>) -> Rollout {
    let shipped = Rollout::default();
    let mut score =
        |key, otherwise| section.take(key).and_then(|item| reader.score(&item)).map_or(otherwise, |score| score.value);
    let (share, max_refused) = (score("share", shipped.share), score("max_refused", shipped.max_refused));
    let trial = section.take("trial").and_then(|item| reader.duration(&item, MAX_TRIAL));
    let least = section.take("min_requests").and_then(|item| reader.integer(&item, 1..=u64::from(u32::MAX)));
    section.finish(reader);
    Rollout {
        share,
        trial: trial.map_or(shipped.trial, |trial| trial.value),
        max_refused,
        min_requests: least.map_or(shipped.min_requests, |least| least.value),
    }
}

/// The longest trial that may be written: past a week new rules are no longer new.
pub(crate) const MAX_TRIAL: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);
