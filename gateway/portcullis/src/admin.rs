//! The admin listener: metrics, health, bans and clearances taken back, on an address of its own.

pub(crate) mod bans;
pub(crate) mod clearances;

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use ipnetwork::IpNetwork;
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use tokio::sync::Notify;

use crate::accept::AcceptStats;
use crate::gateway::Gateway;

/// What answers on the admin listener. Paths are matched exactly; there are no cookies and no state.
#[derive(Clone, Debug)]
pub struct Admin {
    gateway: Arc<Gateway>,
    accept: Arc<AcceptStats>,
    /// Those whose word is taken for an address, and who are never banned.
    proxies: Arc<[IpNetwork]>,
    /// Told when a ban was made or lifted.
    changed: Arc<Notify>,
}

impl Admin {
    /// The admin pages of a gateway that trusts these proxies. `changed` is told of every ban made or lifted here.
    pub const fn new(
        gateway: Arc<Gateway>,
        accept: Arc<AcceptStats>,
        proxies: Arc<[IpNetwork]>,
        changed: Arc<Notify>,
    ) -> Self {
        Self { gateway, accept, proxies, changed }
    }

    fn metrics(&self) -> Response<Vec<u8>> {
        match self.gateway.metrics.render(&self.gateway, &self.accept) {
            Ok(text) => answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                answer(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT,
                    "the metrics could not be written; see the log\n".to_owned(),
                )
            }
        }
    }
}

impl Admin {
    /// What was counted of each site this month; an empty list where there are no sites.
    fn sites(&self) -> Response<Vec<u8>> {
        let now = self.gateway.clock.now().unix_millis();
        let usage = self.gateway.sites.as_ref().map(|sites| sites.usage(now)).unwrap_or_default();
        // What is written here has text for keys and no values that JSON lacks.
        let text = serde_json::to_string(&usage).unwrap_or_default();
        answer(StatusCode::OK, "application/json", text + "\n")
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        if bans::is_path(session.req_header().uri.path()) {
            return self.bans(session).await;
        }
        if session.req_header().uri.path() == clearances::PATH {
            return self.clearances(session).await;
        }
        let request = session.req_header();
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned());
        }
        match request.uri.path() {
            "/metrics" => self.metrics(),
            "/sites" => self.sites(),
            "/live" => answer(StatusCode::OK, TEXT, "live\n".to_owned()),
            "/ready" if self.gateway.metrics.is_ready() => answer(StatusCode::OK, TEXT, "ready\n".to_owned()),
            "/ready" => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n".to_owned()),
            _ => answer(
                StatusCode::NOT_FOUND,
                TEXT,
                "try /metrics, /live, /ready, /bans, /clearances/revoked or /sites\n".to_owned(),
            ),
        }
    }
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Vec<u8>> {
    let length = text.len();
    let mut response = Response::new(text.into_bytes());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
