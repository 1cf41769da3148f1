//! What a refused client is told, in the words of the operator.

use std::fmt;
use std::sync::Arc;

/// What a refused client is told on a route.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Refusal {
    /// In each language, in the order written; none where only a page or a contact is given.
    pub texts: Vec<RefusalTexts>,
    /// The page where there are no texts.
    pub page: Option<Arc<Page>>,
    /// Whom a person may ask, where there are no texts.
    pub contact: Option<Box<str>>,
}

/// What it is told in one language.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefusalTexts {
    /// The tag of the language (BCP 47), as it is written.
    pub language: Box<str>,
    /// Where no code has words of its own.
    pub usual: Told,
    /// By the code of the decision.
    pub codes: Vec<(&'static str, Told)>,
    /// The page; none for the one that is built in.
    pub page: Option<Arc<Page>>,
    /// Whom a person may ask.
    pub contact: Option<Box<str>>,
}

/// A title and a text: plain text on one line each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// What happened, in a few words.
    pub title: Box<str>,
    /// What happened and what to do.
    pub text: Box<str>,
}

/// A page of the operator: HTML with slots.
#[derive(Clone, Eq, PartialEq)]
pub struct Page {
    /// Its name in the folder of the rules: `pages/refused.html`.
    pub name: Box<str>,
    /// Its parts in order. One of them is the slot of the reference.
    pub pieces: Vec<Piece>,
    /// The SHA-256 of its text, which stands for the whole of it in the version of a policy.
    pub digest: [u8; 32],
}

/// A part of a page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Piece {
    /// HTML, as it is written.
    Html(Box<str>),
    /// A value, which is escaped where it is put in.
    Slot(Slot),
}

/// What a page can show. Nothing of it is from the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Slot {
    /// The title.
    Title,
    /// The text.
    Text,
    /// The stable code.
    Code,
    /// The name of the request in records.
    Reference,
    /// Whom a person may ask; empty where nobody is named.
    Contact,
    /// The tag of the language.
    Language,
    /// The direction of its script: `ltr` or `rtl`.
    Direction,
}

impl RefusalTexts {
    /// The words for a code.
    pub fn told(&self, code: &str) -> &Told {
        self.codes.iter().find(|(known, _)| *known == code).map_or(&self.usual, |(_, told)| told)
    }
}

impl Refusal {
    /// The texts for a client that asks for none of the languages: those in English, else the first.
    pub fn otherwise(&self) -> Option<&RefusalTexts> {
        self.texts.iter().find(|texts| texts.language.eq_ignore_ascii_case("en")).or_else(|| self.texts.first())
    }

    /// The texts of one language, whatever the case of its tag.
    pub fn in_language(&self, tag: &str) -> Option<&RefusalTexts> {
        self.texts.iter().find(|texts| texts.language.eq_ignore_ascii_case(tag))
    }
}

impl Slot {
    /// Every slot, by its name in a page.
    pub const NAMED: [(&'static str, Self); 7] = [
        ("title", Self::Title),
        ("text", Self::Text),
        ("code", Self::Code),
        ("reference", Self::Reference),
        ("contact", Self::Contact),
        ("language", Self::Language),
        ("direction", Self::Direction),
    ];
}

impl fmt::Debug for Page {
    /// Its name and digest, of which the version of a policy is made: a page may be shared by a thousand routes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("name", &self.name).field("digest", &self.digest).finish()
    }
}

/// The largest page, in bytes: it is written with every refusal, and must cost less than what is refused.
pub const MAX_PAGE_BYTES: usize = 64 * 1024;
