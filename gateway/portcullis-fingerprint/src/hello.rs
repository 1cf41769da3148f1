//! The ClientHello: what a client says about itself before anything is agreed.

use smallvec::SmallVec;

use crate::codes::{extension, group, is_grease};
use crate::error::HelloError;
use crate::reader::{ReadError, Reader};
use crate::record::{self, CLIENT_HELLO, HelloLimits, Scan};

/// A ClientHello as it was sent (RFC 8446 §4.1.2), owned, GREASE included, lists in wire order.
///
/// An extension that is absent leaves its list empty; [`has_extension`](Self::has_extension) tells an absent
/// one from an empty one. Of an extension that is sent twice, which the standard forbids, both types stand in
/// `extensions` and the first one's contents count. The contents of the last five fields' extensions may be in
/// any form: what cannot be read leaves the field empty, since no print depends on it that others make and
/// drafts of these extensions have had other forms. The lists have room for what real clients send without
/// touching the heap.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientHello {
    /// The version field of the message: 0x0303 in every current client (`legacy_version`).
    pub legacy_version: u16,
    /// How many bytes the session id has, 0 to 32.
    pub session_id_bytes: u8,
    /// The cipher suites.
    pub cipher_suites: SmallVec<[u16; 32]>,
    /// The compression methods; 0 is none.
    pub compression_methods: SmallVec<[u8; 8]>,
    /// The extensions' types.
    pub extensions: SmallVec<[u16; 24]>,
    /// The groups that the client can agree a key in (`supported_groups`, extension 10).
    pub groups: SmallVec<[u16; 16]>,
    /// The elliptic curve point formats (RFC 8422 §5.1.2, extension 11).
    pub point_formats: SmallVec<[u8; 8]>,
    /// The signature schemes (extension 13; `signature_algorithms_cert`, extension 50, is not mixed in).
    pub signature_algorithms: SmallVec<[u16; 32]>,
    /// The versions that the client speaks (extension 43).
    pub supported_versions: SmallVec<[u16; 8]>,
    /// The application protocols, best first (RFC 7301, extension 16).
    pub alpn: AlpnList,
    /// The first host name that the client asks for (RFC 6066 §3, extension 0), as sent.
    ///
    /// Not checked to be a host name: bytes that are not UTF-8 are replaced, and it may hold any character.
    /// Absent, too, where the name is empty or longer than a host name can be (255 bytes, RFC 1035 §2.3.4).
    pub server_name: Option<String>,
    /// The groups of which the client has already sent a key share (extension 51).
    pub key_share_groups: SmallVec<[u16; 8]>,
    /// The ways in which the client would use a pre-shared key (extension 45).
    pub psk_modes: SmallVec<[u8; 8]>,
    /// The algorithms in which a certificate may come compressed (RFC 8879, extension 27).
    pub cert_compression: SmallVec<[u16; 4]>,
    /// The signature schemes for certificates, where they are sent apart (extension 50).
    pub certificate_signature_algorithms: SmallVec<[u16; 8]>,
    /// The signature schemes for delegated credentials (RFC 9345, extension 34).
    pub delegated_credentials: SmallVec<[u16; 8]>,
    /// The longest record that the client takes, in bytes (RFC 8449, extension 28).
    pub record_size_limit: Option<u16>,
    /// The application protocols that have settings (ALPS; extension 17513 or 17613, see [`extension`]).
    pub alps: AlpnList,
    /// How many bytes of padding the hello has (RFC 7685, extension 21); none where there is no such extension.
    pub padding_bytes: Option<u16>,
}

