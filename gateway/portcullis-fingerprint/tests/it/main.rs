//! The public face of the crate, over captured hellos, cut hellos and bytes that are none.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads its data from files"
)]

mod arbitrary;
mod captured;
mod frames;
mod http2;
mod seeds;
mod vectors;
mod zoo;
