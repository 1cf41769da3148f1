//! What the page says, in each language that it knows.

use std::sync::LazyLock;

/// Makes [`Texts`] of its fields, so that a file's keys, the fields and a template's places cannot
/// differ.
macro_rules! texts {
    ($($(#[$doc:meta])* $key:ident,)*) => {
        /// The texts of the page and the widget in one language. All are plain text: they are escaped
        /// when rendered.
        ///
        /// In `progress`, `{done}`, `{total}` and `{left}` stand for the parts done, the parts in all, and
        /// the remaining time, which the browser writes in the page's language; in `wait`, `{seconds}` for
        /// the seconds to wait.
        #[derive(Clone, Copy, Debug)]
        pub struct Texts {
            $($(#[$doc])* pub $key: &'static str,)*
        }

        impl Texts {
            fn read(file: &'static str) -> Self {
                Self { $($key: value(file, stringify!($key)),)* }
            }

            /// The text under a key of the files, which is also a template's place.
            pub(crate) fn named(&self, key: &str) -> Option<&'static str> {
                match key {
                    $(stringify!($key) => Some(self.$key),)*
                    _ => None,
                }
            }

            #[cfg(test)]
            const KEYS: &[&str] = &[$(stringify!($key),)*];
        }
    };
}

texts! {
    /// The language, as in the attribute `lang` (BCP 47).
    language,
    /// The direction of its script: `ltr` or `rtl`.
    direction,
    /// The page's title.
    title,
    /// The heading.
    heading,
    /// What happens now.
    what,
    /// Why it happens.
    why,
    /// What the site is told, and that nobody else is told anything.
    privacy,
    /// The name of the progress bar.
    progress_label,
    /// Before the first part is done.
    starting,
    /// While parts are being done.
    progress,
    /// All parts are done, the answer of the gateway is awaited.
    sending,
    /// The gateway accepted; the page is about to load.
    done,
    /// What to do without JavaScript.
    wait,
    /// Where the page goes on by itself after the wait.
    wait_by_itself,
    /// The button that ends the wait.
    wait_button,
    /// The browser has no JavaScript or it is off, and a wait is not offered.
    no_script,
    /// The browser keeps no cookie.
    no_cookies,
    /// The script could not go on.
    failed,
    /// The gateway could not be reached.
    offline,
    /// The gateway refused the solution.
    refused,
    /// The button that loads the page again.
    retry,
    /// A form, and not a page, was asked for: what has become of it.
    form,
    /// What can be done about the form after the check.
    form_done,
    /// The button that sends the form again.
    resend,
    /// The button that goes back to the form.
    back,
    /// Before the contact.
    contact,
    /// Before the reference id.
    reference,
    /// The widget, before it starts.
    widget_idle,
    /// The widget, while it works.
    widget_working,
    /// The widget, when it has a token.
    widget_done,
    /// The widget, when it has failed.
    widget_failed,
}

impl Texts {
    /// The texts for the value of an `Accept-Language` field (RFC 9110 §12.5.4).
    ///
    /// The range with the greatest quality of those that are known here, the first of equals; a range
    /// is looked up as RFC 4647 §3.4 says, so `de-AT` finds `de`. English when none is known, and for
    /// `*`. No more than the first [`MAX_RANGES`] ranges are read.
    #[must_use]
    pub fn negotiate(accept_language: &str) -> &'static Self {
        negotiate(accept_language, |tag| if tag == "*" { Some(&*ENGLISH) } else { Self::exactly(tag) })
            .unwrap_or(&ENGLISH)
    }

    /// The texts for one language tag or range, by lookup: `pt-BR` finds `pt`. English for `*`, `None` for
    /// a language that is not known.
    #[must_use]
    pub fn for_language(tag: &str) -> Option<&'static Self> {
        if tag == "*" {
            return Some(&ENGLISH);
        }
        lookup(tag, Self::exactly)
    }

    fn exactly(tag: &str) -> Option<&'static Self> {
        Self::all().iter().find(|texts| texts.language.eq_ignore_ascii_case(tag))
    }

    /// The texts of every language.
    #[must_use]
    pub fn all() -> &'static [Self] {
        static ALL: LazyLock<[Texts; FILES.len()]> = LazyLock::new(|| FILES.map(Texts::read));
        &*ALL
    }
}

/// What is known for the best range of an `Accept-Language` field (RFC 9110 §12.5.4), of one's own languages.
///
/// `known` is asked for whole tags, and for `*` where the field has it. Otherwise as [`Texts::negotiate`], save that
/// there is nothing where no range is known.
pub fn negotiate<T>(accept_language: &str, known: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut best: (u16, Option<T>) = (0, None);
    for range in accept_language.split(',').take(MAX_RANGES) {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, "q=1"));
        let Some(quality) = quality(parameters) else { continue };
        if quality > best.0
            && let Some(found) = lookup(tag.trim(), &known)
        {
            best = (quality, Some(found));
        }
    }
    best.1
}

/// What is known for a tag, else for the tag without its last part, and so on (RFC 4647 §3.4).
fn lookup<T>(tag: &str, known: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut tag = tag;
    loop {
        let other = OTHER_NAMES.iter().find(|(other, _)| other.eq_ignore_ascii_case(tag)).map(|(_, name)| *name);
        if let Some(found) = known(tag).or_else(|| other.and_then(&known)) {
            return Some(found);
        }
        tag = tag.rsplit_once('-')?.0;
    }
}

/// The texts in English.
pub static ENGLISH: LazyLock<Texts> = LazyLock::new(|| Texts::read(include_str!("../assets/texts/en.toml")));

