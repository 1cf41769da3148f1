use std::fmt;
use std::sync::OnceLock;

use crate::mapping::Mapped;

/// What the records of one database say, kept by the place where each stands in the file.
///
/// Filled as records are met and never emptied: the file does not change, and a new file comes with
/// a new cache. Readers never wait for each other. What finds no room is read anew each time.
pub(crate) struct RecordCache {
    // INVARIANT: as many as a power of two.
    slots: Box<[OnceLock<Slot>]>,
}

struct Slot {
    offset: u32,
    /// `None` for a damaged record.
    record: Option<Mapped>,
}

impl RecordCache {
    /// A cache for some `records` different records.
    pub(crate) fn with_room_for(records: usize) -> Self {
        let slots = records.next_power_of_two().clamp(FEWEST_SLOTS, MOST_SLOTS);
        RecordCache { slots: (0..slots).map(|_| OnceLock::new()).collect() }
    }

    /// What `read` makes of the record at `offset`, which `decode` reads if it is not kept yet.
    #[inline]
    pub(crate) fn with<R>(
        &self,
        offset: usize,
        decode: impl FnOnce() -> Option<Mapped>,
        read: impl FnOnce(Option<&Mapped>) -> R,
    ) -> R {
        let Ok(offset) = u32::try_from(offset) else { return read(decode().as_ref()) };
        // Fibonacci hashing: offsets are multiples of little else than 1, and come in runs.
        let start = (offset.wrapping_mul(0x9e37_79b9) >> 8) as usize;
        let mut fresh = None;
        for step in 0..PROBES {
            let Some(cell) = self.slots.get((start + step) & (self.slots.len() - 1)) else { break };
            match cell.get() {
                Some(slot) if slot.offset == offset => return read(slot.record.as_ref()),
                Some(_) => {}
                None => {
                    fresh = Some(cell);
                    break;
                }
            }
        }
        let record = decode();
        let Some(cell) = fresh else { return read(record.as_ref()) };
        match cell.set(Slot { offset, record }) {
            Ok(()) => read(cell.get().and_then(|slot| slot.record.as_ref())),
            // Another reader was quicker, with the same record or with one of the same hash.
            Err(slot) => read(slot.record.as_ref()),
        }
    }

    /// Bytes on the heap, without what the records themselves point to.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

impl fmt::Debug for RecordCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordCache").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

/// How many slots are looked at before a record counts as not kept.
const PROBES: usize = 16;

const FEWEST_SLOTS: usize = 64;

/// 131,072 slots: some 8 MB, for the 80,000 networks of a whole ASN database.
const MOST_SLOTS: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::asn::Asn;

    fn record(number: u32) -> Mapped {
        Mapped { asn: Some(Asn(number)), ..Mapped::default() }
    }

    #[test]
    fn a_record_is_decoded_once_and_found_again() {
        let cache = RecordCache::with_room_for(1_000);
        let decoded = Cell::new(0);
        for _ in 0..3 {
            for offset in 0..500_usize {
                let asn = cache.with(
                    offset * 37,
                    || {
                        decoded.set(decoded.get() + 1);
                        Some(record(offset as u32))
                    },
                    |record| record.and_then(|record| record.asn),
                );
                assert_eq!(asn, Some(Asn(offset as u32)));
            }
        }
        assert_eq!(decoded.get(), 500);
    }

    #[test]
    fn a_full_cache_and_a_far_offset_are_answered_all_the_same() {
        let cache = RecordCache::with_room_for(1);
        for offset in (0..10_000).chain([usize::MAX]) {
            let asn = cache.with(offset, || Some(record(offset as u32)), |record| record.and_then(|record| record.asn));
            assert_eq!(asn, Some(Asn(offset as u32)), "{offset}");
        }
    }

    #[test]
    fn a_damaged_record_stays_damaged() {
        let cache = RecordCache::with_room_for(1);
        assert!(cache.with(7, || None, |record| record.is_none()));
        assert!(cache.with(7, || Some(record(1)), |record| record.is_none()));
    }
}
