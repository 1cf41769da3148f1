//! `portcullis check`, `test` and `lint`: every fault of settings and rules, the rules' own tests, and what rules
//! probably do not mean.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use portcullis_policy::{Compiled, Diagnostic, Diagnostics, Severity, Span, Style, run_tests};
use serde::Serialize;

use super::{error_style, tell, tell_error};
use crate::accept::TlsStore;
use crate::audit::{Sink, try_file};
use crate::cli::{CheckArgs, LintArgs, OutputFormat, ReportArgs, TestArgs};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::intel::Networks;
use crate::origins::OriginSettings;
use crate::rules;
use crate::rules::{LoadedRules, RulesError};
use crate::settings::{Settings, SettingsError, SitesError, SitesSettings, read_secret, read_secrets};

/// What is told, how, and what has been found so far.
#[derive(Debug)]
struct Tally {
    report: ReportArgs,
    also: Also,
    errors: usize,
    warnings: usize,
    failed: usize,
    summary: String,
}

/// What is done with rules beside compiling them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Also {
    /// Their tests are run.
    Test,
    /// What they probably do not mean is told.
    Lint,
}

/// Checks the settings and what they name, or a folder of rules.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    let mut tally = Tally::new(args.report, Also::Test);
    match (&args.config, &args.rules) {
        (None, Some(rules)) => tally.rules(rules, None, None),
        (config, _) => tally.settings(config.as_deref().unwrap_or(Path::new("portcullis.toml"))),
    }
    tally.finish()
}

/// Runs the tests of a folder of rules.
pub(crate) fn test(args: &TestArgs) -> ExitCode {
    let mut tally = Tally::new(args.report, Also::Test);
    tally.rules(&args.rules, None, None);
    tally.finish()
}

/// Says what the rules of a folder probably do not mean.
pub(crate) fn lint(args: &LintArgs) -> ExitCode {
    let mut tally = Tally::new(args.report, Also::Lint);
    tally.rules(&args.rules, None, None);
    tally.finish()
}

impl Tally {
    const fn new(report: ReportArgs, also: Also) -> Self {
        Self { report, also, errors: 0, warnings: 0, failed: 0, summary: String::new() }
    }

    fn settings(&mut self, path: &Path) {
        let loaded = match Settings::load(path) {
            Ok(loaded) => loaded,
            Err(SettingsError::Faulty(diagnostics)) => return self.found(&diagnostics),
            Err(error @ SettingsError::Unreadable(..)) => return self.unreadable(&error.render(Style::Plain)),
        };
        self.found(&loaded.warnings);
        let settings = loaded.settings;
        self.line(format_args!(
            "settings  {}: {}, {}",
            path.display(),
            counted(settings.listeners.len(), "listener"),
            counted(settings.origins.len(), "origin")
        ));
        self.files(&settings);
        self.rules(&settings.rules, Some(&settings.origins), Some(&settings.identity.names()));
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
        if let Err(error) = Identity::load(&settings.identity) {
            self.error(error);
        }
        if let Sink::File(path) = &settings.audit.sink
            && let Err(error) = try_file(path)
        {
            self.error(error);
        }
        let keys = settings.challenge.key_file.iter().filter_map(|path| read_secrets(path).err());
        let verdict = settings.verdict.iter().filter_map(|verdict| read_secret(&verdict.secret_file).err());
        for error in keys.chain(verdict) {
            self.error(error);
        }
    }

    /// Checks the sites that are not proxied. Their routes are only known where the rules are right.
    fn sites(&mut self, sites: &SitesSettings, settings: &Settings) {
        let Ok(rules) = rules::load(&settings.rules, Some(&settings.origins)) else { return };
        let routes: Vec<&str> = rules.compiled.rules.routes().iter().map(|route| &*route.name).collect();
        match sites.load(&routes) {
            Ok(loaded) => {
                self.found(&loaded.warnings);
                self.line(format_args!(
                    "sites     {}: {}",
                    sites.file.display(),
                    counted(loaded.keys.sites().len(), "site")
                ));
            }
            Err(SitesError::Faulty(diagnostics)) => self.found(&diagnostics),
            Err(error) => self.unreadable(&error.render(Style::Plain)),
        }
    }

    fn rules(&mut self, path: &Path, origins: Option<&[OriginSettings]>, own_signals: Option<&[&str]>) {
        match rules::load(path, origins) {
            Ok(loaded) => {
                if let Some(given) = own_signals {
                    self.found(&loaded.compiled.unknown_own_signals(given));
                }
                self.loaded(path, &loaded);
            }
            Err(RulesError::Faulty(diagnostics)) => self.found(&diagnostics),
            Err(error) => self.unreadable(&error.render(Style::Plain)),
        }
    }

    fn loaded(&mut self, path: &Path, loaded: &LoadedRules) {
        let compiled = &loaded.compiled;
        self.found(&compiled.warnings);
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
        if loaded.lists > 0 {
            self.line(format_args!("lists     {}", counted(loaded.lists, "file")));
        }
        if let Some(own) = &loaded.own_families {
            let names = own.rows.names().join(", ");
            self.line(format_args!(
                "families  {}, {}: in place of all shipped rows of {names}",
                counted(own.files, "file"),
                counted(own.rows.len(), "row")
            ));
        }
        if self.also == Also::Lint {
            self.found(&compiled.lint(Clock::start().now().unix()));
        }
        if self.also == Also::Test || self.report.coverage {
            self.tests(compiled);
        }
    }

