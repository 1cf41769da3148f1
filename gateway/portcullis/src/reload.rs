//! Reloading: rules when their folder changes; rules, certificates, keys of challenges and databases of addresses on
//! SIGHUP, which opens the audit file anew as well.
//!
//! INVARIANT: what is new is put in force whole or not at all. What does not load changes nothing: the last good
//! one stays, the faults are logged, and the metrics say so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use portcullis_policy::{LISTS_FOLDER, PAGES_FOLDER, SourceFile, Style};
use portcullis_signals::FAMILIES_FOLDER;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::accept::TlsStore;
use crate::databases::Databases;
use crate::gateway::challenge::ClearanceKeys;
use crate::gateway::{Gateway, Policy};
use crate::metrics::{Readiness, Reload};
use crate::origins::OriginSettings;
use crate::rollout::{Rolling, Step};
use crate::rules;
use crate::settings::{IntelFiles, Settings};

/// Loads anew what can be changed while the gateway runs.
pub struct Reloader {
    gateway: Arc<Gateway>,
    tls: Option<Arc<TlsStore>>,
    rules: PathBuf,
    origins: Vec<OriginSettings>,
    intel: IntelFiles,
    challenge_keys: Option<PathBuf>,
    sources: Arc<Notify>,
    /// The text of the rules in force, where this process read it.
    good: Mutex<Arc<[SourceFile]>>,
    /// The text of the rules that were taken back last.
    taken_back: Mutex<Arc<[SourceFile]>>,
    rollout: Mutex<Rolling>,
}

/// How often rules on trial are looked after.
const TRIAL_TICK: Duration = Duration::from_millis(500);

/// How long a folder must be left alone before it is read. An editor or `git` writes several files at once.
const QUIET: Duration = Duration::from_millis(100);

/// After how many disturbances the folder is read all the same.
const MAX_DISTURBANCES: usize = 10;

impl Reloader {
    /// A reloader of `gateway` for the files that `settings` name. `sources` is told to look at databases and feeds.
    pub fn new(gateway: Arc<Gateway>, tls: Option<Arc<TlsStore>>, settings: &Settings, sources: Arc<Notify>) -> Self {
        Self {
            gateway,
            tls,
            rules: settings.rules.clone(),
            origins: settings.origins.clone(),
            intel: settings.intel.clone(),
            challenge_keys: settings.challenge.key_file.clone(),
            sources,
            good: Mutex::default(),
            taken_back: Mutex::default(),
            rollout: Mutex::default(),
        }
    }

    /// Loads everything anew.
    pub fn reload_all(&self) {
        // First, as whoever moved the file away may be about to compress it.
        self.gateway.audit.reopen();
        self.guarded("rules", || self.reload_rules());
        if let Some(tls) = &self.tls {
            self.guarded("certificates", || reload_certificates(tls));
            self.gateway.metrics.certificates_expire(tls.expires_at());
        }
        if let Some(path) = &self.challenge_keys {
            self.guarded("challenge_keys", || self.reload_keys(path));
        }
        if self.intel != IntelFiles::default() {
            self.guarded("intel", || self.reload_intel());
        }
        self.sources.notify_one();
    }

    /// Loads one thing anew and says how it went. A panic in loading is a fault like any other.
    fn guarded(&self, what: &'static str, reload: impl FnOnce() -> Reload) {
        let result = catch_unwind(AssertUnwindSafe(reload)).unwrap_or_else(|_| {
            tracing::error!(what, "reloading failed by a fault of the gateway; the last good state stays");
            Reload::Refused
        });
        self.gateway.metrics.reloaded(what, result);
    }

    /// Loads what changed between the first load and the watch, which was told to nobody.
    fn catch_up(&self) {
        let running = self.gateway.policy.load();
        match rules::load(&self.rules, Some(&self.origins)) {
            Ok(loaded) if means_the_same(&running, &loaded) => *self.good.lock() = loaded.sources,
            _ => self.guarded("rules", || self.reload_rules()),
        }
    }

