//! Taking clearances back, and knowing over a restart what was taken back.

use std::sync::Arc;

use portcullis_challenge::{Cohort, MAX_REVOCATIONS, Revocations, RevocationsFull, Revoked, UnixMillis};

use super::ChallengeDesk;

impl ChallengeDesk {
    /// Takes back what `revoked` names, as of `now`.
    ///
    /// # Errors
    ///
    /// Where too much is taken back already.
    pub fn revoke(&self, revoked: Revoked, now: UnixMillis) -> Result<(), RevocationsFull> {
        self.change(|list| list.put_back(revoked, now))
    }

    /// What is taken back.
    pub fn revocations(&self) -> Arc<Revocations> {
        self.revocations.load_full()
    }

    /// Forgets what no clearance can be meant by any more.
    pub fn forget_revoked(&self, now: UnixMillis) {
        if !self.revocations.load().is_empty() {
            let forgotten: Result<(), RevocationsFull> = self.change(|list| {
                list.forget_expired(now);
                Ok(())
            });
            debug_assert!(forgotten.is_ok(), "forgetting needs no place");
        }
    }

    /// Puts back what an earlier process wrote with [`written`](Self::written), as far as it still means something.
    ///
    /// # Errors
    ///
    /// The number of the first line that is none of its.
    pub fn put_back(&self, text: &str, now: UnixMillis) -> Result<usize, usize> {
        let mut read = Vec::new();
        for (at, line) in (1_usize..).zip(text.lines()).take(MAX_REVOCATIONS + 1) {
            read.push(parse(line).ok_or(at)?);
        }
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(read.len());
        }
        // What finds no place any more was there before, and was the oldest.
        let _ = self.change(|list| -> Result<(), RevocationsFull> {
            for (revoked, since) in &read {
                // A clock that ran ahead is not to take back what is yet to be signed.
                list.put_back(*revoked, (*since).min(now))?;
            }
            list.forget_expired(now);
            Ok(())
        });
        Ok(self.revocations.load().len())
    }

    /// What is taken back, one a line, for [`put_back`](Self::put_back).
    pub fn written(&self) -> String {
        let line = |(revoked, since): (Revoked, UnixMillis)| match revoked {
            Revoked::Id(id) => format!("id {} {}\n", hex(&id), since.0),
            Revoked::Cohort(cohort) => format!("cohort {cohort} {}\n", since.0),
            Revoked::All => format!("all - {}\n", since.0),
        };
        self.revocations.load().entries().map(line).collect()
    }

    fn change<E>(&self, change: impl Fn(&mut Revocations) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        self.revocations.rcu(|list| {
            let mut list = Revocations::clone(list);
            result = change(&mut list);
            list
        });
        result
    }
}

fn parse(line: &str) -> Option<(Revoked, UnixMillis)> {
    let mut words = line.split(' ');
    let (kind, name, since) = (words.next()?, words.next()?, words.next()?);
    let revoked = match kind {
        "id" => Revoked::Id(id(name)?),
        "cohort" => Revoked::Cohort(name.parse::<Cohort>().ok()?),
        "all" if name == "-" => Revoked::All,
        _ => return None,
    };
    words.next().is_none().then_some((revoked, UnixMillis(since.parse().ok()?)))
}

/// The name of a clearance, as audit records write it: 32 hexadecimal digits.
pub(crate) fn hex(id: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}

/// A name from its digits.
pub(crate) fn id(text: &str) -> Option<[u8; 16]> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::keys::signing_key;
    use super::super::{ClearanceKeys, Look, Rings};
    use super::*;

    fn desk() -> ChallengeDesk {
        let puzzles = portcullis_challenge::KeyRing::new(&signing_key([1; 32]), &[]).unwrap();
        let rings = Rings { puzzles, clearances: ClearanceKeys::of([2; 32]).unwrap() };
        ChallengeDesk::new(rings, 10, Look::default(), 0)
    }

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn what_is_taken_back_outlives_a_process() {
        let desk = self::desk();
        for revoked in [Revoked::Id([7; 16]), Revoked::Cohort(Cohort(0xc0ffee)), Revoked::All] {
            desk.revoke(revoked, NOW).unwrap();
        }
        let text = desk.written();
        assert_eq!(text, format!("id {} {NOW}\ncohort 00c0ffee {NOW}\nall - {NOW}\n", "07".repeat(16), NOW = NOW.0));
        let again = self::desk();
        assert_eq!(again.put_back(&text, NOW), Ok(3));
        assert_eq!(again.written(), text);
        let tomorrow = UnixMillis(NOW.0 + 25 * 3_600_000);
        assert_eq!(self::desk().put_back(&text, tomorrow), Ok(0), "nothing that it means is good any more");
        again.forget_revoked(tomorrow);
        assert_eq!(again.written(), "");
    }

    #[test]
    fn what_is_no_list_is_refused_whole() {
        let good = format!("id {} 5\n", "07".repeat(16));
        for (text, line) in [
            ("nonsense\n".to_owned(), 1),
            (format!("{good}id 07 5\n"), 2),
            (format!("{good}cohort 00c0ffeg 5\n"), 2),
            (format!("{good}all - -1\n"), 2),
            (format!("{good}all - 5 6\n"), 2),
            (format!("{good}id {} 5", "08".repeat(16)), 2),
        ] {
            let desk = desk();
            assert_eq!(desk.put_back(&text, NOW), Err(line), "{text}");
            assert!(desk.revocations().is_empty(), "{text}");
        }
    }

    #[test]
    fn a_clock_that_ran_ahead_takes_back_nothing_that_is_yet_to_come() {
        let desk = desk();
        desk.put_back("all - 9999999999999\n", NOW).unwrap();
        assert_eq!(desk.written(), format!("all - {}\n", NOW.0));
    }
}
