//! Whether what is seen of a client fits what it claims to be.
//!
//! Every check names something that the claimed browser does by itself on each request of the kind, so that
//! a person cannot fail it by a setting. A client that claims no browser contradicts nothing here.

use http::{HeaderName, Method, header};
use portcullis_fingerprint::{ClientHello, extension, group};

use crate::signal::Strength;
use crate::{CanonicalRequest, Claim, Family, Http, Kind, Tls, TlsVersion};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_CH_UA: HeaderName = HeaderName::from_static("sec-ch-ua");
const SEC_CH_UA_MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");

/// Adds up independent findings: `1 − Π(1 − finding)`, in thousandths.
#[derive(Clone, Copy)]
struct Findings {
    doubt: u32,
}

impl Findings {
    const fn none() -> Self {
        Self { doubt: 1000 }
    }

    fn note(&mut self, found: bool, thousandths: u32) {
        if found {
            self.doubt = self.doubt * (1000 - thousandths) / 1000;
        }
    }

    fn strength(self) -> Strength {
        Strength::thousandths(1000 - self.doubt)
    }
}

const fn claims_browser(claim: &Claim) -> bool {
    matches!(claim.kind, Kind::Browser | Kind::AutomatedBrowser) && !matches!(claim.family, Family::Other)
}

/// Header fields that the claimed browser sends with every request, and that are not there.
pub(crate) fn missing_headers(claim: &Claim, request: &CanonicalRequest<'_>, tls: bool) -> Strength {
    let mut findings = Findings::none();
    if !claims_browser(claim) {
        return findings.strength();
    }
    let missing = |name: &HeaderName| request.header(name).is_none();
    // Every browser writes `Accept` and `Accept-Encoding` itself (Fetch §4.6); a few leave out the language.
    findings.note(missing(&header::ACCEPT), 600);
    findings.note(missing(&header::ACCEPT_ENCODING), 700);
    findings.note(missing(&header::ACCEPT_LANGUAGE), 350);
    // Fetch metadata goes to trustworthy origins only, which plaintext is not (Fetch Metadata §2).
    let fetch_metadata_since = match claim.family {
        Family::Chromium => 80,
        Family::Firefox => 90,
        Family::Safari => 17,
        Family::Other => u16::MAX,
    };
    findings.note(tls && claim.version >= fetch_metadata_since && missing(&SEC_FETCH_MODE), 800);
    let brands_expected = matches!(claim.family, Family::Chromium) && claim.version >= 90;
    findings.note(tls && brands_expected && missing(&SEC_CH_UA), 600);
    findings.strength()
}

/// Header fields that the claimed browser cannot send.
pub(crate) fn contradicting_headers(claim: &Claim, request: &CanonicalRequest<'_>) -> Strength {
    let mut findings = Findings::none();
    if !claims_browser(claim) {
        return findings.strength();
    }
    let brands = request.header(&SEC_CH_UA);
    // Client hints with brands are Chromium's alone (User-Agent Client Hints §3.1).
    findings.note(brands.is_some() && !matches!(claim.family, Family::Chromium), 900);
    let names_chromium = |value: &http::HeaderValue| memchr::memmem::find(value.as_bytes(), b"Chromium").is_some();
    findings.note(matches!(claim.family, Family::Chromium) && brands.is_some_and(|value| !names_chromium(value)), 700);
    let says_mobile = request.header_str(&SEC_CH_UA_MOBILE).map(|value| value == "?1");
    findings.note(says_mobile.is_some_and(|mobile| mobile && !claim.mobile), 500);
    // A navigation cannot carry JSON: a form sends one of three types, and a script says cors or same-origin.
    if *request.method() == Method::POST {
        let navigates = request.header(&SEC_FETCH_MODE).is_some_and(|value| value == "navigate");
        let json = request.header_str(&header::CONTENT_TYPE).is_some_and(|value| value.starts_with("application/json"));
        findings.note(navigates && json, 900);
        // A browser puts Origin on every POST (Fetch §3.2).
        findings.note(request.header(&header::ORIGIN).is_none(), 500);
    }
    findings.strength()
}

/// A ClientHello that the claimed browser does not send.
pub(crate) fn tls_mismatch(claim: &Claim, tls: &Tls<'_>, http: Http) -> Strength {
    let mut findings = Findings::none();
    if !claims_browser(claim) {
        return findings.strength();
    }
    let hello = tls.hello;
    let current = match claim.family {
        Family::Chromium => claim.version >= 100,
        Family::Firefox => claim.version >= 100,
        Family::Safari => claim.version >= 16,
        Family::Other => false,
    };
    if !current {
        return findings.strength();
    }
    // All three offer HTTP/2 by ALPN and take it where a server has it.
    findings.note(!hello.alpn.contains(b"h2"), 600);
    findings.note(hello.alpn.contains(b"h2") && http == Http::One, 300);
    findings.note(!offers_tls13(hello), 700);
    // Chromium and Safari put GREASE into every hello (RFC 8701); Firefox puts none into its lists.
    let greases = matches!(claim.family, Family::Chromium | Family::Safari);
    findings.note(greases != hello.has_grease(), 700);
    findings.note(suites(hello) > 20, 500);
    findings
        .note(matches!(claim.family, Family::Chromium) && !hello.has_extension(extension::COMPRESS_CERTIFICATE), 600);
    let post_quantum_since = match claim.family {
        Family::Chromium => 131,
        Family::Firefox => 135,
        Family::Safari => 26,
        Family::Other => u16::MAX,
    };
    findings.note(claim.version >= post_quantum_since && !hello.offers_group(group::X25519_MLKEM768), 500);
    findings.strength()
}

/// A current browser that agrees to no more than TLS 1.2 with a gateway that offers 1.3.
pub(crate) fn tls_outdated(claim: &Claim, tls: &Tls<'_>) -> Strength {
    let outdated = claims_browser(claim) && claim.version >= 80 && tls.version == TlsVersion::Tls12;
    if outdated { Strength::FULL } else { Strength::NONE }
}

fn offers_tls13(hello: &ClientHello) -> bool {
    hello.supported_versions.contains(&0x0304)
}

/// How many real cipher suites are offered. Browsers offer 13 to 18; OpenSSL's and Java's lists are longer.
fn suites(hello: &ClientHello) -> usize {
    hello.cipher_suites.iter().filter(|suite| !portcullis_fingerprint::is_grease(**suite)).count()
}
