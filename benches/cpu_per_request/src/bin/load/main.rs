//! Sends requests as fast as they are answered, and prints what they cost the process that answered.
//!
//! One thread. Given two sides, it loads them in turn, in short slices (first, second, second, first, …),
//! so that whatever slows the machine down for longer than a slice slows both. The connections of both
//! stay open; in a slice only one side is sent requests, and it ends when the last response is there.
//! The figure is the CPU time of the side's process, user and system, in its slices, over the responses
//! that arrived in them. A response with another status than the expected one, or any fault of a
//! connection, ends the run with an error.

mod http1;
mod http2;
mod meter;
mod request;
mod tls;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use portcullis_bench_cpu::never_sleep;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

use crate::meter::Meter;
use crate::request::Requests;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What every task ends with.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// Loads one or two listeners.
#[derive(Debug, Parser)]
struct Args {
    /// How to speak to them.
    #[arg(value_enum)]
    protocol: Protocol,
    /// A listener and the process whose CPU time is measured, written `address,pid`; once or twice.
    #[arg(long = "side", required = true)]
    sides: Vec<String>,
    /// The core that the processes are pinned to.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Measure each side for this long.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Load each side for this long first.
    #[arg(long, default_value_t = 0.3)]
    warm_up_seconds: f64,
    /// Change sides after this long.
    #[arg(long, default_value_t = 0.1)]
    slice_seconds: f64,
    /// Connections to each side: 32, or 16 for HTTP/2 and for new connections.
    #[arg(long)]
    connections: Option<usize>,
    /// Streams at a time on each HTTP/2 connection.
    #[arg(long, default_value_t = 8)]
    streams: usize,
    /// Expect this status of every response.
    #[arg(long, default_value_t = 200)]
    expect: u16,
    /// Ask for this path.
    #[arg(long, default_value = "/v1/items?page=2")]
    path: String,
    /// Name this host.
    #[arg(long, default_value = "shop.example")]
    host: String,
    /// Say this in place of Chrome's user agent.
    #[arg(long, default_value = request::CHROME)]
    user_agent: String,
    /// Add a header, written `name: value`; may be given more than once.
    #[arg(long)]
    header: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Protocol {
    /// HTTP/1.1 in plaintext, connections kept.
    Http1,
    /// HTTP/1.1 over TLS, connections kept.
    Http1Tls,
    /// HTTP/2 over TLS, connections kept.
    Http2,
    /// HTTP/1.1 over TLS, a new connection and a full handshake for each request.
    NewTls,
}

fn main() -> Outcome {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        spawn_local(never_sleep());
        measure(&args).await
    })
}

async fn measure(args: &Args) -> Outcome {
    let load = Rc::new(Load::new(args)?);
    let sides: Vec<_> = args.sides.iter().map(|side| Side::read(side, &load)).collect::<Result<_, _>>()?;
    let connections = args.connections.unwrap_or(match args.protocol {
        Protocol::Http1 | Protocol::Http1Tls => 32,
        Protocol::Http2 | Protocol::NewTls => 16,
    });
    let mut tasks = Vec::new();
    for side in &sides {
        for _ in 0..connections {
            tasks.push(spawn_local(connection(Rc::clone(side), args.protocol, args.streams)));
        }
    }
    for side in &sides {
        side.slice(args.warm_up_seconds, args.core).await?;
    }
    let mut sums = vec![Slice::default(); sides.len()];
    let slices = (args.seconds / args.slice_seconds).ceil().max(1.0);
    let mut number = 0;
    while f64::from(number) < slices {
        let mut turn: Vec<_> = sides.iter().zip(&mut sums).collect();
        if number % 2 == 1 {
            turn.reverse();
        }
        for (side, sum) in turn {
            sum.add(&side.slice(args.slice_seconds, args.core).await?);
        }
        number += 1;
    }
    load.stopping.set(true);
    sides.iter().for_each(|side| side.wake.notify_waiters());
    for task in tasks {
        tokio::time::timeout(STOP_BOUND, task).await.map_err(|_| "a connection did not end in time")??;
    }
    load.check()?;
    let reports: Vec<_> = sums.iter().zip(&sides).map(|(sum, side)| sum.report(side)).collect::<Result<_, _>>()?;
    println!("{}", json!(reports));
    Ok(())
}

async fn connection(side: Rc<Side>, protocol: Protocol, streams: usize) {
    let outcome = match protocol {
        Protocol::Http1 => http1::keep_plain(&side).await,
        Protocol::Http1Tls => http1::keep_tls(&side).await,
        Protocol::Http2 => http2::keep(&side, streams).await,
        Protocol::NewTls => http1::connect_each_time(&side).await,
    };
    if let Err(fault) = outcome {
        side.load.fail(&format!("{}: {fault}", side.target));
    }
}

/// What all connections share.
pub(crate) struct Load {
    pub(crate) requests: Requests,
    pub(crate) tls: tokio_rustls::TlsConnector,
    expect: u16,
    stopping: Cell<bool>,
    fault: RefCell<Option<String>>,
    failed: Notify,
}

impl Load {
    fn new(args: &Args) -> Result<Self, Box<dyn Error>> {
        let alpn: &[u8] = if args.protocol == Protocol::Http2 { b"h2" } else { b"http/1.1" };
        Ok(Self {
            requests: Requests::new(&args.host, &args.path, &args.user_agent, &args.header)?,
            tls: tls::connector(alpn)?,
            expect: args.expect,
            stopping: Cell::new(false),
            fault: RefCell::new(None),
            failed: Notify::new(),
        })
    }

