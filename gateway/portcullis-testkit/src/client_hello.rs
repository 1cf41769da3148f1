//! ClientHellos made from lists, right ones and broken ones.

use std::collections::BTreeMap;

/// Builds the bytes of a ClientHello, in one or more TLS records (RFC 8446 §4.1.2 and §5.1).
///
/// [`ClientHelloBuilder::new`] is a small TLS 1.3 hello that a server accepts. Each list replaces
/// what was there; the order of extensions is that of [`ClientHelloBuilder::extensions`].
#[derive(Clone, Debug)]
pub struct ClientHelloBuilder {
    record_version: u16,
    legacy_version: u16,
    random: [u8; 32],
    session_id: Vec<u8>,
    ciphers: Vec<u16>,
    compressions: Vec<u8>,
    extensions: Vec<u16>,
    bodies: BTreeMap<u16, Vec<u8>>,
    server_name: Option<String>,
    groups: Vec<u16>,
    point_formats: Vec<u8>,
    signature_algorithms: Vec<u16>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<u16>,
    key_shares: Vec<u16>,
    grease: Option<u16>,
    padded_to: Option<usize>,
    lies: BTreeMap<LengthField, i32>,
    record_len: usize,
}

/// A length that [`ClientHelloBuilder::lie`] can falsify.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LengthField {
    /// The length of every TLS record.
    Record,
    /// The length of the handshake message.
    Handshake,
    /// The length of the session id.
    SessionId,
    /// The length of the cipher suites.
    CipherSuites,
    /// The length of the compression methods.
    CompressionMethods,
    /// The length of all extensions.
    Extensions,
    /// The length of the extension of this type.
    Extension(u16),
    /// The length of the first list inside the extension of this type, where it has one.
    ListIn(u16),
}

