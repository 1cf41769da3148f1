//! What is probably not meant, though it compiles: rules that do nothing, contradict each other, or are open to all.
//!
//! Everything in here is a warning with its place. What depends on the day is told that day.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use portcullis_signals::UnixSeconds;

use crate::compile::{Compiled, Spans};
use crate::conditions::is_method;
use crate::diagnostics::{Diagnostic, Diagnostics, Span, nearest, quote};
use crate::model::{Action, Case, Mode, Route, Rule, Sensitivity, TextPattern, When};

impl Compiled {
    /// What is probably not meant in these rules at this time; warnings only, in the order of the text.
    pub fn lint(&self, now: UnixSeconds) -> Diagnostics {
        let rules = self.rules.rules();
        let mut lint = Lint {
            rules,
            routes: self.rules.routes(),
            places: &self.places,
            networks: rules.iter().map(|rule| Networks::of(&rule.when.ip)).collect(),
            now,
            out: Diagnostics::of(self.warnings.files().clone()),
        };
        lint.expired();
        lint.never_met();
        lint.constant();
        lint.open_to_all();
        lint.overshadowed();
        lint.denied_beside_allowed();
        lint.unlimited();
        lint.unused_lists();
        lint.unused_presets();
        lint.unused_pages();
        lint.out.sort();
        lint.out
    }

    /// The expressions that read own signals which nothing gives: where these are the names of those that are given. A
    /// rule that asks for one is left out for every request.
    pub fn unknown_own_signals(&self, given: &[&str]) -> Diagnostics {
        let mut out = Diagnostics::of(self.warnings.files().clone());
        for (at, rule) in self.rules.rules().iter().enumerate() {
            let read = rule.machine.iter().flat_map(|machine| &machine.program.own);
            let unknown: BTreeSet<&str> = read.map(|name| &**name).filter(|name| !given.contains(name)).collect();
            for name in unknown {
                let place = self.places.rules.get(at).copied().unwrap_or(Span { file: 0, start: 0, end: 0 });
                let title = format!("no request has the own signal {}", quote(name));
                let help = nearest(name, given).map_or_else(
                    || "name where it comes from in `[identity]` of the settings".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                out.push(Diagnostic::warning(title).at(place, "its expression reads it").help(help));
            }
        }
        out
    }
}

struct Lint<'a> {
    rules: &'a [Rule],
    routes: &'a [Route],
    places: &'a Spans,
    /// The addresses of each rule.
    networks: Vec<Networks>,
    now: UnixSeconds,
    out: Diagnostics,
}

/// How many rules are held against each other; their pairs are looked at one by one.
const MAX_COMPARED: usize = 3_000;

