//! The header fields that tell a client of its limits, by draft-ietf-httpapi-ratelimit-headers-10.
//!
//! Only levels that throttle, and count what a client knowingly uses up, are told: what is held against it otherwise
//! would only teach it where to stop.

use std::time::Duration;

use portcullis_signals::LimitReading;

use crate::model::{Action, Cost, Count, Level, LevelOf, Limit, Mode, Over, Route};

/// The value of `RateLimit-Policy` (§3): a quota `q`, its unit `qu` and the seconds `w` in which it holds, for each
/// level that is told; none where there is none. For a bucket `q` is what it holds, and `w` how long it takes to fill.
pub fn rate_limit_policy(route: &Route) -> Option<String> {
    let mut value = String::new();
    for LevelOf { limit, level, .. } in route.levels().filter(is_told) {
        item(&mut value, &level.name);
        parameter(&mut value, ";q=", in_units_told(limit, level.bound.limit()));
        if let Some(unit) = unit(limit, level) {
            value.push_str(";qu=\"");
            value.push_str(unit);
            value.push('"');
        }
        if let Some(window) = level.bound.window() {
            parameter(&mut value, ";w=", whole_secs(window));
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
        let left = if reading.over { 0 } else { level.bound.limit().saturating_sub(reading.count) };
        parameter(&mut value, ";r=", in_units_told(limit, left));
        let wait = match level.bound.window() {
            _ if reading.over && reading.retry_after_ms > 0 => {
                Some(Duration::from_millis(reading.retry_after_ms.into()))
            }
            window => window,
        };
        if let Some(wait) = wait {
            parameter(&mut value, ";t=", whole_secs(wait));
        }
    }
    (!value.is_empty()).then_some(value)
}

/// What a limit counts, in the unit that a client is told: bytes are counted by the kibibyte.
fn in_units_told(limit: &Limit, amount: u32) -> u64 {
    let amount = u64::from(amount);
    if limit.count == Count::Bytes { amount.saturating_mul(1024) } else { amount }
}

fn is_told(LevelOf { limit, level, .. }: &LevelOf<'_>) -> bool {
    limit.mode == Mode::Enforce
        && level.over == Over::Act(Action::Throttle)
        && matches!(limit.count, Count::Requests | Count::Bytes)
}

/// The unit of a quota (§7.4); requests, where none is named.
fn unit(limit: &Limit, level: &Level) -> Option<&'static str> {
    match (&limit.count, &limit.cost, level.bound.window()) {
        (Count::Bytes, ..) => Some("content-bytes"),
        (_, _, None) => Some("concurrent-requests"),
        (_, Cost::Header(_), _) | (_, Cost::Units(2..), _) => Some("units"),
        _ => None,
    }
}

/// Begins the next item: a name as a string (RFC 9651 §3.3.3), of which other characters than visible ASCII are left out.
fn item(value: &mut String, name: &str) {
    value.reserve(name.len() + ITEM_BYTES);
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

/// About how many bytes an item takes beside its name.
const ITEM_BYTES: usize = 32;

fn parameter(value: &mut String, name: &str, number: u64) {
    value.push_str(name);
    value.push_str(itoa::Buffer::new().format(number));
}

/// A time in seconds, rounded up.
fn whole_secs(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
