//! Runs the tests that rules files carry, over the same decision that requests get.

use std::sync::Arc;

use http::Version;
use portcullis_fingerprint::{ClientHello, extension, group};
use portcullis_intel::{AddressFacts, SpecialUse};
use portcullis_signals::{
    Ban, Behaviour, BodyEnd, Caller, CanonicalRequest, Claim, ClientAddr, ConnectionJudgement, Facts, Families, Family,
    Fields, Http, LimitReading, Outcomes, OwnSignal, RequestHead, Tls, UnixSeconds,
};

use crate::diagnostics::{Diagnostic, Diagnostics, SourceFile, Span, quote};
use crate::model::{Action, BodyPrefix, LevelOf, OnMissing, Over, Route};
use crate::written::{ACTIONS, Expect, TestRequest, TestTable};
use crate::{Decision, RuleSet};

/// One test out of a rules file.
#[derive(Clone, Debug)]
pub struct TestCase {
    table: TestTable,
    files: Arc<[SourceFile]>,
}

/// What became of one test.
#[derive(Clone, Debug)]
pub struct TestOutcome {
    /// The name of the test.
    pub name: Arc<str>,
    /// Where the test stands.
    pub span: Span,
    /// What was decided.
    pub decision: Decision,
    /// What was not as expected; empty where the test passed.
    pub faults: Diagnostics,
    /// The limits of the route that are exceeded and score or delay, which a decision does not tell of.
    pub(crate) mild: Vec<u16>,
}

impl TestCase {
    pub(crate) const fn new(table: TestTable, files: Arc<[SourceFile]>) -> Self {
        Self { table, files }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.table.name.value
    }
}

