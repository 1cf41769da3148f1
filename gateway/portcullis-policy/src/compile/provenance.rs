//! Which layer each value of a route came from. Made when rules are compiled, and kept apart from what decides.

use portcullis_intel::NetworkClass;
use portcullis_signals::Group;

use super::layers::Layers;
use crate::decide::CLASS_ORDER;
use crate::diagnostics::Span;
use crate::explain::Layer;
use crate::written::{RouteValues, THRESHOLDS, TighteningTable, Weighing};

/// One value of a route: its key, the layer that it came from, and where it stands there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) key: &'static str,
    /// The key within the table `key`; empty where that is no table.
    pub(crate) inner: &'static str,
    pub(crate) layer: Layer,
    pub(crate) span: Option<Span>,
}

type Place = fn(&RouteValues) -> Option<Option<Span>>;

/// The values that each layer says as a whole, with what holds below `[defaults]`.
pub(crate) const PLAIN: [(&str, &str, Place); 32] = [
    ("origin", "", |values| values.origin.as_ref().map(|value| Some(value.span))),
    ("preset", "", |values| values.preset.as_ref().map(|value| Some(value.span))),
    ("profile", "", |values| values.profile.as_ref().map(|value| Some(value.span))),
    ("sensitivity", "", |values| values.sensitivity.as_ref().map(|value| Some(value.span))),
    ("mode", "", |values| values.mode.as_ref().map(|value| Some(value.span))),
    ("clients", "", |values| values.clients.as_ref().map(|value| Some(value.span))),
    ("throttle_rate", "", |values| values.throttle_per_minute.as_ref().map(|value| Some(value.span))),
    ("usual", "per_address", |values| values.usual_per_address.as_ref().map(|value| Some(value.span))),
    ("usual", "per_prefix", |values| values.usual_per_prefix.as_ref().map(|value| Some(value.span))),
    ("usual", "failed_users", |values| values.usual_failed_users.as_ref().map(|value| Some(value.span))),
    ("usual", "networks", |values| values.usual_networks.as_ref().map(|value| Some(value.span))),
    ("usual", "paths", |values| values.usual_paths.as_ref().map(|value| Some(value.span))),
    ("usual", "missing_paths", |values| values.usual_missing_paths.as_ref().map(|value| Some(value.span))),
    ("usual", "sequence", |values| values.usual_sequence.as_ref().map(|value| Some(value.span))),
    ("clearance_ttl", "", |values| values.clearance_ttl.as_ref().map(|value| Some(value.span))),
    ("ban_ttl", "", |values| values.ban_ttl.as_ref().map(|value| Some(value.span))),
    ("max_body_bytes", "", |values| values.max_body_bytes.as_ref().map(|value| Some(value.span))),
    ("ambiguous_paths", "", |values| values.ambiguous_paths.as_ref().map(|value| Some(value.span))),
    ("inspect_body_bytes", "", |values| values.inspect_body_bytes.as_ref().map(|value| Some(value.span))),
    ("failure", "", |values| values.failure.as_ref().map(|_| None)),
    ("identify", "user", |values| values.user.as_ref().map(|value| Some(value.span))),
    ("identify", "account", |values| values.account.as_ref().map(|value| Some(value.span))),
    ("identify", "api_key", |values| values.api_key.as_ref().map(|value| Some(value.span))),
    ("identify", "session", |values| values.session.as_ref().map(|value| Some(value.span))),
    ("identify", "device", |values| values.device.as_ref().map(|value| Some(value.span))),
    ("identify", "token", |values| values.token.as_ref().map(|value| Some(value.span))),
    ("posture", "elevated", |values| tightened(values.posture.first()?)),
    ("posture", "under_attack", |values| tightened(values.posture.last()?)),
    ("tell_shadow", "", |values| values.tell_shadow.as_ref().map(|_| None)),
    ("tell_origin", "", |values| values.tell_origin.as_ref().map(|_| None)),
    ("credit", "clearance", |values| values.weighing.clearance.map(|value| Some(value.span))),
    ("credit", "history", |values| values.weighing.history.map(|value| Some(value.span))),
];

/// Where a posture is written: its first value.
fn tightened(posture: &TighteningTable) -> Option<Option<Span>> {
    let thresholds = posture.thresholds.iter().flatten().map(|threshold| threshold.span);
    posture.tighten.iter().map(|share| share.span).chain(thresholds).next().map(Some)
}

