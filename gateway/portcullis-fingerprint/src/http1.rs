//! What an HTTP/1 client shows in the head of a request: how it writes its header fields.

use std::fmt;

use smallvec::SmallVec;

use crate::digits::Text;
use crate::header_order::{header_order, header_order_hash};

/// The longest head of a request that is read, in bytes: 64 KiB.
///
/// Servers stop at 8 to 64 KiB. Past it, [`Http1Error::TooLong`].
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The most header fields that are read: 256, as of HTTP/2. Past it, [`Http1Error::TooManyFields`].
pub const MAX_HEAD_FIELDS: usize = crate::hpack::MAX_FIELDS;

/// The HTTP/1 print of a request: the names of its header fields as they were sent, and oddities of writing.
///
/// [`Display`](fmt::Display) writes `version|case|oddities|names`: `1.1|ttl|-|Host,User-Agent,accept`, with a
/// letter a name for its case (see [`HeaderCase`]), a letter an oddity (see [`Oddity`]) or `-`, and the names
/// in wire order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Http1Print<'a> {
    /// The minor version: 1 of `HTTP/1.1`, 0 of `HTTP/1.0`; none where the first line ends in something else.
    pub minor_version: Option<u8>,
    /// The names in wire order, case and repetitions as sent.
    pub header_names: SmallVec<[&'a [u8]; 24]>,
    /// What no current browser does, in the order of [`Oddity::ALL`].
    pub oddities: SmallVec<[Oddity; 6]>,
}

impl<'a> Http1Print<'a> {
    /// The print of the request whose head is at the front of `head`, as it was read from the connection.
    ///
    /// What follows the empty line is left alone.
    ///
    /// # Errors
    ///
    /// [`Http1Error`]. "Not whole yet" is [`Http1Error::Incomplete`].
    pub fn of(head: &'a [u8]) -> Result<Self, Http1Error> {
        let mut print = Self::default();
        let mut seen = Seen::default();
        let mut lines = Lines { rest: head, taken: 0 };
        let mut request_line = lines.next(&mut seen)?;
        while request_line.is_empty() {
            // "A server SHOULD ignore at least one empty line" (RFC 9112 §2.2).
            seen.note(Oddity::LeadingLine);
            request_line = lines.next(&mut seen)?;
        }
        print.minor_version = minor_version(request_line);
        loop {
            let line = lines.next(&mut seen)?;
            if line.is_empty() {
                break;
            }
            if let Some(name) = field_name(line, &mut seen)? {
                if print.header_names.len() == MAX_HEAD_FIELDS {
                    return Err(Http1Error::TooManyFields);
                }
                print.header_names.push(name);
            }
        }
        print.oddities = Oddity::ALL.into_iter().filter(|oddity| seen.has(*oddity)).collect();
        Ok(print)
    }

    /// The case of each name, in wire order.
    pub fn cases(&self) -> impl Iterator<Item = HeaderCase> {
        self.header_names.iter().map(|name| HeaderCase::of(name))
    }

    /// The names that come more than once whatever their case, each once, lowercase and sorted.
    pub fn repeated_names(&self) -> Vec<Box<[u8]>> {
        let mut names: Vec<Box<[u8]>> = self.header_names.iter().map(|name| name.to_ascii_lowercase().into()).collect();
        names.sort_unstable();
        let mut repeated: Vec<Box<[u8]>> = Vec::new();
        for (name, next) in names.iter().zip(names.iter().skip(1)) {
            if name == next && repeated.last() != Some(name) {
                repeated.push(name.clone());
            }
        }
        repeated
    }

    /// The header-order print: see [`header_order`](crate::header_order()).
    pub fn header_order(&self) -> String {
        header_order(self.header_names.iter().copied())
    }

    /// The hash of [`Http1Print::header_order`], without keeping its text.
    pub fn header_order_hash(&self) -> crate::ShortHash {
        header_order_hash(self.header_names.iter().copied())
    }
}

