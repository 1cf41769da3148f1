use super::*;
use crate::model::{Action, Case, Mode};
use crate::patterns;
use crate::testing::Asks;
use http::Method;
use ipnetwork::IpNetwork;
use portcullis_intel::NetworkClass;
use portcullis_signals::{CrawlerKind, Kind, Proof};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const NETWORKS: [&str; 9] = [
    "0.0.0.0/0",
    "192.0.0.0/8",
    "192.0.2.0/24",
    "192.0.2.0/25",
    "192.0.2.7/32",
    "198.51.100.0/24",
    "2001:db8::/32",
    "2001:db8::/64",
    "2001:db8::1/128",
];
const ADDRESSES: [&str; 6] =
    ["192.0.2.7", "192.0.2.200", "198.51.100.1", "203.0.113.1", "2001:db8::1", "2001:db8:1::1"];
const AGENTS: [&str; 6] = ["curl/*", "*BOT*", "shop/1.0", "*", "a*b*c", "*bot/2"];
const PATHS: [&str; 5] = ["/", "/v1/*", "*/login", "/V1/x", "*"];
const TAGS: [&str; 4] = ["yes", "y*", "*", "no"];

fn ja4(tag: u8) -> Ja4 {
    format!("t13d151{tag}h2_8daaf6152771_02713d6af862").parse().unwrap()
}

/// Asks every rule, condition by condition, as their descriptions say.
fn naive(rules: &[Rule], route: u32, subject: &Subject<'_>) -> Vec<u32> {
    fn any<T>(list: &[T], holds: impl Fn(&T) -> bool) -> bool {
        list.is_empty() || list.iter().any(holds)
    }
    let holds = |rule: &Rule| {
        let when = &rule.when;
        rule.until.is_none_or(|until| subject.at.0 < until)
            && any(&when.ip, |network| network.contains(subject.ip))
            && any(&when.asn, |asn| Some(*asn) == subject.asn)
            && any(&when.country, |country| Some(*country) == subject.country)
            && any(&when.class, |class| subject.classes.contains(*class))
            && any(&when.crawler, |kind| {
                let crawler = subject.crawler.filter(|crawler| crawler.kind == *kind);
                crawler.is_some_and(|crawler| rule.action != Action::Allow || crawler.proof == Proof::Verified)
            })
            && any(&when.claim, |kind| *kind == subject.claim.kind)
            && any(&when.client_name, |name| Some(*name) == subject.claim.name)
            && any(&when.ja3, |ja3| Some(*ja3) == subject.ja3)
            && any(&when.ja4, |ja4| Some(*ja4) == subject.ja4)
            && any(&when.http2, |print| subject.http2.is_some_and(|found| found.to_string() == **print))
            && any(&when.user, |user| subject.user == Some(&**user))
            && any(&when.api_key, |key| subject.api_key == Some(&**key))
            && any(&when.method, |method| method == subject.method)
            && any(&when.user_agent, |pattern| pattern.matches(subject.user_agent()))
            && any(&when.path, |pattern| pattern.matches(subject.path.as_bytes()))
            && when.header.iter().all(|(name, pattern)| {
                subject.headers.get_all(name).iter().any(|value| pattern.matches(value.as_bytes()))
            })
    };
    let of = |scope: Option<u32>| {
        (0_u32..).zip(rules).filter(move |(_, rule)| rule.route == scope && holds(rule)).map(|(id, _)| id)
    };
    of(Some(route)).chain(of(None)).collect()
}

fn some_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    // Empty most of the time, as in a real rule.
    prop_oneof![3 => Just(Vec::new()), 1 => subsequence(values.to_vec(), 1..=values.len().min(3))]
}

fn texts(written: &[&str], case: Case) -> Vec<crate::model::TextPattern> {
    written.iter().map(|text| patterns::pattern(text, case).unwrap()).collect()
}

fn boxed(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| (*text).into()).collect()
}

fn any_when() -> impl Strategy<Value = When> {
    let header = |name: &'static str| {
        texts(&TAGS, Case::Sensitive).into_iter().map(move |text| (HeaderName::from_static(name), text))
    };
    (
        some_of(&NETWORKS.map(|network| network.parse::<IpNetwork>().unwrap())),
        some_of(&[Asn(64496), Asn(64497), Asn(64498)]),
        some_of(&["DE", "FR"].map(|country| country.parse::<Country>().unwrap())),
        (
            some_of(&[NetworkClass::Tor, NetworkClass::Vpn, NetworkClass::Mobile]),
            some_of(&CrawlerKind::ALL),
            some_of(&Kind::ALL),
            some_of(&["curl", "gptbot", "googlebot"]),
        ),
        some_of(&[Ja3Hash([1; 16]), Ja3Hash([2; 16])]),
        (some_of(&[ja4(5), ja4(6)]), some_of(&boxed(&["ann", "ben"])), some_of(&boxed(&["k1", "k2"]))),
        some_of(&texts(&AGENTS, Case::Insensitive)),
        some_of(&texts(&PATHS, Case::Sensitive)),
        some_of(&[Method::GET, Method::POST]),
        some_of(&header("x-tag").chain(header("x-other")).collect::<Vec<_>>()),
    )
        .prop_map(
            |(
                ip,
                asn,
                country,
                (class, crawler, claim, client_name),
                ja3,
                (ja4, user, api_key),
                user_agent,
                path,
                method,
                header,
            )| {
                When {
                    http2: Vec::new(),
                    user,
                    api_key,
                    ip,
                    asn,
                    country,
                    class,
                    crawler,
                    claim,
                    client_name,
                    ja3,
                    ja4,
                    user_agent,
                    path,
                    method,
                    header,
                }
            },
        )
}

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    let action = select(vec![Action::Block, Action::Allow]);
    let rule = (any_when(), proptest::option::of(1_u32..3), proptest::option::of(0_u64..20), action).prop_map(
        |(when, route, until, action)| Rule {
            name: "rule".into(),
            route,
            when,
            action,
            machine: None,
            mode: Mode::Enforce,
            until,
            owner: None,
            reason: None,
        },
    );
    proptest::collection::vec(rule, 0..40)
}

