//! The limits of a route: what they read of a request, and what they are charged when it is over.

use std::sync::Arc;

use portcullis_policy::model::{Bound, Charged, Cost, Count, Level, Limit, Over};
use portcullis_policy::{Keyed, RouteId};
use portcullis_signals::{Facts, LimitReading};
use portcullis_velocity::{InFlight, Key, Rate, Running, Window};
use smallvec::SmallVec;

use super::Gateway;
use super::answer::Answer;
use super::keys::{ClientKeys, Scope, limit_key};
use super::policy::Policy;
use crate::clock::Now;

/// What one level counts with.
#[derive(Clone, Copy, Debug)]
pub enum Meter {
    /// A sliding window.
    Window(Window),
    /// A bucket that fills.
    Bucket(Rate),
    /// Requests under way.
    Concurrent,
}

impl Meter {
    /// What a bound is counted with.
    pub fn of(bound: Bound) -> Self {
        match bound {
            Bound::Window { window, .. } => Self::Window(Window::new(window)),
            Bound::Bucket { limit, window, burst } => Self::Bucket(Rate::new(limit, window, burst)),
            Bound::Concurrent { .. } => Self::Concurrent,
        }
    }
}

/// What the limits of a route found of one request.
#[derive(Debug, Default)]
pub struct Limited {
    /// One reading for each level, in the route's order.
    pub readings: SmallVec<[LimitReading; 4]>,
    /// What is charged when the origin has answered.
    pub charges: SmallVec<[LimitCharge; 2]>,
    /// What counts as under way, until it is let go of.
    pub running: SmallVec<[Running<Arc<InFlight>>; 1]>,
    /// What each limit with a delay is counted under, by its place in the route.
    pub delayed: SmallVec<[(u16, Key); 1]>,
}

/// What one level is charged when the origin has answered.
#[derive(Clone, Copy, Debug)]
pub struct LimitCharge {
    /// The limit, by its place in the route.
    at: u16,
    key: Key,
    meter: Meter,
}

/// Whether a level is counted or only looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Look {
    Count,
    Peek,
}

/// A level with what it is counted under and with.
#[derive(Clone, Copy)]
struct Asked<'a> {
    limit: &'a Limit,
    level: &'a Level,
    key: Key,
    meter: Meter,
    /// The value that a limit on different ones is about.
    value: Option<Key>,
}

impl Asked<'_> {
    /// Whether what is past the level goes on all the same, later, and so counts: who comes next waits longer.
    const fn only_delays(&self) -> bool {
        matches!(self.level.over, Over::Delay { .. })
    }
}

