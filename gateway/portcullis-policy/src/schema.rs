//! The keys of rules files as a JSON Schema, and as a page.

use std::fmt::Write as _;

use portcullis_signals::SignalId;
use serde_json::{Map, Value as Json, json};

use crate::fields::{FILE, Key, Need, TABLES, Table, Value};
use crate::machine::{FUNCTIONS, VARIABLES};
use crate::presets::{self, Preset};
use crate::units;

/// A JSON Schema (draft 2020-12) of rules files, by which editors complete and check them.
///
/// It knows keys, types, words and ranges; what values mean together the compiler says.
pub fn schema() -> Json {
    let mut definitions = Map::new();
    for table in TABLES.iter().filter(|table| table.what != FILE.what && table.every().next().is_some()) {
        definitions.insert(slug(table), of_table(table));
    }
    let mut root = of_table(&FILE);
    if let Json::Object(root) = &mut root {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("Portcullis rules"));
        root.insert("$defs".to_owned(), Json::Object(definitions));
    }
    root
}

fn of_table(table: &Table) -> Json {
    let properties: Map<_, _> = table.every().map(|key| (key.name.to_owned(), of_key(key))).collect();
    let required: Vec<_> = table.every().filter(|key| matches!(key.need, Need::Must)).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if let (Json::Object(schema), false) = (&mut schema, required.is_empty()) {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn of_key(key: &Key) -> Json {
    let mut schema = of_value(&key.value);
    if let Json::Object(schema) = &mut schema {
        let words = match &key.value {
            Value::Form(form) => format!("{}: {form}", key.doc),
            _ => key.doc.to_owned(),
        };
        schema.insert("description".to_owned(), json!(words));
    }
    schema
}

fn of_value(value: &Value) -> Json {
    match value {
        Value::Text | Value::Form(_) => json!({ "type": "string", "minLength": 1 }),
        Value::Flag => json!({ "type": "boolean" }),
        Value::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Value::Score => score(),
        Value::ScoreOrOff => json!({ "anyOf": [score(), { "const": "off" }] }),
        Value::Rate => json!({ "type": "string", "pattern": "^ *[1-9][0-9]* */ *[0-9]*[smhd] *$" }),
        Value::ByteRate => json!({ "type": "string", "pattern": "^ *[1-9][0-9]* *[KMG]iB */ *[0-9]*[smhd] *$" }),
        Value::PerMinute => json!({ "type": "string", "pattern": "^ *[1-9][0-9]* */ *(1?m|60s) *$" }),
        Value::Duration(_) => json!({ "type": "string", "pattern": "^[1-9][0-9]* *[smhd] *$" }),
        // A date of TOML is a text to a schema.
        Value::Date => json!({ "type": "string" }),
        Value::Choice(words) => json!({ "enum": words() }),
        Value::List(inner) => json!({ "type": "array", "items": of_value(inner) }),
        Value::Listed(inner) => json!({
            "type": "array",
            "minItems": 1,
            "items": { "anyOf": [of_value(inner), { "type": "string", "pattern": "^@." }] },
        }),
        Value::Either(values) => json!({ "anyOf": values.iter().map(of_value).collect::<Vec<_>>() }),
        Value::In(table) => json!({ "$ref": format!("#/$defs/{}", slug(table)) }),
        Value::Many(table) => {
            json!({ "type": "array", "items": { "$ref": format!("#/$defs/{}", slug(table)) } })
        }
        Value::Names(inner) => json!({ "type": "object", "additionalProperties": of_value(inner) }),
        Value::Closed(names, inner) => {
            let inner = of_value(inner);
            let properties: Map<_, _> = names().into_iter().map(|name| (name.to_owned(), inner.clone())).collect();
            json!({ "type": "object", "properties": properties, "additionalProperties": false })
        }
        Value::Any => json!({ "type": ["string", "number", "boolean"] }),
    }
}

fn score() -> Json {
    json!({ "type": "number", "minimum": 0, "maximum": 1 })
}

/// The name of a table among the definitions.
fn slug(table: &Table) -> String {
    let words = table.what.replace("'s", "").replace('`', "");
    let words = words.strip_prefix("a ").unwrap_or(&words);
    words.replace(' ', "-")
}

/// A page with every table and key, every variable and function of expressions, and every signal, in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Reference of rules files\n\nMade out of the table of keys that the schema is made of; do not edit it by hand. \
         What it all means stands in `README.md`.\n",
    );
    for table in TABLES {
        // A text takes whatever is written to it.
        let _ = write!(page, "\n## `{}`\n\n{}\n", table.title, table.doc);
        if table.every().next().is_none() {
            continue;
        }
        page.push_str("\n| key | value | without it | what it is |\n|---|---|---|---|\n");
        for key in table.every() {
            let without = match key.need {
                Need::Must => "must be there",
                Need::Else(without) => without,
            };
            let _ = writeln!(page, "| `{}` | {} | {without} | {} |", key.name, bars(&words(&key.value)), key.doc);
        }
    }
    page.push_str("\n## Variables of expressions\n\n| name | type | what it is |\n|---|---|---|\n");
    for named in &VARIABLES {
        let _ = writeln!(page, "| `{}` | {} | {} |", named.name, named.type_name(), named.doc);
    }
    for (name, of, doc) in [
        ("facts.class", "list", "the names of the classes of the network"),
        (
            "signals[\"NAME\"], signals.NAME",
            "double",
            "the strength of a signal from 0.0 to 1.0; 0.0 where it is absent",
        ),
        (
            "counters.limits[\"NAME\"]",
            "int",
            "what a limit of the route read, or a level of it; 0 where the route has none of the name",
        ),
        ("identity.NAME", "any", "an own signal; to read one that is absent is a fault"),
    ] {
        let _ = writeln!(page, "| `{name}` | {of} | {doc} |");
    }
    page.push_str("\n## Functions of expressions\n\n| call | type | what it is |\n|---|---|---|\n");
    for (call, of, doc) in FUNCTIONS {
        let _ = writeln!(page, "| `{}` | {of} | {doc} |", bars(call));
    }
    page.push_str(
        "\n## Presets\n\n| preset | throttle | challenge | block | ban | puzzle |\n|---|---|---|---|---|---|\n",
    );
    for (name, preset) in Preset::NAMED {
        let (thresholds, puzzle) = (preset.thresholds(), preset.puzzle());
        let all = [thresholds.throttle, thresholds.challenge, thresholds.block, thresholds.ban];
        let shown = all.map(|score| score.map_or_else(|| "off".to_owned(), |score| score.to_string()));
        let _ = writeln!(
            page,
            "| `{name}` | {} | {} parts of {} bits |",
            shown.join(" | "),
            puzzle.count,
            puzzle.difficulty_bits
        );
    }
    page.push_str("\n## Signals\n\n| signal | group | weight as shipped |\n|---|---|---|\n");
    for signal in SignalId::ALL {
        let _ = writeln!(page, "| `{signal}` | `{}` | {} |", signal.group().name(), presets::weight(*signal));
    }
    page
}

