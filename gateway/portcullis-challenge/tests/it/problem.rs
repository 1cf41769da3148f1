//! Answers for programs.

use portcullis_challenge::problem::{self, Problem};
use portcullis_challenge::{Puzzle, Refusal, Seed, Solution, Strength, encode_nonces, solve};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{HERE, ID, NOW, TTL, ring};

fn parsed(problem: &Problem<'_>) -> Value {
    let mut out = String::new();
    problem::render(problem, &mut out);
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_program_is_told_all_that_it_needs_to_solve_and_redeem() {
    let puzzle = Puzzle::issue(&ring(), ID, Strength::RELAXED, &HERE, NOW, TTL);
    let problem = parsed(&Problem::challenge(&puzzle, "/.well-known/portcullis/redeem", "01JABCDEF"));
    assert_eq!(problem["status"], 403);
    assert_eq!(problem["code"], "challenge");
    assert_eq!(problem["reference"], "01JABCDEF");
    assert_eq!(
        problem["challenge"],
        json!({
            "algorithm": "sha256", "difficulty_bits": 12, "count": 60, "seed": puzzle.seed().to_hex(),
            "token": puzzle.token(), "redeem": "/.well-known/portcullis/redeem", "expires_unix_secs": 1_760_000_300,
        })
    );

    let challenge = &problem["challenge"];
    let seed = Seed::from_hex(challenge["seed"].as_str().unwrap()).unwrap();
    let nonces = solve(&seed, Strength::RELAXED);
    let text = format!("{}.{}", challenge["token"].as_str().unwrap(), encode_nonces(&nonces));
    assert!(Solution::parse(&text).unwrap().check_work(&ring(), &HERE, NOW).is_ok());
}

#[test]
fn a_refused_redeem_says_why_and_whose_turn_it_is() {
    for refusal in Refusal::ALL {
        let detail = refusal.to_string();
        let problem = parsed(&Problem::redeem(refusal, &detail, "1"));
        let status = match refusal {
            Refusal::Malformed => 400,
            Refusal::TooLarge => 413,
            Refusal::Busy => 503,
            _ => 403,
        };
        assert_eq!(problem["status"], status, "{refusal:?}");
        assert_eq!(problem["code"], refusal.reason());
        assert_eq!(problem["detail"], detail);
        assert!(problem.get("challenge").is_none());
    }
}

proptest! {
    #[test]
    fn every_text_comes_back_as_it_was(kind in ".*", title in ".*", detail in ".*", code in ".+", reference_id in ".*", status: u16) {
        let problem = Problem { kind: &kind, title: &title, status, detail: &detail, code: &code, reference_id: &reference_id, challenge: None };
        prop_assert_eq!(parsed(&problem), json!({
            "type": kind, "title": title, "status": status, "detail": detail, "code": code, "reference": reference_id,
        }));
    }
}
