//! The running gateway before real origins, which read paths each in their own way.
//!
//! A rule for `/admin` is worth nothing when there is a spelling of `/admin` that the gateway takes for another path
//! and the origin does not (CVE-2019-9901, CVE-2021-29492, CVE-2021-32779 in Envoy, CVE-2026-27588 in Caddy). Each
//! origin here answers `ADMIN` for `/admin` and all below it, and `OTHER` for all else; the rule blocks the first.
//! Then whatever is sent, in thousands of spellings, no answer may be `ADMIN`.
//!
//! Where ambiguous paths are allowed, what servers agree on is still brought into one form (dot segments, double
//! slashes, encoded letters), and these are the spellings that pass:
//!
//! | origin | passes | for instance |
//! |---|---|---|
//! | nginx | `%2f` | `/%2fadmin`, `/admin%2fusers`, `/x/..%2fadmin` |
//! | PHP's own server | `%2f` | `/%2fadmin`, `/admin%2fusers`, `/x/..%2fadmin` |
//! | Flask | `%2f` | `/%2fadmin`, `/admin%2fusers`; it takes no `..%2f` away |
//! | Tomcat | `;` | `/admin;x`, `/;/admin`, `/x/..;/admin` |
//! | Express | nothing | |

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use portcullis_testkit::{Client, Gateway as Program, Http1, RawResponse, ReadyCheck, free_port};

use crate::rig::{Rig, scratch_folder, usual_origin};

mod spellings;

use spellings::{Letters, spellings};

/// An origin that runs, with its folder.
struct Framework {
    name: &'static str,
    address: SocketAddr,
    folder: PathBuf,
    _program: Program,
}

