//! Memory-hard puzzles.

use portcullis_challenge::{
    Algorithm, Clearance, Level, MemoryCost, Puzzle, Refusal, Scratch, Seed, Solution, Solved, SpentSet, Strength,
    Work, encode_nonces, problem, solve,
};

use crate::{HERE, ID, NOW, TTL, decode, encode, ring};

/// Little enough to be solved in every test.
fn cost() -> MemoryCost {
    MemoryCost::new(1, 1, 2, 1).unwrap()
}

fn work() -> Work {
    Work::new(Strength::new(4, 3).unwrap(), Some(cost()))
}

fn puzzle() -> Puzzle {
    Puzzle::issue(&ring(), ID, work(), &HERE, NOW, TTL)
}

fn nonces(puzzle: &Puzzle) -> Vec<u32> {
    let mut nonces = solve(&puzzle.seed(), puzzle.strength());
    nonces.extend(Scratch::new(cost()).solve(&puzzle.seed(), cost()));
    nonces
}

fn verify(puzzle: &Puzzle, nonces: &[u32], spent: &SpentSet) -> Result<Solved, Refusal> {
    let text = format!("{}.{}", puzzle.token(), encode_nonces(nonces));
    let solution = Solution::parse(&text)?;
    assert_eq!(solution.algorithm(&ring()), Ok(Algorithm::Argon2id));
    solution.verify_memory_hard(&ring(), &HERE, NOW, spent, &mut Scratch::new(cost()))
}

#[test]
fn a_memory_hard_puzzle_reaches_its_rung() {
    let (puzzle, spent) = (puzzle(), SpentSet::new(10));
    let nonces = nonces(&puzzle);
    let solved = verify(&puzzle, &nonces, &spent).unwrap();
    assert_eq!((solved.level, solved.work), (Level::MemoryHard, work()));
    assert_eq!(verify(&puzzle, &nonces, &spent), Err(Refusal::Spent), "and counts once");
    let value = Clearance::for_work(&ring(), ID, &solved, &HERE);
    assert_eq!(Clearance::verify(&ring(), &value, &HERE, NOW).unwrap().level, Level::MemoryHard);
}

/// The entry fee alone buys nothing, whichever function is asked.
#[test]
fn the_hashing_alone_is_not_enough() {
    let puzzle = puzzle();
    let good = nonces(&puzzle);
    let text = format!("{}.{}", puzzle.token(), encode_nonces(&good));
    let solution = Solution::parse(&text).unwrap();
    assert_eq!(solution.check_work(&ring(), &HERE, NOW), Err(Refusal::Unsolved));
    assert_eq!(solution.verify(&ring(), &HERE, NOW, &SpentSet::new(10)), Err(Refusal::Unsolved));
    assert_eq!(
        verify(&puzzle, &good[..3], &SpentSet::new(10)),
        Err(Refusal::Unsolved),
        "without the memory-hard parts"
    );
    assert_eq!(verify(&puzzle, &good[..4], &SpentSet::new(10)), Err(Refusal::Unsolved), "one is missing");
    assert_eq!(
        verify(&puzzle, &[&good[..], &[0]].concat(), &SpentSet::new(10)),
        Err(Refusal::Unsolved),
        "one too many"
    );
}

/// Memory is filled once for each puzzle, and for none whose hashing was not done.
#[test]
fn a_false_solution_costs_its_puzzle_and_one_check() {
    let (puzzle, spent) = (puzzle(), SpentSet::new(10));
    let good = nonces(&puzzle);
    let wrong_at = |part: usize| {
        let with = |nonce| {
            let mut nonces = good.clone();
            nonces[part] = nonce;
            nonces
        };
        (0..).map(with).find(|nonces| verify(&puzzle, nonces, &SpentSet::new(10)).is_err()).unwrap()
    };
    assert_eq!(verify(&puzzle, &wrong_at(0), &spent), Err(Refusal::Unsolved));
    assert!(spent.is_empty(), "the fee was not paid: refused before anything was spent");
    assert_eq!(verify(&puzzle, &wrong_at(4), &spent), Err(Refusal::Unsolved));
    assert_eq!(spent.len(), 1, "used up");
    assert_eq!(verify(&puzzle, &good, &spent), Err(Refusal::Spent));
}

#[test]
fn a_puzzle_without_memory_is_verified_as_before() {
    let strength = Strength::new(4, 3).unwrap();
    let puzzle = Puzzle::issue(&ring(), ID, strength, &HERE, NOW, TTL);
    let text = format!("{}.{}", puzzle.token(), encode_nonces(&solve(&puzzle.seed(), strength)));
    let solution = Solution::parse(&text).unwrap();
    assert_eq!(solution.algorithm(&ring()), Ok(Algorithm::Sha256));
    let mut scratch = Scratch::new(cost());
    let solved = solution.verify_memory_hard(&ring(), &HERE, NOW, &SpentSet::new(10), &mut scratch).unwrap();
    assert_eq!(solved.level, Level::ProofOfWork);
}

#[test]
fn no_byte_of_a_memory_hard_token_can_be_changed() {
    let puzzle = puzzle();
    let nonces = encode_nonces(&nonces(&puzzle));
    let bytes = decode(puzzle.token());
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0xff;
        let text = format!("{}.{nonces}", encode(&bytes));
        let spent = SpentSet::new(10);
        let refusal = Solution::parse(&text)
            .unwrap()
            .verify_memory_hard(&ring(), &HERE, NOW, &spent, &mut Scratch::new(cost()))
            .unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed | Refusal::UnknownKey | Refusal::Forged), "{at}: {refusal}");
        assert!(spent.is_empty());
    }
}

#[test]
fn a_program_is_told_how_much_memory() {
    let mut out = String::new();
    problem::render_puzzle(&puzzle(), &mut out);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["algorithm"], "argon2id");
    for (member, number) in [
        ("memory_mebibytes", 1),
        ("memory_passes", 1),
        ("memory_count", 2),
        ("memory_difficulty_bits", 1),
        ("count", 3),
    ] {
        assert_eq!(value[member], number, "{member}");
    }
    assert!(value.get("redeem").is_none());
}

/// Found with the reference implementation, by way of `argon2-cffi` 25.1: a seed of the bytes 0 to 31, 1 MiB, one pass.
#[test]
fn the_vector_of_the_memory_hard_protocol_holds() {
    let seed = Seed(std::array::from_fn(|i| u8::try_from(i).unwrap()));
    let cost = MemoryCost::new(1, 1, 2, 4).unwrap();
    assert_eq!(Scratch::new(cost).solve(&seed, cost), [10, 8]);
    assert!(include_str!("../../assets/PROTOCOL.md").contains("the least nonces are 10 and 8"));
}
