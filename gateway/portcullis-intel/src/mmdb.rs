use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions};

use crate::mapping::Mapping;
use crate::prefix::Prefix;

/// What a database says of one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer<T> {
    /// The database has it.
    Found(T),
    /// The database has no record for the address, or a record without this.
    Absent,
    /// The address is IPv6 and the database holds IPv4 only.
    NotCovered,
    /// The record is corrupt. No data, and a sign that the file should be replaced.
    Unreadable,
}

impl<T> Answer<T> {
    /// What was found. Every other answer is no data.
    pub fn found(self) -> Option<T> {
        match self {
            Answer::Found(value) => Some(value),
            Answer::Absent | Answer::NotCovered | Answer::Unreadable => None,
        }
    }
}

impl<T> Answer<Option<T>> {
    /// A record without this is as good as no record.
    pub(crate) fn flatten(self) -> Answer<T> {
        match self {
            Answer::Found(Some(value)) => Answer::Found(value),
            Answer::Found(None) | Answer::Absent => Answer::Absent,
            Answer::NotCovered => Answer::NotCovered,
            Answer::Unreadable => Answer::Unreadable,
        }
    }
}

/// What a database says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DatabaseInfo {
    /// The kind, in the maker's own words: `GeoLite2-ASN`.
    pub kind: String,
    /// When it was built, in seconds since 1970-01-01 UTC.
    pub built_unix_secs: u64,
    /// How many nodes its search tree has.
    pub nodes: u32,
    /// Whether it holds IPv6 addresses too.
    pub covers_ipv6: bool,
}

/// Why a file cannot be used as a database. Each says what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DatabaseError {
    /// The file is gzip, not what is inside it.
    Compressed,
    /// The file is not an MMDB, or is damaged.
    Unreadable {
        /// What the reader met.
        reason: String,
    },
    /// The tree is good and none of its records can be read.
    Corrupt {
        /// How many records were tried.
        records: u32,
    },
    /// The records are good, but do not hold what the database was opened for.
    Lacks {
        /// The kind, in the maker's own words.
        kind: String,
        /// What was looked for.
        wanted: &'static str,
        /// The keys that were looked for.
        keys: &'static str,
        /// How many records were tried.
        records: u32,
    },
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseError::Compressed => f.write_str("expected an MMDB file, but found a gzip file; unpack it first"),
            DatabaseError::Unreadable { reason } => {
                write!(f, "expected an MMDB file, but could not read this one: {reason}; fetch it again")
            }
            DatabaseError::Corrupt { records } => write!(
                f,
                "expected readable records, but none of the {records} that were tried can be read; \
                 fetch the file again"
            ),
            DatabaseError::Lacks { kind, wanted, keys, records } => write!(
                f,
                "expected {wanted} under {keys}, but found none in the {records} records of this \
                 `{kind}` database that were tried; name a database that holds it"
            ),
        }
    }
}

impl std::error::Error for DatabaseError {}

impl DatabaseError {
    /// The same error, for a database that was opened to find `thing` under `in_keys`.
    pub(crate) fn looked_for(self, thing: &'static str, in_keys: &'static str) -> Self {
        match self {
            DatabaseError::Lacks { kind, records, .. } => {
                DatabaseError::Lacks { kind, wanted: thing, keys: in_keys, records }
            }
            other => other,
        }
    }
}

/// A MaxMind DB in memory (MaxMind DB file format 2.0).
pub(crate) struct Database {
    reader: Reader<Vec<u8>>,
}

/// Whether a walk over all networks of a file comes to an end in good time.
///
/// A few hundred bytes can hold 2^128 paths, where each node leads twice to the next. The reader's own walk takes them
/// all, and cannot be stopped where none of them leads to a record.
///
/// # Errors
///
/// Where it does not, and where the bytes are no MMDB.
pub(crate) fn check_walk(bytes: &[u8]) -> Result<(), DatabaseError> {
    let unreadable = |reason: String| DatabaseError::Unreadable { reason };
    let reader = Reader::from_source(bytes).map_err(|error| unreadable(error.to_string()))?;
    let metadata = reader.metadata();
    let nodes = usize::try_from(metadata.node_count).unwrap_or(usize::MAX);
    let mut visits_left = nodes.saturating_mul(VISITS_PER_NODE);
    let mut open = vec![0_usize];
    while let Some(node) = open.pop() {
        if node >= nodes {
            continue;
        }
        visits_left = visits_left
            .checked_sub(1)
            .ok_or_else(|| unreadable("its search tree leads to the same nodes over and over".to_owned()))?;
        // What lies outside the file leads nowhere; the reader says so of it.
        open.extend(children(bytes, node, metadata.record_size).into_iter().flatten());
    }
    Ok(())
}

/// How often a walk may meet each node, on average. Makers let some IPv6 networks lead into the tree of IPv4
/// (`::ffff:0:0/96`, `2002::/16` and the like), and nothing else twice.
const VISITS_PER_NODE: usize = 8;

