//! Any bytes as a User-Agent: they make a claim, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = portcullis_signals::Claim::of(bytes);
});
