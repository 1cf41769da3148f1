//! A table of records in memory that was bounded beforehand: sets of eight slots, each set behind a
//! lock of its own.
//!
//! A set is its lock and eight tags in the first cache line, then eight records: with nine words to a record, as a
//! counter has, 640 bytes, so 80 bytes a slot. The lock lies beside what it guards because a lock apart from it would be
//! a cache line that all cores write: with 256 shards of many sets, two cores together did little more than one.
//!
//! A key may lie in either of two sets. Where its first set is more than half full the emptier of the
//! two is taken, so a table fills to three quarters before anything is displaced (2 keys of 10,000 at
//! four fifths, 7 of 1,000 at nine tenths).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::key::Key;
use crate::time::Millis;

pub(crate) struct Table<R> {
    /// Made when first written to, so that memory is used as keys come.
    chunks: Box<[Chunk<R>]>,
    sets: usize,
    tallies: Box<[Tally]>,
    budget_bytes: usize,
}

/// What a slot holds; the default is what a slot just given to a key holds.
pub(crate) trait Record: Copy + Default {
    /// What the record is worth keeping: the lowest gives way, and of 0 nothing is lost.
    fn rank(&self, now: Millis) -> u32;

    /// When it was last written, in milliseconds. Of equal ranks the one longest untouched gives way.
    fn touched_ms(&self) -> u64;
}

/// The state of a table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Slots in use, among them such as have nothing left in their window and await reuse.
    pub occupied: u64,
    /// Slots there are.
    pub capacity: u64,
    /// Keys that gave way to others while something of them still counted.
    pub evictions_total: u64,
    /// The bound of the table's memory, in bytes.
    pub budget_bytes: u64,
}

/// The two sets a key may lie in, never the same one twice, and the tag that tells it apart there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    first: usize,
    second: usize,
    tag: Tag,
}

/// A slot, and the lock on its set.
pub(crate) struct Held<'a, R> {
    set: MutexGuard<'a, Set<R>>,
    /// Which set it is.
    number: usize,
    way: usize,
}

/// What a newcomer to two full sets may take the slot of.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Displace {
    /// The lowest-ranking, whatever it is.
    Lowest,
    /// Only what ranks 0.
    Worthless,
}

impl<R: Record> Table<R> {
    /// The memory of one slot, with its share of the set's lock and tags.
    pub(crate) const SLOT_BYTES: usize = Self::SET_BYTES / WAYS;
    const SET_BYTES: usize = size_of::<Padded<R>>();
    /// Sets made at once: a power of two, in some 64 KiB, so in some microseconds.
    const CHUNK_SETS: usize = {
        let fit = CHUNK_BYTES / Self::SET_BYTES;
        if fit == 0 { 1 } else { 1 << fit.ilog2() }
    };

    /// A table of at most `budget_bytes`, which is raised to the smallest there is.
    pub(crate) fn new(budget_bytes: usize) -> Table<R> {
        let budget_bytes = budget_bytes.max(MIN_BUDGET_BYTES);
        let tallies: Box<[Tally]> = (0..TALLIES).map(|_| Tally::default()).collect();
        let room = budget_bytes.saturating_sub(size_of_val(&*tallies));
        let chunk_bytes = Self::CHUNK_SETS * Self::SET_BYTES + CHUNK_OVERHEAD_BYTES;
        let rest = (room % chunk_bytes).saturating_sub(CHUNK_OVERHEAD_BYTES) / Self::SET_BYTES;
        let sets = (room / chunk_bytes * Self::CHUNK_SETS + rest).max(2);
        let chunks = (0..sets.div_ceil(Self::CHUNK_SETS)).map(|_| OnceLock::new()).collect();
        Table { chunks, sets, tallies, budget_bytes }
    }

    /// A budget, in bytes, in which `keys` keys live with next to none displaced: 21/16 slots each.
    pub(crate) const fn budget_for(keys: usize) -> usize {
        Self::budget_at(keys, 21)
    }

    /// A budget, in bytes, of so many sixteenths of a slot for each of `keys` keys.
    pub(crate) const fn budget_at(keys: usize, sixteenths: usize) -> usize {
        keys.saturating_mul(Self::SLOT_BYTES * sixteenths / 16).saturating_add(MIN_BUDGET_BYTES)
    }

