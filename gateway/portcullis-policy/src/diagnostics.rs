//! Faults of rules files: what is wrong, where it stands, and what to do.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use portcullis_signals::wording;

pub(crate) use portcullis_signals::wording::quote;

/// One rules file: the name that people know it by, and its text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SourceFile {
    /// The name that messages show, usually the path.
    pub name: String,
    /// The text.
    pub text: String,
}

impl SourceFile {
    /// A file of this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// Where something stands: a file, and the bytes in it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span {
    /// The file, as an index into the files that were compiled together.
    pub file: u32,
    /// The offset of the first byte.
    pub start: u32,
    /// The offset behind the last byte.
    pub end: u32,
}

/// Whether a diagnostic keeps the rules from being used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// The rules cannot be used.
    Error,
    /// The rules can be used, and probably do not say what was meant.
    Warning,
}

/// Whether a message is coloured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Style {
    /// Plain ASCII decoration, for files and logs.
    #[default]
    Plain,
    /// The same with ANSI colours, for terminals.
    Colour,
}

/// A place and what is to be said about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is said about it.
    pub text: String,
}

/// One fault: its title, its places and its remedies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Whether it keeps the rules from being used.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub title: String,
    /// The place that is at fault; absent where the fault has none.
    pub primary: Option<Label>,
    /// Other places that explain it.
    pub others: Vec<Label>,
    /// What to do about it.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error with this title.
    pub fn error(title: impl Into<String>) -> Self {
        Self::new(Severity::Error, title.into())
    }

    /// A warning with this title.
    pub fn warning(title: impl Into<String>) -> Self {
        Self::new(Severity::Warning, title.into())
    }

    const fn new(severity: Severity, title: String) -> Self {
        Self { severity, title, primary: None, others: Vec::new(), help: Vec::new() }
    }

    /// Points at the place that is at fault.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label { span, text: text.into() });
        self
    }

    /// Points at another place that explains the fault.
    #[must_use]
    pub fn beside(mut self, span: Span, text: impl Into<String>) -> Self {
        self.others.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

/// Every fault that was found in a set of rules files, in the order of the text.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    files: Arc<[SourceFile]>,
    entries: Vec<Diagnostic>,
}

impl Diagnostics {
    /// No faults yet, of these files.
    pub fn of(files: Arc<[SourceFile]>) -> Self {
        Self { files, entries: Vec::new() }
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.entries.push(diagnostic);
    }

    /// All of them.
    pub fn entries(&self) -> &[Diagnostic] {
        &self.entries
    }

    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.entries.iter().filter(|entry| entry.severity == Severity::Error)
    }

    /// The warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.entries.iter().filter(|entry| entry.severity == Severity::Warning)
    }

    /// Whether there is neither an error nor a warning.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is an error.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// The files that the places refer to.
    pub fn files(&self) -> &Arc<[SourceFile]> {
        &self.files
    }

    /// The line and column of a place, both counted from 1, the column in characters.
    pub fn position(&self, span: Span) -> Option<(&str, usize, usize)> {
        let file = self.files.get(index(span.file))?;
        let before = file.text.get(..clamp(&file.text, index(span.start)))?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..)?.chars().count() + 1;
        Some((&file.name, before.matches('\n').count() + 1, column))
    }

    /// All of it as text for people; ends in a line feed unless it is empty.
    pub fn render(&self, style: Style) -> String {
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Colour => Renderer::styled(),
        };
        let mut text = String::new();
        for entry in self.entries.iter().take(MAX_RENDERED) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&renderer.render(&[self.group(entry)]));
            text.push('\n');
        }
        let left = self.entries.len().saturating_sub(MAX_RENDERED);
        if left > 0 {
            text.push_str(&format!("\n... and {left} more\n"));
        }
        text
    }

    /// Takes away what was found from `first` on.
    pub(crate) fn split_off(&mut self, first: usize) -> Vec<Diagnostic> {
        self.entries.split_off(first.min(self.entries.len()))
    }

    /// Puts the diagnostics into the order of the text.
    pub(crate) fn sort(&mut self) {
        self.entries.sort_by_key(|entry| entry.primary.as_ref().map(|label| label.span));
    }

    /// Drops whatever was found from `first` on that stands on a line where `faults` of the same text stand.
    pub(crate) fn forget_echoes(&mut self, first: usize, text: &str, faults: &[Span]) {
        if faults.is_empty() {
            return;
        }
        let line_ends: Vec<_> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |span: Span| line_ends.partition_point(|end| *end < index(span.start));
        let broken: HashSet<_> = faults.iter().map(|span| (span.file, line(*span))).collect();
        let tail = self.entries.split_off(first.min(self.entries.len()));
        self.entries.extend(tail.into_iter().filter(|entry| {
            entry.primary.as_ref().is_none_or(|label| !broken.contains(&(label.span.file, line(label.span))))
        }));
    }

    fn group<'a>(&'a self, entry: &'a Diagnostic) -> Group<'a> {
        let level = match entry.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(entry.title.as_str()));
        if let Some(primary) = &entry.primary {
            let mut files = vec![primary.span.file];
            for label in &entry.others {
                if !files.contains(&label.span.file) {
                    files.push(label.span.file);
                }
            }
            for snippet in files.into_iter().filter_map(|file| self.snippet(entry, file)) {
                group = group.element(snippet);
            }
        }
        for help in &entry.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }

    /// The lines of one file that the labels of `entry` stand on, and those between them.
    fn snippet<'a>(
        &'a self,
        entry: &'a Diagnostic,
        file: u32,
    ) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let source = self.files.get(index(file))?;
        let labels = || {
            let primary = entry.primary.iter().map(|label| (AnnotationKind::Primary, label));
            let others = entry.others.iter().map(|label| (AnnotationKind::Context, label));
            primary.chain(others).filter(|(_, label)| label.span.file == file)
        };
        let ranges: Vec<_> = labels().map(|(_, label)| one_line(&source.text, label.span)).collect();
        let first = ranges.iter().map(|range| range.start).min()?;
        let last = ranges.iter().map(|range| range.end).max()?;
        // Only the lines between the labels are handed over, so the cost does not grow with the file.
        let from = source.text.get(..first)?.rfind('\n').map_or(0, |at| at + 1);
        let to = source.text.get(last..)?.find('\n').map_or(source.text.len(), |at| last + at);
        let line = source.text.get(..from)?.matches('\n').count() + 1;
        let mut snippet = Snippet::source(source.text.get(from..to)?).path(source.name.as_str()).line_start(line);
        for ((kind, label), range) in labels().zip(ranges) {
            let annotation = kind.span(range.start - from..range.end - from);
            snippet = snippet.annotation(annotation.label(label.text.as_str()));
        }
        Some(snippet.fold(true))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}

