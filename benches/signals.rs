//! What does it cost to tell a client from what it claims to be?
//!
//! The claim, the judgement of a connection, and all signals of a request whose connection was judged before, which
//! is the ordinary path: of a browser's page, of its script's call, and of a tool.

#![expect(clippy::unwrap_used, reason = "a bench of facts that cannot be built is stopped")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_fingerprint::{ClientHello, Http2Print, Priority, Pseudo};
use portcullis_intel::AddressFacts;
use portcullis_signals::{
    BodyEnd, BodyField, BodyFields, CanonicalRequest, Claim, ClientAddr, ConnectionJudgement, Expectation,
    ExpectedClients, Facts, Families, HeaderDigest, Http, RequestHead, Tls, UsualConduct,
};

const CHROMIUM: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

const PAGE: &[(&str, &str)] = &[
    ("host", "shop.example"),
    ("sec-ch-ua", "\"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", CHROMIUM),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-user", "?1"),
    ("sec-fetch-dest", "document"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9"),
    ("cookie", "sid=0123456789abcdef"),
    ("priority", "u=0, i"),
];

const TOOL: &[(&str, &str)] = &[("host", "shop.example"), ("user-agent", "curl/8.5.0"), ("accept", "*/*")];

const EXPECTATION: Expectation = Expectation {
    address_per_minute: 240,
    prefix_per_minute: 2400,
    prior_answers: 10,
    clients: ExpectedClients::Browsers,
    networks: Expectation::NETWORKS,
    conduct: UsualConduct::ANYTHING,
};

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn signals(c: &mut Criterion) {
    let hello = ClientHello::from_records(include_bytes!("../fuzz/seeds/client_hello/chromium")).unwrap();
    let tls = Tls::of(&hello);
    let print = Http2Print {
        settings: [(1, 65536), (2, 0), (4, 6_291_456), (6, 262_144)].into_iter().collect(),
        window_increment: 15_663_105,
        headers_priority: Some(Priority { stream: 1, exclusive: true, depends_on: 0, weight: 256 }),
        pseudo: [Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path].into_iter().collect(),
        ..Http2Print::default()
    };
    let network = AddressFacts::bare("203.0.113.5".parse().unwrap());
    let mut group = c.benchmark_group("signals");
    for (name, user_agent) in [("browser", CHROMIUM), ("tool", "curl/8.5.0")] {
        group.bench_function(format!("claim of a {name}"), |b| b.iter(|| Claim::of(black_box(user_agent.as_bytes()))));
    }
    let long = "Mozilla/5.0 ".repeat(6_000);
    group.bench_function("claim of 64 KiB", |b| b.iter(|| Claim::of(black_box(long.as_bytes()))));
    let claim = Claim::of(CHROMIUM.as_bytes());
    group.bench_function("a connection, judged once", |b| {
        b.iter(|| ConnectionJudgement::of(Families::shipped(), black_box(&claim), Some(&tls), Some(&print)));
    });
    for (name, fields) in [("page of a browser", PAGE), ("request of a tool", TOOL)] {
        let headers = headers(fields);
        group.bench_function(format!("digest of the header of a {name}"), |b| {
            b.iter(|| HeaderDigest::of(black_box(&headers)));
        });
        let request = CanonicalRequest::of(&RequestHead {
            method: &Method::GET,
            target: b"/",
            authority: Some("shop.example"),
            version: Version::HTTP_2,
            headers: &headers,
            raw: None,
        });
        let claim = Claim::of(headers.get("user-agent").unwrap().as_bytes());
        let judged = ConnectionJudgement::of(Families::shipped(), &claim, Some(&tls), Some(&print));
        let facts = Facts {
            http: Http::Two,
            tls: Some(tls),
            http2: Some(&print),
            connection: Some(&judged),
            ..Facts::bare(&request, ClientAddr("203.0.113.5".parse().unwrap()), &network)
        };
        assert_eq!(facts.signals(&EXPECTATION).is_empty(), fields == PAGE, "{:?}", facts.signals(&EXPECTATION));
        group
            .bench_function(format!("all signals of a {name}"), |b| b.iter(|| black_box(&facts).signals(&EXPECTATION)));
    }
    group.finish();
}

/// What does it cost to read a field of a body: of a login, and of one that an attacker fills to the bound?
fn bodies(c: &mut Criterion) {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let wanted = [BodyField::Json("/user/email".parse().unwrap())];
    let login = br#"{"user":{"email":"ann@shop.example","remember":true},"password":"correct horse"}"#.to_vec();
    let names = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(9_000)).into_bytes();
    let nested = [vec![b'['; 32 * 1024], vec![b']'; 32 * 1024]].concat();
    let mut group = c.benchmark_group("body");
    for (name, body) in [("a login", login), ("nine thousand names", names), ("nesting without end", nested)] {
        group.bench_function(format!("a field of {name}"), |b| {
            b.iter(|| BodyFields::read(&headers, black_box(&body), BodyEnd::Reached, &wanted));
        });
    }
    group.finish();
}

criterion_group!(benches, signals, bodies);
criterion_main!(benches);
