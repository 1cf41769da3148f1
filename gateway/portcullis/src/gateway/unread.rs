//! Requests of HTTP/1 that cannot be read: judged by what can be told of them, refused, and recorded as any other.

use http::{Method, Version};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use pingora::http::RequestHeader;
use portcullis_signals::{CanonicalRequest, Fault, Http, UnixSeconds, header_line, request_line};

use super::Gateway;
use super::enforce::{self, Form};
use super::gather::Asked;
use super::head::head_of;
use super::record::Outcome;
use super::refusal::Refused;
use super::request::{Over, RequestContext};
use crate::accept::{ConnInfo, HEAD_BYTES, Unread, UnreadAnswer};

impl Unread for Gateway {
    /// Judged and recorded before it is sent, unless it cannot be told who asks.
    fn answer(&self, conn: &ConnInfo, head: &[u8]) -> Option<UnreadAnswer> {
        let section = Section::of(head);
        let Told { request, is_all } = told_of(section.bytes)?;
        if (section.is_whole && is_all) || !self.trusted.trusts(conn.client.ip()) {
            return self.judged_answer(conn, section, &request);
        }
        // INVARIANT: the line by which a proxy names its client may be one that did not come, or cannot be read. Those before
        // it are by who asked, so that nobody is charged.
        let id = self.request_ids.next();
        let fault = fault_of(section, &request)?;
        tracing::debug!(request = id.as_str(), fault = fault.name(), proxy = %conn.client, "a head of nobody cannot be read");
        let reply = enforce::malformed(fault, id.as_str()).with("portcullis-request-id", id.as_str().to_owned());
        let now = self.clock.now().unix();
        let (bytes, _) = reply.to_last_of_http1(&date_of(now), request.method == Method::HEAD);
        Some(UnreadAnswer { bytes, is_judged: false })
    }
}

impl Gateway {
    fn judged_answer(&self, conn: &ConnInfo, section: Section<'_>, request: &RequestHeader) -> Option<UnreadAnswer> {
        let mut ctx = RequestContext::of(self);
        ctx.began = self.clock.now();
        ctx.policy = self.policy_for(conn, &request.headers);
        let head = head_of(request, Some(section.bytes));
        self.judge_asked(Asked::Unreadable, &head, conn, Http::One, ctx.began, &mut ctx);
        ctx.decided_in = ctx.began.instant.elapsed();
        let judged = ctx.judged.as_ref()?;
        let route = ctx.policy.rules().route(judged.decision.route);
        let refused = Refused { route, headers: &request.headers, form: Form::Problem, reference_id: ctx.id.as_str() };
        let reply = enforce::refuse(&judged.decision, &judged.limited.readings, &refused);
        let reply = self.marked(reply, &request.headers, &ctx);
        let (bytes, sent) = reply.to_last_of_http1(&date_of(ctx.began.unix()), request.method == Method::HEAD);
        let outcome = Outcome { status: Some(reply.status().as_u16()), sent_bytes: sent as u64, error: None };
        self.conclude(Over { request, conn, raw_head: None, outcome, by_client: false }, &mut ctx);
        Some(UnreadAnswer { bytes, is_judged: true })
    }
}

/// Reads any bytes as the beginning of a head that cannot be read, and names what is wrong with it.
///
/// What a fuzzer calls.
pub fn name_any_fault(head: &[u8]) -> Option<&'static str> {
    let section = Section::of(head);
    fault_of(section, &told_of(section.bytes)?.request).map(Fault::name)
}

fn fault_of(section: Section<'_>, request: &RequestHeader) -> Option<Fault> {
    CanonicalRequest::unreadable(&head_of(request, Some(section.bytes))).fault()
}

/// What of a header section came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Section<'a> {
    /// Its lines, without a body that came with it.
    bytes: &'a [u8],
    /// Whether its end came, too. A parser may have given up before.
    is_whole: bool,
}

impl<'a> Section<'a> {
    /// The section that `head` begins with; to the end of its last whole line where `head` is all that is kept of it.
    fn of(head: &'a [u8]) -> Self {
        let begun = head.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(head.len());
        let mut end = begun;
        let is_full = head.len() >= HEAD_BYTES;
        let upto = |end: usize| head.get(..end).unwrap_or(head);
        for line in head.get(begun..).unwrap_or_default().split_inclusive(|&byte| byte == b'\n') {
            if matches!(line, b"\r\n" | b"\n") {
                return Self { bytes: upto(end), is_whole: true };
            }
            if is_full && !line.ends_with(b"\n") && end > begun {
                break;
            }
            end += line.len();
        }
        Self { bytes: upto(end), is_whole: false }
    }
}

/// What can be told of a request that cannot be read.
#[derive(Debug)]
struct Told {
    /// Its method, its target and those of its header lines that are such. What cannot be told is `-` for the method, and `/`
    /// for the target.
    request: RequestHeader,
    /// Whether each of its header lines is there.
    is_all: bool,
}

