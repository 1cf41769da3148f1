//! Whether a request's framing means the same to every reader.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};

/// The head of a request, as the wire gave it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The request target as sent: what stands between method and version, or the `:path` of HTTP/2.
    pub target: &'a [u8],
    /// The `:authority` of HTTP/2.
    pub authority: Option<&'a str>,
    /// The protocol version.
    pub version: Version,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The bytes of the header section as sent, where the protocol has such (HTTP/1).
    pub raw: Option<&'a [u8]>,
}

/// A fault of framing: two readers could see two different requests (RFC 9112 §6.3, §11.2).
///
/// Every one of them is answered with 400 and a closed connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FramingFault {
    /// Content-Length beside Transfer-Encoding.
    LengthAndEncoding,
    /// More than one Content-Length, even when they are equal.
    DuplicateLength,
    /// A Content-Length that is not a plain decimal number.
    InvalidLength,
    /// A Transfer-Encoding other than a lone `chunked`, or one in HTTP/1.0.
    UnknownEncoding,
    /// More than one Host header, or a Host that differs from the target's authority.
    AmbiguousHost,
    /// A carriage return, line feed or NUL that does not belong to a line's end.
    BareControl,
    /// A header line that is continued on the next one (obs-fold).
    FoldedHeader,
    /// A request target that is neither a path nor a URL of one (RFC 9112 §3.2).
    Target,
    /// A method with lower-case letters: methods are told apart by case (RFC 9110 §9.1), and some servers fold it.
    MethodCase,
    /// A field that stands once in a message, and stands there twice.
    DuplicateField,
    /// A request line that is not a method, a target and a version of HTTP/1 (RFC 9112 §3).
    RequestLine,
    /// A header line that is not a name, a colon and a value (RFC 9112 §5).
    HeaderLine,
    /// A header section that could not be read for another reason, such as its size or the number of its lines.
    HeaderSection,
}

impl FramingFault {
    /// The stable name that reasons and audit records use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LengthAndEncoding => "length-and-encoding",
            Self::DuplicateLength => "duplicate-length",
            Self::InvalidLength => "invalid-length",
            Self::UnknownEncoding => "unknown-encoding",
            Self::AmbiguousHost => "ambiguous-host",
            Self::BareControl => "bare-control",
            Self::FoldedHeader => "folded-header",
            Self::Target => "target",
            Self::MethodCase => "method-case",
            Self::DuplicateField => "duplicate-field",
            Self::RequestLine => "request-line",
            Self::HeaderLine => "header-line",
            Self::HeaderSection => "header-section",
        }
    }

    /// Whether it is one that nobody can read past, rather than one that two readers see two requests in.
    pub const fn is_unreadable(self) -> bool {
        matches!(self, Self::RequestLine | Self::HeaderLine | Self::HeaderSection)
    }
}

/// Looks for the first fault of framing in a request's head.
///
/// Where there are raw bytes, the fields are counted in them: a server that repairs a message before it shows
/// its fields would hide what another server sees.
pub(crate) fn check(head: &RequestHead<'_>) -> Option<FramingFault> {
    let lines = match head.raw {
        Some(raw) => match read_lines(raw) {
            Ok(lines) => lines,
            Err(fault) => return Some(fault),
        },
        None => FramingLines {
            lengths: FieldValues::of(head.headers, &header::CONTENT_LENGTH),
            encodings: FieldValues::of(head.headers, &header::TRANSFER_ENCODING),
        },
    };
    length_fault(&lines)
        .or_else(|| encoding_fault(&lines, head.version))
        .or_else(|| host_fault(head))
        .or_else(|| method_fault(head))
        .or_else(|| duplicate_fault(head))
}

