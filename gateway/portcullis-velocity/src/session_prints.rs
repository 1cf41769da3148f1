use std::fmt;

use crate::key::Key;
use crate::memory::{Recent, SEGMENTS, segments_between};
use crate::table::{self, Record, Stats, Table};
use crate::time::Millis;

/// How many different connections' prints each session was seen with in the last fifteen minutes, in memory that was
/// bounded beforehand.
///
/// A slot takes 56 bytes, keys and lock included. How far back it reaches is as for [`Contexts`](crate::Contexts):
/// every print seen less than 12.5 minutes ago counts, none that was last seen 15 minutes ago does.
///
/// When it is full a new session takes the slot of one of sixteen candidates: of one that is forgotten anyway, else of
/// the one noted least often (each two and a half minutes gone by since halve that), else of the one longest untouched.
/// So a flood of invented sessions displaces invented sessions, not those in use.
pub struct SessionPrints {
    table: Table<Session>,
}

impl SessionPrints {
    /// The smallest budget, in bytes: some thirty sets of eight sessions. A smaller one is raised to it.
    pub const MIN_BUDGET_BYTES: usize = table::MIN_BUDGET_BYTES;

    /// An empty memory of at most `budget_bytes`, used in steps of 56 KiB as sessions come.
    pub fn new(budget_bytes: usize) -> SessionPrints {
        SessionPrints { table: Table::new(budget_bytes) }
    }

    /// A budget, in bytes, in which `sessions` sessions live with next to none displaced: 73 bytes each.
    pub const fn budget_for(sessions: usize) -> usize {
        Table::<Session>::budget_for(sessions)
    }

    /// Remembers a print under a session, and gives how many different ones are remembered, this one among them: from 1
    /// to 7.
    ///
    /// `print` is a hash of what is meant to stay the same while the session is one client's. Half of it is kept: two
    /// prints are taken for one with a probability of 1 in 2³².
    #[inline]
    pub fn note(&self, session: Key, print: u64, now: Millis) -> u8 {
        let mut held = self.table.hold(self.table.address(session, 0), now);
        let mut record = held.load();
        record.advance(now);
        record.notes = record.notes.saturating_add(1);
        record.prints.note((print ^ print >> 32) as u32);
        held.store(record);
        drop(held);
        record.prints.len()
    }

    /// The state of the table. Other threads go on meanwhile, so the figures are of about one moment.
    pub fn stats(&self) -> Stats {
        self.table.stats()
    }
}

impl fmt::Debug for SessionPrints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionPrints").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A session as its slot holds it.
#[derive(Clone, Copy, Default)]
struct Session {
    touched_ms: u64,
    prints: Recent<u32, PRINTS>,
    /// How often it was noted lately: each segment that passes halves it.
    notes: u16,
}

impl Session {
    #[inline]
    fn advance(&mut self, now: Millis) {
        let passed = segments_between(self.touched_ms, now.0);
        self.touched_ms = self.touched_ms.max(now.0);
        if passed > 0 {
            self.prints.age(passed);
            self.notes = if passed < SEGMENTS { self.notes >> passed } else { 0 };
        }
    }
}

impl Record for Session {
    fn rank(&self, now: Millis) -> u32 {
        let mut session = *self;
        session.advance(now);
        u32::from(session.notes) + u32::from(session.prints.len())
    }

    fn touched_ms(&self) -> u64 {
        self.touched_ms
    }
}

/// Prints told apart under one session. The signal on them is at its full strength with four; there is room for seven.
const PRINTS: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_takes_56_bytes() {
        assert_eq!(Table::<Session>::SLOT_BYTES, 56);
        assert_eq!(size_of::<Session>(), 48);
    }
}
