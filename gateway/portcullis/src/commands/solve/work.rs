//! The work of a challenge, within the bounds of what this program does, and doing it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use portcullis_challenge::{MemoryCost, Scratch, Seed, Strength, solve_part_within};
use serde::Deserialize;

use super::{Fault, LONGER};
use crate::intel::fetch::printable;

/// The member `challenge` of a problem.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Challenge {
    algorithm: String,
    difficulty_bits: u8,
    count: u16,
    seed: String,
    pub(super) token: String,
    pub(super) redeem: String,
    memory_mebibytes: Option<u8>,
    memory_passes: Option<u8>,
    memory_count: Option<u8>,
    memory_difficulty_bits: Option<u8>,
}

/// The work of a challenge, within the bounds of what this program does.
#[derive(Debug)]
pub(super) struct Task {
    seed: Seed,
    strength: Strength,
    memory: Option<MemoryCost>,
}

impl Task {
    /// The work of a challenge.
    pub(super) fn of(challenge: &Challenge) -> Result<Self, Fault> {
        let strange = |what: String| Fault::new(what, "is it a newer gateway? then this program has to be as new");
        let memory = match challenge.algorithm.as_str() {
            "sha256" => None,
            "argon2id" => Some(
                challenge
                    .memory()
                    .ok_or_else(|| strange("the challenge does not say how much memory its work takes".to_owned()))?,
            ),
            other => {
                return Err(strange(format!("the challenge asks for `{}`, which is not known here", printable(other))));
            }
        };
        let strength = Strength::new(challenge.difficulty_bits, challenge.count)
            .map_err(|error| strange(format!("the challenge is out of bounds: {error}")))?;
        let seed = Seed::from_hex(&challenge.seed)
            .ok_or_else(|| strange("the challenge has no seed of 32 bytes".to_owned()))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        if !challenge.token.bytes().all(plain) {
            return Err(strange("the token of the challenge has characters that no token has".to_owned()));
        }
        Ok(Self {
            seed,
            strength,
            memory: memory.transpose().map_err(|error| strange(format!("the challenge is out of bounds: {error}")))?,
        })
    }

    /// Finds a nonce for each part: those of memory one after the other, the others beside them on every thread.
    pub(super) fn solve(&self, threads: usize, deadline: Instant) -> Result<Vec<u32>, Fault> {
        let count = usize::from(self.strength.count());
        let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![None; count]));
        let work = || {
            while let Ok(part) = u16::try_from(next.fetch_add(1, Ordering::Relaxed)) {
                if part >= self.strength.count() {
                    return;
                }
                let nonce = self.solve_part(part, deadline);
                if let Some(place) = found.lock().get_mut(usize::from(part)) {
                    *place = nonce;
                }
            }
        };
        let hard = std::thread::scope(|scope| {
            let hard = self.memory.map(|cost| scope.spawn(move || Scratch::new(cost).solve(&self.seed, cost)));
            for _ in 1..threads.min(count) {
                scope.spawn(work);
            }
            work();
            hard.map(std::thread::ScopedJoinHandle::join).transpose()
        });
        let hard = hard.map_err(|_| Fault::bare("a thread ended before its work was done"))?.unwrap_or_default();
        let found: Option<Vec<u32>> = found.into_inner().into_iter().collect();
        let mut nonces = found.ok_or_else(|| Fault::new("the time was over before the work was done", LONGER))?;
        nonces.extend(hard);
        Ok(nonces)
    }
}

impl Task {
    /// The nonce of one part; none where the time is over before it is found.
    fn solve_part(&self, part: u16, deadline: Instant) -> Option<u32> {
        // Some tens of milliseconds each.
        let runs = (0..=u32::MAX).step_by(1 << RUN_BITS);
        let mut runs = runs.take_while(|_| Instant::now() < deadline);
        runs.find_map(|first| {
            let nonces = first..=first | ((1 << RUN_BITS) - 1);
            solve_part_within(&self.seed, part, self.strength.difficulty_bits(), nonces)
        })
    }
}

/// How many nonces are tried between two looks at the time, as a power of two.
const RUN_BITS: u32 = 17;

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} parts, some {} hashes", self.strength.count(), self.strength.expected_hashes())?;
        match self.memory {
            Some(memory) => write!(f, ", and {} MiB of memory filled", memory.filled_mebibytes()),
            None => Ok(()),
        }
    }
}

impl Challenge {
    /// The memory-hard part, where all of its members are there.
    fn memory(&self) -> Option<Result<MemoryCost, portcullis_challenge::MemoryCostError>> {
        let (mebibytes, passes) = (self.memory_mebibytes?, self.memory_passes?);
        let (count, bits) = (self.memory_count?, self.memory_difficulty_bits?);
        Some(MemoryCost::new(mebibytes, passes, count, bits))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn challenge(change: impl FnOnce(&mut serde_json::Value)) -> Challenge {
        let mut value = serde_json::json!({
            "algorithm": "sha256", "difficulty_bits": 4, "count": 8, "seed": "00".repeat(32), "token": "ab-_",
            "redeem": "/.well-known/portcullis/redeem", "expires_unix_secs": 1,
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn every_part_is_solved_once_on_any_number_of_threads() {
        let task = Task::of(&challenge(|_| {})).unwrap();
        let alone = portcullis_challenge::solve(&task.seed, task.strength);
        for threads in [1, 2, 3, 100] {
            assert_eq!(task.solve(threads, soon()).unwrap(), alone, "{threads}");
        }
        assert!(task.solve(2, Instant::now()).is_err(), "the time is over");
    }

    #[test]
    fn memory_hard_parts_follow_the_others() {
        let task = Task::of(&challenge(|value| {
            let of = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            value["algorithm"] = of("\"argon2id\"");
            value["seed"] = (0..32).map(|byte| format!("{byte:02x}")).collect::<String>().into();
            for (name, number) in [
                ("memory_mebibytes", "1"),
                ("memory_passes", "1"),
                ("memory_count", "2"),
                ("memory_difficulty_bits", "4"),
            ] {
                value[name] = of(number);
            }
        }))
        .unwrap();
        // The vector of the protocol.
        assert_eq!(task.solve(2, soon()).unwrap().get(8..), Some(&[10, 8][..]));
    }

    #[test]
    fn a_challenge_that_is_none_of_ours_is_not_worked_on() {
        for (what, change) in [
            ("not known here", ("algorithm", serde_json::json!("scrypt"))),
            ("how much memory", ("algorithm", serde_json::json!("argon2id"))),
            ("out of bounds", ("difficulty_bits", serde_json::json!(60))),
            ("out of bounds", ("count", serde_json::json!(9999))),
            ("no seed", ("seed", serde_json::json!("00"))),
            ("no token has", ("token", serde_json::json!("a&b"))),
        ] {
            let refused = Task::of(&challenge(|value| value[change.0] = change.1)).unwrap_err();
            assert!(refused.what.contains(what), "{}", refused.what);
        }
    }
}
