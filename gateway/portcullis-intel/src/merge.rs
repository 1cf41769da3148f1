use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::asn::Asn;
use crate::claims::{ClassClaim, ClassClaims, SourceId};
use crate::class::{ClassSet, NetworkClass};
use crate::confidence::Confidence;
use crate::crawler::Crawler;
use crate::feed::{Feed, Said};
use crate::table::PrefixTable;

/// All feeds in one immutable table: a lookup costs the same for ten entries and for a million.
///
/// Where entries overlap, the address has the classes of all of them, each with the surest claim;
/// every claim is kept for [`Intel::explain`](crate::Intel::explain). Of a feed past its time nothing
/// is taken in.
#[derive(Debug, Default)]
pub struct Merged {
    networks: PrefixTable<SetId>,
    // INVARIANT: ascending, each number once.
    asns: Box<[(Asn, SetId)]>,
    sets: Box<[ClaimSet]>,
    sources: Box<[SourceInfo]>,
    next_expiry_unix_secs: Option<u64>,
}

/// The number of a set of claims: there are as many as there are ways in which feeds overlap.
type SetId = u32;

/// Who says something about addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceInfo {
    /// What it is called in settings.
    pub name: Arc<str>,
    /// Whose published ranges these are.
    pub crawler: Option<Arc<Crawler>>,
    /// The terms it may be used under.
    pub licence: Option<Arc<str>>,
    /// When a feed was loaded, or a database was built, in seconds since 1970-01-01 UTC.
    pub as_of_unix_secs: u64,
    /// From when on it is not believed any more, in seconds since 1970-01-01 UTC.
    pub expires_unix_secs: Option<u64>,
    /// How many entries a feed has; a database does not say.
    pub entries: Option<usize>,
}

/// What all feeds together say of the addresses of one stretch.
#[derive(Debug)]
pub(crate) struct ClaimSet {
    pub(crate) classes: ClassSet,
    pub(crate) strongest: ClassClaims,
    // INVARIANT: by class, then by source; each pair once.
    pub(crate) all: Box<[Claim]>,
}

/// One claim of one source.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Claim {
    pub(crate) class: NetworkClass,
    pub(crate) source: SourceId,
    pub(crate) confidence: Confidence,
}

impl Merged {
    /// The table of these feeds, without those past their time at `now_unix_secs`, in seconds since
    /// 1970-01-01 UTC. Of feeds with the same name the last holds; of more than 65,000 the first.
    pub fn of<'a>(feeds: impl IntoIterator<Item = &'a Feed>, now_unix_secs: u64) -> Self {
        let mut chosen: Vec<&Feed> = Vec::new();
        for feed in feeds {
            match chosen.iter_mut().find(|known| known.name == feed.name) {
                Some(known) => *known = feed,
                None => chosen.push(feed),
            }
        }
        chosen.retain(|feed| feed.expires_unix_secs().is_none_or(|end| now_unix_secs < end));
        chosen.truncate(MOST_FEEDS);

        let sets = RefCell::new(Sets::default());
        let numbered = || (0_u16..).map(SourceId).zip(&chosen);
        let rules = numbered().flat_map(|(source, feed)| {
            let sets = &sets;
            let mut known = None;
            feed.networks.iter().map(move |(prefix, said)| (*prefix, sets.borrow_mut().of(source, *said, &mut known)))
        });
        let rules: Vec<_> = rules.collect();
        let networks = PrefixTable::layered(rules, |outer, inner| sets.borrow_mut().union(outer, inner));
        let mut asns = BTreeMap::<Asn, SetId>::new();
        for (source, feed) in numbered() {
            let mut known = None;
            for (asn, said) in &feed.asns {
                let mut sets = sets.borrow_mut();
                let set = sets.of(source, *said, &mut known);
                asns.entry(*asn).and_modify(|held| *held = sets.union(*held, set)).or_insert(set);
            }
        }
        Merged {
            networks,
            asns: asns.into_iter().collect(),
            sets: sets.into_inner().finish(),
            sources: chosen.iter().map(|feed| SourceInfo::of(feed)).collect(),
            next_expiry_unix_secs: chosen.iter().filter_map(|feed| feed.expires_unix_secs()).min(),
        }
    }

    /// The feeds that were taken in, in the order of their numbers.
    pub fn sources(&self) -> &[SourceInfo] {
        &self.sources
    }

    /// When the next feed is past its time and all should be merged anew, in seconds since 1970-01-01
    /// UTC.
    pub fn next_expiry_unix_secs(&self) -> Option<u64> {
        self.next_expiry_unix_secs
    }

    /// How many places there are where another set of claims, or none, begins to hold.
    pub fn boundaries(&self) -> usize {
        self.networks.boundaries()
    }

    /// Bytes on the heap, without the names of sources.
    pub fn heap_bytes(&self) -> usize {
        let claims: usize = self.sets.iter().map(|set| size_of_val(&*set.all)).sum();
        self.networks.heap_bytes() + size_of_val(&*self.asns) + size_of_val(&*self.sets) + claims
    }

    /// Has the processor fetch what [`Merged::of_address`] reads first, without waiting for it.
    #[inline]
    pub(crate) fn prefetch(&self, address: IpAddr) {
        self.networks.prefetch(address);
    }

    /// What feeds say of a canonical address.
    #[inline]
    pub(crate) fn of_address(&self, address: IpAddr) -> Option<&ClaimSet> {
        self.sets.get(self.networks.lookup(address)? as usize)
    }

    /// What feeds say of an autonomous system.
    #[inline]
    pub(crate) fn of_asn(&self, asn: Asn) -> Option<&ClaimSet> {
        let position = self.asns.binary_search_by_key(&asn, |(listed, _)| *listed).ok()?;
        self.sets.get(self.asns.get(position)?.1 as usize)
    }
}

