//! What a client says it is.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// What the User-Agent header claims. It is a claim and nothing more: coherence judges it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    /// What sort of client it says it is.
    pub kind: Kind,
    /// The browser family, or [`Family::Other`].
    pub family: Family,
    /// The major version of the family; 0 where none is stated.
    pub version: u16,
    /// Whether it says it runs on a telephone or tablet.
    pub mobile: bool,
    /// The name of the tool, library or crawler, where it is a known one.
    pub name: Option<&'static str>,
}

/// What sort of client a User-Agent names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A browser that a person uses.
    Browser,
    /// A browser that says it is automated or has no window.
    AutomatedBrowser,
    /// A command-line client or a library for HTTP.
    Tool,
    /// A scanner, a brute-force or load tool.
    Scanner,
    /// A crawler, preview or monitoring service.
    Crawler,
    /// Something else with a name: an application, an unlisted library.
    Unknown,
    /// No User-Agent, or an empty one.
    Absent,
}

/// A browser family by its engine and TLS stack.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Family {
    /// Chrome and what is built on Chromium: Edge, Opera, Samsung Internet, Brave, Vivaldi.
    Chromium,
    /// Firefox and what is built on it.
    Firefox,
    /// Safari, and every browser on iOS.
    Safari,
    /// No family that is known here.
    Other,
}

impl Family {
    /// The stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
            Self::Safari => "safari",
            Self::Other => "other",
        }
    }
}

impl Kind {
    /// The stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::AutomatedBrowser => "automated-browser",
            Self::Tool => "tool",
            Self::Scanner => "scanner",
            Self::Crawler => "crawler",
            Self::Unknown => "unknown",
            Self::Absent => "absent",
        }
    }
}

/// The longest part of a User-Agent that is looked at, in bytes. Browsers stay below 300; what stands
/// past it does not change the claim.
const MAX_USER_AGENT_BYTES: usize = 1024;

impl Claim {
    /// The claim of a client that sends no User-Agent.
    pub const ABSENT: Self = Self { kind: Kind::Absent, family: Family::Other, version: 0, mobile: false, name: None };

    /// Reads the claim out of a User-Agent value in one pass over it, in linear time.
    pub fn of(user_agent: &[u8]) -> Self {
        let text = user_agent.get(..MAX_USER_AGENT_BYTES).unwrap_or(user_agent).trim_ascii();
        if text.is_empty() {
            return Self::ABSENT;
        }
        let mut seen = Seen::default();
        for found in TOKENS.automaton.find_iter(text) {
            if let Some((_, token)) = TOKENS.tokens.get(found.pattern().as_usize()) {
                seen.note(*token, text.get(found.end()..).unwrap_or_default());
            }
        }
        seen.claim(text.starts_with(b"Mozilla/"))
    }
}

#[derive(Clone, Copy)]
enum Token {
    Named(Kind, &'static str),
    Chromium,
    Firefox,
    /// Safari states its version behind `Version/`.
    SafariVersion,
    Safari,
    /// Chrome, Firefox or Edge on iOS, which are Safari underneath.
    OnIos,
    Mobile,
}

struct Tokens {
    automaton: AhoCorasick,
    tokens: Vec<(&'static str, Token)>,
}

#[derive(Default)]
struct Seen {
    named: Option<(Kind, &'static str)>,
    chromium: Option<u16>,
    firefox: Option<u16>,
    safari_version: Option<u16>,
    safari: bool,
    on_ios: bool,
    mobile: bool,
}

impl Seen {
    fn note(&mut self, token: Token, behind: &[u8]) {
        match token {
            Token::Named(kind, name) => {
                // A name that shows more intent wins over one that shows less.
                if self.named.is_none_or(|(known, _)| rank(kind) > rank(known)) {
                    self.named = Some((kind, name));
                }
            }
            Token::Chromium => self.chromium = self.chromium.or(Some(leading_number(behind))),
            Token::Firefox => self.firefox = self.firefox.or(Some(leading_number(behind))),
            Token::SafariVersion => self.safari_version = Some(leading_number(behind)),
            Token::Safari => self.safari = true,
            Token::OnIos => self.on_ios = true,
            Token::Mobile => self.mobile = true,
        }
    }

