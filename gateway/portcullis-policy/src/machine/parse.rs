//! The text of an expression to a tree.
//!
//! The library's parser recurses; so the text is bounded first, in length, in nesting and in operators.

use std::ops::Range;

use cel::Env;
use cel::common::ast::{Expr, IdedExpr, SourceInfo};

use crate::diagnostics::quote;

/// What is wrong with an expression.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    pub(crate) title: String,
    /// Bytes of the expression.
    pub(crate) at: Range<usize>,
    pub(crate) label: String,
    pub(crate) help: String,
}

impl Fault {
    pub(super) fn new(
        title: impl Into<String>,
        at: Range<usize>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { title: title.into(), at, label: label.into(), help: help.into() }
    }
}

/// An expression as a tree, with the places of its nodes.
pub(super) struct Parsed<'t> {
    text: &'t str,
    pub(super) root: IdedExpr,
    places: SourceInfo,
}

impl<'t> Parsed<'t> {
    pub(super) fn of(text: &'t str) -> Result<Self, Fault> {
        bounded(text)?;
        // Without the library's macros `exists` and `has` stay the calls that they are written as.
        let parser = Env::default().with_optional_support(false).parser().max_recursion_depth(MAX_DEPTH);
        match parser.error_recovery_limit(1).parse_with_source_info(text) {
            Ok((root, places)) => Ok(Self { text, root, places }),
            Err(errors) => Err(syntax(text, &errors)),
        }
    }

    /// Where a node stands as a person sees it: a name with all of its fields.
    pub(super) fn whole(&self, expr: &IdedExpr) -> Range<usize> {
        let mut first = expr;
        while let Expr::Select(select) = &first.expr {
            first = &select.operand;
        }
        let end = match &expr.expr {
            Expr::Select(select) => self.place_of_name(expr, &select.field).end,
            _ => self.place(expr).end,
        };
        self.place(first).start.min(end)..end
    }

    /// Where a node stands: the token that makes it.
    pub(super) fn place(&self, expr: &IdedExpr) -> Range<usize> {
        let Some((first, last)) = self.places.offset_for(expr.id) else { return 0..self.text.len() };
        // The library names the last byte instead of the end.
        let at = |count: u32| {
            let mut at = usize::try_from(count).map_or(self.text.len(), |at| at.min(self.text.len()));
            while !self.text.is_char_boundary(at) {
                at += 1;
            }
            at
        };
        let first = at(first);
        first..at(last.saturating_add(1)).max(first)
    }

    /// Where the field or function `name` stands that the node is about: behind a dot, or before a bracket.
    pub(super) fn place_of_name(&self, expr: &IdedExpr, name: &str) -> Range<usize> {
        let place = self.place(expr);
        let behind = self.text.get(place.end..).and_then(|rest| rest.trim_start().starts_with(name).then_some(rest));
        if let Some(rest) = behind {
            let at = place.end + rest.len() - rest.trim_start().len();
            return at..at + name.len();
        }
        match self.text.get(..place.end).and_then(|before| before.rfind(name)) {
            Some(at) => at..at + name.len(),
            None => place,
        }
    }
}

/// Refuses a text that the parser would follow too deep.
fn bounded(text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("an empty expression", 0..text.len(), "says nothing", "write such as `score > 0.5`"));
    }
    if text.len() > MAX_BYTES {
        let label = format!("{} bytes", text.len());
        let help = format!("an expression has at most {MAX_BYTES} bytes: divide it into several rules");
        return Err(Fault::new("the expression is too long", 0..1, label, help));
    }
    let (mut depth, mut operators, mut unary) = (0_usize, 0_usize, 0_usize);
    let mut quote: Option<char> = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if let Some(end) = quote {
            match letter {
                '\\' => drop(letters.next()),
                _ if letter == end => quote = None,
                _ => {}
            }
            continue;
        }
        unary = if matches!(letter, '!' | '-') { unary + 1 } else { unary * usize::from(letter.is_whitespace()) };
        match letter {
            '"' | '\'' => quote = Some(letter),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        operators += usize::from("!-+*/%<>=&|?.,([{".contains(letter));
        let here = at..at + letter.len_utf8();
        if depth > MAX_NESTING || unary > MAX_NESTING {
            let help = format!("at most {MAX_NESTING} may stand within each other");
            return Err(Fault::new("the expression is nested too deep", here, "one too many", help));
        }
        if operators > MAX_OPERATORS {
            let help = format!("at most {MAX_OPERATORS} operators, dots and commas: divide it into several rules");
            return Err(Fault::new("the expression is too large", here, "one too many", help));
        }
    }
    Ok(())
}

/// The first fault of the library in words of ours.
fn syntax(text: &str, errors: &cel::ParseErrors) -> Fault {
    let help = "see the page on expressions; texts stand in quotes, as in `facts.country == \"DE\"`";
    let Some(error) = errors.errors.first() else {
        return Fault::new("this is no CEL expression", 0..text.len(), "cannot be read", help);
    };
    let number = |number: isize| usize::try_from(number.max(1)).unwrap_or(1) - 1;
    let line: usize = text.split_inclusive('\n').take(number(error.pos.0)).map(str::len).sum();
    let rest = text.get(line..).unwrap_or_default();
    let at = line + rest.char_indices().nth(number(error.pos.1)).map_or(rest.len(), |(at, _)| at);
    let word = word(text.get(at..).unwrap_or_default());
    let reserved = error.msg.contains("reserved identifier");
    let label = match word {
        "" => "something is missing here".to_owned(),
        word if reserved => format!("{} is a word of other languages", quote(word)),
        word => format!("{} cannot stand here", quote(word)),
    };
    Fault::new("this is no CEL expression", at..at + word.len(), label, help)
}

/// The first word or sign of a text.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    let one = text.chars().next().map_or(0, char::len_utf8);
    text.get(..end.max(one)).unwrap_or_default()
}

/// The longest expression, in bytes.
const MAX_BYTES: usize = 2048;

/// How many brackets, or signs such as `!`, may stand within each other.
const MAX_NESTING: usize = 12;

/// How many operators, dots, commas and brackets an expression may have: as many calls deep is the parser at most.
const MAX_OPERATORS: usize = 160;

/// The library's own bound on rules of its grammar within each other.
const MAX_DEPTH: u16 = 64;