    /// Keeps the first fault and wakes the run up to end on it.
    fn fail(&self, fault: &str) {
        self.stopping.set(true);
        self.fault.borrow_mut().get_or_insert_with(|| fault.to_owned());
        self.failed.notify_one();
    }

    fn check(&self) -> Outcome {
        match self.fault.borrow().as_ref() {
            None => Ok(()),
            Some(fault) => Err(fault.clone().into()),
        }
    }

    /// Waits for an event, or for a fault, which is an error.
    async fn or_fault(&self, event: impl Future<Output = ()>) -> Outcome {
        tokio::select! {
            () = event => {},
            () = self.failed.notified() => {},
        }
        self.check()
    }
}

/// What the connections to one listener share.
pub(crate) struct Side {
    pub(crate) load: Rc<Load>,
    pub(crate) target: SocketAddr,
    pid: i32,
    active: Cell<bool>,
    wake: Notify,
    under_way: Cell<usize>,
    drained: Notify,
    answered: Cell<u64>,
    handshake: RefCell<Option<String>>,
}

impl Side {
    fn read(text: &str, load: &Rc<Load>) -> Result<Rc<Self>, Box<dyn Error>> {
        let (target, pid) =
            text.split_once(',').ok_or_else(|| format!("expected `address,pid`, but found `{text}`"))?;
        Ok(Rc::new(Self {
            load: Rc::clone(load),
            target: target.parse()?,
            pid: pid.parse()?,
            active: Cell::new(false),
            wake: Notify::new(),
            under_way: Cell::new(0),
            drained: Notify::new(),
            answered: Cell::new(0),
            handshake: RefCell::new(None),
        }))
    }

    /// Waits until a request may be sent; `false` when no more shall be. Each `true` is owed a
    /// [`Side::done`].
    pub(crate) async fn turn(&self) -> bool {
        loop {
            if self.load.stopping.get() {
                return false;
            }
            if self.active.get() {
                self.under_way.set(self.under_way.get() + 1);
                return true;
            }
            self.wake.notified().await;
        }
    }

    /// Counts a response, or refuses it.
    pub(crate) fn count(&self, status: u16, describe: impl FnOnce() -> String) -> Outcome {
        if status != self.load.expect {
            return Err(format!("expected status {}, but found {status}: {}", self.load.expect, describe()).into());
        }
        self.answered.set(self.answered.get() + 1);
        Ok(())
    }

    /// Says that what a [`Side::turn`] began is over.
    pub(crate) fn done(&self) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
        if self.under_way.get() == 0 {
            self.drained.notify_one();
        }
    }

    /// Keeps what the first handshake agreed on, for the report.
    pub(crate) fn note_handshake(&self, connection: &rustls::ClientConnection) {
        let mut handshake = self.handshake.borrow_mut();
        if handshake.is_none() {
            *handshake = Some(tls::describe(connection));
        }
    }

    /// Loads this side for a while, and measures it from before the first request until after the last
    /// response.
    async fn slice(&self, seconds: f64, core: usize) -> Result<Slice, Box<dyn Error>> {
        let (before, counted, start) = (Meter::read(self.pid, core)?, self.answered.get(), Instant::now());
        self.active.set(true);
        self.wake.notify_waiters();
        self.load.or_fault(tokio::time::sleep(Duration::try_from_secs_f64(seconds)?)).await?;
        self.active.set(false);
        while self.under_way.get() > 0 {
            self.load.or_fault(self.drained.notified()).await?;
        }
        let elapsed = start.elapsed();
        // What is left to do after a response, such as the end of a connection, belongs to it.
        self.load.or_fault(tokio::time::sleep(SETTLE)).await?;
        let spent = Meter::read(self.pid, core)?.since(&before);
        Ok(Slice { requests: self.answered.get() - counted, elapsed, spent })
    }
}

/// What was measured in a slice, or in several.
#[derive(Clone, Debug, Default)]
struct Slice {
    requests: u64,
    elapsed: Duration,
    spent: Meter,
}

impl Slice {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.elapsed += other.elapsed;
        self.spent.process += other.spent.process;
        self.spent.own += other.spent.own;
        self.spent.core_busy += other.spent.core_busy;
    }

    fn report(&self, side: &Side) -> Result<serde_json::Value, Box<dyn Error>> {
        if self.requests == 0 {
            return Err(format!("{}: no response arrived while measuring", side.target).into());
        }
        let seconds = self.elapsed.as_secs_f64();
        // No run has so many requests that an f64 rounds them.
        let count = self.requests as f64;
        Ok(json!({
            "requests": self.requests,
            "seconds": seconds,
            "requests_per_second": count / seconds,
            "cpu_us_per_request": self.spent.process.as_secs_f64() * 1e6 / count,
            "process_share": self.spent.process.as_secs_f64() / seconds,
            "others_share": self.spent.core_busy.saturating_sub(self.spent.process).as_secs_f64() / seconds,
            "load_share": self.spent.own.as_secs_f64() / seconds,
            "status": side.load.expect,
            "handshake": *side.handshake.borrow(),
        }))
    }
}

/// Past this, a connection hangs and the run is a failure.
const STOP_BOUND: Duration = Duration::from_secs(10);
/// Long enough for a process with nothing else to do to close a few connections.
const SETTLE: Duration = Duration::from_millis(2);
