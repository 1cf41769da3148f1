use std::net::IpAddr;
use std::sync::Arc;

use crate::asn::Asn;
use crate::claims::ClassClaims;
use crate::class::{ClassSet, NetworkClass};
use crate::country::Country;
use crate::crawler::Crawler;
use crate::prefix::Prefix;
use crate::special::{SpecialUse, special_use};

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
    /// For each of these classes the surest claim and who makes it.
    pub claims: ClassClaims,
    /// Whose crawler comes from here, if its operator publishes the range.
    pub crawler: Option<Arc<Crawler>>,
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
            claims: ClassClaims::default(),
            crawler: None,
            prefix: Prefix::of(address),
        }
    }

    /// Whether many people stand behind one address here: phones, satellites, privacy relays, and the
    /// space between a provider and its customers (RFC 6598).
    ///
    /// Counting by address then counts a crowd, so the next identifier should count instead.
    pub fn is_shared(&self) -> bool {
        self.special_use == Some(SpecialUse::Shared)
            || SHARED_CLASSES.into_iter().any(|class| self.classes.contains(class))
    }
}

const SHARED_CLASSES: [NetworkClass; 3] = [NetworkClass::Mobile, NetworkClass::Satellite, NetworkClass::Relay];
