//! What the demo prints: where it listens, and what to try.

use std::fmt::Write as _;
use std::path::Path;

use crate::serve::Address;

/// The text.
pub(super) fn text(addresses: &[Address], rules: &Path) -> String {
    let addr = |name: &str| addresses.iter().find(|address| &*address.name == name).map(|address| address.addr);
    let [http, https, admin] =
        ["http", "https", "admin"].map(|name| addr(name).map(|addr| addr.port()).unwrap_or_default());
    let site = format!("https://localhost:{https}");
    let rules = rules.display();
    let program = std::env::current_exe().map_or_else(|_| "portcullis".to_owned(), |path| path.display().to_string());
    let mut text = format!(
        "Portcullis runs in front of a small shop. Ctrl-C ends it.\n\n  \
         site     {site}/ and http://localhost:{http}/\n  \
         metrics  http://localhost:{admin}/metrics\n  \
         rules    {rules}/ (they are removed when the demo ends)\n\n\
         Try these in another terminal; X-Forwarded-For plays clients at other addresses.\n"
    );
    for (says, line) in [
        ("A tool may use the API. The origin is told its score, and why:", format!("curl -sk {site}/api/items")),
        (
            "A tool that says it is a browser contradicts its own TLS handshake:",
            format!("curl -sk -A '{FIREFOX}' -H 'accept-language: en' {site}/api/items"),
        ),
        (
            "A rule refuses an attack tool; every refusal has a code and a reference:",
            format!("curl -sk -i -A sqlmap/1.8 {site}/"),
        ),
        (
            "Wrong passwords raise the score of one client: passed on, then challenged:",
            format!(
                "for i in $(seq 14); do curl -sk -o /dev/null -w '%{{http_code}} ' -A MyApp/3.1 \
                 -H 'x-forwarded-for: 203.0.113.7' -d 'password=guess' {site}/login; done; echo"
            ),
        ),
        (
            "Another client is not touched by that:",
            format!("curl -sk -A MyApp/3.1 -H 'x-forwarded-for: 192.0.2.9' -d 'password=correct horse' {site}/login"),
        ),
        (
            "The checkout asks for a proof of work once. Open it in a browser to see it solved; a program gets the puzzle:",
            format!("curl -sk -i {site}/checkout"),
        ),
        (
            "A path that servers read differently is refused:",
            format!("curl -sk -i --path-as-is '{site}/api/..%2fadmin'"),
        ),
        ("What Prometheus sees:", format!("curl -s http://localhost:{admin}/metrics | grep portcullis_requests_total")),
        (
            "Why a request is decided as it is:",
            format!(
                "{program} explain --rules {rules} --method POST --path /login -H 'user-agent: curl/8.5.0' --class tor"
            ),
        ),
        (
            "Rules reload when a file is saved; one with a fault changes nothing:",
            format!("echo 'oops' >> {rules}/access.toml"),
        ),
    ] {
        let _ = write!(text, "\n  # {says}\n  {line}\n");
    }
    text.push_str("\nBelow is the audit record of each request.\n\n");
    text
}

/// A browser that no version of curl is.
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_to_try_names_a_port_that_is_listened_on() {
        let addresses = [("http", 1001_u16), ("https", 1002), ("admin", 1003)]
            .map(|(name, port)| Address { name: name.into(), addr: ([127, 0, 0, 1], port).into() });
        let text = text(&addresses, Path::new("/tmp/demo/rules"));
        for port in ["http://localhost:1001/", "https://localhost:1002/", "http://localhost:1003/metrics"] {
            assert!(text.contains(port), "{port} in {text}");
        }
        assert!(!text.contains(":0/"), "{text}");
    }
}