/// What stands behind a key, in words.
fn words(value: &Value) -> String {
    let listed = |words: Vec<&str>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match value {
        Value::Text => "a text".to_owned(),
        Value::Form(form) => (*form).to_owned(),
        Value::Flag => "`true`, `false`".to_owned(),
        Value::Whole(least, most) => format!("{least} to {most}"),
        Value::Score => "0.0 to 1.0".to_owned(),
        Value::ScoreOrOff => "0.0 to 1.0, or `off`".to_owned(),
        Value::Rate => "such as `10/1m`; units s, m, h, d; up to a day".to_owned(),
        Value::ByteRate => "of bytes, such as `10MiB/1h`".to_owned(),
        Value::PerMinute => "such as `10/1m`; by the minute".to_owned(),
        Value::Duration(most) => format!("such as `15m`; units s, m, h, d; up to {}", units::show(*most)),
        Value::Date => "a day, or a time with its offset".to_owned(),
        Value::Choice(words) if words().len() > MAX_LISTED => "a signal, see below".to_owned(),
        Value::Choice(words) => listed(words()),
        Value::List(inner) => format!("a list of: {}", words(inner)),
        Value::Listed(inner) => format!("a list, or `@name`, of: {}", words(inner)),
        Value::Either(values) => values.iter().map(words).collect::<Vec<_>>().join("; or "),
        Value::In(table) => format!("a table, see `{}`", table.title),
        Value::Many(table) => format!("tables, see `{}`", table.title),
        Value::Names(inner) => format!("a table of names, each with: {}", words(inner)),
        Value::Closed(names, inner) if names().len() > MAX_LISTED => {
            format!("a table of signals, each with: {}", words(inner))
        }
        Value::Closed(names, inner) => format!("a table of {}, each with: {}", listed(names()), words(inner)),
        Value::Any => "a text, a number, `true`, `false`".to_owned(),
    }
}

/// A bar ends a cell of a table.
fn bars(text: &str) -> String {
    text.replace('|', "\\|")
}

