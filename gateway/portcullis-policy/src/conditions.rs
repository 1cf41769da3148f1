//! The conditions of a rule: whether they hold for a request.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Method, header};
use memchr::memmem::Finder;
use portcullis_fingerprint::{Http2Print, Ja3Hash, Ja4};
use portcullis_intel::{Asn, ClassSet, Country};
use portcullis_signals::{Claim, Crawler, CrawlerKind, Facts, Kind, Proof, UnixSeconds};
use smallvec::SmallVec;

use crate::model::{Action, Case, Rule, TextPattern, When};

/// What of a request the conditions read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) at: UnixSeconds,
    pub(crate) ip: IpAddr,
    pub(crate) asn: Option<Asn>,
    pub(crate) country: Option<Country>,
    pub(crate) classes: ClassSet,
    pub(crate) crawler: Option<Crawler>,
    pub(crate) claim: Claim,
    pub(crate) ja3: Option<Ja3Hash>,
    pub(crate) ja4: Option<Ja4>,
    pub(crate) http2: Option<&'a Http2Print>,
    pub(crate) user: Option<&'a str>,
    pub(crate) api_key: Option<&'a str>,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(facts: &Facts<'a>) -> Self {
        Self {
            at: facts.at,
            ip: facts.client.0,
            asn: facts.network.asn,
            country: facts.network.country,
            classes: facts.network.classes,
            crawler: facts.crawler(),
            claim: facts.claim,
            ja3: facts.tls.map(|tls| tls.ja3),
            ja4: facts.tls.map(|tls| tls.ja4),
            http2: facts.http2,
            user: facts.caller.user,
            api_key: facts.caller.api_key,
            method: facts.request.method(),
            path: facts.request.path().as_str(),
            headers: facts.request.headers(),
        }
    }

    /// The User-Agent as sent; nothing where none is, which reads as an empty one.
    pub(crate) fn user_agent(&self) -> &'a [u8] {
        self.headers.get(header::USER_AGENT).map_or(&[], |value| value.as_bytes())
    }
}

/// A text in both forms that patterns are held against.
pub(crate) struct Text<'a> {
    raw: &'a [u8],
    /// With ASCII letters in lower case. Longer ones than this take memory: no browser's User-Agent does.
    folded: SmallVec<[u8; 512]>,
}

impl<'a> Text<'a> {
    pub(crate) fn of(raw: &'a [u8]) -> Self {
        let mut folded = SmallVec::from_slice(raw);
        folded.make_ascii_lowercase();
        Self { raw, folded }
    }

    pub(crate) fn folded(&self) -> &[u8] {
        &self.folded
    }
}

/// A text pattern with its pieces ready to be looked for.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// The text before the first star, and the whole one where there is none.
    first: Box<[u8]>,
    inner: Box<[Finder<'static>]>,
    /// The text after the last star; none where there is no star.
    last: Option<Box<[u8]>>,
    case: Case,
}

impl Pattern {
    pub(crate) fn of(pattern: &TextPattern) -> Self {
        let bytes = |piece: &str| -> Box<[u8]> {
            match pattern.case {
                Case::Sensitive => piece.as_bytes().into(),
                Case::Insensitive => piece.to_ascii_lowercase().into_bytes().into(),
            }
        };
        let (first, others) = pattern.pieces.split_first().map_or(("", &[][..]), |(first, others)| (&**first, others));
        let (last, inner) = others.split_last().map_or((None, &[][..]), |(last, inner)| (Some(&**last), inner));
        Self {
            first: bytes(first),
            inner: inner.iter().map(|piece| Finder::new(&bytes(piece)).into_owned()).collect(),
            last: last.map(bytes),
            case: pattern.case,
        }
    }

    /// Whether the pattern matches the whole text, in time linear in the text.
    ///
    /// The leftmost place for each inner piece leaves the most room for those that follow, so none is tried twice.
    pub(crate) fn matches(&self, text: &Text<'_>) -> bool {
        let text = match self.case {
            Case::Sensitive => text.raw,
            Case::Insensitive => text.folded(),
        };
        let Some(last) = &self.last else { return text == &*self.first };
        let Some(mut left) = text.strip_prefix(&*self.first).and_then(|left| left.strip_suffix(&**last)) else {
            return false;
        };
        for piece in &self.inner {
            let Some(at) = piece.find(left) else { return false };
            left = left.get(at + piece.needle().len()..).unwrap_or_default();
        }
        true
    }
}

