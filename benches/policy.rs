//! Does the cost of a decision grow with the policy?
//!
//! One request of a browser, on the ordinary path: no rule holds for it. Three policies with as many routes as
//! rules, whose conditions are of every kind in the same proportions and half of which belong to a route; then
//! two policies of few and of many routes, and two whose rules name one network each. Then one request with everything
//! about it, and what it takes to compile a large policy. At the end the ratios, measured in turns so that whatever
//! else the machine does falls on both sides alike; each is told with the most that it is to be.

#![expect(clippy::unwrap_used, reason = "a bench of a policy that does not build is stopped")]

use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_fingerprint::{ClientHello, Ja3Hash};
use portcullis_intel::{AddressFacts, Asn, Country, NetworkClass};
use portcullis_policy::model::{
    Action, Case, Listed, Mode, Parts, Route, RouteMatch, Rule, TextPattern, Thresholds, When,
};
use portcullis_policy::{RuleSet, Score, SourceFile};
use portcullis_signals::{
    Behaviour, Caller, CanonicalRequest, ClientAddr, ConnectionJudgement, Expectation, ExpectedClients, Facts,
    Families, Http, LimitReading, Outcomes, OwnSignal, OwnValue, RequestHead, Tls, UnixSeconds, UsualConduct,
};

const HEADERS: [(&str, &str); 13] = [
    ("host", "api7.shop.example"),
    ("sec-ch-ua", "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"140\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("referer", "https://api7.shop.example/v1/"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9"),
    ("x-client", "web"),
];

/// Hands the facts of one request to `read`.
fn with_facts<T>(read: impl FnOnce(&Facts<'_>) -> T) -> T {
    let hello = ClientHello::from_records(include_bytes!("../fuzz/seeds/client_hello/chromium")).unwrap();
    let headers: HeaderMap =
        HEADERS.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    let request = CanonicalRequest::of(&RequestHead {
        method: &Method::GET,
        target: b"/v1/section7/orders/4711",
        authority: None,
        version: Version::HTTP_11,
        headers: &headers,
        raw: None,
    });
    let client: IpAddr = [198, 51, 100, 7].into();
    let mut network = AddressFacts::bare(client);
    network.asn = Some(Asn(64511));
    network.country = Country::new(*b"SE");
    read(&Facts {
        at: UnixSeconds(1_800_000_000),
        http: Http::Two,
        tls: Some(Tls::of(&hello)),
        behaviour: Behaviour { address_per_minute: 80, prefix_per_minute: 100, ..Behaviour::default() },
        outcomes: Outcomes { attempts: 40, failures: 2 },
        ..Facts::bare(&request, ClientAddr(client), &network)
    })
}

fn route(number: usize) -> Route {
    let mut route = Route::bare(&format!("route {number}"));
    route.matches = RouteMatch {
        hosts: vec![format!("api{}.shop.example", number % 10).as_str().into()],
        paths: vec![format!("/v1/section{number}/orders/{{order}}").as_str().into()],
        methods: vec![Method::GET],
    };
    let score = Score::thousandths;
    route.thresholds =
        Thresholds { throttle: Some(score(300)), challenge: Some(score(500)), block: Some(score(900)), ban: None };
    route.weights.signals.fill(score(200));
    route.expectation = Expectation {
        address_per_minute: 60,
        prefix_per_minute: 240,
        prior_answers: 10,
        clients: ExpectedClients::Any,
        networks: Expectation::NETWORKS,
        conduct: UsualConduct::ANYTHING,
    };
    route
}

fn pattern(pieces: &[&str], case: Case) -> TextPattern {
    TextPattern { pieces: pieces.iter().map(|piece| (*piece).into()).collect(), case }
}

/// One of ten kinds of rule, none of which holds for the request.
fn when(number: usize) -> When {
    let small = u32::try_from(number).unwrap();
    let [_, _, high, low] = small.to_be_bytes();
    let mut when = When::default();
    match number % 10 {
        0 => when.ip = vec![format!("10.{high}.{low}.0/24").parse().unwrap()],
        1 => when.asn = vec![Asn(small)],
        2 => when.ja4 = vec![format!("t13d1516h2_{small:012x}_02713d6af862").parse().unwrap()],
        3 => when.ja3 = vec![Ja3Hash([low; 16])],
        4 => when.user_agent = vec![pattern(&[&format!("tool-{number}/1.0")], Case::Insensitive)],
        5 => when.user_agent = vec![pattern(&["", &format!("crawler-{number}"), ""], Case::Insensitive)],
        6 => when.path = vec![pattern(&[&format!("/internal/{number}/"), ""], Case::Sensitive)],
        7 => {
            when.header =
                vec![(HeaderName::from_static("x-client"), pattern(&[&format!("batch-{number}")], Case::Sensitive))]
        }
        8 => when.country = vec![Country::new([b'A' + low % 18, b'A' + high % 26]).unwrap()],
        _ => when.ip = vec![format!("2001:db8:{small:x}::/48").parse().unwrap()],
    }
    when
}

fn rule(route: Option<u32>, when: When) -> Rule {
    Rule {
        name: "rule".into(),
        route,
        when,
        action: Action::Block,
        machine: None,
        mode: Mode::Enforce,
        until: None,
        owner: None,
        reason: None,
    }
}

fn rule_set(routes: Vec<Route>, rules: Vec<Rule>) -> RuleSet {
    let routes = std::iter::once(Route::bare("unrouted")).chain(routes).collect();
    RuleSet::new(Parts { routes, rules, listed: Listed::default(), version: "0123456789abcdef".into() })
}

/// As many routes as rules, half of which belong to one of them.
fn grown(size: usize) -> RuleSet {
    let owner = |number: usize| (number / 10 % 2 == 1).then(|| u32::try_from(1 + number % size).unwrap());
    rule_set((0..size).map(route).collect(), (0..size).map(|number| rule(owner(number), when(number))).collect())
}

/// Many routes, and a hundred rules.
fn routed(size: usize) -> RuleSet {
    rule_set((0..size).map(route).collect(), (0..100).map(|number| rule(None, when(number))).collect())
}

/// Rules that name one network each, spread over the whole of IPv4 but the client's.
fn networks(count: u32) -> RuleSet {
    let network = |number: u32| {
        let [first, second, third, _] = number.wrapping_mul(2_654_435_761).to_be_bytes();
        format!("{}.{second}.{third}.0/24", first % 190 + 1).parse().unwrap()
    };
    let rules = (0..count).map(|number| rule(None, When { ip: vec![network(number)], ..When::default() }));
    rule_set((0..10).map(route).collect(), rules.collect())
}

/// Hands the facts of a request to `read` that raises many signals: it claims a browser and shows none.
fn with_full_facts<T>(read: impl FnOnce(&Facts<'_>) -> T) -> T {
    with_facts(|facts| {
        let headers: HeaderMap = HEADERS
            .iter()
            .filter(|(name, _)| ["host", "user-agent", "accept-encoding", "x-client"].contains(name))
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .chain([(HeaderName::from_static("x-amount"), HeaderValue::from_static("512.50"))])
            .collect();
        let request = CanonicalRequest::of(&RequestHead {
            method: &Method::GET,
            target: b"/v1/section7/orders/4711",
            authority: None,
            version: Version::HTTP_11,
            headers: &headers,
            raw: None,
        });
        let mut network = facts.network.clone();
        for class in [NetworkClass::Datacenter, NetworkClass::Vpn] {
            network.classes.insert(class);
        }
        let hello = ClientHello::default();
        let tls = facts.tls.map(|tls| Tls { hello: &hello, ..tls });
        let judged = ConnectionJudgement::of(Families::shipped(), &facts.claim, tls.as_ref(), None);
        let own = [
            OwnSignal { name: "orders", value: OwnValue::Int(2) },
            OwnSignal { name: "account_age_days", value: OwnValue::Int(3) },
        ];
        let limits = [LimitReading { count: 3, ..LimitReading::default() }; 3];
        read(&Facts {
            request: &request,
            network: &network,
            tls,
            connection: Some(&judged),
            caller: Caller { user: Some("ann"), session: Some("s1"), own: &own, ..Caller::default() },
            behaviour: Behaviour { address_per_minute: 180, prefix_per_minute: 900, ..Behaviour::default() },
            outcomes: Outcomes { attempts: 40, failures: 30 },
            limits: &limits,
            ..*facts
        })
    })
}

/// A route with three limits and a rule with an expression.
fn full() -> RuleSet {
    let route = |number: u32| {
        format!(
            r#"
            [[route]]
            name = "route {number}"
            origin = "app"
            paths = ["/v1/section{number}/orders/{{order}}"]
            sensitivity = "high"
            thresholds = {{ throttle = "off", challenge = "off", block = 0.998, ban = 0.999 }}
            [[route.limit]]
            name = "per address"
            key = ["ip"]
            rate = "10/1m"
            [[route.limit]]
            name = "per prefix"
            key = ["ip_prefix"]
            rate = "100/1m"
            [[route.limit]]
            name = "failures"
            key = ["ip"]
            count = "failures"
            rate = "50/15m"
            [[route.rule]]
            name = "new account, large purchase"
            expr = 'score > 0.3 && identity.account_age_days < 7 && request.header("x-amount").double() > 1000.0'
            action = "step_up"
            "#
        )
    };
    let text: String = (0..10).map(route).collect();
    RuleSet::compile(&[SourceFile::new("rules/full.toml", text)]).unwrap().rules
}

fn machines(c: &mut Criterion) {
    with_full_facts(|facts| {
        let rules = full();
        let planned = rules.plan(facts.request);
        assert!(rules.signals(planned, facts).iter().count() >= 10, "ten signals are active");
        assert_eq!(rules.route(planned).limits.len(), 3);
        assert_eq!(rules.decide(facts).action, Action::Allow, "every step is asked");
        let mut group = c.benchmark_group("decide");
        group.bench_function("full facts, 10 signals, 3 limits, 1 expression", |b| {
            b.iter(|| rules.decide(black_box(facts)));
        });
        group.finish();
    });
}

/// How long a policy takes from its text to its tables: 1,000 routes, and a list of 100,000 networks.
fn compile(c: &mut Criterion) {
    let routes: String = (0..1_000)
        .map(|number| {
            format!("[[route]]\nname = \"route {number}\"\norigin = \"app\"\npaths = [\"/v1/section{number}\"]\n")
        })
        .collect();
    let rule = "[[rule]]\nname = \"listed\"\nwhen = { ip = [\"@networks\"] }\naction = \"block\"\n";
    let networks: String = (0..100_000_u32)
        .map(|number| {
            let [_, first, second, third] = number.wrapping_mul(2_654_435_761).to_be_bytes();
            format!("{}.{first}.{second}.{third}\n", number % 190 + 1)
        })
        .collect();
    let files =
        [SourceFile::new("rules/routes.toml", routes + rule), SourceFile::new("rules/lists/networks.txt", networks)];
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    group.bench_function("1,000 routes and a list of 100,000 networks", |b| {
        b.iter(|| RuleSet::compile(black_box(&files)).unwrap());
    });
    group.finish();
}

fn policy(c: &mut Criterion) {
    with_facts(|facts| {
        let mut group = c.benchmark_group("decide");
        for size in [10, 100, 1_000] {
            let rules = grown(size);
            assert_eq!(rules.plan(facts.request).0, 8, "the request has a route of its own");
            assert_eq!(rules.decide(facts).rule, None, "no rule holds for it");
            group.bench_function(format!("{size} routes, {size} rules"), |b| b.iter(|| rules.decide(black_box(facts))));
            group.bench_function(format!("{size} routes, {size} rules: plan alone"), |b| {
                b.iter(|| rules.plan(black_box(facts.request)));
            });
        }
        for size in [10, 10_000] {
            let rules = routed(size);
            assert_eq!(rules.plan(facts.request).0, 8, "the request has a route of its own");
            group.bench_function(format!("{size} routes, 100 rules"), |b| b.iter(|| rules.decide(black_box(facts))));
        }
        for count in [10, 100_000] {
            let rules = networks(count);
            assert_eq!(rules.decide(facts).rule, None, "no rule holds for it");
            group.bench_function(format!("{count} networks"), |b| b.iter(|| rules.decide(black_box(facts))));
        }
        group.finish();
    });
}

/// The fastest of many short runs of each, taken in turns, in nanoseconds a decision.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn in_turns(small: &RuleSet, large: &RuleSet, facts: &Facts<'_>) -> (f64, f64) {
    const ROUNDS: usize = 3_000;
    const DECISIONS: u32 = 200;
    let run = |rules: &RuleSet| {
        let start = Instant::now();
        for _ in 0..DECISIONS {
            black_box(rules.decide(black_box(facts)));
        }
        start.elapsed()
    };
    let (mut fastest_small, mut fastest_large) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        fastest_small = fastest_small.min(run(small));
        fastest_large = fastest_large.min(run(large));
    }
    let nanos = |run: Duration| run.as_secs_f64() * 1e9 / f64::from(DECISIONS);
    (nanos(fastest_small), nanos(fastest_large))
}

fn ratios() {
    with_facts(|facts| {
        for (question, small, large, most) in [
            ("1,000 routes and rules beside 10", grown(10), grown(1_000), 1.20),
            ("10,000 routes beside 10", routed(10), routed(10_000), 1.20),
            ("100,000 networks beside 10", networks(10), networks(100_000), 1.05),
        ] {
            let (small, large) = in_turns(&small, &large, facts);
            println!("{question}: {large:.0} ns / {small:.0} ns = {:.3} (at most {most:.2})", large / small);
        }
    });
}

criterion_group!(benches, policy, machines, compile);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    ratios();
}
