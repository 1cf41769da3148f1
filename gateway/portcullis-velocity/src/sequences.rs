use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::Key;

/// How many numbers in a row each key asked for one after the other: who copies a catalogue counts upwards.
///
/// A fixed table without buckets: a key that falls to the place of another begins anew, and so does the other when it
/// comes next. So a run may be taken for shorter than it is and never for longer, but for keys that share a place and 16
/// bits of their hash.
pub struct Sequences {
    // INVARIANT: as many as a power of two.
    places: Box<[AtomicU64]>,
}

/// A place: 32 bits of the number that comes next, 16 of the key, 16 of the length of the run.
const TAG_SHIFT: u32 = 16;
const NEXT_SHIFT: u32 = 32;

impl Sequences {
    /// A table of as many places as fit into `budget_bytes`, of 8 bytes each, and at least 64.
    pub fn new(budget_bytes: usize) -> Sequences {
        let places = (budget_bytes / size_of::<AtomicU64>()).max(64);
        let places = if places.is_power_of_two() { places } else { places.next_power_of_two() / 2 };
        Sequences { places: (0..places).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Notes that a key asked for a number, and gives how many it asked for one after the other, this one among them.
    ///
    /// The same number again is none of them; the low 32 bits of numbers are compared.
    pub fn note(&self, key: Key, number: u64) -> u32 {
        let Some(place) = self.places.get((key.place ^ key.place >> 32) as usize & (self.places.len() - 1)) else {
            return 1;
        };
        let (number, tag) = (number as u32, key.tag as u16);
        let held = place.load(Ordering::Relaxed);
        let (next, is_same, run) = ((held >> NEXT_SHIFT) as u32, (held >> TAG_SHIFT) as u16 == tag, held as u16);
        let run = match (is_same && run > 0, number.wrapping_add(1) == next) {
            (true, true) => run,
            (true, false) if number == next => run.saturating_add(1),
            _ => 1,
        };
        let next = u64::from(number.wrapping_add(1)) << NEXT_SHIFT;
        place.store(next | u64::from(tag) << TAG_SHIFT | u64::from(run), Ordering::Relaxed);
        run.into()
    }
}

impl fmt::Debug for Sequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequences").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

/// How far those who look alike went through numbers together: who shares a catalogue out asks for each number but once,
/// from one address after the other.
///
/// Kept is the highest number. One that is higher by no more than 64 moves it, and counts where it comes from
/// another address than the one that moved it last; one as far below is left out of account, since those who share work
/// overtake each other; any other takes four off. So of people who look at one thing and another nothing is left, a
/// single client counts for nothing here, and of those who hide among three times as many honest ones neither.
///
/// A fixed table without buckets, as [`Sequences`]: a key that falls to the place of another begins anew.
pub struct SharedSequences {
    // INVARIANT: as many as a power of two.
    places: Box<[AtomicU64]>,
}

/// A place: 32 bits of the highest number, 12 of the key, 8 of the address, 12 of the length of the run.
const RUN_BITS: u32 = 12;
const ADDRESS_BITS: u32 = 8;
const ADDRESS_SHIFT: u32 = RUN_BITS;
const SHARED_TAG_SHIFT: u32 = RUN_BITS + ADDRESS_BITS;
const HIGHEST_SHIFT: u32 = 32;

/// How far ahead or behind a number may be for those who share work: some tens of workers.
const APART: u32 = 64;
/// What a number elsewhere takes off a run.
const ELSEWHERE: u16 = 4;

impl SharedSequences {
    /// The longest run that is told.
    pub const LONGEST: u32 = (1 << RUN_BITS) - 1;

    /// A table of as many places as fit into `budget_bytes`, of 8 bytes each, and at least 64.
    pub fn new(budget_bytes: usize) -> SharedSequences {
        let places = (budget_bytes / size_of::<AtomicU64>()).max(64);
        let places = if places.is_power_of_two() { places } else { places.next_power_of_two() / 2 };
        SharedSequences { places: (0..places).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Notes that one of a key's addresses asked for a number, and gives how many numbers they went through together.
    ///
    /// The low 32 bits of numbers are compared.
    pub fn note(&self, key: Key, address: Key, number: u64) -> u32 {
        let Some(place) = self.places.get((key.place ^ key.place >> 32) as usize & (self.places.len() - 1)) else {
            return 0;
        };
        let (number, tag) = (number as u32, u64::from(key.tag as u16 & 0x0fff));
        let address = (address.place ^ address.tag).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - ADDRESS_BITS);
        let held = place.load(Ordering::Relaxed);
        let (highest, is_same) = ((held >> HIGHEST_SHIFT) as u32, held >> SHARED_TAG_SHIFT & 0x0fff == tag);
        let (last, run) = (held >> ADDRESS_SHIFT & 0xff, (held & u64::from(Self::LONGEST)) as u16);
        let ahead = number.wrapping_sub(highest);
        let (highest, last, run) = match () {
            () if !is_same || run == 0 => (number, address, 1),
            () if ahead == 0 || highest.wrapping_sub(number) <= APART => (highest, last, run),
            () if ahead <= APART && address != last => (number, address, (run + 1).min(Self::LONGEST as u16)),
            () if ahead <= APART => (number, last, run),
            () => (highest, last, run.saturating_sub(ELSEWHERE)),
        };
        place.store(
            u64::from(highest) << HIGHEST_SHIFT | tag << SHARED_TAG_SHIFT | last << ADDRESS_SHIFT | u64::from(run),
            Ordering::Relaxed,
        );
        run.into()
    }
}

impl fmt::Debug for SharedSequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSequences").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyHasher, Secret};

    #[test]
    fn a_run_is_of_numbers_that_follow_each_other() {
        let key = KeyHasher::new(Secret([7; 16])).key(1, &[b"a"]);
        for (numbers, run) in [
            (&[5][..], 1),
            (&[5, 6, 7, 8], 4),
            (&[5, 5, 6, 6, 7], 3),
            (&[5, 6, 8, 9], 2),
            (&[9, 8, 7], 1),
            (&[u64::from(u32::MAX), 1 << 32, (1 << 32) + 1], 3),
            (&[0, 1], 2),
        ] {
            let sequences = Sequences::new(1 << 10);
            let last = numbers.iter().fold(0, |_, number| sequences.note(key, *number));
            assert_eq!(last, run, "{numbers:?}");
        }
        let sequences = Sequences::new(0);
        let longest = (0..100_000).fold(0, |_, number| sequences.note(key, number));
        assert_eq!(longest, u32::from(u16::MAX), "it stops there");
    }

    #[test]
    fn keys_do_not_count_for_each_other() {
        let sequences = Sequences::new(1 << 16);
        let hasher = KeyHasher::new(Secret([7; 16]));
        for number in 0..50_u64 {
            for client in 0..20_u8 {
                let run = sequences.note(hasher.key(1, &[&[client]]), number * u64::from(client + 1));
                assert!(client == 0 || run <= 1 || number == 0, "{client} {number} {run}");
            }
        }
    }

    /// The length of the run after so many requests, each given by its address and number.
    fn shared(requests: impl Iterator<Item = (u64, u64)>) -> u32 {
        let hasher = KeyHasher::new(Secret([7; 16]));
        let sequences = SharedSequences::new(1 << 10);
        let address = |number: u64| hasher.key(2, &[&number.to_be_bytes()]);
        requests.fold(0, |_, (from, number)| sequences.note(hasher.key(1, &[b"a"]), address(from), number))
    }

    #[test]
    fn who_shares_a_catalogue_out_goes_through_it_and_people_do_not() {
        // A number without a pattern.
        let any = |at: u64, below: u64| ((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) & 0xffff_ffff) % below.max(1);
        let jumbled = |at: u64| at / 8 * 8 + (at * 5) % 8;
        for (name, run, least, most) in [
            ("sixty that take turns", shared((0..600).map(|at| (at % 60, at))), 500, 600),
            ("sixty that overtake each other", shared((0..600).map(|at| (at % 60, jumbled(at)))), 120, 600),
            ("one client", shared((0..600).map(|at| (1, at))), 0, 1),
            ("people", shared((0..600).map(|at| (at, any(at, 5_000) % 500))), 0, 20),
            (
                "a few among people",
                shared(
                    (0..2_000).map(|at| if at % 4 == 0 { (at % 60, at / 4) } else { (at, 10_000 + any(at, 5_000)) }),
                ),
                0,
                20,
            ),
        ] {
            assert!((least..=most).contains(&run), "{name}: {run}");
        }
        assert_eq!(shared((0..9_000).map(|at| (at % 60, at))), SharedSequences::LONGEST, "it stops there");
    }
}
