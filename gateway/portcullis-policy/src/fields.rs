//! Every key of a rules file: one table for the schema that editors check by, and for the reference page.
//!
//! The words of closed lists are those that the reader has. That the reader knows these keys and no others is held by a
//! test, which asks it.

use portcullis_intel::NetworkClass;
use portcullis_signals::{CrawlerKind, Group, Kind as Claims, SignalId};

use crate::model::Print;
use crate::presets::{MAX_BAN_TTL, MAX_CLEARANCE_TTL, MAX_DIFFICULTY_BITS, MAX_PUZZLE_COUNT, Preset, Profile};
use crate::written::{FORMAT, MAX_COST, MAX_DELAY, MAX_INSPECTED, MAX_TRIAL, MAX_WAITING, words};

/// One kind of table.
pub(crate) struct Table {
    /// What a message calls it: `a route`.
    pub(crate) what: &'static str,
    /// How it is written: `[[route]]`.
    pub(crate) title: &'static str,
    /// What it is for.
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    /// The keys that it shares with other tables.
    pub(crate) shared: &'static [Key],
}

/// One key.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    pub(crate) need: Need,
    pub(crate) doc: &'static str,
}

/// What stands behind a key.
pub(crate) enum Value {
    Text,
    /// A text of this form.
    Form(&'static str),
    Flag,
    Whole(u64, u64),
    /// A number from 0 to 1 with three decimals at most.
    Score,
    /// Such a number, or `"off"`.
    ScoreOrOff,
    Rate,
    /// Such as `"10MiB/1h"`.
    ByteRate,
    PerMinute,
    Duration(std::time::Duration),
    Date,
    Choice(fn() -> Vec<&'static str>),
    List(&'static Value),
    /// A list in which `"@name"` stands for the values of a named list.
    Listed(&'static Value),
    Either(&'static [Value]),
    In(&'static Table),
    Many(&'static Table),
    /// A table whose keys are names of the user.
    Names(&'static Value),
    /// A table whose keys are out of a closed list.
    Closed(fn() -> Vec<&'static str>, &'static Value),
    /// A text, a number, `true` or `false`.
    Any,
}

/// Whether a key must be there, and what holds without it.
pub(crate) enum Need {
    Must,
    /// What holds where it is absent; empty where nothing does.
    Else(&'static str),
}

use Need::{Else, Must};
use Value::{
    Any, ByteRate, Choice, Closed, Date, Duration, Either, Flag, Form, In, List, Listed, Many, Names, PerMinute, Rate,
    Score, ScoreOrOff, Text, Whole,
};

const fn key(name: &'static str, value: Value, need: Need, doc: &'static str) -> Key {
    Key { name, value, need, doc }
}

const fn table(what: &'static str, title: &'static str, doc: &'static str, keys: &'static [Key]) -> Table {
    Table { what, title, doc, keys, shared: &[] }
}

impl Table {
    /// Every key, those of its own first.
    pub(crate) fn every(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().chain(self.shared)
    }
}

/// Every table, the file itself first; each stands behind one that names it.
pub(crate) const TABLES: [&Table; 29] = [
    &FILE,
    &DEFAULTS,
    &ROUTE,
    &THRESHOLDS,
    &PUZZLE,
    &USUAL,
    &POSTURE,
    &ELEVATED,
    &UNDER_ATTACK,
    &FILTER,
    &FAILURE,
    &IDENTIFY,
    &LIMIT,
    &STEP,
    &RULE,
    &WHEN,
    &WEIGHT,
    &CREDIT,
    &LISTS,
    &ROLLOUT,
    &LIST,
    &TEST,
    &REQUEST,
    &COUNTERS,
    &COUNTED,
    &EXPECT,
    &WEIGHTS,
    &CAPS,
    &FILTERS,
];

/// The file.
pub(crate) static FILE: Table = table(
    "a rules file",
    "a rules file",
    "Every `.toml` file of the folder; any of them may hold any table.",
    &[
        key("defaults", In(&DEFAULTS), Else(""), "what holds for every route; once in all files"),
        key("route", Many(&ROUTE), Else(""), "which requests there are, and where they go"),
        key("rule", Many(&RULE), Else(""), "a rule for every route"),
        key("weights", WEIGHTS_VALUE, Else("as shipped"), "what each signal weighs; once in all files"),
        key("caps", CAPS_VALUE, Else("as shipped"), "what each group gives at most; once in all files"),
        key("credit", In(&CREDIT), Else("as shipped"), "what is taken off a score; once in all files"),
        key("lists", In(&LISTS), Else(""), "fingerprints that raise `fingerprint-listed`"),
        key(
            "rollout",
            In(&ROLLOUT),
            Else("all clients at once"),
            "how changed rules come into force; once in all files",
        ),
        key("test", Many(&TEST), Else(""), "a request, and what is expected of it"),
        key(
            "format",
            Whole(1, FORMAT as u64),
            Else("any"),
            "the format that the file is written in; one that is not known here is refused",
        ),
    ],
);

static DEFAULTS: Table = Table {
    what: "`defaults`",
    title: "[defaults]",
    doc: "What holds for every route that does not say otherwise.",
    keys: &[],
    shared: &SHARED,
};

static ROUTE: Table = Table {
    what: "a route",
    title: "[[route]]",
    doc: "Requests that are judged alike. The most specific route takes a request.",
    keys: &[
        key("name", Text, Must, "the name in records and metrics; unique"),
        key("hosts", List(&Form("a host, or `*.` and a host")), Else("any"), "the hosts"),
        key(
            "paths",
            List(&Form("a path; `{name}` is a segment, a last `{*rest}` all that follow")),
            Else("any"),
            "the paths",
        ),
        key("methods", List(&Form("a method in upper case")), Else("any"), "the methods"),
        key("limit", Many(&LIMIT), Else(""), "how much one key may do in a window"),
        key("rule", Many(&RULE), Else(""), "a rule for this route alone"),
    ],
    shared: &SHARED,
};

/// The keys that `[defaults]` and `[[route]]` share.
static SHARED: [Key; 24] = [
    key("origin", Text, Else("must stand here or in `[defaults]`"), "the pool of the settings that requests go to"),
    key(
        "preset",
        Choice(|| Preset::NAMED.map(|(name, _)| name).to_vec()),
        Else("balanced"),
        "thresholds and puzzle together",
    ),
    key("profile", Choice(|| Profile::NAMED.map(|(name, _)| name).to_vec()), Else("consumer"), "filters together"),
    key("sensitivity", Choice(words::sensitivities), Else("normal"), "how much harm can be done"),
    key("mode", Choice(words::modes), Else("enforce"), "whether anything is altered"),
    key("clients", Choice(words::clients), Else("mixed"), "what a challenge may look like"),
    key("throttle_rate", PerMinute, Else("30/1m"), "what an address may still do at the score of `throttle`"),
    key("max_body_bytes", Whole(0, 1 << 40), Else("10485760"), "larger request bodies are refused"),
    key(
        "inspect_body_bytes",
        Whole(1, MAX_INSPECTED),
        Else("65536"),
        "how much of a body is read for identities and limits; a longer one has none of them",
    ),
    key("clearance_ttl", Duration(MAX_CLEARANCE_TTL), Else("1h"), "how long a solved challenge holds"),
    key("ban_ttl", Duration(MAX_BAN_TTL), Else("1h"), "how long a ban holds"),
    key(
        "ambiguous_paths",
        Choice(words::ambiguous),
        Else("refuse"),
        "what becomes of paths that servers read differently",
    ),
    key(
        "tell_origin",
        List(&Choice(|| Print::ALL.map(Print::name).to_vec())),
        Else("nothing"),
        "the prints that the origin is told",
    ),
    key(
        "tell_shadow",
        Listed(&Form("an address or a network")),
        Else("nobody"),
        "clients whose answers say, in `Portcullis-Shadow`, what is in monitor and would have acted",
    ),
    key("weights", WEIGHTS_VALUE, Else("those of the file"), "what each signal weighs here"),
    key("caps", CAPS_VALUE, Else("those of the file"), "what each group gives at most here"),
    key("credit", In(&CREDIT), Else("those of the file"), "what is taken off a score here"),
    key("thresholds", In(&THRESHOLDS), Else("those of the preset"), "the scores at which something is done"),
    key("puzzle", In(&PUZZLE), Else("that of the preset"), "how hard a challenge is"),
    key("usual", In(&USUAL), Else("by sensitivity"), "rates up to which behaviour says nothing"),
    key(
        "posture",
        Either(&[Choice(|| vec!["off"]), In(&POSTURE)]),
        Else("tightened by a tenth, and by three tenths"),
        "how thresholds tighten while the route fares badly",
    ),
    key("filters", FILTERS_VALUE, Else("those of the profile"), "what is done with each class of network"),
    key("failure", In(&FAILURE), Else("401, 403, 404"), "the origin's answers that count as a failed attempt"),
    key("identify", In(&IDENTIFY), Else("nobody"), "where it stands who asks"),
];

static THRESHOLDS: Table = table(
    "`thresholds`",
    "thresholds",
    "A score that equals a threshold has reached it; they rise in this order.",
    &[
        key("throttle", ScoreOrOff, Else("that of the preset"), "from here the address is held to `throttle_rate`"),
        key("challenge", ScoreOrOff, Else("that of the preset"), "from here a challenge"),
        key("block", ScoreOrOff, Else("that of the preset"), "from here a refusal"),
        key("ban", ScoreOrOff, Else("that of the preset"), "from here a refusal that lasts"),
    ],
);

static PUZZLE: Table = table(
    "`puzzle`",
    "puzzle",
    "How much work a challenge is.",
    &[
        key(
            "difficulty_bits",
            Whole(1, MAX_DIFFICULTY_BITS as u64),
            Else("that of the preset"),
            "leading zero bits of each part",
        ),
        key("count", Whole(1, MAX_PUZZLE_COUNT as u64), Else("that of the preset"), "how many parts"),
    ],
);

static USUAL: Table = table(
    "`usual`",
    "usual",
    "Behaviour says nothing up to these rates, and everything at four times as much.",
    &[
        key("per_address", PerMinute, Else("by sensitivity"), "requests of an address"),
        key("per_prefix", PerMinute, Else("by sensitivity"), "requests of a prefix"),
        key("failed_users", COUNTED_FROM_1, Else("by sensitivity"), "users of one address that fail, in 15 minutes"),
        key(
            "networks",
            COUNTED_FROM_1,
            Else("by sensitivity"),
            "networks of one user, key, session or token, in an hour",
        ),
        key("paths", COUNTED_FROM_1, Else("by sensitivity"), "paths of one address, in 15 minutes"),
        key("missing_paths", COUNTED_FROM_1, Else("by sensitivity"), "those of them that fail"),
        key("sequence", COUNTED_FROM_1, Else("by sensitivity"), "identifiers one after the other"),
    ],
);

const COUNTED_FROM_1: Value = Whole(1, u32::MAX as u64);

static POSTURE: Table = table(
    "`posture`",
    "posture",
    "How thresholds tighten while a route fares badly; they never loosen.",
    &[
        key("elevated", In(&ELEVATED), Else("a tenth"), "while it fares worse than it did"),
        key("under_attack", In(&UNDER_ATTACK), Else("three tenths"), "while it is attacked"),
    ],
);

static ELEVATED: Table = Table {
    what: "`elevated`",
    title: "posture.elevated",
    doc: "What is tightened while the route fares worse than it did.",
    keys: &[],
    shared: &TIGHTENING,
};

static UNDER_ATTACK: Table = Table {
    what: "`under_attack`",
    title: "posture.under_attack",
    doc: "What is tightened while the route is attacked.",
    keys: &[],
    shared: &TIGHTENING,
};

/// The keys of a posture.
static TIGHTENING: [Key; 2] = [
    key("tighten", Score, Else("as shipped"), "the share that is taken off every threshold"),
    key("thresholds", In(&THRESHOLDS), Else("by the share"), "thresholds of their own, none above that of the route"),
];

/// `[route.filters]`, whose keys are classes.
static FILTERS: Table = table("`filters`", "filters", "A toggle for each class of network, or a table.", &[]);

const FILTERS_VALUE: Value = Closed(
    || NetworkClass::ALL.into_iter().filter(|class| *class != NetworkClass::Relay).map(NetworkClass::name).collect(),
    &Either(&[Choice(words::toggles), In(&FILTER)]),
);

static FILTER: Table = table(
    "a filter",
    "filters.tor",
    "One class of network.",
    &[
        key("action", Choice(words::toggles), Must, "what is done"),
        key("mode", Choice(words::modes), Else("enforce"), "whether it acts"),
    ],
);

static FAILURE: Table = table(
    "`failure`",
    "failure",
    "What counts as a failed attempt, on the origin's own answer.",
    &[
        key("status", List(&Whole(100, 599)), Else(""), "status codes"),
        key("header", Names(&Form(PATTERN)), Else(""), "headers of the answer that match"),
        key("json", Names(&Any), Else(""), "members of its JSON body by their pointers; `\"*\"` is whatever is there"),
    ],
);

static IDENTIFY: Table = table(
    "`identify`",
    "identify",
    "Where it stands in a request who asks.",
    &[
        key("user", Form(PLACE), Else("nobody"), "the user"),
        key("account", Form(PLACE), Else("nobody"), "the account or organisation"),
        key("api_key", Form(PLACE), Else("nobody"), "the API key"),
        key("session", Form(PLACE), Else("nobody"), "the session"),
        key("device", Form(PLACE), Else("nobody"), "the device"),
        key("token", Form(PLACE), Else("nobody"), "the bearer token, told apart by its `jti`"),
    ],
);

const PLACE: &str =
    "`header:`, `cookie:`, `query:` or `form:` and a name, `json:` and a pointer, or `jwt:` with a place and a claim";

static LIMIT: Table = table(
    "a limit",
    "[[route.limit]]",
    "How much one key may do: a `rate` or `concurrency` with one `over`, or steps, each with its own.",
    &[
        key("name", Form("letters, digits and spaces of ASCII"), Must, "the name; unique in its route"),
        key("key", List(&Form(PART)), Must, "what is counted together"),
        key("on_missing", Choice(words::on_missing), Else("prefix"), "what becomes of a request that lacks a part"),
        key(
            "count",
            Form("`requests`, `failures`, `bytes`, or `distinct:` and a part of a key"),
            Else("requests"),
            "what is counted",
        ),
        key(
            "cost",
            Either(&[Whole(1, MAX_COST), Form("`header:` and a name of the origin's answer")]),
            Else("1"),
            "how much one request or failure is",
        ),
        key("rate", RATES, Else("must stand here or in steps, or `concurrency`"), "how many in which window"),
        key("burst", COUNTED_FROM_1, Else("none: a sliding window"), "how many a bucket holds that fills at the rate"),
        key("concurrency", COUNTED_FROM_1, Else(""), "how many at the same time"),
        key("over", Either(&[Choice(words::over), Many(&STEP)]), Else("throttle"), "what is done past it"),
        key("delay", Duration(MAX_DELAY), Else("2s"), "of `delay`: the longest wait"),
        key("max_waiting", Whole(1, MAX_WAITING), Else("100"), "of `delay`: how many may wait"),
        key("strength", Score, Else("1.0"), "of `score`: how far `limit-exceeded` is raised"),
        key("budget", Text, Else("its own"), "limits of one budget count together"),
        key("mode", Choice(words::modes), Else("enforce"), "whether it acts"),
    ],
);

static STEP: Table = table(
    "a step",
    "over = [...]",
    "One level of a limit.",
    &[
        key("at", RATES, Else("must be there, or `concurrency`"), "how many in which window"),
        key("burst", COUNTED_FROM_1, Else("none: a sliding window"), "how many a bucket holds that fills at the rate"),
        key("concurrency", COUNTED_FROM_1, Else(""), "how many at the same time"),
        key("action", Choice(words::over), Must, "what is done past it"),
        key("delay", Duration(MAX_DELAY), Else("2s"), "of `delay`: the longest wait"),
        key("max_waiting", Whole(1, MAX_WAITING), Else("100"), "of `delay`: how many may wait"),
        key("strength", Score, Else("1.0"), "of `score`: how far `limit-exceeded` is raised"),
    ],
);

/// A rate or several; of bytes where those are counted.
const RATES: Value = Either(&[Rate, ByteRate, List(&Either(&[Rate, ByteRate]))]);

const PART: &str = "a part of a key, such as `ip`, `ip/24/48`, `user`, `claim:sub` or a place like `header:x-tenant`";

static RULE: Table = table(
    "a rule",
    "[[rule]], [[route.rule]]",
    "What is done where conditions hold. One of `action`, `signal` and `score` must be there, and `when` or `expr`.",
    &[
        key("name", Text, Must, "the name in records; unique in its scope"),
        key("action", Choice(words::actions), Else(""), "what is done"),
        key("signal", Choice(signals), Else(""), "a signal that it raises"),
        key("strength", Score, Else("1.0"), "how far it raises the signal"),
        key("score", Form("`+0.2` or `>=0.6`"), Else(""), "what it adds to the score, or lifts it to"),
        key("when", In(&WHEN), Else(""), "conditions, all of which must hold"),
        key("expr", Form("a CEL expression that is true or false"), Else(""), "what must hold, too"),
        key("mode", Choice(words::modes), Else("enforce"), "whether it acts"),
        key("until", Date, Else("for ever"), "the day, or the time, at which it ends"),
        key("owner", Text, Else(""), "who answers for it"),
        key("reason", Text, Else(""), "why it is there; recorded, never shown to clients"),
    ],
);

static WHEN: Table = table(
    "`when`",
    "when",
    "Of the values of one condition any will do; `\"@name\"` stands for those of a list.",
    &[
        key("ip", Listed(&Form("an address or a network")), Else(""), "the client's address"),
        key("asn", Listed(&Either(&[Whole(0, u32::MAX as u64), Form("a number")])), Else(""), "the autonomous system"),
        key("country", Listed(&Form("two letters")), Else(""), "the country"),
        key("class", Listed(&Choice(classes)), Else(""), "the class of the network"),
        key(
            "crawler",
            Listed(&Choice(|| CrawlerKind::ALL.map(CrawlerKind::name).to_vec())),
            Else(""),
            "what a crawler comes for",
        ),
        key(
            "claim",
            Listed(&Choice(|| Claims::ALL.map(Claims::name).to_vec())),
            Else(""),
            "what sort of client it says it is",
        ),
        key(
            "client_name",
            Listed(&Form("a name of audit records, such as `curl`")),
            Else(""),
            "the name that it gives itself",
        ),
        key("ja3", Listed(&Form("32 hex digits")), Else(""), "the JA3 hash"),
        key("ja4", Listed(&Form("a JA4")), Else(""), "the JA4"),
        key("http2", Listed(&Form("four parts with bars between")), Else(""), "the print of an HTTP/2 client"),
        key("user", Listed(&Text), Else(""), "the user, as a whole"),
        key("api_key", Listed(&Text), Else(""), "the API key, as a whole"),
        key("user_agent", Listed(&Form(PATTERN)), Else(""), "the User-Agent, whatever the case of its letters"),
        key("path", Listed(&Form(PATTERN)), Else(""), "the canonical path"),
        key("method", Listed(&Form("a method in upper case")), Else(""), "the method"),
        key("header", Names(&Form(PATTERN)), Else(""), "headers that must be there, and match"),
    ],
);

const PATTERN: &str = "a pattern for the whole text, where `*` is any run of characters";

/// `[weights]`, whose keys are signals.
static WEIGHTS: Table =
    table("`weights`", "[weights]", "The score that a signal alone gives at full strength, or a table.", &[]);

const WEIGHTS_VALUE: Value = Closed(signals, &Either(&[Score, In(&WEIGHT)]));

static WEIGHT: Table = table(
    "a weight",
    "weights.ua-tool",
    "One signal.",
    &[
        key("weight", Score, Must, "the score that it alone gives at full strength"),
        key("mode", Choice(words::modes), Else("enforce"), "whether it counts"),
    ],
);

/// `[caps]`, whose keys are groups.
static CAPS: Table = table("`caps`", "[caps]", "What a group of signals gives at most.", &[]);

const CAPS_VALUE: Value = Closed(|| Group::ALL.map(Group::name).into_iter().chain(["connection"]).collect(), &Score);

static CREDIT: Table = table(
    "`credit`",
    "[credit]",
    "What is taken off a score.",
    &[
        key("clearance", Score, Else("0.5"), "the share that a solved challenge takes off"),
        key("history", Score, Else("0.3"), "the share that a month of clean use takes off what is left"),
    ],
);

static LISTS: Table = table(
    "`lists`",
    "[lists]",
    "Fingerprints that raise `fingerprint-listed`.",
    &[
        key("ja3", Listed(&Form("32 hex digits")), Else(""), "JA3 hashes"),
        key("ja4", Listed(&Form("a JA4")), Else(""), "JA4 values"),
    ],
);

static ROLLOUT: Table = table(
    "`rollout`",
    "[rollout]",
    "How changed rules come into force while the gateway runs, and when they are taken back.",
    &[
        key("share", Score, Else("1.0"), "the share of clients that is judged by them first, by a stable hash"),
        key("trial", Duration(MAX_TRIAL), Else("10m"), "how long with that share, and then with all, they are watched"),
        key("max_refused", Score, Else("1.0: never"), "past this share of requests refused they are taken back"),
        key("min_requests", COUNTED_FROM_1, Else("100"), "how many requests it takes to know that share"),
    ],
);

static LIST: Table = table(
    "a list",
    "lists/NAME.toml",
    "A named list, or the head of the lines in `lists/NAME.txt`.",
    &[
        key("on_bad_line", Choice(words::on_bad_line), Else("fail"), "whether a line that cannot be read is left out"),
        key("owner", Text, Else(""), "who answers for it"),
        key("reason", Text, Else(""), "why it is there"),
        key("values", List(&Either(&[Text, Whole(0, u32::MAX as u64)])), Else(""), "the values"),
    ],
);

static TEST: Table = table(
    "a test",
    "[[test]]",
    "A request, what is known of its client, and what is expected.",
    &[
        key("name", Text, Must, "what it shows, as a sentence; unique"),
        key("request", In(&REQUEST), Must, "the request, and what is known of who asks"),
        key("counters", In(&COUNTERS), Else("a stranger's first request"), "what the counters read"),
        key("expect", In(&EXPECT), Must, "what is expected"),
    ],
);

static REQUEST: Table = table(
    "a test's `request`",
    "request",
    "A request, and what is known of who asks.",
    &[
        key("host", Text, Must, "the host"),
        key("path", Form("a path without a query"), Must, "the path"),
        key("headers", Names(&Text), Else(""), "the header fields"),
        key("method", Form("a method in upper case"), Else("GET"), "the method"),
        key("query", Text, Else(""), "the query without `?`"),
        key("ip", Form("an address"), Else("203.0.113.7"), "the client's address"),
        key("asn", Whole(0, u32::MAX as u64), Else(""), "its autonomous system"),
        key("country", Form("two letters"), Else(""), "its country"),
        key("class", List(&Choice(classes)), Else(""), "the classes of its network"),
        key("ja3", Form("32 hex digits"), Else(""), "its JA3 hash"),
        key("ja4", Form("a JA4"), Else(""), "its JA4"),
        key("http2", Form("four parts with bars between"), Else(""), "its HTTP/2 print"),
        key("client_hello", Form("bytes in hex"), Else(""), "its ClientHello"),
        key("clearance", Choice(words::clearances), Else(""), "the challenge that it has met"),
        key("user", Text, Else("by `identify`"), "the user"),
        key("api_key", Text, Else("by `identify`"), "the API key"),
        key("account", Text, Else("by `identify`"), "the account"),
        key("session", Text, Else("by `identify`"), "the session"),
        key("device", Text, Else("by `identify`"), "the device"),
        key("token", Text, Else("by `identify`"), "the token"),
        key("body", Text, Else("none"), "the body"),
        key("identity", Names(&Any), Else(""), "own signals"),
        key("at", Date, Else("1970-01-01"), "the time"),
    ],
);

const COUNT: Value = Whole(0, u32::MAX as u64);

static COUNTERS: Table = table(
    "`counters`",
    "counters",
    "What the counters read when the request comes.",
    &[
        key("address_per_minute", COUNT, Else("1"), "requests of the address"),
        key("prefix_per_minute", COUNT, Else("1"), "requests of its prefix"),
        key("fingerprint_per_minute", COUNT, Else("0"), "requests of those behind a shared address who look alike"),
        key("named_per_minute", COUNT, Else("0"), "requests of the user or session behind a shared address"),
        key("attempts", COUNT, Else("0"), "answers of the origin"),
        key("failures", COUNT, Else("0"), "those of them that failed"),
        key("users", COUNT, Else("0"), "users that the address named"),
        key("failed_users", COUNT, Else("0"), "those of them that failed"),
        key("networks", COUNT, Else("0"), "networks of the user, key, session or token"),
        key("paths", COUNT, Else("0"), "paths of the address"),
        key("missing_paths", COUNT, Else("0"), "those of them that failed"),
        key("sequence", COUNT, Else("0"), "identifiers one after the other"),
        key("cohort_surge", Score, Else("0.0"), "how far the client's cohort departs from its past"),
        key("cohort_growth", Score, Else("0.0"), "how far its looks depart from their past here"),
        key("cohort_unknown", Score, Else("0.0"), "how few had its looks here before"),
        key("cohort_sequence", COUNT, Else("0"), "identifiers that its cohort shares out one after the other"),
        key("stuffing_success", Score, Else("0.0"), "how clearly failures ended in a success"),
        key("reputation", Score, Else("0.0"), "how bad its name is"),
        key("credit", Score, Else("0.0"), "how long its use was clean"),
        key("regular", Flag, Else("false"), "whether it was here before the attack"),
        key("posture", Choice(words::postures), Else("normal"), "how the route fares"),
        key("banned", Flag, Else("false"), "whether the client is banned"),
        key("limits", Names(&In(&COUNTED)), Else(""), "limits by their names"),
    ],
);

static COUNTED: Table = table(
    "a limit's counter",
    "counters.limits.NAME",
    "What one limit reads.",
    &[
        key("count", COUNT, Else("0"), "how many there were"),
        key("over", Flag, Else("by the count"), "whether the request is over it"),
        key(
            "missing",
            Flag,
            Else("false"),
            "whether the request lacks a part of the key, of a limit that refuses then",
        ),
    ],
);

static EXPECT: Table = table(
    "`expect`",
    "expect",
    "What is expected; at least one of these.",
    &[
        key("action", Choice(words::actions), Else(""), "what is done"),
        key("verdict", Choice(words::actions), Else(""), "what would be done, were the route not in monitor"),
        key("reasons", List(&Choice(signals)), Else(""), "signals that are among the reasons"),
        key("route", Text, Else(""), "the route that takes the request"),
        key("rule", Text, Else(""), "the rule that decides"),
        key("code", Form("`API.` and a code"), Else(""), "the public code"),
        key("score_min", Score, Else(""), "the lowest score"),
        key("score_max", Score, Else(""), "the highest score"),
    ],
);

fn signals() -> Vec<&'static str> {
    SignalId::ALL.iter().map(|signal| signal.name()).collect()
}

fn classes() -> Vec<&'static str> {
    NetworkClass::ALL.map(NetworkClass::name).to_vec()
}
