//! What a client keeps secret is nowhere to be read: not in the audit, a log, a metric or an answer.

use crate::OPEN;
use crate::rig::Rig;

#[test]
fn no_secret_of_a_request_is_kept() {
    let rules = format!(
        "{OPEN}identify = {{ api_key = \"header:x-api-key\", session = \"cookie:sid\", user = \"query:user\" }}
[[route.limit]]
name = \"per key\"
key = [\"api_key\", \"session\", \"user\"]
rate = \"2/1h\"
over = \"throttle\"
[[route.rule]]
name = \"a header\"
when = {{ header = {{ x-token = \"SEEDED-*\" }} }}
action = \"block\"
"
    );
    let rig = Rig::start(&rules);
    let secrets =
        ["SEEDED-authorization", "SEEDED-cookie", "SEEDED-apikey", "SEEDED-password", "SEEDED-token", "SEEDED-query"];
    let headers = [
        ("user-agent", "curl/8.5.0"),
        ("authorization", "Bearer SEEDED-authorization"),
        ("proxy-authorization", "Basic SEEDED-authorization"),
        ("cookie", "sid=SEEDED-cookie; portcullis=SEEDED-cookie"),
        ("x-api-key", "SEEDED-apikey"),
    ];
    let mut answers = Vec::new();
    for n in 0..4 {
        let mut headers = headers.to_vec();
        if n == 3 {
            headers.push(("x-token", "SEEDED-token"));
        }
        let path = "/login?user=SEEDED-query&password=SEEDED-query";
        let answer =
            rig.client().connect().unwrap().request("POST", path, &headers, b"password=SEEDED-password").unwrap();
        answers.push(String::from_utf8_lossy(&answer.head).into_owned() + &answer.text());
    }
    rig.audit(4);
    let audit = std::fs::read_to_string(rig.folder.join("audit.jsonl")).unwrap();
    let metrics = format!("{:?}", rig.metrics().samples());
    let logs = rig.gateway.stdout() + &rig.gateway.stderr();
    for (place, text) in [("audit", &audit), ("metrics", &metrics), ("logs", &logs), ("answers", &answers.concat())] {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in the {place}");
        }
    }
    assert!(audit.contains("\"path\":\"/login\""), "the path is there without its query");
}