impl Lint<'_> {
    fn place(&self, rule: usize) -> Span {
        self.places.rules.get(rule).copied().unwrap_or(Span { file: 0, start: 0, end: 0 })
    }

    fn warn(&mut self, rule: usize, title: String, label: impl Into<String>, help: &str) {
        let place = self.place(rule);
        self.out.push(Diagnostic::warning(title).at(place, label).help(help));
    }

    fn is_expired(&self, rule: &Rule) -> bool {
        rule.until.is_some_and(|until| until <= self.now.0)
    }

    fn expired(&mut self) {
        for (at, rule) in self.rules.iter().enumerate() {
            if self.is_expired(rule) {
                let days = self.now.0.saturating_sub(rule.until.unwrap_or(0)) / 86_400;
                let label = if days == 0 { "ended today".to_owned() } else { format!("ended {days} days ago") };
                let title = format!("rule {} has expired", quote(&rule.name));
                self.warn(at, title, label, "take it out, or give it another `until`");
            }
        }
    }

    /// Conditions that no request of the rule's own route can meet.
    fn never_met(&mut self) {
        for (at, rule) in self.rules.iter().enumerate() {
            let route = rule.route.and_then(|route| self.routes.get(usize::try_from(route).ok()?));
            let Some(route) = route else { continue };
            let (matches, when) = (&route.matches, &rule.when);
            let methods = !matches.methods.is_empty()
                && !when.method.is_empty()
                && !when.method.iter().any(|method| matches.methods.iter().any(|asked| is_method(method, asked)));
            // Only paths without a parameter are known before a request.
            let literal = !matches.paths.is_empty() && !matches.paths.iter().any(|path| path.contains('{'));
            let paths = literal
                && !when.path.is_empty()
                && !matches.paths.iter().any(|path| when.path.iter().any(|known| known.matches(path.as_bytes())));
            let what = match (methods, paths) {
                (true, _) => "method",
                (_, true) => "path",
                _ => continue,
            };
            let title = format!("rule {} never holds", quote(&rule.name));
            let label = format!("route {} has no request of such a {what}", quote(&route.name));
            self.warn(at, title, label, "change the condition, or move the rule out of the route");
        }
    }

    fn constant(&mut self) {
        for (at, rule) in self.rules.iter().enumerate() {
            let Some(machine) = rule.machine.as_ref().filter(|machine| !machine.text.is_empty()) else { continue };
            let (title, label) = match machine.constant() {
                Some(false) => (format!("rule {} never holds", quote(&rule.name)), "its expression is always false"),
                Some(true) if rule.when == When::default() => {
                    (format!("rule {} holds for every request", quote(&rule.name)), "its expression is always true")
                }
                _ => continue,
            };
            self.warn(at, title, label, "let the expression ask for something of the request, or take the rule out");
        }
    }

    /// What allows by nothing but what a client says of itself lets everybody in who says it.
    fn open_to_all(&mut self) {
        for (at, rule) in self.rules.iter().enumerate() {
            if rule.action != Action::Allow || rule.machine.as_ref().is_some_and(|machine| !machine.acts()) {
                continue;
            }
            let when = &rule.when;
            let bound = !(when.ip.is_empty()
                && when.asn.is_empty()
                && when.country.is_empty()
                && when.class.is_empty()
                && when.crawler.is_empty()
                && when.api_key.is_empty());
            let says = !(when.user.is_empty()
                && when.user_agent.is_empty()
                && when.header.is_empty()
                && when.claim.is_empty()
                && when.client_name.is_empty());
            let reads = rule.machine.as_ref().map(|machine| machine.program.reads).unwrap_or_default();
            if bound || reads.known || !(says || reads.sent) {
                continue;
            }
            let title = format!("rule {} lets everybody in who says so", quote(&rule.name));
            let help = "add what a client cannot choose: its address, its network, an own signal";
            self.warn(at, title, "rests on what a client sends", help);
        }
    }

    /// Rules that are never asked, since one before them holds wherever they do.
    fn overshadowed(&mut self) {
        if self.rules.len() > MAX_COMPARED {
            self.out.push(
                Diagnostic::warning(format!("{} rules are too many to hold against each other", self.rules.len()))
                    .help("put values into named lists, so that one rule does what many do"),
            );
            return;
        }
        let mut told = HashSet::new();
        for (first, earlier) in self.rules.iter().enumerate() {
            if earlier.machine.is_some() || earlier.mode == Mode::Monitor || self.is_expired(earlier) {
                continue;
            }
            for (second, later) in self.rules.iter().enumerate() {
                if first == second || told.contains(&second) || !goes_before((first, earlier), (second, later)) {
                    continue;
                }
                if self.is_expired(later) || !self.covers(first, second) {
                    continue;
                }
                told.insert(second);
                let fault = self.overshadowing(first, second);
                self.out.push(fault);
            }
        }
    }

    fn overshadowing(&self, first: usize, second: usize) -> Diagnostic {
        let name = |rule: usize| self.rules.get(rule).map(|rule| quote(&rule.name)).unwrap_or_default();
        let of = |rule: usize| self.rules.get(rule).map(|rule| rule.action);
        let (earlier, later) = (name(first), name(second));
        let weighs = self.rules.get(second).is_some_and(|rule| rule.machine.is_some());
        let (title, help) = if !weighs && of(first) != of(second) && self.covers(second, first) {
            (format!("rules {earlier} and {later} contradict each other"), "keep the one that is meant")
        } else {
            let help = "take it out, or let the first one hold for less";
            (format!("rule {later} never decides"), help)
        };
        Diagnostic::warning(title)
            .at(self.place(second), format!("{earlier} is asked first, and holds wherever this holds"))
            .beside(self.place(first), "asked first")
            .help(help)
    }

    /// Whether the conditions of one rule hold wherever those of another hold.
    fn covers(&self, wide: usize, narrow: usize) -> bool {
        let (Some(wide_rule), Some(narrow_rule)) = (self.rules.get(wide), self.rules.get(narrow)) else { return false };
        let (one, other) = (&wide_rule.when, &narrow_rule.when);
        let lasts = wide_rule.until.is_none_or(|until| narrow_rule.until.is_some_and(|other| other <= until));
        // A rule that allows asks crawlers for the proof.
        let proof = wide_rule.action != Action::Allow || narrow_rule.action == Action::Allow || one.crawler.is_empty();
        let addresses = one.ip.is_empty()
            || !other.ip.is_empty()
                && self.networks.get(wide).zip(self.networks.get(narrow)).is_some_and(|(one, other)| one.hold(other));
        lasts
            && proof
            && among(&one.asn, &other.asn)
            && among(&one.country, &other.country)
            && among(&one.class, &other.class)
            && among(&one.crawler, &other.crawler)
            && among(&one.claim, &other.claim)
            && among(&one.client_name, &other.client_name)
            && among(&one.ja3, &other.ja3)
            && among(&one.ja4, &other.ja4)
            && among(&one.http2, &other.http2)
            && among(&one.user, &other.user)
            && among(&one.api_key, &other.api_key)
            && among(&one.method, &other.method)
            && patterns_hold(&one.user_agent, &other.user_agent)
            && patterns_hold(&one.path, &other.path)
            && one.header.iter().all(|(name, wide)| {
                other.header.iter().any(|(other, narrow)| other == name && pattern_holds(wide, narrow))
            })
            && addresses
    }

    /// Addresses that a rule refuses and an allow rule lets in: the refusal never comes.
    fn denied_beside_allowed(&mut self) {
        if self.rules.len() > MAX_COMPARED {
            return;
        }
        for (allowing, allow) in self.rules.iter().enumerate() {
            let alone = When { ip: allow.when.ip.clone(), ..When::default() } == allow.when;
            let acts = allow.action == Action::Allow && allow.machine.is_none() && allow.mode == Mode::Enforce;
            if !acts || !alone || allow.when.ip.is_empty() || self.is_expired(allow) {
                continue;
            }
            for (denying, deny) in self.rules.iter().enumerate() {
                let concerns = deny.action != Action::Allow && (allow.route.is_none() || allow.route == deny.route);
                if !concerns || self.is_expired(deny) || self.covers(allowing, denying) {
                    continue;
                }
                let Some(allowed) = self.networks.get(allowing) else { continue };
                let mut within = deny.when.ip.iter().filter(|network| allowed.hold(&Networks::of(&[**network])));
                let Some(network) = within.next() else { continue };
                let more = within.count();
                let which = if more == 0 { network.to_string() } else { format!("{network} and {more} more") };
                let title = format!("rule {} refuses what rule {} allows", quote(&deny.name), quote(&allow.name));
                let label = format!("{which} is let in before this is asked");
                let (place, beside) = (self.place(denying), self.place(allowing));
                self.out.push(
                    Diagnostic::warning(title)
                        .at(place, label)
                        .beside(beside, "lets it in")
                        .help("take the address out of one of the two; rules that allow are asked first"),
                );
            }
        }
    }

    /// A route that can do much harm counts nobody's requests.
    fn unlimited(&mut self) {
        for (at, route) in self.routes.iter().enumerate().skip(1) {
            let level = match route.sensitivity {
                Sensitivity::Low | Sensitivity::Normal => continue,
                Sensitivity::High => "high",
                Sensitivity::Critical => "critical",
            };
            if route.limits.iter().any(|limit| limit.mode == Mode::Enforce) {
                continue;
            }
            let Some(place) = self.places.routes.get(at).copied().flatten() else { continue };
            let watched = if route.limits.is_empty() { "has no limit" } else { "has limits in monitor only" };
            self.out.push(
                Diagnostic::warning(format!("route {} has no limit in force", quote(&route.name)))
                    .at(place, format!("its sensitivity is `{level}`, and it {watched}"))
                    .help("add a `[[route.limit]]`, or lower the `sensitivity`"),
            );
        }
    }

    fn unused_presets(&mut self) {
        for (name, place) in &self.places.unused_presets {
            self.out.push(
                Diagnostic::warning(format!("nothing uses the preset {}", quote(name)))
                    .at(*place, "named by no route")
                    .help(format!("name it by `preset = \"{name}\"`, or take it out")),
            );
        }
    }

    fn unused_pages(&mut self) {
        for (name, place) in &self.places.unused_pages {
            self.out.push(
                Diagnostic::warning(format!("nothing uses the page {}", quote(name)))
                    .at(*place, "this file")
                    .help(format!("name it by `refusal = {{ page = \"{name}\" }}`, or take the file away")),
            );
        }
    }

    fn unused_lists(&mut self) {
        for (name, place) in &self.places.unused_lists {
            self.out.push(
                Diagnostic::warning(format!("nothing uses the list {}", quote(name)))
                    .at(*place, "this file")
                    .help(format!("name it in a rule as `\"@{name}\"`, or take the file away")),
            );
        }
    }
}

