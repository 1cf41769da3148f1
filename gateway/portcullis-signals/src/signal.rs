//! Signals: one judgement each, from a closed list.

use std::fmt;
use std::str::FromStr;

/// How strongly a signal is present, in thousandths from 0 to 1000.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Strength(u16);

impl Strength {
    /// Not present.
    pub const NONE: Self = Self(0);
    /// Present without doubt.
    pub const FULL: Self = Self(1000);

    /// A strength of so many thousandths; more than 1000 is 1000.
    pub const fn thousandths(value: u32) -> Self {
        Self(if value > 1000 { 1000 } else { value as u16 })
    }

    /// The strength in thousandths.
    pub const fn as_thousandths(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// The groups whose signals share one cap, since they see the same evidence.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Group {
    /// What the client says it is.
    Claim,
    /// The header fields beside what it says.
    Headers,
    /// The TLS handshake beside what it says.
    Tls,
    /// The HTTP/2 preface beside what it says.
    Http2,
    /// The request beside its purpose and the requests before it.
    Context,
    /// Fingerprints and other values on a list.
    Lists,
    /// The network that it comes from.
    Network,
    /// How much it asks.
    Velocity,
    /// How often the origin said no.
    Outcomes,
    /// How many users, networks and paths it touches.
    Spread,
    /// What those like it do at the same time.
    Cohort,
    /// What it did before.
    Reputation,
    /// Attempts to speak for the gateway.
    Tampering,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 13] = [
        Self::Claim,
        Self::Headers,
        Self::Tls,
        Self::Http2,
        Self::Context,
        Self::Lists,
        Self::Network,
        Self::Velocity,
        Self::Outcomes,
        Self::Spread,
        Self::Cohort,
        Self::Reputation,
        Self::Tampering,
    ];

    /// The stable name, as policies write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Headers => "headers",
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::Context => "context",
            Self::Lists => "lists",
            Self::Network => "network",
            Self::Velocity => "velocity",
            Self::Outcomes => "outcomes",
            Self::Spread => "spread",
            Self::Cohort => "cohort",
            Self::Reputation => "reputation",
            Self::Tampering => "tampering",
        }
    }

    /// Whether the group judges what a client is rather than what it does.
    ///
    /// No passive group blocks alone in the shipped presets.
    pub const fn is_passive(self) -> bool {
        !matches!(
            self,
            Self::Velocity | Self::Outcomes | Self::Context | Self::Spread | Self::Cohort | Self::Reputation
        )
    }
}

macro_rules! signals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $group:ident;)*) => {
        /// The closed list of signals.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum SignalId {
            $($(#[$doc])* $variant,)*
        }

        impl SignalId {
            /// Every signal, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name, as policies, reasons and metrics write it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The group whose cap it shares.
            pub const fn group(self) -> Group {
                match self { $(Self::$variant => Group::$group,)* }
            }
        }
    };
}

