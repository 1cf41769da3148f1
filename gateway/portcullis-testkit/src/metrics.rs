//! What Prometheus would read: the text exposition, version 0.0.4.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use crate::client::Client;

/// Reads the metrics at `http://ADDRESS:PORT/PATH`.
///
/// # Panics
///
/// When the URL is of another form, or the answer is not 200 with `text/plain`.
#[must_use]
#[track_caller]
pub fn scrape(url: &str) -> Metrics {
    let (address, path) = url
        .strip_prefix("http://")
        .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
        .and_then(|(address, path)| Some((address.parse::<SocketAddr>().ok()?, path)))
        .expect("a metrics URL is of the form http://ADDRESS:PORT/PATH");
    let response = match Client::new(address).get(&format!("/{path}"), &[]) {
        Ok(response) => response,
        Err(fault) => panic!("cannot read {url}: {fault}"),
    };
    assert_eq!(response.status, 200, "{url} answered: {}", response.text());
    let kind = response.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain"), "{url} is of the type {kind:?}");
    Metrics::parse(&response.text())
}

/// One line of an exposition.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name, with the `_bucket`, `_sum` or `_count` of a histogram.
    pub name: String,
    /// Names and values of the labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// A whole exposition, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
    kinds: BTreeMap<String, String>,
    helps: HashSet<String>,
    faults: Vec<String>,
}

impl Metrics {
    /// Reads an exposition. What cannot be read is kept as a fault, see [`Metrics::check`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        if !text.is_empty() && !text.ends_with('\n') {
            metrics.faults.push("expected a line feed at the end".to_owned());
        }
        let mut finished = HashSet::new();
        let mut current = String::new();
        for (index, line) in text.lines().enumerate() {
            let outcome = metrics.read_line(line);
            match outcome {
                Ok(Some(family)) if family != current => {
                    if !finished.insert(family.clone()) {
                        metrics.faults.push(format!("line {}: the lines of `{family}` are not together", index + 1));
                    }
                    current = family;
                }
                Ok(_) => {}
                Err(fault) => metrics.faults.push(format!("line {}: {fault}", index + 1)),
            }
        }
        metrics.check_duplicates();
        metrics.check_histograms();
        metrics
    }

    /// All samples, in their order.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The value of the sample of this name with exactly these labels, in any order.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.samples
            .iter()
            .find(|sample| sample.name == name && sample.labels.len() == labels.len() && sample.has(labels))
            .map(|sample| sample.value)
    }

    /// The sum of all samples of this name; 0 when there is none.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.sum_where(name, &[])
    }

    /// The sum of all samples of this name that have these labels among theirs; 0 when there is none.
    #[must_use]
    pub fn sum_where(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // Not `Iterator::sum`, which gives −0 for no sample.
        self.samples
            .iter()
            .filter(|sample| sample.name == name && sample.has(labels))
            .fold(0.0, |sum, sample| sum + sample.value)
    }

    /// The type of a family, such as `counter`.
    #[must_use]
    pub fn kind(&self, family: &str) -> Option<&str> {
        self.kinds.get(family).map(String::as_str)
    }

    /// Whether the exposition is well formed: names, labels and values can be read; each family has
    /// one TYPE and one HELP, before its samples, and its lines are together; no sample occurs twice;
    /// histograms are cumulative and end in `+Inf`.
    ///
    /// # Errors
    ///
    /// All faults that were found, each with its line where there is one.
    pub fn check(&self) -> Result<(), Vec<String>> {
        match self.faults.is_empty() {
            true => Ok(()),
            false => Err(self.faults.clone()),
        }
    }

    /// Reads one line, and names the family it belongs to.
    fn read_line(&mut self, line: &str) -> Result<Option<String>, String> {
        if line.is_empty() {
            return Ok(None);
        }
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.trim_start().splitn(3, ' ');
            return match (words.next(), words.next()) {
                (Some("HELP"), Some(family)) => self.note_help(family).map(Some),
                (Some("TYPE"), Some(family)) => self.note_kind(family, words.next().unwrap_or_default()).map(Some),
                _ => Ok(None),
            };
        }
        let sample = read_sample(line)?;
        let family = self.family_of(&sample.name);
        let faults: Vec<String> = [
            (!self.kinds.contains_key(&family)).then(|| format!("`{family}` has no TYPE before its samples")),
            (!self.helps.contains(&family)).then(|| format!("`{family}` has no HELP before its samples")),
        ]
        .into_iter()
        .flatten()
        .collect();
        self.samples.push(sample);
        match faults.is_empty() {
            true => Ok(Some(family)),
            false => Err(faults.join(", ")),
        }
    }

    fn note_help(&mut self, family: &str) -> Result<String, String> {
        match self.helps.insert(family.to_owned()) {
            true => Ok(family.to_owned()),
            false => Err(format!("`{family}` has a second HELP")),
        }
    }

    fn note_kind(&mut self, family: &str, kind: &str) -> Result<String, String> {
        if !matches!(kind, "counter" | "gauge" | "histogram" | "summary" | "untyped") {
            return Err(format!("`{family}` has the unknown TYPE `{kind}`"));
        }
        match self.kinds.insert(family.to_owned(), kind.to_owned()) {
            None => Ok(family.to_owned()),
            Some(_) => Err(format!("`{family}` has a second TYPE")),
        }
    }

    /// A histogram's or summary's samples have the family's name and a suffix.
    fn family_of(&self, name: &str) -> String {
        for suffix in ["_bucket", "_sum", "_count"] {
            if let Some(family) = name.strip_suffix(suffix)
                && matches!(self.kind(family), Some("histogram" | "summary"))
            {
                return family.to_owned();
            }
        }
        name.to_owned()
    }

    fn check_duplicates(&mut self) {
        let mut seen = HashSet::new();
        for sample in &self.samples {
            if !seen.insert((&sample.name, &sample.labels)) {
                self.faults.push(format!("`{}` {:?} occurs twice", sample.name, sample.labels));
            }
        }
    }

    fn check_histograms(&mut self) {
        let mut faults = Vec::new();
        for (family, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut series: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
            for bucket in self.samples.iter().filter(|sample| sample.name == format!("{family}_bucket")) {
                let mut labels = bucket.labels.clone();
                match labels.remove("le").and_then(|le| le.parse().ok()) {
                    Some(le) => series.entry(labels).or_default().push((le, bucket.value)),
                    None => faults.push(format!("a bucket of `{family}` has no number in `le`")),
                }
            }
            for (labels, buckets) in series {
                let rising = buckets
                    .windows(2)
                    .all(|pair| matches!(pair, [(low, fewer), (high, more)] if low < high && fewer <= more));
                if !rising {
                    faults.push(format!("the buckets of `{family}` {labels:?} are not cumulative"));
                }
                let named: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let total = self.value(&format!("{family}_count"), &named);
                let last = buckets.last().filter(|(le, _)| *le == f64::INFINITY).map(|(_, count)| *count);
                if last.is_none() || last != total {
                    faults.push(format!("`{family}` {labels:?} has {total:?} in all and {last:?} up to +Inf"));
                }
                if self.value(&format!("{family}_sum"), &named).is_none() {
                    faults.push(format!("`{family}` {labels:?} has no sum"));
                }
            }
        }
        self.faults.extend(faults);
    }
}

