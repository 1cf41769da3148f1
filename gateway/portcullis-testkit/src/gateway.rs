//! The real binary, as a process.

use std::fmt;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::client::Client;
use crate::wait::poll;

/// A running program. It is killed on drop.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    stdout: Captured,
    stderr: Captured,
}

impl Gateway {
    /// Starts `binary` and waits until `ready` answers 200.
    ///
    /// # Panics
    ///
    /// When the program ends before that, or the bound passes; the message holds what it printed.
    #[must_use]
    #[track_caller]
    pub fn start(binary: &Path, args: &[&str], ready: &ReadyCheck) -> Self {
        let mut gateway = Self::spawn(binary, args);
        gateway.wait_ready(ready);
        gateway
    }

    /// Starts `binary` and does not wait for it.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn spawn(binary: &Path, args: &[&str]) -> Self {
        let spawned =
            Command::new(binary).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(fault) => panic!("cannot start {}: {fault}", binary.display()),
        };
        let stdout = Captured::of(child.stdout.take().expect("standard output is piped"));
        let stderr = Captured::of(child.stderr.take().expect("standard error is piped"));
        Self { child, stdout, stderr }
    }

    /// Waits until `ready` answers 200.
    ///
    /// # Panics
    ///
    /// As [`Gateway::start`].
    #[track_caller]
    pub fn wait_ready(&mut self, ready: &ReadyCheck) {
        let client = Client::new(ready.address).bound(Duration::from_secs(1));
        let answered = poll(ready.bound, || {
            if let Some(status) = self.exit_status() {
                panic!("the gateway ended with {status} before it was ready\n{self}");
            }
            client.get(&ready.path, &[]).ok().filter(|response| response.status == 200)
        });
        assert!(
            answered.is_some(),
            "waited {:?} for a 200 from http://{}{}\n{self}",
            ready.bound,
            ready.address,
            ready.path
        );
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until it has written `wanted` to standard output or standard error.
    ///
    /// # Panics
    ///
    /// When it has not after ten seconds; the message holds what it printed.
    #[track_caller]
    pub fn wait_for_output(&self, wanted: &str) {
        let found = poll(Duration::from_secs(10), || {
            (self.stdout().contains(wanted) || self.stderr().contains(wanted)).then_some(())
        });
        assert!(found.is_some(), "the gateway did not print {wanted:?}\n{self}");
    }

    /// Asks it to reload, by SIGHUP.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[track_caller]
    pub fn reload(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Asks it to end, by SIGTERM, and waits until it has.
    ///
    /// # Panics
    ///
    /// When it has ended already, or has not after 20 seconds.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_exit(Duration::from_secs(20))
    }

    /// Asks it to end, by SIGTERM, and does not wait.
    ///
    /// # Panics
    ///
    /// When it has ended already.
    #[track_caller]
    pub fn begin_termination(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    ///
    /// When it has not after `bound`; the message holds what it printed.
    #[track_caller]
    pub fn wait_exit(&mut self, bound: Duration) -> ExitStatus {
        match poll(bound, || self.exit_status()) {
            Some(status) => status,
            None => panic!("the gateway has not ended after {bound:?}\n{self}"),
        }
    }

    /// Resident memory, in bytes (`VmRSS` of proc_pid_status(5)).
    ///
    /// # Panics
    ///
    /// When the process is gone.
    #[must_use]
    #[track_caller]
    pub fn rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the gateway runs");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|digits| digits.parse::<u64>().ok())
            .expect("a running process has a VmRSS line");
        kib * 1024
    }

    /// User and system time of all its threads since the start.
    ///
    /// It is the sum of `utime` and `stime` of proc_pid_stat(5), read through the process's CPU clock
    /// (clock_getcpuclockid(3)), which counts nanoseconds where the file counts hundredths of a second.
    ///
    /// # Panics
    ///
    /// When the process is gone.
    #[must_use]
    #[track_caller]
    pub fn cpu_time(&self) -> Duration {
        ClockId::pid_cpu_clock_id(self.nix_pid()).and_then(ClockId::now).expect("the gateway runs").into()
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        kill(self.nix_pid(), signal).expect("the gateway runs");
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid()).expect("a process id fits its type"))
    }

    /// How it ended, or nothing while it runs. When it has ended, its last words are read first.
    fn exit_status(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child can be waited for")?;
        // Bounded, as a program that it started may outlive it and hold the pipes open.
        poll(LAST_WORDS_BOUND, || (self.stdout.is_finished() && self.stderr.is_finished()).then_some(()));
        Some(status)
    }
}

const LAST_WORDS_BOUND: Duration = Duration::from_secs(1);

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--- standard output\n{}--- standard error\n{}---", self.stdout(), self.stderr())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What tells that the gateway serves.
#[derive(Clone, Debug)]
pub struct ReadyCheck {
    address: SocketAddr,
    path: String,
    bound: Duration,
}

impl ReadyCheck {
    /// A plaintext GET of `path` that is answered with 200 within 20 seconds.
    #[must_use]
    pub fn http(address: SocketAddr, path: &str) -> Self {
        Self { address, path: path.to_owned(), bound: Duration::from_secs(20) }
    }

    /// Waits this long instead.
    #[must_use]
    pub fn within(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }
}

/// Runs `binary` to its end with `stdin` as its input: for the commands that are not a server.
///
/// # Panics
///
/// When it cannot be started, or runs for longer than a minute.
#[must_use]
#[track_caller]
pub fn run_to_end(binary: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(binary)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let stdout = Captured::of(child.stdout.take().expect("standard output is piped"));
    let stderr = Captured::of(child.stderr.take().expect("standard error is piped"));
    let mut input = child.stdin.take().expect("standard input is piped");
    let bytes = stdin.to_vec();
    // A program may end without reading its input, which is not a fault.
    let feeder = thread::spawn(move || drop(input.write_all(&bytes)));
    let mut running = Gateway { child, stdout, stderr };
    let status = running.wait_exit(Duration::from_secs(60));
    drop(feeder.join());
    Output { status, stdout: running.stdout.finish(), stderr: running.stderr.finish() }
}

/// A pipe that a thread of its own empties, so that the program never waits for its reader.
#[derive(Debug)]
struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Captured {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(chunk.get(..count).unwrap_or_default());
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Whether the other end has closed and all of it is read.
    fn is_finished(&self) -> bool {
        self.reader.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    /// All of it, after the other end has closed.
    fn finish(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
