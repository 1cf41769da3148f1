//! Bounded memory of behaviour: sliding windows, token buckets, requests under way, distinct values, bans, what clients
//! did before, and how a route and those who look alike on it fare against what is usual.
//!
//! ```
//! use std::time::Duration;
//! use portcullis_velocity::{Counters, Millis, Secret, Verdict, Window};
//!
//! let counters = Counters::new(8 << 20, Secret([7; 16]));
//! let per_address = 1; // the identity of one limit of one route
//! let key = counters.hasher().key(per_address, &[&[192, 0, 2, 1]]);
//! let minute = Window::new(Duration::from_secs(60));
//!
//! for second in 0..3 {
//!     let limited = counters.observe_limited(key, minute, 3, 1, Millis(second * 1000));
//!     assert_eq!(limited.verdict, Verdict::Admit);
//! }
//! let limited = counters.observe_limited(key, minute, 3, 1, Millis(3000));
//! assert_eq!(limited.verdict, Verdict::Refuse);
//! assert!(limited.retry_after_ms <= 57_000);
//! ```
//!
//! What holds here, each with a test:
//!
//! - **Memory is bounded.** [`Counters`], [`Buckets`], [`InFlight`], [`Distincts`], [`Contexts`] and [`SessionPrints`]
//!   take their budget once and never grow, move or pause to resize. Pages are touched as they are used. [`Bans`],
//!   [`Cohorts`], [`FailureRuns`] and [`Reputation`] have a fixed capacity, a [`RoutePosture`] a fixed size.
//! - **A full table neither refuses strangers nor forgets offenders.** Of sixteen candidates the
//!   quietest gives way, so a flood of keys seen once displaces keys seen once. The newcomer starts
//!   from nothing: it never inherits what the displaced key had counted.
//! - **No raw identifiers.** Keys are keyed hashes (SipHash-1-3, 128 bits). What a person calls a ban made by hand is
//!   the one text there is.
//! - **Own refusals never re-arm.** [`Counters::observe_limited`] and [`Buckets::take`] count only what they admit, and
//!   [`Bans::check`] extends nothing; the refusals that [`Reputation`] remembers are bounded in what they come to.
//! - **No client is a crowd.** A [`Cohorts`] surge and a raised [`Posture`] take many addresses, and one counts for
//!   little however loud it is.
//! - **A restart forgets no ban.** A [`Snapshot`] goes by the wall clock; it needs the same [`Secret`].
//! - **Cores do not wait for each other.** Eight slots share a lock, and it is held for some tens
//!   of nanoseconds, never across two calls. Bans are sharded.
//! - **Time is an argument.** A step back neither panics nor resets; a step forward only ages.

mod bans;
mod buckets;
mod cell;
mod cohorts;
mod contexts;
mod counters;
mod decay;
mod distinct;
mod distinct_set;
mod in_flight;
mod key;
mod memory;
mod outcomes;
mod posture;
mod reputation;
mod runs;
mod sequences;
mod session_prints;
mod sets;
mod sketch;
mod snapshot;
mod table;
mod time;
mod usual;
mod window;

pub use bans::{Ban, BanError, BanKind, BanStats, BannedBy, Bans, Extend, Imposed, ListedBan, Order};
pub use buckets::{Buckets, Draw, Rate};
pub use cohorts::{CohortReading, Cohorts};
pub use contexts::{ClientContext, Content, Contexts, Cookie, Purpose, RequestNote, SetCookie};
pub use counters::{Counters, Limited, Reading, Verdict};
pub use distinct::{Distinct, DistinctStats, Distincts};
pub use in_flight::{Busy, InFlight, InFlightStats, QueueFull, Running, Waiting};
pub use key::{Key, KeyHasher, ParseKeyError, Secret};
pub use outcomes::{Baseline, Outcome, Tally};
pub use posture::{Posture, PostureReading, RoutePosture, Seen};
pub use reputation::{Event, Reputation, Standing};
pub use runs::{FailureRun, FailureRuns, RunScale};
pub use sequences::{Sequences, SharedSequences};
pub use session_prints::SessionPrints;
#[doc(hidden)]
pub use snapshot::read_any_snapshot;
pub use snapshot::{Clocks, Restored, RouteMemory, Snapshot, SnapshotError, UnixMillis};
pub use table::Stats;
pub use time::Millis;
pub use window::Window;
