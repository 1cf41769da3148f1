//! The rung without a script.

use std::time::Duration;

use portcullis_challenge::{
    Clearance, Level, Lifetimes, MAX_PUZZLE_TTL, MAX_WAIT, MIN_WAIT, Refusal, SpentSet, UnixMillis, Wait, Waited,
};
use proptest::prelude::*;

use crate::{HERE, ID, NOW, decode, elsewhere, encode, ring};

const LIFETIMES: Lifetimes = Lifetimes { puzzle: Duration::from_secs(600), clearance: Duration::from_secs(1800) };

fn wait() -> Wait {
    Wait::begin(&ring(), ID, Duration::from_secs(5), &HERE, NOW, LIFETIMES)
}

fn redeem(text: &str, after_ms: u64, spent: &SpentSet) -> Result<Waited, Refusal> {
    Wait::redeem(&ring(), text, &HERE, UnixMillis(NOW.0 + after_ms), spent)
}

#[test]
fn a_wait_is_redeemed_in_its_time() {
    for (after_ms, outcome) in [
        (0, Err(Refusal::TooEarly)),
        (4_999, Err(Refusal::TooEarly)),
        (5_000, Ok(())),
        (604_999, Ok(())),
        (605_000, Err(Refusal::Expired)),
        (86_400_000, Err(Refusal::Expired)),
    ] {
        let outcome_then = redeem(wait().token(), after_ms, &SpentSet::new(10)).map(|_| ());
        assert_eq!(outcome_then, outcome, "after {after_ms} ms");
    }
    let behind = Wait::redeem(&ring(), wait().token(), &HERE, UnixMillis(NOW.0 - 86_400_000), &SpentSet::new(10));
    assert_eq!(behind, Err(Refusal::NotYetValid), "a clock that is behind by a day");
    assert_eq!((wait().ready_at(), wait().expires_at()), (UnixMillis(NOW.0 + 5_000), UnixMillis(NOW.0 + 605_000)));
}

#[test]
fn a_page_is_told_to_wait_a_little_longer_than_it_must() {
    for (span_ms, seconds) in [(0, 2), (1_000, 2), (1_001, 3), (5_000, 6), (5_999, 7), (u64::MAX, 61)] {
        let wait = Wait::begin(&ring(), ID, Duration::from_millis(span_ms), &HERE, NOW, LIFETIMES);
        assert_eq!(wait.seconds(), seconds, "{span_ms} ms");
        let spans = MIN_WAIT..=MAX_WAIT;
        assert!(spans.contains(&wait.ready_at().since(NOW)), "{span_ms} ms");
    }
    let long = Lifetimes { puzzle: Duration::MAX, ..LIFETIMES };
    let wait = Wait::begin(&ring(), ID, Duration::ZERO, &HERE, NOW, long);
    assert_eq!(wait.expires_at(), wait.ready_at().after(MAX_PUZZLE_TTL));
}

#[test]
fn whoever_comes_too_early_begins_anew() {
    let (spent, first) = (SpentSet::new(10), wait());
    assert_eq!(redeem(first.token(), 4_000, &spent), Err(Refusal::TooEarly));
    assert_eq!(redeem(first.token(), 5_000, &spent), Err(Refusal::Spent), "the first wait is lost");
    let second = Wait::begin(&ring(), [1; 16], Duration::from_secs(5), &HERE, UnixMillis(NOW.0 + 4_000), LIFETIMES);
    assert_eq!(redeem(second.token(), 8_999, &SpentSet::new(10)), Err(Refusal::TooEarly));
    assert!(redeem(second.token(), 9_000, &spent).is_ok());
}

#[test]
fn a_wait_counts_once_at_whatever_moment() {
    let spent = SpentSet::new(10);
    let wait = wait();
    let outcomes: Vec<_> = (0..100).map(|_| redeem(wait.token(), 6_000, &spent).is_ok()).collect();
    assert_eq!(outcomes.iter().filter(|good| **good).count(), 1);
    assert_eq!(redeem(wait.token(), 1_000, &spent), Err(Refusal::TooEarly), "a clock that stepped back");
}

#[test]
fn a_full_set_lets_nobody_through_early_or_twice() {
    let full = SpentSet::new(0);
    assert_eq!(redeem(wait().token(), 1_000, &full), Err(Refusal::TooEarly));
    assert_eq!(redeem(wait().token(), 6_000, &full), Err(Refusal::Busy));
}

#[test]
fn a_wait_leads_to_a_clearance_of_its_rung_and_for_the_time_that_was_asked() {
    let waited = redeem(wait().token(), 6_000, &SpentSet::new(10)).unwrap();
    assert_eq!(waited.took(), Duration::from_secs(6));
    let value = Clearance::for_wait(&ring(), [2; 16], &waited, &HERE);
    let clearance = Clearance::verify(&ring(), &value, &HERE, waited.redeemed_at).unwrap();
    assert_eq!((clearance.level, clearance.work), (Level::NoScript, None));
    assert_eq!(clearance.expires_at, UnixMillis(NOW.0 + 6_000 + 1_800_000));
}

#[test]
fn a_wait_is_good_only_where_and_for_whom_it_was_begun() {
    for (what, binding) in elsewhere() {
        let refusal = Wait::redeem(&ring(), wait().token(), &binding, UnixMillis(NOW.0 + 6_000), &SpentSet::new(10));
        assert_eq!(refusal, Err(Refusal::OtherBinding), "another {what}");
    }
}

#[test]
fn no_bit_of_a_wait_can_be_flipped() {
    let bytes = decode(wait().token());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let spent = SpentSet::new(10);
            let refusal = redeem(&encode(&bytes), 6_000, &spent).unwrap_err();
            assert!(
                matches!(refusal, Refusal::Malformed | Refusal::UnknownKey | Refusal::Forged),
                "{at}.{bit}: {refusal}"
            );
            assert!(spent.is_empty(), "no table is touched");
        }
        assert!(redeem(&encode(&bytes[..at]), 6_000, &SpentSet::new(10)).is_err(), "cut to {at}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_and_never_panics(text in ".*") {
        prop_assert!(redeem(&text, 6_000, &SpentSet::new(10)).is_err());
    }
}
