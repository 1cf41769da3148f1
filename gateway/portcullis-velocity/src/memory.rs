//! What the tables of contexts and of session prints have in common: fifteen minutes in six segments, and a small set
//! of hashes that forgets by them.

/// How far back anything is remembered: 900,000 ms.
pub(crate) const MEMORY_MS: u64 = SEGMENT_MS * SEGMENTS as u64;
/// The segments of the memory, the one that runs among them.
pub(crate) const SEGMENTS: usize = 6;
/// The length of a segment: two and a half minutes.
pub(crate) const SEGMENT_MS: u64 = 150_000;

/// The segments that began after `then`, up to `now`: 0 where time stepped back, and [`SEGMENTS`] where nothing of
/// `then` is remembered any more.
#[inline]
pub(crate) const fn segments_between(then_ms: u64, now_ms: u64) -> usize {
    let passed = (now_ms / SEGMENT_MS).saturating_sub(then_ms / SEGMENT_MS);
    if passed < SEGMENTS as u64 { passed as usize } else { SEGMENTS }
}

/// The hashes seen in the memory, each once: all of them while they are at most `N`, else the `N` seen last.
///
/// So its length is exact up to `N`: of more than `N` hashes in the memory, the last `N` are in it too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recent<H, const N: usize> {
    hashes: [H; N],
    /// For each hash the segments it will still be remembered, the one that runs among them; 0 where there is none.
    left: [u8; N],
}

impl<H: Copy + Default + PartialEq, const N: usize> Recent<H, N> {
    /// Puts a hash in, or marks it as seen just now.
    #[inline]
    pub(crate) fn note(&mut self, hash: H) {
        let known = self.hashes.iter().zip(&mut self.left).find(|(known, left)| **left > 0 && **known == hash);
        if let Some((_, left)) = known {
            *left = SEGMENTS as u8;
            return;
        }
        // The first of equals: those left as long are forgotten together, so it is all one which of them gives way.
        if let Some((place, left)) = self.hashes.iter_mut().zip(&mut self.left).min_by_key(|(_, left)| **left) {
            *place = hash;
            *left = SEGMENTS as u8;
        }
    }

    /// How many different hashes there are, at most `N`.
    #[inline]
    pub(crate) fn len(&self) -> u8 {
        self.left.iter().map(|left| u8::from(*left > 0)).sum()
    }

    /// Forgets what is too old after so many segments more.
    #[inline]
    pub(crate) fn age(&mut self, segments: usize) {
        for left in &mut self.left {
            *left = left.saturating_sub(segments as u8);
        }
    }
}

impl<H: Copy + Default, const N: usize> Default for Recent<H, N> {
    fn default() -> Recent<H, N> {
        Recent { hashes: [H::default(); N], left: [0; N] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_pass_forwards_only_and_end_with_the_memory() {
        for (then, now, passed) in [
            (0, 0, 0),
            (0, SEGMENT_MS - 1, 0),
            (SEGMENT_MS - 1, SEGMENT_MS, 1),
            (0, MEMORY_MS - 1, 5),
            (0, MEMORY_MS, 6),
            (0, u64::MAX, 6),
            (u64::MAX, 0, 0),
        ] {
            assert_eq!(segments_between(then, now), passed, "{then} to {now}");
        }
    }

    #[test]
    fn a_full_set_keeps_the_hashes_seen_last() {
        let mut set = Recent::<u16, 2>::default();
        for (hash, age, len) in [(0, 0, 1), (0, 1, 1), (7, 3, 2), (0, 1, 2), (9, 0, 2)] {
            set.age(age);
            set.note(hash);
            assert_eq!(set.len(), len, "after {hash}");
        }
        // 7 gave way to 9; 0 was seen in the segment in which 9 was.
        set.age(5);
        assert_eq!(set.len(), 2);
        set.age(1);
        assert_eq!(set.len(), 0);
    }
}
