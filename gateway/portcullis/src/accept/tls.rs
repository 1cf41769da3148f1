//! TLS as it is spoken to clients, and the certificates to swap while it is.

use std::{sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, ProducesTickets},
    version::{TLS12, TLS13},
};

use super::{
    certificates::{Certificate, CertificateError, CertificateFiles, CertificateTable, Source},
    conn::Alpn,
};

/// Makes aws-lc-rs the cryptography of this process. Does nothing when there already is one.
///
/// Two providers are compiled in, because Pingora brings ring, and Pingora installs ring for the
/// process unless something was installed before. Listeners name their provider themselves; this is for
/// connections to origins. First thing in `main`, and in every test that makes a Pingora service.
pub fn install_crypto_provider() {
    // An error says that there is one, which is what was asked for.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// What listeners need to speak TLS; shared by those that serve the same certificates.
///
/// TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1, X25519MLKEM768 first among the groups. Sessions are resumed
/// by tickets only, whose keys turn over by themselves and outlive a change of certificates, so nothing
/// is kept for a client.
pub struct TlsStore {
    loaded: ArcSwap<Loaded>,
    /// What [`TlsStore::reload`] reads again; empty for certificates from memory.
    files: Mutex<Vec<CertificateFiles>>,
    provider: Arc<CryptoProvider>,
    ticketer: Arc<dyn ProducesTickets>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    expires_at: SystemTime,
}

/// Why there is no [`TlsStore`].
#[derive(Debug)]
pub enum TlsError {
    /// The certificates cannot be served.
    Certificates(CertificateError),
    /// The cryptography refused its work; not a matter of settings.
    Crypto(rustls::Error),
}

impl TlsStore {
    /// Reads certificates from files; the first is served when no name fits.
    ///
    /// # Errors
    ///
    /// Every file that cannot be read, and every certificate that is malformed, out of its time or not that
    /// of its key.
    pub fn load(files: &[CertificateFiles]) -> Result<Self, TlsError> {
        let store = Self::new(Source::files(files))?;
        *store.files.lock() = files.to_vec();
        Ok(store)
    }

    /// Takes certificates from memory; the first is served when no name fits.
    ///
    /// # Errors
    ///
    /// As [`TlsStore::load`].
    pub fn from_der(certificates: Vec<Certificate>) -> Result<Self, TlsError> {
        Self::new(Source::memory(certificates))
    }

    /// Reads the same files again; the next handshake gets what they hold now.
    ///
    /// A store from memory stays as it is.
    ///
    /// # Errors
    ///
    /// As [`TlsStore::load`]; what was served is served on.
    pub fn reload(&self) -> Result<(), TlsError> {
        // Held to the end, so that of two reloads the later one wins.
        let files = self.files.lock();
        if files.is_empty() {
            return Ok(());
        }
        self.put(Source::files(&files))
    }

    /// Reads other files, which [`TlsStore::reload`] then stays with.
    ///
    /// # Errors
    ///
    /// As [`TlsStore::load`]; what was served is served on.
    pub fn replace_files(&self, files: &[CertificateFiles]) -> Result<(), TlsError> {
        let mut known = self.files.lock();
        self.put(Source::files(files))?;
        *known = files.to_vec();
        Ok(())
    }

    /// Takes other certificates from memory.
    ///
    /// # Errors
    ///
    /// As [`TlsStore::load`]; what was served is served on.
    pub fn replace_der(&self, certificates: Vec<Certificate>) -> Result<(), TlsError> {
        let mut known = self.files.lock();
        self.put(Source::memory(certificates))?;
        known.clear();
        Ok(())
    }

    /// When the first of the certificates in use expires.
    pub fn expires_at(&self) -> SystemTime {
        self.loaded.load().expires_at
    }

    /// What the next handshake is done with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.loaded.load().config)
    }

    fn new(sources: Vec<Source>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Crypto)?;
        let loaded = Loaded::new(sources, &provider, &ticketer)?;
        Ok(Self { loaded: ArcSwap::from_pointee(loaded), files: Mutex::new(Vec::new()), provider, ticketer })
    }

    fn put(&self, sources: Vec<Source>) -> Result<(), TlsError> {
        let loaded = Loaded::new(sources, &self.provider, &self.ticketer)?;
        self.loaded.store(Arc::new(loaded));
        Ok(())
    }
}

impl Loaded {
    fn new(
        sources: Vec<Source>,
        provider: &Arc<CryptoProvider>,
        ticketer: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsError> {
        let table = CertificateTable::new(sources, provider, SystemTime::now()).map_err(TlsError::Certificates)?;
        let expires_at = table.expires_at;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Crypto)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(table));
        config.alpn_protocols = [Alpn::Http2, Alpn::Http1].map(|alpn| alpn.name().as_bytes().to_vec()).to_vec();
        config.ticketer = Arc::clone(ticketer);
        // rustls keeps 256 sessions behind a lock otherwise, of clients that take no tickets.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // One ticket, not two: each is sealed and sent in every handshake, and a client that opens a second
        // connection is given another one there.
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), expires_at })
    }
}

impl std::fmt::Debug for TlsStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStore").field("expires_at", &self.expires_at()).finish_non_exhaustive()
    }
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certificates(error) => error.fmt(f),
            Self::Crypto(error) => write!(f, "cannot set TLS up: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Certificates(error) => Some(error),
            Self::Crypto(error) => Some(error),
        }
    }
}
