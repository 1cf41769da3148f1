//! An origin that costs as little as can be: one thread, keep-alive, the same few bytes for each request.

use std::error::Error;

use memchr::memmem::Finder;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use portcullis_bench_cpu::never_sleep;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("expected an address to listen on, such as 127.0.0.1:8000")?;
    // It never sleeps, so it is not to outlive who started it.
    let parent = getppid();
    set_pdeathsig(Signal::SIGTERM)?;
    if getppid() != parent {
        return Err("who started it is gone".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(&address).await?;
        tokio::task::spawn_local(never_sleep());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(serve(stream));
        }
    })
}

/// Answers every head that arrives, until the connection ends. Requests are expected to have no body.
async fn serve(mut stream: TcpStream) {
    let end = Finder::new(b"\r\n\r\n");
    let mut buffer = Vec::with_capacity(8192);
    while let Ok(1..) = stream.read_buf(&mut buffer).await {
        let mut answered = 0;
        while let Some(at) = buffer.get(answered..).and_then(|rest| end.find(rest)) {
            answered += at + END_LEN;
            if stream.write_all(RESPONSE).await.is_err() {
                return;
            }
        }
        buffer.drain(..answered);
    }
}

const END_LEN: usize = 4;
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";
