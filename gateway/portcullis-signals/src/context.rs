//! What is remembered of a client from its earlier requests.

/// What the gateway remembers of a client, as far as it tells automation from people.
///
/// A client is an address (its prefix, for IPv6) together with its claim, unless a field says otherwise. All counts
/// are of the last fifteen minutes and stop at their type's end; the default is a client of which nothing is known,
/// and nothing is held against it. Requests count as answered, so the present one is in none of these.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Context {
    /// Requests of this client, after an answer to it first set a cookie, that came without any cookie at all.
    ///
    /// 0 as soon as one request of it carried a cookie, and where no answer set one.
    pub cookieless: u8,
    /// Navigations of this client that were answered with a page (`200` and `text/html`).
    pub pages: u8,
    /// Requests of this client that were not navigations: scripts, styles, pictures, calls of an API, the icon.
    pub other_requests: u8,
    /// New TLS connections of this client whose ClientHello was seen.
    pub hellos: u8,
    /// How many different orders of extension types those hellos had, with `pre_shared_key` and `padding` left out.
    pub hello_orders: u8,
    /// How many different prints were seen under the session that the request carries, this connection's included: the
    /// cipher suites and the extensions' types sorted, without GREASE, server name, pre-shared key, session ticket,
    /// padding and early data. 0 or 1 where the route identifies no session, or it is new.
    pub session_prints: u8,
}
