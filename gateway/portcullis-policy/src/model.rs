//! A policy as it is meant: what the compiler makes out of rules text, and what decides.
//!
//! Nothing in here can hold a wrong value, or nothing that decides would notice; the checks are the compiler's.

mod failure;
mod limit;
mod place;

use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use portcullis_fingerprint::{Ja3Hash, Ja4};
use portcullis_intel::{Asn, Country, NetworkClass};
use portcullis_signals::{CrawlerKind, Expectation, ExpectedClients, Group, Kind, Posture, SignalId, UsualConduct};

pub use crate::machine::{Effect, Machine};
use crate::score::Score;
use crate::weigh::signal_place;

pub use failure::{Failure, JsonTest};
pub use limit::{Bound, Charged, Cost, Count, KeyPart, Level, LevelOf, Limit, OnMissing, Over, PrefixLengths};
pub use place::{BodyPrefix, FieldSource, Identify, Place, Reads, TokenPlace};

/// All that a rule set is made of; routes in the order written, with the catch-all first.
#[derive(Debug)]
pub struct Parts {
    /// `routes[0]` is what answers for requests that no written route matches; its name is `unrouted`.
    pub routes: Vec<Route>,
    /// Rules of every route, then those of single ones, in the order written.
    pub rules: Vec<Rule>,
    /// Fingerprints that raise the signal `fingerprint-listed`.
    pub listed: Listed,
    /// The version of the policy: the first 16 hex digits of a hash over its meaning.
    pub version: Arc<str>,
}

/// Whether a part of the policy acts or only says what it would have done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// Acts.
    #[default]
    Enforce,
    /// Is counted and recorded, and alters no response.
    Monitor,
}

/// What is done with a request, from the mildest to the hardest.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Action {
    /// It goes to the origin.
    Allow,
    /// 429, with the time to wait.
    Throttle,
    /// It is asked for a proof of work.
    Challenge,
    /// It is asked to authenticate more strongly (RFC 9470).
    StepUp,
    /// 403.
    Block,
    /// 403, and the client is banned for a time.
    Ban,
}

/// How much harm a route can do, from which its usual rates follow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sensitivity {
    /// Static content.
    Low,
    /// Pages and ordinary calls.
    #[default]
    Normal,
    /// Accounts, searches that cost.
    High,
    /// Login, payment, sign-up.
    Critical,
}

/// What a challenge may look like on a route.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Clients {
    /// People in browsers: the page.
    Browser,
    /// Programs: problem+json, never HTML.
    Api,
    /// The page for those that accept HTML, problem+json for the rest.
    #[default]
    Mixed,
    /// Feeds and webhooks: never challenged, throttled instead.
    Unattended,
}

/// One route, every value resolved from defaults and presets.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name, unique in the set; metrics and audit carry it.
    pub name: Arc<str>,
    /// Which requests it is for.
    pub matches: RouteMatch,
    /// The origin pool that it goes to; none on the catch-all without a default origin.
    pub origin: Option<Arc<str>>,
    /// How sensitive it is.
    pub sensitivity: Sensitivity,
    /// Whether it acts.
    pub mode: Mode,
    /// What a challenge may look like.
    pub clients: Clients,
    /// The scores at which it acts.
    pub thresholds: Thresholds,
    /// The scores at which it acts while its posture is not normal.
    pub tightened: Tightened,
    /// What the throttle threshold allows an address, in requests a minute.
    pub throttle_per_minute: u32,
    /// How hard its puzzles are.
    pub puzzle: Puzzle,
    /// How long a clearance from it lasts.
    pub clearance_ttl: Duration,
    /// How long its bans last.
    pub ban_ttl: Duration,
    /// What is usual on it.
    pub expectation: Expectation,
    /// What each signal weighs on it.
    pub weights: Weights,
    /// What is done with each class of network; classes with which nothing is done are not in it. Whether a class counts
    /// for the score is in `expectation`.
    pub filters: Vec<Filter>,
    /// Its rate limits, in the order written.
    pub limits: Vec<Limit>,
    /// Which answers of the origin count as failed.
    pub failure: Failure,
    /// Where the caller's identity stands in a request.
    pub identify: Identify,
    /// What is read of a request's query, body and token for identity and limits.
    pub reads: Reads,
    /// The largest request body, in bytes.
    pub max_body_bytes: u64,
    /// Whether paths that servers read differently are refused.
    pub ambiguous_paths: AmbiguousPaths,
    /// The prints of the client that its origin is told, each once.
    pub tell_origin: Vec<Print>,
    /// Clients that are told, in a header of the answer, what is in monitor and would have acted.
    pub tell_shadow: Vec<IpNetwork>,
}

