//! The canonical request: the only form of a request that a decision reads.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::framing::{self, FramingFault, RequestHead};
use crate::host::{Host, HostFault};
use crate::path::{Ambiguity, CanonicalPath};

/// One request, brought into one form, that matching, scoring and forwarding all read.
#[derive(Clone, Debug)]
pub struct CanonicalRequest<'a> {
    method: &'a Method,
    host: Option<Host<'a>>,
    path: CanonicalPath<'a>,
    query: Option<&'a str>,
    headers: &'a HeaderMap,
    fault: Option<Fault>,
}

/// Why a request cannot be read in one way only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Its framing is ambiguous: refused on every route.
    Framing(FramingFault),
    /// It names no host: refused on every route.
    Host(HostFault),
    /// Its path is ambiguous: refused on routes that do not say otherwise.
    Path(Ambiguity),
}

impl Fault {
    /// The stable name that reasons and audit records use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Framing(fault) => fault.name(),
            Self::Host(HostFault::Missing) => "host-missing",
            Self::Host(_) => "host-invalid",
            Self::Path(ambiguity) => ambiguity.name(),
        }
    }
}

impl<'a> CanonicalRequest<'a> {
    /// Brings a request's head into its canonical form; what is wrong with it is kept as its fault.
    pub fn of(head: &RequestHead<'a>) -> Self {
        let authority = head
            .authority
            .or_else(|| head.headers.get(header::HOST).and_then(|value| value.to_str().ok()))
            .unwrap_or_default();
        let host = Host::of(authority);
        let path = CanonicalPath::of(head.path);
        let fault = framing::check(head)
            .map(Fault::Framing)
            .or_else(|| host.as_ref().err().copied().map(Fault::Host))
            .or_else(|| path.ambiguity().map(Fault::Path));
        Self { method: head.method, host: host.ok(), path, query: head.query, headers: head.headers, fault }
    }

    /// The method.
    pub const fn method(&self) -> &Method {
        self.method
    }

    /// The host in lower case without port; empty where the request names none.
    pub fn host(&self) -> &str {
        self.host.as_ref().map_or("", Host::as_str)
    }

    /// The canonical path.
    pub const fn path(&self) -> &CanonicalPath<'a> {
        &self.path
    }

    /// The query as sent, without its `?`.
    pub const fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// All header fields.
    pub const fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The first value of one header field.
    pub fn header(&self, name: &HeaderName) -> Option<&'a HeaderValue> {
        self.headers.get(name)
    }

    /// The first value of one header field, where it is visible ASCII.
    pub fn header_str(&self, name: &HeaderName) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What is wrong with the request, framing first.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The value of one cookie (RFC 6265 §4.2.1), the first of that name.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        self.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).find_map(|line| {
            line.split(';').find_map(|pair| {
                let (key, value) = pair.trim_start().split_once('=')?;
                (key == name).then(|| value.trim_end())
            })
        })
    }

    /// The value of one query parameter as sent, the first of that name.
    pub fn query_value(&self, name: &str) -> Option<&'a str> {
        self.query?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// Whether the client sent a header that only the gateway may write.
    pub fn claims_a_verdict(&self) -> bool {
        self.headers.keys().any(is_portcullis_header)
    }
}

/// Whether a header belongs to the gateway: its name begins with `Portcullis-`.
pub fn is_portcullis_header(name: &HeaderName) -> bool {
    name.as_str().starts_with("portcullis-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Version;

    fn request<'a>(headers: &'a HeaderMap, path: &'a str, query: Option<&'a str>) -> CanonicalRequest<'a> {
        CanonicalRequest::of(&RequestHead {
            method: &Method::GET,
            path,
            query,
            authority: None,
            version: Version::HTTP_11,
            headers,
            raw: None,
        })
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("shop.example"));
        headers.append(header::COOKIE, HeaderValue::from_static("xsid=no; sid=yes ; other=1"));
        headers.append(header::COOKIE, HeaderValue::from_static("late=a=b"));
        let request = request(&headers, "/", None);
        assert_eq!(request.cookie("sid"), Some("yes"));
        assert_eq!(request.cookie("late"), Some("a=b"));
        assert_eq!(request.cookie("si"), None);
    }

    #[test]
    fn a_query_value_is_found_by_its_whole_name() {
        let headers = HeaderMap::new();
        let request = request(&headers, "/", Some("xkey=1&key=2&key=3&flag"));
        assert_eq!(request.query_value("key"), Some("2"));
        assert_eq!(request.query_value("flag"), Some(""));
        assert_eq!(request.query_value("missing"), None);
    }

    #[test]
    fn a_request_without_a_host_is_at_fault() {
        let headers = HeaderMap::new();
        assert_eq!(request(&headers, "/", None).fault(), Some(Fault::Host(HostFault::Missing)));
    }

    #[test]
    fn a_header_of_the_gateway_is_noticed() {
        let mut headers = HeaderMap::new();
        assert!(!request(&headers, "/", None).claims_a_verdict());
        headers.insert("portcullis-score", HeaderValue::from_static("0"));
        assert!(request(&headers, "/", None).claims_a_verdict());
    }
}
