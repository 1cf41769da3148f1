//! Documents from files and over HTTPS, from places that are not trusted.
//!
//! A server may be slow, endless, taken over, or point at what only this machine can reach. So every fetch has a
//! bound of bytes and one of time; only HTTPS is spoken; and a connection is made to addresses that were looked at,
//! not to a name that is looked up again (no DNS rebinding).

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION};
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use ipnetwork::IpNetwork;
use portcullis_intel::{SpecialUse, canonical, special_use};
use rustls::crypto::aws_lc_rs;
// Of the HTTP clients with a maintained rustls back end, ureq (since 2018, monthly releases, MIT or Apache-2.0) is the
// one that brings nothing but HTTP/1.1: three small crates and the public roots, beside the rustls, aws-lc-rs and http
// that are here, where reqwest brings hyper, tower and a platform verifier. It blocks, which suits one fetch at a time
// off the hot path, and it lets us say which addresses a name may stand for; that part of its interface may change with
// a minor release, and the tests of `Guarded` would show it.
use ureq::Agent;
use ureq::config::{AutoHeaderValue, Config};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// How many redirects are followed. Release pages of public hosts need two.
pub const MAX_REDIRECTS: usize = 4;

/// The largest header of a response, in bytes.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// How much of a document is looked at for signs of a web page, in bytes.
const PAGE_SIGN_BYTES: usize = 512;

/// The longest validator that is sent back, in bytes; a longer one is dropped, and the document fetched whole.
const MAX_VALIDATOR_BYTES: usize = 1024;

/// Fetches documents over HTTPS. Calls block; they are for threads that may.
#[derive(Debug)]
pub struct Fetcher {
    named: Agent,
    redirected: Agent,
}

/// Where a fetch may go beside the public internet. Addresses of special use are refused unless they are here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// Networks that a URL in the settings may lead to, such as that of a mirror of one's own.
    pub named: Vec<IpNetwork>,
    /// Networks that a redirect may lead to. None by default: a redirect is the word of a stranger.
    pub redirected: Vec<IpNetwork>,
}

/// Bounds on one fetch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// The largest document, in bytes.
    pub max_bytes: u64,
    /// The time for all of it: names, connections, redirects and the body.
    pub total_time: Duration,
}

/// What a server said that a document can be recognised by (RFC 9110 §8.8).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Validators {
    /// The entity tag.
    pub etag: Option<String>,
    /// When it was changed last, in the server's words.
    pub last_modified: Option<String>,
}

/// A document that was fetched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Document {
    /// As it came: what is compressed is still compressed.
    pub bytes: Vec<u8>,
    /// What to ask with the next time.
    pub validators: Validators,
}

/// What a fetch brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fetched {
    /// A document.
    Fresh(Document),
    /// The server has none but the one that the validators are of.
    Unchanged,
}

/// Why nothing was fetched.
#[derive(Debug)]
pub enum FetchError {
    /// The text is not an `https` URL. It is not repeated: a URL may hold a user's key.
    NotHttps,
    /// A name stands only for addresses that may not be connected to.
    Forbidden(Forbidden),
    /// A redirect that leads nowhere, or one too many.
    Redirect(&'static str),
    /// Another status than 200.
    Status(u16),
    /// A web page, such as a form to log in, in place of data.
    WebPage,
    /// Nothing in it.
    Empty,
    /// The document is larger than the bound, in bytes.
    TooLarge(u64),
    /// It took longer than the bound.
    TooSlow(Duration),
    /// The connection or its TLS failed, or what came was not HTTP.
    Transport(String),
    /// A file cannot be read.
    File(PathBuf, io::Error),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttps => f.write_str("the URL does not begin with `https://` and a host"),
            Self::Forbidden(forbidden) => forbidden.fmt(f),
            Self::Redirect(why) => write!(f, "a redirect {why}"),
            Self::Status(status) => write!(f, "the server answered {status}, not 200"),
            Self::WebPage => f.write_str("the server answered with a web page, not with data"),
            Self::Empty => f.write_str("there is nothing in it"),
            Self::TooLarge(bound) => write!(f, "it is larger than {bound} bytes"),
            Self::TooSlow(bound) => write!(f, "it took longer than {} s", bound.as_secs_f64()),
            Self::Transport(why) => f.write_str(why),
            Self::File(path, error) => write!(f, "cannot read `{}`: {error}", path.display()),
        }
    }
}

