//! A program and one request to true or false.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use http::{HeaderMap, HeaderName};
use portcullis_signals::{CanonicalRequest, Clearance, Facts, OwnValue, Proof, Signals, TlsVersion, query_field};
use smallvec::SmallVec;

use super::names::Variable;
use super::{Comparison, Constant, Node, Operator, Program, Quantifier, Range, Test};
use crate::Score;
use crate::conditions::Text;
use crate::model::{LevelOf, Route};

/// Why an expression has no answer for a request. Its rule is then left out.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MachineFault {
    /// An own signal that the request does not come with.
    Absent,
    /// A value of another type than its place asks for.
    WrongType,
    /// A text that is no number.
    NotANumber,
    /// A number past the range.
    Overflow,
    /// A division by zero.
    DivisionByZero,
}

impl MachineFault {
    /// The stable name, as metrics and audit records write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::WrongType => "wrong-type",
            Self::NotANumber => "not-a-number",
            Self::Overflow => "overflow",
            Self::DivisionByZero => "division-by-zero",
        }
    }
}

impl fmt::Display for MachineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "an own signal is absent",
            Self::WrongType => "an own signal is of another type",
            Self::NotANumber => "a text is no number",
            Self::Overflow => "a number is out of range",
            Self::DivisionByZero => "something is divided by zero",
        })
    }
}

/// What an expression reads.
pub(crate) struct Scene<'a, 'f> {
    pub(crate) facts: &'a Facts<'f>,
    pub(crate) route: &'a Route,
    pub(crate) signals: &'a Signals,
    pub(crate) score: Score,
}

impl Program {
    /// Whether the expression holds.
    pub(crate) fn holds(&self, scene: &Scene<'_, '_>) -> Result<bool, MachineFault> {
        Run { scene: Some(scene), bound: SmallVec::new() }.is_true(&self.root)
    }

    /// What it is whatever the request is.
    pub(super) fn constant(&self) -> Option<bool> {
        Run { scene: None, bound: SmallVec::new() }.is_true(&self.root).ok()
    }
}

/// A value while an expression is worked out.
#[derive(Clone, Debug)]
enum Value<'v> {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'v, str>),
}

type Found<'v> = Result<Value<'v>, MachineFault>;

struct Run<'v, 'a, 'f> {
    /// Absent where only what does not depend on a request can be worked out.
    scene: Option<&'v Scene<'a, 'f>>,
    bound: SmallVec<[Value<'v>; 2]>,
}

impl<'v> Run<'v, '_, '_> {
    fn is_true(&mut self, node: &'v Node) -> Result<bool, MachineFault> {
        match node {
            Node::And(sides) => {
                let [one, other] = &**sides;
                self.settle(one, other, false)
            }
            Node::Or(sides) => {
                let [one, other] = &**sides;
                self.settle(one, other, true)
            }
            Node::Not(one) => Ok(!self.is_true(one)?),
            Node::Compare(by, sides) => {
                let [one, other] = &**sides;
                let (one, other) = (self.value(one)?, self.value(other)?);
                compare(*by, &one, &other)
            }
            Node::In(one, range) => self.is_in(one, range),
            Node::Quantify(quantifier, range, body) => self.quantify(*quantifier, range, body),
            Node::Test(test, sides) => {
                let [one, other] = &**sides;
                let (text, part) = (self.text(one)?, self.text(other)?);
                Ok(match test {
                    Test::StartsWith => text.starts_with(&*part),
                    Test::EndsWith => text.ends_with(&*part),
                    Test::Contains => memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some(),
                })
            }
            Node::Like(one, pattern) => {
                let text = self.text(one)?;
                Ok(pattern.matches(&Text::of(text.as_bytes())))
            }
            Node::HasHeader(name) => Ok(self.scene()?.facts.request.header(name).is_some()),
            Node::HasOwn(name) => Ok(self.scene()?.facts.caller.own.iter().any(|own| *own.name == **name)),
            other => match self.value(other)? {
                Value::Bool(value) => Ok(value),
                _ => Err(MachineFault::WrongType),
            },
        }
    }

    /// `&&` and `||`: the side that settles the answer does so even where the other has none.
    fn settle(&mut self, one: &'v Node, other: &'v Node, settling: bool) -> Result<bool, MachineFault> {
        let first = self.is_true(one);
        if first == Ok(settling) {
            return first;
        }
        match (first, self.is_true(other)) {
            (_, Ok(second)) if second == settling => Ok(settling),
            (Err(fault), _) | (Ok(_), Err(fault)) => Err(fault),
            (Ok(_), Ok(_)) => Ok(!settling),
        }
    }

