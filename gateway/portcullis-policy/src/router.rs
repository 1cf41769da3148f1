//! Which route a request belongs to: host, then path, then method.
//!
//! ```text
//! host    exact name -> longest wildcard suffix -> any host
//! path    a literal segment before `{name}`, `{name}` before `{*rest}`, segment by segment
//! method  the named method -> any method
//! ```
//!
//! Each choice is taken back where what follows it has no route: a route for `POST /login` on one host does
//! not hide a route for every method on any host. The tables are trees over the labels and segments of a
//! request, so that the cost follows from the request and not from the number of routes.
//!
//! A final slash makes no difference unless two routes differ by it alone: most origins answer `/login/` as
//! `/login`, and a policy that could be left by one more slash would be none. For the same reason `HEAD`
//! belongs to the routes of `GET` where no route names it (RFC 9110 §9.3.2), and `{*rest}` also stands for
//! nothing at all.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use http::Method;

use crate::model::Route;

/// Finds the route of a request.
#[derive(Debug, Default)]
pub(crate) struct Router {
    exact: HashMap<Box<str>, Paths, FixedState>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Paths, FixedState>,
    /// The length of the longest key of `wildcard`; no longer suffix need be looked up.
    longest_suffix: usize,
    any: Paths,
}

/// The paths of one host pattern.
#[derive(Debug, Default)]
struct Paths {
    root: Node,
    /// What routes without a path pattern take.
    any: Methods,
}

/// One place in a path, with what may follow.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node, FixedState>,
    parameter: Option<Box<Node>>,
    /// Paths that end here.
    end: Methods,
    /// Paths that end here in a slash.
    end_slash: Methods,
    /// Paths that end here or anywhere below.
    rest: Methods,
}

/// Which route takes which method.
#[derive(Debug, Default)]
struct Methods {
    /// There are as many as a policy names on one path, hence few.
    named: Vec<(Method, u32)>,
    any: Option<u32>,
}

impl Router {
    /// Builds the tables. The first route is the catch-all and stands in none of them.
    ///
    /// Of two routes that take the very same requests the one written first gets them.
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut router = Self::default();
        for (id, route) in (0_u32..).zip(routes).skip(1) {
            let matches = &route.matches;
            if matches.hosts.is_empty() {
                router.any.insert(&matches.paths, &matches.methods, id);
            }
            for host in &matches.hosts {
                let paths = match host.strip_prefix("*.") {
                    Some(suffix) => {
                        router.longest_suffix = router.longest_suffix.max(suffix.len());
                        router.wildcard.entry(suffix.into()).or_default()
                    }
                    None => router.exact.entry((**host).into()).or_default(),
                };
                paths.insert(&matches.paths, &matches.methods, id);
            }
        }
        router
    }

    /// The route of a request by its host in lower case, its canonical path and its method.
    pub(crate) fn route(&self, host: &str, path: &str, method: &Method) -> Option<u32> {
        let exact = self.exact.get(host).and_then(|paths| paths.find(path, method));
        exact.or_else(|| self.by_suffix(host, path, method)).or_else(|| self.any.find(path, method))
    }

    fn by_suffix(&self, host: &str, path: &str, method: &Method) -> Option<u32> {
        if self.wildcard.is_empty() {
            return None;
        }
        let mut rest = host;
        loop {
            (_, rest) = rest.split_once('.')?;
            let paths = if rest.len() > self.longest_suffix { None } else { self.wildcard.get(rest) };
            if let Some(route) = paths.and_then(|paths| paths.find(path, method)) {
                return Some(route);
            }
        }
    }
}

impl Paths {
    fn insert(&mut self, patterns: &[impl AsRef<str>], methods: &[Method], route: u32) {
        if patterns.is_empty() {
            self.any.insert(methods, route);
        }
        for pattern in patterns {
            self.root.insert(pattern.as_ref(), methods, route);
        }
    }

    fn find(&self, path: &str, method: &Method) -> Option<u32> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (path, slash) = path.strip_suffix('/').map_or((path, Ending::Plain), |path| (path, Ending::Slash));
        self.root.find(path, slash, method).or_else(|| self.any.find(method))
    }
}

/// How a path ends.
#[derive(Clone, Copy)]
enum Ending {
    Plain,
    Slash,
}

impl Node {
    fn insert(&mut self, pattern: &str, methods: &[Method], route: u32) {
        let mut node = self;
        let mut left = pattern.strip_prefix('/').unwrap_or(pattern);
        while !left.is_empty() {
            let (segment, tail) = left.split_once('/').unwrap_or((left, ""));
            let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
            node = match name {
                Some(name) if name.starts_with('*') => return node.rest.insert(methods, route),
                Some(_) => node.parameter.get_or_insert_default(),
                None => node.literals.entry(segment.into()).or_default(),
            };
            left = tail;
        }
        let end = if pattern.ends_with('/') { &mut node.end_slash } else { &mut node.end };
        end.insert(methods, route);
    }