impl ClientHello {
    /// Reads one whole handshake message, its four-byte header included.
    ///
    /// # Errors
    ///
    /// [`HelloError::NotClientHello`], or [`HelloError::Read`] where a length lies, in the hello or in an
    /// extension that is read, or bytes are left over.
    pub fn parse(handshake: &[u8]) -> Result<Self, HelloError> {
        let mut message = Reader::new(handshake);
        let kind = message.u8("msg_type")?;
        if kind != CLIENT_HELLO {
            return Err(HelloError::NotClientHello { found: kind });
        }
        let mut body = message.vec24("ClientHello")?;
        message.finish("Handshake")?;

        let legacy_version = body.u16("legacy_version")?;
        body.take("random", RANDOM_BYTES)?;
        let session_id_bytes = session_id_bytes(&mut body)?;
        let mut hello = Self {
            legacy_version,
            session_id_bytes,
            cipher_suites: body.vec16("cipher_suites")?.u16_list("cipher_suites")?,
            compression_methods: body.vec8("legacy_compression_methods")?.u8_list(),
            ..Self::default()
        };
        // Before TLS 1.2 the message may end here (RFC 5246 §7.4.1.2).
        if !body.is_empty() {
            let extensions = body.vec16("extensions")?;
            body.finish("ClientHello")?;
            hello.read_extensions(extensions)?;
        }
        Ok(hello)
    }

    /// Reads the ClientHello out of the records at the front of `bytes`, within the usual [`HelloLimits`].
    ///
    /// # Errors
    ///
    /// Whatever [`record::scan`] and [`ClientHello::parse`] say, and [`HelloError::Incomplete`] when the
    /// bytes end before the hello does.
    pub fn from_records(bytes: &[u8]) -> Result<Self, HelloError> {
        match record::scan(bytes, HelloLimits::default())? {
            Scan::Complete { handshake, .. } => Self::parse(&handshake),
            Scan::NeedMore => Err(HelloError::Incomplete),
        }
    }

    /// Reads the ClientHello that `bytes` are: the TLS records as sent, or the bare handshake message.
    ///
    /// The first byte says which.
    ///
    /// # Errors
    ///
    /// Whatever [`ClientHello::from_records`] or [`ClientHello::parse`] says.
    pub fn from_any(bytes: &[u8]) -> Result<Self, HelloError> {
        match bytes.first() {
            Some(&CLIENT_HELLO) => Self::parse(bytes),
            _ => Self::from_records(bytes),
        }
    }

    /// Whether the client sent an extension of this type, whatever was in it. See [`extension`].
    pub fn has_extension(&self, extension: u16) -> bool {
        self.extensions.contains(&extension)
    }

    /// Whether a GREASE value stands among the cipher suites, extensions, groups, versions or signature schemes.
    pub fn has_grease(&self) -> bool {
        [&self.cipher_suites[..], &self.extensions, &self.groups, &self.supported_versions, &self.signature_algorithms]
            .into_iter()
            .flatten()
            .any(|value| is_grease(*value))
    }

    /// Whether the client can agree a key in this group. See [`group`](crate::group).
    pub fn offers_group(&self, group: u16) -> bool {
        self.groups.contains(&group)
    }

    /// Whether the client can agree a key in a group that withstands a quantum computer.
    pub fn offers_post_quantum(&self) -> bool {
        self.groups.iter().any(|value| group::is_post_quantum(*value))
    }

    /// Whether the client hides a second hello in this one, or makes as if (ECH; RFC 9849 §6.2).
    pub fn offers_ech(&self) -> bool {
        self.has_extension(extension::ENCRYPTED_CLIENT_HELLO)
    }

    /// Whether this is an answer to a HelloRetryRequest that gave a cookie to be sent back.
    ///
    /// Not every such request gives one: false does not mean that this is a first hello.
    pub fn has_retry_cookie(&self) -> bool {
        self.has_extension(extension::COOKIE)
    }

    /// Whether the client would resume an earlier TLS 1.3 session (`pre_shared_key`).
    pub fn offers_psk(&self) -> bool {
        self.has_extension(extension::PRE_SHARED_KEY)
    }

    /// Whether the client sends request bytes along with a resumption (`early_data`).
    pub fn offers_early_data(&self) -> bool {
        self.has_extension(extension::EARLY_DATA)
    }

    /// The highest version that the client speaks: of `supported_versions`, else `legacy_version`.
    ///
    /// Highest by number and without GREASE, as JA4 has it; not a promise that the version exists.
    pub fn highest_version(&self) -> u16 {
        let offered = self.supported_versions.iter().copied().filter(|version| !is_grease(*version));
        offered.max().unwrap_or(self.legacy_version)
    }

