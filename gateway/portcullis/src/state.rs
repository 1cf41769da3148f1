//! What outlives the process: bans, standings and what routes have learned, in a folder of their own.
//!
//! ```text
//! hash.key                   the secret of the keyed hashes, 32 hexadecimal digits; made once
//! memory.snapshot            bans, standings and what routes have learned, as `portcullis_velocity::Snapshot` writes them
//! memory.snapshot.refused    the last one that could not be read
//! sites.usage                what was counted this month of sites that are not proxied, as JSON
//! clearances.revoked         clearances that were taken back, one a line, for a day
//! ```
//!
//! All of it is the owner's alone. A file is written beside its place, to the disk, and renamed into it, so that a machine
//! that stops in between has the old one or the new one. Nothing here keeps a gateway from running.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use portcullis_velocity::{Clocks, Restored, RouteMemory, Secret, Snapshot, SnapshotError, UnixMillis};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::clock::Now;
use crate::gateway::sites::{KeptUsage, Sites};
use crate::gateway::{Gateway, Policy};
use crate::metrics::{SnapshotRead, SnapshotWrite};
use crate::random;

/// The folder of what outlives the process, open for this one.
#[derive(Debug)]
pub struct StateFolder {
    folder: PathBuf,
    /// Held while a snapshot is written, so that there is one writer.
    last_write: Mutex<LastWrite>,
}

/// How the last snapshot was written.
#[derive(Clone, Copy, Debug, Default)]
struct LastWrite {
    has_failed: bool,
    /// The file that this process wrote last; none where it has written none.
    own: Option<FileId>,
}

/// What tells a file from every other that had its name before or after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct FileId {
    inode: u64,
    modified: (i64, i64),
}

impl FileId {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self { inode: file.ino(), modified: (file.mtime(), file.mtime_nsec()) })
    }
}

/// When what is to be kept is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Writing {
    /// While requests are served.
    Serving,
    /// When the end was asked for, and when the last one is over.
    AtTheEnd,
}

/// Something in the folder cannot be read or written.
#[derive(Debug)]
pub struct StateError {
    doing: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} `{}`: {}", self.doing, self.path.display(), self.error)
    }
}

impl std::error::Error for StateError {}

/// What came of the snapshot that was found.
#[derive(Debug)]
enum Found {
    Nothing,
    Snapshot(Snapshot),
    Refused(Unusable),
}

/// Why a snapshot is not used.
#[derive(Debug)]
enum Unusable {
    /// It cannot be read as a file.
    Unreadable(io::Error),
    /// It is not one, or not of this folder's secret.
    Faulty(SnapshotError),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Faulty(error) => error.fmt(f),
        }
    }
}

const SECRET: &str = "hash.key";
const SNAPSHOT: &str = "memory.snapshot";
const REVOKED: &str = "clearances.revoked";
const USAGE: &str = "sites.usage";

/// The longest file of usage: ten thousand sites, and as many that are gone, have room in it.
const MAX_USAGE_FILE: usize = 8 << 20;

/// The longest file that is read as the list of what was taken back, in bytes: every line at its longest.
const MAX_REVOKED_FILE: usize = 64 * (portcullis_challenge::MAX_REVOCATIONS + 1);

