//! What a browser says about itself beside its solution, and what contradicts it.
//!
//! All of it is said by the client, so none of it lowers a score: a finding adds risk, and the lack
//! of findings, or of the evidence, adds nothing. What is collected and for how long any of it is kept
//! is written down in [`privacy`].
//!
//! What it tells apart, in captures of clients on one machine (a test holds the list). Of 11 real
//! browsers, Chromium, Firefox, one that resists fingerprinting, WebKitGTK and QtWebEngine browsers among
//! them, none shows anything. Of 17 automated ones 14 do:
//!
//! | client | shows |
//! |---|---|
//! | Selenium with Chrome | `js-webdriver`, `js-automation-global` |
//! | Firefox by Marionette, WebKitGTK by WebDriver | `js-webdriver` |
//! | Playwright, Puppeteer | `js-webdriver`, and without a window `js-headless-name` |
//! | Chromium without a window, Patchright without one | `js-headless-name` |
//! | playwright-stealth (Python) | `js-webdriver-hidden`, `js-user-agent-differs`, `js-hints-contradict`, `js-worker-differs` |
//! | playwright-extra and puppeteer-extra with stealth | `js-worker-differs`, the first `js-viewport` as well |
//! | undetected-chromedriver, SeleniumBase UC | `js-viewport`: their usual window is larger than the screen |
//! | DrissionPage, nodriver, Firefox without a window by itself | nothing |
//!
//! The last three run the page's script as a person's browser does; of them only what they do tells.

use std::time::Duration;

use serde_json::Value;

use crate::solution::Solved;

/// The evidence, as plain data. What was missing or of another type is absent here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Evidence {
    /// `navigator.webdriver`.
    pub webdriver: Option<bool>,
    /// The names of the automation tools whose globals were found.
    pub automation: Vec<String>,
    /// The contradictions that the page found by itself.
    pub odd: Vec<Oddity>,
    /// `navigator.userAgent`.
    pub user_agent: Option<String>,
    /// `navigator.platform`.
    pub platform: Option<String>,
    /// `navigator.languages`.
    pub languages: Vec<String>,
    /// `navigator.userAgentData`.
    pub hints: Option<Hints>,
    /// The window and the screen.
    pub viewport: Option<Viewport>,
    /// `navigator.maxTouchPoints`.
    pub touch: Option<u32>,
    /// `navigator.hardwareConcurrency`.
    pub cores: Option<u32>,
    /// What the page says of its work.
    pub work: Option<WorkSaid>,
    /// How many things a worker was told otherwise than the page; none when no worker ran.
    pub differs: Option<u8>,
    /// What happened on the page.
    pub interaction: Option<Interaction>,
}

/// Low-entropy client hints (User-Agent Client Hints §3).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hints {
    /// Each `name/version`.
    pub brands: Vec<String>,
    /// Whether it says it is a phone.
    pub mobile: Option<bool>,
    /// The operating system.
    pub platform: Option<String>,
}

/// Sizes in CSS pixels, each as width and height.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Viewport {
    /// Of the page.
    pub inner: [u32; 2],
    /// Of the window.
    pub outer: [u32; 2],
    /// Of the screen.
    pub screen: [u32; 2],
}

/// What the page says of its work.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WorkSaid {
    /// How long it took.
    pub took: Option<Duration>,
    /// The hashes that were tried.
    pub hashes: Option<u64>,
    /// The workers that tried them; 0 is the page itself.
    pub workers: Option<u32>,
}

/// Counts of events since the page or the widget was there. What was typed or where the pointer was is
/// not among them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Interaction {
    /// `page`, `inline`, `invisible` or `renewal`.
    pub variant: String,
    /// `load`, `focus`, `submit`, `manual` or `retry`.
    pub trigger: String,
    /// How long the page was there.
    pub elapsed: Option<Duration>,
    /// How often it got the focus.
    pub focus: u32,
    /// How often it lost the focus.
    pub blur: u32,
    /// Keys pressed.
    pub keys: u32,
    /// Pointer moves, one a second at most.
    pub pointer: u32,
    /// Clicks.
    pub clicks: u32,
    /// How often the page was hidden.
    pub hidden: u32,
    /// Whether it is visible now.
    pub visible: Option<bool>,
}

