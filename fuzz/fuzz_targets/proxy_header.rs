//! Any bytes where a PROXY header should be: they are read or refused, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = portcullis::accept::proxy_protocol::parse(bytes);
});
