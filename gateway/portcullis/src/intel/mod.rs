//! What the gateway learns of networks from outside: databases and feeds, and crawlers that prove who they are.
//!
//! ```text
//! file or HTTPS ──► fetch ──► Loader (pure: parse, guard) ──► shrink guard ──► store ──► Loader::put, ::publish
//!                                                                 └──────────► board ──► metrics, `intel status`
//! a claim ──► crawlers::verify ──► the answer of before, at once
//!                  └──► queue ──► DNS: address ──► names ──► addresses ──► proof, for the next request
//! ```
//!
//! INVARIANT: nothing here is waited for by a request, and what cannot be fetched or does not load changes nothing.

pub mod board;
pub mod crawlers;
pub mod fetch;
pub mod refresh;
pub mod store;
pub mod tally;

pub use board::{Board, Outcome, SourceStatus};
pub use crawlers::{CrawlerDns, CrawlerProofs, CrawlerRules, Proof};
pub use fetch::{Bounds, Document, FetchError, Fetched, Fetcher, FetcherError, Reach, Validators};
pub use refresh::{Loaded, Loader, RefreshService, Refresher, Shrinking};
pub use store::{Kept, Meta, Store, StoreError};
pub use tally::Tally;
