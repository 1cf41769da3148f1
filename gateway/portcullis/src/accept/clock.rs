//! The clocks on a client: an absolute one where it owes a request, and one where it takes nothing of what it is sent.
//!
//! Pingora's own timeouts start anew with each read, so a client that sends one byte now and then is
//! never cut. Here the time runs from the moment at which the header became due.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::stats::Cut;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    /// How many bytes may be looked at to read a header: with each piece that comes, all that came before are again.
    pub(super) looked_at: u64,
}

/// Watches the reads of one connection.
///
/// One timer serves a connection for all its life, so that a request on a busy one costs one look at the time and no
/// timer at all.
#[derive(Debug)]
pub(super) struct HeaderClock {
    patience: Patience,
    /// The turn ([`super::ConnInfo::turn`]) that `wait` is about: always even, as in odd ones a request is under way.
    turn: u64,
    wait: Wait,
    /// Bytes of the header so far.
    come: u64,
    looked_at: u64,
    timer: Timer,
}

/// Watches what a client takes of what it is sent.
#[derive(Debug)]
pub(super) struct SendClock {
    patience: Duration,
    due: Option<Instant>,
    timer: Timer,
}

/// A timer for what is due next. It is moved only when it fires too early or stands too late.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

/// What the connection waits for between two requests.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// The rest of a header that became due then.
    Header(Instant),
    /// The first byte of a header, since then.
    Idle(Instant),
    /// It has not yet had to wait in this turn; `begun` when bytes of the header have been read.
    NotYet { begun: bool },
}

impl HeaderClock {
    /// A clock for a connection whose first header is due from `opened` on; `timer` may be a used one.
    pub(super) fn new(patience: Patience, opened: Instant, timer: Option<Pin<Box<Sleep>>>) -> Self {
        Self { patience, turn: 0, wait: Wait::Header(opened), come: 0, looked_at: 0, timer: Timer(timer) }
    }

    /// Notes that some bytes were read in `turn`, and says whether the header has come in too many pieces.
    pub(super) fn note_read(&mut self, turn: u64, bytes: usize) -> bool {
        if turn & 1 == 1 {
            return false;
        }
        self.enter(turn);
        if !matches!(self.wait, Wait::Header(_)) {
            self.wait = Wait::NotYet { begun: true };
        }
        self.come = self.come.saturating_add(bytes as u64);
        self.looked_at = self.looked_at.saturating_add(self.come);
        self.looked_at > self.patience.looked_at
    }

    /// Asks, when there is nothing to read in `turn`, whether the client's time is over.
    pub(super) fn poll_over(&mut self, turn: u64, cx: &mut Context<'_>) -> Poll<Cut> {
        if turn & 1 == 1 {
            return Poll::Pending;
        }
        self.enter(turn);
        if let Wait::NotYet { begun } = self.wait {
            let now = Instant::now();
            self.wait = if begun { Wait::Header(now) } else { Wait::Idle(now) };
        }
        let (due, cut) = match self.wait {
            Wait::Header(since) => (since + self.patience.header, Cut::SlowHeader),
            Wait::Idle(since) => (since + self.patience.idle, Cut::Idle),
            Wait::NotYet { .. } => return Poll::Pending,
        };
        self.timer.poll_until(due, cx).map(|()| cut)
    }

    /// Whether a header is due in `turn` of which bytes may have come; the next time it is due no more.
    pub(super) fn take_due(&mut self, turn: u64) -> bool {
        let is_due = self.turn == turn && matches!(self.wait, Wait::Header(_) | Wait::NotYet { begun: true });
        if is_due {
            self.wait = Wait::NotYet { begun: false };
        }
        is_due
    }

    /// A change of turn means that a request was served in between.
    fn enter(&mut self, turn: u64) {
        if self.turn != turn {
            self.turn = turn;
            self.wait = Wait::NotYet { begun: false };
            (self.come, self.looked_at) = (0, 0);
        }
    }
}

impl SendClock {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, due: None, timer: Timer::default() }
    }

    /// Notes that the client took something, or that nothing waits to be sent.
    pub(super) fn rest(&mut self) {
        self.due = None;
    }

    /// Ready when nothing could be sent for too long; to be asked whenever nothing can be.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = *self.due.get_or_insert_with(|| Instant::now() + self.patience);
        self.timer.poll_until(due, cx)
    }
}

