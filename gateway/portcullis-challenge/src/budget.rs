//! What one clearance may be used for before it burns out.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clearance::Clearance;
use crate::network::Network;
use crate::refusal::Refusal;
use crate::time::UnixMillis;

/// How much one clearance may be used, and from how many places.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// Requests in its whole life.
    pub requests: u32,
    /// Prefixes (IPv4 /24, IPv6 /56), at most [`MAX_ADDRESSES`].
    pub addresses: u8,
    /// Autonomous systems, as far as they are known, at most [`MAX_SYSTEMS`].
    pub systems: u8,
}

impl Default for Budget {
    /// A person on a train changes prefixes some ten times and providers two or three times in a
    /// clearance's life; a page that polls each second makes a few thousand requests in an hour.
    fn default() -> Self {
        Self { requests: 20_000, addresses: 12, systems: 4 }
    }
}

/// How much of its budget each clearance in use has spent: a table of fixed size.
///
/// A clearance that is shared is used from more places than one person can be at, and burns out; its
/// holders are challenged again. What is no clearance never gets here: [`Budgets::charge`] takes what
/// [`Clearance::verify`] returned.
///
/// A clearance has eight possible places. When all are taken, an expired one gives way, else the one
/// that was used least; one that has burnt out never does before it expires, so that nobody frees
/// himself by flooding the table. When all eight have burnt out the newcomer is admitted uncounted:
/// strangers are not refused for what others did. Memory is 128 bytes for each place, taken at once.
#[derive(Debug)]
pub struct Budgets {
    sets: Box<[Mutex<[Slot; WAYS]>]>,
    budget: Budget,
    salt: u64,
    burnt: AtomicU64,
    displaced: AtomicU64,
    uncounted: AtomicU64,
}

impl Budgets {
    /// An empty table with places for `capacity` clearances, rounded up to a power of two of sets.
    ///
    /// `salt` is random: the table keeps no prefix, only a number that hangs on it and on the salt.
    #[must_use]
    pub fn new(capacity: usize, budget: Budget, salt: u64) -> Self {
        let sets = capacity.div_ceil(WAYS).next_power_of_two();
        let budget = Budget {
            addresses: budget.addresses.clamp(1, MAX_ADDRESSES),
            systems: budget.systems.clamp(1, MAX_SYSTEMS),
            ..budget
        };
        Self {
            sets: (0..sets).map(|_| Mutex::new([Slot::EMPTY; WAYS])).collect(),
            budget,
            salt,
            burnt: AtomicU64::new(0),
            displaced: AtomicU64::new(0),
            uncounted: AtomicU64::new(0),
        }
    }

