//! Any bytes as the first ones of a connection: they are read or refused, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = portcullis_fingerprint::read_any(bytes);
});