impl Http1Print<'_> {
    /// The print without the names: `version|case|oddities`, such as `1.1|ttl|-`.
    pub fn form(&self) -> String {
        self.form_text().as_str().to_owned()
    }

    fn form_text(&self) -> Text {
        let mut text = Text::new();
        match self.minor_version {
            Some(minor) => {
                text.put_bytes(b"1.");
                text.put_decimal(minor.into());
            }
            None => text.put_byte(b'?'),
        }
        text.put_byte(b'|');
        self.cases().for_each(|case| text.put_byte(case.letter()));
        text.put_byte(b'|');
        if self.oddities.is_empty() {
            text.put_byte(b'-');
        }
        self.oddities.iter().for_each(|oddity| text.put_byte(oddity.letter()));
        text
    }
}

impl fmt::Display for Http1Print<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.form_text();
        text.put_byte(b'|');
        for (at, name) in self.header_names.iter().enumerate() {
            if at > 0 {
                text.put_byte(b',');
            }
            text.put_name(name);
        }
        f.pad(text.as_str())
    }
}

/// How the letters of a header field's name are written.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum HeaderCase {
    /// `user-agent`: no letter is large. `l`
    Lower,
    /// `User-Agent`: the first letter of each word and no other is large. `t`
    Title,
    /// `DNT`, `TE`: no letter is small. `u`
    Upper,
    /// `WWW-Authenticate`, `ETag`: anything else. `m`
    Mixed,
}

impl HeaderCase {
    /// The case of `name`. Words end at any byte that is no letter or digit.
    pub fn of(name: &[u8]) -> Self {
        let (mut kinds, mut is_title, mut starts) = (0, true, true);
        for byte in name {
            let kind = KINDS.get(usize::from(*byte)).copied().unwrap_or_default();
            is_title &= kind & (if starts { SMALL } else { LARGE }) == 0;
            kinds |= kind;
            starts = kind == 0;
        }
        match (kinds & LARGE != 0, kinds & SMALL != 0) {
            (false, _) => Self::Lower,
            (true, small) if is_title && (small || name.len() == 1) => Self::Title,
            (true, false) => Self::Upper,
            (true, true) => Self::Mixed,
        }
    }

    /// The letter that prints use.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Lower => b'l',
            Self::Title => b't',
            Self::Upper => b'u',
            Self::Mixed => b'm',
        }
    }
}

/// What each byte of a name is, in one look: a letter of one case, a digit, or nothing of a word.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut rest: &mut [u8] = &mut kinds;
    let mut byte = 0_u8;
    while let Some((kind, after)) = rest.split_first_mut() {
        *kind = match byte {
            b'A'..=b'Z' => LARGE,
            b'a'..=b'z' => SMALL,
            b'0'..=b'9' => DIGIT,
            _ => 0,
        };
        byte = byte.wrapping_add(1);
        rest = after;
    }
    kinds
};
const LARGE: u8 = 1;
const SMALL: u8 = 2;
const DIGIT: u8 = 4;

/// A way of writing a head that servers put up with and no current browser uses.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Oddity {
    /// A line ends in LF alone (RFC 9112 §2.2). `b`
    BareLineFeed,
    /// A field goes on in a line that begins with white space (RFC 9112 §5.2). `f`
    FoldedLine,
    /// An empty line stands before the request line. `e`
    LeadingLine,
    /// White space stands before a colon, which the standard forbids (RFC 9112 §5.1). `w`
    SpaceBeforeColon,
    /// A value follows its colon at once. `n`
    NoSpaceAfterColon,
    /// More than one space, or a tab, follows a colon. `s`
    MoreSpaceAfterColon,
}

