//! A policy, ready to decide.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::FixedState;
use portcullis_fingerprint::{Ja3Hash, Ja4};
use portcullis_signals::{CanonicalRequest, Facts, SignalId, Signals, Strength};

use crate::conditions::Subject;
use crate::index::{Matches, RuleIndex};
use crate::model::{LevelOf, Listed, Mode, Over, Parts, Route, Rule};
use crate::router::Router;
use crate::weigh::Scale;

/// A policy, ready to decide: immutable, and shared by every request until a reload replaces it.
#[derive(Debug)]
pub struct RuleSet {
    // INVARIANT: there is at least one route.
    routes: Box<[Route]>,
    /// What answers for an identifier of another rule set.
    unrouted: Planned,
    scales: Box<[Scale]>,
    router: Router,
    rules: Box<[Rule]>,
    index: RuleIndex,
    listed_ja3: HashSet<Ja3Hash, FixedState>,
    listed_ja4: HashSet<Ja4, FixedState>,
    version: Arc<str>,
}

/// A route by its place in one rule set; `RouteId(0)` is the catch-all.
///
/// It means nothing to another rule set: after a reload, plan again.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RouteId(pub u32);

/// A rule by its place in one rule set.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuleId(pub u32);

/// A route with its scale.
#[derive(Debug)]
struct Planned {
    route: Route,
    scale: Scale,
}

impl RouteId {
    /// The place, for tables with one entry a route.
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl RuleId {
    /// The place, for tables with one entry a rule.
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl RuleSet {
    /// Builds the tables of a policy. What it is made of is right already: the compiler saw to that.
    pub fn new(parts: Parts) -> Self {
        let Parts { mut routes, rules, listed: Listed { ja3, ja4 }, version } = parts;
        if routes.is_empty() {
            routes.push(Route::bare("unrouted"));
        }
        let catch_all = routes.first().cloned().unwrap_or_else(|| Route::bare("unrouted"));
        Self {
            router: Router::new(&routes),
            scales: routes.iter().map(|route| Scale::of(&route.weights)).collect(),
            unrouted: Planned { scale: Scale::of(&catch_all.weights), route: catch_all },
            routes: routes.into(),
            index: RuleIndex::new(&rules),
            rules: rules.into(),
            listed_ja3: ja3.into_iter().collect(),
            listed_ja4: ja4.into_iter().collect(),
            version,
        }
    }

    /// The same rules under another version, for what is decided by more than their own text.
    #[must_use]
    pub fn versioned(self, version: Arc<str>) -> Self {
        Self { version, ..self }
    }

    /// The version: the first 16 hex digits of a hash over the policy's meaning.
    pub const fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Every route, the catch-all first; a `RouteId` is a place in it.
    pub const fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Every rule in the order written; a `RuleId` is a place in it.
    pub const fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// One route; the catch-all for an identifier that is none of this rule set.
    pub fn route(&self, id: RouteId) -> &Route {
        self.routes.get(id.index()).unwrap_or(&self.unrouted.route)
    }

    /// One rule; none for an identifier that is none of this rule set.
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.index())
    }

    /// The route of a request, by host, then path, then method; the catch-all where none matches.
    ///
    /// An exact host goes before the longest wildcard, and that before any host; a literal segment before
    /// `{name}`, and that before `{*rest}`; a named method before any. Where the more specific one has nothing
    /// for the rest of the request, the less specific one answers. The cost follows from the request's labels
    /// and segments, not from the number of routes.
    pub fn plan(&self, request: &CanonicalRequest<'_>) -> RouteId {
        let id = self.router.route(request.host(), request.path().as_str(), request.method());
        RouteId(id.unwrap_or(0))
    }

    /// The signals of one request on a route: those of the facts, what is on the policy's lists, and levels of limits
    /// that score.
    pub fn signals(&self, route: RouteId, facts: &Facts<'_>) -> Signals {
        let policy = self.route(route);
        let mut signals = facts.signals(&policy.expectation);
        for (LevelOf { limit, level, .. }, reading) in policy.levels().zip(facts.limits) {
            if let Over::Score(strength) = level.over
                && reading.over
                && limit.mode == Mode::Enforce
            {
                signals.raise(SignalId::LimitExceeded, strength);
            }
        }
        let listed =
            facts.tls.is_some_and(|tls| self.listed_ja4.contains(&tls.ja4) || self.listed_ja3.contains(&tls.ja3));
        if listed {
            signals.raise(SignalId::FingerprintListed, Strength::FULL);
        }
        signals
    }

    pub(crate) fn scale(&self, route: RouteId) -> &Scale {
        self.scales.get(route.index()).unwrap_or(&self.unrouted.scale)
    }

    /// The rules that hold for a request: those of its route first, then those of every route.
    pub(crate) fn matching(&self, route: RouteId, facts: &Facts<'_>) -> Matches {
        if self.rules.is_empty() { Matches::new() } else { self.index.matches(route.0, &Subject::of(facts)) }
    }
}
