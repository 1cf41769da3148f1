//! HTTP/1.1 messages taken apart by hand, so that a test sees what was on the wire.

use httparse::{EMPTY_HEADER, Status};

/// A response as it was received.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RawResponse {
    /// The final status code, 100..=999.
    pub status: u16,
    /// Names and values in the order and case of the wire. Bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Trailer fields, from HTTP/2 only.
    pub trailers: Vec<(String, String)>,
    /// Status codes of the 1xx responses before this one.
    pub interim: Vec<u16>,
    /// The status line and the fields, byte for byte; empty for HTTP/2.
    pub head: Vec<u8>,
}

impl RawResponse {
    /// The first value of this header, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// All values of this header in their order, whatever its case.
    #[must_use]
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        all(&self.headers, name)
    }

    /// The body as text. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(fault) => panic!("the body is not JSON ({fault}): {}", self.text()),
        }
    }
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    /// The framing that these headers declare, or nothing when they declare none.
    pub(crate) fn declared(headers: &[(String, String)]) -> Result<Option<Self>, String> {
        if let Some(coding) = first(headers, "transfer-encoding") {
            return match coding.eq_ignore_ascii_case("chunked") {
                true => Ok(Some(Self::Chunked)),
                false => Err(format!("expected the transfer coding `chunked`, but found `{coding}`")),
            };
        }
        match first(headers, "content-length") {
            None => Ok(None),
            Some(length) => match length.parse() {
                Ok(length) => Ok(Some(Self::Length(length))),
                Err(_) => Err(format!("expected a number in `content-length`, but found `{length}`")),
            },
        }
    }
}

pub(crate) fn first<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

pub(crate) fn all<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
}

/// Takes the start line and the fields off the front of `buffer`, with the empty line that ends
/// them, or nothing when that line has not arrived.
pub(crate) fn take_head(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = position(buffer, b"\r\n\r\n")?;
    Some(buffer.drain(..end + 4).collect())
}

/// Splits a head into its start line and its fields.
pub(crate) fn split_head(head: &[u8]) -> Result<(String, Vec<(String, String)>), String> {
    let end = position(head, b"\r\n").ok_or("expected a start line that ends in CRLF")?;
    let (line, rest) = head.split_at_checked(end).ok_or("expected a start line")?;
    let fields = rest.get(2..).unwrap_or_default();
    let mut storage = [EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(fields, &mut storage) {
        Ok(Status::Complete((_, fields))) => {
            let fields = fields
                .iter()
                .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned()))
                .collect();
            Ok((String::from_utf8_lossy(line).into_owned(), fields))
        }
        Ok(Status::Partial) => Err("expected an empty line after the fields".to_owned()),
        Err(fault) => Err(format!("expected header fields, but found a fault: {fault}")),
    }
}

/// Takes a whole body off the front of `buffer`, without its framing, or nothing when more bytes
/// are needed. With [`Framing::UntilClose`] more are always needed.
pub(crate) fn take_body(buffer: &mut Vec<u8>, framing: Framing) -> Result<Option<Vec<u8>>, String> {
    match framing {
        Framing::UntilClose => Ok(None),
        Framing::Length(length) if buffer.len() < length => Ok(None),
        Framing::Length(length) => Ok(Some(buffer.drain(..length).collect())),
        Framing::Chunked => take_chunked(buffer),
    }
}

fn take_chunked(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    let mut rest = buffer.as_slice();
    loop {
        let Some(line) = take_line(&mut rest) else {
            return Ok(None);
        };
        let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok())
            .ok_or_else(|| format!("expected a chunk size, but found `{}`", String::from_utf8_lossy(line)))?;
        if size == 0 {
            break;
        }
        let Some((chunk, after)) = rest.split_at_checked(size) else {
            return Ok(None);
        };
        let Some((end, after)) = after.split_at_checked(2) else {
            return Ok(None);
        };
        if end != b"\r\n" {
            return Err("expected CRLF after a chunk".to_owned());
        }
        body.extend_from_slice(chunk);
        rest = after;
    }
    loop {
        match take_line(&mut rest) {
            None => return Ok(None),
            Some(b"") => break,
            Some(_trailer) => {}
        }
    }
    let taken = buffer.len() - rest.len();
    buffer.drain(..taken);
    Ok(Some(body))
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = position(rest, b"\r\n")?;
    let (line, after) = rest.split_at_checked(end)?;
    *rest = after.get(2..)?;
    Some(line)
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Fields in one head. Twice what Pingora accepts, so that the kit is never the one to refuse.
const MAX_FIELDS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_taken_only_when_it_is_whole() {
        let wire = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n";
        for len in 0..wire.len() {
            let mut part = wire[..len].to_vec();
            assert_eq!(take_body(&mut part, Framing::Chunked), Ok(None), "first {len} bytes");
            assert_eq!(part.len(), len, "nothing is taken from the first {len} bytes");
        }
        let mut whole = [wire.as_slice(), b"GET /"].concat();
        assert_eq!(take_body(&mut whole, Framing::Chunked), Ok(Some(b"abc0123456789".to_vec())));
        assert_eq!(whole, b"GET /");
    }

    #[test]
    fn a_chunk_that_lies_about_its_size_is_an_error() {
        for wire in ["2\r\nabc\r\n0\r\n\r\n", "x\r\n", "\r\n", "-1\r\n"] {
            assert!(take_body(&mut wire.as_bytes().to_vec(), Framing::Chunked).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn fields_keep_their_order_case_and_duplicates() {
        let (line, fields) = split_head(b"GET /a%2Fb HTTP/1.1\r\nX-B: 1\r\nx-A:  2 \r\nX-b: 3\r\n\r\n").unwrap();
        assert_eq!(line, "GET /a%2Fb HTTP/1.1");
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, [("X-B", "1"), ("x-A", "2"), ("X-b", "3")]);
    }
}
