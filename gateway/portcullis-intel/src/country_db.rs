use std::net::IpAddr;

use crate::country::Country;
use crate::mapping::Mapping;
use crate::mmdb::{Answer, DatabaseError, DatabaseInfo};
use crate::source::MmdbSource;
use crate::special::canonical;

/// A database from address to country.
///
/// Reads `country.iso_code` (GeoLite2, DB-IP), `country_code` (ip-location-db, IPinfo), and, where
/// the address has neither, `registered_country.iso_code`. Answers for addresses of special use
/// too, whatever the file says of them: test [`special_use`](crate::special_use) first.
#[derive(Debug)]
pub struct CountryDb {
    source: MmdbSource,
}

impl CountryDb {
    /// Opens the bytes of an MMDB file and looks up some addresses.
    ///
    /// # Errors
    ///
    /// When the bytes are no MMDB, every record tried is damaged, or none holds a country.
    pub fn open(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        let keys = "`country.iso_code`, `country_code` or `registered_country.iso_code`";
        let source = MmdbSource::with_mapping("country", bytes, Mapping::country_only());
        Ok(CountryDb { source: source.map_err(|error| error.looked_for("a country", keys))? })
    }

    /// The country of the [`canonical`] form of `address`.
    pub fn lookup(&self, address: IpAddr) -> Answer<Country> {
        self.source.lookup(canonical(address), |record| record.country).flatten()
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
