//! The gateway's program.

use std::process::ExitCode;

use clap::Parser as _;
use portcullis::{accept, cli::Cli};

/// Requests allocate many small pieces that live as long as they do, which mimalloc is quick at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything of Pingora's, which would choose another.
    accept::install_crypto_provider();
    Cli::parse().run()
}
