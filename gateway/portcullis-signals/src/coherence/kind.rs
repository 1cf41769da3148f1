//! What sort of request it is, by what it says of itself.
//!
//! Browsers ask for each sort in a way of its own, so each is judged by the rows that know it. What a request says of
//! itself must fit it, though: nothing is gained by the name of a rare sort.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::Http;
use crate::headers::{Field, HeaderDigest};

/// A sort of request (Fetch §2.2.5; Fetch Metadata §2.1 and §2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RequestKind {
    /// A page or a frame that is asked for.
    Page,
    /// A form that is sent, which leads to a page.
    Form,
    /// A page or a form that a service worker asks for on behalf of its pages.
    ///
    /// What it fetches is a copy, which has no destination any more. In some browsers it keeps the mode of a
    /// navigation, in others it gets that of its own origin (Fetch §5.4, the constructor of `Request`).
    Relayed,
    /// What an `object` or `embed` shows.
    Embedded,
    /// A script's call: fetch, XMLHttpRequest, a beacon, server-sent events.
    Call,
    /// A script, style, picture, font, manifest or track.
    Part,
    /// Sound or moving pictures.
    Media,
    /// The script of a worker, shared worker or service worker.
    Worker,
    /// The opening of a WebSocket (RFC 6455 §4.1).
    Socket,
    /// The question before a call to another origin (Fetch §4.8).
    Preflight,
    /// A sort that no rows know: reports, sign-in by the browser, what is yet to come.
    Other,
    /// It says nothing.
    Unsaid,
}

/// What a request says that it is for (Fetch Metadata §2.1 and §2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatedPurpose {
    /// To show something as a page.
    Navigation,
    /// Anything else: a part of a page, a script's call.
    Other,
}

impl StatedPurpose {
    /// What the header says; none where it says nothing, as that of older browsers and of tools.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
        let mode = value(&SEC_FETCH_MODE)?;
        Some(Self::said(mode, value(&SEC_FETCH_DEST), headers.contains_key(header::UPGRADE_INSECURE_REQUESTS)))
    }

    /// What the mode, the destination and the wish for `https:` say together.
    ///
    /// A service worker asks for a page by the mode of its own origin in some browsers: [`RequestKind::Relayed`].
    fn said(mode: &[u8], destination: Option<&[u8]>, upgrades: bool) -> Self {
        let relayed = mode == b"same-origin" && destination == Some(b"empty") && upgrades;
        if mode == b"navigate" || relayed { Self::Navigation } else { Self::Other }
    }
}

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

impl RequestKind {
    /// How many kinds rows can speak of.
    pub(crate) const RULED: usize = 9;

    /// What the request is. One that opens no WebSocket, and says that it does, is what it is without saying so.
    pub(crate) fn of(method: &Method, digest: &HeaderDigest<'_>, http: Http) -> Self {
        if *method == Method::OPTIONS && digest.has(Field::AccessControlRequestMethod) {
            return Self::Preflight;
        }
        if opens_socket(method, digest, http) {
            return Self::Socket;
        }
        let Some(mode) = digest.value(Field::SecFetchMode) else {
            return if is_report(method, digest) { Self::Other } else { Self::Unsaid };
        };
        let destination = digest.value(Field::SecFetchDest);
        match StatedPurpose::said(mode, destination, digest.has(Field::UpgradeInsecureRequests)) {
            StatedPurpose::Navigation => match destination {
                Some(b"object" | b"embed") => Self::Embedded,
                Some(b"empty") => Self::Relayed,
                _ if *method == Method::POST => Self::Form,
                _ => Self::Page,
            },
            StatedPurpose::Other => match destination {
                Some(b"audio" | b"video") => Self::Media,
                Some(b"worker" | b"sharedworker" | b"serviceworker") => Self::Worker,
                Some(
                    b"audioworklet" | b"font" | b"image" | b"json" | b"manifest" | b"paintworklet" | b"script"
                    | b"style" | b"text" | b"track" | b"xslt",
                ) => Self::Part,
                None | Some(b"empty" | b"document" | b"iframe" | b"frame" | b"object" | b"embed") => Self::Call,
                Some(_) => Self::Other,
            },
        }
    }

    /// Where rows keep what they say of the kind; none where they cannot speak of it.
    pub(crate) const fn place(self) -> Option<usize> {
        Some(match self {
            Self::Page => 0,
            Self::Form => 1,
            Self::Embedded => 2,
            Self::Call => 3,
            Self::Part => 4,
            Self::Media => 5,
            Self::Worker => 6,
            Self::Socket => 7,
            Self::Relayed => 8,
            Self::Preflight | Self::Other | Self::Unsaid => return None,
        })
    }

    /// Whether it is so common that all that a row says of requests is meant for it too.
    pub(crate) const fn is_common(self) -> bool {
        matches!(self, Self::Page | Self::Form | Self::Relayed | Self::Call | Self::Part)
    }

    /// Whether it leads to something that is shown as a page.
    pub(crate) const fn navigates(self) -> bool {
        matches!(self, Self::Page | Self::Form | Self::Relayed | Self::Embedded)
    }

