//! `[[route]]` as written.

use std::sync::Arc;

use http::Method;
use portcullis_signals::{CanonicalPath, Host};

use super::reader::{Item, Reader, Section};
use super::values::RouteValues;
use super::{LimitTable, Located, RuleTable};
use crate::diagnostics::{Span, nearest, quote};

/// One route.
#[derive(Debug)]
pub(crate) struct RouteTable {
    pub(crate) span: Span,
    pub(crate) name: Located<Arc<str>>,
    pub(crate) hosts: Vec<Located<Arc<str>>>,
    pub(crate) paths: Vec<Located<Arc<str>>>,
    pub(crate) methods: Vec<Located<Method>>,
    pub(crate) values: RouteValues,
    pub(crate) limits: Vec<LimitTable>,
    pub(crate) rules: Vec<RuleTable>,
}

impl RouteTable {
    pub(super) fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let name = section.require("name", "\"login\"", reader).and_then(|item| reader.name(&item));
        let hosts = section.list("hosts", reader, host_item);
        let paths = section.list("paths", reader, path_item);
        let methods = section.list("methods", reader, |reader, item| method(reader, item));
        let values = RouteValues::read(&mut section, reader);
        let limits = section.tables("limit", "a limit", reader);
        let limits = limits.into_iter().filter_map(|limit| LimitTable::read(limit, reader)).collect();
        let rules = section.tables("rule", "a rule", reader);
        let rules = rules.into_iter().filter_map(|rule| RuleTable::read(rule, reader)).collect();
        let span = section.span;
        section.finish(reader);
        Some(Self { span, name: name?, hosts, paths, methods, values, limits, rules })
    }
}

fn host_item(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Located<Arc<str>>> {
    let text = reader.text(item)?;
    match host(text.value) {
        Ok(host) => Some(Located::new(host, item.span)),
        Err((label, help)) => {
            reader.wrong(item, format!("{} is no host", quote(text.value)), label, help);
            None
        }
    }
}

/// Reads a host name or `*.shop.example`; says what is wrong with it and what to do.
fn host(text: &str) -> Result<Arc<str>, (&'static str, &'static str)> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    if name == "*" {
        return Err(("any host", "leave `hosts` out: a route without hosts is for any"));
    }
    if name.contains("://") {
        return Err(("holds a scheme", "write the name alone, such as \"api.shop.example\""));
    }
    if name.contains('*') {
        return Err(("a star inside a name", "a star stands for whole names at the front: \"*.shop.example\""));
    }
    let Ok(read) = Host::of(name) else {
        return Err((
            "not a host name",
            "write a name such as \"api.shop.example\", or \"*.shop.example\" for all below it",
        ));
    };
    if read.as_str().len() != name.trim_end_matches('.').len() {
        return Err(("holds a port", "leave the port out: a route is for every port"));
    }
    let star = if name.len() == text.len() { "" } else { "*." };
    Ok(format!("{star}{}", read.as_str()).into())
}

fn path_item(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Located<Arc<str>>> {
    let text = reader.text(item)?;
    match path_pattern(text.value) {
        Ok(()) => Some(Located::new(text.value.into(), item.span)),
        Err((label, help)) => {
            reader.wrong(item, format!("{} is no path pattern", quote(text.value)), label, help);
            None
        }
    }
}

/// Checks a path pattern; says what is wrong with it and what to do.
fn path_pattern(text: &str) -> Result<(), (String, String)> {
    let fault = |label: &str, help: &str| Err((label.to_owned(), help.to_owned()));
    let Some(inner) = text.strip_prefix('/') else {
        return fault("does not begin with `/`", "a pattern is for the whole path: \"/v1/login\"");
    };
    if text.len() > MAX_PATH_BYTES {
        return fault("too long", "a path pattern has at most 1024 bytes");
    }
    let segments: Vec<_> = inner.split('/').collect();
    let mut names = Vec::new();
    let mut literal = String::new();
    for (at, segment) in segments.iter().enumerate() {
        literal.push('/');
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            if segment.contains(['{', '}']) {
                return fault("a brace inside a segment", "a parameter stands for a whole segment: \"/users/{id}\"");
            }
            if segment.contains('*') {
                return fault("a bare star", "write `{name}` for one segment, or a last `{*rest}` for all that follow");
            }
            literal.push_str(segment);
            continue;
        };
        literal.push('x');
        let rest = name.strip_prefix('*');
        if rest.is_some() && at + 1 != segments.len() {
            return fault(
                "a rest that is not last",
                "`{*rest}` takes all that follows, so nothing can stand behind it",
            );
        }
        let name = rest.unwrap_or(name);
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || !plain {
            return fault("a parameter without a plain name", "a parameter's name has letters, digits and `_`");
        }
        if names.contains(&name) {
            return fault("a parameter's name stands twice", "give each parameter a name of its own");
        }
        names.push(name);
    }
    if literal.contains('?') {
        return fault("a query is no part of a path", "take `?` and all behind it out");
    }
    let canonical = CanonicalPath::of(&literal);
    if canonical.ambiguity().is_some() {
        return fault("means different paths to different servers", "leave out `;`, `\\`, `#` and encoded slashes");
    }
    if canonical.as_str() != literal {
        let help = format!("paths are matched in their canonical form; the like of {} is", quote(canonical.as_str()));
        return Err(("no request has this path".to_owned(), help));
    }
    Ok(())
}

/// A method in upper case.
pub(super) fn method(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Located<Method>> {
    let text = reader.text(item)?;
    let upper = text.value.to_ascii_uppercase();
    if upper != text.value {
        let title = format!("{} is no method", quote(text.value));
        reader.wrong(item, title, "methods are in upper case", format!("write \"{upper}\""));
        return None;
    }
    let Ok(method) = Method::from_bytes(text.value.as_bytes()) else {
        let title = format!("{} is no method", quote(text.value));
        reader.wrong(item, title, "not a token", "write a method such as \"GET\"");
        return None;
    };
    let known = METHODS.contains(&method.as_str());
    if let Some(name) =
        nearest(&text.value.to_lowercase(), &METHODS.map(str::to_lowercase).each_ref().map(String::as_str))
        && !known
    {
        let help = format!("did you mean \"{}\"?", name.to_uppercase());
        reader.out.push(
            crate::diagnostics::Diagnostic::warning(format!("{} is an unusual method", quote(text.value)))
                .at(item.span, "taken as it is")
                .help(help),
        );
    }
    Some(Located::new(method, item.span))
}

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The longest path pattern, in bytes.
const MAX_PATH_BYTES: usize = 1024;