impl TextPattern {
    /// Whether the pattern matches the whole of `text`.
    pub fn matches(&self, text: &[u8]) -> bool {
        Pattern::of(self).matches(&Text::of(text))
    }

    /// The longest literal piece in lower case, by which an index finds the pattern; none where it is all stars.
    pub(crate) fn longest_piece(&self) -> Option<Box<[u8]>> {
        let piece = self.pieces.iter().max_by_key(|piece| piece.len())?;
        (!piece.is_empty()).then(|| piece.to_ascii_lowercase().into_bytes().into())
    }

    /// The whole text in lower case, where there is no star.
    pub(crate) fn literal(&self) -> Option<Box<[u8]>> {
        match &*self.pieces {
            [only] => Some(only.to_ascii_lowercase().into_bytes().into()),
            _ => None,
        }
    }
}

/// The conditions of one rule, made for checking. An empty list holds always.
///
/// Addresses are missing: the index of the rules finds a rule with addresses by them alone.
#[derive(Debug)]
pub(crate) struct Conditions {
    until: Option<u64>,
    method: Box<[Method]>,
    classes: ClassSet,
    crawler: Box<[CrawlerKind]>,
    /// How well a crawler must be known. A claim is enough to be refused, and never enough to be let in.
    proof: Proof,
    claim: Box<[Kind]>,
    // INVARIANT: these eight are sorted.
    client_name: Box<[&'static str]>,
    asn: Box<[Asn]>,
    country: Box<[Country]>,
    ja3: Box<[Ja3Hash]>,
    ja4: Box<[Ja4]>,
    http2: Box<[Box<str>]>,
    user: Box<[Box<str>]>,
    api_key: Box<[Box<str>]>,
    user_agent: Box<[Pattern]>,
    path: Box<[Pattern]>,
    header: Box<[(HeaderName, Pattern)]>,
}

/// Which condition is known to hold by the way in which the rule was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    /// None, or one that is checked again at little cost.
    Nothing,
    /// One of the User-Agent patterns.
    UserAgent,
    /// One of the path patterns.
    Path,
}

impl Conditions {
    pub(crate) fn of(rule: &Rule) -> Self {
        let When {
            ip: _,
            asn,
            country,
            class,
            crawler,
            claim,
            client_name,
            ja3,
            ja4,
            http2,
            user,
            api_key,
            user_agent,
            path,
            method,
            header,
        } = &rule.when;
        Self {
            until: rule.until,
            method: method.clone().into(),
            classes: class.iter().fold(ClassSet::EMPTY, |set, class| set.union(ClassSet::of(*class))),
            crawler: sorted(crawler),
            proof: if rule.action == Action::Allow { Proof::Verified } else { Proof::Unverified },
            claim: claim.clone().into(),
            client_name: sorted(client_name),
            asn: sorted(asn),
            country: sorted(country),
            ja3: sorted(ja3),
            ja4: sorted(ja4),
            http2: sorted(http2),
            user: sorted(user),
            api_key: sorted(api_key),
            user_agent: user_agent.iter().map(Pattern::of).collect(),
            path: path.iter().map(Pattern::of).collect(),
            header: header.iter().map(|(name, pattern)| (name.clone(), Pattern::of(pattern))).collect(),
        }
    }

    pub(crate) fn user_agent_pattern(&self, at: usize) -> Option<&Pattern> {
        self.user_agent.get(at)
    }

    pub(crate) fn path_pattern(&self, at: usize) -> Option<&Pattern> {
        self.path.get(at)
    }

    fn is_for(&self, crawler: Crawler) -> bool {
        crawler.proof >= self.proof && self.crawler.contains(&crawler.kind)
    }

