use std::fmt;

use crate::list::LineFault;
use crate::mmdb::DatabaseError;
use crate::prefix::Prefix;

/// Why a feed was refused as a whole. The last good one stays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FeedError {
    /// More bytes than the guard allows, unpacked.
    TooLarge {
        /// The bound.
        most_bytes: usize,
    },
    /// More entries than the guard allows.
    TooMany {
        /// The bound.
        most_entries: usize,
    },
    /// Fewer entries than the guard asks for.
    TooFew {
        /// How many there are.
        entries: usize,
        /// The bound.
        fewest: usize,
        /// How many lines were no entry.
        skipped: usize,
        /// The first of them.
        first: Option<LineFault>,
    },
    /// It lost more of its entries than the guard allows.
    Shrunk {
        /// How many there were.
        before: usize,
        /// How many there are.
        after: usize,
        /// The bound, in percent.
        most_percent: u8,
    },
    /// An entry is wider than the guard allows.
    TooWide {
        /// The entry.
        prefix: Prefix,
        /// The shortest length, in bits.
        shortest: u8,
    },
    /// Several entries together are wider than the guard allows.
    CoversWhole {
        /// The block that they cover.
        prefix: Prefix,
    },
    /// The bytes begin like gzip and cannot be unpacked.
    Gzip {
        /// What the unpacker met.
        reason: String,
    },
    /// The server answered with a page for people.
    Html,
    /// The document is not JSON.
    Json {
        /// What the parser met, and where.
        reason: String,
    },
    /// The columns that the settings name are not there.
    Column {
        /// The name that was looked for.
        name: String,
    },
    /// The database cannot be used.
    Database(DatabaseError),
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FeedError::TooLarge { most_bytes } => {
                write!(f, "expected at most {most_bytes} bytes, but found more; raise `max_bytes` if that is right")
            }
            FeedError::TooMany { most_entries } => {
                write!(
                    f,
                    "expected at most {most_entries} entries, but found more; raise `max_entries` if that is right"
                )
            }
            FeedError::TooFew { entries, fewest, skipped, first } => {
                write!(f, "expected at least {fewest} entries, but found {entries}")?;
                match first {
                    Some(first) => write!(f, ", and {skipped} lines that are none, the first in {first}"),
                    None => Ok(()),
                }
            }
            FeedError::Shrunk { before, after, most_percent } => write!(
                f,
                "expected to lose at most {most_percent} percent of {before} entries, but found {after}; \
                 raise `max_shrink_percent` if that is right"
            ),
            FeedError::TooWide { prefix, shortest } => {
                write!(f, "expected networks no wider than a `/{shortest}`, but found `{prefix}`")
            }
            FeedError::CoversWhole { prefix } => {
                write!(f, "expected less than the whole of `{prefix}`, but several entries cover it together")
            }
            FeedError::Gzip { reason } => write!(f, "expected gzip, but could not unpack it: {reason}"),
            FeedError::Html => f.write_str("expected a list, but found a web page; look at what the server answers"),
            FeedError::Json { reason } => write!(f, "expected JSON, but found otherwise: {reason}"),
            FeedError::Column { name } => write!(f, "expected a column `{name}`, but the first line does not name it"),
            FeedError::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FeedError {}

impl From<DatabaseError> for FeedError {
    fn from(error: DatabaseError) -> Self {
        FeedError::Database(error)
    }
}
