//! What stands in `rules/`.

use portcullis_policy::{RuleSet, SourceFile, Style, run_tests};

/// The shipped files with their names.
pub(crate) fn files() -> Vec<SourceFile> {
    [
        ("rules/defaults.toml", include_str!("../../../../rules/defaults.toml")),
        ("rules/routes.toml", include_str!("../../../../rules/routes.toml")),
        ("rules/access.toml", include_str!("../../../../rules/access.toml")),
    ]
    .map(|(name, text)| SourceFile::new(name, text))
    .to_vec()
}

#[test]
fn the_shipped_rules_compile_without_a_word_and_pass_their_own_tests() {
    let compiled = RuleSet::compile(&files()).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
    let outcomes = run_tests(&compiled.rules, &compiled.tests);
    assert!(outcomes.len() >= 15);
    let failed: String = outcomes.iter().map(|outcome| outcome.faults.render(Style::Plain)).collect();
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn each_shipped_file_compiles_by_itself_and_every_commented_line_of_it_too() {
    for file in files() {
        // A commented line that holds a key, a table or the rest of one is meant to be taken in as it is.
        let text: String = file.text.lines().map(|line| uncommented(line).to_owned() + "\n").collect();
        for text in [file.text.clone(), text] {
            let alone = SourceFile::new(file.name.clone(), text);
            let origin = SourceFile::new("rules/origin.toml", "");
            if let Err(faults) = RuleSet::compile(&[alone, origin]) {
                // Tests name routes of other files.
                let other: Vec<_> = faults.errors().filter(|fault| !fault.title.starts_with("there is no ")).collect();
                assert!(other.is_empty(), "{faults}");
            }
        }
    }
}

fn uncommented(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("# ") else { return line };
    let key = rest.split(['=', ' ']).next().unwrap_or_default();
    let is_key =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    let is_pair = is_key && rest.get(key.len()..).is_some_and(|rest| rest.trim_start().starts_with('='));
    if is_pair || (rest.starts_with('[') && rest.ends_with(']')) { rest } else { line }
}

#[test]
fn every_example_of_the_readme_compiles() {
    let readme = include_str!("../../../../rules/README.md");
    let mut blocks = Vec::new();
    let mut rest = readme;
    while let Some((_, from)) = rest.split_once("```toml\n") {
        let (block, behind) = from.split_once("```").unwrap();
        blocks.push(block);
        rest = behind;
    }
    assert!(blocks.len() >= 5);
    for block in blocks {
        let given = SourceFile::new(
            "given.toml",
            if block.contains("[defaults]") { "" } else { "[defaults]\norigin = \"app\"\n" },
        );
        let block = SourceFile::new("rules/README.md", block);
        let list = SourceFile::new("rules/lists/partners.txt", "203.0.113.0/24\n");
        match RuleSet::compile(&[block, given, list]) {
            Ok(compiled) => {
                for outcome in run_tests(&compiled.rules, &compiled.tests) {
                    assert!(outcome.passed(), "{}", outcome.faults);
                }
            }
            Err(faults) => panic!("{faults}"),
        }
    }
}

#[test]
fn the_weights_in_the_file_are_the_shipped_ones() {
    let written = RuleSet::compile(&files()).unwrap();
    let shipped = RuleSet::compile(&[]).unwrap();
    let weights = |rules: &RuleSet| rules.routes().first().unwrap().weights.clone();
    assert_eq!(weights(&written.rules), weights(&shipped.rules));
}

#[test]
fn the_page_and_the_schema_beside_the_rules_are_those_of_the_table_of_keys() {
    let page = include_str!("../../../../rules/REFERENCE.md");
    let schema = include_str!("../../../../rules/schema.json");
    let help = "write it anew by `cargo run -p portcullis-policy --example reference`, for the schema with `-- schema`";
    assert!(page == portcullis_policy::reference(), "the page has drifted: {help}");
    assert!(schema == format!("{:#}\n", portcullis_policy::schema()), "the schema has drifted: {help}");
}
