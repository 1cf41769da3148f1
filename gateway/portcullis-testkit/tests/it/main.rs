//! The kit tried on itself, where a fault of it could hide a fault of the gateway.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod origin;
mod process;
mod tls;