/// Whether an access rule decides before another one is asked, where both hold.
fn goes_before((first, earlier): (usize, &Rule), (second, later): (usize, &Rule)) -> bool {
    let reaches = earlier.route.is_none() || earlier.route == later.route;
    let allows = earlier.action == Action::Allow;
    if later.machine.is_some() {
        // A challenge that is met lets the expression be asked.
        return reaches && (allows || matches!(earlier.action, Action::Block | Action::Ban));
    }
    match (allows, later.action == Action::Allow) {
        (true, false) => reaches,
        (false, true) => false,
        // Among their like, those of the route come first, then those written first.
        _ => reaches && (earlier.route.is_some() || later.route.is_none()) && first < second,
    }
}

/// Whether whatever is in the second list is in the first; an empty list is met by everything.
fn among<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
    if wide.is_empty() {
        return true;
    }
    // Long lists that are the same are one named list most often; others of that length are not compared.
    let small = wide.len().saturating_mul(narrow.len()) <= MAX_PAIRS;
    !narrow.is_empty() && (wide == narrow || small && narrow.iter().all(|value| wide.contains(value)))
}

fn patterns_hold(wide: &[TextPattern], narrow: &[TextPattern]) -> bool {
    if wide.is_empty() {
        return true;
    }
    let small = wide.len().saturating_mul(narrow.len()) <= MAX_PAIRS / 100;
    let each = || narrow.iter().all(|narrow| wide.iter().any(|wide| pattern_holds(wide, narrow)));
    !narrow.is_empty() && (wide == narrow || small && each())
}

