//! `portcullis clearance`: taking clearances back, through the admin listener of a running gateway.

use std::process::ExitCode;

use super::ban::{Ask, Listener, Told, json_line, print, written};
use super::tell_error;
use crate::admin::clearances::{PATH, RevokeOrder, RevokedLine, RevokedList};
use crate::cli::{ClearanceListArgs, ClearanceRevokeArgs, OutputFormat};

/// Takes back a clearance, those of a kind of client, or all.
pub(crate) fn revoke(args: &ClearanceRevokeArgs) -> ExitCode {
    let order = RevokeOrder { id: args.id.clone(), cohort: args.cohort.clone(), all: args.all };
    let Ok(body) = serde_json::to_vec(&order) else {
        tell_error("the order cannot be written as JSON");
        return ExitCode::FAILURE;
    };
    let ask = Ask::Other(PATH, Some(body));
    let done = Listener::of(&args.admin).and_then(|listener| listener.ask::<RevokedLine>(ask));
    print(done, args.format, |line| format!("took back {}\n", what(line)))
}

/// Lists what is taken back.
pub(crate) fn list(args: &ClearanceListArgs) -> ExitCode {
    let found = Listener::of(&args.admin).and_then(|listener| listener.ask::<RevokedList>(Ask::Other(PATH, None)));
    match args.format {
        OutputFormat::Text => print(found, args.format, table),
        OutputFormat::Json => match found {
            Ok(list) => written(&list.revoked.iter().filter_map(|line| json_line(line).ok()).collect::<String>()),
            Err(Told) => ExitCode::FAILURE,
        },
    }
}

fn what(line: &RevokedLine) -> String {
    match (line.kind.as_str(), &line.name) {
        ("id", Some(name)) => format!("the clearance {name}"),
        ("cohort", Some(name)) => format!("the clearances of cohort {name} up to {}", line.since),
        _ => format!("every clearance up to {}", line.since),
    }
}

fn table(list: &RevokedList) -> String {
    if list.revoked.is_empty() {
        return "nothing is taken back\n".to_owned();
    }
    let mut text: String =
        list.revoked.iter().map(|line| format!("{}, remembered until {}\n", what(line), line.until)).collect();
    let listed = list.revoked.len() as u64;
    if list.held > listed {
        text.push_str(&format!("and {} more\n", list.held - listed));
    }
    text
}
