//! Checking memory-hard solutions: beside the threads that serve, and few at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use portcullis_challenge::{KeyRing, MemoryCost, Proof, RedeemForm, Refusal, Scratch, Solved, SpentSet};
use tokio::sync::Semaphore;

use super::Holder;
use crate::clock::Now;

/// The checks that may run at once, each with memory of its own, and those that wait for one.
#[derive(Debug)]
pub(super) struct Checks {
    turns: Semaphore,
    scratches: Mutex<Vec<Scratch>>,
    waiting: AtomicUsize,
}

/// How long a solution waits for its check. The page sends it again when it is told that the gateway is busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many solutions wait: as many as are checked in that time on one core, and no more, since each holds a body.
const MOST_WAITING: usize = 256;

impl Checks {
    /// As many at once as leaves half of the cores to requests.
    pub(super) fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Semaphore::new((cores / 2).max(1)), scratches: Mutex::default(), waiting: AtomicUsize::new(0) }
    }

    /// Checks the solution in the body of a redeem, whose code holds, when it is its turn.
    pub(super) async fn verify(
        self: &Arc<Self>,
        ring: Arc<KeyRing>,
        spent: Arc<SpentSet>,
        holder: Holder,
        body: Arc<[u8]>,
        now: Now,
    ) -> Result<Solved, Refusal> {
        let waiting = Waiting::new(&self.waiting).ok_or(Refusal::Busy)?;
        let turn = tokio::time::timeout(PATIENCE, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Refusal::Busy) };
        drop(waiting);
        let checks = Arc::clone(self);
        let check = move || {
            let form = RedeemForm::parse(&body)?;
            let Proof::Solution(solution) = form.proof else { return Err(Refusal::Malformed) };
            let mut scratch = checks.take();
            let checked =
                solution.verify_memory_hard(&ring, &holder.binding(), now.unix_millis(), &spent, &mut scratch);
            checks.scratches.lock().push(scratch);
            checked
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(Err(Refusal::Busy))
    }

    fn take(&self) -> Scratch {
        let kept = self.scratches.lock().pop();
        kept.unwrap_or_else(|| Scratch::new(MemoryCost::USUAL))
    }
}

/// A place among those that wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Option<Self> {
        let place = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
