//! Puzzles and solutions.

use std::sync::Mutex;
use std::time::Duration;

use portcullis_challenge::{
    Binding, KeyRing, Level, Lifetimes, MAX_COUNT, MAX_MEMORY_COUNT, MAX_PARTS, MAX_PUZZLE_TTL, MAX_SOLUTION_BYTES,
    MemoryCost, Puzzle, Refusal, Scratch, Seed, Solution, Solved, SpentSet, Strength, UnixMillis, Work, encode_nonces,
    solve, solve_part,
};
use proptest::prelude::*;

use crate::{HERE, ID, NOW, TTL, decode, elsewhere, encode, key, network, ring};

/// Little enough to be solved in every test.
fn easy() -> Strength {
    Strength::new(6, 8).unwrap()
}

fn puzzle() -> Puzzle {
    Puzzle::issue(&ring(), ID, easy(), &HERE, NOW, TTL)
}

fn nonces(puzzle: &Puzzle) -> Vec<u32> {
    solve(&puzzle.seed(), puzzle.strength())
}

fn text(token: &str, nonces: &[u32]) -> String {
    format!("{token}.{}", encode_nonces(nonces))
}

fn check(text: &str) -> Result<Solved, Refusal> {
    Solution::parse(text)?.verify(&ring(), &HERE, NOW, &SpentSet::new(100))
}

#[test]
fn a_solved_puzzle_is_redeemed() {
    let puzzle = puzzle();
    let text = text(puzzle.token(), &nonces(&puzzle));
    let later = UnixMillis(NOW.0 + 2_500);
    let solved = Solution::parse(&text).unwrap().verify(&ring(), &HERE, later, &SpentSet::new(100)).unwrap();
    assert_eq!((solved.id, solved.level, solved.work), (ID, Level::ProofOfWork, easy().into()));
    assert_eq!(solved.took(), Duration::from_millis(2_500));
}

#[test]
fn the_body_of_a_redeem_is_the_solution_or_a_form_with_it() {
    let puzzle = puzzle();
    let text = text(puzzle.token(), &nonces(&puzzle));
    for body in [text.clone(), format!("solution={text}")] {
        assert!(Solution::from_body(body.as_bytes()).unwrap().check_work(&ring(), &HERE, NOW).is_ok(), "{body}");
    }
    for (body, refusal) in [
        (&b""[..], Refusal::Malformed),
        (b"solution=", Refusal::Malformed),
        (b"solution=\xff.\xff", Refusal::Malformed),
        (&[b'a'; MAX_SOLUTION_BYTES + 10], Refusal::TooLarge),
        (&[b'a'; 1_000_000], Refusal::TooLarge),
    ] {
        assert_eq!(Solution::from_body(body).unwrap_err(), refusal, "{} bytes", body.len());
    }
}

/// Any hash was once good enough for a token, and became so again in a refactoring (Anubis,
/// CVE-2025-24369): the work is checked, against the difficulty that was signed.
#[test]
fn cve_2025_24369_a_solution_without_the_work_is_refused() {
    let puzzle = puzzle();
    let good = nonces(&puzzle);
    let with = |part: usize, nonce: u32| {
        let mut nonces = good.clone();
        nonces[part] = nonce;
        text(puzzle.token(), &nonces)
    };
    // The solver finds the least nonce, so the one before a found one does not hold.
    for (part, &nonce) in good.iter().enumerate() {
        if let Some(wrong) = nonce.checked_sub(1) {
            assert_eq!(check(&with(part, wrong)), Err(Refusal::Unsolved), "part {part} wrong");
        }
    }
    // Solved to a lower difficulty than was asked.
    let low: Vec<u32> = (0..8).map(|part| solve_part(&puzzle.seed(), part, 1).unwrap()).collect();
    assert_eq!(check(&text(puzzle.token(), &low)), Err(Refusal::Unsolved), "one bit");
    assert_eq!(check(&text(puzzle.token(), &[0; 8])), Err(Refusal::Unsolved), "difficulty 0");
    // Too few, too many, none, cut.
    assert_eq!(check(&text(puzzle.token(), &good[..7])), Err(Refusal::Unsolved), "a part is missing");
    assert_eq!(check(&text(puzzle.token(), &[&good[..], &[0]].concat())), Err(Refusal::Unsolved), "one too many");
    assert_eq!(check(&text(puzzle.token(), &[])), Err(Refusal::Unsolved), "no nonce");
    let bytes: Vec<u8> = good.iter().flat_map(|nonce| nonce.to_be_bytes()).collect();
    for len in 0..bytes.len() {
        let text = format!("{}.{}", puzzle.token(), encode(&bytes[..len]));
        assert_eq!(check(&text), Err(Refusal::Unsolved), "cut to {len} bytes");
    }
    // The parts of another puzzle, and the same parts in another order.
    let other = Puzzle::issue(&ring(), [1; 16], easy(), &HERE, NOW, TTL);
    assert_eq!(check(&text(puzzle.token(), &nonces(&other))), Err(Refusal::Unsolved), "another puzzle's work");
    let mut turned = good.clone();
    turned.rotate_left(1);
    assert_eq!(check(&text(puzzle.token(), &turned)), Err(Refusal::Unsolved), "parts in another order");
    assert!(check(&text(puzzle.token(), &good)).is_ok(), "the work itself");
}

