use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::class::NetworkClass;
use crate::confidence::Confidence;
use crate::mapping::{Mapped, Mapping};
use crate::merge::SourceInfo;
use crate::mmdb::{Answer, Database, DatabaseError, DatabaseInfo, probes};
use crate::prefix::Prefix;
use crate::preset::Preset;
use crate::record_cache::RecordCache;
use crate::special::canonical;

/// A database file and what its fields mean.
///
/// Each record is read once and what it says is kept, so that a lookup of an address whose record
/// was met before walks the tree and copies nothing.
#[derive(Debug)]
pub struct MmdbSource {
    about: SourceInfo,
    database: Database,
    mapping: Mapping,
    cache: RecordCache,
    unreadable: AtomicU64,
    sample: SourceSample,
}

/// What some 4,600 addresses, spread over both families, are answered by a source.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SourceSample {
    /// How many of the addresses have a record.
    pub records: u32,
    /// How many records give an AS number.
    pub asns: u32,
    /// How many records give a country.
    pub countries: u32,
    /// How many records give a class.
    pub classified: u32,
    /// How many records could not be read.
    pub unreadable: u32,
}

impl MmdbSource {
    /// Opens the bytes of an MMDB file, with the preset for its database type.
    ///
    /// # Errors
    ///
    /// As [`MmdbSource::with_mapping`].
    pub fn open(name: &str, bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        MmdbSource::mapped(name, bytes, |kind| Preset::of_database_type(kind).mapping())
    }

    /// Opens the bytes of an MMDB file, whose fields mean what `mapping` says of the database type in its metadata.
    ///
    /// # Errors
    ///
    /// As [`MmdbSource::with_mapping`].
    pub fn mapped(name: &str, bytes: Vec<u8>, mapping: impl FnOnce(&str) -> Mapping) -> Result<Self, DatabaseError> {
        let database = Database::open(bytes)?;
        let mapping = mapping(&database.info().kind);
        MmdbSource::new(name, database, mapping)
    }

    /// This source under these terms, to show.
    #[must_use]
    pub fn with_licence(mut self, licence: Option<&str>) -> Self {
        self.about.licence = licence.map(Arc::from);
        self
    }

    /// Opens the bytes of an MMDB file, whose fields mean what `mapping` says.
    ///
    /// # Errors
    ///
    /// When the bytes are no MMDB, every record tried is damaged, or the mapping is of AS numbers or
    /// countries only and none of the records tried holds one.
    pub fn with_mapping(name: &str, bytes: Vec<u8>, mapping: Mapping) -> Result<Self, DatabaseError> {
        MmdbSource::new(name, Database::open(bytes)?, mapping)
    }

    fn new(name: &str, database: Database, mapping: Mapping) -> Result<Self, DatabaseError> {
        let different: BTreeSet<usize> =
            probes().filter_map(|address| database.answer(address, |record| Ok(record.offset())).found()).collect();
        let mut source = MmdbSource {
            about: SourceInfo {
                name: Arc::from(name),
                crawler: None,
                licence: None,
                as_of_unix_secs: database.info().built_unix_secs,
                expires_unix_secs: None,
                entries: None,
            },
            database,
            mapping,
            cache: RecordCache::with_room_for(different.len().saturating_mul(RECORDS_PER_SAMPLED)),
            unreadable: AtomicU64::new(0),
            sample: SourceSample::default(),
        };
        let tally = source.database.probe(|address| source.read(address, Mapped::is_empty));
        if tally.records > 0 && tally.unreadable == tally.records {
            return Err(DatabaseError::Corrupt { records: tally.records });
        }
        source.sample = source.take_sample(tally.unreadable);
        let sample = source.sample;
        let for_facts_only = source.mapping.rules.is_empty();
        if for_facts_only && sample.records >= ENOUGH_RECORDS && sample.asns + sample.countries == 0 {
            return Err(DatabaseError::Lacks {
                kind: source.database.info().kind,
                wanted: "an AS number or a country",
                keys: "the paths of its mapping",
                records: sample.records,
            });
        }
        Ok(source)
    }

    fn take_sample(&self, unreadable: u32) -> SourceSample {
        let mut sample = SourceSample { unreadable, ..SourceSample::default() };
        for address in probes() {
            let answer = self.read(address, |record| {
                sample.asns += u32::from(record.asn.is_some());
                sample.countries += u32::from(record.country.is_some());
                sample.classified += u32::from(!record.classes.is_empty());
            });
            sample.records += u32::from(matches!(answer, Answer::Found(()) | Answer::Unreadable));
        }
        sample
    }

    /// What it is called in settings and in provenance.
    pub fn name(&self) -> &Arc<str> {
        &self.about.name
    }

    /// What is told of it where it is named as the source of something.
    pub fn about(&self) -> &SourceInfo {
        &self.about
    }

    /// What the database says of itself.
    pub fn info(&self) -> DatabaseInfo {
        self.database.info()
    }

    /// What was found when some addresses were looked up at the start: a source that finds nothing
    /// has the wrong mapping.
    pub fn sample(&self) -> SourceSample {
        self.sample
    }

    /// How many lookups met a damaged record since the database was opened.
    pub fn unreadable_total(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// The classes of the [`canonical`] form of `address`, and how sure each is.
    pub fn classes(&self, address: IpAddr) -> Answer<Vec<(NetworkClass, Confidence)>> {
        self.lookup(canonical(address), |record| record.classes.to_vec())
    }

    /// Calls `each` for every network that has a record, and what the record says; `None` for a
    /// damaged one.
    pub(crate) fn each_network<E: From<DatabaseError>>(
        &self,
        mut each: impl FnMut(Prefix, Option<&Mapped>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.database.each_network(|prefix, record| {
            let Some(offset) = record.offset() else { return Ok(()) };
            self.cache.with(offset, || self.mapping.map(&record).ok(), |mapped| each(prefix, mapped))
        })
    }

    /// Bytes on the heap beside the file itself.
    pub fn cache_bytes(&self) -> usize {
        self.cache.heap_bytes()
    }

    /// What `read` makes of the record of `address`, which is canonical; a damaged one is counted.
    #[inline]
    pub(crate) fn lookup<R>(&self, address: IpAddr, read: impl FnOnce(&Mapped) -> R) -> Answer<R> {
        let answer = self.read(address, read);
        if matches!(answer, Answer::Unreadable) {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    #[inline]
    fn read<R>(&self, address: IpAddr, read: impl FnOnce(&Mapped) -> R) -> Answer<R> {
        let found = self.database.answer(address, |record| {
            let Some(offset) = record.offset() else { return Ok(None) };
            Ok(Some(self.cache.with(offset, || self.mapping.map(&record).ok(), |record| record.map(read))))
        });
        match found {
            Answer::Found(Some(value)) => Answer::Found(value),
            Answer::Found(None) | Answer::Unreadable => Answer::Unreadable,
            Answer::Absent => Answer::Absent,
            Answer::NotCovered => Answer::NotCovered,
        }
    }
}

/// How many different records a file may have for each that the sample meets: a whole ASN database
/// shows some 1,500 of its 80,000.
const RECORDS_PER_SAMPLED: usize = 64;

/// Fewer records than this say nothing about what a database is for.
const ENOUGH_RECORDS: u32 = 16;