fn any_asks() -> impl Strategy<Value = Asks> {
    let country = select(vec!["DE", "FR", "SE"]).prop_map(|country| country.parse().unwrap());
    let connection = (
        select(ADDRESSES.to_vec()),
        proptest::option::of((64496_u32..64500).prop_map(Asn)),
        proptest::option::of(country),
        subsequence(vec![NetworkClass::Tor, NetworkClass::Vpn, NetworkClass::Mobile, NetworkClass::Crawler], 0..=4),
        proptest::option::of((1_u8..4, 5_u8..8)),
    );
    let request = (
        select(vec![Method::GET, Method::POST, Method::PUT]),
        select(vec!["/", "/v1/x", "/v1/login", "/V1/x"]),
        select(vec!["curl/8.5.0", "Shop/1.0", "robot", "GoodBot/2", "a-b-c", "Googlebot/2.1", "GPTBot/1.2", ""]),
        subsequence(vec!["yes", "no", "yesno"], 0..=3),
        subsequence(vec!["yes", "no"], 0..=1),
        (0_u64..20, select(vec![None, Some("ann"), Some("ben")]), select(vec![None, Some("k1"), Some("k2")])),
    );
    (connection, request).prop_map(|((ip, asn, country, classes, tls), (method, path, agent, tags, others, more))| {
        let (at, user, api_key) = more;
        let mut asks = Asks {
            at,
            method,
            path: path.into(),
            ip: ip.parse().unwrap(),
            asn,
            country,
            classes,
            tls: tls.map(|(ja3, tag)| (Ja3Hash([ja3; 16]), ja4(tag))),
            user,
            api_key,
            ..Asks::default()
        };
        asks = asks.with_header("user-agent", agent);
        for tag in tags {
            asks = asks.with_header("x-tag", tag);
        }
        for other in others {
            asks = asks.with_header("x-other", other);
        }
        asks
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_index_finds_the_rules_that_asking_each_would_find(rules in any_rules(), asks in any_asks(), route in 1_u32..4) {
        let index = RuleIndex::new(&rules);
        asks.facts(|facts| {
            let subject = Subject::of(facts);
            let found: Vec<u32> = index.matches(route, &subject).iter().map(|rule| rule.0).collect();
            prop_assert_eq!(found, naive(&rules, route, &subject));
            Ok(())
        })?;
    }
}

fn rule(when: When) -> Rule {
    Rule {
        name: "rule".into(),
        route: None,
        when,
        action: Action::Block,
        machine: None,
        mode: Mode::Enforce,
        until: None,
        owner: None,
        reason: None,
    }
}

#[test]
fn networks_within_networks_are_all_found() {
    let rules: Vec<Rule> =
        ["192.0.2.0/24", "0.0.0.0/0", "192.0.2.128/25", "192.0.2.0/25", "192.0.2.7/32", "::/0", "192.0.2.9/24"]
            .map(|network| rule(When { ip: vec![network.parse().unwrap()], ..When::default() }))
            .to_vec();
    let index = RuleIndex::new(&rules);
    for (ip, found) in [
        ("192.0.2.7", &[0, 1, 3, 4, 6][..]),
        ("192.0.2.8", &[0, 1, 3, 6]),
        ("192.0.2.200", &[0, 1, 2, 6]),
        ("198.51.100.1", &[1]),
        ("2001:db8::1", &[5]),
    ] {
        let asks = Asks { ip: ip.parse().unwrap(), ..Asks::default() };
        let rules = asks.facts(|facts| index.matches(0, &Subject::of(facts)));
        assert_eq!(rules.iter().map(|rule| rule.0).collect::<Vec<_>>(), found, "{ip}");
    }
}

#[test]
fn a_text_that_repeats_a_piece_is_checked_once() {
    let rules = [rule(When { user_agent: texts(&["*ab*z", "*ab*"], Case::Insensitive), ..When::default() })];
    let index = RuleIndex::new(&rules);
    let asks = Asks::default().with_header("user-agent", &"ab".repeat(20_000));
    let found = asks.facts(|facts| index.matches(0, &Subject::of(facts)));
    assert_eq!(found.to_vec(), [RuleId(0)]);
}
