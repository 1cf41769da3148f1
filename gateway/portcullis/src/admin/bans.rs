//! Bans by hand, on the admin listener.
//!
//! ```text
//! GET    /bans?limit=100       the bans that stand, the newest first
//! POST   /bans                 {"kind": "user", "name": "ann", "for_secs": 3600, "reason": "..."}
//! DELETE /bans/{kind}/{name}   both percent-encoded; the kind `key` takes the key that the list shows
//! ```
//!
//! There is no password, so it is made sure that no web page speaks through the browser of somebody who can reach the
//! listener: a change needs a header that a page cannot send to another origin without leave (which is never given), and
//! a host that is a name other than `localhost` is refused, since a page can point its own name at any address.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use pingora::protocols::http::ServerSession;
use portcullis_velocity::{BanError, BannedBy, Bans, Key, ListedBan, Millis, Order};
use serde::{Deserialize, Serialize};

use super::{Admin, answer};
use crate::clock::Now;
use crate::gateway::{Subject, SubjectError};

/// The header without which nothing is changed.
pub(crate) const CHANGE_HEADER: &str = "portcullis-admin";

/// The path of all this.
pub(crate) const PATH: &str = "/bans";

/// The longest ban: ten years. A longer one is a slip of the unit.
pub(crate) const LONGEST_BAN: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The most bans that are listed at once.
const MOST_LISTED: usize = 10_000;

/// Bans that are listed where nobody says how many.
const USUALLY_LISTED: usize = 1_000;

/// The largest body: a name and a reason, even where every byte of them is escaped, and room to spare.
const MAX_BODY_BYTES: usize = 16 << 10;

/// How much of a body that is not wanted is read.
const MAX_DRAINED_BYTES: usize = 1 << 20;

/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(5);

/// A ban as a person orders it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BanOrder {
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) for_secs: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
    #[serde(default)]
    pub(crate) reason: String,
}

/// A ban as it is listed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct BanLine {
    pub(crate) kind: String,
    /// What a person called it; none for one that the policy made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// By which it can be removed without a name.
    pub(crate) key: String,
    /// `hand` or `policy`.
    pub(crate) by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) since: String,
    pub(crate) until: String,
    pub(crate) remaining_secs: u64,
}

/// The bans that stand.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct BanList {
    /// All that there are, even those that are not listed.
    pub(crate) held: u64,
    pub(crate) bans: Vec<BanLine>,
}

/// Why something was not done.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Refusal {
    #[serde(skip, default)]
    status: StatusCode,
    pub(crate) error: String,
    pub(crate) help: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status, error: error.into(), help: help.into() }
    }
}

impl From<SubjectError> for Refusal {
    fn from(error: SubjectError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.fault, error.help)
    }
}

/// The answer to what was done, or was not.
pub(super) async fn answered(session: &mut ServerSession, done: Result<String, Refusal>) -> Response<Vec<u8>> {
    let (status, text) = match done {
        Ok(text) => (StatusCode::OK, text),
        Err(refusal) => {
            // What is left of a body is no next request; read, it does not reset the connection before the answer.
            session.set_keepalive(None);
            let _ = tokio::time::timeout(BODY_WITHIN, drain(session)).await;
            (refusal.status, json(&refusal))
        }
    };
    answer(status, "application/json", text)
}

