//! `[[intel.source]]`: a database, and what its fields mean.

use std::path::Path;
use std::str::FromStr;

use portcullis_intel::{ClassRule, FieldPath, FieldTest, Mapping, Preset};
use portcullis_policy::Diagnostic;

use super::{Common, Content, IntelSource, class, confidence};
use crate::settings::reader::{Faults, Table, Value, span};
use crate::settings::sections::Unique;

/// How the records of a database are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatabaseContent {
    /// The preset; without one, that for the database's type.
    pub preset: Option<Preset>,
    /// What takes the place of parts of the preset; empty parts of it do not.
    pub own: Mapping,
}

impl DatabaseContent {
    /// What the fields of a database mean whose metadata say that it is of type `kind`.
    pub fn mapping(&self, kind: &str) -> Mapping {
        let preset = self.preset.unwrap_or_else(|| Preset::of_database_type(kind)).mapping();
        fn either<T: Clone>(own: &[T], preset: Vec<T>) -> Vec<T> {
            if own.is_empty() { preset } else { own.to_vec() }
        }
        Mapping {
            asn: either(&self.own.asn, preset.asn),
            organisation: either(&self.own.organisation, preset.organisation),
            country: either(&self.own.country, preset.country),
            rules: either(&self.own.rules, preset.rules),
        }
    }
}

/// The largest database unless the settings say otherwise: 256 MiB, four times a City database.
pub(super) const MAX_DATABASE_BYTES: u64 = 256 << 20;

pub(super) fn source(
    mut table: Table<'_>,
    base: &Path,
    names: &mut Unique,
    faults: &mut Faults,
) -> Option<IntelSource> {
    let common = Common::read(&mut table, "vendor", "intel/vendor.mmdb", MAX_DATABASE_BYTES, (base, names), faults);
    let presets = Preset::ALL.map(|preset| (preset.name(), Some(preset)));
    let content = DatabaseContent {
        preset: table.choice("preset", &presets, None, faults),
        own: Mapping {
            asn: paths(&mut table, "asn", faults),
            organisation: paths(&mut table, "organisation", faults),
            country: paths(&mut table, "country", faults),
            rules: table
                .tables("rule", "`[[intel.source.rule]]`", faults)
                .into_iter()
                .filter_map(|rule| class_rule(rule, faults))
                .collect(),
        },
    };
    table.finish(faults);
    Some(common.of(Content::Database(content)))
}

fn class_rule(mut table: Table<'_>, faults: &mut Faults) -> Option<ClassRule> {
    let path = table.required("path", "\"traits.user_type\"", faults);
    let path = path.and_then(|value| field_path(&value, faults));
    let op = table.choice("op", &FieldTest::OPERATORS.map(|op| (op, op)), "true", faults);
    let compared = table.value("value");
    let test = field_test(op, compared.as_ref(), &table, faults);
    let class = class(&mut table, faults);
    if class.is_none() {
        table.required("class", "\"vpn\"", faults);
    }
    let confidence = confidence(&mut table, faults);
    table.finish(faults);
    Some(ClassRule { path: path?, test: test?, class: class?, confidence, measured: None })
}

fn field_test(op: &str, compared: Option<&Value<'_>>, table: &Table<'_>, faults: &mut Faults) -> Option<FieldTest> {
    let words = compared.map_or(Vec::new(), |value| value.words(faults));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let test = FieldTest::parse(op, &words);
    let needs_none = matches!(op, "true" | "exists");
    test.map_err(|error| {
        let fault = Diagnostic::error(format!("`op = \"{op}\"` and `value` do not fit"));
        let place = compared.map_or(table.place(), Value::place);
        let fault = fault.at(span(place), error.to_string());
        faults.add(if needs_none {
            fault.help(format!("leave `value` out: `op = \"{op}\"` needs none"))
        } else if op == "gte" {
            fault.help("write `value = 75`")
        } else {
            fault.help(format!("write `value = \"hosting\"` beside `op = \"{op}\"`"))
        });
    })
    .ok()
}

/// One path or several.
fn paths(table: &mut Table<'_>, key: &'static str, faults: &mut Faults) -> Vec<FieldPath> {
    let Some(value) = table.value(key) else { return Vec::new() };
    value.items().iter().filter_map(|item| field_path(item, faults)).collect()
}

fn field_path(value: &Value<'_>, faults: &mut Faults) -> Option<FieldPath> {
    let text = value.text(faults)?;
    FieldPath::from_str(text)
        .map_err(|error| {
            let fault = value.fault("is not the path of a field", "not a path");
            faults.add(fault.help(error.to_string()));
        })
        .ok()
}
