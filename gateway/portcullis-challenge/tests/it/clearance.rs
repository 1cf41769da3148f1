//! Clearances.

use std::time::Duration;

use portcullis_challenge::{
    Binding, Clearance, Cohort, KeyRing, Level, Lifetimes, MAX_CLEARANCE_TTL, Move, Network, Puzzle, Refusal,
    Revocations, Solution, Solved, Strength, Tolerance, UnixMillis, encode_nonces, solve,
};
use proptest::prelude::*;

use crate::{HERE, ID, NOW, TTL, decode, elsewhere, encode, key, network, ring};

fn clearance() -> String {
    Clearance::issue(&ring(), ID, Level::ProofOfWork, &HERE, NOW, TTL)
}

fn check(value: &str) -> Result<Clearance, Refusal> {
    Clearance::verify(&ring(), value, &HERE, NOW)
}

#[test]
fn a_clearance_says_what_was_granted() {
    for level in Level::ALL {
        let value = Clearance::issue(&ring(), ID, level, &HERE, NOW, TTL);
        let clearance = check(&value).unwrap();
        assert_eq!((clearance.id, clearance.level, clearance.work), (ID, level, None));
        assert_eq!((clearance.granted_at, clearance.issued_at), (NOW, NOW));
        assert_eq!(clearance.expires_at, UnixMillis(NOW.0 + 300_000));
        assert_eq!((clearance.cohort, clearance.moved), (Cohort::of(&HERE), Move::Stayed));
        assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "fits a cookie: {value}");
        assert!(value.len() <= 160, "is small: {}", value.len());
    }
}

/// A puzzle for which the clearance is good for `clearance`, solved a second after `NOW`.
fn solved(strength: Strength, clearance: Duration) -> Solved {
    solved_at(strength, clearance, 1_000)
}

/// The same, solved so many milliseconds after `NOW`.
fn solved_at(strength: Strength, clearance: Duration, millis: u64) -> Solved {
    let at = UnixMillis(NOW.0 + millis);
    let issued_at = UnixMillis(at.0 - 1_000);
    let puzzle = Puzzle::issue(&ring(), ID, strength, &HERE, issued_at, Lifetimes { puzzle: TTL, clearance });
    let text = format!("{}.{}", puzzle.token(), encode_nonces(&solve(&puzzle.seed(), strength)));
    Solution::parse(&text).unwrap().check_work(&ring(), &HERE, at).unwrap()
}

#[test]
fn a_clearance_carries_the_work_and_the_lifetime_that_were_asked() {
    let strength = Strength::new(3, 5).unwrap();
    for (asked, kept) in [
        (Duration::from_secs(7), 7_000),
        (Duration::from_millis(1_500), 1_500),
        (Duration::from_secs(3_600), 3_600_000),
        (Duration::MAX, 86_400_000),
    ] {
        let value = Clearance::for_work(&ring(), ID, &solved(strength, asked), &HERE);
        let clearance = Clearance::verify(&ring(), &value, &HERE, UnixMillis(NOW.0 + 1_000)).unwrap();
        assert_eq!((clearance.level, clearance.work), (Level::ProofOfWork, Some(strength)));
        assert_eq!(clearance.issued_at, UnixMillis(NOW.0 + 1_000));
        assert_eq!(clearance.expires_at.since(clearance.issued_at).as_millis(), kept, "{asked:?}");
    }
}

#[test]
fn a_clearance_covers_what_asks_for_no_more_work() {
    let value = Clearance::for_work(&ring(), ID, &solved(Strength::new(4, 8).unwrap(), TTL), &HERE);
    let clearance = Clearance::verify(&ring(), &value, &HERE, UnixMillis(NOW.0 + 1_000)).unwrap();
    for (bits, count, covered) in
        [(1, 1, true), (4, 8, true), (6, 2, true), (4, 9, false), (6, 3, false), (20, 120, false)]
    {
        assert_eq!(clearance.covers(Strength::new(bits, count).unwrap()), covered, "{bits} bits, {count} parts");
    }
    let without_work = check(&clearance_of(Level::StepUp)).unwrap();
    assert!(!without_work.covers(Strength::new(1, 1).unwrap()));
}

