//! What holds where a rules file says nothing: presets, shipped weights, and what is usual on a route.

use std::time::Duration;

use portcullis_intel::NetworkClass;
use portcullis_signals::{Expectation, ExpectedClients, Group, SignalId, UsualConduct};

use crate::model::{Puzzle, Sensitivity, Thresholds, Weights};
use crate::score::Score;

/// Thresholds and puzzle together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Preset {
    /// Acts on what is almost certain.
    Relaxed,
    /// For most routes.
    #[default]
    Balanced,
    /// Acts on a doubt; for routes where one mistake is dear.
    Strict,
}

impl Preset {
    /// Every preset, by its name in a rules file.
    pub(crate) const NAMED: [(&'static str, Self); 3] =
        [("relaxed", Self::Relaxed), ("balanced", Self::Balanced), ("strict", Self::Strict)];

    /// The name in a rules file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Balanced => "balanced",
            Self::Strict => "strict",
        }
    }

    /// The scores at which it acts.
    ///
    /// Every passive group is capped below the lowest `block`, so what a client is never blocks it by one kind of
    /// evidence; and all passive groups together stay below the lowest `ban`, so only what a client does bans it.
    pub(crate) const fn thresholds(self) -> Thresholds {
        let (throttle, challenge, block, ban) = match self {
            // No throttle: what is below a challenge there is not to be noticed at all.
            Self::Relaxed => (None, 500, 800, 990),
            Self::Balanced => (Some(Score::thousandths(300)), 350, 600, 970),
            Self::Strict => (Some(Score::thousandths(150)), 200, 400, 970),
        };
        Thresholds {
            throttle,
            challenge: Some(Score::thousandths(challenge)),
            block: Some(Score::thousandths(block)),
            ban: Some(Score::thousandths(ban)),
        }
    }

    /// How hard its puzzles are.
    pub(crate) const fn puzzle(self) -> Puzzle {
        match self {
            Self::Relaxed => Puzzle { difficulty_bits: 12, count: 60 },
            Self::Balanced => Puzzle { difficulty_bits: 16, count: 80 },
            Self::Strict => Puzzle { difficulty_bits: 20, count: 120 },
        }
    }
}

/// Which classes of network are blocked together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Profile {
    /// For what people use at home, at work and on the way.
    Consumer,
    /// For a shop: nobody hides there, and nobody copies it.
    ECommerce,
    /// For money: who asks is known, and asks from where people are.
    Financial,
}