    /// Counts one request with `clearance` from `network`.
    ///
    /// # Errors
    ///
    /// [`Refusal::BurntOut`] when the budget is spent, from the request on that went past it until the
    /// clearance expires.
    pub fn charge(&self, clearance: &Clearance, network: &Network, now: UnixMillis) -> Result<(), Refusal> {
        let Some(set) = self.sets.get(self.set_of(clearance)) else { return Ok(()) };
        let mut set = set.lock();
        let Some(slot) = self.slot_of(&mut set, clearance, now) else {
            self.uncounted.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        if slot.is_burnt() {
            return Err(Refusal::BurntOut);
        }
        slot.requests = slot.requests.saturating_add(1);
        let address = mix(network.prefix_number() ^ self.salt);
        let system = network.system().map(|asn| mix(u64::from(asn) ^ self.salt));
        let within = slot.requests <= self.budget.requests
            && admit(&mut slot.addresses, self.budget.addresses, Some(address))
            && admit(&mut slot.systems, self.budget.systems, system);
        if within {
            return Ok(());
        }
        slot.requests = BURNT;
        self.burnt.fetch_add(1, Ordering::Relaxed);
        Err(Refusal::BurntOut)
    }

    /// Whether a request with this clearance would be refused whatever it came from. Nothing is counted.
    #[must_use]
    pub fn is_burnt(&self, clearance: &Clearance, now: UnixMillis) -> bool {
        let Some(set) = self.sets.get(self.set_of(clearance)) else { return false };
        let set = set.lock();
        place_of(&set, clearance, now).and_then(|known| set.get(known)).is_some_and(Slot::is_burnt)
    }

    /// The clearances that burnt out, in all.
    #[must_use]
    pub fn burnt_total(&self) -> u64 {
        self.burnt.load(Ordering::Relaxed)
    }

    /// The clearances whose count was given up for another's before they expired, in all. When this
    /// grows the table is too small for the clearances in use.
    #[must_use]
    pub fn displaced_total(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    /// The requests that found no place to be counted at, in all.
    #[must_use]
    pub fn uncounted_total(&self) -> u64 {
        self.uncounted.load(Ordering::Relaxed)
    }

    /// How many clearances can be counted.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// By the last bytes of its name, which are random, or a hash of what was.
    fn set_of(&self, clearance: &Clearance) -> usize {
        let last_word = clearance.id.last_chunk().copied().unwrap_or_default();
        usize::from_ne_bytes(last_word) & (self.sets.len() - 1)
    }

    fn slot_of<'a>(&self, set: &'a mut [Slot; WAYS], clearance: &Clearance, now: UnixMillis) -> Option<&'a mut Slot> {
        if let Some(known) = place_of(set, clearance, now) {
            let slot = set.get_mut(known)?;
            // What a clearance is renewed to at two times has one name and two ends.
            slot.expires_at = slot.expires_at.max(clearance.expires_at);
            return Some(slot);
        }
        let quietest = set
            .iter_mut()
            .filter(|slot| slot.expires_at <= now || !slot.is_burnt())
            .min_by_key(|slot| if slot.expires_at <= now { 0 } else { slot.requests })?;
        if quietest.expires_at > now {
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
        *quietest = Slot { id: clearance.id, expires_at: clearance.expires_at, ..Slot::EMPTY };
        Some(quietest)
    }
}

/// One clearance in use.
#[derive(Clone, Copy, Debug)]
struct Slot {
    id: [u8; 16],
    expires_at: UnixMillis,
    /// [`BURNT`] when the budget is spent.
    requests: u32,
    /// Zero where free; what is seen is never zero.
    addresses: [u32; MAX_ADDRESSES as usize],
    systems: [u32; MAX_SYSTEMS as usize],
}

impl Slot {
    const EMPTY: Self = Self {
        id: [0; 16],
        expires_at: UnixMillis(0),
        requests: 0,
        addresses: [0; MAX_ADDRESSES as usize],
        systems: [0; MAX_SYSTEMS as usize],
    };

    const fn is_burnt(&self) -> bool {
        self.requests == BURNT
    }
}

/// Whether `seen` is among the first `most` places, or one of those was free for it.
fn admit(places: &mut [u32], most: u8, seen: Option<u32>) -> bool {
    let Some(seen) = seen else { return true };
    for place in places.iter_mut().take(usize::from(most)) {
        if *place == 0 {
            *place = seen;
        }
        if *place == seen {
            return true;
        }
    }
    false
}

/// Spreads a number over 32 bits, never to zero. Two prefixes meet in one number once in four
/// billion pairs; one place too few is then counted.
const fn mix(number: u64) -> u32 {
    let mut n = number;
    n = (n ^ n >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    n = (n ^ n >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    #[expect(clippy::cast_possible_truncation, reason = "the upper half was just folded in")]
    let folded = (n ^ n >> 32) as u32;
    if folded == 0 { 1 } else { folded }
}

/// Where in its set a clearance is counted.
fn place_of(set: &[Slot; WAYS], clearance: &Clearance, now: UnixMillis) -> Option<usize> {
    set.iter().position(|slot| slot.id == clearance.id && slot.expires_at > now)
}

/// The most prefixes that a budget can name.
pub const MAX_ADDRESSES: u8 = 16;
/// The most autonomous systems that a budget can name.
pub const MAX_SYSTEMS: u8 = 8;
const BURNT: u32 = u32::MAX;
/// Enough that the least used of them is little used.
const WAYS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_takes_128_bytes() {
        assert_eq!(size_of::<Slot>(), 128);
    }

    #[test]
    fn nothing_mixes_to_the_mark_of_a_free_place() {
        assert!((0..100_000).all(|n| mix(n) != 0));
        assert_eq!(mix(0), 1);
    }
}
