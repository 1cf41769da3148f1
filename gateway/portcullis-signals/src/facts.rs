//! Everything that a decision may depend on.

use http::HeaderValue;
use http::header::USER_AGENT;
use portcullis_fingerprint::{ClientHello, Http2Print, Ja3Hash, Ja4};
use portcullis_intel::{AddressFacts, ClassSet};

use crate::{CanonicalRequest, Claim, ClientAddr, Conduct, ConnectionJudgement, Context, Fields, Posture, Proof};

/// Seconds since 1970-01-01T00:00:00Z, as a wall clock gives them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct UnixSeconds(pub u64);

/// Plain data about one request: what the connection, the address, the request, the caller and the past say.
///
/// Whatever could change a decision is in here, so the same facts give the same decision through every door.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// When the request was gathered.
    pub at: UnixSeconds,
    /// The request.
    pub request: &'a CanonicalRequest<'a>,
    /// How the connection speaks HTTP.
    pub http: Http,
    /// What the TLS handshake showed; absent over plaintext.
    pub tls: Option<Tls<'a>>,
    /// What the HTTP/2 preface showed; absent over HTTP/1.1 and where it was not recorded.
    pub http2: Option<&'a Http2Print>,
    /// Who asks.
    pub client: ClientAddr,
    /// What is known of that address.
    pub network: &'a AddressFacts,
    /// What the client says it is.
    pub claim: Claim,
    /// What name servers said of its claim to be a crawler, where it is one. One that is verified has
    /// [`NetworkClass::Crawler`](portcullis_intel::NetworkClass::Crawler) among the classes of `network`.
    pub crawler_proof: Proof,
    /// What the connection shows beside the claim, where it was judged before.
    ///
    /// Invariant: it was made of this claim, `tls` and `http2`. Where it is absent, or of another claim, the connection
    /// is judged by the shipped families.
    pub connection: Option<&'a ConnectionJudgement>,
    /// What is remembered of the client.
    pub context: Context,
    /// Whose request it is, where it says so.
    pub caller: Caller<'a>,
    /// A ban on the client that is in force.
    pub ban: Option<Ban>,
    /// How busy the client has been on this route.
    pub behaviour: Behaviour,
    /// What the origin answered to the client on this route.
    pub outcomes: Outcomes,
    /// How the route fares.
    pub posture: Posture,
    /// What is remembered over many requests and clients.
    pub conduct: Conduct,
    /// The values of the fields of body and token that the route wants.
    pub fields: &'a Fields,
    /// One reading for each level of each limit of the route, in the route's order; a missing one reads as empty.
    pub limits: &'a [LimitReading],
}

