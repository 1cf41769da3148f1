//! What User-Agents claim.

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
        (
            "PycURL/7.45.2 libcurl/7.88.1 GnuTLS/3.7.9 zlib/1.2.13 brotli/1.0.9 libidn2/2.3.3 libssh2/1.10.0 nghttp2/1.52.0",
            Kind::Library,
            Some("pycurl"),
        ),
        ("curl/8.17.0 OpenSSL/3.5.4 zlib/1.3.1 nghttp2/1.64.0 hyper/0.14", Kind::Tool, Some("curl")),
        ("MyApp/2.0 libcurl/8.5.0 nghttp2/1.59.0", Kind::Tool, Some("curl")),
        ("nghttp2/1.52.0", Kind::Scanner, Some("nghttp")),
        ("h2load nghttp2/1.52.0", Kind::Scanner, Some("h2load")),
        ("curl/8.5.0 sqlmap/1.8", Kind::Scanner, Some("sqlmap")),
        ("CURL/8.5.0", Kind::Tool, Some("curl")),
        ("python-requests/2.32.3", Kind::Library, Some("python-requests")),
        ("Python/3.12 aiohttp/3.9.5", Kind::Library, Some("python")),
        ("Go-http-client/2.0", Kind::Library, Some("go")),
        (
            "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1682",
            Kind::Tool,
            Some("powershell"),
        ),
        ("sqlmap/1.8#stable (https://sqlmap.org)", Kind::Scanner, Some("sqlmap")),
        ("Mozilla/5.00 (Nikto/2.5.0)", Kind::Scanner, Some("nikto")),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Kind::Crawler, Some("googlebot")),
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

#[test]
fn an_engine_is_told_by_what_runs_it() {
    for (user_agent, family, version, platform, name) in [
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/60.5 Safari/605.1.15",
            Family::WebKitGtk,
            60,
            Platform::Linux,
            None,
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/60.5 Safari/605.1.15 Surf/2.1",
            Family::WebKitGtk,
            60,
            Platform::Linux,
            None,
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) QtWebEngine/5.15.13 Chrome/87.0.4280.144 Safari/537.36",
            Family::QtWebEngine,
            87,
            Platform::Linux,
            None,
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
            Family::Safari,
            0,
            Platform::Ios,
            None,
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
            Family::Chromium,
            130,
            Platform::Android,
            None,
        ),
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
            Family::Chromium,
            142,
            Platform::ChromeOs,
            None,
        ),
        ("NetSurf/3.10 (Linux)", Family::Niche, 3, Platform::Linux, Some("netsurf")),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Goanna/6.7 Firefox/128.0 PaleMoon/33.3",
            Family::Niche,
            6,
            Platform::Linux,
            Some("goanna"),
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
            Family::Niche,
            7,
            Platform::Windows,
            Some("internet-explorer"),
        ),
    ] {
        let claim = Claim::of(user_agent.as_bytes());
        assert_eq!(
            (claim.kind, claim.family, claim.version, claim.platform, claim.name),
            (Kind::Browser, family, version, platform, name),
            "{user_agent}"
        );
    }
    let headless = Claim::of(b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36");
    assert_eq!((headless.kind, headless.family, headless.version), (Kind::AutomatedBrowser, Family::Chromium, 156));
}

#[test]
fn a_hint_of_no_window_makes_a_browser_an_automated_one() {
    let claim = Claim::of(
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    );
    let hints = Hints::of(Some(br#""HeadlessChrome";v="156", "Chromium";v="156""#), None, None);
    assert_eq!(claim.with_hints(&hints).kind, Kind::AutomatedBrowser);
    assert_eq!(claim.with_hints(&Hints::default()), claim);
}

/// Whatever the words of the lists say, no browser that people use is taken for something else, and few programs
/// are taken for a browser.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads its data")]
fn collected_user_agents_are_told_apart() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/ua/");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}{name}"));
    let (Ok(browsers), Ok(tools), Ok(crawlers)) =
        (read("browsers-2026-11.jsonl"), read("tools-handmade.txt"), read("crawler-user-agents.json"))
    else {
        eprintln!("skipped: there are no User-Agents in `{folder}`");
        return;
    };
    let mut odd = Vec::new();
    let mut families = std::collections::BTreeMap::new();
    for line in browsers.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let user_agent = line["ua"].as_str().unwrap();
        let claim = Claim::of(user_agent.as_bytes());
        *families.entry(claim.family_name()).or_insert(0) += 1;
        if claim.kind != Kind::Browser {
            odd.push(format!("{:?} {:?}: {user_agent}", claim.kind, claim.name));
        }
    }
    println!("{families:?}");
    assert!(odd.is_empty(), "{} browsers are none: {odd:#?}", odd.len());
    let missed: Vec<&str> = tools
        .lines()
        .filter(|text| Claim::of(text.as_bytes()).kind.is_browser())
        .filter(|text| !text.contains("Headless"))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
    let crawlers: serde_json::Value = serde_json::from_str(&crawlers).unwrap();
    let instances: Vec<&str> = crawlers
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|entry| entry["instances"].as_array().unwrap())
        .map(|text| text.as_str().unwrap())
        .collect();
    let passed: Vec<&&str> = instances.iter().filter(|text| Claim::of(text.as_bytes()).kind == Kind::Browser).collect();
    println!("{} of {} crawlers pass for browsers: {passed:#?}", passed.len(), instances.len());
    assert!(passed.len() * 50 < instances.len(), "{passed:#?}");
}

/// The fuzz target is one call of the same function.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads its data")]
fn every_seed_and_its_every_prefix_makes_a_claim() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/user_agent");
    let mut seeds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        seeds += 1;
        for end in 0..=bytes.len().min(MAX_USER_AGENT_BYTES + 2) {
            let _ = Claim::of(&bytes[..end]);
        }
        assert_eq!(Claim::of(&bytes), Claim::of(&bytes[..bytes.len().min(MAX_USER_AGENT_BYTES)]));
    }
    assert!(seeds >= 10);
}
