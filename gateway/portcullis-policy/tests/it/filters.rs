//! What routes do with classes of network: toggles, profiles, precedence, and crawlers told apart.

use portcullis_intel::NetworkClass;
use portcullis_policy::model::{Action, Mode, Route};
use portcullis_policy::run_tests;

use crate::compiled;

/// Every class with what a route does: the action, and whether the class counts for the score.
fn toggles(route: &Route) -> Vec<String> {
    NetworkClass::ALL
        .into_iter()
        .filter_map(|class| {
            let filter = route.filters.iter().find(|filter| filter.class == class);
            let counts = route.expectation.networks.contains(class);
            let mode = if filter.is_some_and(|filter| filter.mode == Mode::Monitor) { " in monitor" } else { "" };
            match (filter.map(|filter| filter.action), counts) {
                (Some(action), true) => Some(format!("{class} {}{mode}", action.name())),
                (Some(action), false) => Some(format!("{class} {}{mode}, uncounted", action.name())),
                (None, true) => Some(format!("{class} score")),
                (None, false) => None,
            }
        })
        .collect()
}

fn of_route(text: &str) -> Vec<String> {
    let text = format!("{text}\n");
    toggles(compiled(&text).rules.routes().last().unwrap())
}

#[test]
fn a_toggle_lies_over_a_profile_and_that_over_what_is_shipped() {
    let shipped = ["tor score", "vpn score", "proxy score", "datacenter score", "abuser block"];
    let e_commerce = ["tor block", "vpn score", "proxy score", "datacenter score", "abuser block", "crawler block"];
    let financial = ["tor block", "vpn block", "proxy block", "datacenter block", "abuser block", "crawler block"];
    for (defaults, route, expected) in [
        ("", "", &shipped[..]),
        ("", "profile = \"consumer\"", &shipped),
        ("", "profile = \"e-commerce\"", &e_commerce),
        ("", "profile = \"financial\"", &financial),
        ("profile = \"financial\"", "", &financial),
        ("profile = \"financial\"", "profile = \"e-commerce\"", &e_commerce),
        (
            "profile = \"e-commerce\"",
            "filters = { tor = \"off\", crawler = \"score\", mobile = \"challenge\" }",
            &["vpn score", "proxy score", "datacenter score", "abuser block", "crawler score", "mobile challenge"],
        ),
        // What a route says of a profile takes the place of all that the defaults say of classes.
        ("filters = { tor = \"off\", abuser = \"off\" }", "profile = \"consumer\"", &shipped),
        (
            "profile = \"consumer\"\nfilters = { abuser = \"off\" }",
            "filters = { satellite = \"score\" }",
            &["tor score", "vpn score", "proxy score", "datacenter score", "satellite score"],
        ),
        (
            "",
            "filters = { tor = { action = \"block\", mode = \"monitor\" }, mobile = { action = \"block\", mode = \"monitor\" } }",
            &[
                "tor block in monitor",
                "vpn score",
                "proxy score",
                "datacenter score",
                "abuser block",
                "mobile block in monitor, uncounted",
            ],
        ),
    ] {
        let text = format!("[defaults]\norigin = \"app\"\n{defaults}\n[[route]]\nname = \"a\"\n{route}");
        assert_eq!(of_route(&text), expected, "{defaults} {route}");
    }
}