fn clearance_of(level: Level) -> String {
    Clearance::issue(&ring(), ID, level, &HERE, NOW, TTL)
}

#[test]
fn no_bit_of_a_clearance_can_be_flipped() {
    let bytes = decode(&clearance());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let refusal = check(&encode(&bytes)).unwrap_err();
            assert!(
                matches!(refusal, Refusal::Malformed | Refusal::UnknownKey | Refusal::Forged),
                "byte {at}, bit {bit}: {refusal}"
            );
        }
    }
}

#[test]
fn no_character_of_a_clearance_can_be_changed() {
    let value = clearance();
    for at in 0..value.len() {
        for c in ["A", "z", "-", "=", "+", " ", "\0", "é"] {
            if &value[at..=at] != c {
                let changed = format!("{}{c}{}", &value[..at], &value[at + 1..]);
                assert!(check(&changed).is_err(), "{c:?} at {at}");
            }
        }
        assert!(check(&value[..at]).is_err(), "cut to {at}");
    }
}

#[test]
fn no_field_can_be_taken_from_another_clearance() {
    let mine = decode(&clearance());
    let others = [
        ("id", Clearance::issue(&ring(), [9; 16], Level::ProofOfWork, &HERE, NOW, TTL)),
        ("level", Clearance::issue(&ring(), ID, Level::StepUp, &HERE, NOW, TTL)),
        ("expiry", Clearance::issue(&ring(), ID, Level::ProofOfWork, &HERE, NOW, TTL * 2)),
        ("issue", Clearance::issue(&ring(), ID, Level::ProofOfWork, &HERE, UnixMillis(NOW.0 - 1), TTL)),
    ];
    let elsewhere = elsewhere()
        .map(|(what, binding)| (what, Clearance::issue(&ring(), ID, Level::ProofOfWork, &binding, NOW, TTL)));
    for (what, other) in others.into_iter().chain(elsewhere) {
        let other = decode(&other);
        let code = mine.len() - 32;
        let spliced = [&other[..code], &mine[code..]].concat();
        assert_ne!(spliced, other);
        assert_eq!(check(&encode(&spliced)), Err(Refusal::Forged), "{what}");
    }
}

#[test]
fn a_clearance_is_good_only_for_whom_it_was_granted() {
    for (what, binding) in elsewhere() {
        assert_eq!(
            Clearance::verify(&ring(), &clearance(), &binding, NOW),
            Err(Refusal::OtherBinding),
            "another {what}"
        );
    }
}

#[test]
fn a_clearance_without_a_network_survives_a_move() {
    let travelling = Binding { network: Network::ANYWHERE, ..HERE };
    let value = Clearance::issue(&ring(), ID, Level::ProofOfWork, &travelling, NOW, TTL);
    assert!(Clearance::verify(&ring(), &value, &travelling, NOW).is_ok());
    assert_eq!(Clearance::verify(&ring(), &value, &HERE, NOW), Err(Refusal::OtherBinding));
}

