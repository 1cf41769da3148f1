//! What a client posts to be let through.

use std::borrow::Cow;

use crate::evidence::MAX_EVIDENCE_BYTES;
use crate::form::{self, Unreadable};
use crate::refusal::Refusal;
use crate::return_target::MAX_RETURN_BYTES;
use crate::solution::{MAX_SOLUTION_BYTES, Solution};

/// The body of a redeem request, unchecked: `solution=…&evidence=…`, `site=…&solution=…&evidence=…`,
/// `wait=…&return=…`, or a bare solution.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedeemForm<'a> {
    /// What it is redeemed with.
    pub proof: Proof<'a>,
    /// The page's evidence as JSON text, where it sent any. See [`evidence`](crate::evidence).
    pub evidence: Option<Cow<'a, str>>,
    /// The public site key, where a widget redeems.
    pub site: Option<Cow<'a, str>>,
    /// Where a page without a script wants to go, unchecked: see [`return_target`](crate::return_target).
    pub return_to: Option<Cow<'a, str>>,
}

/// What a client shows to be let through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proof<'a> {
    /// A solution of a puzzle.
    Solution(Solution<'a>),
    /// The token of a wait.
    Wait(&'a str),
}

impl<'a> RedeemForm<'a> {
    /// Reads a body. Fields that are not known are left alone, and none of them changes what the
    /// proof is worth: that stands in its token.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`] past [`MAX_REDEEM_BYTES`], unread; [`Refusal::Malformed`] for what is not
    /// a form, has no proof, has two, or has a field of ours twice.
    pub fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        if body.len() > MAX_REDEEM_BYTES {
            return Err(Refusal::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| Refusal::Malformed)?;
        if !text.contains('=') {
            let proof = Proof::Solution(Solution::parse(text)?);
            return Ok(Self { proof, evidence: None, site: None, return_to: None });
        }
        let (mut proof, mut evidence, mut site, mut return_to) = (None, None, None, None);
        for (name, value) in form::fields(text) {
            let twice = match name {
                // Tokens have no character that a form encodes.
                "solution" => proof.replace(Proof::Solution(Solution::parse(value)?)).is_some(),
                "wait" => proof.replace(Proof::Wait(value)).is_some(),
                "evidence" => evidence.replace(decode(value)?).is_some(),
                "site" => site.replace(decode(value)?).is_some(),
                "return" => return_to.replace(decode(value)?).is_some(),
                _ => false,
            };
            if twice {
                return Err(Refusal::Malformed);
            }
        }
        proof.map(|proof| Self { proof, evidence, site, return_to }).ok_or(Refusal::Malformed)
    }
}

fn decode(value: &str) -> Result<Cow<'_, str>, Refusal> {
    form::decode(value).map_err(|Unreadable| Refusal::Malformed)
}

/// The longest body of a redeem that is read: a solution, evidence and a return path of which each byte
/// is encoded, a site key and the names.
pub const MAX_REDEEM_BYTES: usize = MAX_SOLUTION_BYTES + 3 * (MAX_EVIDENCE_BYTES + MAX_RETURN_BYTES) + 256;
