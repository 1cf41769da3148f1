//! A refusal in words: those of the operator in the client's language, else the built-in ones.
//!
//! Nothing of the request is shown: texts and pages are the operator's, codes are of a closed list, and the reference is
//! ours. All of it is escaped where it is put in.

use http::{HeaderMap, StatusCode, header};
use portcullis_challenge::problem::{self, Problem};
use portcullis_challenge::{PAGE_HEADERS, PROBLEM_HEADERS, Texts, negotiate, push_escaped};
use portcullis_policy::model::{Page, Piece, Refusal, RefusalTexts, Route, Slot};

use super::enforce::Form;
use super::reply::Reply;

/// Who is refused, and in which form it is told.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The route that it asked for.
    pub route: &'a Route,
    /// The header of its request, of which only `Accept-Language` counts.
    pub headers: &'a HeaderMap,
    /// A page or problem+json.
    pub form: Form,
    /// The name of the request in records.
    pub reference_id: &'a str,
}

/// What is told.
#[derive(Clone, Copy, Debug)]
struct Words<'a> {
    language: &'a str,
    title: &'a str,
    text: &'a str,
    code: &'a str,
    contact: Option<&'a str>,
    page: Option<&'a Page>,
    reference_id: &'a str,
}

/// A refusal with a code: in the operator's words where there are any, else in these.
pub(super) fn told(status: StatusCode, title: &str, detail: &str, code: &str, refused: &Refused<'_>) -> Reply {
    let usual = Words {
        language: "en",
        title,
        text: detail,
        code,
        contact: None,
        page: None,
        reference_id: refused.reference_id,
    };
    let words = match refused.route.refusal.as_deref() {
        Some(own) => usual.of(own, refused.headers),
        None => usual,
    };
    let reply = match refused.form {
        Form::Problem => words.problem(status),
        Form::Page => words.shown(status),
    };
    // The tag is letters, digits and dashes: the rules were checked for that.
    reply.with("content-language", words.language.to_owned())
}

impl<'a> Words<'a> {
    /// The words of the operator, in the language that the client asks for.
    fn of(self, own: &'a Refusal, headers: &HeaderMap) -> Self {
        let Some(texts) = texts(own, headers) else {
            return Self { contact: own.contact.as_deref(), page: own.page.as_deref(), ..self };
        };
        let told = texts.told(self.code);
        Self {
            language: &texts.language,
            title: &told.title,
            text: &told.text,
            contact: texts.contact.as_deref(),
            page: texts.page.as_deref(),
            ..self
        }
    }

    fn problem(&self, status: StatusCode) -> Reply {
        let mut body = String::with_capacity(256);
        problem::render(
            &Problem {
                kind: "about:blank",
                title: self.title,
                status: status.as_u16(),
                detail: self.text,
                code: self.code,
                reference_id: self.reference_id,
                challenge: None,
            },
            &mut body,
        );
        Reply::new(status).with_all(&PROBLEM_HEADERS).body(body)
    }

    fn shown(&self, status: StatusCode) -> Reply {
        let mut body = String::with_capacity(2048);
        match self.page {
            Some(page) => self.fill(page, &mut body),
            None => self.fill_built_in(&mut body),
        }
        Reply::new(status).with_all(&PAGE_HEADERS).with("content-security-policy", CSP).body(body)
    }

    fn fill(&self, page: &Page, out: &mut String) {
        for piece in &page.pieces {
            match piece {
                Piece::Html(html) => out.push_str(html),
                Piece::Slot(slot) => push_escaped(out, self.value(*slot)),
            }
        }
    }

    /// The built-in page. What stands around the words is in their language where we know it.
    fn fill_built_in(&self, out: &mut String) {
        let around = Texts::for_language(self.language).unwrap_or(&portcullis_challenge::ENGLISH);
        let mut rest = BUILT_IN;
        while let Some((before, slot)) = rest.split_once("{{") {
            let (name, after) = slot.split_once("}}").unwrap_or(("", slot));
            out.push_str(before);
            match (name, self.contact) {
                ("contact", Some(contact)) => {
                    out.push_str("<p>");
                    push_escaped(out, around.contact);
                    out.push(' ');
                    push_escaped(out, contact);
                    out.push_str("</p>\n");
                }
                ("contact", None) => {}
                ("label", _) => push_escaped(out, around.reference),
                _ => {
                    let slot = Slot::NAMED.iter().find(|(known, _)| *known == name);
                    push_escaped(out, slot.map_or("", |(_, slot)| self.value(*slot)));
                }
            }
            rest = after;
        }
        out.push_str(rest);
    }

    fn value(&self, slot: Slot) -> &'a str {
        match slot {
            Slot::Title => self.title,
            Slot::Text => self.text,
            Slot::Code => self.code,
            Slot::Reference => self.reference_id,
            Slot::Contact => self.contact.unwrap_or_default(),
            Slot::Language => self.language,
            Slot::Direction => direction(self.language),
        }
    }
}

