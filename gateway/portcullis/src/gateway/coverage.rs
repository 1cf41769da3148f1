//! Whether prints still tell clients apart.
//!
//! A print that nearly every connection has says nothing of any of them, and rules that name it match everyone or
//! no one: something in front of the gateway ends the clients' TLS, or all traffic is one client. So the first
//! request of each connection is looked at, and where one value is on more of them than the settings allow, from
//! many networks, there is an alarm. Counts are of ten minutes by the steady clock, then they begin anew.

mod sketch;

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use portcullis_fingerprint::{Http2Print, Ja4, ShortHash, header_order_hash, varies_with_the_request};
use portcullis_signals::ClientAddr;
use portcullis_velocity::Millis;

use super::keys::prefix_bytes;
use crate::accept::ConnInfo;
use sketch::{MOST_NETWORKS, Network, Sketch};

/// The alarms of all kinds of prints.
#[derive(Debug)]
pub struct PrintAlarms {
    share: PrintShare,
    state: Mutex<State>,
}

/// The share of connections that one value of a print may have, in thousandths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PrintShare(pub u16);

impl Default for PrintShare {
    /// Nine tenths: no browser has as many visitors of an ordinary site.
    fn default() -> Self {
        Self(900)
    }
}

/// Why there is an alarm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// One value is on too many connections.
    Dominant,
    /// Too many connections have a value that says nothing.
    Degenerate,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Dominant, Self::Degenerate];

    /// The stable name, as metrics and log lines write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dominant => "dominant",
            Self::Degenerate => "degenerate",
        }
    }
}

/// How one kind of print fares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The name of the kind.
    pub print: &'static str,
    /// The share of connections that have the most frequent value, in thousandths; 0 where they were too few.
    pub top_share: u16,
    /// The alarm.
    pub alarm: Option<Reason>,
}

/// How long connections are counted together.
const WINDOW: Duration = Duration::from_secs(600);

/// How many connections it takes to speak of shares.
const MIN_CONNECTIONS: u64 = 500;

/// From how many networks (IPv4 /24, IPv6 /56) a value must come to say something of all traffic: one busy client
/// is no fault of a print.
const MIN_NETWORKS: usize = MOST_NETWORKS;

impl PrintAlarms {
    /// No alarm yet.
    pub const fn new(share: PrintShare) -> Self {
        let state = State {
            began: Millis(0),
            ja4: Watch::new("ja4"),
            http2: Watch::new("http2"),
            header_order: Watch::new("header_order"),
        };
        Self { share, state: Mutex::new(state) }
    }

    /// Counts the first request of a connection.
    pub fn note(&self, conn: &ConnInfo, client: ClientAddr, headers: &HeaderMap, now: Millis) {
        let shown = Shown {
            ja4: conn.tls.as_deref().map(|tls| of_ja4(tls.ja4)),
            http2: conn.http2_print().map(of_http2),
            header_order: of_headers(headers),
        };
        self.add(shown, client.0, now);
    }

    /// How each kind of print fares.
    pub fn read(&self, now: Millis) -> [Reading; 3] {
        let mut changes = Vec::new();
        let mut state = self.state.lock();
        state.roll(self.share, now, &mut changes);
        let readings = [state.ja4.read(), state.http2.read(), state.header_order.read()];
        drop(state);
        say(&changes);
        readings
    }

    fn add(&self, shown: Shown, client: IpAddr, now: Millis) {
        let network = Network::of(&prefix_bytes(client));
        // Empty nearly always, and then without memory.
        let mut changes = Vec::new();
        let mut state = self.state.lock();
        state.roll(self.share, now, &mut changes);
        state.ja4.add(shown.ja4, network, self.share, &mut changes);
        state.http2.add(shown.http2, network, self.share, &mut changes);
        state.header_order.add(Some(shown.header_order), network, self.share, &mut changes);
        drop(state);
        say(&changes);
    }
}

/// The hash of the order of a request's header fields, of which each name counts where it stands first.
pub(crate) fn header_order(headers: &HeaderMap) -> ShortHash {
    header_order_hash(headers.keys().map(|name| name.as_str().as_bytes()))
}

/// Whether a request has fields whose order says something of its client.
pub(crate) fn has_header_order(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| !varies_with_the_request(name.as_str().as_bytes()))
}

