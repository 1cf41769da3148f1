//! Limits: how much one key may do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use portcullis_signals::Strength;

use super::{Action, Mode, Place, Route};

/// A limit on how much one key may do.
///
/// It has one level or several, from the softest action to the hardest, and each counts by itself. Levels of the same
/// action go together: what one of them refuses counts for none of them. What a softer level refuses counts for the
/// harder ones all the same, or nobody who is challenged would ever be blocked. What a ban refuses counts for nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit {
    /// The name, unique in its route.
    pub name: Arc<str>,
    /// A stable number for what is counted: the same over a reload that leaves its meaning as it is, and the same for
    /// all limits of one budget.
    pub counter: u64,
    /// What makes one key, in order.
    pub key: Vec<KeyPart>,
    /// What becomes of a request that lacks a part of it.
    pub on_missing: OnMissing,
    /// What is counted.
    pub count: Count,
    /// How much of it one request or failure is.
    pub cost: Cost,
    /// Its levels, from the softest action; at most [`Limit::MAX_LEVELS`].
    pub levels: Vec<Level>,
    /// Whether it acts.
    pub mode: Mode,
}

/// One level of a limit: a bound, and what is done past it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Level {
    /// Its name, unique in its route: that of the limit, with the window where there are several. Clients see it.
    pub name: Arc<str>,
    /// A stable number for its counter among those of the limit's key; an edit of its rate leaves it as it is.
    pub counter: u64,
    /// How much is admitted.
    pub bound: Bound,
    /// What is done past it.
    pub over: Over,
}

/// How much a level admits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bound {
    /// So many in a sliding window.
    Window {
        /// How many, from 1.
        limit: u32,
        /// The window's length.
        window: Duration,
    },
    /// A bucket of tokens that fills evenly (the generic cell rate algorithm).
    Bucket {
        /// How many tokens come in one window, from 1.
        limit: u32,
        /// The window's length.
        window: Duration,
        /// How many it holds, and so admits at once, from 1.
        burst: u32,
    },
    /// So many at the same time.
    Concurrent {
        /// How many, from 1.
        limit: u32,
    },
}

/// What is done past a level.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Over {
    /// The signal `limit-exceeded` is raised to this strength.
    Score(Strength),
    /// The request waits until the level would admit it, but not longer than this, and goes on.
    Delay {
        /// The longest wait.
        at_most: Duration,
        /// How many requests of the limit may be waiting; those past it are throttled.
        max_waiting: u32,
    },
    /// `Throttle`, `Challenge`, `Block` or `Ban`.
    Act(Action),
}

/// What becomes of a request that lacks a part of a limit's key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnMissing {
    /// The client's prefix stands in for the part.
    #[default]
    Prefix,
    /// The limit is not asked. Whoever leaves the part out is not limited by it.
    Skip,
    /// It is refused.
    Refuse,
}

/// What a limit counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Count {
    /// Requests that were admitted.
    Requests,
    /// Answers of the origin that the route calls failed.
    Failures,
    /// Bytes of the bodies of request and answer together, in units of 1024, upwards for each request.
    Bytes,
    /// Different values of a part, of requests that were admitted. A request without the part adds nothing.
    Distinct(KeyPart),
}

/// How much one request or failure is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cost {
    /// So much, from 1.
    Units(u32),
    /// What a header of the origin's answer says.
    Header(HeaderName),
}

/// When it is known what a request adds to a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Charged {
    /// As it comes.
    AtRequest,
    /// When the origin has answered; the level is only looked at as it comes.
    AtAnswer,
}

