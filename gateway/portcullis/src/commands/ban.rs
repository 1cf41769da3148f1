//! `portcullis ban`: bans by hand, through the admin listener of a running gateway.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::config::Config;

use super::{settings, tell, tell_error};
use crate::admin::bans::{BanLine, BanList, BanOrder, CHANGE_HEADER, PATH, Refusal};
use crate::cli::{AdminArgs, BanAddArgs, BanListArgs, BanRemoveArgs, OutputFormat};
use crate::intel::fetch::printable;
use crate::settings::DEFAULT_ADMIN;

/// How long the gateway may take to answer.
const WITHIN: Duration = Duration::from_secs(10);

/// The longest answer that is read: ten thousand bans with the longest texts, every byte escaped.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// The settings file that is looked at where none is named.
const USUAL_SETTINGS: &str = "portcullis.toml";

/// Bans somebody.
pub(crate) fn add(args: &BanAddArgs) -> ExitCode {
    let order = BanOrder {
        kind: args.kind.clone(),
        name: args.name.clone(),
        for_secs: args.lasting.map(|lasting| lasting.as_secs()),
        until: args.until.clone(),
        reason: args.reason.clone(),
    };
    let Ok(body) = serde_json::to_vec(&order) else {
        tell_error("the ban cannot be written as JSON");
        return ExitCode::FAILURE;
    };
    let made = Listener::of(&args.admin).and_then(|listener| listener.ask::<BanLine>(Ask::Ban(body)));
    print(made, args.format, |line| {
        format!(
            "banned {} `{}` until {} (for another {})\n",
            line.kind,
            printable(line.name.as_deref().unwrap_or(&line.key)),
            line.until,
            span(line.remaining_secs)
        )
    })
}

/// Lists the bans that stand.
pub(crate) fn list(args: &BanListArgs) -> ExitCode {
    let found = Listener::of(&args.admin).and_then(|listener| listener.ask::<BanList>(Ask::List(args.limit)));
    match args.format {
        OutputFormat::Text => print(found, args.format, table),
        // One ban a line, as for every other list.
        OutputFormat::Json => match found {
            Ok(list) => written(&list.bans.iter().filter_map(|line| json_line(line).ok()).collect::<String>()),
            Err(Told) => ExitCode::FAILURE,
        },
    }
}

/// Lifts a ban.
pub(crate) fn remove(args: &BanRemoveArgs) -> ExitCode {
    let ask = Ask::Lift(&args.kind, &args.name);
    let lifted = Listener::of(&args.admin).and_then(|listener| listener.ask::<serde_json::Value>(ask));
    print(lifted, args.format, |_| format!("lifted the ban on {} `{}`\n", args.kind, printable(&args.name)))
}

/// Something is wrong, and has been said.
pub(super) struct Told;

/// What is asked of the gateway.
pub(super) enum Ask<'a> {
    Ban(Vec<u8>),
    List(u32),
    Lift(&'a str, &'a str),
    /// Another path of the listener: to be read, or with what is changed.
    Other(&'static str, Option<Vec<u8>>),
}

/// The admin listener of a running gateway.
pub(super) struct Listener(SocketAddr);

impl Listener {
    /// The one that is meant: given, of the settings given, of the settings here, or the usual one.
    pub(super) fn of(args: &AdminArgs) -> Result<Self, Told> {
        let addr = match (args.admin, &args.config) {
            (Some(addr), _) => addr,
            (None, Some(path)) => settings(path).ok_or(Told)?.admin,
            (None, None) if Path::new(USUAL_SETTINGS).exists() => {
                settings(Path::new(USUAL_SETTINGS)).ok_or(Told)?.admin
            }
            (None, None) => DEFAULT_ADMIN,
        };
        Ok(Self(reachable(addr)))
    }

    pub(super) fn ask<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, Told> {
        let config = Config::builder()
            .http_status_as_error(false)
            // What is asked is for the gateway alone.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(WITHIN))
            .build();
        let agent = Agent::new_with_config(config);
        let base = format!("http://{}{PATH}", self.0);
        let change = |at: String, body: Vec<u8>| {
            let request = agent.post(at).header(CHANGE_HEADER, "1").header("content-type", "application/json");
            request.send(body.as_slice())
        };
        let sent = match ask {
            Ask::Ban(body) => change(base, body),
            Ask::Other(path, Some(body)) => change(format!("http://{}{path}", self.0), body),
            Ask::Other(path, None) => agent.get(format!("http://{}{path}", self.0)).call(),
            Ask::List(limit) => agent.get(format!("{base}?limit={limit}")).call(),
            Ask::Lift(kind, name) => {
                let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
                agent.delete(format!("{base}/{}/{}", encoded(kind), encoded(name))).header(CHANGE_HEADER, "1").call()
            }
        };
        let mut response = sent.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| self.strange(status));
        }
        let refusal: Refusal = serde_json::from_slice(&body).map_err(|_| self.strange(status))?;
        tell_error(printable(&refusal.error));
        tell(format_args!("  = help: {}\n", printable(&refusal.help)));
        Err(Told)
    }

    fn unreachable(&self, error: &ureq::Error) -> Told {
        tell_error(format_args!("cannot ask the gateway at {}: {error}", self.0));
        tell("  = help: is it running? `--config` and `--admin` say where its admin listener is\n");
        Told
    }

    fn strange(&self, status: ureq::http::StatusCode) -> Told {
        tell_error(format_args!("what answers at {} is no admin listener of this version (status {status})", self.0));
        tell("  = help: `--config` and `--admin` say where it is\n");
        Told
    }
}

