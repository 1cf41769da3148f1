//! The header fields of a request beside the claim.

use http::Method;

use super::{ConnectionJudgement, Findings, RequestKind, claims_major_browser};
use crate::Http;
use crate::claim::{Family, Hints, MadeUpBrand};
use crate::families::{Encodings, Grade, HeaderRules};
use crate::headers::{Field, Fields, HeaderDigest};
use crate::signal::{SignalId, Signals};

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
    let kind = RequestKind::of(method, digest, channel.http);
    let mut seen = Seen::none();
    seen.rules(&judged.hard, Grade::Hard, kind, digest, channel);
    if judged.has_soft {
        seen.rules(&judged.soft, Grade::Soft, kind, digest, channel);
    }
    // Every browser says what it takes (Fetch §4.6); a few leave out the language. Sockets take nothing, and what
    // plays media may have a network library of its own.
    seen.missing.note(!digest.has(Field::Accept) && kind != RequestKind::Socket, 600);
    let coded = !matches!(kind, RequestKind::Preflight | RequestKind::Media);
    seen.missing.note(!digest.has(Field::AcceptEncoding) && coded, 700);
    if claims_major_browser(claim) {
        let silent = !digest.has(Field::AcceptLanguage) && kind != RequestKind::Preflight;
        seen.missing.note(silent && claim.family != Family::QtWebEngine, 350);
        seen.fetch_metadata(kind, method, digest);
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
        kind: RequestKind,
        digest: &HeaderDigest<'_>,
        channel: Channel,
    ) {
        let weight = grade.thousandths();
        self.contradiction.note(rules.never.meets(digest.present()), weight);
        let ruled = match kind {
            // What is unknown is a doubt: it may be new in a browser, and anybody may make it up.
            RequestKind::Other => {
                rules.kind(RequestKind::Part).map(|ruled| (ruled, Grade::Soft.thousandths().min(weight)))
            }
            kind => rules.kind(kind).map(|ruled| (ruled, weight)),
        };
        let speaks = ruled.is_some() || matches!(kind, RequestKind::Preflight | RequestKind::Unsaid);
        if !speaks {
            return;
        }
        let mut wanted = rules.always;
        if channel.tls && kind != RequestKind::Preflight {
            wanted = wanted.and(rules.secure);
            if kind.navigates() {
                wanted = wanted.and(rules.navigation);
                if channel.http == Http::Two {
                    wanted = wanted.and(rules.http2);
                }
            }
        }
        let (mut missing, mut order, mut weight_of_kind) = (Fields::NONE, rules.order.holds(digest), weight);
        match ruled {
            Some((ruled, weight)) => {
                missing = ruled.missing(wanted, digest);
                order &= ruled.order_holds(digest);
                weight_of_kind = weight;
            }
            None => missing = missing.and(wanted.without(digest.present())),
        }
        self.missing.note(!missing.is_empty(), weight_of_kind);
        self.order.note(!order, weight_of_kind);
        if let Some(value) =
            digest.value(Field::AcceptEncoding).filter(|_| channel.tls && kind != RequestKind::Preflight)
        {
            let codings = Encodings::of(value);
            // What is asked for in part, or is packed by itself, is asked for as it is (Fetch §4.5).
            let as_it_is = value.starts_with(b"identity") && may_come_as_it_is(kind, digest);
            self.encoding.note(!as_it_is && !codings.contain(rules.encodings), weight_of_kind);
            self.encoding.note(codings.meet(rules.absent_encodings), weight_of_kind);
        }
    }

    /// What fetch metadata cannot say, in any browser (Fetch Metadata §2; Upgrade Insecure Requests §3.2.1).
    fn fetch_metadata(&mut self, kind: RequestKind, method: &Method, digest: &HeaderDigest<'_>) {
        self.metadata.note(!kind.fits(method, digest), 900);
        let page = matches!(digest.value(Field::SecFetchDest), Some(b"document" | b"iframe"));
        match kind {
            RequestKind::Page | RequestKind::Form => {
                // A navigation asks for a page.
                let html = digest.value(Field::Accept).is_some_and(|accept| accept.starts_with(b"text/html"));
                self.contradiction.note(page && !html, 800);
            }
            // A user's own act opens pages alone, and only a page is asked for over a safer channel: what fits says so.
            RequestKind::Call => self.metadata.note(digest.is(Field::SecFetchDest, b"document"), 900),
            _ => {}
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

/// Whether a browser may ask for it without any coding: for media, for fonts, which are packed by themselves, and
/// where a range of it is wanted.
fn may_come_as_it_is(kind: RequestKind, digest: &HeaderDigest<'_>) -> bool {
    kind == RequestKind::Media || digest.has(Field::Range) || digest.is(Field::SecFetchDest, b"font")
}
