use std::net::IpAddr;
use std::sync::Arc;

use crate::asn::Asn;
use crate::asn_db::AsnDb;
use crate::claims::{ClassClaim, SourceId};
use crate::class::{ClassSet, NetworkClass};
use crate::confidence::Confidence;
use crate::country::Country;
use crate::country_db::CountryDb;
use crate::embedded::embedded_feeds;
use crate::facts::AddressFacts;
use crate::mapping::Mapped;
use crate::merge::{ClaimSet, Merged, SourceInfo};
use crate::source::MmdbSource;
use crate::special::canonical;

/// All that this process knows of addresses: an immutable snapshot.
///
/// A clone shares the parts, so a reload of one database makes a new snapshot of the old one by
/// `with_…` and reads nothing else again.
#[derive(Clone, Debug, Default)]
pub struct Intel {
    asn: Option<Arc<AsnDb>>,
    country: Option<Arc<CountryDb>>,
    databases: Arc<[Arc<MmdbSource>]>,
    merged: Arc<Merged>,
}

impl Intel {
    /// What is in the binary: classes of autonomous systems, and ranges of clouds, relays and crawlers.
    ///
    /// Without a database no address has an ASN, so of the classes only those of ranges are found.
    /// Parses some 790 KB of text: some milliseconds, once at start.
    pub fn embedded() -> Self {
        Intel::default().with_merged(Merged::of(&embedded_feeds(), 0))
    }

    /// This snapshot with another ASN database.
    #[must_use]
    pub fn with_asn(self, database: impl Into<Arc<AsnDb>>) -> Self {
        Intel { asn: Some(database.into()), ..self }
    }

    /// This snapshot with another country database.
    #[must_use]
    pub fn with_country(self, database: impl Into<Arc<CountryDb>>) -> Self {
        Intel { country: Some(database.into()), ..self }
    }

    /// This snapshot with these databases beside those of ASN and country. Of ASN, organisation and
    /// country the first one that knows it is believed.
    #[must_use]
    pub fn with_databases(self, databases: impl IntoIterator<Item = Arc<MmdbSource>>) -> Self {
        Intel { databases: databases.into_iter().collect(), ..self }
    }

    /// This snapshot with other feeds.
    #[must_use]
    pub fn with_merged(self, merged: impl Into<Arc<Merged>>) -> Self {
        Intel { merged: merged.into(), ..self }
    }

    /// The ASN database, if one is loaded.
    pub fn asn(&self) -> Option<&AsnDb> {
        self.asn.as_deref()
    }

    /// The country database, if one is loaded.
    pub fn country(&self) -> Option<&CountryDb> {
        self.country.as_deref()
    }

    /// The other databases.
    pub fn databases(&self) -> &[Arc<MmdbSource>] {
        &self.databases
    }

    /// The feeds.
    pub fn merged(&self) -> &Merged {
        &self.merged
    }

    /// The classes that an autonomous system has as a whole: coarse, and no fact about each address.
    pub fn classes_of(&self, asn: Asn) -> ClassSet {
        self.merged.of_asn(asn).map_or(ClassSet::EMPTY, |set| set.classes)
    }

    /// Who made a claim of this snapshot.
    pub fn source(&self, source: SourceId) -> Option<&SourceInfo> {
        let number = usize::from(source.0);
        match number.checked_sub(self.merged.sources().len()) {
            None => self.merged.sources().get(number),
            Some(0) => self.asn.as_ref().map(|database| database.source().about()),
            Some(1) => self.country.as_ref().map(|database| database.source().about()),
            Some(later) => self.databases.get(later - 2).map(|database| database.about()),
        }
    }

    /// What is known of the [`canonical`] form of `address`.
    ///
    /// An address of special use is answered before anything is looked up: databases and lists have
    /// rows for such addresses, and they mean nothing. Allocates nothing for records met before.
    pub fn lookup(&self, address: IpAddr) -> AddressFacts {
        let address = canonical(address);
        let mut facts = AddressFacts::bare(address);
        if facts.special_use.is_some() {
            return facts;
        }
        // The databases are searched while the memory of the feeds is on its way.
        self.merged.prefetch(address);
        for (source, database) in self.numbered() {
            let _ = database.lookup(address, |record| facts.take_record(record, source));
        }
        if let Some(set) = self.merged.of_address(address) {
            facts.take_before(set);
        }
        if let Some(asn) = facts.asn
            && let Some(set) = self.merged.of_asn(asn)
        {
            facts.take(set);
        }
        if facts.classes.contains(NetworkClass::Crawler) {
            let claim = facts.claims.of(NetworkClass::Crawler);
            facts.crawler = claim.and_then(|claim| self.source(claim.source)?.crawler.clone());
        }
        facts
    }