/// Each pair of classes on one address, and which of the two is consulted.
#[test]
fn of_every_two_classes_the_one_that_says_more_is_consulted() {
    let rows = [
        ("tor", &["relay", "vpn", "proxy", "crawler", "datacenter", "abuser", "satellite", "mobile"][..]),
        ("relay", &["vpn", "proxy", "crawler", "datacenter", "abuser", "satellite", "mobile"]),
        ("vpn", &["proxy", "crawler", "datacenter", "abuser", "satellite", "mobile"]),
        ("proxy", &["crawler", "datacenter", "abuser", "satellite", "mobile"]),
        ("crawler", &["datacenter", "abuser", "satellite", "mobile"]),
        ("datacenter", &["abuser", "satellite", "mobile"]),
        ("abuser", &["satellite", "mobile"]),
        ("satellite", &["mobile"]),
    ];
    let mut pairs = 0;
    for (higher, others) in rows {
        for lower in others {
            // Whatever is consulted blocks; and what is consulted and off hides what blocks.
            for (toggles, refused) in [
                (blocking(&[higher, lower]), higher != "relay"),
                (blocking(&[lower]), false),
                (blocking(&[higher]), higher != "relay"),
            ] {
                let (action, code) = if refused {
                    ("block", format!("code = \"API.{}_BLOCKED\"", higher.to_uppercase()))
                } else {
                    ("allow", "route = \"a\"".to_owned())
                };
                for classes in [[higher, lower], [lower, higher]] {
                    check(&format!(
                        "[[route]]\nname = \"a\"\norigin = \"app\"\nthresholds = {{ throttle = \"off\", challenge = \"off\", block = \"off\", ban = \"off\" }}\n\
                         filters = {{ {toggles} }}\n\
                         [[test]]\nname = \"t\"\nrequest = {{ host = \"shop.example\", path = \"/\", class = {classes:?} }}\n\
                         expect = {{ action = \"{action}\", {code} }}\n"
                    ));
                }
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, 36);
}

/// Filters that block these classes and switch every other off.
fn blocking(classes: &[&str]) -> String {
    let each = NetworkClass::ALL.into_iter().filter(|class| *class != NetworkClass::Relay).map(|class| {
        let toggle = if classes.contains(&class.name()) { "block" } else { "off" };
        format!("{class} = \"{toggle}\"")
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Runs the tests of rules text; all must pass.
fn check(text: &str) {
    let compiled = compiled(text);
    let outcomes = run_tests(&compiled.rules, &compiled.tests);
    assert!(!outcomes.is_empty());
    for outcome in outcomes {
        assert!(outcome.passed(), "{}", outcome.faults);
    }
}

#[test]
fn what_stands_in_two_lists_is_what_it_truly_is() {
    check(
        r#"
        [[route]]
        name = "shop"
        origin = "app"
        filters = { tor = "block", vpn = "block", proxy = "challenge", datacenter = "block", mobile = "block" }
        [[test]]
        name = "a privacy relay that a list of vpns holds is let by"
        request = { host = "shop.example", path = "/", class = ["relay", "vpn", "datacenter"], headers = { user-agent = "Shop/1.0" } }
        expect = { action = "allow", score_max = 0.0 }
        [[test]]
        name = "a search engine in a datacenter is let by"
        request = { host = "shop.example", path = "/", class = ["crawler", "datacenter"], headers = { user-agent = "Googlebot/2.1" } }
        expect = { action = "allow", score_max = 0.0 }
        [[test]]
        name = "who says so from a datacenter is not"
        request = { host = "shop.example", path = "/", class = ["datacenter"], headers = { user-agent = "Googlebot/2.1" } }
        expect = { action = "block", code = "API.DATACENTER_BLOCKED" }
        [[test]]
        name = "an exit of Tor in a datacenter is one of Tor"
        request = { host = "shop.example", path = "/", class = ["datacenter", "tor"] }
        expect = { action = "block", code = "API.TOR_BLOCKED" }
        [[test]]
        name = "a proxy on a phone is a proxy"
        request = { host = "shop.example", path = "/", class = ["mobile", "proxy"] }
        expect = { action = "challenge", code = "API.PROXY_CHALLENGED" }
        [[test]]
        name = "where the lookup does not answer nobody is refused"
        request = { host = "shop.example", path = "/", headers = { user-agent = "Shop/1.0" } }
        expect = { action = "allow", score_max = 0.0 }
        "#,
    );
}

#[test]
fn a_class_that_is_off_counts_nothing_and_one_that_scores_refuses_nobody_by_itself() {
    check(
        r#"
        [[route]]
        name = "off"
        paths = ["/off"]
        origin = "app"
        filters = { tor = "off", datacenter = "off", abuser = "off" }
        [[route]]
        name = "score"
        paths = ["/score"]
        origin = "app"
        preset = "relaxed"
        filters = { tor = "score", abuser = "score", mobile = "score", satellite = "score", crawler = "score" }
        [[test]]
        name = "what is off is nothing"
        request = { host = "shop.example", path = "/off", class = ["tor", "datacenter", "abuser"], headers = { user-agent = "Shop/1.0" } }
        expect = { action = "allow", score_max = 0.0 }
        [[test]]
        name = "what scores is a reason"
        request = { host = "shop.example", path = "/score", class = ["tor", "abuser"], headers = { user-agent = "Shop/1.0" } }
        expect = { action = "allow", reasons = ["net-tor", "net-abuser"], score_min = 0.39, score_max = 0.39 }
        [[test]]
        name = "so are classes that else are not held against anybody"
        request = { host = "shop.example", path = "/score", class = ["mobile", "satellite", "crawler"], headers = { user-agent = "Shop/1.0" } }
        expect = { action = "allow", reasons = ["net-mobile", "net-satellite", "net-crawler"] }
        [[test]]
        name = "as on this route"
        request = { host = "shop.example", path = "/off", class = ["mobile", "satellite"], headers = { user-agent = "Shop/1.0" } }
        expect = { action = "allow", score_max = 0.0 }
        "#,
    );
}

#[test]
fn a_filter_decides_behind_rules_and_bans_and_before_limits() {
    check(
        r#"
        [[route]]
        name = "shop"
        origin = "app"
        profile = "financial"
        [[route.limit]]
        name = "per address"
        key = ["ip"]
        rate = "10/1m"
        [[rule]]
        name = "partner"
        when = { ip = ["198.51.100.0/24"], class = ["datacenter"] }
        action = "allow"
        [[rule]]
        name = "enemy"
        when = { asn = [64500] }
        action = "challenge"
        [[test]]
        name = "a partner"
        request = { host = "shop.example", path = "/", ip = "198.51.100.7", class = ["datacenter"] }
        expect = { action = "allow", rule = "partner" }
        [[test]]
        name = "a rule"
        request = { host = "shop.example", path = "/", asn = 64500, class = ["datacenter"] }
        expect = { action = "challenge", rule = "enemy" }
        [[test]]
        name = "a ban"
        request = { host = "shop.example", path = "/", class = ["datacenter"] }
        counters = { banned = true }
        expect = { action = "block", code = "API.BANNED" }
        [[test]]
        name = "a limit"
        request = { host = "shop.example", path = "/", class = ["datacenter"] }
        counters = { limits = { "per address" = { count = 11 } } }
        expect = { action = "block", code = "API.DATACENTER_BLOCKED" }
        "#,
    );
}

#[test]
fn crawlers_are_told_apart_by_what_they_come_for() {
    check(
        r#"
        [[route]]
        name = "shop"
        origin = "app"
        profile = "e-commerce"
        [[rule]]
        name = "search engines and previews that prove who they are"
        when = { crawler = ["search", "preview"] }
        action = "allow"
        [[rule]]
        name = "nothing for models"
        when = { crawler = ["ai"] }
        action = "block"
        [[rule]]
        name = "monitors wait"
        when = { crawler = ["monitoring"], class = ["datacenter"] }
        action = "challenge"
        [[test]]
        name = "a search engine from its own network"
        request = { host = "shop.example", path = "/", class = ["crawler", "datacenter"], headers = { user-agent = "Googlebot/2.1" } }
        expect = { action = "allow", rule = "search engines and previews that prove who they are" }
        [[test]]
        name = "one that only says so is not let in"
        request = { host = "shop.example", path = "/", class = ["abuser"], headers = { user-agent = "Googlebot/2.1" } }
        expect = { action = "block", code = "API.ABUSER_BLOCKED" }
        [[test]]
        name = "a model's crawler is refused by its word"
        request = { host = "shop.example", path = "/", headers = { user-agent = "GPTBot/1.2" } }
        expect = { action = "block", rule = "nothing for models" }
        [[test]]
        name = "and by its network"
        request = { host = "shop.example", path = "/", class = ["crawler"], headers = { user-agent = "GPTBot/1.2" } }
        expect = { action = "block", rule = "nothing for models" }
        [[test]]
        name = "a monitor"
        request = { host = "shop.example", path = "/", class = ["datacenter"], headers = { user-agent = "UptimeRobot/2.0" } }
        expect = { action = "challenge", rule = "monitors wait" }
        [[test]]
        name = "another crawler from its own network meets the profile"
        request = { host = "shop.example", path = "/", class = ["crawler"], headers = { user-agent = "AhrefsBot/7.0" } }
        expect = { action = "block", code = "API.CRAWLER_BLOCKED" }
        "#,
    );
}

#[test]
fn tools_are_told_apart_by_what_they_say_they_are() {
    check(
        r#"
        [[route]]
        name = "api"
        origin = "app"
        [[route.rule]]
        name = "curl is fine here"
        when = { client_name = ["curl", "wget"], method = ["GET"] }
        action = "allow"
        [[route.rule]]
        name = "other tools pay"
        when = { claim = ["tool", "library"] }
        action = "challenge"
        [[route.rule]]
        name = "scanners do not come in"
        when = { claim = ["scanner", "absent"] }
        action = "block"
        [[test]]
        name = "a tool by its name"
        request = { host = "shop.example", path = "/", headers = { user-agent = "curl/8.5.0" } }
        expect = { action = "allow", rule = "curl is fine here" }
        [[test]]
        name = "not with another method"
        request = { host = "shop.example", path = "/", method = "POST", headers = { user-agent = "curl/8.5.0" } }
        expect = { action = "challenge", rule = "other tools pay" }
        [[test]]
        name = "a library"
        request = { host = "shop.example", path = "/", headers = { user-agent = "python-requests/2.32.3" } }
        expect = { action = "challenge", rule = "other tools pay" }
        [[test]]
        name = "a scanner"
        request = { host = "shop.example", path = "/", headers = { user-agent = "sqlmap/1.8" } }
        expect = { action = "block", rule = "scanners do not come in" }
        [[test]]
        name = "one that says nothing"
        request = { host = "shop.example", path = "/" }
        expect = { action = "block", rule = "scanners do not come in" }
        [[test]]
        name = "an application is no tool"
        request = { host = "shop.example", path = "/", headers = { user-agent = "MyApp/3.1" } }
        expect = { action = "allow" }
        "#,
    );
}

#[test]
fn who_shares_an_address_is_counted_by_what_tells_them_apart() {
    check(
        r#"
        [[route]]
        name = "api"
        origin = "app"
        sensitivity = "high"
        [[test]]
        name = "one address, ten times the usual"
        request = { host = "shop.example", path = "/", headers = { user-agent = "Shop/1.0" } }
        counters = { address_per_minute = 600, fingerprint_per_minute = 200, named_per_minute = 3 }
        expect = { action = "block", reasons = ["velocity-ip"] }
        [[test]]
        name = "the same of a phone carrier"
        request = { host = "shop.example", path = "/", class = ["mobile"], headers = { user-agent = "Shop/1.0" } }
        counters = { address_per_minute = 600, fingerprint_per_minute = 200, named_per_minute = 3 }
        expect = { action = "allow", score_max = 0.0 }
        [[test]]
        name = "the same between a provider and its customers"
        request = { host = "shop.example", path = "/", ip = "100.64.3.4", headers = { user-agent = "Shop/1.0" } }
        counters = { address_per_minute = 600, fingerprint_per_minute = 200, named_per_minute = 3 }
        expect = { action = "allow", score_max = 0.0 }
        [[test]]
        name = "one of them who asks for all"
        request = { host = "shop.example", path = "/", class = ["mobile"], headers = { user-agent = "Shop/1.0" } }
        counters = { address_per_minute = 600, fingerprint_per_minute = 400, named_per_minute = 300 }
        expect = { action = "block", reasons = ["velocity-ip"] }
        "#,
    );
}

#[test]
fn a_profile_is_part_of_the_meaning() {
    let version = |text: &str| compiled(text).rules.version().to_string();
    let plain = version("[[route]]\nname = \"a\"\norigin = \"app\"\n");
    let with = |line: &str| version(&format!("[[route]]\nname = \"a\"\norigin = \"app\"\n{line}\n"));
    assert_eq!(plain, with("profile = \"consumer\""));
    assert_eq!(plain, with("filters = { vpn = \"score\" }"));
    assert_ne!(plain, with("filters = { vpn = \"off\" }"));
    assert_ne!(plain, with("profile = \"financial\""));
    let block = Action::Block;
    assert!(
        compiled("[defaults]\nprofile = \"financial\"\n")
            .rules
            .routes()
            .iter()
            .all(|route| { route.filters.len() == 6 && route.filters.iter().all(|filter| filter.action == block) })
    );
}