/// A phone changes masts, and a dual-stack client comes over either version of IP.
#[test]
fn a_clearance_survives_a_move_within_its_provider() {
    let verify = |network: Network, tolerance: Tolerance| {
        let binding = Binding { network, tolerance, ..HERE };
        Clearance::verify(&ring(), &clearance(), &binding, NOW).map(|clearance| clearance.moved)
    };
    let refused = Err(Refusal::OtherBinding);
    for (what, to, by_prefix, by_system, by_none) in [
        (
            "another address of the prefix",
            network("192.0.2.77", 64496),
            Ok(Move::Stayed),
            Ok(Move::Stayed),
            Move::Stayed,
        ),
        ("another prefix", network("198.51.100.1", 64496), refused, Ok(Move::SameSystem), Move::SameSystem),
        ("IPv6", network("2001:db8::1", 64496), refused, Ok(Move::SameSystem), Move::SameSystem),
        ("IPv6 of an unknown system", network("2001:db8::1", 0), refused, Ok(Move::OtherVersion), Move::OtherVersion),
        ("another provider", network("198.51.100.1", 64497), refused, refused, Move::Elsewhere),
        ("an unknown provider", network("198.51.100.1", 0), refused, refused, Move::Elsewhere),
        ("nowhere", Network::ANYWHERE, refused, refused, Move::Elsewhere),
    ] {
        assert_eq!(verify(to, Tolerance::Prefix), by_prefix, "{what}");
        assert_eq!(verify(to, Tolerance::System), by_system, "{what}");
        assert_eq!(verify(to, Tolerance::Anywhere), Ok(by_none), "{what}");
    }
}

#[test]
fn a_higher_rung_opens_what_a_lower_one_opens() {
    let asked = Strength::new(4, 8).unwrap();
    let (less, same) = (Strength::new(4, 4).unwrap(), asked);
    let opens = |clearance: &Clearance| Level::ALL.map(|least| clearance.opens(least, asked));
    for (level, opened) in [
        (Level::Transparent, [true, false, false, false, false]),
        (Level::NoScript, [true, true, false, false, false]),
        // Granted without work.
        (Level::ProofOfWork, [true, true, false, false, false]),
        (Level::MemoryHard, [true, true, false, false, false]),
        (Level::StepUp, [true, true, true, true, true]),
    ] {
        assert_eq!(opens(&check(&clearance_of(level)).unwrap()), opened, "{level:?}");
    }
    for (level, strength, opened) in [
        (Level::ProofOfWork, same, [true, true, true, false, false]),
        (Level::ProofOfWork, less, [true, true, false, false, false]),
        (Level::MemoryHard, same, [true, true, true, true, false]),
        // Memory that was filled for a cheap route.
        (Level::MemoryHard, less, [true, true, false, false, false]),
    ] {
        let mut solved = solved(strength, TTL);
        solved.level = level;
        let value = Clearance::for_work(&ring(), ID, &solved, &HERE);
        let clearance = Clearance::verify(&ring(), &value, &HERE, UnixMillis(NOW.0 + 1_000)).unwrap();
        assert_eq!(opens(&clearance), opened, "{level:?} {strength:?}");
    }
}

#[test]
fn a_clearance_is_taken_back_by_its_id_or_with_its_cohort() {
    let clearance = check(&clearance()).unwrap();
    let other_site = Binding { site: "blog.example", ..HERE };
    let other_kind = Binding { fingerprint: b"t13d1516h2_8daaf6152771", ..HERE };
    let verified = |binding: &Binding<'_>, now: UnixMillis| {
        let value = Clearance::issue(&ring(), [9; 16], Level::ProofOfWork, binding, now, TTL);
        Clearance::verify(&ring(), &value, binding, now).unwrap()
    };
    let later = NOW.after(Duration::from_secs(1));
    let mut list = Revocations::default();
    assert_eq!(list.check(&clearance), Ok(()));

    list.revoke(ID, NOW).unwrap();
    assert_eq!(list.check(&clearance), Err(Refusal::Revoked));
    assert_eq!(list.check(&verified(&HERE, NOW)), Ok(()), "another id");

    list.revoke_cohort(clearance.cohort, NOW).unwrap();
    assert_eq!(list.check(&verified(&HERE, NOW)), Err(Refusal::Revoked), "the same kind of client");
    assert_eq!(list.check(&verified(&other_site, NOW)), Err(Refusal::Revoked), "on another site");
    assert_eq!(list.check(&verified(&other_kind, NOW)), Ok(()), "another kind");
    assert_eq!(list.check(&verified(&HERE, later)), Ok(()), "granted since then");

    list.revoke_all(NOW);
    assert_eq!(list.check(&verified(&other_kind, NOW)), Err(Refusal::Revoked));
    assert_eq!(list.check(&verified(&other_kind, later)), Ok(()));
    list.forget_expired(NOW.after(MAX_CLEARANCE_TTL));
    assert!(list.is_empty());
}

