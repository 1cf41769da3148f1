//! Routes that take the very same requests.

use std::collections::HashMap;

use crate::diagnostics::{Diagnostic, Diagnostics, Span, quote};
use crate::written::{Located, RouteTable};

/// Reports every pair of routes that share a host, a path pattern and a method.
///
/// A route that is more specific than another does not overlap with it: it is consulted first.
pub(super) fn check(routes: &[RouteTable], out: &mut Diagnostics) {
    let mut seen: HashMap<(&str, String, &str), (usize, Span)> = HashMap::new();
    let mut total = 0_usize;
    for (index, route) in routes.iter().enumerate() {
        let combinations = route.hosts.len().max(1) * route.paths.len().max(1) * route.methods.len().max(1);
        total = total.saturating_add(combinations);
        if combinations > MAX_COMBINATIONS || total > MAX_TOTAL {
            out.push(
                Diagnostic::error(format!("route {} is for too many requests", quote(&route.name.value)))
                    .at(route.span, format!("{combinations} combinations of host, path and method"))
                    .help(format!(
                        "use wildcards, which count once: a route may have {MAX_COMBINATIONS}, all together {MAX_TOTAL}"
                    )),
            );
            continue;
        }
        let hosts = or_any(&route.hosts, route.name.span, |host| host);
        let methods = or_any(&route.methods, route.name.span, |method| method.as_str());
        let paths = or_any(&route.paths, route.name.span, |path| path);
        let mut reported = false;
        for (path, path_span) in &paths {
            let plain = without_names(path);
            for (host, _) in &hosts {
                for (method, _) in &methods {
                    let Some((other, before)) = seen.insert((host, plain.clone(), method), (index, *path_span)) else {
                        continue;
                    };
                    if !reported {
                        out.push(fault(routes, index, *path_span, other, before, (host, path, method)));
                        reported = true;
                    }
                }
            }
        }
    }
}

fn fault(
    routes: &[RouteTable],
    index: usize,
    span: Span,
    other: usize,
    before: Span,
    (host, path, method): (&str, &str, &str),
) -> Diagnostic {
    let name = |index: usize| routes.get(index).map(|route| quote(&route.name.value)).unwrap_or_default();
    let shown = |text: &str, what: &str| if text.is_empty() { format!("any {what}") } else { quote(text) };
    let which = format!("{} {} on {}", shown(method, "method"), shown(path, "path"), shown(host, "host"));
    if index == other {
        return Diagnostic::error(format!("route {} names the same requests twice", name(index)))
            .at(span, format!("{which} again"))
            .beside(before, "first here")
            .help("name each host, path and method once");
    }
    Diagnostic::error(format!("routes {} and {} overlap", name(other), name(index)))
        .at(span, format!("{which} again"))
        .beside(before, "first here")
        .help("tell them apart by host, path or method; the more specific route is taken first")
}

/// The values of a list with their places; one empty value stands for an empty list.
fn or_any<'a, T>(list: &'a [Located<T>], otherwise: Span, text: impl Fn(&'a T) -> &'a str) -> Vec<(&'a str, Span)> {
    if list.is_empty() {
        return vec![("", otherwise)];
    }
    list.iter().map(|item| (text(&item.value), item.span)).collect()
}

/// A pattern without the names of its parameters, which do not change what it matches.
fn without_names(pattern: &str) -> String {
    let plain = |segment: &str| match segment.strip_prefix('{') {
        Some(rest) if rest.starts_with('*') => "{*}".to_owned(),
        Some(_) => "{}".to_owned(),
        None => segment.to_owned(),
    };
    pattern.split('/').map(plain).collect::<Vec<_>>().join("/")
}

/// How many combinations of host, path and method one route may have; each is looked at once.
const MAX_COMBINATIONS: usize = 16_384;

/// How many combinations all routes may have. Each takes memory here and in the router, some hundred bytes.
const MAX_TOTAL: usize = 1 << 20;
