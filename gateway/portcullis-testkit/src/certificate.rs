//! Certificates for tests, made in memory.

use rcgen::CertifiedKey;
use rustls_pki_types::CertificateDer;

/// A self-signed P-256 certificate and its key.
#[derive(Clone, Debug)]
pub struct TestCertificate {
    certificate_pem: String,
    key_pem: String,
    der: CertificateDer<'static>,
}

impl TestCertificate {
    /// Makes a certificate for these names.
    ///
    /// # Panics
    ///
    /// When a name is not a DNS name or address.
    #[must_use]
    pub fn for_names(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).expect("the names are names of a certificate");
        Self { certificate_pem: cert.pem(), key_pem: signing_key.serialize_pem(), der: cert.der().clone() }
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The PKCS#8 private key as PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate as DER, to trust it or to compare it with [`crate::TlsFacts::certificate`].
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}