impl Timer {
    fn poll_until(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const PATIENCE: Patience =
        Patience { header: Duration::from_secs(10), idle: Duration::from_secs(60), looked_at: 1000 };

    fn poll(clock: &mut HeaderClock, turn: u64) -> Poll<Cut> {
        clock.poll_over(turn, &mut Context::from_waker(Waker::noop()))
    }

    async fn pass(secs: u64) {
        tokio::time::advance(Duration::from_secs(secs)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_header_is_due_from_the_opening_whatever_is_read() {
        let mut clock = HeaderClock::new(PATIENCE, Instant::now(), None);
        for _ in 0..9 {
            assert_eq!(poll(&mut clock, 0), Poll::Pending);
            pass(1).await;
            assert!(!clock.note_read(0, 1));
        }
        assert_eq!(poll(&mut clock, 0), Poll::Pending);
        pass(2).await;
        assert_eq!(poll(&mut clock, 0), Poll::Ready(Cut::SlowHeader));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_is_due_until_a_request_is_under_way() {
        let mut clock = HeaderClock::new(PATIENCE, Instant::now(), None);
        assert!(!clock.take_due(1), "a request is under way");
        assert!(clock.take_due(0));
        assert!(!clock.take_due(0), "it is taken once");
        assert!(!clock.take_due(2), "nothing of the next one has come");
        assert!(!clock.note_read(2, 1));
        assert!(clock.take_due(2));
    }

    #[tokio::test(start_paused = true)]
    async fn it_stands_still_while_a_request_is_under_way() {
        let mut clock = HeaderClock::new(PATIENCE, Instant::now(), None);
        assert_eq!(poll(&mut clock, 0), Poll::Pending);
        pass(1000).await;
        assert!(!clock.note_read(1, 1));
        assert_eq!(poll(&mut clock, 1), Poll::Pending);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_has_its_own_time_and_a_header_once_begun_the_shorter_one() {
        let mut clock = HeaderClock::new(PATIENCE, Instant::now(), None);
        assert_eq!(poll(&mut clock, 2), Poll::Pending);
        pass(59).await;
        assert_eq!(poll(&mut clock, 2), Poll::Pending);
        assert!(!clock.note_read(2, 1));
        assert_eq!(poll(&mut clock, 2), Poll::Pending);
        pass(9).await;
        assert!(!clock.note_read(2, 1));
        assert_eq!(poll(&mut clock, 2), Poll::Pending);
        pass(2).await;
        assert_eq!(poll(&mut clock, 2), Poll::Ready(Cut::SlowHeader));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_connection_is_cut_a_full_idle_time_after_its_last_request() {
        let timer = Box::pin(sleep_until(Instant::now() + Duration::from_secs(3)));
        let mut clock = HeaderClock::new(PATIENCE, Instant::now(), Some(timer));
        for request in 1..=5 {
            assert_eq!(poll(&mut clock, request * 2), Poll::Pending, "after {request}");
            pass(50).await;
            assert!(!clock.note_read(request * 2, 1));
        }
        assert_eq!(poll(&mut clock, 12), Poll::Pending);
        pass(59).await;
        assert_eq!(poll(&mut clock, 12), Poll::Pending);
        pass(2).await;
        assert_eq!(poll(&mut clock, 12), Poll::Ready(Cut::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_may_come_in_pieces_but_not_in_any_number_of_them() {
        let mut clock = HeaderClock::new(PATIENCE, Instant::now(), None);
        // With each byte all before it are looked at: 1 + 2 + … + 44 = 990.
        assert!((0..44).all(|_| !clock.note_read(0, 1)));
        assert!(clock.note_read(0, 1));
        assert!(!clock.note_read(1, 5000), "a body is looked at once");
        assert!(!clock.note_read(2, 1000), "the next header begins anew");
        assert!(clock.note_read(2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_has_his_time_anew_whenever_he_took_something() {
        let mut clock = SendClock::new(Duration::from_secs(30));
        let mut poll = |took: bool| {
            if took {
                clock.rest();
            }
            clock.poll_over(&mut Context::from_waker(Waker::noop()))
        };
        assert_eq!(poll(false), Poll::Pending);
        pass(29).await;
        assert_eq!(poll(true), Poll::Pending);
        pass(29).await;
        assert_eq!(poll(false), Poll::Pending);
        pass(2).await;
        assert_eq!(poll(false), Poll::Ready(()));
    }
}
