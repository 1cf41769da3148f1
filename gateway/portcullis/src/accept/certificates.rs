//! Certificates: from files or memory, checked, and found by the name that a client asks for.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    SignatureScheme,
    crypto::CryptoProvider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

/// Where a certificate and its key are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFiles {
    /// A PEM file with the certificate first and then those that lead to its root.
    pub chain: PathBuf,
    /// A PEM file with the private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// A certificate and its key in memory.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, then those that lead to its root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

/// Everything that is wrong with a set of certificates; nothing of the set is used.
#[derive(Debug)]
pub struct CertificateError {
    /// At least one fault.
    pub faults: Vec<CertificateFault>,
}

/// One thing that is wrong with a certificate.
#[derive(Debug)]
pub enum CertificateFault {
    /// There is no certificate at all.
    NoneGiven,
    /// A file cannot be read.
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not PEM, or holds nothing of the wanted kind.
    NotPem {
        /// Which file.
        path: PathBuf,
        /// `certificate` or `private key`.
        wanted: &'static str,
        /// What was found instead.
        found: String,
    },
    /// The certificate or the key cannot be read as what it should be.
    Malformed {
        /// The file, or which certificate in memory.
        place: String,
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the reader said.
        reason: String,
    },
    /// The certificate's time is over.
    Expired {
        /// The file, or which certificate in memory.
        place: String,
        /// Its last moment, RFC 3339.
        since: String,
    },
    /// The certificate's time has not begun.
    NotYetValid {
        /// The file, or which certificate in memory.
        place: String,
        /// Its first moment, RFC 3339.
        until: String,
    },
    /// The key is not that of the certificate.
    Mismatch {
        /// The certificate's file, or which certificate in memory.
        place: String,
        /// The key's file, or which key in memory.
        key_place: String,
    },
}

/// Finds a certificate by name. Invariant: there is at least one.
#[derive(Debug)]
pub(super) struct CertificateTable {
    /// By whole name, in lower case.
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows `*.`, in lower case.
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// The first certificate: for no name, and for a name that none has.
    default: Arc<CertifiedKey>,
    /// The earliest end among the certificates.
    pub(super) expires_at: SystemTime,
}

impl CertificateTable {
    /// Checks each certificate at `now`; the error holds every fault of all of them.
    pub(super) fn new(
        sources: Vec<Source>,
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        let mut faults = Vec::new();
        let mut checked = Vec::with_capacity(sources.len());
        for source in sources {
            match source.read().and_then(|read| read.check(provider, now)) {
                Ok(certificate) => checked.push(certificate),
                Err(fault) => faults.push(fault),
            }
        }
        let default = match checked.first() {
            Some(first) if faults.is_empty() => Arc::clone(&first.key),
            _ => {
                if faults.is_empty() {
                    faults.push(CertificateFault::NoneGiven);
                }
                return Err(CertificateError { faults });
            }
        };
        let expires_at = checked.iter().map(|one| one.expires_at).min().unwrap_or(now);
        let mut table = Self { exact: HashMap::new(), wildcard: HashMap::new(), default, expires_at };
        for certificate in checked {
            for name in certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcard, parent),
                    None => (&mut table.exact, name.as_str()),
                };
                names.entry(name.into()).or_default().push(Arc::clone(&certificate.key));
            }
        }
        Ok(table)
    }

    /// The certificate for `name`, with which a client that knows `schemes` can do.
    ///
    /// A whole name goes before a wildcard, which stands for exactly one label (RFC 6125 §6.4.3).
    /// Where several have the name, the first that the client can check is taken.
    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        let by_name = |name: &str| self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1));
        let fits = |one: &&Arc<CertifiedKey>| one.key.choose_scheme(schemes).is_some();
        name.and_then(by_name)
            .and_then(|named| named.iter().find(fits).or_else(|| named.first()))
            .map_or_else(|| Arc::clone(&self.default), Arc::clone)
    }
}

impl ResolvesServerCert for CertificateTable {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has checked the name and put it into lower case.
        Some(self.find(hello.server_name(), hello.signature_schemes()))
    }
}

