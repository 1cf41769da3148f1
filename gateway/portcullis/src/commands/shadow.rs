//! `portcullis shadow report`: what is in monitor and would have been done, by audit records.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::records::{self, Lines, plain};
use super::{tell, tell_error};
use crate::cli::{OutputFormat, ShadowReportArgs};

/// Writes the report. Fails where records cannot be read.
pub(crate) fn report(args: &ShadowReportArgs) -> ExitCode {
    let mut report = Report::default();
    for path in &args.audit {
        if let Err(error) = report.read(path) {
            tell_error(format_args!("cannot read `{}`: {error}", path.display()));
            return ExitCode::FAILURE;
        }
    }
    if report.strange > 0 {
        tell(format_args!("warning: {} lines are no audit records and were left out\n", report.strange));
    }
    let text = match args.format {
        OutputFormat::Text => report.text(),
        OutputFormat::Json => report.json(),
    };
    if io::stdout().lock().write_all(text.as_bytes()).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is read of an audit record.
#[derive(Debug, Deserialize)]
struct Line {
    time: String,
    route: String,
    action: String,
    verdict: String,
    mode: String,
    client: String,
    claim: String,
    user: Option<String>,
    redeem: Option<String>,
    origin_failed: Option<bool>,
    #[serde(default)]
    shadow: Vec<Would>,
}

/// A part in monitor that would have acted.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Would {
    kind: String,
    name: String,
    action: String,
}

/// What stands in one row: a part of the policy on one route, and what it would have done.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
struct Item {
    kind: String,
    name: String,
    route: String,
    action: String,
}

/// What one item would have hit.
#[derive(Debug, Default)]
struct Hit {
    requests: u64,
    claims: BTreeMap<String, u64>,
    clients: HashMap<String, Later>,
    users: HashMap<String, Later>,
}

/// What those whom an item would have hit did afterwards.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Later {
    solved: bool,
    logged_in: bool,
}

/// Everything that was read.
#[derive(Debug, Default)]
struct Report {
    records: u64,
    strange: u64,
    /// Whether requests are recorded that were simply allowed, without which few logins are.
    has_allowed: bool,
    first: String,
    last: String,
    of_route: HashMap<String, u64>,
    hits: BTreeMap<Item, Hit>,
    /// The items that would have hit a client, by its address.
    items: HashMap<String, Vec<Item>>,
}

/// One row, for programs.
#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    item: &'a Item,
    requests: u64,
    /// The share of the recorded requests of the route.
    share: f64,
    clients: usize,
    users: usize,
    clients_solved_later: usize,
    clients_logged_in_later: usize,
    users_logged_in_later: usize,
    claims: &'a BTreeMap<String, u64>,
}

impl Report {
    fn read(&mut self, path: &Path) -> io::Result<()> {
        for line in Lines::open(path)? {
            match line? {
                records::Line::Text(line) if line.trim().is_empty() => {}
                records::Line::Text(line) => match serde_json::from_str::<Line>(&line) {
                    Ok(line) => self.take(line),
                    Err(_) => self.strange += 1,
                },
                records::Line::TooLong => self.strange += 1,
            }
        }
        Ok(())
    }

    fn take(&mut self, line: Line) {
        self.records += 1;
        if self.first.is_empty() {
            self.first.clone_from(&line.time);
        }
        self.last.clone_from(&line.time);
        self.has_allowed |= line.action == "allow" && line.verdict == "allow" && line.shadow.is_empty();
        *self.of_route.entry(line.route.clone()).or_default() += 1;
        self.note_later(&line);
        let itself = (line.mode == "monitor" && line.verdict != line.action).then(|| Would {
            kind: "route".to_owned(),
            name: line.route.clone(),
            action: line.verdict.clone(),
        });
        for Would { kind, name, action } in itself.into_iter().chain(line.shadow) {
            let item = Item { kind, name, route: line.route.clone(), action };
            let hit = self.hits.entry(item.clone()).or_default();
            hit.requests += 1;
            *hit.claims.entry(line.claim.clone()).or_default() += 1;
            if let Some(user) = &line.user {
                hit.users.entry(user.clone()).or_default();
            }
            if !hit.clients.contains_key(&line.client) {
                hit.clients.insert(line.client.clone(), Later::default());
                self.items.entry(line.client.clone()).or_default().push(item);
            }
        }
    }