/// How many ranges of an `Accept-Language` field are read. People have up to about ten; the rest of
/// what is longer is not read.
pub const MAX_RANGES: usize = 32;

/// The value of a basic string in one of our files: one line for each key, without escapes.
///
/// A key that is not there is empty; a test holds that all are there.
fn value(file: &'static str, key: &str) -> &'static str {
    file.lines()
        .filter_map(|line| line.split_once(" = "))
        .find(|(name, _)| *name == key)
        .and_then(|(_, quoted)| quoted.strip_prefix('"')?.strip_suffix('"'))
        .unwrap_or_default()
}

/// The quality of a range in thousandths, from its parameters; `None` when they are broken.
fn quality(parameters: &str) -> Option<u16> {
    let (name, value) = parameters.trim().split_once('=')?;
    if !name.trim_end().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, decimals) = value.trim_start().split_once('.').unwrap_or((value.trim_start(), ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let decimals = decimals.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

/// Languages that are asked for under another name than their file's.
const OTHER_NAMES: [(&str, &str); 3] = [("iw", "he"), ("cmn", "zh"), ("prs", "fa")];

const FILES: [&str; 17] = [
    include_str!("../assets/texts/ar.toml"),
    include_str!("../assets/texts/de.toml"),
    include_str!("../assets/texts/en.toml"),
    include_str!("../assets/texts/es.toml"),
    include_str!("../assets/texts/fa.toml"),
    include_str!("../assets/texts/fr.toml"),
    include_str!("../assets/texts/he.toml"),
    include_str!("../assets/texts/it.toml"),
    include_str!("../assets/texts/ja.toml"),
    include_str!("../assets/texts/ko.toml"),
    include_str!("../assets/texts/nl.toml"),
    include_str!("../assets/texts/pl.toml"),
    include_str!("../assets/texts/pt.toml"),
    include_str!("../assets/texts/ru.toml"),
    include_str!("../assets/texts/tr.toml"),
    include_str!("../assets/texts/uk.toml"),
    include_str!("../assets/texts/zh.toml"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_files_are_toml_and_are_read_as_toml_says() {
        for (file, texts) in FILES.iter().zip(Texts::all()) {
            let table: toml::Table = file.parse().unwrap();
            assert_eq!(table.len(), Texts::KEYS.len(), "{}", texts.language);
            for key in Texts::KEYS {
                assert_eq!(table[*key].as_str(), texts.named(key), "{} of {}", key, texts.language);
                assert!(!texts.named(key).unwrap().is_empty(), "{} of {}", key, texts.language);
            }
        }
        assert_eq!(ENGLISH.language, "en");
    }

    #[test]
    fn every_language_has_the_places_that_are_filled_in() {
        for texts in Texts::all() {
            for place in ["{done}", "{total}", "{left}"] {
                assert_eq!(texts.progress.matches(place).count(), 1, "{place} in {}", texts.language);
            }
            assert_eq!(texts.wait.matches("{seconds}").count(), 1, "{}", texts.language);
            let braces = Texts::KEYS.iter().map(|key| texts.named(key).unwrap().matches('{').count()).sum::<usize>();
            assert_eq!(braces, 4, "no other place in {}", texts.language);
            let right_to_left = ["ar", "fa", "he"].contains(&texts.language);
            assert_eq!(texts.direction, if right_to_left { "rtl" } else { "ltr" }, "{}", texts.language);
        }
    }

    #[test]
    fn a_language_is_chosen_by_quality_then_by_order_and_a_region_falls_back() {
        for (field, language) in [
            ("", "en"),
            ("de", "de"),
            ("DE", "de"),
            ("de-AT", "de"),
            ("zh-Hant-TW", "zh"),
            ("pt-BR,pt;q=0.9,en;q=0.8", "pt"),
            ("en;q=0.8, fr;q=0.9", "fr"),
            ("fr, de", "fr"),
            ("fr;q=0.5,de;q=0.50", "fr"),
            ("de;q=0.001", "de"),
            ("tlh, de;q=0.4", "de"),
            ("tlh", "en"),
            ("*", "en"),
            ("*, fr;q=0.5", "en"),
            ("ar;q=1.000", "ar"),
            ("he-IL", "he"),
            ("iw", "he"),
            ("fa-IR , en ; q = 0.5", "fa"),
            // Refused by name.
            ("de;q=0", "en"),
            ("de;q=0, fr;q=0.1", "fr"),
            // Broken ranges are as if they were not there.
            ("de;q=2", "en"),
            ("de;q=1.5", "en"),
            ("de;q=0.1234", "en"),
            ("de;q=-1", "en"),
            ("de;q=", "en"),
            ("de;level=1", "en"),
            ("de;q=x, it;q=0.1", "it"),
            (",,;,-,--", "en"),
            ("de_DE", "en"),
            ("d", "en"),
        ] {
            assert_eq!(Texts::negotiate(field).language, language, "{field}");
        }
        let after = |ranges| format!("{}de", "tlh,".repeat(ranges));
        assert_eq!(Texts::negotiate(&after(MAX_RANGES)).language, "en", "one range too many");
        assert_eq!(Texts::negotiate(&after(MAX_RANGES - 1)).language, "de");
    }

    proptest! {
        #[test]
        fn any_field_finds_a_language(field in ".*", ranges in "([a-z*-]{0,6}(; ?q=[0-9.]{0,5})?,?){0,8}") {
            _ = Texts::negotiate(&field);
            _ = Texts::negotiate(&ranges);
        }
    }
}
