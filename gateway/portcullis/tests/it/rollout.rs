//! Changed rules on trial: for a share of clients first, and taken back where they refuse too much.

use std::time::Duration;

use portcullis_testkit::wait_until;

use crate::rig::Rig;
use crate::{CHROMIUM, OPEN, versions_of};

fn blocking(rollout: &str) -> String {
    format!("{OPEN}\n{rollout}\n[[route.rule]]\nname = \"gone\"\nwhen = {{ path = [\"/gone\"] }}\naction = \"block\"\n")
        .replace("\n[[route.rule]]", "\n")
        .replace("name = \"gone\"", "[[rule]]\nname = \"gone\"")
}

fn status(rig: &Rig, last: u8) -> u16 {
    rig.client_from(last).get("/gone", CHROMIUM).unwrap().status
}

#[test]
fn a_share_of_clients_comes_first_and_then_all() {
    let rig = Rig::start(OPEN);
    let trial = "[rollout]\nshare = 0.5\ntrial = \"6s\"\n";
    rig.reload_rules(&blocking(trial), "trial");
    let first: Vec<u16> = (2..=60).map(|last| status(&rig, last)).collect();
    let refused = first.iter().filter(|status| **status == 403).count();
    assert!((10..50).contains(&refused), "{refused} of {} are judged by the new rules", first.len());
    let metrics = rig.metrics();
    let (old, new) =
        (versions_of(&metrics, "portcullis_policy_info"), versions_of(&metrics, "portcullis_policy_trial_info"));
    assert!(old.len() == 1 && new.len() == 1 && old != new, "{old:?} {new:?}");
    for record in rig.audit(first.len()) {
        let version = if record["action"] == "block" { &new } else { &old };
        assert_eq!(record["policy"], version[0], "{record}");
    }
    if rig.reloads("applied") == 0.0 {
        let again: Vec<u16> = (2..=60).map(|last| status(&rig, last)).collect();
        assert!(again == first || rig.reloads("applied") > 0.0, "who is judged by them stays so");
    }
    wait_until("the end of the trial", Duration::from_secs(30), || rig.reloads("applied") > 0.0);
    assert!((2..=60).all(|last| status(&rig, last) == 403));
    assert!(versions_of(&rig.metrics(), "portcullis_policy_trial_info").is_empty());
}

#[test]
fn rules_that_refuse_too_much_are_taken_back_and_stay_so_until_others_are_written() {
    let rig = Rig::start(OPEN);
    let bounds = "[rollout]\ntrial = \"1h\"\nmax_refused = 0.3\nmin_requests = 20\n";
    let rules = blocking(bounds);
    rig.reload_rules(&rules, "applied");
    for last in 2..=15 {
        assert_eq!(status(&rig, last), 403);
    }
    assert_eq!(rig.reloads("taken_back"), 0.0, "too few to know");
    for last in 16..=30 {
        status(&rig, last);
    }
    wait_until("the return", Duration::from_secs(30), || rig.reloads("taken_back") > 0.0);
    assert_eq!(status(&rig, 31), 200);
    let log = rig.gateway.stderr();
    assert!(log.contains("the rules were taken back"), "{log}");
    rig.reload_rules(&format!("{rules}\n# a comment\n"), "refused");
    assert_eq!(status(&rig, 32), 200, "the same rules are not tried again");
    rig.reload_rules(
        &rules.replace("max_refused = 0.3", "max_refused = 0.9").replace("\"gone\"", "\"away\""),
        "applied",
    );
    assert_eq!(status(&rig, 33), 403);
}

#[test]
fn who_floods_what_new_rules_rightly_refuse_does_not_get_them_taken_back() {
    let rig = Rig::start(OPEN);
    rig.reload_rules(&blocking("[rollout]\ntrial = \"5s\"\nmax_refused = 0.3\nmin_requests = 20\n"), "applied");
    for last in 2..=12 {
        rig.client_from(last).get("/fine", CHROMIUM).unwrap();
    }
    let flood = rig.client_from(77);
    for _ in 0..100 {
        assert_eq!(flood.get("/gone", CHROMIUM).unwrap().status, 403);
    }
    let is_over = || rig.gateway.stderr().contains("the trial of the rules in force is over");
    wait_until("the end of the trial", Duration::from_secs(30), || is_over() || rig.reloads("taken_back") > 0.0);
    assert_eq!(rig.reloads("taken_back"), 0.0);
    assert_eq!(status(&rig, 78), 403);
}

#[test]
fn other_bounds_for_the_same_rules_are_taken_over() {
    let rig = Rig::start(OPEN);
    let first = blocking("[rollout]\nshare = 0.001\ntrial = \"1h\"\n");
    rig.reload_rules(&first, "trial");
    rig.reload_rules(&blocking(""), "applied");
    assert_eq!(status(&rig, 2), 403, "the trial was ended for good");

    let bounds = "[rollout]\ntrial = \"1h\"\nmax_refused = 0.3\nmin_requests = 20\n";
    rig.reload_rules(OPEN, "applied");
    rig.reload_rules(&blocking(bounds), "applied");
    for last in 2..=40 {
        status(&rig, last);
    }
    wait_until("the return", Duration::from_secs(30), || rig.reloads("taken_back") > 0.0);
    rig.reload_rules(&blocking(bounds), "refused");
    rig.reload_rules(&blocking(""), "applied");
    assert_eq!(status(&rig, 41), 403, "whoever takes the bounds out means to have the rules");
}

#[test]
fn a_list_that_is_renewed_brings_no_rules_back_that_were_taken_back() {
    let rig = Rig::start(OPEN);
    let list = |lines: &str| {
        std::fs::create_dir_all(rig.folder.join("rules/lists")).unwrap();
        std::fs::write(rig.folder.join("rules/lists/bad.txt"), lines).unwrap();
    };
    list("203.0.113.1\n");
    let bounds = "[rollout]\ntrial = \"1h\"\nmax_refused = 0.3\nmin_requests = 20\n";
    let rules = blocking(bounds) + "[[rule]]\nname = \"listed\"\nwhen = { ip = [\"@bad\"] }\naction = \"block\"\n";
    rig.reload_rules(&rules, "applied");
    for last in 2..=40 {
        status(&rig, last);
    }
    wait_until("the return", Duration::from_secs(30), || rig.reloads("taken_back") > 0.0);
    let before = rig.reloads("refused");
    list("203.0.113.1\n203.0.113.2\n");
    wait_until("a look at the list", Duration::from_secs(20), || rig.reloads("refused") > before);
    assert_eq!(status(&rig, 41), 200);
}

#[test]
fn a_file_that_lost_its_text_takes_no_route_away() {
    let rig = Rig::start(OPEN);
    rig.reload_rules(&blocking(""), "applied");
    rig.reload_rules("", "refused");
    assert_eq!(status(&rig, 2), 403);
    assert!(rig.gateway.stderr().contains("a file is empty that was not"));
}
