//! One call of a site's backend: was this form sent by whom the widget let through?
//!
//! The request is taken as the clients of reCAPTCHA, hCaptcha, Turnstile and Prosopo send it, and the
//! answer has the members that they read.
//!
//! | | request | answer |
//! |---|---|---|
//! | reCAPTCHA, hCaptcha, Turnstile | form (Turnstile: or JSON): `secret`, `response`, `remoteip` | `success`, `error-codes`, `challenge_ts`, `hostname`, `score` |
//! | Prosopo | JSON: `secret`, `token`, `ip` | `verified`, `status`, `score` |
//!
//! The widget's own field names (`g-recaptcha-response` and so on) are taken as well, for backends that
//! pass a form on. All answers have status 200 but for a request that cannot be read and a secret in
//! the query, which are 400.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::form;
use crate::json;
use crate::refusal::Refusal;
use crate::response::RESPONSE_TTL;
use crate::site::{ScoreSense, SiteMode};
use crate::time::UnixMillis;

/// A call of siteverify, read and not yet judged.
#[derive(Clone, Eq, PartialEq)]
pub struct SiteverifyRequest {
    /// What shows that the site's backend asks. Not checked yet.
    pub secret: String,
    /// What the form carried. Not checked yet.
    pub response: String,
    /// The visitor's address as the backend tells it; absent where it did not, or where what it told
    /// is none: that is no reason to lock a visitor out.
    pub remote_ip: Option<IpAddr>,
    /// The public key that the backend expects, where it tells one.
    pub site_key: Option<String>,
}

/// Printing it shows neither secret nor response.
impl std::fmt::Debug for SiteverifyRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteverifyRequest")
            .field("remote_ip", &self.remote_ip)
            .field("site_key", &self.site_key)
            .finish_non_exhaustive()
    }
}

impl SiteverifyRequest {
    /// Reads a call: its content type, its body, and its query, which must not hold any of it.
    ///
    /// A body that is not said to be JSON is a form. Fields that are not known are left alone.
    ///
    /// # Errors
    ///
    /// The [`ErrorCode`] that the answer carries.
    pub fn parse(content_type: &str, body: &[u8], query: &str) -> Result<Self, ErrorCode> {
        // URLs end in logs: neither secret nor response is read from one, so that nobody gets used to it.
        if form::fields(query).any(|(name, _)| Field::from_name(name).is_some()) {
            return Err(ErrorCode::BadRequest);
        }
        if body.len() > MAX_SITEVERIFY_BYTES {
            return Err(ErrorCode::BadRequest);
        }
        let body = std::str::from_utf8(body).map_err(|_| ErrorCode::BadRequest)?;
        let fields = if is_json(content_type) { Fields::of_json(body)? } else { Fields::of_form(body)? };
        fields.request()
    }
}

/// The longest call that is read.
pub const MAX_SITEVERIFY_BYTES: usize = 16 * 1024;

/// A field of a call, by any of its names.
#[derive(Clone, Copy)]
enum Field {
    Secret,
    Response,
    RemoteIp,
    SiteKey,
}

impl Field {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "secret" => Self::Secret,
            "response"
            | "token"
            | "portcullis-response"
            | "g-recaptcha-response"
            | "h-captcha-response"
            | "cf-turnstile-response"
            | "procaptcha-response" => Self::Response,
            "remoteip" | "ip" => Self::RemoteIp,
            "sitekey" => Self::SiteKey,
            _ => return None,
        })
    }
}

#[derive(Default)]
struct Fields<'a> {
    secret: Option<Cow<'a, str>>,
    response: Option<Cow<'a, str>>,
    remote_ip: Option<Cow<'a, str>>,
    site_key: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    fn of_form(body: &'a str) -> Result<Self, ErrorCode> {
        let mut fields = Self::default();
        for (name, value) in form::fields(body) {
            let name = form::decode(name).map_err(|_| ErrorCode::BadRequest)?;
            if let Some(field) = Field::from_name(&name) {
                fields.set(field, form::decode(value).map_err(|_| ErrorCode::BadRequest)?)?;
            }
        }
        Ok(fields)
    }

    fn of_json(body: &str) -> Result<Self, ErrorCode> {
        let Ok(Value::Object(object)) = serde_json::from_str(body) else { return Err(ErrorCode::BadRequest) };
        let mut fields = Self::default();
        for (name, value) in object {
            match (Field::from_name(&name), value) {
                (None, _) | (_, Value::Null) => {}
                (Some(field), Value::String(text)) => fields.set(field, Cow::Owned(text))?,
                (Some(_), _) => return Err(ErrorCode::BadRequest),
            }
        }
        Ok(fields)
    }

    fn set(&mut self, field: Field, value: Cow<'a, str>) -> Result<(), ErrorCode> {
        let place = match field {
            Field::Secret => &mut self.secret,
            Field::Response => &mut self.response,
            Field::RemoteIp => &mut self.remote_ip,
            Field::SiteKey => &mut self.site_key,
        };
        // One response under two names is what a form with two widgets' fields passes on.
        match place {
            Some(known) if *known != value => Err(ErrorCode::BadRequest),
            _ => {
                *place = Some(value);
                Ok(())
            }
        }
    }

    fn request(self) -> Result<SiteverifyRequest, ErrorCode> {
        let given = |text: Option<Cow<'a, str>>| text.filter(|text| !text.is_empty()).map(Cow::into_owned);
        Ok(SiteverifyRequest {
            secret: given(self.secret).ok_or(ErrorCode::MissingSecret)?,
            response: given(self.response).ok_or(ErrorCode::MissingResponse)?,
            remote_ip: self.remote_ip.as_deref().and_then(address),
            site_key: given(self.site_key),
        })
    }
}

