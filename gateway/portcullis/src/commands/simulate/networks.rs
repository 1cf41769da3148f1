//! The networks of a scenario: addresses for its clients, and what is known of them.

use std::net::{IpAddr, Ipv4Addr};

use portcullis_intel::{AsnDb, Confidence, FeedFormat, FeedSpec, Guards, Intel, Merged, NetworkClass, read_feed};

/// A network.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) asn: u32,
    pub(super) classes: Vec<NetworkClass>,
    /// Where it begins, and how many /24 it has.
    first: u32,
    prefixes: u32,
    /// How many of its prefixes were dealt.
    dealt: u32,
}

/// The networks of a scenario, each a block of addresses of its own. What is really known of these addresses is left
/// out: here they belong to whom the scenario says.
#[derive(Debug, Default)]
pub(super) struct Networks(Vec<Network>);

/// The first block: any space of ordinary hosts will do.
const FIRST: u32 = 16 << 24;

/// The length of a network's prefix, in bits: it has 8,192 prefixes of /24.
const PREFIX_BITS: u8 = 11;

/// How many /24 a network has.
pub(super) const PREFIXES: u32 = 1 << (24 - PREFIX_BITS);

/// How many networks there may be: more would leave the space of ordinary hosts.
pub(super) const MOST: usize = 128;

impl Networks {
    /// Adds one, which gets a block of its own.
    pub(super) fn add(&mut self, name: String, asn: u32, classes: Vec<NetworkClass>) {
        let first = FIRST.wrapping_add(u32::try_from(self.0.len()).unwrap_or(0) << (32 - PREFIX_BITS));
        self.0.push(Network { name, asn, classes, first, prefixes: PREFIXES, dealt: 0 });
    }

    /// Adds one whose addresses lie in the /24 of this one. Where that is reserved, nothing is known of them.
    pub(super) fn add_at(&mut self, name: String, asn: u32, classes: Vec<NetworkClass>, address: Ipv4Addr) {
        self.0.push(Network { name, asn, classes, first: address.to_bits() & !0xff, prefixes: 1, dealt: 0 });
    }

    /// The number of the network of a name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|network| network.name == name)
    }

    /// The names of all.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|network| &*network.name)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// So many addresses, dealt to these networks in turn, so many of them in each /24; nobody else gets these prefixes.
    /// None where a network has not so many.
    pub(super) fn deal(&mut self, networks: &[usize], addresses: u32, per_prefix: u32) -> Option<Vec<IpAddr>> {
        let of = u32::try_from(networks.len()).ok().filter(|of| *of > 0)?;
        let each = addresses.div_ceil(of).div_ceil(per_prefix);
        let mut firsts = Vec::new();
        for at in networks {
            let network = self.0.get_mut(*at)?;
            let first = network.dealt;
            network.dealt = first.checked_add(each).filter(|dealt| *dealt <= network.prefixes)?;
            firsts.push(network.first + (first << 8));
        }
        let address = |number: u32| {
            let first = firsts.get(usize::try_from(number % of).ok()?)?;
            let place = number / of;
            // The first address of a prefix is a gateway's, as a rule.
            Some(Ipv4Addr::from_bits(first + ((place / per_prefix) << 8) + 1 + place % per_prefix).into())
        };
        (0..addresses).map(address).collect()
    }

    /// What is known of the addresses.
    ///
    /// # Errors
    ///
    /// What was written here and cannot be read, as text for people.
    pub(super) fn intel(&self) -> Result<Intel, String> {
        let mut feeds = Vec::new();
        for class in NetworkClass::ALL {
            let lines: String = self
                .0
                .iter()
                .filter(|network| network.classes.contains(&class))
                .map(|network| format!("{}/{}\n", Ipv4Addr::from_bits(network.first), network.bits()))
                .collect();
            if lines.is_empty() {
                continue;
            }
            let guards = Guards { shortest_v4: 1, ..Guards::default() };
            let spec = FeedSpec { guards, ..FeedSpec::new(class.name(), FeedFormat::Text, class, Confidence::FULL) };
            feeds.push(read_feed(&spec, lines.as_bytes(), None, 0).map_err(|error| error.to_string())?);
        }
        let intel = Intel::default().with_merged(Merged::of(&feeds, 0));
        if self.0.is_empty() {
            return Ok(intel);
        }
        Ok(intel.with_asn(AsnDb::open(self.database()).map_err(|error| error.to_string())?))
    }

    /// A database from address to autonomous system (MaxMind DB file format 2.0).
    fn database(&self) -> Vec<u8> {
        let mut tree = Tree::default();
        let mut data = Vec::new();
        for network in &self.0 {
            let offset = u32::try_from(data.len()).unwrap_or(u32::MAX);
            tree.insert(network.first, network.bits(), Entry::Data(offset));
            data.push(MAP | 1);
            text(&mut data, "autonomous_system_number");
            data.push(UINT32 | 4);
            data.extend(network.asn.to_be_bytes());
        }
        let mut file = tree.bytes();
        file.extend([0; SEPARATOR]);
        file.extend(data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        file.push(MAP | 9);
        text(&mut file, "node_count");
        file.push(UINT32 | 4);
        file.extend(u32::try_from(tree.0.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (key, number) in [
            ("record_size", RECORD_BITS),
            ("ip_version", 4),
            ("binary_format_major_version", 2),
            ("binary_format_minor_version", 0),
        ] {
            text(&mut file, key);
            file.push(UINT16 | 2);
            file.extend(number.to_be_bytes());
        }
        text(&mut file, "build_epoch");
        file.extend([0, UINT64]);
        text(&mut file, "database_type");
        text(&mut file, "scenario");
        text(&mut file, "languages");
        file.extend([0, ARRAY]);
        text(&mut file, "description");
        file.push(MAP);
        file
    }
}

impl Network {
    /// The length of its prefix, in bits.
    fn bits(&self) -> u8 {
        if self.prefixes == PREFIXES { PREFIX_BITS } else { 24 }
    }
}

/// Types of the format, in the upper three bits of their first byte; those past seven have a byte of their own behind an
/// empty one.
const MAP: u8 = 7 << 5;
const UINT32: u8 = 6 << 5;
const UINT16: u8 = 5 << 5;
const STRING: u8 = 2 << 5;
const UINT64: u8 = 9 - 7;
const ARRAY: u8 = 11 - 7;

/// Bytes of nothing between the tree and the data.
const SEPARATOR: usize = 16;

/// The size of a record in the tree.
const RECORD_BITS: u16 = 24;

/// Writes a text of fewer than 285 bytes.
fn text(to: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length @ ..29) => to.push(STRING | length),
        _ => to.extend([STRING | 29, u8::try_from(text.len() - 29).unwrap_or(u8::MAX)]),
    }
    to.extend(text.as_bytes());
}

