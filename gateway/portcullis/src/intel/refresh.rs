//! Sources are looked for anew from time to time, off the hot path. What is good is put in force and kept on disk;
//! what is not changes nothing, and says so in metrics and log.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::board::{Board, Outcome};
use super::fetch::{Bounds, Document, Fetched, Fetcher, FetcherError, Reach, Validators, read_file};
use super::store::{Meta, Store, sha256};
use crate::clock::Clock;
use crate::random;
use crate::settings::{IntelSource, IntelSources, Place};

/// The time for one fetch. A database of 60 MB comes within it at 4 Mbit/s.
pub const TOTAL_TIME: Duration = Duration::from_secs(120);

/// How long to wait after a failure at least, in seconds. Doubles with each further one, up to the source's interval.
const RETRY_SECS: u64 = 300;

/// What makes of the bytes of a source something that lookups use.
///
/// None of it is called by a request, and only one at a time.
pub trait Loader: Send + Sync + 'static {
    /// What a source becomes.
    type Part: Send;

    /// Reads a source and checks it. `as_of` is when it was fetched or changed, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Why it is not used, for people.
    fn load(&self, source: &IntelSource, bytes: &[u8], as_of: u64) -> Result<Loaded<Self::Part>, String>;

    /// Puts a part in place of that of the source with this number in the settings, or takes it away. It is in force
    /// from the next [`Loader::publish`] on.
    fn put(&self, at: usize, part: Option<Self::Part>);

    /// Puts in force what was put in place.
    fn publish(&self);
}

/// A source that was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loaded<P> {
    /// What it became.
    pub part: P,
    /// How many entries it has; what the guard against shrinking compares.
    pub entries: u64,
    /// How many lines or records were left out.
    pub skipped: u64,
}

/// Whether a source may lose more of its entries than its settings allow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Shrinking {
    /// It may not.
    #[default]
    Guarded,
    /// It may, since a person said so.
    Accepted,
}

/// Refreshes sources.
#[derive(Debug)]
pub struct Refresher<L> {
    fetcher: Fetcher,
    store: Store,
    sources: Vec<IntelSource>,
    states: Mutex<Vec<State>>,
    loader: L,
    board: Arc<Board>,
    total_time: Duration,
}

/// What is in force of a source, and when it is looked for next.
#[derive(Clone, Debug, Default)]
struct State {
    /// The digest of the document; empty where nothing is in force.
    sha256: String,
    entries: u64,
    /// Of a file: when it was changed, in nanoseconds since 1970, and its size.
    seen: Option<(u128, u64)>,
    due: u64,
    tried: Tried,
}

/// When something was last asked of a server, in seconds since 1970, and how often it failed since it last went well.
///
/// It stands on disk, too. Where the disk takes nothing, a server is not to be asked without end for that.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    at: u64,
    failures: u32,
}

impl<L: Loader> Refresher<L> {
    /// A refresher for the sources in the settings. Nothing is read yet.
    ///
    /// # Errors
    ///
    /// Where the certificates to trust cannot be read.
    pub fn new(settings: &IntelSources, loader: L) -> Result<Self, FetcherError> {
        let reach = Reach { named: settings.mirrors.clone(), redirected: Vec::new() };
        Ok(Self {
            fetcher: Fetcher::new(settings.ca_file.as_deref(), settings.contact.as_deref(), &reach)?,
            store: Store::in_folder(settings.data.clone()),
            states: Mutex::new(vec![State::default(); settings.sources.len()]),
            board: Arc::new(Board::of(&settings.sources)),
            sources: settings.sources.clone(),
            loader,
            total_time: TOTAL_TIME,
        })
    }

    /// The same with another time for one fetch.
    #[must_use]
    pub fn with_total_time(self, total_time: Duration) -> Self {
        Self { total_time, ..self }
    }

    /// What is known of the sources.
    pub const fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// What the sources become.
    pub const fn loader(&self) -> &L {
        &self.loader
    }

