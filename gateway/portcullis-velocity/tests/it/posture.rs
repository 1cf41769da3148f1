//! What raises the posture of a route, what lowers it, and what must not move it.

use portcullis_velocity::{Millis, Outcome, Posture, RoutePosture, Seen};
use proptest::prelude::*;

use crate::traffic::{MINUTE_MS, Stream, address, meet};

const EVERYDAY: Stream = Stream::of(1, 300, (0, 200), 6, 50);
const ATTACK: Stream = Stream::of(2, 1_000, (100_000, 5_000), 99, 100);
/// Three hours, in which a route learns.
const LEARNED: u64 = 180;

fn route() -> RoutePosture {
    let posture = RoutePosture::new();
    meet(&posture, &[EVERYDAY], 0..LEARNED, |request, met| assert_eq!(met, Posture::Normal, "{request:?}"));
    posture
}

/// The highest posture in some minutes of these streams, after the everyday ones.
fn highest(streams: &[Stream], minutes: u64) -> Posture {
    let posture = route();
    let mut highest = Posture::Normal;
    meet(&posture, streams, LEARNED..LEARNED + minutes, |_, met| highest = highest.max(met));
    highest.max(posture.posture(Millis((LEARNED + minutes) * MINUTE_MS)))
}

#[test]
fn what_raises_it_and_how_far() {
    let suspicious = |share: u64| Stream { per_minute: 300 * share / 100, score: 600, ..EVERYDAY };
    for (name, streams, expected) in [
        ("everyday", vec![EVERYDAY], Posture::Normal),
        ("stuffing from 5,000 networks", vec![EVERYDAY, ATTACK], Posture::UnderAttack),
        ("the same, slowly: 5,000 in an hour", vec![EVERYDAY, Stream { per_minute: 83, ..ATTACK }], Posture::Elevated),
        ("thrice as many", vec![EVERYDAY.times(3)], Posture::Normal),
        (
            "a flash sale of twenty times as many, from more networks",
            vec![Stream { addresses: (0, 4_000), ..EVERYDAY }.times(20)],
            Posture::Elevated,
        ),
        ("a fifth of all with a high score", vec![EVERYDAY, suspicious(20)], Posture::Normal),
        ("four in five with a high score", vec![EVERYDAY, suspicious(400)], Posture::UnderAttack),
        (
            "one client that fails at everything",
            vec![EVERYDAY, Stream { addresses: (9_999, 1), ..ATTACK.times(10) }],
            Posture::Normal,
        ),
        (
            "eight clients that fail at everything",
            vec![EVERYDAY, Stream { addresses: (9_990, 8), ..ATTACK.times(10) }],
            Posture::Normal,
        ),
        ("silence", vec![EVERYDAY.times(0)], Posture::Normal),
    ] {
        assert_eq!(highest(&streams, 15), expected, "{name}");
    }
}

#[test]
fn an_attack_raises_it_within_half_a_minute() {
    let posture = route();
    // Forty seconds into a minute, when most of what it has counted is honest.
    let mut raised = None;
    meet(&posture, &[EVERYDAY, ATTACK.times(2)], LEARNED..LEARNED + 2, |request, met| {
        if met == Posture::UnderAttack && raised.is_none() {
            raised = Some(request.at.0 - LEARNED * MINUTE_MS);
        }
    });
    assert!(raised.is_some_and(|after| after <= 30_000), "{raised:?}");
}

#[test]
fn it_falls_a_step_at_a_time_once_it_has_been_calm_for_long_enough() {
    let posture = route();
    let over = LEARNED + 10;
    meet(&posture, &[EVERYDAY, ATTACK], LEARNED..over, |_, _| ());
    let mut seen = Vec::new();
    meet(&posture, &[EVERYDAY], over..over + 15, |request, met| {
        if seen.last().is_none_or(|(_, last)| *last != met) {
            seen.push(((request.at.0 - over * MINUTE_MS) / MINUTE_MS, met));
        }
    });
    let (minutes, postures): (Vec<u64>, Vec<Posture>) = seen.into_iter().unzip();
    assert_eq!(postures, [Posture::UnderAttack, Posture::Elevated, Posture::Normal]);
    assert!((5..=7).contains(&minutes[1]) && minutes[2] > minutes[1], "{minutes:?}");
}

