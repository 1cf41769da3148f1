//! The running gateway, end to end: the real binary, real sockets, a real origin.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bans;
mod behaviour;
mod browsers;
mod challenge;
mod corpus;
mod coverage;
mod explained;
mod flow;
mod forged_headers;
mod frameworks;
mod framing;
mod held;
mod identity;
mod intel;
mod ladder;
mod lessons;
mod limits;
mod monitor;
mod paths;
mod prometheus;
mod refusals;
mod reload;
mod rig;
mod rollout;
mod secrets;
mod shadow;
mod sites;
mod solve;

/// What a current Chromium sends with a navigation over TLS.
const CHROMIUM: &[(&str, &str)] = &[
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("upgrade-insecure-requests", "1"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9"),
];

/// What curl sends.
const CURL: &[(&str, &str)] = &[("user-agent", "curl/8.5.0"), ("accept", "*/*")];

/// Rules with one route for everything.
const OPEN: &str = r#"
[[route]]
name = "all"
paths = ["/{*rest}", "/"]
origin = "app"
preset = "balanced"
"#;

/// Lets the workers end, even where an assertion fails beside them.
struct StopOnDrop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// The names in a `Portcullis-Reasons` list.
fn reasons(list: Option<&str>) -> Vec<&str> {
    list.unwrap_or_default().split(", ").filter(|name| !name.is_empty()).collect()
}

/// The versions that an info metric of a policy has.
fn versions_of(metrics: &portcullis_testkit::Metrics, name: &str) -> Vec<String> {
    let samples = metrics.samples().iter().filter(|sample| sample.name == name);
    samples
        .flat_map(|sample| &sample.labels)
        .filter(|(label, _)| *label == "version")
        .map(|(_, version)| version.clone())
        .collect()
}