    fn is_in(&mut self, one: &'v Node, range: &'v Range) -> Result<bool, MachineFault> {
        let value = self.value(one)?;
        match range {
            Range::Classes => {
                let Value::Text(name) = value else { return Err(MachineFault::WrongType) };
                Ok(self.scene()?.facts.classes().iter().any(|class| class.name() == name))
            }
            Range::Items(items) => {
                // A list is made before it is looked through, so a fault in any item is one of the list.
                let mut found = false;
                for item in items {
                    found |= equal(&value, &self.value(item)?);
                }
                Ok(found)
            }
        }
    }

    fn quantify(&mut self, quantifier: Quantifier, range: &'v Range, body: &'v Node) -> Result<bool, MachineFault> {
        let mut fault = None;
        let mut met = 0_usize;
        let mut ask = |run: &mut Self, item: Value<'v>| {
            run.bound.push(item);
            let answer = run.is_true(body);
            run.bound.pop();
            match (quantifier, answer) {
                (Quantifier::Exists, Ok(true)) => return Some(true),
                (Quantifier::All, Ok(false)) => return Some(false),
                (Quantifier::ExistsOne, Ok(true)) => met += 1,
                (_, Ok(_)) => {}
                (_, Err(found)) => fault = fault.or(Some(found)),
            }
            None
        };
        match range {
            Range::Classes => {
                for class in self.scene()?.facts.classes().iter() {
                    if let Some(answer) = ask(self, Value::Text(class.name().into())) {
                        return Ok(answer);
                    }
                }
            }
            Range::Items(items) => {
                let values = items.iter().map(|item| self.value(item)).collect::<Result<SmallVec<[_; 8]>, _>>()?;
                for value in values {
                    if let Some(answer) = ask(self, value) {
                        return Ok(answer);
                    }
                }
            }
        }
        match (fault, quantifier) {
            (Some(fault), _) => Err(fault),
            (None, Quantifier::Exists) => Ok(false),
            (None, Quantifier::All) => Ok(true),
            (None, Quantifier::ExistsOne) => Ok(met == 1),
        }
    }

    fn value(&mut self, node: &'v Node) -> Found<'v> {
        Ok(match node {
            Node::Value(constant) => match constant {
                Constant::Bool(value) => Value::Bool(*value),
                Constant::Int(value) => Value::Int(*value),
                Constant::Double(value) => Value::Double(*value),
                Constant::Text(value) => Value::Text(Cow::Borrowed(value)),
            },
            Node::Read(variable) => self.scene()?.read(*variable),
            Node::Own(name) => {
                let own = self.scene()?.facts.caller.own.iter().find(|own| *own.name == **name);
                match own.ok_or(MachineFault::Absent)?.value {
                    OwnValue::Bool(value) => Value::Bool(value),
                    OwnValue::Int(value) => Value::Int(value),
                    OwnValue::Double(value) => Value::Double(value),
                    OwnValue::Text(value) => Value::Text(Cow::Borrowed(value)),
                }
            }
            Node::Signal(signal) => {
                Value::Double(f64::from(self.scene()?.signals.strength(*signal).as_thousandths()) / 1000.0)
            }
            Node::Limit(name) => Value::Int(self.scene()?.limit(name)),
            Node::Header(name) => Value::Text(header(self.scene()?.facts.request.headers(), name)),
            Node::Cookie(name) => text(self.scene()?.facts.request.cookie(name)),
            Node::Parameter(name) => Value::Text(parameter(self.scene()?.facts.request, name)),
            Node::Bound(at) => self.bound.get(*at).cloned().ok_or(MachineFault::Absent)?,
            Node::Negate(one) => match self.value(one)? {
                Value::Int(value) => Value::Int(value.checked_neg().ok_or(MachineFault::Overflow)?),
                Value::Double(value) => Value::Double(-value),
                _ => return Err(MachineFault::WrongType),
            },
            Node::If(sides) => {
                let [condition, one, other] = &**sides;
                return if self.is_true(condition)? { self.value(one) } else { self.value(other) };
            }
            Node::Compute(by, sides) => {
                let [one, other] = &**sides;
                match (self.value(one)?, self.value(other)?) {
                    (Value::Int(one), Value::Int(other)) => Value::Int(whole(*by, one, other)?),
                    (Value::Double(one), Value::Double(other)) => Value::Double(pointed(*by, one, other)?),
                    _ => return Err(MachineFault::WrongType),
                }
            }
            Node::Size(one) => Value::Int(length(self.text(one)?.chars().count())),
            Node::Count(Range::Items(items)) => Value::Int(length(items.len())),
            Node::Count(Range::Classes) => Value::Int(length(self.scene()?.facts.classes().len())),
            Node::Lower(one) => Value::Text(Cow::Owned(self.text(one)?.to_ascii_lowercase())),
            Node::ToInt(one) => Value::Int(match self.value(one)? {
                Value::Int(value) => value,
                Value::Double(value) => truncated(value)?,
                Value::Text(text) => text.parse().map_err(|_| MachineFault::NotANumber)?,
                Value::Bool(_) => return Err(MachineFault::WrongType),
            }),
            Node::ToDouble(one) => Value::Double(match self.value(one)? {
                Value::Int(value) => to_double(value),
                Value::Double(value) => value,
                Value::Text(text) => plain_number(&text).ok_or(MachineFault::NotANumber)?,
                Value::Bool(_) => return Err(MachineFault::WrongType),
            }),
            Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Compare(..)
            | Node::In(..)
            | Node::Quantify(..)
            | Node::Test(..)
            | Node::Like(..)
            | Node::HasHeader(_)
            | Node::HasOwn(_) => Value::Bool(self.is_true(node)?),
        })
    }

    fn text(&mut self, node: &'v Node) -> Result<Cow<'v, str>, MachineFault> {
        match self.value(node)? {
            Value::Text(text) => Ok(text),
            _ => Err(MachineFault::WrongType),
        }
    }

    fn scene(&self) -> Result<&'v Scene<'v, 'v>, MachineFault> {
        self.scene.ok_or(MachineFault::Absent)
    }
}

