//! Which addresses are let in at all, decided before anything is set up for them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use ipnetwork::IpNetwork;
use pingora::listeners::ConnectionFilter;

use super::stats::{AcceptStats, Refusal};

/// Says whether an address may connect at all, as bans and connection limits do.
///
/// Asked once for each connection, on the accepting task: to be answered in microseconds, without waiting.
pub trait Admission: fmt::Debug + Send + Sync {
    /// Whether `address` may connect.
    fn admits(&self, address: IpAddr) -> bool;
}

/// What is asked about the peer of a socket right after accept.
#[derive(Debug)]
pub(super) struct PeerFilter {
    /// On a listener with PROXY headers: who may send them.
    pub(super) proxy_from: Option<Vec<IpNetwork>>,
    /// Asked about the peer, or on a listener with PROXY headers later about the client.
    pub(super) admission: Option<Arc<dyn Admission>>,
    pub(super) stats: Arc<AcceptStats>,
}

impl PeerFilter {
    fn refusal(&self, peer: IpAddr) -> Option<Refusal> {
        let peer = peer.to_canonical();
        match (&self.proxy_from, &self.admission) {
            (Some(listed), _) => (!listed.iter().any(|network| network.contains(peer))).then_some(Refusal::ProxyPeer),
            (None, Some(admission)) => (!admission.admits(peer)).then_some(Refusal::Address),
            (None, None) => None,
        }
    }
}

#[async_trait]
impl ConnectionFilter for PeerFilter {
    async fn should_accept(&self, peer: Option<&SocketAddr>) -> bool {
        let refusal = match peer {
            Some(peer) => self.refusal(peer.ip()),
            None => Some(Refusal::Gone),
        };
        if let Some(refusal) = refusal {
            self.stats.refused.add(refusal);
        }
        refusal.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Only(IpAddr);

    impl Admission for Only {
        fn admits(&self, address: IpAddr) -> bool {
            address == self.0
        }
    }

    #[test]
    fn a_listener_with_proxy_headers_asks_who_sends_them_and_any_other_who_comes() {
        let check = |proxy_from: Option<&str>, peer: &str, refusal: Option<Refusal>| {
            let filter = PeerFilter {
                proxy_from: proxy_from.map(|network| vec![network.parse().unwrap()]),
                admission: Some(Arc::new(Only("192.0.2.1".parse().unwrap()))),
                stats: Arc::default(),
            };
            assert_eq!(filter.refusal(peer.parse().unwrap()), refusal, "{peer} of {proxy_from:?}");
        };
        check(None, "192.0.2.1", None);
        check(None, "::ffff:192.0.2.1", None);
        check(None, "192.0.2.2", Some(Refusal::Address));
        check(Some("198.51.100.0/24"), "198.51.100.7", None);
        check(Some("198.51.100.0/24"), "::ffff:198.51.100.7", None);
        check(Some("198.51.100.0/24"), "192.0.2.1", Some(Refusal::ProxyPeer));
        check(Some("2001:db8::/32"), "198.51.100.7", Some(Refusal::ProxyPeer));
    }
}
