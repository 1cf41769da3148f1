//! What rules files mean: from what is written to what decides.
//!
//! Every step reports what is wrong and goes on, so that a person sees all faults at once; only at the end is a
//! set with an error refused as a whole.

mod layers;
mod limits;
mod overlap;
mod places;
mod presets;
mod provenance;
mod refusal;
mod version;

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_signals::{SignalId, UnixSeconds};

use crate::RuleSet;
use crate::cases::TestCase;
use crate::diagnostics::{Diagnostic, Diagnostics, SourceFile, Span, nearest, quote};
use crate::model::{Action, Clients, Listed, Mode, Parts, Reads, Rollout, Route, RouteMatch, Rule, Weights};
use crate::presets as shipped;
use crate::written::{LimitTable, Located, RouteTable, RuleTable, Toggle, Whole, Written};

use layers::Layers;
use places::Places;
use presets::Presets;
pub(crate) use provenance::{PLAIN, Source};
use refusal::Pages;

/// A set of rules files that compiled.
#[derive(Debug)]
pub struct Compiled {
    /// What decides.
    pub rules: RuleSet,
    /// What is probably not meant as it is written; warnings only.
    pub warnings: Diagnostics,
    /// The tests that the files carry.
    pub tests: Vec<TestCase>,
    /// How these rules come into force in place of others.
    pub rollout: Rollout,
    /// The origins that routes name, each with the first place where it is named.
    pub origins: Vec<OriginUse>,
    /// Where everything stands.
    pub(crate) places: Spans,
}

/// Where the parts of a rule set stand in its files.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    /// Of each rule its name, by its identifier.
    pub(crate) rules: Vec<Span>,
    /// Of each route its name, by its identifier; none of the one that is not written.
    pub(crate) routes: Vec<Option<Span>>,
    /// Of each limit its name, by route.
    pub(crate) limits: Vec<Vec<Span>>,
    /// The lists that nothing names, each with the start of its file.
    pub(crate) unused_lists: Vec<(Box<str>, Span)>,
    /// The presets that nothing names, each with its name's place.
    pub(crate) unused_presets: Vec<(Arc<str>, Span)>,
    /// The pages that nothing names, each with the start of its file.
    pub(crate) unused_pages: Vec<(Box<str>, Span)>,
    /// Of each route where its values came from.
    pub(crate) sources: Vec<Vec<Source>>,
}

impl Spans {
    /// The places in the order in which the parts are compiled.
    fn of(written: &Written, presets: &Presets) -> Self {
        let of_routes = written.routes.iter().flat_map(|route| &route.rules);
        let rules = written.rules.iter().chain(of_routes).filter(|rule| !rule.hollow);
        let names = written.routes.iter().map(|route| Some(route.name.span));
        let limits = written.routes.iter().map(|route| route.limits.iter().map(|limit| limit.name.span).collect());
        Self {
            rules: rules.map(|rule| rule.name.span).collect(),
            routes: std::iter::once(None).chain(names).collect(),
            limits: std::iter::once(Vec::new()).chain(limits).collect(),
            unused_lists: written.unused_lists.clone(),
            unused_presets: presets::unused(written),
            unused_pages: refusal::unused(written),
            sources: layers(written, presets).map(|layers| layers.provenance()).collect(),
        }
    }
}

/// An origin that a route names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginUse {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is first named.
    pub span: Span,
}

/// Which origins a rules file may name.
#[derive(Clone, Copy, Debug)]
pub enum Origins<'a> {
    /// Any: the settings are not at hand.
    Any,
    /// These.
    Known(&'a [&'a str]),
}

impl RuleSet {
    /// Compiles rules files together; `defaults`, routes and rules may stand in any of them.
    ///
    /// # Errors
    ///
    /// Every fault of every file, in the order of the text, with the warnings among them.
    pub fn compile(files: &[SourceFile]) -> Result<Compiled, Diagnostics> {
        Self::compile_for(files, Origins::Any)
    }

