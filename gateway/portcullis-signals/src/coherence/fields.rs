//! The header fields of a request beside the claim.

use http::Method;

use super::{ConnectionJudgement, Findings, claims_major_browser};
use crate::Http;
use crate::claim::{Family, Hints, MadeUpBrand};
use crate::families::{Encodings, Grade, HeaderRules};
use crate::headers::{Field, HeaderDigest};
use crate::signal::{SignalId, Signals};

/// How a request came about, by what it says of itself (Fetch Metadata §2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// A page that a person opens.
    Navigation,
    /// A script's call, or a part of a page.
    Part,
    /// The question before a call to another origin (Fetch §4.8).
    Preflight,
    /// It says nothing.
    Unsaid,
}

impl Purpose {
    pub(crate) fn of(method: &Method, digest: &HeaderDigest<'_>) -> Self {
        if *method == Method::OPTIONS && digest.has(Field::AccessControlRequestMethod) {
            return Self::Preflight;
        }
        match digest.value(Field::SecFetchMode) {
            Some(b"navigate") => Self::Navigation,
            Some(_) => Self::Part,
            None => Self::Unsaid,
        }
    }
}

/// The channel that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    /// Whether TLS was seen: some fields go to trustworthy origins only, which plaintext is not.
    pub(crate) tls: bool,
    pub(crate) http: Http,
}

/// Judges the header fields of one request.
pub(crate) fn judge_fields(
    judged: &ConnectionJudgement,
    hints: Option<&Hints>,
    method: &Method,
    digest: &HeaderDigest<'_>,
    channel: Channel,
    signals: &mut Signals,
) {
    let claim = judged.claim();
    if !claim.kind.is_browser() {
        return;
    }
    let purpose = Purpose::of(method, digest);
    let mut seen = Seen::none();
    seen.rules(&judged.hard, Grade::Hard, purpose, digest, channel);
    if judged.has_soft {
        seen.rules(&judged.soft, Grade::Soft, purpose, digest, channel);
    }
    // Every browser says what it takes (Fetch §4.6); a few leave out the language.
    seen.missing.note(!digest.has(Field::Accept), 600);
    seen.missing.note(!digest.has(Field::AcceptEncoding) && purpose != Purpose::Preflight, 700);
    if claims_major_browser(claim) {
        let silent = !digest.has(Field::AcceptLanguage) && purpose != Purpose::Preflight;
        seen.missing.note(silent && claim.family != Family::QtWebEngine, 350);
        seen.fetch_metadata(purpose, digest);
        if let Some(hints) = hints {
            seen.hints(judged, hints);
        }
    }
    for (signal, findings) in [
        (SignalId::HeaderMissing, seen.missing),
        (SignalId::HeaderContradiction, seen.contradiction),
        (SignalId::HeaderOrder, seen.order),
        (SignalId::HeaderEncoding, seen.encoding),
        (SignalId::FetchMetadata, seen.metadata),
        (SignalId::ClientHints, seen.hints),
    ] {
        signals.raise(signal, findings.strength());
    }
}

/// What contradicts the claim, by signal.
struct Seen {
    missing: Findings,
    contradiction: Findings,
    order: Findings,
    encoding: Findings,
    metadata: Findings,
    hints: Findings,
}

impl Seen {
    const fn none() -> Self {
        let none = Findings::none();
        Self { missing: none, contradiction: none, order: none, encoding: none, metadata: none, hints: none }
    }

    /// What the rows of the family say.
    fn rules(
        &mut self,
        rules: &HeaderRules,
        grade: Grade,
        purpose: Purpose,
        digest: &HeaderDigest<'_>,
        channel: Channel,
    ) {
        let weight = grade.thousandths();
        let navigates = purpose == Purpose::Navigation;
        let mut wanted = rules.always;
        if channel.tls && purpose != Purpose::Preflight {
            wanted = wanted.and(rules.secure);
            if navigates {
                wanted = wanted.and(rules.navigation);
                if channel.http == Http::Two {
                    wanted = wanted.and(rules.http2);
                }
            }
        }
        self.missing.note(!wanted.without(digest.present()).is_empty(), weight);
        self.contradiction.note(rules.never.meets(digest.present()), weight);
        let order = match purpose {
            Purpose::Navigation => rules.navigation_order.holds(digest),
            Purpose::Part => rules.script_order.holds(digest),
            Purpose::Preflight | Purpose::Unsaid => true,
        };
        self.order.note(!order || !rules.order.holds(digest), weight);
        // Parts of a video are asked for as they are (`identity`), since their places count.
        let compressible = channel.tls && !digest.has(Field::Range) && purpose != Purpose::Preflight;
        if let Some(value) = digest.value(Field::AcceptEncoding).filter(|_| compressible) {
            self.encoding.note(!Encodings::of(value).contain(rules.encodings), weight);
        }
    }

    /// What fetch metadata cannot say, in any browser (Fetch Metadata §2; Upgrade Insecure Requests §3.2.1).
    fn fetch_metadata(&mut self, purpose: Purpose, digest: &HeaderDigest<'_>) {
        let page = matches!(digest.value(Field::SecFetchDest), Some(b"document" | b"iframe"));
        match purpose {
            Purpose::Navigation => {
                // A navigation has a place to go to, and asks for a page.
                self.metadata.note(digest.is(Field::SecFetchDest, b"empty"), 900);
                let html = digest.value(Field::Accept).is_some_and(|accept| accept.starts_with(b"text/html"));
                self.contradiction.note(page && !html, 800);
            }
            Purpose::Part => {
                // A user's own act opens pages alone, and only a page is asked for over a safer channel.
                self.metadata.note(digest.has(Field::SecFetchUser), 900);
                self.metadata.note(digest.has(Field::UpgradeInsecureRequests), 900);
                self.metadata.note(digest.is(Field::SecFetchDest, b"document"), 900);
            }
            Purpose::Preflight | Purpose::Unsaid => {}
        }
    }

    /// What client hints cannot say (User-Agent Client Hints §3.1).
    fn hints(&mut self, judged: &ConnectionJudgement, hints: &Hints) {
        let claim = judged.claim();
        if !matches!(claim.family, Family::Chromium | Family::QtWebEngine) {
            self.hints.note(true, 900);
            return;
        }
        self.hints.note(hints.chromium.is_none(), 700);
        // A page may be shown as another device's would be, and an update may be under way: little each.
        self.hints.note(hints.chromium.is_some_and(|version| version != claim.version), 300);
        self.hints.note(hints.mobile == Some(true) && !claim.mobile, 300);
        let generates = claim.version >= GENERATED_SINCE && hints.chromium == Some(claim.version);
        self.hints.note(generates && hints.made_up != Some(MadeUpBrand::of(claim.version)), 900);
    }
}

/// The first version of Chromium whose made-up brand follows from its version.
const GENERATED_SINCE: u16 = 110;
