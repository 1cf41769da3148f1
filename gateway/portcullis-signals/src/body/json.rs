//! JSON (RFC 8259), as far as a few of its members are wanted.

use std::fmt;
use std::str::FromStr;

use smallvec::{SmallVec, smallvec};

use super::{MAX_DEPTH, MAX_FIELDS};

/// The place of a member in a JSON text (RFC 6901): `/user/email`; `~1` stands for a slash in a name, `~0` for a tilde.
#[derive(Clone, Eq, PartialEq)]
pub struct JsonPointer {
    names: Box<[Box<str>]>,
}

/// Why a text is no pointer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoPointer {
    /// It does not begin with a slash.
    NoSlash,
    /// A tilde is followed by neither `0` nor `1`.
    Tilde,
    /// It is deeper than any text that is read.
    TooDeep,
}

impl FromStr for JsonPointer {
    type Err = NoPointer;

    fn from_str(text: &str) -> Result<Self, NoPointer> {
        let inner = text.strip_prefix('/').ok_or(NoPointer::NoSlash)?;
        let names: Vec<Box<str>> = inner.split('/').map(unescape).collect::<Option<_>>().ok_or(NoPointer::Tilde)?;
        if names.len() > MAX_DEPTH { Err(NoPointer::TooDeep) } else { Ok(Self { names: names.into() }) }
    }
}

fn unescape(name: &str) -> Option<Box<str>> {
    let mut plain = String::with_capacity(name.len());
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '~' => match letters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain.into())
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names.iter().try_for_each(|name| write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")))
    }
}

impl fmt::Debug for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl fmt::Display for NoPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlash => f.write_str("does not begin with `/`"),
            Self::Tilde => f.write_str("a `~` that neither `0` nor `1` follows"),
            Self::TooDeep => write!(f, "deeper than {MAX_DEPTH}"),
        }
    }
}

impl std::error::Error for NoPointer {}

/// The value of a member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JsonValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written.
    Number(Box<str>),
    /// A text.
    Text(Box<str>),
    /// A text that cannot be passed on: with a NUL, or with half of a surrogate pair.
    BadText,
    /// An array or an object.
    Nested,
}

/// What was found of one member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Member {
    Absent,
    /// A name on the way to it stands there twice, or twice but for case.
    Ambiguous,
    Value(JsonValue),
}

/// How far a text could be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ScanEnd {
    /// As a whole.
    Whole,
    /// It ended too soon.
    Cut,
    /// It is no JSON, or nested too deep.
    Broken,
}

/// What was found of the wanted members, up to where the text could be read.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The last value of each.
    pub(crate) values: SmallVec<[Option<JsonValue>; 2]>,
    /// Those that are ambiguous, a bit each.
    ambiguous: u16,
    pub(crate) end: ScanEnd,
}

impl Scan {
    /// What was found of each, in the order wanted.
    pub(crate) fn members(self) -> impl Iterator<Item = Member> {
        self.values.into_iter().enumerate().map(move |(at, value)| match value {
            _ if self.ambiguous & bit(at) != 0 => Member::Ambiguous,
            Some(value) => Member::Value(value),
            None => Member::Absent,
        })
    }
}

/// Reads a text for the members that are wanted, of which the first [`MAX_FIELDS`] are found.
///
/// One pass, and no recursion: the nesting is kept in a list that ends at [`MAX_DEPTH`].
pub(crate) fn scan(bytes: &[u8], wanted: &[Option<&JsonPointer>]) -> Scan {
    let wanted = wanted.get(..MAX_FIELDS).unwrap_or(wanted);
    let mut scanner = Scanner {
        rest: bytes,
        wanted,
        values: smallvec![None; wanted.len()],
        ambiguous: 0,
        frames: SmallVec::new(),
        text: String::new(),
    };
    let end = match std::str::from_utf8(bytes) {
        Err(fault) if fault.error_len().is_some() => ScanEnd::Broken,
        // A letter that is cut through at the end is never reached as a whole string.
        _ => match scanner.run() {
            Ok(()) => ScanEnd::Whole,
            Err(Stop::Cut) => ScanEnd::Cut,
            Err(Stop::Broken) => ScanEnd::Broken,
        },
    };
    Scan { values: scanner.values, ambiguous: scanner.ambiguous, end }
}

/// Why the reading stops before the end.
enum Stop {
    Cut,
    Broken,
}

