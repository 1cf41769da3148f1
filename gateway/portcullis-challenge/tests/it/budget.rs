//! Clearances that are shared.

use std::time::Duration;

use portcullis_challenge::{Binding, Budget, Budgets, Clearance, Level, Network, Refusal, Tolerance, UnixMillis};
use proptest::prelude::*;

use crate::{HERE, NOW, TTL, network, ring};

const BUDGET: Budget = Budget { requests: 100, addresses: 5, systems: 3 };

/// A clearance with the id that `n` gives, as random ids would be spread.
fn clearance(n: u64) -> Clearance {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = (u128::from(n) << 64 | u128::from(mixed)).to_be_bytes();
    let binding = Binding { tolerance: Tolerance::Anywhere, ..HERE };
    let value = Clearance::issue(&ring(), id, Level::ProofOfWork, &binding, NOW, TTL);
    Clearance::verify(&ring(), &value, &binding, NOW).unwrap()
}

fn budgets() -> Budgets {
    Budgets::new(1 << 10, BUDGET, 7)
}

fn charge(budgets: &Budgets, from: Network) -> Result<(), Refusal> {
    budgets.charge(&clearance(1), &from, NOW)
}

/// A solved challenge was shared out to a botnet (TecharoHQ/anubis#697).
#[test]
fn a_clearance_in_use_from_twenty_prefixes_burns_out() {
    let budgets = budgets();
    let outcomes: Vec<bool> =
        (0..20).map(|n| charge(&budgets, network(&format!("198.51.{n}.1"), 64496)).is_ok()).collect();
    assert_eq!(outcomes, (0..20).map(|n| n < 5).collect::<Vec<_>>());
    assert_eq!(charge(&budgets, network("198.51.0.1", 64496)), Err(Refusal::BurntOut), "for its first holder too");
    assert_eq!(budgets.burnt_total(), 1);
    assert_eq!(budgets.charge(&clearance(2), &HERE.network, NOW), Ok(()), "and nobody else's");
}

#[test]
fn one_client_that_moves_from_ipv4_to_ipv6_and_back_does_not_burn_out() {
    let budgets = budgets();
    for n in 0..50 {
        let from = if n % 2 == 0 { HERE.network } else { network("2001:db8::1", 64496) };
        assert_eq!(charge(&budgets, from), Ok(()), "{n}");
    }
}

#[test]
fn a_clearance_burns_out_by_requests_and_by_networks() {
    let by_requests = budgets();
    let outcomes = (0..200).filter(|_| charge(&by_requests, HERE.network).is_ok()).count();
    assert_eq!(outcomes, 100);

    let by_systems = budgets();
    let outcomes: Vec<bool> = (0..5).map(|n| charge(&by_systems, network("192.0.2.1", 64496 + n)).is_ok()).collect();
    assert_eq!(outcomes, [true, true, true, false, false]);

    let unknown = budgets();
    assert!((0..50).all(|_| charge(&unknown, network("192.0.2.1", 0)).is_ok()), "an unknown network is none");
}

#[test]
fn what_burnt_out_stays_so_until_it_expires() {
    let budgets = budgets();
    for n in 0..6 {
        _ = charge(&budgets, network(&format!("198.51.{n}.1"), 64496));
    }
    let at = |after: Duration| budgets.charge(&clearance(1), &HERE.network, NOW.after(after));
    assert_eq!(at(TTL - Duration::from_millis(1)), Err(Refusal::BurntOut));
    // Past that the clearance itself is refused before it gets here; the place is free again.
    assert_eq!(at(TTL), Ok(()));
}

/// What a clearance is renewed to at two times.
#[test]
fn two_ends_of_one_name_have_one_budget_until_the_later() {
    let budgets = budgets();
    let (sooner, mut later) = (clearance(1), clearance(1));
    later.expires_at = NOW.after(TTL * 2);
    assert!(!budgets.is_burnt(&sooner, NOW), "nothing is known of it");
    for n in 0..6 {
        _ = charge(&budgets, network(&format!("198.51.{n}.1"), 64496));
    }
    assert_eq!(budgets.charge(&later, &HERE.network, NOW), Err(Refusal::BurntOut));
    assert_eq!(budgets.charge(&later, &HERE.network, NOW.after(TTL)), Err(Refusal::BurntOut));
    assert!(budgets.is_burnt(&later, NOW.after(TTL)) && !budgets.is_burnt(&later, NOW.after(TTL * 2)));
    assert!(!budgets.is_burnt(&clearance(2), NOW));
}

#[test]
fn a_flood_of_clearances_neither_frees_an_offender_nor_refuses_a_stranger() {
    let budgets = Budgets::new(64, BUDGET, 7);
    for n in 0..6 {
        _ = charge(&budgets, network(&format!("198.51.{n}.1"), 64496));
    }
    for n in 2..20_000 {
        assert_eq!(budgets.charge(&clearance(n), &HERE.network, NOW), Ok(()), "stranger {n}");
    }
    assert_eq!(charge(&budgets, HERE.network), Err(Refusal::BurntOut));
    assert_eq!(budgets.capacity(), 64);
    assert!(budgets.displaced_total() > 19_000);

    // Every place burnt out: strangers still pass, uncounted.
    let small = Budgets::new(8, Budget { requests: 1, ..BUDGET }, 7);
    for n in 0..8 {
        assert_eq!(small.charge(&clearance(n), &HERE.network, NOW), Ok(()));
        assert_eq!(small.charge(&clearance(n), &HERE.network, NOW), Err(Refusal::BurntOut));
    }
    assert_eq!(small.charge(&clearance(9), &HERE.network, NOW), Ok(()));
    assert_eq!((small.uncounted_total(), small.burnt_total()), (1, 8));
}

#[test]
fn a_busy_clearance_keeps_its_count_when_the_table_is_full() {
    let budgets = Budgets::new(8, BUDGET, 7);
    for n in 0..1_000 {
        _ = charge(&budgets, HERE.network);
        _ = budgets.charge(&clearance(n + 2), &HERE.network, NOW);
    }
    assert_eq!(charge(&budgets, HERE.network), Err(Refusal::BurntOut), "a thousand requests of a hundred");
}

proptest! {
    /// Whatever the order, a clearance never gets more than its budget.
    #[test]
    fn no_clearance_gets_more_than_its_budget(calls in proptest::collection::vec((0_u64..4, 0_u8..12, 0_u32..6), 0..400)) {
        let budgets = budgets();
        let mut admitted: std::collections::BTreeMap<u64, Vec<(u8, u32)>> = Default::default();
        for (n, prefix, asn) in calls {
            let from = network(&format!("198.51.{prefix}.1"), asn);
            if budgets.charge(&clearance(n), &from, UnixMillis(NOW.0 + 1)).is_ok() {
                admitted.entry(n).or_default().push((prefix, asn));
            }
        }
        for calls in admitted.values() {
            let distinct = |mut all: Vec<u32>| { all.sort_unstable(); all.dedup(); all.len() };
            prop_assert!(calls.len() <= 100);
            prop_assert!(distinct(calls.iter().map(|(prefix, _)| u32::from(*prefix)).collect()) <= 5);
            prop_assert!(distinct(calls.iter().map(|(_, asn)| *asn).filter(|asn| *asn != 0).collect()) <= 3);
        }
    }
}
