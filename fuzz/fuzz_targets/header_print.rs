//! Any bytes as the head of an HTTP/1 request: it is read or refused, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(print) = portcullis_fingerprint::Http1Print::of(bytes) {
        assert!(print.to_string().is_ascii() && print.header_order().is_ascii());
        assert!(print.repeated_names().len() <= print.header_names.len());
    }
});