    /// Compiles rules files that may name these origins only.
    ///
    /// # Errors
    ///
    /// As [`RuleSet::compile`].
    pub fn compile_for(files: &[SourceFile], origins: Origins<'_>) -> Result<Compiled, Diagnostics> {
        let mut diagnostics = Diagnostics::of(files.into());
        let written = Written::read(&mut diagnostics);
        let presets = Presets::of(&written, &mut diagnostics);
        let mut compiler = Compiler {
            out: &mut diagnostics,
            origins,
            named: Vec::new(),
            presets: &presets,
            pages: Pages::of(&written.pages),
        };
        let parts = compiler.parts(&written);
        compiler.check_tests(&written);
        let origins = compiler.named;
        diagnostics.sort();
        if diagnostics.has_errors() {
            return Err(diagnostics);
        }
        let places = Spans::of(&written, &presets);
        let files = diagnostics.files();
        let rollout = written.rollout;
        let tests = written.tests.into_iter().map(|table| TestCase::new(table, files.clone())).collect();
        Ok(Compiled { rules: RuleSet::new(parts), warnings: diagnostics, tests, rollout, origins, places })
    }
}

/// Compiles any bytes as one rules file, runs its tests, and writes out all that is to be said about it.
///
/// What a fuzzer calls. Bytes that are not UTF-8 are replaced.
pub fn compile_any(bytes: &[u8]) -> String {
    let file = SourceFile::new("rules/any.toml", String::from_utf8_lossy(bytes));
    match RuleSet::compile(&[file]) {
        Ok(compiled) => {
            let mut text = compiled.warnings.render(crate::Style::Plain);
            text.push_str(&compiled.lint(UnixSeconds(0)).render(crate::Style::Plain));
            let outcomes = crate::run_tests(&compiled.rules, &compiled.tests);
            for outcome in &outcomes {
                text.push_str(&outcome.faults.render(crate::Style::Plain));
            }
            text.push_str(&compiled.uncovered(&compiled.coverage(&outcomes)).render(crate::Style::Plain));
            text
        }
        Err(diagnostics) => diagnostics.render(crate::Style::Plain),
    }
}

/// The name of the route for requests that no written route takes.
const UNROUTED: &str = "unrouted";

struct Compiler<'a> {
    out: &'a mut Diagnostics,
    origins: Origins<'a>,
    named: Vec<OriginUse>,
    presets: &'a Presets,
    pages: Pages<'a>,
}

