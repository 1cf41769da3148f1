//! A scenario as it is meant: nothing in it is wrong any more.

mod compile;

use std::net::IpAddr;
use std::time::Duration;

use http::Method;

use super::stacks::Stacks;
use super::text::Text;
use crate::commands::explain::captured;

pub(super) use compile::load;

/// A scenario.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) lasts: Duration,
    pub(super) stacks: Stacks,
    pub(super) intel: portcullis_intel::Intel,
    pub(super) kinds: Vec<Clients>,
}

/// Clients of one kind.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) name: String,
    pub(super) intent: Intent,
    pub(super) count: u32,
    /// Their addresses; never none.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) moves: Moves,
    /// The numbers of their stacks; never none.
    pub(super) stacks: Vec<usize>,
    pub(super) prints: Prints,
    pub(super) users: Users,
    pub(super) from: Duration,
    pub(super) until: Duration,
    /// How long after one visit of a client its next one comes.
    pub(super) apart: Duration,
    pub(super) arrivals: Arrivals,
    /// The hours of the day, the second one not counted in.
    pub(super) hours: Option<(u64, u64)>,
    /// How long after one request of a visit the next one comes.
    pub(super) gap: Duration,
    /// The requests of a visit.
    pub(super) requests: Vec<Request>,
    pub(super) bar: Bar,
}

/// Whether clients are to be stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Intent {
    Honest,
    Attack,
}

/// Whether a client keeps its address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moves {
    Keep,
    EachVisit,
}

/// Whose the prints are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prints {
    Stack,
    Client,
}

/// Whom requests name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Users {
    /// The client's own user.
    Own,
    /// A new one each visit.
    New,
    /// The next one of so many, each visit.
    Next(u32),
    /// Any one of so many, each visit.
    Any(u32),
}

/// When visits come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrivals {
    Even,
    Random,
}

/// One request of a visit.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) like: captured::Kind,
    pub(super) method: Method,
    pub(super) path: Text,
    pub(super) headers: Vec<(String, Text)>,
    /// The members of a JSON object; no body where there are none.
    pub(super) body: Vec<(String, Text)>,
    pub(super) chance: f64,
    pub(super) times: u32,
    /// The origin's statuses but the last, each with the chance that it or one before it comes.
    pub(super) answers: Vec<(f64, u16)>,
    pub(super) answer: u16,
}

/// What is expected: a share of the requests that are challenged or worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) share: f64,
    /// The first requests of all clients of the kind, which are not counted.
    pub(super) after_requests: u64,
    /// The time from their first request in which they are not counted.
    pub(super) after: Duration,
}

impl Intent {
    /// What is expected where a scenario says nothing.
    pub(super) const fn bar(self) -> Bar {
        match self {
            Self::Honest => Bar { share: 0.001, after_requests: 0, after: Duration::ZERO },
            Self::Attack => Bar { share: 0.9, after_requests: 200, after: Duration::ZERO },
        }
    }

    /// The name in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Attack => "attack",
        }
    }
}