    fn reload_rules(&self) -> Reload {
        let loaded = match rules::load(&self.rules, Some(&self.origins)) {
            Ok(loaded) => loaded,
            Err(error) => {
                let faults = error.count();
                tracing::error!(
                    faults,
                    "the rules were not reloaded; those in force stay\n{}",
                    error.render(Style::Plain)
                );
                self.reload_lists();
                return Reload::Refused;
            }
        };
        let before = [&self.good, &self.taken_back].map(|known| Arc::clone(&known.lock()));
        if let Some(file) = before.iter().find_map(|known| emptied(known, &loaded.sources)) {
            tracing::error!(
                file,
                "the rules were not reloaded, since a file is empty that was not; take it away if that is meant"
            );
            return Reload::Refused;
        }
        if are_the_same_rules(&self.taken_back.lock(), &loaded.sources) {
            // A list that is renewed is no reason to try again.
            tracing::warn!("{TAKEN_BACK}");
            return Reload::Refused;
        }
        self.apply("rules", loaded)
    }

    /// Puts changed lists in force with the rules as they were: half edited rules keep no list from taking effect.
    fn reload_lists(&self) {
        let good = Arc::clone(&self.good.lock());
        match rules::load_lists(&self.rules, &good, Some(&self.origins)) {
            Ok(Some(loaded)) if !good.is_empty() => self.guarded("lists", || self.apply("lists", loaded)),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!("the lists were not reloaded\n{}", error.render(Style::Plain));
            }
        }
    }

    fn apply(&self, what: &'static str, loaded: rules::LoadedRules) -> Reload {
        let mut rolling = self.rollout.lock();
        let running = self.gateway.policy.load_full();
        let (old, rollout) = (running.rules(), loaded.compiled.rollout);
        if means_the_same(&running, &loaded) {
            let ended = rolling.drop_candidate(&self.gateway);
            let bounds = rolling.rebound(&rollout);
            *self.good.lock() = loaded.sources;
            tracing::info!(
                version = %old.version(), ended_a_trial = ended, other_bounds = bounds, "the rules mean what they meant"
            );
            return Reload::Unchanged;
        }
        if rolling.is_candidate(loaded.compiled.rules.version(), &rollout) {
            tracing::info!(version = %loaded.compiled.rules.version(), "the rules mean what those on trial mean");
            return Reload::Unchanged;
        }
        if rolling.was_taken_back(loaded.compiled.rules.version(), &rollout) {
            tracing::warn!(version = %loaded.compiled.rules.version(), "{TAKEN_BACK}");
            return Reload::Refused;
        }
        let new = loaded.compiled.rules;
        if !loaded.compiled.warnings.is_empty() {
            tracing::warn!("the rules have warnings\n{}", loaded.compiled.warnings);
        }
        tracing::info!(
            old = %old.version(),
            new = %new.version(),
            files = loaded.files,
            lists = loaded.lists,
            // Without the one for requests that no other takes, which nobody wrote.
            routes = new.routes().len().saturating_sub(1),
            difference = %rules::difference(old, &new),
            share = %rollout.share,
            what,
            "the rules were reloaded"
        );
        let missing = self.gateway.sites.as_ref().map(|sites| sites.missing_routes(&new)).unwrap_or_default();
        if !missing.is_empty() {
            tracing::warn!(routes = %missing.join(", "), "sites name routes that are gone; `[defaults]` judges their visitors");
        }
        *self.good.lock() = loaded.sources;
        *self.taken_back.lock() = Arc::default();
        let new = Arc::new(running.after(new, loaded.families));
        rolling.begin(&self.gateway, running, new, rollout)
    }

    /// Looks after rules on trial: they come into force for all, or are taken back.
    fn watch_trial(&self) {
        let mut rolling = self.rollout.lock();
        if rolling.is_idle() {
            return;
        }
        match rolling.step(&self.gateway) {
            Step::None => {}
            Step::ForAll(version) => {
                self.gateway.metrics.reloaded("rules", Reload::Applied);
                tracing::info!(%version, "the rules on trial are in force for all clients");
            }
            Step::Over(version) => tracing::info!(%version, "the trial of the rules in force is over"),
            Step::TakenBack { version, back_to, watched } => {
                // Lists are not to bring them back.
                *self.taken_back.lock() = std::mem::take(&mut *self.good.lock());
                self.gateway.metrics.reloaded("rules", Reload::TakenBack);
                tracing::error!(
                    %version,
                    %back_to,
                    clients = watched.clients,
                    requests = watched.requests,
                    refused = watched.refused,
                    share_of_each = watched.share as f64 / 1000.0,
                    "the rules were taken back, since they refused more than `rollout` allows; mend them and write them \
                     anew, or take `max_refused` out to have them all the same"
                );
            }
        }
    }

    /// Has the first key of the file sign clearances; what the keys before signed is believed until the process ends.
    fn reload_keys(&self, path: &Path) -> Reload {
        let read = ClearanceKeys::read(path).map_err(|error| error.to_string());
        let rotated = read.and_then(|keys| {
            let rotate = |keys| self.gateway.challenge.rotate(keys);
            keys.and_then(rotate).map_err(|error| error.to_string())
        });
        match rotated {
            Ok(true) => {
                tracing::info!("clearances are signed with another key; those that clients hold stay good");
                Reload::Applied
            }
            Ok(false) => Reload::Unchanged,
            Err(error) => {
                tracing::error!(%error, "the keys of challenges were not reloaded; those in use stay");
                Reload::Refused
            }
        }
    }

    fn reload_intel(&self) -> Reload {
        let (databases, faults) = Databases::read(&self.intel);
        self.gateway.intel.rcu(|known| databases.put_into(known));
        for fault in &faults {
            tracing::error!(%fault, "a database was not reloaded; the last good one stays");
        }
        if faults.is_empty() {
            tracing::info!("the databases of addresses were reloaded");
            Reload::Applied
        } else {
            Reload::Refused
        }
    }
}

