use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::key::Key;
use crate::time::Millis;

/// Keys that are refused until a given time, each with a reason.
///
/// Bounded: bans are held in up to 64 shards of equal capacity, and one that falls to a full shard
/// replaces the ban there that expires first. That is counted in [`BanStats::replaced_total`], unless
/// the one replaced had expired anyway. Long bans, such as those made by hand, are thus the last to
/// be lost. A ban takes about 64 bytes, and no memory before it is made.
pub struct Bans {
    // A power of two, chosen by the top bits of `Key::place`.
    shards: Box<[Padded]>,
    per_shard: usize,
    /// Bans held, expired ones not yet swept among them. Changed under the lock of the shard concerned.
    held: AtomicUsize,
    replaced: AtomicU64,
}

impl Bans {
    /// Room for `capacity` bans; rounded up to fill the shards evenly, at least 1.
    pub fn new(capacity: usize) -> Bans {
        let wanted = (capacity / BANS_TO_A_SHARD).clamp(1, SHARDS_MAX);
        let shards = 1 << wanted.ilog2();
        Bans {
            shards: (0..shards).map(|_| Padded::default()).collect(),
            per_shard: capacity.div_ceil(shards).max(1),
            held: AtomicUsize::new(0),
            replaced: AtomicU64::new(0),
        }
    }