/// The difficulty, the count and the rest are read from the token. A client can only change them
/// there, and then the code does not match.
#[test]
fn no_field_of_a_token_can_be_changed() {
    let puzzle = puzzle();
    let bytes = decode(puzzle.token());
    let nonces = encode_nonces(&nonces(&puzzle));
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            let refusal = check(&format!("{}.{nonces}", encode(&bytes))).unwrap_err();
            let expected = match at {
                0 => Refusal::Malformed,
                1..5 => Refusal::UnknownKey,
                _ => Refusal::Forged,
            };
            assert_eq!(refusal, expected, "byte {at}");
        }
    }
    for len in 0..bytes.len() {
        let text = format!("{}.{nonces}", encode(&bytes[..len]));
        assert_eq!(check(&text), Err(Refusal::Malformed), "cut to {len} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(check(&format!("{}.{nonces}", encode(&longer))), Err(Refusal::Malformed));
}

#[test]
fn the_text_of_a_token_has_one_spelling() {
    let puzzle = puzzle();
    let nonces = nonces(&puzzle);
    for (what, token) in [
        ("padding", format!("{}=", puzzle.token())),
        ("a space", format!(" {}", puzzle.token())),
        ("a line break", format!("{}\n", puzzle.token())),
        ("the other alphabet", format!("+{}", &puzzle.token()[1..])),
        ("the other alphabet", format!("/{}", &puzzle.token()[1..])),
    ] {
        assert_eq!(check(&text(&token, &nonces)), Err(Refusal::Malformed), "{what}");
    }
}

#[test]
fn a_puzzle_is_good_until_it_expires_and_not_before_it_was_issued() {
    let puzzle = puzzle();
    let text = text(puzzle.token(), &nonces(&puzzle));
    let at = |now: u64| Solution::parse(&text).unwrap().check_work(&ring(), &HERE, UnixMillis(now)).map(|_| ());
    let day = 86_400_000;
    for (now, outcome) in [
        (NOW.0, Ok(())),
        (NOW.0 + 299_999, Ok(())),
        (NOW.0 + 300_000, Err(Refusal::Expired)),
        (NOW.0 + day, Err(Refusal::Expired)),
        (NOW.0 - 60_000, Ok(())),
        (NOW.0 - 60_001, Err(Refusal::NotYetValid)),
        (NOW.0 - day, Err(Refusal::NotYetValid)),
        (0, Err(Refusal::NotYetValid)),
        (u64::MAX, Err(Refusal::Expired)),
    ] {
        assert_eq!(at(now), outcome, "at {now}");
    }
}

#[test]
fn no_puzzle_is_open_for_long() {
    let puzzle = Puzzle::issue(&ring(), ID, easy(), &HERE, NOW, Duration::from_secs(7 * 86_400));
    assert_eq!(puzzle.expires_at(), NOW.after(MAX_PUZZLE_TTL));
}

#[test]
fn a_solution_is_good_only_where_and_for_whom_the_puzzle_was_issued() {
    let puzzle = puzzle();
    let text = text(puzzle.token(), &nonces(&puzzle));
    for (what, binding) in elsewhere() {
        let refusal = Solution::parse(&text).unwrap().check_work(&ring(), &binding, NOW).unwrap_err();
        assert_eq!(refusal, Refusal::OtherBinding, "another {what}");
    }
}

/// A dual-stack client is challenged over one version of IP and redeems over the other
/// (TecharoHQ/anubis#564).
#[test]
fn a_puzzle_that_was_issued_over_ipv4_is_redeemed_over_ipv6() {
    let puzzle = puzzle();
    let text = text(puzzle.token(), &nonces(&puzzle));
    for asn in [64496, 0] {
        let there = Binding { network: network("2001:db8::1", asn), ..HERE };
        assert!(Solution::parse(&text).unwrap().check_work(&ring(), &there, NOW).is_ok(), "AS{asn}");
    }
}

/// Two gateways that share a ring and not what is spent: a replay at the second is granted, which is
/// why a ring for puzzles belongs to one process. With a ring for each the second refuses all.
#[test]
fn a_replay_at_another_gateway_is_refused_by_its_own_ring() {
    let puzzle = puzzle();
    let text = text(puzzle.token(), &nonces(&puzzle));
    let redeem =
        |ring: &KeyRing, spent: &SpentSet| Solution::parse(&text).unwrap().verify(ring, &HERE, NOW, spent).map(|_| ());
    let (ours, theirs) = (SpentSet::new(100), SpentSet::new(100));
    assert_eq!(redeem(&ring(), &ours), Ok(()));
    assert_eq!(redeem(&ring(), &ours), Err(Refusal::Spent));
    assert_eq!(redeem(&KeyRing::new(&key(8), &[]).unwrap(), &theirs), Err(Refusal::UnknownKey));
    assert_eq!(redeem(&ring(), &theirs), Ok(()), "what a shared ring without a shared set would do");
}

#[test]
fn a_solution_from_another_key_epoch_is_refused_and_one_from_the_last_is_not() {
    let puzzle = puzzle();
    let text = text(puzzle.token(), &nonces(&puzzle));
    let check = |ring: &KeyRing| Solution::parse(&text).unwrap().check_work(ring, &HERE, NOW).map(|_| ());
    assert_eq!(check(&KeyRing::new(&key(8), &[key(7)]).unwrap()), Ok(()), "rotation locks nobody out");
    assert_eq!(check(&KeyRing::new(&key(8), &[]).unwrap()), Err(Refusal::UnknownKey));
    let reused = portcullis_challenge::SigningKey::new(key(7).id(), [1; 32]);
    assert_eq!(check(&KeyRing::new(&reused, &[]).unwrap()), Err(Refusal::Forged), "a number used twice");
}

/// One solution once minted many tokens (TecharoHQ/anubis#1003).
#[test]
fn of_a_hundred_redeems_of_one_solution_at_once_exactly_one_wins() {
    let puzzle = puzzle();
    let text = text(puzzle.token(), &nonces(&puzzle));
    let (ring, spent) = (ring(), SpentSet::new(100_000));
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let outcome = Solution::parse(&text).unwrap().verify(&ring, &HERE, NOW, &spent);
                outcomes.lock().unwrap().push(outcome.map(|_| ()));
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(Refusal::Spent)).count(), 99);
    let again = Solution::parse(&text).unwrap().verify(&ring, &HERE, UnixMillis(NOW.0 + 1_000), &spent);
    assert_eq!(again, Err(Refusal::Spent));
}

