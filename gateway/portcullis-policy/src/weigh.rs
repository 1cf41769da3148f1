//! Signals to a score, and each signal's share of it.
//!
//! ```text
//! contribution = weight × strength                      of each signal
//! group        = min(1 − Π(1 − contribution), cap)      of each group; TLS and HTTP/2 have one more cap together
//! raw          = 1 − Π(1 − group)
//! score        = raw × (1 − clearance) × (1 − history × strength)
//! ```
//!
//! All of it is integer arithmetic in billionths, so that every machine finds the same. A product of doubts is
//! rounded down, hence a risk up, by less than 27 billionths in all; the score is then rounded to thousandths,
//! a half upwards. Signals are taken in the order of the closed list, whatever order they were raised in.

use portcullis_signals::{Clearance, Group, SignalId, Signals, Strength};
use smallvec::SmallVec;

use crate::Score;
use crate::decision::Reason;
use crate::model::Weights;

/// Certainty, in billionths.
const ONE: u64 = 1_000_000_000;

/// One thousandth, in billionths.
const THOUSANDTH: u64 = ONE / 1000;

const SIGNALS: usize = SignalId::ALL.len();
const GROUPS: usize = Group::ALL.len();

/// The weights of a route in the form in which they are read on every request.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// By signal, in thousandths.
    weights: [u16; SIGNALS],
    /// The signals in monitor, with the weight that each would have.
    watched: Box<[(SignalId, u16)]>,
    /// By group, in billionths.
    caps: [u64; GROUPS],
    connection_cap: u64,
    /// What a clearance takes off, in thousandths.
    clearance: u16,
    /// What a full history takes off, in thousandths.
    history: u16,
}

/// What the client has earned.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Credit {
    pub(crate) clearance: Option<Clearance>,
    pub(crate) history: Strength,
}

/// A score with its reasons.
#[derive(Debug, Default)]
pub(crate) struct Weighed {
    pub(crate) raw: Score,
    pub(crate) score: Score,
    pub(crate) reasons: SmallVec<[Reason; 6]>,
}

/// What one signal brought, before the points are dealt out.
#[derive(Clone, Copy)]
struct Share {
    signal: SignalId,
    strength: Strength,
    /// In billionths.
    contribution: u64,
    /// In thousandths.
    points: u16,
    /// What the points leave over, in millionths of a thousandth.
    remainder: u64,
}

type Shares = SmallVec<[Share; SIGNALS]>;

impl Scale {
    /// Takes over the weights of a route. A weight that is missing is none, a cap that is missing does not cap.
    pub(crate) fn of(weights: &Weights) -> Self {
        let mut scale = Self {
            weights: [0; SIGNALS],
            watched: weights.monitored.iter().map(|signal| (*signal, weights.of(*signal).as_thousandths())).collect(),
            caps: [ONE; GROUPS],
            connection_cap: u64::from(weights.connection_cap.as_thousandths()) * THOUSANDTH,
            clearance: weights.clearance_credit.as_thousandths(),
            history: weights.history_credit.as_thousandths(),
        };
        for (slot, weight) in scale.weights.iter_mut().zip(&weights.signals) {
            *slot = weight.as_thousandths();
        }
        for signal in &weights.monitored {
            if let Some(slot) = scale.weights.get_mut(signal_place(*signal)) {
                *slot = 0;
            }
        }
        for (slot, cap) in scale.caps.iter_mut().zip(&weights.caps) {
            *slot = u64::from(cap.as_thousandths()) * THOUSANDTH;
        }
        scale
    }

    /// Adds up the signals of one request.
    pub(crate) fn weigh(&self, signals: &Signals, credit: Credit) -> Weighed {
        let mut shares = Shares::new();
        let mut doubts = [ONE; GROUPS];
        let mut sums = [0; GROUPS];
        for (signal, strength) in signals.iter() {
            let contribution = self.contribution(signal, strength);
            let group = group_place(signal.group());
            let (Some(doubt), Some(sum)) = (doubts.get_mut(group), sums.get_mut(group)) else { continue };
            if contribution > 0 {
                *doubt = times(*doubt, ONE - contribution);
                *sum += contribution;
                shares.push(Share { signal, strength, contribution, points: 0, remainder: 0 });
            }
        }
        let mut values = [0; GROUPS];
        for ((value, group_doubt), cap) in values.iter_mut().zip(doubts).zip(self.caps) {
            *value = (ONE - group_doubt).min(cap);
        }
        let raw = self.joined(&values);
        let clearance = credit.clearance.map_or(0, |_| u64::from(self.clearance));
        let history = u64::from(self.history) * u64::from(credit.history.as_thousandths()) / 1000;
        let kept = raw * (1000 - clearance) / 1000 * (1000 - history) / 1000;
        let score = round(kept);
        deal_out(score, &mut shares, &values, &sums);
        Weighed { raw: round(raw), score, reasons: reasons(&shares, &values) }
    }

