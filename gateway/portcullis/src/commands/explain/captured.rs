//! One line of a file of captures: a request of a client, and the connection that it came on.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_fingerprint::{ClientHello, Http2Print, Priority, Pseudo};
use portcullis_signals::{Http, RequestHead};
use serde_json::{Map, Value};

use crate::accept::{Agreed, Alpn, TlsVersion};
use crate::settings::{from_hex, quote};

/// One line, every part of it read.
#[derive(Debug)]
pub(in crate::commands) struct Captured {
    /// Where it stands in its file, from 1.
    pub(in crate::commands) line: usize,
    /// The name of the client.
    pub(in crate::commands) client: String,
    /// What it is.
    pub(in crate::commands) category: Category,
    /// What it was pointed at, and the number of its connection there: together they name the connection.
    pub(in crate::commands) connection: (String, u64),
    /// The hello that began the connection.
    pub(in crate::commands) hello: ClientHello,
    /// The request; none where the client only shook hands.
    pub(in crate::commands) request: Option<CapturedRequest>,
}

/// A request, and how the handshake before it ended.
#[derive(Debug)]
pub(in crate::commands) struct CapturedRequest {
    /// What it is for.
    pub(in crate::commands) kind: Kind,
    /// The method.
    pub(in crate::commands) method: Method,
    /// The target as sent.
    pub(in crate::commands) target: String,
    /// How the handshake ended.
    pub(in crate::commands) agreed: Agreed,
    /// What the connection showed of HTTP/2.
    pub(in crate::commands) http2: Option<Http2Print>,
    authority: Option<String>,
    version: Version,
    headers: HeaderMap,
    raw: Option<Vec<u8>>,
    pairs: Vec<(String, String)>,
}

/// Defines an enumeration whose variants have a name in captures.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub(in crate::commands) enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            /// All of them.
            pub(in crate::commands) const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name that captures use.
            pub(in crate::commands) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

named! {
    /// What a client is.
    Category {
        /// A browser that a person uses.
        Browser = "browser",
        /// A browser that a program drives.
        Automated = "browser-automated",
        /// A program that says it is a browser.
        Impersonator = "impersonator",
        /// A library of a programming language.
        Library = "library",
        /// A command-line client.
        CommandLine = "cli",
        /// A scanner.
        Scanner = "scanner",
        /// A load tool.
        LoadTool = "loadtool",
        /// A crawler.
        Crawler = "crawler",
    }
}

named! {
    /// What a request is for.
    Kind {
        /// A page.
        Page = "page",
        /// A call of an API.
        Api = "api",
        /// A login.
        Login = "login",
        /// A style, a script, a picture.
        Asset = "asset",
        /// What a page's script found out.
        JsSignals = "js-signals",
        /// Anything else.
        Other = "other",
        /// No request: the client only shook hands.
        Handshake = "none",
    }
}

/// Why a line cannot be replayed.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::commands) struct LineFault {
    what: String,
    help: &'static str,
}

impl LineFault {
    pub(in crate::commands) const fn new(what: String, help: &'static str) -> Self {
        Self { what, help }
    }
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  = help: {}", self.what, self.help)
    }
}

impl CapturedRequest {
    /// The head, as the gateway has it from the wire.
    pub(in crate::commands) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            target: self.target.as_bytes(),
            authority: self.authority.as_deref(),
            version: self.version,
            headers: &self.headers,
            raw: self.raw.as_deref(),
        }
    }

    /// Its header fields in wire order.
    pub(in crate::commands) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The same with another method, target and header fields, over a connection of the same kind.
    pub(in crate::commands) fn varied(
        &self,
        method: &Method,
        target: &str,
        pairs: &[(&str, &str)],
    ) -> Result<Self, LineFault> {
        Ok(Self {
            kind: self.kind,
            method: method.clone(),
            target: target.to_owned(),
            agreed: self.agreed,
            http2: None,
            authority: self.authority.clone(),
            version: self.version,
            headers: headers(pairs)?,
            raw: (self.version != Version::HTTP_2).then(|| raw(method.as_str(), target, self.version, pairs)),
            pairs: Vec::new(),
        })
    }

    /// The protocol.
    pub(in crate::commands) fn http(&self) -> Http {
        if self.version == Version::HTTP_2 { Http::Two } else { Http::One }
    }
}

