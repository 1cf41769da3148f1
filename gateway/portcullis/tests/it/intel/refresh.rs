//! Sources over time: what is good is in force and kept, what is not changes nothing.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pingora::services::background::BackgroundService;
use portcullis::clock::Clock;
use portcullis::exposition::Exposition;
use portcullis::intel::{Loaded, Loader, Outcome, RefreshService, Refresher, Shrinking};
use portcullis::settings::{IntelSource, IntelSources};
use portcullis_policy::SourceFile;
use portcullis_testkit::{TestCertificate, wait_until};
use tokio::sync::{Notify, watch};

use super::Folder;
use super::feed_server::{FeedServer, ok};

/// Takes texts whose every line is an entry, and holds those that are in force.
#[derive(Debug, Default)]
struct Lines {
    placed: Mutex<Vec<Option<String>>>,
    in_force: Mutex<Vec<Option<String>>>,
}

impl Loader for Lines {
    type Part = String;

    fn load(&self, _source: &IntelSource, bytes: &[u8], _as_of: u64) -> Result<Loaded<String>, String> {
        let text = String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())?;
        assert!(!text.contains("panic"), "a fault of the reader");
        if text.contains("bad") {
            return Err("a line is bad".to_owned());
        }
        Ok(Loaded { entries: text.lines().count() as u64, skipped: 1, part: text })
    }

    fn put(&self, at: usize, part: Option<String>) {
        let mut placed = self.placed.lock().unwrap();
        if placed.len() <= at {
            placed.resize(at + 1, None);
        }
        placed[at] = part;
    }

    fn publish(&self) {
        *self.in_force.lock().unwrap() = self.placed.lock().unwrap().clone();
    }
}

/// A server whose answer can be changed, and sources in a folder that fetch from it.
struct Rig {
    folder: Folder,
    server: FeedServer,
    answer: Arc<Mutex<&'static str>>,
    ca: String,
}

const HOUR: u64 = 3600;
const START: u64 = 1_800_000_000;