    /// The signals in monitor that are present, each with the score that there would be if it counted.
    pub(crate) fn watched(&self, signals: &Signals, credit: Credit) -> impl Iterator<Item = (SignalId, Score)> {
        self.watched.iter().filter(|(signal, _)| signals.strength(*signal) > Strength::NONE).map(
            move |(signal, weight)| {
                let mut scale = self.clone();
                if let Some(slot) = scale.weights.get_mut(signal_place(*signal)) {
                    *slot = *weight;
                }
                (*signal, scale.weigh(signals, credit).score)
            },
        )
    }

    /// The score of what the groups give: that of TLS and HTTP/2 under their common cap.
    fn joined(&self, values: &[u64; GROUPS]) -> u64 {
        let [mut doubt, mut connection, mut most] = [ONE, ONE, self.connection_cap];
        for (group, value) in Group::ALL.into_iter().zip(values) {
            if matches!(group, Group::Tls | Group::Http2) {
                connection = times(connection, ONE - value);
                most = most.max(*value);
            } else {
                doubt = times(doubt, ONE - value);
            }
        }
        ONE - times(doubt, connection.max(ONE - most))
    }

    /// What a signal of this strength brings into its group, in billionths.
    fn contribution(&self, signal: SignalId, strength: Strength) -> u64 {
        let weight = self.weights.get(signal_place(signal)).copied().unwrap_or(0);
        // Thousandths by thousandths are millionths: exact.
        u64::from(weight) * u64::from(strength.as_thousandths()) * 1000
    }
}

/// The place of a signal in [`SignalId::ALL`].
pub(crate) const fn signal_place(signal: SignalId) -> usize {
    signal as usize
}

/// The place of a group in [`Group::ALL`].
pub(crate) const fn group_place(group: Group) -> usize {
    group as usize
}

/// The product of two shares of [`ONE`], rounded down. Both are at most `ONE`, so the product fits.
const fn times(one: u64, other: u64) -> u64 {
    one * other / ONE
}

/// Billionths to thousandths, a half upwards.
fn round(billionths: u64) -> Score {
    Score::thousandths(u16::try_from((billionths + THOUSANDTH / 2) / THOUSANDTH).unwrap_or(u16::MAX))
}

/// Deals the score out to the signals: to groups by their values, within a group by contributions.
///
/// What rounding down leaves over goes to the largest remainders, so the points add up to the score.
fn deal_out(score: Score, shares: &mut Shares, values: &[u64; GROUPS], sums: &[u64; GROUPS]) {
    let total: u64 = values.iter().sum();
    if total == 0 || score == Score::ZERO {
        return;
    }
    // INVARIANT: at most ONE by at most ONE stays below 2^64.
    let whole = u64::from(score.as_thousandths()) * THOUSANDTH;
    let mut left = score.as_thousandths();
    for share in shares.iter_mut() {
        let group = group_place(share.signal.group());
        let (Some(value), Some(sum)) = (values.get(group), sums.get(group)) else { continue };
        let part = whole * value / total * share.contribution / (*sum).max(1);
        share.points = u16::try_from(part / THOUSANDTH).unwrap_or(0);
        share.remainder = part % THOUSANDTH;
        left = left.saturating_sub(share.points);
    }
    while left > 0 {
        let Some(next) = shares.iter_mut().max_by_key(|share| (share.remainder, share.contribution)) else { return };
        next.points += 1;
        next.remainder = 0;
        left -= 1;
    }
}