#[test]
fn a_clearance_is_renewed_for_a_fraction_of_its_work_and_for_a_day_at_most() {
    let full = Strength::new(4, 16).unwrap();
    let (quarter, less) = (Strength::new(4, 4).unwrap(), Strength::new(4, 3).unwrap());
    let at = UnixMillis(NOW.0 + 1_000);
    let first = Clearance::for_work(&ring(), ID, &solved(full, TTL), &HERE);
    let first = Clearance::verify(&ring(), &first, &HERE, at).unwrap();
    let renew = |clearance: &Clearance, work: Solved| {
        let value = clearance.renew(&ring(), &work, &HERE)?;
        Some(Clearance::verify(&ring(), &value, &HERE, work.redeemed_at).unwrap())
    };
    let second = renew(&first, solved_at(quarter, TTL, 250_000)).unwrap();
    assert_eq!((second.level, second.work), (Level::ProofOfWork, Some(full)), "worth what it was");
    assert_eq!((second.granted_at, second.cohort), (first.granted_at, first.cohort));
    assert_eq!(second.expires_at, UnixMillis(NOW.0 + 550_000));

    let (again, third) = (solved_at(quarter, TTL, 260_000), solved_at(quarter, TTL, 500_000));
    assert_ne!(second.id, first.id, "a budget of its own");
    assert_eq!(renew(&first, again).unwrap().id, second.id, "and the same one for whoever renews the first again");
    assert_ne!(renew(&second, third).unwrap().id, second.id);
    assert_eq!(
        renew(&second, solved_at(quarter, TTL, 260_000)),
        None,
        "a budget for each piece of work would be cheap"
    );

    assert_eq!(renew(&first, solved_at(less, TTL, 250_000)), None, "too little work");
    assert_eq!(renew(&first, solved_at(full, Duration::from_secs(1), 250_000)), None, "less time than is left");
    assert_eq!(renew(&check(&clearance_of(Level::StepUp)).unwrap(), solved_at(full, TTL, 250_000)), None);
    assert_eq!(
        renew(&check(&clearance_of(Level::NoScript)).unwrap(), solved_at(full, TTL, 250_000)).unwrap().level,
        Level::ProofOfWork
    );

    let (more, short) = (Strength::new(4, 17).unwrap(), Duration::from_secs(1));
    let raised = renew(&first, solved_at(more, short, 250_000)).unwrap();
    assert_eq!((raised.work, raised.expires_at), (Some(more), first.expires_at), "more work, in the time that is left");

    // A line that is renewed for ever ends after a day.
    let (mut clearance, mut renewals) = (first, 0);
    while let Some(next) = renew(&clearance, solved_at(quarter, TTL, clearance.expires_at.0 - NOW.0 - 1)) {
        (clearance, renewals) = (next, renewals + 1);
        assert!(renewals < 1_000);
    }
    assert_eq!(clearance.expires_at, first.granted_at.after(MAX_CLEARANCE_TTL));
    assert!(!clearance.is_due(clearance.expires_at), "nothing is left to be gained");
}

#[test]
fn a_clearance_is_due_in_the_last_quarter_of_its_life() {
    let clearance = check(&clearance()).unwrap();
    for (now, due) in [(0, false), (224_999, false), (225_000, true), (299_999, true)] {
        assert_eq!(clearance.is_due(UnixMillis(NOW.0 + now)), due, "after {now} ms");
    }
}

/// Two tabs are challenged at once: each has a puzzle and a clearance of its own, and both hold.
#[test]
fn verifying_a_clearance_allocates_nothing() {
    let (ring, value) = (ring(), clearance());
    let seen = allocation_counter::measure(|| {
        _ = Clearance::verify(&ring, &value, &HERE, NOW);
    });
    assert_eq!(seen.count_total, 0);
}

