//! Limits: from what is written to what is counted.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_signals::JsonPointer;

use super::places::Places;
use super::version;
use crate::diagnostics::{Diagnostic, Diagnostics, Span, quote};
use crate::model::{Bound, Count, Identify, KeyPart, Level, Limit, Route};
use crate::units::show;
use crate::written::{LevelTable, LimitTable, Located, RouteTable, WrittenCount, WrittenPart};

/// Compiles the limits of one route.
pub(super) fn limits(table: &RouteTable, route: &Route, places: &mut Places, out: &mut Diagnostics) -> Vec<Limit> {
    let mut limits = Limits { route, places, out };
    table.limits.iter().filter_map(|limit| limits.limit(limit)).collect()
}

/// The names under which an expression reads a limit: its own, which is that of its softest level, and those of its
/// levels.
pub(super) fn readable(table: &LimitTable) -> Vec<Arc<str>> {
    let name = &table.name.value;
    let levels = levels(name, &table.levels).into_iter().map(|level| level.name);
    std::iter::once(name.clone()).chain(levels.filter(|level| level != name)).collect()
}

struct Limits<'a> {
    route: &'a Route,
    places: &'a mut Places,
    out: &'a mut Diagnostics,
}

impl Limits<'_> {
    fn limit(&mut self, table: &LimitTable) -> Option<Limit> {
        let name = &table.name.value;
        let key: Option<Vec<_>> = table
            .key
            .iter()
            .map(|part| self.part(name, &part.value, part.span))
            .collect::<Vec<_>>()
            .into_iter()
            .collect();
        let count = match &table.count.value {
            WrittenCount::Requests => Some(Count::Requests),
            WrittenCount::Failures => Some(Count::Failures),
            WrittenCount::Bytes => Some(Count::Bytes),
            WrittenCount::Distinct(part) => self.part(name, part, table.count.span).map(Count::Distinct),
        };
        let (key, count) = (key?, count?);
        let scope = match &table.budget {
            Some(budget) => version::Scope::Budget(&budget.value),
            None => version::Scope::Route(&self.route.name, name),
        };
        Some(Limit {
            counter: version::counter(&scope, &table.key, &table.count.value),
            name: name.clone(),
            levels: levels(name, &table.levels),
            key,
            on_missing: table.on_missing,
            count,
            cost: table.cost.clone(),
            mode: table.mode,
        })
    }

    fn part(&mut self, limit: &str, part: &WrittenPart, span: Span) -> Option<KeyPart> {
        match part {
            WrittenPart::Known(part) => {
                if let Some(what) = unidentified(part, &self.route.identify) {
                    self.unidentified(limit, what, what, span);
                    return None;
                }
                Some(part.clone())
            }
            WrittenPart::At(place) => self.places.place(place, span, self.out).map(KeyPart::At),
            WrittenPart::Claim(claim) => self.claim(limit, claim, span),
        }
    }

    fn claim(&mut self, limit: &str, claim: &JsonPointer, span: Span) -> Option<KeyPart> {
        let Some(token) = &self.route.identify.token else {
            self.unidentified(limit, "a claim of the token", "token", span);
            return None;
        };
        let place = token.place.clone();
        self.places.claim(place, claim.clone(), span, self.out).map(KeyPart::At)
    }

    fn unidentified(&mut self, limit: &str, what: &str, key: &str, span: Span) {
        let what = if what == key { format!("`{what}`") } else { what.to_owned() };
        let place = if key == "token" { "header:authorization" } else { "header:..." };
        self.out.push(
            Diagnostic::error(format!("limit {} counts by {what}, which nothing identifies", quote(limit)))
                .at(span, format!("route {} does not say where it stands", quote(&self.route.name)))
                .help(format!("add `identify = {{ {key} = \"{place}\" }}` to the route, or to `[defaults]`")),
        );
    }
}

/// The name of an identity that a part is, and that nothing says the place of.
fn unidentified(part: &KeyPart, identify: &Identify) -> Option<&'static str> {
    let (what, is_known) = match part {
        KeyPart::User => ("user", identify.user.is_some()),
        KeyPart::Account => ("account", identify.account.is_some()),
        KeyPart::ApiKey => ("api_key", identify.api_key.is_some()),
        KeyPart::Session => ("session", identify.session.is_some()),
        KeyPart::Device => ("device", identify.device.is_some()),
        KeyPart::Token => ("token", identify.token.is_some()),
        _ => return None,
    };
    (!is_known).then_some(what)
}

fn levels(name: &Arc<str>, tables: &[LevelTable]) -> Vec<Level> {
    let same = |one: Bound, other: Bound| {
        std::mem::discriminant(&one) == std::mem::discriminant(&other) && one.rate_window() == other.rate_window()
    };
    tables
        .iter()
        .enumerate()
        .map(|(at, table)| {
            let bound = table.bound.value;
            // Levels of one window are told apart by their order, which an edit of a rate does not change.
            let rank = tables.iter().take(at).filter(|before| same(before.bound.value, bound)).count();
            Level {
                name: if tables.len() == 1 { name.clone() } else { level_name(name, bound, rank).into() },
                counter: version::level_counter(bound, rank),
                bound,
                over: table.over.value,
            }
        })
        .collect()
}

fn level_name(name: &str, bound: Bound, rank: usize) -> String {
    let kind = match bound.rate_window() {
        Some(window) => show(window),
        None => "at once".to_owned(),
    };
    if rank == 0 { format!("{name} {kind}") } else { format!("{name} {kind} {}", rank + 1) }
}

/// Reports limits of one budget that do not count the same.
pub(super) fn check_budgets<'t>(routes: impl Iterator<Item = &'t RouteTable>, out: &mut Diagnostics) {
    let mut seen: HashMap<&str, (&LimitTable, &Located<Arc<str>>)> = HashMap::new();
    for limit in routes.flat_map(|route| &route.limits) {
        let Some(budget) = &limit.budget else { continue };
        let (first, place) = *seen.entry(&budget.value).or_insert((limit, budget));
        let alike = |one: &LimitTable, other: &LimitTable| {
            one.key.iter().map(|part| &part.value).eq(other.key.iter().map(|part| &part.value))
                && one.count.value == other.count.value
                && one
                    .levels
                    .iter()
                    .map(|level| level.bound.value)
                    .eq(other.levels.iter().map(|level| level.bound.value))
        };
        if !alike(first, limit) {
            out.push(
                Diagnostic::error(format!("the budget {} is not one", quote(&budget.value)))
                    .at(budget.span, "counts otherwise, or another rate")
                    .beside(place.span, "than here")
                    .help("give both the same `key`, `count` and rates; `cost` and actions may differ"),
            );
        }
    }
}
