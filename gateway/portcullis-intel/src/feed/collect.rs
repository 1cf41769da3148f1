use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::FeedError;
use super::{FeedReport, FeedSpec, Said};
use crate::asn::Asn;
use crate::list::LineFault;
use crate::mapping::Mapping;
use crate::mmdb::check_walk;
use crate::prefix::Prefix;
use crate::source::MmdbSource;
use crate::special::{canonical, special_use};

/// One entry of a feed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Entry {
    Network(Prefix),
    /// Both ends belong to it.
    Range(IpAddr, IpAddr),
    Asn(Asn),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Network(prefix) => prefix.fmt(f),
            Entry::Range(first, last) => write!(f, "{first}-{last}"),
            Entry::Asn(asn) => asn.fmt(f),
        }
    }
}

/// Takes the entries of a feed, and minds its guards.
pub(super) struct Collector<'a> {
    spec: &'a FeedSpec,
    networks: Vec<(Prefix, Said)>,
    asns: Vec<(Asn, Said)>,
    line: usize,
    pub(super) report: FeedReport,
}

impl<'a> Collector<'a> {
    pub(super) fn new(spec: &'a FeedSpec) -> Self {
        Collector { spec, networks: Vec::new(), asns: Vec::new(), line: 1, report: FeedReport::default() }
    }

    /// What the feed says of an entry that says nothing itself.
    pub(super) fn default_said(&self) -> Said {
        Said { class: self.spec.class, confidence: self.spec.confidence }
    }

    /// What is met next stands in this line; the first is 1.
    pub(super) fn at_line(&mut self, line: usize) {
        self.line = line;
    }

    /// How many entries there were, also those that were dropped.
    pub(super) fn met(&self) -> usize {
        self.networks.len() + self.asns.len() + self.report.dropped.total()
    }

    /// The line is no entry, because of `message`.
    pub(super) fn skip(&mut self, message: &str) {
        self.report.skipped += 1;
        if self.report.first_skipped.len() < FIRST_SKIPPED {
            self.report.first_skipped.push(LineFault { line: self.line, message: message.to_owned() });
        }
    }

    /// The line is no entry, but `content`.
    pub(super) fn skip_text(&mut self, content: &str) {
        if self.report.first_skipped.len() < FIRST_SKIPPED {
            let shown: String = content.chars().take(SHOWN_CHARS).filter(|letter| !letter.is_control()).collect();
            self.skip(&format!("expected an address, a network, a range or an AS number, but found `{shown}`"));
        } else {
            self.skip("");
        }
    }

    /// Takes an entry, of which `said` holds where the feed says it itself.
    pub(super) fn add(&mut self, entry: Entry, said: Option<Said>) -> Result<(), FeedError> {
        let said = said.unwrap_or(self.default_said());
        match entry {
            Entry::Network(prefix) => self.add_network(prefix, said),
            Entry::Range(first, last) => match (canonical(first), canonical(last)) {
                (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                    let each = |bits: u128, length| Prefix::new(Ipv4Addr::from_bits(bits as u32).into(), length);
                    self.add_range(u128::from(first.to_bits()), u128::from(last.to_bits()), 32, said, each)
                }
                (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                    let each = |bits, length| Prefix::new(Ipv6Addr::from_bits(bits).into(), length);
                    self.add_range(first.to_bits(), last.to_bits(), 128, said, each)
                }
                _ => {
                    self.skip_text(&entry.to_string());
                    Ok(())
                }
            },
            Entry::Asn(asn) => {
                self.room()?;
                if asn.is_reserved() {
                    self.report.dropped.reserved_asn += 1;
                } else if self.spec.except_asns.contains(&asn) {
                    self.report.dropped.excepted += 1;
                } else {
                    self.asns.push((asn, said));
                }
                Ok(())
            }
        }
    }

    /// The fewest networks that make up all from `first` to `last`.
    fn add_range(
        &mut self,
        mut first: u128,
        last: u128,
        width: u32,
        said: Said,
        network: impl Fn(u128, u8) -> Result<Prefix, crate::prefix::PrefixError>,
    ) -> Result<(), FeedError> {
        loop {
            // The largest block that begins here and ends no later.
            let fits = (last - first).checked_add(1).map_or(128, u128::ilog2);
            let bits = first.trailing_zeros().min(fits).min(width);
            if let Ok(prefix) = network(first, (width - bits) as u8) {
                self.add_network(prefix, said)?;
            }
            let next = 1u128.checked_shl(bits).and_then(|size| first.checked_add(size));
            match next {
                Some(next) if next <= last => first = next,
                _ => return Ok(()),
            }
        }
    }

