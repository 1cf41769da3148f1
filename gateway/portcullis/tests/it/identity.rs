//! Own signals: what the operator's own systems say of a caller, and what a client may not say of itself.

use portcullis_testkit::Answer;

use crate::rig::Rig;
use crate::{CHROMIUM, OPEN};

const RULE: &str = r#"
[[route.rule]]
name = "new account"
expr = 'has(identity.account_age_days) && identity.account_age_days < 7'
action = "block"
"#;

#[test]
fn an_own_signal_is_taken_from_whom_the_settings_name_and_from_nobody_else() {
    let settings =
        "[identity]\nheaders_from = [\"127.0.0.60\"]\nheaders = { account_age_days = \"x-account-age-days\" }\n";
    let rig = Rig::start_with(&format!("{OPEN}{RULE}"), settings, |_| Answer::ok("hello"));
    for (last, days, status) in [(60, "3", 403), (60, "30", 200), (60, "", 200), (61, "3", 200), (61, "-1", 200)] {
        let headers: Vec<_> = CHROMIUM.iter().copied().chain([("x-account-age-days", days)]).collect();
        assert_eq!(rig.client_from(last).get("/", &headers).unwrap().status, status, "{last} {days}");
    }
    let record = &rig.audit(5)[0];
    assert_eq!((&record["rule"], &record["cause"]), (&"new account".into(), &"machine".into()), "{record}");
}
