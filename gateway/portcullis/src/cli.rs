//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::admin::bans;
use crate::commands;
use crate::gateway::Subject;

/// A risk-based access gateway for APIs.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Check settings and rules, and run the tests in the rules.
    Check(CheckArgs),
    /// Run the tests in a folder of rules.
    Test(TestArgs),
    /// Say what rules probably do not mean, though they compile: what never fires, contradicts, has expired, is open to
    /// all.
    Lint(LintArgs),
    /// Say what is in monitor and would have been done.
    #[command(subcommand)]
    Shadow(ShadowCommand),
    /// Write the JSON Schema of rules files, by which editors complete and check them.
    Schema(SchemaArgs),
    /// Say how one request would be decided, step by step, or many that were captured.
    #[command(after_help = EXPLAIN_HELP)]
    Explain(Box<ExplainArgs>),
    /// Play attacks and honest traffic against rules, by a clock of their own, and say who was stopped.
    ///
    /// The exit status is 1 where attackers got through, or honest clients were stopped, more than the scenario allows.
    Simulate(SimulateArgs),
    /// Read ClientHellos, in hex or from a capture, and write their prints as JSON, one a line.
    Fingerprint(FingerprintArgs),
    /// Say what is known of addresses.
    Lookup(LookupArgs),
    /// Fetch databases and feeds of addresses, and say what is there of them.
    #[command(subcommand)]
    Intel(IntelCommand),
    /// Ban by hand, list bans and lift them, while the gateway runs.
    #[command(subcommand)]
    Ban(BanCommand),
    /// Ask for a page as curl does, and pay with work where the gateway in front of it asks for that.
    #[command(after_help = SOLVE_HELP)]
    Solve(SolveArgs),
    /// Look at the sites that are not proxied, while the gateway runs.
    #[command(subcommand)]
    Sites(SitesCommand),
    /// Take back what solved challenges earned, while the gateway runs.
    #[command(subcommand)]
    Clearance(ClearanceCommand),
    /// Run an origin, the gateway in front of it and example rules, all in one.
    Demo(DemoArgs),
}

#[derive(Debug, Subcommand)]
enum ShadowCommand {
    /// Say of everything in monitor how many requests, clients and users it would have hit, by audit records.
    ///
    /// Of those clients it says how many later solved a challenge or logged in, which speaks for their being people.
    Report(ShadowReportArgs),
}

#[derive(Debug, Subcommand)]
enum IntelCommand {
    /// Fetch every source that is due, verify it, and keep it in the data folder.
    ///
    /// The data folder is `intel` beside the file that names the sources. A source that was fetched within its interval is
    /// left alone. The exit status is 1 where a source was refused or was not to be had; its last good document stays.
    Update(IntelUpdateArgs),
    /// Say of every source how old it is, how many entries it has, its licence, and why it failed the last time.
    Status(IntelStatusArgs),
}

#[derive(Debug, Subcommand)]
enum BanCommand {
    /// Ban an address, a prefix, a user or something else that requests show, for a time.
    ///
    /// A ban that stands takes the new time and reason. The exit status is 1 where the gateway refuses the ban or cannot
    /// be asked.
    #[command(after_help = BAN_HELP)]
    Add(BanAddArgs),
    /// List the bans that stand, the newest first.
    List(BanListArgs),
    /// Lift a ban. The exit status is 1 where there is none.
    Remove(BanRemoveArgs),
}

#[derive(Debug, Subcommand)]
enum SitesCommand {
    /// What was counted of each site this month, and how much it may have.
    Usage(SitesUsageArgs),
}

const SOLVE_HELP: &str = "Examples:
  portcullis solve https://shop.example/v1/items
  portcullis solve -i -X POST -H 'content-type: application/json' -d '{\"sku\": 7}' https://shop.example/v1/orders
  portcullis solve --cookie https://shop.example/ > clearance.txt
  curl -A portcullis-solve -H @clearance.txt https://shop.example/

The exit status is 0 where an answer came that is no challenge, whatever its status, and 1 else. A clearance is good for
the client that it was given to: send the same User-Agent with it, from the same network.";

