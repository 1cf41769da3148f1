//! What is known of a network address: special use, ASN, country, classes.
//!
//! ```text
//! IpAddr -> canonical -> special use? --yes--> facts, and nothing else is asked
//!                            | no
//!                            +-> AsnDb      -> ASN, organisation -> AsnClasses --+
//!                            +-> CountryDb  -> country                           +-> AddressFacts
//!                            +-> PrefixTable<ClassSet> -> classes ---------------+
//! ```
//!
//! [`Intel`] is an immutable snapshot: a reload makes a new one and swaps it in. Bytes come in as
//! arguments; this crate opens no file. What is not known is absent, never a default.

mod asn;
mod asn_classes;
mod asn_db;
mod class;
mod country;
mod country_db;
mod embedded;
mod facts;
mod flat;
mod list;
mod mmdb;
mod prefix;
mod special;
mod table;

pub use asn::{Asn, AsnError};
pub use asn_classes::{AsnClasses, parse_asn_classes, parse_asn_list};
pub use asn_db::{AsnDb, AsnEntry};
pub use class::{ClassSet, NetworkClass, UnknownClass};
pub use country::{Country, CountryError};
pub use country_db::CountryDb;
pub use embedded::embedded_ranges;
pub use facts::{AddressFacts, Intel};
pub use list::{LineFault, ParsedList, parse_prefix_list};
pub use mmdb::{Answer, DatabaseError, DatabaseInfo, ProbeReport, probe_database};
pub use prefix::{Prefix, PrefixError};
pub use special::{SpecialUse, canonical, special_use};
pub use table::PrefixTable;
