//! Keys that are refused until a given time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::key::Key;
use crate::time::Millis;

/// Keys that are refused until a given time, each with a reason.
///
/// A key is whatever the caller bans by: an address, a prefix, a user, a fingerprint ([`BanKind`]); each kind hashes its
/// keys in a scope of its own.
///
/// Bounded: bans are held in up to 65,536 shards of equal capacity, and one that falls to a full shard
/// replaces the ban there that expires first, one made by hand only if there is no other. That is counted in
/// [`BanStats::replaced_total`], unless the one replaced had expired anyway. Long bans are thus the last to
/// be lost. A ban takes about 80 bytes, and no memory before it is made. What a person called a ban is kept apart, of
/// at most [`Bans::MOST_BY_HAND`] bans.
pub struct Bans {
    // A power of two, chosen by the top bits of `Key::place`.
    shards: Box<[Padded]>,
    per_shard: usize,
    /// Bans held, expired ones not yet swept among them. Changed under the lock of the shard concerned.
    held: AtomicUsize,
    /// Those of each kind, likewise.
    of_kind: [AtomicUsize; BanKind::ALL.len()],
    replaced: AtomicU64,
    /// What the bans made by hand are called. Locked before a shard, never after one.
    labels: Mutex<HashMap<Key, Label, Hashing>>,
}

impl Bans {
    /// The most bans made by hand: what a person, or a person's script, can oversee.
    pub const MOST_BY_HAND: usize = 10_000;
    /// The longest name, and the longest reason, of a ban made by hand: bytes.
    pub const LONGEST_TEXT: usize = 256;

    /// Room for `capacity` bans; rounded up to fill the shards evenly, at least 1.
    pub fn new(capacity: usize) -> Bans {
        let wanted = (capacity / BANS_TO_A_SHARD).clamp(1, SHARDS_MAX);
        let shards = 1 << wanted.ilog2();
        Bans {
            shards: (0..shards).map(|_| Padded::default()).collect(),
            per_shard: capacity.div_ceil(shards).max(1),
            held: AtomicUsize::new(0),
            of_kind: Default::default(),
            replaced: AtomicU64::new(0),
            labels: Mutex::default(),
        }
    }

    /// Bans the address with this `key` for as long as it is before `until`.
    ///
    /// A ban that stands is extended when `until` is later, and then takes the new reason; it is never
    /// shortened: [`lift`](Bans::lift) it first. An `until` that is not after `now` bans nobody.
    pub fn ban(&self, key: Key, until: Millis, reason: u32, now: Millis) {
        self.impose(BanKind::Address, key, until, reason, Extend::ToTheLater, now);
    }

    /// Bans a key of some kind for as long as it is before `until`, and says what came of it.
    ///
    /// A ban is never shortened: [`lift`](Bans::lift) it first. One made by hand stays so, and keeps its reason, though
    /// it may be extended.
    pub fn impose(&self, kind: BanKind, key: Key, until: Millis, reason: u32, extend: Extend, now: Millis) -> Imposed {
        let ban = Ban { until, reason, kind, by: BannedBy::Policy, since_ms: since_ms(now) };
        self.put(key, ban, extend, now)
    }

    /// Bans a key by hand, under a name that a person can read. A ban that stands takes the new time, name and reason,
    /// be it earlier or later.
    pub fn ban_by_hand(&self, key: Key, order: &Order<'_>, now: Millis) -> Result<(), BanError> {
        check_text("name", order.name)?;
        check_text("reason", order.reason)?;
        if order.until <= now {
            return Err(BanError::Over);
        }
        let mut labels = self.labels.lock();
        if labels.len() >= Self::MOST_BY_HAND && !labels.contains_key(&key) {
            return Err(BanError::TooMany);
        }
        labels.insert(key, Label { name: order.name.into(), reason: order.reason.into() });
        self.lift_from_shard(key);
        let ban = Ban { until: order.until, reason: 0, kind: order.kind, by: BannedBy::Hand, since_ms: since_ms(now) };
        self.put(key, ban, Extend::ToTheLater, now);
        Ok(())
    }

