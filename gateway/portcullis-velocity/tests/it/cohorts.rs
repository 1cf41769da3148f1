//! Who shows as a cohort that surges, and who does not.

use portcullis_velocity::{CohortReading, Cohorts, Millis, Outcome, Posture};
use proptest::prelude::*;

use crate::traffic::{MINUTE_MS, Stream, address, cohort, send};

const CHROME: Stream = Stream::of(1, 400, (0, 300), 6, 50);
const SAFARI: Stream = Stream::of(2, 200, (1_000, 150), 6, 50);
const APP: Stream = Stream::of(3, 300, (2_000, 200), 4, 50);
const EVERYDAY: [Stream; 3] = [CHROME, SAFARI, APP];
/// Three hours, in which a route learns.
const LEARNED: u64 = 180;

/// A route that has known its everyday traffic for three hours.
fn route() -> Cohorts {
    let cohorts = Cohorts::new(256);
    send(&cohorts, &EVERYDAY, 0..LEARNED, |request, reading| {
        assert!(reading.surge < 100, "{request:?}: {reading:?}");
    });
    cohorts
}

/// The surges that requests of one cohort met in some minutes after the everyday ones.
fn surges(streams: &[Stream], of: u64, minutes: u64) -> Vec<u32> {
    let mut surges = Vec::new();
    send(&route(), streams, LEARNED..LEARNED + minutes, |request, reading| {
        if request.cohort == of {
            surges.push(reading.surge);
        }
    });
    surges
}

fn with(stream: Stream) -> Vec<Stream> {
    [&EVERYDAY[..], &[stream]].concat()
}

#[test]
fn an_attack_of_one_request_an_address_with_one_look_shows_after_two_hundred_requests() {
    for (name, streams, of) in [
        ("a look of its own", with(Stream::of(9, 1_000, (100_000, 5_000), 99, 300)), 9),
        ("slowly, 5,000 in an hour", with(Stream::of(9, 83, (100_000, 5_000), 99, 300)), 9),
        ("the app's look", with(Stream::of(3, 2_000, (100_000, 5_000), 99, 300)), 3),
    ] {
        let surges = surges(&streams, of, 20);
        let shown = surges.iter().skip(200).filter(|surge| **surge >= 500).count();
        let share = shown * 100 / (surges.len() - 200);
        assert!(share >= 90, "{name}: {share} of 100 requests met a surge");
    }
}

#[test]
fn honest_crowds_do_not_show() {
    let flash_sale: Vec<Stream> = EVERYDAY.iter().map(|stream| stream.times(10)).collect();
    let new_version = [CHROME, SAFARI, APP.times(0), Stream { cohort: 30, ..APP }];
    let growing_version = [CHROME, SAFARI, APP.times(0), Stream { cohort: 30, per_minute: 500, ..APP }];
    let outage: Vec<Stream> = EVERYDAY.iter().map(|stream| stream.failing(100)).collect();
    for (name, streams, of, most) in [
        ("everyday", EVERYDAY.to_vec(), 1, 50),
        ("a flash sale", flash_sale.clone(), 1, 100),
        ("a flash sale, in the app", flash_sale, 3, 100),
        ("a new version of the app", new_version.to_vec(), 30, 50),
        ("a new version that brings people", growing_version.to_vec(), 30, 150),
        ("an origin that fails everybody", outage, 1, 350),
        ("an office of 500 behind one address", with(Stream::of(7, 600, (5_000, 1), 6, 50)), 7, 0),
        ("one client that tries thousands of passwords", with(Stream::of(7, 6_000, (5_000, 1), 99, 50)), 7, 0),
        ("a partner's nightly batch", with(Stream::of(7, 3_000, (5_000, 4), 0, 50)), 7, 0),
        ("a probe", with(Stream::of(7, 2, (5_000, 3), 0, 50)), 7, 0),
        ("mobile users behind shared addresses", with(Stream::of(7, 300, (5_000, 40), 6, 50)), 7, 250),
    ] {
        let highest = surges(&streams, of, 30).into_iter().max().unwrap();
        assert!(highest <= most, "{name}: {highest}");
    }
}

#[test]
fn an_attack_beside_honest_clients_does_not_show_in_their_cohorts() {
    let streams = with(Stream::of(9, 3_000, (100_000, 5_000), 99, 300));
    send(&route(), &streams, LEARNED..LEARNED + 20, |request, reading| {
        assert!(request.cohort == 9 || reading.surge <= 50, "{request:?}: {reading:?}");
    });
}

