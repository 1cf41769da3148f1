//! Which puzzles were redeemed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::{Refusal, UnixMillis};

/// The puzzles that were redeemed and could still be replayed: a bounded set.
///
/// A puzzle is remembered until it expires, from where on its expiry refuses it. When every place
/// is taken by a puzzle that could still be replayed, a redeem is refused as busy: forgetting one
/// would allow a replay, and growing would let an attacker choose our memory. Nobody gets there
/// without doing the work of every place, so size the capacity by the redeems expected within one
/// puzzle's lifetime, and watch [`SpentSet::busy_total`].
///
/// Ids are spread over shards by their own random bytes; a redeem locks one shard for some hundred
/// nanoseconds. Memory is some 60 bytes for each place in use.
#[derive(Debug)]
pub struct SpentSet {
    shards: Box<[Mutex<Shard>]>,
    capacity_per_shard: usize,
    replays: AtomicU64,
    busy: AtomicU64,
}

impl SpentSet {
    /// An empty set with places for `capacity` puzzles, rounded up to a multiple of its shards.
    /// Memory is taken as it fills.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        // Random ids fill shards evenly only when a shard has many places.
        let shards = if capacity < SHARDS * 1024 { 1 } else { SHARDS };
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            capacity_per_shard: capacity.div_ceil(shards),
            replays: AtomicU64::new(0),
            busy: AtomicU64::new(0),
        }
    }

    /// Redeems puzzle `id`: succeeds for exactly one of all calls with this id.
    ///
    /// The id must come from an authenticated token that is valid at `now`.
    ///
    /// # Errors
    ///
    /// [`Spent::Already`] for every other call, [`Spent::Full`] when there is no place.
    pub fn spend(&self, id: [u8; 16], expires_at: UnixMillis, now: UnixMillis) -> Result<(), Spent> {
        let outcome = match self.shard(id) {
            Some(shard) => shard.lock().spend(id, expires_at, now, self.capacity_per_shard),
            None => Err(Spent::Full),
        };
        match outcome {
            Ok(()) => {}
            Err(Spent::Already) => _ = self.replays.fetch_add(1, Ordering::Relaxed),
            Err(Spent::Full) => _ = self.busy.fetch_add(1, Ordering::Relaxed),
        }
        outcome
    }

    /// How many puzzles are remembered, expired ones that were not cleared away yet among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().ids.len()).sum()
    }

    /// Whether no puzzle is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many puzzles can be remembered.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shards.len() * self.capacity_per_shard
    }

    /// How many redeems were refused as replays, in all.
    #[must_use]
    pub fn replays_total(&self) -> u64 {
        self.replays.load(Ordering::Relaxed)
    }

    /// How many redeems were refused because no place was free, in all.
    #[must_use]
    pub fn busy_total(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }

    /// What has to be remembered past a restart: every puzzle that has not expired at `now`.
    ///
    /// To restore, [`spend`](SpentSet::spend) each in a new set.
    #[must_use]
    pub fn snapshot(&self, now: UnixMillis) -> Vec<SpentEntry> {
        let mut entries = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            entries.extend(shard.by_expiry.iter().filter(|Reverse(entry)| entry.expires_at > now).map(|entry| entry.0));
        }
        entries
    }

    fn shard(&self, id: [u8; 16]) -> Option<&Mutex<Shard>> {
        // The first bytes choose the shard, the last ones the place within it.
        let [a, b, ..] = id;
        self.shards.get(usize::from(u16::from_be_bytes([a, b])) % self.shards.len().max(1))
    }
}

/// Why a puzzle could not be redeemed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spent {
    /// It was redeemed before, or so long ago that this could have been forgotten.
    Already,
    /// No place is free.
    Full,
}

impl From<Spent> for Refusal {
    fn from(spent: Spent) -> Self {
        match spent {
            Spent::Already => Self::Spent,
            Spent::Full => Self::Busy,
        }
    }
}

/// One redeemed puzzle. Ordered by expiry.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SpentEntry {
    /// The first moment at which it need not be remembered.
    pub expires_at: UnixMillis,
    /// The random bytes that name it.
    pub id: [u8; 16],
}

#[derive(Debug, Default)]
struct Shard {
    ids: HashSet<[u8; 16], BuildHasherDefault<RandomIdHasher>>,
    by_expiry: BinaryHeap<Reverse<SpentEntry>>,
    /// The greatest expiry that was ever cleared away.
    ///
    /// INVARIANT: an id that expires later than this has not been forgotten. Clocks step back, and
    /// threads read them at different moments; what was forgotten once is refused for ever.
    forgotten_to: Option<UnixMillis>,
}

impl Shard {
    fn spend(&mut self, id: [u8; 16], expires_at: UnixMillis, now: UnixMillis, capacity: usize) -> Result<(), Spent> {
        self.forget_expired(now);
        if self.forgotten_to.is_some_and(|limit| expires_at <= limit) || self.ids.contains(&id) {
            return Err(Spent::Already);
        }
        if self.ids.len() >= capacity {
            return Err(Spent::Full);
        }
        self.ids.insert(id);
        self.by_expiry.push(Reverse(SpentEntry { expires_at, id }));
        Ok(())
    }

    fn forget_expired(&mut self, now: UnixMillis) {
        while let Some(Reverse(entry)) = self.by_expiry.peek().copied() {
            if entry.expires_at > now {
                break;
            }
            self.by_expiry.pop();
            self.ids.remove(&entry.id);
            self.forgotten_to = self.forgotten_to.max(Some(entry.expires_at));
        }
    }
}