    fn add_network(&mut self, prefix: Prefix, said: Said) -> Result<(), FeedError> {
        self.room()?;
        if prefix.length() == 0 {
            self.report.dropped.default_route += 1;
            return Ok(());
        }
        if is_special(prefix) {
            self.report.dropped.special_use += 1;
            return Ok(());
        }
        let shortest = match prefix.address() {
            IpAddr::V4(_) => self.spec.guards.shortest_v4,
            IpAddr::V6(_) => self.spec.guards.shortest_v6,
        };
        if prefix.length() < shortest {
            return Err(FeedError::TooWide { prefix, shortest });
        }
        self.networks.push((prefix, said));
        Ok(())
    }

    /// Whether there is room for another entry; one that is dropped costs time and so counts too.
    fn room(&self) -> Result<(), FeedError> {
        let most_entries = self.spec.guards.most_entries;
        if self.met() < most_entries { Ok(()) } else { Err(FeedError::TooMany { most_entries }) }
    }

    /// The entries, if the guards on all of them together let them pass.
    pub(super) fn finish(mut self, bytes: usize, previous: Option<usize>) -> Result<Collected, FeedError> {
        let guards = self.spec.guards;
        self.report.bytes = bytes;
        self.report.v4 = self.networks.iter().filter(|(prefix, _)| prefix.address().is_ipv4()).count();
        self.report.v6 = self.networks.len() - self.report.v4;
        self.report.asns = self.asns.len();
        let entries = self.report.entries();
        if entries < guards.fewest_entries {
            let first = self.report.first_skipped.into_iter().next();
            let skipped = self.report.skipped;
            return Err(FeedError::TooFew { entries, fewest: guards.fewest_entries, skipped, first });
        }
        if let Some(before) = previous {
            let kept = 100_usize.saturating_sub(usize::from(guards.most_shrink_percent));
            if entries.saturating_mul(100) < before.saturating_mul(kept) {
                return Err(FeedError::Shrunk { before, after: entries, most_percent: guards.most_shrink_percent });
            }
        }
        if let Some(prefix) = whole_block(&mut self.networks, guards.shortest_v4, guards.shortest_v6) {
            return Err(FeedError::CoversWhole { prefix });
        }
        Ok((self.networks, self.asns, self.report))
    }
}

type Collected = (Vec<(Prefix, Said)>, Vec<(Asn, Said)>, FeedReport);

/// Whether no address of the network is an ordinary one.
fn is_special(prefix: Prefix) -> bool {
    let outside_unicast = match prefix.address() {
        IpAddr::V4(_) => false,
        // What neither holds 2000::/3 nor lies in it has no ordinary address (RFC 4291 §2.4).
        IpAddr::V6(address) => {
            let common = u32::from(prefix.length().min(3));
            address.to_bits().checked_shr(128 - common).unwrap_or(0) != 1 >> (3 - common)
        }
    };
    let inside = special_use(prefix.address()).is_some()
        && SPECIAL_BLOCKS.iter().any(|(block, length)| {
            prefix.length() >= *length
                && Prefix::new(prefix.address(), *length).is_ok_and(|around| around.address() == *block)
        });
    outside_unicast || inside
}

/// The first whole block, one bit wider than the shortest prefix, that entries cover together.
///
/// Sorts the networks, which a merge does anyway.
fn whole_block(networks: &mut [(Prefix, Said)], shortest_v4: u8, shortest_v6: u8) -> Option<Prefix> {
    networks.sort_unstable();
    let mut run: Option<(bool, u128, u128)> = None;
    for (prefix, _) in networks.iter() {
        let (is_v4, first, width, shortest) = match prefix.address() {
            IpAddr::V4(address) => (true, u128::from(address.to_bits()), 32_u8, shortest_v4),
            IpAddr::V6(address) => (false, address.to_bits(), 128, shortest_v6),
        };
        let host_bits = |length: u8| 1u128.checked_shl(u32::from(width.saturating_sub(length))).unwrap_or(0);
        let last = first.saturating_add(host_bits(prefix.length()).saturating_sub(1));
        run = match run {
            Some((family, begin, end)) if family == is_v4 && first <= end.saturating_add(1) => {
                Some((is_v4, begin, end.max(last)))
            }
            _ => Some((is_v4, first, last)),
        };
        let block = host_bits(shortest.saturating_sub(1));
        let Some((_, begin, end)) = run else { continue };
        let Some(aligned) = begin.checked_next_multiple_of(block.max(1)) else { continue };
        if shortest > 1 && aligned.checked_add(block.saturating_sub(1)).is_some_and(|whole| whole <= end) {
            let address = if is_v4 {
                IpAddr::V4(Ipv4Addr::from_bits(aligned as u32))
            } else {
                Ipv6Addr::from_bits(aligned).into()
            };
            return Prefix::new(address, shortest - 1).ok();
        }
    }
    None
}