impl Sample {
    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(*name).is_some_and(|known| known == value))
    }
}

fn read_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or_else(|| format!("expected a value after `{line}`"))?;
    let (name, rest) = line.split_at(end);
    if !is_name(name, ":_") {
        return Err(format!("`{name}` is not a metric name"));
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let word = words.next().ok_or_else(|| format!("`{name}` has no value"))?;
    let value = word.parse().map_err(|_| format!("`{name}` has the value `{word}`, which is no number"))?;
    if let Some(time) = words.next()
        && time.parse::<i64>().is_err()
    {
        return Err(format!("`{name}` has the timestamp `{time}`, which is no number"));
    }
    match words.next() {
        None => Ok(Sample { name: name.to_owned(), labels, value }),
        Some(word) => Err(format!("`{name}` is followed by `{word}`")),
    }
}

/// Reads labels up to and with the closing brace, and returns what follows.
fn read_labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once("=\"").ok_or_else(|| format!("expected a label in `{rest}`"))?;
        if !is_name(name, "_") {
            return Err(format!("`{name}` is not a label name"));
        }
        let (value, after) = read_quoted(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label `{name}` occurs twice"));
        }
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.starts_with('}') => after,
            None => return Err(format!("expected `,` or `}}` before `{after}`")),
        };
    }
}

/// Reads a label's value up to and with the closing quote, and returns what follows.
fn read_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return Ok((value, chars.as_str())),
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(escaped @ ('\\' | '"')) => value.push(escaped),
                other => {
                    return Err(format!("expected an escape of `\\`, `\"` or `n`, but found {other:?}"));
                }
            },
            char => value.push(char),
        }
    }
    Err(format!("expected a closing quote after `{text}`"))
}