#[derive(Debug, Subcommand)]
enum ClearanceCommand {
    /// Take back a clearance, all of a kind of client, or every one that was given up to now.
    ///
    /// Who holds one is challenged again. Audit records say the id and the cohort of a request's clearance. It is
    /// remembered for a day, over restarts too, since no clearance is good for longer.
    #[command(after_help = "Examples:
  portcullis clearance revoke --id 00112233445566778899aabbccddeeff
  portcullis clearance revoke --cohort 00c0ffee
  portcullis clearance revoke --all")]
    Revoke(ClearanceRevokeArgs),
    /// List what is taken back, the newest first.
    List(ClearanceListArgs),
}

const BAN_HELP: &str = "Examples:
  portcullis ban add address 192.0.2.1 --for 1h --reason 'tries passwords'
  portcullis ban add prefix 192.0.2.0/24 --for 30m
  portcullis ban add user ann@shop.example --until 2030-01-31T12:00:00Z
  portcullis ban add asn AS64500 --for 7d

Kinds: address (of IPv6 its /64), prefix (IPv4 /24, IPv6 /56), user, account, api_key, session, device and token as the
route's `identify` finds them, ja3, ja4 and http2 as audit records show them, asn, country.";

const RUN_HELP: &str = "SIGHUP reloads rules, certificates and databases; a change in the rules folder reloads the rules. \
SIGTERM lets requests end; SIGINT does not. PORTCULLIS_LOG sets what is logged, as in `debug` or `portcullis=debug`.";

const EXPLAIN_HELP: &str =
    "Example:\n  portcullis explain --rules rules --method POST --host shop.example --path /login \
-H 'user-agent: curl/8.5.0' --ip 192.0.2.7 --asn 64500 --class datacenter
  portcullis explain --rules rules --id 5f0c1d2e --audit audit.jsonl
  portcullis explain --rules rules --captures clients.jsonl --summary

A line of captures is one request of a client, in the order in which they came:
  client            its name; lines of one name are of one client
  category          browser, browser-automated, impersonator, library, cli, scanner, loadtool or crawler
  target, conn      together they name its connection
  client_hello_hex  the TLS records that began the connection, in hex
  tls_version, alpn, resumed
                    what was agreed: `TLSv1.2` or `TLSv1.3`; `h2`, `http/1.1` or null; true, false or null
  request_kind      page, api, login, asset, js-signals, other, or none for a handshake alone
  http_version, method, path
                    the request: `1.0`, `1.1` or `2`
  headers           a list of [name, value] in the order and case in which they came, `:method` and its like too
  h2                for HTTP/2: settings, window_update, priority, headers_priority, pseudo_order, first_stream";

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The settings file.
    #[arg(long, short, value_name = "FILE", default_value = "portcullis.toml")]
    pub config: PathBuf,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The settings file, whose rules are checked too.
    #[arg(long, short, value_name = "FILE", conflicts_with = "rules")]
    pub config: Option<PathBuf>,
    /// A folder of rules, or one file; without it and `--config`, the settings in `portcullis.toml`.
    #[arg(value_name = "RULES_DIR")]
    pub rules: Option<PathBuf>,
    /// What is told, and what counts as wrong.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// Arguments that say what a check tells, and what counts as wrong.
