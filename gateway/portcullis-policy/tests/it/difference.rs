//! What differs between two policies in meaning, and how changed rules come into force.

use std::time::Duration;

use portcullis_policy::Score;
use portcullis_policy::model::Rollout;

use crate::compiled;

const BEFORE: &str = r#"
[defaults]
origin = "app"
[[rule]]
name = "partner"
when = { ip = ["192.0.2.0/24"] }
action = "allow"
[[rule]]
name = "models"
when = { crawler = ["ai"] }
action = "block"
[[route]]
name = "login"
paths = ["/login"]
[[route.limit]]
name = "per address"
key = ["ip"]
rate = "10/1m"
[[route.limit]]
name = "per prefix"
key = ["ip_prefix"]
rate = "90/1m"
[[route.rule]]
name = "old"
when = { method = ["PUT"] }
action = "block"
[[route]]
name = "gone"
paths = ["/gone"]
"#;

#[test]
fn the_difference_between_policies_is_one_of_meaning() {
    let check = |edits: &[(&str, &str)], lines: &[&str]| {
        let text = edits.iter().fold(BEFORE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let difference = compiled(BEFORE).rules.difference(&compiled(&text).rules);
        assert_eq!(difference, lines, "{edits:?}");
    };
    check(&[], &[]);
    check(&[("[[rule]]", "# nothing\n[[rule]]"), ("rate = \"10/1m\"", "rate   =   '10/60s'")], &[]);
    check(
        &[("paths = [\"/login\"]", "paths = [\"/login\"]\npreset = \"strict\"\nthresholds = { block = \"off\" }")],
        &[
            "route `login`: posture.elevated throttle 0.270, challenge 0.315, block 0.540, ban 0.970 -> throttle 0.135, challenge 0.180, ban 0.970",
            "route `login`: posture.under_attack throttle 0.210, challenge 0.245, block 0.420, ban 0.970 -> throttle 0.105, challenge 0.140, ban 0.970",
            "route `login`: puzzle.count 80 -> 120",
            "route `login`: puzzle.difficulty_bits 16 -> 20",
            "route `login`: thresholds.block 0.600 -> off",
            "route `login`: thresholds.challenge 0.350 -> 0.200",
            "route `login`: thresholds.throttle 0.300 -> 0.150",
        ],
    );
    check(
        &[
            ("rate = \"10/1m\"", "rate = \"20/1m\""),
            ("name = \"per prefix\"", "name = \"per network\""),
            ("paths = [\"/gone\"]", "paths = [\"/here\"]"),
        ],
        &[
            "route `gone`: it takes other requests",
            "route `login`: limit `per address` changed",
            "route `login`: limit `per network` added",
            "route `login`: limit `per prefix` removed",
        ],
    );
    check(
        &[
            ("name = \"gone\"", "name = \"new\""),
            (
                "\"old\"\nwhen = { method = [\"PUT\"] }\naction = \"block\"",
                "\"old\"\nwhen = { method = [\"PUT\"] }\naction = \"challenge\"\nmode = \"monitor\"",
            ),
            ("crawler = [\"ai\"]", "crawler = [\"ai\", \"search\"]"),
            ("name = \"partner\"", "name = \"partners\""),
        ],
        &[
            "route `gone` removed",
            "route `new` added",
            "rule `models` changed: its conditions",
            "rule `old` of route `login` changed: block -> challenge, enforce -> monitor",
            "rule `partner` removed",
            "rule `partners` added",
        ],
    );
    let swapped =
        BEFORE.replacen("name = \"partner\"\nwhen = { ip = [\"192.0.2.0/24\"] }\naction = \"allow\"", "SLOT", 1);
    let swapped = swapped.replacen(
        "name = \"models\"\nwhen = { crawler = [\"ai\"] }\naction = \"block\"",
        "name = \"partner\"\nwhen = { ip = [\"192.0.2.0/24\"] }\naction = \"allow\"",
        1,
    );
    let swapped = swapped.replacen("SLOT", "name = \"models\"\nwhen = { crawler = [\"ai\"] }\naction = \"block\"", 1);
    assert_eq!(compiled(BEFORE).rules.difference(&compiled(&swapped).rules), ["rules stand in another order"]);
}

#[test]
fn rules_say_how_they_come_into_force() {
    assert_eq!(compiled(BEFORE).rollout, Rollout::default());
    let text = "[rollout]\nshare = 0.1\ntrial = \"5m\"\nmax_refused = 0.25\nmin_requests = 50\n";
    let one = compiled(&format!("{BEFORE}{text}"));
    let expected = Rollout {
        share: Score::thousandths(100),
        trial: Duration::from_secs(300),
        max_refused: Score::thousandths(250),
        min_requests: 50,
    };
    assert_eq!(one.rollout, expected);
    assert_eq!(one.rules.version(), compiled(BEFORE).rules.version(), "how rules begin is no part of what they mean");
}
