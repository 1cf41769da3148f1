//! What a client says it is.

mod hints;
mod names;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

pub use hints::{Hints, MadeUpBrand};
use names::Word;

/// What the User-Agent header claims. It is a claim and nothing more: coherence judges it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    /// What sort of client it says it is.
    pub kind: Kind,
    /// The browser family, or [`Family::Other`].
    pub family: Family,
    /// The major version of the family; 0 where none is stated.
    pub version: u16,
    /// The operating system that it says it runs on.
    pub platform: Platform,
    /// Whether it says it runs on a telephone or tablet.
    pub mobile: bool,
    /// The name of the tool, library, crawler or niche browser, where it is a known one.
    pub name: Option<&'static str>,
}

/// What sort of client a User-Agent names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A browser that a person uses.
    Browser,
    /// A browser that says it is automated or has no window.
    AutomatedBrowser,
    /// A command-line client, or a browser of text.
    Tool,
    /// A library for HTTP.
    Library,
    /// A scanner, a brute-force or load tool.
    Scanner,
    /// A crawler, preview or monitoring service.
    Crawler,
    /// An application that speaks by the library of its system.
    App,
    /// Something else with a name: an unlisted application or library.
    Unknown,
    /// No User-Agent, or an empty one.
    Absent,
}

/// A browser family by its engine and TLS stack.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Family {
    /// Chrome and what is built on Chromium: Edge, Opera, Samsung Internet, Brave, Vivaldi.
    Chromium,
    /// Browsers on Qt WebEngine: Chromium, years behind, without client hints.
    QtWebEngine,
    /// Firefox and what is built on it.
    Firefox,
    /// Safari, and every browser on iOS.
    Safari,
    /// Browsers on WebKitGTK or WPE: they say Safari on Linux, and have a TLS library of their own.
    WebKitGtk,
    /// A browser with an engine of its own; [`Claim::name`] says which.
    Niche,
    /// No family that is known here.
    Other,
}

/// An operating system that a client says it runs on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Platform {
    /// Windows.
    Windows,
    /// macOS.
    MacOs,
    /// Linux and other systems with X11 or Wayland.
    Linux,
    /// Chrome OS.
    ChromeOs,
    /// Android.
    Android,
    /// iOS and iPadOS.
    Ios,
    /// Another, or none stated.
    Other,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 7] =
        [Self::Chromium, Self::QtWebEngine, Self::Firefox, Self::Safari, Self::WebKitGtk, Self::Niche, Self::Other];

    /// The stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::QtWebEngine => "qtwebengine",
            Self::Firefox => "firefox",
            Self::Safari => "safari",
            Self::WebKitGtk => "webkitgtk",
            Self::Niche => "niche",
            Self::Other => "other",
        }
    }
}

impl Platform {
    /// The stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::MacOs => "macos",
            Self::Linux => "linux",
            Self::ChromeOs => "chromeos",
            Self::Android => "android",
            Self::Ios => "ios",
            Self::Other => "other",
        }
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Browser,
        Self::AutomatedBrowser,
        Self::Tool,
        Self::Library,
        Self::Scanner,
        Self::Crawler,
        Self::App,
        Self::Unknown,
        Self::Absent,
    ];

    /// The stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::AutomatedBrowser => "automated-browser",
            Self::Tool => "tool",
            Self::Library => "library",
            Self::Scanner => "scanner",
            Self::Crawler => "crawler",
            Self::App => "app",
            Self::Unknown => "unknown",
            Self::Absent => "absent",
        }
    }

    /// Whether it is a browser, driven or not.
    pub const fn is_browser(self) -> bool {
        matches!(self, Self::Browser | Self::AutomatedBrowser)
    }

    /// Which of two names of one text counts: the one that shows more intent.
    const fn rank(self) -> u8 {
        match self {
            Self::Scanner => 6,
            Self::AutomatedBrowser => 5,
            Self::Crawler => 4,
            Self::Tool => 3,
            Self::Library => 2,
            Self::App => 1,
            Self::Browser | Self::Unknown | Self::Absent => 0,
        }
    }
}

/// The longest part of a User-Agent that is looked at, in bytes. Browsers stay below 300; what stands
/// past it does not change the claim.
const MAX_USER_AGENT_BYTES: usize = 1024;

/// The name of a Chromium that says it has no window.
const HEADLESS_CHROME: &str = "headless-chrome";