    fn claim(&self, says_mozilla: bool) -> Claim {
        let (family, version) = if !says_mozilla {
            (Family::Other, 0)
        } else if self.on_ios {
            (Family::Safari, 0)
        } else if let Some(version) = self.chromium {
            (Family::Chromium, version)
        } else if let Some(version) = self.firefox {
            (Family::Firefox, version)
        } else if let (true, Some(version)) = (self.safari, self.safari_version) {
            (Family::Safari, version)
        } else {
            (Family::Other, 0)
        };
        let (kind, name) = match self.named {
            Some((kind, name)) => (kind, Some(name)),
            None if family == Family::Other => (Kind::Unknown, None),
            None => (Kind::Browser, None),
        };
        Claim { kind, family, version, mobile: self.mobile, name }
    }
}

const fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Scanner => 4,
        Kind::AutomatedBrowser => 3,
        Kind::Tool => 2,
        Kind::Crawler => 1,
        Kind::Browser | Kind::Unknown | Kind::Absent => 0,
    }
}

fn leading_number(text: &[u8]) -> u16 {
    text.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .take(4)
        .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
}

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let mut tokens: Vec<(&'static str, Token)> = vec![
        ("Chrome/", Token::Chromium),
        ("Chromium/", Token::Chromium),
        ("Firefox/", Token::Firefox),
        ("Version/", Token::SafariVersion),
        (" Safari/", Token::Safari),
        ("CriOS/", Token::OnIos),
        ("FxiOS/", Token::OnIos),
        ("EdgiOS/", Token::OnIos),
        ("Mobile", Token::Mobile),
        ("Android", Token::Mobile),
    ];
    for (kind, names) in
        [(Kind::AutomatedBrowser, AUTOMATED), (Kind::Tool, TOOLS), (Kind::Scanner, SCANNERS), (Kind::Crawler, CRAWLERS)]
    {
        tokens.extend(names.iter().map(|(pattern, name)| (*pattern, Token::Named(kind, name))));
    }
    #[expect(clippy::expect_used, reason = "the patterns are constants of this file, and every test builds them")]
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::DFA))
        .build(tokens.iter().map(|(pattern, _)| *pattern))
        .expect("the constant patterns build an automaton");
    Tokens { automaton, tokens }
});

/// Browsers that say they are driven by a program.
const AUTOMATED: &[(&str, &str)] = &[
    ("HeadlessChrome/", "headless-chrome"),
    ("PhantomJS/", "phantomjs"),
    ("Puppeteer", "puppeteer"),
    ("Playwright", "playwright"),
    ("Selenium", "selenium"),
    ("Electron/", "electron"),
    ("jsdom/", "jsdom"),
    ("HtmlUnit", "htmlunit"),
    ("SlimerJS", "slimerjs"),
    ("Splash", "splash"),
];

/// Command-line clients and libraries, by the token that they send when nobody changes it.
const TOOLS: &[(&str, &str)] = &[
    ("curl/", "curl"),
    ("libcurl", "curl"),
    ("Wget/", "wget"),
    ("Wget2/", "wget"),
    ("HTTPie/", "httpie"),
    ("xh/", "xh"),
    ("aria2/", "aria2"),
    ("Lynx/", "lynx"),
    ("w3m/", "w3m"),
    ("Links (", "links"),
    ("python-requests/", "python-requests"),
    ("python-httpx/", "python-httpx"),
    ("python-urllib3/", "python-urllib3"),
    ("Python-urllib/", "python-urllib"),
    ("Python/", "python"),
    ("aiohttp/", "aiohttp"),
    ("Scrapy/", "scrapy"),
    ("PycURL/", "pycurl"),
    ("Go-http-client/", "go"),
    ("go-resty/", "go-resty"),
    ("fasthttp", "fasthttp"),
    ("colly", "colly"),
    ("okhttp/", "okhttp"),
    ("Apache-HttpClient/", "apache-httpclient"),
    ("Apache-HttpAsyncClient/", "apache-httpclient"),
    ("Java/", "java"),
    ("Java-http-client/", "java"),
    ("Jersey/", "jersey"),
    ("Ktor client", "ktor"),
    ("ktor-client", "ktor"),
    ("ReactorNetty/", "reactor-netty"),
    ("AHC/", "async-http-client"),
    ("node-fetch", "node-fetch"),
    ("node-superagent", "superagent"),
    ("axios/", "axios"),
    ("undici", "undici"),
    ("got (", "got"),
    ("needle/", "needle"),
    ("Deno/", "deno"),
    ("Bun/", "bun"),
    ("libwww-perl/", "libwww-perl"),
    ("lwp-", "libwww-perl"),
    ("LWP::", "libwww-perl"),
    ("Mojolicious", "mojolicious"),
    ("HTTP-Tiny/", "http-tiny"),
    ("Ruby", "ruby"),
    ("Faraday", "faraday"),
    ("rest-client/", "rest-client"),
    ("Typhoeus", "typhoeus"),
    ("http.rb/", "http.rb"),
    ("Mechanize", "mechanize"),
    ("GuzzleHttp/", "guzzle"),
    ("PHP/", "php"),
    ("Symfony HttpClient", "symfony"),
    ("reqwest/", "reqwest"),
    ("hyper/", "hyper"),
    ("ureq/", "ureq"),
    ("isahc/", "isahc"),
    ("RestSharp/", "restsharp"),
    (".NET", "dotnet"),
    ("PostmanRuntime/", "postman"),
    ("insomnia/", "insomnia"),
    ("Bruno", "bruno"),
    ("PowerShell/", "powershell"),
    ("libsoup/", "libsoup"),
    ("Dart/", "dart"),
    ("cpp-httplib", "cpp-httplib"),
    ("Boost.Beast", "boost-beast"),
    ("Erlang", "erlang"),
    ("hackney/", "hackney"),
    ("WinHttp", "winhttp"),
];

