//! Which rules nearly held, and for want of what.

use portcullis_signals::Proof;
use smallvec::SmallVec;

use crate::conditions::{Subject, is_method};
use crate::model::{Action, Rule};

/// The one condition for want of which a rule does not hold, where all others do and there are others.
///
/// Every condition is asked as its description says, one by one: this is for a person, not for every request.
pub(super) fn missed(rule: &Rule, subject: &Subject<'_>) -> Option<&'static str> {
    let mut met = 0_usize;
    let mut missed: SmallVec<[&'static str; 2]> = SmallVec::new();
    for (name, holds) in conditions(rule, subject) {
        match holds {
            None => {}
            // Most requests come before a rule's last day, which brings them no nearer to it.
            Some(true) if name == "until" => {}
            Some(true) => met += 1,
            Some(false) => missed.push(name),
        }
    }
    match missed.as_slice() {
        [only] if met > 0 => Some(only),
        _ => None,
    }
}

/// Each condition with whether it holds; none where the rule does not ask for it.
fn conditions(rule: &Rule, subject: &Subject<'_>) -> [(&'static str, Option<bool>); 17] {
    let when = &rule.when;
    let path = subject.path.as_bytes();
    let crawler = subject.crawler.filter(|crawler| rule.action != Action::Allow || crawler.proof == Proof::Verified);
    let http2 = || subject.http2.map(ToString::to_string);
    [
        ("until", rule.until.map(|until| subject.at.0 < until)),
        ("ip", any(&when.ip, |network| network.contains(subject.ip))),
        ("asn", any(&when.asn, |asn| Some(*asn) == subject.asn)),
        ("country", any(&when.country, |country| Some(*country) == subject.country)),
        ("class", any(&when.class, |class| subject.classes.contains(*class))),
        ("crawler", any(&when.crawler, |kind| crawler.is_some_and(|crawler| crawler.kind == *kind))),
        ("claim", any(&when.claim, |kind| *kind == subject.claim.kind)),
        ("client_name", any(&when.client_name, |name| Some(*name) == subject.claim.name)),
        ("ja3", any(&when.ja3, |ja3| Some(*ja3) == subject.ja3)),
        ("ja4", any(&when.ja4, |ja4| Some(*ja4) == subject.ja4)),
        ("http2", any(&when.http2, |print| http2().as_deref() == Some(&**print))),
        ("user", any(&when.user, |user| subject.user == Some(&**user))),
        ("api_key", any(&when.api_key, |key| subject.api_key == Some(&**key))),
        ("user_agent", any(&when.user_agent, |pattern| pattern.matches(subject.user_agent()))),
        ("path", any(&when.path, |pattern| pattern.matches(path))),
        ("method", any(&when.method, |method| is_method(method, subject.method))),
        (
            "header",
            (!when.header.is_empty()).then(|| {
                when.header.iter().all(|(name, pattern)| {
                    subject.headers.get_all(name).iter().any(|value| pattern.matches(value.as_bytes()))
                })
            }),
        ),
    ]
}

fn any<T>(list: &[T], holds: impl Fn(&T) -> bool) -> Option<bool> {
    (!list.is_empty()).then(|| list.iter().any(holds))
}
