//! One counter over one window, in nine words.
//!
//! The window is a ring of buckets in seven words, read in one of two ways: 112 of four bits or 56 of eight. When a
//! bucket of four would overflow, each pair of neighbours becomes one bucket of twice the bits, in place. When one of
//! eight would, all are halved, and count in units of two, four, … from then on; they are doubled again as soon as none
//! is past half. What is less than a unit waits in `carry`, and halving hands the odd units on from the oldest bucket to
//! the newest: so the sum up to any bucket is off by less than one unit, however many buckets were halved.
//!
//! The window spans 110 or 55 buckets, so with the one that straddles its edge 111 or 56 places of the ring are in use.

use crate::table::Record;
use crate::time::Millis;
use crate::window::{BUCKETS, LAST_FINE, Moment, Window};

/// The counter of one key in one window, as a table holds it; all zeros until it is first written.
pub(crate) type Words = [u64; CELL_WORDS];

impl Record for Words {
    fn rank(&self, now: Millis) -> u32 {
        // A slot not written yet is no candidate.
        Cell::unpack(self).map_or(u32::MAX, |cell| cell.rank(cell.window.moment(now)))
    }

    fn touched_ms(&self) -> u64 {
        Cell::unpack(self).map_or(u64::MAX, |cell| cell.touched_ms())
    }
}

/// The counter of one key in one window, unpacked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    window: Window,
    /// The latest fine bucket that was written.
    newest: u64,
    /// The sum of the ring.
    units: u32,
    /// Events that do not fill a unit yet, below `1 << shift`.
    carry: u32,
    /// 0: buckets of 4 bits. Past that: of 8 bits, in units of `1 << (scale - 1)`.
    scale: u32,
    /// How often this key was observed in about the last window, up to 2,047: it decays as time passes.
    standing: u32,
    // INVARIANT: places outside the window that ends at `newest` are zero.
    ring: [u64; RING_WORDS],
}

impl Cell {
    pub(crate) fn new(window: Window, at: Moment) -> Cell {
        Cell { window, newest: at.fine, units: 0, carry: 0, scale: 0, standing: 0, ring: [0; RING_WORDS] }
    }

    /// The cell that `pack` wrote; none from words of which no window was written.
    #[inline]
    pub(crate) fn unpack(words: &Words) -> Option<Cell> {
        let [clock, counts, ring @ ..] = *words;
        Some(Cell {
            window: Window::from_ms(counts as u32)?,
            newest: clock & LAST_FINE,
            scale: (clock >> 42) as u32 & 0x1f,
            units: (clock >> 47) as u32 & 0x3fff,
            carry: (counts >> 32) as u32 & 0xff_ffff,
            standing: (counts >> 56) as u32 | ((clock >> 61) as u32) << 8,
            ring,
        })
    }

