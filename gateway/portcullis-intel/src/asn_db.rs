use std::net::IpAddr;
use std::sync::Arc;

use crate::asn::Asn;
use crate::mapping::Mapping;
use crate::mmdb::{Answer, DatabaseError, DatabaseInfo};
use crate::source::MmdbSource;
use crate::special::canonical;

/// A database from address to autonomous system.
///
/// Reads `autonomous_system_number` and `autonomous_system_organization` (GeoLite2-ASN, GeoIP2-ISP,
/// DB-IP, ip-location-db), `asn` and `as_name` (IPinfo), and what other makers write.
#[derive(Debug)]
pub struct AsnDb {
    source: MmdbSource,
}

/// The autonomous system of an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AsnEntry {
    /// Its number, never 0.
    pub asn: Asn,
    /// Who runs it, as the database writes it; never empty.
    pub organisation: Option<Arc<str>>,
}

impl AsnDb {
    /// Opens the bytes of an MMDB file and looks up some addresses.
    ///
    /// # Errors
    ///
    /// When the bytes are no MMDB, every record tried is damaged, or none holds an AS number.
    pub fn open(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        let keys = "`autonomous_system_number` or `asn`";
        let source = MmdbSource::with_mapping("asn", bytes, Mapping::asn_only());
        Ok(AsnDb { source: source.map_err(|error| error.looked_for("an AS number", keys))? })
    }

    /// The autonomous system of the [`canonical`] form of `address`.
    pub fn lookup(&self, address: IpAddr) -> Answer<AsnEntry> {
        let answer = self.source.lookup(canonical(address), |record| {
            record.asn.map(|asn| AsnEntry { asn, organisation: record.organisation.clone() })
        });
        answer.flatten()
    }

    /// How many lookups met a damaged record since the database was opened.
    pub fn unreadable_total(&self) -> u64 {
        self.source.unreadable_total()
    }

    /// What the database says of itself.
    pub fn info(&self) -> DatabaseInfo {
        self.source.info()
    }

    pub(crate) fn source(&self) -> &MmdbSource {
        &self.source
    }
}