impl Rig {
    fn new(text: &'static str) -> Self {
        let certificate = TestCertificate::for_names(&["127.0.0.1"]);
        let folder = Folder::new();
        folder.write("ca.pem", certificate.certificate_pem());
        let answer = Arc::new(Mutex::new(text));
        let told = Arc::clone(&answer);
        let server = FeedServer::start(&certificate, move |head, stream| {
            let text = *told.lock().unwrap();
            let tag = format!("\"{}\"", text.len());
            if text.is_empty() {
                write!(stream, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            } else if head.to_lowercase().contains(&format!("if-none-match: {tag}")) {
                write!(stream, "HTTP/1.1 304 Not Modified\r\n\r\n")
            } else {
                ok(stream, &format!("ETag: {tag}\r\n"), text)
            }
        });
        Self { folder, server, answer, ca: "ca.pem".to_owned() }
    }

    fn answers(&self, text: &'static str) {
        *self.answer.lock().unwrap() = text;
    }

    fn sources(&self) -> IntelSources {
        let text = format!(
            "[intel]\nca_file = \"{}\"\nmirrors = [\"127.0.0.0/8\"]\n[[intel.feed]]\nname = \"tor\"\nurl = \"{}\"\n\
             format = \"text\"\nclass = \"tor\"\nrefresh_secs = 3600\nttl_secs = 86400\n",
            self.ca,
            self.server.url("/tor")
        );
        read(&text, self.folder.path())
    }

    /// A refresher as after a start of the program.
    fn refresher(&self, now: u64) -> Refresher<Lines> {
        let refresher = Refresher::new(&self.sources(), Lines::default()).unwrap();
        refresher.load_kept(now);
        refresher
    }
}

fn read(text: &str, base: &Path) -> IntelSources {
    IntelSources::read(SourceFile::new("sources.toml", text), base).unwrap()
}

fn in_force(refresher: &Refresher<Lines>) -> Option<String> {
    refresher.loader().in_force.lock().unwrap().first().cloned().flatten()
}

fn refresh(refresher: &Refresher<Lines>, now: u64) -> Outcome {
    refresher.refresh(0, now, Shrinking::Guarded)
}

fn metrics(refresher: &Refresher<Lines>, now: u64) -> String {
    let mut text = Exposition::default();
    refresher.board().write(&mut text, now);
    text.finish()
}

#[test]
fn a_feed_is_fetched_kept_and_asked_for_again_when_it_is_due() {
    let rig = Rig::new("a\nb\nc\n");
    let refresher = rig.refresher(START);
    assert_eq!(in_force(&refresher), None);
    assert_eq!(refresh(&refresher, START), Outcome::Applied);
    assert_eq!(in_force(&refresher).as_deref(), Some("a\nb\nc\n"));
    assert_eq!(refresh(&refresher, START + HOUR - 1), Outcome::NotDue);
    assert_eq!(rig.server.requests().len(), 1);
    assert_eq!(refresh(&refresher, START + HOUR), Outcome::Unchanged);
    rig.answers("d\ne\n");
    assert_eq!(refresh(&refresher, START + 2 * HOUR), Outcome::Applied);
    assert_eq!(in_force(&refresher).as_deref(), Some("d\ne\n"));
    let text = metrics(&refresher, START + 2 * HOUR + 7);
    for line in [
        "portcullis_intel_age_seconds{source=\"tor\"} 7",
        "portcullis_intel_entries{source=\"tor\"} 2",
        "portcullis_intel_skipped{source=\"tor\"} 1",
        "portcullis_intel_refresh_total{source=\"tor\",result=\"applied\"} 2",
        "portcullis_intel_refresh_total{source=\"tor\",result=\"unchanged\"} 1",
        "portcullis_intel_refresh_total{source=\"tor\",result=\"failed\"} 0",
    ] {
        assert!(text.lines().any(|written| written == line), "no {line} in\n{text}");
    }
    assert_eq!(fs::read(rig.folder.path().join("intel/tor.data")).unwrap(), b"d\ne\n");
    // Another process, started within the interval, has it without asking.
    let again = rig.refresher(START + 2 * HOUR + 60);
    assert_eq!(in_force(&again).as_deref(), Some("d\ne\n"));
    assert_eq!(refresh(&again, START + 2 * HOUR + 60), Outcome::NotDue);
    assert_eq!(rig.server.requests().len(), 3);
}

#[test]
fn whatever_goes_wrong_the_last_good_one_stays_also_over_a_restart() {
    let rig = Rig::new("a\nb\nc\nd\n");
    let refresher = rig.refresher(START);
    assert_eq!(refresh(&refresher, START), Outcome::Applied);
    let mut now = START;
    for (text, said) in [
        ("", "answered 503"),
        ("bad\n", "a line is bad"),
        ("panic\n", "a fault of the gateway"),
        ("<html>log in</html>", "a web page"),
        ("a\n", "it has 1 entries and had 4; less than 2 is taken for a bad download"),
    ] {
        rig.answers(text);
        now += HOUR;
        match refresh(&refresher, now) {
            Outcome::Refused(why) | Outcome::Failed(why) => assert!(why.contains(said), "{text:?}: {why}"),
            other => panic!("{text:?}: {other:?}"),
        }
        assert_eq!(in_force(&refresher).as_deref(), Some("a\nb\nc\nd\n"), "{text:?}");
        let status = refresher.board().status(0).unwrap();
        assert!(status.error.unwrap().contains(said));
        assert_eq!((status.entries, status.fetched_at), (Some(4), Some(START)));
        let restarted = rig.refresher(now);
        assert_eq!(in_force(&restarted).as_deref(), Some("a\nb\nc\nd\n"), "{text:?}");
        assert!(restarted.board().status(0).unwrap().error.unwrap().contains(said), "{text:?}");
    }
    assert_eq!(refresh(&refresher, now + 1), Outcome::NotDue);
    assert_eq!(refresher.refresh(0, now + 1, Shrinking::Accepted), Outcome::Applied, "at once, as the message says");
    assert_eq!(refresher.refresh(0, now + 2, Shrinking::Accepted), Outcome::NotDue);
    assert_eq!(in_force(&refresher).as_deref(), Some("a\n"));
    assert_eq!(refresher.board().status(0).unwrap().error, None);
}

#[test]
fn a_feed_that_is_too_old_is_believed_no_longer_and_comes_back() {
    let rig = Rig::new("a\nb\n");
    let refresher = rig.refresher(START);
    assert_eq!(refresh(&refresher, START), Outcome::Applied);
    rig.answers("");
    assert!(matches!(refresh(&refresher, START + 24 * HOUR), Outcome::Failed(_)));
    assert_eq!(in_force(&refresher).as_deref(), Some("a\nb\n"));
    assert!(matches!(refresh(&refresher, START + 25 * HOUR), Outcome::Failed(_)));
    assert_eq!(in_force(&refresher), None);
    assert_eq!(in_force(&rig.refresher(START + 25 * HOUR)), None);
    // The server may not be told that nothing has changed: nothing is here any more.
    rig.answers("a\nb\n");
    assert_eq!(refresh(&refresher, START + 26 * HOUR), Outcome::Applied);
    assert_eq!(in_force(&refresher).as_deref(), Some("a\nb\n"));
}

#[test]
fn a_file_is_read_when_it_changed_and_a_bad_one_changes_nothing() {
    let folder = Folder::new();
    let path = folder.write("own.txt", "a\nb\n");
    let text = "[intel]\n[[intel.feed]]\nname = \"own\"\npath = \"own.txt\"\nformat = \"text\"\nclass = \"vpn\"\n";
    let refresher = Refresher::new(&read(text, folder.path()), Lines::default()).unwrap();
    refresher.load_kept(START);
    assert_eq!(in_force(&refresher).as_deref(), Some("a\nb\n"));
    assert_eq!(refresh(&refresher, START), Outcome::Unchanged);
    folder.write("own.txt", "bad\n");
    refresher.reload(START);
    assert_eq!(in_force(&refresher).as_deref(), Some("a\nb\n"));
    folder.write("own.txt", "c\nd\ne\n");
    refresher.reload(START);
    assert_eq!(in_force(&refresher).as_deref(), Some("c\nd\ne\n"));
    fs::remove_file(path).unwrap();
    assert!(matches!(refresh(&refresher, START), Outcome::Failed(_)));
    assert_eq!(in_force(&refresher).as_deref(), Some("c\nd\ne\n"));
    assert!(!folder.path().join("intel").exists(), "nothing is written where nothing is fetched");
}

#[test]
fn the_service_puts_in_force_what_another_fetched_and_ends_when_it_is_told() {
    let rig = Rig::new("a\nb\n");
    let refresher = Arc::new(rig.refresher(0));
    let reload = Arc::new(Notify::new());
    let service = RefreshService::new(Arc::clone(&refresher), Clock::start(), Arc::clone(&reload));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (stop, stopped) = watch::channel(false);
    let running = runtime.spawn(async move { service.start(stopped).await });
    let bound = Duration::from_secs(20);
    wait_until("the first fetch", bound, || in_force(&refresher).as_deref() == Some("a\nb\n"));
    let other = rig.refresher(0);
    rig.answers("c\nd\ne\n");
    let later = Clock::start().now().unix().0 + HOUR;
    assert_eq!(refresh(&other, later), Outcome::Applied);
    reload.notify_one();
    wait_until("what another fetched", bound, || in_force(&refresher).as_deref() == Some("c\nd\ne\n"));
    stop.send(true).unwrap();
    runtime.block_on(running).unwrap();
}

#[test]
fn a_server_is_not_asked_again_and_again_where_nothing_can_be_kept() {
    let rig = Rig::new("a\nb\nc\n");
    // A file stands where the data folder would be made, as a full or read-only disk refuses it.
    fs::write(rig.folder.path().join("intel"), "no folder").unwrap();
    let refresher = rig.refresher(START);
    assert_eq!(refresh(&refresher, START), Outcome::Applied);
    assert_eq!(refresh(&refresher, START + HOUR - 1), Outcome::NotDue);
    assert_eq!(rig.server.requests().len(), 1);
    rig.answers("");
    assert!(matches!(refresh(&refresher, START + HOUR), Outcome::Failed(_)));
    assert_eq!(refresh(&refresher, START + HOUR + 100), Outcome::NotDue);
    assert!(matches!(refresh(&refresher, START + HOUR + 450), Outcome::Failed(_)));
    assert_eq!(refresh(&refresher, START + HOUR + 450 + 899), Outcome::NotDue, "the second wait is twice as long");
    assert_eq!(rig.server.requests().len(), 3);
    assert_eq!(in_force(&refresher).as_deref(), Some("a\nb\nc\n"));
}

#[test]
fn what_comes_after_a_document_that_was_too_old_at_the_start_is_compared_with_it() {
    let rig = Rig::new("a\nb\nc\nd\n");
    assert_eq!(refresh(&rig.refresher(START), START), Outcome::Applied);
    let restarted = rig.refresher(START + 25 * HOUR);
    assert_eq!(in_force(&restarted), None);
    rig.answers("a\n");
    assert!(matches!(refresh(&restarted, START + 25 * HOUR), Outcome::Refused(_)));
    rig.answers("a\nb\n");
    assert_eq!(refresh(&restarted, START + 27 * HOUR), Outcome::Applied);
}

#[test]
fn a_file_that_is_too_old_is_not_believed_from_the_start_on_and_says_so() {
    let folder = Folder::new();
    let path = folder.write("own.txt", "a\nb\n");
    let changed =
        fs::metadata(&path).unwrap().modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let text = "[intel]\n[[intel.feed]]\nname = \"own\"\npath = \"own.txt\"\nformat = \"text\"\nclass = \"vpn\"\nttl_secs = 60\n";
    let refresher = Refresher::new(&read(text, folder.path()), Lines::default()).unwrap();
    refresher.load_kept(changed + 60);
    assert_eq!(in_force(&refresher).as_deref(), Some("a\nb\n"));
    let refresher = Refresher::new(&read(text, folder.path()), Lines::default()).unwrap();
    refresher.load_kept(changed + 61);
    assert_eq!(in_force(&refresher), None);
    let said = |refresher: &Refresher<Lines>| refresher.faults().iter().map(ToString::to_string).collect::<String>();
    assert_eq!(said(&refresher), "cannot use the source `own`: it is too old to be believed");
    let _ = refresh(&refresher, changed + 90);
    assert_eq!(in_force(&refresher), None);
    assert_eq!(said(&refresher), "cannot use the source `own`: it is too old to be believed");
}
