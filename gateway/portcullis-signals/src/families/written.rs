//! Families as they are written: TOML, in which nothing unknown may stand.

use toml::de::DeTable;
use toml::value::{Date, Datetime};

use super::faults::{FamiliesError, Faults};
use super::reader::{Item, Section};
use super::{Device, Encodings, Grade, HeaderRules, Http2Row, KindRules, Row, TlsRow, WantedPriority};
use crate::Claim;
use crate::coherence::RequestKind;
use crate::headers::{Field, Fields, HeaderDigest, Order};
use crate::wording::quote;

/// Reads the rows of one file.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(super) fn read(file: &str, text: &str) -> Result<Vec<Row>, FamiliesError> {
    let mut faults = Faults::default();
    let (root, broken) = DeTable::parse_recoverable(text);
    for fault in &broken {
        faults.add(&fault.span().unwrap_or_default(), "this is not valid TOML", fault.message(), "");
    }
    // What is made of a broken line says nothing that its own fault does not say better.
    if !broken.is_empty() {
        return faults.or(file, text, Vec::new());
    }
    let mut table = Section::new("a file of rows", 0..0, root.get_ref(), &mut faults);
    let rows = table.tables("family", "a family", row);
    table.finish();
    faults.or(file, text, rows)
}

fn row(mut table: Section<'_, '_>) -> Row {
    let name = name(&mut table);
    table.required_text("source", "capture of Chromium 156");
    date(&mut table);
    let (from, to) = (table.number("from"), table.number("to"));
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        let at = table.place("to");
        table.faults.add(&at, "`from` is above `to`", format!("below {from}"), "lower `from`, or raise `to`");
    }
    let row = Row {
        name: name.into(),
        from,
        to,
        device: table.choice("device", &[("desktop", Device::Desktop), ("mobile", Device::Mobile)]),
        grade: if table.flag("soft") == Some(true) { Grade::Soft } else { Grade::Hard },
        tls: table.section("tls", "`family.tls`").map(tls).unwrap_or_default(),
        http2: table.section("http2", "`family.http2`").map(http2).unwrap_or_default(),
        headers: table.section("headers", "`family.headers`").map(headers).unwrap_or_default(),
    };
    table.finish();
    row
}

/// The name of a family that a claim can be of; rows of any other would never be asked.
fn name<'a>(table: &mut Section<'a, '_>) -> &'a str {
    let Some((name, at)) = table.required_text("name", "chromium") else { return "" };
    let known: Vec<_> = Claim::family_names().collect();
    if !known.contains(&name) {
        table.faults.unknown(&at, format!("unknown family {}", quote(name)), name, &known);
    }
    name
}

/// Checks the day on which a row was true (RFC 3339 §5.6, `full-date`).
fn date(table: &mut Section<'_, '_>) {
    let Some((text, at)) = table.required_text("date", "2026-11-21") else { return };
    let is_day =
        |text: &str| matches!(text.parse(), Ok(Datetime { date: Some(Date { .. }), time: None, offset: None }));
    if !is_day(text) {
        let title = format!("{} is no day", quote(text));
        table.faults.add(&at, title, "no calendar has it", "write year, month and day as in `2026-11-21`");
    }
}

fn tls(mut table: Section<'_, '_>) -> TlsRow {
    let row = TlsRow {
        ciphers: table.list("ciphers", suites),
        grease: table.flag("grease"),
        tls13: table.flag("tls13"),
        newest: table.choice("newest", &[("1.0", 0x0301), ("1.1", 0x0302), ("1.2", 0x0303)]),
        alpn: table.list("alpn", protocol),
        absent_alpn: table.list("absent_alpn", protocol),
        extensions: table.list("extensions", |faults, item| faults.number(item)),
        absent: table.list("absent", |faults, item| faults.number(item)),
        groups: table.list("groups", |faults, item| faults.number(item)),
        absent_groups: table.list("absent_groups", |faults, item| faults.number(item)),
        shuffled: table.flag("shuffled") == Some(true),
    };
    table.finish();
    row
}

/// Cipher suites by number, in the order sent: `4865-4866`.
fn suites(faults: &mut Faults, item: &Item<'_>) -> Option<Vec<u16>> {
    let text = faults.text(item)?;
    let suites = text.split('-').map(str::parse).collect::<Result<_, _>>().ok();
    if suites.is_none() {
        let title = format!("{} is no list of cipher suites", quote(text));
        faults.add(&item.at, title, "not all numbers to 65535", "write numbers with `-` between them");
    }
    suites
}

