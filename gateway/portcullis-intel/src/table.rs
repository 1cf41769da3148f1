use std::fmt;
use std::net::IpAddr;

use crate::flat::{FlatTable, Range};
use crate::prefix::Prefix;
use crate::special::canonical;

/// An immutable table from networks to values, answering with the value of the longest prefix.
///
/// A lookup costs the same with ten prefixes and with a hundred thousand; only where many crowd into
/// one part of the address space does it halve its way to the right one. Memory is at most two boundaries a
/// prefix, less where prefixes touch or repeat a value: with a two-byte value some 12 bytes for
/// IPv4 and 20 for IPv6, and up to 256 KiB of index that a large table of a family has once.
#[derive(Clone)]
pub struct PrefixTable<V> {
    v4: FlatTable<u32, V>,
    /// By the first 64 bits: prefixes up to /64, which are nearly all.
    v6: FlatTable<u64, V>,
    /// Prefixes longer than /64. They are longer than any in `v6`, so they are asked first.
    v6_deep: FlatTable<u128, V>,
}

impl<V: Copy + Eq> PrefixTable<V> {
    /// The table of these prefixes. Of the same prefix given twice, the later value holds.
    pub fn build<P: Into<Prefix>>(rules: impl IntoIterator<Item = (P, V)>) -> Self {
        PrefixTable::layered(rules, |_, inner| inner)
    }

    /// The table in which the value of a prefix inside another is `combine(outer, inner)`.
    ///
    /// The same prefix given twice counts as the later one inside the earlier.
    pub fn layered<P: Into<Prefix>>(rules: impl IntoIterator<Item = (P, V)>, combine: impl Fn(V, V) -> V) -> Self {
        let (mut v4, mut v6, mut v6_deep) = (Vec::new(), Vec::new(), Vec::new());
        for (prefix, value) in rules {
            let prefix: Prefix = prefix.into();
            let length = u32::from(prefix.length());
            match prefix.address() {
                IpAddr::V4(address) => {
                    let first = address.to_bits();
                    let last = first | u32::MAX.checked_shr(length).unwrap_or(0);
                    v4.push(Range { first, last, value });
                }
                IpAddr::V6(address) if length <= 64 => {
                    let first = (address.to_bits() >> 64) as u64;
                    let last = first | u64::MAX.checked_shr(length).unwrap_or(0);
                    v6.push(Range { first, last, value });
                }
                IpAddr::V6(address) => {
                    let first = address.to_bits();
                    let last = first | u128::MAX.checked_shr(length).unwrap_or(0);
                    v6_deep.push(Range { first, last, value });
                }
            }
        }
        let v6 = FlatTable::build(v6, &combine);
        for range in &mut v6_deep {
            if let Some(outer) = v6.lookup((range.first >> 64) as u64) {
                range.value = combine(outer, range.value);
            }
        }
        PrefixTable { v4: FlatTable::build(v4, &combine), v6, v6_deep: FlatTable::build(v6_deep, &combine) }
    }

    /// The value of the longest prefix around the [`canonical`] form of `address`.
    #[inline]
    pub fn lookup(&self, address: IpAddr) -> Option<V> {
        match canonical(address) {
            IpAddr::V4(v4) => self.v4.lookup(v4.to_bits()),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                match self.v6_deep.lookup(bits) {
                    None => self.v6.lookup((bits >> 64) as u64),
                    value => value,
                }
            }
        }
    }

    /// Has the processor fetch what a lookup of a canonical address reads first, without waiting for it.
    #[inline]
    pub(crate) fn prefetch(&self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.v4.prefetch(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.prefetch((v6.to_bits() >> 64) as u64),
        }
    }

    /// Whether the table has no prefix.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty() && self.v6_deep.is_empty()
    }

    /// How many boundaries there are: places where another value, or none, begins to hold.
    pub fn boundaries(&self) -> usize {
        self.v4.len() + self.v6.len() + self.v6_deep.len()
    }

    /// How much memory the table holds beside itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.v4.heap_bytes() + self.v6.heap_bytes() + self.v6_deep.heap_bytes()
    }
}

impl<V> Default for PrefixTable<V> {
    fn default() -> Self {
        PrefixTable { v4: FlatTable::default(), v6: FlatTable::default(), v6_deep: FlatTable::default() }
    }
}

impl<V: Copy + Eq> fmt::Debug for PrefixTable<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixTable").field("heap_bytes", &self.heap_bytes()).finish_non_exhaustive()
    }
}
