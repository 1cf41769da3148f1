//! Whether what is seen of a client fits what it claims to be.
//!
//! Four groups of evidence: the TLS handshake, the HTTP/2 preface, the header fields, and the request beside those
//! before it. Every check names something that the claimed browser does by itself, so that a person cannot fail it by
//! a setting; a client that claims no browser contradicts nothing here. What a program between a person and the
//! gateway may change (a proxy that inspects TLS renews the whole of TLS and HTTP/2) has ceilings that end in a
//! challenge, also together.

mod connection;
mod fields;
mod kind;
mod requests;

pub use connection::ConnectionJudgement;
pub(crate) use fields::{Channel, judge_fields};
pub use kind::StatedPurpose;
pub(crate) use kind::{RequestKind, opens_socket};
pub(crate) use requests::judge_context;

use crate::claim::{Claim, Family};
use crate::families::Grade;
use crate::signal::Strength;

/// Adds up independent findings: `1 − Π(1 − finding)`, in thousandths.
#[derive(Clone, Copy)]
pub(crate) struct Findings {
    doubt: u32,
}

impl Findings {
    pub(crate) const fn none() -> Self {
        Self { doubt: 1000 }
    }

    pub(crate) const fn note(&mut self, found: bool, thousandths: u32) {
        if found {
            self.doubt = self.doubt * (1000 - thousandths) / 1000;
        }
    }

    pub(crate) const fn strength(self) -> Strength {
        Strength::thousandths(1000 - self.doubt)
    }
}

impl Grade {
    /// How much one contradiction of a row says, in thousandths.
    pub(crate) const fn thousandths(self) -> u32 {
        match self {
            Self::Hard => 1000,
            Self::Soft => 400,
        }
    }
}

/// Whether the claim is of a browser of the large families, which share what the standards make of a browser.
pub(crate) const fn claims_major_browser(claim: &Claim) -> bool {
    claim.kind.is_browser() && !matches!(claim.family, Family::Niche | Family::Other)
}