fn told_of(section: &[u8]) -> Option<Told> {
    let mut lines = section.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let [method, target, version] = request_line(first);
    let method = Method::from_bytes(method).ok();
    let method = method.as_ref().map_or("-", Method::as_str);
    let target = if target.is_empty() { b"/" } else { target };
    let mut request = RequestHeader::build(method, target, None)
        .or_else(|_| RequestHeader::build(method, percent_encode(target, NO_URI).to_string().as_bytes(), None))
        .or_else(|_| RequestHeader::build(method, b"/", None))
        .ok()?;
    if version == b"HTTP/1.0" {
        request.set_version(Version::HTTP_10);
    }
    let mut is_all = true;
    for line in lines.filter(|line| !line.is_empty()) {
        is_all &= add_line(&mut request, line).is_some();
    }
    Some(Told { request, is_all })
}

fn add_line(request: &mut RequestHeader, line: &[u8]) -> Option<()> {
    let (name, value) = header_line(line)?;
    request.append_header(name, value).ok().map(|_| ())
}

/// What is no part of a URI (RFC 3986 §2), nor all that are not ASCII.
const NO_URI: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// RFC 9110 §5.6.7.
fn date_of(now: UnixSeconds) -> String {
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    let time = i64::try_from(now.0).ok().and_then(|secs| jiff::Timestamp::from_second(secs).ok());
    time.and_then(|time| printer.timestamp_to_rfc9110_string(&time).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_section_ends_before_its_empty_line_and_behind_its_last_whole_one() {
        let begun = "GET / HTTP/1.1\r\nA: b\r\nC: ";
        let long = format!("{begun}{}", "d".repeat(HEAD_BYTES - begun.len()));
        for (head, section, is_whole) in [
            ("", "", false),
            ("\r\n\r\n", "\r\n\r\n", false),
            ("GET", "GET", false),
            ("GET / HTTP/1.1\r\nA: b", "GET / HTTP/1.1\r\nA: b", false),
            ("\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n", "\r\nGET / HTTP/1.1\r\nA: b\r\n", true),
            ("GET / HTTP/1.1\nA: b\n\nbody", "GET / HTTP/1.1\nA: b\n", true),
            ("GET / HTTP/1.1\r\n \r\nA: b\r\n\r\n", "GET / HTTP/1.1\r\n \r\nA: b\r\n", true),
            (&long, "GET / HTTP/1.1\r\nA: b\r\n", false),
            (&"x".repeat(HEAD_BYTES), &"x".repeat(HEAD_BYTES), false),
            (&format!("{begun}d\r\n\r\n{long}"), &format!("{begun}d\r\n"), true),
        ] {
            let found = Section::of(head.as_bytes());
            assert_eq!(found, Section { bytes: section.as_bytes(), is_whole }, "{head:?}");
        }
    }

    #[test]
    fn a_target_that_is_none_is_told_in_an_escaped_form() {
        for (target, path, query) in [
            ("/a?q=<b>", "/a", Some("q=%3Cb%3E")),
            ("/a<b`", "/a%3Cb%60", None),
            ("/\u{e4}<", "/%C3%A4%3C", None),
            ("/%zz", "/%zz", None),
            ("/a b", "/a%20b", None),
        ] {
            let request = told_of(format!("HEAD {target} HTTP/1.1\r\n").as_bytes()).unwrap().request;
            let told = (request.method.as_str(), request.uri.path(), request.uri.query());
            assert_eq!(told, ("HEAD", path, query), "{target}");
        }
    }

    #[test]
    fn lines_that_can_be_read_are_told_and_others_left_out() {
        for (lines, fields, is_all) in [
            (&b"Host: a\r\nB:c\nD:\xff\r\n"[..], &[("host", &b"a"[..]), ("b", b"c"), ("d", b"\xff")][..], true),
            (b"Host: a\r\nno line\r\nB: c", &[("host", b"a"), ("b", b"c")], false),
            (b" Host: a\r\nB : c\r\nE: \0\r\nF: g\rh\r\n", &[], false),
            (b"Host: a\r\n \r\n", &[("host", b"a")], false),
        ] {
            let told = told_of(&[b"\r\nPOST /a?b HTTP/1.0\r\n", lines].concat()).unwrap();
            let request = &told.request;
            let found: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            assert_eq!((request.method.as_str(), request.raw_path()), ("POST", &b"/a?b"[..]));
            assert_eq!(request.version, Version::HTTP_10);
            assert_eq!((&*found, told.is_all), (fields, is_all), "{:?}", String::from_utf8_lossy(lines));
        }
    }

    #[test]
    fn a_date_is_that_of_http() {
        assert_eq!(date_of(UnixSeconds(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    proptest! {
        #[test]
        fn something_is_told_of_any_bytes(bytes: Vec<u8>, lines: Vec<(String, Vec<u8>)>) {
            let lines = lines.iter().flat_map(|(name, value)| [name.as_bytes(), b":", value, b"\r\n"].concat());
            for head in [bytes.clone(), bytes.into_iter().chain(lines).collect()] {
                let Section { bytes: section, is_whole } = Section::of(&head);
                let behind = head.strip_prefix(section).unwrap();
                prop_assert!(!is_whole || behind.starts_with(b"\r\n") || behind.starts_with(b"\n"));
                prop_assert!(name_any_fault(&head).is_some());
            }
        }
    }
}
