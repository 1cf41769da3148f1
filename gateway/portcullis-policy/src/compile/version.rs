//! The version of a policy, and stable numbers for what it counts.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::model::{Bound, Listed, Route, Rule};
use crate::written::{Located, WrittenCount, WrittenPart};

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

/// Whose a limit's counters are.
pub(super) enum Scope<'a> {
    /// Those of one limit: the names of its route and itself.
    Route(&'a str, &'a str),
    /// Those of all limits of a budget.
    Budget(&'a str),
}

/// A number for what a limit counts, which an edit of its rates, actions, cost or mode does not change.
pub(super) fn counter(scope: &Scope<'_>, key: &[Located<WrittenPart>], count: &WrittenCount) -> u64 {
    let mut hash = HashText(Sha256::new());
    let _ = match scope {
        Scope::Route(route, limit) => write!(hash, "portcullis-limit 2\n{route:?}\n{limit:?}\n"),
        Scope::Budget(budget) => write!(hash, "portcullis-budget 1\n{budget:?}\n"),
    };
    for part in key {
        let _ = writeln!(hash, "{:?}", part.value);
    }
    let _ = write!(hash, "{count:?}");
    hash.number()
}

/// A number for one level among those of its limit, by its kind, window and rank.
pub(super) fn level_counter(bound: Bound, rank: usize) -> u64 {
    let mut hash = HashText(Sha256::new());
    let kind = match bound {
        Bound::Window { .. } => "window",
        Bound::Bucket { .. } => "bucket",
        Bound::Concurrent { .. } => "concurrent",
    };
    let _ = write!(hash, "portcullis-level 1\n{kind} {:?} {rank}", bound.rate_window());
    hash.number()
}

struct HashText(Sha256);

impl HashText {
    fn number(self) -> u64 {
        self.0.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl std::fmt::Write for HashText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}