impl<'f> Scene<'_, 'f> {
    fn read(&self, variable: Variable) -> Value<'f> {
        let facts = self.facts;
        let shown = |value: Option<String>| Value::Text(Cow::Owned(value.unwrap_or_default()));
        match variable {
            Variable::Score => Value::Double(f64::from(self.score.as_thousandths()) / 1000.0),
            Variable::Ip => shown(Some(facts.client.0.to_string())),
            Variable::Asn => Value::Int(facts.network.asn.map_or(0, |asn| i64::from(asn.0))),
            Variable::Country => text(facts.network.country.as_ref().map(portcullis_intel::Country::as_str)),
            Variable::Ja3 => shown(facts.tls.map(|tls| tls.ja3.to_string())),
            Variable::Ja4 => shown(facts.tls.map(|tls| tls.ja4.to_string())),
            Variable::Http2 => shown(facts.http2.map(ToString::to_string)),
            Variable::TlsVersion => text(facts.tls.map(|tls| match tls.version {
                TlsVersion::Tls12 => "1.2",
                TlsVersion::Tls13 => "1.3",
            })),
            Variable::Claim => text(Some(facts.claim.kind.name())),
            Variable::ClientName => text(facts.claim.name),
            Variable::Crawler => text(facts.crawler().map(|crawler| crawler.kind.name())),
            Variable::CrawlerVerified => {
                Value::Bool(facts.crawler().is_some_and(|crawler| crawler.proof == Proof::Verified))
            }
            Variable::At => Value::Int(i64::try_from(facts.at.0).unwrap_or(i64::MAX)),
            Variable::AddressPerMinute => Value::Int(facts.behaviour.address_per_minute.into()),
            Variable::PrefixPerMinute => Value::Int(facts.behaviour.prefix_per_minute.into()),
            Variable::FingerprintPerMinute => Value::Int(facts.behaviour.fingerprint_per_minute.into()),
            Variable::NamedPerMinute => Value::Int(facts.behaviour.named_per_minute.into()),
            Variable::Attempts => Value::Int(facts.outcomes.attempts.into()),
            Variable::Failures => Value::Int(facts.outcomes.failures.into()),
            Variable::FailedUsers => Value::Int(facts.conduct.failed_users.into()),
            Variable::Networks => Value::Int(facts.conduct.networks.into()),
            Variable::Paths => Value::Int(facts.conduct.paths.into()),
            Variable::MissingPaths => Value::Int(facts.conduct.missing_paths.into()),
            Variable::Sequence => Value::Int(facts.conduct.sequence.into()),
            Variable::Posture => text(Some(facts.posture.name())),
            Variable::Account => text(facts.caller.account),
            Variable::Device => text(facts.caller.device),
            Variable::Token => text(facts.caller.token),
            Variable::User => text(facts.caller.user),
            Variable::ApiKey => text(facts.caller.api_key),
            Variable::Session => text(facts.caller.session),
            Variable::Clearance => text(facts.caller.clearance.map(|rung| match rung {
                Clearance::NoScript => "no_script",
                Clearance::ProofOfWork => "proof_of_work",
                Clearance::MemoryHard => "memory_hard",
                Clearance::StepUp => "step_up",
            })),
            Variable::Method => text(Some(facts.request.method().as_str())),
            Variable::Host => text(Some(facts.request.host())),
            Variable::Path => text(Some(facts.request.path().as_str())),
            Variable::Query => text(facts.request.query()),
        }
    }

    /// What a limit of the route read, by its name or that of one of its levels; 0 for one that the route has not got.
    /// A limit of several levels is its softest.
    fn limit(&self, name: &str) -> i64 {
        let is_meant = |LevelOf { limit, level, .. }: &LevelOf<'_>| *limit.name == *name || *level.name == *name;
        let mut readings = self.route.levels().zip(self.facts.limits);
        readings.find(|(level, _)| is_meant(level)).map_or(0, |(_, reading)| reading.count.into())
    }
}