impl StateFolder {
    /// Opens the folder, which is made where there is none, and reads its secret, which is made where there is none.
    ///
    /// # Errors
    ///
    /// Where there is no folder and none can be made, and where its secret can neither be read nor made.
    pub fn open(folder: &Path) -> Result<(Self, Secret), StateError> {
        let state = Self { folder: folder.to_owned(), last_write: Mutex::default() };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| StateError {
            doing: "make the folder",
            path: folder.to_owned(),
            error,
        })?;
        let secret = state.secret()?;
        Ok((state, secret))
    }

    /// Puts back what is kept, and says how that went. A snapshot that is not right is set aside.
    pub fn restore(&self, gateway: &Gateway) {
        self.restore_revoked(gateway);
        let path = self.folder.join(SNAPSHOT);
        let result = match self.find(gateway) {
            Found::Nothing => SnapshotRead::Absent,
            Found::Snapshot(snapshot) => {
                let reputation = &gateway.behaviours.reputation;
                let at = clocks(gateway.clock.now());
                let restored = snapshot.restore(reputation, &gateway.bans, at);
                let routes = snapshot.restore_routes(routes(&gateway.policy.load()), at);
                let Restored { standings, bans, dropped } = restored;
                tracing::info!(standings, bans, routes, dropped, snapshot = %path.display(), "remembered");
                SnapshotRead::Restored
            }
            Found::Refused(why) => {
                tracing::error!(
                    snapshot = %path.display(),
                    %why,
                    "the snapshot is refused and set aside as `.refused`; bans and standings begin empty"
                );
                self.set_aside(&path);
                SnapshotRead::Refused
            }
        };
        gateway.metrics.snapshot_read(result);
        if let Some(sites) = &gateway.sites {
            self.restore_usage(sites);
        }
    }

    /// Goes on counting the usage of sites where an earlier process ended.
    fn restore_usage(&self, sites: &Sites) {
        let path = self.folder.join(USAGE);
        match read_bounded(&path, MAX_USAGE_FILE) {
            Ok(bytes) => {
                if let Some(kept) = KeptUsage::from_bytes(&bytes) {
                    return sites.resume(kept);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => tracing::error!(%error, usage = %path.display(), "the usage of sites cannot be read"),
        }
        tracing::error!(
            usage = %path.display(),
            "the usage of sites is refused and set aside as `.refused`; allowances of this month begin anew"
        );
        self.set_aside(&path);
    }

    /// Writes down what there is to be kept. What fails is logged once, until it is well again.
    ///
    /// A gateway that ends leaves alone what another has written since: that one was started in its place, and knows more.
    pub fn save(&self, gateway: &Gateway, writing: Writing) {
        let mut last = self.last_write.lock();
        let path = self.folder.join(SNAPSHOT);
        let is_anothers = last.own.is_some() && FileId::of(&path).is_some_and(|found| last.own != Some(found));
        match (is_anothers, writing) {
            (true, Writing::AtTheEnd) => {
                tracing::info!(snapshot = %path.display(), "another gateway has taken over; its snapshot stays");
                return;
            }
            (true, Writing::Serving) => tracing::warn!(
                snapshot = %path.display(),
                "another gateway writes there too, and each undoes the other; give each a folder of its own in `memory.state`"
            ),
            (false, _) => {}
        }
        let now = gateway.clock.now();
        let (at, policy) = (clocks(now), gateway.policy.load());
        let snapshot =
            Snapshot::take(&gateway.behaviours.reputation, &gateway.bans, at).with_routes(routes(&policy), at);
        let bytes = snapshot.to_bytes(gateway.counters.hasher());
        let written = self.replace(SNAPSHOT, &bytes).and(self.save_revoked(gateway)).and(self.save_usage(gateway, now));
        gateway.metrics.snapshot_written(match &written {
            Ok(()) => SnapshotWrite::Written { bytes: bytes.len(), unix_secs: now.unix().0 },
            Err(_) => SnapshotWrite::Failed,
        });
        match &written {
            Ok(()) if last.has_failed => tracing::info!("the snapshot is written again"),
            Err(error) if !last.has_failed => {
                tracing::warn!(%error, "the snapshot is not written; a restart will forget the bans since the last one");
            }
            _ => {}
        }
        let own = if written.is_ok() { FileId::of(&path) } else { last.own };
        *last = LastWrite { has_failed: written.is_err(), own };
    }

    /// Puts back which clearances were taken back. A list that is not right is set aside.
    fn restore_revoked(&self, gateway: &Gateway) {
        let path = self.folder.join(REVOKED);
        let text = match read_bounded(&path, MAX_REVOKED_FILE) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| "it is no text".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Err(error.to_string()),
        };
        let now = gateway.clock.now().unix_millis();
        let restored = text.and_then(|text| {
            gateway.challenge.put_back(&text, now).map_err(|line| format!("line {line} says nothing that is known"))
        });
        match restored {
            Ok(count) => tracing::info!(count, "clearances that were taken back are remembered"),
            Err(why) => {
                tracing::error!(
                    path = %path.display(),
                    why,
                    "the list of clearances that were taken back is refused and set aside as `.refused`; take them back again"
                );
                self.set_aside(&path);
            }
        }
    }

    /// Writes down which clearances were taken back, where any were.
    fn save_revoked(&self, gateway: &Gateway) -> Result<(), StateError> {
        let text = gateway.challenge.written();
        if text.is_empty() && !self.folder.join(REVOKED).exists() {
            return Ok(());
        }
        self.replace(REVOKED, text.as_bytes())
    }

    /// Writes down what was counted of sites, where there are any.
    fn save_usage(&self, gateway: &Gateway, now: Now) -> Result<(), StateError> {
        match &gateway.sites {
            Some(sites) => self.replace(USAGE, &sites.kept(now.unix_millis()).to_bytes()),
            None => Ok(()),
        }
    }

    fn find(&self, gateway: &Gateway) -> Found {
        match read_bounded(&self.folder.join(SNAPSHOT), Snapshot::LONGEST) {
            Ok(bytes) => match Snapshot::from_bytes(&bytes, gateway.counters.hasher()) {
                Ok(snapshot) => Found::Snapshot(snapshot),
                Err(error) => Found::Refused(Unusable::Faulty(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            Err(error) => Found::Refused(Unusable::Unreadable(error)),
        }
    }

    fn secret(&self) -> Result<Secret, StateError> {
        let path = self.folder.join(SECRET);
        let fail = |doing| {
            let path = path.clone();
            move |error| StateError { doing, path, error }
        };
        match read_bounded(&path, MAX_SECRET_FILE) {
            Ok(text) => {
                if let Some(secret) = secret_of(&text) {
                    warn_if_others_read(&path);
                    return Ok(secret);
                }
                tracing::error!(
                    path = %path.display(),
                    "expected 32 hexadecimal digits, but found something else; the file is set aside as `.refused`, and \
                     what was remembered under its secret is lost"
                );
                self.set_aside(&path);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail("read the secret in")(error)),
        }
        self.make_secret(&path).map_err(fail("make the secret in"))
    }

    /// Makes the secret, unless another process has just done so.
    fn make_secret(&self, path: &Path) -> io::Result<Secret> {
        let made: [u8; 16] = random::bytes().map_err(io::Error::other)?;
        let text: String = made.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect();
        let beside = self.write_beside(SECRET, text.as_bytes())?;
        let linked = fs::hard_link(&beside, path);
        let placed = match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let theirs = read_bounded(path, MAX_SECRET_FILE)?;
                let _ = fs::remove_file(&beside);
                return secret_of(&theirs)
                    .ok_or_else(|| io::Error::other("another process wrote something else there"));
            }
            Ok(()) => fs::remove_file(&beside),
            // Not every file system has links.
            Err(_) => fs::rename(&beside, path),
        };
        placed.and_then(|()| self.sync())?;
        Ok(Secret(made))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.folder.join(name);
        let written = self.write_beside(name, bytes).and_then(|beside| {
            let renamed = fs::rename(&beside, &path);
            if renamed.is_err() {
                let _ = fs::remove_file(&beside);
            }
            renamed.and_then(|()| self.sync())
        });
        written.map_err(|error| StateError { doing: "write", path, error })
    }

    /// Writes a file beside another of this name, to the disk.
    fn write_beside(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        // One name for each process: what a killed one left is overwritten, not added to.
        let beside = self.folder.join(format!("{name}.{}.new", std::process::id()));
        let _ = fs::remove_file(&beside);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        if written.is_err() {
            // A full disk is not to be filled further; there is nobody to tell where this fails too.
            let _ = fs::remove_file(&beside);
        }
        written.map(|()| beside)
    }

    /// Makes renames last.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Keeps what is not right for a person to look at; only the last one, so that they do not add up.
    fn set_aside(&self, path: &Path) {
        let mut refused = path.as_os_str().to_owned();
        refused.push(".refused");
        if let Err(error) = fs::rename(path, &refused).and_then(|()| self.sync()) {
            tracing::error!(%error, path = %path.display(), "it cannot be set aside");
        }
    }
}

/// The longest file that is read as the secret, in bytes.
const MAX_SECRET_FILE: usize = 256;

/// Reads a file that is one, of at most so many bytes and one more.
fn read_bounded(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    // To open a pipe is to wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn secret_of(text: &[u8]) -> Option<Secret> {
    let text = str::from_utf8(text).ok()?.trim_end();
    let number = u128::from_str_radix(text, 16).ok()?;
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| Secret(number.to_be_bytes()))
}

