//! The values of a route, each with the layer that it came from.

use std::fmt;

use portcullis_intel::NetworkClass;
use portcullis_signals::{BodyField, Facts, Group, SignalId, Signals};

use super::Explanation;
use crate::RouteId;
use crate::compile::{Compiled, Source};
use crate::model::{AmbiguousPaths, Clients, Failure, FieldSource, Mode, Place, Route, Sensitivity, Thresholds};
use crate::presets;
use crate::score::Score;
use crate::units;
use crate::weigh::{group_place, signal_place};
use crate::written::THRESHOLDS;

/// A layer of a policy, from the lowest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Layer {
    /// What is shipped where nothing is written.
    Shipped,
    /// The sensitivity of the route.
    Sensitivity,
    /// The preset.
    Preset,
    /// The profile of filters.
    Profile,
    /// `[weights]`, `[caps]` and `[credit]`.
    File,
    /// `[defaults]`.
    Defaults,
    /// The route itself.
    Route,
}

/// One value of a route, and where it came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Provided {
    /// The key, with a dot before that within a table: `thresholds.block`.
    pub key: String,
    /// The value, as rules write it.
    pub value: String,
    /// The layer that it came from.
    pub layer: Layer,
    /// The file and the line; absent where nothing is written.
    pub place: Option<String>,
}

impl Layer {
    /// The name, in words of rules files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Sensitivity => "sensitivity",
            Self::Preset => "preset",
            Self::Profile => "profile",
            Self::File => "tables of all routes",
            Self::Defaults => "defaults",
            Self::Route => "route",
        }
    }
}

impl fmt::Display for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, layer, place } = self;
        write!(f, "{key:<28} {value:<24} {}", layer.name())?;
        place.iter().try_for_each(|place| write!(f, ", {place}"))
    }
}

impl Compiled {
    /// Every value of a route with the layer that it came from; of weights and caps those that are not as shipped.
    ///
    /// Empty for an identifier of another rule set.
    pub fn layers(&self, route: RouteId) -> Vec<Provided> {
        let sources = self.places.sources.get(route.index()).map(Vec::as_slice).unwrap_or_default();
        let route = self.rules.route(route);
        sources.iter().filter_map(|source| self.provided(route, source)).collect()
    }

    /// Explains the decision on a request of which the signals are known, and not all facts that gave them: one of an
    /// audit record.
    pub fn explain_as(&self, facts: &Facts<'_>, signals: &Signals) -> Explanation {
        let explanation = self.rules.explain_by(facts, Some(signals));
        Explanation { layers: self.layers(explanation.decision.route), ..explanation }
    }

    /// As [`RuleSet::explain`](crate::RuleSet::explain), with the layers that the values of the route came from.
    pub fn explain(&self, facts: &Facts<'_>) -> Explanation {
        let explanation = self.rules.explain(facts);
        Explanation { layers: self.layers(explanation.decision.route), ..explanation }
    }

    fn provided(&self, route: &Route, source: &Source) -> Option<Provided> {
        let Source { key, inner, layer, span } = *source;
        let position = span.and_then(|span| self.warnings.position(span));
        if is_as_shipped(route, key, inner) {
            return None;
        }
        Some(Provided {
            key: if inner.is_empty() { key.to_owned() } else { format!("{key}.{inner}") },
            value: value(route, key, inner)?,
            layer,
            place: position.map(|(file, line, _)| format!("{file}:{line}")),
        })
    }
}

/// Whether a weight or cap is what is shipped, wherever it is written.
fn is_as_shipped(route: &Route, key: &str, inner: &str) -> bool {
    matches!(key, "weights" | "caps")
        && value(route, key, inner) == value(&Route { weights: presets::weights(), ..Route::bare("") }, key, inner)
}