    #[inline]
    pub(crate) fn pack(&self) -> Words {
        let (standing, units) = (u64::from(self.standing), u64::from(self.units));
        let clock = self.newest | u64::from(self.scale) << 42 | units << 47 | (standing >> 8) << 61;
        let counts = u64::from(self.window.length_ms()) | u64::from(self.carry) << 32 | (standing & 0xff) << 56;
        let [a, b, c, d, e, f, g] = self.ring;
        [clock, counts, a, b, c, d, e, f, g]
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// When this counter was last written, in milliseconds, to a fine bucket.
    pub(crate) fn touched_ms(&self) -> u64 {
        self.newest.saturating_mul(u64::from(self.window.length_ms())) / BUCKETS
    }

    /// What this key has to keep its place by: how often it was observed lately, or 0 when nothing of
    /// it is left in the window. Not the count itself, so that bytes and requests compare, and so that
    /// attempts that were refused weigh as well.
    pub(crate) fn rank(mut self, at: Moment) -> u32 {
        let at = self.advance(at);
        if self.count(at) == 0 { 0 } else { self.standing.max(1) }
    }

    /// Marks one observation, whatever came of it.
    pub(crate) fn touch(&mut self) {
        self.standing = (self.standing + 1).min(STANDING_MAX);
    }

    /// Moves the window on to `to`, and gives the moment to go on with: `to`, or the latest this
    /// counter has seen when `to` is before that.
    #[inline]
    pub(crate) fn advance(&mut self, to: Moment) -> Moment {
        if to.fine < self.newest {
            return Moment { fine: self.newest, part: 0, ..to };
        }
        let level = self.level();
        let (from, upto) = (self.newest >> level, to.fine >> level);
        let passed = to.fine - self.newest;
        self.newest = to.fine;
        if passed == 0 {
            return to;
        }
        let steps = upto - from;
        if steps > span(level) {
            *self = Cell::new(self.window, to);
            return to;
        }
        self.standing -= self.standing * passed.min(BUCKETS) as u32 / BUCKETS as u32;
        if steps > 0 {
            let left = self.clear(level, from + ring_len(level) - span(level), steps);
            self.units = self.units.saturating_sub(left);
            if self.units == 0 {
                let carry = std::mem::take(&mut self.carry);
                self.scale = 0;
                self.add(carry);
            } else if left > 0 {
                self.refine();
            }
        }
        to
    }

    /// Counts `amount` at the newest bucket.
    #[inline]
    pub(crate) fn add(&mut self, amount: u32) {
        loop {
            let at = place(self.level(), self.newest >> self.level());
            let held = self.bucket(at);
            let most = (1_u32 << (4 << self.level())) - 1;
            let sum = u64::from(self.carry) + u64::from(amount);
            let more = u32::try_from(sum >> self.shift()).unwrap_or(u32::MAX);
            if more <= most - held {
                self.put(at, held + more);
                self.units += more;
                self.carry = (sum & ((1 << self.shift()) - 1)) as u32;
                return;
            }
            if self.scale == SCALE_MAX {
                self.put(at, most);
                self.units += most - held;
                self.carry = (1 << self.shift()) - 1;
                return;
            }
            self.widen();
        }
    }

    /// The events in the window that ends at `at`, which `advance` gave; never more than `u32::MAX`.
    #[inline]
    pub(crate) fn count(&self, at: Moment) -> u32 {
        u32::try_from(self.events(self.straddle(at))).unwrap_or(u32::MAX)
    }

    /// Milliseconds from `at` until the count is at most `target` if nothing more is added.
    /// The moment is one that `advance` gave.
    pub(crate) fn falls_to(&self, target: u32, at: Moment) -> u64 {
        let level = self.level();
        let (elapsed, length) = self.elapsed(at);
        let straddle = self.straddle(at);
        let mut excess = self.events(straddle).saturating_sub(u64::from(target));
        if excess == 0 {
            return 0;
        }
        let all_gone = millis_up((span(level) + 1) * length - elapsed);
        if target < self.carry {
            return all_gone;
        }
        let mut kept = straddle.stays;
        let oldest = (self.newest >> level) + ring_len(level) - span(level);
        for step in 0..=span(level) {
            let held = u64::from(self.bucket(place(level, oldest + step))) << self.shift();
            if step > 0 {
                kept = held;
            }
            if kept >= excess {
                // The first tick `x` of the bucket at which `held * (length - x) / length`, rounded
                // down, is at most what may stay.
                let gone = held - (kept - excess) - 1;
                let mut ticks = share(length, gone, held) + 1;
                if step > 0 {
                    ticks = ticks.max(BUCKETS); // nothing leaves before the edge is in the bucket
                }
                return millis_up((step * length + ticks).saturating_sub(elapsed + BUCKETS)).max(1);
            }
            excess -= kept;
        }
        all_gone
    }

    /// Milliseconds from `at`, a moment not yet advanced to, until everything counted has left.
    pub(crate) fn empties_in(&self, at: Moment) -> u64 {
        let level = self.level();
        if self.units == 0 && self.carry == 0 {
            return 0;
        }
        let at = if at.fine < self.newest { Moment { fine: self.newest, part: 0, ..at } } else { at };
        let (elapsed, length) = self.elapsed(at);
        let steps = (at.fine >> level) - (self.newest >> level);
        millis_up(((span(level) + 1).saturating_sub(steps) * length).saturating_sub(elapsed))
    }

    /// What the bucket on the window's edge holds, and how much of it is still within the window, in events.
    #[inline]
    fn straddle(&self, at: Moment) -> Straddle {
        let level = self.level();
        let held = self.bucket(place(level, (self.newest >> level) + ring_len(level) - span(level)));
        if held == 0 {
            return Straddle { holds: 0, stays: 0 };
        }
        let holds = u64::from(held) << self.shift();
        let (elapsed, length) = self.elapsed(at);
        // The window is open at its old end: what happened exactly one length ago has left. Hence
        // one millisecond more than has elapsed.
        Straddle { holds, stays: share(holds, length.saturating_sub(elapsed + BUCKETS), length) }
    }

    /// The events of the ring, with only that part of the straddling bucket that stays, and those of no unit.
    #[inline]
    fn events(&self, straddle: Straddle) -> u64 {
        (u64::from(self.units) << self.shift()).saturating_sub(straddle.holds) + straddle.stays + u64::from(self.carry)
    }

    /// Ticks that have passed of the bucket that `at` is in, and ticks in such a bucket.
    #[inline]
    fn elapsed(&self, at: Moment) -> (u64, u64) {
        let level = self.level();
        let within = at.fine & ((1 << level) - 1);
        (within * at.length + at.part, at.length << level)
    }

    /// Makes room in the buckets: pairs become one of twice the bits, or all are halved.
    #[cold]
    fn widen(&mut self) {
        if self.scale == 0 {
            self.ring = self.ring.map(|word| (word & LOW_NIBBLES) + (word >> 4 & LOW_NIBBLES));
        } else {
            let oldest = (self.newest >> 1) + ring_len(1) - span(1);
            let mut odd = 0;
            for step in 0..=span(1) {
                let at = place(1, oldest + step);
                let units = self.bucket(at) + odd;
                odd = units & 1;
                self.put(at, units >> 1);
            }
            self.units = self.units.saturating_sub(odd) >> 1;
            self.carry += odd << self.shift();
        }
        self.scale += 1;
    }

    /// Doubles all buckets, which halves the unit, as often as there is room in each.
    #[inline]
    fn refine(&mut self) {
        while self.scale > 1 && self.ring.iter().all(|word| word & TOP_BITS == 0) {
            self.ring = self.ring.map(|word| word << 1);
            self.units <<= 1;
            self.scale -= 1;
            let carry = std::mem::take(&mut self.carry);
            // A bucket that was doubled is even: there is room for the one unit that may have come together.
            self.add(carry);
        }
    }

    /// Empties so many buckets from this one on, and gives what they held.
    #[inline]
    fn clear(&mut self, level: u32, from: u64, steps: u64) -> u32 {
        let per_word = 16_usize >> level;
        let ring = ring_len(level) as usize;
        let mut at = (from % ring_len(level)) as usize;
        let mut left = (steps as usize).min(ring);
        let mut held = 0;
        while left > 0 {
            let offset = at % per_word;
            let run = left.min(per_word - offset);
            let bits = run * (4 << level);
            let mask = (u64::MAX >> (64 - bits)) << (offset * (4 << level));
            if let Some(word) = self.ring.get_mut(at / per_word) {
                held += sum(level, *word & mask);
                *word &= !mask;
            }
            left -= run;
            at = if at + run == ring { 0 } else { at + run };
        }
        held
    }

    fn level(&self) -> u32 {
        self.scale.min(1)
    }

    fn shift(&self) -> u32 {
        self.scale.saturating_sub(1)
    }

    #[inline]
    fn bucket(&self, at: Place) -> u32 {
        self.ring.get(at.word).map_or(0, |word| (word >> at.offset & at.mask) as u32)
    }

    /// Writes a bucket, and gives what it held.
    #[inline]
    fn put(&mut self, at: Place, value: u32) -> u32 {
        let Some(word) = self.ring.get_mut(at.word) else {
            return 0;
        };
        let held = (*word >> at.offset & at.mask) as u32;
        *word = *word & !(at.mask << at.offset) | u64::from(value) << at.offset;
        held
    }
}

/// The events of the bucket on the window's edge.
#[derive(Clone, Copy)]
struct Straddle {
    holds: u64,
    /// Those of them that are taken to lie within the window.
    stays: u64,
}

/// The bits of one bucket in the ring.
#[derive(Clone, Copy)]
struct Place {
    word: usize,
    offset: u32,
    mask: u64,
}

/// Where the bucket with this number lies.
#[inline]
fn place(level: u32, bucket: u64) -> Place {
    // Remainders by constants: a remainder by a variable would cost a division each.
    let at = if level == 0 { bucket % 112 } else { bucket % 56 } as u32;
    let bits = 4 << level;
    let per_word = 16 >> level;
    Place { word: (at >> (4 - level)) as usize, offset: (at & (per_word - 1)) * bits, mask: (1 << bits) - 1 }
}

/// Buckets in a window.
const fn span(level: u32) -> u64 {
    BUCKETS >> level
}

/// Places in the ring.
const fn ring_len(level: u32) -> u64 {
    112 >> level
}

/// The sum of the buckets in a word.
#[inline]
const fn sum(level: u32, word: u64) -> u32 {
    let bytes = if level == 0 { (word & LOW_NIBBLES) + (word >> 4 & LOW_NIBBLES) } else { word };
    let pairs = (bytes & LOW_BYTES) + (bytes >> 8 & LOW_BYTES);
    // The topmost sixteen bits of the product are the sum of all four.
    (pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48) as u32
}

/// `amount * part / whole`, rounded down, where `part` is at most `whole`.
#[inline]
fn share(amount: u64, part: u64, whole: u64) -> u64 {
    match amount.checked_mul(part) {
        Some(product) => product / whole.max(1),
        // Millions of events in a window of weeks.
        None => (u128::from(amount) * u128::from(part) / u128::from(whole.max(1))) as u64,
    }
}

/// Ticks in milliseconds, rounded up.
const fn millis_up(ticks: u64) -> u64 {
    ticks.div_ceil(BUCKETS)
}

/// Two words of clock and counts, seven of buckets.
const CELL_WORDS: usize = 9;
const RING_WORDS: usize = 7;
const LOW_NIBBLES: u64 = 0x0f0f_0f0f_0f0f_0f0f;
const LOW_BYTES: u64 = 0x00ff_00ff_00ff_00ff;
const TOP_BITS: u64 = 0x8080_8080_8080_8080;
/// Units of 2^24: a bucket of 8 bits and a carry of 24 then hold what `u32` can say.
const SCALE_MAX: u32 = 25;
/// What the eleven bits left in a slot hold. Keys that were seen more often rank alike.
const STANDING_MAX: u32 = (1 << 11) - 1;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::time::Millis;

