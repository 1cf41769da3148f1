//! The stable print: what a client is, without what changes from one of its connections to the next.

use std::fmt;
use std::str::FromStr;

use crate::codes::{extension, is_grease, is_grease_protocol};
use crate::digits::{Text, hash12};
use crate::hello::ClientHello;
use crate::ja4::NOTHING;
use crate::lists::sorted_extensions;

/// The stable print of a client, such as `pc1_acb858a92679_5d04281c6031_0c8bd5bf8edf`: 42 ASCII characters.
///
/// Our own form, for telling whether two connections are of one client. JA3 and JA4 change when a client
/// resumes a session, asks for an address instead of a name, opens a private window or pads its hello; this does
/// not. After `pc1`, the version of this definition, come three parts, each the first 12 hex digits of a SHA-256
/// or zeros where there is nothing to hash, so that two prints can be compared part by part:
///
/// 1. the cipher suites in wire order: `1301,1302,…`;
/// 2. the extensions' types, sorted, then the contents of some in wire order, each list after a `_`: versions,
///    groups, signature schemes, point formats, certificate compression, schemes of delegated credentials, and
///    the record size limit;
/// 3. the application protocols in wire order: `h2,http/1.1`.
///
/// Numbers are written as four hex digits. Left out are GREASE in every list; of the extensions server name (0),
/// ALPN (16, which has part 3), padding (21), session ticket (35), pre-shared key (41), early data (42), the
/// cookie of a HelloRetryRequest (44) and the ways of using a pre-shared key (45), which private windows drop
/// along with tickets; and which key shares are sent, which a HelloRetryRequest decides.
/// [`StablePrint::text`] gives what is hashed. A client may offer other protocols for another purpose, as browsers do
/// for WebSockets: where only part 3 differs, it may still be the same client.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
// INVARIANT: ASCII, and of the form that `from_str` checks.
pub struct StablePrint([u8; 42]);

impl StablePrint {
    /// The stable print of `hello`. Allocates nothing for the hellos that real clients send.
    pub fn of(hello: &ClientHello) -> Self {
        let mut text = Text::new();
        text.put_hexes(hello.cipher_suites.iter().copied(), told);
        let ciphers = hash_unless_empty(text.as_bytes());
        Self::with_ciphers(&ciphers, hello, &sorted_extensions(hello), &mut text)
    }

    /// The same, where the first part is there already: it is that of [`Ja4::original`](crate::Ja4::original).
    pub(crate) fn with_ciphers(ciphers: &[u8; 12], hello: &ClientHello, extensions: &[u16], hashed: &mut Text) -> Self {
        hashed.clear();
        let contents = match write_contents(hello, extensions, hashed) {
            Extensions::Some => hash12(hashed.as_bytes()),
            Extensions::None => NOTHING,
        };
        let start = hashed.len();
        write_protocols(hello, hashed);
        let mut text = [b'_'; 42];
        let parts = [PREFIX, ciphers, &contents, &hash_unless_empty(hashed.since(start))];
        for (at, part) in [0, 4, 17, 30].into_iter().zip(parts) {
            if let Some(place) = text.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        }
        Self(text)
    }

    /// What the stable print of `hello` is made of, before hashing: `pc1_ciphers_extensions_…_protocols`.
    pub fn text(hello: &ClientHello) -> String {
        let mut text = Text::new();
        text.put_bytes(PREFIX);
        text.put_hexes(hello.cipher_suites.iter().copied(), told);
        text.put_byte(b'_');
        write_contents(hello, &sorted_extensions(hello), &mut text);
        text.put_byte(b'_');
        write_protocols(hello, &mut text);
        text.as_str().to_owned()
    }

    /// The whole print.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The part of the cipher suites.
    pub fn ciphers(&self) -> &str {
        self.as_str().get(4..16).unwrap_or_default()
    }

    /// The part of the extensions and their contents.
    pub fn extensions(&self) -> &str {
        self.as_str().get(17..29).unwrap_or_default()
    }

    /// The part of the application protocols.
    pub fn alpn(&self) -> &str {
        self.as_str().get(30..).unwrap_or_default()
    }
}

impl fmt::Display for StablePrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for StablePrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StablePrint({})", self.as_str())
    }
}

/// From the 42 characters.
impl FromStr for StablePrint {
    type Err = StablePrintParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = StablePrintParseError;
        let bytes = <[u8; 42]>::try_from(text.as_bytes()).map_err(|_| error)?;
        let parts = text.strip_prefix("pc1_").ok_or(error)?.split('_');
        let digits =
            |part: &str| part.len() == 12 && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if parts.clone().count() == 3 && parts.clone().all(digits) { Ok(Self(bytes)) } else { Err(error) }
    }
}

/// Some text is not a stable print.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StablePrintParseError;

impl fmt::Display for StablePrintParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a stable print such as `pc1_acb858a92679_5d04281c6031_0c8bd5bf8edf`, ")?;
        f.write_str("but found something else; `portcullis fingerprint` prints one as `stable`")
    }
}

impl std::error::Error for StablePrintParseError {}

/// Whether any extension is told of.
#[derive(Clone, Copy)]
enum Extensions {
    Some,
    None,
}