/// One array or object that is open.
struct Frame {
    kind: Container,
    /// The wanted members that are below it, a bit each.
    live: u16,
    /// Those whose next name has been seen in it.
    seen: u16,
    /// The place in an array.
    index: usize,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Container {
    Array,
    Object,
}

struct Scanner<'a> {
    rest: &'a [u8],
    wanted: &'a [Option<&'a JsonPointer>],
    values: SmallVec<[Option<JsonValue>; 2]>,
    ambiguous: u16,
    frames: SmallVec<[Frame; 8]>,
    /// The last string that was wanted; kept, so that a body of many names takes memory once.
    text: String,
}

const fn bit(at: usize) -> u16 {
    if at < 16 { 1 << at } else { 0 }
}

impl<'a> Scanner<'a> {
    fn run(&mut self) -> Result<(), Stop> {
        let mut hit = (0..self.wanted.len()).fold(0, |all, at| all | bit(at));
        loop {
            self.space();
            let opened = self.value(hit)?;
            if opened && !self.closes()? {
                hit = self.next_member()?;
                continue;
            }
            loop {
                if self.frames.is_empty() {
                    self.space();
                    return if self.rest.is_empty() { Ok(()) } else { Err(Stop::Broken) };
                }
                if self.closes()? {
                    continue;
                }
                if self.byte()? != b',' {
                    return Err(Stop::Broken);
                }
                if let Some(frame) = self.frames.last_mut() {
                    frame.index += 1;
                }
                hit = self.next_member()?;
                break;
            }
        }
    }

    /// Reads a value, at which the members of `hit` may stand; says whether it is an array or object that is now open.
    fn value(&mut self, hit: u16) -> Result<bool, Stop> {
        let depth = self.frames.len();
        let mut targets = 0;
        let mut live = 0;
        for (at, pointer) in self.wanted.iter().enumerate() {
            let Some(pointer) = pointer.filter(|_| hit & bit(at) != 0) else { continue };
            if pointer.names.len() == depth {
                targets |= bit(at);
            } else {
                live |= bit(at);
            }
        }
        let first = *self.rest.first().ok_or(Stop::Cut)?;
        let value = match first {
            b'{' | b'[' => {
                if depth >= MAX_DEPTH {
                    return Err(Stop::Broken);
                }
                self.byte()?;
                let kind = if first == b'{' { Container::Object } else { Container::Array };
                self.frames.push(Frame { kind, live, seen: 0, index: 0 });
                self.note(targets, &JsonValue::Nested);
                return Ok(true);
            }
            b'"' => match self.string(targets != 0)? {
                Text::Good => JsonValue::Text(self.text.as_str().into()),
                Text::Bad => JsonValue::BadText,
            },
            b't' => self.word(b"true", JsonValue::Bool(true))?,
            b'f' => self.word(b"false", JsonValue::Bool(false))?,
            b'n' => self.word(b"null", JsonValue::Null)?,
            _ => JsonValue::Number(self.number()?.into()),
        };
        self.note(targets, &value);
        Ok(false)
    }

    fn note(&mut self, targets: u16, value: &JsonValue) {
        if targets == 0 {
            return;
        }
        for (at, slot) in self.values.iter_mut().enumerate() {
            if targets & bit(at) != 0 {
                *slot = Some(value.clone());
            }
        }
    }

    /// Closes the innermost array or object, where that is what comes next.
    fn closes(&mut self) -> Result<bool, Stop> {
        self.space();
        let Some(frame) = self.frames.last() else { return Ok(false) };
        let end = if frame.kind == Container::Object { b'}' } else { b']' };
        if *self.rest.first().ok_or(Stop::Cut)? != end {
            return Ok(false);
        }
        self.byte()?;
        self.frames.pop();
        Ok(true)
    }

    /// Comes to the next value of the innermost array or object; says which members may stand there.
    fn next_member(&mut self) -> Result<u16, Stop> {
        self.space();
        let depth = self.frames.len();
        let Some(frame) = self.frames.last() else { return Err(Stop::Broken) };
        let (kind, live, index) = (frame.kind, frame.live, frame.index);
        if kind == Container::Array {
            return Ok(self.named(live, depth, |name| name.parse() == Ok(index) && name.len() == digits(index)));
        }
        if *self.rest.first().ok_or(Stop::Cut)? != b'"' {
            return Err(Stop::Broken);
        }
        let key = self.string(live != 0)?;
        self.space();
        if self.byte()? != b':' {
            return Err(Stop::Broken);
        }
        if live == 0 || key == Text::Bad {
            return Ok(0);
        }
        let key = self.text.as_str();
        let alike = self.named(live, depth, |name| folded_eq(name, key));
        let same = self.named(alike, depth, |name| name == key);
        if let Some(frame) = self.frames.last_mut() {
            self.ambiguous |= frame.seen & alike;
            frame.seen |= alike;
        }
        Ok(same)
    }

