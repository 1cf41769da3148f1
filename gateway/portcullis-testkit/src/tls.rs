//! The TLS side of the clients.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, ProtocolVersion, RootCertStore, SignatureScheme,
    SupportedProtocolVersion, version,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// How a client speaks TLS. Clones share one session store, so that the second connection resumes.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Tls {
    /// Starts from: TLS 1.2 and 1.3, no ALPN, any certificate is accepted, sessions are resumed.
    ///
    /// `name` is sent as server name, unless it is an address.
    #[must_use]
    pub fn to(name: &str) -> TlsOptions {
        TlsOptions {
            name: name.to_owned(),
            alpn: Vec::new(),
            versions: vec![&version::TLS13, &version::TLS12],
            trusted: None,
            resumption: Resumption::in_memory_sessions(16),
        }
    }
}

/// The knobs of a [`Tls`].
#[derive(Debug)]
pub struct TlsOptions {
    name: String,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    trusted: Option<CertificateDer<'static>>,
    resumption: Resumption,
}

impl TlsOptions {
    /// Offers these protocols, most wanted first.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Offers TLS 1.2 alone.
    #[must_use]
    pub fn only_tls12(mut self) -> Self {
        self.versions = vec![&version::TLS12];
        self
    }

    /// Offers TLS 1.3 alone.
    #[must_use]
    pub fn only_tls13(mut self) -> Self {
        self.versions = vec![&version::TLS13];
        self
    }

    /// Trusts this certificate and no other, and checks the name against it.
    #[must_use]
    pub fn trust(mut self, certificate: &CertificateDer<'_>) -> Self {
        self.trusted = Some(certificate.clone().into_owned());
        self
    }

    /// Makes every connection a full handshake.
    #[must_use]
    pub fn without_resumption(mut self) -> Self {
        self.resumption = Resumption::disabled();
        self
    }

    /// Puts the knobs together.
    ///
    /// # Panics
    ///
    /// When the name or the trusted certificate cannot be read.
    #[must_use]
    pub fn build(self) -> Tls {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .expect("the provider has suites for these versions");
        let mut config = match self.trusted {
            Some(certificate) => {
                let mut roots = RootCertStore::empty();
                roots.add(certificate).expect("the trusted certificate is a certificate");
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        config.resumption = self.resumption;
        let name = ServerName::try_from(self.name).expect("the name is a DNS name or an address");
        Tls { config: Arc::new(config), name }
    }
}

/// What a finished handshake agreed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFacts {
    /// The version, such as TLS 1.3.
    pub version: ProtocolVersion,
    /// The protocol the server chose of those offered.
    pub alpn: Option<String>,
    /// The cipher suite, in the spelling of its debug output.
    pub cipher_suite: String,
    /// The key exchange group, in the spelling of its debug output; absent on a resumed TLS 1.2 session.
    pub group: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The server's own certificate.
    pub certificate: Option<CertificateDer<'static>>,
}

impl TlsFacts {
    pub(crate) fn of(connection: &ClientConnection) -> io::Result<Self> {
        let version = connection.protocol_version().ok_or_else(|| io::Error::other("the handshake is not finished"))?;
        Ok(Self {
            version,
            alpn: connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
            cipher_suite: connection
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default(),
            group: connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: connection
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|certificate| certificate.clone().into_owned()),
        })
    }
}

/// Accepts any certificate, yet checks that the server holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
