//! Who asks: the client's address, out of what the peer says and whether the peer is believed.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use portcullis_intel::{PrefixTable, canonical};
use smallvec::SmallVec;

/// The address that holds the socket, or that a believed PROXY header gave in its place.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PeerAddr(pub IpAddr);

/// The address of the client that asks; IPv4 in its own form, never mapped into IPv6.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ClientAddr(pub IpAddr);

/// Which header a trusted proxy writes the client's address into.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, a comma-separated list, appended to by each proxy.
    #[default]
    XForwardedFor,
    /// `Forwarded` with its `for` parameter (RFC 7239 §5.2).
    Forwarded,
}

/// The proxies whose word is taken for the address before them.
#[derive(Debug)]
pub struct TrustedProxies {
    networks: PrefixTable<()>,
    any: bool,
    header: ForwardedBy,
}

impl TrustedProxies {
    /// Trusts the proxies in `networks`, which write `header`.
    pub fn new(networks: PrefixTable<()>, header: ForwardedBy) -> Self {
        let any = !networks.is_empty();
        Self { networks, any, header }
    }

    /// Whether an address is one of these proxies.
    pub fn trusts(&self, addr: IpAddr) -> bool {
        self.any && self.networks.lookup(addr).is_some()
    }

    /// Finds the client's address by walking from the peer to the left through trusted proxies.
    ///
    /// The walk ends at the first address that is no trusted proxy, at the left end of the list, or at an
    /// entry that is not an address; then the last proxy that was believed counts as the client, because
    /// what stands left of a broken entry was written by nobody in particular.
    pub fn client(&self, peer: PeerAddr, headers: &HeaderMap) -> ClientAddr {
        let mut client = canonical(peer.0);
        if !self.trusts(client) {
            return ClientAddr(client);
        }
        const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        let lines = match self.header {
            ForwardedBy::XForwardedFor => headers.get_all(&X_FORWARDED_FOR),
            ForwardedBy::Forwarded => headers.get_all(&http::header::FORWARDED),
        };
        for line in lines.iter().rev() {
            let Ok(line) = line.to_str() else { return ClientAddr(client) };
            let Some(entries) = self.entries(line) else { return ClientAddr(client) };
            for entry in entries.iter().rev() {
                if !self.trusts(client) {
                    return ClientAddr(client);
                }
                let Some(before) = self.entry_addr(entry) else { return ClientAddr(client) };
                client = canonical(before);
            }
        }
        ClientAddr(client)
    }

    /// Whether the peer is a trusted proxy that says it was itself asked over TLS: by `X-Forwarded-Proto`, or by the
    /// `proto` of `Forwarded` (RFC 7239 §5.4) where it writes that. Of several entries the last counts: it wrote that one.
    pub fn says_https(&self, peer: PeerAddr, headers: &HeaderMap) -> bool {
        const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
        let lines = match self.header {
            ForwardedBy::XForwardedFor => headers.get_all(&X_FORWARDED_PROTO),
            ForwardedBy::Forwarded => headers.get_all(&http::header::FORWARDED),
        };
        let Some(line) = lines.iter().next_back().and_then(|line| line.to_str().ok()) else { return false };
        let entries = self.entries(line);
        let Some(last) = entries.as_ref().and_then(|entries| entries.last()) else { return false };
        let scheme = match self.header {
            ForwardedBy::XForwardedFor => Some(last.trim()),
            ForwardedBy::Forwarded => parameter(last, "proto"),
        };
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) && self.trusts(canonical(peer.0))
    }

    /// The entries of one line; none where a quoted string does not end.
    fn entries<'a>(&self, line: &'a str) -> Option<SmallVec<[&'a str; 8]>> {
        match self.header {
            ForwardedBy::XForwardedFor => Some(line.split(',').collect()),
            ForwardedBy::Forwarded if ends_within_quotes(line) => None,
            ForwardedBy::Forwarded => Some(split_outside_quotes(line, b',').collect()),
        }
    }

    fn entry_addr(&self, entry: &str) -> Option<IpAddr> {
        match self.header {
            ForwardedBy::XForwardedFor => node_addr(entry.trim()),
            ForwardedBy::Forwarded => node_addr(parameter(entry, "for")?),
        }
    }
}

/// The first value that an entry of `Forwarded` has under a name, without its quotes.
fn parameter<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    // A quoted value may hold anything, so a pair that stands within quotes is no pair.
    split_outside_quotes(entry, b';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// The pieces of a text between separators that stand in no quoted string.
fn split_outside_quotes(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let mut escaped = false;
        let end = text.bytes().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if byte == separator && !quoted => return true,
                _ => {}
            }
            false
        });
        let piece = end.map_or(text, |end| text.get(..end).unwrap_or_default());
        rest = end.and_then(|end| text.get(end + 1..));
        Some(piece)
    })
}

