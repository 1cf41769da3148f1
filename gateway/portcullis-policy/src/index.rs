//! Which rules could hold for a request, without asking each.
//!
//! Each rule is filed under its most telling condition: its addresses, else its fingerprints, its systems, its
//! literal texts, its headers, its countries. A request looks up its own values, and only the rules found so
//! are checked in full. What can be filed under nothing (a method, a class, `*`) is asked every time. Within
//! every index the rules of one route are apart from those of another, so the cost follows from the rules that
//! truly concern the request.

mod addresses;
mod texts;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use http::HeaderName;
use portcullis_fingerprint::{Ja3Hash, Ja4};
use portcullis_intel::{Asn, Country};
use smallvec::SmallVec;

use self::addresses::AddressIndex;
use self::texts::TextIndex;
use crate::RuleId;
use crate::conditions::{Conditions, Known, Pattern, Subject, Text};
use crate::model::{Rule, When};

/// The rules of a policy, filed.
#[derive(Debug, Default)]
pub(crate) struct RuleIndex {
    rules: Box<[Filed]>,
    address: AddressIndex,
    ja4: Lists<Ja4>,
    ja3: Lists<Ja3Hash>,
    http2: Lists<TextKey>,
    user: Lists<TextKey>,
    api_key: Lists<TextKey>,
    asn: Lists<Asn>,
    user_agent: TextIndex,
    path: TextIndex,
    header: HashMap<HeaderName, TextIndex, FixedState>,
    country: Lists<Country>,
    rest: Lists<()>,
}

/// Whose rules: those of one route, or those of every route.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Scope {
    Route(u32),
    Every,
}

/// The rules that hold for a request: those of its route first, then those of every route, as written.
pub(crate) type Matches = SmallVec<[RuleId; 6]>;

#[derive(Debug)]
struct Filed {
    scope: Scope,
    conditions: Conditions,
}

impl RuleIndex {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        let mut addresses = Vec::new();
        let mut texts = Builders::default();
        for (id, rule) in (0_u32..).zip(rules) {
            let scope = rule.route.map_or(Scope::Every, Scope::Route);
            index.file(id, scope, &rule.when, &mut addresses, &mut texts);
        }
        index.address = AddressIndex::new(addresses);
        index.user_agent = texts.user_agent.build();
        index.path = texts.path.build();
        index.header = texts.header.into_iter().map(|(name, builder)| (name, builder.build())).collect();
        index.rules = rules
            .iter()
            .map(|rule| Filed {
                scope: rule.route.map_or(Scope::Every, Scope::Route),
                conditions: Conditions::of(rule),
            })
            .collect();
        index
    }

    fn file(
        &mut self,
        id: u32,
        scope: Scope,
        when: &When,
        addresses: &mut Vec<addresses::Entry>,
        texts: &mut Builders,
    ) {
        if !when.ip.is_empty() {
            addresses.extend(when.ip.iter().map(|network| addresses::Entry::new(*network, scope, id)));
        } else if !when.ja4.is_empty() {
            self.ja4.file(&when.ja4, scope, id);
        } else if !when.ja3.is_empty() {
            self.ja3.file(&when.ja3, scope, id);
        } else if !when.api_key.is_empty() {
            self.api_key.file(&text_keys(&when.api_key), scope, id);
        } else if !when.user.is_empty() {
            self.user.file(&text_keys(&when.user), scope, id);
        } else if !when.http2.is_empty() {
            self.http2.file(&text_keys(&when.http2), scope, id);
        } else if !when.asn.is_empty() {
            self.asn.file(&when.asn, scope, id);
        } else if !when.user_agent.is_empty() && when.user_agent.iter().all(|pattern| pattern.longest_piece().is_some())
        {
            for (at, pattern) in (0_u32..).zip(&when.user_agent) {
                texts.user_agent.file(pattern, texts::Entry { scope, rule: id, pattern: at });
            }
        } else if !when.path.is_empty() && when.path.iter().all(|pattern| pattern.longest_piece().is_some()) {
            for (at, pattern) in (0_u32..).zip(&when.path) {
                texts.path.file(pattern, texts::Entry { scope, rule: id, pattern: at });
            }
        } else if let Some((name, pattern)) = when.header.first() {
            texts.header.entry(name.clone()).or_default().file(pattern, texts::Entry { scope, rule: id, pattern: 0 });
        } else if !when.country.is_empty() {
            self.country.file(&when.country, scope, id);
        } else {
            self.rest.file(&[()], scope, id);
        }
    }

    /// The rules of a route, and of every route, whose conditions all hold.
    pub(crate) fn matches(&self, route: u32, subject: &Subject<'_>) -> Matches {
        let mut found =
            Found { index: self, subject, scopes: [Scope::Route(route), Scope::Every], rules: SmallVec::new() };
        // A text is hashed only for what some rule asks.
        let key = |lists: &Lists<TextKey>, text: Option<&str>| text.filter(|_| !lists.is_empty()).map(TextKey::of);
        let api_key = key(&self.api_key, subject.api_key);
        let user = key(&self.user, subject.user);
        let http2 =
            if self.http2.is_empty() { None } else { subject.http2.map(|print| TextKey::of(&print.to_string())) };
        for scope in found.scopes {
            self.address.each(subject.ip, scope, |rule| found.check(rule, Known::Nothing));
            found.check_all(&self.rest, Some(()), scope);
            found.check_all(&self.asn, subject.asn, scope);
            found.check_all(&self.country, subject.country, scope);
            found.check_all(&self.ja4, subject.ja4, scope);
            found.check_all(&self.ja3, subject.ja3, scope);
            found.check_all(&self.api_key, api_key, scope);
            found.check_all(&self.user, user, scope);
            found.check_all(&self.http2, http2, scope);
        }
        if !self.user_agent.is_empty() {
            found.check_texts(&self.user_agent, &Text::of(subject.user_agent()), Known::UserAgent);
        }
        if !self.path.is_empty() {
            found.check_texts(&self.path, &Text::of(subject.path.as_bytes()), Known::Path);
        }
        self.check_headers(&mut found);
        found.in_order()
    }

    /// Asks whichever are fewer: the names that rules know, or those that the request has.
    fn check_headers(&self, found: &mut Found<'_, '_>) {
        let headers = found.subject.headers;
        if self.header.len() <= headers.keys_len() {
            for (name, texts) in &self.header {
                for value in headers.get_all(name) {
                    found.check_texts(texts, &Text::of(value.as_bytes()), Known::Nothing);
                }
            }
        } else {
            for (name, value) in headers {
                if let Some(texts) = self.header.get(name) {
                    found.check_texts(texts, &Text::of(value.as_bytes()), Known::Nothing);
                }
            }
        }
    }
}

