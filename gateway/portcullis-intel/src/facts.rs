use std::net::IpAddr;
use std::sync::Arc;

use crate::asn::Asn;
use crate::asn_classes::AsnClasses;
use crate::asn_db::AsnDb;
use crate::class::ClassSet;
use crate::country::Country;
use crate::country_db::CountryDb;
use crate::embedded::embedded_ranges;
use crate::mmdb::Answer;
use crate::prefix::Prefix;
use crate::special::{SpecialUse, canonical, special_use};
use crate::table::PrefixTable;

/// What is known of one address. What is not known is absent.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AddressFacts {
    /// Why this is no ordinary address. If present, all that follows but `prefix` is absent.
    pub special_use: Option<SpecialUse>,
    /// The autonomous system that routes it.
    pub asn: Option<Asn>,
    /// Who runs that system, at most 256 bytes.
    pub organisation: Option<Arc<str>>,
    /// The country it is used in, or registered in.
    pub country: Option<Country>,
    /// The classes of the address and of its autonomous system.
    pub classes: ClassSet,
    /// The network that the address is counted with: [`Prefix::of`].
    pub prefix: Prefix,
}

impl AddressFacts {
    /// What the address itself tells: its special use and its prefix.
    pub fn bare(address: IpAddr) -> Self {
        AddressFacts {
            special_use: special_use(address),
            asn: None,
            organisation: None,
            country: None,
            classes: ClassSet::EMPTY,
            prefix: Prefix::of(address),
        }
    }
}

/// All that this process knows of addresses: an immutable snapshot.
///
/// A clone shares the parts, so a reload of one database makes a new snapshot of the old one by
/// `with_…` and reads nothing else again.
#[derive(Clone, Debug, Default)]
pub struct Intel {
    asn: Option<Arc<AsnDb>>,
    country: Option<Arc<CountryDb>>,
    asn_classes: Arc<AsnClasses>,
    ranges: Arc<PrefixTable<ClassSet>>,
}

impl Intel {
    /// What is in the binary: classes of autonomous systems, and ranges of relays and crawlers.
    ///
    /// Without a database no address has an ASN, so of the classes only those of ranges are found.
    /// Parses some 370 KB of text: a few milliseconds, once at start.
    pub fn embedded() -> Self {
        Intel {
            asn: None,
            country: None,
            asn_classes: Arc::new(AsnClasses::embedded()),
            ranges: Arc::new(embedded_ranges()),
        }
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

    /// The ASN database, if one is loaded.
    pub fn asn(&self) -> Option<&AsnDb> {
        self.asn.as_deref()
    }

    /// The country database, if one is loaded.
    pub fn country(&self) -> Option<&CountryDb> {
        self.country.as_deref()
    }

    /// The classes of autonomous systems.
    pub fn asn_classes(&self) -> &AsnClasses {
        &self.asn_classes
    }

    /// The ranges that have classes of their own.
    pub fn ranges(&self) -> &PrefixTable<ClassSet> {
        &self.ranges
    }

    /// What is known of the [`canonical`] form of `address`.
    ///
    /// An address of special use is answered before anything is looked up: databases and lists have
    /// rows for such addresses, and they mean nothing.
    pub fn lookup(&self, address: IpAddr) -> AddressFacts {
        let address = canonical(address);
        let mut facts = AddressFacts::bare(address);
        if facts.special_use.is_some() {
            return facts;
        }
        facts.classes = self.ranges.lookup(address).unwrap_or_default();
        if let Some(Answer::Found(entry)) = self.asn.as_ref().map(|database| database.lookup(address)) {
            facts.asn = Some(entry.asn);
            facts.organisation = entry.organisation.map(Arc::from);
            facts.classes = facts.classes.union(self.asn_classes.classes(entry.asn));
        }
        facts.country = self.country.as_ref().and_then(|database| database.lookup(address).found());
        facts
    }
}
