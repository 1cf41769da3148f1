//! Requests of HTTP/1 that cannot be read: Pingora answers them by itself, shows them to nobody, and does not say why.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::ConnInfo;

/// Who answers a request of HTTP/1 that cannot be read.
pub trait Unread: fmt::Debug + Send + Sync {
    /// The answer to a request that began with `head`: at most [`HEAD_BYTES`] of it, and of what came with it. None has
    /// Pingora's own answer sent. The connection is closed in either case.
    fn answer(&self, conn: &ConnInfo, head: &[u8]) -> Option<UnreadAnswer>;
}

/// An answer to a request that cannot be read.
#[derive(Clone, Debug)]
pub struct UnreadAnswer {
    /// All of it, header section and body.
    pub bytes: Bytes,
    /// Whether the request was judged; else it is counted in [`super::AcceptStats::unjudged`].
    pub is_judged: bool,
}

/// How much of a header section is kept to say what is wrong with it. Most have less.
pub const HEAD_BYTES: usize = 2048;

/// The beginning of the header section that a connection is sending, for who answers it if it cannot be read.
pub(super) struct HeadCopy {
    unread: Arc<dyn Unread>,
    /// The turn ([`ConnInfo::turn`]) that `bytes` are of.
    turn: u64,
    bytes: Vec<u8>,
}

impl HeadCopy {
    pub(super) const fn new(unread: Arc<dyn Unread>) -> Self {
        Self { unread, turn: 0, bytes: Vec::new() }
    }

    /// Takes note of bytes that were read in `turn`; in odd ones they are those of a body.
    pub(super) fn note_read(&mut self, turn: u64, bytes: &[u8]) {
        if turn & 1 == 1 {
            return;
        }
        if self.turn != turn {
            self.turn = turn;
            self.bytes.clear();
        }
        let room = HEAD_BYTES.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }

    /// What answers the request that could not be read in `turn`.
    pub(super) fn answer(&self, turn: u64, conn: &ConnInfo) -> Option<UnreadAnswer> {
        // What was read with an earlier request is not looked for.
        let head = if self.turn == turn { self.bytes.as_slice() } else { &[] };
        self.unread.answer(conn, head)
    }
}

impl fmt::Debug for HeadCopy {
    /// Not the bytes, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadCopy").field("turn", &self.turn).finish_non_exhaustive()
    }
}
