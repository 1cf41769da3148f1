//! What is known of a network address: special use, ASN, country, classes.
//!
//! ```text
//! feed bytes -> read_feed: unpack, parse, guards -> Feed --+
//! the next feed                                      Feed --+-> Merged: boundaries, AS numbers
//! database bytes -> MmdbSource: mapping, record cache ---+         |
//!                                                        +-> Intel +
//!
//! IpAddr -> canonical -> special use? --yes--> facts, and nothing else is asked
//!                            | no
//!                            +-> Merged      -> classes ------------------------+
//!                            +-> MmdbSources -> ASN, organisation, country, classes
//!                            +-> Merged      -> classes of the ASN -------------+-> AddressFacts
//! ```
//!
//! [`Intel`] is an immutable snapshot: a reload makes a new one and swaps it in. Bytes come in as
//! arguments; this crate opens no file. What is not known is absent, never a default.

mod asn;
mod asn_db;
mod claims;
mod class;
mod confidence;
mod country;
mod country_db;
mod crawler;
mod embedded;
mod facts;
mod feed;
mod flat;
mod intel;
mod list;
mod mapping;
mod merge;
mod mmdb;
mod prefix;
mod preset;
mod record_cache;
mod scalar;
mod source;
mod special;
mod table;

pub use asn::{Asn, AsnError};
pub use asn_db::{AsnDb, AsnEntry};
pub use claims::{ClassClaim, ClassClaims, SourceId};
pub use class::{ClassSet, NetworkClass, UnknownClass};
pub use confidence::Confidence;
pub use country::{Country, CountryError};
pub use country_db::CountryDb;
pub use crawler::{Crawler, CrawlerKind, UnknownCrawlerKind};
pub use embedded::embedded_feeds;
pub use facts::AddressFacts;
pub use feed::{
    Column, CsvColumns, Dropped, Feed, FeedError, FeedFormat, FeedReport, FeedSpec, Guards, JsonPlace, read_feed,
    read_feed_any, unpacked,
};
pub use intel::{Because, Evidence, Explanation, Intel, Statement};
pub use list::LineFault;
pub use mapping::{ClassRule, FieldPath, FieldTest, Mapping, MappingError, Measure};
pub use merge::{Merged, SourceInfo};
pub use mmdb::{Answer, DatabaseError, DatabaseInfo, ProbeReport, probe_database};
pub use prefix::{Prefix, PrefixError};
pub use preset::{Preset, UnknownPreset};
pub use source::{MmdbSource, SourceSample};
pub use special::{SpecialUse, canonical, special_use};
pub use table::PrefixTable;
