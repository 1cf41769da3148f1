//! Sites that are not proxied: their keys, their origins, and what is asked before a puzzle is issued.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::rung::Ladder;
use crate::strength::Strength;

/// One site that uses the widget.
#[derive(Clone, Debug)]
pub struct SiteKey {
    /// The internal name: what tokens are bound to. A public key can be replaced without it.
    pub name: String,
    /// The public key, as it stands in the site's pages.
    pub public: String,
    /// What the site's backend shows.
    pub secret: SiteSecret,
    /// Where the widget may be in use.
    pub production: Vec<OriginPattern>,
    /// Where it may be tried. It works as in production, and nothing is counted.
    pub testing: Vec<OriginPattern>,
    /// How hard it is.
    pub preset: Preset,
    /// Whether it acts or only says what it would have done.
    pub mode: SiteMode,
    /// The route of the policy whose filters, access rules and limits judge the site's visitors.
    pub route: String,
    /// What may be counted in a calendar month; none for no limit.
    pub monthly_allowance: Option<u64>,
    /// Which way the score of siteverify counts.
    pub score: ScoreSense,
}

/// How hard a site's challenge is: the work, and the scores from which each rung is asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Preset {
    /// 3 hexadecimal zeros, 60 times.
    Relaxed,
    /// 4 hexadecimal zeros, 80 times.
    #[default]
    Balanced,
    /// 5 hexadecimal zeros, 120 times.
    Strict,
}

impl Preset {
    /// The work.
    #[must_use]
    pub const fn strength(self) -> Strength {
        match self {
            Self::Relaxed => Strength::RELAXED,
            Self::Balanced => Strength::BALANCED,
            Self::Strict => Strength::STRICT,
        }
    }

    /// The scores.
    #[must_use]
    pub const fn ladder(self) -> Ladder {
        match self {
            Self::Relaxed => Ladder::RELAXED,
            Self::Balanced => Ladder::BALANCED,
            Self::Strict => Ladder::STRICT,
        }
    }

    /// The score in thousandths from which siteverify says no, in enforce mode.
    #[must_use]
    pub const fn block_from(self) -> u16 {
        match self {
            Self::Relaxed => 800,
            Self::Balanced => 600,
            Self::Strict => 400,
        }
    }
}

/// Whether a site's filters and scores act.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SiteMode {
    /// They do.
    #[default]
    Enforce,
    /// They are told in `reasons` and `status`, and `success` is what the challenge alone gives.
    Monitor,
}

/// Which way a site's score counts.
///
/// Here 1 is the worst; some services count the other way, and a backend that compares the score with
/// a number expects what it was written for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ScoreSense {
    /// 1 is the worst, as everywhere in this gateway.
    #[default]
    Risk,
    /// 1 is the best, as backends written for reCAPTCHA v3 expect.
    Trust,
}

/// The digest of what a site's backend shows. The secret itself is not kept.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub struct SiteSecret([u8; 32]);

impl SiteSecret {
    /// The secret with this text.
    ///
    /// # Errors
    ///
    /// [`SiteSecretError`] when it is shorter than [`MIN_SITE_SECRET_BYTES`]: it could be guessed.
    pub fn new(text: &str) -> Result<Self, SiteSecretError> {
        if text.len() < MIN_SITE_SECRET_BYTES {
            return Err(SiteSecretError(text.len()));
        }
        Ok(Self::of(text))
    }

    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Debug for SiteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteSecret(..)")
    }
}

/// A site's secret is too short; it has this many bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SiteSecretError(pub usize);

impl fmt::Display for SiteSecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a site secret of at least {MIN_SITE_SECRET_BYTES} characters, but found {}", self.0)
    }
}

impl Error for SiteSecretError {}

/// The shortest secret of a site.
pub const MIN_SITE_SECRET_BYTES: usize = 24;

/// All sites, found by public key and by secret.
#[derive(Clone, Debug, Default)]
pub struct SiteKeys {
    sites: Vec<SiteKey>,
    by_public: BTreeMap<String, usize>,
    by_secret: BTreeMap<SiteSecret, usize>,
}

impl SiteKeys {
    /// A table of `sites`.
    ///
    /// # Errors
    ///
    /// [`SiteKeysError`] when two have one public key, one secret or one name.
    pub fn new(sites: Vec<SiteKey>) -> Result<Self, SiteKeysError> {
        let mut table = Self::default();
        let mut names = BTreeMap::new();
        for (index, site) in sites.iter().enumerate() {
            let twice = |what| SiteKeysError { what, site: site.name.clone() };
            if names.insert(site.name.clone(), index).is_some() {
                return Err(twice("name"));
            }
            if table.by_public.insert(site.public.clone(), index).is_some() {
                return Err(twice("public key"));
            }
            if table.by_secret.insert(site.secret, index).is_some() {
                return Err(twice("secret"));
            }
        }
        table.sites = sites;
        Ok(table)
    }

