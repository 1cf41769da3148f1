//! Any bytes as an expression of a rule: it is refused with a reason or worked out, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    portcullis_policy::expression_any(bytes);
});