impl Captured {
    /// Reads the text of a line.
    ///
    /// # Errors
    ///
    /// The first thing in it that is not as it should be.
    pub(in crate::commands) fn read(line: usize, text: &[u8]) -> Result<Self, LineFault> {
        let object: Map<String, Value> = serde_json::from_slice(text).map_err(|_| {
            let found = quote(&String::from_utf8_lossy(text));
            LineFault::new(format!("expected one JSON object, but found {found}"), FORMAT)
        })?;
        let fields = Fields(&object);
        let kind = fields.named("request_kind", Kind::ALL, Kind::name)?;
        Ok(Self {
            line,
            client: fields.text("client")?.to_owned(),
            category: fields.named("category", Category::ALL, Category::name)?,
            connection: (fields.text("target")?.to_owned(), fields.number("conn")?),
            hello: fields.hello()?,
            request: if kind == Kind::Handshake { None } else { Some(fields.request(kind)?) },
        })
    }
}

/// The fields of an object, by their names.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn text(self, field: &'static str) -> Result<&'a str, LineFault> {
        self.0.get(field).and_then(Value::as_str).ok_or_else(|| self.wrong(field, "a text"))
    }

    fn number<N: TryFrom<u64>>(self, field: &'static str) -> Result<N, LineFault> {
        number(self.0.get(field)).ok_or_else(|| self.wrong(field, "a whole number"))
    }

    fn list(self, field: &'static str, what: &str) -> Result<&'a [Value], LineFault> {
        self.0.get(field).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| self.wrong(field, what))
    }

    /// The object in a field; none where there is `null` or nothing.
    fn object(self, field: &'static str) -> Result<Option<Self>, LineFault> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Self(object))),
            Some(_) => Err(self.wrong(field, "an object or `null`")),
        }
    }

    fn named<T: Copy>(self, field: &'static str, all: &[T], name: fn(T) -> &'static str) -> Result<T, LineFault> {
        let text = self.0.get(field).and_then(Value::as_str);
        all.iter().copied().find(|one| Some(name(*one)) == text).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
            self.wrong(field, &format!("one of {}", names.join(", ")))
        })
    }

    fn wrong(self, field: &'static str, what: &str) -> LineFault {
        let found = match self.0.get(field) {
            None => "nothing".to_owned(),
            Some(Value::String(text)) => quote(text),
            Some(value) => quote(&value.to_string()),
        };
        LineFault::new(format!("expected {what} in `{field}`, but found {found}"), FORMAT)
    }

    fn hello(self) -> Result<ClientHello, LineFault> {
        const FIELD: &str = "client_hello_hex";
        const HELP: &str = "it holds the TLS records with which the client began the connection, two hex digits a byte";
        let text = self.text(FIELD)?;
        let fault = |what| LineFault::new(what, HELP);
        let bytes = from_hex(text)
            .ok_or_else(|| fault(format!("expected bytes in hex in `{FIELD}`, but found {}", quote(text))))?;
        ClientHello::from_any(&bytes).map_err(|error| fault(format!("`{FIELD}` is no ClientHello: {error}")))
    }

    fn request(self, kind: Kind) -> Result<CapturedRequest, LineFault> {
        let version = match self.text("http_version")? {
            "1.0" => Version::HTTP_10,
            "1.1" => Version::HTTP_11,
            "2" => Version::HTTP_2,
            _ => return Err(self.wrong("http_version", "`1.0`, `1.1` or `2`")),
        };
        let pairs = self.pairs()?;
        let pseudo = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1);
        let method = pseudo(":method").map_or_else(|| self.text("method"), Ok)?;
        let target = pseudo(":path").map_or_else(|| self.text("path"), Ok)?;
        let http2 = match self.object("h2")? {
            Some(shown) if version == Version::HTTP_2 => Some(shown.http2()?),
            _ => None,
        };
        let raw = (version != Version::HTTP_2).then(|| raw(method, target, version, &pairs));
        Ok(CapturedRequest {
            kind,
            method: method.parse().map_err(|_| self.wrong("method", "a method such as `GET`"))?,
            target: target.to_owned(),
            agreed: self.agreed()?,
            http2,
            authority: pseudo(":authority").map(str::to_owned),
            version,
            headers: headers(&pairs)?,
            raw,
            pairs: pairs
                .iter()
                .filter(|(name, _)| !name.starts_with(':'))
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        })
    }

    /// The header fields in wire order, those of HTTP/2 that begin with a colon among them.
    fn pairs(self) -> Result<Vec<(&'a str, &'a str)>, LineFault> {
        const WHAT: &str = "a list of `[name, value]`";
        let pair = |value: &'a Value| match value.as_array()?.as_slice() {
            [name, value] => Some((name.as_str()?, value.as_str()?)),
            _ => None,
        };
        let pairs = self.list("headers", WHAT)?.iter().map(pair);
        pairs.collect::<Option<_>>().ok_or_else(|| self.wrong("headers", WHAT))
    }

    fn agreed(self) -> Result<Agreed, LineFault> {
        let versions = [TlsVersion::Tls12, TlsVersion::Tls13];
        let version = self.named("tls_version", &versions, TlsVersion::name)?;
        let alpn = match self.0.get("alpn") {
            Some(Value::Null) => None,
            _ => Some(self.named("alpn", &[Alpn::Http1, Alpn::Http2], Alpn::name)?),
        };
        let resumed = match self.0.get("resumed") {
            Some(Value::Bool(resumed)) => *resumed,
            Some(Value::Null) => false,
            _ => return Err(self.wrong("resumed", "`true`, `false` or `null`")),
        };
        Ok(Agreed { version, alpn, resumed })
    }

    /// What the object `h2` says of a connection.
    fn http2(self) -> Result<Http2Print, LineFault> {
        let setting = |value: &Value| match value.as_array()?.as_slice() {
            [id, value] => Some((number(Some(id))?, number(Some(value))?)),
            _ => None,
        };
        let settings: Option<_> = self.list("settings", SETTINGS)?.iter().map(setting).collect();
        let priorities: Option<_> =
            self.list("priority", PRIORITIES)?.iter().map(|value| priority(Fields(value.as_object()?))).collect();
        let pseudo: Option<_> = self
            .list("pseudo_order", PSEUDO)?
            .iter()
            .map(|name| Pseudo::from_name(name.as_str()?.as_bytes()))
            .collect();
        let first_stream = number(self.0.get("first_stream")).unwrap_or(1);
        let headers_priority = match self.object("headers_priority")? {
            None => None,
            Some(fields) => Some(priority_on(fields, first_stream).ok_or_else(|| {
                self.wrong("headers_priority", "`null`, or an object with `exclusive`, `dep` and `weight`")
            })?),
        };
        Ok(Http2Print {
            settings: settings.ok_or_else(|| self.wrong("settings", SETTINGS))?,
            window_increment: match self.0.get("window_update") {
                Some(Value::Null) => 0,
                _ => self.number("window_update")?,
            },
            priorities: priorities.ok_or_else(|| self.wrong("priority", PRIORITIES))?,
            headers_priority,
            first_stream,
            pseudo: pseudo.ok_or_else(|| self.wrong("pseudo_order", PSEUDO))?,
        })
    }
}

