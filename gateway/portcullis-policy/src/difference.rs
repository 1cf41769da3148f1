//! What differs between two policies in what they mean, in words for a log.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use portcullis_intel::NetworkClass;
use portcullis_signals::{Group, SignalId};

use crate::RuleSet;
use crate::compile::PLAIN;
use crate::diagnostics::quote;
use crate::explain::value;
use crate::model::{Action, Route, Rule};
use crate::written::THRESHOLDS;

impl RuleSet {
    /// What another policy means that this one does not, a line each; empty where both mean the same.
    ///
    /// Routes, limits and rules are told apart by their names. How they are written, and in which files, does not matter.
    pub fn difference(&self, new: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let name = |route: &Route| route.name.to_string();
        let (old_routes, new_routes) = (by_name(self.routes(), name), by_name(new.routes(), name));
        told(&mut lines, "route", &old_routes, &new_routes);
        for route in new.routes() {
            let Some(old) = old_routes.get(&*route.name) else { continue };
            values(&mut lines, old, route);
            limits(&mut lines, old, route);
        }
        let scoped = |rules: &Self| {
            let name = |rule: &Rule| match rule.route.and_then(|at| rules.routes().get(usize::try_from(at).ok()?)) {
                Some(route) => format!("{}` of route `{}", rule.name, route.name),
                None => rule.name.to_string(),
            };
            by_name(rules.rules(), name).into_iter().map(|(name, rule)| (name, rule.clone())).collect::<HashMap<_, _>>()
        };
        let (old_rules, new_rules) = (scoped(self), scoped(new));
        told(&mut lines, "rule", &old_rules, &new_rules);
        let changed = new_rules.iter().filter_map(|(name, rule)| Some((name, old_rules.get(name)?, rule)));
        for (name, old, rule) in changed {
            rule_changed(&mut lines, name, old, rule);
        }
        let order = |rules: &Self| rules.rules().iter().map(|rule| rule.name.clone()).collect::<Vec<_>>();
        let (before, after) = (order(self), order(new));
        let same: HashSet<_> = before.iter().collect();
        if before != after && same == after.iter().collect() && before.len() == after.len() {
            lines.push("rules stand in another order".to_owned());
        }
        lines.sort_unstable();
        if lines.is_empty() && self.version() != new.version() {
            lines.push("values of lists, or what browsers send".to_owned());
        }
        lines
    }
}

fn by_name<T>(parts: &[T], name: impl Fn(&T) -> String) -> HashMap<String, &T> {
    parts.iter().map(|part| (name(part), part)).collect()
}

/// Tells of parts that are there in one of two policies only.
fn told<K: AsRef<str> + Eq + Hash, V>(lines: &mut Vec<String>, what: &str, old: &HashMap<K, V>, new: &HashMap<K, V>) {
    let missing = |here: &HashMap<K, V>, there: &HashMap<K, V>, how: &str| {
        let gone = here.keys().filter(|name| !there.contains_key(*name));
        gone.map(|name| format!("{what} {} {how}", quote(name.as_ref()))).collect::<Vec<_>>()
    };
    lines.extend(missing(new, old, "added"));
    lines.extend(missing(old, new, "removed"));
}

/// Tells of each value of a route that is another.
fn values(lines: &mut Vec<String>, old: &Route, new: &Route) {
    let plain = PLAIN.iter().map(|(key, inner, _)| (*key, *inner));
    let thresholds = THRESHOLDS.into_iter().map(|inner| ("thresholds", inner));
    let puzzle = ["difficulty_bits", "count"].into_iter().map(|inner| ("puzzle", inner));
    let filters = NetworkClass::ALL.into_iter().map(|class| ("filters", class.name()));
    let weights = SignalId::ALL.iter().map(|signal| ("weights", signal.name()));
    let caps = Group::ALL.into_iter().map(|group| ("caps", group.name())).chain([("caps", "connection")]);
    for (key, inner) in plain.chain(thresholds).chain(puzzle).chain(filters).chain(weights).chain(caps) {
        let (before, after) = (value(old, key, inner), value(new, key, inner));
        if before != after {
            let none = || "none".to_owned();
            let dot = if inner.is_empty() { "" } else { "." };
            let (before, after) = (before.unwrap_or_else(none), after.unwrap_or_else(none));
            lines.push(format!("route {}: {key}{dot}{inner} {before} -> {after}", quote(&new.name)));
        }
    }
    if old.matches != new.matches {
        lines.push(format!("route {}: it takes other requests", quote(&new.name)));
    }
}

fn limits(lines: &mut Vec<String>, old: &Route, new: &Route) {
    let name = |limit: &crate::model::Limit| limit.name.to_string();
    let (before, after) = (by_name(&old.limits, name), by_name(&new.limits, name));
    told(lines, &format!("route {}: limit", quote(&new.name)), &before, &after);
    for (name, limit) in &after {
        if before.get(name).is_some_and(|known| known != limit) {
            lines.push(format!("route {}: limit {} changed", quote(&new.name), quote(name)));
        }
    }
}

/// Tells how a rule changed. Its route is left out, which is a place in a set.
fn rule_changed(lines: &mut Vec<String>, name: &str, old: &Rule, new: &Rule) {
    let mut changes = Vec::new();
    if old.action != new.action {
        let name = |action: Action| action.name();
        changes.push(format!("{} -> {}", name(old.action), name(new.action)));
    }
    if old.mode != new.mode {
        changes.push(format!("{} -> {}", old.mode.name(), new.mode.name()));
    }
    if old.when != new.when {
        changes.push("its conditions".to_owned());
    }
    if format!("{:?}", old.machine) != format!("{:?}", new.machine) {
        changes.push("its expression or effect".to_owned());
    }
    if old.until != new.until {
        changes.push("its end".to_owned());
    }
    if (&old.owner, &old.reason) != (&new.owner, &new.reason) {
        changes.push("who owns it, or why".to_owned());
    }
    if !changes.is_empty() {
        lines.push(format!("rule {} changed: {}", quote(name), changes.join(", ")));
    }
}
