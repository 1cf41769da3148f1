//! Crawlers: what they come for, and whether they prove who they are.

use portcullis_intel::{CrawlerKind, NetworkClass};

use crate::{Claim, Facts, Kind};

/// Whether a crawler is what it says, from the worst to the best.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Proof {
    /// It is not: its address has no name of that crawler, or the name does not lead back to the address.
    Forged,
    /// It says so, as anybody can. Nothing is known: not yet asked, no answer in time, or a crawler that proves nothing.
    #[default]
    Unverified,
    /// Its address proves it.
    Verified,
}

impl Proof {
    /// Every one, in order.
    pub const ALL: [Self; 3] = [Self::Forged, Self::Unverified, Self::Verified];

    /// The stable lower-case name, as metrics and audit records write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Unverified => "unverified",
            Self::Verified => "verified",
        }
    }
}

/// A crawler that asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crawler {
    /// What it comes for.
    pub kind: CrawlerKind,
    /// Whether it is what it says.
    pub proof: Proof,
}

impl Facts<'_> {
    /// The crawler that asks, where the client is or claims to be one: this is the one place that says so.
    ///
    /// An address of a crawler proves that one asks. What it comes for is what the operator of its range says, and else
    /// what the client claims.
    pub fn crawler(&self) -> Option<Crawler> {
        let claimed = self.claim.crawler_kind();
        if self.classes().contains(NetworkClass::Crawler) {
            let known = self.network.crawler.as_ref().map(|crawler| crawler.kind);
            return Some(Crawler { kind: known.or(claimed).unwrap_or(CrawlerKind::Other), proof: Proof::Verified });
        }
        claimed.map(|kind| Crawler { kind, proof: self.crawler_proof.min(Proof::Unverified) })
    }
}

impl Claim {
    /// What the client comes for by its own word; none where it does not claim to be a crawler.
    pub fn crawler_kind(&self) -> Option<CrawlerKind> {
        if self.kind != Kind::Crawler {
            return None;
        }
        let named = self
            .name
            .and_then(|name| KINDS.iter().find(|(_, names)| names.binary_search(&name).is_ok()).map(|(kind, _)| *kind));
        Some(named.unwrap_or(CrawlerKind::Other))
    }
}

/// The names of [`Claim::name`] by what they come for, from what their operators say of them.
// INVARIANT: the names of each kind are sorted.
const KINDS: [(CrawlerKind, &[&str]); 4] = [
    (CrawlerKind::Search, SEARCH),
    (CrawlerKind::Ai, AI),
    (CrawlerKind::Preview, PREVIEW),
    (CrawlerKind::Monitoring, MONITORING),
];

const SEARCH: &[&str] = &[
    "360spider",
    "adsbot-google",
    "adsbot-google-mobile",
    "applebot",
    "aspiegelbot",
    "baiduspider",
    "bingbot",
    "blekkobot",
    "bravebot",
    "coccoc",
    "daum",
    "daumoa",
    "duckduckbot",
    "duckduckgo-favicons-bot",
    "exabot",
    "freespoke",
    "gigablast",
    "gigabot",
    "google-inspectiontool",
    "google-site-verification",
    "googlebot",
    "googlebot-ia",
    "googlebot-image",
    "googlebot-mobile",
    "googlebot-news",
    "googlebot-video",
    "googleother",
    "kagi-fetcher",
    "kagibot",
    "mail.ru",
    "mail.ru-bot",
    "mojeekbot",
    "msnbot",
    "naverbot",
    "neevabot",
    "petalbot",
    "qwantbot",
    "qwantify",
    "search.marginalia.nu",
    "seznambot",
    "slurp",
    "sogou",
    "sosospider",
    "storebot-google",
    "swisscows",
    "teoma",
    "timpibot",
    "yandex.com-bots",
    "yandexbot",
    "yandexrenderresourcesbot",
    "yeti",
    "yisouspider",
    "youdaobot",
];

const AI: &[&str] = &[
    "ai2bot",
    "aihitbot",
    "aisearchbot",
    "amazonbot",
    "amzn-searchbot",
    "amzn-user",
    "anthropic-ai",
    "azureai-searchbot",
    "bigsur.ai",
    "bytespider",
    "ccbot",
    "chatglm-spider",
    "chatgpt-user",
    "claude-searchbot",
    "claude-user",
    "claude-web",
    "claudebot",
    "cloudflare-autorag",
    "cohere-ai",
    "cohere-training-data-crawler",
    "crawl4ai",
    "deepseekbot",
    "diffbot",
    "duckassistbot",
    "facebookbot",
    "firecrawlagent",
    "gemini-deep-research",
    "google-cloudvertexbot",
    "google-extended",
    "google-notebooklm",
    "gptbot",
    "iaskbot",
    "iaskspider",
    "imagesiftbot",
    "img2dataset",
    "kangaroobot",
    "laion-huggingface-processor",
    "meta-externalagent",
    "meta-externalfetcher",
    "meta-webindexer",
    "mistralai-user",
    "oai-searchbot",
    "omgili",
    "operator",
    "pangubot",
    "perplexity-user",
    "perplexitybot",
    "perplexityuser",
    "phindbot",
    "sbintuitionsbot",
    "spawning-ai",
    "tavilybot",
    "tiktokspider",
    "webzio",
    "youbot",
];