/// Reads every network of a database.
pub(super) fn read_database(
    bytes: Vec<u8>,
    mapping: Option<&Mapping>,
    collector: &mut Collector<'_>,
) -> Result<(), FeedError> {
    check_walk(&bytes)?;
    let source = MmdbSource::with_mapping("feed", bytes, mapping.cloned().unwrap_or_default())?;
    source.each_network(|prefix, record| {
        let Some(record) = record else {
            collector.skip("the record is damaged");
            return Ok(());
        };
        match mapping {
            None => collector.add(Entry::Network(prefix), None),
            Some(_) => record.classes.iter().try_for_each(|(class, confidence)| {
                collector.add(Entry::Network(prefix), Some(Said { class: *class, confidence: *confidence }))
            }),
        }
    })
}

/// How many skipped lines a report shows.
const FIRST_SKIPPED: usize = 5;

/// How much of a skipped line a report shows.
const SHOWN_CHARS: usize = 64;

/// The widest blocks of special use: those of IPv4, and those inside 2000::/3.
const SPECIAL_BLOCKS: [(IpAddr, u8); 22] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 31, 196, 0, 24),
    v4(192, 52, 193, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(192, 175, 48, 0, 24),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 3),
    v6(0x2001, 0, 0, 23),
    v6(0x2001, 0xdb8, 0, 32),
    v6(0x2002, 0, 0, 16),
    v6(0x3fff, 0, 0, 20),
    v6(0x2620, 0x4f, 0x8000, 48),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> (IpAddr, u8) {
    (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), length)
}

const fn v6(a: u16, b: u16, c: u16, length: u8) -> (IpAddr, u8) {
    (IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::NetworkClass;
    use crate::confidence::Confidence;
    use crate::feed::FeedFormat;

    #[test]
    fn a_network_is_special_when_all_of_it_is() {
        for (text, special) in [
            ("10.0.0.0/8", true),
            ("10.1.2.3", true),
            ("8.0.0.0/5", false),
            ("0.0.0.0/1", false),
            ("224.0.0.0/3", true),
            ("240.1.0.0/16", true),
            ("192.0.0.0/23", false),
            ("192.0.2.0/25", true),
            ("100.64.0.0/10", true),
            ("100.64.0.0/9", false),
            ("198.18.0.0/15", true),
            ("8.8.8.8", false),
            ("2001:db8::/48", true),
            ("2001::/16", false),
            ("2001::/23", true),
            ("2001:4860::/32", false),
            ("2002::/16", true),
            ("fc00::/7", true),
            ("fe80::1", true),
            ("::/3", true),
            ("4000::/2", true),
            ("8000::/1", true),
            ("::/2", false),
            ("2000::/3", false),
            ("64:ff9b::1", true),
        ] {
            assert_eq!(is_special(text.parse().unwrap()), special, "{text}");
        }
    }

    fn networks_of(first: &str, last: &str) -> Vec<String> {
        let mut spec = FeedSpec::new("range", FeedFormat::Text, NetworkClass::Vpn, Confidence::FULL);
        spec.guards.shortest_v4 = 0;
        spec.guards.shortest_v6 = 0;
        let mut collector = Collector::new(&spec);
        collector.add(Entry::Range(first.parse().unwrap(), last.parse().unwrap()), None).unwrap();
        collector.networks.iter().map(|(prefix, _)| prefix.to_string()).collect()
    }

    #[test]
    fn a_range_is_cut_into_the_fewest_networks() {
        for (first, last, networks) in [
            ("8.8.8.8", "8.8.8.8", &["8.8.8.8/32"][..]),
            ("8.8.8.0", "8.8.8.255", &["8.8.8.0/24"]),
            ("8.8.8.1", "8.8.8.4", &["8.8.8.1/32", "8.8.8.2/31", "8.8.8.4/32"]),
            ("2a00::", "2a00::ffff", &["2a00::/112"]),
            ("2a00::ffff", "2a00::1:0", &["2a00::ffff/128", "2a00::1:0/128"]),
            // The default route, and a range that ends where it begins to be special.
            ("0.0.0.0", "255.255.255.255", &[]),
            ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[]),
            ("223.255.255.254", "255.255.255.255", &["223.255.255.254/31"]),
            ("8.8.8.9", "8.8.8.8", &[]),
        ] {
            assert_eq!(networks_of(first, last), networks, "{first}-{last}");
        }
    }
}
