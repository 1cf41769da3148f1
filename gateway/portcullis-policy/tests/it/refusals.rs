//! What a refused client is told: layers of texts, and pages.

use portcullis_policy::model::{MAX_PAGE_BYTES, Piece, Refusal, Slot};
use portcullis_policy::{Compiled, Diagnostics, RuleSet, SourceFile};

const PAGE: &str = "<!doctype html><style>p{color:red}</style><h1>{title}</h1><p>{text}</p><code>{reference}</code>\n";

fn compile(rules: &str, pages: &[(&str, &str)]) -> Result<Compiled, Diagnostics> {
    let pages = pages.iter().map(|(name, text)| SourceFile::new(format!("rules/pages/{name}"), *text));
    let files: Vec<_> = std::iter::once(SourceFile::new("rules/one.toml", rules)).chain(pages).collect();
    RuleSet::compile(&files)
}

const LAYERS: &str = r#"
[defaults]
origin = "app"
[defaults.refusal]
page = "pages/all.html"
contact = "help@shop.example"
[defaults.refusal.texts.de]
title = "Abgelehnt"
text = """Diese Anfrage
          wurde abgelehnt."""
codes = { "API.BANNED" = { title = "Gesperrt", text = "Später wieder." }, "API.TOR_BLOCKED" = "Nicht aus Tor." }
[defaults.refusal.texts.en]
title = "Refused"
text = "This request was refused."

[[route]]
name = "as the defaults"
paths = ["/a"]

[[route]]
name = "a title alone"
paths = ["/b"]
refusal = { texts = { DE = { title = "Halt" } } }

[[route]]
name = "a text of its own"
paths = ["/c"]
refusal = { contact = "pay@shop.example", texts = { de = { text = "Zahlung abgelehnt.", codes = { "API.TOR_BLOCKED" = "Kein Tor." } } } }

[[route]]
name = "a page of its own"
paths = ["/d"]
refusal = { page = "pages/own.html", texts = { ar = { title = "a", text = "b", contact = "c", page = "pages/ar.html" } } }
"#;

fn layers() -> Compiled {
    let ar = PAGE.replace("<h1>", "<h1 dir=\"{direction}\" lang=\"{language}\">");
    compile(LAYERS, &[("all.html", PAGE), ("own.html", PAGE), ("ar.html", &ar)])
        .unwrap_or_else(|faults| panic!("{faults}"))
}

fn of<'c>(compiled: &'c Compiled, route: &str) -> &'c Refusal {
    let route = compiled.rules.routes().iter().find(|known| &*known.name == route).unwrap();
    route.refusal.as_deref().unwrap()
}

#[test]
fn a_route_lies_over_the_defaults_key_by_key() {
    let compiled = layers();
    for (route, language, code, title, text, contact, page) in [
        ("as the defaults", "de", "API.RULE_BLOCKED", "Abgelehnt", "Diese Anfrage wurde abgelehnt.", "help", "all"),
        ("as the defaults", "de", "API.BANNED", "Gesperrt", "Später wieder.", "help", "all"),
        ("as the defaults", "de", "API.TOR_BLOCKED", "Abgelehnt", "Nicht aus Tor.", "help", "all"),
        ("a title alone", "de", "API.TOR_BLOCKED", "Halt", "Nicht aus Tor.", "help", "all"),
        ("a title alone", "de", "API.BANNED", "Gesperrt", "Später wieder.", "help", "all"),
        ("a text of its own", "de", "API.BANNED", "Abgelehnt", "Zahlung abgelehnt.", "pay", "all"),
        ("a text of its own", "de", "API.TOR_BLOCKED", "Abgelehnt", "Kein Tor.", "pay", "all"),
        ("a text of its own", "en", "API.BANNED", "Refused", "This request was refused.", "pay", "all"),
        ("a page of its own", "de", "API.RULE_BLOCKED", "Abgelehnt", "Diese Anfrage wurde abgelehnt.", "help", "own"),
        ("a page of its own", "ar", "API.RULE_BLOCKED", "a", "b", "c", "ar"),
        ("unrouted", "en", "API.RULE_BLOCKED", "Refused", "This request was refused.", "help", "all"),
    ] {
        let texts = of(&compiled, route).in_language(language).unwrap();
        let told = texts.told(code);
        assert_eq!((&*told.title, &*told.text), (title, text), "{route} {language} {code}");
        assert!(texts.contact.as_deref().unwrap().starts_with(contact), "{route} {language}");
        assert_eq!(*texts.page.as_ref().unwrap().name, *format!("pages/{page}.html"), "{route} {language}");
    }
}

