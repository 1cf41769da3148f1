//! `portcullis simulate`: attacks and honest traffic played against rules, and what came of them.

mod dice;
mod networks;
mod report;
mod scenario;
mod stacks;
mod text;
mod units;
mod world;
mod written;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{error_style, tell, tell_error};
use crate::cli::{OutputFormat, SimulateArgs};
use crate::rules::{self, LoadedRules};
use crate::serve;
use report::Report;
use scenario::Scenario;
use world::World;

/// Plays each scenario. Fails where one cannot be read or played, or what it expects does not come about.
pub(crate) fn run(args: &SimulateArgs) -> ExitCode {
    // All are read before any is played, so that faults come first.
    let scenarios: Vec<_> = args.scenarios.iter().map(|path| load(path)).collect();
    let Some(scenarios) = scenarios.into_iter().collect::<Option<Vec<_>>>() else { return ExitCode::FAILURE };
    let mut outcome = ExitCode::SUCCESS;
    for scenario in &scenarios {
        match play(scenario, args).and_then(|report| Some((report.holds(), text(&report, args.format)?))) {
            Some((holds, text)) if write(&text) => {
                if !holds {
                    outcome = ExitCode::FAILURE;
                }
            }
            _ => return ExitCode::FAILURE,
        }
    }
    outcome
}

fn load(path: &Path) -> Option<Scenario> {
    scenario::load(path).map_err(|fault| tell(fault.render(error_style()))).ok()
}

fn play<'a>(scenario: &'a Scenario, args: &SimulateArgs) -> Option<Report<'a>> {
    // Each scenario has a gateway of its own, which has seen nothing.
    let gateway = serve::unserved(load_rules(args)?).map_err(tell_error).ok()?;
    let tallies = World::new(scenario, gateway).play().map_err(tell_error).ok()?;
    Some(Report { scenario, tallies })
}

fn load_rules(args: &SimulateArgs) -> Option<LoadedRules> {
    let usual = || Some(PathBuf::from("rules")).filter(|folder| folder.is_dir());
    let loaded = match args.rules.clone().or_else(usual) {
        Some(path) => rules::load(&path, None),
        None => rules::shipped(),
    };
    loaded.map_err(|error| tell(error.render(error_style()))).ok()
}

fn text(report: &Report<'_>, format: OutputFormat) -> Option<String> {
    match format {
        OutputFormat::Text => Some(report.to_string()),
        OutputFormat::Json => report.json().map_err(tell_error).ok().map(|line| line + "\n"),
    }
}

fn write(text: &str) -> bool {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_ok()
}