/// A search tree; its first node is the root.
#[derive(Debug)]
struct Tree(Vec<[Entry; 2]>);

impl Default for Tree {
    fn default() -> Self {
        Self(vec![[Entry::Nothing; 2]])
    }
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Nothing,
    Node(usize),
    Data(u32),
}

impl Tree {
    /// Puts data under the prefix that begins at an address.
    fn insert(&mut self, address: u32, bits: u8, entry: Entry) {
        let mut node = 0;
        for bit in 0..bits {
            let side = usize::from((address << bit) >> 31 == 1);
            let next = self.0.len();
            let Some(place) = self.0.get_mut(node).and_then(|sides| sides.get_mut(side)) else { return };
            if bit + 1 == bits {
                *place = entry;
                return;
            }
            if let Entry::Node(at) = *place {
                node = at;
            } else {
                *place = Entry::Node(next);
                self.0.push([Entry::Nothing; 2]);
                node = next;
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let nodes = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let separator = u32::try_from(SEPARATOR).unwrap_or(0);
        let record = |entry: &Entry| match entry {
            Entry::Nothing => nodes,
            Entry::Node(at) => u32::try_from(*at).unwrap_or(nodes),
            Entry::Data(offset) => nodes + separator + offset,
        };
        self.0.iter().flatten().flat_map(|entry| record(entry).to_be_bytes().into_iter().skip(1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use portcullis_intel::Asn;

    use super::*;

    fn three() -> Networks {
        let mut networks = Networks::default();
        networks.add("home".to_owned(), 64_496, Vec::new());
        networks.add("cloud".to_owned(), 64_497, vec![NetworkClass::Datacenter]);
        networks.add("phones".to_owned(), 64_498, vec![NetworkClass::Mobile]);
        networks
    }

    #[test]
    fn what_is_said_of_a_network_is_known_of_its_addresses() {
        let mut networks = three();
        let addresses = networks.deal(&[0, 1, 2], 300, 1).unwrap();
        let intel = networks.intel().unwrap();
        for (number, address) in addresses.iter().enumerate() {
            let known = intel.lookup(*address);
            let (asn, class) = match number % 3 {
                0 => (64_496, None),
                1 => (64_497, Some(NetworkClass::Datacenter)),
                _ => (64_498, Some(NetworkClass::Mobile)),
            };
            assert_eq!(known.asn, Some(Asn(asn)), "{address}");
            for of in NetworkClass::ALL {
                assert_eq!(known.classes.contains(of), class == Some(of), "{address} {of}");
            }
        }
    }

    #[test]
    fn each_address_is_dealt_once_and_so_many_lie_in_a_prefix() {
        let mut networks = three();
        let mut all = HashSet::new();
        for (of, addresses, per_prefix, prefixes) in [(&[0][..], 100, 1, 100), (&[0, 1], 500, 250, 2), (&[0], 1, 9, 1)]
        {
            let dealt = networks.deal(of, addresses, per_prefix).unwrap();
            let in_24: HashSet<_> = dealt
                .iter()
                .map(|address| match address {
                    IpAddr::V4(v4) => v4.to_bits() >> 8,
                    IpAddr::V6(_) => panic!("expected IPv4"),
                })
                .collect();
            assert_eq!(in_24.len(), prefixes, "{addresses} addresses");
            assert!(dealt.into_iter().all(|address| all.insert(address)));
        }
        assert!(networks.deal(&[2], PREFIXES + 1, 1).is_none());
    }
}
