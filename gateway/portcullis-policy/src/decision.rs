//! What was decided for one request, and why.

use portcullis_intel::NetworkClass;
use portcullis_signals::{Fault, Posture, SignalId, Strength};
use smallvec::SmallVec;

use crate::MachineFault;
use crate::model::{Action, Mode};
use crate::{RouteId, RuleId, Score};

/// What was decided for one request, with everything that explains it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// The route that answered.
    pub route: RouteId,
    /// What is done.
    pub action: Action,
    /// What the policy says; differs from `action` in monitor only.
    pub verdict: Action,
    /// Whether the route acts.
    pub mode: Mode,
    /// The score that met the thresholds: after the credit of a clearance. Zero, as `raw`, and without reasons where
    /// none was worked out: [`Decision::is_scored`].
    pub score: Score,
    /// The score before any credit.
    pub raw: Score,
    /// The signals that made the score, most points first.
    pub reasons: SmallVec<[Reason; 6]>,
    /// What the verdict rests on.
    pub cause: Cause,
    /// The stable public code of the verdict, `API.…`; empty where the verdict is `Allow`.
    pub code: &'static str,
    /// The rule that the verdict rests on.
    pub rule: Option<RuleId>,
    /// The limit that the verdict rests on, as an index into the route's limits.
    pub limit: Option<u16>,
    /// The level of that limit, as an index into all levels of the route: [`Route::levels`](crate::model::Route::levels).
    pub level: Option<u16>,
    /// How long the request waits before it goes on; only where the action is to allow it.
    pub delay: Option<Delay>,
    /// How the route fared, by which its thresholds were taken.
    pub posture: Posture,
    /// When it is worth asking again, in milliseconds; 0 where waiting does not help or the time is not known.
    pub retry_after_ms: u32,
    /// What would have acted, were it not in monitor, in the order of precedence.
    pub shadow: SmallVec<[Shadow; 2]>,
    /// What rules gave to the score beside the signals, in the order of the rules.
    pub lifts: SmallVec<[Lift; 1]>,
    /// The rules whose expression had no answer for the request, and which were left out.
    pub faults: SmallVec<[RuleFault; 1]>,
}

impl Decision {
    /// Takes back the verdict on a request for which none was asked: one of the gateway's own paths, which everybody
    /// may use who is not banned.
    pub fn set_aside(&mut self) {
        (self.action, self.verdict, self.cause, self.code) = (Action::Allow, Action::Allow, Cause::Clear, "");
        (self.rule, self.limit, self.level, self.retry_after_ms, self.delay) = (None, None, None, 0, None);
        self.shadow.clear();
        self.lifts.clear();
    }

    /// Turns the delay of a limit into its refusal, where there is no room to wait.
    pub fn crowd_out(&mut self) {
        let Some(delay) = self.delay.take() else { return };
        (self.action, self.verdict, self.cause) = (Action::Throttle, Action::Throttle, Cause::Limit);
        self.code = self.cause.code(self.verdict);
        (self.limit, self.retry_after_ms) = (Some(delay.limit), delay.for_ms);
    }

    /// Whether a score was worked out: for every request but those that a filter refuses.
    pub const fn is_scored(&self) -> bool {
        is_scored(self.cause, self.action)
    }
}

/// A wait before a request goes on.
///
/// It is a step before 429: where so many requests of the limit are waiting already, the request is throttled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delay {
    /// The limit that asks for it, as an index into the route's limits.
    pub limit: u16,
    /// How long, in milliseconds.
    pub for_ms: u32,
    /// How many requests of the limit may be waiting at the same time.
    pub max_waiting: u32,
}

/// Whether a request is scored of which this is done because of that.
pub(crate) const fn is_scored(cause: Cause, action: Action) -> bool {
    !matches!(cause, Cause::Filter(_)) || matches!(action, Action::Allow)
}

/// What one signal gave to a score.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reason {
    /// The signal.
    pub signal: SignalId,
    /// How strongly it was present.
    pub strength: Strength,
    /// Its share of the score; the shares of all reasons, and of all [`Lift`]s, add up to the score.
    pub points: Score,
}

/// What a rule gave to a score.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lift {
    /// The rule.
    pub rule: RuleId,
    /// Its share of the score: that of all lifts and of all reasons add up to the score. Zero for one that raises a
    /// signal, whose share stands among the reasons.
    pub points: Score,
}

/// A rule that was left out, since its expression had no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RuleFault {
    /// The rule.
    pub rule: RuleId,
    /// Why there was none.
    pub fault: MachineFault,
}