signals! {
    /// No User-Agent, or an empty one: every browser sends one.
    UaEmpty = "ua-empty", Claim;
    /// The User-Agent is that of a command-line client or a library; [`Claim::name`](crate::Claim) says which.
    UaTool = "ua-tool", Claim;
    /// The User-Agent is that of a scanner, brute-force or load tool.
    UaScanner = "ua-scanner", Claim;
    /// The User-Agent or a client hint says that the browser is automated.
    UaAutomated = "ua-automated", Claim;
    /// The User-Agent is that of a crawler, and the network does not prove it.
    UaCrawler = "ua-crawler", Claim;
    /// The route is for browsers, and the client does not claim to be one; at part of its strength for a niche
    /// browser that no row covers, since anybody can claim to be one.
    ClientUnexpected = "client-unexpected", Claim;
    /// Header fields that the claimed browser always sends are missing. They are written by the network code, below
    /// settings and extensions of pages.
    HeaderMissing = "header-missing", Headers;
    /// Header fields say something that the claimed browser cannot say: it lacks the feature, or asks for a page as
    /// for anything.
    HeaderContradiction = "header-contradiction", Headers;
    /// Header fields come in another order than the claimed browser's. Its network code writes them one after the
    /// other; a person cannot change that, and a library has an order of its own.
    HeaderOrder = "header-order", Headers;
    /// The claimed browser takes more content codings: it names those that it was built with.
    HeaderEncoding = "header-encoding", Headers;
    /// Fetch metadata contradict each other. Scripts cannot set them (forbidden names begin with `Sec-`), so in a
    /// browser they say what is.
    FetchMetadata = "fetch-metadata", Headers;
    /// Client hints are those of another browser or version. They follow from the browser's own version, also the
    /// made-up brand among them.
    ClientHints = "client-hints", Headers;
    /// The cipher suites or the TLS version are not those of the claimed browser's TLS library, whose list is fixed
    /// when the browser is built.
    TlsUaMismatch = "tls-ua-mismatch", Tls;
    /// GREASE is missing where the claimed browser always sends it, or is there where it never does (RFC 8701).
    TlsGrease = "tls-grease", Tls;
    /// Extensions that the claimed browser always sends are missing, or there are some that its library has not got.
    TlsExtensions = "tls-extensions", Tls;
    /// The groups for key agreement are not those of the claimed version: it lacks the post-quantum one, or has some
    /// that the browser's library has not got.
    TlsGroups = "tls-groups", Tls;
    /// The application protocols are not those of the claimed browser, such as HTTP/3 in a hello over TCP.
    TlsAlpn = "tls-alpn", Tls;
    /// The client claims a current browser and speaks an outdated TLS.
    TlsOutdated = "tls-outdated", Tls;
    /// Several hellos had one order of extensions, where the claimed browser takes another each time: of two hellos
    /// of sixteen extensions the same order is a chance in many billions.
    TlsOrderConstant = "tls-order-constant", Tls;
    /// The client does not offer HTTP/2, which the claimed browser does on every connection that is no WebSocket's.
    Http2NotOffered = "http2-not-offered", Http2;
    /// The SETTINGS frame or the window is not the claimed browser's. Both are constants of its network code.
    Http2Settings = "http2-settings", Http2;
    /// The pseudo-header fields come in another order than the claimed browser's, which is fixed in its code.
    Http2PseudoOrder = "http2-pseudo-order", Http2;
    /// The first request's priority is not of the claimed browser's form.
    Http2Priority = "http2-priority", Http2;
    /// A request that changes something has no `Origin`, which browsers add to each (Fetch §3.2).
    PostNoOrigin = "post-no-origin", Context;
    /// A request that carries JSON says that it is a navigation. A form cannot send JSON, and what a script sends does
    /// not navigate.
    JsonNavigation = "json-navigation", Context;
    /// A script's call to its own origin has no `Referer`. A page can ask for that, so it says little.
    RefererMissing = "referer-missing", Context;
    /// Cookies were set, and none ever came back. A person may refuse cookies, but then rarely gets far.
    CookieNeverReturned = "cookie-never-returned", Context;
    /// Pages were read, and nothing that belongs to them: no script, style, picture or icon.
    PageAlone = "page-alone", Context;
    /// The fingerprint changed under one session: once, when a person changes network; again and again, when the
    /// session was copied or the fingerprint is made up.
    PrintChanged = "print-changed", Context;
    /// What the browser's script said of it when it met a challenge contradicts itself or what the browser says, or
    /// names a tool that drives it.
    ScriptEvidence = "script-evidence", Context;
    /// The JA3 or JA4 is on a list of the policy.
    FingerprintListed = "fingerprint-listed", Lists;
    /// The network belongs to a hosting provider or data centre.
    AsnHosting = "asn-hosting", Network;
    /// The address is an exit of the Tor network.
    NetTor = "net-tor", Network;
    /// The network belongs to a VPN service.
    NetVpn = "net-vpn", Network;
    /// The address is a public or residential proxy.
    NetProxy = "net-proxy", Network;
    /// The network is listed for abuse.
    NetAbuser = "net-abuser", Network;
    /// The network is a crawler's. Raised only on routes whose filter for the class says so.
    NetCrawler = "net-crawler", Network;
    /// The client says that it is a crawler which is known by the names of its addresses, and this address has none.
    CrawlerForged = "crawler-forged", Network;
    /// The network is reached by satellite. Raised only on routes whose filter for the class says so.
    NetSatellite = "net-satellite", Network;
    /// The network is a phone carrier's. Raised only on routes whose filter for the class says so.
    NetMobile = "net-mobile", Network;
    /// The address asks more often than people do on a route of this sensitivity.
    VelocityIp = "velocity-ip", Velocity;
    /// The prefix asks more often than its people would.
    VelocityPrefix = "velocity-prefix", Velocity;
    /// A level of a limit whose action is to score is exceeded.
    LimitExceeded = "limit-exceeded", Velocity;
    /// Most of what the address tries fails at the origin.
    OutcomeFailures = "outcome-failures", Outcomes;
    /// A run of failures, of the client or of those like it, ended in a success: a password was found.
    StuffingSuccess = "stuffing-success", Outcomes;
    /// One address names many users, and most of them fail: one password is tried on all.
    DistinctUsers = "distinct-users", Spread;
    /// One user, API key, session or token is used from many networks: it is shared, or was stolen.
    DistinctNetworks = "distinct-networks", Spread;
    /// One address goes through many paths, through paths that are not there, or from one identifier to the next.
    Enumeration = "enumeration", Spread;
    /// Those like the client (the same handshake, order of fields and system) suddenly ask far more, or fail far more,
    /// than they and the route did before. Honest people may be among them.
    CohortSurge = "cohort-surge", Cohort;
    /// Those like the client suddenly ask far more, from many networks, and none of it fails. That is success to a shop
    /// and an attack where success is the harm: accounts made, codes sent, things put aside.
    CohortGrowth = "cohort-growth", Cohort;
    /// The route is under attack, and nobody who looks like the client was there before. Raised in that posture only.
    CohortUnknown = "cohort-unknown", Cohort;
    /// The client was blocked, failed challenges or was reported before.
    Reputation = "reputation", Reputation;
    /// The client sent a header that only the gateway may write.
    VerdictForged = "verdict-forged", Tampering;
}