    /// Looks for what is left of a path, without slashes around it.
    ///
    /// INVARIANT: this goes no deeper than the tree, however many segments a client sends.
    fn find(&self, left: &str, ending: Ending, method: &Method) -> Option<u32> {
        let found = if left.is_empty() {
            let (same, other) = match ending {
                Ending::Plain => (&self.end, &self.end_slash),
                Ending::Slash => (&self.end_slash, &self.end),
            };
            same.find(method).or_else(|| other.find(method))
        } else {
            let (segment, tail) = left.split_once('/').unwrap_or((left, ""));
            let literal = self.literals.get(segment).and_then(|node| node.find(tail, ending, method));
            literal.or_else(|| self.parameter.as_ref()?.find(tail, ending, method))
        };
        found.or_else(|| self.rest.find(method))
    }
}

impl Methods {
    fn insert(&mut self, methods: &[Method], route: u32) {
        if methods.is_empty() {
            self.any.get_or_insert(route);
        }
        for method in methods {
            if self.named(method).is_none() {
                self.named.push((method.clone(), route));
            }
        }
    }

    fn find(&self, method: &Method) -> Option<u32> {
        let head = || if *method == Method::HEAD { self.named(&Method::GET) } else { None };
        self.named(method).or_else(head).or(self.any)
    }

