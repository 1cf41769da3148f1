//! Reputation, bans and what routes have learned as bytes, so that a restart forgets no ban.
//!
//! # What a file holds
//!
//! Numbers are in network order. Times are milliseconds of the wall clock since 1970, as the process clock of
//! [`Millis`] begins anew with each process.
//!
//! ```text
//! header    8 bytes "portcull", 2 bytes version, 2 bytes zero, 16 bytes mark of the secret, 8 bytes length of the body
//! body      8 bytes time written
//!           4 bytes number of standings; each: 16 bytes key, 4 refusals, 4 abuse, 4 days, 2 today, 2 counted,
//!                                              4 age of the day, 4 age of the last refusal, both in seconds
//!           4 bytes number of bans; each: 16 bytes key, 1 kind, 1 who made it (0 the policy, 1 a person),
//!                                         8 until, 8 since (negative: before 1970), 4 reason,
//!                                         2 length of the name, name, 2 length of the reason, reason: UTF-8
//!           4 bytes number of routes; each: 8 number, 32 usual figures, 80 usual scores, 32 usual figures of cohorts,
//!                                           16 answers and failures,
//!                                           4 number of cohorts; each: 16 key, 32 usual figures, 16 answers and
//!                                                                      failures, 1 calm minutes
//! trailer   16 bytes SipHash-1-3 of all before it, under the secret
//! ```
//!
//! Version 1 had no routes; it is read too.
//!
//! # What is relied on
//!
//! - Keys are keyed hashes. They mean something only to a process with the same [`Secret`](crate::Secret), so **the
//!   secret has to be kept**, beside the snapshot and as well guarded, and a snapshot of another secret is refused. Who
//!   cannot read the secret can neither test guesses against a snapshot nor change it unnoticed.
//! - A snapshot that is too short or too long, or has a byte changed, is refused as a whole with its fault named. Nothing
//!   is allocated for a number that the bytes there could not hold. No bytes panic.
//! - What expired meanwhile is dropped, and what fades has faded by the time that passed.
//! - Files are the caller's: to be written beside, flushed, and renamed over the old one.

mod routes;

use std::fmt;

use crate::bans::{Ban, BanKind, BannedBy, Bans, Extend, check_text};
use crate::cohorts::Cohorts;
use crate::key::{Key, KeyHasher, Secret};
use crate::posture::RoutePosture;
use crate::reputation::{Remembered, Reputation};
use crate::time::Millis;
pub use routes::RouteMemory;
use routes::{ROUTE_LEAST_BYTES, SavedRoute};

/// What is to survive a restart: standings and bans, apart from any process's clock.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    written: UnixMillis,
    standings: Vec<(Key, Remembered)>,
    bans: Vec<SavedBan>,
    routes: Vec<SavedRoute>,
}

impl Snapshot {
    /// The version that is written. That before it is read, too.
    pub const VERSION: u16 = 2;
    /// The longest snapshot that is read, in bytes: a gigabyte, some twenty million entries.
    pub const LONGEST: usize = 1 << 30;
    /// The most entries of a kind that are taken: four million, well within [`Snapshot::LONGEST`].
    pub const MOST_ENTRIES: usize = 4_000_000;
    /// The most routes of which it is kept what they have learned, up to 70 kB each.
    pub const MOST_ROUTES: usize = 1_000;

    /// Takes what is to be kept. Others go on meanwhile: it holds one small lock after the other.
    ///
    /// Of more than [`Snapshot::MOST_ENTRIES`] the rest is left out; bans made by hand and the longest ones are not.
    pub fn take(reputation: &Reputation, bans: &Bans, at: Clocks) -> Snapshot {
        let mut standings = Vec::new();
        reputation.for_each(at.now, |key, remembered| {
            if standings.len() < Self::MOST_ENTRIES {
                standings.push((key, remembered));
            }
        });
        let mut saved = Vec::new();
        bans.for_each(at.now, |key, ban| {
            saved.push(SavedBan {
                key,
                kind: ban.kind,
                by: ban.by,
                until: at.unix_of(ban.until),
                since_ms: at.unix_of_signed(ban.since_ms),
                reason: ban.reason,
                name: Box::default(),
                reason_text: Box::default(),
            });
        });
        if saved.len() > Self::MOST_ENTRIES {
            saved.sort_unstable_by_key(|ban| std::cmp::Reverse((ban.by, ban.until, ban.key)));
            saved.truncate(Self::MOST_ENTRIES);
        }
        for ban in saved.iter_mut().filter(|ban| ban.by == BannedBy::Hand) {
            (ban.name, ban.reason_text) = bans.label(ban.key).unwrap_or_default();
        }
        Snapshot { written: at.unix, standings, bans: saved, routes: Vec::new() }
    }

