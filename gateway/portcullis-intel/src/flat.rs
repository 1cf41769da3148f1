use std::cmp::Reverse;

use prefetch_index::prefetch_index;

/// The integer that an address of one family, or the leading part of it, is compared as.
pub(crate) trait Key: Copy + Ord {
    const BITS: u32;
    const ZERO: Self;
    const MAX: Self;

    /// The number above; only asked of a key below `MAX`.
    fn next(self) -> Self;
    /// The number below; only asked of a key above `ZERO`.
    fn before(self) -> Self;
    /// The bits above `shift`, of which there are at most `MAX_STRETCH_BITS`.
    fn bucket(self, shift: u32) -> usize;
}

macro_rules! key {
    ($integer:ty) => {
        impl Key for $integer {
            const BITS: u32 = <$integer>::BITS;
            const ZERO: Self = 0;
            const MAX: Self = <$integer>::MAX;

            #[inline]
            fn next(self) -> Self {
                self.saturating_add(1)
            }

            #[inline]
            fn before(self) -> Self {
                self.saturating_sub(1)
            }

            #[inline]
            fn bucket(self, shift: u32) -> usize {
                (self >> shift) as usize
            }
        }
    };
}

key!(u32);
key!(u64);
key!(u128);

/// A range of keys and what holds there. Ranges nest or are apart; they never cross.
pub(crate) struct Range<K, V> {
    pub(crate) first: K,
    pub(crate) last: K,
    pub(crate) value: V,
}

/// An immutable map from a key to the value of the innermost range around it.
///
/// The ranges are flattened: all keys from one start up to the next have the same value, or none.
/// An index over the leading bits says between which starts a key lies; most often the few starts
/// there are compared all at once, so that a lookup takes the same steps in a small and a large
/// table. A crowded part of the key space is searched by halving. Before all that a bit for each of
/// many more, narrower stretches says whether anything at all holds there: most clients are on no
/// list, and of them no more than this bit is fetched into the caches of the processor.
#[derive(Clone, Debug)]
pub(crate) struct FlatTable<K, V> {
    touched: Touched,
    shift: u32,
    // INVARIANT: `index[b]` is the last start in a bucket below `b`, or the first start of all; one
    // entry more than there are buckets, so the last start of bucket `b` is `index[b + 1]`.
    index: Box<[u32]>,
    // INVARIANT: ascending; the first is 0, and after the last stand `WINDOW - 1` times `K::MAX`.
    starts: Box<[K]>,
    // INVARIANT: one for each start, without those at the end.
    values: Box<[V]>,
    /// Bit `i`: whether start `i` has a value. The value of a start without one is not looked at.
    covered: Box<[u64]>,
}

impl<K: Key, V: Copy + Eq> FlatTable<K, V> {
    /// The table of these ranges. The value of a range inside another, or given again, is
    /// `combine(outer or earlier, inner or later)`.
    pub(crate) fn build(mut ranges: Vec<Range<K, V>>, combine: &impl Fn(V, V) -> V) -> Self {
        let Some(filler) = ranges.first().map(|range| range.value) else {
            return FlatTable::default();
        };
        // Outer before inner; the sort is stable, so earlier stays before later.
        ranges.sort_by_key(|range| (range.first, Reverse(range.last)));
        let segments = flatten(ranges, combine);

        let bits = (segments.len().max(2).ilog2() + 1).min(MAX_INDEX_BITS);
        let shift = K::BITS - bits;
        let mut covered = vec![0u64; segments.len().div_ceil(64)].into_boxed_slice();
        for (position, (_, value)) in segments.iter().enumerate() {
            if let (Some(_), Some(word)) = (value, covered.get_mut(position / 64)) {
                *word |= 1 << (position % 64);
            }
        }
        FlatTable {
            touched: Touched::of(&segments),
            shift,
            index: index(&segments, shift, 1 << bits),
            values: segments.iter().map(|(_, value)| value.unwrap_or(filler)).collect(),
            covered,
            starts: segments.iter().map(|(start, _)| *start).chain(std::iter::repeat_n(K::MAX, WINDOW - 1)).collect(),
        }
    }

    /// The value of the innermost range around `key`.
    #[inline]
    pub(crate) fn lookup(&self, key: K) -> Option<V> {
        if !self.touched.holds(key) {
            return None;
        }
        let bucket = key.bucket(self.shift);
        let from = *self.index.get(bucket)? as usize;
        let window = self.starts.get(from..)?.first_chunk::<WINDOW>()?;
        // Wrapping, because a checked sum is not vectorised; it is at most `WINDOW`.
        let below = window.iter().fold(0u32, |sum, start| sum.wrapping_add(u32::from(*start <= key))) as usize;
        // What stands after the last start is only reached by a key that all of the window reaches.
        let position = if below < WINDOW { (from + below).checked_sub(1)? } else { self.search(bucket, from, key)? };
        let covered = self.covered.get(position / 64)? >> (position % 64) & 1 == 1;
        if covered { self.values.get(position).copied() } else { None }
    }

    /// Has the processor fetch what a lookup of `key` reads first, without waiting for it.
    #[inline]
    pub(crate) fn prefetch(&self, key: K) {
        prefetch_index(&self.touched.stretches, key.bucket(self.touched.shift) / 64);
        prefetch_index(&self.index, key.bucket(self.shift));
    }