/// A listener on every address is asked on this machine's own.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

pub(super) fn print<T: serde::Serialize>(
    done: Result<T, Told>,
    format: OutputFormat,
    text: impl FnOnce(&T) -> String,
) -> ExitCode {
    let Ok(done) = done else { return ExitCode::FAILURE };
    match format {
        OutputFormat::Text => written(&text(&done)),
        OutputFormat::Json => written(&json_line(&done).unwrap_or_default()),
    }
}

pub(super) fn json_line(value: &impl serde::Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(|line| line + "\n")
}

pub(super) fn written(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            tell_error(format_args!("cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn table(list: &BanList) -> String {
    if list.bans.is_empty() {
        return "no bans\n".to_owned();
    }
    let rows: Vec<[String; 5]> = list.bans.iter().map(row).collect();
    let heads = ["kind", "name", "by", "for another", "reason"].map(str::to_owned);
    let mut widths = [0; 5];
    for row in rows.iter().chain([&heads]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in [&heads].into_iter().chain(&rows) {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    let listed = list.bans.len() as u64;
    if list.held > listed {
        text.push_str(&format!("and {} more; `--limit` shows up to 10000\n", list.held - listed));
    }
    text
}

fn row(line: &BanLine) -> [String; 5] {
    // What the policy banned has no name, and can be lifted by its key.
    let name = line.name.as_deref().map_or_else(|| format!("key {}", line.key), printable);
    let reason = printable(line.reason.as_deref().unwrap_or_default());
    [line.kind.clone(), name, line.by.clone(), span(line.remaining_secs), reason]
}

/// A time in its two largest units: `1d 3h`, `59m 12s`.
fn span(secs: u64) -> String {
    let parts = [(secs / 86_400, "d"), (secs / 3_600 % 24, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = parts.iter().skip(first).take(2).filter(|(count, _)| *count > 0);
    let text = shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ");
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads `30s`, `15m`, `1h` or `7d`.
pub(crate) fn lasting(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let unit_secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("expected a number and `s`, `m`, `h` or `d`, as in `1h` or `7d`".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a whole number before the unit, as in `7d`".to_owned())?;
    Ok(Duration::from_secs(number.saturating_mul(unit_secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        for (text, secs) in [("30s", Some(30)), ("15m", Some(900)), ("1h", Some(3_600)), ("7d", Some(604_800))] {
            assert_eq!(lasting(text).ok(), secs.map(Duration::from_secs), "{text}");
        }
        for text in ["", "1", "h", "1w", "-1h", "1.5h", "1 h", "99999999999999999999s", "1é"] {
            assert!(lasting(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_length_of_time_is_shown_in_its_two_largest_units() {
        for (secs, text) in [(0, "0s"), (9, "9s"), (60, "1m"), (3_599, "59m 59s"), (3_601, "1h"), (90_061, "1d 1h")] {
            assert_eq!(span(secs), text, "{secs}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        for (addr, asked) in
            [("0.0.0.0:9090", "127.0.0.1:9090"), ("[::]:9090", "[::1]:9090"), ("192.0.2.1:1", "192.0.2.1:1")]
        {
            assert_eq!(reachable(addr.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn a_list_is_a_table_that_no_name_can_break() {
        let line = |kind: &str, name: Option<&str>, remaining_secs| BanLine {
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            key: "0f".repeat(16),
            by: if name.is_some() { "hand" } else { "policy" }.to_owned(),
            reason: name.map(|_| "a pest\u{1b}[2J".to_owned()),
            since: String::new(),
            until: String::new(),
            remaining_secs,
        };
        let list = BanList { held: 3, bans: vec![line("user", Some("ann\n"), 61), line("address", None, 5)] };
        assert_eq!(
            table(&list),
            "kind     name                                  by      for another  reason
user     ann?                                  hand    1m 1s        a pest?[2J
address  key 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f  policy  5s
and 1 more; `--limit` shows up to 10000
"
        );
        assert_eq!(table(&BanList { held: 0, bans: Vec::new() }), "no bans\n");
    }
}
