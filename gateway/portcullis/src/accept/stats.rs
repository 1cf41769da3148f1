//! What the accept path counts, for a scraper to read at any time.
//!
//! Plain atomics and closed sets of names; no metric format is known here.

use portcullis_fingerprint::Http2GiveUp;
use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// A closed set of reasons, each with the name it has outside.
pub trait Label: Copy + 'static {
    /// All of them, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// Where the label stands in [`Label::ALL`].
    fn index(self) -> usize;
    /// The name it has in a metric or a log line.
    fn name(self) -> &'static str;
}

macro_rules! labels {
    ($(#[$about:meta])* $set:ident { $($(#[$doc:meta])* $label:ident => $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $set { $($(#[$doc])* $label,)+ }

        impl Label for $set {
            const ALL: &'static [Self] = &[$(Self::$label),+];
            fn index(self) -> usize { self as usize }
            fn name(self) -> &'static str {
                match self { $(Self::$label => $name,)+ }
            }
        }
    };
}

labels! {
    /// Why a connection was closed before its handshake.
    Refusal {
        /// As many connections are open as the listener allows.
        ConnectionCap => "connection_cap",
        /// As many handshakes are under way as the listener allows.
        HandshakeCap => "handshake_cap",
        /// The address was not admitted.
        Address => "address",
        /// The peer may not speak for others on a listener that asks for PROXY headers.
        ProxyPeer => "proxy_peer",
        /// The PROXY header was absent, malformed, or not whole in time.
        ProxyHeader => "proxy_header",
        /// The peer was gone before its address could be read.
        Gone => "gone",
    }
}

labels! {
    /// Why a TLS handshake failed.
    HandshakeFailure {
        /// It was not over in time.
        Timeout => "timeout",
        /// The ClientHello could not be read; [`AcceptStats::hello_faults`] says why.
        Hello => "hello",
        /// The client closed the connection, or it broke.
        Closed => "closed",
        /// Client and server have no version, cipher suite, group or signature in common.
        Incompatible => "incompatible",
        /// The client offered only application protocols that are not spoken here.
        Alpn => "alpn",
        /// The client sent an alert, mostly because it does not trust the certificate.
        Alert => "alert",
        /// The client broke the protocol.
        Misbehaved => "misbehaved",
        /// Anything else.
        Other => "other",
    }
}

labels! {
    /// What was wrong with the bytes where a ClientHello should be.
    HelloFault {
        /// The connection ended in the middle of it.
        Truncated => "truncated",
        /// It is longer than the listener allows.
        TooLong => "too_long",
        /// The bytes are not TLS.
        NotTls => "not_tls",
        /// The bytes are TLS, but not a ClientHello that can be read.
        Malformed => "malformed",
    }
}

labels! {
    /// Why there is no print of a connection that speaks HTTP/2.
    Http2Unread {
        /// It does not begin as HTTP/2 does.
        NotHttp2 => "not_http2",
        /// The first frame is not SETTINGS.
        NoSettings => "no_settings",
        /// A frame stands where it cannot.
        UnexpectedFrame => "unexpected_frame",
        /// A frame is longer than the bound.
        FrameTooLong => "frame_too_long",
        /// A frame has a length, padding or stream that its type cannot have.
        BadFrame => "bad_frame",
        /// More settings than there can be.
        TooManySettings => "too_many_settings",
        /// More frames than the bound before the first request.
        TooManyFrames => "too_many_frames",
        /// More bytes than the bound before the first request.
        TooManyBytes => "too_many_bytes",
        /// The first header block cannot be read.
        BadHeaderBlock => "bad_header_block",
    }
}

impl From<Http2GiveUp> for Http2Unread {
    fn from(reason: Http2GiveUp) -> Self {
        match reason {
            Http2GiveUp::NotHttp2 | Http2GiveUp::AfterEnd => Self::NotHttp2,
            Http2GiveUp::NoSettings => Self::NoSettings,
            Http2GiveUp::UnexpectedFrame => Self::UnexpectedFrame,
            Http2GiveUp::FrameTooLong => Self::FrameTooLong,
            Http2GiveUp::BadFrame => Self::BadFrame,
            Http2GiveUp::TooManySettings => Self::TooManySettings,
            Http2GiveUp::TooManyFrames => Self::TooManyFrames,
            Http2GiveUp::TooManyBytes => Self::TooManyBytes,
            Http2GiveUp::BadHeaderBlock(_) => Self::BadHeaderBlock,
        }
    }
}

labels! {
    /// How a TLS handshake came to its end.
    Handshake {
        /// All of it was done.
        Full => "full",
        /// All of it, and one more round trip because the client guessed another group.
        Retried => "retried",
        /// An earlier session was resumed.
        Resumed => "resumed",
    }
}

labels! {
    /// The status of an answer to a request that was not judged.
    Unjudged {
        /// Its head cannot be read, and nobody judges such ([`super::Unread`]).
        BadRequest => "400",
        /// It is a CONNECT.
        MethodNotAllowed => "405",
        /// Anything else.
        Other => "other",
    }
}

impl Unjudged {
    /// The status of an answer, by its first bytes.
    pub(super) fn of(answer: &[u8]) -> Self {
        match answer.get("HTTP/1.1 ".len()..).and_then(|status| status.get(..3)) {
            Some(b"400") => Self::BadRequest,
            Some(b"405") => Self::MethodNotAllowed,
            _ => Self::Other,
        }
    }
}

labels! {
    /// Why an open connection was cut by its client's fault.
    Cut {
        /// A request header was not whole in time.
        SlowHeader => "slow_header",
        /// No further request was begun in time.
        Idle => "idle",
        /// A request header came in too many pieces.
        ScatteredHeader => "scattered_header",
        /// Nothing of what was sent was taken in time.
        SlowReader => "slow_reader",
    }
}