/// The parts of a request line of HTTP/1 (RFC 9112 §3), without its end: method, target, version; each is empty where it is
/// missing. What stands between the first space and the last before a version is the target, as some send spaces in that.
pub fn request_line(line: &[u8]) -> [&[u8]; 3] {
    let is_space = |byte: &u8| *byte == b' ';
    let mut parts = line.splitn(2, is_space);
    let (method, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut parts = rest.rsplitn(2, is_space);
    match (parts.next(), parts.next()) {
        (Some(version), Some(target)) if version.starts_with(b"HTTP/") => [method, target, version],
        _ => [method, rest, b""],
    }
}

/// The first thing that is wrong with the lines of a header section that begins with `raw`, the last of which may be cut off.
pub(crate) fn line_fault(raw: &[u8]) -> Option<FramingFault> {
    // Empty lines before a request are passed over (RFC 9112 §2.2).
    let mut lines = raw.split_inclusive(|&byte| byte == b'\n').skip_while(|line| line.trim_ascii().is_empty());
    let first = lines.next()?;
    let parts = request_line(without_end(first));
    if !is_request_line(parts, first.ends_with(b"\n")) {
        return Some(FramingFault::RequestLine);
    }
    let whole = lines.filter(|line| line.ends_with(b"\n")).map(without_end);
    if whole.take_while(|line| !line.is_empty()).any(|line| header_line(line).is_none()) {
        return Some(FramingFault::HeaderLine);
    }
    let [_, target, version] = parts;
    (!version.is_empty() && Uri::try_from(without_spaces(target).as_slice()).is_err()).then_some(FramingFault::Target)
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A target with something in the place of its spaces, which are read as if they were escaped.
fn without_spaces(target: &[u8]) -> Vec<u8> {
    target.iter().map(|&byte| if byte == b' ' { b'+' } else { byte }).collect()
}

/// Whether these are the parts of a request line, or of the beginning of one.
fn is_request_line([method, target, version]: [&[u8]; 3], is_whole: bool) -> bool {
    const VERSIONS: [&[u8]; 2] = [b"HTTP/1.1", b"HTTP/1.0"];
    let is_method = Method::from_bytes(method).is_ok();
    if is_whole {
        return is_method && !target.is_empty() && VERSIONS.contains(&version);
    }
    is_method && VERSIONS.iter().any(|known| known.starts_with(version))
}

/// The name and the value of a header line of HTTP/1 (RFC 9112 §5), without its end; none where it is no such line.
pub fn header_line(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let mut parts = line.splitn(2, |&byte| byte == b':');
    let name = HeaderName::from_bytes(parts.next()?).ok()?;
    let value = parts.next()?;
    // Of what stands around a value only blanks are no part of it.
    HeaderValue::from_bytes(value).ok()?;
    Some((name, HeaderValue::from_bytes(value.trim_ascii()).ok()?))
}

fn method_fault(head: &RequestHead<'_>) -> Option<FramingFault> {
    let lower = head.method.as_str().bytes().any(|byte| byte.is_ascii_lowercase());
    lower.then_some(FramingFault::MethodCase)
}

/// Of two User-Agents or credentials a rule could judge one and the origin read the other.
fn duplicate_fault(head: &RequestHead<'_>) -> Option<FramingFault> {
    if head.headers.len() == head.headers.keys_len() {
        return None;
    }
    [header::USER_AGENT, header::AUTHORIZATION, header::CONTENT_TYPE]
        .iter()
        .any(|name| head.headers.get_all(name).iter().nth(1).is_some())
        .then_some(FramingFault::DuplicateField)
}

/// The fields that frame a message.
#[derive(Clone, Copy, Debug, Default)]
struct FramingLines<'a> {
    lengths: FieldValues<'a>,
    encodings: FieldValues<'a>,
}

/// How often a field occurs, and its first value.
#[derive(Clone, Copy, Debug, Default)]
struct FieldValues<'a> {
    first: Option<&'a [u8]>,
    more: bool,
}

impl<'a> FieldValues<'a> {
    fn of(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
        Self { first: values.next(), more: values.next().is_some() }
    }

    fn note(&mut self, value: &'a [u8]) {
        self.more |= self.first.is_some();
        self.first = self.first.or(Some(value));
    }
}

fn length_fault(lines: &FramingLines<'_>) -> Option<FramingFault> {
    let digits = lines.lengths.first?;
    if lines.lengths.more {
        return Some(FramingFault::DuplicateLength);
    }
    // 15 digits hold a petabyte; a longer number is an attempt at an overflow.
    let plain = !digits.is_empty() && digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit);
    if !plain {
        return Some(FramingFault::InvalidLength);
    }
    lines.encodings.first.map(|_| FramingFault::LengthAndEncoding)
}

