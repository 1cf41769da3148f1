//! The score: how risky a request is, from 0 to 1.

use std::fmt;

/// A risk from 0 to 1, in thousandths.
///
/// Also used for what has the same range: weights, caps, thresholds, and the points of a reason.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Score(u16);

impl Score {
    /// No risk at all.
    pub const ZERO: Self = Self(0);
    /// As risky as can be.
    pub const ONE: Self = Self(1000);

    /// A score of so many thousandths; more than 1000 is 1000.
    pub const fn thousandths(value: u16) -> Self {
        Self(if value > 1000 { 1000 } else { value })
    }

    /// The score in thousandths, from 0 to 1000.
    pub const fn as_thousandths(self) -> u16 {
        self.0
    }
}

impl Score {
    /// What is left of the score without another; none is below 0.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The score as decimal text in ASCII, three digits behind the point.
    pub fn decimal(self) -> [u8; 5] {
        let digit = |unit: u16| b'0' + u8::try_from(self.0 / unit % 10).unwrap_or(0);
        [digit(1000), b'.', digit(100), digit(10), digit(1)]
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.decimal()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_printed_as_a_decimal() {
        for (thousandths, text) in
            [(0, "0.000"), (5, "0.005"), (475, "0.475"), (1000, "1.000"), (1001, "1.000"), (u16::MAX, "1.000")]
        {
            assert_eq!(Score::thousandths(thousandths).to_string(), text);
        }
    }
}