#[test]
fn growth_without_failures_is_growth_and_no_surge() {
    let (mut growths, mut surges) = (Vec::new(), Vec::new());
    let streams = with(Stream::of(9, 3_000, (100_000, 5_000), 0, 300));
    send(&route(), &streams, LEARNED..LEARNED + 20, |request, reading| {
        if request.cohort == 9 {
            growths.push(reading.growth);
            surges.push(reading.surge);
        }
    });
    assert!(growths.iter().skip(2_000).all(|growth| *growth >= 900), "{:?}", growths.iter().skip(2_000).min());
    assert_eq!(surges.into_iter().max(), Some(0));
}

#[test]
fn an_attack_is_no_less_of_one_after_an_hour() {
    let surges = surges(&with(Stream::of(9, 1_000, (100_000, 50_000), 99, 300)), 9, 60);
    let last_minute = &surges[surges.len() - 1_000..];
    assert!(last_minute.iter().all(|surge| *surge >= 700), "{:?}", last_minute.iter().min());
}

#[test]
fn a_route_that_is_new_calls_nothing_growth_and_failures_only_what_is_far_from_one_in_ten() {
    let cohorts = Cohorts::new(256);
    send(&cohorts, &EVERYDAY, 0..20, |request, reading| {
        assert!(reading.growth == 0 && reading.surge <= 50, "{request:?}: {reading:?}");
    });
    let mut highest = 0;
    send(&cohorts, &with(Stream::of(9, 1_000, (100_000, 5_000), 99, 300)), 20..24, |_, reading| {
        highest = highest.max(reading.surge);
    });
    assert_eq!(highest, 1_000);
}

#[test]
fn a_reading_says_what_was_counted() {
    let cohorts = route();
    let mut last = CohortReading::default();
    send(&cohorts, &with(Stream::of(9, 600, (100_000, 100_000), 50, 300)), LEARNED..LEARNED + 3, |request, reading| {
        if request.cohort == 9 {
            last = reading;
        }
    });
    assert!((590..=610).contains(&last.per_minute), "{last:?}");
    assert!((1_400..=2_200).contains(&last.addresses), "{last:?}");
    assert!((1_190..=1_200).contains(&last.answers.answers), "{last:?}");
    assert!((450..=550).contains(&last.failure_ratio), "{last:?}");
    assert!(last.usual_per_minute <= 20 && last.usual_failure_ratio <= 120, "{last:?}");
    assert_eq!(last.users, 0);

    let now = Millis((LEARNED + 3) * MINUTE_MS);
    let worst = cohorts.surging(5, now);
    assert_eq!((worst.len(), worst[0].0), (1, cohort(9)));
    assert_eq!(cohorts.read(cohort(9), now).surge, worst[0].1.surge);
    assert_eq!(cohorts.read(cohort(77), now), CohortReading::default());
    let over = cohorts.read(cohort(9), Millis((LEARNED + 6) * MINUTE_MS));
    assert_eq!((over.per_minute, over.growth, over.failing), (0, 0, 0), "two minutes of silence end them");
    assert!(over.lasting > 600, "and what it failed lasts: {over:?}");
    let later = cohorts.read(cohort(9), Millis((LEARNED + 3 + 24 * 60) * MINUTE_MS));
    assert_eq!((later.addresses, later.surge), (0, 0), "until its addresses are of long ago");
}

#[test]
fn x18_invented_looks_displace_invented_looks() {
    let cohorts = route();
    let capacity = cohorts.stats().capacity;
    let now = Millis(LEARNED * MINUTE_MS);
    for look in 0..100_000 {
        cohorts.note_request(cohort(1_000 + look), address(look), None, now);
        cohorts.note_answer(cohort(1_000 + look), Outcome::Failure, now);
    }
    let stats = cohorts.stats();
    assert!(stats.occupied <= capacity && capacity == 256, "{stats:?}");
    for stream in EVERYDAY {
        let usual = cohorts.read(cohort(stream.cohort), now).usual_per_minute;
        assert!(usual.abs_diff(stream.per_minute as u32) < 20, "{stream:?}: {usual}");
    }
}

/// The flood of one whose every client looks like nobody before.
#[test]
fn a_crowd_of_strangers_shows_though_no_two_look_alike_and_none_becomes_known_by_coming_again() {
    let cohorts = route();
    cohorts.in_posture(Posture::Normal);
    let strangers = cohort(999_999);
    let mut shown = Vec::new();
    for minute in LEARNED..LEARNED + 30 {
        send(&cohorts, &EVERYDAY, minute..minute + 1, |_, _| ());
        for client in 0..1_200 {
            let now = Millis(minute * MINUTE_MS + client * 50);
            let unknown = cohorts.note_request(cohort(1_000 + client), address(5_000 + client), None, now).unknown;
            assert!(unknown >= 500, "client {client} in minute {minute}: {unknown}");
            shown.push(cohorts.note_stranger(strangers, address(5_000 + client), None, now).crowding());
        }
    }
    assert!(shown[1_200..].iter().all(|crowding| *crowding >= 700), "{:?}", &shown[1_200..1_260]);
    // A quarter of an hour after the last of them a look becomes known again.
    let later = (LEARNED + 50..LEARNED + 55).map(|minute| Millis(minute * MINUTE_MS));
    let unknown = later.map(|now| cohorts.note_request(cohort(50), address(1), None, now).unknown);
    assert_eq!(unknown.last(), Some(0));
}

