//! The gateway: sockets, files, the clock, and the pure crates put to work.
//!
//! ```text
//! accept ──► gateway::gather ──► policy ──► gateway::enforce ──► origins
//!                                   └──► gateway::record ──► metrics, audit ──► admin
//! ```

pub mod accept;
pub mod admin;
pub mod audit;
pub mod capture;
pub mod cli;
pub mod clock;
mod commands;
mod databases;
pub mod exposition;
pub mod gateway;
pub mod identity;
pub mod intel;
pub mod logging;
pub mod metrics;
pub mod origins;
mod random;
mod reload;
pub mod request_id;
mod rollout;
pub mod rules;
#[cfg(test)]
mod scratch;
pub mod serve;
pub mod settings;
pub mod state;
mod style;
