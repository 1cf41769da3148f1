//! Rules that change while requests are served.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::rig::Rig;
use crate::{CHROMIUM, OPEN, StopOnDrop};

#[test]
fn an_edit_under_load_changes_verdicts_without_one_failed_request() {
    let rig = Rig::start(OPEN);
    let blocking =
        format!("{OPEN}\n[[route.rule]]\nname = \"gone\"\nwhen = {{ path = [\"/gone\"] }}\naction = \"block\"\n");
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
                            other => failed.push(format!("{other:?}")),
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
        rig.reload_rules(OPEN, "applied");
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
