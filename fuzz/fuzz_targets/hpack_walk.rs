//! Any bytes as a header block: its names are told within their bounds or it is refused, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut name_bytes = 0;
    let _ = portcullis_fingerprint::walk_header_block(bytes, |name| name_bytes += name.len());
    assert!(name_bytes <= portcullis_fingerprint::MAX_NAME_BYTES);
});