#[test]
fn silence_lowers_it_too() {
    let posture = route();
    meet(&posture, &[EVERYDAY, ATTACK], LEARNED..LEARNED + 5, |_, _| ());
    let over = LEARNED + 5;
    for (minutes, expected) in [(2, Posture::UnderAttack), (6, Posture::Elevated), (10, Posture::Normal)] {
        assert_eq!(posture.posture(Millis((over + minutes) * MINUTE_MS)), expected, "after {minutes} minutes");
    }
}

#[test]
fn it_does_not_flap_while_an_attack_comes_and_goes() {
    let posture = route();
    let mut changes = 0;
    let mut last = Posture::Normal;
    for round in 0..20 {
        let from = LEARNED + round * 2;
        for (streams, minute) in [(vec![EVERYDAY, ATTACK], from), (vec![EVERYDAY], from + 1)] {
            meet(&posture, &streams, minute..minute + 1, |_, met| {
                changes += u32::from(met != last);
                last = met;
            });
        }
    }
    assert!(changes <= 2, "{changes} changes in 40 minutes");
    assert_eq!(last, Posture::UnderAttack);
}

#[test]
fn an_attack_does_not_become_usual_in_an_hour_and_what_lasts_for_days_does() {
    let posture = route();
    meet(&posture, &[EVERYDAY, ATTACK], LEARNED..LEARNED + 60, |_, _| ());
    assert_eq!(posture.posture(Millis((LEARNED + 60) * MINUTE_MS)), Posture::UnderAttack);

    let posture = route();
    // A change of the origin's: from now on half of its answers are failures.
    let changed = EVERYDAY.failing(50);
    meet(&posture, &[changed], LEARNED..LEARNED + 10, |_, _| ());
    assert!(posture.posture(Millis((LEARNED + 10) * MINUTE_MS)) > Posture::Normal);
    let days = LEARNED + 3 * 24 * 60;
    meet(&posture, &[changed], LEARNED + 10..days, |_, _| ());
    assert_eq!(posture.posture(Millis(days * MINUTE_MS)), Posture::Normal);
}

#[test]
fn a_new_route_is_normal_until_many_fail_there() {
    for (failing, expected) in [(10, Posture::Normal), (95, Posture::UnderAttack)] {
        let posture = RoutePosture::new();
        let stream = EVERYDAY.failing(failing).times(5);
        let mut highest = Posture::Normal;
        meet(&posture, &[stream], 29_000_000..29_000_010, |_, met| highest = highest.max(met));
        assert_eq!(highest, expected, "{failing} of 100 fail");
    }
}

#[test]
fn a_reading_says_what_led_to_it() {
    let posture = route();
    meet(&posture, &[EVERYDAY, ATTACK], LEARNED..LEARNED + 2, |_, _| ());
    let reading = posture.read(Millis((LEARNED + 2) * MINUTE_MS));
    assert_eq!(reading.posture, Posture::UnderAttack);
    assert!(reading.since.0 >= LEARNED * MINUTE_MS && reading.since.0 <= (LEARNED + 1) * MINUTE_MS, "{reading:?}");
    assert!(reading.failures > 900 && reading.departure >= reading.failures, "{reading:?}");
    assert!((1_000..=1_300).contains(&reading.per_minute), "{reading:?}");
    assert!((280..=310).contains(&reading.usual_per_minute), "{reading:?}");
    assert!((650..=850).contains(&reading.failure_ratio) && reading.usual_failure_ratio < 80, "{reading:?}");
    assert!((600..=1_200).contains(&reading.prefixes), "{reading:?}");
}