#[test]
fn two_tabs_at_once_do_not_wipe_each_others_clearance() {
    let solved =
        [solved_at(Strength::new(3, 5).unwrap(), TTL, 1_000), solved_at(Strength::new(3, 6).unwrap(), TTL, 1_001)];
    let values = solved.map(|solved| Clearance::for_work(&ring(), solved.id, &solved, &HERE));
    for value in &values {
        assert!(Clearance::verify(&ring(), value, &HERE, UnixMillis(NOW.0 + 1_001)).is_ok());
    }
}

#[test]
fn a_clearance_is_good_until_it_expires() {
    for (now, outcome) in [
        (NOW.0 + 299_999, Ok(())),
        (NOW.0 + 300_000, Err(Refusal::Expired)),
        (NOW.0 + 86_400_000, Err(Refusal::Expired)),
        (NOW.0 - 86_400_000, Err(Refusal::NotYetValid)),
    ] {
        let outcome_now = Clearance::verify(&ring(), &clearance(), &HERE, UnixMillis(now)).map(|_| ());
        assert_eq!(outcome_now, outcome, "at {now}");
    }
    let long = Clearance::issue(&ring(), ID, Level::StepUp, &HERE, NOW, Duration::MAX);
    assert_eq!(check(&long).unwrap().expires_at, NOW.after(MAX_CLEARANCE_TTL));
}

#[test]
fn keys_rotate_without_locking_anyone_out() {
    let value = clearance();
    let verify = |ring: &KeyRing| Clearance::verify(ring, &value, &HERE, NOW).map(|_| ());
    assert_eq!(verify(&KeyRing::new(&key(8), &[key(7)]).unwrap()), Ok(()));
    assert_eq!(verify(&KeyRing::new(&key(9), &[key(8), key(7)]).unwrap()), Ok(()));
    assert_eq!(verify(&KeyRing::new(&key(9), &[key(8)]).unwrap()), Err(Refusal::UnknownKey));
}

#[test]
fn a_puzzle_does_not_pass_for_a_clearance() {
    let puzzle = Puzzle::issue(&ring(), ID, Strength::BALANCED, &HERE, NOW, TTL);
    assert_eq!(check(puzzle.token()), Err(Refusal::Malformed), "not even in length");
    // Cut or filled to the length of one, at either end.
    let clearance_len = decode(&clearance()).len();
    let bytes = [decode(puzzle.token()), vec![0; clearance_len]].concat();
    for start in 0..bytes.len() - clearance_len {
        assert!(check(&encode(&bytes[start..start + clearance_len])).is_err(), "from {start}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_and_never_panics(value in ".*") {
        prop_assert!(check(&value).is_err());
    }

    #[test]
    fn arbitrary_bytes_of_the_right_length_are_refused(bytes in proptest::collection::vec(any::<u8>(), 114)) {
        prop_assert!(check(&encode(&bytes)).is_err());
    }

    /// A site's name that runs into the next field must not help: two bindings, one token.
    #[test]
    fn a_token_is_good_for_its_binding_and_no_other(
        a in ("[ab]{0,3}", "[ab]{0,3}", proptest::collection::vec(0_u8..2, 0..3), proptest::collection::vec(0_u8..2, 0..3)),
        b in ("[ab]{0,3}", "[ab]{0,3}", proptest::collection::vec(0_u8..2, 0..3), proptest::collection::vec(0_u8..2, 0..3)),
    ) {
        let one = Binding { site: &a.0, route: &a.1, family: &a.2, fingerprint: &a.3, ..HERE };
        let other = Binding { site: &b.0, route: &b.1, family: &b.2, fingerprint: &b.3, ..HERE };
        let value = Clearance::issue(&ring(), ID, Level::ProofOfWork, &one, NOW, TTL);
        prop_assert_eq!(Clearance::verify(&ring(), &value, &other, NOW).is_ok(), one == other);
    }
}
