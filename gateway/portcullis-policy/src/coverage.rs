//! Which parts of the rules no test of theirs reaches.

use std::collections::HashSet;

use crate::cases::TestOutcome;
use crate::compile::Compiled;
use crate::decision::ShadowWhat;
use crate::diagnostics::{Diagnostic, Diagnostics, quote};
use crate::{RouteId, RuleId};

/// What no test reaches.
///
/// A rule is reached where it decides, gives to the score, has no answer, or says in monitor what it would have done.
/// A limit is reached where it decides, scores or delays, or would have decided; a route where it takes a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Coverage {
    /// The rules.
    pub rules: Vec<RuleId>,
    /// The limits, each as its route and its place among the route's limits.
    pub limits: Vec<(RouteId, u16)>,
    /// The routes; the one for requests that no other takes is never among them.
    pub routes: Vec<RouteId>,
}

impl Coverage {
    /// Whether tests reach everything.
    pub const fn is_full(&self) -> bool {
        self.rules.is_empty() && self.limits.is_empty() && self.routes.is_empty()
    }
}

impl Compiled {
    /// What none of these tests reached; `outcomes` are those of [`run_tests`](crate::run_tests) on these rules.
    pub fn coverage(&self, outcomes: &[TestOutcome]) -> Coverage {
        let (mut rules, mut limits, mut routes) = (HashSet::new(), HashSet::new(), HashSet::new());
        for TestOutcome { decision, mild, .. } in outcomes {
            limits.extend(mild.iter().map(|limit| (decision.route, *limit)));
            routes.insert(decision.route);
            rules.extend(decision.rule);
            rules.extend(decision.lifts.iter().map(|lift| lift.rule));
            rules.extend(decision.faults.iter().map(|fault| fault.rule));
            limits.extend(decision.limit.map(|limit| (decision.route, limit)));
            for shadow in &decision.shadow {
                match shadow.what {
                    ShadowWhat::Rule(rule) => drop(rules.insert(rule)),
                    ShadowWhat::Limit(limit) => drop(limits.insert((decision.route, limit))),
                    ShadowWhat::Filter(_) | ShadowWhat::Signal(_) => {}
                }
            }
        }
        let every_route = (0_u32..).zip(self.rules.routes()).map(|(id, route)| (RouteId(id), route));
        let every_limit =
            every_route.clone().flat_map(|(id, route)| (0_u16..).zip(&route.limits).map(move |(limit, _)| (id, limit)));
        Coverage {
            rules: (0_u32..)
                .zip(self.rules.rules())
                .map(|(id, _)| RuleId(id))
                .filter(|rule| !rules.contains(rule))
                .collect(),
            limits: every_limit.filter(|limit| !limits.contains(limit)).collect(),
            routes: every_route.map(|(id, _)| id).skip(1).filter(|route| !routes.contains(route)).collect(),
        }
    }

    /// What no test reaches, as warnings with their places.
    pub fn uncovered(&self, coverage: &Coverage) -> Diagnostics {
        let mut out = Diagnostics::of(self.warnings.files().clone());
        for rule in &coverage.rules {
            let (Some(found), Some(place)) = (self.rules.rule(*rule), self.places.rules.get(rule.index())) else {
                continue;
            };
            out.push(
                Diagnostic::warning(format!("no test reaches rule {}", quote(&found.name)))
                    .at(*place, "decides in no `[[test]]`")
                    .help("write a test whose request meets its conditions, and that expects what it does"),
            );
        }
        for (route, limit) in &coverage.limits {
            let found = self.rules.route(*route).limits.get(usize::from(*limit));
            let place = self.places.limits.get(route.index()).and_then(|limits| limits.get(usize::from(*limit)));
            let (Some(found), Some(place)) = (found, place) else { continue };
            let name = &found.name;
            out.push(
                Diagnostic::warning(format!("no test reaches limit {}", quote(name)))
                    .at(*place, "is exceeded in no `[[test]]`")
                    .help(format!(
                        "write a test with `counters = {{ limits = {{ \"{name}\" = {{ over = true }} }} }}`"
                    )),
            );
        }
        for route in &coverage.routes {
            let Some(place) = self.places.routes.get(route.index()).copied().flatten() else { continue };
            out.push(
                Diagnostic::warning(format!("no test reaches route {}", quote(&self.rules.route(*route).name)))
                    .at(place, "takes no request of a `[[test]]`")
                    .help("write a test whose request it takes"),
            );
        }
        out.sort();
        out
    }
}
