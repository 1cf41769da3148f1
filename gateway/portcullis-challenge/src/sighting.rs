//! What is seen of a challenge, for audit lines and metrics.

use std::time::Duration;

use crate::clearance::Level;
use crate::evidence::Findings;
use crate::refusal::Refusal;
use crate::time::UnixMillis;

/// One step of one challenge. A challenge that is shown and of which nothing more is seen was abandoned.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// What happened.
    pub step: Step,
    /// When.
    pub at: UnixMillis,
    /// The random bytes that name the puzzle, the wait or the response; absent where no token held.
    pub challenge: Option<[u8; 16]>,
    /// The rung that was asked for or reached.
    pub rung: Level,
    /// The family of the client, from a closed list.
    pub family: &'a str,
    /// The host, or the internal name of a site key.
    pub site: &'a str,
    /// The route.
    pub route: &'a str,
    /// The score that led here, in thousandths.
    pub score_thousandths: u16,
    /// The reasons for it, most points first.
    pub reasons: &'a [&'a str],
    /// What the evidence showed.
    pub findings: Findings,
    /// The id under which the request is found in the audit records.
    pub reference_id: &'a str,
}

/// What happened to a challenge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// It was shown.
    Shown,
    /// It was redeemed, so long after it was shown.
    Solved(Duration),
    /// A redeem was refused.
    Refused(Refusal),
    /// A clearance was renewed.
    Renewed,
    /// A widget's response was verified.
    Verified,
    /// A widget's response was not.
    NotVerified(Refusal),
}

impl Step {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Solved(_) => "solved",
            Self::Refused(_) => "refused",
            Self::Renewed => "renewed",
            Self::Verified => "verified",
            Self::NotVerified(_) => "not-verified",
        }
    }

    /// Why it was refused, where it was.
    #[must_use]
    pub const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) | Self::NotVerified(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// The bounds of a histogram of the time to solve, in seconds: from a fast desktop on a relaxed puzzle
/// to an old phone on a strict one.
pub const SOLVE_SECONDS: [f64; 10] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 180.0];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_step_has_a_name_of_its_own_and_the_bounds_ascend() {
        let steps = [
            Step::Shown,
            Step::Solved(Duration::ZERO),
            Step::Refused(Refusal::Spent),
            Step::Renewed,
            Step::Verified,
            Step::NotVerified(Refusal::Spent),
        ];
        assert_eq!(steps.map(Step::name).into_iter().collect::<BTreeSet<_>>().len(), steps.len());
        assert_eq!(steps.into_iter().filter_map(Step::refusal).count(), 2);
        assert!(SOLVE_SECONDS.is_sorted());
    }
}
