//! The header fields that tell a client of its limits, by draft-ietf-httpapi-ratelimit-headers-10.
//!
//! Only levels that throttle, and count what a client knowingly uses up, are told: what is held against it otherwise
//! would only teach it where to stop.

use std::fmt::Write as _;

use portcullis_signals::LimitReading;

use crate::model::{Action, Cost, Count, LevelOf, Mode, Over, Route};

/// The value of `RateLimit-Policy` (§3): a quota `q`, its unit `qu` and the seconds `w` in which it holds, for each
/// level that is told; none where there is none. For a bucket `q` is what it holds, and `w` how long it takes to fill.
pub fn rate_limit_policy(route: &Route) -> Option<String> {
    let mut value = String::new();
    for LevelOf { limit, level, .. } in route.levels().filter(is_told) {
        item(&mut value, &level.name);
        let quota = u64::from(level.bound.limit());
        let quota = if limit.count == Count::Bytes { quota.saturating_mul(1024) } else { quota };
        // Writing to a text does not fail.
        let _ = write!(value, ";q={quota}");
        if let Some(unit) = unit(limit, level) {
            let _ = write!(value, ";qu=\"{unit}\"");
        }
        if let Some(window) = level.bound.window() {
            let _ = write!(value, ";w={}", whole_secs(window.as_millis()));
        }
    }
    (!value.is_empty()).then_some(value)
}

/// The value of `RateLimit` (§4): what remains, `r`, and the seconds `t` until there is more, for each level that is
/// told and has been read; none where there is none.
pub fn rate_limit(route: &Route, readings: &[LimitReading]) -> Option<String> {
    let mut value = String::new();
    for (LevelOf { limit, level, .. }, reading) in
        route.levels().zip(readings).filter(|(level, reading)| is_told(level) && !reading.unkeyed)
    {
        item(&mut value, &level.name);
        let left = if reading.over { 0 } else { u64::from(level.bound.limit().saturating_sub(reading.count)) };
        let left = if limit.count == Count::Bytes { left.saturating_mul(1024) } else { left };
        let _ = write!(value, ";r={left}");
        let wait_ms = match level.bound.window() {
            _ if reading.over && reading.retry_after_ms > 0 => Some(reading.retry_after_ms.into()),
            Some(window) => Some(window.as_millis()),
            None => None,
        };
        if let Some(wait_ms) = wait_ms {
            let _ = write!(value, ";t={}", whole_secs(wait_ms));
        }
    }
    (!value.is_empty()).then_some(value)
}

fn is_told(LevelOf { limit, level, .. }: &LevelOf<'_>) -> bool {
    limit.mode == Mode::Enforce
        && level.over == Over::Act(Action::Throttle)
        && matches!(limit.count, Count::Requests | Count::Bytes)
}

/// The unit of a quota (§7.4); requests, where none is named.
fn unit(limit: &crate::model::Limit, level: &crate::model::Level) -> Option<&'static str> {
    match (&limit.count, &limit.cost, level.bound.window()) {
        (Count::Bytes, ..) => Some("content-bytes"),
        (_, _, None) => Some("concurrent-requests"),
        (_, Cost::Header(_), _) | (_, Cost::Units(2..), _) => Some("units"),
        _ => None,
    }
}

/// Begins the next item: a name as a string (RFC 9651 §3.3.3), of which other characters than visible ASCII are left out.
fn item(value: &mut String, name: &str) {
    if !value.is_empty() {
        value.push_str(", ");
    }
    value.push('"');
    for letter in name.chars().filter(|letter| matches!(letter, ' '..='~')) {
        if matches!(letter, '"' | '\\') {
            value.push('\\');
        }
        value.push(letter);
    }
    value.push('"');
}

fn whole_secs(millis: u128) -> u128 {
    millis.div_ceil(1000)
}
