//! The audit record: one line of JSON for a request, through a bounded queue.
//!
//! A record explains a decision by itself: every signal with its share, every counter that was read, the rule
//! that fired, the policy's version. It holds no value of a header, a cookie, a query or a body, so nothing that
//! a client keeps secret can be in it.

mod line;
mod sink;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use portcullis_policy::model::Action;

use crate::gateway::Record;
use line::line;
use sink::Output;

pub use sink::{SinkError, try_file};

/// Where audit records go.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// The sink.
    pub sink: Sink,
    /// Which requests are recorded.
    pub scope: Scope,
    /// How many records wait at most; what comes past it is dropped and counted.
    pub queue: usize,
}

/// Where lines are written.
#[derive(Clone, Debug)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// Which requests are recorded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scope {
    /// All.
    All,
    /// Those that were not simply allowed: refused ones, and those that something in monitor mode would refuse.
    #[default]
    NotAllowed,
}

/// The way to the writer.
#[derive(Debug)]
pub struct Audit {
    scope: Scope,
    state: Arc<State>,
}

/// The writer; dropping it after every [`Audit`] waits until the last line is written.
#[derive(Debug)]
pub struct AuditWriter(Option<JoinHandle<()>>);

/// What requests and the writer share.
#[derive(Debug, Default)]
struct State {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    capacity: usize,
    written: AtomicU64,
    dropped: AtomicU64,
    failing: AtomicBool,
    /// Whether the file is to be opened again.
    reopen: AtomicBool,
}

/// Lines that wait for the writer, one behind the other.
#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    records: usize,
    closed: bool,
}

/// How long a line waits at most. To wake the writer for each would cost more than to write it.
const LINGER: Duration = Duration::from_millis(100);

impl Audit {
    /// Opens the sink and starts its writer.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened or the thread not started.
    pub fn start(settings: &AuditSettings) -> Result<(Self, AuditWriter), SinkError> {
        let output = Output::open(&settings.sink)?;
        let capacity = if output.is_some() { settings.queue.max(1) } else { 0 };
        let state = Arc::new(State { capacity, ..State::default() });
        let writer = match output {
            None => None,
            Some(output) => {
                let state = Arc::clone(&state);
                let writer = std::thread::Builder::new().name("audit".to_owned());
                let started = writer.spawn(move || write_all(&state, output));
                Some(started.map_err(SinkError::Writer)?)
            }
        };
        Ok((Self { scope: settings.scope, state }, AuditWriter(writer)))
    }

    /// Has the file opened again before the next record, as whoever moved it away expects.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Relaxed);
    }

    /// Hands a request's record to the writer; never waits.
    pub fn record(&self, record: &Record<'_>) {
        if self.state.capacity == 0 || record.judged.is_none() || (self.scope == Scope::NotAllowed && is_plain(record))
        {
            return;
        }
        let kept = line(record).is_some_and(|line| self.state.add(&line));
        if !kept {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records written so far.
    pub fn written(&self) -> u64 {
        self.state.written.load(Ordering::Relaxed)
    }

    /// Records dropped so far.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Whether the last write went well.
    pub fn is_up(&self) -> bool {
        !self.state.failing.load(Ordering::Relaxed)
    }
}

impl Drop for AuditWriter {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

fn is_plain(record: &Record<'_>) -> bool {
    let quiet = record.decision().is_some_and(|decision| {
        decision.verdict == Action::Allow && decision.shadow.is_empty() && decision.faults.is_empty()
    });
    quiet && record.seen.is_none() && record.site.is_none() && record.outcome.error.is_none()
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.state.waiting.lock().closed = true;
        self.state.wake.notify_one();
    }
}

impl State {
    /// Puts a line behind those that wait; not so where as many wait as may.
    fn add(&self, line: &[u8]) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.records >= self.capacity {
            return false;
        }
        waiting.lines.extend_from_slice(line);
        waiting.records += 1;
        let urgent = waiting.records == self.capacity / 2;
        drop(waiting);
        if urgent {
            self.wake.notify_one();
        }
        true
    }
}

