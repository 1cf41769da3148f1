use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Said;
use super::collect::{Collector, Entry};
use super::error::FeedError;
use super::text;
use crate::asn::Asn;
use crate::class::NetworkClass;
use crate::confidence::Confidence;

/// Which columns of a feed hold what. What is not given is found out, from the names in the first
/// line, or from what the first row holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CsvColumns {
    /// What stands between columns; by default the one of `,`, `;`, tab and `|` that is most often in
    /// the first row.
    pub delimiter: Option<u8>,
    /// The column with an address or a network.
    pub network: Option<Column>,
    /// The columns with the first and the last address of a range, as text or as one integer.
    pub range: Option<(Column, Column)>,
    /// The column with an AS number.
    pub asn: Option<Column>,
    /// The column with the name of a class.
    pub class: Option<Column>,
    /// The column with a confidence: from 0 to 1, or in percent.
    pub confidence: Option<Column>,
}

/// A column by its name in the first line, in either case, or by its place; the first is 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Column {
    /// By name.
    Name(Box<str>),
    /// By place.
    Index(usize),
}

/// Where the columns are.
struct Layout {
    delimiter: u8,
    what: What,
    class: Option<usize>,
    confidence: Option<usize>,
}

#[derive(Clone, Copy)]
enum What {
    Network(usize),
    Range(usize, usize),
    Asn(usize),
}

/// Reads rows. A quoted field may hold the delimiter, but no line break.
pub(super) fn read(bytes: &[u8], columns: &CsvColumns, collector: &mut Collector<'_>) -> Result<(), FeedError> {
    let mut layout = None;
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        collector.at_line(number);
        let Ok(line) = std::str::from_utf8(line) else {
            collector.skip("expected text in UTF-8");
            continue;
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with("//") {
            continue;
        }
        let layout = match &layout {
            Some(layout) => layout,
            None => {
                let delimiter = columns.delimiter.unwrap_or_else(|| likely_delimiter(line));
                let first: Vec<_> = fields(line, delimiter).collect();
                let named = first.iter().all(|field| !is_data(field));
                let found = layout.insert(Layout::of(columns, &first, delimiter, named)?);
                if named {
                    continue;
                }
                found
            }
        };
        row(line, layout, collector)?;
    }
    Ok(())
}

fn row(line: &str, layout: &Layout, collector: &mut Collector<'_>) -> Result<(), FeedError> {
    let fields: Vec<_> = fields(line, layout.delimiter).collect();
    let field = |at: usize| fields.get(at).map_or("", |field| field.as_ref());
    let entry = match layout.what {
        What::Network(at) => {
            text::entry(field(at)).or_else(|| Some(Entry::Network(crate::prefix::Prefix::host(integer(field(at))?))))
        }
        What::Range(first, last) => address(field(first))
            .and_then(|first| address(field(last)).map(|last| Entry::Range(first, last)))
            // An integer below 2^32 may be the end of an IPv6 range only together with its other end.
            .filter(|entry| matches!(entry, Entry::Range(first, last) if first.is_ipv4() == last.is_ipv4())),
        What::Asn(at) => field(at).parse::<Asn>().ok().map(Entry::Asn),
    };
    let Some(entry) = entry else {
        collector.skip_text(line);
        return Ok(());
    };
    let said = match said(layout, &field, collector) {
        Ok(said) => said,
        Err(wrong) => {
            collector.skip_text(&wrong);
            return Ok(());
        }
    };
    collector.add(entry, Some(said))
}

/// What the row itself says of its class; the text that says nothing known, if there is one.
fn said<'f>(layout: &Layout, field: &impl Fn(usize) -> &'f str, collector: &Collector<'_>) -> Result<Said, String> {
    let mut said = collector.default_said();
    if let Some(at) = layout.class {
        said.class = field(at).parse::<NetworkClass>().map_err(|_| field(at).to_owned())?;
    }
    if let Some(at) = layout.confidence {
        let written = field(at).parse::<f64>().ok();
        let share = written.map(|value| if value > 1.0 { value / 100.0 } else { value });
        said.confidence = share.and_then(Confidence::from_share).ok_or_else(|| field(at).to_owned())?;
    }
    Ok(said)
}