/// Where a certificate is to come from.
pub(super) enum Source {
    Files(CertificateFiles),
    Memory { number: usize, certificate: Certificate },
}

impl Source {
    pub(super) fn files(files: &[CertificateFiles]) -> Vec<Self> {
        files.iter().cloned().map(Self::Files).collect()
    }

    pub(super) fn memory(certificates: Vec<Certificate>) -> Vec<Self> {
        let numbered = certificates.into_iter().zip(1..);
        numbered.map(|(certificate, number)| Self::Memory { number, certificate }).collect()
    }

    fn read(self) -> Result<Read, CertificateFault> {
        match self {
            Self::Files(files) => Ok(Read {
                certificate: Certificate { chain: read_chain(&files.chain)?, key: read_key(&files.key)? },
                place: files.chain.display().to_string(),
                key_place: files.key.display().to_string(),
            }),
            Self::Memory { number, certificate } => Ok(Read {
                certificate,
                place: format!("certificate {number} in memory"),
                key_place: format!("key {number} in memory"),
            }),
        }
    }
}

/// A certificate as it was read, and what to call it in a message.
struct Read {
    certificate: Certificate,
    place: String,
    key_place: String,
}

/// A certificate that can be served.
struct Checked {
    key: Arc<CertifiedKey>,
    /// DNS names, in lower case.
    names: Vec<String>,
    expires_at: SystemTime,
}

impl Read {
    fn check(self, provider: &CryptoProvider, now: SystemTime) -> Result<Checked, CertificateFault> {
        let Self { certificate: Certificate { chain, key }, place, key_place } = self;
        let Some(leaf) = chain.first() else {
            let reason = "the chain is empty".to_owned();
            return Err(CertificateFault::Malformed { place, what: CERTIFICATE, reason });
        };
        let (names, valid) = match read_leaf(leaf) {
            Ok(read) => read,
            Err(reason) => {
                return Err(CertificateFault::Malformed { place, what: CERTIFICATE, reason });
            }
        };
        if now < valid.start {
            return Err(CertificateFault::NotYetValid { place, until: rfc3339(valid.start) });
        }
        if now > valid.end {
            return Err(CertificateFault::Expired { place, since: rfc3339(valid.end) });
        }
        match CertifiedKey::from_der(chain, key, provider) {
            Ok(key) => Ok(Checked { key: Arc::new(key), names, expires_at: valid.end }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateFault::Mismatch { place, key_place }),
            Err(error) => {
                Err(CertificateFault::Malformed { place: key_place, what: PRIVATE_KEY, reason: error.to_string() })
            }
        }
    }
}

/// The DNS names and the time of a certificate.
fn read_leaf(leaf: &CertificateDer<'_>) -> Result<(Vec<String>, std::ops::Range<SystemTime>), String> {
    let (_, certificate) =
        x509_parser::certificate::X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let validity = certificate.validity();
    let valid = time(validity.not_before.timestamp())..time(validity.not_after.timestamp());
    Ok((names.collect(), valid))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let pem = read_file(path)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => Err(not_pem(path, CERTIFICATE, &pem::Error::NoItemsFound)),
        Ok(chain) => Ok(chain),
        Err(error) => Err(not_pem(path, CERTIFICATE, &error)),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    let pem = read_file(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| not_pem(path, PRIVATE_KEY, &error))
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateFault> {
    std::fs::read(path).map_err(|error| CertificateFault::Unreadable { path: path.to_owned(), error })
}

fn not_pem(path: &Path, wanted: &'static str, error: &pem::Error) -> CertificateFault {
    let found = match error {
        pem::Error::NoItemsFound => "none".to_owned(),
        other => other.to_string(),
    };
    CertificateFault::NotPem { path: path.to_owned(), wanted, found }
}

fn time(unix_secs: i64) -> SystemTime {
    let distance = Duration::from_secs(unix_secs.unsigned_abs());
    let moment = if unix_secs < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn rfc3339(moment: SystemTime) -> String {
    jiff::Timestamp::try_from(moment).map_or_else(|_| "an unknown time".to_owned(), |moment| moment.to_string())
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for CertificateError {}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneGiven => write!(f, "expected at least one certificate, but found none"),
            Self::Unreadable { path, error } => {
                write!(f, "cannot read `{}`: {error}", path.display())
            }
            Self::NotPem { path, wanted, found } => {
                write!(f, "expected a {wanted} in PEM form in `{}`, but found {found}", path.display())
            }
            Self::Malformed { place, what, reason } => {
                write!(f, "cannot read the {what} in `{place}`: {reason}")
            }
            Self::Expired { place, since } => {
                write!(f, "the certificate in `{place}` expired at {since}; renew it")
            }
            Self::NotYetValid { place, until } => {
                write!(f, "the certificate in `{place}` is not valid before {until}; check the clock of this machine")
            }
            Self::Mismatch { place, key_place } => write!(
                f,
                "the key in `{key_place}` is not that of the certificate in `{place}`; give the two that belong together"
            ),
        }
    }
}

