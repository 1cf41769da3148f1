//! Wrong rules files, each named after its fault, with the whole message that a person gets.
//!
//! A file in `wrong/` is a rules file beside a list of two networks; the message stands beside it. What is too large to
//! be kept is made here.

use std::path::Path;

use portcullis_policy::{RuleSet, SourceFile};

/// What is said about one file.
fn message(name: &str, text: &str) -> String {
    let file = SourceFile::new(format!("rules/{name}"), text);
    let list = SourceFile::new("rules/lists/partners.txt", "192.0.2.0/24\n198.51.100.0/24\n");
    match RuleSet::compile(&[file, list]) {
        Ok(_) => "compiles\n".to_owned(),
        Err(faults) => faults.to_string(),
    }
}

fn check(name: &str, message: &str) {
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path("wrong");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, message));
}

#[test]
fn every_wrong_file_gets_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/wrong");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    assert!(files.len() >= 90, "{}", files.len());
    let mut compile = Vec::new();
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let message = message(&format!("{name}.toml"), &std::fs::read_to_string(&path).unwrap());
        if !message.contains("error: ") {
            compile.push(name.to_owned());
            continue;
        }
        let placed = [format!("--> rules/{name}.toml"), "--> rules/lists/".to_owned()];
        assert!(placed.iter().any(|place| message.contains(place)), "{message}");
        check(name, &message);
    }
    assert!(compile.is_empty(), "these compile: {compile:?}");
}

#[test]
fn brackets_within_brackets_are_not_followed() {
    for (name, text) in [
        ("brackets_a_hundred_thousand_deep", format!("a = {}\n", "[".repeat(100_000))),
        ("tables_ten_thousand_deep", format!("a = {}1{}\n", "{ b = ".repeat(10_000), " }".repeat(10_000))),
        ("dots_ten_thousand_deep", format!("{}a = 1\n", "a.".repeat(10_000))),
    ] {
        // The caret may stand behind a hundred thousand letters; the first lines tell what is wrong.
        let message = message(&format!("{name}.toml"), &text);
        let lines: String =
            message.lines().take(2).map(|line| line.get(..line.len().min(120)).unwrap().to_owned() + "\n").collect();
        check(name, &lines);
    }
}

#[test]
fn a_fault_in_the_last_of_a_hundred_thousand_lines_is_shown_alone() {
    let mut text = String::from("[[route]]\nname = \"login\"\norigin = \"app\"\n");
    text.push_str(&"# a comment\n".repeat(99_990));
    text.push_str("[[rule]]\nname = \"r\"\nwhen = { asn = [64500] }\naction = \"blok\"\n");
    check("line_a_hundred_thousand", &message("line_a_hundred_thousand.toml", &text));
}

#[test]
fn of_a_hundred_thousand_faulty_lines_the_first_are_shown() {
    let mut text = String::from("[[route]]\nname = \"login\"\norigin = \"app\"\n");
    for number in 0..100_000 {
        text.push_str(&format!("key{number} = {number}\n"));
    }
    let message = message("faults_a_hundred_thousand.toml", &text);
    assert!(message.ends_with("... and 99800 more\n"), "{}", &message.lines().last().unwrap());
}

#[test]
fn every_fault_of_a_file_with_units_of_all_sorts_is_shown() {
    let text = r#"
[[route]]
name = "login"
origin = "app"
ban_ttl = 60
clearance_ttl = "90"
throttle_rate = "1/s"
max_body_bytes = "1MiB"
thresholds = { throttle = "30%", challenge = 45 }
usual = { per_address = 60, per_prefix = "600/h" }
[[route.limit]]
name = "l"
key = ["ip"]
rate = "5 per minute"
"#;
    check("units_of_all_sorts", &message("units_of_all_sorts.toml", text));
}