    /// The sources.
    pub fn sources(&self) -> &[IntelSource] {
        &self.sources
    }

    /// What is wrong with sources that were put in force, or were to be, from files of the user's own. What was fetched is
    /// not among it: `intel status` tells of that.
    pub fn faults(&self) -> Vec<SourceFault> {
        let fault = |(at, source): (usize, &IntelSource)| {
            let why = self.board.status(at)?.error.filter(|_| !source.is_fetched())?;
            Some(SourceFault { name: Arc::clone(&source.name), why })
        };
        self.sources.iter().enumerate().filter_map(fault).collect()
    }

    /// Puts in force what is on disk: files, and the last good document of what is fetched. Connects nowhere.
    pub fn load_kept(&self, now: u64) {
        for (at, source) in self.sources.iter().enumerate() {
            match &source.place {
                Place::File(path) => {
                    let outcome = self.refresh_file(at, source, path, Shrinking::Guarded);
                    self.tell(at, source, &outcome);
                    let has_expired = self.expire(at, source, now);
                    self.tell_age(at, has_expired);
                    self.schedule(at, source, now, 0);
                }
                Place::Url(url) => {
                    if let Err(error) = self.load_document(at, source, now) {
                        tracing::error!(source = %source.name, %error, "the last good document is not in use");
                        self.board.update(at, |status| status.error = Some(error));
                    }
                    self.schedule_fetch(at, source, url, now);
                }
            }
        }
        self.loader.publish();
    }

    /// Looks for a source anew, if that is due, and puts in force what is new. `now` is in seconds since 1970.
    pub fn refresh(&self, at: usize, now: u64, shrinking: Shrinking) -> Outcome {
        let Some(source) = self.sources.get(at) else { return Outcome::NotDue };
        let outcome = match &source.place {
            Place::File(path) => self.refresh_file(at, source, path, shrinking),
            Place::Url(url) => self.refresh_url(at, source, url, now, shrinking),
        };
        let has_expired = self.expire(at, source, now);
        match &source.place {
            Place::File(_) => self.schedule(at, source, now, 0),
            Place::Url(url) => self.schedule_fetch(at, source, url, now),
        }
        if outcome == Outcome::Applied || has_expired {
            self.loader.publish();
        }
        self.tell(at, source, &outcome);
        self.tell_age(at, has_expired);
        outcome
    }

    /// Looks at every file anew, whatever its interval, and at documents that another process fetched.
    pub fn reload(&self, now: u64) {
        for (at, source) in self.sources.iter().enumerate() {
            if let Place::File(_) = source.place {
                self.refresh(at, now, Shrinking::Guarded);
            } else if self.is_replaced(at, source) {
                let outcome = match self.load_document(at, source, now) {
                    Ok(()) => Outcome::Applied,
                    Err(error) => Outcome::Refused(error),
                };
                self.loader.publish();
                self.tell(at, source, &outcome);
            }
        }
    }

    /// The source that is due next, and when, in seconds since 1970.
    fn next(&self) -> Option<(usize, u64)> {
        let states = self.states.lock();
        states.iter().enumerate().map(|(at, state)| (at, state.due)).min_by_key(|(_, due)| *due)
    }

