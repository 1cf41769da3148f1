//! The commands of the program, one a file.

pub(crate) mod ban;
pub(crate) mod check;
pub(crate) mod clearance;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod fingerprint;
pub(crate) mod intel;
pub(crate) mod lookup;
mod records;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod shadow;
pub(crate) mod simulate;
pub(crate) mod sites;
pub(crate) mod solve;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use portcullis_intel::Intel;
use portcullis_policy::Style;

use crate::cli::DatabaseArgs;
use crate::clock::Clock;
use crate::intel::Networks;
use crate::settings::{IntelFiles, IntelSources, Settings};
use crate::style::style_for;

/// How messages on standard error are decorated.
fn error_style() -> Style {
    style_for(&io::stderr())
}

/// Writes to standard error; nobody is left to be told where that fails.
fn tell(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}

/// Says what is wrong, in the form of every other message.
fn tell_error(what: impl Display) {
    tell(format_args!("error: {what}\n"));
}

/// What is known of addresses by the settings, if there are any, or by the default set where it was fetched, and by the
/// arguments; faults are told.
///
/// None where a database of `asn` or `country` cannot be read; other sources are told of and left out.
fn intel(config: Option<&Path>, databases: &DatabaseArgs) -> Option<Arc<Intel>> {
    match config {
        Some(path) => {
            let settings = settings(path)?;
            known(settings.intel, &settings.sources, databases)
        }
        None => known(IntelFiles::default(), &IntelSources::default_set(Path::new("")), databases),
    }
}

/// What is known of addresses by these files and sources, and by the arguments in place of the files.
fn known(mut files: IntelFiles, sources: &IntelSources, databases: &DatabaseArgs) -> Option<Arc<Intel>> {
    if databases.asn_db.is_some() {
        files.asn.clone_from(&databases.asn_db);
    }
    if databases.country_db.is_some() {
        files.country.clone_from(&databases.country_db);
    }
    let now = Clock::start().now().unix().0;
    let (networks, unusable) = Networks::open(&files, sources, now).map_err(tell_error).ok()?;
    let faulty = networks.refresher.faults();
    unusable.iter().for_each(tell_error);
    faulty.iter().for_each(tell_error);
    // The gateway runs without a source that is at fault, so that is what it believes.
    unusable.is_empty().then(|| networks.snapshot.load_full())
}

/// The settings in a file; faults and warnings are told.
fn settings(path: &Path) -> Option<Settings> {
    match Settings::load(path) {
        Ok(loaded) => {
            tell(loaded.warnings.render(error_style()));
            Some(loaded.settings)
        }
        Err(error) => {
            tell(error.render(error_style()));
            None
        }
    }
}
