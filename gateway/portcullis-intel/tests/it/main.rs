//! Special-use rows, the prefix table against a naive search, and real database files.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and reads files")]

mod databases;
mod feeds;
mod intel;
mod precedence;
mod prefixes;
mod sources;
mod special_use;

use std::path::{Path, PathBuf};

/// The bytes of a shared test file, or `None` with a word on standard error if it is not there.
fn shared(path: &str) -> Option<Vec<u8>> {
    let file = shared_path(path);
    let bytes = std::fs::read(&file).ok();
    if bytes.is_none() {
        eprintln!("skipped: {} is not there", file.display());
    }
    bytes
}

fn shared_path(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path)
}