/// Whether a quoted string (RFC 9110 §5.6.4) of a text does not end.
fn ends_within_quotes(text: &str) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    quoted
}

/// Reads an address with or without port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node_addr(text: &str) -> Option<IpAddr> {
    if let Ok(addr) = text.parse() {
        return Some(addr);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (literal, port) = rest.split_once(']')?;
        let port_is_one = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return literal.parse::<std::net::Ipv6Addr>().ok().filter(|_| port_is_one).map(IpAddr::V6);
    }
    let (addr, port) = text.split_once(':')?;
    addr.parse::<std::net::Ipv4Addr>().ok().filter(|_| is_port(port)).map(IpAddr::V4)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.parse::<u16>().is_ok()
}

/// Whether a header tells an origin who the client is.
///
/// All of them are taken off a request before the gateway writes its own, so that an origin which reads
/// any of them reads what the gateway found.
pub fn is_client_address_header(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "forwarded"
            | "x-forwarded-for"
            | "x-forwarded"
            | "x-forwarded-client-ip"
            | "x-original-forwarded-for"
            | "x-real-ip"
            | "x-client-ip"
            | "x-remote-ip"
            | "x-remote-addr"
            | "x-originating-ip"
            | "x-cluster-client-ip"
            | "x-clientip"
            | "x-proxyuser-ip"
            | "proxy-client-ip"
            | "wl-proxy-client-ip"
            | "x-envoy-external-address"
            | "x-appengine-user-ip"
            | "x-azure-clientip"
            | "x-azure-socketip"
            | "client-ip"
            | "true-client-ip"
            | "fastly-client-ip"
            | "cf-connecting-ip"
            | "cf-connecting-ipv6"
            | "cf-pseudo-ipv4"
            | "fly-client-ip"
            | "x-vercel-forwarded-for"
            | "forwarded-for"
            | "forwarded-for-ip"
            | "remote-addr"
            | "http-client-ip"
            | "http-x-forwarded-for"
            | "do-connecting-ip"
            | "x-nf-client-connection-ip"
            | "incap-client-ip"
            | "x-sucuri-clientip"
            | "cdn-src-ip"
            | "ali-cdn-real-ip"
            | "z-forwarded-for"
            | "cloudfront-viewer-address"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn proxies(header: ForwardedBy) -> TrustedProxies {
        let networks = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8:ffff::/48"];
        TrustedProxies::new(
            PrefixTable::build(networks.map(|text| (text.parse::<portcullis_intel::Prefix>().unwrap(), ()))),
            header,
        )
    }

    fn check(header: ForwardedBy, peer: &str, lines: &[&str], client: &str) {
        let name = match header {
            ForwardedBy::XForwardedFor => "x-forwarded-for",
            ForwardedBy::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-real-ip", HeaderValue::from_static("203.0.113.99"));
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        let found = proxies(header).client(PeerAddr(peer.parse().unwrap()), &headers);
        assert_eq!(found, ClientAddr(client.parse().unwrap()), "{peer} {lines:?}");
    }

    #[test]
    fn the_client_is_the_first_address_from_the_right_that_is_no_trusted_proxy() {
        let cases: &[(&str, &[&str], &str)] = &[
            // A peer that is not trusted is the client, whatever it sends.
            ("198.51.100.1", &[], "198.51.100.1"),
            ("198.51.100.1", &["203.0.113.5"], "198.51.100.1"),
            ("198.51.100.1", &["203.0.113.5, 10.0.0.1"], "198.51.100.1"),
            ("198.51.100.1", &["127.0.0.1"], "198.51.100.1"),
            ("192.0.2.8", &["203.0.113.5"], "192.0.2.8"),
            ("::1", &["203.0.113.5"], "::1"),
            // One trusted proxy.
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["203.0.113.5:4711"], "203.0.113.5"),
            ("10.0.0.1", &["  203.0.113.5  "], "203.0.113.5"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:203.0.113.5"], "203.0.113.5"),
            ("::ffff:10.0.0.1", &["203.0.113.5"], "203.0.113.5"),
            ("192.0.2.7", &["203.0.113.5"], "203.0.113.5"),
            ("2001:db8:ffff::1", &["203.0.113.5"], "203.0.113.5"),
            // What a client puts before its own address does not count.
            ("10.0.0.1", &["127.0.0.1, 203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["198.51.100.9, 203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["10.0.0.9, 203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["garbage, 203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["127.0.0.1", "203.0.113.5"], "203.0.113.5"),
            // A chain of trusted proxies.
            ("10.0.0.1", &["203.0.113.5, 10.0.0.2"], "203.0.113.5"),
            ("10.0.0.1", &["203.0.113.5, 10.0.0.3, 10.0.0.2"], "203.0.113.5"),
            ("10.0.0.1", &["203.0.113.5", "10.0.0.3", "10.0.0.2"], "203.0.113.5"),
            ("10.0.0.1", &["198.51.100.9, 203.0.113.5, 10.0.0.2"], "203.0.113.5"),
            ("10.0.0.1", &["203.0.113.5, 192.0.2.7, 2001:db8:ffff::9"], "203.0.113.5"),
            // Only trusted proxies all the way: the leftmost is as far as can be seen.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // An entry that is no address ends the walk at the last proxy believed.
            ("10.0.0.1", &["203.0.113.5, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5, "], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5,, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.5, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.5:http"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5:"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.005"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5/24"], "10.0.0.1"),
            ("10.0.0.1", &["[203.0.113.5]"], "10.0.0.1"),
            ("10.0.0.1", &["[2001:db8::1"], "10.0.0.1"),
            ("10.0.0.1", &["3405803781"], "10.0.0.1"),
            ("10.0.0.1", &["0xcb007105"], "10.0.0.1"),
            ("10.0.0.1", &["localhost"], "10.0.0.1"),
            ("10.0.0.1", &["for=203.0.113.5"], "10.0.0.1"),
            ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
        ];
        assert!(cases.len() >= 40);
        for (peer, lines, client) in cases {
            check(ForwardedBy::XForwardedFor, peer, lines, client);
        }
    }

    #[test]
    fn the_standard_header_is_read_when_the_proxies_write_that_one() {
        for (lines, client) in [
            (&["for=203.0.113.5"][..], "203.0.113.5"),
            (&["For=203.0.113.5;proto=https;by=10.0.0.1"], "203.0.113.5"),
            (&["for=\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (&["for=198.51.100.9, for=203.0.113.5, for=10.0.0.2"], "203.0.113.5"),
            (&["for=_secret"], "10.0.0.1"),
            (&["for=203.0.113.5;host=\"evil,for=198.51.100.9\""], "203.0.113.5"),
            (&["for=203.0.113.5;by=\"x;for=198.51.100.9\""], "203.0.113.5"),
            (&["by=\"x;for=198.51.100.9\";for=203.0.113.5"], "203.0.113.5"),
            (&["for=203.0.113.5;host=\"a\\\",for=198.51.100.9\""], "203.0.113.5"),
            (&["for=198.51.100.9, for=203.0.113.5;host=\"evil"], "10.0.0.1"),
            (&["proto=https"], "10.0.0.1"),
        ] {
            check(ForwardedBy::Forwarded, "10.0.0.1", lines, client);
        }
    }

    #[test]
    fn tls_is_what_the_nearest_trusted_proxy_says_it_was_asked_over() {
        let (named, standard) = ("x-forwarded-proto", "forwarded");
        for (header, peer, lines, is_https) in [
            (named, "10.0.0.1", &["https"][..], true),
            (named, "10.0.0.1", &["HTTPS "], true),
            (named, "10.0.0.1", &["http"], false),
            (named, "10.0.0.1", &[""], false),
            (named, "10.0.0.1", &[], false),
            (named, "10.0.0.1", &["http, https"], true),
            // What a client wrote before it does not count.
            (named, "10.0.0.1", &["https, http"], false),
            (named, "10.0.0.1", &["https", "http"], false),
            (named, "203.0.113.5", &["https"], false),
            (standard, "10.0.0.1", &["for=203.0.113.5;proto=https"], true),
            (standard, "10.0.0.1", &["for=203.0.113.5;Proto=\"https\""], true),
            (standard, "10.0.0.1", &["proto=https, for=203.0.113.5"], false),
            (standard, "10.0.0.1", &["for=203.0.113.5;by=\"x;proto=https\""], false),
            (standard, "10.0.0.1", &["proto=https;by=\"evil"], false),
            (standard, "203.0.113.5", &["proto=https"], false),
        ] {
            let by = if header == named { ForwardedBy::XForwardedFor } else { ForwardedBy::Forwarded };
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header, line.parse().unwrap());
            }
            let said = proxies(by).says_https(PeerAddr(peer.parse().unwrap()), &headers);
            assert_eq!(said, is_https, "{peer} {lines:?}");
        }
    }
}