/// The prints of one connection.
#[derive(Debug)]
struct Shown {
    ja4: Option<Value<Ja4>>,
    http2: Option<Value<Box<str>>>,
    header_order: Value<ShortHash>,
}

/// A value of a print, where all that say nothing are one.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Value<V> {
    Nothing,
    Print(V),
}

/// A JA4 says nothing where a part of it has nothing to hash.
fn of_ja4(ja4: Ja4) -> Value<Ja4> {
    const ZEROS: &str = "000000000000";
    if ja4.b() == ZEROS || ja4.c() == ZEROS { Value::Nothing } else { Value::Print(ja4) }
}

/// An HTTP/2 print says nothing where the client chose nothing but its pseudo-headers.
fn of_http2(print: &Http2Print) -> Value<Box<str>> {
    let empty = print.settings.is_empty() && print.window_increment == 0 && print.priorities.is_empty();
    if empty { Value::Nothing } else { Value::Print(print.to_string().into()) }
}

fn of_headers(headers: &HeaderMap) -> Value<ShortHash> {
    if has_header_order(headers) { Value::Print(header_order(headers)) } else { Value::Nothing }
}

/// What is counted.
#[derive(Debug)]
struct State {
    began: Millis,
    ja4: Watch<Ja4>,
    http2: Watch<Box<str>>,
    header_order: Watch<ShortHash>,
}

impl State {
    /// Begins a new window where the present one is over.
    fn roll(&mut self, share: PrintShare, now: Millis, changes: &mut Vec<Change>) {
        let passed = u128::from(now.0.saturating_sub(self.began.0)) / WINDOW.as_millis();
        // Where more than one is over, nothing came in the last of them.
        for _ in 0..passed.min(2) {
            self.ja4.close(share, changes);
            self.http2.close(share, changes);
            self.header_order.close(share, changes);
        }
        if passed > 0 {
            self.began = now;
        }
    }
}

/// One kind of print.
#[derive(Debug)]
struct Watch<V> {
    name: &'static str,
    sketch: Sketch<Value<V>>,
    /// The alarm, and the value that it is about.
    alarm: Option<(Reason, Value<V>)>,
    /// The top share of the window before, in thousandths.
    before: u16,
}

impl<V: Clone + Eq + ToString> Watch<V> {
    const fn new(name: &'static str) -> Self {
        Self { name, sketch: Sketch::new(), alarm: None, before: 0 }
    }

    fn add(&mut self, value: Option<Value<V>>, network: Network, share: PrintShare, changes: &mut Vec<Change>) {
        if let Some(value) = value {
            self.sketch.add(value, network);
            self.look(share, changes);
        }
    }

    /// Raises an alarm that is due. One that is not due any more stays until the window ends, so that a share near
    /// its bound is said once.
    fn look(&mut self, share: PrintShare, changes: &mut Vec<Change>) {
        let Some((reason, value)) = self.due(share) else { return };
        if self.alarm.as_ref().is_some_and(|(raised, about)| (*raised, about) == (reason, value)) {
            return;
        }
        changes.push(Change {
            print: self.name,
            alarm: Some((reason, value.text())),
            share: self.share(),
            connections: self.sketch.total(),
        });
        self.alarm = Some((reason, value.clone()));
    }

    fn due(&self, share: PrintShare) -> Option<(Reason, &Value<V>)> {
        let top = self.sketch.top()?;
        let total = self.sketch.total();
        let most = top.count.saturating_mul(1000) > total.saturating_mul(u64::from(share.0));
        let due = total >= MIN_CONNECTIONS && top.networks() >= MIN_NETWORKS && most;
        let reason = if top.value == Value::Nothing { Reason::Degenerate } else { Reason::Dominant };
        due.then_some((reason, &top.value))
    }

    /// Ends a window, and the alarm that was not due at its end.
    fn close(&mut self, share: PrintShare, changes: &mut Vec<Change>) {
        if self.alarm.is_some() && self.due(share).is_none() {
            self.alarm = None;
            let connections = self.sketch.total();
            changes.push(Change { print: self.name, alarm: None, share: self.share(), connections });
        }
        self.before = if self.sketch.total() < MIN_CONNECTIONS { 0 } else { self.share() };
        self.sketch.clear();
    }

    fn read(&self) -> Reading {
        Reading {
            print: self.name,
            top_share: if self.sketch.total() < MIN_CONNECTIONS { self.before } else { self.share() },
            alarm: self.alarm.as_ref().map(|(reason, _)| *reason),
        }
    }