    /// Puts back what has not expired. A key that was noted or banned since keeps what it has, but a ban is extended to
    /// the later time.
    pub fn restore(&self, reputation: &Reputation, bans: &Bans, at: Clocks) -> Restored {
        let mut restored = Restored::default();
        let age_ms = at.unix.0.saturating_sub(self.written.0);
        for (key, remembered) in &self.standings {
            let held = reputation.put_back(*key, remembered, age_ms, at.now);
            *(if held { &mut restored.standings } else { &mut restored.dropped }) += 1;
        }
        for saved in &self.bans {
            let Some(until) = at.process_of(saved.until) else {
                restored.dropped += 1;
                continue;
            };
            let ban = Ban {
                until,
                reason: saved.reason,
                kind: saved.kind,
                by: saved.by,
                since_ms: at.process_of_signed(saved.since_ms),
            };
            if saved.by == BannedBy::Hand && !saved.name.is_empty() {
                bans.name(saved.key, &saved.name, &saved.reason_text);
            }
            bans.put(saved.key, ban, Extend::ToTheLater, at.now);
            restored.bans += 1;
        }
        restored
    }

    /// When it was taken.
    pub const fn written(&self) -> UnixMillis {
        self.written
    }

    /// How many standings and how many bans it holds.
    pub const fn len(&self) -> (usize, usize) {
        (self.standings.len(), self.bans.len())
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        matches!(self.len(), (0, 0))
    }