impl SourceInfo {
    fn of(feed: &Feed) -> Self {
        SourceInfo {
            name: Arc::clone(&feed.name),
            crawler: feed.crawler.clone(),
            licence: feed.licence.clone(),
            as_of_unix_secs: feed.loaded_unix_secs(),
            expires_unix_secs: feed.expires_unix_secs(),
            entries: Some(feed.report().entries()),
        }
    }
}

/// The sets of claims met so far, each once.
#[derive(Default)]
struct Sets {
    sets: Vec<Box<[Claim]>>,
    numbers: BTreeMap<Box<[Claim]>, SetId>,
    unions: BTreeMap<(SetId, SetId), SetId>,
}

impl Sets {
    /// The set of one claim. `known` is what the entry before said and which set that is: mostly all
    /// entries of a feed say the same.
    fn of(&mut self, source: SourceId, said: Said, known: &mut Option<(Said, SetId)>) -> SetId {
        if let Some((before, set)) = known
            && *before == said
        {
            return *set;
        }
        let set = self.number(Box::new([Claim { class: said.class, source, confidence: said.confidence }]));
        *known = Some((said, set));
        set
    }

    fn union(&mut self, one: SetId, other: SetId) -> SetId {
        let pair = (one.min(other), one.max(other));
        if one == other {
            return one;
        }
        if let Some(set) = self.unions.get(&pair) {
            return *set;
        }
        let claims = |set: SetId| self.sets.get(set as usize).into_iter().flatten().copied();
        let mut both: Vec<Claim> = claims(one).chain(claims(other)).collect();
        // The surest claim of a source on a class comes first, and the others are dropped.
        both.sort_unstable_by_key(|claim| (claim.class, claim.source, std::cmp::Reverse(claim.confidence)));
        both.dedup_by_key(|claim| (claim.class, claim.source));
        let set = self.number(both.into());
        self.unions.insert(pair, set);
        set
    }

    fn number(&mut self, claims: Box<[Claim]>) -> SetId {
        if let Some(set) = self.numbers.get(&claims) {
            return *set;
        }
        // INVARIANT: a set is made for an entry or for two that overlap, and there are fewer than 2^32.
        let set = self.sets.len() as SetId;
        self.sets.push(claims.clone());
        self.numbers.insert(claims, set);
        set
    }

    fn finish(self) -> Box<[ClaimSet]> {
        self.sets.into_iter().map(ClaimSet::of).collect()
    }
}

impl ClaimSet {
    fn of(all: Box<[Claim]>) -> Self {
        let mut strongest = ClassClaims::default();
        for claim in &all {
            strongest.add(claim.class, ClassClaim { confidence: claim.confidence, source: claim.source });
        }
        ClaimSet { classes: strongest.classes(), strongest, all }
    }
}

/// Feeds have numbers of 16 bits, and databases need some of them.
const MOST_FEEDS: usize = 65_000;