/// What a gateway sees that was started while the attack was on already.
#[test]
fn on_a_route_that_knows_nobody_those_are_strangers_who_are_no_crowd_and_they_show_by_their_failures() {
    let cohorts = Cohorts::new(1024);
    let strangers = cohort(999_999);
    let mut surges = Vec::new();
    for number in 0..3_000 {
        let now = Millis(number * 100);
        // One in three is somebody with the browser that most have, and gets in.
        let (look, outcome) = if number % 3 == 0 { (1, Outcome::Success) } else { (1_000 + number, Outcome::Failure) };
        let reading = cohorts.note_request(cohort(look), address(number), None, now);
        assert_eq!((reading.unknown, reading.surge), (0, 0));
        if reading.stranger > 0 {
            assert!(look > 1 || number < 60, "a crowd is no stranger: {number}");
            surges.push((look, cohorts.note_stranger(strangers, address(number), None, now).surge));
            cohorts.note_look_answer(strangers, outcome, now);
        }
        cohorts.note_answer(cohort(look), outcome, now);
    }
    assert!(surges[200..].iter().all(|(_, surge)| *surge >= 900), "{:?}", &surges[200..220]);
    assert!(surges.iter().all(|(look, surge)| *look > 1 || *surge < 700), "{:?}", &surges[..60]);
}

#[test]
fn x18_a_rare_look_of_calm_times_is_known_after_a_flood_of_invented_ones() {
    let cohorts = route();
    cohorts.in_posture(Posture::Normal);
    // Somebody with an odd client, who comes every ten minutes.
    for visit in 0..6 {
        send(&cohorts, &EVERYDAY, LEARNED + visit * 10..LEARNED + visit * 10 + 10, |_, _| ());
        cohorts.note_request(cohort(77), address(7), None, Millis((LEARNED + visit * 10 + 9) * MINUTE_MS));
    }
    let now = LEARNED + 70;
    for look in 0..100_000 {
        cohorts.note_request(cohort(1_000 + look), address(look), None, Millis(now * MINUTE_MS + look / 2));
    }
    let unknown = cohorts.note_request(cohort(77), address(7), None, Millis((now + 1) * MINUTE_MS)).unknown;
    assert_eq!(unknown, 0);
}

#[test]
fn a_clock_that_steps_does_no_harm() {
    let cohorts = route();
    let now = LEARNED * MINUTE_MS;
    for step in [now, now - MINUTE_MS, 0, now + 100_000 * MINUTE_MS, u64::MAX, 5, now] {
        for turn in 0..50 {
            let reading = cohorts.note_request(cohort(1), address(turn), None, Millis(step));
            cohorts.note_answer(cohort(1), Outcome::Success, Millis(step));
            // After seventy days of silence anything is growth, and without failures it is no surge.
            assert_eq!(reading.surge, 0, "at {step}: {reading:?}");
        }
    }
    // The clock goes on from where it was set back to.
    send(&cohorts, &EVERYDAY, 10..100, |_, _| ());
    let reading = cohorts.read(cohort(1), Millis(100 * MINUTE_MS));
    assert!((350..=450).contains(&reading.per_minute), "{reading:?}");
}

#[test]
fn threads_count_every_request() {
    let cohorts = Cohorts::new(64);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cohorts = &cohorts;
            scope.spawn(move || {
                for turn in 0..5_000 {
                    cohorts.note_request(cohort(turn % 5), address(turn), Some(address(thread)), Millis(0));
                    cohorts.note_answer(cohort(turn % 5), Outcome::Success, Millis(0));
                }
            });
        }
    });
    for number in 0..5 {
        let reading = cohorts.read(cohort(number), Millis(0));
        assert_eq!((reading.per_minute, reading.answers.answers, reading.users), (4_000, 4_000, 4));
    }
}