/// What is said where rules that were taken back are there still.
const TAKEN_BACK: &str = "these rules were taken back, since they refused too much; those in force stay until others \
    are written, or other bounds in `[rollout]`";

/// The file of rules that holds nothing now, and held something: whoever writes it has not done so yet.
fn emptied<'a>(good: &[SourceFile], loaded: &'a [SourceFile]) -> Option<&'a str> {
    let is_empty = |file: &SourceFile| file.text.trim().is_empty() && !rules::is_list(Path::new(&file.name));
    let held = |name: &str| good.iter().any(|file| file.name == name && !is_empty(file));
    loaded.iter().find(|file| is_empty(file) && held(&file.name)).map(|file| &*file.name)
}

/// Whether two sets of rules have the same text, their lists left out.
fn are_the_same_rules(one: &[SourceFile], other: &[SourceFile]) -> bool {
    let is_own = |file: &&SourceFile| !rules::is_list(Path::new(&file.name));
    !one.is_empty() && one.iter().filter(is_own).eq(other.iter().filter(is_own))
}

/// Whether loaded rules, and the rows about browsers with them, are those in force.
fn means_the_same(running: &Policy, loaded: &rules::LoadedRules) -> bool {
    running.rules().version() == loaded.compiled.rules.version() && *running.families() == loaded.families
}

fn reload_certificates(tls: &TlsStore) -> Reload {
    match tls.reload() {
        Ok(()) => {
            tracing::info!("the certificates were reloaded");
            Reload::Applied
        }
        Err(error) => {
            tracing::error!(%error, "the certificates were not reloaded; those in use stay");
            Reload::Refused
        }
    }
}

#[async_trait]
impl BackgroundService for Reloader {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let changed = Arc::new(Notify::new());
        let mut watch = FolderWatch::start(&self.rules, &changed);
        self.catch_up();
        let mut ticks = interval(TRIAL_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::error!(%error, "SIGHUP cannot be received; rules reload by file only"))
            .ok();
        // Whoever saw that the gateway is ready may count on a reload.
        self.gateway.metrics.set_ready(Readiness::Ready);
        loop {
            tokio::select! {
                _ = shutdown.changed() => return,
                () = changed.notified() => {
                    settle(&changed).await;
                    self.guarded("rules", || self.reload_rules());
                }
                _ = ticks.tick() => {
                    self.watch_trial();
                    continue;
                }
                () = received(&mut hangup) => {
                    tracing::info!("SIGHUP: reloading");
                    self.reload_all();
                }
            }
            watch.renew();
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Waits until nothing has changed for a while.
async fn settle(changed: &Notify) {
    for _ in 0..MAX_DISTURBANCES {
        if timeout(QUIET, changed.notified()).await.is_err() {
            return;
        }
    }
}

/// Tells of changes in a folder, also after it was replaced by another of the same name.
struct FolderWatch {
    watcher: Option<RecommendedWatcher>,
    folder: PathBuf,
}

impl FolderWatch {
    fn start(folder: &Path, changed: &Arc<Notify>) -> Self {
        let (tell, own) = (Arc::clone(changed), folder.file_name().map(ToOwned::to_owned));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| concerns(&event, own.as_deref())) {
                tell.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "the rules folder is not watched; send SIGHUP to reload"))
            .ok();
        let mut watch = Self { watcher, folder: folder.to_owned() };
        // The folder around it tells of its own coming and going.
        if let Some(watcher) = &mut watch.watcher
            && let Err(error) = watcher.watch(around(folder), RecursiveMode::NonRecursive)
        {
            tracing::debug!(%error, "the folder around the rules is not watched");
        }
        if let Some(watcher) = &mut watch.watcher
            && let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive)
        {
            tracing::warn!(%error, "the rules folder is not watched; send SIGHUP to reload");
        }
        watch.renew();
        watch
    }

    /// Watches the folder that has the name now.
    fn renew(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            // Fails while there is none, and what brings it back is told by the folder around it.
            let _ = watcher.watch(&self.folder, RecursiveMode::NonRecursive);
            let around = if self.folder.is_file() { around(&self.folder) } else { &self.folder };
            for inner in [FAMILIES_FOLDER, LISTS_FOLDER, PAGES_FOLDER] {
                let _ = watcher.watch(&around.join(inner), RecursiveMode::NonRecursive);
            }
        }
    }
}

