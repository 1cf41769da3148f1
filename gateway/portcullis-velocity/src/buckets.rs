use std::fmt;
use std::time::Duration;

use crate::counters::Verdict;
use crate::key::Key;
use crate::table::{self, Record, Stats, Table};
use crate::time::Millis;

/// Token buckets of many keys, in memory that was bounded beforehand.
///
/// A bucket holds up to [`Rate::burst`] units, is full when first asked, and refills evenly at its rate. It is kept by
/// the generic cell rate algorithm (ITU-T I.371, "virtual scheduling"): one time for each key, that at which its
/// bucket will be full, so nothing ever runs to refill it. A slot takes 24 bytes, keys and lock included.
///
/// One bucket belongs to one [`Key`]; two limits on the same thing have keys of two scopes. What is stored does not
/// depend on the rate, so that a rate may change under way: a bucket then is as long from being full as it was.
///
/// # Clocks
///
/// Where time leaps forward, buckets fill. Where it steps back by less than ten seconds, as between threads, a bucket
/// goes on at the latest time it has seen; where by more, it goes on from the new time with what it held.
///
/// # When it is full
///
/// A new key always has a bucket. It takes the slot of one of sixteen candidates, which its keyed hash chooses: of one
/// whose bucket is full, of which nothing is lost; else of the one asked least often since it was last full, refusals
/// included; else of the one longest untouched. So a flood of keys seen once displaces such keys, not an offender.
pub struct Buckets {
    table: Table<Bucket>,
}

impl Buckets {
    /// The smallest budget, in bytes. A smaller one is raised to it.
    pub const MIN_BUDGET_BYTES: usize = table::MIN_BUDGET_BYTES;

    /// An empty table of at most `budget_bytes`, used in steps of some 24 KiB as keys come.
    pub fn new(budget_bytes: usize) -> Buckets {
        Buckets { table: Table::new(budget_bytes) }
    }

    /// A budget, in bytes, in which `keys` keys live with next to none displaced: 31 bytes each.
    pub const fn budget_for(keys: usize) -> usize {
        Table::<Bucket>::budget_for(keys)
    }

    /// Takes `cost` units if the bucket holds them, and says whether it does.
    ///
    /// A refusal takes nothing and moves no time, so a client that keeps trying is admitted as soon as one that waits.
    /// A `cost` of zero asks whether the bucket is in debt.
    #[inline]
    pub fn take(&self, key: Key, rate: Rate, cost: u32, now: Millis) -> Draw {
        let address = self.table.address(key, 0);
        // A key without a slot is given one only if something will be taken from its bucket.
        let held = if (1..=rate.burst).contains(&cost) {
            Some(self.table.hold(address, now))
        } else {
            self.table.find(address)
        };
        let Some(mut held) = held else {
            return Bucket::default().draw(rate, cost);
        };
        let mut bucket = held.load();
        bucket.advance(now);
        let mut draw = bucket.draw(rate, cost);
        if draw.is_admitted() {
            bucket.lack(bucket.lacks().saturating_add(rate.span_of(cost)));
            draw = bucket.draw(rate, 0);
        }
        // INVARIANT: a refusal leaves the time at which the bucket is full as it was. It does keep the slot.
        bucket.touch();
        held.store(bucket);
        draw
    }

    /// Says whether the bucket holds `cost` units, and takes none.
    #[inline]
    pub fn peek(&self, key: Key, rate: Rate, cost: u32, now: Millis) -> Draw {
        let found = self.table.find(self.table.address(key, 0));
        let mut bucket = found.map(|held| held.load()).unwrap_or_default();
        bucket.advance(now);
        bucket.draw(rate, cost)
    }

    /// Takes `cost` units whether the bucket holds them or not, for costs that are known only afterwards.
    ///
    /// The bucket may go into debt, of one burst at most: a mistaken cost of any size is over after two fillings.
    /// The verdict is whether the bucket held them.
    pub fn charge(&self, key: Key, rate: Rate, cost: u32, now: Millis) -> Draw {
        if cost == 0 {
            return self.peek(key, rate, cost, now);
        }
        let mut held = self.table.hold(self.table.address(key, 0), now);
        let mut bucket = held.load();
        bucket.advance(now);
        let verdict = bucket.draw(rate, cost).verdict;
        let deepest = rate.span_of(rate.burst).saturating_mul(2);
        // A bucket that lacks more, since its rate was another, lacks no less for being charged.
        bucket.lack(bucket.lacks().saturating_add(rate.span_of(cost)).min(deepest.max(bucket.lacks())));
        bucket.touch();
        held.store(bucket);
        Draw { verdict, ..bucket.draw(rate, 0) }
    }

