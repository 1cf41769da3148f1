//! The header fields that go with what this crate renders, apart from the policy with its nonce.
//!
//! All are `no-store`: a stored challenge would be somebody else's, and a stored answer to a redeem
//! would hand its cookie to the next one (RFC 9111 §5.2.2.5). `Vary` says what the answer hung on,
//! for caches that store in spite of that.

/// For the challenge page; add `Content-Security-Policy` from [`page::csp`](crate::page::csp).
pub const PAGE_HEADERS: [(&str, &str); 8] = [
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("vary", "accept, accept-language, cookie, user-agent"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-robots-tag", "noindex"),
];

/// For [`problem`](crate::problem) bodies (RFC 9457 §3).
pub const PROBLEM_HEADERS: [(&str, &str); 4] = [
    ("content-type", "application/problem+json"),
    ("cache-control", "no-store"),
    ("vary", "accept, accept-language, cookie, user-agent"),
    ("x-content-type-options", "nosniff"),
];

/// For the script at the path that is given as `solver_path`.
///
/// Its own policy: a worker made from it may load and contact nothing.
pub const SCRIPT_HEADERS: [(&str, &str); 5] = [
    ("content-type", "text/javascript; charset=utf-8"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// For the scripts that sites include: [`page::renewal`](crate::page::renewal) and
/// [`page::widget`](crate::page::widget).
///
/// They hold nothing of any client, so a cache may keep them, for an hour as they change with the
/// gateway. The widget's language hangs on `Accept-Language`, and pages of other origins load it.
pub const LIBRARY_HEADERS: [(&str, &str); 5] = [
    ("content-type", "text/javascript; charset=utf-8"),
    ("cache-control", "public, max-age=3600"),
    ("vary", "accept-language"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "cross-origin"),
];
