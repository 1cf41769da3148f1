//! Layers of a route's values: shipped, then `[defaults]`, then the route itself.

use portcullis_intel::{ClassSet, NetworkClass};
use portcullis_signals::{Expectation, ExpectedClients, Group, Posture, SignalId};

use super::places::Places;
use super::presets::{Known, Presets};
use crate::decide::CLASS_ORDER;
use crate::diagnostics::{Diagnostic, Diagnostics, Span, quote};
use crate::model::{
    Action, Clients, Failure, Filter, Identify, Mode, Print, Puzzle, Sensitivity, Thresholds, Tightened, TokenPlace,
    Weights,
};
use crate::presets;
use crate::score::Score;
use crate::written::{Located, RouteTable, RouteValues, THRESHOLDS, Toggle, Weighing, WrittenPlace};

/// Where the values of one route come from.
#[derive(Clone, Copy)]
pub(super) struct Layers<'a> {
    pub(super) defaults: &'a RouteValues,
    /// None for the catch-all.
    pub(super) route: Option<&'a RouteTable>,
    /// `[weights]`, `[caps]` and `[credit]`, which lie below `[defaults]`.
    pub(super) weighing: &'a Weighing,
    /// Every preset, the operator's among them.
    pub(super) presets: &'a Presets,
}

impl<'a> Layers<'a> {
    /// The value of the highest layer that has one.
    pub(super) fn pick<T>(&self, value: impl Fn(&'a RouteValues) -> Option<&'a T>) -> Option<&'a T> {
        self.route.and_then(|route| value(&route.values)).or_else(|| value(self.defaults))
    }