/// The texts in the language that a request asks for; none where the operator wrote none.
fn texts<'r>(own: &'r Refusal, headers: &HeaderMap) -> Option<&'r RefusalTexts> {
    let field = headers.get(header::ACCEPT_LANGUAGE).and_then(|field| field.to_str().ok()).unwrap_or_default();
    let known = |tag: &str| if tag == "*" { own.otherwise() } else { own.in_language(tag) };
    negotiate(field, known).or_else(|| own.otherwise())
}

/// The direction of the script of a language.
fn direction(language: &str) -> &'static str {
    if let Some(texts) = Texts::for_language(language) {
        return texts.direction;
    }
    let primary = language.split('-').next().unwrap_or_default();
    if RIGHT_TO_LEFT.iter().any(|known| known.eq_ignore_ascii_case(primary)) { "rtl" } else { "ltr" }
}

/// Languages that the challenge page does not speak and that are written from right to left.
const RIGHT_TO_LEFT: [&str; 7] = ["ckb", "dv", "ps", "sd", "ug", "ur", "yi"];

/// Style within the page, images within it, and nothing from anywhere; no form, no frame, no script.
const CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

const BUILT_IN: &str = include_str!("../../assets/refusal.html");

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use portcullis_policy::{RuleSet, SourceFile};

    use super::*;

    const RULES: &str = r#"
[[route]]
name = "login"
origin = "app"
refusal = { contact = "help@shop.example", texts = { de = { title = "Abgelehnt", text = "Nein <b>", codes = { "API.BANNED" = "Gesperrt" } }, ar = { title = "مرفوض", text = "لا" } } }
"#;

    fn rules(text: &str) -> RuleSet {
        RuleSet::compile(&[SourceFile::new("rules/one.toml", text)]).unwrap().rules
    }

    fn words<'r>(route: &'r Route, accept_language: &str, code: &'static str) -> Words<'r> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_str(accept_language).unwrap());
        let usual = Words {
            language: "en",
            title: "Refused",
            text: "this request was refused",
            code,
            contact: None,
            page: None,
            reference_id: "0123",
        };
        route.refusal.as_deref().map_or(usual, |own| usual.of(own, &headers))
    }

    #[test]
    fn the_language_and_the_code_choose_the_words() {
        let rules = rules(RULES);
        let route = &rules.routes()[1];
        for (field, code, language, title, text) in [
            ("de", "API.RULE_BLOCKED", "de", "Abgelehnt", "Nein <b>"),
            ("de-AT, en;q=0.5", "API.BANNED", "de", "Abgelehnt", "Gesperrt"),
            ("ar;q=0.9, de;q=0.8", "API.BANNED", "ar", "مرفوض", "لا"),
            ("AR-EG", "API.BANNED", "ar", "مرفوض", "لا"),
            ("de;q=0, ar;q=0.1", "API.BANNED", "ar", "مرفوض", "لا"),
            ("fr", "API.RULE_BLOCKED", "de", "Abgelehnt", "Nein <b>"),
            ("*", "API.RULE_BLOCKED", "de", "Abgelehnt", "Nein <b>"),
            ("", "API.RULE_BLOCKED", "de", "Abgelehnt", "Nein <b>"),
            ("\"><script>", "API.RULE_BLOCKED", "de", "Abgelehnt", "Nein <b>"),
        ] {
            let words = words(route, field, code);
            assert_eq!((words.language, words.title, words.text), (language, title, text), "{field} {code}");
            assert_eq!(words.contact, Some("help@shop.example"), "{field} {code}");
        }
        let bare = Route::bare("a");
        assert_eq!(words(&bare, "de", "API.BANNED").title, "Refused", "what is not written is built in");
    }

    #[test]
    fn the_built_in_page_is_in_the_language_and_escapes_every_word() {
        let rules = rules(RULES);
        let page = |field| {
            let mut out = String::new();
            words(&rules.routes()[1], field, "API.RULE_BLOCKED").fill_built_in(&mut out);
            out
        };
        let german = page("de");
        for part in
            ["<html lang=\"de\" dir=\"ltr\">", "Nein &lt;b&gt;", "help@shop.example", "0123", "API.RULE_BLOCKED"]
        {
            assert!(german.contains(part), "{part}: {german}");
        }
        assert!(!german.contains("{{") && !german.contains("<b>"), "{german}");
        assert!(page("ar").contains("<html lang=\"ar\" dir=\"rtl\">"));
    }

    #[test]
    fn a_script_from_right_to_left_is_known_by_its_language() {
        for (language, of) in [("de", "ltr"), ("ar-EG", "rtl"), ("ur-PK", "rtl"), ("PS", "rtl"), ("sw", "ltr")] {
            assert_eq!(direction(language), of, "{language}");
        }
    }
}