impl Gateway {
    /// Reads and counts the limits of a route for one request.
    ///
    /// INVARIANT: what a ban refuses counts for nothing.
    pub(super) fn read_limits(
        &self,
        policy: &Policy,
        route: RouteId,
        facts: &Facts<'_>,
        keys: &ClientKeys,
        now: Now,
    ) -> Limited {
        let mut limited = Limited::default();
        let Some(plan) = policy.plan(route) else { return limited };
        let route = policy.rules().route(route);
        let mut meters = plan.meters.iter();
        for (at, limit) in (0_u16..).zip(&route.limits) {
            let keyed = limit_key(self.counters.hasher(), keys, limit, route, facts);
            let value = match &limit.count {
                Count::Distinct(part) => {
                    part.value_of(route, facts, |bytes| self.counters.hasher().key(Scope::VALUE.0, &[bytes]))
                }
                _ => None,
            };
            for group in limit.groups() {
                let Keyed::Under(key) = keyed else {
                    let unkeyed = matches!(keyed, Keyed::Refuse);
                    let reading = LimitReading { unkeyed, ..LimitReading::default() };
                    limited.readings.extend(group.iter().zip(meters.by_ref()).map(|_| reading));
                    continue;
                };
                let asked: SmallVec<[Asked<'_>; 2]> = group
                    .iter()
                    .zip(meters.by_ref())
                    .map(|(level, meter)| Asked { limit, level, key: key.sibling(level.counter), meter: *meter, value })
                    .collect();
                self.read_group(&asked, at, facts.ban.is_some(), now, &mut limited);
            }
            if let Keyed::Under(key) = keyed
                && limit.levels.iter().any(|level| matches!(level.over, Over::Delay { .. }))
            {
                limited.delayed.push((at, key));
            }
        }
        limited
    }

    /// Reads levels that go together: what one of them refuses counts for none.
    fn read_group(&self, asked: &[Asked<'_>], at: u16, is_banned: bool, now: Now, limited: &mut Limited) {
        let refuses = |level: &Asked<'_>| {
            matches!(level.level.over, Over::Act(_)) && self.read(level, Look::Peek, now, &mut Limited::default()).over
        };
        let refused = asked.len() > 1 && asked.iter().any(refuses);
        let look = if refused || is_banned { Look::Peek } else { Look::Count };
        for level in asked {
            let reading = self.read(level, look, now, limited);
            limited.readings.push(reading);
            if level.limit.charged() == Charged::AtAnswer && !is_banned {
                limited.charges.push(LimitCharge { at, key: level.key, meter: level.meter });
            }
        }
    }

    fn read(&self, asked: &Asked<'_>, look: Look, now: Now, limited: &mut Limited) -> LimitReading {
        let most = asked.level.bound.limit();
        let (look, cost) = match (&asked.limit.cost, asked.limit.charged()) {
            (Cost::Units(cost), Charged::AtRequest) => (look, *cost),
            // How much it is shows later: whether there is room for anything is asked now.
            _ => (Look::Peek, 1),
        };
        match (asked.meter, &asked.limit.count) {
            (Meter::Window(window), Count::Distinct(_)) => self.read_distinct(asked, window, most, look, now),
            (Meter::Window(window), _) => {
                let read = match look {
                    Look::Count => self.counters.observe_limited(asked.key, window, most, cost, now.millis),
                    Look::Peek => self.counters.peek_limited(asked.key, window, most, cost, now.millis),
                };
                if look == Look::Count && !read.is_admitted() && asked.only_delays() {
                    self.counters.observe(asked.key, window, cost, now.millis);
                }
                reading(read.count, read.is_admitted(), read.retry_after_ms)
            }
            (Meter::Bucket(rate), _) => {
                let draw = match look {
                    Look::Count => self.behaviours.buckets.take(asked.key, rate, cost, now.millis),
                    Look::Peek => self.behaviours.buckets.peek(asked.key, rate, cost, now.millis),
                };
                if look == Look::Count && !draw.is_admitted() && asked.only_delays() {
                    self.behaviours.buckets.charge(asked.key, rate, cost, now.millis);
                }
                reading(most.saturating_sub(draw.remaining), draw.is_admitted(), draw.retry_after_ms)
            }
            (Meter::Concurrent, _) if look == Look::Peek => {
                let running = self.behaviours.in_flight.running(asked.key);
                reading(running, running < most, 0)
            }
            (Meter::Concurrent, _) => match InFlight::run(Arc::clone(&self.behaviours.in_flight), asked.key, most) {
                Ok(running) => {
                    let count = running.count();
                    limited.running.push(running);
                    reading(count, true, 0)
                }
                Err(busy) => {
                    if asked.only_delays() {
                        let table = Arc::clone(&self.behaviours.in_flight);
                        limited.running.extend(InFlight::run(table, asked.key, u32::MAX).ok());
                    }
                    reading(busy.running, false, 0)
                }
            },
        }
    }

    /// Values that a refused request brings are not counted, or who keeps trying would never be let in again.
    fn read_distinct(&self, asked: &Asked<'_>, window: Window, most: u32, look: Look, now: Now) -> LimitReading {
        let table = &self.behaviours.distincts;
        let count = table.read(asked.key, window, now.millis).count;
        let Some(value) = asked.value else { return reading(count, true, 0) };
        if count >= most && !table.knows(asked.key, value, window, now.millis) {
            return reading(count, false, u64::try_from(window.length().as_millis()).unwrap_or(u64::MAX));
        }
        match look {
            Look::Count => reading(table.note(asked.key, value, window, now.millis).count, true, 0),
            Look::Peek => reading(count, true, 0),
        }
    }

    /// Charges the limits of a request what its answer turned out to be.
    pub(super) fn charge_limits(&self, limits: &[Limit], limited: &Limited, answer: &Answer, failed: bool, now: Now) {
        for charge in &limited.charges {
            let Some(limit) = limits.get(usize::from(charge.at)) else { continue };
            let amount = match (&limit.count, &limit.cost) {
                // `charge_bytes` counts them, when they are known.
                (Count::Bytes, _) => 0,
                (Count::Failures, _) if !failed => 0,
                (_, Cost::Units(units)) => *units,
                (_, Cost::Header(_)) => answer.cost_of(charge.at),
            };
            self.charge_limit(charge, amount, now);
        }
    }

    /// Charges the limits that count bytes.
    pub(super) fn charge_bytes(&self, limits: &[Limit], limited: &Limited, bytes: u64, now: Now) {
        for charge in &limited.charges {
            if limits.get(usize::from(charge.at)).is_some_and(|limit| matches!(limit.count, Count::Bytes)) {
                self.charge_limit(charge, u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX), now);
            }
        }
    }

    fn charge_limit(&self, charge: &LimitCharge, amount: u32, now: Now) {
        if amount == 0 {
            return;
        }
        match charge.meter {
            Meter::Window(window) => drop(self.counters.observe(charge.key, window, amount, now.millis)),
            Meter::Bucket(rate) => drop(self.behaviours.buckets.charge(charge.key, rate, amount, now.millis)),
            Meter::Concurrent => {}
        }
    }
}

fn reading(count: u32, is_admitted: bool, retry_after_ms: u64) -> LimitReading {
    LimitReading {
        count,
        over: !is_admitted,
        unkeyed: false,
        retry_after_ms: u32::try_from(retry_after_ms).unwrap_or(u32::MAX),
    }
}