/// The signals of groups that count for something, most points first, then in the order of the list.
fn reasons(shares: &Shares, values: &[u64; GROUPS]) -> SmallVec<[Reason; 6]> {
    let counts = |share: &&Share| values.get(group_place(share.signal.group())).is_some_and(|value| *value > 0);
    let mut reasons: SmallVec<[Reason; 6]> = shares
        .iter()
        .filter(counts)
        .map(|share| Reason {
            signal: share.signal,
            strength: share.strength,
            points: Score::thousandths(share.points),
        })
        .collect();
    reasons.sort_by(|one, other| other.points.cmp(&one.points).then(one.signal.cmp(&other.signal)));
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLEARED: Credit = Credit { clearance: Some(Clearance::ProofOfWork), history: Strength::NONE };

    fn weights(signals: &[(SignalId, u16)], caps: &[(Group, u16)], credit: u16) -> Weights {
        let mut weights = Weights {
            signals: vec![Score::ZERO; SIGNALS],
            caps: vec![Score::ONE; GROUPS],
            connection_cap: Score::ONE,
            clearance_credit: Score::thousandths(credit),
            monitored: Vec::new(),
            history_credit: Score::thousandths(credit / 2),
        };
        for (signal, weight) in signals {
            weights.signals[signal_place(*signal)] = Score::thousandths(*weight);
        }
        for (group, cap) in caps {
            weights.caps[group_place(*group)] = Score::thousandths(*cap);
        }
        weights
    }

    fn signals(raised: &[(SignalId, u32)]) -> Signals {
        let mut signals = Signals::default();
        for (signal, strength) in raised {
            signals.raise(*signal, Strength::thousandths(*strength));
        }
        signals
    }

    #[test]
    fn every_signal_and_group_stands_at_its_place() {
        for (place, signal) in SignalId::ALL.iter().enumerate() {
            assert_eq!(signal_place(*signal), place);
        }
        for (place, group) in Group::ALL.iter().enumerate() {
            assert_eq!(group_place(*group), place);
        }
    }

    #[test]
    fn a_score_is_what_the_formula_says() {
        use SignalId::{AsnHosting, NetTor, NetVpn, UaTool, VelocityIp};
        let scale = Scale::of(&weights(
            &[(UaTool, 400), (AsnHosting, 250), (NetTor, 500), (NetVpn, 500), (VelocityIp, 1000)],
            &[(Group::Network, 600)],
            500,
        ));
        for (raised, raw, cleared) in [
            (&[][..], 0, 0),
            (&[(UaTool, 1000)], 400, 200),
            (&[(UaTool, 500)], 200, 100),
            (&[(UaTool, 1)], 0, 0),
            (&[(UaTool, 2)], 1, 0),
            // 1 − 0.6 × 0.75
            (&[(UaTool, 1000), (AsnHosting, 1000)], 550, 275),
            // 1 − 0.5 × 0.5 is capped at 0.6
            (&[(NetTor, 1000), (NetVpn, 1000)], 600, 300),
            (&[(NetTor, 1000), (NetVpn, 1000), (UaTool, 1000)], 760, 380),
            (&[(VelocityIp, 1000), (UaTool, 1000)], 1000, 500),
            // Nothing is said about a signal that weighs nothing.
            (&[(SignalId::VerdictForged, 1000)], 0, 0),
        ] {
            let signals = signals(raised);
            let weighed = scale.weigh(&signals, Credit::default());
            assert_eq!(weighed.raw, Score::thousandths(raw), "{raised:?}");
            assert_eq!(weighed.score, weighed.raw, "{raised:?}");
            let weighed = scale.weigh(&signals, CLEARED);
            assert_eq!(
                (weighed.raw, weighed.score),
                (Score::thousandths(raw), Score::thousandths(cleared)),
                "{raised:?}"
            );
        }
    }

    #[test]
    fn points_are_dealt_out_by_group_and_then_by_contribution() {
        use SignalId::{AsnHosting, NetTor, UaTool};
        let scale =
            Scale::of(&weights(&[(UaTool, 400), (AsnHosting, 100), (NetTor, 300)], &[(Group::Network, 200)], 0));
        let weighed = scale.weigh(&signals(&[(AsnHosting, 1000), (NetTor, 1000), (UaTool, 1000)]), Credit::default());
        // 1 − 0.6 × 0.8 = 0.52: two thirds to the claim, one to the network, of which three quarters to Tor.
        assert_eq!(weighed.score, Score::thousandths(520));
        let points: Vec<_> =
            weighed.reasons.iter().map(|reason| (reason.signal, reason.points.as_thousandths())).collect();
        assert_eq!(points, [(UaTool, 347), (NetTor, 130), (AsnHosting, 43)]);
    }

    #[test]
    fn tls_and_http2_together_reach_their_common_cap_and_either_alone_its_own() {
        use SignalId::{HeaderEncoding, Http2Settings, TlsGrease, TlsUaMismatch};

        let capped = Weights {
            connection_cap: Score::thousandths(450),
            ..weights(&[(TlsGrease, 360), (TlsUaMismatch, 600), (Http2Settings, 360), (HeaderEncoding, 250)], &[], 0)
        };
        for (raised, score) in [
            (&[TlsGrease][..], 360),
            (&[TlsGrease, Http2Settings], 450),
            (&[TlsUaMismatch, Http2Settings], 600),
            (&[TlsGrease, Http2Settings, HeaderEncoding], 588),
        ] {
            let mut signals = Signals::default();
            raised.iter().for_each(|signal| signals.raise(*signal, Strength::FULL));
            let weighed = Scale::of(&capped).weigh(&signals, Credit::default());
            assert_eq!(weighed.score, Score::thousandths(score), "{raised:?}");
        }
    }

    fn any_weights() -> impl Strategy<Value = Weights> {
        let scores = |count| proptest::collection::vec((0_u16..=1000).prop_map(Score::thousandths), count);
        (scores(SIGNALS), scores(GROUPS), 0_u16..=1000).prop_map(|(signals, caps, credit)| Weights {
            signals,
            caps,
            connection_cap: Score::ONE,
            clearance_credit: Score::thousandths(credit),
            monitored: Vec::new(),
            history_credit: Score::thousandths(credit / 2),
        })
    }

    fn any_raised() -> impl Strategy<Value = Vec<(SignalId, u32)>> {
        proptest::collection::vec((proptest::sample::select(SignalId::ALL), 0_u32..=1000), 0..=SIGNALS)
    }

    proptest! {
        #[test]
        fn a_score_never_falls_when_a_signal_rises(
            weights in any_weights(), raised in any_raised(),
            more in proptest::sample::select(SignalId::ALL), strength in 0_u32..=1000,
        ) {
            let scale = Scale::of(&weights);
            let before = signals(&raised);
            let mut after = before;
            after.raise(more, Strength::thousandths(strength));
            for credit in [Credit::default(), CLEARED, Credit { history: Strength::FULL, ..CLEARED }] {
                let (before, after) = (scale.weigh(&before, credit), scale.weigh(&after, credit));
                prop_assert!(before.score <= after.score);
                prop_assert!(before.raw <= after.raw);
            }
        }

        #[test]
        fn a_score_stays_within_bounds_and_its_points_add_up(weights in any_weights(), raised in any_raised()) {
            let scale = Scale::of(&weights);
            for credit in [Credit::default(), CLEARED, Credit { history: Strength::FULL, ..CLEARED }] {
                let weighed = scale.weigh(&signals(&raised), credit);
                prop_assert!(weighed.score <= weighed.raw && weighed.raw <= Score::ONE);
                let points: u16 = weighed.reasons.iter().map(|reason| reason.points.as_thousandths()).sum();
                prop_assert_eq!(points, weighed.score.as_thousandths());
                prop_assert!(weighed.reasons.is_sorted_by(|one, other| one.points >= other.points));
            }
        }

        #[test]
        fn the_order_in_which_signals_are_raised_does_not_matter(weights in any_weights(), raised in any_raised()) {
            let scale = Scale::of(&weights);
            let mut turned = raised.clone();
            turned.reverse();
            let (one, other) = (scale.weigh(&signals(&raised), Credit::default()), scale.weigh(&signals(&turned), Credit::default()));
            prop_assert_eq!(one.score, other.score);
            prop_assert_eq!(one.reasons, other.reasons);
        }

        #[test]
        fn one_signal_alone_gives_its_weight(weights in any_weights(), signal in proptest::sample::select(SignalId::ALL)) {
            let weight = weights.signals[signal_place(signal)].min(weights.caps[group_place(signal.group())]);
            prop_assert_eq!(Scale::of(&weights).weigh(&signals(&[(signal, 1000)]), Credit::default()).score, weight);
        }
    }
}
