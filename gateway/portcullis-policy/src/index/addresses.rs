//! Rules by the networks that they name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use portcullis_intel::{Prefix, PrefixTable};

use super::Scope;

/// Rules by network: one lookup finds the narrowest network around an address, which knows those around it.
///
/// A chain of networks instead of merged lists keeps the size linear: a thousand rules for `0.0.0.0/0`
/// are not copied into every network below it.
#[derive(Debug, Default)]
pub(super) struct AddressIndex {
    table: PrefixTable<u32>,
    nodes: Box<[Node]>,
}

/// One network that rules name.
#[derive(Debug)]
struct Node {
    /// The next wider network that rules name. At most 128 are around one address.
    wider: Option<u32>,
    // INVARIANT: sorted.
    rules: Box<[(Scope, u32)]>,
}

/// One network of one rule.
#[derive(Debug)]
pub(super) struct Entry {
    network: Prefix,
    scope: Scope,
    rule: u32,
}

impl Entry {
    pub(super) fn new(network: IpNetwork, scope: Scope, rule: u32) -> Self {
        Self { network: network.into(), scope, rule }
    }
}

impl AddressIndex {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let mut networks: BTreeMap<Prefix, Vec<(Scope, u32)>> = BTreeMap::new();
        for entry in entries {
            networks.entry(entry.network).or_default().push((entry.scope, entry.rule));
        }
        // A prefix sorts before those within it, so the networks around the current one are a stack.
        let mut around: Vec<(Prefix, u32)> = Vec::new();
        let mut nodes = Vec::with_capacity(networks.len());
        let mut places = Vec::with_capacity(networks.len());
        for (place, (network, mut rules)) in (0_u32..).zip(networks) {
            while around.last().is_some_and(|(wider, _)| !wider.contains(network.address())) {
                around.pop();
            }
            rules.sort_unstable();
            nodes.push(Node { wider: around.last().map(|(_, place)| *place), rules: rules.into() });
            places.push((network, place));
            around.push((network, place));
        }
        Self { table: PrefixTable::build(places), nodes: nodes.into() }
    }

    /// Tells every rule of a scope that names a network around an address.
    pub(super) fn each(&self, address: IpAddr, scope: Scope, mut tell: impl FnMut(u32)) {
        if self.nodes.is_empty() {
            return;
        }
        let mut place = self.table.lookup(address);
        while let Some(node) = place.and_then(|place| self.nodes.get(usize::try_from(place).ok()?)) {
            let start = node.rules.partition_point(|(of, _)| *of < scope);
            for (_, rule) in node.rules.iter().skip(start).take_while(|(of, _)| *of == scope) {
                tell(*rule);
            }
            place = node.wider;
        }
    }
}