    /// The share of the most frequent value in this window, in thousandths.
    fn share(&self) -> u16 {
        let top = self.sketch.top().map_or(0, |top| top.count);
        u16::try_from(top.saturating_mul(1000) / self.sketch.total().max(1)).unwrap_or(1000)
    }
}

impl<V: ToString> Value<V> {
    fn text(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Print(value) => value.to_string(),
        }
    }
}

/// An alarm that began or ended.
#[derive(Debug)]
struct Change {
    print: &'static str,
    /// Why, and about which value; none where it is over.
    alarm: Option<(Reason, String)>,
    share: u16,
    connections: u64,
}

/// Logs what changed; not to be called while the state is locked.
fn say(changes: &[Change]) {
    for Change { print, alarm, share, connections } in changes {
        let share = f64::from(*share) / 1000.0;
        match alarm {
            Some((Reason::Dominant, value)) => tracing::warn!(
                print,
                value,
                share,
                connections,
                "one value of a print is on too many connections to tell clients apart: a proxy in front of the \
                 gateway probably ends their TLS, or all traffic is one client"
            ),
            Some((Reason::Degenerate, _)) => tracing::warn!(
                print,
                share,
                connections,
                "a print is empty on too many connections to tell clients apart: a proxy in front of the gateway \
                 probably takes away what clients send"
            ),
            None => {
                tracing::info!(print, share, connections, "no value of a print is on too many connections any more")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const SECOND: u64 = 1000;

    fn alarms() -> PrintAlarms {
        PrintAlarms::new(PrintShare::default())
    }

    /// Somebody in the `n`-th of many networks.
    fn client(n: u32) -> IpAddr {
        let [_, _, high, low] = n.to_be_bytes();
        if n.is_multiple_of(2) {
            Ipv4Addr::new(100, high, low, 7).into()
        } else {
            Ipv6Addr::new(0x2001, 0xdb8, 0, u16::from_be_bytes([low, high]), 0, 0, 0, 1).into()
        }
    }

    fn ja4(part: u32) -> Value<Ja4> {
        of_ja4(format!("t13d1516h2_8daaf6152771_{part:012x}").parse().unwrap())
    }

    fn shown(ja4: Value<Ja4>) -> Shown {
        Shown { ja4: Some(ja4), http2: None, header_order: Value::Nothing }
    }

    /// What is said of JA4 after these connections.
    fn reading(alarms: &PrintAlarms, now: u64) -> (u16, Option<Reason>) {
        let [ja4, ..] = alarms.read(Millis(now));
        assert_eq!(ja4.print, "ja4");
        (ja4.top_share, ja4.alarm)
    }

    #[test]
    fn a_value_on_more_connections_than_its_share_from_many_networks_is_an_alarm() {
        let check = |connections: u32, others: u32, networks: u32, expected: Option<Reason>| {
            let alarms = alarms();
            for n in 0..connections {
                let value = if n < others { n + 10 } else { 1 };
                alarms.add(shown(ja4(value)), client(n % networks), Millis(0));
            }
            let found = reading(&alarms, 0).1;
            assert_eq!(found, expected, "{others} others of {connections} from {networks} networks");
        };
        check(499, 0, 499, None);
        check(500, 0, 499, Some(Reason::Dominant));
        check(500, 0, 20, Some(Reason::Dominant));
        check(500, 0, 19, None);
        check(1000, 90, 1000, Some(Reason::Dominant));
        // Here seven more are counted than there were, which is not enough to seem nine tenths.
        check(1000, 120, 1000, None);
        check(1000, 999, 1000, None);
    }

    #[test]
    fn a_share_of_exactly_the_bound_is_none_above_it() {
        let alarms = alarms();
        for n in 0..1000_u32 {
            alarms.add(shown(ja4(if n.is_multiple_of(10) { 2 } else { 1 })), client(n), Millis(0));
        }
        assert_eq!(reading(&alarms, 0), (900, None));
        alarms.add(shown(ja4(1)), client(1), Millis(0));
        assert_eq!(reading(&alarms, 0), (900, Some(Reason::Dominant)));
    }

    #[test]
    fn values_that_say_nothing_are_one_value() {
        let empty = Http2Print { first_stream: 1, ..Http2Print::default() };
        let alarms = alarms();
        for n in 0..600_u32 {
            let text = if n.is_multiple_of(2) {
                "t13d0016h2_000000000000_8daaf6152771"
            } else {
                "t12i010000_8daaf6152771_000000000000"
            };
            let shown = Shown {
                ja4: Some(of_ja4(text.parse().unwrap())),
                http2: Some(of_http2(&empty)),
                header_order: of_headers(&HeaderMap::new()),
            };
            alarms.add(shown, client(n), Millis(0));
        }
        for reading in alarms.read(Millis(0)) {
            assert_eq!((reading.top_share, reading.alarm), (1000, Some(Reason::Degenerate)), "{}", reading.print);
        }
        let chosen = Http2Print { window_increment: 1, ..empty };
        assert_eq!(of_http2(&chosen), Value::Print("|1|0|".into()));
    }

    #[test]
    fn each_kind_of_print_has_an_alarm_of_its_own() {
        let alarms = alarms();
        let print = |increment| of_http2(&Http2Print { window_increment: increment, ..Http2Print::default() });
        for n in 0..600_u32 {
            let shown = Shown {
                ja4: n.is_multiple_of(100).then(|| ja4(1)),
                http2: Some(print(5)),
                header_order: Value::Print(ShortHash([0, 0, 0, 0, 0, u8::try_from(n % 5).unwrap()])),
            };
            alarms.add(shown, client(n), Millis(0));
        }
        let [ja4, http2, header_order] = alarms.read(Millis(0));
        assert_eq!((ja4.alarm, ja4.top_share), (None, 0), "six connections are too few to speak of");
        assert_eq!(http2.alarm, Some(Reason::Dominant));
        assert_eq!((header_order.alarm, header_order.top_share), (None, 200));
    }

    #[test]
    fn an_alarm_is_said_once_and_ends_with_a_window_in_which_it_was_not_due() {
        let alarms = alarms();
        let fill = |from: u32, value: fn(u32) -> u32, now: u64| {
            for n in from..from + 600 {
                alarms.add(shown(ja4(value(n))), client(n), Millis(now));
            }
        };
        fill(0, |_| 1, SECOND);
        assert_eq!(reading(&alarms, SECOND), (1000, Some(Reason::Dominant)));
        // It is not taken back within its window, however many others follow.
        fill(0, |n| n + 10, 2 * SECOND);
        assert_eq!(reading(&alarms, 599 * SECOND).1, Some(Reason::Dominant));
        // At the end of the window it was not due any more.
        assert_eq!(reading(&alarms, 600 * SECOND).1, None);
        fill(0, |_| 1, 601 * SECOND);
        assert_eq!(reading(&alarms, 601 * SECOND), (1000, Some(Reason::Dominant)));
        // The next window has too few to say anything, so the last word holds until it ends, and not longer.
        assert_eq!(reading(&alarms, 1_200 * SECOND), (1000, Some(Reason::Dominant)));
        assert_eq!(reading(&alarms, 1_799 * SECOND), (1000, Some(Reason::Dominant)));
        assert_eq!(reading(&alarms, 1_800 * SECOND), (0, None));
    }

    #[test]
    fn a_long_silence_ends_an_alarm() {
        let alarms = alarms();
        for n in 0..600_u32 {
            alarms.add(shown(ja4(1)), client(n), Millis(0));
        }
        assert_eq!(reading(&alarms, 100_000 * SECOND), (0, None));
    }

    #[test]
    fn what_changed_is_handed_over_once() {
        let mut watch = Watch::<Ja4>::new("ja4");
        let mut changes = Vec::new();
        for n in 0..1000_u32 {
            watch.add(Some(ja4(1)), Network::of(&n.to_be_bytes()), PrintShare(900), &mut changes);
        }
        let [Change { alarm: Some((Reason::Dominant, value)), share: 1000, connections: 500, .. }] = &changes[..]
        else {
            panic!("{changes:?}")
        };
        assert_eq!(value, "t13d1516h2_8daaf6152771_000000000001");
        changes.clear();
        watch.close(PrintShare(900), &mut changes);
        assert!(changes.is_empty(), "it was due to the end: {changes:?}");
        watch.close(PrintShare(900), &mut changes);
        assert!(matches!(&changes[..], [Change { alarm: None, connections: 0, .. }]), "{changes:?}");
    }
}