impl Interaction {
    /// Counts that nobody comes to, and a form that nobody sent.
    fn judge(&self, findings: &mut Findings) {
        let presses = self.keys.saturating_add(self.clicks);
        // Keys are pressed in a window that is covered, by who does not look at it, too.
        let moved_unseen = self.visible == Some(false) && self.hidden == 0 && self.pointer > 0;
        // Only where nothing but the challenge is: what else a page holds takes the focus and does not give it back.
        let lost_too_often = self.variant == "page" && self.blur > self.focus.saturating_add(FOCUS_MARGIN);
        let too_many = self.elapsed.is_some_and(|elapsed| {
            let secs = u32::try_from(elapsed.saturating_add(CLOCK_MARGIN).as_secs()).unwrap_or(u32::MAX);
            self.pointer > secs.saturating_add(1) || presses > secs.saturating_mul(MAX_PRESSES_PER_SECOND)
        });
        if too_many || lost_too_often || moved_unseen {
            findings.add(Signal::InteractionContradicts);
        }
        // Of `focus` that says nothing: who comes to a field from the address bar by keyboard pressed no key in the page.
        if self.trigger == "submit" && presses == 0 && self.pointer == 0 {
            findings.add(Signal::InteractionNone);
        }
    }
}

/// A contradiction that the page's script finds and names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Oddity {
    /// `navigator` itself has a property `webdriver`.
    WebdriverOwn,
    /// The getter of `webdriver` is not the browser's.
    WebdriverPatched,
    /// `permissions.query` is not the browser's.
    PermissionsPatched,
    /// `Function.prototype.toString` is not the browser's.
    ToStringPatched,
    /// Notifications are denied and could still be asked for.
    Notifications,
    /// A viewer of PDF and no plugin.
    PluginsNone,
    /// The plugins are not a list of plugins.
    PluginsFake,
    /// No language, or the first is not the language.
    LanguagesNone,
    /// It says it is Chrome and has no `window.chrome`.
    ChromeMissing,
    /// It says it is a current Chrome and has no client hints.
    HintsMissing,
    /// The engine's marks are not those of the browser it says it is.
    Engine,
}

impl Oddity {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "webdriver-own" => Self::WebdriverOwn,
            "webdriver-patched" => Self::WebdriverPatched,
            "permissions-patched" => Self::PermissionsPatched,
            "tostring-patched" => Self::ToStringPatched,
            "notifications" => Self::Notifications,
            "plugins-none" => Self::PluginsNone,
            "plugins-fake" => Self::PluginsFake,
            "languages-none" => Self::LanguagesNone,
            "chrome-missing" => Self::ChromeMissing,
            "hints-missing" => Self::HintsMissing,
            "engine" => Self::Engine,
            _ => return None,
        })
    }

    const fn signal(self) -> Signal {
        match self {
            Self::WebdriverOwn | Self::WebdriverPatched => Signal::WebdriverHidden,
            Self::PermissionsPatched | Self::ToStringPatched => Signal::Patched,
            Self::Notifications => Signal::Permissions,
            Self::PluginsNone | Self::PluginsFake => Signal::Plugins,
            Self::LanguagesNone => Signal::Languages,
            Self::ChromeMissing | Self::HintsMissing | Self::Engine => Signal::Engine,
        }
    }
}

