//! Reloading the sites: when their file changes, and on SIGHUP.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use portcullis_policy::Style;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Sites;
use crate::gateway::Gateway;
use crate::metrics::Reload;

/// Loads the sites anew while the gateway runs. What does not load changes nothing.
pub(crate) struct SitesWatch(Arc<Gateway>);

/// How long after a change the file is read: whoever writes it may not be done.
const QUIET: Duration = Duration::from_millis(100);

impl SitesWatch {
    /// For the sites of this gateway.
    pub(crate) const fn new(gateway: Arc<Gateway>) -> Self {
        Self(gateway)
    }

    fn reload(&self, sites: &Sites) {
        let result = catch_unwind(AssertUnwindSafe(|| self.load(sites))).unwrap_or_else(|_| {
            tracing::error!("reloading the sites failed by a fault of the gateway; those in force stay");
            Reload::Refused
        });
        self.0.metrics.reloaded("sites", result);
    }

    fn load(&self, sites: &Sites) -> Reload {
        let policy = self.0.policy.load();
        let routes: Vec<&str> = policy.rules().routes().iter().map(|route| &*route.name).collect();
        match sites.settings().load(&routes) {
            Ok(loaded) if sites.are(&loaded) => Reload::Unchanged,
            Ok(loaded) => {
                if !loaded.warnings.is_empty() {
                    tracing::warn!("the sites have warnings\n{}", loaded.warnings);
                }
                sites.replace(loaded);
                tracing::info!(sites = sites.count(), "the sites were reloaded");
                Reload::Applied
            }
            Err(error) => {
                tracing::error!(
                    faults = error.count(),
                    "the sites were not reloaded; those in force stay\n{}",
                    error.render(Style::Plain)
                );
                Reload::Refused
            }
        }
    }
}

#[async_trait]
impl BackgroundService for SitesWatch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Some(sites) = &self.0.sites else { return };
        let changed = Arc::new(Notify::new());
        let _watcher = watch(&sites.settings().file, &changed);
        let mut hangup = signal(SignalKind::hangup()).ok();
        // What changed between the first load and the watch was told to nobody.
        self.reload(sites);
        loop {
            let hung_up = async {
                match hangup.as_mut() {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = shutdown.changed() => return,
                () = changed.notified() => sleep(QUIET).await,
                // The rules are reloaded at the same time, and a site may name a new route.
                () = hung_up => sleep(QUIET).await,
            }
            self.reload(sites);
        }
    }
}

/// Watches the folder of a file, so that the file is also seen when another takes its place.
fn watch(file: &Path, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let (tell, name) = (Arc::clone(changed), file.file_name()?.to_owned());
    let told = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| concerns(&event, &name)) {
            tell.notify_one();
        }
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let watching = notify::recommended_watcher(told).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watching
        .inspect_err(|error| tracing::warn!(%error, "the file of the sites is not watched; send SIGHUP to reload"))
        .ok()
}

fn concerns(event: &Event, name: &std::ffi::OsStr) -> bool {
    let changes = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    // `..data` is the link that Kubernetes turns when a mounted set of files changes.
    changes && event.paths.iter().any(|path| path.file_name() == Some(name) || path.ends_with("..data"))
}