/// The number of signals in the closed list.
const COUNT: usize = SignalId::ALL.len();

impl SignalId {
    /// Where the signal stands in [`SignalId::ALL`].
    pub const fn ordinal(self) -> u8 {
        self as u8
    }

    const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not in the closed list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownSignal;

impl FromStr for SignalId {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|signal| signal.name() == text).ok_or(UnknownSignal)
    }
}

/// The strength of every signal for one request; those that are absent are [`Strength::NONE`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Signals {
    strengths: [Strength; COUNT],
    present: u64,
}

const _: () = assert!(COUNT <= 64, "the presence mask holds 64 signals");

impl Default for Signals {
    fn default() -> Self {
        Self { strengths: [Strength::NONE; COUNT], present: 0 }
    }
}

impl Signals {
    /// Raises a signal to `strength`; a signal that is stronger already stays.
    pub fn raise(&mut self, signal: SignalId, strength: Strength) {
        if let Some(slot) = self.strengths.get_mut(signal.index())
            && strength > *slot
        {
            *slot = strength;
            self.present |= 1 << signal.index();
        }
    }

    /// Raises every signal of `other` to its strength there.
    pub fn raise_all(&mut self, other: &Self) {
        for (signal, strength) in other.iter() {
            self.raise(signal, strength);
        }
    }

    /// The strength of one signal.
    pub fn strength(&self, signal: SignalId) -> Strength {
        self.strengths.get(signal.index()).copied().unwrap_or(Strength::NONE)
    }

    /// The signals that are present, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = (SignalId, Strength)> + '_ {
        let mut left = self.present;
        std::iter::from_fn(move || {
            let index = usize::try_from(left.trailing_zeros()).ok()?;
            let signal = *SignalId::ALL.get(index)?;
            left &= left - 1;
            Some((signal, self.strength(signal)))
        })
    }

    /// Whether no signal is present.
    pub const fn is_empty(&self) -> bool {
        self.present == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_signal() {
        for signal in SignalId::ALL {
            assert_eq!(signal.name().parse(), Ok(*signal));
            assert!(
                signal.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            );
        }
        assert_eq!("ua-nothing".parse::<SignalId>(), Err(UnknownSignal));
    }

    #[test]
    fn a_signal_is_raised_and_never_lowered() {
        let mut signals = Signals::default();
        assert!(signals.is_empty());
        signals.raise(SignalId::UaTool, Strength::thousandths(500));
        signals.raise(SignalId::UaTool, Strength::thousandths(300));
        signals.raise(SignalId::VerdictForged, Strength::FULL);
        signals.raise(SignalId::NetTor, Strength::NONE);
        let seen: Vec<_> = signals.iter().collect();
        assert_eq!(seen, [(SignalId::UaTool, Strength::thousandths(500)), (SignalId::VerdictForged, Strength::FULL)]);
    }
}
