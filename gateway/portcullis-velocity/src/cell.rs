//! One counter over one window, in seven words.
//!
//! The window is a ring of buckets in five words, read in one of three ways: 80 of four bits, 40 of
//! eight, 20 of sixteen. A bucket that would overflow makes the ring grow coarser in place: each pair
//! of neighbours becomes one bucket of twice the bits. Past sixteen bits all buckets are halved, and
//! count in units of two, four, … from then on; what is less than a unit waits in `carry`.
//!
//! At each level the window spans 76, 38 or 19 buckets, so with the one that straddles its edge 77,
//! 39 or 20 places of the ring are in use.

use crate::table::Record;
use crate::time::Millis;
use crate::window::{BUCKETS, Moment, Window};

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
    /// 0, 1, 2: buckets of 4, 8, 16 bits. Past that: 16 bits, in units of `1 << (scale - 2)`.
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
            newest: clock & ((1 << 41) - 1),
            scale: (clock >> 41) as u32 & 0x1f,
            carry: (clock >> 46) as u32 & 0xffff,
            units: (counts >> 32) as u32 & 0x1f_ffff,
            standing: (counts >> 53) as u32,
            ring,
        })
    }

    #[inline]
    pub(crate) fn pack(&self) -> Words {
        let clock = self.newest | u64::from(self.scale) << 41 | u64::from(self.carry) << 46;
        let counts = u64::from(self.window.length_ms()) | u64::from(self.units) << 32 | u64::from(self.standing) << 53;
        let [a, b, c, d, e] = self.ring;
        [clock, counts, a, b, c, d, e]
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
        for step in 0..steps {
            let left = self.put(place(level, from + ring_len(level) - span(level) + step), 0);
            self.units = self.units.saturating_sub(left);
        }
        if steps > 0 && self.units == 0 {
            let carry = std::mem::take(&mut self.carry);
            self.scale = 0;
            self.add(carry);
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
                return;
            }
            self.widen();
        }
    }

    /// The events in the window that ends at `at`, which `advance` gave; never more than `u32::MAX`.
    #[inline]
    pub(crate) fn count(&self, at: Moment) -> u32 {
        let (straddling, kept) = self.straddle(at);
        let units = self.units.saturating_sub(straddling) + kept;
        let count = (u64::from(units) << self.shift()) + u64::from(self.carry);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Milliseconds from `at` until the count is at most `target` if nothing more is added.
    /// The moment is one that `advance` gave.
    pub(crate) fn falls_to(&self, target: u32, at: Moment) -> u64 {
        let level = self.level();
        let (elapsed, length) = self.elapsed(at);
        let (straddling, mut kept) = self.straddle(at);
        let units = self.units.saturating_sub(straddling) + kept;
        let Some(target) = target.checked_sub(self.carry) else {
            return millis_up((span(level) + 1) * length - elapsed);
        };
        let mut excess = units.saturating_sub(target >> self.shift());
        if excess == 0 {
            return 0;
        }
        let oldest = (self.newest >> level) + ring_len(level) - span(level);
        for step in 0..=span(level) {
            let held = self.bucket(place(level, oldest + step));
            if step > 0 {
                kept = held;
            }
            if kept >= excess {
                // The first tick `x` of the bucket at which `held * (length - x) / length`, rounded
                // down, is at most what may stay.
                let gone = u64::from(held - (kept - excess) - 1);
                let mut ticks = length * gone / u64::from(held) + 1;
                if step > 0 {
                    ticks = ticks.max(BUCKETS); // nothing leaves before the edge is in the bucket
                }
                return millis_up((step * length + ticks).saturating_sub(elapsed + BUCKETS)).max(1);
            }
            excess -= kept;
        }
        millis_up((span(level) + 1) * length - elapsed)
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

    /// What the bucket on the window's edge holds, and how much of it is still within the window.
    #[inline]
    fn straddle(&self, at: Moment) -> (u32, u32) {
        let level = self.level();
        let held = self.bucket(place(level, (self.newest >> level) + ring_len(level) - span(level)));
        if held == 0 {
            return (0, 0);
        }
        let (elapsed, length) = self.elapsed(at);
        // The window is open at its old end: what happened exactly one length ago has left. Hence
        // one millisecond more than has elapsed.
        let stays = length.saturating_sub(elapsed + BUCKETS);
        (held, (u64::from(held) * stays / length) as u32)
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
        match self.scale {
            0 => self.ring = self.ring.map(|word| pairs(word, 4, 0x0f0f_0f0f_0f0f_0f0f)),
            1 => self.ring = self.ring.map(|word| pairs(word, 8, 0x00ff_00ff_00ff_00ff)),
            _ => {
                let odd = self.bucket(place(2, self.newest >> 2)) & 1;
                self.carry += odd << self.shift();
                self.ring = self.ring.map(|word| word >> 1 & 0x7fff_7fff_7fff_7fff);
                self.units = (0..ring_len(2)).map(|at| self.bucket(place(2, at))).sum();
            }
        }
        self.scale += 1;
    }

    fn level(&self) -> u32 {
        self.scale.min(2)
    }

    fn shift(&self) -> u32 {
        self.scale.saturating_sub(2)
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
    let at = match level {
        0 => bucket % 80,
        1 => bucket % 40,
        _ => bucket % 20,
    } as u32;
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
    80 >> level
}

/// Adds each field of `bits` bits to its neighbour, into a field of twice the bits.
const fn pairs(word: u64, bits: u32, mask: u64) -> u64 {
    (word & mask) + (word >> bits & mask)
}

/// Ticks in milliseconds, rounded up.
const fn millis_up(ticks: u64) -> u64 {
    ticks.div_ceil(BUCKETS)
}

/// Two words of clock and counts, five of buckets.
const CELL_WORDS: usize = 7;
const RING_WORDS: usize = 5;
/// Units of 65,536: a bucket of 16 bits then holds what `u32` can say.
const SCALE_MAX: u32 = 18;
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

        /// The events of the `ticks` (1/76 ms) before and up to `now`.
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
            let least = pair.exact(now, window - bucket - BUCKETS).saturating_sub(1);
            let most = pair.exact(now, window + bucket + BUCKETS);
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
            prop_assert!(count.abs_diff(exact) <= 2, "{count}, exactly {exact}");
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
            let bound = 2 + per_window / (4 * span(pair.cell.level()));
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
            prop_assert!(wait <= length_ms + length_ms.div_ceil(19) + 1, "{wait}");
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
        assert!(pair.cell.scale > 2);
        pair.add(120_000, 1);
        assert_eq!((pair.cell.scale, pair.count(120_000)), (0, 1));
    }

    #[test]
    fn an_event_leaves_exactly_one_window_later() {
        let mut pair = Pair::new(60_000, 0);
        pair.add(60_000, 1);
        assert_eq!(pair.count(60_000), 1);
        assert_eq!(pair.count(120_000 - 60_000 / 76 - 1), 1);
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
