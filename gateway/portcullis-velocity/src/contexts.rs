use std::fmt;

use crate::key::Key;
use crate::memory::{MEMORY_MS, Recent, SEGMENTS, segments_between};
use crate::table::{self, Record, Stats, Table};
use crate::time::Millis;

/// What clients did in the last fifteen minutes, in memory that was bounded beforehand.
///
/// A client is a [`Key`] of the caller's making: an address (its prefix, for IPv6) with the claim of its user agent,
/// say. A slot takes 64 bytes, keys and lock included.
///
/// # How far back it reaches
///
/// The memory is of six segments of two and a half minutes, the one that runs among them, and a segment is forgotten
/// as a whole. So what happened less than 12.5 minutes ago counts always, what happened 15 minutes ago never, and what
/// lies between until its segment ends. Within that the counts are exact up to 255. A clock that steps back adds to the
/// latest segment that the client has.
///
/// # When it is full
///
/// A new client is always remembered. It takes the slot of one of sixteen candidates, which its keyed hash chooses: of
/// one of which nothing is remembered any more, else of the one of which the least is (the sum of all its counts), else
/// of the one longest untouched. So who floods the table with new keys displaces such keys, and to have a client
/// forgotten that made `r` requests must make some `r` requests for every slot of the table within its memory. A
/// client forgotten is a stranger, of whom nothing is known and against whom nothing is held.
pub struct Contexts {
    table: Table<Client>,
}

impl Contexts {
    /// The smallest budget, in bytes: some thirty sets of eight clients. A smaller one is raised to it.
    pub const MIN_BUDGET_BYTES: usize = table::MIN_BUDGET_BYTES;

    /// An empty memory of at most `budget_bytes`, used in steps of 64 KiB as clients come.
    pub fn new(budget_bytes: usize) -> Contexts {
        Contexts { table: Table::new(budget_bytes) }
    }

    /// A budget, in bytes, in which `clients` clients live with next to none displaced: 84 bytes each.
    pub const fn budget_for(clients: usize) -> usize {
        Table::<Client>::budget_for(clients)
    }

    /// What is remembered of a client; the default of one of whom nothing is. It changes nothing.
    #[inline]
    pub fn read(&self, key: Key, now: Millis) -> ClientContext {
        let Some(held) = self.table.find(self.table.address(key, 0)) else {
            return ClientContext::default();
        };
        let mut client = held.load();
        drop(held);
        client.advance(now);
        client.context()
    }

    /// Remembers a request. To be called once, when it is over, so that no request is judged by itself.
    #[inline]
    pub fn note_request(&self, key: Key, note: RequestNote, now: Millis) {
        let address = self.table.address(key, 0);
        // What says nothing of a stranger takes no slot from anyone.
        let held = if note.tells() { Some(self.table.hold(address, now)) } else { self.table.find(address) };
        let Some(mut held) = held else { return };
        let mut client = held.load();
        client.advance(now);
        client.note_request(note);
        held.store(client);
    }

    /// Remembers a ClientHello. To be called once for each new TLS connection of the client.
    ///
    /// `order_hash` is a hash of its extensions' types in their order, without those that come and go by themselves.
    /// Sixteen bits of it are kept: two orders are taken for one with a probability of 1 in 65,536.
    #[inline]
    pub fn note_hello(&self, key: Key, order_hash: u64, now: Millis) {
        let mut held = self.table.hold(self.table.address(key, 0), now);
        let mut client = held.load();
        client.advance(now);
        client.note_hello(order_hash);
        held.store(client);
    }

    /// The state of the table. Other threads go on meanwhile, so the figures are of about one moment.
    pub fn stats(&self) -> Stats {
        self.table.stats()
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contexts").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What is remembered of a client. Counts are of the memory's fifteen minutes and stop at 255.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClientContext {
    /// Requests without any cookie that came after an answer first set one.
    ///
    /// 0 while a request that carried a cookie is remembered, and what came before such a request is never counted
    /// again. None is counted while no answer that set a cookie is remembered.
    pub cookieless: u8,
    /// Navigations that were answered with a page.
    pub pages: u8,
    /// Requests that were not navigations, whatever the answer.
    pub other_requests: u8,
    /// ClientHellos.
    pub hellos: u8,
    /// How many different orders of extensions those hellos had, at most 6.
    pub hello_orders: u8,
}

/// One request that is over, as far as a client is remembered by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestNote {
    /// When the request came, by the clock of `now`: one already under way when the first cookie was set cannot have
    /// carried it.
    pub arrived: Millis,
    /// What it was for.
    pub purpose: Purpose,
    /// Whether it carried a cookie.
    pub cookie: Cookie,
    /// Whether its answer set one.
    pub set_cookie: SetCookie,
    /// What its answer was.
    pub content: Content,
}

impl RequestNote {
    /// Whether it is worth a slot for a client of whom nothing is remembered.
    const fn tells(&self) -> bool {
        self.adds_to_pages()
            || matches!(self.purpose, Purpose::Other)
            || matches!(self.cookie, Cookie::Carried)
            || matches!(self.set_cookie, SetCookie::Sent)
    }

    const fn adds_to_pages(&self) -> bool {
        matches!((self.purpose, self.content), (Purpose::Navigation, Content::Page))
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// To show a document to a person.
    Navigation,
    /// A script, a style, a picture, the icon, the call of an API.
    Other,
}

/// Whether a request has a `Cookie` field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cookie {
    /// At least one cookie, of whatever name.
    Carried,
    /// None at all.
    Absent,
}

/// Whether an answer has a `Set-Cookie` field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SetCookie {
    /// It sets a cookie.
    Sent,
    /// It sets none, or there was no answer.
    Absent,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// A document that a browser goes on from: `200` and `text/html`.
    Page,
    /// Anything else, or no answer.
    Other,
}

