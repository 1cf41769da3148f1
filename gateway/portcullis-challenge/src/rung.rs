//! Which rung of the ladder is offered, and how high it is.
//!
//! Tables only: the score, the route and the posture say how much is asked, the client what it can
//! do, and the rung that is reached is the level of the clearance.

use std::time::Duration;

use crate::clearance::Level;
use crate::memory::MemoryCost;
use crate::strength::{MAX_DIFFICULTY_BITS, Strength, Work};
use crate::wait::{MAX_WAIT, MIN_WAIT};

/// The scores from which each rung is asked for, in thousandths from 0 to 1000, each not above the
/// next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ladder {
    /// From here on the client is asked to wait, or to press a button.
    pub wait_from: u16,
    /// From here on it is asked for work.
    pub work_from: u16,
    /// Above this, waiting no longer stands in for work.
    pub wait_up_to: u16,
    /// From here on the work takes memory as well.
    pub memory_from: u16,
    /// From here on a sign-in is asked for, where there is one.
    pub step_up_from: u16,
}

impl Ladder {
    /// For routes that shall hinder nobody.
    pub const RELAXED: Self =
        Self { wait_from: 300, work_from: 500, wait_up_to: 800, memory_from: 850, step_up_from: 950 };
    /// For most routes.
    pub const BALANCED: Self =
        Self { wait_from: 200, work_from: 400, wait_up_to: 650, memory_from: 700, step_up_from: 850 };
    /// For routes on which harm is dear: work from the first doubt on.
    pub const STRICT: Self = Self { wait_from: 0, work_from: 0, wait_up_to: 450, memory_from: 550, step_up_from: 750 };

    /// The rung that a score asks for by itself.
    #[must_use]
    pub const fn rung(&self, score_thousandths: u16) -> Level {
        if score_thousandths >= self.step_up_from {
            Level::StepUp
        } else if score_thousandths >= self.memory_from {
            Level::MemoryHard
        } else if score_thousandths >= self.work_from {
            Level::ProofOfWork
        } else if score_thousandths >= self.wait_from {
            Level::NoScript
        } else {
            Level::Transparent
        }
    }
}

/// How much trouble the gateway is in. Ordered.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Posture {
    /// None.
    #[default]
    Calm,
    /// More than usual.
    Raised,
    /// Under attack.
    UnderAttack,
}

impl Posture {
    /// Every posture, the calmest first.
    pub const ALL: [Self; 3] = [Self::Calm, Self::Raised, Self::UnderAttack];

    /// The lowest rung that is offered at all.
    const fn floor(self) -> Level {
        match self {
            Self::Calm => Level::Transparent,
            Self::Raised => Level::NoScript,
            Self::UnderAttack => Level::ProofOfWork,
        }
    }
}

/// Whom a route serves: what a challenge on it may look like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Audience {
    /// People in browsers: the page.
    People,
    /// Programs: problem+json, never HTML.
    Programs,
    /// The page for those that accept HTML, problem+json for the rest.
    #[default]
    Both,
    /// Feeds, webhooks, registries, previews: never a challenge.
    Unattended,
}

/// What a client can do, as far as this request tells.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Client {
    /// It does not ask for HTML.
    Program,
    /// It asks for HTML. Whether it runs scripts is not known.
    #[default]
    Browser,
    /// It asks for HTML, and has come back from the page without a script.
    WithoutScript,
}

/// Whether a sign-in at an identity provider can be offered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SignIn {
    /// There is none on this route.
    #[default]
    Absent,
    /// There is one.
    Offered,
}

/// Whether the page's script solves memory-hard puzzles. Programs are taken to: the protocol names
/// the function.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PageMemory {
    /// It does not; it is asked for more hashing instead.
    #[default]
    Absent,
    /// It does.
    Solves,
}

/// What is asked of one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ask {
    /// The score in thousandths, 0 to 1000.
    pub score_thousandths: u16,
    /// The route's ladder.
    pub ladder: Ladder,
    /// The state of things.
    pub posture: Posture,
    /// Whom the route serves.
    pub audience: Audience,
    /// Whether the route has a sign-in.
    pub sign_in: SignIn,
    /// What the page's script can do.
    pub page_memory: PageMemory,
}

