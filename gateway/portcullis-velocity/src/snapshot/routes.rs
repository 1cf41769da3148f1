//! What routes have learned, as it stands in a snapshot.

use super::{Clocks, Reader, Snapshot, SnapshotError, Writer};
use crate::cohorts::{Cohorts, RememberedCohort};
use crate::key::Key;
use crate::posture::{RememberedPosture, RoutePosture, SCORE_BINS};
use crate::usual::Usual;

/// What one route has learned, under a number that its name alone makes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SavedRoute {
    id: u64,
    posture: RememberedPosture,
    /// What the cohorts of the route are measured by.
    usual: Usual,
    past: [u64; 2],
    cohorts: Vec<(Key, RememberedCohort)>,
}

/// One route of a process: its number, and what it learns by.
#[derive(Clone, Copy, Debug)]
pub struct RouteMemory<'a> {
    /// A number that is the same for the route in every process, such as a hash of its name.
    pub id: u64,
    /// How it fares.
    pub posture: &'a RoutePosture,
    /// Those who look alike on it.
    pub cohorts: &'a Cohorts,
}

impl Snapshot {
    /// The snapshot with what routes have learned; of more than [`Snapshot::MOST_ROUTES`] the rest is left out.
    #[must_use]
    pub fn with_routes<'a>(mut self, routes: impl IntoIterator<Item = RouteMemory<'a>>, at: Clocks) -> Snapshot {
        self.routes = routes
            .into_iter()
            .take(Self::MOST_ROUTES)
            .map(|route| {
                let (usual, past) = route.cohorts.learned();
                let mut cohorts = Vec::new();
                route.cohorts.for_each(at.now, |key, cohort| cohorts.push((key, cohort)));
                SavedRoute { id: route.id, posture: route.posture.remembered(), usual, past, cohorts }
            })
            .collect();
        self
    }

    /// Puts back what these routes had learned, and says of how many of them anything was known. What a route has learned
    /// since is left as it is. The time in between counts as time in which nothing was learned, so what is old is
    /// believed less.
    pub fn restore_routes<'a>(&self, routes: impl IntoIterator<Item = RouteMemory<'a>>, at: Clocks) -> usize {
        let age_minutes = at.unix.0.saturating_sub(self.written.0) / 60_000;
        let mut restored = 0;
        for route in routes {
            let Some(saved) = self.routes.iter().find(|saved| saved.id == route.id) else { continue };
            route.posture.put_back(&saved.posture, age_minutes);
            route.cohorts.put_back_learned(saved.usual, saved.past, age_minutes, at.now);
            for (key, cohort) in &saved.cohorts {
                route.cohorts.put_back(*key, *cohort, age_minutes, at.now);
            }
            restored += 1;
        }
        restored
    }
}