proptest! {
    #[test]
    fn any_times_are_taken_and_readings_keep_within_their_ranges(
        steps in prop::collection::vec((any::<u64>(), 0_u64..20, 0_u64..1_000, any::<bool>(), any::<bool>()), 0..300),
    ) {
        let cohorts = Cohorts::new(0);
        for (now, look, from, fails, small) in steps {
            let now = Millis(if small { now % 10_000_000 } else { now });
            let reading = cohorts.note_request(cohort(look), address(from), None, now);
            for part in [reading.growth, reading.failing, reading.surge, reading.failure_ratio, reading.usual_failure_ratio] {
                prop_assert!(part <= 1000, "{:?}", reading);
            }
            cohorts.note_answer(cohort(look), if fails { Outcome::Failure } else { Outcome::Success }, now);
        }
    }
}

#[test]
fn a_few_tries_an_hour_from_each_of_many_addresses_show_for_days() {
    let guessers = Stream::of(9, 5, (100_000, 300), 99, 300);
    let (mut met, mut shown) = (0, 0);
    send(&route(), &with(guessers), LEARNED..LEARNED + 48 * 60, |request, reading| {
        assert!(request.cohort == 9 || reading.surge <= 50, "{request:?}: {reading:?}");
        if request.cohort == 9 && request.at.0 > (LEARNED + 60) * MINUTE_MS {
            met += 1;
            shown += u32::from(reading.surge >= 900);
        }
    });
    assert!(shown * 100 >= met * 95, "{shown} of {met}");
}

#[test]
fn what_is_held_off_is_remembered_and_successes_end_that() {
    let cohorts = route();
    let attack = with(Stream::of(9, 200, (100_000, 5_000), 99, 300));
    send(&cohorts, &attack, LEARNED..LEARNED + 5, |_, _| ());
    let at = |minute: u64| Millis((LEARNED + minute) * MINUTE_MS);
    let ask = |minute: u64| {
        (0..200).map(|from| cohorts.note_request(cohort(9), address(from), None, at(minute)).surge).min().unwrap()
    };
    for minute in (6..250).step_by(20) {
        assert!(ask(minute) >= 900, "nothing of it was answered since: minute {minute}");
    }
    for answer in 0..400 {
        cohorts.note_answer(cohort(9), Outcome::Success, at(241 + answer / 40));
    }
    assert!(ask(252) <= 300, "{:?}", cohorts.read(cohort(9), at(252)));
}

#[test]
fn a_look_is_known_that_was_there_while_all_was_calm() {
    let cohorts = route();
    let at = |minute: u64| Millis((LEARNED + minute) * MINUTE_MS);
    assert_eq!(cohorts.note_request(cohort(1), address(1), None, at(0)).unknown, 0);
    assert_eq!(cohorts.note_request(cohort(50), address(1), None, at(0)).unknown, 1000);
    for posture in [Posture::Elevated, Posture::UnderAttack] {
        cohorts.in_posture(posture);
        for minute in 1..20 {
            assert_eq!(cohorts.note_request(cohort(50), address(1), None, at(minute)).unknown, 1000, "{posture}");
        }
    }
    cohorts.in_posture(Posture::Normal);
    let unknown = (20..26).map(|minute| cohorts.note_request(cohort(50), address(1), None, at(minute)).unknown);
    assert_eq!(unknown.collect::<Vec<_>>(), [750, 500, 250, 0, 0, 0]);
    let fresh = Cohorts::new(64).note_request(cohort(1), address(1), None, at(0));
    assert_eq!(fresh.unknown, 0, "a route that is new knows nobody");
}

#[test]
fn a_new_look_that_comes_with_many_others_is_no_growth_and_alone_it_is() {
    let cohorts = Cohorts::new(256);
    let few = [Stream::of(1, 3, (0, 300), 0, 50), Stream::of(2, 2, (1_000, 150), 0, 50)];
    send(&cohorts, &few, 0..LEARNED, |_, _| ());
    let crowd = [few[0].times(12), few[1].times(16), Stream::of(9, 37, (100_000, 700), 0, 50)];
    send(&cohorts, &crowd, LEARNED..LEARNED + 12, |request, reading| {
        assert!(reading.growth <= 300, "a flash sale: {request:?}: {reading:?}");
    });
    send(&cohorts, &few, LEARNED + 12..LEARNED + 60, |_, _| ());
    let farm = [few[0], few[1], Stream::of(8, 30, (200_000, 300), 0, 50)];
    let mut growths = Vec::new();
    send(&cohorts, &farm, LEARNED + 60..LEARNED + 105, |request, reading| {
        if request.cohort == 8 {
            growths.push(reading.growth.min(reading.spread));
        }
    });
    let shown = growths.iter().skip(200).filter(|growth| **growth >= 900).count();
    assert!(shown * 100 >= (growths.len() - 200) * 90, "{shown} of {}", growths.len());
}
