//! Databases of addresses, from their files.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_intel::{AsnDb, CountryDb, DatabaseError, Intel};

use crate::settings::IntelFiles;

/// Why a database is not in use.
#[derive(Debug)]
pub struct DatabaseFault {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Unreadable(io::Error),
    Unusable(DatabaseError),
}

impl fmt::Display for DatabaseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Unreadable(error) => write!(f, "cannot read the database in `{}`: {error}", self.path.display()),
            Why::Unusable(error) => write!(f, "cannot use `{}`: {error}", self.path.display()),
        }
    }
}

impl std::error::Error for DatabaseFault {}

/// The databases that were read from files.
#[derive(Debug, Default)]
pub struct Databases {
    asn: Option<Arc<AsnDb>>,
    country: Option<Arc<CountryDb>>,
}

impl Databases {
    /// Reads the databases in `files`, and says which cannot be used.
    pub fn read(files: &IntelFiles) -> (Self, Vec<DatabaseFault>) {
        let mut faults = Vec::new();
        let asn = files.asn.as_deref().and_then(|path| told(open(path, AsnDb::open), &mut faults));
        let country = files.country.as_deref().and_then(|path| told(open(path, CountryDb::open), &mut faults));
        (Self { asn: asn.map(Arc::new), country: country.map(Arc::new) }, faults)
    }

    /// What is known, with these databases in place of those of before. Of what was not read the last stays.
    pub fn put_into(&self, known: &Intel) -> Intel {
        let mut intel = known.clone();
        if let Some(asn) = &self.asn {
            intel = intel.with_asn(Arc::clone(asn));
        }
        if let Some(country) = &self.country {
            intel = intel.with_country(Arc::clone(country));
        }
        intel
    }
}

fn told<D>(read: Result<D, DatabaseFault>, faults: &mut Vec<DatabaseFault>) -> Option<D> {
    read.map_err(|fault| faults.push(fault)).ok()
}

fn open<D>(path: &Path, read: impl FnOnce(Vec<u8>) -> Result<D, DatabaseError>) -> Result<D, DatabaseFault> {
    let fail = |why| DatabaseFault { path: path.to_owned(), why };
    let bytes = fs::read(path).map_err(|error| fail(Why::Unreadable(error)))?;
    read(bytes).map_err(|error| fail(Why::Unusable(error)))
}