impl TestOutcome {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Runs tests against a rule set; one outcome for each, in order.
pub fn run_tests(rules: &RuleSet, tests: &[TestCase]) -> Vec<TestOutcome> {
    tests.iter().map(|test| run(rules, test)).collect()
}

fn run(rules: &RuleSet, test: &TestCase) -> TestOutcome {
    let mut faults = Diagnostics::of(test.files.clone());
    let stated = &test.table.request;
    let target = match &stated.query {
        Some(query) => format!("{}?{query}", stated.path),
        None => stated.path.clone(),
    };
    let request = CanonicalRequest::of(&RequestHead {
        method: &stated.method,
        target: target.as_bytes(),
        authority: None,
        version: Version::HTTP_11,
        headers: &stated.headers,
        raw: None,
    });
    let planned = rules.plan(&request);
    let route = rules.route(planned);
    let limits = readings(test, route, &mut faults);
    let body = stated.body.as_ref().map(|body| BodyPrefix { bytes: body.as_bytes(), end: BodyEnd::Reached });
    let fields = route.reads.fields(&request, body);
    let claim = Claim::of(stated.headers.get(http::header::USER_AGENT).map_or(b"", |value| value.as_bytes()));
    let hello = stated.hello.clone().or_else(|| {
        let named = stated.ja3.is_some() || stated.ja4.is_some();
        named.then(|| unremarkable_hello(claim.family))
    });
    // Where only a fingerprint is stated, nothing is known of what else the handshake held.
    let connection = stated.hello.is_none().then(|| ConnectionJudgement::of(Families::shipped(), &claim, None, None));
    let network = network(stated);
    let counters = &test.table.counters;
    let own: Vec<_> = stated.identity.iter().map(|(name, own)| OwnSignal { name, value: own.value() }).collect();
    let http = match &hello {
        Some(hello) if hello.alpn.contains(b"h2") => Http::Two,
        _ if stated.http2.is_some() => Http::Two,
        _ => Http::One,
    };
    let facts = Facts {
        at: UnixSeconds(stated.at),
        http,
        tls: hello.as_ref().map(|hello| tls(stated, hello)),
        http2: stated.http2.as_ref(),
        connection: connection.as_ref(),
        caller: Caller { own: &own, ..caller(stated, route, &request, &fields) },
        ban: counters.banned.then_some(Ban { remaining_secs: 60 }),
        behaviour: Behaviour {
            address_per_minute: counters.address_per_minute,
            prefix_per_minute: counters.prefix_per_minute,
            fingerprint_per_minute: counters.fingerprint_per_minute,
            named_per_minute: counters.named_per_minute,
        },
        outcomes: Outcomes { attempts: counters.attempts.max(counters.failures), failures: counters.failures },
        posture: counters.posture,
        conduct: counters.conduct,
        fields: &fields,
        limits: &limits,
        ..Facts::bare(&request, ClientAddr(portcullis_intel::canonical(stated.ip)), &network)
    };
    let decision = rules.decide(&facts);
    compare(rules, test, &decision, &mut faults);
    let softly = |level: &LevelOf<'_>| matches!(level.level.over, Over::Score(_) | Over::Delay { .. });
    let exceeded = route.levels().zip(&limits).filter(|(level, reading)| reading.over && softly(level));
    let mild = exceeded.map(|(level, _)| level.at).collect();
    TestOutcome { name: test.table.name.value.clone(), span: test.table.span, decision, faults, mild }
}

fn readings(test: &TestCase, route: &Route, faults: &mut Diagnostics) -> Vec<LimitReading> {
    for counted in &test.table.counters.limits {
        if route.limits.iter().all(|limit| *limit.name != *counted.name.value) {
            faults.push(Diagnostic::error(format!("test {} fails", quote(test.name()))).at(
                counted.name.span,
                format!("route {}, which takes the request, has no such limit", quote(&route.name)),
            ));
        }
    }
    route.levels().map(|level| reading(test, &level)).collect()
}

/// What a test says that one level reads. Of several levels those are exceeded that the count has passed; or reached,
/// where the test says that the limit is exceeded, and of those the first in any case.
fn reading(test: &TestCase, LevelOf { limit, level, .. }: &LevelOf<'_>) -> LimitReading {
    let counted = test.table.counters.limits.iter().find(|counted| *counted.name.value == *limit.name);
    let Some(counted) = counted else { return LimitReading::default() };
    let is_first = limit.levels.first() == Some(level);
    let over = match counted.over {
        None => counted.count > level.bound.limit(),
        Some(true) => is_first || counted.count >= level.bound.limit(),
        Some(false) => false,
    };
    LimitReading {
        count: counted.count,
        over,
        unkeyed: counted.missing && limit.on_missing == OnMissing::Refuse,
        retry_after_ms: if over { 1_000 } else { 0 },
    }
}

fn network(stated: &TestRequest) -> AddressFacts {
    let mut facts = AddressFacts::bare(portcullis_intel::canonical(stated.ip));
    // A test may use an address of documentation and say that it is of some network. What a provider shares among its
    // customers stays what it is: it says how requests are counted.
    facts.special_use = facts.special_use.filter(|special| *special == SpecialUse::Shared);
    facts.asn = stated.asn;
    facts.country = stated.country;
    for class in &stated.classes {
        facts.classes.insert(*class);
    }
    facts
}

/// Whose request it is: what the test says, else what stands in the request.
fn caller<'a>(
    stated: &'a TestRequest,
    route: &Route,
    request: &CanonicalRequest<'a>,
    fields: &'a Fields,
) -> Caller<'a> {
    let found = route.identify.caller(request, fields);
    Caller {
        user: stated.user.as_deref().or(found.user),
        account: stated.account.as_deref().or(found.account),
        api_key: stated.api_key.as_deref().or(found.api_key),
        session: stated.session.as_deref().or(found.session),
        device: stated.device.as_deref().or(found.device),
        token: stated.token.as_deref().or(found.token),
        clearance: stated.clearance,
        own: &[],
    }
}

fn tls<'a>(stated: &TestRequest, hello: &'a ClientHello) -> Tls<'a> {
    let shown = Tls::of(hello);
    Tls { ja3: stated.ja3.unwrap_or(shown.ja3), ja4: stated.ja4.unwrap_or(shown.ja4), ..shown }
}

/// A ClientHello that contradicts no claim of this family, for where only a fingerprint is given: a fingerprint by
/// itself says nothing about the rest.
pub fn unremarkable_hello(family: Family) -> ClientHello {
    let mut hello = ClientHello::parse(HELLO_WITH_H2).unwrap_or_default();
    if matches!(family, Family::Chromium | Family::Safari) {
        hello.cipher_suites.insert(0, GREASE);
    }
    hello.extensions.extend([extension::SUPPORTED_VERSIONS, extension::COMPRESS_CERTIFICATE]);
    hello.supported_versions.push(TLS13);
    hello.groups.extend([group::X25519_MLKEM768, group::X25519]);
    hello
}