/// How new rules come into force in place of others, and when they are taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rollout {
    /// The share of clients that is judged by them first.
    pub share: Score,
    /// How long they are on trial: first with that share of clients, then with all.
    pub trial: Duration,
    /// The share of requests that they may refuse while on trial; past it they are taken back.
    pub max_refused: Score,
    /// How many requests it takes to know that share.
    pub min_requests: u32,
}

impl Default for Rollout {
    /// All clients at once, and nothing is taken back.
    fn default() -> Self {
        Self { share: Score::ONE, trial: Duration::from_secs(600), max_refused: Score::ONE, min_requests: 100 }
    }
}

/// A print of a client that an origin can be told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Print {
    /// The JA3 hash of its ClientHello.
    Ja3,
    /// The JA4 of its ClientHello.
    Ja4,
    /// What it showed of HTTP/2 up to the first request of its connection.
    Http2,
    /// The hash of the order of the request's header fields.
    HeaderOrder,
    /// The print of its ClientHello that stays the same over its connections.
    Stable,
}

/// What becomes of a path that servers read differently.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AmbiguousPaths {
    /// 400.
    #[default]
    Refuse,
    /// It is forwarded in its canonical form.
    Allow,
}

/// Which requests a route is for; an empty list stands for any.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RouteMatch {
    /// Host names in lower case; `*.shop.example` stands for every name below it.
    pub hosts: Vec<Arc<str>>,
    /// Path patterns: literal segments, `{name}` for one segment, a last `{*rest}` for all that follow.
    pub paths: Vec<Arc<str>>,
    /// Methods in upper case.
    pub methods: Vec<http::Method>,
}

/// The scores at which a route acts; one that is absent is never reached.
///
/// Invariant: those present rise in the order of the fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Thresholds {
    /// From here the address is held to `throttle_per_minute`.
    pub throttle: Option<Score>,
    /// From here a challenge.
    pub challenge: Option<Score>,
    /// From here a block.
    pub block: Option<Score>,
    /// From here a ban.
    pub ban: Option<Score>,
}

/// The scores at which a route acts while its posture is not normal; none of them is above that of [`Thresholds`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tightened {
    /// While it is elevated.
    pub elevated: Thresholds,
    /// While it is under attack.
    pub under_attack: Thresholds,
}

/// How hard a puzzle is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Puzzle {
    /// Leading zero bits of each part.
    pub difficulty_bits: u8,
    /// Number of parts.
    pub count: u16,
}

/// What each signal weighs, and what each group gives at most.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Weights {
    /// The score that each signal alone gives at full strength, by `SignalId`, in the order of `SignalId::ALL`.
    pub signals: Vec<Score>,
    /// What each group gives at most, in the order of `Group::ALL`.
    pub caps: Vec<Score>,
    /// What the groups of TLS and HTTP/2 give together at most, unless one of them alone gives more: a program between
    /// a person and the gateway that inspects TLS renews both.
    pub connection_cap: Score,
    /// What a clearance takes off the score, as a share of it.
    pub clearance_credit: Score,
    /// The signals that weigh nothing, and say what they would have done.
    pub monitored: Vec<SignalId>,
    /// What a month of clean use takes off what is left, as a share of it; less of it takes less.
    pub history_credit: Score,
}

/// What is done with one class of network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Filter {
    /// The class.
    pub class: NetworkClass,
    /// `Challenge` or `Block`.
    pub action: Action,
    /// Whether it acts.
    pub mode: Mode,
}

/// An access rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name, unique in its scope.
    pub name: Arc<str>,
    /// The route it belongs to, as an index into `Parts::routes`; none for every route.
    pub route: Option<u32>,
    /// All of these must hold; within one condition, any value.
    pub when: When,
    /// What it does; `Allow` on one whose machine only weighs.
    pub action: Action,
    /// An expression that must hold too, or what the rule adds to the score. Such a rule is asked behind the limits.
    pub machine: Option<Machine>,
    /// Whether it acts.
    pub mode: Mode,
    /// When it stops to apply, in seconds since 1970 (UTC).
    pub until: Option<u64>,
    /// Who answers for it.
    pub owner: Option<Arc<str>>,
    /// Why it is there; recorded, never shown to the client.
    pub reason: Option<Arc<str>>,
}