#[derive(Clone, Copy, Debug, Args)]
pub struct ReportArgs {
    /// Warn of rules, limits and routes that no test of the rules reaches.
    #[arg(long)]
    pub coverage: bool,
    /// Fail where there is a warning, too.
    #[arg(long)]
    pub deny_warnings: bool,
    /// What the output looks like; as JSON a line for each finding and one for the result.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// A folder of rules, or one file.
    #[arg(value_name = "RULES_DIR", default_value = "rules")]
    pub rules: PathBuf,
    /// What is told, and what counts as wrong.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// Arguments of `shadow report`.
#[derive(Debug, Args)]
pub struct ShadowReportArgs {
    /// Audit records, one JSON object a line, the oldest first; `-` is standard input.
    #[arg(required = true, value_name = "AUDIT")]
    pub audit: Vec<PathBuf>,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Write the reference page of all keys instead, in Markdown.
    #[arg(long)]
    pub reference: bool,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// A folder of rules, or one file.
    #[arg(value_name = "RULES_DIR", default_value = "rules")]
    pub rules: PathBuf,
    /// What is told, and what counts as wrong.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// The arguments of `explain` that say what one request is; captures say that themselves.
const ONE_REQUEST: [&str; 18] = [
    "method",
    "host",
    "path",
    "headers",
    "ip",
    "asn",
    "country",
    "classes",
    "client_hello",
    "ja3",
    "ja4",
    "address_per_minute",
    "prefix_per_minute",
    "answers",
    "failures",
    "over",
    "banned",
    "cleared",
];

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The settings file, for the rules and databases that it names.
    #[arg(long, short, value_name = "FILE", conflicts_with = "rules")]
    pub config: Option<PathBuf>,
    /// A folder of rules, or one file.
    #[arg(long, value_name = "RULES_DIR")]
    pub rules: Option<PathBuf>,
    /// Captured requests instead, one JSON object a line: `-` is standard input.
    ///
    /// Each client asks in the order of its lines, 300 ms apart, from an address of its own of which nothing is
    /// known, and the origin answers each request. Prints one JSON object a request.
    #[arg(long, value_name = "FILE", conflicts_with_all = ONE_REQUEST)]
    pub captures: Option<PathBuf>,
    /// For captures: a table by category, and the names of clients that were judged amiss.
    #[arg(long, requires = "captures")]
    pub summary: bool,
    /// The first audit record of a file instead, one JSON object: `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ONE_REQUEST, conflicts_with = "captures")]
    pub record: Option<PathBuf>,
    /// The request of this id instead, as its answer and the audit records tell it.
    #[arg(long, value_name = "REQUEST_ID", conflicts_with_all = ONE_REQUEST, conflicts_with_all = ["captures", "record"], requires = "audit")]
    pub id: Option<String>,
    /// For a request's id: the audit records.
    #[arg(long, value_name = "FILE", requires = "id")]
    pub audit: Option<PathBuf>,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, conflicts_with = "captures")]
    pub format: OutputFormat,
    /// The method.
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// The host.
    #[arg(long, default_value = "shop.example")]
    pub host: String,
    /// The path, with its query if it has one.
    #[arg(long, default_value = "/")]
    pub path: String,
    /// A header field; once for each.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1")]
    pub ip: IpAddr,
    /// The client's autonomous system, instead of what the databases say.
    #[arg(long)]
    pub asn: Option<String>,
    /// The client's country, by its two letters, instead of what the databases say.
    #[arg(long)]
    pub country: Option<String>,
    /// A class of the client's network, beside what the databases say; once for each.
    #[arg(long = "class", value_name = "CLASS")]
    pub classes: Vec<String>,
    /// The ClientHello in hex, with or without its TLS records.
    #[arg(long, value_name = "HEX")]
    pub client_hello: Option<String>,
    /// The client's JA3 hash, instead of that of the ClientHello.
    #[arg(long)]
    pub ja3: Option<String>,
    /// The client's JA4, instead of that of the ClientHello.
    #[arg(long)]
    pub ja4: Option<String>,
    /// Requests of the address in the last minute, this one counted.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub address_per_minute: u32,
    /// Requests of the address's prefix in the last minute; without it, those of the address.
    #[arg(long, value_name = "COUNT")]
    pub prefix_per_minute: Option<u32>,
    /// Answers of the origin to the address in the last quarter of an hour.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub answers: u32,
    /// How many of them the route calls failed.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub failures: u32,
    /// A limit of the route that the request is over, by its name; once for each.
    #[arg(long = "over", value_name = "LIMIT")]
    pub over: Vec<String>,
    /// The client is banned.
    #[arg(long)]
    pub banned: bool,
    /// The client holds the clearance of a solved proof of work.
    #[arg(long)]
    pub cleared: bool,
    /// The databases of addresses, where there are no settings.
    #[command(flatten)]
    pub databases: DatabaseArgs,
}

