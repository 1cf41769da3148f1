//! The widget's response and the call that verifies it.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use portcullis_challenge::evidence::{Evidence, Observed, Signals};
use portcullis_challenge::site::{
    Environment, Gate, OriginPattern, Preset, ScoreSense, SiteKey, SiteKeys, SiteMode, SiteSecret, Subject,
};
use portcullis_challenge::siteverify::{Answer, Details, ErrorCode, Judgement, SiteverifyRequest};
use portcullis_challenge::{
    Billable, Counts, Level, MAX_RESPONSE_BYTES, RESPONSE_TTL, Refusal, Response, SpentSet, UnixMillis, Usage,
    VerifiedResponse, siteverify,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{HERE, ID, NOW, decode, encode, key, ring};

const SECRET: &str = "sk_0123456789abcdefghijklmnop";

fn site(name: &str) -> SiteKey {
    SiteKey {
        name: name.to_owned(),
        public: format!("pk_{name}"),
        secret: SiteSecret::new(&format!("{SECRET}{name}")).unwrap(),
        production: vec![OriginPattern::parse("https://shop.example").unwrap()],
        testing: vec![OriginPattern::parse("http://localhost:*").unwrap()],
        preset: Preset::Balanced,
        mode: SiteMode::Enforce,
        route: "contact form".to_owned(),
        monthly_allowance: Some(1_000),
        score: ScoreSense::Risk,
    }
}

fn response() -> Response<'static> {
    Response {
        id: ID,
        hostname: "www.shop.example",
        level: Level::ProofOfWork,
        score_thousandths: 123,
        signals: Signals::from_bits(0b101),
        network: HERE.network,
        solved_at: NOW,
    }
}

fn redeem(text: &str, site: &str, after_ms: u64, spent: &SpentSet) -> Result<VerifiedResponse, Refusal> {
    VerifiedResponse::redeem(&ring(), text, site, UnixMillis(NOW.0 + after_ms), spent)
}

// The response.

#[test]
fn a_response_says_what_was_solved_and_counts_once() {
    let (text, spent) = (response().issue(&ring(), "shop"), SpentSet::new(10));
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "fits a form as it is: {text}");
    let verified = redeem(&text, "shop", 2_000, &spent).unwrap();
    assert_eq!((verified.id, verified.hostname.as_str(), verified.level), (ID, "www.shop.example", Level::ProofOfWork));
    assert_eq!((verified.score_thousandths, verified.signals.bits()), (123, 0b101));
    assert_eq!((verified.network, verified.solved_at), (HERE.network, NOW));
    assert_eq!(redeem(&text, "shop", 2_000, &spent), Err(Refusal::Spent));
}

#[test]
fn of_a_hundred_verifications_at_once_exactly_one_succeeds() {
    let (text, spent, won) = (response().issue(&ring(), "shop"), SpentSet::new(100_000), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| *won.lock().unwrap() += u32::from(redeem(&text, "shop", 0, &spent).is_ok()));
        }
    });
    assert_eq!(won.into_inner().unwrap(), 1);
}

#[test]
fn a_response_is_good_for_its_site_its_host_name_and_its_time() {
    let text = response().issue(&ring(), "shop");
    let with_host = |host: &str| format!("{}.{}", text.split_once('.').unwrap().0, encode(host.as_bytes()));
    let ttl = u64::try_from(RESPONSE_TTL.as_millis()).unwrap();
    for (what, text, site, after_ms, refusal) in [
        ("another site", text.clone(), "blog", 0, Refusal::OtherBinding),
        ("another host", with_host("other.example"), "shop", 0, Refusal::OtherBinding),
        ("a host cut", with_host("www.shop.exampl"), "shop", 0, Refusal::OtherBinding),
        ("no host", with_host(""), "shop", 0, Refusal::OtherBinding),
        (
            "a host that is not text",
            format!("{}.{}", text.split_once('.').unwrap().0, encode(&[0xff])),
            "shop",
            0,
            Refusal::Malformed,
        ),
        ("too late", text.clone(), "shop", ttl, Refusal::Expired),
        ("no dot", text.replace('.', ""), "shop", 0, Refusal::Malformed),
        ("too long", format!("{text}{}", "A".repeat(MAX_RESPONSE_BYTES)), "shop", 0, Refusal::TooLarge),
    ] {
        let spent = SpentSet::new(10);
        assert_eq!(redeem(&text, site, after_ms, &spent), Err(refusal), "{what}");
        assert!(spent.is_empty(), "{what}");
    }
    let behind = VerifiedResponse::redeem(&ring(), &text, "shop", UnixMillis(NOW.0 - 86_400_000), &SpentSet::new(10));
    assert_eq!(behind, Err(Refusal::NotYetValid));
    let rotated = portcullis_challenge::KeyRing::new(&key(8), &[key(7)]).unwrap();
    assert!(VerifiedResponse::redeem(&rotated, &text, "shop", NOW, &SpentSet::new(10)).is_ok());
}

