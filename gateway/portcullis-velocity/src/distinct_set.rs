//! The values of one key, as slots hold them: twelve, or a sample of many.
//!
//! A value is kept as 32 bits: 22 of its hash, how many zeros another part of its hash begins with (5 bits), and the
//! segment in which it was seen last, modulo 32 (5 bits). A window is 30 segments long.

use crate::distinct::Distinct;
use crate::key::Key;
use crate::table::Record;
use crate::time::Millis;
use crate::window::Window;

/// Values in the small slot.
pub(crate) const FEW: usize = 12;
/// Values in the large one.
pub(crate) const MANY: usize = 240;

/// The number of the segment that `now` lies in.
#[inline]
pub(crate) fn segment(window: Window, now: Millis) -> u64 {
    now.0.min(u64::MAX / SEGMENTS) * SEGMENTS / u64::from(window.length_ms())
}

/// A value, not yet seen in any segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value(u32);

impl Value {
    #[inline]
    pub(crate) fn new(value: Key) -> Value {
        // The zeros are those of the half that chooses places, the print is of the other.
        let zeros = value.place.leading_zeros().min(LEVEL_MAX);
        Value(((value.tag >> 42) as u32) << 10 | zeros << 5)
    }

    const fn zeros(self) -> u32 {
        self.0 >> 5 & 0x1f
    }

    /// The segment it was seen in, modulo 32.
    const fn label(self) -> u64 {
        self.0 as u64 & LABEL_MASK
    }

    const fn labelled(self, segment: u64) -> Value {
        Value(self.0 & !(LABEL_MASK as u32) | (segment & LABEL_MASK) as u32)
    }

    const fn is(self, other: Value) -> bool {
        (self.0 ^ other.0) >> 5 == 0
    }
}

/// What became of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It is in the slot.
    Held,
    /// The slot has no room, and says that there are many.
    Full,
}

/// Up to `N` values and the time by which they age.
#[derive(Clone, Copy)]
struct Set<const N: usize> {
    /// The latest segment seen.
    newest: u64,
    /// 0 until the slot is first written to.
    window_ms: u32,
    len: u16,
    /// [`Few`]: whether there are more values than fit. [`Many`]: the highest of the levels.
    mark: u16,
    // INVARIANT: those before `len` are different, and were seen at most SEGMENTS segments before the newest.
    values: [Value; N],
}

impl<const N: usize> Set<N> {
    fn values(&self) -> &[Value] {
        self.values.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Keeps those values that `keep` wants, given their age in segments.
    fn retain(&mut self, mut keep: impl FnMut(Value, u64) -> bool) {
        let mut kept = 0;
        for at in 0..usize::from(self.len) {
            let Some(value) = self.values.get(at).copied() else { break };
            if keep(value, age(value, self.newest))
                && let Some(place) = self.values.get_mut(kept)
            {
                *place = value;
                kept += 1;
            }
        }
        self.len = kept as u16;
    }

    /// Moves on, and gives how many segments; forgets what has left the window.
    #[inline]
    fn advance(&mut self, window: Window, to: u64) -> Step {
        if self.window_ms == 0 {
            (self.window_ms, self.newest) = (window.length_ms(), to);
        }
        if to > self.newest {
            let passed = to - self.newest;
            self.retain(|_, age| age.saturating_add(passed) <= SEGMENTS);
            self.newest = to;
            return Step::On(passed);
        }
        if self.newest - to > SEGMENTS {
            // The clock was set back by more than a window. All are as old then as they were before.
            let turn = to.wrapping_sub(self.newest) & LABEL_MASK;
            let newest = self.newest;
            for value in &mut self.values {
                *value = value.labelled(to.wrapping_sub(age(*value, newest)));
            }
            self.newest = to;
            return Step::Back { turn };
        }
        Step::None
    }

    /// Marks a value that is in the set as seen just now.
    #[inline]
    fn renew(&mut self, value: Value) -> bool {
        let newest = self.newest;
        let len = usize::from(self.len);
        match self.values.iter_mut().take(len).find(|held| held.is(value)) {
            Some(held) => {
                *held = value.labelled(newest);
                true
            }
            None => false,
        }
    }

    /// Puts in a value that is not in the set, if there is room.
    #[inline]
    fn push(&mut self, value: Value) -> Outcome {
        let Some(place) = self.values.get_mut(usize::from(self.len)) else {
            return Outcome::Full;
        };
        *place = value.labelled(self.newest);
        self.len += 1;
        Outcome::Held
    }

    /// Takes over the values of another set, each as old as it is there, as far as there is room.
    fn adopt<const M: usize>(&mut self, other: &Set<M>) {
        for value in other.values() {
            let aged = value.labelled(self.newest.wrapping_sub(age(*value, other.newest)));
            if let Some(place) = self.values.get_mut(usize::from(self.len)) {
                *place = aged;
                self.len += 1;
            }
        }
    }

    /// Those of the values that are still in the window in a segment that is not before the newest.
    fn alive(&self, at: u64) -> impl Iterator<Item = Value> {
        let passed = at.saturating_sub(self.newest);
        let newest = self.newest;
        self.values().iter().copied().filter(move |value| age(*value, newest).saturating_add(passed) <= SEGMENTS)
    }

    /// Whether something may be left in the window at `now`.
    fn lives(&self, now: Millis) -> bool {
        let Some(window) = Window::from_ms(self.window_ms) else { return false };
        self.len > 0 && segment(window, now) <= self.newest.saturating_add(SEGMENTS)
    }

    fn touched_ms(&self) -> u64 {
        self.newest.saturating_mul(u64::from(self.window_ms)) / SEGMENTS
    }
}

impl<const N: usize> Default for Set<N> {
    fn default() -> Set<N> {
        Set { newest: 0, window_ms: 0, len: 0, mark: 0, values: [Value(0); N] }
    }
}

/// How a set moved in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    None,
    /// So many segments on.
    On(u64),
    /// Back, so that what was labelled with one segment is now labelled with another, `turn` higher modulo 32.
    Back {
        turn: u64,
    },
}

