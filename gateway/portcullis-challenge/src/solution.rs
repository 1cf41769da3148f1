//! Solutions: work that was done, and checking it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::binding::Binding;
use crate::clearance::Level;
use crate::evidence::Signals;
use crate::keys::KeyRing;
use crate::memory::Scratch;
use crate::network::Move;
use crate::puzzle::{PuzzlePayload, in_time};
use crate::refusal::Refusal;
use crate::spent::SpentSet;
use crate::strength::{Algorithm, MAX_PARTS, Work};
use crate::time::UnixMillis;
use crate::token;
use crate::work::{Seed, Statement};

/// What a client sends to redeem a puzzle: `token.nonces`, still unchecked.
///
/// `nonces` is base64url without padding of one big-endian `u32` for each part, in order. The
/// client says nothing else, and would not be believed: what was asked of it stands in the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Solution<'a> {
    token: &'a str,
    nonces: &'a str,
}

impl<'a> Solution<'a> {
    /// Splits the text of a solution, `token.nonces`.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`] past [`MAX_SOLUTION_BYTES`], [`Refusal::Malformed`] without the dot.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > MAX_SOLUTION_BYTES {
            return Err(Refusal::TooLarge);
        }
        let (token, nonces) = text.split_once('.').ok_or(Refusal::Malformed)?;
        Ok(Self { token, nonces })
    }

    /// Reads the body of a redeem request: the text of a solution, alone or as the only field of a
    /// form, `solution=token.nonces`.
    ///
    /// # Errors
    ///
    /// As [`Solution::parse`]; a body that is not ASCII is [`Refusal::Malformed`].
    pub fn from_body(body: &'a [u8]) -> Result<Self, Refusal> {
        if body.len() > MAX_SOLUTION_BYTES + FIELD.len() {
            return Err(Refusal::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| Refusal::Malformed)?;
        Self::parse(text.strip_prefix(FIELD).unwrap_or(text))
    }

    /// A solution from its two parts.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`] when both together pass [`MAX_SOLUTION_BYTES`].
    pub const fn from_parts(token: &'a str, nonces: &'a str) -> Result<Self, Refusal> {
        if token.len().saturating_add(nonces.len()) >= MAX_SOLUTION_BYTES {
            return Err(Refusal::TooLarge);
        }
        Ok(Self { token, nonces })
    }

    /// The function that the puzzle was made with, for a caller that checks memory-hard ones elsewhere
    /// than on its hot path. One code is computed and no table touched.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] of the token's form or code.
    pub fn algorithm(&self, ring: &KeyRing) -> Result<Algorithm, Refusal> {
        token::open::<PuzzlePayload>(ring, self.token).map(|(payload, _)| payload.work.algorithm())
    }

    /// Checks everything and redeems the puzzle: of any number of calls with one puzzle, at once or
    /// one after the other, exactly one succeeds.
    ///
    /// Cheapest first, and each step only when those before it held: size, authentication code,
    /// time, binding, work, and last the spent set, so that false solutions never fill it.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] of the first step that did not hold. A memory-hard puzzle is
    /// [`Refusal::Unsolved`] here: see [`verify_memory_hard`](Self::verify_memory_hard).
    pub fn verify(
        &self,
        ring: &KeyRing,
        binding: &Binding<'_>,
        now: UnixMillis,
        spent: &SpentSet,
    ) -> Result<Solved, Refusal> {
        let solved = self.check_work(ring, binding, now)?;
        spent.spend(solved.id, solved.expires_at, now).map_err(Refusal::from)?;
        Ok(solved)
    }

    /// The same for memory-hard puzzles, and for the others too.
    ///
    /// The puzzle is spent after its hashing was checked and before any memory is filled: the costly
    /// check is made once for each puzzle, and only for those whose entry fee was paid. A wrong solution
    /// uses its puzzle up. How many of these run at once is how many [`Scratch`]es the caller has.
    ///
    /// # Errors
    ///
    /// As [`Solution::verify`].
    pub fn verify_memory_hard(
        &self,
        ring: &KeyRing,
        binding: &Binding<'_>,
        now: UnixMillis,
        spent: &SpentSet,
        scratch: &mut Scratch,
    ) -> Result<Solved, Refusal> {
        let (solved, seed) = self.check_hashes(ring, binding, now)?;
        spent.spend(solved.id, solved.expires_at, now).map_err(Refusal::from)?;
        let Some(memory) = solved.work.memory() else { return Ok(solved) };
        let mut buffer = NonceBuffer::default();
        let nonces = buffer.decode(self.nonces)?.get(usize::from(solved.work.hashes().count())..).unwrap_or_default();
        let mut parts = (0..).zip(nonces);
        if parts.all(|(part, nonce)| scratch.holds(&seed, memory, part, u32::from_be_bytes(*nonce))) {
            Ok(solved)
        } else {
            Err(Refusal::Unsolved)
        }
    }

    /// Checks everything but that the puzzle was not redeemed before.
    ///
    /// For callers whose spent set is somewhere else, such as a store that machines share. They
    /// must ask it, after this and before they grant anything.
    ///
    /// # Errors
    ///
    /// As [`Solution::verify`], without [`Refusal::Spent`] and [`Refusal::Busy`].
    pub fn check_work(&self, ring: &KeyRing, binding: &Binding<'_>, now: UnixMillis) -> Result<Solved, Refusal> {
        let (solved, _) = self.check_hashes(ring, binding, now)?;
        // INVARIANT: nothing is granted for the entry fee alone.
        if solved.work.memory().is_some() { Err(Refusal::Unsolved) } else { Ok(solved) }
    }

    /// Checks all but the memory-hard part and the spent set.
    fn check_hashes(&self, ring: &KeyRing, binding: &Binding<'_>, now: UnixMillis) -> Result<(Solved, Seed), Refusal> {
        let (payload, tag) = token::open::<PuzzlePayload>(ring, self.token)?;
        in_time(payload.issued_at, payload.expires_at, now)?;
        let moved = payload.bound.admit(binding)?;
        let seed = Seed(tag);
        self.check_nonces(&seed, payload.work)?;
        let solved = Solved {
            id: payload.id,
            level: payload.level(),
            work: payload.work,
            issued_at: payload.issued_at,
            expires_at: payload.expires_at,
            clearance_ttl: payload.clearance_ttl.duration(),
            redeemed_at: now,
            moved,
            findings: Signals::default(),
        };
        Ok((solved, seed))
    }

    fn check_nonces(&self, seed: &Seed, work: Work) -> Result<(), Refusal> {
        let mut buffer = NonceBuffer::default();
        let nonces = buffer.decode(self.nonces)?;
        let hashes = work.hashes();
        let parts = usize::from(hashes.count()) + work.memory().map_or(0, |memory| usize::from(memory.count()));
        // INVARIANT: one nonce for each part asked for; fewer would be less work, more is not ours.
        if nonces.len() != parts {
            return Err(Refusal::Unsolved);
        }
        let mut statement = Statement::new(seed);
        for (part, nonce) in (0..hashes.count()).zip(nonces) {
            statement.set_part(part);
            if !statement.holds(u32::from_be_bytes(*nonce), hashes.difficulty_bits()) {
                return Err(Refusal::Unsolved);
            }
        }
        Ok(())
    }
}