fn protocol(faults: &mut Faults, item: &Item<'_>) -> Option<Box<[u8]>> {
    faults.text(item).map(|name| name.as_bytes().into())
}

fn http2(mut table: Section<'_, '_>) -> Http2Row {
    let row = Http2Row {
        pseudo: pseudo(&mut table),
        window: table.number("window"),
        settings: table.section("settings", "`settings`").map(|mut table| settings(&mut table)).unwrap_or_default(),
        only: table.list("only", |faults, item| faults.number(item)),
        exact: table.list("exact", frame),
        priority: table.choice(
            "priority",
            &[("exclusive", WantedPriority::Exclusive), ("plain", WantedPriority::Plain), ("any", WantedPriority::Any)],
        ),
    };
    table.finish();
    row
}

/// Pseudo-header fields in order, by their letters.
fn pseudo(table: &mut Section<'_, '_>) -> Vec<char> {
    let Some(item) = table.take("pseudo") else { return Vec::new() };
    let letters = table.faults.text(&item).unwrap_or_default();
    if let Some(letter) = letters.chars().find(|letter| !"maspr".contains(*letter)) {
        let title = format!("{} is no pseudo-header field", quote(&letter.to_string()));
        table.faults.add(&item.at, title, "not known", "known here: `m`, `a`, `s`, `p`, `r`");
    }
    letters.chars().collect()
}

/// Settings as `id = value`.
fn settings(table: &mut Section<'_, '_>) -> Vec<(u16, u32)> {
    let mut settings = Vec::new();
    for item in table.items() {
        let value = table.faults.number(&item);
        match item.key.parse() {
            Ok(id) => settings.extend(value.map(|value| (id, value))),
            Err(_) => {
                let title = format!("{} is no setting", quote(item.key));
                table.faults.add(&item.at, title, "its identifier is no number to 65535", "write it as `4 = 65535`");
            }
        }
    }
    settings
}

/// A whole SETTINGS frame: `1:65536;4:131072`.
fn frame(faults: &mut Faults, item: &Item<'_>) -> Option<Vec<(u16, u32)>> {
    let text = faults.text(item)?;
    let setting = |pair: &str| {
        let (id, value) = pair.split_once(':')?;
        Some((id.parse().ok()?, value.parse().ok()?))
    };
    let settings: Option<_> = text.split(';').map(setting).collect();
    if settings.is_none() {
        let title = format!("{} is no SETTINGS frame", quote(text));
        faults.add(&item.at, title, "not all identifiers and values", "write it as `1:65536;4:131072`");
    }
    settings
}

fn headers(mut table: Section<'_, '_>) -> HeaderRules {
    let mut rules = HeaderRules {
        always: fields(&mut table, "always"),
        secure: fields(&mut table, "secure"),
        navigation: fields(&mut table, "navigation"),
        http2: fields(&mut table, "http2"),
        never: fields(&mut table, "never"),
        encodings: encodings(&mut table, "encodings"),
        absent_encodings: encodings(&mut table, "absent_encodings"),
        order: order(&mut table, "order"),
        ..HeaderRules::default()
    };
    // The two plain orders are those of the kinds that every browser has; the table of a kind goes before them.
    let (navigation, script) = (order(&mut table, "navigation_order"), order(&mut table, "script_order"));
    for (kind, plain, key) in [
        (RequestKind::Page, navigation, None),
        (RequestKind::Form, navigation, Some("form")),
        (RequestKind::Relayed, Order::default(), Some("relayed")),
        (RequestKind::Embedded, navigation, Some("embedded")),
        (RequestKind::Call, script, Some("call")),
        (RequestKind::Part, script, Some("part")),
        (RequestKind::Media, Order::default(), Some("media")),
        (RequestKind::Worker, Order::default(), Some("worker")),
        (RequestKind::Socket, Order::default(), Some("socket")),
    ] {
        let plain = KindRules { covered: !plain.is_empty(), orders: [plain, Order::default()], ..KindRules::default() };
        let written = key.and_then(|key| table.section(key, "the table of a kind of request"));
        let read = written.map_or(plain, |section| kind_rules(section, plain));
        if let Some(slot) = kind.place().and_then(|place| rules.kinds.get_mut(place)) {
            *slot = read;
        }
    }
    table.finish();
    rules
}

