//! Facts of hand-written requests, and the signals they give.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod coherence;
mod everyday;
mod steady;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_intel::{AddressFacts, NetworkClass};
use portcullis_signals::{
    Behaviour, Caller, CanonicalRequest, Claim, ClientAddr, Context, Expectation, ExpectedClients, Facts, Http,
    Outcomes, RequestHead, SignalId, Strength, UnixSeconds, is_client_address_header,
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

const EXPECTATION: Expectation =
    Expectation { address_per_minute: 60, prefix_per_minute: 600, prior_answers: 10, clients: ExpectedClients::Any };

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
}

impl Case {
    fn new(fields: &[(&str, &str)]) -> Self {
        Self {
            method: Method::GET,
            fields: headers(fields),
            network: AddressFacts::bare("203.0.113.5".parse().unwrap()),
            behaviour: Behaviour::default(),
            outcomes: Outcomes::default(),
        }
    }

    fn signals(&self) -> Vec<(SignalId, Strength)> {
        let request = CanonicalRequest::of(&RequestHead {
            method: &self.method,
            target: b"/",
            authority: None,
            version: Version::HTTP_11,
            headers: &self.fields,
            raw: None,
        });
        let claim = Claim::of(self.fields.get("user-agent").map_or(b"", |value| value.as_bytes()));
        let facts = Facts {
            at: UnixSeconds(0),
            request: &request,
            http: Http::One,
            tls: None,
            client: ClientAddr("203.0.113.5".parse().unwrap()),
            network: &self.network,
            claim,
            http2: None,
            connection: None,
            context: Context::default(),
            caller: Caller::default(),
            ban: None,
            behaviour: self.behaviour,
            outcomes: self.outcomes,
            limits: &[],
        };
        facts.signals(&EXPECTATION).iter().collect()
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
fn many_requests_of_one_address_show_and_a_mobile_network_is_given_room() {
    let mut case = Case::new(BROWSER);
    case.behaviour.address_per_minute = 240;
    assert_eq!(case.names(), ["velocity-ip"]);
    case.network.classes.insert(NetworkClass::Mobile);
    assert!(case.names().is_empty());
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