    /// The ban on `key`, if it has one that has not expired. Asking extends nothing.
    ///
    /// One atomic load when there are no bans at all. A ban found expired is forgotten.
    #[inline]
    pub fn check(&self, key: Key, now: Millis) -> Option<Ban> {
        if self.held.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.check_shard(key, now)
    }

    /// The ban on a key of this kind, as [`check`](Bans::check) gives it: one atomic load when there are none of the
    /// kind, so that a request can be asked for by each thing it shows.
    #[inline]
    pub fn check_as(&self, kind: BanKind, key: Key, now: Millis) -> Option<Ban> {
        if !self.has_any(kind) {
            return None;
        }
        self.check_shard(key, now).filter(|ban| ban.kind == kind)
    }

    /// Whether there are bans of this kind, expired ones not yet forgotten among them. If not, no key need be hashed.
    #[inline]
    pub fn has_any(&self, kind: BanKind) -> bool {
        self.of_kind(kind).is_some_and(|held| held.load(Ordering::Relaxed) > 0)
    }

    /// Ends the ban on `key`, and gives it. An expired one not yet swept counts as well.
    pub fn lift(&self, key: Key) -> Option<Ban> {
        let lifted = self.lift_from_shard(key);
        self.labels.lock().remove(&key);
        lifted
    }

    /// At most `at_most` of the bans that stand, the newest first.
    ///
    /// For people: it looks at every ban, one shard after the other, and keeps no more than are asked for.
    pub fn list(&self, at_most: usize, now: Millis) -> Vec<ListedBan> {
        let mut newest = BinaryHeap::new();
        self.for_each(now, |key, ban| {
            newest.push(Reverse((ban.since_ms, key)));
            if newest.len() > at_most {
                newest.pop();
            }
        });
        let newest = newest.into_sorted_vec();
        let listed = newest.into_iter().filter_map(|Reverse((_, key))| {
            let ban = *self.shard(key).lock().get(&key)?;
            let label = self.labels.lock().get(&key).filter(|_| ban.by == BannedBy::Hand).cloned();
            let (name, reason_text) = label.map(|label| (label.name, label.reason)).unzip();
            Some(ListedBan { key, ban, name, reason_text })
        });
        listed.collect()
    }

    /// Forgets the bans that have expired, and gives their number. To be called now and then, so
    /// that [`check`](Bans::check) is at its cheapest again after the last ban.
    pub fn sweep(&self, now: Millis) -> usize {
        let mut swept = 0;
        for shard in &self.shards {
            shard.0.lock().retain(|_, ban| {
                let stands = now < ban.until;
                if !stands {
                    self.count_out(ban);
                    swept += 1;
                }
                stands
            });
        }
        let is_by_hand = |key: &Key| self.shard(*key).lock().get(key).is_some_and(|ban| ban.by == BannedBy::Hand);
        self.labels.lock().retain(|key, _| is_by_hand(key));
        swept
    }

    /// The state of the table of bans.
    pub fn stats(&self) -> BanStats {
        BanStats {
            held: self.held.load(Ordering::Relaxed) as u64,
            capacity: (self.per_shard * self.shards.len()) as u64,
            replaced_total: self.replaced.load(Ordering::Relaxed),
        }
    }

    /// Shows each ban that stands, one shard after the other.
    pub(crate) fn for_each(&self, now: Millis, mut show: impl FnMut(Key, &Ban)) {
        for shard in &self.shards {
            for (key, ban) in shard.0.lock().iter().filter(|(_, ban)| now < ban.until) {
                show(*key, ban);
            }
        }
    }