    fn tests(&mut self, compiled: &Compiled) {
        let outcomes = run_tests(&compiled.rules, &compiled.tests);
        for outcome in outcomes.iter().filter(|outcome| !outcome.passed()) {
            self.failed += 1;
            self.show(&outcome.faults);
        }
        let failed = self.failed;
        let passed = outcomes.len() - failed;
        self.line(format_args!("tests     {passed} passed, {failed} failed"));
        if !self.report.coverage {
            return;
        }
        let coverage = compiled.coverage(&outcomes);
        self.found(&compiled.uncovered(&coverage));
        let rules = compiled.rules.rules().len();
        let limits: usize = compiled.rules.routes().iter().map(|route| route.limits.len()).sum();
        let routes = compiled.rules.routes().len().saturating_sub(1);
        self.line(format_args!(
            "coverage  {} of {}, {} of {}, {} of {}",
            rules - coverage.rules.len(),
            counted(rules, "rule"),
            limits - coverage.limits.len(),
            counted(limits, "limit"),
            routes - coverage.routes.len(),
            counted(routes, "route"),
        ));
    }

    /// Shows faults and warnings, and counts them.
    fn found(&mut self, diagnostics: &Diagnostics) {
        self.errors += diagnostics.errors().count();
        self.warnings += diagnostics.warnings().count();
        self.show(diagnostics);
    }

    fn show(&self, diagnostics: &Diagnostics) {
        match self.report.format {
            OutputFormat::Text => tell(diagnostics.render(error_style())),
            OutputFormat::Json => {
                for entry in diagnostics.entries() {
                    print_line(&Finding::of(diagnostics, entry));
                }
            }
        }
    }

    /// What keeps a file from being read, as text of people; ends in a line feed.
    fn unreadable(&mut self, text: &str) {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        self.errors += 1;
        match self.report.format {
            OutputFormat::Text => tell(text),
            OutputFormat::Json => {
                let help = lines.filter_map(|line| line.trim_start().strip_prefix("= help: "));
                let message = first.strip_prefix("error: ").unwrap_or(first);
                print_line(&Finding { help: help.map(str::to_owned).collect(), ..Finding::bare(message) });
            }
        }
    }

    fn error(&mut self, error: impl std::fmt::Display) {
        self.errors += 1;
        match self.report.format {
            OutputFormat::Text => tell_error(error),
            OutputFormat::Json => print_line(&Finding::bare(&error.to_string())),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.summary.push_str(&line.to_string());
        self.summary.push('\n');
    }

    /// Says what was found in all. Success is that nothing is wrong; warnings are not, unless they are to be.
    fn finish(self) -> ExitCode {
        let denied = if self.report.deny_warnings { self.warnings } else { 0 };
        let good = self.errors == 0 && self.failed == 0 && denied == 0;
        let done = if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        if self.report.format == OutputFormat::Json {
            let Self { errors, warnings, failed, summary, .. } = self;
            print_line(&Summed {
                ok: good,
                errors,
                warnings,
                failed_tests: failed,
                summary: summary.lines().collect(),
            });
            return done;
        }
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
        if written.is_ok() { done } else { ExitCode::FAILURE }
    }
}

/// One fault or warning, for programs.
#[derive(Debug, Serialize)]
struct Finding {
    severity: &'static str,
    message: String,
    /// Where it is; absent where it has no place.
    #[serde(flatten)]
    place: Option<Place>,
    /// What is said about the place.
    label: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<Beside>,
    help: Vec<String>,
}

/// A place in a file; lines and columns count from 1, and the end is behind the last character.
#[derive(Debug, Serialize)]
struct Place {
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

/// Another place that a finding is about.
#[derive(Debug, Serialize)]
struct Beside {
    #[serde(flatten)]
    place: Option<Place>,
    label: String,
}

/// What was found in all, for programs; the last line.
#[derive(Debug, Serialize)]
struct Summed<'a> {
    ok: bool,
    errors: usize,
    warnings: usize,
    failed_tests: usize,
    summary: Vec<&'a str>,
}

impl Finding {
    fn bare(message: &str) -> Self {
        let message = message.to_owned();
        Self { severity: "error", message, place: None, label: String::new(), beside: Vec::new(), help: Vec::new() }
    }

    fn of(all: &Diagnostics, entry: &Diagnostic) -> Self {
        let place = |span: Span| {
            let (file, line, column) = all.position(span)?;
            let (_, end_line, end_column) = all.position(Span { start: span.end.max(span.start), ..span })?;
            Some(Place { file: file.to_owned(), line, column, end_line, end_column })
        };
        Self {
            severity: match entry.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: entry.title.clone(),
            place: entry.primary.as_ref().and_then(|label| place(label.span)),
            label: entry.primary.as_ref().map(|label| label.text.clone()).unwrap_or_default(),
            beside: entry
                .others
                .iter()
                .map(|label| Beside { place: place(label.span), label: label.text.clone() })
                .collect(),
            help: entry.help.clone(),
        }
    }
}

/// Writes one line of JSON; nobody is left to be told where that fails.
fn print_line(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        let _ = writeln!(io::stdout().lock(), "{text}");
    }
}

/// `1 route`, `2 routes`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
