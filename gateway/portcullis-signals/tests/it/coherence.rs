//! Browsers as they are, and what contradicts them, signal by signal.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_fingerprint::{ClientHello, Http2Print, Ja3Hash, Ja4, Priority, Pseudo};
use portcullis_intel::AddressFacts;
use portcullis_signals::{
    Behaviour, Caller, CanonicalRequest, Claim, ClientAddr, Conduct, ConnectionJudgement, Context, Coverage,
    Expectation, ExpectedClients, Facts, Families, Fields, Http, Outcomes, Posture, RequestHead, Tls, TlsVersion,
    UnixSeconds,
};

use crate::EXPECTATION;

const CHROMIUM: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

/// A page that Chromium 156 asks for.
const PAGE: &[(&str, &str)] = &[
    ("sec-ch-ua", "\"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", CHROMIUM),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-user", "?1"),
    ("sec-fetch-dest", "document"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-US,en;q=0.9"),
    ("priority", "u=0, i"),
];

/// What a script of Chromium 156 sends to its own origin.
const CALL: &[(&str, &str)] = &[
    ("content-length", "20"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("user-agent", CHROMIUM),
    ("sec-ch-ua", "\"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\""),
    ("content-type", "application/json"),
    ("sec-ch-ua-mobile", "?0"),
    ("accept", "*/*"),
    ("origin", "https://shop.example"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("referer", "https://shop.example/"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-US,en;q=0.9"),
    ("priority", "u=1, i"),
];

/// What opens a WebSocket in Chromium 156.
const SOCKET: &[(&str, &str)] = &[
    ("host", "shop.example"),
    ("connection", "Upgrade"),
    ("pragma", "no-cache"),
    ("cache-control", "no-cache"),
    ("user-agent", CHROMIUM),
    ("upgrade", "websocket"),
    ("origin", "https://shop.example"),
    ("sec-websocket-version", "13"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-US,en;q=0.9"),
    ("sec-websocket-key", "VQQ85NhIM4DrhMsVU6aGRQ=="),
    ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
];

/// How Chromium 156 asks for the script of a worker.
const WORKER: &[(&str, &str)] = &[
    ("accept", "*/*"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "same-origin"),
    ("sec-fetch-dest", "worker"),
    ("referer", "https://shop.example/"),
    ("user-agent", CHROMIUM),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-US,en;q=0.9"),
    ("priority", "u=4, i"),
];

fn hello() -> ClientHello {
    ClientHello::from_records(include_bytes!("../../../../fuzz/seeds/client_hello/chromium")).unwrap()
}

fn print() -> Http2Print {
    Http2Print {
        settings: [(1, 65536), (2, 0), (4, 6_291_456), (6, 262_144)].into_iter().collect(),
        window_increment: 15_663_105,
        headers_priority: Some(Priority { stream: 1, exclusive: true, depends_on: 0, weight: 256 }),
        pseudo: [Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path].into_iter().collect(),
        ..Http2Print::default()
    }
}

/// A request of Chromium, and what of it is changed.
struct Case {
    method: Method,
    fields: Vec<(&'static str, &'static str)>,
    hello: ClientHello,
    print: Option<Http2Print>,
    http: Http,
    context: Context,
    clients: ExpectedClients,
}

impl Case {
    fn page() -> Self {
        Self {
            method: Method::GET,
            fields: PAGE.to_vec(),
            hello: hello(),
            print: Some(print()),
            http: Http::Two,
            context: Context::default(),
            clients: ExpectedClients::Browsers,
        }
    }

    fn call() -> Self {
        Self { method: Method::POST, fields: CALL.to_vec(), ..Self::page() }
    }

    /// What opens a WebSocket, over a connection of its own.
    fn socket() -> Self {
        let mut hello = hello();
        hello.extensions.retain(|kind| *kind != 17613);
        Self { fields: SOCKET.to_vec(), http: Http::One, hello, print: None, ..Self::page() }
    }

    /// The script of a worker.
    fn worker() -> Self {
        Self { fields: WORKER.to_vec(), ..Self::page() }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        for field in &mut self.fields {
            if field.0 == name {
                field.1 = value;
                return self;
            }
        }
        self.fields.push((name, value));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| *known != name);
        self
    }

    fn moved_last(mut self, name: &'static str) -> Self {
        let value = self.fields.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        self = self.without(name);
        self.fields.push((name, value));
        self
    }

    fn moved_first(mut self, name: &'static str) -> Self {
        self = self.moved_last(name);
        self.fields.rotate_right(1);
        self
    }

    fn names(&self) -> Vec<&'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let request = CanonicalRequest::of(&RequestHead {
            method: &self.method,
            target: b"/",
            authority: Some("shop.example"),
            version: if self.http == Http::Two { Version::HTTP_2 } else { Version::HTTP_11 },
            headers: &headers,
            raw: None,
        });
        let network = AddressFacts::bare("203.0.113.5".parse().unwrap());
        let facts = Facts {
            at: UnixSeconds(0),
            request: &request,
            http: self.http,
            tls: Some(Tls {
                version: TlsVersion::Tls13,
                hello: &self.hello,
                ja3: Ja3Hash::of(&self.hello),
                ja4: Ja4::of(&self.hello),
                resumed: false,
            }),
            client: ClientAddr("203.0.113.5".parse().unwrap()),
            network: &network,
            claim: Claim::of(headers.get("user-agent").map_or(b"", HeaderValue::as_bytes)),
            http2: self.print.as_ref(),
            connection: None,
            context: self.context,
            caller: Caller::default(),
            ban: None,
            behaviour: Behaviour::default(),
            outcomes: Outcomes::default(),
            posture: Posture::Normal,
            conduct: Conduct::default(),
            fields: Fields::NONE,
            limits: &[],
        };
        let expectation = Expectation { clients: self.clients, ..EXPECTATION };
        let signals = facts.signals(&expectation);
        // A judgement that was made before says the same as one that is made now.
        let judged = ConnectionJudgement::of(Families::shipped(), &facts.claim, facts.tls.as_ref(), facts.http2);
        assert_eq!(Facts { connection: Some(&judged), ..facts }.signals(&expectation), signals);
        signals.iter().map(|(signal, _)| signal.name()).collect()
    }
}

#[test]
fn a_browser_as_it_is_raises_nothing() {
    assert!(Case::page().names().is_empty(), "{:?}", Case::page().names());
    assert!(Case::call().names().is_empty(), "{:?}", Case::call().names());
}

#[test]
fn each_contradiction_raises_its_signal_and_no_other() {
    let mut no_grease = Case::page();
    no_grease.hello.cipher_suites.retain(|suite| !portcullis_fingerprint::is_grease(*suite));
    no_grease.hello.groups.retain(|value| !portcullis_fingerprint::is_grease(*value));
    no_grease.hello.extensions.retain(|value| !portcullis_fingerprint::is_grease(*value));
    no_grease.hello.supported_versions.retain(|value| !portcullis_fingerprint::is_grease(*value));
    no_grease.hello.signature_algorithms.retain(|value| !portcullis_fingerprint::is_grease(*value));
    let mut suites = Case::page();
    suites.hello.cipher_suites.swap(1, 2);
    let mut extensions = Case::page();
    extensions.hello.extensions.push(22);
    let mut groups = Case::page();
    groups.hello.groups.retain(|group| *group != 4588);
    let mut settings = Case::page();
    settings.print.as_mut().unwrap().window_increment += 1;
    let mut pseudo = Case::page();
    pseudo.print.as_mut().unwrap().pseudo.swap(1, 2);
    let mut priority = Case::page();
    priority.print.as_mut().unwrap().headers_priority = None;
    let remembered = |context| Case { context, ..Case::call() };
    for (case, signal) in [
        (no_grease, "tls-grease"),
        (suites, "tls-ua-mismatch"),
        (extensions, "tls-extensions"),
        (groups, "tls-groups"),
        (settings, "http2-settings"),
        (pseudo, "http2-pseudo-order"),
        (priority, "http2-priority"),
        (Case::page().without("priority"), "header-missing"),
        (Case::page().without("accept-language"), "header-missing"),
        (Case::page().moved_last("accept"), "header-order"),
        (Case::call().moved_last("sec-fetch-site"), "header-order"),
        (Case::page().with("accept-encoding", "gzip, deflate, br"), "header-encoding"),
        (Case::page().with("accept", "*/*"), "header-contradiction"),
        (Case::page().with("sec-fetch-dest", "empty"), "fetch-metadata"),
        (Case::call().with("sec-fetch-user", "?1"), "fetch-metadata"),
        (Case::page().with("sec-ch-ua", "\"Chromium\";v=\"156\", \"Not-A.Brand\";v=\"99\""), "client-hints"),
        (
            Case::page()
                .with("sec-ch-ua", "\"HeadlessChrome\";v=\"156\", \"Chromium\";v=\"156\", \"Not:A-Brand\";v=\"8\""),
            "ua-automated",
        ),
        (Case::call().without("origin"), "post-no-origin"),
        (Case::call().without("referer"), "referer-missing"),
        (remembered(Context { cookieless: 2, ..Context::default() }), "cookie-never-returned"),
        (remembered(Context { pages: 3, ..Context::default() }), "page-alone"),
        (remembered(Context { hellos: 3, hello_orders: 1, ..Context::default() }), "tls-order-constant"),
        (remembered(Context { session_prints: 3, ..Context::default() }), "print-changed"),
    ] {
        assert_eq!(case.names(), [signal]);
    }
}

#[test]
fn what_people_do_raises_nothing() {
    let remembered = |context| Case { context, ..Case::page() };
    for (what, case) in [
        (
            "another order of extensions each time",
            remembered(Context { hellos: 9, hello_orders: 9, ..Context::default() }),
        ),
        ("a page from the cache", remembered(Context { pages: 1, ..Context::default() })),
        ("one session, one device", remembered(Context { session_prints: 1, ..Context::default() })),
        (
            "a cookie",
            remembered(Context { cookieless: 9, ..Context::default() }).with("cookie", "sid=1").moved_last("priority"),
        ),
        ("a part of a video", Case::call().with("range", "bytes=0-").with("accept-encoding", "identity;q=1, *;q=0")),
    ] {
        assert!(case.names().is_empty(), "{what}: {:?}", case.names());
    }
    let mut report = Case::call().without("origin").without("referer").with("content-type", "application/reports+json");
    report.fields.retain(|(name, _)| *name != "sec-fetch-dest");
    let report = Case { fields: report.fields, ..Case::call() }.names();
    assert!(!report.contains(&"post-no-origin"), "{report:?}");
    let preflight = Case {
        method: Method::OPTIONS,
        fields: vec![
            ("accept", "*/*"),
            ("access-control-request-method", "POST"),
            ("origin", "https://other.example"),
            ("user-agent", CHROMIUM),
            ("sec-fetch-mode", "cors"),
        ],
        ..Case::page()
    };
    assert!(preflight.names().is_empty(), "{:?}", preflight.names());
}

/// Its hello offers HTTP/1.1 alone, and has none of the extensions that go with HTTP/2; its header has neither fetch
/// metadata nor client hints.
#[test]
fn a_websocket_is_not_judged_as_a_page() {
    assert!(Case::socket().names().is_empty(), "{:?}", Case::socket().names());
}

#[test]
fn what_pages_do_by_themselves_raises_nothing() {
    let worker_call = Case {
        fields: CALL.iter().filter(|(name, _)| !name.starts_with("sec-ch-ua")).copied().collect(),
        ..Case::call()
    };
    let beacon = Case::call().with("content-type", "text/plain;charset=UTF-8").with("sec-fetch-mode", "no-cors");
    for (what, case) in [
        ("the script of a worker", Case::worker()),
        ("a call of a worker", worker_call),
        ("a beacon", beacon),
        ("a page by a service worker", relayed()),
        // More fields of a script's own change the order in which the browser's stand.
        ("a call with many fields", Case::call().moved_first("sec-ch-ua-mobile")),
    ] {
        assert!(case.names().is_empty(), "{what}: {:?}", case.names());
    }
}

/// A page that a service worker asks for has no destination, and comes from no person's own act.
fn relayed() -> Case {
    Case::page().without("sec-fetch-user").with("sec-fetch-dest", "empty")
}

/// A rare kind of request is judged by other rows, so naming one without being one must gain nothing.
#[test]
fn a_request_that_names_a_rare_kind_has_to_fit_it() {
    let posted = |case: Case| Case { method: Method::POST, ..case };
    let over_http2 = |case: Case| Case { http: Http::Two, ..case };
    for (what, case) in [
        ("a page that opens a socket", Case::page().with("upgrade", "websocket")),
        ("a call that opens a socket", Case::call().with("upgrade", "websocket").with("connection", "upgrade")),
        ("a socket without a key", Case::socket().without("sec-websocket-key")),
        ("a socket with a key of one byte", Case::socket().with("sec-websocket-key", "AA==")),
        ("a socket of another version", Case::socket().with("sec-websocket-version", "8")),
        ("a socket over HTTP/2", over_http2(Case::socket())),
        ("a socket that is posted", posted(Case::socket())),
        ("a call of the mode of sockets", Case::call().with("sec-fetch-mode", "websocket")),
        ("a worker that is posted", posted(Case::worker())),
        ("JSON that is a worker", Case::call().with("sec-fetch-dest", "worker").with("sec-fetch-mode", "same-origin")),
        ("JSON that is sound", Case::call().with("sec-fetch-dest", "audio").with("sec-fetch-mode", "no-cors")),
        ("JSON that is a picture", Case::call().with("sec-fetch-dest", "image").with("sec-fetch-mode", "no-cors")),
        ("JSON that is a beacon", Case::call().with("sec-fetch-mode", "no-cors")),
        (
            "a page that is a worker",
            Case::page().with("sec-fetch-dest", "worker").with("sec-fetch-mode", "same-origin"),
        ),
        ("a page that is sound", Case::page().with("sec-fetch-dest", "audio").with("sec-fetch-mode", "no-cors")),
        ("a page that is a part", Case::page().with("sec-fetch-dest", "script").with("sec-fetch-mode", "no-cors")),
        ("JSON that a service worker asks for as a page", Case::call().with("sec-fetch-mode", "navigate")),
        ("anything that a service worker asks for as a page", relayed().with("accept", "*/*")),
        ("an object that a person opened", Case::page().with("sec-fetch-dest", "object")),
        ("a page that is deleted", Case { method: Method::DELETE, ..Case::page() }),
    ] {
        assert!(case.names().contains(&"fetch-metadata"), "{what}: {:?}", case.names());
    }
}

#[test]
fn a_rare_kind_is_judged_by_its_own_rows() {
    for (case, signal) in [
        (Case::socket().without("origin"), "header-missing"),
        (Case::socket().without("accept-language"), "header-missing"),
        (Case::socket().moved_last("host"), "header-order"),
        (Case::socket().with("accept-encoding", "gzip"), "header-encoding"),
        (Case::worker().moved_last("accept"), "header-order"),
        (Case::worker().without("sec-fetch-site"), "header-missing"),
        (Case::worker().with("accept-encoding", "identity"), "header-encoding"),
        // Client hints are left out together.
        (Case::call().without("sec-ch-ua-mobile"), "header-missing"),
        // What is unheard of is a doubt.
        (Case::call().with("sec-fetch-dest", "oracle").without("sec-fetch-site"), "header-missing"),
        (Case::page().with("accept-encoding", "identity"), "header-encoding"),
    ] {
        assert_eq!(case.names(), [signal]);
    }
}

/// The claim of a browser that was made before what its connection shows.
#[test]
fn a_browser_speaks_no_protocol_that_came_after_it() {
    let claiming = |user_agent: &'static str| Case {
        fields: vec![("user-agent", user_agent), ("accept", "text/html"), ("accept-encoding", "gzip")],
        ..Case::page()
    };
    let tls12 = |user_agent| {
        let mut case = Case { print: None, http: Http::One, ..claiming(user_agent) };
        case.hello.supported_versions.clear();
        case.hello.legacy_version = 0x0303;
        case.hello.alpn = ClientHello::default().alpn;
        case.hello.groups.retain(|group| !matches!(*group, 29 | 4588));
        case
    };
    for (case, signal, raised) in [
        (
            claiming(
                "Mozilla/5.0 (Windows NT 5.1) AppleWebKit/534.25 (KHTML, like Gecko) Chrome/12.0.706.0 Safari/534.25",
            ),
            "tls-ua-mismatch",
            true,
        ),
        (
            tls12(
                "Mozilla/5.0 (Windows NT 5.1) AppleWebKit/534.25 (KHTML, like Gecko) Chrome/12.0.706.0 Safari/534.25",
            ),
            "tls-ua-mismatch",
            true,
        ),
        (
            tls12(
                "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/35.0.1916.153 Safari/537.36",
            ),
            "tls-ua-mismatch",
            false,
        ),
        (
            claiming(
                "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/35.0.1916.153 Safari/537.36",
            ),
            "tls-groups",
            true,
        ),
        (tls12("Mozilla/5.0 (Windows NT 6.1; rv:20.0) Gecko/20100101 Firefox/20.0"), "tls-ua-mismatch", true),
        (
            claiming(
                "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/45.0.2454.85 Safari/537.36",
            )
            .with("accept-encoding", "gzip, deflate, br"),
            "header-encoding",
            true,
        ),
    ] {
        assert_eq!(case.names().contains(&signal), raised, "{signal}: {:?}", case.names());
    }
}

