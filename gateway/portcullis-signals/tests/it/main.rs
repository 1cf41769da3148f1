//! Facts of hand-written requests, and the signals they give.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod coherence;
mod everyday;
mod steady;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_intel::{AddressFacts, ClassSet, NetworkClass};
use portcullis_signals::{
    Behaviour, Caller, CanonicalRequest, ClientAddr, Conduct, CrawlerKind, Expectation, ExpectedClients, Facts, Named,
    Outcomes, Posture, Proof, RequestHead, SignalId, Strength, UsualConduct, is_client_address_header,
};

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

const BROWSER: &[(&str, &str)] = &[
    ("host", "shop.example"),
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\""),
    ("sec-ch-ua-mobile", "?0"),
    ("user-agent", CHROME),
    ("accept", "text/html"),
    ("sec-fetch-mode", "navigate"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9"),
];

const EXPECTATION: Expectation = Expectation {
    address_per_minute: 60,
    prefix_per_minute: 600,
    prior_answers: 10,
    clients: ExpectedClients::Any,
    networks: Expectation::NETWORKS,
    conduct: UsualConduct::ANYTHING,
};

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

struct Case {
    method: Method,
    fields: HeaderMap,
    network: AddressFacts,
    behaviour: Behaviour,
    outcomes: Outcomes,
    caller: Caller<'static>,
    conduct: Conduct,
    posture: Posture,
    expectation: Expectation,
    crawler_proof: Proof,
}

impl Case {
    fn new(fields: &[(&str, &str)]) -> Self {
        Self {
            method: Method::GET,
            fields: headers(fields),
            crawler_proof: Proof::Unverified,
            network: AddressFacts::bare("203.0.113.5".parse().unwrap()),
            behaviour: Behaviour::default(),
            outcomes: Outcomes::default(),
            caller: Caller::default(),
            conduct: Conduct::default(),
            posture: Posture::Normal,
            expectation: EXPECTATION,
        }
    }

    /// Hands the facts to `read`.
    fn facts<T>(&self, read: impl FnOnce(&Facts<'_>) -> T) -> T {
        let request = CanonicalRequest::of(&RequestHead {
            method: &self.method,
            target: b"/",
            authority: None,
            version: Version::HTTP_11,
            headers: &self.fields,
            raw: None,
        });
        read(&Facts {
            caller: self.caller,
            behaviour: self.behaviour,
            outcomes: self.outcomes,
            conduct: self.conduct,
            posture: self.posture,
            crawler_proof: self.crawler_proof,
            ..Facts::bare(&request, ClientAddr("203.0.113.5".parse().unwrap()), &self.network)
        })
    }

    fn signals(&self) -> Vec<(SignalId, Strength)> {
        self.facts(|facts| facts.signals(&self.expectation).iter().collect())
    }

    fn strength(&self, signal: SignalId) -> Strength {
        self.facts(|facts| facts.signals(&self.expectation).strength(signal))
    }

    fn names(&self) -> Vec<&'static str> {
        self.signals().into_iter().map(|(signal, _)| signal.name()).collect()
    }
}

#[test]
fn a_whole_browser_raises_nothing() {
    assert!(Case::new(BROWSER).names().is_empty());
}

#[test]
fn a_claim_is_judged_by_its_kind() {
    for (user_agent, names) in [
        ("curl/8.5.0", &["ua-tool"][..]),
        ("sqlmap/1.8", &["ua-scanner"]),
        ("", &["ua-empty"]),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", &["ua-crawler"]),
        ("MyApp/3.1", &[]),
        (CHROME, &["header-missing"]),
    ] {
        assert_eq!(Case::new(&[("host", "shop.example"), ("user-agent", user_agent)]).names(), names, "{user_agent}");
    }
}

#[test]
fn a_crawler_in_its_own_network_is_believed() {
    let mut case = Case::new(&[("host", "shop.example"), ("user-agent", "Googlebot/2.1")]);
    case.network.classes.insert(NetworkClass::Crawler);
    case.network.classes.insert(NetworkClass::Datacenter);
    assert!(case.names().is_empty());
}

