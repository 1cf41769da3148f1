use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use maxminddb::{MaxMindDbError, PathElement};

use crate::country::Country;
use crate::mmdb::{Answer, Database, DatabaseError, DatabaseInfo, Record};
use crate::special::canonical;

/// A database from address to country.
///
/// Reads `country.iso_code` (GeoLite2, DB-IP), `country_code` (ip-location-db, IPinfo), and, where
/// the address has neither, `registered_country.iso_code`. Answers for addresses of special use
/// too, whatever the file says of them: test [`special_use`](crate::special_use) first.
#[derive(Debug)]
pub struct CountryDb {
    database: Database,
    lead: CountryKey,
    unreadable: AtomicU64,
}

impl CountryDb {
    /// Opens the bytes of an MMDB file and looks up some addresses.
    ///
    /// # Errors
    ///
    /// When the bytes are no MMDB, every record tried is damaged, or none holds a country.
    pub fn open(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        let database = Database::open(bytes)?;
        let nested = database.probe(|address| read(&database, CountryKey::Nested, address));
        let flat = database.probe(|address| read(&database, CountryKey::Flat, address));
        let lead = if flat.found > nested.found { CountryKey::Flat } else { CountryKey::Nested };
        let tally = database.probe(|address| country(&database, lead, address));
        database.check(tally, "a country", "`country.iso_code`, `country_code` or `registered_country.iso_code`")?;
        Ok(CountryDb { database, lead, unreadable: AtomicU64::new(0) })
    }

    /// The country of the [`canonical`] form of `address`.
    #[inline]
    pub fn lookup(&self, address: IpAddr) -> Answer<Country> {
        let answer = country(&self.database, self.lead, canonical(address));
        if matches!(answer, Answer::Unreadable) {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// How many lookups met a damaged record since the database was opened.
    pub fn unreadable_total(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// What the database says of itself.
    pub fn info(&self) -> DatabaseInfo {
        self.database.info()
    }
}

/// Where a record holds the country.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CountryKey {
    Nested,
    Flat,
    Registered,
}

impl CountryKey {
    const fn path(self) -> &'static [PathElement<'static>] {
        match self {
            CountryKey::Nested => &[PathElement::Key("country"), PathElement::Key("iso_code")],
            CountryKey::Flat => &[PathElement::Key("country_code")],
            CountryKey::Registered => &[PathElement::Key("registered_country"), PathElement::Key("iso_code")],
        }
    }

    fn read(self, record: &Record<'_>) -> Result<Option<Country>, MaxMindDbError> {
        match record.decode_path::<&str>(self.path()) {
            Ok(code) => Ok(code.and_then(Country::known)),
            // Something else stands under that key, as IPinfo's country name does under `country`.
            Err(MaxMindDbError::Decoding { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The country of a canonical address; the key that this file uses is asked first.
#[inline]
pub(crate) fn country(database: &Database, lead: CountryKey, address: IpAddr) -> Answer<Country> {
    let second = match lead {
        CountryKey::Nested => CountryKey::Flat,
        CountryKey::Flat | CountryKey::Registered => CountryKey::Nested,
    };
    database.answer(address, |record| {
        for key in [lead, second, CountryKey::Registered] {
            if let Some(country) = key.read(&record)? {
                return Ok(Some(country));
            }
        }
        Ok(None)
    })
}

fn read(database: &Database, key: CountryKey, address: IpAddr) -> Answer<Country> {
    database.answer(address, |record| key.read(&record))
}