fn warn_if_others_read(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others can read the secret of the snapshot; take that away with `chmod 600`");
    }
}

fn clocks(now: Now) -> Clocks {
    Clocks { now: now.millis, unix: UnixMillis(now.unix_millis().0) }
}

/// What is learned of each route, by its name.
fn routes(policy: &Policy) -> impl Iterator<Item = RouteMemory<'_>> {
    policy.plans().iter().map(|plan| RouteMemory {
        id: plan.address,
        posture: &plan.state.posture,
        cohorts: &plan.state.cohorts,
    })
}

/// Writes what is to be kept at the beginning, every minute, soon after a person changed a ban, and when the gateway is
/// asked to end: whoever is started in its place need not wait for its last request.
pub(crate) struct StateService {
    pub(crate) state: Arc<StateFolder>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) changed: Arc<Notify>,
}

/// How often it is written: what a machine that stops can forget.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How long it rests after each, so that a script's thousand bans are some few snapshots.
const REST: Duration = Duration::from_secs(1);

#[async_trait]
impl BackgroundService for StateService {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut is_ending = false;
        while !is_ending {
            self.save(Writing::Serving).await;
            is_ending = tokio::select! {
                _ = shutdown.changed() => true,
                () = sleep(REST) => tokio::select! {
                    _ = shutdown.changed() => true,
                    () = sleep(SAVE_EVERY) => false,
                    () = self.changed.notified() => false,
                }
            };
        }
        // The last one of all is written when nothing more is served.
        self.save(Writing::AtTheEnd).await;
    }
}

