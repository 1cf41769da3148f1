//! The memory of behaviour beyond counters: what is under way, what differed, what failed, who stands how, and how each
//! route fares.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_signals::Posture;
use portcullis_velocity::{
    Buckets, Cohorts, Distincts, FailureRuns, InFlight, Millis, Reputation, RoutePosture, Sequences, SharedSequences,
};

use crate::settings::Memory;

/// Tables that all routes share. Each took its memory when it was made.
#[derive(Debug)]
pub struct Behaviours {
    /// Token buckets of limits.
    pub buckets: Buckets,
    /// Requests under way and those that wait.
    pub in_flight: Arc<InFlight>,
    /// How many different values.
    pub distincts: Distincts,
    /// Failures in a row.
    pub runs: FailureRuns,
    /// Standing of callers and prefixes.
    pub reputation: Reputation,
    /// Numbers asked for one after the other.
    pub sequences: Sequences,
    /// Numbers that those who look alike went through together.
    pub shared_sequences: SharedSequences,
}

/// The memory of numbers asked for one after the other: of 65,536 clients.
const SEQUENCES_BYTES: usize = 512 << 10;

/// The memory of those that are gone through together: of 8,192 looks and paths.
const SHARED_SEQUENCES_BYTES: usize = 64 << 10;

impl Behaviours {
    /// Tables within these bounds.
    pub fn new(memory: &Memory) -> Self {
        Self {
            buckets: Buckets::new(memory.buckets_bytes),
            in_flight: Arc::new(InFlight::new(memory.in_flight_bytes, memory.max_waiting)),
            distincts: Distincts::new(memory.distinct_bytes),
            runs: FailureRuns::new(memory.runs_bytes),
            reputation: Reputation::new(memory.reputation_bytes),
            sequences: Sequences::new(SEQUENCES_BYTES),
            shared_sequences: SharedSequences::new(SHARED_SEQUENCES_BYTES),
        }
    }
}

/// How one route fares, and those who look alike on it. It lives on over a reload that keeps the route's name.
pub struct RouteState {
    /// Whether it is under attack.
    pub posture: RoutePosture,
    /// Clients that look alike.
    pub cohorts: Cohorts,
}

/// Cohorts of one route. Real clients come in some tens of looks, alone and in some hundreds of networks.
const COHORTS: usize = 1024;

impl Default for RouteState {
    /// A route of which nothing is known.
    fn default() -> Self {
        Self { posture: RoutePosture::new(), cohorts: Cohorts::new(COHORTS) }
    }
}

impl RouteState {
    /// How the route fares.
    pub fn posture(&self, now: Millis) -> Posture {
        match self.posture.posture(now) {
            portcullis_velocity::Posture::Normal => Posture::Normal,
            portcullis_velocity::Posture::Elevated => Posture::Elevated,
            portcullis_velocity::Posture::UnderAttack => Posture::UnderAttack,
        }
    }

    /// For how long it has fared so.
    pub fn posture_lasts(&self, now: Millis) -> Duration {
        Duration::from_millis(now.0.saturating_sub(self.posture.read(now).since.0))
    }
}

impl fmt::Debug for RouteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteState").field("posture", &self.posture).finish_non_exhaustive()
    }
}