/// Arguments that name databases of addresses.
#[derive(Clone, Debug, Default, Args)]
pub struct DatabaseArgs {
    /// A database from address to autonomous system (MMDB).
    #[arg(long, value_name = "FILE")]
    pub asn_db: Option<PathBuf>,
    /// A database from address to country (MMDB).
    #[arg(long, value_name = "FILE")]
    pub country_db: Option<PathBuf>,
}

/// Arguments of `lookup`.
#[derive(Debug, Args)]
pub struct LookupArgs {
    /// The addresses.
    #[arg(required = true, value_name = "ADDRESS")]
    pub addresses: Vec<IpAddr>,
    /// The settings file, for the databases that it names.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Databases that take the place of those in the settings.
    #[command(flatten)]
    pub databases: DatabaseArgs,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// What an output looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Arguments that say where the admin listener is. Without any, the settings in `portcullis.toml`, or 127.0.0.1:9090.
#[derive(Clone, Debug, Default, Args)]
pub struct AdminArgs {
    /// The settings file of the gateway, for the address of its admin listener.
    #[arg(long, short, value_name = "FILE", conflicts_with = "admin")]
    pub config: Option<PathBuf>,
    /// The address of the admin listener.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub admin: Option<SocketAddr>,
}

/// Arguments of `ban add`.
#[derive(Debug, Args)]
pub struct BanAddArgs {
    /// What is banned: `address`, `user` and so on.
    #[arg(value_name = "KIND", value_parser = PossibleValuesParser::new(Subject::kinds()))]
    pub kind: String,
    /// Its name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// For how long: `30s`, `15m`, `1h`, `7d`.
    #[arg(long = "for", value_name = "TIME", value_parser = commands::ban::lasting, required_unless_present = "until")]
    pub lasting: Option<Duration>,
    /// Until when instead, as in `2030-01-31T12:00:00Z`.
    #[arg(long, value_name = "TIME", conflicts_with = "lasting")]
    pub until: Option<String>,
    /// Why, for those who read the list.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Which gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `ban list`.
#[derive(Debug, Args)]
pub struct BanListArgs {
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Which gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `ban remove`.
#[derive(Debug, Args)]
pub struct BanRemoveArgs {
    /// What is banned, as the list shows it; `key` to name the ban by its key.
    #[arg(value_name = "KIND", value_parser = PossibleValuesParser::new(Subject::kinds().chain([bans::KEY])))]
    pub kind: String,
    /// Its name, or its key.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Which gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `clearance revoke`.
#[derive(Debug, Args)]
pub struct ClearanceRevokeArgs {
    /// The clearance of this id, 32 hexadecimal digits, which is not renewed any more. What it was renewed to before has an id of
    /// its own; the cohort is the same.
    #[arg(long, value_name = "ID", conflicts_with_all = ["cohort", "all"], required_unless_present_any = ["cohort", "all"])]
    pub id: Option<String>,
    /// Those of this kind of client, by family, handshake and network: 8 hexadecimal digits.
    #[arg(long, value_name = "COHORT", conflicts_with = "all")]
    pub cohort: Option<String>,
    /// All.
    #[arg(long)]
    pub all: bool,
    /// Which gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `clearance list`.
#[derive(Debug, Args)]
pub struct ClearanceListArgs {
    /// Which gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments that name databases and feeds. Without any of them, the default set.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// The settings file, for the sources that it names.
    #[arg(long, short, value_name = "FILE", conflicts_with = "sources")]
    pub config: Option<PathBuf>,
    /// A file with an `[intel]` section alone.
    #[arg(long, value_name = "FILE")]
    pub sources: Option<PathBuf>,
    /// The data folder, instead of the one that is named there.
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

/// Arguments of `intel update`.
#[derive(Debug, Args)]
pub struct IntelUpdateArgs {
    /// These sources alone.
    #[arg(value_name = "SOURCE")]
    pub only: Vec<String>,
    /// Which sources there are.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// Take what has lost more of its entries than `max_shrink` allows.
    #[arg(long)]
    pub accept_shrink: bool,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `intel status`.
#[derive(Debug, Args)]
pub struct IntelStatusArgs {
    /// Which sources there are.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Files that say who asks for what: `examples/scenarios` has some.
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<PathBuf>,
    /// A folder of rules, or one file; without it the folder `rules`, or where that is missing, the rules that are
    /// shipped.
    #[arg(long, value_name = "RULES_DIR")]
    pub rules: Option<PathBuf>,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `fingerprint`.
#[derive(Debug, Args)]
pub struct FingerprintArgs {
    /// Hellos in hex, one a line, or a capture (pcap, pcapng); standard input where it is `-` or left out.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Arguments of `solve`.
#[derive(Debug, Args)]
pub struct SolveArgs {
    /// What is asked for: an `http` or `https` URL.
    #[arg(value_name = "URL")]
    pub url: String,
    /// The method; without it GET, or POST with `--data`.
    #[arg(long, short = 'X', value_name = "METHOD")]
    pub request: Option<String>,
    /// A header field; once for each.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// What is sent; `@FILE` sends a file, and `@-` standard input.
    #[arg(long, short, value_name = "DATA")]
    pub data: Option<String>,
    /// Print the status and the header of the answer before it.
    #[arg(long, short)]
    pub include: bool,
    /// Print the header field with the clearance, and do not repeat the request.
    #[arg(long, conflicts_with = "include")]
    pub cookie: bool,
    /// Give up after this time, work and all: `30s`, `15m`.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = commands::ban::lasting)]
    pub timeout: Duration,
    /// How many threads work; without it, one for each processor.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Certificates (PEM) to trust in place of the public ones.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub cacert: Option<PathBuf>,
    /// Trust any certificate.
    #[arg(long, short = 'k')]
    pub insecure: bool,
}

/// Arguments of `sites usage`.
#[derive(Debug, Args)]
pub struct SitesUsageArgs {
    /// Which gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What the output looks like.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The port for HTTP.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub http_port: u16,
    /// The port for HTTPS.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub https_port: u16,
    /// The port for metrics and health.
    #[arg(long, value_name = "PORT", default_value_t = 9090)]
    pub admin_port: u16,
    /// Count all three ports up from this one instead.
    #[arg(long, value_name = "PORT", conflicts_with_all = ["http_port", "https_port", "admin_port"])]
    pub port_base: Option<u16>,
}

impl Cli {
    /// Does what was asked for.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Run(args) => commands::run::run(&args),
            Command::Check(args) => commands::check::run(&args),
            Command::Test(args) => commands::check::test(&args),
            Command::Lint(args) => commands::check::lint(&args),
            Command::Shadow(ShadowCommand::Report(args)) => commands::shadow::report(&args),
            Command::Schema(args) => commands::schema::run(&args),
            Command::Explain(args) => commands::explain::run(&args),
            Command::Simulate(args) => commands::simulate::run(&args),
            Command::Fingerprint(args) => commands::fingerprint::run(&args),
            Command::Lookup(args) => commands::lookup::run(&args),
            Command::Intel(IntelCommand::Update(args)) => commands::intel::update(&args),
            Command::Intel(IntelCommand::Status(args)) => commands::intel::status(&args),
            Command::Ban(BanCommand::Add(args)) => commands::ban::add(&args),
            Command::Ban(BanCommand::List(args)) => commands::ban::list(&args),
            Command::Ban(BanCommand::Remove(args)) => commands::ban::remove(&args),
            Command::Solve(args) => commands::solve::run(&args),
            Command::Sites(SitesCommand::Usage(args)) => commands::sites::usage(&args),
            Command::Clearance(ClearanceCommand::Revoke(args)) => commands::clearance::revoke(&args),
            Command::Clearance(ClearanceCommand::List(args)) => commands::clearance::list(&args),
            Command::Demo(args) => commands::demo::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