/// Takes an id's last eight bytes for its hash. Only ids that this gateway drew at random and
/// signed come here, so nobody can choose ones that collide.
#[derive(Default)]
struct RandomIdHasher(u64);

impl Hasher for RandomIdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(tail) = bytes.last_chunk::<8>() {
            self.0 = u64::from_be_bytes(*tail);
        }
    }

    fn write_usize(&mut self, _len: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Enough that cores seldom meet at one lock.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicUsize;

    fn id(n: u64) -> [u8; 16] {
        // Spread over shards and places alike, as random bytes would.
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mixed.to_le_bytes());
        id[8..].copy_from_slice(&n.to_be_bytes());
        id
    }

    const NOW: UnixMillis = UnixMillis(1_000_000);
    const LATER: UnixMillis = UnixMillis(1_060_000);

    #[test]
    fn a_puzzle_is_spent_once() {
        let spent = SpentSet::new(10);
        assert_eq!(spent.spend(id(1), LATER, NOW), Ok(()));
        assert_eq!(spent.spend(id(1), LATER, NOW), Err(Spent::Already));
        assert_eq!(spent.spend(id(2), LATER, NOW), Ok(()));
        assert_eq!((spent.len(), spent.replays_total(), spent.busy_total()), (2, 1, 0));
    }

    #[test]
    fn of_a_hundred_threads_exactly_one_spends() {
        for round in 0..50 {
            let spent = SpentSet::new(1_000_000);
            let won = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..100 {
                    scope.spawn(|| {
                        if spent.spend(id(round), LATER, NOW).is_ok() {
                            won.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(won.into_inner(), 1, "round {round}");
        }
    }

    #[test]
    fn a_full_set_refuses_and_neither_forgets_nor_grows() {
        let spent = SpentSet::new(3);
        for n in 0..3 {
            assert_eq!(spent.spend(id(n), LATER, NOW), Ok(()));
        }
        for n in 3..1000 {
            assert_eq!(spent.spend(id(n), LATER, NOW), Err(Spent::Full));
        }
        for n in 0..3 {
            assert_eq!(spent.spend(id(n), LATER, NOW), Err(Spent::Already), "still remembered");
        }
        assert_eq!((spent.len(), spent.busy_total()), (3, 997));
        assert_eq!(spent.spend(id(5), UnixMillis(LATER.0 + 1), LATER), Ok(()), "places come free with expiry");
        assert_eq!(spent.len(), 1);
    }

    #[test]
    fn a_set_without_places_refuses_all() {
        assert_eq!(SpentSet::new(0).spend(id(1), LATER, NOW), Err(Spent::Full));
    }

    #[test]
    fn ten_times_the_capacity_stays_within_it() {
        let spent = SpentSet::new(100_000);
        for n in 0..1_000_000 {
            _ = spent.spend(id(n), LATER, NOW);
        }
        assert!(spent.len() <= spent.capacity());
        assert!(spent.len() > 90_000, "ids are spread evenly: {}", spent.len());
        assert!(spent.capacity() < 100_000 + SHARDS);
    }

    #[test]
    fn a_clock_that_steps_back_does_not_bring_a_spent_puzzle_back() {
        let spent = SpentSet::new(10);
        assert_eq!(spent.spend(id(1), LATER, NOW), Ok(()));
        let tomorrow = UnixMillis(NOW.0 + 86_400_000);
        assert_eq!(spent.spend(id(2), UnixMillis(tomorrow.0 + 60_000), tomorrow), Ok(()), "the first is forgotten");
        assert_eq!(spent.spend(id(1), LATER, NOW), Err(Spent::Already), "and cannot be told from new ones");
        assert_eq!(spent.spend(id(3), UnixMillis(LATER.0 + 1), NOW), Ok(()), "a later puzzle is not held up");
    }

    #[test]
    fn a_snapshot_restores_what_could_be_replayed() {
        let spent = SpentSet::new(10);
        _ = spent.spend(id(1), UnixMillis(NOW.0 + 1), NOW);
        _ = spent.spend(id(2), LATER, NOW);
        let restored = SpentSet::new(10);
        let at_restart = UnixMillis(NOW.0 + 1);
        for entry in spent.snapshot(at_restart) {
            assert_eq!(restored.spend(entry.id, entry.expires_at, at_restart), Ok(()));
        }
        assert_eq!(restored.len(), 1);
        assert_eq!(restored.spend(id(2), LATER, at_restart), Err(Spent::Already));
    }

    proptest! {
        /// Whatever the order and the clock do, no id is ever granted twice.
        #[test]
        fn no_id_is_granted_twice(calls in proptest::collection::vec((0_u64..12, 0_u64..50), 0..200), capacity in 0_usize..8) {
            let spent = SpentSet::new(capacity);
            let mut granted = BTreeSet::new();
            for (n, now) in calls {
                // As in a token: one expiry for each id, and only valid ones are spent.
                let expires_at = UnixMillis(n * 5);
                if UnixMillis(now) < expires_at && spent.spend(id(n), expires_at, UnixMillis(now)).is_ok() {
                    prop_assert!(granted.insert(n), "{} twice", n);
                }
                prop_assert!(spent.len() <= capacity);
            }
        }
    }
}
