//! Rules text, compiled: what is shipped, what is wrong, and what comes from nowhere.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads captures"
)]

mod difference;
mod evasion;
mod explained;
mod faults;
mod filters;
mod limits;
mod lint;
mod lists;
mod meaning;
mod reach;
mod shipped;
mod strange;
mod wrong;

use portcullis_policy::{Compiled, RuleSet, SourceFile};

/// Compiles one text that has no error.
fn compiled(text: &str) -> Compiled {
    match RuleSet::compile(&[SourceFile::new("rules/one.toml", text)]) {
        Ok(compiled) => compiled,
        Err(diagnostics) => panic!("does not compile:\n{diagnostics}"),
    }
}
