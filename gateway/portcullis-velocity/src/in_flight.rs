use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::key::Key;
use crate::table::{self, Address, Record, Stats, Table};
use crate::time::Millis;

/// How many requests of each key are under way, and how many are held back, in memory that was bounded beforehand.
///
/// It only counts. Who is told to wait waits outside, and asks again when the time has come.
///
/// Counts end with their guards, [`Running`] and [`Waiting`], which release on drop, whatever ended the request. The
/// guards hold the table by a reference or an `Arc`, as it is given; a `&'static` one costs least, since the counts of
/// an `Arc` are a cache line that all cores write.
///
/// # When it is full
///
/// A slot takes 16 bytes, keys and lock included, and its key gives way only when nothing of it is under way: no count
/// is ever lost. As many slots as there may be connections are thus enough. A key for which there is still no slot is
/// let through uncounted, and [`InFlightStats::uncounted_total`] says so: a full table refuses no stranger.
pub struct InFlight {
    table: Table<Flights>,
    /// How many wait, of all keys.
    waiting: AtomicU32,
    waiting_most: u32,
    uncounted: AtomicU64,
}

impl InFlight {
    /// The smallest budget, in bytes. A smaller one is raised to it.
    pub const MIN_BUDGET_BYTES: usize = table::MIN_BUDGET_BYTES;

    /// An empty table of at most `budget_bytes`, in which at most `waiting_most` requests of all keys together wait.
    pub fn new(budget_bytes: usize, waiting_most: u32) -> InFlight {
        InFlight {
            table: Table::new(budget_bytes),
            waiting: AtomicU32::new(0),
            waiting_most,
            uncounted: AtomicU64::new(0),
        }
    }

    /// A budget, in bytes, in which so many keys are under way at once with next to none uncounted: 21 bytes each.
    pub const fn budget_for(keys: usize) -> usize {
        Table::<Flights>::budget_for(keys)
    }

    /// Counts one more request of `key` as under way, until the guard is dropped, if fewer than `limit` are.
    ///
    /// `in_flight` is the table, by reference or by `Arc`.
    #[inline]
    pub fn run<T: Deref<Target = InFlight>>(in_flight: T, key: Key, limit: u32) -> Result<Running<T>, Busy> {
        let address = in_flight.table.address(key, 0);
        if limit == 0 {
            return Err(Busy { running: in_flight.flights(address).running });
        }
        let Some(mut held) = in_flight.table.hold_if_room(address, NO_TIME) else {
            in_flight.uncounted.fetch_add(1, Ordering::Relaxed);
            return Ok(Running { in_flight, address: None, count: 1 });
        };
        let flights = held.load();
        if flights.running >= limit {
            return Err(Busy { running: flights.running });
        }
        // Below the limit, so below what 32 bits hold.
        let count = flights.running + 1;
        held.store(Flights { running: count, ..flights });
        drop(held);
        Ok(Running { in_flight, address: Some(address), count })
    }