impl Profile {
    /// Every profile, by its name in a rules file.
    pub(crate) const NAMED: [(&'static str, Self); 3] =
        [("consumer", Self::Consumer), ("e-commerce", Self::ECommerce), ("financial", Self::Financial)];

    /// The classes that it blocks; the others are as shipped.
    pub(crate) const fn blocks(self) -> &'static [NetworkClass] {
        use NetworkClass::{Abuser, Crawler, Datacenter, Proxy, Tor, Vpn};
        match self {
            Self::Consumer => &[Abuser],
            Self::ECommerce => &[Tor, Abuser, Crawler],
            Self::Financial => &[Tor, Vpn, Proxy, Datacenter, Abuser, Crawler],
        }
    }
}

/// What is usual on a route of this sensitivity.
///
/// Velocity says nothing up to these rates and everything at four times as much, and the failures of a client
/// count in full once it has had several times the prior's answers: the more sensitive, the sooner.
pub(crate) const fn expectation(sensitivity: Sensitivity) -> Expectation {
    let (address_per_minute, prefix_per_minute, prior_answers) = match sensitivity {
        Sensitivity::Low => (600, 6_000, 20),
        Sensitivity::Normal => (240, 2_400, 10),
        Sensitivity::High => (60, 600, 6),
        Sensitivity::Critical => (20, 200, 4),
    };
    // A person has a telephone, a home and a place of work; a family shares an account, a firm an API key.
    let (failed_users, networks, paths, missing_paths, sequence) = match sensitivity {
        Sensitivity::Low => (20, 16, 2_000, 60, 120),
        Sensitivity::Normal => (10, 8, 600, 30, 60),
        Sensitivity::High => (6, 6, 200, 20, 30),
        Sensitivity::Critical => (4, 4, 100, 10, 15),
    };
    let conduct = UsualConduct { failed_users, networks, paths, missing_paths, sequence };
    Expectation {
        address_per_minute,
        prefix_per_minute,
        prior_answers,
        clients: ExpectedClients::Any,
        networks: Expectation::NETWORKS,
        conduct,
    }
}

/// The shipped weight of a signal: the score that it alone gives at full strength.
pub(crate) const fn weight(signal: SignalId) -> Score {
    Score::thousandths(match signal {
        SignalId::UaEmpty => 350,
        SignalId::UaTool => 300,
        SignalId::UaScanner => 390,
        SignalId::UaAutomated => 350,
        SignalId::UaCrawler => 300,
        SignalId::ClientUnexpected => 380,
        SignalId::HeaderMissing => 360,
        SignalId::HeaderContradiction => 380,
        SignalId::HeaderOrder => 360,
        SignalId::HeaderEncoding => 250,
        SignalId::FetchMetadata => 390,
        SignalId::ClientHints => 360,
        SignalId::TlsUaMismatch => 360,
        SignalId::TlsGrease => 360,
        SignalId::TlsExtensions => 360,
        SignalId::TlsGroups => 300,
        SignalId::TlsAlpn => 300,
        SignalId::TlsOutdated => 250,
        SignalId::TlsOrderConstant => 360,
        SignalId::Http2NotOffered => 300,
        SignalId::Http2Settings => 360,
        SignalId::Http2PseudoOrder => 360,
        SignalId::Http2Priority => 250,
        SignalId::PostNoOrigin => 360,
        SignalId::JsonNavigation => 390,
        SignalId::RefererMissing => 100,
        SignalId::CookieNeverReturned => 200,
        SignalId::PageAlone => 150,
        SignalId::PrintChanged => 300,
        // As much as any one thing that a browser shows of itself: with another one it is a higher rung.
        SignalId::ScriptEvidence => 390,
        SignalId::FingerprintListed => 360,
        SignalId::AsnHosting => 250,
        SignalId::NetTor => 360,
        SignalId::NetVpn => 150,
        SignalId::NetProxy => 360,
        SignalId::NetAbuser => 380,
        SignalId::NetCrawler => 200,
        SignalId::CrawlerForged => 390,
        SignalId::NetSatellite => 150,
        SignalId::NetMobile => 100,
        SignalId::VelocityIp => 700,
        SignalId::VelocityPrefix => 450,
        SignalId::LimitExceeded => 400,
        SignalId::OutcomeFailures => 800,
        // A found password: what follows in that session is challenged on most routes, and blocked on a strict one.
        SignalId::StuffingSuccess => 590,
        SignalId::DistinctUsers => 700,
        SignalId::DistinctNetworks => 390,
        SignalId::Enumeration => 590,
        // Those like an attacker may be honest: enough for a challenge, which they pass, and no more.
        SignalId::CohortSurge | SignalId::CohortUnknown => 390,
        // A hit looks like that, too. Routes where success is what is abused give it more.
        SignalId::CohortGrowth => 100,
        SignalId::Reputation => 390,
        SignalId::VerdictForged => 300,
    })
}

/// The shipped cap of a group: what it gives at most.
pub(crate) const fn cap(group: Group) -> Score {
    Score::thousandths(match group {
        // What inspects TLS on a person's way here renews both of these: together they stay below a balanced block.
        Group::Tls | Group::Http2 => 360,
        Group::Velocity | Group::Outcomes => 900,
        Group::Spread => 700,
        _ => 390,
    })
}

/// The shipped weights, caps and credit.
pub(crate) fn weights() -> Weights {
    Weights {
        signals: SignalId::ALL.iter().map(|signal| weight(*signal)).collect(),
        caps: Group::ALL.iter().map(|group| cap(*group)).collect(),
        connection_cap: CONNECTION_CAP,
        clearance_credit: CLEARANCE_CREDIT,
        monitored: Vec::new(),
        history_credit: HISTORY_CREDIT,
    }
}

/// What TLS and HTTP/2 give together: more than any `challenge`, and so little that with one more small oddity, as a
/// proxy that inspects TLS may bring along, it stays below a balanced `block`.
pub(crate) const CONNECTION_CAP: Score = Score::thousandths(450);

/// What a clearance takes off: half. A client that solved a puzzle and then misbehaves is still stopped.
pub(crate) const CLEARANCE_CREDIT: Score = Score::thousandths(500);

/// What a month of clean use in one network takes off: three tenths. It is less than a clearance, since a stolen session
/// in the same house has it too.
pub(crate) const HISTORY_CREDIT: Score = Score::thousandths(300);

/// What the throttle threshold allows an address, in requests a minute: a person reads, a program waits.
pub(crate) const THROTTLE_PER_MINUTE: u32 = 30;

/// How long a clearance lasts.
pub(crate) const CLEARANCE_TTL: Duration = Duration::from_secs(60 * 60);

/// The longest a clearance may last: it is bound to a client, and clients change hands.
pub(crate) const MAX_CLEARANCE_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a ban lasts.
pub(crate) const BAN_TTL: Duration = Duration::from_secs(60 * 60);

/// The longest a ban may last: addresses change hands; what is to be refused for good is a rule.
pub(crate) const MAX_BAN_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The largest request body: 10 MiB. An upload route names its own.
pub(crate) const MAX_BODY_BYTES: u64 = 10 * 1024 * 1024;

/// The share that a posture takes off the thresholds: elevated, then under attack.
///
/// Elevated still lets a program pass that is nothing but a program (`ua-tool` under a balanced challenge); under attack
/// asks it for a proof.
pub(crate) const TIGHTEN: [Score; 2] = [Score::thousandths(100), Score::thousandths(300)];

/// What a share does not lower `block` below: what one passive group gives at most never blocks alone.
pub(crate) const TIGHTENED_BLOCK: Score = Score::thousandths(400);

/// How much of a body is looked at for the fields that a route wants: 64 KiB. A login takes less than one.
pub(crate) const INSPECT_BODY_BYTES: u32 = 64 * 1024;

/// Answers of the origin that count as failed: credentials that were refused, and paths that are guessed.
pub(crate) const FAILURE_STATUS: [u16; 3] = [401, 403, 404];

/// The most leading zero bits of a puzzle's part: one part of 24 bits takes a telephone most of a minute.
pub(crate) const MAX_DIFFICULTY_BITS: u8 = 24;

/// The most parts of a puzzle; checking costs the gateway one hash a part.
pub(crate) const MAX_PUZZLE_COUNT: u16 = 256;

/// The most work of a puzzle, in hashes: two minutes for a good laptop. More is a refusal that does not say so.
pub(crate) const MAX_PUZZLE_HASHES: u64 = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy_or(parts: impl Iterator<Item = f64>) -> f64 {
        1.0 - parts.map(|part| 1.0 - part).product::<f64>()
    }

