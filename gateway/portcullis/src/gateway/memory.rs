//! What a browser did before: read when its next request is judged, noted when one is over.

use std::net::IpAddr;

use http::{HeaderMap, header};
use portcullis_signals::{Claim, Context, StatedPurpose};
use portcullis_velocity::{
    Content, Contexts, Cookie, Key, KeyHasher, Millis, Purpose, RequestNote, SessionPrints, SetCookie,
};

use super::answer::Answer;
use super::keys::{Scope, client_bytes, prefix_bytes};
use crate::accept::TlsInfo;

/// The memory of what browsers did, and of the connections that sessions came by.
#[derive(Debug)]
pub struct ClientMemory {
    /// By address and claim.
    pub contexts: Contexts,
    /// By session and network.
    pub sessions: SessionPrints,
}

/// Of what a request is noted when it is over; nothing of clients that claim to be no browser, as nothing that is
/// remembered is held against them.
#[derive(Clone, Copy, Debug)]
pub struct Recall {
    key: Key,
    cookie: Cookie,
    /// What the request says it is for; nothing where it says nothing.
    purpose: Option<Purpose>,
    arrived: Millis,
}

/// Who asks, and by what.
pub(super) struct Asking<'a> {
    pub(super) client: IpAddr,
    pub(super) claim: &'a Claim,
    pub(super) session: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    /// The handshake of the client's own connection.
    pub(super) tls: Option<&'a TlsInfo>,
    /// Whether the connection brings its first request.
    pub(super) connection: Connection,
}

/// Whether a connection was seen before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Connection {
    New,
    Known,
}

impl ClientMemory {
    /// What is remembered of the client, with the hello of a new connection, and what its request is noted by.
    pub(super) fn recall(&self, hasher: &KeyHasher, asking: &Asking<'_>, now: Millis) -> (Context, Option<Recall>) {
        if !asking.claim.kind.is_browser() {
            return (Context::default(), None);
        }
        let key = context_key(hasher, asking.client, asking.claim);
        if let (Connection::New, Some(tls)) = (asking.connection, asking.tls) {
            self.contexts.note_hello(key, tls.extension_order(), now);
        }
        let known = self.contexts.read(key, now);
        let session = asking.session.zip(asking.tls).map_or(0, |(session, tls)| {
            let print = tls.stable();
            // Not the last part: a browser offers other protocols for a WebSocket.
            let print = hasher.key(Scope::PRINT.0, &[print.ciphers().as_bytes(), print.extensions().as_bytes()]);
            // With the network in the key nobody makes trouble for a session of somebody else by its bare name.
            let session = hasher.key(Scope::SESSION.0, &[session.as_bytes(), &prefix_bytes(asking.client)]);
            let number = print.to_bytes().first_chunk().map_or(0, |half| u64::from_le_bytes(*half));
            self.sessions.note(session, number, now)
        });
        let context = Context {
            cookieless: known.cookieless,
            pages: known.pages,
            other_requests: known.other_requests,
            hellos: known.hellos,
            hello_orders: known.hello_orders,
            session_prints: session,
        };
        let carried = asking.headers.contains_key(header::COOKIE);
        let recall = Recall {
            key,
            cookie: if carried { Cookie::Carried } else { Cookie::Absent },
            purpose: purpose(asking.headers),
            arrived: now,
        };
        (context, Some(recall))
    }

    /// Notes a request that is over, with the origin's answer; none where the origin was not asked or did not answer.
    pub(super) fn remember(&self, recall: &Recall, answer: Option<&Answer>, now: Millis) {
        let is_page = answer.is_some_and(|answer| answer.is_page);
        let purpose = recall.purpose.unwrap_or(if is_page { Purpose::Navigation } else { Purpose::Other });
        let note = RequestNote {
            arrived: recall.arrived,
            purpose,
            cookie: recall.cookie,
            set_cookie: if answer.is_some_and(|answer| answer.sets_cookie) {
                SetCookie::Sent
            } else {
                SetCookie::Absent
            },
            content: if is_page { Content::Page } else { Content::Other },
        };
        self.contexts.note_request(recall.key, note, now);
    }
}

/// The parsed claim, not the User-Agent, so that an address has few keys.
fn context_key(hasher: &KeyHasher, client: IpAddr, claim: &Claim) -> Key {
    let device: &[u8] = if claim.mobile { b"mobile" } else { b"" };
    hasher.key(
        Scope::CONTEXT.0,
        &[
            &client_bytes(client),
            claim.family_name().as_bytes(),
            &claim.version.to_be_bytes(),
            claim.platform.name().as_bytes(),
            device,
        ],
    )
}

/// What a request says it is for, by the rule that it is judged by too.
fn purpose(headers: &HeaderMap) -> Option<Purpose> {
    Some(match StatedPurpose::of(headers)? {
        StatedPurpose::Navigation => Purpose::Navigation,
        StatedPurpose::Other => Purpose::Other,
    })
}
