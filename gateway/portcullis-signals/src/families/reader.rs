//! Reads TOML table by table and goes on after a fault.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::faults::Faults;
use crate::wording::quote;

/// One value in a table or list.
#[derive(Clone)]
pub(super) struct Item<'a> {
    /// The key it stands under.
    pub(super) key: &'a str,
    /// Where it stands.
    pub(super) at: Range<usize>,
    value: &'a DeValue<'a>,
}

/// One table, and which of its keys were asked for.
pub(super) struct Section<'a, 'f> {
    /// Where what is wrong with it is noted.
    pub(super) faults: &'f mut Faults,
    /// Where it begins.
    pub(super) at: Range<usize>,
    /// What it is, with its article.
    what: &'static str,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a, 'f> Section<'a, 'f> {
    pub(super) const fn new(
        what: &'static str,
        at: Range<usize>,
        table: &'a DeTable<'a>,
        faults: &'f mut Faults,
    ) -> Self {
        Self { faults, at, what, table, asked: Vec::new() }
    }

    /// The value of a key, which counts as known from here on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.asked.push(key);
        let (found, value) = self.table.get_key_value(key)?;
        Some(Item { key: found.get_ref(), at: value.span(), value: value.get_ref() })
    }

    /// Where the value of a key stands; where the table does, without it.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.at.clone(), toml::Spanned::span)
    }

    /// The text of a key that must be there and not empty.
    pub(super) fn required_text(&mut self, key: &'static str, example: &str) -> Option<(&'a str, Range<usize>)> {
        let Some(item) = self.take(key) else {
            let (title, label) = (format!("{} without `{key}`", self.what), format!("`{key}` is missing"));
            self.faults.add(&self.at, title, label, format!("add `{key} = \"{example}\"`"));
            return None;
        };
        let text = self.faults.text(&item)?;
        if text.trim().is_empty() {
            let help = format!("write such as `{key} = \"{example}\"`");
            self.faults.add(&item.at, format!("`{key}` is empty"), "says nothing", help);
            return None;
        }
        Some((text, item.at))
    }

    /// A whole number that `T` holds.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &'static str) -> Option<T> {
        let item = self.take(key)?;
        self.faults.number(&item)
    }

    /// A yes or no.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let item = self.take(key)?;
        if let DeValue::Boolean(value) = item.value {
            return Some(*value);
        }
        self.faults.expected(&item, "`true` or `false`");
        None
    }

    /// One word out of a closed list.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, known: &[(&'static str, T)]) -> Option<T> {
        let item = self.take(key)?;
        let text = self.faults.text(&item)?;
        let found = known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            self.faults.unknown(&item.at, format!("unknown value {} for `{key}`", quote(text)), text, &names);
        }
        found
    }

    /// The items of a list, each read by `read`; those with a fault are left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&mut Faults, &Item<'a>) -> Option<T>,
    ) -> Vec<T> {
        self.take(key).map(|item| self.faults.list(&item, read)).unwrap_or_default()
    }

    /// A table in this one.
    pub(super) fn section(&mut self, key: &'static str, what: &'static str) -> Option<Section<'a, '_>> {
        let item = self.take(key)?;
        if let DeValue::Table(table) = item.value {
            return Some(Section::new(what, item.at, table, self.faults));
        }
        self.faults.expected(&item, "a table");
        None
    }

    /// The tables of an array of tables, each read by `read`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        mut read: impl FnMut(Section<'a, '_>) -> T,
    ) -> Vec<T> {
        self.list(key, |faults, item| match item.value {
            DeValue::Table(table) => Some(read(Section::new(what, item.at.clone(), table, faults))),
            _ => {
                faults.expected(item, "a table");
                None
            }
        })
    }

    /// Every key and value, for a table whose keys are the user's.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        self.table.iter().map(|(key, value)| Item { key: key.get_ref(), at: value.span(), value: value.get_ref() })
    }

    /// Notes the keys that nothing asked for.
    pub(super) fn finish(self) {
        let Self { faults, what, table, asked, .. } = self;
        for key in table.keys().filter(|key| !asked.contains(&key.get_ref().as_ref())) {
            let title = format!("unknown key {} in {what}", quote(key.get_ref()));
            faults.unknown(&key.span(), title, key.get_ref(), &asked);
        }
    }
}

impl Faults {
    /// Notes a value of another type.
    pub(super) fn expected(&mut self, item: &Item<'_>, expected: &str) {
        let found = kind(item.value);
        let title = format!("expected {expected} for {}, but found {found}", quote(item.key));
        self.add(&item.at, title, format!("{found}, not {expected}"), "");
    }

    /// A text.
    pub(super) fn text<'a>(&mut self, item: &Item<'a>) -> Option<&'a str> {
        if let DeValue::String(text) = item.value {
            return Some(text);
        }
        self.expected(item, "a text");
        None
    }

    /// A whole number that `T` holds.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, item: &Item<'_>) -> Option<T> {
        let DeValue::Integer(number) = item.value else {
            self.expected(item, "a whole number");
            return None;
        };
        let read = u64::from_str_radix(number.as_str(), number.radix()).ok().and_then(|value| T::try_from(value).ok());
        if read.is_none() {
            self.add(&item.at, format!("{} is out of range", quote(item.key)), "below zero, or too large", "");
        }
        read
    }

    /// The items of a list, each read by `read`; those with a fault are left out.
    pub(super) fn list<'a, T>(
        &mut self,
        item: &Item<'a>,
        mut read: impl FnMut(&mut Self, &Item<'a>) -> Option<T>,
    ) -> Vec<T> {
        let DeValue::Array(values) = item.value else {
            self.expected(item, "a list");
            return Vec::new();
        };
        let items = values.iter().map(|value| Item { key: item.key, at: value.span(), value: value.get_ref() });
        items.filter_map(|item| read(self, &item)).collect()
    }
}

/// What a value is, in words that TOML's own page uses.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
