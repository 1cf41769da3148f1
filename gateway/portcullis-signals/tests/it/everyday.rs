//! What pages do every day, as real browsers ask for it: nothing of it may be held against them.
//!
//! `everyday.json` holds what ten browsers sent on 2026-11-21 to the shop of `examples/zoo`, whose script does what
//! pages of today do: the header fields in the order sent, one request of each form. Cookies, keys and lengths are made
//! up; so is the connection here, since the header alone is judged.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_fingerprint::{ClientHello, Ja3Hash, Ja4};
use portcullis_intel::AddressFacts;
use portcullis_signals::{
    Behaviour, Caller, CanonicalRequest, Claim, ClientAddr, Conduct, Context, Facts, Fields, Group, Http, Outcomes,
    Posture, RequestHead, Tls, TlsVersion, UnixSeconds,
};
use serde_json::Value;

use crate::EXPECTATION;

/// What the header of a request raises, over TLS.
fn raised(asked: &Value) -> Vec<&'static str> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (method, path) = asked["asks"].as_str().unwrap().split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let mut headers = HeaderMap::new();
    for field in asked["header"].as_array().unwrap() {
        headers.append(
            HeaderName::from_bytes(text(&field[0]).as_bytes()).unwrap(),
            HeaderValue::from_str(&text(&field[1])).unwrap(),
        );
    }
    let one = asked["http"] == "1.1";
    let request = CanonicalRequest::of(&RequestHead {
        method: &method,
        target: path.as_bytes(),
        authority: (!one).then_some("shop.example"),
        version: if one { Version::HTTP_11 } else { Version::HTTP_2 },
        headers: &headers,
        raw: None,
    });
    let hello = ClientHello::from_records(include_bytes!("../../../../fuzz/seeds/client_hello/chromium")).unwrap();
    let network = AddressFacts::bare("203.0.113.5".parse().unwrap());
    let facts = Facts {
        at: UnixSeconds(0),
        request: &request,
        http: if one { Http::One } else { Http::Two },
        tls: Some(Tls {
            version: TlsVersion::Tls13,
            hello: &hello,
            ja3: Ja3Hash::of(&hello),
            ja4: Ja4::of(&hello),
            resumed: false,
        }),
        client: ClientAddr("203.0.113.5".parse().unwrap()),
        network: &network,
        claim: Claim::of(headers.get("user-agent").unwrap().as_bytes()),
        http2: None,
        connection: None,
        context: Context::default(),
        caller: Caller::default(),
        ban: None,
        behaviour: Behaviour::default(),
        outcomes: Outcomes::default(),
        posture: Posture::Normal,
        conduct: Conduct::default(),
        fields: Fields::NONE,
        limits: &[],
    };
    let signals = facts.signals(&EXPECTATION);
    let judged = |group| matches!(group, Group::Claim | Group::Headers | Group::Context);
    signals.iter().filter(|(signal, _)| judged(signal.group())).map(|(signal, _)| signal.name()).collect()
}

#[test]
fn what_browsers_ask_for_every_day_raises_nothing() {
    let requests: Vec<Value> = serde_json::from_str(include_str!("everyday.json")).unwrap();
    let odd: Vec<String> = requests
        .iter()
        .map(|asked| (asked, raised(asked)))
        .filter(|(_, raised)| !raised.is_empty())
        .map(|(asked, raised)| format!("{} {}: {raised:?}", asked["browser"], asked["asks"]))
        .collect();
    assert!(odd.is_empty(), "{} of {}: {odd:#?}", odd.len(), requests.len());
}
