//! A scenario as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A file: a scenario, or the background that scenarios share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTable {
    /// What the scenario is called.
    pub(super) name: Option<Spanned<String>>,
    /// What it is about, for who reads the file.
    #[serde(rename = "about")]
    pub(super) _about: Option<String>,
    /// Where its chance begins.
    #[serde(default)]
    pub(super) seed: u64,
    /// How long it lasts by its own clock.
    pub(super) lasts: Option<Spanned<String>>,
    /// The file of captures that stacks are taken from, beside this file.
    pub(super) captures: Option<Spanned<String>>,
    /// A file with more stacks, networks and clients, beside this file.
    pub(super) background: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) stack: Vec<StackTable>,
    #[serde(default)]
    pub(super) network: Vec<NetworkTable>,
    #[serde(default)]
    pub(super) clients: Vec<ClientsTable>,
}

/// A stack that is like one of the captures, or one before it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StackTable {
    pub(super) name: Spanned<String>,
    pub(super) like: Spanned<String>,
    /// Header fields that it has otherwise, or beside.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Header fields that it has not.
    #[serde(default)]
    pub(super) without: Vec<String>,
}

/// A network, of which addresses are taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkTable {
    pub(super) name: Spanned<String>,
    pub(super) asn: u32,
    #[serde(default)]
    pub(super) class: Vec<Spanned<String>>,
    /// Where its addresses lie, where that matters: a /24, or a part of it.
    pub(super) prefix: Option<Spanned<String>>,
}

/// Clients of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientsTable {
    pub(super) name: Spanned<String>,
    /// Whether these are to be let through; the others are to be stopped.
    pub(super) honest: bool,
    pub(super) count: Spanned<u32>,
    /// How many addresses they have together; without it as many as clients.
    pub(super) addresses: Option<Spanned<u32>>,
    /// How many of their addresses lie in one /24.
    pub(super) per_prefix: Option<Spanned<u32>>,
    /// Whether a client keeps its address: `keep`, `each_visit`.
    pub(super) moves: Option<Spanned<String>>,
    pub(super) networks: Vec<Spanned<String>>,
    pub(super) stacks: Vec<Spanned<String>>,
    /// Whose the prints are: `stack`, or `client` for prints that each client has for itself.
    pub(super) prints: Option<Spanned<String>>,
    pub(super) users: Option<UsersTable>,
    /// When the first comes, and from when on none comes.
    pub(super) from: Option<Spanned<String>>,
    pub(super) until: Option<Spanned<String>>,
    /// How often one client visits.
    pub(super) pace: Spanned<String>,
    /// `even` or `random`.
    pub(super) arrivals: Option<Spanned<String>>,
    /// The hours of the day in which they come, as `[8, 18]`.
    pub(super) hours: Option<Spanned<[u8; 2]>>,
    /// How long after one request of a visit the next one comes.
    pub(super) gap: Option<Spanned<String>>,
    pub(super) request: Vec<RequestTable>,
    pub(super) expect: Option<Spanned<ExpectTable>>,
}

/// Whom requests name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsersTable {
    /// `own`, `new`, `next` or `any`.
    pub(super) which: Spanned<String>,
    /// How many there are, for `next` and `any`.
    pub(super) of: Option<u32>,
}

/// One request of a visit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestTable {
    /// `page`, `api` or `login`: which captured request it looks like.
    #[serde(rename = "as")]
    pub(super) like: Spanned<String>,
    pub(super) method: Option<Spanned<String>>,
    pub(super) path: Spanned<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) body: BTreeMap<String, Spanned<String>>,
    /// How likely a visit has it.
    pub(super) chance: Option<Spanned<f64>>,
    /// How often in a visit.
    pub(super) times: Option<u32>,
    /// What the origin answers; without it 200.
    #[serde(default)]
    pub(super) answer: Vec<AnswerTable>,
}

/// What an origin answers in a share of cases; the last one in the rest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerTable {
    pub(super) status: u16,
    pub(super) share: Option<Spanned<f64>>,
}

/// What is expected of a kind of clients.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectTable {
    /// The share of requests that is challenged or worse: of attackers.
    pub(super) at_least: Option<f64>,
    /// The same, of honest clients.
    pub(super) at_most: Option<f64>,
    /// The first requests, which are not counted.
    pub(super) after_requests: Option<u64>,
    /// The time in which requests are not counted, from the first.
    pub(super) after: Option<String>,
}