    /// The layers from the lowest, `[defaults]`, to the highest.
    pub(super) fn rising(&self) -> impl Iterator<Item = &'a RouteValues> {
        std::iter::once(self.defaults).chain(self.route.map(|route| &route.values))
    }

    /// The layers that lie above the preset. A route that names its preset starts afresh from it, so what
    /// `[defaults]` says about another preset's numbers does not apply.
    fn above_preset(&self) -> impl Iterator<Item = &'a RouteValues> {
        let fresh = self.route.is_some_and(|route| route.values.preset.is_some());
        self.rising().skip(usize::from(fresh))
    }

    pub(super) fn preset(&self) -> &'a Known {
        self.presets.known(self.pick(|values| values.preset.as_ref()).map(|preset| &*preset.value))
    }

    pub(super) fn sensitivity(&self) -> Sensitivity {
        self.pick(|values| values.sensitivity.as_ref()).map(|level| level.value).unwrap_or_default()
    }

    /// The thresholds; reports those that do not rise.
    pub(super) fn thresholds(&self, name: &str, out: &mut Diagnostics) -> Thresholds {
        let preset = self.preset();
        let mut stages = preset.thresholds.map(|(score, _)| (score, None));
        for layer in self.above_preset() {
            for (stage, written) in stages.iter_mut().zip(&layer.thresholds) {
                if let Some(written) = written {
                    *stage = (written.value, Some(written.span));
                }
            }
        }
        // A preset by itself rises: that was looked at where it stands.
        let own = self.route.map_or(self.defaults, |route| &route.values);
        if own.thresholds.iter().any(Option::is_some) {
            let who = if self.route.is_some() { format!("route {}", quote(name)) } else { "`defaults`".to_owned() };
            check_rise(&who, &format!("the preset {}", quote(&preset.name)), &stages, out);
        }
        let [throttle, challenge, block, ban] = stages.map(|(score, _)| score);
        Thresholds { throttle, challenge, block, ban }
    }

    /// The thresholds in each posture that is not normal; reports those that loosen and those that do not rise.
    pub(super) fn tightened(&self, name: &str, normal: &Thresholds, out: &mut Diagnostics) -> Tightened {
        let [elevated, under_attack] =
            [Posture::Elevated, Posture::UnderAttack].map(|posture| self.thresholds_in(posture, name, normal, out));
        Tightened { elevated, under_attack }
    }

    fn thresholds_in(&self, posture: Posture, name: &str, normal: &Thresholds, out: &mut Diagnostics) -> Thresholds {
        let table = |values: &'a RouteValues| match posture {
            Posture::UnderAttack => values.posture.last(),
            Posture::Normal | Posture::Elevated => values.posture.first(),
        };
        let shipped = match posture {
            Posture::Normal => Score::ZERO,
            Posture::Elevated => presets::TIGHTEN[0],
            Posture::UnderAttack => presets::TIGHTEN[1],
        };
        let written = self.rising().filter_map(table).filter_map(|table| table.tighten).last();
        let by = written.map_or(shipped, |share| share.value);
        let normal = [normal.throttle, normal.challenge, normal.block, normal.ban];
        let [throttle, challenge, block, ban] = normal;
        let block = block.map(|block| lowered(block, by).max(block.min(presets::TIGHTENED_BLOCK)));
        let mut stages =
            [throttle.map(|score| lowered(score, by)), challenge.map(|score| lowered(score, by)), block, ban]
                .map(|score| (score, None));
        let who = if self.route.is_some() { format!("route {}", quote(name)) } else { "`defaults`".to_owned() };
        let who = format!("{who} in posture `{}`", posture.name());
        // The values of `[defaults]` are reported once, with those.
        let own = self.route.map_or(self.defaults, |route| &route.values);
        let mut is_own = false;
        for layer in self.above_preset() {
            let Some(table) = table(layer) else { continue };
            for (at, (stage, written)) in stages.iter_mut().zip(&table.thresholds).enumerate() {
                let Some(written) = written else { continue };
                let mine = std::ptr::eq(layer, own);
                is_own |= mine;
                let usual = normal.get(at).copied().flatten();
                // INVARIANT: a posture never loosens, whatever is written.
                if is_looser(written.value, usual) {
                    if mine {
                        out.push(looser(&who, at, usual, written.span));
                    }
                    continue;
                }
                *stage = (written.value, Some(written.span));
            }
        }
        // A throttle that nobody wrote gives way to a challenge that somebody did.
        let [throttle, challenge, ..] = &mut stages;
        if throttle.1.is_none() && challenge.1.is_some() && challenge.0 <= throttle.0 {
            throttle.0 = None;
        }
        if is_own {
            check_rise(&who, "the posture by itself", &stages, out);
        }
        let [throttle, challenge, block, ban] = stages.map(|(score, _)| score);
        Thresholds { throttle, challenge, block, ban }
    }

    /// The puzzle; reports one that asks for too much work.
    pub(super) fn puzzle(&self, out: &mut Diagnostics) -> Puzzle {
        let mut puzzle = self.preset().puzzle;
        let mut place = None;
        for layer in self.above_preset() {
            if let Some(bits) = layer.difficulty_bits {
                puzzle.difficulty_bits = bits.value;
                place = Some(bits.span);
            }
            if let Some(count) = layer.puzzle_count {
                puzzle.count = count.value;
                place = Some(count.span);
            }
        }
        let own = self.route.is_none_or(|route| {
            route.values.preset.is_some()
                || route.values.difficulty_bits.is_some()
                || route.values.puzzle_count.is_some()
        });
        if let Some(place) = place.filter(|_| own) {
            check_work(&puzzle, place, out);
        }
        puzzle
    }

    pub(super) fn expectation(&self) -> Expectation {
        let mut expectation = presets::expectation(self.sensitivity());
        if let Some(rate) = self.pick(|values| values.usual_per_address.as_ref()) {
            expectation.address_per_minute = rate.value;
        }
        if let Some(rate) = self.pick(|values| values.usual_per_prefix.as_ref()) {
            expectation.prefix_per_minute = rate.value;
        }
        let usual = &mut expectation.conduct;
        for (slot, written) in [
            (&mut usual.failed_users, self.pick(|values| values.usual_failed_users.as_ref())),
            (&mut usual.networks, self.pick(|values| values.usual_networks.as_ref())),
            (&mut usual.paths, self.pick(|values| values.usual_paths.as_ref())),
            (&mut usual.missing_paths, self.pick(|values| values.usual_missing_paths.as_ref())),
            (&mut usual.sequence, self.pick(|values| values.usual_sequence.as_ref())),
        ] {
            if let Some(count) = written {
                *slot = count.value;
            }
        }
        if self.pick(|values| values.clients.as_ref()).is_some_and(|clients| clients.value == Clients::Browser) {
            expectation.clients = ExpectedClients::Browsers;
        }
        expectation.networks = self.networks();
        expectation
    }

    pub(super) fn weights(&self) -> Weights {
        let mut weights = presets::weights();
        for layer in std::iter::once(self.weighing).chain(self.rising().map(|values| &values.weighing)) {
            for (signal, weight, mode) in &layer.signals {
                let at = SignalId::ALL.iter().position(|known| known == signal);
                set(&mut weights.signals, at, weight.value);
                weights.monitored.retain(|known| known != signal);
                if *mode == Mode::Monitor {
                    weights.monitored.push(*signal);
                }
            }
            for (group, cap) in &layer.caps {
                let at = Group::ALL.iter().position(|known| known == group);
                set(&mut weights.caps, at, cap.value);
            }
            if let Some(cap) = layer.connection_cap {
                weights.connection_cap = cap.value;
            }
            if let Some(credit) = layer.clearance {
                weights.clearance_credit = credit.value;
            }
            if let Some(credit) = layer.history {
                weights.history_credit = credit.value;
            }
        }
        weights
    }

    /// What is done with each class, in the order in which classes are consulted.
    pub(super) fn filters(&self) -> Vec<Filter> {
        self.toggles()
            .filter_map(|(class, toggle, mode)| match toggle {
                Toggle::Act(action) => Some(Filter { class, action, mode }),
                Toggle::Off | Toggle::Score => None,
            })
            .collect()
    }

    /// The classes that count for the score: the shipped ones, and what filters say.
    fn networks(&self) -> ClassSet {
        let mut networks = Expectation::NETWORKS;
        for (class, toggle, mode) in self.toggles() {
            match (toggle, mode) {
                // INVARIANT: a filter in monitor alters nothing, so neither does it alter the score.
                (_, Mode::Monitor) => {}
                (Toggle::Off, Mode::Enforce) => networks = networks.without(class),
                (Toggle::Score | Toggle::Act(_), Mode::Enforce) => networks.insert(class),
            }
        }
        networks
    }

    /// What is written or shipped about each class; of some nothing is.
    fn toggles(&self) -> impl Iterator<Item = (NetworkClass, Toggle, Mode)> {
        CLASS_ORDER.into_iter().filter_map(|class| {
            // A route that names a profile starts afresh from it, as one that names a preset does.
            let fresh = self.route.is_some_and(|route| route.values.profile.is_some());
            let layers = self.rising().skip(usize::from(fresh));
            let shipped = (class == NetworkClass::Abuser).then_some((Toggle::Act(Action::Block), Mode::Enforce));
            let toggle = layers.fold(shipped, |below, values| {
                let written = values.filters.iter().rev().find(|entry| entry.class == class);
                let profiled = values.profile.filter(|profile| profile.value.blocks().contains(&class));
                written
                    .map(|entry| (entry.toggle.value, entry.mode))
                    .or(profiled.map(|_| (Toggle::Act(Action::Block), Mode::Enforce)))
                    .or(below)
            });
            toggle.map(|(toggle, mode)| (class, toggle, mode))
        })
    }

    pub(super) fn failure(&self) -> Failure {
        let written = self.pick(|values| values.failure.as_ref());
        let mut status = written.map_or_else(|| presets::FAILURE_STATUS.to_vec(), |failure| failure.status.clone());
        status.sort_unstable();
        status.dedup();
        let header = written.map(|failure| failure.header.clone()).unwrap_or_default();
        let json = written.map(|failure| failure.json.clone()).unwrap_or_default();
        Failure { status, header, json }
    }

    pub(super) fn inspect_body_bytes(&self) -> u32 {
        self.pick(|values| values.inspect_body_bytes.as_ref()).map_or(presets::INSPECT_BODY_BYTES, |bytes| bytes.value)
    }

    /// The prints that the origin is told, each once; an empty list takes away what `[defaults]` says.
    pub(super) fn tell_origin(&self) -> Vec<Print> {
        let mut told = self.pick(|values| values.tell_origin.as_ref()).cloned().unwrap_or_default();
        told.sort_unstable();
        told.dedup();
        told
    }

    /// Where identities stand; what must be read of query, body and token for them goes into `places`.
    pub(super) fn identify(&self, places: &mut Places, out: &mut Diagnostics) -> Identify {
        let mut read = |value: fn(&RouteValues) -> Option<&Located<WrittenPlace>>| {
            self.pick(value).and_then(|place| places.place(&place.value, place.span, out))
        };
        let mut identify = Identify {
            user: read(|values| values.user.as_ref()),
            account: read(|values| values.account.as_ref()),
            api_key: read(|values| values.api_key.as_ref()),
            session: read(|values| values.session.as_ref()),
            device: read(|values| values.device.as_ref()),
            token: None,
        };
        identify.token = self.pick(|values| values.token.as_ref()).and_then(|token| {
            let place = places.place(&token.value, token.span, out)?;
            let id = places.claim(place.clone(), "/jti".parse().ok()?, token.span, out)?;
            Some(TokenPlace { place, id })
        });
        identify
    }
}

