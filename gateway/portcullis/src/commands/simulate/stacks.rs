//! The client stacks of a scenario: what a connection and a request of each look like.

use std::collections::BTreeMap;

use portcullis_fingerprint::{ClientHello, Http2Print, extension, is_grease};

use super::dice::Dice;
use crate::accept::Agreed;
use crate::commands::explain::captured::{Captured, CapturedRequest, Kind, LineFault};

/// The stacks of a scenario.
#[derive(Debug, Default)]
pub(super) struct Stacks(Vec<Stack>);

/// One stack.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    pub(super) name: String,
    /// How its connections begin.
    pub(super) hello: ClientHello,
    /// How the handshake ends.
    pub(super) agreed: Agreed,
    /// What it shows of HTTP/2.
    pub(super) http2: Option<Http2Print>,
    /// Whether each connection puts the extensions into another order.
    shuffles: bool,
    /// What its requests look like, the first of each kind.
    templates: Vec<Template>,
}

/// What a request looks like.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) kind: Kind,
    request: std::sync::Arc<CapturedRequest>,
    /// The header fields in wire order.
    pairs: Vec<(String, String)>,
}

/// What a request says instead of what its template says.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) method: &'a http::Method,
    pub(super) target: &'a str,
    /// Header fields beside those of the template.
    pub(super) headers: &'a [(String, String)],
    pub(super) cookie: Option<&'a str>,
    pub(super) body_bytes: usize,
}

impl Stacks {
    /// The stacks of a file of captures: one for each client, by its name.
    ///
    /// # Errors
    ///
    /// The number of the line that cannot be read, and why.
    pub(super) fn of_captures(text: &str) -> Result<Self, (usize, LineFault)> {
        let mut stacks: Vec<Stack> = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let captured = Captured::read(number, line.as_bytes()).map_err(|fault| (number, fault))?;
            let Some(request) = captured.request else { continue };
            let order = extension_order(&captured.hello);
            let at = stacks.iter().position(|stack| stack.name == captured.client).unwrap_or_else(|| {
                stacks.push(Stack {
                    name: captured.client,
                    hello: captured.hello,
                    agreed: request.agreed,
                    http2: request.http2.clone(),
                    shuffles: false,
                    templates: Vec::new(),
                });
                stacks.len() - 1
            });
            if let Some(stack) = stacks.get_mut(at) {
                stack.shuffles |= is_other_order(&extension_order(&stack.hello), &order);
                if stack.template(request.kind).is_none() {
                    let pairs = request.pairs().to_vec();
                    stack.templates.push(Template { kind: request.kind, request: request.into(), pairs });
                }
            }
        }
        Ok(Self(stacks))
    }

    /// Adds one that is like another but for some header fields. Nothing where there is no such other.
    pub(super) fn add_like(
        &mut self,
        name: &str,
        like: &str,
        headers: &BTreeMap<String, String>,
        without: &[String],
    ) -> Option<()> {
        let mut stack = self.0.iter().find(|stack| stack.name == like)?.clone();
        name.clone_into(&mut stack.name);
        for template in &mut stack.templates {
            template.pairs.retain(|(name, _)| !without.iter().any(|without| without.eq_ignore_ascii_case(name)));
            for (name, value) in headers {
                match template.pairs.iter_mut().find(|pair| pair.0.eq_ignore_ascii_case(name)) {
                    Some(pair) => pair.1.clone_from(value),
                    None => template.pairs.push((name.clone(), value.clone())),
                }
            }
        }
        self.0.push(stack);
        Some(())
    }

    /// The number of the stack of a name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|stack| stack.name == name)
    }

    /// The stack of a number.
    pub(super) fn stack(&self, at: usize) -> Option<&Stack> {
        self.0.get(at)
    }

    /// The names of all.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|stack| &*stack.name)
    }
}

impl Stack {
    /// What a request of this kind looks like.
    pub(super) fn template(&self, kind: Kind) -> Option<&Template> {
        self.templates.iter().find(|template| template.kind == kind)
    }

    /// The hello of the next connection.
    pub(super) fn next_hello(&self, dice: &mut Dice) -> ClientHello {
        let mut hello = self.hello.clone();
        if self.shuffles {
            shuffle(&mut hello, dice);
        }
        hello
    }

    /// A stack of somebody who makes it look like no other: some cipher suites are left out.
    pub(super) fn altered(&self, dice: &mut Dice) -> Self {
        let mut altered = self.clone();
        let kept = |at: usize| at < FIRST_CIPHERS;
        let mut at = 0;
        altered.hello.cipher_suites.retain(|_| {
            at += 1;
            kept(at) || dice.happens(0.6)
        });
        altered
    }
}

/// How many cipher suites every variation keeps, so that it can agree with anybody.
const FIRST_CIPHERS: usize = 6;

impl Template {
    /// The request that somebody sends who wants this.
    ///
    /// # Errors
    ///
    /// Where something in it is no header field.
    pub(super) fn request(&self, wanted: &Wanted<'_>) -> Result<CapturedRequest, LineFault> {
        let length = wanted.body_bytes.to_string();
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(self.pairs.len() + wanted.headers.len());
        for (name, value) in &self.pairs {
            if name.eq_ignore_ascii_case("cookie") {
                pairs.extend(wanted.cookie.map(|cookie| (&**name, cookie)));
            } else if name.eq_ignore_ascii_case("content-length") {
                pairs.push((name, &length));
            } else if !wanted.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                pairs.push((name, value));
            }
        }
        pairs.extend(wanted.headers.iter().map(|(name, value)| (&**name, &**value)));
        self.request.varied(wanted.method, wanted.target, &pairs)
    }

    /// Whether the stack returns cookies.
    pub(super) fn returns_cookies(&self) -> bool {
        self.pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie"))
    }
}

/// The extensions that stand where they like.
fn is_movable(kind: u16) -> bool {
    !is_grease(kind) && !matches!(kind, extension::PRE_SHARED_KEY | extension::PADDING)
}

fn extension_order(hello: &ClientHello) -> Vec<u16> {
    hello.extensions.iter().copied().filter(|kind| is_movable(*kind)).collect()
}

fn is_other_order(one: &[u16], other: &[u16]) -> bool {
    let sorted = |order: &[u16]| {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        sorted
    };
    one != other && sorted(one) == sorted(other)
}

fn shuffle(hello: &mut ClientHello, dice: &mut Dice) {
    let mut order = extension_order(hello);
    for last in (1..order.len()).rev() {
        let other = dice.below(u32::try_from(last + 1).unwrap_or(u32::MAX));
        order.swap(last, usize::try_from(other).unwrap_or(0));
    }
    let movable = hello.extensions.iter_mut().filter(|kind| is_movable(**kind));
    for (place, kind) in movable.zip(order) {
        *place = kind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_extensions_are_the_same_in_another_order_and_grease_stays() {
        let mut hello = ClientHello { extensions: (0..12).collect(), ..ClientHello::default() };
        hello.extensions.insert(0, 0x0a0a);
        hello.extensions.push(extension::PRE_SHARED_KEY);
        let before = hello.clone();
        shuffle(&mut hello, &mut Dice::of([1, 2, 3]));
        assert!(is_other_order(&extension_order(&before), &extension_order(&hello)), "{:?}", hello.extensions);
        assert_eq!(hello.extensions.first(), Some(&0x0a0a));
        assert_eq!(hello.extensions.last(), Some(&extension::PRE_SHARED_KEY));
    }
}