impl Framework {
    /// Starts `command`, in which `PORT`, `FOLDER` and `HERE` stand for a free port, a folder of its own and the
    /// folder of the origins' sources, and waits until it answers. Gives nothing where `command` is not installed.
    fn start(name: &'static str, command: &[&str], probe: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let (program, arguments) = probe.split_first().unwrap();
        if !Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no {name} is installed");
            return None;
        }
        let (port, folder) = (free_port(), scratch_folder());
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/frameworks");
        let filled = |text: &str| {
            let folder = folder.to_str().unwrap();
            text.replace("PORT", &port.to_string()).replace("FOLDER", folder).replace("HERE", here)
        };
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, filled(text)).unwrap();
        }
        let command: Vec<_> = command.iter().map(|part| filled(part)).collect();
        let (program, arguments) = command.split_first().unwrap();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ready = ReadyCheck::http(address, "/").within(Duration::from_secs(90));
        let program = Program::start(Path::new(program), &arguments, &ready);
        Some(Self { name, address, folder, _program: program })
    }

    fn nginx() -> Option<Self> {
        let command = ["nginx", "-p", "FOLDER", "-e", "stderr", "-c", "FOLDER/nginx.conf"];
        let files = [("nginx.conf", include_str!("frameworks/nginx.conf"))];
        Self::start("nginx", &command, &["nginx", "-v"], &files)
    }

    fn express(letters: Letters) -> Option<Self> {
        let letters = match letters {
            Letters::Exact => "exact",
            Letters::AnyCase => "any",
        };
        let command = ["node", "HERE/express.js", "PORT", letters];
        let probe = ["env", "NODE_PATH=/usr/share/nodejs", "node", "-e", "require('express')"];
        Self::start("Express", &command, &probe, &[])
    }

    fn flask() -> Option<Self> {
        // A Python of the developer's own may stand before the system's, without its packages.
        let start = |python| {
            let command = [python, "HERE/flask_app.py", "PORT"];
            Self::start("Flask", &command, &[python, "-c", "import flask"], &[])
        };
        start("python3").or_else(|| start("/usr/bin/python3"))
    }

    fn php() -> Option<Self> {
        let command = ["php", "-S", "127.0.0.1:PORT", "-t", "HERE/php"];
        Self::start("PHP", &command, &["php", "-v"], &[])
    }

    fn tomcat() -> Option<Self> {
        const JARS: &str = "/usr/share/tomcat10/bin/bootstrap.jar:/usr/share/tomcat10/bin/tomcat-juli.jar";
        let command = [
            "java",
            "-Dcatalina.home=/usr/share/tomcat10",
            "-Dcatalina.base=FOLDER",
            "-Djava.io.tmpdir=FOLDER",
            "-cp",
            JARS,
            "org.apache.catalina.startup.Bootstrap",
            "start",
        ];
        let probe = ["java", "-cp", "/usr/share/tomcat10/lib/*", "org.apache.catalina.util.ServerInfo"];
        let files = [("conf/server.xml", include_str!("frameworks/tomcat-server.xml"))];
        Self::start("Tomcat", &command, &probe, &files)
    }

    /// A gateway before it whose rules block `/admin` and all below it.
    fn guarded(&self, defaults: &str) -> Rig {
        let many: String = (0..150).map(|host| format!(", \"h{host}.shop.example\"")).collect();
        let rules = format!(
            "[defaults]
thresholds = {{ throttle = \"off\", challenge = \"off\", block = \"off\", ban = \"off\" }}
origin = \"framework\"
{defaults}
[[route]]
name = \"admin\"
hosts = [\"shop.example\"{many}]
paths = [\"/admin\", \"/admin/{{*rest}}\"]
[[route.rule]]
name = \"nobody\"
when = {{ ip = [\"127.0.0.0/8\"] }}
action = \"block\"
[[route]]
name = \"all\"
paths = [\"/\", \"/{{*rest}}\"]
"
        );
        let settings = format!("[[origin]]\nname = \"framework\"\nservers = [\"{}\"]\n", self.address);
        Rig::start_with(&rules, &settings, usual_origin)
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What came of one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// The origin served what the rule guards.
    Admin,
    /// The origin served something else, or found fault with the request by itself.
    Other,
    /// The gateway's rule blocked it.
    Blocked,
    /// The gateway refused it as one that servers read differently, or as no HTTP.
    Refused,
}

impl Outcome {
    fn of(response: &RawResponse) -> Self {
        let text = response.text();
        match text.trim() {
            "ADMIN" => Self::Admin,
            _ if response.status == 403 && text.contains("API.RULE_BLOCKED") => Self::Blocked,
            // Pingora says nothing with the refusals of its own.
            _ if response.status >= 400 && (text.is_empty() || text.contains("\"API.")) => Self::Refused,
            _ => Self::Other,
        }
    }
}

/// One client that asks for many targets, over as few connections as the other side lets it.
struct Asker {
    client: Client,
    open: Option<Http1>,
}

impl Asker {
    fn new(client: Client) -> Self {
        Self { client, open: None }
    }

    /// Asks for this target with these bytes and no other.
    fn ask(&mut self, target: &[u8], host: &str) -> Outcome {
        let head = [b"GET ", target, b" HTTP/1.1\r\nHost: ", host.as_bytes(), b"\r\nUser-Agent: curl/8.5.0\r\n\r\n"];
        let head = head.concat();
        // A connection that was kept open may have been closed since, which says nothing of this request.
        let kept = self.open.take().and_then(|open| Self::exchange(open, &head).ok());
        let answered = match kept {
            Some(answered) => Ok(answered),
            None => self.client.connect().and_then(|open| Self::exchange(open, &head)),
        };
        match answered {
            Ok((response, open)) => {
                self.open = open;
                Outcome::of(&response)
            }
            // Whoever finds no HTTP in it may close, or wait for more.
            Err(_) => Outcome::Refused,
        }
    }

    fn exchange(mut open: Http1, head: &[u8]) -> io::Result<(RawResponse, Option<Http1>)> {
        let response = open.send_raw(head)?;
        let stays = Http1::stays_open_after(&response) && response.header("content-length").is_some();
        Ok((response, stays.then_some(open)))
    }
}

/// How many requests ended how, and which reached what is guarded.
#[derive(Debug, Default)]
struct Tally {
    blocked: usize,
    refused: usize,
    other: usize,
    admin: Vec<String>,
}

impl Tally {
    fn note(&mut self, outcome: Outcome, target: &[u8]) {
        match outcome {
            Outcome::Admin => self.admin.push(target.escape_ascii().to_string()),
            Outcome::Other => self.other += 1,
            Outcome::Blocked => self.blocked += 1,
            Outcome::Refused => self.refused += 1,
        }
    }
}

fn over_http1(client: Client, targets: &BTreeSet<Vec<u8>>) -> Tally {
    let mut asker = Asker::new(client);
    let mut tally = Tally::default();
    for target in targets {
        tally.note(asker.ask(target, "shop.example"), target);
    }
    tally
}

/// Asks over HTTP/2 for those targets that a client's library can put into `:path`.
fn over_http2(rig: &Rig, targets: &BTreeSet<Vec<u8>>) -> Tally {
    let client = rig.tls_client(&["h2"]);
    let mut open = client.connect_h2().unwrap();
    let mut tally = Tally::default();
    for target in targets {
        let expressible = std::str::from_utf8(target).ok().filter(|target| target.starts_with('/'));
        let Some(path) = expressible.filter(|path| path.parse::<http::Uri>().is_ok()) else { continue };
        match open.get(path, crate::CURL) {
            Ok(response) => tally.note(Outcome::of(&response), target),
            Err(_) => {
                tally.note(Outcome::Refused, target);
                open = client.connect_h2().unwrap();
            }
        }
    }
    tally
}

/// Checks one origin. `marks` are what spellings have in common that do pass where ambiguous paths are allowed.
fn check(framework: Option<Framework>, letters: Letters, marks: &[&str]) {
    let Some(framework) = framework else { return };
    let name = framework.name;
    let targets = spellings(letters);

    // The spellings have teeth: sent to the origin itself, many get to what is guarded.
    let client = Client::new(framework.address).bound(Duration::from_secs(1));
    let mut direct = Asker::new(client.clone());
    assert_eq!(direct.ask(b"/admin", "shop.example"), Outcome::Admin, "{name}");
    assert_eq!(direct.ask(b"/", "shop.example"), Outcome::Other, "{name}");
    let direct = over_http1(client, &targets);
    assert!(direct.admin.len() >= 50, "{name} takes few spellings for its guarded path: {:?}", direct.admin);

    let rig = framework.guarded("");
    assert_eq!(Asker::new(rig.client()).ask(b"/", "shop.example"), Outcome::Other, "{name}");
    for (protocol, tally) in [("HTTP/1.1", over_http1(rig.client(), &targets)), ("HTTP/2", over_http2(&rig, &targets))]
    {
        assert!(tally.admin.is_empty(), "{name} over {protocol} gave away: {:#?}", tally.admin);
        let each = [tally.blocked, tally.refused, tally.other];
        assert!(each.into_iter().all(|count| count >= 100), "{name} over {protocol} proves little: {tally:?}");
    }
    every_spelling_of_the_host(&framework, &rig);

    let rig = framework.guarded("ambiguous_paths = \"allow\"");
    let mut passed = over_http1(rig.client(), &targets).admin;
    for mark in marks {
        assert!(passed.iter().any(|target| target.to_ascii_lowercase().contains(mark)), "{name} knows no `{mark}`");
    }
    passed.retain(|target| !marks.iter().any(|mark| target.to_ascii_lowercase().contains(mark)));
    assert!(passed.is_empty(), "{name}, ambiguous paths allowed, gave away: {passed:#?}");
}

/// The host that a rule names is one host in every spelling, also where the rule names very many.
fn every_spelling_of_the_host(framework: &Framework, rig: &Rig) {
    for (target, host) in [
        ("/admin", "SHOP.EXAMPLE"),
        ("/admin", "shop.example."),
        ("/admin", "Shop.Example.:80"),
        ("/admin", "h149.shop.example"),
        ("/admin", "H149.shop.EXAMPLE:8080"),
        ("/admin", "h7.SHOP.example."),
        ("http://H7.shop.example/admin", "h7.shop.example"),
        ("http://shop.example/admin", "other.example"),
        ("http://other.example/admin", "shop.example"),
    ] {
        let outcome = Asker::new(rig.client()).ask(target.as_bytes(), host);
        let stopped = matches!(outcome, Outcome::Blocked | Outcome::Refused);
        assert!(stopped, "{target} for {host} before {}: {outcome:?}", framework.name);
    }
}

#[test]
fn no_spelling_of_a_path_passes_its_rule_before_nginx() {
    check(Framework::nginx(), Letters::Exact, &["%2f"]);
}

#[test]
fn no_spelling_of_a_path_passes_its_rule_before_express() {
    check(Framework::express(Letters::Exact), Letters::Exact, &[]);
}

#[test]
fn no_spelling_of_a_path_passes_its_rule_before_flask() {
    check(Framework::flask(), Letters::Exact, &["%2f"]);
}

#[test]
fn no_spelling_of_a_path_passes_its_rule_before_php() {
    check(Framework::php(), Letters::Exact, &["%2f"]);
}

#[test]
fn no_spelling_of_a_path_passes_its_rule_before_tomcat() {
    check(Framework::tomcat(), Letters::Exact, &[";"]);
}

/// Letters in another case are another path (RFC 3986 §6.2.2.1), as for most origins. Express, unless it is told
/// otherwise, takes them for the same: all other spellings hold before it, and this one does not.
#[test]
fn a_path_in_another_case_passes_to_an_origin_that_ignores_case() {
    check(Framework::express(Letters::AnyCase), Letters::AnyCase, &[]);
    for (letters, outcome) in [(Letters::AnyCase, Outcome::Admin), (Letters::Exact, Outcome::Other)] {
        let Some(express) = Framework::express(letters) else { return };
        let rig = express.guarded("");
        for target in ["/ADMIN", "/%41dmin", "/x/../Admin/users"] {
            assert_eq!(Asker::new(rig.client()).ask(target.as_bytes(), "shop.example"), outcome, "{target}");
        }
    }
}
