use std::fmt;
use std::str::FromStr;

/// The number of an autonomous system: one network operator's routing domain (RFC 6793, 32 bits).
///
/// Written `AS64500`; read with or without the letters, in either case.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Asn(pub u32);

impl Asn {
    /// Whether the number is set aside, so that no public network may use it.
    ///
    /// 0 (RFC 7607), 23456 (RFC 6793 §9), documentation (RFC 5398), private use (RFC 6996) and the
    /// last numbers of both sizes (RFC 7300).
    pub const fn is_reserved(self) -> bool {
        matches!(self.0, 0 | 23_456 | 64_496..=65_551 | 4_200_000_000..)
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.0)
    }
}

impl FromStr for Asn {
    type Err = AsnError;

    fn from_str(text: &str) -> Result<Self, AsnError> {
        let digits = match text.split_at_checked(2) {
            Some((letters, rest)) if letters.eq_ignore_ascii_case("as") => rest,
            _ => text,
        };
        // `u32::from_str` takes a leading `+`, which is no way to write a network.
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AsnError { text: text.to_owned() });
        }
        digits.parse().map(Asn).map_err(|_| AsnError { text: text.to_owned() })
    }
}

/// The text is not the number of an autonomous system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AsnError {
    text: String,
}

impl fmt::Display for AsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an AS number such as `AS64500`, from 0 to 4294967295, but found `{}`", self.text)
    }
}

impl std::error::Error for AsnError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_as_number_is_read_with_or_without_its_letters() {
        for (text, number) in [
            ("AS64500", Some(64_500)),
            ("as64500", Some(64_500)),
            ("64500", Some(64_500)),
            ("0", Some(0)),
            ("AS4294967295", Some(4_294_967_295)),
            ("AS4294967296", None),
            ("AS", None),
            ("", None),
            ("AS+5", None),
            ("+5", None),
            ("-5", None),
            ("AS 5", None),
            ("ASAS5", None),
            ("é5", None),
        ] {
            assert_eq!(text.parse::<Asn>().ok(), number.map(Asn), "`{text}`");
        }
    }

    #[test]
    fn an_as_number_is_written_with_its_letters() {
        assert_eq!(Asn(64_500).to_string(), "AS64500");
    }

    #[test]
    fn the_error_shows_the_text_and_what_was_expected() {
        assert_eq!(
            "M247".parse::<Asn>().unwrap_err().to_string(),
            "expected an AS number such as `AS64500`, from 0 to 4294967295, but found `M247`"
        );
    }

    #[test]
    fn documentation_and_private_numbers_are_reserved() {
        for (number, reserved) in [
            (0, true),
            (1, false),
            (23_455, false),
            (23_456, true),
            (64_495, false),
            (64_496, true),
            (64_511, true),
            (65_534, true),
            (65_551, true),
            (65_552, false),
            (4_199_999_999, false),
            (4_200_000_000, true),
            (u32::MAX, true),
        ] {
            assert_eq!(Asn(number).is_reserved(), reserved, "{number}");
        }
    }
}