/// The two records of a node, left and right (MaxMind DB file format 2.0, "Node Layout").
fn children(bytes: &[u8], node: usize, record_bits: u16) -> Option<[usize; 2]> {
    let size = usize::from(record_bits).checked_div(4)?;
    let at = node.checked_mul(size)?;
    let node = bytes.get(at..at.checked_add(size)?)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    match node {
        [a, b, c, middle, rest @ ..] if record_bits == 28 => {
            let high = usize::from(*middle);
            Some([(high >> 4) << 24 | number(&[*a, *b, *c]), (high & 0x0f) << 24 | number(rest)])
        }
        _ => {
            let (one, other) = node.split_at_checked(size / 2)?;
            Some([number(one), number(other)])
        }
    }
}

impl Database {
    /// Opens a file's bytes: metadata and layout are checked, records are not.
    pub(crate) fn open(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        if bytes.starts_with(&GZIP_MAGIC) {
            return Err(DatabaseError::Compressed);
        }
        match Reader::from_source(bytes) {
            Ok(reader) => Ok(Database { reader }),
            Err(error) => Err(DatabaseError::Unreadable { reason: error.to_string() }),
        }
    }

    pub(crate) fn info(&self) -> DatabaseInfo {
        let metadata = self.reader.metadata();
        DatabaseInfo {
            kind: metadata.database_type.clone(),
            built_unix_secs: metadata.build_epoch,
            nodes: metadata.node_count,
            covers_ipv6: metadata.ip_version == 6,
        }
    }

    /// What `decode` makes of the record of `address`, which is canonical.
    #[inline]
    pub(crate) fn answer<'a, T>(
        &'a self,
        address: IpAddr,
        decode: impl FnOnce(Record<'a>) -> Result<Option<T>, MaxMindDbError>,
    ) -> Answer<T> {
        // The reader makes an error with a text for each of these; this costs nothing.
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Answer::NotCovered;
        }
        match self.reader.lookup(address).and_then(decode) {
            Ok(Some(value)) => Answer::Found(value),
            Ok(None) => Answer::Absent,
            Err(_) => Answer::Unreadable,
        }
    }

    /// Calls `each` for every network that has a record. Comes to an end only after [`check_walk`].
    pub(crate) fn each_network<E: From<DatabaseError>>(
        &self,
        mut each: impl FnMut(Prefix, Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let damaged = |error: MaxMindDbError| DatabaseError::Unreadable { reason: error.to_string() };
        for record in self.reader.networks(WithinOptions::default()).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            each(Prefix::from(record.network().map_err(damaged)?), record)?;
        }
        Ok(())
    }

    /// Asks `lookup` about addresses spread over both families.
    pub(crate) fn probe<T>(&self, lookup: impl Fn(IpAddr) -> Answer<T>) -> Tally {
        let mut tally = Tally::default();
        for address in probes() {
            match self.answer(address, |record| Ok(record.offset())) {
                Answer::Found(_) => tally.records += 1,
                Answer::Absent | Answer::NotCovered => continue,
                Answer::Unreadable => {
                    tally.records += 1;
                    tally.unreadable += 1;
                    continue;
                }
            }
            match lookup(address) {
                Answer::Found(_) => tally.found += 1,
                Answer::Unreadable => tally.unreadable += 1,
                Answer::Absent | Answer::NotCovered => {}
            }
        }
        tally
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("info", &self.info()).finish_non_exhaustive()
    }
}

/// What some addresses, spread over both families, are answered by a database.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ProbeReport {
    /// How many of the addresses have a record.
    pub records: u32,
    /// How many records hold an AS number.
    pub asns: u32,
    /// How many records hold a country.
    pub countries: u32,
    /// How many records could not be read for the AS number, and for the country.
    pub unreadable: u32,
}

/// Opens the bytes of a file as a database and looks up some addresses, for both AS number and
/// country. Bytes of any kind are answered, never a panic.
///
/// # Errors
///
/// [`DatabaseError::Compressed`] and [`DatabaseError::Unreadable`]; what the records hold is in the
/// report.
pub fn probe_database(bytes: Vec<u8>) -> Result<ProbeReport, DatabaseError> {
    let database = Database::open(bytes)?;
    let (for_asn, for_country) = (Mapping::asn_only(), Mapping::country_only());
    let asns = database.probe(|address| database.answer(address, |record| Ok(for_asn.map(&record)?.asn)));
    let countries = database.probe(|address| database.answer(address, |record| Ok(for_country.map(&record)?.country)));
    Ok(ProbeReport {
        records: asns.records,
        asns: asns.found,
        countries: countries.found,
        unreadable: asns.unreadable + countries.unreadable,
    })
}

pub(crate) type Record<'a> = LookupResult<'a, Vec<u8>>;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) records: u32,
    pub(crate) found: u32,
    pub(crate) unreadable: u32,
}

/// Addresses spread evenly, by multiples of the golden ratio: over all IPv4, and over 2000::/3.
pub(crate) fn probes() -> impl Iterator<Item = IpAddr> {
    let v4 = (0..PROBES_V4).map(|n| IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b9))));
    let v6 = (0..PROBES_V6).map(|n| {
        let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 3 | 1 << 61;
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(spread) << 64))
    });
    v4.chain(v6)
}

/// Enough to meet thousands of records of a whole database, in less than a millisecond.
const PROBES_V4: u32 = 4096;
const PROBES_V6: u64 = 512;

pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
