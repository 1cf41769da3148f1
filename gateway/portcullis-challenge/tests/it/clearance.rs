//! Clearances.

use std::time::Duration;

use portcullis_challenge::{
    Binding, Clearance, KeyRing, Level, Lifetimes, MAX_CLEARANCE_TTL, Puzzle, Refusal, Solution, Solved, Strength,
    UnixMillis, encode_nonces, solve,
};
use proptest::prelude::*;

use crate::{HERE, ID, NOW, TTL, decode, elsewhere, encode, key, ring};

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
        assert_eq!(
            check(&value),
            Ok(Clearance { id: ID, level, work: None, issued_at: NOW, expires_at: UnixMillis(NOW.0 + 300_000) })
        );
        assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "fits a cookie: {value}");
        assert!(value.len() <= 128, "is small: {}", value.len());
    }
}

/// A puzzle for which the clearance is good for `clearance`, solved a second after it was issued.
fn solved(strength: Strength, clearance: Duration) -> Solved {
    let puzzle = Puzzle::issue(&ring(), ID, strength, &HERE, NOW, Lifetimes { puzzle: TTL, clearance });
    let text = format!("{}.{}", puzzle.token(), encode_nonces(&solve(&puzzle.seed(), strength)));
    Solution::parse(&text).unwrap().check_work(&ring(), &HERE, UnixMillis(NOW.0 + 1_000)).unwrap()
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
    let travelling = Binding { network: &[], ..HERE };
    let value = Clearance::issue(&ring(), ID, Level::ProofOfWork, &travelling, NOW, TTL);
    assert!(Clearance::verify(&ring(), &value, &travelling, NOW).is_ok());
    assert_eq!(Clearance::verify(&ring(), &value, &HERE, NOW), Err(Refusal::OtherBinding));
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
    let clearance_len = decode(&clearance()).len();
    let bytes = decode(puzzle.token());
    assert!(check(&encode(&bytes[..clearance_len])).is_err());
    assert!(check(&encode(&bytes[bytes.len() - clearance_len..])).is_err());
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_and_never_panics(value in ".*") {
        prop_assert!(check(&value).is_err());
    }

    #[test]
    fn arbitrary_bytes_of_the_right_length_are_refused(bytes in proptest::collection::vec(any::<u8>(), 89)) {
        prop_assert!(check(&encode(&bytes)).is_err());
    }

    /// A site's name that runs into the next field must not help: two bindings, one token.
    #[test]
    fn a_token_is_good_for_its_binding_and_no_other(
        a in ("[ab]{0,3}", "[ab]{0,3}", proptest::collection::vec(0_u8..2, 0..3), proptest::collection::vec(0_u8..2, 0..3)),
        b in ("[ab]{0,3}", "[ab]{0,3}", proptest::collection::vec(0_u8..2, 0..3), proptest::collection::vec(0_u8..2, 0..3)),
    ) {
        let one = Binding { site: &a.0, route: &a.1, network: &a.2, family: &a.3 };
        let other = Binding { site: &b.0, route: &b.1, network: &b.2, family: &b.3 };
        let value = Clearance::issue(&ring(), ID, Level::ProofOfWork, &one, NOW, TTL);
        prop_assert_eq!(Clearance::verify(&ring(), &value, &other, NOW).is_ok(), one == other);
    }
}
