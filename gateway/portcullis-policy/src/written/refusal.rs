//! `refusal` of a route or of `[defaults]`, as written: what a refused client is told.

use super::reader::{Item, Reader, Section};
use super::{Located, PAGES_FOLDER};
use crate::decision::refusal_codes;
use crate::diagnostics::{Diagnostic, Span, quote};

/// What one layer says.
#[derive(Debug, Default)]
pub(crate) struct RefusalTable {
    /// The name of a page, `pages/refused.html`.
    pub(crate) page: Option<Located<Box<str>>>,
    pub(crate) contact: Option<Box<str>>,
    /// By language, in the order written.
    pub(crate) texts: Vec<TextsTable>,
}

/// What it says in one language.
#[derive(Debug)]
pub(crate) struct TextsTable {
    pub(crate) language: Located<Box<str>>,
    pub(crate) title: Option<Box<str>>,
    pub(crate) text: Option<Box<str>>,
    pub(crate) contact: Option<Box<str>>,
    pub(crate) page: Option<Located<Box<str>>>,
    pub(crate) codes: Vec<CodeTable>,
}

/// What it says in one language for one code.
#[derive(Debug)]
pub(crate) struct CodeTable {
    pub(crate) code: &'static str,
    pub(crate) title: Option<Box<str>>,
    pub(crate) text: Box<str>,
}

impl RefusalTable {
    pub(super) fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Self {
        let page = section.take("page").and_then(|item| page(&item, reader));
        let contact = section.take("contact").and_then(|item| words(&item, MAX_LINE, reader));
        let mut texts: Vec<TextsTable> = Vec::new();
        let languages = section.take("texts").and_then(|item| reader.section(&item, "`texts` of `refusal`"));
        for item in languages.iter().flat_map(Section::items) {
            let Some(table) = TextsTable::read(&item, reader) else { continue };
            match texts.iter().find(|known| known.language.value.eq_ignore_ascii_case(&table.language.value)) {
                Some(known) => reader.out.push(
                    Diagnostic::error(format!("the texts for {} stand twice", quote(&known.language.value)))
                        .at(table.language.span, "the same language")
                        .beside(known.language.span, "first here")
                        .help("put both into one: languages are compared without regard to case"),
                ),
                None => texts.push(table),
            }
        }
        section.finish(reader);
        Self { page, contact, texts }
    }
}

impl TextsTable {
    fn read(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let language = language(item, reader);
        let mut section = reader.section(item, "texts of a language")?;
        let title = section.take("title").and_then(|item| words(&item, MAX_LINE, reader));
        let text = section.take("text").and_then(|item| words(&item, MAX_TEXT, reader));
        let contact = section.take("contact").and_then(|item| words(&item, MAX_LINE, reader));
        let page = section.take("page").and_then(|item| page(&item, reader));
        let codes = section.take("codes").and_then(|item| reader.section(&item, "`codes` of a language"));
        let codes = codes.iter().flat_map(Section::items).filter_map(|item| CodeTable::read(&item, reader)).collect();
        section.finish(reader);
        Some(Self { language: language?, title, text, contact, page, codes })
    }
}

impl CodeTable {
    /// `"API.TOR_BLOCKED" = "..."`, or `= { title = "...", text = "..." }`.
    fn read(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let codes = refusal_codes();
        let Some(code) = codes.iter().copied().find(|code| *code == item.key) else {
            if item.key == "API" {
                reader.out.push(
                    Diagnostic::error("a code without quotes")
                        .at(item.key_span, "a dot divides keys")
                        .help("put the whole code in quotes: \"API.TOR_BLOCKED\""),
                );
            } else {
                reader.unknown_word(item.key_span, "code", item.key, &codes);
            }
            return None;
        };
        if !item.value.is_table() {
            return Some(Self { code, title: None, text: words(item, MAX_TEXT, reader)? });
        }
        let mut section = reader.section(item, "texts of a code")?;
        let title = section.take("title").and_then(|item| words(&item, MAX_LINE, reader));
        let text = section.require("text", "\"...\"", reader).and_then(|item| words(&item, MAX_TEXT, reader));
        section.finish(reader);
        Some(Self { code, title, text: text? })
    }
}

/// A text for people, with any run of white space as one space.
fn words(item: &Item<'_>, most: usize, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let text = reader.text(item)?.value.split_whitespace().collect::<Vec<_>>().join(" ");
    let fault = if text.is_empty() {
        "empty"
    } else if text.chars().any(char::is_control) {
        "holds a control character"
    } else if text.chars().count() > most {
        "too long"
    } else {
        return Some(text.into());
    };
    let help = format!("write 1 to {most} characters of plain text");
    reader.wrong(item, format!("{} is no text for people", quote(item.key)), fault, help);
    None
}

/// The tag of a language (BCP 47): letters, then parts of letters and digits.
fn language(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Located<Box<str>>> {
    let mut parts = item.key.split('-');
    let first = parts.next().unwrap_or_default();
    let named = (2..=3).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_alphabetic());
    let parted =
        parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if named && parted && item.key.len() <= MAX_TAG {
        return Some(Located::new(item.key.into(), item.key_span));
    }
    let mut fault = Diagnostic::error(format!("{} is no language", quote(item.key))).at(item.key_span, "not a tag");
    fault = match item.key.replace('_', "-") {
        dashed if dashed != item.key => fault.help(format!("write it with a dash: `{dashed}`")),
        _ => fault.help("write a tag such as `de`, `en` or `pt-BR`"),
    };
    reader.out.push(fault);
    None
}

/// The name of a page in the folder of pages.
fn page(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Located<Box<str>>> {
    let text = reader.text(item)?;
    let name = text.value.strip_prefix(PAGES_FOLDER).and_then(|rest| rest.strip_prefix('/'));
    let fits = |name: &&str| name.ends_with(".html") && !name.starts_with('.') && !name.contains(['/', '\\']);
    if name.filter(fits).is_some() {
        return Some(Located::new(text.value.into(), item.span));
    }
    let help = "put the file into the folder `pages` of the rules, and write \"pages/refused.html\"";
    reader.wrong(item, format!("{} is no page", quote(text.value)), "not an `.html` file in `pages`", help);
    None
}

/// The name of the page that a file holds, where it stands in a folder `pages`.
pub(super) fn page_of(file: &str) -> Option<Box<str>> {
    let (folder, name) = file.rsplit_once('/')?;
    let inside = folder == PAGES_FOLDER || folder.ends_with("/pages");
    (inside && name.ends_with(".html")).then(|| format!("{PAGES_FOLDER}/{name}").into())
}

/// A page and its file.
#[derive(Debug)]
pub(crate) struct PageFile {
    pub(crate) name: Box<str>,
    pub(crate) file: u32,
}

impl PageFile {
    /// The start of its file.
    pub(crate) const fn span(&self) -> Span {
        Span { file: self.file, start: 0, end: 0 }
    }
}

/// The longest title or contact, in characters: it stands on one line.
const MAX_LINE: usize = 200;

/// The longest text, in characters: it is written with every refusal.
const MAX_TEXT: usize = 2_000;

/// The longest tag of a language, in bytes (RFC 5646 §4.4.1 asks for 35).
const MAX_TAG: usize = 35;
