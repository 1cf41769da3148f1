//! What the gateway learns of networks from outside: databases and feeds, and crawlers that prove who they are.
//!
//! ```text
//! file or HTTPS ──► fetch ──► Loader (parse, guard) ──► shrink guard ──► store ──► Loader::put, ::publish ──► snapshot
//!                                                           └──────────► board ──► metrics
//! a claim ──► crawlers::verify ──► the answer of before, at once
//!                  └──► queue ──► DNS: address ──► names ──► addresses ──► proof, for the next request
//! ```
//!
//! INVARIANT: nothing here is waited for by a request, and what cannot be fetched or does not load changes nothing.

pub mod board;
pub mod crawlers;
pub mod fetch;
pub mod loader;
pub mod networks;
pub mod refresh;
pub mod store;

pub use board::{Board, Outcome, SourceStatus};
pub use crawlers::{CrawlerDns, CrawlerProofs, CrawlerRules};
pub use fetch::{Bounds, Document, FetchError, Fetched, Fetcher, FetcherError, Reach, Validators};
pub use loader::SnapshotLoader;
pub use networks::Networks;
pub use refresh::{Loaded, Loader, RefreshService, Refresher, Shrinking};
pub use store::{Kept, Meta, Store, StoreError};