#[test]
fn a_clock_that_steps_neither_raises_nor_freezes_it() {
    let posture = route();
    meet(&posture, &[EVERYDAY, ATTACK], LEARNED..LEARNED + 5, |_, _| ());
    // An hour back, in the middle of an attack.
    let back = LEARNED - 60;
    meet(&posture, &[EVERYDAY], back..back + 15, |_, _| ());
    assert_eq!(posture.posture(Millis((back + 15) * MINUTE_MS)), Posture::Normal);
    for step in [u64::MAX, 0, u64::MAX / 2, LEARNED * MINUTE_MS, 1] {
        for number in 0..50 {
            posture.note(Seen { prefix: address(number), score: 2_000, outcome: None }, Millis(step));
        }
        assert_eq!(posture.posture(Millis(step)), Posture::Normal, "at {step}");
    }
}

#[test]
fn a_request_that_took_minutes_does_not_set_the_clock_back() {
    let posture = route();
    for number in 0..300 {
        let seen = Seen { prefix: address(number), score: 100, outcome: Some(Outcome::Success) };
        posture.note(seen, Millis(LEARNED * MINUTE_MS + 30_000));
        posture.note(seen, Millis((LEARNED - 5) * MINUTE_MS));
    }
    let reading = posture.read(Millis((LEARNED + 1) * MINUTE_MS));
    assert!((560..=600).contains(&reading.per_minute), "{reading:?}");
}

#[test]
fn names_are_those_of_policies() {
    let names = Posture::ALL.map(Posture::name);
    assert_eq!(names, ["normal", "elevated", "under_attack"]);
    assert!(Posture::Normal < Posture::Elevated && Posture::Elevated < Posture::UnderAttack);
}

#[test]
fn threads_note_at_once() {
    let posture = RoutePosture::new();
    for number in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for turn in 0..500 {
                        let seen = Seen { prefix: address(turn), score: 100, outcome: Some(Outcome::Success) };
                        posture.note(seen, Millis(number * MINUTE_MS + turn * 100));
                    }
                });
            }
        });
    }
    let reading = posture.read(Millis(3 * MINUTE_MS));
    assert_eq!(reading.posture, Posture::Normal);
    assert!((1_900..=2_000).contains(&reading.per_minute), "{reading:?}");
    assert!((440..=500).contains(&reading.prefixes), "{reading:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the background looks, and whatever a client, or a few, do on top of it.
    #[test]
    fn a_client_or_a_few_raise_nothing(
        background in (20_u64..400, 20_u64..300, 0_u64..30, 0_u64..400),
        client in (1_u64..3_000, 0_u64..=100, 0_u64..800, 1_u64..8),
        learned in 0_u64..60,
    ) {
        let (per_minute, addresses, failing, score) = background;
        let background = Stream::of(1, per_minute, (0, addresses), failing, score);
        let (per_minute, failing, score, clients) = client;
        let client = Stream::of(2, per_minute, (999_999, clients), failing, score);
        let alone = RoutePosture::new();
        let beside = RoutePosture::new();
        for minutes in [0..learned, learned..learned + 10] {
            let of = |posture: &RoutePosture, streams: &[Stream]| {
                let mut highest = Posture::Normal;
                meet(posture, streams, minutes.clone(), |_, met| highest = highest.max(met));
                highest
            };
            let streams = if minutes.start == 0 { vec![background] } else { vec![background, client] };
            let without = of(&alone, &[background]);
            prop_assert!(of(&beside, &streams) <= without);
        }
    }

    #[test]
    fn any_times_and_scores_are_taken(
        notes in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u16>(), 0_u8..3, any::<bool>()), 0..300),
    ) {
        let posture = RoutePosture::new();
        for (now, prefix, score, outcome, small) in notes {
            let now = Millis(if small { now % 1_000_000 } else { now });
            let outcome = [None, Some(Outcome::Success), Some(Outcome::Failure)][usize::from(outcome)];
            posture.note(Seen { prefix: address(prefix), score, outcome }, now);
            let reading = posture.read(now);
            for part in [reading.departure, reading.failures, reading.scores, reading.rate, reading.failure_ratio] {
                prop_assert!(part <= 1000, "{:?}", reading);
            }
        }
    }
}
