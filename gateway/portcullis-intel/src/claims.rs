use std::fmt;

use crate::class::{ClassSet, NetworkClass};
use crate::confidence::Confidence;

/// The number of a source in the snapshot that named it: [`Intel::source`](crate::Intel::source).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(pub u16);

/// That an address has a class: how sure that is, and who says so.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClassClaim {
    /// How sure the source is.
    pub confidence: Confidence,
    /// Who says so.
    pub source: SourceId,
}

/// For each class of an address the surest claim, in 36 bytes. A class that nobody claims is absent.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct ClassClaims([Option<ClassClaim>; NetworkClass::ALL.len()]);

impl ClassClaims {
    /// The surest claim of `class`.
    #[inline]
    pub fn of(&self, class: NetworkClass) -> Option<ClassClaim> {
        self.0.get(class as usize).copied().flatten()
    }

    /// The classes that are claimed and the surest claim of each, in the order of [`NetworkClass::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (NetworkClass, ClassClaim)> + '_ {
        NetworkClass::ALL.into_iter().filter_map(|class| Some((class, self.of(class)?)))
    }

    /// The classes that are claimed.
    pub fn classes(&self) -> ClassSet {
        self.iter().map(|(class, _)| class).collect()
    }

    /// Takes in a claim; of two that are as sure, the one that stood first stays.
    #[inline]
    pub(crate) fn add(&mut self, class: NetworkClass, claim: ClassClaim) {
        if let Some(held) = self.0.get_mut(class as usize)
            && held.is_none_or(|held| held.confidence < claim.confidence)
        {
            *held = Some(claim);
        }
    }

    /// Takes in the claims of another.
    #[inline]
    pub(crate) fn add_all(&mut self, others: &ClassClaims) {
        for (held, other) in self.0.iter_mut().zip(&others.0) {
            if let Some(other) = other
                && held.is_none_or(|held| held.confidence < other.confidence)
            {
                *held = Some(*other);
            }
        }
    }
}

impl fmt::Debug for ClassClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_claim_of_a_class_stays_and_the_first_of_equals() {
        let claim = |percent, source| ClassClaim { confidence: Confidence::percent(percent), source: SourceId(source) };
        let mut claims = ClassClaims::default();
        claims.add(NetworkClass::Vpn, claim(50, 1));
        claims.add(NetworkClass::Vpn, claim(50, 2));
        assert_eq!(claims.of(NetworkClass::Vpn), Some(claim(50, 1)));
        let mut others = ClassClaims::default();
        others.add(NetworkClass::Vpn, claim(60, 3));
        others.add(NetworkClass::Tor, claim(1, 3));
        claims.add_all(&others);
        let all: Vec<_> = claims.iter().collect();
        assert_eq!(all, [(NetworkClass::Tor, claim(1, 3)), (NetworkClass::Vpn, claim(60, 3))]);
        assert_eq!(claims.of(NetworkClass::Relay), None);
        assert_eq!(size_of::<ClassClaims>(), 36);
    }
}
