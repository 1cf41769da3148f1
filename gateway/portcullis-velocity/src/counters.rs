use std::fmt;

use crate::cell::{Cell, Words};
use crate::key::{Key, KeyHasher, Secret};
use crate::table::{self, Held, Stats, Table};
use crate::time::Millis;
use crate::window::{Moment, Window};

/// Sliding-window counters of many keys in memory that was bounded beforehand.
///
/// One counter belongs to one [`Key`] in one [`Window`]; the same key in two windows has two. How
/// exact a count is stands at [`Window`].
///
/// # When it is full
///
/// A new key is always counted. It takes the slot of one of sixteen candidates, which its keyed hash
/// chooses: of one that has nothing left in its window, else of the one that ranks lowest, else the
/// one longest untouched. A key's rank is how often it was observed in about the last window, refused
/// attempts included, up to some two thousand; one request of a megabyte does not outrank a hundred
/// requests. So whoever floods the table with new keys displaces such keys, and to displace a key of
/// rank `r` must keep some `r` requests going for every slot of the table.
///
/// A displaced key that comes again starts from zero. How long a key seen once is remembered at the
/// limit is about [`Stats::capacity`] divided by the new keys in a second.
pub struct Counters {
    table: Table<Words>,
    hasher: KeyHasher,
}

impl Counters {
    /// The smallest budget, in bytes: some thirty sets of eight counters. A smaller one is raised to it.
    pub const MIN_BUDGET_BYTES: usize = table::MIN_BUDGET_BYTES;

    /// An empty table of at most `budget_bytes`, whose keys are hashed under `secret`.
    ///
    /// The memory is used as keys come, in steps of 64 KiB; as keys spread over the table, some keys
    /// for each step are enough to have all of it used.
    pub fn new(budget_bytes: usize, secret: Secret) -> Counters {
        Counters { table: Table::new(budget_bytes), hasher: KeyHasher::new(secret) }
    }

    /// A budget, in bytes, in which `counters` counters live, 95 bytes each; three in a thousand are displaced.
    pub const fn budget_for(counters: usize) -> usize {
        Table::<Words>::budget_at(counters, 19)
    }

    /// What makes the keys of this table.
    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// Counts `amount` and gives the count, with `amount` in it.
    ///
    /// For what is to be known in any case, refused or not. An `amount` of zero only reads.
    #[inline]
    pub fn observe(&self, key: Key, window: Window, amount: u32, now: Millis) -> Reading {
        if amount == 0 {
            return self.peek(key, window, now);
        }
        let moment = window.moment(now);
        let mut held = self.table.hold(self.table.address(key, window.salt()), now);
        let mut cell = Cell::unpack(&held.load()).unwrap_or_else(|| Cell::new(window, moment));
        let at = cell.advance(moment);
        cell.add(amount);
        cell.touch();
        held.store(cell.pack());
        drop(held);
        Reading { count: cell.count(at) }
    }

    /// Counts `amount` in each of several windows, and gives their counts in the same order.
    ///
    /// As [`observe`](Counters::observe) for each, but the counters of one key mostly lie together, and are then found
    /// and written under one lock.
    #[inline]
    pub fn observe_windows<const N: usize>(
        &self,
        key: Key,
        windows: [Window; N],
        amount: u32,
        now: Millis,
    ) -> [Reading; N] {
        if amount == 0 {
            return windows.map(|window| self.peek(key, window, now));
        }
        let mut last: Option<Held<'_, Words>> = None;
        windows.map(|window| {
            let moment = window.moment(now);
            let address = self.table.address(key, window.salt());
            let mut held = match last.take().and_then(|held| held.turned_to(address)) {
                Some(held) => held,
                None => self.table.hold(address, now),
            };
            let mut cell = Cell::unpack(&held.load()).unwrap_or_else(|| Cell::new(window, moment));
            let at = cell.advance(moment);
            cell.add(amount);
            cell.touch();
            held.store(cell.pack());
            last = Some(held);
            Reading { count: cell.count(at) }
        })
    }

    /// Begins to fetch the counters of these keys from memory, to be called before a request's keys are observed one
    /// after the other: what each would wait for is then waited for once. It changes nothing.
    #[inline]
    pub fn warm(&self, keys: &[Key]) {
        self.table.warm(keys.iter().map(|key| self.table.address(*key, 0)));
    }

    /// Counts `amount` in each of several windows if the count stays within the limit of each, and says what each one
    /// says, in the same order. Where one refuses, nothing is counted in any.
    ///
    /// Where another thread takes what was left of a limit in the same moment, what was counted in the windows before
    /// that one stays counted; never more than the limit is.
    #[inline]
    pub fn observe_limited_windows<const N: usize>(
        &self,
        key: Key,
        limits: [(Window, u32); N],
        amount: u32,
        now: Millis,
    ) -> [Limited; N] {
        let asked = limits.map(|(window, limit)| self.peek_limited(key, window, limit, amount, now));
        let all_admit = asked.iter().all(Limited::is_admitted);
        let mut asked = asked.into_iter();
        limits.map(|(window, limit)| match asked.next() {
            // What refuses is asked again in the other way, by which the slot is kept.
            Some(limited) if !all_admit && limited.is_admitted() => limited,
            _ => self.observe_limited(key, window, limit, amount, now),
        })
    }