    /// The snapshot as bytes, under the secret of `hasher`.
    pub fn to_bytes(&self, hasher: &KeyHasher) -> Vec<u8> {
        let mut body = Writer::with_room(
            16 + self.standings.len() * STANDING_BYTES + self.bans.len() * (BAN_LEAST_BYTES + 8) + HEADER_BYTES + 16,
        );
        body.put(MAGIC).put(&Self::VERSION.to_be_bytes()).put(&[0; 2]).put(&mark(hasher)).put(&[0; 8]);
        body.put(&self.written.0.to_be_bytes());
        body.put(&(self.standings.len() as u32).to_be_bytes());
        for (key, remembered) in &self.standings {
            body.put(&key.to_bytes());
            for number in [remembered.refusals, remembered.abuse, remembered.days] {
                body.put(&number.to_be_bytes());
            }
            body.put(&remembered.today.to_be_bytes()).put(&remembered.counted.to_be_bytes());
            body.put(&remembered.day_age_secs.to_be_bytes()).put(&remembered.refused_age_secs.to_be_bytes());
        }
        body.put(&(self.bans.len() as u32).to_be_bytes());
        for ban in &self.bans {
            body.put(&ban.key.to_bytes()).put(&[ban.kind as u8, u8::from(ban.by == BannedBy::Hand)]);
            body.put(&ban.until.0.to_be_bytes()).put(&ban.since_ms.to_be_bytes()).put(&ban.reason.to_be_bytes());
            for text in [&ban.name, &ban.reason_text] {
                body.put(&(text.len() as u16).to_be_bytes()).put(text.as_bytes());
            }
        }
        body.put(&(self.routes.len() as u32).to_be_bytes());
        for route in &self.routes {
            route.write(&mut body);
        }
        let mut bytes = body.0;
        let length = (bytes.len() - HEADER_BYTES) as u64;
        if let Some(field) = bytes.get_mut(HEADER_BYTES - 8..HEADER_BYTES) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        let checksum = checksum(hasher, &bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// The snapshot that [`Snapshot::to_bytes`] wrote under the same secret.
    pub fn from_bytes(bytes: &[u8], hasher: &KeyHasher) -> Result<Snapshot, SnapshotError> {
        if bytes.len() > Self::LONGEST {
            return Err(SnapshotError::TooLong { bytes: bytes.len() });
        }
        let mut header = Reader { bytes };
        if header.bytes.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(SnapshotError::NotASnapshot);
        }
        header.take("magic", MAGIC.len())?;
        let version = header.u16("version")?;
        if !(1..=Self::VERSION).contains(&version) {
            return Err(SnapshotError::Version { found: version });
        }
        header.take("reserved", 2)?;
        let secret = header.array::<16>("mark of the secret")?;
        let length = header.u64("length of the body")?;
        let expected = length.saturating_add(CHECKSUM_BYTES as u64);
        if header.bytes.len() as u64 != expected {
            return Err(SnapshotError::Length { expected, found: header.bytes.len() as u64 });
        }
        if secret != mark(hasher) {
            return Err(SnapshotError::OtherSecret);
        }
        let guarded = bytes.get(..bytes.len() - CHECKSUM_BYTES).unwrap_or_default();
        let sum = bytes.get(guarded.len()..).unwrap_or_default();
        if sum != checksum(hasher, guarded) {
            return Err(SnapshotError::Checksum);
        }
        Self::from_body(Reader { bytes: guarded.get(HEADER_BYTES..).unwrap_or_default() }, version)
    }

    fn from_body(mut body: Reader<'_>, version: u16) -> Result<Snapshot, SnapshotError> {
        let written = UnixMillis(body.u64("time written")?);
        let number = body.count("number of standings", STANDING_BYTES)?;
        let mut standings = Vec::with_capacity(number);
        for _ in 0..number {
            standings.push(body.standing()?);
        }
        let number = body.count("number of bans", BAN_LEAST_BYTES)?;
        let mut bans = Vec::with_capacity(number);
        for _ in 0..number {
            bans.push(body.ban()?);
        }
        let number = if version < 2 { 0 } else { body.count("number of routes", ROUTE_LEAST_BYTES)? };
        let mut routes = Vec::with_capacity(number);
        for _ in 0..number {
            routes.push(SavedRoute::read(&mut body)?);
        }
        if !body.bytes.is_empty() {
            return Err(SnapshotError::Trailing { bytes: body.bytes.len() });
        }
        Ok(Snapshot { written, standings, bans, routes })
    }
}

/// Reads any bytes as a snapshot, and as the body of one, which no checksum guards then; what is read is put back and
/// written again. For fuzzing and its corpus.
#[doc(hidden)]
pub fn read_any_snapshot(bytes: &[u8]) {
    let hasher = KeyHasher::new(Secret([0x5a; 16]));
    let read = [
        Snapshot::from_bytes(bytes, &hasher),
        Snapshot::from_body(Reader { bytes }, 1),
        Snapshot::from_body(Reader { bytes }, Snapshot::VERSION),
    ];
    for snapshot in read.into_iter().flatten() {
        let (reputation, bans) = (Reputation::new(0), Bans::new(64));
        let at = Clocks { now: Millis(1_000), unix: snapshot.written() };
        snapshot.restore(&reputation, &bans, at);
        for saved in snapshot.routes.iter().take(4) {
            let (posture, cohorts) = (RoutePosture::new(), Cohorts::new(16));
            let id = saved.id();
            snapshot.restore_routes([RouteMemory { id, posture: &posture, cohorts: &cohorts }], at);
            for minute in 0..3 {
                let now = Millis(minute * 60_000);
                cohorts.note_request(hasher.key(minute, &[]), hasher.key(1, &[]), None, now);
                posture.read(now);
            }
        }
        let again = Snapshot::from_bytes(&snapshot.to_bytes(&hasher), &hasher);
        assert!(again.as_ref() == Ok(&snapshot), "what is read is written as it was");
    }
}

/// One moment by two clocks: by the process's, and by the wall's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clocks {
    /// By the clock that bans and standings are timed by.
    pub now: Millis,
    /// By the wall clock.
    pub unix: UnixMillis,
}

impl Clocks {
    fn unix_of(self, time: Millis) -> UnixMillis {
        UnixMillis(if time >= self.now {
            self.unix.0.saturating_add(time.0 - self.now.0)
        } else {
            self.unix.0.saturating_sub(self.now.0 - time.0)
        })
    }