impl Claim {
    /// The claim of a client that sends no User-Agent.
    pub const ABSENT: Self = Self {
        kind: Kind::Absent,
        family: Family::Other,
        version: 0,
        platform: Platform::Other,
        mobile: false,
        name: None,
    };

    /// Every name that a claim can have, some more than once: of tools, libraries, scanners, crawlers and niche browsers.
    pub fn known_names() -> impl Iterator<Item = &'static str> {
        names::all().map(|(_, word)| word.name).chain([HEADLESS_CHROME])
    }

    /// Every name that [`Claim::family_name`] has for a browser, each once.
    pub fn family_names() -> impl Iterator<Item = &'static str> {
        let niche: BTreeSet<&str> = names::NICHE.iter().map(|(_, name)| *name).collect();
        let named = Family::ALL.into_iter().filter(|family| !matches!(family, Family::Niche | Family::Other));
        named.map(Family::name).chain(niche)
    }

    /// Reads the claim out of a User-Agent value in one pass over its first KiB, in linear time.
    pub fn of(user_agent: &[u8]) -> Self {
        let text = user_agent.get(..MAX_USER_AGENT_BYTES).unwrap_or(user_agent).trim_ascii();
        if text.is_empty() {
            return Self::ABSENT;
        }
        let mut seen = Seen::default();
        for found in TOKENS.automaton.find_iter(text) {
            if let Some(token) = TOKENS.tokens.get(found.pattern().as_usize()) {
                seen.note(token, text, found.start(), found.end());
            }
        }
        seen.claim(text.starts_with(b"Mozilla/"))
    }

    /// The claim together with what the client hints say of it.
    #[must_use]
    pub fn with_hints(self, hints: &Hints) -> Self {
        let automated = hints.headless && self.kind == Kind::Browser;
        Self {
            kind: if automated { Kind::AutomatedBrowser } else { self.kind },
            name: if automated { Some(HEADLESS_CHROME) } else { self.name },
            platform: if self.platform == Platform::Other {
                hints.platform.unwrap_or(self.platform)
            } else {
                self.platform
            },
            ..self
        }
    }

    /// The name of the claimed browser by which families of rows are kept: that of a niche browser is its own.
    pub fn family_name(&self) -> &'static str {
        match self.family {
            Family::Niche => self.name.unwrap_or(Family::Niche.name()),
            family => family.name(),
        }
    }
}

enum Token {
    Named(Word),
    Chromium,
    HeadlessChromium,
    QtWebEngine,
    Firefox,
    /// Safari states its version behind `Version/`.
    SafariVersion,
    Safari,
    /// What every browser on Apple's engine says.
    AppleWebKit,
    /// Chrome, Firefox or Edge on iOS, which are Safari underneath.
    OnIos,
    Mobile,
    Platform(Platform),
}

struct Tokens {
    automaton: AhoCorasick,
    tokens: Vec<Token>,
}