impl Oddity {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BareLineFeed,
        Self::FoldedLine,
        Self::LeadingLine,
        Self::SpaceBeforeColon,
        Self::NoSpaceAfterColon,
        Self::MoreSpaceAfterColon,
    ];

    /// The letter that prints use.
    pub const fn letter(self) -> u8 {
        match self {
            Self::BareLineFeed => b'b',
            Self::FoldedLine => b'f',
            Self::LeadingLine => b'e',
            Self::SpaceBeforeColon => b'w',
            Self::NoSpaceAfterColon => b'n',
            Self::MoreSpaceAfterColon => b's',
        }
    }
}

/// Why there is no print of a head.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Http1Error {
    /// The bytes end before the empty line that ends the head.
    Incomplete,
    /// The head is longer than [`MAX_HEAD_BYTES`].
    TooLong,
    /// There are more than [`MAX_HEAD_FIELDS`] fields.
    TooManyFields,
    /// A line has no colon.
    NoColon,
}

impl fmt::Display for Http1Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("expected an empty line after the header fields, but found the end"),
            Self::TooLong => write!(f, "expected a head of at most {MAX_HEAD_BYTES} bytes, but found a longer one"),
            Self::TooManyFields => write!(f, "expected at most {MAX_HEAD_FIELDS} header fields, but found more"),
            Self::NoColon => f.write_str("expected a colon after a header field's name, but found the end of the line"),
        }
    }
}

impl std::error::Error for Http1Error {}

/// The lines of a head, without their ends.
struct Lines<'a> {
    rest: &'a [u8],
    taken: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self, seen: &mut Seen) -> Result<&'a [u8], Http1Error> {
        let bound = self.rest.len().min(MAX_HEAD_BYTES - self.taken);
        let within = self.rest.get(..bound).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', within) else {
            let is_cut = bound < self.rest.len();
            return Err(if is_cut { Http1Error::TooLong } else { Http1Error::Incomplete });
        };
        let (line, rest) = self.rest.split_at_checked(end + 1).unwrap_or_default();
        self.rest = rest;
        self.taken += end + 1;
        if let Some(line) = line.strip_suffix(b"\r\n") {
            return Ok(line);
        }
        seen.note(Oddity::BareLineFeed);
        Ok(line.strip_suffix(b"\n").unwrap_or(line))
    }
}

/// Which oddities were seen: one bit each.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    fn note(&mut self, oddity: Oddity) {
        self.0 |= 1 << oddity as u8;
    }

    fn has(&self, oddity: Oddity) -> bool {
        self.0 & 1 << oddity as u8 != 0
    }
}