impl Evidence {
    /// Reads the text of the field `evidence`. A member that is missing, of another type or out of
    /// bounds is absent; nothing that a stranger writes costs more than its length.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] past [`MAX_EVIDENCE_BYTES`], unread, and for what is no JSON object.
    pub fn parse(text: &str) -> Result<Self, EvidenceError> {
        if text.len() > MAX_EVIDENCE_BYTES {
            return Err(EvidenceError::TooLarge);
        }
        // The reader's own bound on nesting holds within so few bytes.
        let value: Value = serde_json::from_str(text).map_err(|_| EvidenceError::Malformed)?;
        if !value.is_object() {
            return Err(EvidenceError::Malformed);
        }
        let at = |name: &str| value.get(name);
        Ok(Self {
            webdriver: at("webdriver").and_then(Value::as_bool),
            automation: texts(at("automation"), 8, 32),
            odd: texts(at("odd"), 16, 32).iter().filter_map(|name| Oddity::from_name(name)).collect(),
            user_agent: text_of(at("ua"), MAX_USER_AGENT),
            platform: text_of(at("platform"), 64),
            languages: texts(at("languages"), 8, 35),
            hints: at("hints").filter(|hints| hints.is_object()).map(|hints| Hints {
                brands: texts(hints.get("brands"), 8, 64),
                mobile: hints.get("mobile").and_then(Value::as_bool),
                platform: text_of(hints.get("platform"), 32),
            }),
            viewport: at("viewport").and_then(viewport),
            touch: number(at("touch")),
            cores: number(at("cores")),
            work: at("work").filter(|work| work.is_object()).map(|work| WorkSaid {
                took: number(work.get("ms")).map(|ms| Duration::from_millis(ms.into())),
                hashes: work.get("hashes").and_then(Value::as_u64),
                workers: number(work.get("workers")),
            }),
            differs: at("differs").and_then(Value::as_array).map(|names| u8::try_from(names.len()).unwrap_or(u8::MAX)),
            interaction: at("interaction").filter(|said| said.is_object()).map(interaction),
        })
    }

    /// What of it contradicts itself, or what the gateway saw.
    #[must_use]
    pub fn judge(&self, observed: &Observed<'_>) -> Findings {
        let mut findings = Findings::default();
        self.judge_tool(&mut findings);
        self.judge_claim(observed, &mut findings);
        self.judge_window(&mut findings);
        self.judge_work(observed, &mut findings);
        if let Some(seen) = &self.interaction {
            seen.judge(&mut findings);
        }
        for oddity in &self.odd {
            findings.add(oddity.signal());
        }
        findings
    }

    /// Tools that say what they are.
    fn judge_tool(&self, findings: &mut Findings) {
        if self.webdriver == Some(true) {
            findings.add(Signal::Webdriver);
        }
        if !self.automation.is_empty() {
            findings.add(Signal::AutomationGlobal);
        }
        let headless = |text: &String| text.contains("Headless");
        if self.user_agent.as_ref().is_some_and(headless)
            || self.hints.as_ref().is_some_and(|hints| hints.brands.iter().any(headless))
        {
            findings.add(Signal::HeadlessName);
        }
        if self.differs.is_some_and(|count| count > 0) {
            findings.add(Signal::WorkerDiffers);
        }
    }

    /// The browser that the script sees beside the one that the request said it is.
    fn judge_claim(&self, observed: &Observed<'_>, findings: &mut Findings) {
        let Some(said) = self.user_agent.as_deref() else { return };
        if !same_browser(said, observed.user_agent) {
            findings.add(Signal::UserAgentDiffers);
        }
        if self.platform.as_deref().is_some_and(|platform| !desktop_fits(platform, said)) {
            findings.add(Signal::HintsContradict);
        }
        let Some(hints) = &self.hints else { return };
        let chromium = version_after(said, "Chrome/");
        let brand = hints.brands.iter().find_map(|brand| version_after(brand, "Chromium/"));
        let versions_differ = brand.is_some() && chromium.is_some() && brand != chromium;
        // Only Chromium has these hints.
        let foreign = chromium.is_none();
        let platforms_differ = hints.platform.as_deref().is_some_and(|platform| !platform_fits(platform, said));
        if versions_differ || foreign || platforms_differ {
            findings.add(Signal::HintsContradict);
        }
    }

    /// A window that no screen has.
    fn judge_window(&self, findings: &mut Findings) {
        let Some(Viewport { outer, screen, .. }) = self.viewport else { return };
        let [wide, high] = screen;
        let larger = |outer: u32, screen: u32| screen > 0 && outer > screen.saturating_add(WINDOW_MARGIN);
        let [outer_wide, outer_high] = outer;
        if larger(outer_wide, wide)
            || larger(outer_high, high)
            || (outer == [0, 0] && screen != [0, 0])
            || wide == 0
            || high == 0
        {
            findings.add(Signal::Viewport);
        }
    }

