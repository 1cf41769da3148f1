//! From the bytes of sources to the snapshot that lookups read.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portcullis_intel::{Feed, Intel, Merged, MmdbSource, embedded_feeds, read_feed, unpacked};

use super::refresh::{Loaded, Loader};
use crate::settings::{Content, IntelSource};

/// Makes snapshots of what is compiled in and of every source that is in force.
#[derive(Debug)]
pub struct SnapshotLoader {
    embedded: Vec<Feed>,
    /// By the number of the source in the settings.
    parts: Mutex<Vec<Option<Part>>>,
    snapshot: Arc<ArcSwap<Intel>>,
}

/// What a source becomes.
#[derive(Clone, Debug)]
pub enum Part {
    /// A database.
    Database(Arc<MmdbSource>),
    /// A feed.
    Feed(Arc<Feed>),
}

impl SnapshotLoader {
    /// A loader that swaps what it makes into `snapshot`, beside the databases that are there already.
    pub fn into_snapshot(snapshot: Arc<ArcSwap<Intel>>) -> Self {
        Self { embedded: embedded_feeds(), parts: Mutex::default(), snapshot }
    }

    /// Where snapshots go.
    pub const fn snapshot(&self) -> &Arc<ArcSwap<Intel>> {
        &self.snapshot
    }
}

impl Loader for SnapshotLoader {
    type Part = Part;

    fn load(&self, source: &IntelSource, bytes: &[u8], as_of: u64) -> Result<Loaded<Part>, String> {
        match &source.content {
            Content::Database(content) => {
                let most = usize::try_from(source.max_bytes).unwrap_or(usize::MAX);
                let bytes = unpacked(bytes, most).map_err(|error| error.to_string())?.into_owned();
                let database = MmdbSource::mapped(&source.name, bytes, |kind| content.mapping(kind))
                    .map_err(|error| error.to_string())?
                    .with_licence(source.licence.as_deref());
                Ok(Loaded {
                    // It does not say how many networks it has; its search tree has about one node for each.
                    entries: u64::from(database.info().nodes),
                    skipped: u64::from(database.sample().unreadable),
                    part: Part::Database(Arc::new(database)),
                })
            }
            Content::Feed(spec) => {
                // What it had before is compared by whoever asks, who knows whether shrinking is accepted.
                let feed = read_feed(spec, bytes, None, as_of).map_err(|error| error.to_string())?;
                let report = feed.report();
                let left_out = report.skipped.saturating_add(report.dropped.total());
                Ok(Loaded {
                    entries: u64::try_from(report.entries()).unwrap_or(u64::MAX),
                    skipped: u64::try_from(left_out).unwrap_or(u64::MAX),
                    part: Part::Feed(Arc::new(feed)),
                })
            }
        }
    }

    fn put(&self, at: usize, part: Option<Part>) {
        let mut parts = self.parts.lock();
        if parts.len() <= at {
            parts.resize(at.saturating_add(1), None);
        }
        if let Some(place) = parts.get_mut(at) {
            *place = part;
        }
    }

    fn publish(&self) {
        let parts: Vec<Part> = self.parts.lock().iter().flatten().cloned().collect();
        let feeds = parts.iter().filter_map(|part| match part {
            Part::Feed(feed) => Some(&**feed),
            Part::Database(_) => None,
        });
        let databases: Vec<_> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Database(database) => Some(Arc::clone(database)),
                Part::Feed(_) => None,
            })
            .collect();
        // What is too old was taken away by the refresher, which tells of it; here nothing is.
        let merged = Arc::new(Merged::of(self.embedded.iter().chain(feeds), 0));
        self.snapshot.rcu(|known| {
            Intel::clone(known).with_merged(Arc::clone(&merged)).with_databases(databases.iter().map(Arc::clone))
        });
    }
}