    fn read_extensions(&mut self, mut extensions: Reader<'_>) -> Result<(), ReadError> {
        let mut seen = Seen::default();
        while !extensions.is_empty() {
            let kind = extensions.u16("extension_type")?;
            let data = extensions.vec16("extension_data")?;
            self.extensions.push(kind);
            if seen.first(kind) {
                self.read_extension(kind, data)?;
            }
        }
        Ok(())
    }

    fn read_extension(&mut self, kind: u16, mut data: Reader<'_>) -> Result<(), ReadError> {
        let field = match kind {
            extension::SERVER_NAME => {
                self.server_name = host_name(data.vec16("server_name_list")?)?;
                "server_name"
            }
            extension::SUPPORTED_GROUPS => {
                self.groups = data.vec16("named_group_list")?.u16_list("named_group_list")?;
                "supported_groups"
            }
            extension::EC_POINT_FORMATS => {
                self.point_formats = data.vec8("ec_point_format_list")?.u8_list();
                "ec_point_formats"
            }
            extension::SIGNATURE_ALGORITHMS => {
                let schemes = data.vec16("supported_signature_algorithms")?;
                self.signature_algorithms = schemes.u16_list("supported_signature_algorithms")?;
                "signature_algorithms"
            }
            extension::ALPN => {
                self.alpn = AlpnList::read(data.vec16("protocol_name_list")?)?;
                "application_layer_protocol_negotiation"
            }
            extension::COMPRESS_CERTIFICATE => {
                self.cert_compression = data.vec8("algorithms")?.u16_list("algorithms")?;
                "compress_certificate"
            }
            extension::SUPPORTED_VERSIONS => {
                self.supported_versions = data.vec8("versions")?.u16_list("versions")?;
                "supported_versions"
            }
            extension::PSK_KEY_EXCHANGE_MODES => {
                self.psk_modes = data.vec8("ke_modes")?.u8_list();
                "psk_key_exchange_modes"
            }
            extension::KEY_SHARE => {
                let mut shares = data.vec16("client_shares")?;
                while !shares.is_empty() {
                    self.key_share_groups.push(shares.u16("group")?);
                    shares.vec16("key_exchange")?;
                }
                "key_share"
            }
            _ => {
                self.read_in_any_form(kind, data);
                return Ok(());
            }
        };
        data.finish(field)
    }

    fn read_in_any_form(&mut self, kind: u16, mut data: Reader<'_>) {
        match kind {
            extension::SIGNATURE_ALGORITHMS_CERT => {
                self.certificate_signature_algorithms = u16_list_or_empty(data, "supported_signature_algorithms");
            }
            extension::DELEGATED_CREDENTIALS => {
                self.delegated_credentials = u16_list_or_empty(data, "supported_signature_algorithm");
            }
            extension::RECORD_SIZE_LIMIT => self.record_size_limit = data.u16("RecordSizeLimit").ok(),
            // A client may send both code points; the first one's list stays.
            extension::APPLICATION_SETTINGS | extension::APPLICATION_SETTINGS_OLD if self.alps.is_empty() => {
                let list = data.vec16("supported_protocols").and_then(AlpnList::read);
                self.alps = list.unwrap_or_default();
            }
            extension::PADDING => self.padding_bytes = u16::try_from(data.remaining().len()).ok(),
            _ => {}
        }
    }
}

fn u16_list_or_empty<const N: usize>(mut data: Reader<'_>, field: &'static str) -> SmallVec<[u16; N]> {
    data.vec16(field).and_then(|list| list.u16_list(field)).unwrap_or_default()
}

/// The application protocols of a hello, best first (RFC 7301 §3.1).
///
/// Kept as they came, each after a byte with its length, so that many short ones cost no more memory than
/// they did bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AlpnList {
    // INVARIANT: walked once by `read`, so every length is true.
    wire: SmallVec<[u8; 32]>,
}