/// The folder that a file or a folder is in.
fn around(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether an event is a change of the folder named `own` or of a rules file; reading one is none.
fn concerns(event: &Event, own: Option<&std::ffi::OsStr>) -> bool {
    let changes = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    // `..data` is the link that Kubernetes turns when a mounted set of files changes.
    let named = |path: &PathBuf| {
        rules::is_rules_file(path)
            || path.file_name() == own
            || path.ends_with("..data")
            || path.ends_with(FAMILIES_FOLDER)
            || path.ends_with(LISTS_FOLDER)
            || path.ends_with(PAGES_FOLDER)
            || rules::is_list(path)
            || rules::is_page(path)
    };
    changes && (event.paths.is_empty() || event.paths.iter().any(named))
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, ModifyKind};

    use super::*;

    #[test]
    fn a_file_that_lost_all_its_text_is_taken_for_half_written() {
        let files = |texts: &[(&str, &str)]| -> Vec<SourceFile> {
            texts.iter().map(|(name, text)| SourceFile::new(*name, *text)).collect()
        };
        let good =
            files(&[("rules/a.toml", "[defaults]\n"), ("rules/b.toml", ""), ("rules/lists/l.txt", "192.0.2.1\n")]);
        for (what, loaded, file) in [
            ("as it was", good.clone(), None),
            ("without text", files(&[("rules/a.toml", " \n")]), Some("rules/a.toml")),
            ("gone", files(&[("rules/b.toml", "")]), None),
            ("new", files(&[("rules/c.toml", "")]), None),
            ("a list", files(&[("rules/lists/l.txt", "")]), None),
        ] {
            assert_eq!(emptied(&good, &loaded), file, "{what}");
        }
        let renewed = files(&[("rules/a.toml", "[defaults]\n"), ("rules/b.toml", ""), ("rules/lists/l.txt", "")]);
        assert!(are_the_same_rules(&good, &renewed) && !are_the_same_rules(&[], &[]));
        assert!(!are_the_same_rules(&good, &files(&[("rules/a.toml", "[rollout]\n")])));
    }

    #[test]
    fn only_changes_of_rules_files_and_of_their_folder_concern_the_rules() {
        let own = Some(std::ffi::OsStr::new("rules"));
        let created = EventKind::Create(CreateKind::File);
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        for (kind, path, concerned) in [
            (created, "rules/login.toml", true),
            (EventKind::Modify(ModifyKind::Any), "rules/login.toml", true),
            (written, "rules/login.toml", true),
            (opened, "rules/login.toml", false),
            (read, "rules/login.toml", false),
            (opened, "rules", false),
            (created, "rules/.login.toml.swp", false),
            (created, "rules/README.md", false),
            (created, "rules", true),
            (created, "rules/..data", true),
            (created, "rules/families", true),
            (created, "rules/lists", true),
            (written, "rules/lists/partners.txt", true),
            (written, "rules/lists/partners.toml", true),
            (written, "rules/lists/.partners.txt.swp", false),
            (written, "rules/partners.txt", false),
            (created, "rules/pages", true),
            (written, "rules/pages/refused.html", true),
            (written, "rules/pages/.refused.html.swp", false),
            (written, "rules/pages/notes.txt", false),
            (written, "rules/refused.html", false),
            (written, "rules/families/browsers.toml", true),
            (created, "audit.jsonl", false),
        ] {
            let event = Event::new(kind).add_path(path.into());
            assert_eq!(concerns(&event, own), concerned, "{kind:?} {path}");
        }
    }
}