impl std::error::Error for Diagnostics {}

/// How many faults are written out. A file that is broken all over is mended from the top.
const MAX_RENDERED: usize = 200;

/// Names in backticks with commas between them and `or` before the last.
pub(crate) fn alternatives(names: &[&str]) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push_str(if at + 1 == names.len() { " or " } else { ", " });
        }
        text.push('`');
        text.push_str(name);
        text.push('`');
    }
    text
}

/// The known name that a person most likely meant.
pub(crate) fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = word.to_lowercase().replace('-', "_");
    let meant = SYNONYMS.iter().find(|(said, _)| *said == plain).map(|(_, meant)| *meant);
    if let Some(name) = meant.and_then(|meant| names.iter().find(|name| **name == meant)) {
        return Some(name);
    }
    wording::nearest(word, names.iter().copied())
}

/// Words of other products, and ours for the same.
const SYNONYMS: &[(&str, &str)] = &[
    ("accept", "allow"),
    ("allow", "off"),
    ("captcha", "challenge"),
    ("count", "score"),
    ("deny", "block"),
    ("drop", "block"),
    ("dry_run", "monitor"),
    ("forbid", "block"),
    ("hosting", "datacenter"),
    ("js_challenge", "challenge"),
    ("limit", "throttle"),
    ("log", "monitor"),
    ("observe", "monitor"),
    ("on", "enforce"),
    ("pass", "allow"),
    ("permit", "allow"),
    ("rate_limit", "throttle"),
    ("reject", "block"),
    ("report", "monitor"),
    ("shadow", "monitor"),
];

/// The part of a span that stands on its first line, at character boundaries of `text`; at least one
/// character where the line has one.
fn one_line(text: &str, span: Span) -> Range<usize> {
    let start = clamp(text, index(span.start));
    let rest = text.get(start..).unwrap_or_default();
    let line_end = start + rest.find('\n').unwrap_or(rest.len());
    let line_end =
        if text.get(start..line_end).is_some_and(|line| line.ends_with('\r')) { line_end - 1 } else { line_end };
    let one = rest.chars().next().map_or(0, char::len_utf8);
    let end = clamp(text, index(span.end)).max(start + one).min(line_end).max(start);
    start..end
}

/// The nearest character boundary at or before `at`.
fn clamp(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_a_strange_word_gets_none() {
        let names = ["allow", "throttle", "challenge", "block"];
        for (word, name) in [
            ("blok", Some("block")),
            ("Block", Some("block")),
            ("deny", Some("block")),
            ("rate-limit", Some("throttle")),
            ("chalenge", Some("challenge")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &names), name, "{word}");
        }
    }

    #[test]
    fn a_span_is_cut_to_one_line_and_to_characters() {
        for (text, start, end, range) in [
            ("ab\ncd", 0, 5, 0..2),
            ("ab\r\ncd", 0, 6, 0..2),
            ("ab", 2, 9, 2..2),
            ("é", 1, 1, 0..2),
            ("ab", 0, 0, 0..1),
            ("\n", 0, 1, 0..0),
            ("", 3, 1, 0..0),
        ] {
            assert_eq!(one_line(text, Span { file: 0, start, end }), range, "{text:?} {start}..{end}");
        }
    }
}
