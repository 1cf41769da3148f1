use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::error::FeedError;
use crate::mmdb::GZIP_MAGIC;

/// The bytes themselves, or what is in them if they are gzip (RFC 1952); never more than `most`.
///
/// # Errors
///
/// [`FeedError::TooLarge`] past that, and [`FeedError::Gzip`] where they only begin as gzip does.
pub fn unpacked(bytes: &[u8], most: usize) -> Result<Cow<'_, [u8]>, FeedError> {
    let too_large = FeedError::TooLarge { most_bytes: most };
    if !bytes.starts_with(&GZIP_MAGIC) {
        return if bytes.len() > most { Err(too_large) } else { Ok(Cow::Borrowed(bytes)) };
    }
    let mut unpacked = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes)
        .take(bound)
        .read_to_end(&mut unpacked)
        .map_err(|error| FeedError::Gzip { reason: error.to_string() })?;
    if unpacked.len() > most { Err(too_large) } else { Ok(Cow::Owned(unpacked)) }
}
