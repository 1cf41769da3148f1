//! Requests over HTTP/2 that can be cut though their clients leave them open.
//!
//! Pingora serves a request until its client has said that its body is over, and over HTTP/2 it waits for that without
//! any time. What serves the request is dropped here instead, which resets its stream and no other (RFC 9113 §8.1: by
//! NO_ERROR where the answer is whole).

use std::{
    cell::Cell,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use async_trait::async_trait;
use http::Method;
use pingora::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream},
    protocols::http::{ServerSession, v2::server::H2Options},
    proxy::{HttpProxy, ProxyHttp},
    server::ShutdownWatch,
};
use tokio::time::{Sleep, sleep_until};

use super::stats::{AcceptStats, Unjudged};

tokio::task_local! {
    static CUT: CutAt;
}

/// When the request that a task serves is to be cut; never where nothing is said.
#[derive(Default)]
struct CutAt(Cell<Option<Pin<Box<Sleep>>>>);

impl CutAt {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut timer) = self.0.take() else { return Poll::Pending };
        let polled = timer.as_mut().poll(cx);
        self.0.set(Some(timer));
        polled
    }
}

/// Has the HTTP/2 request that this task serves cut at `at`, unless it is over before. What serves it is dropped then,
/// and nothing of it is called. Does nothing where the task serves none.
pub fn cut_request_at(at: Instant) {
    // A task without one serves HTTP/1.
    let _ = CUT.try_with(|cut| cut.0.set(Some(Box::pin(sleep_until(at.into())))));
}

/// A proxy for HTTP/2 connections, the requests of which [`cut_request_at`] cuts.
pub(super) struct Cuttable<P> {
    pub(super) http: Arc<HttpProxy<P>>,
    pub(super) stats: Arc<AcceptStats>,
}

#[async_trait]
impl<P> HttpServerApp for Cuttable<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if session.req_header().method == Method::CONNECT {
            // Pingora answers it without having it judged.
            self.stats.unjudged.add(Unjudged::MethodNotAllowed);
        }
        if session.is_body_done() {
            // Its client can leave nothing open.
            return self.http.process_new_http(session, shutdown).await;
        }
        let served = async {
            tokio::select! {
                biased;
                done = self.http.process_new_http(session, shutdown) => done,
                () = poll_fn(|cx| CUT.try_with(|cut| cut.poll(cx)).unwrap_or(Poll::Pending)) => None,
            }
        };
        CUT.scope(CutAt::default(), served).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.http.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.http.server_options()
    }
}