#[test]
fn false_solutions_do_not_fill_the_spent_set() {
    let puzzle = puzzle();
    let (ring, spent) = (ring(), SpentSet::new(10));
    for nonce in 0..1_000 {
        let text = text(puzzle.token(), &[nonce; 7]);
        assert_eq!(Solution::parse(&text).unwrap().verify(&ring, &HERE, NOW, &spent), Err(Refusal::Unsolved));
    }
    assert!(spent.is_empty());
}

#[test]
fn a_full_spent_set_says_busy() {
    let puzzle = puzzle();
    let text = text(puzzle.token(), &nonces(&puzzle));
    let spent = SpentSet::new(0);
    assert_eq!(Solution::parse(&text).unwrap().verify(&ring(), &HERE, NOW, &spent), Err(Refusal::Busy));
    assert_eq!(spent.busy_total(), 1);
}

#[test]
fn checking_costs_no_memory_for_a_part_and_a_false_solution_none_that_stays() {
    let bytes = |count: u16| {
        let strength = Strength::new(4, count).unwrap();
        let puzzle = Puzzle::issue(&ring(), ID, strength, &HERE, NOW, TTL);
        let good = text(puzzle.token(), &solve(&puzzle.seed(), strength));
        let (ring, spent) = (ring(), SpentSet::new(8));
        assert!(Solution::parse(&good).unwrap().check_work(&ring, &HERE, NOW).is_ok());
        let seen = allocation_counter::measure(|| {
            _ = Solution::parse(&good).and_then(|solution| solution.check_work(&ring, &HERE, NOW));
        });
        let false_ones = text(puzzle.token(), &vec![0; count.into()]);
        let refused = allocation_counter::measure(|| {
            _ = Solution::parse(&false_ones).and_then(|solution| solution.verify(&ring, &HERE, NOW, &spent));
        });
        assert_eq!(refused.bytes_current, 0, "nothing stays");
        (seen.count_total, refused.count_total)
    };
    assert_eq!(bytes(8), bytes(120));
    assert_eq!(bytes(120), (0, 0), "nor does the whole take any");
}