    /// A cell and the exact log of what it was told.
    struct Pair {
        window: Window,
        cell: Cell,
        log: Vec<(u64, u32)>,
    }

    impl Pair {
        fn new(length_ms: u64, start: u64) -> Pair {
            let window = Window::new(Duration::from_millis(length_ms));
            Pair { window, cell: Cell::new(window, window.moment(Millis(start))), log: Vec::new() }
        }

        fn add(&mut self, now: u64, amount: u32) {
            // Through the packed form each time, as the table keeps it.
            self.cell = Cell::unpack(&self.cell.pack()).unwrap();
            self.cell.advance(self.window.moment(Millis(now)));
            self.cell.add(amount);
            self.log.push((now, amount));
        }

        fn count(&self, now: u64) -> u64 {
            let mut cell = self.cell;
            let at = cell.advance(self.window.moment(Millis(now)));
            u64::from(cell.count(at))
        }

        /// The events of the `ticks` (1/110 ms) before and up to `now`.
        fn exact(&self, now: u64, ticks: u64) -> u64 {
            let within = |then: u64| (now - then) * BUCKETS < ticks;
            self.log.iter().filter(|(then, _)| within(*then)).map(|(_, amount)| u64::from(*amount)).sum()
        }

        fn exact_now(&self, now: u64) -> u64 {
            self.exact(now, u64::from(self.window.length_ms()) * BUCKETS)
        }
    }