/// What a verdict rests on: the step of the precedence that decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The request can be read in more than one way.
    Malformed(Fault),
    /// A rule that allows.
    AllowRule,
    /// A ban in force.
    Ban,
    /// A rule that does anything but allow.
    DenyRule,
    /// The class of the network.
    Filter(NetworkClass),
    /// A rate limit.
    Limit,
    /// A limit whose key the request lacks.
    LimitKey,
    /// A rule with an expression.
    Machine,
    /// A threshold of the score.
    Threshold,
    /// Nothing spoke against it.
    Clear,
}

/// Something in monitor that would have acted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shadow {
    /// Which it is.
    pub what: ShadowWhat,
    /// What it would have done.
    pub action: Action,
}

/// A part of the policy that can be in monitor by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ShadowWhat {
    /// A rule.
    Rule(RuleId),
    /// A filter, by its class.
    Filter(NetworkClass),
    /// A limit, as an index into the route's limits.
    Limit(u16),
    /// A signal, by what it would have added to the score.
    Signal(SignalId),
}

impl Cause {
    /// The stable name, as audit records and metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::AllowRule => "allow-rule",
            Self::Ban => "ban",
            Self::DenyRule => "rule",
            Self::Filter(_) => "filter",
            Self::Limit => "limit",
            Self::LimitKey => "limit-key",
            Self::Machine => "machine",
            Self::Threshold => "threshold",
            Self::Clear => "clear",
        }
    }

    /// The stable public code for a verdict that rests on this; empty for `Allow`.
    pub const fn code(self, verdict: Action) -> &'static str {
        match (self, verdict) {
            (_, Action::Allow) | (Self::AllowRule | Self::Clear, _) => "",
            (Self::Malformed(_), _) => "API.MALFORMED_REQUEST",
            (Self::Ban, _) => "API.BANNED",
            (Self::DenyRule | Self::Machine, Action::Throttle) => "API.RULE_THROTTLED",
            (Self::DenyRule | Self::Machine, Action::Challenge) => "API.RULE_CHALLENGED",
            (Self::DenyRule | Self::Machine, Action::StepUp) => "API.RULE_STEP_UP",
            (Self::DenyRule | Self::Machine, Action::Block) => "API.RULE_BLOCKED",
            (Self::DenyRule | Self::Machine, Action::Ban) => "API.RULE_BANNED",
            (Self::Filter(class), Action::Throttle) => filter_codes(class).0,
            (Self::Filter(class), Action::Challenge | Action::StepUp) => filter_codes(class).1,
            (Self::Filter(class), Action::Block | Action::Ban) => filter_codes(class).2,
            (Self::LimitKey, _) => "API.LIMIT_KEY_MISSING",
            (Self::Limit, Action::Throttle) => "API.LIMIT_EXCEEDED",
            (Self::Limit, Action::Challenge | Action::StepUp) => "API.LIMIT_CHALLENGED",
            (Self::Limit, Action::Block) => "API.LIMIT_BLOCKED",
            (Self::Limit, Action::Ban) => "API.LIMIT_BANNED",
            (Self::Threshold, Action::Throttle) => "API.SCORE_THROTTLED",
            (Self::Threshold, Action::Challenge | Action::StepUp) => "API.SCORE_CHALLENGED",
            (Self::Threshold, Action::Block) => "API.SCORE_BLOCKED",
            (Self::Threshold, Action::Ban) => "API.SCORE_BANNED",
        }
    }
}

/// The codes of one class of network: throttled, challenged, blocked.
const fn filter_codes(class: NetworkClass) -> (&'static str, &'static str, &'static str) {
    match class {
        NetworkClass::Tor => ("API.TOR_THROTTLED", "API.TOR_CHALLENGED", "API.TOR_BLOCKED"),
        NetworkClass::Relay => ("API.RELAY_THROTTLED", "API.RELAY_CHALLENGED", "API.RELAY_BLOCKED"),
        NetworkClass::Vpn => ("API.VPN_THROTTLED", "API.VPN_CHALLENGED", "API.VPN_BLOCKED"),
        NetworkClass::Proxy => ("API.PROXY_THROTTLED", "API.PROXY_CHALLENGED", "API.PROXY_BLOCKED"),
        NetworkClass::Crawler => ("API.CRAWLER_THROTTLED", "API.CRAWLER_CHALLENGED", "API.CRAWLER_BLOCKED"),
        NetworkClass::Datacenter => ("API.DATACENTER_THROTTLED", "API.DATACENTER_CHALLENGED", "API.DATACENTER_BLOCKED"),
        NetworkClass::Abuser => ("API.ABUSER_THROTTLED", "API.ABUSER_CHALLENGED", "API.ABUSER_BLOCKED"),
        NetworkClass::Satellite => ("API.SATELLITE_THROTTLED", "API.SATELLITE_CHALLENGED", "API.SATELLITE_BLOCKED"),
        NetworkClass::Mobile => ("API.MOBILE_THROTTLED", "API.MOBILE_CHALLENGED", "API.MOBILE_BLOCKED"),
    }
}
