use std::fmt;
use std::str::FromStr;

/// A country by its two capital letters (ISO 3166-1 alpha-2).
///
/// Any two letters are taken: the list changes, and databases use user-assigned codes (`XK`).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Country([u8; 2]);

impl Country {
    /// The country with these two letters, in either case; `None` if they are not ASCII letters.
    pub const fn new(letters: [u8; 2]) -> Option<Self> {
        let [first, second] = letters;
        if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() {
            Some(Country([first.to_ascii_uppercase(), second.to_ascii_uppercase()]))
        } else {
            None
        }
    }

    /// The two capital letters.
    pub fn as_str(&self) -> &str {
        // INVARIANT: both bytes are ASCII letters, so the text is never empty.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What a database means by `code`: `ZZ`, the code for an unknown region, is no country.
    pub(crate) fn known(code: &str) -> Option<Self> {
        code.parse().ok().filter(|country| *country != Country(*b"ZZ"))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Country({})", self.as_str())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Country {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        <[u8; 2]>::try_from(text.as_bytes())
            .ok()
            .and_then(Country::new)
            .ok_or_else(|| CountryError { text: text.to_owned() })
    }
}

/// The text is not a two-letter country code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CountryError {
    text: String,
}

impl fmt::Display for CountryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a country as two letters, such as `DE`, but found `{}`", self.text)
    }
}

impl std::error::Error for CountryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_two_letters_in_either_case() {
        for (text, country) in [
            ("DE", Some("DE")),
            ("de", Some("DE")),
            ("zZ", Some("ZZ")),
            ("", None),
            ("D", None),
            ("DEU", None),
            ("??", None),
            ("D1", None),
            ("é", None),
        ] {
            let read = text.parse::<Country>().ok();
            assert_eq!(read.as_ref().map(Country::as_str), country, "`{text}`");
        }
    }

    #[test]
    fn the_code_for_an_unknown_region_is_no_country() {
        assert_eq!(Country::known("zz"), None);
        assert_eq!(Country::known("XK").unwrap().to_string(), "XK");
    }

    #[test]
    fn the_error_shows_the_text_and_what_was_expected() {
        assert_eq!(
            "Germany".parse::<Country>().unwrap_err().to_string(),
            "expected a country as two letters, such as `DE`, but found `Germany`"
        );
    }
}
