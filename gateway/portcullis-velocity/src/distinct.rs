use std::fmt;

use crate::distinct_set::{FEW, Few, MANY, Many, Outcome, Value, segment};
use crate::key::Key;
use crate::table::{Stats, Table};
use crate::time::Millis;
use crate::window::Window;

/// How many different values each key was seen with in a window: users of an address, networks of a session, paths of a
/// client, cards of a device. In memory that was bounded beforehand; of keys and values only keyed hashes are kept.
///
/// One count belongs to one [`Key`] in one [`Window`]; the same key in two windows has two. A value counts from when it
/// was seen last: for the whole window after that, and for at most 1/30 of the window longer.
///
/// # What the count is worth
///
/// Up to twelve values are kept in a slot of 72 bytes, more in one of 1 KiB. **Up to 240 values the count is exact**,
/// save that two values are taken for one with a probability of one in twelve millions.
///
/// Past that it is an estimate by adaptive sampling (Wegman; analysed in Flajolet, "On adaptive sampling", Computing
/// 43, 1990). Of the values whose hash begins with `l` zeros there are one in 2^`l`; only these are kept, and each
/// stands for 2^`l`. `l` is raised when the slot is full, and lowered as values leave the window, and each thirtieth of
/// the window has an `l` of its own, so that after a burst small counts are soon exact again. The standard error is
/// about 8 % of the count (1.2/√240), at most some 13 % while it falls. Each [`Distinct`] reading gives its own.
///
/// It is this and not HyperLogLog because that, for a sliding window, needs registers for each part of the window, and
/// even then sees small counts worse.
///
/// # When it is full
///
/// A new key is always counted. It takes the slot of one of sixteen candidates, which its keyed hash chooses: of one of
/// which no value is left in its window, else of the one with the fewest values, else of the one longest untouched. So a
/// flood of keys with one value each displaces such keys, and who was seen with many is the last to be forgotten. A
/// quarter of the memory is for keys of more than twelve values, which only displace each other; one displaced there
/// goes on from twelve.
pub struct Distincts {
    few: Table<Few>,
    many: Table<Many>,
}

impl Distincts {
    /// The smallest budget, in bytes. A smaller one is raised to it.
    pub const MIN_BUDGET_BYTES: usize = 128 << 10;

    /// An empty memory of at most `budget_bytes`, used in steps of 64 KiB as keys come.
    pub fn new(budget_bytes: usize) -> Distincts {
        let budget_bytes = budget_bytes.max(Distincts::MIN_BUDGET_BYTES);
        let for_many = budget_bytes / 4;
        Distincts { few: Table::new(budget_bytes - for_many), many: Table::new(for_many) }
    }

    /// A budget, in bytes, in which `keys` counts live with next to none displaced, one in fifty of them of more than
    /// twelve values: 126 bytes each.
    pub const fn budget_for(keys: usize) -> usize {
        let few = Table::<Few>::budget_for(keys);
        few.saturating_add(few / 3).saturating_add(Distincts::MIN_BUDGET_BYTES)
    }

    /// Remembers that `key` was seen with `value`, and gives how many different values it was seen with in the window,
    /// this one among them.
    ///
    /// `value` comes from the same hasher as keys do, by a scope of its own or none.
    #[inline]
    pub fn note(&self, key: Key, value: Key, window: Window, now: Millis) -> Distinct {
        let segment = segment(window, now);
        let value = Value::new(value);
        let mut held = self.few.hold(self.few.address(key, window.salt()), now);
        let Some(few) = held.record() else { return Distinct::default() };
        few.advance(window, segment);
        match few.note(value) {
            Outcome::Held => few.read(segment),
            Outcome::Full => {
                // INVARIANT: whoever locks both tables locks the one of few values first.
                let mut many = self.many.hold(self.many.address(key, window.salt()), now);
                many.record().map(|many| many.note(few, value, window, segment)).unwrap_or_default()
            }
        }
    }

    /// Gives how many different values `key` was seen with in the window, and changes nothing.
    #[inline]
    pub fn read(&self, key: Key, window: Window, now: Millis) -> Distinct {
        let segment = segment(window, now);
        let Some(few) = self.few.find(self.few.address(key, window.salt())) else {
            return Distinct::default();
        };
        let (known, has_many) = (few.load().read(segment), few.load().has_many());
        drop(few);
        if !has_many {
            return known;
        }
        match self.many.find(self.many.address(key, window.salt())) {
            Some(mut many) => many.record().map(|many| many.read(segment)).unwrap_or_default(),
            // Displaced there: what is known is what it had before it had many.
            None => known,
        }
    }

    /// Whether `key` was seen with `value` in the window. Of a key with more than 240 values, one that is not in the sample
    /// counts as not seen.
    pub fn knows(&self, key: Key, value: Key, window: Window, now: Millis) -> bool {
        let (segment, value) = (segment(window, now), Value::new(value));
        let Some(few) = self.few.find(self.few.address(key, window.salt())) else { return false };
        let (known, has_many) = (few.load().has(value, segment), few.load().has_many());
        drop(few);
        known
            || has_many
                && self
                    .many
                    .find(self.many.address(key, window.salt()))
                    .is_some_and(|mut many| many.record().is_some_and(|many| many.has(value, segment)))
    }

    /// The state of the tables. Other threads go on meanwhile, so the figures are of about one moment.
    pub fn stats(&self) -> DistinctStats {
        DistinctStats { few: self.few.stats(), many: self.many.stats() }
    }
}

impl fmt::Debug for Distincts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distincts").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A number of different values.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Distinct {
    /// The number, or the estimate of it.
    pub count: u32,
    /// The standard error of the estimate, in values: 0 where the count is exact. Nine of ten estimates are within 1.7
    /// of it, and hardly one in ten thousand is off by four.
    pub standard_error: u32,
}

impl Distinct {
    /// Whether the values were counted, and not estimated.
    pub const fn is_exact(&self) -> bool {
        self.standard_error == 0
    }

    /// What the count is at least, with about the certainty of 998 in 1000: three standard errors less.
    pub const fn at_least(&self) -> u32 {
        self.count.saturating_sub(self.standard_error.saturating_mul(3))
    }
}

/// The state of the tables of a [`Distincts`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DistinctStats {
    /// Keys of at most twelve values; and of each key with more, the slot that says so.
    pub few: Stats,
    /// Keys of more.
    pub many: Stats,
}

const _: () = assert!(FEW == 12 && MANY == 240, "the documentation says so");
