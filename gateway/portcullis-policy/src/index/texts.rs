//! Rules by the literal pieces of their text patterns.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::Scope;
use crate::model::TextPattern;

/// How many bytes of a piece it is looked for by: `bot` must be found, and shorter pieces tell little.
const GRAM_BYTES: usize = 3;

/// Bits of the filter: at least 512 bytes, at most 128 KiB, which a core keeps at hand. Between them 64 bits a
/// gram, so that one byte in 64 of a text is looked up in vain; past them that share grows.
const FILTER_BITS: std::ops::RangeInclusive<u32> = 12..=20;

/// Rules by text: whole texts in a map, else by the longest literal piece of a pattern.
///
/// Of each piece three bytes that few others have, its gram, are filed. A pass over the text asks a filter for
/// every three bytes; only where that says yes are pieces compared. The pass costs the same for ten patterns
/// and for ten thousand, and unlike that of an automaton its steps do not wait for each other.
///
/// Everything here is in lower case; whoever asks checks the pattern itself again.
#[derive(Debug, Default)]
pub(super) struct TextIndex {
    whole: HashMap<Box<[u8]>, Entries, FixedState>,
    /// One bit for each hash of a gram.
    filter: Box<[u64]>,
    shift: u32,
    grams: HashMap<u32, Vec<Anchor>, FixedState>,
    pieces: Vec<Piece>,
    /// Patterns whose longest piece is shorter than a gram.
    always: Entries,
}

/// Where a gram stands in a piece.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    piece: usize,
    /// How many bytes of the piece are before the gram.
    before: usize,
}

/// A piece with the patterns whose longest one it is.
#[derive(Debug)]
struct Piece {
    text: Box<[u8]>,
    entries: Entries,
}

/// Patterns, those of one scope together.
#[derive(Debug, Default)]
struct Entries {
    // INVARIANT: sorted once built, by scope first.
    entries: Vec<Entry>,
}

/// One pattern of one rule.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Entry {
    pub(super) scope: Scope,
    pub(super) rule: u32,
    /// The place of the pattern among those of the rule.
    pub(super) pattern: u32,
}

impl Entries {
    fn of(&self, scope: Scope) -> impl Iterator<Item = Entry> + '_ {
        let start = self.entries.partition_point(|entry| entry.scope < scope);
        self.entries.iter().skip(start).take_while(move |entry| entry.scope == scope).copied()
    }
}

/// A text index while it is filled.
#[derive(Default)]
pub(super) struct Builder {
    index: TextIndex,
    numbers: HashMap<Box<[u8]>, usize, FixedState>,
}

impl Builder {
    pub(super) fn file(&mut self, pattern: &TextPattern, entry: Entry) {
        let index = &mut self.index;
        let entries = if let Some(text) = pattern.literal() {
            index.whole.entry(text).or_default()
        } else if let Some(text) = pattern.longest_piece().filter(|piece| piece.len() >= GRAM_BYTES) {
            let number = *self.numbers.entry(text).or_insert_with_key(|text| {
                index.pieces.push(Piece { text: text.clone(), entries: Entries::default() });
                index.pieces.len() - 1
            });
            let Some(piece) = index.pieces.get_mut(number) else { return };
            &mut piece.entries
        } else {
            &mut index.always
        };
        entries.entries.push(entry);
    }

    pub(super) fn build(self) -> TextIndex {
        let mut index = self.index;
        index.file_grams();
        let by_piece = index.pieces.iter_mut().map(|piece| &mut piece.entries);
        for entries in index.whole.values_mut().chain(by_piece).chain([&mut index.always]) {
            entries.entries.sort_unstable();
        }
        index
    }
}

impl TextIndex {
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.pieces.is_empty() && self.always.entries.is_empty()
    }

    /// Files each piece under that of its grams which the fewest pieces have.
    fn file_grams(&mut self) {
        let mut frequency: HashMap<u32, u32, FixedState> = HashMap::default();
        for piece in &self.pieces {
            for (_, gram) in grams(&piece.text) {
                *frequency.entry(gram).or_default() += 1;
            }
        }
        for (number, piece) in self.pieces.iter().enumerate() {
            let rarest = grams(&piece.text).min_by_key(|(_, gram)| frequency.get(gram));
            if let Some((at, gram)) = rarest {
                self.grams.entry(gram).or_default().push(Anchor { piece: number, before: at });
            }
        }
        if self.grams.is_empty() {
            return;
        }
        let bits = (self.grams.len() * 64).next_power_of_two().ilog2().clamp(*FILTER_BITS.start(), *FILTER_BITS.end());
        self.shift = u32::BITS - bits;
        self.filter = vec![0; 1 << (bits - 6)].into();
        for gram in self.grams.keys() {
            let (word, bit) = place(*gram, self.shift);
            if let Some(word) = self.filter.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Tells every pattern of the scopes that could match a text in lower case, each once.
    pub(super) fn each(&self, text: &[u8], scopes: [Scope; 2], mut tell: impl FnMut(Entry)) {
        let mut tell_all = |entries: &Entries| {
            for scope in scopes {
                entries.of(scope).for_each(&mut tell);
            }
        };
        tell_all(&self.always);
        if !self.whole.is_empty()
            && let Some(entries) = self.whole.get(text)
        {
            tell_all(entries);
        }
        if self.pieces.is_empty() {
            return;
        }
        let mut seen = Seen::default();
        for (at, gram) in grams(text) {
            let (word, bit) = place(gram, self.shift);
            if self.filter.get(word).is_none_or(|word| word & bit == 0) {
                continue;
            }
            for anchor in self.grams.get(&gram).into_iter().flatten() {
                let Some(piece) = self.pieces.get(anchor.piece) else { continue };
                let stands =
                    at.checked_sub(anchor.before).and_then(|start| text.get(start..)?.strip_prefix(&*piece.text));
                // A piece that comes a thousand times is one find: the cost stays linear in the text.
                if stands.is_some() && seen.insert(anchor.piece, self.pieces.len()) {
                    tell_all(&piece.entries);
                }
            }
        }
    }
}

/// Every three bytes of a text as one number, with the place of their start.
fn grams(text: &[u8]) -> impl Iterator<Item = (usize, u32)> + '_ {
    text.windows(GRAM_BYTES).enumerate().map(|(at, window)| {
        let gram = if let [first, second, third] = *window { u32::from_le_bytes([first, second, third, 0]) } else { 0 };
        (at, gram)
    })
}

/// The word and the bit of a gram in the filter, by the leading bits of a product (Fibonacci hashing).
const fn place(gram: u32, shift: u32) -> (usize, u64) {
    let hash = gram.wrapping_mul(0x9e37_79b9) >> shift;
    ((hash / 64) as usize, 1 << (hash % 64))
}

/// Which pieces were found already. Up to 1,024 pieces it needs no memory of its own.
#[derive(Default)]
struct Seen {
    bits: SmallVec<[u64; 16]>,
}

impl Seen {
    /// Whether `piece`, one of `pieces`, is new.
    fn insert(&mut self, piece: usize, pieces: usize) -> bool {
        if self.bits.is_empty() {
            self.bits.resize(pieces.div_ceil(64), 0);
        }
        let bit = 1_u64 << (piece % 64);
        let Some(word) = self.bits.get_mut(piece / 64) else { return false };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}
