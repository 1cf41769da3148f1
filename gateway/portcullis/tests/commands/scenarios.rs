//! Attacks and honest traffic, played against the shipped rules by `portcullis simulate`.
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::Value;

use super::{Folder, Ran, repository, run};

fn simulate(file: &str, format: &str) -> Ran {
    let of = |path: &str| repository().join(path).display().to_string();
    run(&["simulate", &of(&format!("examples/scenarios/{file}.toml")), "--rules", &of("rules"), "--format", format])
}

/// Plays a scenario. All that it expects comes about, but for the clients in `missed`: with each the share of its
/// requests that is challenged or worse today. A figure that got better is to be written down here, or taken away.
#[track_caller]
fn check(file: &str, missed: &[(&str, f64)]) {
    let ran = simulate(file, "json");
    ran.expect(i32::from(!missed.is_empty()));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["holds"], missed.is_empty(), "{report}");
    let clients = report["clients"].as_array().unwrap();
    told(file, clients);
    for (name, _) in missed {
        assert!(clients.iter().any(|kind| kind["clients"] == *name), "no {name} in {report}");
    }
    for kind in clients {
        let share = kind["share"].as_f64().unwrap();
        match missed.iter().find(|(name, _)| kind["clients"] == *name) {
            Some((name, known)) => {
                assert_eq!(kind["holds"], false, "{name} is no longer missed: {kind}");
                assert!((share - known).abs() <= 0.02, "{name} is at {share}, and was at {known}: {kind}");
            }
            None => assert_eq!(kind["holds"], true, "missed: {kind}"),
        }
    }
}