    /// Counts one more request of `key` as waiting, until the guard is dropped, if fewer than `limit` of the key are, and
    /// fewer than the bound of all.
    pub fn wait<T: Deref<Target = InFlight>>(in_flight: T, key: Key, limit: u32) -> Result<Waiting<T>, QueueFull> {
        let address = in_flight.table.address(key, 0);
        if limit == 0 {
            return Err(QueueFull::OfKey);
        }
        let most = in_flight.waiting_most;
        let one_more = |waiting: u32| if waiting < most { Some(waiting + 1) } else { None };
        if in_flight.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return Err(QueueFull::OfAll);
        }
        // From here on the guard gives the place in the queue back.
        let mut waiting = Waiting { in_flight, address: None };
        let Some(mut held) = waiting.in_flight.table.hold_if_room(address, NO_TIME) else {
            waiting.in_flight.uncounted.fetch_add(1, Ordering::Relaxed);
            return Ok(waiting);
        };
        let flights = held.load();
        if flights.waiting >= limit {
            return Err(QueueFull::OfKey);
        }
        held.store(Flights { waiting: flights.waiting + 1, ..flights });
        drop(held);
        waiting.address = Some(address);
        Ok(waiting)
    }

    /// How many requests of `key` are under way.
    pub fn running(&self, key: Key) -> u32 {
        self.flights(self.table.address(key, 0)).running
    }

    /// How many requests of `key` wait.
    pub fn waiting(&self, key: Key) -> u32 {
        self.flights(self.table.address(key, 0)).waiting
    }

    /// The state of the table and of the queue. Other threads go on meanwhile, so the figures are of about one moment.
    pub fn stats(&self) -> InFlightStats {
        InFlightStats {
            table: self.table.stats(),
            waiting: self.waiting.load(Ordering::Relaxed),
            uncounted_total: self.uncounted.load(Ordering::Relaxed),
        }
    }

    fn flights(&self, address: Address) -> Flights {
        self.table.find(address).map(|held| held.load()).unwrap_or_default()
    }

    fn release(&self, address: Option<Address>, release: impl FnOnce(Flights) -> Flights) {
        if let Some(mut held) = address.and_then(|address| self.table.find(address)) {
            let flights = held.load();
            held.store(release(flights));
        }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A request that is under way; when it is dropped, it no longer is.
#[must_use = "a request is under way for as long as this is kept"]
pub struct Running<T: Deref<Target = InFlight>> {
    in_flight: T,
    /// None where it is not counted.
    address: Option<Address>,
    count: u32,
}

impl<T: Deref<Target = InFlight>> Running<T> {
    /// How many requests of the key were under way when this one began, itself among them. 1 where it is not counted.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl<T: Deref<Target = InFlight>> Drop for Running<T> {
    fn drop(&mut self) {
        self.in_flight
            .release(self.address, |flights| Flights { running: flights.running.saturating_sub(1), ..flights });
    }
}

impl<T: Deref<Target = InFlight>> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("count", &self.count).finish_non_exhaustive()
    }
}

/// A request that is held back; when it is dropped, its place in the queue is free.
#[must_use = "a place in the queue is taken for as long as this is kept"]
pub struct Waiting<T: Deref<Target = InFlight>> {
    in_flight: T,
    address: Option<Address>,
}

impl<T: Deref<Target = InFlight>> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.in_flight.waiting.fetch_sub(1, Ordering::Relaxed);
        self.in_flight
            .release(self.address, |flights| Flights { waiting: flights.waiting.saturating_sub(1), ..flights });
    }
}

impl<T: Deref<Target = InFlight>> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

/// As many requests of a key are under way as may be, or more, if the limit was lowered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Busy {
    /// How many are under way.
    pub running: u32,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests are under way, as many as may be", self.running)
    }
}

impl std::error::Error for Busy {}

/// No more requests may wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueueFull {
    /// As many of this key wait as may.
    OfKey,
    /// As many of all keys together wait as may.
    OfAll,
}

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QueueFull::OfKey => "as many requests of this key wait as may",
            QueueFull::OfAll => "as many requests of all keys wait as may",
        })
    }
}

impl std::error::Error for QueueFull {}

/// The state of an [`InFlight`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InFlightStats {
    /// Its table. Slots in use are such as have been used; nothing is ever evicted.
    pub table: Stats,
    /// How many requests wait, of all keys.
    pub waiting: u32,
    /// Requests that were let through uncounted, since the table was full of keys under way.
    pub uncounted_total: u64,
}

/// What is under way of one key.
#[derive(Clone, Copy, Default)]
struct Flights {
    running: u32,
    waiting: u32,
}

impl Record for Flights {
    fn rank(&self, _now: Millis) -> u32 {
        self.running.saturating_add(self.waiting)
    }

    fn touched_ms(&self) -> u64 {
        0
    }
}

/// Nothing here ages.
const NO_TIME: Millis = Millis(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_under_way_takes_16_bytes() {
        assert_eq!(Table::<Flights>::SLOT_BYTES, 16);
    }
}