/// A value of a route as rules write it; none where the route does not keep it.
pub(crate) fn value(route: &Route, key: &str, inner: &str) -> Option<String> {
    let score = |score: Option<Score>| score.map_or_else(|| "off".to_owned(), |score| score.to_string());
    let thresholds = &route.thresholds;
    let (usual, identify) = (&route.expectation.conduct, &route.identify);
    Some(match (key, inner) {
        ("origin", _) => route.origin.as_ref()?.to_string(),
        ("sensitivity", _) => sensitivity(route.sensitivity).to_owned(),
        ("mode", _) => route.mode.name().to_owned(),
        ("clients", _) => clients(route.clients).to_owned(),
        ("throttle_rate", _) => format!("{}/1m", route.throttle_per_minute),
        ("usual", "per_address") => format!("{}/1m", route.expectation.address_per_minute),
        ("usual", "per_prefix") => format!("{}/1m", route.expectation.prefix_per_minute),
        ("usual", "failed_users") => usual.failed_users.to_string(),
        ("usual", "networks") => usual.networks.to_string(),
        ("usual", "paths") => usual.paths.to_string(),
        ("usual", "missing_paths") => usual.missing_paths.to_string(),
        ("usual", _) => usual.sequence.to_string(),
        ("clearance_ttl", _) => units::show(route.clearance_ttl),
        ("ban_ttl", _) => units::show(route.ban_ttl),
        ("max_body_bytes", _) => route.max_body_bytes.to_string(),
        ("ambiguous_paths", _) => match route.ambiguous_paths {
            AmbiguousPaths::Refuse => "refuse".to_owned(),
            AmbiguousPaths::Allow => "allow".to_owned(),
        },
        ("inspect_body_bytes", _) if route.reads.needs_body() => route.reads.body_bytes.to_string(),
        ("failure", _) => failure(&route.failure),
        ("identify", "user") => place(route, identify.user.as_ref()?),
        ("identify", "account") => place(route, identify.account.as_ref()?),
        ("identify", "api_key") => place(route, identify.api_key.as_ref()?),
        ("identify", "session") => place(route, identify.session.as_ref()?),
        ("identify", "device") => place(route, identify.device.as_ref()?),
        ("identify", _) => place(route, &identify.token.as_ref()?.place),
        ("posture", "elevated") => rising(&route.tightened.elevated),
        ("posture", _) => rising(&route.tightened.under_attack),
        ("tell_shadow", _) => listed(route.tell_shadow.iter().map(ToString::to_string)),
        ("tell_origin", _) => listed(route.tell_origin.iter().map(|print| print.name().to_owned())),
        ("credit", "history") => route.weights.history_credit.to_string(),
        ("credit", _) => route.weights.clearance_credit.to_string(),
        ("thresholds", "throttle") => score(thresholds.throttle),
        ("thresholds", "challenge") => score(thresholds.challenge),
        ("thresholds", "block") => score(thresholds.block),
        ("thresholds", _) => score(thresholds.ban),
        ("puzzle", "difficulty_bits") => route.puzzle.difficulty_bits.to_string(),
        ("puzzle", _) => route.puzzle.count.to_string(),
        ("filters", class) => filter(route, class)?,
        ("weights", signal) => {
            let signal: SignalId = signal.parse().ok()?;
            let weight = route.weights.signals.get(signal_place(signal))?;
            let watched = if route.weights.monitored.contains(&signal) { " in monitor" } else { "" };
            format!("{weight}{watched}")
        }
        ("caps", "connection") => route.weights.connection_cap.to_string(),
        ("caps", group) => {
            let group = Group::ALL.into_iter().find(|known| known.name() == group)?;
            route.weights.caps.get(group_place(group))?.to_string()
        }
        _ => return None,
    })
}

fn filter(route: &Route, class: &str) -> Option<String> {
    let class = NetworkClass::ALL.into_iter().find(|known| known.name() == class)?;
    let acts = route.filters.iter().find(|filter| filter.class == class);
    Some(match acts {
        Some(filter) if filter.mode == Mode::Monitor => format!("{} in monitor", filter.action.name()),
        Some(filter) => filter.action.name().to_owned(),
        None if route.expectation.networks.contains(class) => "score".to_owned(),
        None => "off".to_owned(),
    })
}

/// A place as rules write it.
fn place(route: &Route, of: &Place) -> String {
    let at = match of {
        Place::Header(name) => return format!("header:{name}"),
        Place::Cookie(name) => return format!("cookie:{name}"),
        Place::Field(at) => usize::from(*at),
    };
    match route.reads.fields.get(at) {
        Some(FieldSource::Query(name)) => format!("query:{name}"),
        Some(FieldSource::Body(at)) => match route.reads.body.get(usize::from(*at)) {
            Some(BodyField::Form(name)) => format!("form:{name}"),
            Some(BodyField::Json(pointer)) => format!("json:{pointer}"),
            None => String::new(),
        },
        // A token stands before what is read of it, so this ends.
        Some(FieldSource::Claim { token, claim }) => format!("jwt:{}{claim}", place(route, token)),
        None => String::new(),
    }
}

fn failure(failure: &Failure) -> String {
    let header = failure.header.iter().map(|(name, _)| format!("header {name}"));
    let json = failure.json.iter().map(|(pointer, _)| format!("json {pointer}"));
    listed(failure.status.iter().map(ToString::to_string).chain(header).chain(json))
}

/// Thresholds in one line, from the lowest.
fn rising(thresholds: &Thresholds) -> String {
    let all = [thresholds.throttle, thresholds.challenge, thresholds.block, thresholds.ban];
    let known = THRESHOLDS.iter().zip(all).filter_map(|(name, score)| Some(format!("{name} {}", score?)));
    listed(known)
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

const fn sensitivity(level: Sensitivity) -> &'static str {
    match level {
        Sensitivity::Low => "low",
        Sensitivity::Normal => "normal",
        Sensitivity::High => "high",
        Sensitivity::Critical => "critical",
    }
}

const fn clients(clients: Clients) -> &'static str {
    match clients {
        Clients::Browser => "browser",
        Clients::Api => "api",
        Clients::Mixed => "mixed",
        Clients::Unattended => "unattended",
    }
}