/// The conditions of a rule; an empty one holds always. At least one is not empty, unless the rule has a machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct When {
    /// Client addresses.
    pub ip: Vec<IpNetwork>,
    /// Autonomous systems.
    pub asn: Vec<Asn>,
    /// Countries.
    pub country: Vec<Country>,
    /// Network classes.
    pub class: Vec<NetworkClass>,
    /// What crawlers come for. A rule that allows asks for the proof, too.
    pub crawler: Vec<CrawlerKind>,
    /// What sorts of client say that they ask.
    pub claim: Vec<Kind>,
    /// Names that clients give themselves, as [`Claim::known_names`](portcullis_signals::Claim::known_names) lists them.
    pub client_name: Vec<&'static str>,
    /// JA3 hashes.
    pub ja3: Vec<Ja3Hash>,
    /// JA4 values.
    pub ja4: Vec<Ja4>,
    /// Prints of HTTP/2 clients, as [`Http2Print`](portcullis_fingerprint::Http2Print) displays itself.
    pub http2: Vec<Box<str>>,
    /// Users, as the route's `identify` finds them.
    pub user: Vec<Box<str>>,
    /// API keys, as the route's `identify` finds them.
    pub api_key: Vec<Box<str>>,
    /// Patterns for the whole User-Agent.
    pub user_agent: Vec<TextPattern>,
    /// Patterns for the whole canonical path.
    pub path: Vec<TextPattern>,
    /// Methods.
    pub method: Vec<http::Method>,
    /// Headers: each must be there and match.
    pub header: Vec<(http::HeaderName, TextPattern)>,
}

/// A pattern for a whole text: `*` stands for any run of characters, everything else for itself.
///
/// Matching is anchored at both ends and takes linear time. ASCII case is ignored for User-Agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TextPattern {
    /// The literal pieces between the stars; a pattern without a star has one.
    pub pieces: Vec<Box<str>>,
    /// Whether ASCII case is told apart.
    pub case: Case,
}

/// Whether ASCII case is told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Case {
    /// `A` is not `a`.
    Sensitive,
    /// `A` is `a`.
    Insensitive,
}

/// Fingerprints on the policy's lists.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// JA3 hashes.
    pub ja3: Vec<Ja3Hash>,
    /// JA4 values.
    pub ja4: Vec<Ja4>,
}

impl Route {
    /// A route of this name that takes every request and holds nothing against any of them.
    pub fn bare(name: &str) -> Self {
        Self {
            name: name.into(),
            matches: RouteMatch::default(),
            origin: None,
            sensitivity: Sensitivity::Normal,
            mode: Mode::Enforce,
            clients: Clients::Mixed,
            thresholds: Thresholds::NEVER,
            tightened: Tightened { elevated: Thresholds::NEVER, under_attack: Thresholds::NEVER },
            throttle_per_minute: u32::MAX,
            puzzle: Puzzle { difficulty_bits: 0, count: 1 },
            clearance_ttl: Duration::ZERO,
            ban_ttl: Duration::ZERO,
            expectation: Expectation {
                address_per_minute: u32::MAX,
                prefix_per_minute: u32::MAX,
                prior_answers: 0,
                clients: ExpectedClients::Any,
                networks: Expectation::NETWORKS,
                conduct: UsualConduct::ANYTHING,
            },
            weights: Weights {
                signals: vec![Score::ZERO; SignalId::ALL.len()],
                caps: vec![Score::ONE; Group::ALL.len()],
                connection_cap: Score::ONE,
                clearance_credit: Score::ZERO,
                monitored: Vec::new(),
                history_credit: Score::ZERO,
            },
            filters: Vec::new(),
            limits: Vec::new(),
            failure: Failure::default(),
            identify: Identify::default(),
            reads: Reads::default(),
            max_body_bytes: u64::MAX,
            ambiguous_paths: AmbiguousPaths::Refuse,
            tell_origin: Vec::new(),
            tell_shadow: Vec::new(),
        }
    }

    /// The scores at which it acts in a posture.
    pub const fn thresholds_in(&self, posture: Posture) -> &Thresholds {
        match posture {
            Posture::Normal => &self.thresholds,
            Posture::Elevated => &self.tightened.elevated,
            Posture::UnderAttack => &self.tightened.under_attack,
        }
    }
}

impl Thresholds {
    /// None is ever reached.
    pub const NEVER: Self = Self { throttle: None, challenge: None, block: None, ban: None };
}

impl Action {
    /// The stable name, as policies, metrics and audit records write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Throttle => "throttle",
            Self::Challenge => "challenge",
            Self::StepUp => "step_up",
            Self::Block => "block",
            Self::Ban => "ban",
        }
    }
}

impl Mode {
    /// The stable name, as policies, metrics and audit records write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
        }
    }
}

impl Print {
    /// Every print.
    pub const ALL: [Self; 5] = [Self::Ja3, Self::Ja4, Self::Http2, Self::HeaderOrder, Self::Stable];

    /// The stable name, as policies write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ja3 => "ja3",
            Self::Ja4 => "ja4",
            Self::Http2 => "http2",
            Self::HeaderOrder => "header-order",
            Self::Stable => "stable",
        }
    }
}

impl Weights {
    /// The weight of one signal.
    pub fn of(&self, signal: SignalId) -> Score {
        self.signals.get(signal_place(signal)).copied().unwrap_or(Score::ZERO)
    }
}
