//! Rates and durations, as people write them: `10/1m`, `15m`.

use std::fmt;
use std::time::Duration;

/// So many in a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rate {
    /// How many, at least 1.
    pub(crate) count: u32,
    /// The window, from a second to a day.
    pub(crate) window: Duration,
}

/// Why a text is no rate or duration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum UnitError {
    /// A rate without a slash.
    NoWindow,
    /// A count that is no number from 1.
    Count,
    /// A duration that does not begin with a number from 1.
    Length,
    /// A duration without a unit.
    NoUnit,
    /// A unit that is not known.
    UnknownUnit(String),
    /// An amount of bytes that no counter holds.
    TooMuch,
    /// A duration past the longest that is allowed here.
    TooLong(Duration),
}

/// The longest window of a rate: counters are kept that long.
pub(crate) const MAX_WINDOW: Duration = Duration::from_secs(86_400);

impl Rate {
    /// Reads `10/1m`.
    pub(crate) fn parse(text: &str) -> Result<Self, UnitError> {
        let (count, window) = text.split_once('/').ok_or(UnitError::NoWindow)?;
        let count = decimal(count.trim()).and_then(|count| u32::try_from(count).ok()).ok_or(UnitError::Count)?;
        Ok(Self { count, window: window_of(window)? })
    }

    /// Reads `50MiB/1h`; the count is in units of 1024 bytes.
    pub(crate) fn parse_bytes(text: &str) -> Result<Self, UnitError> {
        let (amount, window) = text.split_once('/').ok_or(UnitError::NoWindow)?;
        let amount = amount.trim();
        let digits = amount.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = amount.split_at_checked(digits).unwrap_or_default();
        let number = decimal(number).ok_or(UnitError::Count)?;
        let unit_kib: u64 = match unit.trim() {
            "KiB" => 1,
            "MiB" => 1024,
            "GiB" => 1024 * 1024,
            "" => return Err(UnitError::NoUnit),
            other => return Err(UnitError::UnknownUnit(other.chars().take(12).collect())),
        };
        let count =
            number.checked_mul(unit_kib).and_then(|count| u32::try_from(count).ok()).ok_or(UnitError::TooMuch)?;
        Ok(Self { count, window: window_of(window)? })
    }
}

fn window_of(text: &str) -> Result<Duration, UnitError> {
    let text = text.trim();
    // `10/m` is as clear as `10/1m`.
    if text.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        duration(&format!("1{text}"), MAX_WINDOW)
    } else {
        duration(text, MAX_WINDOW)
    }
}

/// Reads `30s`, `15m`, `2h` or `1d`, up to `longest`.
pub(crate) fn duration(text: &str, longest: Duration) -> Result<Duration, UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let number = decimal(number).ok_or(UnitError::Length)?;
    let unit_secs = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "" => return Err(UnitError::NoUnit),
        other => return Err(UnitError::UnknownUnit(other.chars().take(12).collect())),
    };
    let length = Duration::from_secs(number.saturating_mul(unit_secs));
    if length > longest { Err(UnitError::TooLong(longest)) } else { Ok(length) }
}

/// A duration in the largest unit that it is a whole number of.
pub(crate) fn show(duration: Duration) -> String {
    let secs = duration.as_secs();
    for (unit_secs, unit) in [(86_400, "d"), (3_600, "h"), (60, "m")] {
        if secs >= unit_secs && secs.is_multiple_of(unit_secs) {
            return format!("{}{unit}", secs / unit_secs);
        }
    }
    format!("{secs}s")
}

fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| plain && *number > 0)
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWindow => f.write_str("the window is missing"),
            Self::Count => f.write_str("the count is no whole number from 1"),
            Self::Length => f.write_str("does not begin with a whole number from 1"),
            Self::NoUnit => f.write_str("the unit is missing"),
            Self::UnknownUnit(unit) => write!(f, "{} is no unit", crate::diagnostics::quote(unit)),
            Self::TooMuch => f.write_str("more than can be counted"),
            Self::TooLong(longest) => write!(f, "longer than {}", show(*longest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_count_and_a_window() {
        let rate = |count, secs| Ok(Rate { count, window: Duration::from_secs(secs) });
        for (text, expected) in [
            ("10/1m", rate(10, 60)),
            ("10/m", rate(10, 60)),
            ("1/1s", rate(1, 1)),
            ("8/15m", rate(8, 900)),
            ("4294967295/1d", rate(u32::MAX, 86_400)),
            (" 10 / 1m ", rate(10, 60)),
            ("10", Err(UnitError::NoWindow)),
            ("0/1m", Err(UnitError::Count)),
            ("-1/1m", Err(UnitError::Count)),
            ("4294967296/1m", Err(UnitError::Count)),
            ("10/0m", Err(UnitError::Length)),
            ("10/60", Err(UnitError::NoUnit)),
            ("10/1min", Err(UnitError::UnknownUnit("min".to_owned()))),
            ("10/", Err(UnitError::Length)),
            ("10/2d", Err(UnitError::TooLong(MAX_WINDOW))),
            ("10/999999999999999999h", Err(UnitError::TooLong(MAX_WINDOW))),
        ] {
            assert_eq!(Rate::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_rate_of_bytes_has_an_amount_with_its_unit() {
        let rate = |count, secs| Ok(Rate { count, window: Duration::from_secs(secs) });
        for (text, expected) in [
            ("50MiB/1h", rate(51_200, 3_600)),
            ("1 KiB/s", rate(1, 1)),
            ("4095GiB/1d", rate(4095 << 20, 86_400)),
            ("4096GiB/1d", Err(UnitError::TooMuch)),
            ("99999999999999999GiB/1d", Err(UnitError::TooMuch)),
            ("50/1h", Err(UnitError::NoUnit)),
            ("50MB/1h", Err(UnitError::UnknownUnit("MB".to_owned()))),
            ("MiB/1h", Err(UnitError::Count)),
            ("50MiB", Err(UnitError::NoWindow)),
        ] {
            assert_eq!(Rate::parse_bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_is_written() {
        for text in ["1s", "90s", "15m", "2h", "7d"] {
            assert_eq!(show(duration(text, Duration::from_secs(10_000_000)).unwrap()), text);
        }
    }
}