impl Layers<'_> {
    /// Where every value came from; of weights and caps those that are not as shipped.
    pub(super) fn provenance(&self) -> Vec<Source> {
        let mut sources = Vec::with_capacity(PLAIN.len() + 16);
        for (key, inner, place) in PLAIN {
            let credit = match (key, inner) {
                ("credit", "history") => self.weighing.history,
                ("credit", _) => self.weighing.clearance,
                _ => None,
            };
            let below = match (key, credit) {
                (_, Some(credit)) => (Layer::File, Some(credit.span)),
                ("usual", None) => (Layer::Sensitivity, None),
                _ => (Layer::Shipped, None),
            };
            let (layer, span) = self.highest(false, place).unwrap_or(below);
            sources.push(Source { key, inner, layer, span });
        }
        self.of_preset(&mut sources);
        for class in CLASS_ORDER.into_iter().filter(|class| *class != NetworkClass::Relay) {
            let (layer, span) = self.filter(class);
            sources.push(Source { key: "filters", inner: class.name(), layer, span });
        }
        self.of_weighing(&mut sources);
        sources
    }

    /// The highest layer that says something, with its place; what is fresh does not look below the route.
    fn highest(
        &self,
        fresh: bool,
        place: impl Fn(&RouteValues) -> Option<Option<Span>>,
    ) -> Option<(Layer, Option<Span>)> {
        let route = self.route.and_then(|route| Some((Layer::Route, place(&route.values)?)));
        route.or_else(|| Some((Layer::Defaults, place(self.defaults).filter(|_| !fresh)?)))
    }

    fn of_preset(&self, sources: &mut Vec<Source>) {
        let fresh = self.route.is_some_and(|route| route.values.preset.is_some());
        let mut push = |key, inner, found: Option<(Layer, Option<Span>)>| {
            let (layer, span) = found.unwrap_or((Layer::Preset, None));
            sources.push(Source { key, inner, layer, span });
        };
        for (at, name) in THRESHOLDS.into_iter().enumerate() {
            let place = |values: &RouteValues| Some(Some(values.thresholds.get(at)?.as_ref()?.span));
            push("thresholds", name, self.highest(fresh, place));
        }
        let bits = |values: &RouteValues| values.difficulty_bits.map(|value| Some(value.span));
        push("puzzle", "difficulty_bits", self.highest(fresh, bits));
        let count = |values: &RouteValues| values.puzzle_count.map(|value| Some(value.span));
        push("puzzle", "count", self.highest(fresh, count));
    }

    fn filter(&self, class: NetworkClass) -> (Layer, Option<Span>) {
        let fresh = self.route.is_some_and(|route| route.values.profile.is_some());
        let of = |values: &RouteValues, layer: Layer| {
            let written = values.filters.iter().rev().find(|entry| entry.class == class);
            let profiled = values.profile.as_ref().filter(|profile| profile.value.blocks().contains(&class));
            written
                .map(|entry| (layer, Some(entry.toggle.span)))
                .or(profiled.map(|profile| (Layer::Profile, Some(profile.span))))
        };
        self.route
            .and_then(|route| of(&route.values, Layer::Route))
            .or_else(|| of(self.defaults, Layer::Defaults).filter(|_| !fresh))
            .unwrap_or((Layer::Shipped, None))
    }

    fn of_weighing(&self, sources: &mut Vec<Source>) {
        let route = self.route.map(|route| (Layer::Route, &route.values.weighing));
        let layers = [Some((Layer::File, self.weighing)), Some((Layer::Defaults, &self.defaults.weighing)), route];
        let first = sources.len();
        // A later layer takes the place of an earlier one.
        let mut push = |source: Source| {
            let own = sources.get_mut(first..).unwrap_or_default();
            match own.iter_mut().find(|known| known.key == source.key && known.inner == source.inner) {
                Some(known) => *known = source,
                None => sources.push(source),
            }
        };
        for (layer, weighing) in layers.into_iter().flatten() {
            let Weighing { signals, caps, connection_cap, clearance: _, history: _ } = weighing;
            for (signal, weight, _) in signals {
                push(Source { key: "weights", inner: signal.name(), layer, span: Some(weight.span) });
            }
            for (group, cap) in caps {
                push(Source { key: "caps", inner: Group::name(*group), layer, span: Some(cap.span) });
            }
            if let Some(cap) = connection_cap {
                push(Source { key: "caps", inner: "connection", layer, span: Some(cap.span) });
            }
        }
    }
}
