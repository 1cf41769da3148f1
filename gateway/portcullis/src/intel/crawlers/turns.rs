//! Who may have how many questions waiting.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Questions of one network that may wait or be under way at once: half of those that are asked at once.
///
/// Whoever has a network has its reverse zone, too, and can let every question about it run into its time-out. With all
/// of the queue taken by such, no other crawler would ever prove who it is.
const OF_ONE_NETWORK: u32 = 16;

/// Networks that are told apart; more share their turns by chance, which nobody outside can choose.
const SLOTS: usize = 1024;

/// Turns to ask, by network: the /24 of an IPv4 address, the /32 of an IPv6 address.
#[derive(Debug)]
pub(super) struct Turns {
    taken: Arc<[AtomicU32]>,
    hasher: RandomState,
}

/// A turn to ask, which is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    taken: Arc<[AtomicU32]>,
    slot: usize,
}

impl Default for Turns {
    fn default() -> Self {
        Self { taken: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl Turns {
    /// A turn for a question about `address`; none while its network has all it may have.
    pub(super) fn take(&self, address: IpAddr) -> Option<Turn> {
        let network = match address {
            IpAddr::V4(address) => (4, address.to_bits() >> 8),
            IpAddr::V6(address) => (6, u32::try_from(address.to_bits() >> 96).unwrap_or(0)),
        };
        let slots = u64::try_from(SLOTS).ok()?;
        let slot = usize::try_from(self.hasher.hash_one(network) % slots).ok()?;
        let free = |taken: u32| (taken < OF_ONE_NETWORK).then_some(taken + 1);
        self.taken.get(slot)?.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Turn { taken: Arc::clone(&self.taken), slot })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.get(self.slot) {
            taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_of_turns_and_gets_them_back() {
        let turns = Turns::default();
        for (of_one, of_another) in
            [(["203.0.114.1", "203.0.114.200"], "203.0.115.1"), (["2001:db8::1", "2001:db8:ffff::1"], "2001:db9::1")]
        {
            let [one, sibling] = of_one.map(|address| address.parse().unwrap());
            let mut held: Vec<Turn> = (0..OF_ONE_NETWORK).map(|_| turns.take(one).unwrap()).collect();
            assert!(turns.take(sibling).is_none(), "{sibling}");
            held.pop();
            assert!(turns.take(sibling).is_some(), "{sibling}");
            // The hash is random: another network is elsewhere in all but one of 1024 runs, so many are asked.
            let others = (0..32).filter(|last| {
                let other: IpAddr = match of_another.parse().unwrap() {
                    IpAddr::V4(address) => IpAddr::V4((address.to_bits() + (last << 8)).into()),
                    IpAddr::V6(address) => IpAddr::V6((address.to_bits() + (u128::from(*last) << 96)).into()),
                };
                turns.take(other).is_some()
            });
            assert!(others.count() > 24, "{of_another}");
        }
    }
}