/// The rules found so far for one request.
struct Found<'a, 'r> {
    index: &'a RuleIndex,
    subject: &'a Subject<'r>,
    scopes: [Scope; 2],
    rules: SmallVec<[(Scope, u32); 6]>,
}

impl Found<'_, '_> {
    fn check(&mut self, rule: u32, known: Known) {
        let Some(filed) = usize::try_from(rule).ok().and_then(|at| self.index.rules.get(at)) else { return };
        if filed.conditions.hold(self.subject, known) {
            self.rules.push((filed.scope, rule));
        }
    }

    fn check_all<K: Copy + Eq + Hash>(&mut self, lists: &Lists<K>, key: Option<K>, scope: Scope) {
        for rule in lists.of(key, scope) {
            self.check(*rule, Known::Nothing);
        }
    }

    fn check_texts(&mut self, texts: &TextIndex, text: &Text<'_>, known: Known) {
        texts.each(text.folded(), self.scopes, |entry| {
            let at = usize::try_from(entry.pattern).unwrap_or(usize::MAX);
            let conditions =
                usize::try_from(entry.rule).ok().and_then(|at| self.index.rules.get(at)).map(|filed| &filed.conditions);
            let matches = |pattern: Option<&Pattern>| pattern.is_some_and(|pattern| pattern.matches(text));
            let holds = match known {
                Known::UserAgent => matches(conditions.and_then(|conditions| conditions.user_agent_pattern(at))),
                Known::Path => matches(conditions.and_then(|conditions| conditions.path_pattern(at))),
                Known::Nothing => true,
            };
            if holds {
                self.check(entry.rule, known);
            }
        });
    }

    /// Each rule once: one can be found by two of its values.
    fn in_order(mut self) -> Matches {
        if self.rules.len() > 1 {
            self.rules.sort_unstable();
            self.rules.dedup();
        }
        self.rules.iter().map(|(_, rule)| RuleId(*rule)).collect()
    }
}

/// Rules by one exact value.
#[derive(Debug)]
struct Lists<K> {
    by_value: HashMap<(Scope, K), Vec<u32>, FixedState>,
}

impl<K> Default for Lists<K> {
    fn default() -> Self {
        Self { by_value: HashMap::default() }
    }
}

impl<K: Copy + Eq + Hash> Lists<K> {
    fn file(&mut self, values: &[K], scope: Scope, rule: u32) {
        for value in values {
            self.by_value.entry((scope, *value)).or_default().push(rule);
        }
    }

    fn of(&self, value: Option<K>, scope: Scope) -> &[u32] {
        // Most policies have no rule of most kinds; an empty map is not even hashed for.
        if self.by_value.is_empty() {
            return &[];
        }
        value.and_then(|value| self.by_value.get(&(scope, value))).map_or(&[], Vec::as_slice)
    }
}

impl<K> Lists<K> {
    fn is_empty(&self) -> bool {
        self.by_value.is_empty()
    }
}

/// A text by its hash. Two texts of one hash find each other's rules, which are then checked in full.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct TextKey(u64);

impl TextKey {
    fn of(text: &str) -> Self {
        Self(FixedState::default().hash_one(text))
    }
}

fn text_keys(texts: &[Box<str>]) -> Vec<TextKey> {
    texts.iter().map(|text| TextKey::of(text)).collect()
}

/// The text indexes while they are filled.
#[derive(Default)]
struct Builders {
    user_agent: texts::Builder,
    path: texts::Builder,
    header: HashMap<HeaderName, texts::Builder, FixedState>,
}

#[cfg(test)]
mod tests;