    /// Bans `key` for as long as it is before `until`.
    ///
    /// A ban that stands is extended when `until` is later, and then takes the new reason; it is never
    /// shortened: [`lift`](Bans::lift) it first. An `until` that is not after `now` bans nobody.
    pub fn ban(&self, key: Key, until: Millis, reason: u32, now: Millis) {
        if until <= now {
            return;
        }
        let ban = Ban { until, reason };
        let mut shard = self.shard(key).lock();
        if let Some(standing) = shard.get_mut(&key) {
            if standing.until < until {
                *standing = ban;
            }
            return;
        }
        if shard.len() >= self.per_shard {
            let first = shard.iter().min_by_key(|(_, ban)| ban.until).map(|(key, ban)| (*key, *ban));
            if let Some((first, ban)) = first {
                shard.remove(&first);
                self.held.fetch_sub(1, Ordering::Relaxed);
                if ban.until > now {
                    self.replaced.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        shard.insert(key, ban);
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// The ban on `key`, if it has one that has not expired. Asking extends nothing.
    ///
    /// One atomic load when there are no bans at all. A ban found expired is forgotten.
    #[inline]
    pub fn check(&self, key: Key, now: Millis) -> Option<Ban> {
        if self.held.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut shard = self.shard(key).lock();
        let ban = *shard.get(&key)?;
        if now < ban.until {
            return Some(ban);
        }
        shard.remove(&key);
        self.held.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Ends the ban on `key`, and gives it. An expired one not yet swept counts as well.
    pub fn lift(&self, key: Key) -> Option<Ban> {
        let mut shard = self.shard(key).lock();
        let lifted = shard.remove(&key)?;
        self.held.fetch_sub(1, Ordering::Relaxed);
        Some(lifted)
    }

    /// At most `at_most` of the bans that stand, in the order in which they expire.
    ///
    /// For people and for snapshots: it copies every ban before it sorts them.
    pub fn list(&self, at_most: usize, now: Millis) -> Vec<(Key, Ban)> {
        let mut bans = Vec::new();
        for shard in &self.shards {
            bans.extend(shard.0.lock().iter().filter(|(_, ban)| now < ban.until).map(|(key, ban)| (*key, *ban)));
        }
        bans.sort_unstable_by_key(|(key, ban)| (ban.until, *key));
        bans.truncate(at_most);
        bans
    }

    /// Forgets the bans that have expired, and gives their number. To be called now and then, so
    /// that [`check`](Bans::check) is at its cheapest again after the last ban.
    pub fn sweep(&self, now: Millis) -> usize {
        let mut swept = 0;
        for shard in &self.shards {
            let mut shard = shard.0.lock();
            let before = shard.len();
            shard.retain(|_, ban| now < ban.until);
            let gone = before - shard.len();
            self.held.fetch_sub(gone, Ordering::Relaxed);
            swept += gone;
        }
        swept
    }

    /// The state of the table of bans.
    pub fn stats(&self) -> BanStats {
        BanStats {
            held: self.held.load(Ordering::Relaxed) as u64,
            capacity: (self.per_shard * self.shards.len()) as u64,
            replaced_total: self.replaced.load(Ordering::Relaxed),
        }
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the remainder by the length is below the length")]
    fn shard(&self, key: Key) -> &Mutex<Shard> {
        &self.shards[(key.place >> 56) as usize & (self.shards.len() - 1)].0
    }
}

impl fmt::Debug for Bans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bans").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A ban as it stands on a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ban {
    /// The first moment at which it no longer holds.
    pub until: Millis,
    /// Why, as a code of the caller's.
    pub reason: u32,
}

/// The state of a table of bans.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BanStats {
    /// Bans held, expired ones not yet forgotten among them.
    pub held: u64,
    /// Bans there is room for.
    pub capacity: u64,
    /// Bans that had not expired and gave way to others.
    pub replaced_total: u64,
}

type Shard = HashMap<Key, Ban, BuildHasherDefault<TagHasher>>;

/// A shard behind its lock, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Padded(Mutex<Shard>);

/// Takes the last word of a key as its hash: keys are keyed hashes already.
#[derive(Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

const SHARDS_MAX: usize = 64;
/// Bans to a shard at least, so that chance does not fill one shard long before the others.
const BANS_TO_A_SHARD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyHasher, Secret};

    fn key(of: u64) -> Key {
        KeyHasher::new(Secret([9; 16])).key(of, &[b"192.0.2.1"])
    }

    #[test]
    fn a_ban_holds_until_its_time_and_not_longer() {
        let bans = Bans::new(100);
        bans.ban(key(1), Millis(1_000), 7, Millis(0));
        let ban = Some(Ban { until: Millis(1_000), reason: 7 });
        for (now, expected) in [(0, ban), (999, ban), (1_000, None), (0, None)] {
            assert_eq!(bans.check(key(1), Millis(now)), expected, "at {now}");
        }
        assert_eq!(bans.check(key(2), Millis(0)), None);
    }

    #[test]
    fn x31_checking_a_ban_never_extends_it() {
        let bans = Bans::new(100);
        bans.ban(key(1), Millis(1_000), 7, Millis(0));
        for now in 0..1_000 {
            assert_eq!(bans.check(key(1), Millis(now)).unwrap().until, Millis(1_000), "at {now}");
        }
        assert_eq!(bans.check(key(1), Millis(1_000)), None);
    }

    #[test]
    fn a_ban_is_extended_but_never_shortened() {
        let bans = Bans::new(100);
        for (until, reason, stands) in [(1_000, 1, (1_000, 1)), (500, 2, (1_000, 1)), (2_000, 3, (2_000, 3))] {
            bans.ban(key(1), Millis(until), reason, Millis(0));
            let ban = bans.check(key(1), Millis(0)).unwrap();
            assert_eq!((ban.until.0, ban.reason), stands, "after {until}");
        }
        assert_eq!(bans.stats().held, 1);
    }

    #[test]
    fn a_ban_that_is_over_before_it_begins_bans_nobody() {
        let bans = Bans::new(100);
        bans.ban(key(1), Millis(5), 0, Millis(5));
        assert_eq!(bans.stats().held, 0);
    }

    #[test]
    fn a_lifted_ban_no_longer_holds() {
        let bans = Bans::new(100);
        bans.ban(key(1), Millis(1_000), 7, Millis(0));
        assert_eq!(bans.lift(key(1)).unwrap().reason, 7);
        assert_eq!(bans.lift(key(1)), None);
        assert_eq!((bans.check(key(1), Millis(0)), bans.stats().held), (None, 0));
    }

    #[test]
    fn at_the_bound_the_ban_that_expires_first_is_replaced() {
        let bans = Bans::new(3);
        for (of, until) in [(1, 300), (2, 100), (3, 200), (4, 150)] {
            bans.ban(key(of), Millis(until), 0, Millis(0));
        }
        for (of, stands) in [(1, true), (2, false), (3, true), (4, true)] {
            assert_eq!(bans.check(key(of), Millis(0)).is_some(), stands, "key {of}");
        }
        assert_eq!(bans.stats(), BanStats { held: 3, capacity: 3, replaced_total: 1 });

        bans.ban(key(5), Millis(900), 0, Millis(180));
        assert_eq!(bans.stats().replaced_total, 1, "one that has expired is no loss");
    }

    #[test]
    fn many_bans_stay_within_the_capacity() {
        let bans = Bans::new(10_000);
        for of in 0..50_000 {
            bans.ban(key(of), Millis(1_000 + of), 0, Millis(0));
        }
        let stats = bans.stats();
        assert!(stats.held <= stats.capacity && stats.capacity < 10_100, "{stats:?}");
        assert!(bans.check(key(49_999), Millis(0)).is_some());
    }

    #[test]
    fn a_list_is_bounded_and_in_order_of_expiry() {
        let bans = Bans::new(1_000);
        for of in 0..100 {
            bans.ban(key(of), Millis(1_000 - of), of as u32, Millis(0));
        }
        let untils: Vec<u64> = bans.list(3, Millis(905)).iter().map(|(_, ban)| ban.until.0).collect();
        assert_eq!(untils, [906, 907, 908]);
    }

    #[test]
    fn a_sweep_forgets_what_has_expired() {
        let bans = Bans::new(1_000);
        for of in 0..100 {
            bans.ban(key(of), Millis(of + 1), 0, Millis(0));
        }
        assert_eq!((bans.sweep(Millis(40)), bans.stats().held), (40, 60));
        assert_eq!((bans.sweep(Millis(100)), bans.stats().held), (60, 0));
    }
}