impl StateService {
    async fn save(&self, writing: Writing) {
        let (state, gateway) = (Arc::clone(&self.state), Arc::clone(&self.gateway));
        let _ = tokio::task::spawn_blocking(move || state.save(&gateway, writing)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    impl Scratch {
        fn open(&self) -> Secret {
            StateFolder::open(&self.0.join("state")).unwrap_or_else(|error| panic!("{error}")).1
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join("state").join(name)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.join("state")).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_gateway_that_ends_leaves_alone_what_another_has_written_since() {
        let scratch = Scratch::new("state-another");
        let gateway = crate::serve::unserved(crate::rules::shipped().unwrap()).unwrap();
        let open = || StateFolder::open(&scratch.0.join("state")).unwrap().0;
        let (old, new) = (open(), open());
        let snapshot = || FileId::of(&scratch.file(SNAPSHOT));
        old.save(&gateway, Writing::AtTheEnd);
        let first = snapshot();
        old.save(&gateway, Writing::AtTheEnd);
        assert!(first.is_some() && snapshot() != first, "its own it writes over");
        new.save(&gateway, Writing::Serving);
        let newer = snapshot();
        old.save(&gateway, Writing::AtTheEnd);
        assert_eq!(snapshot(), newer);
        new.save(&gateway, Writing::AtTheEnd);
        assert_ne!(snapshot(), newer);
    }

    #[test]
    fn the_secret_is_made_once_for_the_owner_alone() {
        let scratch = Scratch::new("state-once");
        let made = scratch.open();
        assert_eq!(scratch.open().0, made.0);
        assert_ne!(Scratch::new("state-other").open().0, made.0);
        assert_eq!(scratch.names(), [SECRET]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&scratch.file(SECRET)), mode(&scratch.0.join("state"))), (0o600, 0o700));
        assert_eq!(format!("{made:?}"), "Secret(..)");
    }

    #[test]
    fn processes_that_begin_together_have_one_secret() {
        let scratch = Scratch::new("state-race");
        let first = scratch.open();
        // Another process looked before the file was there, and makes one after it is.
        let (state, _) = StateFolder::open(&scratch.0.join("state")).unwrap();
        assert_eq!(state.make_secret(&scratch.file(SECRET)).unwrap().0, first.0);
        assert_eq!(scratch.names(), [SECRET]);
    }

    #[test]
    fn what_is_no_secret_is_set_aside() {
        for text in
            ["", "00", "+0000000000000000000000000000001", &"0".repeat(33), &"g".repeat(32), &"0".repeat(10_000)]
        {
            let scratch = Scratch::new("state-faulty");
            fs::create_dir_all(scratch.0.join("state")).unwrap();
            fs::write(scratch.file(SECRET), text).unwrap();
            let made = scratch.open();
            assert_eq!(scratch.open().0, made.0, "{text}");
            assert_eq!(fs::read_to_string(scratch.file("hash.key.refused")).unwrap(), text);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let scratch = Scratch::new("state-denied");
        fs::create_dir_all(&scratch.0).unwrap();
        fs::write(scratch.0.join("state"), "a file").unwrap();
        let error = StateFolder::open(&scratch.0.join("state")).unwrap_err().to_string();
        assert!(error.contains("cannot make the folder") && error.contains("state"), "{error}");
    }

    #[test]
    fn a_file_replaces_another_whole_and_leaves_nothing_beside() {
        let scratch = Scratch::new("state-replace");
        let (state, _) = StateFolder::open(&scratch.0.join("state")).unwrap();
        for bytes in [&b"one"[..], b"two!"] {
            // What a killed process of this number left.
            fs::write(scratch.file(&format!("{SNAPSHOT}.{}.new", std::process::id())), "half").unwrap();
            state.replace(SNAPSHOT, bytes).unwrap();
            assert_eq!(fs::read(scratch.file(SNAPSHOT)).unwrap(), bytes);
        }
        assert_eq!(scratch.names(), [SECRET, SNAPSHOT]);
    }

    #[test]
    fn no_more_is_read_than_the_bound() {
        let scratch = Scratch::new("state-bound");
        scratch.open();
        fs::write(scratch.file("long"), vec![0; 1000]).unwrap();
        assert_eq!(read_bounded(&scratch.file("long"), 99).unwrap().len(), 100);
        assert!(read_bounded(&scratch.0.join("state"), 99).is_err(), "a folder is no file");
    }
}