fn priority(fields: Fields<'_>) -> Option<Priority> {
    priority_on(fields, number(fields.0.get("stream"))?)
}

fn priority_on(fields: Fields<'_>, stream: u32) -> Option<Priority> {
    Some(Priority {
        stream,
        exclusive: number::<u8>(fields.0.get("exclusive"))? == 1,
        depends_on: number(fields.0.get("dep"))?,
        weight: number(fields.0.get("weight"))?,
    })
}

fn number<N: TryFrom<u64>>(value: Option<&Value>) -> Option<N> {
    value?.as_u64()?.try_into().ok()
}

fn headers(pairs: &[(&str, &str)]) -> Result<HeaderMap, LineFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with(':')) {
        let known: HeaderName = name.parse().map_err(|_| bad_header("a header's name", name))?;
        let read = HeaderValue::from_bytes(value.as_bytes());
        let read = read.map_err(|_| bad_header(&format!("a value of the header {}", quote(name)), value))?;
        headers.try_append(known, read).map_err(|_| bad_header("at most 24,000 headers", "more"))?;
    }
    Ok(headers)
}

fn bad_header(what: &str, found: &str) -> LineFault {
    let what = format!("expected {what} in `headers`, but found {}", quote(found));
    LineFault::new(what, "each of `headers` is `[\"name\", \"value\"]`, as it came from the client")
}

/// The header section of HTTP/1 as it came over the wire.
fn raw(method: &str, target: &str, version: Version, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut raw = format!("{method} {target} {version:?}\r\n");
    for (name, value) in pairs {
        raw.extend([*name, ": ", *value, "\r\n"]);
    }
    raw.push_str("\r\n");
    raw.into_bytes()
}

const FORMAT: &str = "a line is one request: an object with `client`, `category`, `target`, `conn`, \
`client_hello_hex`, `request_kind`, and but for the kind `none` with `tls_version`, `alpn`, `resumed`, `http_version`, \
`method`, `path`, `headers` and, for HTTP/2, `h2`";

const SETTINGS: &str = "a list of `[identifier, value]`";

const PRIORITIES: &str = "a list of objects with `stream`, `exclusive`, `dep` and `weight`";

const PSEUDO: &str = "a list of `:method`, `:authority`, `:scheme`, `:path` and `:protocol`";
