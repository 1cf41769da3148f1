//! The door between "fine" and "no": puzzles, solutions, clearances and signed verdicts.
//!
//! ```text
//! challenged ──► Puzzle::issue ──► page or problem+json ──► the client works
//!                                                              │
//! origin ◄── Clearance::verify ◄── Clearance::for_work ◄── Solution::verify ──► SpentSet
//!   ▲
//!   └── Verdict: score, action, reasons, signed for the origin with a secret of its own
//! ```
//!
//! Everything here is pure: the time, random bytes and keys are arguments. A puzzle and a
//! clearance carry all that the gateway later needs to judge them, under one message
//! authentication code, so nothing is stored between issuing and redeeming; only that a puzzle
//! *was* redeemed is remembered, in the bounded [`SpentSet`].
//!
//! The gateway believes nothing that a client says about a puzzle. Difficulty, number of parts,
//! expiry and binding are read from the authenticated token and from nowhere else.
//!
//! A clearance carries the work that was done for it, and is good for as long as the route said that
//! asked for the work; a caller lets it open only routes that ask for no more
//! ([`Clearance::covers`]).
//!
//! The keys of puzzles and of clearances have different lives. A clearance outlives a restart when
//! its key does; a puzzle must not, as the spent set begins empty. Two rings serve that: one that is
//! kept for clearances, one that each process makes anew for puzzles.
//!
//! What a client has to do is written down in [`protocol`].

mod binding;
mod brand;
mod clearance;
mod cookie;
mod headers;
mod json;
mod keys;
mod nonce;
pub mod page;
pub mod problem;
mod puzzle;
mod refusal;
mod return_target;
mod script;
mod solution;
mod spent;
mod strength;
mod texts;
mod time;
mod token;
mod verdict;
mod work;

pub use binding::Binding;
pub use brand::{Brand, BrandError, Colour, Logo, MAX_LOGO_BYTES};
pub use clearance::{Clearance, Level, MAX_CLEARANCE_TTL};
pub use cookie::{Scheme, cookie_name, set_cookie};
pub use headers::{LIBRARY_HEADERS, PAGE_HEADERS, PROBLEM_HEADERS, SCRIPT_HEADERS};
pub use keys::{KeyId, KeyRing, KeyRingError, SigningKey};
pub use nonce::CspNonce;
pub use puzzle::{Lifetimes, MAX_PUZZLE_TTL, Puzzle};
pub use refusal::Refusal;
pub use return_target::{LocalPath, MAX_RETURN_BYTES, return_target};
pub use solution::{MAX_SOLUTION_BYTES, Solution, Solved};
pub use spent::{Spent, SpentEntry, SpentSet};
pub use strength::{
    Algorithm, MAX_COUNT, MAX_DIFFICULTY_BITS, MAX_EXPECTED_HASHES, MIN_COUNT, MIN_DIFFICULTY_BITS, Strength,
    StrengthError,
};
pub use texts::{ENGLISH, MAX_RANGES, Texts};
pub use time::UnixMillis;
pub use verdict::{Verdict, VerdictKeyError, VerdictSigner, VerifiedVerdict, verify_verdict};
pub use work::{Seed, encode_nonces, solve, solve_part};

/// The protocol between the gateway and whoever solves a puzzle.
pub mod protocol {
    #![doc = include_str!("../assets/PROTOCOL.md")]
}