#[test]
fn no_bit_of_a_response_can_be_flipped() {
    let text = response().issue(&ring(), "shop");
    let (token, host) = text.split_once('.').unwrap();
    let bytes = decode(token);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let refusal = redeem(&format!("{}.{host}", encode(&bytes)), "shop", 0, &SpentSet::new(10)).unwrap_err();
            assert!(matches!(refusal, Refusal::Malformed | Refusal::UnknownKey | Refusal::Forged), "{at}.{bit}");
        }
    }
}

#[test]
fn a_widget_is_told_the_response_and_how_long_it_is_good() {
    let mut out = String::new();
    siteverify::render_response("a.b", &mut out);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!({"response": "a.b", "expires_in_secs": 300}));
}

// Site keys.

#[test]
fn a_site_is_found_by_its_public_key_and_by_its_secret() {
    let table = SiteKeys::new(vec![site("shop"), site("blog")]).unwrap();
    assert_eq!(table.by_public("pk_blog").unwrap().name, "blog");
    assert!(table.by_public("blog").is_none());
    assert_eq!(table.by_secret(&format!("{SECRET}shop")).unwrap().name, "shop");
    for wrong in ["", SECRET, "sk_0123456789abcdefghijklmnopsho", "pk_shop"] {
        assert!(table.by_secret(wrong).is_none(), "{wrong}");
    }
    assert!(!format!("{table:?}").contains("0123456789"), "no secret is printed");
    assert_eq!(
        SiteSecret::new("short").unwrap_err().to_string(),
        "expected a site secret of at least 24 characters, but found 5"
    );
}

#[test]
fn two_sites_share_nothing() {
    let with = |change: fn(&mut SiteKey)| {
        let mut other = site("blog");
        change(&mut other);
        SiteKeys::new(vec![site("shop"), other]).unwrap_err().to_string()
    };
    assert_eq!(with(|site| site.name = "shop".into()), "site `shop` has the name of another site; give each its own");
    assert_eq!(
        with(|site| site.public = "pk_shop".into()),
        "site `blog` has the public key of another site; give each its own"
    );
    assert_eq!(
        with(|other| other.secret = site("shop").secret),
        "site `blog` has the secret of another site; give each its own"
    );
}

#[test]
fn a_puzzle_is_issued_to_the_sites_own_pages_within_its_allowance() {
    for (origin, counted, outcome) in [
        (Some("https://shop.example"), 0, Ok(Environment::Production)),
        (Some("https://shop.example"), 999, Ok(Environment::Production)),
        (Some("https://shop.example"), 1_000, Err(Gate::Allowance)),
        (Some("http://localhost:5173"), 1_000, Ok(Environment::Testing)),
        (Some("https://other.example"), 0, Err(Gate::OtherOrigin)),
        (Some("null"), 0, Err(Gate::OtherOrigin)),
        (None, 0, Err(Gate::NoOrigin)),
    ] {
        assert_eq!(site("shop").admit(origin, counted), outcome, "{origin:?} {counted}");
    }
    let unlimited = SiteKey { monthly_allowance: None, ..site("shop") };
    assert!(unlimited.admit(Some("https://shop.example"), u64::MAX).is_ok());
}

#[test]
fn filters_are_asked_of_the_visitor_or_else_only_of_who_calls() {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let caller = address("203.0.113.9");
    assert_eq!(Subject::of(Some(address("::ffff:192.0.2.1")), caller), Subject::Visitor(address("192.0.2.1")));
    assert_eq!(Subject::of(None, caller), Subject::Caller(caller));
}

