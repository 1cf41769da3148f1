//! Any bytes as the head of an HTTP/1 request that cannot be read: something is told of it, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(portcullis::gateway::name_any_fault(bytes).is_some()));
