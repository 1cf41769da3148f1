//! What is wrong with a file of rows: each fault with its place and its remedy.

use std::fmt;
use std::ops::Range;

use crate::wording::{nearest, quote};

/// Everything that is wrong with a file of rows, in the order of the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FamiliesError {
    file: Box<str>,
    faults: Vec<FamiliesFault>,
}

/// One thing that is wrong with a file of rows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FamiliesFault {
    /// The bytes of the file that are at fault.
    pub at: Range<usize>,
    /// The line that they begin on, from 1.
    pub line: usize,
    /// The column that they begin at, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub title: String,
    /// What is to be said about the place.
    pub label: String,
    /// What to do; empty where the fault says it.
    pub help: String,
}

impl FamiliesError {
    /// All faults, at most 200 and one that counts the rest.
    pub fn faults(&self) -> &[FamiliesFault] {
        &self.faults
    }
}

impl fmt::Display for FamiliesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            let FamiliesFault { line, column, title, label, help, .. } = fault;
            write!(f, "{}:{line}:{column}: {title}: {label}", self.file)?;
            if !help.is_empty() {
                write!(f, "\n  = help: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for FamiliesError {}

/// How many faults of a file are told. A file that is broken all over is mended from the top.
const MAX_FAULTS: usize = 200;

/// How many known names are listed beside the nearest one.
const MAX_LISTED_NAMES: usize = 8;

/// The faults of one file, as they are found.
#[derive(Default)]
pub(super) struct Faults {
    found: Vec<FamiliesFault>,
}

impl Faults {
    /// Notes a fault.
    pub(super) fn add(
        &mut self,
        at: &Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (title, label, help) = (title.into(), label.into(), help.into());
        self.found.push(FamiliesFault { at: at.clone(), line: 0, column: 0, title, label, help });
    }

    /// Notes a word that is none of those known here.
    pub(super) fn unknown(&mut self, at: &Range<usize>, title: String, word: &str, known: &[&str]) {
        let near = nearest(word, known.iter().copied());
        let listed = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let help = match near {
            // A long list beside the one that was meant hides it.
            Some(name) if known.len() > MAX_LISTED_NAMES => format!("did you mean `{name}`?"),
            Some(name) => format!("did you mean `{name}`? Known here: {}", listed()),
            None => format!("known here: {}", listed()),
        };
        self.add(at, title, "not known here", help);
    }

    /// What was read, where nothing is wrong.
    pub(super) fn or<T>(mut self, file: &str, text: &str, read: T) -> Result<T, FamiliesError> {
        if self.found.is_empty() {
            return Ok(read);
        }
        self.found.sort_by_key(|fault| fault.at.start);
        let left = self.found.split_off(self.found.len().min(MAX_FAULTS));
        if let Some(first) = left.first() {
            let title = format!("{} more faults", left.len());
            self.add(&first.at, title, "from here on", "mend those before them first");
        }
        for fault in &mut self.found {
            (fault.line, fault.column) = position(text, fault.at.start);
        }
        Err(FamiliesError { file: quotable(file), faults: self.found })
    }
}

/// The name of a file without what would break a line of a message.
fn quotable(file: &str) -> Box<str> {
    quote(file).trim_matches('`').into()
}

/// Line and column of a byte, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}
