//! Writes a self-signed P-256 certificate for `shop.example`, and its key, to two PEM files.

use std::error::Error;
use std::fs;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = std::env::args().skip(1);
    let (Some(cert), Some(key)) = (paths.next(), paths.next()) else {
        return Err("expected two paths, of the certificate and of the key".into());
    };
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = CertificateParams::new(vec!["shop.example".to_owned()])?.self_signed(&pair)?;
    fs::write(cert, certificate.pem())?;
    fs::write(key, pair.serialize_pem())?;
    Ok(())
}
