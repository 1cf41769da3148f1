//! Names by which clients tell what they are: those written here, and those of `data/names.tsv`.
//!
//! The names here are those that decide about a client; the file adds the long tail of crawlers and scanners, from
//! crawler-user-agents (MIT) and isbot (Unlicense), whose licences stand beside it.

use super::Kind;

/// One word that tells what a client is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    /// How sure the word is: a name that a client gives itself before a word that may stand in any sentence.
    pub(crate) sure: bool,
    /// Whether it counts only at the start of the text.
    pub(crate) at_start: bool,
    /// Whether no letter or digit may follow it.
    pub(crate) whole: bool,
    /// What may not stand right before (`-`) or right behind (`+`) it, by words that white space separates.
    pub(crate) not_around: &'static str,
    /// Whether it may be a part of a tool that was named before it, which then counts alone.
    pub(crate) component: bool,
}

/// Libraries that curl names behind its own name and those of what it is built into.
const COMPONENTS: [&str; 4] = ["libcurl", "libcurl-", "nghttp2/", "hyper/"];

impl Word {
    const fn named(kind: Kind, name: &'static str) -> Self {
        Self { kind, name, sure: true, at_start: false, whole: false, not_around: "", component: false }
    }

    /// Whether the word counts where it stands.
    pub(crate) fn counts(&self, text: &[u8], start: usize, end: usize) -> bool {
        if self.at_start && start > 0 {
            return false;
        }
        let (before, behind) = (text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default());
        if self.whole && behind.first().is_some_and(u8::is_ascii_alphanumeric) {
            return false;
        }
        // A name begins a word: `node` is not said by `nosuchnode`.
        if self.sure && self.name.len() < 6 && before.last().is_some_and(u8::is_ascii_alphabetic) {
            return false;
        }
        !self.not_around.split(' ').any(|around| {
            let ends = |word: &str| {
                let word = word.as_bytes();
                before
                    .len()
                    .checked_sub(word.len())
                    .and_then(|at| before.get(at..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(word))
            };
            let begins =
                |word: &str| behind.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()));
            match around.split_at_checked(1) {
                Some(("-", word)) => {
                    word.strip_prefix("\\s").map_or_else(|| ends(word), |word| ends(word) && before.contains(&b' '))
                }
                Some(("+", word)) => begins(word.strip_prefix("\\s").unwrap_or(word)),
                _ => false,
            }
        })
    }
}

/// Every word with what it is found by, surest first.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Word)> {
    let listed = [
        (Kind::AutomatedBrowser, AUTOMATED),
        (Kind::Tool, TOOLS),
        (Kind::Library, LIBRARIES),
        (Kind::Scanner, SCANNERS),
        (Kind::App, APPS),
        (Kind::Crawler, CRAWLERS),
        (Kind::Browser, NICHE),
    ];
    let here = listed
        .into_iter()
        .flat_map(|(kind, names)| names.iter().map(move |(word, name)| (*word, Word::named(kind, name))))
        .map(|(text, word)| (text, Word { component: COMPONENTS.contains(&text), ..word }));
    here.chain(std::iter::once((
        "bot",
        Word { whole: true, not_around: "-cu", sure: false, ..Word::named(Kind::Crawler, "bot") },
    )))
    .chain(include_str!("../../data/names.tsv").lines().filter_map(row))
}

/// Reads one line of the file; none for a comment.
fn row(line: &'static str) -> Option<(&'static str, Word)> {
    let mut columns = line.split('\t');
    let (kind, sure) = match columns.next()? {
        "crawler" => (Kind::Crawler, true),
        "scanner" => (Kind::Scanner, true),
        "library" => (Kind::Library, true),
        "automated" => (Kind::AutomatedBrowser, true),
        "bot" => (Kind::Crawler, false),
        _ => return None,
    };
    let (name, word) = (columns.next()?, columns.next()?);
    let at_start = columns.next() == Some("^");
    let whole = columns.next() == Some("b");
    let not_around = columns.next().unwrap_or_default();
    Some((word, Word { sure, at_start, whole, not_around, ..Word::named(kind, name) }))
}

/// Browsers that say they are driven by a program.
pub(crate) const AUTOMATED: &[(&str, &str)] = &[
    ("HeadlessChrome/", "headless-chrome"),
    ("PhantomJS/", "phantomjs"),
    ("Puppeteer", "puppeteer"),
    ("Playwright", "playwright"),
    ("Selenium", "selenium"),
    ("jsdom/", "jsdom"),
    ("HtmlUnit", "htmlunit"),
    ("SlimerJS", "slimerjs"),
    ("Splash", "splash"),
    ("wkhtmlto", "wkhtmltopdf"),
    ("Headless", "headless"),
    ("WebDriver", "webdriver"),
    ("Cypress/", "cypress"),
    ("TestCafe", "testcafe"),
    ("CasperJS", "casperjs"),
    ("Zombie.js", "zombie"),
    ("Nightmare", "nightmare"),
    ("QtTestBrowser", "qt-test"),
];