/// Whether a path is one of those of bans.
pub(super) fn is_path(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Admin {
    /// Answers a request about bans.
    pub(super) async fn bans(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let done = self.do_with_bans(session).await;
        answered(session, done).await
    }

    async fn do_with_bans(&self, session: &mut ServerSession) -> Result<String, Refusal> {
        let request = session.req_header();
        check_host(&request.headers, &request.uri)?;
        let path = request.uri.path().to_owned();
        let named = path.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/')).filter(|rest| !rest.is_empty());
        match (&request.method, named) {
            (&Method::GET, None) => {
                let limit = limit(request.uri.query())?;
                Ok(json(&self.listed(limit, self.gateway.clock.now())))
            }
            (&Method::POST, None) => {
                check_may_change(&request.headers)?;
                let body = read_body(session).await?;
                self.ban(&body, self.gateway.clock.now())
            }
            (&Method::DELETE, Some(named)) => {
                check_may_change(&request.headers)?;
                self.lift(named, self.gateway.clock.now())
            }
            _ => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this cannot be done here",
                "list with `GET /bans`, ban with `POST /bans`, and lift a ban with `DELETE /bans/{kind}/{name}`",
            )),
        }
    }

    fn listed(&self, at_most: usize, now: Now) -> BanList {
        let bans = &self.gateway.bans;
        // So that `held` counts none that is over.
        bans.sweep(now.millis);
        let lines = bans.list(at_most, now.millis).iter().map(|listed| line(listed, now)).collect();
        BanList { held: bans.stats().held, bans: lines }
    }

    fn ban(&self, body: &[u8], now: Now) -> Result<String, Refusal> {
        let bad = |error: String, help: &str| Refusal::new(StatusCode::BAD_REQUEST, error, help);
        let order: BanOrder = serde_json::from_slice(body).map_err(|error| {
            bad(
                format!("the body is no ban: {error}"),
                "send `kind`, `name`, `for_secs` or `until`, and `reason` as JSON",
            )
        })?;
        let lasts = length(&order, now)?;
        let subject = Subject::of(self.gateway.counters.hasher(), &order.kind, &order.name)?;
        if let Some(proxy) = self.proxies.iter().find(|proxy| subject.touches(**proxy)) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                format!(
                    "`{}` is, or holds, a trusted proxy: `client_address.trusted_proxies` names {proxy}",
                    subject.name
                ),
                "everybody behind that proxy would be refused; ban the clients behind it by their own addresses",
            ));
        }
        let until = Millis(now.millis.0.saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)));
        let wanted = Order { kind: subject.kind, name: &subject.name, reason: &order.reason, until };
        self.gateway.bans.ban_by_hand(subject.key, &wanted, now.millis).map_err(|error| {
            let (status, help) = match error {
                BanError::TooMany => (StatusCode::CONFLICT, "list them with `portcullis ban list`"),
                BanError::Over => (StatusCode::BAD_REQUEST, "choose a later time"),
                BanError::TooLong { .. } | BanError::Control { .. } => (StatusCode::BAD_REQUEST, "choose another text"),
            };
            Refusal::new(status, error.to_string(), help)
        })?;
        self.changed.notify_one();
        // Not by its name: no identifier of a caller is in a log.
        tracing::info!(kind = subject.kind.name(), key = %subject.key, secs = lasts.as_secs(), "banned by hand");
        Ok(json(&BanLine {
            kind: subject.kind.name().to_owned(),
            name: Some(subject.name),
            key: subject.key.to_string(),
            by: by(BannedBy::Hand).to_owned(),
            reason: Some(order.reason).filter(|reason| !reason.is_empty()),
            since: date(now.unix_millis().0),
            until: date(now.later(lasts).unix_millis().0),
            remaining_secs: lasts.as_secs(),
        }))
    }

    fn lift(&self, named: &str, now: Now) -> Result<String, Refusal> {
        let (kind, name) = named.split_once('/').ok_or_else(|| {
            Refusal::new(StatusCode::BAD_REQUEST, "the name is missing", "as in `DELETE /bans/user/ann`")
        })?;
        let (kind, name) = (decoded(kind)?, decoded(name)?);
        let key = if kind == KEY {
            name.parse::<Key>().map_err(|error| {
                Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), "copy it from the list of bans")
            })?
        } else {
            Subject::of(self.gateway.counters.hasher(), &kind, &name)?.key
        };
        let lifted = self.gateway.bans.lift(key).filter(|ban| ban.until > now.millis).ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_FOUND,
                format!("there is no such ban on the {kind}"),
                "`portcullis ban list` shows those that stand",
            )
        })?;
        self.changed.notify_one();
        tracing::info!(kind = lifted.kind.name(), %key, "a ban was lifted by hand");
        Ok(json(&serde_json::json!({
            "kind": lifted.kind.name(), "key": key.to_string(), "remaining_secs": remaining(lifted.until, now),
        })))
    }
}

/// What takes the place of a kind where a ban is named by its key.
pub(crate) const KEY: &str = "key";