    /// The state of the table. Other threads go on meanwhile, so the figures are of about one moment.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats =
            Stats { capacity: (self.sets * WAYS) as u64, budget_bytes: self.budget_bytes as u64, ..Stats::default() };
        for tally in &self.tallies {
            stats.occupied += tally.occupied.load(Ordering::Relaxed);
            stats.evictions_total += tally.evictions.load(Ordering::Relaxed);
        }
        stats
    }

    /// Where `key` may lie with the record that `salt` names, which is 0 in a table of one record a key.
    #[inline]
    pub(crate) fn address(&self, key: Key, salt: u64) -> Address {
        // Disjoint halves of `place`, scaled to the number of sets. The records of one key have the
        // first set in common, so that one cache line serves them all, and not the second, so that
        // they do not crowd each other out.
        let set_of = |bits: u64| (((bits & 0xffff_ffff) * self.sets as u64) >> 32) as usize;
        let first = set_of(key.place);
        let mut second = set_of((key.place >> 32).wrapping_add(salt >> 32));
        if first == second {
            second = if second == 0 { 1 } else { second - 1 };
        }
        Address { first, second, tag: Tag::new(key.tag ^ salt) }
    }

    /// The slot of a key, if it has one.
    #[inline]
    pub(crate) fn find(&self, address: Address) -> Option<Held<'_, R>> {
        [address.first, address.second].into_iter().find_map(|set| {
            let number = set;
            let set = self.existing_set(number)?.lock();
            let way = set.find(address.tag)?;
            Some(Held { set, number, way })
        })
    }

    /// Begins to fetch what the sets of these keys begin with. Locks make the processor wait for one miss of its caches
    /// after the other; asked for beforehand, the misses pass together.
    #[inline]
    pub(crate) fn warm(&self, addresses: impl Iterator<Item = Address>) {
        let locked = addresses.filter(|address| self.existing_set(address.first).is_some_and(Mutex::is_locked)).count();
        std::hint::black_box(locked);
    }

    /// The slot of a key. One that has none is given one: a free one, else that of the lowest-ranking
    /// of sixteen.
    #[inline]
    pub(crate) fn hold(&self, address: Address, now: Millis) -> Held<'_, R> {
        loop {
            // Once: where the lowest-ranking may be displaced, a slot is always claimed.
            if let Some(held) = self.find(address).or_else(|| self.claim(address, now, Displace::Lowest)) {
                return held;
            }
        }
    }

    /// The slot of a key, as [`hold`](Table::hold) gives it, unless something would be lost by that.
    #[inline]
    pub(crate) fn hold_if_room(&self, address: Address, now: Millis) -> Option<Held<'_, R>> {
        self.find(address).or_else(|| self.claim(address, now, Displace::Worthless))
    }

    #[inline(never)]
    fn claim(&self, address: Address, now: Millis, displace: Displace) -> Option<Held<'_, R>> {
        // INVARIANT: where two sets are locked, the one with the lower number is locked first, and a
        // key is only put into a set while both of its sets are locked. So there is no deadlock, and
        // no key has two slots.
        let low = self.set(address.first.min(address.second)).lock();
        let high = self.set(address.first.max(address.second)).lock();
        let (first, second) = if address.first < address.second { (low, high) } else { (high, low) };

        if let Some(way) = first.find(address.tag) {
            return Some(Held { set: first, number: address.first, way });
        }
        if let Some(way) = second.find(address.tag) {
            return Some(Held { set: second, number: address.second, way });
        }
        let tally = self.tallies.get(address.first % TALLIES);
        let (here, there) = (first.marked(FREE).count_ones(), second.marked(FREE).count_ones());
        let (choice, way) = if here + there == 0 {
            let (choice, way, loss) = lowest(&first, &second, address.tag, now);
            if loss == Loss::Live {
                if displace == Displace::Worthless {
                    return None;
                }
                if let Some(tally) = tally {
                    tally.evictions.fetch_add(1, Ordering::Relaxed);
                }
            }
            (choice, way)
        } else {
            if let Some(tally) = tally {
                tally.occupied.fetch_add(1, Ordering::Relaxed);
            }
            // The first set is the one looked at first, so it is kept to while it has room to spare.
            if here >= ROOM_TO_SPARE || here >= there {
                (Choice::First, first_of(first.marked(FREE)) % WAYS)
            } else {
                (Choice::Second, first_of(second.marked(FREE)) % WAYS)
            }
        };
        let (mut set, number) = if choice == Choice::First { (first, address.first) } else { (second, address.second) };
        set.give(way, address.tag);
        Some(Held { set, number, way })
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "an address holds numbers of sets that there are")]
    fn existing_set(&self, set: usize) -> Option<&Mutex<Set<R>>> {
        let chunk = self.chunks[set / Self::CHUNK_SETS].get()?;
        Some(&chunk[set % Self::CHUNK_SETS].0)
    }

    #[expect(clippy::indexing_slicing, reason = "an address holds numbers of sets that there are")]
    fn set(&self, set: usize) -> &Mutex<Set<R>> {
        let chunk = self.chunks[set / Self::CHUNK_SETS].get_or_init(|| {
            let len = (self.sets - set / Self::CHUNK_SETS * Self::CHUNK_SETS).min(Self::CHUNK_SETS);
            (0..len).map(|_| Padded::default()).collect()
        });
        &chunk[set % Self::CHUNK_SETS].0
    }
}