    /// What is known of an address, and everything that was said of it and by whom.
    pub fn explain(&self, address: IpAddr) -> Explanation {
        let facts = self.lookup(address);
        let mut evidence = Vec::new();
        if facts.special_use.is_some() {
            return Explanation { facts, evidence };
        }
        let address = canonical(address);
        let claims = |set: Option<&ClaimSet>, because: Because, evidence: &mut Vec<Evidence>| {
            evidence.extend(set.into_iter().flat_map(|set| &set.all).map(|claim| Evidence {
                source: claim.source,
                statement: Statement::Class { class: claim.class, confidence: claim.confidence, because },
            }));
        };
        claims(self.merged.of_address(address), Because::Address, &mut evidence);
        for (source, database) in self.numbered() {
            let _ = database.lookup(address, |record| {
                let mut say = |statement| evidence.push(Evidence { source, statement });
                if let Some(asn) = record.asn {
                    say(Statement::Asn(asn));
                }
                if let Some(name) = &record.organisation {
                    say(Statement::Organisation(Arc::clone(name)));
                }
                if let Some(country) = record.country {
                    say(Statement::Country(country));
                }
                for (class, confidence) in &record.classes {
                    say(Statement::Class { class: *class, confidence: *confidence, because: Because::Address });
                }
            });
        }
        if let Some(asn) = facts.asn {
            claims(self.merged.of_asn(asn), Because::Network(asn), &mut evidence);
        }
        Explanation { facts, evidence }
    }

    /// The databases in the order in which they are believed. Their numbers follow those of the feeds.
    fn numbered(&self) -> impl Iterator<Item = (SourceId, &MmdbSource)> {
        let first = u16::try_from(self.merged.sources().len()).unwrap_or(u16::MAX);
        let asn = self.asn.as_ref().map(|database| database.source());
        let country = self.country.as_ref().map(|database| database.source());
        let others = self.databases.iter().map(|database| Some(&**database));
        (first..)
            .map(SourceId)
            .zip([asn, country].into_iter().chain(others))
            .filter_map(|(id, source)| Some((id, source?)))
    }
}

impl AddressFacts {
    #[inline]
    fn take(&mut self, set: &ClaimSet) {
        self.classes = self.classes.union(set.classes);
        self.claims.add_all(&set.strongest);
    }

    /// Takes in a set whose claims stand before those that are known: of equals they stay.
    #[inline]
    fn take_before(&mut self, set: &ClaimSet) {
        let later = std::mem::replace(&mut self.claims, set.strongest);
        self.classes = self.classes.union(set.classes);
        self.claims.add_all(&later);
    }

    /// Takes in what a record says: of what is known already, nothing.
    #[inline]
    fn take_record(&mut self, record: &Mapped, source: SourceId) {
        self.country = self.country.or(record.country);
        if self.asn.is_none() {
            self.asn = record.asn;
        }
        if self.organisation.is_none() {
            self.organisation.clone_from(&record.organisation);
        }
        for (class, confidence) in &record.classes {
            self.classes.insert(*class);
            self.claims.add(*class, ClassClaim { confidence: *confidence, source });
        }
    }
}

/// What is known of an address and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// What is known.
    pub facts: AddressFacts,
    /// All that was said: by feeds about the address, by databases, by feeds about its network.
    pub evidence: Vec<Evidence>,
}

/// One thing that one source says of an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evidence {
    /// Who says so.
    pub source: SourceId,
    /// What.
    pub statement: Statement,
}

/// What a source says of an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Statement {
    /// The autonomous system that routes it.
    Asn(Asn),
    /// Who runs that.
    Organisation(Arc<str>),
    /// The country it is used in, or registered in.
    Country(Country),
    /// A class of it.
    Class {
        /// The class.
        class: NetworkClass,
        /// How sure that is.
        confidence: Confidence,
        /// What the source names.
        because: Because,
    },
}

/// What a source names when it gives an address a class.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Because {
    /// A range around the address.
    Address,
    /// The autonomous system as a whole.
    Network(Asn),
}
