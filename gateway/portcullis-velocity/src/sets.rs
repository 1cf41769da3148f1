//! A bounded map that knows its keys: sets of sixteen, each behind a lock of its own.
//!
//! [`Table`](crate::table::Table) keeps 56 bits of a key, which is enough to count by and saves half of a slot. What
//! goes to a snapshot or names a person's standing needs the whole key, and is read far less than it is counted. A set
//! is made when first written to, so memory is used as keys come.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::key::Key;
use crate::table::Stats;
use crate::time::Millis;

pub(crate) struct Sets<V> {
    sets: Box<[Padded<V>]>,
    held: AtomicU64,
    evictions: AtomicU64,
}

/// What a place holds; the default is what a key's place holds at first.
pub(crate) trait Kept: Copy + Default {
    /// What it is worth keeping: the lowest gives way, and of 0 nothing is lost.
    fn worth(&self, now: Millis) -> u32;

    /// When it was last written, on any scale. Of equal worth the one longest untouched gives way.
    fn touched(&self) -> u64;
}

/// Whom a newcomer may displace where its set is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    /// The least worth of the sixteen, whatever it is worth.
    Least,
    /// The least worth, if it is worth no more than this.
    AtMost(u32),
}

impl<V: Kept> Sets<V> {
    /// Room for `places` keys, rounded up to whole sets, at least one.
    pub(crate) fn new(places: usize) -> Sets<V> {
        let sets = places.div_ceil(WAYS).clamp(1, SETS_MAX);
        Sets {
            sets: (0..sets).map(|_| Padded(Mutex::new(None))).collect(),
            held: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// How many keys fit into `budget_bytes`, all told.
    pub(crate) const fn places_in(budget_bytes: usize) -> usize {
        budget_bytes / Self::SET_BYTES * WAYS
    }

    /// A budget, in bytes, in which `keys` keys live with next to none displaced: two places each.
    ///
    /// Of sixteen places to a set and eight keys on average, one set in 270 overflows (Poisson).
    pub(crate) const fn budget_for(keys: usize) -> usize {
        keys.saturating_mul(2).div_ceil(WAYS).saturating_mul(Self::SET_BYTES)
    }

    /// What a set takes at most: itself, the place that leads to it, and what an allocator adds.
    const SET_BYTES: usize = size_of::<Set<V>>() + size_of::<Padded<V>>() + 16;

    /// Does something with what a key holds, if it holds anything.
    #[inline]
    pub(crate) fn read<T>(&self, key: Key, read: impl FnOnce(&V) -> T) -> Option<T> {
        let set = self.set(key)?.lock();
        let set = set.as_ref()?;
        set.values.get(set.find(key)?).map(read)
    }

    /// Changes what a key holds; a key that holds nothing is given a place if it may claim one.
    #[inline]
    pub(crate) fn change<T>(&self, key: Key, now: Millis, claim: Claim, change: impl FnOnce(&mut V) -> T) -> Option<T> {
        let mut set = self.set(key)?.lock();
        let set = set.get_or_insert_with(Box::default);
        let way = match set.find(key) {
            Some(way) => way,
            None => self.place(set, key, now, claim)?,
        };
        set.values.get_mut(way).map(change)
    }

    /// Shows every key and what it holds, one set after the other.
    pub(crate) fn for_each(&self, mut show: impl FnMut(Key, &V)) {
        for set in &self.sets {
            let set = set.0.lock();
            let Some(set) = set.as_ref() else { continue };
            for (key, value) in set.keys.iter().zip(&set.values).take(set.used) {
                show(*key, value);
            }
        }
    }

    /// The state of the map. Other threads go on meanwhile, so the figures are of about one moment.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            occupied: self.held.load(Ordering::Relaxed),
            capacity: (self.sets.len() * WAYS) as u64,
            evictions_total: self.evictions.load(Ordering::Relaxed),
            budget_bytes: (self.sets.len() * Self::SET_BYTES) as u64,
        }
    }

