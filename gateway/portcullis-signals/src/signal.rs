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
        #[expect(clippy::as_conversions, reason = "a value below 1000 fits, and `try_from` is not const")]
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
    /// Fingerprints and other values on a list.
    Lists,
    /// The network that it comes from.
    Network,
    /// How much it asks.
    Velocity,
    /// How often the origin said no.
    Outcomes,
    /// Attempts to speak for the gateway.
    Tampering,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 8] = [
        Self::Claim,
        Self::Headers,
        Self::Tls,
        Self::Lists,
        Self::Network,
        Self::Velocity,
        Self::Outcomes,
        Self::Tampering,
    ];

    /// The stable name, as policies write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Headers => "headers",
            Self::Tls => "tls",
            Self::Lists => "lists",
            Self::Network => "network",
            Self::Velocity => "velocity",
            Self::Outcomes => "outcomes",
            Self::Tampering => "tampering",
        }
    }

    /// Whether the group judges what a client is rather than what it does.
    ///
    /// No passive group blocks alone in the shipped presets.
    pub const fn is_passive(self) -> bool {
        !matches!(self, Self::Velocity | Self::Outcomes)
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
    /// No User-Agent, or an empty one.
    UaEmpty = "ua-empty", Claim;
    /// The User-Agent is that of a command-line client or a library.
    UaTool = "ua-tool", Claim;
    /// The User-Agent is that of a scanner, brute-force or load tool.
    UaScanner = "ua-scanner", Claim;
    /// The User-Agent says that the browser is automated.
    UaAutomated = "ua-automated", Claim;
    /// The User-Agent is that of a crawler, and the network does not prove it.
    UaCrawler = "ua-crawler", Claim;
    /// Header fields that the claimed browser always sends are missing.
    HeaderMissing = "header-missing", Headers;
    /// Header fields say something that the claimed browser cannot say.
    HeaderContradiction = "header-contradiction", Headers;
    /// The ClientHello is not one that the claimed browser sends.
    TlsUaMismatch = "tls-ua-mismatch", Tls;
    /// The client claims a current browser and speaks an outdated TLS.
    TlsOutdated = "tls-outdated", Tls;
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
    /// The address asks more often than people do on a route of this sensitivity.
    VelocityIp = "velocity-ip", Velocity;
    /// The prefix asks more often than its people would.
    VelocityPrefix = "velocity-prefix", Velocity;
    /// Most of what the address tries fails at the origin.
    OutcomeFailures = "outcome-failures", Outcomes;
    /// The client sent a header that only the gateway may write.
    VerdictForged = "verdict-forged", Tampering;
}

/// The number of signals in the closed list.
const COUNT: usize = SignalId::ALL.len();

impl SignalId {
    /// Where the signal stands in [`SignalId::ALL`].
    pub const fn ordinal(self) -> u8 {
        #[expect(clippy::as_conversions, reason = "the discriminant of a fieldless enum of one byte")]
        {
            self as u8
        }
    }

    const fn index(self) -> usize {
        #[expect(clippy::as_conversions, reason = "the discriminant of a fieldless enum")]
        {
            self as usize
        }
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
    present: u32,
}

const _: () = assert!(COUNT <= 32, "the presence mask holds 32 signals");

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
            assert!(signal.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
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
