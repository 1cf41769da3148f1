//! What came of captured clients, by category.

use std::fmt;

use portcullis_policy::model::{Action, Clients};

use super::captured::{Captured, Category, Kind};
use super::replay::{Played, Replay};

/// What came of one client.
#[derive(Debug)]
pub(super) struct ClientResult {
    name: String,
    group: Group,
    hellos: usize,
    requests: usize,
    /// The worst of its page, API and login requests, or of all its requests where it made none of these.
    worst: Option<Worst>,
    /// The worst of its requests on routes for browsers, or of all its requests where it made none there.
    on_browser_route: Option<Worst>,
}

/// The hardest verdict on some requests of a client, and why.
#[derive(Clone, Debug)]
struct Worst {
    verdict: Action,
    score: u16,
    kind: Kind,
    signals: Vec<&'static str>,
}

/// What came of all clients, as a table and lines that name clients.
#[derive(Debug)]
pub(super) struct Summary(Vec<ClientResult>);

/// A row of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Group {
    Browser,
    Automated,
    FullStack,
    HeaderOnly,
    Tool(Category),
}

/// What the names of impersonators begin with that copy the header of a browser and no more. The handshake stays that
/// of the library beneath: untouched for `spoof:`, with its own ciphers in another order for the other two, and no
/// browser's HTTP/2 either way. All others bring a TLS and HTTP/2 stack that was built to copy a browser's.
const HEADER_ONLY: &str = include_str!("header_only.txt");

impl Group {
    const ALL: [Self; 9] = [
        Self::Browser,
        Self::Automated,
        Self::FullStack,
        Self::HeaderOnly,
        Self::Tool(Category::Library),
        Self::Tool(Category::CommandLine),
        Self::Tool(Category::Scanner),
        Self::Tool(Category::LoadTool),
        Self::Tool(Category::Crawler),
    ];

    fn of(category: Category, name: &str) -> Self {
        match category {
            Category::Browser => Self::Browser,
            Category::Automated => Self::Automated,
            Category::Impersonator if HEADER_ONLY.lines().any(|beginning| name.starts_with(beginning)) => {
                Self::HeaderOnly
            }
            Category::Impersonator => Self::FullStack,
            tool => Self::Tool(tool),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::FullStack => "impersonator, full stack",
            Self::HeaderOnly => "impersonator, header only",
            Self::Browser => Category::Browser.name(),
            Self::Automated => Category::Automated.name(),
            Self::Tool(category) => category.name(),
        }
    }
}

impl ClientResult {
    /// What came of the client that sent these lines.
    pub(super) fn of(played: &[Played<'_>], lines: &[&Captured], replay: &Replay) -> Option<Self> {
        let first = lines.first()?;
        let worst = |of: &dyn Fn(&Played<'_>) -> bool| {
            let some = played.iter().filter(|played| of(played)).map(Worst::of).max_by_key(Worst::rank);
            some.or_else(|| played.iter().map(Worst::of).max_by_key(Worst::rank))
        };
        Some(Self {
            name: first.client.clone(),
            group: Group::of(first.category, &first.client),
            hellos: connections(lines),
            requests: played.len(),
            worst: worst(&|played| matches!(played.request.kind, Kind::Page | Kind::Api | Kind::Login)),
            on_browser_route: worst(&|played| replay.route(&played.judged).clients == Clients::Browser),
        })
    }

    fn is_worse_than(&self, verdict: Action) -> bool {
        self.worst.as_ref().is_some_and(|worst| worst.verdict > verdict)
    }
}

/// How many connections these lines are of.
fn connections(lines: &[&Captured]) -> usize {
    let mut connections: Vec<_> = lines.iter().map(|line| &line.connection).collect();
    connections.sort();
    connections.dedup();
    connections.len()
}

impl Worst {
    fn of(played: &Played<'_>) -> Self {
        let decision = &played.judged.decision;
        Self {
            verdict: decision.verdict,
            score: decision.score.as_thousandths(),
            kind: played.request.kind,
            signals: decision.reasons.iter().map(|reason| reason.signal.name()).collect(),
        }
    }

