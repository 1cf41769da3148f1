//! `[identity]`: where own signals come from.

use std::path::Path;

use http::HeaderName;
use portcullis_policy::Diagnostic;
use portcullis_signals::OwnSignal;

use super::reader::{Faults, Table, Value, quote, span};
use crate::identity::{ALGORITHMS, IdentitySettings, TokenKey, TokenSettings};

/// The longest name of an own signal, in bytes.
const MAX_NAME_BYTES: usize = 32;

pub(super) fn read(mut table: Table<'_>, base: &Path, faults: &mut Faults) -> IdentitySettings {
    let from = table.value("headers_from");
    let headers_from = from
        .as_ref()
        .map(|value| {
            let read = |item: Value<'_>| item.parsed("a network", "10.0.0.0/8", faults);
            value.items().into_iter().filter_map(read).collect()
        })
        .unwrap_or_default();
    let named = table.value("headers").map(|value| value.place().clone());
    let mut headers = Vec::new();
    for (name, value) in table.names("headers", faults) {
        let header: Option<HeaderName> = value.parsed("a header", "x-account-age-days", faults);
        headers.extend(signal(name, &value, faults).zip(header));
    }
    if let (Some(place), None) = (named, &from) {
        let fault = Diagnostic::error("nobody may write the headers of own signals").at(span(&place), "never believed");
        faults.add(fault.help("name who writes them: `headers_from = [\"10.0.0.0/8\"]`"));
    }
    let token = token(table.table("token", "`[identity.token]`", faults), base, faults);
    let count = headers.len() + token.as_ref().map_or(0, |token| token.claims.len());
    if count > OwnSignal::MOST {
        let fault = Diagnostic::error(format!("{count} own signals are more than a request can have"))
            .at(span(table.place()), format!("at most {}", OwnSignal::MOST));
        faults.add(fault.help("keep those that rules read"));
    }
    table.finish(faults);
    IdentitySettings { headers, headers_from, token }
}

fn token(mut table: Table<'_>, base: &Path, faults: &mut Faults) -> Option<TokenSettings> {
    let header = match table.value("header") {
        Some(value) => value.parsed("a header", "authorization", faults),
        None => Some(http::header::AUTHORIZATION),
    };
    let secret = table.path("secret_file", base, faults);
    let public = table.path("public_key_file", base, faults);
    let algorithm = table.value("algorithm");
    let chosen = algorithm.as_ref().and_then(|value| value.choice(&ALGORITHMS, faults));
    let issuer = table.text("issuer", faults).map(str::to_owned);
    let audience = table.text("audience", faults).map(str::to_owned);
    let mut claims = Vec::new();
    for (name, value) in table.names("claims", faults) {
        let place = value.text(faults).map(|text| if text.starts_with('/') { text.into() } else { format!("/{text}") });
        claims.extend(signal(name, &value, faults).zip(place));
    }
    let (is_written, place) = (table.is_written(), table.place().clone());
    table.finish(faults);
    if !is_written {
        return None;
    }
    let mut wrong = |label: &str, help: &str| {
        let fault = Diagnostic::error("tokens cannot be verified").at(span(&place), label.to_owned());
        faults.add(fault.help(help.to_owned()));
    };
    let key = match (secret, public) {
        (Some(secret), None) if algorithm.is_none() => Some(TokenKey::Secret(secret)),
        (Some(_), None) => {
            wrong("a secret is for HS256", "take `algorithm` out, or name a `public_key_file`");
            None
        }
        (None, Some(public)) => match chosen {
            Some(algorithm) => Some(TokenKey::Public(public, algorithm)),
            None => {
                wrong("with which algorithm?", "write such as `algorithm = \"ES256\"`: a token is not to choose it");
                None
            }
        },
        (Some(_), Some(_)) => {
            wrong("a secret and a public key", "keep the one that tokens are signed for");
            None
        }
        (None, None) => {
            wrong("without a key", "name a `public_key_file` with its `algorithm`, or a `secret_file`");
            None
        }
    };
    Some(TokenSettings { header: header?, key: key?, issuer, audience, claims })
}

/// The name of an own signal, as rules write it behind `identity.`.
fn signal(name: &str, value: &Value<'_>, faults: &mut Faults) -> Option<Box<str>> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !plain
        || name.is_empty()
        || name.len() > MAX_NAME_BYTES
        || name.starts_with(|first: char| first.is_ascii_digit())
    {
        let fault = value
            .fault(&format!("names the own signal {}", quote(name)), "not a name that `identity.` can have behind it");
        faults.add(fault.help("write letters, digits and `_`, such as `account_age_days`"));
        return None;
    }
    Some(name.into())
}