/// A text that reads as an empty one where it is absent.
fn text(value: Option<&str>) -> Value<'_> {
    Value::Text(Cow::Borrowed(value.unwrap_or_default()))
}

/// All values of a header field, as one that is a list of them (RFC 9110 §5.2); what is not UTF-8 in it is U+FFFD.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next().unwrap_or_default();
    values.fold(first, |list, value| Cow::Owned(format!("{list}, {value}")))
}

/// A parameter of the query as a form is read; as it was sent, the first of that name, where parsers differ.
pub(super) fn parameter<'a>(request: &CanonicalRequest<'a>, name: &str) -> Cow<'a, str> {
    match request.query().map(|query| query_field(query, name)) {
        Some(portcullis_signals::Found::Text(value)) => Cow::Owned(value.into()),
        _ => Cow::Borrowed(request.query_value(name).unwrap_or_default()),
    }
}

fn compare(by: Comparison, one: &Value<'_>, other: &Value<'_>) -> Result<bool, MachineFault> {
    match by {
        Comparison::Equal => return Ok(equal(one, other)),
        Comparison::Unequal => return Ok(!equal(one, other)),
        _ => {}
    }
    let order = match (one, other) {
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        (Value::Bool(_) | Value::Text(_), _) | (_, Value::Bool(_) | Value::Text(_)) => {
            return Err(MachineFault::WrongType);
        }
        _ => numbers(one, other),
    };
    // Nothing is above or below what is not a number.
    let Some(order) = order else { return Ok(false) };
    Ok(match by {
        Comparison::Less => order == Ordering::Less,
        Comparison::AtMost => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::AtLeast => order != Ordering::Less,
        Comparison::Equal | Comparison::Unequal => false,
    })
}

/// Whether two values are the same; values of two types never are.
fn equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Bool(_) | Value::Text(_), _) | (_, Value::Bool(_) | Value::Text(_)) => false,
        _ => numbers(one, other) == Some(Ordering::Equal),
    }
}

/// The order of two numbers, of whichever type; none for what is not a number.
fn numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Int(one), Value::Double(other)) => to_double(*one).partial_cmp(other),
        (Value::Double(one), Value::Int(other)) => one.partial_cmp(&to_double(*other)),
        (Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
        _ => None,
    }
}

fn whole(by: Operator, one: i64, other: i64) -> Result<i64, MachineFault> {
    if matches!(by, Operator::Divide | Operator::Remainder) && other == 0 {
        return Err(MachineFault::DivisionByZero);
    }
    match by {
        Operator::Add => one.checked_add(other),
        Operator::Subtract => one.checked_sub(other),
        Operator::Multiply => one.checked_mul(other),
        Operator::Divide => one.checked_div(other),
        Operator::Remainder => one.checked_rem(other),
    }
    .ok_or(MachineFault::Overflow)
}

fn pointed(by: Operator, one: f64, other: f64) -> Result<f64, MachineFault> {
    Ok(match by {
        Operator::Add => one + other,
        Operator::Subtract => one - other,
        Operator::Multiply => one * other,
        Operator::Divide => one / other,
        Operator::Remainder => return Err(MachineFault::WrongType),
    })
}

fn to_double(value: i64) -> f64 {
    #[expect(clippy::as_conversions, reason = "rounds to the nearest number with a point, as CEL does")]
    {
        value as f64
    }
}

/// The whole number towards zero.
fn truncated(value: f64) -> Result<i64, MachineFault> {
    // 2^63 is the first number past the range, and is exact.
    if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        return Err(MachineFault::Overflow);
    }
    #[expect(clippy::as_conversions, reason = "was found to be in the range")]
    Ok(value as i64)
}

/// A number as a client may write it: no sign of infinity, nothing but digits, a point, a sign and an exponent.
fn plain_number(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