    fn named(&self, method: &Method) -> Option<u32> {
        self.named.iter().find(|(named, _)| named == method).map(|(_, route)| *route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RouteMatch;
    use portcullis_signals::CanonicalPath;
    use proptest::prelude::*;

    fn router(routes: &[(&[&str], &[&str], &[&str])]) -> Router {
        let written = routes.iter().map(|(hosts, paths, methods)| {
            let mut route = Route::bare("route");
            route.matches = RouteMatch {
                hosts: hosts.iter().map(|host| (*host).into()).collect(),
                paths: paths.iter().map(|path| (*path).into()).collect(),
                methods: methods.iter().map(|method| method.parse().unwrap()).collect(),
            };
            route
        });
        let routes: Vec<Route> = std::iter::once(Route::bare("unrouted")).chain(written).collect();
        Router::new(&routes)
    }

    /// Each row: `METHOD host path` as sent, and the number of its route, from 1 in the order written.
    fn check(router: &Router, rows: &[(&str, Option<u32>)]) {
        for (request, route) in rows {
            let [method, host, path] = request.split(' ').collect::<Vec<_>>()[..] else { panic!("{request}") };
            let path = CanonicalPath::of(path);
            assert_eq!(router.route(host, path.as_str(), &method.parse().unwrap()), *route, "{request}");
        }
    }

    #[test]
    fn a_literal_segment_goes_before_a_parameter_and_that_before_the_rest() {
        let router = router(&[
            (&[], &["/v1/{id}"], &[]),
            (&[], &["/v1/{*rest}"], &[]),
            (&[], &["/v1/login"], &[]),
            (&[], &["/v1/{id}/orders"], &[]),
            (&[], &["/v1/login/again"], &[]),
            (&[], &["/"], &[]),
        ]);
        check(
            &router,
            &[
                ("GET h /v1/login", Some(3)),
                ("GET h /v1/42", Some(1)),
                ("GET h /v1/42/orders", Some(4)),
                // Taken back: `login` has no `orders`.
                ("GET h /v1/login/orders", Some(4)),
                ("GET h /v1/login/again", Some(5)),
                ("GET h /v1/login/never", Some(2)),
                ("GET h /v1/42/orders/7", Some(2)),
                ("GET h /v1", Some(2)),
                ("GET h /v1/", Some(2)),
                ("GET h /", Some(6)),
                ("GET h /v2", None),
                ("GET h /v1x", None),
            ],
        );
    }

    #[test]
    fn an_exact_host_goes_before_the_longest_wildcard_and_that_before_any() {
        let router = router(&[
            (&[], &["/x"], &[]),
            (&["*.shop.example"], &["/x"], &[]),
            (&["*.eu.shop.example"], &["/x"], &[]),
            (&["api.eu.shop.example", "shop.example"], &["/x"], &[]),
            (&["*.shop.example"], &["/y"], &[]),
        ]);
        check(
            &router,
            &[
                ("GET api.eu.shop.example /x", Some(4)),
                ("GET shop.example /x", Some(4)),
                ("GET www.eu.shop.example /x", Some(3)),
                ("GET a.b.eu.shop.example /x", Some(3)),
                ("GET www.shop.example /x", Some(2)),
                ("GET eu.shop.example /x", Some(2)),
                // A wildcard stands for names below it, not for the name itself, nor for one that ends alike.
                ("GET badshop.example /x", Some(1)),
                ("GET example /x", Some(1)),
                ("GET [2001:db8::1] /x", Some(1)),
                ("GET www.eu.shop.example /y", Some(5)),
                ("GET api.eu.shop.example /y", Some(5)),
                ("GET shop.example /y", None),
                ("GET .shop.example /y", Some(5)),
            ],
        );
    }

    #[test]
    fn a_method_without_an_entry_falls_to_what_is_less_specific() {
        let router = router(&[
            (&["shop.example"], &["/login"], &["POST"]),
            (&["shop.example"], &["/{page}"], &["GET"]),
            (&["shop.example"], &[], &["PUT"]),
            (&["*.example"], &["/login"], &["DELETE"]),
            (&[], &["/login"], &["PATCH"]),
            (&[], &[], &[]),
            (&["shop.example"], &["/page"], &[]),
            (&["shop.example"], &["/page"], &["POST"]),
        ]);
        check(
            &router,
            &[
                ("POST shop.example /login", Some(1)),
                ("GET shop.example /login", Some(2)),
                ("PUT shop.example /login", Some(3)),
                ("DELETE shop.example /login", Some(4)),
                ("PATCH shop.example /login", Some(5)),
                ("OPTIONS shop.example /login", Some(6)),
                ("POST shop.example /page", Some(8)),
                ("GET shop.example /page", Some(7)),
                // Methods are told apart by case (RFC 9110 §9.1).
                ("post shop.example /login", Some(6)),
            ],
        );
    }

    #[test]
    fn a_head_request_belongs_to_the_route_of_get() {
        let router =
            router(&[(&[], &["/a"], &["GET"]), (&[], &["/b"], &["GET"]), (&[], &["/b"], &["HEAD"]), (&[], &[], &[])]);
        check(
            &router,
            &[("HEAD h /a", Some(1)), ("HEAD h /b", Some(3)), ("GET h /b", Some(2)), ("POST h /a", Some(4))],
        );
    }

    #[test]
    fn a_final_slash_makes_no_difference_unless_routes_differ_by_it() {
        let router = router(&[
            (&[], &["/a"], &[]),
            (&[], &["/b/"], &[]),
            (&[], &["/c"], &[]),
            (&[], &["/c/"], &[]),
            (&[], &["/d/{id}"], &[]),
        ]);
        check(
            &router,
            &[
                ("GET h /a", Some(1)),
                ("GET h /a/", Some(1)),
                ("GET h /b", Some(2)),
                ("GET h /b/", Some(2)),
                ("GET h /c", Some(3)),
                ("GET h /c/", Some(4)),
                ("GET h /d/1/", Some(5)),
                ("GET h /d/", None),
            ],
        );
    }

    /// The ways round a path rule that other gateways have let through.
    #[test]
    fn every_spelling_of_a_path_meets_the_same_route() {
        let router = router(&[(&[], &["/admin/{*rest}"], &[]), (&[], &["/v1/login"], &["POST"]), (&[], &[], &[])]);
        for path in [
            "/admin/users",
            "//admin/users",
            "/admin//users",
            "/./admin/users",
            "/x/../admin/users",
            "/%61dmin/users",
            "/x/%2e%2e/admin/users",
            "/%2E/admin/users",
            "/admin",
            "/admin/",
            "/admin/.",
            "/admin/x/../y",
            "/../admin/users",
        ] {
            check(&router, &[(&format!("GET h {path}"), Some(1))]);
        }
        for path in
            ["/v1/login", "/v1//login", "/v1/login/", "/v1/./login", "/v1/x/../login", "/%761/login", "/v1/login/."]
        {
            check(&router, &[(&format!("POST h {path}"), Some(2))]);
        }
        // Told apart by case, as origins do; an encoded slash is no slash, and the request is at fault besides.
        check(
            &router,
            &[("GET h /Admin/users", Some(3)), ("GET h /admin%2fusers", Some(3)), ("GET h /administrator", Some(3))],
        );
    }

    #[test]
    fn of_two_routes_for_the_same_requests_the_first_gets_them() {
        let router = router(&[(&["h"], &["/{a}"], &[]), (&["h"], &["/{b}"], &["GET"]), (&["h"], &["/{c}"], &[])]);
        check(&router, &[("GET h /x", Some(2)), ("POST h /x", Some(1))]);
    }

    #[test]
    fn a_host_above_a_hundred_others_is_found() {
        let hosts: Vec<String> = (0..300).map(|number| format!("h{number}.shop.example")).collect();
        let rows: Vec<[&str; 1]> = hosts.iter().map(|host| [host.as_str()]).collect();
        let routes: Vec<(&[&str], &[&str], &[&str])> =
            rows.iter().map(|host| (&host[..], &["/x"][..], &[][..])).collect();
        let router = router(&routes);
        check(
            &router,
            &[
                ("GET h0.shop.example /x", Some(1)),
                ("GET h299.shop.example /x", Some(300)),
                ("GET h300.shop.example /x", None),
            ],
        );
    }

    proptest! {
        #[test]
        fn any_request_gets_an_answer(host in "[a-c.\\[\\]:]{0,12}", path in "/[a-c/{}*%]{0,16}", deep in 0_usize..3000) {
            let router = router(&[(&["*.a"], &["/a/{b}/c"], &[]), (&["a.b"], &["/{*rest}"], &["GET"]), (&[], &["/{a}/{b}"], &[])]);
            router.route(&host, &path, &Method::GET);
            router.route(&host, &"/a".repeat(deep), &Method::GET);
        }
    }
}