#[test]
fn without_a_language_that_is_asked_for_it_is_english_and_else_the_first() {
    let compiled = layers();
    assert_eq!(&*of(&compiled, "as the defaults").otherwise().unwrap().language, "en");
    let own = compile(
        "[[route]]\nname = \"a\"\norigin = \"app\"\nrefusal = { texts = { fr = { title = \"a\", text = \"b\" }, de = { title = \"a\", text = \"b\" } } }\n",
        &[],
    );
    assert_eq!(&*of(&own.unwrap(), "a").otherwise().unwrap().language, "fr");
}

#[test]
fn routes_that_say_nothing_share_what_the_defaults_say() {
    let compiled = layers();
    let [first, second, ..] = compiled.rules.routes() else { panic!("routes") };
    assert!(std::sync::Arc::ptr_eq(first.refusal.as_ref().unwrap(), second.refusal.as_ref().unwrap()));
    let none = compile("[[route]]\nname = \"a\"\norigin = \"app\"\n", &[("idle.html", "{nonsense}")]).unwrap();
    assert!(none.rules.routes().iter().all(|route| route.refusal.is_none()), "a page that nothing names is not read");
}

#[test]
fn lint_tells_of_a_page_that_nothing_names() {
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\nrefusal = { texts = { de = { title = \"T\", text = \"t\", page = \"pages/a.html\" } } }\n";
    let compiled = compile(rules, &[("a.html", PAGE), ("idle.html", PAGE)]).unwrap_or_else(|faults| panic!("{faults}"));
    let said = compiled.lint(portcullis_signals::UnixSeconds(0)).to_string();
    assert!(said.contains("nothing uses the page `pages/idle.html`") && !said.contains("pages/a.html`"), "{said}");
}

#[test]
fn a_page_is_divided_at_its_places_and_nowhere_else() {
    let text = "a{title}b{color:red}c{ text }d{}e{reference}{code}{contact}f{{text}}g{";
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\nrefusal = { page = \"pages/a.html\" }\n";
    let compiled = compile(rules, &[("a.html", text)]).unwrap_or_else(|faults| panic!("{faults}"));
    let mut shown = String::new();
    for piece in &of(&compiled, "a").page.as_ref().unwrap().pieces {
        match piece {
            Piece::Html(html) => shown.push_str(html),
            Piece::Slot(slot) => {
                let (name, _) = Slot::NAMED.iter().find(|(_, known)| known == slot).unwrap();
                shown.push_str(&format!("<{name}>"));
            }
        }
    }
    assert_eq!(shown, "a<title>b{color:red}c{ text }d{}e<reference><code><contact>f{<text>}g{");
}

#[test]
fn a_change_of_a_page_or_of_a_text_is_a_change_of_meaning() {
    let rules = "[[route]]\nname = \"a\"\norigin = \"app\"\nrefusal = { page = \"pages/a.html\", texts = { de = { title = \"T\", text = \"t\" } } }\n";
    let of = |rules: &str, page: &str| compile(rules, &[("a.html", page)]).unwrap().rules;
    let before = of(rules, PAGE);
    for after in [of(rules, &PAGE.replace("red", "blue")), of(&rules.replace("\"t\"", "\"u\""), PAGE)] {
        assert_ne!(before.version(), after.version());
        assert_eq!(before.difference(&after), ["route `a`: what a refused client is told"]);
    }
    assert_eq!(before.version(), of(&format!("# a comment\n{rules}"), PAGE).version());
}

#[test]
fn the_layers_say_where_texts_and_page_came_from() {
    let compiled = layers();
    let at = compiled.rules.routes().iter().position(|route| &*route.name == "a page of its own").unwrap();
    let layers = compiled.layers(portcullis_policy::RouteId(u32::try_from(at).unwrap()));
    let shown = |key: &str| layers.iter().find(|value| value.key == key).unwrap().to_string();
    assert!(shown("refusal.texts").contains("de, en, ar") && shown("refusal.texts").contains("route"), "{layers:?}");
    assert!(shown("refusal.page").contains("pages/own.html"), "{layers:?}");
}

#[test]
fn faults_of_pages_are_shown_in_the_page_and_once() {
    let rules = "[defaults]\norigin = \"app\"\nrefusal = { page = \"pages/a.html\" }\n[[route]]\nname = \"a\"\nrefusal = { page = \"pages/a.html\" }\n";
    insta::assert_snapshot!(compile(rules, &[("a.html", "<p>{txt}</p>\n<p>{zebra}</p>\n")]).unwrap_err());
    insta::assert_snapshot!(compile(rules, &[("a.html", "<p>{text}</p>\n")]).unwrap_err());
    insta::assert_snapshot!(compile(rules, &[("b.html", PAGE)]).unwrap_err());
    let large = format!("{PAGE}{}", "x".repeat(MAX_PAGE_BYTES));
    insta::assert_snapshot!(compile(rules, &[("a.html", &large)]).unwrap_err());
    let script = format!("{PAGE}<SCRIPT>alert(1)</SCRIPT>");
    insta::assert_snapshot!(compile(rules, &[("a.html", &script)]).unwrap().warnings);
}
