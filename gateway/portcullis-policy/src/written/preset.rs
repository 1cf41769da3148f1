//! `[[preset]]` as written.

use std::sync::Arc;

use super::Located;
use super::reader::{Reader, Section};
use super::values::{puzzle, thresholds};
use crate::diagnostics::Span;
use crate::score::Score;

/// Thresholds and puzzle under a name of the operator.
#[derive(Debug)]
pub(crate) struct PresetTable {
    pub(crate) name: Located<Arc<str>>,
    /// The preset that says what is not written here.
    pub(crate) like: Option<Located<Arc<str>>>,
    /// `throttle`, `challenge`, `block`, `ban`; none inside is `"off"`.
    pub(crate) thresholds: [Option<Located<Option<Score>>>; 4],
    pub(crate) difficulty_bits: Option<Located<u8>>,
    pub(crate) puzzle_count: Option<Located<u16>>,
}

impl PresetTable {
    pub(super) fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let name = section.require("name", "\"checkout\"", reader).and_then(|item| reader.name(&item));
        let like = section.take("like").and_then(|item| reader.name(&item));
        let thresholds = thresholds(&mut section, reader);
        let (difficulty_bits, puzzle_count) = puzzle(&mut section, reader);
        section.finish(reader);
        Some(Self { name: name?, like, thresholds, difficulty_bits, puzzle_count })
    }

    /// Where the last value of its puzzle stands.
    pub(crate) fn puzzle_span(&self) -> Option<Span> {
        self.puzzle_count.map(|count| count.span).or(self.difficulty_bits.map(|bits| bits.span))
    }
}
