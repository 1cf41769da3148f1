//! What is in monitor, told to those who may know.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue};
use portcullis_policy::model::{Mode, Route};
use portcullis_policy::{Decision, RuleSet, ShadowWhat};

use super::gather::Judged;

/// The header that says what would have been done.
pub(super) const SHADOW: HeaderName = HeaderName::from_static(SHADOW_NAME);

/// Its name.
pub(super) const SHADOW_NAME: &str = "portcullis-shadow";

/// What would have acted on a request: the kind of part, and its name.
pub(crate) fn part<'a>(rules: &'a RuleSet, route: &'a Route, what: ShadowWhat) -> (&'static str, &'a str) {
    match what {
        ShadowWhat::Rule(rule) => ("rule", rules.rule(rule).map_or("", |rule| &*rule.name)),
        ShadowWhat::Limit(at) => ("limit", route.limits.get(usize::from(at)).map_or("", |limit| &*limit.name)),
        ShadowWhat::Filter(class) => ("filter", class.name()),
        ShadowWhat::Signal(signal) => ("signal", signal.name()),
    }
}

/// What would have acted, for a client that the route names: a list of actions, each with what it is of (RFC 9651
/// §3.1). None for all others, and where there is nothing.
pub(super) fn header(rules: &RuleSet, judged: &Judged) -> Option<HeaderValue> {
    let decision = &judged.decision;
    let route = rules.route(decision.route);
    if !route.tell_shadow.iter().any(|network| network.contains(judged.client.0)) {
        return None;
    }
    let text = list(rules, route, decision);
    if text.is_empty() { None } else { HeaderValue::from_str(&text).ok() }
}

fn list(rules: &RuleSet, route: &Route, decision: &Decision) -> String {
    let watched = decision.mode == Mode::Monitor && decision.verdict != decision.action;
    let route_itself = watched.then_some((decision.verdict, "route", &*route.name));
    let parts = decision.shadow.iter().map(|shadow| {
        let (kind, name) = part(rules, route, shadow.what);
        (shadow.action, kind, name)
    });
    let mut text = String::new();
    for (action, kind, name) in route_itself.into_iter().chain(parts).take(MAX_PARTS) {
        let comma = if text.is_empty() { "" } else { ", " };
        // A text takes whatever is written to it.
        let _ = write!(text, "{comma}{};of={kind}", action.name());
        // A string is of printable ASCII (RFC 9651 §3.3.3), which names of rules need not be.
        if name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            let _ = write!(text, ";name=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        }
    }
    text
}

/// How many parts are named at most, so that the header stays one.
const MAX_PARTS: usize = 16;

#[cfg(test)]
mod tests {
    use portcullis_policy::{RuleSet, SourceFile};

    use super::*;

    #[test]
    fn what_would_act_is_a_list_that_programs_can_read() {
        let text = "[[route]]\nname = \"all\"\norigin = \"app\"\nmode = \"monitor\"\n\
            [[route.rule]]\nname = 'say \"no\"'\nwhen = { ip = [\"192.0.2.0/24\"] }\naction = \"challenge\"\nmode = \"monitor\"\n\
            [[route.rule]]\nname = \"für\"\nwhen = { ip = [\"192.0.2.0/24\"] }\naction = \"block\"\nmode = \"monitor\"\n\
            [[route.rule]]\nname = \"hard\"\nwhen = { ip = [\"192.0.2.0/24\"] }\naction = \"block\"\n";
        let rules = RuleSet::compile(&[SourceFile::new("rules/one.toml", text)]).unwrap().rules;
        let headers = http::HeaderMap::new();
        let request = portcullis_signals::CanonicalRequest::of(&portcullis_signals::RequestHead {
            method: &http::Method::GET,
            target: b"/",
            authority: Some("shop.example"),
            version: http::Version::HTTP_2,
            headers: &headers,
            raw: None,
        });
        let network = portcullis_intel::AddressFacts::bare([192, 0, 2, 7].into());
        let client = portcullis_signals::ClientAddr([192, 0, 2, 7].into());
        let decision = rules.decide(&portcullis_signals::Facts::bare(&request, client, &network));
        assert_eq!(
            list(&rules, rules.route(decision.route), &decision),
            "block;of=route;name=\"all\", challenge;of=rule;name=\"say \\\"no\\\"\", block;of=rule"
        );
    }
}
