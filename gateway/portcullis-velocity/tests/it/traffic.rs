//! Traffic of a route, minute by minute: who asks, how often, and how often it fails.

use portcullis_velocity::{CohortReading, Cohorts, Key, KeyHasher, Millis, Outcome, RoutePosture, Secret, Seen};

pub const MINUTE_MS: u64 = 60_000;

/// A stream of requests of clients that look alike.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub cohort: u64,
    pub per_minute: u64,
    /// The number of its first address, and how many it comes from.
    pub addresses: (u64, u64),
    /// Of a hundred of its answers.
    pub failing: u64,
    /// The least of its scores in thousandths; they spread over 200.
    pub score: u64,
}

impl Stream {
    pub const fn of(cohort: u64, per_minute: u64, addresses: (u64, u64), failing: u64, score: u64) -> Stream {
        Stream { cohort, per_minute, addresses, failing, score }
    }

    pub const fn times(self, factor: u64) -> Stream {
        Stream { per_minute: self.per_minute * factor, ..self }
    }

    pub const fn failing(self, failing: u64) -> Stream {
        Stream { failing, ..self }
    }
}

/// A request of a stream, when it comes and how it ends.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub at: Millis,
    pub cohort: u64,
    pub address: u64,
    pub outcome: Outcome,
    pub score: u16,
}

/// The requests of a minute of these streams, in order. The same for the same number.
pub fn minute(streams: &[Stream], number: u64) -> Vec<Request> {
    let mut requests = Vec::new();
    for stream in streams {
        let mut dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.cohort << 32;
        let mut throw = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        for turn in 0..stream.per_minute {
            let (first, many) = stream.addresses;
            requests.push(Request {
                at: Millis(number * MINUTE_MS + turn * MINUTE_MS / stream.per_minute),
                cohort: stream.cohort,
                address: first + throw(many),
                outcome: if throw(100) < stream.failing { Outcome::Failure } else { Outcome::Success },
                score: (stream.score + throw(200)) as u16,
            });
        }
    }
    requests.sort_by_key(|request| request.at);
    requests
}

pub fn hasher() -> KeyHasher {
    KeyHasher::new(Secret([0x17; 16]))
}

pub fn cohort(number: u64) -> Key {
    hasher().key(1, &[&number.to_be_bytes()])
}

pub fn address(number: u64) -> Key {
    hasher().key(2, &[&number.to_be_bytes()])
}

/// Sends minutes of these streams to the cohorts of a route, and shows how each request's cohort fares.
pub fn send(
    cohorts: &Cohorts,
    streams: &[Stream],
    minutes: std::ops::Range<u64>,
    mut show: impl FnMut(&Request, CohortReading),
) {
    for request in minutes.flat_map(|number| minute(streams, number)) {
        let key = cohort(request.cohort);
        let reading = cohorts.note_request(key, address(request.address), None, request.at);
        show(&request, reading);
        cohorts.note_answer(key, request.outcome, request.at);
    }
}

/// Sends minutes of these streams to a route, of whose posture it is shown what each request meets.
pub fn meet(
    posture: &RoutePosture,
    streams: &[Stream],
    minutes: std::ops::Range<u64>,
    mut show: impl FnMut(&Request, portcullis_velocity::Posture),
) {
    for request in minutes.flat_map(|number| minute(streams, number)) {
        show(&request, posture.posture(request.at));
        let seen = Seen { prefix: address(request.address), score: request.score, outcome: Some(request.outcome) };
        posture.note(seen, request.at);
    }
}
