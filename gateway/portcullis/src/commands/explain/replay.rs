//! Captured clients, played back to a gateway.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use portcullis_policy::model::Route;

use super::captured::{Captured, CapturedRequest, Kind};
use crate::accept::{ConnInfo, PeerAddr, TlsInfo};
use crate::clock::Now;
use crate::gateway::{Answer, Gateway, Judged, Policy};

/// A gateway that nobody else talks to, and the time that it has.
///
/// What it does with a request is what it does with one from a socket: the same code judges it, bans its client and
/// counts its answer. Only the socket, the clock and the origin are played. The origin answers every request, whatever
/// was decided: the captured client had its answer, and what it sent next followed from that.
pub(super) struct Replay {
    gateway: Gateway,
    policy: Arc<Policy>,
    now: Now,
    clients: u32,
}

/// One request that was played back, and what was found about it.
pub(super) struct Played<'a> {
    /// The line that it stands in.
    pub(super) captured: &'a Captured,
    /// The request.
    pub(super) request: &'a CapturedRequest,
    /// What was found about it.
    pub(super) judged: Box<Judged>,
}

/// How long after one request of a client its next one comes; captures know no times.
const PAUSE: Duration = Duration::from_millis(300);

impl Replay {
    /// Begins with a gateway that has seen nothing.
    pub(super) fn new(gateway: Gateway) -> Self {
        let policy = gateway.policy.load_full();
        Self { now: gateway.clock.started(), gateway, policy, clients: 0 }
    }

    /// Plays all requests of one client in their order, and says what was found about each.
    pub(super) fn client<'a>(&mut self, captures: &[&'a Captured]) -> Vec<Played<'a>> {
        let address = address(self.clients);
        self.clients = self.clients.wrapping_add(1);
        let mut connections = HashMap::new();
        let mut played = Vec::new();
        for captured in captures {
            // Who only shakes hands gives a gateway nothing to judge.
            let Some(request) = &captured.request else { continue };
            self.now = self.now.later(PAUSE);
            let conn = connections
                .entry((captured.connection.0.as_str(), captured.connection.1))
                .or_insert_with(|| connection(captured, request, address, self.now));
            played.push(Played { captured, request, judged: self.request(request, conn) });
        }
        played
    }

    /// The route that judged a request.
    pub(super) fn route(&self, judged: &Judged) -> &Route {
        self.policy.rules().route(judged.decision.route)
    }

    fn request(&self, request: &CapturedRequest, conn: &ConnInfo) -> Box<Judged> {
        conn.begin_request();
        let judged = self.gateway.judge(&self.policy, &request.head(), conn, request.http(), None, self.now);
        self.gateway.ban_if_decided(&self.policy, &judged, self.now);
        self.gateway.settle(&self.policy, &judged, Some(&answer(request, self.route(&judged))), self.now);
        conn.end_request();
        judged
    }
}

/// A connection as its first request shows it.
fn connection(captured: &Captured, first: &CapturedRequest, client: SocketAddr, now: Now) -> ConnInfo {
    let tls = TlsInfo::new(captured.hello.clone(), first.agreed);
    let accepted_at = UNIX_EPOCH + Duration::from_millis(now.unix_millis().0);
    let conn =
        ConnInfo::new("captures".into(), PeerAddr(client), client, accepted_at, now.instant, Some(Box::new(tls)));
    if let Some(print) = &first.http2 {
        conn.keep_http2_print(Box::new(print.clone()));
    }
    conn
}

/// What an origin answers that knows every path, and whose session is new on every answer.
fn answer(request: &CapturedRequest, route: &Route) -> Answer {
    Answer { sets_cookie: true, is_page: request.kind == Kind::Page, ..Answer::played(200, route) }
}

/// The address of a client: one of those that stand between an access provider and its customers (100.64.0.0/10, RFC
/// 6598), in a /24 that it has for itself up to 16,384 clients. Nothing is known of such an address, as of most homes.
fn address(client: u32) -> SocketAddr {
    const PREFIXES: u32 = 1 << 14;
    let prefix = (client % PREFIXES) << 8;
    let host = 1 + client / PREFIXES % 254;
    let base = u32::from(Ipv4Addr::new(100, 64, 0, 0));
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(base | prefix | host)), 49_152)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use portcullis_intel::Intel;

    use super::*;

    #[test]
    fn clients_have_addresses_of_which_nothing_is_known_in_prefixes_of_their_own() {
        let intel = Intel::embedded();
        let mut prefixes = HashSet::new();
        for client in 0..16_384 {
            let IpAddr::V4(address) = address(client).ip() else { panic!("expected IPv4") };
            let known = intel.lookup(address.into());
            assert!(known.asn.is_none() && known.classes.is_empty(), "{address}: {known:?}");
            let [a, b, c, _] = address.octets();
            assert!(prefixes.insert([a, b, c]), "{address}");
        }
        assert_ne!(address(0), address(16_384));
    }
}