impl<R: Record> Held<'_, R> {
    /// What the slot holds: the default, if it is fresh.
    #[inline]
    pub(crate) fn load(&self) -> R {
        self.set.records.get(self.way).copied().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn store(&mut self, record: R) {
        if let Some(stored) = self.record() {
            *stored = record;
        }
    }

    /// What the slot holds, to be changed in place.
    #[inline]
    pub(crate) fn record(&mut self) -> Option<&mut R> {
        self.set.records.get_mut(self.way)
    }

    /// The slot of another key, if it has one in the set that is locked anyway; else the lock is given up.
    #[inline]
    pub(crate) fn turned_to(mut self, address: Address) -> Option<Self> {
        if address.first != self.number && address.second != self.number {
            return None;
        }
        self.way = self.set.find(address.tag)?;
        Some(self)
    }
}

/// The lowest-ranking of the slots of two full sets, of equals the one longest untouched.
///
/// The tag of the newcomer decides where to begin, so that among equals a flood does not spend itself
/// on one slot over and over.
fn lowest<R: Record>(first: &Set<R>, second: &Set<R>, tag: Tag, now: Millis) -> (Choice, usize, Loss) {
    let mut lowest = (u32::MAX, u64::MAX);
    let mut found = (Choice::First, 0, Loss::Live);
    for turn in 0..2 * WAYS {
        let at = (tag.low() as usize).wrapping_add(turn) % (2 * WAYS);
        let (choice, set) = if at < WAYS { (Choice::First, first) } else { (Choice::Second, second) };
        let Some(record) = set.records.get(at % WAYS) else {
            continue;
        };
        let rank = record.rank(now);
        if rank == 0 {
            return (choice, at % WAYS, Loss::Nothing);
        }
        if rank <= lowest.0 && (rank, record.touched_ms()) < lowest {
            lowest = (rank, record.touched_ms());
            found = (choice, at % WAYS, Loss::Live);
        }
    }
    found
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Choice {
    First,
    Second,
}

/// What is lost with a slot: a record, or one of which nothing was left in its window.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Loss {
    Live,
    Nothing,
}

/// 56 bits of a key's hash. Eight of them, the print, are what all slots of a set are asked for at
/// once; the others then decide. (One word, because parts of one written apart are slow to read.)
#[derive(Clone, Copy, Debug)]
struct Tag(u64);

impl Tag {
    /// A tag whose print is not that of a free slot.
    const fn new(bits: u64) -> Tag {
        Tag(if (bits >> 56) as u8 == FREE { bits | 1 << 56 } else { bits })
    }

    const fn print(self) -> u8 {
        (self.0 >> 56) as u8
    }

    const fn low(self) -> u32 {
        self.0 as u32
    }

    const fn high(self) -> u16 {
        (self.0 >> 32) as u16
    }
}

/// Laid out as written, so that lock and tags come first and share a cache line.
#[derive(Default)]
#[repr(C)]
struct Set<R> {
    /// A byte for each slot, the first slot's lowest.
    prints: u64,
    lows: [u32; WAYS],
    highs: [u16; WAYS],
    records: [R; WAYS],
}

impl<R: Record> Set<R> {
    #[inline]
    fn find(&self, tag: Tag) -> Option<usize> {
        let mut hits = self.marked(tag.print());
        while hits != 0 {
            let way = first_of(hits);
            if self.lows.get(way) == Some(&tag.low()) && self.highs.get(way) == Some(&tag.high()) {
                return Some(way);
            }
            hits &= hits - 1;
        }
        None
    }

    /// The slots with this print, as the top bits of their bytes.
    #[inline]
    fn marked(&self, print: u8) -> u64 {
        const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        // A byte is zero if neither its top bit nor, by a carry into it, any other is set. No carry
        // leaves a byte.
        let differs = self.prints ^ u64::from_ne_bytes([print; WAYS]);
        !(((differs & LOW_BITS) + LOW_BITS) | differs | LOW_BITS)
    }

    /// Gives a slot to a tag, empty.
    fn give(&mut self, way: usize, tag: Tag) {
        let shift = way * 8;
        self.prints = self.prints & !(0xff << shift) | u64::from(tag.print()) << shift;
        if let (Some(low), Some(high), Some(record)) =
            (self.lows.get_mut(way), self.highs.get_mut(way), self.records.get_mut(way))
        {
            *low = tag.low();
            *high = tag.high();
            *record = R::default();
        }
    }
}

