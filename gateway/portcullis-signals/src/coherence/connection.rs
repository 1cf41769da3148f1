//! What a connection shows, beside a claim: judged once, for all its requests.

use portcullis_fingerprint::{ClientHello, Http2Print, is_grease};

use super::{Findings, claims_major_browser};
use crate::claim::Claim;
use crate::families::{Coverage, Families, Grade, HeaderRules, Http2Row, TlsRow, WantedPriority};
use crate::signal::{SignalId, Signals, Strength};
use crate::{Tls, TlsVersion};

/// What is known of a claim on one connection before any request's header is read.
///
/// It depends on the rows, the claim, the handshake and the HTTP/2 preface alone: a gateway makes it once for a
/// connection and User-Agent, keeps it, and hands it to every request by [`Facts::connection`](crate::Facts).
#[derive(Clone, Copy, Debug)]
pub struct ConnectionJudgement {
    claim: Claim,
    coverage: Coverage,
    shuffles: bool,
    /// What the connection raises.
    signals: Signals,
    /// What it raises for the request that opens a WebSocket.
    socket: Signals,
    pub(crate) hard: HeaderRules,
    pub(crate) soft: HeaderRules,
    /// Whether a soft row says anything of the header.
    pub(crate) has_soft: bool,
}

impl ConnectionJudgement {
    /// Judges a connection.
    pub fn of(families: &Families, claim: &Claim, tls: Option<&Tls<'_>>, http2: Option<&Http2Print>) -> Self {
        let mut judgement = Self {
            claim: *claim,
            coverage: families.coverage(claim),
            shuffles: false,
            signals: Signals::default(),
            socket: Signals::default(),
            hard: HeaderRules::default(),
            soft: HeaderRules::default(),
            has_soft: false,
        };
        if !claim.kind.is_browser() {
            return judgement;
        }
        let mut seen = Seen::none();
        for row in families.covering(claim) {
            if let Some(tls) = tls {
                seen.tls(&row.tls, row.grade, tls.hello);
            }
            if let Some(print) = http2 {
                seen.http2(&row.http2, row.grade, print);
            }
            judgement.shuffles |= row.tls.shuffled;
            match row.grade {
                Grade::Hard => judgement.hard.add(&row.headers),
                Grade::Soft => judgement.soft.add(&row.headers),
            }
        }
        judgement.has_soft = judgement.soft != HeaderRules::default();
        let outdated = tls.is_some_and(|tls| {
            let of_tls13 = claims_major_browser(claim) && claim.version >= 80;
            of_tls13 && tls.version == TlsVersion::Tls12
        });
        for (signal, strength, of_sockets) in [
            (SignalId::TlsUaMismatch, seen.suites.strength(), true),
            (SignalId::TlsGrease, seen.grease.strength(), true),
            (SignalId::TlsExtensions, seen.extensions.strength(), false),
            (SignalId::TlsGroups, seen.groups.strength(), true),
            (SignalId::TlsAlpn, seen.alpn.strength(), false),
            (SignalId::TlsOutdated, if outdated { Strength::FULL } else { Strength::NONE }, true),
            (SignalId::Http2NotOffered, seen.no_http2.strength(), false),
            (SignalId::Http2Settings, seen.settings.strength(), true),
            (SignalId::Http2PseudoOrder, seen.pseudo.strength(), true),
            (SignalId::Http2Priority, seen.priority.strength(), true),
        ] {
            judgement.signals.raise(signal, strength);
            // A WebSocket over HTTP/1.1 has a hello of its own: it offers `http/1.1` alone, and nothing that goes with
            // HTTP/2.
            if of_sockets {
                judgement.socket.raise(signal, strength);
            }
        }
        judgement
    }

    /// Whether a row covers the claim.
    pub const fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// The claim that was judged.
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Whether the claimed browser puts its extensions into another order on every connection.
    pub(crate) const fn shuffles(&self) -> bool {
        self.shuffles
    }