    fn refresh_file(&self, at: usize, source: &IntelSource, path: &Path, shrinking: Shrinking) -> Outcome {
        let seen = fs::metadata(path).ok().and_then(|metadata| {
            let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some((changed.as_nanos(), metadata.len()))
        });
        let state = self.state(at);
        if seen.is_some() && seen == state.seen {
            return Outcome::Unchanged;
        }
        let bytes = match read_file(path, source.max_bytes) {
            Ok(bytes) => bytes,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        let changed_at = seen.and_then(|(nanos, _)| u64::try_from(nanos / 1_000_000_000).ok());
        let moment = Moment { now: changed_at.unwrap_or(0), shrinking };
        let loaded = match self.checked(source, &bytes, state.entries, moment) {
            Ok(loaded) => loaded,
            Err(why) => return Outcome::Refused(why),
        };
        self.put(at, loaded, sha256(&bytes), changed_at);
        if let Some(state) = self.states.lock().get_mut(at) {
            state.seen = seen;
        }
        Outcome::Applied
    }

    fn refresh_url(&self, at: usize, source: &IntelSource, url: &str, now: u64, shrinking: Shrinking) -> Outcome {
        if self.is_replaced(at, source) && self.load_document(at, source, now).is_ok() {
            return Outcome::Applied;
        }
        let meta = self.meta(at, source, url);
        // Who was refused and accepts the loss is not told to come back in some hours.
        let is_accepted_now = shrinking == Shrinking::Accepted && meta.failures > 0;
        let is_same = meta.url_sha256 == sha256(url.as_bytes());
        if is_same && !is_accepted_now && now < allowed_from(&meta, source, now) {
            return Outcome::NotDue;
        }
        let failures = meta.failures;
        let outcome = self.fetch(at, source, url, meta, Moment { now, shrinking });
        if let Some(state) = self.states.lock().get_mut(at) {
            let failures = if outcome.is_good() { 0 } else { failures.saturating_add(1) };
            state.tried = Tried { at: now, failures };
        }
        outcome
    }

    fn fetch(&self, at: usize, source: &IntelSource, url: &str, mut meta: Meta, moment: Moment) -> Outcome {
        let now = moment.now;
        let state = self.state(at);
        // Only who still has the document may be told that it has not changed.
        let has_it = !state.sha256.is_empty() && state.sha256 == meta.sha256;
        let known = if has_it { meta.validators(url) } else { Validators::default() };
        let bounds = Bounds { max_bytes: source.max_bytes, total_time: self.total_time };
        let outcome = match self.fetcher.fetch(url, &known, bounds) {
            Err(error) => Outcome::Failed(error.to_string()),
            Ok(Fetched::Unchanged) => {
                meta.fetched_at = now;
                self.board.update(at, |status| status.fetched_at = Some(now));
                Outcome::Unchanged
            }
            Ok(Fetched::Fresh(document)) => {
                return self.take(at, source, url, &document, meta, moment);
            }
        };
        self.note(source, url, meta, now, &outcome);
        outcome
    }

    /// Puts a fetched document in force and keeps it, if it is good.
    fn take(
        &self,
        at: usize,
        source: &IntelSource,
        url: &str,
        document: &Document,
        mut meta: Meta,
        moment: Moment,
    ) -> Outcome {
        let before = self.state(at).entries;
        let loaded = match self.checked(source, &document.bytes, before, moment) {
            Ok(loaded) => loaded,
            Err(why) => {
                let outcome = Outcome::Refused(why);
                self.note(source, url, meta, moment.now, &outcome);
                return outcome;
            }
        };
        let digest = sha256(&document.bytes);
        let outcome = if digest == self.state(at).sha256 { Outcome::Unchanged } else { Outcome::Applied };
        meta = Meta {
            url_sha256: sha256(url.as_bytes()),
            etag: document.validators.etag.clone(),
            last_modified: document.validators.last_modified.clone(),
            sha256: digest.clone(),
            bytes: u64::try_from(document.bytes.len()).unwrap_or(u64::MAX),
            entries: loaded.entries,
            skipped: loaded.skipped,
            fetched_at: moment.now,
            attempted_at: moment.now,
            ..Meta::default()
        };
        if let Err(error) = self.store.keep(&source.name, &document.bytes, &meta) {
            // It is good all the same, and is lost only with a restart.
            tracing::error!(source = %source.name, %error, "a fetched document is in force but was not kept");
        }
        self.put(at, loaded, digest, Some(moment.now));
        outcome
    }

    /// Reads a source, and refuses one that lost more of its entries than it may.
    fn checked(
        &self,
        source: &IntelSource,
        bytes: &[u8],
        before: u64,
        moment: Moment,
    ) -> Result<Loaded<L::Part>, String> {
        let loaded = self.load(source, bytes, moment.now)?;
        let least = before.saturating_mul(1000_u64.saturating_sub(source.max_shrink.into())).div_ceil(1000);
        if moment.shrinking == Shrinking::Guarded && loaded.entries < least {
            return Err(format!(
                "it has {} entries and had {before}; less than {least} is taken for a bad download, unless `max_shrink` \
                 is raised or `portcullis intel update --accept-shrink` is run",
                loaded.entries
            ));
        }
        Ok(loaded)
    }

    /// Puts in force what was kept of a source; nothing where nothing was.
    fn load_document(&self, at: usize, source: &IntelSource, now: u64) -> Result<(), String> {
        let kept = self.store.read(&source.name, source.max_bytes).map_err(|error| error.to_string())?;
        let Some(kept) = kept else { return Ok(()) };
        let is_too_old = source.ttl().is_some_and(|ttl| kept.meta.fetched_at.saturating_add(ttl.as_secs()) < now);
        if is_too_old {
            if let Some(state) = self.states.lock().get_mut(at) {
                // What comes next is still compared with it.
                state.entries = kept.meta.entries;
            }
            return Err("the last good document is too old to be believed".to_owned());
        }
        let loaded = self.load(source, &kept.bytes, kept.meta.fetched_at)?;
        // A document whose description was lost is as old as its file; that is not known here, so it is not told.
        let fetched_at = Some(kept.meta.fetched_at).filter(|fetched| *fetched > 0);
        self.put(at, loaded, sha256(&kept.bytes), fetched_at);
        self.board.update(at, |status| status.error.clone_from(&kept.meta.error));
        Ok(())
    }

    /// Whether another process put a document in place of the one in force.
    fn is_replaced(&self, at: usize, source: &IntelSource) -> bool {
        let kept = self.store.meta(&source.name);
        let in_force = self.board.status(at).and_then(|status| status.fetched_at).unwrap_or(0);
        // One that is older is what a full disk left.
        !kept.sha256.is_empty() && kept.sha256 != self.state(at).sha256 && kept.fetched_at > in_force
    }

    fn put(&self, at: usize, loaded: Loaded<L::Part>, digest: String, fetched_at: Option<u64>) {
        let Loaded { part, entries, skipped } = loaded;
        self.loader.put(at, Some(part));
        if let Some(state) = self.states.lock().get_mut(at) {
            (state.sha256, state.entries) = (digest, entries);
        }
        self.board.update(at, |status| {
            status.entries = Some(entries);
            status.skipped = skipped;
            status.fetched_at = fetched_at;
        });
    }

    /// Takes away what is too old to be believed, and says whether it was; [`Loader::publish`] is up to the caller.
    fn expire(&self, at: usize, source: &IntelSource, now: u64) -> bool {
        let Some(ttl) = source.ttl() else { return false };
        let status = self.board.status(at).unwrap_or_default();
        let Some(fetched) = status.fetched_at.filter(|_| status.entries.is_some()) else { return false };
        if fetched.saturating_add(ttl.as_secs()) >= now {
            return false;
        }
        tracing::warn!(source = %source.name, age_secs = now.saturating_sub(fetched), "too old to be believed; no longer in use");
        self.loader.put(at, None);
        if let Some(state) = self.states.lock().get_mut(at) {
            // The number of entries stays, so that what comes next is still compared with it.
            (state.sha256, state.seen) = (String::new(), None);
        }
        self.board.update(at, |status| status.entries = None);
        true
    }

    /// Says of a source why nothing of it is in force, if it is for its age. Why it failed, if it did, says more.
    fn tell_age(&self, at: usize, has_expired: bool) {
        if has_expired {
            self.board.update(at, |status| {
                status.error.get_or_insert_with(|| "it is too old to be believed".to_owned());
            });
        }
    }

    /// What is known of a source that is fetched: what is on disk, and what this process tried since.
    fn meta(&self, at: usize, source: &IntelSource, url: &str) -> Meta {
        let mut meta = self.store.meta(&source.name);
        let tried = self.state(at).tried;
        if tried.at > meta.attempted_at {
            let digest = sha256(url.as_bytes());
            if meta.url_sha256 != digest {
                (meta.etag, meta.last_modified, meta.url_sha256) = (None, None, digest);
            }
            (meta.attempted_at, meta.failures) = (tried.at, tried.failures);
        }
        meta
    }

    fn note(&self, source: &IntelSource, url: &str, mut meta: Meta, now: u64, outcome: &Outcome) {
        meta.attempted_at = now;
        let digest = sha256(url.as_bytes());
        if meta.url_sha256 != digest {
            // What is kept came from elsewhere; its validators mean nothing here.
            (meta.etag, meta.last_modified, meta.url_sha256) = (None, None, digest);
        }
        match outcome {
            Outcome::Refused(why) | Outcome::Failed(why) => {
                meta.failures = meta.failures.saturating_add(1);
                meta.error = Some(why.clone());
            }
            Outcome::Applied | Outcome::Unchanged | Outcome::NotDue => (meta.failures, meta.error) = (0, None),
        }
        if let Err(error) = self.store.note(&source.name, &meta) {
            tracing::error!(source = %source.name, %error, "what is known of a source was not kept");
        }
    }

    fn tell(&self, at: usize, source: &IntelSource, outcome: &Outcome) {
        self.board.count(at, outcome);
        let name = &source.name;
        let entries = self.board.status(at).and_then(|status| status.entries).unwrap_or(0);
        match outcome {
            Outcome::Applied => tracing::info!(source = %name, entries, "a source is in force"),
            Outcome::Unchanged | Outcome::NotDue => tracing::debug!(source = %name, "{}", outcome.name()),
            Outcome::Refused(error) => {
                tracing::error!(source = %name, %error, "a source was refused; the last good one stays");
            }
            Outcome::Failed(error) => {
                tracing::warn!(source = %name, %error, "a source was not to be had; the last good one stays");
            }
        }
        self.board.update(at, |status| match outcome {
            Outcome::Refused(error) | Outcome::Failed(error) => status.error = Some(error.clone()),
            Outcome::Applied | Outcome::Unchanged => status.error = None,
            Outcome::NotDue => {}
        });
    }

    /// Reads a source. A panic in it is a refusal: a document may find a fault of ours.
    fn load(&self, source: &IntelSource, bytes: &[u8], as_of: u64) -> Result<Loaded<L::Part>, String> {
        catch_unwind(AssertUnwindSafe(|| self.loader.load(source, bytes, as_of)))
            .unwrap_or_else(|_| Err("reading it failed by a fault of the gateway".to_owned()))
    }

    fn state(&self, at: usize) -> State {
        self.states.lock().get(at).cloned().unwrap_or_default()
    }

    fn schedule_fetch(&self, at: usize, source: &IntelSource, url: &str, now: u64) {
        let meta = self.meta(at, source, url);
        let is_same = meta.url_sha256 == sha256(url.as_bytes());
        let from = if is_same { allowed_from(&meta, source, now) } else { now };
        self.schedule(at, source, now, from.saturating_sub(now));
    }

    /// Says when a source is due: `wait` seconds from now, or after its interval, and up to a tenth of that later, so
    /// that gateways that were started together do not ask together.
    fn schedule(&self, at: usize, source: &IntelSource, now: u64, wait: u64) {
        let is_file = matches!(source.place, Place::File(_));
        let wait = if is_file { source.refresh.as_secs() } else { wait };
        let spread = (wait / 10).max(1);
        let jitter = random::bytes().map_or(0, u64::from_le_bytes) % spread;
        if let Some(state) = self.states.lock().get_mut(at) {
            state.due = now.saturating_add(wait).saturating_add(jitter);
        }
    }
}

/// Why a source is not in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceFault {
    name: Arc<str>,
    why: String,
}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the source `{}`: {}", self.name, self.why)
    }
}

