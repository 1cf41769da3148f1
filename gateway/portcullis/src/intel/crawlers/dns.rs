//! Questions to name servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

// The stub resolver of hickory-dns (since 2015, several releases a year, MIT or Apache-2.0), without DNSSEC, TLS, QUIC
// or HTTP: it brings its own message codec, a cache (moka) and IDNA (by way of `url`). The standard library has no
// reverse look-up, and `getaddrinfo` cannot be given a deadline.
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};

use super::rules::is_below;
use portcullis_signals::Proof;

/// How many names of an address are looked at. Operators give one; who gives a hundred wants a hundred questions asked.
const MAX_NAMES: usize = 4;

/// How many answers the resolver itself remembers. Proofs are remembered elsewhere.
const RESOLVER_CACHE: u64 = 256;

/// A resolver for the names of crawlers.
pub struct CrawlerDns {
    resolver: TokioResolver,
    deadline: Duration,
}

impl fmt::Debug for CrawlerDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrawlerDns").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Why names cannot be asked for.
#[derive(Debug)]
pub struct DnsError(NetError);

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot ask for names of crawlers: {}; name a server with `[intel.crawlers] servers`", self.0)
    }
}

impl std::error::Error for DnsError {}

impl CrawlerDns {
    /// A resolver that asks `servers`, or those of the system where there are none. One proof takes at most `deadline`.
    ///
    /// # Errors
    ///
    /// Where the system's name servers are not to be known.
    pub fn new(servers: &[SocketAddr], deadline: Duration) -> Result<Self, DnsError> {
        let runtime = TokioRuntimeProvider::default();
        let mut builder = if servers.is_empty() {
            Resolver::builder(runtime).map_err(DnsError)?
        } else {
            let config = ResolverConfig::from_name_servers(servers.iter().map(|server| name_server(*server)).collect());
            Resolver::builder_with_config(config, runtime)
        };
        bound(builder.options_mut(), deadline);
        Ok(Self { resolver: builder.build().map_err(DnsError)?, deadline })
    }

    /// The time for one proof.
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether `address` has a name below one of `domains` that leads back to it.
    ///
    /// Takes no longer than the time-outs of some questions; the caller sets the deadline.
    pub async fn prove(&self, address: IpAddr, domains: &[String]) -> Proof {
        let names = match self.names(address).await {
            Ok(names) => names,
            Err(proof) => return proof,
        };
        let of_crawler =
            names.into_iter().filter(|name| domains.iter().any(|domain| is_below(&name.to_ascii(), domain)));
        let mut proof = Proof::Forged;
        for name in of_crawler.take(MAX_NAMES) {
            match self.leads_to(name, address).await {
                Proof::Verified => return Proof::Verified,
                Proof::Unverified => proof = Proof::Unverified,
                Proof::Forged => {}
            }
        }
        proof
    }

    /// The names of an address, or what it proves that there is none.
    async fn names(&self, address: IpAddr) -> Result<Vec<Name>, Proof> {
        let answer = self.resolver.lookup(Name::from(address), RecordType::PTR).await;
        let answer = answer.map_err(|error| meaning(&error))?;
        let name = |data: &RData| match data {
            RData::PTR(name) => Some(name.0.clone()),
            _ => None,
        };
        Ok(answer.answers().iter().filter_map(|record| name(&record.data)).collect())
    }

    /// Whether a name leads to an address.
    async fn leads_to(&self, mut name: Name, address: IpAddr) -> Proof {
        // Whole as it is: nothing of this machine's own domain is put behind it.
        name.set_fqdn(true);
        let kind = if address.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        let answer = match self.resolver.lookup(name, kind).await {
            Ok(answer) => answer,
            Err(error) => return meaning(&error),
        };
        let leads = answer.answers().iter().any(|record| match &record.data {
            RData::A(found) => IpAddr::V4(found.0) == address,
            RData::AAAA(found) => IpAddr::V6(found.0) == address,
            _ => false,
        });
        if leads { Proof::Verified } else { Proof::Forged }
    }
}

/// What it means for a claim that a question has no answer: that there is no such name is an answer.
fn meaning(error: &NetError) -> Proof {
    use hickory_resolver::net::DnsError;
    use hickory_resolver::proto::op::ResponseCode;
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            Proof::Forged
        }
        _ => Proof::Unverified,
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = server.port();
    }
    NameServerConfig::new(server.ip(), true, connections.into())
}

fn bound(options: &mut ResolverOpts, deadline: Duration) {
    // Two tries of the first question fit, so that one lost packet costs no proof.
    options.timeout = deadline / 3;
    options.attempts = 2;
    options.cache_size = RESOLVER_CACHE;
    options.use_hosts_file = ResolveHosts::Never;
    options.ndots = 0;
}
