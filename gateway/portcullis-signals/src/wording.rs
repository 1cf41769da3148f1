//! How messages for people write what a person wrote, and what it was probably meant to be.

/// The longest text of a user that a message repeats, in characters.
const MAX_QUOTED_CHARS: usize = 80;

/// The longest word that may be a misspelled name, in bytes. No name has half as many.
const MAX_WORD_BYTES: usize = 64;

/// A user's text in backticks: without control characters, and cut after 80 characters.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    for (count, letter) in text.chars().enumerate() {
        if count == MAX_QUOTED_CHARS {
            quoted.push_str("...");
            break;
        }
        quoted.push(if letter.is_control() { '?' } else { letter });
    }
    quoted.push('`');
    quoted
}

/// The name that a person most likely meant by a word: at most a third of its letters are wrong.
///
/// Upper and lower case are the same here, and so are `-` and `_`. None where the word is like no name.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    let allowed = (word.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (strsim::osa_distance(&word, &plain(name)), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_a_strange_word_gets_none() {
        let names = ["chromium", "firefox", "internet-explorer"];
        for (word, name) in [
            ("chromum", Some("chromium")),
            ("Firefox", Some("firefox")),
            ("internet_explorer", Some("internet-explorer")),
            ("zebra", None),
            ("", None),
            (&"chromium".repeat(9), None),
        ] {
            assert_eq!(nearest(word, names), name, "{word}");
        }
    }

    #[test]
    fn a_quoted_text_is_one_short_line() {
        assert_eq!(quote("a\nb"), "`a?b`");
        assert_eq!(quote(&"x".repeat(500)).len(), MAX_QUOTED_CHARS + "`...`".len());
    }
}
