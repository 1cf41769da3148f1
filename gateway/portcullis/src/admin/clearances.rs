//! Taking clearances back by hand, on the admin listener. It is guarded as bans by hand are.
//!
//! ```text
//! GET  /clearances/revoked     what is taken back, the newest first
//! POST /clearances/revoked     {"id": "…"}, {"cohort": "…"} or {"all": true}
//! ```

use http::{Method, Response, StatusCode};
use pingora::protocols::http::ServerSession;
use portcullis_challenge::{Cohort, MAX_CLEARANCE_TTL, Revoked};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::bans::{Refusal, answered, check_host, check_may_change, date, json, read_body};
use crate::clock::Now;
use crate::gateway::challenge::{hex, id};

/// The path of all this.
pub(crate) const PATH: &str = "/clearances/revoked";

/// The most that is listed.
const MOST_LISTED: usize = 10_000;

/// What a person takes back; one of the three.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeOrder {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cohort: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) all: bool,
}

/// What was taken back, as it is listed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RevokedLine {
    /// `id`, `cohort` or `all`.
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) since: String,
    /// From when on none that it means can be good.
    pub(crate) until: String,
}

/// All that is taken back.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RevokedList {
    pub(crate) held: u64,
    pub(crate) revoked: Vec<RevokedLine>,
}

impl Admin {
    /// Answers a request about clearances.
    pub(super) async fn clearances(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let done = self.do_with_clearances(session).await;
        answered(session, done).await
    }

    async fn do_with_clearances(&self, session: &mut ServerSession) -> Result<String, Refusal> {
        let request = session.req_header();
        check_host(&request.headers, &request.uri)?;
        match request.method {
            Method::GET => Ok(json(&self.revoked())),
            Method::POST => {
                check_may_change(&request.headers)?;
                let body = read_body(session).await?;
                self.revoke(&body, self.gateway.clock.now())
            }
            _ => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this cannot be done here",
                format!("list with `GET {PATH}`, and take back with `POST {PATH}`"),
            )),
        }
    }

    fn revoked(&self) -> RevokedList {
        let list = self.gateway.challenge.revocations();
        let mut entries: Vec<_> = list.entries().collect();
        entries.sort_by_key(|(_, since)| std::cmp::Reverse(*since));
        let lines = entries.iter().take(MOST_LISTED).map(|(revoked, since)| line(*revoked, since.0));
        RevokedList { held: entries.len() as u64, revoked: lines.collect() }
    }

    fn revoke(&self, body: &[u8], now: Now) -> Result<String, Refusal> {
        const HELP: &str = "send one of `id`, `cohort` and `all` as JSON; audit records have id and cohort";
        let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error, HELP);
        let order: RevokeOrder = serde_json::from_slice(body)
            .map_err(|error| bad(format!("the body says nothing to take back: {error}")))?;
        let revoked = match (&order.id, &order.cohort, order.all) {
            (Some(name), None, false) => {
                Revoked::Id(id(name).ok_or_else(|| bad("the id of a clearance is 32 hexadecimal digits".to_owned()))?)
            }
            (None, Some(name), false) => {
                Revoked::Cohort(name.parse::<Cohort>().map_err(|error| bad(error.to_string()))?)
            }
            (None, None, true) => Revoked::All,
            _ => return Err(bad("one thing is taken back at a time".to_owned())),
        };
        let at = now.unix_millis();
        self.gateway.challenge.revoke(revoked, at).map_err(|full| {
            Refusal::new(StatusCode::CONFLICT, full.to_string(), "`portcullis clearance list` shows them")
        })?;
        self.changed.notify_one();
        let line = line(revoked, at.0);
        tracing::info!(kind = line.kind, name = line.name, "clearances were taken back by hand");
        Ok(json(&line))
    }
}

fn line(revoked: Revoked, since_ms: u64) -> RevokedLine {
    let (kind, name) = match revoked {
        Revoked::Id(id) => ("id", Some(hex(&id))),
        Revoked::Cohort(cohort) => ("cohort", Some(cohort.to_string())),
        Revoked::All => ("all", None),
    };
    let life = u64::try_from(MAX_CLEARANCE_TTL.as_millis()).unwrap_or(u64::MAX);
    RevokedLine { kind: kind.to_owned(), name, since: date(since_ms), until: date(since_ms.saturating_add(life)) }
}
