//! Everything that is known of networks, from files and from the last good documents.

use std::sync::Arc;

use arc_swap::ArcSwap;
use portcullis_intel::Intel;

use super::fetch::FetcherError;
use super::loader::SnapshotLoader;
use super::refresh::Refresher;
use crate::databases::{DatabaseFault, Databases};
use crate::settings::{IntelFiles, IntelSources};

/// What is known of networks, and what keeps it new.
#[derive(Debug)]
pub struct Networks {
    /// What lookups read; swapped whole.
    pub snapshot: Arc<ArcSwap<Intel>>,
    /// Looks for sources anew.
    pub refresher: Arc<Refresher<SnapshotLoader>>,
}

impl Networks {
    /// What is compiled in, what is in files, and what was fetched before. Connects nowhere. `now` is in seconds
    /// since 1970.
    ///
    /// What of the sources cannot be used stands on their board, and in the log.
    ///
    /// # Errors
    ///
    /// Where the certificates to trust cannot be read.
    pub fn open(
        files: &IntelFiles,
        sources: &IntelSources,
        now: u64,
    ) -> Result<(Self, Vec<DatabaseFault>), FetcherError> {
        let (databases, faults) = Databases::read(files);
        let snapshot = Arc::new(ArcSwap::from_pointee(databases.put_into(&Intel::default())));
        let refresher = Refresher::new(sources, SnapshotLoader::into_snapshot(Arc::clone(&snapshot)))?;
        refresher.load_kept(now);
        Ok((Self { snapshot, refresher: Arc::new(refresher) }, faults))
    }
}
