//! Facts about one request, and the signals that they give.
//!
//! This crate holds the boundary types of a request: [`CanonicalRequest`], which is the only form of a
//! request that anything later reads; [`Facts`], which is everything a decision may depend on; and
//! [`Signals`], one judgement each from a closed list. It is pure: the same facts give the same signals,
//! on every machine.

mod address;
mod body;
mod claim;
mod coherence;
mod conduct;
mod context;
mod crawler;
mod detect;
mod facts;
mod families;
mod framing;
mod headers;
mod host;
mod path;
mod request;
mod sharing;
mod signal;
mod token;
pub mod wording;

pub use address::{ClientAddr, ForwardedBy, PeerAddr, TrustedProxies, is_client_address_header};
pub use body::{
    BodyEnd, BodyField, BodyFields, Found, JsonPointer, JsonValue, MAX_DEPTH, MAX_FIELDS, NoPointer, json_members,
    query_field, read_any_body,
};
pub use claim::{Claim, Family, Hints, Kind, MadeUpBrand, Platform};
pub use coherence::{ConnectionJudgement, StatedPurpose};
pub use conduct::{Conduct, Fields, Posture, UsualConduct};
pub use context::Context;
pub use crawler::{Crawler, Proof};
pub use detect::{Expectation, ExpectedClients};
pub use facts::{
    Ban, Behaviour, Caller, Clearance, Facts, Http, LimitReading, Outcomes, OwnSignal, OwnValue, Tls, TlsVersion,
    UnixSeconds,
};
pub use families::{Coverage, FAMILIES_FOLDER, Families, FamiliesError, FamiliesFault};
pub use framing::{FramingFault, RequestHead, header_line, request_line};
pub use headers::HeaderDigest;
pub use host::{Host, HostFault};
pub use path::{Ambiguity, CanonicalPath};
pub use portcullis_intel::CrawlerKind;
pub use request::{CanonicalRequest, Fault, is_portcullis_header};
pub use sharing::{Named, Sharer};
pub use signal::{Group, SignalId, Signals, Strength, UnknownSignal};
pub use token::{MAX_TOKEN_BYTES, bearer, unverified_claim};
