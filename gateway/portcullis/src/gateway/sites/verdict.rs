//! What a route says of a site's visitor, and what the site makes of it.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{HeaderMap, Method, Version};
use portcullis_challenge::evidence::Findings;
use portcullis_challenge::site::{SiteKey, SiteMode, Subject};
use portcullis_intel::{AddressFacts, NetworkClass};
use portcullis_policy::model::{Action, Mode};
use portcullis_policy::{Cause, Decision, RouteId, RuleSet};
use portcullis_signals::{self as signals, CanonicalRequest, ClientAddr, Facts, Group, RequestHead};

use crate::clock::Now;
use crate::gateway::Gateway;
use crate::gateway::keys::ClientKeys;

/// What is done about a visitor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It goes on.
    Pass,
    /// It goes on whatever its score is: a rule says so.
    Allow,
    /// It comes again later, after so many milliseconds.
    Throttle(&'static str, u32),
    /// No.
    Block(&'static str),
}

/// The code of a score that the site's preset does not take.
const SCORE_BLOCKED: &str = "API.SCORE_BLOCKED";

/// How much of the risk that a page's evidence shows is counted, in thousandths.
///
/// All of it is said by the client, and some of it is shown by honest ones; so alone it stays below the block of the
/// balanced preset, and beside a doubtful network or behaviour it reaches it.
const EVIDENCE_WEIGHT: u32 = 550;

impl Verdict {
    /// What the steps before the score say; a challenge is met by the puzzle.
    pub(super) const fn of(decision: &Decision) -> Self {
        match (decision.cause, decision.verdict) {
            (Cause::AllowRule, _) => Self::Allow,
            (Cause::Threshold | Cause::Clear, _) | (_, Action::Allow | Action::Challenge) => Self::Pass,
            (_, Action::Throttle) => Self::Throttle(decision.code, decision.retry_after_ms),
            (_, Action::StepUp | Action::Block | Action::Ban) => Self::Block(decision.code),
        }
    }

    /// The same with what the site's preset says of a score, in thousandths.
    pub(super) const fn with_score(self, site: &SiteKey, score_thousandths: u16) -> Self {
        match self {
            Self::Pass if score_thousandths >= site.preset.block_from() => Self::Block(SCORE_BLOCKED),
            found => found,
        }
    }
}

/// Whether verdicts on a site's visitors act: where neither the site nor its route is in monitor.
pub(super) fn mode(site: &SiteKey, rules: &RuleSet, route: RouteId) -> SiteMode {
    match (site.mode, rules.route(route).mode) {
        (SiteMode::Enforce, Mode::Enforce) => SiteMode::Enforce,
        _ => SiteMode::Monitor,
    }
}

/// A score with what the evidence adds to it: noisy-or, so that it never falls.
pub(super) fn with_evidence(score_thousandths: u16, findings: Findings) -> u16 {
    let evidence = u32::from(findings.risk_thousandths()) * EVIDENCE_WEIGHT / 1000;
    let clean = (1000 - u32::from(score_thousandths.min(1000))) * (1000 - evidence.min(1000)) / 1000;
    u16::try_from(1000 - clean).unwrap_or(1000)
}

/// What the filters of siteverify found.
#[derive(Clone, Debug)]
pub(super) struct Filtered {
    pub(super) verdict: Verdict,
    /// What is known of the visitor's network that counts for a score, by name.
    pub(super) reasons: Vec<&'static str>,
}

impl Filtered {
    const PASS: Self = Self { verdict: Verdict::Pass, reasons: Vec::new() };
}

impl Gateway {
    /// Asks the access rules, bans and filters of a site's route about a visitor who has solved a challenge.
    ///
    /// INVARIANT: where they cannot be asked, the visitor passes. Without data of networks no class is known, and a
    /// fault of ours is logged.
    pub(super) fn filter_visitor(&self, rules: &RuleSet, route: RouteId, subject: Subject, now: Now) -> Filtered {
        let asked = catch_unwind(AssertUnwindSafe(|| match subject {
            Subject::Visitor(address) => self.filter_address(rules, route, address, now),
            Subject::Caller(address) => self.filter_caller(rules, route, address),
        }));
        asked.unwrap_or_else(|_| {
            self.metrics.judgement_fault();
            tracing::error!("filtering a visitor failed by a fault of the gateway; the visitor passes");
            Filtered::PASS
        })
    }

    fn filter_address(&self, rules: &RuleSet, route: RouteId, address: IpAddr, now: Now) -> Filtered {
        let network: AddressFacts = self.intel.load().lookup(address);
        let headers = HeaderMap::new();
        let head = RequestHead {
            method: &Method::POST,
            target: b"/",
            // Nothing of the visitor's request is known here; a host has to be there, and this one is nobody's.
            authority: Some("site.invalid"),
            version: Version::HTTP_11,
            headers: &headers,
            raw: None,
        };
        let request = CanonicalRequest::of(&head);
        let mut facts = Facts::bare(&request, ClientAddr(address), &network);
        facts.at = now.unix();
        facts.caller.clearance = Some(signals::Clearance::ProofOfWork);
        facts.ban = self.ban_of(rules.route(route), &facts, &ClientKeys::of(self.counters.hasher(), address), now);
        let decision = rules.decide_on(route, &facts);
        let reasons = decision.reasons.iter().map(|reason| reason.signal);
        let reasons = reasons.filter(|signal| signal.group() == Group::Network).map(signals::SignalId::name).collect();
        // Of somebody of whom the address alone is known, no rate can be told.
        let verdict = match Verdict::of(&decision) {
            Verdict::Throttle(..) => Verdict::Pass,
            found => found,
        };
        Filtered { verdict, reasons }
    }

    /// A backend is in a hosting network by its nature, so that only one thing is held against it.
    fn filter_caller(&self, rules: &RuleSet, route: RouteId, address: IpAddr) -> Filtered {
        let classes = self.intel.load().lookup(address).classes;
        let filters = &rules.route(route).filters;
        let filter = filters.iter().find(|filter| filter.class == NetworkClass::Abuser);
        let acts = filter.filter(|filter| filter.mode == Mode::Enforce && filter.action >= Action::Block);
        match acts.filter(|_| classes.contains(NetworkClass::Abuser)) {
            Some(filter) => {
                let code = Cause::Filter(NetworkClass::Abuser).code(filter.action);
                Filtered { verdict: Verdict::Block(code), reasons: Vec::new() }
            }
            None => Filtered::PASS,
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_challenge::evidence::{Evidence, Observed};

    use super::*;

    #[test]
    fn evidence_only_adds_and_alone_does_not_block_on_the_balanced_preset() {
        let observed = Observed { user_agent: "", expected_hashes: 0, took: std::time::Duration::from_secs(1) };
        let findings = |text: &str| Evidence::parse(text).unwrap().judge(&observed);
        let clean = findings("{}");
        let driven = findings(r#"{"webdriver":true,"automation":["selenium"]}"#);
        for score in [0, 1, 333, 599, 600, 999, 1000] {
            assert_eq!(with_evidence(score, clean), score);
            assert!(with_evidence(score, driven) >= score, "{score}");
        }
        assert!((500..600).contains(&with_evidence(0, driven)), "{}", with_evidence(0, driven));
        assert!(with_evidence(250, driven) >= 600, "beside a doubtful network");
    }
}