#[test]
fn a_privacy_relay_is_no_vpn() {
    let mut case = Case::new(BROWSER);
    case.network.classes.insert(NetworkClass::Vpn);
    case.network.classes.insert(NetworkClass::Datacenter);
    assert_eq!(case.names(), ["asn-hosting", "net-vpn"]);
    case.network.classes.insert(NetworkClass::Relay);
    assert!(case.names().is_empty());
}

#[test]
fn client_hints_of_chromium_contradict_another_browser() {
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
    let fields = [
        ("host", "shop.example"),
        ("sec-ch-ua", "\"Chromium\";v=\"142\""),
        ("user-agent", firefox),
        ("accept", "text/html"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
    ];
    assert_eq!(Case::new(&fields).names(), ["header-contradiction", "client-hints"]);
}

#[test]
fn one_failure_means_little_and_forty_of_fifty_mean_much() {
    for (failures, attempts, least, most) in
        [(1, 1, 0, 0), (2, 40, 0, 0), (3, 3, 0, 100), (8, 8, 400, 700), (40, 50, 700, 1000), (300, 310, 1000, 1000)]
    {
        let mut case = Case::new(BROWSER);
        case.outcomes = Outcomes { attempts, failures };
        let strength = case.signals().first().map_or(Strength::NONE, |(_, strength)| *strength);
        assert!(
            (Strength::thousandths(least)..=Strength::thousandths(most)).contains(&strength),
            "{failures} of {attempts}: {strength}"
        );
    }
}

#[test]
fn a_class_of_network_counts_where_it_is_said_to() {
    use NetworkClass::{Abuser, Crawler, Datacenter, Mobile, Proxy, Relay, Satellite, Tor, Vpn};
    let all: ClassSet = NetworkClass::ALL.into_iter().collect();
    for (class, name, by_itself) in [
        (Tor, Some("net-tor"), true),
        (Vpn, Some("net-vpn"), true),
        (Proxy, Some("net-proxy"), true),
        (Datacenter, Some("asn-hosting"), true),
        (Abuser, Some("net-abuser"), true),
        (Crawler, Some("net-crawler"), false),
        (Satellite, Some("net-satellite"), false),
        (Mobile, Some("net-mobile"), false),
        (Relay, None, false),
    ] {
        let mut case = Case::new(BROWSER);
        case.network.classes.insert(class);
        for (networks, counts) in
            [(all, true), (Expectation::NETWORKS, by_itself), (all.without(class), false), (ClassSet::EMPTY, false)]
        {
            case.expectation.networks = networks;
            assert_eq!(
                case.names(),
                name.filter(|_| counts).into_iter().collect::<Vec<_>>(),
                "{class} of {networks:?}"
            );
        }
    }
}

/// Requests of the address, of those who look alike and of the named one, on a route where 60 are usual.
#[test]
fn where_an_address_is_shared_the_next_identifier_counts_instead() {
    let own = AddressFacts::bare("203.0.113.5".parse().unwrap());
    let carrier = AddressFacts::bare("100.64.0.9".parse().unwrap());
    let of = |class| AddressFacts { classes: ClassSet::of(class), ..own.clone() };
    let shared = [of(NetworkClass::Mobile), of(NetworkClass::Satellite), of(NetworkClass::Relay), carrier];
    for (counts, alone, among_others) in [
        ((60, 60, 60), 0, 0),
        ((240, 240, 0), 1000, 0),
        ((240, 240, 240), 1000, 1000),
        ((240, 240, 150), 1000, 500),
        // Ten times the usual of one fingerprint is no more than some people with one make of phone.
        ((600, 480, 10), 1000, 0),
        ((1200, 1200, 10), 1000, 500),
        // Who takes another name and another fingerprint each time is one of too many all the same.
        ((1920, 1, 1), 1000, 0),
        ((7680, 1, 1), 1000, 1000),
    ] {
        let (address_per_minute, fingerprint_per_minute, named_per_minute) = counts;
        let mut case = Case::new(BROWSER);
        case.behaviour =
            Behaviour { address_per_minute, fingerprint_per_minute, named_per_minute, ..Behaviour::default() };
        case.network = own.clone();
        assert_eq!(case.strength(SignalId::VelocityIp), Strength::thousandths(alone), "{counts:?} alone");
        for network in &shared {
            case.network = network.clone();
            let strength = case.strength(SignalId::VelocityIp);
            assert_eq!(strength, Strength::thousandths(among_others), "{counts:?} at {network:?}");
        }
    }
}

#[test]
fn the_prefix_of_a_shared_address_is_shared_too() {
    let mut case = Case::new(BROWSER);
    case.behaviour.prefix_per_minute = 2400;
    assert_eq!(case.strength(SignalId::VelocityPrefix), Strength::FULL);
    case.network.classes.insert(NetworkClass::Mobile);
    assert_eq!(case.strength(SignalId::VelocityPrefix), Strength::NONE);
    case.behaviour.prefix_per_minute = 2400 * 32;
    assert_eq!(case.strength(SignalId::VelocityPrefix), Strength::FULL);
}

#[test]
fn of_a_shared_address_the_user_counts_before_the_session_and_the_fingerprint_always() {
    let (user, session, api_key) = (Some("ann"), Some("s1"), Some("k1"));
    for (caller, named) in [
        (Caller { user, session, api_key, ..Caller::default() }, Some(Named::User("ann"))),
        (Caller { session, api_key, ..Caller::default() }, Some(Named::Session("s1"))),
        (Caller { api_key, ..Caller::default() }, None),
        (Caller::default(), None),
    ] {
        let mut case = Case::new(BROWSER);
        case.caller = caller;
        assert!(case.facts(|facts| facts.sharer().is_none()), "its own address");
        case.network.classes.insert(NetworkClass::Mobile);
        case.facts(|facts| {
            let sharer = facts.sharer().unwrap();
            assert_eq!((sharer.named, sharer.claim, sharer.ja4), (named, facts.claim, None));
        });
    }
}

#[test]
fn a_crawler_is_verified_by_its_network_and_by_nothing_that_it_says() {
    use CrawlerKind::{Monitoring, Other, Search};
    for (user_agent, network, crawler) in [
        ("Googlebot/2.1", &[][..], Some((Search, Proof::Unverified))),
        ("Googlebot/2.1", &[NetworkClass::Datacenter], Some((Search, Proof::Unverified))),
        ("Googlebot/2.1", &[NetworkClass::Datacenter, NetworkClass::Crawler], Some((Search, Proof::Verified))),
        ("UptimeRobot/2.0", &[NetworkClass::Crawler], Some((Monitoring, Proof::Verified))),
        (CHROME, &[NetworkClass::Crawler], Some((Other, Proof::Verified))),
        (CHROME, &[NetworkClass::Datacenter], None),
        ("", &[], None),
    ] {
        let mut case = Case::new(&[("host", "shop.example"), ("user-agent", user_agent)]);
        case.network.classes.extend(network.iter().copied());
        let found = case.facts(|facts| facts.crawler());
        assert_eq!(found.map(|found| (found.kind, found.proof)), crawler, "{user_agent} {network:?}");
    }
}

#[test]
fn a_crawler_whose_name_servers_do_not_know_it_is_told_from_one_of_which_nothing_is_known() {
    use Proof::{Forged, Unverified};
    for (user_agent, network, proof, raised) in [
        ("Googlebot/2.1", &[][..], Unverified, &["ua-crawler"][..]),
        ("Googlebot/2.1", &[], Forged, &["ua-crawler", "crawler-forged"]),
        ("Googlebot/2.1", &[NetworkClass::Crawler], Forged, &[]),
        // The answer was to another claim.
        ("MyApp/3.1", &[], Forged, &[]),
    ] {
        let mut case = Case::new(&[("host", "shop.example"), ("user-agent", user_agent)]);
        case.network.classes.extend(network.iter().copied());
        case.crawler_proof = proof;
        assert_eq!(case.names(), raised, "{user_agent} {network:?} {proof:?}");
    }
}

/// Nothing that only a proxy or the gateway may say makes a client look better when the client says it.
#[test]
fn no_header_that_speaks_for_the_gateway_or_a_proxy_lowers_a_signal() {
    let plain = [("host", "shop.example"), ("user-agent", "curl/8.5.0")];
    let before = Case::new(&plain).signals();
    for extra in [
        ("portcullis-score", "0"),
        ("portcullis-action", "allow"),
        ("portcullis-verdict", "x"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-original-uri", "/.well-known/"),
        ("x-forwarded-uri", "/healthz"),
        ("x-forwarded-host", "internal.example"),
        ("x-forwarded-method", "GET"),
        ("dnt", "1"),
        ("sec-gpc", "1"),
        ("save-data", "on"),
        ("via", "1.1 proxy.example"),
    ] {
        let mut fields = plain.to_vec();
        fields.push(extra);
        let after = Case::new(&fields).signals();
        for (signal, strength) in &before {
            let now = after.iter().find(|(found, _)| found == signal).map_or(Strength::NONE, |(_, strength)| *strength);
            assert!(now >= *strength, "{extra:?} lowered {signal}");
        }
    }
}

#[test]
fn every_header_that_tells_an_address_is_known() {
    for name in ["X-Forwarded-For", "forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP"] {
        assert!(is_client_address_header(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
    }
    assert!(!is_client_address_header(&HeaderName::from_static("x-forwarded-proto")));
}

#[test]
fn conduct_is_judged_against_what_is_usual_and_unknown_conduct_adds_nothing() {
    let usual = UsualConduct { failed_users: 5, networks: 3, paths: 100, missing_paths: 10, sequence: 20 };
    let full = Strength::FULL;
    let none = Conduct::default();
    for (conduct, names) in [
        (none, &[][..]),
        (Conduct { cohort_surge: full, ..none }, &["cohort-surge"]),
        (Conduct { stuffing_success: full, ..none }, &["stuffing-success"]),
        (Conduct { reputation: full, ..none }, &["reputation"]),
        (Conduct { users: 500, failed_users: 25, ..none }, &[]),
        (Conduct { users: 500, failed_users: 400, ..none }, &["distinct-users"]),
        (Conduct { users: 5, failed_users: 5, ..none }, &[]),
        // A count that comes before that which it is a part of.
        (Conduct { users: 0, failed_users: 30, ..none }, &["distinct-users"]),
        (Conduct { networks: 3, ..none }, &[]),
        (Conduct { networks: 12, ..none }, &["distinct-networks"]),
        (Conduct { paths: 101, ..none }, &["enumeration"]),
        (Conduct { missing_paths: 11, ..none }, &["enumeration"]),
        (Conduct { sequence: 21, ..none }, &["enumeration"]),
        (Conduct { cohort_growth: full, ..none }, &["cohort-growth"]),
        (Conduct { cohort_sequence: 500, ..none }, &[]),
        (Conduct { cohort_sequence: 500, cohort_growth: full, ..none }, &["enumeration", "cohort-growth"]),
        (Conduct { cohort_unknown: full, credit: full, ..none }, &[]),
    ] {
        let mut case = Case::new(BROWSER);
        case.conduct = conduct;
        case.expectation.conduct = usual;
        assert_eq!(case.names(), names, "{conduct:?}");
        case.expectation.conduct = UsualConduct::ANYTHING;
        let anything = case.names();
        let judged_already = ["cohort-surge", "cohort-growth", "stuffing-success", "reputation"];
        assert!(anything.iter().all(|name| judged_already.contains(name)));
    }
    for (posture, names) in [(Posture::Elevated, &[][..]), (Posture::UnderAttack, &["cohort-unknown"])] {
        let mut case = Case::new(BROWSER);
        case.conduct = Conduct { cohort_unknown: full, ..none };
        case.posture = posture;
        assert_eq!(case.names(), names, "{posture:?}");
    }
    let mut case = Case::new(BROWSER);
    case.expectation.conduct = usual;
    case.conduct = Conduct { users: 100, failed_users: 100, ..none };
    assert_eq!(case.strength(SignalId::DistinctUsers), full);
    case.network.classes = ClassSet::of(NetworkClass::Mobile);
    assert_eq!(case.strength(SignalId::DistinctUsers), Strength::NONE, "of thousands behind one address");
}
