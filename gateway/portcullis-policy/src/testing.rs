//! A request with everything about it, for the tests of this crate.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_fingerprint::{ClientHello, Ja3Hash, Ja4};
use portcullis_intel::{AddressFacts, Asn, ClassSet, Country, NetworkClass};
use portcullis_signals::{
    Ban, Behaviour, Caller, CanonicalRequest, Clearance, ClientAddr, Facts, LimitReading, OwnSignal, Posture,
    RequestHead, Tls, TlsVersion, UnixSeconds,
};

use crate::Decision;
use crate::RuleSet;
use crate::model::{Listed, Parts, Route, Rule};

/// What a test says about one request; by default an unremarkable browser-less client at `GET shop.example /`.
#[derive(Clone, Debug)]
pub(crate) struct Asks {
    pub(crate) at: u64,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) ip: IpAddr,
    pub(crate) asn: Option<Asn>,
    pub(crate) country: Option<Country>,
    pub(crate) classes: Vec<NetworkClass>,
    pub(crate) tls: Option<(Ja3Hash, Ja4)>,
    pub(crate) clearance: Option<Clearance>,
    pub(crate) user: Option<&'static str>,
    pub(crate) api_key: Option<&'static str>,
    pub(crate) own: &'static [OwnSignal<'static>],
    pub(crate) ban: Option<Ban>,
    pub(crate) address_per_minute: u32,
    pub(crate) named_per_minute: u32,
    pub(crate) posture: Posture,
    pub(crate) limits: Vec<LimitReading>,
}

impl Default for Asks {
    fn default() -> Self {
        Self {
            at: 1_800_000_000,
            method: Method::GET,
            path: "/".into(),
            headers: vec![("host", "shop.example".into()), ("user-agent", "Shop/1.0".into())],
            ip: "192.0.2.1".parse().unwrap(),
            asn: None,
            country: None,
            classes: Vec::new(),
            tls: None,
            clearance: None,
            user: None,
            api_key: None,
            own: &[],
            ban: None,
            address_per_minute: 1,
            named_per_minute: 0,
            posture: Posture::Normal,
            limits: Vec::new(),
        }
    }
}

impl Asks {
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name || name == "x-tag");
        self.headers.push((name, value.into()));
        self
    }

    /// Hands the facts to `read`.
    pub(crate) fn facts<T>(&self, read: impl FnOnce(&Facts<'_>) -> T) -> T {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let request = CanonicalRequest::of(&RequestHead {
            method: &self.method,
            target: self.path.as_bytes(),
            authority: None,
            version: Version::HTTP_11,
            headers: &headers,
            raw: None,
        });
        let mut network = AddressFacts::bare(self.ip);
        network.asn = self.asn;
        network.country = self.country;
        network.classes = self.classes.iter().copied().collect::<ClassSet>();
        let hello = ClientHello::default();
        read(&Facts {
            at: UnixSeconds(self.at),
            tls: self.tls.map(|(ja3, ja4)| Tls { version: TlsVersion::Tls13, hello: &hello, ja3, ja4, resumed: false }),
            caller: Caller {
                clearance: self.clearance,
                user: self.user,
                api_key: self.api_key,
                own: self.own,
                ..Caller::default()
            },
            ban: self.ban,
            behaviour: Behaviour {
                address_per_minute: self.address_per_minute,
                prefix_per_minute: 1,
                named_per_minute: self.named_per_minute,
                ..Behaviour::default()
            },
            posture: self.posture,
            limits: &self.limits,
            ..Facts::bare(&request, ClientAddr(self.ip), &network)
        })
    }

    pub(crate) fn decide(&self, rules: &RuleSet) -> Decision {
        self.facts(|facts| rules.decide(facts))
    }
}

/// A rule set of one route for everything, with rules.
pub(crate) fn rule_set(route: Route, rules: Vec<Rule>) -> RuleSet {
    RuleSet::new(Parts {
        routes: vec![Route::bare("unrouted"), route],
        rules,
        listed: Listed::default(),
        version: "0123456789abcdef".into(),
    })
}
