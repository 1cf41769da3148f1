//! Rules that change while requests are served.

use std::collections::HashMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portcullis_testkit::wait_until;

use crate::rig::Rig;
use crate::{CHROMIUM, OPEN, StopOnDrop, versions_of};

#[test]
fn an_edit_under_load_changes_verdicts_without_one_failed_request() {
    let open = unworried();
    let rig = Rig::start(&open);
    let blocking =
        format!("{open}\n[[route.rule]]\nname = \"gone\"\nwhen = {{ path = [\"/gone\"] }}\naction = \"block\"\n");
    let stop = AtomicBool::new(false);
    let served = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|n| {
                let (rig, stop, served) = (&rig, &stop, &served);
                scope.spawn(move || {
                    let mut connection = rig.client_from(20 + n).connect().unwrap();
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match connection.get("/stays", CHROMIUM) {
                            Ok(answer) if answer.status == 200 => {
                                served.fetch_add(1, Ordering::Relaxed);
                            }
                            other => failed.push(other.map(|answer| answer.status).map_err(|error| error.to_string())),
                        }
                    }
                    failed
                })
            })
            .collect();
        assert_eq!(rig.client().get("/gone", CHROMIUM).unwrap().status, 200);
        let _stop_in_any_case = StopOnDrop(&stop);
        rig.reload_rules(&blocking, "applied");
        assert_eq!(rig.client().get("/gone", CHROMIUM).unwrap().status, 403);
        rig.reload_rules("[[route]\nname = broken", "refused");
        assert_eq!(rig.client().get("/gone", CHROMIUM).unwrap().status, 403, "a broken file changes nothing");
        rig.reload_rules(&open, "applied");
        assert_eq!(rig.client().get("/gone", CHROMIUM).unwrap().status, 200);
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            let failed = worker.join().unwrap();
            assert!(failed.is_empty(), "{failed:?}");
        }
    });
    assert!(served.load(Ordering::Relaxed) > 100);
    let log = rig.gateway.stderr();
    assert!(log.contains("rules.toml:1"), "the log says where the fault is: {log}");
    let metrics = rig.metrics();
    assert_eq!(metrics.value("portcullis_config_last_reload_successful", &[("what", "rules")]), Some(1.0));
}

#[test]
fn a_list_beside_rules_that_are_one_file_reloads_by_itself() {
    let mut rig = Rig::start(OPEN);
    rig.restart(|folder| {
        let lists = folder.join("rules/lists");
        fs::create_dir(&lists).unwrap();
        fs::write(lists.join("gone.txt"), "192.0.2.1\n").unwrap();
        let rule = "\n[[rule]]\nname = \"gone\"\nwhen = { ip = [\"@gone\"] }\naction = \"block\"\n";
        fs::write(folder.join("rules/rules.toml"), format!("{OPEN}{rule}")).unwrap();
        let settings = folder.join("portcullis.toml");
        let text = fs::read_to_string(&settings).unwrap();
        fs::write(&settings, text.replace("rules = \"rules\"", "rules = \"rules/rules.toml\"")).unwrap();
    });
    assert_eq!(rig.client().get("/", CHROMIUM).unwrap().status, 200);
    fs::write(rig.folder.join("rules/lists/gone.txt"), "127.0.0.1\n").unwrap();
    wait_until("the list", Duration::from_secs(20), || rig.reloads("applied") > 0.0);
    assert_eq!(rig.client().get("/", CHROMIUM).unwrap().status, 403);
}

#[test]
fn counts_survive_a_reload() {
    let limited =
        format!("{OPEN}\n[[route.limit]]\nname = \"l\"\nkey = [\"ip\"]\nrate = \"2/1h\"\nover = \"throttle\"\n");
    let rig = Rig::start(&limited);
    for _ in 0..3 {
        rig.client().get("/", CHROMIUM).unwrap();
    }
    rig.reload_rules(
        &format!("{limited}\n[[route.rule]]\nname = \"r\"\nwhen = {{ path = [\"/r\"] }}\naction = \"block\"\n"),
        "applied",
    );
    assert_eq!(rig.client().get("/", CHROMIUM).unwrap().status, 429);
}

/// Rules that refuse nobody for asking often, as the load of a test does where the machine is quick.
fn unworried() -> String {
    format!("{OPEN}thresholds = {{ throttle = \"off\", challenge = \"off\", block = \"off\", ban = \"off\" }}\n")
}

/// The same that leave their number in every record, by a rule in monitor.
fn numbered(number: u32) -> String {
    format!(
        "{}\n\
         [[route.rule]]\nname = \"v{number}\"\nwhen = {{ ip = [\"127.0.0.0/8\"] }}\naction = \"block\"\nmode = \"monitor\"\n",
        unworried()
    )
}

