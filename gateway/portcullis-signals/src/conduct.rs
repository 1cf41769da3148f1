//! What is remembered over many requests and many clients.

use crate::Strength;

/// How a route fares, by its own learnt normal. It tightens what the policy says of it, and never loosens anything.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Posture {
    /// As ever.
    #[default]
    Normal,
    /// More requests, more failures or higher scores than usual.
    Elevated,
    /// Far more.
    UnderAttack,
}

impl Posture {
    /// Every posture, from the calmest.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Elevated, Self::UnderAttack];

    /// The stable name, as policies, metrics and audit records write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Elevated => "elevated",
            Self::UnderAttack => "under_attack",
        }
    }
}

/// What is remembered of a client, and of those like it, over many requests.
///
/// The default is that nothing is known, and nothing is held against anybody for it. All counts are of different
/// values, may be estimates, and leave the present request out or not, as is cheaper.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Conduct {
    /// How far the client's cohort on this route (those of the same JA4, HTTP/2 print, header order and autonomous
    /// system) departs from its own past and from the route's.
    pub cohort_surge: Strength,
    /// How far its requests are above what is expected of it, from how many addresses, whether they fail or not.
    pub cohort_growth: Strength,
    /// How surely nobody of this look was on the route before the attack. It says nothing while there is none.
    pub cohort_unknown: Strength,
    /// How many requests of those who look alike asked for the identifiers behind those before, each from another address
    /// than the last: who shares a catalogue out.
    pub cohort_sequence: u32,
    /// How clearly a run of failures, of the client or its cohort on this route, ended in a success.
    pub stuffing_success: Strength,
    /// Users that the client's address named on this route in the last fifteen minutes.
    pub users: u32,
    /// Those of them for whom the origin's answer was a failure.
    pub failed_users: u32,
    /// Networks, by their prefix, that used the request's user, API key, session or token in the last hour; the most of
    /// them.
    pub networks: u32,
    /// Canonical paths that the client's address asked for on this route in the last fifteen minutes.
    pub paths: u32,
    /// Those of them for which the origin's answer was a failure.
    pub missing_paths: u32,
    /// How many of its requests in a row asked for the identifier that follows the one before.
    pub sequence: u32,
    /// How bad the name of the client is: blocks, failed challenges and reports of abuse, decayed.
    pub reputation: Strength,
    /// What the caller has earned in this network by long clean use: none until days of it, full after a month.
    ///
    /// It is of a name and a network together, of which the latter cannot be made up.
    pub credit: Strength,
    /// Whether the caller has been in clean use under all its names in this network for some while, so that it meets its
    /// route in the normal posture whoever attacks that.
    pub is_regular: bool,
    /// How clearly the browser's script contradicted itself or the browser when the clearance was earned.
    pub evidence: Strength,
}

/// How much of it is usual on a route; up to so much says nothing, and four times as much everything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UsualConduct {
    /// Users of one address that fail, in fifteen minutes.
    pub failed_users: u32,
    /// Networks of one user, API key, session or token, in an hour.
    pub networks: u32,
    /// Paths of one address, in fifteen minutes.
    pub paths: u32,
    /// Paths of one address that fail, in fifteen minutes.
    pub missing_paths: u32,
    /// Identifiers one after the other.
    pub sequence: u32,
}

impl UsualConduct {
    /// Everything is usual.
    pub const ANYTHING: Self = Self {
        failed_users: u32::MAX,
        networks: u32::MAX,
        paths: u32::MAX,
        missing_paths: u32::MAX,
        sequence: u32::MAX,
    };
}

/// The values of the fields that a route wants of a request's body and token, in the route's order; see
/// [`Found::text`](crate::Found::text) for when there is one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fields(Vec<Option<Box<str>>>);

impl Fields {
    /// No field at all.
    pub const NONE: &'static Self = &Self(Vec::new());

    /// One value.
    pub fn value(&self, at: usize) -> Option<&str> {
        self.0.get(at)?.as_deref()
    }

    /// Adds the next value.
    pub fn push(&mut self, value: Option<Box<str>>) {
        self.0.push(value);
    }
}

impl FromIterator<Option<Box<str>>> for Fields {
    fn from_iter<I: IntoIterator<Item = Option<Box<str>>>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