#[test]
fn a_route_for_browsers_expects_browsers() {
    for (user_agent, on_pages, elsewhere) in [
        ("curl/8.5.0", &["ua-tool", "client-unexpected"][..], &["ua-tool"][..]),
        ("okhttp/5.1.0", &["ua-tool", "client-unexpected"], &["ua-tool"]),
        ("MyApp/3.1", &["client-unexpected"], &[]),
        ("", &["ua-empty", "client-unexpected"], &["ua-empty"]),
        ("sqlmap/1.8", &["ua-scanner", "client-unexpected"], &["ua-scanner"]),
    ] {
        for (clients, names) in [(ExpectedClients::Browsers, on_pages), (ExpectedClients::Any, elsewhere)] {
            let case = Case { clients, fields: vec![("user-agent", user_agent), ("accept", "*/*")], ..Case::page() };
            assert_eq!(case.names(), names, "{user_agent}");
        }
    }
}

#[test]
fn a_browser_that_no_row_covers_is_told_by_its_coverage() {
    let coverage = |user_agent: &str| {
        ConnectionJudgement::of(Families::shipped(), &Claim::of(user_agent.as_bytes()), None, None).coverage()
    };
    assert_eq!(coverage(CHROMIUM), Coverage::Covered);
    assert_eq!(coverage("Dillo/3.0.5"), Coverage::Uncovered);
    assert_eq!(coverage("curl/8.5.0"), Coverage::NotABrowser);
}
