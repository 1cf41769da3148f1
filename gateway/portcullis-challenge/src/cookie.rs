//! The cookie that carries a clearance.

use std::time::Duration;

/// How the client reached the gateway.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// In plaintext.
    Http,
    /// Over TLS.
    Https,
}

/// The cookie's name.
///
/// Over TLS it has the `__Host-` prefix (RFC 6265bis §4.1.3.2): browsers then take it from this very
/// host over TLS only, so that neither a sibling domain nor a plaintext page can plant one.
#[must_use]
pub const fn cookie_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "portcullis",
        Scheme::Https => "__Host-portcullis",
    }
}

/// The value of the `Set-Cookie` field for a clearance that was just issued for `ttl`.
///
/// `SameSite=Lax`, as a person who follows a link from elsewhere shall not be challenged again; a
/// clearance proves work, not identity, so a cross-site request gains nothing by it.
#[must_use]
pub fn set_cookie(scheme: Scheme, clearance: &str, ttl: Duration) -> String {
    let name = cookie_name(scheme);
    let secure = match scheme {
        Scheme::Http => "",
        Scheme::Https => "; Secure",
    };
    format!("{name}={clearance}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", ttl.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_of_other_hosts() {
        let ttl = Duration::from_secs(3600);
        insta::assert_snapshot!(set_cookie(Scheme::Https, "AQ", ttl), @"__Host-portcullis=AQ; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure");
        insta::assert_snapshot!(set_cookie(Scheme::Http, "AQ", ttl), @"portcullis=AQ; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    }
}