impl std::error::Error for FetchError {}

/// A name that stands only for addresses that may not be connected to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forbidden {
    host: String,
    address: IpAddr,
    special_use: SpecialUse,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address, special_use } = self;
        write!(f, "`{}` leads to {address} ({special_use}), which is not public", printable(host))
    }
}

impl std::error::Error for Forbidden {}

/// Why there is no fetcher.
#[derive(Debug)]
pub enum FetcherError {
    /// The file of certificates cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file holds no certificate.
    NoCertificate(PathBuf),
}

impl fmt::Display for FetcherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "cannot read the certificates to trust in `{}`: {error}", path.display())
            }
            Self::NoCertificate(path) => write!(f, "`{}` holds no certificate in PEM", path.display()),
        }
    }
}

impl std::error::Error for FetcherError {}

impl Fetcher {
    /// A fetcher that trusts the public certification authorities, or, where `ca_file` is given, those in it alone.
    ///
    /// `contact` is told to servers, whose operators may wish to write to someone.
    ///
    /// # Errors
    ///
    /// Where `ca_file` cannot be read or holds no certificate.
    pub fn new(ca_file: Option<&Path>, contact: Option<&str>, reach: &Reach) -> Result<Self, FetcherError> {
        let roots = ca_file.map_or(Ok(RootCerts::WebPki), trusted)?;
        let agent = |allowed: &[IpNetwork]| {
            let tls = TlsConfig::builder()
                .provider(TlsProvider::Rustls)
                .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
                .root_certs(roots.clone())
                .build();
            let config = Config::builder()
                .tls_config(tls)
                .https_only(true)
                .http_status_as_error(false)
                // A proxy of the environment would be told names, and then nobody here sees where they lead.
                .proxy(None)
                // Each is looked at here, before it is followed.
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(user_agent(contact))
                .accept_encoding(AutoHeaderValue::None)
                .max_response_header_size(MAX_HEADER_BYTES)
                // A kept connection would be one whose address was allowed at another time.
                .max_idle_connections(0)
                .build();
            Agent::with_parts(config, DefaultConnector::default(), Guarded::allowing(allowed))
        };
        Ok(Self { named: agent(&reach.named), redirected: agent(&reach.redirected) })
    }

    /// Fetches what is at `url`, unless it is still what `known` are the validators of.
    ///
    /// # Errors
    ///
    /// Where there is no document within the bounds.
    pub fn fetch(&self, url: &str, known: &Validators, bounds: Bounds) -> Result<Fetched, FetchError> {
        let until = Instant::now() + bounds.total_time;
        let mut at = https(url)?;
        let mut agent = &self.named;
        for _ in 0..=MAX_REDIRECTS {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(FetchError::TooSlow(bounds.total_time));
            }
            let mut request = agent.get(at.clone()).config().timeout_global(Some(left)).build();
            for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let response = request.call().map_err(|error| failure(error, bounds))?;
            let status = response.status();
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                at = target(&at, response.headers())?;
                agent = &self.redirected;
                continue;
            }
            return match status {
                StatusCode::OK => document(response, bounds).map(Fetched::Fresh),
                StatusCode::NOT_MODIFIED if *known != Validators::default() => Ok(Fetched::Unchanged),
                other => Err(FetchError::Status(other.as_u16())),
            };
        }
        Err(FetchError::Redirect("leads to another, and that to more than can be meant"))
    }
}

/// Reads a file of at most `max_bytes`.
///
/// # Errors
///
/// Where it cannot be read, is empty or larger.
pub fn read_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FetchError> {
    let fail = |error| FetchError::File(path.to_owned(), error);
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
    within(bytes, max_bytes)
}

fn within(bytes: Vec<u8>, max_bytes: u64) -> Result<Vec<u8>, FetchError> {
    match u64::try_from(bytes.len()) {
        Ok(0) => Err(FetchError::Empty),
        Ok(length) if length <= max_bytes => Ok(bytes),
        _ => Err(FetchError::TooLarge(max_bytes)),
    }
}