/// Whether this is a letter or one of `others`, followed by those and digits.
fn is_name(text: &str, others: &str) -> bool {
    let fits = |char: char| char.is_ascii_alphabetic() || others.contains(char);
    text.starts_with(fits) && text.chars().all(|char| fits(char) || char.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"# HELP requests_total Requests, by route.
# TYPE requests_total counter
requests_total{route="login",action="allow"} 3
requests_total{route="login",action="block"} 1
requests_total{route="say \"hi\"\\\n{}, ok",action="allow"} 5 1700000000000
# a comment
# HELP decision_seconds Time to decide.
# TYPE decision_seconds histogram
decision_seconds_bucket{le="0.001"} 2
decision_seconds_bucket{le="+Inf"} 4
decision_seconds_sum 0.25
decision_seconds_count 4
# HELP up Whether it is up.
# TYPE up gauge
up 1e0
"#;

    #[test]
    fn values_are_found_by_name_and_labels_in_any_order() {
        let metrics = Metrics::parse(SOUND);
        assert_eq!(metrics.check(), Ok(()));
        for (name, labels, value) in [
            ("requests_total", [("route", "login"), ("action", "allow")].as_slice(), Some(3.0)),
            ("requests_total", &[("action", "block"), ("route", "login")], Some(1.0)),
            ("requests_total", &[("route", "say \"hi\"\\\n{}, ok"), ("action", "allow")], Some(5.0)),
            ("requests_total", &[("route", "login")], None),
            ("requests_total", &[], None),
            ("decision_seconds_bucket", &[("le", "+Inf")], Some(4.0)),
            ("decision_seconds_sum", &[], Some(0.25)),
            ("up", &[], Some(1.0)),
            ("down", &[], None),
        ] {
            assert_eq!(metrics.value(name, labels), value, "{name} {labels:?}");
        }
        assert_eq!(metrics.sum("requests_total"), 9.0);
        assert_eq!(metrics.sum_where("requests_total", &[("action", "allow")]), 8.0);
        assert_eq!(metrics.sum("down"), 0.0);
        assert_eq!(metrics.kind("decision_seconds"), Some("histogram"));
    }

    #[test]
    fn each_fault_is_found() {
        let check = |text: &str, wanted: &str| {
            let faults = Metrics::parse(text).check().expect_err(text);
            assert!(faults.iter().any(|fault| fault.contains(wanted)), "{wanted:?} is not in {faults:?} of {text}");
        };
        let head = "# HELP a A.\n# TYPE a counter\n";
        check(&format!("{head}a 1\na 2\n"), "occurs twice");
        check(&format!("{head}a{{x=\"1\",y=\"2\"}} 1\na{{y=\"2\",x=\"1\"}} 2\n"), "occurs twice");
        check(&format!("{head}# TYPE a counter\na 1\n"), "second TYPE");
        check(&format!("{head}# HELP a A.\na 1\n"), "second HELP");
        check("a 1\n", "no TYPE");
        check("# TYPE a counter\na 1\n", "no HELP");
        check("# HELP a A.\n# TYPE a count\na 1\n", "unknown TYPE");
        check(&format!("{head}a one\n"), "no number");
        check(&format!("{head}a\n"), "expected a value");
        check(&format!("{head}a 1 2 3\n"), "followed by");
        check(&format!("{head}a{{x=\"1}} 1\n"), "closing quote");
        check(&format!("{head}a{{1x=\"1\"}} 1\n"), "not a label name");
        check(&format!("{head}a{{x=\"\\t\"}} 1\n"), "escape");
        check(&format!("{head}a{{x=\"1\" y=\"2\"}} 1\n"), "expected `,`");
        check(&format!("{head}a{{x=\"1\",x=\"2\"}} 1\n"), "occurs twice");
        check(&format!("{head}a-b 1\n"), "not a metric name");
        check(&format!("{head}a 1"), "line feed");
        check(&format!("{head}a 1\n# HELP b B.\n# TYPE b gauge\nb 1\na{{x=\"1\"}} 1\n"), "not together");
        let head = "# HELP h H.\n# TYPE h histogram\n";
        check(&format!("{head}h_bucket{{le=\"1\"}} 3\nh_bucket{{le=\"+Inf\"}} 2\nh_sum 1\nh_count 2\n"), "cumulative");
        check(&format!("{head}h_bucket{{le=\"1\"}} 2\nh_sum 1\nh_count 2\n"), "+Inf");
        check(&format!("{head}h_bucket{{le=\"+Inf\"}} 2\nh_sum 1\nh_count 3\n"), "+Inf");
        check(&format!("{head}h_bucket{{le=\"+Inf\"}} 2\nh_count 2\n"), "no sum");
    }
}
