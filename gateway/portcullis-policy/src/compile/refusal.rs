//! What a refused client is told: the layers put together, and the pages read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::layers::Layers;
use crate::diagnostics::{Diagnostic, Diagnostics, Span, nearest, quote};
use crate::model::{MAX_PAGE_BYTES, Page, Piece, Refusal, RefusalTexts, Slot, Told};
use crate::written::{CodeTable, Located, PageFile, RefusalTable, TextsTable, Written};

/// The pages that are named, each read when it is first named.
#[derive(Debug)]
pub(super) struct Pages<'w> {
    files: HashMap<&'w str, &'w PageFile>,
    read: HashMap<Box<str>, Option<Arc<Page>>>,
}

impl<'w> Pages<'w> {
    pub(super) fn of(files: &'w [PageFile]) -> Self {
        Self { files: files.iter().map(|page| (&*page.name, page)).collect(), read: HashMap::new() }
    }

    /// The page of a name; says once what is wrong with it.
    fn page(&mut self, name: &Located<Box<str>>, out: &mut Diagnostics) -> Option<Arc<Page>> {
        if let Some(known) = self.read.get(&name.value) {
            return known.clone();
        }
        let page = match self.files.get(&*name.value) {
            Some(file) => read(file, out).map(Arc::new),
            None => {
                self.missing(name, out);
                None
            }
        };
        self.read.insert(name.value.clone(), page.clone());
        page
    }

    fn missing(&self, name: &Located<Box<str>>, out: &mut Diagnostics) {
        let names: Vec<&str> = self.files.keys().copied().collect();
        let fault = Diagnostic::error(format!("there is no page {}", quote(&name.value)));
        let fault = fault.at(name.span, "not in the folder of the rules");
        out.push(match nearest(&name.value, &names) {
            Some(name) => fault.help(format!("did you mean `{name}`?")),
            None => fault.help("put the file there; the folder `pages` stands beside the rules files"),
        });
    }
}

impl Layers<'_> {
    /// What the route itself and `[defaults]` say together; none where neither says anything.
    pub(super) fn refusal(&self, pages: &mut Pages<'_>, out: &mut Diagnostics) -> Option<Arc<Refusal>> {
        let tables: Vec<&RefusalTable> = self.rising().filter_map(|values| values.refusal.as_ref()).collect();
        let own = match self.route {
            Some(route) => route.values.refusal.as_ref(),
            None => self.defaults.refusal.as_ref(),
        };
        let mut refusal = Refusal::default();
        for table in &tables {
            overlay(&mut refusal.page, table.page.as_ref().map(|page| pages.page(page, out)));
            overlay(&mut refusal.contact, table.contact.clone().map(Some));
        }
        let mut languages: Vec<&str> = Vec::new();
        for texts in tables.iter().flat_map(|table| &table.texts) {
            if !languages.iter().any(|known| known.eq_ignore_ascii_case(&texts.language.value)) {
                languages.push(&texts.language.value);
            }
        }
        for language in languages {
            let place = own.and_then(|table| in_language(table, language)).map(|texts| texts.language.span);
            refusal.texts.extend(texts(language, &tables, place, pages, out));
        }
        (!tables.is_empty()).then(|| Arc::new(refusal))
    }
}

/// What is said in one language. What a route says goes before what `[defaults]` say, and of one layer what is for the
/// language or the code before what is for any.
fn texts(
    language: &str,
    tables: &[&RefusalTable],
    place: Option<Span>,
    pages: &mut Pages<'_>,
    out: &mut Diagnostics,
) -> Option<RefusalTexts> {
    let (mut title, mut text, mut page, mut contact) = (None, None, None, None);
    let mut codes: Vec<&CodeTable> = Vec::new();
    for table in tables {
        overlay(&mut page, table.page.as_ref().map(|page| pages.page(page, out)));
        overlay(&mut contact, table.contact.clone().map(Some));
        let Some(own) = in_language(table, language) else { continue };
        overlay(&mut page, own.page.as_ref().map(|page| pages.page(page, out)));
        overlay(&mut contact, own.contact.clone().map(Some));
        overlay(&mut title, own.title.clone().map(Some));
        if own.text.is_some() {
            codes.clear();
            text.clone_from(&own.text);
        }
        for code in &own.codes {
            codes.retain(|known| known.code != code.code);
            codes.push(code);
        }
    }
    if let Some(place) = place {
        for (key, missing) in [("title", title.is_none()), ("text", text.is_none())] {
            if missing {
                out.push(
                    Diagnostic::error(format!("the texts for {} have no `{key}`", quote(language)))
                        .at(place, "for codes that have none of their own")
                        .help(format!("add `{key} = \"...\"` here, or in `[defaults.refusal.texts.{language}]`")),
                );
            }
        }
    }
    let (title, text) = (title?, text?);
    let told = |own: Option<&Box<str>>, text: &str| Told { title: own.unwrap_or(&title).clone(), text: text.into() };
    let codes = codes.iter().map(|code| (code.code, told(code.title.as_ref(), &code.text))).collect();
    Some(RefusalTexts { language: language.into(), usual: told(None, &text), codes, page, contact })
}