    #[inline(never)]
    fn place(&self, set: &mut Set<V>, key: Key, now: Millis, claim: Claim) -> Option<usize> {
        let way = if set.used < WAYS {
            self.held.fetch_add(1, Ordering::Relaxed);
            set.used += 1;
            set.used - 1
        } else {
            let ranks = set.values.iter().map(|value| (value.worth(now), value.touched())).enumerate();
            let (way, (worth, _)) = ranks.min_by_key(|(_, rank)| *rank)?;
            if matches!(claim, Claim::AtMost(bound) if worth > bound) {
                return None;
            }
            if worth > 0 {
                self.evictions.fetch_add(1, Ordering::Relaxed);
            }
            way
        };
        *set.keys.get_mut(way)? = key;
        *set.values.get_mut(way)? = V::default();
        Some(way)
    }

    #[inline]
    fn set(&self, key: Key) -> Option<&Mutex<Option<Box<Set<V>>>>> {
        // The upper half of `place` scaled to the number of sets, so that a key's siblings spread.
        let set = ((key.place >> 32) * self.sets.len() as u64) >> 32;
        self.sets.get(set as usize).map(|set| &set.0)
    }
}

struct Set<V> {
    keys: [Key; WAYS],
    values: [V; WAYS],
    used: usize,
}

impl<V: Kept> Set<V> {
    #[inline]
    fn find(&self, key: Key) -> Option<usize> {
        self.keys.iter().take(self.used).position(|held| *held == key)
    }
}

impl<V: Kept> Default for Set<V> {
    fn default() -> Set<V> {
        Set { keys: [Key { place: 0, tag: 0 }; WAYS], values: [V::default(); WAYS], used: 0 }
    }
}

/// A set behind its lock, on a cache line of its own.
#[repr(align(64))]
struct Padded<V>(Mutex<Option<Box<Set<V>>>>);

const WAYS: usize = 16;
/// More sets than the half of a key that chooses among them could tell apart are of no use.
const SETS_MAX: usize = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyHasher, Secret};

    #[derive(Clone, Copy, Default)]
    struct Count {
        worth: u32,
        touched: u64,
    }

    impl Kept for Count {
        fn worth(&self, _: Millis) -> u32 {
            self.worth
        }

        fn touched(&self) -> u64 {
            self.touched
        }
    }

    fn key(of: u64) -> Key {
        KeyHasher::new(Secret([4; 16])).key(of, &[])
    }

    fn put(sets: &Sets<Count>, of: u64, worth: u32, claim: Claim) -> Option<()> {
        sets.change(key(of), Millis(0), claim, |count| *count = Count { worth, touched: of })
    }

    #[test]
    fn the_least_worth_gives_way_and_of_equals_the_one_longest_untouched() {
        let sets = Sets::new(16);
        for of in 0..16 {
            put(&sets, of, if of == 5 || of == 9 { 1 } else { 7 }, Claim::Least);
        }
        assert_eq!(put(&sets, 100, 7, Claim::AtMost(0)), None);
        assert_eq!(put(&sets, 101, 7, Claim::AtMost(1)), Some(()));
        assert_eq!(put(&sets, 102, 7, Claim::Least), Some(()));
        for (of, held) in [(5, false), (9, false), (0, true), (100, false), (101, true), (102, true)] {
            assert_eq!(sets.read(key(of), |_| ()).is_some(), held, "key {of}");
        }
        let stats = sets.stats();
        assert_eq!((stats.occupied, stats.capacity, stats.evictions_total), (16, 16, 2));
    }

    #[test]
    fn every_key_that_is_held_is_shown_once() {
        let sets = Sets::new(1_000);
        for of in 0..500 {
            put(&sets, of, 1, Claim::Least);
        }
        let mut seen = Vec::new();
        sets.for_each(|key, count| {
            seen.push(count.touched);
            assert_eq!(key, self::key(count.touched));
        });
        seen.sort_unstable();
        assert_eq!(seen.len() as u64 + sets.stats().evictions_total, 500);
        seen.dedup();
        assert_eq!(seen.len() as u64, sets.stats().occupied);
    }

    #[test]
    fn a_budget_is_enough_for_its_keys_and_is_kept() {
        for keys in [1, 100, 10_000] {
            let budget = Sets::<Count>::budget_for(keys);
            let sets = Sets::new(Sets::<Count>::places_in(budget));
            assert!(sets.stats().budget_bytes as usize <= budget);
            for of in 0..keys as u64 {
                put(&sets, of, 1, Claim::Least);
            }
            assert!(sets.stats().evictions_total * 500 <= keys as u64, "{:?}", sets.stats());
        }
    }
}
