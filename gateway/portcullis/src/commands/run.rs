//! `portcullis run`: the gateway itself.

use std::process::ExitCode;

use super::{error_style, settings, tell, tell_error};
use crate::cli::RunArgs;
use crate::serve::{Serving, Stop};
use crate::{logging, rules};

/// Runs the gateway until the process is told to end.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    let Some(settings) = settings(&args.config) else { return ExitCode::FAILURE };
    if let Err(error) = logging::start(settings.log) {
        tell_error(error);
        return ExitCode::FAILURE;
    }
    let rules = match rules::load(&settings.rules, Some(&settings.origins)) {
        Ok(rules) => rules,
        Err(error) => {
            tell(error.render(error_style()));
            return ExitCode::FAILURE;
        }
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        settings = %args.config.display(),
        policy = %rules.compiled.rules.version(),
        // Without the one for requests that no other takes, which nobody wrote.
        routes = rules.compiled.rules.routes().len().saturating_sub(1),
        "starting"
    );
    match Serving::start(&settings, rules, None) {
        Ok(serving) => {
            serving.run(Stop::Gracefully);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell_error(error);
            ExitCode::FAILURE
        }
    }
}