    /// The last start not above `key`, by halving the starts of the bucket.
    #[inline(never)]
    fn search(&self, bucket: usize, from: usize, key: K) -> Option<usize> {
        let to = *self.index.get(bucket + 1)? as usize;
        let below = self.starts.get(from..=to)?.partition_point(|start| *start <= key);
        Some(from + below.checked_sub(1)?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many starts there are, one for each run of keys with the same value.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.touched.stretches)
            + size_of_val(&*self.index)
            + size_of_val(&*self.starts)
            + size_of_val(&*self.values)
            + size_of_val(&*self.covered)
    }
}

impl<K, V> Default for FlatTable<K, V> {
    fn default() -> Self {
        FlatTable {
            touched: Touched::default(),
            shift: 0,
            index: Box::default(),
            starts: Box::default(),
            values: Box::default(),
            covered: Box::default(),
        }
    }
}

/// In which stretches of the key space anything holds, a bit for each.
#[derive(Clone, Debug, Default)]
struct Touched {
    shift: u32,
    stretches: Box<[u64]>,
}

impl Touched {
    fn of<K: Key, V>(segments: &[Segment<K, V>]) -> Self {
        let bits = (segments.len().max(16).ilog2() + STRETCH_BITS_PER_SEGMENT).min(MAX_STRETCH_BITS);
        let shift = K::BITS - bits;
        let mut stretches = vec![0u64; 1 << (bits - 6)].into_boxed_slice();
        let ends = segments.iter().skip(1).map(|(start, _)| start.before().bucket(shift)).chain([(1 << bits) - 1]);
        for ((start, value), last) in segments.iter().zip(ends) {
            if value.is_some() {
                set_bits(&mut stretches, start.bucket(shift), last);
            }
        }
        Touched { shift, stretches }
    }

    #[inline]
    fn holds<K: Key>(&self, key: K) -> bool {
        let stretch = key.bucket(self.shift);
        self.stretches.get(stretch / 64).is_some_and(|word| word >> (stretch % 64) & 1 == 1)
    }
}

/// Sets the bits from `first` to `last`, both with them.
fn set_bits(words: &mut [u64], first: usize, last: usize) {
    let (from, to) = (first / 64, last / 64);
    for (position, word) in words.iter_mut().enumerate().take(to + 1).skip(from) {
        let above = if position == from { u64::MAX << (first % 64) } else { u64::MAX };
        let below = if position == to { u64::MAX >> (63 - last % 64) } else { u64::MAX };
        *word |= above & below;
    }
}

/// Cuts sorted, nested ranges into segments: where each starts and what holds up to the next.
fn flatten<K: Key, V: Copy + Eq>(ranges: Vec<Range<K, V>>, combine: &impl Fn(V, V) -> V) -> Vec<Segment<K, V>> {
    let mut segments = Vec::with_capacity(2 * ranges.len() + 1);
    segments.push((K::ZERO, None));
    let mut around: Vec<(K, V)> = Vec::new();
    for range in ranges {
        leave(&mut segments, &mut around, |last| last < range.first);
        let value = around.last().map_or(range.value, |(_, outer)| combine(*outer, range.value));
        start(&mut segments, range.first, Some(value));
        around.push((range.last, value));
    }
    leave(&mut segments, &mut around, |_| true);
    segments
}

/// Ends the innermost ranges for as long as `ended` says so of their last key.
fn leave<K: Key, V: Copy + Eq>(segments: &mut Vec<Segment<K, V>>, around: &mut Vec<(K, V)>, ended: impl Fn(K) -> bool) {
    while let Some((last, _)) = around.pop_if(|(last, _)| ended(*last)) {
        if last != K::MAX {
            start(segments, last.next(), around.last().map(|(_, outer)| *outer));
        }
    }
}

/// From `key` on, `value` holds; a segment that would say what the one before says is not made.
fn start<K: Key, V: Copy + Eq>(segments: &mut Vec<Segment<K, V>>, key: K, value: Option<V>) {
    segments.pop_if(|(start, _)| *start == key);
    if segments.last().is_none_or(|(_, before)| *before != value) {
        segments.push((key, value));
    }
}

/// For each bucket, and for one more, the last start in a bucket below it.
fn index<K: Key, V>(segments: &[Segment<K, V>], shift: u32, buckets: usize) -> Box<[u32]> {
    let mut following = segments.iter().skip(1).peekable();
    let mut last = 0;
    (0..=buckets)
        .map(|bucket| {
            while following.next_if(|(start, _)| start.bucket(shift) < bucket).is_some() {
                last += 1;
            }
            last
        })
        .collect()
}

type Segment<K, V> = (K, Option<V>);

/// 65,536 buckets: 256 KiB for a large table, which a second-level cache holds. A finer index costs
/// more memory than it saves comparisons.
const MAX_INDEX_BITS: u32 = 16;

/// How many starts are compared at once: 32 bytes of IPv4 starts, half a cache line.
const WINDOW: usize = 8;

/// Two to four stretches for a segment: up to half a byte of it.
const STRETCH_BITS_PER_SEGMENT: u32 = 2;

/// For IPv4 every /24 on its own, in 2 MiB; that takes four million segments.
const MAX_STRETCH_BITS: u32 = 24;
