//! How many challenges were shown and never solved, in memory that does not grow with them.

use parking_lot::Mutex;
use portcullis_challenge::{Level, UnixMillis};
use portcullis_signals::Family;

/// What was shown and not yet solved, by the minute in which it was shown.
///
/// A token says when it was issued, so no challenge is kept: one that is solved is taken off its minute, and what is left
/// of a minute when no token of it is good any more was abandoned. Whoever loads a page twice was shown two.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Minutes>);

/// Families and rungs of one minute.
type Open = [[u32; RUNGS.len()]; Family::ALL.len()];

/// The rungs that can be shown.
pub const RUNGS: [Level; 3] = [Level::NoScript, Level::ProofOfWork, Level::MemoryHard];

/// How many minutes a token can be good: the longest puzzle, the longest wait before it, and one for the edge.
const MINUTES: usize = 33;

#[derive(Debug)]
struct Minutes {
    /// A ring: minute `m` since 1970 stands at `m % MINUTES`.
    open: Box<[Open; MINUTES]>,
    newest: u64,
    abandoned: [[u64; RUNGS.len()]; Family::ALL.len()],
}

impl Default for Minutes {
    fn default() -> Self {
        Self { open: Box::new([Open::default(); MINUTES]), newest: 0, abandoned: Default::default() }
    }
}

impl Ledger {
    /// Notes that a challenge was shown.
    pub fn shown(&self, family: Family, rung: Level, now: UnixMillis) {
        let mut minutes = self.0.lock();
        minutes.advance(now);
        if let Some(count) = minutes.cell(now, family, rung) {
            *count = count.saturating_add(1);
        }
    }

    /// Notes that one of a time was solved. Who was shown work and waited instead is taken off the work.
    pub fn solved(&self, family: Family, rung: Level, issued_at: UnixMillis, now: UnixMillis) {
        let mut minutes = self.0.lock();
        minutes.advance(now);
        if minutes.minute(issued_at).is_none() {
            return;
        }
        for rung in [rung, Level::ProofOfWork, Level::MemoryHard, Level::NoScript] {
            if let Some(count) = minutes.cell(issued_at, family, rung).filter(|count| **count > 0) {
                *count -= 1;
                return;
            }
        }
    }

    /// Those that were abandoned, by family and rung.
    pub fn abandoned(&self, now: UnixMillis) -> Vec<(Family, Level, u64)> {
        let mut minutes = self.0.lock();
        minutes.advance(now);
        let of_family = |(family, counts): (Family, [u64; RUNGS.len()])| {
            RUNGS.into_iter().zip(counts).map(move |(rung, count)| (family, rung, count))
        };
        Family::ALL.into_iter().zip(minutes.abandoned).flat_map(of_family).collect()
    }
}

impl Minutes {
    /// Counts what is left of the minutes that are over.
    fn advance(&mut self, now: UnixMillis) {
        let minute = minute_of(now);
        let over = minute.saturating_sub(self.newest).min(MINUTES as u64);
        for back in (0..over).rev() {
            let Some(open) = place(minute - back).and_then(|at| self.open.get_mut(at)) else { continue };
            for (abandoned, left) in self.abandoned.iter_mut().flatten().zip(open.iter_mut().flatten()) {
                *abandoned += u64::from(std::mem::take(left));
            }
        }
        self.newest = self.newest.max(minute);
    }

    /// The minute of a time that is not over.
    fn minute(&self, at: UnixMillis) -> Option<u64> {
        let minute = minute_of(at);
        (minute <= self.newest && minute + MINUTES as u64 > self.newest).then_some(minute)
    }

    fn cell(&mut self, at: UnixMillis, family: Family, rung: Level) -> Option<&mut u32> {
        let at = place(self.minute(at)?)?;
        let open = self.open.get_mut(at)?;
        let family = Family::ALL.iter().position(|known| *known == family)?;
        let rung = RUNGS.iter().position(|known| *known == rung.max(Level::NoScript))?;
        open.get_mut(family)?.get_mut(rung)
    }
}

const fn minute_of(at: UnixMillis) -> u64 {
    at.0 / 60_000
}

fn place(minute: u64) -> Option<usize> {
    usize::try_from(minute % MINUTES as u64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_800_000_000_000);

    fn later(minutes: u64) -> UnixMillis {
        UnixMillis(START.0 + minutes * 60_000)
    }

    fn left(ledger: &Ledger, now: UnixMillis) -> Vec<(Family, Level, u64)> {
        ledger.abandoned(now).into_iter().filter(|(_, _, count)| *count > 0).collect()
    }

    #[test]
    fn what_is_shown_and_not_solved_in_its_time_was_abandoned() {
        let ledger = Ledger::default();
        for _ in 0..3 {
            ledger.shown(Family::Firefox, Level::ProofOfWork, START);
        }
        ledger.shown(Family::Other, Level::MemoryHard, later(5));
        ledger.solved(Family::Firefox, Level::ProofOfWork, START, later(2));
        assert_eq!(left(&ledger, later(32)), [], "still good");
        assert_eq!(left(&ledger, later(33)), [(Family::Firefox, Level::ProofOfWork, 2)]);
        ledger.solved(Family::Firefox, Level::ProofOfWork, START, later(34));
        let both = [(Family::Firefox, Level::ProofOfWork, 2), (Family::Other, Level::MemoryHard, 1)];
        assert_eq!(left(&ledger, later(10_000)), both, "a gap of days counts each once");
    }

    #[test]
    fn who_waits_instead_of_working_has_abandoned_nothing() {
        let ledger = Ledger::default();
        ledger.shown(Family::Firefox, Level::ProofOfWork, START);
        ledger.solved(Family::Firefox, Level::NoScript, START, later(1));
        assert_eq!(left(&ledger, later(100)), []);
    }

    #[test]
    fn a_clock_that_steps_back_loses_nothing() {
        let ledger = Ledger::default();
        ledger.shown(Family::Safari, Level::ProofOfWork, later(10));
        ledger.shown(Family::Safari, Level::ProofOfWork, START);
        assert_eq!(left(&ledger, later(100)), [(Family::Safari, Level::ProofOfWork, 2)]);
    }
}