    /// How long it took, and what was done in that time.
    fn judge_work(&self, observed: &Observed<'_>, findings: &mut Findings) {
        let expected = observed.expected_hashes;
        // A page's cores, or more than any has.
        let cores = u64::from(self.cores.unwrap_or(MAX_CORES).clamp(1, MAX_CORES));
        let took_ms = u64::try_from(observed.took.as_millis()).unwrap_or(u64::MAX).max(1);
        let fastest = cores.saturating_mul(MAX_SCRIPT_HASHES_PER_MS).saturating_mul(took_ms);
        if expected >= MIN_JUDGED_HASHES && expected / 2 > fastest {
            findings.add(Signal::SolvedTooFast);
        }
        let Some(work) = self.work else { return };
        let longer = work.took.is_some_and(|took| took > observed.took.saturating_add(CLOCK_MARGIN));
        let fewer = expected >= MIN_JUDGED_HASHES && work.hashes.is_some_and(|hashes| hashes < expected / 2);
        let page = self.interaction.as_ref().and_then(|seen| seen.elapsed);
        let before = page.zip(work.took).is_some_and(|(page, took)| took > page.saturating_add(CLOCK_MARGIN));
        if longer || fewer || before {
            findings.add(Signal::WorkContradicts);
        }
    }
}

/// What the gateway itself knows of a redeem.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The header field `User-Agent` of the redeem.
    pub user_agent: &'a str,
    /// The hashes that the puzzle takes in the mean; 0 when it was none.
    pub expected_hashes: u64,
    /// From issuing the puzzle to redeeming it.
    pub took: Duration,
}

impl<'a> Observed<'a> {
    /// What is known of a redeem that brought this solution, in a request with this User-Agent.
    #[must_use]
    pub fn of(solved: &Solved, user_agent: &'a str) -> Self {
        Self { user_agent, expected_hashes: solved.work.hashes().expected_hashes(), took: solved.took() }
    }
}

/// Evidence that could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EvidenceError {
    /// It is longer than [`MAX_EVIDENCE_BYTES`].
    TooLarge,
    /// It is no JSON object.
    Malformed,
}

impl EvidenceError {
    /// What it says of the client: the page does not write that.
    #[must_use]
    pub fn findings(self) -> Findings {
        let mut findings = Findings::default();
        findings.add(Signal::Unreadable);
        findings
    }
}