/// What the table of one kind of request says, with the orders of `plain` where it has none.
fn kind_rules(mut table: Section<'_, '_>, plain: KindRules) -> KindRules {
    let (has, lacks) = (fields(&mut table, "has"), fields(&mut table, "lacks"));
    let written = table.list("orders", |faults, item| Some(order_of(faults, item)));
    let mut orders = plain.orders;
    if !written.is_empty() {
        orders = [Order::default(); KindRules::ORDERS];
        for (order, written) in orders.iter_mut().zip(&written) {
            *order = *written;
        }
    }
    if written.len() > KindRules::ORDERS {
        let (at, title) = (table.place("orders"), format!("{} `orders` of one kind", written.len()));
        table.faults.add(&at, title, "too many", format!("at most {} are compared", KindRules::ORDERS));
    }
    table.finish();
    KindRules { covered: true, has, lacks, orders }
}

fn fields(table: &mut Section<'_, '_>, key: &'static str) -> Fields {
    let mut fields = Fields::NONE;
    for field in table.list(key, |faults, item| faults.text(item).and_then(|name| field(faults, item, name))) {
        fields.insert(field);
    }
    fields
}

fn field(faults: &mut Faults, item: &Item<'_>, name: &str) -> Option<Field> {
    let field = Field::named(name);
    if field.is_none() {
        let judged: Vec<_> = HeaderDigest::judged().collect();
        faults.unknown(&item.at, format!("header {} is none that is judged", quote(name)), name, &judged);
    }
    field
}

fn order(table: &mut Section<'_, '_>, key: &'static str) -> Order {
    table.take(key).map(|item| order_of(table.faults, &item)).unwrap_or_default()
}

/// An order, in which `a|b` is two fields that come in any order among themselves.
fn order_of(faults: &mut Faults, item: &Item<'_>) -> Order {
    let groups = faults.list(item, |faults, item| {
        let text = faults.text(item)?;
        Some(text.split('|').filter_map(|name| field(faults, item, name.trim())).collect::<Vec<_>>())
    });
    Order::of(groups.iter().map(Vec::as_slice))
}

