//! Claims of bearer tokens, unverified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::body::json::{self, ScanEnd};
use crate::body::{Found, JsonPointer};

/// The bearer token in the value of a header: what stands behind `Bearer ` (RFC 6750 §2.1), else the whole value.
pub fn bearer(value: &str) -> &str {
    let value = value.trim_ascii();
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => token.trim_ascii_start(),
        _ => value,
    }
}

/// One claim of a JSON Web Token (RFC 7519), **unverified**: neither signature nor expiry is looked at.
///
/// Anybody can write such a token. Its claims are fit to count by, as a header is, and for nothing that lets anybody in.
/// A token that is larger than [`MAX_TOKEN_BYTES`], encrypted, or no token at all has no claims.
pub fn unverified_claim(token: &str, claim: &JsonPointer) -> Found {
    if token.len() > MAX_TOKEN_BYTES {
        return Found::Unreadable;
    }
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Found::Absent;
    };
    let Ok(payload) = URL_SAFE_NO_PAD.decode(payload) else { return Found::Unreadable };
    let scan = json::scan(&payload, &[Some(claim)]);
    if scan.end != ScanEnd::Whole {
        return Found::Unreadable;
    }
    scan.members().next().map(Found::from).unwrap_or_default()
}

/// The largest token whose claims are read, in bytes: header fields are rarely larger.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"), URL_SAFE_NO_PAD.encode(payload))
    }

    fn claim(token: &str, name: &str) -> Found {
        unverified_claim(token, &name.parse().unwrap())
    }

    #[test]
    fn a_claim_is_read_by_its_place() {
        // The payload of RFC 7519 §3.1, with two claims more.
        let token =
            token(r#"{"iss":"joe","exp":1300819380,"http://example.com/is_root":true,"sub":"ann","aud":["a"]}"#);
        for (name, found) in [
            ("/sub", Found::Text("ann".into())),
            ("/exp", Found::Text("1300819380".into())),
            ("/http:~1~1example.com~1is_root", Found::NoText),
            ("/aud", Found::NoText),
            ("/aud/0", Found::Text("a".into())),
            ("/jti", Found::Absent),
        ] {
            assert_eq!(claim(&token, name), found, "{name}");
        }
    }

    #[test]
    fn what_is_no_token_has_no_claims() {
        let huge = token(&format!(r#"{{"sub":"{}"}}"#, "a".repeat(MAX_TOKEN_BYTES)));
        for (token, found) in [
            ("", Found::Absent),
            ("opaque", Found::Absent),
            ("a.b", Found::Absent),
            ("a.b.c.d.e", Found::Absent),
            ("a.!.c", Found::Unreadable),
            ("a..c", Found::Unreadable),
            (&*token(r#"{"sub":"a","sub":"b"}"#), Found::Ambiguous),
            (&*token(r#"{"sub":"a""#), Found::Unreadable),
            (&*huge, Found::Unreadable),
        ] {
            assert_eq!(claim(token, "/sub"), found, "{token:.40}");
        }
    }

    #[test]
    fn a_bearer_token_stands_behind_its_scheme() {
        for (value, token) in [
            ("Bearer abc", "abc"),
            ("bearer  abc", "abc"),
            ("abc", "abc"),
            (" abc ", "abc"),
            ("Bearer", "Bearer"),
            ("Basic abc", "Basic abc"),
        ] {
            assert_eq!(bearer(value), token, "{value}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_no_panic(text in ".{0,64}", payload in ".{0,64}") {
            bearer(&text);
            claim(&text, "/sub");
            claim(&token(&payload), "/sub");
        }
    }
}