impl AlpnList {
    /// The protocols' names, which are bytes and need not be text.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Reader::new(&self.wire);
        std::iter::from_fn(move || rest.vec8("protocol_name").ok().map(|name| name.remaining()))
    }

    /// The protocol that the client likes best.
    pub fn first(&self) -> Option<&[u8]> {
        self.iter().next()
    }

    /// Whether `protocol`, such as `b"h2"`, is among them.
    pub fn contains(&self, protocol: &[u8]) -> bool {
        self.iter().any(|name| name == protocol)
    }

    /// Whether the client named none, or sent no such extension.
    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    fn read(list: Reader<'_>) -> Result<Self, ReadError> {
        let mut rest = list.clone();
        while !rest.is_empty() {
            rest.vec8("protocol_name")?;
        }
        Ok(Self { wire: list.u8_list() })
    }
}

/// Which of the extensions that are read strictly have come already: one bit each, since all are below 64.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    /// Whether this is the first extension of its kind. Kinds from 64 up are always.
    fn first(&mut self, kind: u16) -> bool {
        let bit = 1_u64.checked_shl(u32::from(kind)).unwrap_or(0);
        let first = self.0 & bit == 0;
        self.0 |= bit;
        first
    }
}

fn session_id_bytes(body: &mut Reader<'_>) -> Result<u8, ReadError> {
    let field = "legacy_session_id";
    let found = body.vec8(field)?.remaining().len();
    match u8::try_from(found) {
        Ok(len) if len <= MAX_SESSION_ID_BYTES => Ok(len),
        _ => Err(ReadError::TooLong { field, most: usize::from(MAX_SESSION_ID_BYTES), found }),
    }
}

/// The first name of type `host_name`. The shape of other types is not known, so reading ends at one.
fn host_name(mut list: Reader<'_>) -> Result<Option<String>, ReadError> {
    if list.is_empty() || list.u8("name_type")? != HOST_NAME {
        return Ok(None);
    }
    let name = list.vec16("HostName")?.remaining();
    let fits = !name.is_empty() && name.len() <= MAX_HOST_NAME_BYTES;
    Ok(fits.then(|| String::from_utf8_lossy(name).into_owned()))
}

