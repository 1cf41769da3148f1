//! The form that puzzles and clearances share: fields of fixed width under one code.
//!
//! ```text
//! base64url, no padding, of
//!   version      1 byte, 2
//!   key id       4 bytes, big-endian
//!   payload      fields of fixed width
//!   code         32 bytes: HMAC-SHA256 under the purpose's subkey, over all before it
//! ```
//!
//! Every field has one width, so the authenticated bytes can be read in one way only; what varies
//! in length enters through [`Binding`](crate::Binding)'s digest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;

use crate::keys::{KeyId, KeyRing, Purpose};
use crate::refusal::Refusal;
use crate::time::UnixMillis;

/// The code at a token's end.
pub(crate) type Tag = [u8; TAG_BYTES];

/// A payload of fixed width. `BYTES` is the width; both directions name the fields in one order.
pub(crate) trait Payload: Sized {
    const PURPOSE: Purpose;
    const BYTES: usize;
    fn write(&self, out: &mut Vec<u8>);
    fn read(fields: &mut Fields<'_>) -> Option<Self>;
}

/// The length of the text of a token with a payload of `P`.
pub(crate) const fn text_len<P: Payload>() -> usize {
    ((HEAD_BYTES + P::BYTES + TAG_BYTES) * 4).div_ceil(3)
}

/// Signs `payload` with the ring's current key.
pub(crate) fn seal<P: Payload>(ring: &KeyRing, payload: &P) -> (String, Tag) {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + P::BYTES + TAG_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(&ring.current_id().0.to_be_bytes());
    payload.write(&mut bytes);
    debug_assert_eq!(bytes.len(), HEAD_BYTES + P::BYTES, "a payload is as wide as it says");
    let tag: Tag = ring.signer(P::PURPOSE).chain_update(&bytes).finalize().into_bytes().into();
    bytes.extend_from_slice(&tag);
    (URL_SAFE_NO_PAD.encode(bytes), tag)
}

/// Checks `text` and reads its payload: length, then code, and only then any field.
///
/// No allocation, and one code computed, whatever the text is.
pub(crate) fn open<P: Payload>(ring: &KeyRing, text: &str) -> Result<(P, Tag), Refusal> {
    if text.len() != text_len::<P>() {
        return Err(Refusal::Malformed);
    }
    let mut buffer = [0; MAX_TOKEN_BYTES];
    let len = URL_SAFE_NO_PAD.decode_slice(text, &mut buffer).map_err(|_| Refusal::Malformed)?;
    let bytes = buffer.get(..len).ok_or(Refusal::Malformed)?;
    let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(Refusal::Malformed)?;

    let mut fields = Fields(signed);
    let version = fields.byte().ok_or(Refusal::Malformed)?;
    let id = KeyId(u32::from_be_bytes(fields.take().ok_or(Refusal::Malformed)?));
    if version != VERSION {
        return Err(Refusal::Malformed);
    }
    ring.checker(id, P::PURPOSE)?.chain_update(signed).verify_slice(tag).map_err(|_| Refusal::Forged)?;

    let payload = P::read(&mut fields).ok_or(Refusal::Malformed)?;
    if fields.0.is_empty() { Ok((payload, *tag)) } else { Err(Refusal::Malformed) }
}

/// What is left to read of a token.
pub(crate) struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn time(&mut self) -> Option<UnixMillis> {
        Some(UnixMillis(u64::from_be_bytes(self.take()?)))
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]: [u8; 1]| byte)
    }
}

/// The version of this form. A gateway accepts one version; a new one is a new number.
const VERSION: u8 = 2;
const HEAD_BYTES: usize = 1 + 4;
const TAG_BYTES: usize = 32;

/// Room for the widest token. Past it a token is malformed; the tests hold that all payloads fit.
const MAX_TOKEN_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clearance::ClearancePayload;
    use crate::puzzle::PuzzlePayload;
    use crate::response::ResponsePayload;
    use crate::wait::WaitPayload;

    #[test]
    fn every_token_fits_the_buffer() {
        for bytes in [PuzzlePayload::BYTES, ClearancePayload::BYTES, WaitPayload::BYTES, ResponsePayload::BYTES] {
            assert!(HEAD_BYTES + bytes + TAG_BYTES <= MAX_TOKEN_BYTES, "{bytes}");
        }
    }
}
