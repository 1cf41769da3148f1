//! The version of a policy, and stable numbers for what it counts.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::model::{Count, KeyPart, Listed, Route, Rule};

/// The version: the first 16 hex digits of a SHA-256 over what the policy means.
///
/// Comments, formatting and the division into files are not part of the meaning; every value of the model is,
/// because the description is made of the model itself and leaves no field out.
pub(super) fn of(routes: &[Route], rules: &[Rule], listed: &Listed) -> Arc<str> {
    let mut hash = HashText(Sha256::new());
    // A hash takes whatever is written to it.
    let _ = write!(hash, "portcullis-policy 1\n{routes:?}\n{rules:?}\n{listed:?}");
    let mut version = String::with_capacity(16);
    for byte in hash.0.finalize().iter().take(8) {
        let _ = write!(version, "{byte:02x}");
    }
    version.into()
}

/// A number for what a limit counts, which an edit of its rate, action or mode does not change.
pub(super) fn counter(route: &str, limit: &str, key: &[KeyPart], count: Count, window: Duration) -> u64 {
    let mut hash = HashText(Sha256::new());
    let _ = write!(hash, "portcullis-limit 1\n{route:?}\n{limit:?}\n{key:?}\n{count:?}\n{window:?}");
    let digest = hash.0.finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

struct HashText(Sha256);

impl std::fmt::Write for HashText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}