fn encodings(table: &mut Section<'_, '_>, key: &'static str) -> Encodings {
    let mut encodings = Encodings::default();
    table.list(key, |faults, item| {
        let name = faults.text(item)?;
        let known = encodings.insert(name);
        if known.is_none() {
            let title = format!("content coding {} is none that is judged", quote(name));
            faults.unknown(&item.at, title, name, &Encodings::NAMES);
        }
        known
    });
    encodings
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    /// A row with what it must have.
    fn row(rest: &str) -> String {
        format!("[[family]]\nname = \"chromium\"\nsource = \"seen\"\ndate = \"2026-11-21\"\n{rest}")
    }

    fn faults(text: &str) -> String {
        read("families/a.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn all_faults_of_a_file_are_told_at_once_in_the_order_of_the_text() {
        let text = r#"
[[family]]
name = "chromum"
from = 9
to = 8
source = ""
date = "2026-99-99"
odd = 1
[family.tls]
newest = "1.3"
ciphers = ["1-b"]
groups = [70000, "x25519"]
[family.http2]
pseudo = "mx"
exact = ["1;2"]
settings = { initial = 1 }
[family.headers]
always = ["user-agnt", "x-odd"]
encodings = ["gzp"]
order = ["host|hots"]
[family.headers.media]
orders = [[], [], []]

[[family]]
date = 2026-11-21
"#;
        assert_snapshot!(faults(text), @r#"
    families/a.toml:3:8: unknown family `chromum`: not known here
      = help: did you mean `chromium`?
    families/a.toml:5:6: `from` is above `to`: below 9
      = help: lower `from`, or raise `to`
    families/a.toml:6:10: `source` is empty: says nothing
      = help: write such as `source = "capture of Chromium 156"`
    families/a.toml:7:8: `2026-99-99` is no day: no calendar has it
      = help: write year, month and day as in `2026-11-21`
    families/a.toml:8:1: unknown key `odd` in a family: not known here
      = help: known here: `name`, `source`, `date`, `from`, `to`, `device`, `soft`, `tls`, `http2`, `headers`
    families/a.toml:10:10: unknown value `1.3` for `newest`: not known here
      = help: did you mean `1.0`? Known here: `1.0`, `1.1`, `1.2`
    families/a.toml:11:12: `1-b` is no list of cipher suites: not all numbers to 65535
      = help: write numbers with `-` between them
    families/a.toml:12:11: `groups` is out of range: below zero, or too large
    families/a.toml:12:18: expected a whole number for `groups`, but found a text: a text, not a whole number
    families/a.toml:14:10: `x` is no pseudo-header field: not known
      = help: known here: `m`, `a`, `s`, `p`, `r`
    families/a.toml:15:10: `1;2` is no SETTINGS frame: not all identifiers and values
      = help: write it as `1:65536;4:131072`
    families/a.toml:16:24: `initial` is no setting: its identifier is no number to 65535
      = help: write it as `4 = 65535`
    families/a.toml:18:11: header `user-agnt` is none that is judged: not known here
      = help: did you mean `user-agent`?
    families/a.toml:18:24: header `x-odd` is none that is judged: not known here
      = help: known here: `host`, `user-agent`, `accept`, `accept-encoding`, `accept-language`, `cookie`, `sec-fetch-site`, `sec-fetch-mode`, `sec-fetch-user`, `sec-fetch-dest`, `sec-ch-ua`, `sec-ch-ua-mobile`, `sec-ch-ua-platform`, `upgrade-insecure-requests`, `referer`, `origin`, `priority`, `te`, `content-type`, `connection`, `range`, `upgrade`, `access-control-request-method`, `sec-websocket-key`, `sec-websocket-version`
    families/a.toml:19:14: content coding `gzp` is none that is judged: not known here
      = help: did you mean `gzip`? Known here: `gzip`, `deflate`, `br`, `zstd`
    families/a.toml:20:10: header `hots` is none that is judged: not known here
      = help: did you mean `host`?
    families/a.toml:22:10: 3 `orders` of one kind: too many
      = help: at most 2 are compared
    families/a.toml:24:1: a family without `name`: `name` is missing
      = help: add `name = "chromium"`
    families/a.toml:24:1: a family without `source`: `source` is missing
      = help: add `source = "capture of Chromium 156"`
    families/a.toml:25:8: expected a text for `date`, but found a date: a date, not a text
    "#);
    }

    #[test]
    fn a_text_that_is_no_toml_is_told_so_alone() {
        assert_snapshot!(faults("[[family]]\nname = \n[family.tls\nodd = 1\n"), @r#"
    families/a.toml:2:8: this is not valid TOML: string values must be quoted, expected literal string
    families/a.toml:3:12: this is not valid TOML: unclosed table, expected `]`
    "#);
    }

    #[test]
    fn a_date_is_a_day_of_the_calendar() {
        for (date, good) in [
            ("2026-11-21", true),
            ("2024-02-29", true),
            ("2026-02-29", false),
            ("2026-04-31", false),
            ("2026-13-01", false),
            ("2026-00-10", false),
            ("2026-99-99", false),
            ("2026-1-1", false),
            ("2026-11-21T10:00:00Z", false),
            ("10:00:00", false),
            ("yesterday", false),
        ] {
            let text = format!("[[family]]\nname = \"chromium\"\nsource = \"seen\"\ndate = \"{date}\"\n");
            assert_eq!(read("a.toml", &text).is_ok(), good, "{date}");
        }
    }

    #[test]
    fn a_row_is_of_a_family_that_can_be_claimed() {
        for (name, says) in [
            ("chromium", ""),
            ("webkitgtk", ""),
            ("netsurf", ""),
            ("chrome", "unknown family `chrome`"),
            ("other", "unknown family `other`"),
            ("niche", "unknown family `niche`"),
            ("fierfox", "did you mean `firefox`?"),
            ("Palemoon", "did you mean `palemoon`?"),
        ] {
            let text = row("").replace("chromium", name);
            let said = read("a.toml", &text).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{name}: {said}");
        }
    }

    #[test]
    fn the_faults_of_a_file_that_is_broken_all_over_are_counted() {
        let text = row("[family.headers]\nalways = [") + &"\"x\", ".repeat(1_000) + "]";
        let error = read("a.toml", &text).unwrap_err();
        assert_eq!(error.faults().len(), 201);
        assert_eq!(error.faults().last().map(|fault| &*fault.title), Some("800 more faults"));
    }
}