    /// What the connection raises for a request.
    pub(crate) const fn signals(&self) -> &Signals {
        &self.signals
    }

    /// What the connection raises for a request that opens a WebSocket.
    pub(crate) const fn socket_signals(&self) -> &Signals {
        &self.socket
    }
}

/// What contradicts the rows, by signal.
struct Seen {
    suites: Findings,
    grease: Findings,
    extensions: Findings,
    groups: Findings,
    alpn: Findings,
    no_http2: Findings,
    settings: Findings,
    pseudo: Findings,
    priority: Findings,
}

impl Seen {
    const fn none() -> Self {
        let none = Findings::none();
        Self {
            suites: none,
            grease: none,
            extensions: none,
            groups: none,
            alpn: none,
            no_http2: none,
            settings: none,
            pseudo: none,
            priority: none,
        }
    }

    fn tls(&mut self, row: &TlsRow, grade: Grade, hello: &ClientHello) {
        let weight = grade.thousandths();
        let real = || hello.cipher_suites.iter().filter(|suite| !is_grease(**suite));
        let known = row.ciphers.is_empty() || row.ciphers.iter().any(|list| list.iter().eq(real()));
        self.suites.note(!known, weight);
        self.suites.note(row.tls13.is_some_and(|wanted| wanted != hello.supported_versions.contains(&TLS13)), weight);
        // A version of TLS or HTTP that was not thought of when the browser was made.
        self.suites.note(row.newest.is_some_and(|newest| hello.highest_version() > newest), weight);
        self.suites.note(row.absent_alpn.iter().any(|name| hello.alpn.contains(name)), weight);
        self.grease.note(row.grease.is_some_and(|wanted| wanted != hello.has_grease()), weight);
        let missing = row.extensions.iter().any(|extension| !hello.has_extension(*extension));
        let odd = row.absent.iter().any(|extension| hello.has_extension(*extension));
        self.extensions.note(missing || odd, weight);
        let missing = row.groups.iter().any(|group| !hello.offers_group(*group));
        let odd = row.absent_groups.iter().any(|group| hello.offers_group(*group));
        self.groups.note(missing || odd, weight);
        if !row.alpn.is_empty() {
            let of_http2 = row.alpn.iter().any(|name| **name == *b"h2");
            let no_http2 = of_http2 && !hello.alpn.contains(b"h2");
            self.no_http2.note(no_http2, weight);
            self.alpn.note(!no_http2 && !row.alpn.iter().map(|name| &**name).eq(hello.alpn.iter()), weight);
        }
    }

    fn http2(&mut self, row: &Http2Row, grade: Grade, print: &Http2Print) {
        let weight = grade.thousandths();
        let value = |id: u16| print.settings.iter().find(|(known, _)| *known == id).map(|(_, value)| *value);
        let exact = row.exact.is_empty() || row.exact.iter().any(|frame| **frame == *print.settings);
        let odd = !row.only.is_empty() && print.settings.iter().any(|(id, _)| !row.only.contains(id));
        let other = row.settings.iter().any(|(id, wanted)| value(*id) != Some(*wanted));
        let window = row.window.is_some_and(|window| window != print.window_increment);
        self.settings.note(!exact || odd || other || window, weight);
        let letters = print.pseudo.iter().map(|pseudo| pseudo.letter());
        self.pseudo.note(!row.pseudo.is_empty() && !row.pseudo.iter().copied().eq(letters), weight);
        let fits = match (row.priority, print.headers_priority) {
            (None, _) | (Some(WantedPriority::Any), Some(_)) => true,
            (Some(wanted), Some(found)) => (wanted == WantedPriority::Exclusive) == found.exclusive,
            (Some(_), None) => false,
        };
        self.priority.note(!fits, weight);
    }
}

/// TLS 1.3 as `supported_versions` names it (RFC 8446 §4.2.1).
const TLS13: u16 = 0x0304;
