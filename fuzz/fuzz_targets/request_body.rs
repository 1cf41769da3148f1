//! Any bytes as a request's body and as a token: fields are found or not, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| portcullis_signals::read_any_body(bytes));