/// A score less a share of it.
fn lowered(score: Score, by: Score) -> Score {
    let kept = u32::from(score.as_thousandths()) * u32::from(1000 - by.as_thousandths()) / 1000;
    Score::thousandths(u16::try_from(kept).unwrap_or(score.as_thousandths()))
}

/// Whether a threshold is reached by less than the usual one; one that is off is never reached.
fn is_looser(written: Option<Score>, usual: Option<Score>) -> bool {
    match (written, usual) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(written), Some(usual)) => written > usual,
    }
}

fn looser(who: &str, at: usize, usual: Option<Score>, span: Span) -> Diagnostic {
    let usual = usual.unwrap_or(Score::ONE);
    let key = THRESHOLDS.get(at).copied().unwrap_or_default();
    Diagnostic::error(format!("{who} is milder than otherwise"))
        .at(span, format!("otherwise the route {} at {usual}", VERBS.get(at).copied().unwrap_or_default()))
        .help(format!("a posture only tightens: lower `{key}`, or take it out"))
}

fn set(scores: &mut [Score], at: Option<usize>, value: Score) {
    if let Some(score) = at.and_then(|at| scores.get_mut(at)) {
        *score = value;
    }
}

/// Reports a puzzle that asks for too much work; whether it does not.
pub(super) fn check_work(puzzle: &Puzzle, place: Span, out: &mut Diagnostics) -> bool {
    let hashes = u64::from(puzzle.count) << puzzle.difficulty_bits.min(40);
    if hashes <= presets::MAX_PUZZLE_HASHES {
        return true;
    }
    let (bits, count) = (puzzle.difficulty_bits, puzzle.count);
    out.push(
        Diagnostic::error("the puzzle is more work than a client can do")
            .at(place, format!("{count} parts of {bits} bits are {hashes} hashes"))
            .help(format!("keep to {} hashes: each bit less halves them", presets::MAX_PUZZLE_HASHES)),
    );
    false
}

