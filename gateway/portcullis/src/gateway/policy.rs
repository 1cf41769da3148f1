//! A rule set in force, with what the gateway derives from it once a load rather than once a request.

use http::HeaderValue;
use portcullis_policy::{RouteId, RuleSet, model, rate_limit_policy};
use portcullis_signals::Families;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::behaviour::RouteState;
use super::limits::Meter;
use super::trial::Watch;
use crate::metrics::RouteMeters;

/// A rule set and, route by route, the counters that it needs.
#[derive(Debug)]
pub struct Policy {
    rules: RuleSet,
    families: Arc<Families>,
    plans: Vec<RoutePlan>,
    meters: Vec<RouteMeters>,
    reads_bodies: bool,
    watch: Watch,
}

/// The counters of one route. Each scope is the same over a reload, so no count is lost by one.
#[derive(Debug)]
pub struct RoutePlan {
    /// Requests of an address, and beside them what the origin answered.
    pub address: u64,
    /// Requests of a prefix.
    pub prefix: u64,
    /// What each level of the limits counts with, in the route's order.
    pub meters: Vec<Meter>,
    /// How the route fares.
    pub state: Arc<RouteState>,
    /// What clients are told of the limits (`RateLimit-Policy`); none where they are told of none.
    pub told_limits: Option<HeaderValue>,
}

/// Over how long requests are counted for the velocity signals.
pub const VELOCITY_WINDOW: Duration = Duration::from_secs(60);

/// Over how long answers are counted for the outcome signals.
pub const OUTCOME_WINDOW: Duration = Duration::from_secs(15 * 60);

impl Policy {
    /// Derives the counters of a rule set that judges browsers by these rows.
    pub fn new(rules: RuleSet, families: Arc<Families>) -> Self {
        Self::made(rules, families, |_| None)
    }

    /// The same in place of another policy: what was learned of its routes is kept by their names.
    pub fn after(&self, rules: RuleSet, families: Arc<Families>) -> Self {
        let known: HashMap<&str, &Arc<RouteState>> =
            self.rules.routes().iter().zip(&self.plans).map(|(route, plan)| (&*route.name, &plan.state)).collect();
        Self::made(rules, families, |name| known.get(name).map(|state| Arc::clone(state)))
    }

    fn made(rules: RuleSet, families: Arc<Families>, known: impl Fn(&str) -> Option<Arc<RouteState>>) -> Self {
        let plan = |route: &model::Route| RoutePlan::of(route, known(&route.name).unwrap_or_default());
        let plans = rules.routes().iter().map(plan).collect();
        let meters = rules.routes().iter().map(|_| RouteMeters::default()).collect();
        let reads_bodies = rules.routes().iter().any(|route| route.reads.needs_body());
        Self { rules, families, plans, meters, reads_bodies, watch: Watch::default() }
    }

    /// Whether any route reads bodies of requests.
    pub const fn reads_bodies(&self) -> bool {
        self.reads_bodies
    }

    /// What it refuses while it is watched.
    pub const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The rule set.
    pub const fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// What browsers send.
    pub const fn families(&self) -> &Arc<Families> {
        &self.families
    }

    /// The counters of one route.
    pub fn plan(&self, route: RouteId) -> Option<&RoutePlan> {
        self.plans.get(usize::try_from(route.0).ok()?)
    }

    /// The counters of all routes, in their order.
    pub fn plans(&self) -> &[RoutePlan] {
        &self.plans
    }

    /// The counters of one route that Prometheus sees.
    pub fn meters(&self, route: RouteId) -> Option<&RouteMeters> {
        self.meters.get(usize::try_from(route.0).ok()?)
    }
}

impl RoutePlan {
    fn of(route: &model::Route, state: Arc<RouteState>) -> Self {
        let scope = |what: &str| {
            let digest =
                Sha256::new().chain_update(what).chain_update([0]).chain_update(route.name.as_bytes()).finalize();
            digest.iter().take(8).fold(0_u64, |scope, byte| scope << 8 | u64::from(*byte))
        };
        Self {
            address: scope("address"),
            prefix: scope("prefix"),
            meters: route.levels().map(|of| Meter::of(of.level.bound)).collect(),
            state,
            // Names of limits are told in visible ASCII alone, so this is a header's value.
            told_limits: rate_limit_policy(route).and_then(|policy| HeaderValue::try_from(policy).ok()),
        }
    }
}