    fn splitmix(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    proptest! {
        #[test]
        fn for_any_arrivals_the_count_is_that_of_a_window_at_most_one_bucket_off(
            length_ms in 100_u64..100_000,
            start in 0_u64..1_000_000_000,
            arrivals in prop::collection::vec((0_u64..2_000, 1_u32..40), 1..120),
            after in 0_u64..3_000,
        ) {
            let mut pair = Pair::new(length_ms, start);
            let mut now = start;
            for (gap, amount) in arrivals {
                now += gap * length_ms / 20_000;
                pair.add(now, amount);
            }
            now += after * length_ms / 2_000;
            let bucket = length_ms << pair.cell.level();
            let window = length_ms * BUCKETS;
            let count = pair.count(now);
            let unit = 1 << pair.cell.shift();
            let least = pair.exact(now, window - bucket - BUCKETS).saturating_sub(unit);
            let most = pair.exact(now, window + bucket + BUCKETS) + unit - 1;
            prop_assert!(least <= count && count <= most, "{least} <= {count} <= {most}");
        }

        #[test]
        fn for_even_arrivals_the_count_is_within_two_events(
            per_window in 1_u64..20_000,
            length_ms in 20_000_u64..400_000,
            start in 0_u64..1_000_000_000,
            windows_percent in 106_u64..250,
        ) {
            let mut pair = Pair::new(length_ms, start);
            let mut now = start;
            for i in 0..=per_window * windows_percent / 100 {
                now = start + i * length_ms / per_window;
                pair.add(now, 1);
            }
            let (count, exact) = (pair.count(now), pair.exact_now(now));
            prop_assert!(count.abs_diff(exact) <= 1 + (1 << pair.cell.shift()), "{count}, exactly {exact}");
        }

        #[test]
        fn where_even_arrivals_begin_or_end_a_quarter_of_a_bucket_is_added_to_the_error(
            per_window in 1_u64..20_000,
            length_ms in 20_000_u64..400_000,
            start in 0_u64..1_000_000_000,
            windows_percent in 10_u64..250,
            after_percent in 0_u64..120,
        ) {
            let mut pair = Pair::new(length_ms, start);
            let mut now = start;
            for i in 0..=per_window * windows_percent / 100 {
                now = start + i * length_ms / per_window;
                pair.add(now, 1);
            }
            now += length_ms * after_percent / 100;
            let (count, exact) = (pair.count(now), pair.exact_now(now));
            let bound = 1 + (1 << pair.cell.shift()) + per_window / (4 * span(pair.cell.level()));
            prop_assert!(count.abs_diff(exact) <= bound, "{count}, exactly {exact}");
        }

        #[test]
        fn for_random_arrivals_the_count_is_within_one_percent_and_two_events(
            per_window in 1_u64..20_000,
            seed: u64,
        ) {
            let (length_ms, start) = (60_000, 1_234_567);
            let mut random = seed;
            let mut times: Vec<u64> =
                (0..per_window * 2).map(|_| start + splitmix(&mut random) % (2 * length_ms)).collect();
            times.sort_unstable();
            let mut pair = Pair::new(length_ms, start);
            for now in times {
                pair.add(now, 1);
            }
            let now = start + 2 * length_ms;
            let (count, exact) = (pair.count(now), pair.exact_now(now));
            prop_assert!(count.abs_diff(exact) <= 2 + exact / 100, "{count}, exactly {exact}");
        }

        #[test]
        fn for_any_arrivals_the_error_is_on_average_at_most_one_percent(
            length_ms in 10_000_u64..100_000,
            // Bursts and pauses: of how many events, and how long after the one before, in 1/1000 of the window.
            bursts in prop::collection::vec((0_u64..1_500, 1_u32..400, 1_u64..60), 1..12),
        ) {
            let mut pair = Pair::new(length_ms, 0);
            let mut burst_end = 0;
            let mut arrivals = Vec::new();
            for (pause, events, lasts) in bursts {
                let now = burst_end + pause * length_ms / 1_000;
                burst_end = now + lasts * length_ms / 1_000;
                arrivals.extend((0..events).map(|i| now + (burst_end - now) * u64::from(i) / u64::from(events)));
            }
            let end = burst_end + length_ms * 102 / 100;
            let mut arrivals = arrivals.into_iter().peekable();
            let (mut error, mut total, mut slack) = (0.0, 0.0, 0.0);
            // Not in step with the buckets, of which 110 or 55 are in a window.
            for sample in 0..=end * 1_009 / length_ms {
                let now = sample * length_ms / 1_009;
                while let Some(arrival) = arrivals.next_if(|arrival| *arrival <= now) {
                    pair.add(arrival, 1);
                }
                let (count, exact) = (pair.count(now), pair.exact_now(now));
                error += count.abs_diff(exact) as f64;
                total += exact as f64;
                // Rounding down to a whole event, and up to a unit.
                slack += if count + exact > 0 { (1 << pair.cell.shift()) as f64 } else { 0.0 };
            }
            prop_assert!(error <= total / 100.0 + slack, "{error} of {total}, rounding {slack}");
        }

        #[test]
        fn the_unit_is_at_most_the_128th_part_of_the_largest_bucket(
            arrivals in prop::collection::vec((0_u64..3_000, 1_u32..200_000), 1..60),
        ) {
            let mut pair = Pair::new(60_000, 0);
            let mut now = 0;
            for (gap, amount) in arrivals {
                now += gap;
                pair.add(now, amount);
                let unit = 1_u64 << pair.cell.shift();
                let largest = (0..56).map(|at| pair.cell.bucket(place(pair.cell.level(), at))).max().unwrap_or(0);
                prop_assert!(unit == 1 || largest >= 128, "unit {unit}, largest bucket {largest}");
                let sum: u32 = pair.cell.ring.iter().map(|word| sum(pair.cell.level(), *word)).sum();
                prop_assert_eq!(sum, pair.cell.units);
                prop_assert!(u64::from(pair.cell.carry) < unit);
            }
        }

        #[test]
        fn large_amounts_keep_their_sum(
            arrivals in prop::collection::vec((0_u64..40, 0_u32..50_000_000), 1..30),
        ) {
            // All within one window, so that nothing is interpolated.
            let mut pair = Pair::new(60_000, 0);
            let mut now = 0;
            for (gap, amount) in arrivals {
                now += gap * 40;
                pair.add(now, amount);
            }
            let (count, exact) = (pair.count(now), pair.exact_now(now));
            prop_assert!(count <= exact && exact - count <= exact / 1_000, "{count}, exactly {exact}");
        }

        #[test]
        fn the_count_has_fallen_when_it_was_said_to_and_not_before(
            length_ms in 100_u64..100_000,
            arrivals in prop::collection::vec((0_u64..2_000, 1_u32..4_000), 1..60),
            percent in 0_u64..100,
        ) {
            let mut pair = Pair::new(length_ms, 5_000);
            let mut now = 5_000;
            for (gap, amount) in arrivals {
                now += gap * length_ms / 20_000;
                pair.add(now, amount);
            }
            let target = u32::try_from(pair.count(now) * percent / 100).unwrap();
            let mut cell = pair.cell;
            let at = cell.advance(pair.window.moment(Millis(now)));
            let wait = cell.falls_to(target, at);
            prop_assert!(pair.count(now + wait) <= u64::from(target));
            prop_assert!(wait <= length_ms + length_ms.div_ceil(55) + 1, "{wait}");
            if wait > 1 {
                prop_assert!(pair.count(now + wait - 1) > u64::from(target), "later than needed by a millisecond");
            }
            let empty = pair.cell.empties_in(pair.window.moment(Millis(now)));
            prop_assert_eq!(pair.count(now + empty), 0);
            prop_assert!(empty >= cell.falls_to(0, at));
        }

        #[test]
        fn arbitrary_words_do_not_panic(words: Words, now: u64, amount: u32, target: u32) {
            let Some(mut cell) = Cell::unpack(&words) else { return Ok(()) };
            let moment = cell.window().moment(Millis(now));
            cell.empties_in(moment);
            cell.rank(moment);
            cell.touched_ms();
            let at = cell.advance(moment);
            cell.falls_to(target, at);
            cell.count(at);
        }
    }

    #[test]
    fn a_sum_past_what_can_be_said_stays_at_the_top() {
        let mut pair = Pair::new(60_000, 0);
        for now in 0..100 {
            pair.add(now, u32::MAX);
        }
        assert_eq!(pair.count(100), u64::from(u32::MAX));
        assert_eq!(pair.count(200_000), 0);
    }

    #[test]
    fn a_counter_is_fine_again_after_a_burst_has_left() {
        let mut pair = Pair::new(60_000, 0);
        pair.add(0, 100_000);
        assert!(pair.cell.scale > 1);
        pair.add(120_000, 1);
        assert_eq!((pair.cell.scale, pair.count(120_000)), (0, 1));
    }

    #[test]
    fn an_event_leaves_exactly_one_window_later() {
        let mut pair = Pair::new(60_000, 0);
        pair.add(60_000, 1);
        assert_eq!(pair.count(60_000), 1);
        assert_eq!(pair.count(120_000 - 60_000 / 110 - 1), 1);
        assert_eq!(pair.count(120_000), 0);
    }

    #[test]
    fn time_that_steps_back_neither_resets_nor_ages() {
        let mut pair = Pair::new(60_000, 0);
        pair.add(500_000, 5);
        assert_eq!(pair.count(0), 5);
        pair.cell.advance(pair.window.moment(Millis(100)));
        pair.cell.add(1);
        assert_eq!(pair.count(500_000), 6);
        assert_eq!(pair.count(u64::MAX), 0);
    }
}
