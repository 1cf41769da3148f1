//! `[challenge]`: how challenges are signed, what they look like, and who may read them.

use std::path::Path;

use portcullis_challenge::{Brand, BrandError, Colour, Logo, return_target};

use super::Challenge;
use super::reader::{Faults, Table, Value};
use crate::gateway::challenge::Look;

/// The longest name of an operator that fits the head of the page, in characters.
const LONGEST_NAME: usize = 80;

pub(super) fn challenge(mut table: Table<'_>, base: &Path, faults: &mut Faults) -> Challenge {
    let key_file = table.path("key_file", base, faults);
    let look = Look {
        contact: table.text("contact", faults).map(str::to_owned),
        brand: Brand {
            name: table.value("name").and_then(|value| name(&value, faults)),
            logo: table.value("logo").and_then(|value| branded(&value, Logo::parse, faults)),
            colour: table.value("colour").and_then(|value| branded(&value, Colour::parse, faults)).unwrap_or_default(),
        },
        origins: table.value("origins").map(|value| origins(&value, faults)).unwrap_or_default(),
        sign_in: table.value("sign_in").and_then(|value| sign_in(&value, faults)),
    };
    table.finish(faults);
    Challenge { key_file, look }
}

fn name(value: &Value<'_>, faults: &mut Faults) -> Option<String> {
    let name = value.text(faults)?;
    if name.chars().count() > LONGEST_NAME {
        let fault = value.fault("is too long", &format!("more than {LONGEST_NAME} characters"));
        faults.add(fault.help("write the name that people know you by"));
    }
    Some(name.to_owned())
}

fn branded<T>(value: &Value<'_>, parse: impl Fn(&str) -> Result<T, BrandError>, faults: &mut Faults) -> Option<T> {
    let parsed = parse(value.text(faults)?);
    parsed.map_err(|error| faults.add(value.fault("cannot be shown", "not used").help(error.to_string()))).ok()
}

/// Origins as browsers write them: scheme and host in lower case, the port where it is not the usual one, and no path.
fn origins(value: &Value<'_>, faults: &mut Faults) -> Vec<String> {
    const EXAMPLE: &str = "https://app.shop.example";
    let Some(items) = value.list(EXAMPLE, faults) else { return Vec::new() };
    let mut origins = Vec::with_capacity(items.len());
    for item in &items {
        let Some(text) = item.text(faults) else { continue };
        if is_origin(text) {
            origins.push(text.to_owned());
        } else {
            let fault = item.fault("has something that is no origin", "no browser would send it so");
            faults.add(fault.help(format!("write scheme, host and an unusual port only, as in `[\"{EXAMPLE}\"]`")));
        }
    }
    origins
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let parsed: Option<http::uri::Authority> = authority.parse().ok();
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    !text.bytes().any(|byte| byte.is_ascii_uppercase() || matches!(byte, b'@' | b'*'))
        && parsed.is_some_and(|authority| !authority.host().is_empty() && authority.port_u16() != Some(usual))
        && !authority.ends_with(':')
}

/// A path of the same host, or an address over TLS.
fn sign_in(value: &Value<'_>, faults: &mut Faults) -> Option<String> {
    let text = value.text(faults)?;
    let is_path = text != "/" && return_target(text).as_str() == text;
    let is_url = text.starts_with("https://")
        && text.parse::<http::Uri>().is_ok_and(|uri| uri.authority().is_some())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path || is_url {
        return Some(text.to_owned());
    }
    let fault = value.fault("is no place to sign in at", "neither a path nor an address over TLS");
    faults.add(fault.help("write it as in `/sign-in?stronger=1` or `https://id.shop.example/step-up`"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, good) in [
            ("https://app.shop.example", true),
            ("https://app.shop.example:8443", true),
            ("http://localhost:3000", true),
            ("https://[2001:db8::1]:8443", true),
            ("https://app.shop.example/", false),
            ("https://app.shop.example:443", false),
            ("https://App.shop.example", false),
            ("https://*.shop.example", false),
            ("https://ann@shop.example", false),
            ("https://shop.example:", false),
            ("app.shop.example", false),
            ("file:///index.html", false),
            ("null", false),
            ("*", false),
            ("https://", false),
            ("", false),
        ] {
            assert_eq!(is_origin(text), good, "{text}");
        }
    }
}
