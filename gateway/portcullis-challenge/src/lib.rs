//! The door between "fine" and "no": puzzles, solutions, clearances and signed verdicts.
//!
//! ```text
//! challenged ──► Ask::offer ──► Puzzle::issue ──► page or problem+json ──► the client works
//!                    │          Wait::begin   ──► page without script ───► the client waits
//!                    └─► a sign-in                                             │ RedeemForm
//!                                                                              ▼
//! origin ◄── Budgets ◄── Clearance::verify ◄── Clearance::for_work ◄── Solution::verify ──► SpentSet
//!   ▲        Revocations                       Clearance::for_wait     Wait::redeem
//!   │                                          Response::issue         Evidence::judge
//!   └── Verdict: score, action, reasons, signed for the origin with a secret of its own
//!
//! a site that is not proxied:
//!   widget ──► SiteKey::admit ──► Puzzle ──► Response ──► form ──► its backend ──► siteverify
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
//! A clearance is good within its holder's network and family of clients, for as many requests, prefixes
//! and networks as one client needs ([`Budgets`]), and until an operator takes it back
//! ([`Revocations`]). All of these are asked after its code held, so that nothing that a stranger
//! makes up touches a table.
//!
//! The keys of puzzles and of clearances have different lives. A clearance outlives a restart when
//! its key does; a puzzle must not, as the spent set begins empty. Two rings serve that: one that is
//! kept for clearances, one that each process makes anew for puzzles, and for waits and responses, which
//! count once as well.
//!
//! What a client has to do is written down in [`protocol`], what is collected of it in
//! [`evidence::privacy`].

mod binding;
mod brand;
mod budget;
mod clearance;
mod cookie;
pub mod evidence;
mod form;
mod headers;
mod json;
mod keys;
mod memory;
mod network;
mod nonce;
pub mod page;
pub mod problem;
mod puzzle;
mod redeem;
mod refusal;
mod response;
mod return_target;
mod revocation;
pub mod rung;
mod script;
mod sighting;
pub mod site;
pub mod siteverify;
mod solution;
mod spent;
mod strength;
mod texts;
mod time;
mod token;
mod usage;
mod verdict;
mod wait;
mod work;

pub use binding::Binding;
pub use brand::{Brand, BrandError, Colour, Logo, MAX_LOGO_BYTES};
pub use budget::{Budget, Budgets, MAX_ADDRESSES, MAX_SYSTEMS};
pub use clearance::{Clearance, Level, MAX_CLEARANCE_TTL, RENEWAL_DISCOUNT};
pub use cookie::{Scheme, cookie_name, set_cookie};
pub use headers::{LIBRARY_HEADERS, PAGE_HEADERS, PROBLEM_HEADERS, SCRIPT_HEADERS};
pub use keys::{KeyId, KeyRing, KeyRingError, SigningKey};
pub use memory::{
    MAX_CHECKED_MEBIBYTES, MAX_FILLED_MEBIBYTES, MAX_MEBIBYTES, MAX_MEMORY_BITS, MAX_MEMORY_COUNT, MAX_PASSES,
    MemoryCost, MemoryCostError, Scratch,
};
pub use network::{Move, Network, Tolerance};
pub use nonce::CspNonce;
pub use page::push_escaped;
pub use puzzle::{Lifetimes, MAX_PUZZLE_TTL, Puzzle};
pub use redeem::{MAX_REDEEM_BYTES, Proof, RedeemForm};
pub use refusal::Refusal;
pub use response::{MAX_RESPONSE_BYTES, RESPONSE_TTL, Response, VerifiedResponse};
pub use return_target::{LocalPath, MAX_RETURN_BYTES, return_target};
pub use revocation::{Cohort, CohortError, MAX_REVOCATIONS, Revocations, RevocationsFull, Revoked};
pub use sighting::{SOLVE_SECONDS, Sighting, Step};
pub use solution::{MAX_SOLUTION_BYTES, Solution, Solved};
pub use spent::{Spent, SpentEntry, SpentSet};
pub use strength::{
    Algorithm, MAX_COUNT, MAX_DIFFICULTY_BITS, MAX_EXPECTED_HASHES, MAX_PARTS, MIN_COUNT, MIN_DIFFICULTY_BITS,
    Strength, StrengthError, Work,
};
pub use texts::{ENGLISH, MAX_RANGES, Texts, negotiate};
pub use time::UnixMillis;
pub use usage::{Billable, Counts, Usage};
pub use verdict::{Verdict, VerdictKeyError, VerdictSigner, VerifiedVerdict, verify_verdict};
pub use wait::{MAX_WAIT, MIN_WAIT, Wait, Waited};
pub use work::{Seed, encode_nonces, solve, solve_part, solve_part_within};

/// The protocol between the gateway and whoever solves a puzzle.
pub mod protocol {
    #![doc = include_str!("../assets/PROTOCOL.md")]
}