    const fn rank(&self) -> (Action, u16) {
        (self.verdict, self.score)
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let score = f64::from(self.score) / 1000.0;
        write!(f, "{} at {score:.3} for its {}", self.verdict.name(), self.kind.name())?;
        match self.signals.as_slice() {
            [] => Ok(()),
            signals => write!(f, ": {}", signals.join(", ")),
        }
    }
}

impl Summary {
    /// The summary of these clients.
    pub(super) fn of(clients: impl Iterator<Item = Option<ClientResult>>) -> Self {
        Self(clients.flatten().collect())
    }

    /// The clients of some groups that asked for anything.
    fn judged(&self, of: impl Fn(Group) -> bool) -> impl Iterator<Item = &ClientResult> {
        self.0.iter().filter(move |client| of(client.group) && client.worst.is_some())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_table(f)?;
        writeln!(f)?;
        self.write_names(f)
    }
}

impl Summary {
    fn write_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The worst that came of each client, over its page, API and login requests:\n")?;
        writeln!(
            f,
            "{:<27}{:>7}{:>7}{:>10}{:>11}{:>7}{:>21}",
            "category", "clients", "allow", "throttle", "challenge", "block", "challenged or worse"
        )?;
        for group in Group::ALL {
            let count = |of: &[Action]| {
                let is =
                    |client: &&ClientResult| client.worst.as_ref().is_some_and(|worst| of.contains(&worst.verdict));
                self.judged(|other| other == group).filter(is).count()
            };
            let [allow, throttle] = [count(&[Action::Allow]), count(&[Action::Throttle])];
            // To ask for more proof is to challenge, and a ban begins with a block.
            let [challenge, block] =
                [count(&[Action::Challenge, Action::StepUp]), count(&[Action::Block, Action::Ban])];
            let clients = allow + throttle + challenge + block;
            if clients > 0 {
                let share = share(challenge + block, clients);
                let name = group.name();
                writeln!(f, "{name:<27}{clients:>7}{allow:>7}{throttle:>10}{challenge:>11}{block:>7}{share:>21}")?;
            }
        }
        Ok(())
    }

    fn write_names(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_tool = |group| matches!(group, Group::Tool(_));
        let is_impersonator = |group| matches!(group, Group::FullStack | Group::HeaderOnly);
        let passed = |client: &&ClientResult| !client.is_worse_than(Action::Throttle);
        let passed_pages =
            |client: &&ClientResult| client.on_browser_route.as_ref().is_some_and(|it| it.verdict < Action::Challenge);
        let with_worst = |client: &ClientResult| (client.name.clone(), client.worst.clone());

        let stopped = self.judged(|group| group == Group::Browser).filter(|client| !passed(client));
        list(f, "browsers that were challenged or blocked", stopped.map(with_worst))?;
        let tools = self.judged(is_tool).count();
        let missed: Vec<_> = self.judged(is_tool).filter(passed_pages).collect();
        let challenged = share(tools - missed.len(), tools);
        let what = format!("tools that were not challenged on a route for browsers ({challenged} were)");
        list(f, &what, missed.iter().map(|client| (client.name.clone(), client.on_browser_route.clone())))?;
        let missed = self.judged(is_impersonator).filter(passed);
        list(f, "impersonators that were not challenged", missed.map(with_worst))?;
        let automated = self.judged(|group| group == Group::Automated).filter(passed);
        list(f, "automated browsers that were not challenged, since they show nothing", automated.map(with_worst))?;
        let silent = self.0.iter().filter(|client| client.worst.is_none());
        list(f, "clients that only shook hands, so that nothing is judged", silent.map(|it| (it.name.clone(), None)))?;
        let [requests, hellos] = [|it: &ClientResult| it.requests, |it: &ClientResult| it.hellos]
            .map(|of| self.0.iter().map(of).sum::<usize>());
        writeln!(f, "\n{requests} requests of {} clients on {hellos} connections", self.0.len())
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, clients: impl Iterator<Item = (String, Option<Worst>)>) -> fmt::Result {
    let clients: Vec<_> = clients.collect();
    if clients.is_empty() {
        return writeln!(f, "{what}: none");
    }
    writeln!(f, "{what}: {}", clients.len())?;
    for (name, worst) in clients {
        match worst {
            Some(worst) => writeln!(f, "  {name}: {worst}")?,
            None => writeln!(f, "  {name}")?,
        }
    }
    Ok(())
}

/// A share in percent, to one place.
fn share(part: usize, whole: usize) -> String {
    let thousandths = (part * 1000).checked_div(whole).unwrap_or(1000);
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}