/// An address, with or without a port, as backends take it from their connections.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Why a call was not answered with a success, by the names that clients know.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorCode {
    /// There is no secret.
    MissingSecret,
    /// It is no site's.
    InvalidSecret,
    /// There is no response.
    MissingResponse,
    /// It is not one of ours, or of another site.
    InvalidResponse,
    /// It is too old, or was verified before.
    TimeoutOrDuplicate,
    /// The call cannot be read.
    BadRequest,
    /// The gateway is full; the same call can be made again in a few seconds.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::MissingSecret,
        Self::InvalidSecret,
        Self::MissingResponse,
        Self::InvalidResponse,
        Self::TimeoutOrDuplicate,
        Self::BadRequest,
        Self::Internal,
    ];

    /// The name that clients know.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingSecret => "missing-input-secret",
            Self::InvalidSecret => "invalid-input-secret",
            Self::MissingResponse => "missing-input-response",
            Self::InvalidResponse => "invalid-input-response",
            Self::TimeoutOrDuplicate => "timeout-or-duplicate",
            Self::BadRequest => "bad-request",
            Self::Internal => "internal-error",
        }
    }

    /// The status of the answer. Clients read the body of a 200 and give up at any other.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            _ => 200,
        }
    }
}

impl From<Refusal> for ErrorCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Expired | Refusal::Spent => Self::TimeoutOrDuplicate,
            Refusal::Busy => Self::Internal,
            _ => Self::InvalidResponse,
        }
    }
}

/// What the site's filters, rules and score said of a visitor whose response was good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Judgement<'a> {
    /// Nothing against.
    Pass,
    /// No, with the reason code, such as `API.VPN_BLOCKED`.
    Block(&'a str),
}

/// What siteverify answers.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    verified: bool,
    status: &'a str,
    error: Option<ErrorCode>,
    details: Option<Details<'a>>,
}

/// What is known of a visitor whose response was good.
#[derive(Clone, Copy, Debug)]
pub struct Details<'a> {
    /// The score, in thousandths, 0 to 1000; 1000 is the worst.
    pub score_thousandths: u16,
    /// Which way the site counts.
    pub sense: ScoreSense,
    /// When the challenge was solved.
    pub solved_at: UnixMillis,
    /// The host name of the page.
    pub hostname: &'a str,
    /// The reasons for the score, most points first.
    pub reasons: &'a [&'a str],
}

impl<'a> Answer<'a> {
    /// The answer to a call that failed.
    #[must_use]
    pub const fn error(code: ErrorCode) -> Self {
        Self { verified: false, status: NOT_VERIFIED, error: Some(code), details: None }
    }

    /// The answer where the filters already said no, with the reason code, and the response was not good either.
    #[must_use]
    pub const fn blocked(code: &'a str) -> Self {
        Self { verified: false, status: code, error: None, details: None }
    }

    /// The answer to a response that was good.
    ///
    /// In monitor mode a block is told in `status` and alters nothing else.
    #[must_use]
    pub const fn judged(judgement: Judgement<'a>, mode: SiteMode, details: Details<'a>) -> Self {
        let (verified, status) = match (judgement, mode) {
            (Judgement::Pass, _) => (true, VERIFIED),
            (Judgement::Block(code), SiteMode::Enforce) => (false, code),
            (Judgement::Block(code), SiteMode::Monitor) => (true, code),
        };
        Self { verified, status, error: None, details: Some(details) }
    }

    /// Whether it says yes.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        self.verified
    }

    /// Whether it is a block that was enforced, which counts.
    #[must_use]
    pub const fn is_enforced_block(&self) -> bool {
        !self.verified && self.error.is_none()
    }

    /// The status of the answer.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self.error {
            Some(code) => code.status(),
            None => 200,
        }
    }

    /// Appends the answer as JSON to `out`.
    pub fn render(&self, out: &mut String) {
        let verified = if self.verified { "true" } else { "false" };
        out.push_str("{\"success\":");
        out.push_str(verified);
        out.push_str(",\"verified\":");
        out.push_str(verified);
        out.push_str(",\"status\":");
        json::push_string(out, self.status);
        out.push_str(",\"error-codes\":[");
        if let Some(code) = self.error {
            json::push_string(out, code.name());
        }
        out.push(']');
        if let Some(details) = &self.details {
            push_details(out, details);
        }
        out.push('}');
    }
}

fn push_details(out: &mut String, details: &Details<'_>) {
    let risk = details.score_thousandths.min(1000);
    let score = match details.sense {
        ScoreSense::Risk => risk,
        ScoreSense::Trust => 1000 - risk,
    };
    out.push_str(",\"score\":");
    json::push_thousandths(out, score);
    out.push_str(",\"challenge_ts\":");
    json::push_string(out, &details.solved_at.civil().to_string());
    out.push_str(",\"hostname\":");
    json::push_string(out, details.hostname);
    out.push_str(",\"reasons\":[");
    for (index, reason) in details.reasons.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        json::push_string(out, reason);
    }
    out.push(']');
}

/// Appends what a widget is answered whose solution was good: the response, and for how long it can be
/// verified. A span and not a time, as the clocks of devices are wrong.
pub fn render_response(response: &str, out: &mut String) {
    out.push_str("{\"response\":");
    json::push_string(out, response);
    out.push_str(",\"expires_in_secs\":");
    json::push_number(out, RESPONSE_TTL.as_secs());
    out.push('}');
}

const VERIFIED: &str = "API.USER_VERIFIED";
const NOT_VERIFIED: &str = "API.USER_NOT_VERIFIED";
