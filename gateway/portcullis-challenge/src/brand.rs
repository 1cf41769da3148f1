//! The operator's name, logo and colour on the page.

use std::error::Error;
use std::fmt;

use crate::return_target::LocalPath;

/// Whose page it is. [`Brand::default`] shows no name, no logo, and a blue.
#[derive(Clone, Debug, Default)]
pub struct Brand {
    /// The operator's name, in plain text, shown in the page's head and in its title.
    pub name: Option<String>,
    /// The logo beside the name.
    pub logo: Option<Logo>,
    /// The colour of the button and the progress bar.
    pub colour: Colour,
}

/// A picture that needs no other host: inside the page, or from a path of the same origin.
///
/// A path is fetched through the gateway like any other: a route that challenges it would leave the
/// page without its logo.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Logo(String);

impl Logo {
    /// Reads `/path/of/logo.svg` or `data:image/…;base64,…`.
    ///
    /// # Errors
    ///
    /// [`BrandError`] for another form or type, and past [`MAX_LOGO_BYTES`].
    pub fn parse(text: &str) -> Result<Self, BrandError> {
        if text.len() > MAX_LOGO_BYTES {
            return Err(BrandError::LargeLogo(text.len()));
        }
        let is_picture = LOGO_TYPES.iter().any(|kind| text.strip_prefix(kind).is_some_and(is_base64));
        if is_picture || LocalPath::parse(text).is_some() { Ok(Self(text.to_owned())) } else { Err(BrandError::Logo) }
    }

    /// The address, as it is put into the page.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A colour, made readable on the page's light and its dark ground.
///
/// A colour that would stand out less than WCAG 2.2 asks of text (4.5 to 1, §1.4.3) is mixed with black
/// or white until it does, so no choice of an operator makes a button unreadable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Colour {
    pub(crate) light: Rgb,
    pub(crate) dark: Rgb,
}

impl Colour {
    /// Reads `#rrggbb`, as CSS writes it.
    ///
    /// # Errors
    ///
    /// [`BrandError::Colour`] for anything else.
    pub fn parse(text: &str) -> Result<Self, BrandError> {
        let digits =
            text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.bytes().all(|c| c.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(BrandError::Colour)?;
        let [_, red, green, blue] = value.to_be_bytes();
        let colour = Rgb([red, green, blue]);
        Ok(Self { light: colour.readable_on(LIGHT, BLACK), dark: colour.readable_on(DARK, WHITE) })
    }
}

impl Default for Colour {
    fn default() -> Self {
        Self { light: Rgb([0x0b, 0x57, 0xd0]), dark: Rgb([0xa8, 0xc7, 0xfa]) }
    }
}

/// One colour of the screen: red, green, blue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rgb([u8; 3]);

impl Rgb {
    /// Black or white, whichever is easier to read on this colour.
    pub(crate) fn text_on(self) -> Self {
        if self.contrast(BLACK) > self.contrast(WHITE) { BLACK } else { WHITE }
    }

    fn readable_on(self, ground: Self, end: Self) -> Self {
        (0..=STEPS).map(|step| self.mixed(end, step)).find(|colour| colour.contrast(ground) >= CONTRAST).unwrap_or(end)
    }

    fn mixed(self, end: Self, step: u16) -> Self {
        let mut mixed = self.0;
        for (from, to) in mixed.iter_mut().zip(end.0) {
            let sum = u16::from(*from) * (STEPS - step) + u16::from(to) * step;
            *from = u8::try_from(sum / STEPS).unwrap_or(to);
        }
        Self(mixed)
    }

    /// The contrast ratio of WCAG 2.2, from 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// The relative luminance of WCAG 2.2, from 0 to 1.
    fn luminance(self) -> f64 {
        let linear = self.0.map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        let [red, green, blue] = linear;
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// Why an operator's name, logo or colour cannot be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BrandError {
    /// Not a colour.
    Colour,
    /// Not a picture that the page may show.
    Logo,
    /// A logo of so many bytes.
    LargeLogo(usize),
}

impl fmt::Display for BrandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Colour => f.write_str("expected a colour such as `#0b57d0`"),
            Self::Logo => f.write_str(
                "expected a path such as `/logo.svg`, or a picture in the form `data:image/svg+xml;base64,…` (also `png`, `jpeg`, `gif`, `webp`)",
            ),
            Self::LargeLogo(bytes) => {
                write!(f, "expected a logo of at most {MAX_LOGO_BYTES} bytes, but found {bytes}")
            }
        }
    }
}

