//! A tree to a program: every name is known, every type fits, the cost is bounded.

use std::ops::Range as Bytes;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use portcullis_intel::NetworkClass;
use portcullis_signals::{CrawlerKind, Kind, Posture, SignalId};

use super::names::{FUNCTIONS, Source, VARIABLES, Variable};
use super::parse::{Fault, Parsed};
use super::{Comparison, Constant, MAX_ITEMS, Node, Operator, Program, Quantifier, Range, Reads, Test};
use crate::conditions::Pattern;
use crate::diagnostics::{alternatives, nearest, quote};
use crate::model::Case;
use crate::patterns::pattern;

/// The type of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Type {
    Bool,
    Int,
    Double,
    Text,
    /// An own signal: what it is shows when it is read.
    Any,
}

impl Type {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Double => "double",
            Self::Text => "text",
            Self::Any => "any",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Double => "a number with a point",
            Self::Text => "a text",
            Self::Any => "an own signal",
        }
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }

    fn fits(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }

    /// Whether values of both can be equal.
    fn meets(self, other: Self) -> bool {
        self.fits(other) || self.is_number() && other.is_number()
    }
}

/// Compiles an expression, which must be true or false.
pub(crate) fn compile(text: &str) -> Result<Program, Fault> {
    let parsed = Parsed::of(text)?;
    let (bound, limits, own) = Default::default();
    let mut checker = Checker { parsed: &parsed, bound, limits, own, reads: Reads::default() };
    let (root, of) = checker.node(&parsed.root)?;
    if !of.fits(Type::Bool) {
        let help = "an expression says whether the rule holds: compare the value with something";
        let label = format!("{}, not true or false", of.words());
        return Err(Fault::new("the expression does not say yes or no", 0..text.len(), label, help));
    }
    let cost = cost(&root);
    if cost > MAX_COST {
        let help = "compare fewer items, or divide it into several rules";
        let label = format!("{cost} steps, of {MAX_COST} at most");
        return Err(Fault::new("the expression costs too much", 0..text.len(), label, help));
    }
    let Checker { limits, own, reads, .. } = checker;
    Ok(Program { root, limits, own, reads })
}

struct Checker<'p, 't> {
    parsed: &'p Parsed<'t>,
    /// The variables of the macros around the current node.
    bound: Vec<(String, Type)>,
    limits: Vec<(Box<str>, Bytes<usize>)>,
    own: Vec<Box<str>>,
    reads: Reads,
}

type Checked = Result<(Node, Type), Fault>;

impl Checker<'_, '_> {
    fn node(&mut self, expr: &IdedExpr) -> Checked {
        match &expr.expr {
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Ident(name) => self.variable(expr, name),
            Expr::Select(select) => self.select(expr, select),
            Expr::Call(call) => self.call(expr, call),
            Expr::List(_) => Err(self.fault(
                expr,
                "a list cannot stand here",
                "a list by itself",
                "a list stands behind `in`, or before `.exists(x, ...)` and `.all(x, ...)`",
            )),
            Expr::Map(_) | Expr::Struct(_) => {
                Err(self.fault(expr, "there are no maps and messages", "cannot be read", "compare single values"))
            }
            Expr::Comprehension(_) | Expr::Unspecified => {
                Err(self.fault(expr, "this is no expression of a rule", "cannot be read", "write it in another way"))
            }
        }
    }

    fn literal(&self, expr: &IdedExpr, literal: &LiteralValue) -> Checked {
        Ok(match literal {
            LiteralValue::Boolean(value) => (Node::Value(Constant::Bool(*value.inner())), Type::Bool),
            LiteralValue::Int(value) => (Node::Value(Constant::Int(*value.inner())), Type::Int),
            LiteralValue::Double(value) => (Node::Value(Constant::Double(*value.inner())), Type::Double),
            LiteralValue::String(value) => (Node::Value(Constant::Text(value.inner().into())), Type::Text),
            LiteralValue::UInt(_) => {
                return Err(self.fault(expr, "there are no unsigned numbers", "ends in `u`", "leave the `u` out"));
            }
            LiteralValue::Bytes(_) | LiteralValue::Null => {
                let help = "what is absent reads as an empty text or 0; own signals are asked for by `has(identity.x)`";
                return Err(self.fault(expr, "nothing is of this type", "neither text nor number", help));
            }
        })
    }