impl<'a> Facts<'a> {
    /// A request of which nothing is known but what it says, who asks, and what is known of that address: over plaintext
    /// HTTP/1.1 at the beginning of 1970, with the claim of its User-Agent, and with no past.
    pub fn bare(request: &'a CanonicalRequest<'a>, client: ClientAddr, network: &'a AddressFacts) -> Self {
        let user_agent = request.header(&USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
        Self::claiming(Claim::of(user_agent), request, client, network)
    }

    /// The same with a claim that was read of its User-Agent before: reading it costs as much as deciding.
    pub fn claiming(
        claim: Claim,
        request: &'a CanonicalRequest<'a>,
        client: ClientAddr,
        network: &'a AddressFacts,
    ) -> Self {
        Self {
            at: UnixSeconds(0),
            request,
            http: Http::One,
            tls: None,
            http2: None,
            client,
            network,
            claim,
            crawler_proof: Proof::Unverified,
            connection: None,
            context: Context::default(),
            caller: Caller::default(),
            ban: None,
            behaviour: Behaviour::default(),
            outcomes: Outcomes::default(),
            posture: Posture::Normal,
            conduct: Conduct::default(),
            fields: Fields::NONE,
            limits: &[],
        }
    }

    /// The classes of the network that the request comes from.
    pub fn classes(&self) -> ClassSet {
        self.network.classes
    }
}

/// The HTTP version of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Http {
    /// HTTP/1.0 or HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

/// A TLS version that the gateway speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// What a TLS handshake showed.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// The version that was agreed.
    pub version: TlsVersion,
    /// The ClientHello.
    pub hello: &'a ClientHello,
    /// The MD5 of the JA3 string.
    pub ja3: Ja3Hash,
    /// The JA4 of the TLS client.
    pub ja4: Ja4,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

impl<'a> Tls<'a> {
    /// A handshake that began with this hello and resumed nothing. The version is TLS 1.3 where the hello offers it.
    pub fn of(hello: &'a ClientHello) -> Self {
        let modern = hello.supported_versions.contains(&TLS13);
        Self {
            version: if modern { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
            hello,
            ja3: Ja3Hash::of(hello),
            ja4: Ja4::of(hello),
            resumed: false,
        }
    }
}

/// TLS 1.3 as `supported_versions` names it (RFC 8446 §4.2.1).
const TLS13: u16 = 0x0304;

/// Whose request it is. Each identity is what the request carries; none of them is verified yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// The user that the route's `identify.user` names.
    pub user: Option<&'a str>,
    /// The account or organisation that the route's `identify.account` names.
    pub account: Option<&'a str>,
    /// The API key that the route's `identify.api_key` names.
    pub api_key: Option<&'a str>,
    /// The session that the route's `identify.session` names.
    pub session: Option<&'a str>,
    /// The device that the route's `identify.device` names.
    pub device: Option<&'a str>,
    /// The bearer token that the route's `identify.token` names: its identifier (`jti`), where it is a JSON Web Token
    /// with one, else the whole of it.
    pub token: Option<&'a str>,
    /// The clearance that the client holds, verified.
    pub clearance: Option<Clearance>,
    /// What the operator's own systems know of the caller, each name once; at most [`OwnSignal::MOST`].
    pub own: &'a [OwnSignal<'a>],
}

/// One thing that the operator's own systems know of a caller, such as the age of its account in days.
///
/// It comes from whom the policy trusts and from nobody else: a header that only a trusted origin or proxy may write,
/// or a claim of a token whose signature was checked. What a client says of itself never stands here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnSignal<'a> {
    /// The name: ASCII letters, digits and `_`, as policies write it behind `identity.`.
    pub name: &'a str,
    /// The value.
    pub value: OwnValue<'a>,
}

/// The value of an [`OwnSignal`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OwnValue<'a> {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; never NaN.
    Double(f64),
    /// A text.
    Text(&'a str),
}

impl OwnSignal<'_> {
    /// How many of them one caller has at most. They are looked up one by one, so their number is bounded.
    pub const MOST: usize = 32;
}

/// How far a client climbed the challenge ladder; the gateway signed it and it has not expired.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Clearance {
    /// It waited, or did less work than the route asks for. It meets a challenge and earns no credit.
    NoScript,
    /// It solved a proof of work.
    ProofOfWork,
    /// It solved a memory-hard proof of work.
    MemoryHard,
    /// An identity provider vouched for it.
    StepUp,
}

/// A ban in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ban {
    /// How much longer it lasts.
    pub remaining_secs: u32,
}

/// Requests in the last minute, this one counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Behaviour {
    /// From the client's address on this route.
    pub address_per_minute: u32,
    /// From the client's prefix (IPv4 /24, IPv6 /56) on this route.
    pub prefix_per_minute: u32,
    /// Where the address is shared, from those behind it who look like the client: [`Facts::sharer`]. 0 where it is not.
    pub fingerprint_per_minute: u32,
    /// Where the address is shared, from the user or session that the request names. 0 where it is not, or names none.
    pub named_per_minute: u32,
}

/// The origin's own answers to the client's address on this route in the last fifteen minutes.
///
/// Refusals by the gateway are not among them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Outcomes {
    /// How many answers there were.
    pub attempts: u32,
    /// How many of them the route counts as failed.
    pub failures: u32,
}

/// What one level of a limit read for this request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LimitReading {
    /// The count in the window, the tokens taken out of the bucket, or how many are under way; this request is in it
    /// where it was admitted.
    pub count: u32,
    /// Whether the request is over the level.
    pub over: bool,
    /// Whether the request lacks a part of the limit's key, and the limit refuses it for that.
    pub unkeyed: bool,
    /// When one more request would be admitted, in milliseconds; 0 where it would be now, or nobody knows.
    pub retry_after_ms: u32,
}