    /// Whether the request is what it says it is.
    ///
    /// What is asked here stands in the specifications, since no browser may do otherwise: a page's script cannot
    /// choose the mode and the destination of what the browser asks for on behalf of an element.
    pub(crate) fn fits(self, method: &Method, digest: &HeaderDigest<'_>) -> bool {
        let asks = *method == Method::GET && !digest.has(Field::ContentType);
        let html = || digest.value(Field::Accept).is_some_and(|accept| accept.starts_with(b"text/html"));
        let shown = digest.has(Field::SecFetchUser) || digest.has(Field::UpgradeInsecureRequests);
        let mode = digest.value(Field::SecFetchMode);
        // An `Upgrade` to WebSocket that opens none.
        if self != Self::Socket && names_socket(digest) {
            return false;
        }
        match self {
            // HTML §4.10.21.5: a navigation gets, or it posts a form, of one of three types. JSON has its own signal.
            Self::Page => *method == Method::GET,
            Self::Form => digest
                .value(Field::ContentType)
                .is_none_or(|content| is_simple(content) || content.starts_with(b"application/json")),
            // It asks for the page that a page of its own led to.
            Self::Relayed => {
                let form = digest.value(Field::ContentType).is_none_or(is_simple);
                // A link with `download` leads to no page, and asks for anything.
                let download = asks && !digest.has(Field::Accept) && !shown;
                form && (html() || download)
                    && !digest.has(Field::SecFetchUser)
                    && matches!(*method, Method::GET | Method::POST)
            }
            // A page holds it, so somebody's page asked, and no person by himself.
            Self::Embedded => asks && !digest.has(Field::SecFetchUser) && !digest.is(Field::SecFetchSite, b"none"),
            Self::Part => asks && !shown,
            Self::Media => asks && !shown && !html(),
            // HTML §10.2.6.3: of the same origin, but for what a module imports.
            Self::Worker => asks && !shown && !html() && matches!(mode, Some(b"same-origin" | b"cors")),
            Self::Call => match mode {
                // Fetch §2.2.5: without CORS there are three methods, and the types of content that forms have.
                Some(b"no-cors") => {
                    let plain = digest.value(Field::ContentType).is_none_or(is_simple) || is_report(method, digest);
                    plain && !shown && matches!(*method, Method::GET | Method::HEAD | Method::POST)
                }
                // Over HTTP/2 a WebSocket is opened by CONNECT (RFC 8441 §4).
                Some(b"websocket") => *method == Method::CONNECT,
                _ => !shown,
            },
            Self::Socket => !shown && mode.is_none_or(|mode| mode == b"websocket"),
            Self::Preflight | Self::Other | Self::Unsaid => true,
        }
    }
}

/// Whether the request opens a WebSocket, with all that this takes (RFC 6455 §4.1).
pub(crate) fn opens_socket(method: &Method, digest: &HeaderDigest<'_>, http: Http) -> bool {
    let upgrades = || {
        digest.value(Field::Connection).is_some_and(|value| {
            value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
    };
    names_socket(digest)
        && *method == Method::GET
        && http == Http::One
        && upgrades()
        && digest.value(Field::SecWebSocketKey).is_some_and(|key| key.len() == KEY_CHARACTERS)
        && digest.is(Field::SecWebSocketVersion, b"13")
        && !digest.has(Field::ContentType)
}

/// Sixteen bytes in Base64.
const KEY_CHARACTERS: usize = 24;

fn names_socket(digest: &HeaderDigest<'_>) -> bool {
    digest.value(Field::Upgrade).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}

/// Whether a form could send this type of content (Fetch §2.2.2, CORS-safelisted).
fn is_simple(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [&b"text/plain"[..], b"application/x-www-form-urlencoded", b"multipart/form-data"]
        .iter()
        .any(|simple| essence.eq_ignore_ascii_case(simple))
}

/// Whether it is a report or a ping, which browsers send by themselves (Reporting API §3.2, CSP §5.3).
pub(crate) fn is_report(method: &Method, digest: &HeaderDigest<'_>) -> bool {
    let content = digest.value(Field::ContentType).unwrap_or_default();
    *method == Method::POST
        && [
            &b"application/reports+json"[..],
            b"application/csp-report",
            b"application/expect-ct-report+json",
            b"text/ping",
        ]
        .iter()
        .any(|report| content.starts_with(report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_navigates_by_its_kind_where_its_header_says_so() {
        use RequestKind::{Call, Embedded, Form, Media, Page, Part, Relayed, Unsaid};
        let navigation = Some(StatedPurpose::Navigation);
        let other = Some(StatedPurpose::Other);
        let upgrades = "upgrade-insecure-requests";
        for (method, fields, kind, purpose) in [
            (Method::GET, &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..], Page, navigation),
            (Method::GET, &[("sec-fetch-mode", "navigate")], Page, navigation),
            (Method::POST, &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], Form, navigation),
            (Method::GET, &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "embed")], Embedded, navigation),
            (Method::GET, &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "empty")], Relayed, navigation),
            (
                Method::GET,
                &[("sec-fetch-mode", "same-origin"), ("sec-fetch-dest", "empty"), (upgrades, "1")],
                Relayed,
                navigation,
            ),
            (Method::GET, &[("sec-fetch-mode", "same-origin"), ("sec-fetch-dest", "empty")], Call, other),
            (Method::GET, &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), (upgrades, "1")], Call, other),
            (Method::GET, &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")], Part, other),
            (Method::GET, &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "audio")], Media, other),
            (Method::GET, &[("sec-fetch-dest", "document"), (upgrades, "1")], Unsaid, None),
            (Method::GET, &[], Unsaid, None),
        ] {
            let headers: HeaderMap = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let found = RequestKind::of(&method, &HeaderDigest::of(&headers), Http::Two);
            assert_eq!((found, StatedPurpose::of(&headers)), (kind, purpose), "{method} {fields:?}");
            assert_eq!(found.navigates(), purpose == navigation, "{method} {fields:?}");
        }
    }
}