/// A client as its slot holds it.
#[derive(Clone, Copy, Default)]
struct Client {
    touched_ms: u64,
    /// The lowest bits of the time at which a cookie was first set, as far as `set` remembers. Of no meaning while
    /// `set` is 0. INVARIANT: no more than the memory's length before the segment that `touched_ms` is in, whence 32
    /// bits are enough to tell before from after.
    first_set_ms: u32,
    /// A bit for each segment in which an answer set a cookie, the latest one's lowest.
    set: u8,
    /// A bit for each segment in which a request carried a cookie, likewise.
    carried: u8,
    orders: Recent<u16, ORDERS>,
    /// The latest first.
    segments: [Counts; SEGMENTS],
}

#[derive(Clone, Copy, Default)]
struct Counts {
    cookieless: u8,
    pages: u8,
    other_requests: u8,
    hellos: u8,
}

impl Client {
    /// Moves on to `now`, or stays at the latest time it has seen when `now` is before that.
    #[inline]
    fn advance(&mut self, now: Millis) {
        let passed = segments_between(self.touched_ms, now.0);
        self.touched_ms = self.touched_ms.max(now.0);
        if passed > 0 {
            self.age(passed);
        }
    }

    #[inline(never)]
    fn age(&mut self, passed: usize) {
        if passed >= SEGMENTS {
            *self = Client { touched_ms: self.touched_ms, ..Client::default() };
            return;
        }
        self.segments.rotate_right(passed);
        self.segments.iter_mut().take(passed).for_each(|segment| *segment = Counts::default());
        self.orders.age(passed);
        self.set = (self.set << passed) & REMEMBERED;
        self.carried = (self.carried << passed) & REMEMBERED;
        let oldest = (self.touched_ms as u32).wrapping_sub(MEMORY_MS as u32);
        if is_before(self.first_set_ms, oldest) {
            self.first_set_ms = oldest;
        }
    }

    fn note_request(&mut self, note: RequestNote) {
        let came_after_a_cookie = self.set != 0 && !is_before(note.arrived.0 as u32, self.first_set_ms);
        let [latest, ..] = &mut self.segments;
        match note.purpose {
            Purpose::Navigation if note.adds_to_pages() => latest.pages = latest.pages.saturating_add(1),
            Purpose::Navigation => {}
            Purpose::Other => latest.other_requests = latest.other_requests.saturating_add(1),
        }
        match note.cookie {
            Cookie::Carried => {
                self.carried |= LATEST;
                self.segments.iter_mut().for_each(|segment| segment.cookieless = 0);
            }
            Cookie::Absent if came_after_a_cookie && self.carried == 0 => {
                latest.cookieless = latest.cookieless.saturating_add(1);
            }
            Cookie::Absent => {}
        }
        if note.set_cookie == SetCookie::Sent {
            if self.set == 0 {
                self.first_set_ms = self.touched_ms as u32;
            }
            self.set |= LATEST;
        }
    }

    fn note_hello(&mut self, order_hash: u64) {
        let [latest, ..] = &mut self.segments;
        latest.hellos = latest.hellos.saturating_add(1);
        // An odd constant without a pattern (the golden ratio of 2^64), so that all bits have a part in the upper ones.
        self.orders.note((order_hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16);
    }

    #[inline]
    fn context(&self) -> ClientContext {
        let mut sum = Counts::default();
        for segment in &self.segments {
            sum.cookieless = sum.cookieless.saturating_add(segment.cookieless);
            sum.pages = sum.pages.saturating_add(segment.pages);
            sum.other_requests = sum.other_requests.saturating_add(segment.other_requests);
            sum.hellos = sum.hellos.saturating_add(segment.hellos);
        }
        let Counts { cookieless, pages, other_requests, hellos } = sum;
        ClientContext { cookieless, pages, other_requests, hellos, hello_orders: self.orders.len() }
    }
}

impl Record for Client {
    fn rank(&self, now: Millis) -> u32 {
        let mut client = *self;
        client.advance(now);
        let ClientContext { cookieless, pages, other_requests, hellos, .. } = client.context();
        let counts: u32 = [cookieless, pages, other_requests, hellos].into_iter().map(u32::from).sum();
        counts + u32::from(client.set != 0) + u32::from(client.carried != 0)
    }

    fn touched_ms(&self) -> u64 {
        self.touched_ms
    }
}

/// Whether one time is before another, of which the lowest 32 bits of milliseconds are known and that lie less than 24
/// days apart.
const fn is_before(time: u32, other: u32) -> bool {
    (time.wrapping_sub(other) as i32) < 0
}

/// Orders of extensions told apart. Signals ask whether there was more than one.
const ORDERS: usize = 6;
/// The bit of the segment that runs, and the bits of all.
const LATEST: u8 = 1;
const REMEMBERED: u8 = (1 << SEGMENTS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_64_bytes() {
        assert_eq!(Table::<Client>::SLOT_BYTES, 64);
        assert_eq!(size_of::<Client>(), 56);
    }

    #[test]
    fn a_cookie_set_long_ago_and_again_and_again_is_still_before_what_comes_now() {
        let mut client = Client::default();
        let mut now = 0;
        let mut note = RequestNote {
            arrived: Millis(0),
            purpose: Purpose::Other,
            cookie: Cookie::Absent,
            set_cookie: SetCookie::Sent,
            content: Content::Other,
        };
        // Thirty-five days, in which the cookie was never forgotten: 32 bits of signed milliseconds are over after 25.
        while now < 35 * 86_400_000 {
            now += 600_000;
            note.arrived = Millis(now);
            client.advance(Millis(now));
            client.note_request(note);
        }
        assert_eq!(client.context().cookieless, 2);
    }
}