/// One part of a limit's key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyPart {
    /// The client's address; of IPv6 its /64, which one subscriber holds whole (RIPE-690).
    Ip,
    /// The client's prefix: IPv4 /24, IPv6 /56.
    IpPrefix,
    /// The client's prefix of other lengths.
    Prefix(PrefixLengths),
    /// The autonomous system.
    Asn,
    /// The country.
    Country,
    /// The JA3.
    Ja3,
    /// The JA4.
    Ja4,
    /// The print of what its connection showed of HTTP/2.
    Http2,
    /// The User-Agent, whole.
    UserAgent,
    /// What it says it is: the name, or the browser's family.
    Client,
    /// The order of the header fields.
    HeaderOrder,
    /// The identified user.
    User,
    /// The identified account.
    Account,
    /// The identified API key.
    ApiKey,
    /// The identified session.
    Session,
    /// The identified device.
    Device,
    /// The identified token.
    Token,
    /// The name of the route: for budgets that several routes share.
    Route,
    /// The host.
    Host,
    /// The method.
    Method,
    /// The canonical path.
    Path,
    /// A header, cookie, or field of the query, body or token.
    At(Place),
}

/// How much of an address tells clients apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PrefixLengths {
    /// Of IPv4, in bits from 8 to 32.
    pub v4: u8,
    /// Of IPv6, in bits from 16 to 128.
    pub v6: u8,
}

impl PrefixLengths {
    /// The first address of the prefix that an address lies in.
    pub fn of(self, addr: IpAddr) -> IpAddr {
        match addr {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.v4.into())).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & mask).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.v6.into())).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
        }
    }
}

impl Limit {
    /// The most levels of one limit: each costs one look at a counter.
    pub const MAX_LEVELS: usize = 8;

    /// The levels of each action, from the softest: those that count a request together, or not at all.
    ///
    /// A level that scores or delays refuses nothing, so it never keeps another from counting.
    pub fn groups(&self) -> impl Iterator<Item = &[Level]> {
        self.levels.chunk_by(|one, other| one.over.hardness() == other.over.hardness())
    }

    /// When it is known what a request adds.
    pub const fn charged(&self) -> Charged {
        match (&self.count, &self.cost) {
            (Count::Failures | Count::Bytes, _) | (_, Cost::Header(_)) => Charged::AtAnswer,
            (Count::Requests | Count::Distinct(_), Cost::Units(_)) => Charged::AtRequest,
        }
    }
}

impl Bound {
    /// How many are admitted: in the window, at once, or at the same time.
    pub const fn limit(self) -> u32 {
        match self {
            Self::Window { limit, .. } | Self::Concurrent { limit } => limit,
            Self::Bucket { burst, .. } => burst,
        }
    }

    /// In how long so many are admitted, where that is a matter of time: the window, or how long an empty bucket takes
    /// to fill.
    pub fn window(self) -> Option<Duration> {
        match self {
            Self::Window { window, .. } => Some(window),
            Self::Bucket { limit, window, burst } => Some(window.saturating_mul(burst) / limit.max(1)),
            Self::Concurrent { .. } => None,
        }
    }
}

impl Bound {
    /// The window of its rate.
    pub(crate) const fn rate_window(self) -> Option<Duration> {
        match self {
            Self::Window { window, .. } | Self::Bucket { window, .. } => Some(window),
            Self::Concurrent { .. } => None,
        }
    }
}

impl Over {
    /// The stable name, as policies write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Score(_) => "score",
            Self::Delay { .. } => "delay",
            Self::Act(action) => action.name(),
        }
    }

    /// How hard it is, beside others.
    pub(crate) const fn hardness(self) -> u8 {
        match self {
            Self::Score(_) => 0,
            Self::Delay { .. } => 1,
            Self::Act(Action::Allow | Action::Throttle) => 2,
            Self::Act(Action::Challenge) => 3,
            Self::Act(Action::StepUp) => 4,
            Self::Act(Action::Block) => 5,
            Self::Act(Action::Ban) => 6,
        }
    }
}