    /// Puts a ban in, or extends the one that stands.
    pub(crate) fn put(&self, key: Key, ban: Ban, extend: Extend, now: Millis) -> Imposed {
        if ban.until <= now {
            return Imposed::Over;
        }
        let mut shard = self.shard(key).lock();
        if let Some(standing) = shard.get_mut(&key) {
            if now >= standing.until {
                self.count_out(standing);
                self.count_in(&ban);
                *standing = ban;
                return Imposed::New;
            }
            if extend == Extend::Never || standing.until >= ban.until {
                return Imposed::Stands;
            }
            standing.until = ban.until;
            if standing.by == BannedBy::Policy {
                standing.reason = ban.reason;
            }
            return Imposed::Extended;
        }
        if shard.len() >= self.per_shard {
            let first = shard.iter().min_by_key(|(key, ban)| (ban.until > now, ban.by, ban.until, **key));
            if let Some((first, gone)) = first.map(|(key, ban)| (*key, *ban)) {
                shard.remove(&first);
                self.count_out(&gone);
                if gone.until > now {
                    self.replaced.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        shard.insert(key, ban);
        self.count_in(&ban);
        Imposed::New
    }

    #[inline]
    fn check_shard(&self, key: Key, now: Millis) -> Option<Ban> {
        let mut shard = self.shard(key).lock();
        let ban = *shard.get(&key)?;
        if now < ban.until {
            return Some(ban);
        }
        shard.remove(&key);
        self.count_out(&ban);
        None
    }

    fn lift_from_shard(&self, key: Key) -> Option<Ban> {
        let mut shard = self.shard(key).lock();
        let lifted = shard.remove(&key)?;
        self.count_out(&lifted);
        Some(lifted)
    }

    /// Names a ban made by hand that a snapshot holds, while there is room.
    pub(crate) fn name(&self, key: Key, name: &str, reason: &str) {
        let mut labels = self.labels.lock();
        if labels.len() < Self::MOST_BY_HAND {
            labels.insert(key, Label { name: name.into(), reason: reason.into() });
        }
    }

    /// What a ban made by hand is called, and why it was made.
    pub(crate) fn label(&self, key: Key) -> Option<(Box<str>, Box<str>)> {
        self.labels.lock().get(&key).cloned().map(|label| (label.name, label.reason))
    }

    fn count_in(&self, ban: &Ban) {
        self.held.fetch_add(1, Ordering::Relaxed);
        if let Some(held) = self.of_kind(ban.kind) {
            held.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count_out(&self, ban: &Ban) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        if let Some(held) = self.of_kind(ban.kind) {
            held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[inline]
    fn of_kind(&self, kind: BanKind) -> Option<&AtomicUsize> {
        self.of_kind.get(usize::from(kind as u8))
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the remainder by the length is below the length")]
    fn shard(&self, key: Key) -> &Mutex<Shard> {
        &self.shards[(key.place >> 48) as usize & (self.shards.len() - 1)].0
    }
}

impl fmt::Debug for Bans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bans").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A ban as it stands on a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ban {
    /// The first moment at which it no longer holds.
    pub until: Millis,
    /// Why, as a code of the caller's; 0 for one made by hand.
    pub reason: u32,
    /// What was banned.
    pub kind: BanKind,
    /// Who made it.
    pub by: BannedBy,
    /// When it was made, by the clock of `until`; before that clock began for one of an earlier process.
    pub(crate) since_ms: i64,
}

impl Ban {
    /// How long ago it was made.
    pub fn age(&self, now: Millis) -> Duration {
        Duration::from_millis(since_ms(now).saturating_sub(self.since_ms).max(0) as u64)
    }
}

/// What a ban's key is of.
///
/// The numbers stand in snapshots, so that none of them ever means something else.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum BanKind {
    /// A client's address: of IPv4 one, of IPv6 a /64.
    Address = 0,
    /// A prefix: of IPv4 a /24, of IPv6 a /56 or a /48.
    Prefix = 1,
    /// A user, as the route identifies one.
    User = 2,
    /// An account or organisation of users.
    Account = 3,
    /// An API key.
    ApiKey = 4,
    /// A session.
    Session = 5,
    /// A device.
    Device = 6,
    /// A token: the id of a JWT, say.
    Token = 7,
    /// A JA3 fingerprint.
    Ja3 = 8,
    /// A JA4 fingerprint.
    Ja4 = 9,
    /// An HTTP/2 print.
    Http2 = 10,
    /// An autonomous system.
    Asn = 11,
    /// A country.
    Country = 12,
    /// A cohort of clients that look alike.
    Cohort = 13,
    /// Whatever else a route names: a header, a field of a form.
    Other = 14,
}

impl BanKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [BanKind; 15] = [
        BanKind::Address,
        BanKind::Prefix,
        BanKind::User,
        BanKind::Account,
        BanKind::ApiKey,
        BanKind::Session,
        BanKind::Device,
        BanKind::Token,
        BanKind::Ja3,
        BanKind::Ja4,
        BanKind::Http2,
        BanKind::Asn,
        BanKind::Country,
        BanKind::Cohort,
        BanKind::Other,
    ];

    /// Its name on the command line and in lists.
    pub const fn name(self) -> &'static str {
        match self {
            BanKind::Address => "address",
            BanKind::Prefix => "prefix",
            BanKind::User => "user",
            BanKind::Account => "account",
            BanKind::ApiKey => "api_key",
            BanKind::Session => "session",
            BanKind::Device => "device",
            BanKind::Token => "token",
            BanKind::Ja3 => "ja3",
            BanKind::Ja4 => "ja4",
            BanKind::Http2 => "http2",
            BanKind::Asn => "asn",
            BanKind::Country => "country",
            BanKind::Cohort => "cohort",
            BanKind::Other => "other",
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<BanKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Who made a ban. What the policy made gives way first where there is no room.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum BannedBy {
    /// The policy.
    Policy,
    /// A person.
    Hand,
}

/// What becomes of a ban that stands when another is imposed on its key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extend {
    /// It stays as it is: what it refuses never makes it longer.
    Never,
    /// It lasts until the later of the two times.
    ToTheLater,
}

/// What came of imposing a ban.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Imposed {
    /// The key is banned, and was not.
    New,
    /// The key was banned, and is for longer.
    Extended,
    /// The key was banned, and is as before.
    Stands,
    /// The ban was over before it began, and bans nobody.
    Over,
}

/// A ban as a person orders it.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// What is banned.
    pub kind: BanKind,
    /// What a person calls it, as `192.0.2.1`: at most [`Bans::LONGEST_TEXT`] bytes, without control characters.
    pub name: &'a str,
    /// Why, in a person's words; bounded likewise.
    pub reason: &'a str,
    /// The first moment at which the ban no longer holds.
    pub until: Millis,
}

/// A ban in a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedBan {
    /// Whom it is on: what [`Bans::lift`] takes.
    pub key: Key,
    /// The ban.
    pub ban: Ban,
    /// What a person called it; none for one that the policy made.
    pub name: Option<Box<str>>,
    /// Why a person made it.
    pub reason_text: Option<Box<str>>,
}

/// Why a ban was not made by hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BanError {
    /// Its end is not in the future.
    Over,
    /// There are [`Bans::MOST_BY_HAND`] of them.
    TooMany,
    /// The name or the reason, as `text` says, is longer than [`Bans::LONGEST_TEXT`].
    TooLong {
        /// `name` or `reason`.
        text: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The name or the reason, as `text` says, has a control character in it.
    Control {
        /// `name` or `reason`.
        text: &'static str,
    },
}

impl fmt::Display for BanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BanError::Over => f.write_str("expected an end in the future, but the ban would be over already"),
            BanError::TooMany => {
                write!(f, "there are {} bans made by hand, and no room for more: remove some first", Bans::MOST_BY_HAND)
            }
            BanError::TooLong { text, bytes } => {
                write!(f, "expected a {text} of at most {} bytes, but found {bytes} bytes", Bans::LONGEST_TEXT)
            }
            BanError::Control { text } => write!(f, "expected a {text} without control characters"),
        }
    }
}

