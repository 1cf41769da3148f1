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
            let last = numbers.iter().map(|number| sequences.note(key, *number)).last();
            assert_eq!(last, Some(run), "{numbers:?}");
        }
        let sequences = Sequences::new(0);
        let runs = (0..100_000).map(|number| sequences.note(key, number)).last();
        assert_eq!(runs, Some(u32::from(u16::MAX)), "it stops there");
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
}