const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private key";

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        Certificate { chain: vec![made.cert.der().clone()], key }
    }

    fn valid_between(from: i32, to: i32) -> Certificate {
        let mut params = rcgen::CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = vec![params.self_signed(&key).unwrap().der().clone()];
        Certificate { chain, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    }

    fn table(certificates: Vec<Certificate>) -> Result<CertificateTable, CertificateError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let now = time(1_790_000_000); // 2026-09-21
        CertificateTable::new(Source::memory(certificates), &provider, now)
    }

    fn check_fault(certificates: Vec<Certificate>, text: &str) {
        assert_eq!(table(certificates).unwrap_err().to_string(), text);
    }

    #[test]
    fn a_name_finds_its_certificate_a_wildcard_one_label_and_the_rest_the_first() {
        let certificates = [&["default.example"][..], &["api.shop.example"], &["*.shop.example"]];
        let certificates: Vec<_> = certificates.iter().map(|names| certificate(names)).collect();
        let leaves: Vec<_> = certificates.iter().map(|one| one.chain[0].clone()).collect();
        let table = table(certificates).unwrap();
        for (name, leaf) in [
            (None, 0),
            (Some("default.example"), 0),
            (Some("other.example"), 0),
            (Some("api.shop.example"), 1),
            (Some("www.shop.example"), 2),
            (Some("a.www.shop.example"), 0),
            (Some("shop.example"), 0),
            (Some("example"), 0),
        ] {
            assert_eq!(table.find(name, &[]).cert[0], leaves[leaf], "{name:?}");
        }
    }

    #[test]
    fn names_are_compared_in_lower_case() {
        let shop = certificate(&["API.Shop.Example"]);
        let leaf = shop.chain[0].clone();
        let table = table(vec![certificate(&["default.example"]), shop]).unwrap();
        assert_eq!(table.find(Some("api.shop.example"), &[]).cert[0], leaf);
    }

    #[test]
    fn a_certificate_that_cannot_be_served_is_refused_with_the_reason() {
        check_fault(vec![], "expected at least one certificate, but found none");
        check_fault(
            vec![valid_between(2020, 2025)],
            "the certificate in `certificate 1 in memory` expired at 2025-01-01T00:00:00Z; renew it",
        );
        check_fault(
            vec![certificate(&["shop.example"]), valid_between(2030, 2031)],
            "the certificate in `certificate 2 in memory` is not valid before 2030-01-01T00:00:00Z; \
             check the clock of this machine",
        );
        let crossed = Certificate { key: certificate(&["other.example"]).key, ..certificate(&["shop.example"]) };
        check_fault(
            vec![crossed],
            "the key in `key 1 in memory` is not that of the certificate in `certificate 1 in memory`; \
             give the two that belong together",
        );
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let error = table(vec![valid_between(2020, 2021), valid_between(2030, 2031)]).unwrap_err();
        assert_eq!(error.faults.len(), 2);
        assert_eq!(error.to_string().lines().count(), 2);
    }

    #[test]
    fn the_earliest_end_is_the_one_to_watch() {
        let table = table(vec![valid_between(2020, 2040), valid_between(2020, 2030)]).unwrap();
        assert_eq!(rfc3339(table.expires_at), "2030-01-01T00:00:00Z");
    }
}
