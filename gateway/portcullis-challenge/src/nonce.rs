//! The nonce of a page's Content-Security-Policy.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The nonce that lets a page's own script and style run, and no other (CSP Level 3 §2.3.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CspNonce(String);

impl CspNonce {
    /// The nonce of 16 fresh random bytes. Each response has its own.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(STANDARD.encode(random))
    }

    /// Its text, in base64.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CspNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
