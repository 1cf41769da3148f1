//! Log lines, on standard error: what is said about the process itself.
//!
//! Requests are not logged here but recorded in audit. Lines of libraries that clients can provoke, such as
//! those about broken connections, are held to a rate, so that nobody can fill a disk with them.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_log::NormalizeEvent;
use tracing_subscriber::filter::{Directive, EnvFilter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The environment variable with the filter, as `info` or `portcullis=debug,pingora_proxy=info`. Pingora never
/// says more than `info`.
pub const FILTER_VARIABLE: &str = "PORTCULLIS_LOG";

/// What log lines look like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging for this process. From then on `tracing` and `log` lines are written.
///
/// # Errors
///
/// Where the process logs already.
pub fn start(format: LogFormat) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(filter()).with(Quota { since: Instant::now() });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
}

/// How many lines of libraries were left out since the last call.
pub fn take_left_out() -> u64 {
    LEFT_OUT.swap(0, Ordering::Relaxed)
}

/// What is logged: `info` of ours and warnings of others, unless the variable says otherwise.
fn filter() -> EnvFilter {
    let written = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let base = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(&written);
    // Directives of the variable are more special than these only where they name a target, so these are
    // added only where it names none.
    LIBRARIES.iter().filter(|target| !written.contains(*target)).fold(base, |filter, target| {
        // notify warns of a folder that is gone, which the reload says better.
        let level = if *target == "notify" { "error" } else { "warn" };
        let quiet: Result<Directive, _> = format!("{target}={level}").parse();
        match quiet {
            Ok(quiet) => filter.add_directive(quiet),
            Err(_) => filter,
        }
    })
}

/// The libraries whose lines a client can provoke, by the beginning of their targets.
const LIBRARIES: [&str; 8] =
    ["pingora_core", "pingora_proxy", "pingora_load_balancing", "pingora_pool", "pingora", "rustls", "h2", "notify"];

/// How many lines of libraries are written in a second at most.
const LINES_PER_SECOND: u32 = 5;

/// The second that is being counted, from the start of the log, and its lines.
static SECOND: AtomicU64 = AtomicU64::new(0);
static LINES: AtomicU32 = AtomicU32::new(0);
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Holds the lines of libraries to [`LINES_PER_SECOND`], and those of Pingora to what tells nothing of requests.
struct Quota {
    since: Instant,
}

impl<S: Subscriber> Layer<S> for Quota {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        !tells_too_much(metadata.target(), *metadata.level())
    }

    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let from_log = event.normalized_metadata();
        let target = from_log.as_ref().map_or(event.metadata().target(), |metadata| metadata.target());
        if !is_library(target) || admits(self.since.elapsed().as_secs() + 1, &SECOND, &LINES) {
            return true;
        }
        LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        false
    }
}

/// Whether a line may hold what clients sent as it came, such as cookies and credentials.
///
/// Below `info`, Pingora writes whole request headers, whatever the variable asks for.
fn tells_too_much(target: &str, level: Level) -> bool {
    target.starts_with("pingora") && level > Level::INFO
}

fn is_library(target: &str) -> bool {
    let first = target.split("::").next().unwrap_or_default();
    LIBRARIES.contains(&first)
}

/// Whether one more line may be written in this second. Two threads at the turn of a second may admit a few more.
fn admits(second: u64, counted: &AtomicU64, lines: &AtomicU32) -> bool {
    if counted.swap(second, Ordering::Relaxed) != second {
        lines.store(0, Ordering::Relaxed);
    }
    lines.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pingora_says_of_whole_requests_is_never_written() {
        let filter = EnvFilter::new("trace,pingora_proxy=trace,pingora_core::protocols=debug");
        let quota = Quota { since: Instant::now() };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter).with(quota), || {
            assert!(tracing::enabled!(target: "pingora_proxy", Level::INFO));
            assert!(!tracing::enabled!(target: "pingora_proxy", Level::DEBUG));
            assert!(!tracing::enabled!(target: "pingora_core::protocols::http::v1::server", Level::DEBUG));
            assert!(!tracing::enabled!(target: "pingora_core", Level::TRACE));
            assert!(tracing::enabled!(target: "portcullis::reload", Level::TRACE));
        });
    }

    #[test]
    fn lines_of_libraries_are_held_to_a_rate_and_ours_are_not() {
        let (counted, lines) = (AtomicU64::new(0), AtomicU32::new(0));
        let admitted = |second| (0..100).filter(|_| admits(second, &counted, &lines)).count();
        assert_eq!(admitted(1), 5);
        assert_eq!(admitted(1), 0);
        assert_eq!(admitted(2), 5);
        for (target, is) in
            [("pingora_proxy::proxy_h1", true), ("rustls", true), ("portcullis::reload", false), ("rustls_x", false)]
        {
            assert_eq!(is_library(target), is, "{target}");
        }
    }
}