/// Room for the nonces of the most parts, on the stack.
struct NonceBuffer([u8; NONCE_BYTES * MAX_PARTS]);

impl Default for NonceBuffer {
    fn default() -> Self {
        Self([0; NONCE_BYTES * MAX_PARTS])
    }
}

impl NonceBuffer {
    /// The nonces in a text of base64url; one that is cut is no nonce.
    fn decode(&mut self, text: &str) -> Result<&[[u8; NONCE_BYTES]], Refusal> {
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut self.0).map_err(|_| Refusal::Malformed)?;
        let (nonces, rest) = self.0.get(..len).unwrap_or_default().as_chunks::<NONCE_BYTES>();
        if rest.is_empty() { Ok(nonces) } else { Err(Refusal::Unsolved) }
    }
}

/// A puzzle whose work was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Solved {
    /// The random bytes that name the puzzle.
    pub id: [u8; 16],
    /// The rung that was reached.
    pub level: Level,
    /// The work that was done.
    pub work: Work,
    /// When the puzzle was issued.
    pub issued_at: UnixMillis,
    /// Until when the puzzle has to be remembered as spent.
    pub expires_at: UnixMillis,
    /// How long the clearance for it is good, as the route that asked for the work said.
    pub clearance_ttl: Duration,
    /// When the solution was checked.
    pub redeemed_at: UnixMillis,
    /// How far the client moved from where the puzzle was issued.
    pub moved: Move,
    /// What the evidence showed that came with the solution: none until the caller judged it and says so
    /// here. The clearance carries it on.
    pub findings: Signals,
}

impl Solved {
    /// How long it took from issuing to redeeming, to be held against what the client claims to be.
    #[must_use]
    pub const fn took(&self) -> Duration {
        self.redeemed_at.since(self.issued_at)
    }
}

const FIELD: &str = "solution=";
const NONCE_BYTES: usize = 4;

/// The longest text of a solution: a token, a dot, and the nonces of the most parts. Anything
/// longer was not asked for and is refused unread.
pub const MAX_SOLUTION_BYTES: usize =
    token::text_len::<PuzzlePayload>() + 1 + (NONCE_BYTES * MAX_PARTS * 4).div_ceil(3);