    /// The site of a public key.
    #[must_use]
    pub fn by_public(&self, key: &str) -> Option<&SiteKey> {
        self.by_public.get(key).and_then(|index| self.sites.get(*index))
    }

    /// The site of a secret.
    ///
    /// It is looked for by its digest, so that the time this takes tells nothing of another's secret.
    #[must_use]
    pub fn by_secret(&self, secret: &str) -> Option<&SiteKey> {
        let digest = SiteSecret::of(secret);
        let site = self.by_secret.get(&digest).and_then(|index| self.sites.get(*index))?;
        bool::from(site.secret.0.ct_eq(&digest.0)).then_some(site)
    }

    /// All sites.
    #[must_use]
    pub fn sites(&self) -> &[SiteKey] {
        &self.sites
    }
}

/// Two sites share what must be each one's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SiteKeysError {
    what: &'static str,
    site: String,
}

impl fmt::Display for SiteKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "site `{}` has the {} of another site; give each its own", self.site, self.what)
    }
}

impl Error for SiteKeysError {}

impl SiteKey {
    /// Whether a puzzle may be issued to a page of `origin`, the header field `Origin`, when
    /// `counted` was counted this month.
    ///
    /// # Errors
    ///
    /// The [`Gate`] that is shut.
    pub fn admit(&self, origin: Option<&str>, counted: u64) -> Result<Environment, Gate> {
        let origin = origin.ok_or(Gate::NoOrigin)?;
        let origin = Origin::parse(origin).ok_or(Gate::OtherOrigin)?;
        let environment = if self.production.iter().any(|pattern| pattern.matches(&origin)) {
            Environment::Production
        } else if self.testing.iter().any(|pattern| pattern.matches(&origin)) {
            Environment::Testing
        } else {
            return Err(Gate::OtherOrigin);
        };
        match self.monthly_allowance {
            Some(allowance) if environment == Environment::Production && counted >= allowance => Err(Gate::Allowance),
            _ => Ok(environment),
        }
    }
}

/// Whether what happens is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Environment {
    /// It is.
    Production,
    /// It is not.
    Testing,
}

/// Why no puzzle is issued for a site key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Gate {
    /// There is no such key.
    UnknownKey,
    /// The request says no origin.
    NoOrigin,
    /// The key is not for pages of that origin.
    OtherOrigin,
    /// The month's allowance is used up.
    Allowance,
}

impl Gate {
    /// Every gate.
    pub const ALL: [Self; 4] = [Self::UnknownKey, Self::NoOrigin, Self::OtherOrigin, Self::Allowance];

    /// The stable name.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnknownKey => "site-key-unknown",
            Self::NoOrigin => "origin-missing",
            Self::OtherOrigin => "origin-not-allowed",
            Self::Allowance => "allowance-used-up",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownKey => "there is no such site key",
            Self::NoOrigin => "the request does not say which origin it comes from",
            Self::OtherOrigin => "the site key is not for pages of this origin",
            Self::Allowance => "the site key's allowance for this month is used up",
        })
    }
}

impl Error for Gate {}

/// An origin as browsers write it (RFC 6454 §6.2): scheme, host and port, in lower case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: u16,
}

impl<'a> Origin<'a> {
    /// Reads the header field `Origin`. `None` for `null`, and for what no browser writes: another
    /// scheme, capitals, user information, a path.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let default_port = default_port(scheme)?;
        let (host, port) = split_port(authority);
        let port = match port {
            Some(port) => read_port(port)?,
            None => default_port,
        };
        is_host(host).then_some(Self { scheme, host, port })
    }

    /// The host name, for `hostname`.
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.host
    }
}

/// Which origins a site key is for: `https://shop.example`, `https://*.shop.example` for every name
/// below it, `http://localhost:*` for every port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginPattern {
    scheme: String,
    host: String,
    below: Below,
    /// None is every port.
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Below {
    /// The host itself.
    Host,
    /// The names below it, and not itself.
    Names,
}