impl ClientHelloBuilder {
    /// TLS 1.3 and 1.2, five cipher suites, the server name `shop.example`, no ALPN, X25519 and
    /// P-256, one record. The random bytes are all `0x42`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            record_version: 0x0301,
            legacy_version: 0x0303,
            random: [0x42; 32],
            session_id: vec![0x51; 32],
            ciphers: vec![0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f],
            compressions: vec![0],
            extensions: vec![SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURE_ALGORITHMS, VERSIONS, PSK_MODES, KEY_SHARE],
            bodies: BTreeMap::new(),
            server_name: Some("shop.example".to_owned()),
            groups: vec![X25519, P256],
            point_formats: vec![0],
            signature_algorithms: vec![0x0403, 0x0804, 0x0401],
            alpn: Vec::new(),
            versions: vec![0x0304, 0x0303],
            key_shares: vec![X25519],
            grease: None,
            padded_to: None,
            lies: BTreeMap::new(),
            record_len: MAX_RECORD_LEN,
        }
    }

    /// The version in each record's header; 0x0301 without this.
    #[must_use]
    pub fn record_version(mut self, version: u16) -> Self {
        self.record_version = version;
        self
    }

    /// The version in the hello itself; 0x0303 without this.
    #[must_use]
    pub fn legacy_version(mut self, version: u16) -> Self {
        self.legacy_version = version;
        self
    }

    /// The random bytes.
    #[must_use]
    pub fn random(mut self, random: [u8; 32]) -> Self {
        self.random = random;
        self
    }

    /// The session id; more than 32 bytes are sent as they are.
    #[must_use]
    pub fn session_id(mut self, session_id: &[u8]) -> Self {
        self.session_id = session_id.to_vec();
        self
    }

    /// The cipher suites.
    #[must_use]
    pub fn ciphers(mut self, ciphers: &[u16]) -> Self {
        self.ciphers = ciphers.to_vec();
        self
    }

    /// The compression methods.
    #[must_use]
    pub fn compressions(mut self, compressions: &[u8]) -> Self {
        self.compressions = compressions.to_vec();
        self
    }

    /// The types of the extensions in their order, twice the same if wanted. Those that have a list
    /// here are filled from it; any other is empty, unless [`ClientHelloBuilder::extension_body`]
    /// says otherwise.
    #[must_use]
    pub fn extensions(mut self, types: &[u16]) -> Self {
        self.extensions = types.to_vec();
        self
    }

    /// The bytes of the extension of this type, and the extension at the end when it is not there.
    #[must_use]
    pub fn extension_body(mut self, kind: u16, body: &[u8]) -> Self {
        self.bodies.insert(kind, body.to_vec());
        self.with_extension(kind)
    }

    /// The server name, or none at all.
    #[must_use]
    pub fn server_name(mut self, name: Option<&str>) -> Self {
        self.server_name = name.map(str::to_owned);
        match name {
            Some(_) => self.with_extension(SERVER_NAME),
            None => self.without_extension(SERVER_NAME),
        }
    }

    /// The groups of the key exchange.
    #[must_use]
    pub fn groups(mut self, groups: &[u16]) -> Self {
        self.groups = groups.to_vec();
        self.with_extension(GROUPS)
    }

    /// The groups with a key share. The shares have the right length and no meaning.
    #[must_use]
    pub fn key_shares(mut self, groups: &[u16]) -> Self {
        self.key_shares = groups.to_vec();
        self.with_extension(KEY_SHARE)
    }

    /// The formats of points of an elliptic curve.
    #[must_use]
    pub fn point_formats(mut self, formats: &[u8]) -> Self {
        self.point_formats = formats.to_vec();
        self.with_extension(POINT_FORMATS)
    }

    /// The signature algorithms.
    #[must_use]
    pub fn signature_algorithms(mut self, algorithms: &[u16]) -> Self {
        self.signature_algorithms = algorithms.to_vec();
        self.with_extension(SIGNATURE_ALGORITHMS)
    }

    /// The protocols of ALPN, or no such extension when there is none.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&[u8]]) -> Self {
        self.alpn = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        match protocols {
            [] => self.without_extension(ALPN),
            _ => self.with_extension(ALPN),
        }
    }

    /// The versions in `supported_versions`, or no such extension when there is none.
    #[must_use]
    pub fn versions(mut self, versions: &[u16]) -> Self {
        self.versions = versions.to_vec();
        match versions {
            [] => self.without_extension(VERSIONS),
            _ => self.with_extension(VERSIONS),
        }
    }

    /// Puts this reserved value (RFC 8701) where a browser does: first among cipher suites, groups,
    /// versions and key shares, and as first and last extension. The last has the next reserved
    /// value and one byte.
    #[must_use]
    pub fn grease(mut self, value: u16) -> Self {
        self.grease = Some(value);
        self
    }

    /// Adds a padding extension (RFC 7685) so that the handshake message has this many bytes with
    /// its header of four; none is added when fewer than four bytes are missing.
    #[must_use]
    pub fn padded_to(mut self, len: usize) -> Self {
        self.padded_to = Some(len);
        self
    }

    /// Adds this number to a length, without a change in what it measures.
    #[must_use]
    pub fn lie(mut self, field: LengthField, off_by: i32) -> Self {
        self.lies.insert(field, off_by);
        self
    }

    /// Splits the handshake message into records of at most this many bytes each.
    ///
    /// # Panics
    ///
    /// When it is 0 or more than 16,384, the longest record (RFC 8446 §5.1).
    #[must_use]
    pub fn records_of(mut self, len: usize) -> Self {
        assert!((1..=MAX_RECORD_LEN).contains(&len), "a record has 1 to {MAX_RECORD_LEN} bytes, not {len}");
        self.record_len = len;
        self
    }

    /// The hello as it goes over the wire, in its records.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for fragment in self.handshake().chunks(self.record_len) {
            wire.push(HANDSHAKE_RECORD);
            wire.extend(self.record_version.to_be_bytes());
            self.put_len(&mut wire, 2, fragment.len(), &[LengthField::Record]);
            wire.extend_from_slice(fragment);
        }
        wire
    }

    /// The handshake message with its header of four bytes, without records.
    #[must_use]
    pub fn handshake(&self) -> Vec<u8> {
        let plain = self.message(None);
        // A padding extension has a header of four bytes of its own.
        match self.padded_to.and_then(|len| len.checked_sub(plain.len() + 4)) {
            Some(padding) => self.message(Some(padding)),
            None => plain,
        }
    }

    fn message(&self, padding: Option<usize>) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend(self.random);
        self.put(&mut body, 1, &self.session_id, &[LengthField::SessionId]);
        self.put(&mut body, 2, &words(self.grease, &self.ciphers), &[LengthField::CipherSuites]);
        self.put(&mut body, 1, &self.compressions, &[LengthField::CompressionMethods]);
        let extensions = self.extension_block(padding);
        // A hello without extensions ends here (RFC 5246 §7.4.1.2).
        if !extensions.is_empty() {
            self.put(&mut body, 2, &extensions, &[LengthField::Extensions]);
        }
        let mut message = vec![CLIENT_HELLO];
        self.put(&mut message, 3, &body, &[LengthField::Handshake]);
        message
    }

    fn extension_block(&self, padding: Option<usize>) -> Vec<u8> {
        let mut block = Vec::new();
        if let Some(value) = self.grease {
            self.put_extension(&mut block, value, &[]);
        }
        for &kind in &self.extensions {
            let body = self.bodies.get(&kind).cloned().unwrap_or_else(|| self.body_of(kind));
            self.put_extension(&mut block, kind, &body);
        }
        if let Some(value) = self.grease {
            let next = if value == 0xfafa { 0x0a0a } else { value.wrapping_add(0x1010) };
            self.put_extension(&mut block, next, &[0]);
        }
        if let Some(len) = padding {
            self.put_extension(&mut block, PADDING, &vec![0; len]);
        }
        block
    }

    fn put_extension(&self, block: &mut Vec<u8>, kind: u16, body: &[u8]) {
        block.extend(kind.to_be_bytes());
        self.put(block, 2, body, &[LengthField::Extension(kind)]);
    }

    /// What an extension of this type holds, from the lists.
    fn body_of(&self, kind: u16) -> Vec<u8> {
        let list = [LengthField::ListIn(kind)];
        let mut body = Vec::new();
        match kind {
            SERVER_NAME => {
                let mut entry = vec![HOST_NAME];
                self.put(&mut entry, 2, self.server_name.as_deref().unwrap_or_default().as_bytes(), &[]);
                self.put(&mut body, 2, &entry, &list);
            }
            GROUPS => self.put(&mut body, 2, &words(self.grease, &self.groups), &list),
            POINT_FORMATS => self.put(&mut body, 1, &self.point_formats, &list),
            SIGNATURE_ALGORITHMS => self.put(&mut body, 2, &words(None, &self.signature_algorithms), &list),
            ALPN => {
                let mut names = Vec::new();
                for protocol in &self.alpn {
                    self.put(&mut names, 1, protocol, &[]);
                }
                self.put(&mut body, 2, &names, &list);
            }
            VERSIONS => self.put(&mut body, 1, &words(self.grease, &self.versions), &list),
            PSK_MODES => self.put(&mut body, 1, &[PSK_WITH_KEY_EXCHANGE], &list),
            KEY_SHARE => {
                let mut shares = Vec::new();
                for group in self.grease.iter().chain(&self.key_shares) {
                    shares.extend(group.to_be_bytes());
                    self.put(&mut shares, 2, &share_of(*group), &[]);
                }
                self.put(&mut body, 2, &shares, &list);
            }
            _ => {}
        }
        body
    }

    /// Appends `content` after its length in `width` bytes.
    fn put(&self, to: &mut Vec<u8>, width: usize, content: &[u8], fields: &[LengthField]) {
        self.put_len(to, width, content.len(), fields);
        to.extend_from_slice(content);
    }

    fn put_len(&self, to: &mut Vec<u8>, width: usize, len: usize, fields: &[LengthField]) {
        let lie: i64 = fields.iter().filter_map(|field| self.lies.get(field)).map(|&off_by| i64::from(off_by)).sum();
        let said = i64::try_from(len).expect("a length fits an i64") + lie;
        let bytes = said.to_be_bytes();
        let (cut, kept) = bytes.split_at(bytes.len() - width);
        assert!(cut.iter().all(|&byte| byte == 0), "a length of {width} bytes cannot hold {said}");
        to.extend_from_slice(kept);
    }

    fn with_extension(mut self, kind: u16) -> Self {
        if !self.extensions.contains(&kind) {
            self.extensions.push(kind);
        }
        self
    }

    fn without_extension(mut self, kind: u16) -> Self {
        self.extensions.retain(|&known| known != kind);
        self
    }
}

