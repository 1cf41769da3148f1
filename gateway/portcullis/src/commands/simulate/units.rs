//! Lengths of time and paces, as people write them: `90s`, `10/1m`.

use std::time::Duration;

/// Reads a number with one of the units `ms`, `s`, `m`, `h` and `d`, as in `90s`.
pub(super) fn length(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u32 = number.parse().ok()?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        "d" => Duration::from_secs(86_400),
        _ => return None,
    };
    unit.checked_mul(number).filter(|length| *length <= LONGEST)
}

/// Reads `10/1m` as how long one is after the other: six seconds.
pub(super) fn apart(text: &str) -> Option<Duration> {
    let (count, window) = text.split_once('/')?;
    let count: u32 = count.trim().parse().ok().filter(|count| *count > 0)?;
    let apart = length(window.trim())? / count;
    (apart >= Duration::from_millis(1)).then_some(apart)
}

/// What a length looks like.
pub(super) const LENGTH: &str = "a length of time such as `90s`, with `ms`, `s`, `m`, `h` or `d`, at most 366 days";

/// What a pace looks like.
pub(super) const PACE: &str = "a pace such as `10/1m`, at most 1000 a second";

const LONGEST: Duration = Duration::from_secs(366 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_paces_have_a_number_and_a_unit() {
        for (text, millis) in [
            ("250ms", Some(250)),
            ("90s", Some(90_000)),
            ("1d", Some(86_400_000)),
            ("367d", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("5 s", None),
            ("99999999999s", None),
        ] {
            assert_eq!(length(text), millis.map(Duration::from_millis), "{text}");
        }
        for (text, millis) in
            [("10/1m", Some(6_000)), ("2 / 1s", Some(500)), ("0/1m", None), ("5000/1s", None), ("10", None), ("", None)]
        {
            assert_eq!(apart(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