/// Writes what waits, as often as it lingers long enough, until the last request is over.
fn write_all(state: &State, mut output: Output) {
    let mut lines = Vec::new();
    let mut has_failed = false;
    loop {
        let mut waiting = state.waiting.lock();
        if waiting.records < state.capacity / 2 && !waiting.closed {
            state.wake.wait_for(&mut waiting, LINGER);
        }
        let records = std::mem::take(&mut waiting.records);
        let closed = waiting.closed;
        lines.clear();
        std::mem::swap(&mut lines, &mut waiting.lines);
        drop(waiting);
        if state.reopen.swap(false, Ordering::Relaxed) {
            output.reopen();
        }
        if records > 0 {
            let written = output.write(&mut lines);
            match &written {
                Ok(()) if has_failed => tracing::info!("audit records are written again"),
                Err(error) if !has_failed => tracing::error!(%error, "audit records are not written, and dropped"),
                _ => {}
            }
            has_failed = written.is_err();
            let counter = if has_failed { &state.dropped } else { &state.written };
            counter.fetch_add(u64::try_from(records).unwrap_or(u64::MAX), Ordering::Relaxed);
            state.failing.store(has_failed, Ordering::Relaxed);
        } else if closed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::scratch::Scratch;

    fn path(folder: &Scratch) -> PathBuf {
        folder.0.join("audit.jsonl")
    }

    /// The writer last, as it waits for the end of the other when it is dropped.
    fn start(folder: &Scratch) -> Started {
        let settings = AuditSettings { sink: Sink::File(path(folder)), scope: Scope::All, queue: 8 };
        let (audit, _writer) = Audit::start(&settings).unwrap();
        Started { audit, _writer }
    }

    fn read(folder: &Scratch, name: &str) -> String {
        fs::read_to_string(folder.0.join(name)).unwrap()
    }

    struct Started {
        audit: Audit,
        _writer: AuditWriter,
    }

    /// Writes one record, and waits until that was tried.
    fn record(audit: &Audit, line: &str) {
        let tried = || audit.written() + audit.dropped();
        let before = tried();
        assert!(audit.state.add(line.as_bytes()));
        while tried() == before {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_left_when_that_is_asked_for() {
        let scratch = Scratch::new("audit-moved");
        let started = start(&scratch);
        let audit = &started.audit;
        record(audit, "one\n");
        fs::rename(path(&scratch), scratch.0.join("audit.1")).unwrap();
        record(audit, "two\n");
        audit.reopen();
        record(audit, "three\n");
        assert_eq!(
            (read(&scratch, "audit.1").as_str(), read(&scratch, "audit.jsonl").as_str()),
            ("one\ntwo\n", "three\n")
        );
        // Where it cannot be opened, the one in use stays.
        fs::remove_file(path(&scratch)).unwrap();
        fs::create_dir(path(&scratch)).unwrap();
        audit.reopen();
        record(audit, "four\n");
        assert_eq!((audit.written(), audit.dropped(), audit.is_up()), (4, 0, true));
    }

    #[test]
    fn a_record_begins_a_line_where_the_one_before_could_not_be_written() {
        let scratch = Scratch::new("audit-full");
        symlink("/dev/full", path(&scratch)).unwrap();
        let started = start(&scratch);
        let audit = &started.audit;
        record(audit, "lost\n");
        assert!(!audit.is_up());
        fs::remove_file(path(&scratch)).unwrap();
        fs::write(path(&scratch), "half a rec").unwrap();
        audit.reopen();
        record(audit, "one\n");
        record(audit, "two\n");
        assert_eq!(read(&scratch, "audit.jsonl"), "half a rec\none\ntwo\n");
        assert_eq!((audit.written(), audit.dropped(), audit.is_up()), (2, 1, true));
    }
}