/// What is offered to one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offer {
    /// No challenge: the route's clients cannot meet one. It is throttled and scored.
    Throttle,
    /// The page. `first` is what its script does; `without_script` what it does without one, and
    /// `None` there is an honest end: it says that the script is needed, and whom to write to.
    Page {
        /// The rung that is tried first.
        first: Level,
        /// The rung for those whose script does not run.
        without_script: Option<Level>,
    },
    /// problem+json with a puzzle of this rung.
    Problem(Level),
    /// A sign-in: a redirect for a browser, 401 for a program (RFC 9470).
    StepUp,
}

impl Ask {
    /// What `client` is offered.
    #[must_use]
    pub fn offer(&self, client: Client) -> Offer {
        if self.audience == Audience::Unattended {
            return Offer::Throttle;
        }
        let rung = self.ladder.rung(self.score_thousandths).max(self.posture.floor());
        let rung = match (rung, self.sign_in) {
            (Level::StepUp, SignIn::Offered) => return Offer::StepUp,
            (Level::StepUp, SignIn::Absent) => Level::MemoryHard,
            (rung, _) => rung,
        };
        if self.audience == Audience::Programs || (self.audience == Audience::Both && client == Client::Program) {
            // A program cannot be watched and has nothing to press: it pays.
            return Offer::Problem(rung.max(Level::ProofOfWork));
        }
        let first = match (rung, self.page_memory) {
            (Level::MemoryHard, PageMemory::Absent) => Level::ProofOfWork,
            (rung, _) => rung,
        };
        let without_script = self.wait_stands_in().then_some(Level::NoScript);
        match (client, without_script, self.sign_in) {
            // It was tried already, and only the wait can help.
            (Client::WithoutScript, Some(wait), _) => Offer::Page { first: wait, without_script },
            (Client::WithoutScript, None, SignIn::Offered) => Offer::StepUp,
            _ => Offer::Page { first, without_script },
        }
    }

    /// The least rung that a clearance must have reached to open the route for this client; what
    /// [`offer`](Self::offer) leads to opens it.
    #[must_use]
    pub fn least(&self, client: Client) -> Level {
        match self.offer(client) {
            Offer::Throttle => Level::Transparent,
            Offer::Page { first, without_script } => without_script.map_or(first, |wait| wait.min(first)),
            Offer::Problem(level) => level,
            Offer::StepUp => Level::StepUp,
        }
    }

    /// The work of a rung, on a route that asks for `base` when all is calm: never less than that.
    ///
    /// One bit more is twice the work: one for each step of the posture, one where a memory-hard
    /// rung cannot be had. What is past the bounds of a [`Strength`] stays at the last that is not.
    #[must_use]
    pub fn work(&self, rung: Level, base: Strength) -> Work {
        let stands_in = rung == Level::ProofOfWork && self.score_thousandths >= self.ladder.memory_from;
        let more = self.posture as u8 + u8::from(stands_in);
        let hashes = harder(base, more);
        let memory = (rung == Level::MemoryHard).then_some(MemoryCost::USUAL);
        // On top of the route's own hashing: a higher rung is never the cheaper one.
        Work::new(hashes, memory)
    }

    /// How long the wait is: from 3 seconds without a doubt to 15 at the highest score, two and
    /// three times that when the posture is raised.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let calm = 3_000 + u64::from(self.score_thousandths.min(1000)) * 12;
        let times = 1 + u64::from(self.posture as u8);
        Duration::from_millis(calm * times).clamp(MIN_WAIT, MAX_WAIT)
    }

    fn wait_stands_in(&self) -> bool {
        self.posture != Posture::UnderAttack && self.score_thousandths <= self.ladder.wait_up_to
    }
}