    /// Puts `cost` units back, of what was taken for something that did not happen. The bucket is never more than full.
    pub fn give_back(&self, key: Key, rate: Rate, cost: u32, now: Millis) {
        let Some(mut held) = self.table.find(self.table.address(key, 0)) else { return };
        let mut bucket = held.load();
        bucket.advance(now);
        bucket.lack(bucket.lacks().saturating_sub(rate.span_of(cost)));
        held.store(bucket);
    }

    /// The state of the table. Other threads go on meanwhile, so the figures are of about one moment.
    pub fn stats(&self) -> Stats {
        self.table.stats()
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// How fast a bucket refills, and how much it holds.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Rate {
    /// The time in which one unit comes back, in 2⁻²⁰ ms.
    step: u64,
    /// INVARIANT: so many steps are at most [`FOREVER`].
    burst: u32,
}

impl Rate {
    /// `amount` units in each `per`, and at most `burst` at once.
    ///
    /// The time for one unit is kept to 2⁻²⁰ ms, about a nanosecond: at 1,000 a second the rate is exact to one part in
    /// two millions, at a million a second to one in two thousand. A `per` of zero refills at once. An `amount` or a
    /// `burst` of 0 admits nothing. A bucket that would take more than 139 years to fill holds what comes in 139 years.
    pub const fn new(amount: u32, per: Duration, burst: u32) -> Rate {
        if amount == 0 {
            return Rate { step: FOREVER, burst: 0 };
        }
        // Rounded to the nearest.
        let step = ((per.as_nanos() << FRACTION_BITS) / 1_000_000 + amount as u128 / 2) / amount as u128;
        if step > FOREVER as u128 {
            return Rate { step: FOREVER, burst: 0 };
        }
        let step = step as u64;
        match FOREVER.checked_div(step) {
            Some(room) if room < burst as u64 => Rate { step, burst: room as u32 },
            _ => Rate { step, burst },
        }
    }

    /// The most that is admitted at once: the quota of `RateLimit-Policy` (`q`).
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// How long an empty bucket takes to be full: the window of `RateLimit-Policy` (`w`), in which the quota comes back.
    pub const fn fills_in(self) -> Duration {
        Duration::from_millis(millis_up(self.span_of(self.burst)))
    }

    /// The time in which so many units come back, in 2⁻²⁰ ms.
    #[inline]
    const fn span_of(self, cost: u32) -> u64 {
        let span = self.step.saturating_mul(cost as u64);
        if span > FOREVER { FOREVER } else { span }
    }
}

/// What a bucket says to one request, with the figures for `Retry-After` and `RateLimit`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Draw {
    /// Whether the bucket held the cost.
    pub verdict: Verdict,
    /// Whole units left in the bucket, after what was just taken. 0 in debt.
    pub remaining: u32,
    /// Milliseconds until the same cost will be admitted if nothing else is taken meanwhile; 0 when it is admitted. The
    /// time in which an empty bucket fills when the cost is more than it can hold and never will be.
    pub retry_after_ms: u64,
    /// Milliseconds until the bucket is full, if nothing more is taken.
    pub reset_ms: u64,
}

impl Draw {
    /// Whether the bucket held the cost.
    pub const fn is_admitted(&self) -> bool {
        matches!(self.verdict, Verdict::Admit)
    }
}

/// The bucket of one key as its slot holds it; the default is a full one.
#[derive(Clone, Copy, Default)]
struct Bucket {
    /// When the bucket will be full, in 2⁻²⁰ ms: what I.371 calls the theoretical arrival time.
    full_at: u64,
    /// The latest time seen, in ms, 44 bits; below them how often it was asked since it was last full.
    seen: u64,
}

impl Bucket {
    /// Moves on to `now`, or stays at the latest time seen where `now` is a little before that.
    #[inline]
    fn advance(&mut self, now: Millis) {
        let (now_ms, seen_ms) = (now.0.min(LATEST_MS), self.touched_ms());
        if seen_ms.saturating_sub(now_ms) >= STEP_BACK_MS {
            // The clock was set back: the bucket is to be full as much later than now as it was to be than then.
            self.full_at = self.full_at.saturating_sub((seen_ms - now_ms) << FRACTION_BITS);
            self.set_seen(now_ms);
        } else if now_ms > seen_ms {
            self.set_seen(now_ms);
        }
        if self.full_at <= self.time() {
            self.full_at = self.time();
            self.seen &= !ASKED_MASK;
        }
    }

