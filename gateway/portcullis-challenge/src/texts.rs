//! What the page says, in one language.

/// The texts of the page in one language. All are plain text: they are escaped when rendered.
///
/// In `progress`, `{done}`, `{total}` and `{left}` stand for the parts done, the parts in all, and
/// the remaining time, which the browser writes in the page's language.
#[derive(Clone, Copy, Debug)]
pub struct Texts {
    /// The language, as in the attribute `lang` (BCP 47).
    pub language: &'static str,
    /// The direction of its script: `ltr` or `rtl`.
    pub direction: &'static str,
    /// The page's title.
    pub title: &'static str,
    /// The heading.
    pub heading: &'static str,
    /// What happens now.
    pub what: &'static str,
    /// Why it happens.
    pub why: &'static str,
    /// What is not done: nothing to click, nothing is sent elsewhere.
    pub privacy: &'static str,
    /// The name of the progress bar.
    pub progress_label: &'static str,
    /// Before the first part is done.
    pub starting: &'static str,
    /// While parts are being done.
    pub progress: &'static str,
    /// All parts are done, the answer of the gateway is awaited.
    pub sending: &'static str,
    /// The gateway accepted; the page is about to load.
    pub done: &'static str,
    /// The browser has no JavaScript, or it is off.
    pub no_script: &'static str,
    /// The browser keeps no cookie.
    pub no_cookies: &'static str,
    /// The script could not go on.
    pub failed: &'static str,
    /// The gateway could not be reached.
    pub offline: &'static str,
    /// The gateway refused the solution.
    pub refused: &'static str,
    /// The button that loads the page again.
    pub retry: &'static str,
    /// Before the contact.
    pub contact: &'static str,
    /// Before the reference id.
    pub reference: &'static str,
}

/// The texts in English.
pub const ENGLISH: Texts = Texts {
    language: "en",
    direction: "ltr",
    title: "Checking your browser",
    heading: "One moment, please",
    what: "Your browser is doing a short calculation. When it is done, the page you asked for opens by itself. There is nothing for you to click or to solve.",
    why: "This site gets many automated requests, and some details of this one look like them. The calculation costs a visitor a few seconds, and someone who sends thousands of requests a lot.",
    privacy: "The calculation runs on your device. Nothing is sent to other companies.",
    progress_label: "Progress of the calculation",
    starting: "Starting the calculation.",
    progress: "{done} of {total} steps done, about {left} left.",
    sending: "The calculation is done. Waiting for the site.",
    done: "Done. The page opens now.",
    no_script: "The check needs JavaScript, and it is switched off here or your browser has none. Switch it on for this site and load the page again. If you cannot, write to the site's operator and give the reference below.",
    no_cookies: "The calculation can be done, but your browser does not keep cookies for this site, so the result would be forgotten at once and the check would start again and again. Allow cookies for this site and try again. The check itself sets one cookie, which says only that you passed.",
    failed: "The check could not run in this browser. Try again, use a current browser, or write to the site's operator and give the reference below.",
    offline: "The site could not be reached. Check your connection and try again.",
    refused: "The site did not accept the result. This happens when the page was open for too long, or when your network changed meanwhile. Try again; if it happens again, write to the site's operator and give the reference below.",
    retry: "Try again",
    contact: "Contact:",
    reference: "Reference:",
};