    /// Notes what a client did after it would have been hit.
    fn note_later(&mut self, line: &Line) {
        let solved = line.redeem.as_deref() == Some("solved");
        // Whoever names a user whom the origin takes has come in.
        let logged_in = line.user.is_some() && line.origin_failed == Some(false);
        if !solved && !logged_in {
            return;
        }
        for item in self.items.get(&line.client).into_iter().flatten() {
            let Some(hit) = self.hits.get_mut(item) else { continue };
            if let Some(later) = hit.clients.get_mut(&line.client) {
                later.solved |= solved;
                later.logged_in |= logged_in;
            }
        }
        if let (true, Some(user)) = (logged_in, &line.user) {
            for hit in self.hits.values_mut() {
                if let Some(later) = hit.users.get_mut(user) {
                    later.logged_in = true;
                }
            }
        }
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let row = |(item, hit): (&'_ Item, &'_ Hit)| -> (u64, f64, usize) {
            let all = self.of_route.get(&item.route).copied().unwrap_or(1).max(1);
            // A count of records is exact in 53 bits.
            (hit.requests, hit.requests as f64 / all as f64, hit.clients.len())
        };
        let of =
            |later: &HashMap<String, Later>, is: fn(&Later) -> bool| later.values().filter(|later| is(later)).count();
        let mut rows: Vec<_> = self
            .hits
            .iter()
            .map(|(item, hit)| {
                let (requests, share, clients) = row((item, hit));
                Row {
                    item,
                    requests,
                    share: (share * 1000.0).round() / 1000.0,
                    clients,
                    users: hit.users.len(),
                    clients_solved_later: of(&hit.clients, |later| later.solved),
                    clients_logged_in_later: of(&hit.clients, |later| later.logged_in),
                    users_logged_in_later: of(&hit.users, |later| later.logged_in),
                    claims: &hit.claims,
                }
            })
            .collect();
        // Of one kind those first that would have hit the most.
        rows.sort_by(|one, other| (&one.item.kind, other.requests).cmp(&(&other.item.kind, one.requests)));
        rows
    }

    fn text(&self) -> String {
        let mut text = format!("{} records from {} to {}\n", self.records, plain(&self.first), plain(&self.last));
        if self.hits.is_empty() {
            text.push_str("nothing in monitor would have acted\n");
        }
        let mut kind = "";
        for row in self.rows() {
            if row.item.kind != kind {
                kind = &row.item.kind;
                text.push_str(&format!(
                    "\n{}\n",
                    PLURALS
                        .iter()
                        .find(|(one, _)| *one == kind)
                        .map_or_else(|| plain(kind), |(_, all)| (*all).to_owned())
                ));
            }
            let [name, route, action] = [&row.item.name, &row.item.route, &row.item.action].map(|text| plain(text));
            let place = if name == route { String::new() } else { format!(" on route `{route}`") };
            text.push_str(&format!(
                "  `{name}`{place} would {} {} ({:.1} %)",
                verb(&action),
                counted(row.requests, "request"),
                row.share * 100.0
            ));
            text.push_str(&format!(" of {}", counted(row.clients as u64, "client")));
            if row.users > 0 {
                text.push_str(&format!(" and {}", counted(row.users as u64, "user")));
            }
            let claims: Vec<_> = row.claims.iter().map(|(claim, count)| format!("{} {count}", plain(claim))).collect();
            text.push_str(&format!("\n    by what they say they are: {}\n", claims.join(", ")));
            text.push_str(&format!(
                "    later {} solved a challenge, and {} logged in\n",
                counted(row.clients_solved_later as u64, "client"),
                row.clients_logged_in_later
            ));
        }
        if !self.has_allowed && self.records > 0 {
            text.push_str(
                "\nnote: requests that were simply allowed are not recorded, so who logged in is hardly known; set \
                 `audit.allowed = \"all\"`\n",
            );
        }
        text
    }