    fn share(score: Score) -> f64 {
        f64::from(score.as_thousandths()) / 1000.0
    }

    fn group_at_most(group: Group) -> f64 {
        let members = SignalId::ALL.iter().filter(|signal| signal.group() == group);
        noisy_or(members.map(|signal| share(weight(*signal)))).min(share(cap(group)))
    }

    #[test]
    fn no_single_passive_group_blocks_alone_in_a_shipped_preset() {
        for (name, preset) in Preset::NAMED {
            let block = share(preset.thresholds().block.unwrap());
            for group in Group::ALL.into_iter().filter(|group| group.is_passive()) {
                assert!(group_at_most(group) < block, "{} blocks alone in {name}", group.name());
            }
        }
    }

    #[test]
    fn neither_what_others_do_nor_what_was_done_before_blocks_alone() {
        for (name, preset) in Preset::NAMED {
            let block = share(preset.thresholds().block.unwrap());
            for group in [Group::Cohort, Group::Reputation] {
                assert!(group_at_most(group) < block, "{} in {name}", group.name());
            }
        }
    }

    #[test]
    fn all_passive_groups_together_ban_in_no_shipped_preset() {
        let together = noisy_or(Group::ALL.into_iter().filter(|group| group.is_passive()).map(group_at_most));
        for (name, preset) in Preset::NAMED {
            assert!(together < share(preset.thresholds().ban.unwrap()), "{together} bans in {name}");
        }
    }

    #[test]
    fn what_a_client_does_can_be_banned_in_every_preset_together_with_what_it_is() {
        let together = noisy_or(Group::ALL.into_iter().map(group_at_most));
        for (name, preset) in Preset::NAMED {
            assert!(together >= share(preset.thresholds().ban.unwrap()), "{together} never bans in {name}");
        }
    }

    #[test]
    fn thresholds_rise_in_every_preset() {
        for (name, preset) in Preset::NAMED {
            let thresholds = preset.thresholds();
            let present: Vec<_> = [thresholds.throttle, thresholds.challenge, thresholds.block, thresholds.ban]
                .into_iter()
                .flatten()
                .collect();
            assert!(present.is_sorted_by(|low, high| low < high), "{name}");
        }
    }

    #[test]
    fn every_weight_can_be_reached_under_its_cap() {
        for signal in SignalId::ALL {
            assert!(weight(*signal) <= cap(signal.group()), "{signal}");
        }
    }
}