/// One judgement on evidence. The numbers are what tokens carry.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Signal {
    /// `navigator.webdriver` is true (WebDriver §3).
    Webdriver = 0,
    /// Globals of an automation tool were found.
    AutomationGlobal = 1,
    /// It says it has no window.
    HeadlessName = 2,
    /// `navigator.webdriver` was tampered with.
    WebdriverHidden = 3,
    /// Functions of the browser were replaced. Extensions that guard privacy do that, too.
    Patched = 4,
    /// Permissions contradict each other.
    Permissions = 5,
    /// Plugins contradict the browser.
    Plugins = 6,
    /// Languages contradict each other.
    Languages = 7,
    /// The engine is not that of the browser that it says it is.
    Engine = 8,
    /// The script sees another browser than the request said.
    UserAgentDiffers = 9,
    /// The client hints contradict the user agent.
    HintsContradict = 10,
    /// A worker sees another browser than the page.
    WorkerDiffers = 11,
    /// The window is larger than the screen, or there is none.
    Viewport = 12,
    /// The work took less time than a script on so many cores needs.
    SolvedTooFast = 13,
    /// What the page says of its work contradicts what was asked and when.
    WorkContradicts = 14,
    /// The evidence could not be read.
    Unreadable = 15,
    /// What was counted of the person contradicts itself, or is not what the page counts.
    InteractionContradicts = 16,
    /// A form was sent, and nobody pressed, clicked or moved anything. Password managers, passkeys and pages that send
    /// themselves can do that, too.
    InteractionNone = 17,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 18] = [
        Self::Webdriver,
        Self::AutomationGlobal,
        Self::HeadlessName,
        Self::WebdriverHidden,
        Self::Patched,
        Self::Permissions,
        Self::Plugins,
        Self::Languages,
        Self::Engine,
        Self::UserAgentDiffers,
        Self::HintsContradict,
        Self::WorkerDiffers,
        Self::Viewport,
        Self::SolvedTooFast,
        Self::WorkContradicts,
        Self::Unreadable,
        Self::InteractionContradicts,
        Self::InteractionNone,
    ];

    /// The stable name, for audit lines, metrics and reasons.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webdriver => "js-webdriver",
            Self::AutomationGlobal => "js-automation-global",
            Self::HeadlessName => "js-headless-name",
            Self::WebdriverHidden => "js-webdriver-hidden",
            Self::Patched => "js-patched",
            Self::Permissions => "js-permissions",
            Self::Plugins => "js-plugins",
            Self::Languages => "js-languages",
            Self::Engine => "js-engine",
            Self::UserAgentDiffers => "js-user-agent-differs",
            Self::HintsContradict => "js-hints-contradict",
            Self::WorkerDiffers => "js-worker-differs",
            Self::Viewport => "js-viewport",
            Self::SolvedTooFast => "js-solved-too-fast",
            Self::WorkContradicts => "js-work-contradicts",
            Self::Unreadable => "js-unreadable",
            Self::InteractionContradicts => "js-interaction-contradicts",
            Self::InteractionNone => "js-interaction-none",
        }
    }

    /// How strong it is, in thousandths.
    ///
    /// Near the top is what only a tool says of itself. Below stand contradictions, and lowest those
    /// that a person's extension, window manager or niche browser can cause: they count beside others,
    /// not alone.
    #[must_use]
    pub const fn strength_thousandths(self) -> u16 {
        match self {
            Self::AutomationGlobal => 950,
            Self::Webdriver | Self::HeadlessName => 900,
            Self::WebdriverHidden => 700,
            Self::UserAgentDiffers | Self::SolvedTooFast => 600,
            Self::HintsContradict | Self::WorkerDiffers | Self::Permissions => 500,
            Self::Viewport | Self::WorkContradicts => 400,
            Self::Engine | Self::Unreadable | Self::InteractionContradicts => 300,
            Self::Patched => 250,
            Self::Plugins | Self::Languages => 200,
            Self::InteractionNone => 150,
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// Which signals were found.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Signals(u32);

impl Signals {
    /// The signals of a token's number; bits that name none are left out.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(Signal::ALL.into_iter().map(Signal::bit).filter(|bit| bits & bit != 0).sum())
    }

    /// One bit for each signal.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The signals, in the order of [`Signal::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::ALL.into_iter().filter(move |signal| self.0 & signal.bit() != 0)
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What was found, each signal at most once: so nothing that is said twice counts twice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Findings(Signals);

impl Findings {
    fn add(&mut self, signal: Signal) {
        self.0 = Signals(self.0.0 | signal.bit());
    }

    /// What the evidence shows that came beside a solution: nothing where none came.
    #[must_use]
    pub fn beside(evidence: Option<&str>, observed: &Observed<'_>) -> Self {
        let Some(text) = evidence else { return Self::default() };
        Evidence::parse(text).map_or_else(EvidenceError::findings, |said| said.judge(observed))
    }

    /// The findings that a token carried.
    #[must_use]
    pub const fn of(signals: Signals) -> Self {
        Self(signals)
    }

    /// Which signals.
    #[must_use]
    pub const fn signals(self) -> Signals {
        self.0
    }

    /// Name and strength in thousandths of each.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, u16)> {
        self.0.iter().map(|signal| (signal.name(), signal.strength_thousandths()))
    }

    /// All of them in one number, in thousandths, 0 to 1000: noisy-or, `1 − Π(1 − strength)`.
    #[must_use]
    pub fn risk_thousandths(self) -> u16 {
        let clean = self.iter().fold(1_000_000_u64, |clean, (_, strength)| clean * u64::from(1000 - strength) / 1000);
        u16::try_from(1000 - clean / 1000).unwrap_or(1000)
    }
}

/// Whether the script and the request name one browser.
///
/// Firefox that resists fingerprinting says one operating system to servers and another to scripts
/// (Mozilla bug 1509829), so that of it only the version is compared. The page cuts the text to
/// [`MAX_USER_AGENT`] bytes of visible ASCII.
fn same_browser(said: &str, header: &str) -> bool {
    match (version_after(said, "Firefox/"), version_after(header, "Firefox/")) {
        (None, None) => {
            // The page writes `?` for what is no visible ASCII; how many bytes that was, no two browsers agree on.
            let plain = |c: &char| matches!(c, ' '..='~') && *c != '?';
            let header = header.chars().take(MAX_USER_AGENT).filter(plain);
            said.chars().filter(plain).eq(header)
        }
        (said, header) => said == header,
    }
}

/// The number that follows `mark`.
fn version_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(mark)?;
    rest.split(|c: char| !c.is_ascii_digit()).next().filter(|digits| !digits.is_empty())
}