impl OnMissing {
    /// Every choice with its name, as policies write it.
    pub(crate) const NAMED: [(&'static str, Self); 3] =
        [("prefix", Self::Prefix), ("skip", Self::Skip), ("refuse", Self::Refuse)];
}

impl Cost {
    /// What an answer with these header fields costs.
    ///
    /// A number of the header is rounded upwards. Without the one header, or where it holds no number from 0, the cost
    /// is 1, so that no answer is free by mistake.
    pub fn of(&self, headers: &HeaderMap) -> u32 {
        match self {
            Self::Units(units) => *units,
            Self::Header(name) => {
                let mut values = headers.get_all(name).iter();
                let value = values.next().filter(|_| values.next().is_none());
                value.and_then(|value| units(value.to_str().ok()?.trim())).unwrap_or(1)
            }
        }
    }
}

/// A decimal number, upwards; the largest there is where it is larger.
fn units(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let more = u32::from(fraction.bytes().any(|byte| byte != b'0'));
    Some(whole.parse::<u32>().map_or(u32::MAX, |whole| whole.saturating_add(more)))
}

/// One level with what it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct LevelOf<'a> {
    /// The place of the limit in [`Route::limits`].
    pub at: u16,
    /// The limit.
    pub limit: &'a Limit,
    /// The level.
    pub level: &'a Level,
}

impl Route {
    /// Every level of every limit, in order: as readings stand in [`Facts::limits`](portcullis_signals::Facts::limits).
    pub fn levels(&self) -> impl Iterator<Item = LevelOf<'_>> {
        (0_u16..)
            .zip(&self.limits)
            .flat_map(|(at, limit)| limit.levels.iter().map(move |level| LevelOf { at, limit, level }))
    }

    /// One level, by its place among all of the route.
    pub fn level(&self, at: u16) -> Option<LevelOf<'_>> {
        self.levels().nth(at.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_address_lies_in_the_prefix_of_its_family() {
        for (addr, v4, v6, prefix) in [
            ("192.0.2.77", 24, 56, "192.0.2.0"),
            ("192.0.2.77", 32, 56, "192.0.2.77"),
            ("192.0.2.77", 8, 56, "192.0.0.0"),
            ("192.0.2.77", 26, 56, "192.0.2.64"),
            ("2001:db8:1:2:3:4:5:6", 24, 48, "2001:db8:1::"),
            ("2001:db8:1:2ff:3:4:5:6", 24, 56, "2001:db8:1:200::"),
            ("2001:db8:1:2:3:4:5:6", 24, 128, "2001:db8:1:2:3:4:5:6"),
        ] {
            let addr: IpAddr = addr.parse().unwrap();
            assert_eq!(PrefixLengths { v4, v6 }.of(addr).to_string(), prefix, "{addr} /{v4} /{v6}");
        }
    }

    #[test]
    fn an_answer_costs_what_its_one_header_says() {
        let cost = Cost::Header(HeaderName::from_static("x-cost"));
        for (values, units) in [
            (&["5"][..], 5),
            (&["0"], 0),
            (&["2.0"], 2),
            (&["2.01"], 3),
            (&["4294967295"], u32::MAX),
            (&["99999999999999999999999"], u32::MAX),
            (&["4294967295.5"], u32::MAX),
            (&[], 1),
            (&["5", "6"], 1),
            (&["-5"], 1),
            (&["1e9"], 1),
            (&["five"], 1),
            (&[""], 1),
            (&["."], 1),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-cost", HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(cost.of(&headers), units, "{values:?}");
        }
        assert_eq!(Cost::Units(7).of(&HeaderMap::new()), 7);
    }

    #[test]
    fn a_bucket_fills_in_the_time_that_its_rate_takes() {
        let minute = Duration::from_secs(60);
        assert_eq!(Bound::Bucket { limit: 10, window: minute, burst: 20 }.window(), Some(2 * minute));
        assert_eq!(Bound::Bucket { limit: 10, window: minute, burst: 5 }.window(), Some(minute / 2));
        assert_eq!(Bound::Concurrent { limit: 5 }.window(), None);
    }
}