impl SavedRoute {
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.put(&self.id.to_be_bytes());
        write_usual(to, self.posture.usual);
        for score in self.posture.scores {
            to.put(&score.to_be_bytes());
        }
        write_usual(to, self.usual);
        for sum in self.past {
            to.put(&sum.to_be_bytes());
        }
        to.put(&(self.cohorts.len() as u32).to_be_bytes());
        for (key, cohort) in &self.cohorts {
            to.put(&key.to_bytes());
            write_usual(to, cohort.usual);
            for sum in cohort.past {
                to.put(&sum.to_be_bytes());
            }
            to.put(&[cohort.calm_minutes]);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<SavedRoute, SnapshotError> {
        let id = from.u64("number of a route")?;
        let mut posture = RememberedPosture { usual: read_usual(from)?, scores: [0; SCORE_BINS] };
        for score in &mut posture.scores {
            *score = sum(from, "usual scores")?;
        }
        let usual = read_usual(from)?;
        let past = [sum(from, "answers of a route")?, sum(from, "failures of a route")?];
        let number = from.count("number of cohorts", COHORT_BYTES)?;
        let mut cohorts = Vec::with_capacity(number);
        for _ in 0..number {
            let key = from.key()?;
            let usual = read_usual(from)?;
            let past = [sum(from, "answers of a cohort")?, sum(from, "failures of a cohort")?];
            cohorts.push((key, RememberedCohort { usual, past, calm_minutes: from.u8("calm minutes")? }));
        }
        Ok(SavedRoute { id, posture, usual, past, cohorts })
    }
}

fn write_usual(to: &mut Writer, usual: Usual) {
    for sum in usual.sums() {
        to.put(&sum.to_be_bytes());
    }
}

fn read_usual(from: &mut Reader<'_>) -> Result<Usual, SnapshotError> {
    let mut sums = [0; 4];
    for slot in &mut sums {
        *slot = sum(from, "usual figures")?;
    }
    Ok(Usual::of_sums(sums))
}

/// A sum that can have come about: sums of sums stay far from the largest number.
fn sum(from: &mut Reader<'_>, field: &'static str) -> Result<u64, SnapshotError> {
    from.u64(field).and_then(|sum| if sum < 1 << 52 { Ok(sum) } else { Err(SnapshotError::Value { field }) })
}

pub(super) const ROUTE_LEAST_BYTES: usize = 8 + 32 + SCORE_BINS * 8 + 32 + 16 + 4;
const COHORT_BYTES: usize = 16 + 32 + 16 + 1;

#[cfg(test)]
mod tests {
    use super::super::UnixMillis;
    use super::*;
    use crate::bans::Bans;
    use crate::key::{KeyHasher, Secret};
    use crate::outcomes::Outcome;
    use crate::posture::Seen;
    use crate::reputation::Reputation;
    use crate::time::Millis;

    fn key(of: u64) -> Key {
        KeyHasher::new(Secret([3; 16])).key(of, &[])
    }

    #[test]
    fn what_a_route_learned_is_known_after_a_restart_and_believed_less_after_a_long_one() {
        let hasher = KeyHasher::new(Secret([3; 16]));
        let (posture, cohorts) = (RoutePosture::new(), Cohorts::new(64));
        for minute in 0..120 {
            for request in 0..10 {
                let now = Millis(minute * 60_000 + request * 5_000);
                cohorts.note_request(key(1), key(100 + request), None, now);
                cohorts.note_answer(key(1), Outcome::Success, now);
                posture.note(Seen { prefix: key(100 + request), score: 0, outcome: Some(Outcome::Success) }, now);
            }
        }
        let then = Clocks { now: Millis(120 * 60_000), unix: UnixMillis(1_790_000_000_000) };
        let route = RouteMemory { id: 7, posture: &posture, cohorts: &cohorts };
        let snapshot =
            Snapshot::take(&Reputation::new(0), &Bans::new(16), then).with_routes([route], then).to_bytes(&hasher);
        let snapshot = Snapshot::from_bytes(&snapshot, &hasher).unwrap();

        for (away_minutes, is_warm) in [(1, true), (600, false)] {
            let (posture, cohorts) = (RoutePosture::new(), Cohorts::new(64));
            let later = Clocks { now: Millis(1_000), unix: UnixMillis(then.unix.0 + away_minutes * 60_000) };
            let fresh = RouteMemory { id: 7, posture: &posture, cohorts: &cohorts };
            let other = RouteMemory { id: 8, posture: &RoutePosture::new(), cohorts: &Cohorts::new(16) };
            assert_eq!(snapshot.restore_routes([fresh, other], later), 1);
            let known = cohorts.note_request(key(1), key(100), None, later.now);
            assert!((9..=11).contains(&known.usual_per_minute), "after {away_minutes} minutes: {known:?}");
            assert_eq!(known.unknown, 0);
            let stranger = cohorts.note_request(key(2), key(100), None, later.now);
            assert_eq!(stranger.unknown > 0, is_warm, "after {away_minutes} minutes: {stranger:?}");
            posture.posture(later.now);
            let usual = posture.read(Millis(later.now.0 + 60_000)).usual_per_minute;
            assert!((9..=11).contains(&usual), "after {away_minutes} minutes: {usual}");
        }
    }
}