    /// Those of the members whose name at this depth is so.
    fn named(&self, members: u16, depth: usize, is_so: impl Fn(&str) -> bool) -> u16 {
        let mut named = 0;
        for (at, pointer) in self.wanted.iter().enumerate().filter(|(at, _)| members & bit(*at) != 0) {
            let name = pointer.and_then(|pointer| pointer.names.get(depth.checked_sub(1)?));
            if name.is_some_and(|name| is_so(name)) {
                named |= bit(at);
            }
        }
        named
    }

    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let (first, rest) = self.rest.split_first().ok_or(Stop::Cut)?;
        self.rest = rest;
        Ok(*first)
    }

    fn word(&mut self, word: &[u8], value: JsonValue) -> Result<JsonValue, Stop> {
        let len = word.len().min(self.rest.len());
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Stop::Cut)?;
        if !word.starts_with(head) {
            return Err(Stop::Broken);
        }
        self.rest = rest;
        if head.len() == word.len() { Ok(value) } else { Err(Stop::Cut) }
    }

    /// A number (RFC 8259 §6), as it is written.
    fn number(&mut self) -> Result<&'a str, Stop> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let len = self.rest.iter().take_while(|byte| is_part(byte)).count();
        let (number, rest) = self.rest.split_at_checked(len).ok_or(Stop::Cut)?;
        self.rest = rest;
        let number = std::str::from_utf8(number).map_err(|_| Stop::Broken)?;
        if is_number(number) {
            return Ok(number);
        }
        // What ends with the text may have gone on.
        if rest.is_empty() && !number.is_empty() { Err(Stop::Cut) } else { Err(Stop::Broken) }
    }

    /// A string (RFC 8259 §7); what it says stands in `text` where that is wanted.
    fn string(&mut self, wanted: bool) -> Result<Text, Stop> {
        self.byte()?;
        self.text.clear();
        let mut is_bad = false;
        loop {
            let len = self.rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            let (plain, rest) = self.rest.split_at_checked(len).ok_or(Stop::Cut)?;
            self.rest = rest;
            if wanted {
                self.text.push_str(std::str::from_utf8(plain).map_err(|_| Stop::Cut)?);
            }
            match self.byte()? {
                b'"' => break,
                b'\\' => match self.escape()? {
                    Some('\0') | None => is_bad = true,
                    Some(letter) if wanted => self.text.push(letter),
                    Some(_) => {}
                },
                _ => return Err(Stop::Broken),
            }
        }
        Ok(if is_bad { Text::Bad } else { Text::Good })
    }

    /// What stands behind a backslash; none for half of a surrogate pair.
    fn escape(&mut self) -> Result<Option<char>, Stop> {
        Ok(Some(match self.byte()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unit_escape(),
            _ => return Err(Stop::Broken),
        }))
    }

    fn unit_escape(&mut self) -> Result<Option<char>, Stop> {
        let high = self.unit()?;
        if let Some(letter) = char::from_u32(high) {
            return Ok(Some(letter));
        }
        let Some(rest) = self.rest.strip_prefix(b"\\u") else { return Ok(None) };
        if !(0xd800..0xdc00).contains(&high) {
            return Ok(None);
        }
        self.rest = rest;
        let low = self.unit()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Ok(None);
        }
        Ok(char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)))
    }

    /// Four hex digits.
    fn unit(&mut self) -> Result<u32, Stop> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.byte()?).to_digit(16).ok_or(Stop::Broken)?;
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }
}

/// Whether the text of a string can be passed on.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Text {
    Good,
    Bad,
}

/// How many digits a number has.
fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| usize::try_from(log).unwrap_or(0) + 1)
}

/// Whether some parser in use takes one name for the other: Go's ignores case, and folds two letters beyond ASCII.
fn folded_eq(one: &str, other: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    one.chars().map(fold).eq(other.chars().map(fold))
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.starts_with('0')) {
        return false;
    }
    let mut rest = text.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = fraction.get(len..).unwrap_or_default();
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let len = digits(exponent);
        return len > 0 && exponent.len() == len;
    }
    rest.is_empty()
}