    /// The time by the process's clock, if it is yet to come.
    fn process_of(self, time: UnixMillis) -> Option<Millis> {
        let ahead = time.0.checked_sub(self.unix.0).filter(|ahead| *ahead > 0)?;
        Some(Millis(self.now.0.saturating_add(ahead)))
    }

    fn unix_of_signed(self, time_ms: i64) -> i64 {
        time_ms.saturating_add(self.unix_ahead_ms())
    }

    fn process_of_signed(self, unix_ms: i64) -> i64 {
        unix_ms.saturating_sub(self.unix_ahead_ms())
    }

    fn unix_ahead_ms(self) -> i64 {
        let signed = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        signed(self.unix.0) - signed(self.now.0)
    }
}

/// Milliseconds since 1970, by the wall clock.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixMillis(pub u64);

/// What came of a snapshot that was put back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Restored {
    /// Standings that are known again.
    pub standings: usize,
    /// Bans that hold again.
    pub bans: usize,
    /// Entries that had expired or faded, were known better, or found no room.
    pub dropped: usize,
}

/// Why bytes are no snapshot to be put back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SnapshotError {
    /// They do not begin as a snapshot does.
    NotASnapshot,
    /// They are more than [`Snapshot::LONGEST`].
    TooLong {
        /// How many they are.
        bytes: usize,
    },
    /// They are of a version that this program does not read.
    Version {
        /// That version.
        found: u16,
    },
    /// They are fewer or more than the header says.
    Length {
        /// Bytes that should follow the header.
        expected: u64,
        /// Bytes that do.
        found: u64,
    },
    /// They were written under another secret, so that their keys mean nothing here.
    OtherSecret,
    /// A byte was changed.
    Checksum,
    /// They end within a field.
    Overrun {
        /// The field.
        field: &'static str,
    },
    /// A field holds what it never can.
    Value {
        /// The field.
        field: &'static str,
    },
    /// Something follows the last entry.
    Trailing {
        /// How many bytes.
        bytes: usize,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::NotASnapshot => f.write_str("expected a snapshot, which begins with `portcull`"),
            SnapshotError::TooLong { bytes } => {
                write!(f, "expected a snapshot of at most {} bytes, but found {bytes} bytes", Snapshot::LONGEST)
            }
            SnapshotError::Version { found } => {
                write!(f, "expected a snapshot of version {}, but found version {found}", Snapshot::VERSION)
            }
            SnapshotError::Length { expected, found } => {
                write!(
                    f,
                    "expected {expected} bytes after the header, but found {found}: the snapshot was cut or added to"
                )
            }
            SnapshotError::OtherSecret => {
                f.write_str("the snapshot was written under another secret; its keys mean nothing without that one")
            }
            SnapshotError::Checksum => {
                f.write_str("the checksum does not fit: the snapshot was changed after it was written")
            }
            SnapshotError::Overrun { field } => write!(f, "the snapshot ends within `{field}`"),
            SnapshotError::Value { field } => write!(f, "`{field}` of the snapshot holds what it never can"),
            SnapshotError::Trailing { bytes } => write!(f, "{bytes} bytes follow the last entry of the snapshot"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// A ban by the wall clock.
#[derive(Clone, Debug, Eq, PartialEq)]
struct SavedBan {
    key: Key,
    kind: BanKind,
    by: BannedBy,
    until: UnixMillis,
    since_ms: i64,
    reason: u32,
    name: Box<str>,
    reason_text: Box<str>,
}

struct Writer(Vec<u8>);

impl Writer {
    fn with_room(bytes: usize) -> Writer {
        Writer(Vec::with_capacity(bytes))
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Writer {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// The one type that slices a snapshot.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Takes the next `len` bytes of `field`.
    fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], SnapshotError> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(SnapshotError::Overrun { field })?;
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], SnapshotError> {
        let (head, rest) = self.bytes.split_first_chunk().ok_or(SnapshotError::Overrun { field })?;
        self.bytes = rest;
        Ok(*head)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, SnapshotError> {
        self.array(field).map(u8::from_be_bytes)
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, SnapshotError> {
        self.array(field).map(u16::from_be_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, SnapshotError> {
        self.array(field).map(u32::from_be_bytes)
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, SnapshotError> {
        self.array(field).map(u64::from_be_bytes)
    }

    fn key(&mut self) -> Result<Key, SnapshotError> {
        self.array("key").map(Key::from_bytes)
    }

    /// A number of entries, each of at least so many bytes, for all of which there is room in what follows.
    fn count(&mut self, field: &'static str, least_bytes: usize) -> Result<usize, SnapshotError> {
        let number = self.u32(field)? as usize;
        if number > self.bytes.len() / least_bytes {
            return Err(SnapshotError::Overrun { field });
        }
        Ok(number)
    }

    fn standing(&mut self) -> Result<(Key, Remembered), SnapshotError> {
        let key = self.key()?;
        let remembered = Remembered {
            refusals: self.u32("refusals")?,
            abuse: self.u32("abuse")?,
            days: self.u32("days")?,
            today: self.u16("today")?,
            counted: self.u16("counted")?,
            day_age_secs: self.u32("age of the day")?,
            refused_age_secs: self.u32("age of the last refusal")?,
        };
        Ok((key, remembered))
    }

    fn ban(&mut self) -> Result<SavedBan, SnapshotError> {
        let key = self.key()?;
        let kind = usize::from(self.u8("kind")?);
        let kind = *BanKind::ALL.get(kind).ok_or(SnapshotError::Value { field: "kind" })?;
        let by = match self.u8("who made it")? {
            0 => BannedBy::Policy,
            1 => BannedBy::Hand,
            _ => return Err(SnapshotError::Value { field: "who made it" }),
        };
        let until = UnixMillis(self.u64("until")?);
        let since_ms = self.array("since").map(i64::from_be_bytes)?;
        let reason = self.u32("reason code")?;
        let (name, reason_text) = (self.text("name")?, self.text("reason")?);
        Ok(SavedBan { key, kind, by, until, since_ms, reason, name, reason_text })
    }

    fn text(&mut self, field: &'static str) -> Result<Box<str>, SnapshotError> {
        let length = usize::from(self.u16(field)?);
        let text = std::str::from_utf8(self.take(field, length)?).map_err(|_| SnapshotError::Value { field })?;
        check_text(field, text).map_err(|_| SnapshotError::Value { field })?;
        Ok(text.into())
    }
}

/// What a secret is known by without being told.
fn mark(hasher: &KeyHasher) -> [u8; 16] {
    hasher.key(MARK_SCOPE, &[MAGIC]).to_bytes()
}

fn checksum(hasher: &KeyHasher, bytes: &[u8]) -> [u8; 16] {
    hasher.key(CHECKSUM_SCOPE, &[bytes]).to_bytes()
}

const MAGIC: &[u8] = b"portcull";
const HEADER_BYTES: usize = 8 + 2 + 2 + 16 + 8;
const CHECKSUM_BYTES: usize = 16;
const STANDING_BYTES: usize = 16 + 3 * 4 + 2 * 2 + 2 * 4;
const BAN_LEAST_BYTES: usize = 16 + 2 + 8 + 8 + 4 + 2 + 2;
/// Scopes of no counter, limit or ban: those are numbered from below.
const MARK_SCOPE: u64 = u64::MAX;
const CHECKSUM_SCOPE: u64 = u64::MAX - 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bans::Order;
    use crate::key::Secret;
    use crate::reputation::Event;

    const DAY: u64 = 86_400_000;
    /// A day of the wall clock on which a process has run for ten minutes.
    const THEN: Clocks = Clocks { now: Millis(600_000), unix: UnixMillis(1_790_000_000_000) };

    fn hasher() -> KeyHasher {
        KeyHasher::new(Secret([8; 16]))
    }

    fn key(of: u64) -> Key {
        hasher().key(of, &[])
    }

    fn memory() -> (Reputation, Bans) {
        (Reputation::new(1 << 20), Bans::new(1_000))
    }

    /// Two standings, a ban of the policy's for an hour and one by hand for ten days.
    fn filled() -> (Reputation, Bans) {
        let (reputation, bans) = memory();
        reputation.note(key(1), Event::AbuseReport, THEN.now);
        reputation.note(key(2), Event::Block, THEN.now);
        bans.impose(BanKind::User, key(3), Millis(THEN.now.0 + 3_600_000), 7, Extend::Never, THEN.now);
        let until = Millis(THEN.now.0 + 10 * DAY);
        let order = Order { kind: BanKind::Address, name: "192.0.2.1", reason: "a pest: ü", until };
        bans.ban_by_hand(key(4), &order, Millis(60_000)).unwrap();
        (reputation, bans)
    }

    fn taken() -> Snapshot {
        let (reputation, bans) = filled();
        Snapshot::take(&reputation, &bans, THEN)
    }

    #[test]
    fn what_was_taken_is_put_back_in_a_process_whose_clock_began_anew() {
        let snapshot = Snapshot::from_bytes(&taken().to_bytes(&hasher()), &hasher()).unwrap();
        assert_eq!((snapshot.len(), snapshot.written()), ((2, 2), THEN.unix));

        let (reputation, bans) = memory();
        let later = Clocks { now: Millis(5_000), unix: UnixMillis(THEN.unix.0 + 60_000) };
        let restored = snapshot.restore(&reputation, &bans, later);
        assert_eq!(restored, Restored { standings: 2, bans: 2, dropped: 0 });
        for (of, risk) in [(1, 500), (2, 80), (3, 0)] {
            let standing = reputation.read(key(of), later.now);
            assert!(standing.risk.abs_diff(risk) <= 1 && standing.credit == 0, "key {of}: {standing:?}");
        }
        let ban = bans.check_as(BanKind::User, key(3), later.now).unwrap();
        assert_eq!((ban.until.0, ban.reason, ban.by), (5_000 + 3_540_000, 7, BannedBy::Policy));
        let listed = &bans.list(9, later.now)[1];
        assert_eq!((listed.name.as_deref(), listed.reason_text.as_deref()), (Some("192.0.2.1"), Some("a pest: ü")));
        assert_eq!(listed.ban.age(later.now).as_secs(), 600, "made nine minutes before, and one has passed since");
    }

    #[test]
    fn what_expired_meanwhile_is_dropped_and_what_fades_has_faded() {
        let snapshot = taken();
        for (days, risk, standings, bans_left, dropped) in
            [(0, 500, 2, 2, 0), (1, 452, 2, 1, 1), (7, 250, 1, 1, 2), (11, 166, 1, 0, 3), (100, 0, 0, 0, 4)]
        {
            let (reputation, bans) = memory();
            let later = Clocks { now: Millis(0), unix: UnixMillis(THEN.unix.0 + days * DAY) };
            let restored = snapshot.restore(&reputation, &bans, later);
            assert_eq!(restored, Restored { standings, bans: bans_left, dropped }, "after {days} days");
            assert!(reputation.read(key(1), later.now).risk.abs_diff(risk) <= 3, "after {days} days");
        }
    }

    #[test]
    fn a_day_of_clean_use_goes_on_over_a_restart() {
        let (reputation, bans) = memory();
        let mut at = THEN;
        for day in 0..20 {
            for _ in 0..50 {
                reputation.note(key(1), Event::Clean, Millis(at.now.0 + day * DAY));
            }
        }
        at = Clocks { now: Millis(THEN.now.0 + 19 * DAY), unix: UnixMillis(THEN.unix.0 + 19 * DAY) };
        let before = reputation.read(key(1), at.now).credit;
        let snapshot = Snapshot::take(&reputation, &bans, at);
        let (after, bans) = memory();
        let later = Clocks { now: Millis(0), unix: UnixMillis(at.unix.0 + DAY / 2) };
        snapshot.restore(&after, &bans, later);
        assert!(after.read(key(1), later.now).credit.abs_diff(before) <= 10);
        let day_over = Millis(DAY / 2 + 1);
        assert!(
            after.read(key(1), day_over).credit > before + 10,
            "the day that ran counts when its 24 hours are over"
        );
    }

    #[test]
    fn what_is_known_better_is_kept() {
        let snapshot = taken();
        let (reputation, bans) = memory();
        reputation.note(key(1), Event::ChallengeFailed, THEN.now);
        bans.ban(key(3), Millis(THEN.now.0 + DAY), 9, THEN.now);
        snapshot.restore(&reputation, &bans, THEN);
        assert_eq!(reputation.read(key(1), THEN.now).risk, 40);
        let ban = bans.check(key(3), THEN.now).unwrap();
        assert_eq!((ban.until.0, ban.reason), (THEN.now.0 + DAY, 9));
    }

    #[test]
    fn each_fault_has_a_name() {
        let bytes = taken().to_bytes(&hasher());
        let changed = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            bytes
        };
        let longer = [&bytes[..], &[0]].concat();
        let body = bytes.len() as u64 - HEADER_BYTES as u64;
        for (bytes, error, message) in [
            (vec![], SnapshotError::NotASnapshot, "expected a snapshot, which begins with `portcull`"),
            (b"portcul".to_vec(), SnapshotError::NotASnapshot, "expected a snapshot, which begins with `portcull`"),
            (b"portcull".to_vec(), SnapshotError::Overrun { field: "version" }, "the snapshot ends within `version`"),
            (
                changed(9, 3),
                SnapshotError::Version { found: 3 },
                "expected a snapshot of version 2, but found version 3",
            ),
            (
                longer,
                SnapshotError::Length { expected: body, found: body + 1 },
                &format!(
                    "expected {body} bytes after the header, but found {}: the snapshot was cut or added to",
                    body + 1
                ),
            ),
            (
                changed(12, 0),
                SnapshotError::OtherSecret,
                "the snapshot was written under another secret; its keys mean nothing without that one",
            ),
            (
                changed(60, 0xee),
                SnapshotError::Checksum,
                "the checksum does not fit: the snapshot was changed after it was written",
            ),
        ] {
            let found = Snapshot::from_bytes(&bytes, &hasher()).unwrap_err();
            assert_eq!((found, found.to_string().as_str()), (error, message));
        }
        let other = KeyHasher::new(Secret([9; 16]));
        assert_eq!(Snapshot::from_bytes(&bytes, &other), Err(SnapshotError::OtherSecret));
    }

    /// The bytes with a checksum that fits, as a fault in a writer of ours would have it.
    fn sealed(body: &[u8]) -> Vec<u8> {
        let mut bytes = [MAGIC, &Snapshot::VERSION.to_be_bytes(), &[0; 2], &mark(&hasher())].concat();
        bytes.extend((body.len() as u64).to_be_bytes());
        bytes.extend(body);
        let checksum = checksum(&hasher(), &bytes);
        bytes.extend(checksum);
        bytes
    }

    #[test]
    fn a_body_that_no_writer_of_ours_made_is_refused() {
        let ban = |kind: u8, by: u8, name: &[u8]| {
            let mut body = [&[0; 12][..], &1_u32.to_be_bytes(), &[5; 16], &[kind, by], &[0; 20]].concat();
            body.extend((name.len() as u16).to_be_bytes());
            body.extend(name);
            body.extend([0; 2]);
            body.extend([0; 4]);
            body
        };
        for (body, error) in [
            (vec![0; 3], SnapshotError::Overrun { field: "time written" }),
            ([[0; 8].as_slice(), &[0xff; 4]].concat(), SnapshotError::Overrun { field: "number of standings" }),
            ([[0; 12].as_slice(), &[0xff; 4]].concat(), SnapshotError::Overrun { field: "number of bans" }),
            (ban(15, 0, b""), SnapshotError::Value { field: "kind" }),
            (ban(0, 2, b""), SnapshotError::Value { field: "who made it" }),
            (ban(0, 1, b"\xff"), SnapshotError::Value { field: "name" }),
            (ban(0, 1, b"\x1b[2J"), SnapshotError::Value { field: "name" }),
            (ban(0, 1, &[b'x'; 300]), SnapshotError::Value { field: "name" }),
            ([&ban(0, 1, b"x")[..], &[0]].concat(), SnapshotError::Trailing { bytes: 1 }),
        ] {
            assert_eq!(Snapshot::from_bytes(&sealed(&body), &hasher()), Err(error));
        }
        assert!(Snapshot::from_bytes(&sealed(&ban(0, 1, b"x")), &hasher()).is_ok());
        // A snapshot of the version before has no routes, and is read.
        let mut first = sealed(&ban(0, 1, b"x")[..ban(0, 1, b"x").len() - 4]);
        first[9] = 1;
        let guarded = first.len() - CHECKSUM_BYTES;
        let sum = checksum(&hasher(), &first[..guarded]);
        first[guarded..].copy_from_slice(&sum);
        assert_eq!(Snapshot::from_bytes(&first, &hasher()).unwrap().len(), (0, 1));
    }

    #[test]
    fn no_prefix_of_a_snapshot_is_one_and_no_byte_of_it_can_be_changed() {
        let bytes = taken().to_bytes(&hasher());
        for length in 0..bytes.len() {
            assert!(Snapshot::from_bytes(&bytes[..length], &hasher()).is_err(), "{length} bytes");
        }
        for at in 0..bytes.len() {
            // The two reserved bytes are guarded by the checksum as all others are.
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            assert!(Snapshot::from_bytes(&changed, &hasher()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn an_empty_memory_is_a_snapshot_too() {
        let (reputation, bans) = memory();
        let snapshot = Snapshot::take(&reputation, &bans, THEN);
        assert!(snapshot.is_empty());
        assert_eq!(Snapshot::from_bytes(&snapshot.to_bytes(&hasher()), &hasher()), Ok(snapshot));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test reads its data")]
    fn every_seed_of_the_fuzz_target_is_read_or_refused() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/snapshot");
        let mut bodies = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            read_any_snapshot(&bytes);
            let is_read = Snapshot::from_body(Reader { bytes: &bytes }, Snapshot::VERSION).is_ok();
            let is_meant = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("body-"));
            assert_eq!(is_read, is_meant, "{}", path.display());
            bodies += usize::from(is_read);
        }
        assert!(bodies >= 3, "{bodies}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), at in any::<[u64; 2]>()) {
            read_any_snapshot(&bytes);
            let _ = Snapshot::from_bytes(&bytes, &hasher());
            let _ = Snapshot::from_bytes(&[MAGIC, &[0, 1], &bytes].concat(), &hasher());
            if let Ok(snapshot) = Snapshot::from_bytes(&sealed(&bytes), &hasher()) {
                let (reputation, bans) = memory();
                snapshot.restore(&reputation, &bans, Clocks { now: Millis(at[0]), unix: UnixMillis(at[1]) });
            }
        }

        #[test]
        fn any_standing_and_ban_survives_bytes_and_is_put_back_without_panic(
            standings in prop::collection::vec((any::<u64>(), any::<[u32; 5]>(), any::<[u16; 2]>()), 0..20),
            bans in prop::collection::vec((any::<u64>(), 0_usize..15, any::<bool>(), any::<u64>(), any::<i64>(), "[a-z]{0,9}"), 0..20),
            clocks in prop::collection::vec(any::<[u64; 2]>(), 3..4),
        ) {
            let snapshot = Snapshot {
                written: UnixMillis(clocks[0][0]),
                standings: standings.into_iter().map(|(of, [refusals, abuse, days, day_age_secs, refused_age_secs], [today, counted])| {
                    (key(of), Remembered { refusals, abuse, days, today, counted, day_age_secs, refused_age_secs })
                }).collect(),
                bans: bans.into_iter().map(|(of, kind, by_hand, until, since_ms, text)| SavedBan {
                    key: key(of),
                    kind: BanKind::ALL[kind],
                    by: if by_hand { BannedBy::Hand } else { BannedBy::Policy },
                    until: UnixMillis(until),
                    since_ms,
                    reason: of as u32,
                    name: text.as_str().into(),
                    reason_text: text.into(),
                }).collect(),
                routes: Vec::new(),
            };
            prop_assert_eq!(Snapshot::from_bytes(&snapshot.to_bytes(&hasher()), &hasher()), Ok(snapshot.clone()));
            let (reputation, bans) = memory();
            for [now, unix] in clocks {
                let at = Clocks { now: Millis(now), unix: UnixMillis(unix) };
                snapshot.restore(&reputation, &bans, at);
                Snapshot::take(&reputation, &bans, at).to_bytes(&hasher());
                bans.list(5, at.now);
            }
        }
    }
}
