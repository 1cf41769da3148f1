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
    form: Form,
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
    /// One of each name.
    pub const ALL: [Self; 24] = {
        use Ambiguity as P;
        use FramingFault as F;
        [
            Self::Framing(F::LengthAndEncoding),
            Self::Framing(F::DuplicateLength),
            Self::Framing(F::InvalidLength),
            Self::Framing(F::UnknownEncoding),
            Self::Framing(F::AmbiguousHost),
            Self::Framing(F::BareControl),
            Self::Framing(F::FoldedHeader),
            Self::Framing(F::Target),
            Self::Framing(F::MethodCase),
            Self::Framing(F::DuplicateField),
            Self::Framing(F::RequestLine),
            Self::Framing(F::HeaderLine),
            Self::Framing(F::HeaderSection),
            Self::Host(HostFault::Missing),
            Self::Host(HostFault::Character),
            Self::Path(P::EncodedSlash),
            Self::Path(P::Backslash),
            Self::Path(P::EncodedNul),
            Self::Path(P::Parameter),
            Self::Path(P::Fragment),
            Self::Path(P::BrokenEncoding),
            Self::Path(P::NotUtf8),
            Self::Path(P::Control),
            Self::Path(P::DoubleEncoding),
        ]
    };

    /// The fault of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

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
        let target = Target::of(head.target);
        let authority = head
            .authority
            .or_else(|| head.headers.get(header::HOST).and_then(|value| value.to_str().ok()))
            .unwrap_or_default();
        let host = Host::of(authority);
        let path = CanonicalPath::of(target.path);
        let other_host = target.authority.is_some_and(|named| !named.eq_ignore_ascii_case(authority));
        let fault = framing::check(head)
            .or_else(|| (target.form == Form::Neither).then_some(FramingFault::Target))
            .or_else(|| other_host.then_some(FramingFault::AmbiguousHost))
            .map(Fault::Framing)
            .or_else(|| host.as_ref().err().copied().map(Fault::Host))
            .or_else(|| path.ambiguity().map(Fault::Path));
        Self {
            method: head.method,
            host: host.ok(),
            path,
            form: target.form,
            query: target.query,
            headers: head.headers,
            fault,
        }
    }

    /// The same of a head that a parser could not read: `raw` is its beginning, and the rest what could be told of it.
    pub fn unreadable(head: &RequestHead<'a>) -> Self {
        let request = Self::of(head);
        let fault = match (framing::line_fault(head.raw.unwrap_or_default()), request.fault) {
            // Of what is no request nothing else is told.
            (Some(FramingFault::RequestLine), _) => Fault::Framing(FramingFault::RequestLine),
            (_, Some(fault @ Fault::Framing(_))) => fault,
            (Some(fault), _) => Fault::Framing(fault),
            (None, Some(fault @ Fault::Host(_))) if head.headers.contains_key(header::HOST) => fault,
            (None, _) => Fault::Framing(FramingFault::HeaderSection),
        };
        request.with_fault(fault)
    }

    /// The same request, with a fault that its head does not show.
    #[must_use]
    pub fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
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

    /// Whether what is forwarded differs from what was sent.
    pub fn is_rewritten(&self) -> bool {
        self.form == Form::Absolute || self.path.is_rewritten()
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

    /// The value of a header field that stands there once; several values are no value.
    pub fn only_header(&self, name: &HeaderName) -> Option<&'a HeaderValue> {
        let mut values = self.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    }

    /// What is wrong with the request, framing first.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The value of one cookie (RFC 6265 §4.2.1), the first of that name, where it is visible ASCII.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.cookies(name).next()?).ok()
    }

    /// The value of a cookie that is there once, or with one value only; others are no value.
    pub fn only_cookie(&self, name: &str) -> Option<&'a str> {
        let mut values = self.cookies(name);
        let first = values.next()?;
        values.all(|other| other == first).then(|| std::str::from_utf8(first).ok())?
    }

    /// The values of every cookie of that name that are text, in the order sent.
    ///
    /// A browser sends two where a sibling host or another path set one as well (RFC 6265 §5.4), and says of neither
    /// whose it is.
    pub fn every_cookie(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.cookies(name).filter_map(|value| std::str::from_utf8(value).ok())
    }

    fn cookies(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |pair: &'a [u8]| pair.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"=");
        let values = self.headers.get_all(header::COOKIE).iter();
        values
            .flat_map(move |value| value.as_bytes().split(|byte| *byte == b';').filter_map(named))
            .map(<[u8]>::trim_ascii_end)
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

/// Whether a header belongs to the gateway: its name begins with `Portcullis-`, or with `Portcullis_`, which CGI
/// and what follows it (RFC 3875 §4.1.18) cannot tell from it.
pub fn is_portcullis_header(name: &HeaderName) -> bool {
    name.as_str().strip_prefix("portcullis").is_some_and(|rest| rest.starts_with(['-', '_']))
}

/// A request target, split.
struct Target<'a> {
    form: Form,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

/// The forms of a request target that are served (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// A path, and a query.
    Origin,
    /// A URL of http or https.
    Absolute,
    /// Anything else, which servers read differently.
    Neither,
}

impl<'a> Target<'a> {
    const NEITHER: Self = Self { form: Form::Neither, authority: None, path: "/", query: None };

