//! `[[preset]]`: presets of the operator, each resolved to whole thresholds and a whole puzzle.

use std::collections::HashMap;
use std::sync::Arc;

use super::layers::{check_rise, check_work};
use crate::diagnostics::{Diagnostic, Diagnostics, Span, alternatives, nearest, quote};
use crate::model::Puzzle;
use crate::presets::Preset;
use crate::score::Score;
use crate::written::{Located, PresetTable, Whole, Written};

/// Every preset that may be named.
#[derive(Debug)]
pub(super) struct Presets {
    by_name: HashMap<Arc<str>, Known>,
    /// Where a name is unknown, which is reported, and where none is named.
    otherwise: Known,
    /// In the order in which they are offered.
    names: Vec<Arc<str>>,
    whole: Whole,
}

/// One preset, and where its values stand; nowhere where they are shipped.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: Arc<str>,
    /// `throttle`, `challenge`, `block`, `ban`.
    pub(super) thresholds: [(Option<Score>, Option<Span>); 4],
    pub(super) puzzle: Puzzle,
    pub(super) difficulty_bits_at: Option<Span>,
    pub(super) puzzle_count_at: Option<Span>,
}

impl Presets {
    /// Resolves all that are written. What has a fault is reported, and takes the values of what it is like.
    pub(super) fn of(written: &Written, out: &mut Diagnostics) -> Self {
        let shipped = Preset::NAMED.map(|(_, preset)| Known::shipped(preset));
        let mut presets = Self {
            names: shipped.iter().map(|known| known.name.clone()).collect(),
            by_name: shipped.into_iter().map(|known| (known.name.clone(), known)).collect(),
            otherwise: Known::shipped(Preset::default()),
            whole: written.whole,
        };
        let tables = presets.named_once(&written.presets, out);
        presets.names.extend(tables.iter().map(|table| table.name.value.clone()));
        // From what is shipped to what is like it, and on to what is like that.
        let mut waiting: HashMap<&str, Vec<&PresetTable>> = HashMap::new();
        for table in &tables {
            waiting.entry(base(table)).or_default().push(table);
        }
        let mut ready: Vec<Arc<str>> = presets.by_name.keys().cloned().collect();
        while let Some(name) = ready.pop() {
            for table in waiting.remove(&*name).unwrap_or_default() {
                let known = presets.known(Some(&name)).overlaid(table, out);
                ready.push(known.name.clone());
                presets.by_name.insert(known.name.clone(), known);
            }
        }
        let left = tables.into_iter().filter(|table| !presets.by_name.contains_key(&table.name.value)).collect();
        presets.give_up(left, out);
        presets
    }

    /// The preset of a name; the usual one without.
    pub(super) fn known(&self, name: Option<&str>) -> &Known {
        name.and_then(|name| self.by_name.get(name)).unwrap_or(&self.otherwise)
    }

    /// Reports a name that is no preset's.
    pub(super) fn check(&self, name: &Located<Arc<str>>, key: &str, out: &mut Diagnostics) {
        let is_known = self.by_name.contains_key(&name.value) || self.names.contains(&name.value);
        if is_known || self.whole == Whole::No {
            return;
        }
        let names: Vec<&str> = self.names.iter().map(|name| &**name).collect();
        let title = format!("unknown value {} for `{key}`", quote(&name.value));
        let mut fault = Diagnostic::error(title).at(name.span, "not known here");
        let near = nearest(&name.value, &names);
        if let Some(name) = near {
            fault = fault.help(format!("did you mean `{name}`?"));
        }
        if near.is_none() || names.len() <= MAX_LISTED {
            fault = fault.help(format!("known: {}", alternatives(&names)));
        }
        out.push(fault);
    }

