//! Forms (URL Standard §5).

use smallvec::{SmallVec, smallvec};

use super::{BodyField, Found};

/// Reads a whole form.
///
/// Parsers differ in what they take for the same name: some ignore case, PHP makes `user.name` and `user name` one with
/// `user_name` and drops spaces in front, and several make a list of `user[]`. Whatever any of them takes for a wanted
/// name counts as it, so a second one is noticed. A bare `;` divides fields for some and not for others.
pub(super) fn read(bytes: &[u8], wanted: &[BodyField]) -> SmallVec<[Found; 2]> {
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| !text.contains([';', '\0'])) else {
        return smallvec![Found::Unreadable; wanted.len()];
    };
    let mut found: SmallVec<[Found; 2]> = smallvec![Found::Absent; wanted.len()];
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = decode(name).filter(|name| !name.contains(&0)) else {
            return smallvec![Found::Unreadable; wanted.len()];
        };
        for (slot, field) in found.iter_mut().zip(wanted) {
            let BodyField::Form(wanted) = field else { continue };
            let likeness = Likeness::of(&name, wanted.as_bytes());
            if likeness == Likeness::Other {
                continue;
            }
            *slot = match (&slot, likeness) {
                (Found::Absent, Likeness::Same) => value_of(value),
                _ => Found::Ambiguous,
            };
        }
    }
    found
}

fn value_of(value: &str) -> Found {
    match decode(value).map(|bytes| String::from_utf8(bytes.into_vec())) {
        Some(Ok(text)) if !text.contains('\0') => Found::Text(text.into_boxed_str()),
        _ => Found::NoText,
    }
}

/// How near a name is to a wanted one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Likeness {
    Same,
    /// Some parser takes it for the same.
    Alike,
    Other,
}

impl Likeness {
    fn of(name: &[u8], wanted: &[u8]) -> Self {
        if name == wanted {
            return Self::Same;
        }
        let mut stem = name;
        while let Some(rest) = stem.strip_prefix(b" ").or_else(|| stem.strip_prefix(b"+")) {
            stem = rest;
        }
        // `user[]` and `user[a]`, unless the wanted name has a bracket itself.
        if !wanted.contains(&b'[') {
            stem = stem.split(|byte| *byte == b'[').next().unwrap_or(stem);
        }
        let alike =
            stem.len() == wanted.len() && stem.iter().zip(wanted).all(|(one, other)| plain(*one) == plain(*other));
        if alike { Self::Alike } else { Self::Other }
    }
}

/// A byte as the laxest parser takes it.
const fn plain(byte: u8) -> u8 {
    match byte {
        b'.' | b' ' | b'-' => b'_',
        other => other.to_ascii_lowercase(),
    }
}

/// Takes percent-encoding away; none where a `%` is not followed by two hex digits, which parsers read differently.
fn decode(text: &str) -> Option<SmallVec<[u8; 64]>> {
    let mut decoded = SmallVec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
