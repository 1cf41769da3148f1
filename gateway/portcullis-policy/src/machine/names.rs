//! What expressions may name: variables and functions, with what the reference page says of them.

use super::check::Type;

/// A variable with one value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Variable {
    Score,
    Ip,
    Asn,
    Country,
    Ja3,
    Ja4,
    Http2,
    TlsVersion,
    Claim,
    ClientName,
    Crawler,
    CrawlerVerified,
    At,
    AddressPerMinute,
    PrefixPerMinute,
    FingerprintPerMinute,
    NamedPerMinute,
    Attempts,
    Failures,
    FailedUsers,
    Networks,
    Paths,
    MissingPaths,
    Sequence,
    Posture,
    User,
    Account,
    ApiKey,
    Session,
    Device,
    Token,
    Clearance,
    Method,
    Host,
    Path,
    Query,
}

/// Who decides what a variable holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// The client, by what it sends.
    Sent,
    /// The gateway, by what it sees, counts or verified.
    Known,
}

/// One variable as the reference page shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(super) variable: Variable,
    pub(super) of: Type,
    pub(super) source: Source,
    pub(crate) doc: &'static str,
}

impl Named {
    /// The type in words.
    pub(crate) const fn type_name(&self) -> &'static str {
        self.of.name()
    }
}

const fn named(name: &'static str, variable: Variable, of: Type, source: Source, doc: &'static str) -> Named {
    Named { name, variable, of, source, doc }
}

/// Every variable with one value. Beside them stand `signals`, `counters.limits`, `identity` and `facts.class`.
pub(crate) const VARIABLES: [Named; 36] = {
    use Source::{Known, Sent};
    use Type::{Bool, Double, Int, Text};
    [
        named("score", Variable::Score, Double, Known, "the score from 0.0 to 1.0, before any machine changed it"),
        named("facts.ip", Variable::Ip, Text, Known, "the client's address"),
        named("facts.asn", Variable::Asn, Int, Known, "the autonomous system; 0 where none is known"),
        named("facts.country", Variable::Country, Text, Known, "two letters; empty where none is known"),
        named("facts.ja3", Variable::Ja3, Text, Sent, "the JA3 hash; empty without TLS"),
        named("facts.ja4", Variable::Ja4, Text, Sent, "the JA4; empty without TLS"),
        named("facts.http2", Variable::Http2, Text, Sent, "the print of an HTTP/2 client; empty over HTTP/1"),
        named("facts.tls_version", Variable::TlsVersion, Text, Sent, "`1.2` or `1.3`; empty without TLS"),
        named("facts.claim", Variable::Claim, Text, Sent, "what sort of client it says it is"),
        named("facts.client_name", Variable::ClientName, Text, Sent, "the name it gives itself; empty without"),
        named("facts.crawler", Variable::Crawler, Text, Sent, "what a crawler comes for; empty for others"),
        named("facts.crawler_verified", Variable::CrawlerVerified, Bool, Known, "whether its address proves it"),
        named("facts.at", Variable::At, Int, Known, "the time, in seconds since 1970 (UTC)"),
        named("counters.address_per_minute", Variable::AddressPerMinute, Int, Known, "requests of the address"),
        named("counters.prefix_per_minute", Variable::PrefixPerMinute, Int, Known, "requests of its prefix"),
        named(
            "counters.fingerprint_per_minute",
            Variable::FingerprintPerMinute,
            Int,
            Known,
            "of those behind a shared address who look alike",
        ),
        named("counters.named_per_minute", Variable::NamedPerMinute, Int, Known, "of the user or session there"),
        named("counters.attempts", Variable::Attempts, Int, Known, "answers of the origin in fifteen minutes"),
        named("counters.failures", Variable::Failures, Int, Known, "those of them that failed"),
        named(
            "counters.failed_users",
            Variable::FailedUsers,
            Int,
            Known,
            "users of the address that failed on the route",
        ),
        named("counters.networks", Variable::Networks, Int, Known, "networks of the user, key, session or token"),
        named("counters.paths", Variable::Paths, Int, Known, "paths of the address on the route"),
        named("counters.missing_paths", Variable::MissingPaths, Int, Known, "those of them that failed"),
        named("counters.sequence", Variable::Sequence, Int, Known, "identifiers asked for one after the other"),
        named("facts.posture", Variable::Posture, Text, Known, "`normal`, `elevated` or `under_attack`"),
        named("caller.user", Variable::User, Text, Sent, "the user that `identify` finds; empty without"),
        named("caller.api_key", Variable::ApiKey, Text, Sent, "the API key; empty without"),
        named("caller.account", Variable::Account, Text, Sent, "the account; empty without"),
        named("caller.device", Variable::Device, Text, Sent, "the device; empty without"),
        named("caller.token", Variable::Token, Text, Sent, "the token's identifier; empty without"),
        named("caller.session", Variable::Session, Text, Sent, "the session; empty without"),
        named(
            "caller.clearance",
            Variable::Clearance,
            Text,
            Known,
            "`no_script`, `proof_of_work`, `memory_hard` or `step_up`; empty without",
        ),
        named("request.method", Variable::Method, Text, Sent, "the method in upper case"),
        named("request.host", Variable::Host, Text, Sent, "the host in lower case"),
        named("request.path", Variable::Path, Text, Sent, "the canonical path"),
        named("request.query", Variable::Query, Text, Sent, "the query as sent, without `?`"),
    ]
};

/// What can be called, with what it gives and what it says.
pub(crate) const FUNCTIONS: [(&str, &str, &str); 16] = [
    ("request.header(\"x-name\")", "text", "the first value of the header; empty without one"),
    ("request.has_header(\"x-name\")", "bool", "whether the header is there"),
    ("request.cookie(\"name\")", "text", "the value of the cookie; empty without one"),
    ("request.param(\"name\")", "text", "the first value of the query parameter as sent; empty without one"),
    ("has(identity.name)", "bool", "whether the own signal is there; to read one that is not is a fault"),
    ("text.startsWith(\"a\")", "bool", "as it says; also `endsWith` and `contains`"),
    ("text.like(\"*a*\")", "bool", "whether a pattern with stars matches the whole text"),
    ("text.lowerAscii()", "text", "with ASCII letters in lower case"),
    ("size(text)", "int", "how many characters; of a list, how many items. Also `text.size()`"),
    ("int(value)", "int", "of a text or number; a text that is none is a fault. Also `value.int()`"),
    ("double(value)", "double", "likewise, with a point. Also `value.double()`"),
    ("value in [a, b]", "bool", "whether it is one of a list, or of `facts.class`"),
    ("[a, b].exists(x, x > 1)", "bool", "whether any item meets it; also `all` and `exists_one`"),
    ("a ? b : c", "of b and c", "`b` where `a` is true, else `c`"),
    ("!a, a && b, a || b", "bool", "what settles the answer hides a fault in the other"),
    ("+ - * / %", "of both", "of two ints or two doubles; past the range is a fault"),
];