#[test]
fn the_largest_puzzle_fits_the_bounds() {
    let strength = Strength::new(1, MAX_COUNT).unwrap();
    let puzzle = Puzzle::issue(&ring(), ID, strength, &HERE, NOW, TTL);
    let text = text(puzzle.token(), &solve(&puzzle.seed(), strength));
    assert!(check(&text).is_ok());
    // With as many parts as can be that take memory.
    let memory = MemoryCost::new(1, 1, MAX_MEMORY_COUNT, 1).unwrap();
    let puzzle = Puzzle::issue(&ring(), ID, Work::new(strength, Some(memory)), &HERE, NOW, TTL);
    let mut nonces = solve(&puzzle.seed(), strength);
    nonces.extend(Scratch::new(memory).solve(&puzzle.seed(), memory));
    let text = self::text(puzzle.token(), &nonces);
    assert_eq!((text.len(), nonces.len()), (MAX_SOLUTION_BYTES, MAX_PARTS));
    let solution = Solution::parse(&text).unwrap();
    let spent = SpentSet::new(1);
    let solved = solution.verify_memory_hard(&ring(), &HERE, NOW, &spent, &mut Scratch::new(memory));
    assert_eq!(solved.map(|solved| solved.level), Ok(Level::MemoryHard));
    assert_eq!(check(&format!("{text}A")), Err(Refusal::TooLarge));
}

/// Two puzzles that differ in anything differ in their seed, even if an id should repeat.
#[test]
fn everything_that_was_signed_is_in_the_seed() {
    let base = puzzle().seed();
    let mut others = vec![
        Puzzle::issue(&ring(), [1; 16], easy(), &HERE, NOW, TTL),
        Puzzle::issue(&ring(), ID, Strength::RELAXED, &HERE, NOW, TTL),
        Puzzle::issue(&ring(), ID, easy(), &HERE, UnixMillis(NOW.0 + 1), TTL),
        Puzzle::issue(&ring(), ID, easy(), &HERE, NOW, TTL * 2),
        Puzzle::issue(&ring(), ID, easy(), &HERE, NOW, Lifetimes { puzzle: TTL, clearance: TTL * 2 }),
        Puzzle::issue(&KeyRing::new(&key(8), &[]).unwrap(), ID, easy(), &HERE, NOW, TTL),
    ];
    others.extend(elsewhere().map(|(_, binding)| Puzzle::issue(&ring(), ID, easy(), &binding, NOW, TTL)));
    assert!(others.iter().all(|other| other.seed() != base));
    assert_eq!(puzzle().seed(), base, "and nothing else is");
}

/// The vector of the protocol, which the page's script was held to as well.
#[test]
fn the_vector_of_the_protocol_holds() {
    let seed = Seed(std::array::from_fn(|i| u8::try_from(i).unwrap()));
    let nonces = solve(&seed, Strength::new(12, 4).unwrap());
    assert_eq!(nonces, [1755, 2539, 8491, 866]);
    assert_eq!(encode_nonces(&nonces), "AAAG2wAACesAACErAAADYg");
    let protocol = include_str!("../../assets/PROTOCOL.md");
    assert!(protocol.contains("1755, 2539, 8491 and 866") && protocol.contains("AAAG2wAACesAACErAAADYg"));
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_and_never_panics(text in ".*") {
        prop_assert!(check(&text).is_err());
    }

    #[test]
    fn arbitrary_bytes_in_the_form_of_a_token_are_refused(token in proptest::collection::vec(any::<u8>(), 0..160), nonces in proptest::collection::vec(any::<u8>(), 0..64)) {
        let text = format!("{}.{}", encode(&token), encode(&nonces));
        prop_assert!(check(&text).is_err());
    }

    #[test]
    fn arbitrary_nonces_under_a_good_token_are_refused(nonces in proptest::collection::vec(any::<u32>(), 0..20)) {
        let puzzle = puzzle();
        prop_assert_eq!(check(&text(puzzle.token(), &nonces)).unwrap_err(), Refusal::Unsolved);
    }
}
