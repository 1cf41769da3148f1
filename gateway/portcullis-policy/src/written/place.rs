//! Places in a request as written: `header:x-api-key`, `json:/user/email`.

use std::sync::Arc;

use http::HeaderName;
use portcullis_signals::JsonPointer;

use super::Located;
use super::reader::{Item, Reader};
use crate::diagnostics::quote;

/// A place in a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum WrittenPlace {
    /// `header:NAME`
    Header(HeaderName),
    /// `cookie:NAME`
    Cookie(Arc<str>),
    /// `query:NAME`
    Query(Box<str>),
    /// `form:NAME`
    Form(Box<str>),
    /// `json:/POINTER`
    Json(JsonPointer),
    /// `jwt:PLACE/CLAIM`
    Claim {
        /// Where the token stands: a header, a cookie or a query parameter.
        token: Box<WrittenPlace>,
        /// The claim.
        claim: JsonPointer,
    },
}

/// Why a text is no place: what is wrong, and what to do.
pub(super) type PlaceFault = (String, String);

/// The kinds of place that a key or an identity can stand in.
pub(super) const PLACES: [&str; 6] =
    ["header:NAME", "cookie:NAME", "query:NAME", "form:NAME", "json:/NAME", "jwt:header:authorization/CLAIM"];

impl WrittenPlace {
    /// Reads a text whose kind stands before its first colon; none where it is of no known kind.
    pub(super) fn parse(text: &str) -> Option<Result<Self, PlaceFault>> {
        let (kind, name) = text.split_once(':')?;
        let name = name.trim();
        if name.is_empty() && PLACES.iter().any(|place| place.starts_with(text.trim_end())) {
            return Some(Err(("no name behind the colon".into(), format!("name it: \"{kind}:x\""))));
        }
        Some(match kind {
            "header" => name.parse().map(Self::Header).map_err(|_| {
                (
                    format!("{} is no name of a header", quote(name)),
                    "write it as it is sent: \"header:x-tenant\"".into(),
                )
            }),
            "cookie" if is_token(name) => Ok(Self::Cookie(name.into())),
            "cookie" => Err((format!("{} is no name of a cookie", quote(name)), "write such as \"cookie:sid\"".into())),
            "query" if is_field(name) => Ok(Self::Query(name.into())),
            "query" => Err((format!("{} is no parameter", quote(name)), "write such as \"query:key\"".into())),
            "form" if is_field(name) => Ok(Self::Form(name.into())),
            "form" => Err((format!("{} is no field of a form", quote(name)), "write such as \"form:email\"".into())),
            "json" => pointer(name).map(Self::Json),
            "jwt" => claim_of(name),
            _ => return None,
        })
    }
}

/// The place of a member of a JSON text.
pub(super) fn pointer(text: &str) -> Result<JsonPointer, PlaceFault> {
    text.parse().map_err(|fault: portcullis_signals::NoPointer| {
        let help = match fault {
            portcullis_signals::NoPointer::NoSlash => {
                format!("begin at the top, with a slash before each name: \"json:/{}\"", text.replace('.', "/"))
            }
            _ => "write the names with a slash before each: \"json:/user/email\"; `~1` is a slash in a name, `~0` a tilde"
                .to_owned(),
        };
        (fault.to_string(), help)
    })
}

fn claim_of(text: &str) -> Result<WrittenPlace, PlaceFault> {
    let help =
        || "write where the token stands, and the claim behind a slash: \"jwt:header:authorization/sub\"".to_owned();
    let Some((place, claim)) = text.split_once('/') else {
        return Err(("no claim is named".to_owned(), help()));
    };
    if place.starts_with("json:") || place.starts_with("form:") {
        return Err(("a token does not stand in a body".to_owned(), help()));
    }
    match WrittenPlace::parse(place) {
        Some(Ok(token @ (WrittenPlace::Header(_) | WrittenPlace::Cookie(_) | WrittenPlace::Query(_)))) => {
            let claim = pointer(&format!("/{claim}")).map_err(|(fault, _)| (fault, help()))?;
            Ok(WrittenPlace::Claim { token: Box::new(token), claim })
        }
        Some(Err(fault)) => Err(fault),
        Some(Ok(_)) | None => Err((format!("{} is no place of a token", quote(place)), help())),
    }
}

/// A place, and nothing else.
pub(super) fn place(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Located<WrittenPlace>> {
    let text = reader.text(item)?.value;
    let title = || format!("{} is no place in a request", quote(text));
    match WrittenPlace::parse(text) {
        Some(Ok(place)) => Some(Located::new(place, item.span)),
        Some(Err((fault, help))) => {
            reader.wrong(item, title(), fault, help);
            None
        }
        None => {
            let help = format!("write one of {}", PLACES.map(|place| format!("\"{place}\"")).join(", "));
            reader.wrong(item, title(), "names no place", help);
            None
        }
    }
}

/// Whether `text` can name a field of a form or query. It is written as it is meant, without percent-encoding.
fn is_field(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control) && !text.contains(['&', '=', '#', ' ', '%'])
}

/// Whether `text` is a token (RFC 9110 §5.6.2), as names of cookies are.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
