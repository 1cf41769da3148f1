//! Texts of requests with places that are filled in when one is sent.

use super::dice::Dice;

/// A text with places.
#[derive(Clone, Debug)]
pub(super) struct Text(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Plain(String),
    /// Whom the request names.
    User,
    /// The number of the client among those of its kind.
    Client,
    /// The next number that no client of the kind has used.
    Next,
    /// The next number that this client has not used.
    Own,
    /// Any number below.
    Any(u32),
}

/// What places are filled with.
pub(super) struct Filling<'a> {
    pub(super) user: &'a str,
    pub(super) client: u32,
    pub(super) next: &'a mut u64,
    pub(super) own: &'a mut u64,
    pub(super) dice: &'a mut Dice,
}

/// The places that there are.
pub(super) const PLACES: &str = "`{user}`, `{client}`, `{next}`, `{own}` and `{any:1000}`";

impl Text {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// The place that is not known.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((plain, opened)) = rest.split_once('{') {
            let (place, after) = opened.split_once('}').ok_or_else(|| format!("{{{opened}"))?;
            parts.push(Part::Plain(plain.to_owned()));
            parts.push(match place.split_once(':') {
                None if place == "user" => Part::User,
                None if place == "client" => Part::Client,
                None if place == "next" => Part::Next,
                None if place == "own" => Part::Own,
                Some(("any", below)) => Part::Any(below.parse().map_err(|_| format!("{{{place}}}"))?),
                _ => return Err(format!("{{{place}}}")),
            });
            rest = after;
        }
        parts.push(Part::Plain(rest.to_owned()));
        parts.retain(|part| *part != Part::Plain(String::new()));
        Ok(Self(parts))
    }

    /// The text with its places filled in.
    pub(super) fn filled(&self, filling: &mut Filling<'_>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Plain(plain) => text.push_str(plain),
                Part::User => text.push_str(filling.user),
                Part::Client => text.push_str(&filling.client.to_string()),
                Part::Next => text.push_str(&one_more(filling.next)),
                Part::Own => text.push_str(&one_more(filling.own)),
                Part::Any(below) => text.push_str(&filling.dice.below(*below).to_string()),
            }
        }
        text
    }
}

fn one_more(number: &mut u64) -> String {
    *number += 1;
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_and_unknown_ones_named() {
        let (mut next, mut own, mut dice) = (6, 0, Dice::of([0, 0, 0]));
        let mut filling =
            Filling { user: "ann@shop.example", client: 3, next: &mut next, own: &mut own, dice: &mut dice };
        for (text, filled) in [
            ("/items/{next}", "/items/7"),
            ("/items/{next}", "/items/8"),
            ("{user}-{client}-{own}", "ann@shop.example-3-1"),
            ("a{any:1}b", "a0b"),
            ("", ""),
        ] {
            assert_eq!(Text::parse(text).unwrap().filled(&mut filling), filled, "{text}");
        }
        for (text, unknown) in [("/{id}", "{id}"), ("/{any:x}", "{any:x}"), ("/{next", "{next")] {
            assert_eq!(Text::parse(text).unwrap_err(), unknown, "{text}");
        }
    }
}
