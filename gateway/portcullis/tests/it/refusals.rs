//! What a refused client is told by the running gateway, in its language and in the operator's words.

use std::fs;
use std::time::Duration;

use portcullis_testkit::wait_until;

use crate::rig::Rig;

const RULES: &str = r#"
[defaults]
origin = "app"
clients = "mixed"

[defaults.refusal]
contact = "help@shop.example"
[defaults.refusal.texts.en]
title = "Not let through"
text = "This was refused."
[defaults.refusal.texts.de]
title = "Nicht durchgelassen"
text = "Abgelehnt & <gesperrt>."
codes = { "API.LIMIT_EXCEEDED" = { title = "Zu viel", text = "Bitte warten." }, "API.RULE_STEP_UP" = "Bitte neu anmelden.", "API.RULE_BANNED" = "Gesperrt." }
[defaults.refusal.texts.ar]
title = "مرفوض"
text = "رُفض هذا الطلب."

[[route]]
name = "all"

[[route]]
name = "shop"
paths = ["/shop/{*rest}"]

[[route]]
name = "few"
paths = ["/few"]
[[route.limit]]
name = "l"
key = ["ip"]
rate = "1/1h"

[[rule]]
name = "blocked"
when = { path = ["*/blocked"] }
action = "block"
[[rule]]
name = "signed in"
when = { path = ["*/secret"] }
action = "step_up"
[[rule]]
name = "banned"
when = { path = ["*/banned"] }
action = "ban"
"#;

const PAGE: &str = "<!doctype html><html lang=\"{language}\" dir=\"{direction}\"><style>p{color:red}</style>\
    <h1>{title}</h1><p>{text}</p><p>{contact}</p><p>own {code} {reference}</p></html>\n";

fn browser(language: &str) -> Vec<(&str, &str)> {
    let others = crate::CHROMIUM.iter().copied().filter(|(name, _)| *name != "accept-language");
    others.chain([("accept-language", language)]).collect()
}

fn program(language: &str) -> Vec<(&str, &str)> {
    vec![("user-agent", "Shop/1.0"), ("accept", "application/json"), ("accept-language", language)]
}

#[test]
fn a_refusal_speaks_the_language_of_the_client_in_the_words_of_the_operator() {
    let rig = Rig::start(RULES);
    let client = rig.client();
    let page = client.get("/blocked", &browser("de-AT,en;q=0.5")).unwrap();
    assert_eq!(page.status, 403);
    assert_eq!(page.header("content-language"), Some("de"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    let id = page.header("portcullis-request-id").unwrap().to_owned();
    let text = page.text();
    for part in [
        "<html lang=\"de\" dir=\"ltr\">",
        "<h1>Nicht durchgelassen</h1>",
        "<p>Abgelehnt &amp; &lt;gesperrt&gt;.</p>",
        "Kontakt: help@shop.example",
        "Referenz:",
        "API.RULE_BLOCKED",
        &id,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let arabic = client.get("/blocked", &browser("ar")).unwrap();
    assert!(arabic.text().contains("<html lang=\"ar\" dir=\"rtl\">") && arabic.text().contains("مرفوض"));
    let other = client.get("/blocked?q=%3Cscript%3Ealert(1)", &browser("tlh")).unwrap();
    assert_eq!(other.header("content-language"), Some("en"));
    assert!(other.text().contains("Not let through") && !other.text().contains("alert"), "nothing is reflected");
}

#[test]
fn each_kind_of_refusal_tells_a_program_the_same_in_its_own_fields() {
    let rig = Rig::start(RULES);
    let told = |last: u8, path: &str| rig.client_from(last).get(path, &program("de")).unwrap();
    told(60, "/few");
    for (last, path, status, title, detail, code) in [
        (61, "/blocked", 403, "Nicht durchgelassen", "Abgelehnt & <gesperrt>.", "API.RULE_BLOCKED"),
        (60, "/few", 429, "Zu viel", "Bitte warten.", "API.LIMIT_EXCEEDED"),
        (61, "/secret", 401, "Nicht durchgelassen", "Bitte neu anmelden.", "API.RULE_STEP_UP"),
        (62, "/banned", 403, "Nicht durchgelassen", "Gesperrt.", "API.RULE_BANNED"),
    ] {
        let answer = told(last, path);
        let problem = answer.json();
        assert_eq!(answer.status, status, "{path}");
        assert_eq!((problem["title"].as_str(), problem["detail"].as_str()), (Some(title), Some(detail)), "{path}");
        assert_eq!(problem["code"], code, "{path}");
        assert_eq!(problem["reference"].as_str(), answer.header("portcullis-request-id"), "{path}");
        assert_eq!(answer.header("content-language"), Some("de"), "{path}");
        assert_eq!(answer.header("retry-after").is_some(), status == 429, "{path}");
    }
}

#[test]
fn a_route_has_a_page_of_its_own_which_reloads_and_whose_faults_change_nothing() {
    let rig = Rig::start(RULES);
    let folder = rig.folder.join("rules/pages");
    let write = |text: &str| {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(".new"), text).unwrap();
        fs::rename(folder.join(".new"), folder.join("shop.html")).unwrap();
    };
    let shown = |path: &str| rig.client().get(path, &browser("de")).unwrap().text();
    write(PAGE);
    let with_page = RULES.replace(
        "paths = [\"/shop/{*rest}\"]",
        "paths = [\"/shop/{*rest}\"]\nrefusal = { page = \"pages/shop.html\" }",
    );
    rig.reload_rules(&with_page, "applied");
    let page = shown("/shop/blocked");
    for part in ["<style>p{color:red}</style>", "<p>Abgelehnt &amp; &lt;gesperrt&gt;.</p>", "own API.RULE_BLOCKED "] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!shown("/blocked").contains("own API."), "other routes keep theirs");

    let before = rig.reloads("applied");
    write(&PAGE.replace("own", "another"));
    wait_until("the page", Duration::from_secs(20), || rig.reloads("applied") > before);
    assert!(shown("/shop/blocked").contains("another API.RULE_BLOCKED"));

    let before = rig.reloads("refused");
    write(&PAGE.replace("{reference}", "{refernce}"));
    wait_until("the page", Duration::from_secs(20), || rig.reloads("refused") > before);
    assert!(shown("/shop/blocked").contains("another API.RULE_BLOCKED"), "a broken page changes nothing");
    let log = rig.gateway.stderr();
    assert!(log.contains("unknown place `{refernce}` in a page") && log.contains("pages/shop.html:1"), "{log}");
}
