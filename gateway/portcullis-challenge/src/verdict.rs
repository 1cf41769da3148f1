//! Verdict tokens: what the gateway decided, signed for the origin.
//!
//! A verdict is a JWT (RFC 7519) in JWS compact form (RFC 7515 §7.1) with HS256, so that an origin
//! checks it with the library that it has. Its secret is shared with the origins and is therefore
//! never one of the gateway's own keys.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::json;
use crate::keys::keyed;
use crate::refusal::Refusal;
use crate::time::{CLOCK_SKEW, UnixMillis};

/// What is told to the origin about one request.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// The request's id: claim `jti`.
    pub request_id: &'a str,
    /// The score in thousandths, 0 to 1000: claim `score`, written as a decimal from 0 to 1.
    pub score_thousandths: u16,
    /// The name of the action: claim `action`. (`act` is taken: RFC 8693 §4.1.)
    pub action: &'a str,
    /// The name of the route: claim `route`.
    pub route: &'a str,
    /// The reasons, most points first: claim `reasons`.
    pub reasons: &'a [&'a str],
    /// The client's address: claim `client`. Left out when absent.
    pub client: Option<IpAddr>,
    /// When the decision was made: claim `iat`, in whole seconds.
    pub issued_at: UnixMillis,
}

/// Signs verdicts with one secret.
///
/// All that is the same in every token, the header and the claims before the time, is made once.
#[derive(Clone)]
pub struct VerdictSigner {
    /// The first segment and its dot.
    header: String,
    /// The beginning of every payload: `{"iss":"…","iat":`.
    claims_head: String,
    /// Keyed, with the header already taken in.
    state: Hmac<Sha256>,
    ttl: Duration,
}

impl VerdictSigner {
    /// A signer with the secret that `key_id` names to the origins.
    ///
    /// `issuer` is the claim `iss`. A token is good for `ttl`, cut to whole seconds: the time that
    /// a request takes to reach the origin and be checked there.
    ///
    /// # Errors
    ///
    /// [`VerdictKeyError`] when the secret is shorter than the hash's 32 bytes (RFC 7518 §3.2), or
    /// `key_id` or `issuer` is empty or not of letters, digits, `.`, `-`, `_`, `:` and `/`.
    pub fn new(key_id: &str, secret: &[u8], issuer: &str, ttl: Duration) -> Result<Self, VerdictKeyError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(VerdictKeyError::ShortSecret(secret.len()));
        }
        if !is_name(key_id) {
            return Err(VerdictKeyError::KeyId);
        }
        if !is_name(issuer) {
            return Err(VerdictKeyError::Issuer);
        }
        let header = format!(r#"{{"alg":"HS256","typ":"{TYPE}","kid":"{key_id}"}}"#);
        let header = format!("{}.", URL_SAFE_NO_PAD.encode(header));
        let state = keyed(secret).map_err(|_| VerdictKeyError::ShortSecret(secret.len()))?.chain_update(&header);
        Ok(Self { header, claims_head: format!(r#"{{"iss":"{issuer}","iat":"#), state, ttl })
    }

    /// The signed token of `verdict`.
    #[must_use]
    pub fn sign(&self, verdict: &Verdict<'_>) -> String {
        let claims = self.claims(verdict);
        let mut token = String::with_capacity(self.header.len() + claims.len().div_ceil(3) * 4 + 1 + SIGNATURE_LEN);
        token.push_str(&self.header);
        push_base64(&mut token, claims.as_bytes());
        // The header is in the state already.
        let signed = token.get(self.header.len()..).unwrap_or_default();
        let signature = self.state.clone().chain_update(signed).finalize().into_bytes();
        token.push('.');
        push_base64(&mut token, &signature);
        token
    }

    fn claims(&self, verdict: &Verdict<'_>) -> String {
        let issued_at = verdict.issued_at.as_secs();
        let mut claims = String::with_capacity(CLAIMS_CAPACITY);
        claims.push_str(&self.claims_head);
        json::push_number(&mut claims, issued_at);
        claims.push_str(EXPIRY);
        json::push_number(&mut claims, issued_at.saturating_add(self.ttl.as_secs()));
        claims.push_str(",\"jti\":");
        json::push_string(&mut claims, verdict.request_id);
        claims.push_str(",\"score\":");
        json::push_thousandths(&mut claims, verdict.score_thousandths);
        claims.push_str(",\"action\":");
        json::push_string(&mut claims, verdict.action);
        claims.push_str(",\"route\":");
        json::push_string(&mut claims, verdict.route);
        if let Some((first, rest)) = verdict.reasons.split_first() {
            claims.push_str(",\"reasons\":[");
            json::push_string(&mut claims, first);
            for reason in rest {
                claims.push(',');
                json::push_string(&mut claims, reason);
            }
            claims.push(']');
        }
        if let Some(client) = verdict.client {
            claims.push_str(",\"client\":\"");
            push_address(&mut claims, client);
            claims.push('"');
        }
        claims.push('}');
        claims
    }
}

impl fmt::Debug for VerdictSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerdictSigner").field("header", &self.header).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// A verdict whose signature and time held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedVerdict {
    /// The claims as JSON text, just as they were signed.
    pub claims: String,
    /// The claim `iat`, in seconds since 1970.
    pub issued_at_secs: u64,
    /// The claim `exp`, in seconds since 1970.
    pub expires_at_secs: u64,
}

/// Checks a verdict token against the secrets of `signers`, for tools and for origins in Rust.
///
/// There is one algorithm for each secret and nothing to negotiate: the header must be, byte for
/// byte, the one that a signer writes. `none`, another algorithm, an unknown `kid`, and headers
/// that name a key elsewhere (`jku`, `x5u`, `jwk`) are all refused by that one comparison.
///
/// # Errors
///
/// [`Refusal::Malformed`], [`Refusal::UnknownKey`], [`Refusal::Forged`], [`Refusal::Expired`] or
/// [`Refusal::NotYetValid`].
pub fn verify_verdict(signers: &[VerdictSigner], token: &str, now: UnixMillis) -> Result<VerifiedVerdict, Refusal> {
    if token.len() > MAX_VERDICT_BYTES {
        return Err(Refusal::TooLarge);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    if !signed.contains('.') {
        return Err(Refusal::Malformed);
    }
    let (signer, payload) = signers
        .iter()
        .find_map(|signer| Some((signer, signed.strip_prefix(signer.header.as_str())?)))
        .ok_or(Refusal::UnknownKey)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Malformed)?;
    signer.state.clone().chain_update(payload).verify_slice(&signature).map_err(|_| Refusal::Forged)?;

    let claims = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Refusal::Malformed)?;
    let claims = String::from_utf8(claims).map_err(|_| Refusal::Malformed)?;
    let (issued_at_secs, expires_at_secs) = signer.times(&claims).ok_or(Refusal::Malformed)?;
    if now.as_secs() >= expires_at_secs {
        return Err(Refusal::Expired);
    }
    if issued_at_secs > now.after(CLOCK_SKEW).as_secs() {
        return Err(Refusal::NotYetValid);
    }
    Ok(VerifiedVerdict { claims, issued_at_secs, expires_at_secs })
}

