//! Any bytes as a feed of every format, databases under a mapping among them: read or refused, no panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    portcullis_intel::read_feed_any(bytes);
});
