//! `portcullis intel`: fetching databases and feeds, and what is there of them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use portcullis_intel::SourceInfo;
use portcullis_policy::SourceFile;
use serde::Serialize;

use super::{error_style, settings, tell, tell_error};
use crate::cli::{IntelStatusArgs, IntelUpdateArgs, OutputFormat, SourceArgs};
use crate::clock::Clock;
use crate::intel::fetch::printable;
use crate::intel::{Networks, Outcome, Refresher, Shrinking, SnapshotLoader, Store};
use crate::settings::{IntelFiles, IntelSource, IntelSources, Place};

/// What one source is, one line of JSON.
#[derive(Serialize)]
struct Line {
    source: String,
    /// Whether it is a part of the program.
    compiled_in: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_secs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Fetches every source that is due, verifies and keeps it.
pub(crate) fn update(args: &IntelUpdateArgs) -> ExitCode {
    let Some(sources) = sources(&args.sources) else { return ExitCode::FAILURE };
    let refresher = match Refresher::new(&sources, SnapshotLoader::into_snapshot(Arc::default())) {
        Ok(refresher) => refresher,
        Err(error) => {
            tell_error(error);
            return ExitCode::FAILURE;
        }
    };
    let clock = Clock::start();
    refresher.load_kept(clock.now().unix().0);
    let shrinking = if args.accept_shrink { Shrinking::Accepted } else { Shrinking::Guarded };
    let store = Store::in_folder(sources.data.clone());
    let mut good = true;
    for (at, source) in sources.sources.iter().enumerate() {
        if !source.is_fetched() || (!args.only.is_empty() && !args.only.iter().any(|name| **name == *source.name)) {
            continue;
        }
        let outcome = refresher.refresh(at, clock.now().unix().0, shrinking);
        good &= outcome.is_good();
        let mut line = line(source, &store, clock.now().unix().0);
        line.result = Some(outcome.name());
        if let Outcome::Refused(error) | Outcome::Failed(error) = &outcome {
            line.error = Some(error.clone());
        }
        if line.print(args.format).is_err() {
            return ExitCode::FAILURE;
        }
    }
    if let Some(name) = args.only.iter().find(|name| sources.find(name).is_none()) {
        tell_error(format_args!("there is no source `{}`", printable(name)));
        good = false;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says what is there of every source, and of what is compiled in.
pub(crate) fn status(args: &IntelStatusArgs) -> ExitCode {
    let Some(sources) = sources(&args.sources) else { return ExitCode::FAILURE };
    let store = Store::in_folder(sources.data.clone());
    let now = Clock::start().now().unix().0;
    let networks = match Networks::open(&IntelFiles::default(), &sources, now) {
        Ok((networks, _)) => networks,
        Err(error) => {
            tell_error(error);
            return ExitCode::FAILURE;
        }
    };
    let own = sources.sources.iter().enumerate().map(|(at, source)| {
        let mut line = line(source, &store, now);
        let found = networks.refresher.board().status(at).unwrap_or_default();
        line.entries = found.entries.or(line.entries);
        line.error = line.error.or(found.error);
        line
    });
    let intel = networks.snapshot.load();
    let compiled_in = intel.merged().sources().iter().filter(|known| sources.find(&known.name).is_none());
    for line in own.chain(compiled_in.map(Line::of_compiled_in)) {
        if line.print(args.format).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The sources that are meant: those of the settings, of a file of sources, or the default set. Faults are told.
fn sources(args: &SourceArgs) -> Option<IntelSources> {
    let mut sources = match (&args.config, &args.sources) {
        (Some(config), _) => settings(config)?.sources,
        (None, Some(file)) => read(file)?,
        (None, None) => IntelSources::default_set(Path::new("")),
    };
    if let Some(data) = &args.data {
        sources.data.clone_from(data);
    }
    if !sources.sources.is_empty() {
        return Some(sources);
    }
    tell_error(
        "there is no source; add an `[[intel.source]]` or `[[intel.feed]]`, or `default_set = true` in `[intel]`",
    );
    None
}

fn read(path: &Path) -> Option<IntelSources> {
    let text = fs::read_to_string(path)
        .map_err(|error| tell_error(format_args!("cannot read the sources in `{}`: {error}", path.display())))
        .ok()?;
    let base = path.parent().unwrap_or(Path::new(""));
    IntelSources::read(SourceFile::new(path.display().to_string(), text), base)
        .map_err(|faults| tell(faults.render(error_style())))
        .ok()
}

fn line(source: &IntelSource, store: &Store, now: u64) -> Line {
    let mut line = Line {
        source: source.name.to_string(),
        compiled_in: false,
        result: None,
        age_secs: None,
        entries: None,
        bytes: None,
        licence: source.licence.clone(),
        error: None,
    };
    match &source.place {
        Place::File(path) => match fs::metadata(path) {
            Ok(metadata) => {
                let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                line.age_secs = changed.map(|changed| now.saturating_sub(changed.as_secs()));
                line.bytes = Some(metadata.len());
            }
            Err(error) => line.error = Some(format!("cannot read `{}`: {error}", path.display())),
        },
        Place::Url(_) => {
            let meta = store.meta(&source.name);
            line.error = meta.error;
            if !meta.sha256.is_empty() {
                line.age_secs = Some(now.saturating_sub(meta.fetched_at));
                line.entries = Some(meta.entries);
                line.bytes = Some(meta.bytes);
            }
        }
    }
    line
}

impl Line {
    fn of_compiled_in(known: &SourceInfo) -> Self {
        Self {
            source: known.name.to_string(),
            compiled_in: true,
            result: None,
            age_secs: None,
            entries: known.entries.and_then(|entries| u64::try_from(entries).ok()),
            bytes: None,
            licence: known.licence.as_deref().map(str::to_owned),
            error: None,
        }
    }

    fn print(&self, format: OutputFormat) -> io::Result<()> {
        let mut output = io::stdout().lock();
        let written = match format {
            OutputFormat::Text => writeln!(output, "{}", self.text()),
            OutputFormat::Json => {
                serde_json::to_writer(&mut output, self).map_err(io::Error::from).and_then(|()| writeln!(output))
            }
        };
        written.inspect_err(|error| tell_error(error))
    }

    fn text(&self) -> String {
        let mut text = format!("{:<26}", self.source);
        if let Some(result) = self.result {
            text.push_str(&format!(" {result:<9}"));
        }
        let age = match self.age_secs {
            Some(secs) => format!("{} old", age(secs)),
            None if self.compiled_in => "built in".to_owned(),
            None => "never".to_owned(),
        };
        let entries = self.entries.map_or("-".to_owned(), |entries| format!("{entries} entries"));
        text.push_str(&format!(" {age:<9} {entries:<16}"));
        text.push_str(&printable(self.licence.as_deref().unwrap_or("licence not said")));
        if let Some(error) = &self.error {
            text.push_str(&format!("\n  error: {}", printable(error)));
        }
        text
    }
}

/// A time in its largest unit.
fn age(secs: u64) -> String {
    match secs {
        0..=119 => format!("{secs} s"),
        120..=7_199 => format!("{} min", secs / 60),
        7_200..=172_799 => format!("{} h", secs / 3_600),
        _ => format!("{} d", secs / 86_400),
    }
}