impl Default for ClientHelloBuilder {
    fn default() -> Self {
        Self::new()
    }
}

fn words(first: Option<u16>, rest: &[u16]) -> Vec<u8> {
    first.iter().chain(rest).flat_map(|word| word.to_be_bytes()).collect()
}

/// Bytes of the length that a share of this group has; one for a reserved or unknown group.
fn share_of(group: u16) -> Vec<u8> {
    match group {
        X25519 => vec![0x09; 32],
        // An uncompressed point begins with 4.
        P256 => [vec![4], vec![0x09; 64]].concat(),
        P384 => [vec![4], vec![0x09; 96]].concat(),
        X25519_MLKEM768 => vec![0x09; 1216],
        _ => vec![0],
    }
}

const MAX_RECORD_LEN: usize = 16_384;
const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const HOST_NAME: u8 = 0;
const PSK_WITH_KEY_EXCHANGE: u8 = 1;

// Extension types, IANA registry "TLS ExtensionType Values".
const SERVER_NAME: u16 = 0;
const GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const PADDING: u16 = 21;
const VERSIONS: u16 = 43;
const PSK_MODES: u16 = 45;
const KEY_SHARE: u16 = 51;

// Groups, IANA registry "TLS Supported Groups".
const P256: u16 = 0x0017;
const P384: u16 = 0x0018;
const X25519: u16 = 0x001d;
const X25519_MLKEM768: u16 = 0x11ec;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::server::Acceptor;

    use super::*;

    /// What rustls makes of the bytes: server name, protocols, cipher suites, signature algorithms, groups.
    type Read = (Option<String>, Vec<Vec<u8>>, Vec<u16>, Vec<u16>, Vec<u16>);

    fn read(mut wire: &[u8]) -> Result<Option<Read>, String> {
        let mut acceptor = Acceptor::default();
        while !wire.is_empty() {
            acceptor.read_tls(&mut wire).map_err(|fault| fault.to_string())?;
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    return Ok(Some((
                        hello.server_name().map(str::to_owned),
                        hello.alpn().map(|names| names.map(<[u8]>::to_vec).collect()).unwrap_or_default(),
                        hello.cipher_suites().iter().map(|&suite| u16::from(suite)).collect(),
                        hello.signature_schemes().iter().map(|&scheme| u16::from(scheme)).collect(),
                        hello.named_groups().unwrap_or_default().iter().map(|&group| u16::from(group)).collect(),
                    )));
                }
                Err((fault, _)) => return Err(fault.to_string()),
            }
        }
        Ok(None)
    }

    #[test]
    fn another_reader_finds_the_lists_that_were_given() {
        let plain = ClientHelloBuilder::new()
            .server_name(Some("api.shop.example"))
            .alpn(&[b"h2", b"http/1.1"])
            .ciphers(&[0x1301, 0xc02c])
            .signature_algorithms(&[0x0403, 0x0805])
            .groups(&[0x11ec, 0x001d])
            .key_shares(&[0x11ec, 0x001d]);
        let lists = (
            Some("api.shop.example".to_owned()),
            vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            vec![0x1301, 0xc02c],
            vec![0x0403, 0x0805],
            vec![0x11ec, 0x001d],
        );
        for len in [1, 2, 5, 63, 64, 16_384] {
            assert_eq!(read(&plain.clone().records_of(len).build()), Ok(Some(lists.clone())), "records of {len}");
        }
        assert_eq!(read(&plain.clone().padded_to(2_000).build()), Ok(Some(lists)));

        let (_, _, ciphers, _, groups) = read(&plain.grease(0x1a1a).build()).unwrap().unwrap();
        assert_eq!(ciphers, [0x1a1a, 0x1301, 0xc02c]);
        assert_eq!(groups, [0x1a1a, 0x11ec, 0x001d]);
    }

    #[test]
    fn the_bytes_are_those_of_the_standard() {
        let wire = ClientHelloBuilder::new()
            .session_id(&[])
            .ciphers(&[0x1301])
            .extensions(&[0, 16])
            .server_name(Some("a.example"))
            .alpn(&[b"h2"])
            .build();
        let mut wanted = vec![22, 3, 1, 0, 74, 1, 0, 0, 70, 3, 3];
        wanted.extend([0x42; 32]);
        wanted.extend([0, 0, 2, 0x13, 0x01, 1, 0, 0, 27]);
        wanted.extend([0, 0, 0, 14, 0, 12, 0, 0, 9]);
        wanted.extend(b"a.example");
        wanted.extend([0, 16, 0, 5, 0, 3, 2]);
        wanted.extend(b"h2");
        assert_eq!(wire, wanted);
    }

    #[test]
    fn padding_reaches_the_length_that_was_asked_for() {
        let plain = ClientHelloBuilder::new().handshake().len();
        for (asked, wanted) in
            [(0, plain), (plain, plain), (plain + 3, plain), (plain + 4, plain + 4), (plain + 5, plain + 5), (512, 512)]
        {
            assert_eq!(ClientHelloBuilder::new().padded_to(asked).handshake().len(), wanted, "asked for {asked}");
        }
    }

    #[test]
    fn a_hello_whose_lengths_lie_is_not_read() {
        for field in [
            LengthField::SessionId,
            LengthField::CipherSuites,
            LengthField::CompressionMethods,
            LengthField::Extensions,
            LengthField::Extension(GROUPS),
            LengthField::ListIn(GROUPS),
        ] {
            let wire = ClientHelloBuilder::new().lie(field, 1).build();
            assert!(read(&wire).is_err(), "{field:?}");
        }
        // These say that more will come.
        for field in [LengthField::Record, LengthField::Handshake] {
            let wire = ClientHelloBuilder::new().lie(field, 1).build();
            assert_eq!(read(&wire), Ok(None), "{field:?}");
        }
    }

    #[test]
    fn without_extensions_the_hello_ends_after_compression() {
        let wire = ClientHelloBuilder::new().session_id(&[]).ciphers(&[0x002f]).extensions(&[]).build();
        assert_eq!(wire.len(), 5 + 4 + 2 + 32 + 1 + 4 + 2);
    }

    proptest! {
        #[test]
        fn every_lie_changes_bytes_but_never_the_number_of_them(off_by in -3i32..=3, grease in any::<bool>()) {
            let mut sound = ClientHelloBuilder::new();
            if grease {
                sound = sound.grease(0x0a0a);
            }
            for field in [LengthField::Record, LengthField::Handshake, LengthField::Extensions, LengthField::Extension(10)] {
                let lying = sound.clone().lie(field, off_by).build();
                prop_assert_eq!(lying.len(), sound.build().len());
                prop_assert_eq!(lying != sound.build(), off_by != 0);
            }
        }
    }
}
