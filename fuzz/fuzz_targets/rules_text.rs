//! Any bytes as a rules file: they are compiled or every fault is said, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    portcullis_policy::compile_any(bytes);
});
