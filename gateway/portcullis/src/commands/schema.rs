//! `portcullis schema`: the keys of rules files, for editors and for people.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::SchemaArgs;

/// Writes the JSON Schema, or the reference page.
pub(crate) fn run(args: &SchemaArgs) -> ExitCode {
    let text =
        if args.reference { portcullis_policy::reference() } else { format!("{:#}\n", portcullis_policy::schema()) };
    if io::stdout().lock().write_all(text.as_bytes()).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
