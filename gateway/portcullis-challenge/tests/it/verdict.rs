//! Verdict tokens.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use portcullis_challenge::{Refusal, UnixMillis, Verdict, VerdictSigner, VerifiedVerdict, verify_verdict};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{NOW, decode, encode};

const SECRET: &[u8] = b"a secret that is shared with origins";

fn signer(key_id: &str) -> VerdictSigner {
    VerdictSigner::new(key_id, SECRET, "portcullis", Duration::from_secs(60)).unwrap()
}

fn verdict() -> Verdict<'static> {
    Verdict {
        request_id: "01JABCDEF",
        score_thousandths: 412,
        action: "challenge",
        route: "login",
        reasons: &["ua-tool", "asn-hosting"],
        client: Some("192.0.2.7".parse().unwrap()),
        issued_at: NOW,
    }
}

fn verify(token: &str) -> Result<VerifiedVerdict, Refusal> {
    verify_verdict(&[signer("v1")], token, NOW)
}

fn claims(verdict: &Verdict<'_>) -> Value {
    serde_json::from_str(&verify(&signer("v1").sign(verdict)).unwrap().claims).unwrap()
}

/// As an origin's library would do it, from the RFC's own words, without a line of ours.
#[test]
fn a_verdict_is_a_jwt_that_any_library_can_check() {
    let token = signer("v1").sign(&verdict());
    let segments: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = segments[..] else { panic!("three segments: {token}") };
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("{header}.{payload}").as_bytes());
    mac.verify_slice(&decode(signature)).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&decode(header)).unwrap(),
        json!({"alg": "HS256", "typ": "portcullis-verdict+jwt", "kid": "v1"})
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&decode(payload)).unwrap(),
        json!({
            "iss": "portcullis", "iat": 1_760_000_000, "exp": 1_760_000_060, "jti": "01JABCDEF", "score": 0.412,
            "action": "challenge", "route": "login", "reasons": ["ua-tool", "asn-hosting"], "client": "192.0.2.7",
        })
    );
}

#[test]
fn what_is_absent_is_left_out() {
    let verdict = Verdict { reasons: &[], client: None, ..verdict() };
    let claims = claims(&verdict);
    assert!(claims.get("reasons").is_none() && claims.get("client").is_none());
}

#[test]
fn a_long_verdict_is_whole() {
    for len in 0..1_500 {
        let route = "r".repeat(len);
        assert_eq!(claims(&Verdict { route: &route, ..verdict() })["route"], json!(route), "{len}");
    }
}

#[test]
fn scores_are_decimals_from_0_to_1() {
    for (thousandths, text) in
        [(0, "0.000"), (7, "0.007"), (70, "0.070"), (999, "0.999"), (1000, "1.000"), (1001, "1.000")]
    {
        let token = signer("v1").sign(&Verdict { score_thousandths: thousandths, ..verdict() });
        let claims = verify(&token).unwrap().claims;
        assert!(claims.contains(&format!("\"score\":{text},")), "{claims}");
    }
}