/// A key of at most twelve values, or what says that it has many.
#[derive(Clone, Copy, Default)]
pub(crate) struct Few(Set<FEW>);

impl Few {
    #[inline]
    pub(crate) fn advance(&mut self, window: Window, to: u64) {
        self.0.advance(window, to);
    }

    /// Puts the value in, unless there are many.
    #[inline]
    pub(crate) fn note(&mut self, value: Value) -> Outcome {
        let known = self.0.renew(value);
        if self.has_many() {
            return Outcome::Full;
        }
        if known || self.0.push(value) == Outcome::Held {
            return Outcome::Held;
        }
        self.0.mark = 1;
        Outcome::Full
    }

    pub(crate) fn has_many(&self) -> bool {
        self.0.mark != 0
    }

    pub(crate) fn read(&self, at: u64) -> Distinct {
        Distinct { count: self.0.alive(at).count() as u32, standard_error: 0 }
    }

    pub(crate) fn has(&self, value: Value, at: u64) -> bool {
        self.0.alive(at).any(|held| held.is(value))
    }
}

impl Record for Few {
    fn rank(&self, now: Millis) -> u32 {
        // Where it says that there are many, it lives as long as something was noted in the window; its own values
        // may all have left it by then.
        let Some(window) = Window::from_ms(self.0.window_ms) else { return 0 };
        if segment(window, now) > self.0.newest.saturating_add(SEGMENTS) {
            return 0;
        }
        if self.has_many() { MANY as u32 } else { u32::from(self.0.len) }
    }

    fn touched_ms(&self) -> u64 {
        self.0.touched_ms()
    }
}

/// A sample of the values of a key.
#[derive(Clone, Copy, Default)]
pub(crate) struct Many {
    set: Set<MANY>,
    /// For each segment, by its label, how many zeros the hash of a value seen last in it begins with at least.
    // INVARIANT: that of the newest segment is the lowest. So a value that is in the set may be seen again.
    levels: [u8; LABELS],
    /// What was read last, where nothing has changed since; else none.
    known: Distinct,
}

impl Many {
    /// Puts the value into the sample if it belongs there, and gives how many there are. Takes over what the small slot
    /// has when it begins, and gives it back when that has room for it.
    pub(crate) fn note(&mut self, few: &mut Few, value: Value, window: Window, to: u64) -> Distinct {
        let (begins, newest) = (self.set.window_ms == 0, self.set.newest);
        match self.set.advance(window, to) {
            Step::On(passed) => self.age(passed),
            Step::Back { turn } => self.levels.rotate_right(turn as usize),
            Step::None => {}
        }
        if self.set.newest != newest {
            self.known = Distinct::default();
        }
        if begins {
            self.set.adopt(&few.0);
        } else if usize::from(self.set.len) <= FEW / 2 && self.set.mark == 0 {
            // Few again.
            few.0 = Set { mark: 0, len: 0, ..few.0 };
            few.0.adopt(&self.set);
            *self = Many::default();
            few.note(value);
            return few.read(to);
        }
        self.insert(value);
        if self.known.count == 0 {
            self.known = self.read(to);
        }
        self.known
    }