/// Command-line clients and browsers of text, by what they send when nobody changes it.
pub(crate) const TOOLS: &[(&str, &str)] = &[
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
    ("PostmanRuntime/", "postman"),
    ("insomnia/", "insomnia"),
    ("Bruno", "bruno"),
    ("PowerShell/", "powershell"),
    ("curl", "curl"),
    ("Wget", "wget"),
    ("Axel/", "axel"),
    ("git/", "git"),
    ("edbrowse/", "edbrowse"),
    ("ELinks", "elinks"),
    ("Links ", "links"),
    ("Lynx", "lynx"),
    ("yt-dlp", "yt-dlp"),
    ("youtube-dl", "youtube-dl"),
    ("lftp/", "lftp"),
    ("browsh", "browsh"),
    ("Debian APT", "apt"),
    ("curlie", "curl"),
    ("HTTPie", "httpie"),
    ("rclone/", "rclone"),
    ("Thunder Client", "thunder-client"),
    ("ffmpeg", "ffmpeg"),
    ("Lavf/", "ffmpeg"),
    ("VLC/", "vlc"),
    ("mpv ", "mpv"),
];

/// Libraries for HTTP, by what they send when nobody changes it.
pub(crate) const LIBRARIES: &[(&str, &str)] = &[
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
    ("libsoup/", "libsoup"),
    ("Dart/", "dart"),
    ("cpp-httplib", "cpp-httplib"),
    ("Boost.Beast", "boost-beast"),
    ("Erlang", "erlang"),
    ("hackney/", "hackney"),
    ("WinHttp", "winhttp"),
    (".NET/", "dotnet"),
    ("niquests/", "niquests"),
    ("urllib3", "python-urllib3"),
    ("httpx/", "python-httpx"),
    ("node", "node"),
    ("superagent", "superagent"),
    ("Tcl/", "tcl"),
    ("libcurl-", "curl"),
    ("grequests", "python-requests"),
    ("hrequests", "hrequests"),
    ("treq", "treq"),
    ("Guile", "guile"),
    ("Swift", "swift"),
    ("req/", "req"),
    ("Httpful", "httpful"),
    ("Buzz/", "buzz"),
    ("python", "python"),
];

/// Tools whose purpose is to probe, to try passwords or to load a server.
pub(crate) const SCANNERS: &[(&str, &str)] = &[
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
    ("wapiti", "wapiti"),
    ("nghttp2/", "nghttp"),
    ("HTTPing", "httping"),
    ("wrk/", "wrk"),
    ("wrk", "wrk"),
    ("hping", "hping"),
    ("skipfish", "skipfish"),
    ("w3af", "w3af"),
    ("testssl", "testssl"),
    ("sslyze", "sslyze"),
    ("sslscan", "sslscan"),
    ("Netsparker", "netsparker"),
    ("Burp", "burp"),
    ("ZAP/", "zap"),
    ("jaeles", "jaeles"),
    ("commix", "commix"),
    ("httprobe", "httprobe"),
    ("subfinder", "subfinder"),
    ("katana", "katana"),
    ("Medusa", "medusa"),
    ("patator", "patator"),
    ("bombardier", "bombardier"),
    ("drill", "drill"),
    ("rewrk", "rewrk"),
    ("artillery", "artillery"),
    ("fortio", "fortio"),
    ("tsung", "tsung"),
    ("wfuzz", "wfuzz"),
    ("gobuster", "gobuster"),
    ("dirb", "dirb"),
    ("sqlmap", "sqlmap"),
    ("xsser", "xsser"),
    ("joomscan", "joomscan"),
    ("droopescan", "droopescan"),
    ("cmsmap", "cmsmap"),
    ("siege", "siege"),
];

/// Applications that speak by the library of their system.
pub(crate) const APPS: &[(&str, &str)] = &[
    ("CFNetwork/", "cfnetwork"),
    ("Dalvik/", "dalvik"),
    ("Electron/", "electron"),
    ("Alamofire/", "alamofire"),
    ("Expo/", "expo"),
    ("ReactNative", "react-native"),
];

/// Crawlers, previews and monitors.
pub(crate) const CRAWLERS: &[(&str, &str)] = &[
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

/// Browsers with an engine or a TLS library of their own.
pub(crate) const NICHE: &[(&str, &str)] = &[
    ("NetSurf/", "netsurf"),
    ("Dillo/", "dillo"),
    ("MSIE ", "internet-explorer"),
    ("Trident/", "internet-explorer"),
    ("Presto/", "presto"),
    ("Opera Mini/", "opera-mini"),
    ("PaleMoon/", "palemoon"),
    ("Goanna/", "goanna"),
    ("SeaMonkey/", "seamonkey"),
    ("K-Meleon/", "k-meleon"),
    ("Basilisk/", "basilisk"),
    ("Konqueror/", "konqueror"),
    ("Ladybird/", "ladybird"),
    ("Servo/", "servo"),
    ("KaiOS/", "kaios"),
    ("Nokia", "nokia"),
    ("BlackBerry", "blackberry"),
    ("PlayStation", "playstation"),
    ("NintendoBrowser/", "nintendo"),
    ("Otter/", "otter"),
    ("Arora/", "arora"),
    ("Iceape/", "iceape"),
];
