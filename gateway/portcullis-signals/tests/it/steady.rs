//! What every request does touches the heap no more than the first one did.

use std::hint::black_box;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_fingerprint::{ClientHello, Http2Print, Ja3Hash, Ja4, Pseudo};
use portcullis_intel::AddressFacts;
use portcullis_signals::{
    Behaviour, Caller, CanonicalRequest, Claim, ClientAddr, Conduct, ConnectionJudgement, Context, Facts, Families,
    Fields, Http, Outcomes, Posture, RequestHead, Tls, TlsVersion, UnixSeconds,
};

use crate::{BROWSER, EXPECTATION};

#[test]
fn claim_connection_and_signals_allocate_nothing() {
    let hello = ClientHello::from_records(include_bytes!("../../../../fuzz/seeds/client_hello/chromium")).unwrap();
    let print = Http2Print {
        settings: [(1, 65536), (3, 100), (4, 6_291_456), (6, 262_144)].into_iter().collect(),
        pseudo: [Pseudo::Method, Pseudo::Path].into_iter().collect(),
        ..Http2Print::default()
    };
    let tls = Tls {
        version: TlsVersion::Tls13,
        hello: &hello,
        ja3: Ja3Hash::of(&hello),
        ja4: Ja4::of(&hello),
        resumed: false,
    };
    let long = "Mozilla/5.0 (bot; curl/8) Chrome/1 ".repeat(2_000);
    for user_agent in
        [BROWSER[3].1, "curl/8.5.0", "Mozilla/5.0 (X11; rv:153.0) Gecko/20100101 Firefox/153.0", "", &long]
    {
        let mut headers = HeaderMap::new();
        for (name, value) in BROWSER {
            let value = if *name == "user-agent" { user_agent } else { value };
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let request = CanonicalRequest::of(&RequestHead {
            method: &Method::POST,
            target: b"/login",
            authority: None,
            version: Version::HTTP_11,
            headers: &headers,
            raw: None,
        });
        let network = AddressFacts::bare("203.0.113.5".parse().unwrap());
        let judge = || {
            let claim = Claim::of(black_box(user_agent.as_bytes()));
            let connection = ConnectionJudgement::of(Families::shipped(), &claim, Some(&tls), Some(&print));
            let facts = Facts {
                at: UnixSeconds(0),
                request: &request,
                http: Http::Two,
                tls: Some(tls),
                client: ClientAddr("203.0.113.5".parse().unwrap()),
                network: &network,
                claim,
                http2: Some(&print),
                connection: Some(&connection),
                context: Context { cookieless: 3, hellos: 3, hello_orders: 1, ..Context::default() },
                caller: Caller::default(),
                ban: None,
                behaviour: Behaviour::default(),
                outcomes: Outcomes::default(),
                posture: Posture::Normal,
                conduct: Conduct::default(),
                fields: Fields::NONE,
                limits: &[],
            };
            facts.signals(&EXPECTATION)
        };
        // The first builds the tables, and what the automaton keeps by thread.
        black_box(judge());
        let seen = allocation_counter::measure(|| {
            black_box(judge());
        });
        assert_eq!(seen.count_total, 0, "{user_agent:.40}");
    }
}
