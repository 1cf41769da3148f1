//! How changed rules come into force: for a share of clients first, then for all, and back where they refuse too much.

use std::sync::Arc;

use portcullis_policy::model::Rollout;
use portcullis_velocity::Millis;

use crate::gateway::{Gateway, Policy, Trial, Watched};
use crate::metrics::Reload;

/// Which rules are on trial, and which were taken back.
#[derive(Debug, Default)]
pub(crate) struct Rolling {
    trial: Option<OnTrial>,
    taken_back: Option<(Arc<str>, Rollout)>,
}

/// Rules that are watched.
#[derive(Debug)]
struct OnTrial {
    stage: Stage,
    since: Millis,
    /// Those in force before, which were good.
    old: Arc<Policy>,
    new: Arc<Policy>,
    bounds: Rollout,
}

/// Whom rules on trial judge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Share,
    All,
}

/// What came of looking after a trial.
#[derive(Debug)]
pub(crate) enum Step {
    None,
    /// The rules of this version are in force for all, and still watched.
    ForAll(Arc<str>),
    /// The rules of this version have shown that they are good.
    Over(Arc<str>),
    /// They refused too much.
    TakenBack {
        version: Arc<str>,
        back_to: Arc<str>,
        watched: Watched,
    },
}

impl Rolling {
    /// Puts new rules in force, for as many clients as they say.
    pub(crate) fn begin(
        &mut self,
        gateway: &Gateway,
        running: Arc<Policy>,
        new: Arc<Policy>,
        bounds: Rollout,
    ) -> Reload {
        self.taken_back = None;
        // Rules that are still watched themselves are none to return to.
        let good = match self.trial.take() {
            Some(OnTrial { stage: Stage::All, old, new, .. }) => {
                new.watch().end();
                old
            }
            Some(OnTrial { stage: Stage::Share, .. }) | None => running,
        };
        gateway.trial.store(None);
        gateway.metrics.policy_on_trial(None);
        let staged = bounds.share < portcullis_policy::Score::ONE;
        if staged || bounds.max_refused < portcullis_policy::Score::ONE {
            new.watch().begin();
            let stage = if staged { Stage::Share } else { Stage::All };
            let since = gateway.clock.now().millis;
            self.trial = Some(OnTrial { stage, since, old: good, new: Arc::clone(&new), bounds });
        }
        if staged {
            gateway.metrics.policy_on_trial(Some(new.rules().version()));
            gateway.trial.store(Some(Arc::new(Trial::new(new, bounds.share.as_thousandths()))));
            return Reload::Trial;
        }
        put_in_force(gateway, new);
        Reload::Applied
    }

    /// Whether nothing is on trial.
    pub(crate) const fn is_idle(&self) -> bool {
        self.trial.is_none()
    }

    /// Whether rules of this version are those that a share of clients is judged by, within these bounds.
    pub(crate) fn is_candidate(&self, version: &str, bounds: &Rollout) -> bool {
        self.trial.as_ref().is_some_and(|trial| {
            trial.stage == Stage::Share && **trial.new.rules().version() == *version && trial.bounds == *bounds
        })
    }

    /// Whether rules of this version were the last that were taken back, past these bounds. Whoever writes others, or
    /// none, means to have the rules all the same.
    pub(crate) fn was_taken_back(&self, version: &str, bounds: &Rollout) -> bool {
        self.taken_back.as_ref().is_some_and(|(taken, past)| **taken == *version && past == bounds)
    }

    /// Holds the rules in force to other bounds, where they are watched still; says whether these are others.
    pub(crate) fn rebound(&mut self, bounds: &Rollout) -> bool {
        let Some(trial) = self.trial.as_mut().filter(|trial| trial.stage == Stage::All) else { return false };
        let others = trial.bounds != *bounds;
        trial.bounds = *bounds;
        if bounds.max_refused >= portcullis_policy::Score::ONE {
            trial.new.watch().end();
            self.trial = None;
        }
        others
    }

    /// Ends a trial with a share of clients, since the rules in force were written again; says whether there was one.
    pub(crate) fn drop_candidate(&mut self, gateway: &Gateway) -> bool {
        let ends = self.trial.as_ref().is_some_and(|trial| trial.stage == Stage::Share);
        if ends {
            self.trial = None;
            gateway.trial.store(None);
            gateway.metrics.policy_on_trial(None);
        }
        ends
    }

    /// Looks after a trial.
    pub(crate) fn step(&mut self, gateway: &Gateway) -> Step {
        let Some(mut trial) = self.trial.take() else { return Step::None };
        let watched = trial.new.watch().read();
        let version = Arc::clone(trial.new.rules().version());
        if watched.is_past(&trial.bounds) {
            let back_to = Arc::clone(trial.old.rules().version());
            trial.new.watch().end();
            gateway.trial.store(None);
            gateway.metrics.policy_on_trial(None);
            if trial.stage == Stage::All {
                put_in_force(gateway, trial.old);
            }
            self.taken_back = Some((Arc::clone(&version), trial.bounds));
            return Step::TakenBack { version, back_to, watched };
        }
        let now = gateway.clock.now().millis;
        let trial_ms = u64::try_from(trial.bounds.trial.as_millis()).unwrap_or(u64::MAX);
        if now.0.saturating_sub(trial.since.0) < trial_ms {
            self.trial = Some(trial);
            return Step::None;
        }
        match trial.stage {
            Stage::All => {
                trial.new.watch().end();
                Step::Over(version)
            }
            Stage::Share => {
                put_in_force(gateway, Arc::clone(&trial.new));
                gateway.trial.store(None);
                gateway.metrics.policy_on_trial(None);
                trial.new.watch().begin();
                (trial.stage, trial.since) = (Stage::All, now);
                self.trial = Some(trial);
                Step::ForAll(version)
            }
        }
    }
}

fn put_in_force(gateway: &Gateway, policy: Arc<Policy>) {
    gateway.metrics.policy_version(policy.rules().version());
    gateway.policy.store(policy);
}
