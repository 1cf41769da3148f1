//! What is known of claims, in memory of a fixed size.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use portcullis_velocity::Millis;

use super::rules::CrawlerId;
use portcullis_signals::Proof;

/// What is known of one claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// It was asked for.
    Asked,
    /// The answer.
    Known(Proof),
}

/// How many claims share a lock, and compete for room.
const WAYS: usize = 8;

/// Claims by address and crawler. When a bucket is full, what is worth least gives way: what has expired, then what is
/// not verified, and of equals the oldest. So a flood of claims does not push out what true crawlers proved.
///
/// The hash is keyed at random: nobody outside can choose addresses that meet in one bucket.
#[derive(Debug)]
pub(super) struct Cache {
    buckets: Box<[Mutex<[Option<Entry>; WAYS]>]>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: IpAddr,
    crawler: CrawlerId,
    state: State,
    kept: Millis,
    expires: Millis,
}

impl Cache {
    /// A cache for this many claims, rounded up.
    pub(super) fn with_room_for(entries: usize) -> Self {
        let buckets = entries.div_ceil(WAYS).max(1);
        Self { buckets: (0..buckets).map(|_| Mutex::new([None; WAYS])).collect(), hasher: RandomState::new() }
    }

    /// What is known of a claim and has not expired.
    pub(super) fn look(&self, address: IpAddr, crawler: CrawlerId, now: Millis) -> Option<State> {
        let bucket = self.bucket(address, crawler)?.lock();
        let entry = bucket.iter().flatten().find(|entry| entry.is_of(address, crawler))?;
        (entry.expires > now).then_some(entry.state)
    }

    /// Remembers what is known of a claim for a time.
    pub(super) fn keep(&self, address: IpAddr, crawler: CrawlerId, state: State, now: Millis, ttl: Duration) {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let entry = Entry { address, crawler, state, kept: now, expires: Millis(now.0.saturating_add(ttl)) };
        let Some(bucket) = self.bucket(address, crawler) else { return };
        let mut bucket = bucket.lock();
        let worth = |slot: &Option<Entry>| match slot {
            None => (0, Millis(0)),
            Some(held) if held.is_of(address, crawler) => (0, Millis(0)),
            Some(held) if held.expires <= now => (1, held.kept),
            Some(held) if held.state != State::Known(Proof::Verified) => (2, held.kept),
            Some(held) => (3, held.kept),
        };
        // Its own place first, even where an empty one stands before it.
        let own = bucket.iter().position(|slot| slot.is_some_and(|held| held.is_of(address, crawler)));
        let least = || bucket.iter().enumerate().min_by_key(|(_, slot)| worth(slot)).map(|(at, _)| at);
        if let Some(slot) = own.or_else(least).and_then(|at| bucket.get_mut(at)) {
            *slot = Some(entry);
        }
    }

    fn bucket(&self, address: IpAddr, crawler: CrawlerId) -> Option<&Mutex<[Option<Entry>; WAYS]>> {
        let buckets = u64::try_from(self.buckets.len()).ok().filter(|buckets| *buckets > 0)?;
        let at = self.hasher.hash_one((address, crawler)) % buckets;
        self.buckets.get(usize::try_from(at).ok()?)
    }
}

impl Entry {
    fn is_of(&self, address: IpAddr, crawler: CrawlerId) -> bool {
        self.address == address && self.crawler == crawler
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const CRAWLER: CrawlerId = CrawlerId(0);

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn a_claim_is_known_until_it_expires() {
        let cache = Cache::with_room_for(64);
        let known = State::Known(Proof::Forged);
        cache.keep(address(1), CRAWLER, State::Asked, Millis(0), Duration::from_secs(9));
        cache.keep(address(1), CRAWLER, known, Millis(0), Duration::from_secs(1));
        assert_eq!(cache.look(address(1), CRAWLER, Millis(999)), Some(known));
        assert_eq!(cache.look(address(1), CRAWLER, Millis(1000)), None);
        assert_eq!(cache.look(address(1), CrawlerId(1), Millis(0)), None);
        assert_eq!(cache.look(address(2), CRAWLER, Millis(0)), None);
    }

    #[test]
    fn a_flood_of_claims_pushes_out_no_proof_and_takes_no_more_memory() {
        let cache = Cache::with_room_for(1024);
        let hour = Duration::from_secs(3600);
        for crawler in 0..64 {
            cache.keep(address(crawler), CRAWLER, State::Known(Proof::Verified), Millis(0), hour);
        }
        for number in 1_000..101_000 {
            cache.keep(address(number), CRAWLER, State::Asked, Millis(u64::from(number)), hour);
        }
        let kept = |number: &u32| cache.look(address(*number), CRAWLER, Millis(101_000)).is_some();
        assert_eq!((0..64).filter(kept).count(), 64);
        assert!((1_000..101_000).filter(kept).count() <= 1024);
    }
}