    fn json(&self) -> String {
        let mut text = String::new();
        let mut line = |value: serde_json::Result<String>| {
            if let Ok(value) = value {
                text.push_str(&value);
                text.push('\n');
            }
        };
        self.rows().iter().for_each(|row| line(serde_json::to_string(row)));
        line(serde_json::to_string(&serde_json::json!({
            "records": self.records, "from": self.first, "to": self.last, "left_out": self.strange,
            "allowed_are_recorded": self.has_allowed,
        })));
        text
    }
}

/// The kinds of what can be in monitor, one and many.
const PLURALS: [(&str, &str); 5] =
    [("route", "routes"), ("rule", "rules"), ("limit", "limits"), ("filter", "filters"), ("signal", "signals")];

fn verb(action: &str) -> &str {
    if action == "step_up" { "ask for a stronger login from" } else { action }
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report_of(lines: &[&str]) -> Report {
        let mut report = Report::default();
        for line in lines {
            match serde_json::from_str(line) {
                Ok(line) => report.take(line),
                Err(_) => report.strange += 1,
            }
        }
        report
    }

    const HIT: &str = r#"{"time":"1","route":"login","action":"allow","verdict":"allow","mode":"enforce","client":"192.0.2.1","claim":"tool","user":"u1","shadow":[{"kind":"rule","name":"old","action":"block"},{"kind":"limit","name":"l","action":"throttle"}]}"#;
    const OTHER: &str = r#"{"time":"2","route":"login","action":"allow","verdict":"allow","mode":"enforce","client":"192.0.2.2","claim":"browser","shadow":[{"kind":"rule","name":"old","action":"block"}]}"#;
    const SOLVED: &str = r#"{"time":"3","route":"login","action":"allow","verdict":"allow","mode":"enforce","client":"192.0.2.2","claim":"browser","redeem":"solved"}"#;
    const IN: &str = r#"{"time":"4","route":"login","action":"allow","verdict":"allow","mode":"enforce","client":"192.0.2.1","claim":"tool","user":"u1","origin_failed":false}"#;
    const MONITORED: &str = r#"{"time":"5","route":"api","action":"allow","verdict":"ban","mode":"monitor","client":"192.0.2.3","claim":"tool"}"#;

    #[test]
    fn what_would_have_been_hit_is_counted_with_what_came_later() {
        let report = report_of(&[HIT, OTHER, HIT, SOLVED, IN, MONITORED, "nonsense"]);
        let rows: Vec<_> = report
            .rows()
            .iter()
            .map(|row| {
                let later = (row.clients_solved_later, row.clients_logged_in_later, row.users_logged_in_later);
                (row.item.kind.clone(), row.item.action.clone(), row.requests, row.clients, row.users, later)
            })
            .collect();
        let row = |kind: &str, action: &str, requests, clients, users, later| {
            (kind.to_owned(), action.to_owned(), requests, clients, users, later)
        };
        assert_eq!(
            rows,
            [
                row("limit", "throttle", 2, 1, 1, (0, 1, 1)),
                row("route", "ban", 1, 1, 0, (0, 0, 0)),
                row("rule", "block", 3, 2, 1, (1, 1, 1)),
            ]
        );
        assert_eq!((report.records, report.strange), (6, 1));
        assert!(
            report.text().contains("`old` on route `login` would block 3 requests (60.0 %) of 2 clients and 1 user")
        );
    }

    #[test]
    fn what_came_before_says_nothing() {
        let report = report_of(&[SOLVED, IN, OTHER, HIT]);
        assert!(report.rows().iter().all(|row| row.clients_solved_later + row.clients_logged_in_later == 0));
    }
}