    pub(crate) fn read(&self, at: u64) -> Distinct {
        if at <= self.set.newest && self.set.mark == 0 {
            return Distinct { count: u32::from(self.set.len), standard_error: 0 };
        }
        let (mut sum, mut variance) = (0_u64, 0_u64);
        for value in self.set.alive(at) {
            let weight = 1_u64 << self.level(value.label());
            sum = sum.saturating_add(weight);
            // Of the Horvitz-Thompson estimate, where each value is in the sample with a probability of 1/weight.
            variance = variance.saturating_add(weight.saturating_mul(weight - 1));
        }
        let standard_error = (variance as f64).sqrt().ceil() as u32;
        Distinct { count: u32::try_from(sum).unwrap_or(u32::MAX), standard_error }
    }

    pub(crate) fn has(&self, value: Value, at: u64) -> bool {
        self.set.alive(at).any(|held| held.is(value))
    }

    fn insert(&mut self, value: Value) {
        while value.zeros() >= self.level(self.set.newest) {
            self.known = Distinct::default();
            if self.set.renew(value) || self.set.push(value) == Outcome::Held {
                return;
            }
            if !self.raise() {
                return;
            }
        }
    }

    /// Makes room: asks one zero more of the values of the newest segment, and no less of all others. Says whether it
    /// could.
    fn raise(&mut self) -> bool {
        let level = self.level(self.set.newest) + 1;
        if level > LEVEL_MAX {
            return false;
        }
        for held in &mut self.levels {
            *held = (*held).max(level as u8);
        }
        let levels = self.levels;
        self.set.retain(|value, _| value.zeros() >= level_of(&levels, value.label()));
        self.set_mark();
        true
    }

    /// Gives the segments that have passed a level: a lower one where there is much room.
    fn age(&mut self, passed: u64) {
        let before = self.level(self.set.newest.wrapping_sub(passed));
        let level = match usize::from(self.set.len) {
            0 => 0,
            len if len <= MANY / 4 => before.saturating_sub(2),
            len if len <= MANY / 2 => before.saturating_sub(1),
            _ => before,
        };
        for step in 0..passed.min(LABELS as u64) {
            if let Some(held) = self.levels.get_mut((self.set.newest.wrapping_sub(step) & LABEL_MASK) as usize) {
                *held = level as u8;
            }
        }
        self.set_mark();
    }

    fn set_mark(&mut self) {
        self.set.mark = self.levels.iter().copied().max().map_or(0, u16::from);
    }

    fn level(&self, segment: u64) -> u32 {
        level_of(&self.levels, segment)
    }
}

impl Record for Many {
    fn rank(&self, now: Millis) -> u32 {
        if !self.set.lives(now) {
            return 0;
        }
        u32::from(self.set.mark) * MANY as u32 + u32::from(self.set.len)
    }

    fn touched_ms(&self) -> u64 {
        self.set.touched_ms()
    }
}

fn level_of(levels: &[u8; LABELS], segment: u64) -> u32 {
    levels.get((segment & LABEL_MASK) as usize).copied().map_or(0, u32::from)
}

/// How many segments ago a value was seen last.
const fn age(value: Value, newest: u64) -> u64 {
    newest.wrapping_sub(value.label()) & LABEL_MASK
}

/// Segments in a window. A value is kept while it was seen at most so many segments ago: ages of 0 to 30, so that 31
/// of the 32 labels are in use.
const SEGMENTS: u64 = 30;
const LABELS: usize = 32;
const LABEL_MASK: u64 = LABELS as u64 - 1;
/// The most zeros that are told apart: samples of 2³¹ times 240 values.
const LEVEL_MAX: u32 = 31;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    #[test]
    fn slots_take_72_bytes_and_1_kib() {
        assert_eq!(Table::<Few>::SLOT_BYTES, 72);
        assert_eq!(Table::<Many>::SLOT_BYTES, 1_024);
    }
}
