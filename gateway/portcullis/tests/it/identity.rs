//! Own signals: what the operator's own systems say of a caller, and what a client may not say of itself.

use std::fs;
use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use portcullis_testkit::{Answer, TestCertificate};
use serde_json::json;

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
    let records = rig.audit(5);
    let record = records.iter().find(|record| record["action"] == "block").unwrap();
    assert_eq!((&record["rule"], &record["cause"]), (&"new account".into(), &"machine".into()), "{record}");
}

const TIERS: &str = r#"
[[route.rule]]
name = "many orders of a new tier"
expr = 'has(identity.tier) && identity.tier == "new" && identity.orders > 10'
action = "block"
"#;

#[test]
fn a_claim_is_taken_from_a_token_that_the_key_of_the_settings_verifies_and_from_no_other() {
    let [login, stranger] = [(), ()].map(|()| TestCertificate::for_names(&["login.shop.example"]));
    let key_file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("login-{}.pem", std::process::id()));
    fs::write(&key_file, login.certificate_pem()).unwrap();
    let settings = format!(
        "[identity.token]\npublic_key_file = \"{}\"\nalgorithm = \"ES256\"\nissuer = \"login\"\naudience = \"shop\"\n\
         claims = {{ tier = \"tier\", orders = \"/shop/orders\" }}\n",
        key_file.display()
    );
    let rig = Rig::start_with(&format!("{OPEN}{TIERS}"), &settings, |_| Answer::ok("hello"));
    let token = |key: &str, audience: &str, tier: &str, orders: u32| {
        let key = EncodingKey::from_ec_pem(key.as_bytes()).unwrap();
        let claims = json!({
            "exp": 4_000_000_000_u64, "iss": "login", "aud": audience, "tier": tier, "shop": { "orders": orders },
        });
        format!("Bearer {}", encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap())
    };
    let (own, other) = (login.key_pem(), stranger.key_pem());
    for (what, bearer, status) in [
        ("many orders", token(own, "shop", "new", 12), 403),
        ("few orders", token(own, "shop", "new", 2), 200),
        ("an old tier", token(own, "shop", "gold", 12), 200),
        ("signed by a stranger", token(other, "shop", "new", 12), 200),
        ("for another audience", token(own, "bank", "new", 12), 200),
        ("no token", "nonsense".to_owned(), 200),
    ] {
        let headers: Vec<_> = CHROMIUM.iter().copied().chain([("authorization", &*bearer)]).collect();
        assert_eq!(rig.client().get("/", &headers).unwrap().status, status, "{what}");
    }
    let records = rig.audit(6);
    let refused: Vec<_> = records.iter().filter(|record| record["action"] == "block").collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["rule"], "many orders of a new tier", "{}", refused[0]);
    let text = records.iter().map(ToString::to_string).collect::<String>();
    assert!(!text.contains("gold"), "no value of a claim is recorded");
    drop(fs::remove_file(key_file));
}
