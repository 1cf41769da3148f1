use std::collections::BTreeMap;
use std::fmt;

use crate::asn::{Asn, AsnError};
use crate::class::{ClassSet, NetworkClass, UnknownClass};
use crate::list::ParsedList;

/// Which network classes an autonomous system has as a whole.
///
/// Coarse by nature: a class of the network is not a fact about each of its addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AsnClasses {
    // INVARIANT: ascending, each number once.
    entries: Box<[(Asn, ClassSet)]>,
}

impl AsnClasses {
    /// The classes of these networks; of a network given more than once, all of them.
    pub fn new(entries: impl IntoIterator<Item = (Asn, ClassSet)>) -> Self {
        let mut classes = BTreeMap::<Asn, ClassSet>::new();
        for (asn, set) in entries {
            let known = classes.entry(asn).or_default();
            *known = known.union(set);
        }
        AsnClasses { entries: classes.into_iter().filter(|(_, set)| !set.is_empty()).collect() }
    }

    /// The classes of `asn`, none if it is not listed.
    #[inline]
    pub fn classes(&self, asn: Asn) -> ClassSet {
        self.entries
            .binary_search_by_key(&asn, |(listed, _)| *listed)
            .ok()
            .and_then(|position| self.entries.get(position))
            .map_or(ClassSet::EMPTY, |(_, set)| *set)
    }

    /// Every listed network and its classes, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (Asn, ClassSet)> {
        self.entries.iter().copied()
    }

    /// How many networks have a class.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no network has a class.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Reads lines of `asn,class` and any further columns, which are notes; a first line that names the
/// columns is passed over, and `#` begins a comment.
pub fn parse_asn_classes(text: &str) -> ParsedList<(Asn, NetworkClass)> {
    let mut first = true;
    let list = ParsedList::read(text, |line| {
        let mut columns = line.split(',').map(str::trim);
        let (asn, class) = (columns.next().unwrap_or_default(), columns.next());
        if std::mem::take(&mut first) && (asn, class) == ("asn", Some("class")) {
            return Ok::<_, RowError>(None);
        }
        let class = class.ok_or(RowError::NoClass)?;
        Ok(Some((asn.parse().map_err(RowError::Asn)?, class.parse().map_err(RowError::Class)?)))
    });
    ParsedList { entries: list.entries.into_iter().flatten().collect(), faults: list.faults }
}

/// Reads a list of networks: `AS64500` or `64500` a line, `#` begins a comment.
pub fn parse_asn_list(text: &str) -> ParsedList<Asn> {
    ParsedList::read(text, str::parse::<Asn>)
}

enum RowError {
    Asn(AsnError),
    Class(UnknownClass),
    NoClass,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowError::Asn(error) => error.fmt(f),
            RowError::Class(error) => error.fmt(f),
            RowError::NoClass => f.write_str("expected an AS number, a comma and a network class"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_listed_twice_has_both_classes() {
        let classes = AsnClasses::new([
            (Asn(64_501), ClassSet::of(NetworkClass::Vpn)),
            (Asn(64_500), ClassSet::EMPTY),
            (Asn(64_501), ClassSet::of(NetworkClass::Datacenter)),
        ]);
        assert_eq!(classes.classes(Asn(64_501)), [NetworkClass::Vpn, NetworkClass::Datacenter].into_iter().collect());
        assert_eq!(classes.classes(Asn(64_500)), ClassSet::EMPTY);
        assert_eq!(classes.classes(Asn(64_502)), ClassSet::EMPTY);
        assert_eq!(classes.len(), 1);
    }

    #[test]
    fn a_csv_gives_number_and_class_and_reports_the_rest() {
        let list = parse_asn_classes(
            "asn,class,confidence,note\n64500,mobile,0.7,\"a, b\"\nAS64501 , vpn\n64502\n\
             64503,hosting\nx,vpn\n",
        );
        assert_eq!(list.entries, [(Asn(64_500), NetworkClass::Mobile), (Asn(64_501), NetworkClass::Vpn)]);
        let lines: Vec<_> = list.faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [4, 5, 6]);
        assert_eq!(list.faults[0].to_string(), "line 4: expected an AS number, a comma and a network class");
    }

    #[test]
    fn a_list_gives_numbers_with_and_without_comment() {
        let list = parse_asn_list("AS64500 # hosting\nAS64501\t# more # of it\n64502\nASN64503\n");
        assert_eq!(list.entries, [Asn(64_500), Asn(64_501), Asn(64_502)]);
        assert_eq!(list.faults.len(), 1);
    }
}
