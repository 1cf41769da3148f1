//! A rule set in force, with what the gateway derives from it once a load rather than once a request.

use portcullis_policy::{RouteId, RuleSet, model};
use portcullis_signals::Families;
use portcullis_velocity::Window;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

use crate::metrics::RouteMeters;

/// A rule set and, route by route, the counters that it needs.
#[derive(Debug)]
pub struct Policy {
    rules: RuleSet,
    families: Arc<Families>,
    plans: Vec<RoutePlan>,
    meters: Vec<RouteMeters>,
}

/// The counters of one route. Each scope is the same over a reload, so no count is lost by one.
#[derive(Debug)]
pub struct RoutePlan {
    /// Requests of an address, and beside them what the origin answered.
    pub address: u64,
    /// Requests of a prefix.
    pub prefix: u64,
    /// The window of each level of the limits, in the route's order; of what is under way there is none.
    pub levels: Vec<Option<Window>>,
}

/// Over how long requests are counted for the velocity signals.
pub const VELOCITY_WINDOW: Duration = Duration::from_secs(60);

/// Over how long answers are counted for the outcome signals.
pub const OUTCOME_WINDOW: Duration = Duration::from_secs(15 * 60);

impl Policy {
    /// Derives the counters of a rule set that judges browsers by these rows.
    pub fn new(rules: RuleSet, families: Arc<Families>) -> Self {
        let plans = rules.routes().iter().map(RoutePlan::of).collect();
        let meters = rules.routes().iter().map(|_| RouteMeters::default()).collect();
        Self { rules, families, plans, meters }
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

    /// The counters of one route that Prometheus sees.
    pub fn meters(&self, route: RouteId) -> Option<&RouteMeters> {
        self.meters.get(usize::try_from(route.0).ok()?)
    }
}

impl RoutePlan {
    fn of(route: &model::Route) -> Self {
        let scope = |what: &str| {
            let digest =
                Sha256::new().chain_update(what).chain_update([0]).chain_update(route.name.as_bytes()).finalize();
            digest.iter().take(8).fold(0_u64, |scope, byte| scope << 8 | u64::from(*byte))
        };
        Self {
            address: scope("address"),
            prefix: scope("prefix"),
            levels: route.levels().map(|of| of.level.bound.window().map(Window::new)).collect(),
        }
    }
}
