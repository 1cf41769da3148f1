//! `portcullis check` and `portcullis test`: every fault of settings and rules, and the rules' own tests.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use portcullis_policy::{Style, run_tests};

use super::{error_style, tell, tell_error};
use crate::accept::TlsStore;
use crate::audit::Sink;
use crate::cli::{CheckArgs, TestArgs};
use crate::clock::Clock;
use crate::intel::Networks;
use crate::origins::OriginSettings;
use crate::rules;
use crate::rules::LoadedRules;
use crate::settings::{Settings, SitesSettings, read_secret};

/// What has been found so far.
#[derive(Debug, Default)]
struct Tally {
    errors: usize,
    warnings: usize,
    failed: usize,
    summary: String,
}

/// Checks the settings and what they name, or a folder of rules.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    let mut tally = Tally::default();
    match (&args.config, &args.rules) {
        (None, Some(rules)) => tally.rules(rules, None),
        (config, _) => tally.settings(config.as_deref().unwrap_or(Path::new("portcullis.toml"))),
    }
    tally.finish()
}

/// Runs the tests of a folder of rules.
pub(crate) fn test(args: &TestArgs) -> ExitCode {
    let mut tally = Tally::default();
    tally.rules(&args.rules, None);
    tally.finish()
}

impl Tally {
    fn settings(&mut self, path: &Path) {
        let loaded = match Settings::load(path) {
            Ok(loaded) => loaded,
            Err(error) => {
                self.errors += match &error {
                    crate::settings::SettingsError::Faulty(diagnostics) => diagnostics.errors().count(),
                    crate::settings::SettingsError::Unreadable(..) => 1,
                };
                return tell(error.render(error_style()));
            }
        };
        self.warnings += loaded.warnings.warnings().count();
        tell(loaded.warnings.render(error_style()));
        let settings = loaded.settings;
        self.line(format_args!(
            "settings  {}: {}, {}",
            path.display(),
            counted(settings.listeners.len(), "listener"),
            counted(settings.origins.len(), "origin")
        ));
        self.files(&settings);
        self.rules(&settings.rules, Some(&settings.origins));
        if let Some(sites) = &settings.sites {
            self.sites(sites, &settings);
        }
    }

    /// Checks the files that the settings name, beside the rules.
    fn files(&mut self, settings: &Settings) {
        if settings.speaks_tls()
            && let Err(error) = TlsStore::load(&settings.certificates)
        {
            self.error(error);
        }
        match Networks::open(&settings.intel, &settings.sources, Clock::start().now().unix().0) {
            Ok((networks, unusable)) => {
                unusable.into_iter().for_each(|fault| self.error(fault));
                networks.refresher.faults().into_iter().for_each(|fault| self.error(fault));
            }
            Err(error) => self.error(error),
        }
        if let Sink::File(path) = &settings.audit.sink
            && let Some(fault) = audit_fault(path)
        {
            self.error(fault);
        }
        let secrets =
            settings.challenge.key_file.iter().chain(settings.verdict.iter().map(|verdict| &verdict.secret_file));
        for path in secrets {
            if let Err(error) = read_secret(path) {
                self.error(error);
            }
        }
    }

    /// Checks the sites that are not proxied. Their routes are only known where the rules are right.
    fn sites(&mut self, sites: &SitesSettings, settings: &Settings) {
        let Ok(rules) = rules::load(&settings.rules, Some(&settings.origins)) else { return };
        let routes: Vec<&str> = rules.compiled.rules.routes().iter().map(|route| &*route.name).collect();
        match sites.load(&routes) {
            Ok(loaded) => {
                self.warnings += loaded.warnings.warnings().count();
                tell(loaded.warnings.render(error_style()));
                self.line(format_args!(
                    "sites     {}: {}",
                    sites.file.display(),
                    counted(loaded.keys.sites().len(), "site")
                ));
            }
            Err(error) => {
                self.errors += error.count();
                tell(error.render(error_style()));
            }
        }
    }

    fn rules(&mut self, path: &Path, origins: Option<&[OriginSettings]>) {
        match rules::load(path, origins) {
            Ok(loaded) => self.tests(path, &loaded),
            Err(error) => {
                self.errors += error.count();
                tell(error.render(error_style()));
            }
        }
    }

    fn tests(&mut self, path: &Path, loaded: &LoadedRules) {
        let compiled = &loaded.compiled;
        self.warnings += compiled.warnings.warnings().count();
        tell(compiled.warnings.render(error_style()));
        // The first route is the one for requests that no other takes, which nobody wrote.
        let routes = compiled.rules.routes().iter().skip(1);
        let limits = routes.clone().map(|route| route.limits.len()).sum();
        self.line(format_args!(
            "rules     {}: {}, {}, {}, {}, version {}",
            path.display(),
            counted(loaded.files, "file"),
            counted(routes.count(), "route"),
            counted(compiled.rules.rules().len(), "rule"),
            counted(limits, "limit"),
            compiled.rules.version()
        ));
        if let Some(own) = &loaded.own_families {
            let names = own.rows.names().join(", ");
            self.line(format_args!(
                "families  {}, {}: in place of all shipped rows of {names}",
                counted(own.files, "file"),
                counted(own.rows.len(), "row")
            ));
        }
        let outcomes = run_tests(&compiled.rules, &compiled.tests);
        for outcome in outcomes.iter().filter(|outcome| !outcome.passed()) {
            self.failed += 1;
            tell(outcome.faults.render(error_style()));
        }
        let failed = self.failed;
        let passed = outcomes.len() - failed;
        self.line(format_args!("tests     {passed} passed, {failed} failed"));
    }

    fn error(&mut self, error: impl std::fmt::Display) {
        self.errors += 1;
        tell_error(error);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.summary.push_str(&line.to_string());
        self.summary.push('\n');
    }

    /// Says what was found in all. Success is that nothing is wrong; warnings are not.
    fn finish(self) -> ExitCode {
        let good = self.errors == 0 && self.failed == 0;
        let (green, red, plain) = match crate::style::style_for(&io::stdout()) {
            Style::Colour => ("\x1b[1;32m", "\x1b[1;31m", "\x1b[0m"),
            Style::Plain => ("", "", ""),
        };
        let mut verdict = if good { format!("{green}ok{plain}") } else { format!("{red}not ok{plain}") };
        let found = [(self.errors, "error"), (self.failed, "failed test"), (self.warnings, "warning")];
        let found: Vec<_> =
            found.iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(*count, what)).collect();
        if !found.is_empty() {
            verdict.push_str(": ");
            verdict.push_str(&found.join(", "));
        }
        let written = writeln!(io::stdout().lock(), "{}{verdict}", self.summary);
        if good && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Why audit records could not be written to a file, which need not be there yet.
fn audit_fault(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        return Some(format!("cannot write audit records to `{}`: it is a folder", path.display()));
    }
    (!folder.is_dir()).then(|| {
        format!("cannot write audit records to `{}`: there is no folder `{}`", path.display(), folder.display())
    })
}

/// `1 route`, `2 routes`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