/// Whether a user agent can be of the operating system that the hints name. One that is not known
/// fits all.
fn platform_fits(platform: &str, user_agent: &str) -> bool {
    match platform {
        "Windows" => user_agent.contains("Windows"),
        "macOS" => user_agent.contains("Macintosh"),
        // A phone that is asked for the desktop's page says Linux.
        "Linux" => user_agent.contains("Linux") || user_agent.contains("X11"),
        "Android" => user_agent.contains("Android") || user_agent.contains("Linux"),
        "Chrome OS" | "Chromium OS" => user_agent.contains("CrOS"),
        _ => true,
    }
}

/// Whether `navigator.platform` can be of the desktop system that a user agent names; of other systems
/// it says many things.
fn desktop_fits(platform: &str, user_agent: &str) -> bool {
    let [windows, mac, linux] = ["Win", "Mac", "Linux"].map(|system| platform.starts_with(system));
    if user_agent.contains("Windows NT") {
        !mac && !linux
    } else if user_agent.contains("Macintosh") {
        !windows && !linux
    } else if user_agent.contains("X11; Linux") {
        !windows && !mac
    } else {
        true
    }
}

fn text_of(value: Option<&Value>, most: usize) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| text.len() <= most).map(str::to_owned)
}

fn texts(value: Option<&Value>, most: usize, longest: usize) -> Vec<String> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().take(most).filter_map(|text| text_of(Some(text), longest)).collect()
}

fn number(value: Option<&Value>) -> Option<u32> {
    value.and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}

fn viewport(value: &Value) -> Option<Viewport> {
    let numbers: Vec<u32> = value.as_array()?.iter().take(6).map(|value| number(Some(value))).collect::<Option<_>>()?;
    let [a, b, c, d, e, f] = numbers.try_into().ok()?;
    Some(Viewport { inner: [a, b], outer: [c, d], screen: [e, f] })
}

fn interaction(said: &Value) -> Interaction {
    let count = |name: &str| number(said.get(name)).unwrap_or(0);
    Interaction {
        variant: text_of(said.get("variant"), 16).unwrap_or_default(),
        trigger: text_of(said.get("trigger"), 16).unwrap_or_default(),
        elapsed: number(said.get("ms")).map(|ms| Duration::from_millis(ms.into())),
        focus: count("focus"),
        blur: count("blur"),
        keys: count("keys"),
        pointer: count("pointer"),
        clicks: count("clicks"),
        hidden: count("hidden"),
        visible: said.get("visible").and_then(Value::as_bool),
    }
}

/// The longest evidence that is read. The page writes some 900 bytes.
pub const MAX_EVIDENCE_BYTES: usize = 4096;

/// The most of a user agent that the page sends.
const MAX_USER_AGENT: usize = 256;
/// A window manager's border, in CSS pixels: a maximised window may stand over by some.
const WINDOW_MARGIN: u32 = 40;
/// The most cores that are believed.
const MAX_CORES: u32 = 64;
/// Hashes that a page's script does in a millisecond on one core at most: five times what a fast desktop
/// does today.
const MAX_SCRIPT_HASHES_PER_MS: u64 = 15_000;
/// Work below this ends within a few network round trips and says nothing.
const MIN_JUDGED_HASHES: u64 = 1_000_000;
/// Keys and clicks of one second at most: a key that is held down repeats some thirty times.
const MAX_PRESSES_PER_SECOND: u32 = 100;
/// By how much more often the focus may be lost than had: by a field and a window that had it before the script was there, and
/// as much again for browsers that count otherwise.
const FOCUS_MARGIN: u32 = 4;
/// How far the page's clock and ours may be apart over one challenge.
const CLOCK_MARGIN: Duration = Duration::from_secs(2);

/// What the evidence is, what it is for, and how long any of it is kept.
pub mod privacy {
    #![doc = include_str!("../assets/PRIVACY.md")]
}
