//! `portcullis explain --captures`: how captured requests would be decided, from a network of which nothing is known.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::Serialize;

use super::captured::{Captured, LineFault};
use super::replay::{Played, Replay};
use super::summary::{ClientResult, Summary};
use super::{Told, rules_path};
use crate::cli::ExplainArgs;
use crate::commands::{error_style, tell, tell_error};
use crate::rules::{self, LoadedRules};
use crate::serve;
use crate::settings::quote;

/// The largest file of captures, in bytes. All of it is read before any of it is replayed, so that its faults come
/// first and a client's requests come together; a line of a browser has some 6,000 bytes.
const MAX_BYTES: u64 = 256 << 20;

/// How many faults of a file are told; where there are more, they are of one kind.
const MAX_FAULTS: usize = 20;

/// Replays the captures in a file, or in standard input for `-`.
pub(super) fn run(args: &ExplainArgs, file: &Path) -> Result<(), Told> {
    let rules = load_rules(args)?;
    let captures = read(file)?;
    let gateway = serve::unserved(rules).map_err(|error| {
        tell_error(error);
        Told
    })?;
    let mut replay = Replay::new(gateway);
    let mut output = BufWriter::new(io::stdout().lock());
    let clients = by_client(&captures);
    let written = if args.summary {
        let results = clients.iter().map(|lines| ClientResult::of(&replay.client(lines), lines, &replay));
        let summary = Summary::of(results);
        write!(output, "{summary}")
    } else {
        clients.iter().try_for_each(|lines| write_lines(&replay.client(lines), &replay, &mut output))
    };
    written.and_then(|()| output.flush()).map_err(|error| {
        // Whoever read the output has had enough, as `head` does.
        if error.kind() != io::ErrorKind::BrokenPipe {
            tell_error(error);
        }
        Told
    })
}

fn load_rules(args: &ExplainArgs) -> Result<LoadedRules, Told> {
    let loaded = match rules_path(args)? {
        Some(path) => rules::load(&path, None),
        None => {
            tell("note: there are no `portcullis.toml` and no `rules` here, so the rules that are shipped hold\n");
            rules::shipped()
        }
    };
    loaded.map_err(|error| {
        tell(error.render(error_style()));
        Told
    })
}

fn read(file: &Path) -> Result<Vec<Captured>, Told> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { quote(&file.display().to_string()) };
    let unreadable = |error: io::Error| {
        tell_error(format_args!("cannot read the captures in {name}: {error}"));
        Told
    };
    let input: Box<dyn Read> =
        if file == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(file).map_err(unreadable)?) };
    let mut bytes = Vec::new();
    BufReader::new(input).take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        tell_error(format_args!("expected at most {MAX_BYTES} bytes in {name}, but found more"));
        tell("  = help: split the file; each client's lines must stay together\n");
        return Err(Told);
    }
    let (captures, faults) = parse(&bytes);
    for (number, fault) in faults.iter().take(MAX_FAULTS) {
        tell_error(format_args!("line {number} of {name}: {fault}"));
    }
    if faults.len() > MAX_FAULTS {
        tell_error(format_args!("{} more lines of {name} cannot be read", faults.len() - MAX_FAULTS));
    }
    if faults.is_empty() && captures.is_empty() {
        tell_error(format_args!("there are no captures in {name}"));
        tell("  = help: captures are JSON objects, one a line; `portcullis explain --help` says which\n");
        return Err(Told);
    }
    if faults.is_empty() { Ok(captures) } else { Err(Told) }
}

fn parse(bytes: &[u8]) -> (Vec<Captured>, Vec<(usize, LineFault)>) {
    let mut captures = Vec::new();
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match Captured::read(number, line) {
            Ok(captured) => captures.push(captured),
            Err(fault) => faults.push((number, fault)),
        }
    }
    (captures, faults)
}

/// The captures of each client, clients in the order in which they first come.
fn by_client(captures: &[Captured]) -> Vec<Vec<&Captured>> {
    let mut places = HashMap::new();
    let mut clients: Vec<Vec<&Captured>> = Vec::new();
    for captured in captures {
        let place = *places.entry(captured.client.as_str()).or_insert_with(|| {
            clients.push(Vec::new());
            clients.len() - 1
        });
        clients.get_mut(place).into_iter().for_each(|lines| lines.push(captured));
    }
    clients
}

/// The shape of a line; the names are stable, and those that audit records have mean the same.
#[derive(Serialize)]
struct Line<'a> {
    line: usize,
    client: &'a str,
    category: &'static str,
    request_kind: &'static str,
    method: &'a str,
    path: &'a str,
    route: &'a str,
    score: f64,
    action: &'static str,
    verdict: &'static str,
    code: &'static str,
    reasons: Vec<ReasonLine>,
    coverage: &'static str,
}

#[derive(Serialize)]
struct ReasonLine {
    signal: &'static str,
    strength: f64,
    points: f64,
}

fn write_lines(played: &[Played<'_>], replay: &Replay, output: &mut impl Write) -> io::Result<()> {
    for played in played {
        serde_json::to_writer(&mut *output, &line(played, replay))?;
        output.write_all(b"\n")?;
    }
    Ok(())
}

fn line<'a>(Played { captured, request, judged }: &'a Played<'_>, replay: &'a Replay) -> Line<'a> {
    let decision = &judged.decision;
    let reason = |reason: &portcullis_policy::Reason| ReasonLine {
        signal: reason.signal.name(),
        strength: decimal(reason.strength.as_thousandths()),
        points: decimal(reason.points.as_thousandths()),
    };
    Line {
        line: captured.line,
        client: &captured.client,
        category: captured.category.name(),
        request_kind: request.kind.name(),
        method: request.method.as_str(),
        path: &request.target,
        route: &replay.route(judged).name,
        score: decimal(decision.score.as_thousandths()),
        action: decision.action.name(),
        verdict: decision.verdict.name(),
        code: decision.code,
        reasons: decision.reasons.iter().map(reason).collect(),
        coverage: judged.coverage.name(),
    }
}

fn decimal(thousandths: u16) -> f64 {
    f64::from(thousandths) / 1000.0
}
