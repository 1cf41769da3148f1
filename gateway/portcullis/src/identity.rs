//! Own signals: what the operator's own systems know of a caller, by headers that only they may write and by claims of
//! tokens whose signature was checked.
//!
//! INVARIANT: what a client says of itself never becomes an own signal. A header counts from the networks that the
//! settings name and from nobody else, and a claim after its token was verified with the one algorithm of its key.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue};
use ipnetwork::IpNetwork;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use portcullis_signals::{CanonicalRequest, OwnSignal, OwnValue, bearer};
use serde_json::Value;
use smallvec::SmallVec;

use crate::settings::{SecretError, read_secret};

/// Where own signals come from, as the settings say it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IdentitySettings {
    /// Own signals by the headers that they stand in.
    pub headers: Vec<(Box<str>, HeaderName)>,
    /// The networks of those who may write these headers.
    pub headers_from: Vec<IpNetwork>,
    /// The tokens whose claims are own signals.
    pub token: Option<TokenSettings>,
}

impl IdentitySettings {
    /// The names of all own signals.
    pub fn names(&self) -> Vec<&str> {
        let claims = self.token.iter().flat_map(|token| &token.claims).map(|(name, _)| &**name);
        self.headers.iter().map(|(name, _)| &**name).chain(claims).collect()
    }
}

/// Tokens (RFC 7519) that are verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenSettings {
    /// The header that holds the token, with or without `Bearer`.
    pub header: HeaderName,
    /// What verifies it.
    pub key: TokenKey,
    /// Who must have issued it.
    pub issuer: Option<String>,
    /// Whom it must be for.
    pub audience: Option<String>,
    /// Own signals by their places in the claims, as JSON pointers.
    pub claims: Vec<(Box<str>, String)>,
}

/// What verifies a token: one key with the one algorithm that it is for, so that a token cannot choose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TokenKey {
    /// HS256 with the secret of this file.
    Secret(PathBuf),
    /// A signature with the public key of this file, in PEM.
    Public(PathBuf, Algorithm),
}