    /// The tables, without those whose name is another's.
    fn named_once<'w>(&self, tables: &'w [PresetTable], out: &mut Diagnostics) -> Vec<&'w PresetTable> {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        let mut once = Vec::with_capacity(tables.len());
        for table in tables {
            let name = &table.name;
            if self.by_name.contains_key(&name.value) {
                out.push(
                    Diagnostic::error(format!("the name `{}` is taken", name.value))
                        .at(name.span, "this preset is shipped")
                        .help(format!("give it another name, with `like = \"{}\"`", name.value)),
                );
            } else if let Some(before) = seen.insert(&name.value, name.span) {
                out.push(
                    Diagnostic::error(format!("two presets are named {}", quote(&name.value)))
                        .at(name.span, "again here")
                        .beside(before, "first here")
                        .help("give each a name of its own"),
                );
            } else {
                once.push(table);
            }
        }
        once
    }

    /// Reports presets that lead to nothing that is shipped: those like an unknown one, and those like themselves.
    fn give_up(&mut self, left: Vec<&PresetTable>, out: &mut Diagnostics) {
        let by_name: HashMap<&str, &PresetTable> = left.iter().map(|table| (&*table.name.value, *table)).collect();
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (turn, first) in left.iter().enumerate() {
            let mut next = Some(*first);
            while let Some(table) = next {
                let Some(like) = &table.like else { break };
                match seen.insert(&table.name.value, turn) {
                    Some(before) if before == turn => {
                        out.push(
                            Diagnostic::error(format!("the preset {} is like itself", quote(&table.name.value)))
                                .at(like.span, "leads back here")
                                .help("have one of them be like a preset that is shipped: `like = \"balanced\"`"),
                        );
                        break;
                    }
                    Some(_) => break,
                    None => {}
                }
                next = by_name.get(&*like.value).copied();
                if next.is_none() {
                    self.check(like, "like", out);
                }
            }
        }
        for table in left {
            let known = Known { name: table.name.value.clone(), ..self.otherwise.clone() };
            self.by_name.insert(known.name.clone(), known);
        }
    }
}

impl Known {
    fn shipped(preset: Preset) -> Self {
        let thresholds = preset.thresholds();
        Self {
            name: preset.name().into(),
            thresholds: [thresholds.throttle, thresholds.challenge, thresholds.block, thresholds.ban]
                .map(|score| (score, None)),
            puzzle: preset.puzzle(),
            difficulty_bits_at: None,
            puzzle_count_at: None,
        }
    }

    /// What a table makes of it.
    fn overlaid(&self, table: &PresetTable, out: &mut Diagnostics) -> Self {
        let mut known = Self { name: table.name.value.clone(), ..self.clone() };
        for (stage, written) in known.thresholds.iter_mut().zip(&table.thresholds) {
            if let Some(written) = written {
                *stage = (written.value, Some(written.span));
            }
        }
        // Only what stands in this table is pointed at: what it is like may stand in another file.
        let mut stages = known.thresholds.map(|(score, _)| (score, None));
        for ((_, place), written) in stages.iter_mut().zip(&table.thresholds) {
            *place = written.map(|written| written.span);
        }
        let who = format!("the preset {}", quote(&known.name));
        if !check_rise(&who, &format!("the preset {}", quote(&self.name)), &stages, out) {
            known.thresholds = self.thresholds;
        }
        if let Some(bits) = table.difficulty_bits {
            (known.puzzle.difficulty_bits, known.difficulty_bits_at) = (bits.value, Some(bits.span));
        }
        if let Some(count) = table.puzzle_count {
            (known.puzzle.count, known.puzzle_count_at) = (count.value, Some(count.span));
        }
        if let Some(place) = table.puzzle_span()
            && !check_work(&known.puzzle, place, out)
        {
            known.puzzle = self.puzzle;
        }
        known
    }
}

/// The name of the preset that a table is like.
fn base(table: &PresetTable) -> &str {
    table.like.as_ref().map_or_else(|| Preset::default().name(), |like| &like.value)
}

/// The presets that nothing names, each with its place.
pub(super) fn unused(written: &Written) -> Vec<(Arc<str>, Span)> {
    let values = std::iter::once(&written.defaults).chain(written.routes.iter().map(|route| &route.values));
    let named = values.filter_map(|values| values.preset.as_ref());
    let named = named.chain(written.presets.iter().filter_map(|preset| preset.like.as_ref()));
    let named: std::collections::HashSet<&str> = named.map(|name| &*name.value).collect();
    let idle = written.presets.iter().filter(|preset| !named.contains(&*preset.name.value));
    idle.map(|preset| (preset.name.value.clone(), preset.name.span)).collect()
}

/// How many names are listed beside the nearest one.
const MAX_LISTED: usize = 8;