    /// Gives the count, and changes nothing.
    #[inline]
    pub fn peek(&self, key: Key, window: Window, now: Millis) -> Reading {
        let Some(mut cell) = self.cell(key, window) else {
            return Reading { count: 0 };
        };
        let at = cell.advance(window.moment(now));
        Reading { count: cell.count(at) }
    }

    /// Counts `amount` if the count stays within `limit`, and says which it was.
    ///
    /// What is refused is not counted, so a client that keeps trying is admitted as soon as one that
    /// waits. To know the attempts too, [`observe`](Counters::observe) them under a scope of their own.
    /// An `amount` of zero asks whether the count is within the limit.
    #[inline]
    pub fn observe_limited(&self, key: Key, window: Window, limit: u32, amount: u32, now: Millis) -> Limited {
        let moment = window.moment(now);
        let address = self.table.address(key, window.salt());
        // A key without a slot is given one only if something will be counted in it.
        let mut held =
            if (1..=limit).contains(&amount) { Some(self.table.hold(address, now)) } else { self.table.find(address) };
        let mut stored =
            held.as_ref().and_then(|held| Cell::unpack(&held.load())).unwrap_or_else(|| Cell::new(window, moment));
        let mut cell = stored;
        let at = cell.advance(moment);
        let mut limited = limited(&stored, &cell, limit, amount, (moment, at));
        match (limited.verdict, &mut held) {
            (Verdict::Admit, Some(held)) if amount > 0 => {
                cell.add(amount);
                cell.touch();
                held.store(cell.pack());
                limited.count = cell.count(at);
                limited.reset_ms = cell.empties_in(moment);
            }
            (Verdict::Refuse, Some(held)) => {
                // INVARIANT: a refusal changes no count and no time. It does keep the slot: who is
                // being refused is the last to be forgotten.
                stored.touch();
                held.store(stored.pack());
            }
            _ => {}
        }
        limited
    }

    /// Says whether `amount` more would be admitted under `limit`, and counts nothing.
    ///
    /// For limits on what is only known afterwards, such as failures: ask with an amount of 1 before,
    /// [`observe`](Counters::observe) the failure after.
    pub fn peek_limited(&self, key: Key, window: Window, limit: u32, amount: u32, now: Millis) -> Limited {
        let moment = window.moment(now);
        let stored = self.cell(key, window).unwrap_or_else(|| Cell::new(window, moment));
        let mut cell = stored;
        let at = cell.advance(moment);
        limited(&stored, &cell, limit, amount, (moment, at))
    }

    /// The state of the table. Other threads go on meanwhile, so the figures are of about one moment.
    pub fn stats(&self) -> Stats {
        self.table.stats()
    }

    #[inline]
    fn cell(&self, key: Key, window: Window) -> Option<Cell> {
        Cell::unpack(&self.table.find(self.table.address(key, window.salt()))?.load())
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A count within a window. It stops at `u32::MAX`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reading {
    /// Events, or whatever the amounts are of.
    pub count: u32,
}

/// Whether a limit admits a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Within the limit, and counted if it was observed.
    Admit,
    /// Past the limit, and not counted.
    Refuse,
}

/// What a limit says to one request, with the figures for `Retry-After` and `RateLimit`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limited {
    /// Whether the request is within the limit.
    pub verdict: Verdict,
    /// The count, with this request in it if it was counted. At most the limit, unless more was
    /// counted by [`Counters::observe`] or the limit was lowered.
    pub count: u32,
    /// Milliseconds until the same request will be admitted, if nothing else is counted meanwhile; 0
    /// when it is admitted. The length of the window when it is more than the limit and never will be.
    pub retry_after_ms: u64,
    /// Milliseconds until the count is zero, if nothing else is counted meanwhile.
    pub reset_ms: u64,
}

impl Limited {
    /// Whether the request is within the limit.
    pub const fn is_admitted(&self) -> bool {
        matches!(self.verdict, Verdict::Admit)
    }
}

/// What a limit says to `amount` more, from a counter as it was `stored` and as it is `now`, after
/// `advance` took it from the first of the two moments to the second.
#[inline]
fn limited(stored: &Cell, now: &Cell, limit: u32, amount: u32, (moment, at): (Moment, Moment)) -> Limited {
    let count = now.count(at);
    let reset_ms = stored.empties_in(moment);
    if count.checked_add(amount).is_some_and(|after| after <= limit) {
        return Limited { verdict: Verdict::Admit, count, retry_after_ms: 0, reset_ms };
    }
    let retry_after_ms = match limit.checked_sub(amount) {
        Some(target) => now.falls_to(target, at),
        None => u64::from(now.window().length_ms()),
    };
    Limited { verdict: Verdict::Refuse, count, retry_after_ms, reset_ms }
}