impl std::error::Error for SourceFault {}

/// As of when a source is read, in seconds since 1970, and how.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now: u64,
    shrinking: Shrinking,
}

/// From when on a source may be asked for again; in the past where it may be now.
fn allowed_from(meta: &Meta, source: &IntelSource, now: u64) -> u64 {
    if meta.attempted_at > now {
        // The clock was set back; what it said before does not bind.
        return now;
    }
    let interval = source.refresh.as_secs();
    let doubled = 1_u64.checked_shl(meta.failures.saturating_sub(1).min(32)).unwrap_or(u64::MAX);
    let wait = match meta.failures {
        0 => interval,
        _ => RETRY_SECS.max(interval / 8).saturating_mul(doubled).min(interval),
    };
    meta.attempted_at.saturating_add(wait)
}

/// Refreshes each source when it is due, for as long as the gateway runs.
#[derive(Debug)]
pub struct RefreshService<L> {
    refresher: Arc<Refresher<L>>,
    clock: Clock,
    reload: Arc<Notify>,
}

impl<L: Loader> RefreshService<L> {
    /// A service for `refresher`; a notice through `reload` makes it look at files at once.
    pub const fn new(refresher: Arc<Refresher<L>>, clock: Clock, reload: Arc<Notify>) -> Self {
        Self { refresher, clock, reload }
    }