/// The first of the slots that are marked by the top bits of their bytes.
#[inline]
const fn first_of(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// Sets made together, once one of them is written to.
type Chunk<R> = OnceLock<Box<[Padded<R>]>>;

/// A set that begins with a cache line.
#[derive(Default)]
#[repr(align(64))]
struct Padded<R>(Mutex<Set<R>>);

/// Counts of one part of the table, on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Tally {
    occupied: AtomicU64,
    evictions: AtomicU64,
}

/// Slots in a set: as many as tags fit into a cache line beside the lock.
const WAYS: usize = 8;
/// About what is made at once.
const CHUNK_BYTES: usize = 64 << 10;
/// The entry of a chunk among the chunks, and what an allocator may add to align it.
const CHUNK_OVERHEAD_BYTES: usize = size_of::<Chunk<u64>>() + 128;
/// The smallest budget: some thirty sets.
pub(crate) const MIN_BUDGET_BYTES: usize = 16 << 10;
const TALLIES: usize = 16;
/// Free slots from which the first set is taken without comparing.
const ROOM_TO_SPARE: u32 = 5;
/// The print of a slot that holds nothing.
const FREE: u8 = 0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cell::{Cell, Words};
    use crate::key::{KeyHasher, Secret};
    use crate::window::Window;

    #[test]
    fn a_slot_takes_80_bytes_and_a_lock_lies_beside_its_tags() {
        assert_eq!(Table::<Words>::SLOT_BYTES, 80);
        let set = Padded::<Words>::default();
        let start = (&raw const set).addr();
        let highs = (&raw const set.0.lock().highs).addr();
        assert!(highs + size_of::<[u16; WAYS]>() <= start + 64, "the tags end within the first line");
    }

    #[test]
    fn a_table_fills_to_three_quarters_before_anything_is_displaced() {
        let hasher = KeyHasher::new(Secret([3; 16]));
        let window = Window::new(Duration::from_secs(60));
        let table = Table::<Words>::new(4 << 20);
        for i in 0..table.stats().capacity * 3 / 4 {
            let address = table.address(hasher.key(0, &[&i.to_le_bytes()]), window.salt());
            assert!(table.find(address).is_none(), "key {i} is new");
            let mut cell = Cell::new(window, window.moment(Millis(0)));
            cell.add(1);
            cell.touch();
            table.hold(address, Millis(0)).store(cell.pack());
        }
        let Stats { occupied, capacity, evictions_total: evictions, .. } = table.stats();
        assert_eq!(occupied + evictions, capacity * 3 / 4);
        assert!(evictions * 2_000 < occupied, "{evictions} of {occupied} were displaced");
    }

    #[test]
    fn where_nothing_may_be_lost_a_full_table_gives_no_slot() {
        let hasher = KeyHasher::new(Secret([3; 16]));
        let window = Window::new(Duration::from_secs(60));
        let table = Table::<Words>::new(0);
        let address = |i: u64| table.address(hasher.key(0, &[&i.to_le_bytes()]), 0);
        let mut given = 0;
        for i in 0..2_000 {
            let Some(mut held) = table.hold_if_room(address(i), Millis(0)) else { continue };
            let mut cell = Cell::new(window, window.moment(Millis(0)));
            cell.add(1);
            cell.touch();
            held.store(cell.pack());
            given += 1;
        }
        let stats = table.stats();
        assert_eq!((given, stats.evictions_total), (stats.occupied, 0));
        assert_eq!(stats.occupied, stats.capacity);
        // What has left its window is worth nothing.
        assert!(table.hold_if_room(address(5_000), Millis(120_000)).is_some());
    }

    #[test]
    fn who_holds_a_slot_turns_to_another_of_the_same_set_only() {
        let hasher = KeyHasher::new(Secret([3; 16]));
        let table = Table::<Words>::new(64 << 10);
        let (one, other) = (hasher.key(1, &[]), hasher.key(2, &[]));
        let (near, far) = (table.address(one.sibling(1), 0), table.address(other, 0));
        drop(table.hold(near, Millis(0)));
        drop(table.hold(far, Millis(0)));
        let held = || table.hold(table.address(one, 0), Millis(0));
        assert!(held().turned_to(near).is_some(), "siblings share their first set");
        assert!(held().turned_to(far).is_none());
        assert!(held().turned_to(table.address(one.sibling(2), 0)).is_none(), "it has no slot");
    }

    #[test]
    fn the_two_sets_of_a_key_are_never_the_same() {
        let hasher = KeyHasher::new(Secret([3; 16]));
        let table = Table::<Words>::new(0);
        for i in 0..1_000_u64 {
            for secs in [1, 60] {
                let window = Window::new(Duration::from_secs(secs));
                let address = table.address(hasher.key(i, &[]), window.salt());
                assert_ne!(address.first, address.second);
                assert!(address.first.max(address.second) < table.sets);
            }
        }
    }
}