/// Reports each threshold that is not above the one before it; whether there is none.
pub(super) fn check_rise(
    who: &str,
    below: &str,
    stages: &[(Option<Score>, Option<Span>); 4],
    out: &mut Diagnostics,
) -> bool {
    let mut rises = true;
    let present: Vec<_> =
        stages.iter().enumerate().filter_map(|(at, (score, span))| Some((at, (*score)?, *span))).collect();
    for pair in present.windows(2) {
        let [(low_at, low, low_span), (high_at, high, high_span)] = *pair else { continue };
        if low < high {
            continue;
        }
        rises = false;
        let verb = |at: usize| VERBS.get(at).copied().unwrap_or_default();
        let key = |at: usize| THRESHOLDS.get(at).copied().unwrap_or_default();
        let verdict = if low == high { "as soon as" } else { "before" };
        let mut fault = Diagnostic::error(format!("{who} {} {verdict} it {}", verb(high_at), verb(low_at)));
        let shipped = |at: usize, score: Score| format!("{below} {} at {score}", verb(at));
        fault = match (low_span, high_span) {
            (Some(low_span), Some(high_span)) => fault
                .at(high_span, format!("not above {low}"))
                .beside(low_span, format!("`{}` starts here", key(low_at))),
            (None, Some(high_span)) => fault.at(high_span, format!("not above {low}: {}", shipped(low_at, low))),
            (Some(low_span), None) => fault.at(low_span, format!("not below {high}: {}", shipped(high_at, high))),
            (None, None) => fault,
        };
        out.push(fault.help(format!("raise `{}`, or lower `{}`", key(high_at), key(low_at))));
    }
    rises
}

/// What each threshold does, in the order of [`THRESHOLDS`].
const VERBS: [&str; 4] = ["throttles", "challenges", "blocks", "bans"];
