//! Client hints: what a Chromium adds to its User-Agent.

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
    /// The brand that stands there so that nobody relies on the list.
    pub made_up: Option<MadeUpBrand>,
}

/// A brand `Not?A?Brand` with two odd characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MadeUpBrand {
    characters: (u8, u8),
    version: u16,
}

impl MadeUpBrand {
    /// The one that this version of Chromium generates.
    ///
    /// Since version 110 its characters and its version follow from the major version alone
    /// (`GetGreasedUserAgentBrandVersion`, `components/embedder_support/user_agent_utils.cc`), whatever the browser
    /// built on it is called.
    pub fn of(version: u16) -> Self {
        const CHARACTERS: [u8; 11] = *b" (:-./);=?_";
        const VERSIONS: [u16; 3] = [8, 99, 24];
        let character = |at: u16| CHARACTERS.get(usize::from(at % 11)).copied().unwrap_or(b' ');
        Self {
            characters: (character(version), character(version.wrapping_add(1))),
            version: VERSIONS.get(usize::from(version % 3)).copied().unwrap_or(0),
        }
    }

    fn read(name: &[u8], version: &[u8]) -> Option<Self> {
        match name {
            [b'N', b'o', b't', first, b'A', second, b'B', b'r', b'a', b'n', b'd'] => {
                Some(Self { characters: (*first, *second), version: leading_number(version) })
            }
            _ => None,
        }
    }
}

/// The longest part of a brand list that is looked at, in bytes; real ones stay below 200.
const MAX_BRANDS_BYTES: usize = 512;

impl Hints {
    /// Reads the three fields as they were sent, the first in one pass.
    pub fn of(brands: Option<&[u8]>, mobile: Option<&[u8]>, platform: Option<&[u8]>) -> Self {
        let known =
            |text: &[u8]| PLATFORMS.iter().find(|(name, _)| name.as_bytes() == text).map(|(_, platform)| *platform);
        let mut hints =
            Self { mobile: mobile.map(|text| text == b"?1"), platform: platform.and_then(known), ..Self::default() };
        let mut rest = brands.map(|text| text.get(..MAX_BRANDS_BYTES).unwrap_or(text)).unwrap_or_default();
        while let Some((name, behind)) = quoted(rest) {
            rest = behind;
            let Some((version, behind)) = behind.strip_prefix(b";v=").and_then(quoted) else { continue };
            rest = behind;
            match name {
                b"Chromium" => hints.chromium = Some(leading_number(version)),
                b"HeadlessChrome" => hints.headless = true,
                _ => hints.made_up = hints.made_up.or_else(|| MadeUpBrand::read(name, version)),
            }
        }
        hints
    }
}

/// The next text in quotation marks, and what stands behind it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, from) = text.split_at_checked(text.iter().position(|byte| *byte == b'"')? + 1)?;
    let end = from.iter().position(|byte| *byte == b'"')?;
    Some((from.get(..end)?, from.get(end + 1..)?))
}

const PLATFORMS: [(&str, Platform); 6] = [
    ("\"Windows\"", Platform::Windows),
    ("\"macOS\"", Platform::MacOs),
    ("\"Linux\"", Platform::Linux),
    ("\"Chrome OS\"", Platform::ChromeOs),
    ("\"Chromium OS\"", Platform::ChromeOs),
    ("\"Android\"", Platform::Android),
];

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
        assert_eq!((hints.chromium, hints.headless, hints.mobile), (Some(156), true, Some(true)));
        assert_eq!((hints.platform, hints.made_up), (Some(Platform::MacOs), Some(MadeUpBrand::of(156))));
        assert_eq!(Hints::of(None, None, None), Hints::default());
        assert_eq!(Hints::of(Some(b"\"Chromium\";v=\"x\""), None, Some(b"Linux")).chromium, Some(0));
        for odd in [&b"\"Chromium\""[..], b"\"Chromium\";v=\"1", b"\"", b"Chromium", b"\xff\"\"\""] {
            assert_eq!(Hints::of(Some(odd), None, None).chromium, None, "{odd:?}");
        }
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
            let found = Hints::of(Some(brands.as_bytes()), None, None).made_up;
            assert_eq!(found == Some(MadeUpBrand::of(version)), made, "{brands}");
        }
    }
}