impl Error for BrandError {}

/// The longest text of a logo. It is sent with every page, to people on slow lines too.
pub const MAX_LOGO_BYTES: usize = 16 * 1024;

const LOGO_TYPES: [&str; 5] = [
    "data:image/svg+xml;base64,",
    "data:image/png;base64,",
    "data:image/jpeg;base64,",
    "data:image/gif;base64,",
    "data:image/webp;base64,",
];

fn is_base64(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'='))
}

/// The grounds of page.css.
const LIGHT: Rgb = Rgb([0xff, 0xff, 0xff]);
const DARK: Rgb = Rgb([0x16, 0x16, 0x1a]);
const BLACK: Rgb = Rgb([0, 0, 0]);
const WHITE: Rgb = Rgb([0xff, 0xff, 0xff]);
/// What WCAG 2.2 asks of text of ordinary size (§1.4.3).
const CONTRAST: f64 = 4.5;
/// In how many steps a colour is mixed with black or white.
const STEPS: u16 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_contrast_is_that_of_the_standard() {
        assert!((BLACK.contrast(WHITE) - 21.0).abs() < 1e-9);
        assert!((WHITE.contrast(WHITE) - 1.0).abs() < 1e-9);
        // The grey that is known as the lightest to reach 4.5 on white.
        assert!(Rgb([0x76; 3]).contrast(WHITE) >= 4.5 && Rgb([0x77; 3]).contrast(WHITE) < 4.5);
    }

    #[test]
    fn a_good_colour_is_kept_and_a_pale_one_is_made_readable() {
        for (text, light, dark) in [
            ("#0b57d0", "#0b57d0", "#4881db"),
            ("#FFFFFF", "#727272", "#ffffff"),
            ("#000000", "#000000", "#7f7f7f"),
            ("#ffee00", "#7f7700", "#ffee00"),
        ] {
            let colour = Colour::parse(text).unwrap();
            assert_eq!((colour.light.to_string().as_str(), colour.dark.to_string().as_str()), (light, dark), "{text}");
        }
        for text in ["", "#", "red", "#fff", "0b57d0", "#0b57d0;", "#0b57d", "#0b57d00", "#+b57d0", "#é57d0", "url(x)"]
        {
            assert_eq!(Colour::parse(text), Err(BrandError::Colour), "{text}");
        }
    }

    #[test]
    fn the_colours_that_are_shipped_are_readable() {
        let Colour { light, dark } = Colour::default();
        assert!(light.contrast(LIGHT) >= CONTRAST && dark.contrast(DARK) >= CONTRAST);
    }

    #[test]
    fn a_logo_comes_from_the_page_or_from_its_origin() {
        for text in
            ["/logo.svg", "/a/b.png?v=2", "data:image/png;base64,iVBORw0KGgo=", "data:image/svg+xml;base64,PHN2Zy8+"]
        {
            assert_eq!(Logo::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "logo.svg",
            "//other.example/logo.svg",
            "https://other.example/logo.svg",
            "javascript:alert(1)",
            "data:text/html;base64,PHN2Zy8+",
            "data:image/svg+xml,<svg onload=alert(1)>",
            "data:image/png;base64,",
            "data:image/png;base64,\"onerror=alert(1)",
            "/\"onerror=alert(1)",
        ] {
            assert_eq!(Logo::parse(text), Err(BrandError::Logo), "{text}");
        }
        let large = format!("/{}", "a".repeat(MAX_LOGO_BYTES));
        assert_eq!(Logo::parse(&large), Err(BrandError::LargeLogo(MAX_LOGO_BYTES + 1)));
    }

    proptest! {
        #[test]
        fn every_colour_becomes_one_that_can_be_read(red: u8, green: u8, blue: u8) {
            let colour = Colour::parse(&Rgb([red, green, blue]).to_string()).unwrap();
            for (key, ground) in [(colour.light, LIGHT), (colour.dark, DARK)] {
                prop_assert!(key.contrast(ground) >= CONTRAST);
                prop_assert!(key.contrast(key.text_on()) >= CONTRAST);
            }
        }
    }
}