impl std::error::Error for BanError {}

/// The state of a table of bans.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BanStats {
    /// Bans held, expired ones not yet forgotten among them.
    pub held: u64,
    /// Bans there is room for.
    pub capacity: u64,
    /// Bans that had not expired and gave way to others.
    pub replaced_total: u64,
}

pub(crate) fn check_text(name: &'static str, text: &str) -> Result<(), BanError> {
    if text.len() > Bans::LONGEST_TEXT {
        return Err(BanError::TooLong { text: name, bytes: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(BanError::Control { text: name });
    }
    Ok(())
}

fn since_ms(now: Millis) -> i64 {
    i64::try_from(now.0).unwrap_or(i64::MAX)
}

#[derive(Clone)]
struct Label {
    name: Box<str>,
    reason: Box<str>,
}

type Hashing = BuildHasherDefault<TagHasher>;
type Shard = HashMap<Key, Ban, Hashing>;

/// A shard behind its lock, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Padded(Mutex<Shard>);

/// Takes the last word of a key as its hash: keys are keyed hashes already.
#[derive(Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// So many that the ban to be replaced is found among some 1,500 even where there are a hundred million.
const SHARDS_MAX: usize = 1 << 16;
/// Bans to a shard at least, so that chance does not fill one shard long before the others.
const BANS_TO_A_SHARD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyHasher, Secret};

    fn key(of: u64) -> Key {
        KeyHasher::new(Secret([9; 16])).key(of, &[b"192.0.2.1"])
    }

    #[test]
    fn a_ban_holds_until_its_time_and_not_longer() {
        let bans = Bans::new(100);
        bans.ban(key(1), Millis(1_000), 7, Millis(0));
        let ban = Some((Millis(1_000), 7));
        for (now, expected) in [(0, ban), (999, ban), (1_000, None), (0, None)] {
            let found = bans.check(key(1), Millis(now)).map(|ban| (ban.until, ban.reason));
            assert_eq!(found, expected, "at {now}");
        }
        assert_eq!(bans.check(key(2), Millis(0)), None);
    }

    #[test]
    fn x31_checking_a_ban_never_extends_it() {
        let bans = Bans::new(100);
        bans.ban(key(1), Millis(1_000), 7, Millis(0));
        for now in 0..1_000 {
            assert_eq!(bans.check(key(1), Millis(now)).unwrap().until, Millis(1_000), "at {now}");
        }
        assert_eq!(bans.check(key(1), Millis(1_000)), None);
    }

    #[test]
    fn a_ban_is_extended_but_never_shortened() {
        let bans = Bans::new(100);
        for (until, reason, stands) in [(1_000, 1, (1_000, 1)), (500, 2, (1_000, 1)), (2_000, 3, (2_000, 3))] {
            bans.ban(key(1), Millis(until), reason, Millis(0));
            let ban = bans.check(key(1), Millis(0)).unwrap();
            assert_eq!((ban.until.0, ban.reason), stands, "after {until}");
        }
        assert_eq!(bans.stats().held, 1);
    }

    #[test]
    fn a_ban_that_is_over_before_it_begins_bans_nobody() {
        let bans = Bans::new(100);
        bans.ban(key(1), Millis(5), 0, Millis(5));
        assert_eq!(bans.stats().held, 0);
    }

    #[test]
    fn a_lifted_ban_no_longer_holds() {
        let bans = Bans::new(100);
        bans.ban(key(1), Millis(1_000), 7, Millis(0));
        assert_eq!(bans.lift(key(1)).unwrap().reason, 7);
        assert_eq!(bans.lift(key(1)), None);
        assert_eq!((bans.check(key(1), Millis(0)), bans.stats().held), (None, 0));
    }

    #[test]
    fn at_the_bound_the_ban_that_expires_first_is_replaced() {
        let bans = Bans::new(3);
        for (of, until) in [(1, 300), (2, 100), (3, 200), (4, 150)] {
            bans.ban(key(of), Millis(until), 0, Millis(0));
        }
        for (of, stands) in [(1, true), (2, false), (3, true), (4, true)] {
            assert_eq!(bans.check(key(of), Millis(0)).is_some(), stands, "key {of}");
        }
        assert_eq!(bans.stats(), BanStats { held: 3, capacity: 3, replaced_total: 1 });

        bans.ban(key(5), Millis(900), 0, Millis(180));
        assert_eq!(bans.stats().replaced_total, 1, "one that has expired is no loss");
    }

    #[test]
    fn many_bans_stay_within_the_capacity() {
        let bans = Bans::new(10_000);
        for of in 0..50_000 {
            bans.ban(key(of), Millis(1_000 + of), 0, Millis(0));
        }
        let stats = bans.stats();
        assert!(stats.held <= stats.capacity && stats.capacity < 10_100, "{stats:?}");
        assert!(bans.check(key(49_999), Millis(0)).is_some());
    }

    #[test]
    fn a_list_is_bounded_and_has_the_newest_first() {
        let bans = Bans::new(1_000);
        for of in 0..100 {
            bans.ban(key(of), Millis(1_000 - of), of as u32, Millis(of));
        }
        let reasons = |at_most, now| -> Vec<u32> {
            bans.list(at_most, Millis(now)).iter().map(|listed| listed.ban.reason).collect()
        };
        assert_eq!(reasons(3, 100), [99, 98, 97]);
        assert_eq!(reasons(3, 905), [94, 93, 92], "what has expired is not listed");
        assert_eq!(reasons(0, 100), []);
        assert_eq!(reasons(1_000, 100).len(), 100);
    }

    #[test]
    fn a_ban_that_stands_is_extended_only_where_that_is_asked_for() {
        for (extend, until, imposed, stands) in [
            (Extend::Never, 2_000, Imposed::Stands, 1_000),
            (Extend::ToTheLater, 2_000, Imposed::Extended, 2_000),
            (Extend::ToTheLater, 500, Imposed::Stands, 1_000),
            (Extend::ToTheLater, 100, Imposed::Over, 1_000),
        ] {
            let bans = Bans::new(100);
            let impose = |until, extend, now| bans.impose(BanKind::User, key(1), until, 1, extend, Millis(now));
            assert_eq!(impose(Millis(1_000), Extend::Never, 0), Imposed::New);
            assert_eq!(impose(Millis(until), extend, 100), imposed, "{extend:?} to {until}");
            assert_eq!(bans.check(key(1), Millis(100)).unwrap().until, Millis(stands), "{extend:?} to {until}");
            assert_eq!(impose(Millis(9_000), Extend::Never, 5_000), Imposed::New, "what has expired does not stand");
        }
    }

    #[test]
    fn bans_of_a_kind_are_asked_for_only_where_there_are_any() {
        let bans = Bans::new(100);
        bans.impose(BanKind::Ja4, key(1), Millis(1_000), 1, Extend::Never, Millis(0));
        for (kind, banned) in [(BanKind::Ja4, true), (BanKind::Address, false), (BanKind::Other, false)] {
            assert_eq!(bans.has_any(kind), banned, "{kind:?}");
            assert_eq!(bans.check_as(kind, key(1), Millis(0)).is_some(), banned, "{kind:?}");
        }
        assert!(bans.check_as(BanKind::Ja4, key(1), Millis(1_000)).is_none());
        assert!(!bans.has_any(BanKind::Ja4));
    }

    #[test]
    fn every_kind_has_a_place_and_a_name_of_its_own() {
        for (number, kind) in BanKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind as u8), number);
            assert_eq!(BanKind::named(kind.name()), Some(kind));
        }
        assert_eq!(BanKind::named("adress"), None);
    }

    fn order(name: &str, until: u64) -> Order<'_> {
        Order { kind: BanKind::Address, name, reason: "asked us for money", until: Millis(until) }
    }

    #[test]
    fn a_ban_made_by_hand_has_a_name_until_it_is_lifted_or_over() {
        let bans = Bans::new(100);
        bans.ban(key(2), Millis(2_000), 3, Millis(0));
        bans.ban_by_hand(key(1), &order("192.0.2.1", 1_000), Millis(5)).unwrap();
        let names = |now| -> Vec<Option<Box<str>>> {
            bans.list(9, Millis(now)).into_iter().map(|listed| listed.name).collect()
        };
        assert_eq!(names(10), [Some("192.0.2.1".into()), None]);
        let listed = &bans.list(1, Millis(10))[0];
        assert_eq!((listed.ban.by, listed.reason_text.as_deref()), (BannedBy::Hand, Some("asked us for money")));
        assert_eq!(listed.ban.age(Millis(1_005)), Duration::from_secs(1));

        bans.ban_by_hand(key(1), &order("the pest", 700), Millis(20)).unwrap();
        assert_eq!(bans.check(key(1), Millis(20)).unwrap().until, Millis(700), "a person may shorten it");
        assert_eq!(names(30), [Some("the pest".into()), None]);
        bans.sweep(Millis(700));
        assert_eq!(bans.labels.lock().len(), 0);

        bans.ban_by_hand(key(1), &order("192.0.2.1", 1_000), Millis(0)).unwrap();
        assert!(bans.lift(key(1)).is_some());
        assert_eq!(bans.labels.lock().len(), 0);
    }

    #[test]
    fn a_ban_made_by_hand_is_refused_with_its_fault() {
        let long = "x".repeat(257);
        for (name, until, error) in [
            ("192.0.2.1", 100, BanError::Over),
            (long.as_str(), 1_000, BanError::TooLong { text: "name", bytes: 257 }),
            ("a\u{1b}[2J", 1_000, BanError::Control { text: "name" }),
        ] {
            let bans = Bans::new(100);
            assert_eq!(bans.ban_by_hand(key(1), &order(name, until), Millis(100)), Err(error));
            assert_eq!(bans.stats().held, 0);
        }
    }

    #[test]
    fn bans_made_by_hand_are_bounded_and_give_way_last() {
        let bans = Bans::new(3);
        bans.ban_by_hand(key(1), &order("192.0.2.1", 100), Millis(0)).unwrap();
        for of in 2..50 {
            bans.ban(key(of), Millis(1_000 + of), 0, Millis(0));
        }
        assert!(bans.check(key(1), Millis(0)).is_some());

        let bans = Bans::new(Bans::MOST_BY_HAND * 2);
        for of in 0..Bans::MOST_BY_HAND as u64 {
            bans.ban_by_hand(key(of), &order("192.0.2.1", 100), Millis(0)).unwrap();
        }
        assert_eq!(bans.ban_by_hand(key(99_999), &order("192.0.2.1", 100), Millis(0)), Err(BanError::TooMany));
        bans.ban_by_hand(key(5), &order("192.0.2.5", 100), Millis(0)).unwrap();
        bans.sweep(Millis(100));
        bans.ban_by_hand(key(99_999), &order("192.0.2.1", 200), Millis(100)).unwrap();
    }

    #[test]
    fn the_policy_extends_a_ban_made_by_hand_but_does_not_take_it_over() {
        let bans = Bans::new(100);
        bans.ban_by_hand(key(1), &order("192.0.2.1", 100), Millis(0)).unwrap();
        bans.ban(key(1), Millis(500), 7, Millis(0));
        let ban = bans.check(key(1), Millis(400)).unwrap();
        assert_eq!((ban.by, ban.reason, ban.until), (BannedBy::Hand, 0, Millis(500)));
    }

    #[test]
    fn a_sweep_forgets_what_has_expired() {
        let bans = Bans::new(1_000);
        for of in 0..100 {
            bans.ban(key(of), Millis(of + 1), 0, Millis(0));
        }
        assert_eq!((bans.sweep(Millis(40)), bans.stats().held), (40, 60));
        assert_eq!((bans.sweep(Millis(100)), bans.stats().held), (60, 0));
    }
}
