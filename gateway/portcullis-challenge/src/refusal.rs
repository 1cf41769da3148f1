//! Why a token or a solution was not accepted.

use std::error::Error;
use std::fmt;

/// Why a puzzle's solution, a clearance or a verdict was refused.
///
/// The [`reason`](Refusal::reason) is stable: it labels metrics, stands in audit lines, and tells a
/// client whether a new attempt can help. It never says which byte was wrong.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Refusal {
    /// Not of the form that this gateway writes: length, alphabet, version or field out of range.
    Malformed,
    /// Longer than anything this gateway would have asked for. Nothing of it was read.
    TooLarge,
    /// Signed with a key that this gateway does not hold, or no longer holds.
    UnknownKey,
    /// The authentication code does not match: altered, made up, or made for another purpose.
    Forged,
    /// Issued further in the future than clocks may differ.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// Issued for another site, route, network or kind of client.
    OtherBinding,
    /// At least one part of the work is missing or wrong.
    Unsolved,
    /// This puzzle was redeemed before.
    Spent,
    /// Every place in the spent set is taken by a puzzle that could still be replayed.
    Busy,
    /// A wait that was not waited to its end. It counts as used; a new one has to be begun.
    TooEarly,
    /// An operator took it back, alone or with its cohort.
    Revoked,
    /// Used more often, or from more places, than one client does: its budget is spent.
    BurntOut,
}

impl Refusal {
    /// Every refusal, for tables of metrics.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::TooLarge,
        Self::UnknownKey,
        Self::Forged,
        Self::NotYetValid,
        Self::Expired,
        Self::OtherBinding,
        Self::Unsolved,
        Self::Spent,
        Self::Busy,
        Self::TooEarly,
        Self::Revoked,
        Self::BurntOut,
    ];

    /// The stable name: lower case, words joined by hyphens.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::UnknownKey => "unknown-key",
            Self::Forged => "forged",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::OtherBinding => "other-binding",
            Self::Unsolved => "unsolved",
            Self::Spent => "spent",
            Self::Busy => "busy",
            Self::TooEarly => "too-early",
            Self::Revoked => "revoked",
            Self::BurntOut => "burnt-out",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the token is not of a form that this gateway writes; ask for a new one",
            Self::TooLarge => "the solution is larger than any puzzle asks for",
            Self::UnknownKey => "the token was signed with a key that is no longer in use; ask for a new one",
            Self::Forged => "the token was not signed by this gateway for this purpose",
            Self::NotYetValid => "the token is from the future; check the clocks of the machines that share keys",
            Self::Expired => "the token has expired; ask for a new one",
            Self::OtherBinding => "the token was issued for another site, route, network or kind of client",
            Self::Unsolved => "the work is not done: expected every part to reach the asked difficulty",
            Self::Spent => "the puzzle was already redeemed; each one counts once",
            Self::Busy => "too many puzzles are being redeemed; try again in a few seconds",
            Self::TooEarly => "the wait was not over; it begins anew",
            Self::Revoked => "the clearance was taken back; ask for a new puzzle",
            Self::BurntOut => {
                "the clearance was used more often, or from more places, than one client needs; ask for a new puzzle"
            }
        })
    }
}

impl Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_refusal_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.reason()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }
}