// The call.

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[test]
fn a_call_is_read_as_the_stock_clients_send_it() {
    for (client, content_type, body, ip) in [
        ("reCAPTCHA, PHP", FORM, "secret=s&response=r&remoteip=192.0.2.1&version=php_1.3.0", Some("192.0.2.1")),
        ("reCAPTCHA, no address", FORM, "secret=s&response=r", None),
        ("hCaptcha, Go", FORM, "remoteip=2001%3Adb8%3A%3A1&response=r&secret=s&sitekey=pk", Some("2001:db8::1")),
        ("Turnstile, form", "application/x-www-form-urlencoded;charset=UTF-8", "secret=s&response=r", None),
        (
            "Turnstile, JSON",
            JSON,
            r#"{"secret":"s","response":"r","remoteip":"192.0.2.1","idempotency_key":"1"}"#,
            Some("192.0.2.1"),
        ),
        (
            "Prosopo, JSON",
            "application/json; charset=utf-8",
            r#"{"secret":"s","token":"r","ip":"192.0.2.1"}"#,
            Some("192.0.2.1"),
        ),
        ("Prosopo, no address", JSON, r#"{"secret":"s","token":"r","ip":null,"email":"a@shop.example"}"#, None),
        ("a form passed on", FORM, "name=A+B&secret=s&g-recaptcha-response=r&h-captcha-response=r", None),
        ("a form passed on", FORM, "secret=s&cf-turnstile-response=r&remoteip=192.0.2.1:4711", Some("192.0.2.1")),
        ("a form passed on", FORM, "secret=s&procaptcha-response=r&ip=[2001:db8::1]:4711", Some("2001:db8::1")),
        ("ours", FORM, "secret=s&portcullis-response=r&ip=::ffff:192.0.2.1", Some("192.0.2.1")),
        ("no content type", "", "secret=s&response=r&remoteip=", None),
        // That is no reason to lock a visitor out.
        ("an address that is none", FORM, "secret=s&response=r&remoteip=unknown", None),
    ] {
        let request = SiteverifyRequest::parse(content_type, body.as_bytes(), "").unwrap();
        assert_eq!((request.secret.as_str(), request.response.as_str()), ("s", "r"), "{client}");
        assert_eq!(request.remote_ip, ip.map(|ip| ip.parse().unwrap()), "{client}");
        assert!(!format!("{request:?}").contains("\"s\""), "no secret is printed");
    }
    let hcaptcha = SiteverifyRequest::parse(FORM, b"secret=s&response=r&sitekey=pk", "").unwrap();
    assert_eq!(hcaptcha.site_key.as_deref(), Some("pk"));
}

#[test]
fn a_call_that_cannot_be_used_gets_the_code_that_clients_know() {
    let deep = "[".repeat(10_000);
    let long = format!("secret=s&response={}", "r".repeat(20_000));
    for (content_type, body, code) in [
        (FORM, "", ErrorCode::MissingSecret),
        (FORM, "response=r", ErrorCode::MissingSecret),
        (FORM, "secret=&response=r", ErrorCode::MissingSecret),
        (FORM, "secret=s", ErrorCode::MissingResponse),
        (FORM, "secret=s&response=", ErrorCode::MissingResponse),
        (JSON, "{}", ErrorCode::MissingSecret),
        (JSON, r#"{"secret":"s","response":null}"#, ErrorCode::MissingResponse),
        (JSON, "", ErrorCode::BadRequest),
        (JSON, "secret=s&response=r", ErrorCode::BadRequest),
        (JSON, "[]", ErrorCode::BadRequest),
        (JSON, &deep, ErrorCode::BadRequest),
        (JSON, r#"{"secret":["s"],"response":"r"}"#, ErrorCode::BadRequest),
        (JSON, r#"{"secret":"s","response":{"a":1}}"#, ErrorCode::BadRequest),
        (FORM, "secret=s&secret=t&response=r", ErrorCode::BadRequest),
        (FORM, "secret=s&response=r&token=t", ErrorCode::BadRequest),
        (FORM, "secret=%zz&response=r", ErrorCode::BadRequest),
        (FORM, &long, ErrorCode::BadRequest),
    ] {
        assert_eq!(SiteverifyRequest::parse(content_type, body.as_bytes(), "").unwrap_err(), code, "{body:.60}");
    }
    assert_eq!(SiteverifyRequest::parse(FORM, b"secret=\xff", ""), Err(ErrorCode::BadRequest));
}

/// A secret in a URL ends in every log on the way (crowdsecurity/crowdsec#4554).
#[test]
fn a_secret_in_the_query_is_refused_even_beside_a_good_body() {
    for query in ["secret=s", "a=b&secret=s", "response=r", "token=r&x=y", "remoteip=192.0.2.1"] {
        let refused = SiteverifyRequest::parse(FORM, b"secret=s&response=r", query);
        assert_eq!(refused, Err(ErrorCode::BadRequest), "{query}");
    }
    assert_eq!(ErrorCode::BadRequest.status(), 400);
    assert!(SiteverifyRequest::parse(FORM, b"secret=s&response=r", "version=1").is_ok());
}

// The answer.

fn rendered(answer: &Answer<'_>) -> Value {
    let mut out = String::new();
    answer.render(&mut out);
    serde_json::from_str(&out).unwrap()
}

const DETAILS: Details<'static> = Details {
    score_thousandths: 123,
    sense: ScoreSense::Risk,
    solved_at: NOW,
    hostname: "www.shop.example",
    reasons: &["asn-hosting", "js-webdriver"],
};

#[test]
fn an_answer_has_what_stock_clients_read() {
    let yes = Answer::judged(Judgement::Pass, SiteMode::Enforce, DETAILS);
    let expected = json!({
        "success": true, "verified": true, "status": "API.USER_VERIFIED", "error-codes": [], "score": 0.123,
        "challenge_ts": "2025-10-09T08:53:20.000Z", "hostname": "www.shop.example",
        "reasons": ["asn-hosting", "js-webdriver"],
    });
    assert_eq!(rendered(&yes), expected);
    for code in ErrorCode::ALL {
        let no = Answer::error(code);
        let expected = json!({
            "success": false, "verified": false, "status": "API.USER_NOT_VERIFIED", "error-codes": [code.name()],
        });
        assert_eq!(rendered(&no), expected);
        assert!(!no.is_enforced_block() && !no.is_verified());
    }
}

#[test]
fn a_block_says_its_reason_and_acts_only_when_enforced() {
    let blocked = Judgement::Block("API.VPN_BLOCKED");
    for (mode, success) in [(SiteMode::Enforce, false), (SiteMode::Monitor, true)] {
        let answer = Answer::judged(blocked, mode, DETAILS);
        let value = rendered(&answer);
        assert_eq!((&value["success"], &value["status"]), (&json!(success), &json!("API.VPN_BLOCKED")), "{mode:?}");
        assert_eq!(answer.is_enforced_block(), !success, "{mode:?}");
        assert_eq!(answer.http_status(), 200);
    }
}

#[test]
fn a_score_counts_the_way_the_backend_expects() {
    for (score, sense, told) in [
        (0, ScoreSense::Risk, 0.0),
        (900, ScoreSense::Risk, 0.9),
        (900, ScoreSense::Trust, 0.1),
        (1_000, ScoreSense::Trust, 0.0),
        (u16::MAX, ScoreSense::Risk, 1.0),
    ] {
        let details = Details { score_thousandths: score, sense, ..DETAILS };
        let answer = Answer::judged(Judgement::Pass, SiteMode::Enforce, details);
        assert_eq!(rendered(&answer)["score"], json!(told), "{score} {sense:?}");
    }
}

#[test]
fn a_refusal_becomes_the_code_that_clients_know() {
    for refusal in Refusal::ALL {
        let code = match refusal {
            Refusal::Expired | Refusal::Spent => "timeout-or-duplicate",
            Refusal::Busy => "internal-error",
            _ => "invalid-input-response",
        };
        assert_eq!(ErrorCode::from(refusal).name(), code, "{refusal:?}");
    }
}

// What is counted.

#[test]
fn each_kind_counts_once_for_one_challenge() {
    let (usage, once) = (Usage::default(), SpentSet::new(100));
    for _ in 0..10 {
        for what in Billable::ALL {
            usage.record(what, ID, NOW, &once);
        }
        usage.record_siteverify(NOW);
    }
    usage.record(Billable::FailedRedeem, [1; 16], NOW, &once);
    let counts = usage.counts(NOW);
    assert_eq!((counts.solved, counts.failed_redeems, counts.enforced_blocks), (1, 2, 1));
    assert_eq!((counts.siteverify_calls, counts.billed()), (10, 4), "calls are counted apart");
}

#[test]
fn a_full_set_counts_nothing_twice() {
    let (usage, once) = (Usage::default(), SpentSet::new(2));
    let recorded = (0..10).filter(|n| usage.record(Billable::Solved, [*n; 16], NOW, &once)).count();
    assert_eq!((recorded, usage.counts(NOW).solved), (2, 2));
    assert_eq!(once.busy_total(), 8);
}

#[test]
fn a_new_month_begins_at_zero_and_a_restart_does_not() {
    let end_of_october = UnixMillis(1_761_955_199_999);
    let november = UnixMillis(end_of_october.0 + 1);
    let (usage, once) = (Usage::default(), SpentSet::new(100));
    usage.record(Billable::Solved, ID, end_of_october, &once);
    let kept = usage.counts(end_of_october);
    assert_eq!((kept.month, kept.solved), (55 * 12 + 9, 1), "October 2025");
    assert_eq!(Usage::resume(kept).counts(end_of_october).solved, 1);
    assert_eq!(usage.counts(november), Counts { month: 55 * 12 + 10, ..Counts::default() });
    usage.record(Billable::Solved, [1; 16], november, &once);
    assert_eq!(usage.counts(end_of_october).solved, 1, "a clock that steps back");
}

#[test]
fn a_clock_that_was_years_ahead_leaves_no_allowance_used_up() {
    let march_2026 = UnixMillis(1_774_000_000_000);
    let now = usize::try_from((2026 - 1970) * 12 + 2).unwrap();
    for (kept, solved) in [(now - 1, 0), (now, 7), (now + 1, 7), (now + 2, 0), (now + 200, 0), (u32::MAX as usize, 0)] {
        let kept = Counts { month: kept.try_into().unwrap(), solved: 7, ..Counts::default() };
        assert_eq!(Usage::resume(kept).counts(march_2026).solved, solved, "{}", kept.month);
        assert_eq!(
            Usage::resume(kept).counts(UnixMillis(0)),
            kept,
            "a clock that is not set yet ends no month, {}",
            kept.month
        );
    }
}

#[test]
fn a_count_that_is_full_stays_full() {
    let month = Usage::default().counts(NOW).month;
    let usage = Usage::resume(Counts { month, solved: u64::MAX, siteverify_calls: u64::MAX, ..Counts::default() });
    assert!(usage.record(Billable::Solved, ID, NOW, &SpentSet::new(10)));
    usage.record_siteverify(NOW);
    assert_eq!((usage.counts(NOW).solved, usage.counts(NOW).siteverify_calls), (u64::MAX, u64::MAX));
}

proptest! {
    #[test]
    fn arbitrary_calls_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), query in ".{0,40}", form: bool) {
        _ = SiteverifyRequest::parse(if form { FORM } else { JSON }, &body, &query);
    }

    #[test]
    fn arbitrary_responses_are_refused_and_never_panic(text in ".*") {
        prop_assert!(redeem(&text, "shop", 0, &SpentSet::new(10)).is_err());
    }

    #[test]
    fn every_host_name_and_reason_comes_back_as_it_was(hostname in ".{0,60}", reason in ".*") {
        let text = Response { hostname: &hostname, ..response() }.issue(&ring(), "shop");
        prop_assert_eq!(&redeem(&text, "shop", 0, &SpentSet::new(10)).unwrap().hostname, &hostname);
        let reasons = [reason.as_str()];
        let details = Details { hostname: &hostname, reasons: &reasons, ..DETAILS };
        let value = rendered(&Answer::judged(Judgement::Pass, SiteMode::Enforce, details));
        prop_assert_eq!(value["hostname"].as_str(), Some(hostname.as_str()));
        prop_assert_eq!(value["reasons"][0].as_str(), Some(reason.as_str()));
    }
}

/// Evidence that a widget sends is carried to the backend as reasons.
#[test]
fn what_the_evidence_showed_reaches_the_backend() {
    let observed = Observed { user_agent: "", expected_hashes: 0, took: Duration::from_secs(1) };
    let findings = Evidence::parse(r#"{"webdriver":true}"#).unwrap().judge(&observed);
    let text = Response { signals: findings.signals(), ..response() }.issue(&ring(), "shop");
    let verified = redeem(&text, "shop", 0, &SpentSet::new(10)).unwrap();
    assert_eq!(verified.signals.iter().map(|signal| signal.name()).collect::<Vec<_>>(), ["js-webdriver"]);
}