fn compare(rules: &RuleSet, test: &TestCase, decision: &Decision, faults: &mut Diagnostics) {
    let expect: &Expect = &test.table.expect;
    let title = || format!("test {} fails", quote(test.name()));
    let mut fail = |span: Span, found: String| {
        faults.push(Diagnostic::error(title()).at(span, found).help(why(rules, decision)));
    };
    if let Some(action) = &expect.action
        && action.value != decision.action
    {
        fail(action.span, format!("found `{}`", action_name(decision.action)));
    }
    if let Some(verdict) = &expect.verdict
        && verdict.value != decision.verdict
    {
        fail(verdict.span, format!("found `{}`", action_name(decision.verdict)));
    }
    for reason in &expect.reasons {
        if decision.reasons.iter().all(|found| found.signal != reason.value) {
            fail(reason.span, "not among the reasons".to_owned());
        }
    }
    let route = &rules.route(decision.route).name;
    if let Some(expected) = &expect.route
        && *expected.value != **route
    {
        fail(expected.span, format!("found {}", quote(route)));
    }
    let rule = decision.rule.and_then(|rule| rules.rule(rule)).map(|rule| rule.name.clone());
    if let Some(expected) = &expect.rule
        && rule.as_deref() != Some(expected.value.as_str())
    {
        fail(
            expected.span,
            rule.map_or_else(|| "no rule decided".to_owned(), |rule| format!("found {}", quote(&rule))),
        );
    }
    if let Some(expected) = &expect.code
        && expected.value != decision.code
    {
        fail(expected.span, format!("found {}", quote(decision.code)));
    }
    if let Some(least) = &expect.score_min
        && decision.score < least.value
    {
        fail(least.span, format!("found {}", decision.score));
    }
    if let Some(most) = &expect.score_max
        && decision.score > most.value
    {
        fail(most.span, format!("found {}", decision.score));
    }
}

/// How the decision came about, in one line.
fn why(rules: &RuleSet, decision: &Decision) -> String {
    let route = rules.route(decision.route);
    let mut text = format!("route {}, decided by {}", quote(&route.name), decision.cause.name());
    if let Some(rule) = decision.rule.and_then(|rule| rules.rule(rule)) {
        text.push_str(&format!(" {}", quote(&rule.name)));
    }
    if let Some(limit) = decision.limit.and_then(|limit| route.limits.get(usize::from(limit))) {
        text.push_str(&format!(" {}", quote(&limit.name)));
    }
    if decision.is_scored() {
        text.push_str(&format!(", score {}", decision.score));
    } else {
        text.push_str(", so no score was worked out");
    }
    for (at, reason) in decision.reasons.iter().enumerate() {
        let mark = if at == 0 { ':' } else { ',' };
        text.push_str(&format!("{mark} {} {}", reason.signal, reason.points));
    }
    text
}

fn action_name(action: Action) -> &'static str {
    ACTIONS.iter().find(|(_, known)| *known == action).map_or("", |(name, _)| name)
}

/// TLS 1.3 as `supported_versions` names it (RFC 8446 §4.2.1).
const TLS13: u16 = 0x0304;

/// A reserved value that clients send so that servers ignore what they do not know (RFC 8701 §2).
const GREASE: u16 = 0x0a0a;

/// The smallest ClientHello that offers HTTP/2: one cipher suite, and `h2` by ALPN.
const HELLO_WITH_H2: &[u8] = &[
    1, 0, 0, 0x34, // ClientHello, 52 bytes
    3, 3, // legacy_version
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // random
    0, // session_id
    0, 2, 0x13, 1, // cipher_suites: TLS_AES_128_GCM_SHA256
    1, 0, // compression_methods: none
    0, 9, // extensions
    0, 16, 0, 5, 0, 3, 2, b'h', b'2', // ALPN: h2
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unremarkable_hello_offers_http_2() {
        for family in [Family::Chromium, Family::Firefox, Family::Safari, Family::Other] {
            let hello = unremarkable_hello(family);
            assert!(hello.alpn.contains(b"h2"));
            assert_eq!(hello.has_grease(), matches!(family, Family::Chromium | Family::Safari));
        }
    }
}
