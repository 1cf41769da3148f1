//! Where in a request things stand.

use std::sync::Arc;

use portcullis_signals::{
    BodyEnd, BodyField, BodyFields, Caller, CanonicalRequest, Fields, Found, JsonPointer, bearer, query_field,
    unverified_claim,
};

/// A place in a request that is read for an identity, or for a key.
///
/// What stands there twice with different values stands nowhere: servers differ in which of them they take.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A header field.
    Header(http::HeaderName),
    /// A cookie.
    Cookie(Arc<str>),
    /// A field of the query, body or token, as an index into [`Reads::fields`].
    Field(u8),
}

/// Where the caller's identity stands in a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identify {
    /// The user.
    pub user: Option<Place>,
    /// The account or organisation.
    pub account: Option<Place>,
    /// The API key.
    pub api_key: Option<Place>,
    /// The session.
    pub session: Option<Place>,
    /// The device.
    pub device: Option<Place>,
    /// The bearer token.
    pub token: Option<TokenPlace>,
}

/// Where a bearer token stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenPlace {
    /// Where the token itself stands.
    pub place: Place,
    /// Its identifier, the claim `jti`.
    pub id: Place,
}

/// What a route reads of a request beyond its header fields. Nothing, for most.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reads {
    /// The fields, each once.
    pub fields: Vec<FieldSource>,
    /// Those of the body; an origin waits for as much of it as `body_bytes` says.
    pub body: Vec<BodyField>,
    /// How much of a body is read for them, in bytes. A longer one has none of them.
    pub body_bytes: u32,
}

/// Where one field comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FieldSource {
    /// A parameter of the query.
    Query(Box<str>),
    /// A field of the body, as an index into [`Reads::body`].
    Body(u8),
    /// A claim of a JSON Web Token, unverified.
    Claim {
        /// Where the token stands; where that is a field, it comes before this one.
        token: Place,
        /// The claim.
        claim: JsonPointer,
    },
}

/// The beginning of a request's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyPrefix<'a> {
    /// Its first bytes.
    pub bytes: &'a [u8],
    /// Whether there is more of it.
    pub end: BodyEnd,
}

impl Place {
    /// What stands there; nothing where it is empty or ambiguous.
    pub fn read<'a>(&self, request: &CanonicalRequest<'a>, fields: &'a Fields) -> Option<&'a str> {
        let value = match self {
            Self::Header(name) => request.only_header(name)?.to_str().ok()?,
            Self::Cookie(name) => request.only_cookie(name)?,
            Self::Field(at) => fields.value(usize::from(*at))?,
        };
        Some(value).filter(|value| !value.is_empty())
    }
}

impl Identify {
    /// Whose request it is, by what stands in it; nothing of it is verified.
    pub fn caller<'a>(&self, request: &CanonicalRequest<'a>, fields: &'a Fields) -> Caller<'a> {
        let read = |place: &Option<Place>| place.as_ref()?.read(request, fields);
        Caller {
            user: read(&self.user),
            account: read(&self.account),
            api_key: read(&self.api_key),
            session: read(&self.session),
            device: read(&self.device),
            token: self.token.as_ref().and_then(|token| {
                token.id.read(request, fields).or_else(|| token.place.read(request, fields).map(bearer))
            }),
            clearance: None,
            own: &[],
        }
    }
}

impl Reads {
    /// Whether the beginning of the body must be at hand.
    pub fn needs_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// Reads the fields. Without a body those of the body are absent.
    pub fn fields(&self, request: &CanonicalRequest<'_>, body: Option<BodyPrefix<'_>>) -> Fields {
        if self.fields.is_empty() {
            return Fields::default();
        }
        let body = match body.filter(|_| self.needs_body()) {
            Some(body) => BodyFields::read(request.headers(), body.bytes, body.end, &self.body),
            None => BodyFields::default(),
        };
        let mut fields = Fields::default();
        for source in &self.fields {
            let found = match source {
                FieldSource::Query(name) => request.query().map_or(Found::Absent, |query| query_field(query, name)),
                FieldSource::Body(at) => body.found(usize::from(*at)).clone(),
                FieldSource::Claim { token, claim } => {
                    token.read(request, &fields).map_or(Found::Absent, |token| unverified_claim(bearer(token), claim))
                }
            };
            fields.push(found.text().map(Into::into));
        }
        fields
    }
}
