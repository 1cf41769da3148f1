//! Client hints: what a Chromium adds to its User-Agent.

use memchr::memmem;

use super::{Platform, leading_number};

/// What the low-entropy client hints say (User-Agent Client Hints §3): `Sec-CH-UA`, `-Mobile` and `-Platform`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Hints {
    /// The version that stands beside the brand `Chromium`; 0 where it is no number.
    pub chromium: Option<u16>,
    /// Whether a brand says that the browser has no window.
    pub headless: bool,
    /// Whether it says it runs on a telephone.
    pub mobile: Option<bool>,
    /// The operating system.
    pub platform: Option<Platform>,
}

/// The longest part of a brand list that is looked at, in bytes; real ones stay below 200.
const MAX_BRANDS_BYTES: usize = 512;

impl Hints {
    /// Reads the three fields as they were sent.
    pub fn of(brands: Option<&[u8]>, mobile: Option<&[u8]>, platform: Option<&[u8]>) -> Self {
        let brands = brands.map(|text| text.get(..MAX_BRANDS_BYTES).unwrap_or(text)).unwrap_or_default();
        let chromium = memmem::find(brands, CHROMIUM_BRAND)
            .and_then(|at| brands.get(at + CHROMIUM_BRAND.len()..))
            .map(leading_number);
        Self {
            chromium,
            headless: memmem::find(brands, b"HeadlessChrome").is_some(),
            mobile: mobile.map(|text| text == b"?1"),
            platform: platform
                .and_then(|text| PLATFORMS.iter().find(|(name, _)| name.as_bytes() == text))
                .map(|(_, platform)| *platform),
        }
    }
}

/// How the brand that every Chromium names begins.
const CHROMIUM_BRAND: &[u8] = b"\"Chromium\";v=\"";

const PLATFORMS: [(&str, Platform); 6] = [
    ("\"Windows\"", Platform::Windows),
    ("\"macOS\"", Platform::MacOs),
    ("\"Linux\"", Platform::Linux),
    ("\"Chrome OS\"", Platform::ChromeOs),
    ("\"Chromium OS\"", Platform::ChromeOs),
    ("\"Android\"", Platform::Android),
];

/// Whether a brand list names the made-up brand that this version of Chromium generates.
///
/// Chromium has put it in since version 110 so that nobody relies on the list: its two odd characters and its
/// version follow from the major version alone (`GetGreasedUserAgentBrandVersion`,
/// `components/embedder_support/user_agent_utils.cc`), whatever the browser built on it is called.
pub(crate) fn has_generated_brand(brands: &[u8], version: u16) -> bool {
    const CHARACTERS: [u8; 11] = *b" (:-./);=?_";
    const VERSIONS: [&[u8]; 3] = [b"8", b"99", b"24"];
    let character = |at: u16| CHARACTERS.get(usize::from(at % 11)).copied().unwrap_or(b' ');
    let number = VERSIONS.get(usize::from(version % 3)).copied().unwrap_or_default();
    let wanted = [
        b"\"Not",
        &[character(version)][..],
        b"A",
        &[character(version.wrapping_add(1))],
        b"Brand\";v=\"",
        number,
        b"\"",
    ];
    let brands = brands.get(..MAX_BRANDS_BYTES).unwrap_or(brands);
    memmem::find_iter(brands, b"\"Not").any(|at| {
        let mut rest = brands.get(at..).unwrap_or_default();
        wanted.iter().all(|piece| match rest.strip_prefix(*piece) {
            Some(behind) => {
                rest = behind;
                true
            }
            None => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read_as_sent() {
        let hints = Hints::of(
            Some(br#""Not:A-Brand";v="8", "Chromium";v="156", "HeadlessChrome";v="156""#),
            Some(b"?1"),
            Some(b"\"macOS\""),
        );
        assert_eq!(
            hints,
            Hints { chromium: Some(156), headless: true, mobile: Some(true), platform: Some(Platform::MacOs) }
        );
        assert_eq!(Hints::of(None, None, None), Hints::default());
        assert_eq!(Hints::of(Some(b"\"Chromium\";v=\"x"), None, Some(b"Linux")).chromium, Some(0));
    }

    #[test]
    fn the_made_up_brand_follows_from_the_version() {
        for (version, brands, made) in [
            (110, r#""Chromium";v="110", "Not A(Brand";v="24", "Google Chrome";v="110""#, true),
            (120, r#""Not_A Brand";v="8", "Chromium";v="120", "Google Chrome";v="120""#, true),
            (150, r#""Not;A=Brand";v="8", "Chromium";v="150", "Google Chrome";v="150""#, true),
            (156, r#""Not:A-Brand";v="8", "Chromium";v="156""#, true),
            (156, r#""Chromium";v="156", "Google Chrome";v="156", "Not-A.Brand";v="99""#, false),
            (156, r#""Not:A-Brand";v="88", "Chromium";v="156""#, false),
            (156, "", false),
        ] {
            assert_eq!(has_generated_brand(brands.as_bytes(), version), made, "{brands}");
        }
    }
}