/// `base` with up to `more` bits more, as many as are in range.
fn harder(base: Strength, more: u8) -> Strength {
    (0..=more)
        .rev()
        .filter_map(|bits| {
            Strength::new(base.difficulty_bits().saturating_add(bits).min(MAX_DIFFICULTY_BITS), base.count()).ok()
        })
        .next()
        .unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALM: Ask = Ask {
        score_thousandths: 0,
        ladder: Ladder::BALANCED,
        posture: Posture::Calm,
        audience: Audience::Both,
        sign_in: SignIn::Absent,
        page_memory: PageMemory::Absent,
    };

    #[test]
    fn the_score_alone_picks_the_rung() {
        for (score, rung) in [
            (0, Level::Transparent),
            (199, Level::Transparent),
            (200, Level::NoScript),
            (399, Level::NoScript),
            (400, Level::ProofOfWork),
            (699, Level::ProofOfWork),
            (700, Level::MemoryHard),
            (849, Level::MemoryHard),
            (850, Level::StepUp),
            (1000, Level::StepUp),
            (u16::MAX, Level::StepUp),
        ] {
            assert_eq!(Ladder::BALANCED.rung(score), rung, "{score}");
        }
    }

    #[test]
    fn what_is_offered_hangs_on_the_client_the_score_the_route_and_the_posture() {
        use Audience::{Both, People, Programs, Unattended};
        use Client::{Browser, Program, WithoutScript};
        use Level::{MemoryHard, NoScript, ProofOfWork, Transparent};
        use Posture::{Calm, Raised, UnderAttack};
        let page = |first, without_script| Offer::Page { first, without_script };
        for (score, posture, audience, client, offer) in [
            // People with doubts from none to many.
            (0, Calm, People, Browser, page(Transparent, Some(NoScript))),
            (300, Calm, Both, Browser, page(NoScript, Some(NoScript))),
            (500, Calm, Both, Browser, page(ProofOfWork, Some(NoScript))),
            (500, Calm, Both, WithoutScript, page(NoScript, Some(NoScript))),
            (660, Calm, Both, Browser, page(ProofOfWork, None)),
            (660, Calm, Both, WithoutScript, page(ProofOfWork, None)),
            (750, Calm, Both, Browser, page(ProofOfWork, None)),
            (900, Calm, Both, Browser, page(ProofOfWork, None)),
            // The posture lifts the lowest rung.
            (0, Raised, Both, Browser, page(NoScript, Some(NoScript))),
            (0, UnderAttack, Both, Browser, page(ProofOfWork, None)),
            (0, UnderAttack, Both, WithoutScript, page(ProofOfWork, None)),
            // Programs pay, at any score.
            (0, Calm, Both, Program, Offer::Problem(ProofOfWork)),
            (500, Calm, Programs, Browser, Offer::Problem(ProofOfWork)),
            (750, Calm, Programs, Program, Offer::Problem(MemoryHard)),
            (900, UnderAttack, Programs, Program, Offer::Problem(MemoryHard)),
            (500, Calm, People, Program, page(ProofOfWork, Some(NoScript))),
            // Feeds and webhooks never meet a challenge.
            (0, Calm, Unattended, Program, Offer::Throttle),
            (1000, UnderAttack, Unattended, Browser, Offer::Throttle),
        ] {
            let ask = Ask { score_thousandths: score, posture, audience, ..CALM };
            assert_eq!(ask.offer(client), offer, "{score} {posture:?} {audience:?} {client:?}");
        }
    }

    #[test]
    fn a_sign_in_is_offered_where_there_is_one() {
        let with = Ask { sign_in: SignIn::Offered, ..CALM };
        for (score, client, offer) in [
            (849, Client::Program, Offer::Problem(Level::MemoryHard)),
            (850, Client::Program, Offer::StepUp),
            (850, Client::Browser, Offer::StepUp),
            // Instead of a dead end.
            (700, Client::WithoutScript, Offer::StepUp),
        ] {
            assert_eq!(Ask { score_thousandths: score, ..with }.offer(client), offer, "{score} {client:?}");
        }
        let solves = Ask { score_thousandths: 700, page_memory: PageMemory::Solves, ..CALM };
        assert_eq!(solves.offer(Client::Browser), Offer::Page { first: Level::MemoryHard, without_script: None });
    }

    #[test]
    fn the_work_grows_with_the_posture_and_stays_in_range() {
        let work = |score, posture, rung, base| {
            let work = Ask { score_thousandths: score, posture, ..CALM }.work(rung, base);
            (work.hashes().difficulty_bits(), work.hashes().count(), work.memory().is_some())
        };
        for (score, posture, rung, base, expected) in [
            (500, Posture::Calm, Level::ProofOfWork, Strength::BALANCED, (16, 80, false)),
            (500, Posture::Raised, Level::ProofOfWork, Strength::BALANCED, (17, 80, false)),
            (500, Posture::UnderAttack, Level::ProofOfWork, Strength::BALANCED, (18, 80, false)),
            // More hashing where the memory-hard rung cannot be had.
            (750, Posture::Calm, Level::ProofOfWork, Strength::BALANCED, (17, 80, false)),
            (750, Posture::Calm, Level::MemoryHard, Strength::RELAXED, (12, 60, true)),
            // The most parts, and memory beside them.
            (750, Posture::Calm, Level::MemoryHard, Strength::new(2, 256).unwrap(), (2, 256, true)),
            // 2^28 hashes are the most.
            (750, Posture::UnderAttack, Level::ProofOfWork, Strength::STRICT, (21, 120, false)),
        ] {
            assert_eq!(work(score, posture, rung, base), expected, "{score} {posture:?} {rung:?}");
        }
    }

    #[test]
    fn the_wait_grows_with_the_score_and_the_posture() {
        for (score, posture, seconds) in [
            (0, Posture::Calm, 3),
            (500, Posture::Calm, 9),
            (1000, Posture::Calm, 15),
            (u16::MAX, Posture::Calm, 15),
            (500, Posture::Raised, 18),
            (500, Posture::UnderAttack, 27),
        ] {
            let ask = Ask { score_thousandths: score, posture, ..CALM };
            assert_eq!(ask.wait(), Duration::from_secs(seconds), "{score} {posture:?}");
        }
    }

    proptest! {
        /// Whatever rung a client reaches by what it was offered opens the route to it: no loop.
        #[test]
        fn what_is_offered_is_enough(score in 0_u16..=1000, posture in 0_usize..3, client in 0_usize..3, audience in 0_usize..4, sign_in: bool, solves: bool, ladder in 0_usize..3) {
            let ask = Ask {
                score_thousandths: score,
                ladder: [Ladder::RELAXED, Ladder::BALANCED, Ladder::STRICT][ladder],
                posture: Posture::ALL[posture],
                audience: [Audience::People, Audience::Programs, Audience::Both, Audience::Unattended][audience],
                sign_in: if sign_in { SignIn::Offered } else { SignIn::Absent },
                page_memory: if solves { PageMemory::Solves } else { PageMemory::Absent },
            };
            let client = [Client::Program, Client::Browser, Client::WithoutScript][client];
            let least = ask.least(client);
            match ask.offer(client) {
                Offer::Throttle => {}
                Offer::Page { first, without_script } => {
                    prop_assert!(first >= least && without_script.is_none_or(|level| level >= least));
                    prop_assert!(ask.audience != Audience::Programs);
                }
                Offer::Problem(level) => prop_assert!(level >= least && level >= Level::ProofOfWork),
                Offer::StepUp => prop_assert!(sign_in),
            }
        }

        /// More doubt and more trouble never ask for less.
        #[test]
        fn a_higher_score_never_asks_for_less(score in 0_u16..1000, posture in 0_usize..3, more in 1_u16..500) {
            let ask = Ask { score_thousandths: score, posture: Posture::ALL[posture], ..CALM };
            let worse = Ask { score_thousandths: score.saturating_add(more).min(1000), ..ask };
            for client in [Client::Program, Client::Browser, Client::WithoutScript] {
                prop_assert!(worse.least(client) >= ask.least(client), "{:?}", client);
            }
            prop_assert!(worse.wait() >= ask.wait());
            let base = Strength::BALANCED;
            let hashes = |ask: &Ask| ask.work(Level::ProofOfWork, base).hashes().expected_hashes();
            prop_assert!(hashes(&worse) >= hashes(&ask) && hashes(&ask) >= base.expected_hashes());
        }
    }
}