fn encoding_fault(lines: &FramingLines<'_>, version: Version) -> Option<FramingFault> {
    let encoding = lines.encodings.first?;
    let lone_chunked = !lines.encodings.more && encoding.eq_ignore_ascii_case(b"chunked");
    (!lone_chunked || version != Version::HTTP_11).then_some(FramingFault::UnknownEncoding)
}

fn host_fault(head: &RequestHead<'_>) -> Option<FramingFault> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next()?;
    let differs = head.authority.is_some_and(|authority| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()));
    (hosts.next().is_some() || differs).then_some(FramingFault::AmbiguousHost)
}

/// Reads the framing fields out of an HTTP/1 header section, and finds what a lenient parser lets through.
fn read_lines(raw: &[u8]) -> Result<FramingLines<'_>, FramingFault> {
    let mut lines = FramingLines::default();
    let mut rest = raw;
    while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, rest) {
        let (line, end) = rest.split_at_checked(at).unwrap_or((rest, b""));
        let Some(behind) = end.strip_prefix(b"\r\n") else { return Err(FramingFault::BareControl) };
        if rest.len() < raw.len() && matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(FramingFault::FoldedHeader);
        }
        note_line(&mut lines, line);
        rest = behind;
    }
    Ok(lines)
}

fn note_line<'a>(lines: &mut FramingLines<'a>, line: &'a [u8]) {
    // Nearly every line is told apart by its first letter.
    let values = match line.first() {
        Some(b'c' | b'C') => &mut lines.lengths,
        Some(b't' | b'T') => &mut lines.encodings,
        _ => return,
    };
    let name: &[u8] = if matches!(line.first(), Some(b'c' | b'C')) { b"content-length" } else { b"transfer-encoding" };
    let Some((found, rest)) = line.split_at_checked(name.len()) else { return };
    if found.eq_ignore_ascii_case(name)
        && let Some((b':', value)) = rest.trim_ascii_start().split_first()
    {
        values.note(value.trim_ascii());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_head(version: Version, fields: &[(&str, &str)], raw: Option<&[u8]>) -> Option<FramingFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let head =
            RequestHead { method: &Method::POST, target: b"/", authority: None, version, headers: &headers, raw };
        check(&head)
    }

    #[test]
    fn each_fault_of_the_header_fields_is_named() {
        use FramingFault::*;
        for (version, fields, fault) in [
            (Version::HTTP_11, &[("content-length", "3")][..], None),
            (Version::HTTP_11, &[("transfer-encoding", "chunked")], None),
            (Version::HTTP_11, &[("transfer-encoding", "Chunked")], None),
            (Version::HTTP_11, &[("content-length", "3"), ("transfer-encoding", "chunked")], Some(LengthAndEncoding)),
            (Version::HTTP_11, &[("content-length", "3"), ("content-length", "3")], Some(DuplicateLength)),
            (Version::HTTP_11, &[("content-length", "3"), ("content-length", "4")], Some(DuplicateLength)),
            (Version::HTTP_11, &[("content-length", "3, 3")], Some(InvalidLength)),
            (Version::HTTP_11, &[("content-length", "+3")], Some(InvalidLength)),
            (Version::HTTP_11, &[("content-length", "0x3")], Some(InvalidLength)),
            (Version::HTTP_11, &[("content-length", "")], Some(InvalidLength)),
            (Version::HTTP_11, &[("content-length", "99999999999999999999")], Some(InvalidLength)),
            (Version::HTTP_11, &[("transfer-encoding", "gzip, chunked")], Some(UnknownEncoding)),
            (Version::HTTP_11, &[("transfer-encoding", "xchunked")], Some(UnknownEncoding)),
            (Version::HTTP_11, &[("transfer-encoding", "identity")], Some(UnknownEncoding)),
            (
                Version::HTTP_11,
                &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Some(UnknownEncoding),
            ),
            (Version::HTTP_10, &[("transfer-encoding", "chunked")], Some(UnknownEncoding)),
            (Version::HTTP_11, &[("host", "a.example"), ("host", "b.example")], Some(AmbiguousHost)),
        ] {
            assert_eq!(check_head(version, fields, None), fault, "{fields:?}");
        }
    }

    #[test]
    fn each_fault_of_the_raw_bytes_is_named() {
        use FramingFault::*;
        for (raw, fault) in [
            (&b"Host: a\r\nX: y\r\n\r\n"[..], None),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
            (b"Host: a\nX: y\r\n\r\n", Some(BareControl)),
            (b"\nHost: a\r\n", Some(BareControl)),
            (b"Host: a\rX: y\r\n\r\n", Some(BareControl)),
            (b"Host: a\0b\r\n\r\n", Some(BareControl)),
            (b"Host: a\r\n folded\r\n\r\n", Some(FoldedHeader)),
            (b"Host: a\r\n\tfolded\r\n\r\n", Some(FoldedHeader)),
            (b"Host: a\r\ncontent-length: 5\r\n\r\n", None),
            (b"Host: a\r\nCONTENT-LENGTH:5\r\nTransfer-encoding: chunked\r\n\r\n", Some(LengthAndEncoding)),
            (b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", Some(DuplicateLength)),
            (b"Content-Length : 5\r\nContent-Length: 5\r\n\r\n", Some(DuplicateLength)),
            (b"Content-Length: 5 5\r\n\r\n", Some(InvalidLength)),
            (b"Transfer-Encoding: chunked\r\n\r\n", None),
            (b"Transfer-Encoding: xchunked\r\n\r\n", Some(UnknownEncoding)),
            (b"Content-Lengthy: 5\r\nTransfer-Encodings: x\r\nTE: trailers\r\nCookie: a\r\n\r\n", None),
        ] {
            assert_eq!(check_head(Version::HTTP_11, &[], Some(raw)), fault, "{raw:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_lines() {
        use FramingFault::*;
        for (raw, fault) in [
            (&b""[..], None),
            (b"\r\n", None),
            (b"\x16\x03\x01", Some(RequestLine)),
            (b"GE", None),
            (b"GE(", Some(RequestLine)),
            (b"GET\r\n", Some(RequestLine)),
            (b"GET /\r\n", Some(RequestLine)),
            (b" / HTTP/1.1\r\n", Some(RequestLine)),
            (b"GET  HTTP/1.1\r\n", Some(RequestLine)),
            (b"GET / HTTP/3.7\r\n", Some(RequestLine)),
            (b"GET /a b HTTP/1.1\r\n", None),
            (b"GET / HTTP/3.7", Some(RequestLine)),
            (b"GET / HTTP/1.", None),
            (b"GET / HTTP/1.1\r", None),
            (b"GET / HT", None),
            (b"GET HTTP/1.1\r\n", Some(RequestLine)),
            (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nno header line\r\n", None),
            (b"GET / HTTP/1.1\r\nHost: a\r\nno header line\r\n", Some(HeaderLine)),
            (b"GET / HTTP/1.1\r\nHost: a\r\ncut o", None),
            (b"GET / HTTP/1.1\r\nHost : a\r\n", Some(HeaderLine)),
            (b"GET /<b> HTTP/1.1\r\nHost : a\r\n", Some(HeaderLine)),
            (b"GET /<b> HTTP/1.1\r\nHost: a\r\n", Some(Target)),
            (b"GET /?q=\"b HTTP/1.1\r\nHost: a\r\n", Some(Target)),
            (b"GET /\xc3\xa4|?{} HTTP/1.0\n", None),
            (b"GET http://a.example/?<b> HTTP/1.1\r\n", Some(Target)),
            (b"PRI * HTTP/2.0\r\n\r\n", Some(RequestLine)),
            (b"GET / HTTP/1.1\r\n: a\r\n", Some(HeaderLine)),
            (b"GET / HTTP/1.1\r\nA: \x01\r\n", Some(HeaderLine)),
            (b"GET / HTTP/1.1\r\nA: \xff\tb\r\n", None),
        ] {
            assert_eq!(line_fault(raw), fault, "{:?}", String::from_utf8_lossy(raw));
        }
    }
}
