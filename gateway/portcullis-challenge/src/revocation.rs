//! Taking clearances back before they expire.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::binding::{Binding, digest};
use crate::clearance::{Clearance, MAX_CLEARANCE_TTL};
use crate::refusal::Refusal;
use crate::time::UnixMillis;

/// A kind of client in one network: those of one user-agent family, one fingerprint and one
/// autonomous system.
///
/// A farm has many addresses and few kinds of client. Its clearances share a cohort, on every site,
/// and can be taken back in one go. Written as 8 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Cohort(pub u32);

impl Cohort {
    /// The cohort of the client that `binding` describes.
    #[must_use]
    pub fn of(binding: &Binding<'_>) -> Self {
        let system = binding.network.system().unwrap_or(0).to_be_bytes();
        let [a, b, c, d, ..] = digest(&[b"portcullis cohort 1", binding.family, binding.fingerprint, &system]).0;
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

impl fmt::Display for Cohort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for Cohort {
    type Err = CohortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(CohortError)
    }
}

/// The text is not a [`Cohort`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CohortError;

impl fmt::Display for CohortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a cohort of 8 hexadecimal digits, as an audit line writes it")
    }
}

impl Error for CohortError {}

/// The clearances that were taken back: a bounded list.
///
/// An entry is kept for [`MAX_CLEARANCE_TTL`], from where on no clearance that it could mean is good.
/// The list is small and changes seldom: the program keeps it behind a pointer that it swaps, and
/// asking an empty one costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    ids: BTreeMap<[u8; 16], UnixMillis>,
    cohorts: BTreeMap<Cohort, UnixMillis>,
    all: Option<UnixMillis>,
}

impl Revocations {
    /// Takes back the clearance that is named `id`, as of `now`.
    ///
    /// # Errors
    ///
    /// [`RevocationsFull`] past [`MAX_REVOCATIONS`].
    pub fn revoke(&mut self, id: [u8; 16], now: UnixMillis) -> Result<(), RevocationsFull> {
        self.make_room(now, self.ids.contains_key(&id))?;
        self.ids.insert(id, now);
        Ok(())
    }

    /// Takes back all clearances of a cohort that were signed up to `now`.
    ///
    /// # Errors
    ///
    /// [`RevocationsFull`] past [`MAX_REVOCATIONS`].
    pub fn revoke_cohort(&mut self, cohort: Cohort, now: UnixMillis) -> Result<(), RevocationsFull> {
        self.make_room(now, self.cohorts.contains_key(&cohort))?;
        self.cohorts.insert(cohort, now);
        Ok(())
    }

    /// Takes back every clearance that was signed up to `now`.
    pub fn revoke_all(&mut self, now: UnixMillis) {
        self.all = self.all.max(Some(now));
    }

    /// Refuses a clearance that was taken back.
    ///
    /// # Errors
    ///
    /// [`Refusal::Revoked`].
    pub fn check(&self, clearance: &Clearance) -> Result<(), Refusal> {
        let signed_before = |limit: Option<&UnixMillis>| limit.is_some_and(|limit| clearance.issued_at <= *limit);
        let revoked = self.ids.contains_key(&clearance.id)
            || signed_before(self.cohorts.get(&clearance.cohort))
            || signed_before(self.all.as_ref());
        if revoked { Err(Refusal::Revoked) } else { Ok(()) }
    }

    /// Drops the entries that no clearance which is good at `now` can be meant by.
    pub fn forget_expired(&mut self, now: UnixMillis) {
        let lives = |since: &UnixMillis| since.after(MAX_CLEARANCE_TTL) > now;
        self.ids.retain(|_, since| lives(since));
        self.cohorts.retain(|_, since| lives(since));
        self.all = self.all.filter(lives);
    }

    /// What was taken back, and when, to be kept and [put back](Self::put_back).
    pub fn entries(&self) -> impl Iterator<Item = (Revoked, UnixMillis)> {
        let ids = self.ids.iter().map(|(id, since)| (Revoked::Id(*id), *since));
        let cohorts = self.cohorts.iter().map(|(cohort, since)| (Revoked::Cohort(*cohort), *since));
        ids.chain(cohorts).chain(self.all.map(|since| (Revoked::All, since)))
    }

    /// Takes back what `revoked` names, as of `since`; what is listed with a later time keeps that.
    ///
    /// # Errors
    ///
    /// [`RevocationsFull`] past [`MAX_REVOCATIONS`].
    pub fn put_back(&mut self, revoked: Revoked, since: UnixMillis) -> Result<(), RevocationsFull> {
        let known = match revoked {
            Revoked::Id(id) => self.ids.get(&id),
            Revoked::Cohort(cohort) => self.cohorts.get(&cohort),
            Revoked::All => self.all.as_ref(),
        };
        let since = known.map_or(since, |known| since.max(*known));
        match revoked {
            Revoked::Id(id) => self.revoke(id, since),
            Revoked::Cohort(cohort) => self.revoke_cohort(cohort, since),
            Revoked::All => {
                self.revoke_all(since);
                Ok(())
            }
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len() + self.cohorts.len() + usize::from(self.all.is_some())
    }

    /// Whether nothing was taken back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn make_room(&mut self, now: UnixMillis, known: bool) -> Result<(), RevocationsFull> {
        if !known && self.len() >= MAX_REVOCATIONS {
            self.forget_expired(now);
        }
        if known || self.len() < MAX_REVOCATIONS { Ok(()) } else { Err(RevocationsFull) }
    }
}

/// What of clearances is taken back together.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Revoked {
    /// The one that is named so.
    Id([u8; 16]),
    /// Those of a kind of client.
    Cohort(Cohort),
    /// All.
    All,
}

/// The most entries of [`Revocations`]: some 4 MiB. Who has more to take back takes back cohorts.
pub const MAX_REVOCATIONS: usize = 65_536;

/// No more can be taken back one by one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RevocationsFull;

impl fmt::Display for RevocationsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MAX_REVOCATIONS} clearances are taken back already; take back a cohort, or all")
    }
}

impl Error for RevocationsFull {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cohort_reads_back_from_its_text() {
        assert_eq!("00c0ffee".parse(), Ok(Cohort(0x00c0_ffee)));
        assert_eq!(Cohort(0x00c0_ffee).to_string(), "00c0ffee");
        for text in ["", "c0ffee", "00c0ffee0", "+0c0ffee", "00c0ffeg", "é0c0ffe"] {
            assert_eq!(text.parse::<Cohort>(), Err(CohortError), "{text}");
        }
    }

    #[test]
    fn the_list_is_bounded_and_frees_what_has_expired() {
        let now = UnixMillis(1_000_000);
        let mut list = Revocations::default();
        for n in 0..MAX_REVOCATIONS {
            assert_eq!(list.revoke((n as u128).to_be_bytes(), now), Ok(()));
        }
        assert_eq!(list.revoke([0xff; 16], now), Err(RevocationsFull));
        assert_eq!(list.revoke([0; 16], now), Ok(()), "what is listed can be listed again");
        assert_eq!(list.revoke_cohort(Cohort(1), now.after(MAX_CLEARANCE_TTL)), Ok(()), "a day later");
        assert_eq!(list.len(), 1);
    }
}
