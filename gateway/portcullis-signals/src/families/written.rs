//! Families as they are written: TOML, in which nothing unknown may stand.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::{Device, Encodings, Grade, HeaderRules, Http2Row, KindRules, Row, TlsRow, WantedPriority};
use crate::coherence::RequestKind;
use crate::headers::{Field, Fields, Order};

/// Why a file of rows cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FamiliesError {
    file: Box<str>,
    what: Box<str>,
}

impl fmt::Display for FamiliesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what.trim_end())
    }
}

impl std::error::Error for FamiliesError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    family: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    from: Option<u16>,
    to: Option<u16>,
    device: Option<WrittenDevice>,
    #[serde(default)]
    soft: bool,
    source: String,
    date: String,
    #[serde(default)]
    tls: WrittenTls,
    #[serde(default)]
    http2: WrittenHttp2,
    #[serde(default)]
    headers: WrittenHeaders,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenDevice {
    Desktop,
    Mobile,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenTls {
    ciphers: Vec<String>,
    grease: Option<bool>,
    tls13: Option<bool>,
    newest: Option<String>,
    alpn: Vec<String>,
    absent_alpn: Vec<String>,
    extensions: Vec<u16>,
    absent: Vec<u16>,
    groups: Vec<u16>,
    absent_groups: Vec<u16>,
    shuffled: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenHttp2 {
    pseudo: String,
    window: Option<u32>,
    settings: BTreeMap<String, u32>,
    only: Vec<u16>,
    exact: Vec<String>,
    priority: Option<WrittenPriority>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenPriority {
    Exclusive,
    Plain,
    Any,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenHeaders {
    always: Vec<String>,
    secure: Vec<String>,
    navigation: Vec<String>,
    http2: Vec<String>,
    never: Vec<String>,
    encodings: Vec<String>,
    absent_encodings: Vec<String>,
    order: Vec<String>,
    navigation_order: Vec<String>,
    script_order: Vec<String>,
    form: Option<WrittenKind>,
    relayed: Option<WrittenKind>,
    embedded: Option<WrittenKind>,
    call: Option<WrittenKind>,
    part: Option<WrittenKind>,
    media: Option<WrittenKind>,
    worker: Option<WrittenKind>,
    socket: Option<WrittenKind>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenKind {
    has: Vec<String>,
    lacks: Vec<String>,
    orders: Vec<Vec<String>>,
}

/// Reads the rows of one file; the first fault ends it.
pub(super) fn read(file: &str, text: &str) -> Result<Vec<Row>, FamiliesError> {
    let fault = |what: String| FamiliesError { file: file.into(), what: what.into() };
    let written: File = toml::from_str(text).map_err(|error| fault(error.to_string()))?;
    let rows = written.family.into_iter().map(|family| {
        let name = family.name.clone();
        row(family).map_err(|what| fault(format!("family `{name}`: {what}")))
    });
    rows.collect()
}

fn row(written: Written) -> Result<Row, String> {
    if written.source.trim().is_empty() || !is_date(&written.date) {
        return Err("expected a `source`, and a `date` written as 2026-11-21".to_owned());
    }
    if let (Some(from), Some(to)) = (written.from, written.to)
        && from > to
    {
        return Err(format!("expected `from` at most `to`, but found {from} and {to}"));
    }
    Ok(Row {
        name: written.name.into(),
        from: written.from,
        to: written.to,
        device: written.device.map(|device| match device {
            WrittenDevice::Desktop => Device::Desktop,
            WrittenDevice::Mobile => Device::Mobile,
        }),
        grade: if written.soft { Grade::Soft } else { Grade::Hard },
        tls: tls(written.tls)?,
        http2: http2(written.http2)?,
        headers: headers(&written.headers)?,
    })
}

fn tls(written: WrittenTls) -> Result<TlsRow, String> {
    let numbers = |text: &String| {
        let parts = text.split('-').map(|part| {
            part.parse().map_err(|_| format!("expected numbers with `-` between them, but found `{text}`"))
        });
        parts.collect::<Result<Vec<u16>, _>>()
    };
    let newest = |text: &str| match text {
        "1.0" => Ok(0x0301),
        "1.1" => Ok(0x0302),
        "1.2" => Ok(0x0303),
        _ => Err(format!("expected `1.0`, `1.1` or `1.2` in `newest`, but found `{text}`")),
    };
    let protocols = |names: Vec<String>| names.into_iter().map(|name| name.into_bytes().into()).collect();
    Ok(TlsRow {
        ciphers: written.ciphers.iter().map(numbers).collect::<Result<_, _>>()?,
        grease: written.grease,
        tls13: written.tls13,
        newest: written.newest.as_deref().map(newest).transpose()?,
        alpn: protocols(written.alpn),
        absent_alpn: protocols(written.absent_alpn),
        extensions: written.extensions,
        absent: written.absent,
        groups: written.groups,
        absent_groups: written.absent_groups,
        shuffled: written.shuffled,
    })
}

fn http2(written: WrittenHttp2) -> Result<Http2Row, String> {
    if let Some(letter) = written.pseudo.chars().find(|letter| !"maspr".contains(*letter)) {
        return Err(format!("expected letters of `m`, `a`, `s`, `p`, `r` in `pseudo`, but found `{letter}`"));
    }
    let setting = |id: &str, value: Option<u32>, text: &str| {
        id.parse::<u16>()
            .ok()
            .zip(value)
            .ok_or_else(|| format!("expected a setting as id and value, but found `{text}`"))
    };
    let frame = |text: &String| {
        let settings = text.split(';').map(|pair| {
            let (id, value) = pair.split_once(':').unwrap_or((pair, ""));
            setting(id, value.parse().ok(), pair)
        });
        settings.collect::<Result<Vec<_>, _>>()
    };
    Ok(Http2Row {
        pseudo: written.pseudo.chars().collect(),
        window: written.window,
        settings: written.settings.iter().map(|(id, value)| setting(id, Some(*value), id)).collect::<Result<_, _>>()?,
        only: written.only,
        exact: written.exact.iter().map(frame).collect::<Result<_, _>>()?,
        priority: written.priority.map(|priority| match priority {
            WrittenPriority::Exclusive => WantedPriority::Exclusive,
            WrittenPriority::Plain => WantedPriority::Plain,
            WrittenPriority::Any => WantedPriority::Any,
        }),
    })
}

fn headers(written: &WrittenHeaders) -> Result<HeaderRules, String> {
    let list = |names: &[String]| {
        let found = names
            .iter()
            .map(|name| Field::named(name).ok_or_else(|| format!("header `{name}` is none that is judged")));
        found.collect::<Result<Vec<_>, _>>()
    };
    let set = |names: &[String]| {
        let mut fields = Fields::NONE;
        for field in list(names)? {
            fields.insert(field);
        }
        Ok::<_, String>(fields)
    };
    let order = |names: &[String]| {
        let groups = names.iter().map(|group| {
            let names: Vec<String> = group.split('|').map(|name| name.trim().to_owned()).collect();
            list(&names)
        });
        let groups: Vec<Vec<Field>> = groups.collect::<Result<_, _>>()?;
        Ok::<_, String>(Order::of(groups.iter().map(Vec::as_slice)))
    };
    let codings = |names: &[String]| {
        let mut encodings = Encodings::default();
        for name in names {
            encodings.insert(name).ok_or_else(|| format!("content coding `{name}` is none that is judged"))?;
        }
        Ok::<_, String>(encodings)
    };
    let mut rules = HeaderRules {
        always: set(&written.always)?,
        secure: set(&written.secure)?,
        navigation: set(&written.navigation)?,
        http2: set(&written.http2)?,
        never: set(&written.never)?,
        encodings: codings(&written.encodings)?,
        absent_encodings: codings(&written.absent_encodings)?,
        order: order(&written.order)?,
        ..HeaderRules::default()
    };
    // The two plain orders are those of the kinds that every browser has; the table of a kind goes before them.
    let (navigation, script) = (order(&written.navigation_order)?, order(&written.script_order)?);
    for (kind, plain, table) in [
        (RequestKind::Page, navigation, None),
        (RequestKind::Form, navigation, written.form.as_ref()),
        (RequestKind::Relayed, Order::default(), written.relayed.as_ref()),
        (RequestKind::Embedded, navigation, written.embedded.as_ref()),
        (RequestKind::Call, script, written.call.as_ref()),
        (RequestKind::Part, script, written.part.as_ref()),
        (RequestKind::Media, Order::default(), written.media.as_ref()),
        (RequestKind::Worker, Order::default(), written.worker.as_ref()),
        (RequestKind::Socket, Order::default(), written.socket.as_ref()),
    ] {
        let Some(slot) = kind.place().and_then(|place| rules.kinds.get_mut(place)) else { continue };
        let mut orders = [plain, Order::default()];
        if let Some(table) = table.filter(|table| !table.orders.is_empty()) {
            if table.orders.len() > KindRules::ORDERS {
                return Err(format!(
                    "expected at most {} `orders`, but found {}",
                    KindRules::ORDERS,
                    table.orders.len()
                ));
            }
            orders = [Order::default(); KindRules::ORDERS];
            for (order_of, names) in orders.iter_mut().zip(&table.orders) {
                *order_of = order(names)?;
            }
        }
        *slot = KindRules {
            covered: table.is_some() || !plain.is_empty(),
            has: table.map_or(Ok(Fields::NONE), |table| set(&table.has))?,
            lacks: table.map_or(Ok(Fields::NONE), |table| set(&table.lacks))?,
            orders,
        };
    }
    Ok(rules)
}

/// Whether a text is a day as RFC 3339 writes it.
fn is_date(text: &str) -> bool {
    let shape = |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_where_it_is() {
        let row = |rest: &str| format!("[[family]]\nname = \"x\"\nsource = \"seen\"\ndate = \"2026-11-21\"\n{rest}");
        for (text, says) in [
            (row("from = 9\nto = 8"), "families/a.toml: family `x`: expected `from` at most `to`, but found 9 and 8"),
            (
                row("[family.headers]\nalways = [\"x-odd\"]"),
                "families/a.toml: family `x`: header `x-odd` is none that is judged",
            ),
            (
                row("[family.http2]\npseudo = \"mx\""),
                "families/a.toml: family `x`: expected letters of `m`, `a`, `s`, `p`, `r` in `pseudo`, but found `x`",
            ),
            (
                row("[family.http2]\nexact = [\"1;2\"]"),
                "families/a.toml: family `x`: expected a setting as id and value, but found `1`",
            ),
            (
                row("[family.headers.media]\norders = [[], [], []]"),
                "families/a.toml: family `x`: expected at most 2 `orders`, but found 3",
            ),
            (
                row("[family.tls]\nnewest = \"1.3\""),
                "families/a.toml: family `x`: expected `1.0`, `1.1` or `1.2` in `newest`, but found `1.3`",
            ),
            (
                row("[family.tls]\nciphers = [\"1-b\"]"),
                "families/a.toml: family `x`: expected numbers with `-` between them, but found `1-b`",
            ),
            (
                "[[family]]\nname = \"x\"\nsource = \"\"\ndate = \"2026-11-21\"".to_owned(),
                "families/a.toml: family `x`: expected a `source`, and a `date` written as 2026-11-21",
            ),
        ] {
            assert_eq!(read("families/a.toml", &text).unwrap_err().to_string(), says);
        }
        assert!(read("families/a.toml", &row("odd = 1")).unwrap_err().to_string().contains("unknown field `odd`"));
    }
}