#[test]
fn ten_edits_under_load_three_of_them_broken_fail_no_request_and_every_record_tells_its_version() {
    let rig = Rig::start(&numbered(0));
    let stop = AtomicBool::new(false);
    let served = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let mut versions = HashMap::new();
    let version = |rig: &Rig| {
        let metrics = rig.metrics();
        let known = versions_of(&metrics, "portcullis_policy_info");
        assert_eq!(known.len(), 1, "one policy is in force: {known:?}");
        known[0].clone()
    };
    versions.insert(version(&rig), 0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|n| {
                let (rig, stop, served, failed) = (&rig, &stop, &served, &failed);
                scope.spawn(move || {
                    let mut connection = rig.client_from(30 + n).connect().unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        match connection.get("/a", CHROMIUM) {
                            Ok(answer) if answer.status == 200 => drop(served.fetch_add(1, Ordering::Relaxed)),
                            other => return failed.lock().unwrap().push(format!("{other:?}")),
                        }
                    }
                })
            })
            .collect();
        let _stop_in_any_case = StopOnDrop(&stop);
        let mut good = 0;
        for edit in 1..=10 {
            match edit {
                3 => rig.reload_rules("[[route]\nname = broken", "refused"),
                6 => rig.reload_rules(&numbered(edit).replace("\"block\"", "\"blok\""), "refused"),
                9 => rig.reload_rules(&numbered(edit).replace("origin = \"app\"", "origin = \"nowhere\""), "refused"),
                _ => {
                    rig.reload_rules(&numbered(edit), "applied");
                    versions.insert(version(&rig), edit);
                    good = edit;
                }
            }
            // Something is served by each, whatever the machine does meanwhile.
            let before = served.load(Ordering::Relaxed);
            wait_until("requests under load", Duration::from_secs(20), || {
                served.load(Ordering::Relaxed) >= before + 20 || !failed.lock().unwrap().is_empty()
            });
            assert_eq!(*failed.lock().unwrap(), Vec::<String>::new(), "at edit {edit}");
            assert_eq!(versions.get(&version(&rig)), Some(&good), "a broken edit changes nothing");
        }
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    assert_eq!(*failed.lock().unwrap(), Vec::<String>::new());
    assert_eq!(versions.len(), 8, "each good edit has a version of its own");
    let all = usize::try_from(served.load(Ordering::Relaxed)).unwrap();
    let records = rig.audit(all);
    assert_eq!(records.len(), all, "every request is recorded once");
    let mut seen = HashMap::<u32, u32>::new();
    for record in &records {
        let number = versions[record["policy"].as_str().unwrap()];
        assert_eq!(record["shadow"][0]["name"], format!("v{number}"), "judged by the version that it names: {record}");
        *seen.entry(number).or_default() += 1;
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
    let log = rig.gateway.stderr();
    assert!(log.contains("rule `v0` of route `all` removed; rule `v1` of route `all` added"), "{log}");
}

#[test]
fn a_list_reloads_by_itself_even_beside_rules_that_are_half_edited() {
    let rig = Rig::start(OPEN);
    let rules = format!("{OPEN}\n[[route.rule]]\nname = \"bad\"\nwhen = {{ ip = [\"@bad\"] }}\naction = \"block\"\n");
    let list = |text: &str| {
        let folder = rig.folder.join("rules/lists");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(".new"), text).unwrap();
        fs::rename(folder.join(".new"), folder.join("bad.txt")).unwrap();
    };
    let reloads = |what: &str, result: &str| {
        let labels = [("what", what), ("result", result)];
        rig.metrics().value("portcullis_config_reloads_total", &labels).unwrap_or(0.0)
    };
    let status = |last: u8| rig.client_from(last).get("/", CHROMIUM).unwrap().status;
    list("127.0.0.40\n");
    // Lists that nothing names change nothing.
    rig.reload_rules(&rules, "applied");
    assert_eq!((status(40), status(41)), (403, 200));

    let before = reloads("rules", "applied");
    list("127.0.0.41\n");
    wait_until("the list", Duration::from_secs(20), || reloads("rules", "applied") > before);
    assert_eq!((status(40), status(41)), (200, 403));

    let before = reloads("rules", "refused");
    list("127.0.0.42\nnonsense\n");
    wait_until("the list", Duration::from_secs(20), || reloads("rules", "refused") > before);
    assert_eq!((status(41), status(42)), (403, 200), "a list with a bad line changes nothing");

    rig.reload_rules(&rules.replace("[[route]]", "[[route]"), "refused");
    list("127.0.0.42\n");
    wait_until("the list", Duration::from_secs(20), || reloads("lists", "applied") > 0.0);
    assert_eq!((status(41), status(42)), (200, 403));
}
