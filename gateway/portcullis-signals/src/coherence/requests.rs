//! The request beside its purpose and the requests before it.

use http::Method;

use super::kind::is_report;
use super::{RequestKind, claims_major_browser};
use crate::Http;
use crate::claim::{Claim, Family};
use crate::context::Context;
use crate::headers::{Field, HeaderDigest};
use crate::signal::{SignalId, Signals, Strength};

/// Judges what a request is for, and what its client did before.
pub(crate) fn judge_context(
    claim: &Claim,
    shuffles: bool,
    method: &Method,
    digest: &HeaderDigest<'_>,
    context: &Context,
    http: Http,
    signals: &mut Signals,
) {
    if !claims_major_browser(claim) {
        return;
    }
    let kind = RequestKind::of(method, digest, http);
    let changes = matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    let content = digest.value(Field::ContentType).unwrap_or_default();
    if changes && !digest.has(Field::Origin) && states_origin(claim) && !is_report(method, digest) {
        signals.raise(SignalId::PostNoOrigin, Strength::FULL);
    }
    // A form sends one of three types (HTML §4.10.21), and a script's call navigates nowhere.
    let navigates = kind.navigates() || digest.has(Field::UpgradeInsecureRequests);
    if changes && navigates && content.starts_with(b"application/json") {
        signals.raise(SignalId::JsonNavigation, Strength::FULL);
    }
    let own_script = digest.is(Field::SecFetchSite, b"same-origin") && digest.is(Field::SecFetchDest, b"empty");
    if own_script && kind == RequestKind::Call && !digest.has(Field::Referer) {
        signals.raise(SignalId::RefererMissing, Strength::FULL);
    }
    judge_memory(shuffles, digest, context, signals);
}

/// What is remembered. Each grows with how often it was seen, since a person may do it once.
fn judge_memory(shuffles: bool, digest: &HeaderDigest<'_>, context: &Context, signals: &mut Signals) {
    let times = |count: u8, none: u8, full: u8| {
        let above = u32::from(count.saturating_sub(none));
        Strength::thousandths(above * 1000 / u32::from(full.saturating_sub(none)).max(1))
    };
    if !digest.has(Field::Cookie) {
        signals.raise(SignalId::CookieNeverReturned, times(context.cookieless, 0, 3));
    }
    if context.other_requests == 0 {
        signals.raise(SignalId::PageAlone, times(context.pages, 1, 4));
    }
    if shuffles && context.hello_orders == 1 {
        signals.raise(SignalId::TlsOrderConstant, times(context.hellos, 1, 3));
    }
    signals.raise(SignalId::PrintChanged, times(context.session_prints, 1, 4));
}

/// Whether the claimed browser puts `Origin` on every request that changes something (Fetch §3.2): Firefox has done
/// so for forms since version 70, the others always.
const fn states_origin(claim: &Claim) -> bool {
    !matches!(claim.family, Family::Firefox) || claim.version >= 70
}