fn in_language<'t>(table: &'t RefusalTable, language: &str) -> Option<&'t TextsTable> {
    table.texts.iter().find(|texts| texts.language.value.eq_ignore_ascii_case(language))
}

/// Puts what a layer says, if it says anything, in the place of what lies below.
fn overlay<T>(value: &mut Option<T>, written: Option<Option<T>>) {
    if let Some(written) = written {
        *value = written;
    }
}

/// Divides a page into HTML and slots.
fn read(page: &PageFile, out: &mut Diagnostics) -> Option<Page> {
    let files = Arc::clone(out.files());
    let text = &*files.get(usize::try_from(page.file).ok()?)?.text;
    if text.len() > MAX_PAGE_BYTES {
        out.push(
            Diagnostic::error(format!("the page is larger than {MAX_PAGE_BYTES} bytes"))
                .at(page.span(), format!("{} bytes", text.len()))
                .help("it is sent with every refusal: leave out what it can do without, such as large images"),
        );
        return None;
    }
    let mut pieces = Vec::new();
    let mut whole = true;
    let mut html = String::new();
    let mut rest = text;
    while let Some((before, name, after)) = next_slot(rest) {
        html.push_str(before);
        if let Some((_, slot)) = Slot::NAMED.iter().find(|(known, _)| *known == name) {
            pieces.push(Piece::Html(std::mem::take(&mut html).into()));
            pieces.push(Piece::Slot(*slot));
        } else {
            whole = false;
            out.push(unknown_slot(page, text.len() - after.len() - name.len() - 1, name));
        }
        rest = after;
    }
    html.push_str(rest);
    pieces.push(Piece::Html(html.into()));
    if whole && !pieces.contains(&Piece::Slot(Slot::Reference)) {
        whole = false;
        out.push(
            Diagnostic::error("the page does not show the reference")
                .at(page.span(), "`{reference}` is missing")
                .help("put `{reference}` into it: by that a refusal is found again in the records"),
        );
    }
    if let Some(at) = find_ignoring_case(text, "<script") {
        out.push(
            Diagnostic::warning("the script of the page is not run")
                .at(place(page, at, "<script".len()), "refused by its Content-Security-Policy")
                .help("take it out: a page of a refusal has its style and its images (`data:`) inside, and no script"),
        );
    }
    let digest = Sha256::digest(text).into();
    whole.then(|| Page { name: page.name.clone(), pieces, digest })
}

/// What is before the next slot, its name, and what is behind it. A brace of a style sheet is none: a slot is one word of
/// small letters between braces.
fn next_slot(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find('{').map(|at| from + at) {
        let inner = text.get(at + 1..)?;
        let end = inner.find(|letter: char| !(letter.is_ascii_lowercase() || letter == '_')).unwrap_or(inner.len());
        let (name, after) = inner.split_at_checked(end)?;
        if let (Some(after), false) = (after.strip_prefix('}'), name.is_empty()) {
            return Some((text.get(..at)?, name, after));
        }
        from = at + 1;
    }
    None
}

fn unknown_slot(page: &PageFile, at: usize, name: &str) -> Diagnostic {
    let names = Slot::NAMED.map(|(name, _)| name);
    let fault = Diagnostic::error(format!("unknown place {} in a page", quote(&format!("{{{name}}}"))))
        .at(place(page, at, name.len()), "not known here");
    match nearest(name, &names) {
        Some(name) => fault.help(format!("did you mean `{{{name}}}`?")),
        None => fault.help(format!("known: {}", names.map(|name| format!("`{{{name}}}`")).join(", "))),
    }
}

/// The pages that nothing names, each with the start of its file.
pub(super) fn unused(written: &Written) -> Vec<(Box<str>, Span)> {
    let values = std::iter::once(&written.defaults).chain(written.routes.iter().map(|route| &route.values));
    let tables = values.filter_map(|values| values.refusal.as_ref());
    let named =
        tables.flat_map(|table| table.page.iter().chain(table.texts.iter().filter_map(|texts| texts.page.as_ref())));
    let named: HashSet<&str> = named.map(|page| &*page.value).collect();
    let idle = written.pages.iter().filter(|page| !named.contains(&*page.name));
    idle.map(|page| (page.name.clone(), page.span())).collect()
}

/// A place in a page. Pages are bounded, so every offset fits.
fn place(page: &PageFile, at: usize, length: usize) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file: page.file, start: offset(at), end: offset(at + length) }
}

fn find_ignoring_case(text: &str, word: &str) -> Option<usize> {
    text.as_bytes().windows(word.len()).position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}