impl OriginPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`OriginError`] for what is none.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let error = || OriginError(text.to_owned());
        let (scheme, authority) = text.split_once("://").ok_or_else(error)?;
        let default_port = default_port(scheme).ok_or_else(error)?;
        let (host, port) = split_port(authority);
        let (below, host) = match host.strip_prefix("*.") {
            Some(host) => (Below::Names, host),
            None => (Below::Host, host),
        };
        let port = match port {
            None => Some(default_port),
            Some("*") => None,
            Some(port) => Some(read_port(port).ok_or_else(error)?),
        };
        // Every name below a top-level domain is everybody's.
        if !is_host(host) || (below == Below::Names && !host.contains('.')) {
            return Err(error());
        }
        Ok(Self { scheme: scheme.to_owned(), host: host.to_owned(), below, port })
    }

    /// Whether `origin` is one of them.
    #[must_use]
    pub fn matches(&self, origin: &Origin<'_>) -> bool {
        let host = match self.below {
            Below::Host => origin.host == self.host,
            Below::Names => {
                origin.host.strip_suffix(self.host.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        };
        host && origin.scheme == self.scheme && self.port.is_none_or(|port| port == origin.port)
    }
}

/// The text is not an [`OriginPattern`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginError(pub String);

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected an origin such as `https://shop.example`, `https://*.shop.example` or `http://localhost:*`, but found `{}`",
            self.0
        )
    }
}

impl Error for OriginError {}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

/// Host and port of an authority. The colons of an IPv6 address stand in brackets (RFC 3986 §3.2.2).
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn read_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten().filter(|port| *port != 0)
}

/// A host as browsers write it: a name in lower case, or an address.
fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Of whom a siteverify's filters are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// Of the visitor, whose address the backend told: all of them.
    Visitor(IpAddr),
    /// Of the backend's own connection, as the visitor's address is not known: the abuser filter alone.
    /// The backend is in a hosting network by its nature.
    Caller(IpAddr),
}

impl Subject {
    /// Of whom to ask.
    #[must_use]
    pub fn of(visitor: Option<IpAddr>, caller: IpAddr) -> Self {
        visitor.map_or(Self::Caller(caller), |visitor| Self::Visitor(visitor.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        for (text, host) in [
            ("https://shop.example", Some("shop.example")),
            ("http://localhost:3000", Some("localhost")),
            ("https://192.0.2.1", Some("192.0.2.1")),
            ("https://[2001:db8::1]:8443", Some("[2001:db8::1]")),
            ("https://xn--caf-dma.example", Some("xn--caf-dma.example")),
            ("null", None),
            ("", None),
            ("shop.example", None),
            ("https://", None),
            ("https:///", None),
            ("https://shop.example/", None),
            ("https://shop.example/path", None),
            ("https://shop.example?", None),
            ("https://user@shop.example", None),
            ("https://Shop.example", None),
            ("HTTPS://shop.example", None),
            ("https://shop..example", None),
            ("https://shop.example.", None),
            ("https://shop.example:", None),
            ("https://shop.example:0", None),
            ("https://shop.example:65536", None),
            ("https://shop.example:+1", None),
            ("https://café.example", None),
            ("https://shop.example https://other.example", None),
            ("file://", None),
            ("javascript://shop.example", None),
            ("chrome-extension://abcdefgh", None),
            ("https://[::1", None),
            ("https://[shop.example]", None),
        ] {
            assert_eq!(Origin::parse(text).map(|origin| origin.host), host, "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_its_own_origins_and_no_neighbour() {
        for (pattern, origin, matches) in [
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example", "https://shop.example:443", true),
            ("https://shop.example", "http://shop.example", false),
            ("https://shop.example", "https://shop.example:8443", false),
            ("https://shop.example", "https://www.shop.example", false),
            ("https://shop.example", "https://shop.example.other.example", false),
            ("https://shop.example", "https://notshop.example", false),
            ("https://*.shop.example", "https://www.shop.example", true),
            ("https://*.shop.example", "https://a.b.shop.example", true),
            ("https://*.shop.example", "https://shop.example", false),
            ("https://*.shop.example", "https://notshop.example", false),
            ("http://localhost:*", "http://localhost:5173", true),
            ("http://localhost:*", "http://localhost", true),
            ("http://localhost:*", "https://localhost:5173", false),
        ] {
            let read = OriginPattern::parse(pattern).unwrap();
            assert_eq!(read.matches(&Origin::parse(origin).unwrap()), matches, "{pattern} and {origin}");
        }
        for text in [
            "*",
            "shop.example",
            "https://*",
            "https://*.example",
            "https://a.*.example",
            "ftp://shop.example",
            "https://shop.example/",
        ] {
            let error = OriginPattern::parse(text).unwrap_err().to_string();
            assert!(error.ends_with(&format!("but found `{text}`")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            _ = (Origin::parse(&text), OriginPattern::parse(&text));
        }
    }
}