/// Tools whose purpose is to probe, to try passwords or to load a server.
const SCANNERS: &[(&str, &str)] = &[
    ("sqlmap/", "sqlmap"),
    ("Nikto", "nikto"),
    ("Nmap", "nmap"),
    ("masscan", "masscan"),
    ("zgrab/", "zgrab"),
    ("Nuclei", "nuclei"),
    ("Fuzz Faster U Fool", "ffuf"),
    ("ffuf", "ffuf"),
    ("gobuster/", "gobuster"),
    ("feroxbuster", "feroxbuster"),
    ("DirBuster", "dirbuster"),
    ("dirsearch", "dirsearch"),
    ("Wfuzz/", "wfuzz"),
    ("WPScan", "wpscan"),
    ("Hydra", "hydra"),
    ("Acunetix", "acunetix"),
    ("Nessus", "nessus"),
    ("OpenVAS", "openvas"),
    ("Arachni", "arachni"),
    ("WhatWeb/", "whatweb"),
    ("httpx - Open-source", "httpx-scanner"),
    ("l9explore", "leakix"),
    ("Expanse", "expanse"),
    ("CensysInspect", "censys"),
    ("Shodan", "shodan"),
    ("ApacheBench/", "ab"),
    ("Siege/", "siege"),
    ("hey/", "hey"),
    ("k6/", "k6"),
    ("Vegeta", "vegeta"),
    ("Locust", "locust"),
    ("JMeter", "jmeter"),
    ("oha/", "oha"),
    ("h2load", "h2load"),
    ("Gatling", "gatling"),
    ("autocannon", "autocannon"),
];

/// Crawlers, previews and monitors: the word that they nearly all carry, and those that do not.
const CRAWLERS: &[(&str, &str)] = &[
    ("Googlebot", "googlebot"),
    ("bingbot", "bingbot"),
    ("DuckDuckBot", "duckduckbot"),
    ("Applebot", "applebot"),
    ("YandexBot", "yandexbot"),
    ("Baiduspider", "baiduspider"),
    ("GPTBot", "gptbot"),
    ("ChatGPT-User", "chatgpt-user"),
    ("ClaudeBot", "claudebot"),
    ("PerplexityBot", "perplexitybot"),
    ("CCBot", "ccbot"),
    ("Bytespider", "bytespider"),
    ("AhrefsBot", "ahrefsbot"),
    ("SemrushBot", "semrushbot"),
    ("facebookexternalhit", "facebook"),
    ("Slackbot", "slackbot"),
    ("Twitterbot", "twitterbot"),
    ("UptimeRobot", "uptimerobot"),
    ("Pingdom", "pingdom"),
    ("heritrix", "heritrix"),
    ("bot/", "bot"),
    ("bot;", "bot"),
    ("bot)", "bot"),
    ("crawler", "crawler"),
    ("spider", "spider"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_browser_states_its_family_and_version() {
        for (user_agent, family, version, mobile) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                Family::Chromium,
                142,
                false,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                Family::Chromium,
                142,
                false,
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
                Family::Chromium,
                142,
                true,
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", Family::Firefox, 145, false),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
                Family::Safari,
                26,
                false,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.0.0 Mobile/15E148 Safari/604.1",
                Family::Safari,
                0,
                true,
            ),
        ] {
            let claim = Claim::of(user_agent.as_bytes());
            assert_eq!(
                (claim.kind, claim.family, claim.version, claim.mobile),
                (Kind::Browser, family, version, mobile),
                "{user_agent}"
            );
        }
    }

    #[test]
    fn a_tool_is_known_by_its_name() {
        for (user_agent, kind, name) in [
            ("curl/8.5.0", Kind::Tool, Some("curl")),
            ("CURL/8.5.0", Kind::Tool, Some("curl")),
            ("python-requests/2.32.3", Kind::Tool, Some("python-requests")),
            ("Python/3.12 aiohttp/3.9.5", Kind::Tool, Some("python")),
            ("Go-http-client/2.0", Kind::Tool, Some("go")),
            (
                "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1682",
                Kind::Tool,
                Some("powershell"),
            ),
            ("sqlmap/1.8#stable (https://sqlmap.org)", Kind::Scanner, Some("sqlmap")),
            ("Mozilla/5.00 (Nikto/2.5.0)", Kind::Scanner, Some("nikto")),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                Kind::Crawler,
                Some("googlebot"),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36",
                Kind::AutomatedBrowser,
                Some("headless-chrome"),
            ),
            ("MyApp/1.0 (iOS)", Kind::Unknown, None),
            ("Mozilla/5.0", Kind::Unknown, None),
            ("", Kind::Absent, None),
            ("   ", Kind::Absent, None),
        ] {
            let claim = Claim::of(user_agent.as_bytes());
            assert_eq!((claim.kind, claim.name), (kind, name), "{user_agent}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_claim(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let _ = Claim::of(&bytes);
        }
    }
}
