//! Any bytes as a capture of traffic: it is read or refused, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = portcullis::capture::read(bytes, |_| Ok(()));
});