/// The README says of each kind of client, but those of the background, what comes out: to two in a hundred of attackers, and
/// to one in a thousand of honest ones.
#[track_caller]
fn told(file: &str, clients: &[Value]) {
    let readme = std::fs::read_to_string(repository().join("examples/scenarios/README.md")).unwrap();
    for kind in clients {
        let name = kind["clients"].as_str().unwrap();
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{file}` | {name} |")));
        if matches!(name, "shoppers" | "people with the app") {
            assert_eq!(kind["stopped"], 0, "the README says that no request of the background is challenged: {kind}");
            continue;
        }
        assert!(row.is_some(), "the README has no row of {name} in {file}");
        let cell = row.unwrap().split('|').nth(4).unwrap().trim().trim_end_matches(" %");
        let known: f64 = cell.parse().unwrap();
        let within = if kind["honest"] == true { 0.1 } else { 2.0 };
        let share = kind["share"].as_f64().unwrap() * 100.0;
        assert!((share - known).abs() <= within, "the README says {known} % of {name} in {file}: {kind}");
    }
}

/// One test for each scenario: its name, its file, and what is known to be missed.
macro_rules! scenarios {
    ($($test:ident, $file:literal, [$($missed:expr),*];)*) => {
        $(#[test]
        fn $test() {
            check($file, &[$($missed),*]);
        })*

        #[test]
        fn every_scenario_is_played() {
            let folder = repository().join("examples/scenarios");
            let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.retain(|path| path.extension().is_some_and(|kind| kind == "toml"));
            let mut names: Vec<_> = files.iter().map(|path| path.file_stem().unwrap().display().to_string()).collect();
            names.retain(|name| !name.starts_with("background"));
            names.sort();
            let mut played = vec![$($file),*];
            played.sort_unstable();
            assert_eq!(names, played);
        }
    };
}

scenarios! {
    stuffing_from_one_address_is_stopped, "stuffing-one-address", [];
    stuffing_from_many_addresses_with_one_stack_is_stopped, "stuffing-one-stack", [];
    stuffing_from_many_addresses_with_many_stacks_is_stopped, "stuffing-many-stacks", [];
    password_spraying_is_stopped, "password-spraying", [];
    low_and_slow_guessing_is_stopped, "low-and-slow", [];
    card_testing_is_stopped, "card-testing", [];
    a_sign_up_farm_is_stopped, "sign-up-farm", [];
    price_scraping_is_stopped, "price-scraping", [];
    a_storm_of_token_refreshes_is_stopped, "token-refresh-storm", [];
    a_stolen_api_key_is_stopped_and_its_owner_is_not, "stolen-api-key", [];
    sms_pumping_is_stopped, "sms-pumping", [];
    a_sign_up_farm_of_many_looks_is_stopped, "sign-up-farm-many-looks", [];
    price_scraping_with_many_looks_is_stopped, "price-scraping-many-looks", [];
    inventory_hoarding_with_many_looks_is_stopped, "inventory-hoarding-many-looks", [];
    sms_pumping_with_many_looks_is_stopped, "sms-pumping-many-looks", [];
    inventory_hoarding_is_stopped, "inventory-hoarding", [];
    an_office_behind_one_address_is_let_in, "office", [];
    phones_behind_a_carrier_are_let_in, "mobile-cgnat", [];
    a_flash_sale_is_let_in, "flash-sale", [];
    a_new_version_of_an_app_is_let_in, "new-app-version", [];
    the_nightly_batch_of_a_partner_is_let_in, "partner-batch", [];
    people_who_forgot_a_password_are_let_in, "forgotten-password", [];
    a_monitoring_probe_is_let_in, "monitoring-probe", [];
    readers_of_feeds_are_let_in, "rss-reader", [];
}

#[test]
fn a_scenario_comes_out_the_same_every_time_and_says_so_to_people() {
    let [once, again] = [simulate("forgotten-password", "text"), simulate("forgotten-password", "text")];
    once.expect(0).says(&["people who forgot a password", "honest  shoppers", "0 %, at most 0.1 %"]);
    assert_eq!(once.stdout, again.stdout);
    let folder = Folder::with("missed", &[("stacks.jsonl", STACKS), ("missed.toml", MISSED)]);
    let rules = repository().join("rules").display().to_string();
    run(&["simulate", &folder.path("missed.toml"), "--rules", &rules])
        .expect(1)
        .says(&["100 %, at most 0.1 %: MISSED", "from request 1 on, for client-unexpected"]);
}

/// Programs on a route for people, said to be honest.
const MISSED: &str = r#"
name     = "programs where people are expected"
lasts    = "10m"
captures = "stacks.jsonl"

[[network]]
name = "home"
asn  = 64496

[[clients]]
name     = "programs"
honest   = true
count    = 2
networks = ["home"]
stacks   = ["go"]
pace     = "1/1m"

[[clients.request]]
as   = "page"
path = "/"
"#;

const STACKS: &str = include_str!("../../../../examples/scenarios/stacks.jsonl");

#[test]
fn every_fault_of_a_scenario_is_told_with_its_place() {
    let text = r#"
name  = "faulty"
lasts = "soon"

[[network]]
name = "home"
asn  = 64496
class = ["dialup"]

[[stack]]
name = "app"
like = "nothing"

[[clients]]
name     = "people"
honest   = true
count    = 0
networks = ["elsewhere"]
stacks   = ["app"]
pace     = "often"

[[clients.request]]
as   = "page"
path = "/{place}"
"#;
    let folder = Folder::with("scenario", &[("faulty.toml", text), ("unknown.toml", "name = \"x\"\nsped = 1\n")]);
    run(&["simulate", &folder.path("faulty.toml")]).expect(1).says(&[
        "faulty.toml:3:9",
        "a length of time such as `90s`",
        "one of `tor`",
        "there is no stack `nothing`",
        "a number from 1 to",
        "there is no network `elsewhere`",
        "there is no stack `app`",
    ]);
    run(&["simulate", &folder.path("unknown.toml")]).expect(1).says(&["unknown.toml:2:1", "unknown field `sped`"]);
    run(&["simulate", &folder.path("missing.toml")]).expect(1).says(&["cannot read", "missing.toml"]);
}
