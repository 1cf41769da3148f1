use std::net::IpAddr;

use super::collect::{Collector, Entry};
use super::error::FeedError;
use crate::prefix::Prefix;

/// Reads one entry a line.
pub(super) fn read(bytes: &[u8], collector: &mut Collector<'_>) -> Result<(), FeedError> {
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        collector.at_line(number);
        let Ok(line) = std::str::from_utf8(line) else {
            collector.skip("expected text in UTF-8");
            continue;
        };
        let content = without_comment(line).trim();
        if content.is_empty() {
            continue;
        }
        match entry(content) {
            Some(entry) => collector.add(entry, None)?,
            None => collector.skip_text(content),
        }
    }
    Ok(())
}

/// What stands before a comment: `#` and `;` begin one anywhere, `//` only where a word could begin.
pub(super) fn without_comment(line: &str) -> &str {
    let end = line.find(['#', ';']).unwrap_or(line.len());
    let line = line.get(..end).unwrap_or(line);
    let slashes = line.match_indices("//").find(|(at, _)| {
        line.get(..*at)
            .is_none_or(|before| before.is_empty() || before.ends_with(|letter: char| letter.is_whitespace()))
    });
    slashes.and_then(|(at, _)| line.get(..at)).unwrap_or(line)
}

/// One entry, in any of the ways that lists write one.
pub(super) fn entry(text: &str) -> Option<Entry> {
    let text = text.trim().trim_matches('"').trim();
    if let Some((first, last)) = text.split_once('-')
        && let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse())
    {
        return Some(Entry::Range(first, last));
    }
    let mut words = text.split_whitespace();
    let word = words.next()?;
    // Of check.torproject.org: `ExitAddress 192.0.2.1 2026-01-01 00:00:00`.
    let word = if word == "ExitAddress" { words.next()? } else { word };
    if let Ok(prefix) = word.parse::<Prefix>() {
        return Some(Entry::Network(prefix));
    }
    if word.get(..2).is_some_and(|letters| letters.eq_ignore_ascii_case("as")) {
        return word.parse().ok().map(Entry::Asn);
    }
    host(word).map(|address| Entry::Network(Prefix::host(address)))
}

/// The address of `scheme://host:port/path`, `host:port` or `[v6]:port`.
fn host(word: &str) -> Option<IpAddr> {
    let (rest, is_url) = word.split_once("://").map_or((word, false), |(_, rest)| (rest, true));
    let rest = if is_url { rest.split('/').next()? } else { rest };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if let Some(rest) = rest.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let good = port.is_empty() || is_port(port.strip_prefix(':')?);
        return address.parse().ok().filter(|_| good);
    }
    match rest.split_once(':') {
        Some((address, port)) if is_port(port) => address.parse().ok(),
        Some(_) => None,
        None => rest.parse().ok(),
    }
}

fn is_port(text: &str) -> bool {
    !text.starts_with('+') && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_however_it_is_written() {
        for (text, read) in [
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("192.0.2.77/24", Some("192.0.2.0/24")),
            ("\"192.0.2.1\"", Some("192.0.2.1/32")),
            ("::ffff:192.0.2.1", Some("192.0.2.1/32")),
            ("2001:DB8::1", Some("2001:db8::1/128")),
            ("[2001:db8::2]:443", Some("2001:db8::2/128")),
            ("[2001:db8::2]", Some("2001:db8::2/128")),
            ("192.0.2.1:3128", Some("192.0.2.1/32")),
            ("http://192.0.2.1:3128", Some("192.0.2.1/32")),
            ("socks5://user:word@192.0.2.1:1080/", Some("192.0.2.1/32")),
            ("https://[2001:db8::2]:8443/x", Some("2001:db8::2/128")),
            ("192.0.2.0/24 SBL1", Some("192.0.2.0/24")),
            ("ExitAddress 192.0.2.1 2026-01-01 00:00:00", Some("192.0.2.1/32")),
            ("192.0.2.1-192.0.2.9", Some("192.0.2.1-192.0.2.9")),
            ("192.0.2.1 - 192.0.2.9", Some("192.0.2.1-192.0.2.9")),
            ("AS64500", Some("AS64500")),
            ("as64500", Some("AS64500")),
            ("64500", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:+80", None),
            ("192.0.2.1:65536", None),
            ("192.0.2.0/33", None),
            ("192.0.02.1", None),
            ("1.2.3", None),
            ("fe80::1%eth0", None),
            ("[2001:db8::2]443", None),
            ("shop.example", None),
            ("http://", None),
            ("-", None),
            ("", None),
        ] {
            let written = entry(text).map(|entry| entry.to_string());
            assert_eq!(written.as_deref(), read, "`{text}`");
        }
    }

    #[test]
    fn a_comment_ends_the_line_and_a_url_is_none() {
        for (line, content) in [
            ("192.0.2.1 # one", "192.0.2.1 "),
            ("192.0.2.0/24 ; SBL1", "192.0.2.0/24 "),
            ("// all of it", ""),
            ("192.0.2.1 // one", "192.0.2.1 "),
            ("http://192.0.2.1:80", "http://192.0.2.1:80"),
            ("#", ""),
            ("é # é", "é "),
        ] {
            assert_eq!(without_comment(line), content, "`{line}`");
        }
    }
}