impl VerdictSigner {
    /// Reads `iat` and `exp` where [`claims`](VerdictSigner::claims) writes them.
    fn times(&self, claims: &str) -> Option<(u64, u64)> {
        let rest = claims.strip_prefix(self.claims_head.as_str())?;
        let (issued_at, rest) = rest.split_once(',')?;
        let (expires_at, _) = rest.strip_prefix(EXPIRY.trim_start_matches(','))?.split_once(',')?;
        Some((issued_at.parse().ok()?, expires_at.parse().ok()?))
    }
}

/// Why a [`VerdictSigner`] could not be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VerdictKeyError {
    /// The secret has this many bytes.
    ShortSecret(usize),
    /// The key id is empty, too long, or not of the allowed characters.
    KeyId,
    /// The issuer is empty, too long, or not of the allowed characters.
    Issuer,
}

impl fmt::Display for VerdictKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = "1 to 128 letters, digits, `.`, `-`, `_`, `:` or `/`";
        match self {
            Self::ShortSecret(len) => {
                write!(f, "expected a verdict secret of at least {MIN_SECRET_BYTES} bytes, but found {len}")
            }
            Self::KeyId => write!(f, "expected a verdict key id of {names}"),
            Self::Issuer => write!(f, "expected an issuer of {names}"),
        }
    }
}

impl Error for VerdictKeyError {}

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:/".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed)
}

/// Appends the base64url text of `bytes`, in runs that stay on the stack: on texts as short as these
/// that takes a tenth off the whole signing, against the encoder's own way of appending to a `String`.
fn push_base64(out: &mut String, bytes: &[u8]) {
    let mut text = [0; BASE64_RUN.div_ceil(3) * 4];
    for run in bytes.chunks(BASE64_RUN) {
        let len = URL_SAFE_NO_PAD.encode_slice(run, &mut text).unwrap_or(0);
        out.push_str(text.get(..len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default());
    }
}

/// Appends an address. IPv4, the more frequent by far, without the formatting machinery.
fn push_address(out: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            json::push_number(out, a.into());
            for octet in [b, c, d] {
                out.push('.');
                json::push_number(out, octet.into());
            }
        }
        IpAddr::V6(address) => {
            // Writing to a String does not fail.
            _ = fmt::Write::write_fmt(out, format_args!("{address}"));
        }
    }
}

/// A multiple of three, so that no run but the last ends within a group (RFC 4648 §4).
const BASE64_RUN: usize = 384;
/// The header `typ`, which keeps a verdict from passing for any other kind of JWT (RFC 8725 §3.11).
const TYPE: &str = "portcullis-verdict+jwt";
const EXPIRY: &str = ",\"exp\":";
/// An HS256 key has at least the size of the hash's output (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;
/// The base64url text of 32 bytes.
const SIGNATURE_LEN: usize = 43;
/// Room for the claims of a usual verdict; a longer one grows it.
const CLAIMS_CAPACITY: usize = 384;
/// Longer than any header field that a server takes.
const MAX_VERDICT_BYTES: usize = 16 * 1024;