fn document(response: http::Response<ureq::Body>, bounds: Bounds) -> Result<Document, FetchError> {
    let (head, body) = response.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).map_or(b"".as_slice(), |value| value.as_bytes());
    if [b"text/html".as_slice(), b"application/xhtml"].iter().any(|page| begins_with(kind, page)) {
        return Err(FetchError::WebPage);
    }
    if body.content_length().is_some_and(|length| length > bounds.max_bytes) {
        return Err(FetchError::TooLarge(bounds.max_bytes));
    }
    let mut bytes = Vec::new();
    body.into_reader()
        .take(bounds.max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| failure(ureq::Error::from(error), bounds))?;
    let bytes = within(bytes, bounds.max_bytes)?;
    if is_web_page(&bytes) {
        return Err(FetchError::WebPage);
    }
    let validator = |name: HeaderName| {
        let value = head.headers.get(name)?.to_str().ok()?;
        (value.len() <= MAX_VALIDATOR_BYTES).then(|| value.to_owned())
    };
    let validators = Validators { etag: validator(ETAG), last_modified: validator(LAST_MODIFIED) };
    Ok(Document { bytes, validators })
}

/// Whether a document begins as a web page does, whatever its server calls it.
fn is_web_page(bytes: &[u8]) -> bool {
    let start = bytes.get(..PAGE_SIGN_BYTES).unwrap_or(bytes);
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    [b"<!doctype".as_slice(), b"<html", b"<head", b"<body", b"<script"].iter().any(|tag| begins_with(start, tag))
}

fn begins_with(bytes: &[u8], with: &[u8]) -> bool {
    bytes.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

fn https(url: &str) -> Result<Uri, FetchError> {
    let uri: Option<Uri> = url.parse().ok();
    uri.filter(is_https).ok_or(FetchError::NotHttps)
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
}

/// Where a redirect leads (RFC 9110 §10.2.2): an absolute URL, or a path on the same host.
fn target(from: &Uri, headers: &HeaderMap) -> Result<Uri, FetchError> {
    let to = headers.get(LOCATION).ok_or(FetchError::Redirect("does not say where to"))?;
    let to = to.to_str().map_err(|_| FetchError::Redirect("leads to what is no URL"))?;
    let to = to.split_once('#').map_or(to, |(before, _)| before);
    let absolute = match (to.strip_prefix("//"), to.starts_with('/'), from.authority()) {
        (Some(rest), ..) => format!("https://{rest}"),
        (None, true, Some(host)) => format!("https://{host}{to}"),
        _ => to.to_owned(),
    };
    let uri: Uri = absolute.parse().map_err(|_| FetchError::Redirect("leads to what is no URL"))?;
    if !is_https(&uri) {
        return Err(FetchError::Redirect("leads to what is not HTTPS"));
    }
    Ok(uri)
}

fn failure(error: ureq::Error, bounds: Bounds) -> FetchError {
    match error {
        ureq::Error::Timeout(_) => FetchError::TooSlow(bounds.total_time),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => FetchError::TooSlow(bounds.total_time),
        ureq::Error::RequireHttpsOnly(_) | ureq::Error::BadUri(_) => FetchError::NotHttps,
        ureq::Error::HostNotFound => FetchError::Transport("the host has no address".to_owned()),
        ureq::Error::Other(error) => match error.downcast::<Forbidden>() {
            Ok(forbidden) => FetchError::Forbidden(*forbidden),
            Err(other) => FetchError::Transport(printable(&other.to_string())),
        },
        other => FetchError::Transport(printable(&other.to_string())),
    }
}

fn user_agent(contact: Option<&str>) -> String {
    let name = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
    contact.map_or_else(|| name.to_owned(), |contact| format!("{name} ({contact})"))
}

fn trusted(path: &Path) -> Result<RootCerts, FetcherError> {
    let pem = std::fs::read(path).map_err(|error| FetcherError::Unreadable(path.to_owned(), error))?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(FetcherError::NoCertificate(path.to_owned()));
    }
    Ok(RootCerts::from(certificates))
}

/// A text from outside without what a terminal would obey, or what turns the order of what follows it (UAX #9 §2), cut to a
/// line.
pub(crate) fn printable(text: &str) -> String {
    let turns = |letter| matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().take(200).map(|letter| if letter.is_control() || turns(letter) { '?' } else { letter }).collect()
}

