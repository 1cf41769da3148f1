//! The widget's response: what a form carries to its backend, and the backend to siteverify.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::binding::{BindingDigest, digest};
use crate::clearance::Level;
use crate::evidence::Signals;
use crate::keys::{KeyRing, Purpose};
use crate::network::Network;
use crate::puzzle::in_time;
use crate::refusal::Refusal;
use crate::spent::SpentSet;
use crate::time::UnixMillis;
use crate::token::{self, Fields, Payload};

/// What a solved challenge of a widget says, to be verified once by the site's backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Response<'a> {
    /// The random bytes that name it.
    pub id: [u8; 16],
    /// The host name of the page that the widget was on.
    pub hostname: &'a str,
    /// The rung that was reached.
    pub level: Level,
    /// The score when it was redeemed, in thousandths, 0 to 1000.
    pub score_thousandths: u16,
    /// What the evidence showed.
    pub signals: Signals,
    /// Where the client was.
    pub network: Network,
    /// When the challenge was solved.
    pub solved_at: UnixMillis,
}

impl Response<'_> {
    /// Signs the response for the site whose internal name is `site`: letters, digits, `-`, `_`, `.`.
    ///
    /// It is good for [`RESPONSE_TTL`].
    #[must_use]
    pub fn issue(&self, ring: &KeyRing, site: &str) -> String {
        let payload = ResponsePayload {
            id: self.id,
            place: place(site, self.hostname),
            level: self.level,
            score_thousandths: self.score_thousandths.min(1000),
            signals: self.signals,
            network: self.network,
            solved_at: self.solved_at,
            expires_at: self.solved_at.after(RESPONSE_TTL),
        };
        let (mut token, _) = token::seal(ring, &payload);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(self.hostname, &mut token);
        token
    }
}

/// A response that was verified; it owns its host name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct VerifiedResponse {
    /// The random bytes that name it.
    pub id: [u8; 16],
    /// The host name of the page that the widget was on.
    pub hostname: String,
    /// The rung that was reached.
    pub level: Level,
    /// The score when it was redeemed, in thousandths.
    pub score_thousandths: u16,
    /// What the evidence showed.
    pub signals: Signals,
    /// Where the client was.
    pub network: Network,
    /// When the challenge was solved.
    pub solved_at: UnixMillis,
}

impl VerifiedResponse {
    /// Checks a response for the site `site` and uses it up: of any number of calls with one response,
    /// exactly one succeeds.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] of the first step that did not hold: size, form, code, time, site, single use.
    pub fn redeem(ring: &KeyRing, text: &str, site: &str, now: UnixMillis, spent: &SpentSet) -> Result<Self, Refusal> {
        if text.len() > MAX_RESPONSE_BYTES {
            return Err(Refusal::TooLarge);
        }
        let (token, hostname) = text.split_once('.').ok_or(Refusal::Malformed)?;
        let (payload, _) = token::open::<ResponsePayload>(ring, token)?;
        in_time(payload.solved_at, payload.expires_at, now)?;
        let hostname = URL_SAFE_NO_PAD.decode(hostname).map_err(|_| Refusal::Malformed)?;
        let hostname = String::from_utf8(hostname).map_err(|_| Refusal::Malformed)?;
        // The name is not under the code itself; its digest is.
        if !payload.place.matches(&place(site, &hostname)) {
            return Err(Refusal::OtherBinding);
        }
        spent.spend(payload.id, payload.expires_at, now).map_err(Refusal::from)?;
        Ok(Self {
            id: payload.id,
            hostname,
            level: payload.level,
            score_thousandths: payload.score_thousandths,
            signals: payload.signals,
            network: payload.network,
            solved_at: payload.solved_at,
        })
    }
}

/// How long a response can be verified: the time that a person takes to send a form. The widget
/// solves anew when it passes.
pub const RESPONSE_TTL: Duration = Duration::from_secs(5 * 60);

/// The longest text of a response: a host name has at most 253 bytes (RFC 1035 §3.1).
pub const MAX_RESPONSE_BYTES: usize = token::text_len::<ResponsePayload>() + 1 + (253 * 4_usize).div_ceil(3);

fn place(site: &str, hostname: &str) -> BindingDigest {
    digest(&[b"portcullis response 1", site.as_bytes(), hostname.as_bytes()])
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponsePayload {
    id: [u8; 16],
    place: BindingDigest,
    level: Level,
    score_thousandths: u16,
    signals: Signals,
    network: Network,
    solved_at: UnixMillis,
    expires_at: UnixMillis,
}

impl Payload for ResponsePayload {
    const PURPOSE: Purpose = Purpose::Response;
    const BYTES: usize = 16 + BindingDigest::BYTES + 1 + 2 + 4 + Network::BYTES + 8 + 8;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.place.0);
        out.push(self.level.code());
        out.extend_from_slice(&self.score_thousandths.to_be_bytes());
        out.extend_from_slice(&self.signals.bits().to_be_bytes());
        out.extend_from_slice(&self.network.to_bytes());
        out.extend_from_slice(&self.solved_at.0.to_be_bytes());
        out.extend_from_slice(&self.expires_at.0.to_be_bytes());
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            id: fields.take()?,
            place: BindingDigest(fields.take()?),
            level: Level::from_code(fields.byte()?)?,
            score_thousandths: u16::from_be_bytes(fields.take()?),
            signals: Signals::from_bits(u32::from_be_bytes(fields.take()?)),
            network: Network::from_bytes(fields.take()?)?,
            solved_at: fields.time()?,
            expires_at: fields.time()?,
        })
    }
}
