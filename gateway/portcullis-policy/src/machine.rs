//! Decision machines: rules whose condition is an expression, in the Common Expression Language (CEL).
//!
//! The text is read by the parser of the crate `cel`: of the implementations in Rust it is the one that is kept up (a
//! release every few weeks), has a permissive licence, and follows the specification's own tests. Its interpreter is
//! not used: it resolves names in maps of boxed values at run time, which costs several times what a whole decision
//! may. What was parsed is checked once, against the closed list of [`names`], and becomes a [`Program`] of our own,
//! which cannot name what is not there, allocates nothing but for the values that it reads, and whose cost is bounded
//! when it is compiled. A test holds the two interpreters against each other.
//!
//! What is left out of CEL, since no fact has such a type or it has no bound: messages, maps, bytes, timestamps,
//! unsigned numbers, regular expressions, and macros that build lists.

mod check;
mod eval;
mod names;
mod parse;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use portcullis_intel::AddressFacts;
use portcullis_signals::{CanonicalRequest, ClientAddr, Facts, RequestHead, SignalId, Signals, Strength};

use crate::model::Route;
use crate::score::Score;

pub(crate) use check::compile;
pub use eval::MachineFault;
pub(crate) use eval::Scene;
pub(crate) use names::{FUNCTIONS, VARIABLES};
pub(crate) use parse::Fault;

/// What a rule with an expression, or one that weighs, asks and does beside its conditions.
#[derive(Clone)]
pub struct Machine {
    /// The expression as written; empty where the rule's other conditions are all.
    pub text: Arc<str>,
    /// What it does where it holds.
    pub effect: Effect,
    pub(crate) program: Arc<Program>,
}

/// What a machine does where it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// The action of its rule.
    Act,
    /// It raises a signal to this strength, which then weighs as it does on the route.
    Raise(SignalId, Strength),
    /// It adds to the score.
    Add(Score),
    /// It lifts the score to at least this.
    Lift(Score),
}

/// An expression that was checked: it is true or false, names nothing unknown, and its cost is bounded.
#[derive(Debug)]
pub(crate) struct Program {
    root: Node,
    /// The limits that it reads, each with its place in the expression.
    pub(crate) limits: Vec<(Box<str>, std::ops::Range<usize>)>,
    /// The own signals that it reads.
    pub(crate) own: Vec<Box<str>>,
    pub(crate) reads: Reads,
}

/// What an expression rests on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reads {
    /// What a client sends as it likes.
    pub(crate) sent: bool,
    /// What it cannot choose: its network, what was counted, what was verified.
    pub(crate) known: bool,
}

/// One step of an expression.
#[derive(Debug)]
enum Node {
    Value(Constant),
    Read(names::Variable),
    Own(Box<str>),
    HasOwn(Box<str>),
    Signal(SignalId),
    Limit(Box<str>),
    Header(http::HeaderName),
    HasHeader(http::HeaderName),
    Cookie(Box<str>),
    Parameter(Box<str>),
    /// The variable of the nth `exists` or `all` around it.
    Bound(usize),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    If(Box<[Node; 3]>),
    Compare(Comparison, Box<[Node; 2]>),
    Compute(Operator, Box<[Node; 2]>),
    In(Box<Node>, Range),
    Quantify(Quantifier, Range, Box<Node>),
    Test(Test, Box<[Node; 2]>),
    Like(Box<Node>, Box<crate::conditions::Pattern>),
    Size(Box<Node>),
    Count(Range),
    Lower(Box<Node>),
    ToInt(Box<Node>),
    ToDouble(Box<Node>),
}

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
enum Constant {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
}

/// What `in`, `exists` and `all` go through: never longer than [`MAX_ITEMS`].
#[derive(Debug)]
enum Range {
    Items(Box<[Node]>),
    /// The names of the classes of the network.
    Classes,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Quantifier {
    Exists,
    All,
    ExistsOne,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Test {
    StartsWith,
    EndsWith,
    Contains,
}

/// Reads any bytes as an expression and works it out for a bare request; says what came of it.
///
/// What a fuzzer calls. Bytes that are not UTF-8 are replaced.
pub fn expression_any(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let program = match compile(&text) {
        Ok(program) => program,
        // Whoever shows a fault cuts its place out of the text.
        Err(fault) => {
            let part = text.get(fault.at.clone());
            return format!("{} at {part:?}: {}; {}", fault.title, fault.label, fault.help);
        }
    };
    let constant = program.constant();
    let address = std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    let headers = http::HeaderMap::from_iter([(http::header::COOKIE, http::HeaderValue::from_static("a=1; sid=s1"))]);
    let request = CanonicalRequest::of(&RequestHead {
        method: &http::Method::GET,
        target: b"/v1/pay?amount=501.5&note=a%20b",
        authority: None,
        version: http::Version::HTTP_11,
        headers: &headers,
        raw: None,
    });
    let network = AddressFacts::bare(address);
    let scene = Scene {
        facts: &Facts::bare(&request, ClientAddr(address), &network),
        route: &Route::bare("any"),
        signals: &Signals::default(),
        score: Score::thousandths(400),
    };
    let answer = program.holds(&scene);
    // INVARIANT: what does not depend on the request is the same for each.
    debug_assert!(constant.is_none_or(|constant| answer.as_ref().is_ok_and(|answer| *answer == constant)));
    format!("{answer:?}")
}

/// How many items a list in an expression may have.
const MAX_ITEMS: usize = 64;

impl Machine {
    /// A machine that holds wherever the conditions of its rule do.
    pub fn always(effect: Effect) -> Self {
        let (root, limits, own) = (Node::Value(Constant::Bool(true)), Vec::new(), Vec::new());
        let program = Program { root, limits, own, reads: Reads::default() };
        Self { text: "".into(), effect, program: Arc::new(program) }
    }

    /// Whether its rule does its action, and does not weigh.
    pub(crate) fn acts(&self) -> bool {
        self.effect == Effect::Act
    }

    /// Whether it is true or false whatever the request is, and which; none where that depends.
    pub(crate) fn constant(&self) -> Option<bool> {
        self.program.constant()
    }
}

impl fmt::Debug for Machine {
    /// What the machine means, which is its text: the program follows from it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("text", &self.text).field("effect", &self.effect).finish()
    }
}