/// The length of `random` (RFC 8446 §4.1.2).
const RANDOM_BYTES: usize = 32;
/// The most that a session id has (RFC 8446 §4.1.2).
const MAX_SESSION_ID_BYTES: u8 = 32;
/// The longest name of a host (RFC 1035 §2.3.4).
const MAX_HOST_NAME_BYTES: usize = 255;
/// The one type of name that is defined (RFC 6066 §3).
const HOST_NAME: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    /// A handshake message around the bytes that follow `random`.
    fn message(after_random: &[u8]) -> Vec<u8> {
        let body = [&[3, 3], &[0xee; 32][..], after_random].concat();
        let [.., high, middle, low] = body.len().to_be_bytes();
        [&[CLIENT_HELLO, high, middle, low], &body[..]].concat()
    }

    /// A hello with one cipher suite and these extensions.
    fn with_extensions(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut block = Vec::new();
        for (kind, data) in extensions {
            block.extend_from_slice(&kind.to_be_bytes());
            block.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            block.extend_from_slice(data);
        }
        let block_len = u16::try_from(block.len()).unwrap().to_be_bytes();
        message(&[&[0, 0, 2, 0x13, 1, 1, 0], &block_len[..], &block].concat())
    }

    fn read(extensions: &[(u16, &[u8])]) -> ClientHello {
        ClientHello::parse(&with_extensions(extensions)).unwrap()
    }

    #[test]
    fn each_field_is_read_as_sent() {
        let hello = read(&[
            (0x2a2a, &[1, 2, 3]),
            (0, b"\0\x0f\0\0\x0cshop.example"),
            (10, &[0, 6, 0x3a, 0x3a, 0x11, 0xec, 0, 29]),
            (11, &[2, 0, 1]),
            (13, &[0, 4, 4, 3, 8, 4]),
            (16, b"\0\x0c\x02h2\x08http/1.1"),
            (27, &[2, 0, 2]),
            (43, &[4, 3, 4, 3, 3]),
            (45, &[1, 1]),
            (51, &[0, 11, 0x3a, 0x3a, 0, 1, 0, 0, 29, 0, 2, 7, 7]),
            (42, &[]),
        ]);
        assert_eq!(hello.legacy_version, 0x0303);
        assert_eq!(hello.session_id_bytes, 0);
        assert_eq!(&hello.cipher_suites[..], [0x1301]);
        assert_eq!(&hello.compression_methods[..], [0]);
        assert_eq!(&hello.extensions[..], [0x2a2a, 0, 10, 11, 13, 16, 27, 43, 45, 51, 42]);
        assert_eq!(hello.server_name.as_deref(), Some("shop.example"));
        assert_eq!(&hello.groups[..], [0x3a3a, 4588, 29]);
        assert_eq!(&hello.point_formats[..], [0, 1]);
        assert_eq!(&hello.signature_algorithms[..], [0x0403, 0x0804]);
        assert_eq!(hello.alpn.iter().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        assert!(hello.alpn.contains(b"http/1.1") && !hello.alpn.contains(b"http"));
        assert_eq!(&hello.cert_compression[..], [2]);
        assert_eq!(&hello.supported_versions[..], [0x0304, 0x0303]);
        assert_eq!(&hello.psk_modes[..], [1]);
        assert_eq!(&hello.key_share_groups[..], [0x3a3a, 29]);
        assert!(hello.has_grease());
        assert!(hello.offers_group(group::X25519_MLKEM768) && !hello.offers_group(group::SECP256R1));
        assert!(hello.offers_early_data() && !hello.offers_psk());
    }

    #[test]
    fn what_no_print_of_others_depends_on_is_read_in_any_form() {
        let hello = read(&[
            (21, &[0; 7]),
            (28, &[0x40, 0x01]),
            (34, &[0, 4, 4, 3, 5, 3]),
            (44, &[0, 1, 9]),
            (50, &[0, 2, 8, 4]),
            (17613, b"\0\x03\x02h2"),
            (0xfe0d, &[0]),
        ]);
        assert_eq!((hello.padding_bytes, hello.record_size_limit), (Some(7), Some(16385)));
        assert_eq!(&hello.delegated_credentials[..], [0x0403, 0x0503]);
        assert_eq!(&hello.certificate_signature_algorithms[..], [0x0804]);
        assert_eq!(hello.alps.iter().collect::<Vec<_>>(), [b"h2"]);
        assert!(hello.has_retry_cookie() && hello.offers_ech() && !hello.offers_post_quantum());
        let other = read(&[(28, &[1]), (34, &[0, 9, 4]), (50, &[]), (17513, b"\0\x09\x02h2")]);
        assert_eq!((other.padding_bytes, other.record_size_limit), (None, None));
        assert!(other.delegated_credentials.is_empty() && other.certificate_signature_algorithms.is_empty());
        assert!(other.alps.is_empty() && other.has_extension(extension::APPLICATION_SETTINGS_OLD));
    }

    #[test]
    fn ten_thousand_extensions_are_read() {
        let many: Vec<(u16, &[u8])> = (0..10_000).map(|index| (1000 + index, &[][..])).collect();
        assert_eq!(read(&many).extensions.len(), 10_000);
        let same: Vec<(u16, &[u8])> = (0..10_000).map(|_| (10, &[0, 2, 0, 29][..])).collect();
        let hello = read(&same[..8000]);
        assert_eq!((hello.extensions.len(), &hello.groups[..]), (8000, &[29][..]));
    }

    #[test]
    fn an_empty_list_is_read_as_one() {
        let hello =
            read(&[(10, &[0, 0]), (11, &[0]), (13, &[0, 0]), (16, &[0, 0]), (27, &[0]), (43, &[0]), (51, &[0, 0])]);
        assert_eq!(hello.extensions.len(), 7);
        assert!(hello.groups.is_empty() && hello.alpn.is_empty() && hello.key_share_groups.is_empty());
        assert_eq!(hello.highest_version(), 0x0303);
    }

    #[test]
    fn a_hello_without_extensions_is_whole() {
        let hello = ClientHello::parse(&message(&[0, 0, 2, 0, 47, 1, 0])).unwrap();
        assert!(hello.extensions.is_empty());
        assert_eq!(hello.highest_version(), 0x0303);
        assert_eq!(hello, ClientHello::parse(&message(&[0, 0, 2, 0, 47, 1, 0, 0, 0])).unwrap());
    }

    #[test]
    fn the_first_of_a_repeated_extension_counts() {
        let hello = read(&[(43, &[2, 3, 3]), (10, &[0, 2, 0, 29]), (43, &[2, 3, 4]), (10, &[9, 9, 9])]);
        assert_eq!(&hello.extensions[..], [43, 10, 43, 10]);
        assert_eq!((&hello.supported_versions[..], &hello.groups[..]), (&[0x0303][..], &[29][..]));
    }

    #[test]
    fn the_server_name_may_be_anything() {
        let long = [&[1, 3, 0, 1, 0][..], &[b'a'; 256]].concat();
        for (data, name) in [
            (&b"\0\x04\0\0\x01a"[..], Some("a")),
            (b"\0\0", None),
            (b"\0\x03\0\0\0", None),
            (b"\0\x04\x01\0\x01a", None),
            (b"\0\x05\0\0\x02\xffa", Some("\u{fffd}a")),
            (b"\0\x08\0\0\x01a\0\0\x01b", Some("a")),
            (&long, None),
        ] {
            let hello = read(&[(0, data)]);
            assert_eq!(hello.server_name.as_deref(), name, "{data:02x?}");
            assert!(hello.has_extension(extension::SERVER_NAME));
        }
    }

    #[test]
    fn a_length_that_lies_is_an_error_that_says_where() {
        let check = |bytes: &[u8], message: &str| {
            assert_eq!(ClientHello::parse(bytes).unwrap_err().to_string(), message, "{bytes:02x?}");
        };
        check(&[], "expected 1 byte in `msg_type`, but found 0 bytes");
        check(&[2, 0, 0, 0], "expected a ClientHello (handshake type 1), but found handshake type 2");
        check(&[1, 0, 0, 0], "expected 2 bytes in `legacy_version`, but found 0 bytes");
        check(&[1, 0, 0, 1], "expected 1 byte in `ClientHello`, but found 0 bytes");
        check(&[1, 0, 0, 0, 9], "expected `Handshake` to end, but found 1 byte more");
        check(&message(&[5, 1]), "expected 5 bytes in `legacy_session_id`, but found 1 byte");
        check(
            &message(&[&[33], &[0; 40][..]].concat()),
            "expected at most 32 bytes in `legacy_session_id`, but found 33",
        );
        check(&message(&[0, 0]), "expected a 2-byte length in `cipher_suites`, but found 1 byte");
        check(&message(&[0, 0, 1, 9, 1, 0]), "expected 2 bytes in `cipher_suites`, but found 1 byte");
        check(
            &message(&[0, 0, 2, 0, 47]),
            "expected a 1-byte length in `legacy_compression_methods`, but found 0 bytes",
        );
        check(&message(&[0, 0, 2, 0, 47, 1, 0, 0]), "expected a 2-byte length in `extensions`, but found 1 byte");
        check(&message(&[0, 0, 2, 0, 47, 1, 0, 0, 0, 7]), "expected `ClientHello` to end, but found 1 byte more");
        let extension = |kind, data: &[u8], message: &str| check(&with_extensions(&[(kind, data)]), message);
        extension(0, &[], "expected a 2-byte length in `server_name_list`, but found 0 bytes");
        extension(0, &[0, 3, 0, 0, 9], "expected 9 bytes in `HostName`, but found 0 bytes");
        extension(10, &[0, 3, 0, 29, 0], "expected 2 bytes in `named_group_list`, but found 1 byte");
        extension(10, &[0, 2, 0, 29, 0], "expected `supported_groups` to end, but found 1 byte more");
        extension(16, &[0, 2, 2, 7], "expected 2 bytes in `protocol_name`, but found 1 byte");
        extension(51, &[0, 4, 0, 29, 0, 9], "expected 9 bytes in `key_exchange`, but found 0 bytes");
    }
}