impl Compiler<'_> {
    fn parts(&mut self, written: &Written) -> Parts {
        let bottom =
            Layers { defaults: &written.defaults, route: None, weighing: &written.weighing, presets: self.presets };
        let defaults = bottom.defaults;
        let values = std::iter::once(defaults).chain(written.routes.iter().map(|route| &route.values));
        for preset in values.filter_map(|values| values.preset.as_ref()) {
            self.presets.check(preset, "preset", self.out);
        }
        let (mut unrouted, places) = self.route_of(UNROUTED.into(), RouteMatch::default(), &bottom);
        unrouted.reads = places.reads(bottom.inspect_body_bytes());
        unrouted.refusal = bottom.refusal(&mut self.pages, self.out);
        // Shared by every route that says nothing else.
        let refusal = unrouted.refusal.clone();
        self.warn_of_capped(&unrouted.weights, &written.weighing.signals);
        self.warn_of_capped(&unrouted.weights, &defaults.weighing.signals);
        let mut routes = vec![unrouted];
        let mut rules = Vec::new();
        self.unique("rule", written.rules.iter().map(|rule| &rule.name));
        rules.extend(written.rules.iter().filter(|rule| !rule.hollow).map(|rule| meant(rule, None)));
        self.unique("route", written.routes.iter().map(|route| &route.name));
        for table in &written.routes {
            let index = u32::try_from(routes.len()).unwrap_or(u32::MAX);
            let layers = Layers { route: Some(table), ..bottom };
            let mut route = self.route(table, &layers, written.whole);
            route.refusal = match &table.values.refusal {
                Some(_) => layers.refusal(&mut self.pages, self.out),
                None => refusal.clone(),
            };
            routes.push(route);
            self.unique("rule", table.rules.iter().map(|rule| &rule.name));
            rules.extend(table.rules.iter().filter(|rule| !rule.hollow).map(|rule| meant(rule, Some(index))));
        }
        self.check_limits_read(written);
        overlap::check(&written.routes, self.out);
        limits::check_budgets(written.routes.iter(), self.out);
        if written.routes.is_empty() && !self.out.has_errors() {
            self.out.push(
                Diagnostic::warning("no route is written, so nothing is forwarded but by the origin of `defaults`")
                    .help("write a `[[route]]` with a `name` and an `origin`"),
            );
        }
        let listed = Listed { ja3: written.ja3.clone(), ja4: written.ja4.clone() };
        let version = version::of(&routes, &rules, &listed);
        Parts { routes, rules, listed, version }
    }

    fn route(&mut self, table: &RouteTable, layers: &Layers<'_>, whole: Whole) -> Route {
        if &*table.name.value == UNROUTED {
            self.out.push(
                Diagnostic::error(format!("the name `{UNROUTED}` is taken"))
                    .at(table.name.span, "this is the route of requests that no other takes")
                    .help("give the route another name; what is for unrouted requests stands in `[defaults]`"),
            );
        }
        let matches = RouteMatch {
            hosts: table.hosts.iter().map(|host| host.value.clone()).collect(),
            paths: table.paths.iter().map(|path| path.value.clone()).collect(),
            methods: table.methods.iter().map(|method| method.value.clone()).collect(),
        };
        let (mut route, mut places) = self.route_of(table.name.value.clone(), matches, layers);
        if route.origin.is_none() && whole == Whole::Yes {
            self.out.push(
                Diagnostic::error(format!("route {} has no origin", quote(&route.name)))
                    .at(table.name.span, "where do its requests go?")
                    .help("add `origin = \"...\"` to the route, or to `[defaults]` for all routes"),
            );
        }
        table.rules.iter().for_each(|rule| self.check_identified(rule, &route));
        self.unique("limit", table.limits.iter().map(|limit| &limit.name));
        route.limits = limits::limits(table, &route, &mut places, self.out);
        route.reads = places.reads(layers.inspect_body_bytes());
        self.warn_of_challenges(table, &route);
        self.warn_of_capped(&route.weights, &table.values.weighing.signals);
        route
    }

    fn route_of(&mut self, name: Arc<str>, matches: RouteMatch, layers: &Layers<'_>) -> (Route, Places) {
        let origin = layers.pick(|values| values.origin.as_ref());
        if let Some(origin) = origin {
            self.note_origin(origin);
        }
        let thresholds = layers.thresholds(&name, self.out);
        let tightened = layers.tightened(&name, &thresholds, self.out);
        let mut places = Places::default();
        let identify = layers.identify(&mut places, self.out);
        let pick_value =
            |span: Option<&Located<_>>, otherwise| span.map_or(otherwise, |found: &Located<_>| found.value);
        let route = Route {
            matches,
            origin: origin.map(|origin| origin.value.clone()),
            sensitivity: layers.sensitivity(),
            mode: layers.pick(|values| values.mode.as_ref()).map(|mode| mode.value).unwrap_or_default(),
            clients: layers.pick(|values| values.clients.as_ref()).map(|clients| clients.value).unwrap_or_default(),
            thresholds,
            tightened,
            throttle_per_minute: layers
                .pick(|values| values.throttle_per_minute.as_ref())
                .map_or(shipped::THROTTLE_PER_MINUTE, |rate| rate.value),
            puzzle: layers.puzzle(self.out),
            clearance_ttl: pick_value(layers.pick(|values| values.clearance_ttl.as_ref()), shipped::CLEARANCE_TTL),
            ban_ttl: pick_value(layers.pick(|values| values.ban_ttl.as_ref()), shipped::BAN_TTL),
            expectation: layers.expectation(),
            weights: layers.weights(),
            filters: layers.filters(),
            limits: Vec::new(),
            failure: layers.failure(),
            identify,
            reads: Reads::default(),
            max_body_bytes: layers
                .pick(|values| values.max_body_bytes.as_ref())
                .map_or(shipped::MAX_BODY_BYTES, |bytes| bytes.value),
            ambiguous_paths: layers
                .pick(|values| values.ambiguous_paths.as_ref())
                .map(|paths| paths.value)
                .unwrap_or_default(),
            tell_origin: layers.tell_origin(),
            tell_shadow: layers.pick(|values| values.tell_shadow.as_ref()).cloned().unwrap_or_default(),
            refusal: None,
            name,
        };
        (route, places)
    }

    /// A rule of a route that asks for a caller whom the route never identifies would be left out silently.
    fn check_identified(&mut self, rule: &RuleTable, route: &Route) {
        for (what, asks, place) in [
            ("user", !rule.when.user.is_empty(), &route.identify.user),
            ("api_key", !rule.when.api_key.is_empty(), &route.identify.api_key),
        ] {
            if asks && place.is_none() {
                self.out.push(
                    Diagnostic::error(format!(
                        "rule {} asks for the `{what}`, which nothing identifies",
                        quote(&rule.name.value)
                    ))
                    .at(rule.name.span, format!("route {} does not say where it stands", quote(&route.name)))
                    .help(format!("add `identify = {{ {what} = \"header:...\" }}` to the route, or to `[defaults]`")),
                );
            }
        }
    }

    /// An expression that reads a limit which is nowhere would read 0 for ever.
    fn check_limits_read(&mut self, written: &Written) {
        let of_route = |route: &RouteTable| route.limits.iter().flat_map(limits::readable).collect::<Vec<_>>();
        let every: Vec<Arc<str>> = written.routes.iter().flat_map(of_route).collect();
        let of_routes = written.routes.iter().flat_map(|route| {
            let own = of_route(route);
            route.rules.iter().map(move |rule| (rule, own.clone()))
        });
        for (rule, known) in written.rules.iter().map(|rule| (rule, every.clone())).chain(of_routes) {
            let known: Vec<&str> = known.iter().map(|name| &**name).collect();
            for limit in rule.limits.iter().filter(|limit| !known.contains(&&*limit.value)) {
                if written.whole == Whole::No {
                    continue;
                }
                let title = format!("there is no limit {}", quote(&limit.value));
                let mut fault = Diagnostic::error(title).at(limit.span, "named by no limit that the rule could read");
                fault = match nearest(&limit.value, &known) {
                    Some(name) => fault.help(format!("did you mean `{name}`?")),
                    None => fault.help("name a limit as it is written; a rule of a route reads those of the route"),
                };
                self.out.push(fault);
            }
        }
    }

    fn note_origin(&mut self, origin: &Located<Arc<str>>) {
        if self.named.iter().any(|known| known.name == origin.value) {
            return;
        }
        self.named.push(OriginUse { name: origin.value.clone(), span: origin.span });
        let Origins::Known(known) = self.origins else { return };
        if known.contains(&&*origin.value) {
            return;
        }
        let mut fault = Diagnostic::error(format!("unknown origin {}", quote(&origin.value)))
            .at(origin.span, "not among the origins of the settings");
        fault = match nearest(&origin.value, known) {
            Some(name) => fault.help(format!("did you mean `{name}`?")),
            None => fault.help("name one of the settings' origins, or add it there"),
        };
        self.out.push(fault);
    }

    /// Reports names that stand twice in one scope.
    fn unique<'n>(&mut self, what: &str, names: impl Iterator<Item = &'n Located<Arc<str>>>) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for name in names {
            if let Some(before) = seen.insert(&name.value, name.span) {
                self.out.push(
                    Diagnostic::error(format!("two {what}s are named {}", quote(&name.value)))
                        .at(name.span, "again here")
                        .beside(before, "first here")
                        .help("give each a name of its own: records and metrics tell them apart by it"),
                );
            }
        }
    }

    /// Unattended clients are never challenged, which a rule or limit that challenges seems not to know.
    fn warn_of_challenges(&mut self, table: &RouteTable, route: &Route) {
        if route.clients != Clients::Unattended {
            return;
        }
        let limits = table.limits.iter().flat_map(LimitTable::actions);
        let limits = limits.filter(|(action, _)| *action == Action::Challenge).map(|(_, span)| span);
        let rules =
            table.rules.iter().filter(|rule| rule.action.value == Action::Challenge).map(|rule| rule.action.span);
        let filters =
            table.values.filters.iter().filter(|filter| filter.toggle.value == Toggle::Act(Action::Challenge));
        let spans: Vec<_> = limits.chain(rules).chain(filters.map(|filter| filter.toggle.span)).collect();
        for span in spans {
            self.out.push(
                Diagnostic::warning(format!(
                    "route {} has unattended clients, which are not challenged",
                    quote(&route.name)
                ))
                .at(span, "throttles instead")
                .help("write `throttle` or `block`, or change `clients`"),
            );
        }
    }

    fn warn_of_capped(&mut self, weights: &Weights, written: &[(SignalId, Located<crate::Score>, Mode)]) {
        for (signal, weight, _) in written {
            let group = signal.group();
            let at = portcullis_signals::Group::ALL.iter().position(|known| *known == group);
            let cap = at.and_then(|at| weights.caps.get(at)).copied().unwrap_or(crate::Score::ONE);
            if weight.value > cap {
                self.out.push(
                    Diagnostic::warning(format!("signal `{signal}` never gives its weight"))
                        .at(weight.span, format!("the group `{}` is capped at {cap}", group.name()))
                        .help("lower the weight, or raise the cap"),
                );
            }
        }
    }

    fn check_tests(&mut self, written: &Written) {
        self.unique("test", written.tests.iter().map(|test| &test.name));
        let routes: Vec<&str> = written.routes.iter().map(|route| &*route.name.value).chain([UNROUTED]).collect();
        let of_routes = written.routes.iter().flat_map(|route| &route.rules);
        let rules: Vec<&str> = written.rules.iter().chain(of_routes).map(|rule| &*rule.name.value).collect();
        let limits: Vec<&str> =
            written.routes.iter().flat_map(|route| &route.limits).map(|limit| &*limit.name.value).collect();
        if written.whole == Whole::No {
            return;
        }
        for test in &written.tests {
            let counted = test.counters.limits.iter().map(|limit| ("limit", &limit.name, &limits));
            let route = test.expect.route.iter().map(|name| ("route", name, &routes));
            let rule = test.expect.rule.iter().map(|name| ("rule", name, &rules));
            for (what, name, known) in counted.chain(route).chain(rule) {
                if known.contains(&name.value.as_str()) {
                    continue;
                }
                let mut fault = Diagnostic::error(format!("there is no {what} {}", quote(&name.value)))
                    .at(name.span, "named by no file");
                fault = match nearest(&name.value, known) {
                    Some(name) => fault.help(format!("did you mean `{name}`?")),
                    None => fault.help(format!("name a {what} as it is written, or write it")),
                };
                self.out.push(fault);
            }
        }
    }
}

/// The layers of every route, those of the one that is not written first.
fn layers<'a>(written: &'a Written, presets: &'a Presets) -> impl Iterator<Item = Layers<'a>> {
    let bottom = Layers { defaults: &written.defaults, route: None, weighing: &written.weighing, presets };
    std::iter::once(bottom).chain(written.routes.iter().map(move |table| Layers { route: Some(table), ..bottom }))
}

fn meant(table: &RuleTable, route: Option<u32>) -> Rule {
    Rule {
        name: table.name.value.clone(),
        route,
        when: table.when.clone(),
        action: table.action.value,
        machine: table.machine.as_ref().map(|machine| machine.value.clone()),
        mode: table.mode,
        until: table.until,
        owner: table.owner.clone(),
        reason: table.reason.clone(),
    }
}