    fn of(bytes: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else { return Self::NEITHER };
        let (form, authority, rest) = if text.starts_with('/') {
            (Form::Origin, None, text)
        } else {
            let Some((scheme, rest)) = text.split_once("://") else { return Self::NEITHER };
            if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return Self::NEITHER;
            }
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
            (Form::Absolute, Some(authority), rest)
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        Self { form, authority, path, query }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Version;

    fn request<'a>(headers: &'a HeaderMap, target: &'a [u8]) -> CanonicalRequest<'a> {
        CanonicalRequest::of(&RequestHead {
            method: &Method::GET,
            target,
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
        let request = request(&headers, b"/");
        assert_eq!(request.cookie("sid"), Some("yes"));
        assert_eq!(request.cookie("late"), Some("a=b"));
        assert_eq!(request.cookie("si"), None);
    }

    #[test]
    fn a_query_value_is_found_by_its_whole_name() {
        let headers = HeaderMap::new();
        let request = request(&headers, b"/?xkey=1&key=2&key=3&flag");
        assert_eq!(request.query_value("key"), Some("2"));
        assert_eq!(request.query_value("flag"), Some(""));
        assert_eq!(request.query_value("missing"), None);
    }

    #[test]
    fn a_cookie_with_several_values_has_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("sid=a; other=1; sid=a; lang=x"));
        headers.append(header::COOKIE, HeaderValue::from_static("lang=y"));
        let request = request(&headers, b"/");
        assert_eq!(request.only_cookie("sid"), Some("a"));
        assert_eq!(request.only_cookie("other"), Some("1"));
        assert_eq!(request.only_cookie("lang"), None);
        assert_eq!(request.only_cookie("none"), None);
    }

    #[test]
    fn a_request_without_a_host_is_at_fault() {
        let headers = HeaderMap::new();
        assert_eq!(request(&headers, b"/").fault(), Some(Fault::Host(HostFault::Missing)));
    }

    #[test]
    fn a_header_of_the_gateway_is_noticed() {
        let mut headers = HeaderMap::new();
        assert!(!request(&headers, b"/").claims_a_verdict());
        headers.insert("portcullis-score", HeaderValue::from_static("0"));
        assert!(request(&headers, b"/").claims_a_verdict());
    }

    #[test]
    fn only_a_path_or_a_url_is_a_target() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("shop.example"));
        let framing = |fault| Some(Fault::Framing(fault));
        for (target, path, fault) in [
            ("/a?b", "/a", None),
            ("http://shop.example/a?b", "/a", None),
            ("HTTPS://Shop.Example/a", "/a", None),
            ("http://shop.example", "/", None),
            ("http://shop.example?b", "/", None),
            ("http://other.example/a", "/a", framing(FramingFault::AmbiguousHost)),
            ("http://user@shop.example/a", "/a", framing(FramingFault::AmbiguousHost)),
            ("a", "/", framing(FramingFault::Target)),
            ("x/../a", "/", framing(FramingFault::Target)),
            ("?/a", "/", framing(FramingFault::Target)),
            ("\\a", "/", framing(FramingFault::Target)),
            ("@shop.example/a", "/", framing(FramingFault::Target)),
            ("shop.example/a", "/", framing(FramingFault::Target)),
            ("ftp://shop.example/a", "/", framing(FramingFault::Target)),
            ("*", "/", framing(FramingFault::Target)),
            ("", "/", framing(FramingFault::Target)),
        ] {
            let request = request(&headers, target.as_bytes());
            assert_eq!((request.path().as_str(), request.fault()), (path, fault), "{target}");
        }
    }

    #[test]
    fn several_values_of_a_field_are_no_value() {
        let mut headers = HeaderMap::new();
        headers.append("x-api-key", HeaderValue::from_static("a"));
        assert!(request(&headers, b"/").only_header(&HeaderName::from_static("x-api-key")).is_some());
        headers.append("x-api-key", HeaderValue::from_static("b"));
        assert!(request(&headers, b"/").only_header(&HeaderName::from_static("x-api-key")).is_none());
    }

    /// To be changed together with [`Fault::ALL`].
    const fn of_all(fault: Fault) -> usize {
        use Ambiguity as P;
        use FramingFault as F;
        match fault {
            Fault::Framing(
                F::LengthAndEncoding
                | F::DuplicateLength
                | F::InvalidLength
                | F::UnknownEncoding
                | F::AmbiguousHost
                | F::BareControl
                | F::FoldedHeader
                | F::Target
                | F::MethodCase
                | F::DuplicateField
                | F::RequestLine
                | F::HeaderLine
                | F::HeaderSection,
            ) => 13,
            Fault::Host(HostFault::Missing | HostFault::Character | HostFault::Port | HostFault::TooLong) => 2,
            Fault::Path(
                P::EncodedSlash
                | P::Backslash
                | P::EncodedNul
                | P::Parameter
                | P::Fragment
                | P::BrokenEncoding
                | P::NotUtf8
                | P::Control
                | P::DoubleEncoding,
            ) => 9,
        }
    }

    #[test]
    fn a_fault_is_found_by_its_name() {
        let kinds =
            [Fault::Framing(FramingFault::Target), Fault::Host(HostFault::Missing), Fault::Path(Ambiguity::Fragment)];
        assert_eq!(kinds.map(of_all).iter().sum::<usize>(), Fault::ALL.len());
        for (at, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(Fault::named(fault.name()), Some(fault));
            assert!(!Fault::ALL[..at].iter().any(|other| other.name() == fault.name()), "{fault:?}");
        }
        assert_eq!(Fault::named(""), None);
    }
}