/// Algorithm confusion (CVE-2015-9235 and its kin): a key id has one algorithm, and the header can
/// say nothing else.
#[test]
fn a_header_that_this_gateway_does_not_write_is_refused() {
    let payload = encode(br#"{"iss":"portcullis","iat":1760000000,"exp":1960000060,"score":0.0}"#);
    let headers = [
        r#"{"alg":"none"}"#,
        r#"{"alg":"none","typ":"portcullis-verdict+jwt","kid":"v1"}"#,
        r#"{"alg":"None","typ":"portcullis-verdict+jwt","kid":"v1"}"#,
        r#"{"alg":"HS384","typ":"portcullis-verdict+jwt","kid":"v1"}"#,
        r#"{"alg":"RS256","typ":"portcullis-verdict+jwt","kid":"v1"}"#,
        r#"{"alg":"ES256","typ":"portcullis-verdict+jwt","kid":"v1"}"#,
        r#"{"alg":"HS256","typ":"JWT","kid":"v1"}"#,
        r#"{"alg":"HS256","typ":"portcullis-verdict+jwt"}"#,
        r#"{"alg":"HS256","typ":"portcullis-verdict+jwt","kid":"v2"}"#,
        r#"{"alg":"HS256","typ":"portcullis-verdict+jwt","kid":"../../dev/null"}"#,
        r#"{"alg":"HS256","typ":"portcullis-verdict+jwt","kid":"v1","jku":"https://other.example/keys"}"#,
        r#"{"alg":"HS256","typ":"portcullis-verdict+jwt","kid":"v1","x5u":"https://other.example/cert"}"#,
        r#"{"alg":"HS256","typ":"portcullis-verdict+jwt","kid":"v1","jwk":{"kty":"oct","k":"AA"}}"#,
        r#"{"alg":"HS256","alg":"none","typ":"portcullis-verdict+jwt","kid":"v1"}"#,
        r#"{"typ":"portcullis-verdict+jwt","alg":"HS256","kid":"v1"}"#,
    ];
    for header in headers {
        let signed = format!("{}.{payload}", encode(header.as_bytes()));
        // Even under the right secret, without a signature, and with an empty one.
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(signed.as_bytes());
        let good = encode(&mac.finalize().into_bytes());
        for signature in [&good, "", "AAAA"] {
            assert_eq!(verify(&format!("{signed}.{signature}")), Err(Refusal::UnknownKey), "{header}");
        }
        assert!(verify(&signed).is_err(), "two segments: {header}");
    }
}

#[test]
fn no_bit_of_a_verdict_can_be_changed() {
    let token = signer("v1").sign(&verdict());
    assert!(verify(&token).is_ok());
    let mut at = 0;
    for segment in token.split('.') {
        for (i, byte) in segment.bytes().enumerate() {
            for other in [b'A', b'_', byte ^ 1, byte ^ 0x20] {
                if other != byte && other.is_ascii() {
                    let mut bytes = token.clone().into_bytes();
                    bytes[at + i] = other;
                    let changed = String::from_utf8(bytes).unwrap();
                    assert!(verify(&changed).is_err(), "{} at {}", char::from(other), at + i);
                }
            }
        }
        at += segment.len() + 1;
    }
    for len in 0..token.len() {
        assert!(verify(&token[..len]).is_err(), "cut to {len}");
    }
    assert!(verify(&format!("{token}A")).is_err());
    assert!(verify(&format!("{token}.")).is_err());
    assert!(verify(&format!("{token}=")).is_err());
}

#[test]
fn a_verdict_has_its_time() {
    let token = signer("v1").sign(&verdict());
    let at = |now: u64| verify_verdict(&[signer("v1")], &token, UnixMillis(now)).map(|_| ());
    for (now, outcome) in [
        (NOW.0, Ok(())),
        (NOW.0 + 59_999, Ok(())),
        (NOW.0 + 60_000, Err(Refusal::Expired)),
        (NOW.0 - 60_000, Ok(())),
        (NOW.0 - 61_000, Err(Refusal::NotYetValid)),
    ] {
        assert_eq!(at(now), outcome, "at {now}");
    }
}

#[test]
fn two_secrets_are_accepted_while_they_are_exchanged() {
    let new = VerdictSigner::new("v2", &[9; 32], "portcullis", Duration::from_secs(60)).unwrap();
    let both = [new.clone(), signer("v1")];
    for signer in [&new, &signer("v1")] {
        assert!(verify_verdict(&both, &signer.sign(&verdict()), NOW).is_ok());
    }
    let renamed = VerdictSigner::new("v1", &[9; 32], "portcullis", Duration::from_secs(60)).unwrap();
    assert_eq!(verify_verdict(&both, &renamed.sign(&verdict()), NOW), Err(Refusal::Forged));
    assert_eq!(verify_verdict(&[], &new.sign(&verdict()), NOW), Err(Refusal::UnknownKey));
}

#[test]
fn a_weak_secret_or_a_name_that_needs_escaping_is_refused() {
    let make = |key_id: &str, secret: &[u8], issuer: &str| {
        VerdictSigner::new(key_id, secret, issuer, Duration::from_secs(60)).unwrap_err().to_string()
    };
    insta::assert_snapshot!(make("v1", &[0; 31], "portcullis"), @"expected a verdict secret of at least 32 bytes, but found 31");
    insta::assert_snapshot!(make("v\"1", &[0; 32], "portcullis"), @"expected a verdict key id of 1 to 128 letters, digits, `.`, `-`, `_`, `:` or `/`");
    insta::assert_snapshot!(make("v1", &[0; 32], ""), @"expected an issuer of 1 to 128 letters, digits, `.`, `-`, `_`, `:` or `/`");
}

#[test]
fn a_signer_does_not_print_its_secret() {
    let printed = format!("{:?}", VerdictSigner::new("v1", &[b'S'; 40], "portcullis", Duration::from_secs(1)).unwrap());
    assert!(
        printed.starts_with("VerdictSigner {") && !printed.contains("SSS") && !printed.contains("83, 83"),
        "{printed}"
    );
}

proptest! {
    /// Whatever an attacker gets into a route, a reason or an id stays inside its string.
    #[test]
    fn every_text_comes_back_as_it_was(id in ".*", action in ".*", route in ".*", reason in ".*") {
        let reasons = [reason.as_str(), "other"];
        let verdict = Verdict { request_id: &id, action: &action, route: &route, reasons: &reasons, ..verdict() };
        let claims = claims(&verdict);
        prop_assert_eq!(&claims["jti"], &json!(id));
        prop_assert_eq!(&claims["action"], &json!(action));
        prop_assert_eq!(&claims["route"], &json!(route));
        prop_assert_eq!(&claims["reasons"], &json!([reason, "other"]));
        prop_assert_eq!(claims.as_object().unwrap().len(), 9);
    }

    #[test]
    fn arbitrary_text_is_refused_and_never_panics(token in ".*") {
        prop_assert!(verify(&token).is_err());
    }
}