/// The name of the field in a line, or none where the line goes on with the field before.
fn field_name<'a>(line: &'a [u8], seen: &mut Seen) -> Result<Option<&'a [u8]>, Http1Error> {
    if line.first().is_some_and(|byte| is_blank(*byte)) {
        seen.note(Oddity::FoldedLine);
        return Ok(None);
    }
    let colon = memchr::memchr(b':', line).ok_or(Http1Error::NoColon)?;
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    match value {
        [_, b' ', second, ..] if is_blank(*second) => seen.note(Oddity::MoreSpaceAfterColon),
        [_, b'\t', ..] => seen.note(Oddity::MoreSpaceAfterColon),
        // An empty value may have its space or not: that says nothing.
        [_, first, ..] if *first != b' ' => seen.note(Oddity::NoSpaceAfterColon),
        _ => {}
    }
    if name.last().is_some_and(|byte| is_blank(*byte)) {
        seen.note(Oddity::SpaceBeforeColon);
    }
    Ok(Some(name.trim_ascii_end()))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn minor_version(request_line: &[u8]) -> Option<u8> {
    match request_line {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] => Some(minor - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, text: &str) {
        assert_eq!(Http1Print::of(head.as_bytes()).unwrap().to_string(), text, "{head:?}");
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        check("GET / HTTP/1.1\r\n\r\n", "1.1||-|");
        check("GET / HTTP/1.0\r\nHost: shop.example\r\nAccept: */*\r\n\r\nbody: not read", "1.0|tt|-|Host,Accept");
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nDNT: 1\r\nsec-ch-ua: b\r\nETag: c\r\n\r\n",
            "1.1|tulm|-|Host,DNT,sec-ch-ua,ETag",
        );
        check("GET /\r\na: b\r\n\r\n", "?|l|-|a");
        check("GET / HTTP/1.1\r\nEmpty:\r\nBlank: \r\n\r\n", "1.1|tt|-|Empty,Blank");
        check("GET / HTTP/1.1\r\n\u{e9},: b\r\n\r\n", "1.1|l|-|%c3%a9%2c");
    }

    #[test]
    fn oddities_of_writing_are_told() {
        check("GET / HTTP/1.1\nHost: a\n\n", "1.1|t|b|Host");
        check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "1.1|t|e|Host");
        check("GET / HTTP/1.1\r\nHost: a\r\n b\r\nAccept: c\r\n\r\n", "1.1|tt|f|Host,Accept");
        check("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "1.1|t|w|Host");
        check("GET / HTTP/1.1\r\nHost:a\r\n\r\n", "1.1|t|n|Host");
        check("GET / HTTP/1.1\r\nHost:  a\r\n\r\n", "1.1|t|s|Host");
        check("GET / HTTP/1.1\r\nHost:\ta\r\n\r\n", "1.1|t|s|Host");
        check("\nGET / HTTP/1.1\r\nHost\t:a\r\n\tb\r\nTE:\t c\r\n\r\n", "1.1|tu|bfewns|Host,TE");
    }

    #[test]
    fn the_case_of_a_name_has_four_kinds() {
        for (name, case) in [
            ("user-agent", HeaderCase::Lower),
            ("x1-2", HeaderCase::Lower),
            ("", HeaderCase::Lower),
            ("User-Agent", HeaderCase::Title),
            ("X-Forwarded-For", HeaderCase::Title),
            ("A", HeaderCase::Title),
            ("X-1a", HeaderCase::Title),
            ("DNT", HeaderCase::Upper),
            ("X-A", HeaderCase::Upper),
            ("WWW-Authenticate", HeaderCase::Mixed),
            ("User-agent", HeaderCase::Mixed),
            ("uSER", HeaderCase::Mixed),
        ] {
            assert_eq!(HeaderCase::of(name.as_bytes()), case, "{name}");
        }
    }

    #[test]
    fn repeated_names_are_told_whatever_their_case() {
        let print = Http1Print::of(b"GET / HTTP/1.1\r\nb: 1\r\nA: 1\r\nB: 2\r\na: 2\r\na: 3\r\nc: 1\r\n\r\n").unwrap();
        let expected: [&[u8]; 2] = [b"a", b"b"];
        assert_eq!(print.repeated_names().iter().map(AsRef::as_ref).collect::<Vec<_>>(), expected);
        assert_eq!(print.header_order(), "b,a,b,a,a,c");
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let refuse = |head: &[u8], error: Http1Error| assert_eq!(Http1Print::of(head), Err(error));
        let whole = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
        for end in 0..whole.len() {
            refuse(&whole[..end], Http1Error::Incomplete);
        }
        refuse(b"GET / HTTP/1.1\r\nHost\r\n\r\n", Http1Error::NoColon);
        refuse(&vec![b'a'; MAX_HEAD_BYTES], Http1Error::Incomplete);
        refuse(&vec![b'a'; MAX_HEAD_BYTES + 1], Http1Error::TooLong);
        refuse(&vec![b'\n'; MAX_HEAD_BYTES + 1], Http1Error::TooLong);
        let fields = |count: usize| [&b"GET / HTTP/1.1\r\n"[..], &b"a: b\r\n".repeat(count), b"\r\n"].concat();
        assert_eq!(Http1Print::of(&fields(MAX_HEAD_FIELDS)).unwrap().header_names.len(), MAX_HEAD_FIELDS);
        refuse(&fields(MAX_HEAD_FIELDS + 1), Http1Error::TooManyFields);
    }
}
