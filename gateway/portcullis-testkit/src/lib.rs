//! Origins, clients and a process harness for the tests of the gateway.
//!
//! Everything here runs on the loopback address, waits for events with a bound, and cleans up on
//! drop. Calls block: each client and each origin has its own small runtime, or none.
//!
//! | to | use |
//! |---|---|
//! | run the real binary | [`Gateway`], [`free_ports`] |
//! | see what the origin saw | [`Origin`] |
//! | speak to the gateway | [`Client`], [`Http1`], [`Http2`], [`Tls`] |
//! | speak to it wrongly | [`Http1::send_raw`], [`ClientHelloBuilder`], [`proxy_header`] |
//! | read its metrics | [`scrape`], [`Metrics`] |
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking, and this crate is part of tests")]

mod certificate;
mod client;
mod client_hello;
mod gateway;
mod http1;
mod http2;
mod message;
mod metrics;
mod origin;
mod ports;
pub mod proxy_header;
mod tls;
mod wait;

pub use certificate::TestCertificate;
pub use client::Client;
pub use client_hello::{ClientHelloBuilder, LengthField};
pub use gateway::{Gateway, ReadyCheck, run_to_end};
pub use http1::Http1;
pub use http2::Http2;
pub use message::RawResponse;
pub use metrics::{Metrics, Sample, scrape};
pub use origin::{Answer, Gate, Origin, RecordedRequest};
pub use ports::{free_port, free_ports};
pub use tls::{Tls, TlsFacts, TlsOptions};
pub use wait::{wait_for, wait_until};