fn line(listed: &ListedBan, now: Now) -> BanLine {
    let unix_ms = now.unix_millis().0;
    let age_ms = u64::try_from(listed.ban.age(now.millis).as_millis()).unwrap_or(u64::MAX);
    let left_ms = listed.ban.until.0.saturating_sub(now.millis.0);
    BanLine {
        kind: listed.ban.kind.name().to_owned(),
        name: listed.name.as_deref().map(str::to_owned),
        key: listed.key.to_string(),
        by: by(listed.ban.by).to_owned(),
        reason: listed.reason_text.as_deref().filter(|reason| !reason.is_empty()).map(str::to_owned),
        since: date(unix_ms.saturating_sub(age_ms)),
        until: date(unix_ms.saturating_add(left_ms)),
        remaining_secs: remaining(listed.ban.until, now),
    }
}

const fn by(by: BannedBy) -> &'static str {
    match by {
        BannedBy::Policy => "policy",
        BannedBy::Hand => "hand",
    }
}

/// Rounded up, so that a ban that stands has at least a second left.
const fn remaining(until: Millis, now: Now) -> u64 {
    until.0.saturating_sub(now.millis.0).div_ceil(1000)
}

/// A time in RFC 3339, to the second.
pub(super) fn date(unix_ms: u64) -> String {
    let secs = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(secs).map_or_else(|_| String::new(), |time| time.to_string())
}

/// How long an ordered ban lasts from now on.
fn length(order: &BanOrder, now: Now) -> Result<Duration, Refusal> {
    let bad = |error: String, help: &str| Err(Refusal::new(StatusCode::BAD_REQUEST, error, help));
    let lasts = match (order.for_secs, &order.until) {
        (Some(secs), None) => Duration::from_secs(secs),
        (None, Some(until)) => {
            let Ok(until) = until.trim().parse::<jiff::Timestamp>() else {
                return bad("`until` is no time".to_owned(), "write it as in `2030-01-31T12:00:00Z`");
            };
            let until_ms = u64::try_from(until.as_millisecond()).unwrap_or(0);
            Duration::from_millis(until_ms.saturating_sub(now.unix_millis().0))
        }
        _ => {
            return bad("a ban has one end".to_owned(), "say either `for_secs`, in seconds, or `until`, as a time");
        }
    };
    if lasts.is_zero() {
        return bad(BanError::Over.to_string(), "choose a later time");
    }
    if lasts > LONGEST_BAN {
        return bad(
            "a ban lasts ten years at most".to_owned(),
            "`for_secs` is in seconds; for ever is a rule's to say",
        );
    }
    Ok(lasts)
}

fn limit(query: Option<&str>) -> Result<usize, Refusal> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(USUALLY_LISTED) };
    let written = query.strip_prefix("limit=").and_then(|number| number.parse().ok());
    written.filter(|number| (1..=MOST_LISTED).contains(number)).ok_or_else(|| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "the query is not understood",
            format!("`?limit=` takes 1 to {MOST_LISTED}"),
        )
    })
}

fn decoded(text: &str) -> Result<String, Refusal> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "the path is no UTF-8 when it is decoded",
            "percent-encode the bytes of UTF-8",
        )
    })
}

/// Refuses what a page may have sent whose name leads to this listener.
pub(super) fn check_host(headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).filter(|_| hosts.next().is_none());
    let is_own = |host: &str| {
        let authority: Option<http::uri::Authority> = host.parse().ok();
        authority.is_some_and(|authority| is_address_or_localhost(authority.host()) && !host.contains('@'))
    };
    let target = uri.authority().is_none_or(|authority| is_own(authority.as_str()));
    if host.is_some_and(is_own) && target {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "the request is to a name, which any web page could lead here",
        "ask by an address, as in `http://127.0.0.1:9090/bans`, or by `localhost`",
    ))
}

fn is_address_or_localhost(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

pub(super) fn check_may_change(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get(CHANGE_HEADER).is_some_and(|value| value == "1") {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        format!("a change needs the header `{CHANGE_HEADER}: 1`"),
        format!("as in `curl -H '{CHANGE_HEADER}: 1'`; a web page cannot send it"),
    ))
}