    fn variable(&mut self, expr: &IdedExpr, name: &str) -> Checked {
        if let Some(at) = self.bound.iter().rposition(|(bound, _)| bound == name) {
            let of = self.bound.get(at).map_or(Type::Any, |(_, of)| *of);
            return Ok((Node::Bound(at), of));
        }
        self.path(expr, name, name)
    }

    fn select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Checked {
        let Some(base) = dotted(&select.operand.expr) else {
            let help = "fields are those of `facts`, `counters`, `caller`, `request`, `identity` and `signals`";
            return Err(self.fault_at_name(expr, &select.field, "this has no fields", help));
        };
        if base == "identity" {
            self.reads.known = true;
            self.own.push(select.field.as_str().into());
            return Ok((Node::Own(select.field.as_str().into()), Type::Any));
        }
        if base == "signals" {
            return self.signal(&select.field, self.parsed.place_of_name(expr, &select.field));
        }
        self.path(expr, &format!("{base}.{}", select.field), &select.field)
    }

    /// A variable by its whole name.
    fn path(&mut self, expr: &IdedExpr, path: &str, last: &str) -> Checked {
        if let Some(named) = VARIABLES.iter().find(|named| named.name == path) {
            match named.source {
                Source::Sent => self.reads.sent = true,
                Source::Known => self.reads.known = true,
            }
            return Ok((Node::Read(named.variable), named.of));
        }
        let place = self.parsed.place_of_name(expr, last);
        // Where the very first word is unknown, it is at fault, not its field.
        let root = path.split('.').next().unwrap_or_default();
        let place = if ROOTS.contains(&root) { place } else { self.parsed.whole(expr).start..place.end };
        let fault = |help: String| {
            Err(Fault::new(format!("unknown variable {}", quote(path)), place.clone(), "not known here", help))
        };
        if path == "facts.class" {
            return fault("it is a list: write `\"tor\" in facts.class`".to_owned());
        }
        if path == root && ROOTS.contains(&root) {
            return fault(format!("name one of its fields, such as {}", self.example(root)));
        }
        let names: Vec<&str> = VARIABLES.iter().map(|named| named.name).chain(["facts.class"]).collect();
        if let Some(near) = nearest(path, &names) {
            return fault(format!("did you mean `{near}`?"));
        }
        let fields: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(root)?.strip_prefix('.')).collect();
        if let Some(near) = nearest(last, &fields) {
            return fault(format!("did you mean `{root}.{near}`?"));
        }
        if !fields.is_empty() {
            return fault(format!("known of `{root}`: {}", alternatives(&fields)));
        }
        let near = nearest(root, &ROOTS)
            .map_or_else(|| format!("known here: {}", alternatives(&ROOTS)), |near| format!("did you mean `{near}`?"));
        fault(near)
    }

    fn example(&self, root: &str) -> &'static str {
        match root {
            "signals" => "`signals[\"ua-tool\"]`",
            "identity" => "`identity.account_age_days`",
            "request" => "`request.path`",
            "caller" => "`caller.user`",
            "counters" => "`counters.failures`",
            _ => "`facts.country`",
        }
    }

    fn signal(&mut self, name: &str, place: Bytes<usize>) -> Checked {
        self.reads.known = true;
        // A dash is no part of a name in CEL, so `signals.ua_tool` is `signals["ua-tool"]`.
        let dashed = name.replace('_', "-");
        if let Ok(signal) = dashed.parse::<SignalId>() {
            return Ok((Node::Signal(signal), Type::Double));
        }
        let names: Vec<_> = SignalId::ALL.iter().map(|signal| signal.name()).collect();
        Err(unknown_word("signal", name, place, &names))
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Checked {
        let name = call.func_name.as_str();
        match (&call.target, call.args.as_slice()) {
            (None, [one]) if name == operators::LOGICAL_NOT => {
                Ok((Node::Not(Box::new(self.of(one, Type::Bool, "`!`")?)), Type::Bool))
            }
            (None, [one]) if name == operators::NEGATE => self.negate(one),
            (None, [one, other]) if name == operators::LOGICAL_AND => {
                let sides = [self.of(one, Type::Bool, "`&&`")?, self.of(other, Type::Bool, "`&&`")?];
                Ok((Node::And(Box::new(sides)), Type::Bool))
            }
            (None, [one, other]) if name == operators::LOGICAL_OR => {
                let sides = [self.of(one, Type::Bool, "`||`")?, self.of(other, Type::Bool, "`||`")?];
                Ok((Node::Or(Box::new(sides)), Type::Bool))
            }
            (None, [condition, one, other]) if name == operators::CONDITIONAL => {
                self.conditional(expr, condition, one, other)
            }
            (None, [one, list]) if name == operators::IN => self.among(expr, one, list),
            (None, [base, index]) if name == operators::INDEX => self.index(expr, base, index),
            (None, [one, other]) => match (comparison(name), operator(name)) {
                (Some(comparison), _) => self.compare(expr, comparison, one, other),
                (_, Some(operator)) => self.compute(expr, operator, one, other),
                _ => self.function(expr, call),
            },
            _ => self.function(expr, call),
        }
    }

    /// A node that must be of one type.
    fn of(&mut self, expr: &IdedExpr, wanted: Type, by: &str) -> Result<Node, Fault> {
        let (node, of) = self.node(expr)?;
        if of.fits(wanted) {
            return Ok(node);
        }
        let title = format!("{by} takes {}", wanted.words());
        Err(self.fault(expr, title, of.words(), "compare it with something, or convert it"))
    }

    fn negate(&mut self, one: &IdedExpr) -> Checked {
        let (node, of) = self.node(one)?;
        if !(of.is_number() || of == Type::Any) {
            return Err(self.fault(one, "`-` takes a number", of.words(), "take the `-` out"));
        }
        Ok((Node::Negate(Box::new(node)), of))
    }

    fn conditional(&mut self, expr: &IdedExpr, condition: &IdedExpr, one: &IdedExpr, other: &IdedExpr) -> Checked {
        let condition = self.of(condition, Type::Bool, "`?`")?;
        let ((one, one_of), (other, other_of)) = (self.node(one)?, self.node(other)?);
        if !one_of.fits(other_of) {
            let label = format!("{}, or {}", one_of.words(), other_of.words());
            return Err(self.fault(expr, "both sides of `:` are of one type", label, "give both the same type"));
        }
        let of = if one_of == Type::Any { other_of } else { one_of };
        Ok((Node::If(Box::new([condition, one, other])), of))
    }

    fn compare(&mut self, expr: &IdedExpr, by: Comparison, one: &IdedExpr, other: &IdedExpr) -> Checked {
        let ((left, left_of), (right, right_of)) = (self.node(one)?, self.node(other)?);
        if !left_of.meets(right_of) {
            let label = format!("{} beside {}", left_of.words(), right_of.words());
            let help = "convert one of them: `double(...)` or `int(...)` of a text, quotes around a text";
            return Err(self.fault(expr, "these two cannot be compared", label, help));
        }
        self.check_words(&left, other)?;
        self.check_words(&right, one)?;
        let ordered = !matches!(by, Comparison::Equal | Comparison::Unequal);
        if ordered && (left_of == Type::Bool || right_of == Type::Bool) {
            return Err(self.fault(expr, "true and false have no order", "compares them", "write `==` or `!=`"));
        }
        Ok((Node::Compare(by, Box::new([left, right])), Type::Bool))
    }

    fn compute(&mut self, expr: &IdedExpr, by: Operator, one: &IdedExpr, other: &IdedExpr) -> Checked {
        let ((left, left_of), (right, right_of)) = (self.node(one)?, self.node(other)?);
        let of = if left_of == Type::Any { right_of } else { left_of };
        let known = match (by, of) {
            (_, Type::Any | Type::Int) => true,
            (Operator::Remainder, _) => false,
            (_, Type::Double) => true,
            (_, Type::Text | Type::Bool) => false,
        };
        if !left_of.fits(right_of) || !known {
            let label = format!("{} and {}", left_of.words(), right_of.words());
            let title = "this cannot be computed";
            let help = if left_of.is_number() && right_of.is_number() && by != Operator::Remainder {
                "both are whole or both have a point: write `7.0`, or `double(...)`"
            } else {
                "`+ - * /` take two whole numbers or two with a point, and `%` two whole ones"
            };
            return Err(self.fault(expr, title, label, help));
        }
        Ok((Node::Compute(by, Box::new([left, right])), of))
    }

    fn among(&mut self, expr: &IdedExpr, one: &IdedExpr, list: &IdedExpr) -> Checked {
        let (node, of) = self.node(one)?;
        if dotted(&list.expr).as_deref() == Some("signals") {
            let help = "compare its strength, which is 0.0 where it is absent: `signals[\"ua-tool\"] > 0.0`";
            return Err(self.fault(list, "signals are no list", "every signal has a strength", help));
        }
        let (range, items) = self.range(list)?;
        if !of.meets(items) {
            let label = format!("{} among items that are {}", of.words(), items.words());
            return Err(self.fault(expr, "this is never in the list", label, "write items of the same type"));
        }
        match (&range, &node) {
            (Range::Classes, Node::Value(Constant::Text(word))) => self.check_word(&CLASSES, word, one)?,
            (Range::Items(_), _) => {
                if let Expr::List(list) = &list.expr {
                    list.elements.iter().try_for_each(|item| self.check_words(&node, item))?;
                }
            }
            _ => {}
        }
        Ok((Node::In(Box::new(node), range), Type::Bool))
    }

    /// What can be gone through, and the type of its items.
    fn range(&mut self, list: &IdedExpr) -> Result<(Range, Type), Fault> {
        if dotted(&list.expr).as_deref() == Some("facts.class") {
            self.reads.known = true;
            return Ok((Range::Classes, Type::Text));
        }
        let Expr::List(items) = &list.expr else {
            let help = "write `[\"a\", \"b\"]`, or `facts.class`: what a client sends is not gone through item by item";
            return Err(self.fault(list, "this is no list", "expected a list", help));
        };
        if items.elements.len() > MAX_ITEMS {
            let help = format!("a list has at most {MAX_ITEMS} items; longer ones are named lists, in `when`");
            return Err(self.fault(list, "the list is too long", format!("{} items", items.elements.len()), help));
        }
        let mut of = None;
        let mut nodes = Vec::with_capacity(items.elements.len());
        for item in &items.elements {
            let (node, item_of) = self.node(item)?;
            if of.is_some_and(|of: Type| !of.meets(item_of)) {
                return Err(self.fault(item, "a list has items of one type", item_of.words(), "make two lists of it"));
            }
            of = of.or(Some(item_of));
            nodes.push(node);
        }
        Ok((Range::Items(nodes.into()), of.unwrap_or(Type::Any)))
    }

    fn index(&mut self, expr: &IdedExpr, base: &IdedExpr, index: &IdedExpr) -> Checked {
        let Expr::Literal(LiteralValue::String(name)) = &index.expr else {
            let help = "write the name in quotes, such as `signals[\"ua-tool\"]` or `counters.limits[\"per address\"]`";
            return Err(self.fault(index, "what stands in brackets is a name", "not a name in quotes", help));
        };
        let place = self.parsed.place(index);
        match dotted(&base.expr).as_deref() {
            Some("signals") => self.signal(name.inner(), place),
            Some("identity") => {
                self.reads.known = true;
                self.own.push(name.inner().into());
                Ok((Node::Own(name.inner().into()), Type::Any))
            }
            Some("counters.limits") => {
                self.reads.known = true;
                self.limits.push((name.inner().into(), place));
                Ok((Node::Limit(name.inner().into()), Type::Int))
            }
            _ => {
                let help = "only `signals`, `identity` and `counters.limits` are looked up by a name";
                Err(self.fault(expr, "this has no entries", "looked up here", help))
            }
        }
    }

    fn function(&mut self, expr: &IdedExpr, call: &CallExpr) -> Checked {
        let name = call.func_name.as_str();
        let target = call.target.as_deref();
        if let Some(target) = target
            && dotted(&target.expr).as_deref() == Some("request")
        {
            return self.of_request(expr, name, &call.args);
        }
        match (name, target, call.args.as_slice()) {
            ("has", None, [one]) => self.has(one),
            ("size", None, [one]) | ("size", Some(one), []) => self.size(one),
            ("int" | "double", None, [one]) | ("int" | "double", Some(one), []) => self.convert(name, one),
            ("lowerAscii", Some(one), []) => {
                Ok((Node::Lower(Box::new(self.of(one, Type::Text, "`lowerAscii`")?)), Type::Text))
            }
            ("startsWith" | "endsWith" | "contains", Some(one), [other]) => {
                let by = format!("`{name}`");
                let sides = [self.of(one, Type::Text, &by)?, self.of(other, Type::Text, &by)?];
                let test = match name {
                    "startsWith" => Test::StartsWith,
                    "endsWith" => Test::EndsWith,
                    _ => Test::Contains,
                };
                Ok((Node::Test(test, Box::new(sides)), Type::Bool))
            }
            ("like", Some(one), [other]) => self.like(one, other),
            ("exists" | "all" | "exists_one", Some(list), [variable, body]) => {
                self.quantify(expr, name, list, variable, body)
            }
            _ => Err(self.unknown_function(expr, name)),
        }
    }

    fn unknown_function(&self, expr: &IdedExpr, name: &str) -> Fault {
        let place = self.parsed.place_of_name(expr, name);
        match name {
            "matches" => Fault::new(
                "there are no regular expressions",
                place,
                "not known here",
                "write `.like(\"*bot*\")`: a pattern with stars takes linear time on every text",
            ),
            "map" | "filter" => Fault::new(
                format!("{} builds a list", quote(name)),
                place,
                "has no bound",
                "ask with `exists` or `all`",
            ),
            _ if NAMES.contains(&name) => {
                let usage =
                    FUNCTIONS.iter().find(|(usage, ..)| usage.contains(&format!("{name}("))).map(|found| found.0);
                let help = usage.map_or_else(String::new, |usage| format!("write `{usage}`"));
                Fault::new(format!("{} is called with something else", quote(name)), place, "called here", help)
            }
            _ => unknown_word("function", name, place, &NAMES),
        }
    }

    fn of_request(&mut self, expr: &IdedExpr, name: &str, args: &[IdedExpr]) -> Checked {
        const KNOWN: [&str; 4] = ["header", "has_header", "cookie", "param"];
        self.reads.sent = true;
        let place = self.parsed.place_of_name(expr, name);
        if !KNOWN.contains(&name) {
            return Err(unknown_word("function", name, place, &KNOWN));
        }
        let [IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }] = args else {
            let help = format!("write `request.{name}(\"x-name\")`: what is read is known when the rules are compiled");
            return Err(Fault::new(format!("{} takes a name in quotes", quote(name)), place, "called here", help));
        };
        let text = text.inner();
        let header = || {
            text.parse::<http::HeaderName>().map_err(|_| {
                let place = args.first().map_or(place.clone(), |arg| self.parsed.place(arg));
                Fault::new(
                    format!("{} is no header", quote(text)),
                    place,
                    "no name of a header",
                    "write it as it is sent",
                )
            })
        };
        Ok(match name {
            "header" => (Node::Header(header()?), Type::Text),
            "has_header" => (Node::HasHeader(header()?), Type::Bool),
            "cookie" => (Node::Cookie(text.into()), Type::Text),
            _ => (Node::Parameter(text.into()), Type::Text),
        })
    }

    fn has(&mut self, one: &IdedExpr) -> Checked {
        if let Expr::Select(select) = &one.expr
            && dotted(&select.operand.expr).as_deref() == Some("identity")
        {
            self.reads.known = true;
            self.own.push(select.field.as_str().into());
            return Ok((Node::HasOwn(select.field.as_str().into()), Type::Bool));
        }
        let help =
            "only own signals can be absent, as in `has(identity.account_age_days)`; all else reads as empty or 0";
        Err(self.fault(one, "`has` asks for an own signal", "always there", help))
    }

    fn size(&mut self, one: &IdedExpr) -> Checked {
        if matches!(one.expr, Expr::List(_)) || dotted(&one.expr).as_deref() == Some("facts.class") {
            return Ok((Node::Count(self.range(one)?.0), Type::Int));
        }
        Ok((Node::Size(Box::new(self.of(one, Type::Text, "`size`")?)), Type::Int))
    }

    fn convert(&mut self, name: &str, one: &IdedExpr) -> Checked {
        let (node, of) = self.node(one)?;
        if of == Type::Bool {
            let title = format!("`{name}` takes a text or a number");
            return Err(self.fault(one, title, of.words(), "write `a ? 1 : 0`"));
        }
        let node = Box::new(node);
        Ok(if name == "int" { (Node::ToInt(node), Type::Int) } else { (Node::ToDouble(node), Type::Double) })
    }

    fn like(&mut self, one: &IdedExpr, other: &IdedExpr) -> Checked {
        let text = self.of(one, Type::Text, "`like`")?;
        let Expr::Literal(LiteralValue::String(written)) = &other.expr else {
            let help = "write the pattern in quotes, such as `request.path.like(\"/v1/*\")`";
            return Err(self.fault(other, "a pattern stands in quotes", "not known before a request", help));
        };
        match pattern(written.inner(), Case::Sensitive) {
            Ok(pattern) => Ok((Node::Like(Box::new(text), Box::new(Pattern::of(&pattern))), Type::Bool)),
            Err(fault) => {
                let title = format!("{} is no pattern", quote(written.inner()));
                let help = "a pattern is for the whole text; `*` stands for any run of characters";
                Err(self.fault(other, title, fault.to_string(), help))
            }
        }
    }

    fn quantify(
        &mut self,
        expr: &IdedExpr,
        name: &str,
        list: &IdedExpr,
        variable: &IdedExpr,
        body: &IdedExpr,
    ) -> Checked {
        let Expr::Ident(variable) = &variable.expr else {
            let help = format!("write `{name}(x, x > 1)`: a name for the item, then what it is asked");
            return Err(self.fault(expr, format!("`{name}` begins with a name"), "called here", help));
        };
        let (range, of) = self.range(list)?;
        self.bound.push((variable.clone(), of));
        let body = self.of(body, Type::Bool, &format!("`{name}`"));
        self.bound.pop();
        let quantifier = match name {
            "exists" => Quantifier::Exists,
            "all" => Quantifier::All,
            _ => Quantifier::ExistsOne,
        };
        Ok((Node::Quantify(quantifier, range, Box::new(body?)), Type::Bool))
    }

    /// A text that is held against a variable with a closed list of values must be one of them.
    fn check_words(&self, node: &Node, other: &IdedExpr) -> Result<(), Fault> {
        let Expr::Literal(LiteralValue::String(word)) = &other.expr else { return Ok(()) };
        let words: Vec<&str> = match node {
            Node::Read(Variable::Claim) => Kind::ALL.map(Kind::name).to_vec(),
            Node::Read(Variable::Posture) => Posture::ALL.map(Posture::name).to_vec(),
            Node::Read(Variable::Crawler) => CrawlerKind::ALL.map(CrawlerKind::name).into_iter().chain([""]).collect(),
            Node::Read(Variable::TlsVersion) => vec!["1.2", "1.3", ""],
            Node::Read(Variable::Clearance) => vec!["no_script", "proof_of_work", "memory_hard", "step_up", ""],
            Node::Read(Variable::Country) => {
                let plain = word.inner().len() == 2 && word.inner().bytes().all(|byte| byte.is_ascii_uppercase());
                if plain || word.inner().is_empty() {
                    return Ok(());
                }
                let help = "a country is its two letters in upper case (ISO 3166-1), such as \"DE\"";
                return Err(self.fault(other, format!("{} is no country", quote(word.inner())), "never met", help));
            }
            Node::Read(Variable::Method) => {
                return self.check_form(
                    word.inner(),
                    &word.inner().to_ascii_uppercase(),
                    "methods are in upper case",
                    other,
                );
            }
            Node::Read(Variable::Host) => {
                return self.check_form(
                    word.inner(),
                    &word.inner().to_ascii_lowercase(),
                    "hosts are in lower case",
                    other,
                );
            }
            _ => return Ok(()),
        };
        self.check_word(&words, word.inner(), other)
    }

    /// A text that is held against a variable of one form must be of that form, or it is never met.
    fn check_form(&self, word: &str, form: &str, says: &str, at: &IdedExpr) -> Result<(), Fault> {
        if word == form {
            return Ok(());
        }
        Err(self.fault(at, format!("{} is never met", quote(word)), says, format!("write \"{form}\"")))
    }

    fn check_word(&self, known: &[&str], word: &str, at: &IdedExpr) -> Result<(), Fault> {
        if known.contains(&word) {
            return Ok(());
        }
        let known: Vec<&str> = known.iter().filter(|known| !known.is_empty()).copied().collect();
        Err(unknown_word("value", word, self.parsed.place(at), &known))
    }

    fn fault(
        &self,
        expr: &IdedExpr,
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Fault {
        Fault::new(title, self.parsed.whole(expr), label, help)
    }

    fn fault_at_name(&self, expr: &IdedExpr, name: &str, title: &str, help: &str) -> Fault {
        Fault::new(title, self.parsed.place_of_name(expr, name), "not known here", help)
    }
}

