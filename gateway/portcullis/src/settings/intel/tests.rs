//! What settings of sources mean, and what is said of faulty ones.

use portcullis_intel::{Asn, ClassRule, Column, Crawler, CrawlerKind, CsvColumns, FeedFormat, FieldTest, Preset};

use super::database::MAX_DATABASE_BYTES;
use super::feed::FETCHED_TTL;
use super::*;

fn read(text: &str) -> Result<IntelSources, String> {
    IntelSources::read(SourceFile::new("portcullis.toml", text), Path::new("/etc/portcullis"))
        .map_err(|faults| faults.to_string())
}

#[test]
fn a_source_and_a_feed_mean_what_they_say() {
    let text = r#"
        [intel]
        asn = "asn.mmdb"
        data = "data"
        ca_file = "ca.pem"
        contact = "ops@shop.example"
        mirrors = ["10.1.2.0/24"]
        [[intel.source]]
        name = "vendor"
        path = "vendor.mmdb"
        preset = "maxmind-city"
        country = ["country.iso_code", "registered_country.iso_code"]
        max_shrink = 0.25
        licence = "bought"
        rule = [
            { path = "is_vpn", class = "vpn" },
            { path = "usage", op = "in", value = ["DCH", "CDN"], class = "datacenter", confidence = 0.8 },
            { path = "risk", op = "gte", value = 75.5, class = "abuser" },
        ]
        [[intel.feed]]
        name = "bots"
        url = "https://lists.shop.example/bots?key=1"
        format = "csv"
        class = "crawler"
        crawler = "examplebot"
        crawler_kind = "ai"
        columns = { start = 0, end = 1, confidence = "sure" }
        delimiter = ";"
        refresh_secs = 600
        ttl_secs = 0
        max_bytes = 1_000
        max_entries = 10
        min_prefix = 16
        except_asns = ["AS64496", 64497]
        [[intel.feed]]
        name = "tor"
        url = "https://lists.shop.example/tor"
        format = "text"
        class = "tor"
        [intel.crawlers]
        servers = ["127.0.0.1:5353"]
        timeout_ms = 500
    "#;
    let intel = read(text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(intel.data, Path::new("/etc/portcullis/data"));
    assert_eq!(intel.ca_file.as_deref(), Some(Path::new("/etc/portcullis/ca.pem")));
    assert_eq!((intel.contact.as_deref(), intel.mirrors.len()), (Some("ops@shop.example"), 1));
    assert_eq!((intel.crawlers.enabled, intel.crawlers.timeout), (true, Duration::from_millis(500)));
    let vendor = intel.find("vendor").unwrap();
    assert_eq!(vendor.place, Place::File("/etc/portcullis/vendor.mmdb".into()));
    assert_eq!((vendor.max_shrink, vendor.max_bytes, vendor.ttl()), (250, MAX_DATABASE_BYTES, None));
    let Content::Database(database) = &vendor.content else { panic!("{vendor:?}") };
    assert_eq!((database.preset, database.own.country.len()), (Some(Preset::MaxmindCity), 2));
    let rule = |path: &str, test, class, percent| ClassRule {
        path: path.parse().unwrap(),
        test,
        class,
        confidence: Confidence::percent(percent),
        measured: None,
    };
    assert_eq!(
        database.own.rules,
        [
            rule("is_vpn", FieldTest::True, NetworkClass::Vpn, 100),
            rule("usage", FieldTest::In(vec!["DCH".into(), "CDN".into()]), NetworkClass::Datacenter, 80),
            rule("risk", FieldTest::AtLeast(75.5), NetworkClass::Abuser, 100),
        ]
    );
    let mapping = database.mapping("GeoLite2-City");
    assert_eq!(mapping.country, database.own.country, "what is written takes the place of the preset's");
    assert_eq!(mapping.asn, Preset::MaxmindCity.mapping().asn, "what is not stays");
    let bots = intel.find("bots").unwrap();
    assert!(bots.is_fetched());
    assert_eq!((bots.refresh, bots.max_bytes, bots.ttl()), (Duration::from_secs(600), 1_000, None));
    let Content::Feed(feed) = &bots.content else { panic!("{bots:?}") };
    let crawler = Crawler { kind: CrawlerKind::Ai, name: "examplebot".into() };
    assert_eq!(feed.crawler.as_deref(), Some(&crawler));
    assert_eq!((feed.class, feed.confidence), (NetworkClass::Crawler, Confidence::FULL));
    assert_eq!((feed.guards.most_entries, feed.guards.shortest_v4, feed.guards.shortest_v6), (10, 16, 19));
    assert_eq!(feed.except_asns, [Asn(64496), Asn(64497)]);
    let columns = CsvColumns {
        delimiter: Some(b';'),
        range: Some((Column::Index(0), Column::Index(1))),
        confidence: Some(Column::Name("sure".into())),
        ..CsvColumns::default()
    };
    assert_eq!(feed.format, FeedFormat::Csv(columns));
    assert_eq!(intel.find("tor").unwrap().ttl(), Some(FETCHED_TTL));
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_a_remedy() {
    let source = |lines: &str| format!("[[intel.source]]\nname = \"a\"\npath = \"a.mmdb\"\n{lines}");
    let feed = |lines: &str| {
        format!("[[intel.feed]]\nname = \"a\"\npath = \"a\"\nformat = \"text\"\nclass = \"vpn\"\n{lines}")
    };
    for (text, said) in [
        ("[[intel.feed]]\nname = \"a\"\nclass = \"vpn\"\nformat = \"text\"".to_owned(), "neither a `path` nor a `url`"),
        (feed("url = \"https://lists.shop.example/\""), "has a `path` and a `url`"),
        (
            "[[intel.feed]]\nname = \"a\"\nurl = \"http://key@lists.shop.example\"\nclass = \"vpn\"\nformat = \"text\""
                .to_owned(),
            "is not an `https` URL",
        ),
        (
            "[[intel.feed]]\nname = \"a\"\npath = \"a\"\nformat = \"text\"".to_owned(),
            "`class` is missing in `[[intel.feed]]`",
        ),
        ("[[intel.feed]]\nname = \"a\"\npath = \"a\"\nclass = \"vpn\"".to_owned(), "`format` is missing"),
        ("[[intel.feed]]\npath = \"a\"\nclass = \"vpn\"\nformat = \"text\"".to_owned(), "`name` is missing"),
        (feed("refresh_secs = 60"), "write a whole number from 300 to 2592000"),
        (feed("refresh_secs = \"1h\""), "write `refresh_secs = 3600`"),
        (feed("max_shrink = 50"), "write a number from 0 to 1"),
        (feed("min_prefix = 33"), "write a whole number from 1 to 32"),
        (feed("confidence = 0"), "write a number from 0.01 to 1"),
        (feed("colums = { network = 0 }"), "did you mean `columns`?"),
        (feed("columns = { start = 0 }"), "name both `start` and `end`"),
        (feed("delimiter = \":\""), "not a delimiter"),
        (feed("crawler = \"googlebot\""), "is for a feed of crawlers"),
        (feed("except_asns = [\"AS\"]"), "not an autonomous system"),
        (feed("") + &feed(""), "the name `a` is used twice"),
        (source("") + &feed(""), "the name `a` is used twice"),
        (source("class = \"vpn\""), "unknown key `class`"),
        (source("preset = \"maxmind-asm\""), "did you mean `maxmind-asn`?"),
        (source("rule = [{ class = \"vpn\" }]"), "`path` is missing in `[[intel.source.rule]]`"),
        (source("rule = [{ path = \"a[]b\", class = \"vpn\" }]"), "is not the path of a field"),
        (source("country = [\"a..b\"]"), "is not the path of a field"),
        (source("rule = [{ path = \"a\", op = \"gte\", value = \"x\", class = \"vpn\" }]"), "takes a number"),
        (source("rule = [{ path = \"a\" }]"), "`class` is missing"),
        (source("rule = [{ path = \"a\", op = \"eq\", class = \"vpn\" }]"), "the operator `eq` takes one value"),
        (source("rule = [{ path = \"a\", value = \"b\", class = \"vpn\" }]"), "the operator `true` takes no value"),
        ("[intel]\ncontact = \"me (at home)\"".to_owned(), "is not an address to write to"),
        ("[intel]\nmirrors = [\"mirror\"]".to_owned(), "is not a network"),
        ("[intel.crawlers]\nservers = [\"127.0.0.1\"]".to_owned(), "is not an address with a port"),
        ("[limits]\nmax_connections = 1".to_owned(), "unknown key `limits`"),
    ] {
        let faults = read(&text).map(|intel| panic!("{text} was taken: {intel:?}")).unwrap_err();
        assert!(faults.contains(said), "{said:?} is not in\n{faults}");
        assert!(faults.contains("help: "), "no remedy in\n{faults}");
    }
}

#[test]
fn a_key_in_a_url_is_not_repeated() {
    let text = "[[intel.feed]]\nname = \"a\"\nurl = \"http://lists.shop.example/?key=geheim\"\nformat = \"text\"\n\
                class = \"vpn\"";
    let fault = read(text).unwrap_err();
    // The excerpt of the file shows it to whoever has the file; the messages themselves do not.
    let own: String = fault.lines().filter(|line| !line.contains(" | ")).collect();
    assert!(!own.contains("geheim"), "{fault}");
}

#[test]
fn the_default_set_is_sound_free_to_use_and_gives_way_to_the_users_own() {
    let set = read(DEFAULT_SET).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(set.sources.len() > 20);
    for source in &set.sources {
        assert!(source.is_fetched() && source.licence.is_some(), "{source:?}");
        let Place::Url(url) = &source.place else { panic!("{source:?}") };
        assert!(!url.contains("key=") && !url.contains("token="), "{url}");
    }
    for class in [NetworkClass::Relay, NetworkClass::Tor, NetworkClass::Vpn, NetworkClass::Datacenter] {
        let has = |source: &&IntelSource| matches!(&source.content, Content::Feed(feed) if feed.class == class);
        assert!(set.sources.iter().any(|source| has(&source)), "no feed of {class}");
    }
    let own = "[intel]\ndefault_set = true\n[[intel.feed]]\nname = \"tor-exits\"\npath = \"tor.txt\"\n\
               format = \"text\"\nclass = \"tor\"";
    let both = read(own).unwrap();
    assert_eq!(both.sources.len(), set.sources.len());
    assert!(!both.find("tor-exits").unwrap().is_fetched());
}