/// Counters of the accept path; one set is shared by all listeners.
#[derive(Debug, Default)]
pub struct AcceptStats {
    /// Connections that were taken up, whatever became of them.
    pub accepted: Counter,
    /// Connections open now.
    pub open: Gauge,
    /// Connections before their first HTTP byte now: PROXY header, ClientHello, TLS handshake.
    pub handshaking: Gauge,
    /// Connections closed before their handshake.
    pub refused: Tally<Refusal>,
    /// TLS handshakes that succeeded.
    pub handshakes: Tally<Handshake>,
    /// TLS handshakes that failed.
    pub handshake_failures: Tally<HandshakeFailure>,
    /// ClientHellos that could not be read.
    pub hello_faults: Tally<HelloFault>,
    /// HTTP/2 connections of which there is no print.
    pub http2_unread: Tally<Http2Unread>,
    /// Requests that were answered without being judged.
    pub unjudged: Tally<Unjudged>,
    /// Connections cut by their clients' fault.
    pub cut: Tally<Cut>,
    /// Time from accept to the end of a handshake that succeeded.
    pub handshake_time: Histogram,
}

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The count.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// How many of something there are at this moment.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// The number.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Takes one of `cap` places, until the place is dropped; none when all are taken.
    pub(super) fn enter(&self, cap: usize) -> Option<Place<'_>> {
        let place = Place(self);
        let before = self.0.fetch_add(1, Relaxed);
        // When it is too many, the drop of `place` takes it back.
        (before < u64::try_from(cap).unwrap_or(u64::MAX)).then_some(place)
    }
}

/// One place in a [`Gauge`], given back on drop.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Gauge);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// One counter for each label of a closed set.
#[derive(Debug)]
pub struct Tally<L> {
    counts: Box<[Counter]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Label> Tally<L> {
    /// How often `label` was counted.
    pub fn count(&self, label: L) -> u64 {
        self.counts.get(label.index()).map_or(0, Counter::value)
    }

    /// Every label with its count.
    pub fn iter(&self) -> impl Iterator<Item = (L, u64)> + '_ {
        L::ALL.iter().map(|&label| (label, self.count(label)))
    }

    pub(super) fn add(&self, label: L) {
        if let Some(counter) = self.counts.get(label.index()) {
            counter.increment();
        }
    }
}

impl<L: Label> Default for Tally<L> {
    fn default() -> Self {
        let counts = L::ALL.iter().map(|_| Counter::default()).collect();
        Self { counts, labels: PhantomData }
    }
}

/// Durations counted by upper bound, as Prometheus wants them.
#[derive(Debug)]
pub struct Histogram {
    /// One counter for each bound, and one for what is longer than all of them.
    counts: Box<[Counter]>,
    sum_micros: AtomicU64,
}

/// What a [`Histogram`] held at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramReading {
    /// Upper bound in seconds and how many durations were at most that long, bounds rising.
    pub cumulative: Vec<(f64, u64)>,
    /// How many durations there were.
    pub count: u64,
    /// All of them together, in seconds.
    pub sum_seconds: f64,
}

impl Histogram {
    /// Upper bounds, in microseconds: a handshake costs a third of a millisecond here and a few round
    /// trips there.
    const BOUNDS_MICROS: [u32; 12] =
        [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

    /// What it holds now.
    pub fn read(&self) -> HistogramReading {
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(Self::BOUNDS_MICROS.len());
        let mut counts = self.counts.iter().map(Counter::value);
        for (bound, n) in Self::BOUNDS_MICROS.iter().zip(&mut counts) {
            count += n;
            cumulative.push((f64::from(*bound) / 1e6, count));
        }
        count += counts.sum::<u64>();
        let sum_seconds = Duration::from_micros(self.sum_micros.load(Relaxed)).as_secs_f64();
        HistogramReading { cumulative, count, sum_seconds }
    }

    pub(super) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let at = Self::BOUNDS_MICROS.partition_point(|&bound| u64::from(bound) < micros);
        if let Some(counter) = self.counts.get(at) {
            counter.increment();
        }
        self.sum_micros.fetch_add(micros, Relaxed);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = (0..=Self::BOUNDS_MICROS.len()).map(|_| Counter::default()).collect();
        Self { counts, sum_micros: AtomicU64::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_where_their_index_says_and_have_names_of_their_own() {
        fn check<L: Label>() {
            let names: std::collections::HashSet<_> = L::ALL.iter().map(|label| label.name()).collect();
            assert_eq!(names.len(), L::ALL.len());
            for (at, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.index(), at, "{}", label.name());
            }
        }
        check::<Refusal>();
        check::<HandshakeFailure>();
        check::<HelloFault>();
        check::<Handshake>();
        check::<Cut>();
    }

    #[test]
    fn a_gauge_gives_no_more_places_than_its_cap_and_takes_them_back() {
        let gauge = Gauge::default();
        let first = gauge.enter(2).unwrap();
        let second = gauge.enter(2).unwrap();
        assert!(gauge.enter(2).is_none());
        assert_eq!(gauge.value(), 2);
        drop(first);
        assert!(gauge.enter(2).is_some());
        drop(second);
        assert_eq!(gauge.value(), 0);
    }

    #[test]
    fn a_duration_equal_to_a_bound_is_counted_under_it() {
        let histogram = Histogram::default();
        for micros in [500, 501, 9_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let reading = histogram.read();
        assert_eq!(reading.count, 3);
        assert_eq!(&reading.cumulative[..2], [(0.0005, 1), (0.001, 2)]);
        assert_eq!(reading.cumulative.last(), Some(&(5.0, 2)));
        assert!((reading.sum_seconds - 9.001_001).abs() < 1e-9);
    }
}