/// Whether every text of the second pattern is one of the first: its stars are taken for a letter that no text has,
/// which only a star of the first matches.
fn pattern_holds(wide: &TextPattern, narrow: &TextPattern) -> bool {
    let narrower = wide.case == narrow.case || wide.case == Case::Insensitive;
    narrower && wide.matches(narrow.pieces.join("\u{0}").as_bytes())
}

/// How many pairs of values are looked at for one pair of rules.
const MAX_PAIRS: usize = 100_000;

/// Addresses as ranges that neither touch nor overlap, in rising order.
struct Networks(Vec<(IpAddr, IpAddr)>);

impl Networks {
    fn of(networks: &[IpNetwork]) -> Self {
        let mut ranges: Vec<_> = networks.iter().map(|network| (network.network(), network.broadcast())).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(IpAddr, IpAddr)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                // The versions sort apart, and no range of one ends within the other.
                Some((_, end)) if first <= *end => *end = (*end).max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Whether these are around all of `others`.
    fn hold(&self, others: &Self) -> bool {
        others.0.iter().all(|(first, last)| {
            let at = self.0.partition_point(|(start, _)| start <= first);
            at.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, end)| end >= last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patterns::pattern;

    #[test]
    fn a_pattern_holds_the_texts_of_a_narrower_one() {
        for (wide, narrow, holds) in [
            ("*", "anything", true),
            ("*bot*", "*badbot*", true),
            ("*bot*", "bot", true),
            ("*badbot*", "*bot*", false),
            ("curl/*", "curl/8.*", true),
            ("curl/8.*", "curl/*", false),
            ("a*b", "a*c*b", true),
            ("a*c*b", "a*b", false),
            ("abc", "abc", true),
            ("abc", "abd", false),
            ("a*", "*", false),
        ] {
            let read = |text| pattern(text, Case::Sensitive).unwrap();
            assert_eq!(pattern_holds(&read(wide), &read(narrow)), holds, "{wide} {narrow}");
        }
    }

    #[test]
    fn networks_hold_those_within_them() {
        let read = |texts: &[&str]| Networks::of(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>());
        for (wide, narrow, holds) in [
            (&["192.0.2.0/24"][..], &["192.0.2.7", "192.0.2.128/25"][..], true),
            (&["192.0.2.0/24"], &["192.0.2.7", "192.0.3.1"], false),
            (&["0.0.0.0/0"], &["2001:db8::/32"], false),
            (&["2001:db8::/32", "192.0.2.0/24"], &["2001:db8::7", "192.0.2.1"], true),
            (&["192.0.2.0/25"], &["192.0.2.0/24"], false),
        ] {
            assert_eq!(read(wide).hold(&read(narrow)), holds, "{wide:?} {narrow:?}");
        }
    }
}