impl Layout {
    fn of(columns: &CsvColumns, first: &[Cow<'_, str>], delimiter: u8, named: bool) -> Result<Self, FeedError> {
        let find = |names: &[&str]| {
            let position = |field: &Cow<'_, str>| names.iter().any(|name| field.eq_ignore_ascii_case(name));
            first.iter().position(position).filter(|_| named)
        };
        let place = |column: &Column| match column {
            Column::Index(at) => Ok(*at),
            Column::Name(name) => find(&[name]).ok_or_else(|| FeedError::Column { name: name.to_string() }),
        };
        let given = |column: &Option<Column>, names: &[&str]| match column {
            Some(column) => place(column).map(Some),
            None => Ok(find(names)),
        };
        let field = |at: usize| first.get(at).map_or("", |field| field.as_ref());
        let what = if let Some((from, to)) = &columns.range {
            What::Range(place(from)?, place(to)?)
        } else if let Some(network) = &columns.network {
            What::Network(place(network)?)
        } else if let Some(asn) = &columns.asn {
            What::Asn(place(asn)?)
        } else if let Some(at) = find(NETWORK_NAMES) {
            What::Network(at)
        } else if let (Some(from), Some(to)) = (find(FIRST_NAMES), find(LAST_NAMES)) {
            What::Range(from, to)
        } else if let Some(at) = find(ASN_NAMES) {
            What::Asn(at)
        } else if address(field(0)).is_some() && address(field(1)).is_some() {
            What::Range(0, 1)
        } else if let Some(at) = first.iter().position(|field| text::entry(field).is_some()) {
            match text::entry(field(at)) {
                Some(Entry::Asn(_)) => What::Asn(at),
                _ => What::Network(at),
            }
        } else {
            // A number by itself is a network's, not an address: nobody lists addresses so.
            What::Asn(0)
        };
        Ok(Layout {
            delimiter,
            what,
            class: given(&columns.class, &["class"])?,
            confidence: given(&columns.confidence, &["confidence"])?,
        })
    }
}

/// Whether a field of the first row is an entry, so that the row does not name the columns.
fn is_data(field: &str) -> bool {
    text::entry(field).is_some() || (!field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An address as text, or as one integer: up to 2^32 of IPv4, above of IPv6.
fn address(field: &str) -> Option<IpAddr> {
    field.parse().ok().or_else(|| integer(field))
}

fn integer(field: &str) -> Option<IpAddr> {
    if field.is_empty() || !field.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u128 = field.parse().ok()?;
    Some(u32::try_from(number).map_or_else(|_| Ipv6Addr::from_bits(number).into(), |v4| Ipv4Addr::from_bits(v4).into()))
}

fn likely_delimiter(line: &str) -> u8 {
    let count = |delimiter: &u8| line.bytes().filter(|byte| byte == delimiter).count();
    // Of equals the last, so the comma stands there.
    *b"|\t;,".iter().max_by_key(|delimiter| count(delimiter)).unwrap_or(&b',')
}

/// The fields of a row, without quotes and the space around them (RFC 4180 §2, and what lists make of
/// it: space before a quote, and quotes that do not match).
fn fields(line: &str, delimiter: u8) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let begin = text.trim_start_matches([' ']);
        let quoted = begin.strip_prefix('"');
        let end_of_quote = quoted.and_then(|inner| closing_quote(inner, delimiter));
        if let (Some(inner), Some(end)) = (quoted, end_of_quote) {
            let field = inner.get(..end).unwrap_or_default();
            let after = inner.get(end + 1..).unwrap_or_default();
            rest = after.find(char::from(delimiter)).and_then(|at| after.get(at + 1..));
            return Some(if field.contains("\"\"") {
                Cow::Owned(field.replace("\"\"", "\""))
            } else {
                Cow::Borrowed(field.trim())
            });
        }
        let (field, after) =
            text.split_once(char::from(delimiter)).map_or((text, None), |(field, after)| (field, Some(after)));
        rest = after;
        Some(Cow::Borrowed(field.trim().trim_matches('"')))
    })
}

/// Where the quote that ends a field stands: one that is not doubled, and before the delimiter or the end.
fn closing_quote(inner: &str, delimiter: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + inner.get(from..)?.find('"')?;
        let after = inner.get(at + 1..).unwrap_or_default();
        if after.starts_with('"') {
            from = at + 2;
        } else if after.trim_start_matches(' ').is_empty()
            || after.trim_start_matches(' ').starts_with(char::from(delimiter))
        {
            return Some(at);
        } else {
            from = at + 1;
        }
    }
}

const NETWORK_NAMES: &[&str] = &[
    "cidr",
    "prefix",
    "network",
    "ip",
    "ip_address",
    "ipaddr",
    "ip_prefix",
    "address",
    "range",
    "ip_range",
    "subnet",
    "netblock",
    "ip address",
];
const FIRST_NAMES: &[&str] = &["start", "first", "start_ip", "range_start", "ip_from", "from", "ip_start"];
const LAST_NAMES: &[&str] = &["end", "last", "end_ip", "range_end", "ip_to", "to", "ip_end"];
const ASN_NAMES: &[&str] = &["asn", "as", "as_number", "autonomous_system_number"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_cut_at_delimiters_outside_quotes() {
        for (line, delimiter, cut) in [
            ("a,b,c", b',', &["a", "b", "c"][..]),
            ("a, b , c", b',', &["a", "b", "c"]),
            ("1,\"Cloudflare, Inc.\",x", b',', &["1", "Cloudflare, Inc.", "x"]),
            ("51447, \"RootLayer, NL\"", b',', &["51447", "RootLayer, NL"]),
            ("a,\"say \"\"so\"\"\"", b',', &["a", "say \"so\""]),
            ("AS7155,\"\"\"ViaSat\",Inc.\"", b',', &["AS7155", "\"ViaSat", "Inc."]),
            ("a,\"never ends", b',', &["a", "never ends"]),
            ("a;b", b';', &["a", "b"]),
            ("a,,", b',', &["a", "", ""]),
            ("", b',', &[""]),
        ] {
            let found: Vec<_> = fields(line, delimiter).collect();
            assert_eq!(found, cut, "{line}");
        }
    }

    #[test]
    fn the_delimiter_is_the_one_most_often_there() {
        for (line, delimiter) in [("a,b", b','), ("a;b", b';'), ("a\tb\tc", b'\t'), ("a|b", b'|'), ("a", b',')] {
            assert_eq!(likely_delimiter(line), delimiter, "{line}");
        }
    }

    #[test]
    fn an_integer_is_an_address() {
        for (text, written) in [
            ("16777216", Some("1.0.0.0")),
            ("42540488161975842760550356425300246528", Some("2001::")),
            ("-1", None),
            ("+1", None),
            ("", None),
            ("999999999999999999999999999999999999999999", None),
        ] {
            assert_eq!(address(text).map(|address| address.to_string()).as_deref(), written, "{text}");
        }
    }
}
