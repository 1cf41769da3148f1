//! Any bytes as a snapshot of bans, standings and routes: read or refused, and what is read is written as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| portcullis_velocity::read_any_snapshot(bytes));