#[derive(Default)]
struct Seen {
    named: Option<(Kind, &'static str, bool)>,
    niche: Option<(&'static str, u16)>,
    chromium: Option<u16>,
    qt: bool,
    firefox: Option<u16>,
    safari_version: Option<u16>,
    safari: bool,
    webkit: bool,
    on_ios: bool,
    mobile: bool,
    platform: Option<Platform>,
}

impl Seen {
    fn note(&mut self, token: &Token, text: &[u8], start: usize, end: usize) {
        let behind = text.get(end..).unwrap_or_default();
        match token {
            Token::Named(word) if !word.counts(text, start, end) => {}
            Token::Named(Word { kind: Kind::Browser, name, .. }) => {
                self.niche = self.niche.or(Some((name, leading_number(behind))));
            }
            Token::Named(Word { component: true, .. })
                if matches!(self.named, Some((Kind::Tool | Kind::Library, _, true))) => {}
            Token::Named(Word { kind, name, sure, .. }) => {
                let before = |(known, _, known_sure): (Kind, &str, bool)| {
                    (u8::from(*sure), kind.rank()) > (u8::from(known_sure), known.rank())
                };
                if self.named.is_none_or(before) {
                    self.named = Some((*kind, name, *sure));
                }
            }
            Token::Chromium => self.chromium = self.chromium.or(Some(leading_number(behind))),
            Token::HeadlessChromium => {
                self.chromium = self.chromium.or(Some(leading_number(behind)));
                self.named = Some((Kind::AutomatedBrowser, HEADLESS_CHROME, true));
            }
            Token::QtWebEngine => self.qt = true,
            Token::Firefox => self.firefox = self.firefox.or(Some(leading_number(behind))),
            Token::SafariVersion => self.safari_version = Some(leading_number(behind)),
            Token::Safari => self.safari = true,
            Token::AppleWebKit => self.webkit = true,
            Token::OnIos => self.on_ios = true,
            Token::Mobile => self.mobile = true,
            Token::Platform(platform) => self.note_platform(*platform),
        }
    }

    /// Android says Linux too, and iOS says Mac OS X: the narrower one counts.
    fn note_platform(&mut self, platform: Platform) {
        let narrow = |platform| matches!(platform, Platform::Android | Platform::Ios | Platform::ChromeOs);
        if self.platform.is_none_or(|known| narrow(platform) && !narrow(known)) {
            self.platform = Some(platform);
        }
        self.mobile |= matches!(platform, Platform::Android | Platform::Ios);
    }

    fn claim(&self, says_mozilla: bool) -> Claim {
        let platform = self.platform.unwrap_or(Platform::Other);
        let (family, version) = self.family(says_mozilla, platform);
        let (kind, name) = match (self.named, family) {
            (Some((kind, name, _)), _) => (kind, Some(name)),
            (None, Family::Other) => (Kind::Unknown, None),
            (None, Family::Niche) => (Kind::Browser, self.niche.map(|(name, _)| name)),
            (None, _) => (Kind::Browser, None),
        };
        Claim { kind, family, version, platform, mobile: self.mobile, name }
    }

    fn family(&self, says_mozilla: bool, platform: Platform) -> (Family, u16) {
        if let Some((_, version)) = self.niche {
            return (Family::Niche, version);
        }
        if !says_mozilla {
            return (Family::Other, 0);
        }
        // Whatever runs on iOS is Apple's engine, also an application that shows a page and says no `Safari/`.
        if self.on_ios || (self.webkit && platform == Platform::Ios) {
            return (Family::Safari, self.safari_version.unwrap_or(0));
        }
        if let Some(version) = self.chromium {
            return (if self.qt { Family::QtWebEngine } else { Family::Chromium }, version);
        }
        if let Some(version) = self.firefox {
            return (Family::Firefox, version);
        }
        match (self.safari, self.safari_version, platform) {
            (true, Some(version), Platform::MacOs | Platform::Other) => (Family::Safari, version),
            (true, Some(version), Platform::Linux) => (Family::WebKitGtk, version),
            // An application on macOS that shows a page.
            (false, None, Platform::MacOs) if self.webkit => (Family::Safari, 0),
            _ => (Family::Other, 0),
        }
    }
}

/// The number that a text begins with, of at most four digits.
fn leading_number(text: &[u8]) -> u16 {
    text.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .take(4)
        .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
}

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let own = [
        ("Chrome/", Token::Chromium),
        ("Chromium/", Token::Chromium),
        ("HeadlessChrome/", Token::HeadlessChromium),
        ("QtWebEngine/", Token::QtWebEngine),
        ("Firefox/", Token::Firefox),
        ("Version/", Token::SafariVersion),
        (" Safari/", Token::Safari),
        ("AppleWebKit/", Token::AppleWebKit),
        ("CriOS/", Token::OnIos),
        ("FxiOS/", Token::OnIos),
        ("EdgiOS/", Token::OnIos),
        ("Mobile", Token::Mobile),
        ("Android", Token::Platform(Platform::Android)),
        ("iPhone", Token::Platform(Platform::Ios)),
        ("iPad", Token::Platform(Platform::Ios)),
        ("iPod", Token::Platform(Platform::Ios)),
        ("Windows NT", Token::Platform(Platform::Windows)),
        ("Macintosh", Token::Platform(Platform::MacOs)),
        ("CrOS ", Token::Platform(Platform::ChromeOs)),
        ("X11", Token::Platform(Platform::Linux)),
        ("Wayland", Token::Platform(Platform::Linux)),
        ("Linux", Token::Platform(Platform::Linux)),
    ];
    let tokens = own.into_iter().chain(names::all().map(|(text, word)| (text, Token::Named(word))));
    let (texts, tokens): (Vec<&str>, Vec<Token>) = tokens.unzip();
    #[expect(clippy::expect_used, reason = "the patterns are constants of this crate, and every test builds them")]
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(texts)
        .expect("the constant patterns build an automaton");
    Tokens { automaton, tokens }
});

#[cfg(test)]
mod tests;
