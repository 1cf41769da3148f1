//! The values that are seen most often, in bounded memory.

use smallvec::SmallVec;

/// How often each of the most frequent values was seen, in [`SLOTS`] places.
///
/// This is the Space-Saving algorithm (Metwally, Agrawal, El Abbadi: "Efficient Computation of Frequent and Top-k
/// Elements in Data Streams", ICDT 2005). Of `total` values seen, each that was seen more than `total / SLOTS` times
/// has a slot, so none above a larger share is missed. A slot's count is never too low, and too high by at most its
/// [`Slot::over`], which is at most `total / SLOTS`.
#[derive(Debug)]
pub(super) struct Sketch<V> {
    // INVARIANT: at most `SLOTS`, no value twice, and their counts add up to `total`.
    slots: Vec<Slot<V>>,
    total: u64,
}

/// One value that is counted.
#[derive(Debug)]
pub(super) struct Slot<V> {
    /// The value.
    pub(super) value: V,
    /// How often it was seen, and at most `over` more than that.
    pub(super) count: u64,
    /// By how much the count may be too high.
    pub(super) over: u64,
    /// The networks it came from since it has this slot, up to [`MOST_NETWORKS`].
    networks: SmallVec<[Network; MOST_NETWORKS]>,
}

/// A network in a number: a one, then the bytes of its prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Network(u64);

/// How many values are counted at once.
///
/// The more, the smaller the error. A count that is too high was taken over from a value that gave way, and was at
/// most a sixteenth of all that had been seen by then; so `over` is also at most `(total - count) / 15`. What seems to
/// be nine tenths of all is at least 89.3 % of it, and what seems to be all of it is.
pub(super) const SLOTS: usize = 16;

/// How many networks of a value are told apart. It is as many as an alarm asks for; more would only cost memory.
pub(super) const MOST_NETWORKS: usize = 20;

impl<V: Eq> Sketch<V> {
    /// Nothing seen yet.
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), total: 0 }
    }

    /// Counts a value that came from a network.
    pub(super) fn add(&mut self, value: V, network: Network) {
        self.total += 1;
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.value == value) {
            slot.count += 1;
            slot.came_from(network);
        } else if self.slots.len() < SLOTS {
            self.slots.push(Slot { value, count: 1, over: 0, networks: SmallVec::from_slice(&[network]) });
        } else if let Some(rarest) = self.slots.iter_mut().min_by_key(|slot| slot.count) {
            // It may have been seen as often as the one that gives way, and not more often.
            rarest.over = rarest.count;
            rarest.count += 1;
            rarest.value = value;
            rarest.networks.clear();
            rarest.came_from(network);
        }
    }

    /// How many values were seen, each as often as it was.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// The value seen most often.
    pub(super) fn top(&self) -> Option<&Slot<V>> {
        self.slots.iter().max_by_key(|slot| slot.count)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.total = 0;
    }
}

impl<V> Slot<V> {
    /// How many networks it came from; all past [`MOST_NETWORKS`] count as those.
    pub(super) fn networks(&self) -> usize {
        self.networks.len()
    }

    fn came_from(&mut self, network: Network) {
        if self.networks.len() < MOST_NETWORKS && !self.networks.contains(&network) {
            self.networks.push(network);
        }
    }
}

impl Network {
    /// The network with this prefix of at most seven bytes.
    pub(super) fn of(prefix: &[u8]) -> Self {
        // The one in front tells prefixes of different lengths apart.
        Self(prefix.iter().take(7).fold(1, |number, byte| number << 8 | u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Values from a small range and values of their own, so that some are frequent whatever the rest is.
        #[test]
        fn no_frequent_value_is_missed_and_no_count_is_further_off_than_it_says(
            values in prop::collection::vec(prop_oneof![0_u16..4, 0_u16..40, any::<u16>()], 0..2_000),
        ) {
            let mut sketch = Sketch::new();
            let mut counted = BTreeMap::new();
            for value in &values {
                sketch.add(*value, Network::of(&value.to_be_bytes()));
                *counted.entry(*value).or_insert(0_u64) += 1;
            }
            let bound = sketch.total() / SLOTS as u64;
            prop_assert_eq!(sketch.total(), values.len() as u64);
            prop_assert_eq!(sketch.slots.iter().map(|slot| slot.count).sum::<u64>(), sketch.total());
            for slot in &sketch.slots {
                let seen = counted[&slot.value];
                prop_assert!(seen <= slot.count && slot.count - slot.over <= seen && slot.over <= bound);
                prop_assert!(slot.over * (SLOTS as u64 - 1) <= sketch.total() - slot.count);
                prop_assert_eq!(slot.networks(), 1);
            }
            for (value, seen) in counted {
                prop_assert!(seen <= bound || sketch.slots.iter().any(|slot| slot.value == value), "{}", value);
            }
        }

        #[test]
        fn a_value_that_most_have_is_the_top_wherever_it_stands(
            others in prop::collection::vec(any::<u16>(), 0..500),
            places in prop::collection::vec(any::<prop::sample::Index>(), 501),
        ) {
            let mut values: Vec<_> = others.into_iter().map(Some).collect();
            for place in places {
                values.insert(place.index(values.len() + 1), None);
            }
            let mut sketch = Sketch::new();
            for value in values {
                sketch.add(value, Network::of(&[192, 0, 2]));
            }
            let top = sketch.top().unwrap();
            prop_assert_eq!(top.value, None);
            prop_assert!((501..=501 + top.over).contains(&top.count));
        }
    }

    #[test]
    fn networks_are_told_apart_up_to_a_bound() {
        let mut sketch = Sketch::new();
        sketch.add("x", Network::of(&[0, 0, 1]));
        sketch.add("x", Network::of(&[0, 0, 1]));
        assert_eq!(sketch.top().unwrap().networks(), 1);
        sketch.add("x", Network::of(&[0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(sketch.top().unwrap().networks(), 2, "a /56 is no /24 of the same digits");
        for last in 0..=255 {
            sketch.add("x", Network::of(&[198, 51, last]));
        }
        assert_eq!(sketch.top().unwrap().networks(), MOST_NETWORKS);
    }
}