fn unknown_word(what: &str, word: &str, place: Bytes<usize>, names: &[&str]) -> Fault {
    let help = nearest(word, names)
        .map_or_else(|| format!("known: {}", alternatives(names)), |near| format!("did you mean `{near}`?"));
    Fault::new(format!("unknown {what} {}", quote(word)), place, "not known here", help)
}

/// A name with its dots, where an expression is nothing else.
fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", dotted(&select.operand.expr)?, select.field)),
        _ => None,
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::Unequal,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::AtMost,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::AtLeast,
        _ => return None,
    })
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        _ => return None,
    })
}

/// How many steps a node takes at most.
fn cost(node: &Node) -> u64 {
    let items = |range: &Range| match range {
        Range::Items(items) => items.iter().map(cost).fold(0, u64::saturating_add),
        Range::Classes => CLASSES_COST,
    };
    let count = |range: &Range| match range {
        Range::Items(items) => u64::try_from(items.len()).unwrap_or(u64::MAX),
        Range::Classes => CLASSES_COST,
    };
    let inner = match node {
        Node::Not(one) | Node::Negate(one) | Node::Size(one) | Node::ToInt(one) | Node::ToDouble(one) => cost(one),
        Node::Lower(one) | Node::Like(one, _) => cost(one).saturating_add(TEXT_COST),
        Node::And(two) | Node::Or(two) | Node::Compare(_, two) | Node::Compute(_, two) => two.iter().map(cost).sum(),
        Node::Test(_, two) => two.iter().map(cost).sum::<u64>().saturating_add(TEXT_COST),
        Node::If(three) => three.iter().map(cost).sum(),
        Node::In(one, range) => cost(one).saturating_add(items(range)),
        Node::Count(range) => items(range),
        Node::Quantify(_, range, body) => items(range).saturating_add(count(range).saturating_mul(cost(body))),
        _ => 0,
    };
    inner.saturating_add(1)
}

/// What stands before the first dot of a variable.
const ROOTS: [&str; 7] = ["score", "signals", "facts", "counters", "identity", "caller", "request"];

/// The names of functions.
const NAMES: [&str; 12] = [
    "has",
    "size",
    "int",
    "double",
    "startsWith",
    "endsWith",
    "contains",
    "like",
    "lowerAscii",
    "exists",
    "all",
    "exists_one",
];

const CLASSES: [&str; 9] = {
    let all = NetworkClass::ALL;
    let mut names = [""; 9];
    let mut at = 0;
    while at < names.len() {
        #[expect(clippy::indexing_slicing, reason = "checked when it is compiled")]
        {
            names[at] = all[at].name();
        }
        at += 1;
    }
    names
};

/// A network is of nine classes at most.
const CLASSES_COST: u64 = 9;

/// What looking through a text counts: a header can be as long as a request's head.
const TEXT_COST: u64 = 50;

/// How many steps an expression may take: some ten microseconds at the very worst.
const MAX_COST: u64 = 2_000;