fn write_contents(hello: &ClientHello, extensions: &[u16], out: &mut Text) -> Extensions {
    let start = out.len();
    out.put_hexes(extensions.iter().copied(), stays);
    let any = if out.len() == start { Extensions::None } else { Extensions::Some };
    for list in [&hello.supported_versions[..], &hello.groups, &hello.signature_algorithms] {
        out.put_byte(b'_');
        out.put_hexes(list.iter().copied(), told);
    }
    out.put_byte(b'_');
    out.put_hexes(hello.point_formats.iter().copied().map(u16::from), told);
    for list in [&hello.cert_compression[..], &hello.delegated_credentials] {
        out.put_byte(b'_');
        out.put_hexes(list.iter().copied(), told);
    }
    out.put_byte(b'_');
    // A limit may have the number of a GREASE value.
    out.put_hexes(hello.record_size_limit.into_iter(), |_| true);
    any
}

fn write_protocols(hello: &ClientHello, out: &mut Text) {
    for (index, protocol) in protocols(hello).enumerate() {
        if index > 0 {
            out.put_byte(b',');
        }
        out.put_name(protocol);
    }
}

fn protocols(hello: &ClientHello) -> impl Iterator<Item = &[u8]> {
    hello.alpn.iter().filter(|protocol| !is_grease_protocol(protocol))
}

fn told(value: u16) -> bool {
    !is_grease(value)
}

/// Whether an extension does not come and go with a connection; see [`StablePrint`].
const fn stays(kind: u16) -> bool {
    !matches!(
        kind,
        extension::SERVER_NAME
            | extension::ALPN
            | extension::PADDING
            | extension::SESSION_TICKET
            | extension::PRE_SHARED_KEY
            | extension::EARLY_DATA
            | extension::COOKIE
            | extension::PSK_KEY_EXCHANGE_MODES
    )
}

/// The hash of `text`, or zeros where there is nothing to hash.
fn hash_unless_empty(text: &[u8]) -> [u8; 12] {
    if text.is_empty() { NOTHING } else { hash12(text) }
}

const PREFIX: &[u8] = b"pc1_";

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    /// A hello with the protocols `h2` and `http/1.1`, which only reading makes.
    fn hello() -> ClientHello {
        let extensions = b"\0\x0a\0\x04\0\x02\0\x1d\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1\0\x2b\0\x03\x02\x03\x04";
        let body = [b"\x03\x03", &[0; 32][..], b"\0\0\x04\x13\x02\x13\x01\x01\0", &[0, 33], extensions].concat();
        ClientHello::parse(&[&[1, 0, 0, u8::try_from(body.len()).unwrap()], &body[..]].concat()).unwrap()
    }

    #[test]
    fn the_text_has_every_part_in_its_place() {
        let mut hello = hello();
        assert_eq!(StablePrint::text(&hello), "pc1_1302,1301_000a,002b_0304_001d______h2,http/1.1");
        hello.point_formats = smallvec![0];
        hello.signature_algorithms = smallvec![0x0a0a, 0x0403];
        hello.cert_compression = smallvec![2, 1];
        hello.delegated_credentials = smallvec![0x0503];
        hello.record_size_limit = Some(0x4001);
        let text = "pc1_1302,1301_000a,002b_0304_001d_0403_0000_0002,0001_0503_4001_h2,http/1.1";
        assert_eq!(StablePrint::text(&hello), text);
        assert_eq!(StablePrint::text(&ClientHello::default()), "pc1__________");
    }

    #[test]
    fn what_changes_with_the_connection_changes_nothing() {
        let first = StablePrint::of(&hello());
        let mut later = hello();
        later.cipher_suites.insert(0, 0x1a1a);
        later.groups.insert(0, 0x2a2a);
        later.supported_versions.push(0x3a3a);
        later.signature_algorithms.push(0x4a4a);
        later.extensions.extend([0x5a5a, 0, 21, 35, 41, 42, 44, 45]);
        later.extensions.reverse();
        later.key_share_groups.push(23);
        assert_eq!(StablePrint::of(&later), first);
    }

    #[test]
    fn what_the_client_chose_changes_its_part() {
        let first = StablePrint::of(&hello());
        let check = |change: fn(&mut ClientHello), part: fn(&StablePrint) -> &str| {
            let mut other = hello();
            change(&mut other);
            let print = StablePrint::of(&other);
            for (index, of) in
                [StablePrint::ciphers, StablePrint::extensions, StablePrint::alpn].into_iter().enumerate()
            {
                assert_eq!(of(&print) != of(&first), part(&print) == of(&print), "part {index} of {print}");
            }
        };
        check(|hello| hello.cipher_suites.reverse(), StablePrint::ciphers);
        check(|hello| hello.extensions.push(23), StablePrint::extensions);
        check(|hello| hello.groups.push(24), StablePrint::extensions);
        check(|hello| hello.record_size_limit = Some(9), StablePrint::extensions);
        check(|hello| hello.alpn = Default::default(), StablePrint::alpn);
    }

    #[test]
    fn nothing_to_hash_is_zeros() {
        let print = StablePrint::of(&ClientHello::default());
        assert_eq!(print.as_str(), "pc1_000000000000_000000000000_000000000000");
    }

    #[test]
    fn a_print_is_read_back_and_what_is_none_is_refused() {
        let print = StablePrint::of(&hello());
        assert_eq!(print.to_string().parse(), Ok(print));
        for text in [
            "",
            "pc1",
            "pc2_000000000000_000000000000_000000000000",
            "pc1_000000000000_000000000000_00000000000g",
            "pc1_000000000000_0000000000000_00000000000",
            "pc1_000000000000_000000000000_00000000000é",
            "pc1_00000000000000000000000000_000000000000",
        ] {
            assert_eq!(text.parse::<StablePrint>(), Err(StablePrintParseError), "{text}");
        }
    }
}
