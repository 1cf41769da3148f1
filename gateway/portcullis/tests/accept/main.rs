//! The accept path, seen by clients on the loopback address.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bounds;
mod client;
mod gate;
mod proxy_header;
mod tls;
mod unread;
