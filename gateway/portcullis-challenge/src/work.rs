//! The work itself: what has to be found, and finding it.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::block_api::compress256;

use crate::Strength;

/// The 32 bytes from which the parts of one puzzle are made.
///
/// It is the code at the end of the puzzle's token: no client can choose or foresee it, every
/// field that was signed is in it, and the work for one puzzle is worth nothing for another.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// The seed as 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
    }

    /// The seed from 64 hexadecimal digits, `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut seed = [0; 32];
        if pairs.len() != seed.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in seed.iter_mut().zip(pairs) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(seed))
    }
}

/// Finds the nonces of all parts, one after the other, on this thread.
///
/// This is what the page does, for tests and for clients that are programs. See [`solve_part`] to
/// spread the parts over threads.
#[must_use]
pub fn solve(seed: &Seed, strength: Strength) -> Vec<u32> {
    (0..strength.count())
        // Up to the greatest difficulty a part without solution has a chance of e^-256.
        .map(|part| solve_part(seed, part, strength.difficulty_bits()).unwrap_or(u32::MAX))
        .collect()
}

/// Finds the least nonce of one part, counted from 0; `None` when none of the 2^32 solves it.
#[must_use]
pub fn solve_part(seed: &Seed, part: u16, difficulty_bits: u8) -> Option<u32> {
    solve_part_within(seed, part, difficulty_bits, 0..=u32::MAX)
}

/// Finds the least nonce of one part among these, for a solver that looks up from time to time.
#[must_use]
pub fn solve_part_within(seed: &Seed, part: u16, difficulty_bits: u8, mut nonces: RangeInclusive<u32>) -> Option<u32> {
    let mut statement = Statement::new(seed);
    statement.set_part(part);
    nonces.find(|&nonce| statement.holds(nonce, difficulty_bits))
}

/// The text of `nonces` in a solution: base64url without padding of their big-endian bytes.
#[must_use]
pub fn encode_nonces(nonces: &[u32]) -> String {
    let bytes: Vec<u8> = nonces.iter().flat_map(|nonce| nonce.to_be_bytes()).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The one SHA-256 block of a part: `seed (32) ‖ part (4) ‖ nonce (4)` and the padding.
///
/// 40 bytes are one block with their padding (FIPS 180-4 §5.1.1), so a part costs one compression,
/// which is what makes checking cheap.
pub(crate) struct Statement {
    block: [u8; 64],
}

impl Statement {
    pub(crate) fn new(seed: &Seed) -> Self {
        let mut block = [0; 64];
        block[..32].copy_from_slice(&seed.0);
        block[40] = 0x80;
        block[62..].copy_from_slice(&MESSAGE_BITS.to_be_bytes());
        Self { block }
    }

    pub(crate) fn set_part(&mut self, part: u16) {
        self.block[32..36].copy_from_slice(&u32::from(part).to_be_bytes());
    }

    /// Whether `nonce` solves the part that was set.
    pub(crate) fn holds(&mut self, nonce: u32, difficulty_bits: u8) -> bool {
        self.block[36..40].copy_from_slice(&nonce.to_be_bytes());
        let mut state = INITIAL_STATE;
        compress256(&mut state, std::slice::from_ref(&self.block));
        // The greatest difficulty is below 32 bits: the first word of the hash decides.
        state[0].leading_zeros() >= u32::from(difficulty_bits)
    }
}

const MESSAGE_BITS: u16 = 40 * 8;

/// The initial hash value (FIPS 180-4 §5.3.3).
const INITIAL_STATE: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    /// The statement as the protocol says it, by the library's own hash of the whole message.
    fn holds_by_the_protocol(seed: &Seed, part: u16, nonce: u32, bits: u8) -> bool {
        let hash = Sha256::new()
            .chain_update(seed.0)
            .chain_update(u32::from(part).to_be_bytes())
            .chain_update(nonce.to_be_bytes())
            .finalize();
        let mut zeros = 0;
        for byte in hash {
            zeros += byte.leading_zeros();
            if byte != 0 {
                break;
            }
        }
        zeros >= u32::from(bits)
    }

    proptest! {
        #[test]
        fn the_single_block_is_the_hash_that_the_protocol_names(seed: [u8; 32], part: u16, nonce: u32, bits in 1_u8..=12) {
            let seed = Seed(seed);
            let mut statement = Statement::new(&seed);
            statement.set_part(part);
            prop_assert_eq!(statement.holds(nonce, bits), holds_by_the_protocol(&seed, part, nonce, bits));
        }

        #[test]
        fn a_found_nonce_solves_its_part_and_no_smaller_one_does(seed: [u8; 32], part: u16, bits in 1_u8..=9) {
            let seed = Seed(seed);
            let nonce = solve_part(&seed, part, bits).unwrap();
            prop_assert!(holds_by_the_protocol(&seed, part, nonce, bits));
            prop_assert!((0..nonce).all(|smaller| !holds_by_the_protocol(&seed, part, smaller, bits)));
        }

        #[test]
        fn a_seed_reads_back_from_its_hexadecimal_form(seed: [u8; 32]) {
            prop_assert_eq!(Seed::from_hex(&Seed(seed).to_hex()), Some(Seed(seed)));
        }
    }

    #[test]
    fn a_seed_of_another_length_or_alphabet_is_none() {
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"0".repeat(66), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Seed::from_hex(text), None, "{text}");
        }
    }
}
