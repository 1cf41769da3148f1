//! Rules text to a rule set; facts and signals to a score and a decision.
//!
//! A policy exists twice. As written it is text with places in it, which [`RuleSet::compile`] checks as a whole;
//! as meant it is [`model::Parts`], which cannot hold a wrong value. A [`RuleSet`] made of those parts answers
//! [`RuleSet::decide`], which is pure: the same facts give the same [`Decision`], on every machine.

pub mod model;

mod cases;
mod compile;
mod conditions;
mod coverage;
mod decide;
mod decision;
mod diagnostics;
mod difference;
mod explain;
mod fields;
mod index;
mod keys;
mod lint;
mod machine;
mod patterns;
mod presets;
mod ratelimit;
mod router;
mod ruleset;
mod schema;
mod score;
#[cfg(test)]
mod testing;
mod units;
mod weigh;
mod written;

pub use cases::{TestCase, TestOutcome, run_tests, unremarkable_hello};
pub use compile::{Compiled, OriginUse, Origins, compile_any};
pub use coverage::Coverage;
pub use decision::{Cause, Decision, Delay, Lift, Reason, RuleFault, Shadow, ShadowWhat};
pub use diagnostics::{Diagnostic, Diagnostics, Label, Severity, SourceFile, Span, Style};
pub use explain::{Change, Counter, Explanation, Flip, Layer, Provided, Step, StepOutcome, Weighing};
pub use keys::{Keyed, folded};
pub use machine::MachineFault;
pub use ratelimit::{rate_limit, rate_limit_policy};
pub use ruleset::{RouteId, RuleId, RuleSet};
pub use schema::{reference, schema};
pub use score::Score;
pub use written::LISTS_FOLDER;