    /// Whether all conditions hold but those on addresses, and but the one that is known to.
    pub(crate) fn hold(&self, subject: &Subject<'_>, known: Known) -> bool {
        self.until.is_none_or(|until| subject.at.0 < until)
            && (self.method.is_empty() || self.method.iter().any(|method| is_method(method, subject.method)))
            && (self.classes.is_empty() || self.classes.iter().any(|class| subject.classes.contains(class)))
            && (self.crawler.is_empty() || subject.crawler.is_some_and(|crawler| self.is_for(crawler)))
            && (self.claim.is_empty() || self.claim.contains(&subject.claim.kind))
            && among(&self.client_name, subject.claim.name)
            && among(&self.asn, subject.asn)
            && among(&self.country, subject.country)
            && among(&self.ja4, subject.ja4)
            && among(&self.ja3, subject.ja3)
            && among_texts(&self.user, subject.user)
            && among_texts(&self.api_key, subject.api_key)
            && (self.http2.is_empty() || among_texts(&self.http2, subject.http2.map(Http2Print::to_string).as_deref()))
            && (known == Known::Path || any_matches(&self.path, subject.path.as_bytes()))
            && (known == Known::UserAgent || any_matches(&self.user_agent, subject.user_agent()))
            && self.header.iter().all(|(name, pattern)| {
                // Any of several values: a second line could otherwise hide the first.
                subject.headers.get_all(name).iter().any(|value| pattern.matches(&Text::of(value.as_bytes())))
            })
    }
}

/// Whether a condition on one method holds for a request. HEAD is GET without the content (RFC 9110 §9.3.2), as for routes.
pub(crate) fn is_method(condition: &Method, asked: &Method) -> bool {
    condition == asked || *asked == Method::HEAD && *condition == Method::GET
}

fn sorted<T: Clone + Ord>(values: &[T]) -> Box<[T]> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.dedup();
    values.into()
}

/// Whether a value is in a list that is empty or sorted; a value that is absent is in no list.
fn among<T: Ord>(list: &[T], value: Option<T>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.binary_search(&value).is_ok())
}

fn among_texts(list: &[Box<str>], value: Option<&str>) -> bool {
    let is_known = |value: &str| list.binary_search_by(|known| (**known).cmp(value)).is_ok();
    list.is_empty() || value.is_some_and(is_known)
}

fn any_matches(patterns: &[Pattern], text: &[u8]) -> bool {
    if patterns.is_empty() {
        return true;
    }
    let text = Text::of(text);
    patterns.iter().any(|pattern| pattern.matches(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patterns;
    use proptest::prelude::*;

    fn check(pattern: &str, case: Case, text: &str, matches: bool) {
        assert_eq!(patterns::pattern(pattern, case).unwrap().matches(text.as_bytes()), matches, "{pattern} on {text}");
    }

    #[test]
    fn a_pattern_is_held_against_the_whole_text() {
        for (pattern, text, matches) in [
            ("curl", "curl", true),
            ("curl", "curl\n", false),
            ("curl", "xcurl", false),
            ("curl", "curly", false),
            ("curl/*", "curl/8.5.0", true),
            ("curl/*", "curl/", true),
            ("curl/*", "xcurl/8", false),
            ("*bot", "robot", true),
            ("*bot", "robots", false),
            ("*bot*", "robots", true),
            ("*bot*", "bo", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*bc*c", "abc", false),
            ("a*ab*b", "aabb", true),
            ("a*ab*b", "aab", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a", "A", false),
            (".", "x", false),
            ("[a]", "a", false),
        ] {
            check(pattern, Case::Sensitive, text, matches);
        }
        check("CURL/*", Case::Insensitive, "Curl/8", true);
        check("*BoT*", Case::Insensitive, "a RobOts", true);
        // Only ASCII letters have a case: `É` is two other bytes than `é`.
        check("é", Case::Insensitive, "É", false);
    }

    /// The textbook definition, in exponential time.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            Some((byte, rest)) => text.split_first().is_some_and(|(first, text)| first == byte && naive(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_as_its_definition_says(pattern in "[ab*]{1,8}", text in "[ab]{0,10}") {
            let read = patterns::pattern(&pattern, Case::Sensitive).unwrap();
            prop_assert_eq!(read.matches(text.as_bytes()), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