    fn set_seen(&mut self, now_ms: u64) {
        self.seen = now_ms << FRACTION_BITS | self.seen & ASKED_MASK;
    }

    /// Marks that it was asked, whatever came of it.
    #[inline]
    fn touch(&mut self) {
        if self.seen & ASKED_MASK < ASKED_MASK {
            self.seen += 1;
        }
    }

    /// The latest time seen, in 2⁻²⁰ ms.
    const fn time(&self) -> u64 {
        self.seen & !ASKED_MASK
    }

    /// What the bucket lacks, as the time in which it comes back.
    #[inline]
    const fn lacks(&self) -> u64 {
        self.full_at.saturating_sub(self.time())
    }

    fn lack(&mut self, lacks: u64) {
        self.full_at = self.time().saturating_add(lacks);
    }

    /// What it says to `cost` more, at the time it was advanced to.
    #[inline]
    fn draw(&self, rate: Rate, cost: u32) -> Draw {
        let (holds, lacks) = (rate.span_of(rate.burst), self.lacks());
        let left = holds.saturating_sub(lacks);
        let remaining =
            left.checked_div(rate.step).map_or(rate.burst, |units| u32::try_from(units).unwrap_or(u32::MAX));
        let reset_ms = millis_up(lacks);
        if cost > rate.burst {
            return Draw { verdict: Verdict::Refuse, remaining, retry_after_ms: millis_up(holds), reset_ms };
        }
        // Both are well below what overflows: see FOREVER.
        let short = lacks.saturating_add(rate.span_of(cost)).saturating_sub(holds);
        let verdict = if short == 0 { Verdict::Admit } else { Verdict::Refuse };
        Draw { verdict, remaining, retry_after_ms: millis_up(short), reset_ms }
    }
}

impl Record for Bucket {
    fn rank(&self, now: Millis) -> u32 {
        let mut bucket = *self;
        bucket.advance(now);
        if bucket.lacks() == 0 { 0 } else { ((bucket.seen & ASKED_MASK) as u32).max(1) }
    }

    fn touched_ms(&self) -> u64 {
        self.seen >> FRACTION_BITS
    }
}

/// Milliseconds, rounded up.
const fn millis_up(fixed: u64) -> u64 {
    fixed.div_ceil(1 << FRACTION_BITS)
}

const FRACTION_BITS: u32 = 20;
const ASKED_MASK: u64 = (1 << FRACTION_BITS) - 1;
/// 139 years: of 64 bits one is left for debts, and one for the time of day.
const FOREVER: u64 = 1 << 62;
/// The latest time there is, 278 years after the epoch. Later than that nothing refills.
const LATEST_MS: u64 = (1 << 43) - 1;
/// From here on an earlier time is a clock that was set back, not a thread that was late.
const STEP_BACK_MS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_takes_24_bytes() {
        assert_eq!(Table::<Bucket>::SLOT_BYTES, 24);
        assert_eq!(Buckets::budget_for(1_000) - Buckets::MIN_BUDGET_BYTES, 31_000);
    }

    #[test]
    fn odd_rates_are_taken() {
        const DAY: Duration = Duration::from_secs(86_400);
        for (amount, per, burst, holds, fills_in_ms) in [
            (10, Duration::from_secs(1), 20, 20, 2_000),
            (3, Duration::from_secs(1), 3, 3, 1_000),
            (0, Duration::from_secs(1), 5, 0, 0),
            (5, Duration::ZERO, 5, 5, 0),
            (5, DAY, 0, 0, 0),
            (1, Duration::MAX, 5, 0, 0),
            (1, 365 * DAY, 1_000, 139, 139 * 365 * 86_400_000),
            (u32::MAX, Duration::from_secs(1), u32::MAX, u32::MAX, 0),
        ] {
            let rate = Rate::new(amount, per, burst);
            assert_eq!(rate.burst(), holds, "{amount} in {per:?}, {burst} at once");
            assert_eq!(rate.fills_in(), Duration::from_millis(fills_in_ms), "{amount} in {per:?}, {burst} at once");
        }
    }
}
