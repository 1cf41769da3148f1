//! An explanation for people at a terminal, and for programs.

use portcullis_policy::model::{Action, Bound};
use portcullis_policy::{Explanation, Score, StepOutcome, Style};
use serde_json::{Value, json};

/// The text with what matters made to stand out.
pub(super) fn painted(text: &str, style: Style) -> String {
    if style == Style::Plain {
        return text.to_owned();
    }
    let mut headed = false;
    let mut out = String::with_capacity(text.len() + 512);
    for line in text.lines() {
        let heading = HEADINGS.iter().any(|heading| line.starts_with(heading));
        let code = match line {
            "" => "",
            _ if heading => BOLD,
            _ if !headed => BOLD,
            _ if line.starts_with('>') => DECISIVE,
            _ if line.starts_with("- ") => DIM,
            _ => "",
        };
        headed |= line.is_empty();
        let end = if code.is_empty() { "" } else { PLAIN };
        out.push_str(&format!("{code}{line}{end}\n"));
    }
    out
}

/// What stands above a part of the text.
const HEADINGS: [&str; 5] = ["signal  ", "counters", "steps", "smallest change", "values of the route"];

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const DECISIVE: &str = "\x1b[1;33m";
const PLAIN: &str = "\x1b[0m";

/// The same for programs.
pub(super) fn json(explanation: &Explanation) -> Value {
    let decision = &explanation.decision;
    let thresholds = &explanation.thresholds;
    let threshold = |threshold: Option<Score>| threshold.map(share);
    let shares = |all: [(Action, Option<Score>); 4]| -> Value {
        all.into_iter().map(|(action, score)| (action.name().to_owned(), json!(threshold(score)))).collect()
    };
    json!({
        "request": explanation.request,
        "policy": &*explanation.version,
        "route": &*explanation.route,
        "action": decision.action.name(),
        "verdict": decision.verdict.name(),
        "mode": decision.mode.name(),
        "code": decision.code,
        "posture": decision.posture.name(),
        "score": share(explanation.score),
        "raw_score": share(explanation.raw),
        "scored": decision.is_scored(),
        "thresholds": shares([
            (Action::Throttle, thresholds.throttle),
            (Action::Challenge, thresholds.challenge),
            (Action::Block, thresholds.block),
            (Action::Ban, thresholds.ban),
        ]),
        "signals": explanation.signals.iter().map(|weighing| json!({
            "signal": weighing.signal.name(),
            "group": weighing.signal.group().name(),
            "strength": f64::from(weighing.strength.as_thousandths()) / 1000.0,
            "weight": share(weighing.weight),
            "mode": weighing.mode.name(),
            "points": share(weighing.points),
        })).collect::<Vec<_>>(),
        "counters": explanation.counters.iter().map(|counter| json!({
            "counter": &*counter.name,
            "count": counter.count,
            "limit": counter.bound.map(Bound::limit),
            "over": counter.over,
        })).collect::<Vec<_>>(),
        "steps": explanation.steps.iter().map(|step| json!({
            "step": step.name,
            "outcome": match step.outcome {
                StepOutcome::Pass => "pass",
                StepOutcome::Decide => "decide",
                StepOutcome::NotAsked => "not-asked",
            },
            "notes": step.notes,
        })).collect::<Vec<_>>(),
        "smallest_change": explanation.flip.as_ref().map(|flip| json!({
            "change": flip.to_string(),
            "verdict": flip.verdict.name(),
        })),
        "values": explanation.layers.iter().map(|provided| json!({
            "key": provided.key,
            "value": provided.value,
            "layer": provided.layer.name(),
            "place": provided.place,
        })).collect::<Vec<_>>(),
    })
}

fn share(score: Score) -> f64 {
    f64::from(score.as_thousandths()) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decided_stands_out_at_a_terminal_and_nowhere_else() {
        let text = "GET shop.example /\nblock on route `a`\n\nsteps\n  1 malformed request  nothing\n> 2 allow rules        x\n- 3 bans               not asked\n";
        assert_eq!(painted(text, Style::Plain), text);
        let painted = painted(text, Style::Colour);
        assert!(painted.contains("\x1b[1;33m> 2 allow rules        x\x1b[0m\n"), "{painted}");
        assert!(painted.contains("\x1b[1mGET shop.example /\x1b[0m\n"), "{painted}");
        assert!(painted.contains("\n  1 malformed request  nothing\n"), "{painted}");
    }
}