/// The algorithms of public keys, by their names (RFC 7518 §3.1, RFC 8037 §3.1).
pub const ALGORITHMS: [(&str, Algorithm); 5] = [
    ("RS256", Algorithm::RS256),
    ("PS256", Algorithm::PS256),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// Why no token can be verified.
#[derive(Debug)]
pub enum IdentityError {
    /// The secret cannot be read.
    Secret(SecretError),
    /// The file of the public key cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It holds no public key of the algorithm.
    NoKey(PathBuf, jsonwebtoken::errors::Error),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(error) => error.fmt(f),
            Self::Unreadable(path, error) => write!(f, "cannot read the public key in `{}`: {error}", path.display()),
            Self::NoKey(path, error) => {
                write!(f, "`{}` holds no public key in PEM for the algorithm of the settings: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for IdentityError {}

/// Reads own signals from requests.
pub struct Identity {
    headers: Vec<(Box<str>, HeaderName)>,
    headers_from: Vec<IpNetwork>,
    token: Option<Verifier>,
}

struct Verifier {
    header: HeaderName,
    key: DecodingKey,
    validation: Validation,
    claims: Vec<(Box<str>, String)>,
}

/// Own signals of one request, each with its name.
pub type Known<'a> = SmallVec<[(&'a str, Own); 4]>;

/// The value of an own signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Own {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A text.
    Text(String),
}

/// The longest token that is verified, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

impl Identity {
    /// Reads the key that verifies tokens.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or is of another kind than the settings say.
    pub fn load(settings: &IdentitySettings) -> Result<Self, IdentityError> {
        let token = settings.token.as_ref().map(Verifier::load).transpose()?;
        Ok(Self { headers: settings.headers.clone(), headers_from: settings.headers_from.clone(), token })
    }

    /// The own signals that a request brings, which came from `peer`.
    pub fn read(&self, peer: IpAddr, request: &CanonicalRequest<'_>) -> Known<'_> {
        let mut known = Known::new();
        if !self.headers.is_empty() && self.headers_from.iter().any(|network| network.contains(peer)) {
            let read = |(_, header): &'_ (Box<str>, HeaderName)| {
                let text = request.only_header(header).map(HeaderValue::to_str)?.ok()?.trim();
                (!text.is_empty()).then(|| Own::of_text(text))
            };
            known.extend(self.headers.iter().filter_map(|entry| Some((&*entry.0, read(entry)?))));
        }
        if let Some(token) = &self.token {
            token.read(request, &mut known);
        }
        known.truncate(OwnSignal::MOST);
        known
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl Verifier {
    fn load(settings: &TokenSettings) -> Result<Self, IdentityError> {
        let (key, algorithm) = match &settings.key {
            TokenKey::Secret(path) => {
                let secret = read_secret(path).map_err(IdentityError::Secret)?;
                (DecodingKey::from_secret(secret.bytes()), Algorithm::HS256)
            }
            TokenKey::Public(path, algorithm) => {
                let pem = fs::read(path).map_err(|error| IdentityError::Unreadable(path.clone(), error))?;
                let key = match algorithm {
                    Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(&pem),
                    Algorithm::EdDSA => DecodingKey::from_ed_pem(&pem),
                    _ => DecodingKey::from_rsa_pem(&pem),
                };
                (key.map_err(|error| IdentityError::NoKey(path.clone(), error))?, *algorithm)
            }
        };
        // The expiry is asked for by default, and looked at.
        let mut validation = Validation::new(algorithm);
        validation.validate_nbf = true;
        validation.leeway = 0;
        match &settings.audience {
            Some(audience) => validation.set_audience(&[audience]),
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = &settings.issuer {
            validation.set_issuer(&[issuer]);
        }
        let required = ["exp", "iss", "aud"];
        let asked = [true, settings.issuer.is_some(), settings.audience.is_some()];
        let asked: Vec<_> =
            required.into_iter().zip(asked).filter_map(|(claim, asked)| asked.then_some(claim)).collect();
        validation.set_required_spec_claims(&asked);
        Ok(Self { header: settings.header.clone(), key, validation, claims: settings.claims.clone() })
    }

    fn read<'a>(&'a self, request: &CanonicalRequest<'_>, known: &mut Known<'a>) {
        let Some(text) = request.only_header(&self.header).and_then(|value| value.to_str().ok()) else { return };
        let token = bearer(text);
        if token.len() > MAX_TOKEN_BYTES {
            return;
        }
        let Ok(verified) = decode::<Value>(token, &self.key, &self.validation) else { return };
        for (name, pointer) in &self.claims {
            // What a header said of the same name stands: each name is there once.
            if known.iter().all(|(said, _)| **said != **name)
                && let Some(own) = verified.claims.pointer(pointer).and_then(Own::of_json)
            {
                known.push((name, own));
            }
        }
    }
}

impl Own {
    /// A text of a header: `true`, `false` and numbers are what they look like.
    fn of_text(text: &str) -> Self {
        let number = || text.parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Double);
        match text {
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ => text.parse().ok().map(Self::Int).or_else(number).unwrap_or_else(|| Self::Text(text.to_owned())),
        }
    }

    fn of_json(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Number(number) => number
                .as_i64()
                .map(Self::Int)
                .or_else(|| Some(Self::Double(number.as_f64().filter(|n| n.is_finite())?))),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The value as facts hold it.
    pub fn value(&self) -> OwnValue<'_> {
        match self {
            Self::Bool(value) => OwnValue::Bool(*value),
            Self::Int(value) => OwnValue::Int(*value),
            Self::Double(value) => OwnValue::Double(*value),
            Self::Text(text) => OwnValue::Text(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Version};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use portcullis_signals::RequestHead;
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"a secret of thirty-two bytes, so";

    fn identity() -> Identity {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&["shop"]);
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "iss"]);
        Identity {
            headers: vec![("account_age_days".into(), HeaderName::from_static("x-account-age"))],
            headers_from: vec!["10.0.0.0/8".parse().unwrap()],
            token: Some(Verifier {
                header: http::header::AUTHORIZATION,
                key: DecodingKey::from_secret(SECRET),
                validation,
                claims: vec![("tier".into(), "/tier".to_owned()), ("orders".into(), "/shop/orders".to_owned())],
            }),
        }
    }

    fn read(peer: &str, headers: &[(&'static str, String)]) -> Vec<(String, Own)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let request = CanonicalRequest::of(&RequestHead {
            method: &Method::GET,
            target: b"/",
            authority: Some("shop.example"),
            version: Version::HTTP_2,
            headers: &map,
            raw: None,
        });
        let identity = identity();
        identity.read(peer.parse().unwrap(), &request).into_iter().map(|(name, own)| (name.to_owned(), own)).collect()
    }

    #[test]
    fn a_header_counts_from_those_who_may_write_it() {
        let age = |days: &str| [("x-account-age", days.to_owned())];
        let own = |own| vec![("account_age_days".to_owned(), own)];
        assert_eq!(read("10.1.2.3", &age("7")), own(Own::Int(7)));
        assert_eq!(read("10.1.2.3", &age(" 7.5 ")), own(Own::Double(7.5)));
        assert_eq!(read("10.1.2.3", &age("true")), own(Own::Bool(true)));
        assert_eq!(read("10.1.2.3", &age("nan")), own(Own::Text("nan".to_owned())));
        assert_eq!(read("10.1.2.3", &age("")), []);
        assert_eq!(read("192.0.2.7", &age("7")), [], "a client says nothing of itself");
        let twice = [("x-account-age", "7".to_owned()), ("x-account-age", "900".to_owned())];
        assert_eq!(read("10.1.2.3", &twice), [], "of two nobody knows which is right");
    }

    #[test]
    fn a_claim_counts_where_its_token_is_verified() {
        let token = |header: Header, secret: &[u8], claims: Value| {
            encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap()
        };
        let later = 4_000_000_000_u64;
        let good = json!({ "exp": later, "iss": "shop", "tier": "gold", "shop": { "orders": 12 } });
        let with = |text: String| read("192.0.2.7", &[("authorization", format!("Bearer {text}"))]);
        let both = [("tier".to_owned(), Own::Text("gold".to_owned())), ("orders".to_owned(), Own::Int(12))];
        assert_eq!(with(token(Header::default(), SECRET, good.clone())), both);
        let parts = token(Header::default(), SECRET, good.clone());
        let (head, _) = parts.rsplit_once('.').unwrap();
        let payload = head.split_once('.').unwrap().1;
        // `{"alg":"none","typ":"JWT"}`
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        for (what, text) in [
            ("another secret", token(Header::default(), b"another secret of thirty-two byt", good.clone())),
            ("another algorithm", token(Header::new(Algorithm::HS384), SECRET, good)),
            ("expired", token(Header::default(), SECRET, json!({ "exp": 1, "iss": "shop", "tier": "gold" }))),
            ("for ever", token(Header::default(), SECRET, json!({ "iss": "shop", "tier": "gold" }))),
            ("another issuer", token(Header::default(), SECRET, json!({ "exp": later, "iss": "me", "tier": "gold" }))),
            ("no issuer", token(Header::default(), SECRET, json!({ "exp": later, "tier": "gold" }))),
            ("no signature", format!("{head}.")),
            ("the algorithm `none`", unsigned),
            ("no token", "x".repeat(100)),
        ] {
            assert_eq!(with(text), [], "{what}");
        }
    }
}