const PREVIEW: &[&str] = &[
    "arenaunfurlbot",
    "bingpreview",
    "bitlybot",
    "bluesky",
    "blueskypreviewbot",
    "bufferlinkpreviewbot",
    "chatwork-linkpreview",
    "clickuplinkunfurler",
    "dingtalkbot-linkservice",
    "discordbot",
    "discourse-forum-onebox",
    "embedly",
    "evernoterichlinkbot",
    "facebook",
    "facebookexternalhit",
    "facebot",
    "github-camo",
    "google-web-preview",
    "googleimageproxy",
    "iframely",
    "keybasebot",
    "lemmy",
    "linkedinbot",
    "lmarenaunfurlbot",
    "mastodon",
    "mattermost-bot",
    "meta-externalhit",
    "metaiab-facebook",
    "microsoftpreview",
    "notion",
    "opengraph.io",
    "orlo-linkpreview",
    "page-preview-tool",
    "pinterest.com-bot",
    "redditbot",
    "skypeuripreview",
    "slack-imgproxy",
    "slackbot",
    "snap-url-preview-service",
    "snapurlpreview",
    "summalybot",
    "telegrambot",
    "tumblr",
    "twitterbot",
    "viber",
    "vkshare",
    "whatsapp",
    "yahoo-link-preview",
];

const MONITORING: &[&str] = &[
    "alertsite",
    "better-uptime-bot",
    "betteruptimebot",
    "blackbox-exporter",
    "catchpoint",
    "check-http",
    "checkhost",
    "checkly",
    "chrome-lighthouse",
    "cloudflare-healthchecks",
    "cloudflare-traffic-manager",
    "dareboost",
    "datadog-agent",
    "datadog-synthetic",
    "datadogsynthetics",
    "dotcom-monitor",
    "downnotifier.com",
    "downtimedetector",
    "easydns-monitoring",
    "elmah.io-uptime-monitoring",
    "elmahio-uptimebot",
    "evouptimebot",
    "freewebmonitoring-sitechecker",
    "freshpingbot",
    "googlestackdrivermonitoring",
    "gotsitemonitor.com",
    "gtmetrix",
    "hetrixtools",
    "honeybadger-uptime-check",
    "hosttracker",
    "internetvista-monitor",
    "jetmon",
    "logicmonitor",
    "monibot",
    "monitis",
    "montastic-monitor",
    "montasticmonitor",
    "newrelicbot",
    "newrelicsynthetics",
    "nixstatsbot",
    "nodeping",
    "ohdear",
    "onlineornot.com-bot",
    "pagespeed",
    "pingadmin.ru",
    "pingdom",
    "pingping.io",
    "poduptime",
    "prtg-network-monitor",
    "prtgcloudbot",
    "pulsetic.com",
    "rackspace-monitoring",
    "ruxitsynthetic",
    "sentryuptimebot",
    "server-density-service-monitoring",
    "serverdensity",
    "site24x7",
    "siteuptime.com",
    "solarwinds",
    "statuscake",
    "synthetic-monitoring-agent",
    "thousandeyes",
    "updown.io",
    "uptime",
    "uptime-kuma",
    "uptimebot",
    "uptimebot.org",
    "uptimedoctor",
    "uptimerobot",
    "uptimia",
    "uptrends",
    "websitepulse",
    "wormlybot",
    "www.uptime.com",
    "zabbix",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_crawler_is_told_by_what_it_comes_for() {
        use CrawlerKind::{Ai, Monitoring, Other, Preview, Search};
        for (user_agent, kind) in [
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Some(Search)),
            ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", Some(Search)),
            ("DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", Some(Search)),
            ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", Some(Search)),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
                Some(Ai),
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
                Some(Ai),
            ),
            ("CCBot/2.0 (https://commoncrawl.org/faq/)", Some(Ai)),
            ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", Some(Preview)),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", Some(Preview)),
            ("WhatsApp/2.23.20.0 A", Some(Preview)),
            ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", Some(Monitoring)),
            ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", Some(Monitoring)),
            ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", Some(Other)),
            ("my-own-crawler/1.0", Some(Other)),
            ("curl/8.5.0", None),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", None),
            ("", None),
        ] {
            assert_eq!(Claim::of(user_agent.as_bytes()).crawler_kind(), kind, "{user_agent}");
        }
    }

    #[test]
    fn every_name_is_sorted_has_one_kind_and_is_a_name_that_claims_have() {
        let known: HashSet<&str> = Claim::known_names().collect();
        let mut seen = HashSet::new();
        for (kind, names) in KINDS {
            assert!(names.is_sorted(), "{}", kind.name());
            for name in names {
                assert!(known.contains(name), "no claim is called {name}");
                assert!(seen.insert(name), "{name} stands twice");
            }
        }
    }
}
