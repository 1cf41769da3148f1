use std::fmt;
use std::num::NonZeroU8;

/// How sure a source is of what it says, in percent: 1 to 100.
///
/// There is no confidence of nothing: what a source does not say is absent.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Confidence(NonZeroU8);

impl Confidence {
    /// No doubt at all: 100 percent.
    pub const FULL: Confidence = Confidence::percent(100);

    /// This many percent; 0 counts as 1, and what is above 100 as 100.
    pub const fn percent(percent: u8) -> Self {
        let held = if percent > 100 { 100 } else { percent };
        match NonZeroU8::new(held) {
            Some(percent) => Confidence(percent),
            None => Confidence(NonZeroU8::MIN),
        }
    }

    /// A share from 0 to 1, rounded to whole percent; `None` for what is outside, or no number.
    pub fn from_share(share: f64) -> Option<Self> {
        // INVARIANT: from 0 to 100, so the cast drops nothing but the fraction.
        (0.0..=1.0).contains(&share).then(|| Confidence::percent((share * 100.0).round() as u8))
    }

    /// In percent: 1 to 100.
    pub const fn as_percent(self) -> u8 {
        self.0.get()
    }
}

/// As a share of 1 with two digits, as rules and lists write it: `0.95`.
impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0.get() / 100, self.0.get() % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_kept_in_whole_percent() {
        for (share, percent) in [
            (0.0, Some(1)),
            (0.004, Some(1)),
            (0.955, Some(96)),
            (1.0, Some(100)),
            (1.001, None),
            (-0.1, None),
            (f64::NAN, None),
        ] {
            assert_eq!(Confidence::from_share(share).map(Confidence::as_percent), percent, "{share}");
        }
    }

    #[test]
    fn a_confidence_is_written_as_a_share() {
        assert_eq!(Confidence::percent(7).to_string(), "0.07");
        assert_eq!(Confidence::percent(200).to_string(), "1.00");
    }
}