/// How many words a cell lists; the longer lists are those of signals.
const MAX_LISTED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RuleSet, SourceFile};
    use std::collections::BTreeSet;

    /// A rules file with a table of each kind, each with a key that nobody knows.
    const STRANGE: &str = r#"
        zzzzzzzzzzzz = 1
        [defaults]
        zzzzzzzzzzzz = 1
        thresholds = { zzzzzzzzzzzz = 1 }
        puzzle = { zzzzzzzzzzzz = 1 }
        usual = { zzzzzzzzzzzz = 1 }
        posture = { zzzzzzzzzzzz = 1, elevated = { zzzzzzzzzzzz = 1 }, under_attack = { zzzzzzzzzzzz = 1 } }
        filters = { tor = { action = "block", zzzzzzzzzzzz = 1 } }
        failure = { status = [401], zzzzzzzzzzzz = 1 }
        identify = { zzzzzzzzzzzz = 1 }
        [weights]
        ua-tool = { weight = 0.3, zzzzzzzzzzzz = 1 }
        [credit]
        zzzzzzzzzzzz = 1
        [lists]
        zzzzzzzzzzzz = 1
        [rollout]
        zzzzzzzzzzzz = 1
        [[route]]
        name = "a"
        origin = "app"
        zzzzzzzzzzzz = 1
        [[route.limit]]
        name = "l"
        key = ["ip"]
        rate = "10/1m"
        zzzzzzzzzzzz = 1
        [[route.limit]]
        name = "s"
        key = ["ip"]
        over = [{ at = "10/1m", action = "block", zzzzzzzzzzzz = 1 }]
        [[rule]]
        name = "r"
        action = "block"
        when = { asn = [64500], zzzzzzzzzzzz = 1 }
        zzzzzzzzzzzz = 1
        [[test]]
        name = "t"
        zzzzzzzzzzzz = 1
        request = { host = "shop.example", path = "/", zzzzzzzzzzzz = 1 }
        counters = { zzzzzzzzzzzz = 1, limits = { l = { zzzzzzzzzzzz = 1 } } }
        expect = { action = "allow", zzzzzzzzzzzz = 1 }
    "#;

    #[test]
    fn the_reader_knows_the_keys_of_the_table_and_no_others() {
        let files = [
            SourceFile::new("rules/one.toml", STRANGE),
            SourceFile::new("rules/lists/one.toml", "zzzzzzzzzzzz = 1\nvalues = []\n"),
        ];
        let faults = RuleSet::compile(&files).unwrap_err();
        let mut asked = BTreeSet::new();
        for fault in faults.errors() {
            let Some(what) = fault.title.strip_prefix("unknown key `zzzzzzzzzzzz` in ") else { continue };
            let table =
                TABLES.iter().find(|table| table.what == what).unwrap_or_else(|| panic!("{what} is in no table"));
            let known = fault.help[0].strip_prefix("known here: ").unwrap();
            let known: BTreeSet<&str> = known.split('`').skip(1).step_by(2).collect();
            let keys: BTreeSet<&str> = table.every().map(|key| key.name).collect();
            assert_eq!(known, keys, "{what}");
            asked.insert(what.to_owned());
        }
        let every = TABLES.iter().filter(|table| table.every().next().is_some());
        assert_eq!(asked, every.map(|table| table.what.to_owned()).collect(), "each table is asked for");
    }

    #[test]
    fn every_definition_that_is_named_is_there() {
        let schema = schema();
        let text = schema.to_string();
        let definitions = schema["$defs"].as_object().unwrap();
        let mut named = BTreeSet::new();
        for part in text.split("#/$defs/").skip(1) {
            named.insert(part.split('"').next().unwrap());
        }
        for name in &named {
            assert!(definitions.contains_key(*name), "{name}");
        }
        for name in definitions.keys().filter(|name| *name != "list") {
            assert!(named.contains(name.as_str()), "{name} is named by nothing");
        }
    }

    #[test]
    fn a_word_of_the_schema_is_a_word_of_the_reader() {
        let schema = schema();
        let words =
            |table: &str, key: &str| schema["$defs"][table]["properties"][key]["enum"].as_array().unwrap().clone();
        for (table, key, head) in [
            ("route", "preset", "[[route]]\nname = \"a\"\norigin = \"app\"\n"),
            ("route", "profile", "[[route]]\nname = \"a\"\norigin = \"app\"\n"),
            ("route", "sensitivity", "[[route]]\nname = \"a\"\norigin = \"app\"\n"),
            ("route", "mode", "[[route]]\nname = \"a\"\norigin = \"app\"\n"),
            ("route", "clients", "[[route]]\nname = \"a\"\norigin = \"app\"\n"),
            ("route", "ambiguous_paths", "[[route]]\nname = \"a\"\norigin = \"app\"\n"),
            ("rule", "action", "[[rule]]\nname = \"a\"\nwhen = { asn = [64500] }\n"),
            ("rule", "signal", "[[rule]]\nname = \"a\"\nwhen = { asn = [64500] }\n"),
        ] {
            for word in words(table, key) {
                let text = format!("{head}{key} = {word}\n");
                assert!(RuleSet::compile(&[SourceFile::new("rules/one.toml", text.clone())]).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn the_page_names_every_key_variable_and_signal() {
        let page = reference();
        for table in TABLES {
            assert!(table.every().all(|key| page.contains(&format!("| `{}` |", key.name))), "{}", table.title);
        }
        assert!(VARIABLES.iter().all(|named| page.contains(&format!("| `{}` |", named.name))));
        assert!(SignalId::ALL.iter().all(|signal| page.contains(&format!("| `{signal}` |"))));
        assert!(page.lines().all(|line| !line.starts_with('|') || line.ends_with('|')));
    }
}