/// Looks names up, and lets only those addresses through that may be connected to.
///
/// INVARIANT: the client connects to the addresses that this returns and looks nothing up again.
#[derive(Debug)]
struct Guarded {
    inner: DefaultResolver,
    allowed: Vec<IpNetwork>,
}

impl Guarded {
    fn allowing(allowed: &[IpNetwork]) -> Self {
        Self { inner: DefaultResolver::default(), allowed: allowed.to_vec() }
    }

    /// What `address` is that may not be connected to.
    fn refuses(&self, address: SocketAddr) -> Option<SpecialUse> {
        let ip = canonical(address.ip());
        special_use(ip).filter(|_| !self.allowed.iter().any(|network| network.contains(ip)))
    }
}

impl Resolver for Guarded {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut public = self.empty();
        let mut refused = None;
        for address in found.iter() {
            match self.refuses(*address) {
                None => public.push(*address),
                Some(special_use) => refused = Some((address.ip(), special_use)),
            }
        }
        match refused {
            Some((address, special_use)) if public.is_empty() => {
                let host = uri.host().unwrap_or_default().to_owned();
                Err(ureq::Error::Other(Box::new(Forbidden { host, address, special_use })))
            }
            _ => Ok(public),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_and_what_turns_text_around_is_not_printed() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{202e}c\u{2066}d\u{200f}é"), "a?[2J?b?c?d?é");
        assert_eq!(printable(&"x".repeat(300)).len(), 200);
    }

    fn resolved(url: &str, allowed: &[&str]) -> Result<Vec<SocketAddr>, FetchError> {
        let allowed: Vec<IpNetwork> = allowed.iter().map(|network| network.parse().unwrap()).collect();
        let timeout = NextTimeout { after: Duration::from_secs(5).into(), ..NextTimeout::default() };
        let bounds = Bounds { max_bytes: 1, total_time: Duration::from_secs(5) };
        Guarded::allowing(&allowed)
            .resolve(&url.parse().unwrap(), &Config::default(), timeout)
            .map(|found| found.iter().copied().collect())
            .map_err(|error| failure(error, bounds))
    }

    #[test]
    fn addresses_that_are_not_public_are_not_connected_to_however_they_are_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "localhost",
            "10.0.0.8",
            "169.254.169.254",
            "192.168.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a00:1]",
            "[fd00::1]",
            "[fe80::1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
        ] {
            let error = resolved(&format!("https://{host}/feed.txt"), &[]).expect_err(host);
            assert!(matches!(error, FetchError::Forbidden(_)), "{host}: {error}");
        }
    }

    #[test]
    fn an_address_is_reached_that_is_public_or_of_a_mirror_of_ones_own() {
        assert_eq!(resolved("https://8.8.8.8/", &[]).unwrap(), ["8.8.8.8:443".parse().unwrap()]);
        assert_eq!(resolved("https://10.1.2.3:8443/", &["10.1.2.0/24"]).unwrap(), ["10.1.2.3:8443".parse().unwrap()]);
        assert!(resolved("https://10.1.3.3/", &["10.1.2.0/24"]).is_err());
    }

    #[test]
    fn a_redirect_is_read_as_a_browser_reads_it_and_leads_to_https_alone() {
        let from: Uri = "https://lists.shop.example/a/b".parse().unwrap();
        for (location, to) in [
            ("/c?d=1#e", Some("https://lists.shop.example/c?d=1")),
            ("https://cdn.shop.example/c", Some("https://cdn.shop.example/c")),
            ("//cdn.shop.example/c", Some("https://cdn.shop.example/c")),
            ("http://cdn.shop.example/c", None),
            ("file:///etc/passwd", None),
            ("c", None),
            ("", None),
            ("https://", None),
        ] {
            let headers: HeaderMap = [(LOCATION, location.parse().unwrap())].into_iter().collect();
            let found = target(&from, &headers).ok().map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), to, "{location}");
        }
        assert!(target(&from, &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_web_page_is_known_by_how_it_begins() {
        for (text, page) in [
            ("<!DOCTYPE html><title>Log in</title>", true),
            ("\u{feff}\n  <html>", true),
            ("<HTML lang=en>", true),
            ("192.0.2.0/24\n", false),
            ("{\"prefixes\": []}", false),
            ("# <html> is no feed\n", false),
            ("", false),
        ] {
            assert_eq!(is_web_page(text.as_bytes()), page, "{text:?}");
        }
    }
}
