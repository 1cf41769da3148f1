//! What the demo prints: where it listens, and what to try.

use std::fmt::Write as _;
use std::path::Path;

use super::origin::PASSWORD;
use crate::serve::Address;

/// The text.
pub(super) fn text(addresses: &[Address], folder: &Path) -> String {
    let addr = |name: &str| addresses.iter().find(|address| &*address.name == name).map(|address| address.addr.to_string());
    let [http, https, admin] = ["http", "https", "admin"].map(|name| addr(name).unwrap_or_default());
    let mut text = String::from("Portcullis runs in front of a small shop. Ctrl-C ends it.\n\n");
    let rules = folder.join("rules");
    let port = https.rsplit(':').next().unwrap_or_default();
    let (site, browser) = (format!("https://localhost:{port}"), BROWSER);
    for (what, place) in [
        ("site", format!("{site}/  and  http://{http}/")),
        ("metrics", format!("http://{admin}/metrics")),
        ("rules", format!("{}  (edit them: they reload; removed at the end)", rules.display())),
    ] {
        let _ = writeln!(text, "  {what:<8} {place}");
    }
    text.push_str("\nTry in another terminal. X-Forwarded-For plays a client of another address.\n");
    let tries = [
        (
            "a browser is let through, and the origin is told the score:",
            format!("curl -k {browser} {site}/api/items"),
        ),
        ("a bare tool has a higher score, with its reasons:", format!("curl -k {site}/api/items")),
        (
            "the same tool at the login is asked for a proof of work (open the site in a browser to see one solved):",
            format!("curl -k -i -d 'user=ann&password=guess' {site}/login"),
        ),
        (
            "a person with the right password:",
            format!("curl -k {browser} -H 'origin: {site}' -d 'user=ann&password={PASSWORD}' {site}/login"),
        ),
        (
            "a burst from one address is throttled, then cools down:",
            format!("for i in $(seq 40); do curl -ks -o /dev/null -w '%{{http_code}} ' -H 'x-forwarded-for: 198.51.100.7' -d 'user=ann&password=guess' {site}/login; done; echo"),
        ),
        (
            "a request that can be read in two ways is refused:",
            format!("curl -k -i --path-as-is '{site}/api/..%2fadmin'"),
        ),
        ("what Prometheus sees:", format!("curl -s http://{admin}/metrics | grep portcullis_requests_total")),
        (
            "why a request is decided as it is:",
            format!("portcullis explain --rules {} --method POST --path /login -H 'user-agent: curl/8.5.0'", rules.display()),
        ),
    ];
    for (says, line) in tries {
        let _ = writeln!(text, "\n  # {says}\n  {line}");
    }
    text.push_str("\nEach request adds its audit record below.\n\n");
    text
}

/// The headers of a browser.
const BROWSER: &str = "-A 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' \
-H 'accept: text/html,application/xhtml+xml' -H 'accept-language: en' -H 'accept-encoding: gzip, br' \
-H 'sec-fetch-mode: navigate' -H 'sec-fetch-site: none' -H 'sec-fetch-dest: document'";
