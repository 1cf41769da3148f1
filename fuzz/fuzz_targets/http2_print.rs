//! Any bytes as the first ones of an HTTP/2 connection, at once and in pieces: the answer is the same, and nothing
//! panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_fingerprint::{Http2Recorder, Recording};

fuzz_target!(|bytes: &[u8]| {
    let whole = Http2Recorder::new().feed(bytes);
    let mut recorder = Http2Recorder::new();
    let in_pieces = bytes.chunks(7).map(|piece| recorder.feed(piece)).find(|answer| *answer != Recording::NeedMore);
    assert_eq!(in_pieces.unwrap_or(Recording::NeedMore), whole);
});