    /// Does what blocks on a thread that may.
    async fn blocking(&self, doing: impl FnOnce(&Refresher<L>, u64) + Send + 'static) {
        let (refresher, now) = (Arc::clone(&self.refresher), self.clock.now().unix().0);
        if tokio::task::spawn_blocking(move || doing(&refresher, now)).await.is_err() {
            tracing::error!("refreshing failed by a fault of the gateway; the last good sources stay");
        }
    }
}

#[async_trait]
impl<L: Loader> BackgroundService for RefreshService<L> {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            let next = self.refresher.next();
            let now = self.clock.now().unix().0;
            // A wall clock that was set may be far off; a nap is never so long that it shows.
            let nap = next.map_or(MAX_NAP, |(_, due)| Duration::from_secs(due.saturating_sub(now)).min(MAX_NAP));
            tokio::select! {
                _ = shutdown.changed() => return,
                () = self.reload.notified() => self.blocking(|refresher, now| refresher.reload(now)).await,
                () = sleep(nap) => {
                    if let Some((at, due)) = next && due <= self.clock.now().unix().0 {
                        // A fetch under way is left to itself when the gateway ends; it is bounded, and writes whole.
                        tokio::select! {
                            _ = shutdown.changed() => return,
                            () = self.blocking(move |refresher, now| {
                                refresher.refresh(at, now, Shrinking::Guarded);
                            }) => {}
                        }
                    }
                }
            }
        }
    }
}

/// The longest time between two looks at the clock.
const MAX_NAP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_asked_for_again_after_its_interval_and_after_a_failure_sooner() {
        let hour = 3600;
        let day = 24 * hour;
        for (interval, failures, wait) in [
            (day, 0, day),
            (day, 1, 3 * hour),
            (day, 2, 6 * hour),
            (day, 4, day),
            (day, u32::MAX, day),
            (hour, 1, 450),
            (hour, 2, 900),
            (300, 1, 300),
        ] {
            let source = IntelSource {
                name: "tor".into(),
                place: Place::Url(String::new()),
                content: crate::settings::Content::Database(crate::settings::DatabaseContent::default()),
                refresh: Duration::from_secs(interval),
                max_bytes: 1,
                max_shrink: 500,
                licence: None,
            };
            let meta = Meta { attempted_at: 1_000, failures, ..Meta::default() };
            assert_eq!(allowed_from(&meta, &source, 2_000), 1_000 + wait, "{interval} s, {failures} failures");
            assert_eq!(allowed_from(&meta, &source, 999), 999, "a clock that was set back does not bind");
        }
    }
}