pub(super) async fn read_body(session: &mut ServerSession) -> Result<Vec<u8>, Refusal> {
    let too_large = || {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {MAX_BODY_BYTES} bytes"),
            format!("a name and a reason have at most {} each", Bans::LONGEST_TEXT),
        )
    };
    let gone =
        || Refusal::new(StatusCode::BAD_REQUEST, "the body ended, or stopped, before it was whole", "send it again");
    let whole = async {
        let mut body = Vec::new();
        while let Some(part) = session.read_request_body().await.map_err(|_| gone())? {
            if body.len() + part.len() > MAX_BODY_BYTES {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    };
    tokio::time::timeout(BODY_WITHIN, whole).await.unwrap_or_else(|_| Err(gone()))
}

/// Reads the rest of a body that is not wanted, where it is not too much.
async fn drain(session: &mut ServerSession) {
    let mut left = MAX_DRAINED_BYTES;
    while let Ok(Some(part)) = session.read_request_body().await {
        left = left.saturating_sub(part.len());
        if left == 0 {
            return;
        }
    }
}

pub(super) fn json(value: &impl Serialize) -> String {
    // What is written here has text for keys and no values that JSON lacks.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn only_addresses_and_localhost_are_hosts() {
        for (host, own) in [
            ("127.0.0.1:9090", true),
            ("127.0.0.1", true),
            ("[::1]:9090", true),
            ("LocalHost:9090", true),
            ("0.0.0.0:9090", true),
            ("localhost.evil.example:9090", false),
            ("evil.example", false),
            ("evil.example:9090", false),
            ("evil.example@127.0.0.1", false),
            ("127.0.0.1.evil.example", false),
            ("2130706433", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(check_host(&headers, &Uri::from_static("/bans")).is_ok(), own, "{host}");
            let target = Uri::from_static("http://evil.example/bans");
            assert!(check_host(&headers, &target).is_err(), "{host} and another in the target");
            headers.append(header::HOST, "127.0.0.1".parse().unwrap());
            assert!(check_host(&headers, &Uri::from_static("/bans")).is_err(), "{host} and another");
        }
        assert!(check_host(&HeaderMap::new(), &Uri::from_static("/bans")).is_err());
    }

    #[test]
    fn a_ban_has_one_end_which_is_in_the_next_ten_years() {
        let now = Clock::start().now();
        let until = |ahead: i64| {
            let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead);
            Some(time.to_string())
        };
        for (for_secs, until, secs) in [
            (Some(60), None, Some(60)),
            (None, until(3600), Some(3599)),
            (None, until(-3600), None),
            (None, Some("tomorrow".to_owned()), None),
            (None, None, None),
            (Some(60), until(60), None),
            (Some(0), None, None),
            (Some(u64::MAX), None, None),
            (Some(LONGEST_BAN.as_secs() + 1), None, None),
            (None, Some("9999-01-01T00:00:00Z".to_owned()), None),
        ] {
            let order = BanOrder { kind: String::new(), name: String::new(), for_secs, until, reason: String::new() };
            match (length(&order, now), secs) {
                (Ok(lasts), Some(secs)) => assert!(lasts.as_secs().abs_diff(secs) <= 2, "{order:?}: {lasts:?}"),
                (Err(refusal), None) => assert!(!refusal.help.is_empty()),
                (found, _) => panic!("{order:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_list_is_bounded() {
        for (query, at_most) in [
            (None, Some(1_000)),
            (Some(""), Some(1_000)),
            (Some("limit=7"), Some(7)),
            (Some("limit=10000"), Some(10_000)),
            (Some("limit=0"), None),
            (Some("limit=10001"), None),
            (Some("limit=-1"), None),
            (Some("after=3"), None),
        ] {
            assert_eq!(limit(query).ok(), at_most, "{query:?}");
        }
    }

    #[test]
    fn the_paths_of_bans_are_told_from_others() {
        for (path, is_one) in
            [("/bans", true), ("/bans/", true), ("/bans/user/a/b", true), ("/bansx", false), ("/", false)]
        {
            assert_eq!(is_path(path), is_one, "{path}");
        }
    }
}
