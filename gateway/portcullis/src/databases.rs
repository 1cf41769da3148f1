//! Databases of addresses, from their files.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// Puts the databases in `files` in place of those in `known`. One that cannot be used changes nothing.
pub fn load(files: &IntelFiles, known: Intel) -> (Intel, Vec<DatabaseFault>) {
    let mut faults = Vec::new();
    let mut intel = known;
    if let Some(path) = &files.asn {
        match open(path, AsnDb::open) {
            Ok(database) => intel = intel.with_asn(database),
            Err(fault) => faults.push(fault),
        }
    }
    if let Some(path) = &files.country {
        match open(path, CountryDb::open) {
            Ok(database) => intel = intel.with_country(database),
            Err(fault) => faults.push(fault),
        }
    }
    (intel, faults)
}

fn open<D>(path: &Path, read: impl FnOnce(Vec<u8>) -> Result<D, DatabaseError>) -> Result<D, DatabaseFault> {
    let fail = |why| DatabaseFault { path: path.to_owned(), why };
    let bytes = fs::read(path).map_err(|error| fail(Why::Unreadable(error)))?;
    read(bytes).map_err(|error| fail(Why::Unusable(error)))
}
